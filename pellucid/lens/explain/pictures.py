"""A picture as a PNG inside a text, to be shown under its explanation."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image
from torch import Tensor


def as_png(pixels: Tensor | np.ndarray) -> str:
    """Return a picture as a PNG data URI.

    Args:
        pixels: (C, H, W) uint8, or numbers of any range, of which the smallest becomes black and the largest
            white; of other numbers of channels than 1 or 3 the first is shown.
    """
    array = np.asarray(pixels.detach().cpu().float() if isinstance(pixels, Tensor) else pixels)
    if array.dtype != np.uint8:
        array = np.nan_to_num(array)
        low, high = float(array.min()), float(array.max())
        array = (255 * (array - low) / ((high - low) or 1.0)).round().astype(np.uint8)
    shown = array[:3].transpose(1, 2, 0) if len(array) >= 3 else array[0]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(shown)).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
