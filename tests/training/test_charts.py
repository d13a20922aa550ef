"""Charts show what they are given: heights of bars and places of points are read from the pixels again."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from study.data import digits
from study.metrics import features
from study.metrics.evaluation import Evaluation
from study.training import charts


def height(picture, colour, part=1.0):
    """Of the highest bar of a colour, in pixels, within the left `part` of a chart, without its legend."""
    inside = picture[40:, : int(part * picture.shape[1])]
    return (np.abs(inside - 255 * np.array(to_rgb(colour))).max(-1) < 8).sum(0).max()


def test_bars_are_as_high_as_the_shares():
    picture = charts.classes(torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75]), ("a", "b"))
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    real, first = (height(picture, colour, 0.5) for colour in (charts.REAL, charts.GENERATED))
    assert first / real == pytest.approx(0.5, abs=0.05)
    assert height(picture, charts.GENERATED) / real == pytest.approx(1.5, abs=0.05)


@pytest.mark.parametrize("names", [tuple(map(str, range(200))), ("$x^", "n02979186 cassette player", "c")])
def test_classes_of_any_number_and_name_find_room(names):
    shares = torch.full((len(names),), 1 / len(names))
    assert charts.classes(shares, shares, names).shape == charts.classes(shares[:2] * 0 + 0.5, shares[:2], names[:2]).shape


@pytest.fixture(scope="module")
def judge(data_dir, tmp_path_factory):
    images = digits.prepare(data_dir, log=lambda line: None)
    return Evaluation(images, features.prepare(digits, images, tmp_path_factory.mktemp("features")), "search")


class Repeats:
    """Draws one image, whatever the latent."""

    latent_dim = 2

    def __init__(self, image):
        self.image = image

    def sample(self, z):
        return self.image.expand(len(z), *self.image.shape)


def test_a_generator_of_one_image_is_of_one_class_where_real_images_are_of_ten(judge):
    real, generated = judge.class_shares(Repeats(judge.real[0]))
    assert generated.max() == 1 and generated.argmax() == judge.split.labels[0]
    assert len(real) == 10 and real.min() > 0.08
    assert set(charts.at_the_end(Repeats(judge.real[0]), judge)) == {"classes"}


def test_samples_that_are_not_finite_and_images_without_classes_have_no_chart(judge):
    assert charts.at_the_end(Repeats(judge.real[0] * torch.nan), judge) == {}
    judge = Evaluation(judge.images, features.replace(judge.extractor, head=None), "search")
    assert charts.at_the_end(Repeats(judge.real[0]), judge) == {}


class Places(Repeats):
    """Puts images where the brightness of their halves says; only its images and these two matter."""

    def posterior(self, x):
        mean = torch.stack([x[..., :4].mean((1, 2, 3)), x[..., 4:].mean((1, 2, 3))], 1)
        return mean, torch.zeros_like(mean)


def test_a_model_with_a_posterior_shows_where_it_puts_real_images(judge):
    model = Places(judge.real[0])
    assert set(charts.at_the_end(model, judge)) == {"classes", "latents"}
    assert torch.equal(judge.posterior_means(model), model.posterior(judge.real)[0])
    assert len(judge.real_labels) == len(judge.real)


def test_two_latents_are_shown_as_they_are_and_more_by_their_principal_components():
    points = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)).double() * torch.tensor([5.0, 1.0])
    assert torch.equal(charts.flattened(points)[0], points)
    assert charts.flattened(points[:, :1])[0][:, 1].eq(0).all()
    turned, _ = torch.linalg.qr(torch.randn(7, 7, generator=torch.Generator().manual_seed(1)).double())
    places, titles = charts.flattened(points @ turned[:2] + 3)
    assert torch.cdist(places, places).allclose(torch.cdist(points, points), atol=1e-6)
    second, first = torch.linalg.eigvalsh(torch.cov(points.T)).tolist()
    said = [f"{100 * size / (first + second):.0f} % of the variance" for size in (first, second)]
    assert titles == [f"first principal component: {said[0]}", f"second: {said[1]}"]


def test_points_are_drawn_in_the_colours_of_their_classes():
    points, labels = torch.tensor([[-1.0, -1], [1, 1], [0, 0.1], [0, -0.1]]), torch.tensor([1, 1, 0, 1])

    def spots(picture, colour):
        return height(picture[:, :380], colour) > 0  # without the legend

    blue, orange, green = "C0", "C1", "C2"
    picture = charts.latents(points, labels, ("a", "b", "c"))
    assert spots(picture, blue) and spots(picture, orange) and not spots(picture, green)
    assert not spots(charts.latents(points, None, ()), orange)


def test_a_dead_latent_and_many_classes_are_drawn_too():
    assert charts.latents(torch.zeros(50, 3), torch.arange(50), tuple(map(str, range(50)))).shape[2] == 3
