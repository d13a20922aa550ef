"""The standard Inception features, from a local file of weights that is checked before it is opened."""

import hashlib
import io
import pickle
from pathlib import Path

import torch
from torch import nn

from study.errors import UserError

# of weights-inception-2015-12-05-6726825d.pth, which torch-fidelity publishes with its release 0.2.0
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


class Inception(nn.Module):
    """The 2048 features of torch-fidelity's Inception v3 for images in [0, 1]; grey ones fill all three channels."""

    def __init__(self, extractor):
        super().__init__()
        self.extractor = extractor

    def forward(self, x):
        pixels = (x.expand(-1, 3, -1, -1) * 255).round().clamp(0, 255).to(torch.uint8)
        return self.extractor(pixels)[0]


def inception(weights, sha256=INCEPTION_SHA256):
    """The network of the standard FID with the weights of a local file, opened only if its SHA-256 is right.

    Raises UserError if torch-fidelity is not installed, or the file is missing, another one, or not what it should be.
    """
    try:
        from torch_fidelity import FeatureExtractorInceptionV3

        from study.data.vision import torchvision  # noqa: F401  (first: torch-fidelity imports it, and may need it mended)
    except ImportError as error:
        raise UserError(f"Inception features need torch-fidelity ({error}): pip install torch-fidelity==0.4.0") from error
    state = io.BytesIO()
    torch.save(_trusted_weights(weights, sha256), state)
    state.seek(0)  # torch-fidelity unpickles whatever it is given: give it plain tensors that were written just now
    try:
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], state)
    except RuntimeError as error:
        raise UserError(f"{weights} holds no Inception weights of torch-fidelity's shape") from error
    return Inception(network).requires_grad_(False).eval()


def _trusted_weights(weights, sha256):
    try:
        content = Path(weights).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the Inception weights {weights}: {error.strerror}") from error
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise UserError(
            f"{weights} is not the published file of Inception weights (SHA-256 {found[:8]}..., wanted "
            f"{sha256[:8]}...): download weights-inception-2015-12-05-6726825d.pth again"
        )
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise UserError(f"{weights} is no file of tensors: {str(error).splitlines()[0]}") from error
