"""The view of the table of runs that this study saves in MLflow: the columns and the runs that compare.

MLflow keeps a saved view as a tag of its experiment and lists it under *Views*. The names below are those of MLflow's
page (3.17), which documents none of them; a page that does not know them shows its own table.
"""

import json
import time

NAME, KEY = "Measures of cells", "measures"
COLUMNS = {
    "params": ("model", "net", "depth", "latent_dim", "dataset"),
    "tags": ("replicates",),
    "metrics": (
        "test/fd_rel",
        "test/fd_rel_sd",
        "test/recall",
        "test/coverage",
        "test/two_sample/accuracy",
        "rate/diverged",
        "time/train_s",
    ),
}
CHOSEN_RUNS = {
    "searchFilter": "tags.stage = 'cell'",
    "orderByKey": "metrics.`test/fd_rel`",
    "orderByAsc": True,
    "startTime": "ALL",
    "lifecycleFilter": "Active",
    "datasetsFilter": [],
    "modelVersionFilter": "All Runs",
}
PAGE = {
    "columnOrder": [],
    "columnWidths": {},
    "runsExpanded": {},
    "runsPinned": [],
    "runsHidden": [],
    "runsVisibilityMap": {},
    "runsHiddenMode": "FIRST_10_RUNS",
    "viewMaximized": False,
    "runListHidden": False,
    "isAccordionReordered": False,
    "useGroupedValuesInCharts": True,
    "hideEmptyCharts": True,
    "groupBy": None,
    "groupsExpanded": {},
    "autoRefreshEnabled": True,
    "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
}


def tag() -> tuple[str, str]:
    """The experiment's tag that holds the view."""
    columns = [f"{kind}.`{name}`" for kind, names in COLUMNS.items() for name in names]
    now = int(1000 * time.time())
    state = json.dumps({**CHOSEN_RUNS, **PAGE, "selectedColumns": columns})
    return f"mlflow.sharedViewState.{KEY}", json.dumps({"name": NAME, "createdAt": now, "updatedAt": now, "state": state})


def path(experiment: str) -> str:
    """Where a server shows an experiment in this view."""
    return f"/#/experiments/{experiment}/runs?viewStateShareKey={KEY}"
