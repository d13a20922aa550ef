"""The precision of products, which changes results and is part of a trial's key."""

import socket
from contextlib import contextmanager

import torch

from study.errors import UnfitMachine


@contextmanager
def products_in(precision: str):
    """Products on a CUDA device in "float32", with all 23 bits of mantissa, or in "tf32", with 10 of them."""
    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        for backend, allowed in zip(backends, before):
            backend.allow_tf32 = allowed


def check_precision(precision: str, device: str) -> None:
    """UnfitMachine where a trial planned in TF32 would silently be trained in float32."""
    if precision == "tf32" and not (device != "cpu" and torch.cuda.is_available() and torch.cuda.is_tf32_supported()):
        raise UnfitMachine(
            f"the space multiplies in TF32, which needs an NVIDIA card of compute capability 8.0 or more, and this machine"
            f' ({socket.gethostname()}) trains without one: launch where there is one, or a space with precision="float32"'
        )
