"""How the report writes numbers and explains terms: one place, so that a thing reads the same everywhere."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from markupsafe import Markup, escape

from pellucid.record import measures

SPACE = "\u00a0"
NOTHING = "–"

GLOSSARY = {
    "accuracy": "The share of answers that are right: one for each row, or for each token of a text.",
    "F1": "The harmonic mean of precision and recall: high only when both are.",
    "mean absolute error": "How far a prediction is off, on average: in the unit of the target, "
    "or in its standard deviations where those are forecast.",
    "root mean squared error": "Like the mean absolute error, but large errors weigh more.",
    "R²": "The share of the target's variance that is explained: 0 is guessing the mean, 1 is exact.",
    "perplexity": "How many equally likely tokens it is as unsure as: e to the power of the loss per token.",
    "BLEU": "How many runs of one to four words are shared with the reference: 0 is none, 100 is identical.",
    "mean squared error": "The mean of the squared difference from what it should be; 0 is exact.",
    "peak signal-to-noise ratio": "How small the squared error is against the full range, on a logarithmic "
    "scale: 10 dB more is a tenth of the error.",
    "evidence lower bound": "A bound from below on the log-probability of an image; nearer 0 is better.",
    "KL divergence": "How far one distribution is from another: the code of an image from the noise that new "
    "images are drawn from, or the generated kinds of image from all kinds equally often. 0 is the same.",
    "Fréchet distance": "How far the generated images are from real ones as a classifier sees them: the "
    "distance of two normal distributions of its features. 0 is the same distribution.",
    "modes": "How many kinds of image turn up among the generated ones, as a classifier sees them.",
    "coverage": "How much is caught: of classes, those that are drawn often enough; of forecasts, the true "
    "values within the band.",
    "diversity": "How much the generated images differ from each other, as a share of how much real ones do.",
    "mean average precision": "How early rows of the same class come, of all others sorted by distance.",
    "recall at 1": "The share of rows whose nearest neighbor, by the learned distance, is of their class.",
    "token": "A piece of text a model reads at once: a word, a part of one, or a character.",
    "guessing": "The best answer that ignores its input: the most frequent class, or the mean.",
    "linear model": "The simplest trained model: a weighted sum of its inputs. A network should beat it.",
    "95 % interval": "Where the true value lies with 95 % certainty, given how many rows it was measured on.",
    "loss": "The number that training makes smaller: how far off the model is, or how surprised by the "
    "right answer.",
    "epoch": "One pass over all training rows.",
    "step": "One update of the weights, from one batch.",
    "validation": "Rows held out of training, to watch it and to choose the best weights.",
    "training": "The rows the weights are fitted to.",
    "test": "Rows used once, at the end; no choice was made with them.",
    "confusion matrix": "Counts of rows by their true class (row) and the class predicted for them (column).",
    "precision": "Of the rows said to be of this class, the share that are.",
    "recall": "Of the rows that are of this class, the share that were found.",
    "confidence": "The probability a classifier gives to its own answer.",
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
    """What a metric is called: "test/mae" is "mean absolute error"."""
    return measures.measure(key).name


def is_share(key: str) -> bool:
    return measures.measure(key).share


def measure(key: str, value: float | None, rows: int | None = None) -> str:
    """Write a metric in its unit; two decimals of a percentage where the rows can carry them."""
    known = measures.measure(key)
    if known.share:
        return percent(value, 2 if rows and rows >= 2000 else 1)
    if known.decimals is not None and value is not None:
        return f"{value:.{known.decimals}f}"
    if value is not None and math.isfinite(value) and float(value).is_integer() and abs(value) < 1e6:
        return count(value).replace("-", "−")
    written = number(value, 4 if abs(value or 0) >= 100 else 3)
    return f"{written}{SPACE}{known.unit}" if known.unit in ("dB", "s") else written


def interval(share: float, rows: int) -> tuple[float, float]:
    """The 95 % interval of a share measured on `rows` (Wilson 1927)."""
    z = 1.96
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    return max(0.0, middle - half), min(1.0, middle + half)
