"""Our training step against the customary PyTorch loop and against its arithmetic, in turn in one process, on one thread.

    python benchmarks/step.py [--data-dir DIR] [--json FILE]

The limit of a step is its floating point operations (torch's counter) at the rate of torch's product of large matrices, in
the same run; `of limit` is how near we come, `of fastest` the same for the fastest product there is here (models/linear.py).
At the end: what a sweep adds to a trial.
"""

import os
import sys
import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.overhead import line, measure
from benchmarks.table import in_turn, keep, parser_of, row
from models.gan import GAN
from models.linear import linear
from models.nets import conv, fc
from models.vae import VAE
from models.wgan import WGAN
from study.data.vision import torchvision
from study.metrics.cost import Flops
from study.training.host_memory import keep_freed_memory
from study.training.replicas import Replicas

STEPS, CONV_STEPS, ROUNDS, BATCH = 80, 6, 9, 128
COLOUR = (3, 32, 32)
PYTORCH_GAN = (512, 256), (128, 256, 512, 1024)  # hidden layers of critic and generator in a collection that many begin with


def main():
    parser = parser_of(__doc__)
    parser.add_argument("--data-dir", default=os.environ.get("STUDY_DATA", "data"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    mnist, source = mnist_or_noise(options.data_dir)
    grey, colour = mnist.data.unsqueeze(1), torch.randint(0, 256, (CONV_STEPS * BATCH, *COLOUR), dtype=torch.uint8)
    digits = torch.randint(0, 17, (STEPS // 8 * BATCH, 1, 8, 8), dtype=torch.uint8)
    print(f"{source}, batch {BATCH}, one thread: ms of a step, the least of {ROUNDS} rounds of {STEPS} steps in turn")
    critic, generator = PYTORCH_GAN
    clipped, few = {"clip": 0.01, "optimiser": "rmsprop", "lr": 5e-5}, grey[: CONV_STEPS * BATCH]
    rows = [
        kept_memory("DCGAN 28x28, 64 and 128 channels, freed memory kept", Ours(GAN, conv, 2, 100, few, width=64)),
        compare(
            "VAE 784-400-20",
            customary_vae(mnist),
            Ours(VAE, fc, 1, 20, grey, width=400),
            Ours(VAE, fc, 1, 20, grey, width=400, precision="bf16", name=", bf16 products"),
        ),
        compare("GAN 784, two hidden layers of 400", customary_gan(mnist), *both_ways(GAN, fc, 2, grey, width=400)),
        compare(
            "GAN 784, 128 to 1,024 against 512 and 256, batch 64",
            customary_gan(mnist, critic, generator, batch=64),
            *both_ways(
                GAN, fc, 2, grey, batch=64, encoder={"width": PYTORCH_GAN[0]}, decoder={"depth": 4, "width": PYTORCH_GAN[1]}
            ),
        ),
        compare("WGAN-GP 784, two hidden layers of 400", customary_wgan(mnist), *both_ways(WGAN, fc, 2, grey, width=400)),
        compare(
            "WGAN 784, clipped, two hidden layers of 400",
            customary_wgan(mnist, clip=0.01),
            *both_ways(WGAN, fc, 2, grey, width=400, **clipped),
        ),
        compare("DCGAN 28x28, 64 and 128 channels", customary_dcgan(few, 2), *both_ways(GAN, conv, 2, few, width=64)),
        compare(
            "DCGAN 32x32 in colour, 64 to 256 channels", customary_dcgan(colour, 3), *both_ways(GAN, conv, 3, colour, width=64)
        ),
        compare(
            "VAE 64-128-20, 8 seeds at once, per seed",
            customary_small_vae(),
            Ours(VAE, fc, 1, 20, digits, seeds=8, levels=17, width=128),
        ),
    ]
    overhead = measure()
    print(line(overhead))
    keep(sum(rows, []), options, data=source, threads=1, overhead=overhead)


class Ours:
    """One epoch of our loop over these images, and its floating point operations in a step."""

    def __init__(
        self, model, net, depth, latent_dim, images, seeds=1, levels=256, batch=BATCH, precision="float32", name="", **options
    ):
        self.images, self.levels, self.batch, self.name = images, levels, batch, name
        builds = [lambda: model(images.shape[1:], net, depth, latent_dim, **options)] * seeds
        self.replicas = Replicas(builds, range(seeds), precision=precision)
        self.steps = len(images) // batch * seeds
        with Flops() as counted:
            self()
        self.flops = counted.total / self.steps

    def __call__(self):
        self.replicas.train_epoch(self.images, self.levels, self.batch)


def both_ways(model, net, depth, images, **options) -> list[Ours]:
    """As it is by default, and with one draw for both networks, as the customary loop has it."""
    return [
        Ours(model, net, depth, 100, images, name=name, shared_draw=shared, **options)
        for name, shared in (("", False), (", one draw", True))
    ]


def kept_memory(name, ours: Ours) -> list[dict]:
    """With the memory that a step frees given back to the system, as torch has it, and kept, as it is from here on for both."""
    given_back, *_ = in_turn([ours], ROUNDS)
    keep_freed_memory()
    kept, *_ = in_turn([ours], ROUNDS)
    return [row(name, 1000 * kept / ours.steps, 1000 * given_back / ours.steps, "ms", "given back")]


def matrix_products(product):
    """Eight products of 1,024 x 1,024 matrices."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)

    def products():
        for _ in range(8):
            product(a, b)

    return products


def compare(name, peer, *ours: Ours) -> list[dict]:
    """The loops and the limits in turn; the peer's loop makes as many steps as its images fill batches."""
    peer_loop, peer_steps = peer
    *ours_s, peer_s, plain_s, fastest_s = in_turn([*ours, peer_loop, matrix_products(torch.mm), matrix_products(linear)], ROUNDS)
    rates = [8 * 2 * 1024**3 / spent for spent in (plain_s, fastest_s)]  # operations per second
    rows = []
    for own, spent in zip(ours, ours_s):
        limits, mine = [1000 * own.flops / rate for rate in rates], 1000 * spent / own.steps
        found = {"limit": f"{limits[0]:.3f}", "of_limit": f"{limits[0] / mine:.0%}", "of_fastest": f"{min(limits) / mine:.0%}"}
        products = {"gflops": " and ".join(f"{rate / 1e9:.0f}" for rate in rates)}
        rows.append(row(name + own.name, mine, 1000 * peer_s / peer_steps, "ms", "customary", **found, **products))
    return rows


def mnist_or_noise(data_dir, count=STEPS * BATCH):
    """torchvision's MNIST, its first images; without the files, random ones in the same format."""
    try:
        mnist, source = torchvision.datasets.MNIST(data_dir, transform=torchvision.transforms.ToTensor()), "MNIST"
    except RuntimeError:
        with tempfile.TemporaryDirectory() as folder:
            write_noise(Path(folder) / "MNIST" / "raw")
            mnist = torchvision.datasets.MNIST(folder, transform=torchvision.transforms.ToTensor())
        source = f"random images in MNIST's shape (no MNIST in {data_dir})"
    mnist.data, mnist.targets = mnist.data[:count], mnist.targets[:count]
    return mnist, source


def write_noise(folder):
    """MNIST's IDX files: a magic number and the sizes as big-endian integers, then bytes."""
    folder.mkdir(parents=True)
    count = STEPS * BATCH
    contents = {
        "images-idx3": ((2051, count, 28, 28), torch.randint(0, 256, (count * 784,)).byte().numpy().tobytes()),
        "labels-idx1": ((2049, count), bytes(count)),
    }
    for part in ("train", "t10k"):
        for name, (sizes, content) in contents.items():
            header = b"".join(size.to_bytes(4, "big") for size in sizes)
            (folder / f"{part}-{name}-ubyte").write_bytes(header + content)


class CustomaryVAE(nn.Module):
    def __init__(self, pixels, hidden, latent):
        super().__init__()
        self.pixels = pixels
        self.hidden, self.mean, self.log_variance = (
            nn.Linear(pixels, hidden),
            nn.Linear(hidden, latent),
            nn.Linear(hidden, latent),
        )
        self.decode, self.output = nn.Linear(latent, hidden), nn.Linear(hidden, pixels)

    def forward(self, x):
        hidden = F.relu(self.hidden(x.view(-1, self.pixels)))
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        deviation = torch.exp(0.5 * log_variance)
        z = mean + deviation * torch.randn_like(deviation)
        return torch.sigmoid(self.output(F.relu(self.decode(z)))), mean, log_variance


def customary_vae(mnist):
    return vae_loop(CustomaryVAE(784, 400, 20), DataLoader(mnist, batch_size=BATCH, shuffle=True)), STEPS


def customary_small_vae():
    images = torch.rand(STEPS * BATCH, 64)
    loader = DataLoader(TensorDataset(images, images), batch_size=BATCH, shuffle=True)
    return vae_loop(CustomaryVAE(64, 128, 20), loader), STEPS


def vae_loop(model, loader):
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)

    def epoch():
        total = 0.0
        for x, _ in loader:
            optimiser.zero_grad()
            reconstruction, mean, log_variance = model(x)
            cross_entropy = F.binary_cross_entropy(reconstruction, x.view(-1, model.pixels), reduction="sum")
            kl = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
            loss = cross_entropy + kl
            loss.backward()
            total += loss.item()
            optimiser.step()
        return total

    return epoch


def critic_and_generator(*ending, critic=(400, 400), generator=(400, 400)):
    """Fully connected, of hidden layers of these widths, with BatchNorm in the generator."""
    critic = nn.Sequential(*hidden(784, critic, nn.LeakyReLU(0.2)), nn.Linear(critic[-1], 1), *ending)
    generator = nn.Sequential(*hidden(100, generator, nn.ReLU(), nn.BatchNorm1d), nn.Linear(generator[-1], 784), nn.Tanh())
    return critic, generator


def hidden(inputs, widths, activation, norm=None):
    for before, after in zip((inputs, *widths), widths):
        yield from (nn.Linear(before, after), *([norm(after)] if norm else []), activation)


def customary_gan(mnist, critic=(400, 400), generator=(400, 400), batch=BATCH):
    networks = critic_and_generator(nn.Sigmoid(), critic=critic, generator=generator)
    return gan_loop(*networks, DataLoader(mnist, batch_size=batch, shuffle=True), (784,)), len(mnist) // batch


def customary_dcgan(images, blocks):
    """Radford et al. (2016): 4x4 convolutions that halve and double the image, BatchNorm but at its ends."""
    channels, side = images.shape[1], images.shape[2] >> blocks
    widths = [64 << block for block in range(blocks)]
    critic = [nn.Conv2d(channels, 64, 4, 2, 1), nn.LeakyReLU(0.2)]
    generator = [
        nn.Linear(100, widths[-1] * side**2, bias=False),
        nn.Unflatten(1, (widths[-1], side, side)),
        nn.BatchNorm2d(widths[-1]),
        nn.ReLU(),
    ]
    for before, after in zip(widths, widths[1:]):
        critic += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
    for before, after in zip(widths[::-1], widths[-2::-1]):
        generator += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    critic = nn.Sequential(*critic, nn.Flatten(), nn.Linear(widths[-1] * side**2, 1), nn.Sigmoid())
    generator = nn.Sequential(*generator, nn.ConvTranspose2d(64, channels, 4, 2, 1), nn.Tanh())
    loader = DataLoader(Pictures(images), batch_size=BATCH, shuffle=True)
    return gan_loop(critic, generator, loader, images.shape[1:]), len(images) // BATCH


class Pictures(torch.utils.data.Dataset):
    """Images as a torchvision dataset gives them: ToTensor on each in turn."""

    def __init__(self, images):
        self.images = [image.permute(1, 2, 0).numpy() for image in images]
        self.transform = torchvision.transforms.ToTensor()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.transform(self.images[index]), 0


def gan_loop(critic, generator, loader, shape):
    criterion = nn.BCELoss()
    optimisers = [torch.optim.Adam(side.parameters(), lr=2e-4, betas=(0.5, 0.999)) for side in (critic, generator)]

    def epoch():
        losses = []
        for x, _ in loader:
            real, ones, zeros = 2 * x.view(-1, *shape) - 1, torch.ones(len(x), 1), torch.zeros(len(x), 1)
            optimisers[0].zero_grad()
            fake = generator(torch.randn(len(x), 100))
            critic_loss = criterion(critic(real), ones) + criterion(critic(fake.detach()), zeros)
            critic_loss.backward()
            optimisers[0].step()
            optimisers[1].zero_grad()
            generator_loss = criterion(critic(fake), ones)
            generator_loss.backward()
            optimisers[1].step()
            losses.append((critic_loss.item(), generator_loss.item()))
        return losses

    return epoch


def customary_wgan(mnist, clip=None):
    critic, generator = critic_and_generator()
    loader = DataLoader(mnist, batch_size=BATCH, shuffle=True)
    optimisers = [
        torch.optim.RMSprop(side.parameters(), lr=5e-5) if clip else torch.optim.Adam(side.parameters(), lr=1e-4, betas=(0.0, 0.9))
        for side in (critic, generator)
    ]

    def epoch():
        losses = []
        for index, (x, _) in enumerate(loader):
            real = 2 * x.view(-1, 784) - 1
            optimisers[0].zero_grad()
            fake = generator(torch.randn(len(x), 100)).detach()
            critic_loss = critic(fake).mean() - critic(real).mean() + (0 if clip else 10 * penalty(critic, real, fake))
            critic_loss.backward()
            optimisers[0].step()
            if clip:
                for parameter in critic.parameters():
                    parameter.data.clamp_(-clip, clip)
            losses.append(critic_loss.item())
            if index % 5 == 4:
                optimisers[1].zero_grad()
                generator_loss = -critic(generator(torch.randn(len(x), 100))).mean()
                generator_loss.backward()
                optimisers[1].step()
        return losses

    return epoch, STEPS


def penalty(critic, real, fake):
    share = torch.rand(len(real), 1)
    mixed = (share * fake + (1 - share) * real).requires_grad_(True)
    score = critic(mixed)
    (gradient,) = torch.autograd.grad(score, mixed, torch.ones_like(score), create_graph=True)
    return ((gradient.norm(2, dim=1) - 1) ** 2).mean()


if __name__ == "__main__":
    main()
