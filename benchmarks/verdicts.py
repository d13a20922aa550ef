"""How often the rules of study/analysis/verdicts.py say a false word, over simulated studies whose truth is known.

    python benchmarks/verdicts.py [--studies 1000] [--data-dir data] [--markdown docs/statistics.md]

Beside each rule stands the customary one that it replaces. The last table is the floor: what real images score.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from study.analysis.comparisons import Table
from study.analysis.inference import blocked_sign_flip, family_sign_flip, median_interval
from study.analysis.rules import change, equivalent, rises, stays_below, upwards
from study.analysis.sequential import levels
from study.analysis.verdicts import ALPHA, Finding, Part, advice, apart, seed_deviations
from study.cli import run_command
from study.data import digits
from study.data.datasets import data_folder
from study.metrics import features
from study.metrics.catalogue import number, spread
from study.metrics.evaluation import Evaluation
from study.metrics.real_baseline import dealt, real_baseline

SEEDS = 6  # the fewest that can decide anything
REPLICATES = 8  # independent tunings of a cell in the studies that are simulated whole
LOOKS = (4, 6, 8, 10, 12)  # the replicates at which a study that grows is looked at
CHUNK = 100  # studies at a time
MANY = 200_000  # draws that a true median or deviation is taken from
MARGIN = 2.0  # of a fixed margin, in seed deviations
WORST = 20.0  # what a diverged training counts as, in seed deviations: fd_rel 1 where a cell has .3 and .035
DIVERGED = 0.1
MEASURES = ("quality/fd_rel", "quality/kid", "quality/precision", "quality/recall", "quality/coverage", "modes/label_jsd")


CELLS, ARMS = 1, 2  # axes of what is drawn


def normal(rng, shape):
    return rng.normal(size=shape)


def exponential(rng, shape):
    return rng.exponential(size=shape) - 1


def unequally_spread(rng, shape):
    """The second arm three times as spread as the first."""
    return rng.normal(size=shape) * np.array([1.0, 3.0])[:, None]


def unequally_skewed(rng, shape):
    """The second arm lognormal of 0.25, the widest spread over seeds seen in this project; the first a fifth as spread."""
    skewed = (rng.lognormal(0, 0.25, shape) - np.exp(0.25**2 / 2)) * 4
    return np.where(np.arange(2)[:, None] == 1, skewed, rng.normal(0, 0.2, shape))


@dataclass(frozen=True)
class World:
    """What the trainings of a study differ by: draws (studies, cells, 2 arms, replicates) of mean 0, in seed deviations."""

    name: str
    noise: Callable = normal
    luck: float = 0.0  # deviation over tunings, of which the best are near to one another and the worst are not
    diverged: float = 0.0
    shared: float = 0.0  # of the variance over seeds, by all the cells (axis 1) or both arms (axis 2) of a replicate
    axis: int = CELLS

    def values(self, rng, shape, one_tuning=False) -> tuple[np.ndarray, np.ndarray]:
        """Values and whether they finished; one_tuning: every cell is tuned once, for all of its trainings."""
        values = self.noise(rng, shape)
        common = rng.normal(size=[1 if axis == self.axis else size for axis, size in enumerate(shape)])
        values = np.sqrt(1 - self.shared) * values + np.sqrt(self.shared) * common
        values = values + self.luck * exponential(rng, (*shape[:-1], 1) if one_tuning else shape)
        return values, rng.random(shape) >= self.diverged


WORLDS = (
    *(World(f"tuning luck of {luck:g} seed deviations", luck=luck) for luck in (0, 0.5, 1, 2)),
    World("skewed alike (exponential)", exponential, luck=1),
    World("skewed and spread unequally", unequally_skewed),
    World("spread unequally (1 to 3)", unequally_spread, luck=1),
    World("a tenth diverged", luck=1, diverged=DIVERGED),
    World("half of the variance shared by both arms of a replicate", luck=1, shared=0.5, axis=ARMS),
    World("3 % of it shared by all cells of a replicate", luck=1, shared=0.03),
    World("half of it shared by all cells of a replicate", shared=0.5),
)
THREE, NINE = 3, 9  # cells: named ones, and as many as a claim about a family can be decided by
STATEMENTS = (  # of one study, each exactly at its boundary: rule, cells, test, whether its margin is fixed
    (rises, THREE, blocked_sign_flip, True),
    (stays_below, THREE, blocked_sign_flip, False),
    (equivalent, THREE, blocked_sign_flip, True),
    (rises, NINE, family_sign_flip, True),
    (stays_below, NINE, family_sign_flip, False),
    (equivalent, NINE, family_sign_flip, True),
)


def percent(words) -> str:
    return f"{100 * np.mean(words):.1f}"


def studies(count: int, blocks: int, *means: float, diverged=0.0) -> Table:
    """A table (studies, blocks, arms, seeds) of trainings with these means, in seed deviations; a share of them diverged."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(count, blocks, len(means), SEEDS)) + np.reshape(means, (-1, 1))
    finished = rng.random(values.shape) >= diverged
    return Table(np.where(finished, values, WORST), finished, tuple(f"cell {name}" for name in range(blocks)), (), ())


def at_once(count: int, blocks: int, rise: float):
    """A rise in fixed margins: which words are said of it. Customary: supported when above 0, two-sided, and refuted when
    below the margin, one-sided."""
    values = studies(count, blocks, 0, rise * MARGIN).values
    found = rises(values, np.full((count, blocks, 1), MARGIN))
    usual = upwards(change(values), blocked_sign_flip) <= ALPHA, found.p_against / 2 <= ALPHA
    ours = found.p_for <= ALPHA, found.p_against <= ALPHA
    for name, word in (
        ("supported", lambda pair: pair[0]),
        ("refuted", lambda pair: pair[1]),
        ("both at once", np.logical_and.reduce),
    ):
        yield f"a rise of {rise:g} margins, {blocks} x {SEEDS} seeds: {name}", percent(word(usual)), percent(word(ours))


def with_divergence(count: int, blocks: int, rule, truth: float):
    """The wrong word about a true difference when a tenth of the trainings diverged. Customary: a margin of all of them."""
    table, wrong = studies(count, blocks, 0, truth, diverged=DIVERGED), []
    for kept in (np.ones_like(table.finished), table.finished):
        evidence = rule(table.values, seed_deviations(replace(table, finished=kept)))
        wrong.append(percent((evidence.p_against if rule is rises else evidence.p_for) <= ALPHA))
    word = "refuted as a rise" if rule is rises else "equivalent"
    yield f"10 % diverged, a difference of {truth:g} deviations, {blocks} x {SEEDS} seeds: {word}", *wrong


def without_a_trend(count: int, blocks: int, skew: float):
    """Three levels of equal mean, the last skewed and five times as spread: falsely falling. Customary: Page's test."""
    rng = np.random.default_rng(0)
    shape = (count, blocks, SEEDS)
    first, middle = (rng.normal(0, skew / 5, shape) for _ in range(2))
    last = rng.lognormal(0, skew, shape) - np.exp(skew**2 / 2)
    pages = [stats.page_trend_test(-np.stack([a.ravel(), b.ravel(), c.ravel()], 1)).pvalue for a, b, c in zip(first, middle, last)]
    ours = blocked_sign_flip(last - first, "less")
    yield (
        f"no trend, last level lognormal of {skew:g}, {blocks} x {SEEDS} seeds: falls",
        percent(2 * np.array(pages) <= ALPHA),
        percent(2 * ours <= ALPHA),
    )


def advised(count: int, *means: float):
    """Cells that rise by these amounts, undecided together: how often more seeds are advised. Customary: always."""
    told, whole = [], studies(count, len(means), 0, 0)
    margins, part = np.ones((len(means), 1)), Part("rise", "", rises, None, margin=1.0)
    for values in whole.values:
        values[:, 1] += np.reshape(means, (-1, 1))
        found = rises(values, margins)
        if min(found.p_for, found.p_against) > ALPHA:
            table = replace(whole, values=values)
            blocks = dict(zip(whole.blocks, np.median(found.effects, 1).tolist()))
            divided = apart(part, table, margins, found.effects)
            told.append("differs" not in advice([Finding(part, by_block=blocks, needed=9, points=(0,), apart=divided)]))
    yield (
        f"cells that rise by {', '.join(f'{mean:g}' for mean in means)} margins, undecided: more seeds advised",
        "100.0",
        percent(told),
    )


def said_to_differ(count: int, cells: int):
    """Cells all exactly at their boundary, of which some are named as holding and others as not. Customary: by their own
    tests alone."""
    table, margins = studies(count, cells, 0, MARGIN), np.full((cells, 1), MARGIN)
    part, named, alone = Part("rise", "", rises, None, margin=MARGIN), [], []
    for values in table.values:
        single = rises(values[:, None], margins[:, None])  # every cell a study of its own
        alone.append(min(single.p_for) <= ALPHA and min(single.p_against) <= ALPHA)
        named.append(alone[-1] and all(apart(part, replace(table, values=values), margins, change(values))))
    yield f"{cells} cells exactly at their boundary: named as different", percent(alone), percent(named)


def simulated(count: int):
    for blocks in (1, 2):
        for rise in (0, 0.5, 1, 2):
            yield from at_once(count, blocks, rise)
    for blocks in (1, 2):
        yield from with_divergence(count, blocks, rises, 2)
        yield from with_divergence(count, blocks, equivalent, 3)
    for skew in (0.25, 0.5, 1):
        yield from without_a_trend(count, 2, skew)
    yield from advised(count, 4, -2)
    yield from advised(count, 1, 1)
    for cells in (9, 24):
        yield from said_to_differ(count, cells)


def at_boundary(world: World, cells: int, fixed: bool, rng, shape: tuple[int, int], one_tuning: bool) -> Table:
    """Studies of cells whose second arm lies above the first by the margin, on average over trainings; shape: (studies,
    replicates). Nine cells differ from one another by one seed deviation."""
    values, finished = world.values(rng, (shape[0], cells, 2, shape[1]), one_tuning)
    values[..., 1, :] += (MARGIN if fixed else deviation(world, one_tuning)) / (1 - world.diverged)
    values[..., 1, :] += rng.normal(size=(shape[0], cells, 1)) * (cells == NINE)
    return Table(np.where(finished, values, WORST), finished, (), (), ())


@cache
def deviation(world: World, one_tuning: bool) -> float:
    """Of the trainings of a cell that finished: what the margin of one seed deviation estimates."""
    values, finished = world.values(np.random.default_rng(0), (1, 1, 2, MANY), one_tuning)
    return float(seed_deviations(Table(values, finished, (), (), ())).mean())


def any_false_word(world: World, count: int, looks: tuple[int, ...] = (REPLICATES,), one_tuning=False) -> str:
    """In so many percent of studies any word is said of any of the statements at any of the looks."""
    wrong = np.zeros(count, bool)
    for start in range(0, count, CHUNK):
        rng = np.random.default_rng(start)
        for rule, cells, test, fixed in STATEMENTS:
            table = at_boundary(world, cells, fixed, rng, (min(CHUNK, count - start), looks[-1]), one_tuning)
            for replicates, level in zip(looks, levels(looks, ALPHA / len(STATEMENTS))):
                seen = Table(table.values[..., :replicates], table.finished[..., :replicates], (), (), ())
                margins = np.full((*seen.values.shape[:2], 1), MARGIN) if fixed else seed_deviations(seen)
                found = rule(seen.values, margins, test)
                wrong[start : start + CHUNK] |= np.minimum(found.p_for, found.p_against) <= level
    return percent(wrong)


def covered(world: World, count: int, cells: int, one_tuning=False) -> str:
    """In so many percent of studies the interval of an effect holds its median: over replicates of three cells, over nine cells."""
    truth = np.median(points_of(world, np.random.default_rng(1), cells, MANY // cells, False))
    low, high = median_interval(points_of(world, np.random.default_rng(0), cells, count, one_tuning))
    return percent((low <= truth) & (truth <= high))


def points_of(world: World, rng, cells: int, count: int, one_tuning: bool) -> np.ndarray:
    table = at_boundary(world, cells, True, rng, (count, REPLICATES), one_tuning)
    return change(table.values).mean(-1 if cells == NINE else -2)


def whole_studies(count: int) -> Iterator[tuple[str, ...]]:
    """Of each world: false words and coverage where cells are tuned once, then where every replicate is a tuning."""
    for world in WORLDS:
        yield (
            world.name,
            any_false_word(world, count, one_tuning=True) if world.luck else "–",
            covered(world, count, THREE, one_tuning=True) if world.luck else "–",
            any_false_word(world, count),
            any_false_word(world, count, LOOKS),
            covered(world, count, THREE),
            covered(world, count, NINE),
        )


def floors(dataset, data_dir):
    """Measures of real images: of the two splits as they are, of random halves, and as the study reports them."""
    images = dataset.prepare(data_dir)
    with tempfile.TemporaryDirectory() as folder:
        extractor = features.prepare(dataset, images, folder)
    found, both = real_baseline(images, extractor), len(images.validation.images) + len(images.test.images)
    splits = judged(images, extractor)
    halves = [
        judged(dealt(images, "confirm", torch.randperm(both, generator=torch.Generator().manual_seed(seed))), extractor)
        for seed in range(found.repeats)
    ]
    for name in MEASURES:
        random = np.array([row[name] for row in halves])
        yield (
            f"{dataset.name}: {name.split('/')[1]}",
            number(splits[name]),
            spread((random.mean(), random.std(ddof=1))),
            spread(found.measures[name]),
        )
    numbers = f"{found.real:,} against {found.samples:,}"
    yield f"{dataset.name}: images", numbers, numbers, f"the same; fd_rel and label_jsd against {found.drawn:,}"


def judged(images, extractor) -> dict:
    judge = Evaluation(images, extractor, "confirm")
    return judge.of_samples(judge.scaled(judge.other.images[: judge.samples]))


def markdown(heading, rows) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [heading, ["---"] + ["---:"] * (len(heading) - 1), *rows])


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000, help="simulated per line (default 1000)")
    parser.add_argument("--data-dir")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the tables there")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    start, data_dir = time.perf_counter(), data_folder(options.data_dir)
    words = markdown(["words said, in % of studies", "customary", "here"], simulated(options.studies))
    real = list(floors(digits, data_dir))
    whole = markdown(HEADINGS, whole_studies(options.studies))
    text = PREFACE.format(
        studies=options.studies,
        words=words,
        whole=whole,
        replicates=REPLICATES,
        looks=", ".join(map(str, LOOKS)),
        floors=markdown(["real images", "the two splits", "random halves", "reported"], real),
    )
    print(f"{text}\n{time.perf_counter() - start:.0f} s")
    if options.markdown:
        options.markdown.write_text(text)
    return 0


HEADINGS = [
    "in % of studies",
    "one tuning a cell: a false word",
    "coverage",
    "a tuning each: a false word",
    "in five looks",
    "coverage",
    "over nine cells",
]
PREFACE = """# What a verdict may say

Written by `python benchmarks/verdicts.py --markdown docs/statistics.md`: {studies:,} simulated studies a line. The rules are
in `study/analysis/rules.py`, words and levels in `study/analysis/verdicts.py`, looks in `study/analysis/sequential.py`, what a
study can decide at all in `study/analysis/decidable.py`.

- **One boundary a statement.** What rises must rise by more than its margin to be supported; it is refuted where it rises
  by less or falls, and undecided where neither is shown. Customarily support is held against 0 and refutation against the
  margin, so that a rise of half a margin is both.
- **One level.** Every p is two-sided, that is twice the one-sided one, for either word; parts of a claim must all be shown
  to support it, and one that fails, times their number, refutes it; Holm over the claims. At the boundary each word is said
  in about 2.5 % of studies, so that any false word in a report has a chance of 5 %.
- **These cells, or the family.** A claim about systems in hand is about the cells compared, and pairs of seeds decide it. A law
  about a family (`about=THE_FAMILY`; which are, and why: `study/analysis/claims.py`) takes its cells as a sample: whole cells
  flip as well, the larger p decides, effect and interval are over cells. Three cells have a least p of 2 / 2^3, so the claim is
  undecided with any number of seeds; the report says how many cells would do, and what holds in these alone.
- **A margin of one seed deviation is of finished trainings.** Diverged ones count as the worst value in the effect, and
  would make the deviation so large that no effect exceeds it. It is an estimate: what is more must exceed it by its
  standard error, what is less must fall short of it by as much.
- **Levels are compared at their ends**, by sign-flips of the largest less the least. Page's test sees ranks only, and
  takes levels of equal mean and unequal skew for a trend. Sign-flips of few seeds are not immune to skew: a lognormal of
  0.25 is the widest seed spread seen in this project.
- **Effects have words of their own.** Of every factor that a space varies, whatever its name (`study/analysis/factors.py`), a level
  is better or worse than another by more than a margin of one seed deviation, equal within it, or undecided, by the same tests
  as a claim of equivalence; since its word names the side, either side has the level to itself. Holm over all effects of the study.
- **More replicates are advised only where they can help.** Where cells differ from one another (Kruskal and Wallis), and some are
  shown to hold and others shown not to, each by a test of its own, the advice names them instead.
- **A study may look five times.** After a share t of its replicates 0.05 t^2 of the level is spent. Tried once, at equal
  false rates, this decides as often as the permutation boundary of AdaStop (power .97 and .98 at two seed deviations in one
  cell among nine claims of at most 16 replicates, .98 with one look at the end), and sooner than O'Brien and Fleming's (an
  effect of 1.5 in three cells: after 7.2 replicates on average instead of 10.2), and it takes the p of any rule.

{words}

Deviations are of one cell's seeds. Margins are two of them, but one, estimated, where trainings diverged, which count as 20;
cells are advised on at a margin of one. Those that rise by 1 and 1 are exactly at it and do not differ.

## Whole studies

Six claims a study, each exactly at its boundary, where either word is false: a rise, a rise of less than a margin and an
equivalence, in three cells and in nine of a family that differ by one seed deviation; margins of two seed deviations, or of
one that is estimated. {replicates} replicates, or looks at {looks}. Luck of tuning is exponential, as the best choices are
near to one another. A false word is any of either kind in the whole study; coverage is of the 95 % interval of an effect.

{whole}

Where a cell is tuned once for all its trainings, they share that tuning's luck, and no test over them knows. The same is
true of anything that all cells of a replicate share (the last line): of the variance over seeds that was at most 3 % in the
digits study, where differences paired by seed vary .99 to 1.03 times as much as unpaired ones.

## What is in no interval

All models meet the same held-out images, so that no test over replicates knows what others would have said. Every training
notes the standard deviation of its fd_rel over their choice (`quality/fd_rel_over_images`, by the infinitesimal jackknife of
`study/metrics/distances.py`), and the report gives it as a share of that over replicates. On digits, of 30 confirmed cells
with six seeds each (measured once): half a seed deviation (median .52, from .08 to 2.9); 60 bootstraps of the images say 1.02
times as much (median; .89 to 1.37 times). Two models share it in part (correlation .58), so that a difference of two cells
has .68 of the standard error that six seeds leave. It costs .6 % of measuring. Nor is the training of the extractor in any
interval.

## What real images score

Digits has 720 held-out images, in two splits that are stratified by class, and so more alike than two random halves of
them; but models are held against a stratified split as well, with 2,500 samples. What is reported
(`study/metrics/real_baseline.py`) is
therefore of random halves for what compares equal numbers (precision, recall, density, coverage, sliced distances, the
two-sample test) and for the unbiased kernel distance; for the Frechet distance and the classes, which depend on numbers and
shares, both sides are drawn with replacement as models meet them: 360 images with the shares of the split, and 2,500 of
all. At equal numbers and free shares such draws score what random halves do (tests/metrics/test_evaluation.py), so they can be
believed at others. Mean and standard deviation of ten draws, or of three beyond 2,000 images.

{floors}
"""

if __name__ == "__main__":
    sys.exit(run_command(main))
