"""What spaces of published systems share: their cells on other images, how long a quick look takes, equal weights.

The rule by which a system moves to smaller images, such as the embedded digits: the width of every layer and every side
that a decoder passes through is multiplied by the ratio of the images' sides and rounded, widths to no less than 8, and
convolutions are padded, so that something is left of the images. Depth, latent sizes and all other settings stay. On
larger images, and on a folder's, whose size is not known before they are read, the layers stay as they are.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from study.errors import UserError

NARROWEST = 8  # units or channels: below, a layer is no longer the one that was published
QUICK_EPOCHS, QUICK_BATCH = 60, 32  # on digits: 33 steps per epoch, seconds per training
TOLERANCE = 0.02  # by how much matched parameter counts may differ


def moved(cell, dataset):
    """The cell on another dataset; the layers of a system shrink with the images."""
    if not cell.system or not (cell.dataset.size and dataset.size) or dataset.size >= cell.dataset.size:
        return replace(cell, dataset=dataset)
    return replace(cell, dataset=dataset, settings=shrunk(cell.settings, dataset.size / cell.dataset.size))


def shrunk(settings: Mapping, ratio: float) -> dict:
    return changed(
        settings,
        {
            "width": each(lambda width: max(min(width, NARROWEST), round(width * ratio))),
            "sides": lambda sides: shrunk_sides(sides, ratio),
            "padded": lambda _: True,
        },
    )


def shrunk_sides(sides: Sequence[int], ratio: float) -> list[int]:
    """Sides at least 1 that grow to at most their double at a step, as any kernel can make them, or not at all."""
    found = [max(1, round(sides[0] * ratio))]
    for side in sides[1:]:
        side = min(round(side * ratio), 2 * found[-1])
        found.append(side if side > 1.5 * found[-1] else found[-1])
    return found


def changed(settings: Mapping, rules: Mapping[str, Callable]) -> dict:
    """Settings with a rule applied to every value under its name, on either side of the model."""
    return {
        name: changed(value, rules) if isinstance(value, Mapping) else rules[name](value) if name in rules else value
        for name, value in settings.items()
    }


def each(rule: Callable) -> Callable:
    """The rule, for one value or for each of a list."""
    return lambda value: list(map(rule, value)) if isinstance(value, list | tuple) else rule(value)


def moved_to(cells: Sequence, dataset) -> list:
    """The cells moved to another dataset, every combination once. A system that was published on several datasets
    moves from the first, so that all its cells shrink alike."""
    first, found = {}, {}
    for cell in cells:
        if not cell.system or cell.dataset == first.setdefault(cell.system, cell.dataset):
            new = moved(cell, dataset)
            found.setdefault(new.name, new)
    return list(found.values())


def shortened(budget, cell):
    """A report's budget, or on the digits that of a quick look."""
    if cell.dataset.source.name != "digits":
        return budget
    return replace(budget, epochs=min(budget.epochs, QUICK_EPOCHS), batch_size=min(budget.batch_size, QUICK_BATCH))


def match_parameters(cells: Sequence, alike=("dataset", "net", "depth", "latent_dim")) -> list:
    """The cells, with as many parameters as the first of those that are equal in the factors `alike`, within 2 %.

    Every width of a cell is multiplied by one factor and rounded. Raises UserError where whole widths come no nearer,
    and ValueError for a dataset that does not say its images' shape, which a folder does not.
    """
    targets, matched = {}, []
    for cell in cells:
        group = tuple(repr(getattr(cell, factor)) for factor in alike)
        if group not in targets:
            targets[group] = sum(parameters(cell).values())
        matched.append(resized(cell, targets[group]))
    return matched


def resized(cell, target: int):
    """The cell with its widths multiplied by the factor that brings it nearest to `target` parameters."""
    low, high, best, off = 1 / 64, 64.0, cell, beyond(cell, target)
    for _ in range(24):
        if abs(off) <= TOLERANCE / 20:
            break
        middle = (low * high) ** 0.5
        tried = widened(cell, middle)
        further = beyond(tried, target)
        low, high = (middle, high) if further < 0 else (low, middle)
        best, off = min((best, off), (tried, further), key=lambda each: abs(each[1]))
    if abs(off) > TOLERANCE:
        raise UserError(
            f"cell {cell.name}: no widths bring it within {TOLERANCE:.0%} of {target:,} parameters;"
            " wider layers can be matched more finely"
        )
    return best


def beyond(cell, target: int) -> float:
    """The share by which a cell has more parameters than `target`; below 0 where it has fewer."""
    return sum(parameters(cell).values()) / target - 1


def widened(cell, factor: float):
    """The cell with every width multiplied, those that its net has by default included."""
    sides = [cell.settings.get(side) or {} for side in ("encoder", "decoder")]
    by_default = (
        {} if all("width" in side for side in sides) else {"width": inspect.signature(cell.net.encoder).parameters["width"].default}
    )
    return replace(
        cell, settings=changed({**by_default, **cell.settings}, {"width": each(lambda width: max(1, round(width * factor)))})
    )


def parameters(cell) -> dict[str, int]:
    """Part of the cell's model (encoder, decoder, critic, generator) -> number of parameters."""
    import torch  # here: spaces are read without it

    if cell.dataset.shape is None:
        raise ValueError(f"the shape of the images of {cell.dataset.name} is not known before they are decoded")
    with torch.device("meta"):  # shapes without numbers: milliseconds for any size
        model = cell.build(cell.dataset.shape)
    counts = {}
    for name, value in model.named_parameters():
        part = name.split(".")[0]
        counts[part] = counts.get(part, 0) + value.numel()
    return counts
