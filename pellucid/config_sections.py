"""Sections of the config that describe data: augmentation, texts, time series."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Base of every section: unknown keys are errors, and values are checked when they change."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class Augment(Section):
    """Random changes to training images, different in every batch; 0 is off."""

    shift: float = Field(default=0, ge=0, le=1, description="maximum shift, as a share of the image side")
    rotate: float = Field(default=0, ge=0, le=180, description="maximum rotation, in degrees")
    scale: float = Field(default=0, ge=0, lt=1, description="zoom between 1 - scale and 1 + scale")
    flip: bool = Field(default=False, description="mirror half of the images horizontally")
    crop: int = Field(default=0, ge=0, description="pad by this many pixels, then crop at random")
    erase: float = Field(default=0, ge=0, le=1, description="probability of erasing a random rectangle")
    mixup: float = Field(default=0, ge=0, description="a of Beta(a, a) for mixing two images and labels")
    cutmix: float = Field(default=0, ge=0, description="a of Beta(a, a) for pasting a patch of an image")


class TextConfig(Section):
    """How to split texts into tokens; the vocabulary is learned from the training split only."""

    tokenizer: Literal["words", "characters", "bpe", "wordpiece"] | None = Field(
        default=None, description="None: words for sequence models, word counts for all others"
    )
    vocab_size: int = Field(default=20_000, ge=10, description="maximum number of tokens in the vocabulary")
    max_seq_len: int = Field(default=256, ge=2, description="maximum tokens per text; the rest is cut")
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


class SeriesConfig(Section):
    """How to cut a time series into windows for forecasting."""

    window: int = Field(default=96, ge=1, description="number of past rows that a forecast is based on")
    horizon: int = Field(default=96, ge=1, description="number of future rows to forecast")
    time: str | None = Field(default=None, description="the time column; None: the only date column")
    rows: list[int] | None = Field(
        default=None, description="training, validation and test rows, from the start; None: by share"
    )
