"""A small trial: planned, and killed after so many epochs."""

import pytest
from tiny import tiny_space

from models.nets import fc
from models.vae import VAE
from study.data import digits
from study.ledger.files import read_spec
from study.metrics import features
from study.space import Budget, grid
from study.sweep.plan import Plan
from study.training import run


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


def planned(ledger, data_dir, model=VAE, epochs=6, more=None, **changes):
    """The first search trial of a small model, its spec in the ledger."""
    images = digits.load(data_dir)
    identity = {"digits": identity_of(images)["digits"] | (more or {})}
    space = tiny_space(
        cells=grid([model], [fc], [1], [2], [digits], width=[16], **{k: [v] for k, v in changes.items()}),
        budget=lambda cell: Budget(epochs, 64),
        propose=lambda trial, cell: {},
    )
    plan = Plan(space, ledger, identity)
    first = plan.left()[0]
    ledger.put_spec(first.key, plan.spec(first, {}, "default"))
    return ledger.folder(first.key)


class Killed(Exception):
    pass


def killed_after(folder, data_dir, epochs, device="cpu"):
    """Run until so many epochs are trained, with a checkpoint after each, then stop dead."""
    started = run.Run(folder, read_spec(folder), data_dir, device, 0.0, lambda: None)
    after = started.checkpoint

    def checkpoint():
        after()
        if started.state.epoch == epochs:
            raise Killed

    started.checkpoint = checkpoint
    with pytest.raises(Killed):
        started.run(lambda epoch, objective: None)
