"""The documentation site builds without a warning and without a network, and its links lead somewhere."""

import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import pellucid
from pellucid.diagnosis.explained import where_found

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LOADED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src")}


class Page(HTMLParser):
    """The anchors of a page and everything it refers to."""

    def __init__(self, path: Path):
        super().__init__()
        self.anchors: set[str] = {""}
        self.links: list[tuple[str, str]] = []  # (tag, address)
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value)
            elif name in ("href", "src") and value:
                self.links.append((tag, name, value))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "WARNING" not in done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site):
    """Every page by its path, the reports apart, which have tests of their own."""
    return {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}


def test_every_link_leads_to_a_page_and_an_anchor(site, pages):
    broken = [
        f"{path.relative_to(site)}: {address}"
        for path, page in pages.items()
        for _, _, address in page.links
        if not leads_somewhere(path, address, pages)
    ]
    assert not broken


def leads_somewhere(path, address, pages):
    parts = urlsplit(address)
    if parts.scheme or address.startswith("//"):
        return True
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target not in pages:
        return target.is_file() and not parts.fragment
    return unquote(parts.fragment) in pages[target].anchors or parts.fragment.startswith("__")


def test_nothing_is_loaded_from_elsewhere(pages):
    for path, page in pages.items():
        for tag, name, address in page.links:
            if (tag, name) in LOADED and 'rel="canonical"' not in address:
                assert urlsplit(address).scheme in ("", "data"), f"{path}: {address}"


def test_every_public_name_is_documented(site, pages):
    anchors = {anchor for path, page in pages.items() if "api" in path.parts for anchor in page.anchors}
    documented = {anchor.rsplit(".", 1)[-1] for anchor in anchors}
    assert set(pellucid.__all__) - {"models", "toy"} <= documented
    assert {name for name in pellucid.models.__all__ if name != "BUILDERS"} <= documented


def test_guides_tutorials_and_reports_are_in_the_navigation(site):
    home = (site / "index.html").read_text(encoding="utf-8")
    for folder, suffix in (("tutorials", ".ipynb"), ("guides", ".md")):
        page = (site / folder / "index.html").read_text(encoding="utf-8")
        for source in (ROOT / "docs" / folder).glob(f"*{suffix}"):
            assert f'href="{source.stem}.html"' in page, source
        assert f'href="{folder}/index.html"' in home
    reports = list((site / "gallery").glob("*.html"))
    assert len(reports) == 6


def test_every_finding_has_a_page(site):
    listed = (site / "findings" / "index.html").read_text(encoding="utf-8")
    for id in where_found():
        assert (site / "findings" / f"{id}.html").is_file()
        assert f'href="{id}.html"' in listed


def test_the_search_index_is_a_script_so_that_it_works_from_a_folder(site):
    index = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    assert index.startswith("var __index = ")
    assert "pellucid.train.losses" in index


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
def test_search_and_reports_work_from_a_folder_without_any_request(site):
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        requests = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(f"file://{site}/index.html")
        page.click("input.md-search__input")
        page.keyboard.type("plateau")
        page.wait_for_selector(".md-search-result__link")
        page.goto(f"file://{site}/gallery/index.html")
        frame = page.frame_locator(".report iframe").first
        assert "digits" in frame.locator("h1").inner_text()
        page.set_viewport_size({"width": 390, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        browser.close()
    assert all(request.startswith(("file:", "data:", "about:")) for request in requests)
