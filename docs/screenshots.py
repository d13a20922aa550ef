"""Take the pictures that README and docs show, of MLflow's pages, the report and the best cells' samples: `make ui` in one
terminal, this in another.

    python docs/screenshots.py --space latent_sweep [--url http://127.0.0.1:5000] [--out docs]
    python docs/screenshots.py --space latent_sweep smoke [--out docs]     their report together, which needs no `make ui`
"""

import argparse
import json
import shutil
import sys
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from study.analysis.cell_table import cells, nearest_of
from study.data.datasets import data_folder
from study.ledger.folder import Ledger
from study.ledger.joined import open_joined
from study.ledger.opening import STORAGE, open_study
from study.mlflow_view import saved_view
from study.reporting.build import write_report

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
REST_MS = 12_000  # MLflow's pages poll for news, so the network is never idle
CHROMIUM = "/usr/bin/chromium"


def ask(url: str, path: str, body=None) -> dict:
    """One call of MLflow's REST interface."""
    request = urllib.request.Request(
        f"{url}/api/2.0/mlflow/{path}", json.dumps(body).encode() if body else None, {"Content-Type": "application/json"}
    )
    return json.load(urllib.request.urlopen(request, timeout=30))


def pages(url: str, space: str) -> dict[str, str]:
    """Name of a picture -> address of the page that it shows."""
    experiment = ask(url, f"experiments/get-by-name?experiment_name={space}")["experiment"]["experiment_id"]
    found = ask(
        url,
        "runs/search",
        {
            "experiment_ids": [experiment],
            "max_results": 50,
            "filter": "tags.stage = 'confirm' and tags.replicate = '0'",  # which draws
            "order_by": ["metrics.fd_rel ASC"],
        },
    )["runs"]
    best = found[0]["info"]["run_id"]
    some = json.dumps([run["info"]["run_id"] for run in found[:4]])
    summary = ask(url, "runs/search", {"experiment_ids": [experiment], "filter": "tags.stage = 'summary'"}).get("runs", [])
    base = f"{url}/#/experiments/{experiment}"
    return {
        "mlflow-table": url + saved_view.path(experiment),
        "mlflow-charts": url + saved_view.path(experiment, saved_view.CHARTS_KEY),
        "mlflow-samples": f"{base}/runs/{best}/model-metrics",
        "mlflow-comparison": f"{url}/#/compare-runs?runs={some}&experiments=[%22{experiment}%22]",
        **({"mlflow-summary": f"{base}/runs/{summary[0]['info']['run_id']}/model-metrics"} if summary else {}),
    }


def take(browser, address: str, file: Path, width: int = 1400, height: int = 900) -> list[str]:
    """Write a picture of a page once it has come to rest; the errors that its console shows."""
    page, errors = browser.new_page(viewport={"width": width, "height": height}), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.wait_for_timeout(REST_MS)
    close = page.get_by_text("MLflow Assistant").locator("xpath=ancestor::div[.//button][1]").locator("button").last
    if close.count():
        close.click()
    page.wait_for_timeout(REST_MS // 4)
    page.screenshot(path=file)
    page.close()
    return errors


def copy_samples(ledger: Ledger, out: Path) -> None:
    """The last samples of every model's best cell."""
    for cell in nearest_of(cells(ledger)):
        shutil.copyfile(ledger.files(cell.trial, "images/samples-*.png")[-1], out / f"samples-{cell.model}.png")


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", nargs="+", default=["latent_sweep"])
    parser.add_argument("--url", default="http://127.0.0.1:5000")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    options = parser.parse_args(arguments)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        if len(options.space) > 1:
            page = write_report(open_joined([STORAGE], options.space), data_folder(None))
            print("report-joined", *take(browser, page.resolve().as_uri(), options.out / "report-joined.png", 1200, 1500))
            return 0
        ledger = open_study(STORAGE, options.space[0])
        copy_samples(ledger, options.out)
        take(browser, (ledger.root / "report" / "report.html").as_uri(), options.out / "report.png", 1200, 1500)
        for name, address in pages(options.url, options.space[0]).items():
            tall = 1260 if name == "mlflow-samples" else 900  # the samples card stands in the second row
            errors = take(browser, address, options.out / f"{name}.png", height=tall)
            print(name, *errors)
    return 0


if __name__ == "__main__":
    sys.exit(main())
