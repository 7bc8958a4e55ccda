"""The words of dates in the spelling that `strptime` expects: English months, AM and PM, time zones."""

from __future__ import annotations

import pyarrow as pa

from pellucid.data.compute import pc

_FULL = {
    "January": "januar|jänner|januari|janvier|enero|gennaio|janeiro",
    "February": "februar|feber|februari|février|fevrier|febrero|febbraio|fevereiro",
    "March": "märz|maerz|maart|mars|marzo|março",
    "April": "avril|abril|aprile",
    "May": "mai|mayo|maggio|mag|maio|mei|maj",
    "June": "juni|juin|junio|giugno|junho",
    "July": "juli|juillet|julio|luglio|julho",
    "August": "augustus|août|aout|agosto|augusti",
    "September": "septembre|septiembre|setiembre|settembre|setembro",
    "October": "oktober|octobre|octubre|ottobre|outubro",
    "November": "novembre|noviembre|novembro",
    "December": "dezember|décembre|decembre|diciembre|dicembre|dezembro",
}
_SHORT = {
    "Jan": "jän|janv|ene|gen",
    "Feb": "febr|févr|fevr|fév|fev",
    "Mar": "mär|mrz|mrt",
    "Apr": "avr|abr",
    "Jun": "giu",
    "Jul": "juil|lug",
    "Aug": "aoû|ago",
    "Sep": "sept|set",
    "Oct": "okt|ott|out",
    "Dec": "dez|déc|dic",
}
_MONTHS = {**_FULL, **_SHORT}
_FOREIGN = rf"(?i)(^|[^\p{{L}}])({'|'.join(_MONTHS.values())})($|[^\p{{L}}])"
_RULES = (
    (r"(?i)(\d) ?([ap])\. ?m\.?$", r"\1 \2m"),
    (r" (?:UTC|GMT|Z)$", "Z"),
    (r"(:\d\d(?:\.\d+)?) ([+-]\d\d:?\d\d)$", r"\1\2"),
    (r"^(\p{L}{3} \p{L}{3} +\d+ [\d:]+) (?:[A-Z]{3,4}|[+-]\d{4}) (\d{4})$", r"\1 \2"),
    (r"(\p{L}{3})\.", r"\1"),
    (r"(?i) de ", " "),
    (r"  +", " "),
)


def usual(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Write the words of text cells as in English; cells without words stay as they are.

    A time zone is kept where it follows a time, and left out between a time and a year, as in
    "Mon Apr 06 22:19:45 PDT 2009".
    """
    if not pc.any(pc.match_substring_regex(column, r"\p{L}[\p{L}.]| [+-]\d")).as_py():
        return column
    for pattern, plain in _RULES:
        column = pc.replace_substring_regex(column, pattern, plain)
    if not pc.any(pc.match_substring_regex(column, _FOREIGN)).as_py():
        return column
    for month, words in _MONTHS.items():
        column = pc.replace_substring_regex(
            column, rf"(?i)(^|[^\p{{L}}])(?:{words})($|[^\p{{L}}])", rf"\1{month}\2"
        )
    return column
