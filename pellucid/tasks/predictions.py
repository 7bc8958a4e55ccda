"""What `predict` returns: the answer of a task, with the name of each row, notes, and a way to write it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pellucid import prediction_file
from pellucid.data.input_rows import InputRows
from pellucid.errors import worded


class Predictions:
    """Predictions for new inputs.

    What else the task answers, such as `labels`, `probs`, `outputs`, `values` or `images`, is found here too.

    Args:
        answer: of the task; one with `has_names` names its rows itself.
        inputs: the rows that it is for; None: they are numbered.

    Attributes:
        answer: of the task.
        notes: what the user should know of the inputs, one line each.
        left_out: the names of inputs that could not be read, each with its "reason".
    """

    def __init__(self, answer: Any, inputs: InputRows | None = None):
        self.answer, self.inputs = answer, inputs
        notes = (*(inputs.notes if inputs else ()), *getattr(answer, "notes", ()))
        self.notes: tuple[str, ...] = tuple(map(worded, notes))
        self.left_out = inputs.left_out if inputs else ()

    @property
    def names(self) -> list[Mapping[str, Any]]:
        """What each row of `rows` is called: its "file", or "row" counted from 1 and its id."""
        return self._names(len(self.answer.rows()))

    def rows(self, **options: Any) -> list[dict[str, Any]]:
        """One dict a prediction: the name of the row, and what is predicted for it as "prediction".

        Args:
            options: of the answer's own `rows`, e.g. `top=3` probabilities.
        """
        found = self.answer.rows(**options)
        return self._named(found)

    def save(self, path: str | Path) -> Path:
        """Write the predictions to a .csv, .jsonl or .parquet file, whole or not at all; return its path.

        Raises:
            UsageError, StorageError: the file has another ending, or cannot be written.
        """
        checked = prediction_file.check_path(path)
        records = getattr(self.answer, "records", None)
        prediction_file.write(checked, self._named(records()) if records else self.rows())
        return checked

    def _named(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [{**name, **row} for name, row in zip(self._names(len(rows)), rows, strict=True)]

    def _names(self, count: int) -> list[Mapping[str, Any]]:
        """Name `count` answers; several for one input have the same name."""
        if getattr(self.answer, "has_names", False):
            return [{} for _ in range(count)]
        if self.inputs is None or not len(self.inputs) or count % len(self.inputs):
            return [{"row": row + 1} for row in range(count)]
        return [name for name in self.inputs.names for _ in range(count // len(self.inputs))]

    def __len__(self) -> int:
        return len(self.answer.rows())

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "answer" not in self.__dict__:
            raise AttributeError(name)
        try:
            return getattr(self.answer, name)
        except AttributeError:
            known = ", ".join(found for found in dir(self) if not found.startswith("_"))
            raise AttributeError(f"These predictions have no {name!r}; they have {known}.") from None

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(name for name in dir(self.answer) if not name.startswith("_"))})

    def __repr__(self) -> str:
        rows = self.rows()
        shown = "".join(f"\n  {row}" for row in rows[:5])
        more = f"\n  ... and {len(rows) - 5:,} more" if len(rows) > 5 else ""
        return f"{len(rows):,} predictions:{shown}{more}"
