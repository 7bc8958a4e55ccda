"""Ask a copy of the model what its outputs depend on, by changing its inputs.

The copy is in evaluation mode and without hooks; random generators are left as they were, so training goes
on as if nothing had happened.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.diagnosis.watched import Probes
from pellucid.lens.capture import original
from pellucid.lens.watch.batch_facts import runs_from_end
from pellucid.lens.watch.spread import first_tensor

Result = TypeVar("Result")
ROWS, POSITIONS = 8, 16
"""Rows, and positions of a sequence, that are probed."""
SMALL = 20_000_000
"""Models with more parameters are not copied."""


def probe(
    model: nn.Module,
    arguments: tuple[tuple[Any, ...], dict[str, Any]],
    padding: int | None,
    targets: Tensor | None = None,
) -> tuple[Probes, str]:
    """Probe a model.

    Args:
        model: is copied; nothing of it changes.
        arguments: positional and named, as the loop called it.
        padding: the token that fills up rows.
        targets: what the outputs were compared with.

    Returns:
        What was seen, and why nothing could be seen ("" if it could).
    """
    args, kwargs = arguments
    named = [*enumerate(args), *kwargs.items()]
    place = next((name for name, value in named if _batched(value)), None)
    if place is None:
        return Probes(), "no argument of the model is a batch of rows"
    if sum(one.numel() for one in model.parameters()) > SMALL:
        return Probes(), f"the model has more than {SMALL:,} parameters"
    total = dict(named)[place].shape[0]
    generators = _Generators(model)
    try:
        with torch.no_grad():
            prober = _Prober(_twin(model), _rows(args, total), _rows(kwargs, total), place, generators)
            return prober.probes(padding, _rows(targets, total)), "; ".join(prober.faults)
    finally:
        generators.restore()


class _Generators:
    """The states of the generators of Python, NumPy and torch, of devices those that a model is on."""

    def __init__(self, model: nn.Module) -> None:
        self.python, self.numpy, self.torch = random.getstate(), np.random.get_state(), torch.get_rng_state()
        devices = {one.device for one in model.parameters() if one.device.type == "cuda"}
        self.cuda = [(device, torch.cuda.get_rng_state(device)) for device in devices]

    def restore(self) -> None:
        self.restore_python()
        torch.set_rng_state(self.torch)
        for device, state in self.cuda:
            torch.cuda.set_rng_state(state, device)

    def restore_python(self) -> None:
        random.setstate(self.python)
        np.random.set_state(self.numpy)


def _twin(model: nn.Module) -> nn.Module:
    """A copy in evaluation mode, neither compiled nor with the hooks of the original."""
    twin = copy.deepcopy(original(model))
    for module in twin.modules():
        for hooks in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
            getattr(module, hooks).clear()
    return twin.eval()


def _batched(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim >= 2 and value.shape[0] >= 2


def _rows(values: Any, total: int) -> Any:
    """The first rows of every tensor that has one for each row of the batch."""
    if isinstance(values, dict):
        return {name: _rows(value, total) for name, value in values.items()}
    if isinstance(values, (tuple, list)):
        return type(values)(_rows(value, total) for value in values)
    if isinstance(values, Tensor):
        batched = values.ndim and values.shape[0] == total
        return values.detach()[:ROWS].clone() if batched else values.detach().clone()
    return values


class _Refused(Exception):
    """The model does not take the changed inputs."""


class _Prober:
    def __init__(
        self, model: nn.Module, args: Any, kwargs: Any, place: int | str, generators: _Generators
    ) -> None:
        self.model, self.args, self.kwargs, self.place = model, args, kwargs, place
        self.generators = generators
        self.faults: list[str] = []
        self.inputs: Tensor = kwargs[place] if isinstance(place, str) else args[place]
        self.outputs = self._call(args, kwargs)

    def run(self, inputs: Tensor) -> Tensor | None:
        """The outputs for other inputs, with the same random numbers as the first ones."""
        args, kwargs = list(self.args), dict(self.kwargs)
        if isinstance(self.place, str):
            kwargs[self.place] = inputs
        else:
            args[self.place] = inputs
        return self._made(args, kwargs)

    def _made(self, args: list[Any], kwargs: dict[str, Any]) -> Tensor | None:
        self.generators.restore()
        try:
            return self._call(args, kwargs)
        except Exception as error:
            raise _Refused from error

    def _call(self, args: Any, kwargs: dict[str, Any]) -> Tensor | None:
        made = first_tensor(self.model(*args, **kwargs))
        return None if made is None else made.float()

    def probes(self, padding: int | None, targets: Tensor | None) -> Probes:
        """Ask everything that fits the model."""
        if self.outputs is None or self.outputs.ndim < 1:
            return Probes()
        if self._places(targets):  # teacher forcing draws whether the next token is given
            self.generators.restore_python()
        again = self._call(self.args, self.kwargs)
        if not bool(torch.isfinite(self.outputs).all()):
            return Probes()
        if again is None or not torch.equal(again, self.outputs):
            return Probes(random=True)  # nothing else can be told from noise
        return Probes(
            rows_mixed=self._tried(self._rows_mixed),
            future_seen=self._tried(self._future_seen),
            order_blind=self._tried(self._order_blind),
            padding_read=self._tried(lambda: self._padding_read(padding)),
            content_unread=self._tried(lambda: self._content_unread(padding)),
            target_seen=self._tried(lambda: self._target_seen(targets)),
            inputs_ignored=self._tried(self._inputs_ignored),
            unread=self._tried(self._unread),
        )

    def _tried(self, probe: Callable[[], Result]) -> Result | None:
        """The result of a probe; None where it does not fit the model or fails, which ends no other one."""
        try:
            return probe()
        except _Refused:
            return None
        except Exception as error:
            self.faults.append(f"{type(error).__name__}: {error}")
            return None

    # ---- what changes --------------------------------------------------------------------------------

    def _other(self, like: Tensor) -> Tensor:
        """Other values of the same kind: those of another row."""
        return like.roll(1, 0) if not like.is_floating_point() else like.roll(1, 0) + 0.1 * like.std()

    def _rows_mixed(self) -> float | None:
        """Change row 0 and see what happens to the others."""
        out = self.outputs
        if out is None or out.shape[0] != self.inputs.shape[0]:
            return None
        changed = self.inputs.clone()
        changed[0] = self._other(self.inputs)[0]
        after = self.run(changed)
        if after is None or after.shape != out.shape or torch.equal(changed, self.inputs):
            return None
        moved = (after - out).abs().flatten(1).amax(1) if out.ndim > 1 else (after - out).abs()
        own, others = float(moved[0]), float(moved[1:].max())
        scale = max(own, float(out.std()), 1e-12)
        return others / scale if others > 1e-5 * scale else 0.0

    def _sequence(self) -> bool:
        """Whether the outputs have one row for each position: (B, T, ...) of (B, T, ...)."""
        out = self.outputs
        same = out is not None and out.ndim == 3 and out.shape[:2] == self.inputs.shape[:2]
        return same and self.inputs.ndim in (2, 3) and self.inputs.shape[1] >= 4

    def _future_seen(self) -> float | None:
        """Change the last position and see what happens to earlier ones."""
        out = self.outputs
        if out is None or not self._sequence():
            return None
        changed = self.inputs.clone()
        changed[:, -1] = self.inputs[:, -2] if self.inputs.is_floating_point() else self._swap()
        if torch.equal(changed, self.inputs):
            return None
        after = self.run(changed)
        if after is None or after.shape != out.shape:
            return None
        moved = (after - out).abs().amax(2)
        scale = max(float(moved[:, -1].max()), 1e-12)
        early = float(moved[:, :-1].max())
        return early / scale if early > 1e-5 * scale else 0.0

    def _swap(self) -> Tensor:
        """For the last position, the token of the first, or another one that occurs."""
        first, last = self.inputs[:, 0], self.inputs[:, -1]
        return torch.where(first == last, self.inputs.flatten()[self.inputs.numel() // 2], first)

    def _order_blind(self) -> bool | None:
        """Reverse the positions and see whether the outputs are the same, or the same reversed."""
        out, inputs = self.outputs, self.inputs
        tokens = not inputs.is_floating_point() and inputs.ndim == 2
        if out is None or inputs.shape[1] < 4 or not (tokens or (inputs.ndim == 3 and self._sequence())):
            return None
        flipped = inputs.flip(1)
        if float((flipped != inputs).float().mean()) < 0.2:
            return None
        after = self.run(flipped)
        if after is None or after.shape != out.shape:
            return None
        expected = out.flip(1) if self._sequence() else out
        return bool((after - expected).abs().max() <= 1e-4 * max(float(out.std()), 1e-6))

    def _padding_read(self, padding: int | None) -> float | None:
        """Cut the padding off and see whether the outputs of the row change."""
        out, inputs = self.outputs, self.inputs
        if padding is None or out is None or inputs.ndim != 2 or out.shape[0] != inputs.shape[0]:
            return None
        filled = inputs == padding
        padded = runs_from_end(filled, right=True) | runs_from_end(filled, right=False)
        rows = padded.any(1) & ~padded.all(1)
        if not bool(rows.any()) or (bool(padded[rows, 0].any()) and not self._order_blind()):
            return None  # without the padding before it, a text begins at another position
        shorter = self._shortened(padded)
        if shorter is None:
            return None
        moved = (shorter - out[rows]).abs()
        return float(moved.max()) / max(float(out.std()), 1e-12)

    def _shortened(self, padded: Tensor) -> Tensor | None:
        """The outputs of padded rows when each is given by itself, cut to its own length."""
        found, out = [], self.outputs
        given = [value for value in (*self.args, *self.kwargs.values()) if isinstance(value, Tensor)]
        others = [value for value in given if value is not self.inputs]
        if out is None or out.ndim != 2 or any(not self._lengths(value) for value in others):
            return None  # masks would have to be cut as well
        for row in torch.nonzero(padded.any(1) & ~padded.all(1)).flatten().tolist():
            cut = self.inputs[row, ~padded[row]][None]
            made = self._made(
                [self._of_row(one, row, cut) for one in self.args],
                {name: self._of_row(one, row, cut) for name, one in self.kwargs.items()},
            )
            if made is None or made.shape[1:] != out.shape[1:]:
                return None
            found.append(made)
        return torch.cat(found)

    def _lengths(self, value: Tensor) -> bool:
        """Whether an argument holds the length of each row."""
        return value.ndim == 1 and len(value) == len(self.inputs) and not value.is_floating_point()

    def _of_row(self, value: Any, row: int, cut: Tensor) -> Any:
        if value is self.inputs:
            return cut
        return value[row : row + 1] if isinstance(value, Tensor) else value

    def _content_unread(self, padding: int | None) -> bool | None:
        """Write other words into padded rows and see whether the outputs of these rows stay."""
        out, inputs = self.outputs, self.inputs
        if padding is None or out is None or inputs.ndim != 2 or out.shape[0] != inputs.shape[0]:
            return None
        content = inputs != padding
        rows = ~content.all(1) & content.any(1)
        words = inputs[content]
        changed = inputs.clone()
        changed[content] = words.roll(len(words) // 2 + 1)
        after = self.run(changed)
        if not bool(rows.any()) or after is None or bool((changed == inputs)[rows].all()):
            return None
        return torch.equal(after[rows], out[rows])

    def _target_seen(self, targets: Tensor | None) -> bool | None:
        """Change the last target where the model is given it, and see whether the output there changes."""
        out, places = self.outputs, self._places(targets)
        if targets is None or not places or out is None or out.ndim != 3 or out.shape[:2] != targets.shape:
            return None
        args, kwargs = list(self.args), dict(self.kwargs)
        given: Any = kwargs if isinstance(places[0], str) else args
        given[places[0]] = torch.cat([targets[:, :-1], targets.roll(1, 0)[:, -1:]], 1)
        after = self._made(args, kwargs)
        if after is None or torch.equal(given[places[0]], targets):
            return None
        return not torch.equal(after[:, -1], out[:, -1])

    def _places(self, targets: Tensor | None) -> list[int | str]:
        """The arguments, by place or name, that are the targets themselves: (B, T) tokens."""
        if targets is None or targets.ndim != 2 or targets.is_floating_point():
            return []
        return [
            name for name, value in [*enumerate(self.args), *self.kwargs.items()]
            if name != "labels" and isinstance(value, Tensor) and value is not self.inputs
            and value.shape == targets.shape and torch.equal(value, targets.to(value.dtype))
        ]  # fmt: skip

    def _unread(self) -> tuple[int, int] | None:
        """Change some positions of (B, T, ...) inputs; count those that change nothing: (unread, tried)."""
        out, inputs = self.outputs, self.inputs
        if out is None or out.ndim != 2 or inputs.ndim not in (2, 3) or not 4 <= inputs.shape[1] <= 64:
            return None
        if inputs.ndim == 2 and inputs.is_floating_point():
            return None  # columns of a table
        unread = 0
        positions = range(0, inputs.shape[1], max(1, inputs.shape[1] // POSITIONS))
        for position in positions:
            changed = inputs.clone()
            changed[:, position] = self._other(inputs)[:, position]
            after = self.run(changed)
            if after is None or torch.equal(changed, inputs):
                return None
            unread += torch.equal(after, out)
        return unread, len(positions)

    def _inputs_ignored(self) -> bool | None:
        out = self.outputs
        after = self.run(self._other(self.inputs))
        if out is None or after is None or torch.equal(self._other(self.inputs), self.inputs):
            return None
        return bool((after - out).abs().max() <= 1e-7 * max(float(out.abs().max()), 1e-12))
