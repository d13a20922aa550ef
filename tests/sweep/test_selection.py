"""What of a space a launch runs: a slice of its cells, whose trainings are those of the whole, in packs of a size that pays."""

import pytest
from tiny import IDENTITY, tiny_space

from models.nets import conv, fc
from models.vae import VAE
from models.wgan import WGAN
from study.data import digits
from study.errors import UserError
from study.space import grid
from study.sweep import selection
from study.sweep.launch_options import LaunchOptions
from study.sweep.plan import Plan


@pytest.fixture
def space(monkeypatch):
    """Sixteen cells of two models, nets, depths and widths."""
    made = tiny_space(cells=grid([VAE, WGAN], [fc, conv], [1, 3], [2], [digits], width=[16, 32]))
    monkeypatch.setattr(selection, "load_space", lambda name: made)
    return made


def sliced(**options):
    return selection.chosen_space(LaunchOptions(space="tiny", storage="x", **options))


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({}, 16),
        ({"nets": ["FC"]}, 8),
        ({"depths": [3]}, 8),
        ({"depths": [1, 3], "latents": [2]}, 16),
        ({"where": ["width=32"]}, 8),
        ({"models": ["vae"], "nets": ["conv"], "depths": [1], "where": ["width=16"]}, 1),
    ],
)
def test_a_slice_has_the_cells_that_are_named_and_their_trainings_are_those_of_the_whole(space, ledger, options, left):
    part = sliced(**options)
    assert len(part.cells) == left
    keys = {trial.key for trial in Plan(part, ledger, IDENTITY).trials()}
    assert len(keys) == 12 * left and keys <= {trial.key for trial in Plan(space, ledger, IDENTITY).trials()}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"nets": ["cov"]}, r"has no net 'cov' \(did you mean 'conv'\?\); it has: conv, fc"),
        ({"depths": [2]}, "has no depth '2'; it has: 1, 3"),
        ({"latents": [8]}, "has no latent size '8'; it has: 2"),
        ({"where": ["width=64"]}, "no cell of space 'tiny' has width=64; width is 16, 32"),
        ({"where": ["widht=16"]}, r"not 'widht=16' \(did you mean 'width'\?\)"),
        ({"where": ["width"]}, "NAME=VALUE"),
    ],
)
def test_what_there_is_not_is_said_with_what_there_is(space, options, said):
    with pytest.raises(UserError, match=said):
        sliced(**options)


def test_packs_are_as_large_as_asked_for_and_part_of_no_key(space, ledger):
    few, many = (Plan(sliced(pack=pack), ledger, IDENTITY) for pack in (1, 4))
    first = space.cells[0]
    assert [len(pack.trials) for pack in few.advance(first)[1]] == [1] * 12
    assert sorted(len(pack.trials) for pack in many.advance(first)[1]) == [3] * 4  # those of a replicate stay together
    assert [trial.key for trial in few.trials()] == [trial.key for trial in many.trials()]


def test_larger_images_are_trained_apart_on_processors_and_side_by_side_on_cards(ledger):
    """As a pack they would be trained one after the other, on one core, while others have nothing to do."""
    identity = {"digits": IDENTITY["digits"] | {"shape": [1, 28, 28]}}
    plan = Plan(tiny_space(pack=32), ledger, identity)
    cell = plan.space.cells[0]
    assert [len(pack.trials) for pack in plan.advance(cell)[1]] == [1] * 12
    plan.pack_on_cards = 64
    assert [len(pack.trials) for pack in plan.advance(cell)[1]] == [12]
    assert [len(pack.trials) for pack in Plan(tiny_space(pack=32), ledger, IDENTITY).advance(cell)[1]] == [12]
