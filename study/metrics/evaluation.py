"""What is measured when: the objective while a model is trained, everything at the end; the real side is computed once.

During the search models are held against the validation split, in the confirm stage against the test split.
A measure that has no value (samples that are not finite, a dataset without classes, a loss that is no likelihood) is
absent from the dictionary, never NaN.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from study.errors import UserError
from study.metrics import PAIRED, Unmeasurable, check, coverage, critics, distances, likelihood, memorisation, paths
from study.metrics.catalogue import AVERAGED, OBJECTIVE, OVER_IMAGES
from study.metrics.reference import Reference
from study.metrics.sharpness import sharpness

STAGES = {  # the split held against, the other one that is not trained on, samples at most, images with an iw_nll
    "search": ("validation", "test", 2_500, 50),
    "confirm": ("test", "validation", 10_000, 1_000),
}
SAMPLES = 2_500  # and at least: more only where there are as many real images to hold them against
HELD_OUT = 1_000  # images at most for likelihoods, critics and memorisation
TAUGHT = 1_000  # samples at most that real images are classified by
VALUES = 2**27  # pixel values at most in all samples together: bounds their number at 160 pixels a side to 1,747
IMPORTANCE_VALUES = 2**18  # pixel values of the images with an iw_nll: 334 of 28 x 28, else it would take as long as training
CHUNK = 2**20  # pixel values decoded at a time


class SampleFeatures(NamedTuple):
    """All that is kept of a set of images; the images themselves are not, so that any number of them fits."""

    features: Tensor  # (n, d)
    labels: Tensor | None  # (n,) classes as the classifier sees them; None without classes
    pixels: Tensor  # (n, at most memorisation.VALUES), averaged over squares where the images are larger
    sharpness: Tensor  # (n,)


def samples_of(images, stage: str, split=None) -> int:
    """How many samples of a model are held against the stage's split of a dataset, or another one."""
    name, _, most, _ = STAGES[stage]
    real = len((split or getattr(images, name)).images)
    return min(most, max(real, SAMPLES), VALUES // math.prod(images.shape))


class Evaluation:
    """Every measure of the models of one dataset, on its images' device; UserError for images that allow none."""

    def __init__(self, images, extractor, stage, samples: int = 0, against: str = "", draws: int = likelihood.DRAWS):
        """samples: of a model, against at most as many real images, 0: as many as the stage takes; against: the split of these;
        draws: of the posterior of an image, for its likelihood."""
        self.images, self.extractor, self.device = images, extractor, images.train.images.device
        split_name, other, _, importance_images = STAGES[stage]
        split_name = against or split_name
        self.importance_images = min(importance_images, max(1, IMPORTANCE_VALUES // math.prod(images.shape)))
        self.split, self.other = getattr(images, split_name), getattr(images, other)
        self.samples, self.draws = samples or samples_of(images, stage, self.split), draws
        self.trained_on = split_name == "train"
        if len(self.split.images) <= coverage.NEIGHBOURS:
            raise UserError(
                f"the {split_name} split has {len(self.split.images)} images: measuring needs at least {coverage.NEIGHBOURS + 1}"
            )
        self.real = images.scaled(self.split.images[:HELD_OUT])  # the images to reconstruct, (n, C, H, W) in [0, 1]
        self.held_out = self._summary(self.scaled(self.split.images[: self.samples]))
        self._learnt_from_real = cache(lambda n: self._learnt(self._train[:n], images.train.labels[:n]))
        self.features, self.pixels = Reference(self.held_out.features), Reference(self.held_out.pixels)
        if self.features.moments.spread <= 0:
            raise UserError(f"the images of the {split_name} split are all alike: nothing can be measured against them")

    def noise(self, latent_dim: int) -> Tensor:
        """The fixed latents (samples, latent_dim) that every model of that latent size is measured on."""
        generator = torch.Generator().manual_seed(latent_dim)
        return torch.randn(self.samples, latent_dim, generator=generator).to(self.device)

    def objective(self, samples: Tensor) -> dict[str, float]:
        """quality/fd and quality/fd_rel of one replica's samples (n, C, H, W); empty when they are not finite."""
        try:
            check(samples)
            return self._frechet(distances.moments(self.extractor(samples)))
        except Unmeasurable:
            return {}

    def everything(self, models: Iterable[nn.Module]) -> list[dict[str, float]]:
        """All measures of each model, which is on the images' device and in eval mode."""
        return [self.of_model(model) for model in models]

    @torch.no_grad()
    def of_model(self, model: nn.Module) -> dict[str, float]:
        """All measures of one model in eval mode: those of its samples, and what else it allows (study/space/contracts.py)."""
        if self.trained_on:  # nothing else makes sense against images that it has seen
            return self._measured_of(self._samples(model), [self._quality])
        measures = self.of_samples(self._samples(model)) | _measured(self._between_draws, model)
        if getattr(model, "average", None):
            measures |= _measured(self._of_average, model)
        if hasattr(model, "posterior"):
            measures |= _measured(self._between_images, model)
        if has_likelihood(model):
            measures |= _measured(self._of_posterior, model)
        if hasattr(model, "log_prob") and not self.images.binarised:
            measures |= _measured(self._exact_likelihood, model)
        if hasattr(model, "discriminate"):
            measures |= _measured(self._of_critic, model)
        return measures

    @torch.no_grad()
    def over_training(self, model: nn.Module) -> dict[str, float]:
        """What reports show of a model after one epoch and another: fidelity, coverage, classes, the divergence that judges prove
        and the losses on images that it is not trained on."""
        try:
            fake = self._summary(self._samples(model))
        except Unmeasurable:
            return {}
        measures = self._near(fake, distances.moments(fake.features)) | self._modes(fake) | _measured(self._two_sample, fake)
        if has_likelihood(model):
            measures |= _measured(self._bound, model)
        if hasattr(model, "discriminate"):
            measures |= _measured(self._of_critic, model)
        return measures

    def _samples(self, model: nn.Module, sample: Callable | None = None) -> Iterator[Tensor]:
        return map(sample or model.sample, self.noise(model.latent_dim).split(self._at_once))

    @torch.no_grad()
    def of_samples(self, chunks: Iterable[Tensor]) -> dict[str, float]:
        """The measures that need samples only, given as an iterable of images (n, C, H, W) in [0, 1]."""
        return self._measured_of(chunks, [self._quality, self._modes, self._lesson, self._two_sample, self._memory])

    def _measured_of(self, chunks: Iterable[Tensor], measures: Sequence[Callable]) -> dict[str, float]:
        try:
            fake = self._summary(chunks)
        except Unmeasurable:
            return {}
        return {name: value for measure in measures for name, value in _measured(measure, fake).items()}

    @torch.no_grad()
    def distance_and_modes(self, chunks: Iterable[Tensor]) -> dict[str, float]:
        """Of the measures of samples those in which every sample counts once, whatever the number of real images."""
        fake = self._summary(chunks)
        return {**self._frechet(distances.moments(fake.features)), **self._modes(fake)}

    @torch.no_grad()
    def class_shares(self, model: nn.Module) -> tuple[Tensor, Tensor] | None:
        """Share (classes,) of each class among the real images and among samples of a model; None where there are no classes or
        the samples are not finite."""
        if self.extractor.head is None:
            return None
        labels = []
        for samples in self._samples(model):
            if not samples.isfinite().all():
                return None
            labels.append(self.extractor.classify(samples))
        return self._shares(torch.cat(labels))

    def nearest(self, samples: Tensor) -> Tensor:
        """The training images (n, C, H, W) nearest to samples of the same shape, by pixels."""
        indices = memorisation.nearest(memorisation.pixels(samples), self._train)[1]
        return self.images.scaled(self.images.train.images[indices])

    @property
    def _at_once(self) -> int:
        """Images that are decoded together: more would not fit into memory where they are large."""
        return max(1, CHUNK // math.prod(self.images.shape))

    def scaled(self, images: Tensor) -> Iterator[Tensor]:
        """Images (n, C, H, W) of the dataset in [0, 1], in pieces that may be decoded at a time."""
        return (self.images.scaled(chunk) for chunk in images.split(self._at_once))

    def _summary(self, chunks: Iterable[Tensor]) -> SampleFeatures:
        parts = []  # of every chunk: features (c, d), labels (c,) or None, pixels (c, p), sharpness (c,)
        for x in chunks:
            check(x, at_least=1)  # of the images, since features may hide that they are not finite
            parts.append((*self.extractor.both(x), memorisation.pixels(x), sharpness(x)))
        if not parts:
            raise Unmeasurable("there are no samples")
        return SampleFeatures(*(None if column[0] is None else torch.cat(column) for column in zip(*parts)))

    def _frechet(self, fake: distances.Moments):
        fd = distances.fd(self.features.moments, fake)
        published = {"quality/fid": fd} if self.extractor.kind == "inception" else {}
        return {"quality/fd": fd, "quality/fd_rel": distances.fd_rel(self.features.moments, fd), **published}

    def _near(self, fake: SampleFeatures, moments: distances.Moments) -> dict[str, float]:
        """How near samples come to the real images, and how many of these they cover."""
        shares = coverage.prdc(self.features, fake.features)
        return {**self._frechet(moments), **{f"quality/{name}": value for name, value in shares.items()}}

    def _of_average(self, model: nn.Module) -> dict[str, float]:
        """How near samples by averaged weights come, and how much they cover."""
        fake = self._summary(self._samples(model, model.sample_averaged))
        near = self._near(fake, distances.moments(fake.features))
        return {key: near[same] for key, same in AVERAGED.items()}

    def _quality(self, fake: SampleFeatures):
        moments = distances.moments(fake.features)
        near = self._near(fake, moments)
        return {
            **near,
            OVER_IMAGES: distances.fd_rel_deviation(self.features, moments, near[OBJECTIVE]),
            "quality/kid": distances.kid(self.features, fake.features),
            "quality/sharpness": (fake.sharpness.mean() / self.held_out.sharpness.mean()).item(),
            "quality/swd": distances.swd(self.features, fake.features),
            "quality/swd_pixel": distances.swd(self.pixels, fake.pixels),
        }

    def _modes(self, fake: SampleFeatures) -> dict[str, float]:
        if fake.labels is None:
            return {}
        real, generated = self._shares(fake.labels)
        return {"modes/label_jsd": coverage.label_jsd(real, generated), "modes/classes": coverage.classes(generated)}

    def _shares(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Share (classes,) of each class: of real images by their true classes, of generated ones by `labels` (n,), which are
        those that the classifier sees."""
        count = len(self.images.classes)
        return coverage.shares(self.split.labels.to(self.device), count), coverage.shares(labels, count)

    def _lesson(self, fake: SampleFeatures) -> dict[str, float]:
        """What samples, labelled by the classifier, teach of the classes of real images, over what as many real images teach."""
        if fake.labels is None:
            return {}
        n = min(TAUGHT, len(fake.labels), len(self._train))
        learnt, by_real = self._learnt(fake.pixels[:n], fake.labels[:n]), self._learnt_from_real(n)
        if by_real == 0:
            raise Unmeasurable("as many real images teach nothing either")
        return {"modes/train_on_samples": learnt / by_real}

    def _learnt(self, pixels: Tensor, labels: Tensor) -> float:
        """Share of held-out images that are of the class (n,) of the nearest of the pixels (n, p). A classifier with parameters
        would learn the labelling itself: taught with noise, a logistic regression tells .81 of the digits, this one .28."""
        nearest = memorisation.nearest(self.held_out.pixels[:HELD_OUT], pixels)[1]
        right = labels.to(self.device)[nearest] == self.split.labels[: len(self.real)].to(self.device)
        return right.double().mean().item()

    def _two_sample(self, fake):
        judged = critics.two_sample(self.features.standardised, self.features.standardise(fake.features[:PAIRED]))
        return {f"two_sample/{name}": value for name, value in judged.items()}

    def _memory(self, fake):
        held_out, held_out_authenticity = self._held_out_memory
        apart, authenticity = self._closeness(fake)
        return {
            "memory/nn_ratio": memorisation.nn_ratio(apart, held_out),
            "memory/authenticity": authenticity,
            "memory/authenticity_held_out": held_out_authenticity,
        }

    @cached_property
    def _held_out_memory(self) -> tuple[Tensor, float]:
        """The closeness of real images that no model was trained on, which that of samples is held against."""
        return self._closeness(self.held_out)

    @cached_property
    def _train(self) -> Tensor:
        """The pixels (N, p) of all training images, as float32 in [0, 1]."""
        return torch.cat([memorisation.pixels(x) for x in self.scaled(self.images.train.images)])

    def _closeness(self, images: SampleFeatures) -> tuple[Tensor, float]:
        """Distance (at most HELD_OUT,) of images to the nearest training image, and their authenticity."""
        apart, indices = memorisation.nearest(images.pixels[:HELD_OUT], self._train)
        return apart, memorisation.authenticity(apart, memorisation.spacing(indices, self._train))

    def _between_draws(self, model) -> dict[str, float]:
        a, b = self.noise(model.latent_dim)[: 2 * paths.PATHS].chunk(2)
        return {f"path/{name}": value for name, value in self._along(model, a, b).items()}

    def _between_images(self, model) -> dict[str, float]:
        a, b = model.posterior(self.real[: 2 * min(paths.PATHS, len(self.real) // 2)])[0].chunk(2)
        return {f"path_real/{name}": value for name, value in self._along(model, a, b).items()}

    def _along(self, model, a: Tensor, b: Tensor) -> dict[str, float]:
        """Of the images on the paths between latents a and b, each (n, d): what of them lies among real images and is
        recognised, without the ends, and how evenly they change."""
        features, confidence = [], []
        for z in paths.latent_path(a, b, paths.STEPS).split(self._at_once):
            check(x := model.sample(z), at_least=1)
            found, scores = self.extractor.scored(x)
            features.append(found)
            confidence += [] if scores is None else [scores.softmax(1).amax(1)]
        of_path = torch.cat(features).unflatten(0, (len(a), paths.STEPS))
        found = {
            "precision": coverage.precision(self.features, of_path[:, 1:-1].flatten(0, 1)),
            "largest_jump": paths.largest_jump(of_path),
        }
        if confidence:
            found["confidence"] = torch.cat(confidence).unflatten(0, (len(a), paths.STEPS))[:, 1:-1].mean().item()
        return found

    def _of_posterior(self, model):
        x, means = self._likelihood_images(self.real), self.posterior_means(model)
        weight = {"likelihood/beta_effective": model.beta_effective} if hasattr(model, "beta_effective") else {}
        return {
            **self._bound(model),
            **self._class_kept(model, x, means),
            **self._probe(means),
            **self._importance_weighted(model),
            "likelihood/active_units": likelihood.active_units(means),
            **weight,
        }

    def _bound(self, model) -> dict[str, float]:
        x, noise = self._likelihood_images(self.real), self.noise(model.latent_dim)[: len(self.real)]
        bound = likelihood.elbo(x, model.posterior, model.log_likelihood, noise)
        return {f"likelihood/{name}": value for name, value in bound.items()}

    def _class_kept(self, model, x: Tensor, means: Tensor) -> dict[str, float]:
        """The share of images (n, C, H, W) that the classifier puts into the same class when decoded from their means (n, d)."""
        if self.extractor.head is None:
            return {}
        again = []
        for z in means.split(self._at_once):
            check(decoded := model.sample(z), at_least=1)
            again.append(self.extractor.classify(decoded))
        return {"likelihood/class_kept": (torch.cat(again) == self.extractor.classify(x)).double().mean().item()}

    @property
    def real_labels(self) -> Tensor | None:
        """The classes (n,) of `real`, where there are any."""
        return None if self.extractor.head is None else self.split.labels[: len(self.real)]

    @torch.no_grad()
    def posterior_means(self, model: nn.Module) -> Tensor:
        """Where a model with a posterior puts `real`: (n, latent_dim)."""
        x = self._likelihood_images(self.real)
        return torch.cat([model.posterior(part)[0] for part in x.split(self._at_once)])

    def _probe(self, means: Tensor) -> dict[str, float]:
        labels = self.real_labels
        return {} if labels is None else _measured(lambda x: {"likelihood/probe_accuracy": critics.linear_probe(x, labels)}, means)

    def _likelihood_images(self, x):
        return binarised(x) if self.images.binarised else x

    def _importance_weighted(self, model):
        """Of the probability of binarised images under Bernoulli pixels, or of the density of dequantised grey levels
        under the other likelihoods. Cross-entropy of grey levels is neither, so a Bernoulli model that was trained on
        them is asked for the probability of the binarised held-out images too. Other models of binarised images: none."""
        bits_only = getattr(model, "binary_pixels", False)
        if self.images.binarised and not bits_only:
            return {}
        levels = None if bits_only else self.images.levels
        real = self.real[: self.importance_images]
        x = likelihood.dequantised(real, levels) if levels else binarised(real)
        return self._nll(likelihood.iw_nll(x, model.posterior, model.log_likelihood, self.draws), levels)

    def _exact_likelihood(self, model):
        """Of the density of dequantised grey levels, as models with a bound of it are measured, without a bound."""
        x = likelihood.dequantised(self.real, self.images.levels)
        return self._nll(-torch.cat([model.log_prob(part) for part in x.split(self._at_once)]), self.images.levels)

    def _nll(self, nats: Tensor, levels: int | None) -> dict[str, float]:
        """Of the negative log-likelihoods (n,) of images."""
        nll = nats.mean().item()
        return {
            "likelihood/iw_nll": nll,
            "likelihood/bits_per_dim": likelihood.bits_per_dim(nll, math.prod(self.images.shape), levels),
        }

    def _of_critic(self, model):
        real, noise = self.real, self.noise(model.latent_dim)[: len(self.real)]
        fake = torch.cat([model.sample(z) for z in noise.split(self._at_once)])
        scores = [torch.cat([model.discriminate(part) for part in x.split(self._at_once)]) for x in (real, fake)]
        estimated = getattr(model, "critic_estimates", "")
        if estimated == "jensen_shannon":
            return {"diagnostics/jsd_discriminator": critics.discriminator_jsd(*scores)}
        if estimated != "wasserstein":
            return {}
        raw, slope = critics.critic_w1(*scores), critics.largest_slope(model.discriminate, real, fake)
        return {"diagnostics/w1_critic": raw, "diagnostics/w1_critic_scaled": critics.normalised_w1(raw, slope)}


def has_likelihood(model: nn.Module) -> bool:
    return hasattr(model, "posterior") and hasattr(model, "log_likelihood")


def binarised(x):
    """Images (n, C, H, W) drawn once from their grey levels, the same way for every model (Salakhutdinov & Murray 2008)."""
    return torch.bernoulli(x.cpu(), generator=torch.Generator().manual_seed(0)).to(x.device)


def _measured(measure, argument):
    """The measures that have a finite value."""
    try:
        values = measure(argument)
    except Unmeasurable:
        return {}
    return {name: value for name, value in values.items() if math.isfinite(value)}
