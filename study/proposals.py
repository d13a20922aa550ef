"""Serves the plan to Ray Tune, and proposes hyperparameters with Optuna: the only place of optuna.

    python study/proposals.py export --space latent_sweep --out proposals.db     for optuna-dashboard sqlite:///proposals.db

Coverage comes from the plan, never from the adviser: Optuna is asked only for the params inside a cell. What it is told
is the RANK of a trial inside its cell, so that easy cells do not own the good half of its model. One in-memory study per
(model, net, dataset), rebuilt from finished trials at each ask; nothing of it is stored.
"""
import argparse
import json
import logging
import shlex
import sys
import traceback
import zlib
from collections import Counter, defaultdict, deque
from pathlib import Path

if __name__ == "__main__":  # this clone's code, whatever is installed, and not study/ itself, where Python looks first
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial
from ray.tune.search import Searcher

from study.command import DONE, add_study, run_command
from study.errors import UserError
from study.ledger.folder import Ledger, finished
from study.ledger.opening import open_study
from study.ledger.records import failure
from study.ledger.storage_check import unwritable
from study.plan import Plan, Trial
from study.space.cells import label

RANDOM_FIRST = 8    # finished proposals of a group before the adviser models anything: those until then are random
RAY_IS_GONE = "Ray has died on this machine; the same command goes on from here"
MEMORY = 200        # finished trials at most that a rebuild looks at, the cell's own first: an ask costs the same for ever

optuna.logging.set_verbosity(optuna.logging.ERROR)
log = logging.getLogger(__name__)


def distribution(limits: dict):
    """The Optuna distribution of one recorded range."""
    if "choices" in limits:
        return CategoricalDistribution(limits["choices"])
    kind = IntDistribution if limits["type"] == "int" else FloatDistribution
    return kind(limits["low"], limits["high"], log=limits["log"], step=limits["step"])


class Adviser:
    """Proposes params for one group of cells that share a model, a net and a dataset."""

    def __init__(self, propose, ranges_of):
        self.propose, self.ranges_of = propose, ranges_of
        self.finished = defaultdict(list)  # cell name -> (rank key, drawn values), in order of finishing
        self.running = {}                  # trial key -> (cell name, drawn values)

    def ask(self, trial: Trial) -> tuple[dict, dict, str]:
        """(params, the values drawn, who proposed: 'random' or 'tpe') for a trial of this group."""
        study = self._study(trial)
        drawn = sum(max(0, len(rows) - 1) for rows in self.finished.values())  # proposal 0 was not drawn by anyone
        seed = zlib.crc32(trial.key.encode())  # a constant seed would draw the first proposals again after a rebuild
        random = drawn < RANDOM_FIRST
        study.sampler = optuna.samplers.RandomSampler(seed=seed) if random else optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=0, constant_liar=True)
        asked = study.ask()
        params = self.propose(asked, trial.cell)
        return params, asked.params, "random" if random else "tpe"

    def _study(self, trial: Trial) -> optuna.Study:
        study = optuna.create_study()
        for name, value, drawn in self._remembered(trial.cell.name):
            study.add_trial(create_trial(value=value, **self._known(name, drawn)))
        for name, drawn in self.running.values():
            study.add_trial(create_trial(state=TrialState.RUNNING, **self._known(name, drawn)))
        return study

    def _remembered(self, own: str):
        """(cell, rank inside the cell from 0 to 1, values drawn), of at most MEMORY trials, the own cell's first."""
        room = MEMORY
        for name in sorted(self.finished, key=lambda name: name != own):
            ranked = sorted(self.finished[name], key=lambda row: row[0])
            if not room:
                return
            kept = list(enumerate(ranked))[::-(-len(ranked) // room)]  # evenly over the ranks
            for rank, (_, drawn) in kept:
                yield name, (rank + 0.5) / len(ranked), drawn
            room -= len(kept)

    def _known(self, name: str, drawn: dict) -> dict:
        """The values drawn that have a recorded range (one behind an `if` in propose() may have none)."""
        ranges = self.ranges_of[name]
        return {"params": {key: value for key, value in drawn.items() if key in ranges},
                "distributions": {key: distribution(ranges[key]) for key in drawn if key in ranges}}


class LedgerSearch(Searcher):
    """A Ray Tune Searcher that serves what is left of a plan, commits what comes back, and remembers nothing itself.

    commit(trial, result) is called once per finished trial, in the Tune loop: it must be quick and must not raise.
    alive() tells, when a trial's workers have died too often, whether Ray can run anything at all.
    """

    def __init__(self, plan: Plan, settings: dict, commit, alive=lambda: True):
        super().__init__(metric="objective", mode="min")
        self.plan, self.settings, self.commit, self.alive = plan, settings, commit, alive
        self.advisers = {}
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
                self._finish(trial, failure(trial.key, {}, f"no params could be proposed: {type(error).__name__}: {error}"))
                continue
            self.live[trial_id] = trial
            gpus = self.plan.ledger.share(trial.key, self.settings.get("gpus", 0))
            return {"key": trial.key, **self.settings, "gpus": gpus}
        return None if self.live else Searcher.FINISHED

    def on_trial_complete(self, trial_id, result=None, error=False):
        trial = self.live.pop(trial_id, None)
        if trial is None:
            return
        if (result or {}).get("stop"):
            self.stopped = result["stop"]
            return
        text = (result or {}).get("outcome")
        if (error or not text) and not self.alive():
            self.stopped = RAY_IS_GONE  # no fault of the trial's, which the next launch takes up
            return
        self._finish(trial, json.loads(text) if text and not error else
                     failure(trial.key, self.plan.ledger.spec(trial.key) or {}, "its worker died more often than it is retried"))

    def workers_lost(self, retries: int, reason: str) -> None:
        """Tune's loop has ended with the trials that were live: queue them again, or fail those lost too often."""
        lost, self.live = list(self.live.values()), {}
        for trial in lost:
            self.losses[trial.key] += 1
            if self.losses[trial.key] <= retries:
                self.queue.append(trial)  # last, so that those that fit are done before
            else:
                self._finish(trial, failure(trial.key, self.plan.ledger.spec(trial.key) or {}, reason))

    def save(self, checkpoint_path):
        """Tune's snapshot carries nothing: the ledger is the memory."""

    def restore(self, checkpoint_path):
        """See save."""

    def __getstate__(self):
        return {}  # Tune pickles the searcher beside its snapshot, which is never read

    def _spec(self, trial: Trial) -> dict:
        """The spec that stands in the ledger, or a new one, written before the trial is dispatched."""
        spec = self.plan.ledger.spec(trial.key)
        adviser = self._adviser(trial)
        if spec is None:
            spec = self.plan.ledger.put_spec(trial.key, self._proposed(trial, adviser))
        if trial.stage == "search":
            adviser.running[trial.key] = (trial.cell.name, spec["drawn"])
        return spec

    def _proposed(self, trial: Trial, adviser: Adviser) -> dict:
        if trial.stage == "confirm":
            return {**self.plan.spec(trial, trial.params, "confirm"), "drawn": {}}
        if trial.proposal == 0:
            params, drawn, who = *self.plan.space.default_proposal(trial.cell), "default"
        else:
            params, drawn, who = adviser.ask(trial)
        return {**self.plan.spec(trial, params, who), "drawn": drawn}

    def _finish(self, trial: Trial, outcome: dict) -> None:
        self._learn(trial, outcome)
        try:
            self._commit(trial, outcome)
            result = self.plan.ledger.result(trial.key) or outcome  # the first writer's stands
            self.queue.extendleft(reversed(self.plan.record(trial, result)))
        except OSError as error:
            self.stopped = unwritable(self.plan.ledger.address, error) or f"{trial.key} could not be recorded: {error}"

    def _commit(self, trial: Trial, outcome: dict) -> None:
        try:
            self.commit(trial, outcome)
        except OSError:
            raise
        except Exception:  # what is only shown must not end the sweep
            log.error("could not commit %s:\n%s", trial.key, traceback.format_exc())

    def _learn(self, trial: Trial, result: dict) -> None:
        """Diverged and failed trials take the worst rank."""
        if trial.stage != "search":
            return
        adviser = self._adviser(trial)
        adviser.running.pop(trial.key, None)
        good = result["status"] == "done" and result["objective"] is not None
        rank_key = result["objective"] if good else float("inf")
        adviser.finished[trial.cell.name].append((rank_key, result.get("drawn", {})))

    def _adviser(self, trial: Trial) -> Adviser:
        group = (trial.cell.model, trial.cell.net.name, trial.cell.dataset.name)
        if group not in self.advisers:
            self.advisers[group] = Adviser(self.plan.space.propose, self.plan.ranges)
        return self.advisers[group]


def export(ledger: Ledger, space: str, storage: str) -> int:
    """Write every finished search trial into an Optuna storage, one study per model, net and dataset; how many.

    The value is the objective itself, for people to look at; what the adviser is told is the rank inside the cell.
    """
    studies, count = {}, 0
    for key, spec, result in finished(ledger):
        if spec["stage"] != "search":
            continue
        name = f"{space}/{label(spec['model'])}-{label(spec['net'])}-{spec['dataset_slug']}"
        if name not in studies:
            studies[name] = fresh_study(name, storage)
        known = {name: value for name, value in spec["drawn"].items() if name in spec["ranges"]}
        studies[name].add_trial(create_trial(
            params=known, distributions={name: distribution(spec["ranges"][name]) for name in known},
            value=result["objective"], state=TrialState.COMPLETE if result["status"] == "done" else TrialState.FAIL,
            user_attrs={"trial_key": key, "depth": spec["depth"], "latent_dim": spec["latent_dim"],
                        "proposed_by": spec["proposed_by"], "status": result["status"]}))
        count += 1
    return count


def fresh_study(name: str, storage: str) -> optuna.Study:
    """An empty study of that name: the ledger is the memory, so what an earlier export wrote is replaced."""
    try:
        optuna.delete_study(study_name=name, storage=storage)
    except KeyError:
        pass
    return optuna.create_study(study_name=name, storage=storage)


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["export"])
    add_study(parser)
    parser.add_argument("--out", type=Path, default=Path("proposals.db"))
    options = parser.parse_args(arguments)
    ledger = open_study(options.storage, options.space)
    if not ledger.keys():
        raise UserError(f"no trials of '{options.space}' under {options.storage}; is --storage right?")
    from study.mlflow_store import uri_of
    count = export(ledger, ledger.root.name, uri_of(options.out.resolve()))
    print(f"{count} proposals are in {options.out}: {shlex.join(['optuna-dashboard', uri_of(options.out)])}")
    return DONE


if __name__ == "__main__":
    sys.exit(run_command(main))
