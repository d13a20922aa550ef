"""Run one trial from its spec: resume, train, measure, draw. Needs torch, but neither Ray, Optuna nor MLflow.

python study/trial.py mlruns/studies/latent_sweep/trials/KEY/spec.json [--data-dir data]
"""

import argparse
import json
import sys
from pathlib import Path

if __name__ == "__main__":  # this clone's code, whatever is installed, and not study/ itself, where Python looks first
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from study.cli import DONE, run_command


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", type=Path)
    parser.add_argument("--data-dir")
    parser.add_argument(
        "--space", default="", help="the space that the trial is of, or its file, where its code is not this project's"
    )
    parser.add_argument("--trust-study", action="store_true", help="run whatever code the spec names, with your rights")
    options = parser.parse_args(arguments)
    import torch

    from study.data.datasets import data_folder
    from study.ledger.files import as_written, put_once
    from study.space.importing import allow
    from study.training.run import run_trial

    allow(options.space, options.trust_study)
    torch.set_num_threads(1)  # as a launch gives a pack: the same numbers to the last bit, and at these sizes two are slower
    device = "cuda" if torch.cuda.is_available() else "cpu"
    result = run_trial(
        options.spec.parent,
        data_folder(options.data_dir),
        device,
        report=lambda epoch, objective: print(f"epoch {epoch}", flush=True),
    )
    put_once(options.spec.parent / "result.json", as_written(result))
    print(json.dumps(result.measures, indent=1))
    return DONE


if __name__ == "__main__":
    sys.exit(run_command(main))
