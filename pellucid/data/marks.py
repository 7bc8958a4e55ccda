"""What is known of how text cells are written, before their columns are read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Marks:
    """How a file writes numbers, dates and missing values; None is found out for each column.

    Attributes:
        decimal: the decimal mark, as the user said.
        thousands: the mark between thousands; "": none.
        missing: the words that mean a missing value, besides an empty cell.
        dates: the form of dates, as for `strptime`.
        commas: whether some column has decimal commas, so that 1.234 is a thousand in the others.
        semicolons: whether cells are separated by semicolons, so that 1,234 is one and something.
    """

    decimal: str | None = None
    thousands: str | None = None
    missing: tuple[str, ...] | None = None
    dates: str | None = None
    commas: bool = False
    semicolons: bool = False


UNKNOWN = Marks()
