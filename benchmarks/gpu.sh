#!/usr/bin/env bash
# Everything that needs an accelerator, in one command: the tests on it, then the tables.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH=$PWD
python -m pytest -q tests/training/test_replicas.py tests/training/test_accelerator.py
python benchmarks/fused.py --device cuda
python benchmarks/gpu.py "$@"
