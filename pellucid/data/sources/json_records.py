"""Records of JSON as flat rows: objects in objects, conversations, and texts without a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

ROLES = ("role", "from", "speaker", "author")
CONTENTS = ("content", "value", "text", "message")
"""Names that the speaker and the words of a message usually have."""
INSTRUCTION, INPUT = "instruction", "input"
PROMPT, RESPONSE, TRANSCRIPT = "prompt", "response", "text"


def flat(record: Any, *, whole: bool = False) -> Any:
    """Return a record as a row: `{"doc": {"text": ...}}` has a column "doc.text".

    A list of messages, such as `{"role": "user", "content": ...}`, becomes two texts: what was said before
    the last message and that message; or one with all of it. Messages without words, such as the call of a
    tool, are left out. An `input` next to an `instruction` belongs to it (Alpaca, Taori et al. 2023). A plain
    text is a row with a text.

    Args:
        record: an object or a text; anything else is returned as it is.
        whole: conversations as one text each.
    """
    if isinstance(record, str):
        return {TRANSCRIPT: record}
    if not isinstance(record, Mapping):
        return record
    row: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            row |= {f"{name}.{inner}": cell for inner, cell in flat(value, whole=whole).items()}
        elif messages := messages_of(value):
            parts = {TRANSCRIPT: transcript(messages)} if whole else turns(messages)
            row |= {part if part not in record else f"{name}.{part}": text for part, text in parts.items()}
        else:
            row[name] = value
    return row if whole else _instructed(row)


def has_input(record: Any) -> bool:
    """Whether a record has an instruction, and a text of its own that it is about."""
    return isinstance(record, Mapping) and all(
        isinstance(record.get(name), str) for name in (INSTRUCTION, INPUT)
    )


def _instructed(row: dict[str, Any]) -> dict[str, Any]:
    if not has_input(row):
        return row
    parts = (row[INSTRUCTION], row[INPUT])
    joined = "\n".join(part for part in parts if part.strip())
    return {name: joined if name == INSTRUCTION else cell for name, cell in row.items() if name != INPUT}


def messages_of(value: Any) -> list[tuple[str, str]]:
    """Return the speaker and the words of every message that has any; [] for what is no conversation."""
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        return []
    found = []
    for message in value:
        if not isinstance(message, Mapping):
            return []
        role = next((message[name] for name in ROLES if name in message), None)
        words = _words(next((message[name] for name in CONTENTS if name in message), None))
        if not isinstance(role, str) or words is None:
            return []
        found.append((role, words))
    return [(role, words) for role, words in found if words]


def _words(content: Any) -> str | None:
    """Return the words of a message, "" if it has none; None for what is no content of a message."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, Sequence) or not all(isinstance(part, Mapping) for part in content):
        return None
    texts = [part["text"] for part in content if isinstance(part.get("text"), str)]
    return "\n".join(texts)


def turns(messages: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return what was said before the last message, and that; one message before it has no speaker."""
    *before, (_, last) = messages
    return {PROMPT: before[0][1] if len(before) == 1 else transcript(before), RESPONSE: last}


def transcript(messages: Sequence[tuple[str, str]]) -> str:
    """Return a conversation as text, a line a message."""
    return "\n".join(f"{role}: {words}" for role, words in messages)
