"""A newcomer in a real browser: log in, run the first notebook on Gateway workers, see figures."""

from __future__ import annotations

import contextlib
import json
import re
import time

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.hub, pytest.mark.timeout(900)]


@pytest.fixture
def page(chromium):
    page = chromium.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(120_000)  # a busy machine takes its time to show a page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    yield page
    foreign = [u for u in asked if not re.match(r"(https?|wss?)://127\.0\.0\.1[:/]|data:|blob:", u)]
    assert not foreign, f"the page asked beyond loopback: {foreign[:3]}"


def log_in(page, hub, user):
    page.goto(f"{hub.url}/hub/login")
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", hub.password(user))
    page.click("#login_submit")
    page.wait_for_url(f"**/user/{user}/lab**", timeout=240_000)


def run_all(page, hub, name):
    """Open a notebook, take its outputs away and run all of its cells, as a person does."""
    page.goto(f"{hub.url}/user/ana/lab/tree/notebooks/00-start/{name}.ipynb")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=120_000)
    until = time.monotonic() + 240
    # The status bar, not the toolbar's dot: that one says idle before there is a kernel.
    while "| Idle" not in page.locator("#jp-main-statusbar").inner_text():
        assert time.monotonic() < until, "no kernel came"
        page.wait_for_timeout(500)
        if page.locator(".jp-Dialog .jp-mod-accept").count():
            page.locator(".jp-Dialog .jp-mod-accept").first.click()
    page.locator(".lm-MenuBar-item", has_text="Edit").first.click()
    page.locator(".lm-Menu-item", has_text="Clear Outputs of All Cells").first.click()
    page.locator(".lm-MenuBar-item", has_text="Run").first.click()
    page.locator(".lm-Menu-item", has_text="Run All Cells").first.click()


def code_cells(page, hub, name):
    """The code cells as the server has them after a save; a page shows only those that are in view."""
    page.keyboard.press("Control+s")
    page.wait_for_timeout(1500)
    path = hub.state / "home" / "ana" / "notebooks" / "00-start" / f"{name}.ipynb"
    for _ in range(20):  # the server writes it in place: now and then one reads half of it
        with contextlib.suppress(json.JSONDecodeError):
            document = json.loads(path.read_text())
            break
        page.wait_for_timeout(200)
    return [c for c in document["cells"] if c["cell_type"] == "code" and "".join(c["source"]).strip()]


def test_first_notebook_runs_on_gateway_workers(page, hub, tmp_path):
    log_in(page, hub, "ana")
    page.wait_for_selector(".jp-DirListing-item", timeout=120_000)
    assert "00-start" in page.url, "Lab should open on the first folder"
    run_all(page, hub, "first-look")
    page.wait_for_selector('.jp-OutputArea-output:has-text("ALL DONE")', timeout=420_000)
    page.screenshot(path=str(tmp_path / "lab.png"))
    assert not page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]').count()
    page.locator(".jp-Notebook").first.evaluate(
        "n => { const s = n.querySelector('.jp-WindowedPanel-outer') || n; s.scrollTop = 0 }"
    )
    page.wait_for_selector('.jp-OutputArea-output:has-text("Dask Gateway cluster")', timeout=120_000)
    assert "LEFT []" in hub.run_as("ana", "from vadose.access import cluster\nprint('LEFT', cluster.clusters())").stdout


def test_second_notebook_runs(page, hub):
    log_in(page, hub, "ana")
    run_all(page, hub, "synthetic-earth")
    until = time.monotonic() + 420
    cells = code_cells(page, hub, "synthetic-earth")
    while not all(c["execution_count"] for c in cells):
        assert time.monotonic() < until, [c["execution_count"] for c in cells]
        cells = code_cells(page, hub, "synthetic-earth")
    assert not [o for c in cells for o in c["outputs"] if o["output_type"] == "error"]
    assert [o for c in cells for o in c["outputs"] if "image/png" in o.get("data", {})]


def test_catalog_can_be_browsed(page, hub):
    page.goto(f"{hub.url}/services/stac/browse")
    everything = page.locator("article:visible").count()
    assert everything >= 8
    page.fill("#q", "satellite merged")
    assert 1 <= page.locator("article:visible").count() < everything


def test_stranger_sees_the_login_page(page, hub):
    page.goto(f"{hub.url}/user/ana/lab")
    assert page.locator("#login_submit").count() == 1
