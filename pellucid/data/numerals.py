"""How a column of text writes numbers: decimal mark, thousands separator, unit, and words such as 1.2M.

`find` looks at some cells, `Numerals.read` reads a whole column. What was found for the training rows is kept
with the column, so that 1,500 is the same number in a prediction.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from pellucid.data import parse
from pellucid.data.compute import pc

CURRENCIES = (
    *("US$", "R$", "C$", "A$", "HK$", "$", "€", "£", "¥", "₹", "₽", "₩", "₺", "₪", "฿", "₫", "₴", "₦"),
    *("USD", "EUR", "GBP", "CHF", "JPY", "CNY", "INR", "CAD", "AUD", "SEK", "NOK", "DKK", "PLN", "BRL"),
    *("Rs.", "Rs", "kr.", "kr", "Fr."),
)
"""Currencies that may stand before a number."""

SCALES = {"k": 1e3, "K": 1e3, "M": 1e6, "m": 1e6, "B": 1e9, "bn": 1e9}
"""Letters that multiply a number, where cells have several of them, or have them after a currency."""

_SPACES, _MINUS, _APOSTROPHES = "[\u00a0\u2007\u2009\u202f]", "[\u2212\u2012\u2013]", "[\u2019\u02bc]"
_BEFORE = "|".join(map(re.escape, sorted(CURRENCIES, key=len, reverse=True)))
_CELL = re.compile(
    rf"\(?\s*[+-]?\s*(?P<before>{_BEFORE})?\s*[+-]?"
    r"(?P<digits>\d[\d.,' ]*\d|\d[.,]?|[.,]\d+)(?P<power>[eE][+-]?\d+)?\s*"
    r"(?P<after>[^\d\s()+<>=/:,.-][^\d()]{0,11})?-?\)?"
)


@dataclass(frozen=True)
class Numerals:
    """How numbers are written.

    Attributes:
        decimal: the decimal mark, "." or ",".
        thousands: between groups of digits; "": nothing.
        unit: before or after a number, which may lack it; in the singular.
        scaled: whether numbers end in letters that multiply them, as in 1.2M; see `SCALES`.
    """

    decimal: str = "."
    thousands: str = ""
    unit: str = ""
    scaled: bool = False

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Numerals:
        """Restore from `state()`; {} is plain numbers."""
        return cls(**{key: value for key, value in state.items() if key in cls.__dataclass_fields__})

    def state(self) -> dict[str, Any]:
        """Return what differs from plain numbers, as JSON values."""
        plain = asdict(PLAIN)
        return {key: value for key, value in asdict(self).items() if value != plain[key]}

    @property
    def words(self) -> str:
        """What is unusual, in words; "" for plain numbers."""
        parts = ["decimal commas"] if self.decimal == "," else []
        parts += [f"{_NAMES.get(self.thousands, self.thousands)} between thousands"] if self.thousands else []
        parts += [f"the unit {self.unit}"] if self.unit else []
        return " and ".join(parts + (["letters for thousands and millions"] if self.scaled else []))

    def read(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Read cells of text; those that are not such a number become missing."""
        if self == PLAIN:
            values = parse.numbers(column)
            if values.null_count == column.null_count:
                return values
        text = plain_marks(column)
        fits = pc.match_substring_regex(text, self._pattern)
        text = pc.if_else(fits, text, pa.scalar(None, text.type))
        negative = pc.match_substring_regex(text, r"^\(.*\)$|-$")
        factor = self._factors(text) if self.scaled else None
        text = pc.replace_substring_regex(text, r"^[^\d.,+-]+|[^\d.,]+$", "")
        text = pc.replace_substring_regex(text, r"^([+-])[^\d.,]+", r"\1")
        for mark in filter(None, (self.thousands, " ")):
            text = pc.replace_substring(text, mark, "")
        if self.decimal != ".":
            text = pc.replace_substring(text, self.decimal, ".")
        values = parse.numbers(text)
        if pc.any(negative).as_py():
            values = pc.if_else(negative, pc.negate(values), values)
        if self.unit in CURRENCIES:
            nothing = pc.match_substring_regex(column, self._nothing)
            values = pc.if_else(nothing, pa.scalar(0, values.type), values)
        return values if factor is None else pc.multiply(values, factor)

    @property
    def _nothing(self) -> str:
        """How accountants write 0: `$ -`."""
        unit = re.escape(self.unit)
        return rf"^(?:{unit}\s*-+|-+\s*{unit})$"

    @property
    def _pattern(self) -> str:
        mark, group = re.escape(self.decimal), re.escape(self.thousands)
        groups = (
            rf"[1-9]\d{{0,2}}(?:{group}\d{{2,3}})*{group}\d{{3}}(?:{mark}\d*)?|" if self.thousands else ""
        )
        number = rf"(?:{groups}(?:\d+(?:{mark}\d*)?|{mark}\d+)(?:[eE][+-]?\d+)?)"
        scale = f"(?:{'|'.join(SCALES)})?" if self.scaled else ""
        unit = f"(?:{re.escape(self.unit)}s?)?" if self.unit else ""
        sign = r"[+-]?\s*"
        positive = rf"{sign}{unit}\s*{sign}{number}\s*{scale}\s*{unit}"
        return rf"^{positive}$|^\(\s*{unit}\s*{number}\s*{scale}\s*{unit}\s*\)$|^{unit}\s*{number}\s*{unit}-$"

    def _factors(self, text: pa.ChunkedArray) -> pa.ChunkedArray:
        factor = pc.if_else(pc.is_valid(text), 1.0, 1.0)
        for letter, value in SCALES.items():
            factor = pc.if_else(
                pc.match_substring_regex(pc.fill_null(text, ""), rf"\d[.,]?\s*{letter}"), value, factor
            )
        return factor


PLAIN = Numerals()
_NAMES = {" ": "spaces", ",": "commas", ".": "points", "'": "apostrophes"}


def plain_marks(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Write spaces, minus signs and apostrophes of other shapes as the usual ones."""
    for shapes, usual in ((_SPACES, " "), (_MINUS, "-"), (_APOSTROPHES, "'")):
        column = pc.replace_substring_regex(column, shapes, usual)
    return column


def find(
    cells: Iterable[str], *, decimal: str | None = None, thousands: str | None = None, likely: str = "."
) -> Numerals | None:
    """Find how most of some cells write numbers; None if they are not numbers.

    Args:
        cells: some cells, none of them missing.
        decimal: the decimal mark, if it is known.
        thousands: the thousands separator, if it is known; "": none.
        likely: the decimal mark where 1,234 could be either.
    """
    matches = [match for cell in _usual(cells) if (match := _CELL.fullmatch(cell))]
    units = {(match["before"] or match["after"] or "").strip() for match in matches}
    unit, scaled = _unit(matches)
    if unit is None or not matches or (units == {""} and not any(_marks(m["digits"]) for m in matches)):
        return None if unit is None or not matches else Numerals(decimal or ".", thousands or "")
    digits = [_shown(match) for match in matches]
    found = _separators(digits, decimal, likely) if thousands is None or decimal is None else None
    if thousands is None or decimal is None:
        if found is None:
            return None
        decimal, thousands = decimal or found[0], found[1] if thousands is None else thousands
    return Numerals(decimal, thousands, unit, scaled)


def shows_decimal_comma(cells: Iterable[str]) -> bool:
    """Whether some cells can only be numbers with a decimal comma, and none has a decimal point."""
    digits = [_shown(match) for cell in _usual(cells) if (match := _CELL.fullmatch(cell))]
    found = {_certain(part) for part in digits}
    return any(pair and pair[0] == "," for pair in found) and not any(p and p[0] == "." for p in found)


def _usual(cells: Iterable[str]) -> list[str]:
    return plain_marks(pa.chunked_array([pa.array(list(cells), pa.string())])).to_pylist()


def _unit(matches: list[re.Match[str]]) -> tuple[str | None, bool]:
    """Return the unit that cells share ("": none; None: they differ), and whether letters multiply them."""
    befores = {match["before"] for match in matches if match["before"]}
    afters = {(match["after"] or "").strip() for match in matches}
    letters = afters & set(SCALES)
    scaled = bool(letters) and afters <= {*SCALES, ""} and (len(afters) > 1 or bool(befores))
    units = befores | (set() if scaled else {after.removesuffix("s") for after in afters if after})
    if len(units) > 1:
        return None, False
    return next(iter(units), ""), scaled


def _shown(match: re.Match[str]) -> str:
    """Return the digits of a number; a mark before a power of ten, as in 1.234e5, never groups thousands."""
    return match["digits"] + ("0" if match["power"] and re.search(r"[.,]", match["digits"]) else "")


def _marks(digits: str) -> str:
    return "".join(re.findall(r"[.,' ]", digits))


def _certain(digits: str) -> tuple[str | None, str | None] | None:
    """Return (decimal mark, thousands separator) as far as one number shows them; None: it shows none."""
    marks = _marks(digits)
    last = marks[-1:]
    if not marks:
        return None
    if len(set(marks)) > 1:
        return (last, marks[0]) if marks.count(last) == 1 and last in ".," else (None, None)
    if len(marks) > 1 or last in "' ":
        return (None, last)
    before, after = digits.split(last)
    if len(after) != 3 or not before or len(before) > 3 or before.startswith("0"):
        return (last, None)
    return None


def _separators(digits: list[str], decimal: str | None, likely: str) -> tuple[str, str] | None:
    """Return decimal mark and thousands separator of most numbers; None where they contradict each other."""
    known = [found for part in digits if (found := _certain(part)) is not None]
    decimals = {mark for mark, _ in known if mark} or ({decimal} if decimal else set())
    thousands = {mark for _, mark in known if mark}
    if len(decimals) > 1 or len(thousands) > 1 or decimals & thousands:
        return None
    unsure = {_marks(part) for part in digits if _marks(part) and _certain(part) is None}
    if not decimals and not thousands and unsure and likely == ",":
        decimals = {","}
    mark = next(iter(decimals), "." if thousands != {"."} else ",")
    if thousands:
        return mark, thousands.pop()
    other = "," if mark == "." else "."
    return mark, other if other in unsure else ""
