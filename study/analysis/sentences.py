"""The answer in three sentences, from what was concluded."""

from collections.abc import Mapping, Sequence

from study.analysis.cell_table import Leader, TableCell, confirmed
from study.analysis.effects import Effect
from study.analysis.trainings import grouped
from study.analysis.verdicts import Verdict
from study.ledger.records import RealBaseline
from study.metrics.catalogue import COVERAGE, FIDELITY, described, number, spread

WORDS = ("supported", "refuted", "undecided", "unanswerable")
NAMES = {"latent_dim": "latent", "depth": "depth"}


def sentences(
    cells: Sequence[TableCell],
    leaders: Sequence[Leader],
    effects: Sequence[Effect],
    verdicts: Sequence[Verdict],
    real_baselines: Mapping[str, RealBaseline],
) -> list[str]:
    """The answer in three sentences: how near and how much, what depth and latent size change, and the claims."""
    counted = grouped(confirmed(cells) or cells, lambda cell: cell.dataset)
    dataset = max(counted, key=lambda name: len(counted[name]))
    return [
        reached(
            dataset,
            len({cell.dataset for cell in cells}) - 1,
            [leader for leader in leaders if leader.dataset == dataset],
            (real_baselines[dataset].measures.get(FIDELITY) if dataset in real_baselines else None),
        ),
        changed([effect for effect in effects if effect.dataset == dataset]),
        claimed(verdicts),
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


def changed(effects: Sequence[Effect]) -> str:
    """What a larger latent and more depth do to fidelity and to coverage."""
    clauses = []
    for factor in NAMES:
        if found := [effect for effect in effects if effect.factor == factor]:
            said = [moved(group) for group in grouped(found, lambda effect: effect.measure).values()]
            clauses.append(f"rom {NAMES[factor]} {found[0].least} to {found[0].largest}, {', and '.join(said)}")
    if not clauses:
        return "How depth and latent size change this cannot be told yet: no two finished cells differ in them alone."
    return "F" + "; f".join(clauses) + "."


def moved(effects: Sequence[Effect]) -> str:
    """`fd_rel falls for VAE (-0.4)`: whom a change moves, by the intervals that exclude 0."""
    groups, name = grouped(effects, direction), described(effects[0].measure).name
    parts = [
        f"{word} for "
        + listed([f"{found.model.upper()} ({'+' * (found.effect > 0)}{number(found.effect)})" for found in groups[word]])
        for word in ("falls", "rises")
        if word in groups
    ]
    if unclear := groups.get(""):
        parts.append("shows no clear change for " + listed([found.model.upper() for found in unclear]))
    return f"{name} {', '.join(parts)}"


def direction(found: Effect) -> str:
    low, high = found.interval or (-1, 1)  # under five pairs there is no interval, so nothing is clear
    return "falls" if high < 0 else "rises" if low > 0 else ""


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
