"""Does a funnel of falling widths draw better digits than layers of equal width, and what does a flow make of them?

A space with everything of one's own: models, a net, a measure, and a claim that gets its verdict.

    python study/launch.py --space examples/does_the_net_matter.py
"""

from flow import Flow
from funnel import funnel
from hinge_gan import HingeGAN
from symmetry import symmetry

from models.nets import fc
from models.vae import VAE
from study.analysis.claims import Claim, Part
from study.analysis.comparisons import Pair
from study.analysis.rules import falls
from study.data import digits
from study.space import Budget, Search, Space, grid

FUNNEL_IS_BETTER = Claim(
    id="funnel",
    sentence="a funnel of falling widths draws digits nearer to real ones than layers of equal width",
    source="us",
    spaces=("does_the_net_matter",),
    parts=(Part("fidelity", "quality/fd_rel", falls, Pair({"net": "fc"}, {"net": "funnel"})),),  # it falls from fc to funnel
)

SPACE = Space(
    cells=grid([VAE], [fc, funnel], [2], [8], [digits], likelihood=["continuous_bernoulli"])  # of grey levels, as the flow's
    + grid([HingeGAN], [fc, funnel], [2], [8], [digits])
    + grid([Flow], [fc], [1], [64], [digits], levels=[17], width=[64]),
    propose=lambda trial, cell: {"lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True)},
    budget=lambda cell: Budget(epochs=20, batch_size=32),
    search=Search(rounds=(4,)),
    replicates=8,
    measures={"quality/symmetry": symmetry},
    claims=[FUNNEL_IS_BETTER],
)
