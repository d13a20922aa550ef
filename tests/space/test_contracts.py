"""What a model, a net or a dataset lacks is said before anything is trained, by name and with where to read on."""

from dataclasses import replace

import pytest
import torch
from tiny import tiny_space
from torch import nn

from models.nets import fc
from models.phase import Adam, Phase
from models.vae import VAE
from study.errors import UserError
from study.space.contracts import lacking_in_use
from study.space.loading import checked
from study.sweep.preparation import check_built


class Silent(nn.Module):
    """Trains, but draws nothing."""


class Drawing(nn.Module):
    """What every model below has."""

    def __init__(self, shape, net, depth, latent_dim):
        super().__init__()
        self.shape, self.latent_dim, self.pixel = shape, latent_dim, nn.Parameter(torch.zeros(shape))

    def sample(self, z):
        return self.pixel.sigmoid().expand(len(z), *self.shape)


class Untrained(Drawing):
    """Has no phases."""


class Trained(Drawing):
    def __init__(self, *arguments, loss="distance", learns=("pixel",)):
        super().__init__(*arguments)
        self.phases = [Phase("only", loss, learns, Adam(1e-3, (0.9, 0.999)))]

    def distance(self, x, noise, epoch):
        return {"loss": (self.pixel.sigmoid() - x).square().mean()}


def only_cell(**changes):
    space = tiny_space()
    return replace(space, cells=[replace(space.cells[0], settings={}, **changes)])


@pytest.mark.parametrize(
    ("word", "thing", "missing"),
    [("model", Silent, "sample"), ("net", 3, "encoder"), ("dataset", "digits", "is_available"), ("dataset", fc, "prepare")],
)
def test_what_a_factor_lacks_is_said_when_its_space_is_loaded(word, thing, missing):
    with pytest.raises(UserError, match=f"{word} must be .*{missing}.*contracts.py"):
        checked(only_cell(**{word: thing}))


@pytest.mark.parametrize(
    ("model", "settings", "missing"),
    [(Untrained, {}, "phases"), (Trained, {"loss": "energy"}, "energy"), (Trained, {"learns": ("pixel", "critic")}, "critic")],
)
def test_what_a_model_lacks_to_be_trained_is_said_before_it_is(model, settings, missing):
    cell = replace(only_cell(model=model).cells[0], settings=settings)
    with pytest.raises(UserError, match=f"a {model.__name__} lacks {missing};"):
        check_built(cell, (1, 8, 8))


def test_a_model_that_offers_no_more_than_is_asked_lacks_nothing():
    assert lacking_in_use(Trained((1, 8, 8), None, 1, 2)) == []
    check_built(only_cell(model=Trained).cells[0], (1, 8, 8))
    check_built(tiny_space(cells=[replace(tiny_space().cells[0], model=VAE)]).cells[0], (1, 8, 8))
