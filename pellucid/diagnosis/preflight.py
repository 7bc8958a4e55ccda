"""What is wrong with a model, a batch, a loss and an optimizer before the first step.

`pellucid.check` collects a `Preflight`, plain values from one forward and backward pass; the rules here
assess it. All of them are contracts: they need no symptom. Nothing here imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pellucid.diagnosis import contracts
from pellucid.diagnosis.asking import module_of
from pellucid.diagnosis.examination import ranked
from pellucid.diagnosis.loss_graph import loss_kind
from pellucid.diagnosis.wording import figure, listed
from pellucid.record import Finding


@dataclass(frozen=True)
class InputFacts:
    """One tensor of the inputs or targets.

    Attributes:
        name: e.g. "inputs", or the name in a dict.
        shape, dtype: of the tensor.
        low, high, mean, std: of its finite values; None where it has none.
        non_finite: share of infinite values and NaN, 0..1.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    std: float | None = None
    non_finite: float = 0.0

    @property
    def floating(self) -> bool:
        """Whether it holds floating-point numbers."""
        return "float" in self.dtype


@dataclass(frozen=True)
class Preflight:
    """What one pass showed.

    Attributes:
        crash: what failed and where, in words; "" if nothing did. `crash_where`, `crash_fix`: the place and
            the usual fix; `crash_expected`: what was expected.
        parameters: number of tensors that learn.
        without_gradient: names of parameters that learn, and that the loss does not depend on.
        zero_gradient: names of parameters whose gradient is 0 everywhere.
        differentiated: whether a backward pass was computed.
        without_loss: why no usual loss is known for the outputs and targets; "" where there is one.
        frozen: names of parameters that do not learn.
        not_called: names of modules with parameters that forward did not call.
        lost_layers: attributes that are plain lists or dicts of modules, e.g. "blocks".
        optimizer: whether one was given; `not_optimized`: names of parameters that learn and it does not
            have; `foreign`: how many of its parameters are not the model's.
        inputs, targets: their tensors.
        outputs: the shape of the first output; None where it is not known.
        activation: the operation that made the outputs: "softmax", "sigmoid", "log_softmax" ...
        after: operations of the loss, the last first, with the shapes of their results.
        dtypes, devices: number of parameter tensors by dtype, and by device.
        training: whether the model is in training mode.
    """

    crash: str = ""
    crash_where: str = ""
    crash_fix: str = ""
    crash_expected: str = ""
    parameters: int = 0
    without_gradient: tuple[str, ...] = ()
    zero_gradient: tuple[str, ...] = ()
    differentiated: bool = False
    without_loss: str = ""
    frozen: tuple[str, ...] = ()
    not_called: tuple[str, ...] = ()
    lost_layers: tuple[str, ...] = ()
    optimizer: bool = False
    not_optimized: tuple[str, ...] = ()
    foreign: int = 0
    inputs: tuple[InputFacts, ...] = ()
    targets: tuple[InputFacts, ...] = ()
    outputs: tuple[int, ...] | None = None
    activation: str = ""
    after: tuple[tuple[str, tuple[int, ...]], ...] = ()
    dtypes: Mapping[str, int] = field(default_factory=dict)
    devices: Mapping[str, int] = field(default_factory=dict)
    training: bool = True

    @property
    def loss(self) -> str:
        """What the loss computes; see `LossGraph.loss`."""
        return loss_kind([name for name, _ in self.after])


def assess(facts: Preflight) -> list[Finding]:
    """Return what is wrong, errors first."""
    found = [finding for rule in RULES if (finding := rule(facts)) is not None]
    return ranked(found)


# ---- what fails ----------------------------------------------------------------------------------------


def _fails(facts: Preflight) -> Finding | None:
    if not facts.crash:
        return None
    labels = facts.crash_expected.startswith("class numbers from")
    return Finding(
        "labels-out-of-range" if labels else "computation-fails",
        "error",
        facts.crash,
        "Training cannot begin: this raises at the first step.",
        facts.crash_fix.removesuffix(".") or "look at the module with pellucid.look(model, batch)",
        where="data:targets" if labels else facts.crash_where or "model",
    )


def _non_finite(facts: Preflight) -> Finding | None:
    for part, tensors in (("inputs", facts.inputs), ("targets", facts.targets)):
        for tensor in tensors:
            if tensor.non_finite:
                share = f"{100 * tensor.non_finite:.3g} %"
                return contracts.non_finite(
                    part, f"{share} of the values of {tensor.name} are NaN or infinite."
                )
    return None


# ---- parameters ----------------------------------------------------------------------------------------


def _all_frozen(facts: Preflight) -> Finding | None:
    if facts.parameters or not facts.frozen:
        return None
    return contracts.all_frozen(len(facts.frozen))


def _graph_broken(facts: Preflight) -> Finding | None:
    if facts.differentiated or facts.crash or facts.without_loss or not facts.parameters:
        return None
    return contracts.graph_broken()


def _no_loss(facts: Preflight) -> Finding | None:
    if not facts.without_loss:
        return None
    return Finding(
        "no-usual-loss",
        "note",
        facts.without_loss,
        "Only the forward pass was checked: gradients need a loss.",
        "loss=, a function (outputs, targets) -> scalar",
        where="loss",
    )


def _unused(facts: Preflight) -> Finding | None:
    unused = facts.without_gradient
    if not facts.differentiated or not unused or len(unused) == facts.parameters:
        return None
    idle = tuple(name for name in facts.not_called if any(p.startswith(f"{name}.") for p in unused))
    why = f" {listed(idle)} is never called." if len(idle) == 1 else ""
    why = f" {listed(idle)} are never called." if len(idle) > 1 else why
    return contracts.unused_parameters(
        f"{len(unused)} of {facts.parameters} parameters get no gradient: {listed(unused)}.{why}",
        module_of(unused[0]),
        0.95,
    )


def _zero_gradients(facts: Preflight) -> Finding | None:
    zero, known = facts.zero_gradient, facts.parameters - len(facts.without_gradient)
    if not zero or len(zero) < known:
        return None
    return Finding(
        "zero-gradients",
        "error",
        "The gradients of all parameters are exactly 0.",
        "The loss does not change with the weights: one output with a softmax, rectifiers that are all "
        "negative, or weights of 0.",
        "look at the statistics of each module: print(pellucid.look(model, batch))",
        where="model",
        confidence=0.95,
    )


def _frozen(facts: Preflight) -> Finding | None:
    if not facts.frozen or not facts.parameters:
        return None
    return Finding(
        "frozen-parameters",
        "note",
        f"{len(facts.frozen)} parameters do not learn (requires_grad is False): {listed(facts.frozen)}.",
        "This is right for a pretrained part, and a mistake for one with random weights.",
        "requires_grad_(True) on what should learn",
        where=module_of(facts.frozen[0]),
    )


def _lost_layers(facts: Preflight) -> Finding | None:
    if not facts.lost_layers:
        return None
    return contracts.layers_in_plain_list(facts.lost_layers, "error")


def _not_optimized(facts: Preflight) -> Finding | None:
    if not facts.optimizer or not facts.not_optimized:
        return None
    every = len(facts.not_optimized) == facts.parameters
    return Finding(
        "not-in-optimizer",
        "error" if every else "warning",
        f"{len(facts.not_optimized)} of {facts.parameters} parameters are in no optimizer: "
        f"{listed(facts.not_optimized)}.",
        "They get gradients and never change."
        + (" The optimizer was made for another model, or before this one was replaced." if every else ""),
        "make the optimizer after the model is complete: torch.optim.AdamW(model.parameters())",
        where="optimizer",
    )


def _foreign(facts: Preflight) -> Finding | None:
    if not facts.foreign:
        return None
    return contracts.other_parameters(
        f"{facts.foreign} parameters of the optimizer do not belong to the model.", "warning", 1.0
    )


# ---- outputs, loss and targets -------------------------------------------------------------------------


def _probabilities(facts: Preflight) -> Finding | None:
    if facts.loss not in ("cross_entropy", "binary_logits") or facts.activation not in ("softmax", "sigmoid"):
        return None
    return contracts.activation_before_loss(facts.activation, facts.loss)


def _no_log_softmax(facts: Preflight) -> Finding | None:
    if facts.loss != "nll" or facts.activation in ("log_softmax", "log", "log_sigmoid"):
        return None
    got = "probabilities" if facts.activation == "softmax" else "logits"
    return contracts.nll_without_log_softmax(got)


def _broadcast(facts: Preflight) -> Finding | None:
    if facts.outputs is None or len(facts.targets) != 1 or facts.loss in ("cross_entropy", "nll"):
        return None
    outputs, targets = facts.outputs, facts.targets[0].shape
    joint = contracts.mixed_shape(outputs, targets)
    if joint is None or all(shape != joint for _, shape in facts.after):
        return None
    return contracts.loss_broadcasts(outputs, targets, joint)


def _beyond(facts: Preflight) -> Finding | None:
    if facts.loss not in ("binary", "binary_logits") or not facts.targets:
        return None
    low, high = facts.targets[0].low, facts.targets[0].high
    if low is None or high is None or (low >= 0 and high <= 1):
        return None
    return contracts.targets_not_probabilities(low, high)


# ---- dtypes, devices, scale ----------------------------------------------------------------------------


def _mixed(facts: Preflight) -> Finding | None:
    for id, what, found in (
        ("mixed-devices", "devices", facts.devices),
        ("mixed-dtypes", "dtypes", facts.dtypes),
    ):
        if len(found) > 1:
            shown = ", ".join(f"{count} in {name}" for name, count in found.items())
            return Finding(
                id,
                "error" if what == "devices" and facts.crash else "note",
                f"The parameters are of several {what}: {shown}.",
                "Tensors that meet must be of one device and dtype; parts that are converted on the way are "
                "fine.",
                "model.to(device, dtype) on the whole model, before the optimizer is made",
                where="model",
            )
    return None


def _unscaled(facts: Preflight) -> Finding | None:
    for tensor in facts.inputs:
        if not tensor.floating or tensor.mean is None or tensor.std is None:
            continue
        size = math.hypot(tensor.mean, tensor.std)
        if 1e-3 < size < 10 or size == 0:
            continue
        return contracts.inputs_unscaled(
            f"The values of {tensor.name} go from {figure(tensor.low or 0.0)} to "
            f"{figure(tensor.high or 0.0)} "
            f"(mean {figure(tensor.mean)}, standard deviation {figure(tensor.std)}).",
            "note",
            0.6,
        )
    return None


def _evaluation(facts: Preflight) -> Finding | None:
    if facts.training:
        return None
    return Finding(
        "evaluation-mode",
        "note",
        "The model is in evaluation mode.",
        "Dropout is off and batch norm does not learn its statistics.",
        "model.train() before the first step",
        where="model",
    )


RULES: tuple[Callable[[Preflight], Finding | None], ...] = (
    _fails,
    _non_finite,
    _all_frozen,
    _graph_broken,
    _no_loss,
    _unused,
    _zero_gradients,
    _frozen,
    _lost_layers,
    _not_optimized,
    _foreign,
    _probabilities,
    _no_log_softmax,
    _broadcast,
    _beyond,
    _mixed,
    _unscaled,
    _evaluation,
)

IDS = (
    *("computation-fails", "labels-out-of-range", "non-finite-inputs", "non-finite-targets", "all-frozen"),
    *("graph-broken", "no-usual-loss", "unused-parameters", "zero-gradients", "frozen-parameters"),
    *("layers-in-plain-list", "not-in-optimizer", "optimizer-of-other-parameters", "activation-before-loss"),
    *("nll-without-log-softmax", "loss-broadcasts", "targets-not-probabilities", "mixed-devices"),
    *("mixed-dtypes", "inputs-unscaled", "evaluation-mode"),
)
"""The ids of what they find."""
