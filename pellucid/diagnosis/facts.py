"""The input of rules: the records of a run, or the figures of a profile, as plain values.

`facts_of` reads them from a run folder. A rule that needs something unknown (None) is not run.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pellucid.diagnosis import watch_file
from pellucid.diagnosis.baselines import Baselines
from pellucid.diagnosis.curves import Curves, Series, align
from pellucid.diagnosis.data_facts import (
    ClassRecall,
    DataFacts,
    LabelFacts,
    class_facts,
    data_facts,
    label_facts,
)
from pellucid.diagnosis.watched import Watched
from pellucid.errors import RunError
from pellucid.record import Run, files
from pellucid.record.spec import UNKNOWN, TaskSpec

KEYS = ("epoch", "train/loss", "val/loss", "train/accuracy", "val/accuracy", "step/lr")
MISSING = {
    "curves": "the run has no validation loss that can be compared with the training loss",
    "losses": "no loss was recorded",
    "series": "the run has no losses that can be compared",
    "gan": "the run does not train a generator against a discriminator",
    "activation": "the outputs of the model are logits, as the loss expects",
    "watched": "it was not watched: `train.watch` does that for a run, `pellucid.watch` for a loop",
    "loop": "it is for loops that `pellucid.watch` sees; the curves of a run have rules of their own",
    "speed": "the run was not profiled; `pellucid profile RUN` does that",
    "data": "the data were not checked: they are batches of your own, or windows of a stream or series",
    "classes": "no class is predicted, or no split was evaluated",
    "labels": "no margins of training rows were recorded: only runs that predict one class a row, without "
    "mixup and CutMix, have them",
}
"""Why a rule could not run, by what it needed."""


@dataclass(frozen=True)
class Setting:
    """How a run was trained, as far as it changes how its curves are read.

    Attributes:
        augmented: training inputs are changed at random, so training loss may lie above validation loss.
        dropout: units are switched off in training, with the same effect.
        rows: number of validation rows, for the sampling error of an accuracy; None if not known.
        lr: the peak learning rate; None if not known.
        annealed: the learning rate ended at a tenth of its peak or less.
        best_kept: the run ends with its best weights, not its last.
        larger: the settings of a larger model; {} if there is none or it is not known.
        spec: of the task.
        own_loss: the name of the user's own loss function; "" where the loss is built in.
        minutes: asked for, for the whole run; None: its length is in epochs.
        training: seconds of these that went to training.
    """

    augmented: bool = False
    dropout: bool = False
    rows: int | None = None
    lr: float | None = None
    annealed: bool = False
    best_kept: bool = True
    larger: Mapping[str, Any] = field(default_factory=lambda: {"model.size": "base"})
    spec: TaskSpec = UNKNOWN
    own_loss: str = ""
    minutes: float | None = None
    training: float = 0.0

    def train_for(self, epochs: float, times: float) -> dict[str, float]:
        """The patch for more epochs; for more minutes where these were asked for.

        Args:
            epochs: in all.
            times: how many times as long that is.
        """
        if self.minutes is None:
            return {"train.epochs": epochs}
        minutes = self.minutes + (times - 1) * (self.training / 60 or self.minutes)
        return {"train.minutes": float(f"{minutes:.2g}")}

    @property
    def lower_lr(self) -> dict[str, float]:
        """The patch for a learning rate ten times smaller; {} if the present one is not known."""
        return {"optimizer.lr": self.lr / 10} if self.lr else {}


@dataclass(frozen=True)
class GANCurves:
    """Records of a generator and a discriminator, one value an epoch.

    Attributes:
        losses: [(step, value)] of each network's loss, by its name.
        d_real, d_fake: the discriminator's mean output for real and for generated images.
        probabilities: whether these outputs are probabilities; those of a critic have no fixed scale.
        coverage: share of classes generated often enough at the end, 0..1; None if not measured.
        diversity: how much generated images differ from each other at the end, as a share of how much real
            images do; None if not measured.
        feature_diversity: the same in the features of a network with random weights.
    """

    losses: Mapping[str, Series]
    d_real: Series = ()
    d_fake: Series = ()
    probabilities: bool = True
    coverage: float | None = None
    diversity: float | None = None
    feature_diversity: float | None = None


@dataclass(frozen=True)
class Speed:
    """Where the time of a training run goes.

    Attributes:
        parts: share of an update's time, 0..1, by part: data, forward, backward, optimizer, saving ...
        by_callback: share of an update's time, 0..1, by the name of a callback.
        measuring: share of an epoch's time spent on validation.
        share_of_peak: throughput as a share of what matrix products reach on this machine; 0 if not known.
        rows: rows in a batch.
        double: throughput with batches twice as large, relative to now; None if not known.
        in_memory: whether the data are in memory.
        augmented: whether training inputs are changed at random.
        path: how steps are computed.
        faster: the fastest mode that was measured, and how many times faster it is.
        checkpoint_seconds: seconds between two checkpoints.
    """

    parts: Mapping[str, float]
    by_callback: Mapping[str, float]
    measuring: float
    share_of_peak: float
    rows: int
    double: float | None
    in_memory: bool
    augmented: bool
    path: str
    faster: tuple[str, float]
    checkpoint_seconds: float


@dataclass(frozen=True)
class NonFinite:
    """A loss that was infinite or not a number, caught before it reached the weights.

    Attributes:
        value: the loss.
        step: updates done before it.
        where: the first module, parameter or input that is not finite.
        what: the same as a sentence.
    """

    value: float
    step: int
    where: str
    what: str


@dataclass(frozen=True)
class Facts:
    """Everything a rule may ask for; None where it is not known or does not apply.

    Attributes:
        series: [(step, value)] by key, one value an epoch: "val/loss", and where recorded "epoch",
            "train/loss", "train/accuracy", "val/accuracy". None where these losses measure different things.
        baselines: by name, e.g. "prior" and "linear", each with "val/accuracy" or "val/loss".
        setting: how the run was trained.
        gan: records of a generator and a discriminator.
        speed: where the time goes.
        caught: a loss that was not finite.
        activation: softmax or sigmoid, where the outputs of the model have been through it and should not.
        watched: what `pellucid.watch` recorded of a loop.
        scores: final measures of a run with class weights, by split and name, e.g. "val/auroc".
        labels: what the margins of the training rows say about their labels.
        data: what the checks of the data found before training.
        classes: rows and recall of each class in the evaluated split.
    """

    series: Mapping[str, Series] | None = None
    baselines: Baselines = field(default_factory=dict)
    setting: Setting = Setting()
    gan: GANCurves | None = None
    speed: Speed | None = None
    caught: NonFinite | None = None
    activation: str | None = None
    scores: Mapping[str, float] | None = None
    watched: Watched | None = None
    labels: LabelFacts | None = None
    data: DataFacts | None = None
    classes: tuple[ClassRecall, ...] | None = None

    @property
    def loop(self) -> Watched | None:
        """What was recorded of a loop of the user's own; None for a run, whose curves say more."""
        return self.watched if self.series is None and self.gan is None else None

    @functools.cached_property
    def curves(self) -> Curves | None:
        """The series on the steps at which validation loss was measured."""
        return align(self.series) if self.series else None

    @property
    def losses(self) -> Mapping[str, Series] | None:
        """Losses by name: of validation, or of each network."""
        if self.gan is not None:
            return self.gan.losses
        val = (self.series or {}).get("val/loss")
        return {"validation": val} if val else None


# ---- from a run --------------------------------------------------------------------------------------


def facts_of(run: Run) -> Facts:
    """Read from a run folder what rules ask for.

    Training loss is the one measured like validation loss, without augmentation and dropout, where recorded.
    """
    if "parts" in run.facts:
        return Facts()  # a study: its runs have curves of their own
    if run.spec.players:
        return Facts(setting=setting_of(run), gan=_gan_curves(run), watched=watch_file.read(run))
    series = {key: run.store.series(key) for key in KEYS}
    series["train/loss"] = run.store.series("train/loss_clean") or series["train/loss"]
    weighted = bool(run.settings.get("objective", {}).get("class_weights"))
    return Facts(
        series,
        _baselines(run),
        setting_of(run),
        activation=run.facts.get("activation"),
        scores=run.metrics if weighted else None,
        labels=label_facts(run.facts),
        data=data_facts(run.facts, run.settings),
        classes=_classes(run),
        watched=watch_file.read(run),
    )


def _classes(run: Run) -> tuple[ClassRecall, ...] | None:
    """The classes of the test split, or of the validation split where there is no test split."""
    for split in ("test", "validation"):
        try:
            found = files.read_json(run.path / "evaluation" / f"{split}.json")
        except (OSError, RunError):
            continue
        if run.task == "classification" and isinstance(found, dict):
            return class_facts(found.get("per_class"))
    return None


def setting_of(run: Run) -> Setting:
    """Read from a run's facts and config how it was trained."""
    config = run.settings
    augment = config.get("data", {}).get("augment", {})
    layers = run.facts.get("model", {}).get("layers", [])
    model = config.get("model", {})
    options = model.get("options", {})
    rates = [value for _, value in run.store.series("step/lr")]
    dataset = run.facts.get("dataset", {})
    rows = dataset.get("splits", {}).get("validation", {}).get("rows")
    return Setting(
        augmented=any(augment.values()),
        dropout=any("Dropout" in str(layer.get("type")) for layer in layers) or bool(options.get("dropout")),
        rows=None if run.spec.accuracy_of in ("tokens", "steps") else rows,
        lr=config.get("optimizer", {}).get("lr"),
        annealed=bool(rates) and rates[-1] <= max(rates) / 10,
        larger=_larger(model),
        best_kept=bool(config.get("train", {}).get("restore_best", True)),
        spec=run.spec,
        own_loss=str((run.facts.get("supplied") or {}).get("loss") or ""),
        minutes=config.get("train", {}).get("minutes"),
        training=(run.facts.get("seconds") or {}).get("training", 0.0),
    )


LARGER = {None: "base", "tiny": "small", "small": "base"}
UNSIZED = ("linear", "pretrained", "custom")
"""Models without sizes."""


def _larger(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a larger model: twice the widths where they are set, else the next size."""
    name, size, hidden = model.get("name", ""), model.get("size"), model.get("options", {}).get("hidden")
    if isinstance(hidden, list) and hidden and all(isinstance(width, int) for width in hidden):
        return {"model.options.hidden": [2 * width for width in hidden]}
    sized = name not in UNSIZED and ":" not in name
    return {"model.size": LARGER[size]} if sized and size in LARGER else {}


def is_phase_loss(key: str) -> bool:
    """Whether a series is the loss of one phase of several, such as "train/generator_loss"."""
    return key.startswith("train/") and key.endswith("_loss")


def phase(key: str) -> str:
    """Return the phase a loss belongs to: "generator" of "train/generator_loss"."""
    return key.removeprefix("train/").removesuffix("_loss").replace("_", " ")


def _baselines(run: Run) -> dict[str, dict[str, float]]:
    """The baselines; where the loss of the run is a squared error, their squared errors are losses too."""
    found: dict[str, dict[str, float]] = run.facts.get("baselines") or {}
    if run.store.series("val/mse") != run.store.series("val/loss"):
        return found
    return {
        name: {"val/loss": values["val/mse"], **values} if "val/mse" in values else values
        for name, values in found.items()
    }


def _gan_curves(run: Run) -> GANCurves:
    options = run.settings.get("objective", {}).get("options") or {}
    phases = [key for key in run.store.keys() if is_phase_loss(key)]  # noqa: SIM118
    return GANCurves(
        losses={phase(key): run.store.series(key) for key in phases},
        d_real=run.store.series("val/d_real"),
        d_fake=run.store.series("val/d_fake"),
        probabilities=options.get("loss", "bce") == "bce",
        coverage=_final(run, "coverage"),
        diversity=_final(run, "diversity"),
        feature_diversity=_final(run, "feature_diversity"),
    )


def _final(run: Run, name: str) -> float | None:
    """A measure of the finished run, or that of its last epoch."""
    for split in ("test", "val"):
        if f"{split}/{name}" in run.metrics:
            return run.metrics[f"{split}/{name}"]
    series = run.store.series(f"val/{name}")
    return series[-1][1] if series else None
