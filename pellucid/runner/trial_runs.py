"""The training runs of a trial: the parts of a study in `trials/` of the run; trying again resumes them."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from pellucid.config import Config
from pellucid.data.dataset import Dataset
from pellucid.errors import ConfigError, TrainingError
from pellucid.record import Run, files, measures
from pellucid.record.run import CONFIG, list_runs
from pellucid.runner.components import direction
from pellucid.runner.resume import Resume
from pellucid.runner.run_study import record_part, train_part
from pellucid.study import Study

FOLDER = "trials"
UNCHANGED = "unchanged"
KNOWN = ("baselines", "data_checks")
REFUSED = (TrainingError, ConfigError)
"""Errors that are the fault of a change; the trial goes on without it."""


@dataclass
class TrialRuns:
    """The study of a trial; `score` trains a part, unless it is finished.

    Attributes:
        run: that is to be helped.
        base: the settings that all parts share.
        metric: the measure on validation rows by which is chosen.
        console: where each score is printed.
        dataset: the data, where it cannot be opened by name.
        expected: how many parts there will be, unless it is close.
        done: how many have a score.
        folder: of the study.
        parts: the settings of each part that differ from `base`.
    """

    run: Run
    base: Config
    metric: str
    console: Console
    dataset: Dataset | None
    expected: int
    done: int = 0
    folder: Run = field(init=False)
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        root = self.run.path / FOLDER
        for known in list_runs(root) if root.is_dir() else []:
            if known.kind == "study" and Study.read(known.path / CONFIG).base == self.base:
                self.folder, self.parts = known, dict(Study.read(known.path / CONFIG).parts)
                return
        facts = {
            "task": self.run.task,
            "spec": self.run.spec.to_dict(),
            "study": {"metric": self.metric, "along": None, "lines": None},
            "summary": f"what could help the run {self.run.id}",
        }
        text = self._study({UNCHANGED: {}}).to_yaml()
        self.folder = Run.create(root, f"{self.base.name}-trial", text, parts={}, **facts)

    @property
    def lower(self) -> bool:
        """Whether a lower score is better."""
        return direction(self.metric, self.run.spec) == "min"

    @property
    def on_test(self) -> str:
        """The same measure on test rows."""
        return f"test/{self.metric.partition('/')[2]}"

    @property
    def seconds(self) -> float:
        """What all parts took."""
        return sum(part["seconds"] for part in self.folder.facts["parts"].values())

    def score(self, name: str, patch: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Return the facts of a part: its `value` on validation rows and on `test`, or how it `failed`."""
        label = f"{name}, seed {seed}"
        known = self.folder.facts["parts"].get(label, {})
        if "value" not in known:
            self.parts[label] = {**patch, "train.seed": seed}
            files.write(self.folder.path / CONFIG, self._study(self.parts).to_yaml())
            if not known:
                record_part(self.folder, label, {"line": name, "x": None})
            known = self._train(label)
        self.done += 1
        shown = measures.written(self.metric, known["value"], self.run.spec)
        self.console.print(
            f"{self.done} of {max(self.expected, self.done)}: {label}: {self.metric} "
            f"{known.get('failed') or shown} ({known['seconds']:.0f} s)",
            markup=False,
        )
        return known

    def _study(self, parts: dict[str, dict[str, Any]]) -> Study:
        return Study(name=f"{self.base.name}-trial", base=self.base, parts=parts, metric=self.metric)

    def _train(self, label: str) -> dict[str, Any]:
        config = self._study(self.parts).configs()[label]
        began = time.perf_counter()
        facts: dict[str, Any] = {"value": None, "test": None}
        try:
            part = train_part(
                self.folder,
                label,
                config,
                Resume("last", allow_changes=True),
                Console(file=io.StringIO()),
                dataset=self.dataset,
                begun=self._know,
            )
        except REFUSED as error:
            facts |= {"failed": error.message}
        else:
            if part.status == "interrupted":
                raise KeyboardInterrupt
            facts |= {"value": self._value(part), "test": part.metrics.get(self.on_test)}
        record_part(self.folder, label, {**facts, "seconds": time.perf_counter() - began})
        return self.folder.facts["parts"][label]

    def _value(self, part: Run) -> float | None:
        best = part.facts["best"]
        return part.metrics.get(self.metric, best.get("value") if best["metric"] == self.metric else None)

    def _know(self, part: Run) -> None:
        """Spare a part what is known of the data of the run: the baselines, and the checks."""
        part.update(**{key: self.run.facts[key] for key in KNOWN if key in self.run.facts})
