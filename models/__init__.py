"""The families of models and the nets they are made of. What a model must offer, and what it may offer besides: `Model` and
the protocols after it in study/space/contracts.py. Nothing asks whether a model is a VAE or a GAN."""
