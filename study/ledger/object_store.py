"""A study in an object store: `--storage s3://bucket/prefix`, or whatever else fsspec reaches.

The objects are the record, under the names that a storage folder would hold. Every machine works in a folder of its own,
fetches into it and publishes from it; the driver and the workers share nothing else. An object appears whole or not at
all; specs and results are put once, by conditional write.
"""

import concurrent.futures
import contextlib
import errno
import hashlib
import json
import os
import shutil
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import fsspec

from study.errors import UserError
from study.ledger.files import write_atomic
from study.ledger.folder import PACKS, Ledger
from study.ledger.lease import Lease
from study.ledger.names import is_name, is_own_file

PATIENCE_S = 120.0  # how long what must be stored is tried again while the store is away
AT_ONCE = 64  # objects in flight
LARGEST = 2**26  # bytes in flight, unless one object is larger
OWN = (".", "tracked.json")  # what begins so concerns one machine only


class ObjectStoreLedger(Ledger):
    """The trials of one study at `address`; `root` is this machine's copy. Workers keep one of their own."""

    def __init__(self, address: str, worker: bool = False):
        user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        name = hashlib.sha256(address.encode()).hexdigest()[:12] + "-worker" * worker
        super().__init__(user / "latent-sweep" / "studies" / name / address.rsplit("/", 1)[1])
        self.address, self.worker, self.sent = address, worker, {}
        self.thread = concurrent.futures.ThreadPoolExecutor(1)
        self.uploading: concurrent.futures.Future | None = None
        try:
            self.store, self.place = fsspec.core.url_to_fs(address, use_listings_cache=False, skip_instance_cache=True)
        except (ImportError, ValueError) as error:
            raise UserError(f"--storage {address}: {error}") from None
        try:
            self.versions = dict(json.loads((self.root / ".versions").read_text()))  # name -> version of the copy here
        except (OSError, ValueError, TypeError):
            self.versions = {}

    def refresh(self) -> None:
        """Make the copy what the store holds; while a driver on this machine is at work it sees to that itself."""
        if not super().held():
            try:
                self.fetch()
            except OSError as error:
                raise UserError(f"{error.strerror}; are the address and the credentials right?") from None

    def fetch(self, name: str = "") -> None:
        """Bring what is stored under root/name here, as far as it has changed. A driver leaves checkpoints where they
        are: only who goes on with a trial needs them."""
        with reaching(self.address):
            found = self.store.find(self.remote(name), detail=True)
        listed = {path.removeprefix(f"{self.place}/"): version(about) for path, about in found.items()}
        if odd := [each for each in listed if not is_name(each)]:
            print(f"{len(odd)} objects at {self.address} are not read, as no study has such names: {odd[0]!r}", file=sys.stderr)
        listed = {each: now for each, now in listed.items() if is_name(each)}
        wanted = [
            each
            for each, now in listed.items()
            if (self.versions.get(each) != now or not (self.root / each).exists())
            and not own(Path(each))
            and (self.worker or not each.startswith(f"{PACKS}/"))
        ]
        for batch in batches((each, found[self.remote(each)]["size"]) for each in wanted):
            with reaching(self.address):
                contents = self.store.cat([self.remote(each) for each, _ in batch])
            for each, _ in batch:
                write_atomic(self.root / each, contents[self.remote(each)])
                self.versions[each] = listed[each]
                self.sent[each] = stamp(self.root / each)
        if wanted and not name.startswith("trials/"):  # the whole note for a few files: it would grow with the study
            write_atomic(self.root / ".versions", json.dumps(self.versions).encode())
        if self.worker or not name:  # nobody else is writing there now
            for path in (self.root / name).rglob("*"):
                if self.name(path).startswith("trials/") and path.is_file() and not own(path) and self.name(path) not in listed:
                    path.unlink()  # the store is the record

    def publish(self, name: str) -> None:
        """Store what was written under root/name since the last time; a checkpoint after the rows that it rests on."""
        self._upload(self._changed([name]), PATIENCE_S)

    def publish_later(self, names: Sequence[str]) -> None:
        """The same as it is now, in a thread; where that is still busy, or the store is away, the next time will do."""
        if self.uploading is None or self.uploading.done():
            self.uploading = self.thread.submit(self._upload, list(self._changed(names)), 0.0)

    def _changed(self, names: Sequence[str]):
        """(name, bytes, stamp, content) of every new file below each root/name, checkpoints last."""
        paths = [path for name in names for path in self._files(self.root / name)]
        for path in sorted(paths, key=lambda path: path.suffix == ".pt"):
            stamped = stamp(path)
            if self.sent.get(self.name(path)) != stamped:
                content = path.read_bytes()
                yield self.name(path), len(content), stamped, content

    @staticmethod
    def _files(place: Path) -> list[Path]:
        if place.is_file():
            return [place]
        return sorted(path for path in place.rglob("*") if is_own_file(path) and not own(path))

    def _upload(self, files, patience_s: float) -> None:
        for batch in batches(files):
            contents = {self.remote(name): content for name, _, _, content in batch}
            self._patiently(lambda contents=contents: self.store.pipe(contents), patience_s)
            self.sent |= {name: stamped for name, _, stamped, _ in batch}

    def read(self, name: str) -> bytes:
        with reaching(self.address):
            return self.store.cat_file(self.remote(name))

    def leave(self, key: str) -> None:
        """Store what a worker made of a trial; its copy is not needed here any more."""
        if self.uploading:
            concurrent.futures.wait([self.uploading])
        self.publish(f"trials/{key}")
        shutil.rmtree(self.folder(key), ignore_errors=True)

    def drop_checkpoints(self, cell: str) -> None:
        with contextlib.suppress(OSError), reaching(self.address):  # those that stay cost their room, no more
            for path in self.store.glob(f"{self.remote(PACKS)}/{cell}.*.pt"):
                if path.rsplit("/", 1)[1].rsplit(".", 2)[0] == cell:
                    self.store.rm_file(path)

    def lock(self):
        """One driver at a time: on this machine by a lock on the copy, on others by a lease in the store."""
        return Lease(self, super().lock()).taken()

    def held(self) -> bool:
        return super().held() or Lease(self).beating()

    def remote(self, name: str) -> str:
        """Where an object of the study is, or all of them for ''. UserError for a name that leads out of it."""
        if name and not is_name(name):
            raise UserError(f"no file of a study is called {name!r}")
        return f"{self.place}/{name}".rstrip("/")

    def name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def create(self, name: str, content: bytes) -> bool:
        """Store a new object; False where there is one of that name already."""
        try:
            with reaching(self.address):
                self.store.pipe_file(self.remote(name), content, mode="create")
            return True
        except OSError:  # what a refused condition raises differs from library to library
            with reaching(self.address):
                if self.store.exists(self.remote(name)):
                    return False
            raise

    def replace(self, name: str, content: bytes) -> None:
        """Store an object, whatever was there."""
        with reaching(self.address):
            self.store.pipe_file(self.remote(name), content)

    def names(self, beginning: str) -> list[str]:
        """Of the objects beside trials/ those whose name begins so."""
        with reaching(self.address):
            return [path.rsplit("/", 1)[1] for path in self.store.glob(self.remote(f"{beginning}*"))]

    def age_s(self, name: str) -> float:
        """Seconds since an object was stored, by the store's clock and ours."""
        with reaching(self.address):
            return time.time() - self.store.modified(self.remote(name)).timestamp()

    def _put_once(self, path: Path, value: dict) -> bool:
        name, content = self.name(path), json.dumps(value, indent=1, allow_nan=False).encode()
        created = self._patiently(lambda: self.create(name, content))
        write_atomic(path, content if created else self.read(name))
        return created

    def _read(self, path: Path, check):
        value = super()._read(path, check)
        if value is None and self.versions.pop(self.name(path), None):  # it was quarantined here: there as well
            self._move(self.name(path), f"{self.name(path)}.bad-{uuid.uuid4().hex[:8]}")
        return value

    def _rename(self, path: Path, new: Path) -> None:
        super()._rename(path, new)
        for name in list(self.versions):
            if name == self.name(path) or name.startswith(f"{self.name(path)}/"):
                del self.versions[name]
        self._move(self.name(path), self.name(new))

    def _move(self, name: str, new: str) -> None:
        with reaching(self.address):
            if self.store.exists(self.remote(name)):
                self.store.mv(self.remote(name), self.remote(new), recursive=True)

    def _patiently(self, call, patience_s: float = PATIENCE_S):
        deadline, wait = time.monotonic() + patience_s, 0.5
        while True:
            try:
                with reaching(self.address):
                    return call()
            except OSError:
                if time.monotonic() + wait > deadline:
                    raise
            time.sleep(wait)
            wait = min(2 * wait, 10.0)


@contextlib.contextmanager
def reaching(address: str):
    """Whatever the store's library raises, which has a dozen kinds of errors, as one OSError that says what is away."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENONET:
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise OSError(errno.ENONET, f"the object store at {address} cannot be used: {reason}") from error


def own(path: Path) -> bool:
    return path.name.startswith(OWN)


def batches(files):
    """Lists of files that may be in flight together, each file a name, its bytes and more; a checkpoint begins a new one."""
    batch, total = [], 0
    for file in files:
        if batch and (len(batch) == AT_ONCE or total + file[1] > LARGEST or file[0].endswith(".pt")):
            yield batch
            batch, total = [], 0
        batch.append(file)
        total += file[1]
    if batch:
        yield batch


def stamp(path: Path) -> tuple:
    about = path.stat()
    return about.st_mtime_ns, about.st_size


def version(about: dict) -> str:
    """What changes with an object's content, as far as its store tells."""
    return str(
        about.get("ETag")
        or about.get("etag")
        or [about.get("LastModified") or about.get("updated") or about.get("created"), about["size"]]
    )
