"""How far a watched loop got: what is left when no cause is found in weights, loop or batches."""

from __future__ import annotations

import math
import statistics

from pellucid.diagnosis.asking import by_health, median_ratio, symptom, watched_rules
from pellucid.diagnosis.health import Health, accuracies
from pellucid.diagnosis.watched import Watched
from pellucid.diagnosis.wording import figure, percent
from pellucid.record import Finding

GAP = 0.15
"""The gap between training and new rows, in accuracy, that is called overfitting."""


def _train_accuracy(watched: Watched) -> float | None:
    """The mean over the last looks in training mode."""
    late = [one.right for one in watched.glances if one.step > 0.8 * watched.steps]
    return statistics.fmean(late) if late else None


def _unrelated(watched: Watched, state: Health) -> Finding | None:
    """Everything moves as it should, and nothing is learned that holds for new rows."""
    memorized = _memorized(watched)
    rows = watched.steps * watched.batches.rows
    if watched.steps < 100 or rows < 2000 or not (state.state == "stuck" or state.chance or memorized):
        return None
    ratios = [ratio for look in watched.looks if (ratio := median_ratio(look)) is not None]
    if not ratios or not 1e-5 < statistics.median(ratios) < 0.1:
        return None
    return Finding(
        "labels-unrelated",
        "warning",
        f"{symptom(state)}; updates have a healthy size ({figure(statistics.median(ratios))} of the weights)."
        + (" Training rows are memorized." if memorized else ""),
        "The targets do not go with the inputs: rows were shuffled apart, joined in another order, or the "
        "inputs hold nothing about the targets.",
        "look at a few inputs together with their targets, shuffle both with one permutation; or it has not "
        "begun to learn: go on",
        where="data:targets",
        confidence=0.7,
    )


def _regularized(watched: Watched) -> bool:
    """Whether dropout by itself makes training rows harder than new ones."""
    return any("Dropout" in one.kind and one.options.get("p", 0) > 0.3 for one in watched.modules)


def _memorized(watched: Watched) -> bool:
    """Whether training rows are mostly right while new ones are hardly better than guessed."""
    right, measured = _train_accuracy(watched), accuracies(watched)
    if right is None or not measured or not watched.batches.majority:
        return False
    return right > 0.75 and max(measured[-3:]) < watched.batches.majority + 0.08 < right - 0.1


def _noise(watched: Watched, state: Health) -> Finding | None:
    """Confident predictions contradict the labels of many training rows."""
    late = [one for one in watched.glances if one.step > watched.steps / 2]
    if len(late) < 4 or state.ill:
        return None
    wrong = 1 - statistics.fmean(one.right for one in late)
    share = statistics.fmean(one.contradicted for one in late)
    measured = accuracies(watched)
    better = bool(measured) and measured[-1] > 1 - wrong + 0.08  # on new rows than on those it learns from
    if share < 0.1 or wrong < 0.15 or (share < 0.4 * wrong and not (better and not _regularized(watched))):
        return None
    return Finding(
        "label-noise",
        "warning",
        f"{percent(share)} of the training rows have a label to which the model gives less than 15 %, while "
        f"it gives another class more than half; on {percent(wrong)} it is wrong.",
        "Many labels are probably wrong: the other rows teach the model something else.",
        "look at these rows and correct or remove them; label smoothing, fewer epochs",
        where="data:targets",
        confidence=0.75,
    )


def _overfitting(watched: Watched, state: Health) -> Finding | None:
    """Training rows are learned almost perfectly, new ones are not."""
    measured, right = accuracies(watched), _train_accuracy(watched)
    if right is None or not measured or state.ill:
        return None
    gap = right - measured[-1]
    if right < 0.97 or gap < GAP:
        return None
    return Finding(
        "overfitting-gap",
        "warning",
        f"{percent(right)} of the training rows are right and {percent(measured[-1])} of the new ones.",
        "The model has memorized its training rows.",
        "more rows, augmentation, dropout, weight decay, a smaller model, or stop earlier",
        where="data:inputs",
        confidence=0.7,
    )


def _validation_turned(watched: Watched, state: Health) -> Finding | None:
    """A loss on new rows has risen well above its minimum while training went on."""
    for name in watched.validations:
        if name not in watched.lower or "loss" not in name.lower():
            continue
        values = [value for _, value in watched.validations[name] if math.isfinite(value)]
        if len(values) < 4 or state.state in ("diverging", "non-finite"):
            continue
        low = min(range(len(values)), key=values.__getitem__)
        if len(values) - 1 - low >= 3 and min(values[low + 1 :][-3:]) > 1.15 * values[low] > 0:
            return Finding(
                "overfitting-turn",
                "warning",
                f"{name} was lowest at {figure(values[low])} and is {figure(values[-1])} "
                f"{len(values) - 1 - low} measurements later, while the training loss went on to "
                f"{figure(state.end)}.",
                "From there the model memorizes its training rows.",
                "stop at the minimum, augmentation, dropout, weight decay, more rows",
                where="model",
                confidence=0.8,
            )
    return None


def _too_few_steps(watched: Watched, state: Health) -> Finding | None:
    """The loop ended while the loss was still falling fast."""
    values = watched.finite
    if not watched.loop.ended or len(values) < 4 or watched.steps >= 60 or state.state == "non-finite":
        return None
    if watched.optimizers and watched.optimizers[0].kind == "LBFGS":
        return None
    half = len(values) // 2
    before, after = statistics.fmean(values[:half]), statistics.fmean(values[half:])
    learned = 0.0 if state.prior is None else (state.prior - after) / state.prior if state.prior > 0 else 0.0
    if after > 0.99 * before or learned > 0.5:
        return None
    large = watched.batches.rows >= 500
    return Finding(
        "too-few-steps",
        "warning",
        f"The loop ended after {len(values)} steps, with the loss still falling ({figure(before)} in the "
        f"first half, {figure(after)} in the second).",
        f"Batches have {watched.batches.rows:,} rows, so an epoch has few steps."
        if large
        else "It stopped too early.",
        "smaller batches (32 to 256 rows), or more epochs" if large else "more epochs",
        where="loop",
        confidence=0.75,
    )


def _collapsed(watched: Watched, state: Health) -> Finding | None:
    """At the end, outputs are the same whatever the inputs are, and they were not at the start."""
    if not _flat(watched) or not watched.loop.ended or len(watched.optimizers) > 1:
        return None
    latent = watched.graph is not None and {"exp"} <= watched.graph.nonlinear and _reconstructs(watched)
    if latent:
        return Finding(
            "posterior-collapse",
            "warning",
            "At the end the reconstruction is the same for all inputs.",
            "The latent is not used: the KL term is so strong that the encoder tells the decoder nothing.",
            "a smaller weight of the KL term (beta), or one that grows from 0",
            where="loss",
            confidence=0.9,
        )
    return None


def _flat(watched: Watched) -> bool:
    look = watched.last
    if look is None or look.outputs is None or look.targets is None:
        return False
    made, wanted = look.outputs, look.targets
    return made.between * made.std < 0.15 * wanted.between * wanted.std


def _reconstructs(watched: Watched) -> bool:
    look = watched.first
    if look is None or look.inputs is None or look.outputs is None:
        return False
    size = math.prod(look.inputs.shape)
    return size == math.prod(look.outputs.shape) and size >= 16 * look.inputs.rows


def _bottleneck(watched: Watched, state: Health) -> Finding | None:
    """A layer of one or two units between wide ones, and a reconstruction that stays poor."""
    narrow = [
        one for one in watched.modules if one.kind == "Linear" and one.options.get("out_features", 9) <= 2
    ]
    if not narrow or not _reconstructs(watched) or (not state.poor and (state.learned or 0) > 0.75):
        return None
    one = narrow[0]
    return Finding(
        "bottleneck-too-narrow",
        "warning",
        f"{one.name} has {one.options['out_features']:g} "
        f"unit{'s' if one.options['out_features'] > 1 else ''}, and "
        f"{percent(state.learned or 0)} of the variance is reconstructed.",
        "All that the decoder knows of an input has to pass through it.",
        "a wider latent",
        where=one.name,
        confidence=0.8,
    )


def _opponent(watched: Watched, state: Health) -> Finding | None:
    """The generator's loss grows and stays high: the discriminator is certain."""
    graph, values = watched.graph, watched.finite
    if len(watched.optimizers) < 2 or graph is None or graph.loss not in ("binary", "binary_logits"):
        return None
    late = values[-max(5, len(values) // 4) :]
    if len(values) < 50 or statistics.fmean(late) < 4:
        return None
    return Finding(
        "discriminator-too-strong",
        "warning",
        f"The loss of the generator went from {figure(values[0])} to {figure(statistics.fmean(late))}: the "
        f"discriminator takes its pictures for real with {percent(math.exp(-statistics.fmean(late)))}.",
        "A discriminator that is certain gives the generator almost no gradient to learn from.",
        "a smaller learning rate for the discriminator, noise on its inputs, or more steps of the generator",
        where="optimizer",
        confidence=0.8,
    )


RULES = (
    *watched_rules(("labels-unrelated", by_health(_unrelated), ()), need="loop", last_resort=True),
    *watched_rules(
        (
            "label-noise",
            by_health(_noise),
            ("learning-rate-too-high", "class-weights-inverted", "axes-scrambled"),
        ),
        (
            "overfitting-turn",
            by_health(_validation_turned),
            ("batch-norm-too-slow", "measured-on-other-scale", "target-visible", "future-visible"),
        ),
        (
            "overfitting-gap",
            by_health(_overfitting),
            ("same-batch", "overfitting-turn", "measured-on-other-scale", "target-visible", "future-visible"),
        ),
        ("too-few-steps", by_health(_too_few_steps), ("learning-rate-too-low", "learning-rate-zero")),
        ("posterior-collapse", by_health(_collapsed), ()),
        ("bottleneck-too-narrow", by_health(_bottleneck), ()),
        (
            "discriminator-too-strong",
            by_health(_opponent),
            ("missing-detach", "optimizers-overlap", "unused-parameters"),
        ),
        need="loop",
    ),
)
