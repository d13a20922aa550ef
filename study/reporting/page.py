"""A report as one HTML page that needs no network: laid out by the templates in study/reporting/assets/, whose script draws
maps and charts."""

import base64
import functools
import hashlib
import json
import time
from collections.abc import Mapping
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from study.analysis.cell_table import Estimate
from study.analysis.report_data import ReportCell, ReportData, question
from study.analysis.searched import Searched
from study.analysis.sources import REPORTS
from study.analysis.under_way import under_way
from study.ledger.counts import counted
from study.ledger.folder import Ledger
from study.metrics.catalogue import BY_KEY, COVERAGE, FIDELITY, MEASURES, Measure, described, number
from study.reporting import effect_words, words
from study.reporting.glossary import explained, glossary, slug

SCRIPTS = (
    "charts.js",
    "maps.js",
    "panel.js",
    "glossary.js",
    "searched.js",
    "schedule.js",
    "table.js",
    "curves.js",
    "live.js",
    "page.js",
)
LONGEST_ERROR = 1000  # characters


def page(found: ReportData, pictures: Mapping, real: Mapping, left_out: int) -> str:
    """The whole page. pictures: cell -> kind -> epoch -> base64 WebP; real: dataset -> (base64 WebP or None, words);
    left_out: how many pictures found no room."""
    assets = files("study.reporting") / "assets"
    script = "".join((assets / name).read_text() for name in SCRIPTS)
    used = measured(found)
    return (
        environment()
        .get_template("page.html")
        .render(
            found=found,
            pictures=pictures,
            real=real,
            left_out=left_out,
            when=time.strftime("%d %B %Y, %H:%M UTC", time.gmtime(found.time)),
            index={cell.name: index for index, cell in enumerate(found.cells)},
            known_measures=described_in(used),
            style=Markup((assets / "page.css").read_text()),
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def waiting_page(ledger: Ledger) -> str:
    """The page of a study that runs and of which nothing has ended yet."""
    return (
        environment()
        .get_template("waiting.html")
        .render(
            title=ledger.root.name,
            question=question(ledger.root.name),
            counts=counted(ledger),
            running=under_way(ledger, ()),
            when=time.strftime("%H:%M:%S UTC", time.gmtime()),
            style=Markup((files("study.reporting") / "assets" / "page.css").read_text()),
        )
    )


@functools.cache
def environment() -> Environment:
    """The templates; every text that they are given is escaped, and a name that they are not given is an error."""
    made = Environment(
        loader=PackageLoader("study.reporting", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {**vars(words), **vars(effect_words), "REPORTS": REPORTS, "GLOSSARY": glossary(), "number": number}
    made.filters |= {"as_script": as_script, "to_json": to_json, "name_of": words.name_of, "shape": words.shape}
    made.filters |= {"explained": explained, "slug": slug}
    return made


def as_script(value) -> Markup:
    """JSON that no text inside it can end: a script block is closed by `</script` wherever that stands."""
    return Markup(json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c"))


def measured(found: ReportData) -> set[str]:
    return {name for cell in found.cells for name in cell.values}


def described_in(used: set[str]) -> list[Measure]:
    """The measures that are used, those of the study's own last."""
    return [measure for measure in MEASURES if measure.key in used] + [described(name) for name in sorted(used - BY_KEY.keys())]


def to_json(found: ReportData) -> dict:
    """What the page's script needs: rounded, and only what it shows."""
    return {
        "measures": [measure._asdict() | {"says": measure.says} for measure in described_in(measured(found))],
        "fidelity": described(FIDELITY)._asdict(),
        "coverage": described(COVERAGE)._asdict(),
        "realBaselines": rounded({name: real.measures for name, real in found.real_baselines.items()}),
        "tuning": rounded([vars(tuning) for tuning in found.tuning]),
        "datasets": [dataset.name for dataset in found.datasets],
        "searches": rounded([search_to_json(each) for each in found.searches]),
        "schedule": schedule_to_json(found),
        "cells": [rounded(cell_to_json(cell)) for cell in found.cells],
    }


def search_to_json(found: Searched) -> dict:
    names = list(found.ranges)
    rows = [[each.cell, each.objective, *(each.values.get(name) for name in names)] for each in found.proposals]
    return {**vars(found), "names": names, "proposals": rows}


def schedule_to_json(found: ReportData) -> dict:
    """Of every cell its first start, and when its trainings ran as whole seconds from there on: [search?, from, to]."""
    runs, cells = found.schedule.runs, {}
    began = min((run.start for run in runs), default=0.0)
    for run in runs:
        cells.setdefault(run.cell, []).append([run.stage == "search", round(run.start - began), round(run.end - began)])
    return {"busy": float(f"{found.schedule.busy:.3g}"), "cells": {name: merged(spans) for name, spans in cells.items()}}


def merged(spans: list[list]) -> list[list]:
    """Spans of one kind that touch as one."""
    found = []
    for kind in (True, False):
        for _, start, end in sorted(span for span in spans if span[0] == kind):
            if found and found[-1][0] == kind and start <= found[-1][2] + 1:
                found[-1][2] = max(found[-1][2], end)
            else:
                found.append([kind, start, end])
    return found


def cell_to_json(cell: ReportCell) -> dict:
    return {
        **{name: value for name, value in vars(cell).items() if name != "pictures"},
        "error": cell.error[:LONGEST_ERROR],
        "run": cell.run and vars(cell.run),
        "curves": {name: {part: curve[part] for part in ("epochs", "middle", "each")} for name, curve in cell.curves.items()},
        "values": {name: brief(found) for name, found in cell.values.items()},
    }


def brief(found: Estimate) -> list:
    """[value, low, high] with an interval, [value, points] without one."""
    return [found.value, *found.interval] if found.interval else [found.value, found.points]


def rounded(value):
    """The same with four significant digits."""
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
