"""A loss that asks for labels is given those of its own images, and a conditional model is one file."""

import pytest
import torch
from torch import nn
from trials import planned

from models.nets import fc
from models.phase import Adam, Phase
from models.vae import VAE
from study.metrics.cost import cost
from study.space.importing import allow_modules
from study.training.replicas import Replicas
from study.training.run import run_trial

SHAPE, CLASSES = (1, 8, 8), 10


class Telling(nn.Module):
    """Its losses say whether the labels are those of the images, whose pixels are their class."""

    def __init__(self, shape=SHAPE):
        super().__init__()
        self.shape, self.latent_dim, self.weight = shape, 1, nn.Parameter(torch.ones(()))
        self.phases = [
            Phase("plain", "plain", ("weight",), Adam(1e-3, (0.9, 0.999))),
            Phase("asking", "asking", ("weight",), Adam(1e-3, (0.9, 0.999)), every=2, noise={"z": (1,)}),
        ]

    def plain(self, x, noise, epoch):
        return {"loss": self.weight * x.mean(), "told": x.new_tensor(float("labels" in noise))}

    def asking(self, x, noise, epoch, labels):
        wrong = (x.mean((1, 2, 3)) * 16 - labels).abs().sum()
        return {"loss": self.weight * x.mean(), "wrong": wrong, "told": x.new_tensor(float("labels" in noise))}


class ConditionalVAE(VAE):
    """A VAE whose decoder is told the class; a sample's is read off its first latent, which is uniform over classes."""

    def __init__(self, shape, net, depth, latent_dim, *, classes, **options):
        super().__init__(shape, net, depth, latent_dim, **options)
        self.classes, self.latent_dim = classes, latent_dim + 1
        self.meaning = nn.Embedding(classes, latent_dim)
        self.phases = [
            Phase(
                "vae", "conditional_loss", ("encoder", "decoder", "meaning"), Adam(1e-3, (0.9, 0.999)), noise={"z": (latent_dim,)}
            )
        ]

    def conditional_loss(self, x, noise, epoch, labels):
        mean, log_variance = super().posterior(x)
        z = mean + noise["z"] * torch.exp(0.5 * log_variance) + self.meaning(labels)
        recon, kl = self.terms(self.decoder(z), x, mean, log_variance)
        return {"loss": recon.mean() + kl.sum(1).mean()}

    def sample(self, z):
        uniform = torch.special.ndtr(z[:, 0]).clamp(max=1 - 1e-6)
        return self.mean(self.decoder(z[:, 1:] + self.meaning((uniform * self.classes).long())))

    posterior = log_likelihood = reconstruct = property()  # of images with classes, which measures do not know


@pytest.fixture
def images():
    """Images (N, *SHAPE) of one grey level each, and that level."""
    labels = torch.randint(0, CLASSES, (64,), generator=torch.Generator().manual_seed(0))
    return labels.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, *SHAPE).contiguous(), labels


@pytest.mark.parametrize("fused", [True, False])
def test_every_replica_is_given_the_labels_of_its_own_batch_and_only_where_it_asks(images, fused):
    replicas = Replicas([Telling] * 3, [0, 1, 2], fused=fused)
    losses = replicas.train_epoch(images[0], 17, 8, labels=images[1])
    assert losses["asking/wrong"].shape == (3, 4) and losses["asking/wrong"].abs().max() < 1e-3
    assert not losses["plain/told"].any() and not losses["asking/told"].any()  # noise holds what it always did


def test_images_without_classes_are_refused_by_a_model_that_asks_for_them(images):
    with pytest.raises(ValueError, match="asks for the classes"):
        Replicas([Telling], [0]).train_epoch(images[0], 17, 8)


def test_what_a_step_costs_is_counted_of_a_loss_with_labels():
    model = ConditionalVAE(SHAPE, fc, 1, 2, classes=CLASSES, width=16)
    plain = VAE(SHAPE, fc, 1, 2, width=16)
    assert cost(model, SHAPE)["cost/flops_per_image"] == cost(plain, SHAPE)["cost/flops_per_image"] > 0


def test_a_conditional_model_is_trained_measured_and_drawn_like_any_other(ledger, data_dir):
    allow_modules([__name__])
    folder = planned(ledger, data_dir, model=ConditionalVAE, epochs=4, classes=CLASSES)
    result = run_trial(folder, data_dir)
    assert result.status == "done" and result.measures["quality/fd_rel"] < 1.5
