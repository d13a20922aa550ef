"""Every family is measured by the same rules, on fixed noise, and what cannot be measured is absent instead of NaN."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from models.gan import GAN
from models.nets import conv, fc
from models.vae import VAE
from models.wgan import WGAN
from study.data import digits, named
from study.data.datasets import Images, Split
from study.errors import UserError
from study.metrics import distances, evaluation, features
from study.metrics.cost import cost, peak_memory_mb
from study.metrics.evaluation import Evaluation
from study.metrics.real_baseline import dealt, like, real_baseline
from study.metrics.reference import Reference
from study.training.image_grids import invert
from study.training.replicas import Replicas
from study.training.weights import plain

QUALITY = {
    f"quality/{name}"
    for name in (
        *("fd", "fd_rel", "fd_rel_over_images", "kid", "precision", "recall", "density", "coverage", "sharpness"),
        *("swd", "swd_pixel"),
    )
}
PATH = {"precision", "confidence", "largest_jump"}
COMMON = QUALITY | {
    "modes/label_jsd",
    "modes/classes",
    "modes/train_on_samples",
    "two_sample/accuracy",
    "two_sample/jsd",
    "memory/nn_ratio",
    "memory/authenticity",
    "memory/authenticity_held_out",
}
BETWEEN_DRAWS, BETWEEN_IMAGES = ({f"{path}/{name}" for name in PATH} for path in ("path", "path_real"))
VAE_ONLY = {
    "likelihood/class_kept",
    "likelihood/elbo",
    "likelihood/recon",
    "likelihood/kl",
    "likelihood/active_units",
    "likelihood/beta_effective",
    "likelihood/probe_accuracy",
}
VAE_ONLY |= BETWEEN_IMAGES
LIKELIHOOD = {"likelihood/iw_nll", "likelihood/bits_per_dim"}
W1 = {"diagnostics/w1_critic", "diagnostics/w1_critic_scaled"}


@pytest.fixture(scope="module")
def images(data_dir):
    return digits.prepare(data_dir, log=lambda line: None)


@pytest.fixture(scope="module")
def extractor(images, tmp_path_factory):
    return features.prepare(digits, images, tmp_path_factory.mktemp("features"))


@pytest.fixture(scope="module")
def search(images, extractor):
    return Evaluation(images, extractor, "search")


def builder(model, latent_dim=3, net=fc, **options):
    return lambda: model((1, 8, 8), net, 1, latent_dim, width=16, **options)


def trained(build, images, seeds=(1, 2), epochs=3):
    replicas = Replicas([build] * len(seeds), seeds)
    for _ in range(epochs):
        replicas.train_epoch(images.train.images, images.levels, 64, images.binarised)
    return replicas


def trained_models(build, images, seeds=(1, 2), epochs=3):
    return models_of(build, trained(build, images, seeds, epochs))


def models_of(build, replicas):
    return [plain(build, replicas.weights(k)) for k in range(replicas.K)]


class VAEGAN(nn.Module):
    """No subclass of either: a VAE's posterior, and a critic whose scores mean what `estimates` says."""

    def __init__(self, estimates):
        super().__init__()
        self.vae, self.critic = builder(VAE)(), builder(GAN)()
        self.latent_dim, self.critic_estimates = self.vae.latent_dim, estimates
        self.sample, self.posterior, self.log_likelihood = self.vae.sample, self.vae.posterior, self.vae.log_likelihood
        self.discriminate = self.critic.discriminate


@pytest.mark.parametrize(
    "estimates, own", [("jensen_shannon", {"diagnostics/jsd_discriminator"}), ("wasserstein", W1), ("?", set())]
)
def test_a_model_of_any_kind_gets_the_measures_of_what_it_can_do(estimates, own, search):
    measured = set(search.of_model(VAEGAN(estimates).eval()))
    assert measured == COMMON | BETWEEN_DRAWS | own | (VAE_ONLY | LIKELIHOOD) - {"likelihood/beta_effective"}


@pytest.mark.parametrize("model, own", [(VAE, VAE_ONLY | LIKELIHOOD), (GAN, {"diagnostics/jsd_discriminator"}), (WGAN, W1)])
@pytest.mark.parametrize("net", [fc, conv], ids=["fc", "conv"])
def test_every_family_gets_the_common_measures_and_its_own(model, own, net, images, search):
    build = builder(model, net=net)
    measured = search.everything(trained_models(build, images, epochs=1))
    assert [set(row) for row in measured] == [COMMON | BETWEEN_DRAWS | own] * 2
    assert all(math.isfinite(value) for row in measured for value in row.values())
    assert measured[0] != measured[1]


def test_the_objective_of_a_replica_is_the_same_when_measured_with_everything(images, search):
    build = builder(VAE)
    replicas = trained(build, images)
    quick = [search.objective(samples) for samples in replicas.sample(search.noise(3))]
    for one, row in zip(quick, search.everything(models_of(build, replicas))):
        assert one == pytest.approx({name: row[name] for name in ("quality/fd", "quality/fd_rel")}, rel=1e-5)
        assert one["quality/fd_rel"] == pytest.approx(one["quality/fd"] / search.features.moments.spread)


@pytest.mark.parametrize(
    "model, own",
    [(VAE, {"likelihood/elbo", "likelihood/recon", "likelihood/kl"}), (GAN, {"diagnostics/jsd_discriminator"}), (WGAN, W1)],
)
def test_what_is_shown_over_training_is_a_part_of_what_is_measured_at_the_end(model, own, images, search):
    one = trained_models(builder(model), images, seeds=(1,), epochs=1)[0]
    found, everything = search.over_training(one), search.of_model(one)
    assert found == {name: everything[name] for name in found}
    assert own <= found.keys() and {"quality/fd_rel", "quality/coverage", "two_sample/jsd", "modes/classes"} <= found.keys()


class Between(nn.Module):
    """A decoder of one latent dimension, in which `image` says what lies between -1 and 1."""

    latent_dim = 1

    def __init__(self, image):
        super().__init__()
        self.image = image

    def sample(self, z):
        return self.image(((z[:, 0] + 1) / 2).clamp(0, 1))


def test_a_path_that_jumps_is_told_from_one_that_changes_step_by_step_and_fading_from_what_is_recognisable(images, search):
    real = images.scaled(images.train.images)
    one, other = real[images.train.labels == 0][:1], real[images.train.labels == 1][:1]

    def fading(t):
        return torch.lerp(one, other, t[:, None, None, None])

    a, b = -torch.ones(4, 1), torch.ones(4, 1)
    steady, jump, noise = (
        search._along(Between(image), a, b)
        for image in (fading, lambda t: fading((t > 0.5).float()), lambda t: torch.rand(len(t), 1, 8, 8))
    )
    assert jump["largest_jump"] == 1 and steady["largest_jump"] < 0.5
    assert jump["precision"] == 1 and jump["confidence"] > steady["confidence"] and noise["precision"] < 0.7


def test_a_path_along_which_nothing_changes_has_no_jump(images, search):
    still = Between(lambda t: images.scaled(images.train.images[:1]).expand(len(t), -1, -1, -1))
    assert search._along(still, -torch.ones(4, 1), torch.ones(4, 1))["largest_jump"] == pytest.approx(1 / 11)


def test_training_improves_the_objective(images, search):
    replicas = Replicas([builder(VAE, latent_dim=8, lr=1e-2)], [1])
    before = search.objective(replicas.sample(search.noise(8))[0])["quality/fd_rel"]
    for _ in range(20):
        replicas.train_epoch(images.train.images, images.levels, 64)
    assert search.objective(replicas.sample(search.noise(8))[0])["quality/fd_rel"] < before / 2


def test_measuring_again_gives_the_same_and_leaves_the_random_state_alone(images, search):
    models = trained_models(builder(WGAN), images, epochs=1)
    state = torch.get_rng_state()
    assert search.everything(models) == search.everything(models)
    assert torch.equal(torch.get_rng_state(), state)


def test_what_a_model_scores_does_not_depend_on_the_models_measured_before_it(images, search):
    models = trained_models(builder(GAN), images, epochs=1)
    assert search.everything(models[1:]) == search.everything(models)[1:]


def test_noise_is_fixed_for_each_latent_size_and_another_evaluation_draws_the_same(images, extractor, search):
    assert search.noise(5).shape == (2500, 5) and torch.equal(search.noise(5), search.noise(5))
    assert torch.equal(Evaluation(images, extractor, "search").noise(5), search.noise(5))


def test_the_search_never_looks_at_the_test_split_and_the_confirm_stage_only_there(images, extractor, search):
    confirm = Evaluation(images, extractor, "confirm")
    assert torch.equal(search.real, images.scaled(images.validation.images))
    assert torch.equal(confirm.real, images.scaled(images.test.images))
    samples = torch.rand(100, 1, 8, 8)
    noise = torch.full_like(images.test.images, 7)
    blind = Evaluation(replace(images, test=Split(noise, images.test.labels)), extractor, "search")
    assert blind.objective(samples) == search.objective(samples)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_samples_that_are_not_finite_have_no_measures(search, value):
    samples = torch.rand(20, 1, 8, 8)
    samples[3, 0, 2, 2] = value
    assert search.objective(samples) == {} and search.of_samples([samples]) == {}


def test_samples_that_are_not_finite_are_seen_even_where_the_features_would_hide_them(images, extractor):
    """Inception takes bytes, which are always finite."""
    judge = Evaluation(images, replace(extractor, network=lambda x: x.nan_to_num().flatten(1)), "search")
    assert judge.objective(torch.full((20, 1, 8, 8), math.nan)) == {}


def test_a_model_with_weights_that_are_not_finite_has_no_measures_but_raises_nothing(images, search):
    for build in (builder(VAE), builder(GAN), builder(WGAN)):
        replicas = Replicas([build] * 2, [1, 2])
        for parameter in replicas.parameters.values():
            parameter.data[0].fill_(math.nan)
        broken, sound = search.everything(models_of(build, replicas))
        assert set(broken) <= {"likelihood/beta_effective", "likelihood/active_units"} and COMMON <= set(sound)


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_a_generator_of_one_constant_image_is_measured(search, value):
    measured = search.of_samples([torch.full((300, 1, 8, 8), value)])
    assert set(measured) == COMMON and measured["modes/classes"] == 1 and measured["quality/recall"] == 0


def test_few_samples_get_the_measures_that_few_samples_allow(search):
    assert search.of_samples([torch.rand(1, 1, 8, 8)]).keys().isdisjoint(QUALITY)
    assert QUALITY <= set(search.of_samples([torch.rand(40, 1, 8, 8)]))
    assert search.of_samples([]) == {} and search.objective(torch.rand(0, 1, 8, 8)) == {}


def test_chunks_of_samples_are_measured_as_one_set(search):
    samples = torch.rand(90, 1, 8, 8)
    assert search.of_samples(samples.split(20)) == pytest.approx(search.of_samples([samples]), rel=1e-4)


def small(n=40, split_size=None, labels=2, shape=(1, 8, 8)):
    """Images of noise with `labels` classes (0: unlabelled)."""

    def split(count, seed):
        generator = torch.Generator().manual_seed(seed)
        pixels = torch.randint(0, 256, (count, *shape), generator=generator, dtype=torch.uint8)
        return Split(pixels, torch.arange(count) % labels if labels else None)

    held_out = n if split_size is None else split_size
    return Images(
        split(n, 0), split(held_out, 1), split(held_out, 2), tuple(map(str, range(labels))), 256, shape, f"small {labels}", False
    )


def test_what_is_kept_of_the_real_side_gives_the_distances_of_both_sides(images, extractor, search):
    other = images.scaled(images.test.images)
    for samples in (other[:200], other[: len(search.held_out.features)]):  # fewer than the real images, and as many
        for _ in range(2):
            measured = search.of_samples([samples])
            fake, real = extractor(samples), search.held_out.features
            assert search.features.dimensions < 64  # some of the classifier's features are constant
            own = Reference(real)  # nothing of it is known yet
            assert measured["quality/kid"] == pytest.approx(distances.kid(own, fake), rel=1e-9)
            assert measured["quality/swd"] == pytest.approx(distances.swd(Reference(real[: len(fake)]), fake), rel=1e-6)


@pytest.mark.parametrize("labels", [0, 1])
def test_without_classes_the_modes_are_absent_and_all_else_is_measured(labels, tmp_path):
    images = small(labels=labels)
    real = real_baseline(images, features.prepare(digits, images, tmp_path), "search").measures
    assert set(real) == {name for name in COMMON if not name.startswith("modes/")}


def test_too_few_real_images_are_the_users_to_mend(tmp_path):
    images = small(split_size=5, labels=0)
    with pytest.raises(UserError, match="validation split has 5 images.*at least 6"):
        Evaluation(images, features.prepare(digits, images, tmp_path), "search")


def test_real_images_that_are_all_alike_are_the_users_to_mend(tmp_path):
    images = small(labels=0)
    images.validation.images.fill_(9)
    with pytest.raises(UserError, match="validation split are all alike"):
        Evaluation(images, features.prepare(digits, images, tmp_path), "search")


def test_there_are_more_samples_only_where_there_are_as_many_real_images(images, extractor):
    assert Evaluation(images, extractor, "confirm").samples == 2500  # 360 real ones
    larger = small(split_size=3000)
    assert Evaluation(larger, extractor, "search").samples == 2500
    assert Evaluation(larger, extractor, "confirm").samples == 3000


def test_large_images_are_measured_on_fewer_samples_so_that_they_fit(tmp_path):
    images = small(n=8, labels=0, shape=(3, 160, 160))
    judge = Evaluation(images, features.prepare(digits, images, tmp_path), "confirm")
    assert judge.noise(2).shape == (1747, 2)


def test_the_baseline_of_real_images_is_close_to_perfect_and_has_a_deviation(images, extractor):
    found = real_baseline(images, extractor)
    assert set(found.measures) == COMMON and found.measures["quality/coverage"][0] > 0.9
    assert (found.real, found.samples, found.drawn, found.repeats) == (360, 360, 2500, 10)
    mean, deviation = found.measures["quality/kid"]
    assert abs(mean) < deviation  # unbiased: its mean is 0
    mean, deviation = found.measures["quality/fd_rel"]
    assert 0.004 < mean < 0.009 and 0.0003 < deviation < 0.003
    assert found == real_baseline(images, extractor)


def test_stratified_splits_are_more_alike_than_random_ones(images, extractor):
    judge = Evaluation(images, extractor, "confirm")
    stratified = judge.of_samples(judge.scaled(images.validation.images))
    random = [
        judged.of_samples(judged.scaled(judged.other.images))["quality/fd_rel"]
        for judged in (
            Evaluation(
                dealt(images, "confirm", torch.randperm(720, generator=torch.Generator().manual_seed(seed))), extractor, "confirm"
            )
            for seed in range(5)
        )
    ]
    assert stratified["quality/fd_rel"] < min(random)


def test_the_distance_of_images_drawn_with_replacement_is_that_of_random_halves_at_equal_numbers(images, extractor):
    """So what it says at a model's 2,500 samples, for which there are too few real ones, can be believed."""

    def mean(order):
        judges = [
            Evaluation(dealt(images, "confirm", order(torch.Generator().manual_seed(seed))), extractor, "confirm")
            for seed in range(30)
        ]
        return sum(judge.objective(images.scaled(judge.other.images))["quality/fd_rel"] for judge in judges) / 30

    halves = mean(lambda generator: torch.randperm(720, generator=generator))
    drawn, more = (mean(lambda generator: torch.randint(720, (360 + count,), generator=generator)) for count in (360, 2500))
    assert drawn == pytest.approx(halves, rel=0.15) and more < 0.8 * halves


def test_real_images_are_drawn_with_the_class_shares_of_their_split(images):
    known = torch.cat([images.test.labels, images.validation.labels])
    order = like(images.test.labels, images.validation.labels, 360, 720, torch.Generator().manual_seed(0))
    assert torch.equal(known[order], images.test.labels) and 200 < len(order.unique()) < 360


def test_a_division_holds_every_image_once_with_its_class():
    images = small()
    order = torch.randperm(80, generator=torch.Generator().manual_seed(0))
    divided = dealt(images, "search", order)
    both = torch.cat([images.validation.images, images.test.images])
    assert torch.equal(torch.cat([divided.validation.images, divided.test.images]), both[order])
    assert torch.equal(divided.validation.labels, (torch.arange(80) % 2)[order[:40]])


def test_inception_features_are_also_reported_under_their_published_name(images, extractor):
    judge = Evaluation(images, replace(extractor, kind="inception"), "search")
    measured = judge.objective(torch.rand(50, 1, 8, 8))
    assert measured["quality/fid"] == measured["quality/fd"]


@pytest.mark.parametrize(
    "binarised, options, has",
    [
        (False, {"likelihood": "bernoulli"}, True),
        (True, {"likelihood": "bernoulli"}, True),
        (False, {"likelihood": "continuous_bernoulli"}, True),
        (True, {"likelihood": "continuous_bernoulli"}, False),
        (False, {"likelihood": "gaussian"}, True),
        (False, {"likelihood": "gaussian", "variance": "learned"}, True),
    ],
)
def test_a_likelihood_is_reported_where_the_model_has_one_of_binarised_or_of_grey_images(
    images, extractor, binarised, options, has
):
    judge = Evaluation(replace(images, binarised=binarised), extractor, "search", draws=20)
    measured = judge.of_model(builder(VAE, **options)().eval())
    assert LIKELIHOOD.issubset(measured) == has and LIKELIHOOD.isdisjoint(measured) != has
    assert VAE_ONLY <= set(measured)


def test_bits_per_dimension_of_digits_are_below_those_of_guessing(images, extractor):
    """17 grey levels take log2(17) = 4.09 bits to guess, binary pixels 1; a little training beats both."""
    continuous = {"likelihood": "continuous_bernoulli"}
    for binarised, guessing, options in ((False, 4.09, continuous), (True, 1, {})):
        own = replace(images, binarised=binarised)
        build = builder(VAE, latent_dim=8, **options)
        measured = Evaluation(own, extractor, "search").everything(trained_models(build, own, [1], epochs=15))[0]
        assert 0 < measured["likelihood/bits_per_dim"] < guessing
        if binarised:
            bits = measured["likelihood/iw_nll"] / 64 / math.log(2)
            assert -measured["likelihood/elbo"] > measured["likelihood/iw_nll"] > 0
            assert measured["likelihood/bits_per_dim"] == pytest.approx(bits)


class Uniform(nn.Module):
    """A density that is 1 everywhere."""

    latent_dim = 2

    def sample(self, z):
        return torch.rand(len(z), 1, 8, 8, generator=torch.Generator().manual_seed(0))

    def log_prob(self, x):
        return torch.zeros(len(x)).masked_fill(((x < 0) | (x > 1)).flatten(1).any(1), -torch.inf)


def test_a_model_with_a_density_is_measured_by_its_exact_likelihood_of_grey_images(images, extractor, search):
    """That of a uniform density is the bits that 17 grey levels take."""
    measured = search.of_model(Uniform())
    assert measured["likelihood/bits_per_dim"] == pytest.approx(math.log2(17)) and measured["likelihood/iw_nll"] == 0
    binary = Evaluation(replace(images, binarised=True), extractor, "search")
    assert LIKELIHOOD.isdisjoint(binary.of_model(Uniform()))


@pytest.mark.parametrize("reduction, beta", [("sum", 1), ("mean", 64), ("mean_both", 64 / 4)])
def test_the_effective_beta_tells_reductions_apart(search, reduction, beta):
    assert search.of_model(builder(VAE, 4, reduction=reduction)().eval())["likelihood/beta_effective"] == beta


def test_the_nearest_training_image_of_a_copy_is_its_original(images, search):
    copies = images.scaled(images.train.images[100:108])
    assert torch.equal(search.nearest(copies), copies)
    assert torch.equal(search.nearest((copies + 0.01).clamp(0, 1)), copies)


def test_inverting_a_generator_finds_its_own_images_again(images):
    replicas = trained(builder(GAN), images, [1], epochs=5)
    model = plain(builder(GAN), replicas.weights(0))
    wanted = model.sample(torch.randn(6, 3, generator=torch.Generator().manual_seed(5)))
    found = invert(model, wanted)
    assert found.shape == wanted.shape and not found.requires_grad
    assert (found - wanted).square().mean() < 0.05 * (wanted - wanted.mean(0)).square().mean()


def test_cost_counts_parameters_and_floating_point_operations_of_a_step():
    """One hidden layer of 16, latent 3: per weight 2 forwards, 2 for its gradient and 2 for that of its input."""
    counted = cost(builder(VAE)(), (1, 8, 8))
    encoder, decoder = (64 * 16, 16 * 6), (3 * 16, 16 * 64)
    assert counted["cost/parameters"] == sum(p.numel() for p in builder(VAE)().parameters())
    assert counted["cost/flops_per_image"] == 6 * (sum(encoder) + sum(decoder)) - 2 * encoder[0]


def test_cost_counts_a_gradient_penalty_and_how_often_each_phase_runs():
    clipped, penalised = (
        cost(builder(WGAN, **options)(), (1, 8, 8))["cost/flops_per_image"] for options in ({"clip": 0.1}, {"clip": None})
    )
    rare = cost(builder(WGAN, clip=0.1, critic_steps=10)(), (1, 8, 8))["cost/flops_per_image"]
    assert penalised > clipped > rare > 0


def test_counting_leaves_the_random_state_alone():
    model = builder(VAE, net=conv, dropout=0.5)()
    state = torch.get_rng_state()
    cost(model, (1, 8, 8))
    assert torch.equal(torch.get_rng_state(), state)


def test_the_peak_of_this_process_is_at_least_the_memory_it_has_held():
    held = torch.ones(2**26)  # 256 MB
    assert held[-1] == 1 and 256 < peak_memory_mb("cpu") < 10**6


@pytest.mark.long
def test_everything_is_measured_on_real_mnist_in_both_stages(real_data, tmp_path):
    mnist = named("mnist").load(real_data)
    judge = features.prepare(named("mnist"), mnist, tmp_path)
    for stage in evaluation.STAGES:
        found = Evaluation(mnist, judge, stage)
        real = found.of_samples(found.scaled(found.other.images[: found.samples]))
        assert set(real) == COMMON and real["quality/fd_rel"] < 0.02 and real["quality/coverage"] > 0.9
