"""Findings as tables, CSV and LaTeX."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from study.analysis.cell_table import as_csv, as_row
from study.analysis.effects import Effect
from study.analysis.report_data import ReportData
from study.analysis.sentences import data_of, level
from study.analysis.verdicts import Verdict
from study.ledger.files import write_atomic
from study.metrics.catalogue import COVERAGE, FIDELITY, described, interval, number


def write_tables(found: ReportData, folder: Path) -> None:
    """trainings.csv and curves.csv hold what the verdicts were computed from; the others what the page shows."""
    rows = [{name: value for name, value in row.items() if not name.startswith("curve/")} for row in found.rows]
    tables = {
        "trainings": rows,
        "curves": curves(found.rows),
        "cells": list(map(as_row, found.cells)),
        "verdicts": list(map(verdict_row, found.verdicts)),
        "effects": list(map(effect_row, found.effects)),
    }
    for name, rows in tables.items():
        write_atomic(folder / f"{name}.csv", as_csv(rows))
    for name, columns in LATEX.items():
        write_atomic(folder / f"{name}.tex", latex(tables[name], columns).encode())


def curves(rows: Sequence[Mapping]) -> list[dict]:
    """One row per training and measure, its values per epoch as a JSON list (entry 0 is the untrained model)."""
    return [
        {"trial": row["trial"], "seed": row["seed"], "measure": name.removeprefix("curve/"), "values": json.dumps(values)}
        for row in rows
        for name, values in row.items()
        if name.startswith("curve/")
    ]


def verdict_row(verdict: Verdict) -> dict:
    claim, found = verdict.claim, verdict.deciding
    low, high = found and found.interval or (None, None)
    return {
        "claim": claim.id,
        "sentence": claim.sentence,
        "source": claim.source,
        "about": claim.about,
        "verdict": verdict.word,
        "on": data_of(verdict),
        "part": found.part.label if found else "",
        "measure": found.part.measure if found else "",
        "effect": found.effect if found else None,
        "low": low,
        "high": high,
        "unit": found.part.unit if found else "",
        "pairs": len(found.points) if found else 0,
        "p": verdict.p,
        "p_holm": verdict.p_holm,
        "would_decide": verdict.more,
        "decided_at": verdict.at,
        "missing": "; ".join(verdict.missing),
    }


def effect_row(found: Effect) -> dict:
    low, high = found.interval or (None, None)
    return {
        **{name: getattr(found, name) for name in ("dataset", "model", "factor")},
        "from": level(found.first),
        "to": level(found.last),
        "with_it": " ".join(found.along),
        "measure": found.measure,
        "effect": found.effect,
        "low": low,
        "high": high,
        "pairs": len(found.points),
        "blocks": len(found.blocks),
        "margin": found.margin,
        "verdict": found.word,
        "p_holm": found.p,
        "would_decide": found.more,
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
        "Replicates": "replicates",
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
        "Verdict": "verdict",
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
