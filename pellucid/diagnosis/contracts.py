"""What is said about faults that are found both before the first step and in a watched loop.

`preflight` sees one pass and `rules` a whole loop, so each decides by its own evidence whether there is a
fault.
"""

from __future__ import annotations

from collections.abc import Sequence

from pellucid.diagnosis.asking import module_of
from pellucid.diagnosis.wording import figure, listed
from pellucid.record import Finding
from pellucid.record.finding import Level

Shape = tuple[int, ...]


# ---- parameters ----------------------------------------------------------------------------------------


def all_frozen(count: int) -> Finding:
    """No parameter learns."""
    return Finding(
        "all-frozen",
        "error",
        f"None of the {count} parameters learns: requires_grad is False.",
        "There is nothing to train.",
        "requires_grad_(True) for the model, or for the layers that should learn",
        where="model",
    )


def graph_broken(when: str = "") -> Finding:
    """The loss does not depend on the model; `when` says in how many steps, if there were several."""
    return Finding(
        "graph-broken",
        "error",
        f"The loss does not depend on any parameter of the model{when}.",
        "Between the model and the loss the graph was cut, so backward gives no gradients: by .detach(), "
        ".item(), .data, .numpy(), torch.no_grad(), argmax, or by a new tensor.",
        "compute the loss from the outputs of the model themselves, with operations of torch",
        where="loss",
        confidence=0.97,
    )


def unused_parameters(seen: str, where: str, confidence: float) -> Finding:
    """Parameters learn, and the loss does not depend on them."""
    return Finding(
        "unused-parameters",
        "warning",
        seen,
        "These layers are never used in forward, or their output is cut off by .detach(), .data or "
        "torch.no_grad(), so they stay as they were initialized.",
        "use their output in forward, or leave them out; look for a detach between them and the loss",
        where=where,
        confidence=confidence,
    )


def other_parameters(seen: str, level: Level, confidence: float) -> Finding:
    """An optimizer has parameters that are not the model's."""
    return Finding(
        "optimizer-of-other-parameters",
        level,
        seen,
        "It was made for another model, or before the model was made again, copied or replaced; it updates "
        "tensors that this one does not use.",
        "make the optimizer after the model, from model.parameters()",
        where="optimizer",
        confidence=confidence,
    )


def layers_in_plain_list(names: Sequence[str], level: Level) -> Finding:
    """Modules stand in plain lists or dicts."""
    return Finding(
        "layers-in-plain-list",
        level,
        f"{listed(names)}: modules in a plain list or dict.",
        "The model does not know of them: they are not in model.parameters(), not trained, moved or saved.",
        "nn.ModuleList or nn.ModuleDict instead of a list or dict",
        where=module_of(names[0]),
        confidence=0.97,
    )


# ---- outputs, loss and targets -------------------------------------------------------------------------


def mixed_shape(one: Shape, other: Shape) -> Shape | None:
    """Return the shape that two shapes are broadcast to where it is neither of them; else None."""
    axes = max(len(one), len(other))
    left, right = (1,) * (axes - len(one)) + one, (1,) * (axes - len(other)) + other
    if any(a != b and 1 not in (a, b) for a, b in zip(left, right, strict=True)):
        return None
    joint = tuple(max(a, b) for a, b in zip(left, right, strict=True))
    return None if joint in (one, other) else joint


def loss_broadcasts(outputs: Shape, targets: Shape, joint: Shape) -> Finding:
    """Outputs (N, 1) against targets (N,) become (N, N)."""
    return Finding(
        "loss-broadcasts",
        "error",
        f"Outputs {outputs} and targets {targets} are broadcast to {joint} in the loss.",
        "Each prediction is compared with the targets of other rows, so the best that can be learned is "
        "their mean.",
        "outputs.squeeze(-1), or targets.unsqueeze(-1): both of one shape",
        where="loss",
        confidence=0.97,
    )


def activation_before_loss(activation: str, loss: str, where: str = "model") -> Finding:
    """A "softmax" or "sigmoid" before a loss of the kind "cross_entropy" or "binary_logits"."""
    return Finding(
        "activation-before-loss",
        "warning",
        f"The outputs go through a {activation} before the loss, which expects logits and applies "
        f"{'log-softmax' if loss == 'cross_entropy' else 'a sigmoid'} itself.",
        "Applied twice, no probability can come near 0 or 1: the loss cannot become small and gradients are "
        "weak.",
        f"leave the {activation} out of the model; apply it only when you need probabilities",
        where=where,
        confidence=0.97,
    )


def nll_without_log_softmax(received: str, *, ctc: bool = False) -> Finding:
    """NLLLoss, or CTCLoss, of "logits" or "probabilities"."""
    return Finding(
        "nll-without-log-softmax",
        "error",
        f"{'ctc_loss' if ctc else 'nll_loss'} gets {received}; it expects log-probabilities.",
        "It only raises the output of the right class, so the loss has no lower limit that means anything.",
        "F.log_softmax(outputs, 2) before it"
        if ctc
        else "F.log_softmax(outputs, 1) before it, or cross_entropy on the logits",
        where="loss",
        confidence=0.97,
    )


def targets_not_probabilities(low: float, high: float) -> Finding:
    """Binary cross-entropy with targets below 0 or above 1."""
    return Finding(
        "targets-not-probabilities",
        "error",
        f"Binary cross-entropy with targets from {figure(low)} to {figure(high)}.",
        "It expects targets from 0 to 1; beyond that it has no lower limit and the outputs grow for ever.",
        "targets of 0 and 1, or cross_entropy for more classes",
        where="data:targets",
        confidence=0.97,
    )


# ---- values --------------------------------------------------------------------------------------------


def non_finite(part: str, seen: str, step: int = 0) -> Finding:
    """Values of the "inputs" or "targets" are not finite."""
    return Finding(
        f"non-finite-{part}",
        "error",
        seen,
        "One of them makes the loss NaN, and with it all weights.",
        "fill in or remove missing values (torch.isfinite finds them); check divisions by a deviation of 0"
        if part == "inputs"
        else "leave out rows without a target (torch.isfinite finds them)",
        where=f"data:{part}",
        step=step,
    )


def inputs_unscaled(seen: str, level: Level, confidence: float) -> Finding:
    """Inputs are far from mean 0 and standard deviation 1."""
    return Finding(
        "inputs-unscaled",
        level,
        seen,
        "Layers are initialized for inputs of about 1. With others the first outputs and gradients are far "
        "too large or small, and one learning rate cannot fit all columns.",
        "subtract the mean and divide by the standard deviation of the training rows (pictures: / 255)",
        where="data:inputs",
        confidence=confidence,
    )
