"""Several studies read as one, for a report on all of them."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from study.errors import UserError
from study.ledger.folder import Ledger
from study.ledger.names import cell_of
from study.ledger.opening import open_study
from study.ledger.records import CellLine, RealBaseline


def open_joined(storages: Sequence[Path | str], spaces: Sequence[str]) -> "Ledger":
    """The studies of these spaces in one storage, or in one each; a single one is its own ledger."""
    if len(storages) == 1:
        storages = [*storages] * len(spaces)
    if len(spaces) == 1:
        spaces = [*spaces] * len(storages)
    if len(storages) != len(spaces):
        raise UserError(f"{len(spaces)} spaces and {len(storages)} storages: name one storage for all of them, or one for each")
    ledgers = [open_study(storage, space) for storage, space in zip(storages, spaces)]
    for ledger in ledgers:
        if not ledger.keys():
            raise UserError(f"there is no study '{ledger.root.name}' in {ledger.root.parent}; is --storage right?")
    return JoinedLedger(ledgers) if len(ledgers) > 1 else ledgers[0]


class JoinedLedger(Ledger):
    """Reads several ledgers, and writes none. A training that more than one holds is one: its key says all that defines it.

    Where two studies have tuned one cell in different ways, its replicates are not of one population: the cell is that of the
    study that is named first, and `notes` says so.
    """

    def __init__(self, ledgers: Sequence[Ledger]):
        super().__init__(os.path.commonpath([ledger.root for ledger in ledgers]))
        self.studies = tuple(ledgers)
        self.owners: dict[str, Ledger] = {}  # of each trial, the study that it is read from
        self.left_out: dict[Ledger, set[str]] = {}  # by study, the cells that are another's
        places: dict[str, str] = {}  # what a trial is in its cell -> its key
        for ledger in ledgers:
            keys = ledger.keys()
            self.left_out[ledger] = {cell_of(key) for key in keys if places.get(place_of(key), key) != key}
            for key in keys:
                if cell_of(key) not in self.left_out[ledger]:
                    places[place_of(key)] = key
                    self.owners.setdefault(key, ledger)

    @property
    def notes(self) -> tuple[str, ...]:
        tuned = [
            f"{len(cells)} cells are tuned in another way in {ledger.root.name} ({ledger.root}) than in a study before it, which"
            f" alone speaks for them: {', '.join(sorted(cells))}"
            for ledger, cells in self.left_out.items()
            if cells
        ]
        grown = [ledger.root.name for ledger in self.studies if ledger.looks()]
        return (*tuned, *[f"the looks at which {' and '.join(grown)} grew are judged in a report of its own"] * bool(grown))

    def keys(self) -> list[str]:
        return sorted(self.owners)

    def study_of(self, key: str) -> Ledger:
        return self.owners[key]

    def folder(self, key: str) -> Path:
        return self.owners[key].folder(key)

    def planned(self) -> list[CellLine]:
        lines: dict[str, CellLine] = {}
        for ledger in self.studies:
            for line in ledger.planned():
                if line.cell not in self.left_out[ledger]:
                    known = lines.get(line.cell, line)
                    trials = [*dict.fromkeys([*known.trials, *line.trials])]
                    lines[line.cell] = replace(line, planned=max(known.planned, line.planned), trials=trials)
        return list(lines.values())

    def floors(self) -> dict[str, RealBaseline]:
        return {name: found for ledger in reversed(self.studies) for name, found in ledger.floors().items()}

    def real_baselines(self, features: str) -> dict[str, RealBaseline]:
        return {name: found for ledger in reversed(self.studies) for name, found in ledger.real_baselines(features).items()}

    def looks(self) -> tuple[int, ...]:
        """None: what looks cost is settled within one study."""
        return ()

    def held(self) -> bool:
        return any(ledger.held() for ledger in self.studies)


def place_of(key: str) -> str:
    """What a trial is in its study, whatever its hash: cell, replicate, stage and proposal."""
    return key.rpartition("-")[0]
