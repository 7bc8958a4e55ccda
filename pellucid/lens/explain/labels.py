"""Say what the numbers of a part stand for: its tokens, columns, channels, or the picture itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from pellucid.lens.explain.attribute import Form
from pellucid.lens.explain.explanation import Part
from pellucid.lens.explain.pictures import as_png


def labelled(part: Part, form: Form, shown: Tensor, name: str = "x") -> Part:
    """Return a part with what its input says: tokens by their ids, columns and channels by their numbers.

    Args:
        part: the numbers.
        form: how they are arranged.
        shown: the input of one row, (1, ...); of vectors of tokens the tokens.
        name: of the columns, as in "x[0]".
    """
    if form.kind == "picture":
        return replace(part, image=as_png(shown[0]))
    if form.kind == "text":
        return replace(part, labels=[str(token) for token in shown[0].tolist()])
    if form.kind == "series":
        channels = shown.shape[1 if form.channels_first else -1]
        return replace(part, labels=channel_names(part.values, channels))
    cells = [float(f"{value:.6g}") for value in shown[0].flatten().tolist()]
    return replace(part, labels=[f"{name}[{place}]" for place in range(len(part.values))], cells=cells)


def channel_names(values: Sequence[Any], channels: int) -> list[str]:
    """Name the rows of a series' numbers: its channels, or the one row that Grad-CAM has for all of them."""
    if len(values) != channels:
        return ["all channels"] * len(values)
    return [f"channel {place}" for place in range(channels)]
