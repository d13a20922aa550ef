"""Findings as one HTML page that needs no network: what is said in words here, maps and charts in study/reporting/assets/."""

import base64
import hashlib
import json
import string
import time
from html import escape
from importlib.resources import files

from study.analysis.claims import COVERAGE, FIDELITY
from study.analysis.trainings import grouped
from study.metrics.catalogue import BY_KEY, MEASURES, described, interval, number, spread
from study.reporting.markup import BREAK, Html, cards, element, joined, table
from study.reporting.verdict_sections import claims, effects


def page(found: dict, pictures: dict, real: dict, left_out: int) -> str:
    """The whole page. pictures: cell -> kind -> epoch -> base64 WebP; real: dataset -> (base64 WebP or None, words)."""
    asset = {path.name: path.read_text() for path in files("study.reporting").joinpath("assets").iterdir()}
    script = "".join(asset[name] for name in ("charts.js", "maps.js", "panel.js", "page.js"))
    parts = {
        "title": escape(f"{found['space']}: report"),
        "style": asset["page.css"],
        "script": script,
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "header": header(found),
        "progress": progress(found),
        "answer": answer(found),
        "claims": claims(found),
        "effects": effects(found),
        "floors": floors(found),
        "board": board(found, real),
        "stability": stability(found),
        "methods": methods(found, left_out),
        "data": as_json(page_data(found)),
        "charts": charts(found),
        "pictures": joined(
            [
                block(f"pictures-{index}", pictures[cell["cell"]])
                for index, cell in enumerate(found["cells"])
                if cell["cell"] in pictures
            ]
        ),
    }
    return string.Template(asset["page.html"]).substitute(parts)


def as_json(value) -> Html:
    """JSON that no text inside it can end: a script block is closed by `</script` wherever that stands."""
    return Html(json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c"))


def block(name: str, value) -> Html:
    return Html(f'<script type="application/json" id="{name}">{as_json(value)}</script>\n')


def page_data(found: dict) -> dict:
    """What the page's script needs: rounded, and only what it shows."""
    used = {name for cell in found["cells"] for name in cell["values"]}
    known = [measure for measure in MEASURES if measure.key in used]
    others = [described(name) for name in sorted(used - BY_KEY.keys())]
    floors = {name: floor["measures"] for name, floor in found["floors"].items()}
    return {
        "measures": [measure._asdict() for measure in known + others],
        "space": found["space"],
        "commands": found["commands"],
        "floors": rounded(floors),
        "tuning": rounded(found["tuning"]),
        "datasets": [row["dataset"] for row in found["datasets"]],
        "cells": [
            rounded(
                {
                    **cell,
                    "values": {name: brief(value) for name, value in cell["values"].items()},
                    "pictures": None,
                    "error": cell["error"][:1000],
                }
            )
            for cell in found["cells"]
        ],
    }


def brief(estimate: dict) -> list:
    """[value, low, high] with an interval, [value, points] without one."""
    return [estimate["value"], *estimate["interval"]] if estimate["interval"] else [estimate["value"], estimate["points"]]


def rounded(value):
    """The same with four significant digits."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def header(found: dict) -> Html:
    when = time.strftime("%d %B %Y, %H:%M UTC", time.gmtime(found["time"]))
    confirmed = sum(cell["stage"] == "confirm" for cell in found["cells"])
    counts = f"{len(found['cells'])} cells, {confirmed} of them confirmed on held-out images; written {when}"
    return joined(
        element("p", "Report of the study", class_="kicker"),
        element("h1", found["space"]),
        element("p", found["question"], class_="question") if found["question"] else "",
        element("p", counts, class_="small"),
    )


def progress(found: dict) -> Html:
    """What is still missing, and what is left out; nothing where all is there."""
    lines = [element("p", note) for note in found["notes"]]
    counted = found["progress"]
    if counted is None:
        lines.append(element("p", "This ledger has no plan beside it (planned.jsonl), so what is missing cannot be told."))
    elif counted["left"] + counted["running"]:
        lines.append(unfinished(found, counted))
    if counted and counted["failed"]:
        lines.append(
            element(
                "p",
                f"{counted['failed']} trials failed and are left out; to run them again: ",
                element("code", f"{found['commands']['launch']} --retry-failed"),
            )
        )
    return element("section", lines, class_="notice", aria_label="What is missing") if lines else Html("")


def unfinished(found: dict, counted: dict) -> Html:
    waiting = counted["left"] + counted["running"]
    ended = counted["planned"] - waiting
    at_work = f"a driver is at work on it ({counted['running']} running)" if counted["at_work"] else "to go on: "
    command = "" if counted["at_work"] else element("code", found["commands"]["launch"])
    names = [f"{row['cell']} ({'all ' if row['untouched'] else ''}{row['left']})" for row in found["missing"]]
    return joined(
        element(
            "p", element("strong", f"The sweep is not finished: {ended} of {counted['planned']} trials are; "), at_work, command
        ),
        element("details", element("summary", f"{len(names)} cells lack trials"), element("p", ", ".join(names))),
    )


def answer(found: dict) -> Html:
    return joined([element("p", sentence) for sentence in found["answer"]])


def floors(found: dict) -> Html:
    """What real images score against real ones, where the study has measured it."""
    measures = [FIDELITY, "quality/precision", "quality/recall", COVERAGE, "modes/label_jsd"]
    known = [row for row in found["datasets"] if row["floor"]]
    rows = [
        [
            row["dataset"],
            numbers_of(row["floor"]),
            *(
                spread(row["floor"]["measures"][measure]) if measure in row["floor"]["measures"] else number(None)
                for measure in measures
            ),
        ]
        for row in known
    ]
    if not rows:
        return element("p", "What real images score against real ones has not been measured in this study.", class_="small")
    return table(
        "Real images against real ones, what a perfect model would score: mean ± standard deviation over"
        " repeated draws of the held-out images",
        ["Dataset", "Images", *(described(measure).name for measure in measures)],
        rows,
    )


def numbers_of(floor: dict) -> str:
    """How many images were held against how many; the Frechet distance and the classes at a model's numbers."""
    names = f"{described(FIDELITY).name} and {described('modes/label_jsd').name}"
    return f"{floor['real']:,} against {floor['samples']:,}; {names} against {floor['drawn']:,} with replacement"


def board(found: dict, real: dict) -> Html:
    """The best cell of every family beside real images, chosen once by fidelity and once by coverage."""
    cells = {cell["cell"]: (index, cell) for index, cell in enumerate(found["cells"])}
    shown = []
    for dataset, leaders in grouped(found["best"], lambda row: row["dataset"]).items():
        shown += [element("h3", dataset), row_of_best(dataset, leaders, "fidelity", "by fidelity: the lowest fd_rel", cells, real)]
        if any(row["coverage"] and row["coverage"] != row["fidelity"] for row in leaders):
            shown.append(
                row_of_best(dataset, leaders, "coverage", "by coverage: the most real images with a sample nearby", cells, real)
            )
    return joined(shown) if shown else element("p", "No cell has images to show.")


def row_of_best(dataset: str, leaders: list[dict], word: str, title: str, cells: dict, real: dict) -> Html:
    content, words = real[dataset]
    picture = Html(f'<img src="data:image/webp;base64,{content}" alt="Real images of {escape(dataset)}">') if content else ""
    figures = [element("figure", picture, element("figcaption", element("b", "Real images"), BREAK, words))]
    return joined(
        element("h4", f"Chosen {title}"),
        element("div", figures + [leader(*cells[row[word]]) for row in leaders if row[word]], class_="board"),
    )


def leader(index: int, cell: dict) -> Html:
    values = ", ".join(
        f"{described(name).name} {number(cell['values'][name]['value'])}"
        for name in (FIDELITY, "quality/precision", "quality/recall", COVERAGE)
        if name in cell["values"]
    )
    return element(
        "figure",
        Html(f'<img data-cell="{index}" data-kind="samples" alt="Samples of {escape(cell["cell"])}">'),
        element(
            "figcaption",
            element("b", cell["model"].upper()),
            " ",
            element("a", place_of(cell), href=f"#cell-{cell['cell']}"),
            BREAK,
            element(
                "small",
                f"{values}; {cell['seeds']} seed{'s' * (cell['seeds'] != 1)}"
                + ("" if cell["stage"] == "confirm" else ", search only"),
            ),
        ),
    )


def place_of(cell: dict) -> str:
    return ", ".join([cell["system"] or cell["net"], f"depth {cell['depth']}", f"latent {cell['latent_dim']}"])


def stability(found: dict) -> Html:
    """Rates with Wilson's intervals, where the spread lies, and how often one family beats another."""
    lost = [
        [
            f"{row['dataset']}: {row['model'].upper()} ({row['net']})",
            rate_of(row["diverged"]),
            rate_of(row["collapsed"]) if "collapsed" in row else "–",
        ]
        for row in found["rates"]
    ]
    shares = [
        [f"{row['dataset']}: {described(row['measure']).name}", *(share(row[word]) for word in ("model", "cell", "seed"))]
        for row in found["variance"]
    ]
    pairs = grouped(found["chances"], lambda row: (row["dataset"], row["better"], row["than"])).items()
    beaten = [
        [
            f"{dataset}: {better.upper()} over {than.upper()}",
            *(f"{number(row['share'])} {interval(row['interval'])}" for row in both),
        ]
        for (dataset, better, than), both in pairs
    ]
    if not lost:
        return element("p", "Nothing has been confirmed on held-out images yet.")
    return joined(
        cards("Trainings that diverged, and that gave four classes or fewer", ["Family", "Diverged", "Collapsed"], lost),
        cards(
            "Where the variance lies (fd_rel in doublings)",
            ["Measure", "between families", "between a family's cells", "between seeds"],
            shares,
        ),
        cards(
            "Probability that a new training of one family's best cell beats one of another's, 95 % interval",
            ["Comparison", "nearer (fd_rel)", "wider (coverage)"],
            beaten,
        ),
    )


def rate_of(rate) -> str:
    count, trainings, low, high = rate
    return f"{count} of {trainings}, {100 * low:.0f} to {100 * high:.0f} %"


def share(value: float) -> Html:
    return joined(
        element("span", element("i", style=f"width:{100 * value:.0f}%"), class_="share", aria_hidden="true"),
        element("span", f"{100 * value:.0f} %", class_="figure"),
    )


def charts(found: dict) -> Html:
    """Places for the charts that the page's script draws."""
    return joined(
        [
            element("div", class_="chart", data_chart="tuning", data_dataset=dataset)
            for dataset in dict.fromkeys(row["dataset"] for row in found["tuning"])
        ]
    )


def methods(found: dict, left_out: int) -> Html:
    """How the numbers came about, and what is needed to get them again."""
    used = {name for cell in found["cells"] for name in cell["values"]}
    rows = [
        [measure.name, measure.group, measure.better or "neither", joined(measure.reads, " ", element("code", measure.key))]
        for measure in MEASURES
        if measure.key in used
    ]
    data = [
        [row["dataset"], str(row["trials"]), element("code", row["features"]), element("code", row["fingerprint"][:16])]
        for row in found["datasets"]
    ]
    versions = [[kind, "; ".join(f"{name} {value}" for name, value in said.items())] for kind, said in found["versions"].items()]
    omitted = element(
        "p", f"{left_out} pictures are left out so that the page stays small; they lie in the study's folder, trials/KEY/images."
    )
    return joined(
        cards("Measures", ["Measure", "Group", "Better", "What it says"], rows),
        table("Datasets", ["Dataset", "Trials", "Features", "Images"], data),
        table("Versions", ["What", "With"], versions),
        omitted if left_out else "",
    )
