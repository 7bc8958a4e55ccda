"""Build pretrained models for fine-tuning, from their files or from what a run recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import nn

from pellucid.data.sources.model_files import find
from pellucid.data.text.vocabulary import read_adopted
from pellucid.errors import ConfigError, MissingExtraError
from pellucid.models.architecture import (
    VECTOR_HEAD,
    Architecture,
    Described,
    PretrainedClassifier,
    PretrainedEmbedding,
    build_encoder,
    build_model,
)
from pellucid.models.conversion import copy_weights
from pellucid.models.families import family_of, read_architecture
from pellucid.pretrained.backbones import FAMILY, LibraryArchitecture
from pellucid.pretrained.library import VECTORS, check_part, input_type_of, transformers
from pellucid.pretrained.published import (
    describe,
    naming_folder,
    read_config,
    read_weights,
    sentence_pooling,
)
from pellucid.pretrained.wrapping import load_images, load_text, rebuild_library
from pellucid.train.freezing import freeze as freeze_stages

TEXT, IMAGE = "text", "image"
Outputs = Literal["values", "vectors", "next_tokens", "masked_tokens"]
"""What a task wants of a model: values for each row, an embedding, or logits of tokens."""
Implementation = Literal["auto", "pellucid", "transformers"]
CONVERTED: dict[str, tuple[str, ...]] = {
    "bert": ("values", "vectors"),
    "gpt2": ("next_tokens",),
    "vit": ("values", "vectors"),
    "timm": ("values", "vectors"),
}
"""The types of models that are converted to our blocks, and for which outputs."""


def input_type(name: str, part: str | None = None) -> str:
    """Return the input type of a pretrained model, "text" or "image", without loading its weights.

    Args:
        name: see `pellucid.load_model`.
        part: "text" or "image", for a model of both.

    Raises:
        ModelError: the model is not found, or its type is not supported.
        MissingExtraError: its type needs the library transformers, which is not installed.
    """
    check_part(part)
    folder = find(name)
    config = read_config(folder)
    family = _family(config)
    if family is not None:
        return TEXT if family in ("bert", "gpt2") else IMAGE
    with naming_folder(folder):
        return input_type_of(config, part)


def pretrained(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    weights: str,
    vocab_size: int | None = None,
    outputs: Outputs = "values",
    pooling: str | None = None,
    dropout: float = 0.1,
    freeze: str | int | None = None,
    embed_dim: int | None = None,
    implementation: Implementation = "auto",
    part: Literal["text", "image"] | None = None,
) -> nn.Module:
    """Build a model with pretrained weights for fine-tuning.

    A text or image encoder becomes the `encoder` of a classifier with a new linear layer, or for metric
    learning of an embedding; a language model keeps its own head. `rebuild` makes the same model from the
    attribute `architecture` of the result.

    Args:
        input_shape: the shape of one example: (T,) for tokens, (C, H, W) for images, color or gray.
        num_outputs: K; for a language model the number of tokens.
        weights: name of the model; see `load_model`.
        vocab_size: vocabulary size of the tokenizer, which must be the model's own.
        outputs: what the task wants of the model.
        pooling: how a vector for a row is made. Texts: mean, max, cls (the first token), last, or pooler (the
            model's own). Images: pooler, mean or cls. None: as the model's files state, otherwise the mean of
            texts, the last token of causal models, and the trained pooler or the class token of images.
        dropout: probability of zeroing a feature in training, 0..1; of the library's models only before the
            new layer, since theirs is in their config.json.
        freeze: the layers to freeze; see `pellucid.train.freezing.freeze`. "output" trains only the new
            layer. Frozen parts are in evaluation mode: no dropout, and batch norm keeps its statistics.
        embed_dim: for metric learning, the length of the vectors after a new linear layer; None: the model's
            own vectors.
        implementation: pellucid (our blocks), transformers (the library's modules), or auto: ours where there
            is one.
        part: "text" or "image", for a model of both such as clip; None: image.

    Raises:
        ModelError: see `load_model`.
        ConfigError: the model does not read this kind of data.
    """
    shape, folder = tuple(input_shape), find(weights)
    config = read_config(folder)
    check_part(part)
    wanted = _Wanted(shape, num_outputs, vocab_size, outputs, pooling, dropout, embed_dim)
    if is_converted(folder, config, outputs, implementation):
        model = _converted(folder, config, wanted)
    else:
        model = _of_library(folder, config, wanted, input_type_of(config, part))
    if freeze is not None:
        freeze_stages(model, freeze)
    model.notes = notes(model, weights)  # type: ignore[assignment]
    return model


def rebuild(architecture: Mapping[str, Any], num_outputs: int, dropout: float = 0.1) -> nn.Module:
    """Build the model that `pretrained` built, for fine-tuned weights; the pretrained files are not needed.

    Args:
        architecture: the attribute `architecture` of the model that `pretrained` returned.
        num_outputs: see `pretrained`.
        dropout: see `pretrained`.
    """
    state = dict(architecture)
    head, projection = state.pop("head", None), state.pop("projection", None)
    if state["family"] == FAMILY:
        encoder, restored = rebuild_library(state)
        if restored.output != VECTORS:
            return encoder
        return _with_head(encoder, restored, num_outputs, dropout, head, projection)
    ours = Architecture.restore(state)
    if ours.family == "gpt2":
        return build_model(ours, dropout)
    return _with_head(build_encoder(ours, dropout), ours, num_outputs, dropout, head, projection)


def _with_head(
    encoder: nn.Module,
    architecture: Described,
    num_outputs: int,
    dropout: float,
    head: str | None,
    projection: int | None,
) -> nn.Module:
    if head == VECTOR_HEAD["head"]:
        return PretrainedEmbedding(encoder, architecture, projection, dropout)
    return PretrainedClassifier(encoder, architecture, num_outputs, dropout)


def notes(model: nn.Module, weights: str) -> tuple[str, ...]:
    """Return what the user should know about a pretrained model, one line each."""
    state: Mapping[str, Any] = getattr(model, "architecture", {})
    backbone = getattr(model, "encoder", model)
    module = getattr(backbone, "module", None)
    kind = type(backbone).__name__ if module is None else f"transformers' {type(module).__name__}"
    lines = [f"The model starts from {weights}: {kind}"]
    if pooling := getattr(backbone, "pooling", None):
        lines[0] += f"; the vector of a row is: {pooling} (model.options.pooling)"
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    every = sum(p.numel() for p in model.parameters())
    lines[0] += f". {every:,} parameters"
    lines[0] += (
        f", of which {trained:,} are trained; frozen parts need no gradient." if trained < every else "."
    )
    if part := _other_part(state):
        lines.append(part)
    return tuple(lines)


def _other_part(state: Mapping[str, Any]) -> str:
    config = state.get("config") or {}
    if "vision_config" in config and "text_config" in config:
        reads = IMAGE if state.get("image_shape") else TEXT
        return f"Of this model of images and texts the {reads} part is used (model.options.part)."
    return ""


# ---- which implementation ------------------------------------------------------------------------


def _family(config: Mapping[str, Any]) -> str | None:
    """Return the family of a model that we convert; None for all others."""
    try:
        return family_of(config)
    except ValueError:
        return None


def is_converted(folder: Path, config: Mapping[str, Any], outputs: str, implementation: str) -> bool:
    """Return whether a model is converted to our blocks, rather than taken from the library.

    Raises:
        ModelError: it cannot be converted, and the library is not to be used or not installed.
    """
    family = _family(config)
    if implementation == "transformers" or (implementation == "auto" and family is None):
        _check_library(config)
        return False
    with naming_folder(folder):
        kind = family_of(config)
        if outputs not in CONVERTED[kind] and implementation == "pellucid":
            raise ValueError(f"a {kind} of ours has no output of {outputs.replace('_', ' ')}")
        if outputs not in CONVERTED[kind]:
            return False
        try:
            read_architecture(config, read_weights(folder))
        except ValueError:
            if implementation == "pellucid" or not _has_library():
                raise
            return False
    return True


def _has_library() -> bool:
    try:
        transformers()
    except MissingExtraError:
        return False
    return True


def _check_library(config: Mapping[str, Any]) -> None:
    """Refuse a model that needs the library where it is not installed.

    Raises:
        MissingExtraError: says which model types need none.
    """
    if not _has_library():
        kind = config.get("model_type") or config.get("architecture") or "not stated"
        raise MissingExtraError(
            f"the library transformers for a model of the type {kind!r} (bert, gpt2, vit and timm's vit_* do "
            "not need it)",
            "transformers",
        )


# ---- building from files -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Wanted:
    """What a task and a config want of a model; see `pretrained`."""

    shape: tuple[int, ...]
    num_outputs: int
    vocab_size: int | None
    outputs: str
    pooling: str | None
    dropout: float
    embed_dim: int | None


def _converted(folder: Path, config: dict[str, Any], wanted: _Wanted) -> nn.Module:
    tensors = read_weights(folder)
    architecture, _, order = describe(folder, config, tensors, wanted.pooling)
    architecture = _adapt(architecture, wanted.shape, wanted.vocab_size)
    head = VECTOR_HEAD if wanted.outputs == "vectors" else {}
    state = {**architecture.state(), **head, "projection": wanted.embed_dim}
    with naming_folder(folder):
        model = rebuild(state, wanted.num_outputs, wanted.dropout)
        encoder = getattr(model, "encoder", model)
        copy_weights(encoder, architecture.family, tensors, order)
    return model


def _of_library(folder: Path, config: dict[str, Any], wanted: _Wanted, reads: str) -> nn.Module:
    if reads == IMAGE:
        shape = wanted.shape
        if len(shape) != 3 or shape[0] not in (1, 3):
            raise ConfigError(
                f"This model reads images (C, H, W) in color or gray, received inputs of shape {shape}."
            )
        if wanted.outputs not in ("values", "vectors"):
            raise ConfigError(
                "This model reads images, and the task predicts tokens.", remedy="a model of texts"
            )
        encoder, architecture = load_images(folder, config, shape, wanted.pooling)
    else:
        encoder, architecture = _text_of_library(folder, config, wanted)
    if architecture.output != VECTORS:
        return encoder
    head = VECTOR_HEAD["head"] if wanted.outputs == "vectors" else None
    return _with_head(encoder, architecture, wanted.num_outputs, wanted.dropout, head, wanted.embed_dim)


def _text_of_library(
    folder: Path, config: dict[str, Any], wanted: _Wanted
) -> tuple[nn.Module, LibraryArchitecture]:
    adopted = read_adopted(folder)
    _check_texts(len(adopted.order), wanted.shape, wanted.vocab_size)
    stated, _ = sentence_pooling(folder, wanted.pooling)
    output = VECTORS if wanted.outputs in ("values", "vectors") else wanted.outputs
    pooling = wanted.pooling or stated
    return load_text(folder, config, adopted, wanted.shape[0], output=output, pooling=pooling)


def _adapt(architecture: Architecture, shape: tuple[int, ...], vocab_size: int | None) -> Architecture:
    """Adapt an architecture of ours to the data.

    Raises:
        ConfigError: the model does not read this kind of data.
    """
    if architecture.image_shape:
        if len(shape) != 3:
            raise ConfigError(f"This model reads images (C, H, W), received inputs of shape {shape}.")
        return replace(architecture, image_shape=shape, num_classes=0)
    _check_texts(architecture.vocab_size, shape, vocab_size)
    return architecture


def _check_texts(known: int, shape: tuple[int, ...], vocab_size: int | None) -> None:
    if len(shape) != 1 or vocab_size != known:
        raise ConfigError(
            f"This model expects texts in its own vocabulary of {known:,} tokens, received inputs of shape "
            f"{shape} and {vocab_size or 'no'} tokens.",
            remedy="data.text.tokenizer=null, to use the model's own tokenizer",
        )
