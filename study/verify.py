"""Hold a study against numbers that were published for its systems: ours beside theirs, with a verdict per cell.

python study/launch.py --space vae_latent_reference
python study/verify.py vae_latent

The table is Markdown. Log-likelihoods are of all test images, by 500 importance samples each, from the weights that trainings
kept; they are computed once, a minute or so each, and stay beside the study.
"""

import argparse
import json
import sys
import time
from pathlib import Path

if __name__ == "__main__":  # this clone's code, whatever is installed, and not study/ itself, where Python looks first
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from study.cli import DONE, SOME_FAILED, add_storage, run_command
from study.errors import UserError
from study.ledger.next_steps import of_ledger
from study.ledger.opening import open_study

TABLES = ("vae_latent", "fid")  # of study/analysis/published_numbers.py, which --help need not load


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocol", choices=TABLES, help="which published table")
    add_storage(parser)
    options = parser.parse_args(arguments)
    from study.analysis.published_numbers import PROTOCOLS, compared

    protocol = PROTOCOLS[options.protocol]
    ledger = open_study(options.storage, protocol.space)
    rows, notes = trainings(ledger, protocol)
    if not rows:
        raise UserError(nothing_found(ledger, notes, protocol))
    if protocol.bounds:
        rows = with_bounds(ledger, rows, options.data_dir)
    found = compared(protocol, rows)
    for line in [*table(protocol, found), *notes]:
        print(line)
    return SOME_FAILED if any("apart" in each.verdict for each in found) else DONE


def nothing_found(ledger, notes: list[str], protocol) -> str:
    """Why there is nothing to compare, and what makes it: trainings, or where there are `notes` about these, measurements."""
    if not notes:
        return f"no training of '{protocol.space}' on held-out images is finished: {of_ledger('launch', ledger)}"
    chosen = protocol.features
    return f"{notes[0]}: {of_ledger('measure', ledger, '--features', chosen.kind, '--samples', chosen.samples)}"


def trainings(ledger, protocol) -> tuple[list[dict], list[str]]:
    """The rows of finished trainings on held-out images, by the protocol's features, and notes about what is left out."""
    from study.analysis.trainings import measured_by, read, rows_of

    trials, notes = measured_by(ledger, [trial for trial in read(ledger) if trial.spec.stage == "confirm"], protocol.features)
    return [row for trial in trials for row in rows_of(trial, {})], notes


def with_bounds(ledger, rows: list[dict], data_dir) -> list[dict]:
    """The rows of trainings that ended, with the bounds of each, which are kept as soon as they are known."""
    from study.ledger.files import write_atomic
    from study.ledger.folder import BOUNDS

    path = ledger.root / BOUNDS
    known = json.loads(path.read_text()) if path.exists() else {}
    lacking = [row["trial"] for row in rows if row["status"] == "done" and row["trial"] not in known]
    began = time.monotonic()
    for index, key in enumerate(lacking):
        known[key] = bounds(ledger, key, data_dir)
        write_atomic(path, json.dumps(known, indent=1).encode())
        left = (time.monotonic() - began) / (index + 1) * (len(lacking) - index - 1)
        print(
            f"{key}: {known[key]['log_likelihood']:.2f} nats ({index + 1} of {len(lacking)}, {left / 60:.0f} min left)",
            file=sys.stderr,
        )
    ledger.publish(BOUNDS)
    return [row | known.get(row["trial"], {}) for row in rows]


def bounds(ledger, key: str, data_dir) -> dict[str, float]:
    """Of a training's kept weights the log-likelihood and the two parts of its lower bound, over all binarised test images."""
    import torch

    from study.analysis.published_numbers import KL, LOG_LIKELIHOOD, RECONSTRUCTION
    from study.data.datasets import data_folder, dataset_of
    from study.metrics.evaluation import binarised
    from study.metrics.likelihood import elbo, iw_nll
    from study.training.weights import rebuilt

    model, spec = rebuilt(ledger, key), ledger.spec(key)
    images = dataset_of(spec).load(data_folder(data_dir))
    if images.fingerprint != spec.fingerprint:
        raise UserError(f"the images of {spec.dataset} are not those that {key} was trained on; --data-dir says where they are")
    x = binarised(images.scaled(images.test.images))
    noise = torch.randn(len(x), model.latent_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        nll = iw_nll(x, model.posterior, model.log_likelihood).mean().item()
        parts = elbo(x, model.posterior, model.log_likelihood, noise)
    return {LOG_LIKELIHOOD: -nll, RECONSTRUCTION: -parts["recon"], KL: parts["kl"]}


def table(protocol, found) -> list[str]:
    """Lines of Markdown: every published number, ours beside it, and whether they agree."""
    lines = [
        f"{protocol.source} ({protocol.link}), beside `--space {protocol.space}`; in {protocol.unit}, the mean over trainings"
        " ± their standard deviation:",
        "",
        "| | measure | published | ours | trainings | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for each in found:
        theirs, ours = spread(each.theirs.value, each.theirs.deviation), spread(each.mean, each.deviation) if each.ours else "–"
        measure = each.measure.split("/")[-1].replace("_", " ")
        lines.append(f"| {each.name} | {measure} | {theirs} | {ours} | {len(each.ours)} | {each.verdict} |")
    return [*lines, "", f"Not as published: {'; '.join(protocol.differs)}."]


def spread(value: float, deviation: float | None) -> str:
    return f"{value:.2f}" + ("" if deviation is None else f" ± {deviation:.2f}")


if __name__ == "__main__":
    sys.exit(run_command(main))
