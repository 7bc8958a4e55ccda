"""Usual names of the class, or the folder, that holds no anomalies."""

from __future__ import annotations

from collections.abc import Sequence

NORMAL_NAMES = (
    "good",
    "normal",
    "ok",
    "healthy",
    "okay",
    "negative",
    "free",
    "intact",
    "defect_free",
    "no_defect",
)


def is_normal_name(name: str) -> bool:
    """Return whether a name is a usual one for normal images, whatever its case: Good, defect-free."""
    return _plain(name) in NORMAL_NAMES


def named_normal(classes: Sequence[str]) -> str | None:
    """Return the class with a usual name; of several, that which comes first in `NORMAL_NAMES`."""
    named = [name for name in classes if is_normal_name(name)]
    return min(named, key=lambda name: NORMAL_NAMES.index(_plain(name)), default=None)


def _plain(name: str) -> str:
    """Return a name in lower case; a suffix such as that of normal_dir is left out."""
    plain = name.casefold().replace("-", "_").replace(" ", "_")
    return plain.removesuffix("_dir").removesuffix("_images")
