"""A griffe extension for two habits of our docstrings: `Example:` sections, and `a, b: ...` for arguments."""

from __future__ import annotations

import re
from typing import Any

import griffe

TOGETHER = re.compile(r"^( +)(\w+(?:, \w+)+): (.*)$", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Write docstrings as griffe reads them."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            text = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
            obj.docstring.value = TOGETHER.sub(_apart, text)


def _apart(line: re.Match[str]) -> str:
    """One line for each of the names that share a description."""
    return "\n".join(f"{line[1]}{name}: {line[3]}" for name in line[2].split(", "))
