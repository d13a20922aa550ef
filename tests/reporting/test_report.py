"""A report says what a ledger says, at any moment of a sweep, and about ledgers that went wrong."""

import ast
import csv
import json
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic import floor_of, sweep

from study import report
from study.analysis.cell_table import cells
from study.analysis.claims import judged_in
from study.analysis.inference import median_interval, tuning_curve
from study.analysis.report_data import DatasetBasis, findings
from study.analysis.sentences import data_of
from study.analysis.sources import PAPERS
from study.analysis.verdicts import judge
from study.errors import UserError
from study.ledger.folder import Ledger
from study.metrics.catalogue import MEASURES, OVER_IMAGES, number
from study.mlflow_view.summary_run import summary_files
from study.reporting.build import write_report
from study.reporting.embedded_images import embedded, real_images
from study.reporting.glossary import explained as explained_in
from study.reporting.page import page
from study.reporting.tables import escaped, write_tables

NOWHERE = Path("/nowhere")


def shown(ledger, pictures={}) -> str:
    found = findings(ledger)
    return page(found, pictures, {dataset.name: (None, "no real images") for dataset in found.datasets}, 0)


def in_words(html: str) -> str:
    """What a reader sees, the scripts and their data left out."""
    read = re.sub(r"<(script|style).*?</\1>|</?dfn[^>]*>", "", html, flags=re.S)
    return " ".join(re.sub(r"<[^>]*>", " ", read).split())


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Ledger:
    return sweep(tmp_path_factory.mktemp("studies") / "latent_sweep", seeds=6, depths=(1, 2, 3))


@pytest.fixture(scope="module")
def written(finished) -> Path:
    return write_report(finished, NOWHERE).parent


def test_a_report_is_one_page_with_its_figures_and_tables(written):
    names = {path.name for path in written.iterdir()}
    assert {"report.html", "cells.csv", "trainings.csv", "verdicts.csv", "cells.tex", "verdicts.tex"} <= names
    for figure in ("board", "tuning", "cost", "losses", "epochs", "effects", "map-fd_rel", "map-coverage"):
        assert Image.open(written / f"{figure}-digits.png").width > 300
        assert (written / f"{figure}-digits.svg").read_text().lstrip().startswith("<?xml")


def test_the_page_answers_in_sentences_about_families_factors_and_claims(finished):
    first, *changes, last = findings(finished).answer
    assert re.search(r"fd_rel .*\(WGAN\).*\(GAN\) and .*\(VAE\).*cover .*\(WGAN\).*\(VAE\) and .*\(GAN\)", first)
    assert [re.match(r"From (.*?),", sentence)[1] for sentence in changes] == [
        "VAE to GAN",
        "VAE to WGAN",
        "GAN to WGAN",
        "latent size 2 to 8",
        "depth 1 to 3",
    ]
    assert "fd_rel gets better for VAE (−" in changes[3] and "fd_rel gets worse for VAE (+" in changes[4]
    assert re.match(r"Of the 14 claims that this study judges, these trainings support \d", last)
    words = in_words(shown(finished))
    places = [
        words.index(said) for said in ("The answer For fidelity on digits. Use a WGAN", first, *changes, last, "Verdicts Each")
    ]
    assert places == sorted(places)


def test_claims_are_told_with_author_title_and_year_of_the_report_that_they_are_from(finished):
    words = in_words(shown(finished))
    assert "source: report E, Pavan Balaji Kumar: Homework Exercise 4 (no year given)" in words
    assert (
        "report A, unnamed author: report without a title (no year given); report C, Yufei Hu: Project 4: Generative modeling (2018)"
        in words
    )


def test_every_paper_that_a_measure_names_is_a_link_with_its_title(finished):
    said = " ".join(measure.reads for measure in MEASURES if measure.key != OVER_IMAGES)  # a book of 1982
    assert set(re.findall(r"[A-Z]\w+ (?:et al\.|& \w+) \d{4}", said)) == PAPERS.keys()
    link = '<a href="https://arxiv.org/abs/2002.09797" rel="noreferrer">Naeem et al. 2020, “Reliable Fidelity and Diversity Metrics'
    assert link in shown(finished)


def test_every_section_marks_the_first_mention_of_a_term_that_the_glossary_explains(finished):
    html = shown(finished)
    explained = dict(re.findall(r'<dd id="(term-[^"]*)">(.*?)</dd>', html))
    assert "lower is better" in explained["term-fd_rel"] and "higher is better" in explained["term-coverage"]
    for section in re.findall(r"<section.*?</section>", html, re.S):
        marks = re.findall(r'<dfn tabindex="0" aria-describedby="([^"]*)">', section)
        assert len(set(marks)) == len(marks) and set(marks) <= explained.keys()
    answer = re.search(r'<section id="answer".*?</section>', html, re.S)[0]
    assert {"term-fd_rel", "term-coverage", "term-replicate", "term-latent-size", "term-wgan"} <= set(
        re.findall(r"term-[\w-]+", answer)
    )
    assert str(explained_in('<a title="fd_rel">fd_rel</a> <b>fd_rel</b> fd_rel_over')).count("<dfn") == 1


def test_no_sentence_names_a_winner_and_fidelity_stands_apart_from_coverage(finished):
    words = in_words(shown(finished))
    assert not re.search(r"\b(winner is|the best model|wins)\b", words)
    assert "Chosen by fidelity" in words and "Chosen by coverage" in words


def rows_of_csv(folder: Path) -> list[dict]:
    """The trainings as anyone can read them from the two tables."""

    def parsed(text):
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError):
            return text

    rows = [
        {name: parsed(value) for name, value in row.items() if value != ""}
        for row in csv.DictReader(open(folder / "trainings.csv"))
    ]
    places = {(row["trial"], row["seed"]): row for row in rows}
    csv.field_size_limit(10**7)
    for line in csv.DictReader(open(folder / "curves.csv")):
        places[line["trial"], int(line["seed"])][f"curve/{line['measure']}"] = json.loads(line["values"])
    return rows


def test_the_verdicts_are_what_the_statistics_give_on_the_csv(finished, written):
    again = judge(judged_in(["latent_sweep"], []), rows_of_csv(written))
    said = findings(finished).verdicts
    assert {verdict.word for verdict in said} > {"supported", "refuted"}
    for ours, theirs in zip(said, again, strict=True):
        assert (ours.word, ours.more, ours.missing) == (theirs.word, theirs.more, theirs.missing)
        assert ours.p_holm == pytest.approx(theirs.p_holm)
    table = {row["claim"]: row for row in csv.DictReader(open(written / "verdicts.csv"))}
    for verdict in said:
        assert table[verdict.claim.id]["verdict"] == verdict.word
        if verdict.deciding:
            assert float(table[verdict.claim.id]["effect"]) == pytest.approx(verdict.deciding.effect)


def test_a_verdict_names_the_data_that_it_is_from(finished, written):
    found = findings(finished)
    (seventh,) = (verdict for verdict in found.verdicts if verdict.claim.id == "C7")
    words = in_words(shown(finished))
    assert (seventh.word, data_of(seventh)) == ("refuted", "digits in place of mnist")
    assert "refuted on digits in place of mnist" in words and "supported on digits in place of mnist" in words
    assert re.search(
        r"support \d on digits in place of mnist \(C14\), refute \d on digits in place of mnist \(.*C7.*\)", found.answer[-1]
    )
    table = {row["claim"]: row for row in csv.DictReader(open(written / "verdicts.csv"))}
    assert table["C7"]["on"] == "digits in place of mnist"
    assert "refuted on digits in place of mnist" in (written / "verdicts.tex").read_text()


def test_the_statement_of_every_part_stands_beside_its_boundary(finished):
    words = in_words(shown(finished))
    assert "bound falls, held against −1 nats" in words and "in place of mnist" in words
    assert re.search(r"fidelity equivalent, held against ±0.0\d+ ", words)


def test_an_effect_is_the_median_paired_difference_of_the_csv(written):
    rows = [row for row in csv.DictReader(open(written / "trainings.csv")) if row["model"] == "vae" and row["stage"] == "confirm"]

    def score(latent, depth, seed):
        return next(
            float(row["quality/fd_rel"])
            for row in rows
            if (row["latent_dim"], row["depth"], row["seed"]) == (str(latent), str(depth), str(seed))
        )

    points = [np.mean([score(8, depth, seed) - score(2, depth, seed) for depth in (1, 2, 3)]) for seed in range(6)]
    low, high = median_interval(points)
    said = next(
        row
        for row in csv.DictReader(open(written / "effects.csv"))
        if (row["model"], row["factor"], row["measure"]) == ("vae", "latent_dim", "quality/fd_rel")
    )
    assert [float(said[name]) for name in ("effect", "low", "high")] == pytest.approx([np.median(points), low, high])
    assert said["pairs"] == "6"


def test_a_cell_is_the_median_of_its_confirm_seeds_with_an_interval(finished):
    found = findings(finished)
    cell = next(cell for cell in found.cells if cell.name == "gan-fc-d2-z8-digits")
    points = [row["quality/fd_rel"] for row in found.rows if row["cell"] == cell.name and row["stage"] == "confirm"]
    assert cell.replicates == 6 and cell.value("quality/fd_rel") == pytest.approx(np.median(points))
    low, high = cell.values["quality/fd_rel"].interval
    assert min(points) <= low < high <= max(points)


def test_under_five_seeds_the_points_stand_in_place_of_an_interval(tmp_path):
    found = findings(sweep(tmp_path / "few", seeds=3, draw=False))
    assert all(cell.values["quality/fd_rel"].interval is None for cell in found.cells)
    assert "(points: " in in_words(shown(Ledger(tmp_path / "few")))


def test_what_real_images_score_is_printed_when_the_study_has_measured_it(tmp_path):
    ledger = sweep(tmp_path / "study", draw=False)
    assert "has not been measured" in in_words(shown(ledger))
    (ledger.root / "floors.json").write_text(json.dumps({"digits": {"quality/fd_rel": 0.0243}}))  # of a version before
    assert "has not been measured" in in_words(shown(ledger))
    (ledger.root / "floors.json").write_text(json.dumps({"digits": floor_of(0.0243, 0.004)}))
    words = in_words(shown(ledger))
    assert "where real images score 0.0243 ± 0.004 against each other" in words
    assert "digits 360 against 360; fd_rel and label_jsd against 2,500 with replacement 0.0243 ± 0.004 –" in words


def test_an_unfinished_sweep_says_what_is_missing(tmp_path):
    ledger = sweep(tmp_path / "study", models=("vae",), draw=False)
    with open(ledger.root / "planned.jsonl", "a") as file:
        file.write(
            json.dumps({"cell": "wgan-fc-d1-z2-digits", "model": "wgan", "dataset": "digits", "planned": 5, "trials": []}) + "\n"
        )
    words = in_words(shown(ledger))
    assert "The sweep is not finished: 16 of 21 trials are" in words
    assert "1 cells lack trials" in words and "wgan-fc-d1-z2-digits (all 5)" in words
    assert "python study/launch.py --space study" in words


def test_search_trials_alone_are_reported_as_such(tmp_path):
    found = findings(sweep(tmp_path / "study", confirm=False, draw=False))
    assert {cell.stage for cell in found.cells} == {"search"} and not found.effects
    assert "validation images of the search" in found.answer[0]
    best = min(row["quality/fd_rel"] for row in found.rows if row["cell"] == "vae-fc-d1-z2-digits")
    cell = next(cell for cell in found.cells if cell.name == "vae-fc-d1-z2-digits")
    assert cell.value("quality/fd_rel") == best


def test_a_ledger_without_its_plan_is_reported(tmp_path):
    assert "cannot be told" in in_words(shown(sweep(tmp_path / "study", planned=False, draw=False)))


@pytest.mark.parametrize("made", [False, True])
def test_an_empty_ledger_is_refused_in_one_line(tmp_path, made):
    if made:
        (tmp_path / "study" / "trials" / "vae-fc-d1-z2-digits-search-000-0123456789").mkdir(parents=True)
    with pytest.raises(UserError, match="no trial of 'study' .* is finished yet"):
        findings(Ledger(tmp_path / "study"))


def test_one_trial_makes_a_report(tmp_path):
    ledger = sweep(tmp_path / "study", models=("gan",), depths=(1,), latents=(2,), proposals=1, confirm=False)
    words = in_words(write_report(ledger, NOWHERE).read_text())
    assert "1 cells" in words and "cannot be told yet" in words


def test_a_study_in_which_everything_diverged_makes_a_report(tmp_path):
    ledger = sweep(tmp_path / "study", world=lambda cell: {"status": "diverged"})
    words = in_words(write_report(ledger, NOWHERE).read_text())
    assert "all of them diverged or failed" in words
    assert "6 of 6" not in words and "24 of 24, 86 to 100 %" in words  # four cells of six seeds of every family


def test_a_diverged_training_is_counted_as_the_worst_and_not_dropped(tmp_path):
    count = {"seen": 0}

    def world(cell):
        count["seen"] += 1
        return {"status": "diverged"} if count["seen"] == 5 else {}

    found = findings(
        sweep(tmp_path / "study", models=("vae",), depths=(1,), latents=(2,), proposals=2, seeds=6, world=world, draw=False)
    )
    cell = found.cells[0]
    assert cell.diverged[:2] == (1, 6) and len(cell.values["quality/fd_rel"].points) == 6
    assert max(cell.values["quality/fd_rel"].points) == 1.0  # what a single constant image scores
    assert max(cell.values["time/train_s"].points) == 3.0  # cost is what it was


def test_a_measure_that_old_trials_lack_is_left_blank(tmp_path):
    def world(cell):
        return {"quality/coverage": None, "modes/classes": None} if cell["model"] == "gan" else {}

    ledger = sweep(tmp_path / "study", world=world, draw=False)
    found = findings(ledger)
    gan = next(cell for cell in found.cells if cell.model == "gan")
    assert "quality/coverage" not in gan.values and "quality/fd_rel" in gan.values
    assert next(leader for leader in found.leaders if leader.model == "gan").coverage is None
    assert "GAN" in in_words(shown(ledger))


def test_scores_of_different_features_are_never_set_side_by_side(tmp_path):
    ledger = sweep(tmp_path / "study", models=("vae",), draw=False)
    sweep(tmp_path / "study", models=("vae",), draw=False, features="0" * 16)  # planned last
    found = findings(ledger)
    assert {dataset.features for dataset in found.datasets} == {"0" * 16}
    assert found.notes[0] == (
        "digits: 16 trials were measured with other features, whose scores do not compare; only those of"
        " features 0000000000000000 are shown"
    )
    assert found.notes[0] in in_words(shown(ledger))


def test_trials_of_another_budget_are_left_out_and_counted(tmp_path):
    ledger = sweep(tmp_path / "study", models=("vae",), draw=False)
    sweep(tmp_path / "study", models=("vae",), draw=False, epochs=3, batch_size=64)
    found = findings(ledger)
    assert {cell.batch_size for cell in found.cells} == {64} and "16 trials of other budgets" in found.notes[0]


def test_failed_trials_are_named_with_what_runs_them_again(tmp_path):
    ledger = sweep(tmp_path / "study", models=("vae",), draw=False)
    key = next(key for key in ledger.keys() if "confirm" in key)
    path = ledger.folder(key) / "result.json"
    path.write_text(
        json.dumps(
            {
                **json.loads(path.read_text()),
                "status": "failed",
                "replicas": [],
                "measures": {},
                "objective": None,
                "error": "out of memory",
            }
        )
    )
    words = in_words(shown(ledger))
    assert "1 trials failed" in words and "--retry-failed" in words


def test_names_and_values_that_look_like_markup_stay_text(tmp_path):
    evil = "folder:</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
    ledger = sweep(tmp_path / "study", models=("vae",), depths=(1,), latents=(2,))
    for key in ledger.keys():
        path = ledger.folder(key) / "spec.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "dataset": evil, "system": evil, "params": {evil: evil}}))
    html = shown(ledger)
    assert "<script>alert" not in html and "<img src=x" not in html
    assert html.count("</script>") == html.count("<script")
    assert "&lt;script&gt;alert(1)" in html


def test_the_page_asks_nothing_of_the_network_and_runs_no_script_but_its_own(written):
    html = (written / "report.html").read_text()
    assert "default-src 'none'" in html and re.search(r"script-src 'sha256-[A-Za-z0-9+/=]+'", html)
    assert not re.search(r"(src|href)=\"(?!data:|#)", re.sub(r'<a href="https://arxiv.org/abs/[\d.]+" rel="noreferrer">', "", html))
    assert "url(" not in html and "@import" not in html


def test_pictures_fill_the_room_with_the_last_samples_first(finished):
    cells = findings(finished).cells
    everything, left_out = embedded(cells, finished.root, 10**8)
    assert left_out == 0 and all(set(kinds["samples"]) == set(range(7)) for kinds in everything.values())
    size = sum(len(text) for text in (kinds["samples"][6] for kinds in everything.values()))
    few, left_out = embedded(cells, finished.root, size + 60 * len(cells))
    assert left_out > 0 and all(kinds == {"samples": {6: kinds["samples"][6]}} for kinds in few.values())
    assert len(few) == len(cells)


def test_a_damaged_picture_is_passed_over(tmp_path):
    ledger = sweep(tmp_path / "study", models=("vae",), depths=(1,), latents=(2,))
    found = findings(ledger)
    for _, path in found.cells[0].pictures["samples"]:
        (ledger.root / path).write_bytes(b"no picture")
    pictures, _ = embedded(found.cells, ledger.root, 10**7)
    assert "samples" not in pictures["vae-fc-d1-z2-digits"] and "reconstructions" in pictures["vae-fc-d1-z2-digits"]
    write_report(ledger, NOWHERE)


def test_real_images_come_from_the_ledger_where_the_data_is_not_at_hand(tmp_path):
    ledger = sweep(tmp_path / "study", models=("vae", "gan"), depths=(1,), latents=(2,))
    found = findings(ledger)
    vae, gan = found.cells
    picture, words = real_images(found.datasets[0], [gan, vae], ledger.root, NOWHERE)
    pairs = np.asarray(Image.open(ledger.root / vae.pictures["reconstructions"][-1][1]))
    assert np.array_equal(np.asarray(picture)[:32], pairs[:32]) and np.array_equal(np.asarray(picture)[33:65], pairs[66:98])
    picture, words = real_images(found.datasets[0], [gan], ledger.root, NOWHERE)
    assert picture is None and "no real images" in words


def test_real_images_are_the_datasets_own_where_it_is_at_hand(tmp_path, data_dir):
    from study.data import digits

    images = digits.prepare(data_dir)
    basis = DatasetBasis("digits", features="", fingerprint=images.fingerprint, trials=1)
    picture, words = real_images(basis, [], tmp_path, data_dir)
    assert picture.size == (263, 131) and words == "training images"
    assert real_images(replace(basis, fingerprint="other"), [], tmp_path, data_dir)[0] is None


def test_what_the_choice_of_held_out_images_does_is_said_beside_the_intervals(tmp_path):
    ledger = sweep(tmp_path / "study", models=("vae",), world=lambda cell: {"quality/fd_rel_over_images": 0.01}, draw=False)
    found = findings(ledger)
    deviations = [np.std(cell.values["quality/fd_rel"].points, ddof=1) for cell in found.cells]
    assert found.image_shares == {"digits": pytest.approx(np.median([0.01 / deviation for deviation in deviations]))}
    assert (
        f"In no interval: which images are held out. Others would move a cell's fd_rel by {number(found.image_shares['digits'])}"
        in (in_words(shown(ledger)))
    )


def test_random_proposals_stand_apart_from_the_samplers(tmp_path):
    ledger = sweep(tmp_path / "study", models=("vae",), depths=(1,), latents=(2,), proposals=4, draw=False)
    keys = sorted(key for key in ledger.keys() if "search" in key)
    scores = [ledger.result(key).objective for key in keys]
    path = ledger.folder(keys[3]) / "spec.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "proposed_by": "tpe"}))
    row = findings(ledger).tuning[0]
    assert row.default == scores[0] and row.tpe == (scores[3],)
    assert row.random == pytest.approx(tuning_curve(scores[1:3]).tolist())


def test_latex_tables_escape_what_latex_reads_as_commands(tmp_path):
    assert escaped("50 % of a_b & {c} ~ −1 \\x") == r"50 \% of a\_b \& \{c\} \textasciitilde{} $-$1 \textbackslash{}x"
    ledger = sweep(tmp_path / "study", models=("vae",), draw=False)
    write_tables(findings(ledger), tmp_path)
    lines = (tmp_path / "cells.tex").read_text().splitlines()
    assert lines[0] == r"\begin{tabular}{" + "l" * 10 + "}" and lines[-1] == r"\end{tabular}"
    assert all(line.count(" & ") == 9 for line in lines[4:-2])


def test_the_command_writes_where_it_is_told_and_says_where(tmp_path, capsys):
    ledger = sweep(tmp_path / "study", models=("vae",), depths=(1,), latents=(2,))
    assert (
        report.main(["--space", "study", "--storage", str(tmp_path), "--data-dir", "/nowhere", "--out", str(tmp_path / "out")]) == 0
    )
    assert (tmp_path / "out" / "report.html").exists() and not (ledger.root / "report").exists()
    assert f"report: file://{tmp_path}/out/report.html" in capsys.readouterr().out


def test_a_report_that_may_not_be_written_there_is_one_line_that_says_how_to_have_it(tmp_path):
    sweep(tmp_path / "study", models=("vae",), depths=(1,), latents=(2,))
    with pytest.raises(UserError, match="/sys/report.* --out"):
        report.main(["--space", "study", "--storage", str(tmp_path), "--data-dir", "/nowhere", "--out", "/sys/report"])


@pytest.mark.long
def test_five_hundred_trials_make_a_page_under_15_mb(tmp_path):
    ledger = sweep(
        tmp_path / "study", nets=("fc", "conv"), depths=(1, 2, 3), latents=(2, 8, 32), datasets=("digits", "mnist"), proposals=4
    )
    assert len(ledger.keys()) == 540
    assert write_report(ledger, NOWHERE).stat().st_size < 15e6


@pytest.mark.long
def test_ten_thousand_trials_are_reported_in_a_minute_or_so(tmp_path):
    ledger = sweep(
        tmp_path / "study",
        nets=("fc", "conv"),
        depths=range(1, 8),
        latents=(2, 4, 8, 16, 32, 64),
        epochs=6,
        datasets=("digits", "mnist", "cifar10", "imagenette"),
        proposals=9,
        seeds=6,
    )
    assert len(ledger.keys()) == 10_080
    start = time.process_time()  # so that a machine shared with other work is not blamed
    path = write_report(ledger, NOWHERE)
    seconds = time.process_time() - start
    print(f"report of 10,080 trials: {seconds:.0f} s of one core, {path.stat().st_size / 1e6:.1f} MB")
    assert seconds < 100  # 65 alone on two slow cores, 77 beside another test
    assert path.stat().st_size < 15e6


def test_a_name_with_dollar_signs_is_a_name_and_no_formula(tmp_path):
    name = "folder:/from $5^{ to $6_, 50 % #1?"
    ledger = sweep(tmp_path / "made_up", models=("vae",), seeds=2, planned=False, dataset=name, system="A $^{ b $")
    figures = {path.name.split("-")[0]: path.read_text() for path in write_report(ledger, NOWHERE).parent.glob("*.svg")}
    assert name in figures["tuning"] and "A $^{ b $" in figures["board"]
    assert any(file.endswith(".png") for file in summary_files(ledger, cells(ledger)))
