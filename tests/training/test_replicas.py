"""Replicas trained side by side are the same trainings as one at a time, and go on after a stop bit for bit."""

import io
from functools import partial

import pytest
import torch

from models.gan import GAN
from models.nets import conv, fc
from models.vae import VAE
from models.wgan import WGAN
from study.training.replicas import Replicas

SHAPE = (1, 8, 8)
MODELS = {
    "vae": partial(VAE, norm=True),
    "gan": GAN,
    "wgan": partial(WGAN, critic_steps=3),
    "wgan-clip": partial(WGAN, critic_steps=3, clip=0.05),
}
NETS = {"fc": partial(dict, net=fc, width=12), "conv": partial(dict, net=conv, width=4)}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
every_net = pytest.mark.parametrize("net", NETS.values(), ids=NETS)


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 17, (105, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def builder(model, net, **options):
    return lambda: model(SHAPE, depth=2, latent_dim=3, **net(), **options).double()


def train(replicas, images, epochs=2, **options):
    histories = [replicas.train_epoch(images, 17, 10, **options) for _ in range(epochs)]
    return {name: torch.cat([history[name] for history in histories], 1) for name in histories[-1]}


def distance(one, other):
    assert one.keys() == other.keys()
    return max((one[name].double() - other[name].double()).abs().max().item() for name in one)


@every_model
@every_net
def test_replicas_side_by_side_are_the_trainings_one_at_a_time(model, net, images):
    """20 steps, with BatchNorm in all generators and the gradient penalty in the unclipped WGAN."""
    build, seeds = builder(model, net), [3, 4, 5]
    singles = [Replicas(build, [seed]) for seed in seeds]
    histories = [train(single, images) for single in singles]
    for fused in (True, False):
        together = Replicas(build, seeds, fused=fused)
        losses = train(together, images)
        for k, single in enumerate(singles):
            assert distance(single.weights(0), together.weights(k)) < 1e-8
            assert (
                distance(
                    {name: value[0] for name, value in histories[k].items()}, {name: value[k] for name, value in losses.items()}
                )
                < 1e-8
            )


@every_net
def test_a_single_replica_is_the_same_lifted_or_not(net, images):
    plain, lifted = (Replicas(builder(VAE, net), [3], fused=fused) for fused in (False, True))
    assert distance(train(plain, images), train(lifted, images)) < 1e-8
    assert distance(plain.weights(0), lifted.weights(0)) < 1e-8


@every_model
@every_net
def test_a_replica_is_what_a_loop_by_hand_trains(model, net, images):
    """The customary loop on the same batches and noise: zero_grad, backward, an optimiser without fusing, a clamp."""
    build = builder(model, net)
    replicas, batches = Replicas(build, [7, 8], fused=True), Replicas(build, [7]).batches(images, 17, 10, False)
    by_hand = build()
    by_hand.load_state_dict(replicas.weights(0))
    parts = [
        [value for name, value in by_hand.named_parameters() if name.split(".")[0] in phase.learns] for phase in by_hand.phases
    ]
    optimisers = [unfused(phase.optimiser(part)) for phase, part in zip(by_hand.phases, parts)]
    for x, due in batches:
        for index, noise in due:
            by_hand.zero_grad()
            phase = by_hand.phases[index]
            getattr(by_hand, phase.loss)(x[0], {name: value[0] for name, value in noise.items()}, torch.zeros(()))[
                "loss"
            ].backward()
            optimisers[index].step()
            for parameter in parts[index]:
                parameter.data.clamp_(-(phase.clip or 1e9), phase.clip or 1e9)
    train(replicas, images, epochs=1)
    assert distance(replicas.weights(0), by_hand.state_dict()) < 1e-8


def unfused(optimiser):
    kept = {name: value for name, value in optimiser.defaults.items() if name in ("lr", "betas", "alpha", "eps")}
    return type(optimiser)(optimiser.param_groups[0]["params"], foreach=False, **kept)


def test_each_phase_moves_only_what_it_learns(images):
    replicas = Replicas(builder(GAN, NETS["fc"]), [1, 2], fused=True)
    (x, due), before = next(replicas.batches(images, 17, 10, False)), replicas.weights(1)
    replicas.step(0, x, dict(due)[0], torch.zeros(()))
    moved = {name.split(".")[0] for name, value in replicas.models[1].named_parameters() if not torch.equal(value, before[name])}
    assert moved == {"critic"}


def test_a_phase_takes_its_turn_on_every_nth_batch_across_epochs(images):
    replicas = Replicas(builder(MODELS["wgan"], NETS["fc"]), [1, 2])
    turns = [
        replicas.train_epoch(images, 17, 50)["generator/loss"].shape[1]
        if epoch % 3
        else len(replicas.train_epoch(images, 17, 50)) - 3
        for epoch in range(6)
    ]
    assert turns == [0, 1, 1, 0, 1, 1]  # 2 batches an epoch, a generator step on every third


@pytest.mark.parametrize("fused", [True, False])
def test_with_dropout_even_equal_seeds_draw_their_own_masks(images, fused):
    for rate, equal in ((0.0, True), (0.5, False)):
        replicas = Replicas(builder(VAE, NETS["fc"], dropout=rate), [5, 5], fused=fused)
        losses = replicas.train_epoch(images, 17, 10)["vae/loss"]
        assert torch.allclose(losses[0], losses[1]) == equal


def test_dropout_draws_new_masks_in_every_epoch(images):
    replicas = Replicas(builder(VAE, NETS["fc"], dropout=0.5), [1])
    states = [replicas.random]
    for _ in range(2):
        replicas.train_epoch(images, 17, 10)
        states.append(replicas.random)
    assert not torch.equal(states[0], states[1]) and not torch.equal(states[1], states[2])


def test_the_pack_changes_neither_order_nor_noise_however_often_noise_is_drawn(images, monkeypatch):
    monkeypatch.setattr("study.training.batches.NOISE_FLOATS", 3000)  # four of the ten steps at a time
    build = builder(MODELS["wgan"], NETS["fc"])
    alone, pack = (Replicas(build, seeds).batches(images, 17, 10, True) for seeds in ([5], [3, 4, 5, 6]))
    for (x, own), (others_x, others) in zip(alone, pack, strict=True):
        assert torch.equal(x[0], others_x[2])
        for (phase, noise), (others_phase, others_noise) in zip(own, others, strict=True):
            assert phase == others_phase
            assert all(torch.equal(value[0], others_noise[name][2]) for name, value in noise.items())


@every_model
@every_net
@pytest.mark.parametrize("seeds", [[5], [5, 6]], ids=str)
def test_training_resumed_from_a_file_equals_training_undisturbed(model, net, seeds, images):
    def make():
        return Replicas(lambda: builder(model, net, encoder={"dropout": 0.3})().float(), seeds)

    undisturbed, stopped, file = make(), make(), io.BytesIO()
    expected = train(undisturbed, images, epochs=3, binarised=True)
    first = train(stopped, images, epochs=1, binarised=True)
    torch.save(stopped.state_dict(), file)
    file.seek(0)
    torch.manual_seed(123)  # whatever else happens to the global generator
    resumed = make()
    resumed.load_state_dict(torch.load(file, weights_only=True))
    rest = train(resumed, images, epochs=2, binarised=True)
    assert resumed.epoch == 3
    for name in expected:
        assert torch.equal(torch.cat([first[name], rest[name]], 1), expected[name])
    for k in range(len(seeds)):
        assert distance(undisturbed.weights(k), resumed.weights(k)) == 0


def test_a_state_of_other_seeds_is_refused():
    build = builder(VAE, NETS["fc"])
    with pytest.raises(ValueError, match="seeds"):
        Replicas(build, [1, 2]).load_state_dict(Replicas(build, [1, 3]).state_dict())


def test_training_leaves_the_global_generator_alone(images):
    torch.manual_seed(9)
    before = torch.get_rng_state()
    train(Replicas(builder(VAE, NETS["fc"], dropout=0.5), [1, 2]), images)
    assert torch.equal(torch.get_rng_state(), before)


def test_replicas_see_the_images_in_their_own_orders_and_drop_the_rest(images):
    replicas = Replicas(builder(VAE, NETS["fc"]), [1, 2])
    epoch = torch.cat([x for x, _ in replicas.batches(images, 17, 10, False)], 1)
    known = {tuple(image.flatten().tolist()) for image in images / torch.tensor(16.0).double()}
    for seen in epoch:
        assert len({tuple(image.flatten().tolist()) for image in seen} & known) == 100
    assert not torch.equal(epoch[0], epoch[1])


def test_binarised_pixels_are_drawn_with_the_grey_level_as_probability():
    grey, replicas = torch.full((400, *SHAPE), 4, dtype=torch.uint8), Replicas(builder(VAE, NETS["fc"]), [1, 2])
    epoch = torch.cat([x for x, _ in replicas.batches(grey, 17, 100, True)], 1)
    assert set(epoch.unique().tolist()) == {0.0, 1.0}
    assert epoch.mean((1, 2, 3, 4)).tolist() == pytest.approx([0.25, 0.25], abs=0.01)


def test_the_data_never_leave_the_unit_interval(images):
    replicas = Replicas(builder(VAE, NETS["fc"]), [1])
    for bad in (images + 1, images.float()):
        with pytest.raises(ValueError, match="uint8 grey levels below 17"):
            replicas.train_epoch(bad, 17, 10)
    with pytest.raises(ValueError, match="do not fill one batch"):
        replicas.train_epoch(images, 17, 106)


@every_model
def test_calls_reach_every_replica_in_evaluation(model, images):
    replicas = Replicas(builder(model, NETS["conv"], encoder={"dropout": 0.5}), [1, 2])
    train(replicas, images, epochs=1)
    z = torch.randn(5, 3).double()
    samples = replicas.sample(z)
    assert samples.shape == (2, 5, *SHAPE) and torch.equal(samples, replicas.sample(z)) and not samples.requires_grad
    alone = builder(model, NETS["conv"], encoder={"dropout": 0.5})()
    alone.load_state_dict(replicas.weights(1))
    assert torch.equal(alone.eval().sample(z), samples[1])
    each = replicas.call("sample", torch.stack([z, z + 1]), shared=False)
    assert torch.equal(each[0], samples[0]) and not torch.equal(each[1], samples[1])


def test_results_of_several_tensors_keep_their_form():
    mean, log_variance = Replicas(builder(VAE, NETS["fc"]), [1, 2, 3]).call("posterior", torch.rand(4, *SHAPE).double())
    assert mean.shape == log_variance.shape == (3, 4, 3)


def test_the_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    first = Replicas(builder(VAE, NETS["fc"]), [7, 8]).weights(0)
    torch.manual_seed(2)
    pack = Replicas(builder(VAE, NETS["fc"]), [6, 7])
    assert distance(first, pack.weights(1)) == 0 and distance(first, pack.weights(0)) > 0


@pytest.mark.parametrize("channels", [1, 3])
def test_convolutions_on_a_cpu_work_channels_last_whatever_the_number_of_channels(channels):
    """Else values and gradients lie in different orders, and an activation's backward step takes ten times as long."""
    shape = (channels, 28, 28)
    (model,) = Replicas(lambda: GAN(shape, conv, 2, 4, width=8), [0]).models
    first = model.critic[0](torch.rand(2, *shape))
    assert first.is_contiguous(memory_format=torch.channels_last) and not first.is_contiguous()
