"""Random changes of training images: mirrored real ones, and the differentiable augmentation of all that a critic sees.

What is random is given: numbers u, uniform in [0, 1), of every image, drawn by the trainer like any other noise.
"""

import torch

CHANGES = ("color", "translation", "cutout")  # of DiffAugment (Zhao et al. 2020, section 4)
UNIFORMS = 7  # numbers that an image takes for all of these
SHIFTED, CUT = 1 / 8, 1 / 2  # of a side: the furthest translation, and the square that is cut out


def flipped(x, u):
    """Images (n, C, H, W), each mirrored left to right where its u (n, 1, 1, 1) is below one half."""
    return torch.where(u < 0.5, x.flip(-1), x)


def diff_augment(image, u, changes):
    """Images (n, C, H, W) around 0, changed as u (n, UNIFORMS) says; gradients pass. `changes`: which of CHANGES."""
    brightness, saturation, contrast, *places = (values.view(-1, 1, 1, 1) for values in u.unbind(1))
    if "color" in changes:
        image = image + brightness - 0.5
        image = scaled(image, image.mean(1, keepdim=True), 2 * saturation)
        image = scaled(image, image.mean((1, 2, 3), keepdim=True), contrast + 0.5)
    if "translation" in changes:
        for dim, number in ((2, places[0]), (3, places[1])):
            image = shifted(image, number, dim)
    if "cutout" in changes:
        image = image * ~(within(image, places[2], 2) & within(image, places[3], 3))
    return image


def scaled(image, middle, factor):
    return (image - middle) * factor + middle


def shifted(image, u, dim):
    """Moved along a dimension by up to SHIFTED of its side, with 0 where nothing is left."""
    side = image.shape[dim]
    furthest = int(side * SHIFTED + 0.5)
    source = positions(image, dim) + (u * (2 * furthest + 1)).floor().long() - furthest
    return image.gather(dim, source.clamp(0, side - 1).expand_as(image)) * ((source >= 0) & (source < side))


def within(image, u, dim):
    """Whether a row or column (n, 1, ...) lies in the square that is cut out, whose middle is anywhere."""
    side = image.shape[dim]
    size = int(side * CUT + 0.5)
    first = (u * (side + 1 - size % 2)).floor() - size // 2
    return (positions(image, dim) >= first) & (positions(image, dim) < first + size)


def positions(image, dim):
    """0, 1, ... along a dimension of the images, 1 long in the others."""
    return torch.arange(image.shape[dim], device=image.device).view([-1 if each == dim else 1 for each in range(4)])
