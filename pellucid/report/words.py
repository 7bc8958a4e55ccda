"""How the report writes numbers and explains terms, so that a value reads the same everywhere."""

from __future__ import annotations

import json
import math
import re
import shlex
from datetime import UTC, datetime

from markupsafe import Markup, escape

from pellucid.record import measures

SPACE = "\u00a0"
NOTHING = "–"

GLOSSARY = {
    "accuracy": "The share of predictions that are correct: one for each row, or for each token of a text.",
    "F1": "The harmonic mean of precision and recall: high only when both are.",
    "mean absolute error": "How far predictions are off, on average, in the unit of the target; "
    "for forecasts, in standard deviations of the series.",
    "root mean squared error": "Like the mean absolute error, but large errors count more.",
    "R²": "The share of the target's variance that is explained: 0 is predicting the mean, 1 is exact.",
    "perplexity": "The number of equally likely tokens that would be as hard to predict: e to the power "
    "of the loss per token.",
    "BLEU": "How many sequences of one to four words are shared with the reference: 0 is none, 100 is the "
    "same text.",
    "mean squared error": "The mean of the squared difference from the true value; 0 is exact.",
    "peak signal-to-noise ratio": "How small the squared error is compared with the full range, on a "
    "logarithmic scale: 10 dB more is a tenth of the error.",
    "evidence lower bound": "A lower bound on the log-probability of an image; closer to 0 is better.",
    "KL divergence": "How far one distribution is from another: the latent code of an image from the prior, "
    "or the modes of generated images from a uniform distribution. 0 is the same distribution.",
    "Fréchet distance": "How far generated images are from real ones: the distance between normal "
    "distributions fitted to their features in a classifier. 0 is the same distribution.",
    "modes": "How many kinds of image appear among the generated ones, according to a classifier.",
    "coverage": "For generated images, the share of classes that appear often enough; for forecasts, the "
    "share of true values within the band.",
    "diversity": "How much generated images differ from each other, relative to real ones.",
    "mean average precision": "How early rows of the same class appear when all rows are sorted by distance.",
    "recall at 1": "The share of rows whose nearest neighbor has the same class.",
    "token": "The unit of text a model reads: a word, part of a word, or a character.",
    "guessing": "The best prediction that ignores the input: the most frequent class, or the mean.",
    "linear model": "The simplest trained model: a weighted sum of its inputs. A network should beat it.",
    "95 % interval": "The true value lies in it with 95 % confidence, given the number of rows.",
    "loss": "The number that training minimizes: how far off the predictions are, or how unlikely the model "
    "considers the correct ones.",
    "epoch": "One pass over all training rows.",
    "step": "One update of the weights, from one batch.",
    "validation": "Rows held out of training, to monitor it and to choose the best weights.",
    "training": "The rows the weights are fitted to.",
    "test": "Rows used once, at the end; no choice was made with them.",
    "confusion matrix": "Counts of rows by their true class (row) and the class predicted for them (column).",
    "precision": "Of the rows predicted as this class, the share that belong to it.",
    "recall": "Of the rows of this class, the share that were predicted as it.",
    "confidence": "The probability the model gives to its prediction.",
    "calibration": "Whether predictions with 90 % confidence are correct 90 % of the time.",
    "expected calibration error": "The mean difference between confidence and accuracy; 0 is ideal.",
    "residual": "Prediction minus true value: positive is too high.",
    "weight": "A learned number: how strongly, and with which sign, an input counts.",
    "filter": "A small pattern of weights that slides over the image and responds where it matches.",
    "parameter": "A number in the model that training changes.",
    "seed": "The number from which all random choices are derived; the same seed repeats the same run.",
    "fingerprint": "A hash of the content of a split: equal fingerprints mean equal data.",
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


def _missing(value: float | None) -> str:
    """Write a number that is missing or not finite."""
    return NOTHING if value is None else measures.in_words(value)


def code(text: str | None) -> Markup:
    """Return text as HTML, with what is between backticks as code."""
    return Markup(re.sub(r"`([^`\n]+)`", r"<code>\1</code>", str(escape(text or ""))))


def setting(key: str, value: object) -> str:
    """Return the option that makes a setting, quoted for a shell."""
    written = (
        value if isinstance(value, (str, int, float)) and not isinstance(value, bool) else json.dumps(value)
    )
    return f"--set {shlex.quote(f'{key}={written}')}"


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with `digits` significant digits, without an exponent where possible."""
    if value is None or not math.isfinite(value):
        return _missing(value)
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
    if share is None or not math.isfinite(100 * share):
        return _missing(share)
    return f"{100 * share:.{digits}f}{SPACE}%".replace("-", "−")


def points(share: float, digits: int = 1) -> str:
    """Write a difference of two shares in percentage points."""
    return f"{100 * abs(share):.{digits}f}{SPACE}points"


def plain(value: float) -> str:
    """Write a value of the data itself: at most four significant digits, no trailing zeros."""
    if not math.isfinite(value):
        return _missing(value)
    return f"{value:,.4g}".replace("-", "−") if abs(value) < 10_000 else f"{value:,.0f}".replace("-", "−")


def count(value: float | None) -> str:
    """Write a whole number with separators, e.g. "54,000"."""
    return f"{value:,.0f}" if value is not None and math.isfinite(value) else _missing(value)


def plural(value: int, one: str, many: str | None = None) -> str:
    """Write a number with its noun, e.g. "1 epoch" or "3 epochs"."""
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
    """Return what a metric is called: "test/mae" is "mean absolute error"."""
    return measures.measure(key).name


def is_share(key: str) -> bool:
    """Return whether a metric is a share, written as a percentage."""
    return measures.measure(key).share


def measure(key: str, value: float | None, rows: int | None = None) -> str:
    """Write a metric in its unit; a percentage with two decimals if there are 2,000 rows or more."""
    if value is None or not math.isfinite(value):
        return _missing(value)
    known = measures.measure(key)
    if known.share:
        return percent(value, 2 if rows and rows >= 2000 else 1)
    if known.decimals is not None:
        return f"{value:.{known.decimals}f}"
    if float(value).is_integer() and abs(value) < 1e6:
        return count(value).replace("-", "−")
    written = number(value, 4 if abs(value) >= 100 else 3)
    return f"{written}{SPACE}{known.unit}" if known.unit in ("dB", "s") else written


def interval(share: float, rows: int) -> tuple[float, float]:
    """Return the 95 % interval of a share measured on `rows` (Wilson 1927)."""
    z = 1.96
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    return max(0.0, middle - half), min(1.0, middle + half)
