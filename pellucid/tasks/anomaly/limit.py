"""The score above which an image counts as an anomaly: by value, by the rate of false alarms, or by examples.

Shapes: scores (N,).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor

from pellucid.data.image_files import is_hidden
from pellucid.errors import BadDataError, DataNotFoundError, RunError, UsageError
from pellucid.evaluation import EVALUATION, Trained
from pellucid.record import files
from pellucid.tasks.anomaly.normal_name import is_normal_name
from pellucid.tasks.anomaly.reconstruction_score import best_threshold, threshold
from pellucid.tasks.prepared import EVALUATED

ScoresOf = Callable[[Any], Tensor]
"""Prediction inputs -> their scores."""


@dataclass(frozen=True)
class Limit:
    """A limit of scores.

    Attributes:
        value: the score above which an image counts as an anomaly; None: it is not known.
        reason: where it comes from, in words.
    """

    value: float | None
    reason: str = ""


def check_rate(rate: float) -> float:
    """Return the rate of false alarms.

    Raises:
        UsageError: it is not between 0 and 1.
    """
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 1:
        raise UsageError(
            f"false_alarm_rate: expected a share of normal images above 0 and below 1, received {rate!r}.",
            remedy="false_alarm_rate=0.01 for one in a hundred",
        )
    return float(rate)


def choose_limit(
    normal: Tensor, *, limit: float | None, false_alarm_rate: float, examples: str | None, score: ScoresOf
) -> Limit:
    """Choose the limit of a run by its options, given the scores of held-out normal images."""
    if limit is not None:
        return Limit(float(limit), "as asked")
    if examples is not None:
        return limit_of_examples(Path(examples), (), score)
    return _by_rate(normal, check_rate(false_alarm_rate))


def limit_of_examples(folder: Path, normal: tuple[str, ...], score: ScoresOf) -> Limit:
    """Choose the limit that separates the examples in a folder best; see `best_threshold`.

    Args:
        folder: with a folder of normal images, called by a name of `normal` or a usual one, and folders of
            anomalies.
        normal: names of the class that was learned.
        score: scores a folder of images.

    Raises:
        DataNotFoundError: there is no such folder.
        BadDataError: it has no normal examples, or only such.
    """
    if not folder.is_dir():
        raise DataNotFoundError(f"There is no folder {folder} with examples of normal images and anomalies.")
    found = sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name))
    known = {name.casefold() for name in normal}
    good = [path for path in found if path.name.casefold() in known or is_normal_name(path.name)]
    bad = [path for path in found if path not in good]
    if not good or not bad:
        raise BadDataError(
            f"{folder} has {_folders(found)}: expected normal examples in good/ and anomalies in others, "
            "such as bad/.",
        )
    value, detected, alarms = best_threshold(
        *(torch.cat([score(str(path)) for path in part]) for part in (good, bad))
    )
    return Limit(
        value,
        f"of the examples in {folder}, {100 * detected:.3g} % of the anomalies and {100 * alarms:.3g} % of "
        "the normal images are above it",
    )


def _folders(found: list[Path]) -> str:
    names = ", ".join(path.name for path in found)
    return {0: "no folders", 1: f"only the folder {names}"}.get(len(found), f"the folders {names}")


def _by_rate(normal: Tensor, rate: float) -> Limit:
    """Choose the limit that a share of the held-out normal images is above, and say how sure it is."""
    count = len(normal)
    reason = f"about {100 * rate:.3g} % of normal images are above it, counted on {count:,} held-out ones"
    if count < 1 / rate - 1:
        reason = (
            f"it is the largest score of the {count:,} normal images that were held out, too few to tell "
            f"{100 * rate:.3g} % of false alarms: that takes {math.ceil(1 / rate - 1):,}"
        )
    return Limit(threshold(normal, rate), reason)


# ---- a finished run ----------------------------------------------------------------------------------


def limit_for(trained: Trained, score: ScoresOf, limit: Any, false_alarm_rate: Any, examples: Any) -> Limit:
    """Return the limit that is asked for, or that of the run.

    Raises:
        UsageError: more than one way was asked for, or a value is out of range.
        RunError: the run kept no scores of normal images.
    """
    asked = [
        name
        for name, value in (("limit", limit), ("false_alarm_rate", false_alarm_rate), ("examples", examples))
        if value is not None
    ]
    if len(asked) > 1:
        raise UsageError(f"Expected one way to set the limit, received {' and '.join(asked)}.")
    if limit is not None:
        if isinstance(limit, bool) or not isinstance(limit, int | float):
            raise UsageError(f"limit: expected a score, received {limit!r}.")
        return Limit(float(limit), "as asked")
    if examples is not None:
        known = _summary(trained).get("normal")
        return limit_of_examples(Path(str(examples)), (known,) if known else (), score)
    if false_alarm_rate is not None:
        rate = check_rate(false_alarm_rate)
        return _by_rate(_normal_scores(trained), rate)
    return kept_limit(trained) or Limit(None)


def kept_limit(trained: Trained) -> Limit | None:
    """Return the limit that a run wrote down; None where it never was evaluated."""
    kept = _summary(trained)
    return Limit(kept["limit"], kept.get("limit_reason", "")) if kept else None


def map_scale(trained: Trained) -> tuple[float, float] | None:
    """Return the scale of heat maps that a run wrote down; None where it has none."""
    kept = _summary(trained).get("map_scale")
    return (float(kept[0]), float(kept[1])) if kept else None


def _summary(trained: Trained) -> dict[str, Any]:
    """Return what a run wrote down when it was evaluated; {} where it never was."""
    for split in EVALUATED if trained.folder is not None else ():
        assert trained.folder is not None
        path = trained.folder / EVALUATION / f"{split}.json"
        if path.exists():
            found = files.read_json(path)
            if not isinstance(found, dict) or not isinstance(found.get("limit"), int | float):
                raise RunError(
                    f"{path} is damaged: it has no limit.",
                    remedy="`pellucid evaluate RUN`, which writes it again",
                )
            return found
    return {}


def _normal_scores(trained: Trained) -> Tensor:
    """Return the scores of the normal images that were held out for validation, else for the test."""
    for split in EVALUATED if trained.folder is not None else ():
        assert trained.folder is not None
        path = trained.folder / EVALUATION / f"{split}.parquet"
        if path.exists() and {"score", "target"} <= set((table := pq.read_table(path)).column_names):
            classes = list(trained.preprocess.classes)
            name = str(_summary(trained)["normal"])
            index = classes.index(name) if name in classes else 0
            found = table.filter(pc.field("target") == index)["score"].to_numpy()
            if len(found):
                return torch.from_numpy(found.copy())
    raise RunError(
        "The run kept no scores of normal images, which a rate of false alarms is counted with.",
        remedy="`pellucid evaluate RUN --split validation`, or limit=",
    )
