"""The main job on real images: MNIST, photographs, a folder of one's own, and a space file from outside."""

import pytest
from launching import launch

from study.ledger.folder import Ledger
from study.metrics.catalogue import OBJECTIVE

OUTSIDE = '''"""Does one convolutional VAE learn {dataset}?"""
from models.nets import conv
from models.vae import VAE
from study.data import named
from study.space import Budget, Search, Space, grid


class Doubtful(VAE):
    """A model of one's own."""


SPACE = Space(cells=grid([Doubtful], [conv], [2], [8], [named({dataset!r})], width=[8]),
              propose=lambda trial, cell: {{"lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True)}},
              budget=lambda cell: Budget(epochs=1, batch_size=48), search=Search(rounds=(1,), rungs=()), replicates=2)
'''


def results(storage, space):
    ledger = Ledger(storage / space)
    return [ledger.result(key) for key in ledger.keys()]


@pytest.mark.long
@pytest.mark.ray
def test_a_space_file_from_outside_runs_on_real_photographs_and_on_a_folder_beside_its_own(real_data, tmp_path):
    file, folder = tmp_path / "outside.py", f"folder:{real_data / 'cifar10-folder'}"
    file.write_text(OUTSIDE.format(dataset="imagenette-64"))
    launch(tmp_path / "studies", real_data, "--datasets", "imagenette-64", folder, space=str(file))
    found = results(tmp_path / "studies", file.stem)
    assert [result.status for result in found] == ["done"] * 2 * 2 * 2
    assert all(result.measures[OBJECTIVE] > 0 and result.key.startswith("doubtful-conv-d2-z8") for result in found)
    assert len([result for result in found if "cifar10-folder" in result.key]) == 4


@pytest.mark.long
@pytest.mark.ray
def test_latent_sweep_runs_on_real_mnist(real_data, tmp_path):
    """One row of the grid: the same command without the narrowing takes as many minutes as this takes seconds."""
    row = ("--datasets", "mnist", "--nets", "fc", "--depths", 1, "--latents", 8)
    launch(tmp_path / "studies", real_data, *row, "--proposals", 1, "--replicates", 1, "--epochs", 1, space="latent_sweep")
    found = {each.key.split("-")[0]: each for each in results(tmp_path / "studies", "latent_sweep") if "confirm" in each.key}
    assert set(found) == {"vae", "gan", "wgan"}
    assert found["vae"].measures[OBJECTIVE] < 0.6  # one epoch already shows: an untrained one scores above 1
