"""A study that is looked at five times says no more false words than one that is looked at once."""

from dataclasses import replace

import numpy as np
import pytest
from claim_worlds import FIFTY, WORLDS, log2, trainings
from scipy import stats

from study.analysis.claims import CLAIMS
from study.analysis.inference import holm
from study.analysis.rules import equivalent, rises
from study.analysis.sequential import helped_by_more, judge_at, levels, looks_of
from study.analysis.verdicts import THE_FAMILY, THESE_CELLS, judge

STUDIES = 1_000
LOOKS = (4, 6, 8, 11, 14)
LATENT = CLAIMS[0]
DEPTH = replace(CLAIMS[2], about=THESE_CELLS)


@pytest.mark.parametrize("looks", [(8, 10, 12, 14, 16), (4, 6, 8, 12, 16), (6, 16)])
def test_what_is_spent_by_each_look_is_what_walks_without_a_drift_cross(looks):
    walks = np.random.default_rng(0).normal(size=(200_000, looks[-1])).cumsum(1)[:, np.array(looks) - 1]
    crossed = 2 * stats.norm.sf(np.abs(walks) / np.sqrt(looks)) <= levels(looks, 0.05)
    for look, number in enumerate(looks, 1):
        assert crossed[:, :look].any(1).mean() == pytest.approx(0.05 * (number / looks[-1]) ** 2, abs=0.0015)


def test_one_look_has_the_whole_level_and_a_family_of_claims_no_more_than_its_share():
    assert levels((8,), 0.05) == pytest.approx((0.05,), rel=1e-4)
    shares = np.array([np.array(levels(LOOKS, 0.05 / claims)) * claims for claims in (1, 2, 4, 8, 16)])
    assert (np.diff(shares, axis=0) < 1e-6).all()  # so that a step of Holm's that leaves fewer claims stays below its own level


def test_looks_are_at_most_five_and_end_with_the_most():
    assert looks_of(8, 16) == (8, 10, 12, 14, 16) and looks_of(6, 8) == (6, 7, 8) and looks_of(8, 8) == (8,)


def test_a_thousand_studies_without_an_effect_say_a_false_word_at_any_of_five_looks_in_under_5_percent():
    """Three claims of one cell each, exactly at their boundaries, where any word is false; skewed, as tuned trainings are."""
    rng, claims = np.random.default_rng(0), 3
    noise = rng.exponential(size=(claims, STUDIES, 1, 2, LOOKS[-1]))
    noise[..., 1, :] += 1  # the boundary, a margin of 1, which is the deviation too
    wrong, once = np.zeros(STUDIES, bool), {}
    for replicates, level in zip(LOOKS, levels(LOOKS, 0.05 / claims)):
        found = [
            rule(values[..., :replicates], np.ones((STUDIES, 1, 1))) for rule, values in zip((rises, equivalent, rises), noise)
        ]
        for words in ("p_for", "p_against"):
            family = np.stack([getattr(evidence, words) for evidence in found], 1)
            once[words] = np.array([min(holm(each)) for each in family])
            wrong |= once[words] <= level * claims
    print(f"any false word in five looks: {wrong.mean():.3f}")
    assert wrong.mean() <= 0.05
    assert max((p <= 0.05).mean() for p in once.values()) <= 0.03


def test_a_plain_claim_is_decided_at_an_early_look_and_its_word_stays_whatever_comes_later():
    rows = trainings(WORLDS["C1"][1], seeds=14, **FIFTY)
    turned = [{**row, "likelihood/recon": -row["latent_dim"]} if row["seed"] >= 6 else row for row in rows]
    first = [judge_at(look, LOOKS, [LATENT, DEPTH], turned)[0] for look in range(1, 6)]
    assert [found.word for found in first] == ["supported"] * 5
    assert {len(found.deciding.points) for found in first} == {4}  # what it was decided on
    assert judge([LATENT], turned)[0].word != "supported"


def test_a_claim_that_is_open_takes_all_the_replicates_there_are_so_far():
    rows = trainings(
        lambda row: {"likelihood/recon": 80 + 0.9 * log2(row)}, seeds=14, depth=[1], latent_dim=[50, 100], model=["vae"]
    )
    for look, replicates in enumerate(LOOKS, 1):
        found = judge_at(look, LOOKS, [LATENT], rows)[0]
        assert found.word in ("undecided", "refuted") and (found.word == "refuted" or len(found.findings[0].points) == replicates)


def test_more_replicates_are_asked_for_only_where_they_would_help():
    slight = trainings(
        lambda row: {"likelihood/recon": 80 + 1.6 * log2(row)}, seeds=6, depth=[2], latent_dim=[50, 100], model=["vae"]
    )
    opposed = trainings(lambda row: {"likelihood/recon": 80 + 4 * log2(row) * (2 - row["depth"])}, seeds=6, **FIFTY)
    assert helped_by_more(judge([LATENT], slight)) == [LATENT]
    assert helped_by_more(judge([LATENT], opposed)) == []
    assert helped_by_more(judge([replace(CLAIMS[0], about=THE_FAMILY)], slight)) == []  # a law, of one cell
