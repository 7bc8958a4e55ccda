"""What a model is fed: images, arrays, tokens, or the columns of a table as one row of numbers.

Each kind of input is fitted on the training rows, has a `shape`, turns a table into numbers with `apply`
(float32, tokens int64), and comes back from its `state()`, which is plain JSON.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import xxhash

from pellucid.config import TextConfig
from pellucid.data import cache, encoders, hashing, images, schema
from pellucid.data.dataset import Column
from pellucid.data.series import SeriesInputs
from pellucid.data.text.text_inputs import TextInputs
from pellucid.data.text.vocabulary import token_inputs
from pellucid.errors import ModelError

KEPT_ROWS = 2000
"""Decoded images of at least this many rows are kept on disk; smaller blocks are decoded when needed."""
_BLOCK = 4096


@dataclass(frozen=True)
class ImageInputs:
    """Images of one size and mode, normalized by the mean and deviation of each channel.

    Attributes:
        name: of the column.
        size: (width, height) in pixels.
        mode: "L" (grey) or "RGB".
        mean: of each channel, of pixels in [0, 1].
        std: of each channel.
    """

    name: str
    size: tuple[int, int]
    mode: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def fit(
        cls, column: Column, table: pa.Table, *, image_size: int | None, normalize: bool
    ) -> tuple[ImageInputs, list[str]]:
        """Decide size and mode from the headers, then measure the channels; notes say what was changed."""
        seen = images.shapes(table[column.name])
        size = (image_size, image_size) if image_size else next(iter(seen.sizes))
        mode = "RGB" if seen.colored else "L"
        channels = len(mode)
        made = cls(column.name, size, mode, (0.0,) * channels, (1.0,) * channels)
        if normalize:
            mean, std = _channel_scale([made.pixels(table)], 255.0)
            made = cls(column.name, size, mode, mean, std)
        return made, _image_notes(seen, size, mode, len(table))

    @property
    def shape(self) -> tuple[int, int, int]:
        return (len(self.mode), self.size[1], self.size[0])

    def pixels(self, table: pa.Table) -> np.ndarray:
        """Decode: (N, C, H, W) uint8, mapped from disk where it was decoded before."""
        column, shape = table[self.name], (len(table), *self.shape)
        if len(table) < KEPT_ROWS:
            decoded = np.zeros(shape, np.uint8)
            images.decode(column, self.size, self.mode, decoded)
            return decoded
        key = (
            f"images 1 {xxhash.xxh3_128_hexdigest(hashing.values(column).tobytes())} {self.size} {self.mode}"
        )
        return cache.array(key, shape, lambda out: images.decode(column, self.size, self.mode, out))

    def scaled(self, pixels: np.ndarray) -> np.ndarray:
        """Bring uint8 pixels (N, C, H, W) to float32 of mean 0 and deviation 1."""
        mean = (255 * np.asarray(self.mean, np.float32))[:, None, None]
        factor = (1 / (255 * np.asarray(self.std, np.float32)))[:, None, None]
        made = np.empty(pixels.shape, np.float32)
        for start in range(0, len(pixels), _BLOCK):
            block = made[start : start + _BLOCK]
            np.subtract(pixels[start : start + _BLOCK], mean, out=block)
            block *= factor
        return made

    def apply(self, table: pa.Table) -> np.ndarray:
        return self.scaled(self.pixels(table))

    def state(self) -> dict[str, Any]:
        return {"kind": "image", **asdict(self)}


@dataclass(frozen=True)
class TensorInputs:
    """Arrays of one shape: (F,) scaled by feature, (C, H, W) by channel; (H, W) gets a channel of its own."""

    name: str
    row_shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def fit(cls, column: Column, table: pa.Table, *, normalize: bool) -> TensorInputs:
        values = table[column.name]
        made = cls(column.name, tuple(values.type.shape), (0.0,), (1.0,))
        if not normalize:
            return made
        parts = (
            schema.tensor_values(pa.chunked_array([part])).reshape(-1, *made.shape) for part in values.chunks
        )
        return cls(column.name, made.row_shape, *_channel_scale(parts, 1.0))

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, *self.row_shape) if len(self.row_shape) == 2 else self.row_shape

    def apply(self, table: pa.Table) -> np.ndarray:
        made = torch.empty(len(table), *self.shape)
        (mean, std), start = self._scale, 0
        for chunk in table[self.name].chunks:
            values = schema.torch_values(chunk).view(-1, *self.shape).to(torch.float32)
            torch.sub(values, mean, out=made[start : start + len(chunk)]).div_(std)
            start += len(chunk)
        return made.numpy()

    @functools.cached_property
    def _scale(self) -> tuple[torch.Tensor, torch.Tensor]:
        ones = (1,) * (len(self.shape) - 1)
        return torch.tensor(self.mean).view(-1, *ones), torch.tensor(self.std).view(-1, *ones)

    def state(self) -> dict[str, Any]:
        return {"kind": "tensor", **asdict(self)}


@dataclass(frozen=True)
class TableInputs:
    """Typed columns side by side, each by the encoder of its kind."""

    columns: tuple[Column, ...]
    encoders: tuple[encoders.Encoder, ...]

    @classmethod
    def fit(
        cls, columns: Sequence[Column], table: pa.Table, *, normalize: bool
    ) -> tuple[TableInputs, list[str]]:
        """Fit every column; notes say what was filled in or merged."""
        fitted = tuple(encoders.fit(column, table[column.name], normalize) for column in columns)
        return cls(tuple(columns), fitted), _table_notes(columns, fitted, table)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for encoder in self.encoders for name in encoder.names)

    @property
    def shape(self) -> tuple[int]:
        return (len(self.names),)

    def apply(self, table: pa.Table) -> np.ndarray:
        made, start = np.empty((len(table), len(self.names)), np.float32), 0
        for column, encoder in zip(self.columns, self.encoders, strict=True):
            end = start + len(encoder.names)
            made[:, start:end] = encoder.apply(table[column.name])
            start = end
        return made

    def state(self) -> dict[str, Any]:
        return {"kind": "table", "encoders": [encoders.state(encoder) for encoder in self.encoders]}


Inputs = ImageInputs | TensorInputs | TableInputs | TextInputs | SeriesInputs


def fit(
    columns: Sequence[Column],
    table: pa.Table,
    *,
    image_size: int | None,
    normalize: bool,
    text: TextConfig | None = None,
    also: Column | None = None,
) -> tuple[Inputs, tuple[Column, ...], list[str]]:
    """Choose the kind of input and fit it; returns the columns that are used, too.

    Args:
        columns: to choose from.
        table: the training rows.
        image_size: side of images in pixels.
        normalize: bring numbers to mean 0 and deviation 1.
        text: how texts become tokens; None: they do not.
        also: another column that is to have the same tokens.

    Raises:
        ModelError: tokens are asked for (`text`), and no column holds text.
    """
    if text is not None:
        return _fit_text(columns, table, text, also)
    main = next((column for column in columns if column.kind == "image"), None)
    if main is None:
        deep = [column for column in columns if column.kind == "tensor"]
        shaped = [column for column in deep if len(table.schema.field(column.name).type.shape) > 1]
        main = shaped[0] if shaped else deep[0] if len(columns) == 1 and deep else None
    if main is None:
        made, notes = TableInputs.fit(columns, table, normalize=normalize)
        return made, tuple(columns), notes
    left = _left_out(columns, main)
    if main.kind == "image":
        made, notes = ImageInputs.fit(main, table, image_size=image_size, normalize=normalize)
        return made, (main,), left + notes
    return TensorInputs.fit(main, table, normalize=normalize), (main,), left


def _fit_text(
    columns: Sequence[Column], table: pa.Table, text: TextConfig, also: Column | None
) -> tuple[Inputs, tuple[Column, ...], list[str]]:
    texts = [column for column in columns if column.kind == "text"]
    if not texts:
        found = ", ".join(f"{column.name!r} ({column.kind})" for column in columns)
        raise ModelError(
            f"This model reads tokens: expected a column of text, received {found or 'no columns'}.",
            remedy="--set 'data.columns={NAME: text}', or a model for numbers such as mlp",
        )
    return token_inputs(texts[0], table, text, also), (texts[0],), _left_out(columns, texts[0])


def _left_out(columns: Sequence[Column], main: Column) -> list[str]:
    others = [column.name for column in columns if column is not main]
    return [f"learns from {main.name!r} alone; left out: {', '.join(map(repr, others))}"] if others else []


def restore(state: Mapping[str, Any], columns: Sequence[Column]) -> Inputs:
    """Make inputs from their state."""
    if state["kind"] == "text":
        return TextInputs.restore(state)
    values: dict[str, Any] = {
        key: tuple(part) if isinstance(part, list) else part for key, part in state.items()
    }
    del values["kind"]
    if state["kind"] == "image":
        return ImageInputs(**values)
    if state["kind"] == "tensor":
        return TensorInputs(**values)
    if state["kind"] == "series":
        return SeriesInputs(**values)
    restored = [
        encoders.restore(column.kind, part) for column, part in zip(columns, state["encoders"], strict=True)
    ]
    return TableInputs(tuple(columns), tuple(restored))


def _channel_scale(parts: Iterable[np.ndarray], unit: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel of arrays (N, C, ...) divided by `unit`, in one pass over blocks.

    Sums are taken of what differs from the first block's mean, so that large numbers lose nothing.
    """
    total = squares = middle = np.zeros(0)
    count = 0
    for values in parts:
        axes = (0, *range(2, values.ndim))
        for start in range(0, len(values), _BLOCK):
            block = values[start : start + _BLOCK].astype(np.float32) / np.float32(unit)
            if not count:
                middle = block.mean(axis=axes, dtype=np.float64)
                total, squares = np.zeros_like(middle), np.zeros_like(middle)
            block = block - middle.astype(np.float32).reshape(-1, *(1,) * (block.ndim - 2))
            total += block.sum(axis=axes, dtype=np.float64)
            squares += np.square(block).sum(axis=axes, dtype=np.float64)
            count += block.size // len(middle)
    offset = total / count
    mean = middle.astype(np.float32) + offset
    std = np.sqrt(np.maximum(squares / count - offset**2, 0))
    least = np.maximum(1e-6, 1e-6 * np.abs(mean))
    return tuple(mean.tolist()), tuple(np.where(std > least, std, 1.0).tolist())


def _image_notes(seen: images.Shapes, size: tuple[int, int], mode: str, rows: int) -> list[str]:
    notes = []
    among = f"of {seen.sampled:,} images" if seen.sampled == rows else f"of {seen.sampled:,} sampled images"
    other = seen.sampled - seen.sizes.get(size, 0)
    if other:
        shown = ", ".join(f"{w} x {h}" for w, h in list(seen.sizes)[:3] if (w, h) != size)
        notes.append(f"{other:,} {among} are not {size[0]} x {size[1]} ({shown}) and are resized to it")
    converted = seen.sampled - seen.modes.get(mode, 0)
    if converted:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in seen.modes.items() if kind != mode)
        notes.append(
            f"{converted:,} {among} are converted to {'color' if mode == 'RGB' else 'grey'} ({kinds})"
        )
    if seen.alpha:
        notes.append(f"{seen.alpha:,} {among} have transparency, which is laid on white")
    return notes


def _table_notes(columns: Sequence[Column], fitted: Sequence[encoders.Encoder], table: pa.Table) -> list[str]:
    notes = []
    for column, encoder in zip(columns, fitted, strict=True):
        missing = table[column.name].null_count
        if missing and isinstance(encoder, encoders.Numbers):
            notes.append(
                f"{column.name}: {missing:,} of {len(table):,} training values are missing; "
                f"filled with the median {encoder.median:g} and marked in a number of their own"
            )
        elif missing:
            notes.append(f"{column.name}: {missing:,} of {len(table):,} training values are missing")
        if isinstance(encoder, encoders.Categories) and len(encoder.values) == encoders.MOST_CATEGORIES:
            notes.append(
                f"{column.name}: the {len(encoder.values)} most common values count, all others are 'other'"
            )
    return notes
