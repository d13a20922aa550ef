"""What a trained model scores: the images and the real side of every measure, loaded once per process, and a measurement of
weights that were kept, for features or measures that there were not when they were trained."""

import functools
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors

from study.data.datasets import Dataset, dataset_of
from study.errors import UserError, first_line
from study.ledger.files import finite_or_null, read_own, read_result, read_spec
from study.ledger.folder import DATA
from study.ledger.records import Measurement, Spec
from study.metrics import features
from study.metrics.catalogue import CATALOGUE
from study.metrics.evaluation import STAGES, Evaluation
from study.metrics.likelihood import DRAWS
from study.space.foreign_code import check_code, digest
from study.space.from_spec import model_of
from study.space.importing import imported
from study.training.git_commit import git_commit
from study.training.image_grids import decode
from study.training.weights import of_training, plain


class FeaturesOf(NamedTuple):
    """Which features: their kind, the seed of the classifier, and the hash that they must turn out to have; and of how many samples
    against which images, with how many draws for a likelihood, where not as a study measures."""

    kind: str
    seed: int
    hash: str
    samples: int = 0
    against: str = ""
    draws: int = DRAWS


@functools.lru_cache(maxsize=2)
def loaded(dataset: Dataset, data_dir: str, device: str, published: Path, whole: bool = False):
    """The images on the device: moved there once per worker process, not once per trial. Those that the driver
    published with the study, or else those in the data folder; `whole` with the validation images among those to train on."""
    images = dataset.published(published) if published.exists() else dataset.load(data_dir)
    return (images.whole() if whole else images).to(device)


@functools.lru_cache(maxsize=4)
def evaluation(
    dataset: Dataset, data_dir: str, device: str, published: Path, whole: bool, folder: Path, chosen: FeaturesOf, stage: str
) -> Evaluation:
    """The real side of every measure, computed once per worker process with the features in `folder`."""
    images = loaded(dataset, data_dir, device, published)
    extractor = features.prepare(dataset, images.to("cpu"), folder, chosen.kind, folder / features.WEIGHTS, chosen.seed)
    if extractor.hash != chosen.hash:
        raise UserError(
            f"the features of {dataset.name} here are {extractor.hash}, those meant are {chosen.hash}, and"
            " scores of different features do not compare: is another version of torch installed here?"
        )
    own = loaded(dataset, data_dir, device, published, whole)
    return Evaluation(own, extractor.to(device), stage, chosen.samples, chosen.against, chosen.draws)


def all_measures(model, final: Evaluation, own: Mapping[str, str], origin: str) -> dict[str, float]:
    """Every measure of a model in eval mode, those of the space itself (name -> import path) among them; a value that is not
    finite is absent."""
    found = final.everything([model])[0]
    if own:
        samples = decode(model, final.noise(model.latent_dim))
        values = {name: float(imported(path, origin)(samples, final.real)) for name, path in own.items()}
        found |= {name: value for name, value in values.items() if math.isfinite(value)}
    return found


def digests(own: Mapping[str, str], origin: str) -> dict[str, str]:
    """Of measures of a space, name -> import path, the digest of the code that each has here."""
    return {name: digest(imported(path, origin)) for name, path in own.items()}


def measured_again(
    folder: Path, data_dir, chosen: FeaturesOf, own: Mapping[str, str], protocol: int, device: str = "cpu"
) -> Measurement:
    """What the weights in a trial's folder score with the features chosen and the measures that there are now, on the images
    that its own were taken on. UserError where the trial has no weights, or they are not of its model."""
    spec = read_spec(folder)
    result = read_result(folder)
    check_code(spec)
    where = dataset_of(spec), str(data_dir), device, folder.parents[1] / DATA / spec.fingerprint, bool(spec.whole_training_set)
    if (here := loaded(*where).fingerprint) != spec.fingerprint:
        raise UserError(f"the images of {spec.dataset} in {data_dir} are not those that {spec.key} was trained on ({here})")
    final = evaluation(*where, folder.parents[1] / "features", chosen, spec.stage)
    replicas = [
        replace(each, measures=measures_of_training(folder, spec, index, final, own) if each.status == "done" else {})
        for index, each in enumerate(result.replicas)
    ]
    return Measurement(
        key=spec.key,
        features=chosen.hash,
        features_kind=chosen.kind,
        features_seed=chosen.seed,
        split=chosen.against or STAGES[spec.stage][0],
        samples=chosen.samples,
        catalogue=CATALOGUE,
        own_measures=digests(own, spec.origin),
        protocol=protocol,
        replicas=replicas,
        time=time.time(),
        commit=git_commit(),
        torch=str(torch.__version__),
        device=device,
    )


def measures_of_training(folder: Path, spec: Spec, index: int, final: Evaluation, own: Mapping[str, str]) -> dict:
    """Of one of a trial's trainings, by its kept weights."""
    path = folder / "weights.safetensors"
    try:
        tensors = of_training(load_tensors(read_own(path)), index)
        model = plain(lambda: model_of(spec, final.images.shape), tensors, final.device)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise UserError(f"{path} does not hold the weights of this trial ({first_line(error)})") from None
    return finite_or_null(all_measures(model, final, own, spec.origin))
