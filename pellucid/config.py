"""One schema for everything a run can be told: the YAML file, the `--set` flags and the forms.

`Config` is read from YAML (`Config.read`), rendered in full (`Config.to_yaml`) and patched by dotted
keys (`config.patch({"train.epochs": 3})`). Unknown keys are refused with the nearest known one.
Whatever is None is off or decided by the program; what it decided stands in the run with its reason.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pellucid.errors import ConfigError, UsageError
from pellucid.record.spec import find_spec

ColumnKind = str
"""The name of a kind of column, a file in `pellucid/data/kinds`; checked when the data is opened."""

OLD_KEYS = {
    "data.text.cut": "data.text.truncation",
    "data.text.hidden": "data.text.mask_prob",
    "judge": "objective.options.evaluator",
    "train.path": "train.execution",
}
"""Keys of earlier versions and what they are called now."""


class Section(BaseModel):
    """Base of every section: unknown keys are errors, and values are checked when they change."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class Augment(Section):
    """Random changes to training images, drawn anew for every batch; 0 is off."""

    shift: float = Field(default=0, ge=0, le=1, description="largest shift, as a share of the image side")
    rotate: float = Field(default=0, ge=0, le=180, description="largest rotation, in degrees")
    scale: float = Field(default=0, ge=0, lt=1, description="zoom between 1 - scale and 1 + scale")
    flip: bool = Field(default=False, description="mirror left-right, half of the images")
    crop: int = Field(default=0, ge=0, description="pad by this many pixels, then crop back at random")
    erase: float = Field(default=0, ge=0, le=1, description="probability of blanking a random rectangle")
    mixup: float = Field(default=0, ge=0, description="Beta(a, a) of mixing two images and their labels")
    cutmix: float = Field(default=0, ge=0, description="Beta(a, a) of pasting a patch of another image")


class TextConfig(Section):
    """How texts become tokens; the vocabulary is learned from the training split only."""

    tokenizer: Literal["words", "characters", "bpe", "wordpiece"] | None = Field(
        default=None, description="None: words for a model that reads sequences, word counts for all others"
    )
    vocab_size: int = Field(default=20_000, ge=10, description="most tokens there may be")
    max_seq_len: int = Field(default=256, ge=2, description="tokens of a text that are read; the rest is cut")
    truncation: Literal["end", "start", "middle"] = Field(
        default="end", description="which part of a long text is left out"
    )
    lowercase: bool = True
    mask_prob: float = Field(
        default=0.15, gt=0, lt=1, description="share of the tokens that a masked language model predicts"
    )
    pretrained: str | None = Field(
        default=None, description="use the tokenizer of this pretrained model or run, instead of learning one"
    )


class SeriesConfig(Section):
    """How rows in the order of time become windows to forecast from."""

    window: int = Field(default=96, ge=1, description="rows a forecast is made from")
    horizon: int = Field(default=96, ge=1, description="rows that are forecast")
    time: str | None = Field(default=None, description="the column of time; None: the only date there is")
    rows: list[int] | None = Field(
        default=None, description="rows of train, validation and test, from the start; None: by share"
    )


class DataConfig(Section):
    """What to learn from."""

    source: str = Field(default="digits", description="a hub name or alias, or the path of a file or folder")
    subset: str | None = Field(default=None, description="the hub configuration, where a dataset has several")
    target: str | None = Field(default=None, description="the column to predict; None: the usual names")
    inputs: list[str] | None = Field(default=None, description="the columns to learn from; None: all others")
    sample_weight: str | None = Field(
        default=None, description="the column of weights by which the loss of each training row counts"
    )
    columns: dict[str, ColumnKind] = Field(default={}, description="column kinds, where the guess is wrong")
    validation: float = Field(default=0.1, gt=0, lt=1, description="share held out where there is no split")
    test: float = Field(
        default=0.1, ge=0, lt=1, description="share held out where there is no split; 0: no test at all"
    )
    split_seed: int = Field(default=0, description="seed of the split, apart from the seed of training")
    fraction: float = Field(
        default=1.0, gt=0, le=1, description="share of each split to use, for a quick look"
    )
    training_rows: int | None = Field(
        default=None,
        ge=1,
        description="training rows to use, or `fraction` of them; other splits stay whole. None: all",
    )
    image_size: int | None = Field(default=None, ge=1, description="side images are resized to; None: as is")
    stack: Literal[3] | None = Field(
        default=None,
        description="3: rows are three random gray images of their split, one a channel, without labels",
    )
    normalize: bool = Field(
        default=True, description="zero mean, unit variance, fitted on the training split"
    )
    skip_bad: bool = Field(default=False, description="leave out what cannot be read, count and list it")
    memory: float = Field(
        default=0.25, gt=0, le=1, description="share of memory data may fill before it streams"
    )
    augment: Augment = Field(default_factory=lambda: Augment())
    text: TextConfig = Field(default_factory=lambda: TextConfig())
    series: SeriesConfig = Field(default_factory=lambda: SeriesConfig())


class ModelConfig(Section):
    """Which network. `options` go to its builder and are checked against its signature."""

    name: str = "mlp"
    size: Literal["tiny", "small", "base"] | None = Field(
        default=None, description="None: the model's default"
    )
    options: dict[str, Any] = Field(default={}, description="e.g. {hidden: [128, 64], activation: relu}")
    weights: str | None = Field(
        default=None,
        description="start from these: a run's id or folder, or a .safetensors file; "
        "of the model `pretrained`: a folder, a package or a hub id",
    )


class ObjectiveConfig(Section):
    """What is optimized. `options` go to the objective and are checked against its signature.

    `loss` is a name in the loss catalogue, for what predicts a target; None: the usual one for the task.
    """

    name: str = Field(
        default="classification", description="the task, or the package of one: my_project.my_task"
    )
    options: dict[str, Any] = Field(default={}, description="e.g. {noise: 0.5}, {beta: 1.0}")
    loss: str | None = Field(
        default=None,
        description="a name in the loss catalogue, or package.module:function (outputs, targets) -> scalar",
    )
    metrics: list[str] = Field(
        default=[], description="further metrics, each package.module:attribute, e.g. a function"
    )
    label_smoothing: float = Field(default=0, ge=0, lt=1)
    class_weights: bool | dict[str, float] | list[float] = Field(
        default=False,
        description="true: weight classes by their inverse frequency; or one weight each, by name or order",
    )
    l1: float = Field(default=0, ge=0, description="strength of the L1 penalty on weights")
    l2: float = Field(default=0, ge=0, description="strength of the L2 penalty in the loss (coupled)")

    @field_validator("name")
    @classmethod
    def _known_task(cls, name: str) -> str:
        """Check that there is such a task; a package stays as it was written, an old name becomes the new."""
        try:
            spec = find_spec(name)
        except UsageError as error:
            raise ValueError(error.message) from None
        return name if "." in name else spec.name

    @model_validator(mode="before")
    @classmethod
    def _current_options(cls, values: Any) -> Any:
        """Rename options of earlier versions, which the task lists in its spec."""
        if not isinstance(values, Mapping) or not isinstance(options := values.get("options"), Mapping):
            return values
        try:
            renamed = find_spec(str(values.get("name", "classification"))).renamed_options
        except UsageError:
            return values
        return {**values, "options": {renamed.get(key, key): value for key, value in options.items()}}


class PhaseOptimizer(Section):
    """What one phase of an objective does otherwise; None: as all of them."""

    name: str | None = None
    lr: float | None = Field(default=None, gt=0)
    weight_decay: float | None = Field(default=None, ge=0)
    options: dict[str, Any] | None = None


class OptimizerConfig(Section):
    """How weights move. `options` go to the optimizer, e.g. {momentum: 0.9}.

    `name` is one of the catalogue, or `package.module:Class` of an optimizer, e.g. "torch.optim:SGD".

    `phases` changes any of these for one phase of an objective, e.g. {discriminator: {lr: 1e-4}}.
    """

    name: str = "adamw"
    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(
        default=0, ge=0, description="decoupled, on weights only: no biases, no norms"
    )
    options: dict[str, Any] = {}
    phases: dict[str, PhaseOptimizer] = {}


class ScheduleConfig(Section):
    """How the learning rate changes over training."""

    name: str = Field(
        default="constant",
        description="constant, step, cosine, one_cycle, plateau, or package.module:attribute of a PyTorch "
        "scheduler or of a function step -> factor",
    )
    warmup_steps: int = Field(default=0, ge=0, description="linear rise before the schedule begins")
    options: dict[str, Any] = Field(default={}, description="e.g. {final: 0.01}, {every: 10, factor: 0.1}")


class StoppingConfig(Section):
    """Early stopping: ends training when `monitor` has not improved for `patience` epochs."""

    monitor: str = "val/loss"
    patience: int = Field(default=5, ge=1)
    min_delta: float = Field(default=0, ge=0)


class TrainConfig(Section):
    """How training runs."""

    epochs: int = Field(default=10, ge=1)
    max_steps: int | None = Field(default=None, ge=1, description="stop after this many optimizer updates")
    batch_size: int = Field(default=32, ge=1)
    seed: int = Field(default=0, ge=0)
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    execution: str = Field(
        default="auto",
        description="how a step is computed: auto (measured), eager, or a combination of bf16, "
        "channels_last, math, compiled in this order, such as bf16_channels_last",
    )
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    clip_grad_norm: float | None = Field(default=None, gt=0)
    ema: float | None = Field(
        default=None, gt=0, lt=1, description="decay of the averaged weights, e.g. 0.999"
    )
    swa_start: float | None = Field(
        default=None, gt=0, lt=1, description="average weights equally from here on"
    )
    early_stopping: StoppingConfig | None = None
    monitor: str | None = Field(default=None, description="what is best; None: the objective's own measure")
    restore_best: bool = Field(default=True, description="finish with the best weights, not the last")
    checkpoint_seconds: float = Field(default=30, gt=0, description="longest time between checkpoints")
    keep: int = Field(default=2, ge=1, description="checkpoints to keep in addition to the best")
    trackers: list[Literal["tensorboard", "mlflow", "wandb"]] = []
    callbacks: list[str] = Field(
        default=[], description="further callbacks, each package.module:Class, made without arguments"
    )


class Target(Section):
    """The score this must reach, e.g. test/accuracy >= 0.995. `on` limits it to one source of data."""

    metric: str = "test/accuracy"
    value: float
    on: str | None = Field(
        default=None, description="the dataset it is stated for; elsewhere it does not apply"
    )


class Published(Section):
    """A published score for the same task, with its source. `on` as in `Target`."""

    metric: str = "test/accuracy"
    value: float
    source: str
    on: str | None = None


class Document(Section):
    """Base of what a YAML file holds as a whole: read, rendered and compared."""

    @classmethod
    def parse(cls, values: Mapping[str, Any], origin: str = "config") -> Self:
        """Check plain values.

        Raises:
            ConfigError: naming every key that is wrong, what was expected and what came.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ConfigError(_explain(error, origin), remedy="`pellucid train --help`") from None

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a YAML file.

        Raises:
            ConfigError: the file is missing, not YAML, or holds keys or values that are not known.
        """
        return cls.parse(read_yaml(path), str(path))

    def to_yaml(self) -> str:
        """Render every key, defaults included, so that the file says all there is to say."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    def differences(self, other: Document) -> list[tuple[str, Any, Any]]:
        """List (dotted key, here, there) wherever two documents differ."""
        mine, theirs = dict(_leaves(self.model_dump())), dict(_leaves(other.model_dump()))
        keys = list(dict.fromkeys([*mine, *theirs]))
        return [(k, mine.get(k), theirs.get(k)) for k in keys if mine.get(k) != theirs.get(k)]


class Config(Document):
    """Everything a run needs; what `config.yaml` holds."""

    name: str = "run"
    summary: str = ""
    data: DataConfig = Field(default_factory=lambda: DataConfig())
    model: ModelConfig = Field(default_factory=lambda: ModelConfig())
    objective: ObjectiveConfig = Field(default_factory=lambda: ObjectiveConfig())
    optimizer: OptimizerConfig = Field(default_factory=lambda: OptimizerConfig())
    schedule: ScheduleConfig = Field(default_factory=lambda: ScheduleConfig())
    train: TrainConfig = Field(default_factory=lambda: TrainConfig())
    target: Target | None = None
    published: Published | None = None
    published_note: str = Field(default="", description="why there is no published score, if there is none")

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

        Args:
            changes: new values by key.
            origin: where they come from, for the message.

        Raises:
            ConfigError: a key is not known or a value does not fit.
        """
        values = self.model_dump()
        for key, value in changes.items():
            *sections, last = OLD_KEYS.get(key, key).split(".")
            here = values
            for section in sections:
                inner = here.get(section) if isinstance(here, dict) else None
                if inner is None and section in here:
                    inner = here[section] = {}
                if not isinstance(inner, dict):
                    raise ConfigError(_unknown(key, origin), remedy="`pellucid train --help`")
                here = inner
            here[last] = value
        return Config.parse(values, origin)


def rename_old_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a config with the keys of earlier versions renamed; see `OLD_KEYS`."""
    renamed = copy.deepcopy(dict(values))
    for old, new in OLD_KEYS.items():
        (*old_path, old_key), (*new_path, new_key) = old.split("."), new.split(".")
        before = _section(renamed, old_path)
        value = before.pop(old_key, None) if before is not None else None
        if value is not None:  # None was the default
            _section(renamed, new_path, make=True)[new_key] = value
    return renamed


def _section(values: dict[str, Any], path: Sequence[str], *, make: bool = False) -> Any:
    """The section at a path of names; None where there is none of plain values, unless it is to be made."""
    here: Any = values
    for name in path:
        if make and isinstance(here, dict) and here.get(name) is None:
            here[name] = {}
        here = here.get(name) if isinstance(here, dict) else None
    return here if isinstance(here, dict) else None


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file of named sections.

    Raises:
        ConfigError: the file is missing, not YAML, or holds something else.
    """
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"Cannot read the config {path}: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not text: byte {error.start} is not UTF-8.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigError(
            f"{path}: expected named sections such as 'data:', received {type(values).__name__}.",
            remedy="`pellucid inspect DATA` writes a config that trains as it is",
        )
    return values


def is_reference(name: str) -> bool:
    """Whether a name in a config is `package.module:attribute` rather than one of ours."""
    module, colon, attribute = name.partition(":")
    return bool(colon) and all(part.isidentifier() for part in [*module.split("."), *attribute.split(".")])


def parse_override(text: str) -> tuple[str, Any]:
    """Split `section.key=value`; the value is read as YAML, so `3`, `true` and `[1, 2]` are typed."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(
            f"--set expects section.key=value, received {text!r}.", remedy="--set train.epochs=3"
        )
    try:
        return key.strip(), _number(yaml.safe_load(value))
    except yaml.YAMLError:
        raise ConfigError(f"--set {key}: {value!r} is not a YAML value.") from None


def _number(value: Any) -> Any:
    """YAML 1.1 reads `1e-3` as text; the user means the number."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def known_keys() -> list[str]:
    """Every dotted key a config can hold."""
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
            where = f"{key}: " if key else ""
            lines.append(f"{origin}: {where}{item['msg']}; received {item['input']!r:.80}.")
    return "\n".join(lines)
