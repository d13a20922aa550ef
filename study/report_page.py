"""Findings as one HTML page that needs no network: what is said in words here, maps and charts in study/page/."""
import base64
import hashlib
import json
import re
import string
import time
from html import escape
from importlib.resources import files

from study.answers import NAMES, WORDS
from study.claims import COVERAGE, FIDELITY
from study.measures import BY_KEY, MEASURES, described, interval, number
from study.trainings import grouped

SIGNS = {"supported": "✓", "refuted": "✗", "undecided": "?", "unanswerable": "–"}
FACTORS = {"latent_dim": "latent size", "depth": "depth", "net": "net"}


class Html(str):
    """Text that is HTML already; every other string is escaped where it is put into an element."""


BREAK = Html("<br>")


def element(name: str, *children, **attributes) -> Html:
    """`<name attributes>children</name>`; class_ and data_x are written class and data-x, None leaves one out."""
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items()
                      if value is not None)
    return Html(f"<{name}{written}>{joined(*children)}</{name}>")


def joined(*children) -> Html:
    return Html("".join(child if isinstance(child, Html) else joined(*child) if isinstance(child, list)
                        else escape(str(child)) for child in children))


def table(caption: str, head: list, rows: list[list], **attributes) -> Html:
    """A table whose first column names the row; the head is repeated on each cell for narrow screens. What a row has
    beyond the head stands below it, across all columns."""
    body = [[element("tr", element("th", row[0], scope="row"),
                     [element("td", cell, data_head=title, class_=shape(cell)) for title, cell in zip(head[1:], row[1:])]),
             [element("tr", element("td", more, colspan=str(len(head))), class_="below") for more in row[len(head):]]]
            for row in rows]
    return element("div", element("table", element("caption", caption),
                                  element("thead", element("tr", [element("th", title, scope="col") for title in head])),
                                  element("tbody", body), **attributes), class_="scroll", tabindex="0", role="region",
                   aria_label=caption)


def shape(cell: str) -> str | None:
    """How a cell behaves where rows become cards: left out when empty, on a line of its own when long."""
    return "empty" if re.sub("<[^>]*>", "", cell) == "–" else "wide" if len(cell) > 60 and "forest" not in cell else None


def page(found: dict, pictures: dict, real: dict, left_out: int) -> str:
    """The whole page. pictures: cell -> kind -> epoch -> base64 WebP; real: dataset -> (base64 WebP or None, words)."""
    asset = {path.name: path.read_text() for path in files("study").joinpath("page").iterdir()}
    script = asset["charts.js"] + asset["page.js"]
    parts = {"title": escape(f"{found['space']}: report"), "style": asset["page.css"], "script": script,
             "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
             "header": header(found), "progress": progress(found), "answer": answer(found), "claims": claims(found),
             "effects": effects(found), "floors": floors(found), "board": board(found, real),
             "stability": stability(found), "methods": methods(found, left_out), "data": as_json(page_data(found)),
             "charts": charts(found),
             "pictures": joined([block(f"pictures-{index}", pictures[cell["cell"]]) for index, cell
                                 in enumerate(found["cells"]) if cell["cell"] in pictures])}
    return string.Template(asset["page.html"]).substitute(parts)


def as_json(value) -> Html:
    """JSON that no text inside it can end: a script block is closed by the characters `</script` wherever they stand."""
    return Html(json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c"))


def block(name: str, value) -> Html:
    return Html(f'<script type="application/json" id="{name}">{as_json(value)}</script>\n')


def page_data(found: dict) -> dict:
    """What the page's script needs: rounded, and only what it shows."""
    used = {name for cell in found["cells"] for name in cell["values"]}
    known = [measure for measure in MEASURES if measure.key in used]
    others = [described(name) for name in sorted(used - BY_KEY.keys())]
    return {"measures": [measure._asdict() for measure in known + others], "space": found["space"],
            "floors": rounded(found["floors"]), "tuning": rounded(found["tuning"]),
            "datasets": [row["dataset"] for row in found["datasets"]],
            "cells": [rounded({**cell, "values": {name: brief(value) for name, value in cell["values"].items()},
                               "pictures": None, "error": cell["error"][:300]}) for cell in found["cells"]]}


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
    return joined(element("p", "Report of the study", class_="kicker"), element("h1", found["space"]),
                  element("p", found["question"], class_="question") if found["question"] else "",
                  element("p", counts, class_="small"))


def progress(found: dict) -> Html:
    """What is still missing, and what is left out; nothing where all is there."""
    lines = [element("p", note) for note in found["notes"]]
    counted = found["progress"]
    if counted is None:
        lines.append(element("p", "This ledger has no plan beside it (planned.jsonl), so what is missing cannot be told."))
    elif counted["left"] + counted["running"]:
        lines.append(unfinished(found, counted))
    if counted and counted["failed"]:
        lines.append(element("p", f"{counted['failed']} trials failed and are left out; to run them again: ",
                             element("code", f"python study/launch.py --space {found['space']} --retry-failed")))
    return element("section", lines, class_="notice", aria_label="What is missing") if lines else Html("")


def unfinished(found: dict, counted: dict) -> Html:
    waiting = counted["left"] + counted["running"]
    ended = counted["planned"] - waiting
    at_work = (f"a driver is at work on it ({counted['running']} running)" if counted["at_work"] else "to go on: ")
    command = "" if counted["at_work"] else element("code", f"python study/launch.py --space {found['space']}")
    names = [f"{row['cell']} ({'all ' if row['untouched'] else ''}{row['left']})" for row in found["missing"]]
    return joined(element("p", element("strong", f"The sweep is not finished: {ended} of {counted['planned']} trials are; "),
                          at_work, command),
                  element("details", element("summary", f"{len(names)} cells lack trials"), element("p", ", ".join(names))))


def answer(found: dict) -> Html:
    return joined([element("p", sentence) for sentence in found["answer"]])


def claims(found: dict) -> Html:
    """The verdicts, those that were reached first; the claims that lack cells in a list of their own."""
    tested = [claim for claim in found["claims"] if claim["word"] != "unanswerable"]
    lacking = [claim for claim in found["claims"] if claim["word"] == "unanswerable"]
    head = ["Claim", "Verdict", "Effect, 95 % interval", "Paired seeds", "p (Holm)", "What would decide it"]
    rows = [[joined(element("b", claim["id"]), " ", claim["sentence"]), verdict(claim["word"]),
             effect_of(claim["deciding"]), pairs_of(claim["deciding"]), p_of(claim["p_holm"]), decided_by(claim), parts(claim)]
            for claim in sorted(tested, key=lambda claim: WORDS.index(claim["word"]))]
    shown = [table("Claims that these trainings can answer", head, rows, class_="claims cards")] if rows else []
    rows = [[joined(element("b", claim["id"]), " ", claim["sentence"]), verdict(claim["word"]),
             element("small", "; ".join(dict.fromkeys(claim["missing"]))), asked_by(claim, found["space"]), parts(claim)]
            for claim in lacking]
    if rows:
        shown.append(element("details", element("summary", f"{len(rows)} claims lack cells or seeds in this study"),
                             table("Claims that cannot be answered from this ledger",
                                   ["Claim", "Verdict", "Missing", "Spaces that have the cells"], rows, class_="claims cards")))
    return joined(shown) if shown else element("p", "No claims were given to judge.")


def verdict(word: str) -> Html:
    return element("span", f"{SIGNS[word]} {word}", class_=f"verdict {word}")


def effect_of(part: dict | None) -> Html:
    if part is None:
        return Html("–")
    range_or_points = interval(part["interval"]) if part["interval"] else points_of(part["points"])
    return joined(element("span", f"{signed(part)} {part['unit']} {range_or_points}", class_="figure"),
                  BREAK, element("small", ", ".join(dict.fromkeys(
                      [described(part["measure"]).name, part["label"]])) + (f", on {', '.join(part['datasets'])}" if part["datasets"]
                                                                            else "")))


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
    return element("small", "; ".join([claim["more"]] * bool(claim["more"]) + lacking) or "–")


def asked_by(claim: dict, space: str) -> Html:
    others = [name for name in claim["spaces"] if name != space]
    return element("small", ", ".join(others) or "this space, with more datasets, cells or seeds")


def parts(claim: dict) -> Html:
    """Every part of a claim on its own, a click away."""
    rows = [[part["label"], joined("missing: ", part["missing"]) if part["missing"] else effect_of(part), pairs_of(part),
             p_of(part["p_for"]), p_of(part["p_against"]), blocks_of(part)] for part in claim["parts"]]
    head = ["Part", "Effect, 95 % interval", "Paired seeds", "p for", "p against", "By block"]
    return element("details", element("summary", f"{len(rows)} part{'s' * (len(rows) > 1)}, source: report {claim['source']}"),
                   table(f"Parts of {claim['id']}", head, rows, class_="cards"))


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
    shown = []
    for dataset, group in grouped(found["effects"], lambda row: row["dataset"]).items():
        spans = {measure: max([max(map(abs, row["interval"] or row["points"])) for row in group if row["measure"] == measure]
                              or [1]) for measure in (FIDELITY, COVERAGE)}
        rows = []
        for (factor, low, high, model), pair in grouped(sorted(group, key=lambda row: list(FACTORS).index(row["factor"])),
                                                        lambda row: (row["factor"], row["from"], row["to"], row["model"])).items():
            by_measure = {row["measure"]: row for row in pair}
            rows.append([f"{model.upper()}, {FACTORS[factor]} {low} → {high}",
                         *(forest(by_measure.get(measure), spans[measure]) for measure in (FIDELITY, COVERAGE)),
                         str(len(pair[0]["points"]))])
        shown.append(table(f"{dataset}: change from the least level to the largest, everything else equal",
                           ["Family and factor", "fd_rel (lower is nearer)", "coverage (higher is wider)", "Paired seeds"],
                           rows, class_="cards"))
    return joined(shown)


def forest(row: dict | None, span: float) -> Html:
    """An effect in numbers and as a bar around 0."""
    if row is None:
        return Html("–")
    low, high = row["interval"] or (min(row["points"]), max(row["points"]))
    place = [50 + 48 * value / (span or 1) for value in (low, high, row["effect"])]
    bar = element("span", element("i", style=f"left:{place[0]:.1f}%;width:{max(place[1] - place[0], 0.5):.1f}%"),
                  element("b", style=f"left:{place[2]:.1f}%"), class_="forest", aria_hidden="true")
    kind = interval(row["interval"]) if row["interval"] else points_of(row["points"])
    return joined(bar, element("span", f"{'+' if row['effect'] > 0 else ''}{number(row['effect'])} ",
                               element("small", kind), class_="figure"))


def floors(found: dict) -> Html:
    """What real images score against real ones, where the study has measured it."""
    measures = [FIDELITY, "quality/precision", "quality/recall", COVERAGE, "modes/label_jsd"]
    rows = [[row["dataset"], *(number(row["floor"].get(measure)) for measure in measures)]
            for row in found["datasets"] if row["floor"]]
    if not rows:
        return element("p", "What real images score against real ones has not been measured in this study.", class_="small")
    return table("Real images against real ones: what a perfect model would score",
                 ["Dataset", *(described(measure).name for measure in measures)], rows)


def board(found: dict, real: dict) -> Html:
    """The best cell of every family beside real images, chosen once by fidelity and once by coverage."""
    cells = {cell["cell"]: (index, cell) for index, cell in enumerate(found["cells"])}
    shown = []
    for dataset, leaders in grouped(found["best"], lambda row: row["dataset"]).items():
        shown += [element("h3", dataset), row_of_best(dataset, leaders, "fidelity", "by fidelity: the lowest fd_rel", cells, real)]
        if any(row["coverage"] and row["coverage"] != row["fidelity"] for row in leaders):
            shown.append(row_of_best(dataset, leaders, "coverage", "by coverage: the most real images with a sample nearby",
                                     cells, real))
    return joined(shown) if shown else element("p", "No cell has images to show.")


def row_of_best(dataset: str, leaders: list[dict], word: str, title: str, cells: dict, real: dict) -> Html:
    content, words = real[dataset]
    picture = Html(f'<img src="data:image/webp;base64,{content}" alt="Real images of {escape(dataset)}">') if content else ""
    figures = [element("figure", picture, element("figcaption", element("b", "Real images"), BREAK, words))]
    return joined(element("h4", f"Chosen {title}"), element("div", figures + [
        leader(*cells[row[word]]) for row in leaders if row[word]], class_="board"))


def leader(index: int, cell: dict) -> Html:
    values = ", ".join(f"{described(name).name} {number(cell['values'][name]['value'])}" for name in
                       (FIDELITY, "quality/precision", "quality/recall", COVERAGE) if name in cell["values"])
    return element("figure", Html(f'<img data-cell="{index}" data-kind="samples" alt="Samples of {escape(cell["cell"])}">'),
                   element("figcaption", element("b", cell["model"].upper()), " ",
                           element("a", place_of(cell), href=f"#cell-{cell['cell']}"), BREAK,
                           element("small", f"{values}; {cell['seeds']} seed{'s' * (cell['seeds'] != 1)}"
                                   + ("" if cell["stage"] == "confirm" else ", search only"))))


def place_of(cell: dict) -> str:
    return ", ".join([cell["system"] or cell["net"], f"depth {cell['depth']}", f"latent {cell['latent_dim']}"])


def stability(found: dict) -> Html:
    """Rates with Wilson's intervals, where the spread lies, and how often one family beats another."""
    rows = [[f"{row['dataset']}: {row['model'].upper()} ({row['net']})", rate_of(row["diverged"]),
             rate_of(row["collapsed"]) if "collapsed" in row else "–"] for row in found["rates"]]
    shown = [table("Trainings that diverged, and that gave four classes or fewer",
                   ["Family", "Diverged", "Collapsed"], rows, class_="cards")] if rows else []
    rows = [[f"{row['dataset']}: {described(row['measure']).name}", *(share(row[word]) for word in ("model", "cell", "seed"))]
            for row in found["variance"]]
    if rows:
        shown.append(table("Where the variance lies (fd_rel in doublings)",
                           ["Measure", "between families", "between a family's cells", "between seeds"], rows, class_="cards"))
    pairs = grouped(found["chances"], lambda row: (row["dataset"], row["better"], row["than"])).items()
    rows = [[f"{dataset}: {better.upper()} over {than.upper()}",
             *(f"{number(row['share'])} {interval(row['interval'])}" for row in both)] for (dataset, better, than), both in pairs]
    if rows:
        shown.append(table("Probability that a new training of one family's best cell beats one of another's, 95 % interval",
                           ["Comparison", "nearer (fd_rel)", "wider (coverage)"], rows, class_="cards"))
    return joined(shown) if shown else element("p", "Nothing has been confirmed on held-out images yet.")


def rate_of(rate) -> str:
    count, trainings, low, high = rate
    return f"{count} of {trainings}, {100 * low:.0f} to {100 * high:.0f} %"


def share(value: float) -> Html:
    return joined(element("span", element("i", style=f"width:{100 * value:.0f}%"), class_="share", aria_hidden="true"),
                  element("span", f"{100 * value:.0f} %", class_="figure"))


def charts(found: dict) -> Html:
    """Places for the charts that the page's script draws."""
    return joined([element("div", class_="chart", data_chart="tuning", data_dataset=dataset)
                   for dataset in dict.fromkeys(row["dataset"] for row in found["tuning"])])


def methods(found: dict, left_out: int) -> Html:
    """How the numbers came about, and what is needed to get them again."""
    used = {name for cell in found["cells"] for name in cell["values"]}
    rows = [[measure.name, measure.group, measure.better or "neither", joined(measure.reads, " ", element("code", measure.key))]
            for measure in MEASURES if measure.key in used]
    data = [[row["dataset"], str(row["trials"]), element("code", row["features"]), element("code", row["fingerprint"][:16])]
            for row in found["datasets"]]
    versions = [[kind, "; ".join(f"{name} {', '.join(map(str, value)) if isinstance(value, list) else value}"
                                 for name, value in said.items())] for kind, said in found["versions"].items()]
    omitted = (element("p", f"{left_out} pictures are left out so that the page stays small; they lie in the study's folder,"
                            " trials/KEY/images.") if left_out else "")
    return joined(table("Measures", ["Measure", "Group", "Better", "What it says"], rows, class_="cards"),
                  table("Datasets", ["Dataset", "Trials", "Features", "Images"], data),
                  table("Versions", ["What", "With"], versions), omitted)
