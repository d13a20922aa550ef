"""The one way from a spec (Spec of study/ledger/records.py) back to the things that it names."""

from collections.abc import Sequence

from study.errors import UserError
from study.space.cells import Cell
from study.space.contracts import lacking
from study.space.hyperparameters import program
from study.space.importing import imported


def model_of(spec, shape: Sequence[int] = ()):
    """A new model as a spec describes it, for images of that shape (C, H, W), or of the spec's own."""
    return as_cell(spec).build(shape or spec.shape, spec.params)


def program_of(spec) -> list:
    """What decides which operations a training of a spec consists of, as a JSON value (study/space/hyperparameters.py)."""
    return [
        spec.model,
        spec.net,
        spec.depth,
        spec.latent_dim,
        spec.shape,
        spec.settings,
        spec.code,
        program(as_cell(spec), spec.params),
    ]


def as_cell(spec) -> Cell:
    return Cell(part(spec, "model"), part(spec, "net"), spec.depth, spec.latent_dim, spec.dataset, spec.settings)


def part(spec, word: str):
    """The model's class, the net or the dataset's source that a trial's spec names; UserError where that is none."""
    path = getattr(spec, word)
    thing = imported(path, spec.origin)
    if lacking(thing, word):
        raise UserError(f"the study names {path!r} as a {word}, which it is not")
    return thing
