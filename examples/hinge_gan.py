"""A model of one's own: a GAN by the hinge loss whose critic is spectrally normalised (Miyato et al. 2018)."""

from torch import nn
from torch.nn.functional import relu

from models.phase import Adam, Phase


class HingeGAN(nn.Module):
    """`lr` and `betas`: of Adam, for both sides; `body`: options of the net."""

    stackable = ("lr", "betas")  # in which trainings that run side by side may differ
    loss_scales = {"critic/loss": "hinge of real plus of generated", "generator/loss": "minus the mean score of generated"}

    def __init__(self, shape, net, depth, latent_dim, *, lr=2e-4, betas=(0.0, 0.9), **body):
        super().__init__()
        self.shape, self.latent_dim = tuple(shape), latent_dim
        self.critic = net.encoder(shape, 1, depth, activation="LeakyReLU", spectral=True, **body)
        self.generator = net.decoder(latent_dim, shape, depth, norm=True, **body)
        noise = {"z": (latent_dim,)}  # standard normal, drawn anew for every step
        self.phases = [  # who learns from which loss, one after the other in every batch
            Phase("critic", "critic_loss", ("critic",), Adam(lr, tuple(betas)), noise=noise),
            Phase("generator", "generator_loss", ("generator",), Adam(lr, tuple(betas)), noise=noise),
        ]

    def critic_loss(self, x, noise, epoch):
        """x: real images (n, C, H, W) in [0, 1]. "loss" is minimised, what else is returned is recorded."""
        fake = self.sample(noise["z"]).detach()
        return {"loss": (relu(1 - self.critic(x)) + relu(1 + self.critic(fake))).mean()}

    def generator_loss(self, x, noise, epoch):
        return {"loss": -self.critic(self.sample(noise["z"])).mean()}

    def sample(self, z):
        """(n, latent_dim) -> images (n, C, H, W) in [0, 1]."""
        return self.generator(z).sigmoid()
