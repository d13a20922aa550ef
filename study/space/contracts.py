"""What whoever brings a model, a net, a dataset or a source of images must offer, and what a model may offer besides.

Shapes: n images of C channels and H x W pixels are (n, C, H, W), with values in [0, 1] wherever a model sees them; their latents
are (n, latent_dim). A space is held to these when it is loaded, by names; what a name does shows when it is first called, in the
preparation of a launch. A storage's contract is `Ledger` (study/ledger/folder.py), whose methods it overrides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.phase import Phase


class Model(Protocol):
    """An `nn.Module` made by `Model(shape, net, depth, latent_dim, **settings)`, which raises ValueError for settings that
    contradict each other. Trained, measured by its samples, drawn and reported for no more than this.

    Read where there are such: `loss_scales`, {"phase/loss": what that loss counts}, for the axes of curves and MLflow's notes;
    and `stackable` of the class, the names of keyword arguments in which trainings of one pack may differ. They give rates, betas
    or clips to the phases, or a loss reads them from buffers, of which each training has its own: no shape and no branch may
    depend on more than whether such a value is None or 0. Without it the trainings of a pack have equal params. A loss with a
    fourth argument, `labels`, is given the classes (n,) of its images, int64; how many there are is a setting of the space's. A
    loss that draws random numbers by itself, instead of being given its phase's `noise`, costs a pack its speed: its trainings
    are called in turn.
    """

    shape: tuple[int, int, int]  # of an image, (C, H, W)
    latent_dim: int
    phases: Sequence[Phase]  # which parameters learn from which of its losses: see models/phase.py

    def sample(self, z: Tensor) -> Tensor:
        """Latents (n, latent_dim), N(0, 1) -> images. Where it can be differentiated, a confirm trial searches the latents of
        held-out images."""
        ...


class Reconstructs(Protocol):
    def reconstruct(self, x: Tensor) -> Tensor:
        """Images -> images, drawn in pairs, instead of a search for their latents."""
        ...


class HasPosterior(Protocol):
    """Measured by its likelihood; paths between images, traversals and the latents of real images are drawn.

    Read where there are such: `binary_pixels` (whether log_likelihood is a probability of pixels 0 and 1, not a density of grey
    levels) and `beta_effective` (the weight of the KL divergence).
    """

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images -> mean and log-variance of q(z|x), each (n, latent_dim)."""
        ...

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) in nats, (n,)."""
        ...


class HasDensity(Protocol):
    """Measured by its exact likelihood, on images that are not binarised."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Images whose grey levels are filled with noise, so that they have a density on [0, 1] -> log p(x) in nats, (n,)."""
        ...


class Discriminates(Protocol):
    """Measured by what its critic estimates."""

    critic_estimates: str  # "jensen_shannon" (scores are logits) or "wasserstein"

    def discriminate(self, x: Tensor) -> Tensor:
        """Scores (n,) of images, higher for real ones."""
        ...


class Averages(Protocol):
    """Measured by samples of averaged weights as well."""

    average: Any  # None where this one has no such average

    def sample_averaged(self, z: Tensor) -> Tensor:
        """As `sample`, by the averaged weights."""
        ...


class Net(Protocol):
    """The body of a model. Both sides raise ValueError for options that contradict each other, TypeError for unknown ones."""

    @property
    def name(self) -> str: ...

    @property
    def encoder(self) -> Callable[..., nn.Module]:
        """encoder(shape, outputs, depth, **options): a module of (n, *shape) -> (n, outputs)."""
        ...

    @property
    def decoder(self) -> Callable[..., nn.Module]:
        """decoder(inputs, shape, depth, **options): a module of (n, inputs) -> (n, *shape), unbounded."""
        ...


class Source(Protocol):
    """Where images come from (study/data/sources.py): a class without arguments, or a frozen dataclass, whose fields are numbers,
    texts or tuples of them and reach the workers. Two of one class need names of their own."""

    name: str
    size: int | None  # the side of its square images in pixels; None before they are read
    channels: int | None
    validation: int | None  # so many training images are held out; None for a fixed share of them

    def roots(self, data_dir: Path) -> list[Path]:
        """The files and folders that it is read from."""
        ...

    def read(self, data_dir: Path, scratch: Path, skip_corrupt: bool, log: Callable[[str], None]) -> Any:
        """All of it as a `Raw` (study/data/sources.py). `scratch`: a folder for files to map. UserError for what cannot be read."""
        ...

    def download(self, data_dir: Path) -> None:
        """Bring the files into data_dir; OSError or RuntimeError where that fails."""
        ...


class Dataset(Protocol):
    """Images in three splits, decoded once (study/data/datasets.py makes one of any source)."""

    source: Any

    @property
    def name(self) -> str: ...

    @property
    def slug(self) -> str:
        """The name in letters that are safe in any file name or key."""
        ...

    @property
    def size(self) -> int | None: ...

    @property
    def shape(self) -> tuple[int, int, int] | None: ...

    def is_available(self, data_dir: Path) -> bool:
        """Whether its raw files are there."""
        ...

    def download(self, data_dir: Path) -> None:
        """Bring the raw files into data_dir; UserError where that fails."""
        ...

    def prepare(self, data_dir: Path, skip_corrupt: bool = False, log: Callable[[str], None] = print) -> Any:
        """Decode what has not been decoded, and load it: `Images`. UserError for what cannot be read."""
        ...

    def load(self, data_dir: Path) -> Any:
        """The same of what has been decoded; UserError where nothing has."""
        ...

    def fingerprint(self, data_dir: Path) -> str | None:
        """What identifies the decoded images, in keys of trials; None while they have not been decoded."""
        ...

    def publish(self, data_dir: Path, place: Path) -> None:
        """Copy the decoded images to a folder, for machines without the raw files."""
        ...


NAMES: Mapping[
    str, tuple[str, ...]
] = {  # what is asked of each by name: of a model and a source the class, which has no fields yet
    "model": ("__name__", "__mro__", "sample"),
    "net": ("name", "encoder", "decoder"),
    "dataset": ("name", "slug", "size", "shape", "is_available", "download", "prepare", "load", "fingerprint", "publish"),
    "source": ("__mro__", "roots", "read"),
}
IN_USE = ("shape", "latent_dim", "phases")  # what a model has once it is made


def lacking(thing, word: str) -> list[str]:
    """The names that a model's class, a net, a dataset or a source lacks."""
    return [name for name in NAMES[word] if not hasattr(thing, name)]


def lacking_in_use(model) -> list[str]:
    """What a model that was made lacks for being trained: its fields, and the losses and parameters that its phases name."""
    missing = [name for name in IN_USE if not hasattr(model, name)]
    if missing:
        return missing
    losses = [phase.loss for phase in model.phases if not callable(getattr(model, phase.loss, None))]
    return losses + [name for phase in model.phases for name in phase.learns if not hasattr(model, name)]
