"""A measure of one's own: how much more, or less, symmetric samples are than real images."""

import torch


def symmetry(samples: torch.Tensor, real: torch.Tensor) -> float:
    """Mean difference of an image from its mirror image, of samples over that of real images, both (n, C, H, W) in [0, 1]: 1 is as
    real ones are, 0 is perfect symmetry."""

    def unevenness(images):
        return (images - images.flip(-1)).abs().mean()

    return (unevenness(samples) / unevenness(real)).item()
