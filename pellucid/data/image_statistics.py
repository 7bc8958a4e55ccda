"""How a pretrained model wants its images: size, crop, mean and deviation, from its preprocessor_config.json.

The published steps are: resize, cut out the middle, multiply by `rescale_factor`, subtract `image_mean`,
divide by `image_std`. They are written here as one size and one mean and deviation of pixels in 0..1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from pellucid.data.sources.model_files import CONFIG, IMAGES, find, read_json
from pellucid.errors import ModelError

WARPED = 384
"""ConvNeXT's images of this size or more are resized without a crop."""


@dataclass(frozen=True)
class ImageStatistics:
    """The images that a model was trained on.

    Attributes:
        size: (width, height) in pixels.
        mean: of each channel, of pixels in 0..1.
        std: of each channel.
        resize_to: before the middle is cut out, the shorter side in pixels, or (width, height); None:
            images are resized to `size`, whatever their shape.
        resample: number of PIL's filter.
        flipped: the channels are blue, green, red; mean and std are in the order red, green, blue.
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize_to: int | tuple[int, int] | None = None
    resample: int = int(Image.Resampling.BILINEAR)
    flipped: bool = False

    def scaled_to(self, side: int) -> ImageStatistics:
        """Return the same statistics for images of `side` pixels, with the same share cut off."""
        resize_to, share = self.resize_to, side / min(self.size)
        if isinstance(resize_to, int):
            resize_to = max(side, round(resize_to * share))
        elif resize_to is not None:
            resize_to = max(side, round(resize_to[0] * share)), max(side, round(resize_to[1] * share))
        return replace(self, size=(side, side), resize_to=resize_to)

    @property
    def words(self) -> str:
        """How images are resized, in words."""
        width, height = self.size
        if self.resize_to is None:
            return f"resized to {width} x {height}, whatever their shape"
        before = f"{self.resize_to} pixels on the shorter side"
        if not isinstance(self.resize_to, int):
            before = f"{self.resize_to[0]} x {self.resize_to[1]}"
        return f"resized to {before}, of which the middle {width} x {height} is used"


def image_statistics(name: str) -> ImageStatistics:
    """Return the images that a pretrained model was trained on.

    Args:
        name: of the model, as for `pellucid.load_model`.

    Raises:
        ModelError: the model is not found, or its files cannot be read.
    """
    folder = find(name)
    return read_statistics(read_json(folder, IMAGES), read_json(folder, CONFIG) or {})


def read_statistics(stated: Mapping[str, Any] | None, config: Mapping[str, Any]) -> ImageStatistics:
    """Read the content of preprocessor_config.json.

    Args:
        stated: its content; None: there is none, and images have the size of config.json and values in -1..1.
        config: the content of config.json.

    Raises:
        ModelError: a value has another form than expected.
    """
    try:
        return _read({} if stated is None else stated, config)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ModelError(
            f"{IMAGES}: expected size, image_mean and image_std as transformers writes them: {error}.",
            remedy="download it again",
        ) from None


def _read(stated: Mapping[str, Any], config: Mapping[str, Any]) -> ImageStatistics:
    timm = config.get("pretrained_cfg") or {}
    mean = _channels(stated.get("image_mean") or timm.get("mean") or 0.5)
    std = _channels(stated.get("image_std") or timm.get("std") or 0.5)
    kind = str(stated.get("image_processor_type") or stated.get("feature_extractor_type") or "")
    again = std if kind.startswith("EfficientNet") and stated.get("include_top", True) else (1.0,) * 3
    if not stated.get("do_normalize", True):
        mean, std = (0.0,) * 3, (1.0,) * 3
    factor = stated.get("rescale_factor", 1 / 255) if stated.get("do_rescale", True) else 1.0
    offset = 1.0 if stated.get("rescale_offset") else 0.0
    unit = 255 * float(factor)  # (unit * x - offset - mean) / std / again, for pixels x in 0..1
    size, resize_to = _sizes(stated, config, kind)
    resample = stated.get("resample")
    flipped = bool(stated.get("do_flip_channel_order"))
    means = tuple((offset + m) / unit for m in mean)
    stds = tuple(s * a / unit for s, a in zip(std, again, strict=True))
    return ImageStatistics(
        size,
        means[::-1] if flipped else means,
        stds[::-1] if flipped else stds,
        resize_to,
        int(Image.Resampling.BILINEAR if resample is None else resample),
        flipped,
    )


def _channels(value: float | Sequence[float]) -> tuple[float, ...]:
    values = (float(value),) * 3 if isinstance(value, (int, float)) else tuple(float(each) for each in value)
    if len(values) not in (1, 3):
        raise ValueError(f"expected one value for each of 3 channels, received {len(values)}")
    return values * 3 if len(values) == 1 else values


def _sizes(
    stated: Mapping[str, Any], config: Mapping[str, Any], kind: str
) -> tuple[tuple[int, int], int | tuple[int, int] | None]:
    """Return the final size (width, height), and what images are resized to before the middle is cut out."""
    size = stated.get("size") if stated.get("do_resize", True) else None
    crop = stated.get("crop_size") if stated.get("do_center_crop", False) else None
    if kind.startswith("ConvNext"):
        side = _shortest(size)
        if side is None or side >= WARPED:
            return _pair(side or WARPED), None
        return (side, side), int(side / (stated.get("crop_pct") or 224 / 256))
    if crop is not None:
        final = _pair(crop)
        shorter = _shortest(size)
        return final, shorter if shorter is not None else _pair(size) if size else None
    if size is None:
        return _pair(_own_size(config)), None
    shorter = _shortest(size)
    return (_pair(size), None) if shorter is None else ((shorter, shorter), shorter)


def _shortest(size: Any) -> int | None:
    """Return the length of the shorter side, where that is what a size states."""
    found = size.get("shortest_edge") if isinstance(size, Mapping) else None
    return None if found is None else int(found)


def _pair(size: Any) -> tuple[int, int]:
    """Return (width, height)."""
    if isinstance(size, Mapping):
        if "height" in size:
            return int(size["width"]), int(size["height"])
        size = size["shortest_edge"]
    if isinstance(size, (list, tuple)):
        return int(size[-1]), int(size[-2])
    return int(size), int(size)


def _own_size(config: Mapping[str, Any]) -> Any:
    """Return the image size that a config.json states; 224 where it states none."""
    timm = config.get("pretrained_cfg") or {}
    part = config.get("vision_config") or {}
    return config.get("image_size") or part.get("image_size") or timm.get("input_size") or 224
