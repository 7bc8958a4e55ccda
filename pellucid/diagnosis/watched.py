"""What `pellucid.watch` records of a training loop, as plain values, the input of rules.

A *look* is a step at which every module and every parameter was measured; between looks only counts, losses
and learning rates are kept. Nothing here imports torch.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pellucid.diagnosis.curves import Series
from pellucid.diagnosis.loss_graph import LossGraph


@dataclass(frozen=True)
class Spread:
    """How the values of one tensor are spread.

    Attributes:
        shape: of the tensor.
        kind: its dtype, e.g. "float32".
        mean, std, low, high: over its finite values.
        rms: the root of the mean square.
        non_finite: how many values are NaN or infinite.
        columns: (smallest, largest) standard deviation of a column; None where there are fewer than 2.
        row_sums: whether the values of each row are not negative and sum to 1.
        interleaved: of pictures with three channels, how much values differ from the third next one of their
            row relative to the next one; None where another neighbor is as near, and of other tensors.
        between: standard deviation between rows as a share of `std`; 0 where all rows are the same.
    """

    shape: tuple[int, ...]
    kind: str
    mean: float = 0.0
    std: float = 0.0
    low: float = 0.0
    high: float = 0.0
    rms: float = 0.0
    non_finite: int = 0
    columns: tuple[float, float] | None = None
    row_sums: bool = False
    interleaved: float | None = None
    between: float = 1.0

    @property
    def floating(self) -> bool:
        """Whether the values are real numbers rather than integers or flags."""
        return self.kind.startswith(("float", "bfloat", "half", "double"))

    @property
    def rows(self) -> int:
        """The length of the first axis; 1 for a single number."""
        return self.shape[0] if self.shape else 1


@dataclass(frozen=True)
class ModuleLook:
    """One module in one forward pass of a look.

    Attributes:
        name: in `model.named_modules()`.
        kind: its class, e.g. "Linear".
        inputs, outputs: its first input and output tensor; None where there is none.
        saturated: share of outputs of a sigmoid or tanh that are within 1 % of its bounds.
        silent: (units that were never above 0 in any row, units); None where it is no rectifier or layer.
    """

    name: str
    kind: str
    inputs: Spread | None
    outputs: Spread | None
    saturated: float | None = None
    silent: tuple[int, int] | None = None


@dataclass(frozen=True)
class ParameterLook:
    """One parameter at one look; what cannot be known is None.

    Attributes:
        name: in `model.named_parameters()`.
        shape: of the parameter.
        trainable: `requires_grad`.
        optimized: it is in an optimizer that is watched.
        rms: root mean square of its values.
        grad_rms: of its gradient, as the optimizer saw it.
        backward_rms: of its gradient as the last backward pass added it, before it was clipped.
        update_rms: of its change in this step.
        lr, weight_decay: of its group.
        same_rows: every unit (row) has the same weights.
        non_finite: how many of its values are NaN or infinite.
        constant: all its values are the same.
        fresh: its values look as PyTorch's default initialization leaves them.
    """

    name: str
    shape: tuple[int, ...]
    trainable: bool
    optimized: bool
    rms: float
    grad_rms: float | None = None
    backward_rms: float | None = None
    update_rms: float | None = None
    lr: float | None = None
    weight_decay: float = 0.0
    same_rows: bool = False
    non_finite: int = 0
    constant: bool = False
    fresh: bool = False

    @property
    def ratio(self) -> float | None:
        """Update relative to the weights: about 1e-3 in healthy training."""
        return None if self.update_rms is None or self.rms <= 0 else self.update_rms / self.rms

    @property
    def is_weight(self) -> bool:
        """Whether it is a matrix or kernel, rather than a bias or scale."""
        return len(self.shape) > 1


@dataclass(frozen=True)
class Look:
    """One step, measured closely.

    Attributes:
        step: 1 for the first update.
        loss: of this step.
        modules: in the order of their calls.
        parameters: in the order of `model.named_parameters()`.
        inputs, targets, outputs: of the model in this step; None where they are not known.
        training: the mode of the model.
        updates: steps of the optimizers that were seen since the step before; several where `w.step` is
            called less often than they step.
    """

    step: int
    loss: float
    modules: tuple[ModuleLook, ...] = ()
    parameters: tuple[ParameterLook, ...] = ()
    inputs: Spread | None = None
    targets: Spread | None = None
    outputs: Spread | None = None
    training: bool = True
    updates: int = 1

    def trained(self) -> list[ParameterLook]:
        """Return the parameters that this step could change."""
        return [one for one in self.parameters if one.trainable and one.optimized]


@dataclass(frozen=True)
class Glance:
    """The outputs of one step, compared with the targets; there are more of them than looks.

    Attributes:
        step: 1 for the first update.
        right: share of rows whose class has the largest output.
        contradicted: share of rows whose class has a probability below 15 % where another has more than half.
    """

    step: int
    right: float
    contradicted: float


@dataclass(frozen=True)
class Optimizing:
    """An optimizer as it was at the start.

    Attributes:
        kind: its class, e.g. "Adam".
        lr: of its first group.
        parameters: how many of its parameters are the model's.
        foreign: how many are not.
        shared: how many are in another optimizer too.
        steps: how often it stepped.
        initial_lr: the rate that a schedule began with; None where there is no schedule.
    """

    kind: str
    lr: float
    parameters: int = 0
    foreign: int = 0
    shared: int = 0
    steps: int = 0
    initial_lr: float | None = None

    @property
    def adaptive(self) -> bool:
        """Whether it divides by the size of past gradients."""
        return self.kind not in {"SGD", "ASGD", "LBFGS"}


@dataclass(frozen=True)
class Loop:
    """What the loop did in the steps that were attended to, counted.

    Attributes:
        attended: steps; all other numbers but those of forward passes without gradients are of these.
        forwards: forward passes with gradients.
        evaluating: share of the second half of them in which the model was in evaluation mode, from 0 to 1.
        measured: forward passes without gradients after the first update.
        measured_training: those of them in which the model was in training mode.
        backwards: backward passes.
        steps: calls of the optimizers.
        checked: steps at which it was seen whether old gradients were left.
        stale: those of them at which they were.
        emptied: those of them before which gradients had arrived and were removed again.
        wasted: backward passes whose gradients were removed before any step used them.
        early: steps of an optimizer before any backward pass of this forward pass.
        joint: backward passes that reached the parameters of all optimizers.
        without_graph: losses that do not depend on any parameter through autograd.
        ended: the `with` block has ended.
    """

    attended: int = 0
    forwards: int = 0
    evaluating: float = 0.0
    measured: int = 0
    measured_training: int = 0
    backwards: int = 0
    steps: int = 0
    checked: int = 0
    stale: int = 0
    emptied: int = 0
    wasted: int = 0
    early: int = 0
    joint: int = 0
    without_graph: int = 0
    ended: bool = False


@dataclass(frozen=True)
class Batches:
    """What the batches of the first steps were like.

    Attributes:
        rows: rows of a usual batch.
        seen: batches that were looked at.
        distinct: how many of them were different.
        classes: how often each class occurred; {} where targets are not classes.
        scatter: variance of the means of batches, relative to what shuffled batches have (about 1).
        prior: loss of the best constant prediction for the targets seen; None where it is not known.
        aligned: "same" where the targets are the inputs, "next" where they are the inputs shifted by one,
            "time" where they are shifted along the first axis.
        padding: the token that fills rows up; None if there is none.
        padded: share of the targets that are that token.
        telling: (column of a table, its correlation with the targets), the strongest; None if not known.
        levels: how many whole numbers from 0 occur in targets that are no integers; 0 elsewhere.
        token: (the commonest token of (B, T) inputs apart from padding, its share); None where there is none.
    """

    rows: int = 0
    seen: int = 0
    distinct: int = 0
    classes: Mapping[int, int] = field(default_factory=dict)
    scatter: float | None = None
    prior: float | None = None
    aligned: str = ""
    padding: int | None = None
    padded: float = 0.0
    telling: tuple[int, float] | None = None
    levels: int = 0
    token: tuple[int, float] | None = None

    @property
    def majority(self) -> float:
        """The share of the commonest class, from 0 to 1."""
        return max(self.classes.values()) / sum(self.classes.values()) if self.classes else 0.0


@dataclass(frozen=True)
class Probes:
    """What a copy of the model was seen to do when its inputs were changed; None where it was not tried.

    Attributes:
        rows_mixed: largest change of the outputs of other rows when one row changes, relative to its own.
        future_seen: the same for outputs at earlier positions when a later token changes.
        order_blind: outputs for shuffled positions are the shuffled outputs, or do not change at all.
        padding_read: change of the outputs of a row when its padding changes.
        inputs_ignored: outputs do not depend on the inputs.
        content_unread: in padded rows, outputs do not depend on any token that is no padding.
        target_seen: outputs at a position change when the target there changes, which the model is given.
        unread: (positions of a sequence on which the outputs do not depend, positions that were tried).
        random: outputs for the same inputs differ in evaluation mode.
    """

    rows_mixed: float | None = None
    future_seen: float | None = None
    order_blind: bool | None = None
    padding_read: float | None = None
    inputs_ignored: bool | None = None
    content_unread: bool | None = None
    target_seen: bool | None = None
    unread: tuple[int, int] | None = None
    random: bool = False


@dataclass(frozen=True)
class ModuleFact:
    """A module of the model: its name, class and those options that rules ask for."""

    name: str
    kind: str
    options: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Watched:
    """Everything that was recorded of a loop.

    Attributes:
        steps: calls of `w.step`.
        losses: (step, loss) of every step.
        rates: (step, learning rate) of the first group of the first optimizer.
        looks: the steps that were measured closely.
        glances: the steps whose outputs were compared with their classes.
        graph: how the loss is computed; None if that is not known.
        loop, batches, optimizers, modules: see there.
        probes: what the model depends on at the first step.
        shared: modules that stand at several places: (name, other name).
        measured: the inputs of forward passes without gradients; None if there were none.
        class_weights: of the loss function, where it is given.
        lost: modules in plain lists or dicts, which the model does not know of.
        validations: measures of validation by name, with their direction in `lower`.
        lower: names of those where lower is better.
        devices: of the parameters: "cpu".
        changed_in_forward: a parameter that the forward pass changes; "" if there is none.
        watches: how many watches are open on the model.
        expected: the usual loss of the first look, averaged over rows; None where that is not known.
    """

    steps: int = 0
    losses: Series = ()
    rates: Series = ()
    looks: Sequence[Look] = ()
    glances: Sequence[Glance] = ()
    graph: LossGraph | None = None
    loop: Loop = Loop()
    batches: Batches = Batches()
    probes: Probes = Probes()
    shared: Sequence[tuple[str, str]] = ()
    optimizers: Sequence[Optimizing] = ()
    modules: Sequence[ModuleFact] = ()
    measured: Spread | None = None
    class_weights: Sequence[float] = ()
    lost: Sequence[str] = ()
    validations: Mapping[str, Series] = field(default_factory=dict)
    lower: frozenset[str] = frozenset()
    devices: frozenset[str] = frozenset()
    changed_in_forward: str = ""
    watches: int = 1
    expected: float | None = None

    @functools.cached_property
    def finite(self) -> list[float]:
        """The losses that are finite, in order."""
        return [value for _, value in self.losses if math.isfinite(value)]

    @property
    def highest_rate(self) -> float | None:
        """The highest learning rate of the first optimizer; None if it is not known."""
        rates = [rate for _, rate in self.rates] or [one.lr for one in self.optimizers[:1]]
        return max(rates, default=None)

    @property
    def first(self) -> Look | None:
        """The first look; None if there is none."""
        return self.looks[0] if self.looks else None

    @property
    def last(self) -> Look | None:
        """The last look; None if there is none."""
        return self.looks[-1] if self.looks else None

    def module(self, *kinds: str) -> ModuleFact | None:
        """Return the first module of one of these classes; None if there is none."""
        return next((one for one in self.modules if one.kind in kinds), None)
