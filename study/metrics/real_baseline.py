"""What real images score as if a model had drawn them: the mean and deviation over repeated draws of held-out images.

Validation and test images are put together: no model and no extractor was trained on either. They are divided anew each
time, as many as a model is held against and the rest in place of its samples, since the splits themselves will not do:
each class has its due share in both, so that they are more alike than a model's samples can be. The Frechet distance and
the classes depend on numbers and on class shares too. For these both sides are drawn with replacement as models meet them:
real images with the class shares of their split, and as many samples as a model draws.
"""

from dataclasses import replace

import torch

from study.data.datasets import Split
from study.ledger.records import RealBaseline
from study.metrics.evaluation import STAGES, Evaluation

FEW, REPEATS = 2_000, (10, 3)  # up to so many held-out images ten draws, else three: more differ less and take minutes


def real_baseline(images, extractor, stage="confirm") -> RealBaseline:
    """The measures that every draw has, of images measured by that extractor."""
    judge = Evaluation(images, extractor, stage)
    repeats = REPEATS[len(judge.split.images) + len(judge.other.images) > FEW]
    rows = [score(judge, stage, torch.Generator().manual_seed(seed)) for seed in range(repeats)]
    shared = [name for name in rows[0] if all(name in row for row in rows)]
    columns = {name: torch.tensor([row[name] for row in rows], dtype=torch.float64) for name in shared}
    return RealBaseline(
        features=extractor.hash,
        measures={name: [column.mean().item(), column.std().item()] for name, column in columns.items()},
        repeats=repeats,
        real=len(judge.held_out.features),
        samples=min(len(judge.other.images), judge.samples),
        drawn=judge.samples,
    )


def score(judge, stage, generator) -> dict:
    """The measures of one division, those of a draw with replacement in place of its Frechet distance and classes."""
    images, both = judge.images, len(judge.split.images) + len(judge.other.images)
    divided = Evaluation(dealt(images, stage, torch.randperm(both, generator=generator)), judge.extractor, stage)
    real = like(judge.split.labels, judge.other.labels, len(judge.split.images), both, generator)
    samples = torch.randint(both, (judge.samples,), generator=generator)
    drawn = Evaluation(dealt(images, stage, torch.cat([real, samples])), judge.extractor, stage)
    return {
        **divided.of_samples(divided.scaled(divided.other.images[: judge.samples])),
        **drawn.distance_and_modes(drawn.scaled(drawn.other.images)),
    }


def like(labels, other_labels, count, both, generator):
    """`count` indices of all `both` images, drawn with replacement; of each class as many as among `labels`."""
    if labels is None:
        return torch.randint(both, (count,), generator=generator)
    known = torch.cat([labels, other_labels])
    sizes = known.bincount()
    place = (torch.rand(count, generator=generator) * sizes[labels]).long() + (sizes.cumsum(0) - sizes)[labels]
    return known.argsort()[place]


def dealt(images, stage, order):
    """The images with the first of `order` (of both held-out splits) as the split that models meet, the rest as the other."""
    names = STAGES[stage][:2]
    splits = [getattr(images, name) for name in names]
    pixels, count = torch.cat([split.images for split in splits]), len(splits[0].images)
    labels = None if splits[0].labels is None else torch.cat([split.labels for split in splits])
    parts = (Split(pixels[part], None if labels is None else labels[part]) for part in (order[:count], order[count:]))
    return replace(images, **dict(zip(names, parts)))
