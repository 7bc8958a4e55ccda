"""The noun **Objective**: what one training step optimizes, as a list of phases, and how it is measured.

Supervised learning is one phase. A GAN is two, each with its own loss and its own parameters; a critic that
learns several times per generator update is a phase with `repeat`.

    objective = supervised("regression", F.mse_loss, metrics=[MeanAbsoluteError()])
    objective = Objective("gan", (Phase("discriminator", d_loss, lambda m: m.discriminator.parameters()),
                                  Phase("generator", g_loss, lambda m: m.generator.parameters())), measure)
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from pellucid.batch import WEIGHTS, Batch, as_batch, call_model, map_tensors, num_rows
from pellucid.errors import ConfigError
from pellucid.train.explain import explain, is_explained
from pellucid.train.metrics import Measures, Metric, means, update
from pellucid.train.own_loss import checked, row_losses

__all__ = ["Measures", "Objective", "Phase", "all_parameters", "means", "supervised", "with_loss"]

MEASURE_SEED = 0
"""Seed of the noise that measuring needs; it is the same in every batch and every epoch."""

OUTPUT_NAMES = ("logits", "output", "outputs", "out", "prediction", "predictions")
"""Keys of a dict of outputs that hold the logits, the first that is there."""


def all_parameters(model: nn.Module) -> Iterable[nn.Parameter]:
    """Return all parameters of a model: the default of a phase."""
    return model.parameters()


@dataclass(frozen=True)
class Phase:
    """One kind of update within a step.

    Attributes:
        name: e.g. "discriminator".
        loss: (model, batch) -> the scalar to minimize.
        parameters: model -> the parameters this phase updates.
        every: take part in every n-th step only.
        repeat: updates within one step.
        loss_and_outputs: the same as `loss`, with the outputs it was computed from; None where there are no
            outputs of rows.
    """

    name: str
    loss: Callable[[nn.Module, Any], Tensor]
    parameters: Callable[[nn.Module], Iterable[nn.Parameter]] = all_parameters
    every: int = 1
    repeat: int = 1
    loss_and_outputs: Callable[[nn.Module, Any], tuple[Tensor, Any]] | None = None


def forward_inputs(model: nn.Module, batch: Any) -> Any:
    """Call a model on the inputs of a batch and return what it returns."""
    if type(batch) is tuple and len(batch) == 2 and isinstance(batch[0], Tensor):
        return model(batch[0])  # the usual pair
    return call_model(model, as_batch(batch).inputs)


@runtime_checkable
class Ensemble(Protocol):
    """Several members in one network. `forward` averages them; each learns independently of the others."""

    def member_outputs(self, inputs: Tensor, /) -> Tensor:
        """Return the outputs of M members, (B, M, K)."""
        ...


def forward_members(model: Ensemble, batch: Any) -> tuple[Tensor, Batch]:
    """Return the outputs of all members, (B M, K), and the batch with its targets and weights M times.

    A loss that is a mean over rows is then the mean over members of their losses.
    """
    read = as_batch(batch)
    outputs = model.member_outputs(read.inputs)
    members = outputs.shape[1]
    targets, extra = map_tensors(lambda t: t.repeat_interleave(members, 0), (read.targets, read.extra))
    return outputs.flatten(0, 1), Batch(read.inputs, targets, extra)


@dataclass(frozen=True)
class Objective:
    """What one step optimizes, and how its result is measured.

    Held-out batches are measured either by `measure`, which gets the model, or by `score`, which gets the
    outputs of `forward`; `metrics` always get the outputs of `forward`.

    Attributes:
        name: e.g. "classification".
        phases: the updates of one step, in order.
        measure: (model, batch) -> sums and counts, without gradients; "loss" is always among them.
        probs: logits -> what a prediction is read from (probabilities, or the values themselves).
        monitor: the metric that says which weights are best.
        mode: whether the best is the largest or the smallest.
        prepare_batch: (model, batch) -> the batch as all phases of a step see it: with what they share, e.g.
            generated images, computed once with all parameters learning. Phases also take a batch without it.
        forward: (model, batch) -> outputs.
        score: (outputs, batch) -> sums and counts; "loss" is always among them.
        metrics: further metrics, each with a state of its own.
        takes_weights: whether the loss counts rows by the weights of a batch.
        read: (what the model returned, batch) -> outputs, where `forward` reads them, e.g. logits of a dict.
    """

    name: str
    phases: tuple[Phase, ...]
    measure: Callable[[nn.Module, Any], Measures] = None  # type: ignore[assignment]  # see __post_init__
    probs: Callable[[Tensor], Tensor] = lambda logits: logits
    monitor: str = "val/loss"
    mode: Literal["min", "max"] = "min"
    prepare_batch: Callable[[nn.Module, Any], Any] | None = None
    forward: Callable[[nn.Module, Any], Any] = forward_inputs
    score: Callable[[Any, Any], Measures] | None = None
    metrics: tuple[Metric, ...] = ()
    takes_weights: bool = False
    read: Callable[[Any, Any], Any] | None = None

    def __post_init__(self) -> None:
        if self.measure is None:
            object.__setattr__(self, "measure", self._measure)

    def _measure(self, model: nn.Module, batch: Any) -> Measures:
        """Score the outputs; where nothing says how, the loss of the first phase is measured."""
        if self.score is not None:
            return self.score(self.forward(model, batch), batch)
        count = count_rows(batch)
        return {"loss": (self.phases[0].loss(model, batch) * count, count)} if self.phases else {}

    def measure_batch(self, model: nn.Module, batch: Any) -> Measures:
        """Return sums and counts of a batch, and let `metrics` see it."""
        if not self.metrics:
            return self.measure(model, batch)
        outputs = self.forward(model, batch)
        for metric in self.metrics:
            update(metric, outputs, batch)
        return self.score(outputs, batch) if self.score is not None else self.measure(model, batch)

    def try_metrics(self, outputs: Any, batch: Any) -> None:
        """Let `metrics` see a batch and forget it.

        Raises:
            ConfigError: one of them fails; says which.
        """
        for metric in self.metrics:
            metric.reset()
            update(metric, outputs, batch)
            metric.reset()

    def evaluate(
        self,
        model: nn.Module,
        batches: Iterable[Any],
        computing: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
    ) -> dict[str, float]:
        """Return every measure and metric over batches; what counted nothing is left out.

        Args:
            model: in evaluation mode, without gradients.
            batches: of a split.
            computing: the context of every forward pass, e.g. its precision.
        """

        def measured() -> Iterator[Measures]:
            for batch in batches:
                with computing():
                    try:
                        yield self.measure_batch(model, batch)
                    except Exception as error:
                        if not is_explained(error):
                            raise
                        raise explain(error, model, batch, self.forward, "The loss or a metric") from error

        for metric in self.metrics:
            metric.reset()
        found = means(measured())
        for metric in self.metrics:
            values = metric.compute()
            if taken := sorted(found.keys() & values.keys()):
                raise ConfigError(
                    f"Two metrics are called {', '.join(map(repr, taken))}: one would replace the other.",
                    remedy="names of your own: metrics={'my_loss': function}",
                )
            found |= values
        return found


def supervised(
    name: str,
    loss: Callable[[Any, Any], Tensor],
    score: Callable[[Any, Any], Measures] | None = None,
    *,
    read: Callable[[Any, Any], Any] | None = None,
    convert: Callable[[Any], Any] | None = None,
    penalty: Callable[[nn.Module], Tensor] | None = None,
    **more: Any,
) -> Objective:
    """Return an objective of one phase whose loss compares the outputs of a model with targets.

    The training loss of an `Ensemble` is the mean over its members.

    Args:
        name: of the objective.
        loss: (outputs, targets) -> scalar; see `weighted` for batches with a weight for each row.
        score: (outputs, batch) -> sums and counts; None: the loss is measured.
        read: (what the model returned, batch) -> outputs; None: as they are.
        convert: what `read` returns -> outputs to score; a loss of the user's own gets what `read` returns.
        penalty: model -> a scalar that is added to the training loss.
        more: further fields of `Objective`.
    """
    compare = weighted(loss)

    def outputs_of(returned: Any, batch: Any) -> Any:
        outputs = returned if read is None else read(returned, batch)
        return outputs if convert is None else convert(outputs)

    def forward(model: nn.Module, batch: Any) -> Any:
        return outputs_of(forward_inputs(model, batch), batch)

    def learned(model: nn.Module, batch: Any) -> tuple[Tensor, Any]:
        if isinstance(model, Ensemble):
            returned, batch = forward_members(model, batch)
            outputs = outputs_of(returned, batch)
        else:
            outputs = forward(model, batch)
        value = compare(outputs, batch)
        return value if penalty is None else value + penalty(model), outputs

    def train(model: nn.Module, batch: Any) -> Tensor:
        return learned(model, batch)[0]

    def measured(outputs: Any, batch: Any) -> Measures:
        count = count_rows(batch)
        return {"loss": (compare(outputs, batch) * count, count)}

    phases = (Phase("train", train, loss_and_outputs=learned),)
    return Objective(
        name, phases, forward=forward, score=score or measured, takes_weights=True, read=read, **more
    )


def with_loss(objective: Objective, loss: Callable[[Any, Any], Tensor]) -> Objective:
    """Return an objective of one phase that learns by another loss, (outputs, targets) -> scalar.

    The loss gets what the model returned; a tensor in the shape of the targets. What is measured stays the
    same, so that runs with different losses compare.

    Raises:
        ConfigError: the objective has several phases, each with a loss of its own.
    """
    if len(objective.phases) > 1:
        names = ", ".join(phase.name for phase in objective.phases)
        raise ConfigError(
            f"loss= replaces the one loss of an objective, and {objective.name} has {len(objective.phases)}: "
            f"{names}.",
            remedy="objective=Objective(...) with phases of your own",
        )

    def read(returned: Any, batch: Any) -> Any:
        return (
            objective.read(returned, batch) if objective.read and isinstance(returned, Tensor) else returned
        )

    own = supervised(objective.name, checked(loss), objective.score, read=read)
    return replace(objective, phases=own.phases, takes_weights=True)


def measured_by_loss(objective: Objective, loss: Callable[[Any, Any], Tensor]) -> Objective:
    """Return an objective whose only measure is the loss it learns by, and the metrics it has."""
    own = supervised(objective.name, checked(loss))
    return replace(own, metrics=objective.metrics)


def weighted(loss: Callable[..., Tensor]) -> Callable[[Any, Any], Tensor]:
    """Return (outputs, batch) -> scalar of a loss (outputs, targets) -> scalar.

    Where a batch has weights (B,), the result is the mean of weight times the loss of each row: asked for
    with `reduction="none"` where the loss knows that, and computed row by row where it does not.
    """
    none = _accepts_reduction(loss) and partial(loss, reduction="none")
    by_row = none or row_losses(loss) or each_row(inspect.unwrap(loss))

    def compare(outputs: Any, batch: Any) -> Tensor:
        if type(batch) is tuple and len(batch) == 2:
            return loss(outputs, batch[1])  # the usual pair
        read = as_batch(batch)
        weights = read.extra.get(WEIGHTS)
        if weights is None:
            return loss(outputs, read.targets)
        each = by_row(outputs, read.targets)
        return (each.flatten(1).mean(1) if each.ndim > 1 else each).mul(weights).mean()

    return compare


def _accepts_reduction(loss: Callable[..., Any]) -> bool:
    try:
        return "reduction" in inspect.signature(loss).parameters
    except (TypeError, ValueError):
        return False


def each_row(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return (outputs (B, ...), targets (B, ...)) -> the loss of each row, (B,), of a loss that is a mean
    over rows.

    Raises (when called):
        ConfigError: the loss cannot be computed for one row at a time.
    """
    rows = torch.func.vmap(lambda output, target: loss(output[None], target[None]), randomness="different")

    def compare(outputs: Tensor, targets: Tensor) -> Tensor:
        try:
            return rows(outputs, targets)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise ConfigError(
                "sample_weight needs the loss of every row, and this loss cannot be computed row by row: "
                f"{error}",
                remedy="a loss that takes reduction='none', such as torch.nn.functional.cross_entropy",
            ) from error

    return compare


def penalty(l1: float, l2: float) -> Callable[[nn.Module], Tensor] | None:
    """Return L1 (Tibshirani 1996) and L2 penalties on weights, not biases and norms; None for none."""
    if not l1 and not l2:
        return None

    def total(model: nn.Module) -> Tensor:
        weights = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
        value = weights[0].new_zeros(())
        for weight in weights:
            value = value + l1 * weight.abs().sum() + 0.5 * l2 * weight.square().sum()
        return value

    return total


def read_logits(outputs: Any) -> Tensor:
    """Read the logits out of what a model returned.

    That is a tensor, the first of a tuple, or an entry of a dict or of an object with named fields: the one
    in `OUTPUT_NAMES`, else the first.

    Raises:
        ConfigError: there is no tensor in it.
    """
    if isinstance(outputs, Tensor):
        return outputs
    found = outputs
    named = _named(outputs)
    if named is not None:
        name = next((name for name in OUTPUT_NAMES if name in named), None)
        found = named[name] if name else next(iter(named.values()), None)
    elif isinstance(outputs, (tuple, list)):
        found = next(iter(outputs), None)
    if not isinstance(found, Tensor):
        raise ConfigError(
            f"Expected a model that returns logits, a tuple that begins with them, or a dict or object with "
            f"one of {', '.join(OUTPUT_NAMES)}; received {type(outputs).__name__}.",
            remedy="return the logits, or pass loss= and metrics= that read your outputs",
        )
    return found


def _named(outputs: Any) -> Mapping[str, Any] | None:
    """Return what a dict, a dataclass or a named tuple holds by name; None for anything else."""
    if isinstance(outputs, Mapping):
        return outputs
    if dataclasses.is_dataclass(outputs) and not isinstance(outputs, type):
        return {part.name: getattr(outputs, part.name) for part in dataclasses.fields(outputs)}
    fields = getattr(outputs, "_fields", None) if isinstance(outputs, tuple) else None
    return {name: getattr(outputs, name) for name in fields} if fields else None


def logits_of(returned: Any, batch: Any = None) -> Tensor:
    """Return the logits in what a model returned, in float32."""
    return read_logits(returned).float()


def count_rows(batch: Any) -> int:
    """Return B, the rows that a mean over a batch stands for."""
    return max(num_rows(batch), 1)


def one_of(option: str, value: str, known: Collection[str]) -> None:
    """Refuse a value of an option that is not known.

    Raises:
        ConfigError: naming those that are.
    """
    if value not in known:
        raise ConfigError(f"objective.options.{option}: expected {' or '.join(known)}, received {value!r}.")


def fixed_normal(*shape: int, device: torch.device) -> Tensor:
    """Return standard normal numbers that are the same at every call and on every device."""
    return torch.randn(shape, generator=_generator()).to(device)


def fixed_uniform(*shape: int, device: torch.device) -> Tensor:
    """Return numbers in [0, 1) that are the same at every call and on every device."""
    return torch.rand(shape, generator=_generator()).to(device)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(MEASURE_SEED)
