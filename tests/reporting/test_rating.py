"""The page for blind ratings shows every drawn training once and real images, alike in shape, and knows what each scored."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic import floor_of, sweep

from study import rate
from study.analysis.report_data import findings
from study.errors import UserError
from study.reporting import rating

NOWHERE = Path("/nowhere")


def grids_of(ledger, data_dir=NOWHERE):
    return rating.grids(findings(ledger), ledger.root, data_dir)


def confirmed(ledger, cell) -> Path:
    (key,) = (key for key in ledger.keys() if key.startswith(f"{cell}-confirm"))
    return ledger.folder(key)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    """Two datasets whose real images are known from reconstructions only, of which the upper rows are cut out."""
    made = sweep(tmp_path_factory.mktemp("studies") / "rated", datasets=("digits", "mnist"), depths=(1,))
    (made.root / "floors.json").write_text(json.dumps({"digits": floor_of(0.024, 0.004)}))
    return made


def test_every_drawn_training_and_a_grid_of_real_images_are_there_once(ledger):
    found = [(grid.what, grid.dataset) for grid in grids_of(ledger)]
    cells = [(cell.name, cell.dataset) for cell in findings(ledger).cells]
    assert sorted(found) == sorted([*cells, (rating.REAL, "digits"), (rating.REAL, "mnist")])


def test_no_grid_is_told_from_another_by_its_size(ledger):
    found = grids_of(ledger)
    assert {grid.picture.size for grid in found} == {(263, 65)}  # two rows are what is known of real images
    drawn = next(grid for grid in found if grid.what == "gan-fc-d1-z8-mnist")
    path = confirmed(ledger, "gan-fc-d1-z8-mnist") / "images" / "samples-00006.png"
    assert np.array_equal(np.asarray(drawn.picture), np.asarray(Image.open(path).convert("RGB"))[:65])


def test_a_grid_has_the_measures_of_the_training_that_drew_it(ledger):
    for grid in grids_of(ledger):
        if grid.what != rating.REAL:
            first = json.loads((confirmed(ledger, grid.what) / "result.json").read_text())["replicas"][0]["measures"]
            assert grid.measures == {name: first[name] for name in rating.RATED}
    real = {grid.dataset: grid.measures["quality/fd_rel"] for grid in grids_of(ledger) if grid.what == rating.REAL}
    assert real == {"digits": 0.024, "mnist": None}


def test_what_a_reader_sees_names_no_cell(ledger):
    html = rating.rating_page("rated", grids_of(ledger))
    seen = re.sub(r"<(script|style).*?</\1>", "", html, flags=re.S)
    assert "rated" in seen and not [grid.what for grid in grids_of(ledger) if grid.what in seen and grid.what != rating.REAL]
    assert "://" not in html


def test_of_many_cells_as_many_are_shown_as_can_be_looked_at(ledger, monkeypatch):
    monkeypatch.setattr(rating, "MOST", 4)
    assert len([grid for grid in grids_of(ledger) if grid.what != rating.REAL]) == 4 and grids_of(ledger) == grids_of(ledger)


def test_a_study_that_drew_nothing_is_told_so(tmp_path):
    with pytest.raises(UserError, match="drawn nothing yet"):
        rating.write_rating(sweep(tmp_path / "bare", draw=False), NOWHERE)


def test_the_command_writes_one_file_and_says_where(ledger, tmp_path, capsys):
    where = ["--space", "rated", "--storage", str(ledger.root.parent), "--data-dir", "/nowhere", "--out", str(tmp_path)]
    assert rate.main(where) == 0 and [path.name for path in tmp_path.iterdir()] == ["rate.html"]
    assert f"rating: file://{tmp_path}/rate.html" in capsys.readouterr().out
