"""Changes of images are what their papers say, by the numbers that they are given, and gradients pass through them."""

import pytest
import torch

from models.augment import CHANGES, CUT, SHIFTED, UNIFORMS, diff_augment, flipped
from models.gan import GAN
from models.nets import fc
from models.vae import VAE
from models.wgan import WGAN


def images(n=64, shape=(3, 16, 16)):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1


def uniforms(n=64):
    return torch.rand(n, UNIFORMS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_about_half_of_the_images_are_mirrored_and_the_others_are_left_as_they_are():
    x, u = images(), uniforms()[:, :1].view(-1, 1, 1, 1)
    found = flipped(x, u)
    mirrored = u.flatten() < 0.5
    assert 20 < mirrored.sum() < 44
    assert torch.equal(found[mirrored], x[mirrored].flip(3)) and torch.equal(found[~mirrored], x[~mirrored])


def test_colours_are_brightness_then_saturation_then_contrast():
    x, u = images(), uniforms()
    expected = []
    for image, (brightness, saturation, contrast) in zip(x, u[:, :3]):
        image = image + brightness - 0.5
        grey = image.mean(0)
        image = grey + 2 * saturation * (image - grey)
        expected.append(image.mean() + (contrast + 0.5) * (image - image.mean()))
    torch.testing.assert_close(diff_augment(x, u, ("color",)), torch.stack(expected))


def test_an_image_is_moved_by_whole_pixels_up_to_an_eighth_each_way_and_black_comes_in():
    x, u = images(512), uniforms(512)
    found, furthest = diff_augment(x, u, ("translation",)), int(16 * SHIFTED)
    seen = set()
    for image, moved, (down, right) in zip(x, found, u[:, 3:5]):
        dy, dx = (int(number * (2 * furthest + 1)) - furthest for number in (down, right))
        seen.add((dy, dx))
        padded = torch.zeros(3, 16 + 2 * furthest, 16 + 2 * furthest, dtype=x.dtype)
        padded[:, furthest:-furthest, furthest:-furthest] = image
        assert torch.equal(moved, padded[:, furthest + dy : furthest + dy + 16, furthest + dx : furthest + dx + 16])
    assert len(seen) == (2 * furthest + 1) ** 2


def test_a_square_of_half_the_side_is_cut_out_or_what_of_it_lies_in_the_image():
    x, u = images(512), uniforms(512)
    gone = (diff_augment(x, u, ("cutout",)) == 0).all(1)
    sides = [(int(each.any(1).sum()), int(each.any(0).sum())) for each in gone]
    assert all(int(each.sum()) == height * width for each, (height, width) in zip(gone, sides))  # a rectangle
    size = int(16 * CUT)
    assert max(height for height, _ in sides) == size and min(height for height, _ in sides) == size // 2


@pytest.mark.parametrize("change", CHANGES)
def test_gradients_pass_to_the_images(change):
    x, u = images(3, (2, 8, 8)).requires_grad_(), uniforms(3)
    assert torch.autograd.gradcheck(lambda image: diff_augment(image, u, (change,)), x)


@pytest.mark.parametrize("model", [GAN, WGAN])
def test_a_critic_learns_from_changed_images_and_scores_and_samples_are_of_others(model):
    made = model((1, 8, 8), fc, 1, 2, width=8, flips=True, augment=CHANGES)
    seen = []
    made.score = lambda image: seen.append(image) or image.flatten(1).mean(1)
    x, noise = torch.rand(4, 1, 8, 8), {"z": torch.randn(4, 2)}
    given = {name: torch.rand(4, *size) for name, size in made.phases[0].noise.items() if name != "z"}
    given["uniform_flip"] = torch.ones(4, 1, 1, 1)  # none of them
    made.critic_loss(x, noise | given, torch.zeros(()))
    torch.testing.assert_close(seen[0], diff_augment(made.seen(x), given["uniform_real"], CHANGES))
    generated = made.generate(noise["z"])
    torch.testing.assert_close(seen[1], diff_augment(generated, given["uniform_fake"], CHANGES))
    torch.testing.assert_close(made.sample(noise["z"]), (generated + 1) / 2)
    made.discriminate(x)
    assert torch.equal(seen[-1], made.seen(x))


def test_what_is_no_change_is_refused():
    with pytest.raises(ValueError, match="rotation"):
        GAN((1, 8, 8), fc, 1, 2, augment=("rotation",))


def test_a_vae_reconstructs_what_it_was_shown():
    torch.manual_seed(0)
    model = VAE((1, 8, 8), fc, 1, 2, width=8, flips=True)
    x, noise = torch.rand(4, 1, 8, 8), {"z": torch.randn(4, 2), "uniform_flip": torch.zeros(4, 1, 1, 1)}
    plain = VAE((1, 8, 8), fc, 1, 2, width=8)
    plain.load_state_dict(model.state_dict())
    expected = plain.loss(x.flip(3), noise, torch.zeros(()))
    assert {name: value.item() for name, value in model.loss(x, noise, torch.zeros(())).items()} == {
        name: value.item() for name, value in expected.items()
    }
