"""One choice of every factor that is compared, and what its trainings may spend."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace

from study.space.contracts import Dataset, Net


def import_path(thing) -> str:
    """`module:name` of a model or a net, by which another process finds it again."""
    if hasattr(thing, "__qualname__"):
        return f"{thing.__module__}:{thing.__qualname__}"
    return f"{thing.encoder.__module__}:{thing.name}"


def outside_source(dataset) -> str:
    """The import path of where a dataset comes from if that is not the project, else ''."""
    kind = type(getattr(dataset, "source", dataset))
    return "" if kind.__module__.startswith("study.") else import_path(kind)


def source_arguments(dataset) -> dict:
    """What a source from outside the project, which is a dataclass, was made with, as JSON-able values."""
    source = getattr(dataset, "source", dataset)
    if not outside_source(dataset) or not is_dataclass(source):
        return {}
    return {each.name: getattr(source, each.name) for each in fields(source) if each.init}


def made_again(kind: type, arguments: Mapping):
    """A source from its arguments as JSON gives them back, in which tuples have become lists."""
    return kind(**{name: as_tuples(value) for name, value in arguments.items()})


def as_tuples(value):
    return tuple(map(as_tuples, value)) if isinstance(value, list) else value


def slug(text) -> str:
    """Letters, digits, dots and dashes only: safe in a file name, in a filter string and on a command line."""
    return re.sub(r"[^a-z0-9.]+", "-", str(text).lower()).strip("-.")


@dataclass(frozen=True)
class Budget:
    """What every trial of a cell may spend: passes over the training images, and the images of one step.

    measured_every: epochs between the looks at a training on held-out data, each then with all that reports show over epochs;
    None: six looks at the objective alone. It changes what is known of a training, not the training.
    whole_training_set: the validation images are trained on as well, as those who tune nothing do; looks are then at test images,
    by which nothing is chosen. Only in cells of which nothing is tuned.
    on_to: epochs of a training on held-out data that goes on beyond those of its tuning; None: as many.
    """

    epochs: int
    batch_size: int = 64
    measured_every: int | None = None
    whole_training_set: bool = False
    on_to: int | None = None

    @property
    def confirm(self) -> "Budget":
        """That of a training on held-out data."""
        return replace(self, epochs=self.on_to or self.epochs, on_to=None)


@dataclass(frozen=True)
class Cell:
    """One choice of every factor compared. `settings` are further keyword arguments of the model, the same for all of
    the cell's trials; `system` names a preset, such as a row of a published table."""

    model: type
    net: Net
    depth: int
    latent_dim: int
    dataset: Dataset
    settings: Mapping = field(default_factory=dict)
    system: str = ""

    @property
    def family(self) -> str:
        """The model's name in lower case: vae, gan, wgan."""
        return self.model.__name__.lower()

    @property
    def name(self) -> str:
        parts = [self.system or f"{self.family}-{self.net.name}", f"d{self.depth}", f"z{self.latent_dim}"]
        if not self.system:  # whose settings are told by its name
            parts += [f"{key}-{value}" for key, value in self.settings.items() if isinstance(value, str | int | float)]
        return "-".join(filter(None, map(slug, [*parts, self.dataset.slug])))  # a system may be named in another script

    def build(self, shape: Sequence[int], params: Mapping = {}):
        """The cell's model for images of that shape (C, H, W): new, its weights drawn from torch's global random state."""
        return self.model(tuple(shape), self.net, self.depth, self.latent_dim, **self.settings, **params)

    def definition(self) -> dict:
        """Everything about the cell that defines a result, as JSON-able values."""
        return {
            "model": import_path(self.model),
            "net": import_path(self.net),
            "depth": self.depth,
            "latent_dim": self.latent_dim,
            "dataset": self.dataset.name,
            "source": outside_source(self.dataset),
            "settings": dict(self.settings),
            "system": self.system,
        }


def grid(
    model: Sequence, net: Sequence, depth: Sequence[int], latent_dim: Sequence[int], dataset: Sequence, **settings: Sequence
) -> list[Cell]:
    """Every combination of the factors given, each a list. Further keywords vary keyword arguments of the model."""
    core, more = itertools.product(model, net, depth, latent_dim, dataset), list(itertools.product(*settings.values()))
    return [
        Cell(kind, body, layers, size, images, dict(zip(settings, values)))
        for kind, body, layers, size, images in core
        for values in more
    ]


def label(path: str) -> str:
    return path.split(":")[1].lower()
