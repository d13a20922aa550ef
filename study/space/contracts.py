"""What a model, a net, a dataset and its source must offer."""

PARTS = {
    "model": ("__name__", "__mro__", "sample"),
    "net": ("name", "encoder", "decoder"),
    "dataset": ("name", "slug", "is_available", "prepare"),
    "source": ("__mro__", "name", "roots", "read"),
}  # what each must have


def is_made_like(thing, word: str) -> bool:
    return all(hasattr(thing, part) for part in PARTS[word])
