"""What a ledger says: the answer, verdicts, cells, effects, rates. Pages and files only print it."""

import ast
import itertools
import json
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from study.analysis import advice, cell_table, effects
from study.analysis.advice import Advice
from study.analysis.cell_table import Leader, TableCell
from study.analysis.claims import judged_in
from study.analysis.effects import Chance, Deviations, Effect, Stability, Tuning, VarianceShares
from study.analysis.range_ends import range_end_notes
from study.analysis.searched import Schedule, Searched, schedule, searches
from study.analysis.sentences import sentences
from study.analysis.sequential import Look, judge_at, looks_at
from study.analysis.trainings import (
    OWN,
    Features,
    FinishedTrial,
    by_training,
    comparable,
    curves_of,
    grouped,
    measured_by,
    over_packs,
    read,
    rows_of,
    thinned,
)
from study.analysis.under_way import UnderWay, under_way
from study.analysis.verdicts import Claim, Verdict, judge
from study.errors import UserError
from study.ledger.counts import counted
from study.ledger.folder import Ledger
from study.ledger.next_steps import again, from_the_project
from study.ledger.records import CellLine, RealBaseline
from study.space.importing import imported
from study.space.loading import FOLDER

CURVE_POINTS, FEW_CELLS = 40, 400
DRAWN_APART = 8  # trainings of a cell whose curves a page draws one by one
PACKAGES = ("torch", "numpy", "scipy", "ray", "optuna", "mlflow")


@dataclass(frozen=True)
class Run:
    """A trial's run in MLflow."""

    id: str
    experiment: str
    store: str


@dataclass(frozen=True)
class ReportCell(TableCell):
    """A cell of the table with what is shown of it: curves of all its seeds, pictures and run of its `trial`."""

    run: Run | None  # None where it was not tracked
    pictures: Mapping[str, Sequence[tuple[int, str]]]  # kind -> (epoch, path under the study's folder), by epochs
    curves: Mapping[str, Mapping]  # measure -> epochs, low, middle, high, each a list; each: such a list of DRAWN_APART trainings
    sample: str  # what to type, in the project's own folder, to draw from its study's models
    launch: str  # and to run the cell alone, with the trials of the whole study
    train: str  # and to repeat one training, in a folder of its own


@dataclass(frozen=True)
class DatasetBasis:
    """What a dataset's numbers rest on."""

    name: str
    features: str  # the hash of the features by which it was measured
    fingerprint: str  # of its images
    trials: int


@dataclass(frozen=True)
class Lacking:
    """A cell with trials left."""

    cell: str
    left: int
    untouched: bool  # whether none at all is finished


@dataclass(frozen=True)
class ReportData:
    """What a ledger says. Verdicts and intervals are computed from `rows`, and can be computed from them again."""

    spaces: Sequence[str]  # more than one where several studies are reported together
    question: str  # the first words of their files, or ""
    time: float  # when the ledger was read, in seconds since 1970
    notes: Sequence[str]  # what was left out, a line each
    counts: Mapping[str, int] | None  # planned, running, done, diverged, failed, left; None for a ledger without its plan
    at_work: bool  # whether a driver is at work on it
    lacking: Sequence[Lacking]
    launch: str  # what to type, in the project's own folder, to go on with what is not finished
    datasets: Sequence[DatasetBasis]
    real_baselines: Mapping[str, RealBaseline]  # by the name of a dataset
    versions: Mapping[str, Mapping[str, str]]  # what the trials ran on, and what read them
    rows: Sequence[Mapping]  # every training that is compared, as study/analysis/outcomes.py describes them
    cells: Sequence[ReportCell]
    leaders: Sequence[Leader[ReportCell]]
    verdicts: Sequence[Verdict]
    looks: Sequence[Look]  # none of a study that does not grow until its claims are decided
    effects: Sequence[Effect]
    image_shares: Mapping[str, float]  # dataset -> deviation of fd_rel over held-out images, of that over replicates
    chances: Sequence[Chance]
    variance: Sequence[VarianceShares]
    deviations: Sequence[Deviations]
    tuning: Sequence[Tuning]
    stability: Sequence[Stability]
    advice: Sequence[Advice]  # what to use, on every dataset
    answer: Sequence[str]  # in sentences
    under_way: Sequence[UnderWay]
    searches: Sequence[Searched]
    schedule: Schedule

    @property
    def title(self) -> str:
        return " and ".join(self.spaces)


def findings(ledger: Ledger, claims: Sequence[Claim] | None = None, chosen: Features = OWN) -> ReportData:
    """Everything a report prints, from the ledger alone; UserError where no trial is finished. claims: unless others are
    given, those that its space is about; chosen: the features by which."""
    lines = ledger.planned()
    planned = {key for line in lines for key in line.trials}
    finished = read(ledger)
    trials, lacking_measures = measured_by(ledger, finished, chosen)
    trials, notes = comparable(trials, planned)
    notes = [*ledger.notes, *chosen_notes(chosen, finished), *lacking_measures, *notes]
    names = [study.root.name for study in ledger.studies]
    if finished and not trials:
        raise UserError(f"no training of '{' and '.join(names)}' has been measured by {chosen.words}: study/measure.py does it")
    if not trials:
        raise UserError(
            f"no trial of '{' and '.join(names)}' in {ledger.studies[0].root.parent} is finished yet: there is nothing to"
            " report; launch the study first, or say with --storage where it is"
        )
    places = {line.cell: place for place, line in enumerate(lines)}
    trials.sort(
        key=lambda trial: places.get(trial.cell, len(places))
    )  # in the order of the space file, as factors have their levels
    claims = judged_in(names, own_claims(trials, notes)) if claims is None else claims
    speaking = cell_table.speaking(trials, planned)
    curves = {trial.key: curves_of(ledger.rows(trial.key)) for group in speaking.values() for trial in group}
    apart = of_other_budgets(ledger, trials)
    rows = [
        row
        for trial in trials
        if trial.key not in apart and (trial.spec.stage == "search" or trial.key in curves)
        for row in rows_of(trial, curves.get(trial.key, {}))
    ]
    table = cells(ledger, speaking, curves)
    looks = looks_made(ledger.looks(), len(claims), trials, lines)
    as_usual = (chosen.samples, chosen.against) == (OWN.samples, OWN.against)  # else real images were not measured so
    baselines = real_baselines(ledger, trials) if as_usual else {}
    notes += budget_notes(apart) + tuning_notes(table) + range_end_notes(speaking)
    return ReportData(
        spaces=names,
        question=" ".join(filter(None, map(question, dict.fromkeys(names)))),
        time=time.time(),
        notes=notes,
        counts=counted(ledger, {trial.key: trial.result for trial in finished}) if lines else None,
        at_work=ledger.held(),
        lacking=lacking(lines, {trial.key for trial in finished}),
        launch=from_the_project("launch", unfinished(ledger), trials[0].spec.origin),
        datasets=datasets(trials),
        versions=versions(trials),
        rows=rows,
        cells=table,
        looks=looks,
        under_way=under_way(ledger, {trial.key for trial in finished}),
        searches=searches(trials),
        schedule=schedule(trials),
        **conclusions(rows, table, judged(claims, rows, looks), baselines),
    )


def looks_made(looks: Sequence[int], claims: int, trials: Sequence[FinishedTrial], lines: Sequence[CellLine]) -> list[Look]:
    """The looks planned; one is made when each cell has ended its training of every replicate up to it."""
    cells = {line.cell for line in lines} or {trial.cell for trial in trials}
    ended = {(trial.cell, seed) for trial in trials if trial.spec.stage == "confirm" for seed in trial.spec.seeds}
    made = sum(ended.issuperset(itertools.product(cells, range(number))) for number in looks)
    return looks_at(looks, made, claims) if looks else []


def judged(claims: Sequence[Claim], rows: Sequence[Mapping], looks: Sequence[Look]) -> list[Verdict]:
    """The verdicts at the looks that were made; until the first is, those on what there is, at its level."""
    if not looks:
        return judge(claims, rows)
    return judge_at(max(1, sum(look.made for look in looks)), [look.replicates for look in looks], claims, rows)


def conclusions(
    rows: Sequence[Mapping], table: Sequence[ReportCell], verdicts: Sequence[Verdict], baselines: Mapping[str, RealBaseline]
) -> dict:
    """The fields of a report's data that follow from rows and cells."""
    leaders, found = cell_table.best(table), effects.effects(rows)
    return {
        "real_baselines": baselines,
        "leaders": leaders,
        "verdicts": verdicts,
        "effects": found,
        "image_shares": effects.image_shares(rows),
        "chances": effects.chances(leaders),
        "variance": effects.variance(table),
        "deviations": effects.deviations(rows),
        "tuning": effects.tuning(rows),
        "stability": effects.stability(rows),
        "advice": advice.advice(table, leaders, baselines),
        "answer": sentences(table, leaders, found, verdicts, baselines),
    }


def tuning_notes(table: Sequence[TableCell]) -> list[str]:
    """What of the study does not rest on a tuning per replicate."""
    once, never = (sum(cell.tuning == word for cell in table) for word in ("once", "none"))
    return [
        *[
            f"{once} cells were tuned once: their trainings share the luck of that tuning, which no interval holds;"
            " a launch now tunes every replicate for itself"
        ]
        * bool(once),
        *[f"{never} cells are run as published, not tuned: their replicates are seeds"] * bool(never),
    ]


def question(space: str) -> str:
    """The first words of the space's file, where this checkout has it; nothing is imported for it."""
    file = FOLDER / f"{space}.py"
    return (ast.get_docstring(ast.parse(file.read_text())) or "").split("\n\n")[0] if file.exists() else ""


def lacking(lines: Sequence[CellLine], finished: set[str]) -> list[Lacking]:
    """The cells with trials left."""
    done = [len(finished.intersection(line.trials)) for line in lines]
    return [Lacking(line.cell, line.planned - n, n == 0) for line, n in zip(lines, done) if n < line.planned]


def cells(ledger: Ledger, speaking: Mapping, curves: Mapping) -> list[ReportCell]:
    """The table of cells, with what is shown of each; of many cells a curve has half as many points."""
    points = CURVE_POINTS if len(speaking) <= FEW_CELLS else CURVE_POINTS // 2
    origins = {cell: trials[0].spec.origin for cell, trials in speaking.items()}
    return [
        ReportCell(
            **vars(cell),
            run=run_of(ledger, cell.trial),
            sample=from_the_project("sample", ledger.study_of(cell.trial), origins[cell.name]),
            launch=from_the_project("launch", ledger.study_of(cell.trial), origins[cell.name], *slice_of(cell)),
            train=again(ledger.study_of(cell.trial), cell.trial, origins[cell.name]),
            pictures=pictures(ledger, cell.trial),
            curves=curves_of_cell([curves[key] for key in cell.trials], points),
        )
        for cell in cell_table.table(speaking)
    ]


def curves_of_cell(curves: list[dict[str, list]], points: int) -> dict[str, dict]:
    """What is drawn of the curves of a cell's trials, at so many epochs."""
    joined = over_packs(curves)
    found = {name: curve for name, column in joined.items() if (curve := thinned(name, column, points))}
    return {name: curve | {"each": by_training(curves, name, curve["epochs"])[:DRAWN_APART]} for name, curve in found.items()}


def slice_of(cell: TableCell) -> list[str]:
    """The options of a launch that leave this cell alone."""
    chosen = ["--systems", cell.system] if cell.system else ["--models", cell.model, "--nets", cell.net]
    plain = {name: value for name, value in cell.settings.items() if isinstance(value, str | int | float)}
    where = (
        []
        if cell.system or not plain
        else ["--where", *(f"{name}={json.dumps(value).strip(chr(34))}" for name, value in plain.items())]
    )
    return [*chosen, "--depths", str(cell.depth), "--latents", str(cell.latent_dim), "--datasets", cell.dataset, *where]


def of_other_budgets(ledger: Ledger, trials: Sequence[FinishedTrial]) -> set[str]:
    """Of several studies, the trials that would not be compared at equal budgets: on each dataset those with others than the first
    study that has it."""
    spent: dict[str, set] = {}
    for study in ledger.studies if len(ledger.studies) > 1 else ():
        own = [trial for trial in trials if ledger.study_of(trial.key) is study]
        for dataset, group in grouped(own, lambda trial: trial.spec.dataset).items():
            spent.setdefault(dataset, {budget_of(trial) for trial in group})
    return {trial.key for trial in trials if spent and budget_of(trial) not in spent[trial.spec.dataset]}


def budget_notes(apart: set[str]) -> list[str]:
    """That some trainings stand beside the others only."""
    return [
        f"{len(apart)} trainings had other epochs or batches than those of the study named first on the same data: their cells are"
        " shown, and no claim or effect compares them"
    ] * bool(apart)


def budget_of(trial: FinishedTrial) -> tuple[int, int]:
    return trial.spec.epochs, trial.spec.batch_size


def unfinished(ledger: Ledger) -> Ledger:
    """The study that is to be launched again: of several the first that lacks trials."""
    first, *others = ledger.studies
    return next((study for study in ledger.studies if counted(study)["left"]), first) if others else first


def own_claims(trials: list[FinishedTrial], notes: list[str]) -> list:
    """The claims that the space itself makes; its file is imported only if it makes any, and is trusted. Else it is noted."""
    modules = {(trial.spec.claims, trial.spec.origin) for trial in trials if trial.spec.claims}
    claims = []
    for module, origin in sorted(modules):
        try:
            claims += imported(f"{module}:SPACE", origin).claims
        except UserError as error:
            notes.append(f"the study's own claims are left out: {error}")
            print(notes[-1], file=sys.stderr)
    return claims


def real_baselines(ledger: Ledger, trials: Sequence[FinishedTrial]) -> dict[str, RealBaseline]:
    """Dataset -> what real images score by the features of its trials; what an earlier version noted is left out until a launch
    measures it anew."""
    noted = ledger.floors()
    for name, group in grouped(trials, lambda trial: trial.spec.dataset).items():
        features = group[0].spec.features
        if name not in noted or noted[name].features != features:
            noted[name] = ledger.real_baselines(features).get(name, RealBaseline())
    return {name: found for name, found in noted.items() if found.measures}


def chosen_notes(chosen: Features, trials: Sequence[FinishedTrial]) -> list[str]:
    """That a report's numbers are not by the features that the study was tuned by."""
    if all(map(chosen.are_own, {trial.spec.features_kind for trial in trials})):
        return []
    return [f"all scores are by {chosen.words}: every training was tuned by the study's own measures and measured again so"]


def datasets(trials: Sequence[FinishedTrial]) -> list[DatasetBasis]:
    return [
        DatasetBasis(name, group[0].spec.features, group[0].spec.fingerprint, len(group))
        for name, group in sorted(grouped(trials, lambda trial: trial.spec.dataset).items())
    ]


def run_of(ledger: Ledger, key: str) -> Run | None:
    tracked = ledger.tracked(key)
    if tracked is None:
        return None
    store, experiment, *_ = tracked.store
    return Run(tracked.run_id, experiment, store)


def pictures(ledger: Ledger, key: str) -> dict[str, list]:
    """Kind of picture -> (epoch, path under the study's folder), in the order of epochs."""
    found = {}
    for path in ledger.files(key, "images/*-[0-9]*.png"):
        kind, epoch = path.stem.rsplit("-", 1)
        if epoch.isdigit():
            found.setdefault(kind, []).append((int(epoch), str(path.relative_to(ledger.root))))
    return found


def versions(trials: list[FinishedTrial]) -> dict:
    """What the trials ran on, and what read them."""
    said = {
        word: ", ".join(sorted({value for trial in trials if (value := getattr(trial.result, word))}))
        for word in ("torch", "device")
    }
    protocols = sorted({str(trial.spec.protocol) for trial in trials})
    reader = {name: known for name in PACKAGES if (known := installed(name))}
    return {
        "trained with": {**said, "protocol": ", ".join(protocols)},
        "reported with": {"Python": platform.python_version(), **reader},
    }


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
