"""Write docs/findings.md: what the studies kept in results/ say of each published claim, and what is open at what price.

python docs/findings.py latent_sweep mnist_fc
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from study.analysis.claims import CLAIMS
from study.analysis.report_data import ReportData, findings
from study.analysis.trainings import grouped
from study.analysis.verdicts import Verdict
from study.ledger.folder import Ledger
from study.metrics.catalogue import FIDELITY, time_taken
from study.report import kept
from study.reporting.words import of_effect, of_verdict, pairs_of, statement
from study.sweep.progress import duration

CORES = 2  # that a price is for
STILL_FALLING = 0.95  # a training had not converged whose fd_rel at its last look is below so much of that at the look before


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spaces", nargs="+", help="studies in results/")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("findings.md"))
    options = parser.parse_args(arguments)
    studies = {space: read(space) for space in options.spaces}
    options.out.write_text("\n".join([*opening(studies), *converged(studies), *claims(studies)]) + "\n")
    print(options.out)
    return 0


def read(space: str) -> ReportData:
    return findings(Ledger(kept(space)))


def opening(studies: Mapping[str, ReportData]) -> list[str]:
    lines = ["# Findings", "", "What is known of each published claim, on which data, at which budgets. Written by", ""]
    lines += [f"    python docs/findings.py {' '.join(studies)}", "", "from what results/ keeps of these studies:", ""]
    lines += ["| study | trainings | not finished | to look at it, to go on with it |", "|---|---|---|---|"]
    for space, found in studies.items():
        counts = found.counts or {}
        left = f"{counts.get('left', 0):,} of {counts.get('planned', 0):,}"
        restored = f"`study/results.py restore --space {space}`, then `study/launch.py --space {space}`"
        commands = f"`study/report.py --results {space}`; {restored}"
        lines.append(f"| `{space}` | {sum(each.trials for each in found.datasets):,} | {left} | {commands} |")
    for space, found in studies.items():
        lines += ["", f"**{space}.** {' '.join(found.answer)}"]
    return lines


def converged(studies: Mapping[str, ReportData]) -> list[str]:
    """Whether trainings on held-out data had arrived when their budget ended."""
    lines = [
        "",
        "## Had trainings converged?",
        "",
        "Share of the trainings on held-out data whose fd_rel was still falling by more than 5 %",
    ]
    lines += ["between the last two looks at validation images. Where it is large, every word below is about this budget.", ""]
    lines += ["| data | family | epochs | still falling |", "|---|---|---|---|"]
    for found in studies.values():
        ended = [(row, looks_of(row)) for row in found.rows if row["stage"] == "confirm" and row["status"] == "done"]
        for (dataset, model), group in grouped(ended, lambda pair: (pair[0]["dataset"], pair[0]["model"])).items():
            falling = sum(looks[-1] < STILL_FALLING * looks[-2] for _, looks in group if len(looks) > 1)
            epochs = max(len(row[f"curve/{FIDELITY}"]) - 1 for row, _ in group)
            lines.append(f"| {dataset} | {model.upper()} | {epochs} | {falling} of {len(group)} |")
    return lines


def looks_of(row: Mapping) -> list[float]:
    return [value for value in row.get(f"curve/{FIDELITY}", []) if value is not None]


def claims(studies: Mapping[str, ReportData]) -> list[str]:
    lines = ["", "## The claims", ""]
    for claim in CLAIMS:
        judged = [
            (space, found, verdict)
            for space, found in studies.items()
            for verdict in found.verdicts
            if verdict.claim.id == claim.id
        ]
        lines += [f"### {claim.id}: {claim.sentence}", ""]
        if not judged:
            others = " or ".join(f"`study/launch.py --space {space}`" for space in claim.spaces)
            lines += [f"Not asked by these studies; its cells are in {others} (`--dry-run` says how long that takes).", ""]
        for space, found, verdict in judged:
            lines += [f"- **{of_verdict(verdict)}** (`{space}`); {price(found, verdict)}", *parts(verdict)]
        lines += [""] * bool(judged)
    return lines[:-1]


def parts(verdict: Verdict) -> list[str]:
    """What each part of a claim that can be answered says, with its effect, interval and replicates."""
    lines = []
    for each in verdict.findings:
        if not each.missing:
            count = pairs_of(each) if each.pairs == "cells" else f"{pairs_of(each)} replicates"
            lines.append(f"    - {each.part.label}: {of_effect(each)}, {count} ({statement(each)})")
    return lines


def price(found: ReportData, verdict: Verdict) -> str:
    """What would decide it, and how long that takes."""
    if verdict.word in ("supported", "refuted"):
        return "decided"
    if verdict.word == "unanswerable":
        return "open: it lacks cells, or replicates of them, in what is trained so far"
    if not verdict.enough:
        return f"open: {verdict.more or 'no number of replicates of these cells would decide it'}"
    replicates, seconds = seconds_of_a_replicate(found.rows)
    more = max(1, verdict.enough - replicates)
    return f"open: {verdict.more}, about {duration(more * seconds / CORES)} of {CORES} cores for all cells of the study"


def seconds_of_a_replicate(rows: Sequence[Mapping]) -> tuple[int, float]:
    """How many replicates there are, and what one of them took of one core, its search included."""
    replicates = len({row["seed"] for row in rows if row["stage"] == "confirm"}) or 1
    return replicates, sum(map(time_taken, rows)) / replicates


if __name__ == "__main__":
    sys.exit(main())
