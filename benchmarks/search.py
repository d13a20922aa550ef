"""Which search finds good hyperparameters for its price? Regret against trainings spent, on recorded learning curves.

    python benchmarks/search.py record [--dataset digits] [--storage FOLDER]     # 768 trainings: half an hour on two cores
    python benchmarks/search.py compare [--dataset digits] [--storage FOLDER]

Recorded are trainings at the points of a scrambled Sobol sequence over each cell's ranges, none of them stopped. A search is
then played on the record: what it proposes is the nearest recorded training that it does not have yet. The regret of what it
chooses is the base-2 logarithm of fd_rel above the best of the cell, both of them means over neighbours of a training, so that
a choice by luck is not rewarded: .15 is a tenth more fd_rel. `record` goes on where it was stopped.
"""

import argparse
import json
import math
import multiprocessing
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from models.gan import GAN
from models.nets import fc
from models.vae import VAE
from models.wgan import WGAN
from search_spaces.latent_sweep import propose
from study.data.datasets import data_folder, named
from study.ledger.folder import Ledger, finished
from study.metrics.catalogue import OBJECTIVE
from study.space import Budget, Search, Space, grid
from study.sweep.launch_options import LaunchOptions
from study.sweep.optuna_sampler import learned, quasi_random
from study.sweep.plan import Plan, kept
from study.sweep.preparation import identities, prepare
from study.training.run import run_pack

RECORDED, EPOCHS = 128, 20
RUNGS = (2, 4, 7)  # epochs at which the objective is recorded beside the last
HALVINGS = {"": (), "halved at 1/3": (7,), "halved at 1/5": (4,), "halved at 1/10 and 1/3": (2, 7)}
SEARCHED = (4, 8, 16, 32)
REPEATS = {"random": 200, "quasi-random": 200, "tpe": 40, "gp": 10}  # searches per cell; what learns takes its time
NEIGHBOURS = 6  # a training itself left out


def space_of(dataset) -> Space:
    return Space(
        cells=grid([VAE, GAN, WGAN], [fc], [1, 3], [8], [dataset], width=[128]),
        propose=propose,
        budget=lambda cell: Budget(EPOCHS, 32 if dataset.name == "digits" else 64),
        search=Search(rounds=(RECORDED,), rungs=tuple(epoch / EPOCHS for epoch in RUNGS)),
        replicates=1,
        name=f"search-{dataset.slug}",
    )


def record(space: Space, ledger: Ledger, data_dir: Path) -> None:
    options = LaunchOptions(space=space.name, storage=ledger.root.parent)
    prepare(space, options, data_dir, ledger, print)
    plan = Plan(space, ledger, identities(space, data_dir, options))
    left = [[trial for trial in trials if trial.key not in plan.results] for trials in plan.search.values()]
    packs = [pack for trials in left for pack in plan.packs(trials, 1, EPOCHS)]
    work = [([str(ledger.folder(key)) for key in pack.keys], str(data_dir)) for pack in packs]
    with multiprocessing.get_context("spawn").Pool(torch.get_num_threads()) as pool:
        for number, results in enumerate(pool.imap_unordered(trained, work), 1):
            for result in results:
                ledger.put_result(result.key, result)
            print(f"{number} of {len(work)} packs", flush=True)


def trained(work: tuple[list[str], str]) -> list:
    """A pack to its end, whatever its rungs."""
    folders, data_dir = work
    torch.set_num_threads(1)
    return run_pack([Path(folder) for folder in folders], EPOCHS, data_dir)[0]


@dataclass(frozen=True)
class Curves:
    """The recorded trainings of a cell."""

    ranges: dict
    default: dict
    points: np.ndarray  # (n, hyperparameters), numbers in [0, 1] by their own scale, choices far apart
    at: dict[int, np.ndarray]  # epoch -> (n,), log2 of fd_rel there, infinite where it diverged

    @property
    def final(self) -> np.ndarray:
        return self.at[EPOCHS]

    @cached_property
    def truth(self) -> np.ndarray:
        """(n,) Means over the nearest others."""
        worst = self.final[np.isfinite(self.final)].max() + 1
        values = np.where(np.isfinite(self.final), self.final, worst)
        apart = np.linalg.norm(self.points[:, None] - self.points[None], axis=2)
        np.fill_diagonal(apart, math.inf)
        return values[np.argsort(apart, axis=1)[:, :NEIGHBOURS]].mean(1)

    def nearest(self, suggested: dict, taken: Sequence[int]) -> int:
        apart = np.linalg.norm(self.points - placed(suggested, self.ranges), axis=1)
        apart[list(taken)] = math.inf
        return int(apart.argmin())


def placed(suggested: dict, ranges: dict) -> np.ndarray:
    found = []
    for name, limits in ranges.items():
        if "choices" in limits:
            found.append(10.0 * limits["choices"].index(suggested[name]))
        else:
            low, high, value = (math.log(number) for number in (limits["low"], limits["high"], suggested[name]))
            found.append((value - low) / (high - low))
    return np.array(found)


def read(space: Space, ledger: Ledger) -> dict[str, Curves]:
    """Cell name -> what was recorded of it."""
    found = {}
    for cell in space.cells:
        ranges, name = space.ranges(cell), f"{cell.name}-r"
        kept_ = [(spec, result) for key, spec, result in finished(ledger) if key.startswith(name)]
        found[cell.name] = Curves(
            ranges,
            space.default_proposal(cell)[1],
            np.stack([placed(spec.suggested, ranges) for spec, _ in kept_]),
            {
                **{epoch: np.array([log2(at_epoch(ledger, spec.key, epoch)) for spec, _ in kept_]) for epoch in RUNGS},
                EPOCHS: np.array([log2(result.objective if result.status == "done" else None) for _, result in kept_]),
            },
        )
    return found


def at_epoch(ledger: Ledger, key: str, epoch: int) -> float | None:
    return next((row.values.get(OBJECTIVE, [None])[0] for row in ledger.rows(key) if row.epoch == epoch), None)


def log2(value: float | None) -> float:
    return math.inf if value is None else math.log2(max(value, 1e-6))


def played(curves: Curves, sampler: str, proposals: int, rungs: Sequence[int], repeat: int) -> tuple[float, float]:
    """(regret, trainings spent) of one search."""
    learns = sampler in ("tpe", "gp")
    rounds = (proposals // 2, proposals // 4, proposals // 4) if learns else (proposals,)
    taken, told, ended, spent = [], [], [], 0.0
    for size in rounds:
        places = []
        for suggested in suggestions(curves, sampler, size, repeat, told):
            places.append(curves.nearest(suggested, taken + places))
        going, reached = list(places), dict.fromkeys(places, EPOCHS)
        for rung in rungs:
            ranked = sorted(going, key=lambda place: (curves.at[rung][place], places.index(place)))
            going = ranked[: kept(len(ranked))]
            reached |= dict.fromkeys(ranked[len(going) :], rung)
        for place in places:
            value = curves.at[reached[place]][place]
            told.append((numbers(curves, place), float(2**value) if math.isfinite(value) else None))
        ended += going
        taken += places
        spent += sum(reached.values()) / EPOCHS
    truth = curves.truth
    return float(truth[min(ended, key=lambda place: curves.final[place])] - truth.min()), spent


def suggestions(curves: Curves, sampler: str, size: int, repeat: int, told: list) -> list[dict]:
    described = json.dumps([curves.ranges, curves.default])
    if told:
        return learned(sampler, json.dumps([curves.ranges, told]), repeat, size)
    if sampler != "random":
        return quasi_random(described, repeat, size)
    draw = np.random.default_rng(repeat)
    return [curves.default] + [{name: drawn(draw, limits) for name, limits in curves.ranges.items()} for _ in range(size - 1)]


def drawn(draw, limits: dict):
    if "choices" in limits:
        return limits["choices"][draw.integers(len(limits["choices"]))]
    return math.exp(draw.uniform(math.log(limits["low"]), math.log(limits["high"])))


def numbers(curves: Curves, place: int) -> dict:
    """The hyperparameters of a recorded training."""
    found = {}
    for (name, limits), value in zip(curves.ranges.items(), curves.points[place]):
        if "choices" in limits:
            found[name] = limits["choices"][round(value / 10)]
        else:
            low, high = math.log(limits["low"]), math.log(limits["high"])
            found[name] = min(max(math.exp(low + value * (high - low)), limits["low"]), limits["high"])
    return found


def compare(found: dict[str, Curves]) -> str:
    lines = [
        "| search | " + " | ".join(f"{proposals} proposals" for proposals in SEARCHED) + " |",
        "|---|" + "---|" * len(SEARCHED),
    ]
    for sampler, (halving, rungs) in product(REPEATS, HALVINGS.items()):
        told = []
        for proposals in SEARCHED:
            games = np.array(
                [
                    [played(curves, sampler, proposals, rungs, repeat) for repeat in range(REPEATS[sampler])]
                    for curves in found.values()
                ]
            )  # (cells, repeats, 2)
            regret, spent = games[..., 0], games[..., 1].mean()
            error = math.sqrt((regret.var(1, ddof=1) / regret.shape[1]).mean() / len(regret))
            told.append(f"{regret.mean():.3f} ± {error:.3f} for {spent:.1f}")
        lines.append(f"| {', '.join(filter(None, [sampler, halving]))} | {' | '.join(told)} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def where_the_best_are(found: dict[str, Curves]) -> str:
    """Of each cell the rates of the trainings whose neighbours are within a tenth of the best."""
    lines = ["| cell | diverged | lr of the best tenth | best fd_rel | at the default |", "|---|---|---|---|---|"]
    for name, curves in found.items():
        truth, rates = curves.truth, [numbers(curves, place)["lr"] for place in range(len(curves.final))]
        best = sorted(rates[place] for place in np.argsort(truth)[: max(3, len(truth) // 10)])
        default = truth[curves.nearest(curves.default, [])]
        lost = int(np.isinf(curves.final).sum())
        lines.append(f"| {name} | {lost} | {best[0]:.1e} to {best[-1]:.1e} | {2 ** truth.min():.3f} | {2**default:.3f} |")
    return "\n".join(lines)


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("record", "compare"))
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--storage", type=Path, default=Path("mlruns/studies"))
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args(arguments)
    space = space_of(named(options.dataset))
    ledger = Ledger(options.storage / space.name)
    if options.what == "record":
        record(space, ledger, data_folder(options.data_dir))
    else:
        found = read(space, ledger)
        print(where_the_best_are(found), end="\n\n")
        print(compare(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
