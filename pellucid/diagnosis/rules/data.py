"""What is wrong with the data of a run: copies, splits that differ, inputs that give the target away."""

from __future__ import annotations

from pellucid.diagnosis.data_facts import ClassRecall, Copies
from pellucid.diagnosis.facts import Facts
from pellucid.diagnosis.rule import Rule
from pellucid.diagnosis.wording import figure, listed, percent
from pellucid.record import Finding

LEAK, NEAR_LEAK, REPEATED = 0.01, 0.05, 0.02
"""Shares of rows: held-out ones that are also in train, or nearly so, that are worth a warning; training rows
that repeat others that are worth a note."""
DIFFERENT, FAR = 0.6, 0.75
"""AUC of a classifier between two splits, less three standard errors, for a note and for a warning."""
MISSED, SEEN_ENOUGH = 0.1, 10
"""Recall below which a class is missed, and the rows of it that are needed to say so."""
OFF_SCALE = 30.0
"""Standard deviation of the inputs from which on they are not scaled."""


def _leak(facts: Facts) -> Finding | None:
    """Held-out rows that are also in train."""
    assert facts.data is not None
    leaks = [one for one in facts.data.copies if one.split != "train" and (one.exact or one.near)]
    if not leaks:
        return None
    worst = max(leaks, key=lambda one: one.share)
    train = next((one for one in facts.data.copies if one.split == "train"), None)
    usual = train is not None and not worst.near and train.share > worst.share / 2
    parts = [_counted(one, "also in train", "one of train") for one in leaks]
    measured = [
        f"accuracy on {one.split} is {percent(one.accuracy)}, and {percent(one.without)} without them"
        for one in leaks
        if one.accuracy is not None and one.without is not None
    ]
    pairs = ", ".join(f"{worst.split} {row} = train {other}" for row, other, _ in worst.pairs[:3])
    means = "Such rows were learned, so scores on them look too good."
    if usual:
        means = "Rows repeat as often within train, so that may be chance."
    return Finding(
        "leaked-rows",
        "warning" if _is_large(worst) and not usual else "note",
        f"{'; '.join(parts)} (for example {pairs}){'; ' + '; '.join(measured) if measured else ''}.",
        means,
        "remove these rows from the held-out split, or let Pellucid make the splits, which keeps equal rows "
        "together; data.split.group keeps rows of one source together",
        where="data:inputs",
        confidence=0.95 if worst.exact else 0.8,
    )


def _is_large(one: Copies) -> bool:
    return one.exact >= LEAK * one.rows or one.near >= NEAR_LEAK * max(one.searched, 1)


def _counted(one: Copies, where: str, near: str) -> str:
    """Return in words how many rows are copies."""
    found = []
    if one.exact:
        verb = "is" if one.exact == 1 else "are"
        rows = "1 row" if one.exact == 1 else f"{one.exact:,} rows"
        found.append(f"{rows} of {one.split} ({percent(one.exact / one.rows)}) {verb} {where}")
    if one.near:
        verb = "is" if one.near == 1 else "are"
        of = f"{one.near:,} of {one.searched:,} rows of {one.split} that were searched"
        found.append(f"{of} {verb} nearly the same as {near}")
    return ", and ".join(found)


def _repeated(facts: Facts) -> Finding | None:
    """Rows of train that repeat others."""
    assert facts.data is not None
    train = next((one for one in facts.data.copies if one.split == "train"), None)
    if train is None or train.share < REPEATED:
        return None
    pairs = ", ".join(f"{row} = {other}" for row, other, _ in train.pairs[:3])
    return Finding(
        "repeated-rows",
        "note",
        f"{_counted(train, 'equal to others', 'another')} (for example {pairs}).",
        "Repeated rows count several times: the model memorizes them first, and there are fewer "
        "different rows than it seems.",
        "keep one of each, unless their number means something",
        where="data:inputs",
        confidence=0.9,
    )


def _shifted(facts: Facts) -> Finding | None:
    """A held-out split that a simple classifier tells from train."""
    assert facts.data is not None
    apart = [(one.auc - 3 * one.error, one) for one in facts.data.shift]
    low, worst = max(apart, key=lambda pair: pair[0], default=(0.0, None))
    if worst is None or low < DIFFERENT:
        return None
    columns = [
        f"{name} ({'+' if value > 0 else ''}{figure(value)} standard deviations)"
        for name, value in worst.columns
    ]
    where = f" The means of train and {worst.split} differ most in {listed(columns)}." if columns else ""
    return Finding(
        "split-shift",
        "warning" if low >= FAR else "note",
        f"A linear classifier tells rows of {worst.split} from those of train with an AUC of {worst.auc:.2f} "
        f"(standard error {worst.error:.2f}; 0.5 where they do not differ).{where}",
        f"Rows of {worst.split} are of another kind than training rows: its scores say how the model does on "
        "these, and less about rows like those it learned from.",
        "check how the splits were made; rows of one source are split at random, and data.split.time keeps "
        "the order of time",
        where="data:inputs",
        confidence=0.9 if low >= FAR else 0.7,
    )


def _missed(facts: Facts) -> Finding | None:
    """Classes that are hardly ever found while accuracy looks good."""
    classes = facts.classes or ()
    total = sum(one.rows for one in classes)
    missed = [one for one in classes if _is_missed(one, total, len(classes))]
    if not missed or not total:
        return None
    accuracy = sum(one.rows * one.recall for one in classes) / total
    majority = max(one.rows for one in classes) / total
    if (
        accuracy < majority - 0.02
        or accuracy < 0.6
        or any(one in missed for one in classes if one.rows == majority * total)
    ):
        return None
    names = [f"{one.name!r} ({percent(one.recall)} of {one.rows:,} rows)" for one in missed]
    return Finding(
        "minority-missed",
        "warning",
        f"Accuracy is {percent(accuracy)}, but the model hardly ever finds {listed(names)}.",
        f"These classes are rare, and always saying {max(classes, key=lambda one: one.rows).name!r} is right "
        f"{percent(majority)} of the time, so accuracy does not show that they are missed.",
        "weigh classes by their frequency, more rows of them, or a threshold of their own; look at balanced "
        "accuracy",
        {} if facts.setting.own_loss or facts.scores is not None else {"objective.class_weights": True},
        where="data:targets",
        confidence=0.9,
    )


def _is_missed(one: ClassRecall, total: int, classes: int) -> bool:
    return one.rows >= SEEN_ENOUGH and one.rows < total / classes / 2 and one.recall < MISSED


def _revealed(facts: Facts) -> Finding | None:
    """A single input that predicts the target."""
    assert facts.data is not None
    if not facts.data.revealing:
        return None
    names = [f"{name!r} ({percent(share)})" for name, share in facts.data.revealing]
    one = len(names) == 1
    return Finding(
        "column-predicts-target",
        "warning",
        f"{listed(names)} {'predicts the target by itself' if one else 'each predict the target'}.",
        "A column that knows the target is often made from it, or known only later; then the model is of "
        "no use on new rows, however good its scores are.",
        "leave it out unless it is known before the target: data.inputs",
        where=facts.data.revealing[0][0],
        confidence=0.7,
    )


def _off_scale(facts: Facts) -> Finding | None:
    """Inputs that are not normalized, by the choice of the user."""
    assert facts.data is not None
    if facts.data.normalized or facts.data.spread is None or facts.data.spread < OFF_SCALE:
        return None
    return Finding(
        "inputs-off-scale",
        "warning",
        f"data.normalize is false, and the inputs have a standard deviation of {figure(facts.data.spread)} "
        f"(mean {figure(facts.data.mean or 0.0)}).",
        "Networks begin with weights for inputs of about 1: larger ones make the first outputs and gradients "
        "as many times too large.",
        "normalize the inputs",
        {"data.normalize": True},
        where="data:inputs",
        confidence=0.9,
    )


RULES = (
    Rule("leaked-rows", needs=("data",), check=_leak),
    Rule("column-predicts-target", needs=("data",), check=_revealed),
    Rule("split-shift", needs=("data",), check=_shifted),
    Rule("inputs-off-scale", needs=("data",), check=_off_scale),
    Rule("minority-missed", needs=("classes",), check=_missed),
    Rule("repeated-rows", needs=("data",), check=_repeated),
)
