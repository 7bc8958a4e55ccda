"""The one reading of a run's curves, by what it learned."""

from __future__ import annotations

from pellucid.diagnosis.balance import Match, balance
from pellucid.diagnosis.rules import config_of, curves_of, generalization, setting_of
from pellucid.record import Finding, Run

ADVERSARIAL = "adversarial"


def reading(run: Run) -> Finding:
    """Say how a run's training went, from what it recorded.

    Overfitting and its like are asked of runs whose training and validation loss measure the same thing. Two
    networks trained against each other are asked whether one has won.
    """
    if run.task == ADVERSARIAL:
        return balance(match_of(run))
    return generalization(curves_of(run), _baselines(run), setting_of(run))


def _baselines(run: Run) -> dict[str, dict[str, float]]:
    """The baselines; where the loss of the run is a squared error, their squared errors are losses too."""
    found: dict[str, dict[str, float]] = run.facts.get("baselines") or {}
    if run.store.series("val/mse") != run.store.series("val/loss"):
        return found
    return {
        name: {"val/loss": values["val/mse"], **values} if "val/mse" in values else values
        for name, values in found.items()
    }


def match_of(run: Run) -> Match:
    """Read from a run what `balance` wants."""
    options = config_of(run).get("objective", {}).get("options") or {}
    keys = run.store.keys()
    return Match(
        losses={phase(key): run.store.series(key) for key in keys if is_phase_loss(key)},
        d_real=run.store.series("val/d_real"),
        d_fake=run.store.series("val/d_fake"),
        probabilities=options.get("loss", "bce") == "bce",
        coverage=_final(run, "coverage"),
    )


def is_phase_loss(key: str) -> bool:
    """Whether a series is the loss of one phase of several, such as "train/generator_loss"."""
    return key.startswith("train/") and key.endswith("_loss")


def phase(key: str) -> str:
    """The phase a loss belongs to: "generator" of "train/generator_loss"."""
    return key.removeprefix("train/").removesuffix("_loss").replace("_", " ")


def _final(run: Run, name: str) -> float | None:
    """A measure of the finished run, or the last one of its epochs."""
    for split in ("test", "val"):
        if f"{split}/{name}" in run.metrics:
            return run.metrics[f"{split}/{name}"]
    series = run.store.series(f"val/{name}")
    return series[-1][1] if series else None
