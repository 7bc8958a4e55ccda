"""What is viewed: a model, a batch and a loss, computed in evaluation mode without a trace left behind."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from pellucid.batch import as_batch, call_model, num_rows
from pellucid.errors import PellucidError, UnknownNameError, UsageError
from pellucid.lens.capture import Call, capture
from pellucid.lens.work import LAZY, Work

Words = Callable[[Sequence[int]], Sequence[str]]
"""Token ids -> what they stand for."""


@dataclass(frozen=True)
class Subject:
    """A model and its batch.

    Attributes:
        work: the model, the batch and the loss; the batch may be None.
        words: what token ids stand for, of a run.
    """

    work: Work
    words: Words | None = None

    @property
    def model(self) -> nn.Module:
        """The model."""
        return self.work.model

    @property
    def name(self) -> str:
        """The class of the model."""
        return type(self.model).__name__

    @property
    def inputs(self) -> Any:
        """The inputs of the batch, as `call_model` takes them."""
        return as_batch(self.work.batch).inputs

    @property
    def rows(self) -> int:
        """Rows of the batch; 0 without one."""
        return 0 if self.work.batch is None else num_rows(self.work.batch)

    @property
    def floats(self) -> list[Tensor]:
        """The inputs of floating-point numbers."""
        return [leaf for leaf in pytree.tree_leaves(self.inputs) if _is_float(leaf)]

    @property
    def tokens(self) -> list[Tensor]:
        """The inputs of whole numbers (B, T)."""
        leaves = pytree.tree_leaves(self.inputs)
        return [
            leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.ndim == 2 and not _is_float(leaf)
        ]

    def check_row(self, row: int) -> int:
        """Return a row of the batch.

        Raises:
            UsageError: there is no such row.
        """
        if not isinstance(row, int) or not 0 <= row < self.rows:
            raise UsageError(f"row={row} expects a row of the batch, 0 to {self.rows - 1}.")
        return row

    def only(self, row: int) -> Subject:
        """Return the subject with one row of its batch."""
        count = self.rows

        def cut(leaf: Any) -> Any:
            has_rows = isinstance(leaf, Tensor) and leaf.ndim and len(leaf) == count
            return leaf[row : row + 1] if has_rows else leaf

        return self.with_batch(pytree.tree_map(cut, self.work.batch))

    def with_batch(self, batch: Any) -> Subject:
        """Return the subject with another batch."""
        return replace(self, work=replace(self.work, batch=batch))

    @contextlib.contextmanager
    def computing(self, *, gradients: bool = False) -> Iterator[None]:
        """Compute in evaluation mode, with the same random numbers every time; undo what is changed."""
        training = {module: module.training for module in self.model.modules()}
        self.model.eval()
        try:
            with (
                self.work.undisturbed(),
                torch.compiler.set_stance("force_eager"),
                torch.set_grad_enabled(gradients),
            ):
                yield
        finally:
            for module, mode in training.items():
                module.training = mode

    def forward(self) -> Any:
        """Compute the batch once, inside of `computing`; None where only the loss can call the model.

        Raises:
            UsageError: it cannot be computed.
        """
        try:
            return call_model(self.model, self.inputs)
        except Exception as error:
            with contextlib.suppress(Exception):
                self.work.forward()  # a model that only its objective knows how to call
                return None
            raise UsageError(
                f"{self.name} cannot be computed on this batch: {error}".split("\n")[0],
                remedy="pellucid.look(model, batch).crash says where and why",
            ) from error

    def not_called(self) -> str:
        """Say why the model cannot be called with its inputs; "" where it can."""
        try:
            with self.computing():
                call_model(self.model, self.inputs)
        except Exception as error:
            return f"cannot be called on these inputs: {error}".split("\n")[0].rstrip(".")
        return ""

    def trouble(self) -> str:
        """Say why the batch cannot be computed, to follow "This model"; "" where it can."""
        try:
            with self.computing():
                self.forward()
        except UsageError as error:
            return error.args[0].split("\n")[0].removeprefix(f"{self.name} ").rstrip(".")
        return ""

    def calls(self, modules: Iterable[str | nn.Module], *, inputs: bool = False) -> list[Call]:
        """Compute the batch once and return the finished calls of modules, with copies of their tensors."""
        with self.computing(), capture(self.model, modules, inputs=inputs) as taken:
            self.forward()
        return [call for call in taken.calls if call.finished]

    def loss(self) -> float:
        """Return the loss of the batch.

        Raises:
            ConfigError: none is known.
        """
        with self.computing():
            return self.work.forward()[1].item()

    def labels(self, length: int, row: int) -> list[str]:
        """Return what stands at each of `length` positions of a row: words where they are known, or numbers.

        Several inputs of that length, such as a text and its translation, are ambiguous: numbers.
        """
        fitting = [ids for ids in self.tokens if ids.shape[1] == length]
        if self.words is None or len(fitting) != 1:
            return [str(place) for place in range(length)]
        return [str(word) for word in self.words(fitting[0][row].tolist())]


def _is_float(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.ndim > 1


def layers_of(model: nn.Module, kinds: tuple[type[nn.Module], ...]) -> dict[str, nn.Module]:
    """Return the modules of some kinds by their names, without those whose shapes are not known yet."""
    found = {name: part for name, part in model.named_modules() if isinstance(part, kinds)}
    return {n: part for n, part in found.items() if not any(isinstance(p, LAZY) for p in part.parameters())}


def choose_layer(layer: str | None, known: Iterable[str], default: int = 0) -> str:
    """Return the layer that is asked for, or the one at place `default` of those known.

    Raises:
        UnknownNameError: there is no such layer.
    """
    names = list(dict.fromkeys(known))
    if layer is None:
        return names[default]
    if layer not in names:
        raise UnknownNameError("layer for this view", str(layer), names)
    return layer


def array(tensor: Tensor) -> np.ndarray:
    """Return the values of a tensor; float64 stays, other floating-point numbers become float32."""
    values = tensor.detach().cpu()
    return (
        values.float() if values.is_floating_point() and values.dtype != torch.float64 else values
    ).numpy()


def reason(attempt: Callable[[], Any]) -> str:
    """Return "" where an attempt succeeds, and else why it does not, in a sentence without its end."""
    try:
        attempt()
    except PellucidError as error:
        return str(error).split("\n")[0].rstrip(".")
    return ""
