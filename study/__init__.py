"""The study: plan, ledger, execution, measures, views."""

import os

# Before torch is imported: its threads then sleep while they wait for one another. Where they spin, as they do else, two of them
# on two processors that are busy with other work took more than nine times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Before NumPy is: verdicts multiply small matrices by the thousand, for which more threads only wait, and trials have fewer.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
