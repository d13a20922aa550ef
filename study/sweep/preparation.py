"""What is done once before a study is planned: images decoded, features trained, the real baseline of every measure noted."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from study.data import prepared
from study.data.datasets import check_batch
from study.errors import UserError
from study.ledger.files import read_json, write_atomic
from study.ledger.folder import DATA, FLOORS, Ledger
from study.ledger.records import RealBaseline, real_baselines
from study.metrics import features
from study.metrics.catalogue import BY_KEY, spread
from study.metrics.real_baseline import real_baseline
from study.space.contracts import lacking_in_use
from study.space.space import Space
from study.sweep.estimate import built
from study.sweep.launch_options import LaunchOptions
from study.sweep.plan import PROTOCOL

MEASURED = hashlib.sha256(" ".join(BY_KEY).encode()).hexdigest()[:8]  # another where there are measures that were not known before


def identities(space: Space, data_dir: Path, options: LaunchOptions) -> dict[str, dict]:
    """Dataset name -> what else defines a result there; unknown ('') while the data has not been decoded yet."""
    kind, table = options.features, {}
    for dataset in space.datasets.values():
        known = dataset.fingerprint(data_dir) or ""
        table[dataset.name] = {
            "fingerprint": known,
            "features_kind": kind,
            "features": features.recipe_hash(dataset, known, kind, options.inception_weights) if known else "",
            "shape": list(dataset.load(data_dir).shape) if known else "",
            **({"precision": options.precision} if options.precision != "float32" else {}),  # old keys are kept
        }
    return table


def prepare(space: Space, options: LaunchOptions, data_dir: Path, ledger: Ledger, log: Callable[[str], None]) -> None:
    """Decode every dataset and make its features, in the ledger's folder where all workers find them."""
    root = ledger.root
    for dataset in space.datasets.values():
        start = time.monotonic()
        images = dataset.prepare(data_dir, skip_corrupt=options.skip_corrupt, log=log)
        for cell in space.cells:
            if cell.dataset == dataset:
                check_batch(images, space.budget(cell).batch_size)
                check_built(cell, images.shape)
        if options.address or ledger.address != str(root):  # there may be machines without the data
            dataset.publish(data_dir, root / DATA / images.fingerprint)
        shelves = prepared.places(data_dir, "features")
        trained = features.file_name(dataset, images.fingerprint)
        prepared.take(root / "features" / trained, shelves)
        extractor = features.prepare(dataset, images, root / "features", options.features, options.inception_weights)
        prepared.leave(root / "features" / trained, shelves)
        known = note_real_baseline(root / FLOORS, dataset, images, extractor, shelves)
        accuracy = "" if extractor.accuracy is None else f", validation accuracy {extractor.accuracy:.3f}"
        log(
            f"{dataset.name}: {len(images.train.images):,} / {len(images.validation.images):,} /"
            f" {len(images.test.images):,} images of {'x'.join(map(str, images.shape))};"
            f" measured by {extractor.describe}{accuracy}; real images score fd_rel {spread(known.measures['quality/fd_rel'])}"
            f" ({time.monotonic() - start:.1f} s)"
        )
    if options.features == "inception" and options.inception_weights:
        write_atomic(root / "features" / features.WEIGHTS, options.inception_weights.read_bytes())
    for name in (DATA, "features", FLOORS):
        ledger.publish(name)


def check_built(cell, shape) -> None:
    """UserError for settings of which no model can be made, or none that can be trained, before any of them is."""
    try:
        with torch.device("meta"):  # shapes without numbers: milliseconds for any size
            model = built(cell, shape)
    except UserError:
        raise
    except Exception:  # whatever a model of one's own raises, which may need numbers to be built: its trials judge it
        return
    if missing := lacking_in_use(model):
        raise UserError(
            f"cell {cell.name}: a {cell.model.__name__} lacks {', '.join(missing)};"
            " study/space/contracts.py says what a model must offer"
        )


def note_real_baseline(place: Path, dataset, images, extractor, shelves=()) -> RealBaseline:
    """What real images score against each other: the best that can be expected. Measured once per features, and anew where
    measures have changed their meaning since; another study on the same data may have left it on one of the `shelves`."""

    def noted(file):
        baselines = read_json(file, check=real_baselines) or {}
        known = baselines.get(dataset.name)
        fits = known and known.measures and (known.features, known.protocol) == (extractor.hash, PROTOCOL)
        return baselines, known if fits else None

    baselines, known = noted(place)
    if known is None:
        shelved = place.parent / "features" / f"real-{extractor.hash}-{PROTOCOL}-{MEASURED}.json"
        prepared.take(shelved, shelves)
        _, known = noted(shelved)
        if known is None:
            known = replace(real_baseline(images, extractor), protocol=PROTOCOL)
            write(shelved, {dataset.name: known})
            prepared.leave(shelved, shelves)
        write(place, baselines | {dataset.name: known})
    return known


def write(place: Path, baselines: dict[str, RealBaseline]) -> None:
    write_atomic(place, json.dumps({name: each.to_json() for name, each in baselines.items()}, indent=1).encode())
