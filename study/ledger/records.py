"""The records of a study: what each holds, what stands for a field that an earlier version did not write, and how it is checked.

A record is read from JSON that may be damaged, edited or somebody else's. Whatever reads one here gives it back whole, or
raises ValueError with the reason. Fields that no version has written are passed over.
"""

import functools
import hashlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Annotated, NamedTuple, Self, get_type_hints

from study.ledger.names import is_key
from study.space.space import PRECISIONS

FINISHED = ("done", "stopped", "diverged", "failed")
STAGES = ("search", "confirm")
CHECKSUM = "sha256"  # in spec.json and result.json: of everything else in it
MOST_EPOCHS = 10**6  # of a trial: a curve has room for each of them
TUNED_EACH = 3  # the protocol since which every replicate is a tuning of its own


def is_text(value) -> bool:
    return isinstance(value, str)


def is_import_path(value) -> bool:
    """`module:name`"""
    return is_text(value) and len(list(filter(None, value.split(":")))) == value.count(":") + 1 == 2


def is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def is_whole(value, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_count(value) -> bool:
    return is_whole(value, 1)


def is_flag(value) -> bool:
    return isinstance(value, bool)


def is_table(value) -> bool:
    return isinstance(value, dict)


def is_rising(value) -> bool:
    return list_of(is_count, 1)(value) and value == sorted(set(value))


def optional(check):
    return lambda value: value is None or check(value)


def one_of(*values):
    return lambda value: is_text(value) and value in values


def list_of(check, least: int = 0):
    return lambda value: isinstance(value, list) and len(value) >= least and all(map(check, value))


def table_of(check):
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


# What a field holds, and the check that says so.
Key = Annotated[str, is_key]
Text = Annotated[str, is_text]
ImportPath = Annotated[str, is_import_path]
Stage = Annotated[str, one_of(*STAGES)]
Status = Annotated[str, one_of(*FINISHED)]
Precision = Annotated[str, one_of(*PRECISIONS)]
Count = Annotated[int, is_count]
Whole = Annotated[int, is_whole]
Number = Annotated[float, is_number]
Flag = Annotated[bool, is_flag]
Wholes = Annotated[list[int], list_of(is_whole)]
Texts = Annotated[list[str], list_of(is_text)]
Table = Annotated[dict, is_table]
NamedTexts = Annotated[dict[str, str], table_of(is_text)]
Shape = Annotated[list[int], lambda value: value in ("", []) or list_of(is_count, 3)(value)]  # empty where it is not known
Measures = Annotated[dict[str, float | None], table_of(optional(is_number))]  # key -> value, null where it was not finite
Series = Annotated[dict[str, list[float | None]], table_of(list_of(optional(is_number)))]  # the same for each of several

ON_DISK = {"suggested": "drawn"}  # fields that have another name there


class Column(NamedTuple):
    """A field of a record as it is read and written."""

    name: str
    on_disk: str
    check: Callable
    required: bool


@functools.cache
def columns(kind: type) -> list[Column]:
    """The fields of a kind of record, each with the check that its annotation names."""
    hints = get_type_hints(kind, include_extras=True)
    return [
        Column(
            name=each.name,
            on_disk=ON_DISK.get(each.name, each.name),
            check=check_of(hints[each.name]),
            required=each.default is MISSING and each.default_factory is MISSING,
        )
        for each in fields(kind)
    ]


def check_of(hint) -> Callable:
    """The check of Annotated[type, check], or of that with `| None`."""
    return hint.__metadata__[0] if hasattr(hint, "__metadata__") else optional(check_of(hint.__args__[0]))


class Record:
    """What all records share. A field that may be lacking is not written where it is None."""

    @classmethod
    def from_json(cls, value) -> Self:
        """The record that `value`, as json.loads gives it, is; ValueError with the reason where it is none."""
        given, known = json_object(value), {}
        for column in columns(cls):  # type: ignore[arg-type]  # mypy looks for the hash of an instance
            if column.on_disk in given:
                known[column.name] = given[column.on_disk]
                if not column.check(known[column.name]):
                    raise ValueError(f"{column.on_disk} cannot be {short(known[column.name])}")
            elif column.required:
                raise ValueError(f"it lacks {column.on_disk}")
        return cls(**known)

    def to_json(self) -> dict:
        """The record as json.dumps takes it, under the names that are on disk."""
        written = [(column, getattr(self, column.name)) for column in columns(type(self))]  # type: ignore[arg-type]
        return {column.on_disk: plain(value) for column, value in written if column.required or value is not None}


def plain(value):
    """Records, and lists of them, as JSON."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value.to_json() if isinstance(value, Record) else value


@dataclass(frozen=True)
class Spec(Record):
    """spec.json: what a worker is to do."""

    key: Key
    stage: Stage
    seeds: Annotated[list[int], list_of(is_whole, 1)]  # the replicate; several where an earlier version tuned a cell once for all
    params: Table  # keyword arguments of the model that were tuned
    model: ImportPath
    net: ImportPath
    depth: Count  # hidden layers
    latent_dim: Count
    dataset: Text  # its name
    settings: Table  # further keyword arguments of the model, the same in all trials of the cell
    epochs: Count  # passes over the training images
    batch_size: Count  # images of one step
    proposed_by: Text
    proposal: Whole | None = None  # which of the replicate's, in search
    rungs: Wholes = field(default_factory=list)  # epochs after which the worse half of a round of proposals is stopped
    space: Text = ""
    system: Text = ""  # a preset, such as a row of a published table
    suggested: Table = field(default_factory=dict)  # what the sampler suggested, from which params were made
    ranges: Table = field(default_factory=dict)  # within which it did
    dataset_slug: Text = ""
    source: Text = ""  # import path of where the images come from, if that is not the project
    source_arguments: Annotated[dict | None, optional(is_table)] = None  # of its class, where it takes any
    origin: Text = ""  # folder of the space's file, if that is not the project's
    fingerprint: Text = ""  # of the images
    features: Text = ""  # hash of those that samples are measured by
    features_kind: Text = "classifier"
    precision: Precision = "float32"  # of products in training
    shape: Shape = field(default_factory=list)  # C, H, W
    code: NamedTexts = field(default_factory=dict)  # import path -> digest of what comes from outside the project
    measured_every: Count | None = None  # epochs, with all that is shown over epochs; None: six times, with the objective alone
    whole_training_set: Flag | None = None  # with the images that are elsewhere for validation
    loss_scales: NamedTexts = field(default_factory=dict)  # loss -> what it counts
    measures: Annotated[dict[str, str], table_of(is_import_path)] = field(default_factory=dict)  # those of the space itself
    claims: Text = ""  # the module of the space, if it makes any
    protocol: Count = 1  # version of what a result means
    keeps_state: Flag | None = None  # where it ends, so that a longer training can go on from there
    goes_on_from: Annotated[str | None, optional(is_key)] = None  # the shorter training whose last state it begins with

    @property
    def replicate(self) -> int | None:
        """Which tuning of its cell it belongs to; None of a trial from when a cell was tuned once."""
        return self.seeds[0] if self.protocol >= TUNED_EACH else None


@dataclass(frozen=True)
class Replica(Record):
    """What came of one seed."""

    seed: Whole
    status: Status
    measures: Measures
    diverged_at: Whole | None = None  # epoch


@dataclass(frozen=True)
class Result(Record):
    """result.json: what came of a trial."""

    key: Key
    status: Status
    objective: Annotated[float | None, optional(is_number)]
    measures: Measures  # over the seeds, each in the unit that study/metrics/catalogue.py says
    replicas: Annotated[list[Replica], list_of(is_table)]
    seeds: Wholes
    epochs: Whole  # trained
    params: Table
    time: Number  # of its end, in seconds since 1970
    suggested: Table = field(default_factory=dict)
    spec: Annotated[Spec, is_table] | None = None  # what it was made from
    error: Text = ""  # of a failed one, in one line
    attempts: Wholes = field(default_factory=list)  # the epoch at which each try began
    out_of_memory: Flag = False  # of its share of an accelerator
    gpus: Number = 0.0  # that share, where it was too small
    features: Text = ""
    precision: Precision = "float32"
    commit: Text = ""  # of this project, where it ran from a clone
    torch: Text = ""  # version
    device: Text = ""
    hardware: Text = ""
    threads: Whole | None = None
    own_measures: NamedTexts = field(default_factory=dict)  # of the space's measures, name -> digest of the code that it had
    fused: Flag | None = None  # whether the trainings of its pack were made in the same calls
    pack: Whole | None = None  # how many these were at its end

    @classmethod
    def from_json(cls, value) -> Self:
        found = super().from_json(value)
        if found.status == "done" and not found.replicas:
            raise ValueError("it is done without a training")
        spec = None if found.spec is None else trial_spec(found.spec, found.key)
        return replace(found, replicas=list(map(Replica.from_json, found.replicas)), spec=spec)


def measurement_name(
    features: str, split: str, catalogue: str, own_measures: dict[str, str], protocol: int, samples: int = 0
) -> str:
    told = [features, split, catalogue, own_measures, protocol, *[samples] * bool(samples)]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:10]


@dataclass(frozen=True)
class Measurement(Record):
    """measured-NAME.json: what the weights that a trial kept score, measured once more.

    It is told by the training, the features, the split, the samples and the list of measures; all but the first are in its name.
    """

    key: Key  # of the trial
    features: Text  # hash of those that samples are measured by
    features_kind: Text
    features_seed: Whole  # of the classifier
    split: Text  # whose images they are held against
    catalogue: Text  # digest of the keys of the project's measures, as there were then
    own_measures: NamedTexts  # of the space's, name -> digest of the code that it had
    protocol: Count  # as in a spec
    replicas: Annotated[list[Replica], list_of(is_table)]
    time: Number  # of its end, in seconds since 1970
    samples: Whole = 0  # of each training; 0: as the study measures
    commit: Text = ""
    torch: Text = ""
    device: Text = ""

    @classmethod
    def from_json(cls, value) -> Self:
        found = super().from_json(value)
        return replace(found, replicas=list(map(Replica.from_json, found.replicas)))

    @property
    def name(self) -> str:
        return measurement_name(self.features, self.split, self.catalogue, self.own_measures, self.protocol, self.samples)


@dataclass(frozen=True)
class EpochRow(Record):
    """A line of metrics.jsonl."""

    epoch: Annotated[int, lambda value: is_whole(value) and value <= MOST_EPOCHS]  # 0: untrained
    time: Number  # at which it was written, in seconds since 1970
    values: Series  # measure -> value per seed


@dataclass(frozen=True)
class CellLine(Record):
    """A line of planned.jsonl."""

    cell: Text
    model: Text
    dataset: Text
    planned: Whole  # trials
    trials: Annotated[list[str], list_of(is_key)]  # as far as they are known
    settings: Table = field(default_factory=dict)


@dataclass(frozen=True)
class RealBaseline(Record):
    """An entry of floors.json: what real images of a dataset score against each other."""

    features: Text = ""  # hash of those by which
    measures: Annotated[dict[str, list[float]], table_of(list_of(is_number, 2))] = field(default_factory=dict)  # mean, deviation
    protocol: Whole = 0  # as in a spec; 0 where an earlier version wrote none
    repeats: Whole = 0  # divisions of the images
    real: Whole = 0  # images on one side
    samples: Whole = 0  # images on the other
    drawn: Whole = 0  # samples that are drawn with replacement


@dataclass(frozen=True)
class Looks(Record):
    """looks.json: at how many replicates a study that grows until its claims are decided is looked at."""

    looks: Annotated[list[int], is_rising]


def is_tried(value) -> bool:
    """A way to train a pack, with its step_ms and peak_mb, and what was wrong with it."""
    return is_table(value) and is_text(value.get("way")) and is_text(value.get("wrong"))


@dataclass(frozen=True)
class SelfCheck(Record):
    """devices/NAME.json: how the trainings of a cell are made on one kind of card."""

    cell: Text
    card: Text  # with the version of torch
    count: Count  # trainings that were tried side by side
    pack: Count  # that are side by side at most
    fused: Flag
    channels_last: Flag
    graphs: Flag
    tried: Annotated[list[dict], list_of(is_tried)]


@dataclass(frozen=True)
class Tracked(Record):
    """tracked.json: how far a trial has been projected into MLflow."""

    store: Annotated[list[str], list_of(is_text, 3)]
    run_id: Text
    rows: Whole
    images: Texts
    ended: Number | None
    artifacts: Text = ""
    measured: Texts = field(default_factory=list)  # names of the measurements that are shown


def short(value) -> str:
    written = repr(value)
    return written if len(written) < 80 else f"{written[:80]}..."


def trial_spec(value, key: str, made: Spec | None = None) -> Spec:
    """The spec of the trial of that key; `made` is the spec that its result was made from, where that is known."""
    found = Spec.from_json(unsealed(value))
    check_key(found, key)
    for column in columns(Spec) if made else ():
        then, now = getattr(made, column.name), getattr(found, column.name)
        if then != now:
            raise ValueError(f"its result was made with {column.on_disk} = {short(then)}, not {short(now)}")
    return found


def trial_result(value, key: str) -> Result:
    found = Result.from_json(unsealed(value))
    check_key(found, key)
    return found


def trial_measurement(value, key: str) -> Measurement:
    found = Measurement.from_json(unsealed(value))
    check_key(found, key)
    return found


def real_baselines(value) -> dict[str, RealBaseline]:
    """Dataset -> what real images score."""
    return {name: RealBaseline.from_json(entry) for name, entry in json_object(value).items()}


def json_object(value) -> dict:
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    return value


def check_key(record: Spec | Result | Measurement, key: str) -> None:
    if record.key != key:
        raise ValueError(f"its key is {short(record.key)}")


def sealed(record: dict) -> dict:
    """The record as it is written: with a checksum of the rest."""
    return {**record, CHECKSUM: checksum(record)}


def unsealed(value) -> dict:
    """The same without it, compared; records of earlier versions may have none."""
    record = json_object(value)
    if CHECKSUM in record and record[CHECKSUM] != checksum(record):
        raise ValueError("its checksum is another's")
    return {name: item for name, item in record.items() if name != CHECKSUM}


def checksum(record: dict) -> str:
    content = {name: item for name, item in record.items() if name != CHECKSUM}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def failure(key: str, spec: Spec | None, reason: str) -> Result:
    """The result of a trial that did not end by itself."""
    return Result(
        key=key,
        status="failed",
        objective=None,
        measures={},
        replicas=[],
        seeds=spec.seeds if spec else [],
        epochs=0,
        params=spec.params if spec else {},
        time=time.time(),
        suggested=spec.suggested if spec else {},
        spec=spec,
        error=reason,
    )
