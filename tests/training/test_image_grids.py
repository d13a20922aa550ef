"""What a trial draws and records: the same latents and images each time, every batch's loss, across a crash too."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny import rewrite, tiny_space
from trials import identity_of

from models.gan import GAN
from models.nets import fc
from models.vae import VAE
from models.wgan import WGAN
from study.data import digits
from study.ledger.files import read_spec
from study.ledger.folder import Ledger
from study.metrics import features
from study.metrics.catalogue import BY_KEY
from study.mlflow_view.tracker import HOW_TO_READ, note_of
from study.space import grid
from study.sweep.plan import Plan
from study.training import image_grids
from study.training.run import run_trial

EPOCHS = 6


@pytest.fixture(scope="module")
def run(tmp_path_factory, data_dir):
    """run(model, latent_dim) -> the folder of a finished digits trial; options go to run_trial."""
    ledger, images = Ledger(tmp_path_factory.mktemp("studies") / "drawn"), digits.load(data_dir)
    features.prepare(digits, images, ledger.root / "features")
    identity = identity_of(images)

    def run(model, latent_dim, stage="confirm", name="drawn", **options):
        plan = Plan(
            tiny_space(
                cells=grid([model], [fc], [1], [latent_dim], [digits], width=[16]),
                name=name,
                budget=lambda cell: replace(tiny_space().budget(cell), epochs=EPOCHS),
            ),
            ledger,
            identity,
        )
        trial = plan.search[plan.space.cells[0].name][0] if stage == "search" else (plan._confirm_trial(plan.space.cells[0], 0, {}))
        folder = ledger.folder(f"{trial.key}-{name}")
        ledger.put_spec(folder.name, replace(plan.spec(trial, {}, "default"), key=folder.name))
        if not (folder / "curves.safetensors").exists():
            run_trial(folder, data_dir, **options)
        return folder

    return run


def drawn(folder):
    """Name of picture -> epochs at which it was drawn."""
    table = {}
    for path in sorted((folder / "images").iterdir()):
        name, epoch = path.stem.rsplit("-", 1)
        table.setdefault(name, []).append(int(epoch))
    return table


def tiles(folder, name, epoch=EPOCHS):
    """The tiles of a picture, (rows, columns, 32, 32) grey."""
    pixels = np.pad(np.asarray(Image.open(folder / "images" / f"{name}-{epoch:05d}.png").convert("L")), ((0, 1), (0, 1)))
    rows, columns = (side // 33 for side in pixels.shape)
    return pixels.reshape(rows, 33, columns, 33).swapaxes(1, 2)[:, :, :32, :32]


def test_a_vae_shows_samples_and_reconstructions_as_it_learns_and_the_rest_at_the_end(run):
    always, once = list(range(EPOCHS + 1)), [EPOCHS]
    assert drawn(run(VAE, 4)) == {
        "samples": always,
        "reconstructions": always,
        "sheet": once,
        "beside": once,
        "nearest": once,
        "interpolation": once,
        "interpolation-real": once,
        "traversal": once,
        "classes": once,
        "latents": once,
        "curves": once,
    }


@pytest.mark.parametrize("model", [GAN, WGAN])
def test_a_gan_shows_its_samples_beside_real_images_and_the_nearest_training_images(run, model):
    always, once = list(range(EPOCHS + 1)), [EPOCHS]
    assert drawn(run(model, 4)) == {
        "samples": always,
        **dict.fromkeys(("sheet", "beside", "interpolation", "nearest", "reconstructions", "classes", "curves"), once),
    }


def test_two_latents_are_shown_as_a_plane_of_equal_shares_of_the_prior(run):
    assert tiles(run(GAN, 2), "plane").shape[:2] == (image_grids.PLANE, image_grids.PLANE)
    plane = image_grids.latent_plane(torch.zeros(1))
    assert torch.special.ndtr(plane[: image_grids.PLANE, 0]).diff().allclose(torch.tensor(1 / image_grids.PLANE), atol=1e-5)
    assert (plane[0, 1] > plane[-1, 1]).item() and plane.mean(0).abs().max() < 1e-5


def test_the_sheet_holds_64_samples_and_begins_with_those_shown_all_along(run):
    folder = run(VAE, 4)
    sheet, samples = tiles(folder, "sheet"), tiles(folder, "samples")
    assert sheet.shape[:2] == (8, 8) and np.array_equal(sheet[:4], samples)


def test_real_images_are_the_same_for_every_model_and_stand_above_what_was_made(run):
    vae, gan = run(VAE, 4), run(GAN, 4)
    assert np.array_equal(tiles(vae, "beside")[::2], tiles(gan, "beside")[::2])
    assert np.array_equal(tiles(vae, "reconstructions")[::2], tiles(vae, "beside")[::2])
    assert np.array_equal(tiles(gan, "beside")[1::2], tiles(gan, "samples")[:2])


def test_a_path_between_real_images_ends_at_them(run):
    folder = run(VAE, 4)
    path, real = tiles(folder, "interpolation-real"), tiles(folder, "beside")[0]
    reconstructed = tiles(folder, "reconstructions")[1]
    assert path.shape[:2] == (4, 10)
    assert np.array_equal(path[:, 0], real[:4]) and np.array_equal(path[:, -1], real[4:])
    assert np.abs(path[:, 1].astype(int) - reconstructed[:4]).max() <= 1


class OneUnitThatMatters:
    """Draws its second latent as brightness; its posterior is the prior in all others."""

    latent_dim = 3

    def posterior(self, x):
        mean = torch.zeros(len(x), 3)
        mean[:, 1] = x.flatten(1).mean(1)
        return mean, torch.zeros(len(x), 3)

    def sample(self, z):
        return z[:, 1].sigmoid()[:, None, None, None].expand(-1, 1, 8, 8)


def test_a_traversal_begins_with_the_unit_that_carries_most():
    rows = image_grids.traversal(OneUnitThatMatters(), torch.rand(16, 1, 8, 8))[16::33, 16::33].astype(int)
    assert (np.diff(rows[0]) > 0).all() and (np.diff(rows[1:]) == 0).all() and len(rows) == 3


@pytest.mark.parametrize("model", [VAE, GAN, WGAN])
def test_the_losses_of_every_batch_are_kept_for_both_networks(run, model):
    folder = run(model, 4)
    curves = load_file(folder / "curves.safetensors")
    steps = 1077 // 64 * EPOCHS
    assert set(curves) == set(model.loss_scales)
    for name, values in curves.items():
        assert values.shape == (1, steps // 5 if (model, name) == (WGAN, "generator/loss") else steps)


@pytest.mark.long
def test_curves_are_drawn_where_a_cell_is_confirmed_and_cost_the_search_nothing(run, data_dir):
    assert drawn(run(WGAN, 4))["curves"] == [EPOCHS]
    spec = run(VAE, 4, stage="search") / "spec.json"
    again = Path(f"{spec.parent}-again")
    again.mkdir(exist_ok=True)
    (again / "spec.json").write_bytes(spec.read_bytes())
    rewrite(again / "spec.json", key=again.name)
    code = (
        f"import sys; from pathlib import Path; from study.training.run import run_trial; run_trial(Path({str(again)!r}),"
        f" {str(data_dir)!r}); assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_a_curve_picture_shows_each_loss_and_survives_numbers_that_are_none():
    losses = {"critic/loss": torch.randn(2, 5000), "generator/loss": torch.full((2, 1000), torch.nan)}
    assert image_grids.curves(losses, GAN.loss_scales).startswith(b"\x89PNG")
    assert image_grids.thinned(losses["critic/loss"]).shape == (2, 1000)
    assert torch.equal(image_grids.thinned(losses["critic/loss"])[:, 0], losses["critic/loss"][:, :5].mean(1))


class Killed(Exception):
    pass


@pytest.mark.parametrize("checkpoint_s", [0.0, 1e9], ids=["after a checkpoint", "before the first"])
def test_a_crash_leaves_no_gap_and_no_repetition_in_the_curves(run, monkeypatch, checkpoint_s):
    told = []

    def die(epoch, objective):
        told.append(epoch)
        if len(told) == 4:
            raise Killed

    monkeypatch.setattr("study.training.run.REPORT_S", 0.0)
    name = f"killed-{checkpoint_s:.0f}"
    with pytest.raises(Killed):
        run(GAN, 4, name=name, report=die, checkpoint_s=checkpoint_s)
    resumed, whole = run(GAN, 4, name=name), run(GAN, 4)
    curves, expected = (load_file(folder / "curves.safetensors") for folder in (resumed, whole))
    assert set(curves) == set(expected) and all(torch.equal(curves[key], expected[key]) for key in expected)
    assert drawn(resumed) == drawn(whole)


def test_the_description_of_a_run_states_the_scale_of_its_losses_as_its_model_does(run):

    assert "`loss/critic/loss`: nats per image" in note_of(read_spec(run(GAN, 4)))
    assert "Diagnostics depend on a model's own critic and compare" in HOW_TO_READ
    assert all(BY_KEY[key].better == "" for key in BY_KEY if key.startswith("diagnostics/"))
