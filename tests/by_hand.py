"""What the customary loop by hand needs."""

import torch

from models.phase import Adam


def optimiser_of(phase, parameters) -> torch.optim.Optimizer:
    """torch's own, without any fusing, at the settings of a phase."""
    settings = phase.optimiser
    if isinstance(settings, Adam):
        return torch.optim.Adam(parameters, settings.lr, settings.betas, foreach=False)
    return torch.optim.RMSprop(parameters, settings.lr, foreach=False)
