"""Whatever is typed or written into a space or a spec: a plan, or one clear line. Never a traceback, never a hang."""

import importlib
import json
import math
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from fuzzing import QUIET, TEXT, VALUES, outcome
from hypothesis import given, settings
from hypothesis import strategies as st

from models.gan import GAN
from models.nets import conv, fc
from models.vae import VAE
from study import launch, sample, status, tracking, trial
from study.data import digits
from study.space import Budget, Space, grid
from study.space.loading import space_of

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.just(10**30),
    st.floats(),
    TEXT,
    st.just([]),
    st.just({}),
    st.just(object()),
    st.just(VAE),
    st.just(fc),
    st.just(len),
    st.just([VAE]),
)


def check(code: int, text: str) -> None:
    """Done, or the user's error in one line that says what is wrong."""
    assert code in (0, 2), text
    assert "Traceback" not in text and "STUDY_TRACEBACK" not in text
    if code == 2:
        errors = re.findall(r"^(?:[\w./-]+: )?error: .*", text, re.MULTILINE)
        assert len(errors) == 1 and len(errors[0]) > 15, text


OPTIONS = {
    "--space": st.sampled_from(["smoke", "latent_sweep", "matched_weights", "smok", "../x", "nothing.py", "/dev/null"]),
    "--datasets": st.sampled_from(
        [
            "digits",
            "digits-binarised",
            "mnist",
            "imagenette-64",
            "imagenette-999",
            "folder:",
            "folder:/",
            "folder:../x",
            "ｄigits",
            "-",
        ]
    ),
    "--models": st.sampled_from(["VAE", "gan", "WGAN", "vea", "*", "VAE'"]),
    "--systems": st.sampled_from(["A", "A-vae", "' OR 1"]),
    "--features": st.sampled_from(["classifier", "inception", "x"]),
    "--inception-weights": st.sampled_from(["/nowhere", "/dev/null", "."]),
    "--address": st.sampled_from(["auto", ":", "x:y"]),
    "--storage": st.sampled_from(["://", "s3://", "s3:///x", "nothing://x/y", "memory://fuzz", "s3://a b/c", "/dev/null/x"]),
    "--tracking-uri": st.sampled_from(["http://127.0.0.1:1", "nothing://", ""]),
}
NUMBERS = (
    "--cpus-per-trial",
    "--gpus-per-trial",
    "--max-concurrent",
    "--proposals",
    "--replicates",
    "--epochs",
    "--checkpoint-seconds",
)
NUMBER = st.one_of(st.integers(-2, 9).map(str), st.sampled_from(["nan", "inf", "1e3", "0.5", "", "x", "１", "1_0", "9" * 30]))
SWITCH = st.sampled_from(["--download", "--skip-corrupt", "--retry-failed", "--open"])
ARGUMENT = st.one_of(
    *[values.map(lambda value, name=name: [name, value]) for name, values in OPTIONS.items()],
    st.tuples(st.sampled_from(NUMBERS), NUMBER).map(list),
    SWITCH.map(lambda name: [name]),
    TEXT.map(lambda text: [text]),
)


@settings(QUIET, max_examples=150)
@given(st.booleans(), st.lists(ARGUMENT, max_size=4))
def test_whatever_is_typed_ends_in_a_plan_or_in_one_line(tmp_path_factory, with_space, parts):
    place = tmp_path_factory.getbasetemp() / "typed"
    given_space = ["--space", "smoke"] if with_space else []
    arguments = [*given_space, *(word for part in parts for word in part)]
    check(*outcome(launch.main, ["--dry-run", "--storage", place, "--data-dir", place, *arguments]))
    assert not place.exists()


@settings(QUIET, max_examples=60)
@given(
    st.sampled_from([status.main, tracking.main, sample.main]),
    st.lists(
        st.one_of(
            TEXT,
            st.sampled_from(
                ["sync", "--space", "smoke", "--space=../..", "--json", "--tracking-uri=sqlite:////x/y", "--storage=s3://"]
            ),
        ),
        max_size=4,
    ),
)
def test_whatever_is_typed_after_the_other_commands_ends_in_one_line(tmp_path_factory, main, arguments):
    place = tmp_path_factory.getbasetemp() / "typed"
    if "-h" not in arguments and "--help" not in arguments:
        check(*outcome(main, [f"--storage={place}", *arguments]))


def propose(trial, cell):
    return {"lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True)}


def raising(*_):
    raise RuntimeError("two\nlines")


PROPOSE = [
    propose,
    None,
    3,
    raising,
    lambda trial: {},
    lambda trial, cell: None,
    lambda trial, cell: {1: 2},
    lambda trial, cell: {"lr": math.nan},
    lambda trial, cell: {"lr": math.inf},
    lambda trial, cell: {"lr": object()},
    lambda trial, cell: {"lr": "fast"},
    lambda trial, cell: {"lr": [math.nan]},
    lambda trial, cell: {"lrr": 1},
    lambda trial, cell: {"shape": 1},
    lambda trial, cell: {"self": 1},
    lambda trial, cell: {"depth": 3},
    lambda trial, cell: {"width": 2},
    lambda trial, cell: {"lr": trial.suggest_float("lr", 1, 2)},
    lambda trial, cell: {"lr": trial.suggest_float("lr", "a", 2)},
    lambda trial, cell: {"lr": trial.suggest_int("lr", 1e-4, 1)},
    lambda trial, cell: {"lr": trial.suggest_categorical("lr", [])},
    lambda trial, cell: {"lr": trial.suggest_categorical("lr", 3)},
    lambda trial, cell: {"lr": trial.suggest_categorical("lr", [1e-3, VAE])},
    lambda trial, cell: {"lr": trial.suggest_uniform("lr", 0, 1)},
    lambda trial, cell: {"lr": trial.suggest_float("lr", math.nan, 1)},
    lambda trial, cell: {"lr": trial.suggest_float(None, 0, 1)},
    lambda trial, cell: cell.nothing,
    lambda trial, cell: sys.exit(3),
]
BUDGET = [
    lambda cell: Budget(2),
    lambda cell: None,
    raising,
    None,
    lambda: Budget(2),
    lambda cell: Budget(0),
    lambda cell: Budget(2.5),
    lambda cell: Budget("2"),
    lambda cell: Budget(True),
    lambda cell: Budget(2, -1),
    lambda cell: (2, 64),
    lambda cell: SimpleNamespace(epochs=1, batch_size=1),
    lambda cell: sys.exit(),
]
FACTORS = {"model": [VAE, GAN], "net": [fc, conv], "depth": [1, 2], "latent_dim": [2], "dataset": [digits]}
SETTINGS = st.dictionaries(
    st.sampled_from(["width", "dropout", "widht", "lr", "noise", "shape"]), st.lists(ODD, max_size=2), max_size=2
)


@st.composite
def spaces(draw):
    """A space in which up to two things are not what they should be: a function that makes it, since that may raise."""
    wrong = draw(
        st.lists(st.sampled_from([*FACTORS, "cells", "cell", "settings", "propose", "budget", "numbers", "twice"]), max_size=2)
    )
    odd = {name: draw(ODD) for name in (*FACTORS, "cells", "cell", "replicates", "pack")}
    odd_list = {name: draw(st.one_of(ODD, st.lists(ODD, max_size=2))) for name in FACTORS}
    more = draw(SETTINGS) if "settings" in wrong else {"width": [16]}
    chosen = (
        draw(st.sampled_from(PROPOSE)) if "propose" in wrong else propose,
        draw(st.sampled_from(BUDGET)) if "budget" in wrong else BUDGET[0],
    )

    def make():
        cells = grid(**{name: odd_list[name] if name in wrong else values for name, values in FACTORS.items()}, **more)
        cells += [odd["cell"]] * ("cell" in wrong) + cells[:1] * ("twice" in wrong)
        numbers = {name: odd[name] for name in ("replicates", "pack")} if "numbers" in wrong else {}
        return Space(
            cells=odd["cells"] if "cells" in wrong else cells, propose=chosen[0], budget=chosen[1], name="fuzzed", **numbers
        )

    return make


@settings(QUIET, max_examples=400)
@given(spaces())
def test_a_space_that_makes_no_sense_is_one_line(tmp_path_factory, make):
    place = tmp_path_factory.getbasetemp() / "spaced"

    def load(name):
        return SimpleNamespace(SPACE=make(), __doc__="Why?") if name == "fuzzed" else importlib.import_module(name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("study.space.loading.importlib", SimpleNamespace(import_module=load))
        patch.setattr("study.space.loading.load_space", lambda name: space_of(name, Path("fuzzed.py")))
        check(*outcome(launch.main, ["--space", "fuzzed", "--dry-run", "--storage", place, "--data-dir", place]))


FILES = [
    "",
    "SPACE",
    "SPACE = 1",
    "SPACE =",
    "import nothing_there",
    "raise SystemExit(3)",
    "1/0",
    "\x00",
    "é = '",
    "from study.space import *; SPACE = Space()",
    "from study.space import *; SPACE = Space([], None, None)",
    "from study.space import *\nSPACE = Space(cells=grid([], [], [], [], []), propose=1, budget=2)",
    "from study.space import *\nSPACE = Space(3, 4, 5)",
    "from study.space import *\nSPACE = Space([3], 4, 5)",
    "from study.space import *\nSPACE = Space((cell for cell in ()), 4, 5)",
    "print('hello')",
    "class SPACE: cells = []",
    "from search_spaces.smoke import SPACE",
    "import os; os.environ['STUDY_DATA'] = 3",
    "def f(): f()\nf()",
    "x = " + "(" * 300,
]


@pytest.mark.parametrize("content", FILES)
def test_a_space_file_that_makes_no_sense_is_one_line(tmp_path, content):
    name = f"fuzzed_{abs(hash(content)) % 10**9}"
    (tmp_path / f"{name}.py").write_text(content)
    before = list(sys.path)
    check(
        *outcome(
            launch.main, ["--space", tmp_path / f"{name}.py", "--dry-run", "--storage", tmp_path / "s", "--data-dir", tmp_path]
        )
    )
    sys.path[:] = before
    sys.modules.pop(name, None)


SPEC = {
    "key": "k",
    "space": "s",
    "stage": "search",
    "seeds": [0],
    "proposal": 0,
    "params": {},
    "drawn": {},
    "proposed_by": "default",
    "epochs": 1,
    "batch_size": 64,
    "ranges": {},
    "dataset_slug": "digits",
    "model": "models.vae:VAE",
    "net": "models.nets:fc",
    "depth": 1,
    "latent_dim": 2,
    "dataset": "digits",
    "settings": {},
    "system": "",
    "fingerprint": "f",
    "features": "e",
    "features_kind": "classifier",
    "origin": "",
    "protocol": 1,
}


@settings(QUIET, max_examples=100)
@given(st.dictionaries(st.sampled_from(sorted(SPEC)), VALUES, max_size=3), st.sets(st.sampled_from(sorted(SPEC)), max_size=2))
def test_a_spec_that_makes_no_sense_is_one_line(tmp_path_factory, data_dir, changes, missing):
    """It is refused at the latest by its fingerprint, before anything is built from it."""
    folder = tmp_path_factory.getbasetemp() / "specs" / "studies" / "s" / "trials" / "k"
    folder.mkdir(parents=True, exist_ok=True)
    spec = {name: value for name, value in {**SPEC, **changes}.items() if name not in missing}
    (folder / "spec.json").write_text(json.dumps(spec))
    code, text = outcome(trial.main, [folder / "spec.json", "--data-dir", data_dir])
    check(code, text)
    assert code == 2 and not (folder / "result.json").exists()
