"""Values that are not finite: drawn as gaps, written in words, and never an error."""

from __future__ import annotations

import math
import re
import sys
from xml.etree import ElementTree as ET

import pytest

from pellucid import report
from pellucid.record import Run
from pellucid.report import charts
from pellucid.report.charts import Line
from tests.report import shown

NAN, INF = math.nan, math.inf


def run_of(root, values: list[float], name: str = "err", final: float | None = None, **options) -> Run:
    epochs = [{"train/loss": 1.0, "val/loss": 0.5, f"val/{name}": value} for value in values]
    metrics = {f"test/{name}": values[-1] if final is None else final}
    task = options.pop("task", "custom")
    return shown.task_run(root, task, metrics, options.pop("baselines", {}), epochs, **options)


@pytest.mark.parametrize(
    "values", [[0.5, NAN, 0.3, 0.2], [NAN] * 4, [INF, 0.1, -INF, NAN], [1e308, 5e-324, NAN, 1]]
)
@pytest.mark.parametrize("name", ["err", "accuracy", "loss", "mae"])
def test_a_run_with_non_finite_values_has_a_complete_report(tmp_path, page_of, values, name):
    run = run_of(
        tmp_path, values, name, baselines={"prior": {f"test/{name}": NAN}, "linear": {f"test/{name}": 0.4}}
    )
    page = page_of(run)
    assert "could not be drawn" not in page.text
    assert not re.search(r"\b(nan|inf|None)\b", page.text, flags=re.I)
    assert not re.search(r'="[^"]*\b(nan|inf)\b', page.html, flags=re.I)


def test_gaps_in_curves_are_noted_and_the_best_value_is_finite(tmp_path, page_of):
    text = page_of(run_of(tmp_path, [0.5, NAN, 0.3, INF], "accuracy")).text
    assert "2 of 4 validation values are not finite numbers: gaps in the line." in text
    assert "Best validation accuracy 50.00 %, at epoch 1" in text


def test_a_metric_that_was_never_finite_is_noted(tmp_path, page_of):
    text = page_of(run_of(tmp_path, [NAN] * 4, "accuracy")).text
    assert "The validation accuracy was not a finite number in any epoch" in text
    assert "Not one of the 4 validation values is a finite number" in text


def test_a_curve_breaks_at_a_value_that_is_not_finite():
    line = Line("validation", "val", [(1, 0.5), (2, NAN), (3, 0.3), (4, 0.2)])
    svg = charts.curves([line], ("epoch", "err"), str, width=400)
    (drawn,) = [node.get("d") for node in svg.iter("path")]
    assert drawn is not None
    assert drawn.count("M") == 2
    assert "nan" not in ET.tostring(svg, encoding="unicode").replace("validation nan", "")


def test_the_monitored_mode_decides_the_best_epoch(tmp_path, page_of):
    run = run_of(tmp_path, [0.5, 0.9, 0.3, 0.4], "accuracy")
    run.update(best={"metric": "val/accuracy", "mode": "min", "step": 30})
    assert "Best validation accuracy 30.00 %, at epoch 3" in page_of(run).text


@pytest.mark.parametrize("what", ["_learning", "_data", "_repeat", "result"])
def test_a_failing_section_is_noted_and_the_others_remain(tmp_path, page_of, monkeypatch, what):
    def fails(*args):
        raise RuntimeError("broken")

    monkeypatch.setattr(sys.modules["pellucid.report.view"], what, fails)
    page = page_of(run_of(tmp_path, [0.5, 0.4, 0.3, 0.2]))
    assert page.text.count("could not be drawn: RuntimeError: broken.") == 1
    assert "Model" in page.text


def test_a_section_whose_template_fails_is_noted(tmp_path, monkeypatch):
    run = run_of(tmp_path, [0.5, 0.4, 0.3, 0.2])
    made = report.view(run)
    next(section for section in made["sections"] if section["id"] == "learning")["charts"] = 3
    monkeypatch.setattr(sys.modules["pellucid.report.page"], "view", lambda run: made)
    page = report.render(run)
    assert "This section could not be drawn: TypeError" in page
    assert "Repeat this run" in page
