"""Proposes hyperparameters with Optuna, and shows it what was proposed: the only place of optuna.

What is proposed is a function of the space, the replicate and the index, and in the rounds of a sampler that learns, of the
replicate's own finished rounds: never of what finished first. Cells with equal ranges get equal sequences, replicate by
replicate, so that they differ in nothing but themselves.
"""

import json
import math
import warnings
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from study.ledger.folder import Ledger, finished
from study.ledger.records import Result
from study.space.cells import label
from study.space.space import Space
from study.sweep.plan import Trial

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", "Choices for a categorical distribution")  # lists and dicts are kept as JSON here, not by Optuna

FEWEST = 10  # proposals from which on something is said of what matters
STATES = {"done": TrialState.COMPLETE, "stopped": TrialState.PRUNED}


def distribution(limits: Mapping) -> BaseDistribution:
    """The Optuna distribution of one recorded range."""
    if "choices" in limits:
        return CategoricalDistribution(limits["choices"])
    kind = IntDistribution if limits["type"] == "int" else FloatDistribution
    return kind(limits["low"], limits["high"], log=limits["log"], step=limits["step"])


def proposed(space: Space, trial: Trial, earlier: Sequence[Result]) -> tuple[dict, str, dict]:
    """(params, who proposed them, the values suggested) for a trial that is not its replicate's first; `earlier`: what came of
    the rounds before its own."""
    ranges, search, who = space.ranges(trial.cell), space.search, space.search.sampler
    if earlier and who != "quasi-random":
        told = [(known(result.suggested, ranges), result.objective) for result in earlier]
        size = next(size for size, first in zip(search.rounds, accumulate(search.rounds, initial=0)) if first == len(earlier))
        suggested = learned(who, json.dumps([ranges, told]), trial.replicate, size)[trial.proposal - len(earlier)]
    else:
        who = "quasi-random"
        default = known(space.default_proposal(trial.cell)[1], ranges)
        suggested = quasi_random(json.dumps([ranges, default]), trial.replicate, search.proposals)[trial.proposal]
    params, suggested = played(space, trial, suggested)
    return params, who, suggested


@lru_cache(maxsize=4096)
def quasi_random(described: str, replicate: int, count: int) -> list[dict]:
    """The values suggested for the first `count` proposals: those of proposal 0, then for numbers a scrambled Sobol sequence (Sobol
    1967, Owen 1995) of the replicate's own, and of choices every combination in turn, so that packs split evenly. described:
    [ranges, the values of proposal 0] as JSON."""
    ranges, default = json.loads(described)
    numbers = {name: distribution(limits) for name, limits in ranges.items() if "choices" not in limits}
    choices = {name: limits["choices"] for name, limits in ranges.items() if "choices" in limits}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.QMCSampler(qmc_type="sobol", scramble=True, seed=seed_of("sequence", replicate))
    study = optuna.create_study(sampler=sampler)
    first = {name: default[name] for name in numbers}
    study.add_trial(create_trial(value=0.0, params=first, distributions=numbers))  # from which the sampler learns the ranges
    return [default] + [{**study.ask(numbers).params, **dealt(choices, default, place)} for place in range(1, count)]


def dealt(choices: dict[str, list], default: dict, place: int) -> dict:
    """Of each hyperparameter the choice of that place, the published default's being 0."""
    found = {}
    for name, values in choices.items():
        found[name] = values[(values.index(default[name]) + place) % len(values)]
        place //= len(values)
    return found


@lru_cache(maxsize=1024)
def learned(kind: str, described: str, replicate: int, count: int) -> list[dict]:
    """The values that a sampler suggests for a round of `count`. described: [ranges, [(values suggested,
    objective or None) of each earlier proposal]] as JSON. What diverged counts as worse than all that did not."""
    ranges, told = json.loads(described)
    distributions = {name: distribution(limits) for name, limits in ranges.items()}
    seed = seed_of(kind, replicate, len(told))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = (
            optuna.samplers.GPSampler(seed=seed, n_startup_trials=0, deterministic_objective=False)
            if kind == "gp"
            else optuna.samplers.TPESampler(seed=seed, n_startup_trials=0, multivariate=True, constant_liar=True)
        )
    study = optuna.create_study(sampler=sampler)
    for suggested, value in ranked(told):
        study.add_trial(
            create_trial(value=value, params=suggested, distributions={name: distributions[name] for name in suggested})
        )
    return [study.ask(distributions).params for _ in range(count)]


def ranked(told: Sequence[tuple[dict, float | None]]) -> list[tuple[dict, float]]:
    """The values suggested with the base-2 logarithm of their objective, whose noise is even; what has none is twice the worst."""
    logs = [None if value is None else math.log2(max(value, 1e-6)) for _, value in told]
    worst = max((value for value in logs if value is not None), default=0.0)
    return [(suggested, worst + 1 if value is None else value) for (suggested, _), value in zip(told, logs)]


def known(suggested: dict, ranges: dict) -> dict:
    """The values suggested that have a recorded range: one behind an `if` in propose() may have none."""
    return {name: value for name, value in suggested.items() if name in ranges}


def played(space: Space, trial: Trial, suggested: dict) -> tuple[dict, dict]:
    """What propose() makes of the values suggested, and all values that it asked for: what it asks for behind an `if`, which
    was not suggested, is drawn at random by the trial's own seed."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed_of(trial.replicate, trial.proposal)))
    study.enqueue_trial(suggested)
    asked = study.ask()
    params = space.propose(asked, trial.cell)
    return params, asked.params


def seed_of(*parts) -> int:
    return zlib.crc32("/".join(map(str, parts)).encode())


def importance(ranges: Mapping[str, Mapping], proposals: Sequence[tuple[Mapping, float]]) -> dict[str, float]:
    """Hyperparameter -> its share of what tells the better proposals (values, and how bad they were) from the others, by PED-ANOVA
    (Watanabe, Bansal and Hutter 2023). Of one hyperparameter, or of few proposals, nothing."""
    if len(ranges) < 2 or len(proposals) < FEWEST:
        return {}
    distributions, study = {name: distribution(limits) for name, limits in ranges.items()}, optuna.create_study()
    for values, badness in proposals:
        if values.keys() == distributions.keys():
            study.add_trial(create_trial(value=badness, params=dict(values), distributions=distributions))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            found = optuna.importance.PedAnovaImportanceEvaluator().evaluate(study)
        except (RuntimeError, ValueError):  # nothing varies
            return {}
    total = sum(found.values())
    return {name: float(value / total) for name, value in found.items()} if total > 0 else {}


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
                state=STATES.get(result.status, TrialState.FAIL),
                user_attrs={
                    "trial_key": key,
                    "replicate": spec.replicate,
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
