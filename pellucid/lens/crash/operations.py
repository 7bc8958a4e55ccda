"""Operations in the user's own forward: products, sums, concatenation, reshaping, indices."""

from __future__ import annotations

import math

from pellucid.lens.crash.failure import Failure, Rule, Words, numbers


def _product(failure: Failure) -> Words | None:
    found = numbers(r"mat1 and mat2 shapes cannot be multiplied \((\d+)x(\d+) and (\d+)x(\d+)\)", failure)
    if found:
        return f"matrices (n, {found[2]}) and ({found[2]}, {found[3]})", (
            f"The inner sizes {found[1]} and {found[2]} must be equal: transpose one with .mT, or change a "
            "width."
        )
    found = numbers(
        r"Expected size for first two dimensions of batch2 tensor to be: \[(\d+), (\d+)\]", failure
    )
    if found:
        return f"a second factor ({found[0]}, {found[1]}, n)", (
            "The inner sizes of a batched product must be equal: transpose one with .mT (keys in attention)."
        )
    found = numbers(r"subscript (\w) has size (\d+) .*? previously seen size (\d+)", failure)
    if found:
        return (
            f"one size for {found[0]} in einsum",
            f"It is {found[2]} in one operand and {found[1]} in another.",
        )
    return None


def _joined(failure: Failure) -> Words | None:
    found = numbers(
        r"must match except in dimension (\d+). Expected size (\d+) but got size (\d+) for tensor number "
        r"(\d+)",
        failure,
    )
    if found:
        return f"equal sizes on all axes but {found[0]}", (
            f"torch.cat joins along axis {found[0]}, and tensor number {found[3]} has {found[2]} instead of "
            f"{found[1]} on another: join along that axis, or crop, pad or interpolate it."
        )
    if "same number of dimensions" in failure.error:
        return "tensors with equally many axes", "Flatten one, or add an axis to the other, before torch.cat."
    if "stack expects each tensor to be equal size" in failure.error:
        return "tensors of one shape", "torch.stack needs equal shapes: pad them, or use torch.cat."
    return None


def _elementwise(failure: Failure) -> Words | None:
    found = numbers(
        r"size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\) at .*?dimension (\d+)", failure
    )
    if found and failure.stage == "loss":
        return "outputs and targets of one shape", (
            f"They have {found[0]} and {found[1]} on axis {found[2]}: change the last layer, or the targets."
        )
    if found:
        return f"equal sizes on axis {found[2]}, or 1", (
            f"The two tensors have {found[0]} and {found[1]}: a residual connection needs a projection "
            "(linear "
            "layer or 1 x 1 convolution), and elsewhere an axis may be missing (unsqueeze) or swapped."
        )
    if numbers(r"expanded size of the tensor", failure):
        return "sizes of 1 on the axes to expand", "Use repeat, or unsqueeze the axis first."
    return None


def _reshaped(failure: Failure) -> Words | None:
    if "view size is not compatible" in failure.error:
        return (
            "a contiguous tensor",
            "Use .reshape(...) in place of .view(...), as after permute or transpose.",
        )
    found = numbers(r"shape '\[([-\d, ]+)\]' is invalid for input of size (\d+)", failure)
    if found:
        wanted = [int(number) for number in found[0].split(",")]
        known = math.prod(number for number in wanted if number > 0)
        return f"a multiple of {known} values" if -1 in wanted else f"{known} values", (
            f"There are {found[1]}: keep the rows with x.flatten(1), or compute the sizes from x.shape."
        )
    found = numbers(r"sizes \[([\d, ]+)\] don't multiply up to the size of dim (\d+) \((\d+)\)", failure)
    if found:
        return (
            f"sizes with the product {found[2]}",
            f"Axis {found[1]} has {found[2]} values: change the sizes.",
        )
    return None


def _index(failure: Failure) -> Words | None:
    found = numbers(r"index (-?\d+) is out of bounds for dimension (\d+) with size (\d+)", failure)
    if found:
        return f"an index from 0 to {int(found[2]) - 1} on axis {found[1]}", f"The index is {found[0]}."
    found = numbers(
        r"Dimension out of range \(expected to be in range of \[(-?\d+), (\d+)\], but got (-?\d+)\)", failure
    )
    if found:
        return f"an axis from {found[0]} to {found[1]}", (
            f"There is no axis {found[2]}: the tensor has {int(found[1]) + 1} axes, fewer than the code "
            "expects. Is the axis of the batch missing?"
        )
    if numbers(r"shape of the mask", failure):
        return "a mask in the shape of the tensor", "The mask has another shape: make it from this tensor."
    return None


RULES: tuple[Rule, ...] = (
    _product,
    _joined,
    _elementwise,
    _reshaped,
    _index,
)
"""In the order in which they are asked."""
