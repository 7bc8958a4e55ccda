"""The schema of all settings of a run: the YAML file, the `--set` options and the forms.

`Config` is read from YAML (`Config.read`), written in full (`Config.to_yaml`) and patched by dotted keys
(`config.patch({"train.epochs": 3})`). Unknown keys are refused, with a suggestion. A setting of None is off
or chosen automatically; the run records each automatic choice with its reason.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from pellucid.config_sections import (
    LARGEST_SEED,
    Augment,
    CsvConfig,
    DiagnosisConfig,
    Section,
    SeriesConfig,
    SplitConfig,
    TextConfig,
)
from pellucid.config_text import (
    OLD_KEYS,
    expected,
    read_yaml,
    relative_to,
    rename_old_keys,
    without_options_of_others,
)
from pellucid.errors import ConfigError, UsageError
from pellucid.record.spec import find_spec, lasting_name

ColumnKind = str
"""The name of a column kind, a file in `pellucid/data/kinds`; checked when the data is opened."""


ImageFit = Literal["pad", "crop", "stretch"]
"""How an image of another shape than the model takes gets its size."""


class DataConfig(Section):
    """What to learn from."""

    source: str = Field(default="digits", description="a hub name or alias, or the path of a file or folder")
    subset: str | None = Field(default=None, description="hub configuration, if a dataset has several")
    target: str | None = Field(
        default=None,
        description="the column to predict; None: one called target, label or the like, or the last",
    )
    inputs: list[str] | None = Field(default=None, description="the input columns; None: all others")
    num_inputs: int | None = Field(
        default=None,
        ge=1,
        description="for batches of your own that are tuples: how many of the first entries are inputs; "
        "the others are targets. None: all but the last",
    )
    sample_weight: str | None = Field(
        default=None, description="the column with the weight of each training row in the loss"
    )
    columns: dict[str, ColumnKind] = Field(default={}, description="column kinds, where inferred wrongly")
    validation: float = Field(default=0.1, gt=0, lt=1, description="share of rows, if the data has no split")
    test: float = Field(
        default=0.1, ge=0, lt=1, description="share of rows, if the data has no split; 0: no test split"
    )
    split: SplitConfig = Field(default_factory=lambda: SplitConfig())
    split_seed: int = Field(
        default=0, ge=0, le=LARGEST_SEED, description="seed of the split, independent of the training seed"
    )
    fraction: float = Field(
        default=1.0, gt=0, le=1, description="share of each split to use, for a quick trial"
    )
    training_rows: int | None = Field(
        default=None, ge=1, description="training rows to use, before `fraction`; other splits stay whole"
    )
    class_from: str | None = Field(
        default=None,
        description="where the class of an image is: None: its folder; name: its file name, without the "
        "number; or a regular expression with one group, e.g. '_([a-z]+)[.]'",
    )
    image_size: int | None = Field(
        default=None, ge=1, le=16_384, description="resize images so that their longer side has this length"
    )
    image_fit: ImageFit | None = Field(
        default=None,
        description="how images of other shapes get one size: pad (the border is continued), crop (the "
        "middle is cut out), or stretch (their shape is not kept); None: by the task",
    )
    images_of: str | None = Field(
        default=None,
        description="use the image size, mean and deviation of this pretrained model instead of measuring "
        "them; set automatically for the model `pretrained`",
    )
    stack: Literal[3] | None = Field(
        default=None, description="3: stack three random gray images as the channels of one, without labels"
    )
    normalize: bool = Field(
        default=True, description="scale inputs to zero mean and unit variance, fitted on the training split"
    )
    encoding: str | None = Field(
        default=None, description="encoding of text files, e.g. gb18030; None: as their bytes tell"
    )
    skip_bad: bool = Field(default=False, description="skip and list unreadable rows and files")
    csv: CsvConfig = Field(default_factory=lambda: CsvConfig())
    memory: float = Field(
        default=0.25, gt=0, le=1, description="maximum share of memory for the data; larger data is streamed"
    )
    augment: Augment = Field(default_factory=lambda: Augment())
    text: TextConfig = Field(default_factory=lambda: TextConfig())
    series: SeriesConfig = Field(default_factory=lambda: SeriesConfig())


class ModelConfig(Section):
    """The model. `options` are passed to its builder and checked against its signature."""

    name: str = "mlp"
    size: Literal["tiny", "small", "base"] | None = Field(
        default=None, description="None: the model's default"
    )
    options: dict[str, Any] = Field(default={}, description="e.g. {hidden: [128, 64], activation: relu}")
    weights: str | None = Field(
        default=None,
        description="initial weights: a run's id or folder, or a .safetensors file; "
        "for the model `pretrained`: a folder, a package or a hub id",
    )


class ObjectiveConfig(Section):
    """What to optimize. `options` are passed to the objective and checked against its signature.

    `loss` is only for tasks that predict a target; None is the default loss of the task.
    """

    name: str = Field(
        default="classification", description="a task, or the package of your own: my_project.my_task"
    )
    options: dict[str, Any] = Field(default={}, description="e.g. {noise: 0.5}, {beta: 1.0}")
    loss: str | None = Field(
        default=None,
        description="a name in the loss catalogue, or package.module:function (outputs, targets) -> scalar",
    )
    loss_options: dict[str, Any] = Field(
        default={},
        description="options of the loss, as in the catalogue: {gamma: 1.5} of focal, {delta: 0.5} of huber",
    )
    metrics: list[str] = Field(
        default=[], description="additional metrics, each as package.module:attribute, e.g. a function"
    )
    label_smoothing: float = Field(default=0, ge=0, lt=1)
    class_weights: bool | dict[str, float] | list[float] = Field(
        default=False,
        description="true: weight classes by their inverse frequency; or one weight each, by name or order",
    )
    outputs: Literal["logit", "probability", "probabilities"] | None = Field(
        default=None,
        description="what a module of your own returns for classes: one logit or probability for the second "
        "of two, or the probability of each; None: found out, else logits",
    )
    threshold: Annotated[float, Field(ge=0, le=1)] | Literal["f1", "balanced_accuracy"] | None = Field(
        default=None,
        description="probability from which on the second of two classes is predicted, or a label holds; f1 "
        "or balanced_accuracy: the best on the validation rows; None: the most probable class",
    )
    l1: float = Field(default=0, ge=0, description="strength of the L1 penalty on weights")
    l2: float = Field(default=0, ge=0, description="strength of the L2 penalty in the loss (coupled)")

    @field_validator("name")
    @classmethod
    def _known_task(cls, name: str) -> str:
        """Check that the task exists, and replace its name by one that other processes know."""
        try:
            return lasting_name(name)
        except UsageError as error:
            raise ValueError(error.message) from None

    @model_validator(mode="before")
    @classmethod
    def _current_options(cls, values: Any) -> Any:
        """Rename the options of earlier versions, which the task lists in its spec."""
        if not isinstance(values, Mapping) or not isinstance(options := values.get("options"), Mapping):
            return values
        try:
            renamed = find_spec(str(values.get("name", "classification"))).renamed_options
        except UsageError:
            return values
        return {**values, "options": {renamed.get(key, key): value for key, value in options.items()}}


class PhaseOptimizer(Section):
    """The optimizer settings of one phase of an objective; None: the common setting."""

    name: str | None = None
    lr: float | None = Field(default=None, gt=0)
    weight_decay: float | None = Field(default=None, ge=0)
    options: dict[str, Any] | None = None


class OptimizerConfig(Section):
    """The optimizer. `options` are passed to it, e.g. {momentum: 0.9}.

    `name` is one of the catalogue, or `package.module:Class`, e.g. "torch.optim:SGD".

    `phases` overrides settings for one phase of an objective, e.g. {discriminator: {lr: 1e-4}}.
    """

    name: str = "adamw"
    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(
        default=0, ge=0, description="decoupled weight decay, only of weights, not of biases and norms"
    )
    options: dict[str, Any] = Field(default={})
    phases: dict[str, PhaseOptimizer] = Field(default={})


class ScheduleConfig(Section):
    """How the learning rate changes during training."""

    name: str = Field(
        default="constant",
        description="constant, step, cosine, one_cycle, plateau, or package.module:attribute of a PyTorch "
        "scheduler or of a function step -> factor",
    )
    warmup_steps: int = Field(default=0, ge=0, description="length of a linear warm-up before the schedule")
    options: dict[str, Any] = Field(default={}, description="e.g. {final: 0.01}, {every: 10, factor: 0.1}")


class StoppingConfig(Section):
    """Early stopping: end training when `monitor` has not improved for `patience` epochs."""

    monitor: str | None = Field(default=None, description="None: train.monitor, else val/loss")
    mode: Literal["min", "max"] | None = Field(
        default=None,
        description="whether lower (min) or higher (max) is better; None: as for train.monitor if it is the "
        "same metric, else by its name",
    )
    patience: int = Field(default=5, ge=1)
    min_delta: float = Field(default=0, ge=0)


class TrainConfig(Section):
    """How to train."""

    epochs: int = Field(default=10, ge=1)
    max_steps: int | None = Field(default=None, ge=1, description="stop after this many optimizer updates")
    minutes: float | None = Field(
        default=None,
        gt=0,
        le=1_000_000,
        description="time for everything from the start to the report; decides the number of updates instead "
        "of epochs and max_steps",
    )
    batch_size: int = Field(default=32, ge=1)
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    execution: str = Field(
        default="auto",
        description="execution mode: auto (the fastest one measured), eager, or a combination of bf16, "
        "channels_last, math and compiled in this order, such as bf16_channels_last",
    )
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    clip_grad_norm: float | None = Field(default=None, gt=0)
    ema: float | None = Field(
        default=None, gt=0, lt=1, description="decay of the averaged weights, e.g. 0.999"
    )
    swa_start: float | None = Field(
        default=None, gt=0, lt=1, description="start averaging weights equally after this share of training"
    )
    early_stopping: StoppingConfig | None = None
    monitor: str | None = Field(default=None, description="metric of the best weights; None: the objective's")
    monitor_mode: Literal["min", "max"] | None = Field(
        default=None,
        description="whether lower (min) or higher (max) is better; None: the objective's for its own "
        "metric, else by the name",
    )
    restore_best: bool = Field(default=True, description="finish with the best weights instead of the last")
    checkpoint_seconds: float = Field(default=30, gt=0, description="maximum time between checkpoints")
    keep: int = Field(default=2, ge=1, description="number of checkpoints to keep in addition to the best")
    snapshots: float = Field(
        default=50,
        ge=0,
        description="MB of earlier checkpoints that stay, spread over training, to look at and replay from",
    )
    watch: Literal["light", "off"] = Field(
        default="light",
        description="light: compute a few steps a second time and look inside, for at most 1 % of the time; "
        "off: look at the curves only",
    )
    trackers: list[Literal["tensorboard", "mlflow", "wandb"]] = Field(default=[])
    callbacks: list[str] = Field(
        default=[],
        description="additional callbacks, each as package.module:Class, created without arguments",
    )


class Goal(Section):
    """The score to reach, e.g. test/accuracy >= 0.995. `on` limits it to one data source."""

    metric: str = "test/accuracy"
    value: float
    on: str | None = Field(
        default=None, description="the dataset that the score is for; ignored for other data"
    )


class Published(Section):
    """A published score for the same task, with its source; `on` is as in `Goal`."""

    metric: str = "test/accuracy"
    value: float
    source: str
    on: str | None = None


SETTINGS = "`pellucid inspect DATA` or `pellucid recipes copy digits`, which write a config with all settings"
"""Where to look up the names and values of settings."""


class Document(Section):
    """Base of a whole YAML file, which can be read, written and compared."""

    @classmethod
    def parse(cls, values: Mapping[str, Any], origin: str = "config") -> Self:
        """Check plain values.

        Raises:
            ConfigError: keys or values are invalid; names each, what was expected and what was received.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ConfigError(_explain(error, origin), remedy=SETTINGS) from None

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a YAML file; the relative paths in it start in its folder.

        Raises:
            ConfigError: the file is missing, not YAML, or has invalid keys or values.
        """
        return cls.parse(relative_to(read_yaml(path), Path(path).parent), str(path))

    def to_yaml(self) -> str:
        """Return all settings as YAML, defaults included, so that the file is complete."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    def differences(self, other: Document) -> list[tuple[str, Any, Any]]:
        """Return (dotted key, own value, other value) for every difference between two documents."""
        mine, theirs = dict(_leaves(self.model_dump())), dict(_leaves(other.model_dump()))
        keys = list(dict.fromkeys([*mine, *theirs]))
        return [(k, mine.get(k), theirs.get(k)) for k in keys if mine.get(k) != theirs.get(k)]


class Config(Document):
    """All settings of a run, as in its `config.yaml`."""

    name: str = "run"
    summary: str = ""
    data: DataConfig = Field(default_factory=lambda: DataConfig())
    model: ModelConfig = Field(default_factory=lambda: ModelConfig())
    objective: ObjectiveConfig = Field(default_factory=lambda: ObjectiveConfig())
    optimizer: OptimizerConfig = Field(default_factory=lambda: OptimizerConfig())
    schedule: ScheduleConfig = Field(default_factory=lambda: ScheduleConfig())
    train: TrainConfig = Field(default_factory=lambda: TrainConfig())
    diagnosis: DiagnosisConfig = Field(default_factory=lambda: DiagnosisConfig())
    target: Goal | None = None
    published: Published | None = None
    published_note: str = Field(default="", description="the reason why there is no published score")

    @model_validator(mode="before")
    @classmethod
    def _current_keys(cls, values: Any) -> Any:
        return rename_old_keys(values) if isinstance(values, Mapping) else values

    @model_validator(mode="after")
    def _one_average(self) -> Config:
        if self.train.ema is not None and self.train.swa_start is not None:
            raise ValueError("train.ema and train.swa_start both average weights; set one")
        return self

    def patch(self, changes: Mapping[str, Any], origin: str = "--set") -> Config:
        """Return a copy with dotted keys replaced, e.g. {"train.epochs": 3}.

        Another model, loss, optimizer ... does not inherit the options of the one before; see
        `config_text.BELONGS`.

        Args:
            changes: new values by key.
            origin: where the changes come from, for error messages.

        Raises:
            ConfigError: a key is unknown or a value is invalid.
        """
        values = self.model_dump()
        for key, value in changes.items():
            *sections, last = OLD_KEYS.get(key, key).split(".")
            here = values
            for section in sections:
                inner = here.get(section) if isinstance(here, dict) else None
                if inner is None and (section in here or here is values["optimizer"]["phases"]):
                    inner = here[section] = {}
                if not isinstance(inner, dict):
                    raise ConfigError(_unknown(key, origin), remedy=SETTINGS)
                here = inner
            here[last] = value
        before, usual = self.model_dump(), Config().model_dump()
        return Config.parse(without_options_of_others(before, values, changes, usual), origin)


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def known_keys() -> list[str]:
    """Return every dotted key of a config."""
    full = Config.model_validate(
        {"target": {"value": 0}, "published": {"value": 0, "source": ""}, "train": {"early_stopping": {}}}
    )
    return [key for key, _ in _leaves(full.model_dump())]


def _unknown(key: str, origin: str) -> str:
    near = difflib.get_close_matches(key, known_keys(), n=1, cutoff=0.5)
    return f"{origin}: there is no key {key!r}." + (f" Did you mean {near[0]!r}?" if near else "")


def _explain(error: ValidationError, origin: str) -> str:
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            lines.append(_unknown(key, origin))
        else:
            flag = origin.startswith("--") and origin != "--set"  # which names the setting
            where = f"{key}: " if key and not flag else ""
            lines.append(f"{origin}: {where}{expected(item)}, received {item['input']!r:.80}.")
    return "\n".join(lines)
