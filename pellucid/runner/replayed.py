"""What a replay found, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pellucid.lens.trace import Trace

VERSION = 1
"""Of the form of `Replay.to_dict()`."""


@dataclass
class ParameterStep:
    """What an update did to one parameter.

    Attributes:
        name: as in `model.named_parameters()`.
        shape: its shape.
        weight_norm: before the update.
        gradient_norm: of the gradient that the optimizer received, after clipping; None where it had none.
        update_norm: of the difference that the update made.
    """

    name: str
    shape: tuple[int, ...]
    weight_norm: float
    gradient_norm: float | None
    update_norm: float


@dataclass
class PhaseStep:
    """An update of one phase of the objective; most objectives have one.

    Attributes:
        phase: its name.
        lr: the learning rate, of the first group of parameters.
        recorded: losses that the run recorded for it: several where the phase is repeated in a step, [] where
            none was recorded, None for one that is not finite.
        recomputed: the same, computed again.
        weight_norm, gradient_norm, update_norm: of all parameters of the phase together; see `ParameterStep`.
        parameters: the same for each.
        trace: statistics of outputs and gradients of every module, with the same random numbers, computed
            before the weights moved.
    """

    phase: str
    lr: float
    recorded: list[float | None]
    recomputed: list[float | None]
    weight_norm: float
    gradient_norm: float | None
    update_norm: float
    parameters: list[ParameterStep]
    trace: Trace

    @property
    def exact(self) -> bool | None:
        """Whether all losses are equal to the bit; None where none was recorded."""
        return self.recorded == self.recomputed if self.recorded else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            **vars(self),
            "exact": self.exact,
            "parameters": [{**vars(p), "shape": list(p.shape)} for p in self.parameters],
            "trace": self.trace.to_dict(),
        }


@dataclass
class Row:
    """A row of the batch.

    Attributes:
        number: in the training split, from 0.
        file: where it came from; "" where it was no file of its own.
        text: the row as text; "" for a picture.
        target: its target as the data set has it; "" without.
    """

    number: int
    file: str = ""
    text: str = ""
    target: str = ""


@dataclass
class Replay:
    """One update of a run, computed again.

    Attributes:
        run: the id of the run.
        step: the update, from 1.
        epoch: the epoch it is in, from 0.
        batch: its batch in that epoch, from 0.
        start: the update after which computing began: that of a checkpoint, or 0.
        from_seed: whether it began with the initial weights, which follow from the seed.
        execution: the execution mode.
        phases: what was computed, by phase, in their order; those that this step has.
        rows: the rows of the batch; [] where they cannot be named.
        before: how many updates before it were computed on the way and have a recorded loss.
        before_exact: how many of them have the same loss to the bit.
        notes: what is not as in training, and why.
    """

    run: str
    step: int
    epoch: int
    batch: int
    start: int
    from_seed: bool
    execution: str
    phases: list[PhaseStep] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    before: int = 0
    before_exact: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool | None:
        """Whether every recorded loss of the step was met to the bit; None where none was recorded."""
        found = [phase.exact for phase in self.phases if phase.exact is not None]
        return all(found) if found else None

    @property
    def loss(self) -> float | None:
        """The loss of the first phase, computed again."""
        return self.phases[0].recomputed[-1] if self.phases else None

    @property
    def trace(self) -> Trace:
        """The trace of the first phase."""
        return self.phases[0].trace

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, with the version of their form."""
        return {
            "version": VERSION,
            **vars(self),
            "exact": self.exact,
            "phases": [phase.to_dict() for phase in self.phases],
            "rows": [dict(vars(row)) for row in self.rows],
        }

    def __str__(self) -> str:
        return "\n".join(summary(self))


def summary(replay: Replay) -> list[str]:
    """Return what was found, a sentence or a line each, without the modules."""
    base = (
        "the initial weights of its seed" if replay.from_seed else f"the checkpoint of step {replay.start:,}"
    )
    lines = [
        f"Run {replay.run}, step {replay.step:,}: epoch {replay.epoch + 1}, batch {replay.batch + 1}. "
        f"Computed again from {base}, as in training ({replay.execution})."
    ]
    lines += [_losses(phase, len(replay.phases) > 1) for phase in replay.phases]
    if replay.before:
        lines.append(
            f"On the way to it {replay.before:,} losses were compared, and {replay.before_exact:,} are equal."
        )
    return [*lines, *replay.notes]


def norms(phase: PhaseStep) -> str:
    """Return learning rate and norms as a line."""
    gradient = "" if phase.gradient_norm is None else f", gradient {phase.gradient_norm:.4g}"
    return (
        f"{phase.phase}: learning rate {phase.lr:.4g}; norms: weights {phase.weight_norm:.4g}{gradient}, "
        f"update {phase.update_norm:.4g}"
    )


def _losses(phase: PhaseStep, named: bool) -> str:
    name = f"{phase.phase}: " if named else ""
    again = ", ".join(map(str, phase.recomputed))
    if phase.exact is None:
        return f"{name}loss {again}; none was recorded for this step, so it is not proved."
    if phase.exact:
        return f"{name}loss {again}, equal to the recorded loss to the bit."
    recorded = ", ".join(map(str, phase.recorded))
    return f"{name}loss {again} DIFFERS from the recorded loss {recorded}."
