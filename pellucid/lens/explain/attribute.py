"""Choose a method for an input, apply it, and sum up: one number for each pixel, token, column or step.

Shapes: C channels, H height, W width, T tokens or steps, E width of a token's vector, F numbers of a table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import UnknownNameError, UsageError
from pellucid.lens.explain import methods
from pellucid.lens.explain.explanation import METHODS, Completeness, Kind
from pellucid.lens.explain.question import Points, Question
from pellucid.nn import BayesNgrams

WINDOWS = 7
"""Windows of occlusion that fit side by side into a picture."""
STEP_WINDOWS = 16
"""Windows that fit into a series."""
TOLERANCE = 0.01
"""Error of integrated gradients, relative to their sum, from which on more steps are taken."""
MOST_STEPS = 800


@dataclass(frozen=True)
class Form:
    """How the numbers of one point are arranged.

    Attributes:
        kind: what it is.
        groups: (column, the numbers of the table that encode it); () where each number is a column.
        channels_first: of a series, whether it is (C, T) and not (T, C).
    """

    kind: Kind
    groups: tuple[tuple[str, Sequence[int]], ...] = ()
    channels_first: bool = False


@dataclass(frozen=True)
class Attribution:
    """One number for each part of the input; see `attribute`."""

    values: list[Tensor]
    completeness: Completeness | None = None


def choose_method(
    method: str | None, question: Question, forms: Sequence[Form], classes: bool
) -> tuple[str, str]:
    """Return the method and why it was chosen; "" where the user chose.

    Raises:
        UnknownNameError: there is no such method.
        UsageError: it does not fit the input.
    """
    kinds = {form.kind for form in forms}
    if method is not None:
        name = (
            method.lower()
            .replace("-", "_")
            .replace("gradcam", "grad_cam")
            .replace("smooth_grad", "smoothgrad")
        )
        if name not in METHODS:
            raise UnknownNameError("method", method, METHODS)
        if name == "grad_cam" and (kinds & {"text", "table"} or len(forms) > 1):
            raise UsageError(
                f"Grad-CAM shows places of one picture or series; this model reads {_listed(kinds)}.",
                remedy="--method integrated_gradients",
            )
        return name, ""
    if (
        kinds == {"picture"}
        and len(forms) == 1
        and classes
        and methods.find_convolution(question) is not None
    ):
        return "grad_cam", "pictures, classes and a network with convolutions"
    what = _listed(kinds)
    return "integrated_gradients", f"{what}: its numbers add up to the output, and their error is known"


def _listed(kinds: Iterable[str]) -> str:
    named = {"picture": "pictures", "text": "texts", "table": "columns", "series": "series"}
    return " and ".join(named[kind] for kind in sorted(kinds))


def attribute(question: Question, method: str, forms: Sequence[Form], baselines: Points) -> Attribution:
    """Apply a method.

    Args:
        question: what is explained.
        method: its name.
        forms: of each of the points.
        baselines: in the shapes of the points.

    Returns:
        For each point: pictures (H, W), texts (T,), tables (columns,), series (C, T).
    """
    if method == "integrated_gradients":
        return _integrated(question, forms, baselines)
    if method == "grad_cam":
        return Attribution([_cam(question, forms[0])])
    if method == "occlusion":
        covers = [cover for place in range(len(forms)) for cover in _covers(question, place, forms[place])]
        found, pool = methods.occlusion(question, baselines, covers), _first
    else:
        gradients = methods.saliency if method == "saliency" else methods.smooth_grad
        found, pool = gradients(question), _size
    return Attribution([pooled(part, form, pool) for part, form in zip(found, forms, strict=True)])


# ---- one number for each part -------------------------------------------------------------------------

Pool = Callable[[Tensor, int], Tensor]
"""Numbers and an axis -> numbers without this axis."""


def _sum(values: Tensor, axis: int) -> Tensor:
    return values.sum(axis)


def _size(values: Tensor, axis: int) -> Tensor:
    """The largest absolute gradient (Simonyan et al. 2014)."""
    return values.abs().amax(axis)


def _first(values: Tensor, axis: int) -> Tensor:
    """One of numbers that are equal, since they were covered together."""
    return values.select(axis, 0)


def pooled(part: Tensor, form: Form, pool: Pool) -> Tensor:
    """Return one number for each pixel, token, column or step of numbers (1, ...)."""
    row = part[0].float()
    if form.kind == "picture":
        return pool(row, 0)  # (C, H, W) -> (H, W)
    if form.kind == "text":
        return pool(row, 1)  # (T, E) -> (T,)
    if form.kind == "series":
        turned = row if form.channels_first or row.ndim == 1 else row.T
        return pool(turned[None], 0)  # (C, T)
    flat = row.flatten()
    if not form.groups:
        return pool(flat[None], 0)
    return torch.stack([pool(flat[list(places)], 0) for _, places in form.groups])


# ---- the methods --------------------------------------------------------------------------------------


def _integrated(question: Question, forms: Sequence[Form], baselines: Points) -> Attribution:
    """Double the steps until the numbers add up to the output."""
    ends = [question(points).item() for points in (question.points, baselines)]
    difference, steps = ends[0] - ends[1], methods.STEPS
    while True:
        found = methods.integrated_gradients(question, baselines, steps=steps)
        total = sum(part.double().sum().item() for part in found)
        error = abs(total - difference)
        if error <= TOLERANCE * abs(difference) or 2 * steps > MOST_STEPS:
            break
        steps *= 2
    values = [pooled(part, form, _sum) for part, form in zip(found, forms, strict=True)]
    first = next(iter(question.tokens), None)
    if first is not None:
        values[first] = values[first] + counted(question)
    return Attribution(values, Completeness(total, difference, error, steps))


def counted(question: Question) -> Tensor | float:
    """Return what n-grams add to the output for each token, (T,), which are looked at without vectors.

    It is known exactly (Wang & Manning 2012, see `pellucid.nn.BayesNgrams`). 0 where a model has none.
    """
    tokens = next(iter(question.tokens.values()))
    layers = [part for part in question.model.modules() if isinstance(part, BayesNgrams)]
    return sum((layer.token_contributions(tokens, question.target)[0] for layer in layers), start=0.0)


def _cam(question: Question, form: Form) -> Tensor:
    point = question.points[0]
    maps = methods.grad_cam(question)
    if form.kind == "picture":
        return methods.enlarged(maps, point.shape[-2:])[0, 0]
    places = maps.flatten(2)[..., None].squeeze(-1)  # (1, 1, T')
    length = point.shape[2] if form.channels_first else point.shape[1]
    return methods.enlarged(places, [length])[0]


def _covers(question: Question, place: int, form: Form) -> list[methods.Window]:
    point = question.points[place]
    shape = point.shape[1:]
    if form.kind == "text":
        return [(place, token) for token in range(shape[0])]
    if form.kind == "picture":
        sides = [max(1, round(side / WINDOWS)) for side in shape[1:]]
        return _sliding(place, shape, (shape[0], *sides), (shape[0], *(max(1, side // 2) for side in sides)))
    if form.kind == "series":
        axis = len(shape) - 1 if form.channels_first else 0
        size, stride = [1] * len(shape), [1] * len(shape)
        size[axis] = max(1, round(shape[axis] / STEP_WINDOWS))
        stride[axis] = max(1, size[axis] // 2)
        return _sliding(place, shape, size, stride)
    if form.groups:
        return [(place, list(places)) for _, places in form.groups]
    return _sliding(place, shape, [1] * len(shape), [1] * len(shape))


def _sliding(
    place: int, shape: Sequence[int], size: Sequence[int], stride: Sequence[int]
) -> list[methods.Window]:
    return [(place, index) for index in methods.windows(shape, size, stride)]


def guess_form(point: Tensor, is_tokens: bool, model: nn.Module) -> Form:
    """Return what the numbers of a bare module's input stand for, by their shape.

    (1, C, H, W) is a picture, (1, T, C) a series, (1, C, T) where the first 1-D convolution reads C channels;
    (1, F) and anything else is a table.
    """
    if is_tokens:
        return Form("text")
    if point.ndim == 3:
        first = next((part for part in model.modules() if isinstance(part, nn.Conv1d)), None)
        return Form("series", channels_first=first is not None and first.in_channels == point.shape[1])
    return Form("picture" if point.ndim == 4 else "table")


def lists(values: Tensor) -> list[Any]:
    """Return numbers as lists of floats with seven digits."""
    return _rounded(values.double().tolist())


def _rounded(value: Any) -> Any:
    return [_rounded(part) for part in value] if isinstance(value, list) else float(f"{value:.7g}")
