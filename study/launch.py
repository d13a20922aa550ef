"""Run what is left of a study: the first launch, going on after a crash, extending and retrying are one command.

python study/launch.py --space latent_sweep
python study/launch.py --space latent_sweep --datasets mnist cifar10 --download --replicates 16
python study/launch.py --space my_question.py --check
python study/launch.py --space latent_sweep --until-decided C4 C12 --budget 3h
python study/launch.py --space latent_sweep --datasets folder:my_images --dry-run
"""

import argparse
import contextlib
import itertools
import math
import os
import sys
import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # this clone's code, whatever is installed, and not study/ itself, where Python looks first
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from study.cli import DONE, INTERRUPTED, SOME_FAILED, add_study, outlive_the_terminal, run_command, trust
from study.errors import UserError
from study.ledger.next_steps import command, of_ledger, study_arguments
from study.mlflow_view.pages import mlflow_page, watching
from study.sweep.launch_options import LaunchOptions, add_options

CLOSE_S = 5.0  # how long an interrupted driver waits for MLflow
CATCH_UP_S = 600.0  # how long one that is done does


def parse(arguments=None) -> LaunchOptions:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_study(parser)
    add_options(parser)
    typed = sys.argv[1:] if arguments is None else arguments
    return LaunchOptions(**vars(parser.parse_args(arguments)), typed=tuple(map(str, typed)))


def main(arguments=None) -> int:
    return launched(parse(arguments))


def launched(options: LaunchOptions, space=None) -> int:
    """The exit code. space: where it is at hand, instead of being loaded by its name (study/api.py)."""
    began = time.monotonic()
    trust(options)
    from study.data.datasets import data_folder
    from study.ledger.opening import open_study
    from study.sweep.preparation import prepare
    from study.sweep.progress import console
    from study.sweep.rehearsal import rehearse
    from study.sweep.selection import chosen_space, with_datasets

    screen = console()

    def log(text):
        screen.print(text, markup=False, soft_wrap=True)

    if any(word.startswith("--seeds") for word in options.typed):
        log("--seeds is called --replicates now: each is a tuning of its own, and a training of its own on held-out data")
    data_dir = data_folder(options.data_dir)
    asked = chosen_space(options, space)
    space = with_datasets(asked, options, data_dir, log)
    ledger = open_study(options.storage, space.name)
    growth = growing(asked, ledger, options, began)
    if options.dry_run:
        plan = planned(space, ledger, data_dir, options, log)
        return shown(space if options.datasets else asked, plan, growth, data_dir, options.slots, screen, log)
    if not options.address:
        from study.training.numerics import check_precision

        check_precision(space.precision, "cuda")
    with ledger.lock():
        prepare(space, options, data_dir, ledger, log)
        plan = planned(space, ledger, data_dir, options, log)
        if growth:
            ledger.put_looks(growth.looks)
            plan = growth.first(plan)
        rehearse(plan, data_dir, log, strict=options.check)
        if options.check:
            return DONE
        plan = repaired(plan, options, screen, log)
        for line in growth.costs(plan, data_dir) if growth else []:
            log(line)
        plans = itertools.chain([plan], growth.later(plan, data_dir, log)) if growth else in_order(plan, options, log)
        return run(plan, plans, options, began, data_dir, log)


def in_order(plan, options: LaunchOptions, log):
    """The plan, or where it may not come to its end its parts, the most telling first."""
    if not options.budget:
        return [plan]
    from study.budget import in_turn

    return in_turn(plan, log)


def growing(space, ledger, options: LaunchOptions, began: float):
    """How the study grows, where it is to be launched until its claims are decided; began: on time.monotonic()."""
    if options.until_decided is None:
        return None
    from study.looks import growth_of

    return growth_of(space, ledger, options.until_decided, began + (options.budget or math.inf), options.slots)


def planned(space, ledger, data_dir, options: LaunchOptions, log):
    from study.sweep.plan import Plan
    from study.sweep.preparation import identities
    from study.sweep.repair import note_changed_code

    plan = Plan(space, ledger, identities(space, data_dir, options))
    note_changed_code(plan, log)
    return plan


def shown(asked, plan, growth, data_dir, slots, screen, log) -> int:
    """The dry run: what would be trained, and how long that takes."""
    from study.sweep.estimate import rates
    from study.sweep.plan_tables import plan_table, states_kept, systems_table, time_left

    if any(cell.system for cell in plan.space.cells):
        screen.print(systems_table(asked, data_dir))
    screen.print(plan_table(plan))
    expected = rates(plan, data_dir)
    log(
        f"{plan.planned()} trials in {len(plan.space.cells)} cells, {plan.planned() - plan.finished()} left;"
        f" {time_left(plan, expected, slots)}. Nothing was started (--dry-run)."
    )
    for line in [*states_kept(plan), *(growth.costs(plan, data_dir) if growth else []), *prospects(plan, expected, slots)]:
        log(line)
    return DONE


def prospects(plan, expected, slots) -> list[str]:
    """Of each claim that the space is about: the words that it can get from its cells and replicates, what is compared and by
    which rule, and how long that takes."""
    from study.analysis.claim_words import asked, cells_compared
    from study.analysis.claims import about, judged_in
    from study.analysis.decidable import decidable
    from study.sweep.estimate import cell_seconds
    from study.sweep.progress import duration

    space = plan.space
    if not about(space):
        return []
    cells = [
        {
            "cell": cell.name,
            "model": cell.family,
            "net": cell.net.name,
            "dataset": cell.dataset.name,
            **{word: getattr(cell, word) for word in ("depth", "latent_dim", "system")},
            **cell.settings,
        }
        for cell in space.cells
    ]
    lines = []
    for each in decidable(judged_in([space.name], space.claims), cells, space.replicates):
        names = cells_compared(each.claim, cells)
        rows = [row for row in cells if row["cell"] in names]
        lines.append(
            f"{each.claim.id}, {each.claim.sentence}: can be "
            + (" or ".join(each.words) if each.words else "neither supported nor refuted")
            + (f"; either from {each.least} replicates on" if len(each.words) < 2 and each.least else "")
            + (f"; for either: {each.why_not}" if each.why_not else "")
        )
        if rows:
            who = dict.fromkeys(row["system"] or f"{row['model']} {row['net']}" for row in rows)
            times = [cell_seconds(plan, cell, expected) for cell in space.cells if cell.name in names]
            known = [seconds for seconds in times if seconds is not None]
            lasting = f"about {duration(sum(known) / slots)}" if len(known) == len(times) else "how long is not known yet"
            data = ", ".join(dict.fromkeys(row["dataset"] for row in rows))
            rules = "; ".join(dict.fromkeys(map(asked, each.claim.parts)))
            lines.append(f"    {len(rows)} cells of {', '.join(who)} on {data}, {lasting}; {rules}")
    return lines


def repaired(plan, options: LaunchOptions, screen, log):
    """The plan with what is wrong in the ledger put right, shown and noted for whoever asks for the status."""
    from study.sweep.launch_options import note_launch
    from study.sweep.plan import write_planned
    from study.sweep.plan_tables import plan_table, states_kept
    from study.sweep.repair import repair_specs, retry_failed, taken_over

    note_launch(plan.ledger, options)
    repair_specs(plan, log)
    plan = taken_over(plan, log)
    plan = retry_failed(plan, options.retry_failed, log)
    screen.print(plan_table(plan))
    for line in states_kept(plan):
        log(line)
    write_planned(plan)
    return plan


def run(plan, plans, options: LaunchOptions, began: float, data_dir, log) -> int:
    """plans: each is asked for when the one before has been run; began: on time.monotonic()."""
    from study.budget import deadline
    from study.mlflow_view.background import BackgroundTracker
    from study.mlflow_view.store import default_uri

    end = deadline(began, options.budget) if options.budget else math.inf
    uri = options.tracking_uri or default_uri(options.storage)
    tracker_thread = BackgroundTracker(uri, plan.ledger, plan.space.name, plan.space.question, log)
    tracker_thread.start()
    live = live_page(options, plan.ledger, data_dir) if options.open else None
    try:
        with contextlib.ExitStack() as at_work:
            if live:
                at_work.enter_context(live)
            for plan in plans:
                if not trained(plan, options, end, data_dir, tracker_thread, uri, at_work, log):
                    log("the time is over; the same command goes on from here")
                    break
    except KeyboardInterrupt:
        tracker_thread.close(CLOSE_S)
        log(f"interrupted: {plan.finished()} of {plan.planned()} trials are finished and kept; the same command goes on from here")
        return INTERRUPTED
    return ended(plan, options, data_dir, tracker_thread, uri, bool(live and not live.opened), log)


def live_page(options: LaunchOptions, ledger, data_dir):
    """The report while the study runs, in a browser."""
    from study.reporting.build import FOLDER
    from study.reporting.live import LivePage

    where = ["--data-dir", str(data_dir), *(["--trust-study"] if options.trust_study else [])]
    return LivePage(
        ["--space", options.space, "--storage", str(options.storage), *where],
        lambda: (ledger.root / FOLDER / "report.html").resolve().as_uri(),
    )


def trained(plan, options: LaunchOptions, end: float, data_dir, tracker_thread, uri, at_work, log) -> bool:
    """Run what is left of a plan; False where its time was over before. at_work: what is to be ended when no plan is left."""
    from study.sweep.estimate import rates
    from study.sweep.plan_tables import time_left

    for trial in plan.trials():
        tracker_thread.notify(trial.key)
    if not plan.left():
        log(f"nothing is left to do: all {plan.planned()} trials are finished")
        return True
    expected = rates(plan, data_dir)
    lasts = time_left(plan, expected, options.slots)
    log(f"{len(plan.left())} trials to start with, {lasts}; starting Ray (process {os.getpid()})")
    return sweep(plan, options, end, data_dir, expected, tracker_thread, uri, at_work)


def sweep(plan, options: LaunchOptions, end: float, data_dir, expected, tracker_thread, uri, at_work) -> bool:
    import ray

    from study.ledger.storage_check import write_token
    from study.space.loading import folders_of
    from study.sweep import ray_executor
    from study.sweep.estimate import cell_seconds
    from study.sweep.gpu_share import PACK_ON_CARDS, heaviest, measured
    from study.sweep.progress import Display
    from study.sweep.ray_executor import check_nodes
    from study.sweep.worker_messages import PackConfig

    token = write_token(plan.ledger)
    trusted = (*trust(options), (), {} if plan.space.module else folders_of(plan.space))  # what has a file is read from it
    if not ray.is_initialized():
        at_work.callback(ray_executor.stop, tracker_thread.log)
        ray_executor.start(options.address)
    if options.address:
        check_nodes(plan.ledger.address, token)
    pack = options.pack or PACK_ON_CARDS
    gpus, slots = ray_executor.shares(
        options.cpus_per_trial,
        options.gpus_per_trial,
        options.max_concurrent,
        lambda: ray_executor.on_a_card(trusted, measured, heaviest(plan, data_dir, pack), options.reference),
    )
    plan.pack_on_cards = pack if gpus else 0
    display = Display(plan, slots, watching(uri), expected)
    tracker_thread.log = display.log

    def commit(trial, outcome):
        plan.ledger.put_result(trial.key, outcome)
        display.finished(trial, outcome)
        tracker_thread.notify(trial.key)

    config = PackConfig(
        ledger=plan.ledger.address,
        token=token,
        data_dir=str(data_dir.resolve()),
        cwd=os.getcwd(),
        cpus=options.cpus_per_trial,
        gpus=gpus,
        checkpoint_s=options.checkpoint_seconds,
        reference=options.reference,
        limit_s=options.trial_limit,
        trust=trusted,
    )
    with display, contextlib.suppress(ray_executor.OutOfTime):
        ray_executor.execute(
            plan,
            config,
            slots,
            commit,
            display.began,
            display.advanced,
            tracker_thread.notify,
            display.log,
            seconds=lambda cell: cell_seconds(plan, cell, expected) or 0.0,
            deadline=end,
        )
        return True
    return False


def ended(plan, options: LaunchOptions, data_dir, tracker_thread, uri, show: bool, log) -> int:
    """The answer, the best cells, where to look, and what to type next."""
    from study.analysis.cell_table import cells, in_words, nearest_of
    from study.mlflow_view import saved_view
    from study.sweep.plan_tables import found_on_cards, measuring_share
    from study.sweep.progress import console

    same_study = study_arguments(options.space, options.storage)
    report, answer = reported(plan.ledger, data_dir, show, log)
    for line in [*answer, *(f"best {in_words(cell)}" for cell in nearest_of(cells(plan.ledger)))]:
        console().print(line, markup=False)  # whole words to a line, however wide it is
    tracker_thread.summarise()
    if not tracker_thread.close(CATCH_UP_S):
        uri_given = ["--tracking-uri", options.tracking_uri] if options.tracking_uri else []
        log(f"MLflow at {uri} lacks some of this; `{command('tracking', 'sync', *same_study, *uri_given)}` catches up")
    for line in (measuring_share(plan), *found_on_cards(plan.ledger)):
        log(line)
    failed = [key for key, result in plan.results.items() if result.status == "failed"]
    for key in failed:
        log(f"failed: {key}: {plan.results[key].error}")
    log(f"report: {report}\nresults: {plan.ledger.address}\n  {command('status', *same_study)}")
    if tracker_thread.tracker:
        experiment = tracker_thread.tracker.experiment
        log(f"  {mlflow_page(uri, saved_view.path(experiment), experiment, tracker_thread.tracker.word)}")
    if failed:
        log(f"  {command('launch', *options.typed, '--retry-failed')}")
    return SOME_FAILED if failed else DONE


def reported(ledger, data_dir, show: bool, log) -> tuple[str, Sequence[str]]:
    """Write the report; its address, or why there is none, and the answer's sentences. A report that fails costs nothing: it can
    be written again."""
    from study.analysis.report_data import findings
    from study.reporting.build import FOLDER, write_report

    answer: Sequence[str] = ()
    try:
        ledger.fetch()
        found = findings(ledger)
        answer = found.answer
        address = write_report(ledger, data_dir, found=found).resolve().as_uri()
        ledger.publish(FOLDER)
    except (UserError, OSError) as error:
        return f"not written: {error}", answer
    except Exception as error:
        return (
            f"not written: {type(error).__name__}: {' '.join(str(error).split())}"
            f" (`STUDY_TRACEBACK=1 {of_ledger('report', ledger)}` shows where)"
        ), answer
    if show:
        webbrowser.open(address)
    return address, answer


if __name__ == "__main__":
    outlive_the_terminal()
    sys.exit(run_command(main))
