"""The view holds everything the page shows, as plain JSON; a kind of block is one file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pellucid import report
from pellucid.diagnosis import examination
from pellucid.record import Finding, Run
from pellucid.report import blocks as drawing
from pellucid.report import page, views
from pellucid.report.plain_values import plain
from pellucid.report.split_results import evaluation
from tests.report import shown

ROOT = Path(__file__).parents[2]


@pytest.fixture
def everything(tmp_path) -> Run:
    """A run with one block of each kind that tasks write themselves."""
    run = shown.task_run(tmp_path, "reconstruction", {"test/mse": 0.006}, {}, [{"train/loss": 0.1}] * 3)
    shown.write_evaluation(run, shown.every_block(run))
    return run


def confusion(**changes) -> dict:
    facts = {
        "kind": "confusion",
        "title": "Which sign",
        "classes": ["plus", "minus"],
        "counts": [[3, 1], [0, 4]],
    }
    return facts | changes


def test_the_page_is_the_same_from_the_view_read_back_from_json(digits, diabetes, everything):
    for run in (digits, diabetes, everything):
        text = json.dumps(report.view(run), allow_nan=False)
        assert report.html(json.loads(text)) == report.render(run)


def test_the_view_names_the_run_its_result_and_its_sections_in_order(digits):
    view = report.view(digits)
    assert view["run"] == {
        "id": digits.id,
        "name": "digits",
        "kind": "run",
        "task": "classification",
        "status": "finished",
        "stop_reason": "all 8 epochs are done",
        "notes": ["The bundled digits stand in for MNIST."],
    }
    assert view["result"]["number"].startswith(f"{100 * digits.metrics['test/accuracy']:.1f}")
    ids = [section["id"] for section in view["sections"]]
    evaluated = ["mistakes", "classes", "calibration"]
    assert ids == ["learning", *evaluated, "weights", "time", "choices", "data", "model", "repeat"]
    assert all(section["heading"] for section in view["sections"])


def test_non_finite_numbers_become_text_and_other_objects_are_refused():
    assert plain({"a": (1, float("nan"), float("inf"))}) == {"a": [1, "nan", "inf"]}
    with pytest.raises(TypeError, match="PosixPath"):
        plain([Path("x")])


def test_any_task_can_show_a_confusion_matrix(everything, page_of):
    table = shown.every_block(everything)[-1]
    shown.write_evaluation(everything, [confusion(), table])
    text = page_of(everything).text
    assert "Mistakes on the test split" in text
    assert "minus" in text
    assert "None: all" not in text
    assert text.index("Channel by channel") < text.index("Mistakes on the test split")


@pytest.mark.parametrize("counts", [[[3, 1]], [[3], [1]], None])
def test_a_damaged_matrix_is_left_out_with_a_sentence(everything, counts, page_of):
    shown.write_evaluation(everything, [confusion(counts=counts)])
    assert "“Which sign” could not be drawn: " in page_of(everything).text


def test_the_page_shows_the_stored_findings(digits, page_of):
    digits.find(Finding("mine", "warning", "Something was seen.", "It means something.", "something else"))
    digits.store.flush()
    text = page_of(digits).text
    assert "Warning. Something was seen." in text
    assert "Try: something else." in text
    assert len(digits.store.findings()) == 1


def test_the_report_of_a_run_with_stored_findings_runs_no_rule_again(digits, monkeypatch):
    digits.find(Finding("mine", "note", "Something was seen.", ""))
    digits.store.flush()
    monkeypatch.setattr(examination, "_ask", lambda *_: pytest.fail("a rule was run"))
    assert "Something was seen." in report.render(digits)


def test_the_page_lists_the_checks_that_could_not_run(digits, page_of):
    text = page_of(digits).text
    assert "Checks that could not run" in text
    assert "discriminator-winning" in text


def test_two_views_of_one_kind_are_refused(tmp_path, monkeypatch):
    (tmp_path / "second_table.py").write_text("from pellucid.report.views.table import VIEW\n")
    monkeypatch.setattr(views, "__path__", [*views.__path__, str(tmp_path)])
    with pytest.raises(ValueError, match="table"):
        views.load()


def test_the_guide_adds_a_view_as_one_new_file(everything, tmp_path, monkeypatch):
    guide = (ROOT / "docs" / "guides" / "add-a-report-view.md").read_text(encoding="utf-8")
    module, use = re.findall(r"```python\n(.*?)```", guide, flags=re.S)
    folder = tmp_path / "views"
    folder.mkdir()
    (folder / "gauge.py").write_text(module)
    monkeypatch.setattr(views, "__path__", [*views.__path__, str(folder)])
    found = views.load()
    for place in (views, drawing, page):
        monkeypatch.setattr(place, "VIEWS", found)
    page.templates.cache_clear()
    try:
        named: dict = {}
        exec(compile(use, "add-a-report-view.md", "exec"), named)
        shown.write_evaluation(everything, named["blocks"])
        html = report.render(everything)
    finally:
        page.templates.cache_clear()
    assert '<meter min="0" max="1" value="0.8">' in html
    assert "0.8 of 1" in html
    assert "could not be drawn" not in html


def test_a_damaged_evaluation_falls_back_to_the_other_split(digits):
    folder = digits.path / "evaluation"
    (folder / "test.json").write_text("[1, 2")
    assert evaluation(digits) is None
    (folder / "validation.json").write_text('{"rows": 3}')
    found = evaluation(digits)
    assert found is not None
    assert found.split == "validation"
