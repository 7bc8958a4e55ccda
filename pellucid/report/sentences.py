"""The answer in one sentence, by what was learned."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pellucid.record import Run, measures
from pellucid.report import words
from pellucid.report.comparison import GUESS, rivals

SPLITS = {"test": "test", "val": "validation"}

SAYS = {
    "accuracy": "{name} gets {value} of {of} right",
    "mae": "{name} predicts {target} to within {value} on average, over {of}",
    "f1": "{name} finds the labels of {of} with an F1 of {value}",
    "recall_at_1": "{name} puts a row of the same class nearest for {value} of {of}",
    "language_model/loss": "{name} predicts the next token of {of} at {value} nats, perplexity {perplexity}",
    "language_model/perplexity": "{name} predicts the next token with a perplexity of {value} on {of}",
    "language_model/accuracy": "{name} predicts {value} of the tokens of {of} rightly",
    "masked_language_model/accuracy": "{name} fills in {value} of the tokens hidden in {of} rightly",
    "masked_language_model/loss": "{name} fills in the tokens hidden in {of} at {value} nats each",
    "words_ahead/loss": "{name} says which words come soon in {of} at {value} nats each",
    "seq2seq/bleu": "{name} translates {of} with a BLEU of {value}",
    "seq2seq/accuracy": "{name} predicts {value} of the tokens of the translations of {of} rightly",
    "seq2seq/loss": "{name} predicts the next token of the translations of {of} at {value} nats",
    "span_denoising/accuracy": "{name} restores {value} of the tokens cut out of {of}",
    "span_denoising/loss": "{name} restores the tokens cut out of {of} at {value} nats each",
    "reconstruction/mse": "{name} gives {of} back with a mean squared error of {value}",
    "reconstruction/psnr": "{name} gives {of} back at {value}",
    "elbo/elbo": "{name} describes each of {of} in at most {size} nats",
    "elbo/loss": "{name} describes each of {of} in at most {size} nats",
    "adversarial/frechet": "What {name} draws is at a Fréchet distance of {value} from {of}",
    "adversarial/modes": "What {name} draws shows {value} kinds of image",
    "adversarial/confidence": "A classifier is {value} sure of what it sees in the images {name} draws",
    "adversarial/accuracy": "{name} draws what it is asked for {value} of the time, says a classifier",
    "adversarial/coverage": "What {name} draws shows {value} of the classes often enough",
    "adversarial/diversity": "What {name} draws differs from image to image {value} as much as {of} do",
    "anomaly/auroc": "{name} tells what it knows from what it does not with an AUROC of {value}, over {of}",
    "forecasting/mse": "{name} has a mean squared error of {value} over {of}",
    "forecasting/mae": "{name} is off by {value} on average, over {of}",
}
"""Sentences by measure, or by task and measure, which goes first."""
OTHERWISE = "{name} reaches {article} {measure} of {value} on {of}"


def sentence(run: Run, task: str, key: str, rows: int | None, things: str) -> str:
    """Say what a run reached, and what its nearest rival did.

    Args:
        run: with `key` among its metrics.
        task: what was learned.
        key: the metric that stands for the run, e.g. "test/accuracy".
        rows: how many it was measured on, if known.
        things: what the rows are: "images".
    """
    split, _, name = key.partition("/")
    value = run.metrics[key]
    of = _of(rows, SPLITS.get(split, split), things)
    known = {
        "name": run.name,
        "value": words.measure(key, value, rows),
        "of": of,
        "target": (run.facts.get("dataset") or {}).get("target") or "the target",
        "size": words.measure(key, abs(value), rows),
        "perplexity": words.number(_perplexity(run.metrics, split, value)),
    }
    template = SAYS.get(f"{task}/{name}") or SAYS.get(name) or OTHERWISE
    measure = words.measure_name(key)
    said = template.format(**known, measure=measure, article=an(measure))
    return f"{said}{beside(run.facts, task, key, rows)}."


def an(measure: str) -> str:
    """The article of a measure: "an" AUROC, "a" BLEU."""
    return "an" if measure[0] in "aeiouAFR" else "a"


def _perplexity(metrics: Mapping[str, float], split: str, loss: float) -> float:
    given = metrics.get(f"{split}/perplexity")
    return math.exp(min(loss, 700.0)) if given is None else given


def _of(rows: int | None, split: str, things: str) -> str:
    if rows == 1:
        return f"the {split} {things.removesuffix('s')}"
    return f"{words.count(rows)} {split} {things}" if rows else f"the {split} {things}"


def beside(facts: Mapping[str, Any], task: str, key: str, rows: int | None) -> str:
    """The end of the sentence: what guessing gets where a target is predicted, else the nearest rival."""
    found = rivals(facts, task, key)
    if not found:
        return ""
    guess = next((rival for rival in found if rival.key == "prior" and task in GUESS), None)
    sign = -1 if measures.lower_is_better(key) else 1
    rival = guess or max(found, key=lambda rival: sign * rival.value)
    value = abs(rival.value) if task == "elbo" else rival.value
    verb = "is off by" if key.endswith("/mae") and guess else "gets"
    return f"; {rival.subject} {verb} {words.measure(key, value, rows)}"
