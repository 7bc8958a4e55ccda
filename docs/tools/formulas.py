"""Formulas in LaTeX to MathML, which browsers show by themselves."""

from __future__ import annotations

import html
import re

from latex2mathml.converter import convert

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def typeset(page: str) -> str:
    """Replace the formulas that `pymdownx.arithmatex` has marked in a page."""
    return FORMULA.sub(_mathml, page)


def _mathml(found: re.Match[str]) -> str:
    return convert(html.unescape(found[2]), display="inline" if found[1] == "span" else "block")
