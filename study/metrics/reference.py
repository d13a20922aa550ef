"""The real side of the measures: vectors of real images, and what is computed of them once for all models."""

from functools import cached_property

from torch import Tensor

from study.metrics import PAIRED, coverage, distances


class Reference:
    """Vectors (n, d) of real images, features or pixels, that generated ones are held against.

    What is cached is computed when it is first asked for, on the device the vectors are on.
    """

    def __init__(self, vectors: Tensor):
        self.vectors = vectors

    def equal(self, fake: Tensor, most: int | None = None) -> tuple[Tensor, Tensor]:
        """The first real vectors and the first of fake (m, d), as many of either as there are of both: at most `most`."""
        n = min(len(self.vectors), len(fake), most or len(fake))
        return self.vectors[:n], fake[:n]

    @cached_property
    def moments(self) -> distances.Moments:
        return distances.moments(self.vectors)

    @cached_property
    def standardised(self) -> Tensor:
        """The first vectors (at most PAIRED, d), by their own moments, float64."""
        return self.standardise(self.vectors[:PAIRED])

    def standardise(self, fake: Tensor) -> Tensor:
        """Vectors (m, d) less the real mean, in units of the real deviations, float64."""
        return distances.standardise(fake, self.moments)

    @property
    def dimensions(self) -> int:
        """How many of the d features are not constant on real images."""
        return int(self.moments.varying.sum())

    @cached_property
    def mean_kernel(self) -> Tensor:
        """The real images' own term of the kernel distance, a scalar."""
        return distances.mean_kernel(self.standardised, self.dimensions)

    @cached_property
    def directions(self) -> Tensor:
        """Unit vectors (d, p) to project on."""
        return distances.directions(self.vectors.shape[1]).to(self.vectors)

    @cached_property
    def projections(self) -> Tensor:
        """The vectors along every direction, sorted: (n, p)."""
        return distances.projections(self.vectors, self.directions)

    @cached_property
    def radii(self) -> Tensor:
        """Distance (at most PAIRED,) of each of the first vectors to its NEIGHBOURS-th nearest other one."""
        return coverage.radii(self.vectors[:PAIRED])
