"""The views that this study saves in MLflow: a table of the runs that compare, and charts of what depends on what.

MLflow keeps a saved view as a tag of its experiment and lists it under *Views*. The names below are those of MLflow's
page (3.17), which documents none of them; a page that does not know them shows its own table.
"""

import json
import time

NAME, KEY = "Measures of cells", "measures"
CHARTS_NAME, CHARTS_KEY = "Charts", "charts"
TRAINING = "workflowType=machine_learning"  # without it the page shows traces, of which there are none
COLUMNS = {
    "params": ("model", "net", "depth", "latent_dim", "dataset"),
    "tags": ("replicates",),
    "metrics": (
        "fd_rel",
        "spread/test/fd_rel",
        "coverage",
        "test/recall",
        "test/two_sample/accuracy",
        "rate/diverged",
        "time/train_s",
    ),
}
CHOSEN_RUNS = {
    "searchFilter": "tags.stage = 'cell'",
    "orderByKey": "metrics.`fd_rel`",
    "orderByAsc": True,
    "startTime": "ALL",
    "lifecycleFilter": "Active",
    "datasetsFilter": [],
    "modelVersionFilter": "All Runs",
}
MOST = 100  # runs in a chart
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


def charts() -> dict:
    """Fidelity and coverage over latent size and depth, losses over training, and what was tuned, as the page keeps its charts."""
    cells, trainings = ({"uuid": name, "name": name, "display": True, "isReordered": True} for name in ("Cells", "Trainings"))
    across = [
        {
            "type": "SCATTER",
            "xaxis": {"key": factor, "type": "METRIC"},
            "yaxis": {"key": measure, "type": "METRIC"},
            "runsCountToCompare": MOST,
        }
        for measure in ("fd_rel", "coverage")
        for factor in ("latent_dim", "depth")
    ]
    tuned = {"type": "PARALLEL", "selectedParams": ["model", "lr"], "selectedMetrics": ["validation/fd_rel"], "showAllRuns": True}
    loss = {"type": "LINE", "metricKey": "loss", "selectedMetricKeys": ["loss"], "xAxisKey": "step", "runsCountToCompare": MOST}
    sections = [(each, cells) for each in across] + [(each, trainings) for each in (loss, tuned)]
    found = [
        {**chart, "uuid": f"chart-{index}", "metricSectionId": section["uuid"], "deleted": False, "isGenerated": False}
        for index, (chart, section) in enumerate(sections)
    ]
    return {"compareRunCharts": found, "compareRunSections": [cells, trainings], "isAccordionReordered": True}


def tags() -> dict[str, str]:
    """The experiment's tags that hold the views."""
    columns = [f"{kind}.`{name}`" for kind, names in COLUMNS.items() for name in names]
    states = {
        (KEY, NAME): {**CHOSEN_RUNS, **PAGE, "selectedColumns": columns},
        (CHARTS_KEY, CHARTS_NAME): {
            **CHOSEN_RUNS,
            **PAGE,
            "searchFilter": "",
            "runsHiddenMode": "SHOWALL",
            "selectedColumns": columns,
            **charts(),
        },
    }
    now = int(1000 * time.time())
    return {
        f"mlflow.sharedViewState.{key}": json.dumps({"name": name, "createdAt": now, "updatedAt": now, "state": json.dumps(state)})
        for (key, name), state in states.items()
    }


def path(experiment: str, key: str = KEY) -> str:
    """Where a server shows an experiment in a view."""
    charts = "&compareRunsMode=CHART" if key == CHARTS_KEY else ""
    return f"/#/experiments/{experiment}/runs?{TRAINING}&viewStateShareKey={key}{charts}"
