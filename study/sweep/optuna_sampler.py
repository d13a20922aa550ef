"""Proposes hyperparameters with Optuna, and shows it what was proposed: the only place of optuna.

Coverage comes from the plan, never from the sampler: Optuna is asked only for the params inside a cell. What it is told
is the RANK of a trial inside its cell, so that easy cells do not own the good half of its model. One in-memory study per
(model, net, dataset), rebuilt from finished trials at each ask; nothing of it is stored.
"""

import zlib
from collections import defaultdict

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from study.ledger.folder import Ledger, finished
from study.space.cells import label
from study.sweep.plan import Trial

RANDOM_FIRST = 8  # finished proposals of a group before the sampler models anything: those until then are random
MEMORY = 200  # finished trials at most that a rebuild looks at, the cell's own first: an ask costs the same for ever

optuna.logging.set_verbosity(optuna.logging.ERROR)


def distribution(limits: dict):
    """The Optuna distribution of one recorded range."""
    if "choices" in limits:
        return CategoricalDistribution(limits["choices"])
    kind = IntDistribution if limits["type"] == "int" else FloatDistribution
    return kind(limits["low"], limits["high"], log=limits["log"], step=limits["step"])


class GroupSampler:
    """Proposes params for one group of cells that share a model, a net and a dataset."""

    def __init__(self, propose, ranges_of):
        self.propose, self.ranges_of = propose, ranges_of
        self.finished = defaultdict(list)  # cell name -> (rank key, suggested values), in order of finishing
        self.running = {}  # trial key -> (cell name, suggested values)

    def ask(self, trial: Trial) -> tuple[dict, dict, str]:
        """(params, the values suggested, who proposed: 'random' or 'tpe') for a trial of this group."""
        study = self._study(trial)
        suggested = sum(max(0, len(rows) - 1) for rows in self.finished.values())  # proposal 0 was not suggested by anyone
        seed = zlib.crc32(trial.key.encode())  # a constant seed would draw the first proposals again after a rebuild
        random = suggested < RANDOM_FIRST
        study.sampler = (
            optuna.samplers.RandomSampler(seed=seed)
            if random
            else optuna.samplers.TPESampler(seed=seed, n_startup_trials=0, constant_liar=True)
        )
        asked = study.ask()
        params = self.propose(asked, trial.cell)
        return params, asked.params, "random" if random else "tpe"

    def _study(self, trial: Trial) -> optuna.Study:
        study = optuna.create_study()
        for name, value, suggested in self._remembered(trial.cell.name):
            study.add_trial(create_trial(value=value, **self._known(name, suggested)))
        for name, suggested in self.running.values():
            study.add_trial(create_trial(state=TrialState.RUNNING, **self._known(name, suggested)))
        return study

    def _remembered(self, own: str):
        """(cell, rank inside the cell from 0 to 1, values suggested), of at most MEMORY trials, the own cell's first."""
        room = MEMORY
        for name in sorted(self.finished, key=lambda name: name != own):
            ranked = sorted(self.finished[name], key=lambda row: row[0])
            if not room:
                return
            kept = list(enumerate(ranked))[:: -(-len(ranked) // room)]  # evenly over the ranks
            for rank, (_, suggested) in kept:
                yield name, (rank + 0.5) / len(ranked), suggested
            room -= len(kept)

    def _known(self, name: str, suggested: dict) -> dict:
        """The values suggested that have a recorded range (one behind an `if` in propose() may have none)."""
        ranges = self.ranges_of[name]
        return {
            "params": {key: value for key, value in suggested.items() if key in ranges},
            "distributions": {key: distribution(ranges[key]) for key in suggested if key in ranges},
        }


def export(ledger: Ledger, space: str, storage: str) -> int:
    """Write every finished search trial into an Optuna storage, one study per model, net and dataset; how many.

    The value is the objective itself, for people to look at; what the sampler is told is the rank inside the cell.
    """
    studies, count = {}, 0
    for key, spec, result in finished(ledger):
        if spec.stage != "search":
            continue
        name = f"{space}/{label(spec.model)}-{label(spec.net)}-{spec.dataset_slug}"
        if name not in studies:
            studies[name] = fresh_study(name, storage)
        known = {name: value for name, value in spec.suggested.items() if name in spec.ranges}
        studies[name].add_trial(
            create_trial(
                params=known,
                distributions={name: distribution(spec.ranges[name]) for name in known},
                value=result.objective,
                state=TrialState.COMPLETE if result.status == "done" else TrialState.FAIL,
                user_attrs={
                    "trial_key": key,
                    "depth": spec.depth,
                    "latent_dim": spec.latent_dim,
                    "proposed_by": spec.proposed_by,
                    "status": result.status,
                },
            )
        )
        count += 1
    return count


def fresh_study(name: str, storage: str) -> optuna.Study:
    """An empty study of that name: the ledger is the memory, so what an earlier export wrote is replaced."""
    try:
        optuna.delete_study(study_name=name, storage=storage)
    except KeyError:
        pass
    return optuna.create_study(study_name=name, storage=storage)
