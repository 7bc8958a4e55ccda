"""Pretrained models by name: found, built here, filled, and handed out with what they read.

    minilm = pellucid.load_model("sentence-transformers/all-MiniLM-L6-v2")
    minilm.embed(["A cat sits on the mat.", "A kitten rests on a rug."])  # (2, 384)

What is loaded is a plain module of ours, so that everything that looks into modules looks into it.
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

from pellucid.data.inputs import ImageInputs
from pellucid.data.sources.model_files import CONFIG, IMAGES, POOLING, STEPS, WEIGHTS, find, read_json
from pellucid.data.text.text_inputs import TextInputs
from pellucid.data.text.vocabulary import text_inputs
from pellucid.errors import ConfigError, ModelError, UsageError
from pellucid.models.architecture import Architecture, PretrainedClassifier, make, make_classifier
from pellucid.models.conversion import fill
from pellucid.models.families import family_of, read
from pellucid.train.freezing import freeze as freeze_stages

TEXT, IMAGE = "text", "image"
KNOWN_STEPS = ("Transformer", "Pooling", "Normalize")
"""What a sentence encoder may be made of."""


@dataclass(frozen=True)
class Pretrained:
    """A model that others have trained.

    Attributes:
        model: with its weights, in evaluation mode.
        architecture: what it is made of.
        inputs: how texts or images become what it reads.
        classes: the names of the classes it knows; () if it knows none.
        folder: where its files are.
    """

    model: nn.Module
    architecture: Architecture
    inputs: TextInputs | ImageInputs
    classes: tuple[str, ...]
    folder: Path

    @property
    def tokenizer(self) -> TextInputs | None:
        """How texts become tokens; None for a model of images."""
        return self.inputs if isinstance(self.inputs, TextInputs) else None

    @torch.no_grad()
    def embed(self, texts: Sequence[str], batch_size: int = 64) -> np.ndarray:
        """Return one vector for each text; texts of a similar meaning have similar ones.

        Args:
            texts: N of them; of a long one the end is cut.
            batch_size: texts that are computed at a time, those of a length together.

        Returns:
            (N, C) float32.

        Raises:
            UsageError: this is no encoder of texts.
        """
        if self.tokenizer is None or self.architecture.family != "bert":
            raise UsageError(f"A model of the type {self.architecture.family} makes no vectors of texts.")
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
    """Load a pretrained model and what it reads.

    Args:
        name: a folder, the name of an installed package that carries a model, or a hub id. Known are
            models of the types bert, gpt2 and vit, and timm's vit_*.
        pooling: of a text encoder, mean, max or cls, instead of what it was trained with.

    Raises:
        ModelError: it is nowhere to be found, not of a known type, or its weights do not fit its config.json.

    Example:
        >>> load_model("gpt2").model(tokens).shape  # doctest: +SKIP
        torch.Size([1, 12, 50261])
    """
    folder = find(name)
    config, tensors = _config(folder), read_weights(folder)
    architecture, inputs, order = _described(folder, config, tensors, pooling)
    with _blaming(folder):
        model = make(architecture)
        fill(model, architecture.family, tensors, order)
    return Pretrained(model.eval(), architecture, inputs, _classes(config, architecture), folder)


def reads(name: str) -> str:
    """Return what a pretrained model reads: "text" or "image"; its weights are not loaded.

    Raises:
        ModelError: it is nowhere to be found, or not of a known type.
    """
    folder = find(name)
    with _blaming(folder):
        return TEXT if family_of(_config(folder)) in ("bert", "gpt2") else IMAGE


# ---- as the model of a config --------------------------------------------------------------------


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
    """Build a model that begins with what others have learned, to be trained on.

    Encoders of texts and images get a fresh linear layer on top, and are its `encoder`; a GPT-2 goes on as
    it is. Attribute `architecture` of what is returned is what `rebuild` needs.

    Args:
        input_shape: of one example: (T,) for tokens, (C, H, W) for images of any size, in color or grey.
        num_outputs: K; for a GPT-2 the number of tokens.
        weights: see `load_model`.
        vocab_size: of the tokenizer, which must be the model's own.
        pooling: see `load_model`.
        dropout: probability of zeroing a feature in training, 0..1.
        freeze: what does not learn; see `pellucid.train.freezing.freeze`. "output" trains the fresh layer
            alone.

    Raises:
        ModelError: see `load_model`.
        ConfigError: the data are not what the model reads.
    """
    folder = find(weights)
    config, tensors = _config(folder), read_weights(folder)
    architecture, _, order = _described(folder, config, tensors, pooling)
    architecture = _suited(architecture, tuple(input_shape), vocab_size, num_outputs)
    with _blaming(folder):
        model = rebuild(architecture.state(), num_outputs, dropout)
        encoder = model.encoder if isinstance(model, PretrainedClassifier) else model
        fill(encoder, architecture.family, tensors, order)
    if freeze is not None:
        freeze_stages(model, freeze)
    return model


def rebuild(architecture: Mapping[str, Any], num_outputs: int, dropout: float = 0.1) -> nn.Module:
    """Build what `pretrained` built, for weights that have been trained further; nothing is looked for.

    Args:
        architecture: the attribute of that name of what `pretrained` returned.
        num_outputs: see `pretrained`.
        dropout: see `pretrained`.
    """
    restored = Architecture.restore(architecture)
    if restored.family == "gpt2":
        return make(restored, dropout)
    return make_classifier(restored, num_outputs, dropout)


def _suited(
    architecture: Architecture, input_shape: tuple[int, ...], vocab_size: int | None, num_outputs: int
) -> Architecture:
    """Fit an architecture to the data, as far as that can be."""
    if architecture.image_shape:
        if len(input_shape) != 3:
            raise ConfigError(f"This model reads images (C, H, W), received inputs of shape {input_shape}.")
        return replace(architecture, image_shape=input_shape, num_classes=0)
    if len(input_shape) != 1 or vocab_size != architecture.vocab_size:
        raise ConfigError(
            f"This model reads texts as its own {architecture.vocab_size:,} tokens, received inputs of shape "
            f"{input_shape} and {vocab_size or 'no'} tokens.",
            remedy="data.text.tokenizer=null, so that the model's own tokenizer is used",
        )
    if architecture.family == "gpt2" and num_outputs != architecture.vocab_size:
        raise ConfigError(
            f"A GPT-2 goes on writing texts, and is asked for {num_outputs:,} outputs.",
            remedy="--set objective.name=language_model, or a model of the type bert",
        )
    return architecture


# ---- reading its files ---------------------------------------------------------------------------


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


def _described(
    folder: Path, config: dict[str, Any], tensors: dict[str, Tensor], pooling: str | None
) -> tuple[Architecture, TextInputs | ImageInputs, list[int] | None]:
    """What a model is made of, what it reads, and the order of its tokens."""
    with _blaming(folder):
        architecture = read(config, tensors)
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
def _blaming(folder: Path) -> Iterator[None]:
    """Let what cannot be done with a model's files name the folder they are in."""
    try:
        yield
    except ValueError as error:
        raise ModelError(f"{folder}: {error}") from None


def _pooling(folder: Path, steps: Sequence[str]) -> str:
    """How a sentence encoder makes one vector of a text; the mean for a model that says nothing of it.

    Raises:
        ModelError: in a way that is not known here.
    """
    if unknown := [step for step in steps if step not in KNOWN_STEPS]:
        raise ModelError(
            f"{folder / STEPS} asks for {', '.join(unknown)}; known are {', '.join(KNOWN_STEPS)}.",
            remedy='load_model(..., pooling="mean"), whose vectors are those without',
        )
    stated = read_json(folder, POOLING) or {"pooling_mode_mean_tokens": True}
    prefix, known = "pooling_mode_", {"mean_tokens": "mean", "cls_token": "cls", "max_tokens": "max"}
    modes = {key.removeprefix(prefix) for key, on in stated.items() if key.startswith(prefix) and on}
    if len(modes) == 1 and modes <= set(known):
        return known[modes.pop()]
    raise ModelError(
        f"{folder / POOLING} asks for {', '.join(sorted(modes)) or 'nothing'}; known are {', '.join(known)}.",
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
