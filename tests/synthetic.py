"""A study's ledger made up in a moment: the files that a sweep leaves behind, from numbers whose truth is known."""

import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
from PIL import Image

from study.ledger.folder import Ledger

SPREADS = {
    "quality/fd_rel": 0.03,
    "quality/coverage": 0.03,
    "quality/precision": 0.03,
    "likelihood/recon": 0.5,
    "likelihood/elbo": 0.5,
}
EPOCHS = 24

MODELS = {"vae": "models.vae:VAE", "gan": "models.gan:GAN", "wgan": "models.wgan:WGAN"}
LOSSES = {"vae": ["vae/loss", "vae/recon"], "gan": ["critic/loss", "generator/loss"], "wgan": ["critic/distance", "generator/loss"]}


def sweep(
    root: Path,
    models=("vae", "gan", "wgan"),
    nets=("fc",),
    depths=(1, 2),
    latents=(2, 8),
    datasets=("digits",),
    settings={},
    proposals=3,
    seeds=6,
    epochs=6,
    confirm=True,
    draw=True,
    planned=True,
    world=lambda cell: {},
    rng=0,
    **spec_changes,
) -> Ledger:
    """A finished sweep under `root`; settings: name -> values; world(cell) -> measures that differ from the usual, or {"status": "diverged"}."""
    ledger, rng = Ledger(root), np.random.default_rng(rng)
    lines = []
    for values in itertools.product(models, nets, depths, latents, datasets, *settings.values()):
        cell = dict(zip(("model", "net", "depth", "latent_dim", "dataset"), values))
        told = "".join(f"{word}-{value}-" for word, value in zip(settings, values[5:]))
        name = "{model}-{net}-d{depth}-z{latent_dim}-{told}{dataset}".format(**cell, told=told)
        cell["settings"] = dict(zip(settings, values[5:]))
        keys = [
            trial(ledger, name, cell, "search", [0], index, epochs, rng, world, draw and not confirm and not index, spec_changes)
            for index in range(proposals)
        ]
        if confirm:
            keys.append(trial(ledger, name, cell, "confirm", list(range(seeds)), None, epochs, rng, world, draw, spec_changes))
        lines.append({"cell": name, "model": cell["model"], "dataset": cell["dataset"], "planned": proposals + 1, "trials": keys})
    if planned:
        (root / "planned.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return ledger


def trial(ledger, name, cell, stage, seeds, proposal, epochs, rng, world, draw, spec_changes) -> str:
    part = f"search-{proposal:03d}" if stage == "search" else f"confirm-s{seeds[0]:02d}to{seeds[-1]:02d}"
    key = f"{name}-{part}-{hashlib.sha256(f'{name}{part}{spec_changes}'.encode()).hexdigest()[:10]}"
    folder = ledger.folder(key)
    folder.mkdir(parents=True)
    spec = {
        "key": key,
        "space": ledger.root.name,
        "stage": stage,
        "seeds": seeds,
        "proposal": proposal,
        "params": {"lr": 1e-3},
        "proposed_by": "confirm" if proposal is None else "default" if proposal == 0 else "random",
        "epochs": epochs,
        "batch_size": 32,
        **cell,
        "model": MODELS[cell["model"]],
        "net": f"models.nets:{cell['net']}",
        "system": "",
        "fingerprint": "f" * 64,
        "features": "e" * 16,
        "protocol": 1,
        **spec_changes,
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    replicas = [replica(cell, seed, rng, world(cell)) for seed in seeds]
    if epochs:
        write_rows(folder, cell, replicas, epochs, rng)
    if draw:
        draw_pictures(folder, cell["model"], epochs, rng)
    (folder / "result.json").write_text(json.dumps(result(key, spec, replicas)))
    return key


def replica(cell, seed, rng, changes) -> dict:
    """A larger latent is nearer, more depth is a little farther, a GAN covers less; all with noise of a few percent."""
    if changes.get("status") == "diverged":
        return {"seed": seed, "status": "diverged", "diverged_at": 1, "measures": {"time/train_s": 2.0, "time/step_ms": 1.0}}
    near = {"vae": 0.30, "gan": 0.22, "wgan": 0.18}[cell["model"]] * (8 / cell["latent_dim"]) ** 0.5
    near += 0.03 * cell["depth"]
    wide = {"vae": 0.62, "gan": 0.45, "wgan": 0.74}[cell["model"]] - 0.2 / cell["latent_dim"]
    measures = {
        "quality/fd_rel": near,
        "quality/precision": 0.8,
        "quality/recall": wide - 0.1,
        "quality/coverage": wide,
        "modes/label_jsd": 0.02,
        "modes/classes": 10.0,
        "memory/nn_ratio": 1.0,
    }
    if cell["model"] == "vae":
        measures |= {"likelihood/elbo": -20 - cell["depth"], "likelihood/recon": 15.0 + cell["depth"]}
    measures = {name: value * float(np.exp(rng.normal(0, 0.04))) for name, value in measures.items()}
    measures |= {"path/precision": 0.8 + 0.01 * (seed % 3), "path/confidence": 0.9, "path/largest_jump": 0.3}
    spent = {"time/train_s": 3.0 * cell["depth"], "time/step_ms": 1.0 * cell["depth"], "cost/parameters": 1e4 * cell["depth"]}
    measures |= {**spent, **{name: value for name, value in changes.items() if name != "status"}}
    return {
        "seed": seed,
        "status": "done",
        "diverged_at": None,
        "measures": {name: value for name, value in measures.items() if value is not None},
    }


def write_rows(folder, cell, replicas, epochs, rng) -> None:
    rows = []
    for epoch in range(epochs + 1):
        values = {"quality/fd_rel": [entry["measures"].get("quality/fd_rel", 1) * (1 + 3 * 0.5**epoch) for entry in replicas]}
        if epoch:
            values |= {f"loss/{name}": rng.normal(5 / epoch, 0.1, len(replicas)).tolist() for name in LOSSES[cell["model"]]}
        rows.append(json.dumps({"epoch": epoch, "time": 1.7e9 + epoch, "values": values}) + "\n")
    (folder / "metrics.jsonl").write_text("".join(rows))


def draw_pictures(folder, model, epochs, rng) -> None:
    """Grids of 8 x 4 tiles of 32 pixels that clear up over the epochs."""
    (folder / "images").mkdir()
    last = "reconstructions" if model == "vae" else "nearest"
    for kind, when in {"samples": range(epochs + 1), last: [epochs], "interpolation": [epochs]}.items():
        for epoch in when:
            small = rng.integers(0, 255, (16, 32), dtype=np.uint8) // max(1, epochs - epoch + 1)
            pixels = np.pad(
                small.repeat(8, 0).repeat(8, 1).reshape(4, 32, 8, 32), ((0, 0), (0, 1), (0, 0), (0, 1)), constant_values=255
            ).reshape(132, 264)[:-1, :-1]
            Image.fromarray(pixels).convert("RGB").save(folder / "images" / f"{kind}-{epoch:05d}.png", compress_level=1)


def result(key, spec, replicas) -> dict:
    done = [entry["measures"] for entry in replicas if entry["status"] == "done"]
    names = dict.fromkeys(name for measures in done for name in measures)
    measures = {name: float(np.mean([row[name] for row in done if name in row])) for name in names}
    return {
        "key": key,
        "status": "done" if done else "diverged",
        "objective": measures.get("quality/fd_rel"),
        "measures": measures,
        "replicas": replicas,
        "seeds": spec["seeds"],
        "epochs": spec["epochs"],
        "params": spec["params"],
        "drawn": {},
        "time": 1.7e9,
        "features": spec["features"],
        "torch": "2.13.0",
        "device": "cpu",
    }


def floor_of(mean: float, deviation: float) -> dict:
    """What digits score against each other, as preparation notes it."""
    scores = {"quality/fd_rel": [mean, deviation]}
    return {"features": "e" * 16, "repeats": 10, "real": 360, "samples": 360, "drawn": 2500, "measures": scores}


MEANS = {
    "quality/fd_rel": 0.3,
    "quality/coverage": 0.7,
    "quality/precision": 0.8,
    "likelihood/recon": 80.0,
    "likelihood/elbo": -105.0,
    "time/step_ms": 2.0,
    "collapse": 0.0,  # probability of three classes of ten
    "arrival": 6.0,  # epoch from which the curve of fd_rel is level
    "distance_slope": 0.0,
    "loss_slope": 0.0,  # of the loss curves, in units of their noise per epoch
    "instability": 1.0,  # factor on the spread over seeds
    "proposal_spread": 0.3,
}  # of log2 fd_rel over search proposals


def measures(means, rng):
    """The measures and curves of one training."""
    found = {name: means[name] + means["instability"] * rng.normal(0, spread) for name, spread in SPREADS.items()}
    epochs = np.arange(EPOCHS + 1)
    above = 2 * np.clip(1 - epochs / (means["arrival"] + rng.normal(0, 0.5)), 0, 1)
    noise = rng.normal(size=(4, EPOCHS + 1))
    found["curve/quality/fd_rel"] = (found["quality/fd_rel"] * (1 + above) * np.exp(0.02 * noise[0])).tolist()
    for name, slope, jitter in (
        ("critic/distance", "distance_slope", noise[1]),
        ("critic/loss", "loss_slope", noise[2]),
        ("generator/loss", "loss_slope", noise[3]),
    ):
        found[f"curve/loss/{name}"] = [None, *(means[slope] * epochs + jitter)[1:].tolist()]
    found["modes/classes"] = 3.0 if rng.random() < means["collapse"] else 10.0
    for name in sorted(means.keys() - MEANS.keys() - found.keys()):  # what a world has besides
        value = np.asarray(means[name])
        found[name] = (value + rng.normal(0, 0.03, value.shape)).tolist()
    return found
