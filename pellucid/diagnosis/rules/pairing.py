"""Contracts between the outputs of a model, its loss and the targets."""

from __future__ import annotations

from pellucid.diagnosis import contracts
from pellucid.diagnosis.asking import watched_rules
from pellucid.diagnosis.health import accuracies
from pellucid.diagnosis.watched import Look, ModuleLook, Watched
from pellucid.diagnosis.wording import figure, percent
from pellucid.record import Finding

CUTS = {"relu": "ReLU", "clamp_min": "clamp", "threshold": "threshold", "relu6": "ReLU6", "hardtanh": "clamp"}
"""Operations that end a range, by the operation of autograd."""
RANGES = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "softmax": (0.0, 1.0)}
OUTSIDE = 0.05
"""The share by which targets must be outside of the range of the outputs."""


def _last_module(look: Look | None) -> ModuleLook | None:
    """The module that made the outputs: the last one that was called and has no children."""
    return next((one for one in reversed(look.modules) if one.inputs is not None), None) if look else None


def where_outputs_are_made(watched: Watched) -> str:
    """Return the name of the module that made the outputs, or "model" where that is a plain layer."""
    last = _last_module(watched.first)
    return last.name if last and last.kind not in {"Linear", "Conv2d"} else "model"


def _broadcast(watched: Watched) -> Finding | None:
    """Outputs (N, 1) against targets (N,) become (N, N)."""
    look, graph = watched.first, watched.graph
    if look is None or look.outputs is None or look.targets is None:
        return None
    out, want = look.outputs.shape, look.targets.shape
    shape = contracts.mixed_shape(out, want)
    if graph is None or shape is None or graph.loss in ("cross_entropy", "nll"):
        return None
    if not graph.expanded and graph.compared != shape:
        return None
    return contracts.loss_broadcasts(out, want, shape)


_COMPARED = ("squared", "absolute", "binary_logits", "binary")


def _log_missing(watched: Watched) -> Finding | None:
    """NLLLoss of something else than log-probabilities."""
    graph = watched.graph
    if graph is None or "log_softmax" in graph.ops or graph.compiled:
        return None
    if graph.loss != "nll" and not graph.has("ctc_loss", "_ctc_loss"):
        return None
    if graph.has("log", "log_sigmoid"):
        return None
    has = "probabilities" if graph.has("softmax") else "logits"
    return contracts.nll_without_log_softmax(has, ctc=graph.loss != "nll")


def _rectified_head(watched: Watched) -> Finding | None:
    """A rectifier between the last layer and a loss that needs values below 0."""
    graph, look = watched.graph, watched.first
    if graph is None or look is None:
        return None
    cut = next((op for op in graph.head[:2] if op in CUTS), "")
    if not cut:
        return None
    classes = graph.loss in ("cross_entropy", "binary_logits", "nll")
    below = look.targets is not None and look.targets.low < 0
    if not classes and not below:
        return None
    need = "Logits must be able to be negative" if classes else f"Targets go down to {figure(_low(look))}"
    return Finding(
        "rectified-output",
        "warning",
        f"The outputs go through a {CUTS[cut]}, so none is below 0. {need}.",
        "What should be negative becomes 0, where no gradient flows.",
        "a last layer without an activation",
        where=where_outputs_are_made(watched),
        confidence=0.93,
    )


def _low(look: Look) -> float:
    return look.targets.low if look.targets else 0.0


def _bounded_head(watched: Watched) -> Finding | None:
    """A sigmoid or tanh whose range does not reach the targets."""
    graph, look = watched.graph, watched.first
    if graph is None or look is None or look.targets is None or graph.loss not in ("squared", "absolute", ""):
        return None
    name = next((op for op in graph.head[:3] if op in RANGES), "")
    if not name or look.outputs is None or not _squashed(look, RANGES[name]):
        return None
    low, high = RANGES[name]
    width, targets = high - low, look.targets
    if targets.low >= low - OUTSIDE * width and targets.high <= high + OUTSIDE * width:
        return None
    if not targets.floating and graph.loss == "":
        return None
    return Finding(
        "output-range",
        "warning",
        f"The outputs go through a {name} and stay between {low:g} and {high:g}; the targets go from "
        f"{figure(targets.low)} to {figure(targets.high)}.",
        "Targets outside of that range cannot be reached.",
        f"a last layer without the {name}, or targets scaled to its range",
        where=where_outputs_are_made(watched),
        confidence=0.93,
    )


def _squashed(look: Look, bounds: tuple[float, float]) -> bool:
    """Whether the outputs of the model themselves are within the bounds."""
    made = look.outputs
    return made is not None and made.low >= bounds[0] - 1e-6 and made.high <= bounds[1] + 1e-6


def _negative(watched: Watched) -> Finding | None:
    """A loss below 0 where it cannot be: the sign, or targets that are no probabilities."""
    graph, values = watched.graph, watched.finite
    known = graph is not None and graph.loss in (*_COMPARED, "cross_entropy")
    if not known or not values or graph is None:
        return None
    below = sum(value < -1e-6 for value in values)
    if below < 0.5 * len(values) or values[0] >= 0:
        return None  # one that falls below 0 later holds another term, such as a learned weight
    return Finding(
        "loss-sign",
        "error",
        f"The loss is {figure(values[-1])}, and a loss of this kind cannot be below 0.",
        "Its sign is flipped: training makes the predictions worse.",
        "leave the minus sign out",
        where="loss",
        confidence=0.97,
    )


def _beyond(look: Look) -> bool:
    return look.targets is not None and (look.targets.low < -1e-6 or look.targets.high > 1 + 1e-6)


def _targets_beyond(watched: Watched) -> Finding | None:
    graph, look = watched.graph, watched.first
    if graph is None or look is None or look.targets is None or not _beyond(look):
        return None
    if graph.loss not in ("binary_logits", "binary") or len(watched.optimizers) > 1:
        return None
    targets = look.targets
    if not targets.floating and not any(value < -1e-6 for value in watched.finite):
        return None
    return contracts.targets_not_probabilities(targets.low, targets.high)


def _classes_as_numbers(watched: Watched) -> Finding | None:
    """A squared error on class numbers, for which 9 is farther from 0 than 1 is."""
    graph, look, batches = watched.graph, watched.first, watched.batches
    if graph is None or look is None or look.targets is None or graph.loss not in ("squared", "absolute"):
        return None
    targets, count = look.targets, len(batches.classes)
    if targets.floating and accuracies(watched):
        count = batches.levels  # whole numbers, and an accuracy is measured
    elif targets.floating:
        return None
    if count < 3 or targets.low < 0 or count > 1000 or _one_hot(look):
        return None
    single = look.outputs is not None and (len(look.outputs.shape) == 1 or look.outputs.shape[-1] == 1)
    if not single:
        return None
    return Finding(
        "classes-as-numbers",
        "warning",
        f"The loss compares one output with {count} whole numbers from {targets.low:g} to {targets.high:g}.",
        "If they are classes, their order and distance mean nothing, and the loss counts them.",
        "one output for each class, with cross_entropy",
        where="loss",
        confidence=0.8,
    )


def _one_hot(look: Look) -> bool:
    return look.targets is not None and look.targets.high <= 1


def _dropout_head(watched: Watched) -> Finding | None:
    last = _last_module(watched.first)
    graph = watched.graph
    if last is None or "Dropout" not in last.kind or graph is None or not graph.loss or graph.compiled:
        return None
    fact = next((one for one in watched.modules if one.name == last.name), None)
    if fact is None or not fact.options.get("p", 0):
        return None
    return Finding(
        "dropout-on-outputs",
        "warning",
        f"{last.name} (p = {fact.options['p']:g}) drops outputs of the model itself.",
        f"{percent(fact.options['p'])} of all predictions are replaced by 0 in training.",
        "dropout before the last layer, not after it",
        where=last.name,
        confidence=0.9,
    )


def _scrambled(watched: Watched) -> Finding | None:
    scrambled = watched.graph.scrambled if watched.graph else None
    if scrambled is None:
        return None
    given, made = scrambled
    return Finding(
        "axes-scrambled",
        "error",
        f"Outputs of shape {given} are viewed as {made} before the loss.",
        "A view reads values in their order in memory, so classes and places are mixed; axes are moved by a "
        "transpose.",
        "outputs.transpose(1, 2) (or permute) instead of view or reshape",
        where="loss",
        confidence=0.95,
    )


def _over_rows(watched: Watched) -> Finding | None:
    if watched.graph is None or not watched.graph.over_rows:
        return None
    return Finding(
        "softmax-over-rows",
        "error",
        "A softmax of (rows, classes) runs along axis 0.",
        "It makes the rows of a batch sum to 1, not the classes of a row: each prediction depends on the "
        "others.",
        "dim=1, or dim=-1",
        where="loss",
        confidence=0.93,
    )


def _several(look: Look) -> bool:
    """Whether the targets are columns of 0 and 1, of which several are 1 in many rows."""
    want, made = look.targets, look.outputs
    columns = want is not None and made is not None and want.floating and len(want.shape) == 2
    if not columns or want is None or made is None or want.shape != made.shape or want.columns is None:
        return False
    whole = want.low == 0 and want.high == 1 and abs(want.std**2 - want.mean * (1 - want.mean)) < 0.02
    return whole and want.mean * want.shape[1] > 1.2


def _softmax_for_labels(watched: Watched) -> Finding | None:
    """Softmax over labels of which several can be right."""
    graph, look = watched.graph, watched.first
    if graph is None or look is None or look.targets is None or look.targets.row_sums:
        return None
    binary = graph.loss == "binary" and graph.head[:1] == ("softmax",)
    if not binary and not (graph.loss == "cross_entropy" and _several(look)):
        return None
    return Finding(
        "softmax-for-labels",
        "warning",
        "A softmax makes the probabilities of each row sum to 1, and the rows of the targets do not.",
        "Where several labels can be right, each needs a probability of its own.",
        "no activation, with binary_cross_entropy_with_logits (a sigmoid for each label)",
        where=where_outputs_are_made(watched),
        confidence=0.93,
    )


def _unbounded(watched: Watched) -> Finding | None:
    """A loss that falls below 0 without a limit, or one of probabilities that are never logged."""
    graph, values = watched.graph, watched.finite
    if graph is None or len(values) < 20 or len(watched.optimizers) > 1 or graph.compiled:
        return None
    linear = graph.loss == "" and graph.head[:1] == ("softmax",)
    falling = values[-1] < -5 * max(abs(values[0]), 0.2) and values[-1] < values[len(values) // 2] * 1.2
    if not (linear and values[-1] < min(0.0, values[0])) and not falling:
        return None
    return Finding(
        "loss-without-limit",
        "error",
        f"The loss went from {figure(values[0])} to {figure(values[-1])}"
        + (", and probabilities enter it without a logarithm." if linear else " and goes on falling."),
        "A loss that has no lower limit is made small by large outputs, not by right ones: the logarithm is "
        "missing, the arguments are swapped (input first, target second), or the sign is wrong.",
        "log_softmax before kl_div and nll_loss; loss(outputs, targets) in this order",
        where="loss",
        confidence=0.85,
    )


def _no_slope(watched: Watched) -> Finding | None:
    """An operation whose derivative is 0 everywhere stands between weights and loss."""
    graph = watched.graph
    flat = sorted(graph.nonlinear & FLAT) if graph else []
    if not flat:
        return None
    return Finding(
        "no-gradient-operation",
        "error",
        f"The outputs pass through {', '.join(flat)}, whose derivative is 0.",
        "No gradient reaches the layers before it.",
        "leave it out of training, or pass the gradient on: x + (x.round() - x).detach()",
        where="model",
        confidence=0.95,
    )


FLAT = {"round", "floor", "ceil", "trunc", "fix", "sign", "heaviside", "fmod"}
"""Operations that autograd passes no gradient through."""


def _double_shift(watched: Watched) -> Finding | None:
    """A language model of transformers shifts the labels itself."""
    root = next((one for one in watched.modules if one.kind.endswith(("ForCausalLM", "LMHeadModel"))), None)
    if root is None or watched.batches.aligned != "next":
        return None
    return Finding(
        "labels-shifted-twice",
        "error",
        f"The labels are the inputs shifted by one, and {root.kind} shifts them again.",
        "It learns to predict the token after the next one.",
        "labels=input_ids",
        where="data:targets",
        confidence=0.85,
    )


def _class_weights(watched: Watched) -> Finding | None:
    """Weights that are larger for the commoner classes."""
    counts, given = watched.batches.classes, watched.class_weights
    if len(given) != len(counts) or len(counts) < 2 or set(counts) != set(range(len(given))):
        return None
    common = max(counts, key=counts.__getitem__)
    rare = min(counts, key=counts.__getitem__)
    if counts[common] < 2 * counts[rare] or given[common] < 1.5 * given[rare]:
        return None
    return Finding(
        "class-weights-inverted",
        "warning",
        f"The loss weighs class {common}, which is {counts[common] / counts[rare]:.0f} times as common, "
        f"{given[common] / max(given[rare], 1e-12):.1f} times as much as class {rare}.",
        "Weights are meant to make up for rare classes; these make them count even less.",
        "weights in proportion to 1 / count",
        where="loss",
        confidence=0.93,
    )


def _padding_in_loss(watched: Watched) -> Finding | None:
    graph, batches = watched.graph, watched.batches
    if graph is None or graph.ignored is None or batches.padding is None or batches.padded < 0.2:
        return None
    if graph.ignored == batches.padding:
        return None
    return Finding(
        "padding-in-loss",
        "warning",
        f"{percent(batches.padded)} of the targets are the padding token {batches.padding}, and the loss "
        "counts them.",
        "Predicting padding is easy and hides how the other tokens are predicted.",
        f"cross_entropy(..., ignore_index={batches.padding})",
        where="loss",
        confidence=0.88,
    )


def _batch_norm_head(watched: Watched) -> Finding | None:
    last, graph = _last_module(watched.first), watched.graph
    if last is None or graph is None or graph.loss not in ("squared", "absolute"):
        return None
    if not last.kind.startswith(("BatchNorm", "LayerNorm")) or watched.first is None:
        return None
    targets = watched.first.targets
    if targets is None or (targets.std < 3 and abs(targets.mean) < 3):
        return None
    return Finding(
        "normalized-outputs",
        "warning",
        f"The outputs come out of {last.name} ({last.kind}) with mean 0 and standard deviation 1; the "
        f"targets have {figure(targets.mean)} and {figure(targets.std)}.",
        "The scale of the targets has to be learned by its scale and shift only.",
        "a last layer without normalization",
        where=last.name,
        confidence=0.7,
    )


RULES = watched_rules(
    ("loss-broadcasts", _broadcast, ()),
    ("nll-without-log-softmax", _log_missing, ()),
    ("rectified-output", _rectified_head, ()),
    ("output-range", _bounded_head, ()),
    ("targets-not-probabilities", _targets_beyond, ()),
    ("loss-sign", _negative, ("nll-without-log-softmax", "targets-not-probabilities")),
    ("classes-as-numbers", _classes_as_numbers, ("loss-broadcasts",)),
    ("dropout-on-outputs", _dropout_head, ()),
    ("axes-scrambled", _scrambled, ()),
    ("softmax-over-rows", _over_rows, ("rows-mixed",)),
    ("softmax-for-labels", _softmax_for_labels, ("activation-before-loss",)),
    (
        "loss-without-limit",
        _unbounded,
        ("loss-sign", "nll-without-log-softmax", "targets-not-probabilities"),
    ),
    ("no-gradient-operation", _no_slope, ()),
    ("labels-shifted-twice", _double_shift, ()),
    ("class-weights-inverted", _class_weights, ()),
    ("padding-in-loss", _padding_in_loss, ()),
    ("normalized-outputs", _batch_norm_head, ()),
)
