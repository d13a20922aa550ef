"""Perfect, useless and degenerate generators on digits: each defect is caught by the measure that is meant for it."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.measures import generators
from study.data import digits
from study.metrics import Unmeasurable, coverage, critics, distances, features, memorisation
from study.metrics.evaluation import Evaluation
from study.metrics.real_baseline import real_baseline
from study.metrics.reference import Reference


@pytest.fixture(scope="module")
def table(data_dir, tmp_path_factory):
    """Name of a generator -> its measures against the validation split."""
    images = digits.prepare(data_dir, log=lambda line: None)
    extractor = features.prepare(digits, images, tmp_path_factory.mktemp("features"))
    evaluation = Evaluation(images, extractor, "search")
    made = generators(images, evaluation.samples)
    real = {name: mean for name, (mean, _) in real_baseline(images, extractor, "search").measures.items()}
    return {"real": real, **{name: evaluation.of_samples([x]) for name, x in made.items()}}


def test_unseen_real_images_pass_every_measure(table):
    real = table["real"]
    assert real["quality/fd_rel"] < 0.03
    assert abs(real["quality/kid"]) < 0.03
    assert min(real[f"quality/{name}"] for name in ("precision", "recall", "coverage")) > 0.9
    assert real["quality/density"] == pytest.approx(1, abs=0.1)
    assert real["modes/classes"] == 10 and real["modes/label_jsd"] < 0.005
    assert real["two_sample/accuracy"] == pytest.approx(0.5, abs=0.05) and real["two_sample/jsd"] < 0.05
    assert real["memory/nn_ratio"] == pytest.approx(1, abs=0.1)
    assert real["memory/authenticity"] == pytest.approx(real["memory/authenticity_held_out"], abs=0.08)


def test_a_generator_that_copies_the_training_set_is_caught(table):
    """Only the memory measures see it: every other one takes copies for real images."""
    copies = table["copies of training images"]
    assert copies["quality/fd_rel"] < table["real"]["quality/fd_rel"]
    assert copies["memory/nn_ratio"] == 0 and copies["memory/authenticity"] == 0
    assert copies["memory/authenticity_held_out"] > 0.45


def test_copies_under_a_little_noise_are_caught_too(table):
    assert table["copies with a little noise"]["memory/nn_ratio"] < 0.4
    assert table["copies with a little noise"]["memory/authenticity"] < 0.05


def test_class_means_fool_the_frechet_distance_but_not_recall(table):
    """Why no single number is printed as the winner: at .11 of fd_rel they do as well as a fair VAE."""
    means = table["class means"]
    assert means["quality/fd_rel"] < 0.2 and means["quality/precision"] == 1
    assert means["quality/recall"] == 0 and means["quality/coverage"] < 0.6


def test_three_of_ten_classes_are_counted_and_score_the_known_divergence(table):
    three = table["three classes only"]
    assert three["modes/classes"] == 3
    assert three["modes/label_jsd"] == pytest.approx(0.493, abs=0.02)
    assert three["quality/recall"] < 0.4 and three["quality/fd_rel"] > 0.4


def test_one_missing_class_is_seen_in_the_classes_although_the_distance_stays_small(table):
    missing = table["one class missing"]
    assert missing["modes/classes"] == 9 and missing["quality/fd_rel"] < 0.1
    assert missing["modes/label_jsd"] > 0.04


@pytest.mark.parametrize("name, most", [("ten images repeated", 0.15), ("one image repeated", 0.02)])
def test_few_images_repeated_have_no_recall_and_almost_no_coverage(table, name, most):
    assert table[name]["quality/precision"] > 0.7  # each of them is a fine image
    assert table[name]["quality/recall"] == 0 and table[name]["quality/coverage"] < most


def test_noise_is_useless_by_every_measure_of_quality(table):
    noise = table["uniform noise"]
    assert noise["quality/fd_rel"] > 0.5 and noise["quality/precision"] < 0.5 and noise["quality/coverage"] < 0.1
    assert noise["two_sample/accuracy"] > 0.98 and noise["memory/nn_ratio"] > 2


@pytest.mark.parametrize("name", ["blurred images", "half the contrast"])
def test_blur_and_lost_contrast_are_told_from_real_images(table, name):
    assert table[name]["quality/recall"] < 0.1
    assert table[name]["two_sample/accuracy"] > 0.9 and table[name]["two_sample/jsd"] > 0.6
    assert table[name]["memory/nn_ratio"] > 1.4


def test_sharpness_falls_with_blur_and_rises_with_noise_whatever_the_precision(table):
    sharp = {name: measures["quality/sharpness"] for name, measures in table.items()}
    assert sharp["blurred images"] < 0.2 < sharp["class means"] < 0.9 < sharp["real"] < 1.1
    assert sharp["sharpened images"] > 1.2 and sharp["uniform noise"] > 1.5


def test_what_samples_teach_of_real_images_is_what_they_hold_of_them(table):
    taught = {name: measures["modes/train_on_samples"] for name, measures in table.items()}
    assert min(taught["real"], taught["copies of training images"], taught["copies with a little noise"]) > 0.97
    assert taught["one class missing"] == pytest.approx(0.9, abs=0.03) and taught["three classes only"] == pytest.approx(
        0.3, abs=0.03
    )
    assert taught["one image repeated"] == pytest.approx(0.1, abs=0.02) and taught["uniform noise"] < 0.4


def test_no_measure_of_any_generator_is_nan(table):
    assert all(math.isfinite(value) for measures in table.values() for value in measures.values())
    assert len({tuple(measures) for measures in table.values()}) == 1


def gaussian(seed, n=300, d=6, shift=0.0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift


def test_a_point_mass_at_the_real_mean_scores_exactly_one():
    real = distances.moments(gaussian(0))
    mass = distances.moments(real.mean.expand(100, -1))
    assert distances.fd_rel(real, distances.fd(real, mass)) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("shift, spread, rank, near", [(0.0, 1.0, 12, 0.25), (1.0, 0.5, 12, 0.1), (0.5, 1.0, 3, 0.1)])
def test_the_deviation_over_held_out_images_is_that_of_drawing_them_again(shift, spread, rank, near):
    """360 of them, against samples that are perfect, far, or of few directions only."""
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(12, 12, generator=generator)
    real = torch.randn(360, 12, generator=generator) @ mix
    fake = distances.moments(torch.randn(2_000, rank, generator=generator) @ mix[:rank] * spread + shift)
    said = deviation(real, fake)
    again = [distances.moments(real[torch.randint(360, (360,), generator=generator)]) for _ in range(400)]
    drawn = torch.tensor([distances.fd_rel(moments, distances.fd(moments, fake)) for moments in again]).std().item()
    assert said == pytest.approx(drawn, rel=near)
    assert deviation(real.repeat(4, 1), fake) == pytest.approx(said / 2, rel=0.02)
    assert deviation(1e-3 * real, distances.Moments(1e-3 * fake.mean, 1e-6 * fake.covariance)) == pytest.approx(said, rel=1e-3)


def deviation(real, fake):
    reference = Reference(real)
    return distances.fd_rel_deviation(reference, fake, distances.fd_rel(reference.moments, distances.fd(reference.moments, fake)))


def test_a_set_is_at_distance_zero_from_itself():
    x = gaussian(0)
    assert distances.fd(distances.moments(x), distances.moments(x)) == pytest.approx(0, abs=1e-10)
    assert distances.swd(Reference(x), x.flip(0)) == 0


def test_constant_features_do_not_disturb_the_distances():
    """Of 64 ReLU features 15-19 are constant on digits."""
    real, fake = gaussian(0), gaussian(1, shift=0.5)
    padded = [torch.cat([x, torch.full((len(x), 3), 2.0)], 1) for x in (real, fake)]
    plain_fd, padded_fd = (distances.fd(*map(distances.moments, pair)) for pair in ((real, fake), padded))
    assert padded_fd == pytest.approx(plain_fd, rel=1e-6)
    plain_kid, padded_kid = (distances.kid(Reference(pair[0]), pair[1]) for pair in ((real, fake), padded))
    assert padded_kid == pytest.approx(plain_kid, rel=1e-9) and plain_kid > 0.1


@pytest.mark.parametrize("scale", [1e-7, 1e7])
def test_the_kernel_distance_does_not_depend_on_the_unit_of_the_features(scale):
    real, fake = gaussian(0).double(), gaussian(1, shift=0.5).double()
    real[:, 0] = 3.0  # constant on real images, not on the others
    near, far = (distances.kid(Reference(real * unit), fake * unit) for unit in (1, scale))
    assert far == pytest.approx(near, rel=1e-9) and near > 0.1


def test_samples_in_which_a_feature_varies_that_is_constant_on_real_images_are_seen():
    real, fake = gaussian(0), gaussian(1)
    real[:, 0] = fake[:, 0] = 0
    same = distances.kid(Reference(real), fake)
    fake[:, 0] = gaussian(2)[:, 0] * 3
    assert distances.kid(Reference(real), fake) > same + 0.1


def test_kernel_distance_of_one_distribution_is_about_zero_and_may_be_negative():
    values = [distances.kid(Reference(gaussian(seed)), gaussian(seed + 100)) for seed in range(20)]
    assert min(values) < 0 < max(values) and abs(sum(values) / 20) < 0.02


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), shift=st.floats(-5, 5), scale=st.floats(0.1, 10))
def test_distances_are_symmetric_and_follow_the_scale_of_the_features(seed, shift, scale):
    x, y = gaussian(seed, n=40).double(), gaussian(seed + 1, n=40, shift=shift).double()
    a, b, larger = distances.moments(x), distances.moments(y), [distances.moments(scale * v + 3) for v in (x, y)]
    assert distances.fd(a, b) == pytest.approx(distances.fd(b, a), rel=1e-6)
    assert distances.fd(*larger) == pytest.approx(scale**2 * distances.fd(a, b), rel=1e-6)
    near, far = distances.swd(Reference(x), y), distances.swd(Reference(scale * x), scale * y)
    assert far == pytest.approx(scale * near, rel=1e-9)
    assert near == pytest.approx(distances.swd(Reference(y), x), rel=1e-9)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), n=st.integers(6, 40))
def test_shares_of_neighbourhoods_stay_in_their_range_and_ignore_order(seed, n):
    real, fake = gaussian(seed, n), gaussian(seed + 1, n, shift=0.3)
    found = coverage.prdc(Reference(real), fake)
    assert all(0 <= found[name] <= 1 for name in ("precision", "recall", "coverage")) and found["density"] >= 0
    assert coverage.prdc(Reference(real.flip(0)), fake.flip(0)) == pytest.approx(found)


def test_the_same_points_cover_each_other_completely():
    x = gaussian(0)
    found = coverage.prdc(Reference(x), x)
    assert (found["precision"], found["recall"], found["coverage"]) == (1, 1, 1)


def test_chunked_measures_equal_those_computed_in_one_piece(monkeypatch):
    x, y = gaussian(0, 50), gaussian(1, 50)
    whole = distances.kid(Reference(x), y), coverage.prdc(Reference(x), y), memorisation.nearest(x, y)[0].tolist()
    monkeypatch.setattr("study.metrics.AT_ONCE", 130)
    parts = distances.kid(Reference(x), y), coverage.prdc(Reference(x), y), memorisation.nearest(x, y)[0].tolist()
    assert parts[0] == pytest.approx(whole[0], rel=1e-9)
    assert parts[1] == whole[1] and parts[2] == pytest.approx(whole[2], rel=1e-6)


def test_a_copy_is_at_distance_zero_where_the_fast_product_puts_it_elsewhere():
    train = gaussian(0, 200, 400, shift=30.0)
    assert torch.cdist(train[:100], train, compute_mode="use_mm_for_euclid_dist").min(1).values.max() > 0.01
    assert memorisation.nearest(train[:100], train)[0].max() == 0
    assert coverage.distances(train[:100], train).min(1).values.max() == 0


def test_images_are_averaged_down_before_pixels_are_compared_only_where_they_are_large():
    assert memorisation.pixels(torch.rand(2, 1, 28, 28)).shape == (2, 784)
    assert memorisation.pixels(torch.rand(2, 3, 32, 32)).shape == (2, 768)
    assert memorisation.pixels(torch.rand(2, 3, 160, 160)).shape == (2, 1200)
    assert memorisation.pixels(torch.full((1, 3, 45, 45), 0.5)).unique().tolist() == [0.5]


def test_a_discriminator_is_overconfident_on_its_training_images_and_honest_on_held_out_ones():
    """Between two samples of one distribution: the bound must not be taken where the judge was trained."""
    real, fake = gaussian(0, 40, 100), gaussian(1, 40, 100)
    weight = torch.linalg.lstsq(torch.cat([real, fake]), torch.cat([torch.ones(40, 1), -torch.ones(40, 1)])).solution
    seen = critics.discriminator_jsd(*(50 * (x @ weight).squeeze(1) for x in (real, fake)))
    unseen = critics.discriminator_jsd(*(50 * (gaussian(seed, 40, 100) @ weight).squeeze(1) for seed in (2, 3)))
    assert seen > 0.99 and unseen < 0


def test_a_two_sample_judge_is_tested_on_images_it_was_not_trained_on():
    found = critics.two_sample(gaussian(0, 60, 100), gaussian(1, 60, 100))
    assert found["accuracy"] == pytest.approx(0.5, abs=0.15) and found["jsd"] < 0.05
    assert critics.two_sample(gaussian(0), gaussian(1, shift=4.0))["accuracy"] > 0.99


def test_a_probe_is_at_chance_on_latents_that_say_nothing_and_perfect_on_those_that_say_the_class():
    labels = torch.arange(400) % 4
    assert critics.linear_probe(gaussian(0, 400), labels) == pytest.approx(0.25, abs=0.08)
    assert critics.linear_probe(gaussian(0, 400, 4) + 8 * torch.eye(4)[labels], labels) > 0.99
    assert critics.linear_probe(torch.zeros(400, 4), labels) == pytest.approx(0.25, abs=0.05)


def test_a_probe_is_not_asked_about_what_it_has_seen():
    """With more dimensions than latents every labelling is learnt by heart."""
    assert critics.linear_probe(gaussian(0, 200, 500), torch.arange(200) % 2) < 0.65


def test_one_class_is_all_that_a_classifier_of_one_class_says():
    assert critics.class_accuracy(gaussian(0, 10), torch.ones(10), gaussian(1, 4), torch.tensor([1, 0, 1, 1])) == 0.75


@pytest.mark.parametrize("low, high", [(-0.1, 0.1), (0.4, 0.6), (0.9, 1.1)], ids=["real", "between", "generated"])
def test_the_largest_slope_is_found_at_real_images_at_generated_ones_and_between(low, high):
    """A critic that is steep in one place only: real images lie at 0, generated ones at 1."""
    slope = critics.largest_slope(lambda x: 4 * x[:, 0].clamp(low, high), torch.zeros(50, 2), torch.ones(50, 2))
    assert slope == pytest.approx(4)


def test_a_flat_critic_has_no_scale_to_divide_by():
    slope = critics.largest_slope(lambda x: 0 * x.sum(1), gaussian(0), gaussian(1))
    with pytest.raises(Unmeasurable, match="flat"):
        critics.normalised_w1(0.0, slope)


MEASURES_OF_TWO = {
    "fd": lambda x, y: distances.fd(distances.moments(x), distances.moments(y)),
    "kid": lambda x, y: distances.kid(Reference(x), y),
    "swd": lambda x, y: distances.swd(Reference(x), y),
    "prdc": lambda x, y: coverage.prdc(Reference(x), y),
    "two_sample": critics.two_sample,
    "nearest": memorisation.nearest,
    "class_accuracy": lambda x, y: critics.class_accuracy(x, torch.arange(len(x)) % 2, y, torch.arange(len(y)) % 2),
}


@pytest.mark.parametrize("measure", MEASURES_OF_TWO.values(), ids=MEASURES_OF_TWO)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_samples_that_are_not_finite_are_refused(measure, value):
    broken = gaussian(1)
    broken[7, 3] = value
    with pytest.raises(Unmeasurable, match="not finite"):
        measure(gaussian(0), broken)


@pytest.mark.parametrize("measure", MEASURES_OF_TWO.values(), ids=MEASURES_OF_TWO)
def test_no_samples_are_too_few(measure):
    with pytest.raises(Unmeasurable, match="too few"):
        measure(torch.empty(0, 6), torch.empty(0, 6))


def test_real_features_without_spread_give_no_unit_of_distance():
    constant = distances.moments(torch.ones(10, 3))
    with pytest.raises(ValueError, match="all the same"):
        distances.fd_rel(constant, distances.fd(constant, constant))
