"""Rules on learning curves: does a run overfit, underfit, still improve, or is it healthy?

They are for runs whose training and validation loss measure the same thing. A rule is a pure function of the
curves, the baselines and the setting; what "more than noise" means is in `curves`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pellucid.diagnosis import curves as read
from pellucid.diagnosis.baselines import against_guessing, against_simple, guess, ranks_well
from pellucid.diagnosis.curves import BAND, ENOUGH, MATERIAL, Curves, level, noise
from pellucid.diagnosis.facts import Facts, Setting
from pellucid.diagnosis.rule import Check, Rule, first_of
from pellucid.diagnosis.wording import figure, percent
from pellucid.record import Finding


def _on_curves(check: Callable[[Curves, Facts], Finding | None]) -> Check:
    """Return a check of facts that passes the curves, which its rule needs."""

    def on_facts(facts: Facts) -> Finding | None:
        return None if facts.curves is None else check(facts.curves, facts)

    return on_facts


# ---- the checks --------------------------------------------------------------------------------------


def _underfitting(points: Curves, facts: Facts) -> Finding | None:
    """Barely or not better than guessing, or worse than something simpler on training rows as well."""
    setting, baselines = facts.setting, facts.baselines
    least = 0.0 if setting.spec.little_to_learn else MATERIAL
    if ranks_well(facts.scores, baselines, least):
        return None
    found = against_guessing(points, baselines, least) or against_simple(points, baselines, setting.rows)
    if found is None:
        return None
    seen, means = found
    if read.still_falling(points.val):
        remedy, patch = f"train longer: {_gained(points)}", _twice_as_long(points, setting)
    elif setting.augmented:
        remedy, patch = "weaker augmentation, then another learning rate (`pellucid lr-find`)", {}
    else:
        remedy = "another learning rate (`pellucid lr-find`), then a larger model"
        patch = dict(setting.larger)
    return Finding("underfitting", "warning", seen, means, remedy, patch, step=_end(points), confidence=0.9)


def _overfitting(points: Curves, facts: Facts) -> Finding | None:
    """Validation loss has passed its minimum by more than noise while training loss went on falling."""
    if not _turned_up_alone(points) or _accuracy_held(points):
        return None
    return Finding(
        "overfitting",
        "warning",
        f"{_turn(points)}: it overfits from there.",
        "The model is memorizing its training rows, which does not help on new ones."
        + _kept(points, facts.setting),
        "early stopping, augmentation, dropout, weight decay or more data",
        {
            "train.early_stopping": {"monitor": "val/loss", "patience": ENOUGH},
            "optimizer.weight_decay": 0.05,
        },
        step=int(points.step[points.best]),
        confidence=_sure(points),
    )


def _overconfident(points: Curves, facts: Facts) -> Finding | None:
    """Loss turned up but accuracy did not fall: only the confidence is harmed."""
    if points.val_accuracy is None or not _turned_up_alone(points) or not _accuracy_held(points):
        return None
    setting = facts.setting
    classes = setting.spec.accuracy_of == "rows" or not setting.spec.name
    return Finding(
        "overconfident",
        "note",
        f"{_turn(points)}; validation accuracy held at {percent(level(points.val_accuracy))}: "
        "the model becomes overconfident, but not less accurate.",
        "It is increasingly confident in its wrong answers." + _kept(points, setting),
        "label smoothing, augmentation or weight decay, if you use its confidence",
        {"objective.label_smoothing": 0.1} if classes else {},
        step=int(points.step[points.best]),
        confidence=_sure(points),
    )


def _diverging(points: Curves, facts: Facts) -> Finding | None:
    """Both losses turned up, by half as much again: the steps are too large."""
    if points.train is None or not read.turned_up(points.val) or read.fell(points.train, points.best):
        return None
    train, low, best = points.train, int(np.argmin(points.train)), points.best
    if level(train) < 1.5 * train[low] or level(points.val) < 1.5 * points.val[best]:
        return None
    return Finding(
        "diverging",
        "warning",
        f"Training loss rose from {figure(train[low])} ({points.at(low)}) to {figure(level(train))} and "
        f"validation loss from {figure(points.val[best])} to {figure(level(points.val))}: it diverges.",
        "The steps are too large to settle in a minimum.",
        "a smaller learning rate",
        facts.setting.lower_lr,
        step=int(points.step[low]),
        confidence=0.8,
    )


def _still_improving(points: Curves, facts: Facts) -> Finding | None:
    if not read.still_falling(points.val):
        return None
    start = -read.last_epochs(len(points.val)) - 1
    means, annealed = "Training stopped before the loss levelled off.", facts.setting.annealed
    if annealed:
        means = "The learning rate had already decayed by then; a longer schedule may help."
    return Finding(
        "still-improving",
        "note",
        f"Validation loss was still falling when training stopped: from {figure(points.val[start])} at "
        f"{points.at(start)} to {figure(points.val[-1])} at {points.at(-1)}.",
        means,
        f"train longer: {_gained(points)}" if facts.setting.minutes is not None else "train longer",
        _twice_as_long(points, facts.setting),
        step=_end(points),
        confidence=0.6 if annealed else 0.9,
    )


def _memorizing(points: Curves, facts: Facts) -> Finding | None:
    """Validation has levelled off above training by a tenth of the loss of guessing, or more."""
    prior = guess(facts.baselines)[1].get("val/loss")
    if points.train is None or prior is None or prior <= 0:
        return None
    val, train = level(points.val), level(points.train)
    gap = val - train
    if gap < 0.1 * prior or gap < BAND * noise(points.val):
        return None
    return Finding(
        "memorizing",
        "note",
        f"Validation loss levelled off at {figure(val)} (lowest {figure(points.val[points.best])} at "
        f"{points.at(points.best)}) while training loss reached {figure(train)}: "
        "the model fits its training rows better than new ones.",
        f"The gap of {figure(gap)} is {percent(gap / prior)} of the loss of guessing ({figure(prior)})."
        + _from_the_start(points, points.train, gap),
        "more data, augmentation, dropout or weight decay",
        {"optimizer.weight_decay": 0.05},
        step=_end(points),
        confidence=0.8,
    )


def _healthy(points: Curves, facts: Facts) -> Finding:
    val, best = level(points.val), points.best
    seen = f"Validation loss levelled off at {figure(val)}"
    seen += f", lowest at {points.at(best)} ({figure(points.val[best])})"
    means = "These curves call for neither more epochs nor more regularization."
    if points.train is not None:
        train = level(points.train)
        seen += f", with training loss at {figure(train)}"
        means += _why_train_is_above(facts.setting) if train > val else ""
    seen += ": neither over- nor underfitting."
    return Finding("healthy", "note", seen, means, step=int(points.step[best]))


def _no_validation(facts: Facts) -> Finding | None:
    if facts.losses is not None:
        return None
    return Finding(
        "no-validation",
        "note",
        "No validation loss was recorded.",
        "Without it, neither overfitting nor underfitting can be detected.",
        "hold out a share of the training rows",
        {"data.validation": 0.1},
    )


RULES = (
    Rule("no-validation", ("series",), _no_validation),
    Rule(
        "underfitting",
        ("curves",),
        _on_curves(_underfitting),
        unless=("non-finite-loss", "too-short"),
        at_end=True,
    ),
    *first_of(
        Rule("overfitting", ("curves",), _on_curves(_overfitting)),
        Rule("overconfident", ("curves",), _on_curves(_overconfident)),
        Rule("diverging", ("curves",), _on_curves(_diverging)),
        Rule("still-improving", ("curves",), _on_curves(_still_improving)),
        Rule("memorizing", ("curves",), _on_curves(_memorizing)),
        Rule("healthy", ("curves",), _on_curves(_healthy), last_resort=True),
        after=("non-finite-loss", "underfitting", "too-short"),
    ),
)


# ---- what they ask -----------------------------------------------------------------------------------


def _turned_up_alone(points: Curves) -> bool:
    """Whether validation loss turned up while training loss went on falling, as far as that is known."""
    return read.turned_up(points.val) and (points.train is None or read.fell(points.train, points.best))


def _accuracy_held(points: Curves) -> bool:
    return points.val_accuracy is not None and read.held(points.val_accuracy, points.best)


def _twice_as_long(points: Curves, setting: Setting) -> dict[str, float]:
    return setting.train_for(max(2, round(2 * float(points.epoch[-1]))), 2.0)


def _gained(points: Curves) -> str:
    """Say what the second half of the training gained: about as much as twice the time will."""
    half = int(np.searchsorted(points.step, points.step[-1] / 2))
    gain = points.val[half] - points.val[-1]
    if half >= len(points.val) - 1 or not gain > 0:
        return "it was still improving"
    return f"it was still improving, its second half by {figure(gain)}, and twice as long may gain as much"


def _end(points: Curves) -> int:
    return int(points.step[-1])


def _sure(points: Curves) -> float:
    """Without training loss, a rise is not yet proof of overfitting."""
    return 0.7 if points.train is None else 0.95


# ---- words -------------------------------------------------------------------------------------------


def _turn(points: Curves) -> str:
    """Where validation loss turned, and what training loss did after; ends are levels, not single epochs."""
    best, end = points.best, figure(level(points.val))
    lowest = f"lowest at {points.at(best)} ({figure(points.val[best])})"
    words = f"Validation loss was {lowest} and rose to {end} by {points.at(-1)}"
    if points.train is None:
        return words
    before, after = figure(points.train[best]), figure(level(points.train))
    return f"{words} while training loss fell from {before} to {after}"


def _kept(points: Curves, setting: Setting) -> str:
    return f" The weights of {points.at(points.best)} were kept." if setting.best_kept else ""


def _why_train_is_above(setting: Setting) -> str:
    causes = [word for on, word in ((setting.augmented, "augmentation"), (setting.dropout, "dropout")) if on]
    acting = f"{' and '.join(causes)} {'act' if len(causes) > 1 else 'acts'} only in training"
    why = acting if causes else "it is averaged over the whole epoch"
    return f" Training loss above validation loss is normal here: {why}."


def _from_the_start(points: Curves, train: np.ndarray, gap: float) -> str:
    """A gap that was there before any rows could be memorized has another cause as well."""
    first = float(points.val[0] - train[0])
    if first < gap / 2:
        return ""
    return f" It was already {figure(first)} at {points.at(0)}: the validation rows may be harder."
