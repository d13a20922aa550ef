"""Paired tests, intervals, rates, tuning curves and sample sizes: pure functions of arrays, one entry per seed.

A replicate is an independent training. Trainings are paired by seed index, so most functions take the paired
differences of one comparison along the last axis; axes before it (blocks, simulated studies) are kept.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

EXACT_PAIRS = 14  # up to here every one of the 2^n sign patterns is tried
PIECE = 256  # pairs whose random signs are held at a time
RANDOM_FLIPS = 19_999  # beyond: the least p is 1 / 20,000, below the first Holm step over 16 claims of 10 parts each
MOST_SEEDS = 1_000  # a comparison that needs more is not decided by more seeds


@lru_cache(maxsize=16)
def sign_patterns(pairs: int) -> np.ndarray:
    """All 2^n patterns of signs (patterns, pairs), the observed one first."""
    return 1.0 - 2.0 * ((np.arange(2**pairs)[:, None] >> np.arange(pairs)) & 1)


def flipped_sums(differences: np.ndarray) -> np.ndarray:
    """Sums of differences (..., n) under flipped signs: (..., flips), the observed one first. Every pattern up to
    EXACT_PAIRS; beyond, a fixed random draw, made piece by piece so that thousands of pairs need no more memory."""
    pairs = differences.shape[-1]
    if pairs <= EXACT_PAIRS:
        return differences @ sign_patterns(pairs).T
    sums = np.zeros((*differences.shape[:-1], RANDOM_FLIPS + 1))
    for start in range(0, pairs, PIECE):
        piece = differences[..., start : start + PIECE]
        sums += piece @ random_signs(start, piece.shape[-1])
    return sums


@lru_cache(maxsize=16)
def random_signs(start: int, pairs: int) -> np.ndarray:
    """A fixed random draw of signs (pairs, flips) for the pairs from `start` on, the first flip the observed one."""
    drawn = np.random.default_rng([start, pairs]).integers(0, 2, (pairs, RANDOM_FLIPS + 1), dtype=np.int8)
    drawn[:, 0] = 0
    return 1.0 - 2.0 * drawn


def sign_flip(differences, alternative: str = "two-sided"):
    """p of the paired sign-flip test: differences (..., n) -> (...).

    Under the null hypothesis each difference is as likely with the other sign; the statistic is their sum. Exact up to
    EXACT_PAIRS pairs (two-sided floor 2 / 2^n). `alternative`: "two-sided", "greater" or "less" than zero.
    """
    differences = np.asarray(differences, float) * (-1 if alternative == "less" else 1)
    permuted = flipped_sums(differences)
    if alternative == "two-sided":
        permuted = np.abs(permuted)
    rounding = 1e-12 * np.abs(differences).sum(-1, keepdims=True)
    return (permuted >= permuted[..., :1] - rounding).mean(-1)


def blocked_sign_flip(differences, alternative: str = "two-sided"):
    """The same over blocks (datasets, nets ...) of paired differences (..., blocks, n) -> (...).

    Each block is divided by its root mean square, which no sign changes: datasets of any scale then weigh the same, and
    the test stays exact. All pairs flip, so eight seeds in three blocks have the resolution of 24 pairs.
    """
    scaled = over_root_mean_square(differences)
    return sign_flip(scaled.reshape(*scaled.shape[:-2], -1), alternative)


def over_root_mean_square(differences) -> np.ndarray:
    """Differences (..., blocks, n), those of each block over their root mean square."""
    differences = np.asarray(differences, float)
    size = np.sqrt((differences**2).mean(-1, keepdims=True))
    return np.divide(differences, size, out=np.zeros_like(differences), where=size > 0)


def family_sign_flip(differences, alternative: str = "two-sided"):
    """The same where the blocks (cells) are a sample of a family that something is said about.

    An effect may differ between cells, and then pairs of one cell are no independent witnesses of the family: whole
    cells flip as well, and the larger p counts. Its floor is 2 / 2^blocks, whatever the number of pairs in a cell.
    """
    of_cells = sign_flip(over_root_mean_square(differences).mean(-1), alternative)
    return np.maximum(blocked_sign_flip(differences, alternative), of_cells)


def difference_between_blocks(differences) -> float:
    """p that some of the blocks of paired differences (blocks, n) lie higher than others (Kruskal and Wallis 1952)."""
    differences = np.asarray(differences, float)
    from scipy import stats

    alike = len(differences) < 2 or np.ptp(differences) == 0
    return 1.0 if alike else float(stats.kruskal(*differences).pvalue)


def equivalence(differences, margin, test: Callable = blocked_sign_flip):
    """p that the difference lies within +-margin: two one-sided sign-flip tests (TOST; Schuirmann 1987).

    differences (..., blocks, n), margin in their unit and broadcast against them -> (...). The only ground for saying
    "no effect".
    """
    differences = np.asarray(differences, float)
    return np.maximum(test(differences - margin, "less"), test(differences + margin, "greater"))


def median_interval(differences, level: float = 0.95):
    """Interval of the median paired difference (..., n) -> (low, high), or None below five seeds: print the points.

    Interpolated order statistics (Hettmansperger and Sheather 1986), chosen by simulation (tests/analysis/test_inference.py):
    at 6, 7, 8 and 16 seeds its 95 % cover 93-96 % of normal, skewed and heavy-tailed differences. Of the mean's
    intervals, BCa bootstrap covers 88 % at 8 seeds even of normal differences, Student's t 89 % of exponential ones;
    so neither is offered. At n = 5 it is the range, which covers 93.75 %.
    """
    ordered = np.sort(np.asarray(differences, float), axis=-1)
    n = ordered.shape[-1]
    if n < 5:
        return None
    ranks = np.arange(1, n // 2 + 1)
    from scipy import stats  # here and below: it takes a second to import, and who only asks what can be decided needs none

    cover = 1 - 2 * stats.binom.cdf(ranks - 1, n, 0.5)  # of the interval from the k-th least to the k-th largest
    k = max(int((cover >= level).sum()), 1)
    surplus = max((cover[k - 1] - level) / (cover[k - 1] - cover[k]), 0)
    inwards = (n - k) * surplus / (k + (n - 2 * k) * surplus)
    return (
        (1 - inwards) * ordered[..., k - 1] + inwards * ordered[..., k],
        (1 - inwards) * ordered[..., n - k] + inwards * ordered[..., n - k - 1],
    )


def wilson(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a rate; (0, 1) when nothing was tried."""
    if trials == 0:
        return 0.0, 1.0
    from scipy import stats

    low, high = stats.binomtest(successes, trials).proportion_ci(level, "wilson")
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted by Holm's step-down for their number (1979); as statsmodels' multipletests, which is slower by
    a garbage collection at every call."""
    p_values = np.asarray(p_values, float)
    order = np.argsort(p_values)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1)), 1)
    return adjusted.tolist()


def tuning_curve(scores, lower_is_better: bool = True) -> np.ndarray:
    """Expected best score after k = 1..n proposals, from the scores (n,) of independent RANDOM proposals.

    Sum of x_(i) [(i/n)^k - ((i-1)/n)^k] (Dodge et al. 2019). A sampler's proposals depend on one another: leave them
    out. A diverged training enters as the worst score, not as NaN.
    """
    sign = -1 if lower_is_better else 1
    ordered = np.sort(sign * np.asarray(scores, float))
    n = len(ordered)
    powers = (np.arange(n + 1) / n) ** np.arange(1, n + 1)[:, None]
    return sign * (np.diff(powers) @ ordered)


def superiority(a, b, level: float = 0.95) -> tuple[float, float, float]:
    """P(a new training of A scores lower than one of B), ties counted half, with its interval: (p, low, high).

    The share of all pairs, and Newcombe's method 5 (2006), whose interval keeps its width when every pair agrees.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    share = float((np.sign(b[None, :] - a[:, None]).mean() + 1) / 2)
    from scipy import optimize, stats

    z, half = stats.norm.ppf(0.5 + level / 2), (len(a) + len(b)) / 2 - 1

    def excess(p):
        variance = p * (1 - p) * (1 + half * ((1 - p) / (2 - p) + p / (1 + p))) / (len(a) * len(b))
        return (p - share) ** 2 - z**2 * variance

    low = optimize.brentq(excess, 0, share - 1e-9) if share > 0 else 0.0  # at 0 and 1 the share itself is a root too
    high = optimize.brentq(excess, share + 1e-9, 1) if share < 1 else 1.0
    return share, low, high


def variance_shares(values, models, cells) -> dict[str, float]:
    """Shares of variance between models, between the cells of a model, and between the seeds of a cell; sum 1.

    Arrays (n,) of one dataset: measure, model, cell. Nested random effects by the method of moments (Searle 1971,
    unbalanced coefficients), negative components set to 0. Needs two models, one with two cells, one cell repeated.
    """
    values, total = np.asarray(values, float), len(values)
    model_of, model_mean, model_size = grouped(values, models)
    cell_of, cell_mean, cell_size = grouped(values, [f"{m}|{c}" for m, c in zip(models, cells)])
    owner = np.array([model_of[cell_of == c][0] for c in range(len(cell_mean))])
    inner = np.array([(cell_size[owner == m] ** 2).sum() for m in range(len(model_mean))]) / model_size
    degrees = np.array([len(model_mean) - 1, len(cell_mean) - len(model_mean), total - len(cell_mean)])
    squares = (
        np.array(
            [
                (model_size * (model_mean - values.mean()) ** 2).sum(),
                (cell_size * (cell_mean - model_mean[owner]) ** 2).sum(),
                ((values - cell_mean[cell_of]) ** 2).sum(),
            ]
        )
        / degrees
    )
    seed = squares[2]
    cell = max((squares[1] - seed) * degrees[1] / (total - inner.sum()), 0.0)
    cells_in_models = (inner.sum() - (cell_size**2).sum() / total) / degrees[0]
    models_alone = (total - (model_size**2).sum() / total) / degrees[0]
    model = max((squares[0] - seed - cells_in_models * cell) / models_alone, 0.0)
    whole = model + cell + seed
    return {"model": float(model / whole), "cell": float(cell / whole), "seed": float(seed / whole)}


def grouped(values, labels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(index of each value's group, mean of each group, size of each group)."""
    _, index = np.unique(np.asarray(labels), return_inverse=True)
    size = np.bincount(index)
    return index, np.bincount(index, values) / size, size


def seeds_needed(distance: float, deviation: float, alpha: float, pairs_per_seed: int = 1, power: float = 0.8) -> int | None:
    """Least number of paired seeds that would decide a comparison with the given power; None beyond MOST_SEEDS.

    `distance` of the true mean from the boundary that decides, and `deviation` of one seed's difference, in one unit;
    `alpha` after Holm, two-sided. Power of Student's paired t, and never below the sign-flip floor 2 / 2^pairs.
    """
    if not distance > 0:
        return None

    from scipy import stats

    def reached(n):
        noncentrality = min(distance / max(deviation, 1e-12 * distance) * n**0.5, 30)  # 30 is certain anyway
        return stats.nct.sf(stats.t.ppf(1 - alpha / 2, n - 1), n - 1, noncentrality) >= power

    floor = max(math.ceil(math.log2(2 / alpha) / pairs_per_seed), 2)
    numbers = range(floor, MOST_SEEDS + 1)
    place = bisect_left(numbers, True, key=reached)
    return numbers[place] if place < len(numbers) else None
