"""The precision of products, which changes results and is part of a trial's key."""

import socket
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from models import linear
from study.errors import UnfitMachine

PRODUCTS = {
    *(functional.linear, functional.conv2d, functional.conv_transpose2d),
    *(torch.mm, torch.addmm, torch.bmm, torch.baddbmm, torch.matmul, Tensor.matmul, Tensor.__matmul__),
}


@contextmanager
def products_in(precision: str):
    """Products in "float32", with all 23 bits of mantissa; on a CUDA device in "tf32", with 10 of them; on any in "bf16", of
    operands rounded to 7, with the sum and what is computed from it in float32."""
    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = precision == "tf32"
    try:
        with Rounded() if precision == "bf16" else nullcontext():
            yield
    finally:
        for backend, allowed in zip(backends, before):
            backend.allow_tf32 = allowed


class Rounded(TorchFunctionMode):
    """`with` it, and so backwards too, operands of float32 products are rounded to bfloat16, and the products are float32 again."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is linear.linear:
            function = functional.linear
        if function not in PRODUCTS:
            return function(*args, **(kwargs or {}))
        args, kwargs = tree_map(rounded, (args, kwargs or {}))
        made = function(*args, **kwargs)
        return made.float() if made.dtype is torch.bfloat16 else made


def rounded(value):
    return value.bfloat16() if isinstance(value, Tensor) and value.dtype is torch.float32 else value


def check_precision(precision: str, device: str) -> None:
    """UnfitMachine where a trial planned in TF32 would silently be trained in float32."""
    if precision == "tf32" and not (device != "cpu" and torch.cuda.is_available() and torch.cuda.is_tf32_supported()):
        raise UnfitMachine(
            f"the space multiplies in TF32, which needs an NVIDIA card of compute capability 8.0 or more, and this machine"
            f' ({socket.gethostname()}) trains without one: launch where there is one, or a space with precision="float32"'
        )
