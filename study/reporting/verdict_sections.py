"""The sections of a report that answer: verdicts on the claims, and what each factor changes."""

import re

from study.analysis.claims import COVERAGE, FIDELITY
from study.analysis.sentences import WORDS
from study.analysis.trainings import grouped
from study.metrics.catalogue import described, interval, number
from study.reporting.markup import BREAK, Html, cards, element, joined

SIGNS = {"supported": "✓", "refuted": "✗", "undecided": "?", "unanswerable": "–"}
FACTORS = {"latent_dim": "latent size", "depth": "depth", "net": "net"}


def claims(found: dict) -> Html:
    """The verdicts, those that were reached first; the claims that lack cells in a list of their own."""
    tested = [claim for claim in found["claims"] if claim["word"] != "unanswerable"]
    lacking = [claim for claim in found["claims"] if claim["word"] == "unanswerable"]
    tested.sort(key=lambda claim: WORDS.index(claim["word"]))
    table = cards(
        "Claims that these trainings can answer",
        ["Claim", "Verdict", "Effect, 95 % interval", "Paired seeds", "p (Holm)", "What would decide it"],
        [answered(claim) for claim in tested],
        "claims",
    )
    open_ones = cards(
        "Claims that cannot be answered from this ledger",
        ["Claim", "Verdict", "Missing", "Spaces that have the cells"],
        [unanswered(claim, found["space"]) for claim in lacking],
        "claims",
    )
    summary = element("summary", f"{len(lacking)} claims lack cells or seeds in this study")
    return joined(table, element("details", summary, open_ones) if lacking else "")


def answered(claim: dict) -> list:
    return [
        named(claim),
        verdict(claim),
        effect_of(claim["deciding"]),
        pairs_of(claim["deciding"]),
        p_of(claim["p_holm"]),
        decided_by(claim),
        parts(claim),
    ]


def unanswered(claim: dict, space: str) -> list:
    lacking = element("small", "; ".join(dict.fromkeys(claim["missing"])))
    return [named(claim), verdict(claim), lacking, asked_by(claim, space), parts(claim)]


def named(claim: dict) -> Html:
    return joined(element("b", claim["id"]), " ", claim["sentence"])


def verdict(claim: dict) -> Html:
    """The word with the data that it is from: "refuted on digits" is another one than "refuted on mnist"."""
    return element("span", f"{SIGNS[claim['word']]}\u00a0{said(claim)}", class_=f"verdict {claim['word']}")


def said(claim: dict) -> str:
    return claim["word"] + (claim["on"] and f" on {claim['on']}")


def effect_of(part: dict | None) -> Html:
    if part is None:
        return Html("–")
    spread = interval(part["interval"]) if part["interval"] else points_of(part["points"])
    about = ", ".join(dict.fromkeys([described(part["measure"]).name, part["label"]]))
    where = f", on {', '.join(part['datasets'])}" if part["datasets"] else ""
    return joined(
        element("span", f"{signed(part)} {part['unit']} {spread}", class_="figure"), BREAK, element("small", about + where)
    )


def points_of(points: list[float]) -> str:
    shown = "; ".join(number(point) for point in points[:5])
    return f"(points: {shown}{'; …' if len(points) > 5 else ''})"


def signed(part: dict) -> str:
    """Differences carry their sign; shares and rates do not."""
    plain = "share" in part["unit"] or part["rule"] == "exceeds_half"
    return ("+" if part["effect"] > 0 and not plain else "") + number(part["effect"])


def pairs_of(part: dict | None) -> str:
    return "–" if part is None else f"{len(part['points'])}" + ("" if part["pairs"] == "seeds" else " cells")


def p_of(value: float | None) -> str:
    return "–" if value is None else "<\u00a00.001" if value < 0.001 else f"{value:.3f}"


def decided_by(claim: dict) -> Html:
    """How many more seeds would decide it; of a refuted claim what it still lacks."""
    lacking = [f"not tested: {each}" for each in claim["missing"]]
    words = re.split(r"(--seeds \d+)", "; ".join([claim["more"]] * bool(claim["more"]) + lacking) or "–")
    return element("small", [element("code", word, class_="whole") if word.startswith("--") else word for word in words])


def asked_by(claim: dict, space: str) -> Html:
    others = [name for name in claim["spaces"] if name != space]
    return element("small", ", ".join(others) or "this space, with more datasets, cells or seeds")


def parts(claim: dict) -> Html:
    """Every part of a claim on its own, a click away."""
    rows = [
        [
            stated(part),
            joined("missing: ", part["missing"]) if part["missing"] else effect_of(part),
            pairs_of(part),
            p_of(part["p_for"]),
            p_of(part["p_against"]),
            blocks_of(part),
        ]
        for part in claim["parts"]
    ]
    head = ["Part", "Effect, 95 % interval", "Paired seeds", "p for", "p against", "By block"]
    title = f"{len(rows)} part{'s' * (len(rows) > 1)}, source: report {claim['source']}"
    return element("details", element("summary", title), cards(f"Parts of {claim['id']}", head, rows))


def stated(part: dict) -> Html:
    """The part, the kind of statement, and the boundary between "holds" and "does not"."""
    sign = "±" if part["rule"] in ("equivalent", "is_flat") else ""
    boundary = "" if part["missing"] else f", held against {sign}{number(part['boundary'])} {part['unit']}".rstrip()
    return joined(part["label"], BREAK, element("small", part["rule"].replace("_", " ") + boundary))


def blocks_of(part: dict) -> Html:
    shown = [f"{name}: {number(value)}" for name, value in list(part["by_block"].items())[:6]]
    more = [f"and {len(part['by_block']) - 6} more blocks"] if len(part["by_block"]) > 6 else []
    left = [f"left out: {', '.join(part['left_out'][:6])}"] if part["left_out"] else []
    if part["diverged"] and part["diverged"][0]:
        left.append("diverged: {} of {}".format(*part["diverged"][:2]))
    return element("small", "; ".join(shown + more + left) or "–")


def effects(found: dict) -> Html:
    """Per dataset, what each factor changes in each family: fidelity and coverage side by side."""
    if not found["effects"]:
        return element("p", "No two confirmed cells differ in depth, latent size or net alone.")
    head = ["Family and factor", "fd_rel (lower is nearer)", "coverage (higher is wider)", "Paired seeds"]
    return joined(
        [
            cards(f"{dataset}: change from the least level to the largest, everything else equal", head, effect_rows(group))
            for dataset, group in grouped(found["effects"], lambda row: row["dataset"]).items()
        ]
    )


def effect_rows(group: list[dict]) -> list[list]:
    """A row per factor and family of one dataset."""
    spans = {
        measure: max((max(map(abs, row["interval"] or row["points"])) for row in group if row["measure"] == measure), default=1)
        for measure in (FIDELITY, COVERAGE)
    }
    ordered = sorted(group, key=lambda row: list(FACTORS).index(row["factor"]))
    rows = []
    for (factor, model), pair in grouped(ordered, lambda row: (row["factor"], row["model"])).items():
        of = {row["measure"]: row for row in pair}
        rows.append(
            [
                f"{model.upper()}, {FACTORS[factor]} {pair[0]['from']} → {pair[0]['to']}",
                *(forest(of.get(measure), spans[measure]) for measure in (FIDELITY, COVERAGE)),
                str(len(pair[0]["points"])),
            ]
        )
    return rows


def forest(row: dict | None, span: float) -> Html:
    """An effect in numbers and as a bar around 0."""
    if row is None:
        return Html("–")
    low, high = row["interval"] or (min(row["points"]), max(row["points"]))
    place = [50 + 48 * value / (span or 1) for value in (low, high, row["effect"])]
    bar = element(
        "span",
        element("i", style=f"left:{place[0]:.1f}%;width:{max(place[1] - place[0], 0.5):.1f}%"),
        element("b", style=f"left:{place[2]:.1f}%"),
        class_="forest",
        aria_hidden="true",
    )
    kind = interval(row["interval"]) if row["interval"] else points_of(row["points"])
    return joined(
        bar, element("span", f"{'+' if row['effect'] > 0 else ''}{number(row['effect'])} ", element("small", kind), class_="figure")
    )
