"""One trial: trained, measured, drawn, taken up again after a crash, and run where there is no Ray, MLflow or Optuna."""

import io
import json
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import rewrite
from trials import killed_after, planned

import study
from models.gan import GAN
from models.vae import VAE
from models.wgan import WGAN
from study.data import digits
from study.errors import UserError
from study.ledger.files import read_rows, read_sealed, read_spec, write_sealed
from study.ledger.folder import Ledger
from study.training import run
from study.training.checkpoint import Checkpoints, State
from study.training.training import Training

ROOT = Path(study.__file__).resolve().parent.parent


@pytest.mark.parametrize("model", [*(pytest.param(model, marks=pytest.mark.long) for model in (VAE, GAN)), WGAN])
def test_a_trial_taken_up_again_ends_bit_for_bit_like_one_that_was_never_interrupted(tmp_path, data_dir, model):
    whole, broken = (planned(Ledger(tmp_path / name), data_dir, model, dropout=0.1) for name in ("whole", "broken"))
    expected = run.run_trial(whole, data_dir)
    for epochs in (2, 5):
        killed_after(broken, data_dir, epochs)
    found = run.run_trial(broken, data_dir)
    assert found.attempts == [0, 2, 5] and expected.attempts == [0]
    timed = ("time/", "cost/")
    assert {name: value for name, value in found.measures.items() if not name.startswith(timed)} == {
        name: value for name, value in expected.measures.items() if not name.startswith(timed)
    }
    for name in ("weights", "curves"):
        one, other = (load_file(folder / f"{name}.safetensors") for folder in (whole, broken))
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    rows = [[(row.epoch, row.values) for row in read_rows(folder / "metrics.jsonl")] for folder in (whole, broken)]
    assert rows[0] == rows[1] and [epoch for epoch, _ in rows[0]] == list(range(7))


@pytest.mark.parametrize("content", [*(pytest.param(content, marks=pytest.mark.long) for content in (b"", b"garbage" * 100)), None])
def test_a_checkpoint_that_lies_is_quarantined_and_the_trial_starts_again(ledger, data_dir, capsys, content):
    folder = planned(ledger, data_dir, epochs=2)
    killed_after(folder, data_dir, 1)
    place = checkpoint_of(folder)
    place.write_bytes(content if content is not None else place.read_bytes()[:-9])
    assert run.run_trial(folder, data_dir).attempts == [0]
    assert "quarantined" in capsys.readouterr().out and list(place.parent.glob("*.bad-*"))


def checkpoint_of(folder) -> Path:
    """The file of packs/ that a trial was in last."""
    return folder.parent.parent / "packs" / (folder / "pack").read_text()


def rewritten(folder, change) -> None:
    """The trial's checkpoint, sealed and well-formed, with something in it changed."""
    place = checkpoint_of(folder)
    members = torch.load(io.BytesIO(read_sealed(place)), weights_only=True)
    change(members[folder.name])
    torch.save(members, buffer := io.BytesIO())
    write_sealed(place, buffer.getvalue())


def last(saved) -> dict:
    """The state of a training's replica."""
    return saved["replica"]


def first_of(table) -> str:
    return next(iter(table))


DAMAGES = {
    "no weight": lambda saved: last(saved)["parameters"].popitem(),
    "a weight of another shape": lambda saved: last(saved)["parameters"].update(
        {first_of(last(saved)["parameters"]): torch.zeros(1)}
    ),
    "a weight of another type": lambda saved: last(saved)["parameters"].update(
        {name: value.half() for name, value in last(saved)["parameters"].items()}
    ),
    "no optimisers": lambda saved: last(saved)["optimisers"].clear(),
    "no optimiser's state": lambda saved: last(saved)["optimisers"][-1].clear(),
    "a parameter without moments": lambda saved: last(saved)["optimisers"][-1]["exp_avg"].pop(),
    "one moment missing": lambda saved: last(saved)["optimisers"][-1].popitem(),
    "moments of another shape": lambda saved: last(saved)["optimisers"][0]["exp_avg_sq"].reverse(),
    "moments that are none": lambda saved: last(saved)["optimisers"][0].update(exp_avg=None),
    "no random state": lambda saved: last(saved).pop("random"),
    "one generator missing": lambda saved: last(saved)["random"].pop(),
    "a generator's state that is none": lambda saved: last(saved)["random"].append(last(saved)["random"].pop().zero_()),
    "another epoch's weights": lambda saved: saved.update(epoch=1),
    "other batches": lambda saved: saved.update(batches=1),
    "no replica": lambda saved: saved.pop("replica"),
    "a replica that is none": lambda saved: saved.update(replica=[saved.pop("replica")]),
    "other seeds": lambda saved: last(saved).update(seed=7),
    "an earlier form": lambda saved: saved.update(replicas={"replicas": [saved.pop("replica")]}),
    "nothing": lambda saved: saved.clear(),
    "no state": lambda saved: saved.pop("state"),
    "a field of the state missing": lambda saved: saved["state"].pop("attempts"),
    "an epoch beyond the last": lambda saved: (saved["state"].update(epoch=9), saved.update(epoch=9)),
    "a divergence that is none": lambda saved: saved["state"].update(diverged_at=[]),
    "no curve": lambda saved: saved["curves"].clear(),
    "a curve missing": lambda saved: saved["curves"].popitem(),
    "a curve cut short": lambda saved: saved["curves"].update({name: curve[1:] for name, curve in saved["curves"].items()}),
}


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory, data_dir):
    """Model -> (what a trial gives undisturbed, the same trial after two of its four epochs), all in one study."""
    found, study = {}, Ledger(tmp_path_factory.mktemp("interrupted"))
    for model in (VAE, GAN, WGAN):
        whole = planned(study, data_dir, model, epochs=4, dropout=0.1)
        broken = whole.with_name(f"broken-{whole.name}")
        shutil.copytree(whole, broken)
        rewrite(broken / "spec.json", key=broken.name)
        run.run_trial(whole, data_dir)
        killed_after(broken, data_dir, 2)
        found[model] = whole, broken
    return found


def copied(folder) -> Path:
    """Another trial of the same study with the same files, and a checkpoint of its own."""
    copy = Path(shutil.copytree(folder, folder.with_name(f"copied-{uuid.uuid4().hex}")))
    rewrite(copy / "spec.json", key=copy.name)
    (copy / "pack").write_text(f"{copy.name}.{'0' * 16}.pt")
    members = torch.load(io.BytesIO(read_sealed(checkpoint_of(folder))), weights_only=True)
    torch.save({copy.name: members[folder.name]}, buffer := io.BytesIO())
    write_sealed(checkpoint_of(copy), buffer.getvalue())
    return copy


@pytest.mark.parametrize("model", [*(pytest.param(model, marks=pytest.mark.long) for model in (VAE, GAN)), WGAN])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_checkpoint_that_lacks_anything_is_refused_as_if_there_had_never_been_one(interrupted, data_dir, model, damage):
    folder = copied(interrupted[model][1])
    rewritten(folder, DAMAGES[damage])
    checkpoints, place = Checkpoints(folder.parent.parent), checkpoint_of(folder)
    training = Training(folder, read_spec(folder), checkpoints)
    started = run.Run([training], 4, data_dir, "cpu", checkpoints, 1e9)
    assert list(place.parent.glob(f"{place.name}.bad-*")) and not place.exists()
    assert training.state == State(attempts=[0]) and training.curves == {}
    assert same(started.replicas.state_dict(), started.untrained().state_dict())


def same(one, other) -> bool:
    """Whether two states hold the same numbers, to the bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.mark.parametrize("model", [VAE, GAN, WGAN])
def test_a_trial_whose_checkpoint_was_refused_ends_bit_for_bit_like_one_that_never_had_any(interrupted, data_dir, model):
    whole, broken = interrupted[model]
    folder = copied(broken)
    before = (folder / "metrics.jsonl").read_bytes()
    rewritten(folder, DAMAGES["no optimiser's state"])
    run.run_trial(folder, data_dir)
    for name in ("weights", "curves"):
        assert same(load_file(folder / f"{name}.safetensors"), load_file(whole / f"{name}.safetensors"))
    assert values_of(folder) == values_of(whole)
    assert (folder / "metrics.jsonl").read_bytes().startswith(before)  # rows that are the same stand


def values_of(folder) -> list:
    return [row.values for row in read_rows(folder / "metrics.jsonl")]


def test_rows_that_are_not_what_training_again_gives_are_written_anew(interrupted, data_dir, capsys):
    whole, broken = interrupted[VAE]
    folder = copied(broken)
    checkpoint_of(folder).unlink()
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    lines[1]["values"]["loss/vae/loss"][0] += 1e-3
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run.run_trial(folder, data_dir)
    assert values_of(folder) == values_of(whole) and "from epoch 1 on" in capsys.readouterr().out
    first, second, *_ = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert first["time"] == lines[0]["time"] and second["time"] > lines[1]["time"]


def test_a_hostile_checkpoint_is_not_run(ledger, data_dir, tmp_path):
    folder = planned(ledger, data_dir, epochs=1)

    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'owned'}",)

    torch.save(Hostile(), tmp_path / "hostile.pt")
    (folder / "pack").write_text("hostile.pt")
    write_sealed(checkpoint_of(folder), (tmp_path / "hostile.pt").read_bytes())
    assert run.run_trial(folder, data_dir).status == "done"
    assert not (tmp_path / "owned").exists()


def test_a_trial_that_diverges_is_counted_and_stops_training(ledger, data_dir):
    folder = planned(ledger, data_dir, lr=1e30)
    result = run.run_trial(folder, data_dir)
    assert result.status == "diverged" and result.objective is None and result.replicas[0].status == "diverged"
    assert result.replicas[0].diverged_at == result.epochs < 6


def test_other_images_than_those_planned_for_are_refused(ledger, data_dir):
    folder = planned(ledger, data_dir)
    for name, said in (("features", "those meant are other"), ("fingerprint", "planned for")):
        rewrite(folder / "spec.json", **{name: "other"})
        with pytest.raises(UserError, match=said):
            run.run_trial(folder, data_dir)


def test_every_measure_and_every_picture_is_there_at_the_end(ledger, data_dir):
    folder = planned(ledger, data_dir)
    result = run.run_trial(folder, data_dir)
    wanted = {
        "quality/fd",
        "quality/fd_rel",
        "quality/kid",
        "quality/precision",
        "quality/recall",
        "quality/density",
        "quality/coverage",
        "quality/swd",
        "quality/swd_pixel",
        "modes/label_jsd",
        "modes/classes",
        "two_sample/accuracy",
        "two_sample/jsd",
        "memory/nn_ratio",
        "memory/authenticity",
        "likelihood/elbo",
        "likelihood/recon",
        "likelihood/kl",
        "likelihood/active_units",
        "likelihood/iw_nll",
        "likelihood/bits_per_dim",
        "likelihood/beta_effective",
        "time/train_s",
        "time/measure_s",
        "time/step_ms",
        "time/images_per_s",
        "cost/parameters",
        "cost/flops_per_image",
        "cost/peak_memory_mb",
    }
    assert wanted <= result.measures.keys()
    pictures = {path.name.rsplit("-", 1)[0] for path in (folder / "images").iterdir()}
    assert {"samples", "reconstructions", "interpolation", "sheet", "plane", "traversal"} <= pictures


def test_what_tuning_tries_is_measured_at_its_rungs_and_at_its_end_and_drawn_never(ledger, data_dir):
    confirm = planned(ledger, data_dir, epochs=6)
    search = confirm.with_name("search")
    search.mkdir()
    shutil.copy(confirm / "spec.json", search)
    rewrite(search / "spec.json", stage="search", key="search", rungs=[2, 4])
    run.run_trial(confirm, data_dir)
    assert measured_after(confirm) == [0, 1, 2, 3, 4, 5, 6]  # the last too: these looks see other images than the result
    result = run.run_trial(search, data_dir)
    assert measured_after(search) == [2, 4] and result.objective == result.measures["quality/fd_rel"] > 0
    assert sorted(path.name for path in search.iterdir()) == ["metrics.jsonl", "pack", "spec.json"]


def proposals(study, data_dir, count=5, epochs=4, rungs=(2,), model=VAE) -> list[Path]:
    """Search trials of one cell that differ in rate, two of them of each replicate."""
    first = planned(study, data_dir, model, epochs=epochs)
    folders = []
    for k in range(count):
        folder = first.with_name(f"{first.name[:-10]}{k:010d}")
        folder.mkdir(parents=True)
        shutil.copy(first / "spec.json", folder)
        rewrite(
            folder / "spec.json", stage="search", key=folder.name, rungs=list(rungs), seeds=[k // 2], params={"lr": 1e-3 * 2**k}
        )
        folders.append(folder)
    return folders


@pytest.mark.parametrize("model", [VAE, WGAN])
def test_a_training_is_the_same_in_a_pack_of_any_size_and_across_packs(tmp_path, data_dir, model):
    """All at once; in packs of two and three to a rung, and those left in one pack beyond it; each by itself to its end."""
    at_once, in_packs = (proposals(Ledger(tmp_path / name), data_dir, model=model) for name in ("at_once", "in_packs"))
    results, waiting = run.run_pack(at_once, 4, data_dir)
    assert [result.pack for result in results] == [5] * 5 and not waiting
    _, waiting = run.run_pack(in_packs[:2], 2, data_dir)
    _, others = run.run_pack(in_packs[2:], 2, data_dir)
    assert list(waiting | others) == [folder.name for folder in in_packs]
    left = [in_packs[0], *in_packs[3:]]
    again, _ = run.run_pack(left, 4, data_dir)
    assert [result.attempts for result in again] == [[0, 2]] * 3
    for one, other in zip(results, at_once):
        assert (one.key, one.objective) in [(result.key, result.objective) for result in again] or other.name not in left
    assert [values_of(folder) for folder in left] == [values_of(at_once[in_packs.index(folder)]) for folder in left]
    assert {result.objective for result in again} <= {result.objective for result in results}


def test_a_pack_that_was_killed_goes_on_in_packs_of_other_members(tmp_path, data_dir, monkeypatch):
    whole, broken = (proposals(Ledger(tmp_path / name), data_dir) for name in ("whole", "broken"))
    expected, _ = run.run_pack(whole, 4, data_dir)

    def die(epoch, objective):
        if epoch == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(run, "REPORT_S", 0.0)
    monkeypatch.setattr(Checkpoints, "writing", False)  # none is left out since the one before is still being written
    with pytest.raises(KeyboardInterrupt):
        run.run_pack(broken, 4, data_dir, report=die, checkpoint_s=0.0)
    found = [result for part in (broken[3:], broken[:3]) for result in run.run_pack(part, 4, data_dir)[0]]
    assert [result.attempts for result in found] == [[0, 3]] * 5
    assert sorted(result.objective for result in found) == sorted(result.objective for result in expected)


def test_a_checkpoint_that_lacks_one_of_its_trainings_is_none_and_the_pack_begins_anew(tmp_path, data_dir, monkeypatch):
    """One by one they would be other numbers: lifted steps round otherwise than those of one training."""
    whole, broken = (proposals(Ledger(tmp_path / name), data_dir, count=2, model=GAN) for name in ("whole", "broken"))
    expected, _ = run.run_pack(whole, 4, data_dir)

    def die(epoch, objective):
        if epoch:
            raise KeyboardInterrupt

    monkeypatch.setattr(run, "REPORT_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        run.run_pack(broken, 4, data_dir, report=die, checkpoint_s=0.0)
    (broken[1] / "pack").unlink()  # as of a crash before its folder said in which file it is
    assert [training.state.epoch for training in trainings_of(broken)] == [1, 1]
    (broken[1] / "pack").write_text((broken[0] / "pack").read_text())
    place = checkpoint_of(broken[1])
    members = torch.load(io.BytesIO(read_sealed(place)), weights_only=True)
    del members[broken[1].name]
    torch.save(members, buffer := io.BytesIO())
    write_sealed(place, buffer.getvalue())
    found, _ = run.run_pack(broken, 4, data_dir)
    assert [(result.attempts, result.pack) for result in found] == [([0], 2)] * 2
    assert [result.objective for result in found] == [result.objective for result in expected]
    assert list(map(values_of, broken)) == list(map(values_of, whole))


def test_a_state_that_is_found_without_its_folders_note_and_does_not_fit_is_set_aside(tmp_path, data_dir, monkeypatch):
    folders = proposals(Ledger(tmp_path), data_dir, count=2)

    def die(epoch, objective):
        if epoch:
            raise KeyboardInterrupt

    monkeypatch.setattr(run, "REPORT_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        run.run_pack(folders, 4, data_dir, report=die, checkpoint_s=0.0)
    rewritten(folders[1], DAMAGES["no replica"])
    (folders[1] / "pack").unlink()
    found, _ = run.run_pack(folders, 4, data_dir)
    assert [(result.status, result.attempts, result.pack) for result in found] == [("done", [0], 2)] * 2


def trainings_of(folders) -> list[Training]:
    return [training for _, trainings in run.equally_far(folders) for training in trainings]


def test_one_of_a_pack_that_diverges_ends_and_the_others_go_on(tmp_path, data_dir):
    folders = proposals(Ledger(tmp_path), data_dir, count=3)
    rewrite(folders[1] / "spec.json", params={"lr": 1e30})
    results, waiting = run.run_pack(folders, 2, data_dir)
    assert [(result.key, result.status) for result in results] == [(folders[1].name, "diverged")]
    assert list(waiting) == [folders[0].name, folders[2].name] and all(value > 0 for value in waiting.values())


def measured_after(folder) -> list[int]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row["epoch"] for row in rows if "quality/fd_rel" in row["values"]]


def without(words, folder: Path) -> Path:
    """A site-packages folder of links to everything installed here but the packages whose names hold one of `words`."""
    folder.mkdir()
    for place in map(Path, sys.path):
        if place.name == "site-packages":
            for entry in place.iterdir():
                if not any(word in entry.name.lower() for word in words) and not (folder / entry.name).exists():
                    (folder / entry.name).symlink_to(entry)
    return folder


@pytest.mark.long
def test_one_trial_runs_where_there_is_no_ray_mlflow_or_optuna(ledger, data_dir, tmp_path):
    folder = planned(ledger, data_dir, epochs=1)
    packages = without(("ray", "mlflow", "optuna", "latent_sweep", "distutils-precedence"), tmp_path / "packages")
    environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "HOME": str(tmp_path), "PYTHONPATH": f"{packages}:{ROOT}"}
    python = [sys.executable, "-S"]  # -S: without the real site-packages
    missing = subprocess.run([*python, "-c", "import torch, ray"], env=environment, capture_output=True, text=True)
    assert "No module named 'ray'" in missing.stderr
    done = subprocess.run(
        [*python, "study/trial.py", folder / "spec.json", "--data-dir", data_dir],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((folder / "result.json").read_text())["status"] == "done"


def test_where_nothing_is_tuned_the_whole_training_set_may_be_trained_on_and_the_looks_are_at_test_images(tmp_path, data_dir):
    images, found = digits.load(data_dir), {}
    for whole in (False, True):
        folder = planned(
            Ledger(tmp_path / str(whole)), data_dir, budget={"measured_every": 1, "whole_training_set": whole}, epochs=2
        )
        found[whole] = run.run_trial(folder, data_dir), read_rows(folder / "metrics.jsonl")
    steps = {
        whole: load_file(tmp_path / str(whole) / "trials" / result.key / "curves.safetensors")["vae/loss"].shape[1]
        for whole, (result, _) in found.items()
    }
    assert steps == {
        False: len(images.train.images) // 64 * 2,
        True: (len(images.train.images) + len(images.validation.images)) // 64 * 2,
    }
    result, rows = found[True]
    assert found[False][0].key != result.key
    last = {name: values[0] for name, values in rows[-1].values.items() if "/" in name and not name.startswith("loss/")}
    assert (
        last == pytest.approx({name: result.measures[name] for name in last})
        and {"quality/coverage", "likelihood/elbo"} <= last.keys()
    )
