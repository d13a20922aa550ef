"""What MLflow shows of a study: a projection of the ledger, which can be thrown away and made again."""

import logging
import os

os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # with the default one call blocks for minutes when the
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")  # server is down; the background thread tries again by itself
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # two lines per trial otherwise
logging.getLogger("mlflow").setLevel(logging.WARNING)  # all of it before MLflow is imported, which reads it then
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # what it raises is said in one line (background.py)
