"""Charts of a trained model: which classes it draws."""

import numpy as np
import torch

from study.metrics.catalogue import literal
from study.metrics.evaluation import Evaluation

SIZE, DPI = (4.4, 2.6), 110  # inches; pixels per inch
NAMED = 24  # classes at most whose names find room below an axis
REAL, GENERATED = "#b3b3b3", "#123a5e"


def at_the_end(model, judge: Evaluation) -> dict[str, np.ndarray]:
    """Name -> chart of a trained model in eval mode, uint8 (height, width, 3)."""
    charts = {}
    if (shares := judge.class_shares(model)) is not None:
        real, generated = shares
        charts["classes"] = classes(real, generated, judge.images.classes)
    return charts


def classes(real: torch.Tensor, generated: torch.Tensor, names: tuple[str, ...]) -> np.ndarray:
    """The share (classes,) of each class among generated images beside that among real ones."""
    figure, axis = empty()
    place = np.arange(len(names))
    axis.bar(place - 0.2, real.cpu().numpy(), 0.4, color=REAL, label="real images")
    axis.bar(place + 0.2, generated.cpu().numpy(), 0.4, color=GENERATED, label="samples")
    written = [literal(name)[:16] for name in names] if len(names) <= NAMED else []
    axis.set_xticks(place[: len(written)], written, rotation=90 if max(map(len, names)) > 3 else 0)
    axis.set_ylabel("share", fontsize=7)
    axis.legend(fontsize=7, frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    return pixels(figure)


def empty():
    """A figure with one set of axes."""
    from matplotlib.figure import Figure  # here, so that workers, who only tile, start without it

    figure = Figure(figsize=SIZE, dpi=DPI, layout="tight")
    axis = figure.subplots()
    axis.tick_params(labelsize=7)
    return figure, axis


def pixels(figure) -> np.ndarray:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
