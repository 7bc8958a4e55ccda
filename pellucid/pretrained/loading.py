"""Load a pretrained model for use: its vectors for texts or images, its logits, its tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from pellucid.data import prediction_input
from pellucid.data.dataset import Column
from pellucid.data.kinds.image import ImageInputs
from pellucid.data.sources.model_files import find
from pellucid.data.text.text_inputs import UNK, TextInputs
from pellucid.data.text.vocabulary import text_inputs
from pellucid.errors import UsageError
from pellucid.models.architecture import Architecture, build_model
from pellucid.models.conversion import copy_weights
from pellucid.pretrained.backbones import LibraryArchitecture
from pellucid.pretrained.building import Implementation, is_converted
from pellucid.pretrained.library import check_part, input_type_of
from pellucid.pretrained.published import (
    class_names,
    describe,
    image_files,
    image_inputs,
    naming_folder,
    read_config,
    read_weights,
    sentence_pooling,
)
from pellucid.pretrained.wrapping import load_images, load_text

ENCODERS = ("bert", "transformers")
"""Families whose models make a vector of a text."""


@dataclass(frozen=True)
class Pretrained:
    """A pretrained model with its preprocessing.

    Attributes:
        model: the model with its weights, in evaluation mode.
        architecture: its architecture.
        inputs: converts texts or images to inputs of the model.
        classes: names of its classes; () without a classification head.
        folder: the folder with its files.
    """

    model: nn.Module
    architecture: Architecture | LibraryArchitecture
    inputs: TextInputs | ImageInputs
    classes: tuple[str, ...]
    folder: Path

    @property
    def tokenizer(self) -> TextInputs | None:
        """The tokenizer; None for a model of images."""
        return self.inputs if isinstance(self.inputs, TextInputs) else None

    @torch.no_grad()
    def embed(self, source: Any, batch_size: int = 64) -> np.ndarray:
        """Return one vector for each text or image; those with similar meanings have similar vectors.

        Args:
            source: N texts, of which too long ones are truncated; or images: a path, a PIL picture, a list
                of these, or an array.
            batch_size: number of rows to compute at a time. Texts of similar lengths are batched together.

        Returns:
            (N, C) float32, in the order of the source.

        Raises:
            UsageError: this model makes no vectors.
        """
        if isinstance(self.inputs, ImageInputs):
            return self._embed_images(self.inputs, source, batch_size)
        if self.architecture.family not in ENCODERS:
            raise UsageError(
                f"embed expects a text encoder, received a model of the type {self.architecture.family}. "
                "Try a model of the type bert, or implementation='transformers'."
            )
        return self._embed_texts(self.inputs, [source] if isinstance(source, str) else source, batch_size)

    def _embed_texts(self, encoded: TextInputs, texts: Sequence[str], batch_size: int) -> np.ndarray:
        rows = encoded.encode(texts).cut(encoded.max_seq_len, encoded.truncation)
        if isinstance(self.architecture, LibraryArchitecture) and not (
            self.architecture.prefix or self.architecture.suffix
        ):
            rows = rows.filled(UNK)
        made = np.empty((len(texts), self.architecture.embed_dim), np.float32)
        device = next(self.model.parameters()).device
        order = np.argsort(rows.lengths, kind="stable")
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            tokens = torch.from_numpy(rows.padded(chosen)).to(device)
            made[chosen] = self.model(tokens).float().cpu().numpy()
        return made

    def _embed_images(self, encoded: ImageInputs, source: Any, batch_size: int) -> np.ndarray:
        if getattr(self.architecture, "num_classes", 0):
            raise UsageError(
                f"embed expects an encoder; this model returns the logits of {len(self.classes)} classes.",
                remedy="load_model(..., implementation='transformers'), which leaves its head out",
            )
        column = Column(encoded.name, "image")
        several = isinstance(source, (list, tuple))
        table = pa.concat_tables(
            prediction_input.table_from(one, (column,), encoded.shape, {})
            for one in (source if several else [source])
        )
        device = next(self.model.parameters()).device
        made = np.empty((len(table), self.architecture.embed_dim), np.float32)
        for start in range(0, len(table), batch_size):
            images = torch.from_numpy(encoded.apply(table.slice(start, batch_size))).to(device)
            made[start : start + batch_size] = self.model(images).float().cpu().numpy()
        return made


def load_model(
    name: str,
    *,
    pooling: str | None = None,
    implementation: Implementation = "auto",
    part: str | None = None,
) -> Pretrained:
    """Load a pretrained model and its preprocessing.

    Args:
        name: a folder, the name of an installed package that contains a model, or a hub id. Models of the
            types bert, gpt2 and vit, and timm's vit_*, are converted; of all others that the library
            transformers has (an extra), the encoder is loaded.
        pooling: mean, max, cls, last or pooler, instead of the pooling that an encoder was trained with.
        implementation: pellucid, transformers, or auto: ours where there is one.
        part: "text" or "image", for a model of both such as clip; None: image.

    Raises:
        ModelError: the model is not found, its type is not supported, or its weights do not match its
            config.json.
        MissingExtraError: its type needs the library transformers, which is not installed.

    Example:
        >>> load_model("gpt2").model(tokens).shape  # doctest: +SKIP
        torch.Size([1, 12, 50261])
    """
    check_part(part)
    folder = find(name)
    config = read_config(folder)
    outputs = "next_tokens" if config.get("model_type") == "gpt2" else "vectors"
    if not is_converted(folder, config, outputs, implementation):
        with naming_folder(folder):
            return _of_library(folder, config, pooling, input_type_of(config, part))
    tensors = read_weights(folder)
    architecture, inputs, order = describe(folder, config, tensors, pooling)
    with naming_folder(folder):
        model = build_model(architecture)
        copy_weights(model, architecture.family, tensors, order)
    return Pretrained(model.eval(), architecture, inputs, class_names(config, architecture), folder)


def _of_library(folder: Path, config: dict[str, Any], pooling: str | None, reads: str) -> Pretrained:
    if reads == "image":
        model, architecture = load_images(folder, config, pooling=pooling)
        known = replace(image_files(folder, config), size=architecture.image_shape[:0:-1])
        return Pretrained(model.eval(), architecture, image_inputs(known), (), folder)
    inputs, adopted = text_inputs(folder, "text")
    stated, unit = sentence_pooling(folder, pooling)
    model, architecture = load_text(
        folder, config, adopted, inputs.max_seq_len, pooling=pooling or stated, unit_length=unit
    )
    return Pretrained(model.eval(), architecture, inputs, (), folder)
