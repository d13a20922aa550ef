"""The best model of each dataset in MLflow's registry under the alias `champion`: loadable without pickle, latents in, images out.

    mlflow.pyfunc.load_model("models:/latent_sweep-digits@champion").predict(z)     z: float32 (n, latent_dim)
    python study/sample.py --champion latent_sweep-digits [--tracking-uri http://HOST:PORT]

Best means the lowest fd_rel of a confirmed cell, the median over its replicates (study/analysis/cell_table.py). It names a model to
draw from, not a winner: see the verdicts for that.
"""

import logging
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

import numpy as np
import torch
from mlflow.exceptions import MlflowException
from torch import nn

from study.analysis.cell_table import TableCell, cells, champions, confirmed, in_words
from study.errors import UserError, first_line
from study.ledger.folder import Ledger
from study.metrics.catalogue import COVERAGE, FIDELITY, described, number
from study.mlflow_view.image_cards import SAMPLES
from study.training.weights import rebuilt

ALIAS = "champion"
FIRST = (FIDELITY, COVERAGE, "quality/precision", "quality/recall", "cost/parameters", "time/train_s")  # of its measures


class Sampler(nn.Module):
    """A model's `sample` as a forward: latents (n, latent_dim) to images (n, C, H, W) in [0, 1]."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, z):
        return self.model.sample(z)


def register(client, ledger: Ledger, space: str) -> None:
    """Point each dataset's champion at its best trial; nothing is registered twice."""
    for cell in confirmed(champions(cells(ledger))):
        key = cell.trial
        spec, tracked = ledger.spec(key), ledger.tracked(key)
        if spec and tracked and current(client, name := f"{space}-{spec.dataset_slug}") != key:
            try:
                model = rebuilt(ledger, key)
            except UserError as error:
                print(f"{name} is not registered: {error}", file=sys.stderr)
            else:
                version = add_version(client, model, name, key, tracked.run_id)
                client.set_registered_model_alias(name, ALIAS, version)
                client.update_registered_model(name, description(client, cell, name, tracked.run_id))
                client.update_model_version(name, version, in_words(cell))


def current(client, name: str):
    """The trial key behind the alias now, or None."""
    try:
        return client.get_model_version_by_alias(name, ALIAS).tags.get("trial_key")
    except MlflowException:
        return None


def description(client, cell: TableCell, name: str, run_id: str) -> str:
    """Of a registered model, in Markdown: what it is and scores, a picture of its samples, and how it is loaded."""
    shown = [name for name in FIRST if name in cell.values]
    scores = ", ".join(f"{described(key).name} {number(cell.value(key))}" for key in shown)
    pictures = [
        each.path
        for each in client.list_artifacts(run_id, "images")
        if SAMPLES["sheet"] in each.path and each.path.endswith(".png")
    ]
    picture = "".join(f"![samples](get-artifact?path={quote(path)}&run_uuid={run_id})\n\n" for path in pictures[-1:])
    return (
        f"The best of its study: {in_words(cell)}.\n\n{scores}.\n\n{picture}"
        "```python\n"
        "import mlflow, numpy\n"
        f'model = mlflow.pyfunc.load_model("models:/{name}@{ALIAS}")\n'
        f'images = model.predict(numpy.random.randn(16, {cell.latent_dim}).astype("float32"))  # (16, C, H, W) in [0, 1]\n'
        "```\n\n"
        f"Without MLflow's format: `python study/sample.py --champion {name}`"
    )


def fetched(uri: str, wanted: str, folder: Path) -> tuple[Ledger, str]:
    """A ledger in `folder` that holds a champion's trial, with its weights, and the trial's key. wanted: a registered model, or the
    dataset alone where one study has it. UserError where there is none, or the registry cannot be reached."""
    from mlflow import MlflowClient
    from mlflow.artifacts import download_artifacts

    client = MlflowClient(uri)
    try:
        known = [model.name for model in client.search_registered_models() if ALIAS in model.aliases]
        found = [name for name in known if wanted == name] or [name for name in known if name.endswith(f"-{wanted}")]
        if len(found) != 1:
            raise UserError(f"which champion is meant by {wanted!r}? {uri} has: {', '.join(known) or 'none'}")
        version = client.get_model_version_by_alias(found[0], ALIAS)
        ledger, key = Ledger(folder), version.tags.get("trial_key", "")
        place = ledger.folder(key)  # UserError for what is no key
        place.mkdir(parents=True)
        for name in ("spec.json", "result.json", "weights.safetensors"):
            download_artifacts(run_id=version.run_id, artifact_path=name, dst_path=str(place), tracking_uri=uri)
    except (MlflowException, OSError) as error:
        raise UserError(f"MLflow at {uri} does not give the champion of {wanted!r}: {first_line(error)}") from None
    return ledger, key


def add_version(client, model, name: str, key: str, run_id: str) -> str:
    try:
        client.create_registered_model(name)
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
