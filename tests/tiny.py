"""A tiny study that needs no Ray, and stand-ins for what a worker and the driver do with a trial."""

import json

from models.nets import fc
from models.vae import VAE
from study.data import digits
from study.ledger.records import Replica, Result, sealed
from study.space import Budget, Search, Space, grid


def propose(trial, cell):
    return {"lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True)}


def tiny_space(**changes) -> Space:
    """Two small VAEs on digits."""
    settings = {
        "cells": grid([VAE], [fc], [1], [2, 4], [digits], width=[16]),
        "propose": propose,
        "budget": lambda cell: Budget(epochs=2, batch_size=64),
        "search": Search(rounds=(3,), rungs=()),
        "replicates": 4,
        "pack": 2,
        "name": "tiny",
        "question": "Does it work?",
    }
    return Space(**{**settings, **changes})


IDENTITY = {"digits": {"fingerprint": "f" * 8, "features": "e" * 8, "features_kind": "classifier", "shape": [1, 8, 8]}}


def outcome(trial, objective=1.0, status="done", params=None) -> Result:
    """A result as a worker would report it."""
    params = params if params is not None else {"lr": 1e-3}
    measures = {"quality/fd_rel": objective} if status == "done" else {}
    return Result(
        key=trial.key,
        status=status,
        objective=objective if status == "done" else None,
        measures=measures,
        replicas=[Replica(seed, status, measures) for seed in trial.seeds],
        seeds=list(trial.seeds),
        epochs=2,
        params=params,
        time=1.7e9,
        suggested=params,
    )


def spec_of(key="one", **changes) -> dict:
    """The least JSON that is a spec."""
    return {
        "key": key,
        "stage": "search",
        "seeds": [0],
        "params": {},
        "model": "models.vae:VAE",
        "net": "models.nets:fc",
        "depth": 1,
        "latent_dim": 2,
        "dataset": "digits",
        "settings": {},
        "epochs": 1,
        "batch_size": 64,
        "proposed_by": "default",
        **changes,
    }


def result_of(key="one", **changes) -> dict:
    """The least JSON that is a result."""
    return {
        "key": key,
        "status": "failed",
        "objective": None,
        "measures": {},
        "replicas": [],
        "seeds": [0],
        "epochs": 0,
        "params": {},
        "time": 1.7e9,
        **changes,
    }


def rewrite(path, **changes) -> None:
    """A spec or a result with other content, as if it had been written so."""
    path.write_text(json.dumps(sealed({**json.loads(path.read_text()), **changes})))


def finish(plan, trial, **what) -> None:
    """Do as the driver does with a trial: spec, result, plan."""
    params = what.get("params") or trial.params or {"lr": 1e-3}
    plan.ledger.put_spec(trial.key, plan.spec(trial, params, "random", params))
    result = outcome(trial, **{**what, "params": params})
    plan.ledger.put_result(trial.key, result)
    plan.record(trial, result)
    plan._plan_confirm(trial.cell)
