"""What a launch puts right in the ledger before it goes on: lost specs, failed trials, changed code; and what it finds done."""

import os
import shutil
import uuid
from collections import Counter

from study.ledger.folder import IN_PACK, ROWS, Ledger
from study.sweep.plan import Plan, Trial

LEFT_BEHIND = ("tracked.json", IN_PACK, "measured-*", "result.failed-*", "*.bad-*", ".*")  # of a trial that is taken over


def note_changed_code(plan, log) -> None:
    """Say of how many trials the code has changed since, which are therefore left as they are and planned anew."""
    now = {path: digest for cell in plan.space.cells for path, digest in plan.code(cell).items()}
    changed, planned = Counter(), {trial.key for trial in plan.trials()}
    for key in set(plan.ledger.keys()) - planned if now and plan.left() else ():
        spec = plan.ledger.spec(key)
        then = spec.code if spec else {}
        changed.update(path for path, digest in now.items() if then.get(path, digest) != digest)
    for path, count in changed.items():
        log(f"the code of {path} has changed: {count} trials of what it was stay in the ledger and are planned anew")


def taken_over(plan, log) -> Plan:
    """The plan with the trainings that other studies in the same storage folder have done already: a training of the same key is
    the same training. As long as there are any: what is confirmed follows from what was searched."""
    if plan.ledger.address != str(plan.ledger.root):
        return plan
    others, counts = [Ledger(path) for path in sorted(plan.ledger.root.parent.iterdir()) if path != plan.ledger.root], Counter()
    while found := [(trial, other) for trial in plan.left() for other in others if done_there(plan, trial, other)]:
        for trial, other in {trial.key: (trial, other) for trial, other in found}.values():
            take_over(plan.ledger, trial.key, other)
            counts[other.root.name] += 1
        plan = Plan(plan.space, plan.ledger, plan.identity)
    for name, count in counts.items():
        log(f"{count} trainings are those of the study {name}, and are taken from there")
    return plan


def done_there(plan, trial: Trial, other: Ledger) -> bool:
    """Whether another study has done a training that this one has not begun, and has looked at it as this one would."""
    if plan.ledger.folder(trial.key).exists() or not (other.root / "trials" / trial.key / "result.json").is_file():
        return False
    result = other.result(trial.key)
    spec = other.spec(trial.key, result) if result and result.status in ("done", "stopped", "diverged") else None
    if spec is None:
        return False
    wanted = plan.spec(trial, spec.params, spec.proposed_by)
    alike = (spec.measured_every, spec.rungs) == (wanted.measured_every, wanted.rungs)
    return alike and wanted.measures.items() <= spec.measures.items()


def take_over(ledger: Ledger, key: str, other: Ledger) -> None:
    """Copy a finished trial, whole or not at all."""
    aside = ledger.root / f".{key}-{uuid.uuid4().hex[:8]}"
    shutil.copytree(other.folder(key), aside, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
    ledger.folder(key).parent.mkdir(exist_ok=True)
    os.replace(aside, ledger.folder(key))


def repair_specs(plan, log) -> None:
    """Give finished trials whose spec was lost a new one, from their result; let unfinished ones start anew."""
    begun = set(plan.ledger.keys())
    for trial in plan.trials():
        folder = plan.ledger.folder(trial.key)  # a link in its place ends the launch here, before anything is trained
        if trial.key in begun and trial.key not in plan.results:
            for half in folder.glob(".*"):  # what a killed worker was writing
                half.unlink()
        result = plan.results.get(trial.key)
        if trial.key not in begun or plan.ledger.spec(trial.key, result) is not None:
            continue
        if result:
            made = plan.spec(trial, result.params, "not known", result.suggested)
            plan.ledger.put_spec(trial.key, result.spec or made)
        elif any((folder / name).exists() for name in (ROWS, IN_PACK)):
            plan.ledger.start_anew(trial.key, log)


def retry_failed(plan, retry: bool, log):
    """The plan with failed trials to run again: all of them if asked to, else those that a larger share may save."""
    results = {trial.key: result for trial in plan.trials() if (result := plan.results.get(trial.key))}
    failed = {key: result for key, result in results.items() if result.status == "failed"}
    short = [key for key, result in failed.items() if result.out_of_memory and 0 < result.gpus < 1]
    again = list(failed) if retry else short
    for key in again:
        plan.ledger.reopen(key)
    if retry:
        log(f"{len(failed)} failed trials are run again")
    if short:
        log(f"{len(short)} trials ran out of memory on their share of an accelerator; they are run again with twice as much")
    return Plan(plan.space, plan.ledger, plan.identity) if again else plan
