"""Read from autograd's graph how a loss is computed.

The nodes of the graph stay after the backward pass (their saved tensors do not), so it can be read at the end
of a step without keeping anything alive.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.autograd.function import BackwardCFunction

from pellucid.diagnosis.loss_graph import LOSSES, LossGraph
from pellucid.train.graph import operation

LIMIT = 20_000
"""The most nodes that are read."""
MOST = 200
"""The most operations between outputs and a loss."""

MOVES = {
    *("view", "unsafe_view", "reshape_alias", "squeeze", "unsqueeze", "t", "transpose", "permute", "select"),
    *("slice", "index", "clone", "expand", "as_strided", "to_copy", "contiguous", "alias", "stack", "cat"),
    *("unbind", "split", "split_with_sizes", "gather", "mean", "sum", "div", "mul", "add", "sub", "neg"),
    *("accumulate_grad", "copy_slices", "movedim", "flatten", "masked_select", "expand_as", "chunk"),
}
"""Operations that move or scale values."""

LAYERS = {"addmm", "mm", "linear", "convolution", "mkldnn_convolution", "addmv", "mv", "addbmm", "baddbmm"}
"""Products of values and weights; a product of two activations is "bmm"."""
RECURRENT = {"mkldnn_rnn_layer", "_cudnn_rnn", "_thnn_fused_lstm_cell", "_thnn_fused_gru_cell"}
NORMS = {"native_batch_norm", "native_layer_norm", "native_group_norm", "cudnn_batch_norm", "_fused_rms_norm"}
PASSED = {"native_dropout", *MOVES, *NORMS}
"""What a value can pass through between two layers without becoming nonlinear."""


def read(loss: Tensor, names: Mapping[int, str]) -> LossGraph | None:
    """Read the graph of a loss.

    Args:
        loss: a single number.
        names: of the parameters, by id.

    Returns:
        What it is computed of; None if it has no graph.
    """
    if loss.grad_fn is None:
        return None
    nodes = _nodes(loss.grad_fn)
    products = [node for node in nodes if operation(node) in LAYERS and _weighted(node)]
    kinds = {operation(node) for node in nodes}
    return LossGraph(
        ops=_ops(loss.grad_fn),
        expanded=_expanded(loss.grad_fn),
        compared=_compared(loss.grad_fn),
        reached=frozenset(names[id(leaf)] for leaf in _leaves(nodes) if id(leaf) in names),
        layers=len(products),
        bare=sum(_bare(node) for node in products),
        nonlinear=frozenset(_nonlinear(nodes)),
        unscaled_attention=sum(_unscaled(node) for node in nodes),
        nodes=(len(nodes),),
        scrambled=_scrambled(loss.grad_fn),
        ignored=_ignored(nodes),
        over_rows=any(_over_rows(node) for node in nodes),
        weighted=any(_weighs_classes(node) for node in nodes),
        compiled=bool(kinds & {"compiled_function", "checkpoint_function"}),
    )


def operations_after(outputs: Tensor, loss: Tensor) -> list[tuple[str, tuple[int, ...]]]:
    """Return (operation, shape of its result) of the operations between outputs and the loss, last first."""
    found: list[tuple[str, tuple[int, ...]]] = []
    seen, queue = {outputs.grad_fn, None}, deque([loss.grad_fn])
    while queue and len(found) < MOST:
        node = queue.popleft()
        if node not in seen:
            seen.add(node)
            found.append((operation(node), _shape(node)))
            queue += _before(node)
    return found


# ---- walking -----------------------------------------------------------------------------------------


def _before(node: Any) -> Iterable[Any]:
    return [below for below, _ in node.next_functions if below is not None]


def _nodes(root: Any) -> list[Any]:
    seen, queue = {root}, deque([root])
    while queue and len(seen) < LIMIT:
        for below in _before(queue.popleft()):
            if below not in seen:
                seen.add(below)
                queue.append(below)
    return list(seen)


def _leaves(nodes: Iterable[Any]) -> Iterable[Tensor]:
    return (node.variable for node in nodes if hasattr(node, "variable"))


def _weighted(node: Any) -> bool:
    """Whether a product is one of values and a parameter, not of two activations."""
    return any(_is_weight(below) for below in _before(node))


def _is_weight(node: Any) -> bool:
    """A parameter, as it is or transposed, cast or normalized."""
    for _ in range(4):
        if hasattr(node, "variable"):
            return True
        below = list(_before(node))
        if operation(node) not in {"t", "transpose", "to_copy", "permute", "view"} or len(below) != 1:
            return False
        node = below[0]
    return False


def _ops(root: Any) -> tuple[str, ...]:
    """The operations from the loss to the last layers, breadth first; of several branches all."""
    found: dict[str, None] = {}
    seen, queue = {root}, deque([root])
    while queue and len(seen) < 300:
        node = queue.popleft()
        name = operation(node)
        if name in LAYERS | RECURRENT | {"embedding", "compiled_function", "bmm"} or name in NORMS:
            found.setdefault(name)
            continue
        if name not in MOVES and not hasattr(node, "variable"):
            found.setdefault(name)
        for below in _before(node):
            if below not in seen:
                seen.add(below)
                queue.append(below)
    return tuple(found)


def _expanded(root: Any) -> bool:
    """Whether the outputs were broadcast where the loss compares them with the targets."""
    node: Any = root
    for _ in range(8):
        below = list(_before(node))
        if operation(node) in LOSSES:
            return any(operation(one) == "expand" for one in below)
        if len(below) != 1:
            return False
        node = below[0]
    return False


def _compared(root: Any) -> tuple[int, ...]:
    """The shape of the last tensor before the loss became a single number; () if it is not known."""
    node: Any = root
    for _ in range(8):
        shape = _shape(node)
        if math.prod(shape) > 1:
            return shape
        below = list(_before(node))
        if len(below) != 1:
            return ()
        node = below[0]
    return ()


def _shape(node: Any) -> tuple[int, ...]:
    """The shape of what a node computed; () if it is not known."""
    known = getattr(node, "_input_metadata", ())
    return tuple(known[0].shape) if known else ()


def _scrambled(root: Any) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Find a view between the last layer and a cross-entropy that moves the last axis by cutting rows.

    (B, T, K) viewed as (B, K, T), or (B, K, T) viewed as (B * T, K), reads values of one place as classes of
    another; a transpose would move the axis.
    """
    node: Any = root
    for _ in range(12):
        below = [one for one in _before(node) if not hasattr(one, "variable")]
        if len(below) != 1 or operation(node) in LAYERS:
            return None
        if operation(node) in {"view", "unsafe_view", "reshape_alias"}:
            made, given = _shape(node), _shape(below[0])
            swapped = len(given) == len(made) == 3 and made == (given[0], given[2], given[1]) != given
            cut = len(given) == 3 and made == (given[0] * given[2], given[1]) and given[1] != given[2]
            if swapped or cut:
                return given, made
        node = below[0]
    return None


def _nonlinear(nodes: Iterable[Any]) -> set[str]:
    """The nonlinear operations; "own" for functions of the user's, which have a derivative of their own."""
    names = {"own" if isinstance(node, BackwardCFunction) else operation(node) for node in nodes}
    return names - PASSED - LAYERS - set(LOSSES) - {"log_softmax", "embedding", "bmm"}


def _weighs_classes(node: Any) -> bool:
    """Whether a loss was given weights of classes; what it saved is freed after the backward pass."""
    name = "_saved_pos_weight" if operation(node) == "binary_cross_entropy_with_logits" else "_saved_weight"
    if operation(node) not in {"nll_loss", "nll_loss2d", "binary_cross_entropy_with_logits"}:
        return False
    try:
        return getattr(node, name, None) is not None
    except RuntimeError:  # there was one
        return True


def _over_rows(node: Any) -> bool:
    """Whether a softmax of (B, K) runs along the first axis."""
    softmax = operation(node) in {"log_softmax", "softmax"} and len(_shape(node)) == 2
    return softmax and node._saved_dim == 0 and _shape(node)[0] > 1


def _ignored(nodes: Iterable[Any]) -> int | None:
    """The class that a cross-entropy leaves out."""
    found = [node for node in nodes if operation(node) in {"nll_loss", "nll_loss2d"}]
    return int(found[0]._saved_ignore_index) if found else None


def _bare(product: Any) -> bool:
    """Whether the input of a layer is the output of another, with nothing nonlinear between.

    A sum or product of two different values (a residual connection, a gate, a sample of a latent) ends
    the search: what comes from there is more than the output of one layer.
    """
    for below in _before(product):
        node: Any = below
        for _ in range(30):
            if node is None or hasattr(node, "variable"):
                break
            name = operation(node)
            if name in LAYERS:
                return _weighted(node)
            if name not in PASSED or name in NORMS & {"native_layer_norm", "_fused_rms_norm"}:
                break
            inner = [one for one in _before(node) if not hasattr(one, "variable")]
            if len(inner) != 1:
                break
            node = inner[0]
    return False


def _unscaled(node: Any) -> bool:
    """Whether a softmax follows a product of two activations without a scale between (or only a mask)."""
    if operation(node) != "softmax":
        return False
    for _ in range(8):
        below = [one for one in _before(node) if not hasattr(one, "variable")]
        if len(below) != 1:
            return False
        node = below[0]
        name = operation(node)
        if name == "bmm":
            return all(_unscaled_factor(one) for one in _before(node))
        if name not in {"masked_fill", "view", "unsafe_view", "where", "add", "transpose", "reshape_alias"}:
            return False
    return False


def _unscaled_factor(node: Any) -> bool:
    """Whether a factor of the scores comes from its layer without being multiplied or divided."""
    for _ in range(12):
        name = operation(node)
        if name in LAYERS or hasattr(node, "variable"):
            return True
        below = [one for one in _before(node) if not hasattr(one, "variable")]
        if name in {"mul", "div"} or name in NORMS or len(below) != 1:
            return False
        node = below[0]
    return False
