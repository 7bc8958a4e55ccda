"""Sections of the config that describe data: augmentation, texts, tables of text, time series."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

LARGEST = 2**53
"""The largest whole number of a setting: not every larger one is exact in JSON."""
LARGEST_SEED = 2**32 - 1
"""The largest seed of NumPy and scikit-learn."""


class Section(BaseModel):
    """Base of every section: unknown keys are errors, and values are checked when they change."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _plain_value(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse what pydantic would convert, and what no file can hold."""
        annotation = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and annotation is not bool and not {bool, Any} & set(get_args(annotation)):
            raise ValueError(f"expected no true or false, received {str(value).lower()}")
        if isinstance(value, int) and abs(value) > LARGEST:
            raise ValueError(f"expected a number of at most {LARGEST}, received {value}")
        if isinstance(value, str) and ("\0" in value or not _is_unicode(value)):
            raise ValueError(f"expected text, received {value!r}")
        return value


def _is_unicode(text: str) -> bool:
    """Return whether a text can be written: half of a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Augment(Section):
    """Random changes to training images, different in every batch; 0 is off."""

    shift: float = Field(default=0, ge=0, le=1, description="maximum shift, as a share of the image side")
    rotate: float = Field(default=0, ge=0, le=180, description="maximum rotation, in degrees")
    scale: float = Field(default=0, ge=0, lt=1, description="zoom between 1 - scale and 1 + scale")
    flip: bool = Field(default=False, description="mirror half of the images horizontally")
    crop: int = Field(default=0, ge=0, le=4_096, description="pad by this many pixels, then crop at random")
    erase: float = Field(default=0, ge=0, le=1, description="probability of erasing a random rectangle")
    mixup: float = Field(default=0, ge=0, description="a of Beta(a, a) for mixing two images and labels")
    cutmix: float = Field(default=0, ge=0, description="a of Beta(a, a) for pasting a patch of an image")


class TextConfig(Section):
    """How to split texts into tokens; the vocabulary is learned from the training split only."""

    tokenizer: Literal["words", "characters", "bpe", "wordpiece"] | None = Field(
        default=None, description="None: words for sequence models, word counts for all others"
    )
    vocab_size: int = Field(
        default=20_000, ge=10, le=10_000_000, description="maximum number of tokens in the vocabulary"
    )
    max_seq_len: int = Field(
        default=256, ge=2, le=1_000_000, description="maximum tokens per text; the rest is cut"
    )
    max_target_len: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="maximum tokens of a text to predict; None: those of the longest in training, up to 512 "
        "or max_seq_len",
    )
    truncation: Literal["end", "start", "middle"] = Field(
        default="end", description="which part of a long text to cut"
    )
    lowercase: bool = True
    mask_prob: float = Field(
        default=0.15, gt=0, lt=1, description="share of the tokens to mask for a masked language model"
    )
    pretrained: str | None = Field(
        default=None, description="use the tokenizer of this pretrained model or run instead of learning one"
    )


class CsvConfig(Section):
    """How a file of delimited text is written; None is found out from the file."""

    decimal: Literal[".", ","] | None = Field(default=None, description="the decimal mark of numbers")
    thousands: str | None = Field(
        default=None, max_length=1, description="between thousands: ',', '.', ' ', \"'\", or '' for nothing"
    )
    missing: list[str] | None = Field(
        default=None,
        description="the words that mean a missing value, besides an empty cell, e.g. ['-999', unknown]; "
        "None: NA, null, None, NaN, ? and the like, which are classes in a target of words",
    )
    dates: str | None = Field(
        default=None, description="the form of dates, e.g. '%m/%d/%Y', where day and month could be exchanged"
    )
    header: bool | None = Field(default=None, description="whether the first row holds the column names")
    skip: int | None = Field(default=None, ge=0, description="lines above the header, or the first row")
    encoding: str | None = Field(default=None, description="e.g. utf-8, latin-1, cp1252, utf-16, shift_jis")
    quote: str | None = Field(
        default=None,
        max_length=1,
        description="the mark around cells that hold the delimiter, or '' for none",
    )
    delimiter: str | None = Field(
        default=None, description="the character between cells; ' ' is any white space, '\\t' a tab"
    )

    @field_validator("missing", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        """Take a single word, and numbers such as -999, for words."""
        values = value if isinstance(value, (list, tuple)) else None if value is None else [value]
        return values and [word if isinstance(word, str) else f"{word:g}" for word in values]

    @field_validator("delimiter")
    @classmethod
    def _character(cls, value: str | None) -> str | None:
        value = {"\\t": "\t", "tab": "\t", "space": " ", r"\s+": " "}.get(value or "", value)
        if value is not None and len(value) != 1:
            raise ValueError(f"expected one character, received {value!r}")
        return value


class SeriesConfig(Section):
    """How to cut a time series into windows for forecasting."""

    window: int = Field(default=96, ge=1, description="number of past rows that a forecast is based on")
    horizon: int = Field(default=96, ge=1, description="number of future rows to forecast")
    time: str | None = Field(
        default=None,
        min_length=1,
        description="the time column, of dates or numbers; None: the only date column, or evenly increasing "
        "numbers with a usual name, such as t",
    )
    id: str | None = Field(
        default=None,
        min_length=1,
        description="the column that names the series, where a file holds several; several columns with "
        "commas between them; `file` is the name of each file of a folder",
    )
    fill: Literal["previous", "linear", "zero"] | None = Field(
        default=None,
        description="how to fill missing rows and values: the value before, a line between the values before "
        "and after (which tells of the future), or 0; None: they are refused",
    )
    rows: list[int] | None = Field(
        default=None, description="training, validation and test rows, from the start; None: by share"
    )


class DiagnosisConfig(Section):
    """What the rules of diagnosis report."""

    mute: list[str] = Field(
        default=[],
        description="ids of findings that are not reported; `pellucid diagnose --rules` lists them",
    )


class SplitConfig(Section):
    """Which rows are held out, where the source has no splits; at random and stratified by default."""

    group: str | None = Field(
        default=None,
        min_length=1,
        description="the column whose equal values stay in one split, e.g. patient; no input unless listed",
    )
    time: str | None = Field(
        default=None,
        min_length=1,
        description="the column of time: the newest rows are the test split, those before validation",
    )
    column: str | None = Field(
        default=None,
        min_length=1,
        description="the column that names the split of each row: train, validation or test",
    )
    folds: int | None = Field(
        default=None, ge=2, description="number of folds; the test split is one of them"
    )
    fold: int = Field(default=1, ge=1, description="the fold that is the test split, from 1")

    @model_validator(mode="after")
    def _one_rule(self) -> SplitConfig:
        rules = [name for name in ("time", "column") if getattr(self, name)]
        others = [name for name in ("group", "folds") if getattr(self, name)]
        if len(rules) > 1 or (rules and others):
            raise ValueError(
                f"expected one rule, or group with folds; received {' and '.join([*rules, *others])}"
            )
        if self.folds is None and self.fold != 1:
            raise ValueError(f"fold is {self.fold} and folds is not set: expected the number of folds too")
        if self.folds is not None and self.fold > self.folds:
            raise ValueError(f"fold {self.fold} of {self.folds} folds: expected at most {self.folds}")
        return self
