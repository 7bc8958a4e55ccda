"""What is written to a terminal is text: names and cells of data cannot clear the screen or retitle it."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterable
from typing import IO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

CONTROLS = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"},
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
}
"""Control characters, and the characters that picture them: ␛ for escape."""


def visible(text: str) -> str:
    """Return text with its control characters as visible ones, except for line breaks and tabs."""
    return text.translate(CONTROLS)


def printed(show: Callable[[Console], None], width: int) -> str:
    """Return what a function prints, as text without colors and of at most `width` characters a line."""
    file = io.StringIO()
    show(Console(file=file, width=width, highlight=False, markup=False, no_color=True))
    return visible(file.getvalue()).rstrip()


def silence(stream: IO[str]) -> None:
    """Let a stream whose reader has ended, as with `| head`, lead nowhere; what runs goes on."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class TextConsole(Console):
    """A console that prints text as it is: without markup, and with control characters made visible.

    A training run goes on if the reader of its output ends.
    """

    def __init__(self, *, stderr: bool = False, soft_wrap: bool = False):
        super().__init__(stderr=stderr, highlight=False, markup=False, soft_wrap=soft_wrap)

    def on_broken_pipe(self) -> None:
        """Print nothing more; rich would exit and leave a run that looks killed."""
        self.quiet = True
        silence(self.file)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does; what rich itself writes to move the cursor is kept."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)
