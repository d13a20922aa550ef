"""torch's layers around convolutions, faster on a processor where its own leave most of it unused; equal but for rounding.

Of images with one channel, as grey ones have, oneDNN takes far longer for a transposed convolution onto them than for a product of
matrices and a sum; onto three channels nothing would be gained. So does torch for a derivative that lies in memory in another order
than what it is multiplied with.
"""

from math import prod

import torch
from torch import nn
from torch.nn import functional as F


class Conv2d(nn.Conv2d):
    """As torch's. Of images of one channel the derivative is a transposed convolution: where it is wanted, it becomes that of a
    product of their patches."""

    def forward(self, x):
        if self.in_channels > 1 or not x.requires_grad or not on_processor(x):
            return super().forward(x)
        patches = F.unfold(x, self.kernel_size, padding=self.padding, stride=self.stride).mT  # (n, h w, kernel x kernel)
        height = (x.shape[2] + 2 * self.padding[0] - self.kernel_size[0]) // self.stride[0] + 1
        return F.linear(patches, self.weight.flatten(1), self.bias).unflatten(1, (height, -1)).permute(0, 3, 1, 2)


class ConvTranspose2d(nn.ConvTranspose2d):
    """As torch's. Onto one channel, what each pixel of x gives to those around it is a product, and the image is their sum."""

    def forward(self, x, output_size=None):
        if self.out_channels > 1 or not on_processor(x):
            return super().forward(x, output_size)
        shares = x.permute(0, 2, 3, 1).flatten(0, 2) @ self.weight.flatten(1)  # (n h w, kernel x kernel)
        shares = shares.view(len(x), prod(x.shape[2:]), -1).mT
        excess = [
            kernel + extra - 2 * padding for kernel, extra, padding in zip(self.kernel_size, self.output_padding, self.padding)
        ]
        size = [(side - 1) * stride + more for side, stride, more in zip(x.shape[2:], self.stride, excess)]
        image = F.fold(shares, size, self.kernel_size, padding=self.padding, stride=self.stride)
        return image if self.bias is None else image + self.bias[:, None, None]


class Unflatten(nn.Unflatten):
    """As torch's; the images lie in memory in the order in which they are convolved."""

    def forward(self, x):
        images = super().forward(x)
        return images.contiguous(memory_format=torch.channels_last) if on_processor(x) else images


class Flatten(nn.Flatten):
    """As torch's; the gradient lies in memory as the images do."""

    def forward(self, x):
        return super().forward(AsItself.apply(x) if on_processor(x) else x)


class AsItself(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.order = torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient.contiguous(memory_format=ctx.order)


def on_processor(x) -> bool:
    """Whether x lies there and is computed by itself, neither as one of many nor to be exported."""
    return x.device.type == "cpu" and not (torch._C._are_functorch_transforms_active() or torch.compiler.is_compiling())
