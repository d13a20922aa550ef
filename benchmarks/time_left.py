"""How near the time that a running sweep says is left comes to the time that is left: whole launches, each second of them.

    [STUDY_DATA=...] python benchmarks/time_left.py [--json FILE]

The peer of every row is the truth, known at the end: from the display's first second until all trials are finished. `said`: by
how many times too much was said at the start, and after each fifth of the way.
"""

import contextlib
import io
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.table import keep, parser_of, row
from study import launch
from study.sweep import progress

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8)
SMALL = "--models VAE --depths 1 --latents 8 --replicates 2 --epochs 3"
STUDIES = {  # name -> what is launched
    "smoke: 54 trainings, of six kinds": "--space smoke",
    "VAEs of digits: 112 trainings, in packs": "--space latent_sweep --datasets digits --models VAE --depths 1",
    "GANs and WGANs of digits: 56 trainings": "--space latent_sweep --datasets digits --models GAN WGAN --depths 1 --replicates 2",
    "the embedded study: 672 trainings, in packs": "--space latent_sweep --datasets digits",
    **({"VAEs of MNIST: 14 trainings, one by one": f"--space mnist_fc {SMALL}"} if os.environ.get("STUDY_DATA") else {}),
}


class Noted(progress.Display):
    """A display that notes what it says."""

    said: list[tuple[float, float]] = []  # time, and seconds left

    def times(self, ends: bool = False) -> str:
        self.said.append((time.monotonic(), self.pace.left() or 0.0))
        return super().times(ends)


def main(arguments=None) -> int:
    options = parser_of(__doc__).parse_args(arguments)
    progress.Display, progress.LINE_S = Noted, 1.0  # type: ignore[misc]
    keep([followed(name, command.split()) for name, command in STUDIES.items()], options)
    return 0


def followed(name: str, command: list[str]) -> dict:
    """Launch a study and compare what was said with what came."""
    Noted.said = []
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        launch.main([*command, "--storage", f"{folder}/studies"])
    (began, first), (end, _) = Noted.said[0], Noted.said[-1]
    ratios = []
    for share in SHARES:
        at, left = min(Noted.said, key=lambda pair: abs(pair[0] - began - share * (end - began)))
        ratios.append(f"{left / (end - at):.2f}")
    return row(name, first, end - began, "s", "truth", said=" ".join(ratios))


if __name__ == "__main__":
    sys.exit(main())
