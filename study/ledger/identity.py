"""Which ledger is this? A random word that it keeps, whatever its folder is called and wherever it is moved.

Two ledgers may hold spaces of one name, and both may be shown by one MLflow server.
"""

import json
import re
import uuid
from pathlib import Path

from study.ledger import records
from study.ledger.files import write_atomic
from study.ledger.folder import Ledger

IDENTITY = "study.json"  # beside trials/


def words(ledger: Ledger) -> list[tuple[str, str]]:
    """The word of this ledger and its address; after it, where it began as a copy, those of its originals.

    A copy is what finds its word noted for another address where that ledger still stands; else it was moved.
    """
    noted = ledger.noted(IDENTITY, sound)
    if noted is None:
        ledger.put_once(IDENTITY, {"words": [[uuid.uuid4().hex, ledger.address]]})
        noted = ledger.noted(IDENTITY, sound)
    (word, address), *originals = noted["words"]
    if address != ledger.address:
        copied = stands(noted, ledger)
        noted = {"words": [[uuid.uuid4().hex, ledger.address], *noted["words"]] if copied else [[word, ledger.address], *originals]}
        write_atomic(ledger.root / IDENTITY, json.dumps(noted).encode())
        ledger.publish(IDENTITY)
    return [(word, address) for word, address in noted["words"]]


def stands(noted: dict, copy: Ledger) -> bool:
    """Whether the ledger that was noted is still there, and the copy is not the same folder under another name."""
    address = noted["words"][0][1]
    original = Path(address) / IDENTITY
    try:
        return "://" in address or (  # what lies in an object store cannot be moved
            json.loads(original.read_bytes()) == noted and not original.samefile(copy.root / IDENTITY)
        )
    except (OSError, ValueError):
        return False


def sound(value: dict) -> dict:
    pairs = records.json_object(value).get("words")
    whole = (
        isinstance(pairs, list)
        and bool(pairs)
        and all(
            isinstance(pair, list)
            and len(pair) == 2
            and all(isinstance(each, str) for each in pair)
            and re.fullmatch("[0-9a-f]{32}", pair[0])
            for pair in pairs
        )
    )
    if not whole:
        raise ValueError("it holds no words")
    return value
