"""Every system of the five reports has the layers, sweeps and settings of the published tables, and can be trained."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from by_hand import optimiser_of
from synthetic import MEANS, measures
from torch import nn
from trials import identity_of

from models.gan import GAN
from models.nets import conv, fc
from models.phase import Adam, RMSprop
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
from study.sweep.progress import console, systems_table
from study.training.replicas import Replicas
from study.training.run import run_trial
from study.training.training import evaluation_epochs

NAMES = ("bottleneck_20", "three_sizes", "dropout_or_dcgan", "matched_weights", "depth_and_latent")
SPACES = {name: load_space(name) for name in NAMES}
SYSTEMS = [(space, cell) for space in SPACES.values() for cell in space.cells]
PUBLISHED = [(space, cell) for space, cell in SYSTEMS if cell.dataset != digits]


def deep(depth):
    """The hidden layers of depth_and_latent, 400 units each."""
    return "-".join(["400"] * depth)


# The published tables: system, dataset, depth, latents, layers down and layers up. "/" stands between convolutions and
# the linear layer before or after them, "bn" after a layer with BatchNorm, z for the latent size.
DOWN_4, UP_4 = "3-16-32-64-128", "256-128bn-64bn-32bn-16bn-8bn-3"
FC_DOWN, FC_UP = "1024-512-256", "z-256-512-1024"
MNIST, CIFAR = "784", "3072"
TABLE = [
    *(
        (name, dataset, 1, [20], f"{size}-400-(z,z)", f"z-400-{size}")
        for name in ("A-vae", "A-vae-as-published")
        for dataset, size in ((mnist, MNIST), (cifar10, CIFAR))
    ),
    *(
        ("A-gan-fc", dataset, 3, [100], f"{size}-{FC_DOWN}-1", f"{FC_UP}-{size}")
        for dataset, size in ((mnist, MNIST), (cifar10, CIFAR))
    ),
    *(("A-wgan", dataset, 1, [10], f"{size}-128-1", f"z-128-{size}") for dataset, size in ((mnist, MNIST), (cifar10, CIFAR))),
    ("A-dcgan", mnist, 3, [100], "1-64-128bn-256bn/4096-1", "z-4096bn/256-128bn-64bn-1"),
    ("A-dcgan", cifar10, 3, [100], "3-64-128bn-256bn/4096-1", "z-4096bn/256-128bn-64bn-3"),
    ("B-vae-1", mnist, 1, [50, 100], "784-512-(z,z)", "z-512-784"),
    ("B-vae-1-as-published", mnist, 1, [50, 100], "784-512-(z,z)", "z-512-784"),
    ("B-vae-2", mnist, 2, [100], "784-512-256-(z,z)", "z-256-512-784"),
    ("B-vae-2-as-published", mnist, 2, [100], "784-512-256-(z,z)", "z-256-512-784"),
    ("B-vae-3", cifar10, 3, [100], "3072-1536-768-512-(z,z)", "z-512-768-1536-3072"),
    ("B-vae-3-as-published", cifar10, 3, [100], "3072-1536-768-512-(z,z)", "z-512-768-1536-3072"),
    ("B-gan-1", mnist, 2, [100, 200], "784-512-256-1", "z-128-256bn-512bn-1024bn-784"),
    ("B-gan-2", mnist, 3, [200], "784-512-256-128-1", "z-128-256bn-512bn-768bn-1024bn-784"),
    ("B-gan-3", cifar10, 2, [100], "3072-512-256-1", "z-128-256bn-512bn-1024bn-3072"),
    ("B-wgan-1", mnist, 2, [100, 200], "784-512-256-1", "z-128-256bn-512bn-1024bn-784"),
    ("B-wgan-2", mnist, 3, [200], "784-512-256-128-1", "z-128-256bn-512bn-768bn-1024bn-784"),
    ("B-wgan-3", cifar10, 2, [200], "3072-512-256-1", "z-128-256bn-512bn-1024bn-3072"),
    ("C-vae", mnist, 2, [20], "784-512-512-(z,z)", "z-512-512-512-784"),
    ("C-dcgan", mnist, 4, [100], "1-64-128bn-256bn-512bn/2048-1", "z-512bn/512-256bn-128bn-64bn-1"),
    ("D-vae-mnist", mnist, 3, [20], "784-1024-512-256-(z,z)", "z-256-512-1024-784"),
    ("D-gan-mnist", mnist, 3, [100], "784-1024-512-256-1", "z-256-512-1024-784"),
    ("D-vae-imagenette", imagenette, 4, [200, 100], f"{DOWN_4}/8192-(z,z)", f"z-16384/{UP_4}"),
    *(
        (f"D-gan-imagenette{change}", imagenette, 4, [latent], f"{DOWN_4}/2048-1", f"z-16384/{UP_4}")
        for change, latent in (
            ("", 500),
            ("-smoothing", 500),
            ("-upsampled", 500),
            ("-features", 500),
            ("-two-scales", 500),
            ("-latent-100", 100),
        )
    ),
    ("D-gan-imagenette-shallower", imagenette, 3, [500], "3-16-32-64/5184-1", "z-16384/256-128bn-64bn-32bn-16bn-3"),
    *(
        ("E-vae-depth", dataset, depth, [2], f"{size}-{deep(depth)}-(z,z)", f"z-{deep(depth)}-{size}")
        for dataset, size in ((mnist, MNIST), (cifar10, CIFAR))
        for depth in (1, 2, 4, 5, 6)  # half of 2, 4, 8, 10, 12 on each side
    ),
    *(
        ("E-vae-latent", dataset, 2, latents, f"{size}-{deep(2)}-(z,z)", f"z-{deep(2)}-{size}")
        for dataset, size, latents in ((mnist, MNIST, [10, 20, 30, 50, 75]), (cifar10, CIFAR, [10, 20, 30, 50, 75, 1000]))
    ),
    *(
        ("E-vae-as-published", dataset, 2, [20], f"{size}-{deep(2)}-(z,z)", f"z-{deep(2)}-{size}")
        for dataset, size in ((mnist, MNIST), (cifar10, CIFAR))
    ),
    *(
        (name, dataset, 2, [100, 350, 500, 750, 1000], f"{size}-{deep(2)}-1", f"z-400bn-400bn-{size}")
        for name in ("E-gan-latent", "E-wgan-latent")
        for dataset, size in ((mnist, MNIST), (cifar10, CIFAR))
    ),
]
ROWS = {(system, dataset, depth, latent): (down, up) for system, dataset, depth, latents, down, up in TABLE for latent in latents}
MATCHED = {"D-gan-mnist-matched", "D-gan-imagenette-matched"}  # whose widths the parameter count decides

ADAM, GAN_ADAM = Adam(1e-3, (0.9, 0.999)), Adam(2e-4, (0.5, 0.999))
CLIPPED, FASTER = RMSprop(5e-5), RMSprop(5e-4)
TRAINING = {  # system -> optimiser, batch size, epochs on each of its datasets
    "A-vae": (ADAM, 128, (50, 50)),
    "A-gan-fc": (GAN_ADAM, 128, (50, 50)),
    "A-dcgan": (GAN_ADAM, 128, (50, 50)),
    "A-wgan": (RMSprop(1e-4), 32, (20, 50)),
    "B-vae": (ADAM, 64, (50,)),
    "B-gan": (GAN_ADAM, 64, (50,)),
    "B-wgan": (CLIPPED, 64, (50,)),
    "C-vae": (ADAM, 128, (50,)),
    "C-dcgan": (GAN_ADAM, 128, (50,)),
    "D-vae-mnist": (Adam(2e-4, (0.9, 0.999)), 64, (100,)),
    "D-gan-mnist": (GAN_ADAM, 64, (200,)),
    "D-vae-imagenette": (Adam(2e-4, (0.9, 0.999)), 48, (200,)),
    "D-gan-imagenette": (GAN_ADAM, 48, (100,)),
    "E-vae": (ADAM, 128, (10, 30)),
    "E-gan": (GAN_ADAM, 256, (30, 30)),
    "E-wgan": (FASTER, 256, (1000, 1000)),
}


def built(cell, device="meta"):
    with torch.device(device):
        return cell.build(cell.dataset.shape)


def sides(model):
    """Its two parts: encoder and decoder, or critic and generator."""
    return list(model.children())


def printed(side):
    """The layers of one part as the tables print them."""
    text, last = "", None
    for layer in side:
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            before, after = (
                (layer.in_features, layer.out_features) if isinstance(layer, nn.Linear) else (layer.in_channels, layer.out_channels)
            )
            text += (f"/{before}-{after}" if text else f"{before}-{after}") if before != last else f"-{after}"
            last = after
        elif "BatchNorm" in type(layer).__name__:
            text += "bn"
        elif isinstance(layer, nn.Unflatten):
            last = None if len(layer.unflattened_size) == 3 and layer is not side[-1] else last
    return text


def kinds(side, *of):
    return [type(layer).__name__ for layer in side if isinstance(layer, of)]


def weighted(side):
    return sum(isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d) for layer in side)


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


def test_the_five_spaces_hold_exactly_the_rows_of_the_tables():
    held = [(cell.system, cell.dataset, cell.depth, cell.latent_dim) for _, cell in PUBLISHED if cell.system not in MATCHED]
    assert sorted(map(str, held)) == sorted(map(str, ROWS))
    assert all(space.question and not space.ranges(cell) for space, cell in SYSTEMS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[1].name}-d{row[2]}-z{row[3]}")
def test_layers_are_those_of_the_table(row):
    cell = next(cell for _, cell in PUBLISHED if (cell.system, cell.dataset, cell.depth, cell.latent_dim) == row)
    down, up = (text.replace("(z,z)", str(2 * row[3])).replace("z", str(row[3])) for text in ROWS[row])
    assert [printed(side) for side in sides(built(cell))] == [down, up]


def test_the_optimisers_batches_and_epochs_are_those_of_the_reports():
    for space in SPACES.values():
        for system in {cell.system: None for cell in space.cells}:
            cells = [cell for cell in space.cells if cell.system == system and cell.dataset != digits]
            optimiser, batch, epochs = TRAINING[max((name for name in TRAINING if system.startswith(name)), key=len)]
            budgets = {cell.dataset: space.budget(cell) for cell in cells}
            assert tuple(budget.epochs for budget in budgets.values()) == epochs, system
            assert {budget.batch_size for budget in budgets.values()} == {batch}
            for phase in built(cells[0], "cpu").phases if system != "D-gan-imagenette-two-scales" else ():
                assert phase.optimiser == optimiser, system


def test_the_hidden_layers_of_report_b_are_leaky_and_normalise_with_their_own_eps():
    for system in ("B-gan-1", "B-wgan-2"):
        critic, generator = sides(built(cell_of(system)))
        for side in (critic, generator):
            slopes = [layer.negative_slope for layer in side if isinstance(layer, nn.LeakyReLU)]
            assert slopes == [0.2] * (len(kinds(side, nn.Linear)) - 1)
        assert {layer.eps for layer in generator if isinstance(layer, nn.BatchNorm1d)} == {0.8}
        assert not kinds(critic, nn.BatchNorm1d)


def test_clipped_systems_clip_at_a_hundredth_and_take_five_critic_steps():
    for system in ("A-wgan", "B-wgan-1", "B-wgan-2", "B-wgan-3", "E-wgan-latent"):
        critic, generator = built(cell_of(system)).phases
        assert (critic.clip, generator.every) == (0.01, 5)


def test_the_wgan_of_report_a_is_the_tutorial_that_it_links():
    model = built(cell_of("A-wgan"), "cpu")
    assert all(kinds(side, nn.ReLU, nn.LeakyReLU, nn.BatchNorm1d) == ["ReLU"] for side in sides(model))
    z = torch.randn(2, 10)
    assert torch.equal(model.sample(z), torch.sigmoid(model.generator(z)))


def test_report_c_keeps_nine_units_of_ten_and_its_dcgan_grows_1_3_7_14_28():
    encoder, decoder = sides(built(cell_of("C-vae")))
    assert kinds(encoder, nn.ELU, nn.Tanh) == ["ELU", "Tanh"] and kinds(decoder, nn.ELU, nn.Tanh) == ["Tanh", "ELU", "ELU"]
    drops = [layer.p for side in (encoder, decoder) for layer in side if isinstance(layer, nn.Dropout)]
    assert drops == [0.1] * 5
    critic, generator = sides(built(cell_of("C-dcgan"), "cpu"))
    assert pixels(generator, torch.randn(2, 100)) == [1, 3, 7, 14, 28] and pixels(critic, torch.rand(2, 1, 28, 28)) == [
        28,
        14,
        7,
        4,
        2,
    ]
    assert {layer.kernel_size for layer in [*critic, *generator] if hasattr(layer, "kernel_size")} == {(5, 5)}
    assert {layer.stride for layer in [*critic, *generator] if hasattr(layer, "kernel_size")} == {(2, 2)}


@pytest.mark.parametrize("system, end", [("D-vae-imagenette", [8]), ("D-gan-imagenette", [4])])
def test_report_d_pools_unpadded_images_and_interpolates_to_160(system, end):
    down, up = sides(built(cell_of(system)))
    assert pixels(down, torch.empty(2, 3, 160, 160, device="meta")) == [160, 158, 79, 77, 38, 36, 18, 16, *end]
    seen = pixels(up, torch.empty(2, cell_of(system).latent_dim, device="meta"))
    assert seen == [8, 18, 38, 78, 158, 318, 320, 160]
    assert kinds(down, nn.Conv2d, nn.ReLU, nn.MaxPool2d) == ["Conv2d", "ReLU", "MaxPool2d"] * 4
    printed = ["Linear", "LeakyReLU"] + ["ConvTranspose2d", "LeakyReLU", "BatchNorm2d"] * 5
    printed += ["ConvTranspose2d", "LeakyReLU", "Upsample"]
    assert [type(layer).__name__ for layer in up if not isinstance(layer, nn.Unflatten)] == printed
    assert up[-1].mode == "nearest"


def test_report_d_drops_three_units_of_ten_on_the_way_down_only():
    for system in ("D-vae-mnist", "D-gan-mnist"):
        down, up = sides(built(cell_of(system)))
        assert [layer.p for layer in down if isinstance(layer, nn.Dropout)] == [0.3] * 3 and not kinds(up, nn.Dropout)


def test_report_d_minimises_the_squared_error_and_the_kl_divergence():
    model = built(cell_of("D-vae-mnist"), "cpu").eval()
    x, noise = torch.rand(2, 1, 28, 28), torch.randn(2, 20)
    mean, log_variance = model.posterior(x)
    error = (model.sample(mean + noise * (0.5 * log_variance).exp()) - x).square().flatten(1).sum(1)
    kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1)
    constant = 392 * math.log(math.pi)  # of the Gaussian's density at variance 0.5
    loss = model.loss(x, {"z": noise}, torch.tensor(0.0))["loss"].item()
    assert loss == pytest.approx((error + kl).mean().item() + constant, rel=1e-5)


def test_report_b_is_run_under_the_loss_of_the_tutorial_that_it_prints_and_under_the_bound():
    for number in (1, 2, 3):
        own, printed = cell_of(f"B-vae-{number}"), cell_of(f"B-vae-{number}-as-published")
        assert printed.settings == {**own.settings, "likelihood": "gaussian", "published_loss": "unhalved_kl"}
        assert own.settings["likelihood"] == "bernoulli" and "published_loss" not in own.settings


def test_no_claim_is_judged_by_a_loss_with_a_fault():
    rows = [row for name in ("three_sizes", "bottleneck_20", "depth_and_latent") for row in made_up(SPACES[name])]
    faulty = [row for row in rows if row["published_loss"] or row["reduction"] not in (None, "sum")]
    assert faulty
    for part in (part for claim in CLAIMS for part in claim.parts):
        arms = part.of.arms(rows)
        assert not any(matches(row, part.where) and any(matches(row, arm) for arm in arms) for row in faulty), part.label


def test_what_report_d_tried_in_vain_on_imagenette_is_one_change_each():
    published = cell_of("D-gan-imagenette")
    tried = {name: cell_of(f"D-gan-imagenette-{name}") for name in ("smoothing", "features", "two-scales", "latent-100")}
    added = {name: {key: cell.settings[key] for key in cell.settings.keys() - published.settings} for name, cell in tried.items()}
    assert added == {
        "smoothing": {"smoothing": 0.1},
        "features": {"feature_matching": True},
        "two-scales": {"lr_discriminator": 4e-4, "lr_generator": 1e-4},
        "latent-100": {},
    }
    assert all(cell.settings | published.settings == cell.settings for cell in tried.values())
    assert not kinds(sides(built(cell_of("D-gan-imagenette-upsampled")))[1], nn.ConvTranspose2d)


def test_latent_size_is_crossed_with_the_reduction_of_the_loss():
    cells = [cell for cell in load_space("latent_sweep").cells if cell.settings.get("reduction") == "mean"]
    for dataset in (mnist, fashion_mnist, cifar10):
        assert len({cell.latent_dim for cell in cells if cell.dataset == dataset}) >= 3


def test_trainings_of_50_epochs_are_measured_where_their_reports_looked_first():
    assert {17, 25} <= set(evaluation_epochs(50))  # of 20 and 25 epochs


# Every system trains

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
        samples = model.eval().sample(torch.randn(2, cell.latent_dim))
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
    assert printed(sides(built(shrunk["B-gan-2"]))[1]) == "200-37-73bn-146bn-219bn-293bn-64"
    assert printed(sides(built(shrunk["B-vae-3"]))[0]) == "64-384-192-128-200"
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


def test_a_dry_run_lists_all_systems_and_runs_those_named(capsys, tmp_path, data_dir):
    here = ["--storage", tmp_path / "studies", "--data-dir", data_dir, "--dry-run", "--space", "matched_weights"]
    code, text = run(capsys, *here)
    assert code == 0 and "D-vae-imagenette" in text and "104 trials in 13 cells" in text
    assert "= 2,936,120" in text and "= 2,946,577" in text  # its VAE and its GAN on MNIST
    code, text = run(capsys, *here, "--systems", "d-gan-mnist")
    assert code == 0 and "8 trials in 1 cells" in text
    code, text = run(capsys, *here, "--systems", "D-gan-mnits")
    assert code == 2 and "did you mean 'd-gan-mnist'" in text


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
            "status": "done",
        }
        rows += [{**about, "stage": "confirm", "seed": seed, **measures(MEANS, rng), "time/step_ms": 2.0} for seed in range(2)]
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
