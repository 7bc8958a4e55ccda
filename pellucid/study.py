"""A study: several runs with one result, a mean over them or a curve along a setting.

Like the config of a run, a study is read from YAML, written with every setting and patched by dotted keys.
Its parts are one config with different settings, e.g. ten runs with a different normal class each, of which
the mean counts; or two models on growing shares of the data, of which the curves count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, model_validator

from pellucid.config import Config, Document, Goal, Published
from pellucid.config_text import read_yaml, relative_to
from pellucid.errors import ConfigError


@dataclass(frozen=True)
class Place:
    """The position of a part in the chart: the name of its line, and x, or None if there is no axis."""

    line: str
    x: float | None


class Study(Document):
    """Several runs and the measure that compares them."""

    model_config = ConfigDict(frozen=True)

    name: str
    summary: str = ""
    base: Config = Field(description="the config that all parts share")
    parts: dict[str, dict[str, Any]] = Field(
        min_length=1, description="the settings of each part by label, e.g. {small: {model.size: small}}"
    )
    metric: str = Field(description="the measure, e.g. test/auroc; the result is its mean")
    along: str | None = Field(default=None, description="the numeric setting on the x axis of the chart")
    lines: str | None = Field(default=None, description="the setting that names the line of a part")
    target: Goal | None = Field(default=None, description="the mean to reach")
    published: Published | None = Field(default=None, description="a published mean")
    published_note: str = Field(default="", description="why there is no published score, if there is none")

    @model_validator(mode="after")
    def _one_metric(self) -> Study:
        for name, score in (("target", self.target), ("published", self.published)):
            if score is not None and score.metric != self.metric:
                raise ValueError(
                    f"{name}.metric is {score.metric}, but the metric of the study is {self.metric}"
                )
        return self

    def configs(self) -> dict[str, Config]:
        """Return the config of every part by label.

        Raises:
            ConfigError: a part has an unknown setting or an invalid value; names the part.
        """
        return {
            label: self.base.patch(
                {"name": f"{self.name}: {label}", **settings}, f"{self.name}, part {label!r}"
            )
            for label, settings in self.parts.items()
        }

    def places(self) -> dict[str, Place]:
        """Return the position of every part in the chart, by label.

        Raises:
            ConfigError: `along` or `lines` is not a setting, or `along` is not a number; names the part.
        """
        return {label: self._place(label, config) for label, config in self.configs().items()}

    def patch(self, changes: Mapping[str, Any], origin: str = "--set") -> Study:
        """Return a copy with these settings in every part.

        Args:
            changes: new values by dotted key.
            origin: where the changes come from, for error messages.

        Raises:
            ConfigError: a key is unknown or a value is invalid.
        """
        parts = {
            label: {**{key: value for key, value in own.items() if key not in changes}, **changes}
            for label, own in self.parts.items()
        }
        return self.model_copy(update={"base": self.base.patch(changes, origin), "parts": parts})

    def _place(self, label: str, config: Config) -> Place:
        x = None if self.along is None else _setting(config, self.along)
        if self.along is not None and (isinstance(x, bool) or not isinstance(x, (int, float))):
            raise ConfigError(
                f"{self.name} has {self.along} on its x axis: expected a number in every part, "
                f"received {x!r} in {label!r}."
            )
        return Place("" if self.lines is None else str(_setting(config, self.lines)), x)


def read(path: str | Path) -> Config | Study:
    """Read a YAML file: a study if it has parts, else a config.

    Raises:
        ConfigError: the file is missing, not YAML, or has unknown keys or invalid values.
    """
    values = relative_to(read_yaml(path), Path(path).parent)
    return (Study if "parts" in values else Config).parse(values, str(path))


def _setting(config: Config, key: str) -> Any:
    value: Any = config.model_dump()
    for section in key.split("."):
        if not isinstance(value, dict) or section not in value:
            raise ConfigError(f"{config.name}: there is no setting {key!r} for its chart.")
        value = value[section]
    return value
