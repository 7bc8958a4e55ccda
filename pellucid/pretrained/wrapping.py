"""Load a model of the library transformers as a model of ours: its pooling, its width, and checks of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.data.image_statistics import read_statistics
from pellucid.data.sources.model_files import IMAGES, read_json
from pellucid.data.text.vocabulary import Adopted
from pellucid.errors import ModelError
from pellucid.nn import PAD
from pellucid.nn.modes import evaluating
from pellucid.pretrained.backbones import (
    LibraryArchitecture,
    LibraryImages,
    LibraryText,
    LibraryTokens,
    without_parts,
)
from pellucid.pretrained.library import (
    NEXT_TOKENS,
    VECTORS,
    build_module,
    load_module,
    plain_config,
    refuse_missing,
    takes,
)

POOLER = "pooler"
PROBED = 6
"""Tokens of the texts that a model is tried on."""
CLASS_TOKENS = ("cls_token", "class_embedding", "class_token")
"""Names of the parameter that is put before the patches of an image."""

LibraryModel = LibraryText | LibraryTokens | LibraryImages


def load_text(
    folder: Path,
    config: Mapping[str, Any],
    adopted: Adopted,
    max_seq_len: int,
    *,
    output: str = VECTORS,
    pooling: str | None = None,
    unit_length: bool = False,
) -> tuple[LibraryText | LibraryTokens, LibraryArchitecture]:
    """Load a text model of the library with its weights.

    Args:
        folder: with its files.
        config: the content of its config.json.
        adopted: its tokenizer.
        max_seq_len: most tokens of a text.
        output: "vectors", or "next_tokens" or "masked_tokens" with the model's own head.
        pooling: how a vector for a text is made; None: the last token of a causal model, otherwise the mean.
        unit_length: whether vectors are divided by their length.

    Raises:
        ModelError: the weights do not fit, or the outputs for a text depend on its padding.
        ValueError: the model has no such pooling.
    """
    module, missing = load_module(folder, config, output, "text")
    framed = output != NEXT_TOKENS
    architecture = LibraryArchitecture(
        plain_config(config),
        output,
        vocab_size=len(adopted.order),
        max_seq_len=max_seq_len,
        prefix=adopted.prefix if framed else (),
        suffix=adopted.suffix if framed else (),
        pad_id=adopted.pad_id,
        unit_length=unit_length,
        pooling=pooling or "mean",
    )
    _check_vocabulary(folder, module, adopted)
    if output != VECTORS:
        refuse_missing(folder, missing, output)
        model = LibraryTokens(module, architecture)
        model.framing.fill(adopted.order, adopted.unk_id)
        return model, architecture
    if not takes(module, "attention_mask"):
        raise ModelError(
            f"{folder}: a {type(module).__name__} takes no attention_mask, so the outputs for a text would "
            "depend on the other texts of its batch.",
            remedy="a model such as bert, roberta or distilbert",
        )
    architecture, missing = _choose_pooler(module, architecture, missing)
    refuse_missing(folder, missing, output)
    draft = LibraryText(module, architecture)
    draft.framing.fill(adopted.order, adopted.unk_id)
    if pooling is None and _is_causal(draft):
        architecture = replace(architecture, pooling="last")
    architecture = replace(architecture, embed_dim=_width(folder, draft, _longest(draft)))
    model = LibraryText(module, architecture)
    model.framing.fill(adopted.order, adopted.unk_id)
    _check_padding(folder, model)
    return model, architecture


def load_images(
    folder: Path, config: Mapping[str, Any], shape: tuple[int, ...] | None = None, pooling: str | None = None
) -> tuple[LibraryImages, LibraryArchitecture]:
    """Load an image model of the library with its weights.

    Args:
        folder: with its files.
        config: the content of its config.json.
        shape: (C, H, W) of the data; None: that of the images it was trained on.
        pooling: how a vector for an image is made; None: the model's own pooler if it was trained, otherwise
            the class token if there is one, otherwise the mean.

    Raises:
        ModelError: the weights do not fit, or the model cannot take images of this shape.
        ValueError: the model has no such pooling.
    """
    known = read_statistics(read_json(folder, IMAGES), config)
    module, missing = load_module(folder, config, VECTORS, "image")
    architecture = LibraryArchitecture(
        plain_config(config),
        VECTORS,
        image_shape=shape or (3, known.size[1], known.size[0]),
        flipped=known.flipped,
        pooling=pooling or POOLER,
    )
    images = torch.linspace(-1, 1, 3 * architecture.image_shape[1] * architecture.image_shape[2])
    images = images.view(1, 3, *architecture.image_shape[1:])
    if pooling is None:
        architecture = replace(
            architecture, pooling=_image_pooling(folder, module, architecture, images, missing)
        )
    architecture, missing = _choose_pooler(module, architecture, missing)
    refuse_missing(folder, missing, VECTORS)
    width = _width(folder, LibraryImages(module, architecture), images)
    architecture = replace(architecture, embed_dim=width)
    return LibraryImages(module, architecture), architecture


def rebuild_library(state: Mapping[str, Any]) -> tuple[LibraryModel, LibraryArchitecture]:
    """Build a model with new weights from what was recorded of its architecture."""
    architecture = LibraryArchitecture.restore(state)
    module = build_module(architecture.config, architecture.output, architecture.reads)
    without_parts(module, architecture.without)
    if architecture.output != VECTORS:
        return LibraryTokens(module, architecture), architecture
    wrapper = LibraryImages if architecture.reads == "image" else LibraryText
    return wrapper(module, architecture), architecture


# ---- choices and checks --------------------------------------------------------------------------


def _choose_pooler(
    module: nn.Module, architecture: LibraryArchitecture, missing: list[str]
) -> tuple[LibraryArchitecture, list[str]]:
    """Leave a pooler out that is not used; return what else the files lack."""
    pooler = getattr(module, POOLER, None)
    if architecture.pooling == POOLER or not isinstance(pooler, nn.Module):
        return architecture, missing
    if not any(True for _ in pooler.parameters()):
        return architecture, missing
    without_parts(module, (POOLER,))
    left = [name for name in missing if not name.startswith(f"{POOLER}.")]
    return replace(architecture, without=(POOLER,)), left


def _image_pooling(
    folder: Path, module: nn.Module, architecture: LibraryArchitecture, images: Tensor, missing: list[str]
) -> str:
    untrained = any(name.startswith(f"{POOLER}.") for name in missing)
    if not untrained:
        found = _try(folder, LibraryImages(module, architecture).compute, images, module)
        if getattr(found, "pooler_output", None) is not None:
            return POOLER
    names = [name.rpartition(".")[2] for name, _ in module.named_parameters()]
    return "cls" if set(names) & set(CLASS_TOKENS) else "mean"


def _check_vocabulary(folder: Path, module: nn.Module, adopted: Adopted) -> None:
    """Refuse a tokenizer that has more tokens than the model has embeddings."""
    embedding = module.get_input_embeddings()  # type: ignore[operator]
    rows, largest = getattr(embedding, "num_embeddings", None), max(adopted.order)
    if rows is not None and largest >= rows:
        raise ModelError(
            f"{folder}: the tokenizer has {largest + 1:,} tokens, but the embedding has {rows:,} rows.",
            remedy="the tokenizer that the model was trained with",
        )


def _texts(model: LibraryText | LibraryTokens, count: int) -> Tensor:
    """Return a text of `count` tokens, (1, count)."""
    size = len(model.framing.order)
    return (torch.arange(count) * 7 % max(1, size - 5) + 5).clamp(max=size - 1)[None]


def _longest(model: LibraryText) -> Tensor:
    return _texts(model, model.max_seq_len)


@torch.no_grad()
def _is_causal(model: LibraryText) -> bool:
    """Return whether the vectors of tokens do not depend on later tokens."""
    tokens = _texts(model, min(PROBED, model.max_seq_len))
    changed = tokens.clone()
    changed[0, -1] = tokens[0, 0]
    with evaluating(model):
        return torch.allclose(model.encode(tokens)[:, :-1], model.encode(changed)[:, :-1], atol=1e-6)


def _check_padding(folder: Path, model: LibraryText) -> None:
    """Refuse a model whose vectors for a text depend on its padding."""
    tokens = _texts(model, min(PROBED, max(1, model.max_seq_len - 3)))
    longer = torch.nn.functional.pad(tokens, (0, min(3, model.max_seq_len - tokens.shape[1])), value=PAD)
    with evaluating(model):
        alone, padded = model(tokens), model(longer)
    if not torch.allclose(alone, padded, rtol=1e-3, atol=1e-3 * float(alone.abs().max())):
        raise ModelError(
            f"{folder}: the outputs of this {type(model.module).__name__} for a text change with its "
            "padding, so they would depend on the other texts of a batch.",
            remedy="a model such as bert, roberta or distilbert",
        )


def _width(folder: Path, model: LibraryText | LibraryImages, inputs: Tensor) -> int:
    """Return the number of values in the vector of a row, computed for one."""
    vectors = _try(folder, model, inputs, model)
    if vectors.ndim != 2:
        raise ModelError(f"{folder}: expected one vector for a row, received {tuple(vectors.shape)}.")
    return vectors.shape[1]


def _try(folder: Path, function: Any, inputs: Tensor, model: nn.Module) -> Any:
    """Call a model on one row.

    Raises:
        ModelError: it fails; says what it was called with.
        ValueError: it has no such pooling.
    """
    try:
        with evaluating(model):
            return function(inputs)
    except ValueError as error:
        if "pooling" in str(error):
            raise
        reason = error
    except Exception as error:  # whatever a model of the library raises
        reason = error
    lines = str(reason).splitlines() or [""]
    raise ModelError(
        f"{folder}: the model cannot read inputs of shape {tuple(inputs.shape)}: {type(reason).__name__}: "
        f"{lines[0]}",
        remedy="a smaller data.text.max_seq_len" if inputs.ndim == 2 else "another data.image_size",
    ) from None
