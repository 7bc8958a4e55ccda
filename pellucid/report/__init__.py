"""`report.html`: one self-contained page about one run, made from its folder alone.

In: a run folder. Out: a page that works offline, without JavaScript, by keyboard and at 390 px. Imports
`record`, `diagnosis` and numpy, never torch and never the code that trained: a run can be reported where
it was not made, and again when the page has improved.
"""

from pellucid.report.page import render, write

__all__ = ["render", "write"]
