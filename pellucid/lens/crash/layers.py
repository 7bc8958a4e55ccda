"""Layers that received another shape than they were made for."""

from __future__ import annotations

import math

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from pellucid.lens.crash.failure import Failure, Rule, Words, numbers


def _linear(failure: Failure) -> Words | None:
    layer, shape = failure.module, failure.shape
    if not isinstance(layer, nn.Linear) or not shape or shape[-1] == layer.in_features:
        return None
    expected, of = f"(..., {layer.in_features})", f"nn.Linear({shape[-1]}, {layer.out_features})"
    if len(shape) > 2 and math.prod(shape[1:]) == layer.in_features:
        return expected, "Flatten each row before this layer: x.flatten(1), or nn.Flatten()."
    if len(shape) > 2 and shape[1] == layer.in_features:
        return expected, "The features are on axis 1: x.transpose(1, -1) puts them last."
    if len(shape) == 4:
        return expected, (
            "Flatten each row before this layer (nn.Flatten()), and make it "
            f"nn.Linear({math.prod(shape[1:])}, "
            f"{layer.out_features})."
        )
    if len(shape) == 2 and math.prod(shape) == layer.in_features:
        return expected, (
            f"All its {layer.in_features} values are those of one example: if the inputs are one without a "
            f"batch, add that axis with x[None]; if they are {shape[0]} rows, make it {of}."
        )
    return expected, f"Make it {of}, or let what comes before return {layer.in_features} features."


DIMS = {1: "L", 2: "H, W", 3: "D, H, W"}


def _convolution(failure: Failure) -> Words | None:
    layer, shape = failure.module, failure.shape
    if not isinstance(layer, _ConvNd) or not shape:
        return None
    dims, channels = len(layer.kernel_size), layer.in_channels
    expected = f"(B, {channels}, {DIMS[dims]})"
    axes = len(shape)
    if axes not in (dims + 1, dims + 2):
        return expected, _missing_axes(shape, dims, channels)
    if axes == dims + 1 and shape[0] != channels:
        if shape[-1] == channels:
            return expected, "Put the channels first and add the batch: x.movedim(-1, 0)[None]."
        if channels == 1:
            return expected, "Add the axis of the channels: x.unsqueeze(1)."
        return expected, "Add the axis of the batch: x[None]."
    got = shape[-dims - 1]
    if got != channels and shape[-1] == channels:
        return expected, "The channels are last: x.movedim(-1, 1) puts them on axis 1."
    if got != channels and got == 1 and channels == 3:
        return (
            expected,
            "The images are gray: make it in_channels=1, or repeat them with x.expand(-1, 3, -1, -1).",
        )
    if got != channels:
        name = type(layer).__name__
        return expected, f"Make it nn.{name}({got}, {layer.out_channels}, ...): the input has {got} channels."
    return _kernel(failure)


def _missing_axes(shape: tuple[int, ...], dims: int, channels: int) -> str:
    side = math.isqrt(shape[-1] // channels) if len(shape) == 2 else 0
    if dims == 2 and side > 1 and side * side * channels == shape[-1]:
        return f"Make images of the rows: x.unflatten(1, ({channels}, {side}, {side}))."
    if len(shape) > dims + 2:
        return f"Remove or merge axes, e.g. with x.flatten(0, {len(shape) - dims - 2})."
    return "Add the missing axes, with x.unsqueeze or x.unflatten."


def _kernel(failure: Failure) -> Words | None:
    found = numbers(r"input size per channel: \(([\dx ]+)\). Kernel size: \(([\dx ]+)\)", failure)
    if found:
        return f"images of at least {found[1].replace(' ', '')}", (
            f"By this layer they have shrunk to {found[0].replace(' ', '')}: a smaller kernel, padding, "
            "fewer strides and poolings before it, or larger images."
        )
    found = numbers(r"Given input size: \(([\dx]+)\).*Output size is too small", failure)
    if found:
        return "larger images", (
            f"By this layer they have shrunk to {found[0]}: fewer poolings and strides before it, or larger "
            "images."
        )
    if numbers(r"Padding size should be less than", failure):
        return "images larger than the padding", 'A smaller padding, or padding_mode="zeros".'
    return None


def _embedding(failure: Failure) -> Words | None:
    layer = failure.module
    if not isinstance(layer, (nn.Embedding, nn.EmbeddingBag)) or not failure.received:
        return None
    ids, last = failure.received[0], layer.num_embeddings - 1
    expected = f"whole numbers from 0 to {last}"
    if "float" in ids.dtype:
        return expected, "Convert the ids with .long(), or use a linear layer for numbers."
    if ids.max is None or ids.min is None:
        return None
    if ids.min < 0:
        return expected, (
            f"There is an id {int(ids.min)}: replace ids below 0, e.g. with the id of padding (padding_idx)."
        )
    if ids.max > last:
        return expected, (
            f"There is an id {int(ids.max)}: make it nn.Embedding({int(ids.max) + 1}, {layer.embedding_dim}) "
            "or the size of the vocabulary, if the ids are right."
        )
    return None


def _norm(failure: Failure) -> Words | None:
    layer, shape = failure.module, failure.shape
    if isinstance(layer, nn.LayerNorm) and shape:
        wanted = tuple(layer.normalized_shape)
        expected = f"(..., {', '.join(map(str, wanted))})"
        got = shape[-1] if len(wanted) == 1 else shape[-len(wanted) :]
        return expected, f"Make it nn.LayerNorm({got}), or put the features on the last axis."
    if isinstance(layer, nn.GroupNorm) and len(shape) > 1 and shape[1] != layer.num_channels:
        return f"{layer.num_channels} channels on axis 1", (
            f"Make it nn.GroupNorm({layer.num_groups}, {shape[1]}): the input has {shape[1]} channels."
        )
    if not isinstance(layer, (_BatchNorm, nn.modules.instancenorm._InstanceNorm)):
        return None
    if "more than 1 value per channel" in failure.error:
        return "at least two rows in training", (
            "Batch norm cannot learn from one row: drop_last=True in the DataLoader, larger batches, or "
            "model.eval() for predicting."
        )
    if "more than 1 spatial element" in failure.error:
        return "more than one place per channel", "Use a layer norm, or remove it where images are 1 x 1."
    dims = {"1d": "(B, C) or (B, C, L)", "2d": "(B, C, H, W)", "3d": "(B, C, D, H, W)"}
    expected = dims.get(type(layer).__name__[-2:], "(B, C, ...)").replace("C", str(layer.num_features))
    if len(shape) > 1 and shape[1] != layer.num_features and "D input" not in failure.error:
        name = type(layer).__name__
        return expected, f"Make it nn.{name}({shape[1]}): the input has {shape[1]} features on axis 1."
    kind = {2: "1d", 3: "1d", 4: "2d", 5: "3d"}.get(len(shape), "1d")
    return expected, f"Use nn.{type(layer).__name__[:-2]}{kind} for inputs with {len(shape)} axes."


def _recurrent(failure: Failure) -> Words | None:
    layer, shape = failure.module, failure.shape
    if not isinstance(layer, (nn.RNNBase, nn.RNNCellBase)) or not shape:
        return None
    name = type(layer).__name__
    if isinstance(layer, nn.RNNCellBase):
        expected = f"(B, {layer.input_size})"
    else:
        expected = f"(B, T, {layer.input_size})" if layer.batch_first else f"(T, B, {layer.input_size})"
    found = numbers(r"Expected hidden(?:\[\d\])? size \(([\d, ]+)\), got \[([\d, ]+)\]", failure)
    if found:
        return f"a state of shape ({found[0]})", (
            "The state is (layers x directions, B, hidden_size), also with batch_first, and was "
            f"({found[1]}): "
            "make it for the rows of this batch, or leave it out to start from zeros."
        )
    if shape[-1] != layer.input_size:
        return expected, (
            f"Make it nn.{name}({shape[-1]}, {layer.hidden_size}, ...): the input has {shape[-1]} features a "
            "step."
        )
    return expected, f"The input has {len(shape)} axes: flatten or remove those between time and features."


def _attention(failure: Failure) -> Words | None:
    found = numbers(r"expecting embedding dimension of (\d+), but got (\d+)", failure)
    if found:
        return f"(..., {found[0]})", (
            f"Make embed_dim (d_model) {found[1]}, or project to {found[0]} features before it."
        )
    found = numbers(
        r"shape of the 2D attn_mask is torch.Size\(\[([\d, ]+)\]\), but should be \(([\d, ]+)\)", failure
    )
    if found:
        return f"a mask of shape ({found[1]})", (
            "The mask is (queries, keys): make it for the length of this batch; without batch_first=True "
            "axis 0 is time."
        )
    if "key_padded_mask" in failure.error:
        return "a padding mask of shape (B, keys)", (
            "The padding mask has a row for each row of the batch; without batch_first=True axis 0 is time."
        )
    return None


RULES: tuple[Rule, ...] = (
    _linear,
    _convolution,
    _kernel,
    _embedding,
    _norm,
    _recurrent,
    _attention,
)
"""In the order in which they are asked."""
