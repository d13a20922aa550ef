"""The table of cells as files: CSV, and a picture of depth by latent size for each model, net and dataset."""

import contextlib
import io
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np

from study.analysis.cell_table import TableCell, as_csv, as_row, as_text, nearest_of, settings_in_words
from study.errors import UserError
from study.ledger.folder import Ledger
from study.metrics.catalogue import literal
from study.training.image_files import opened


def answer(ledger: Ledger) -> str:
    """What a study says, as the summary run's description in Markdown; "" while it says nothing. Of claims the published ones only:
    MLflow's view needs none of a study's own code."""
    from study.analysis.claims import judged_in
    from study.analysis.report_data import findings

    with contextlib.suppress(UserError):
        return "\n\n".join(
            [
                *findings(ledger, judged_in([ledger.root.name], [])).answer,
                "Below *Model metrics*: the best of each family, and all cells.",
            ]
        )
    return ""


def summary_files(ledger: Ledger, table_of_cells: Sequence[TableCell]) -> dict[str, bytes]:
    """Name -> content of what the summary run shows: cells.csv, as a report has it, and a sheet per model, net and dataset."""
    files, groups = {"cells.csv": as_csv(list(map(as_row, table_of_cells)))}, defaultdict(dict)
    for cell in table_of_cells:
        sheet_of = cell.dataset, cell.model, cell.system or cell.net, settings_in_words(cell.settings)
        groups[sheet_of][cell.depth, cell.latent_dim] = cell
    forms = Counter(key[:3] for key in groups)
    for (dataset, model, net, settings), group in groups.items():
        net += f" {settings}" if forms[dataset, model, net] > 1 else ""
        pictures = {place: newest for place, cell in group.items() if (newest := last_samples(ledger, cell.trial))}
        values = {place: as_text(cell) for place, cell in group.items()}
        if pictures:
            name = re.sub(r"[/: =]", "-", f"sheet-{dataset}-{model}-{net}.png")
            title = f"{model} ({net}) on {dataset}:\nsamples; median fd_rel of the replicates"
            files[name] = sheet(title, pictures, values)
    return files


def best_pictures(ledger: Ledger, table_of_cells: Sequence[TableCell]) -> dict[str, Path]:
    """By what a card is called, the last samples of the best cell of each family and dataset."""
    pictures = {f"{cell.model} on {cell.dataset}": last_samples(ledger, cell.trial) for cell in nearest_of(table_of_cells)}
    return {name: path for name, path in pictures.items() if path}


def last_samples(ledger: Ledger, key: str):
    pictures = ledger.files(key, "images/samples-*.png")
    return pictures[-1] if pictures else None


def sheet(title: str, pictures: dict[tuple[int, int], Path], values: dict[tuple[int, int], str]) -> bytes:
    """A PNG of sample grids, rows depth and columns latent size: {(depth, latent_dim): file} and a caption for each."""
    from matplotlib.figure import Figure  # here, so that workers, who only tile, start without it

    depths, latents = (sorted({key[axis] for key in pictures}) for axis in (0, 1))
    figure = Figure(figsize=(2.6 * len(latents), 1.85 * len(depths) + 0.5), dpi=110, layout="constrained")
    figure.suptitle(literal(title), fontsize=9)
    axes = figure.subplots(len(depths), len(latents), squeeze=False)
    for axis, (depth, latent) in zip(axes.flat, product(depths, latents)):
        _draw_cell(axis, pictures.get((depth, latent)))
        axis.set_title(f"depth {depth}, latent {latent}\n{values.get((depth, latent), 'missing')}", fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw_cell(axis, file: Path | None) -> None:
    axis.set_axis_off()
    if file is not None and (picture := opened(file)) is not None:
        axis.imshow(np.asarray(picture), interpolation="nearest")
