"""Pictures: tiled grids of images, latent paths, and one sheet of depth by latent size for every model and dataset."""
import io
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image

COLUMNS, ROWS = 8, 4   # of a grid: MLflow's thumbnails are 256 pixels wide, so tiles of 32 pixels stay sharp
TILE = 32              # pixels at least on a tile's side; smaller images are enlarged by whole factors


def tile(images: torch.Tensor, columns: int = COLUMNS) -> np.ndarray:
    """Images (n, C, H, W) with values in [0, 1] side by side: uint8 (height, width, 3), one pixel of white between."""
    count, channels, height, width = images.shape
    pixels = (images.detach().cpu().nan_to_num(0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    factor = max(1, math.ceil(TILE / height))
    pixels = pixels.expand(count, 3, height, width).repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    pixels = torch.nn.functional.pad(pixels, (0, 1, 0, 1), value=255)
    missing = -count % columns
    pixels = torch.cat([pixels, pixels.new_full((missing, *pixels.shape[1:]), 255)])
    rows = pixels.reshape(-1, columns, *pixels.shape[1:]).permute(0, 3, 1, 4, 2)
    return rows.reshape(rows.shape[0] * rows.shape[1], -1, 3)[:-1, :-1].numpy()


def png(pixels: np.ndarray) -> bytes:
    """uint8 (height, width, 3) as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def paired(above: torch.Tensor, below: torch.Tensor, columns: int = COLUMNS) -> np.ndarray:
    """Two sets of images (n, C, H, W) row by row: each row of `above` with the matching row of `below` under it."""
    blocks = [part for start in range(0, len(above), columns)
              for part in (above[start:start + columns], below[start:start + columns])]
    return tile(torch.cat(blocks), columns)


def latent_path(a: torch.Tensor, b: torch.Tensor, steps: int = COLUMNS) -> torch.Tensor:
    """Points between latents a and b, each (n, d): (n * steps, d). ((1-t) a + t b) / sqrt((1-t)^2 + t^2) is standard
    normal wherever a and b are; a straight line would leave the shell that the model was trained on."""
    t = torch.linspace(0, 1, steps, device=a.device, dtype=a.dtype)[None, :, None]
    points = ((1 - t) * a[:, None] + t * b[:, None]) / ((1 - t) ** 2 + t ** 2).sqrt()
    return points.reshape(-1, a.shape[1])


def sheet(title: str, pictures: dict[tuple[int, int], Path], values: dict[tuple[int, int], str]) -> bytes:
    """A PNG of sample grids, rows depth and columns latent size: {(depth, latent_dim): file} and a caption for each."""
    from matplotlib.figure import Figure  # here, so that workers, who only tile, start without it
    depths, latents = (sorted({key[axis] for key in pictures}) for axis in (0, 1))
    figure = Figure(figsize=(2.6 * len(latents), 1.7 * len(depths) + 0.5), dpi=110, layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(len(depths), len(latents), squeeze=False)
    for row, depth in enumerate(depths):
        for column, latent in enumerate(latents):
            _draw_cell(axes[row][column], pictures.get((depth, latent)))
            axes[row][column].set_title(f"depth {depth}, latent {latent}: {values.get((depth, latent), 'missing')}",
                                        fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw_cell(axis, file: Path | None) -> None:
    axis.set_axis_off()
    if file is not None:
        axis.imshow(np.asarray(Image.open(file)), interpolation="nearest")
