"""The ledger as the trials that compare with one another, and as one row per training (see study/analysis/outcomes.py)."""

import itertools
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, replace

from study.ledger.folder import Ledger, finished
from study.ledger.names import cell_of
from study.ledger.records import EpochRow, Measurement, Replica, Result, Spec
from study.metrics.catalogue import COSTS, measures_of, middle, status_of, there
from study.space.cells import label


@dataclass(frozen=True)
class FinishedTrial:
    """A trial that has a result."""

    key: str
    cell: str  # the name of its cell
    spec: Spec
    result: Result


def read(ledger: Ledger) -> list[FinishedTrial]:
    """Every finished trial."""
    return [FinishedTrial(key, cell_of(key), spec, result) for key, spec, result in finished(ledger)]


@dataclass(frozen=True)
class Features:
    """By which features a report's numbers are, where not by those that the study was tuned by."""

    kind: str | None = None  # None: that of the study
    seed: int = 0  # of the classifier
    samples: int = 0  # of each training; 0: as the study measures
    against: str = "test"  # whose images

    @property
    def words(self) -> str:
        seed = f" of seed {self.seed}" if self.seed else ""
        samples = f", {self.samples:,} samples" if self.samples else ""
        against = " against training images" if self.against == "train" else ""
        return f"{self.kind or 'classifier'} features{seed}{samples}{against}"

    def are_own(self, own_kind: str) -> bool:
        """Whether these are what a study was tuned by whose features are of that kind."""
        return self.kind in (None, own_kind) and replace(self, kind=None) == OWN

    def are_of(self, found: Measurement, own_kind: str) -> bool:
        told = found.features_kind, found.features_seed, found.samples, found.split
        return told == (self.kind or own_kind, self.seed, self.samples, self.against)


OWN = Features()  # those that a study was tuned by


def measured_by(ledger: Ledger, trials: list[FinishedTrial], chosen: Features) -> tuple[list[FinishedTrial], list[str]]:
    """The trials with what was measured of them later (study/measure.py), and lines about what is lacking.

    Of several measurements by the same features the newest value of each measure counts. By other features than those that a
    study was tuned by there are only the trainings that kept their weights.
    """
    later = {trial.key: measured_later(ledger, trial, chosen) for trial in trials if trial.spec.stage == "confirm"}
    hashes = {trial.spec.dataset: later[trial.key][-1].features for trial in trials if later.get(trial.key)}
    found, lacking = [], 0
    for trial in trials:
        own_kind, measurements = trial.spec.features_kind, later.get(trial.key, [])
        if chosen.are_own(own_kind):
            found.append(replace(trial, result=with_later(trial.result, measurements)) if measurements else trial)
        elif measurements or trial.key in later and trial.result.status != "done":
            found.append(by_others(trial, measurements, hashes.get(trial.spec.dataset, "")))
        else:
            lacking += trial.key in later
    notes = [f"{lacking} trainings have not been measured by these features and are left out; study/measure.py does it"]
    return one_version(found, notes * bool(lacking))


def measured_later(ledger: Ledger, trial: FinishedTrial, chosen: Features) -> list[Measurement]:
    """The measurements of a trial by the features chosen, the newest last."""
    own_kind, own = trial.spec.features_kind, trial.spec.features
    return [
        found
        for found in ledger.measurements(trial.key)
        if chosen.are_of(found, own_kind) and (found.features == own or not chosen.are_own(own_kind))
    ]


def with_later(result: Result, later: list[Measurement]) -> Result:
    """A result with the values of measurements, the last of which counts."""
    for found in later:
        values = {replica.seed: replica.measures for replica in found.replicas}
        result = replace(
            result,
            time=found.time,
            own_measures=result.own_measures | found.own_measures,
            replicas=[replace(each, measures=each.measures | values.get(each.seed, {})) for each in result.replicas],
        )
    return result


def by_others(trial: FinishedTrial, later: list[Measurement], features: str) -> FinishedTrial:
    """A trial as other features see it: of its own numbers those are left that say what training it took."""
    bare = [
        replace(each, measures={name: value for name, value in each.measures.items() if name.startswith(COSTS)})
        for each in trial.result.replicas
    ]
    result = with_later(replace(trial.result, replicas=bare, own_measures={}), later)
    return replace(trial, spec=replace(trial.spec, features=features), result=result)


def one_version(trials: list[FinishedTrial], notes: list[str]) -> tuple[list[FinishedTrial], list[str]]:
    """The trials without what measures of the space said while their code was another, and the notes with a line about each."""
    newest, lost = {}, Counter()
    for trial in sorted(trials, key=lambda trial: trial.result.time):
        newest |= trial.result.own_measures
    for index, trial in enumerate(trials):
        old = {name for name, digest in trial.result.own_measures.items() if digest != newest[name]}
        lost.update(old)
        if old:
            kept = [
                replace(each, measures={name: value for name, value in each.measures.items() if name not in old})
                for each in trial.result.replicas
            ]
            trials[index] = replace(trial, result=replace(trial.result, replicas=kept))
    return trials, notes + [
        f"{name} of {count} trainings was measured with what its code was before, and is left out; study/measure.py has it anew"
        for name, count in lost.items()
    ]


def family_order(model: str) -> tuple:
    """The published families first, in the order in which they were invented."""
    known = ("vae", "gan", "wgan")
    return (known.index(model) if model in known else len(known), model)


def comparable(trials: list[FinishedTrial], planned: set[str]) -> tuple[list[FinishedTrial], list[str]]:
    """The trials that may stand side by side, and a line about each that may not.

    Scores of different features do not compare, nor do budgets: of several, that of the last launch's plan counts, and
    where the plan has none of them the newest.
    """
    kept, notes = [], []
    for dataset, group in grouped(trials, lambda trial: trial.spec.dataset).items():
        chosen = newest(group, lambda trial: trial.spec.features, planned)
        kept += chosen
        if len(chosen) < len(group):
            notes.append(
                f"{dataset}: {len(group) - len(chosen)} trials were measured with other features, whose scores do"
                f" not compare; only those of features {chosen[0].spec.features} are shown"
            )
    cells = [newest(group, budget, planned) for group in grouped(kept, lambda trial: trial.cell).values()]
    if others := len(kept) - sum(map(len, cells)):
        notes.append(f"{others} trials of other budgets, precision, code or images than the last launch's are left out")
    return [trial for group in cells for trial in group], notes


def budget(trial: FinishedTrial) -> tuple:
    spec = trial.spec
    return spec.epochs, spec.batch_size, spec.fingerprint, spec.protocol, spec.precision, str(spec.code)


def shown(cell: list[FinishedTrial], planned: set[str]) -> list[FinishedTrial]:
    """The trials that speak for a cell: the confirm trial of every replicate's present winner, until there are any the best search
    trial of every replicate; from when a cell was tuned once, the confirm trials of its winner, or that winner."""
    confirm = [trial for trial in cell if trial.spec.stage == "confirm"]
    if cell[0].spec.replicate is not None:
        replicates = grouped(confirm or cell, lambda trial: trial.spec.replicate).values()
        return sorted(
            (newest_of(trials, planned) if confirm else best_of(trials) for trials in replicates),
            key=lambda trial: trial.spec.seeds,
        )
    if confirm:
        current = newest(confirm, lambda trial: json.dumps(trial.spec.params, sort_keys=True), planned)
        return sorted(current, key=lambda trial: min(trial.spec.seeds))
    return [best_of(cell)]


def best_of(trials: list[FinishedTrial]) -> FinishedTrial:
    return min(trials, key=lambda trial: (trial.result.status != "done", trial.result.objective or 0.0))


def newest_of(trials: list[FinishedTrial], planned: set[str]) -> FinishedTrial:
    """The one that is in the plan, or that was finished last."""
    return max(trials, key=lambda trial: (trial.key in planned, trial.result.time))


def newest(trials: list[FinishedTrial], group_of, planned: set[str]) -> list[FinishedTrial]:
    """The group that is in the plan, or that was finished last."""
    groups = grouped(trials, group_of).values()
    return max(groups, key=lambda group: (any(trial.key in planned for trial in group), max(trial.result.time for trial in group)))


def grouped(items, key) -> dict:
    groups = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


def rows_of(trial: FinishedTrial, curves: dict) -> list[dict]:
    """One row per training of a trial; `curves` as curves_of() gives them, or empty."""
    spec, result = trial.spec, trial.result
    about = {
        "cell": trial.cell,
        "model": label(spec.model),
        "net": label(spec.net),
        "depth": spec.depth,
        "latent_dim": spec.latent_dim,
        "dataset": spec.dataset,
        "system": spec.system,
        **{name: value for name, value in spec.settings.items() if "/" not in name},
        "stage": spec.stage,
        "proposed_by": spec.proposed_by,
        "trial": trial.key,
    }
    replicas = result.replicas or [Replica(seed, result.status, {}) for seed in spec.seeds]
    return [
        {
            **about,
            "seed": replica.seed,
            "status": status_of(replica),
            **measures_of(replica),
            **{f"curve/{name}": [each[index] if each else None for each in column] for name, column in curves.items()},
        }
        for index, replica in enumerate(replicas)
    ]


def curves_of(rows: list[EpochRow]) -> dict[str, list]:
    """Measure -> entry per epoch: the values of all seeds, None where the epoch was not measured."""
    last = max((row.epoch for row in rows), default=-1)
    curves = defaultdict(lambda: [None] * (last + 1))
    for row in rows:
        for name, values in row.values.items():
            curves[name][row.epoch] = values
    return dict(curves)


def over_packs(curves: list[dict[str, list]]) -> dict[str, list]:
    """The curves of a cell's trials as one: of every epoch the values of all their seeds."""
    joined = {}
    for name in dict.fromkeys(name for each in curves for name in each):
        epochs = itertools.zip_longest(*(each[name] for each in curves if name in each))
        joined[name] = [[value for values in epoch if values for value in values] or None for epoch in epochs]
    return joined


def thinned(name: str, column: list, points: int) -> dict | None:
    """A curve as a page draws it: at most so many epochs, the least, the middle() and the largest over seeds; it ends where
    the middle training has diverged."""
    known = [
        (epoch, values, value) for epoch, values in enumerate(column) if values and (value := middle(name, values)) is not None
    ]
    if len(known) < 2:
        return None
    kept = sorted({round(index * (len(known) - 1) / (points - 1)) for index in range(points)})
    epochs, values, middles = zip(*(known[index] for index in kept))
    return {
        "epochs": list(epochs),
        "low": [min(there(each)) for each in values],
        "middle": list(middles),
        "high": [max(there(each)) for each in values],
    }


def by_training(curves: list[dict[str, list]], name: str, epochs: list[int]) -> list[list[float | None]]:
    """The same curve of every training apart, at these epochs; None where it was not measured, as after it diverged."""
    columns = [each[name] for each in curves if name in each]
    return [
        [column[epoch][seed] if epoch < len(column) and column[epoch] else None for epoch in epochs]
        for column in columns
        for seed in range(max(len(values or ()) for values in column))
    ]
