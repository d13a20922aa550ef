"""Serves the plan to Ray Tune."""

import logging
import traceback
from collections import Counter, deque
from dataclasses import replace

from ray.tune.search import Searcher

from study.ledger.records import Result, Spec, failure
from study.ledger.storage_check import unwritable
from study.sweep.gpu_share import share_after_failures
from study.sweep.optuna_sampler import GroupSampler
from study.sweep.plan import Plan, Trial
from study.sweep.worker_messages import Final, TrialConfig

RAY_IS_GONE = "Ray has died on this machine; the same command goes on from here"
log = logging.getLogger(__name__)


class LedgerSearch(Searcher):
    """A Ray Tune Searcher that serves what is left of a plan, commits what comes back, and remembers nothing itself.

    commit(trial, result) is called once per finished trial, in the Tune loop: it must be quick and must not raise.
    alive() tells, when a trial's workers have died too often, whether Ray can run anything at all.
    """

    def __init__(self, plan: Plan, config: TrialConfig, commit, alive=lambda: True):
        super().__init__(metric="objective", mode="min")
        self.plan, self.config, self.commit, self.alive = plan, config, commit, alive
        self.samplers = {}
        self.live = {}  # Ray's trial id -> Trial
        self.losses = Counter()  # trial key -> how often it was lost together with Tune's loop
        left = plan.left()
        begun = set(plan.ledger.keys())
        self.queue = deque(sorted(left, key=lambda trial: trial.key not in begun))  # unfinished first; a stable sort
        for trials in plan.search.values():
            for trial in trials:
                if result := plan.results.get(trial.key):
                    self._learn(trial, result)
        self.stopped = ""  # why the sweep has to end: the storage folder cannot be used

    def suggest(self, trial_id):
        """The next trial's config; None while others must finish first; FINISHED when nothing is left."""
        if any(self.losses[trial.key] for trial in self.live.values()):
            return None
        while self.queue and not self.stopped:
            if self.losses[self.queue[0].key] and self.live:
                return None  # what may have taken all memory runs alone, so that others do not fail with it
            trial = self.queue.popleft()
            try:
                self._spec(trial)
            except OSError as error:
                self.stopped = unwritable(self.plan.ledger.address, error) or str(error)
                break
            except Exception as error:  # an exception here would end the whole sweep
                self._finish(trial, failure(trial.key, None, f"no params could be proposed: {type(error).__name__}: {error}"))
                continue
            self.live[trial_id] = trial
            gpus = share_after_failures(self.plan.ledger, trial.key, self.config.gpus)
            return replace(self.config, key=trial.key, gpus=gpus).to_tune()
        return None if self.live else Searcher.FINISHED

    def on_trial_complete(self, trial_id, result=None, error=False):
        trial = self.live.pop(trial_id, None)
        if trial is None:
            return
        report = Final.from_tune(result)
        if report.stop:
            self.stopped = report.stop
        elif report.result and not error:
            self._finish(trial, report.result)
        elif not self.alive():
            self.stopped = RAY_IS_GONE  # no fault of the trial's, which the next launch takes up
        else:
            self._fail(trial, "its worker died more often than it is retried")

    def workers_lost(self, retries: int, reason: str) -> None:
        """Tune's loop has ended with the trials that were live: queue them again, or fail those lost too often."""
        lost, self.live = list(self.live.values()), {}
        for trial in lost:
            self.losses[trial.key] += 1
            if self.losses[trial.key] <= retries:
                self.queue.append(trial)  # last, so that those that fit are done before
            else:
                self._fail(trial, reason)

    def save(self, checkpoint_path):
        """Tune's snapshot carries nothing: the ledger is the memory."""

    def restore(self, checkpoint_path):
        """See save."""

    def __getstate__(self):
        return {}  # Tune pickles the searcher beside its snapshot, which is never read

    def _spec(self, trial: Trial) -> Spec:
        """The spec that stands in the ledger, or a new one, written before the trial is dispatched."""
        spec = self.plan.ledger.spec(trial.key)
        sampler = self._sampler(trial)
        if spec is None:
            spec = self.plan.ledger.put_spec(trial.key, self._proposed(trial, sampler))
        if trial.stage == "search":
            sampler.running[trial.key] = (trial.cell.name, spec.suggested)
        return spec

    def _proposed(self, trial: Trial, sampler: GroupSampler) -> Spec:
        if trial.stage == "confirm":
            return self.plan.spec(trial, trial.params or {}, "confirm")
        if trial.proposal == 0:
            params, suggested, who = *self.plan.space.default_proposal(trial.cell), "default"
        else:
            params, suggested, who = sampler.ask(trial)
        return self.plan.spec(trial, params, who, suggested)

    def _fail(self, trial: Trial, reason: str) -> None:
        self._finish(trial, failure(trial.key, self.plan.ledger.spec(trial.key), reason))

    def _finish(self, trial: Trial, outcome: Result) -> None:
        self._learn(trial, outcome)
        try:
            self._commit(trial, outcome)
            result = self.plan.ledger.result(trial.key) or outcome  # the first writer's stands
            self.queue.extendleft(reversed(self.plan.record(trial, result)))
        except OSError as error:
            self.stopped = unwritable(self.plan.ledger.address, error) or f"{trial.key} could not be recorded: {error}"

    def _commit(self, trial: Trial, outcome: Result) -> None:
        try:
            self.commit(trial, outcome)
        except OSError:
            raise
        except Exception:  # what is only shown must not end the sweep
            log.error("could not commit %s:\n%s", trial.key, traceback.format_exc())

    def _learn(self, trial: Trial, result: Result) -> None:
        """Diverged and failed trials take the worst rank."""
        if trial.stage != "search":
            return
        sampler = self._sampler(trial)
        sampler.running.pop(trial.key, None)
        good = result.status == "done" and result.objective is not None
        rank_key = result.objective if good else float("inf")
        sampler.finished[trial.cell.name].append((rank_key, result.suggested))

    def _sampler(self, trial: Trial) -> GroupSampler:
        group = (trial.cell.model, trial.cell.net.name, trial.cell.dataset.name)
        if group not in self.samplers:
            self.samplers[group] = GroupSampler(self.plan.space.propose, self.plan.ranges)
        return self.samplers[group]
