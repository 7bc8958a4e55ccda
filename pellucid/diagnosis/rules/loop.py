"""Contracts of a training loop: what it does in which order. They need no symptom."""

from __future__ import annotations

import math

from pellucid.diagnosis import contracts
from pellucid.diagnosis.asking import module_of, watched_rules
from pellucid.diagnosis.watched import Watched
from pellucid.diagnosis.wording import figure, percent
from pellucid.record import Finding

MOSTLY = 0.8
"""The share of steps in which something must happen to be a habit of the loop."""
MODAL = ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "BatchNorm1d", "BatchNorm2d")
"""Modules that compute differently in training and evaluation mode."""


def _modal(watched: Watched) -> str:
    """The modules that depend on the mode, in words; "" if there is none."""
    found = dict.fromkeys(one.kind for one in watched.modules if one.kind in MODAL and _acts(one.options))
    return " and ".join(found)


def _acts(options: object) -> bool:
    return not isinstance(options, dict) or options.get("p", 1.0) > 0


# ---- does anything change? ---------------------------------------------------------------------------


def _unused(watched: Watched) -> Finding | None:
    if watched.steps or not watched.loop.ended or not watched.loop.forwards:
        return None
    return Finding(
        "watch-unused",
        "warning",
        f"The model was called {watched.loop.forwards:,} times and `w.step` never.",
        "Without it, no loss is known and nothing can be said about the training.",
        "call w.step(loss, inputs=x, targets=y) after optimizer.step()",
        where="loop",
    )


def _watched_twice(watched: Watched) -> Finding | None:
    if watched.watches < 2:
        return None
    return Finding(
        "watched-twice",
        "note",
        f"{watched.watches} watches are open on this model.",
        "Each measures the same steps, so the cost is paid several times.",
        "one watch for a model; list several optimizers in it",
        where="loop",
    )


def _on_meta(watched: Watched) -> Finding | None:
    if "meta" not in watched.devices:
        return None
    return Finding(
        "meta-device",
        "error",
        "Parameters are on the meta device: they have shapes and no values.",
        "Nothing can be learned before the weights are allocated.",
        "model.to_empty(device=...) and an initialization, or load a checkpoint",
        where="model",
    )


def _graph_broken(watched: Watched) -> Finding | None:
    """The loss does not depend on any parameter."""
    graph, loop = watched.graph, watched.loop
    cut = graph is not None and not graph.reached and not graph.compiled
    none = loop.attended > 0 and loop.without_graph >= loop.attended * MOSTLY
    if not watched.steps or loop.backwards or not (cut or none) or _any_update(watched):
        return None
    return contracts.graph_broken(
        f" in {loop.without_graph} of {loop.attended} steps" if loop.without_graph else ""
    )


def _no_backward(watched: Watched) -> Finding | None:
    if watched.loop.backwards or watched.steps < 3 or _any_gradient(watched):
        return None
    return Finding(
        "no-backward",
        "error",
        f"No gradient reached a parameter in {watched.steps:,} steps.",
        "Without loss.backward() before optimizer.step() there is nothing to learn from.",
        "loss.backward() between the loss and optimizer.step()",
        where="loop",
        confidence=0.95,
    )


def _any_update(watched: Watched) -> bool:
    """Whether a parameter changed in a look or between the first and the last."""
    first, last = (watched.looks[0], watched.looks[-1]) if watched.looks else (None, None)
    values = [[(one.name, one.rms) for one in look.parameters] for look in (first, last) if look]
    moved = bool(values) and all(math.isfinite(rms) for _, rms in values[1]) and values[0] != values[1]
    return moved or any(one.update_rms for look in watched.looks for one in look.parameters)


def _any_gradient(watched: Watched) -> bool:
    return any(one.backward_rms for look in watched.looks for one in look.parameters)


def _no_step(watched: Watched) -> Finding | None:
    """Gradients come, and no parameter changes."""
    if watched.steps < 3 or not _any_gradient(watched) or watched.loop.steps or len(watched.looks) < 2:
        return None
    if _any_update(watched):
        return None
    return Finding(
        "no-step",
        "error",
        f"Gradients were computed in {watched.steps:,} steps, and no parameter has changed.",
        "The optimizer never steps.",
        "optimizer.step() after loss.backward()",
        where="loop",
        confidence=0.95,
    )


def _shared_optimizers(watched: Watched) -> Finding | None:
    """Two optimizers have the same parameters."""
    both = [one for one in watched.optimizers if one.shared]
    if len(both) < 2:
        return None
    return Finding(
        "optimizers-overlap",
        "error",
        f"{len(both)} optimizers share {both[0].shared} parameters.",
        "Each step of one changes what the other one trains: with a generator and a discriminator, each also "
        "takes the steps of its opponent.",
        "give each optimizer the parameters of its own network only",
        where="optimizer",
        confidence=0.95,
    )


def _missing_detach(watched: Watched) -> Finding | None:
    """Every backward pass of a loop with several reaches the parameters of all optimizers."""
    loop = watched.loop
    if len(watched.optimizers) < 2 or watched.steps < 3 or loop.backwards < 1.8 * loop.attended:
        return None
    if loop.joint < 0.95 * loop.backwards or any(one.shared for one in watched.optimizers):
        return None
    return Finding(
        "missing-detach",
        "warning",
        f"All {loop.backwards:,} backward passes reached the parameters of all {len(watched.optimizers)} "
        "optimizers.",
        "The loss of the discriminator also sends gradients into the generator, which is to be trained "
        "against it: they cost time, and where they are not removed they pull in the wrong direction.",
        "discriminator(fake.detach()) in the step of the discriminator",
        where="loop",
        confidence=0.85,
    )


# ---- in which order? ---------------------------------------------------------------------------------


def _stale_gradients(watched: Watched) -> Finding | None:
    loop = watched.loop
    if loop.checked < 3 or loop.stale < MOSTLY * loop.checked:
        return None
    return Finding(
        "missing-zero-grad",
        "error",
        f"In {loop.stale} of {loop.checked} steps that were checked, the gradients of earlier steps were "
        "still there when backward added new ones.",
        "Gradients add up over all steps, so the updates go by the sum of old gradients.",
        "optimizer.zero_grad() once in every step, before loss.backward()",
        where="loop",
        confidence=0.97,
    )


def _emptied(watched: Watched) -> Finding | None:
    loop = watched.loop
    if loop.checked < 3 or loop.emptied < MOSTLY * loop.checked:
        return None
    return Finding(
        "zero-grad-before-step",
        "error",
        f"In {loop.emptied} of {loop.checked} steps that were checked, the gradients of backward were gone "
        "when the optimizer stepped.",
        "zero_grad stands between backward and step, so the optimizer has nothing to go by.",
        "the order zero_grad, forward, backward, step",
        where="loop",
        confidence=0.97,
    )


def _wasted(watched: Watched) -> Finding | None:
    loop = watched.loop
    if len(watched.optimizers) != 1 or loop.wasted < 5 or loop.checked < 3:
        return None
    if watched.optimizers[0].kind == "LBFGS":
        return None  # it computes gradients several times in a step
    return Finding(
        "gradients-removed",
        "error",
        f"The gradients of {loop.wasted} backward passes were removed before a step had used them.",
        "With several backward passes for a step, zero_grad in each of them leaves only the last one.",
        "optimizer.zero_grad() once after each optimizer.step()",
        where="loop",
        confidence=0.92,
    )


def _optimizer_replaced(watched: Watched) -> Finding | None:
    """Weights go on changing while the watched optimizers no longer step."""
    late = [look for look in watched.looks if look.step > watched.steps / 3][-3:]
    stepped = any(look.updates for look in watched.looks)
    if len(late) < 2 or not stepped or any(look.updates for look in late):
        return None
    if not all(any(one.update_rms for one in look.parameters) for look in late):
        return None
    return Finding(
        "optimizer-replaced",
        "warning",
        f"The watched optimizer no longer steps at step {late[-1].step:,}, and the weights still change.",
        "Another optimizer was made during training, e.g. in each epoch: its moments and its schedule "
        "start anew.",
        "make the optimizer once, before the loop",
        where="optimizer",
        confidence=0.85,
    )


def _graph_grows(watched: Watched) -> Finding | None:
    """The graph of the loss is longer at each step: it reaches back into the steps before."""
    nodes = watched.graph.nodes if watched.graph else ()
    if len(nodes) < 3 or not nodes[0] * 1.4 < nodes[1] or not nodes[1] * 1.2 < nodes[2]:
        return None
    return Finding(
        "graph-grows",
        "error",
        f"The loss of the first steps was computed by {', '.join(str(count) for count in nodes)} operations.",
        "It depends on the steps before: a sum of losses, or a hidden state that is carried on without "
        "detach. Each step then costs more time and memory, and old gradients are used again.",
        "backward on the loss of this batch only; total += loss.item(); state.detach()",
        where="loss",
        confidence=0.93,
    )


def _random(watched: Watched) -> Finding | None:
    """In evaluation mode, the same inputs give other outputs."""
    graph = watched.graph
    if not watched.probes.random or graph is None or "exp" in graph.nonlinear or len(watched.optimizers) > 1:
        return None
    return Finding(
        "random-in-evaluation",
        "warning",
        "In evaluation mode the model gives different outputs for the same inputs.",
        "Something random is always on, such as F.dropout(x), whose default is training=True.",
        "F.dropout(x, training=self.training), or nn.Dropout",
        where="model",
        confidence=0.85,
    )


def _step_first(watched: Watched) -> Finding | None:
    loop = watched.loop
    if loop.steps < 3 or not loop.backwards or loop.early < MOSTLY * loop.steps:
        return None
    return Finding(
        "step-before-backward",
        "error",
        f"In {loop.early} of {loop.steps} steps the optimizer stepped before backward had run on this batch.",
        "It uses gradients that were removed, or those of the batch before.",
        "the order zero_grad, forward, backward, step",
        where="loop",
        confidence=0.9,
    )


def _training_in_eval(watched: Watched) -> Finding | None:
    loop, modal = watched.loop, _modal(watched)
    if not modal or loop.forwards < 3 or loop.evaluating < 0.7:
        return None
    return Finding(
        "trains-in-eval-mode",
        "warning",
        f"{percent(loop.evaluating)} of the later training steps ran in evaluation mode, in "
        f"which {modal} {'do' if ' and ' in modal else 'does'} not act as in training.",
        "Often model.eval() is called for a validation and model.train() is missing after it.",
        "model.train() at the start of each epoch",
        where="loop",
        confidence=0.85,
    )


def _measured_in_training(watched: Watched) -> Finding | None:
    loop, modal = watched.loop, _modal(watched)
    if not modal or not loop.measured or loop.measured_training < MOSTLY * loop.measured:
        return None
    return Finding(
        "measured-in-train-mode",
        "warning",
        f"{loop.measured_training} of {loop.measured} forward passes without gradients ran in training mode, "
        f"with {modal} active.",
        "What is measured is not what the model predicts later: dropout is random, and batch norm uses, and "
        "learns from, the rows that are measured.",
        "model.eval() before measuring, model.train() after it",
        where="loop",
        confidence=0.9,
    )


def _changed_in_forward(watched: Watched) -> Finding | None:
    if not watched.changed_in_forward:
        return None
    return Finding(
        "weights-change-in-forward",
        "warning",
        f"{watched.changed_in_forward} is changed by the forward pass itself.",
        "Gradients are those of other weights than the ones that were used, and each measurement changes the "
        "model.",
        "change weights only in the optimizer; buffers (register_buffer) are for running statistics",
        where=module_of(watched.changed_in_forward),
        confidence=0.9,
    )


def _rate_vanished(watched: Watched) -> Finding | None:
    """The learning rate falls to nearly nothing long before the loop ends."""
    rates = [(step, rate) for step, rate in watched.rates]
    if len(rates) < 2 or watched.steps < 10:
        return None
    peak = max(rate for _, rate in rates)
    if peak <= 0:
        return None
    low = max(step for step, rate in rates if rate >= 1e-3 * peak) + 1
    end = rates[-1][1]
    if end >= 1e-3 * peak or low > 0.6 * watched.steps:
        return None
    return Finding(
        "learning-rate-vanished",
        "warning",
        f"The learning rate fell from {figure(peak)} to {figure(end)}; from step {low:,} of "
        f"{watched.steps:,} on it was below a thousandth of its peak.",
        "The rest of the training changes next to nothing: the schedule is shorter than the training, or "
        "steps once a batch where it is meant to step once an epoch.",
        "step the scheduler once an epoch, or give it the number of all steps",
        where="schedule",
        confidence=0.9,
    )


def _rate_zero(watched: Watched) -> Finding | None:
    if watched.steps < 5 or not watched.rates or any(rate > 0 for _, rate in watched.rates):
        return None
    return Finding(
        "learning-rate-zero",
        "error",
        "The learning rate is 0.",
        "Nothing changes.",
        "a learning rate above 0",
        where="optimizer",
    )


CUT = ("all-frozen", "meta-device", "graph-broken", "optimizer-of-other-parameters")

RULES = watched_rules(
    ("watch-unused", _unused, ()),
    ("watched-twice", _watched_twice, ()),
    ("meta-device", _on_meta, ()),
    ("graph-broken", _graph_broken, ("all-frozen", "meta-device")),
    ("no-backward", _no_backward, CUT),
    ("no-step", _no_step, CUT),
    ("optimizers-overlap", _shared_optimizers, ()),
    ("missing-detach", _missing_detach, ()),
    ("missing-zero-grad", _stale_gradients, ()),
    ("zero-grad-before-step", _emptied, ()),
    ("gradients-removed", _wasted, ("zero-grad-before-step",)),
    ("graph-grows", _graph_grows, ()),
    ("optimizer-replaced", _optimizer_replaced, ()),
    ("random-in-evaluation", _random, ()),
    ("step-before-backward", _step_first, CUT),
    ("trains-in-eval-mode", _training_in_eval, ()),
    ("measured-in-train-mode", _measured_in_training, ()),
    ("weights-change-in-forward", _changed_in_forward, ()),
    ("learning-rate-zero", _rate_zero, ()),
    ("learning-rate-vanished", _rate_vanished, ("learning-rate-zero",)),
)
