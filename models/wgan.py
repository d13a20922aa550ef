"""Wasserstein GAN with weight clipping (Arjovsky et al. 2017) or a gradient penalty (Gulrajani et al. 2017)."""

import torch

from models.gan import GAN
from models.phase import Adam, Phase, RMSprop

OPTIMISERS = ("adam", "rmsprop")


class WGAN(GAN):
    """The critic's gap between real and generated images estimates a multiple of the earth mover's distance.

    The critic pays `penalty` times the squared deviation of its gradient's norm from 1, taken between real and
    generated images as it sees them; with `clip` its weights are clamped to [-clip, clip] instead, and nothing is paid.
    `critic_steps`: critic updates, each on its own batch, per generator update.
    `optimiser`: "adam" or "rmsprop"; Arjovsky et al. clip at 0.01 under RMSprop with lr 5e-5.
    """

    stackable = ("lr", "betas", "lr_decay", "lr_generator", "lr_discriminator", "clip", "penalty", "dropout")
    critic_estimates = "wasserstein"
    loss_scales = {
        "critic/loss": "minimised: penalty - distance",
        "critic/distance": "gap of mean scores: its unit is the critic's",
        "critic/penalty": "as added to the loss",
        "generator/loss": "minus the mean score of generated",
    }

    def __init__(
        self,
        shape,
        net,
        depth,
        latent_dim,
        *,
        clip=None,
        penalty=10.0,
        critic_steps=5,
        optimiser="adam",
        output="tanh",
        flips=False,
        augment=(),
        shared_draw=False,
        average=None,
        lr=1e-4,
        betas=(0.0, 0.9),
        lr_decay=1.0,
        lr_generator=None,
        lr_discriminator=None,
        encoder=None,
        decoder=None,
        **body,
    ):
        if not clip and (encoder or {}).get("norm"):
            raise ValueError(
                "BatchNorm in the critic makes one image's gradient depend on the others of its batch, "
                "which the gradient penalty cannot use (Gulrajani et al. 2017, section 4): leave it out"
            )
        if penalty and not clip and (encoder or {}).get("spectral"):
            raise ValueError("spectral normalisation bounds the critic's slope itself: choose it with penalty=0, or the penalty")
        unnormed = {} if clip else {"norm": False}
        # a GAN's own options are named here so that a WGAN rejects them
        super().__init__(
            shape,
            net,
            depth,
            latent_dim,
            loss="non_saturating",
            smoothing=0.0,
            feature_matching=False,
            output=output,
            flips=flips,
            augment=augment,
            average=average,
            encoder={**unnormed, **(encoder or {})},
            decoder=decoder,
            **body,
        )
        self.penalised = bool(penalty) and not clip
        self.register_buffer("penalty", torch.tensor(float(penalty)), persistent=False)
        if optimiser not in OPTIMISERS:
            raise ValueError(f"optimiser={optimiser!r} must be among {OPTIMISERS}")

        def stepper(rate):
            return Adam(rate, tuple(betas), lr_decay) if optimiser == "adam" else RMSprop(rate, lr_decay)

        rate = lr_generator or lr
        by_generator = Phase("generator", "generator_loss", ("generator",), stepper(rate), critic_steps, self.noise_of("fake"))
        by_critic, mix = self.noise_of("real", "fake"), {"uniform_mix": (1, 1, 1)} if self.penalised else {}
        self.phases = [
            Phase("critic", "critic_loss", ("critic",), stepper(lr_discriminator or lr), noise=by_critic | mix, clip=clip),
            self.drawing(by_generator, shared_draw),
        ]

    def critic_loss(self, x, noise, epoch) -> dict:
        """ "distance": the gap between mean scores, the critic's estimate; "penalty": as added to the loss."""
        with torch.no_grad():
            fake = self.fake(noise)
        real = self.real(x, noise)
        distance = self.score(real).mean() - self.score(fake).mean()
        if not self.penalised:
            return {"loss": -distance, "distance": distance}
        penalty = self.penalty * self.gradient_penalty(torch.lerp(real, fake, noise["uniform_mix"]))
        return {"loss": penalty - distance, "distance": distance, "penalty": penalty}

    def gradient_penalty(self, image):
        """Mean squared deviation of the critic's gradient norm from 1, at images as it sees them."""
        gradient = torch.func.grad(lambda image: self.score(image).sum())(image)
        return (gradient.flatten(1).norm(dim=1) - 1).square().mean()

    def generator_loss(self, x, noise, epoch) -> dict:
        if self.average:
            self.average.update(self.generator)
        return {"loss": -self.score(self.fake(noise)).mean()}
