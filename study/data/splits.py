"""Which images are for training, validation and test: stratified, and the same on every machine."""

import numpy as np

SEED = 0


def divide(raw, one_in):
    """{array name: (array, rows)} of the three splits of sources.Raw; one_in: of so many training images one validates.

    A set without a test part is divided 60 / 20 / 20. Rows come in shuffled order.
    """
    if raw.test is None:
        train, test = split_off(raw.train.labels, len(raw.train.images), 5)
        one_in = 4  # of the four fifths left
        parts = {"test": (raw.train, test)}
    else:
        train = np.arange(len(raw.train.images))
        parts = {"test": (raw.test, split_off(raw.test.labels, len(raw.test.images), 1)[1])}
    labels = None if raw.train.labels is None else raw.train.labels[train]
    kept, taken = split_off(labels, len(train), one_in)
    parts |= {"train": (raw.train, train[kept]), "validation": (raw.train, train[taken])}
    arrays = {name: (part.images, rows) for name, (part, rows) in parts.items()}
    labelled = {name: part for name, part in parts.items() if part[0].labels is not None}
    return arrays | {f"{name}_labels": (part.labels, rows) for name, (part, rows) in labelled.items()}


def split_off(labels, count, one_in):
    """Shuffled indices (kept, taken) of `count` images: ceil(count / one_in) are taken, each class its due share."""
    # RandomState, because NumPy promises that its stream never changes; that of default_rng may.
    random = np.random.RandomState(SEED)
    order = random.permutation(count)
    shuffled = np.zeros(count, np.int64) if labels is None else labels[order]
    wanted = -(-count // one_in)
    due = np.bincount(shuffled) * wanted / count
    shares = np.floor(due).astype(int)
    # The classes with the largest remainders give one more until all that is wanted is taken.
    shares[np.argsort(shares - due, kind="stable")[: wanted - shares.sum()]] += 1
    taken = np.zeros(count, bool)
    for label, share in enumerate(shares):
        taken[np.flatnonzero(shuffled == label)[:share]] = True
    # Shuffled again: what was taken came from the start of the order, which leaves the other classes there.
    return random.permutation(order[~taken]), random.permutation(order[taken])
