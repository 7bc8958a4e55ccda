"""The paths in the config of a run: absolute, so that the run can be used from any folder."""

from __future__ import annotations

import os
from pathlib import Path

from pellucid.config import Config
from pellucid.config_text import PATH_KEYS
from pellucid.data.dataset import FILE_SOURCES, Dataset


def with_absolute_paths(config: Config, dataset: Dataset | None = None) -> Config:
    """Return a config in which the paths of files and folders that exist are absolute.

    Args:
        config: the whole config.
        dataset: the data that was passed in; `data.source` is a path only if it came from one.
    """
    changes = {}
    for key in PATH_KEYS:
        value = config
        for part in key.split("."):
            value = getattr(value, part)
        if key == "data.source" and dataset is not None and dataset.source.kind not in FILE_SOURCES:
            continue
        if (
            isinstance(value, str)
            and (path := Path(os.path.expanduser(value))).exists()
            and not path.is_absolute()
        ):
            changes[key] = str(path.resolve())
    return config.patch(changes) if changes else config
