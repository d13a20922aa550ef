"""Measure what a study's trainings kept once more, without training: with other features, or with measures that are new.

python study/measure.py --space latent_sweep
python study/measure.py --space latent_sweep --features-seed 1
python study/measure.py --space latent_sweep --features inception --inception-weights FILE
python study/report.py --space latent_sweep --features inception

The weights of every training on held-out data are scored on the images that its own scores are of. What is measured stands
beside the results, and is measured once: the same command goes on after a crash, and after a sweep that grew.
"""

import argparse
import sys
import time
from concurrent.futures import Future, wait
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

if __name__ == "__main__":  # this clone's code, whatever is installed, and not study/ itself, where Python looks first
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from study.cli import DONE, SOME_FAILED, add_features, add_study, features_arguments, run_command, trust
from study.errors import UserError
from study.ledger.next_steps import command, study_arguments
from study.metrics.catalogue import spread
from study.sweep.launch_options import add_options

CATCH_UP_S = 600.0  # how long MLflow is waited for
QUICK_S = 1.0  # within which is prepared what is there already
ASKED = ("tracking_uri", "inception_weights", "address", "cpus_per_trial", "gpus_per_trial", "max_concurrent")


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_study(parser)
    add_features(parser, "those that the study was tuned by")
    add_options(parser, ASKED)
    return parser.parse_args(arguments)


def main(arguments=None) -> int:
    options = parse(arguments)
    trust(options)
    from study.data.datasets import data_folder
    from study.ledger.folder import finished
    from study.ledger.opening import open_study
    from study.space.loading import load_space
    from study.sweep.progress import console
    from study.sweep.ray_measuring import begin, kept

    screen = console()

    def log(text):
        screen.print(text, markup=False, soft_wrap=True)

    space = load_space(options.space)
    ledger, data_dir = open_study(options.storage, space.name), data_folder(options.data_dir)
    with ledger.lock(), ExitStack() as at_work:
        trials = kept(finished(ledger))
        preparing = beside(prepared, space, ledger, trials, data_dir, options, log)
        if not wait([preparing], QUICK_S).done:  # features are being trained, on one core
            begin(options, at_work, log)
        wanted = preparing.result()
        log(f"{len(wanted)} trainings to measure")
        if wanted:
            begin(options, at_work, log)
        failures = run(ledger, data_dir, wanted, options, screen) if wanted else {}
        at_work.close()
        shown(space, ledger, [key for key, _, _ in trials], options, log)
    for key, reason in failures.items():
        log(f"not measured: {key}: {reason}")
    log(f"  {command('report', *study_arguments(options.space, options.storage), *features_arguments(options))}")
    return SOME_FAILED if failures else DONE


def beside(function, *arguments) -> Future:
    """What a function returns, called in a thread that the end of the program does not wait for."""
    found = Future()

    def call():
        try:
            found.set_result(function(*arguments))
        except BaseException as error:
            found.set_exception(error)

    Thread(target=call, daemon=True).start()
    return found


def prepared(space, ledger, trials, data_dir, options, log) -> list:
    """Make the features that are asked for; those of the trainings that have still to be measured with them."""
    from study.data.datasets import dataset_of
    from study.ledger.folder import DATA
    from study.metrics import features
    from study.space.cells import import_path
    from study.sweep.preparation import features_of
    from study.sweep.ray_measuring import lacking
    from study.training.measuring import FeaturesOf

    if not trials:
        raise UserError(
            f"no training of '{ledger.root.name}' has kept weights yet: there is nothing to measure; launch the study first"
        )
    weights, hashes, fitting = options.inception_weights, {}, []
    if weights is None and (there := ledger.root / "features" / features.WEIGHTS).exists():
        weights = there
    for dataset, spec in {dataset_of(spec): spec for _, spec, _ in trials}.items():
        start, images = time.monotonic(), dataset.prepare(data_dir, log=log)
        own = [trial for trial in trials if trial[1].dataset == dataset.name]
        fitting += (known := [trial for trial in own if trial[1].fingerprint == images.fingerprint])
        if len(known) < len(own):
            log(
                f"{dataset.name}: {len(own) - len(known)} trainings were on other images than those in {data_dir}, and are left out"
            )
        if not known:
            continue
        if options.address or ledger.address != str(ledger.root):
            dataset.publish(data_dir, ledger.root / DATA / images.fingerprint)
        kind = options.features or spec.features_kind
        extractor, real = features_of(dataset, images, ledger.root, data_dir, kind, weights, log, options.features_seed)
        hashes[dataset.name] = FeaturesOf(kind, options.features_seed, extractor.hash, options.samples, options.against)
        log(
            f"{dataset.name}: measured by {extractor.describe}, seed {options.features_seed};"
            f" real images score fd_rel {spread(real.measures['quality/fd_rel'])} ({time.monotonic() - start:.1f} s)"
        )
    for name in (DATA, "features"):
        ledger.publish(name)
    return lacking(ledger, fitting, hashes, {name: import_path(measure) for name, measure in space.measures.items()})


def run(ledger, data_dir, wanted, options, screen) -> dict[str, str]:
    """Measure on Ray; by key, why a training could not be measured."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from study.sweep.ray_measuring import measure

    columns, failures = (TextColumn("measured"), BarColumn(), MofNCompleteColumn(), TextColumn("left:"), TimeRemainingColumn()), {}
    with Progress(*columns, console=screen) as progress:
        bar = progress.add_task("", total=len(wanted))

        def measured_one(found):
            ledger.put_measurement(found)
            progress.advance(bar)

        measure(ledger, data_dir, options, trust(options), wanted, measured_one, failures.__setitem__)
    return failures


def shown(space, ledger, keys, options, log) -> None:
    """Have MLflow show what was measured: afterwards, since its thread would take a third of a core from who measures."""
    from study.mlflow_view.background import BackgroundTracker
    from study.mlflow_view.store import default_uri

    uri = options.tracking_uri or default_uri(options.storage)
    tracker_thread = BackgroundTracker(uri, ledger, space.name, space.question, log)
    tracker_thread.start()
    for key in keys:
        tracker_thread.notify(key)
    if not features_arguments(options):  # what the table of cells shows may be new
        tracker_thread.summarise()
    if not tracker_thread.close(CATCH_UP_S):
        sync = command("tracking", "sync", *study_arguments(options.space, options.storage))
        log(f"MLflow at {uri} lacks some of this; `{sync}` catches up")


if __name__ == "__main__":
    sys.exit(run_command(main))
