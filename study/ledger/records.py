"""What the records of a study hold: which fields, of which kind, and what stands for one that an earlier version did not write.

A record is read from JSON that may be damaged, edited or somebody else's. Every function here gives it back whole, or raises
ValueError with the reason. Fields that are not listed stay as they are.
"""

import copy
import hashlib
import json
import sys
import time

from study.ledger.names import is_key

FINISHED = ("done", "diverged", "failed")
STAGES = ("search", "confirm")
PRECISIONS = ("float32", "tf32")
CHECKSUM = "sha256"  # in spec.json and result.json: of everything else in it
MOST_EPOCHS = 10**6  # of a trial: a curve has room for each of them


def text(value) -> bool:
    return isinstance(value, str)


def path(value) -> bool:
    """`module:name`"""
    return text(value) and len(list(filter(None, value.split(":")))) == value.count(":") + 1 == 2


def number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def whole(value, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def count(value) -> bool:
    return whole(value, 1)


def words(value) -> bool:
    return isinstance(value, dict)


def maybe(kind):
    return lambda value: value is None or kind(value)


def either(*values):
    return lambda value: text(value) and value in values


def listed(kind, least: int = 0):
    return lambda value: isinstance(value, list) and len(value) >= least and all(map(kind, value))


def named(kind):
    return lambda value: isinstance(value, dict) and all(map(kind, value.values()))


REQUIRED = object()
MEASURES = named(maybe(number))  # each in the unit that study/metrics/catalogue.py says; null where it was not finite
SPEC = {  # spec.json: what a worker is to do
    "key": (is_key, REQUIRED),
    "stage": (either(*STAGES), REQUIRED),
    "seeds": (listed(whole, 1), REQUIRED),
    "params": (words, REQUIRED),
    "model": (path, REQUIRED),
    "net": (path, REQUIRED),
    "depth": (count, REQUIRED),
    "latent_dim": (count, REQUIRED),
    "dataset": (text, REQUIRED),
    "settings": (words, REQUIRED),
    "epochs": (count, REQUIRED),
    "batch_size": (count, REQUIRED),
    "proposed_by": (text, REQUIRED),
    "proposal": (maybe(whole), None),
    "space": (text, ""),
    "system": (text, ""),
    "drawn": (words, {}),
    "ranges": (words, {}),
    "dataset_slug": (text, ""),
    "source": (text, ""),
    "origin": (text, ""),
    "fingerprint": (text, ""),
    "features": (text, ""),
    "features_kind": (text, "classifier"),
    "precision": (either(*PRECISIONS), "float32"),
    "shape": (lambda value: value == "" or listed(count, 3)(value), ""),
    "code": (named(text), {}),
    "loss_scales": (named(text), {}),
    "measures": (named(path), {}),
    "claims": (text, ""),
    "protocol": (count, 1),
}
REPLICA = {"seed": (whole, REQUIRED), "status": (either(*FINISHED), REQUIRED), "measures": (MEASURES, REQUIRED)}
RESULT = {  # result.json: what came of it; time: seconds since 1970
    "key": (is_key, REQUIRED),
    "status": (either(*FINISHED), REQUIRED),
    "objective": (maybe(number), REQUIRED),
    "measures": (MEASURES, REQUIRED),
    "replicas": (listed(words), REQUIRED),
    "seeds": (listed(whole), REQUIRED),
    "epochs": (whole, REQUIRED),
    "params": (words, REQUIRED),
    "drawn": (words, {}),
    "time": (number, REQUIRED),
}
ROW = {  # a line of metrics.jsonl: values per seed, null where one was not finite
    "epoch": (lambda value: whole(value) and value <= MOST_EPOCHS, REQUIRED),
    "time": (number, REQUIRED),
    "values": (named(listed(maybe(number))), REQUIRED),
}
CELL_LINE = {  # a line of planned.jsonl
    "cell": (text, REQUIRED),
    "model": (text, REQUIRED),
    "dataset": (text, REQUIRED),
    "planned": (whole, REQUIRED),
    "trials": (listed(is_key), REQUIRED),
}


FLOOR = {  # floors.json, for a dataset: measure -> mean and standard deviation, and the hash of the features by which
    "features": (text, ""),
    "measures": (named(listed(number, 2)), {}),
}
TRACKED = {  # tracked.json: how far a trial has been projected into MLflow
    "store": (listed(text, 3), REQUIRED),
    "run_id": (text, REQUIRED),
    "rows": (whole, REQUIRED),
    "images": (listed(text), REQUIRED),
    "ended": (maybe(number), REQUIRED),
}


def checked(value, fields: dict) -> dict:
    """The record with every field that it may lack."""
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    whole_record = {**{name: copy.copy(default) for name, (_, default) in fields.items() if default is not REQUIRED}, **value}
    for name, (fits, _) in fields.items():
        if name not in whole_record:
            raise ValueError(f"it lacks {name}")
        if not fits(whole_record[name]):
            raise ValueError(f"{name} cannot be {short(whole_record[name])}")
    return whole_record


def short(value) -> str:
    written = repr(value)
    return written if len(written) < 80 else f"{written[:80]}..."


def spec(value, key: str, made: dict | None = None) -> dict:
    """The spec of the trial of that key; `made` is the spec that its result was made from, where that is known."""
    found = checked(unsealed(value), SPEC)
    own(found, key)
    if other := made and [name for name in {**made, **found} if found.get(name) != made.get(name)]:
        raise ValueError(f"its result was made with {other[0]} = {short(made.get(other[0]))}, not {short(found.get(other[0]))}")
    return found


def result(value, key: str) -> dict:
    found = checked(unsealed(value), RESULT)
    own(found, key)
    found["replicas"] = [checked(replica, REPLICA) for replica in found["replicas"]]
    if found["status"] == "done" and not found["replicas"]:
        raise ValueError("it is done without a training")
    return {**found, "spec": spec(found["spec"], key)} if "spec" in found else found


def row(value) -> dict:
    return checked(value, ROW)


def cell_line(value) -> dict:
    return checked(value, CELL_LINE)


def tracked(value) -> dict:
    return checked(value, TRACKED)


def floors(value) -> dict:
    """Dataset -> what real images score."""
    return {name: checked(floor, FLOOR) for name, floor in checked(value, {}).items()}


def own(record: dict, key: str) -> None:
    if record["key"] != key:
        raise ValueError(f"its key is {short(record['key'])}")


def sealed(record: dict) -> dict:
    """The record as it is written: with a checksum of the rest."""
    return {**record, CHECKSUM: checksum(record)}


def unsealed(value) -> dict:
    """The same without it, compared; records of earlier versions may have none."""
    if isinstance(value, dict) and CHECKSUM in value and value[CHECKSUM] != checksum(value):
        raise ValueError("its checksum is another's")
    return {name: item for name, item in checked(value, {}).items() if name != CHECKSUM}


def checksum(record: dict) -> str:
    content = {name: item for name, item in record.items() if name != CHECKSUM}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def failure(key: str, spec: dict, reason: str) -> dict:
    """The result of a trial that did not end by itself."""
    return {
        "key": key,
        "status": "failed",
        "objective": None,
        "error": reason,
        "params": spec.get("params", {}),
        "drawn": spec.get("drawn", {}),
        "seeds": spec.get("seeds", []),
        "replicas": [],
        "measures": {},
        "epochs": 0,
        "time": time.time(),
        **({"spec": spec} if spec else {}),
    }
