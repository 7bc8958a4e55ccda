"""Remedies of time: more steps, smaller or larger batches."""

from __future__ import annotations

from pellucid.lens.remedy.parts import Parts, Unfit, is_iterator
from pellucid.lens.remedy.registry import Apply, Case, remedy
from pellucid.lens.remedy.rows import Repeated, is_rows, resize, size_of

SHORT = ("too-few-steps", "still-improving", "too-short")


def longer(parts: Parts, times: int) -> Parts:
    """Train for several times as many epochs."""
    if parts.epochs is not None:
        parts.epochs = parts.epochs * times
        return parts.say(f"there are {parts.epochs} epochs instead of {parts.epochs // times}")
    if is_iterator(parts.batches):
        raise Unfit("the batches can be read only once")
    if is_rows(parts.batches):
        x, y = parts.batches
        parts.batches = (x.repeat(times, *[1] * (x.ndim - 1)), y.repeat(times, *[1] * (y.ndim - 1)))
    else:
        parts.batches = Repeated(parts.batches, times)
    return parts.say(f"there are {times} times as many steps")


def _longer(times: int) -> Apply:
    return lambda parts, case: longer(parts, times)


for _times in (3, 10, 30):
    _also = ("underfitting", "learning-rate-too-low") if _times == 3 else ()
    remedy(
        f"epochs-times-{_times}",
        *SHORT,
        *_also,
        words=f"there are {_times} times as many epochs",
        size=1 + _times / 100,
        edit="more epochs",
    )(_longer(_times))


def _shorter(parts: Parts, case: Case) -> Parts:
    if parts.epochs is None or parts.epochs < 4:
        raise Unfit("the loop does not take a number of epochs")
    before, parts.epochs = parts.epochs, max(1, parts.epochs // 4)
    return parts.say(f"there are {parts.epochs} epochs instead of {before}")


remedy(
    "epochs-quarter",
    "overfitting-turn",
    "overfitting-gap",
    "label-noise",
    words="there is a quarter of the epochs",
    size=1,
    edit="fewer epochs, or the weights of the best one",
)(_shorter)


def _batches(size: int) -> Apply:
    def apply(parts: Parts, case: Case) -> Parts:
        before = size_of(parts)
        if before == size:
            raise Unfit(f"batches have {size} rows already")
        return resize(parts, size).say(f"batches have {size} rows instead of {before}")

    return apply


remedy(
    "batches-of-32",
    *SHORT,
    "batch-too-large",
    "small-batches",
    "batch-norm-of-few-rows",
    words="batches have 32 rows",
    edit="batch_size=32",
)(_batches(32))
remedy("batches-of-8", *SHORT, "batch-too-large", words="batches have 8 rows", edit="batch_size=8")(
    _batches(8)
)


@remedy(
    "batches-of-32-as-many-steps",
    "batch-norm-of-few-rows",
    "small-batches",
    words="batches have 32 rows, and there are as many steps",
    size=1.2,
    edit="batch_size=32 and more epochs",
)
def as_many_steps(parts: Parts, case: Case) -> Parts:
    before = size_of(parts)
    times = min(10, 32 // max(1, before))
    if times < 2:
        raise Unfit(f"batches have {before} rows already")
    return longer(resize(parts, 32), times).say(f"batches have 32 rows instead of {before}")
