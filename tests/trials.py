"""A small trial: planned, and killed after so many epochs."""

import pytest
from tiny import tiny_space

from models.nets import fc
from models.vae import VAE
from study.data import digits
from study.ledger.files import read_spec
from study.metrics import features
from study.space import Budget, grid
from study.sweep import preparation
from study.sweep.plan import Plan
from study.training import run
from study.training.checkpoint import Checkpoints
from study.training.training import Training


def identity_of(images) -> dict[str, dict]:
    """What else defines a result on these images of digits, as a launch finds it."""
    return {
        "digits": {
            "fingerprint": images.fingerprint,
            "features": features.recipe_hash(digits, images.fingerprint),
            "features_kind": "classifier",
            "shape": list(images.shape),
        }
    }


def take_features(ledger, data_dir) -> None:
    """Have the features of digits in a study's folder, as a launch does: they are trained once for all studies on that data."""
    preparation.features_of(digits, digits.load(data_dir), ledger.root, data_dir, "classifier", None, lambda line: None)


def planned(ledger, data_dir, model=VAE, epochs=6, more=None, budget={}, **changes):
    """The first trial of a small model, of which nothing is tuned, its spec in the ledger."""
    images = digits.load(data_dir)
    identity = {"digits": identity_of(images)["digits"] | (more or {})}
    space = tiny_space(
        cells=grid([model], [fc], [1], [2], [digits], width=[16], **{k: [v] for k, v in changes.items()}),
        budget=lambda cell: Budget(epochs, 64, **budget),
        propose=lambda trial, cell: {},
    )
    plan = Plan(space, ledger, identity)
    take_features(ledger, data_dir)
    first = plan.left()[0]
    ledger.put_spec(first.key, plan.spec(first, {}, "default"))
    return ledger.folder(first.key)


class Killed(Exception):
    pass


def killed_after(folder, data_dir, epochs, device="cpu"):
    """Run until so many epochs are trained, with a checkpoint after each, then stop dead."""
    checkpoints = Checkpoints(folder.parent.parent)
    training = Training(folder, read_spec(folder), checkpoints)
    started = run.Run([training], training.spec.epochs, data_dir, device, checkpoints, 0.0)
    after = started.checkpoint

    def checkpoint():
        after()
        checkpoints.wait()
        if started.epoch == epochs:
            raise Killed

    started.checkpoint = checkpoint
    with pytest.raises(Killed):
        started.run(lambda epoch, objective: None)
