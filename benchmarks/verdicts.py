"""How often the rules of study/analysis/verdicts.py say a false word, over simulated studies whose truth is known.

    python benchmarks/verdicts.py [--studies 2000] [--data-dir data] [--markdown docs/statistics.md]

Beside each rule stands the customary one that it replaces. The second table is the floor: what real images score.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from study.analysis.comparisons import Table
from study.analysis.inference import blocked_sign_flip
from study.analysis.rules import change, equivalent, rises, upwards
from study.analysis.verdicts import ALPHA, Finding, Part, advice, apart, seed_deviations
from study.cli import run_command
from study.data import digits
from study.data.datasets import data_folder
from study.metrics import features
from study.metrics.catalogue import number, spread
from study.metrics.evaluation import Evaluation
from study.metrics.real_baseline import dealt, real_baseline

SEEDS = 6  # the fewest that can decide anything, and the default of a space
MARGIN = 2.0  # of a fixed margin, in seed deviations
WORST = 20.0  # what a diverged training counts as, in seed deviations: fd_rel 1 where a cell has .3 and .035
DIVERGED = 0.1
MEASURES = ("quality/fd_rel", "quality/kid", "quality/precision", "quality/recall", "quality/coverage", "modes/label_jsd")


def studies(count: int, blocks: int, *means: float, diverged=0.0):
    """Tables (blocks, arms, seeds) of trainings with these means, in seed deviations; a share of them diverged."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        values = rng.normal(size=(blocks, len(means), SEEDS)) + np.reshape(means, (1, -1, 1))
        finished = rng.random(values.shape) >= diverged
        yield Table(np.where(finished, values, WORST), finished, tuple(f"cell {name}" for name in range(blocks)), (), ())


def percent(words) -> str:
    return f"{100 * np.mean(list(words)):.1f}"


def at_once(count: int, blocks: int, rise: float):
    """A rise in fixed margins: which words are said of it. Customary: supported when above 0, two-sided, and refuted when
    below the margin, one-sided."""
    said = {"usual": [], "ours": []}
    for table in studies(count, blocks, 0, rise * MARGIN):
        found = rises(table.values, np.full((blocks, 1), MARGIN))
        said["usual"].append((upwards(change(table.values), blocked_sign_flip) <= ALPHA, found.p_against / 2 <= ALPHA))
        said["ours"].append((found.p_for <= ALPHA, found.p_against <= ALPHA))
    for name, word in (("supported", lambda pair: pair[0]), ("refuted", lambda pair: pair[1]), ("both at once", all)):
        yield (
            f"a rise of {rise:g} margins, {blocks} x {SEEDS} seeds: {name}",
            percent(map(word, said["usual"])),
            percent(map(word, said["ours"])),
        )


def with_divergence(count: int, blocks: int, rule, truth: float):
    """The wrong word about a true difference when a tenth of the trainings diverged. Customary: a margin of all of them."""
    wrong = {"usual": [], "ours": []}
    for table in studies(count, blocks, 0, truth, diverged=DIVERGED):
        for name, kept in (("usual", np.ones_like(table.finished)), ("ours", table.finished)):
            evidence = rule(table.values, seed_deviations(Table(table.values, kept, table.blocks, (), ())))
            wrong[name].append((evidence.p_against if rule is rises else evidence.p_for) <= ALPHA)
    word = "refuted as a rise" if rule is rises else "equivalent"
    yield (
        f"10 % diverged, a difference of {truth:g} deviations, {blocks} x {SEEDS} seeds: {word}",
        percent(wrong["usual"]),
        percent(wrong["ours"]),
    )


def without_a_trend(count: int, blocks: int, skew: float):
    """Three levels of equal mean, the last skewed and five times as spread: falsely falling. Customary: Page's test."""
    rng = np.random.default_rng(0)
    shape = (count, blocks, SEEDS)
    first, middle = (rng.normal(0, skew / 5, shape) for _ in range(2))
    last = rng.lognormal(0, skew, shape) - np.exp(skew**2 / 2)
    pages = [stats.page_trend_test(-np.stack([a.ravel(), b.ravel(), c.ravel()], 1)).pvalue for a, b, c in zip(first, middle, last)]
    ours = [blocked_sign_flip(differences, "less") for differences in last - first]
    yield (
        f"no trend, last level lognormal of {skew:g}, {blocks} x {SEEDS} seeds: falls",
        percent(2 * p <= ALPHA for p in pages),
        percent(2 * p <= ALPHA for p in ours),
    )


def advised(count: int, *means: float):
    """Cells that rise by these amounts, undecided together: how often more seeds are advised. Customary: always."""
    told = []
    for table in studies(count, len(means), 0, 0):
        table.values[:, 1] += np.reshape(means, (-1, 1))
        margins = np.ones((len(means), 1))
        found, part = rises(table.values, margins), Part("rise", "", rises, None, margin=1.0)
        if min(found.p_for, found.p_against) > ALPHA:
            blocks = dict(zip(table.blocks, np.median(found.effects, 1).tolist()))
            told.append(
                "differs"
                not in advice(
                    [Finding(part, by_block=blocks, p_for=1, p_against=1, needed=9, points=(0,), apart=apart(part, table, margins))]
                )
            )
    yield (
        f"cells that rise by {', '.join(f'{mean:g}' for mean in means)} margins, undecided: more seeds advised",
        "100.0",
        percent(told),
    )


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
    parser.add_argument("--studies", type=int, default=2000, help="simulated per line (default 2000)")
    parser.add_argument("--data-dir")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the tables there")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    start, data_dir = time.perf_counter(), data_folder(options.data_dir)
    words = markdown(["words said, in % of studies", "customary", "here"], simulated(options.studies))
    real = list(floors(digits, data_dir))
    text = PREFACE.format(
        studies=options.studies, words=words, floors=markdown(["real images", "the two splits", "random halves", "reported"], real)
    )
    print(f"{text}\n{time.perf_counter() - start:.0f} s")
    if options.markdown:
        options.markdown.write_text(text)
    return 0


PREFACE = """# What a verdict may say

Written by `python benchmarks/verdicts.py --markdown docs/statistics.md`: {studies:,} simulated studies a line. The rules are
in `study/analysis/rules.py`, words and levels in `study/analysis/verdicts.py`.

- **One boundary a statement.** What rises must rise by more than its margin to be supported; it is refuted where it rises
  by less or falls, and undecided where neither is shown. Customarily support is held against 0 and refutation against the
  margin, so that a rise of half a margin is both.
- **One level.** Every p is two-sided, that is twice the one-sided one, for either word; parts of a claim must all be shown
  to support it, and one that fails, times their number, refutes it; Holm over the claims. At the boundary each word is said
  in about 2.5 % of studies, so that any false word in a report has a chance of 5 %.
- **A margin of one seed deviation is of finished trainings.** Diverged ones count as the worst value in the effect, and
  would make the deviation so large that no effect exceeds it.
- **Levels are compared at their ends**, by sign-flips of the largest less the least. Page's test sees ranks only, and
  takes levels of equal mean and unequal skew for a trend. Sign-flips of few seeds are not immune to skew: a lognormal of
  0.25 is the widest seed spread seen in this project.
- **More seeds are advised only where they can help.** Where some cells are shown to hold and others shown not to, each by a
  test of its own, the advice names them instead.

{words}

Deviations are of one cell's seeds. Margins are two of them, but one, estimated, where trainings diverged, which count as 20;
cells are advised on at a margin of one. Those of the last line are exactly at it and do not differ.

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
