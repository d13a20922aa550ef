"""Generative adversarial network (Goodfellow et al. 2014), by default with DCGAN's settings (Radford et al. 2015)."""

from dataclasses import replace

import torch
from torch import nn
from torch.nn.functional import relu, softplus

from models.augment import CHANGES, UNIFORMS, diff_augment, flipped
from models.averaging import Average
from models.phase import DRAWN, Adam, Phase

LOSSES = ("non_saturating", "minimax", "hinge", "least_squares")
OUTPUTS = ("tanh", "sigmoid")


class GAN(nn.Module):
    """A generator against a critic that tells its images from real ones.

    `output`: what ends the generator. Both sides see images in its range: [-1, 1] under "tanh", [0, 1] under "sigmoid".
    `loss`: cross-entropy, with a generator that is "non_saturating" or "minimax"; "hinge" (Lim & Ye 2017; Miyato et al. 2018,
    equations 16 and 17); or "least_squares" (Mao et al. 2017, equation 9: generated 0, real 1, and 1 wanted by the generator).
    `smoothing`: real images count as 1 - smoothing, which a hinge has no place for.
    `feature_matching`: the generator instead matches the mean of the critic's last hidden layer (Salimans et al. 2016).
    `flips`: every second real image is mirrored. `augment`: which of CHANGES (models/augment.py) happen to all images that the
    critic sees in training, generated ones included (DiffAugment, Zhao et al. 2020).
    `lr_generator`, `lr_discriminator`: where the two differ from `lr` (Heusel et al. 2017). `lr_decay`: the rate of an epoch is
    lr x lr_decay^epoch.
    `shared_draw`: the generator learns from the images that the critic was just shown, as in the customary loop, instead of from
    images of its own: a pass less through the generator in each step.
    `average`: how much of an exponential average of the generator's weights each of its steps keeps, such as .999; samples by that
    average are measured beside those by the weights themselves (Yazici et al. 2019).
    `encoder` (critic) and `decoder` (generator): options of one side; `body`: options of both. See models/nets.py.
    """

    stackable: tuple[str, ...] = ("lr", "betas", "lr_decay", "lr_generator", "lr_discriminator", "smoothing", "dropout")
    critic_estimates = "jensen_shannon"  # its scores are logits (Goodfellow et al. 2014, theorem 1), but for other losses
    loss_scales = {
        "critic/loss": "nats per image: cross-entropy of real plus of generated; or the hinge or square",
        "critic/real": "mean score of real, a logit under cross-entropy",
        "critic/fake": "mean score of generated",
        "generator/loss": "nats per image; or the hinge or square",
    }

    def __init__(
        self,
        shape,
        net,
        depth,
        latent_dim,
        *,
        loss="non_saturating",
        smoothing=0.0,
        feature_matching=False,
        output="tanh",
        flips=False,
        augment=(),
        shared_draw=False,
        average=None,
        lr=2e-4,
        betas=(0.5, 0.999),
        lr_decay=1.0,
        lr_generator=None,
        lr_discriminator=None,
        encoder=None,
        decoder=None,
        **body,
    ):
        super().__init__()
        if loss not in LOSSES or output not in OUTPUTS:
            raise ValueError(f"loss={loss!r} and output={output!r} must be among {LOSSES} and {OUTPUTS}")
        if loss == "hinge" and smoothing:
            raise ValueError(
                "smoothing counts real images as less than 1, and a hinge has no 1 to count from: leave one of them out"
            )
        if not set(augment) <= set(CHANGES):
            raise ValueError(f"augment={augment!r} must be among {CHANGES}")
        self.shape, self.latent_dim = tuple(shape), latent_dim
        self.flips, self.augment = flips, tuple(augment)
        self.loss, self.feature_matching, self.centred = loss, feature_matching, output == "tanh"
        if loss in ("hinge", "least_squares"):
            self.critic_estimates = ""
        self.register_buffer("smoothing", torch.tensor(float(smoothing)), persistent=False)
        convolutional = net.name == "conv"
        self.critic = net.encoder(
            shape, 1, **{"depth": depth, "activation": "LeakyReLU", "norm": convolutional, **body, **(encoder or {})}
        )
        self.generator = net.decoder(latent_dim, shape, **{"depth": depth, "norm": True, **body, **(decoder or {})})
        if convolutional:
            self.apply(initialise_as_dcgan)
        self.average = average and Average(self.generator, average)
        critic, generator = (Adam(own or lr, tuple(betas), lr_decay) for own in (lr_discriminator, lr_generator))
        by_generator = self.noise_of("real", "fake") if feature_matching else self.noise_of("fake")
        self.phases = [
            Phase("critic", "critic_loss", ("critic",), critic, noise=self.noise_of("real", "fake")),
            self.drawing(Phase("generator", "generator_loss", ("generator",), generator, noise=by_generator), shared_draw),
        ]

    def noise_of(self, *seen: str) -> dict:
        """What a loss is given that shows the critic these images, "real" or "fake"."""
        changes = {f"uniform_{which}": (UNIFORMS,) for which in seen if self.augment}
        mirrored = {"uniform_flip": (1, 1, 1)} if self.flips and "real" in seen else {}
        return {"z": (self.latent_dim,), **mirrored, **changes}

    @staticmethod
    def drawing(phase: Phase, shared: bool) -> Phase:
        """The generator's phase, by whose images the critic learns as well where these are shared."""
        noise = {name: size for name, size in phase.noise.items() if name != "z"}
        return replace(phase, draws="drawn", noise=noise) if shared else phase

    def critic_loss(self, x, noise, epoch) -> dict:
        """ "real" and "fake" are the mean scores."""
        with torch.no_grad():
            fake = self.fake(noise)
        real, fake = self.score(self.real(x, noise)), self.score(fake)
        if self.loss == "hinge":
            loss = relu(1 - real) + relu(1 + fake)
        elif self.loss == "least_squares":
            loss = ((real - 1 + self.smoothing).square() + fake.square()) / 2
        else:
            loss = softplus(-real) + self.smoothing * real + softplus(fake)
        return {"loss": loss.mean(), "real": real.mean(), "fake": fake.mean()}

    def generator_loss(self, x, noise, epoch) -> dict:
        if self.average:
            self.average.update(self.generator)
        fake = self.fake(noise)
        if self.feature_matching:
            return {"loss": (self.features(self.real(x, noise)).mean(0) - self.features(fake).mean(0)).square().sum()}
        score = self.score(fake)
        losses = {
            "non_saturating": lambda: softplus(-score),
            "minimax": lambda: -softplus(score),
            "hinge": lambda: -score,
            "least_squares": lambda: (score - 1).square() / 2,
        }
        return {"loss": losses[self.loss]().mean()}

    def real(self, x, noise):
        """Images in [0, 1] -> as a critic in training sees them."""
        return self.changed(self.seen(flipped(x, noise["uniform_flip"]) if self.flips else x), noise, "real")

    def fake(self, noise):
        """Generated images as a critic in training sees them."""
        return self.changed(noise[DRAWN] if DRAWN in noise else self.drawn(noise), noise, "fake")

    def drawn(self, noise):
        """Generated images before they are changed."""
        return self.generate(noise["z"])

    def changed(self, image, noise, which: str):
        return diff_augment(image, noise[f"uniform_{which}"], self.augment) if self.augment else image

    def seen(self, x):
        """Images in [0, 1] -> in the range of the generator's output, as the critic sees them."""
        return 2 * x - 1 if self.centred else x

    def features(self, image):
        """The critic's last hidden layer for images as it sees them."""
        return self.critic[:-1](image)

    def score(self, image):
        """The critic's logits (n,) for images as it sees them."""
        return self.critic(image).squeeze(1)

    def discriminate(self, x):
        """The critic's logits (n,) for images in [0, 1]: positive where it takes them for real."""
        return self.score(self.seen(x))

    def generate(self, z):
        """(n, latent_dim) -> images as the critic sees them."""
        return self.bounded(self.generator(z))

    def bounded(self, image):
        return torch.tanh(image) if self.centred else torch.sigmoid(image)

    def sample(self, z):
        """(n, latent_dim) -> images (n, *shape) in [0, 1]."""
        return (self.generate(z) + 1) / 2 if self.centred else self.generate(z)

    def sample_averaged(self, z):
        """The same by the average of the generator's weights."""
        image = self.bounded(self.average.call(self.generator, z))
        return (image + 1) / 2 if self.centred else image


def initialise_as_dcgan(module):
    """N(0, .02) weights (Radford et al. 2015, section 4); BatchNorm scales N(1, .02) as in its public code.

    Of a model without numbers, of which shapes are asked, nothing: torch would import its compiler to draw them, two seconds."""
    if any(parameter.is_meta for parameter in module.parameters(recurse=False)):
        return
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
