"""What the page's templates say with: numbers, intervals and effects in words."""

import re
from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

from study.analysis.effects import Chance, Effect
from study.analysis.outcomes import Rate
from study.analysis.report_data import ReportCell
from study.analysis.sentences import data_of, signed
from study.analysis.sequential import Look
from study.analysis.sources import PAPERS, REPORTS
from study.analysis.trainings import grouped
from study.analysis.verdicts import THE_FAMILY, Claim, Finding, Verdict
from study.ledger.records import RealBaseline
from study.metrics.catalogue import COVERAGE, FIDELITY, described, interval, number, spread

SIGNS = {"supported": "✓", "refuted": "✗", "undecided": "?", "unanswerable": "–"}
LABELS = "modes/label_jsd"
BESIDE_SAMPLES = (FIDELITY, "quality/precision", "quality/recall", COVERAGE)
BASELINES = (*BESIDE_SAMPLES, LABELS)
MOST_BLOCKS, MOST_POINTS = 6, 5  # that are named; the tables beside the page hold all


def shape(cell: Markup) -> str:
    """How a table's cell behaves where rows become cards: left out when empty, on a line of its own when long."""
    if cell.striptags() == "–":
        return "empty"
    return "wide" if len(cell) > 60 and "forest" not in cell else ""


def of_verdict(verdict: Verdict) -> str:
    """The word with the data that it is from: "refuted on digits" is another one than "refuted on mnist"."""
    on = data_of(verdict)
    return verdict.word + (on and f" on {on}")


def words_at(look: Look, verdicts: Sequence[Verdict]) -> str:
    """The claims that got their word at a look."""
    words = [f"{verdict.claim.id} {of_verdict(verdict)}" for verdict in verdicts if verdict.at == look.replicates]
    return ", ".join(words) or ("none" if look.made else "not made")


def scope_of(verdict: Verdict) -> str:
    """What the word is about: these cells, or a family that they are a sample of."""
    found = verdict.deciding
    cells = f", by {len(found.by_block)} cells" if found and verdict.claim.about == THE_FAMILY else ""
    return f"about {verdict.claim.about}{cells}"


def of_effect(found: Finding) -> str:
    """An effect with its unit and its interval, or points; differences carry their sign, shares and rates do not."""
    plain = "share" in found.part.unit or found.part.rule.__name__ == "exceeds_half"
    return f"{number(found.effect) if plain else signed(found.effect)} {found.part.unit} {spread_of(found)}"


def spread_of(found: Finding | Effect) -> str:
    """The interval, or the points where there are too few for one."""
    if found.interval:
        return interval(found.interval)
    shown = "; ".join(number(point) for point in found.points[:MOST_POINTS])
    return f"(points: {shown}{'; …' * (len(found.points) > MOST_POINTS)})"


def about(found: Finding) -> str:
    """What an effect is of, and on which data."""
    where = f", on {', '.join(found.datasets)}" if found.datasets else ""
    return ", ".join(dict.fromkeys([described(found.part.measure).name, found.part.label])) + where


def pairs_of(found: Finding | None) -> str:
    return "–" if found is None else f"{len(found.points)}" + " cells" * (found.pairs == "cells")


def p_of(value: float | None) -> str:
    return "–" if value is None else "<\u00a00.001" if value < 0.001 else f"{value:.3f}"


def decided_by(verdict: Verdict) -> list[str]:
    """How many more replicates would decide it, and of a refuted claim what it still lacks; what can be typed stands apart."""
    lacking = [f"not tested: {each}" for each in verdict.missing]
    return re.split(r"(--replicates \d+)", "; ".join([verdict.more] * bool(verdict.more) + lacking) or "–")


def statement(found: Finding) -> str:
    """The kind of statement, and the boundary between "holds" and "does not"."""
    rule, sign = found.part.rule.__name__, "±" * (found.part.rule.__name__ in ("equivalent", "is_flat"))
    boundary = "" if found.missing else f", held against {sign}{number(found.boundary)} {found.part.unit}".rstrip()
    return rule.replace("_", " ") + boundary


def blocks_of(found: Finding) -> str:
    """The effect in every block, what was left out, and how many trainings diverged."""
    said = [f"{name}: {number(value)}" for name, value in list(found.by_block.items())[:MOST_BLOCKS]]
    said += [f"and {len(found.by_block) - MOST_BLOCKS} more blocks"] * (len(found.by_block) > MOST_BLOCKS)
    said += [f"left out: {', '.join(found.left_out[:MOST_BLOCKS])}"] * bool(found.left_out)
    said += [f"diverged: {found.diverged.count} of {found.diverged.trainings}"] if found.diverged and found.diverged.count else []
    return "; ".join(said) or "–"


def source_of(claim: Claim) -> str:
    """Author, title and year of the reports that made a claim."""
    tags = list(REPORTS) if claim.source == "all" else claim.source.split(", ")
    return "; ".join(f"report {tag}, {REPORTS[tag]}" if tag in REPORTS else tag for tag in tags)


def rate_of(rate: Rate | None) -> str:
    return f"{rate.count} of {rate.trainings}, {100 * rate.low:.0f} to {100 * rate.high:.0f} %" if rate else "–"


def compared(chances: Sequence[Chance]) -> dict[str, list[str]]:
    """Comparison of two families -> the chance by fidelity and by coverage."""
    pairs = grouped(chances, lambda chance: f"{chance.dataset}: {chance.better.upper()} over {chance.than.upper()}")
    return {name: [f"{number(chance.share)} {interval(chance.interval)}" for chance in pair] for name, pair in pairs.items()}


def cited(text: str) -> Markup:
    """The text, in which every paper that it names is a link with its title."""
    html = str(escape(text))
    for name, paper in PAPERS.items():
        link = f'<a href="{paper.link}" rel="noreferrer">{escape(name)}, “{escape(paper.title)}”</a>'
        html = html.replace(str(escape(name)), link)
    return Markup(html)


def name_of(measure: str) -> str:
    return described(measure).name


def images_of(real: RealBaseline) -> str:
    """How many images were held against how many; the Fréchet distance and the classes at a model's numbers."""
    names = f"{name_of(FIDELITY)} and {name_of(LABELS)}"
    return f"{real.real:,} against {real.samples:,}; {names} against {real.drawn:,} with replacement"


def baselines_of(real: RealBaseline) -> list[str]:
    return [spread(real.measures[name]) if name in real.measures else number(None) for name in BASELINES]


def values_of(cell: ReportCell) -> str:
    return ", ".join(f"{name_of(name)} {number(cell.value(name))}" for name in BESIDE_SAMPLES if name in cell.values)


def versions_of(said: Mapping[str, str]) -> str:
    return "; ".join(f"{name} {value}" for name, value in said.items())
