"""Every factor that a study varies gets an effect with a word of its own, whatever its name; the page begins with what to use."""

import csv
import re

import numpy as np
import pytest
from synthetic import sweep

from study.analysis.cell_table import as_row
from study.analysis.effects import effects
from study.analysis.report_data import findings
from study.analysis.sentences import changed
from study.metrics.catalogue import COVERAGE, FIDELITY
from study.reporting.page import page
from study.reporting.paired_plot import paired
from study.reporting.tables import write_tables

SHAPE = {"dataset": "folder:my-images", "model": "vae", "net": "conv", "depth": 3, "latent_dim": 16}


def trainings(cells, seeds=8, rng=0, noise=0.02):
    """Rows of cells, (settings, what they add to fd_rel) each; coverage is noise alone."""
    rng = np.random.default_rng(rng)
    return [
        {
            **SHAPE,
            "system": "",
            "cell": str(settings),
            "trial": "",
            "stage": "confirm",
            "status": "done",
            "seed": seed,
            **settings,
            FIDELITY: 0.3 + added + rng.normal(0, noise),
            COVERAGE: 0.6 + rng.normal(0, noise),
            "proposed_by": "confirm",
        }
        for settings, added in cells
        for seed in range(seeds)
    ]


def crossed(name, levels, added=(0, 0, 0), **options):
    """A setting at two latent sizes."""
    cells = [({name: level, "latent_dim": size}, add) for size in (16, 64) for level, add in zip(levels, added)]
    return trainings(cells, **options)


def of(rows, factor, measure=FIDELITY):
    return [each for each in effects(rows) if each.factor == factor and each.measure == measure]


@pytest.mark.parametrize(("added", "word"), [(-0.1, "better"), (0.1, "worse")])
def test_a_setting_of_two_levels_is_better_or_worse_by_more_than_the_margin(added, word):
    (found,) = of(crossed("dropout", (0.0, 0.2), (0, added)), "dropout")
    assert (found.first, found.last, found.word, len(found.points)) == (0.0, 0.2, word, 8)
    assert found.effect == pytest.approx(added, abs=0.02) and found.interval[0] < found.effect < found.interval[1]
    assert found.p <= 0.05 and found.margin == pytest.approx(0.02, abs=0.008) and found.more == ""


def test_higher_coverage_is_better():
    rows = [{**row, COVERAGE: row[COVERAGE] + 0.2 * row["dropout"]} for row in crossed("dropout", (0, 1))]
    assert [found.word for found in of(rows, "dropout", COVERAGE)] == ["better"]


def test_what_makes_no_difference_is_equal_within_the_margin_once_there_are_enough_replicates():
    (few,), (many,) = (of(crossed("dropout", (0.0, 0.2), seeds=seeds), "dropout") for seeds in (4, 40))
    assert few.word == "undecided" and few.enough > 4 and f"--replicates {few.enough}" in few.more
    assert many.word == "equal" and abs(many.effect) < many.margin


def test_as_many_replicates_as_are_said_to_decide_mostly_do():
    truth, pilot = (0, 0.045), crossed("dropout", (0.0, 0.2), (0, 0.045), seeds=4, rng=5)
    (found,) = of(pilot, "dropout")
    assert found.word == "undecided" and found.enough
    again = [of(crossed("dropout", (0.0, 0.2), truth, seeds=found.enough, rng=rng), "dropout")[0].word for rng in range(20)]
    print(f"{found.enough} replicates decide {20 - again.count('undecided')} of 20 studies")
    assert again.count("worse") >= 12


def test_numbers_go_from_the_least_to_the_largest_and_others_are_held_against_the_first_of_the_plan():
    assert [(each.first, each.last) for each in of(crossed("width", (64, 128, 32)), "width")] == [(32, 128)]
    named = of(crossed("likelihood", ("gaussian", "bernoulli", "laplace")), "likelihood")
    assert [(each.first, each.last) for each in named] == [("gaussian", "bernoulli"), ("gaussian", "laplace")]
    assert [(each.first, each.last) for each in of(crossed("clip", (0.1, None)), "clip")] == [(None, 0.1)]
    assert [(each.first, each.last) for each in of(crossed("flips", (False, True)), "flips")] == [(False, True)]
    tables = of(crossed("encoder", ({"norm": True}, {"norm": False})), "encoder")
    assert [(each.first, each.last) for each in tables] == [('{"norm": true}', '{"norm": false}')]


def test_models_of_any_name_are_compared_two_by_two_and_what_one_alone_has_is_a_part_of_it():
    cells = [({"model": "flow"}, 0), ({"model": "vae", "beta": 1}, 0.2), ({"model": "vae", "beta": 4}, 0.4), ({"model": "gan"}, 0)]
    rows = trainings(cells, seeds=10)
    found = [(each.first, each.last, each.word) for each in of(rows, "model")]
    assert found == [("vae", "gan", "better"), ("vae", "flow", "better"), ("gan", "flow", "undecided")]
    assert changed(effects(rows))[0].startswith("From VAE to GAN, fd_rel gets better (−0.29")


def test_a_loss_that_is_averaged_is_compared_where_it_is_the_factor_and_left_out_of_all_others():
    reductions = crossed("reduction", (None, "mean"), (0, 0.3))
    assert [each.word for each in of(reductions, "reduction")] == ["worse"]
    (latent,) = of(reductions, "latent_dim")
    assert len(latent.blocks) == 1 and latent.word != "worse"
    only_averaged = crossed("reduction", ("mean",))
    assert [each.factor for each in effects(only_averaged)] == ["latent_dim"] * 2


def test_what_changes_along_with_a_factor_is_named_and_is_no_factor_of_its_own():
    rows = trainings([({"net": "fc", "width": 64}, 0), ({"net": "conv", "width": 8}, 0.2)])
    assert {(each.factor, each.along) for each in effects(rows)} == {("net", ("width",))}
    assert changed(effects(rows))[0].startswith("From net fc to conv (with another width), fd_rel gets worse for VAE (+0.")
    together = trainings([({"beta": 1, "warmup": 5}, 0), ({"beta": 4, "warmup": 9}, 0.2)])
    assert {(each.factor, each.along) for each in effects(together)} == {("beta", ("warmup",))}


def test_systems_are_compared_as_wholes_where_no_factor_is_varied_alone():
    rows = trainings(
        [({"system": "ours"}, 0), ({"system": "theirs", "model": "gan", "net": "fc", "depth": 1, "latent_dim": 100}, 0.2)]
    )
    assert [(each.model, each.first, each.last, each.word) for each in of(rows, "system")] == [("", "ours", "theirs", "worse")]


@pytest.mark.parametrize("added", [0.0, 0.02])
def test_a_false_word_is_said_in_a_twentieth_of_studies_at_most(added):
    """Without any effect, and with one of exactly the margin in fidelity, of which every word but undecided is false."""
    false, studies = 0, 60
    for rng in range(studies):
        found = of(crossed("dropout", (0.0, 0.2), (0, added), seeds=7, rng=rng), "dropout")
        false += found[0].word != "undecided" if added else found[0].word in ("better", "worse")
    print(f"false words at {added}: {false} of {studies}")
    assert false <= 0.05 * studies


@pytest.fixture(scope="module")
def dropout(tmp_path_factory):
    """README's own example, in which dropout costs fidelity."""
    noise = np.random.default_rng(0)

    def world(cell):
        added = 0.1 * (cell["settings"]["dropout"] > 0) + 0.05 * (cell["latent_dim"] == 16)
        return {FIDELITY: 0.2 + added + noise.normal(0, 0.02), "quality/brightness": 1.0}

    grid = {"models": ("vae",), "nets": ("conv",), "depths": (3,), "latents": (16, 64), "settings": {"dropout": (0.0, 0.2)}}
    return sweep(tmp_path_factory.mktemp("studies") / "my_question", **grid, seeds=8, proposals=1, world=world)


def test_the_question_of_readme_ends_in_an_answer_and_in_no_claim_of_others(dropout, tmp_path):
    found = findings(dropout)
    assert any(re.match(r"From dropout 0 to 0.2, fd_rel gets worse for VAE \(\+0\.\d+\), and", said) for said in found.answer)
    assert found.verdicts == [] and "claim" not in " ".join(found.answer)
    html = page(found, {}, {"digits": (None, "no real images")}, 0)
    write_tables(found, tmp_path)
    words = re.sub(r"<[^>]*>", "", re.sub(r"<(script|style).*?</\1>", "", html, flags=re.S))
    assert 'id="claims"' not in html and "Student reports" not in words and "VAE, dropout 0 → 0.2" in words and "✗ worse" in words
    assert 'href="#claims"' not in html and len(paired(found.effects).axes[0].get_yticklabels()) == 2
    (row,) = [
        row for row in csv.DictReader(open(tmp_path / "effects.csv")) if (row["factor"], row["measure"]) == ("dropout", FIDELITY)
    ]
    assert (row["from"], row["to"], row["verdict"], row["pairs"], row["blocks"]) == ("0", "0.2", "worse", "8", "2")


def test_what_to_use_is_told_with_settings_cost_and_how_sure_that_is(dropout):
    (told,) = findings(dropout).advice
    assert told.fidelity.startswith(
        "Use a VAE with net conv, depth 3, latent size 64, dropout 0.0. Its fd_rel (lower is better) is 0."
    )
    assert re.search(r"\[.*\] over 8 replicates.* It costs 9 s a training and 30,000 parameters\.", told.fidelity)
    share, low = map(
        int, re.search(r"VAE \(conv, depth 3, latent 16, dropout=0.0\), with probability (\d+) % \[(\d+), ", told.fidelity).groups()
    )
    assert share > 80 > low > 50 and "is not known yet" not in told.fidelity
    assert told.cost == "The cell for fidelity is also the fastest to train."


def test_the_cheapest_of_the_cells_that_cannot_be_told_from_the_best_is_told_for_cost(tmp_path):
    def world(cell):
        return {FIDELITY: None} if cell["latent_dim"] == 99 else {"time/train_s": 100.0 * cell["latent_dim"]}

    ledger = sweep(tmp_path / "alike", models=("vae",), depths=(1,), latents=(2, 8), draw=False, world=world)
    (told,) = findings(ledger).advice
    assert "Nothing that trains faster is known to come as near. The fastest is VAE (fc, depth 1, latent 2)" in told.cost
    assert "13.3 min a training" in told.fidelity and "3.33 min" in told.cost


def test_settings_and_measures_of_ones_own_are_columns_of_the_table_of_cells(dropout):
    rows = [as_row(cell) for cell in findings(dropout).cells]
    assert {row["dropout"] for row in rows} == {0.0, 0.2} and {row["quality/brightness"] for row in rows} == {1.0}
    html = page(findings(dropout), {}, {"digits": (None, "no real images")}, 0)
    assert (
        "a measure of this study&#39;s own <code>quality/brightness</code>" in html
        and "conv, depth 3, latent 64, dropout=0.0" in html
    )
