"""Images: encoded bytes or the paths of files, decoded only when they are needed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from PIL import Image

from pellucid.config import ImageFit
from pellucid.data import cache, hashing, image_fit, images
from pellucid.data.dataset import Column
from pellucid.data.encoder import FitOptions, Inputs, with_tuples
from pellucid.data.image_files import count_files, images_below
from pellucid.data.image_fit import common_size
from pellucid.data.image_index import ImageIndex, names_images
from pellucid.data.image_statistics import image_statistics
from pellucid.data.kinds.kind import (
    LISTED,
    Cells,
    Description,
    FoundFiles,
    Kind,
    Reading,
    WholeInput,
    all_bad,
)
from pellucid.data.scaling import BLOCK, channel_scale
from pellucid.errors import DataNotFoundError, ModelError

KEPT_ROWS = 2000
"""Decoded images of at least this many rows are cached on disk; fewer are decoded when needed."""
SAMPLED = 200
"""Images that are looked at to warn of empty ones, where all of them need not be decoded."""


NAME = re.compile(r"(^|[^a-z])(ids?|image|img|file|filename|name|path)($|[^a-z])", re.IGNORECASE)
"""Names of columns whose numbers may be the names of images."""


def infer(cells: Cells) -> Reading | None:
    if not cells.is_text:
        return read(cells) if _holds_images(cells.raw) else None
    first = cells.sample.slice(0, 20).to_pylist()
    if cells.folder is None or (all(map(_is_number, first)) and not NAME.search(cells.name)):
        return None
    if not names_images(first, cells.folder):
        return None
    return replace(read(cells), reason="paths of image files")


def _is_number(cell: str) -> bool:
    return cell.replace(".", "", 1).lstrip("+-").isdecimal()


def read(cells: Cells) -> Reading:
    raw = cells.cleaned
    if cells.is_text:
        return _read_paths(raw, cells.folder or Path())
    if hashing.is_binary(raw.type):
        return Reading(_as_structs(raw), "encoded images")
    good = pa.types.is_struct(raw.type) and {"bytes", "path"} <= set(raw.type.names)
    return Reading(raw, "images") if good else all_bad(raw)


def _read_paths(raw: pa.ChunkedArray, folder: Path) -> Reading:
    index, texts = ImageIndex(folder), raw.to_pylist()
    found = index.find_all([text or "" for text in texts])
    paths = [
        (files[0] if files else folder / text) if text else None
        for text, files in zip(texts, found, strict=True)
    ]
    checked = images.spread(_check, zip(paths, found, strict=True))
    why = {row: fault for row, (_, fault) in enumerate(checked) if fault}
    column = images.from_files([str(path or "") for path in paths], [digest for digest, _ in checked])
    bad = np.array([fault is not None for _, fault in checked], bool)
    unnamed = len(set(index.all) - set(paths))
    notes = (f"{unnamed:,} images below {folder} are in no row, and are not used",) if unnamed else ()
    return Reading(
        pa.chunked_array([column], images.FILES),
        "paths of image files",
        bad if bad.any() else None,
        why,
        notes=notes,
    )


def _check(cell: tuple[Path | None, list[Path]]) -> tuple[str, str | None]:
    """Return the digest of the file that a cell names, and what is wrong with it, or None."""
    path, found = cell
    if path is None:
        return "", "it is missing"
    if len(found) > 1:
        return (
            "",
            f"{len(found)} images have this name, {found[0]} and {found[1]}; name the folder and the ending",
        )
    return images.check_file(str(path))


def _as_structs(raw: pa.ChunkedArray) -> pa.ChunkedArray:
    field = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    chunks = [
        pa.StructArray.from_arrays(
            [chunk.cast(pa.binary()), pa.nulls(len(chunk), pa.string())], fields=list(field)
        )
        for chunk in raw.chunks
    ]
    return pa.chunked_array(chunks, field)


def _holds_images(raw: pa.ChunkedArray) -> bool:
    """True for structs {bytes, path} and for bytes, if the first value is an image."""
    kind = raw.type
    if pa.types.is_struct(kind):
        if not {"bytes", "path"} <= set(kind.names):
            return False
    elif not hashing.is_binary(kind):
        return False
    first = raw.slice(0, 100).drop_null().slice(0, 1).to_pylist()
    if not first:
        return False
    value = first[0] if isinstance(first[0], bytes) else first[0]["bytes"]
    if value is not None:
        return not value or images.looks_like_image(value)
    return bool(first[0]["path"]) and images.is_image_file(first[0]["path"])


def describe(column: Column, values: pa.ChunkedArray, sample: pa.ChunkedArray) -> Description:
    seen = images.shapes(values)
    sizes = ", ".join(f"{w} x {h}" for w, h in list(seen.sizes)[:LISTED])
    more = f" and {len(seen.sizes) - LISTED} more sizes" if len(seen.sizes) > LISTED else ""
    frames = f"; {seen.frames:,} with several images, of which the first is read" if seen.frames else ""
    return Description(note=f"{sizes}{more}; {', '.join(seen.modes)}{frames}")


# ---- encoding ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ImageInputs(Inputs):
    """Images of one size and mode, normalized by the mean and deviation of each channel.

    Attributes:
        name: of the column.
        size: (width, height) in pixels.
        mode: "L" (gray) or "RGB".
        mean: of each channel, of pixels in [0, 1].
        std: of each channel.
        levels: the values of images with more than 8 bits that become black and white, measured on the
            training images; None: there are none, or the run is older.
        fit_by: how images of another shape get the size; see `pellucid.data.image_fit`.
        trained_on: (width, height) of most training images; None: the run is older.
        resizing: as `images.Resizing`, for a pretrained model; None: images are resized to `size`.
    """

    stored_as = "image"

    name: str
    size: tuple[int, int]
    mode: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    levels: images.Levels | None = None
    fit_by: ImageFit = "stretch"
    trained_on: tuple[int, int] | None = None
    resizing: images.Resizing | None = None

    @classmethod
    def fit(cls, column: Column, table: pa.Table, options: FitOptions) -> tuple[ImageInputs, list[str]]:
        """Decide size and mode from the headers, then measure the channels; notes say what is changed."""
        seen = images.shapes(table[column.name])
        if options.images_of is not None:
            return cls._as_pretrained(column, table, options, seen)
        how = options.image_fit
        size = common_size(seen.sizes, options.image_size, how)
        mode = "RGB" if seen.colored else "L"
        channels = len(mode)
        deep = any(name == "F" or name.startswith("I") for name in seen.modes)
        levels = images.measure_levels(table[column.name]) if deep else None
        scale = (0.0,) * channels, (1.0,) * channels
        made = cls(column.name, size, mode, *scale, levels, how, next(iter(seen.sizes)))
        notes = _notes(seen, size, mode, len(table), levels, how)
        if options.normalize:
            pixels = made.pixels(table)
            mean, std = channel_scale([pixels], 255.0)
            made = replace(made, mean=mean, std=std)
            notes += _constant(pixels)
        else:
            notes += _constant(made.pixels(table.slice(0, SAMPLED)))
        return made, notes

    @classmethod
    def _as_pretrained(
        cls, column: Column, table: pa.Table, options: FitOptions, seen: images.Shapes
    ) -> tuple[ImageInputs, list[str]]:
        """Take size, mean and deviation from a pretrained model; nothing is measured but the levels."""
        assert options.images_of is not None
        known = image_statistics(options.images_of)
        known = known.scaled_to(options.image_size) if options.image_size else known
        deep = any(name == "F" or name.startswith("I") for name in seen.modes)
        levels = images.measure_levels(table[column.name]) if deep else None
        mean, std = (known.mean, known.std) if options.normalize else ((0.0,) * 3, (1.0,) * 3)
        resizing = images.Resizing(known.resize_to, known.resample)
        common = next(iter(seen.sizes))
        made = cls(column.name, known.size, "RGB", mean, std, levels, "stretch", common, resizing)
        note = f"images are {known.words}, and scaled as {options.images_of} was trained"
        return made, [note, *_constant(made.pixels(table.slice(0, SAMPLED)))]

    @property
    def shape(self) -> tuple[int, int, int]:
        return (len(self.mode), self.size[1], self.size[0])

    def pixels(self, table: pa.Table) -> np.ndarray:
        """Decode images: (N, C, H, W) uint8, mapped from disk where they were decoded before."""
        column, shape, how = table[self.name], (len(table), *self.shape), self.resizing or self.fit_by
        if len(table) < KEPT_ROWS:
            decoded = np.zeros(shape, np.uint8)
            images.decode(column, self.size, self.mode, decoded, self.levels, how)
            return decoded
        key = (
            f"images 1 {xxhash.xxh3_128_hexdigest(hashing.values(column).tobytes())} {self.size} {self.mode}"
        ) + (f" {self.levels}" if self.levels else "")
        key += "" if how == "stretch" else f" {how}"
        return cache.array(
            key, shape, lambda out: images.decode(column, self.size, self.mode, out, self.levels, how)
        )

    def plain_source(self, source: Any) -> Any:
        """Scale pixels with more than 8 bits, given to `predict`, as those of the training images."""
        if self.levels is None:
            return source
        if isinstance(source, Image.Image):
            source = np.asarray(source) if images.is_deep(source) else source
        elif hasattr(source, "detach"):
            source = source.detach().cpu().numpy()
        if isinstance(source, np.ndarray) and source.dtype.kind in "uif" and source.dtype != np.uint8:
            return images.to_bytes(source, self.levels)
        return source

    def scaled(self, pixels: np.ndarray) -> np.ndarray:
        """Bring uint8 pixels (N, C, H, W) to float32 of mean 0 and deviation 1."""
        mean = (255 * np.asarray(self.mean, np.float32))[:, None, None]
        factor = (1 / (255 * np.asarray(self.std, np.float32)))[:, None, None]
        made = np.empty(pixels.shape, np.float32)
        for start in range(0, len(pixels), BLOCK):
            block = made[start : start + BLOCK]
            np.subtract(pixels[start : start + BLOCK], mean, out=block)
            block *= factor
        return made

    def apply(self, table: pa.Table) -> np.ndarray:
        return self.scaled(self.pixels(table))

    def state(self) -> dict[str, Any]:
        return {"kind": self.stored_as, **asdict(self)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ImageInputs:
        """Restore from `state()`."""
        values = with_tuples(state)
        if (resizing := values.get("resizing")) is not None:
            resize_to, resample = resizing
            values["resizing"] = images.Resizing(
                tuple(resize_to) if isinstance(resize_to, list) else resize_to, resample
            )
        return cls(**values)


def _constant(pixels: np.ndarray) -> list[str]:
    """Return a warning if no image has anything in it."""
    flat = pixels.reshape(len(pixels), -1)
    if len(flat) and (flat.max(axis=1) == flat.min(axis=1)).all():
        same = f"all with the value {flat[0, 0]}" if (flat == flat[0, 0]).all() else "each of one color"
        return [f"warning: every training image is empty, {same}; a model can learn nothing from them"]
    return []


def _notes(
    seen: images.Shapes,
    size: tuple[int, int],
    mode: str,
    rows: int,
    levels: images.Levels | None,
    how: ImageFit,
) -> list[str]:
    among = f"of {seen.sampled:,} images" if seen.sampled == rows else f"of {seen.sampled:,} sampled images"
    notes = image_fit.note(seen.sizes, size, how, among)
    if levels is not None:
        notes.append(
            f"pixels of more than 8 bits: {levels[0]:g} to {levels[1]:g}, the range of the training images, "
            "become 0 to 255"
        )
    others = {kind: count for kind, count in seen.modes.items() if kind != mode}
    converted = 0 if levels is not None and mode == "L" else sum(others.values())
    if converted:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in others.items())
        notes.append(
            f"{converted:,} {among} are converted to {'color' if mode == 'RGB' else 'gray'} ({kinds})"
        )
    if seen.frames:
        notes.append(f"{seen.frames:,} {among} are files of several, of which only the first is read")
    if seen.alpha:
        notes.append(f"{seen.alpha:,} {among} are transparent in places, which become white")
    return notes


# ---- prediction ----------------------------------------------------------------------------------


def from_path(path: Path) -> FoundFiles | None:
    """Find the image at a path, or all images in a folder; None for other files.

    Raises:
        DataNotFoundError: the folder holds no images.
    """
    if path.is_file():
        return _from_files([path]) if images.is_image_file(path) else None
    found = list(images_below(path))
    if not found:
        others = count_files(path)
        received = f"{others:,} other files" if others else "nothing"
        raise DataNotFoundError(f"{path} holds no images to predict: received {received}.")
    return _from_files(sorted(found, key=lambda file: images.natural(str(file))))


def _from_files(files: list[Path]) -> FoundFiles:
    checked = images.spread(images.check_file, [str(file) for file in files])
    values = images.from_files([str(file) for file in files], [digest for digest, _ in checked])
    return FoundFiles(values, files, {row: fault for row, (_, fault) in enumerate(checked) if fault})


def from_array(array: np.ndarray, input_shape: tuple[int, ...]) -> pa.Array:
    """Make a column from pixels of one image, or of several.

    Args:
        array: (H, W), (H, W, 3) or (3, H, W), or N of these; bytes, or fractions of full brightness.
        input_shape: (C, H, W) of the model.

    Raises:
        ModelError: it has another shape, or values out of range.
    """
    return images.from_pixels(_as_bytes(_channels_last(array, input_shape)))


def _channels_last(array: np.ndarray, input_shape: tuple[int, ...]) -> np.ndarray:
    """Bring pixels to (N, H, W) or (N, H, W, 3) of any height and width."""
    channels, given = input_shape[0], array
    if array.ndim >= 3 and array.shape[-3] == channels:
        array = np.moveaxis(array, -3, -1)
    if channels == 1 and array.ndim >= 3 and array.shape[-1] == 1:
        array = array[..., 0]
    single = 2 if channels == 1 else 3
    if array.ndim not in (single, single + 1) or (channels == 3 and array.shape[-1] != 3):
        raise ModelError(f"Expected images of shape {('N', *input_shape)}, received {given.shape}.")
    return array.reshape(-1, *array.shape[-single:])


def _as_bytes(array: np.ndarray) -> np.ndarray:
    low, high = array.min(), array.max()
    if array.dtype.kind not in "fb":
        if low < 0 or high > 255:
            raise ModelError(f"Expected bytes between 0 and 255, received {low} to {high}.")
        return array.astype(np.uint8)
    if low >= 0 and 16 < high <= 255:
        return np.rint(array).astype(np.uint8)
    if low < 0 or high > 1:
        raise ModelError(
            f"Expected pixels between 0 and 1, or bytes between 0 and 255; "
            f"received {array.dtype} from {low:g} to {high:g}.",
            remedy="pass the image before it was normalized",
        )
    return np.rint(array.astype(np.float64) * 255).astype(np.uint8)


def picture(cell: pa.Scalar) -> Image.Image:
    """Open the image of a cell."""
    return images.visible(images.open_row(cell.as_py()))


KIND = Kind(
    name="image",
    order=5,
    expected="an image",
    infer=infer,
    read=read,
    fits=pa.types.is_struct,
    describe=describe,
    picture=picture,
    whole=WholeInput(fit=ImageInputs.fit, restore=ImageInputs.from_state),
    from_array=from_array,
    from_path=from_path,
)
