"""What a launch can be told: every option once, with its type, default, unit and help."""

import argparse
import json
import os
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, fields
from pathlib import Path

from study.ledger.files import append_line
from study.ledger.folder import LAUNCHES, Ledger
from study.training.checkpoint import CHECKPOINT_S
from study.training.git_commit import git_commit

EARLIER_NAMES = {"replicates": ("--seeds",)}


def positive(kind: type) -> Callable[[str], float]:
    """Reads a number above 0."""

    def convert(text: str) -> float:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
        return value

    convert.__name__ = "number" if kind is float else "whole number"
    return convert


def span(text: str) -> float:
    """Reads a time: 6h, 30m, 90s; a number alone is hours. Seconds."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    return positive(float)(text[:-1] if text[-1:] in units else text) * units.get(text[-1:], 3600)


span.__name__ = "time like 6h or 30m"
number, whole = positive(float), positive(int)


def option(default, help: str | None = None, **more):
    """A field that is an option of the command line as well."""
    kind = {"action": "store_true"} if default is False else {}
    return field(default=default, metadata={"help": help, **kind, **more})


def names(help: str):
    return option(None, f"{help} (default: all)", nargs="+", metavar="NAME")


@dataclass(frozen=True, kw_only=True)
class LaunchOptions:
    """What a launch is told: first every command's four (study/cli.py); `typed` is what stood on the command line."""

    space: str
    storage: Path | str
    data_dir: str | None = None
    trust_study: bool = False
    typed: tuple[str, ...] = ()
    datasets: list[str] | None = option(
        None,
        "only these: digits, mnist, ..., or folder:PATH or npz:FILE for your own images (default: the space's that are on disk)",
        nargs="+",
        metavar="NAME",
    )
    models: list[str] | None = names("only these: VAE, GAN, WGAN")
    systems: list[str] | None = names("only these systems of a report: A-vae, ...")
    nets: list[str] | None = names("only these nets: fc, conv")
    depths: list[int] | None = option(None, "only these depths (default: all)", nargs="+", type=whole, metavar="N")
    latents: list[int] | None = option(None, "only these latent sizes (default: all)", nargs="+", type=whole, metavar="N")
    where: list[str] | None = option(
        None, "only cells with these settings: width=128 (default: all)", nargs="+", metavar="NAME=VALUE"
    )
    tracking_uri: str | None = option(None, "MLflow's store or server (default: SQLite beside the storage, mlruns/mlflow.db)")
    download: bool = option(False, "fetch the datasets that are not on disk")
    skip_corrupt: bool = option(False, "leave out images of a folder that cannot be read")
    features: str = option("classifier", "what images are measured by (default: %(default)s)", choices=("classifier", "inception"))
    inception_weights: Path | None = option(
        None,
        "weights-inception-2015-12-05-6726825d.pth, for the standard FID (default: those of the study)",
        type=Path,
        metavar="FILE",
    )
    address: str | None = option(None, "a running Ray cluster: auto, or HOST:PORT (default: start Ray here)")
    cpus_per_trial: float = option(1.0, "processors that a pack of trainings gets (default: %(default)g)", type=number, metavar="N")
    gpus_per_trial: float | None = option(
        None, "of a card (default: what the largest cell was measured to need)", type=number, metavar="SHARE"
    )
    reference: bool = option(False, "train one after the other and eagerly, as without any of what was found equal and faster")
    pack: int | None = option(
        None,
        "trainings side by side in one process, where that pays (default: the space's, and on a card what its memory holds)",
        type=whole,
        metavar="N",
    )
    max_concurrent: int | None = option(
        None, "packs of trainings at a time; a cluster that can grow does (default: what it holds)", type=whole, metavar="N"
    )
    replicates: int | None = option(None, "tunings per cell, each for itself (default: the space's)", type=whole, metavar="N")
    proposals: int | None = option(None, "trainings per tuning (default: the space's)", type=whole, metavar="N")
    until_decided: list[str] | None = option(
        None, "add replicates until these claims are decided (default: all that the space is about)", nargs="*", metavar="CLAIM"
    )
    budget: float | None = option(
        None,
        "end after so long, 6h or 30m, with a report of what there is: every cell gets its first replicate before any gets its"
        " second; with --until-decided, no further look that would end later (default: none)",
        type=span,
        metavar="TIME",
    )
    trial_limit: float | None = option(
        None,
        "a training that takes longer, 30m or 2h, has failed; --retry-failed goes on with it (default: none)",
        type=span,
        metavar="TIME",
    )
    epochs: int | None = option(
        None,
        "another study, with its own trials; of a space that keeps states, more epochs train on (default: the space's)",
        type=whole,
        metavar="N",
    )
    checkpoint_seconds: float = option(CHECKPOINT_S, "what a crash may cost (default: %(default)g)", type=number, metavar="S")
    open: bool = option(False, "show the report in a browser from the first minute on: it loads itself again")
    dry_run: bool = option(False, "show the plan and stop")
    check: bool = option(False, "train a few steps of each kind of cell, measure and draw them, say what is wrong, and stop")
    retry_failed: bool = option(False, "run failed trials again")

    @property
    def slots(self) -> int:
        """How many packs of trainings this machine's processors run at once."""
        slots = max(1, int((os.cpu_count() or 1) // self.cpus_per_trial))
        return min(slots, self.max_concurrent or slots)

    def to_json(self) -> dict:
        """The options as they are noted: passwords in addresses are left out."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "typed"}
        return {
            name: re.sub("://[^/@]*@", "://***@", str(value)) if isinstance(value, str | Path) else value
            for name, value in values.items()
        }


def note_launch(ledger: Ledger, options: LaunchOptions) -> None:
    """Add a line to launches.jsonl: when, from which commit of the project and with which options the study was launched."""
    ledger.fetch(LAUNCHES)
    line = {"time": time.time(), "commit": git_commit(), "options": options.to_json()}
    append_line(ledger.root / LAUNCHES, json.dumps(line))
    ledger.publish(LAUNCHES)


GROUPS = {  # of the options, as --help shows them
    "which part of it": ("datasets", "models", "systems", "nets", "depths", "latents", "where"),
    "how much of it": (
        "replicates",
        "proposals",
        "until_decided",
        "epochs",
        "budget",
        "trial_limit",
        "retry_failed",
        "dry_run",
        "check",
    ),
    "images, and what they are measured by": ("download", "skip_corrupt", "features", "inception_weights"),
    "what it runs on": ("address", "cpus_per_trial", "gpus_per_trial", "max_concurrent", "pack", "reference", "checkpoint_seconds"),
    "where it is shown": ("tracking_uri", "open"),
}


def add_options(parser: argparse.ArgumentParser, only: Collection[str] = ()) -> None:
    """All options, or those of these names, for a command that shares them."""
    known = {each.name: each for each in fields(LaunchOptions)}
    for title, members in GROUPS.items():
        group = parser.add_argument_group(title)
        for each in [known[name] for name in members if name in only or not only]:
            names = ["--" + each.name.replace("_", "-"), *EARLIER_NAMES.get(each.name, ())]
            group.add_argument(*names, default=each.default, **each.metadata)
