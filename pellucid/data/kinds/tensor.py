"""Arrays of numbers, of one shape for all rows."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from pellucid.data.compute import pc
from pellucid.data.dataset import Column
from pellucid.data.encoder import Encoder, FitOptions, Inputs, with_tuples
from pellucid.data.id_inputs import IdInputs
from pellucid.data.kinds.kind import Cells, Description, Kind, Reading, WholeInput, all_bad
from pellucid.data.layout import layout_of
from pellucid.data.pixel_range import unit_levels
from pellucid.data.scaling import channel_scale, scale
from pellucid.data.tensor_column import tensor, tensor_values, torch_values
from pellucid.errors import ModelError

MOST_CHANNELS = 4
"""Most channels of an image: red, green, blue and transparency."""
MOST_BANDS = 16
"""Most channels of an image with the channels last, such as those of satellites."""


def infer(cells: Cells) -> Reading | None:
    if not isinstance(cells.type, pa.FixedShapeTensorType) and not is_list(cells.type):
        return None
    reading = read(cells)
    if reading.bad is None:
        return reading
    return Reading(cells.raw, "its lists differ in length or hold no numbers", usable=False)


def read(cells: Cells) -> Reading:
    """Read lists of one length, of numbers or of such lists, as arrays of float32."""
    raw = cells.cleaned
    if isinstance(raw.type, pa.FixedShapeTensorType):
        return Reading(raw, f"arrays of shape {tuple(raw.type.shape)}")
    flat, shape = raw.combine_chunks(), []
    while is_list(flat.type):
        lengths = pc.unique(pc.list_value_length(flat))
        if len(lengths) != 1 or not lengths[0].as_py() or flat.null_count:
            return all_bad(raw)
        shape.append(lengths[0].as_py())
        flat = pc.list_flatten(flat)
    numbers = pa.types.is_integer(flat.type) or pa.types.is_floating(flat.type)
    if not shape or not numbers or flat.null_count:
        return all_bad(raw)
    return Reading(tensor(flat.to_numpy().reshape(-1, *shape)), f"lists of shape {tuple(shape)}")


def is_list(kind: pa.DataType) -> bool:
    """True for the Arrow types of lists."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def describe(column: Column, values: pa.ChunkedArray, sample: pa.ChunkedArray) -> Description:
    numbers = tensor_values(sample)
    ends = (f"{numbers.min():g}", f"{numbers.max():g}") if numbers.size else ()
    return Description(range=ends, note=f"shape {tuple(values.type.shape)}")


def picture(cell: pa.Scalar) -> Image.Image | None:
    """Draw an array (H, W), (C, H, W) or (H, W, C); None for other shapes."""
    array = np.asarray(cell.to_numpy())
    return Image.fromarray(_pixels(array)) if array.ndim in (2, 3) else None


def _pixels(array: np.ndarray) -> np.ndarray:
    """Bring numbers of any range to bytes, and channels to the end."""
    if array.ndim == 3:
        array = np.moveaxis(array, 0, -1) if array.shape[0] in (1, 3) else array
        array = array[..., 0] if array.shape[-1] not in (3,) else array
    if array.dtype != np.uint8:
        low, high = float(array.min()), float(array.max())
        array = (255 * (array - low) / ((high - low) or 1)).astype(np.uint8)
    return array


# ---- encoding ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TensorEncoder(Encoder):
    """Every number of an array, each with its own scale."""

    names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def fit(cls, column: Column, values: pa.ChunkedArray, normalize: bool) -> TensorEncoder:
        mean, std = scale(tensor_values(values), normalize, axis=0)
        names = tuple(f"{column.name}[{index}]" for index in range(len(mean)))
        return cls(names, tuple(mean.tolist()), tuple(std.tolist()))

    def apply(self, column: pa.ChunkedArray) -> np.ndarray:
        values = tensor_values(column)
        return ((values - np.asarray(self.mean)) / np.asarray(self.std)).astype(np.float32)


@dataclass(frozen=True)
class TensorInputs(Inputs):
    """Arrays of one shape: (F,) scaled by feature, (C, H, W) and (T, C) by channel.

    As images, (H, W) becomes (1, H, W), and (H, W, C) becomes (C, H, W).

    Attributes:
        name: of the column.
        row_shape: the shape of one row as it is stored.
        mean: of each feature or channel.
        std: of each feature or channel.
        channels_last: whether rows are stored as (H, W, C).
        range: the smallest and largest training value; None: not measured, or the run is older.
        clip: whether values are pixels that are cut off at 0 and 1 after scaling.
        layout: what the numbers stand for; see `pellucid.data.layout`.
    """

    stored_as = "tensor"
    light = True

    name: str
    row_shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels_last: bool = False
    range: tuple[float, float] | None = None
    clip: bool = False
    layout: str = "image"

    @classmethod
    def fit(cls, column: Column, table: pa.Table, options: FitOptions) -> tuple[Inputs, list[str]]:
        """Measure the scale on the training rows; a note says if channels are moved to the front."""
        values, layout = table[column.name], layout_of(column) or "image"
        if layout == "ids":
            return IdInputs.fit(column, table), []
        shape = tuple(values.type.shape)
        last = layout == "image" and has_channels_last(shape)
        notes = _axes_note(column.name, shape) if layout == "image" else []
        made = cls(column.name, shape, (0.0,), (1.0,), last, layout=layout)
        if options.pixels and layout == "image" and len(shape) > 1 and len(table):
            numbers = tensor_values(values)
            (black, white), said = unit_levels(numbers)
            notes += [f"{column.name}: {said}"] if said else []
            whole = (float(numbers.min()), float(numbers.max()))
            return replace(made, mean=(black,), std=(white - black,), range=whole, clip=True), notes
        if not options.normalize:
            return made, notes
        ends: list[tuple[float, float]] = []
        channels = made.channel_axis + 1
        parts = (
            np.moveaxis(_noting_range(made.arranged(torch_values(part)).numpy(), ends), channels, 1)
            for part in values.chunks
        )
        mean, std = channel_scale(parts, 1.0)
        measured = (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None
        return replace(made, mean=mean, std=std, range=measured), notes

    @property
    def shape(self) -> tuple[int, ...]:
        if self.channels_last:
            return (self.row_shape[2], *self.row_shape[:2])
        if self.layout == "table":
            return (math.prod(self.row_shape),)
        if self.layout == "series" and len(self.row_shape) == 1:
            return (*self.row_shape, 1)
        image = self.layout == "image" and len(self.row_shape) == 2
        return (1, *self.row_shape) if image else self.row_shape

    @property
    def channel_axis(self) -> int:
        """The axis of `shape` along which each part has a scale of its own."""
        if self.layout == "series":
            return len(self.shape) - 1
        if self.layout != "plain" or len(self.shape) == 1:
            return 0
        if len(self.shape) == 2:
            return 0 if self.shape[0] < self.shape[1] else 1
        return 2 if has_channels_last(self.shape) else 0

    def arranged(self, values: torch.Tensor) -> torch.Tensor:
        """Bring rows as they are stored to (N, *shape)."""
        if self.channels_last and tuple(values.shape[1:]) != self.shape:
            return values.permute(0, 3, 1, 2)
        return values.reshape(-1, *self.shape)

    def apply(self, table: pa.Table) -> np.ndarray:
        made = torch.empty(len(table), *self.shape)
        (mean, std), start = self._scale, 0
        for chunk in table[self.name].chunks:
            values = self.arranged(torch_values(chunk)).to(torch.float32)
            scaled = torch.sub(values, mean, out=made[start : start + len(chunk)]).div_(std)
            if self.clip:
                scaled.clamp_(0, 1)
            start += len(chunk)
        return made.numpy()

    def from_bytes(self, pixels: np.ndarray) -> np.ndarray:
        known = None if self.range is None else named_scale(*self.range)
        if self.clip:  # pixels of any range were brought to 0..1
            return pixels * np.float32(self.std[0] / 255) + np.float32(self.mean[0])
        if known == BYTES:
            return pixels
        if known is None:
            ends = "" if self.range is None else f", {self.range[0]:g} to {self.range[1]:g}"
            raise ModelError(
                f"{self.name}: images cannot be brought to the scale of the training arrays{ends}.",
                remedy="pass arrays that were made like the training arrays, as .npy",
            )
        unit = pixels / np.float32(255)
        return 2 * unit - 1 if known == SIGNED else unit

    def check_new(self, table: pa.Table) -> None:
        """Refuse bytes where training had fractions of full brightness, and the reverse."""
        values = tensor_values(table[self.name])
        if self.range is None or not values.size or math.prod(self.row_shape) < FEWEST:
            return
        new, known = pixel_scale(values), named_scale(*self.range)
        fits = new is None or known is None or new == known or (known, new) == (SIGNED, UNIT)
        if not fits:
            raise ModelError(
                f"{self.name}: expected values from {self.range[0]:g} to {self.range[1]:g}, as in training; "
                f"received {values.min():g} to {values.max():g}.",
                remedy="pass the arrays as they were for training: divided by 255 in both, or in neither",
            )

    def new_notes(self, table: pa.Table) -> list[str]:
        """Say so where new pixels may be meant as 0 to 1, and training had -1 to 1."""
        values = tensor_values(table[self.name])
        if self.range is None or not values.size or math.prod(self.row_shape) < FEWEST:
            return []
        if named_scale(*self.range) != SIGNED or pixel_scale(values) != UNIT:
            return []
        return [
            f"{self.name}: {values.min():g} to {values.max():g} are read as in training, where values went "
            f"from {self.range[0]:g} to {self.range[1]:g}, 0 being the middle; if 0 is black here, pass "
            "2 * X - 1"
        ]

    def notes(self, splits: Mapping[str, pa.Table], options: FitOptions) -> list[str]:
        """Refuse held-out rows on another scale than the training rows, where looking at them is quick."""
        for split, table in splits.items():
            if split != "train" and table[self.name].nbytes < QUICK:
                try:
                    self.check_new(table)
                except ModelError as error:
                    error.message = f"{split}: {error.message}"
                    raise
        return []

    @functools.cached_property
    def _scale(self) -> tuple[torch.Tensor, torch.Tensor]:
        across = [1] * len(self.shape)
        across[self.channel_axis] = -1
        return torch.tensor(self.mean).view(*across), torch.tensor(self.std).view(*across)

    def state(self) -> dict[str, Any]:
        return {"kind": self.stored_as, **asdict(self)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> TensorInputs:
        """Restore from `state()`."""
        return cls(**with_tuples(state))


BYTES, UNIT, SIGNED = "bytes", "fractions", "fractions with a sign"
QUICK = 2**30
"""Bytes of a split that are looked at as a whole."""
FEWEST = 32
"""Arrays of fewer numbers are no images."""


def named_scale(low: float, high: float) -> str | None:
    """Return what the range of pixels says of their scale; None for anything else."""
    if low >= 0:
        return UNIT if high <= 1 else BYTES if 16 < high <= 255 else None
    return SIGNED if low >= -1 and high <= 1 else None


def pixel_scale(values: np.ndarray) -> str | None:
    """Return the scale of new pixels; None where it cannot be told, as of dark images in bytes."""
    scale = named_scale(float(values.min()), float(values.max()))
    whole = values.dtype.kind in "biu" or bool((values == np.rint(values)).all())
    return None if scale == UNIT and whole else scale


def _noting_range(values: np.ndarray, ends: list[tuple[float, float]]) -> np.ndarray:
    if values.size:
        ends.append((float(values.min()), float(values.max())))
    return values


def has_channels_last(shape: tuple[int, ...]) -> bool:
    """Return whether rows of a shape are images (H, W, C), not (C, H, W).

    They are if the last length is at most 4 and the first two are larger; or at most 16, as of satellites,
    and at most half of each of the first two.
    """
    if len(shape) != 3:
        return False
    least = min(shape[:2])
    bands = shape[2] <= MOST_BANDS and least >= max(2 * shape[2], 2 * MOST_CHANNELS)
    return shape[2] <= MOST_CHANNELS < least or bands


def _axes_note(name: str, shape: tuple[int, ...]) -> list[str]:
    """Say where the channels were found, where it is not as usual or could be otherwise."""
    if has_channels_last(shape):
        return [f"{name}: rows of shape {shape} are images with channels last"]
    if len(shape) == 3 and shape[2] <= MOST_CHANNELS:
        return [
            f"{name}: rows of shape {shape} are read as {shape[0]} channels of {shape[1]} x {shape[2]}; if "
            "the channels are last, pass X.transpose(0, 3, 1, 2)"
        ]
    return []


def from_array(array: np.ndarray, input_shape: tuple[int, ...]) -> pa.ChunkedArray:
    """Make a column from one array of the input shape, or from several."""
    return tensor(batched(array, input_shape))


def batched(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Bring an array to (N, *shape); a single example and a single channel may lack their dimension.

    Raises:
        ModelError: it has another shape.
    """
    last = (*shape[1:], shape[0])
    if has_channels_last(last) and array.shape[-3:] == last and array.shape[-3:] != shape:
        return np.moveaxis(array.reshape(-1, *last), -1, 1)
    for one in {shape, *shorter(shape)}:
        if array.shape == one:
            return array.reshape(1, *shape)
        if array.shape[1:] == one:
            return array.reshape(-1, *shape)
    if len(shape) == 1 and array.ndim > 2 and math.prod(array.shape[1:]) == shape[0]:
        return array.reshape(-1, *shape)
    raise ModelError(f"Expected input of shape {('N', *shape)}, received {array.shape}.")


def shorter(shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Return the shapes that an example may have without its only channel: (H, W) for (1, H, W), (T,) for
    (T, 1)."""
    if len(shape) == 3 and shape[0] == 1:
        return (shape[1:],)
    return (shape[:-1],) if len(shape) == 2 and shape[1] == 1 else ()


KIND = Kind(
    name="tensor",
    order=70,
    expected="numbers of one shape",
    infer=infer,
    read=read,
    fits=lambda kind: isinstance(kind, pa.FixedShapeTensorType),
    encoder=TensorEncoder,
    describe=describe,
    picture=picture,
    whole=WholeInput(
        fit=TensorInputs.fit,
        restore=lambda state: (IdInputs if state.get("layout") == "ids" else TensorInputs).from_state(state),
        leads=lambda kind, only: only or len(kind.shape) > 1,
    ),
    from_array=from_array,
)
