"""What a launch was told is noted with the study, but for what only its user should know."""

import json

from study import launch
from study.sweep.launch_options import LAUNCHES, note_launch
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


def test_a_precision_is_asked_for_by_its_name_and_is_the_full_one_unless_it_is():
    asked = [launch.parse(["--space", "smoke", *words]) for words in ([], ["--fast-cuda"], ["--fast-cuda", "float32"])]
    assert [(options.precision, options.graphs) for options in asked] == [("float32", False), ("tf32", True), ("float32", True)]
