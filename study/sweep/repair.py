"""What a launch puts right in the ledger before it goes on: lost specs, failed trials, changed code."""

from collections import Counter

from study.ledger.folder import IN_PACK
from study.sweep.plan import Plan


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
        elif any((folder / name).exists() for name in ("metrics.jsonl", IN_PACK)):
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
