"""What a trained judge can tell apart: logistic regression on features, a GAN's discriminator, a Wasserstein critic."""

import math
import warnings
from collections.abc import Callable

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn import functional as F

from study.metrics import Unmeasurable, check

STEPS = 50  # of L-BFGS at most towards the classes: more cost time and fit what does not carry over


def two_sample(real: Tensor, fake: Tensor, folds: int = 2, seed: int = 0) -> dict[str, float]:
    """Accuracy and Jensen-Shannon bound of a logistic regression that tells features (n, d) and (m, d) apart.

    Two-fold held out, at equal numbers (the larger set is cut). accuracy: .5 when the sets cannot be told apart, 1 when
    they always can (Lopez-Paz & Oquab 2017). jsd: a lower bound in bits, at most 1, below 0 when the judge only
    overfits; the same bound for every family of models. Standardise the features first.
    """
    from sklearn.linear_model import LogisticRegression  # here, since a plan is shown without the second that it takes

    n = min(len(real), len(fake))
    check(real, fake, at_least=2 * folds)
    x = torch.stack([real[:n], fake[:n]]).double().cpu().numpy()  # (2, n, d)
    held = np.random.default_rng(seed).permutation(n) % folds
    scores = np.empty((2, n))
    with threadpool_limits(1, "blas"):  # for so small a problem more threads only wait for each other
        for fold in range(folds):
            seen = x[:, held != fold]
            judge = LogisticRegression(C=0.1, max_iter=200)
            judge.fit(np.concatenate(seen), np.repeat([1, 0], seen.shape[1]))
            scores[:, held == fold] = [judge.decision_function(side[held == fold]) for side in x]
    real_logits, fake_logits = torch.from_numpy(scores)
    return {
        "accuracy": ((real_logits > 0).double().mean() + (fake_logits < 0).double().mean()).item() / 2,
        "jsd": discriminator_jsd(real_logits, fake_logits),
    }


def linear_probe(latents: Tensor, labels: Tensor, folds: int = 2, seed: int = 0) -> float:
    """Share of images whose class (n,) a logistic regression tells from their latents (n, d): the linear probe of Alain & Bengio
    2016, two-fold held out. Chance is the share of the largest class. The latents are not standardised: in the units of their
    prior N(0, 1) one that is not used hardly varies, and so tells hardly anything.
    """
    check(latents, at_least=2 * folds)
    latents, labels = latents.cpu(), labels.cpu()
    held = torch.from_numpy(np.random.default_rng(seed).permutation(len(latents)) % folds)
    parts = [(held != fold, held == fold) for fold in range(folds)]
    return sum(class_accuracy(latents[seen], labels[seen], latents[new], labels[new]) for seen, new in parts) / folds


def class_accuracy(x: Tensor, labels: Tensor, others: Tensor, other_labels: Tensor) -> float:
    """Share of vectors `others` (m, d) of which a multinomial logistic regression that is fitted to x (n, d) and their classes
    `labels` (n,) tells the class (m,)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    check(x, others, at_least=1)
    if len(labels.unique()) == 1:  # what it was taught is then all that it says
        return (other_labels == labels[0]).double().mean().item()
    with threadpool_limits(1, "blas"), warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        judge = LogisticRegression(max_iter=STEPS).fit(x.cpu().double().numpy(), labels.cpu().numpy())
        return float((judge.predict(others.cpu().double().numpy()) == other_labels.cpu().numpy()).mean())


def discriminator_jsd(real_logits: Tensor, fake_logits: Tensor) -> float:
    """The bound 1 + (E log2 s(d(real)) + E log2 s(-d(fake))) / 2 on the Jensen-Shannon divergence: bits, at most 1.

    Goodfellow et al. 2014, eq. 4 and theorem 1, from a discriminator's logits (n,) and (m,). Only on held-out real
    images: on its own training images a discriminator can report .9998 bits between identical distributions.
    """
    check(real_logits, fake_logits, at_least=1)
    nats = F.logsigmoid(real_logits.double()).mean() + F.logsigmoid(-fake_logits.double()).mean()
    return 1 + nats.item() / (2 * math.log(2))


def critic_w1(real_scores: Tensor, fake_scores: Tensor) -> float:
    """The critic's estimate of the 1-Wasserstein distance from scores (n,) and (m,): raw, in the critic's own scale.

    Arjovsky et al. 2017, eq. 2. A clipped critic's scale follows the clip value: divide by `largest_slope`.
    """
    check(real_scores, fake_scores, at_least=1)
    return real_scores.double().mean().item() - fake_scores.double().mean().item()


def largest_slope(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, seed: int = 0) -> float:
    """The largest gradient norm of critic(x) -> (n,) at real images, fakes and points between, per unit of pixels."""
    n = min(len(real), len(fake))
    between = torch.rand(n, generator=torch.Generator().manual_seed(seed)).to(real.device)
    mixed = real[:n].lerp(fake[:n], between.view(n, *[1] * (real.dim() - 1)))
    return max(_slopes(critic, part).max().item() for x in (real[:n], fake[:n], mixed) for part in x.split(64))


def _slopes(critic, x):
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        return torch.autograd.grad(critic(x).sum(), x)[0].flatten(1).norm(dim=1)


def normalised_w1(raw: float, slope: float) -> float:
    """The estimate of a critic scaled to a largest slope of 1 where it was looked at, in Euclidean pixel distance."""
    if slope <= 0:
        raise Unmeasurable("the critic is flat: its estimate has no scale")
    return raw / slope
