"""A model as a function of what is explained: one output, of the inputs of one row.

Shapes: n points at which the function is computed at once, each (1, ...) for the row itself; K outputs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from pellucid.batch import call_model
from pellucid.errors import ModelError, UsageError
from pellucid.lens.capture import original, replaced_outputs
from pellucid.lens.explain.embeddings import Lookup, find_lookups
from pellucid.train.objective import read_logits

NUMBERS = 4_000_000
"""Numbers of the input that are computed at once."""
AT_ONCE = 64
"""Most points that are computed at once."""

Points = tuple[Tensor, ...]
"""What is explained: each (n, ...) float, inputs or the vectors of tokens (n, T, E)."""


class Question:
    """One output of a model as a function of its inputs.

    Args:
        model: any module; it is computed in evaluation mode.
        inputs: of one row, as `pellucid.batch.call_model` takes them: tensors (1, ...), one or several.
        names: of the tensors, in the order of `torch.utils._pytree`.
        target: which output; None: the largest, see `choose`.
        call: (model, inputs) -> what the model returns.
        read: what the model returned -> outputs (n, K) or (n,).
        scale: what the output is multiplied by, to be in units of the data.

    Attributes:
        points: what is explained, each (1, ...); of tokens their vectors.
        leaves: number of the input that each of the points belongs to.
        outputs: (K,) what the model returns for the row.

    Raises:
        ModelError: the model cannot be computed, or returns something else than (n, K).
        UsageError: no input can be explained.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Any,
        names: Sequence[str],
        *,
        target: int | None = None,
        call: Callable[[nn.Module, Any], Any] = call_model,
        read: Callable[[Any], Tensor] = read_logits,
        scale: Callable[[int], float] = lambda target: 1.0,
    ):
        self.model, self._call, self._read, self._scale = original(model), call, read, scale
        self._values, self._spec = pytree.tree_flatten(inputs)
        self.names = list(names)
        with self._computing():
            self._lookups = find_lookups(self.model, self._forward, self._values, self.names)
            self.points, self.leaves = self._find_points()
            with torch.no_grad():
                self.outputs = self._compute(self.points)[0]
        self.target = self.choose(target)

    def choose(self, target: int | None) -> int:
        """Return which output is explained: the one asked for, or the largest.

        Raises:
            UsageError: there is no such output.
        """
        count = len(self.outputs)
        if target is None:
            return int(self.outputs.argmax())
        if not -count <= target < count:
            raise UsageError(
                f"target={target}: expected one of the {count} outputs of the model, 0 to {count - 1}."
            )
        return target % count

    @property
    def tokens(self) -> dict[int, Tensor]:
        """The tokens (1, T) behind points that are vectors of tokens, by the number of the point."""
        floats = len(self.points) - len(self._lookups)
        return {floats + place: self._values[found.leaf] for place, found in enumerate(self._lookups)}

    def __call__(self, points: Points) -> Tensor:
        """Return the output at n points, (n,)."""
        with self._computing(), torch.no_grad():
            return torch.cat([self._score(part).detach() for part in _parts(points)])

    def gradients(self, points: Points) -> Points:
        """Return the gradients of the output at n points, each of the shape of its point.

        Raises:
            UsageError: the output has no gradient.
        """
        with self._computing(), torch.enable_grad():
            found = [self._gradients(part) for part in _parts(points)]
        return tuple(torch.cat(parts) for parts in zip(*found, strict=True))

    def at_layer(self, layer: nn.Module) -> tuple[Tensor, Tensor]:
        """Return what a layer returns for the row, and the gradient of the output with respect to it.

        Of several calls of the layer it is the last.

        Raises:
            UsageError: the output does not depend on it.
        """
        kept: list[Tensor] = []

        def keep(module: nn.Module, args: Any, output: Tensor) -> Tensor:
            kept.append(output)
            return output.clone()  # an activation in place does not change what was kept

        points = tuple(point.detach().requires_grad_(True) for point in self.points)
        with self._computing(), torch.enable_grad(), replaced_outputs([layer], keep):
            score = self._score(points).sum()
            gradient = _differentiated(score, kept[-1:])[0]
        if gradient is None:
            raise UsageError(
                "The output does not depend on the last convolution.", remedy="--method integrated_gradients"
            )
        return kept[-1].detach(), gradient

    # ---- computing -------------------------------------------------------------------------------------

    def _find_points(self) -> tuple[Points, list[int]]:
        floats = [
            place
            for place, leaf in enumerate(self._values)
            if isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.ndim > 1
        ]
        vectors = self._vectors()
        if not floats and not vectors:
            raise UsageError(
                "This model has no input that can be explained: expected numbers, or tokens that it looks up "
                "in an nn.Embedding."
            )
        points = (*(self._values[place].detach() for place in floats), *vectors)
        return points, [*floats, *(found.leaf for found in self._lookups)]

    def _vectors(self) -> list[Tensor]:
        """Return the vectors (1, T, E) that the model looks up."""
        taken: dict[int, Tensor] = {}

        def take(place: int, found: Lookup, output: Tensor) -> Tensor:
            taken[place] = found.read(output, self._values[found.leaf].shape[1]).detach()
            return output

        with torch.no_grad(), self._at_lookups(take):
            self._forward()
        return [taken[place] for place in range(len(self._lookups))]

    @contextlib.contextmanager
    def _at_lookups(self, act: Callable[[int, Lookup, Tensor], Tensor]) -> Iterator[None]:
        """Replace what embedding layers return by `act(place, lookup, output)`."""
        if not self._lookups:
            yield
            return
        calls: dict[nn.Module, int] = {}

        def replace(module: nn.Module, args: Any, output: Tensor) -> Tensor:
            number = calls[module] = calls.get(module, -1) + 1
            for place, found in enumerate(self._lookups):
                if found.table is module and found.number == number:
                    output = act(place, found, output)
            return output

        with replaced_outputs({found.table for found in self._lookups}, replace):
            yield

    @contextlib.contextmanager
    def _computing(self) -> Iterator[None]:
        training = {module: module.training for module in self.model.modules()}
        self.model.eval()
        try:
            with torch.backends.cudnn.flags(enabled=False), torch.compiler.set_stance("force_eager"):
                yield
        finally:
            for module, mode in training.items():
                module.training = mode

    def _forward(self, values: Sequence[Any] | None = None) -> Any:
        return self._call(self.model, pytree.tree_unflatten(values or self._values, self._spec))

    def _compute(self, points: Points) -> Tensor:
        """Return the outputs at n points, (n, K)."""
        count = len(points[0])
        floats = len(points) - len(self._lookups)
        values = [_repeated(leaf, count) for leaf in self._values]
        for place, point in zip(self.leaves[:floats], points[:floats], strict=True):
            values[place] = point
        with self._at_lookups(lambda place, found, output: found.write(output, points[floats + place])):
            made = self._read(self._forward(values))
        made = made[:, None] if made.ndim == 1 else made
        if made.ndim != 2 or len(made) != count:
            raise ModelError(
                f"The model returns outputs of shape {tuple(made.shape)} for {count} rows: expected one "
                "number or one for each class, (rows, outputs)."
            )
        return made

    def _score(self, points: Points) -> Tensor:
        score = self._compute(points)[:, self.target]
        return (score if score.dtype == torch.float64 else score.float()) * self._scale(self.target)

    def _gradients(self, points: Points) -> Points:
        points = tuple(point.detach().requires_grad_(True) for point in points)
        found = _differentiated(self._score(points).sum(), points)
        return tuple(
            torch.zeros_like(point) if gradient is None else gradient
            for point, gradient in zip(points, found, strict=True)
        )


def _differentiated(score: Tensor, of: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    if not score.requires_grad or not all(part.requires_grad for part in of):
        raise UsageError(
            "The output of the model has no gradient with respect to its input, for example because its "
            "forward rounds, detaches or uses torch.no_grad().",
            remedy="--method occlusion, which needs none",
        )
    return torch.autograd.grad(score, of, allow_unused=True)


def _parts(points: Points) -> Iterator[Points]:
    """Split n points into as many as are computed at once."""
    size = max(1, min(AT_ONCE, NUMBERS // max(1, sum(point[0].numel() for point in points))))
    for start in range(0, len(points[0]), size):
        yield tuple(point[start : start + size] for point in points)


def _repeated(leaf: Any, count: int) -> Any:
    """Repeat an input of one row; what has no rows stays as it is."""
    if isinstance(leaf, Tensor) and leaf.ndim and len(leaf) == 1:
        return leaf.expand(count, *leaf.shape[1:])
    return leaf
