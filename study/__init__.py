"""The study: plan, ledger, execution, measures, views."""
import sys
from pathlib import Path

# `python study/launch.py` puts this folder first on the path, where our statistics.py would hide Python's own.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]
