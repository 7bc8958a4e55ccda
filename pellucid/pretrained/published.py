"""Published models that are converted to `pellucid.nn` blocks: their architecture, inputs and classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from pellucid.data.image_statistics import ImageStatistics, read_statistics
from pellucid.data.images import Resizing
from pellucid.data.kinds.image import ImageInputs
from pellucid.data.sources.model_files import CONFIG, IMAGES, POOLING, STEPS, read_json, weight_files
from pellucid.data.text.text_inputs import TextInputs
from pellucid.data.text.vocabulary import text_inputs
from pellucid.errors import ModelError
from pellucid.models.architecture import Architecture
from pellucid.models.families import read_architecture

KNOWN_STEPS = ("Transformer", "Pooling", "Normalize")
"""Supported modules of a sentence encoder."""


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Read all tensors of a model.

    Raises:
        ModelError: the file is damaged.
    """
    found: dict[str, Tensor] = {}
    for path in weight_files(folder):
        try:
            found |= safetensors.torch.load_file(path)
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{path} cannot be read: {error}.", remedy="download it again") from None
    return found


def read_config(folder: Path) -> dict[str, Any]:
    """Return the content of a model's config.json."""
    return read_json(folder, CONFIG) or {}


def describe(
    folder: Path, config: dict[str, Any], tensors: dict[str, Tensor], pooling: str | None
) -> tuple[Architecture, TextInputs | ImageInputs, list[int] | None]:
    """Return the architecture, the preprocessing, and the published id of each token (None for images)."""
    with naming_folder(folder):
        architecture = read_architecture(config, tensors)
    if architecture.image_shape:
        _, height, width = architecture.image_shape
        known = replace(image_files(folder, config), size=(width, height))
        return architecture, image_inputs(known), None
    inputs, adopted = text_inputs(folder, "text")
    architecture = replace(architecture, vocab_size=len(adopted.order))
    if architecture.family == "bert":
        stated, unit = sentence_pooling(folder, pooling)
        architecture = replace(architecture, pooling=pooling or stated or "mean", unit_length=unit)
    return architecture, inputs, adopted.order


@contextmanager
def naming_folder(folder: Path) -> Iterator[None]:
    """Turn a ValueError about a model's files into a ModelError that names their folder."""
    try:
        yield
    except ValueError as error:
        raise ModelError(f"{folder}: {error}") from None


def sentence_pooling(folder: Path, wanted: str | None) -> tuple[str | None, bool]:
    """Return the pooling that the files of a sentence encoder state, and whether vectors have unit length.

    Args:
        folder: with its files.
        wanted: the pooling that is used instead, whatever they state.

    Raises:
        ModelError: the stated pooling is not supported.
    """
    steps = [step["type"].rpartition(".")[2] for step in read_json(folder, STEPS) or []]
    unit = "Normalize" in steps
    if wanted is not None:
        return None, unit
    return _stated_pooling(folder, steps), unit


def _stated_pooling(folder: Path, steps: Sequence[str]) -> str | None:
    if unknown := [step for step in steps if step not in KNOWN_STEPS]:
        raise ModelError(
            f"{folder / STEPS} lists {', '.join(unknown)}; supported are {', '.join(KNOWN_STEPS)}.",
            remedy='load_model(..., pooling="mean"), which leaves these modules out',
        )
    if (stated := read_json(folder, POOLING)) is None:
        return None
    prefix = "pooling_mode_"
    known = {"mean_tokens": "mean", "cls_token": "cls", "max_tokens": "max", "lasttoken": "last"}
    modes = {key.removeprefix(prefix) for key, on in stated.items() if key.startswith(prefix) and on}
    if len(modes) == 1 and modes <= set(known):
        return known[modes.pop()]
    raise ModelError(
        f"{folder / POOLING} states {', '.join(sorted(modes)) or 'none'}; supported are {', '.join(known)}.",
        remedy='load_model(..., pooling="mean")',
    )


def image_files(folder: Path, config: Mapping[str, Any]) -> ImageStatistics:
    """Return how a model wants its images."""
    return read_statistics(read_json(folder, IMAGES), config)


def image_inputs(known: ImageStatistics) -> ImageInputs:
    """Return how images are encoded for a model, as a column named image."""
    resizing = Resizing(known.resize_to, known.resample)
    return ImageInputs("image", known.size, "RGB", known.mean, known.std, resizing=resizing)


def class_names(config: Mapping[str, Any], architecture: Architecture) -> tuple[str, ...]:
    """Return the names of the classes of a model with a classification head."""
    names = config.get("id2label") or {}
    return tuple(str(names.get(str(n), f"class {n}")) for n in range(architecture.num_classes))
