"""Load pretrained models by name, together with their tokenizer or image preprocessing.

    minilm = pellucid.load_model("sentence-transformers/all-MiniLM-L6-v2")
    minilm.embed(["A cat sits on the mat.", "A kitten rests on a rug."])  # (2, 384)

A loaded model is a plain module made of `pellucid.nn` blocks, so all tools that inspect modules work on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from pellucid.data.kinds.image import ImageInputs
from pellucid.data.sources.model_files import CONFIG, IMAGES, POOLING, STEPS, WEIGHTS, find, read_json
from pellucid.data.text.text_inputs import TextInputs
from pellucid.data.text.vocabulary import text_inputs
from pellucid.errors import ConfigError, ModelError, UsageError
from pellucid.models.architecture import Architecture, PretrainedClassifier, build_classifier, build_model
from pellucid.models.conversion import copy_weights
from pellucid.models.families import family_of, read_architecture
from pellucid.train.freezing import freeze as freeze_stages

TEXT = "text"
IMAGE = "image"
KNOWN_STEPS = ("Transformer", "Pooling", "Normalize")
"""Supported modules of a sentence encoder."""


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
    architecture: Architecture
    inputs: TextInputs | ImageInputs
    classes: tuple[str, ...]
    folder: Path

    @property
    def tokenizer(self) -> TextInputs | None:
        """The tokenizer; None for a model of images."""
        return self.inputs if isinstance(self.inputs, TextInputs) else None

    @torch.no_grad()
    def embed(self, texts: Sequence[str], batch_size: int = 64) -> np.ndarray:
        """Return one vector for each text; texts with similar meanings have similar vectors.

        Args:
            texts: N texts; texts that are too long are truncated.
            batch_size: number of texts to compute at a time. Texts of similar lengths are batched together.

        Returns:
            (N, C) float32, in the order of the texts.

        Raises:
            UsageError: this is not a text encoder.
        """
        if self.tokenizer is None or self.architecture.family != "bert":
            raise UsageError(
                f"embed expects a text encoder, received a model of the type {self.architecture.family}. "
                "Try a model of the type bert."
            )
        rows = self.tokenizer.encode(texts).cut(self.tokenizer.max_seq_len, self.tokenizer.truncation)
        made = np.empty((len(texts), self.architecture.embed_dim), np.float32)
        device = next(self.model.parameters()).device
        order = np.argsort(rows.lengths, kind="stable")
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            tokens = torch.from_numpy(rows.padded(chosen)).to(device)
            made[chosen] = self.model(tokens).float().cpu().numpy()
        return made


def load_model(name: str, *, pooling: str | None = None) -> Pretrained:
    """Load a pretrained model and its preprocessing.

    Args:
        name: a folder, the name of an installed package that contains a model, or a hub id. Supported are
            models of the types bert, gpt2 and vit, and timm's vit_*.
        pooling: mean, max or cls, instead of the pooling that a text encoder was trained with.

    Raises:
        ModelError: the model is not found, its type is not supported, or its weights do not match its
            config.json.

    Example:
        >>> load_model("gpt2").model(tokens).shape  # doctest: +SKIP
        torch.Size([1, 12, 50261])
    """
    folder = find(name)
    config, tensors = _config(folder), read_weights(folder)
    architecture, inputs, order = _describe(folder, config, tensors, pooling)
    with _naming_folder(folder):
        model = build_model(architecture)
        copy_weights(model, architecture.family, tensors, order)
    return Pretrained(model.eval(), architecture, inputs, _classes(config, architecture), folder)


def input_type(name: str) -> str:
    """Return the input type of a pretrained model, "text" or "image", without loading its weights.

    Raises:
        ModelError: the model is not found, or its type is not supported.
    """
    folder = find(name)
    with _naming_folder(folder):
        return TEXT if family_of(_config(folder)) in ("bert", "gpt2") else IMAGE


# ---- builders for configs ------------------------------------------------------------------------


def pretrained(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    weights: str,
    vocab_size: int | None = None,
    pooling: str | None = None,
    dropout: float = 0.1,
    freeze: str | int | None = None,
) -> nn.Module:
    """Build a model with pretrained weights for fine-tuning.

    A text or image encoder becomes the `encoder` of a classifier with a new linear layer; a GPT-2 is returned
    unchanged. `rebuild` makes the same model from the attribute `architecture` of the result.

    Args:
        input_shape: the shape of one example: (T,) for tokens, (C, H, W) for images of any size, color or
            gray.
        num_outputs: K; for a GPT-2 the number of tokens.
        weights: name of the model; see `load_model`.
        vocab_size: vocabulary size of the tokenizer, which must be the model's own.
        pooling: see `load_model`.
        dropout: probability of zeroing a feature in training, 0..1.
        freeze: the layers to freeze; see `pellucid.train.freezing.freeze`. "output" trains only the new
            layer.

    Raises:
        ModelError: see `load_model`.
        ConfigError: the model does not read this kind of data.
    """
    folder = find(weights)
    config, tensors = _config(folder), read_weights(folder)
    architecture, _, order = _describe(folder, config, tensors, pooling)
    architecture = _adapt(architecture, tuple(input_shape), vocab_size, num_outputs)
    with _naming_folder(folder):
        model = rebuild(architecture.state(), num_outputs, dropout)
        encoder = model.encoder if isinstance(model, PretrainedClassifier) else model
        copy_weights(encoder, architecture.family, tensors, order)
    if freeze is not None:
        freeze_stages(model, freeze)
    return model


def rebuild(architecture: Mapping[str, Any], num_outputs: int, dropout: float = 0.1) -> nn.Module:
    """Build the model that `pretrained` built, for fine-tuned weights; the pretrained files are not needed.

    Args:
        architecture: the attribute `architecture` of the model that `pretrained` returned.
        num_outputs: see `pretrained`.
        dropout: see `pretrained`.
    """
    restored = Architecture.restore(architecture)
    if restored.family == "gpt2":
        return build_model(restored, dropout)
    return build_classifier(restored, num_outputs, dropout)


def _adapt(
    architecture: Architecture, input_shape: tuple[int, ...], vocab_size: int | None, num_outputs: int
) -> Architecture:
    """Adapt an architecture to the data.

    Raises:
        ConfigError: the model does not read this kind of data.
    """
    if architecture.image_shape:
        if len(input_shape) != 3:
            raise ConfigError(f"This model reads images (C, H, W), received inputs of shape {input_shape}.")
        return replace(architecture, image_shape=input_shape, num_classes=0)
    if len(input_shape) != 1 or vocab_size != architecture.vocab_size:
        raise ConfigError(
            f"This model expects texts in its own vocabulary of {architecture.vocab_size:,} tokens, received "
            f"inputs of shape {input_shape} and {vocab_size or 'no'} tokens.",
            remedy="data.text.tokenizer=null, to use the model's own tokenizer",
        )
    if architecture.family == "gpt2" and num_outputs != architecture.vocab_size:
        raise ConfigError(
            f"A GPT-2 expects {architecture.vocab_size:,} outputs, one per token, received {num_outputs:,}.",
            remedy="--set objective.name=language_model, or a model of the type bert",
        )
    return architecture


# ---- reading the files ---------------------------------------------------------------------------


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Read all tensors of a model.

    Raises:
        ModelError: the file is damaged.
    """
    try:
        return safetensors.torch.load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{folder / WEIGHTS} cannot be read: {error}.", remedy="download it again") from None


def _config(folder: Path) -> dict[str, Any]:
    return read_json(folder, CONFIG) or {}


def _describe(
    folder: Path, config: dict[str, Any], tensors: dict[str, Tensor], pooling: str | None
) -> tuple[Architecture, TextInputs | ImageInputs, list[int] | None]:
    """Return the architecture, the preprocessing, and the published id of each token (None for images)."""
    with _naming_folder(folder):
        architecture = read_architecture(config, tensors)
    if architecture.image_shape:
        return architecture, _images(folder, architecture, config), None
    inputs, order = text_inputs(folder, "text")
    architecture = replace(architecture, vocab_size=len(order))
    if architecture.family == "bert":
        steps = [step["type"].rpartition(".")[2] for step in read_json(folder, STEPS) or []]
        unit = "Normalize" in steps
        architecture = replace(architecture, pooling=pooling or _pooling(folder, steps), unit_length=unit)
    return architecture, inputs, order


@contextmanager
def _naming_folder(folder: Path) -> Iterator[None]:
    """Turn a ValueError about a model's files into a ModelError that names their folder."""
    try:
        yield
    except ValueError as error:
        raise ModelError(f"{folder}: {error}") from None


def _pooling(folder: Path, steps: Sequence[str]) -> str:
    """Return the pooling of a sentence encoder; the mean if its files do not state one.

    Raises:
        ModelError: the pooling is not supported.
    """
    if unknown := [step for step in steps if step not in KNOWN_STEPS]:
        raise ModelError(
            f"{folder / STEPS} lists {', '.join(unknown)}; supported are {', '.join(KNOWN_STEPS)}.",
            remedy='load_model(..., pooling="mean"), which leaves these modules out',
        )
    stated = read_json(folder, POOLING) or {"pooling_mode_mean_tokens": True}
    prefix, known = "pooling_mode_", {"mean_tokens": "mean", "cls_token": "cls", "max_tokens": "max"}
    modes = {key.removeprefix(prefix) for key, on in stated.items() if key.startswith(prefix) and on}
    if len(modes) == 1 and modes <= set(known):
        return known[modes.pop()]
    raise ModelError(
        f"{folder / POOLING} states {', '.join(sorted(modes)) or 'none'}; supported are {', '.join(known)}.",
        remedy='load_model(..., pooling="mean")',
    )


def _images(folder: Path, architecture: Architecture, config: Mapping[str, Any]) -> ImageInputs:
    stated = config.get("pretrained_cfg") or {}
    stated = read_json(folder, IMAGES) or {"image_mean": stated.get("mean"), "image_std": stated.get("std")}
    mean, std = (tuple(stated.get(key) or (0.5, 0.5, 0.5)) for key in ("image_mean", "image_std"))
    _, height, width = architecture.image_shape
    return ImageInputs("image", (width, height), "RGB", mean, std)


def _classes(config: Mapping[str, Any], architecture: Architecture) -> tuple[str, ...]:
    names = config.get("id2label") or {}
    return tuple(str(names.get(str(n), f"class {n}")) for n in range(architecture.num_classes))
