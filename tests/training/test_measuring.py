"""Trainings measured once more: the same numbers by the same features, others by others, and none of it trains."""

import sys
import uuid
from dataclasses import replace
from types import SimpleNamespace

import pytest
from tiny import rewrite, tiny_space
from trials import identity_of

from models.nets import fc
from models.vae import VAE
from study import measure
from study.analysis import cell_table, report_data
from study.analysis.trainings import Features, measured_by, read
from study.data import digits
from study.errors import UserError
from study.ledger.folder import Ledger, finished
from study.mlflow_view.tracker import told_apart
from study.space import Budget, grid
from study.space.importing import allow_modules
from study.sweep import preparation
from study.sweep.plan import PROTOCOL, Plan
from study.sweep.ray_measuring import kept, lacking
from study.training import run
from study.training.measuring import FeaturesOf, measured_again

OTHER = Features("classifier", 1)


def small_space(**changes):
    changes = {"replicates": 2, **changes}
    return tiny_space(cells=grid([VAE], [fc], [1], [2, 4], [digits], width=[16]), propose=lambda trial, cell: {}, **changes)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data_dir):
    """A study of four trainings that are not tuned: (ledger, hash by seed of the classifier)."""
    root = tmp_path_factory.mktemp("again") / "tiny"
    ledger, images = Ledger(root), digits.prepare(data_dir, log=lambda line: None)
    plan = Plan(small_space(budget=lambda cell: Budget(3, 64)), ledger, identity_of(images))
    hashes = {
        seed: preparation.features_of(digits, images, root, data_dir, "classifier", None, print, seed)[0].hash for seed in (0, 1)
    }
    for trial in plan.left():
        ledger.put_spec(trial.key, plan.spec(trial, {}, "confirm"))
        ledger.put_result(trial.key, run.run_trial(ledger.folder(trial.key), data_dir))
    return ledger, hashes


def again(trained, data_dir, key, seed=1, own={}):
    ledger, hashes = trained
    found = measured_again(ledger.folder(key), data_dir, FeaturesOf("classifier", seed, hashes[seed]), own, PROTOCOL)
    return ledger.put_measurement(found), found


@pytest.fixture
def study(trained, tmp_path):
    """A copy of the study: (ledger, hashes)."""
    import shutil

    shutil.copytree(trained[0].root, tmp_path / "tiny")
    return Ledger(tmp_path / "tiny"), trained[1]


def test_measured_again_by_the_same_features_a_training_has_the_same_scores_to_the_bit(study, data_dir):
    ledger, _ = study
    for key, _, result in finished(ledger):
        before = result.replicas[0].measures
        found = again(study, data_dir, key, seed=0)[1].replicas[0].measures
        assert found == {name: before[name] for name in found}
        assert set(before) - set(found) == {name for name in before if name.startswith(("cost/", "time/"))}


def test_other_features_give_other_scores_which_a_report_shows_when_it_is_asked_to(study, data_dir):
    ledger, hashes = study
    assert ledger.keys() and hashes[0] != hashes[1]
    own = {cell.name: cell.value("quality/fd_rel") for cell in cell_table.cells(ledger)}
    for key in ledger.keys():
        assert again(study, data_dir, key)[0] and not again(study, data_dir, key)[0]  # put once
    assert {cell.name: cell.value("quality/fd_rel") for cell in cell_table.cells(ledger)} == own
    found = report_data.findings(ledger, (), OTHER)
    shown = {cell.name: cell.value("quality/fd_rel") for cell in found.cells}
    assert shown.keys() == own.keys() and all(0 < abs(shown[name] / own[name] - 1) < 0.5 for name in own)
    assert {each.features for each in found.datasets} == {hashes[1]} and "seed 1" in found.notes[0]
    assert (
        found.real_baselines["digits"].features == hashes[1] != report_data.findings(ledger, ()).real_baselines["digits"].features
    )
    assert all("cost/parameters" in cell.values for cell in found.cells)


def test_more_samples_against_the_training_images_are_a_measurement_of_their_own(study, data_dir):
    ledger, hashes = study
    many = Features(samples=3000, against="train")
    by = FeaturesOf("classifier", 0, hashes[0], many.samples, many.against)
    for key in ledger.keys():
        found = measured_again(ledger.folder(key), data_dir, by, {}, PROTOCOL)
        assert ledger.put_measurement(found) and (found.split, found.samples) == ("train", 3000)
        assert found.name != again(study, data_dir, key, seed=0)[1].name
    own = {cell.name: cell.value("quality/fd_rel") for cell in cell_table.cells(ledger)}
    shown = report_data.findings(ledger, (), many)
    others = {cell.name: cell.value("quality/fd_rel") for cell in shown.cells}
    assert others.keys() == own.keys() and all(0 < abs(others[name] / own[name] - 1) < 0.5 for name in own)
    assert "3,000 samples against training images" in shown.notes[0] and not shown.real_baselines
    assert all(not any(name.startswith(("memory/", "two_sample/")) for name in cell.values) for cell in shown.cells)
    assert {cell.name: cell.value("quality/fd_rel") for cell in report_data.findings(ledger, ()).cells} == own
    tracked = told_apart(found, ledger.spec(found.key))
    assert tracked == "3000 against train/"


def test_what_is_not_measured_yet_is_said_and_left_out_and_what_diverged_stays(study, data_dir):
    ledger, _ = study
    first, second, *_ = ledger.keys()
    with pytest.raises(UserError, match="measured by classifier features of seed 1"):
        report_data.findings(ledger, (), OTHER)
    again(study, data_dir, first)
    result = ledger.result(second)
    lost = replace(result, status="diverged", objective=None, replicas=[replace(result.replicas[0], status="diverged")])
    (ledger.folder(second) / "result.json").unlink()
    ledger.put_result(second, lost)
    trials, notes = measured_by(ledger, read(ledger), OTHER)
    assert [(trial.key, trial.result.replicas[0].status) for trial in trials] == [(first, "done"), (second, "diverged")]
    assert len({trial.spec.features for trial in trials}) == 1 and notes[0].startswith("2 trainings")


def test_only_what_lacks_a_measurement_is_measured(study, data_dir):
    ledger, hashes = study
    trials, chosen = kept(finished(ledger)), {"digits": FeaturesOf("classifier", 1, hashes[1])}
    again(study, data_dir, trials[0][0])
    assert [each.key for each in lacking(ledger, trials, chosen, {})] == [key for key, _, _ in trials[1:]]
    path = next(ledger.folder(trials[0][0]).glob("measured-*"))
    path.write_text(path.read_text()[:-9])
    assert len(lacking(ledger, trials, chosen, {})) == len(trials) == 4  # a file that lies is set aside


def test_trainings_on_other_images_are_left_out_and_said(study, data_dir):
    ledger, _ = study
    first, *others = ledger.keys()
    for name in ("result.json", "spec.json"):
        path = ledger.folder(first) / name
        changes = {"fingerprint": "other"} if name == "spec.json" else {"spec": None}
        rewrite(path, **changes)
    given = {"inception_weights": None, "address": None, "features": None, "features_seed": 0, "samples": 0, "against": "test"}
    options, said = SimpleNamespace(**given), []
    wanted = measure.prepared(small_space(), ledger, kept(finished(ledger)), data_dir, options, said.append)
    assert [each.key for each in wanted] == others and "1 trainings were on other images" in said[0]


MEASURE = "def brightness(samples, real):\n    return float(samples.mean()){}\n"


@pytest.fixture
def brightness(tmp_path, monkeypatch):
    """brightness(more) -> import path of a measure outside the project, whose code ends so."""

    def brightness(more=""):
        name = f"own_{uuid.uuid4().hex[:8]}"
        (tmp_path / f"{name}.py").write_text(MEASURE.format(more))
        allow_modules([name])
        return f"{name}:brightness"

    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    return brightness


def test_a_measure_that_is_new_is_in_the_table_of_cells_and_no_key_changes(study, data_dir, brightness):
    ledger, _ = study
    path = brightness()
    for key in ledger.keys():
        again(study, data_dir, key, 0, {"quality/brightness": path})
    assert all(0 < cell.value("quality/brightness") < 1 for cell in cell_table.cells(ledger))
    from study.space.importing import imported

    identity = identity_of(digits.load(data_dir))
    space = small_space(budget=lambda cell: Budget(3, 64), measures={"quality/brightness": imported(path)})
    assert not Plan(space, ledger, identity).left()


def test_what_a_measure_said_before_its_code_changed_is_left_out_and_said(study, data_dir, brightness):
    ledger, _ = study
    before, after = brightness(), brightness(" * 2")
    for key in ledger.keys():
        again(study, data_dir, key, 0, {"quality/brightness": before})
    old = {cell.name: cell.value("quality/brightness") for cell in cell_table.cells(ledger)}
    changed, *others = ledger.keys()
    again(study, data_dir, changed, 0, {"quality/brightness": after})
    trials, notes = measured_by(ledger, read(ledger), Features())
    values = {trial.key: trial.result.replicas[0].measures.get("quality/brightness") for trial in trials}
    assert values[changed] and not any(values[key] for key in others)
    assert notes[0].startswith("quality/brightness of 3 trainings was measured with what its code was before")
    for key in others:
        again(study, data_dir, key, 0, {"quality/brightness": after})
    new = {cell.name: cell.value("quality/brightness") for cell in cell_table.cells(ledger)}
    assert new == pytest.approx({name: 2 * value for name, value in old.items()})
    assert not measured_by(ledger, read(ledger), Features())[1]


def test_weights_that_are_gone_or_anothers_are_one_line(study, data_dir):
    ledger, _ = study
    first, *_, last = ledger.keys()
    weights = ledger.folder(first) / "weights.safetensors"
    weights.write_bytes((ledger.folder(last) / "weights.safetensors").read_bytes())
    with pytest.raises(UserError, match="does not hold the weights of this trial"):
        again(study, data_dir, first)
    weights.unlink()
    with pytest.raises(UserError, match="does not hold the weights of this trial"):
        again(study, data_dir, first)
