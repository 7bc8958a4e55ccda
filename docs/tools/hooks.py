"""MkDocs hooks: pages that are made from the code, the notebooks and the files of the repository.

MkDocs calls the functions named `on_...`. Each page is made from what is there, so a guide or a module that
is added or moved needs no change here.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))

import api_pages
import findings_pages
import formulas
import gallery
import notebooks
import repository_pages
import settings_page
from guides import listing, ordered

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, then order everything into the navigation."""
    pages: dict[str, str] = {}
    pages |= {f"tutorials/{path.stem}.md": notebooks.page(path) for path in notebooks.paths(DOCS)}
    pages |= {"guides/settings.md": settings_page.render()}
    pages |= findings_pages.pages()
    pages |= api_pages.pages(ROOT)
    pages |= repository_pages.pages(ROOT)
    for uri, text in pages.items():
        files.append(File.generated(config, uri, content=text))
    for uri, content in gallery.pages(ROOT).items():
        files.append(File.generated(config, uri, content=content))
    config.nav = navigation({file.src_uri for file in files if file.is_documentation_page()})
    return files


def navigation(uris: set[str]) -> list[Any]:
    """The navigation, made from the pages there are.

    Args:
        uris: every page, by its path below docs/.
    """

    def below(folder: str) -> list[str]:
        return ordered(uri for uri in uris if uri.startswith(folder) and uri != f"{folder}index.md")

    reference = [
        uri
        for uri in ("run-folder.md", "guides/settings.md", "catalogues.md", "lens-checks.md")
        if uri in uris
    ]
    families = [uri for uri in ("your-own-data.md", "watch.md", "explain.md", "replay.md") if uri in uris]
    guides = [*families, *(uri for uri in below("guides/") if uri not in reference)]
    return [
        {"Home": "index.md"},
        {"Install": "install.md"},
        {"Tutorials": ["tutorials/index.md", *below("tutorials/")]},
        {"Guides": ["guides/index.md", *guides]},
        {"Reports": "gallery/index.md"},
        {"Reference": [*reference, {"Findings": ["findings/index.md", *below("findings/")]}]},
        {"API": ["api/index.md", *api_pages.tree(uri for uri in uris if uri.startswith("api/"))]},
        {"Project": below("project/")},
    ]


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Complete the list of guides; give wide tables the whole width."""
    if page.file.src_uri == "catalogues.md":
        page.meta["hide"] = ["navigation", "toc"]
    if page.file.src_uri == "guides/index.md":
        return markdown + "\n" + listing(DOCS / "guides")
    return markdown


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Typeset formulas as MathML, which needs no script."""
    return formulas.typeset(html)
