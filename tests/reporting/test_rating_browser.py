"""The page for blind ratings in a real browser: marks by mouse and keyboard, the agreement, the table and its download."""

import csv
import io
from pathlib import Path

import pytest
from scipy.stats import kendalltau
from synthetic import sweep

from study.reporting.rating import REAL, write_rating

pytestmark = pytest.mark.long


@pytest.fixture
def page(browser, tmp_path):
    """The page of a study; no test may end with an error on its console or a request beyond the file."""
    ledger, trouble = sweep(tmp_path / "rated"), []
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.on("console", lambda message: trouble.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: request.url.startswith(("file:", "data:", "blob:")) or trouble.append(request.url))
    page.goto(write_rating(ledger, Path("/nowhere")).as_uri())
    yield page
    context.close()
    assert trouble == []


def rated(page, marks) -> list[dict]:
    """Give these marks, and read what can then be downloaded."""
    for mark in marks:
        page.get_by_role("button", name=str(mark), exact=True).click()
    with page.expect_download() as download:
        page.locator("#download").click()
    return list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))


def test_the_agreement_is_the_rank_correlation_of_scipy(page):
    count = int(page.locator("#place").inner_text().split()[-1])
    assert count == 13 and page.locator("#result").is_hidden()
    rows = rated(page, [1 + 3 * place % 5 for place in range(count)])
    assert [row["mark"] for row in rows] == [str(1 + 3 * place % 5) for place in range(count)]
    samples = [row for row in rows if row["what"] != REAL]
    for line, (name, sign) in zip(
        page.locator("#agreement tbody tr").all(), (("fd_rel", -1), ("precision", 1), ("coverage", 1)), strict=True
    ):
        shown = line.locator("td").all_inner_texts()
        marks, scores = [float(row["mark"]) for row in samples], [sign * float(row[name]) for row in samples]
        assert shown[0] == name and shown[2] == "66"
        assert float(shown[1].replace("−", "-")) == pytest.approx(kendalltau(marks, scores).statistic, abs=0.005)


def test_the_best_marks_stand_first_and_every_grid_is_named(page):
    rated(page, [2] * 6 + [5] + [1] * 6)
    lines = [line.locator("td").all_inner_texts() for line in page.locator("#grids tbody tr").all()]
    assert len({line[2] for line in lines}) == 13 and lines[0][:2] == ["7", "5"]


def test_equal_marks_say_nothing(page):
    rated(page, [3] * 13)
    assert page.locator("#agreement tbody td:nth-child(2)").all_inner_texts() == ["–"] * 3


def test_a_mark_can_be_given_by_a_key_and_taken_back(page):
    first = page.locator("#grid").get_attribute("src")
    page.keyboard.press("4")
    assert page.locator("#place").inner_text() == "Grid 2 of 13" and page.locator("#grid").get_attribute("src") != first
    page.locator("#back").click()
    assert page.locator("#grid").get_attribute("src") == first
    assert page.locator("#marks [aria-pressed=true]").inner_text() == "4" and page.locator("#back").is_disabled()
    assert page.locator("#grid").evaluate("image => image.decode().then(() => image.naturalWidth)") == 263
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_order_is_another_each_time(page):
    orders = set()
    for _ in range(4):
        orders.add(page.evaluate("grids.map(grid => grid.what).join()"))
        page.reload()
    assert len(orders) > 1
