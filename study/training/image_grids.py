"""Pictures: what a model draws while and after it is trained, its loss curves, and sheets of depth by latent size.

All pictures of a model use the same latents and the same real images each time, so that they can be laid side by side.
"""

import io
import math

import numpy as np
import torch
from PIL import Image

from study.metrics.catalogue import literal
from study.metrics.evaluation import CHUNK
from study.metrics.paths import latent_path

COLUMNS, ROWS = 8, 4  # of a grid: MLflow's thumbnails are 256 pixels wide, so tiles of 32 pixels stay sharp
TILE = 32  # pixels at least on a tile's side; smaller images are enlarged by whole factors
MANY = 64  # images of the sheet at the end
PLANE = 12  # points on a side of the plane of two latents: the centres of as many equal shares of the prior
REACH = 2.5  # standard deviations of the prior to either side in a traversal
STEP = 1.0  # along a dimension, for how much the image depends on it
POINTS = 1000  # of a curve: more are averaged, which is what a page of this width can show


def tile(images: torch.Tensor, columns: int = COLUMNS) -> np.ndarray:
    """Images (n, C, H, W) with values in [0, 1] side by side, one pixel of white between: uint8 (height, width, 3), or
    (height, width) where C is 1."""
    count, channels, height, width = images.shape
    pixels = (images.detach().cpu().nan_to_num(0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    factor = max(1, math.ceil(TILE / height))
    pixels = pixels.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    pixels = torch.nn.functional.pad(pixels, (0, 1, 0, 1), value=255)
    missing = -count % columns
    pixels = torch.cat([pixels, pixels.new_full((missing, *pixels.shape[1:]), 255)])
    rows = pixels.reshape(-1, columns, *pixels.shape[1:]).permute(0, 3, 1, 4, 2)
    whole = rows.reshape(rows.shape[0] * rows.shape[1], -1, channels)[:-1, :-1].numpy()
    return whole[..., 0] if channels == 1 else whole


def png(pixels: np.ndarray) -> bytes:
    """uint8 (height, width, 3) or (height, width) as the bytes of a PNG file, in colour or grey."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def paired(above: torch.Tensor, below: torch.Tensor, columns: int = COLUMNS) -> np.ndarray:
    """Two sets of images (n, C, H, W) row by row: each row of `above` with the matching row of `below` under it."""
    blocks = [
        part for start in range(0, len(above), columns) for part in (above[start : start + columns], below[start : start + columns])
    ]
    return tile(torch.cat(blocks), columns)


IN_TRAINING = ("samples", "reconstructions")  # drawn again and again; all else once, at the end


def in_training(model, noise: torch.Tensor, real: torch.Tensor) -> dict[str, np.ndarray]:
    """Name -> picture of a model in eval mode: samples of `noise` (n, d), and what a VAE makes of `real` (n, C, H, W)."""
    count = COLUMNS * ROWS
    pictures = [tile(model.sample(noise[:count]))]
    if hasattr(model, "reconstruct"):
        pictures.append(paired(real[: count // 2], model.reconstruct(real[: count // 2])))
    return dict(zip(IN_TRAINING, pictures))


def at_the_end(model, noise: torch.Tensor, real: torch.Tensor, nearest) -> dict[str, np.ndarray]:
    """What else is drawn of a trained model. nearest(images) -> the training images most like them."""
    samples = model.sample(noise[:MANY])
    half = min(COLUMNS * ROWS // 2, len(real))
    path = latent_path(noise[:ROWS], noise[ROWS : 2 * ROWS], COLUMNS)
    pictures = {
        "sheet": tile(samples),
        "beside": paired(real[:half], samples[:half]),
        "nearest": paired(samples[:half], nearest(samples[:half])),
        "interpolation": tile(model.sample(path)),
    }
    if model.latent_dim == 2:
        pictures["plane"] = tile(model.sample(latent_plane(noise)), PLANE)
    if hasattr(model, "posterior"):
        pictures |= {"interpolation-real": between_images(model, real), "traversal": traversal(model, real)}
    return pictures


def latent_plane(like: torch.Tensor) -> torch.Tensor:
    """Two latents at the centres of equal shares of their prior, (PLANE ** 2, 2): the second grows upwards."""
    shares = torch.special.ndtri((torch.arange(PLANE, device=like.device, dtype=like.dtype) + 0.5) / PLANE)
    second, first = torch.meshgrid(shares.flip(0), shares, indexing="ij")
    return torch.stack([first.flatten(), second.flatten()], 1)


def between_images(model, real: torch.Tensor) -> np.ndarray:
    """A row per pair of images: one of them, the images decoded between their posterior means, the other."""
    a, b = real[: 2 * min(ROWS, len(real) // 2)].chunk(2)
    path = latent_path(model.posterior(a)[0], model.posterior(b)[0], COLUMNS)
    path = model.sample(path).unflatten(0, (len(a), COLUMNS))
    return tile(torch.cat([a[:, None], path, b[:, None]], 1).flatten(0, 1), COLUMNS + 2)


def traversal(model, real: torch.Tensor) -> np.ndarray:
    """A row per latent unit, by falling KL divergence: the first image with that unit moved across its prior."""
    mean, log_variance = model.posterior(real[:MANY])
    kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean(0)
    rows = []
    for unit in kl.argsort(descending=True)[: 2 * ROWS].tolist():
        z = mean[:1].repeat(COLUMNS, 1)
        z[:, unit] = torch.linspace(-REACH, REACH, COLUMNS, device=z.device, dtype=z.dtype)
        rows.append(z)
    return tile(model.sample(torch.cat(rows)))


def curves(losses: dict[str, torch.Tensor], units: dict[str, str]) -> bytes:
    """A PNG of the losses of every batch, {name: (seeds, steps)}: each seed pale, their mean dark. A phase that takes
    fewer steps than another is stretched over the same batches. `units`: name -> what its axis says."""
    from matplotlib.figure import Figure  # here, so that workers, who only tile, start without it

    batches = max(values.shape[1] for values in losses.values())
    figure = Figure(figsize=(3.2 * len(losses), 2.6), dpi=110)  # a layout engine would draw everything twice
    figure.subplots_adjust(0.24 / len(losses), 0.17, 1 - 0.03 / len(losses), 0.9, 0.34)
    for axis, (name, values) in zip(figure.subplots(1, len(losses), squeeze=False)[0], losses.items()):
        values = thinned(values.double()).numpy()
        x = np.linspace(batches / values.shape[1], batches, values.shape[1])
        axis.plot(x, values.T, color="#7fa6c9", linewidth=0.4, alpha=0.6)
        axis.plot(x, values.mean(0), color="#123a5e", linewidth=0.9)
        axis.set_title(literal(name), fontsize=9)
        axis.set_ylabel(units.get(name, ""), fontsize=7)
        axis.set_xlabel("batches", fontsize=7)
        axis.tick_params(labelsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def thinned(values: torch.Tensor) -> torch.Tensor:
    """(seeds, steps) averaged over runs of neighbours until no more than POINTS are left; a partial last run is cut."""
    run = -(-values.shape[1] // POINTS)
    return values[:, : values.shape[1] // run * run].unflatten(1, (-1, run)).mean(2)


@torch.no_grad()
def decode(model, z: torch.Tensor) -> torch.Tensor:
    """Latents (n, latent_dim) -> images (n, C, H, W) in [0, 1] in eval mode, so few at a time that photographs fit into memory."""
    return torch.cat([model.eval().sample(part) for part in z.split(max(1, CHUNK // math.prod(model.shape)))])


def prior_sample(model, n: int, seed: int) -> torch.Tensor:
    """The same n points of the prior for a seed, whatever else is drawn."""
    return torch.randn(n, model.latent_dim, generator=torch.Generator().manual_seed(seed))


def interpolated(model, n: int, seed: int) -> torch.Tensor:
    """Paths of COLUMNS points between pairs of points of the prior, about n points in all."""
    ends = prior_sample(model, 2 * max(1, n // COLUMNS), seed)
    return latent_path(ends[::2], ends[1::2], COLUMNS)


def traversed(model, n: int) -> torch.Tensor:
    """One row of COLUMNS points per latent dimension, the others at 0, about n points in all: those first along which
    the image changes most. That order needs no data, so it is one rule for all families; where a VAE does not use a
    dimension, its decoder ignores it as well."""
    order = sensitivity(model).argsort(descending=True)[: max(1, n // COLUMNS)]
    points = torch.zeros(len(order), COLUMNS, model.latent_dim)
    for row, dimension in enumerate(order):
        points[row, :, dimension] = torch.linspace(-REACH, REACH, COLUMNS)
    return points.flatten(0, 1)


def sensitivity(model, samples: int = 32) -> torch.Tensor:
    """Root mean square change of the image when one latent dimension (latent_dim,) moves by STEP."""
    base = prior_sample(model, samples, 0)
    still = decode(model, base)
    moved = torch.eye(model.latent_dim) * STEP
    return torch.stack([(decode(model, base + step) - still).square().mean().sqrt() for step in moved])


@torch.enable_grad()
def differentiable(model, z) -> bool:
    """Whether latents like z (n, latent_dim) can be searched by the gradient of their images."""
    return model.sample(z.detach().requires_grad_(True)).requires_grad


@torch.enable_grad()
def invert(model, x, steps=200, starts=256, rate=0.1):
    """How close a generator comes to images x (n, C, H, W): the images found by Adam on the latents, squared error.

    Each search starts from the nearest of `starts` samples. The same images each time, so drawings compare.
    """
    generator = torch.Generator().manual_seed(0)
    starting = torch.randn(starts, model.latent_dim, generator=generator).to(x.device)
    with torch.no_grad():
        z = starting[torch.cdist(x.flatten(1), model.sample(starting).flatten(1)).argmin(1)]
    z = z.requires_grad_(True)
    optimiser = torch.optim.Adam([z], rate)
    for _ in range(steps):
        loss = (model.sample(z) - x).square().sum()
        optimiser.zero_grad()
        loss.backward(inputs=[z])
        optimiser.step()
    return model.sample(z).detach()
