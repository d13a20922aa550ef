"""Findings as tables, CSV and LaTeX."""

import json
import re
from collections.abc import Callable
from pathlib import Path

from study.analysis.cell_table import as_csv, as_row
from study.analysis.claims import COVERAGE, FIDELITY
from study.ledger.files import write_atomic
from study.metrics.catalogue import described, interval, number


def write_tables(found: dict, folder: Path) -> None:
    """trainings.csv and curves.csv hold what the verdicts were computed from; the others what the page shows."""
    rows = [{name: value for name, value in row.items() if not name.startswith("curve/")} for row in found["rows"]]
    tables = {
        "trainings": rows,
        "curves": curves(found["rows"]),
        "cells": list(map(as_row, found["cells"])),
        "verdicts": list(map(verdict_row, found["claims"])),
        "effects": list(map(effect_row, found["effects"])),
    }
    for name, rows in tables.items():
        write_atomic(folder / f"{name}.csv", as_csv(rows))
    for name, columns in LATEX.items():
        write_atomic(folder / f"{name}.tex", latex(tables[name], columns).encode())


def curves(rows: list[dict]) -> list[dict]:
    """One row per training and measure, its values per epoch as a JSON list (entry 0 is the untrained model)."""
    return [
        {"trial": row["trial"], "seed": row["seed"], "measure": name.removeprefix("curve/"), "values": json.dumps(values)}
        for row in rows
        for name, values in row.items()
        if name.startswith("curve/")
    ]


def verdict_row(claim: dict) -> dict:
    part = claim["deciding"] or {"label": "", "measure": "", "effect": None, "interval": None, "unit": "", "points": []}
    low, high = part["interval"] or (None, None)
    return {
        "claim": claim["id"],
        "sentence": claim["sentence"],
        "source": claim["source"],
        "verdict": claim["word"],
        "on": claim["on"],
        "part": part["label"],
        "measure": part["measure"],
        "effect": part["effect"],
        "low": low,
        "high": high,
        "unit": part["unit"],
        "pairs": len(part["points"]),
        "p": claim["p"],
        "p_holm": claim["p_holm"],
        "would_decide": claim["more"],
        "missing": "; ".join(claim["missing"]),
    }


def effect_row(row: dict) -> dict:
    low, high = row["interval"] or (None, None)
    return {
        **{name: row[name] for name in ("dataset", "model", "factor", "from", "to", "measure", "effect")},
        "low": low,
        "high": high,
        "pairs": len(row["points"]),
    }


def with_interval(name: str) -> Callable:
    """A column of a cell's value with its interval."""

    def column(row):
        pair = (row[f"{name} low"], row[f"{name} high"]) if f"{name} low" in row else None
        return f"{number(row.get(name))} {interval(pair)}".strip()

    return column


LATEX = {  # table -> heading -> column
    "cells": {
        "Dataset": "dataset",
        "Model": "model",
        "Net": "net",
        "Depth": "depth",
        "Latent": "latent_dim",
        "Seeds": "seeds",
        **{described(name).name: with_interval(name) for name in (FIDELITY, "quality/precision", "quality/recall", COVERAGE)},
    },
    "verdicts": {
        "": "claim",
        "Claim": "sentence",
        "Verdict": lambda row: row["verdict"] + (row["on"] and f" on {row['on']}"),
        "Effect": lambda row: ranged(row),
        "Unit": "unit",
        "Pairs": "pairs",
        "p (Holm)": lambda row: number(row["p_holm"]),
    },
    "effects": {
        "Dataset": "dataset",
        "Model": "model",
        "Factor": "factor",
        "From": "from",
        "To": "to",
        "Measure": lambda row: described(row["measure"]).name,
        "Effect": lambda row: ranged(row),
        "Pairs": "pairs",
    },
}


def ranged(row: dict) -> str:
    pair = None if row["low"] is None else (row["low"], row["high"])
    return f"{number(row['effect'])} {interval(pair)}".strip()


def latex(rows: list[dict], columns: dict) -> str:
    """A booktabs tabular; every text is escaped."""
    lines = [r"\begin{tabular}{" + "l" * len(columns) + "}", r"\toprule", " & ".join(map(escaped, columns)) + r" \\", r"\midrule"]
    lines += [
        " & ".join(escaped(column(row) if callable(column) else row[column]) for column in columns.values()) + r" \\"
        for row in rows
    ]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "–": "--",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def escaped(text) -> str:
    return re.sub(r"[\\~^−–<>&%$#_{}]", lambda match: SPECIAL[match[0]], str(text))
