"""What is right and fast on a card is found out there: tested with a stand-in for its graphs, and on a card where there is one."""

import json
from dataclasses import replace

import pytest
import torch
from graph_stand_in import GraphStandIn
from trials import planned

from models.gan import GAN
from models.nets import conv, fc
from models.vae import VAE
from models.wgan import WGAN
from study.ledger.files import read_spec
from study.ledger.folder import Ledger
from study.sweep.plan_tables import found_on_cards
from study.training import run, self_check
from study.training.replicas import Replicas
from study.training.self_check import REFERENCE, Choices, Example, Way, chosen

MODELS = [(VAE, fc), (VAE, conv), (GAN, fc), (GAN, conv), (WGAN, fc), (WGAN, conv)]


def example(device="cpu", count=96, batch_size=8) -> Example:
    images = torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Example(images.to(device), 256, batch_size)


def builds(model, net, count=3, **settings):
    return [lambda: model((1, 8, 8), net, 1, 4, width=8, **settings)] * count


def choice_of(model=VAE, net=fc, count=3, graph=GraphStandIn, **settings):
    return chosen(builds(model, net, count, **settings), range(count), example(), "float32", graph)


@pytest.mark.parametrize("model, net", MODELS)
def test_every_way_of_every_model_is_tried_and_equals_the_plainest(model, net):
    choice = choice_of(model, net)
    assert [each.way for each in choice.tried if each.wrong] == []
    assert len(choice.tried) == (6 if net is conv else 4) and REFERENCE in [each.way for each in choice.tried]
    if choice.pack == 3:
        best = min(choice.tried, key=lambda each: each.step_ms)
        assert choice.way == best.way


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("model, net", MODELS)
def test_recorded_steps_are_those_without_a_graph_and_are_replayed(model, net, fused):
    plain, graph = (Replicas(builds(model, net), range(3), fused=fused, graph=own) for own in (None, GraphStandIn))
    for _ in range(2):
        expected, losses = (example().epoch_of(own) for own in (plain, graph))
    assert all(step.graph.replays > 0 for step in graph.captured.values())
    assert all(torch.equal(losses[name], value) for name, value in expected.items())
    assert all(torch.equal(graph.parameters[name], value) for name, value in plain.parameters.items())


class Broken(GraphStandIn):
    def record(self, function):
        raise RuntimeError("operation not permitted when stream is capturing\nand more")


class Lazy(GraphStandIn):
    """Records all but the counting of steps, by which Adam corrects its moments."""

    def record(self, function):
        made = super().record(function)
        self.operations = [own for own in self.operations if own[0] is not torch.ops.aten.add_.Tensor]
        return made


@pytest.mark.parametrize(
    "graph, why", [(Broken, "it ended with RuntimeError: operation not permitted"), (Lazy, "the weights move otherwise by")]
)
def test_a_graph_that_is_wrong_is_not_used_and_why_is_said(graph, why):
    choice = choice_of(graph=graph)
    assert not choice.way.graphs
    assert {each.way.graphs for each in choice.tried if why in each.wrong} == {True}
    assert all(each.wrong for each in choice.tried if each.way.graphs)


def test_an_input_that_is_not_copied_is_found(monkeypatch):
    monkeypatch.setattr(torch, "_foreach_copy_", lambda inputs, given: None)
    wrong = [each.wrong for each in choice_of().tried if each.way.graphs]
    assert len(wrong) == 2 and all("of its step" in each for each in wrong)


def test_a_graph_that_goes_on_after_a_resume_does_not_step_the_memory_of_before():
    whole, broken = (Replicas(builds(GAN, fc), range(3), fused=True, graph=GraphStandIn) for _ in range(2))
    for _ in range(2):
        example().epoch_of(whole)
    example().epoch_of(broken)
    state = broken.state_dict()
    example().epoch_of(broken)  # beyond it, and back
    broken.load_state_dict(state)
    example().epoch_of(broken)
    assert all(torch.equal(broken.parameters[name], value) for name, value in whole.parameters.items())


def test_a_last_batch_of_another_size_has_a_graph_of_its_own():
    plain, graph = (Replicas(builds(VAE, fc), range(3), fused=True, graph=own) for own in (None, GraphStandIn))
    for size in (8, 12, 8):
        expected, losses = (own.train_epoch(example().images, 256, size) for own in (plain, graph))
    assert len(graph.captured) == 2
    assert all(torch.equal(losses[name], value) for name, value in expected.items())


def measured_as(monkeypatch, measures):
    """measures(way, replicas) -> milliseconds of a step and bytes, in the place of what was measured."""
    trained = self_check.Trials.trained
    monkeypatch.setattr(
        self_check.Trials, "trained", lambda self, way, which: (trained(self, way, which)[0], *measures(way, len(which)))
    )


def test_of_what_does_not_fit_half_as_many_are_taken(monkeypatch):
    monkeypatch.setattr(self_check, "memory", lambda: 5 * 2**30)
    measured_as(monkeypatch, lambda way, count: (1.0, count * 2**30))
    choice = choice_of(count=16)
    assert choice.pack == 4 and all(not each.wrong for each in choice.tried)


def test_what_runs_out_of_memory_is_no_way(monkeypatch):
    whole = Way.replicas

    def small(self, builds, *others):
        if len(builds) > 2:
            raise torch.OutOfMemoryError("no")
        return whole(self, builds, *others)

    monkeypatch.setattr(Way, "replicas", small)
    choice = choice_of(count=8)
    assert choice.pack == 8 and not choice.way.fused  # one after the other needs no more than one
    assert [each.wrong for each in choice.tried if each.way.fused] == ["8 of them do not fit into its memory"] * 2


def test_half_as_many_are_taken_where_they_are_faster(monkeypatch):
    measured_as(monkeypatch, lambda way, count: (float(count**2) if way.fused else 1e6, 0))
    assert choice_of(count=8).pack == 1


def test_a_choice_is_noted_with_the_study_and_found_there_again(ledger, data_dir, monkeypatch, capsys):
    spec = read_spec(planned(ledger, data_dir))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "Some Card")
    made = builds(VAE, fc, 1)
    found = [Choices(ledger.root).of([spec], made, [0], example()) for _ in range(2)]
    (place,) = (ledger.root / "devices").iterdir()
    noted = json.loads(place.read_text())
    assert found[0] == found[1] and noted["card"] == f"Some Card, torch {torch.__version__}" and len(noted["tried"]) == 4
    assert noted["cell"] in spec.key and noted["pack"] == noted["count"] == 1
    said = found_on_cards(ledger)
    assert said[0].startswith(f"on Some Card, torch {torch.__version__} 1 kinds of packs were tried: 0 are trained as graphs")
    assert [line.split(": ")[1].split(", since")[0] for line in said[1:]] == [
        "not side by side, as graphs",
        "not one at a time, as graphs",
    ]
    Choices(ledger.root).limit(spec, example(), 1)
    place.write_text("{}")
    assert Choices(ledger.root).of([spec], made, [0], example()).pack == 1  # found anew where the note is damaged
    Choices(ledger.root).of([spec] * 3, made * 3, range(3), example())
    assert json.loads(place.read_text())["count"] == 3  # more than before are tried; fewer need not be
    before = place.stat().st_mtime_ns
    assert Choices(ledger.root).of([spec] * 2, made * 2, range(2), example()).pack in (1, 3) and place.stat().st_mtime_ns == before
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "Another Card")
    Choices(ledger.root).of([spec], made, [0], example())
    assert len(list((ledger.root / "devices").glob("*.json"))) == 2


@pytest.fixture
def like_a_card(monkeypatch):
    """A processor by another name, with a stand-in for graphs."""
    whole = Way.replicas
    monkeypatch.setattr(Way, "replicas", lambda self, *given: whole(self, *given[:4], GraphStandIn))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "Some Card")
    return "cpu:0"


def several(ledger, data_dir, count) -> list:
    """Trainings of one cell, by their folders."""
    first = read_spec(planned(ledger, data_dir, GAN))
    specs = [replace(first, key=f"{first.key}{k}", seeds=[k], rungs=[3], stage="search") for k in range(count)]
    for spec in specs:
        ledger.put_spec(spec.key, spec)
    return [ledger.folder(spec.key) for spec in specs]


@pytest.mark.long
def test_a_pack_on_a_card_goes_on_beyond_a_rung_and_comes_to_what_a_processor_does(tmp_path, data_dir, like_a_card, monkeypatch):
    found = {}
    for device, reference in (("cpu", False), (like_a_card, False), (like_a_card, True)):
        folders = several(Ledger(tmp_path / f"{device}{reference}"), data_dir, 4)
        _, waiting = run.run_pack(folders, 3, data_dir, device, reference=reference)
        results, _ = run.run_pack(folders[:2], 6, data_dir, device, reference=reference)
        found[device, reference] = [*waiting.values(), *(result.objective for result in results)]
        assert [(result.status, result.attempts) for result in results] == [("done", [0, 3])] * 2
    for values in found.values():
        assert values == pytest.approx(found["cpu", False], rel=1e-3)
    assert len(list((tmp_path / f"{like_a_card}False" / "devices").glob("*.json"))) == 1  # of four, which two are a part of
    assert not (tmp_path / f"{like_a_card}True" / "devices").exists()


def test_a_pack_that_runs_out_of_memory_while_it_trains_goes_on_in_halves(ledger, data_dir, like_a_card, monkeypatch):
    folders, train = several(ledger, data_dir, 5), run.Run.train_one_epoch

    def greedy(self, report):
        if len(self.trainings) > 2 and self.epoch == 1:
            raise torch.OutOfMemoryError("no")
        train(self, report)

    monkeypatch.setattr(run.Run, "train_one_epoch", greedy)
    monkeypatch.setattr(self_check, "GAIN", 0.0)  # timings decide nothing here
    results, waiting = run.run_pack(folders, 6, data_dir, like_a_card, checkpoint_s=0.0)
    assert [(result.status, result.pack) for result in results] == [("done", 2)] * 4 + [("done", 1)] and not waiting
    assert [result.attempts for result in results] == [[0, 1]] * 5  # from where it was
    (place,) = (ledger.root / "devices").glob("*.json")
    assert json.loads(place.read_text())["pack"] == 2
