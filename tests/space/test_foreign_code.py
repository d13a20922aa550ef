"""Code from outside the project is part of what defines a result: keys change with it, and workers compare it."""

import importlib
import shutil
import sys
import uuid
from pathlib import Path

import pytest
from trials import identity_of

from study.data import digits
from study.errors import UnfitMachine, UserError
from study.space.foreign_code import check_code, digest
from study.space.loading import load_space
from study.sweep import repair
from study.sweep.plan import Plan
from study.training import run

HELPER = """
from models.vae import VAE
SCALE = 0.5
def scaled(x):
    return SCALE * x
def unused():
    return 1
class Base(VAE):
    pass
"""
SPACE = '''"""A question."""
from dataclasses import dataclass
from models.nets import Net, fc_decoder, fc_encoder
from study.data import digits
from study.space import Budget, Space, grid
from HELPER import Base, scaled
WIDTH = 16
def halved(x):
    return x / 2
def encoder(shape, outputs, depth, *, width=WIDTH):
    return fc_encoder(shape, outputs, 2 * depth, width=width)
twice = Net("twice", encoder, fc_decoder)
class Shy(Base):
    def sample(self, z):
        import HELPER as helper
        return scaled(halved(super().sample(z)))
def brightness(samples, real):
    return samples.mean()
@dataclass(frozen=True)
class Stripes:
    name = "stripes"
    def read(self):
        return halved(1)
def propose(trial, cell):
    return {}
SPACE = Space(cells=grid([Shy], [twice], [1], [2], [digits]), propose=propose, budget=lambda cell: Budget(1, 64),
              replicates=1, measures={"quality/brightness": brightness})
'''


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """loaded(edit of the space file, edit of its helper) -> the module as a launch loads it, both under the same names."""
    names = [f"{part}_{uuid.uuid4().hex}" for part in ("space", "helper")]
    monkeypatch.setattr(sys, "path", [*sys.path])

    def load(space=str, helper=str):
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        (tmp_path / f"{names[1]}.py").write_text(helper(HELPER))
        (tmp_path / f"{names[0]}.py").write_text(space(SPACE).replace("HELPER", names[1]))
        for name in names:
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        load_space(str(tmp_path / f"{names[0]}.py"))
        return sys.modules[names[0]]

    yield load
    for name in names:
        sys.modules.pop(name, None)


def swap(old, new):
    return lambda text: text.replace(old, new)


@pytest.mark.parametrize(
    "edit",
    [
        swap("class Shy", "# a remark\n\nclass Shy"),
        swap("        import HELPER", "        'Darker.'\n        import HELPER"),
        swap("return {}", "return {'lr': trial.suggest_float('lr', 1e-4, 1e-2)}"),
        swap("Budget(1, 64)", "Budget(2, 64)"),
        swap("samples.mean()", "samples.std()"),
    ],
    ids=["a comment", "a docstring", "propose", "budget", "a measure"],
)
def test_what_does_not_make_the_model_leaves_its_digest_alone(loaded, edit):
    assert digest(loaded().Shy) == digest(loaded(edit).Shy)


@pytest.mark.parametrize(
    ("space", "helper"),
    [
        (swap("halved(super", "(super"), str),
        (swap("x / 2", "x / 3"), str),
        (str, swap("SCALE = 0.5", "SCALE = 0.6")),
        (str, swap("pass", "beta = 2")),
        (swap("def propose", "Shy.sample = halved\ndef propose"), str),
        (str, swap("return 1", "return 2")),
    ],
    ids=[
        "a method",
        "a function beside it",
        "a constant in another file",
        "a base class in another file",
        "a method set later",
        "anything in a module imported whole",
    ],
)
def test_what_makes_the_model_changes_its_digest(loaded, space, helper):
    assert digest(loaded().Shy) != digest(loaded(space, helper).Shy)


def test_only_what_is_used_of_another_file_counts(loaded):
    without = swap("        import HELPER as helper\n", "")
    assert digest(loaded(without).Shy) == digest(loaded(without, swap("return 1", "return 2")).Shy)


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        ("twice", swap("2 * depth", "3 * depth")),
        ("brightness", swap("samples.mean", "samples.std")),
        ("Stripes", swap("halved(1)", "halved(2)")),
    ],
)
def test_nets_measures_and_sources_of_images_have_digests_as_models_do(loaded, name, edit):
    assert digest(getattr(loaded(), name)) != digest(getattr(loaded(edit), name))


def test_what_has_no_source_is_refused_in_one_line():
    with pytest.raises(UserError, match="the code of __main__:Made cannot be read"):
        digest(type("Made", (), {"__module__": "__main__"}))


def planned(module, ledger, data_dir) -> Plan:
    images = digits.load(data_dir)
    return Plan(load_space(module.__file__), ledger, identity_of(images))


def begun(plan) -> Path:
    """The folder of the plan's first trial, its spec written."""
    first = plan.left()[0]
    plan.ledger.put_spec(first.key, plan.spec(first, {}, "default"))
    return plan.ledger.folder(first.key)


def test_changed_code_gives_other_keys_and_the_launch_says_so(loaded, ledger, data_dir):
    folder, said = begun(planned(loaded(), ledger, data_dir)), []
    again = planned(loaded(swap("class Shy", "# a remark\nclass Shy")), ledger, data_dir)
    repair.note_changed_code(again, said.append)
    assert [trial.key for trial in again.trials()] == [folder.name] and not said
    changed = planned(loaded(swap("x / 2", "x / 3")), ledger, data_dir)
    repair.note_changed_code(changed, said.append)
    assert folder.name not in [trial.key for trial in changed.trials()]
    assert [line.split(":", 1)[1] for line in said] == [
        "Shy has changed: 1 trials of what it was stay in the ledger and are planned anew"
    ]


def test_a_measure_trains_nothing_anew_when_it_changes(loaded, ledger, data_dir):
    folder, said = begun(planned(loaded(), ledger, data_dir)), []
    again = planned(loaded(swap("samples.mean", "samples.std")), ledger, data_dir)
    repair.note_changed_code(again, said.append)
    assert [trial.key for trial in again.trials()] == [folder.name] and not said


def test_a_worker_with_another_version_of_the_file_trains_nothing(loaded, ledger, data_dir):
    folder = begun(planned(loaded(), ledger, data_dir))
    spec = ledger.spec(folder.name)
    check_code(spec)
    loaded(swap("x / 2", "x / 3"))
    with pytest.raises(UnfitMachine, match=":Shy on .* is not what trial .* was planned with"):
        run.run_trial(folder, data_dir)
    assert [path.name for path in folder.iterdir()] == ["spec.json"]
    loaded()
    check_code(spec)
