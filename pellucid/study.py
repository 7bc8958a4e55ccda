"""A study: one result that is made of several runs, as a mean over them or as a curve along a setting.

A study is what one config is to a run: read from YAML, rendered in full and patched by dotted keys. Its parts
are a common config with other settings each, e.g. ten runs with another normal class, whose mean is
compared; or two models on growing shares of the data, whose curves are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, model_validator

from pellucid.config import Config, Document, Published, Target, read_yaml
from pellucid.errors import ConfigError


@dataclass(frozen=True)
class Place:
    """Where a part stands in the chart: on which line, and how far along; None without one."""

    line: str
    x: float | None


class Study(Document):
    """Several runs, and the measure they are compared by."""

    model_config = ConfigDict(frozen=True)

    name: str
    summary: str = ""
    base: Config = Field(description="what the parts have in common")
    parts: dict[str, dict[str, Any]] = Field(
        min_length=1, description="by label, what a part has otherwise, e.g. {small: {model.size: small}}"
    )
    metric: str = Field(description="what is compared, e.g. test/auroc; the result is its mean")
    along: str | None = Field(default=None, description="the setting the chart is drawn along, a number")
    lines: str | None = Field(default=None, description="the setting that names the line a part is on")
    target: Target | None = Field(default=None, description="the mean that must be reached")
    published: Published | None = Field(default=None, description="a published mean")
    published_note: str = Field(default="", description="why there is no published score, if there is none")

    @model_validator(mode="after")
    def _one_metric(self) -> Study:
        for name, score in (("target", self.target), ("published", self.published)):
            if score is not None and score.metric != self.metric:
                raise ValueError(f"{name}.metric is {score.metric}, and what is compared {self.metric}")
        return self

    def configs(self) -> dict[str, Config]:
        """The whole config of every part, by label.

        Raises:
            ConfigError: a part has a setting that is not known or a value that does not fit; names the part.
        """
        return {
            label: self.base.patch(
                {"name": f"{self.name}: {label}", **settings}, f"{self.name}, part {label!r}"
            )
            for label, settings in self.parts.items()
        }

    def places(self) -> dict[str, Place]:
        """Where every part stands in the chart, by label.

        Raises:
            ConfigError: `along` or `lines` is not a setting, or no number to draw along; names the part.
        """
        return {label: self._place(label, config) for label, config in self.configs().items()}

    def patch(self, changes: Mapping[str, Any]) -> Study:
        """Return a copy in which every part has these settings, whatever it had.

        Raises:
            ConfigError: a key is not known or a value does not fit.
        """
        parts = {
            label: {**{key: value for key, value in own.items() if key not in changes}, **changes}
            for label, own in self.parts.items()
        }
        return self.model_copy(update={"base": self.base.patch(changes), "parts": parts})

    def _place(self, label: str, config: Config) -> Place:
        x = None if self.along is None else _setting(config, self.along)
        if self.along is not None and (isinstance(x, bool) or not isinstance(x, (int, float))):
            raise ConfigError(
                f"{self.name} is drawn along {self.along}: expected a number in every part, "
                f"received {x!r} in {label!r}."
            )
        return Place("" if self.lines is None else str(_setting(config, self.lines)), x)


def read(path: str | Path) -> Config | Study:
    """Read a YAML file that holds a config or, where it has parts, a study.

    Raises:
        ConfigError: the file is missing, not YAML, or holds keys or values that are not known.
    """
    values = read_yaml(path)
    return (Study if "parts" in values else Config).parse(values, str(path))


def _setting(config: Config, key: str) -> Any:
    value: Any = config.model_dump()
    for section in key.split("."):
        if not isinstance(value, dict) or section not in value:
            raise ConfigError(f"{config.name}: there is no setting {key!r} to draw along or name lines by.")
        value = value[section]
    return value
