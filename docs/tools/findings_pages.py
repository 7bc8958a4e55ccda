"""A page for each finding, from `pellucid/diagnosis/pages`, and the list of all of them."""

from __future__ import annotations

import re

from pellucid.diagnosis.explained import BEFORE, LOOP, PROFILE, RUN, page, title, where_found

HEADER = """# Findings

What `pellucid diagnose RUN`, `pellucid.watch`, `pellucid.check` and `pellucid profile` can report: for each
finding what it means, how it is detected, an example, the fix and where to read more. On the command line,
`pellucid diagnose --explain ID` prints the same page. [Diagnose a run](../guides/diagnose.md) shows how
they are used.
"""


def pages() -> dict[str, str]:
    """Return the pages by their path below docs/."""
    ids = where_found()
    return {"findings/index.md": _index()} | {f"findings/{id}.md": _linked(page(id), id, ids) for id in ids}


def _linked(text: str, own: str, ids: dict[str, tuple[str, ...]]) -> str:
    """Link the ids of other findings to their pages."""

    def link(match: re.Match[str]) -> str:
        id = match[1]
        return f"[`{id}`]({id}.md)" if id in ids and id != own else match[0]

    return re.sub(r"`([a-z]+(?:-[a-z]+)+)`", link, text)


def _index() -> str:
    parts = [HEADER]
    for place in (RUN, LOOP, BEFORE, PROFILE):
        parts.append(f"## In {place}\n\n| finding | what it is |\n|---|---|")
        parts += [
            f"| [{id}]({id}.md) | {title(id)} |" for id, places in where_found().items() if place in places
        ]
        parts.append("")
    return "\n".join(parts)
