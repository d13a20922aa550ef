"""Files that are written whole or not at all, written once, and read with a check of what they hold."""

import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import uuid
from pathlib import Path

from study.errors import UserError
from study.ledger import records
from study.ledger.names import is_own_file
from study.ledger.records import EpochRow, Record, Result, Spec

NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)  # from a file system that knows none


def write_atomic(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, durably: a reader sees the old file or the new one, never a part."""
    os.replace(_temporary(path, content), path)


def write_sealed(path: Path, content: bytes) -> None:
    """`write_atomic` with a checksum in front, for files whose damage would otherwise pass for a result."""
    write_atomic(path, hashlib.sha256(content).digest() + content)


def read_sealed(path: Path) -> bytes:
    """What write_sealed wrote; ValueError if that is not what the file holds any more."""
    raw = path.read_bytes()
    if hashlib.sha256(raw[32:]).digest() != raw[:32]:
        raise ValueError("its checksum is wrong")
    return raw[32:]


def put_once(path: Path, value) -> bool:
    """Write JSON to `path` durably if nobody has yet; False when another writer was first."""
    temporary = _temporary(path, json.dumps(value, indent=1, allow_nan=False).encode())
    try:
        os.link(temporary, path)
        return True
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return _moved_once(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _moved_once(temporary: Path, path: Path) -> bool:
    """Where there are no hard links (FAT, some FUSE) writers take turns; a turn ends with its process, however that ends."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if path.exists():
            return False
        os.rename(temporary, path)
        return True
    finally:
        os.close(folder)


def _temporary(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        temporary.unlink(missing_ok=True)  # a full disk is not made fuller
        raise OSError(error.errno, error.strerror, str(path)) from error  # which disk it is, Python does not tell
    return temporary


def read_json(path: Path, log=print, check=records.json_object):
    """The file's record as check(value) gives it (see study/ledger/records.py); None where there is no file. An invalid one is
    quarantined and logged; where nothing can be renamed it is passed over."""
    try:
        return check(json.loads(read_own(path)))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        reason = f"not what was written there: {' '.join(str(error).split())}"
    try:
        quarantine(path, reason, log)
    except OSError as error:
        log(f"{path} is passed over ({reason}); it cannot be quarantined: {error.strerror}")
    return None


def read_spec(folder: Path) -> Spec:
    """The spec of the trial in a folder; UserError where there is none."""
    return _of_trial(folder, "spec", records.trial_spec)


def read_result(folder: Path) -> Result:
    """The result of the trial in a folder; UserError where there is none."""
    return _of_trial(folder, "result", records.trial_result)


def _of_trial(folder: Path, what: str, check):
    path = folder / f"{what}.json"
    try:
        return check(json.loads(read_own(path)), folder.name)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is no {what} of this trial: {' '.join(str(error).split())}") from None


def read_own(path: Path) -> bytes:
    """What a file holds; FileNotFoundError where there is none, or what is there does not lie there itself."""
    if not is_own_file(path):
        raise FileNotFoundError(errno.ENOENT, "no file of this study", str(path))
    return path.read_bytes()


def quarantine(path: Path, reason: str, log=print) -> Path:
    """Rename a file that cannot be trusted, and say so; what it held is done again."""
    aside = path.with_name(f"{path.name}.bad-{uuid.uuid4().hex[:8]}")
    os.replace(path, aside)
    log(f"quarantined {aside} ({reason}); its work is done again")
    return aside


def finite_or_null(value):
    """`value` as JSON allows it: numbers that are not finite become null."""
    if isinstance(value, dict):
        return {key: finite_or_null(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite_or_null(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_written(record: Record) -> dict:
    """A record with its checksum, which is of what a reader will find."""
    return records.sealed(json.loads(json.dumps(record.to_json())))


def append_line(path: Path, line: str) -> None:
    """Add a line; a piece of one that a crash left at the end is cut off first."""
    path.touch()
    with open(path, "rb+") as file:
        content = file.read()
        file.seek(content.rfind(b"\n") + 1)
        file.truncate()
        file.write(line.encode() + b"\n")


def read_rows(path: Path) -> list[EpochRow]:
    """The rows of a metrics.jsonl; lines that are not whole rows are passed over."""
    try:
        lines = read_own(path).split(b"\n")
    except FileNotFoundError:
        return []
    return valid_lines(lines[:-1], EpochRow.from_json)  # the last piece is empty, or was cut off by a crash


def valid_lines(lines: list[bytes], check) -> list:
    """The lines that are whole records."""
    rows = []
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            rows.append(check(json.loads(line)))
    return rows
