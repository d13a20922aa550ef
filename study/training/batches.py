"""The batches of an epoch: every replica meets all images in an order of its own, with noise of its own."""

from collections.abc import Iterator, Sequence
from math import prod

import torch
from torch import Generator, Tensor

from models.phase import LABELS, Phase

NOISE_FLOATS = 2**20  # drawn at a time per replica; whatever K is, so that the pack does not change the noise


def batches(
    images: Tensor,
    levels: int,
    batch_size: int,
    binarised: bool,
    phases: Sequence[Phase],
    orders: Sequence[Generator],
    noises: Sequence[Generator],
    done: int,
    dtype: torch.dtype,
    labels: Tensor | None = None,
    asking: Sequence[int] = (),
) -> Iterator[tuple[Tensor, dict[int, dict[str, Tensor]]]]:
    """Yields a batch for K replicas, (K, n, C, H, W) in [0, 1], and the phases that are due on it: index -> noise, which is
    name -> (K, n, ...), with the batch's labels (K, n) for phases `asking`, of those of all images (N,).

    images: uint8 grey levels 0..levels - 1, (N, C, H, W), on the device of the generators, of which each replica has one for its
    order and one for its noise; `done`: batches before this epoch, by which phases take turns. The last, partial batch is dropped.
    """
    steps, pixels, shape = len(images) // batch_size, images.flatten(1), images.shape[1:]
    chosen = torch.stack(
        [torch.randperm(len(images), generator=order, device=images.device)[: steps * batch_size] for order in orders]
    ).view(len(orders), steps, batch_size)  # (K, steps, n): indices of images
    largest = torch.full((), levels - 1, dtype=dtype, device=images.device)  # a kernel's work: a copy from the host would wait
    wanted = [phase.noise for phase in phases] + [{"uniform": shape} if binarised else {}]
    floats = batch_size * sum(prod(size) for noise in wanted for size in noise.values())
    block = max(1, NOISE_FLOATS // max(1, floats))  # batches whose noise is drawn in one call
    for start in range(0, steps, block):
        ahead = range(start, min(start + block, steps))
        turns = [[(done + batch) % phase.every == phase.every - 1 for batch in ahead] for phase in phases]
        ready = [
            {name: draw(name, (sum(turn), batch_size, *size), noises, dtype) for name, size in noise.items()}
            for noise, turn in zip(wanted, [*turns, [True] * len(ahead)])
        ]
        for place, batch in enumerate(ahead):
            x = torch.div(pixels.index_select(0, chosen[:, batch].flatten()), largest).view(len(orders), batch_size, *shape)
            if binarised:
                x = (next(ready[-1]["uniform"]) < x).to(dtype)  # black or white, with the grey level as probability
            classes = {LABELS: labels[chosen[:, batch]]} if labels is not None else {}
            due = {
                index: {name: next(values) for name, values in ready[index].items()} | (classes if index in asking else {})
                for index, turn in enumerate(turns)
                if turn[place]
            }
            yield x, due


def draw(name: str, shape: Sequence[int], generators: Sequence[Generator], dtype: torch.dtype) -> Iterator[Tensor]:
    """Noise (K, ...) for one batch after another, as many as `shape` says first; each replica's from its own generator."""
    random = torch.rand if name.startswith("uniform") else torch.randn
    return iter(torch.stack([random(shape, generator=each, dtype=dtype, device=each.device) for each in generators], 1))


def check_images(images: Tensor, levels: int, batch_size: int) -> None:
    """ValueError for images of which no batch in [0, 1] can be made."""
    if images.dtype != torch.uint8 or (levels < 256 and images.max() >= levels):
        raise ValueError(
            f"images must be uint8 grey levels below {levels}, so that they scale to [0, 1]; these are "
            f"{images.dtype} from {images.min()} to {images.max()}"
        )
    if len(images) < batch_size:
        raise ValueError(f"{len(images)} images do not fill one batch of {batch_size}")
