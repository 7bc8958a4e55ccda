"""From bytes to text: which encoding a file is in, as far as its bytes tell.

A byte order mark and valid UTF-8 are certain. Bytes that are neither are read as Windows-1252, which also has
the letters of Latin-1, if they look like Western text: few letters beyond ASCII, and none of the five bytes
that Windows-1252 does not define. For all else the user is asked, since a model learns a wrong guess.
"""

from __future__ import annotations

import codecs
import difflib
import itertools
import re
import unicodedata

from pellucid.errors import BadDataError, ConfigError

MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks, and the encodings that read and drop them."""

WESTERN = "cp1252"
MOST_ACCENTS = 0.3
"""Share of letters beyond ASCII up to which bytes can be Western text."""
ANY = 3
"""Letters beyond ASCII that say nothing, such as those of a header above numbers."""
FEW = 0.1
"""Invalid bytes for each valid character beyond ASCII, up to which bytes are damaged UTF-8."""
ASKED = (
    *("gb18030", "big5", "shift_jis", "euc_jp", "euc_kr", "cp1251", "koi8_r", "cp1250", "cp1253", "cp1255"),
    *("cp1256", "cp874", "cp850", "mac_roman"),
)
"""Encodings to choose from where the bytes do not tell."""
SAMPLE = 1 << 16
_LETTER = r"[^\W\d_]"
_ODD = re.compile(
    rf"{_LETTER}[\xa1-\xac\xae-\xb3\xb5\xb6\xb8\xb9\xbb-\xbf\u201e\u2039\u20ac]{_LETTER}"
    rf"|[\u201a\u2020\u2021\u2030]{_LETTER}"
)
"""Signs inside a word, which are letters in another encoding."""
SHOWN = 16


def decode(raw: bytes, name: str, encoding: str | None = None) -> tuple[str, list[str]]:
    """Decode the content of a file.

    Args:
        raw: all bytes.
        name: of the file, for messages.
        encoding: as the user named it; None: as the bytes tell.

    Returns:
        The text, and notes on what was decided.

    Raises:
        BadDataError: the bytes are not text, or not in this encoding, or do not tell their encoding.
        ConfigError: there is no such encoding.
    """
    if encoding is not None:
        return _decoded(raw, name, known(encoding)), []
    found, notes = encoding_of(raw, name)
    errors = "replace" if found == "utf-8" else "strict"
    return raw.decode(found, errors), notes


def encoding_of(raw: bytes, name: str) -> tuple[str, list[str]]:
    """Return the encoding of bytes, as Python names it, and notes on what was decided.

    Args:
        raw: all bytes of a file, or the first ones up to the end of a line.
        name: of the file, for messages.

    Raises:
        BadDataError: the bytes are not text, or do not tell their encoding.
    """
    marked = next((found for mark, found in MARKS if raw.startswith(mark)), None)
    if marked is not None:
        return marked, []
    if b"\x00" in raw:
        return _without_mark(raw, name)
    try:
        raw.decode("utf-8")
        return "utf-8", []
    except UnicodeDecodeError as error:
        if note := _damaged(raw, error, name):
            return "utf-8", [note]
    if _is_western(raw):
        note = f"{name} is not UTF-8; read as Windows-1252"
        return WESTERN, [f"{note} (another encoding: --set data.encoding=NAME)"]
    raise _unknown(raw, name)


def known(encoding: str, setting: str = "data.encoding") -> str:
    """Return the name that Python has for an encoding of text.

    Args:
        encoding: any name of it.
        setting: the setting that it comes from, for the error.

    Raises:
        ConfigError: there is none.
    """
    try:
        found = codecs.lookup(encoding.strip())
        b"a".decode(found.name, errors="replace")  # not base64, idna and the like, which no file is in
        return found.name
    except (LookupError, ValueError):
        names = [*ASKED, "utf-8", "utf-16", "latin-1", "cp1252", "mac_roman", "gbk", "iso-8859-2"]
        near = difflib.get_close_matches(encoding.lower(), names, 1, 0.5)
        raise ConfigError(
            f"{setting} is {encoding!r:.80}, which is no encoding that Python knows.",
            remedy=f"{near[0] if near else 'utf-8'}, or one of {', '.join(ASKED)}",
        ) from None


def _decoded(raw: bytes, name: str, encoding: str) -> str:
    for mark, marked in MARKS[2:]:
        if raw.startswith(mark) and encoding.startswith(marked.removesuffix("-sig")):
            raw = raw if encoding == "utf-16" else raw[len(mark) :]
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise BadDataError(
            f"{name} is not in {encoding}, the data.encoding: byte {error.start:,} is "
            f"0x{raw[error.start]:02x}.",
            remedy=f"--set data.encoding=null if it is UTF-8; {_readings(raw)}",
        ) from None


def _without_mark(raw: bytes, name: str) -> tuple[str, list[str]]:
    """UTF-16 without its mark: every other byte of Western text is 0."""
    even, odd = raw[0:SAMPLE:2].count(0), raw[1:SAMPLE:2].count(0)
    pairs = max(len(raw[:SAMPLE]) // 2, 1)
    for encoding, zeros, others in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if zeros > 0.4 * pairs and others < 0.02 * pairs and len(raw) % 2 == 0:
            return encoding, [f"{name} has no byte order mark; read as {encoding.upper()}"]
    raise BadDataError(
        f"{name} is not text: byte {raw.index(0):,} is 0.",
        remedy="if it is text in UTF-16: --set data.encoding=utf-16-le",
    )


def _damaged(raw: bytes, error: UnicodeDecodeError, name: str) -> str:
    """Return a note if bytes are UTF-8 but for a few of them; "" if they are not."""
    text = raw.decode("utf-8", "replace")
    wrong = text.count("\ufffd") - raw.count(b"\xef\xbf\xbd")
    right = len(re.findall(r"[^\x00-\x7f\ufffd]", text))
    if wrong > FEW * right:
        return ""
    where = f"{name} is UTF-8, but {wrong:,} bytes are not, the first at {error.start:,}"
    return f"{where}; they are read as \ufffd"


def _is_western(raw: bytes) -> bool:
    try:
        text = raw.decode(WESTERN)
    except UnicodeDecodeError:
        return False
    letters = [letter for letter in text[: 1 << 20] if letter.isalpha()]
    accents = sum(letter > "\x7f" for letter in letters)
    odd = len(_ODD.findall(text))
    return accents <= max(MOST_ACCENTS * len(letters), ANY) and odd <= FEW * accents


def _unknown(raw: bytes, name: str) -> BadDataError:
    return BadDataError(
        f"{name} is text in an unknown encoding: it is neither UTF-8 nor Western text in Windows-1252.",
        remedy=f"{_readings(raw)}; or save it as UTF-8: iconv -f ENCODING -t UTF-8 FILE > NEW_FILE",
    )


def _readings(raw: bytes) -> str:
    """Write what a text would say in other encodings, so that a reader of it can choose."""
    start = next((place for place, byte in enumerate(raw) if byte > 0x7F), 0)
    begins = raw[raw.rfind(b"\n", 0, start) + 1 :]
    found = []
    for encoding in ASKED:
        try:
            raw.decode(encoding)
        except UnicodeDecodeError as error:
            if error.start < len(raw) - 8:  # a character cut in two at the end says nothing
                continue
        text = begins[: 4 * SHOWN].decode(encoding, "replace").split("\n")[0].strip()[:SHOWN]
        if text.isprintable():
            found.append((-_natural(raw[:SAMPLE].decode(encoding, "ignore")), f"{encoding} ({text})"))
    shown = [reading for _, reading in sorted(found, key=lambda item: item[0])]
    return f"--set data.encoding=NAME, such as {', '.join(shown[:5]) or ', '.join(ASKED[:4])}"


def _natural(text: str) -> float:
    """Share of neighboring letters that are of one script, without a capital after a small letter."""
    pairs = [(a, b) for a, b in itertools.pairwise(text) if a.isalpha() and b.isalpha()]
    good = sum(_script(a) == _script(b) and not (a.islower() and b.isupper()) for a, b in pairs)
    return good / max(len(text), 1)


def _script(letter: str) -> str:
    return unicodedata.name(letter, "?").split()[0].split("-")[0]
