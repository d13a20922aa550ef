"""What a launch was told is noted with the study, but for what only its user should know."""

import json
from dataclasses import fields, replace

import pytest
from tiny import tiny_space

from study import launch
from study.data import digits
from study.errors import UserError
from study.ledger.folder import LAUNCHES
from study.space.loading import checked
from study.sweep.launch_options import GROUPS, LaunchOptions, note_launch
from study.sweep.plan import Plan
from study.sweep.preparation import identities
from study.training.git_commit import git_commit


def test_every_launch_leaves_a_line_with_its_options_and_without_passwords(ledger):
    for replicates in ("8", "16"):
        options = launch.parse(["--space", "smoke", "--replicates", replicates, "--tracking-uri", "https://me:secret@mlflow.org/x"])
        with ledger.lock():
            note_launch(ledger, options)
    text = (ledger.root / LAUNCHES).read_text()
    first, second = map(json.loads, text.splitlines())
    assert (first["options"]["replicates"], second["options"]["replicates"]) == (8, 16) and "secret" not in text
    assert second["options"]["tracking_uri"] == "https://***@mlflow.org/x" and second["commit"] == git_commit()
    assert second["options"]["storage"] == "mlruns/studies" and second["time"] >= first["time"]


def test_the_earlier_name_of_replicates_is_understood():
    assert launch.parse(["--space", "smoke", "--seeds", "9"]).replicates == 9


def test_a_precision_is_a_setting_of_the_space_and_part_of_its_trials_keys(ledger, data_dir):
    options = launch.parse(["--space", "smoke"])
    digits.prepare(data_dir, log=lambda line: None)
    plain, rounded = tiny_space(), tiny_space(precision="tf32")
    plans = [Plan(space, ledger, identities(space, data_dir, options)) for space in (plain, rounded)]
    keys = [{trial.key for trial in plan.left()} for plan in plans]
    assert keys[0].isdisjoint(keys[1]) and len(keys[0]) == len(keys[1])
    assert [plan.spec(plan.left()[0], {}, "default").precision for plan in plans] == ["float32", "tf32"]
    with pytest.raises(UserError, match="precision must be one of float32, tf32, bf16, not 'half'"):
        checked(replace(tiny_space(), precision="half"))


def test_every_option_stands_in_one_group_with_its_help_and_its_default():
    options = {each.name: each.metadata for each in fields(LaunchOptions) if each.metadata}
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(options)
    for name, metadata in options.items():
        assert metadata["help"] and (metadata.get("action") == "store_true" or "default" in metadata["help"]), name
