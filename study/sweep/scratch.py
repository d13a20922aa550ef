"""Where a Ray of our own keeps its sockets and logs: in $RAY_TMPDIR, else $TMPDIR, else /tmp."""

import os
import tempfile

from study.errors import UserError

LONGEST = 107 - len("/ray/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store")  # bytes: a socket's path has 107
ROOM = 2**20  # bytes that must be free: less than Ray's logs take in a minute


def check_scratch() -> None:
    """UserError for a folder in which Ray could not start; one that is missing is made."""
    place = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    reason = f"its path has {len(os.fsencode(place))} bytes, and with more than {LONGEST} no socket can be made there"
    if len(os.fsencode(place)) <= LONGEST:
        try:
            os.makedirs(place, exist_ok=True)
            with tempfile.TemporaryFile(dir=place) as file:
                file.write(bytes(ROOM))
            return
        except OSError as error:
            reason = str(error.strerror)
    raise UserError(f"Ray cannot start in {place} ({reason}): set RAY_TMPDIR to a folder that has room and a short path")
