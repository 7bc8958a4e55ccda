"""Text colors are readable in both themes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pellucid import report
from pellucid.report import scales

STYLE = (Path(report.__file__).parent / "style.css").read_text()
PAIR = re.compile(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)")
COLORS = {name: (light, dark) for name, light, dark in PAIR.findall(STYLE)}
WORDS = ["ink", "quiet", "accent", "train-ink", "val-ink", "test-ink", "warning-ink"]


def luminance(color: tuple[int, int, int]) -> float:
    parts = [value / 255 for value in color]
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def rgb(text: str) -> tuple[int, int, int]:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize("paper", ["paper", "soft"])
@pytest.mark.parametrize("name", WORDS)
def test_text_has_a_contrast_of_at_least_4_5(name, paper, theme):
    assert contrast(rgb(COLORS[name][theme]), rgb(COLORS[paper][theme])) >= 4.5


@pytest.mark.parametrize("share", [i / 20 for i in range(21)])
def test_counts_are_readable_on_every_color_of_the_matrix(share):
    color = scales.viridis(share)
    ink = (0, 0, 0) if scales.readable_on(color) == "#000" else (255, 255, 255)
    assert contrast(color, ink) >= 4.5


def test_semantic_colors_are_those_of_the_style_guide():
    for meaning in ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9"):
        assert meaning in STYLE


def inks_of(rules: str) -> list[tuple[str, str, str, str]]:
    """(light paper, dark paper, light ink, dark ink) of every level of the scales."""
    one = r"\{background:(#\w{6});color:(#\w{3})\}"
    two = r"\{background:light-dark\((#\w{6}),(#\w{6})\);color:light-dark\((#\w{3}),(#\w{3})\)\}"
    single = [(paper, paper, ink, ink) for paper, ink in re.findall(one, rules)]
    return single + re.findall(two, rules)


def test_highlighted_words_are_readable_in_both_themes():
    inks = inks_of(scales.palette())
    assert len(inks) == 3 * scales.LEVELS + 1
    for light, dark, on_light, on_dark in inks:
        for paper, ink in ((light, on_light), (dark, on_dark)):
            assert contrast(rgb(paper), (0, 0, 0) if ink == "#000" else (255, 255, 255)) >= 4.5


def test_scales_use_the_backgrounds_of_the_style_sheet():
    assert tuple(rgb(color) for color in COLORS["paper"]) == scales.PAPERS


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize("group", range(6))
def test_groups_stand_out_from_the_background(group, theme):
    assert contrast(rgb(COLORS[f"g{group}"][theme]), rgb(COLORS["paper"][theme])) >= 3
