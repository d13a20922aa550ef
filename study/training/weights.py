"""A model on its own: as `build` makes it, with given weights, or with those that a trial kept."""

from collections.abc import Callable

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from study.errors import UserError
from study.ledger.files import read_own
from study.ledger.folder import Ledger
from study.ledger.next_steps import command, of_ledger
from study.space.foreign_code import check_code
from study.space.from_spec import model_of


def fresh(build: Callable[[], nn.Module]) -> nn.Module:
    """The model that `build` makes; the global random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        return build()


def plain(build: Callable[[], nn.Module], weights: dict[str, Tensor], device="cpu") -> nn.Module:
    """The model that `build` makes, with these weights, ready to be measured; the global random state is left alone."""
    model = fresh(build).to(device, memory_format=torch.channels_last)  # decodes faster by a third on a CPU
    model.load_state_dict(weights)
    return model.requires_grad_(False).eval()


def rebuilt(ledger: Ledger, key: str) -> nn.Module:
    """The model of the trial's first training that did not diverge, in eval mode."""
    result = ledger.result(key)
    if result is None:
        raise UserError(f"trial {key} is not finished; {of_ledger('status', ledger)} says how far it is")
    if result.status != "done":
        raise UserError(f"trial {key} {result.status}: there is no model to draw from")
    spec = ledger.spec(key, result)
    if spec is None:
        raise UserError(f"the spec of trial {key} is lost; the next launch writes it anew: {of_ledger('launch', ledger)}")
    check_code(spec)
    path = ledger.folder(key) / "weights.safetensors"
    if spec.stage == "search" and not path.exists():
        raise UserError(f"trial {key} is of the search, which keeps no weights: choose a confirm trial, as soon as there are any")
    try:
        tensors = load_tensors(read_own(path))
        return plain(lambda: model_of(spec), of_training(tensors, min(int(name.split("/")[0]) for name in tensors)))
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{path} does not hold the weights of this trial ({reason}); run it again:"
            f" {command('trial', ledger.folder(key) / 'spec.json')}"
        ) from None


def of_training(tensors: dict, index: int) -> dict:
    """The tensors of one training in a file that names them <training>/<name>."""
    return {name.removeprefix(f"{index}/"): tensor for name, tensor in tensors.items() if name.startswith(f"{index}/")}
