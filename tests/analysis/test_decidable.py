"""What a study is said to be able to decide is what the verdicts on plainly true and plainly false trainings are."""

from dataclasses import replace

import pytest
import synthetic
from claim_worlds import FIFTY, GANS, THREE_SETS, VAES, WORLDS, trainings

from study.analysis.claims import CLAIMS
from study.analysis.decidable import decidable
from study.analysis.verdicts import THE_FAMILY, judge

BY_ID = {claim.id: claim for claim in CLAIMS}
SETTINGS = ("model", "net", "depth", "latent_dim", "dataset", "reduction", "clip", "system")
FEW = {"C3": {**VAES, **THREE_SETS}, "C6": GANS, "C7": {"model": ["gan"], "depth": [1], "latent_dim": [2, 8]}}

PLAINER = {  # where a world is true or false by less than an effect that no noise hides
    "C3": (WORLDS["C3"][1], lambda row: {"likelihood/elbo": -100 + row["depth"]}),
    "C7": (lambda row: {"collapse": 1.0}, lambda row: {"collapse": 0.0}),
    "C9": (WORLDS["C9"][1], lambda row: {"quality/fd_rel": 0.3 if row["latent_dim"] > 600 else 0.5}),
}


def cells_of(rows):
    return [dict(cell) for cell in dict.fromkeys(tuple((name, row.get(name)) for name in SETTINGS) for row in rows)]


def prospect_of(claims, rows, replicates):
    return decidable(claims, cells_of(rows), replicates)[0]


def factors_of(claim):
    return {name: values for name, values in FEW.get(claim, WORLDS[claim][0]).items() if name != "seeds"}


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """Hardly any noise, so that seeds never disagree."""
    for name in synthetic.SPREADS:
        monkeypatch.setitem(synthetic.SPREADS, name, 1e-3)


@pytest.mark.parametrize(
    "claim",
    [
        "C1",
        "C2",
        "C3",
        "C4",
        "C6",
        "C7",
        "C8",
        "C9",
        "C10",
        "C11",
        "C14",
        "C15",
        "C16",
        *(f"C{number}" for number in range(17, 26)),
    ],
)
@pytest.mark.parametrize("replicates", [2, 3, 5, 8])
def test_a_claim_gets_the_words_that_it_can_get_and_no_others(claim, replicates):
    worlds = dict(zip(("supported", "refuted"), PLAINER.get(claim, WORLDS[claim][1:])))
    rows = {word: trainings(world, seeds=replicates, proposals=1, **factors_of(claim)) for word, world in worlds.items()}
    said = {word: judge([BY_ID[claim]], found)[0].word for word, found in rows.items()}
    can = prospect_of([BY_ID[claim]], rows["refuted"], replicates)
    assert {word for word, found in said.items() if found == word} == set(can.words)


def test_the_least_number_of_replicates_is_the_first_with_which_both_words_can_be_said():
    """One block and one part: 2 / 2^R, times as many claims as are tested, must not exceed .05."""
    rows = trainings(depth=[1], **FIFTY)
    assert prospect_of([BY_ID["C1"]], rows, 6).least == 6 and prospect_of([BY_ID["C1"]], rows, 5).words == ()
    among_four = [BY_ID[claim] for claim in ("C1", "C14", "C19", "C20", "C9")]  # the last has no cells, C14 only its VAEs
    assert prospect_of(among_four, rows, 7).least == 8
    assert prospect_of(among_four[:4], rows, 8).words == ("supported", "refuted")


def test_no_number_of_replicates_decides_a_law_about_a_family_from_a_few_cells_and_enough_cells_are_named():
    law = replace(BY_ID["C1"], about=THE_FAMILY)
    few = prospect_of([law], trainings(**FIFTY), 1000)
    assert (few.words, few.least, few.why_not) == ((), None, "6 cells would do")
    enough = prospect_of([law], trainings(depth=range(6), **FIFTY), 8)
    assert enough.words == ("supported", "refuted") and enough.least == 2


def test_a_claim_without_cells_for_one_part_can_be_refuted_only_and_says_what_is_missing():
    found = prospect_of([BY_ID["C2"]], trainings(latent_dim=[2, 8], depth=range(8), **VAES), 8)
    assert found.words == ("refuted",) and found.least is None and "two levels of latent_dim from 20" in found.why_not


def test_where_cells_are_the_pairs_replicates_change_nothing():
    few, many = (prospect_of([BY_ID["C10"]], trainings(**WORLDS["C10"][0]), replicates) for replicates in (2, 50))
    assert few == many
