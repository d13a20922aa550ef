"""Serves the plan to Ray Tune, pack by pack."""

import logging
import traceback
from collections import Counter, deque
from dataclasses import replace

from ray.tune.search import Searcher

from study.ledger.records import Result, failure
from study.ledger.storage_check import unwritable
from study.space.cells import Cell
from study.sweep.gpu_share import share_after_failures
from study.sweep.plan import Pack, Plan, Trial
from study.sweep.worker_messages import Final, PackConfig

RAY_IS_GONE = "Ray has died on this machine; the same command goes on from here"
log = logging.getLogger(__name__)


class LedgerSearch(Searcher):
    """A Ray Tune Searcher that serves what is left of a plan, commits what comes back, and remembers nothing itself.

    A cell goes on once none of its packs is queued or live: what comes next depends on all of them. What is served next is the
    cell that is furthest, so that results come early.
    seconds(cell), what is left of a cell takes: the dearest begin, so that no long one is left when all others are done.
    commit(trial, result) is called once per finished trial, in the Tune loop: it must be quick and must not raise.
    alive() tells, when a pack's workers have died too often, whether Ray can run anything at all.
    """

    def __init__(self, plan: Plan, config: PackConfig, commit, alive=lambda: True, seconds=lambda cell: 0.0):
        super().__init__(metric="objective", mode="min")
        self.plan, self.config, self.commit, self.alive = plan, config, commit, alive
        self.live: dict[str, Pack] = {}  # by Ray's trial id
        self.losses: Counter = Counter()  # keys of a pack -> how often it was lost together with Tune's loop
        self.queue: deque[Pack] = deque()
        self.cells = deque(self._unfinished(seconds))  # those of which no pack is queued or live
        self.stopped = ""  # why the sweep has to end: the storage folder cannot be used

    def _unfinished(self, seconds) -> list[Cell]:
        """The cells that have something left, those begun first, of these and of the others the dearest."""
        begun = set(self.plan.ledger.keys())
        left = {trial.cell.name: False for trial in self.plan.left()}
        for trial in self.plan.left():
            left[trial.cell.name] |= trial.key in begun
        unfinished = [cell for cell in self.plan.space.cells if cell.name in left]
        return sorted(unfinished, key=lambda cell: (not left[cell.name], -seconds(cell)))

    def suggest(self, trial_id):
        """The next pack's config; None while others must finish first; FINISHED when nothing is left."""
        if any(self.losses[pack.keys] for pack in self.live.values()):
            return None
        while not self.queue and self.cells and not self.stopped:
            self._advance(self.cells.popleft())
        if self.queue and not self.stopped:
            if self.losses[self.queue[0].keys] and self.live:
                return None  # what may have taken all memory runs alone, so that others do not fail with it
            pack = self.live[trial_id] = self.queue.popleft()
            gpus = max(share_after_failures(self.plan.ledger, key, self.config.gpus) for key in pack.keys)
            return replace(self.config, keys=pack.keys, until=pack.until, gpus=gpus).to_tune()
        return None if self.live else Searcher.FINISHED

    def on_trial_complete(self, trial_id, result=None, error=False):
        pack = self.live.pop(trial_id, None)
        if pack is None:
            return
        report = Final.from_tune(result)
        if report.stop:
            self.stopped = report.stop
        elif report and not error:
            self._take(pack, report)
        elif not self.alive():
            self.stopped = RAY_IS_GONE  # no fault of the pack's, which the next launch takes up
        else:
            self._fail(pack, "its worker died more often than it is retried")

    def workers_lost(self, retries: int, reason: str) -> None:
        """Tune's loop has ended with the packs that were live: queue them again, or fail those lost too often."""
        lost, self.live = list(self.live.values()), {}
        for pack in lost:
            self.losses[pack.keys] += 1
            if self.losses[pack.keys] <= retries:
                self.queue.append(pack)  # last, so that those that fit are done before
            else:
                self._fail(pack, reason)

    def save(self, checkpoint_path):
        """Tune's snapshot carries nothing: the ledger is the memory."""

    def restore(self, checkpoint_path):
        """See save."""

    def __getstate__(self):
        return {}  # Tune pickles the searcher beside its snapshot, which is never read

    def _take(self, pack: Pack, report: Final) -> None:
        """Record what came of a pack, and let its cell go on where nothing else of it is under way."""
        trials = {trial.key: trial for trial in pack.trials}
        for key, objective in report.waiting.items():
            self.plan.passed(key, pack.until, objective)
        for result in report.results:
            self._finish(trials[result.key], result)
        self._go_on(pack.cell)

    def _go_on(self, cell: Cell) -> None:
        if not any(pack.cell.name == cell.name for pack in (*self.queue, *self.live.values())):
            self._advance(cell)

    def _advance(self, cell: Cell) -> None:
        """Stop what stops of a cell, and queue what goes on, before what has not begun."""
        try:
            stopped, packs = self.plan.advance(cell)
            for trial, result in stopped:
                self._finish(trial, result)
            self.queue.extendleft(reversed(packs))
            if not packs:
                self.plan.ledger.drop_checkpoints(cell.name)
        except OSError as error:
            self.stopped = unwritable(self.plan.ledger.address, error) or str(error)
        except Exception as error:  # an exception here would end the whole sweep
            reason = f"no params could be proposed: {type(error).__name__}: {error}"
            for trial in self.plan.search[cell.name] + self.plan.confirm[cell.name]:
                if trial.key not in self.plan.results:
                    self._finish(trial, failure(trial.key, None, reason))

    def _fail(self, pack: Pack, reason: str) -> None:
        """The trainings of a pack are tried by themselves, since one of them may have been the others' undoing; one that was
        by itself has failed."""
        if len(pack.trials) > 1:
            return self.queue.extend(Pack((trial,), pack.until) for trial in pack.trials)
        trial = pack.trials[0]
        self._finish(trial, failure(trial.key, self.plan.ledger.spec(trial.key), reason))
        self._go_on(pack.cell)

    def _finish(self, trial: Trial, outcome: Result) -> None:
        try:
            self._commit(trial, outcome)
            self.plan.record(trial, self.plan.ledger.result(trial.key) or outcome)  # the first writer's stands
        except OSError as error:
            self.stopped = unwritable(self.plan.ledger.address, error) or f"{trial.key} could not be recorded: {error}"

    def _commit(self, trial: Trial, outcome: Result) -> None:
        try:
            self.commit(trial, outcome)
        except OSError:
            raise
        except Exception:  # what is only shown must not end the sweep
            log.error("could not commit %s:\n%s", trial.key, traceback.format_exc())
