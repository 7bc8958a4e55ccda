"""Images inside the page: samples, reduced where they are large, and weights on the diverging scale."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pellucid.report.scales import NEGATIVE, POSITIVE

CRISP = 64
"""Images up to this side are shown pixel by pixel; larger ones are reduced and smoothed."""
THUMBNAIL = 112
MAX_SIDE = 1600  # pixels; larger pictures are reduced
MAX_BYTES = 600_000  # and so are heavier ones
ROOM = (720, 560)  # pixels (width, height) that a picture by itself may fill
ROOM_IN_ROW = (288, 288)  # next to others
ROOM_ON_PHONE = (356, 480)
HALF_PAGE = 424  # pixels: two pictures up to this width stand next to each other
MAX_SCALE = 8  # small pictures are enlarged at most this many times
FLAT_RATIO = 2  # width / height above which a picture is flat
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Picture:
    """An image as a data URI, and its size in pixels."""

    uri: str
    width: int
    height: int

    def scale(self, width: int, height: int) -> int:
        """Return the largest whole factor by which it fits into a box; 0 if it does not fit at all."""
        return min(width // self.width, height // self.height)


@dataclass(frozen=True)
class FittedPicture:
    """A picture, and its width in pixels: by itself, next to others, on a phone; 0 if it is large."""

    uri: str
    alt: str
    label: str
    wide: int
    in_row: int
    narrow: int
    flat: bool


def fitted(found: Picture, alt: str, label: str = "") -> FittedPicture:
    """Enlarge a picture by the largest whole number that fits."""
    wide, in_row, narrow = (
        found.width * min(found.scale(*room), MAX_SCALE) for room in (ROOM, ROOM_IN_ROW, ROOM_ON_PHONE)
    )
    return FittedPicture(
        found.uri, alt, label, wide, in_row, narrow, flat=found.width > FLAT_RATIO * found.height
    )


class Album:
    """Turns image bytes into data URIs until `budget` characters of them are on the page, then no more.

    Attributes:
        left_out: number of images that did not fit.
        unreadable: number of images that could not be decoded.
    """

    def __init__(self, budget: int = 2_000_000):
        self._left = budget
        self.left_out = 0
        self.unreadable = 0

    def add(self, data: bytes | None) -> str | None:
        """Return the image as a data URI, or None if there is none, or none that fits."""
        if not data:
            return None
        if self.left_out:
            self.left_out += 1
            return None
        try:
            uri = _uri(*_small(data))
        except (OSError, ValueError, Image.DecompressionBombError):
            self.unreadable += 1
            return None
        if len(uri) > self._left:
            self.left_out += 1
            return None
        self._left -= len(uri)
        return uri


def picture(data: bytes) -> Picture:
    """Prepare a picture of several images: crisp where it is small, and no larger than a page can show.

    Raises:
        OSError, ValueError, Image.DecompressionBombError: it cannot be decoded.
    """
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        if max(image.size) > MAX_SIDE or len(data) > MAX_BYTES:
            image = image.convert("RGBA")
            image.thumbnail((MAX_SIDE, MAX_SIDE))
            return Picture(_uri(_encode(image, "WEBP", quality=85), "webp"), *image.size)
        data = data if data.startswith(PNG) else _encode(image.convert("RGBA"), "PNG")
        return Picture(_uri(data, "png"), *image.size)


def weights(tile: np.ndarray, largest: float) -> str:
    """Draw weights (H, W): orange positive, blue negative, zero the background.

    Args:
        tile: the weights.
        largest: the absolute weight drawn in full color.
    """
    strength = np.clip(np.abs(tile) / (largest or 1.0), 0, 1)
    pixels = np.empty((*tile.shape, 4), np.uint8)
    pixels[..., :3] = np.where((tile >= 0)[..., None], POSITIVE, NEGATIVE)
    pixels[..., 3] = np.round(255 * strength)
    return _uri(_encode(Image.fromarray(pixels, "RGBA"), "PNG"), "png")


def _small(data: bytes) -> tuple[bytes, str]:
    """Return (bytes, kind) of an image no larger than a thumbnail."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        if max(image.size) <= CRISP:
            return (data, "png") if data.startswith(PNG) else (_encode(image.convert("RGBA"), "PNG"), "png")
        image = image.convert("RGB")
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        return _encode(image, "JPEG", quality=80), "jpeg"


def _encode(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
