"""A study that somebody sent is read without running its code, until the command line trusts it."""

import json
import re
import sys
import uuid
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from fuzzing import outcome
from mlflow.exceptions import MlflowException
from safetensors.torch import save_file
from synthetic import sweep
from tiny import spec_of

from study import report, sample, status, tracking, trial
from study.analysis.report_data import findings
from study.api import Study
from study.errors import UserError
from study.ledger.folder import Ledger
from study.ledger.records import Spec
from study.mlflow_view.registry import register
from study.space import importing
from study.space.from_spec import part
from study.space.importing import Untrusted, allow, imported
from study.space.loading import load_space
from study.training import run

TRACKED = {"store": ["", "", ""], "run_id": "1", "rows": 1, "images": [], "ended": None}
SPACE = '''"""A question."""
import pathlib
from os import system
from models.nets import fc
from models.vae import VAE
from study.analysis.claims import Claim, Part
from study.analysis.comparisons import Levels
from study.data import digits
from study.analysis.rules import falls
from study.space import Budget, Search, Space, grid

pathlib.Path(__file__).with_suffix(".run").touch()

class Shy(VAE):
    pass

LARGER = Claim("X1", "a larger latent lowers fd_rel", "us", (), (Part("fidelity", "quality/fd_rel", falls, Levels("latent_dim")),))
SPACE = Space(cells=grid([Shy], [fc], [1], [2, 8], [digits], width=[16]), propose=lambda trial, cell: {},
              budget=lambda cell: Budget(2, 64), search=Search(rounds=(1,), rungs=()), replicates=2, claims=[LARGER])
'''


@pytest.fixture(autouse=True)
def nothing_trusted(monkeypatch):
    """As a process begins."""
    monkeypatch.setattr(importing, "TRUST", importing.Trust())
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture
def file(tmp_path):
    """A space file from elsewhere, which leaves a mark when it is run."""
    path = tmp_path / "sent" / f"q{uuid.uuid4().hex[:8]}.py"
    path.parent.mkdir()
    path.write_text(SPACE)
    return path


def was_run(file) -> bool:
    return file.with_suffix(".run").exists()


@pytest.fixture
def sent(tmp_path, file) -> Ledger:
    """A small finished study whose specs name the file's code."""
    ledger = sweep(tmp_path / "studies" / file.stem, models=("vae",), depths=(1,), draw=False, proposals=1, epochs=1)
    edit(
        ledger,
        model=f"{file.stem}:Shy",
        claims=file.stem,
        origin=str(file.parent),
        dataset_slug="digits",
        source="",
        shape=[1, 8, 8],
    )
    for key in ledger.keys():
        save_file({"0/x": torch.zeros(1)}, ledger.folder(key) / "weights.safetensors")
    return ledger


def edit(ledger, **changes) -> None:
    for key in ledger.keys():
        path = ledger.folder(key) / "spec.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def arguments(ledger, *more) -> list:
    return ["--space", ledger.root.name, "--storage", ledger.root.parent, *more]


def one_line(text: str, file) -> bool:
    lines = [line for line in text.splitlines() if "--trust-study" in line]
    return len(lines) == 1 and file.stem in lines[0] and "not run" in lines[0]


@pytest.mark.long
def test_a_report_leaves_foreign_claims_out_and_says_so_in_one_line(sent, file, tmp_path):
    code, text = outcome(report.main, arguments(sent))
    assert code == 0 and one_line(text, file) and not was_run(file)
    assert "own claims are left out" in (sent.root / "report" / "report.html").read_text()
    for more in (["--trust-study"], ["--space", file]):  # the last --space counts
        code, text = outcome(report.main, arguments(sent, *more))
        assert code == 0 and "left out" not in text and was_run(file)
        assert "X1" in {verdict.claim.id for verdict in findings(sent).verdicts}
        page = (sent.root / "report" / "report.html").read_text()
        assert "a larger latent lowers fd_rel" in re.sub("<[^>]*>", "", page)  # terms in it are explained


def test_a_sample_of_foreign_code_is_refused_in_one_line(sent, file, tmp_path):
    code, text = outcome(sample.main, arguments(sent, "--trial", sent.keys()[0], "--out", tmp_path / "grid.png"))
    assert code == 2 and text.count("\n") == 1 and one_line(text, file) and not was_run(file)
    code, text = outcome(sample.main, arguments(sent, "--trial", sent.keys()[0], "--trust-study"))
    assert was_run(file) and "does not hold the weights" in text  # it got past the code


def test_a_trial_of_foreign_code_is_refused_in_one_line(sent, file, data_dir, monkeypatch):
    whole = {"drawn": {}, "features_kind": "classifier", "measures": {}}
    edit(sent, **whole)
    monkeypatch.setattr(run, "loaded", lambda *_: SimpleNamespace(fingerprint="f" * 64))
    edit(sent, code={f"{file.stem}:Shy": "0" * 12})
    code, text = outcome(trial.main, [sent.folder(sent.keys()[0]) / "spec.json", "--data-dir", data_dir])
    assert code == 2 and text.count("\n") == 1 and one_line(text, file) and not was_run(file)


def test_a_status_and_a_sync_need_no_code_of_the_study(sent, file, tmp_path):
    code, text = outcome(status.main, arguments(sent, "--json"))
    assert code == 0 and json.loads(text)["done"] == len(sent.keys())
    code, text = outcome(tracking.main, ["sync", *arguments(sent, "--tracking-uri", f"sqlite:///{tmp_path / 'mlflow.db'}")])
    assert code == 0 and one_line(text, file) and "is not registered" in text and not was_run(file)


def test_from_python_each_study_is_trusted_for_itself(sent, file):
    plain, trusting, key = Study(sent.root), Study(sent.root, trust_study=True), sent.keys()[0]
    for _ in range(2):
        with pytest.raises(Untrusted):
            plain.model(key)
        with pytest.raises(UserError, match="does not hold the weights"):  # it got past the code
            trusting.model(key)


@pytest.mark.parametrize(
    "path",
    ["os:system", "subprocess:Popen", "json.tool:main", "..os:system", "", ":", "nothing_there:x", "studyx:y", "studyx.evil:y"],
)
def test_what_is_not_the_projects_is_not_imported(path):
    with pytest.raises(Untrusted) as caught:
        imported(path)
    assert "\n" not in str(caught.value) and "nothing_there" not in sys.modules


@pytest.mark.parametrize(
    "path",
    [
        "study.ledger.files:quarantine",
        "study.ledger.folder:os",
        "study.launch:main",
        "study:nothing",
        "study.nothing:x",
        "models.vae",
        "models.nets:fc",
    ],
)
def test_the_projects_own_code_is_no_model_unless_it_is_one(path):
    with pytest.raises(UserError) as caught:
        part(replace(Spec.from_json(spec_of()), model=path), "model")
    assert "\n" not in str(caught.value)


def test_a_space_file_that_was_named_opens_its_own_modules_and_no_others(file, tmp_path):
    """A spec of somebody else's in the same ledger is refused, and so is code of the same name from another folder."""
    allow(str(file))
    assert not was_run(file)  # not before a record asks for it
    other = tmp_path / "other"
    other.mkdir()
    (other / f"{file.stem}.py").write_text("raise SystemExit('run')")
    (other / "elsewhere.py").write_text("raise SystemExit('run')")
    with pytest.raises(Untrusted):
        imported("elsewhere:Model", str(other))
    assert imported(f"{file.stem}:Shy", str(other)) is load_space(str(file)).cells[0].model and was_run(file)
    with pytest.raises(UserError, match="which it is not"):
        part(replace(Spec.from_json(spec_of()), model=f"{file.stem}:system"), "model")


def test_a_champion_of_foreign_code_is_said_and_the_others_are_registered(sent, file, capsys):
    for key in sent.keys():
        (sent.folder(key) / "tracked.json").write_text(json.dumps(TRACKED))

    class Client:
        def get_model_version_by_alias(self, *_):
            raise MlflowException("none")

    register(Client(), sent, "sent")
    assert one_line(capsys.readouterr().err, file) and not was_run(file)
