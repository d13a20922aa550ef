"""The benchmarks run and give rows that a script can read; how fast anything is, they say themselves."""

import json

import numpy as np
import pytest

from benchmarks import fused, gpu, overhead, replicates, scale, search, sweep, table, verdicts

ROW = {"name", "ours", "peer", "ratio"}


def test_packs_are_compared_with_one_at_a_time(monkeypatch, tmp_path):
    monkeypatch.setattr(fused, "SEEDS", (1, 2))
    monkeypatch.setattr(fused, "ROUNDS", 1)
    monkeypatch.setattr(fused, "TOGETHER", 2)
    monkeypatch.setattr(fused, "CELLS", [(fused.WGAN, 1)])
    monkeypatch.setattr(fused, "MODELS", {name: fused.MODELS[name] for name in ("VAE 64-128-20", "GAN 64, two layers of 128")})
    assert fused.main(["--json", str(tmp_path / "rows.json")]) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert len(rows) == 8 and all(ROW <= row.keys() and row["ratio"] > 0 for row in rows)
    assert rows[0]["ratio"] == 1  # one at a time against itself
    assert [line["name"] for line in rows[-2:]] == ["geometric mean, 2 equal", "geometric mean, 2 different"]


def test_what_verdicts_say_is_simulated_beside_the_customary_rules():
    rows = list(verdicts.simulated(20))
    both = [ours for name, usual, ours in rows if "both at once" in name]
    assert len(both) == 8 and set(both) == {"0.0"}
    assert all(0 <= float(share) <= 100 for row in rows for share in row[1:])


@pytest.mark.long
@pytest.mark.parametrize(("luck", "least", "most"), [(0.0, 0.7, 1.0), (3.0, 0.0, 0.6)])
def test_studies_of_one_question_agree_unless_their_cells_have_a_luck_of_their_own(luck, least, most):
    """Effects of two factors, which two measures of 40 datasets tell; luck: what all replicates of a cell share in one study."""
    rng, rows = np.random.default_rng(0), []
    for dataset, depth, latent_dim in np.ndindex(40, 2, 2):
        name = f"{dataset} {depth} {latent_dim}"
        about = {
            "cell": name,
            "dataset": f"d{dataset}",
            "model": "vae",
            "net": "fc",
            "depth": depth + 1,
            "latent_dim": latent_dim + 1,
        }
        shared = luck * rng.normal(size=(4, 2))
        for seed in range(4 * 9):
            fidelity, coverage = 9 + shared[seed // 9] + rng.normal(size=2)
            measures = {"quality/fd_rel": fidelity, "quality/coverage": coverage}
            rows.append(
                {**about, "reduction": None, "stage": "confirm", "status": "done", "seed": seed, "proposed_by": "x", **measures}
            )
    found = replicates.agreement(rows, 4)
    assert found.pairs == 40 * 2 * 2 * 12 and least <= found.inside / found.pairs <= most
    assert "of another study lie in" in replicates.as_markdown(found, 4)


def test_what_an_accelerator_is_asked_runs_on_a_processor_to_the_same_result(monkeypatch):
    for name, value in (("ROUNDS", 1), ("STEPS", 2), ("MANY", (2,))):
        monkeypatch.setattr(gpu, name, value)
    rows = gpu.Bench("cpu").fully_connected("VAE", *gpu.FULLY_CONNECTED["VAE 784-400-20"])
    assert [row["difference"] for row in rows if "difference" in row] == [0]


def test_a_search_on_recorded_curves_costs_what_it_trains_and_finds_more_the_more_it_tries():
    draw = np.random.default_rng(0)
    points = np.column_stack([draw.random(128), 10.0 * draw.integers(2, size=128)])
    final = (points[:, 0] - 0.7) ** 2 + 0.1 * points[:, 1] + draw.normal(0, 0.02, 128)
    final[points[:, 0] > 0.95] = np.inf  # diverged
    ranges = {"lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True, "step": None}, "critic_steps": {"choices": [1, 5]}}
    curves = search.Curves(ranges, {"lr": 1e-4, "critic_steps": 5}, points, {7: final + draw.normal(0, 0.1, 128), 20: final})
    assert search.placed(search.numbers(curves, 3), ranges) == pytest.approx(points[3])
    for sampler in search.REPEATS:
        few, many = (
            np.array([search.played(curves, sampler, size, (), repeat) for repeat in range(2 if sampler == "gp" else 8)])
            for size in (4, 16)
        )
        assert (few[:, 1] == 4).all() and (many[:, 1] == 16).all()
        assert (many[:, 0] >= 0).all() and many[:, 0].mean() < few[:, 0].mean() and many[:, 0].mean() < 0.05
    assert search.played(curves, "quasi-random", 8, (7,), 0)[1] == pytest.approx(4 + 4 * 7 / 20)
    assert search.played(curves, "tpe", 8, (7,), 0)[1] == pytest.approx(4 + 4 * 7 / 20)  # rounds of 4, 2 and 2


@pytest.mark.long
def test_a_study_of_empty_trials_is_measured_from_plan_to_report():
    rows = {row["name"].split(": ")[1]: row for row in scale.measure(60)}
    assert {"a suggestion", "a trial into MLflow", "status.py", "report.py"} <= rows.keys()
    assert all(ROW <= row.keys() and row["ours"] > 0 for row in rows.values())


def test_loops_are_timed_in_turn_and_the_first_round_does_not_count():
    calls = []
    table.in_turn([lambda: calls.append("a"), lambda: calls.append("b")], rounds=2)
    assert calls == ["a", "b"] * 3


def test_programs_take_turns_and_are_timed_by_their_own(monkeypatch, tmp_path):
    """Two programs of two processes each note every hundredth of a second: never two sides in the same turn."""
    monkeypatch.setattr(sweep, "TURN_S", 0.3)
    note = (
        "import subprocess, sys, time\n"
        "if len(sys.argv) == 2: subprocess.Popen([sys.executable, '-c', open(sys.argv[1] + '.py').read(), sys.argv[1], 'x'])\n"
        "for _ in range(60):\n"
        "    open(sys.argv[1], 'a').write(f'{time.time()}\\n'); time.sleep(0.01)\n"
    )
    places = [tmp_path / "one", tmp_path / "other"]
    for place in places:
        place.with_suffix(".py").write_text(note)
    turns = sweep.in_turns(*([sweep.started("-c", note, place)] for place in places))
    for place, own, others in zip(places, turns, reversed(turns)):
        times = [float(line) for line in place.read_text().split()]
        assert len(times) >= 60 and len(own) > 1
        inside = [any(begin - 0.05 < at < end + 0.05 for begin, end in own) for at in times]
        assert sum(inside) >= 0.95 * len(times)
        assert not any(begin < other < end for begin, end in own for turn in others for other in turn)
    assert sweep.own_time([(0, 10), (20, 30)], 5, 22) == 7


@pytest.mark.ray
@pytest.mark.long
def test_what_a_sweep_adds_to_empty_trials_is_measured_in_one(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")  # which a Ray of our own takes away: the clusters of later tests need it
    found = overhead.measure(22)
    assert found["trials"] == 22 and 0 < found["ours"] < 60_000, found
