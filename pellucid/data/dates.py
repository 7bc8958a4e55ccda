"""How a column of text writes dates: the form is found in some cells, and kept for the cells of a prediction.

A form is "ISO 8601", "quarters", "weeks", or a format of `strptime` such as `%m/%d/%Y`.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from pellucid.data.compute import pc
from pellucid.data.date_words import usual

ISO, QUARTERS, WEEKS = "ISO 8601", "quarters", "weeks"

_DAYS = (
    *(
        "%d/%m/%Y",
        "%m/%d/%Y",
        "%d.%m.%Y",
        "%m.%d.%Y",
        "%d-%m-%Y",
        "%m-%d-%Y",
        "%Y/%m/%d",
        "%Y.%m.%d",
        "%Y-%m-%d",
    ),
    *("%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d-%m-%y", "%m-%d-%y", "%Y%m%d", "%Y %m %d", "%Y-%b-%d"),
    *(
        "%d %b %Y",
        "%d-%b-%Y",
        "%d-%b-%y",
        "%d/%b/%Y",
        "%b %d, %Y",
        "%b %d %Y",
        "%d %B %Y",
        "%B %d, %Y",
        "%B %d %Y",
    ),
    *("%a %b %d %Y", "%a, %d %b %Y", "%A, %B %d, %Y", "%d. %B %Y", "%d. %b %Y"),
)
_MONTHS = ("%Y-%m", "%Y/%m", "%m/%Y", "%m-%Y", "%b-%y", "%b %Y", "%b-%Y", "%B %Y", "%Y-%b", "%Y %b", "%YM%m")
_TIMES = ("", "%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S %p", "%I:%M%p", "%I:%M:%S%p", "%I %p")
_PARTS = {
    **dict.fromkeys(("%d", "%m", "%H", "%I"), r"\d{1,2}"),
    **dict.fromkeys(("%M", "%S"), r"\d{2}"),
    "%Y": r"\d{4}",
    "%y": r"\d{2}",
    "%p": r"[AaPp][Mm]",
    "%b": r"[A-Za-z]{3}",
    "%B": r"[A-Za-z]{3,}",
    "%a": r"[A-Za-z]{3}",
    "%A": r"[A-Za-z]{6,}",
}
_COMPACT = {"%Y%m%d": r"(?:1[6-9]|20|21)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"}
_FEW = 50
_SHOWING = 10
_QUARTER = r"^\d{4}[ _/-]?[Qq][1-4]$|^[Qq][1-4][ _/-]?\d{4}$"
_WEEK = r"^\d{4}-?[Ww]\d{2}$"
_MOSTLY = 0.9


def are_compact(cells: pa.ChunkedArray) -> bool:
    """Whether cells are days without marks, such as 20200325, and there are several of them."""
    few = cells.drop_null()
    if not len(few) or not re.match(pattern("%Y%m%d"), few[0].as_py()):
        return False
    return len(pc.unique(few)) > 1 and not _strptime(few, "%Y%m%d").null_count


def find(sample: Sequence[str], column: pa.ChunkedArray | None = None) -> str | None:
    """Return the form that nearly all of some cells have, None if they are not dates.

    Where day and month could be exchanged, the form that fits more cells of the column is used; then the form
    by which the cells are in order, at equal steps; else the day comes first.

    Args:
        sample: cells without missing ones.
        column: all cells; None: there are no others.
    """
    few = sample[:: max(1, len(sample) // _SHOWING)]
    if 2 * sum(len(cell) <= 40 and any(map(str.isdigit, cell)) for cell in few) <= len(few):
        return None
    cells = usual(pa.chunked_array([pa.array(list(sample), pa.string())]))
    for form, marks in ((ISO, "-/. :Tt"), (QUARTERS, "Qq"), (WEEKS, "Ww")):
        if any(mark in cell for cell in few for mark in marks) and _fits(form, cells):
            return form
    likely = usual(pa.chunked_array([pa.array(list(few), pa.string())])).to_pylist()
    fitting = [form for form in _forms() if any(map(_compiled(form).match, likely)) and _fits(form, cells)]
    if len(fitting) > 1:
        every = usual(column) if column is not None and len(column) > len(cells) else cells
        left = {form: read(every, form).null_count for form in fitting}
        fitting = [form for form in fitting if left[form] == min(left.values())]
        return min(fitting, key=lambda form: _disorder(read(cells, form)))
    return fitting[0] if fitting else None


def is_ambiguous(form: str, cells: pa.ChunkedArray) -> bool:
    """Whether the cells could as well be read with day and month exchanged."""
    other = exchanged(form)
    return other is not None and read(cells, other).null_count == read(cells, form).null_count


def exchanged(form: str) -> str | None:
    """Return the form with day and month exchanged; None where that is no form."""
    other = form.replace("%d", "%_").replace("%m", "%d").replace("%_", "%m")
    return other if other != form and other.split(" ")[0] in _DAYS else None


def read(column: pa.ChunkedArray, form: str) -> pa.ChunkedArray:
    """Read dates of a form, or of ISO 8601, as timestamps in microseconds (UTC where the cells have a zone).

    Cells that do not fit are missing.
    """
    if pa.types.is_large_string(column.type):
        column = column.cast(pa.string())
    if form == ISO and (values := _iso(column)) is not None:
        return values
    column = usual(column)
    if form in _OTHERS:
        return _OTHERS[form](column)
    values = _strptime(column, form)
    for read_rest in (lambda rest: _strptime(rest, _day_of(form)), _each_iso):
        if values.null_count > column.null_count:
            values = pc.coalesce(values, read_rest(column))
    return values


def example(form: str) -> str:
    """Return 25 March 2020 in a form."""
    if form in _OTHERS:
        return {ISO: "2020-03-25", QUARTERS: "2020Q1", WEEKS: "2020-W13"}[form]
    import datetime

    return datetime.datetime(2020, 3, 25, 14, 30).strftime(form)


# ---- one form ------------------------------------------------------------------------------------


@functools.cache
def _forms() -> tuple[str, ...]:
    return tuple(_all_forms())


@functools.cache
def _compiled(form: str) -> re.Pattern[str]:
    return re.compile(pattern(form))


def _all_forms() -> Iterator[str]:
    yield "%a %b %d %H:%M:%S %Y"
    for day, time in itertools.product(_DAYS, _TIMES):
        yield f"{day} {time}".strip()
        if time:
            yield f"{day}T{time}" if day[1] in "Yd" and "%p" not in time else f"{day}, {time}"
    yield from _MONTHS


def pattern(form: str) -> str:
    """Return the pattern of the cells of a form, since `strptime` ignores what follows a match."""
    parts = (_PARTS.get(part) or re.escape(part) for part in re.findall(r"%.|[^%]+", form))
    return f"^{_COMPACT.get(form) or ''.join(parts)}$"


def _fits(form: str, cells: pa.ChunkedArray) -> bool:
    """Whether nearly all cells have a form; those without a time may lack it."""
    most = (1 - _MOSTLY) * len(cells)
    if form not in _OTHERS:
        forms = [_compiled(form), _compiled(_day_of(form))]
        if sum(not any(each.match(cell) for each in forms) for cell in cells.to_pylist()) > most:
            return False
    return read(cells, form).null_count <= most


def _day_of(form: str) -> str:
    """Return a form without its time."""
    day = re.split(r"(?:,? |T)%[HI]", form)[0]
    return day if "%y" in day.lower() else form


def _strptime(column: pa.ChunkedArray, form: str) -> pa.ChunkedArray:
    fits = pc.match_substring_regex(column, pattern(form))
    plain = pc.if_else(fits, column, pa.scalar(None, column.type))
    days = _days(plain, form) if "%d" in form else None
    if days is None:
        plain, form = pc.binary_join_element_wise(plain, pa.scalar("1", column.type), "~"), f"{form}~%d"
    if "%p" in form:
        values = _with_halves(plain, form)
    else:
        values = pc.strptime(plain, format=form, unit="us", error_is_null=True)
    if days is None:
        return values
    return pc.if_else(pc.equal(pc.day(values), days), values, pa.scalar(None, values.type))


def _days(column: pa.ChunkedArray, form: str) -> pa.ChunkedArray:
    """Return the day of the month as it is written: `strptime` takes 31 February for 2 March."""
    before, after = (re.sub("[$^]", "", pattern(part)) for part in form.split("%d"))
    found = pc.extract_regex(column, pattern=rf"^{before}(?P<day>\d{{1,2}}){after}$")
    return pc.struct_field(found, "day").cast(pa.int64())


def _with_halves(column: pa.ChunkedArray, form: str) -> pa.ChunkedArray:
    """Read hours of 1 to 12 and AM or PM, which not every system's `strptime` combines."""
    late = pc.match_substring_regex(column, "[Pp][Mm]")
    noon = pc.match_substring_regex(column, r"(^|[ T,])12(:\d\d)*\s*[AaPp][Mm]")
    plain = pc.replace_substring_regex(column, r"\s*[AaPp][Mm]", "")
    plain_form = re.sub(r"\s*%p", "", form).replace("%I", "%H")
    values = pc.strptime(plain, format=plain_form, unit="us", error_is_null=True)
    hours = pc.subtract(pc.if_else(late, 12, 0), pc.if_else(noon, 12, 0))
    return pc.add(values, pc.multiply(hours, 3_600_000_000).cast(pa.duration("us")))


def _quarters(column: pa.ChunkedArray) -> pa.ChunkedArray:
    fits = pc.match_substring_regex(column, _QUARTER)
    plain = pc.if_else(fits, column, pa.scalar(None, column.type))
    year = pc.replace_substring_regex(plain, r"^.*?(\d{4}).*$", r"\1")
    month = pc.replace_substring_regex(plain, r"^.*[Qq]([1-4]).*$", r"\1").cast(pa.int64())
    month = pc.add(pc.multiply(pc.subtract(month, 1), 3), 1).cast(column.type)
    dashes = pc.binary_join_element_wise(year, month, pa.scalar("1", column.type), "-")
    return pc.strptime(dashes, format="%Y-%m-%d", unit="us", error_is_null=True)


def _weeks(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Read weeks of ISO 8601 as their Mondays; 4 January is always in the first week."""
    plain = pc.if_else(pc.match_substring_regex(column, _WEEK), column, pa.scalar(None, column.type))
    week = pc.utf8_slice_codeunits(plain, -2).cast(pa.int64())
    fourth = pc.binary_join_element_wise(pc.utf8_slice_codeunits(plain, 0, 4), "01-04", "-")
    first = pc.strptime(fourth, format="%Y-%m-%d", unit="us", error_is_null=True)
    days = pc.subtract(pc.multiply(pc.subtract(week, 1), 7), pc.day_of_week(first))
    values = pc.add(first, pc.multiply(days, 86_400_000_000).cast(pa.duration("us")))
    return pc.if_else(pc.equal(pc.iso_week(values), week), values, pa.scalar(None, values.type))


def _iso(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Read ISO 8601, with or without a time zone; None where a cell is something else."""
    for unit, zone in itertools.product(("us", "ns"), (None, "UTC")):
        try:
            return column.cast(pa.timestamp(unit, zone)).cast(pa.timestamp("us"), safe=False)
        except pa.ArrowInvalid:
            continue
    return None


def _each_iso(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Read the cells that are ISO 8601; others become missing."""
    shape = r"^\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?)?"
    for zone in ("", r"(Z|[+-]\d{2}:?\d{2})"):
        fits = pc.match_substring_regex(column, f"{shape}{zone}$")
        read = _iso(pc.if_else(fits, column, pa.scalar(None, column.type)))
        if read is not None and read.null_count < len(column):
            return read
    return pa.chunked_array([pa.nulls(len(column), pa.timestamp("us"))])


def _disorder(values: pa.ChunkedArray) -> float:
    """Return how many different steps there are from date to date; infinity where they rise and fall."""
    steps = np.diff(values.cast(pa.int64()).to_numpy())
    ordered = len(steps) and steps.any() and ((steps >= 0).all() or (steps <= 0).all())
    return float(len(np.unique(steps))) if ordered else np.inf


def most_common(cells: pa.ChunkedArray) -> str:
    """Return the form that most cells have, ISO 8601 if none fits."""
    texts = cells.slice(0, _FEW)
    counts = {form: len(texts) - read(texts, form).null_count for form in (*_OTHERS, *_forms())}
    return max(counts, key=lambda form: counts[form])


_OTHERS: dict[str, Callable[[pa.ChunkedArray], pa.ChunkedArray]] = {
    ISO: lambda column: values if (values := _iso(column)) is not None else _each_iso(column),
    QUARTERS: _quarters,
    WEEKS: _weeks,
}
"""The forms that are not formats of `strptime`, and how they are read."""
