"""Our training step against the customary PyTorch loop, alternating in one process, on one thread; and what a sweep adds.

    python benchmarks/step.py [--data-dir DIR] [--json FILE]
"""
import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.overhead import line, measure
from models.gan import GAN
from models.nets import fc
from models.vae import VAE
from models.wgan import WGAN
from study.replicas import Replicas
from study.vision import torchvision

STEPS, ROUNDS, BATCH = 80, 7, 128
SHAPE = (1, 28, 28)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", default=os.environ.get("STUDY_DATA", "data"))
    parser.add_argument("--json", metavar="FILE", help="also write the rows there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    mnist, source = mnist_or_noise(arguments.data_dir)
    print(f"{source}, batch {BATCH}, one thread: ms per step, median of {ROUNDS} alternating rounds of {STEPS} steps")
    rows = [compare("VAE 784-400-20", our_loop(VAE, 1, 20, mnist), customary_vae(mnist)),
            compare("GAN 784, two hidden layers of 400", our_loop(GAN, 2, 100, mnist), customary_gan(mnist)),
            compare("WGAN-GP 784, two hidden layers of 400", our_loop(WGAN, 2, 100, mnist), customary_wgan(mnist)),
            compare("VAE 64-128-20, 8 seeds at once, per seed", eight_at_once(), customary_small_vae())]
    overhead = measure()
    print(line(overhead))
    if arguments.json:
        content = {"data": source, "threads": 1, "rows": rows, "overhead": overhead}
        Path(arguments.json).write_text(json.dumps(content, indent=1) + "\n")


def mnist_or_noise(data_dir):
    """torchvision's MNIST, cut to one round's images; without the files, random ones in the same format."""
    try:
        mnist, source = torchvision.datasets.MNIST(data_dir, transform=torchvision.transforms.ToTensor()), "MNIST"
    except RuntimeError:
        with tempfile.TemporaryDirectory() as folder:
            write_noise(Path(folder) / "MNIST" / "raw")
            mnist = torchvision.datasets.MNIST(folder, transform=torchvision.transforms.ToTensor())
        source = f"random images in MNIST's shape (no MNIST in {data_dir})"
    mnist.data, mnist.targets = mnist.data[:STEPS * BATCH], mnist.targets[:STEPS * BATCH]
    return mnist, source


def write_noise(folder):
    """MNIST's IDX files: a magic number and the sizes as big-endian integers, then bytes."""
    folder.mkdir(parents=True)
    count = STEPS * BATCH
    contents = {"images-idx3": ((2051, count, 28, 28), torch.randint(0, 256, (count * 784,)).byte().numpy().tobytes()),
                "labels-idx1": ((2049, count), bytes(count))}
    for part in ("train", "t10k"):
        for name, (sizes, content) in contents.items():
            header = b"".join(size.to_bytes(4, "big") for size in sizes)
            (folder / f"{part}-{name}-ubyte").write_bytes(header + content)


def compare(name, ours, peer) -> dict:
    """Medians of processor time, to which other programs do not add; a ratio above 1 means that ours is faster."""
    times = {ours: [], peer: []}
    for turn in range(ROUNDS + 1):
        for loop in (ours, peer):
            start = time.process_time()
            loop()
            if turn:  # the first round warms up
                times[loop].append(1000 * (time.process_time() - start) / STEPS)
    ours, peer = median(times[ours]), median(times[peer])
    print(f"{name:40s} ours {ours:7.2f}   customary {peer:7.2f}   ratio {peer / ours:.2f}", flush=True)
    return {"name": name, "ours": round(ours, 3), "peer": round(peer, 3), "ratio": round(peer / ours, 2)}


def our_loop(model, depth, latent_dim, mnist):
    replicas = Replicas(lambda: model(SHAPE, fc, depth, latent_dim, width=400), seeds=[0])
    return lambda: replicas.train_epoch(mnist.data.unsqueeze(1), 256, BATCH)


def eight_at_once():
    replicas = Replicas(lambda: VAE((1, 8, 8), fc, 1, 20, width=128), seeds=range(8))
    images = torch.randint(0, 17, (STEPS // 8 * BATCH, 1, 8, 8), dtype=torch.uint8)
    return lambda: replicas.train_epoch(images, 17, BATCH)


class CustomaryVAE(nn.Module):
    def __init__(self, pixels, hidden, latent):
        super().__init__()
        self.pixels = pixels
        self.hidden, self.mean, self.log_variance = (
            nn.Linear(pixels, hidden), nn.Linear(hidden, latent), nn.Linear(hidden, latent))
        self.decode, self.output = nn.Linear(latent, hidden), nn.Linear(hidden, pixels)

    def forward(self, x):
        hidden = F.relu(self.hidden(x.view(-1, self.pixels)))
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        deviation = torch.exp(0.5 * log_variance)
        z = mean + deviation * torch.randn_like(deviation)
        return torch.sigmoid(self.output(F.relu(self.decode(z)))), mean, log_variance


def customary_vae(mnist):
    return vae_loop(CustomaryVAE(784, 400, 20), DataLoader(mnist, batch_size=BATCH, shuffle=True))


def customary_small_vae():
    images = torch.rand(STEPS * BATCH, 64)
    loader = DataLoader(TensorDataset(images, images), batch_size=BATCH, shuffle=True)
    return vae_loop(CustomaryVAE(64, 128, 20), loader)


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


def critic_and_generator(*ending):
    critic = nn.Sequential(nn.Linear(784, 400), nn.LeakyReLU(0.2), nn.Linear(400, 400), nn.LeakyReLU(0.2),
                           nn.Linear(400, 1), *ending)
    generator = nn.Sequential(nn.Linear(100, 400), nn.BatchNorm1d(400), nn.ReLU(), nn.Linear(400, 400),
                              nn.BatchNorm1d(400), nn.ReLU(), nn.Linear(400, 784), nn.Tanh())
    return critic, generator


def customary_gan(mnist):
    critic, generator = critic_and_generator(nn.Sigmoid())
    loader, criterion = DataLoader(mnist, batch_size=BATCH, shuffle=True), nn.BCELoss()
    optimisers = [torch.optim.Adam(side.parameters(), lr=2e-4, betas=(0.5, 0.999)) for side in (critic, generator)]

    def epoch():
        losses = []
        for x, _ in loader:
            real, ones, zeros = 2 * x.view(-1, 784) - 1, torch.ones(len(x), 1), torch.zeros(len(x), 1)
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


def customary_wgan(mnist):
    critic, generator = critic_and_generator()
    loader = DataLoader(mnist, batch_size=BATCH, shuffle=True)
    optimisers = [torch.optim.Adam(side.parameters(), lr=1e-4, betas=(0.0, 0.9)) for side in (critic, generator)]

    def epoch():
        losses = []
        for index, (x, _) in enumerate(loader):
            real = 2 * x.view(-1, 784) - 1
            optimisers[0].zero_grad()
            fake = generator(torch.randn(len(x), 100)).detach()
            share = torch.rand(len(x), 1)
            mixed = (share * fake + (1 - share) * real).requires_grad_(True)
            score = critic(mixed)
            gradient, = torch.autograd.grad(score, mixed, torch.ones_like(score), create_graph=True)
            penalty = ((gradient.norm(2, dim=1) - 1) ** 2).mean()
            critic_loss = critic(fake).mean() - critic(real).mean() + 10 * penalty
            critic_loss.backward()
            optimisers[0].step()
            losses.append(critic_loss.item())
            if index % 5 == 4:
                optimisers[1].zero_grad()
                generator_loss = -critic(generator(torch.randn(len(x), 100))).mean()
                generator_loss.backward()
                optimisers[1].step()
        return losses
    return epoch


if __name__ == "__main__":
    main()
