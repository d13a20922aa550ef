"""What the study asks of a model: an `nn.Module` made by `Model(shape, net, depth, latent_dim, **settings)`.

A model that has the first four is trained, measured by its samples, drawn and reported. Each of the others adds what
stands beside it, to any kind of model: nothing asks whether one is a VAE or a GAN.

    shape, latent_dim   of an image (C, H, W), and the number of latents
    phases              which parameters learn from which loss: see models/phase.py
    sample(z)           latents (n, latent_dim), N(0, 1) -> images (n, C, H, W) in [0, 1]; where it can be differentiated,
                        a confirm trial searches the latents of held-out images

    reconstruct(x)      images -> images: drawn in pairs, instead of that search
    posterior(x)        images -> mean and log-variance of q(z|x), each (n, latent_dim): paths between images, traversals
    log_likelihood(x, z)    log p(x|z) (n,) in nats: with `posterior` the measures likelihood/*, of which `binary_pixels`
                            (whether this is a probability of pixels 0 and 1, not a density of grey levels) and
                            `beta_effective` (the weight of the KL divergence) are read where there are such
    discriminate(x)     scores (n,) of images, higher for real ones, and what they estimate, `critic_estimates`:
                        "jensen_shannon" (they are logits) or "wasserstein": the diagnostics/*
    loss_scales         {"phase/loss": what that loss counts}: the axes of its curves, and MLflow's note
"""
