"""The page in a real Chromium, where there is one: cells open, keys work, nothing is requested."""

from __future__ import annotations

import shutil

import pytest

from pellucid import report

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def opened(browser, run, **options):
    """Open the report of a run; the second value collects requests and errors."""
    page, troubles = browser.new_page(**options), []
    page.on("request", lambda r: troubles.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    page.goto(report.write(run.path).absolute().as_uri())
    return page, troubles


def test_a_cell_opens_by_click_and_by_keyboard_and_escape_gives_the_focus_back(browser, digits):
    page, troubles = opened(browser, digits)
    cell = page.locator(".matrix a").first
    panel = page.locator(cell.get_attribute("href"))
    assert not panel.is_visible()
    cell.click()
    assert panel.is_visible()
    assert panel.locator("img").count() > 0
    assert panel.locator("img").first.evaluate("image => image.naturalWidth") == 8
    page.keyboard.press("Escape")
    assert not panel.is_visible()
    assert cell.evaluate("cell => cell === document.activeElement")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.locator(".panel.open").count() == 1
    assert troubles == []


def test_a_chart_tells_its_numbers_under_the_arrow_keys(browser, digits):
    page, troubles = opened(browser, digits)
    page.locator("#learning .wide svg").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    said = page.locator(".pointer").inner_text()
    assert said.startswith("epoch 2: training ")
    assert "validation" in said
    assert troubles == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 390])
def test_nothing_is_wider_than_the_window(browser, digits, diabetes, width, scheme):
    for run in (digits, diabetes):
        page, troubles = opened(browser, run, viewport={"width": width, "height": 800}, color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert troubles == []
        page.close()


def test_without_javascript_charts_are_drawn_and_cells_still_open(browser, digits):
    page, _ = opened(browser, digits, java_script_enabled=False)
    assert page.locator("#learning .wide svg path").first.is_visible()
    cell = page.locator(".matrix a").first
    panel = page.locator(cell.get_attribute("href"))
    cell.click()
    assert panel.is_visible()
    page.locator("label:has(#theme-dark)").click()
    assert (
        page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor") == "rgb(16, 19, 23)"
    )
