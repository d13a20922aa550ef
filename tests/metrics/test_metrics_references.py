"""The measures against other people's implementations, and against values known exactly."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance
from torch import nn
from torch.distributions import Bernoulli, MultivariateNormal, Normal, kl_divergence

from study.data.vision import torchvision  # noqa: F401  (before the libraries that import it, which it mends)
from study.metrics import coverage, critics, distances, likelihood, memorisation
from study.metrics.reference import Reference


def features(seed, n=400, d=32, rank=None, dtype=torch.float64):
    """Correlated, shifted features; with `rank`, on a subspace of that dimension."""
    generator = torch.Generator().manual_seed(seed)
    inner = rank or d
    mix = torch.randn(inner, d, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    x = torch.randn(n, inner, generator=generator, dtype=torch.float64) * (1 + 0.3 * seed) + 0.2 * seed
    return (x @ mix).to(dtype)


def fd_of(real, fake):
    return distances.fd(distances.moments(real), distances.moments(fake))


def fidelity_fd(real, fake):
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    statistics = [fid_features_to_statistics(x) for x in (real, fake)]
    return fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]


def torchmetrics_fd(real, fake):
    from torchmetrics.image.fid import FrechetInceptionDistance

    extractor = nn.Flatten()
    extractor.num_features = real.shape[1]
    metric = FrechetInceptionDistance(extractor, normalize=True).set_dtype(torch.float64)
    metric.update(real[:, :, None, None], real=True)
    metric.update(fake[:, :, None, None], real=False)
    return metric.compute().item()


@pytest.mark.parametrize("reference", [fidelity_fd, torchmetrics_fd])
def test_fd_equals_both_references_at_full_rank(reference):
    real, fake = features(0), features(1)
    assert fd_of(real, fake) == pytest.approx(reference(real, fake), rel=1e-10)


@pytest.mark.parametrize("reference", [fidelity_fd, torchmetrics_fd])
def test_fd_equals_both_references_when_features_are_rank_deficient(reference):
    real, fake = features(0, rank=12), features(1, rank=12)
    assert fd_of(real, fake) == pytest.approx(reference(real, fake), rel=1e-6)


def test_fd_of_fewer_samples_than_features_equals_torch_fidelity():
    real, fake = features(0, n=300, d=128), features(1, n=60, d=128)
    assert fd_of(real, fake) == pytest.approx(fidelity_fd(real, fake), rel=1e-6)


def test_fd_of_two_known_gaussians_is_exact():
    """Diagonal covariances: the sum of (s_r - s_g)^2 plus the squared distance of the means."""
    real = distances.Moments(torch.zeros(3).double(), torch.diag(torch.tensor([1.0, 4, 9]).double()))
    fake = distances.Moments(torch.tensor([3.0, 0, 4]).double(), torch.diag(torch.tensor([4.0, 4, 1]).double()))
    assert distances.fd(real, fake) == pytest.approx(25 + 1 + 0 + 4, rel=1e-12)


@pytest.mark.filterwarnings("ignore:Metric .Kernel Inception Distance. will save")
def test_kid_equals_torchmetrics_with_one_subset():
    from torchmetrics.image.kid import KernelInceptionDistance

    real, fake = features(0, n=300) / 10, features(1, n=300) / 10
    extractor = nn.Flatten()
    extractor.num_features = real.shape[1]
    metric = KernelInceptionDistance(extractor, subsets=1, subset_size=len(real), normalize=True)
    metric.set_dtype(torch.float64)
    reference = Reference(real)  # torchmetrics knows no units: it is given those of the real features
    metric.update(reference.standardise(real)[:, :, None, None], real=True)
    metric.update(reference.standardise(fake)[:, :, None, None], real=False)
    assert distances.kid(reference, fake) == pytest.approx(metric.compute()[0].item(), rel=1e-10)


def test_kid_of_unequal_numbers_equals_its_definition():
    reference, fake = Reference(features(0, n=7, d=4)), features(1, n=5, d=4)
    x, y = reference.standardised, reference.standardise(fake)
    k = torch.tensor([[(a @ b / 4 + 1) ** 3 for b in torch.cat([x, y])] for a in torch.cat([x, y])])
    within = [(block.sum() - block.trace()) / (n * (n - 1)) for block, n in ((k[:7, :7], 7), (k[7:, 7:], 5))]
    assert distances.kid(reference, fake) == pytest.approx((sum(within) - 2 * k[:7, 7:].mean()).item(), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shift", [0, 1])
def test_precision_recall_density_coverage_equal_prdc_exactly(dtype, shift):
    from prdc import compute_prdc

    real, fake = features(0, n=500, d=16, dtype=dtype), features(shift, n=500, d=16, dtype=dtype) + shift
    if not shift:
        fake = fake.flip(0) + 0.01
    assert coverage.prdc(Reference(real), fake) == compute_prdc(real.numpy(), fake.numpy(), nearest_k=5)


def test_sliced_distance_is_the_one_dimensional_one_of_scipy_on_every_projection():
    x, y, along = features(0, n=60, d=8), features(1, n=60, d=8), distances.directions(8).double()
    gaps = distances.projected_gaps(Reference(x), y)
    for column, gap in enumerate(gaps.T[:16]):
        a, b = (x @ along[:, column]).numpy(), (y @ along[:, column]).numpy()
        assert gap.abs().mean().item() == pytest.approx(wasserstein_distance(a, b), rel=1e-9)
        squares = (a[:, None] - b) ** 2
        assert gap.square().mean().item() == pytest.approx(squares[linear_sum_assignment(squares)].mean(), rel=1e-9)
    assert distances.swd(Reference(x), y) == pytest.approx(gaps.square().mean().sqrt().item(), rel=1e-12)


def test_label_divergence_equals_scipy():
    real, fake = (torch.tensor(np.random.default_rng(seed).dirichlet(np.ones(10))) for seed in (0, 1))
    assert coverage.label_jsd(real, fake) == pytest.approx(jensenshannon(real, fake, base=2) ** 2, rel=1e-12)


@pytest.mark.parametrize("kept, bits", [(3, 0.493), (4, 0.396)])
def test_label_divergence_of_a_few_of_ten_classes_is_the_known_value(kept, bits):
    real = torch.full((10,), 0.1).double()
    fake = torch.cat([torch.full((kept,), 1 / kept), torch.zeros(10 - kept)]).double()
    assert coverage.label_jsd(real, fake) == pytest.approx(bits, abs=5e-4)
    assert coverage.classes(fake) == kept


def test_nearest_training_image_equals_brute_force():
    x, train = features(0, n=50, d=20, dtype=torch.float32), features(1, n=300, d=20, dtype=torch.float32)
    apart = (x[:, None].double() - train.double()).norm(dim=2)
    distance, index = memorisation.nearest(x, train)
    assert index.tolist() == apart.argmin(1).tolist()
    assert distance.numpy() == pytest.approx(apart.min(1).values.numpy(), rel=1e-5)
    others = (train[index][:, None] - train).norm(dim=2).scatter(1, index[:, None], math.inf).min(1).values
    assert memorisation.spacing(index, train).numpy() == pytest.approx(others.numpy(), rel=1e-5)


def test_authenticity_follows_its_formula():
    """On a line, for training points 0, 1 and 3: nearer than their spacing, farther, a copy, and exactly as far."""
    train, x = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[0.2], [6.0], [1.0], [-1.0]])
    distance, index = memorisation.nearest(x, train)
    assert index.tolist() == [0, 2, 1, 0]
    assert memorisation.spacing(index, train).tolist() == [1, 2, 1, 1]
    assert memorisation.authenticity(distance, memorisation.spacing(index, train)) == 0.25


class LinearVAE:
    """x = W z + m + noise, whose likelihood is known; its posterior is wider than the true one, as a trained one is."""

    def __init__(self, pixels=12, latent=4, deviation=0.5):
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.randn(pixels, latent, generator=generator).double()
        self.mean, self.deviation = torch.randn(pixels, generator=generator).double(), deviation
        self.covariance = torch.linalg.inv(torch.eye(latent).double() + self.weight.T @ self.weight / deviation**2)
        noise = deviation**2 * torch.eye(pixels).double()
        self.exact = MultivariateNormal(self.mean, self.weight @ self.weight.T + noise)

    def posterior(self, x):
        mean = (x - self.mean) @ self.weight @ self.covariance / self.deviation**2
        return mean, (1.5 * self.covariance.diagonal()).log().expand_as(mean)

    def log_likelihood(self, x, z):
        return Normal(z @ self.weight.T + self.mean, self.deviation).log_prob(x).sum(1)


def test_importance_weighted_bound_converges_to_the_exact_likelihood_of_probabilistic_pca():
    model = LinearVAE()
    torch.manual_seed(0)
    x = model.exact.sample((200,))
    exact = -model.exact.log_prob(x).mean().item()
    loose, tight = (likelihood.iw_nll(x, model.posterior, model.log_likelihood, draws).mean().item() for draws in (1, 5000))
    assert tight == pytest.approx(exact, abs=5e-3)
    assert loose > tight + 0.1


def test_importance_weighted_bound_does_not_depend_on_how_the_draws_are_chunked(monkeypatch):
    model = LinearVAE()
    x = model.exact.sample((3,))
    whole = likelihood.iw_nll(x, model.posterior, model.log_likelihood, draws=20_000)
    monkeypatch.setattr(likelihood, "VALUES_AT_ONCE", 1)
    parts = likelihood.iw_nll(x, model.posterior, model.log_likelihood, draws=20_000)
    assert parts.numpy() == pytest.approx(whole.numpy(), abs=0.02)


def test_elbo_and_its_parts_equal_torch_distributions():
    torch.manual_seed(0)
    x, mean, log_variance, noise = torch.bernoulli(torch.full((9, 6), 0.5)), *torch.randn(3, 9, 6)
    decoded = Bernoulli(logits=mean + noise * (log_variance / 2).exp())
    recon = -decoded.log_prob(x).sum(1).mean().item()
    kl = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0, 1)).sum(1).mean().item()
    bound = likelihood.elbo(x, lambda x: (mean, log_variance), lambda x, z: Bernoulli(logits=z).log_prob(x).sum(1), noise)
    assert bound == pytest.approx({"elbo": -recon - kl, "recon": recon, "kl": kl}, rel=1e-5)


@pytest.mark.parametrize("distance, bits", [(1, 0.1607), (3, 0.7600)])
def test_a_trained_discriminator_finds_the_divergence_of_two_gaussians_on_held_out_points(distance, bits):
    """Unit Gaussians; the reference values are by quadrature."""
    torch.manual_seed(0)
    judge = nn.Linear(1, 1)
    optimiser = torch.optim.Adam(judge.parameters(), 0.05)
    for _ in range(300):
        real, fake = torch.randn(1000, 1), torch.randn(1000, 1) + distance
        loss = nn.functional.softplus(torch.cat([-judge(real), judge(fake)])).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    real, fake = torch.randn(100_000, 1), torch.randn(100_000, 1) + distance
    with torch.no_grad():
        assert critics.discriminator_jsd(judge(real), judge(fake)) == pytest.approx(bits, abs=0.01)


def test_a_critic_with_gradient_penalty_finds_the_distance_of_two_gaussians_within_15_percent():
    """Unit Gaussians in 8 dimensions, 3 apart: W1 is exactly 3. Once divided, the critic's own scale does not matter."""
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1), nn.Flatten(0))
    optimiser = torch.optim.Adam(critic.parameters(), 2e-3, betas=(0.0, 0.9))
    shift = torch.tensor([3.0, *[0.0] * 7])
    for _ in range(400):
        real, fake = torch.randn(256, 8), torch.randn(256, 8) + shift
        between = real.lerp(fake, torch.rand(256, 1)).requires_grad_(True)
        slope = torch.autograd.grad(critic(between).sum(), between, create_graph=True)[0].norm(dim=1)
        loss = critic(fake).mean() - critic(real).mean() + 10 * (slope - 1).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    real, fake = torch.randn(5000, 8), torch.randn(5000, 8) + shift
    raw = critics.critic_w1(critic(real), critic(fake))
    assert raw == pytest.approx(3, rel=0.15)
    scaled, steep = (
        critics.normalised_w1(scale * raw, critics.largest_slope(lambda x: scale * critic(x), real, fake)) for scale in (1, 70)
    )
    assert scaled == pytest.approx(steep, rel=1e-4) and 2 < scaled < 3.1


def test_bits_per_dimension_of_a_uniform_model_are_the_bits_that_the_levels_take():
    """A density of 1 on [0, 1] codes every one of 256 levels in 8 bits; fair binary pixels take 1 bit each."""
    assert likelihood.bits_per_dim(0.0, 784, 256) == 8
    assert likelihood.bits_per_dim(784 * math.log(2), 784) == pytest.approx(1)


def test_a_linear_probe_equals_the_cross_validation_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import PredefinedSplit, cross_val_score

    labels = torch.arange(300) % 3
    latents = torch.eye(3)[labels] + torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
    folds = PredefinedSplit(np.random.default_rng(0).permutation(300) % 2)
    expected = cross_val_score(LogisticRegression(), latents.double().numpy(), labels.numpy(), cv=folds).mean()
    assert critics.linear_probe(latents, labels) == pytest.approx(expected, abs=1e-9) and 0.5 < expected < 0.9
