"""The same picture over the course of training.

{"kind": "snapshots", "frames": [{"label", "file": path of a PNG in the run folder}]}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pellucid.report.block import Shelf, View
from pellucid.report.pictures import FittedPicture, fitted

FRAMES = 24
"""Pictures shown at most; of more, every n-th and the last."""


def prepare(facts: Mapping[str, Any], shelf: Shelf) -> tuple[FittedPicture, ...]:
    """Read the pictures, or every n-th where there are too many."""
    frames = facts["frames"]
    if not frames:
        raise ValueError("it has no frames")
    step = max(-(-len(frames) // FRAMES), shelf.times([frame["file"] for frame in frames]))
    chosen = frames[::-1][::step][::-1]  # the last frame is always among them
    return tuple(
        fitted(shelf.take(frame["file"]), f"{facts['title']}, {frame['label']}", str(frame["label"]))
        for frame in chosen
    )


VIEW = View("snapshots", prepare, aliases=("film",))
