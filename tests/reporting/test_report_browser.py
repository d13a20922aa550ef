"""The report page in a real browser: clicks, slider, keyboard, narrow and dark screens, print, and hostile names."""

import json
from pathlib import Path

import pytest
from synthetic import floor_of, sweep

from study.reporting.build import write_report

pytestmark = pytest.mark.long
DESKTOP, PHONE = {"width": 1360, "height": 900}, {"width": 390, "height": 844}
EVIL = "folder:</script><img src=x onerror=alert(1)>\"'&"


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """A study with a measure of its own, in which one family diverged in one cell, one cell is not finished, and MLflow knows a run."""

    def world(cell):
        diverged = (cell["model"], cell["depth"], cell["latent_dim"]) == ("gan", 2, 2)
        return {"status": "diverged"} if diverged else {"quality/brightness": 0.5}

    ledger = sweep(tmp_path_factory.mktemp("studies") / "made_up", nets=("fc", "conv"), world=world)
    key = next(key for key in ledger.keys() if key.startswith("vae-fc-d1-z2-digits-confirm"))
    (ledger.folder(key) / "tracked.json").write_text(
        json.dumps({"store": ["sqlite:///mlflow.db", "1", ""], "run_id": "abc123", "rows": 1, "images": [], "ended": None})
    )
    (ledger.root / "floors.json").write_text(json.dumps({"digits": floor_of(0.024, 0.004)}))
    with open(ledger.root / "planned.jsonl", "a") as file:
        file.write(
            json.dumps({"cell": "vae-fc-d9-z2-digits", "model": "vae", "dataset": "digits", "planned": 2, "trials": []}) + "\n"
        )
    return write_report(ledger, Path("/nowhere"))


@pytest.fixture
def opened(browser, report):
    """opened(viewport, ...) -> a page; no test may end with an error on its console or a request beyond the file."""
    contexts, trouble = [], []

    def open_page(viewport=DESKTOP, file=report, place="", **options):
        context = browser.new_context(viewport=viewport, reduced_motion="reduce", **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: trouble.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("dialog", lambda dialog: (trouble.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on(
            "request",
            lambda request: trouble.append(request.url) if not request.url.startswith(("file:", "data:", "blob:")) else None,
        )
        page.goto(file.as_uri() + place)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert trouble == []


def square(page, name):
    return page.locator(f"a.square[href='#cell-{name}']")


def test_a_click_on_a_square_shows_what_the_cell_draws_and_knows(opened):
    page = opened()
    square(page, "vae-fc-d1-z2-digits").click()
    panel = page.locator("#panel")
    assert panel.locator("h3").inner_text() == "VAE fc, depth 1, latent 2"
    for kind in ("samples", "reconstructions", "interpolation"):
        image = panel.locator(f"img[data-kind={kind}]")
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 200
    assert panel.locator("svg").count() == 3  # fd_rel and two losses
    text = panel.inner_text()
    for said in ("fd_rel", "0.024", "lr 0.001", "training time", "abc123", "--trial vae-fc-d1-z2-digits-confirm-s00to05"):
        assert said in text
    square(page, "gan-fc-d1-z8-digits").click()
    assert page.locator("a.square[aria-current]").count() == 1
    assert panel.locator("img[data-kind=nearest]").count() == 1 and "not tracked" in panel.inner_text()


def test_the_slider_goes_through_the_epochs(opened):
    page = opened()
    square(page, "wgan-conv-d2-z8-digits").click()
    slider, image = page.locator("#epoch"), page.locator("#panel img[data-kind=samples]")
    last = image.get_attribute("src")
    assert slider.get_attribute("aria-valuetext") == "epoch 6 of 6"
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert slider.get_attribute("aria-valuetext") == "epoch 5 of 6" and image.get_attribute("src") != last
    page.keyboard.press("Home")
    assert slider.get_attribute("aria-valuetext") == "epoch 0 of 6"
    page.keyboard.press("End")
    assert image.get_attribute("src") == last


def test_the_maps_work_from_the_keyboard_alone(opened):
    page = opened()
    page.locator("#measure").focus()
    page.keyboard.press("Tab")
    assert "maps" in page.evaluate("document.activeElement.closest('div').parentElement.className")
    page.locator("table.map a").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.cellName") == "vae-conv-d2-z8-digits"
    page.keyboard.press("ArrowDown")  # nothing is there
    page.keyboard.press("Enter")
    assert page.locator("#panel").is_visible() and page.evaluate("document.activeElement.id") == "panel"
    assert page.locator("a.square[aria-current]").get_attribute("data-cell-name") == "vae-conv-d2-z8-digits"
    page.keyboard.press("Escape")
    assert page.locator("#panel").is_hidden()
    assert page.evaluate("document.activeElement.dataset.cellName") == "vae-conv-d2-z8-digits"


def test_only_one_square_of_a_map_is_in_the_tab_order(opened):
    page = opened()
    assert page.locator("table.map a[tabindex='0']").count() == page.locator("table.map").count() == 6


def test_another_measure_changes_numbers_and_labels(opened):
    page = opened()
    label = square(page, "vae-fc-d1-z2-digits").get_attribute("aria-label")
    assert "fd_rel" in label and "6 replicates" in label
    page.locator("#measure").select_option("quality/coverage")
    assert "coverage" in square(page, "vae-fc-d1-z2-digits").get_attribute("aria-label")
    assert "higher is better" in page.locator("#reads").inner_text()
    page.locator("#measure").select_option("likelihood/elbo")
    assert "–" in square(page, "gan-fc-d1-z2-digits").inner_text()


def test_a_diverged_cell_and_an_unfinished_sweep_say_so(opened):
    page = opened()
    assert "diverged" in square(page, "gan-fc-d2-z2-digits").inner_text()
    square(page, "gan-fc-d2-z2-digits").click()
    assert "6 of 6 trainings diverged" in page.locator("#panel").inner_text()
    assert "The sweep is not finished" in page.locator("section[aria-label='What is missing']").inner_text()


def test_a_link_to_a_cell_opens_it_and_back_goes_back(opened):
    page = opened(place="#cell-gan-fc-d1-z2-digits")
    title = page.locator("#panel-title")
    assert title.inner_text() == "GAN fc, depth 1, latent 2"
    page.locator("#board a").first.scroll_into_view_if_needed()
    page.wait_for_timeout(500)  # pictures that come into view move what is below them
    page.locator("#board a").first.click()
    assert title.inner_text().startswith("VAE")
    page.go_back()
    assert title.inner_text() == "GAN fc, depth 1, latent 2"


def test_the_page_works_inside_a_sandboxed_frame(opened, report, tmp_path):
    """As MLflow shows it: scripts may run, but the frame may not change its address."""
    parent = tmp_path / "parent.html"
    parent.write_text('<iframe sandbox="allow-scripts" width="1200" height="800"></iframe>')
    page = opened(file=parent)
    page.evaluate(
        "html => { document.querySelector('iframe').src = URL.createObjectURL(new Blob([html], {type: 'text/html'})); }",
        report.read_text(),
    )
    frame = page.frame_locator("iframe")
    frame.locator("a.square").nth(2).click()
    assert frame.locator("#panel-title").inner_text() == "VAE conv, depth 2, latent 2"
    frame.locator("nav a", has_text="Methods").click()
    assert frame.locator("#methods").evaluate("section => section.getBoundingClientRect().top") < 800


def test_pictures_of_the_board_are_decoded_when_they_come_into_view(opened):
    page = opened()
    image = page.locator("#board img[data-cell]").last
    assert image.get_attribute("src") is None
    image.scroll_into_view_if_needed()
    page.wait_for_function("image => image.naturalWidth > 200", arg=image.element_handle())
    assert page.locator("#board img[src]").first.get_attribute("alt") == "Real images of digits"


@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_begins_with_what_to_use_and_explains_each_term_by_focus_pointer_and_tap(opened, width):
    page = opened({"width": width, "height": 844}, has_touch=width == 390)
    lead, tip = page.locator("#answer .lead").first, page.locator("#tip")
    assert (
        lead.bounding_box()["y"]
        < page.locator("#answer > p").first.bounding_box()["y"]
        < page.locator("#claims, #effects").first.bounding_box()["y"]
    )
    text = lead.inner_text()
    for said in (
        "For fidelity on digits. Use a WGAN with net",
        "lower is better",
        "For coverage.",
        "For cost.",
        "with probability",
        "3 s a training",
    ):
        assert said in text
    for image in lead.locator("img").all():
        image.scroll_into_view_if_needed()
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 200
    (real, samples) = [image.bounding_box() for image in lead.locator("img").all()]
    assert (real["x"] > lead.locator("p").first.bounding_box()["x"] + 300) == (width == 1400) and samples["y"] > real["y"]
    for term in page.locator("#answer dfn").all() + page.locator("#effects dfn").all()[:5]:
        term.focus()
        assert tip.is_visible() and tip.inner_text() == page.locator(f"#{term.get_attribute('aria-describedby')}").text_content()
        box = tip.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["y"] >= 0 and box["y"] + box["height"] <= 844
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    term = page.locator("#answer dfn", has_text="fd_rel").first
    term.tap() if width == 390 else term.hover()
    assert tip.is_visible() and "as a frozen classifier sees both" in tip.inner_text()
    page.locator("h1").tap() if width == 390 else page.locator("h1").hover()
    assert tip.is_hidden() and page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [390, 768, 1360])
def test_nothing_is_wider_than_the_screen(opened, width):
    page = opened({"width": width, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    square(page, "vae-fc-d1-z2-digits").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    box = page.locator("#panel").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width + 1


def test_on_a_phone_the_panel_covers_the_page_and_closes(opened):
    page = opened(PHONE, has_touch=True)
    square(page, "vae-fc-d1-z2-digits").tap()
    assert page.locator("#panel").bounding_box() == {"x": 0, "y": 0, **PHONE}
    page.locator("#panel .close").tap()
    assert page.locator("#panel").is_hidden()


CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const light = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(v => v / 255)
      .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  return [...document.querySelectorAll('a.square:not(.lost)')].map(link => {
    const style = getComputedStyle(link);
    const [a, b] = [light(style.color), light(style.backgroundColor)].sort((x, y) => x - y);
    return (b + .05) / (a + .05);
  });
}"""


@pytest.mark.parametrize("scheme, dark", [("light", False), ("dark", True)])
def test_light_and_dark_both_can_be_read(opened, scheme, dark):
    page = opened(color_scheme=scheme)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper[4:-1].split(","))) < 200) == dark
    assert min(page.evaluate(CONTRAST)) >= 4.4  # WCAG asks for 4.5 of small text, the figures are larger


def test_a_screen_reader_finds_names_for_everything_it_can_reach(opened):
    page = opened()
    square(page, "vae-fc-d1-z2-digits").click()
    assert page.locator("img:not([alt])").count() == 0
    assert page.locator("svg[aria-label]").count() == page.locator("svg").count() > 4
    unnamed = """[...document.querySelectorAll('a, button, select, input')].filter(each =>
        !each.textContent.trim() && !each.getAttribute('aria-label') && !(each.labels && each.labels.length)).length"""
    assert page.evaluate(unnamed) == 0
    tree = page.locator("nav").aria_snapshot()
    assert 'navigation "Sections"' in tree and 'link "Effects"' in tree
    assert page.locator("html").get_attribute("lang") == "en"


def test_print_has_the_pictures_and_leaves_out_what_only_a_screen_can_use(opened):
    page = opened()
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#board img:not([src])").count() == 0
    assert page.locator("nav").is_hidden() and page.locator("#answer").is_visible()
    assert len(page.pdf()) > 50_000


def test_hostile_names_are_shown_and_not_run(opened, tmp_path):
    ledger = sweep(tmp_path / "study", models=("vae",), depths=(1,), latents=(2,))
    for key in ledger.keys():
        path = ledger.folder(key) / "spec.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "dataset": EVIL, "system": EVIL, "params": {EVIL: EVIL}}))
    page = opened(file=write_report(ledger, Path("/nowhere")))
    page.locator("a.square").first.click()
    assert EVIL in page.locator("#panel").inner_text() and EVIL in page.locator("#map-list").inner_text()
    page.wait_for_timeout(200)


def test_a_page_of_a_thousand_cells_stays_usable(opened, tmp_path):
    ledger = sweep(
        tmp_path / "study",
        nets=("fc", "conv"),
        depths=range(1, 8),
        latents=(2, 4, 8, 16, 32, 64),
        epochs=2,
        proposals=1,
        datasets=("digits", "mnist", "cifar10", "imagenette"),
    )
    page = opened(file=write_report(ledger, Path("/nowhere")))
    assert page.locator("a.square").count() == 1008
    assert page.evaluate("(() => { const start = performance.now(); drawMaps(); return performance.now() - start; })()") < 2000
    square(page, "wgan-fc-d7-z64-imagenette").click()
    assert page.locator("#panel-title").inner_text() == "WGAN fc, depth 7, latent 64"


@pytest.mark.parametrize(
    "store, server", [("http://mlflow.example:5000/", "http://mlflow.example:5000"), ("sqlite:///a.db", "http://127.0.0.1:5000")]
)
def test_a_run_is_linked_where_it_is_shown(opened, tmp_path, store, server):
    ledger = sweep(tmp_path / "study", models=("vae",), depths=(1,), latents=(2,), draw=False)
    (key,) = (key for key in ledger.keys() if "confirm" in key)
    tracked = {"store": [store, "7", ""], "run_id": "abc123", "rows": 1, "images": [], "ended": None}
    (ledger.folder(key) / "tracked.json").write_text(json.dumps(tracked))
    page = opened(file=write_report(ledger, Path("/nowhere")), place="#cell-vae-fc-d1-z2-digits")
    assert page.locator("#panel a", has_text="abc123").get_attribute("href") == f"{server}/#/experiments/7/runs/abc123"


@pytest.mark.parametrize("viewport", [{"width": 1400, "height": 900}, PHONE])
def test_the_table_of_all_cells_sorts_and_filters(opened, viewport):
    page = opened(viewport)
    rows = page.locator("#cells-table tbody tr:visible")
    every = rows.count()
    page.get_by_label("Filter:").fill("wgan depth=2")
    assert 0 < rows.count() < every and page.locator("#found").inner_text() == f"{rows.count()} of {every} cells"
    assert all("WGAN" in text and "depth 2" in text for text in rows.all_inner_texts())
    page.get_by_label("Filter:").fill("")
    title = page.locator("#cells-table th", has=page.get_by_role("button", name="fd_rel"))
    place = title.evaluate("each => [...each.parentElement.children].indexOf(each)")
    for order, sign in (("ascending", 1), ("descending", -1)):
        title.get_by_role("button").press("Enter")  # by keyboard, too
        assert title.get_attribute("aria-sort") == order
        values = [
            sign * float(text)
            for text in page.locator(f"#cells-table tbody tr > :nth-child({place + 1})").all_inner_texts()
            if text != "–"
        ]
        assert values == sorted(values) and len(values) > 5
    assert page.locator("#cells-table th", has_text="brightness").count() == 1  # the study's own measure
    assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]  # only the table scrolls


def test_two_cells_stand_side_by_side_with_every_difference(opened):
    page = opened()
    page.locator("#cells-table tbody tr a").first.click()
    page.get_by_label("Beside", exact=True).select_option(index=2)
    assert page.locator(".beside figure").count() == 2
    row = page.locator(".beside tbody tr", has_text="fd_rel").first.locator("td").all_inner_texts()
    ours, theirs = float(row[0]), float(row[1])
    assert (
        row[2].replace("−", "-").startswith(f"{'+' if theirs > ours else '-'}")
        and ("better" if theirs < ours else "worse") in row[2]
    )


def test_a_cell_tells_how_it_is_run_again_and_how_its_runs_are_found(opened):
    page = opened(place="#cell-vae-fc-d1-z2-digits")
    told = page.locator("table.about").inner_text()
    assert "study/launch.py --space made_up" in told and "--models vae --nets fc --depths 1 --latents 2 --datasets digits" in told
    assert "tags.cell = 'vae-fc-d1-z2-digits'" in told


@pytest.mark.parametrize("viewport", [{"width": 1400, "height": 900}, PHONE])
def test_what_was_tuned_and_when_it_ran_are_drawn(opened, viewport, tmp_path):
    ranges = {"lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True, "step": None}, "critic_steps": {"choices": [1, 5]}}
    tuned = sweep(tmp_path / "made_up", models=("wgan",), ranges=ranges, drawn={"lr": 1e-3, "critic_steps": 5})
    page = opened(viewport, write_report(tuned, Path("/nowhere")))
    assert page.locator("#searches svg").count() == 3 and "proposals" in page.locator("#searches").inner_text()
    assert page.locator("#schedule-chart rect").count() >= 2 and "processors trained" in page.locator("#schedule").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]


def test_print_opens_what_is_folded_and_folds_it_again(opened):
    page = opened()
    folded = page.evaluate("document.querySelectorAll('details:not([open])').length")
    assert folded
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.querySelectorAll('details:not([open])').length") == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.querySelectorAll('details:not([open])').length") == folded


@pytest.mark.parametrize("viewport", [{"width": 1400, "height": 900}, PHONE])
def test_curves_show_each_replicate_below_the_median_and_families_by_a_select(opened, viewport):
    page = opened(viewport)
    page.locator("#curve").select_option("loss/generator/loss")
    charts = page.locator("#family-curves .chart")
    assert charts.count() == 2 and "VAE" not in "".join(charts.all_inner_texts())  # GAN and WGAN have a generator
    page.locator("#curve").select_option("quality/fd_rel")
    assert charts.count() == 3 and charts.first.locator("path.faint").count() == 7  # 8 cells, the best of them bold
    assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
    charts.first.locator("a").click()
    chart = page.locator("#panel svg").first
    assert chart.locator("path.line.faint").count() == 6 and chart.locator("path.line:not(.faint)").count() == 1
    assert "each of them" in page.locator("#panel h4", has_text="Curves").inner_text()


@pytest.mark.parametrize("viewport", [{"width": 1400, "height": 900}, PHONE])
def test_a_page_that_loads_itself_again_is_as_its_reader_left_it(opened, tmp_path, viewport):
    ledger = sweep(tmp_path / "made_up", draw=False)
    with open(ledger.root / "planned.jsonl", "a") as file:
        file.write(json.dumps({"cell": "more", "model": "vae", "dataset": "digits", "planned": 2, "trials": []}) + "\n")
    with ledger.lock():
        file = write_report(ledger, Path("/nowhere"))
    page = opened(viewport, file)
    page.get_by_label("Filter:").fill("wgan")
    page.locator("#cells-table").get_by_role("button", name="fd_rel").press("Enter")
    page.locator("#measure").select_option("quality/coverage")
    page.locator("section[aria-label='What is missing'] summary").first.click()
    page.locator("#cells-table tbody tr:visible a").first.click()
    page.evaluate("scrollTo({top: 1234, behavior: 'instant'}); byId('panel').scrollTop = 77")
    left = """(() => ({top: scrollY, panel: byId('panel').scrollTop, title: byId('panel-title').textContent, found: byId('found').textContent,
        measure: byId('measure').value, sort: document.querySelector('th[aria-sort=ascending]').textContent,
        open: document.querySelectorAll('details[open]').length}))()"""
    before = page.evaluate(left)
    assert before["top"] == 1234 and before["found"] == "4 of 12 cells" and before["open"] == 1
    page.evaluate("window.old = true")
    page.evaluate("keepState(); setTimeout(() => location.reload(), 0)")
    page.wait_for_function("!window.old && document.readyState === 'complete'")
    after = page.evaluate(left)
    assert abs(after.pop("top") - before.pop("top")) < 10 and after == before  # the browser may anchor the page at what it sees
    assert page.locator("#cells-table tbody tr:visible").count() == 4
