"""What every measure says about generators whose defect is known, beside what real images score.

python benchmarks/measures.py [--data-dir data] [--markdown docs/measures.md]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch

from study.cli import run_command
from study.data import digits, mnist
from study.data.datasets import data_folder
from study.metrics import features
from study.metrics.evaluation import Evaluation
from study.metrics.real_baseline import real_baseline

COLUMNS = {  # key -> heading
    "quality/fd_rel": "fd_rel",
    "quality/kid": "kid",
    "quality/sharpness": "sharpness",
    "quality/precision": "precision",
    "quality/recall": "recall",
    "quality/density": "density",
    "quality/coverage": "coverage",
    "quality/swd": "swd",
    "quality/swd_pixel": "swd_pixel",
    "modes/label_jsd": "label_jsd",
    "modes/classes": "classes",
    "modes/train_on_samples": "trained on samples",
    "two_sample/accuracy": "two-sample accuracy",
    "two_sample/jsd": "two-sample jsd",
    "memory/nn_ratio": "nn_ratio",
    "memory/authenticity": "authenticity",
}


def repeated(x, n):
    """x (m, ...) over and over until there are n."""
    return x[torch.arange(n) % len(x)]


def class_means(x, labels, n):
    return repeated(torch.stack([x[labels == label].mean(0) for label in labels.unique()]), n)


def blurred(x):
    """Every pixel the mean of the 3 x 3 around it."""
    return torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def noisy(x, size):
    return (x + size * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)


def generators(images, n):
    """Name -> n samples (n, C, H, W) made of at most n training images, of one defect each."""
    order = torch.randperm(len(images.train.images), generator=torch.Generator().manual_seed(0))[:n]
    x, labels = images.scaled(images.train.images[order]), images.train.labels[order]
    some = repeated(x, n)
    return {
        "copies of training images": some,
        "copies with a little noise": noisy(some, 0.05),
        "one class missing": repeated(x[labels != 0], n),
        "three classes only": repeated(x[labels < 3], n),
        "ten images repeated": repeated(x[:10], n),
        "one image repeated": repeated(x[:1], n),
        "class means": class_means(x, labels, n),
        "blurred images": blurred(some),
        "sharpened images": (2 * some - blurred(some)).clamp(0, 1),
        "half the contrast": some / 2,
        "uniform noise": torch.rand(some.shape, generator=torch.Generator().manual_seed(0)),
    }


def measured(dataset, data_dir):
    """Name -> measures of every generator; real images that were neither trained on nor compared with come first."""
    images = dataset.prepare(data_dir)
    with tempfile.TemporaryDirectory() as folder:
        extractor = features.prepare(dataset, images, folder)
    evaluation = Evaluation(images, extractor, "search")
    made = generators(images, evaluation.samples)
    real = {name: mean for name, (mean, _) in real_baseline(images, extractor, "search").measures.items()}
    return {"real, unseen": real, **{name: evaluation.of_samples([made[name]]) for name in made}}


def rows(table):
    yield ["generator", *COLUMNS.values()]
    for name, measures in table.items():
        yield [name, *(f"{measures[key]:.3f}".rstrip("0").rstrip(".") if key in measures else "" for key in COLUMNS)]


def markdown(table):
    heading, *body = ("| " + " | ".join(row) + " |" for row in rows(table))
    return "\n".join([heading, "|---" + "|---:" * len(COLUMNS) + "|", *body])


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the tables there")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    data_dir, parts = data_folder(options.data_dir), [PREFACE]
    for dataset in (digits, mnist):
        if not dataset.is_available(data_dir):
            continue
        start, table = time.perf_counter(), measured(dataset, data_dir)
        parts.append(f"## {dataset.name}\n\n{markdown(table)}")
        print(f"{parts[-1]}\n\n{time.perf_counter() - start:.1f} s\n")
    if options.markdown:
        options.markdown.write_text("\n\n".join(parts) + "\n")
    return 0


PREFACE = """# What the measures see

Generators whose defect is known, made of training images, held against the validation split. The first row is the
real baseline: other held-out images as if they were samples, the mean over random divisions of all
of them (study/metrics/real_baseline.py).
Written by `python benchmarks/measures.py --markdown docs/measures.md`; definitions, units and sources are in the
docstrings of `study/metrics/`. Lower is better for fd_rel, kid, swd, label_jsd and two-sample jsd; higher for
precision, recall, density, coverage, classes and trained on samples; two-sample accuracy is best at .5, sharpness and
nn_ratio at about 1, and authenticity no lower than that of the first row.

No column catches every defect, so the study never reports one alone: copies pass all but the memory measures, class
means have full precision and, on digits, a small fd_rel, noise can fall among the real features of a classifier, and the
precision of blurred MNIST is that of real images, whose sharpness it has not."""

if __name__ == "__main__":
    sys.exit(run_command(main))
