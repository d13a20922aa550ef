#!/usr/bin/env bash
# Everything that needs an accelerator, in one command: the tests on it, then the tables.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH=$PWD
python=${PYTHON:-python3}
"$python" - <<'END'
import importlib.util as find, sys
lacking = [name for name in ("torch", "torchvision", "numpy", "sklearn", "scipy", "pytest", "safetensors") if not find.find_spec(name)]
if lacking:
    sys.exit(f"benchmarks/gpu.sh needs {', '.join(lacking)}: pip install torch torchvision numpy scikit-learn scipy pytest safetensors")
import torch
if not torch.cuda.is_available():
    sys.exit("benchmarks/gpu.sh needs a CUDA device, and torch sees none here (`python benchmarks/gpu.py --device cpu` runs without)")
END
"$python" -m pytest -q -m "not ray and not long" tests/training/test_replicas.py tests/training/test_accelerator.py tests/training/test_self_check.py
"$python" benchmarks/gpu.py "$@"
