"""The page of each rule: what its finding means, how it is detected, an example, the fix, references.

The pages are the files `pages/ID.md`; `pellucid diagnose --explain ID` and the documentation show the same
text. A rule of a project of its own has its page in `Rule.about`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from pellucid.diagnosis import preflight
from pellucid.diagnosis.rule import OLD_IDS, Rule
from pellucid.diagnosis.rules import all_rules
from pellucid.errors import UnknownNameError

PAGES = Path(__file__).parent / "pages"

RUN, LOOP = "training runs", "loops under `pellucid.watch`"
BEFORE, PROFILE = "`pellucid.check`", "`pellucid profile`"


def where_found() -> dict[str, tuple[str, ...]]:
    """Return for the id of every rule where it is asked, by id."""
    found: dict[str, set[str]] = {id: {BEFORE} for id in preflight.IDS}
    for rule in all_rules():
        found.setdefault(rule.id, set()).update(_asked_in(rule))
    return {
        id: tuple(place for place in (RUN, LOOP, BEFORE, PROFILE) if place in found[id])
        for id in sorted(found)
    }


def _asked_in(rule: Rule) -> Iterator[str]:
    needs = {*rule.needs, *rule.any_of}
    if needs & {"watched", "loop"} or not needs:
        yield LOOP
    if "speed" in needs:
        yield PROFILE
    if needs - {"loop", "speed"} or not needs:
        yield RUN


def page(id: str) -> str:
    """Return the page of a rule as Markdown.

    Raises:
        UnknownNameError: there is no such rule; names similar ones.
    """
    id = OLD_IDS.get(id, id)
    places = where_found()
    if id not in places:
        raise UnknownNameError("finding", id, places)
    text = _text(id)
    title, _, rest = text.partition("\n")
    return f"{title}\n\n`{id}`, found in {' and '.join(places[id])}.\n{rest}"


def check_muted(ids: Iterable[str]) -> None:
    """Refuse ids that no rule has.

    Raises:
        UnknownNameError: names similar ones.
    """
    places = where_found()
    for id in ids:
        if OLD_IDS.get(id, id) not in places:
            raise UnknownNameError("finding", id, places)


def title(id: str) -> str:
    """Return the first line of the page of a rule: what was found, in a few words."""
    return _text(id).partition("\n")[0].removeprefix("# ")


def _text(id: str) -> str:
    if (PAGES / f"{id}.md").is_file():
        return (PAGES / f"{id}.md").read_text(encoding="utf-8")
    rule = next((rule for rule in all_rules() if rule.id == id), None)
    if rule is not None and rule.about.strip():
        own = inspect.cleandoc(rule.about)
        return own if own.startswith("# ") else f"# {id}\n\n{own}\n"
    said = inspect.getdoc(rule.check) if rule and not isinstance(rule.check, partial) else ""
    return f"# {id}\n\n{said or 'This rule has no page; `Rule(about=...)` gives it one.'}\n"


# ---- as plain text -----------------------------------------------------------------------------------


def plain(markdown: str, width: int) -> str:
    """Return a page as plain text: titles in lines of their own, links as their addresses.

    Args:
        markdown: the page.
        width: the largest number of characters in a line.
    """
    import textwrap

    parts = []
    for part in re.split(r"\n\s*\n", markdown.strip()):
        if part.startswith("- "):
            items = [_linked(item) for item in re.split(r"^- ", part, flags=re.M)[1:]]
            lines = [
                textwrap.fill(
                    item, width, initial_indent="- ", subsequent_indent="  ", break_long_words=False
                )
                for item in items
            ]
            parts.append("\n".join(lines))
            continue
        indent = "  " if part.startswith("> ") else ""
        text = _linked(re.sub(r"^(> ?|#+ )", "", part, flags=re.M))
        parts.append(
            textwrap.fill(
                text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
            )
        )
    return "\n\n".join(parts)


def _linked(text: str) -> str:
    """Write links as their text and address; those to other pages of the documentation as their text."""
    text = re.sub(r"\[([^\]]+)\]\((https?://[^)]+)\)", r"\1, \2", " ".join(text.split()))
    return re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text)
