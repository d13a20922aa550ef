"""The answer in three sentences, from what was concluded."""

from collections.abc import Sequence

from study.analysis.claims import COVERAGE, FIDELITY
from study.analysis.trainings import grouped
from study.metrics.catalogue import described, number, spread

WORDS = ("supported", "refuted", "undecided", "unanswerable")
NAMES = {"latent_dim": "latent", "depth": "depth", "net": "net"}


def sentences(found: dict) -> list[str]:
    """The answer in three sentences: how near and how much, what depth and latent size change, and the claims."""
    confirmed = [cell for cell in found["cells"] if cell["stage"] == "confirm"]
    counted = grouped(confirmed or found["cells"], lambda cell: cell["dataset"])
    dataset = max(counted, key=lambda name: len(counted[name]))
    return [reached(found, dataset), changed(found, dataset), claimed(found["claims"])]


def reached(found: dict, dataset: str) -> str:
    """How near each family comes to the real images, and how many of them it covers."""
    cells = {cell["cell"]: cell for cell in found["cells"]}
    leaders = [row for row in found["best"] if row["dataset"] == dataset]
    if not leaders:
        return f"On {dataset}, no training gave images that can be measured: all of them diverged or failed."
    near = [(row["model"], cells[row["fidelity"]]["values"][FIDELITY]["value"]) for row in leaders]
    wide = [(row["model"], cells[row["coverage"]]["values"][COVERAGE]["value"]) for row in leaders if row["coverage"]]
    floor = next(row["floor"] for row in found["datasets"] if row["dataset"] == dataset).get("measures", {}).get(FIDELITY)
    held_out = all(cells[row["fidelity"]]["stage"] == "confirm" for row in leaders)
    where = "held-out images" if held_out else "the validation images of the search, one training per setting,"
    others = len(found["datasets"]) - 1
    also = f" ({others} more dataset{'s' * (others > 1)} below)" if others else ""
    return (
        f"On {dataset}{also}, the best cells come as near to {where} as fd_rel "
        + listed([f"{number(value)} ({model.upper()})" for model, value in sorted(near, key=lambda pair: pair[1])])
        + (f", where real images score {spread(floor)} against each other" if floor is not None else "")
        + (
            ", and the widest cover "
            + listed([f"{100 * value:.0f} % ({model.upper()})" for model, value in sorted(wide, key=lambda pair: -pair[1])])
            + " of them"
            if wide
            else ""
        )
        + "."
    )


def changed(found: dict, dataset: str) -> str:
    """What a larger latent and more depth do to fidelity and to coverage."""
    clauses = []
    for factor in ("latent_dim", "depth"):
        rows = [row for row in found["effects"] if (row["dataset"], row["factor"]) == (dataset, factor)]
        if rows:
            said = [moved(group) for group in grouped(rows, lambda row: row["measure"]).values()]
            clauses.append(f"rom {NAMES[factor]} {rows[0]['from']} to {rows[0]['to']}, {', and '.join(said)}")
    if not clauses:
        return "How depth and latent size change this cannot be told yet: no two finished cells differ in them alone."
    return "F" + "; f".join(clauses) + "."


def moved(rows: list[dict]) -> str:
    """`fd_rel falls for VAE (-0.4)`: whom a change moves, by the intervals that exclude 0."""
    groups, name = grouped(rows, direction), described(rows[0]["measure"]).name
    parts = [
        f"{word} for "
        + listed([f"{row['model'].upper()} ({'+' * (row['effect'] > 0)}{number(row['effect'])})" for row in groups[word]])
        for word in ("falls", "rises")
        if word in groups
    ]
    if unclear := groups.get(""):
        parts.append("shows no clear change for " + listed([row["model"].upper() for row in unclear]))
    return f"{name} {', '.join(parts)}"


def direction(row: dict) -> str:
    low, high = row["interval"] or (-1, 1)  # under five pairs there is no interval, so nothing is clear
    return "falls" if high < 0 else "rises" if low > 0 else ""


def claimed(claims: list[dict]) -> str:
    groups = grouped(claims, lambda claim: claim["word"])
    if set(groups) <= {"unanswerable"}:
        return f"None of the {len(claims)} published claims can be judged yet: cells or seeds they need are missing."
    said = {
        "supported": "support",
        "refuted": "refute",
        "undecided": "leave undecided",
        "unanswerable": "lack the cells or seeds to answer",
    }
    parts = [f"{said[word]} {counted(word, groups[word])}" for word in WORDS if word in groups]
    return f"Of the {len(claims)} published claims, these trainings {listed(parts)}."


def counted(word: str, claims: list[dict]) -> str:
    """`2 on digits (C3, C14) and 1 on digits in place of mnist (C7)`."""
    if word == "unanswerable":
        return str(len(claims))
    return " and ".join(
        f"{len(group)}{on and f' on {on}'} ({', '.join(claim['id'] for claim in group)})"
        for on, group in grouped(claims, lambda claim: claim["on"]).items()
    )


def listed(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1]
