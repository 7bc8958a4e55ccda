"""`report.html`: one self-contained page about one run, made only from its folder.

In: a run folder. Out: a page that works offline, without JavaScript, by keyboard and at 390 px. Of ours it
imports `record` and `diagnosis`, never torch and never the code that trained: a run can be reported on
another machine, and again when the page has improved.

    view        everything the page shows, as plain JSON; page: renders the templates from it
    result      the answer: its sentence (sentences) and its comparisons (comparison)
    blocks      what a run has to show; views: one file for each kind of block; evaluation: reads them
    learning    the curves and the findings; weights, about, repeat: the other sections
    charts      single drawings as SVG; plots: those of many groups; scales: values to places and colors
    pictures    images as data URIs; words: how numbers are written and terms explained
"""

from pellucid.report.page import html, render, write
from pellucid.report.view import view

__all__ = ["html", "render", "view", "write"]
