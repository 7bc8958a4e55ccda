"""What the terminal prints about a finished run and a prediction."""

from __future__ import annotations

import pytest
from rich.console import Console

from pellucid.cli.predict import is_text, label, line
from pellucid.cli.train import show
from tests.report import shown


def said(run, width=120) -> str:
    console = Console(width=width, highlight=False, soft_wrap=True, color_system=None)
    with console.capture() as capture:
        show(run, console)
    return capture.get()


def test_all_baselines_are_listed_with_the_measures_of_the_task(tmp_path):
    baselines = {"unigram": {"test/loss": 3.34}, "6-gram": {"test/loss": 1.712}, "other": {"test/odd": 1.0}}
    metrics = {"test/loss": 1.4721, "test/perplexity": 4.358, "val/loss": 1.46, "train/loss": 1.3}
    run = shown.task_run(tmp_path, "language_model", metrics, baselines, [{"train/loss": 1.3}], kind="text")
    text = said(run)
    header, *rows = [row.split() for row in text.splitlines() if row.strip()][:4]
    assert header == ["test/loss", "test/perplexity", "val/loss"]
    assert rows == [
        ["this", "run", "1.472", "4.358", "1.46"],
        ["unigram", "3.34", "-", "-"],
        ["6-gram", "1.712", "-", "-"],
    ]
    assert "INPUT" not in text
    assert '"The beginning of a text"' in text


def test_shares_are_percentages_and_the_target_comes_first(tmp_path):
    run = shown.task_run(
        tmp_path,
        "adversarial",
        {"test/frechet": 12.31, "test/coverage": 0.9, "test/modes": 998.0},
        {},
        [{"train/loss": 1.0}],
        target={"metric": "test/coverage", "value": 0.8, "on": None},
        target_met=True,
    )
    text = said(run)
    assert text.split()[0] == "test/coverage"
    assert "90.00 %" in text
    assert "Target test/coverage 80.00 %: met." in text
    assert text.rstrip().endswith(" 16")


def test_a_target_that_was_not_measured_is_reported_as_not_measured(tmp_path):
    target = {"metric": "test/confidence", "value": 0.93, "on": "data"}
    metrics = {"test/loss": 0.9}
    run = shown.task_run(tmp_path, "adversarial", metrics, {}, [{"train/loss": 1.0}], target=target)
    assert "Target test/confidence 93.00 %: not measured." in said(run)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Once upon a time", True),
        ("once", True),
        ("one\nother", True),
        ("word " * 2000, True),
        ("x" * 5000, True),
        ("nul\0byte", True),
        ("missing.png", False),
        ("folder/missing", False),
        (__file__, False),
    ],
)
def test_input_that_does_not_look_like_a_path_is_a_text(source, text):
    assert is_text(source) is text


def test_predictions_are_printed_one_per_line():
    assert line(label({}, 1), {"prediction": "cat", "confidence": 0.98765}) == "    1  cat  98.8 %"
    assert line(label({}, 12), {"prediction": "ROMEO:\nO, she"}) == "   12  ROMEO:\n       O, she"
    assert label({"row": 3, "id": "A17"}, 1) == "    3  A17"
    assert label({"file": "bad/p7.png"}, 1) == "bad/p7.png"
    assert line(label({}, 3), {"prediction": {"HUFL": 1.23456789, "OT": 10}}) == "    3  HUFL 1.23457  OT 10"
    assert line(label({}, 4), {"prediction": [0.5, 0.25]}) == "    4  0.5  0.25"
    assert line(label({}, 5), {"prediction": ""}) == "    5  "
