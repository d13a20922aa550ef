"""Does this project reach the FIDs that were published for GANs, WGANs and a VAE of equal networks?

"Are GANs Created Equal?" (Lucic et al. 2018, table 5 and figure 5): InfoGAN's networks, latent 64, batches of 64, 100 proposals
from wide ranges, the best by FID, 10,000 samples against 10,000 test images by Inception's features. They trained the best of
one search 50 times more; here a replicate is a search of its own with a training of its own, so that the spread holds the luck
of tuning too. DRAGAN and BEGAN, whose losses this project does not have, are left out. On cards, and with Inception's weights:

python study/launch.py --space fid_reference --features inception --inception-weights FILE
python study/measure.py --space fid_reference --features inception --samples 10000
python study/verify.py fid
"""

from models.gan import GAN
from models.infogan import infogan
from models.vae import VAE
from models.wgan import WGAN
from study.data import cifar10, fashion_mnist, mnist
from study.space import Budget, Search, Space, grid

DATASETS = [mnist, fashion_mnist, cifar10]
SIGMOID = {"output": ["sigmoid"]}
BETAS = {model: [[first, second] for first in (0.0, 0.5, 0.9)] for model, second in ((GAN, 0.999), (WGAN, 0.9))}


def cells(model, **settings):
    return grid([model], [infogan], [2], [64], DATASETS, **settings)


def propose(trial, cell):
    """Their wide ranges, but for Adam's first decay, of which a few values are tried, and the clip, which is Arjovsky et al.'s
    (2017); proposal 0 is the published default of each model."""
    params = {"lr": trial.suggest_float("lr", 1e-5, 1e-2, log=True)}
    if cell.model is not VAE:
        params["betas"] = trial.suggest_categorical("betas", BETAS[cell.model])
    if cell.model is GAN:
        params["encoder"] = trial.suggest_categorical("encoder", [None, {"norm": True}])
    if cell.model is WGAN:
        params["critic_steps"] = trial.suggest_categorical("critic_steps", [1, 5])
        if "clip" not in cell.settings:
            params["penalty"] = trial.suggest_float("penalty", 0.1, 100.0, log=True)
    return params


SPACE = Space(
    cells=cells(GAN, loss=["minimax", "non_saturating", "least_squares"], **SIGMOID)
    + cells(WGAN, clip=[0.01], **SIGMOID)
    + cells(WGAN, **SIGMOID)
    + cells(VAE, decoder=[{"norm": True}]),
    propose=propose,
    budget=lambda cell: Budget(epochs=100 if cell.dataset == cifar10 else 20, batch_size=64),
    search=Search(rounds=(100,), rungs=()),
    replicates=5,
)
