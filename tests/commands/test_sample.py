"""Images drawn from a finished trial: the same for the same seed, from the weights that were kept, or one line."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tiny import finish, rewrite

from models.nets import fc
from models.vae import VAE
from study import sample
from study.errors import UserError
from study.sample import chosen
from study.training.image_grids import decode, interpolated, prior_sample, sensitivity, traversed
from study.training.weights import rebuilt


def small_vae(seed):
    torch.manual_seed(seed)
    return VAE((1, 8, 8), fc, 1, 2, width=16)


@pytest.fixture
def finished(plan):
    """A finished trial of two trainings, the first of which diverged; and the model of the second."""
    model, trial = small_vae(1).eval(), plan._confirm_trial(plan.space.cells[0], 0, {"lr": 1e-3})
    finish(plan, trial, objective=0.4)
    save_file(
        {f"1/{name}": tensor for name, tensor in model.state_dict().items()}, plan.ledger.folder(trial.key) / "weights.safetensors"
    )
    return plan.ledger, trial.key, model


def run(ledger, data_dir, *arguments):
    return sample.main(["--space", ledger.root.name, "--storage", str(ledger.root.parent), *arguments])


def test_a_trials_images_are_those_of_the_weights_it_kept(finished, data_dir, tmp_path, capsys):
    ledger, key, model = finished
    assert run(ledger, data_dir, "--trial", key, "-n", "10", "--out", f"{tmp_path}/a.png", "--npz", f"{tmp_path}/a.npz") == 0
    saved = np.load(tmp_path / "a.npz")
    assert saved["images"].shape == (10, 1, 8, 8) and saved["latents"].shape == (10, 2)
    with torch.no_grad():
        assert np.allclose(saved["images"], model.sample(torch.from_numpy(saved["latents"])).numpy(), atol=1e-6)
    assert Image.open(tmp_path / "a.png").size == (4 * 33 - 1, 3 * 33 - 1)  # ten images in four columns
    assert f"10 images of {key}" in capsys.readouterr().out


def test_the_same_seed_draws_the_same_images_and_another_seed_others(finished, data_dir, tmp_path):
    ledger, key, _ = finished
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        run(ledger, data_dir, "--trial", key, "-n", "6", "--seed", seed, "--out", f"{tmp_path}/{name}.png")
    first, again, other = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert first == again != other


def test_best_is_the_trial_with_the_lowest_objective(plan):
    keys = [trial.key for trial in plan.trials()[:3]]
    for trial, objective in zip(plan.trials()[:3], (0.5, 0.2, 0.9)):
        finish(plan, trial, objective=objective)
    assert chosen(plan.ledger, "best") == keys[1]


def test_the_best_of_several_datasets_is_not_one_trial(plan):
    first, second = (trials[0] for trials in plan.search.values())
    for trial in (first, second):
        finish(plan, trial)
    path = plan.ledger.folder(second.key) / "spec.json"
    rewrite(path, dataset="mnist")
    with pytest.raises(UserError, match=f"do not compare.*--trial {first.key} \\(digits\\).*--trial {second.key} \\(mnist\\)"):
        chosen(plan.ledger, "best")


def test_paths_between_points_start_and_end_at_points_of_the_prior(finished):
    _, _, model = finished
    path, ends = interpolated(model, 24, 0).unflatten(0, (3, 8)), prior_sample(model, 6, 0)
    assert torch.equal(path[:, 0], ends[::2]) and torch.allclose(path[:, -1], ends[1::2])


def test_a_traversal_starts_with_the_dimension_that_changes_the_image_most():
    class TwoOfThree(torch.nn.Module):
        latent_dim, shape = 3, (1, 4, 4)

        def sample(self, z):
            return (z * torch.tensor([0.1, 0.0, 1.0])).sum(1)[:, None, None, None].expand(-1, 1, 4, 4)

    model = TwoOfThree()
    assert sensitivity(model).tolist() == pytest.approx([0.1, 0.0, 1.0], abs=1e-5)
    rows = traversed(model, 16).unflatten(0, (2, 8))
    assert (rows[0, :, :2] == 0).all() and (rows[1, :, 1:] == 0).all()
    assert rows[0, 0, 2] == -rows[0, -1, 2] < 0 and (rows[0, :, 2].diff() > 0).all()


@pytest.mark.parametrize("kind, size", [("--interpolate", (8 * 33 - 1, 2 * 33 - 1)), ("--traverse", (8 * 33 - 1, 2 * 33 - 1))])
def test_paths_and_traversals_are_rows_of_eight(finished, data_dir, tmp_path, kind, size):
    ledger, key, _ = finished
    run(ledger, data_dir, "--trial", key, kind, "-n", "16", "--out", f"{tmp_path}/grid.png")
    assert Image.open(tmp_path / "grid.png").size == size


def test_many_images_are_decoded_in_parts_that_make_no_difference(finished):
    _, _, model = finished
    z = prior_sample(model, 20_000, 0)
    with torch.no_grad():
        assert torch.allclose(decode(model, z), model.sample(z), atol=1e-6)


def test_an_unknown_key_is_refused_with_the_nearest(finished):
    ledger, key, _ = finished
    with pytest.raises(UserError, match=f"did you mean '{key}'"):
        chosen(ledger, key[:-1])


def test_a_trial_that_is_not_finished_or_diverged_has_no_images(plan, data_dir):
    first, second = plan.trials()[:2]
    plan.ledger.put_spec(first.key, plan.spec(first, {"lr": 1e-3}, "random"))
    with pytest.raises(UserError, match="is not finished.*study/status.py"):
        rebuilt(plan.ledger, first.key)
    finish(plan, second, status="diverged")
    with pytest.raises(UserError, match="diverged: there is no model"):
        rebuilt(plan.ledger, second.key)
    with pytest.raises(UserError, match="no best one"):
        chosen(plan.ledger, "best")


def test_a_trial_whose_spec_was_lost_is_one_line_with_what_writes_it_anew(finished):
    ledger, key, _ = finished
    (ledger.folder(key) / "spec.json").unlink()
    with pytest.raises(UserError, match="spec of trial .* is lost; .*study/launch.py"):
        rebuilt(ledger, key)


@pytest.mark.parametrize("broken", ["missing", "cut short", "empty", "another model's"])
def test_broken_weights_are_named_with_what_makes_them_again(finished, data_dir, broken):
    ledger, key, model = finished
    path = ledger.folder(key) / "weights.safetensors"
    if broken == "missing":
        path.unlink()
    elif broken == "cut short":
        path.write_bytes(path.read_bytes()[:200])
    elif broken == "empty":
        save_file({}, path)
    else:
        save_file({f"0/{name}": tensor for name, tensor in VAE((1, 8, 8), fc, 2, 2, width=16).state_dict().items()}, path)
    with pytest.raises(UserError, match="weights.safetensors does not hold the weights of this trial .*study/trial.py"):
        rebuilt(ledger, key)


def test_a_spec_that_knows_its_shape_needs_no_data(finished, tmp_path):
    ledger, key, _ = finished
    path = ledger.folder(key) / "spec.json"
    rewrite(path, shape=[1, 8, 8], dataset="mnist")
    assert rebuilt(ledger, key).shape == (1, 8, 8)


def test_a_study_that_does_not_exist_is_said(ledger):
    with pytest.raises(UserError, match="no trials of 'tiny'"):
        chosen(ledger, "best")
