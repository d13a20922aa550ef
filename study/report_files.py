"""Findings as files: tables as CSV and LaTeX, figures as PNG and SVG."""
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from study.claims import COVERAGE, FIDELITY
from study.ledger import write_atomic
from study.measures import described, interval, number
from study.report_pictures import tiles_of
from study.summary import table
from study.trainings import grouped

COLOURS = {"vae": "#0072b2", "gan": "#d55e00", "wgan": "#009e73"}   # Okabe and Ito's, told apart by all
MAPPED = (FIDELITY, COVERAGE)
MOST_NUMBERS = 40   # squares of a map beyond which numbers would not be legible


def write_tables(found: dict, folder: Path) -> None:
    """trainings.csv and curves.csv hold what the verdicts were computed from; the others what the page shows."""
    rows = [{name: value for name, value in row.items() if not name.startswith("curve/")} for row in found["rows"]]
    tables = {"trainings": rows, "curves": curves(found["rows"]), "cells": list(map(cell_row, found["cells"])),
              "verdicts": list(map(verdict_row, found["claims"])), "effects": list(map(effect_row, found["effects"]))}
    for name, rows in tables.items():
        write_atomic(folder / f"{name}.csv", table(rows))
    for name, columns in LATEX.items():
        write_atomic(folder / f"{name}.tex", latex(tables[name], columns).encode())


def curves(rows: list[dict]) -> list[dict]:
    """One row per training and measure, its values per epoch as a JSON list (entry 0 is the untrained model)."""
    return [{"trial": row["trial"], "seed": row["seed"], "measure": name.removeprefix("curve/"), "values": json.dumps(values)}
            for row in rows for name, values in row.items() if name.startswith("curve/")]


def cell_row(cell: dict) -> dict:
    row = {name: cell[name] for name in ("dataset", "model", "net", "system", "depth", "latent_dim", "stage", "status", "seeds")}
    row["diverged"] = cell["diverged"][0]
    for name, estimate in cell["values"].items():
        row[name] = estimate["value"]
        if estimate["interval"]:
            row[f"{name} low"], row[f"{name} high"] = estimate["interval"]
    return {**row, "params": json.dumps(cell["params"]), "trials": " ".join(cell["trials"])}


def verdict_row(claim: dict) -> dict:
    part = claim["deciding"] or {"label": "", "measure": "", "effect": None, "interval": None, "unit": "", "points": []}
    low, high = part["interval"] or (None, None)
    return {"claim": claim["id"], "sentence": claim["sentence"], "source": claim["source"], "verdict": claim["word"],
            "part": part["label"], "measure": part["measure"], "effect": part["effect"], "low": low, "high": high,
            "unit": part["unit"], "pairs": len(part["points"]), "p": claim["p"], "p_holm": claim["p_holm"],
            "would_decide": claim["more"], "missing": "; ".join(claim["missing"])}


def effect_row(row: dict) -> dict:
    low, high = row["interval"] or (None, None)
    return {**{name: row[name] for name in ("dataset", "model", "factor", "from", "to", "measure", "effect")},
            "low": low, "high": high, "pairs": len(row["points"])}


def with_interval(name: str) -> Callable:
    """A column of a cell's value with its interval."""
    def column(row):
        pair = (row[f"{name} low"], row[f"{name} high"]) if f"{name} low" in row else None
        return f"{number(row.get(name))} {interval(pair)}".strip()
    return column


LATEX = {   # table -> heading -> column
    "cells": {"Dataset": "dataset", "Model": "model", "Net": "net", "Depth": "depth", "Latent": "latent_dim", "Seeds": "seeds",
              **{described(name).name: with_interval(name) for name in (FIDELITY, "quality/precision", "quality/recall", COVERAGE)}},
    "verdicts": {"": "claim", "Claim": "sentence", "Verdict": "verdict", "Effect": lambda row: ranged(row), "Unit": "unit",
                 "Pairs": "pairs", "p (Holm)": lambda row: number(row["p_holm"])},
    "effects": {"Dataset": "dataset", "Model": "model", "Factor": "factor", "From": "from", "To": "to",
                "Measure": lambda row: described(row["measure"]).name, "Effect": lambda row: ranged(row), "Pairs": "pairs"},
}


def ranged(row: dict) -> str:
    pair = None if row["low"] is None else (row["low"], row["high"])
    return f"{number(row['effect'])} {interval(pair)}".strip()


def latex(rows: list[dict], columns: dict) -> str:
    """A booktabs tabular; every text is escaped."""
    lines = [r"\begin{tabular}{" + "l" * len(columns) + "}", r"\toprule",
             " & ".join(map(escaped, columns)) + r" \\", r"\midrule"]
    lines += [" & ".join(escaped(column(row) if callable(column) else row[column]) for column in columns.values()) + r" \\"
              for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$", "–": "--",
           "<": r"\textless{}", ">": r"\textgreater{}", **{sign: f"\\{sign}" for sign in "&%$#_{}"}}


def escaped(text) -> str:
    return re.sub(r"[\\~^−–<>&%$#_{}]", lambda match: SPECIAL[match[0]], str(text))


def write_figures(found: dict, root: Path, real: dict, folder: Path) -> None:
    """maps, board, tuning and cost of every dataset as PNG and SVG."""
    from matplotlib import rc_context  # here: it takes a second to import
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "report", "font.size": 8, "axes.spines.top": False,
                     "axes.spines.right": False}):
        for row in found["datasets"]:
            dataset = row["dataset"]
            cells = [cell for cell in found["cells"] if cell["dataset"] == dataset]
            drawn = {"board": board(found, cells, root, real[dataset]), "tuning": tuning(found, dataset), "cost": cost(cells),
                     **{f"map-{measure.split('/')[1]}": maps(cells, measure) for measure in MAPPED}}
            for name, figure in drawn.items():
                if figure is not None:
                    save(figure, folder / "-".join([name, file_name(dataset)]))


def file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]+", "-", text).strip("-.") or "dataset"


def save(figure, path: Path) -> None:
    figure.draw_without_rendering()
    figure.set_layout_engine("none")   # laid out once, not for each format
    figure.savefig(path.with_name(path.name + ".png"), dpi=150)
    figure.savefig(path.with_name(path.name + ".svg"), metadata={"Date": None})


def new_figure(width: float, height: float):
    from matplotlib.figure import Figure
    return Figure(figsize=(width, height), layout="constrained")


def maps(cells: list[dict], measure: str):
    """Depth by latent size for every model and net, on one scale; None where nothing was measured."""
    cells = [cell for cell in cells if measure in cell["values"]]
    if not cells:
        return None
    groups = grouped(cells, lambda cell: (cell["net"], cell["model"]))
    nets, models = (list(dict.fromkeys(key[axis] for key in groups)) for axis in (0, 1))
    depths, latents = (sorted({cell[axis] for cell in cells}) for axis in ("depth", "latent_dim"))
    figure = new_figure(1.2 + len(models) * max(1.6, 0.8 * len(latents)), 0.7 + len(nets) * max(1.2, 0.45 * len(depths)))
    axes = figure.subplots(len(nets), len(models), squeeze=False, sharex=True, sharey=True)
    scale = scale_of([cell["values"][measure]["value"] for cell in cells])
    for (net, model), group in groups.items():
        axis = axes[nets.index(net)][models.index(model)]
        image = draw_map(axis, group, measure, depths, latents, scale, described(measure).better == "lower")
        axis.set_title(f"{model.upper()} ({net})")
    figure.supxlabel("latent size")
    figure.supylabel("depth")
    figure.colorbar(image, ax=axes, label=described(measure).name)
    return figure


def scale_of(values: list[float]):
    """A colour scale, logarithmic where positive values span more than a factor of 20."""
    from matplotlib.colors import LogNorm, Normalize
    low, high = min(values), max(values)
    return LogNorm(low, high) if 0 < 20 * low < high else Normalize(low, high)


def draw_map(axis, cells, measure, depths, latents, scale, lower_is_better):
    from matplotlib import colormaps
    colours = colormaps["viridis_r" if lower_is_better else "viridis"]
    grid = np.full((len(depths), len(latents)), np.nan)
    for cell in cells:
        value, row, column = cell["values"][measure]["value"], depths.index(cell["depth"]), latents.index(cell["latent_dim"])
        grid[row, column] = value
        red, green, blue, _ = colours(scale(value))
        if len(depths) * len(latents) <= MOST_NUMBERS:
            axis.text(column, row, lines_of(cell, measure), ha="center", va="center", fontsize=6,
                      color="black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white")
    image = axis.imshow(grid, norm=scale, cmap=colours, aspect="auto")
    axis.set_xticks(range(len(latents)), latents)
    axis.set_yticks(range(len(depths)), depths)
    return image


def lines_of(cell: dict, measure: str) -> str:
    """The value, its interval, and how many trainings it rests on."""
    estimate, lost = cell["values"][measure], cell["diverged"][0]
    return "\n".join([number(estimate["value"]), *filter(None, [interval(estimate["interval"])]),
                      f"{cell['seeds']} seeds" + (f", {lost} diverged" if lost else "")])


def board(found: dict, cells: list[dict], root: Path, real: tuple):
    """Real images and, for each family, the samples of the cell nearest to them."""
    by_name = {cell["cell"]: cell for cell in cells}
    leaders = [by_name[row["fidelity"]] for row in found["best"] if row["fidelity"] in by_name]
    shown = [("real images", real[0])] * (real[0] is not None)
    shown += [(f"{cell['model'].upper()}: {cell['system'] or cell['net']}, depth {cell['depth']}, latent {cell['latent_dim']}\n"
               f"fd_rel {number(cell['values'][FIDELITY]['value'])}", picture) for cell in leaders
              if (picture := tiles_of(cell, root)) is not None]
    if not shown:
        return None
    figure = new_figure(2.7 * len(shown), 1.9)
    for axis, (title, picture) in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown):
        axis.imshow(np.asarray(picture), interpolation="nearest")
        axis.set_axis_off()
        axis.set_title(title)
    return figure


def tuning(found: dict, dataset: str):
    """The expected best of k random proposals, and the adviser's apart from them."""
    rows = [row for row in found["tuning"] if row["dataset"] == dataset]
    if not rows:
        return None
    figure = new_figure(4.2, 2.8)
    axis = figure.subplots()
    for row in rows:
        colour, name = COLOURS.get(row["model"], "#555555"), row["model"].upper()
        for word, style, mark in (("random", "-", "."), ("tpe", "--", ".")):
            if row[word]:
                axis.plot(range(1, len(row[word]) + 1), row[word], style, marker=mark, color=colour,
                          label=f"{name}, {'random' if word == 'random' else 'adviser'}")
        if row["default"] is not None:
            axis.plot([0], [row["default"]], "o", color=colour, label=f"{name}, defaults")
    axis.set(xlabel="proposals (0: published defaults)", ylabel="fd_rel, best of k, mean over cells", title=dataset)
    axis.legend(fontsize=6, frameon=False)
    return figure


def cost(cells: list[dict], against: str = "time/train_s"):
    """Fidelity and coverage of every cell against what it cost."""
    figure = new_figure(7, 2.8)
    drawn = False
    for axis, measure in zip(figure.subplots(1, 2), MAPPED):
        for model, group in grouped(cells, lambda cell: cell["model"]).items():
            pairs = [(cell["values"][against]["value"], cell["values"][measure]["value"]) for cell in group
                     if cell["status"] == "done" and against in cell["values"] and measure in cell["values"]]
            if pairs:
                axis.plot(*zip(*pairs), "o", markersize=3.5, color=COLOURS.get(model, "#555555"), label=model.upper())
                drawn = True
        axis.set(xlabel="training time in seconds, all seeds", ylabel=described(measure).name, xscale="log")
        if axis.lines:
            axis.legend(fontsize=6, frameon=False)
    return figure if drawn else None
