"""Every training that a space needs, and what of it the ledger lacks. A pure function of the two, kept up to date.

A replicate of a cell is a tuning of its own: rounds of proposals, halved at rungs, and one fresh training of the winner on
held-out data. A training's record is its own; a pack is only how trainings are run, side by side, and is part of no key.
"""

import hashlib
import json
import math
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from study.ledger.files import write_atomic
from study.ledger.folder import PLANNED, STATE, Ledger
from study.ledger.records import FINISHED, CellLine, Replica, Result, Spec
from study.metrics.catalogue import FIRST_RUNG, OBJECTIVE
from study.space.cells import Budget, Cell, import_path, source_arguments
from study.space.foreign_code import codes
from study.space.hyperparameters import program, splitting
from study.space.space import Space
from study.training.replicas import FUSED_PIXELS

PROTOCOL = 3  # raise it when the meaning of a result changes: old trials then keep their keys, new ones get others
# what of a spec two trainings may differ in of which one is the beginning of the other
NO_PART_OF_TRAINING = "key", "epochs", "measured_every", "measures", "claims", "loss_scales", "keeps_state", "goes_on_from"


@dataclass(frozen=True)
class Trial:
    """One training: of a cell and a replicate, with params (None until they are proposed)."""

    key: str
    cell: Cell
    stage: str
    replicate: int
    budget: Budget
    proposal: int = 0  # which of the replicate's, in search
    rungs: tuple[int, ...] = ()  # epochs after which it may be stopped
    params: dict | None = None

    @property
    def seeds(self) -> tuple[int, ...]:
        return (self.replicate,)


@dataclass(frozen=True)
class Pack:
    """Trainings that run side by side up to an epoch, where each has ended or waits for what becomes of it."""

    trials: tuple[Trial, ...]
    until: int

    @property
    def cell(self) -> Cell:
        return self.trials[0].cell

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(trial.key for trial in self.trials)


class Plan:
    """The trainings of `space` against what `ledger` holds.

    identity: dataset name -> what else defines a result there (the fingerprint of the data, the hash of the features,
    the precision of products where it is not float32).
    """

    def __init__(self, space: Space, ledger: Ledger, identity: Mapping[str, Mapping]):
        self.space, self.ledger, self.identity = space, ledger, identity
        self.pack_on_cards = 0  # how many trainings at most run side by side where they have accelerators; 0 where they have none
        self.meant = space.replicates  # those of the whole study, where this plan is a part of it
        self.ranges = {cell.name: space.ranges(cell) for cell in space.cells}
        self.rounds = {cell.name: self._rounds(cell) for cell in space.cells}  # of its search: a list of trials per replicate
        self.search = {
            name: [trial for replicates in rounds for trials in replicates for trial in trials]
            for name, rounds in self.rounds.items()
        }
        self.at_rungs: dict[tuple[str, int], float] = {}  # (key, epoch) -> the objective there
        on_disk = set(ledger.keys())
        self.results = {
            trial.key: result
            for trials in self.search.values()
            for trial in trials
            if trial.key in on_disk and (result := ledger.result(trial.key))
        }
        self.confirm: dict[str, list[Trial]] = {}
        self.noted: dict[str, int] = {}  # how many of a cell's confirm trials planned.jsonl knows
        for cell in space.cells:
            self._plan_confirm(cell)

    def tuned(self, cell: Cell) -> bool:
        """Whether anything is proposed: else there is nothing to search, and replicates are seeds."""
        return bool(self.ranges[cell.name])

    def pack_size(self, cell: Cell) -> int:
        """How many trainings of a cell run side by side at most. A processor trains those of larger images one after the other
        anyway (study/training/replicas.py): there each is a pack of its own, and they spread over all cores."""
        if self.pack_on_cards:
            return self.pack_on_cards
        shape = self.identity[cell.dataset.name].get("shape") or ()
        return self.space.pack if math.prod(shape) <= FUSED_PIXELS else 1

    def record(self, trial: Trial, result: Result) -> None:
        """Take note of a finished training."""
        self.results[trial.key] = result

    def passed(self, key: str, epoch: int, objective: float | None) -> None:
        """Take note of a training that waits at a rung."""
        self.at_rungs[key, epoch] = math.inf if objective is None else objective

    def advance(self, cell: Cell) -> tuple[list[tuple[Trial, Result]], list[Pack]]:
        """Of a cell of which no pack is under way: the trainings that stop at a rung, and the packs that go on. Neither where
        the cell is finished. What is to be run has its spec in the ledger."""
        stopped: list[tuple[Trial, Result]] = []
        for replicates in self.rounds[cell.name]:
            if all(trial.key in self.results for trials in replicates for trial in trials):
                continue
            each, end = len(replicates[0]), replicates[0][0].budget.epochs
            for rung in replicates[0][0].rungs:
                if waiting := [trial for trials in replicates for trial in trials if self._is_before(trial, rung)]:
                    return stopped, self.packs(waiting, each, rung)
                stopped += [pair for trials in replicates for pair in self._stopped(trials, rung)]
                each = kept(each)
            if waiting := [trial for trials in replicates for trial in trials if trial.key not in self.results]:
                return stopped, self.packs(waiting, each, end)
        self._plan_confirm(cell)
        if len(self.confirm[cell.name]) > self.noted.get(cell.name, 0):
            with open(self.ledger.root / PLANNED, "a") as file:
                file.write(planned_line(self, cell))  # the last line of a cell is the one that counts
            self.ledger.publish(PLANNED)
        waiting = [trial for trial in self.confirm[cell.name] if trial.key not in self.results]
        return stopped, self.packs(waiting, 1, self.space.budget(cell).confirm.epochs)

    def trials(self) -> list[Trial]:
        """Every training that is known: confirm trials as soon as there are any."""
        return [trial for part in (self.confirm, self.search) for trials in part.values() for trial in trials]

    def left(self) -> list[Trial]:
        return [trial for trial in self.trials() if trial.key not in self.results]

    def finished(self) -> int:
        """The number of trainings that have a result."""
        return sum(trial.key in self.results for trial in self.trials())

    def planned(self) -> int:
        """The number of trainings in the whole study, those included whose params are not yet known."""
        return sum(map(len, self.search.values())) + self.space.replicates * len(self.space.cells)

    def written_spec(self, trial: Trial) -> Spec:
        """What a worker needs to run the trial: as it stands in the ledger, or new, with what is proposed, and written there."""
        return self.ledger.spec(trial.key, self.results.get(trial.key)) or self.ledger.put_spec(trial.key, self.new_spec(trial))

    def new_spec(self, trial: Trial) -> Spec:
        if trial.stage == "confirm":
            spec = self.spec(trial, trial.params or {}, "confirm")
            return replace(spec, goes_on_from=self.shorter(spec)) if self.space.keep_states else spec
        if trial.proposal == 0:
            params, suggested = self.space.default_proposal(trial.cell)
            return self.spec(trial, params, "default", suggested)
        from study.sweep.optuna_sampler import proposed

        return self.spec(trial, *proposed(self.space, trial, self._earlier(trial)))

    def shorter(self, spec: Spec) -> str | None:
        """The key of the longest training that is a beginning of this one and kept its state."""
        others = [key for key in self.ledger.keys() if key != spec.key and key.startswith(spec.key.rpartition("-")[0])]
        found = [other for key in others if self.ledger.files(key, STATE) and (other := self.ledger.spec(key))]
        beginnings = [
            other
            for other in found
            if other.epochs < spec.epochs and replace(other, **{name: getattr(spec, name) for name in NO_PART_OF_TRAINING}) == spec
        ]
        return max(beginnings, key=lambda other: other.epochs).key if beginnings else None

    def spec(self, trial: Trial, params: dict, proposed_by: str, suggested: Mapping = {}) -> Spec:
        """The spec of a trial with given params."""
        cell = trial.cell
        return Spec(
            key=trial.key,
            space=self.space.name,
            stage=trial.stage,
            seeds=list(trial.seeds),
            proposal=trial.proposal if trial.stage == "search" else None,
            rungs=list(trial.rungs),
            params=params,
            proposed_by=proposed_by,
            suggested=dict(suggested),
            epochs=trial.budget.epochs,
            batch_size=trial.budget.batch_size,
            measured_every=trial.budget.measured_every if trial.stage == "confirm" else None,
            whole_training_set=trial.budget.whole_training_set or None,
            code=self.code(cell),
            ranges=self.ranges[cell.name],
            dataset_slug=cell.dataset.slug,
            **cell.definition(),
            **self.identity[cell.dataset.name],
            source_arguments=source_arguments(cell.dataset) or None,
            origin=self.space.origin,
            measures={name: import_path(measure) for name, measure in self.space.measures.items()},
            claims=self.space.module if self.space.claims else "",
            protocol=PROTOCOL,
            keeps_state=(trial.stage == "confirm" and self.space.keep_states) or None,
            loss_scales={name: str(scale) for name, scale in getattr(cell.model, "loss_scales", {}).items()},
        )

    def code(self, cell: Cell) -> dict:
        """Import path -> digest of what the cell's trainings come from outside the project. Measures are in no key: what they say
        of a training that is done can be found without training it again (study/measure.py)."""
        source = getattr(cell.dataset, "source", cell.dataset)
        return codes([cell.model, cell.net, type(source)])

    def _earlier(self, trial: Trial) -> list[Result]:
        """What came of the replicate's proposals of the rounds before a trial's."""
        found: list[Result] = []
        for replicates in self.rounds[trial.cell.name]:
            if trial in replicates[trial.replicate]:
                break
            found += [self.results[each.key] for each in replicates[trial.replicate]]
        return found

    def _is_before(self, trial: Trial, rung: int) -> bool:
        """Whether a training has still to come to a rung."""
        if trial.key in self.results or (trial.key, rung) in self.at_rungs:
            return False
        self._read_rungs(trial)
        return (trial.key, rung) not in self.at_rungs

    def _read_rungs(self, trial: Trial) -> None:
        for row in self.ledger.rows(trial.key):
            if row.epoch in trial.rungs:
                self.passed(trial.key, row.epoch, (row.values.get(OBJECTIVE) or [None])[0])

    def _stopped(self, trials: Sequence[Trial], rung: int) -> list[tuple[Trial, Result]]:
        """Of one replicate's round the worse half that stops at a rung."""
        going = [trial for trial in trials if not self._has_stopped_before(trial, rung)]
        ranked = sorted(going, key=lambda trial: (self._at(trial, rung), trial.proposal))
        stopped = [(trial, self._stop(trial, rung)) for trial in ranked[kept(len(going)) :] if trial.key not in self.results]
        for trial, result in stopped:
            self.record(trial, result)
        return stopped

    def _has_stopped_before(self, trial: Trial, rung: int) -> bool:
        result = self.results.get(trial.key)
        return result is not None and result.status == "stopped" and result.epochs < rung

    def _at(self, trial: Trial, rung: int) -> float:
        """The objective at a rung; infinite for what diverged or failed."""
        if (result := self.results.get(trial.key)) and result.status in ("diverged", "failed"):
            return math.inf
        if (trial.key, rung) not in self.at_rungs:
            self._read_rungs(trial)
        return self.at_rungs[trial.key, rung]

    def _stop(self, trial: Trial, rung: int) -> Result:
        """The result of a training that is stopped at a rung."""
        value, spec = self._at(trial, rung), self.written_spec(trial)
        objective = value if math.isfinite(value) else None
        first = self._at(trial, trial.rungs[0])
        measures = {OBJECTIVE: objective, FIRST_RUNG: first if math.isfinite(first) else None}
        return Result(
            key=trial.key,
            status="stopped",
            objective=objective,
            measures=measures,
            replicas=[Replica(trial.replicate, "stopped", measures)],
            seeds=list(trial.seeds),
            epochs=rung,
            params=spec.params,
            time=time.time(),
            suggested=spec.suggested,
            spec=spec,
        )

    def packs(self, waiting: Sequence[Trial], each: int, until: int) -> list[Pack]:
        """The trainings that wait, side by side: of as many replicates as a pack holds with `each` of theirs, whether or not all
        of these still wait, so that a launch after a crash makes the same packs; those of another program apart."""
        if not waiting:
            return []
        most = self.pack_size(waiting[0].cell)
        together, blocks = max(1, most // each), {}
        for trial in waiting:
            params = self.written_spec(trial).params
            block = (trial.replicate // together, json.dumps(program(trial.cell, params), sort_keys=True))
            blocks.setdefault(block, []).append(trial)
        return [
            Pack(tuple(trials[start : start + most]), until) for trials in blocks.values() for start in range(0, len(trials), most)
        ]

    def _winner(self, cell: Cell, replicate: int) -> dict | None:
        """The params of a replicate's best proposal; None until all of them have ended. Where none got to its end, the published
        defaults: a cell that diverges is confirmed and counted like any other."""
        trials = [trial for replicates in self.rounds[cell.name] for trial in replicates[replicate]]
        if any(trial.key not in self.results for trial in trials):
            return None
        done = [result for trial in trials if (result := self.results[trial.key]).status == "done"]
        if not done:
            return self.space.default_proposal(cell)[0]
        return min(done, key=lambda result: math.inf if result.objective is None else result.objective).params

    def _plan_confirm(self, cell: Cell) -> None:
        """Plan the confirm trials of the replicates whose search has ended."""
        self.confirm[cell.name] = [
            self._confirm_trial(cell, replicate, params)
            for replicate in range(self.space.replicates)
            if (params := self._winner(cell, replicate)) is not None
        ]
        for trial in self.confirm[cell.name]:
            if trial.key not in self.results and (result := self.ledger.result(trial.key)):
                self.results[trial.key] = result

    def _rounds(self, cell: Cell) -> list[list[list[Trial]]]:
        """The search of a cell: its rounds, in each of them a list of trials per replicate."""
        if not self.tuned(cell):
            return []
        budget, first, rounds = self.space.budget(cell), 0, []
        for index, size in enumerate(self.space.search.rounds):
            proposals = range(first, first + size)
            rounds.append(
                [
                    [self._search_trial(cell, budget, replicate, proposal, index) for proposal in proposals]
                    for replicate in range(self.space.replicates)
                ]
            )
            first += size
        return rounds

    def _search_trial(self, cell: Cell, budget: Budget, replicate: int, proposal: int, index: int) -> Trial:
        """Of a search that decides by the others of a round what is proposed or stopped, its rounds so far are in the key."""
        search = self.space.search
        rungs = tuple(sorted({round(share * budget.epochs) for share in search.rungs} - {0, budget.epochs}))
        told = index > 0 and search.sampler != "quasi-random"
        rule = {"rungs": rungs, "round": search.rounds[index]} if rungs else {}
        rule |= {"sampler": search.sampler, "rounds": list(search.rounds[: index + 1]), "rungs": rungs} if told else {}
        more = {"stage": "search", "replicate": replicate, "proposal": proposal, "ranges": self.ranges[cell.name], **rule}
        key = f"{cell.name}-r{replicate:02d}-search-{proposal:03d}-{self._hash(cell, budget, more)}"
        return Trial(key, cell, "search", replicate, budget, proposal, rungs)

    def _confirm_trial(self, cell: Cell, replicate: int, params: dict) -> Trial:
        budget = self.space.budget(cell).confirm
        fingerprint = self._hash(cell, budget, {"stage": "confirm", "replicate": replicate, "params": params})
        return Trial(f"{cell.name}-r{replicate:02d}-confirm-{fingerprint}", cell, "confirm", replicate, budget, params=params)

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
            **({"whole_training_set": True} if budget.whole_training_set else {}),
            **more,
        }
        return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()[:10]


def kept(going: int) -> int:
    """How many of so many trainings go on beyond a rung."""
    return -(-going // 2)


def counts(plan: Plan, running: frozenset = frozenset()) -> dict[tuple[str, str], dict]:
    """(model, dataset) -> planned, running, done, stopped, diverged, failed, left."""
    table = {}
    for cell in plan.space.cells:
        row = table.setdefault((cell.family, cell.dataset.name), dict.fromkeys(("planned", "running", *FINISHED, "left"), 0))
        trials = plan.search[cell.name] + plan.confirm[cell.name]
        for trial in trials:
            result = plan.results.get(trial.key)
            row["running" if trial.key in running and not result else result.status if result else "left"] += 1
        unknown = plan.space.replicates - len(plan.confirm[cell.name])
        row["planned"] += len(trials) + unknown
        row["left"] += unknown
    return table


@dataclass(frozen=True)
class Stretch:
    """What lies between two epochs at which trainings of a cell wait for one another: so many of them, in so many packs, which
    train so many epochs together. Fractions where it depends on who stops at a rung."""

    stage: str
    trainings: float
    epochs: float
    packs: int


def stretches(plan: Plan, cell: Cell, reached: Mapping[str, float] = {}) -> list[Stretch]:
    """What a cell still lacks, one after the other; `reached`: key -> the epoch where a training is."""
    found: list[Stretch] = []
    for replicates in plan.rounds[cell.name]:
        trials = [trial for trials in replicates for trial in trials if trial.key not in plan.results]
        at = [(trial.replicate, reached.get(trial.key, 0)) for trial in trials]
        decided = {
            (trial.replicate, result.epochs)
            for trials in replicates
            for trial in trials
            if (result := plan.results.get(trial.key)) and result.status == "stopped"
        }
        found += _stretches(plan, cell, "search", at, replicates[0][0].rungs, len(replicates[0]), decided)
    keys = {trial.replicate: trial.key for trial in plan.confirm[cell.name]}
    lacking = [replicate for replicate in range(plan.space.replicates) if keys.get(replicate) not in plan.results]
    return found + _stretches(plan, cell, "confirm", [(each, reached.get(keys.get(each, ""), 0)) for each in lacking])


def _stretches(
    plan, cell, stage, at: Sequence[tuple[int, float]], rungs: Sequence[int] = (), each: int = 1, decided: Collection = ()
) -> list[Stretch]:
    """Of trainings `at` (replicate, epoch), of which every replicate began with `each`: as if half of those that come to a rung
    stopped there, but for those `decided`, (replicate, rung), where the others have stopped already."""
    found, before = [], 0
    budget = plan.space.budget(cell)
    for until in (*rungs, (budget.confirm if stage == "confirm" else budget).epochs):
        together, epochs, blocks = max(1, plan.pack_size(cell) // each), 0.0, defaultdict(float)
        for replicate, epoch in at:
            if epoch < until:
                chance = 0.5 ** sum(epoch <= rung <= before and (replicate, rung) not in decided for rung in rungs)
                epochs += chance * (until - max(before, epoch))
                blocks[replicate // together] += chance
        if epochs:
            packs = sum(_packs(plan, cell, trainings) for trainings in blocks.values())
            found.append(Stretch(stage, sum(blocks.values()), epochs, packs))
        before, each = until, kept(each)
    return found


def _packs(plan: Plan, cell: Cell, trainings: float) -> int:
    """How many packs the trainings of a block make (Plan.packs), where every program that is searched occurs equally often."""
    apart = splitting(cell, plan.ranges[cell.name]).values()
    programs = math.inf if None in apart else math.prod(len(values) for values in apart if values is not None)
    programs = max(1, round(min(programs, trainings)))
    return programs * math.ceil(trainings / programs / plan.pack_size(cell))


def write_planned(plan: Plan) -> None:
    """planned.jsonl: what this launch means to do, a line per cell, so that a status needs neither space nor torch."""
    lines = [planned_line(plan, cell) for cell in plan.space.cells]
    write_atomic(plan.ledger.root / PLANNED, "".join(lines).encode())
    plan.ledger.publish(PLANNED)


def planned_line(plan: Plan, cell: Cell) -> str:
    plan.noted[cell.name] = len(plan.confirm[cell.name])
    line = CellLine(
        cell=cell.name,
        model=cell.family,
        dataset=cell.dataset.name,
        planned=(len(plan.search[cell.name]) // plan.space.replicates + 1) * plan.meant,
        trials=[trial.key for trial in plan.search[cell.name] + plan.confirm[cell.name]],
        settings=dict(cell.settings),
    )
    return json.dumps(line.to_json()) + "\n"
