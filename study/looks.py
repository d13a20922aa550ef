"""A study that grows until its claims are decided: at which replicates it is looked at, what that costs at most, and when it ends.

The verdicts are the report's (study/analysis/sequential.py), which finds the looks that were planned in the ledger.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from study.analysis.claims import about, judged_in
from study.analysis.report_data import findings
from study.analysis.sequential import helped_by_more, looks_at, looks_of
from study.analysis.verdicts import Verdict
from study.errors import UserError
from study.ledger.folder import LOOKS, Ledger
from study.space.space import Space
from study.sweep.estimate import rates, seconds_left
from study.sweep.plan import Plan, write_planned
from study.sweep.plan_tables import time_left
from study.sweep.progress import duration
from study.sweep.selection import chosen

MOST = 4  # times the replicates that a study begins with, at its last look


@dataclass(frozen=True)
class Growth:
    """looks: numbers of replicates; claims: those to decide; deadline: on time.monotonic(), when no look may still go on;
    slots: packs that run at once."""

    looks: tuple[int, ...]
    claims: Sequence[str]
    deadline: float
    slots: int

    def first(self, plan: Plan) -> Plan:
        """The plan of the last look that lacks no training, whose verdicts hold those of all before; else of the first."""
        plans = [grown(plan, replicates) for replicates in self.looks]
        made = [each for each in plans if each.finished() == each.planned()]
        return made[-1] if made else plans[0]

    def costs(self, plan: Plan, data_dir) -> list[str]:
        """What each look costs together with those before it, and the level at which it judges."""
        plans = [grown(plan, replicates) for replicates in self.looks]
        known, looks = rates(plans[-1], data_dir), looks_at(self.looks, 0, len(judged_in([plan.space.name], plan.space.claims)))
        return [f"at most {len(looks)} looks to decide {', '.join(self.claims)}; each costs, with those before it:"] + [
            f"  {look.replicates} replicates: {each.planned()} trials, {each.planned() - each.finished()} left;"
            f" {time_left(each, known, self.slots)}; judged at a level of {look.level:.2g}"
            for each, look in zip(plans, looks)
        ]

    def later(self, plan: Plan, data_dir, log) -> Iterator[Plan]:
        """The plans of the looks after this one, each asked for when the one before has been run; says why no other follows."""
        for replicates in [number for number in self.looks if number > plan.space.replicates]:
            found, following = self.verdicts(plan.ledger), grown(plan, replicates)
            if reason := self.reason_to_end(found, following, data_dir):
                return log(f"no further look: {reason}")
            log(f"{listed(still_open(found))}: going on to {replicates} replicates")
            write_planned(following)
            yield following
        log(f"this was the last look: {listed(self.verdicts(plan.ledger))}")

    def verdicts(self, ledger: Ledger) -> list[Verdict]:
        """Those of the claims to decide, as a report has them now."""
        ledger.fetch()
        return [verdict for verdict in findings(ledger).verdicts if verdict.claim.id in self.claims]

    def reason_to_end(self, found: Sequence[Verdict], following: Plan, data_dir) -> str:
        """Why the study ends here; "" where it goes on to the plan of the following look."""
        left = still_open(found)
        if not left:
            return f"all is decided: {listed(found)}"
        if not helped_by_more(left):
            return f"more replicates would not help: {listed(left)}"
        seconds, _ = seconds_left(following, rates(following, data_dir), self.slots) or (0.0, 0)
        if time.monotonic() + seconds > self.deadline:
            return f"the budget is too short for the next, about {duration(seconds)}: {listed(left)}"
        return ""


def growth_of(space: Space, ledger: Ledger, names: Sequence[str], deadline: float, slots: int) -> Growth:
    """Claims as named, else all that the space is about; looks as noted once, else from the space's replicates on."""
    if not about(space):
        raise UserError(
            f"space '{space.name}' is about no claim (claims= of a space are its own), and --until-decided decides claims;"
            " how many --replicates would decide what a factor changes is in the report"
        )
    named = chosen(names, about(space), "claim", space)
    ledger.fetch(LOOKS)
    looks = ledger.looks() or looks_of(space.replicates, MOST * space.replicates)
    return Growth(looks, named or about(space), deadline, slots)


def grown(plan: Plan, replicates: int) -> Plan:
    """The same plan with so many replicates, against what the ledger holds now."""
    following = Plan(replace(plan.space, replicates=replicates), plan.ledger, plan.identity)
    following.pack_on_cards = plan.pack_on_cards
    return following


def still_open(found: Sequence[Verdict]) -> list[Verdict]:
    return [verdict for verdict in found if verdict.word not in ("supported", "refuted")]


def listed(found: Sequence[Verdict]) -> str:
    """`C1 supported, C4 undecided`"""
    return ", ".join(f"{verdict.claim.id} {verdict.word}" for verdict in found)
