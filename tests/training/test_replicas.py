"""Replicas trained side by side are the same trainings as one at a time, and go on after a stop bit for bit."""

import io
from dataclasses import replace
from functools import partial
from itertools import combinations

import pytest
import torch
from by_hand import optimiser_of

from models.gan import GAN
from models.linear import linear
from models.nets import conv, fc
from models.phase import Adam, learned_by
from models.vae import VAE
from models.wgan import WGAN
from study.training.numerics import products_in
from study.training.optimisers import ScaledAdam, StackedAdam
from study.training.replicas import Replicas

SHAPE = (1, 8, 8)
MODELS = {
    "vae": partial(VAE, norm=True),
    "gan": GAN,
    "wgan": partial(WGAN, critic_steps=3),
    "wgan-clip": partial(WGAN, critic_steps=3, clip=0.05),
}
OTHERS = {f"gan-{loss}": partial(GAN, loss=loss) for loss in ("hinge", "least_squares")} | {
    "gan-average": partial(GAN, average=0.9),
    "wgan-average": partial(WGAN, critic_steps=2, average=0.9),
    "gan-shared": partial(GAN, shared_draw=True),
    "wgan-shared": partial(WGAN, critic_steps=2, shared_draw=True),
    "gan-shared-augmented": partial(GAN, shared_draw=True, feature_matching=True, augment=("color",)),
    "vae-flips": partial(VAE, flips=True),
    "gan-augmented": partial(GAN, flips=True, augment=("color", "translation", "cutout")),
    "wgan-augmented": partial(WGAN, critic_steps=2, flips=True, augment=("color", "translation", "cutout")),
    "gan-spectral": partial(GAN, loss="hinge", encoder={"spectral": True, "norm": False}),
    "wgan-spectral": partial(WGAN, critic_steps=2, penalty=0, encoder={"spectral": True}),
}
NETS = {"fc": partial(dict, net=fc, width=12), "conv": partial(dict, net=conv, width=4)}
ALIGNED = partial(dict, net=fc, width=32), 32  # a net and a batch of whole vectors: at the end of others torch rounds differently
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
every_net = pytest.mark.parametrize("net", NETS.values(), ids=NETS)


def with_each_net(names, also_conv=()):
    """Every name with each net; with the convolutional one in the long tests, but for those named there."""
    return [
        pytest.param(name, net, id=f"{name}-{key}", marks=pytest.mark.long if key == "conv" and name not in also_conv else ())
        for name in names
        for key, net in NETS.items()
    ]


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 17, (105, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def builder(model, net, **options):
    return lambda: model(SHAPE, depth=2, latent_dim=3, **net(), **options).double()


def pack(build, seeds, **options):
    return Replicas([build] * len(seeds), seeds, **options)


def train(replicas, images, epochs=2, batch=10, **options):
    histories = [replicas.train_epoch(images, 17, batch, **options) for _ in range(epochs)]
    return {name: torch.cat([history[name] for history in histories], 1) for name in histories[-1]}


def distance(one, other):
    assert one.keys() == other.keys()
    return max((one[name].double() - other[name].double()).abs().max().item() for name in one)


@pytest.mark.parametrize("name, net", with_each_net(MODELS | OTHERS, also_conv=MODELS))
def test_replicas_side_by_side_are_the_trainings_one_at_a_time(name, net, images):
    """20 steps, with BatchNorm in all generators and the gradient penalty in the unclipped WGAN."""
    build, seeds = builder((MODELS | OTHERS)[name], net), [3, 4, 5]
    singles = [pack(build, [seed]) for seed in seeds]
    histories = [train(single, images) for single in singles]
    for fused in (True, False):
        together = pack(build, seeds, fused=fused)
        losses = train(together, images)
        for k, single in enumerate(singles):
            assert distance(single.weights(0), together.weights(k)) < 1e-8
            assert (
                distance(
                    {name: value[0] for name, value in histories[k].items()}, {name: value[k] for name, value in losses.items()}
                )
                < 1e-8
            )


DIFFERENT = {  # name -> (model, what three trainings of one pack differ in)
    "vae lr": (MODELS["vae"], {"lr": [1e-3, 3e-2, 1e-4]}),
    "vae betas": (MODELS["vae"], {"betas": [(0.9, 0.999), (0.0, 0.9), (0.5, 0.99)]}),
    "vae beta": (MODELS["vae"], {"beta": [0.1, 1.0, 8.0]}),
    "vae beta, warmed up": (partial(VAE, warmup=3, reduction="mean_both"), {"beta": [0.1, 1.0, 8.0]}),
    "vae variance": (partial(VAE, likelihood="gaussian"), {"variance": [0.1, 0.5, 2.0]}),
    "vae decay": (MODELS["vae"], {"lr_decay": [1.0, 0.5, 0.1]}),
    "gan decay": (GAN, {"lr_decay": [1.0, 0.5, 0.1]}),
    "wgan decay": (MODELS["wgan"], {"lr_decay": [1.0, 0.5, 0.1]}),
    "rmsprop decay": (partial(MODELS["wgan"], optimiser="rmsprop", lr=1e-3), {"lr_decay": [1.0, 0.5, 0.1]}),
    "gan lr": (GAN, {"lr": [1e-3, 3e-2, 1e-4]}),
    "gan betas": (GAN, {"betas": [(0.9, 0.999), (0.0, 0.9), (0.5, 0.99)]}),
    "gan two rates": (GAN, {"lr_generator": [1e-3, 1e-2, 1e-4], "lr_discriminator": [1e-2, 1e-4, 1e-3]}),
    "gan smoothing": (GAN, {"smoothing": [0.0, 0.1, 0.3]}),
    "wgan lr": (MODELS["wgan"], {"lr": [1e-3, 1e-2, 1e-4]}),
    "wgan betas": (MODELS["wgan"], {"betas": [(0.0, 0.9), (0.9, 0.999), (0.5, 0.99)]}),
    "wgan two rates": (MODELS["wgan"], {"lr_generator": [1e-3, 1e-2, 1e-4], "lr_discriminator": [1e-2, 1e-4, 1e-3]}),
    "wgan penalty": (MODELS["wgan"], {"penalty": [0.1, 10.0, 1.0]}),
    "wgan clip": (MODELS["wgan-clip"], {"clip": [0.05, 0.01, 0.1]}),
    "rmsprop lr": (partial(MODELS["wgan"], optimiser="rmsprop"), {"lr": [1e-4, 1e-3, 3e-4]}),
    "rmsprop penalty": (partial(MODELS["wgan"], optimiser="rmsprop", lr=1e-3), {"penalty": [0.1, 10.0, 1.0]}),
    "rmsprop clip": (partial(MODELS["wgan-clip"], optimiser="rmsprop", lr=1e-3), {"clip": [0.05, 0.01, 0.1]}),
    "rmsprop two rates": (
        partial(MODELS["wgan-clip"], optimiser="rmsprop"),
        {"lr_generator": [1e-4, 1e-3, 3e-4], "lr_discriminator": [1e-3, 3e-4, 1e-4]},
    ),
}


def of_different(name, net) -> list:
    """Three builders of one kind of model, which differ in what the name says."""
    model, values = DIFFERENT[name]
    return [builder(model, net, **dict(zip(values, each))) for each in zip(*values.values())]


def few(images):
    """Four batches: every phase has a turn."""
    return images[:40]


@pytest.mark.parametrize("name, net", with_each_net(DIFFERENT))
def test_trainings_of_different_hyperparameters_side_by_side_are_those_one_at_a_time(name, net, images):
    builds, seeds = of_different(name, net), [3, 4, 5]
    singles = [pack(build, [seed]) for build, seed in zip(builds, seeds)]
    histories = [train(single, few(images)) for single in singles]
    for fused in (True, False):
        together = Replicas(builds, seeds, fused=fused)
        losses = train(together, few(images))
        for k, single in enumerate(singles):
            assert distance(single.weights(0), together.weights(k)) < 1e-8
            assert distance({name: value[0] for name, value in histories[k].items()}, row(losses, k)) < 1e-8


@pytest.mark.parametrize("name", DIFFERENT)
def test_every_hyperparameter_of_a_pack_reaches_its_training(name, images):
    """Three trainings of one seed, so that nothing but the hyperparameter can make a difference."""
    together = Replicas(of_different(name, NETS["fc"]), [3, 3, 3])
    train(together, few(images))
    weights = [together.weights(k) for k in range(3)]
    assert all(distance(one, other) > 1e-6 for one, other in combinations(weights, 2))


def row(losses, k):
    return {name: value[k] for name, value in losses.items()}


def test_all_that_a_class_calls_stackable_is_tested_above():
    tested = {(getattr(model, "func", model), name) for model, values in DIFFERENT.values() for name in values}
    assert {(model, name) for model in (VAE, GAN, WGAN) for name in model.stackable if name != "dropout"} == tested


@pytest.mark.parametrize("name", ["vae beta", "gan lr", "wgan penalty", "rmsprop clip"])
def test_a_fully_connected_training_has_the_same_bits_in_packs_of_any_size(name, images):
    (model, values), (net, batch) = DIFFERENT[name], ALIGNED
    ((hyperparameter, choices),) = values.items()

    def trained(members):
        """Of sixteen trainings those that are named, in float32."""
        builds = [
            lambda k=k: model(SHAPE, depth=2, latent_dim=3, **net(), **{hyperparameter: choices[k % 3] * (1 + k / 16)})
            for k in members
        ]
        replicas = Replicas(builds, [100 + k for k in members])
        return train(replicas, images, batch=batch), replicas

    losses, sixteen = trained(range(16))
    for members in ([4, 9], [11, 4, 0, 15, 9]):
        own_losses, own = trained(members)
        for place, k in enumerate(members):
            assert distance(own.weights(place), sixteen.weights(k)) == 0
            assert distance(row(own_losses, place), row(losses, k)) == 0


@pytest.mark.parametrize("name", ["vae beta", "gan two rates", "wgan betas", "rmsprop clip"])
def test_states_taken_out_of_two_packs_go_on_in_a_third_as_if_they_had_always_been_together(name, images):
    net, batch = ALIGNED
    builds, seeds = [*of_different(name, net), of_different(name, net)[1]], [3, 4, 5, 6]
    whole, first, second = (Replicas(builds[part], seeds[part]) for part in (slice(4), slice(2), slice(2, 4)))
    for replicas in (whole, first, second):
        train(replicas, images, epochs=1, batch=batch)
    joined, state = Replicas([builds[k] for k in (3, 0)], [6, 3]), first.state_dict()
    state["replicas"] = [second.state_dict()["replicas"][1], state["replicas"][0]]
    torch.save(state, file := io.BytesIO())
    file.seek(0)
    joined.load_state_dict(torch.load(file, weights_only=True))
    losses, expected = (train(replicas, images, batch=batch) for replicas in (joined, whole))
    for place, k in enumerate((3, 0)):
        assert distance(joined.weights(place), whole.weights(k)) == 0
        assert distance(row(losses, place), row(expected, k)) == 0


def test_the_state_of_one_training_is_its_own(images):
    """A file of it holds no more than it, and training on does not change it."""
    replicas = pack(builder(GAN, NETS["fc"]), range(8))
    state = replicas.state_dict()["replicas"][3]
    before = state["parameters"]["critic.1.weight"].clone()
    train(replicas, images, epochs=1)
    assert torch.equal(state["parameters"]["critic.1.weight"], before)
    sizes = []
    for each in (state, pack(builder(GAN, NETS["fc"]), [3]).state_dict()["replicas"][0]):
        torch.save(each, file := io.BytesIO())
        sizes.append(len(file.getvalue()))
    assert sizes[0] == sizes[1]


def test_models_of_another_program_are_refused():
    others = [
        builder(WGAN, NETS["fc"], **options)
        for options in ({"critic_steps": 2}, {"optimiser": "rmsprop"}, {"clip": 0.1}, {"penalty": 0})
    ]
    for other in others:
        with pytest.raises(ValueError, match="the same phases"):
            Replicas([builder(WGAN, NETS["fc"]), other], [1, 2])


class Descending(VAE):
    """Asks for an optimiser that the project does not know."""

    def __init__(self, *arguments, lr=1e-2, momentum=0.9, **options):
        super().__init__(*arguments, lr=lr, **options)
        self.phases = [replace(self.phases[0], optimiser=lambda tensors: torch.optim.SGD(tensors, lr=lr, momentum=momentum))]


@every_net
@pytest.mark.parametrize("fused", [True, False])
def test_any_optimiser_of_torch_trains_a_pack_and_goes_on(net, fused, images):
    builds, seeds = [builder(Descending, net, lr=lr) for lr in (1e-4, 1e-3)], [3, 4]
    together = Replicas(builds, seeds, fused=fused)
    train(together, images)
    for k, (build, seed) in enumerate(zip(builds, seeds)):
        alone, stopped = pack(build, [seed]), pack(build, [seed])
        train(alone, images)
        assert distance(alone.weights(0), together.weights(k)) < 1e-8
        train(stopped, images, epochs=1)
        resumed = pack(build, [seed])
        resumed.load_state_dict(stopped.state_dict())
        train(resumed, images, epochs=1)
        assert distance(alone.weights(0), resumed.weights(0)) == 0


@every_net
def test_a_single_replica_is_the_same_lifted_or_not(net, images):
    plain, lifted = (pack(builder(VAE, net), [3], fused=fused) for fused in (False, True))
    assert distance(train(plain, images), train(lifted, images)) < 1e-8
    assert distance(plain.weights(0), lifted.weights(0)) < 1e-8


@every_model
@every_net
def test_a_replica_is_what_a_loop_by_hand_trains(model, net, images):
    """The customary loop on the same batches and noise: zero_grad, backward, an optimiser without fusing, a clamp."""
    build = builder(model, net)
    replicas, batches = pack(build, [7, 8], fused=True), pack(build, [7]).batches(images, 17, 10, False)
    by_hand = build()
    by_hand.load_state_dict(replicas.weights(0))
    parts = [
        [value for name, value in by_hand.named_parameters() if name.split(".")[0] in phase.learns] for phase in by_hand.phases
    ]
    optimisers = [optimiser_of(phase, part) for phase, part in zip(by_hand.phases, parts)]
    for x, due in batches:
        for index, noise in due.items():
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


@every_net
@pytest.mark.parametrize("model", [GAN, partial(WGAN, critic_steps=2)])
def test_a_shared_draw_is_the_customary_loop_that_generates_once_a_batch(model, net, images):
    build = builder(partial(model, shared_draw=True), net)
    replicas, batches = pack(build, [7, 8], fused=True), pack(build, [7]).batches(images, 17, 10, False)
    by_hand = build()
    by_hand.load_state_dict(replicas.weights(0))
    critic, generator = by_hand.phases
    assert "z" in critic.noise and "z" not in generator.noise
    learning = [optimiser_of(phase, learned_by(phase, dict(by_hand.named_parameters()))) for phase in by_hand.phases]
    for x, due in batches:
        given = {name: value[0] for name, value in due[0].items()}
        fake = by_hand.generate(given["z"])
        for index, images_seen in ((0, fake.detach()), (1, fake)):
            if index in due:
                phase = by_hand.phases[index]
                by_hand.zero_grad()
                getattr(by_hand, phase.loss)(x[0], given | {"drawn": images_seen}, torch.zeros(()))["loss"].backward()
                learning[index].step()
    train(replicas, images, epochs=1)
    assert distance(replicas.weights(0), by_hand.state_dict()) < 1e-8


def test_a_shared_draw_costs_a_pass_through_the_generator_less():
    from study.metrics.cost import cost

    own, shared = (
        cost(builder(GAN, NETS["fc"], shared_draw=share)().float(), SHAPE)["cost/flops_per_image"] for share in (False, True)
    )
    generator = sum(
        2 * value.numel() for name, value in builder(GAN, NETS["fc"])().generator.named_parameters() if value.dim() == 2
    )
    assert own - shared == generator


@every_net
@pytest.mark.parametrize("model", [VAE, GAN, WGAN])
def test_products_of_rounded_operands_move_a_training_a_little_and_leave_its_weights_in_float32(model, net, images):
    build = partial(model, SHAPE, depth=2, latent_dim=3, **net())
    exact, apart, together = (
        Replicas([build] * 2, [3, 4], precision=precision, fused=fused)
        for precision, fused in (("float32", False), ("bf16", False), ("bf16", True))
    )
    losses, rounded, lifted = (own.train_epoch(images, 17, 10) for own in (exact, apart, together))
    for name, value in losses.items():
        assert not torch.equal(value, rounded[name]) and rounded[name].dtype == torch.float32
        scale = value.abs().max().clamp(min=1e-2)
        assert (value - rounded[name]).abs().max() < 0.05 * scale and (rounded[name] - lifted[name]).abs().max() < 0.05 * scale
    assert {value.dtype for value in apart.weights(0).values()} <= {torch.float32, torch.int64}


def test_operands_are_rounded_in_large_products_too():
    """Which a CPU leaves to oneDNN (models/linear.py)."""
    x, weight = torch.randn(128, 784), torch.randn(400, 784, requires_grad=True)
    expected = (x.bfloat16() @ weight.bfloat16().t()).float()
    with products_in("bf16"):
        made = linear(x, weight)
        (gradient,) = torch.autograd.grad(made.sum(), weight)
    assert torch.equal(made, expected) and not torch.equal(made, linear(x, weight)) and gradient.dtype == torch.float32


@pytest.mark.parametrize("decay", [1.0, 0.5])
def test_adam_of_a_whole_pack_in_one_call_is_that_of_one_replica_after_another(decay):
    """As on a card, whose kernels one replica leaves idle."""
    settings = [Adam(rate, (0.5, 0.99), decay) for rate in (1e-2, 3e-4, 1.0)]
    learned = [[torch.randn(3, *shape, dtype=torch.float64) for shape in ((4, 2), (5,))] for _ in range(2)]
    for one, other in zip(*learned):
        other.copy_(one)
    apart, at_once = StackedAdam(settings, learned[0]), ScaledAdam(settings, learned[1])
    for step in range(4):
        gradients = [torch.randn_like(value) for value in learned[0]]
        for optimiser in (apart, at_once):
            optimiser.step([value.clone() for value in gradients], torch.tensor(float(step)))
        if step == 1:  # a state goes from one to the other
            memories = [apart.memory_of(k) for k in range(3)]
            at_once.load([{name: [value.clone() for value in values] for name, values in each.items()} for each in memories], 2)
    assert all(torch.allclose(one, other, rtol=0, atol=1e-12 if decay == 1 else 1e-7) for one, other in zip(*learned))


@pytest.mark.parametrize("options", [{}, {"optimiser": "rmsprop"}])
def test_a_rate_that_decays_is_that_of_torchs_exponential_schedule(options, images):
    build = builder(partial(WGAN, critic_steps=2, lr=1e-2, lr_decay=0.3, **options), NETS["fc"])
    replicas, batches, by_hand = pack(build, [7, 8]), pack(build, [7]), build()
    by_hand.load_state_dict(replicas.weights(0))
    parts = [learned_by(phase, dict(by_hand.named_parameters())) for phase in by_hand.phases]
    optimisers = [optimiser_of(phase, part) for phase, part in zip(by_hand.phases, parts)]
    schedules = [torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.3) for optimiser in optimisers]
    for _ in range(3):
        for x, due in batches.batches(images, 17, 10, False):
            for index, noise in due.items():
                by_hand.zero_grad()
                given = {name: value[0] for name, value in noise.items()}
                getattr(by_hand, by_hand.phases[index].loss)(x[0], given, torch.zeros(()))["loss"].backward()
                optimisers[index].step()
            batches.batches_done += 1
        for schedule in schedules:
            schedule.step()
    train(replicas, images, epochs=3)
    assert distance(replicas.weights(0), by_hand.state_dict()) < 1e-7


def test_each_phase_moves_only_what_it_learns(images):
    replicas = pack(builder(GAN, NETS["fc"]), [1, 2], fused=True)
    (x, due), before = next(replicas.batches(images, 17, 10, False)), replicas.weights(1)
    replicas.step(x, {0: due[0]}, torch.zeros(()))
    moved = {name.split(".")[0] for name, value in replicas.models[1].named_parameters() if not torch.equal(value, before[name])}
    assert moved == {"critic"}


def test_a_phase_takes_its_turn_on_every_nth_batch_across_epochs(images):
    replicas = pack(builder(MODELS["wgan"], NETS["fc"]), [1, 2])
    turns = [
        replicas.train_epoch(images, 17, 50)["generator/loss"].shape[1]
        if epoch % 3
        else len(replicas.train_epoch(images, 17, 50)) - 3
        for epoch in range(6)
    ]
    assert turns == [0, 1, 1, 0, 1, 1]  # 2 batches an epoch, a generator step on every third


def test_dropout_draws_new_masks_in_every_epoch(images):
    replicas = pack(builder(VAE, NETS["fc"], dropout=0.5), [1])
    states = [replicas.state_dict()["replicas"][0]["random"][-1]]
    for _ in range(2):
        replicas.train_epoch(images, 17, 10)
        states.append(replicas.state_dict()["replicas"][0]["random"][-1])
    assert not torch.equal(states[0], states[1]) and not torch.equal(states[1], states[2])


class Drawing(VAE):
    """Brings its own noise, as most code does that one finds."""

    def loss(self, x, noise, epoch):
        return super().loss(x, {"z": torch.randn_like(noise["z"])}, epoch)


@every_net
@pytest.mark.parametrize("model, rate", [(VAE, 0.3), (GAN, 0.3), (MODELS["wgan"], 0.3), (Drawing, 0.0)])
def test_what_a_loss_draws_by_itself_does_not_depend_on_the_pack(model, rate, net, images):
    seeds, rates = [5, 6, 7], [rate, rate / 2, 2 * rate]
    builds = [builder(model, net, dropout=rate) for rate in rates]
    together = Replicas(builds, seeds, fused=True)
    losses = train(together, few(images))
    for k, (build, seed) in enumerate(zip(builds, seeds)):
        torch.manual_seed(k)
        alone = pack(build, [seed])
        assert all(torch.equal(own[0], losses[name][k]) for name, own in train(alone, few(images)).items())
        assert distance(alone.weights(0), together.weights(k)) == 0
    assert not torch.equal(losses[next(iter(losses))][0], losses[next(iter(losses))][1])


def test_to_ask_whether_a_loss_draws_changes_nothing(images):
    """BatchNorm counts the batches that it saw, and the global generator what was drawn."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    (model,) = pack(builder(VAE, NETS["conv"], norm=True, dropout=0.5), [1]).models
    assert torch.equal(torch.get_rng_state(), before)
    assert {int(value) for name, value in model.named_buffers() if name.endswith("num_batches_tracked")} == {0}


def test_the_pack_changes_neither_order_nor_noise_however_often_noise_is_drawn(images, monkeypatch):
    monkeypatch.setattr("study.training.batches.NOISE_FLOATS", 3000)  # four of the ten steps at a time
    build = builder(MODELS["wgan"], NETS["fc"])
    alone, together = (pack(build, seeds).batches(images, 17, 10, True) for seeds in ([5], [3, 4, 5, 6]))
    for (x, own), (others_x, others) in zip(alone, together, strict=True):
        assert torch.equal(x[0], others_x[2])
        assert list(own) == list(others)
        for phase, noise in own.items():
            assert all(torch.equal(value[0], others[phase][name][2]) for name, value in noise.items())


@every_model
@every_net
@pytest.mark.parametrize("seeds", [[5], [5, 6]], ids=str)
def test_training_resumed_from_a_file_equals_training_undisturbed(model, net, seeds, images):
    """The convolutions with dropout, so that they are trained in turn, the others lifted where there are two."""

    def make():
        return pack(lambda: builder(model, net, encoder={"dropout": 0.3 if net is NETS["conv"] else 0.0})().float(), seeds)

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
        pack(build, [1, 2]).load_state_dict(pack(build, [1, 3]).state_dict())


def test_training_leaves_the_global_generator_alone(images):
    torch.manual_seed(9)
    before = torch.get_rng_state()
    train(pack(builder(VAE, NETS["fc"], dropout=0.5), [1, 2]), images)
    assert torch.equal(torch.get_rng_state(), before)


def test_replicas_see_the_images_in_their_own_orders_and_drop_the_rest(images):
    replicas = pack(builder(VAE, NETS["fc"]), [1, 2])
    epoch = torch.cat([x for x, _ in replicas.batches(images, 17, 10, False)], 1)
    known = {tuple(image.flatten().tolist()) for image in images / torch.tensor(16.0).double()}
    for seen in epoch:
        assert len({tuple(image.flatten().tolist()) for image in seen} & known) == 100
    assert not torch.equal(epoch[0], epoch[1])


def test_binarised_pixels_are_drawn_with_the_grey_level_as_probability():
    grey, replicas = torch.full((400, *SHAPE), 4, dtype=torch.uint8), pack(builder(VAE, NETS["fc"]), [1, 2])
    epoch = torch.cat([x for x, _ in replicas.batches(grey, 17, 100, True)], 1)
    assert set(epoch.unique().tolist()) == {0.0, 1.0}
    assert epoch.mean((1, 2, 3, 4)).tolist() == pytest.approx([0.25, 0.25], abs=0.01)


def test_the_data_never_leave_the_unit_interval(images):
    replicas = pack(builder(VAE, NETS["fc"]), [1])
    for bad in (images + 1, images.float()):
        with pytest.raises(ValueError, match="uint8 grey levels below 17"):
            replicas.train_epoch(bad, 17, 10)
    with pytest.raises(ValueError, match="do not fill one batch"):
        replicas.train_epoch(images, 17, 106)


@every_model
def test_calls_reach_every_replica_in_evaluation(model, images):
    replicas = pack(builder(model, NETS["conv"], encoder={"dropout": 0.5}), [1, 2])
    train(replicas, images, epochs=1)
    z = torch.randn(5, 3).double()
    samples = replicas.sample(z)
    assert samples.shape == (2, 5, *SHAPE) and torch.equal(samples, replicas.sample(z)) and not samples.requires_grad
    alone = builder(model, NETS["conv"], encoder={"dropout": 0.5})()
    alone.load_state_dict(replicas.weights(1))
    torch.testing.assert_close(alone.eval().sample(z), samples[1])  # whose kernels lie in another order
    each = replicas.call("sample", torch.stack([z, z + 1]), shared=False)
    assert torch.equal(each[0], samples[0]) and not torch.equal(each[1], samples[1])


def test_results_of_several_tensors_keep_their_form():
    mean, log_variance = pack(builder(VAE, NETS["fc"]), [1, 2, 3]).call("posterior", torch.rand(4, *SHAPE).double())
    assert mean.shape == log_variance.shape == (3, 4, 3)


def test_the_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    first = pack(builder(VAE, NETS["fc"]), [7, 8]).weights(0)
    torch.manual_seed(2)
    other = pack(builder(VAE, NETS["fc"]), [6, 7])
    assert distance(first, other.weights(1)) == 0 and distance(first, other.weights(0)) > 0


@pytest.mark.parametrize("channels", [1, 3])
def test_convolutions_on_a_cpu_work_channels_last_whatever_the_number_of_channels(channels):
    """Else values and gradients lie in different orders, and an activation's backward step takes ten times as long."""
    shape = (channels, 28, 28)
    (model,) = pack(lambda: GAN(shape, conv, 2, 4, width=8), [0]).models
    first = model.critic[0](torch.rand(2, *shape))
    assert first.is_contiguous(memory_format=torch.channels_last) and not first.is_contiguous()
