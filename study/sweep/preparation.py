"""What is done once before a study is planned: images decoded, features trained, the real baseline of every measure noted."""

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
from study.metrics.catalogue import CATALOGUE, spread
from study.metrics.features import Extractor
from study.metrics.real_baseline import real_baseline
from study.space.contracts import lacking_in_use
from study.space.space import Space
from study.sweep.launch_options import LaunchOptions
from study.sweep.plan import PROTOCOL
from study.sweep.step_timing import built


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
            **({"precision": space.precision} if space.precision != "float32" else {}),  # old keys are kept
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
        extractor, real = features_of(dataset, images, root, data_dir, options.features, options.inception_weights, log)
        note_real_baseline(root / FLOORS, dataset, real)
        accuracy = "" if extractor.accuracy is None else f", validation accuracy {extractor.accuracy:.3f}"
        log(
            f"{dataset.name}: {len(images.train.images):,} / {len(images.validation.images):,} /"
            f" {len(images.test.images):,} images of {'x'.join(map(str, images.shape))};"
            f" measured by {extractor.describe}{accuracy}; real images score fd_rel {spread(real.measures['quality/fd_rel'])}"
            f" ({time.monotonic() - start:.1f} s)"
        )
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


def features_of(
    dataset, images, root: Path, data_dir, kind: str, weights: Path | None, log: Callable[[str], None], seed: int = 0
) -> tuple[Extractor, RealBaseline]:
    """Features in a study's folder, where all workers find them, and what real images score by them against each other: the best
    that can be expected. Each is made once, and kept beside the data for other studies; what real images score is measured anew
    where there are other measures since."""
    shelves, folder = prepared.places(data_dir, "features"), root / "features"
    trained = folder / features.file_name(dataset, images.fingerprint, seed)
    prepared.take(trained, shelves)
    if not trained.exists():
        log(f"{dataset.name}: training a classifier, whose features will measure what models draw; it is kept beside the data")
    extractor = features.prepare(dataset, images, folder, kind, weights, seed)
    prepared.leave(trained, shelves)
    if kind == "inception" and weights:
        write_atomic(folder / features.WEIGHTS, weights.read_bytes())
    noted = folder / f"real-{extractor.hash}-{PROTOCOL}-{CATALOGUE}.json"
    prepared.take(noted, shelves)
    known = (read_json(noted, check=real_baselines) or {}).get(dataset.name)
    if known is None or not known.measures or (known.features, known.protocol) != (extractor.hash, PROTOCOL):
        known = replace(real_baseline(images, extractor), protocol=PROTOCOL)
        write(noted, {dataset.name: known})
        prepared.leave(noted, shelves)
    return extractor, known


def note_real_baseline(place: Path, dataset, known: RealBaseline) -> None:
    """Note what real images score by the features that a study is tuned by."""
    baselines = read_json(place, check=real_baselines) or {}
    if baselines.get(dataset.name) != known:
        write(place, baselines | {dataset.name: known})


def write(place: Path, baselines: dict[str, RealBaseline]) -> None:
    write_atomic(place, json.dumps({name: each.to_json() for name, each in baselines.items()}, indent=1).encode())
