"""What a model of one's own does wrong is said in a line before anything is trained, even where it ends its process or hangs."""

import re

import launching
import pytest
from tiny import outcome

from study import launch
from study.errors import UserError
from study.ledger.folder import Ledger
from study.space.loading import load_space
from study.sweep import rehearsal
from study.sweep.plan import Plan
from study.sweep.preparation import identities, prepare
from study.sweep.rehearsal import rehearse
from study.training.few_steps import few_of, found_in

SPACE = '''"""Models that are wrong in one way each, and one that is sound."""
import os
import signal
import time

from torch import nn

from models.gan import GAN
from models.nets import fc
from models.vae import VAE
from study.data import digits
from study.space import Budget, Search, Space, grid


class Sound(VAE):
    """Nothing is wrong with it."""


class Signed(VAE):
    def sample(self, z):
        return 2 * super().sample(z) - 1


class Flat(VAE):
    def sample(self, z):
        return super().sample(z).flatten(1)


class Bare(VAE):
    def loss(self, x, noise, epoch):
        return super().loss(x, noise, epoch)["loss"]


class Endless(VAE):
    def loss(self, x, noise, epoch):
        return {name: value / 0 for name, value in super().loss(x, noise, epoch).items()}


class Hidden(VAE):
    def posterior(self, x):
        if self.training:
            return super().posterior(x)
        raise ValueError("no posterior where it is measured")


class Counting(VAE):
    steps = 0

    def loss(self, x, noise, epoch):
        Counting.steps += 1
        return {name: value * Counting.steps for name, value in super().loss(x, noise, epoch).items()}


class Spectral(GAN):
    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        for module in self.critic:
            if isinstance(module, nn.Linear):
                nn.utils.parametrizations.spectral_norm(module)


class Dies(VAE):
    def loss(self, x, noise, epoch):
        os.kill(os.getpid(), signal.SIGSEGV)


class Hangs(VAE):
    def loss(self, x, noise, epoch):
        time.sleep(600)


MODELS = [Dies, Hangs, Sound, Signed, Flat, Bare, Endless, Hidden, Counting, Spectral]
SPACE = Space(cells=grid(MODELS, [fc], [1], [2, 4], [digits], width=[16]), propose=lambda trial, cell: {},
              budget=lambda cell: Budget(2, 64), search=Search(rounds=(1,), rungs=()), replicates=1)
'''
SAID = {
    "signed": "sample() gives values from -",
    "flat": "sample() gives (2, 64) for 2 latents, where images are (2, 1, 8, 8)",
    "bare": "loss() gives a Tensor, where a dict of numbers is asked",
    "endless": "its loss is not finite after a few steps",
    "hidden": "ValueError: no posterior where it is measured ({file}:43)",
    "counting": "side by side with another its loss/",
    "spectral": "trained one at a time, which takes longer, since side by side it raises RuntimeError: Batching rule",
}


@pytest.fixture(scope="module")
def planned(tmp_path_factory, data_dir):
    """The plan of a space of one's own, as a launch makes it; and the file."""
    folder = tmp_path_factory.mktemp("own")
    file = folder / "own_models.py"
    file.write_text(SPACE)
    space, options = load_space(str(file)), launch.parse(["--space", str(file)])
    ledger = Ledger(folder / "studies" / space.name)
    prepare(space, options, data_dir, ledger, lambda line: None)
    return lambda **only: Plan(space.only(**only), ledger, identities(space, data_dir, options)), file


def test_each_kind_of_mistake_is_one_line_that_names_the_cell(planned, data_dir, monkeypatch):
    plan, file = planned
    monkeypatch.setattr(rehearsal, "answers", lambda studies, data_dir, _: (found_in(each, data_dir) for each in studies))
    lines = []
    with pytest.raises(UserError, match="6 of 8 kinds of cells cannot be trained as they are"):
        rehearse(plan(models=["sound", *SAID]), data_dir, lines.append, strict=True)
    told = {line.split("-")[0].removeprefix("cell "): line for line in lines}
    assert told.keys() == SAID.keys() and len(lines) == len(SAID)
    for name, text in SAID.items():
        assert told[name].startswith(f"cell {name}-fc-d1-z2-width-16-digits (and 1 of other latent sizes): "), told[name]
        assert text.format(file=file) in told[name] and "\n" not in told[name], told[name]


@pytest.mark.long
def test_a_model_that_ends_its_process_or_hangs_is_said_and_those_behind_it_are_tried(planned, data_dir, monkeypatch):
    """A launch goes on, since another model is sound."""
    plan, file = planned
    monkeypatch.setattr(rehearsal, "LIMIT_S", 45.0)
    lines = []
    rehearse(plan(models=["dies", "hangs", "flat", "sound"]), data_dir, lines.append)
    assert [line.split(": ")[1].split(";")[0] for line in lines] == [
        "it ends its process (SIGSEGV)",
        "a few steps of it did not end within 45 s",
        "sample() gives (2, 64) for 2 latents, where images are (2, 1, 8, 8)",
    ]
    with pytest.raises(UserError, match="1 of 1 kinds"):
        rehearse(plan(models=["flat"]), data_dir, lines.append)


@pytest.mark.long
def test_the_command_says_in_a_line_that_all_is_well_or_ends_with_code_2_and_trains_nothing(planned, data_dir, tmp_path):
    _, file = planned
    said = launching.launch(tmp_path, data_dir, "--models", "Sound", "--check", space=file)
    assert re.search(r"^1 kind of cells trained for a few steps, measured and drawn: all is well \([\d.]+ s\)$", said, re.M)
    assert "cell flat-fc" in launching.launch(tmp_path, data_dir, "--models", "Sound", "Flat", "--check", space=file, code=2)
    assert not (tmp_path / file.stem / "trials").exists()


def test_a_rehearsal_takes_fewer_of_large_images():
    """Of photographs of 160 x 160 a few seconds' worth: a convolutional VAE of them was told to hang."""
    assert [few_of(shape) for shape in ((1, 8, 8), (1, 28, 28), (3, 64, 64), (3, 160, 160))] == [128, 128, 85, 16]


def test_what_was_trained_before_is_not_rehearsed_again(planned):
    plan, _ = planned
    again = plan(models=["sound", "flat"])
    kinds = rehearsal.kinds_of(again)
    trial = again.confirm[kinds[0][1].name][0]
    again.record(trial, outcome(trial))
    assert rehearsal.untried(again, kinds) == kinds[1:]


def test_models_of_the_project_are_not_rehearsed_by_a_launch(plan, data_dir, monkeypatch):
    monkeypatch.setattr(rehearsal, "answers", lambda kinds, *given: pytest.fail("rehearsed") if kinds else iter(()))
    rehearse(plan, data_dir, pytest.fail)
