"""An image column: encoded bytes or the paths of files, decoded only when they are needed.

A row is a struct `{bytes, path}`; rows that point to files also carry `digest`, a hash of the file's
content, so that fingerprints and duplicates depend on the content of a file, not on its path.
"""

from __future__ import annotations

import io
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import xxhash
from PIL import Image, ImageOps

from pellucid.config import ImageFit
from pellucid.data.image_fit import resized
from pellucid.data.sources.raw_files import is_printable, printable
from pellucid.errors import BadDataError

SUFFIXES = frozenset(
    [
        ".png",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jp2",
        ".bmp",
        ".gif",
        ".tif",
        ".tiff",
        ".webp",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".jfif",
        ".avif",
    ]
)
FILES = pa.struct([("bytes", pa.binary()), ("path", pa.string()), ("digest", pa.string())])
BLOCK = 512
SMALL = 64 * 64
_GREY = ("1", "L", "LA", "La", "I", "F")
_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\x00", b"MM\x00*", b"P4", b"P5", b"P6")

T = TypeVar("T")
R = TypeVar("R")


def natural(text: str) -> list[tuple[int, int, str]]:
    """Sort key that puts "class2" before "class10"."""
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.casefold()) for part in parts]


def is_image_file(path: str | Path) -> bool:
    """Return whether a file name has the suffix of an image."""
    return Path(path).suffix.lower() in SUFFIXES


def looks_like_image(data: bytes) -> bool:
    """Return whether the first bytes are those of an image format."""
    return data.startswith(_MAGIC) or data[8:12] == b"WEBP" or data[4:12] == b"ftypavif"


def spread(work: Callable[[T], R], items: Iterable[T], workers: int | None = None) -> list[R]:
    """Run `work` over `items` in order, on all cores: PIL frees the interpreter while it decodes."""
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        return list(pool.map(work, items))


# ---- columns -------------------------------------------------------------------------------------


def from_files(paths: Sequence[str], digests: Sequence[str]) -> pa.Array:
    """Make an image column that points to files; a file whose name is not valid UTF-8 is held in memory."""
    kept = [None if is_printable(path) else Path(path).read_bytes() for path in paths]
    return pa.StructArray.from_arrays(
        [
            pa.array(kept, pa.binary()),
            pa.array(map(printable, paths), pa.string()),
            pa.array(digests, pa.string()),
        ],
        fields=list(FILES),
    )


def from_pixels(pixels: np.ndarray) -> pa.Array:
    """Make an image column from (N, H, W) or (N, H, W, 3) uint8 pixels, encoded without loss."""
    encoded = []
    for array in pixels:
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, "PNG")
        encoded.append(buffer.getvalue())
    paths = pa.nulls(len(encoded), pa.string())
    return pa.StructArray.from_arrays([pa.array(encoded, pa.binary()), paths], names=["bytes", "path"])


def describe(row: dict, index: int) -> str:
    """Name an image: its file, or its row counted from 1."""
    return row.get("path") or f"image in row {index + 1:,}"


def open_row(row: dict) -> Image.Image:
    """Open one row without decoding it."""
    data = row.get("bytes")
    if data is None:
        return Image.open(row["path"])
    return Image.open(io.BytesIO(data))


# ---- checking ------------------------------------------------------------------------------------


def fault(data: bytes) -> str | None:
    """Decode an image completely; return what is wrong with it, or None."""
    if not data:
        return "it is empty (0 bytes)"
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    except Image.UnidentifiedImageError:
        return f"it is not an image (its first bytes are {data[:8]!r})"
    except Exception as error:  # PIL's format parsers raise many types of errors
        return f"it cannot be decoded ({error})"
    return None


def check_file(path: str) -> tuple[str, str | None]:
    """Return the digest of a file and what is wrong with it, or None."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        return "", f"it cannot be read ({error.strerror})"
    return xxhash.xxh3_128_hexdigest(data), fault(data)


# ---- shape ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shapes:
    """The sizes and modes among (a sample of) the images of a column.

    Attributes:
        sizes: number of images by (width, height), most common first.
        modes: number of images by PIL mode, most common first.
        colored: whether any image has color.
        alpha: number of images with transparency.
        frames: number of files with several images, such as animations and pages, of which the first is read.
        sampled: number of images that were examined.
    """

    sizes: dict[tuple[int, int], int]
    modes: dict[str, int]
    colored: bool
    alpha: int
    sampled: int
    frames: int = 0


def shapes(column: pa.ChunkedArray, sample: int = 2000) -> Shapes:
    """Read the headers of up to `sample` images, evenly spaced.

    Raises:
        BadDataError: naming the image that cannot be read.
    """
    chosen = np.unique(np.linspace(0, len(column) - 1, min(sample, len(column))).astype(np.int64))
    rows = column.take(pa.array(chosen)).to_pylist()
    sizes, modes, colored, alpha, frames = Counter(), Counter(), False, 0, 0
    for index, row in zip(chosen, rows, strict=True):
        try:
            with open_row(row or {}) as image:
                sizes[_upright_size(image)] += 1
                modes[image.mode] += 1
                colored = colored or not is_grey(image)
                alpha += has_alpha(image)
                frames += _has_frames(image)
        except Exception as error:  # as in `fault`
            raise _undecodable(row, int(index), error) from None
    return Shapes(dict(sizes.most_common()), dict(modes.most_common()), colored, alpha, len(rows), frames)


def is_grey(image: Image.Image) -> bool:
    """Return whether an image has no color; of a palette, its entries count."""
    if image.mode in ("P", "PA") and image.palette is not None:
        palette = image.getpalette("RGB") or []
        return palette[0::3] == palette[1::3] == palette[2::3]
    return image.mode in _GREY or image.mode.startswith("I;16")


def has_alpha(image: Image.Image) -> bool:
    """Return whether pixels can be transparent."""
    return image.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info


def _has_frames(image: Image.Image) -> bool:
    """Return whether a file holds several images; a photograph with its preview is one."""
    return image.format != "MPO" and bool(getattr(image, "is_animated", False))


def _turned(image: Image.Image) -> bool:
    """Return whether the file says that the image must be rotated to be upright, as photographs do."""
    return image.format in ("JPEG", "MPO", "TIFF", "WEBP") and image.getexif().get(0x0112, 1) != 1


def _upright_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    sideways = _turned(image) and image.getexif().get(0x0112, 1) >= 5
    return (height, width) if sideways else (width, height)


# ---- decoding ------------------------------------------------------------------------------------


def decode(
    column: pa.ChunkedArray,
    size: tuple[int, int],
    mode: str,
    out: np.ndarray,
    levels: Levels | None = None,
    how: ImageFit | Resizing = "stretch",
) -> None:
    """Decode a column into `out`, (N, C, H, W) uint8, on all cores.

    Args:
        column: an image column.
        size: (width, height) that every image is resized to.
        mode: "L" or "RGB".
        out: filled in place, block by block, so it may be a file in memory.
        levels: of images with more than 8 bits, black and white; None: 0 and 65,535.
        how: images of another shape get the size; see `pellucid.data.image_fit`, and `Resizing` for that of a
            pretrained model.

    Raises:
        BadDataError: naming the image that cannot be decoded.
    """

    def block(start: int) -> None:
        for offset, row in enumerate(column.slice(start, BLOCK).to_pylist()):
            try:
                out[start + offset] = _pixels(row or {}, size, mode, levels, how)
            except Exception as error:  # as in `fault`
                raise _undecodable(row, start + offset, error) from None

    small = (
        size[0] * size[1] <= SMALL
    )  # for small images, most of the time is spent in the interpreter, which threads share
    spread(block, range(0, len(column), BLOCK), workers=1 if small else None)


class Resizing(NamedTuple):
    """How images get their size.

    Attributes:
        resize_to: the shorter side in pixels, or (width, height), before the middle is cut out; None: the
            final size.
        resample: number of PIL's filter.
    """

    resize_to: int | tuple[int, int] | None
    resample: int


def _pixels(
    row: dict, size: tuple[int, int], mode: str, levels: Levels | None, how: ImageFit | Resizing
) -> np.ndarray:
    with open_row(row) as image:
        if isinstance(how, Resizing):
            array = np.asarray(_middle(convert(image, mode, levels), size, how))
            return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
        if image.format == "JPEG" and image.size != size:
            image.draft(
                mode, (size[0] * 2, size[1] * 2)
            )  # decodes large photographs at a fraction of the cost
        if image.mode != mode or image.size != size or has_alpha(image) or _turned(image):
            image = convert(image, mode, levels)
            image = resized(image, size, how)
        array = np.asarray(image)  # (H, W) or (H, W, 3)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)  # (C, H, W)


def _middle(image: Image.Image, size: tuple[int, int], resizing: Resizing) -> Image.Image:
    """Resize an image and cut out its middle; what lies outside of it is black."""
    width, height = image.size
    target = resizing.resize_to or size
    if isinstance(target, int):
        shorter = min(width, height)
        target = int(target * width / shorter), int(target * height / shorter)
    if image.size != target:
        image = image.resize(target, Image.Resampling(resizing.resample))
    if image.size == size:
        return image
    left, top = (image.size[0] - size[0]) // 2, (image.size[1] - size[1]) // 2
    return image.crop((left, top, left + size[0], top + size[1]))


def convert(image: Image.Image, mode: str, levels: Levels | None = None) -> Image.Image:
    """Rotate upright, put transparency on white, reduce 16 bits and floats to 8 bits, and change the mode."""
    if _turned(image):
        image = ImageOps.exif_transpose(image)
    if is_deep(image) and levels is not None:
        image = Image.fromarray(to_bytes(np.asarray(image), levels))
    elif image.mode == "F":
        image = visible(image)
    elif image.mode.startswith("I"):
        array = np.asarray(image).astype(np.int64)
        deep = image.mode.startswith("I;16") or array.max(initial=0) > 255
        array = array // 257 if deep else array
        image = Image.fromarray(array.clip(0, 255).astype(np.uint8))
    if has_alpha(image):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert(mode)


# ---- more than 8 bits ----------------------------------------------------------------------------

Levels = tuple[float, float]
"""The values that become black and white, 0 and 255."""

OUTLIERS = 0.05
"""Percent of the pixels of an image, at each end, that do not count for its range: dead and hot pixels."""


def is_deep(image: Image.Image) -> bool:
    """Return whether pixels have more than 8 bits: integers of 16 or 32 bits, or floats."""
    return image.mode == "F" or image.mode.startswith("I")


def measure_levels(column: pa.ChunkedArray, sample: int = 2000) -> Levels | None:
    """Return the range of the pixels of up to `sample` deep images, evenly spaced; None if there is none.

    Deep images whose values fit into 8 bits, among others of 8 bits, keep their values.

    Raises:
        BadDataError: naming the image that cannot be read.
    """
    chosen = np.unique(np.linspace(0, len(column) - 1, min(sample, len(column))).astype(np.int64))
    rows, shallow = column.take(pa.array(chosen)).to_pylist(), False
    ends: list[tuple[float, float]] = []
    for index, row in zip(chosen, rows, strict=True):
        try:
            with open_row(row or {}) as image:
                deep = is_deep(image)
                shallow = shallow or not deep
                if deep:
                    ends += range_of(np.asarray(image))
        except Exception as error:  # as in `fault`
            raise _undecodable(row, int(index), error) from None
    if not ends:
        return None
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    if shallow and low >= 0 and high <= 255:
        return 0.0, 255.0
    return (low, high) if high > low else None


def range_of(pixels: np.ndarray) -> list[Levels]:
    """Return the smallest and largest value without outliers; [] if no value is finite."""
    finite = pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels
    if not finite.size:
        return []
    low, high = np.percentile(finite, (OUTLIERS, 100 - OUTLIERS))
    return [(float(low), float(high))]


def to_bytes(pixels: np.ndarray, levels: Levels) -> np.ndarray:
    """Scale values between two levels to 0 to 255; what is outside is clipped, and NaN is 0."""
    low, high = levels
    scaled = (pixels.astype(np.float64) - low) * (255 / (high - low))
    return np.rint(np.nan_to_num(scaled, nan=0.0, posinf=255, neginf=0).clip(0, 255)).astype(np.uint8)


def visible(image: Image.Image) -> Image.Image:
    """Return a deep image with its own range from black to white, to be looked at; others as they are."""
    if not is_deep(image):
        return image
    pixels = np.asarray(image)
    low, high = next(iter(range_of(pixels)), (0.0, 1.0))
    return Image.fromarray(to_bytes(pixels, (low, high if high > low else low + 1)))


def _undecodable(row: dict | None, index: int, error: Exception) -> BadDataError:
    if row is None or (row.get("bytes") is None and row.get("path") is None):
        return BadDataError(f"The image in row {index + 1:,} is missing.", remedy="--set data.skip_bad=true")
    reason = fault(row["bytes"]) if row.get("bytes") is not None else check_file(row["path"])[1]
    return BadDataError(
        f"{describe(row, index)}: expected an image, but {reason or error}.",
        remedy="remove or replace it, or leave such images out with --skip-bad",
    )
