"""The errors that Pellucid raises, and the exit codes of the command line.

    PellucidError                 1   base class of all errors
    ├── UsageError                2   the call is wrong: an unknown name, flag or config key
    │   ├── UnknownNameError          ... with "did you mean"
    │   └── ConfigError               ... in a config file or an override
    ├── DataError                 3   the data cannot be used
    │   ├── DataNotFoundError         ... it is not found in any of the places searched
    │   └── BadDataError              ... a file, row or column is invalid
    │       ├── BadCellsError             ... cells of a column do not fit, where others do
    │       └── UntaggedError             ... a token has no tag, in data that has tags otherwise
    ├── ModelError                4   a model is invalid, or an input does not fit it
    ├── RunError                  5   a run folder or checkpoint is missing, damaged or of another run
    │   └── ResumeError               ... the config or data differ from those the run was started with
    ├── TrainingError             6   training cannot continue: non-finite loss, no learning rate works
    ├── StorageError              7   the disk is full or cannot be written
    └── MissingExtraError         8   an optional library is not installed

A run stopped by Ctrl-C exits with 130, by SIGTERM with 143; in both cases its state is saved first.
A message states what was expected and what was received; `remedy` states what to try.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

from pellucid.python_words import in_python

SPEAKS_COMMANDS = False
"""Whether the command line runs, so that a remedy names its options and not arguments of Python."""
INTERRUPTED = 130
TERMINATED = 143


def worded(text: str) -> str:
    """Return a text with options of the command line as arguments of Python, where Python is used."""
    return text if SPEAKS_COMMANDS else in_python(text)


class PellucidError(Exception):
    """Base class of all errors.

    Args:
        message: what was expected and what was received, with the numbers, file, row or column.
        remedy: what to try, such as an option to set; shown on its own line after "Try:". Options of the
            command line are shown as arguments of Python where Python is used (`pellucid.python_words`).
    """

    exit_code = 1

    def __init__(self, message: str, *, remedy: str | None = None):
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return worded(f"{self.message}\nTry: {self.remedy}" if self.remedy else self.message)


def similar_file(path: str | Path) -> str:
    """Return " Did you mean ...?" with the files of nearly this name in the same folder; "" if none."""
    path = Path(path)
    try:
        if path.is_symlink():
            return f" It is a link to {os.readlink(path)}, which does not exist."
        names = [file.name for file in path.parent.iterdir()]
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, names, n=2, cutoff=0.75)
    return f" Did you mean {' or '.join(repr(str(path.with_name(name))) for name in near)}?" if near else ""


class UsageError(PellucidError):
    exit_code = 2


MANY = 60
"""The most known names that are listed."""


class UnknownNameError(UsageError):
    """A name that is not in a list of known names.

    Args:
        kind: what the name refers to, e.g. "recipe".
        name: the unknown name.
        known: the known names; the message suggests the nearest.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]):
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
        suggestion = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        super().__init__(
            f"There is no {kind} named {name!r}.{suggestion}",
            remedy=_one_of(known, near) if known else None,
        )


def _one_of(known: list[str], near: list[str]) -> str:
    """List the known names; of very many the near ones, or else the first."""
    shown = known if len(known) <= MANY else near or known[:MANY]
    rest = f" and {len(known) - len(shown)} others" if len(shown) < len(known) else ""
    return f"one of: {', '.join(map(_listed, shown))}{rest}"


def _listed(name: str) -> str:
    """Return a name as part of a list: in quotation marks if it contains a comma."""
    return repr(name) if "," in name else name


class ConfigError(UsageError):
    pass


class DataError(PellucidError):
    exit_code = 3


class DataNotFoundError(DataError):
    pass


class BadDataError(DataError):
    pass


class BadCellsError(BadDataError):
    pass


class UntaggedError(BadDataError):
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
    """An optional library is not installed.

    Args:
        library: the library that could not be imported.
        extra: the extra of Pellucid that installs it.
    """

    exit_code = 8

    def __init__(self, library: str, extra: str):
        super().__init__(
            f"This needs {library}, which is not installed.",
            remedy=f'pip install "pellucid[{extra}]"',
        )
