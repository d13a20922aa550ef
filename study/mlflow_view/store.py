"""MLflow's SQLite store: made whole or not at all, told from one that a crash left half made, and moved with its folder."""

import contextlib
import fcntl
import importlib.util
import logging
import os
import re
import sqlite3
import time
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from study.errors import UserError
from study.ledger.files import quarantine
from study.ledger.opening import STORAGE

REST_S = 5.0  # a store that is not whole and does not change for so long is not being made by a server just now
PARTS = ("-wal", "-shm", "-journal", "")  # of a SQLite database; without the others the last can do no harm
OURS = "store"  # the tag that experiments of a study have
ADDRESSES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
    "trace_tags": ("value",),
}


def default_uri(storage: Path | str) -> str:
    """The SQLite store beside the studies: mlruns/mlflow.db, on this machine for studies in an object store."""
    folder = storage if isinstance(storage, Path) else STORAGE
    return uri_of(folder.resolve().parent / "mlflow.db")


def uri_of(place: Path) -> str:
    """The address of a SQLite file, with ?, #, % and the like escaped."""
    from sqlalchemy import URL  # here, as below: --help needs none of it

    return URL.create("sqlite", database=str(place)).render_as_string(hide_password=False)


def database_of(uri: str) -> Path | None:
    """The file that a SQLite address names; None for a server's."""
    from sqlalchemy import make_url

    return Path(make_url(uri).database).resolve() if uri.startswith("sqlite:///") else None


def make_ready(uri: str, log) -> None:
    """Have a whole store at a SQLite address, whose own addresses lead into its folder; servers see to theirs.

    UserError where a newer MLflow wrote the store."""
    place = database_of(uri)
    if place is None:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place.with_name(f".{place.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed, however this process ends
        if place.exists() and (fault := fault_of(place)):
            for part in PARTS:
                if (path := place.with_name(place.name + part)).exists():
                    quarantine(path, fault, log)
            log(
                "MLflow is made again from the ledger; other studies in it come back at their next launch, or by"
                " `python study/tracking.py sync --space NAME`"
            )
        if not place.exists():
            make(place)
        move_addresses(place, log)


def make(place: Path) -> None:
    """Make the store under another name, and give it its own once it is whole: at a crash there is none, or all of it."""
    import sqlalchemy
    from mlflow.store.db import utils

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    making = place.with_name(f"{place.name}.making")
    for part in PARTS:
        making.with_name(making.name + part).unlink(missing_ok=True)  # what a killed process left
    engine = sqlalchemy.create_engine(sqlalchemy.URL.create("sqlite", database=str(making)))
    sqlalchemy.event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
    utils._initialize_tables(engine)  # 67 migrations, which would wait for the disk several times each: it is once, below
    engine.dispose()
    with open(making, "rb") as file:
        os.fsync(file.fileno())
    if place.exists():  # a server, which knows nothing of the lock, was quicker
        return making.unlink()
    os.rename(making, place)


def fault_of(place: Path) -> str:
    """Why MLflow cannot open a store ever again, "" where it can; waits for one that is just being made.

    sqlite3.OperationalError where it cannot be read now."""
    if not sound_database(place):
        return "a damaged MLflow store"
    while half_made(place):
        before = stamps(place)
        time.sleep(REST_S)
        if stamps(place) == before:
            return "an MLflow store whose making was cut off"
    return ""


def sound_database(place: Path) -> bool:
    try:
        with reading(place) as database:
            return database.execute("PRAGMA quick_check").fetchone() == ("ok",)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorname not in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):  # but locked, or not ours to read
            raise
        return False


def half_made(place: Path) -> bool:
    """Whether MLflow's migrations were cut off here: one of their temporary tables is left, or they are not at their end
    and nobody has ever opened the store, which makes the experiment called Default."""
    with reading(place) as database:
        tables = tables_of(database)
        if any(name.startswith("_alembic_tmp_") for name in tables):
            return True
        found = database.execute("SELECT version_num FROM alembic_version").fetchone() if "alembic_version" in tables else None
        used = "experiments" in tables and database.execute("SELECT 1 FROM experiments").fetchone()
    revision, (known, newest) = found and found[0], revisions()
    if revision and revision not in known:
        raise UserError(
            f"{place} was written by a newer MLflow than the one that is installed (its revision is {revision});"
            " install that one, or choose another store with --tracking-uri"
        )
    return not used and revision != newest


def revisions() -> tuple[set[str], str]:
    """The revisions of the database that the installed MLflow knows, and the newest: read from its migrations, since to
    import them all takes seconds."""
    package = importlib.util.find_spec("mlflow")
    assert package and package.origin, "MLflow is installed: it is among the requirements"
    texts = [path.read_text() for path in Path(package.origin).with_name("store").glob("db_migrations/versions/*.py")]
    known, older = (
        set(re.findall(rf'^{name} = "(\w+)"', "\n".join(texts), re.MULTILINE)) for name in ("revision", "down_revision")
    )
    (newest,) = known - older
    return known, newest


def tables_of(database: sqlite3.Connection) -> set[str]:
    return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def stamps(place: Path) -> list:
    about = [path.stat() for part in PARTS if (path := place.with_name(place.name + part)).exists()]
    return [(each.st_mtime_ns, each.st_size) for each in about]


def reading(place: Path):
    return contextlib.closing(sqlite3.connect(f"{place.as_uri()}?mode=ro", uri=True, timeout=5))


def move_addresses(place: Path, log) -> None:
    """Let the addresses in a store that was copied or moved lead into its own folder, not into that of before.

    What is not of a study stays where it is if its files were not brought along."""
    here = place.parent
    with reading(place) as database:
        tables = tables_of(database)
        locations = (
            []
            if "experiment_tags" not in tables
            else [
                location
                for (location,) in database.execute(
                    "SELECT artifact_location FROM experiments JOIN experiment_tags USING (experiment_id) WHERE key = ?"
                    " AND artifact_location LIKE 'file:%' AND artifact_location NOT LIKE '%/' || experiment_id",
                    (OURS,),
                )
            ]
        )
    before = {path.parent.parent for path in map(local, locations) if path.parent.name == "artifacts"} - {here}
    if not before:
        return
    ours = tuple(f"{location}/" for location in locations)

    def moved(address):
        for folder in before:
            for old, new in ((folder.as_uri(), here.as_uri()), (str(folder), str(here))):
                if address and address.startswith(f"{old}/"):
                    there = new + address.removeprefix(old)
                    left = local(address).exists() and not local(there).exists()
                    return address if left and not f"{address}/".startswith(ours) else there
        return address

    with contextlib.closing(sqlite3.connect(place, timeout=20)) as database, database:
        database.create_function("moved", 1, moved)
        for table in tables & ADDRESSES.keys():
            for column in ADDRESSES[table]:
                database.execute(f"UPDATE {table} SET {column} = moved({column}) WHERE {column} <> moved({column})")
    log(f"{place} was made in {', '.join(map(str, sorted(before)))}; what it says of files leads into {here} now")


def local(address: str) -> Path:
    """The path that a file: address, or a plain path, names."""
    return Path(url2pathname(urlsplit(address).path) if address.startswith("file:") else address)
