"""Do independent studies agree? One study with many replicates, taken apart into several that share none.

Replicates are independent of one another, so that a study launched with `--replicates 32` holds four studies of eight. Of every
reported effect: the share of the other studies' values that lie in its 95 % interval. Two independent estimates of one effect do so
with probability .83, since both of them err. And the claims to which studies give opposite words.

    python study/launch.py --space latent_sweep --replicates 32
    python benchmarks/replicates.py --space latent_sweep --studies 4 [--markdown docs/replicates.md]
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from study.analysis.claims import CLAIMS, judged_in
from study.analysis.effects import Effect, effects
from study.analysis.report_data import findings
from study.analysis.verdicts import Claim, judge
from study.ledger.folder import Ledger
from study.ledger.opening import STORAGE

WORDS = ("supported", "refuted")


@dataclass(frozen=True)
class Agreement:
    """What several independent studies of one question say of one another."""

    inside: int  # values of another study that lie in the interval of an effect
    pairs: int  # of how many
    opposite: tuple[str, ...]  # claims that are supported by one study and refuted by another
    words: Mapping[str, tuple[str, ...]]  # claim -> the word of every study


def agreement(rows: Sequence[Mapping], studies: int, claims: Sequence[Claim] = CLAIMS) -> Agreement:
    """Of rows as in study/analysis/outcomes.py, their replicates dealt out to so many studies in runs of neighbours."""
    size = (max(row["seed"] for row in rows) + 1) // studies
    parts = [[row for row in rows if row["seed"] // size == part] for part in range(studies)]
    held = [
        low <= other.effect <= high
        for one, another in permutations([by_name(effects(part)) for part in parts], 2)
        for name, found in one.items()
        if found.interval and (other := another.get(name))
        for low, high in [found.interval]
    ]
    verdicts = [{verdict.claim.id: verdict.word for verdict in judge(claims, part)} for part in parts]
    words = {claim.id: tuple(said[claim.id] for said in verdicts) for claim in claims}
    return Agreement(sum(held), len(held), tuple(name for name, said in words.items() if set(WORDS) <= set(said)), words)


def by_name(found: Sequence[Effect]) -> dict[tuple, Effect]:
    return {(each.dataset, each.model, each.factor, each.measure): each for each in found}


def as_markdown(found: Agreement, studies: int) -> str:
    said = [(name, words) for name, words in found.words.items() if set(words) != {"unanswerable"}]
    return "\n".join(
        [
            f"{found.inside} of {found.pairs} values of another study lie in the 95 % interval of an effect:"
            f" {found.inside / max(found.pairs, 1):.2f} (.83 is what true intervals give).",
            f"Claims with opposite words: {', '.join(found.opposite) or 'none'}.",
            "",
            "| claim | " + " | ".join(f"study {number + 1}" for number in range(studies)) + " |",
            "|---|" + "---|" * studies,
            *(f"| {name} | {' | '.join(words)} |" for name, words in said),
        ]
    )


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", required=True)
    parser.add_argument("--storage", type=Path, default=STORAGE)
    parser.add_argument("--studies", type=int, default=4)
    parser.add_argument("--markdown", type=Path, help="also write it there")
    options = parser.parse_args(arguments)
    rows = findings(Ledger(options.storage / options.space)).rows
    said = as_markdown(agreement(rows, options.studies, judged_in([options.space], [])), options.studies)
    print(said)
    if options.markdown:
        options.markdown.write_text(
            "\n".join(["# Do independent studies agree?", "", *(__doc__ or "").splitlines()[2:], "", said, ""])
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
