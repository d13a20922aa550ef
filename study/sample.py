"""Draw images from a finished trial: samples, paths between latent points, or one latent dimension after the other.

python study/sample.py --space latent_sweep --trial best -n 64 --out grid.png
python study/sample.py --space latent_sweep --trial KEY --interpolate
python study/sample.py --space latent_sweep --trial KEY --traverse --npz images.npz
python study/sample.py --champion digits --tracking-uri http://HOST:PORT     (from MLflow's registry, on any machine)
"""

import argparse
import io
import math
import os
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":  # this clone's code, whatever is installed, and not study/ itself, where Python looks first
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from study.cli import DONE, add_study, run_command, trust
from study.errors import UserError, nearest
from study.ledger.files import write_atomic
from study.ledger.folder import Ledger
from study.ledger.opening import open_study


def chosen(ledger: Ledger, wanted: str) -> str:
    """The key of the trial that is meant: a key, or "best" for that of the best cell where there is one dataset."""
    if not ledger.keys():
        raise UserError(
            f"no trials of '{ledger.root.name}' in {ledger.root.parent}; launch the study first, or say with --storage where it is"
        )
    if wanted != "best":
        if wanted not in ledger.keys():
            raise UserError(f"no trial '{wanted}' in {ledger.root}{nearest(wanted, ledger.keys())}")
        return wanted
    from study.analysis.cell_table import cells, champions

    found = champions(cells(ledger))
    if not found:
        raise UserError(f"no trial of '{ledger.root.name}' has ended well yet, so there is no best one")
    if len(found) > 1:
        raise UserError(
            "scores of different datasets do not compare; choose one of the best: "
            + ", ".join(f"--trial {cell.trial} ({cell.dataset})" for cell in found)
        )
    return found[0].trial


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add_study(parser, required=False)
    add("--trial", metavar="KEY", help='a trial\'s key, or "best"')
    add(
        "--champion",
        metavar="NAME",
        help="in place of both: a dataset's best model in MLflow's registry, by the model's name or the dataset's",
    )
    add("--tracking-uri", help="where that registry is (default: $MLFLOW_TRACKING_URI, else mlruns/mlflow.db)")
    add("-n", type=int, default=64, help="how many images (default: %(default)s)")
    add("--seed", type=int, default=0, help="of the noise (default: %(default)s)")
    add("--out", type=Path, default=Path("grid.png"), help="the picture (default: %(default)s)")
    add("--npz", type=Path, metavar="FILE", help="the images (n, C, H, W) in [0, 1] and their latents (n, d) as well")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--interpolate", action="store_true", help="paths between points of the prior")
    kind.add_argument("--traverse", action="store_true", help="one row per latent dimension, the most telling first")
    options = parser.parse_args(arguments)
    if not options.champion and not (options.space and options.trial):
        parser.error("what is to be drawn from? --space NAME and --trial KEY say it, or --champion DATASET")
    if options.n < 1:
        parser.error(f"-n must be at least 1, not {options.n}")
    return options


def main(arguments=None) -> int:
    options = parse(arguments)
    trust(options)
    with tempfile.TemporaryDirectory() as folder:
        return drawn(options, *source(options, Path(folder) / "champion"))


def source(options, folder: Path) -> tuple[Ledger, str]:
    """The ledger and the key of the trial that is drawn from; folder: where a champion's is put."""
    if not options.champion:
        ledger = open_study(options.storage, options.space)
        return ledger, chosen(ledger, options.trial)
    from study.mlflow_view.registry import fetched
    from study.mlflow_view.store import default_uri

    uri = options.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or default_uri(options.storage)
    return fetched(uri, options.champion, folder)


def drawn(options, ledger: Ledger, key: str) -> int:
    import numpy as np

    from study.training.image_grids import COLUMNS, decode, interpolated, png, prior_sample, tile, traversed
    from study.training.weights import rebuilt

    model = rebuilt(ledger, key)
    if options.traverse:
        latents, columns = traversed(model, options.n), COLUMNS
    elif options.interpolate:
        latents, columns = interpolated(model, options.n, options.seed), COLUMNS
    else:
        latents, columns = prior_sample(model, options.n, options.seed), math.ceil(options.n**0.5)
    images = decode(model, latents)
    write_atomic(options.out, png(tile(images, columns)))
    if options.npz:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, images=images.numpy(), latents=latents.numpy())
        write_atomic(options.npz, buffer.getvalue())
    print(f"{len(images)} images of {key}: {', '.join(map(str, filter(None, (options.out, options.npz))))}")
    return DONE


if __name__ == "__main__":
    sys.exit(run_command(main))
