"""Causes read from the batches: their order and scale, and what outputs depend on."""

from __future__ import annotations

from pellucid.diagnosis import contracts
from pellucid.diagnosis.asking import by_health, symptom, watched_rules, when_ill
from pellucid.diagnosis.health import Health, accuracies, health
from pellucid.diagnosis.watched import Watched
from pellucid.diagnosis.wording import figure, percent
from pellucid.record import Finding

SORTED = 8.0
"""How many times the variance of batch means may exceed that of shuffled batches."""


def _unshuffled(watched: Watched) -> Finding | None:
    batches = watched.batches
    targets = watched.first.targets if watched.first else None
    if batches.scatter is None or len(batches.classes) < 2 or batches.seen < 5:
        return None
    if targets is None or len(targets.shape) > 2:
        return None  # a class for each place: neighbors are similar
    if batches.scatter < max(SORTED, batches.rows / 4):
        return None
    return Finding(
        "unshuffled-batches",
        "warning",
        f"Batches hold similar classes: the means of batches vary {batches.scatter:.0f} times as much as "
        "those of shuffled batches.",
        "Each step learns one class and forgets the others.",
        "shuffle=True in the DataLoader, or shuffle the rows once before training",
        where="data:targets",
        confidence=0.93,
    )


def _same_batch(watched: Watched, state: Health) -> Finding | None:
    batches = watched.batches
    if batches.seen < 20 or batches.distinct > 1 or batches.rows & (batches.rows - 1):
        return None  # a number of rows that is no power of 2 is more likely the whole data set
    measured = accuracies(watched)
    if not (state.learned or 0) > 0.9 or not measured or max(measured) > 0.93:
        return None
    return Finding(
        "same-batch",
        "warning",
        f"All {batches.seen} batches that were looked at are the same {batches.rows} rows.",
        "The model learns these rows only.",
        "iterate over the loader: for x, y in loader, not next(iter(loader))",
        where="data:inputs",
        confidence=0.8,
    )


def _imbalance(watched: Watched) -> Finding | None:
    batches = watched.batches
    total = sum(batches.classes.values())
    if len(batches.classes) < 2 or batches.majority < 0.9 or total < 200:
        return None
    measured = accuracies(watched)
    guesses = _names_one_class(watched) or (bool(measured) and measured[-1] <= batches.majority + 0.01)
    return Finding(
        "imbalanced-classes",
        "warning" if (batches.majority >= 0.97 or guesses) and not _weighed(watched) else "note",
        f"{percent(batches.majority)} of the targets are one class.",
        "A model that always names that class is right almost always: accuracy says nothing about the rest.",
        "class weights in the loss or a weighted sampler; balanced accuracy or F1 as the measure",
        where="data:targets",
        confidence=0.7,
    )


def _names_one_class(watched: Watched) -> bool:
    """Whether the last batch that was looked at was given one class in every row."""
    last, graph = watched.last, watched.graph
    if last is None or last.outputs is None or graph is None or graph.loss != "binary_logits":
        return False
    return last.step > 30 and (last.outputs.high < 0 or last.outputs.low > 0)


def _weighed(watched: Watched) -> bool:
    return bool(watched.class_weights) or (watched.graph is not None and watched.graph.weighted)


def _inputs_scale(watched: Watched, state: Health) -> Finding | None:
    """Inputs that are far from mean 0 and deviation 1 where the first layer meets them."""
    look = watched.first
    if look is None:
        return None
    layer = next((one for one in look.modules if one.kind in FIRST and one.inputs), None)
    inputs = layer.inputs if layer else look.inputs
    if inputs is None or not inputs.floating or not (state.far or state.poor):
        return None
    columns = inputs.columns
    uneven = columns is not None and columns[1] > 10 and columns[1] > 1000 * max(columns[0], 1e-6)
    tiny = 0 < inputs.rms < (0.02 if state.ill else 1e-3)
    if inputs.rms < 10 and not uneven and not tiny:
        return None
    seen = (
        f"The inputs go from {figure(inputs.low)} to {figure(inputs.high)}, root mean square "
        f"{figure(inputs.rms)}"
    )
    if uneven and columns is not None:
        seen += f", and columns have deviations from {figure(columns[0])} to {figure(columns[1])}"
    return contracts.inputs_unscaled(f"{symptom(state)}. {seen}.", "warning", 0.92)


FIRST = {"Linear", "Conv1d", "Conv2d", "Conv3d", "LSTM", "GRU", "RNN"}


def _targets_scale(watched: Watched, state: Health) -> Finding | None:
    look, graph = watched.first, watched.graph
    if look is None or look.targets is None or look.outputs is None or not look.targets.floating:
        return None
    if graph is not None and graph.loss not in ("squared", "absolute", ""):
        return None
    targets, outputs = look.targets, look.outputs
    far = abs(targets.mean) > 10 * max(targets.std, 1e-12) and abs(targets.mean) > 10
    if targets.std < 20 and not far:
        return None
    if outputs.rms > 0.1 * targets.rms:
        return None
    return Finding(
        "targets-unscaled",
        "warning",
        f"{symptom(state)}. The targets have mean {figure(targets.mean)} and standard deviation "
        f"{figure(targets.std)}; the first outputs are about {figure(outputs.rms)}.",
        "The outputs have to grow a long way before anything else is learned, and the gradients of the "
        "squared error are huge.",
        "train on (y - mean) / std and undo it when predicting",
        where="data:targets",
        confidence=0.88,
    )


def _norm_of_one(watched: Watched) -> Finding | None:
    norm = watched.module("BatchNorm1d", "BatchNorm2d", "BatchNorm3d")
    if norm is None or not watched.batches.seen or watched.batches.rows > 2:
        return None
    return Finding(
        "batch-norm-of-few-rows",
        "warning",
        f"Batches have {watched.batches.rows} row{'s' if watched.batches.rows > 1 else ''}, and {norm.name} "
        f"is a {norm.kind}.",
        "Its statistics are those of a row or two: training is noisy, and evaluation uses others.",
        "larger batches, or GroupNorm / LayerNorm",
        where=norm.name,
        confidence=0.9,
    )


def _constant_inputs(watched: Watched) -> Finding | None:
    looks = [look.inputs for look in watched.looks if look.inputs is not None]
    if not looks or any(one.std > 0 and one.between > 1e-6 for one in looks) or looks[0].rows < 2:
        return None
    return Finding(
        "constant-inputs",
        "error",
        f"All rows of the inputs are the same (mean {figure(looks[0].mean)}, standard deviation "
        f"{figure(looks[0].std)}).",
        "Nothing can be learned from inputs that do not differ: a division of integers, a wrong cast or an "
        "empty column may have removed what they hold.",
        "look at the inputs where they are made; divide after .float()",
        where="data:inputs",
        confidence=0.97,
    )


def _measured_otherwise(watched: Watched) -> Finding | None:
    """New rows come in on another scale than training rows."""
    look, other = watched.first, watched.measured
    train = look.inputs if look else None
    if train is None or other is None or not train.floating or not other.floating or train.std <= 0:
        return None
    shift = abs(other.mean - train.mean) / max(train.std, 1e-12)
    ratio = max(other.std, 1e-12) / train.std
    if train.shape[1:] != other.shape[1:] or (shift < 3 and 0.2 < ratio < 5):
        return None
    return Finding(
        "measured-on-other-scale",
        "error",
        f"Training inputs have mean {figure(train.mean)} and standard deviation {figure(train.std)}, the "
        f"ones measured without gradients {figure(other.mean)} and {figure(other.std)}.",
        "The model is measured on inputs that were scaled otherwise than those it learned from.",
        "the same scaling (with the statistics of the training rows) for all splits",
        where="data:inputs",
        confidence=0.93,
    )


def _telling(watched: Watched) -> Finding | None:
    telling = watched.batches.telling
    if telling is None or abs(telling[1]) < 0.995:
        return None
    return Finding(
        "target-in-inputs",
        "warning",
        f"Column {telling[0]} of the inputs goes with the targets almost perfectly (correlation "
        f"{telling[1]:.3f}).",
        "Probably it was computed from the target, and will not be there for new rows.",
        "leave that column out",
        where="data:inputs",
        confidence=0.85,
    )


def _slow_norm(watched: Watched) -> Finding | None:
    norm = next((one for one in watched.modules if 0 < one.options.get("momentum", 1) < 0.005), None)
    if norm is None or not norm.kind.startswith("BatchNorm"):
        return None
    return Finding(
        "batch-norm-too-slow",
        "warning",
        f"{norm.name} has momentum {norm.options['momentum']:g}: its running statistics need "
        f"{1 / norm.options['momentum']:,.0f} steps to follow.",
        "In evaluation mode it then scales with statistics that are still those of the start.",
        "momentum=0.1, PyTorch's default (it is 1 minus the momentum of other libraries)",
        where=norm.name,
        confidence=0.9,
    )


def _unread(watched: Watched) -> Finding | None:
    """Most positions of a sequence change nothing."""
    unread = watched.probes.unread
    if unread is None or unread[0] < max(2, 0.5 * unread[1]) or unread[0] == unread[1]:
        return None
    return Finding(
        "positions-unread",
        "warning",
        f"The outputs do not depend on {unread[0]} of {unread[1]} positions of the inputs.",
        "What is taken of a sequence (one state, one slice) holds nothing of the others: the first state "
        "of a recurrent network has read only the first step.",
        "the last state, outputs[:, -1], or a mean over all positions",
        where="model",
        confidence=0.9,
    )


# ---- what outputs depend on --------------------------------------------------------------------------


def _rows_mixed(watched: Watched) -> Finding | None:
    change = watched.probes.rows_mixed
    if not change or change < 1e-3 or watched.batches.aligned == "time":
        return None
    recurrent = watched.module("LSTM", "GRU", "RNN", "MultiheadAttention", "TransformerEncoderLayer")
    axis = (
        "batch_first=True, or inputs of shape (T, B, C)"
        if recurrent and not _first(recurrent.options)
        else ""
    )
    return Finding(
        "rows-mixed",
        "error",
        "In evaluation mode the output of one row changes with the inputs of another, by "
        f"{percent(min(change, 9.99))} of the change of the other.",
        "Rows of a batch must not know each other: an axis is confused with another one"
        + (f"; {recurrent.name} ({recurrent.kind}) has batch_first=False." if axis and recurrent else "."),
        axis or "check view, reshape and transpose, and the axis of softmax, norm and attention",
        where=recurrent.name if axis and recurrent else "model",
        confidence=0.95,
    )


def _first(options: object) -> bool:
    return isinstance(options, dict) and bool(options.get("batch_first"))


def _future(watched: Watched) -> Finding | None:
    change = watched.probes.future_seen
    if not change or change < 1e-3 or watched.batches.aligned != "next":
        return None
    attention = watched.module("MultiheadAttention", "TransformerEncoderLayer", "TransformerEncoder")
    name = attention.name if attention else "model"
    both = next((one for one in watched.modules if one.options.get("bidirectional")), None)
    return Finding(
        "future-visible",
        "error",
        "The targets are the next tokens, and earlier outputs change when the last token changes.",
        "The model reads the token that it should predict: the loss becomes tiny and generation is useless."
        + (f" {both.name} is bidirectional." if both else ""),
        "a causal mask (is_causal=True, or attn_mask of the upper triangle)"
        if not both
        else "bidirectional=False",
        where=both.name if both else name,
        confidence=0.95,
    )


def _targets_are_inputs(watched: Watched) -> Finding | None:
    state = health(watched)
    if watched.batches.aligned != "same" or state.learned is None or state.learned < 0.7:
        return None
    return Finding(
        "targets-are-inputs",
        "warning",
        "The targets are the inputs, token for token.",
        "The model learns to copy; if it should predict the next token, the targets are not shifted.",
        "targets = tokens[:, 1:], inputs = tokens[:, :-1]",
        where="data:targets",
        confidence=0.7,
    )


def _order_blind(watched: Watched, state: Health) -> Finding | None:
    attends = watched.module("MultiheadAttention", "TransformerEncoderLayer", "TransformerEncoder")
    if not watched.probes.order_blind or attends is None:
        return None
    return Finding(
        "no-positions",
        "warning",
        f"{symptom(state)}. Outputs for reversed inputs are the same ones, reversed: the model does not know "
        "the order of its inputs.",
        "Attention has no order of its own.",
        "add a positional embedding to the token embedding",
        where=attends.name or "model",
        confidence=0.85,
    )


def _unscaled_attention(watched: Watched, state: Health) -> Finding | None:
    graph = watched.graph
    if graph is None or not graph.unscaled_attention:
        return None
    return Finding(
        "attention-unscaled",
        "warning" if state.ill else "note",
        f"{graph.unscaled_attention} softmax operations follow a product of queries and keys that is not "
        "scaled.",
        "Sums over many dimensions are large, so the softmax picks one position and passes little gradient.",
        "divide the scores by the root of the size of a head",
        where="model",
        confidence=0.75,
    )


def _padding(watched: Watched) -> Finding | None:
    change = watched.probes.padding_read
    if change is None or change < 0.01:
        return None
    return Finding(
        "padding-read",
        "warning",
        f"The outputs of padded rows change by {percent(min(change, 9.99))} of their spread when the padding "
        f"(token {watched.batches.padding}) is cut off.",
        "Padding is read as if it were content, so the same text is predicted differently in another batch.",
        "a mask (key_padding_mask), pack_padded_sequence, or the state at the last real token",
        where="model",
        confidence=0.8,
    )


def _inputs_ignored(watched: Watched) -> Finding | None:
    if not watched.probes.inputs_ignored or not health(watched).ill:
        return None
    return Finding(
        "inputs-ignored",
        "note",
        "At the first step the outputs are the same whatever the inputs are.",
        "Nothing of the inputs reaches the outputs: weights of 0, dead rectifiers, or a part of forward that "
        "is not used.",
        "check forward, and the initial weights",
        where="model",
        confidence=0.6,
    )


RULES = watched_rules(
    ("unshuffled-batches", _unshuffled, ()),
    ("same-batch", by_health(_same_batch), ("constant-inputs",)),
    ("imbalanced-classes", _imbalance, ()),
    ("inputs-unscaled", by_health(_inputs_scale), ("non-finite-inputs",)),
    ("targets-unscaled", when_ill(_targets_scale), ()),
    ("batch-norm-of-few-rows", _norm_of_one, ()),
    ("batch-norm-too-slow", _slow_norm, ()),
    ("constant-inputs", _constant_inputs, ()),
    ("measured-on-other-scale", _measured_otherwise, ()),
    ("target-in-inputs", _telling, ()),
    ("positions-unread", _unread, ("padding-read", "mask-inverted")),
    ("rows-mixed", _rows_mixed, ()),
    ("future-visible", _future, ()),
    ("targets-are-inputs", _targets_are_inputs, ("future-visible", "target-visible")),
    ("no-positions", when_ill(_order_blind), ()),
    ("attention-unscaled", by_health(_unscaled_attention), ()),
    ("padding-read", _padding, ("mask-inverted",)),
    ("inputs-ignored", _inputs_ignored, ("symmetric-units", "constant-initial-weights")),
)
