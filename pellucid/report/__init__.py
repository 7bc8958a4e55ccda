"""`report.html`: one self-contained page about one run, made from its folder alone.

In: a run folder. Out: a page that works offline, without JavaScript, by keyboard and at 390 px. Of ours it
imports `record` and `diagnosis`, never torch and never the code that trained: a run can be reported where it
was not made, and again when the page has improved.

    page       gathers the sections and renders template.html around them
    result     the answer: its sentence (sentences) and what stands beside it (standings)
    blocks     what there is to show: charts and tables (charted), marked words and maps (marked)
    learning   the curves and their reading; mistakes, scores, weights: the other sections
    charts     single drawings as SVG; plots: those of many groups; scales: values to places and colors
    pictures   images as data URIs; words: how numbers are written and terms explained
"""

from pellucid.report.page import render, write

__all__ = ["render", "write"]
