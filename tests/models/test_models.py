"""Every model with every net keeps one contract; densities, penalties and losses equal their definitions."""

import subprocess
import sys
from functools import partial
from math import log, pi, prod
from pathlib import Path

import pytest
import torch
from by_hand import optimiser_of
from torch import nn
from torch.distributions import Bernoulli, ContinuousBernoulli, Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from models.gan import GAN
from models.nets import conv, fc
from models.phase import Adam, RMSprop
from models.vae import VAE
from models.wgan import WGAN

MODELS = {"vae": VAE, "gan": GAN, "wgan": WGAN, "wgan-clip": partial(WGAN, clip=0.01)}
NETS = {"fc": (fc, {"width": 16}), "conv": (conv, {"width": 4})}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
every_net = pytest.mark.parametrize("net, small", NETS.values(), ids=NETS)


@pytest.fixture(autouse=True)
def fixed_seed():
    torch.manual_seed(0)


def noise_for(phase, n):
    draw = {True: torch.rand, False: torch.randn}
    return {name: draw[name.startswith("uniform")](n, *shape) for name, shape in phase.noise.items()}


def parameters_of(model, phase):
    return [p for name, p in model.named_parameters() if name.split(".")[0] in phase.learns]


def take_step(model, x):
    """One step of every phase, by hand; returns each phase's losses before it."""
    losses = []
    for phase in model.phases:
        losses.append(getattr(model, phase.loss)(x, noise_for(phase, len(x)), torch.tensor(0.0)))
        learned = parameters_of(model, phase)
        for parameter, gradient in zip(learned, torch.autograd.grad(losses[-1]["loss"], learned)):
            parameter.grad = gradient
        optimiser_of(phase, learned).step()
    return losses


@every_model
@every_net
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32)], ids=str)
def test_a_model_samples_images_and_learns_from_them(model, net, small, shape):
    model, x = model(shape, net, 2, 5, **small), torch.rand(6, *shape)
    before = {name: value.clone() for name, value in model.named_parameters()}
    losses = take_step(model, x)
    assert all(value.shape == () and value.isfinite() for phase in losses for value in phase.values())
    still = [name for name, value in model.named_parameters() if torch.equal(value, before[name])]
    assert not [name for name in still if not name.endswith("bias")]  # the last bias cancels in a Wasserstein gap
    images = model.sample(torch.randn(3, 5))
    assert images.shape == (3, *shape) and images.min() >= 0 and images.max() <= 1
    assert model.shape == shape and model.latent_dim == 5


@every_model
@pytest.mark.parametrize("shape", [(3, 64, 64), (3, 160, 160)], ids=str)
def test_photographs_of_any_size_are_sampled_exactly(model, shape):
    model = model(shape, conv, 4, 3, width=2)
    assert model.sample(torch.randn(2, 3)).shape == (2, *shape)
    assert getattr(model, "discriminate", getattr(model, "reconstruct", None))(torch.rand(2, *shape)).shape[0] == 2


@every_model
@every_net
def test_training_moves_the_loss(model, net, small):
    model, x = model((1, 8, 8), net, 1, 2, **small), torch.rand(16, 1, 8, 8)
    phase = model.phases[0]
    optimiser, noise = optimiser_of(phase, parameters_of(model, phase)), noise_for(phase, 16)
    first, *_, last = [fit_once(model, phase, optimiser, x, noise) for _ in range(30)]
    assert last < first


def fit_once(model, phase, optimiser, x, noise):
    optimiser.zero_grad()
    loss = getattr(model, phase.loss)(x, noise, torch.tensor(0.0))["loss"]
    loss.backward()
    optimiser.step()
    return loss.item()


@every_model
@every_net
def test_phases_learn_parts_that_exist_and_together_everything(model, net, small):
    model = model((1, 8, 8), net, 2, 5, **small)
    parts = {name.split(".")[0] for name, _ in model.named_parameters()}
    assert {part for phase in model.phases for part in phase.learns} == parts
    assert all(parameters_of(model, phase) for phase in model.phases)


@every_model
@every_net
@pytest.mark.parametrize("latent_dim", [1, 1000])
def test_the_latent_may_be_a_number_or_larger_than_the_image(model, net, small, latent_dim):
    model = model((1, 8, 8), net, 2, latent_dim, **small)
    take_step(model, torch.rand(4, 1, 8, 8))
    assert model.sample(torch.randn(2, latent_dim)).shape == (2, 1, 8, 8)


@every_net
@pytest.mark.parametrize("depth", range(1, 13))
def test_depth_counts_the_hidden_layers_of_either_side(net, small, depth):
    model = VAE((1, 28, 28), net, depth, 2, **small)
    weighted = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    for side in (model.encoder, model.decoder):
        assert sum(isinstance(layer, weighted) for layer in side) == depth + 1
    assert model.reconstruct(torch.rand(2, 1, 28, 28)).shape == (2, 1, 28, 28)


@every_model
@every_net
@pytest.mark.parametrize("options", [{"wdith": 3}, {"encoder": {"wdith": 3}}, {"decoder": {"pool": 2}}], ids=str)
def test_an_unknown_hyperparameter_is_a_type_error(model, net, small, options):
    with pytest.raises(TypeError):
        model((1, 8, 8), net, 2, 5, **{**small, **options})


@pytest.mark.parametrize("options", [{"smoothing": 0.1}, {"loss": "minimax"}, {"feature_matching": True}], ids=str)
def test_a_wgan_has_none_of_a_gans_own_options(options):
    with pytest.raises(TypeError):
        WGAN((1, 8, 8), fc, 2, 5, **options)


@pytest.mark.parametrize(
    "model, options",
    [
        (VAE, {"likelihood": "poisson"}),
        (VAE, {"reduction": "median"}),
        (VAE, {"published_loss": "elbo"}),
        (GAN, {"loss": "wasserstein"}),
        (GAN, {"loss": "hinge", "smoothing": 0.1}),
        (WGAN, {"output": "softplus"}),
        (WGAN, {"optimiser": "sgd"}),
        (WGAN, {"encoder": {"norm": True}}),
        (VAE, {"width": [3]}),
        (VAE, {"norm": [2]}),
        (VAE, {"activation": "Softish"}),
        (GAN, {"encoder": {"depth": 0}}),
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_rejected(model, options):
    with pytest.raises(ValueError):
        model((1, 8, 8), fc, 2, 5, **options)


def test_a_decoder_says_which_size_it_cannot_reach():
    with pytest.raises(ValueError, match="cannot turn 4 pixels into 28"):
        conv.decoder(5, (1, 28, 28), 1, sides=[4, 28])


@every_net
def test_lists_name_every_layer(net, small):
    side = net.decoder(
        5,
        (1, 8, 8),
        3,
        width=[4, 6, 8],
        activation=["ELU", "Tanh", "LeakyReLU"],
        slope=0.3,
        norm=[0, 2],
        eps=0.8,
        dropout=[0.0, 0.5, 0.0],
    )
    expected = ["BatchNorm", "ELU", "Tanh", "Dropout", "BatchNorm", "LeakyReLU"]
    kinds = [type(layer).__name__.rstrip("12d") for layer in side]
    assert [kind for kind in kinds if kind in expected] == expected
    assert [layer.eps for layer in side if hasattr(layer, "eps")] == [0.8, 0.8]
    assert [layer.negative_slope for layer in side if hasattr(layer, "negative_slope")] == [0.3]


def test_a_decoder_may_normalise_after_activations_and_activate_its_last_image_before_it_is_interpolated():
    decoder = conv.decoder(
        5, (1, 8, 8), 2, width=[4, 2], sides=[2, 4, 7], norm=[1], norm_last=True, last_activation="Tanh", interpolation="nearest"
    )
    kinds = [type(layer).__name__ for layer in decoder]
    assert kinds == ["Linear", "Unflatten", "ReLU", "ConvTranspose2d", "ReLU", "BatchNorm2d", "ConvTranspose2d", "Tanh", "Upsample"]
    assert decoder[3].bias is not None  # which BatchNorm after an activation does not subtract
    assert decoder[-1].mode == "nearest" and decoder(torch.randn(3, 5)).abs().max() <= 1


@every_net
def test_batchnorm_spares_the_layer_that_reads_the_image(net, small):
    model = VAE((1, 28, 28), net, 3, 5, norm=True, **small)
    normed = [sum("BatchNorm" in type(layer).__name__ for layer in side) for side in (model.encoder, model.decoder)]
    assert normed == [2, 3]


@every_model
def test_hyperparameters_are_no_part_of_the_weights(model):
    """Those of an earlier version load, and those of another proposal do not bring theirs along."""
    build = partial(model, (1, 8, 8), fc, 1, 2)
    assert {name.split(".")[0] for name in build().state_dict()} <= {"encoder", "decoder", "critic", "generator"}


@pytest.mark.long
def test_the_shapes_of_a_gan_are_known_without_the_compiler_of_torch():
    script = (
        "import sys, torch; from models.gan import GAN; from models.nets import conv; "
        "torch.device('meta').__enter__(); GAN((1, 8, 8), conv, 1, 2, width=4); print('torch._dynamo' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_convolutions_start_as_in_dcgan_and_linear_layers_as_in_torch():
    assert GAN((1, 28, 28), conv, 3, 50).generator[-1].weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert GAN((1, 28, 28), fc, 1, 50).critic[1].weight.abs().max().item() == pytest.approx(1 / 28, rel=0.1)


def test_defaults_are_the_published_ones():
    def settings(model):
        return model.phases[0].optimiser, model.phases[-1].every

    build = [(1, 8, 8), fc, 1, 2]
    assert settings(VAE(*build)) == (Adam(1e-3, (0.9, 0.999)), 1)
    assert settings(GAN(*build)) == (Adam(2e-4, (0.5, 0.999)), 1)
    assert settings(WGAN(*build)) == (Adam(1e-4, (0.0, 0.9)), 5) and WGAN(*build).penalty == 10
    assert settings(WGAN(*build, clip=0.01, optimiser="rmsprop", lr=5e-5)) == (RMSprop(5e-5), 5)


# VAE

DENSITIES = {
    "bernoulli": (lambda logits: Bernoulli(logits=logits), {}),
    "continuous_bernoulli": (lambda logits: ContinuousBernoulli(logits=logits), {}),
    "gaussian": (lambda logits: Normal(torch.sigmoid(logits), 0.3**0.5), {"variance": 0.3}),
}


@pytest.mark.parametrize("likelihood", DENSITIES)
def test_a_likelihood_is_the_density_of_torch_distributions(likelihood):
    density, options = DENSITIES[likelihood]
    model = VAE((1, 8, 8), fc, 1, 3, likelihood=likelihood, **options).double()
    x, z = torch.rand(5, 1, 8, 8).double(), 3 * torch.randn(5, 3).double()
    x = x.round() if likelihood == "bernoulli" else x
    expected = density(model.decoder(z))
    assert torch.allclose(model.log_likelihood(x, z), expected.log_prob(x).sum((1, 2, 3)), rtol=1e-6)
    assert torch.allclose(model.sample(z), expected.mean, atol=1e-6)


@pytest.mark.parametrize("logit", [-30.0, -1.0, -1e-3, 0.0, 1e-3, 0.0199, 0.0201, 2.0, 30.0])
def test_the_continuous_bernoulli_integrates_to_one_and_has_a_finite_gradient(logit):
    model = VAE((1, 1, 1), fc, 1, 1, likelihood="continuous_bernoulli")
    x = torch.linspace(0, 1, 20001).double()
    logits = torch.full_like(x, logit, requires_grad=True)
    log_density = model.log_density(logits, x, 0.0)
    assert torch.trapezoid(log_density.exp(), x).item() == pytest.approx(1, abs=1e-5)
    log_density.sum().backward()
    assert logits.grad.isfinite().all()


def test_the_terms_of_the_bound_are_negative_log_likelihood_and_kl():
    model = VAE((1, 8, 8), fc, 1, 3).double()
    x, eps = torch.rand(5, 1, 8, 8).double().round(), torch.randn(5, 3).double()
    recon, kl = model.elbo_terms(x, eps)
    mean, log_variance = model.posterior(x)
    deviation = (0.5 * log_variance).exp()
    assert torch.allclose(recon, -model.log_likelihood(x, mean + eps * deviation))
    assert torch.allclose(kl, kl_divergence(Normal(mean, deviation), Normal(torch.zeros(()).double(), 1)))
    assert recon.shape == (5,) and kl.shape == (5, 3)


@pytest.mark.parametrize("reduction, pixels, latents", [("sum", 1, 1), ("mean", 64, 1), ("mean_both", 64, 3)])
def test_a_reduction_is_a_kl_weight_and_says_which(reduction, pixels, latents):
    model = VAE((1, 8, 8), fc, 1, 3, beta=2.0, reduction=reduction)
    terms = model.loss(torch.rand(5, 1, 8, 8), {"z": torch.randn(5, 3)}, torch.tensor(0.0))
    assert terms["loss"].item() == pytest.approx((terms["recon"] / pixels + 2 * terms["kl"] / latents).item(), rel=1e-5)
    assert model.beta_effective == pytest.approx(2 * pixels / latents)


def test_an_unhalved_kl_is_the_divergence_from_half_the_prior_and_charges_a_third_of_a_nat_for_every_latent():
    model = VAE((1, 8, 8), fc, 1, 3, likelihood="gaussian", published_loss="unhalved_kl").double()
    x, eps = torch.rand(5, 1, 8, 8).double(), torch.randn(5, 3).double()
    mean, log_variance = model.posterior(x)
    sigma = (0.5 * log_variance).exp()
    error = (x - model.sample(mean + eps * sigma)).square().sum((1, 2, 3))
    printed = (sigma**2 + mean**2 - torch.log(sigma) - 1 / 2).sum(1)
    divergence = kl_divergence(Normal(mean, sigma), Normal(torch.zeros(()).double(), 0.5**0.5)).sum(1)
    assert torch.allclose(printed, divergence + 3 * 0.5 * log(2)) and 0.5 * log(2) == pytest.approx(0.347, abs=5e-4)
    losses = model.loss(x, {"z": eps}, torch.tensor(0.0))
    assert losses["loss"].item() == pytest.approx((error + printed).mean().item())
    assert losses["recon"].item() == pytest.approx(model.elbo_terms(x, eps)[0].mean().item())  # which stays as it is


def test_cross_entropy_of_normalised_images_falls_below_zero():
    model = VAE((1, 8, 8), fc, 1, 3, published_loss="normalised_cross_entropy")
    x, eps = torch.rand(5, 1, 8, 8), torch.randn(5, 3)
    mean, log_variance = model.posterior(x)
    target, decoded = 2 * x - 1, model.sample(mean + eps * (0.5 * log_variance).exp())
    expected = -(target * decoded.log() + (1 - target) * (1 - decoded).log()).sum((1, 2, 3))
    kl = model.elbo_terms(x, eps)[1].sum(1)
    noise, optimiser = {"z": eps}, torch.optim.Adam(model.parameters(), 1e-2)
    assert model.loss(x, noise, None)["loss"].item() == pytest.approx((expected + kl).mean().item(), rel=1e-5)
    for _ in range(100):
        optimiser.zero_grad()
        model.loss(x, noise, None)["loss"].backward()
        optimiser.step()
    assert model.loss(x, noise, None)["loss"].item() < -100


def test_warmup_raises_the_kl_weight_linearly_to_beta():
    model, x, noise = VAE((1, 8, 8), fc, 1, 3, beta=2.0, warmup=4), torch.rand(5, 1, 8, 8), {"z": torch.randn(5, 3)}
    terms = [model.loss(x, noise, torch.tensor(float(epoch))) for epoch in range(6)]
    weights = [((each["loss"] - each["recon"]) / each["kl"]).item() for each in terms]
    assert weights == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0, 2.0], rel=1e-3)


def test_a_learned_variance_ends_at_the_mean_squared_error():
    model = VAE((1, 8, 8), fc, 1, 2, likelihood="gaussian", variance="learned", lr=0.05)
    assert "log_variance" in model.phases[0].learns
    x, z = torch.rand(64, 1, 8, 8), torch.randn(64, 2)
    optimiser = torch.optim.Adam([model.log_variance], lr=0.05)
    for _ in range(200):
        optimiser.zero_grad()
        (-model.log_likelihood(x, z).mean()).backward()
        optimiser.step()
    error = (x - model.sample(z)).square().mean()
    assert model.log_variance.exp().item() == pytest.approx(error.item(), rel=1e-2)
    assert -model.log_likelihood(x, z).mean().item() == pytest.approx(32 * (log(2 * pi * error.item()) + 1), rel=1e-2)


@pytest.mark.parametrize("low, high", [(-1, 1), (0, 2)])
def test_a_vae_refuses_normalised_images_with_the_reason(low, high):
    model, x = VAE((1, 8, 8), fc, 1, 2), torch.linspace(low, high, 128).view(2, 1, 8, 8)
    for refuse in (model.elbo_terms, model.log_likelihood):
        with pytest.raises(ValueError, match=r"\[0, 1\].*no lower bound"):
            refuse(x, torch.randn(2, 2))


# GAN and WGAN


def adversaries(model, n=6):
    x, z = torch.rand(n, 1, 8, 8), torch.randn(n, 3)
    return x, z, model.discriminate(x), model.discriminate(model.sample(z))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_critic_loss_is_cross_entropy_against_smoothed_labels(smoothing):
    model = GAN((1, 8, 8), fc, 2, 3, smoothing=smoothing, width=16, norm=False)
    x, z, real, fake = adversaries(model)
    expected = cross_entropy(real, torch.full_like(real, 1 - smoothing)) + cross_entropy(fake, torch.zeros_like(fake))
    assert model.critic_loss(x, {"z": z}, None)["loss"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_generator_loss_is_minimax_or_non_saturating():
    for name, sign, labels in (("minimax", -1, 0.0), ("non_saturating", 1, 1.0)):
        model = GAN((1, 8, 8), fc, 2, 3, loss=name, width=16, norm=False)
        x, z, _, fake = adversaries(model)
        expected = sign * cross_entropy(fake, torch.full_like(fake, labels))
        assert model.generator_loss(x, {"z": z}, None)["loss"].item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_least_squares_are_those_to_labels(smoothing):
    """Against torch's mean squared error: Mao et al. 2017, equation 9."""
    model = GAN((1, 8, 8), fc, 2, 3, loss="least_squares", smoothing=smoothing, width=16, norm=False)
    x, z, real, fake = adversaries(model)
    of_critic = [(real, 1 - smoothing), (fake, 0.0)]
    squares = [torch.nn.functional.mse_loss(score, torch.full_like(score, label)) / 2 for score, label in [*of_critic, (fake, 1.0)]]
    assert model.critic_loss(x, {"z": z}, None)["loss"].item() == pytest.approx((squares[0] + squares[1]).item(), rel=1e-5)
    assert model.generator_loss(x, {"z": z}, None)["loss"].item() == pytest.approx(squares[2].item(), rel=1e-5)


def test_a_hinge_stops_where_the_critic_is_sure_and_pushes_the_generator_on():
    """Against torch's margin loss: Lim & Ye 2017, Miyato et al. 2018."""
    model = GAN((1, 8, 8), fc, 2, 3, loss="hinge", width=16, norm=False)
    x, z, real, fake = adversaries(model)
    hinge = torch.nn.functional.hinge_embedding_loss
    expected = hinge(real + 1, -torch.ones_like(real), margin=2.0) + hinge(1 - fake, -torch.ones_like(fake), margin=2.0)
    assert model.critic_loss(x, {"z": z}, None)["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert model.generator_loss(x, {"z": z}, None)["loss"].item() == pytest.approx(-fake.mean().item(), rel=1e-5)
    model.critic[-1].bias.data += 100  # every real image is now beyond the margin: of them nothing is learned
    assert model.critic_loss(x, {"z": z}, None)["loss"].item() == pytest.approx((1 + fake + 100).mean().item(), rel=1e-5)


@pytest.mark.parametrize(("loss", "estimates"), [("minimax", "jensen_shannon"), ("hinge", ""), ("least_squares", "")])
def test_only_logits_estimate_a_divergence(loss, estimates):
    assert GAN((1, 8, 8), fc, 1, 2, loss=loss).critic_estimates == estimates


def test_feature_matching_vanishes_only_when_the_mean_features_agree():
    model, z = GAN((1, 8, 8), fc, 2, 3, feature_matching=True, width=16, norm=False), torch.randn(6, 3)
    same = model.generator_loss(model.sample(z), {"z": z}, None)["loss"]
    other = model.generator_loss(torch.rand(6, 1, 8, 8), {"z": z}, None)["loss"]
    assert same.item() < 1e-9 < other.item()


@pytest.mark.parametrize("model", [GAN, WGAN])
def test_a_generator_that_ends_in_a_sigmoid_and_its_critic_see_images_as_they_are(model):
    model, x, z = model((1, 8, 8), fc, 1, 3, output="sigmoid", norm=False), torch.rand(6, 1, 8, 8), torch.randn(6, 3)
    assert torch.equal(model.sample(z), torch.sigmoid(model.generator(z)))
    assert torch.equal(model.discriminate(x), model.critic(x).squeeze(1))
    losses = model.critic_loss(x, {"z": z, "uniform_mix": torch.rand(6, 1, 1, 1)}, None)
    gap = losses["real"] - losses["fake"] if "real" in losses else losses["distance"]
    assert gap.item() == pytest.approx((model.critic(x).mean() - model.critic(model.sample(z)).mean()).item(), abs=1e-6)


def test_two_learning_rates_reach_their_own_optimisers():
    model = GAN((1, 8, 8), fc, 1, 3, lr_generator=1e-4, lr_discriminator=4e-4)
    assert [phase.optimiser.lr for phase in model.phases] == [4e-4, 1e-4]


@every_net
def test_the_gradient_penalty_is_the_one_of_double_backward(net, small):
    model = WGAN((1, 8, 8), net, 2, 3, **small).double()
    x, z, mix = torch.rand(5, 1, 8, 8).double(), torch.randn(5, 3).double(), torch.rand(5, 1, 1, 1).double()
    fake = model.generate(z).detach()
    between = ((2 * x - 1) * (1 - mix) + fake * mix).requires_grad_()
    (gradient,) = torch.autograd.grad(model.critic(between).sum(), between, create_graph=True)
    penalty = 10 * (gradient.pow(2).sum((1, 2, 3)).sqrt() - 1).pow(2).mean()
    expected = model.critic(fake).mean() - model.critic(2 * x - 1).mean() + penalty
    losses = model.critic_loss(x, {"z": z, "uniform_mix": mix}, None)
    assert torch.allclose(losses["penalty"], penalty) and torch.allclose(losses["loss"], expected)
    weights = list(model.critic.parameters())
    for ours, theirs in zip(torch.autograd.grad(losses["loss"], weights), torch.autograd.grad(expected, weights)):
        assert torch.allclose(ours, theirs, atol=1e-12)


def test_a_clipped_critic_pays_no_penalty():
    model = WGAN((1, 8, 8), fc, 1, 3, clip=0.01)
    assert model.phases[0].clip == 0.01 and set(model.phases[0].noise) == {"z"}
    losses = model.critic_loss(torch.rand(5, 1, 8, 8), {"z": torch.randn(5, 3)}, None)
    assert losses["loss"].item() == -losses["distance"].item()


# Networks printed in reports


def layers(side):
    """(inputs, outputs) of every weighted layer, with a mark where BatchNorm follows."""
    sizes = []
    for layer in side:
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            sizes.append(
                tuple(layer.weight.shape[:2]) if isinstance(layer, nn.ConvTranspose2d) else (tuple(layer.weight.shape[1::-1]))
            )
        elif "BatchNorm" in type(layer).__name__:
            sizes[-1] += ("bn",)
    return sizes


def sides_of(side, x):
    """Sides of the images between the layers, repetitions left out."""
    sides = [x.shape[-1]] if x.dim() == 4 else []
    for layer in side:
        x = layer(x)
        if x.dim() == 4 and sides[-1:] != [x.shape[-1]]:
            sides.append(x.shape[-1])
    return sides


def test_a_generator_with_batchnorm_on_all_but_its_first_layer():
    model = GAN(
        (1, 28, 28),
        fc,
        2,
        100,
        activation="LeakyReLU",
        encoder={"width": [512, 256]},
        decoder={"depth": 4, "width": [128, 256, 512, 1024], "norm": [1, 2, 3], "eps": 0.8},
    )
    assert layers(model.critic) == [(784, 512), (512, 256), (256, 1)]
    assert layers(model.generator) == [(100, 128), (128, 256, "bn"), (256, 512, "bn"), (512, 1024, "bn"), (1024, 784)]


def test_a_dcgan_with_kernel_5_that_grows_1_3_7_14_28():
    model = GAN((1, 28, 28), conv, 4, 100, kernel=5, decoder={"sides": [1, 3, 7, 14, 28]})
    assert layers(model.critic) == [(1, 64), (64, 128, "bn"), (128, 256, "bn"), (256, 512, "bn"), (2048, 1)]
    assert layers(model.generator) == [(100, 512, "bn"), (512, 256, "bn"), (256, 128, "bn"), (128, 64, "bn"), (64, 1)]
    assert sides_of(model.generator, torch.randn(2, 100)) == [1, 3, 7, 14, 28]
    assert {layer.kernel_size for layer in model.modules() if hasattr(layer, "kernel_size")} == {(5, 5)}


@pytest.mark.parametrize("pool, left", [(2, 8192), ([2, 2, 2, 4], 2048)], ids=str)
def test_an_unpadded_pooling_encoder_and_a_decoder_that_interpolates(pool, left):
    encoder = conv.encoder((3, 160, 160), 400, 4, width=16, kernel=3, pool=pool, padded=False)
    assert layers(encoder) == [(3, 16), (16, 32), (32, 64), (64, 128), (left, 400)]
    assert sides_of(encoder, torch.rand(1, 3, 160, 160))[:8] == [160, 158, 79, 77, 38, 36, 18, 16]
    decoder = conv.decoder(
        200,
        (3, 160, 160),
        6,
        width=[256, 128, 64, 32, 16, 8],
        kernel=[4, 4, 4, 4, 4, 3],
        sides=[8, 18, 38, 78, 158, 318, 320],
        norm=[1, 2, 3, 4, 5],
        activation="LeakyReLU",
    )
    assert layers(decoder) == [
        (200, 16384),
        (256, 128, "bn"),
        (128, 64, "bn"),
        (64, 32, "bn"),
        (32, 16, "bn"),
        (16, 8, "bn"),
        (8, 3),
    ]
    assert sides_of(decoder.eval(), torch.randn(1, 200)) == [8, 18, 38, 78, 158, 318, 320, 160]


def test_a_vae_whose_sides_differ_in_depth_and_activations():
    model = VAE(
        (1, 28, 28),
        fc,
        2,
        20,
        width=512,
        dropout=0.1,
        encoder={"activation": ["ELU", "Tanh"]},
        decoder={"depth": 3, "activation": ["Tanh", "ELU", "ELU"]},
    )
    assert layers(model.encoder) == [(784, 512), (512, 512), (512, 40)]
    assert layers(model.decoder) == [(20, 512), (512, 512), (512, 512), (512, 784)]
    activations = [type(layer).__name__ for layer in model.decoder if isinstance(layer, (nn.Tanh, nn.ELU))]
    assert activations == ["Tanh", "ELU", "ELU"]
    assert sum(isinstance(layer, nn.Dropout) for layer in model.modules()) == 5


def test_upsampling_and_convolution_replace_transposed_convolutions():
    decoder = conv.decoder(5, (1, 28, 28), 3, width=4, upsample=True)
    assert sides_of(decoder, torch.randn(2, 5)) == [4, 7, 14, 28]
    assert not any(isinstance(layer, nn.ConvTranspose2d) for layer in decoder)
    assert prod(decoder(torch.randn(2, 5)).shape[1:]) == 784
