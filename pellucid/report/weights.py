"""The weights of the first layer: as images, or the inputs with the largest weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from pellucid.errors import RunError
from pellucid.record import Run, files
from pellucid.report import pictures, words

MAX_TILES = 64  # units whose weights are drawn
MAX_BARS = 20  # inputs that are ranked


@dataclass(frozen=True)
class Tile:
    """The weights of one unit: an image and their range."""

    picture: str
    label: str


@dataclass(frozen=True)
class Bar:
    """One input and the size of the weights on it; `share` of the largest, 0..1."""

    name: str
    value: str
    share: float


@dataclass(frozen=True)
class FirstLayer:
    """Either tiles (with `largest`, the weight drawn in full color) or bars."""

    sentence: str
    kind: str
    tiles: tuple[Tile, ...] = ()
    bars: tuple[Bar, ...] = ()
    largest: str = ""
    aspect: float = 1.0


def first_layer(run: Run) -> FirstLayer | None:
    """Read the first layer's weights from the best checkpoint; None where there are none to show."""
    folder = run.checkpoints.pointed("best") or run.checkpoints.pointed("last")
    if folder is None:
        return None
    averaged = folder / "ema.safetensors"
    found = _read(averaged if averaged.is_file() else folder / "model.safetensors", run.facts)
    if found is None:
        return None
    name, weight = found
    dataset = run.facts.get("dataset") or {}
    shape: tuple[int, ...] = tuple(dataset.get("input_shape") or ())
    if weight.ndim == 4 and weight.shape[1] <= 4 and min(weight.shape[2:]) > 1:
        return _tiles(name, weight, "filter")
    if weight.ndim == 2 and len(shape) == 3 and weight.shape[1] == np.prod(shape):
        return _tiles(name, weight.reshape(-1, *shape), "unit")
    if weight.ndim == 2 and len(shape) == 1 and weight.shape[1] > 1:
        return _bars(name, weight, _features(run, weight.shape[1]))
    return None


def _read(path: Path, facts: dict[str, Any]) -> tuple[str, np.ndarray] | None:
    """Return (layer, weight) of the first layer with a matrix of weights, in the order of the model.

    None if that is an embedding table: its rows are looked up, not multiplied.
    """
    types = {
        layer.get("name", ""): layer.get("type") for layer in (facts.get("model") or {}).get("layers", [])
    }
    try:
        files.ordinary(path)
        with safe_open(path, framework="numpy") as tensors:
            names = [name for name in list(tensors.keys()) if name.endswith("weight")]
            layers = {name.removesuffix("weight").rstrip("."): name for name in names}
            for layer in [*(name for name in types if name in layers), *sorted(layers)]:
                weight = tensors.get_tensor(layers[layer])
                if weight.ndim >= 2:
                    looked_up = "Embedding" in str(types.get(layer))
                    return None if looked_up else (layer, weight.astype(np.float32))
    except (OSError, RunError, SafetensorError, TypeError):
        return None
    return None


def _tiles(layer: str, weight: np.ndarray, kind: str) -> FirstLayer:
    """Draw (units, channels, height, width), the channels of a unit side by side."""
    norms = np.sqrt(np.square(weight).sum(axis=(1, 2, 3)))
    chosen = np.sort(np.argsort(-norms, kind="stable")[:MAX_TILES])
    largest = float(np.abs(weight[chosen]).max())
    tiles = tuple(
        Tile(pictures.weights(_side_by_side(weight[unit]), largest), f"{kind} {unit}: {_range(weight[unit])}")
        for unit in chosen
    )
    which = "all" if len(chosen) == len(weight) else f"the {len(chosen)} strongest of"
    size = f"{weight.shape[2]} × {weight.shape[3]}"
    sentence = f"{_title(layer)}{which} {len(weight)} {kind}s, {size} weights each"
    sentence += f" for each of {weight.shape[1]} channels, side by side." if weight.shape[1] > 1 else "."
    aspect = _side_by_side(weight[0]).shape[1] / weight.shape[2]
    return FirstLayer(sentence, kind, tiles=tiles, largest=words.number(largest), aspect=aspect)


def _title(layer: str) -> str:
    """The beginning of a sentence on a layer; in a model of one layer it has no name."""
    return f"Layer {layer}: " if layer else "The only layer: "


def _range(values: np.ndarray) -> str:
    return f"{words.number(float(values.min()))} to {words.number(float(values.max()))}"


def _side_by_side(channels: np.ndarray) -> np.ndarray:
    """Put channels (C, H, W) side by side with an empty column between."""
    gap = np.zeros((channels.shape[1], 1), channels.dtype)
    parts = [part for channel in channels for part in (channel, gap)]
    return np.concatenate(parts[:-1], axis=1)


def _bars(layer: str, weight: np.ndarray, names: Sequence[str]) -> FirstLayer:
    """Rank inputs by the root mean square of the weights on them."""
    sizes = np.sqrt(np.square(weight).mean(axis=0))
    ranked = np.argsort(-sizes, kind="stable")[:MAX_BARS]
    top = float(sizes[ranked[0]]) or 1.0
    bars = tuple(Bar(names[int(i)], words.number(sizes[i]), float(sizes[i]) / top) for i in ranked)
    of = (
        f"the {len(bars)} largest of {len(names)} inputs"
        if len(bars) < len(names)
        else f"all {len(names)} inputs"
    )
    sentence = f"{_title(layer)}{of}, by the root mean square of the weights on them."
    return FirstLayer(sentence, "input", bars=bars)


def _features(run: Run, size: int) -> list[str]:
    """The names of the inputs of the model, as far as they are recorded."""
    inputs = [str(entry.get("name")) for entry in (run.facts.get("dataset") or {}).get("inputs", [])]
    recorded = _recorded_features(run.path / "preprocess.json")
    for names in (recorded, inputs):
        if len(names) == size:
            return names
    return [f"input {i}" for i in range(size)]


def _recorded_features(path: Path) -> list[str]:
    try:
        state = files.read_json(path)
    except (OSError, RunError):
        return []
    names = state.get("features") if isinstance(state, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else []
