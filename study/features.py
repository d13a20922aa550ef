"""The frozen feature extractor of each dataset: a small classifier of its own labels, trained once before a sweep.

Features of a classifier trained on the dataset itself are the usual choice where Inception does not fit (Heusel et al.
2017 advise it for MNIST; Binkowski et al. 2018 use LeNet). Scores compare only under one and the same `Extractor.hash`.
"""

import hashlib
import io
import json
import math
import os
import pickle
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load, save
from torch import nn
from torch.nn import functional as F

from study.errors import UserError

WIDTHS, FEATURES = (32, 64), 64  # of the first and of the later convolutions; of the layer whose output is kept
RECIPE = {"batch": 64, "peak_rate": 4e-3, "smoothing": 0.1, "images_seen": 130_000, "epochs": (2, 16), "seed": 0}
CHUNK = 256  # images at a time: small chunks stay in the processor's cache
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


@dataclass(frozen=True)
class Extractor:
    """Frozen features: call it with images (n, C, H, W), floats in [0, 1], to get (n, d) float32."""

    network: nn.Module  # a chunk of images -> its features
    head: nn.Module | None  # images -> class scores; None when there are no labels to learn
    hash: str  # of all that defines the features
    describe: str  # one sentence for the report
    accuracy: float | None = None  # share of the validation images that the classifier gets right
    kind: str = "classifier"

    def __call__(self, x):
        return _in_chunks(self.network, x)

    def classify(self, x):
        """Class indices (n,) of images (n, C, H, W); only on labelled datasets."""
        return _in_chunks(self.head, x).argmax(1)

    def to(self, device):
        return replace(self, network=self.network.to(device), head=self.head and self.head.to(device))


@torch.no_grad()
def _in_chunks(network, x):
    return torch.cat([network(chunk).float() for chunk in x.split(CHUNK)])


def prepare(dataset, images, cache_dir, kind="classifier", weights=None):
    """The extractor of a dataset on the CPU: read from `cache_dir`, or trained (one thread) and written there.

    `kind` "inception" gives the standard 2048 features from the local file `weights`; the classifier is then still
    there to tell classes. Raises UserError for an unknown kind or a weights file that is not the published one.
    """
    classifier = _classifier(dataset, images, Path(cache_dir))
    if kind == "classifier":
        return classifier
    return replace(classifier, network=inception(weights), kind=kind, hash=recipe_hash(dataset, images.fingerprint, kind, weights),
                   describe="2048 features of Inception v3 as converted for torch-fidelity")


def recipe_hash(dataset, fingerprint, kind="classifier", weights=None):
    """What `prepare` will give as `hash`, known without training: it becomes part of every trial's key.

    The weights file does not enter: only one file, known by its SHA-256, is accepted.
    """
    if kind not in ("classifier", "inception"):
        raise UserError(f"unknown features {kind!r}: choose classifier or inception")
    if kind == "inception" and weights is None:
        raise UserError("inception features need their weights: give --inception-weights FILE")
    facts = {"dataset": dataset.name, "fingerprint": fingerprint, "architecture": [WIDTHS, FEATURES], "recipe": RECIPE,
             "torch": torch.__version__.split("+")[0]}  # the same for CPU and CUDA builds: training is on the CPU
    if kind == "inception":
        facts["inception"] = INCEPTION_SHA256
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _classifier(dataset, images, cache_dir):
    digest = recipe_hash(dataset, images.fingerprint)
    file = cache_dir / f"features-{digest}.safetensors"
    network, head = _networks(images)
    facts = _read(file, network, head)
    if facts is None:
        with one_thread():
            facts = _fit(network, head, images)
        _write(file, network, head, facts)
    whole = nn.Sequential(network, head).requires_grad_(False).eval()
    return Extractor(network, whole if _labelled(images) else None, digest, **facts)


def _labelled(images):
    return images.train.labels is not None and len(images.train.labels.unique()) > 1


def _networks(images):
    """The body and the head for the shape of these images; the weights are drawn from the recipe's seed."""
    sample = _float(images, slice(0, 1))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RECIPE["seed"])
        if not _labelled(images) and sample.numel() <= 256:
            body = nn.Flatten()  # so few pixels are features enough
        else:
            body = _body(sample.shape)
        return body, nn.Linear(body(sample).shape[1], max(len(images.classes), 1))


def _body(shape):
    """Convolutions that halve the image until at most 5 pixels are left (at least two of them), then one linear layer.

    Above 64 pixels the first one strides by 4. No BatchNorm: features must not depend on the rest of the batch.
    """
    layers, channels, side, stride = [], shape[1], max(shape[2:]), 4 if max(shape[2:]) > 64 else 2
    while side > 5 or len(layers) < 4:
        width = WIDTHS[bool(layers)]
        layers += [nn.Conv2d(channels, width, 2 * (stride // 2) + 1, stride, stride // 2), nn.ReLU()]
        channels, side = width, math.ceil(side / stride)
        stride = 2 if side > 5 else 1
    flat = nn.Sequential(*layers, nn.Flatten())
    return flat.extend([nn.Linear(flat(torch.zeros(shape)).shape[1], FEATURES), nn.ReLU()])


def _float(images, index, split="train"):
    return images.scaled(getattr(images, split).images[index])


def _fit(network, head, images):
    """Train both networks in place if there are labels; the facts to keep with the weights."""
    if not _labelled(images):
        size = head.in_features
        kind = "pixels" if isinstance(network, nn.Flatten) else "features of an untrained convolutional network"
        return {"describe": f"{size} {kind}, because the images have no classes to learn", "accuracy": None}
    _train(nn.Sequential(network, head), images)
    accuracy = _accuracy(nn.Sequential(network, head), images)
    return {"describe": f"{FEATURES} features of a classifier of the dataset's own classes", "accuracy": accuracy}


def _train(classifier, images):
    n, (fewest, most) = len(images.train.labels), RECIPE["epochs"]
    epochs = min(max(round(RECIPE["images_seen"] / n), fewest), most)
    steps = epochs * math.ceil(n / RECIPE["batch"])
    optimiser = torch.optim.AdamW(classifier.parameters(), fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RECIPE["peak_rate"], total_steps=steps)
    order = torch.Generator().manual_seed(RECIPE["seed"])
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
    guesses = [classifier(_float(images, chunk, "validation")).argmax(1) for chunk in torch.arange(len(labels)).split(CHUNK)]
    return (torch.cat(guesses) == labels).float().mean().item()


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
    metadata = {"facts": json.dumps(facts), "sha256": _digest(tensors)}
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_bytes(save(tensors, metadata))
    os.replace(temporary, file)


def _read(file, network, head):
    """Fill both networks from a cache file and give its facts; None when it is missing or broken (then set aside)."""
    if not file.exists():
        return None
    try:
        with safetensors.safe_open(file, "pt") as opened:
            metadata = opened.metadata()
        tensors = load(file.read_bytes())
        if metadata["sha256"] != _digest(tensors):
            raise ValueError("the weights are not those that were written")
        nn.ModuleList([network, head]).load_state_dict(tensors)
        return json.loads(metadata["facts"])
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RuntimeError):
        os.replace(file, file.with_suffix(".broken"))
        return None


def _digest(tensors):
    whole = hashlib.sha256()
    for name in sorted(tensors):
        whole.update(name.encode() + tensors[name].numpy().tobytes())
    return whole.hexdigest()


class Inception(nn.Module):
    """The 2048 features of torch-fidelity's Inception v3 for images in [0, 1]; grey ones are repeated to three channels."""

    def __init__(self, extractor):
        super().__init__()
        self.extractor = extractor

    def forward(self, x):
        pixels = (x.expand(-1, 3, -1, -1) * 255).round().clamp(0, 255).to(torch.uint8)
        return self.extractor(pixels)[0]


def inception(weights, sha256=INCEPTION_SHA256):
    """The network of the standard FID with the weights of a local file, which is opened only if its SHA-256 is right."""
    try:
        from study.vision import torchvision  # noqa: F401  (first: torch-fidelity imports it, and may need it mended)
        from torch_fidelity import FeatureExtractorInceptionV3
    except ImportError as error:
        raise UserError(f"inception features need torch-fidelity ({error}): pip install torch-fidelity==0.4.0") from error
    state = io.BytesIO()
    torch.save(_trusted_weights(weights, sha256), state)
    state.seek(0)  # torch-fidelity unpickles whatever it is given, so it is given plain tensors that we have just written
    try:
        return Inception(FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], state)).requires_grad_(False).eval()
    except RuntimeError as error:
        raise UserError(f"{weights} holds no Inception weights of torch-fidelity's shape: {error}") from error


def _trusted_weights(weights, sha256):
    try:
        content = Path(weights).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the Inception weights {weights}: {error.strerror}") from error
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise UserError(f"{weights} is not the published file of Inception weights (SHA-256 {found[:8]}..., wanted "
                        f"{sha256[:8]}...): download weights-inception-2015-12-05-6726825d.pth again")
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise UserError(f"{weights} is no file of tensors: {str(error).splitlines()[0]}") from error
