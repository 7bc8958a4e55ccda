"""Losses and the backward pass."""

from __future__ import annotations

import math

from pellucid.lens.crash.failure import Failure, Rule, Words, numbers
from pellucid.lens.tensors import TensorRecord, records_in


def _targets(failure: Failure) -> Words | None:
    if failure.stage != "loss":
        return None
    outputs = next((found for found in records_in(failure.outputs) if found), None)
    targets = next((found for found in records_in(failure.targets) if found), None)
    if outputs is None or targets is None:
        return None
    return next(
        (found for rule in LOSS_RULES if (found := rule(failure, outputs, targets)) is not None), None
    )


def _classes(failure: Failure, outputs: TensorRecord, targets: TensorRecord) -> Words | None:
    found = numbers(r"Target (-?\d+) is out of bounds", failure)
    if found is None:
        return None
    count = outputs.shape[1 if len(outputs.shape) > 1 else 0]
    expected = f"class numbers from 0 to {count - 1}"
    if targets.min == 1 and targets.max == count:
        return expected, "The targets count from 1: subtract 1."
    if targets.min is not None and targets.min < 0:
        return (
            expected,
            f"There is a target {int(targets.min)}: ignore_index={int(targets.min)}, or remove it.",
        )
    most = int(targets.max if targets.max is not None else int(found[0]))
    return expected, f"The targets go up to {most}: a last layer of {most + 1} outputs, or other targets."


def _loss_shapes(failure: Failure, outputs: TensorRecord, targets: TensorRecord) -> Words | None:
    if numbers(r"Target size \(.*\) must be the same as input size", failure):
        fix = (
            "targets.view_as(outputs)"
            if _size(outputs) == _size(targets)
            else "a last layer of the right size"
        )
        return f"targets of shape {outputs.shape}", f"Bring both into one shape: {fix}."
    if "multi-target not supported" in failure.error:
        return f"targets of shape ({outputs.shape[0]},)", "Remove the axis: targets.squeeze(1)."
    if numbers(r"Expected input batch_size \(\d+\) to match target batch_size \(\d+\)", failure):
        return f"{outputs.shape[0]} targets", (
            "Outputs and targets have different numbers of rows: is a sequence flattened in one and not in "
            "the other, or "
            "was the axis of the batch reshaped away (x.view(-1, n))?"
        )
    if numbers(r"Expected target size", failure):
        return f"targets of shape {(outputs.shape[0], *outputs.shape[2:])}", (
            "cross_entropy expects the classes on axis 1: outputs.transpose(1, -1), or flatten(0, 1) of both."
        )
    return None


def _loss_dtypes(failure: Failure, outputs: TensorRecord, targets: TensorRecord) -> Words | None:
    if "expected target dtype to be Long" in failure.error:
        return "class numbers of dtype int64", "Convert them with targets.long(); for numbers use mse_loss."
    if "Expected floating point type for target with class probabilities" in failure.error:
        return f"class numbers of shape ({outputs.shape[0]},)", "Of one-hot targets: targets.argmax(1)."
    if "can't be cast to the desired output type" in failure.error:
        return "floating-point targets", "Convert them with targets.float()."
    if "should be between 0 and 1" in failure.error:
        return (
            "values between 0 and 1",
            "Use binary_cross_entropy_with_logits for logits; are the targets 0 and 1?",
        )
    return None


LOSS_RULES = (_classes, _loss_shapes, _loss_dtypes)


def _size(tensor: TensorRecord) -> int:
    return math.prod(tensor.shape)


def _backward(failure: Failure) -> Words | None:
    if "modified by an inplace operation" in failure.error:
        return "values as they were in the forward pass", (
            "A tensor was changed in place after it was used: write x = x + y for x += y, and avoid "
            "inplace=True and assignments such as x[:, 0] = 0 there."
        )
    if "leaf Variable that requires grad" in failure.error:
        return "no change of a parameter in place", "Wrap it in torch.no_grad(), or change a copy."
    if "backward through the graph a second time" in failure.error:
        return "one backward pass for each forward pass", (
            "A state is carried over from an earlier step: detach it, as in hidden = hidden.detach()."
        )
    if "can be implicitly created only for scalar outputs" in failure.error:
        return "a loss of one number", "Reduce it: loss.mean()."
    if "does not require grad" in failure.error:
        return "a loss that depends on a parameter", (
            "Look for detach(), .item(), .data, argmax or torch.no_grad() between the parameters and the "
            "loss."
        )
    if "Can't call numpy() on Tensor that requires grad" in failure.error:
        return "tensors only, in forward", "Stay with tensor operations: NumPy cuts the gradient."
    return None


RULES: tuple[Rule, ...] = (
    _backward,
    _targets,
)
"""In the order in which they are asked."""
