"""Which study is meant: from what a command line says to the ledger, and back."""

import re
from pathlib import Path

from study.errors import UserError
from study.ledger.folder import Ledger

STORAGE = Path("mlruns/studies")  # unless --storage says otherwise


def open_study(storage: Path | str, space: str) -> "Ledger":
    """The ledger of one study in a storage folder or an object store, named as --space names it: a space of one's own by
    its file, which is not read and may be gone. A name that could lead out of the storage is refused."""
    space = Path(space).stem if space.endswith(".py") else space
    if not is_space_name(space):
        raise UserError(f"a space's name is made of letters, digits and underscores, not {space!r}")
    if isinstance(storage, Path):
        return Ledger(storage.resolve() / space)
    ledger = ledger_at(f"{storage}/{space}")
    ledger.refresh()
    return ledger


def is_space_name(text: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9_]+", text))


def ledger_at(address: str, worker: bool = False) -> "Ledger":
    """The ledger whose `address` this is, as a worker or the driver opens it."""
    if "://" not in address:
        return Ledger(address)
    from study.ledger.object_store import ObjectStoreLedger

    return ObjectStoreLedger(address, worker)
