"""The finished page: its numbers are those on disk, and it is self-contained."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import pellucid
from pellucid import report
from pellucid.errors import RunError
from pellucid.record import Run
from pellucid.record.spec import find_spec
from pellucid.report import words

HOSTILE = "<img src=x onerror=alert(1)>\"'&</script>"


def evaluation_of(run: Run) -> dict:
    return json.loads((run.path / "evaluation" / "test.json").read_text())


def rewrite(run: Run, **changes) -> None:
    (run.path / "evaluation" / "test.json").write_text(json.dumps(evaluation_of(run) | changes))


def test_writing_the_page_leaves_no_other_files(digits):
    before = {path.name for path in digits.path.iterdir()}
    assert report.write(digits.path) == digits.path / "report.html"
    after = {path.name for path in digits.path.iterdir()} - before
    assert {name for name in after if not name.startswith("run.sqlite")} == {"report.html"}


def test_a_folder_that_is_not_a_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="is not a run"):
        report.write(tmp_path)


def test_nothing_is_loaded_from_elsewhere(digits, page_of):
    page = page_of(digits)
    for attribute in ("src", "href", "srcset", "data", "action", "xlink:href"):
        assert all(value.startswith(("data:", "#")) for value in page.values(attribute))
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|import\(", page.html)
    policy = next(value for value in page.values("content") if "default-src" in value)
    assert "default-src 'none'" in policy
    assert "connect-src" not in policy


def test_every_tag_is_closed_every_id_unique_and_every_link_valid(digits, page_of):
    page = page_of(digits)
    assert page.open == []
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in page.values("href") if link.startswith("#")} <= set(ids)


def test_charts_are_well_formed_xml_with_a_name(digits, diabetes):
    for run in (digits, diabetes):
        drawings = re.findall(r"<svg[^>]*role.*?</svg>", report.render(run), flags=re.S)
        assert len(drawings) >= 4
        assert all(ET.fromstring(drawing).get("aria-label") for drawing in drawings)


def test_the_result_is_compared_with_baselines_and_published_scores(digits, page_of):
    page = page_of(digits)
    accuracy = words.percent(digits.metrics["test/accuracy"]).replace("\u00a0", " ")
    rows = digits.facts["dataset"]["splits"]["test"]["rows"]
    assert f"digits classifies {accuracy} of {rows} test images correctly; guessing gets 10.0 %." in page.text
    linear = digits.facts["baselines"]["linear"]["test/accuracy"]
    assert words.percent(linear).replace("\u00a0", " ") in page.text
    assert "Alpaydin and Kaynak, 1998" in page.text
    assert "98.3 %" in page.text
    assert "Target test/accuracy ≥ 80.0 %: met" in page.text


def test_the_findings_and_every_epoch_are_shown(digits, page_of):
    page = page_of(digits)
    last_step, last_loss = digits.store.series("val/loss")[-1]
    assert words.number(last_loss) in page.text
    assert f"{last_step} " in page.text
    assert "Validation loss" in page.text
    for heading in (
        "How it learned",
        "Where the time went",
        "Chosen for you, and why",
        "The data",
        "Repeat this run",
    ):
        assert heading in page.text
    assert "no accelerator was found" in page.text
    assert f"pellucid train {digits.path.parent.name}/{digits.id}/config.yaml --seed 3" in page.text


def test_the_python_lines_name_what_exists(digits, page_of):
    lines = re.search(r"import pellucid.*?again\.metrics\)", page_of(digits).html, flags=re.S)
    assert lines
    names = set(re.findall(r"pellucid\.([A-Z]\w+)", lines.group()))
    assert names == {"Config", "Run"} <= set(pellucid.__all__)
    compile(html.unescape(lines.group()), "report", "exec")


def test_the_matrix_holds_the_counts_on_disk(digits):
    confusion = evaluation_of(digits)["confusion"]
    matrix = re.search(r'<table class="matrix.*?</table>', report.render(digits), flags=re.S)
    assert matrix
    body = matrix.group().split("<tbody>")[1]
    shown = [[int(n) for n in re.findall(r">(\d+)</(?:a|span)>", row)] for row in body.split("</tr>")[:10]]
    # the first number of a row is the name of its class
    assert [row[1:] for row in shown] == confusion


def test_every_cell_with_examples_opens_their_images(digits):
    shown_page = report.render(digits)
    rows = pq.read_table(digits.path / "evaluation" / "test-examples.parquet").to_pylist()
    cells = {(row["target"], row["prediction"]) for row in rows}
    for target, predicted in cells:
        name = f"cell-{target}-{predicted}"
        assert f'href="#{name}"' in shown_page
        panel = re.search(rf'<section class="panel" id="{name}".*?</section>', shown_page, flags=re.S)
        assert panel
        shown = [base64.b64decode(data) for data in re.findall(r"base64,([^\"]+)", panel.group())]
        behind = [row["image"] for row in rows if (row["target"], row["prediction"]) == (target, predicted)]
        assert sorted(shown) == sorted(behind)


def test_the_worst_mistake_is_the_wrong_row_with_the_largest_loss(digits):
    rows = pq.read_table(digits.path / "evaluation" / "test-examples.parquet").to_pylist()
    worst = max((row for row in rows if row["target"] != row["prediction"]), key=lambda row: row["loss"])
    gallery = report.render(digits).split("The worst mistakes")[1]
    first = re.search(r"base64,([^\"]+)", gallery)
    assert first
    assert base64.b64decode(first.group(1)) == worst["image"]


def test_html_in_names_is_escaped(digits, page_of):
    names = [HOSTILE, *evaluation_of(digits)["classes"][1:]]
    scores = evaluation_of(digits)["per_class"]
    rewrite(digits, classes=names, per_class=[{**scores[0], "name": HOSTILE}, *scores[1:]])
    dataset = {**digits.facts["dataset"], "classes": names, "target": HOSTILE, "notes": [HOSTILE]}
    digits.update(name=HOSTILE, dataset=dataset, summary=HOSTILE, stop_reason=HOSTILE)
    digits.choose(HOSTILE, HOSTILE, HOSTILE)
    page = page_of(digits)
    assert not any(attributes.get("onerror") for _, attributes in page.elements)
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert page.open == []
    assert "<img src=x onerror=alert(1)>" in page.text


def test_a_regression_shows_its_errors_and_its_inputs(diabetes, page_of):
    page = page_of(diabetes)
    mae = words.number(diabetes.metrics["test/mae"])
    assert f"diabetes predicts progression to within {mae} on average" in page.text
    assert "The largest errors" in page.text
    assert "prediction minus true progression" in page.text
    assert "The only layer: all 10 inputs" in page.text
    assert "bmi" in page.text
    assert page.open == []


def test_labels_have_their_own_scores(digits, page_of):
    facts = evaluation_of(digits)
    labels = [{**facts["per_class"][i], "name": name} for i, name in enumerate(("even", "above four"))]
    kept = {"split": "test", "rows": 397, "metrics": {"f1": 0.8}, "classes": ["even", "above four"]}
    (digits.path / "evaluation" / "test.json").write_text(json.dumps({**kept, "per_class": labels}))
    dataset = {**digits.facts["dataset"], "task": "multilabel", "classes": ["even", "above four"]}
    spec = find_spec("multilabel").to_dict()
    digits.update(dataset=dataset, spec=spec, metrics={"test/f1": 0.8}, target=None)
    page = page_of(digits)
    assert "digits predicts the labels of 397 test images with an F1 of 80.0 %" in page.text
    assert "above four" in page.text
    assert "The rows with the largest loss" in page.text


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ("evaluation", "No split has been evaluated"),
        ("checkpoints", "How it learned"),
        ("config.yaml", "How it learned"),
        ("evaluation/test-examples.parquet", "Most frequent mistakes"),
    ],
)
def test_a_missing_file_leaves_out_only_its_section(digits, missing, says, page_of):
    path = digits.path / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    page = page_of(digits)
    assert says in page.text
    assert "Repeat this run" in page.text


@pytest.mark.parametrize("name", ["test.json", "test-examples.parquet"])
def test_a_damaged_evaluation_does_not_break_the_page(digits, name, page_of):
    path = digits.path / "evaluation" / name
    path.write_bytes(path.read_bytes()[:40])
    assert "Repeat this run" in page_of(digits).text


def test_a_damaged_checkpoint_leaves_out_the_weights(digits, page_of):
    weights = digits.checkpoints.pointed("best") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:40])
    assert "What the first layer looks for" not in page_of(digits).text


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("failed", "failed before its first epoch was complete: the disk was full"),
        ("running", "was killed before"),
    ],
)
def test_a_run_without_results_says_so(tmp_path, status, says, page_of):
    run = Run.create(tmp_path, "early", "", status=status, stop_reason="the disk was full")
    with run.writing():
        pass  # from here on, no process writes it
    page = page_of(run)
    assert says in page.text
    assert "No epoch has been completed" in page.text


def test_without_a_test_split_validation_is_shown(digits, page_of):
    folder = digits.path / "evaluation"
    for path in list(folder.iterdir()):
        path.rename(folder / path.name.replace("test", "validation"))
    digits.update(metrics={"val/accuracy": 0.9}, target=None, published=None)
    page = page_of(digits)
    assert "digits classifies 90.0 % of 200 validation images correctly" in page.text
    assert "Mistakes on the validation split" in page.text


def test_a_better_baseline_is_named(digits, page_of):
    better = {**digits.facts["baselines"], "linear": {"test/accuracy": 0.9999}}
    digits.update(baselines=better)
    assert "The linear model does better" in page_of(digits).text


def test_many_classes_show_the_most_confused(digits, page_of):
    size = 30
    confusion = [[10 if i == j else 0 for j in range(size)] for i in range(size)]
    confusion[4][29] = 7
    names = [f"class {i}" for i in range(size)]
    per_class = [
        {"name": n, "precision": 1.0, "recall": 1 - i / 60, "f1": 1 - i / 60, "support": 10}
        for i, n in enumerate(names)
    ]
    rewrite(digits, classes=names, confusion=confusion, per_class=per_class)
    page = page_of(digits)
    assert "10 others are not drawn" in page.text
    assert "class 4 predicted as class 29" in page.text


def test_large_images_are_reduced_and_the_page_stays_small(digits, page_of, replace_examples):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    count = 500
    columns = {
        "row": np.arange(count),
        "target": np.arange(count) % 10,
        "prediction": np.arange(count) // 50,
        "confidence": np.full(count, 0.9),
        "loss": np.linspace(9, 1, count),
    }
    replace_examples(digits, columns, [buffer.getvalue()] * count)
    page = page_of(digits)
    assert (digits.path / "report.html").stat().st_size < 3_000_000
    assert "were left out to keep this page small" in page.text


def test_the_report_needs_no_torch():
    code = "import sys, pellucid.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
