"""The claims get the right verdict on made-up trainings whose truth is known, and say so when they cannot."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from claim_worlds import FIFTY, GANS, THREE_SETS, TWO_SETS, VAES, WORLDS, along, log2, trainings

from study.analysis.claims import CLAIMS, judged_in
from study.analysis.comparisons import Levels, Pair, Table, tabulate
from study.analysis.outcomes import (
    as_measured,
    cost_in_doublings,
    early_and_end,
    epochs_to_arrive,
    rates,
    spread_over_proposals,
    trend_over_training,
)
from study.analysis.rules import doubles, equivalent, exceeds_half, falls, is_below, is_flat, rises, stays_below
from study.analysis.sentences import data_of
from study.analysis.verdicts import THE_FAMILY, THESE_CELLS, Claim, Part, judge, p_refute, seed_deviations


def diverge(row):
    """The same training, diverged: it keeps its place and its cost, but has no measures."""
    kept = {key: value for key, value in row.items() if "/" not in key or key.startswith("time/")}
    return {**kept, "status": "diverged"}


def verdict(claim, rows, about=None):
    """The verdict on one claim among all; about: what it is taken to be about, other than it says."""
    claims = [replace(each, about=about) if about and each.id == claim else each for each in CLAIMS]
    return next(found for found in judge(claims, rows) if found.claim.id == claim)


@pytest.mark.parametrize("claim", WORLDS)
@pytest.mark.parametrize("word", ["supported", "refuted"])
def test_a_claim_is(claim, word):
    factors, true, false = WORLDS[claim]
    found = verdict(claim, trainings(true if word == "supported" else false, **factors))
    assert found.word == word, found
    assert found.p_holm <= 0.05 and found.deciding.effect is not None and found.deciding.interval


TRUE_OF_NOTHING = {"C17", "C18", "C22"}  # that there is no trend, and no gain
HALVES = {"C7", "C14", "C25"}


def false_verdicts(rows):
    """Of a table without any effect, and with shares of exactly one half: what may not be said of it."""
    words = {found.claim.id: found.word for found in judge(CLAIMS, rows)}
    return [
        claim
        for claim, word in words.items()
        if (word == "supported" and claim not in TRUE_OF_NOTHING) or (word == "refuted" and claim in TRUE_OF_NOTHING | HALVES)
    ]


def nothing(row):
    return {
        "collapse": 0.5,
        "quality/precision": 0.5,
        **along("path", 0.5),
        **along("path_real", 0.5),
        "likelihood/class_kept": 0.5,
    }


@pytest.mark.long
def test_a_table_without_effects_hardly_ever_gets_a_false_verdict():
    tables = 25
    wrong = sum(
        bool(false_verdicts(trainings(nothing, rng=100 + seed, depth=[1, 2], net=["fc", "conv"], seeds=6, proposals=2)))
        for seed in range(tables)
    )
    print(f"tables with any false verdict over all claims: {wrong} of {tables}")
    assert wrong <= 0.05 * tables


@pytest.mark.long
def test_a_table_in_which_every_claim_can_be_answered_gets_a_false_verdict_in_under_5_percent():
    tables = 30
    factors = {
        "net": ["fc", "conv"],
        "depth": [2, 4],
        "latent_dim": [10, 20, 100, 200, 350, 750, 1000],
        "dataset": ["mnist", "cifar10", "imagenette"],
    }
    wrong = [false_verdicts(trainings(nothing, rng=1000 + seed, proposals=2, **factors)) for seed in range(tables)]
    print(f"tables with any false verdict over all claims: {sum(map(bool, wrong))} of {tables}: {wrong}")
    assert sum(map(bool, wrong)) <= 0.05 * tables


def test_what_is_missing_is_named():
    found = verdict("C9", trainings())
    assert found.word == "unanswerable"
    assert "model gan" in found.missing[0] and "latent_dim 350 or 500" in found.missing[0]
    assert "curve/loss/critic/distance" in verdict("C8", trainings(model=["vae", "gan"])).missing[0]
    assert "two levels of depth" in verdict("C3", trainings(depth=[2])).missing[0]
    assert all(found.word == "unanswerable" for found in judge(CLAIMS, []))


def test_a_claim_fails_with_one_of_its_parts_even_while_another_has_no_cells():
    found = verdict("C2", trainings(latent_dim=[2, 8], **VAES, **THREE_SETS))
    assert found.word == "refuted" and found.deciding.part.label == "gain up to 20" and found.missing


def test_an_undecided_claim_says_how_many_seeds_would_decide_it_and_they_do():
    def slight(row):
        return {"likelihood/recon": 80 + 1.6 * log2(row)}

    factors = {"model": ["vae"], "latent_dim": [50, 100], "depth": [2]}
    few = verdict("C1", trainings(slight, seeds=6, **factors), THESE_CELLS)
    assert few.word == "undecided"
    advised = int(few.more.split("--replicates ")[1])
    assert few.more == f"{advised - 6} more paired replicates: --replicates {advised}" and advised >= 10
    assert verdict("C1", trainings(slight, seeds=advised, **factors), THESE_CELLS).word == "supported"


def test_where_cells_disagree_no_seeds_are_advised_but_the_cells_are_named():
    def opposed(row):
        return {"likelihood/recon": 80 + 4 * log2(row) * (2 - row["depth"])}

    found = verdict("C1", trainings(opposed, seeds=6, **FIFTY), THESE_CELLS)
    assert found.word == "undecided" and "--replicates" not in found.more
    assert found.more.startswith("no number of replicates: the effect differs between cells; reconstruction holds in")
    holds, fails = found.more.split(" and not in ")
    assert "mnist vae fc depth 1 (+" in holds and "depth 3 (-" in fails and "depth 3" not in holds


def test_a_law_about_a_family_is_not_decided_by_a_few_cells_and_says_how_many_would_do():
    """Three cells have a least p of 2 / 2^3, whatever the seeds; what holds in them alone is said, and by nine it is a law."""
    few = verdict("C1", trainings(WORLDS["C1"][1], seeds=10, **FIFTY), THE_FAMILY)
    assert few.word == "undecided" and few.findings[0].p_for == 2 / 2**3
    assert few.findings[0].pairs == "cells" and len(few.findings[0].points) == 3 and few.findings[0].interval is None
    advised = int(re.fullmatch(r"\d more cells: (\d+) would do; in these cells alone reconstruction holds", few.more)[1])
    enough = verdict("C1", trainings(WORLDS["C1"][1], depth=range(advised), seeds=4, **FIFTY), THE_FAMILY)
    assert enough.word == "supported" and len(enough.deciding.points) == advised


def test_a_law_about_a_family_is_held_to_its_cells_where_seeds_would_decide_on_their_own():
    """Cells that rise and fall by chance, seeds that agree: their average is not 0, but it is no law."""

    def by_chance(row):
        return {"likelihood/recon": 80 + 2 * log2(row) * (1 if row["depth"] < 7 else -1)}

    rows = trainings(by_chance, depth=range(10), seeds=6, **{**VAES, "latent_dim": [50, 100]})
    any_rise = replace(CLAIMS[0], parts=(replace(CLAIMS[0].parts[0], margin=0.0),))
    these, family = (judge([replace(any_rise, about=about)], rows)[0] for about in (THESE_CELLS, THE_FAMILY))
    assert (these.word, family.word) == ("supported", "undecided")
    assert "more cells: " in family.more and "holds in mnist vae fc depth 0 (+2)" in re.sub(r"\+\d\.\d+", "+2", family.more)


def test_cells_that_differ_by_chance_alone_are_hardly_ever_said_to():
    """All of them exactly at the boundary, where their signs are a coin's."""
    studies = [
        trainings(lambda row: {"likelihood/recon": 80 + log2(row)}, rng=seed, proposals=1, model=["vae"], latent_dim=[50, 100])
        for seed in range(25)
    ]
    advice = [judge([CLAIMS[0]], rows)[0].more for rows in studies]
    said = sum("differs between cells" in more for more in advice)
    print(f"three cells at the boundary said to differ: {said} of {len(advice)}")
    assert said <= 1 and any("--replicates" in more or "no practical number" in more for more in advice)


def test_a_comparison_of_cells_is_not_told_to_add_seeds():
    found = verdict("C13", trainings(model=["vae", "gan"], depth=[1], proposals=3))
    assert found.word == "undecided" and re.fullmatch(r"\d+ more cells: \d+ would do", found.more)


def tuned(spreads, cells=1, replicates=8, rng=0):
    """Search rows of replicates: the default, seven quasi-random proposals of a spread in doublings, and some of a sampler."""
    rng, about = np.random.default_rng(rng), {"net": "fc", "depth": 1, "dataset": "digits", "stage": "search", "status": "done"}
    return [
        {**about, "model": model, "latent_dim": 2**cell, "seed": seed, "proposed_by": by, "quality/fd_rel": 0.3 * 2**value}
        for model, spread in spreads.items()
        for cell in range(cells)
        for seed in range(replicates)
        for by, count, scale in (("default", 1, 0), ("quasi-random", 7, spread), ("gp", 8, 5 if model == "vae" else 0))
        for value in rng.normal(0, scale, count)
    ]


def test_stability_across_hyperparameters_is_compared_over_tunings_by_their_quasi_random_proposals():
    found = verdict("C13", tuned({"vae": 0.1, "gan": 1.0}), THESE_CELLS)
    assert found.word == "supported" and len(found.deciding.points) == 8 and found.deciding.pairs == "seeds"
    assert found.deciding.effect == pytest.approx(math.log2(1.0 / 0.1), abs=0.5)
    assert verdict("C13", tuned({"vae": 0.1, "gan": 1.0})).word == "undecided"  # of one cell
    assert verdict("C13", tuned({"vae": 0.6, "gan": 0.3}, cells=8)).word == "refuted"


def test_cost_is_compared_over_cells_because_their_seeds_share_a_clock():
    cost = verdict("C10", trainings(WORLDS["C10"][1], **TWO_SETS, seeds=12)).findings[-1]
    assert cost.part.label == "cost" and len(cost.points) == 2 * 3 * 3  # datasets, depths, latent sizes


def test_below_five_seeds_there_are_points_and_no_interval():
    finding = verdict("C1", trainings(seeds=4, **FIFTY)).findings[0]
    assert finding.interval is None and len(finding.points) == 4


def test_mnist_answers_for_mnist_and_digits_only_where_it_is_missing():
    def data(*datasets):
        found = verdict("C7", trainings(WORLDS["C7"][2], model=["gan"], dataset=[*datasets]))
        assert found.word == "refuted"
        return data_of(found)

    assert data("digits", "mnist") == "mnist"
    assert data("digits", "mnist-binarised") == "mnist-binarised"
    assert data("digits") == "digits in place of mnist"


def test_a_claim_about_any_data_names_those_it_was_tested_on_and_one_without_a_verdict_none():
    false = trainings(WORLDS["C1"][2], dataset=["digits", "mnist"], **FIFTY)
    assert data_of(verdict("C1", false)) == "digits and mnist"
    assert data_of(verdict("C9", false)) == ""


def test_a_claim_is_not_supported_by_those_of_its_parts_that_could_be_tested():
    rows = trainings(WORLDS["C14"][1], model=["vae"])
    found = verdict("C14", rows)
    assert found.findings[0].p_for < 0.001 and found.word == "unanswerable"


def test_a_dataset_of_another_scale_does_not_drown_the_others():
    def scaled(row):
        return {"likelihood/recon": 80 + 4 * log2(row), "instability": 1000 if row["dataset"] == "cifar10" else 1}

    found = verdict("C1", trainings(scaled, **FIFTY, **THREE_SETS), THE_FAMILY)
    assert found.word == "supported" and len(found.deciding.by_block) == 9


def test_averaged_losses_do_not_answer_for_summed_ones():
    def averaged_falls(row):
        return {"likelihood/recon": 80 + 4 * log2(row) * (1 if row["reduction"] == "sum" else -3)}

    rows = trainings(averaged_falls, reduction=["sum", "mean"], **FIFTY)
    assert verdict("C1", rows).word == "supported"


def test_a_diverged_training_counts_as_the_worst_and_is_never_dropped():
    rows = [
        diverge(row) if row["latent_dim"] == 200 and row["stage"] == "confirm" and row["seed"] < 8 else row
        for row in trainings(WORLDS["C5"][1], **WORLDS["C5"][0])
    ]
    found = verdict("C5", rows)
    assert found.word == "refuted"  # the four seeds in twelve that did not diverge alone would support it
    assert found.deciding.diverged[:2] == (24, 72)


def test_where_all_trainings_of_an_unbounded_measure_diverged_nothing_can_be_said():
    rows = [diverge(row) if row["model"] == "vae" else row for row in trainings()]
    assert verdict("C1", rows).word == "unanswerable"


def test_a_failed_training_has_no_outcome():
    rows = [{**row, "status": "failed"} if row["seed"] == 7 else row for row in trainings(WORLDS["C1"][1], **FIFTY)]
    found = verdict("C1", rows)
    assert found.word == "supported" and len(found.deciding.points) == 7 and found.deciding.diverged[1] == 63


def test_a_block_that_is_hardly_begun_costs_the_others_no_seeds():
    rows = [row for row in trainings(WORLDS["C1"][1], **FIFTY) if row["depth"] != 3 or row["seed"] < 2]
    finding = verdict("C1", rows).deciding
    assert len(finding.points) == 8 and finding.left_out == ("mnist vae fc depth 3",)


def test_fidelity_and_coverage_are_answered_apart():
    parts = {finding.part.label: finding for finding in verdict("C6", trainings(WORLDS["C6"][2]), THESE_CELLS).findings}
    assert parts["fidelity"].p_against < 0.001 and parts["fidelity"].part.measure != parts["coverage"].part.measure


def test_the_claims_are_there_in_order_each_with_its_worlds_and_all_say_where_they_can_be_answered():
    assert [claim.id for claim in CLAIMS] == [f"C{number}" for number in range(1, 26)] == list(WORLDS)
    assert all(claim.spaces and claim.parts and claim.source for claim in CLAIMS)


def test_a_study_judges_the_claims_that_its_space_is_about_and_no_others():
    own = replace(CLAIMS[0], id="X1")
    assert {"C5", "C9", "C16"}.isdisjoint(claim.id for claim in judged_in(["latent_sweep"], []))
    assert [claim.id for claim in judged_in(["bottleneck_20"], [own])] == ["C15", "C19", "C20", "X1"]
    assert judged_in(["of_my_own"], [own]) == (own,) and judged_in(["of_my_own"], []) == ()


# The outcomes and rules the claims are made of


def row(**entries):
    return {
        "dataset": "mnist",
        "model": "gan",
        "net": "conv",
        "depth": 1,
        "latent_dim": 2,
        "stage": "confirm",
        "seed": 0,
        "status": "done",
        **entries,
    }


def values(rows):
    return [found["value"] for found in rows]


def test_the_worst_value_is_the_worst_seen_or_the_limit_of_the_measure():
    gone = row(status="diverged")
    assert values(as_measured([row(**{"likelihood/recon": 90.0}), gone], "likelihood/recon")) == [90, 90]
    assert values(as_measured([row(**{"quality/fd_rel": 0.2}), gone], "quality/fd_rel")) == [0.2, 1]
    assert values(as_measured([row(**{"quality/fd_rel": 7.0}), gone], "quality/fd_rel")) == [7, 7]
    assert values(as_measured([row(**{"quality/coverage": 0.5}), gone], "quality/coverage")) == [0.5, 0]
    nan = row(**{"likelihood/elbo": math.nan})
    assert values(as_measured([row(**{"likelihood/elbo": -9.0}), nan], "likelihood/elbo")) == [-9, -9]


def test_seeds_that_share_a_clock_are_one_measurement_of_cost():
    rows = [row(seed=seed, depth=depth, **{"time/step_ms": 4.0 * depth}) for seed in range(8) for depth in (1, 2)]
    assert sorted(values(cost_in_doublings(rows, "time/step_ms"))) == [2, 3]


def test_a_curve_is_read_where_it_was_measured():
    curve = [3.0, None, 2.0, None, 1.0, None, 1.05]
    rows = [row(**{"curve/x/y": curve}), row(status="diverged", **{"curve/x/y": [3.0, 2.0, None]})]
    assert values(trend_over_training(rows, "curve/x/y")) == [pytest.approx(-2 / 3), 1]
    assert values(epochs_to_arrive(rows, "curve/x/y")) == [4, 7]
    assert values(early_and_end(rows, "curve/x/y")) == [2.0, 1.05, 3.0, 3.0]


def test_a_training_that_diverged_after_half_way_has_got_worse():
    rows = [row(**{"curve/x/y": [3.0, 2.0, 1.0, 0.9, 0.8]}), row(status="diverged", **{"curve/x/y": [3.0, 2.0, 1.5, None, None]})]
    assert values(early_and_end(rows, "curve/x/y")) == [1.0, 0.8, 1.5, 3.0]


def test_divergences_alone_say_nothing_about_a_measure_that_was_never_taken():
    rows = [row(), row(status="diverged")]
    assert [find(rows, "quality/coverage") for find in (as_measured, trend_over_training, early_and_end)] == [[], [], []]


def test_a_spread_over_proposals_needs_two_and_counts_a_diverged_one_as_the_worst():
    rows = [row(**{"quality/fd_rel": 0.25}), row(**{"quality/fd_rel": 0.25}), row(depth=2, **{"quality/fd_rel": 0.3})]
    assert values(spread_over_proposals(rows, "quality/fd_rel")) == [pytest.approx(math.log2(1e-6))]
    assert values(spread_over_proposals([*rows, row(status="diverged")], "quality/fd_rel")) == [
        pytest.approx(math.log2(np.std([-2, -2, 0], ddof=1)))
    ]


def test_collapse_and_divergence_have_rates_with_intervals():
    rows = [row(**{"modes/classes": classes}) for classes in (3.0, 4.0, 5.0, 10.0)] + [row(status="diverged")]
    found = rates(rows + [row(status="failed")])["mnist", "gan", "conv"]
    assert found["diverged"][:2] == (1, 5) and found["collapsed"][:2] == (3, 5)
    assert 0 < found["collapsed"][2] < 3 / 5 < found["collapsed"][3] < 1


def test_levels_are_the_least_and_the_largest_that_all_blocks_with_several_share():
    rows = [row(dataset="mnist", latent_dim=latent) for latent in (2, 20, 50)]
    rows += [row(dataset="cifar10", latent_dim=latent) for latent in (2, 20, 50, 1000)] + [row(depth=4, latent_dim=7)]
    assert Levels("latent_dim").arms(rows) == ({"latent_dim": 2}, {"latent_dim": 50})
    assert Levels("latent_dim", (20, 1000)).arms(rows) == ({"latent_dim": 20}, {"latent_dim": 50})
    assert Levels("latent_dim", (100, 1000)).arms(rows) == ()


def test_only_seeds_that_both_arms_have_are_paired():
    rows = [
        row(latent_dim=latent, seed=seed, value=latent + seed) for latent, seed in [(2, 0), (2, 1), (2, 2), (8, 1), (8, 2), (8, 5)]
    ]
    table = tabulate(rows, Pair({"latent_dim": 2}, {"latent_dim": 8}).arms(rows), ("dataset", "latent_dim"))
    assert table.seeds == (1, 2) and table.values.tolist() == [[[3, 4], [9, 10]]]


BOUNDARIES = {rises: 1, falls: -1, stays_below: 1, equivalent: 1, doubles: 1}  # of what changes, at a margin of 1
OF_ONE_ARM = {is_below: -1, is_flat: 1, exceeds_half: 0.5}


def evidence_at(rule, truth, seed, margin=1.0, seeds=8):
    """What a rule says of one block of trainings with a deviation of half a margin."""
    noise = np.random.default_rng(seed).normal(0, 0.5, (1, 2, seeds))
    noise[:, 0 if rule in OF_ONE_ARM else 1] += truth
    return rule(noise, np.full((1, 1), margin))


@pytest.mark.parametrize("rule", [*BOUNDARIES, *OF_ONE_ARM])
def test_a_statement_is_never_shown_and_refuted_at_once(rule):
    """At half a margin, where what rises too little to matter was both in a sixth of all studies, and at the boundary."""
    boundary = {**BOUNDARIES, **OF_ONE_ARM}[rule]
    found = [evidence_at(rule, share * boundary, seed) for share in (0.5, 1) for seed in range(300)]
    assert all(max(evidence.p_for, evidence.p_against) > 0.9 for evidence in found)


@pytest.mark.parametrize("rule", [*BOUNDARIES, *OF_ONE_ARM])
def test_both_words_are_held_to_the_same_level(rule):
    studies, boundary = 800, {**BOUNDARIES, **OF_ONE_ARM}[rule]
    found = [evidence_at(rule, boundary, seed) for seed in range(studies)]
    shown, refuted = (
        np.mean([p <= 0.05 for p in side]) for side in zip(*((evidence.p_for, evidence.p_against) for evidence in found))
    )
    print(f"{rule.__name__} at its boundary: shown {shown:.3f}, refuted {refuted:.3f}")
    assert max(shown, refuted) <= 0.025 + 2 * (0.025 * 0.975 / studies) ** 0.5


@pytest.mark.parametrize("rule, shown, excluded", [(rises, 2, 0), (falls, -2, 0), (stays_below, 0, 2), (equivalent, 0, -2)])
def test_a_rule_tells_what_is_shown_from_what_is_excluded_by_its_margin(rule, shown, excluded):
    noise, margins = np.random.default_rng(0).normal(0, 0.2, (1, 2, 10)), np.ones((1, 1))
    for truth in (shown, excluded):
        evidence = rule(noise + [[[0], [truth]]], margins)
        assert evidence.effects.mean() == pytest.approx(truth, abs=0.3)
        assert (evidence.p_for <= 0.05, evidence.p_against <= 0.05) == (truth == shown, truth == excluded)


def lost(values, share, rng):
    """Values (blocks, arms, seeds) of which a share diverged and counts as the worst, with what did not."""
    finished = rng.random(values.shape) >= share
    return np.where(finished, values, 20.0), finished


@pytest.mark.parametrize("rule, truth", [(rises, 2.0), (equivalent, 3.0)])
def test_divergences_do_not_widen_the_margin_of_one_seed_deviation(rule, truth):
    """With a tenth diverged, counted as worst at 20 deviations: a rise of two is not refuted, one of three not none."""
    rng, wrong, studies = np.random.default_rng(0), {"finished": 0, "all": 0}, 400
    for _ in range(studies):
        values, finished = lost(rng.normal(size=(1, 2, 8)) + [[[0], [truth]]], 0.1, rng)
        for word, kept in (("finished", finished), ("all", np.ones_like(finished))):
            evidence = rule(values, seed_deviations(Table(values, kept, ("",), (), ())))
            wrong[word] += (evidence.p_against if rule is rises else evidence.p_for) <= 0.05
    print(f"{rule.__name__} at {truth} deviations, 10 % diverged, false word: {wrong} of {studies}")
    assert wrong["finished"] <= 0.025 * studies and wrong["all"] > wrong["finished"]


@pytest.mark.parametrize("draw, most", [("normal", 0.025), ("exponential", 0.045)])
def test_a_margin_that_is_estimated_is_not_taken_as_known(draw, most):
    """Effects of exactly one seed deviation, in three blocks of eight seeds: neither above it nor below it."""
    values = getattr(np.random.default_rng(0), draw)(size=(2_000, 3, 2, 8))
    values[..., 1, :] += 1  # the deviation of either
    estimated = seed_deviations(Table(values, np.ones(values.shape, bool), (), (), ()))
    as_known, found = (rises(values, margins) for margins in (estimated.mean(-1, keepdims=True), estimated))
    said = {name: [(p <= 0.05).mean() for p in (one.p_for, one.p_against)] for name, one in (("known", as_known), ("not", found))}
    print(f"{draw}: a rise of one estimated seed deviation said to be more, less: {said}")
    assert max(said["not"]) <= most < max(said["known"])


def test_a_diverged_training_is_no_part_of_the_margin_but_of_the_effect():
    rows = trainings(WORLDS["C6"][2], **GANS)
    before = verdict("C6", rows, THESE_CELLS).findings[0]
    gone = [diverge(row) if row["stage"] == "confirm" and row["seed"] == 3 else row for row in rows]
    after = verdict("C6", gone, THESE_CELLS).findings[0]
    assert after.boundary == pytest.approx(before.boundary, rel=0.2) and after.points[3] == 0


def test_without_two_finished_trainings_of_a_cell_there_is_no_margin():
    table = Table(np.ones((1, 2, 6)), np.zeros((1, 2, 6), bool), ("",), (), ())
    assert seed_deviations(table).tolist() == [[0, 0]]


def test_support_needs_every_part_and_refutation_pays_for_each():
    claim = Claim(
        "X",
        "",
        "",
        ("space",),
        tuple(Part(name, f"quality/{name}", falls, Levels("depth"), margin=0.0) for name in ("fd_rel", "precision")),
    )
    found = judge([claim], trainings(lambda row: {"quality/fd_rel": 0.4 - 0.1 * row["depth"]}, model=["vae"]))[0]
    assert found.findings[0].p_for < 0.001 < found.findings[1].p_for
    assert found.word == "undecided" and found.p == found.findings[1].p_for
    against = [finding.p_against for finding in found.findings]
    assert p_refute(found.findings) == min(1, 2 * min(against))
