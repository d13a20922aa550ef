"""Does a VAE of this project reach the log-likelihoods that were published for it, at every latent size?

The Gaussian VAE of "Hyperspherical Variational Auto-Encoders" (Davidson et al. 2018) on dynamically binarised MNIST: two
hidden layers of 256 and 128 units, mirrored in the decoder, ReLU, Adam at 1e-3, batches of 64, summed losses, the KL weight
warmed up over 100 epochs. As it was published nothing is tuned. They stop early by validation images; here a training has 120
epochs, and from a latent of 20 on 220, since the bound of validation images, which is recorded, still rises there at 120.
`python study/verify.py vae_latent` holds the results against theirs.
"""

from models.nets import fc
from models.vae import VAE
from study.data import named
from study.space import Budget, Space, grid

LATENTS = [2, 5, 10, 20, 40]
SIDES = {"encoder": [{"width": [256, 128]}], "decoder": [{"width": [128, 256]}]}

SPACE = Space(
    cells=grid([VAE], [fc], [2], LATENTS, [named("mnist-binarised")], **SIDES, warmup=[100]),
    propose=lambda trial, cell: {},
    budget=lambda cell: Budget(epochs=220 if cell.latent_dim >= 20 else 120, batch_size=64, measured_every=10),
    replicates=5,
)
