"""Every error Pellucid raises on purpose, and the exit code the command line gives it.

    PellucidError                 1   anything of ours
    ├── UsageError                2   the call is wrong: an unknown name, flag or config key
    │   ├── UnknownNameError          ... with "did you mean"
    │   └── ConfigError               ... in a config file or an override
    ├── DataError                 3   the data cannot be used as it is
    │   ├── DataNotFoundError         ... it is in none of the places looked at
    │   └── BadDataError              ... a file, row or column is not what it should be
    ├── ModelError                4   a model, or an input that does not fit it
    ├── RunError                  5   a run folder or checkpoint that is missing, damaged or different
    │   └── ResumeError               ... what would be resumed is not what was started
    ├── TrainingError             6   training cannot go on: non-finite loss, no learning rate works
    ├── StorageError              7   the disk is full or cannot be written
    └── MissingExtraError         8   an optional library is not installed

A run ended by Ctrl-C exits with 130, by SIGTERM with 143; both have saved their state first.
A message says what was expected and what came; `remedy` says what to try.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

INTERRUPTED = 130
TERMINATED = 143


class PellucidError(Exception):
    """Base of the tree.

    Args:
        message: what was expected and what came, with the numbers, file, row or column in it.
        remedy: what to try, as an imperative sentence; shown on its own line.
    """

    exit_code = 1

    def __init__(self, message: str, *, remedy: str | None = None):
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\nTry: {self.remedy}" if self.remedy else self.message


class UsageError(PellucidError):
    exit_code = 2


class UnknownNameError(UsageError):
    """A name that is not in a list of known ones.

    Args:
        kind: what the name should name, e.g. "recipe".
        name: what was given.
        known: the names there are; the nearest are suggested.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]):
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
        suggestion = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        super().__init__(
            f"There is no {kind} named {name!r}.{suggestion}",
            remedy=f"one of: {', '.join(known)}" if known else None,
        )


class ConfigError(UsageError):
    pass


class DataError(PellucidError):
    exit_code = 3


class DataNotFoundError(DataError):
    pass


class BadDataError(DataError):
    pass


class ModelError(PellucidError):
    exit_code = 4


class RunError(PellucidError):
    exit_code = 5


class ResumeError(RunError):
    pass


class TrainingError(PellucidError):
    exit_code = 6


class StorageError(PellucidError):
    exit_code = 7


class MissingExtraError(PellucidError):
    """An optional library is missing.

    Args:
        library: what could not be imported.
        extra: the extra of ours that installs it.
    """

    exit_code = 8

    def __init__(self, library: str, extra: str):
        super().__init__(
            f"This needs {library}, which is not installed.",
            remedy=f'pip install "pellucid[{extra}]"',
        )
