"""The page: renders the template from `view`, and from nothing else.

Sections are made from files of their own in the run folder: one that is missing or damaged leaves its section
out, or the page says that it is missing, and the rest of the page is as it would be.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from pellucid.record import Run, files
from pellucid.record.run import REPORT
from pellucid.report import plots, scales, words
from pellucid.report.view import not_drawn, view
from pellucid.report.views import VIEWS

HERE = Path(__file__).parent


def write(run_path: str | Path, to: str | Path | None = None) -> Path:
    """Write the report of a run, atomically, and return its path.

    Args:
        run_path: the run folder.
        to: the file to write; None: `report.html` in the run folder.

    Raises:
        RunError: it is not a run folder, or its database cannot be read.
        StorageError: the page cannot be written.
    """
    run = Run(run_path)
    path = Path(to) if to is not None else run.path / REPORT
    own = files.ELSEWHERE if to is None else "`--out FILE` in a folder you may write"
    files.write(path, render(run), own)
    return path


def render(run: Run) -> str:
    """Return the page of a run as HTML; a section that cannot be drawn says so."""
    shown = view(run)
    try:
        return html(shown)
    except Exception:
        return html({**shown, "sections": [_drawable(shown, section) for section in shown["sections"]]})


def _drawable(shown: Mapping[str, Any], section: dict[str, Any]) -> dict[str, Any]:
    """Return a section as it is if the page can be drawn with only this one, else one that says why not."""
    try:
        html({**shown, "sections": [section]})
    except Exception as error:
        return not_drawn(section["id"], section["title"], error)
    return section


def html(shown: Mapping[str, Any]) -> str:
    """Return a view as HTML.

    Args:
        shown: what `view` returned, read from JSON or not.
    """
    script = (HERE / "script.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = (
        templates()
        .get_template("template.html")
        .render(
            **shown,
            term=words.Terms(),
            style=Markup(_style(shown)),
            script=Markup(script),
            script_digest=digest,
        )
    )
    return page.lstrip()


@functools.cache
def templates() -> jinja2.Environment:
    """The templates, compiled once a process."""
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.FileSystemLoader(HERE), jinja2.FunctionLoader(_own)]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.ChainableUndefined,  # facts may lack any entry, at any depth
    )
    environment.globals["words"] = words
    return environment


def _own(name: str) -> str | None:
    """The template that a view holds itself."""
    view = VIEWS.get(name.removeprefix("views/").removesuffix(".html"))
    return view.template if view is not None and view.template else None


def _style(shown: Mapping[str, Any]) -> str:
    """The style sheet; with the rules of scales, groups and views where there are blocks to color."""
    sheet = (HERE / "style.css").read_text(encoding="utf-8")
    kinds = {block["kind"] for section in shown["sections"] for block in section.get("blocks", ())}
    own = [VIEWS[kind].style for kind in sorted(kinds) if VIEWS[kind].style]
    colored = any(section["id"] == "blocks" for section in shown["sections"])
    return "\n".join([sheet, *([scales.palette(), plots.PICKS] if colored else []), *own])
