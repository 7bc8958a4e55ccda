"""Pages that are files of the repository's root: the architecture, the results, the changes."""

from __future__ import annotations

import re
from pathlib import Path

PAGES = {
    "project/architecture.md": "ARCHITECTURE.md",
    "project/results.md": "RESULTS.md",
    "project/speed.md": "benchmarks/RESULTS.md",
    "project/changelog.md": "CHANGELOG.md",
    "project/contributing.md": "CONTRIBUTING.md",
    "project/log.md": "LOG.md",
}
"""The file each page is made from."""


def pages(root: Path) -> dict[str, str]:
    """Return the text of each page, with its links pointing to pages where the site has one."""
    found = {uri: root / name for uri, name in PAGES.items()}
    return {uri: _page(path, root) for uri, path in found.items() if path.is_file()}


def _page(path: Path, root: Path) -> str:
    return re.sub(
        r"\[([^\]]+)\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)",
        lambda link: _link(link, path.parent, root),
        path.read_text(encoding="utf-8"),
    )


def _link(link: re.Match[str], folder: Path, root: Path) -> str:
    target = (folder / link[2]).resolve().relative_to(root).as_posix()
    sites = {name: Path(uri).name for uri, name in PAGES.items()}
    if target in sites:
        return f"[{link[1]}]({sites[target]}{link[3] or ''})"
    return f"[{link[1]}](../{target.removeprefix('docs/')})" if target.startswith("docs/") else f"`{link[1]}`"
