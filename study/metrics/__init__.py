"""Measures of generative image models: pure functions of tensors, computed on the device the tensors are on."""

import math

AT_ONCE = 2**22  # elements of a distance or kernel matrix held at a time: 32 MB of float64
IN_CACHE = 2**17  # those that a processor's cache holds: 1 MB, for what passes over them more than once


PAIRED = 5_000  # vectors at most of either side where every one is compared with every other


class Unmeasurable(ValueError):
    """The samples do not allow the measure: not finite, or too few. Never a silent NaN."""


def row_chunks(x, columns, at_once=AT_ONCE):
    """Split the rows of x (n, ...) so that a matrix of rows times `columns` stays within `at_once` elements."""
    return x.split(max(1, at_once // max(columns, 1)))


def check(*samples, at_least=2):
    """Raise Unmeasurable unless every tensor (n, ...) is finite and has n >= at_least."""
    for x in samples:
        if len(x) < at_least:
            raise Unmeasurable(f"{len(x)} samples are too few, at least {at_least} are needed")
        if not math.isfinite(x.sum().item()) and not x.isfinite().all():
            raise Unmeasurable("the samples are not finite")
