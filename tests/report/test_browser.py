"""The page in a real Chromium, where there is one: cells open, keys work, nothing is requested."""

from __future__ import annotations

import shutil

import pytest

from pellucid import report
from tests.report import shown

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def everything(tmp_path):
    """A run with one block of each kind."""
    run = shown.task_run(tmp_path, "reconstruction", {"test/mse": 0.006}, {}, [{"train/loss": 0.1}] * 3)
    shown.write_evaluation(run, shown.every_block(run))
    return run


def opened(browser, run, **options):
    """Open the report of a run; the second value collects requests and errors."""
    page, troubles = browser.new_page(**options), []
    page.on("request", lambda r: troubles.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    page.goto(report.write(run.path).absolute().as_uri())
    return page, troubles


def test_cells_open_by_click_and_keyboard_and_escape_restores_focus(browser, digits):
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


def test_arrow_keys_show_the_numbers_of_a_chart(browser, digits):
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
def test_nothing_is_wider_than_the_window(browser, digits, diabetes, everything, width, scheme):
    for run in (digits, diabetes, everything):
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


# ---- blocks ------------------------------------------------------------------------------------------

CONTRAST = """tokens => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (parts) => parts.slice(0, 3)
    .map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  return tokens.map((token) => {
    const style = getComputedStyle(token);
    const [a, b] = [light(rgb(style.color)), light(rgb(style.backgroundColor))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colored_words_and_cells_are_readable(browser, everything, scheme):
    page, _ = opened(browser, everything, color_scheme=scheme)
    marked = page.locator(".passage span[class], .heat.numbered td[class]")
    assert marked.count() > 60
    assert min(marked.evaluate_all(CONTRAST)) >= 4.5
    page.close()


def shown_frames(page) -> list[str]:
    frames = "frames => frames.filter((f) => getComputedStyle(f).visibility === 'visible').map((f) => f.alt)"
    return page.locator(".snapshots img").evaluate_all(frames)


@pytest.mark.parametrize("scripts", [True, False])
def test_arrow_keys_step_through_snapshots_and_all_can_be_shown(browser, everything, scripts):
    page, troubles = opened(browser, everything, java_script_enabled=scripts)
    assert shown_frames(page) == ["Images while it learns, epoch 8"]
    page.locator(".snapshots input[type=radio]").last.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert shown_frames(page) == ["Images while it learns, epoch 6"]
    image = page.locator('.snapshots img[alt$="epoch 6"]').bounding_box()
    assert image["width"] == 594  # three times 198 pixels
    page.locator(".snapshots .tick").nth(3).click()
    assert shown_frames(page) == ["Images while it learns, epoch 3"]
    page.locator(".snapshots .show-all input").check()
    assert len(shown_frames(page)) == 9
    assert troubles == []
    page.close()


def test_snapshots_play_from_the_first_and_stop_when_asked(browser, everything):
    page, troubles = opened(browser, everything)
    play = page.locator(".snapshots .play")
    play.click()
    assert shown_frames(page) == ["Images while it learns, untrained"]
    page.locator(".snapshots .frame:nth-child(3) input:checked").wait_for(state="attached", timeout=5000)
    play.click()
    before = shown_frames(page)
    page.wait_for_timeout(900)
    assert shown_frames(page) == before
    assert play.inner_text() == "▶ Play"
    assert troubles == []
    page.close()


def test_arrow_keys_show_row_column_and_number_of_a_heatmap(browser, everything):
    page, troubles = opened(browser, everything)
    page.locator(".heat").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".pointer").inner_text() == "das, the: 0.721"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert page.locator(".pointer").inner_text() == "Abkommen, agreement: 0.57"
    assert troubles == []
    page.close()


def test_one_group_of_a_scatter_plot_can_be_selected_without_javascript(browser, everything):
    page, _ = opened(browser, everything, java_script_enabled=False)
    opacity = "paths => paths.map((path) => Number(getComputedStyle(path).opacity))"
    clouds = page.locator(".picked .wide .cloud")
    assert set(clouds.evaluate_all(opacity)) == {1}
    page.locator(".picks span", has_text="7").click()
    found = clouds.evaluate_all(opacity)
    assert [i for i, value in enumerate(found) if value == 1] == [7]
    page.close()


def test_wide_heatmaps_and_tables_scroll_by_themselves(browser, everything):
    page, _ = opened(browser, everything, viewport={"width": 390, "height": 800})
    wide = page.locator(".block .scroll:has(.heat)").nth(1)
    assert wide.evaluate("node => node.scrollWidth > node.clientWidth")
    assert wide.evaluate("node => node.getBoundingClientRect().right") <= 390
    page.close()
