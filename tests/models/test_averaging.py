"""Averaged weights are what a loop by hand averages, go on after a stop, and are measured beside the weights themselves."""

import pytest
import torch
from trials import planned

from models.averaging import Average
from models.gan import GAN
from models.nets import conv, fc
from models.wgan import WGAN
from study.metrics.catalogue import AVERAGED, BY_KEY
from study.training.replicas import Replicas
from study.training.run import run_trial

DECAY = 0.8


@pytest.fixture
def images():
    return torch.randint(0, 17, (80, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("model", [GAN, WGAN])
@pytest.mark.parametrize("net", [fc, conv])
def test_the_average_is_that_of_a_loop_by_hand(model, net, images):
    steps = {} if model is GAN else {"critic_steps": 2}
    replicas = Replicas([lambda: model((1, 8, 8), net, 1, 2, width=4, average=DECAY, **steps).double()], [0])
    expected = {name: value.clone() for name, value in replicas.model.generator.named_parameters()}
    step, seen = replicas.step, []

    def watched(x, due, epoch):
        if 1 in due:  # the generator's turn
            kept = min(DECAY, (1 + len(seen)) / (10 + len(seen)))
            seen.append(due)
            for name, value in replicas.model.generator.named_parameters():
                expected[name] = (kept * expected[name] + (1 - kept) * value).detach().clone()
        return step(x, due, epoch)

    replicas.step = watched
    replicas.train_epoch(images, 17, 10)
    assert len(seen) == 8 // replicas.phases[1].every
    model = replicas.model.eval()
    raw, z = model.sample(torch.ones(3, 2).double()), torch.ones(3, 2).double()
    for name, value in expected.items():
        torch.testing.assert_close(getattr(model.average, name.replace(".", "_")), value)
    assert not torch.allclose(model.sample_averaged(z), raw)
    model.generator.load_state_dict(expected, strict=False)
    torch.testing.assert_close(model.sample_averaged(z), model.sample(z))


def test_what_is_no_share_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        Average(torch.nn.Linear(2, 2), 1.0)


def test_samples_by_averaged_weights_are_measured_beside_the_others(ledger, data_dir):
    result = run_trial(planned(ledger, data_dir, model=GAN, epochs=8, average=0.99), data_dir)
    assert AVERAGED.keys() <= result.measures.keys() and all(key in BY_KEY for key in AVERAGED)
    assert result.measures["average/fd_rel"] != result.measures["quality/fd_rel"]
    assert result.measures["average/fd_rel"] < 1.5


def test_a_model_without_averages_has_no_such_measures(ledger, data_dir):
    result = run_trial(planned(ledger, data_dir, model=GAN, epochs=2), data_dir)
    assert result.status == "done" and not AVERAGED.keys() & result.measures.keys()
