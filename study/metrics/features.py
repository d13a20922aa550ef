"""The frozen feature extractor of each dataset: a small classifier of its own labels, trained once before a sweep.

Features of a classifier trained on the dataset itself are the usual choice where Inception does not fit (Heusel et al.
2017 advise it for MNIST; Binkowski et al. 2018 use LeNet). Scores compare only under one and the same `Extractor.hash`.
"""

import hashlib
import json
import math
import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional as F

from study.errors import UserError
from study.ledger.files import quarantine
from study.metrics.inception import INCEPTION_SHA256, inception

DESIGN = 1  # a new number for any change below that the other constants do not show: everything is trained anew
WIDTHS, FEATURES = (32, 64), 64  # channels of the first and of the later convolutions; size of the layer that is kept
RECIPE = {"batch": 64, "peak_rate": 4e-3, "smoothing": 0.1, "images_seen": 130_000, "epochs": (2, 16)}
CHUNK = 256  # images at a time: small chunks stay in the processor's cache


WEIGHTS = "inception.pth"  # the name of the weights file in a study's folder of features, where all workers find it


@dataclass(frozen=True)
class Extractor:
    """Frozen features: call it with images (n, C, H, W), floats in [0, 1], to get (n, d) float32."""

    network: nn.Module  # a chunk of images -> its features
    head: nn.Module | None  # images -> class scores; None when there are no labels to learn
    hash: str  # of all that defines the features
    describe: str  # one sentence for the report
    accuracy: float | None = None  # share of the validation images that the classifier gets right
    kind: str = "classifier"

    def __call__(self, x: Tensor) -> Tensor:
        return _in_chunks(self.network, x)

    def classify(self, x: Tensor) -> Tensor:
        """Class indices (n,) of images (n, C, H, W); only on labelled datasets."""
        return _in_chunks(self.head, x).argmax(1)

    def scored(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The features (n, d) of images and their class scores (n, classes), or None where there are no labels."""
        features = self(x)
        if self.head is None or self.head[0] is not self.network:
            return features, self.head and _in_chunks(self.head, x)
        return features, self.head[1](features)  # the classifier's own features: only its last layer is left

    def both(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The features (n, d) of images and their class indices (n,), or None where there are no labels."""
        features, scores = self.scored(x)
        return features, None if scores is None else scores.argmax(1)

    def to(self, device: str | torch.device) -> "Extractor":
        return replace(self, network=self.network.to(device), head=self.head and self.head.to(device))


@torch.no_grad()
def _in_chunks(network, x):
    return torch.cat([network(chunk).float() for chunk in x.split(CHUNK)])


def prepare(dataset, images, cache_dir, kind: str = "classifier", weights: Path | None = None, seed: int = 0) -> Extractor:
    """The extractor of a dataset on the CPU: read from `cache_dir`, or trained (one thread) and written there.

    `kind` "inception" gives the standard 2048 features from the local file `weights`; the classifier is then still
    there to tell classes. `seed`: of the classifier's first weights and batches, to see how much a score owes to one.
    Raises UserError for an unknown kind or a weights file that is not the published one.
    """
    classifier = _classifier(dataset, images, Path(cache_dir), seed)
    if kind == "classifier":
        return classifier
    return replace(
        classifier,
        network=inception(weights),
        kind=kind,
        hash=recipe_hash(dataset, images.fingerprint, kind, weights, seed),
        describe="2048 features of Inception v3 as converted for torch-fidelity",
    )


def recipe_hash(dataset, fingerprint: str, kind: str = "classifier", weights: Path | None = None, seed: int = 0) -> str:
    """What `prepare` will give as `hash`, known without training: it becomes part of every trial's key.

    The weights file does not enter: only one file, known by its SHA-256, is accepted.
    """
    if kind not in ("classifier", "inception"):
        raise UserError(f"unknown features {kind!r}: choose classifier or inception")
    if kind == "inception" and weights is None:
        raise UserError("inception features need their weights: give --inception-weights FILE")
    facts = {
        "dataset": dataset.name,
        "fingerprint": fingerprint,
        "architecture": [DESIGN, WIDTHS, FEATURES],
        "recipe": RECIPE | {"seed": seed},
        "torch": torch.__version__.split("+")[0],
    }  # not the build: training is on the CPU
    if kind == "inception":
        facts["inception"] = INCEPTION_SHA256
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def file_name(dataset, fingerprint: str, seed: int = 0) -> str:
    """Of the classifier's weights, which are the same wherever the dataset, the recipe and torch are."""
    return f"features-{recipe_hash(dataset, fingerprint, seed=seed)}.safetensors"


def _classifier(dataset, images, cache_dir, seed):
    digest = recipe_hash(dataset, images.fingerprint, seed=seed)
    file = cache_dir / file_name(dataset, images.fingerprint, seed)
    network, head = _networks(images, seed)
    facts = _read(file, network, head)
    if facts is None:
        with one_thread():
            facts = _fit(network, head, images, seed)
        _write(file, network, head, facts)
    whole = nn.Sequential(network, head).requires_grad_(False).eval()
    return Extractor(network, whole if _labelled(images) else None, digest, **facts)


def _labelled(images):
    return images.train.labels is not None and len(images.train.labels.unique()) > 1


def _networks(images, seed):
    """The body and the head for the shape of these images, with the first weights of that seed."""
    sample = _float(images, slice(0, 1))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if not _labelled(images) and sample.numel() <= 256:
            body = nn.Flatten()  # so few pixels are features enough
        else:
            body = _body(sample.shape)
        return body, nn.Linear(body(sample).shape[1], max(len(images.classes), 1))


class Standardise(nn.Module):
    """Shifts and scales pixels by their mean and deviation over training images, without which noise looks harmless."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))

    def fit(self, x):
        self.mean.copy_(x.mean())
        self.deviation.copy_(x.std().clamp(min=1e-3))

    def forward(self, x):
        return (x - self.mean) / self.deviation


def _body(shape):
    """Convolutions (two at least) that halve the image until at most 5 pixels a side are left, then one linear layer.

    Above 64 pixels the first one strides by 4. No BatchNorm: features must not depend on the rest of the batch.
    """
    layers, channels, side = [], shape[1], max(shape[2:])
    while side > 5 or len(layers) < 4:
        stride, kernel = (4, 5) if side > 64 else (2, 3) if side > 5 else (1, 3)
        width = WIDTHS[bool(layers)]
        layers += [nn.Conv2d(channels, width, kernel, stride, kernel // 2), nn.ReLU()]
        channels, side = width, math.ceil(side / stride)  # 28 pixels a side become 14, 7, 4; 160 become 40, 20, 10, 5
    flat = nn.Sequential(Standardise(), *layers, nn.Flatten())
    return flat.extend([nn.Linear(flat(torch.zeros(shape)).shape[1], FEATURES), nn.ReLU()])


def _float(images, index, split="train"):
    return images.scaled(getattr(images, split).images[index])


def _fit(network, head, images, seed):
    """Train both networks in place if there are labels; the facts to keep with the weights."""
    if not isinstance(network, nn.Flatten):
        network[0].fit(_float(images, slice(0, 1000)))
    if not _labelled(images):
        size = head.in_features
        kind = "pixels" if isinstance(network, nn.Flatten) else "features of an untrained convolutional network"
        return {"describe": f"{size} {kind}, because the images have no classes to learn", "accuracy": None}
    _train(nn.Sequential(network, head), images, seed)
    accuracy = _accuracy(nn.Sequential(network, head), images)
    return {"describe": f"{FEATURES} features of a classifier of the dataset's own classes", "accuracy": accuracy}


def _train(classifier, images, seed):
    n, (fewest, most) = len(images.train.labels), RECIPE["epochs"]
    epochs = min(max(round(RECIPE["images_seen"] / n), fewest), most)
    # about as many images for every size of dataset: digits are seen 16 times, MNIST twice
    steps = epochs * math.ceil(n / RECIPE["batch"])
    optimiser = torch.optim.AdamW(classifier.parameters(), fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RECIPE["peak_rate"], total_steps=steps)
    order = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for batch in torch.randperm(n, generator=order).split(RECIPE["batch"]):
            scores = classifier(_float(images, batch))
            loss = F.cross_entropy(scores, images.train.labels[batch], label_smoothing=RECIPE["smoothing"])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()


@torch.no_grad()
def _accuracy(classifier, images):
    labels = images.validation.labels
    if labels is None or len(labels) == 0:
        return None
    chunks = torch.arange(len(labels)).split(CHUNK)
    guesses = torch.cat([classifier(_float(images, chunk, "validation")).argmax(1) for chunk in chunks])
    return (guesses == labels).float().mean().item()


@contextmanager
def one_thread():
    """Weights trained on one and on two threads differ, so training always uses one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _write(file, network, head, facts):
    """One file, renamed into place, so that a reader never meets half of it."""
    tensors = nn.ModuleList([network, head]).state_dict()
    metadata = {"about": json.dumps({"facts": facts, "sha256": _digest(tensors)})}  # one entry: their order is not kept
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_bytes(save(tensors, metadata))
    os.replace(temporary, file)


def _read(file, network, head):
    """Fill both networks from a cache file and give its facts; None when it is missing or broken (then quarantined)."""
    if not file.exists():
        return None
    try:
        with safetensors.safe_open(file, "pt") as opened:
            about = json.loads(opened.metadata()["about"])
        tensors = load(file.read_bytes())
        if about["sha256"] != _digest(tensors):
            raise ValueError("the weights are not those that were written")
        nn.ModuleList([network, head]).load_state_dict(tensors)
        return about["facts"]
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RuntimeError):
        quarantine(file, "not the features that were written there")
        return None


def _digest(tensors):
    whole = hashlib.sha256()
    for name in sorted(tensors):
        whole.update(name.encode() + tensors[name].numpy().tobytes())
    return whole.hexdigest()
