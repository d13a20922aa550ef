"""Arrays that are written once, atomically, and read back as memory maps: a folder of .npy files and a meta.json.

A folder is written under a hidden temporary name and renamed when complete, so that a killed or second process leaves
either nothing or a whole one. Each read checks sizes and headers, which costs microseconds. The bytes themselves are
checked (sha256) only when a file's modification time is not the one that meta.json records: whatever copies or
overwrites the file changes it, and a file that then proves equal is given the recorded time again.
"""

import contextlib
import filecmp
import hashlib
import json
import os
import secrets
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from study.errors import UserError

ROWS = 4096  # gathered and written at a time, so that a set larger than the memory can be prepared


class Damaged(Exception):
    """A prepared folder is not what was written there; the text says how."""


class Stored(NamedTuple):
    folder: Path
    meta: dict  # signature, fingerprint, facts, arrays
    arrays: dict  # name -> numpy memory map, copy-on-write


def places(data_dir, name):
    """The folders where `name` may be kept, best first: beside the data, else in the user's cache."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    origin = hashlib.sha256(str(Path(data_dir).resolve()).encode(errors="surrogateescape")).hexdigest()[:8]
    return [Path(data_dir) / ".prepared" / name, user / "latent-sweep" / f"{name}-{origin}"]


def read(folder, signature=None):
    """What is stored in `folder`, or None if there is nothing or it was made from other files; raises Damaged.

    Without a signature it does not matter what it was made from."""
    try:
        meta = json.loads((folder / "meta.json").read_text())
        if signature is not None and meta["signature"] != signature:
            return None
        return Stored(folder, meta, {name: _open(folder, name, record) for name, record in meta["arrays"].items()})
    except (FileNotFoundError, NotADirectoryError) as error:
        if not os.path.lexists(folder):
            return None
        raise Damaged(f"{Path(error.filename or 'a file').name} is missing") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"not as it was written: {error}") from error
    except OSError as error:
        raise UserError(
            f"cannot read the prepared images in {folder}: {error.strerror}; mend its permissions or delete it"
        ) from error


def _open(folder, name, record):
    path = folder / f"{name}.npy"
    status = path.stat()
    if status.st_size != record["bytes"]:
        raise Damaged(f"{path.name} has {status.st_size:,} bytes instead of {record['bytes']:,}")
    # Mode "c" (copy-on-write) is writeable in memory only: torch takes it without a copy and without a warning.
    array = np.load(path, mmap_mode="c")
    if [array.dtype.str, list(array.shape)] != [record["dtype"], record["shape"]]:
        raise Damaged(f"{path.name} holds {array.dtype} of shape {array.shape}")
    if int(status.st_mtime) != record["time"]:
        if hashlib.sha256(memoryview(array).cast("B")).hexdigest() != record["sha256"]:
            raise Damaged(f"the checksum of {path.name} differs")
        with contextlib.suppress(OSError):  # in a read-only folder it is checked again next time
            os.utime(path, (record["time"], record["time"]))
    return array


def copy(folder, place):
    """Copy a prepared folder; `place` appears complete or not at all."""
    temporary = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        shutil.copytree(folder, temporary)
        with contextlib.suppress(FileExistsError):
            os.rename(temporary, place)
    except OSError as error:
        raise UserError(f"cannot write prepared images to {place.parent}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def copy_few(folder, place, rows):
    """Copy so many images of each split of a prepared folder, name -> `rows`, as if they were all of it."""
    stored = read(folder)
    place.mkdir(parents=True)
    records = {
        name: _write(place / f"{name}.npy", array, range(min(rows[name.removesuffix("_labels")], len(array))))
        for name, array in stored.arrays.items()
    }
    (place / "meta.json").write_text(json.dumps({**stored.meta, "arrays": records}))


def take(file, shelves):
    """Copy a file of that name from the first of the folders `shelves` that has one, if `file` is not there yet."""
    for shelf in shelves:
        with contextlib.suppress(OSError):
            if not file.exists():
                _copy_file(shelf / file.name, file)


def leave(file, shelves):
    """Copy `file` to the first of the folders `shelves` that can be written, unless one of them has the same."""
    for shelf in shelves:
        with contextlib.suppress(OSError):
            if not (shelf / file.name).exists() or not filecmp.cmp(file, shelf / file.name, shallow=False):
                _respect_read_only(shelf)
                _copy_file(file, shelf / file.name)
            return


def _copy_file(source, target):
    """Complete or not at all."""
    content = source.read_bytes()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def quarantine(folder):
    """Rename a damaged folder, so that it can be looked at, and return where it went (None if it cannot be renamed)."""
    aside = folder.with_name(f"{folder.name}.damaged-{time.time_ns()}")
    try:
        os.rename(folder, aside)
    except OSError:
        return None
    return aside


@contextlib.contextmanager
def workspace(folders):
    """A temporary folder beside the first of `folders` that can be written; gone afterwards unless published."""
    final, temporary = _make_temporary(folders)
    try:
        yield Workspace(final, temporary)
    except OSError as error:
        raise UserError(f"cannot write prepared images to {final.parent}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _make_temporary(folders):
    refused = []
    for final in folders:
        # Not tempfile.mkdtemp, whose folders only their owner can read: prepared images may be shared.
        temporary = final.parent / f".{final.name}.{os.getpid()}-{secrets.token_hex(4)}"
        try:
            _respect_read_only(final.parent)
            (temporary / "scratch").mkdir(parents=True)
        except OSError as error:
            refused.append(f"{final.parent} ({error.strerror})")
        else:
            _remove_abandoned(final)
            return final, temporary
    raise UserError(f"no place to write prepared images: {', '.join(refused)}; make one of them writable or set XDG_CACHE_HOME")


def _respect_read_only(folder):
    """Raise PermissionError if the nearest existing folder has no write permission at all: root could still write."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.stat().st_mode & 0o222:
        raise PermissionError(13, "read-only")


def _remove_abandoned(final):
    """Remove what a killed process left behind; a day is longer than any preparation takes."""
    for folder in final.parent.glob(f".{final.name}.*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > 86_400:
                shutil.rmtree(folder, ignore_errors=True)


class Workspace(NamedTuple):
    final: Path
    temporary: Path

    @property
    def scratch(self):
        """A folder for files that `arrays` may be maps of; it is not published."""
        return self.temporary / "scratch"

    def publish(self, arrays, signature, facts):
        """Write `arrays` (name -> (array, rows to take from it)) and move the folder into place; returns Stored."""
        records = {name: _write(self.temporary / f"{name}.npy", *chosen) for name, chosen in arrays.items()}
        shutil.rmtree(self.scratch)
        content = json.dumps([facts, [[name, record["sha256"], record["shape"]] for name, record in records.items()]])
        meta = {
            "signature": signature,
            "fingerprint": hashlib.sha256(content.encode()).hexdigest(),
            "facts": facts,
            "arrays": records,
        }
        (self.temporary / "meta.json").write_text(json.dumps(meta))
        # Opened before the move: maps stay valid whatever another process does with the folder afterwards.
        opened = {name: _open(self.temporary, name, record) for name, record in records.items()}
        self._move(signature)
        return Stored(self.final, meta, opened)

    def _move(self, signature):
        for _ in range(100):
            try:
                return os.rename(self.temporary, self.final)
            except OSError:
                if not os.path.lexists(self.final):
                    raise
            try:
                if read(self.final, signature):
                    return  # another process was faster; its folder holds the same
                self._discard()  # made from other files than are there now
            except Damaged:
                quarantine(self.final)
        raise OSError(f"{self.final} cannot be replaced")

    def _discard(self):
        outdated = self.temporary.with_name(f"{self.temporary.name}-outdated")
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.final, outdated)
        shutil.rmtree(outdated, ignore_errors=True)


def _write(path, array, rows):
    """Write array[rows] as .npy through to the disk; returns what a reader must find."""
    shape, digest = (len(rows), *array.shape[1:]), hashlib.sha256()
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": shape}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(rows), ROWS):
            block = memoryview(np.ascontiguousarray(array[rows[start : start + ROWS]])).cast("B")
            file.write(block)
            digest.update(block)
        file.flush()
        os.fsync(file.fileno())
        size = file.tell()
    # A little in the past, so that no later write can have the same time; even, as some file systems count in twos.
    written = int(time.time()) // 2 * 2 - 4
    os.utime(path, (written, written))
    return {"shape": list(shape), "dtype": array.dtype.str, "bytes": size, "sha256": digest.hexdigest(), "time": written}
