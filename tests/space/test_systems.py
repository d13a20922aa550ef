"""Every system of the five reports has the layers, sweeps and settings of the published tables, and can be trained."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from by_hand import optimiser_of
from published import CLAIMS_SAY, MATCHED, PAGE, page
from published import SYSTEMS as PRINTED
from synthetic import MEANS, measures
from torch import nn
from trials import identity_of

from models.gan import GAN
from models.nets import conv, fc
from models.vae import VAE
from models.wgan import WGAN
from study import launch
from study.analysis.claims import CLAIMS
from study.analysis.comparisons import matches
from study.analysis.verdicts import judge
from study.cli import run_command
from study.data import cifar10, digits, fashion_mnist, folder, imagenette, mnist, named
from study.errors import UserError
from study.ledger.folder import Ledger
from study.metrics import features
from study.space import grid, match_parameters, moved_to
from study.space.loading import load_space
from study.space.systems import NARROWEST, TOLERANCE, parameters
from study.sweep.plan import Plan
from study.sweep.plan_tables import systems_table
from study.sweep.progress import console
from study.training.replicas import Replicas
from study.training.run import run_trial

NAMES = ("bottleneck_20", "three_sizes", "dropout_or_dcgan", "matched_weights", "depth_and_latent")
SPACES = {name: load_space(name) for name in NAMES}
SYSTEMS = [(space, cell) for space in SPACES.values() for cell in space.cells]
PUBLISHED = [(space, cell) for space, cell in SYSTEMS if cell.dataset != digits]


ROWS = {(system.name, *cell): system for system in PRINTED for cell in system.cells()}
LOSS = {
    "likelihood",
    "variance",
    "reduction",
    "published_loss",
    "smoothing",
    "feature_matching",
    "lr_discriminator",
    "lr_generator",
}
SPARED = {("likelihood", "bernoulli"), ("reduction", "sum")}  # a VAE's own


def cell_at(system, dataset, hidden, latent):
    """The one published cell of a row: of a system on a dataset, with so many hidden layers on each side if it sweeps them."""
    (cell,) = (
        cell
        for _, cell in PUBLISHED
        if (cell.system, cell.dataset, cell.latent_dim) == (system, dataset, latent) and hidden in (None, cell.depth)
    )
    return cell


def built(cell, device="meta"):
    with torch.device(device):
        return cell.build(cell.dataset.shape)


def sides(model):
    """Its two parts: encoder and decoder, or critic and generator."""
    return list(model.children())


def printed(side):
    """The layers of one part as tests/published.py writes them."""
    followers = [*side[1:-1], None, None]  # the last layer only shapes the image
    return [text for layer, after in zip(side, followers) if (text := layer_printed(layer, after))]


def layer_printed(layer, after):
    """One layer; a linear one by the shape of the image that it makes for the layers after it."""
    match layer:
        case nn.Flatten() | nn.Unflatten():
            return ""
        case nn.Linear():
            image = isinstance(after, nn.Unflatten) and tuple(after.unflattened_size)
            return f"Linear {layer.in_features}-{'x'.join(map(str, image)) if image else layer.out_features}"
        case nn.Conv2d() | nn.ConvTranspose2d():
            word = "ConvTransp" if isinstance(layer, nn.ConvTranspose2d) else "Conv"
            return f"{word} {layer.in_channels}-{layer.out_channels} {layer.kernel_size[0]}/{layer.stride[0]}"
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return "BatchNorm" + (f"({layer.eps})" if layer.eps != 1e-5 else "")
        case nn.LeakyReLU():
            return f"LeakyReLU({layer.negative_slope})"
        case nn.Dropout():
            return f"Dropout({layer.p})"
        case nn.MaxPool2d():
            return f"Maxpool {layer.kernel_size}"
        case nn.Upsample():
            return f"Interpolate {layer.size} {layer.mode}"
    return type(layer).__name__


def weighted(side):
    return sum(isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d) for layer in side)


def widths(side):
    linear = [layer for layer in side if isinstance(layer, nn.Linear)]
    return [linear[0].in_features, *(layer.out_features for layer in linear)]


def pixels(side, x):
    """Sides of the images between the layers, repetitions left out."""
    seen = [x.shape[-1]] if x.dim() == 4 else []
    for layer in side.eval():
        x = layer(x)
        if x.dim() == 4 and seen[-1:] != [x.shape[-1]]:
            seen.append(x.shape[-1])
    return seen


def cell_of(system, latent=None):
    """The published cell of a system, on its first dataset."""
    return next(cell for _, cell in PUBLISHED if cell.system == system and latent in (None, cell.latent_dim))


# Layers and settings


def test_the_five_spaces_hold_exactly_the_systems_of_the_table():
    held = [(cell.system, cell.dataset, cell.latent_dim) for _, cell in PUBLISHED if cell.system not in MATCHED]
    assert sorted(map(str, held)) == sorted(str((system, dataset, latent)) for system, dataset, _, latent in ROWS)
    assert all(space.question and not space.ranges(cell) for space, cell in SYSTEMS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[1].name}-d{row[2]}-z{row[3]}")
def test_layers_their_order_and_what_is_between_them_are_those_of_the_table(row):
    cell, (down, up) = cell_at(*row), (side.split(", ") for side in ROWS[row].layers(*row[1:]))
    model = built(cell)
    below, above = map(printed, sides(model))
    below += ["Sigmoid"] * (cell.model is GAN)  # in its cross-entropy; up[-1]: see the test that draws samples
    assert below == down and above == up[:-1]
    assert cell.depth == sum(text.startswith(("Linear", "Conv")) for text in down) - 1


@pytest.mark.parametrize("system", PRINTED, ids=lambda system: system.name)
def test_a_system_is_trained_as_the_table_says(system):
    cells = [cell for _, cell in PUBLISHED if cell.system == system.name]
    budgets = {cell.dataset: space.budget(cell) for space, cell in PUBLISHED if cell.system == system.name}
    assert {dataset: budget.epochs for dataset, budget in budgets.items()} == system.epochs
    assert {budget.batch_size for budget in budgets.values()} == {system.batch}
    loss = dict(system.loss)
    assert all({item for item in cell.settings.items() if item[0] in LOSS} - SPARED == set(system.loss) for cell in cells)
    first, *others = built(cells[0]).phases
    rates = {"critic": loss.get("lr_discriminator"), "generator": loss.get("lr_generator")}
    for phase in (first, *others):
        assert phase.optimiser == replace(system.optimiser, lr=rates.get(phase.name) or system.optimiser.lr)
    assert (first.clip, [phase.every for phase in others]) == (system.clip, [system.critic_steps] * len(others))


def test_the_page_of_the_reports_is_the_table():
    assert list(CLAIMS_SAY) == [claim.id for claim in CLAIMS]
    assert PAGE.read_text() == page(), "write it anew: PYTHONPATH=. python tests/published.py"


def test_the_dcgan_of_report_c_grows_1_3_7_14_28():
    critic, generator = sides(built(cell_of("C-dcgan"), "cpu"))
    assert pixels(generator, torch.randn(2, 100)) == [1, 3, 7, 14, 28]
    assert pixels(critic, torch.rand(2, 1, 28, 28)) == [28, 14, 7, 4, 2]


@pytest.mark.parametrize("system, end", [("D-vae-imagenette", [8]), ("D-gan-imagenette", [4])])
def test_report_d_pools_unpadded_images_and_interpolates_to_160(system, end):
    down, up = sides(built(cell_of(system)))
    assert pixels(down, torch.empty(2, 3, 160, 160, device="meta")) == [160, 158, 79, 77, 38, 36, 18, 16, *end]
    seen = pixels(up, torch.empty(2, cell_of(system).latent_dim, device="meta"))
    assert seen == [8, 18, 38, 78, 158, 318, 320, 160]


def test_report_d_minimises_the_squared_error_and_the_kl_divergence():
    model = built(cell_of("D-vae-mnist"), "cpu").eval()
    x, noise = torch.rand(2, 1, 28, 28), torch.randn(2, 20)
    mean, log_variance = model.posterior(x)
    error = (model.sample(mean + noise * (0.5 * log_variance).exp()) - x).square().flatten(1).sum(1)
    kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1)
    constant = 392 * math.log(math.pi)  # of the Gaussian's density at variance 0.5
    loss = model.loss(x, {"z": noise}, torch.tensor(0.0))["loss"].item()
    assert loss == pytest.approx((error + kl).mean().item() + constant, rel=1e-5)


def test_no_claim_is_judged_by_a_loss_with_a_fault():
    rows = [row for name in ("three_sizes", "bottleneck_20", "depth_and_latent") for row in made_up(SPACES[name])]
    faulty = [row for row in rows if row["published_loss"] or row["reduction"] not in (None, "sum")]
    assert faulty
    for part in (part for claim in CLAIMS for part in claim.parts):
        arms = part.of.arms(rows)
        assert not any(matches(row, part.where) and any(matches(row, arm) for arm in arms) for row in faulty), part.label


def test_latent_size_is_crossed_with_the_reduction_of_the_loss():
    cells = [cell for cell in load_space("latent_sweep").cells if cell.settings.get("reduction") == "mean"]
    for dataset in (mnist, fashion_mnist, cifar10):
        assert len({cell.latent_dim for cell in cells if cell.dataset == dataset}) >= 3


def test_trainings_of_50_epochs_are_measured_where_their_reports_looked():
    space = load_space("bottleneck_20")
    looks = [space.budget(cell) for cell in space.cells if space.budget(cell).epochs == 50]
    assert looks and all(20 % budget.measured_every == 25 % budget.measured_every == 0 for budget in looks)


def test_a_vae_and_a_gan_that_are_compared_by_when_they_arrive_are_measured_on_one_grid():
    space = load_space("matched_weights")
    assert {space.budget(cell).measured_every for cell in space.cells} == {4}


# Every system trains

ENDS = {system.name: system.up.split(", ")[-1] for system in PRINTED} | dict.fromkeys(MATCHED, "Tanh")
EACH = {f"{cell.system} on {cell.dataset.name}": cell for _, cell in PUBLISHED}  # the last, so the deepest and largest


def moves(model, phase, x):
    """Whether one step of a phase changes its loss on the same images, noise and dropout."""
    noise = {name: torch.randn(len(x), *shape) for name, shape in phase.noise.items()}
    learned = [value for name, value in model.named_parameters() if name.split(".")[0] in phase.learns]

    def loss():
        torch.manual_seed(1)
        return getattr(model, phase.loss)(x, noise, torch.tensor(0.0))["loss"]

    before = loss()
    for parameter, gradient in zip(learned, torch.autograd.grad(before, learned, allow_unused=True)):
        parameter.grad = gradient
    optimiser_of(phase, learned).step()
    with torch.no_grad():
        after = loss()
    return before.isfinite() and after.isfinite() and after != before


@pytest.mark.parametrize("name", EACH)
def test_a_step_at_full_size_moves_the_loss_and_samples_are_images(name):
    cell = EACH[name]
    torch.manual_seed(0)
    model, shape = built(cell, "cpu"), cell.dataset.shape
    x = torch.rand(2 if shape[1] > 100 else 8, *shape)
    assert all(moves(model, phase, x) for phase in model.phases)
    with torch.no_grad():
        z = torch.randn(2, cell.latent_dim)
        samples, logits = model.eval().sample(z), sides(model)[1](z)
    ending = ENDS[cell.system]
    assert torch.allclose(samples, logits.sigmoid() if ending == "Sigmoid" else (logits.tanh() + 1) / 2)
    assert samples.shape == (2, *shape) and samples.isfinite().all() and samples.min() >= 0 and samples.max() <= 1


@pytest.mark.parametrize("name", [name for name, cell in EACH.items() if cell.model is VAE and cell.dataset == mnist])
def test_a_vae_of_any_report_refuses_normalised_images_with_the_reason(name):
    model, x = built(EACH[name], "cpu").eval(), torch.randn(2, 1, 28, 28)
    with pytest.raises(ValueError, match="normalised pixels"):
        model.elbo_terms(x, torch.randn(2, model.latent_dim))
    with pytest.raises(ValueError, match="uint8 grey levels"):
        Replicas([lambda: built(EACH[name], "cpu")], [0]).train_epoch(x, 256, 2)


# Other images, equal weights


def test_on_digits_layers_shrink_by_one_rule_and_everything_else_stays():
    shrunk = {cell.system: cell for _, cell in SYSTEMS if cell.dataset == digits}
    assert widths(sides(built(shrunk["B-gan-2"]))[1]) == [200, 37, 73, 146, 219, 293, 64]
    assert widths(sides(built(shrunk["B-vae-3"]))[0]) == [64, 384, 192, 128, 200]
    assert shrunk["C-dcgan"].settings["decoder"]["sides"] == [1, 1, 2, 4, 8]
    assert shrunk["D-vae-imagenette"].settings["encoder"]["width"] == [NARROWEST] * 4
    assert shrunk["D-vae-imagenette"].settings["encoder"]["padded"] is True
    for system, cell in shrunk.items():
        own = next(each for _, each in PUBLISHED if (each.system, each.depth) == (system, cell.depth))
        assert [weighted(side) for side in sides(built(cell))] == [weighted(side) for side in sides(built(own))]


def test_every_system_has_a_quick_look_on_digits():
    assert {cell.system for _, cell in PUBLISHED} == {cell.system for _, cell in SYSTEMS if cell.dataset == digits}
    assert all(
        space.budget(cell).epochs <= 60 and space.budget(cell).batch_size == 32 for space, cell in SYSTEMS if cell.dataset == digits
    )


def test_on_images_no_smaller_than_its_own_a_system_keeps_its_layers():
    cells = SPACES["depth_and_latent"].with_dataset(fashion_mnist).cells
    assert [cell.settings for cell in cells] == [
        cell.settings for cell in SPACES["depth_and_latent"].cells if cell.dataset == mnist
    ]  # and no latent that only CIFAR-10 has
    (larger,) = moved_to([cell_of("C-dcgan")], cifar10)
    assert larger.settings == cell_of("C-dcgan").settings
    assert built(larger, "cpu").sample(torch.randn(2, 100)).shape == (2, 3, 32, 32)


@pytest.mark.parametrize("side", [8, 13, 41, 64, 150])
def test_photographs_of_any_smaller_size_pass_through_every_network_of_report_d(side):
    for cell in moved_to([cell for _, cell in PUBLISHED if cell.dataset == imagenette], named(f"imagenette-{side}")):
        down, up = sides(built(cell))
        assert down(torch.empty(2, *cell.dataset.shape, device="meta")).shape[0] == 2
        assert up(torch.empty(2, cell.latent_dim, device="meta")).shape == (2, 3, side, side)


def test_a_folder_of_images_takes_the_layers_as_they_are():
    moved = SPACES["three_sizes"].with_dataset(folder("anywhere")).cells
    assert len(moved) == 16 and moved[0].settings == cell_of("B-vae-1").settings


def count(cell):
    return sum(parameters(cell).values())


@pytest.mark.parametrize("net", [fc, pytest.param(conv, marks=pytest.mark.long)], ids=lambda net: net.name)
def test_families_are_matched_in_parameters_within_2_percent(net):
    cells = match_parameters(grid([VAE, GAN, WGAN], [net], [1, 3], [8, 128], [mnist]))
    for depth in (1, 3):
        for latent in (8, 128):
            first, *others = [cell for cell in cells if (cell.depth, cell.latent_dim) == (depth, latent)]
            assert first.settings == {}
            assert all(abs(count(cell) / count(first) - 1) <= TOLERANCE for cell in others)


def test_matched_layers_keep_their_proportions():
    small, large = cell_of("B-gan-1"), replace(cell_of("B-gan-2"), dataset=cifar10)
    widths = match_parameters([small, large], alike=())[1].settings["decoder"]["width"]
    assert [round(width / widths[0]) for width in widths] == [1, 2, 4, 6, 8]


def test_layers_too_narrow_to_be_matched_are_refused():
    with pytest.raises(UserError, match="within 2%.*wider"):
        match_parameters(grid([VAE, GAN], [conv], [1], [1], [digits], width=[1]))


@pytest.mark.parametrize(
    "dataset, system",
    [(mnist, "mnist"), (imagenette, "imagenette"), (digits, "mnist"), (digits, "imagenette")],
    ids=lambda value: getattr(value, "name", value),
)
def test_report_d_has_its_gan_with_as_many_weights_as_its_vae(dataset, system):
    vae, gan = (
        next(cell for cell in SPACES["matched_weights"].cells if cell.dataset == dataset and cell.system == name)
        for name in (f"D-vae-{system}", f"D-gan-{system}-matched")
    )
    assert abs(count(gan) / count(vae) - 1) <= TOLERANCE


# The command line and the claims


@pytest.mark.parametrize("name", NAMES)
def test_the_list_of_systems_names_every_one_with_its_parameters(name, data_dir, capsys):
    console().print(systems_table(SPACES[name], data_dir))
    text = capsys.readouterr().out
    assert all(f" {cell.system} " in text for cell in SPACES[name].cells) and "…" not in text


def run(capsys, *arguments):
    code = run_command(lambda: launch.main([str(argument) for argument in arguments]))
    captured = capsys.readouterr()
    return code, captured.out + captured.err


@pytest.mark.long
def test_a_dry_run_lists_all_systems_and_runs_those_named(capsys, tmp_path, data_dir):
    here = ["--storage", tmp_path / "studies", "--data-dir", data_dir, "--dry-run", "--space", "matched_weights"]
    code, text = run(capsys, *here)
    assert code == 0 and "D-vae-imagenette" in text and "143 trials in 13 cells" in text
    assert "= 2,936,120" in text and "= 2,946,577" in text  # its VAE and its GAN on MNIST
    code, text = run(capsys, *here, "--systems", "d-gan-mnist")
    assert code == 0 and "11 trials in 1 cells" in text
    code, text = run(capsys, *here, "--systems", "D-gan-mnits")
    assert code == 2 and "did you mean 'd-gan-mnist'" in text


FURTHER = {
    **{part.measure: 0.5 for claim in CLAIMS for part in claim.parts if not part.measure.startswith("curve/")},
    "curve/likelihood/recon": [9, 8, 7, 6, 5],
    "curve/diagnostics/jsd_discriminator": [1, 0, 1, 0, 1],
}


def made_up(space):
    """Trainings of a space without any effect, as a ledger would give them."""
    rng, rows = np.random.default_rng(0), []
    for cell in space.cells:
        about = {
            "model": cell.family,
            "net": cell.net.name,
            "depth": cell.depth,
            "latent_dim": cell.latent_dim,
            "dataset": cell.dataset.name,
            "system": cell.system,
            "reduction": cell.settings.get("reduction"),
            "published_loss": cell.settings.get("published_loss"),
            "clip": cell.settings.get("clip"),
            "status": "done",
        }
        rows += [
            {**about, "stage": "confirm", "seed": seed, **measures(MEANS | FURTHER, rng), "time/step_ms": 2.0} for seed in range(2)
        ]
        rows += [{**about, "stage": "search", "seed": 0, "quality/fd_rel": 0.3 * 2 ** rng.normal(0, 0.3)} for _ in range(2)]
    return rows


def test_every_claim_finds_its_cells_in_each_space_that_is_said_to_answer_it():
    for name in sorted({name for claim in CLAIMS for name in claim.spaces}):
        rows = made_up(load_space(name))
        lacking = {
            claim.id: found.missing
            for claim, found in zip(CLAIMS, judge(CLAIMS, rows))
            if name in claim.spaces and any(finding.missing for finding in found.findings)
        }
        assert not lacking, name


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_every_system_takes_its_quick_look_on_digits(name, tmp_path, data_dir):
    images = digits.load(data_dir)
    ledger = Ledger(tmp_path / name)
    features.prepare(digits, images, ledger.root / "features")
    identity = identity_of(images)
    space = SPACES[name].with_dataset(digits)
    plan = Plan(replace(space, budget=lambda cell: replace(space.budget(cell), epochs=2)), ledger, identity)
    first = [trial for trial in plan.left() if trial.replicate == 0]
    for trial in first:
        ledger.put_spec(trial.key, plan.spec(trial, {}, "default"))
        result = run_trial(ledger.folder(trial.key), data_dir)
        assert result.status in ("done", "diverged") and result.epochs == 2, trial.key
        assert {"samples-00002.png", "sheet-00002.png"} <= {path.name for path in (ledger.folder(trial.key) / "images").iterdir()}
    assert {trial.cell.system for trial in first} == {cell.system for cell in SPACES[name].cells}
