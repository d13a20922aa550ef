"""On a CUDA device: the same as on a processor, steps as graphs, a trial that goes on, a share that is measured."""

import copy
import json
from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from trials import killed_after, planned

from models.gan import GAN
from models.nets import conv, fc
from models.vae import VAE
from models.wgan import WGAN
from study.errors import UnfitMachine, UserError
from study.ledger.files import read_spec
from study.sweep.gpu_share import MOST, heaviest, share_of
from study.training import replicas
from study.training.cuda_graphs import CudaGraph
from study.training.numerics import products_in
from study.training.replicas import Replicas
from study.training.self_check import Example, chosen

needs_card = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: benchmarks/gpu.sh")
MODELS = [(VAE, fc), (VAE, conv), (GAN, fc), (GAN, conv), (WGAN, fc), (WGAN, conv)]


def pack(model, net, device, seeds=2, **options) -> Replicas:
    return Replicas([lambda: model((1, 16, 16), net, 2, 4, width=16)] * seeds, range(seeds), device, **options)


def pixels(device) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (96, 1, 16, 16), dtype=torch.uint8, generator=generator).to(device)


@needs_card
@pytest.mark.parametrize("model, net", MODELS)
def test_a_step_on_a_card_is_that_of_a_processor(model, net):
    """The same images, noise and weights, since generators of different devices draw differently."""
    here, there = pack(model, net, "cpu", fused=True), pack(model, net, "cuda")
    images, due = next(here.batches(pixels("cpu"), 256, 32, False))
    epoch = torch.zeros(())
    own = here.step(images, due, epoch)
    other = there.step(images.cuda(), tree_map(torch.Tensor.cuda, due), epoch.cuda())
    for value, wanted in zip(tree_leaves(other), tree_leaves(own)):
        torch.testing.assert_close(value.cpu(), wanted, rtol=1e-3, atol=1e-4)


@needs_card
@pytest.mark.parametrize("seeds", [1, 4])
@pytest.mark.parametrize("model, net", MODELS)
def test_steps_as_graphs_are_those_without(model, net, seeds):
    plain, graph = (pack(model, net, "cuda", seeds, graph=own) for own in (None, CudaGraph))
    for _ in range(3):
        expected, losses = (own.train_epoch(pixels("cuda"), 256, 8) for own in (plain, graph))
    assert all(step.recorded for step in graph.captured.values())
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-3, atol=1e-4)
    for name, value in plain.parameters.items():
        torch.testing.assert_close(graph.parameters[name], value, rtol=1e-3, atol=1e-4)


@needs_card
def test_a_pack_with_graphs_goes_on_from_its_state():
    whole, broken = (pack(VAE, fc, "cuda", graph=CudaGraph) for _ in range(2))
    for _ in range(2):
        whole.train_epoch(pixels("cuda"), 256, 8)
    broken.train_epoch(pixels("cuda"), 256, 8)
    state, other = copy.deepcopy(broken.state_dict()), pack(VAE, fc, "cuda", graph=CudaGraph)
    other.load_state_dict(state)
    other.train_epoch(pixels("cuda"), 256, 8)
    for name, value in whole.parameters.items():
        torch.testing.assert_close(other.parameters[name], value, rtol=1e-4, atol=1e-5)


@needs_card
@pytest.mark.parametrize("model, net", MODELS)
def test_the_self_check_finds_all_ways_equal_and_graphs_fastest(model, net):
    builds = [lambda: model((1, 16, 16), net, 2, 4, width=16)] * 4
    choice = chosen(builds, range(4), Example(pixels("cuda"), 256, 8), "float32")
    assert [(str(each.way), each.wrong) for each in choice.tried if each.wrong] == [] and choice.way.graphs


@needs_card
@pytest.mark.parametrize("model, net", MODELS)
def test_nothing_waits_for_the_card_inside_an_epoch(model, net, monkeypatch):
    monkeypatch.setattr(replicas, "fetch", lambda losses: losses)  # which waits, once an epoch
    own, images = pack(model, net, "cuda", graph=CudaGraph), pixels("cuda")
    own.train_epoch(images, 256, 8)
    torch.cuda.set_sync_debug_mode("error")
    try:
        own.train_epoch(images, 256, 8)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("model, net", MODELS)
def test_nothing_is_brought_to_the_host_inside_an_epoch_but_at_its_end(model, net, monkeypatch):
    """On a processor: the operations by which a tensor becomes a number or moves are counted."""
    own, images, counted = pack(model, net, "cpu"), pixels("cpu"), Counter()
    own.train_epoch(images, 256, 8)

    class Waits(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            counted.update([str(operation)])
            return operation(*args, **(kwargs or {}))

    with Waits():
        own.train_epoch(images, 256, 8)
    waiting = [name for name in counted if "_local_scalar_dense" in name or "nonzero" in name or "is_nonzero" in name]
    assert waiting == [] and sum(counted.values()) > 100


@needs_card
@pytest.mark.parametrize("reference", [False, True])
def test_a_trial_on_a_card_goes_on_from_its_checkpoint(ledger, data_dir, reference):
    from study.training.run import run_trial

    folder = planned(ledger, data_dir, more=None if reference else {"precision": "tf32"})
    killed_after(folder, data_dir, 3, device="cuda")
    result = run_trial(folder, data_dir, "cuda", reference=reference)
    assert result.status == "done" and result.attempts == [0, 3] and result.device == "cuda"
    assert result.precision == ("float32" if reference else "tf32") and result.measures["cost/peak_memory_mb"] > 0
    assert len(list((ledger.root / "devices").glob("*.json"))) == 1  # of the one that was killed


@needs_card
def test_a_pack_that_runs_out_of_memory_is_trained_in_halves_and_that_is_remembered(ledger, data_dir, monkeypatch):
    from study.training import run

    folder, whole = planned(ledger, data_dir), run.Run.train_one_epoch
    specs = [replace(read_spec(folder), key=f"{folder.name}{k}", seeds=[k]) for k in range(4)]
    for spec in specs:
        ledger.put_spec(spec.key, spec)

    def greedy(self, report):
        if len(self.trainings) > 1:
            torch.empty(2**50, dtype=torch.uint8, device="cuda")
        whole(self, report)

    monkeypatch.setattr(run.Run, "train_one_epoch", greedy)
    results, _ = run.run_pack([ledger.folder(spec.key) for spec in specs], 6, data_dir, "cuda")
    assert [(result.status, result.pack) for result in results] == [("done", 1)] * 4
    (place,) = (ledger.root / "devices").glob("*.json")
    assert json.loads(place.read_text())["pack"] == 1


@needs_card
def test_a_share_is_measured_on_the_heaviest_cell(plan, data_dir):
    from study.sweep.gpu_share import measured

    assert 0 < measured(heaviest(plan, data_dir, 8), reference=False) <= 1


def test_a_share_holds_the_memory_and_the_time_that_were_measured():
    gigabyte = 2**30
    assert share_of(1 * gigabyte, 80 * gigabyte, busy=0.01) == 1 / MOST
    assert share_of(16 * gigabyte, 80 * gigabyte, busy=0.01) == 0.3333  # 16 GB with its reserve are more than a quarter
    assert share_of(1 * gigabyte, 80 * gigabyte, busy=0.9) == 1 / 2  # one trains while another is measured
    assert share_of(200 * gigabyte, 80 * gigabyte, busy=1.0) == 1


@pytest.mark.long
@pytest.mark.ray
def test_the_share_that_was_measured_decides_how_many_trials_a_card_holds():
    """Ray is told of a card that is not there: what is measured on it here needs none."""
    import ray

    from study.sweep import ray_executor

    ray.init(
        "local",
        num_cpus=2,
        num_gpus=1,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(ray_executor.ROOT)}},
    )
    try:
        for busy, trials in ((0.2, 5), (0.14, 7), (0.9, 2)):
            gpus, slots = ray_executor.shares(
                0.1, None, None, lambda busy=busy: ray_executor.on_a_card(("", False), share_of, 2**30, 2**36, busy)
            )
            assert slots == trials and gpus * trials <= 1
    finally:
        ray.shutdown()


@pytest.mark.long
@pytest.mark.ray
def test_a_cluster_with_a_card_on_one_of_its_nodes_trains_whole_cells_there_side_by_side(tmp_path):
    """Ray is told of a card that is not there: what trains on it here is a processor."""
    from ray.cluster_utils import Cluster

    from benchmarks.crash import NOTHING, Study, count

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=2, num_gpus=1)
        study = Study(tmp_path, models=("VAE",), epochs=12, cluster=cluster)
        study.finish("--gpus-per-trial", "0.5")
        assert count(study, []) == NOTHING
        ledger = study.ledger
        confirmed = [result for key in ledger.keys() if (result := ledger.result(key)) and result.spec.stage == "confirm"]
        assert [result.pack for result in confirmed] == [4] * 4  # all replicates, where a processor takes two at a time
    finally:
        cluster.shutdown()


def test_the_heaviest_cell_is_the_one_with_the_largest_network(data_dir, ledger):
    from tiny import IDENTITY, tiny_space

    from study.data import digits
    from study.space import grid
    from study.sweep.plan import Plan

    space = tiny_space(cells=grid([VAE], [fc], [1, 3], [2], [digits], width=[16, 512]))
    spec = heaviest(Plan(space, ledger, IDENTITY), data_dir, 64)
    assert (spec.depth, spec.settings["width"]) == (3, 512) and len(spec.seeds) == 64


def test_a_trial_planned_in_tf32_is_not_trained_without_it(ledger, data_dir):
    from study.training.run import run_trial

    folder = planned(ledger, data_dir, more={"precision": "tf32"})
    with pytest.raises(UnfitMachine, match="the space multiplies in TF32, which needs an NVIDIA card"):
        run_trial(folder, data_dir, "cpu")
    assert not list(folder.glob("metrics.jsonl"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a card")
def test_a_launch_that_asks_for_tf32_without_a_card_is_refused_before_anything_is_planned(tmp_path, data_dir):
    from study import launch

    file = tmp_path / "rounded.py"
    file.write_text(
        "from search_spaces.smoke import SPACE\nfrom dataclasses import replace\nSPACE = replace(SPACE, precision='tf32')\n"
    )
    with pytest.raises(UserError, match="TF32, which needs an NVIDIA card"):
        launch.main(["--space", str(file), "--storage", str(tmp_path / "studies"), "--data-dir", str(data_dir)])
    assert not list(tmp_path.rglob("planned.jsonl"))


def test_a_worker_without_what_was_planned_ends_the_sweep_and_fails_no_trial(ledger, data_dir, monkeypatch):
    pytest.importorskip("ray")
    from study.ledger import storage_check
    from study.sweep import ray_executor

    folder, told = planned(ledger, data_dir, more={"precision": "tf32"}), []
    monkeypatch.setattr(ray_executor.tune, "report", told.append)
    ray_executor.train(
        {
            "ledger": ledger.address,
            "keys": (folder.name,),
            "until": 1,
            "token": storage_check.write_token(ledger),
            "cwd": "/nowhere",
            "data_dir": data_dir,
            "cpus": 1,
            "gpus": 0,
            "checkpoint_s": 1,
            "reference": False,
            "trust": ("", False),
        }
    )
    assert "TF32" in told[0]["stop"] and "outcome" not in told[0]


def test_the_precision_is_what_it_was_afterwards():
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    for wanted in ("tf32", "float32"):
        with products_in(wanted):
            assert torch.backends.cuda.matmul.allow_tf32 is torch.backends.cudnn.allow_tf32 is (wanted == "tf32")
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before
