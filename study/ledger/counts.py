"""How many trials of a study are planned, running, done, diverged, failed, left."""

from collections.abc import Mapping
from pathlib import Path

from study.errors import UserError
from study.ledger.folder import Ledger
from study.ledger.opening import open_study
from study.ledger.records import FINISHED, Result

WORDS = ("planned", "running", *FINISHED, "left")


def study_counts(storage: Path | str, space: str) -> dict:
    """planned, running, done, diverged, failed, left: of the whole study, and per model and dataset."""
    found = counted(open_study(storage, space))
    if not found["groups"]:
        raise UserError(f"no study '{space}' under {storage}; launch it first, or say with --storage where it is")
    return {"space": space, **found}


def counted(ledger: Ledger, known: Mapping[str, Result] = {}) -> dict:
    """The same of a ledger, without "space"; no groups where it has no plan. `known`: results, from who has read them already."""
    on_disk, at_work = set(ledger.keys()), ledger.held()
    groups = {}
    for line in ledger.planned():
        group = groups.setdefault((line.model, line.dataset), dict.fromkeys(WORDS, 0))
        group["planned"] += line.planned
        for key in on_disk.intersection(line.trials):
            result = known.get(key) or ledger.result(key)
            group[result.status if result else "running" if at_work else "left"] += 1
    for group in groups.values():
        group["left"] = group["planned"] - sum(group[word] for word in WORDS[1:-1])
    total = {word: sum(group[word] for group in groups.values()) for word in WORDS}
    return {**total, "groups": [{"model": model, "dataset": dataset, **group} for (model, dataset), group in groups.items()]}
