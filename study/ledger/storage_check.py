"""Is the storage folder one and the same for all machines, and can it be written? Where not, the sweep ends with one line.

The driver leaves a random word there, and every worker compares it before it does anything.
"""

import errno
import socket
import uuid
from functools import lru_cache

from study.errors import UserError
from study.ledger.files import write_atomic
from study.ledger.folder import Ledger
from study.ledger.opening import ledger_at

TOKEN = ".marker"
# Nothing that another try of the same trial could mend.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.ENONET)


class Stopped(UserError):
    """The sweep cannot go on before something outside of it is seen to; nothing that was finished is lost."""

    exit_code = 1


def write_token(ledger: Ledger) -> str:
    """Leave a new word with the study; the word, which goes to the workers with their trials."""
    word = uuid.uuid4().hex
    write_atomic(ledger.root / TOKEN, word.encode())
    ledger.publish(TOKEN)
    return word


@lru_cache(maxsize=1)
def ledger_here(address: str) -> Ledger:
    """The study as this worker sees it, opened once per process."""
    return ledger_at(address, worker=True)


def storage_mismatch(address: str, word: str) -> str:
    """What is wrong with the storage as this machine sees it; empty where nothing is."""
    seen: bytes | Exception
    try:
        seen = ledger_here(address).read(TOKEN)
    except (OSError, UserError) as error:
        seen = error
    if seen == word.encode():
        return ""
    reason = f" ({seen})" if isinstance(seen, Exception) else ""
    return (
        f"this worker on {socket.gethostname()} does not see the storage folder {address}"
        f" that the driver wrote{reason}; it must be shared"
    )


def unwritable(address: str, error: OSError) -> str:
    """The line about storage that takes nothing more; empty for an error that may pass."""
    if error.errno not in FULL:
        return ""
    return (
        f"the storage {address} cannot be written on {socket.gethostname()}"
        f" ({error.strerror}); once that is mended, the same command goes on from here"
    )
