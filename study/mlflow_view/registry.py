"""The best model of each dataset in MLflow's registry under the alias `champion`: loadable without pickle, latents in, images out.

    mlflow.pyfunc.load_model("models:/latent_sweep-digits@champion").predict(z)     z: float32 (n, latent_dim)

Best means the lowest fd_rel of a confirmed cell, the median over its replicates (study/analysis/cell_table.py). It names a model to
draw from, not a winner: see the verdicts for that.
"""

import logging
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from mlflow.exceptions import MlflowException
from torch import nn

from study.analysis.cell_table import cells, champions, confirmed
from study.errors import UserError
from study.ledger.folder import Ledger
from study.training.weights import rebuilt

ALIAS = "champion"


class Sampler(nn.Module):
    """A model's `sample` as a forward: latents (n, latent_dim) to images (n, C, H, W) in [0, 1]."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, z):
        return self.model.sample(z)


def register(client, ledger: Ledger, space: str) -> None:
    """Point each dataset's champion at its best trial; nothing is registered twice."""
    for key in (cell.trial for cell in confirmed(champions(cells(ledger)))):
        spec, tracked = ledger.spec(key), ledger.tracked(key)
        if spec and tracked and current(client, name := f"{space}-{spec.dataset_slug}") != key:
            try:
                model = rebuilt(ledger, key)
            except UserError as error:
                print(f"{name} is not registered: {error}", file=sys.stderr)
            else:
                client.set_registered_model_alias(name, ALIAS, add_version(client, model, name, key, tracked.run_id))


def current(client, name: str):
    """The trial key behind the alias now, or None."""
    try:
        return client.get_model_version_by_alias(name, ALIAS).tags.get("trial_key")
    except MlflowException:
        return None


def add_version(client, model, name: str, key: str, run_id: str) -> str:
    try:
        client.create_registered_model(
            name, description="Draws images from latents: float32 (n, latent_dim) in, (n, C, H, W) in [0, 1] out."
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    with tempfile.TemporaryDirectory() as folder:
        save(model, Path(folder) / "model")
        client.log_artifacts(run_id, str(Path(folder) / "model"), "model")
    source = f"{client.get_run(run_id).info.artifact_uri}/model"
    return client.create_model_version(name, source, run_id, tags={"trial_key": key}).version


def save(model, folder: Path) -> None:
    """An MLflow model in PyTorch's exported format, which holds a graph and tensors but no pickle."""
    import mlflow.pytorch
    from mlflow.models import infer_signature

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    z = np.random.default_rng(0).standard_normal((2, model.latent_dim)).astype(np.float32)
    with torch.no_grad():
        images = model.sample(torch.from_numpy(z)).numpy()
    sampler = Sampler(model).eval().to(memory_format=torch.contiguous_format)  # others are exported with a warning
    mlflow.pytorch.save_model(
        sampler,
        folder,
        serialization_format="pt2",
        input_example=z,
        signature=infer_signature(z, images),
        pip_requirements=[f"torch=={torch.__version__.split('+')[0]}"],
    )
