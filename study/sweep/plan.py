"""Every trial that a space needs, and what of it the ledger lacks. A pure function of the two, kept up to date."""

import hashlib
import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from study.ledger.files import write_atomic
from study.ledger.folder import PLANNED, Ledger
from study.ledger.records import FINISHED, CellLine, Result, Spec
from study.space.cells import Budget, Cell, import_path
from study.space.foreign_code import codes
from study.space.space import Space

PROTOCOL = 2  # raise it when the meaning of a result changes: old trials then keep their keys, new ones get others


@dataclass(frozen=True)
class Trial:
    """One job: a cell, its params (None until they are proposed), a stage and its seeds."""

    key: str
    cell: Cell
    stage: str
    seeds: tuple[int, ...]
    budget: Budget
    proposal: int | None = None
    params: dict | None = None


class Plan:
    """The trials of `space` in the order in which they should run, against what `ledger` holds.

    identity: dataset name -> what else defines a result there (the fingerprint of the data, the hash of the features,
    the precision of products where it is not float32).
    """

    def __init__(self, space: Space, ledger: Ledger, identity: Mapping[str, Mapping]):
        self.space, self.ledger, self.identity = space, ledger, identity
        self.ranges = {cell.name: space.ranges(cell) for cell in space.cells}
        self.listed = defaultdict(list)  # cell name -> (key, first seed, last seed) of its confirm trials on disk
        for key in ledger.keys():
            if match := re.fullmatch(r"(.+)-confirm-s(\d+)to(\d+)-[0-9a-f]{10}", key):
                self.listed[match[1]].append((key, int(match[2]), int(match[3])))
        self.search = {
            cell.name: [self._search_trial(cell, index) for index in range(self.proposals(cell))] for cell in space.cells
        }
        on_disk = set(ledger.keys())
        self.results = {
            trial.key: result
            for trials in self.search.values()
            for trial in trials
            if trial.key in on_disk and (result := ledger.result(trial.key))
        }
        self.confirm = {}
        for cell in space.cells:
            self._plan_confirm(cell)

    def proposals(self, cell: Cell) -> int:
        """Trainings in search: one where nothing is proposed, since the others would only repeat it."""
        return self.space.proposals if self.ranges[cell.name] else 1

    def record(self, trial: Trial, result: Result) -> list[Trial]:
        """Take note of a finished trial; the confirm trials that this brings into the plan and that are left to run."""
        self.results[trial.key] = result
        if trial.stage == "confirm":
            return []
        self._plan_confirm(trial.cell)
        if trial.cell.name in self.confirm:
            with open(self.ledger.root / PLANNED, "a") as file:
                file.write(planned_line(self, trial.cell))  # the last line of a cell is the one that counts
            self.ledger.publish(PLANNED)
        return [new for new in self.confirm.get(trial.cell.name, []) if new.key not in self.results]

    def trials(self) -> list[Trial]:
        """Confirm trials first, as soon as there are any, then proposal by proposal over all cells, so that at any
        moment every cell has had about as many proposals as any other."""
        confirm = [trial for trials in self.confirm.values() for trial in trials]
        depth = max((len(trials) for trials in self.search.values()), default=0)
        return confirm + [trials[index] for index in range(depth) for trials in self.search.values() if index < len(trials)]

    def left(self) -> list[Trial]:
        return [trial for trial in self.trials() if trial.key not in self.results]

    def finished(self) -> int:
        """The number of trials that have a result."""
        return sum(trial.key in self.results for trial in self.trials())

    def planned(self) -> int:
        """The number of trials in the whole study, those included whose params are not yet known."""
        return sum(len(trials) + self.packs(name) for name, trials in self.search.items())

    def packs(self, name: str) -> int:
        """How many confirm trials a cell has, or will have."""
        return len(self.confirm[name]) if name in self.confirm else -(-self.space.seeds // self.space.pack)

    def best(self, cell: Cell) -> Trial | None:
        """The search trial with the lowest objective, with its params; None until all of the cell's are finished.
        Where none is done, proposal 0: a cell that diverges is confirmed and counted like any other."""
        trials = self.search[cell.name]
        if any(trial.key not in self.results for trial in trials):
            return None
        done = [trial for trial in trials if self.results[trial.key].status == "done"]
        best = min(done, key=self._objective) if done else trials[0]
        return replace(best, params=self.results[best.key].params)

    def _objective(self, trial: Trial) -> float:
        value = self.results[trial.key].objective
        return math.inf if value is None else value

    def spec(self, trial: Trial, params: dict, proposed_by: str, suggested: Mapping = {}) -> Spec:
        """What a worker needs to run the trial."""
        cell = trial.cell
        return Spec(
            key=trial.key,
            space=self.space.name,
            stage=trial.stage,
            seeds=list(trial.seeds),
            proposal=trial.proposal,
            params=params,
            proposed_by=proposed_by,
            suggested=dict(suggested),
            epochs=trial.budget.epochs,
            batch_size=trial.budget.batch_size,
            code=self.code(cell),
            ranges=self.ranges[cell.name],
            dataset_slug=cell.dataset.slug,
            **cell.definition(),
            **self.identity[cell.dataset.name],
            origin=self.space.origin,
            measures={name: import_path(measure) for name, measure in self.space.measures.items()},
            claims=self.space.module if self.space.claims else "",
            protocol=PROTOCOL,
            loss_scales={name: str(scale) for name, scale in getattr(cell.model, "loss_scales", {}).items()},
        )

    def code(self, cell: Cell) -> dict:
        """Import path -> digest of what the cell's results come from outside the project."""
        source = getattr(cell.dataset, "source", cell.dataset)
        return codes([cell.model, cell.net, type(source), *self.space.measures.values()])

    def _plan_confirm(self, cell: Cell) -> None:
        best = self.best(cell)
        if best is None:
            return
        packs = self._existing_packs(cell, best.params)
        covered = {seed for seeds in packs for seed in seeds}
        missing = [seed for seed in range(self.space.seeds) if seed not in covered]
        packs += list(contiguous(missing, self.space.pack))
        self.confirm[cell.name] = [self._confirm_trial(cell, seeds, best.params) for seeds in sorted(packs)]
        for trial in self.confirm[cell.name]:
            if trial.key not in self.results and (result := self.ledger.result(trial.key)):
                self.results[trial.key] = result

    def _existing_packs(self, cell: Cell, params: dict | None) -> list[tuple[int, ...]]:
        """The seeds of confirm trials that are in the ledger already: raising --seeds only adds to them."""
        packs = []
        for key, first, last in self.listed[cell.name]:
            seeds = tuple(range(first, last + 1))
            if first < self.space.seeds and key == self._confirm_trial(cell, seeds, params).key:
                packs.append(seeds)
        return packs

    def _search_trial(self, cell: Cell, proposal: int) -> Trial:
        budget = self.space.budget(cell)
        fingerprint = self._hash(
            cell, budget, {"stage": "search", "seeds": [0], "proposal": proposal, "ranges": self.ranges[cell.name]}
        )
        return Trial(f"{cell.name}-search-{proposal:03d}-{fingerprint}", cell, "search", (0,), budget, proposal)

    def _confirm_trial(self, cell: Cell, seeds: tuple[int, ...], params: dict | None) -> Trial:
        budget = self.space.budget(cell)
        fingerprint = self._hash(cell, budget, {"stage": "confirm", "seeds": list(seeds), "params": params})
        key = f"{cell.name}-confirm-s{seeds[0]:02d}to{seeds[-1]:02d}-{fingerprint}"
        return Trial(key, cell, "confirm", seeds, budget, None, params)

    def _hash(self, cell: Cell, budget: Budget, more: dict) -> str:
        """Ten hexadecimal digits of everything that defines the result; nothing that only changes speed or place."""
        code = self.code(cell)
        definition = {
            **cell.definition(),
            **({"code": code} if code else {}),
            "dataset": cell.dataset.slug,
            **self.identity[cell.dataset.name],
            "epochs": budget.epochs,
            "batch_size": budget.batch_size,
            "protocol": PROTOCOL,
            **more,
        }
        return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()[:10]


def contiguous(seeds: list[int], size: int):
    """Runs of neighbouring seeds, at most `size` each."""
    run = []
    for seed in seeds:
        if run and (seed != run[-1] + 1 or len(run) == size):
            yield tuple(run)
            run = []
        run.append(seed)
    if run:
        yield tuple(run)


def counts(plan: Plan, running: frozenset = frozenset()) -> dict[tuple[str, str], dict]:
    """(model, dataset) -> planned, running, done, diverged, failed, left."""
    table = {}
    for cell in plan.space.cells:
        row = table.setdefault((cell.family, cell.dataset.name), dict.fromkeys(("planned", "running", *FINISHED, "left"), 0))
        trials = plan.search[cell.name] + plan.confirm.get(cell.name, [])
        for trial in trials:
            result = plan.results.get(trial.key)
            row["running" if trial.key in running and not result else result.status if result else "left"] += 1
        unknown = 0 if cell.name in plan.confirm else plan.packs(cell.name)
        row["planned"] += len(trials) + unknown
        row["left"] += unknown
    return table


def seeds_left(plan: Plan, cell) -> int:
    """Trainings that a cell still lacks, those whose params are not known yet included."""
    trials = plan.search[cell.name] + plan.confirm.get(cell.name, [])
    seeds = sum(len(trial.seeds) for trial in trials if trial.key not in plan.results)
    return seeds + (0 if cell.name in plan.confirm else plan.space.seeds)


def write_planned(plan: Plan) -> None:
    """planned.jsonl: what this launch means to do, a line per cell, so that a status needs neither space nor torch."""
    lines = [planned_line(plan, cell) for cell in plan.space.cells]
    write_atomic(plan.ledger.root / PLANNED, "".join(lines).encode())
    plan.ledger.publish(PLANNED)


def planned_line(plan: Plan, cell: Cell) -> str:
    line = CellLine(
        cell=cell.name,
        model=cell.family,
        dataset=cell.dataset.name,
        planned=len(plan.search[cell.name]) + plan.packs(cell.name),
        trials=[trial.key for trial in plan.search[cell.name] + plan.confirm.get(cell.name, [])],
    )
    return json.dumps(line.to_json()) + "\n"
