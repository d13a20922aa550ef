"""Draw images from a finished trial: samples, paths between latent points, or one latent dimension after the other.

    python study/sample.py --space latent_sweep --trial best -n 64 --out grid.png
    python study/sample.py --space latent_sweep --trial KEY --interpolate
    python study/sample.py --space latent_sweep --trial KEY --traverse --npz images.npz
"""
import argparse
import io
import math
import sys
from pathlib import Path

if __name__ == "__main__":  # this clone's code, whatever is installed, and not study/ itself, where Python looks first
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors

from study.cell_table import cells, champions
from study.command import DONE, add_study, run_command, trust
from study.errors import UserError, nearest
from study.figures import COLUMNS, REACH, latent_path, png, tile
from study.ledger.files import read_own, write_atomic
from study.ledger.folder import Ledger
from study.ledger.opening import open_study
from study.metrics.evaluation import plain
from study.next_steps import command, of_ledger
from study.space.foreign_code import check_code
from study.space.from_spec import model_of

AT_ONCE = 256    # images decoded at a time
STEP = 1.0       # along a dimension, for how much the image depends on it


def chosen(ledger: Ledger, wanted: str) -> str:
    """The key of the trial that is meant: a key, or "best" for that of the best cell where there is one dataset."""
    if not ledger.keys():
        raise UserError(
            f"no trials of '{ledger.root.name}' in {ledger.root.parent}; launch the study first, or say with"
            " --storage where it is"
        )
    if wanted != "best":
        if wanted not in ledger.keys():
            raise UserError(f"no trial '{wanted}' in {ledger.root}{nearest(wanted, ledger.keys())}")
        return wanted
    found = champions(cells(ledger))
    if not found:
        raise UserError(f"no trial of '{ledger.root.name}' has ended well yet, so there is no best one")
    if len(found) > 1:
        raise UserError("scores of different datasets do not compare; choose one of the best: "
                        + ", ".join(f"--trial {cell['trial']} ({cell['dataset']})" for cell in found))
    return found[0]["trial"]


def rebuilt(ledger: Ledger, key: str):
    """The model of the trial's first training that did not diverge, in eval mode."""
    spec, result = ledger.spec(key), ledger.result(key)
    if result is None:
        raise UserError(f"trial {key} is not finished; {of_ledger('status', ledger)} says how far it is")
    if result["status"] != "done":
        raise UserError(f"trial {key} {result['status']}: there is no model to draw from")
    check_code(spec)
    path = ledger.folder(key) / "weights.safetensors"
    try:
        return plain(lambda: model_of(spec), first_training(load_tensors(read_own(path))))
    except (OSError, SafetensorError, RuntimeError, StopIteration) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} does not hold the weights of this trial ({reason}); run it again:"
                        f" {command('trial', ledger.folder(key) / 'spec.json')}") from None


def first_training(tensors: dict) -> dict:
    """The tensors of the lowest replica in a file that names them <replica>/<name>."""
    first = next(iter(sorted(tensors, key=lambda name: int(name.split("/")[0])))).split("/")[0]
    return {name.removeprefix(f"{first}/"): tensor for name, tensor in tensors.items() if name.startswith(f"{first}/")}


@torch.no_grad()
def decoded(model, latents: torch.Tensor) -> torch.Tensor:
    """(n, latent_dim) -> images (n, C, H, W) in [0, 1]."""
    return torch.cat([model.sample(z) for z in latents.split(AT_ONCE)])


def drawn(model, n: int, seed: int) -> torch.Tensor:
    """The same n points of the prior for a seed, whatever else is drawn."""
    return torch.randn(n, model.latent_dim, generator=torch.Generator().manual_seed(seed))


def interpolated(model, n: int, seed: int) -> torch.Tensor:
    """Paths of COLUMNS points between pairs of points of the prior, about n points in all."""
    ends = drawn(model, 2 * max(1, n // COLUMNS), seed)
    return latent_path(ends[::2], ends[1::2])


def traversed(model, n: int) -> torch.Tensor:
    """One row of COLUMNS points per latent dimension, the others at 0, about n points in all: those first along which
    the image changes most. That order needs no data, so it is one rule for all families; where a VAE does not use a
    dimension, its decoder ignores it as well."""
    order = sensitivity(model).argsort(descending=True)[:max(1, n // COLUMNS)]
    points = torch.zeros(len(order), COLUMNS, model.latent_dim)
    for row, dimension in enumerate(order):
        points[row, :, dimension] = torch.linspace(-REACH, REACH, COLUMNS)
    return points.flatten(0, 1)


def sensitivity(model, samples: int = 32) -> torch.Tensor:
    """Root mean square change of the image when one latent dimension (latent_dim,) moves by STEP."""
    base = drawn(model, samples, 0)
    still = decoded(model, base)
    moved = torch.eye(model.latent_dim) * STEP
    return torch.stack([(decoded(model, base + step) - still).square().mean().sqrt() for step in moved])


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add_study(parser)
    add("--trial", required=True, metavar="KEY", help='a trial\'s key, or "best"')
    add("-n", type=int, default=64, help="how many images (default: %(default)s)")
    add("--seed", type=int, default=0, help="of the noise (default: %(default)s)")
    add("--out", type=Path, default=Path("grid.png"), help="the picture (default: %(default)s)")
    add("--npz", type=Path, metavar="FILE", help="the images (n, C, H, W) in [0, 1] and their latents (n, d) as well")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--interpolate", action="store_true", help="paths between points of the prior")
    kind.add_argument("--traverse", action="store_true", help="one row per latent dimension, the most telling first")
    options = parser.parse_args(arguments)
    if options.n < 1:
        parser.error(f"-n must be at least 1, not {options.n}")
    return options


def main(arguments=None) -> int:
    options = parse(arguments)
    trust(options)
    ledger = open_study(options.storage, options.space)
    key = chosen(ledger, options.trial)
    model = rebuilt(ledger, key)
    if options.traverse:
        latents, columns = traversed(model, options.n), COLUMNS
    elif options.interpolate:
        latents, columns = interpolated(model, options.n, options.seed), COLUMNS
    else:
        latents, columns = drawn(model, options.n, options.seed), math.ceil(options.n ** 0.5)
    images = decoded(model, latents)
    write_atomic(options.out, png(tile(images, columns)))
    if options.npz:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, images=images.numpy(), latents=latents.numpy())
        write_atomic(options.npz, buffer.getvalue())
    print(f"{len(images)} images of {key}: {', '.join(map(str, filter(None, (options.out, options.npz))))}")
    return DONE


if __name__ == "__main__":
    sys.exit(run_command(main))
