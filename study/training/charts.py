"""Charts of a trained model: which classes it draws, and where it puts real images of each class."""

import numpy as np
import torch

from study.metrics.catalogue import literal
from study.metrics.evaluation import Evaluation

SIZE, SQUARE, DPI = (4.4, 2.6), (4.4, 3.6), 110  # inches; pixels per inch
NAMED = 24  # classes at most whose names find room below an axis
REAL, GENERATED = "#b3b3b3", "#123a5e"


def at_the_end(model, judge: Evaluation) -> dict[str, np.ndarray]:
    """Name -> chart of a trained model in eval mode, uint8 (height, width, 3)."""
    charts = {}
    if (shares := judge.class_shares(model)) is not None:
        real, generated = shares
        charts["classes"] = classes(real, generated, judge.images.classes)
    if hasattr(model, "posterior") and (means := judge.posterior_means(model)).isfinite().all():
        charts["latents"] = latents(means, judge.real_labels, judge.images.classes)
    return charts


def classes(real: torch.Tensor, generated: torch.Tensor, names: tuple[str, ...]) -> np.ndarray:
    """The share (classes,) of each class among generated images beside that among real ones."""
    figure, axis = empty()
    place = np.arange(len(names))
    axis.bar(place - 0.2, real.cpu().numpy(), 0.4, color=REAL, label="real images")
    axis.bar(place + 0.2, generated.cpu().numpy(), 0.4, color=GENERATED, label="samples")
    written = [shortened(name) for name in names] if len(names) <= NAMED else []
    axis.set_xticks(place[: len(written)], written, rotation=90 if max(map(len, names)) > 3 else 0)
    axis.set_ylabel("share", fontsize=7)
    axis.legend(fontsize=7, frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    return pixels(figure)


def latents(points: torch.Tensor, labels: torch.Tensor | None, names: tuple[str, ...]) -> np.ndarray:
    """Latents (n, d) of real images in two dimensions, coloured by their classes (n,) where there are any."""
    from matplotlib import colormaps

    figure, axis = empty(SQUARE)
    places, titles = flattened(points.cpu().double())
    classes = torch.zeros(len(points), dtype=torch.long) if labels is None else labels.cpu()
    colours = colormaps["tab10"] if len(names) <= 10 else colormaps["gist_rainbow"].resampled(len(names))
    for label in classes.unique().tolist():
        x, y = places[classes == label].T.numpy()
        axis.scatter(x, y, s=5, color=colours(label), label=shortened(names[label]) if names else "")
    if labels is not None and len(names) <= NAMED:
        axis.legend(fontsize=6, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), handletextpad=0.1)
    axis.set_aspect("equal", "datalim")
    axis.set_xlabel(titles[0], fontsize=7)
    axis.set_ylabel(titles[1], fontsize=7)
    return pixels(figure)


def flattened(points: torch.Tensor) -> tuple[torch.Tensor, list[str]]:
    """Points (n, d) in two dimensions, (n, 2), and what these are: the latent's own, or the first two principal components."""
    if points.shape[1] <= 2:
        return torch.nn.functional.pad(points, (0, 2 - points.shape[1])), ["first latent unit", "second latent unit"]
    centred = points - points.mean(0)
    directions = torch.linalg.svd(centred, full_matrices=False).Vh[:2]
    places = centred @ directions.T
    shares = places.square().sum(0) / centred.square().sum().clamp(min=1e-300)
    names = ("first principal component", "second")
    return places, [f"{name}: {100 * share:.0f} % of the variance" for name, share in zip(names, shares.tolist())]


def shortened(name: str) -> str:
    return literal(name[:16])


def empty(size=SIZE):
    """A figure with one set of axes."""
    from matplotlib.figure import Figure  # here, so that workers, who only tile, start without it

    figure = Figure(figsize=size, dpi=DPI, layout="tight")
    axis = figure.subplots()
    axis.tick_params(labelsize=7)
    return figure, axis


def pixels(figure) -> np.ndarray:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
