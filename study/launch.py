"""Run what is left of a study: the first launch, going on after a crash, extending and retrying are one command.

python study/launch.py --space latent_sweep
python study/launch.py --space latent_sweep --datasets mnist cifar10 --download --seeds 16
python study/launch.py --space latent_sweep --datasets folder:my_images --dry-run
"""

import argparse
import os
import sys
import webbrowser
from pathlib import Path

if __name__ == "__main__":  # this clone's code, whatever is installed, and not study/ itself, where Python looks first
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from study.cli import DONE, INTERRUPTED, SOME_FAILED, add_study, outlive_the_terminal, run_command, trust
from study.errors import UserError
from study.ledger.next_steps import command, of_ledger, study_arguments
from study.mlflow_view.pages import mlflow_page, watching
from study.training.checkpoint import CHECKPOINT_S

CLOSE_S = 5.0  # how long an interrupted driver waits for MLflow
CATCH_UP_S = 600.0  # how long one that is done does


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add_study(parser)
    add("--datasets", nargs="+", metavar="NAME", help="only these: digits, mnist, ..., or folder:PATH for your own images")
    add("--models", nargs="+", metavar="NAME", help="only these: VAE, GAN, WGAN")
    add("--systems", nargs="+", metavar="NAME", help="only these systems of a report: A-vae-20-epochs, ...")
    add("--tracking-uri", help="MLflow's store or server (default: SQLite beside the storage, mlruns/mlflow.db)")
    add("--download", action="store_true", help="fetch the datasets that are not on disk")
    add("--skip-corrupt", action="store_true", help="leave out images of a folder that cannot be read")
    add("--features", choices=("classifier", "inception"), default="classifier", help="what images are measured by")
    add("--inception-weights", type=Path, metavar="FILE", help="weights-inception-2015-12-05-6726825d.pth, for the standard FID")
    add("--address", help="a running Ray cluster: auto, or HOST:PORT (default: start Ray here)")
    add("--cpus-per-trial", type=positive(float), default=1.0, metavar="N")
    add(
        "--gpus-per-trial",
        type=share,
        metavar="SHARE",
        help="of a card, or auto: measured first (default: a quarter, where there is a card)",
    )
    add("--fast-cuda", action="store_true", help="steps as CUDA graphs, and products in TF32, which makes other trials of a study")
    add("--max-concurrent", type=positive(int), metavar="N", help="trials at a time (default: what the machines hold)")
    add("--proposals", type=positive(int), metavar="N", help="search trials per cell (default: the space's)")
    add("--seeds", type=positive(int), metavar="N", help="confirm trainings per cell (default: the space's)")
    add("--epochs", type=positive(int), metavar="N", help="for a quick look: another study, with its own trials")
    add(
        "--checkpoint-seconds",
        type=positive(float),
        default=CHECKPOINT_S,
        metavar="S",
        help="what a crash may cost (default: %(default)g)",
    )
    add("--open", action="store_true", help="show the report in a browser at the end")
    add("--dry-run", action="store_true", help="show the plan and stop")
    add("--retry-failed", action="store_true", help="run failed trials again")
    options = parser.parse_args(arguments)
    options.typed = [str(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    return options


def positive(kind):
    def convert(text):
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
        return value

    convert.__name__ = "number" if kind is float else "whole number"
    return convert


def share(text):
    return text if text == "auto" else positive(float)(text)


share.__name__ = "number"


def main(arguments=None) -> int:
    options = parse(arguments)
    trust(options)
    from study.data.datasets import data_folder
    from study.ledger.opening import open_study
    from study.sweep.estimate import rates
    from study.sweep.plan import Plan, write_planned
    from study.sweep.preparation import identities, prepare
    from study.sweep.progress import console, plan_table, systems_table
    from study.sweep.repair import note_changed_code, repair_specs, retry_failed
    from study.sweep.selection import chosen_space, with_datasets

    screen = console()

    def log(text):
        screen.print(text, markup=False, soft_wrap=True)

    data_dir = data_folder(options.data_dir)
    asked = chosen_space(options)
    space = with_datasets(asked, options, data_dir, log)
    ledger = open_study(options.storage, space.name)
    if options.dry_run:
        if any(cell.system for cell in space.cells):
            screen.print(systems_table(space if options.datasets else asked, data_dir))
        plan = Plan(space, ledger, identities(space, data_dir, options))
        note_changed_code(plan, log)
        screen.print(plan_table(plan))
        log(
            f"{plan.planned()} trials in {len(space.cells)} cells, {plan.planned() - finished_count(plan)} left;"
            f" {estimate(plan, rates(plan, data_dir))}. Nothing was started (--dry-run)."
        )
        return DONE
    if options.fast_cuda and not options.address:
        from study.training.numerics import check_precision

        check_precision("tf32", "cuda")
    with ledger.lock():
        prepare(space, options, data_dir, ledger, log)
        plan = Plan(space, ledger, identities(space, data_dir, options))
        note_changed_code(plan, log)
        repair_specs(plan, log)
        plan = retry_failed(plan, options.retry_failed, log)
        screen.print(plan_table(plan))
        write_planned(plan)
        return run(plan, options, data_dir, log)


def finished_count(plan) -> int:
    return sum(trial.key in plan.results for trial in plan.trials())


def estimate(plan, expected: dict) -> str:
    """The time that what is left takes here, from earlier trials of this study where there are any."""
    from study.sweep.estimate import seconds_left
    from study.sweep.progress import duration

    seconds, cores = seconds_left(plan, expected), os.cpu_count() or 1
    return "how long is not known yet" if seconds is None else (f"about {duration(seconds / cores)} on {cores} cores")


def run(plan, options, data_dir, log) -> int:
    from study.mlflow_view.background import BackgroundTracker
    from study.mlflow_view.store import default_uri
    from study.sweep.estimate import rates

    uri = options.tracking_uri or default_uri(options.storage)
    tracker_thread = BackgroundTracker(uri, plan.ledger, plan.space.name, plan.space.question, log)
    tracker_thread.start()
    for trial in plan.trials():
        tracker_thread.notify(trial.key)
    if not plan.left():
        log(f"nothing is left to do: all {plan.planned()} trials are finished")
        return ended(plan, options, data_dir, tracker_thread, uri, log)
    expected = rates(plan, data_dir)
    log(f"{len(plan.left())} trials to start with, {estimate(plan, expected)}; starting Ray (process {os.getpid()})")
    try:
        sweep(plan, options, data_dir, expected, tracker_thread, uri)
    except KeyboardInterrupt:
        tracker_thread.close(CLOSE_S)
        log(
            f"interrupted: {finished_count(plan)} of {plan.planned()} trials are finished and kept;"
            " the same command goes on from here"
        )
        return INTERRUPTED
    return ended(plan, options, data_dir, tracker_thread, uri, log)


def sweep(plan, options, data_dir, expected, tracker_thread, uri) -> None:
    import ray

    from study.ledger.storage_check import write_token
    from study.sweep import ray_executor
    from study.sweep.gpu_share import heaviest, measured
    from study.sweep.progress import Display
    from study.sweep.ray_executor import check_nodes

    token = write_token(plan.ledger)
    try:
        ray_executor.start(options.address)
        if options.address:
            check_nodes(plan.ledger.address, token)
        resources, slots = ray_executor.shares(
            options.cpus_per_trial,
            options.gpus_per_trial,
            options.max_concurrent,
            lambda: ray_executor.on_a_card(trust(options), measured, heaviest(plan, data_dir), options.fast_cuda),
        )
        display = Display(plan, slots, watching(uri), expected)
        tracker_thread.log = display.log

        def commit(trial, outcome):
            plan.ledger.put_result(trial.key, outcome)
            plan.ledger.drop_checkpoint(trial.key)
            display.finished(trial, outcome)
            tracker_thread.notify(trial.key)

        settings = {
            "ledger": plan.ledger.address,
            "data_dir": str(data_dir.resolve()),
            "cwd": os.getcwd(),
            "token": token,
            "checkpoint_s": options.checkpoint_seconds,
            "graphs": options.fast_cuda,
            "trust": trust(options),
        }
        with display:
            ray_executor.execute(plan, settings, resources, slots, commit, display.began, tracker_thread.notify, display.log)
    finally:
        ray.shutdown()


def ended(plan, options, data_dir, tracker_thread, uri, log) -> int:
    """The report, the best cells, where to look, and what to type next."""
    from study.analysis.cell_table import cells, in_words, nearest_of
    from study.mlflow_view import saved_view

    same_study = study_arguments(options.space, options.storage)
    report = reported(plan.ledger, data_dir, options.open, log)
    tracker_thread.summarise()
    if not tracker_thread.close(CATCH_UP_S):
        uri_given = ["--tracking-uri", options.tracking_uri] if options.tracking_uri else []
        log(f"MLflow at {uri} lacks some of this; `{command('tracking', 'sync', *same_study, *uri_given)}` catches up")
    for cell in nearest_of(cells(plan.ledger)):
        log(f"best {in_words(cell)}")
    log(measuring_share(plan))
    failed = [key for key, result in plan.results.items() if result["status"] == "failed"]
    for key in failed:
        log(f"failed: {key}: {plan.results[key].get('error', '')}")
    log(f"report: {report}\nresults: {plan.ledger.address}\n  {command('status', *same_study)}")
    if tracker_thread.tracker:
        experiment = tracker_thread.tracker.experiment
        log(f"  {mlflow_page(uri, saved_view.path(experiment), experiment, tracker_thread.tracker.word)}")
    if failed:
        log(f"  {command('launch', *options.typed, '--retry-failed')}")
    return SOME_FAILED if failed else DONE


def reported(ledger, data_dir, show: bool, log) -> str:
    """Write the report; its address, or why there is none. A report that fails costs nothing: it can be written again."""
    from study.reporting.build import FOLDER, write_report

    try:
        ledger.fetch()
        address = write_report(ledger, data_dir).resolve().as_uri()
        ledger.publish(FOLDER)
    except (UserError, OSError) as error:
        return f"not written: {error}"
    except Exception as error:
        return (
            f"not written: {type(error).__name__}: {' '.join(str(error).split())}"
            f" (`STUDY_TRACEBACK=1 {of_ledger('report', ledger)}` shows where)"
        )
    if show:
        webbrowser.open(address)
    return address


def measuring_share(plan) -> str:
    """How much of the trials' time went into measuring rather than training."""
    spent = [
        sum(result["measures"].get(name, 0) for result in plan.results.values()) for name in ("time/train_s", "time/measure_s")
    ]
    return f"measuring and drawing took {spent[1] / max(sum(spent), 1e-9):.0%} of the trials' time"


if __name__ == "__main__":
    outlive_the_terminal()
    sys.exit(run_command(main))
