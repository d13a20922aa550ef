"""The answer in sentences, from what was concluded: how near, what every factor changes, the claims."""

from collections.abc import Mapping, Sequence

from study.analysis.cell_table import Leader, TableCell, confirmed
from study.analysis.effects import Effect
from study.analysis.trainings import grouped
from study.analysis.verdicts import Verdict
from study.ledger.records import RealBaseline
from study.metrics.catalogue import COVERAGE, FIDELITY, described, number, spread

WORDS = ("supported", "refuted", "undecided", "unanswerable")
CHANGES = {"better": "gets better", "worse": "gets worse", "equal": "stays equal within the margin", "undecided": "is undecided"}
NAMES = {
    "latent_dim": "latent size",
    "model": "",
    "system": "",
}  # of factors; others are called what they are, and models by their names


def sentences(
    cells: Sequence[TableCell],
    leaders: Sequence[Leader],
    effects: Sequence[Effect],
    verdicts: Sequence[Verdict],
    real_baselines: Mapping[str, RealBaseline],
) -> list[str]:
    """The answer about the dataset with most cells: how near and how much, what every factor changes, and the claims, if any."""
    counted = grouped(confirmed(cells) or cells, lambda cell: cell.dataset)
    dataset = max(counted, key=lambda name: len(counted[name]))
    return [
        reached(
            dataset,
            len({cell.dataset for cell in cells}) - 1,
            [leader for leader in leaders if leader.dataset == dataset],
            (real_baselines[dataset].measures.get(FIDELITY) if dataset in real_baselines else None),
        ),
        *changed([effect for effect in effects if effect.dataset == dataset]),
        *([claimed(verdicts)] if verdicts else []),
    ]


def reached(dataset: str, others: int, leaders: Sequence[Leader], real: Sequence[float] | None) -> str:
    """How near each family comes to the real images, and how many of them it covers. others: how many more datasets
    there are; real: what real images score, the mean and the standard deviation."""
    if not leaders:
        return f"On {dataset}, no training gave images that can be measured: all of them diverged or failed."
    near = [(leader.model, leader.fidelity.value(FIDELITY)) for leader in leaders]
    wide = [(leader.model, leader.coverage.value(COVERAGE)) for leader in leaders if leader.coverage]
    held_out = all(leader.fidelity.stage == "confirm" for leader in leaders)
    where = "held-out images" if held_out else "the validation images of the search"
    also = f" ({others} more dataset{'s' * (others > 1)} below)" if others else ""
    return (
        f"On {dataset}{also}, the best cells come as near to {where} as {described(FIDELITY).name} "
        + listed([f"{number(value)} ({model.upper()})" for model, value in sorted(near, key=lambda pair: pair[1])])
        + (f", where real images score {spread(real)} against each other" if real is not None else "")
        + (
            ", and the widest cover "
            + listed([f"{100 * value:.0f} % ({model.upper()})" for model, value in sorted(wide, key=lambda pair: -pair[1])])
            + " of them"
            if wide
            else ""
        )
        + "."
    )


def changed(effects: Sequence[Effect]) -> list[str]:
    """A sentence for each change of a factor: what it does to fidelity and to coverage, and in which families."""
    if not effects:
        return ["What a factor changes cannot be told yet: no two finished cells differ in one alone, with two replicates of each."]
    return [
        f"From {ends(group[0])}, " + ", and ".join(map(moved, grouped(group, lambda effect: effect.measure).values())) + "."
        for group in grouped(effects, lambda effect: (effect.factor, effect.first, effect.last, effect.along)).values()
    ]


def ends(effect: Effect, to: str = " to ") -> str:
    """`latent size 2 to 8`, `VAE to GAN`, and what else is not equal."""
    name = NAMES.get(effect.factor, effect.factor.replace("_", " "))
    levels = [level(value).upper() if effect.factor == "model" else level(value) for value in (effect.first, effect.last)]
    also = f" (with another {listed([each.replace('_', ' ') for each in effect.along])})" if effect.along else ""
    return f"{name} {to.join(levels)}{also}".strip()


def level(value) -> str:
    """A level as it is told; of a setting that is not set the model's own default."""
    return "default" if value is None else number(value) if isinstance(value, float) else str(value)


def moved(effects: Sequence[Effect]) -> str:
    """`fd_rel gets better for VAE (−0.4), is undecided for GAN (−0.1: 12 replicates would decide)`"""
    groups = grouped(effects, lambda effect: effect.word)
    of = "for " if effects[0].model else ""
    said = [f"{CHANGES[word]} {of}{listed(list(map(by_how_much, groups[word])))}" for word in CHANGES if word in groups]
    return f"{described(effects[0].measure).name} {', '.join(said)}"


def by_how_much(found: Effect) -> str:
    enough = f": {found.enough} replicates would decide" if found.enough else ""
    return f"{found.model.upper()} ({signed(found.effect)}{enough})".strip()


def signed(value: float) -> str:
    return "+" * (value > 0) + number(value)


def claimed(verdicts: Sequence[Verdict]) -> str:
    groups = grouped(verdicts, lambda verdict: verdict.word)
    if set(groups) <= {"unanswerable"}:
        return f"None of the {len(verdicts)} claims that this study judges can be answered yet: they lack cells or replicates."
    said = {
        "supported": "support",
        "refuted": "refute",
        "undecided": "leave undecided",
        "unanswerable": "lack the cells or replicates to answer",
    }
    parts = [f"{said[word]} {counted(word, groups[word])}" for word in WORDS if word in groups]
    return f"Of the {len(verdicts)} claims that this study judges, these trainings {listed(parts)}."


def counted(word: str, verdicts: Sequence[Verdict]) -> str:
    """`2 on digits (C3, C14) and 1 on digits in place of mnist (C7)`."""
    if word == "unanswerable":
        return str(len(verdicts))
    return " and ".join(
        f"{len(group)}{on and f' on {on}'} ({', '.join(verdict.claim.id for verdict in group)})"
        for on, group in grouped(verdicts, data_of).items()
    )


def data_of(verdict: Verdict) -> str:
    """`digits in place of mnist`: the data that a word is from, without which it is not said; "" of an open claim."""
    if verdict.word not in ("supported", "refuted"):
        return ""
    instead = f" in place of {listed(verdict.stands_in_for)}" if verdict.stands_in_for else ""
    return listed(verdict.datasets) + instead


def listed(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1]
