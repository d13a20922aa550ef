"""The table of cells as files: CSV, and a picture of depth by latent size for each model, net and dataset."""
import csv
import io
import re
from collections import Counter, defaultdict

from study.analysis.cell_table import as_row, as_text, cells, told
from study.ledger.folder import Ledger


def summary_files(ledger: Ledger) -> dict[str, bytes]:
    """Name -> content of what the summary run shows: cells.csv, as a report has it, and a sheet per model, net and dataset."""
    from study.training.image_grids import sheet
    table_of_cells = cells(ledger)
    files, groups = {"cells.csv": table(list(map(as_row, table_of_cells)))}, defaultdict(dict)
    for cell in table_of_cells:
        groups[cell["dataset"], cell["model"], cell["system"] or cell["net"], told(cell["settings"])][
            cell["depth"], cell["latent_dim"]] = cell
    forms = Counter(key[:3] for key in groups)
    for (dataset, model, net, settings), group in groups.items():
        net += f" {settings}" if forms[dataset, model, net] > 1 else ""
        pictures = {place: newest for place, cell in group.items() if (newest := last_samples(ledger, cell["trial"]))}
        values = {place: as_text(cell) for place, cell in group.items()}
        if pictures:
            name = re.sub(r"[/: =]", "-", f"sheet-{dataset}-{model}-{net}.png")
            title = f"{model} ({net}) on {dataset}:\nsamples; median fd_rel of the seeds"
            files[name] = sheet(title, pictures, values)
    return files


def last_samples(ledger: Ledger, key: str):
    pictures = ledger.files(key, "images/samples-*.png")
    return pictures[-1] if pictures else None


def table(rows: list[dict]) -> bytes:
    """The rows as CSV, every column that any of them has."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns)
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()
