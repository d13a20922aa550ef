"""torch's linear layer with a faster product on processors where torch's own leaves half of the arithmetic unused."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import handle_torch_function, has_torch_function
from torch.utils.flop_counter import register_flop_formula

ONEDNN = torch.ops.mkldnn._linear_pointwise if torch.backends.mkldnn.is_available() else None
LARGE = 2**22  # multiply-adds from which oneDNN's product pays for its set-up, measured from 128 x 128 to 784 x 400


class Linear(nn.Linear):
    """As `nn.Linear`, but for rounding; large float32 products on a CPU are computed by oneDNN instead of MKL.

    oneDNN uses AVX-512 wherever a processor has it, MKL on one make only: 215 against 100 GFLOP/s on one core of an AMD
    EPYC, at 128 x 784 x 400.
    """

    def forward(self, x):
        return linear(x, self.weight, self.bias)


def linear(x, weight, bias=None):
    """(n, i), (o, i) and (o,) -> (n, o)."""
    if has_torch_function((x, weight)):  # somebody wants to know of products
        return handle_torch_function(linear, (x, weight), x, weight, bias)
    exported = torch.compiler.is_compiling()  # to run elsewhere, on any number of images
    if exported or ONEDNN is None or x.device.type != "cpu" or x.dtype != torch.float32 or x.dim() != 2:
        return F.linear(x, weight, bias)
    return Product.apply(x, weight, bias) if len(x) * weight.numel() >= LARGE else F.linear(x, weight, bias)


def product(x, weight, bias=None):
    """As `linear`, by oneDNN whatever the size; nothing is kept to derive it by."""
    return ONEDNN(x, weight, bias, "none", [], "")


def times_as(times, like, left, right):
    """(n, i) and (o, i) -> (n, o), in the memory order of `like`: a second derivative is in part by transposed weights, and would
    else be added to the first in the order of neither."""
    return times(left, right) if like.is_contiguous() else times(right, left).t()


class Product(torch.autograd.Function):
    """`linear` by oneDNN; its derivatives of any order are products of the same kind."""

    @classmethod
    def apply(cls, *inputs):
        """Leaves out torch's matching of arguments to names, which takes as long as a small product."""
        transformed = torch._C._are_functorch_transforms_active()
        return (super() if transformed else super(torch.autograd.Function, cls)).apply(*inputs)

    forward = staticmethod(product)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, weight, bias = inputs
        ctx.save_for_backward(x, weight)
        ctx.biased = bias is not None

    @staticmethod
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous()  # it may be one number seen many times, which oneDNN cannot read
        times = linear if torch.is_grad_enabled() else product  # who will not derive it again needs no more than the product
        return (
            times_as(times, x, gradient, weight.t()) if ctx.needs_input_grad[0] else None,
            times_as(times, weight, gradient.t(), x.t()) if ctx.needs_input_grad[1] else None,
            gradient.sum(0) if ctx.biased and ctx.needs_input_grad[2] else None,
        )

    @staticmethod
    def vmap(info, in_dims, x, weight, bias):
        """Many at a time are torch's own batched product."""
        x, weight, bias = (
            value if value is None else value.expand(info.batch_size, *value.shape) if dim is None else value.movedim(dim, 0)
            for value, dim in zip((x, weight, bias), in_dims)
        )
        product = torch.bmm(x, weight.mT) if bias is None else torch.baddbmm(bias[:, None], x, weight.mT)
        return product, 0


if ONEDNN:

    @register_flop_formula(ONEDNN)
    def operations(x_shape, weight_shape, *others, **unused) -> int:
        """What torch's counter shall count."""
        return 2 * x_shape[0] * weight_shape[0] * weight_shape[1]
