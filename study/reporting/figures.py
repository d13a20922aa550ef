"""Findings as figures, PNG and SVG: maps, the best beside real images, tuning curves, cost against quality, curves, effects."""

import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from study.analysis.cell_table import TableCell
from study.analysis.effects import Tuning
from study.analysis.report_data import ReportCell, ReportData
from study.analysis.trainings import grouped
from study.metrics.catalogue import COVERAGE, FIDELITY, described, interval, literal, number
from study.reporting.embedded_images import tiles_of
from study.reporting.paired_plot import paired

COLOURS = {"vae": "#0072b2", "gan": "#d55e00", "wgan": "#009e73"}  # Okabe and Ito's, told apart by all
FURTHER = ("#cc79a7", "#e69f00", "#56b4e9", "#000000")  # of other models
MAPPED = (FIDELITY, COVERAGE)
MOST_LINES = 8  # of one axis that are named
MOST_NUMBERS = 40  # squares of a map beyond which numbers would not be legible


def write_figures(found: ReportData, root: Path, real: Mapping, folder: Path) -> None:
    """maps, board, tuning, cost, curves and effects of every dataset as PNG and SVG."""
    from matplotlib import rc_context  # here: it takes a second to import

    with rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "report", "font.size": 8, "axes.spines.top": False, "axes.spines.right": False}
    ):
        for dataset in [basis.name for basis in found.datasets]:
            cells = [cell for cell in found.cells if cell.dataset == dataset]
            drawn = {
                "board": board([leader.fidelity for leader in found.leaders if leader.dataset == dataset], root, real[dataset]),
                "tuning": tuning([row for row in found.tuning if row.dataset == dataset]),
                "cost": cost(cells),
                "losses": losses(cells),
                "epochs": over_epochs(cells),
                "effects": paired([effect for effect in found.effects if effect.dataset == dataset]),
                **{f"map-{measure.split('/')[1]}": maps(cells, measure) for measure in MAPPED},
            }
            for name, figure in drawn.items():
                if figure is not None:
                    save(figure, folder / "-".join([name, file_name(dataset)]))


def file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]+", "-", text).strip("-.") or "dataset"


def save(figure, path: Path) -> None:
    figure.get_layout_engine().execute(figure)
    figure.set_layout_engine("none")  # laid out once, not for each format
    figure.savefig(path.with_name(path.name + ".png"), dpi=150)
    figure.savefig(path.with_name(path.name + ".svg"), metadata={"Date": None})


def new_figure(width: float, height: float):
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def maps(cells: Sequence[TableCell], measure: str):
    """Depth by latent size for every model and net, on one scale; None where nothing was measured."""
    cells = [cell for cell in cells if measure in cell.values]
    if not cells:
        return None
    groups = grouped(cells, lambda cell: (cell.net, cell.model))
    nets, models = (list(dict.fromkeys(key[axis] for key in groups)) for axis in (0, 1))
    depths, latents = sorted({cell.depth for cell in cells}), sorted({cell.latent_dim for cell in cells})
    figure = new_figure(1.2 + len(models) * max(1.6, 0.8 * len(latents)), 0.7 + len(nets) * max(1.2, 0.45 * len(depths)))
    axes = figure.subplots(len(nets), len(models), squeeze=False, sharex=True, sharey=True)
    scale = scale_of([cell.value(measure) for cell in cells])
    for (net, model), group in groups.items():
        axis = axes[nets.index(net)][models.index(model)]
        image = draw_map(axis, group, measure, depths, latents, scale, described(measure).better == "lower")
        axis.set_title(literal(f"{model.upper()} ({net})"))
    figure.supxlabel("latent size")
    figure.supylabel("depth")
    figure.colorbar(image, ax=axes, label=described(measure).name)
    return figure


def scale_of(values: list[float]):
    """A colour scale, logarithmic where positive values span more than a factor of 20."""
    from matplotlib.colors import LogNorm, Normalize

    low, high = min(values), max(values)
    return LogNorm(low, high) if 0 < 20 * low < high else Normalize(low, high)


def draw_map(axis, cells, measure, depths, latents, scale, lower_is_better):
    from matplotlib import colormaps

    colours = colormaps["viridis_r" if lower_is_better else "viridis"]
    grid = np.full((len(depths), len(latents)), np.nan)
    for (depth, latent), here in grouped(cells, lambda cell: (cell.depth, cell.latent_dim)).items():
        value, row, column = here[0].value(measure), depths.index(depth), latents.index(latent)
        grid[row, column] = value
        red, green, blue, _ = colours(scale(value))
        if len(depths) * len(latents) <= MOST_NUMBERS:
            axis.text(
                column,
                row,
                literal(lines_of(here, measure)),
                ha="center",
                va="center",
                fontsize=6,
                color="black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white",
            )
    image = axis.imshow(grid, norm=scale, cmap=colours, aspect="auto")
    axis.set_xticks(range(len(latents)), latents)
    axis.set_yticks(range(len(depths)), depths)
    return image


def lines_of(cells: Sequence[TableCell], measure: str) -> str:
    """The value, its interval and the replicates; of several cells at one place what each is called."""
    if len(cells) > 1:
        return "\n".join(f"{cell.system or told(cell.settings)} {number(cell.value(measure))}" for cell in cells)
    (cell,) = cells
    found, lost = cell.values[measure], cell.diverged.count
    return "\n".join(
        [
            number(found.value),
            *filter(None, [interval(found.interval)]),
            f"{cell.replicates} replicates" + (f", {lost} diverged" if lost else ""),
        ]
    )


def told(settings: Mapping) -> str:
    """The settings that are words, such as a reduction."""
    return " ".join(value for value in settings.values() if isinstance(value, str)) or "default"


def board(leaders: Sequence[ReportCell], root: Path, real: tuple):
    """Real images and, for each family, the samples of the cell nearest to them."""
    shown = [("real images", real[0])] * (real[0] is not None)
    shown += [
        (f"{cell.model.upper()}: {cell.place}\n{described(FIDELITY).name} {number(cell.value(FIDELITY))}", picture)
        for cell in leaders
        if (picture := tiles_of(cell, root)) is not None
    ]
    if not shown:
        return None
    figure = new_figure(2.7 * len(shown), 1.9)
    for axis, (title, picture) in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown):
        axis.imshow(np.asarray(picture), interpolation="nearest")
        axis.set_axis_off()
        axis.set_title(literal(title))
    return figure


def colour_of(model: str) -> str:
    return COLOURS.get(model) or FURTHER[zlib.crc32(model.encode()) % len(FURTHER)]


def tuning(rows: Sequence[Tuning]):
    """On a dataset the published defaults and the best of a replicate's proposals, and where there were random ones the expected
    best of k of them, the sampler's apart."""
    if not rows:
        return None
    figure = new_figure(4.2, 2.8)
    axis = figure.subplots()
    for row in rows:
        colour, name = colour_of(row.model), row.model.upper()
        for word, style, mark in (("random", "-", "."), ("tpe", "--", ".")):
            if curve := getattr(row, word):
                axis.plot(
                    range(1, len(curve) + 1),
                    curve,
                    style,
                    marker=mark,
                    color=colour,
                    label=f"{name}, {'random' if word == 'random' else 'sampler'}",
                )
        if row.default is not None:
            axis.plot([0], [row.default], "o", color=colour, label=f"{name}, defaults")
        if row.best is not None:
            axis.plot([row.proposals], [row.best], "s", color=colour, label=f"{name}, best of {row.proposals}")
    axis.set(xlabel="proposals (0: published defaults)", title=literal(rows[0].dataset))
    axis.set_ylabel(f"{described(FIDELITY).name}, best of k, mean over cells")
    axis.legend(fontsize=6, frameon=False)
    return figure


def cost(cells: Sequence[TableCell], against: str = "time/train_s"):
    """Fidelity and coverage of every cell against what it cost."""
    figure = new_figure(7, 2.8)
    drawn = False
    for axis, measure in zip(figure.subplots(1, 2), MAPPED):
        for model, group in grouped(cells, lambda cell: cell.model).items():
            pairs = [
                (cell.value(against), cell.value(measure))
                for cell in group
                if cell.status == "done" and against in cell.values and measure in cell.values
            ]
            if pairs:
                axis.plot(*zip(*pairs), "o", markersize=3.5, color=colour_of(model), label=model.upper())
                drawn = True
        axis.set(xlabel="training time in seconds", ylabel=described(measure).name, xscale="log")
        if axis.lines:
            axis.legend(fontsize=6, frameon=False)
    return figure if drawn else None


def losses(cells: Sequence[ReportCell]):
    """What is minimised in every cell of a model, on one axis; of two players the second dashed. None where there is none."""
    from matplotlib import colormaps

    models = grouped([cell for cell in cells if minimised(cell)], lambda cell: cell.model)
    if not models:
        return None
    figure = new_figure(4.2 * len(models), 3.4)
    for axis, (model, group) in zip(figure.subplots(1, len(models), squeeze=False)[0], models.items()):
        colours = colormaps["viridis"](np.linspace(0, 0.9, len(group)))
        for cell, colour in zip(group, colours):
            for name, style in zip(minimised(cell), ("-", "--", ":")):
                label = literal(cell.place) if style == "-" and len(group) <= MOST_LINES else None
                axis.plot(cell.curves[name]["epochs"], cell.curves[name]["middle"], style, color=colour, linewidth=0.9, label=label)
        players = [name.split("/")[1] for name in minimised(group[0])]
        axis.set(xlabel="epoch", title=literal(model.upper()))
        axis.set_ylabel(literal("loss: " + ", ".join(name + " (dashed)" * (index > 0) for index, name in enumerate(players))))
        if len(group) <= MOST_LINES:
            axis.legend(fontsize=5, frameon=False)
    return figure


def minimised(cell: ReportCell) -> list[str]:
    """The curves of what a cell's trainings minimise, a loss per player."""
    return sorted(name for name in cell.curves if name.startswith("loss/") and name.endswith("/loss"))


def over_epochs(cells: Sequence[ReportCell]):
    """Every measure that was taken between epochs, of every cell on one axis. None where nothing was."""
    names = list(dict.fromkeys(name for cell in cells for name in cell.curves if not name.startswith("loss/")))
    if not names:
        return None
    columns = min(len(names), 4)
    figure = new_figure(3.2 * columns, 2.6 * -(-len(names) // columns))
    axes = figure.subplots(-(-len(names) // columns), columns, squeeze=False).flat
    for axis, name in zip(axes, names):
        for model, group in grouped([cell for cell in cells if name in cell.curves], lambda cell: cell.model).items():
            for index, cell in enumerate(group):
                label = None if index else model.upper()
                curve = cell.curves[name]
                axis.plot(curve["epochs"], curve["middle"], color=colour_of(model), linewidth=0.8, label=label)
        axis.set(xlabel="epoch", ylabel=described(name).name)
        axis.legend(fontsize=6, frameon=False)
    for axis in list(axes):
        axis.set_axis_off()
    return figure
