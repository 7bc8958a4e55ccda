"""Looking a name up in a catalogue, with the nearest known name when it is not there."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TypeVar

Entry = TypeVar("Entry")


def lookup(kind: str, name: str, catalogue: Mapping[str, Entry]) -> Entry:
    """Return `catalogue[name]`.

    Args:
        kind: what the name should name, e.g. "activation".

    Raises:
        ValueError: there is no such name; the message holds the nearest ones and the whole list.
    """
    if name in catalogue:
        return catalogue[name]
    near = difflib.get_close_matches(str(name), catalogue, n=2, cutoff=0.5)
    suggestion = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise ValueError(
        f"There is no {kind} named {name!r}.{suggestion} One of: {', '.join(sorted(catalogue))}."
    )
