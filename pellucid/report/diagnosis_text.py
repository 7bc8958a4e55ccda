"""A diagnosis as the terminal shows it."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from itertools import starmap

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pellucid.diagnosis.examination import LEVELS, Skipped
from pellucid.diagnosis.verified import Verified
from pellucid.errors import worded
from pellucid.record import Finding
from pellucid.report import words
from pellucid.report.diagnosed import Diagnosis
from pellucid.terminal import printed

WIDTH = 88
"""The largest number of characters in a line."""
NAMED = 4
"""Checks that are named for each reason why they could not run."""
STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold blue"}


def show(diagnosis: Diagnosis, console: Console) -> None:
    """Print what was found, the most serious first, and what could not be checked."""
    console.print(Text.assemble((diagnosis.name, "bold"), f": {counted(diagnosis.findings)}"))
    for number, one in enumerate(diagnosis.findings, start=1):
        show_finding(one, console, number)
    if diagnosis.verified is not None:
        show_verified(diagnosis.verified, console)
    _show_skipped(diagnosis.skipped, console)


def as_text(diagnosis: Diagnosis, width: int = WIDTH) -> str:
    """Return a diagnosis as plain text."""
    return printed(lambda console: show(diagnosis, console), width)


def counted(findings: Sequence[Finding]) -> str:
    """Return how many findings of each level there are, e.g. "1 warning, 2 notes"."""
    levels = Counter(one.level for one in findings)
    parts = [words.plural(levels[level], level) for level in LEVELS if levels[level]]
    return ", ".join(parts) or "nothing was found"


def show_finding(one: Finding, console: Console, number: int) -> None:
    """Print the id, level and place of a finding, then what was seen, what it means and what to try."""
    place = ", ".join(part for part in (one.where, f"step {one.step:,}" if one.step else "") if part)
    sure = f"{100 * one.confidence:.0f} % sure" if one.confidence < 1 else ""
    details = "  ".join(part for part in (place, sure) if part)
    head = f"{number}  ", (one.level, STYLES.get(one.level, "bold")), "  ", (one.rule, "bold")
    console.print()
    console.print(Text.assemble(*head, (f"  {details}", "dim")))
    paragraph(one.seen, console)
    paragraph(one.means, console)
    if one.remedy:
        paragraph(f"Try: {tried(one)}", console)


def show_verified(verified: Verified, console: Console) -> None:
    """Print what came of trying the remedies."""
    console.print()
    console.print(Text.assemble(("Remedies that were tried", "bold")))
    paragraph(verified.answer, console)
    if verified.test is not None:
        paragraph(verified.on_test, console)
    columns, rows = verified.table()
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(Text(name), overflow="fold")
    for row in rows:
        table.add_row(*row, style="bold" if row[0] == verified.winner else "")
    console.print(Padding(table, (1, 0, 1, 3)))
    paragraph(verified.how, console)


def tried(one: Finding) -> str:
    """Return what to try, in words and as settings."""
    changes = [] if "--set" in one.remedy else list(starmap(words.setting, one.patch.items()))
    return worded(f"{one.remedy}: {' '.join(changes)}" if changes else one.remedy)


def paragraph(text: str, console: Console, indent: int = 3) -> None:
    """Print a text in lines that are not too long to read."""
    width = max(20, min(console.width, WIDTH) - indent)
    lines = textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=False)
    console.print("\n".join(" " * indent + line for line in lines))


def _show_skipped(skipped: Sequence[Skipped], console: Console) -> None:
    by_reason: dict[str, list[str]] = {}
    for one in skipped:
        by_reason.setdefault(one.reason, []).append(one.rule)
    if by_reason:
        console.print()
        console.print(f"{words.plural(len(skipped), 'check')} could not run:", style="dim")
    for reason, rules in by_reason.items():
        others = f" and {len(rules) - NAMED} more" if len(rules) > NAMED else ""
        paragraph(f"{reason}: {', '.join(rules[:NAMED])}{others}", console)
