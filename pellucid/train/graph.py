"""What autograd recorded: the names of operations, and which of them made a tensor."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

RESHAPING = {
    *("view", "unsafe_view", "reshape", "reshape_alias", "squeeze", "unsqueeze", "transpose", "permute", "t"),
    *("select", "slice", "alias", "clone", "to_copy"),
}
"""Operations that leave values as they are."""


def operation(node: Any) -> str:
    """Return the name of a node's operation: "log_softmax" of LogSoftmaxBackward0."""
    name = re.sub(r"Backward\d*$", "", node.name().split("::")[-1])
    if name.startswith("MkldnnRnn"):
        return "mkldnn_rnn_layer"
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    return words.replace("2_d", "2d").replace("1_d", "1d")


def last_operation(tensor: Tensor | None) -> str:
    """Return the operation that made a tensor, apart from those that only reshape; "" if there is none."""
    node = None if tensor is None else tensor.grad_fn
    while node is not None and operation(node) in RESHAPING:
        node = next((before for before, _ in node.next_functions if before is not None), None)
    return "" if node is None else operation(node)
