"""The words of a report: what each means, and a mark at its first mention in every section, which shows that beside it."""

import re
from collections.abc import Iterator

from markupsafe import Markup, escape

from study.metrics.catalogue import FIDELITY, described

COVERAGE_AND_MORE = ("quality/coverage", "quality/precision", "quality/recall", "quality/sharpness", "modes/label_jsd")
WORDS = {
    "fidelity": "how near samples are to real images, whatever part of them they show; measured by fd_rel",
    "replicate": "a cell tuned and trained once more with luck of its own; numbers are medians over replicates",
    "interval": "holds the true value in 95 of 100 studies like this one; other replicates would move a number within it",
    "margin": "the standard deviation over replicates of one cell: a smaller difference is less than luck alone makes",
    "paired": "of equal replicates on both sides, with all else the same: each pair gives one difference",
    "undecided": "these trainings prove neither the one nor the other",
    "supported": "the trainings prove that the claim holds, at a chance of 5 % that any such word in the table is false",
    "refuted": "the trainings prove that the claim does not hold, at a chance of 5 % that any such word in the table is false",
    "equal within the margin": "the difference is proved to be smaller than the margin, so that it does not matter in practice",
    "claim": "a statement that somebody published, or that this study was made to test",
    "cell": "one choice of everything that is compared: model, net, depth, latent size, dataset and settings",
    "settings": "what is fixed in a cell beside its shape, such as dropout or the width of layers",
    "family": "the models of one kind: all VAEs, all GANs, all WGANs",
    "VAE": "variational autoencoder: learns to write images into a few latent numbers and to read them back",
    "GAN": "generative adversarial network: a generator learns from a discriminator, which tells its images from real ones",
    "WGAN": "Wasserstein GAN: a GAN whose critic estimates a distance between generated and real images",
    "net": "the kind of layers: fc, fully connected; conv, convolutions",
    "depth": "number of hidden layers on either side of a model",
    "latent size": "how many numbers stand for an image; the model draws a new image from as many random ones",
    "samples": "images that a model draws from random numbers",
    "held-out images": "real images that no training and no choice has seen",
    "validation images": "real images by which hyperparameters are chosen; what looks good on them is a little flattered",
    "parameters": "weights that a model learns: its size",
    "factor": "what the cells differ in and the study asks about: a model, a net, a size or a setting",
    "diverged": "a training whose loss stopped being a finite number; it counts as the worst value",
    "collapsed": "a model that draws four classes or fewer",
    "proposal": "one choice of the hyperparameters that are tuned, such as a learning rate",
    "doublings": "base-2 logarithms: a difference of 1 is a factor of 2",
    "epoch": "one pass over all training images",
    "Holm's correction": "makes each word harder to get the more words are asked for, so that many tests find no more by chance",
    "two-sided": "a test that would have noticed a difference in either direction",
}


def measured(key: str) -> str:
    """What a measure says, and which way is better."""
    found = described(key)
    return f"{found.says}; {found.better} is better" if found.better else found.says


def glossary() -> dict[str, str]:
    """Term -> what it means."""
    nearest = f"how far samples are from real images as a frozen classifier sees both, 0 at best: {measured(FIDELITY)}"
    return WORDS | {"fd_rel": nearest} | {described(key).name: measured(key) for key in COVERAGE_AND_MORE}


ALIASES = {"latent": "latent size", "families": "family", "settings": "settings", "tunings": "replicate", "claims": "claim"}
TERMS = {term.lower(): term for term in glossary()}
WRITTEN = sorted([*TERMS, *ALIASES], key=len, reverse=True)
MENTION = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, WRITTEN))})(s?)(?![\w-])", re.IGNORECASE)
TAG = re.compile(r"(<[^>]*>)")
UNMARKED = {
    "a",
    "button",
    "code",
    "h1",
    "h2",
    "h3",
    "h4",
    "label",
    "nav",
    "script",
    "select",
    "style",
    "summary",
    "dfn",
    "dt",
    "dd",
}


def slug(term: str) -> str:
    return "term-" + re.sub(r"\W+", "-", term.lower())


def explained(html: str) -> Markup:
    """The same markup with the first mention of every term in each section marked."""
    return Markup("".join(marked(str(escape(html)))))


def marked(html: str) -> Iterator[str]:
    inside: list[str] = []  # elements whose text stays as it is
    seen: set[str] = set()
    for piece in TAG.split(html):
        if piece.startswith("<"):
            name = piece.strip("</> ").split()[0].lower()
            if name == "section":
                seen.clear()
            if name in UNMARKED:
                inside = inside[:-1] if piece.startswith("</") else [*inside, name]
            yield piece
        else:
            yield piece if inside else MENTION.sub(lambda found: mention(found, seen), piece)


def mention(found: re.Match, seen: set[str]) -> str:
    word = found[1].lower()
    term = ALIASES.get(word) or TERMS[word]
    if term in seen:
        return found[0]
    seen.add(term)
    return f'<dfn tabindex="0" aria-describedby="{slug(term)}">{found[0]}</dfn>'
