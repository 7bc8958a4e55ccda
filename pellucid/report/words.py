"""How the report writes numbers and explains terms: one place, so that a thing reads the same everywhere."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from markupsafe import Markup, escape

SPACE = "\u00a0"
NOTHING = "–"
SHARES = ("accuracy", "f1", "precision", "recall", "top5")
LOWER_IS_BETTER = ("loss", "mae", "rmse", "mse")

GLOSSARY = {
    "accuracy": "The share of rows whose predicted class is the right one.",
    "F1": "The harmonic mean of precision and recall: high only when both are.",
    "mean absolute error": "How far a prediction is off, on average, in the unit of the target.",
    "root mean squared error": "Like the mean absolute error, but large errors weigh more.",
    "R²": "The share of the target's variance that is explained: 0 is guessing the mean, 1 is exact.",
    "guessing": "The best answer that ignores its input: the most frequent class, or the mean.",
    "linear model": "The simplest trained model: a weighted sum of its inputs. A network should beat it.",
    "95 % interval": "Where the true value lies with 95 % certainty, given how many rows it was measured on.",
    "loss": "The number that training makes smaller: how surprised the model is by the right answer.",
    "epoch": "One pass over all training rows.",
    "step": "One update of the weights, from one batch.",
    "validation": "Rows held out of training, to watch it and to choose the best weights.",
    "training": "The rows the weights are fitted to.",
    "test": "Rows used once, at the end; no choice was made with them.",
    "confusion matrix": "Counts of rows by their true class (row) and the class predicted for them (column).",
    "precision": "Of the rows said to be of this class, the share that are.",
    "recall": "Of the rows that are of this class, the share that were found.",
    "confidence": "The probability the model gives to its own answer.",
    "calibration": "Whether answers given with 90 % confidence are right 90 % of the time.",
    "expected calibration error": "The mean distance between confidence and accuracy; 0 is ideal.",
    "residual": "Prediction minus true value: positive is too high.",
    "weight": "A learned number that says how strongly, and with which sign, an input counts.",
    "filter": "A small pattern of weights that is slid over the image and answers where it fits.",
    "parameter": "A number in the model that training changes.",
    "seed": "The number all random choices derive from; the same seed repeats the same run.",
    "fingerprint": "A hash of a split's content: equal fingerprints mean equal data.",
}


class Terms:
    """Explains each term of the glossary at its first use, by hover and by keyboard focus."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def __call__(self, term: str, shown: str | None = None) -> Markup:
        word = escape(shown or term)
        if term in self._used:
            return word
        self._used.add(term)
        tip = escape(GLOSSARY[term])
        return Markup(
            f'<span class="term" tabindex="0">{word}<span class="tip" role="tooltip">{tip}</span></span>'
        )


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with `digits` significant digits, without an exponent where it can be helped."""
    if value is None or not math.isfinite(value):
        return NOTHING if value is None else f"{value:g}".replace("-", "−")
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    plain = -4 <= size <= 12
    text = f"{value:,.{max(0, digits - 1 - size)}f}" if plain else f"{value:.{digits - 1}e}"
    return text.replace("-", "−")


def signed(value: float) -> str:
    """Write a difference with its sign."""
    return f"+{number(value)}" if value > 0 else number(value)


def percent(share: float | None, digits: int = 1) -> str:
    """Write a share of 1 as a percentage."""
    if share is None or not math.isfinite(share):
        return NOTHING
    return f"{100 * share:.{digits}f}{SPACE}%".replace("-", "−")


def points(share: float, digits: int = 1) -> str:
    """Write a difference of two shares in percentage points."""
    return f"{100 * abs(share):.{digits}f}{SPACE}points"


def plain(value: float) -> str:
    """Write a value of the data itself: at most four significant digits, no trailing zeros."""
    return f"{value:,.4g}".replace("-", "−") if abs(value) < 10_000 else f"{value:,.0f}".replace("-", "−")


def count(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"


def plural(value: int, one: str, many: str | None = None) -> str:
    return f"{count(value)} {one if value == 1 else many or one + 's'}"


def seconds(value: float | None) -> str:
    """Write a duration: 8 ms, 4.2 s, 3 min 05 s, 1 h 02 min."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value < 0.1:
        return f"{1000 * value:.0f}{SPACE}ms"
    if value < 60:
        return f"{value:.1f}{SPACE}s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60}{SPACE}min {whole % 60:02d}{SPACE}s"
    return f"{whole // 3600}{SPACE}h {whole % 3600 // 60:02d}{SPACE}min"


def moment(stamp: str | float | None) -> str:
    """Write a time, given as ISO text or Unix seconds, to the minute in UTC."""
    if stamp is None:
        return NOTHING
    try:
        when = (
            datetime.fromtimestamp(stamp, UTC)
            if isinstance(stamp, float)
            else datetime.fromisoformat(str(stamp))
        )
    except ValueError:
        return str(stamp)
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def measure_name(key: str) -> str:
    """The glossary's name of a metric: "test/mae" is "mean absolute error"."""
    name = key.rpartition("/")[2]
    names = {"f1": "F1", "mae": "mean absolute error", "rmse": "root mean squared error", "r2": "R²"}
    return names.get(name, name)


def measure(key: str, value: float | None, rows: int | None = None) -> str:
    """Write a metric in its unit; two decimals of a percentage where the rows can carry them."""
    if key.rpartition("/")[2] in SHARES:
        return percent(value, 2 if rows and rows >= 2000 else 1)
    return number(value)


def lower_is_better(key: str) -> bool:
    return key.rpartition("/")[2] in LOWER_IS_BETTER


def interval(share: float, rows: int) -> tuple[float, float]:
    """The 95 % interval of a share measured on `rows` (Wilson 1927)."""
    z = 1.96
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    return max(0.0, middle - half), min(1.0, middle + half)
