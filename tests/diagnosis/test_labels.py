"""Wrong labels are found by the margins of training, from the recorded numbers to the report."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from typer.testing import CliRunner

import pellucid
from pellucid import report
from pellucid.cli.main import app
from pellucid.diagnosis import Facts, examine
from pellucid.diagnosis.data_facts import LabelFacts
from pellucid.diagnosis.label_noise import estimate
from pellucid.diagnosis.rules.labels import RULES
from pellucid.errors import RunError


def estimated(margins: np.ndarray):
    zeros = np.zeros(len(margins), np.int64)
    return estimate(zeros, margins.astype(np.float32), zeros + 5, zeros + 1)


def one_group(rows: int = 5_000) -> np.ndarray:
    """Right labels: one mode, with a long tail of hard rows to its left."""
    random = np.random.default_rng(0)
    return 5 - random.gamma(2.0, 0.9, rows) + random.normal(0, 1, rows)


def test_the_number_of_wrong_labels_is_estimated_without_knowing_their_rate() -> None:
    for share in (0.05, 0.1, 0.3):
        wrong = np.random.default_rng(1).normal(-4, 1, round(share * 5_000))
        made = estimated(np.concatenate([one_group(), wrong]))
        assert made.mixture is not None
        assert abs(made.mixture.share * (5_000 + len(wrong)) - len(wrong)) < 0.25 * len(wrong)
        hits = made.suspect[5_000:].sum()
        assert 2 * hits / (made.count + len(wrong)) > 0.85
        assert made.precision is not None
        assert made.precision > 0.8


def test_hard_rows_are_not_a_group_of_wrong_labels() -> None:
    random = np.random.default_rng(0)
    for margins in (one_group(), one_group(150), random.normal(2, 2, 3_000), random.standard_t(3, 2_000) + 4):
        made = estimated(margins)
        assert made.mixture is None
        assert made.count < 0.05 * len(margins)


def test_rows_that_were_never_seen_and_margins_that_are_all_equal_are_not_suspected() -> None:
    margins, zeros = np.full(100, -3.0, np.float32), np.zeros(100, np.int64)
    assert estimate(zeros, margins, zeros, zeros).count == 0
    assert estimated(np.full(100, 2.0)).count == 0


def test_rule_warns_of_many_notes_few_and_is_silent_without_two_groups() -> None:
    def found(labels: LabelFacts | None):
        return examine(Facts(labels=labels), RULES)

    many = found(LabelFacts(1_000, 95, 100, 0.96, 2.4, (("7", "1", 30),))).findings[0]
    assert many.level == "warning"
    assert many.confidence > 0.9
    assert "About 100 of 1,000 training labels (10.0 %)" in many.seen
    assert "'7' that looks like '1' (30)" in many.seen
    assert found(LabelFacts(10_000, 90, 100, 0.9, 1.4)).findings[0].level == "note"
    assert found(LabelFacts(10_000, 12)).findings == []
    assert found(None).skipped[0].rule == "suspicious-labels"


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory):
    """A run on digits, a tenth of whose labels are wrong, and which ones these are."""
    digits = load_digits()
    labels, flipped = digits.target.copy(), np.random.default_rng(0).permutation(1797)[:180]
    labels[flipped] = (labels[flipped] + np.random.default_rng(1).integers(1, 10, 180)) % 10
    runs = tmp_path_factory.mktemp("runs")
    images = digits.images.astype(np.float32)
    run = pellucid.fit("mlp", (images, labels), runs=runs, epochs=8, progress=False)
    return run, set(flipped.tolist()), runs


def test_wrong_labels_of_a_run_are_found_by_their_index(noisy) -> None:
    run, flipped, _ = noisy
    rows = pellucid.suspicious_rows(run, None)
    assert rows
    assert all(row.suspect for row in rows)
    assert np.mean([row.index in flipped for row in rows]) > 0.85
    assert len(rows) > 0.75 * 144
    assert rows[0].image is not None
    assert rows[0].margin <= rows[1].margin
    finding = next(one for one in run.findings if one.rule == "suspicious-labels")
    assert finding.level == "warning"


def test_labels_are_listed_by_the_command_and_shown_in_the_report(noisy, tmp_path: Path) -> None:
    run, _, _ = noisy
    out = tmp_path / "rows.csv"
    page = run.report().read_text()
    done = CliRunner().invoke(app, ["labels", str(run.path), "--out", str(out)])
    assert done.exit_code == 0
    assert "labels are wrong" in done.output
    with out.open() as file:
        listed = list(csv.DictReader(file))
    assert len(listed) == run.facts["labels"]["suspected"]
    done = CliRunner().invoke(app, ["labels", str(run.path), "--rows", "3", "--json"])
    assert [row["row"] for row in json.loads(done.stdout)["rows"]] == [int(row["row"]) for row in listed[:3]]
    assert page.count("labelled <b>") == 24
    section = next(part for part in report.view(run)["sections"] if part["id"] == "labels")
    assert len(section["blocks"][0]["body"]["rows"]) == 24


def test_a_run_without_margins_says_why(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    run = pellucid.fit("mlp", (x, x[:, 0]), runs=tmp_path, epochs=1, progress=False)
    with pytest.raises(RunError, match="this run learned regression"):
        pellucid.suspicious_rows(run)
    y = (x[:, 0] > 0).astype(int)
    mixed = pellucid.fit(
        "mlp", (x, y), runs=tmp_path, epochs=1, progress=False, settings={"data.augment.mixup": 0.2}
    )
    with pytest.raises(RunError, match="mixup"):
        pellucid.suspicious_rows(mixed)


def test_texts_that_are_pooled_by_length_have_margins_of_every_row(tmp_path: Path) -> None:
    words = np.random.default_rng(0)
    texts = [" ".join(words.choice(["good", "bad", "fine", "poor"], words.integers(1, 9))) for _ in range(90)]
    labels = ["yes" if "good" in text else "no" for text in texts]
    run = pellucid.fit(
        "lstm",
        pellucid.arrays(texts, labels),
        runs=tmp_path,
        epochs=2,
        progress=False,
        batch_size=8,
    )
    import pyarrow.parquet as pq

    table = pq.read_table(run.path / "evaluation/label-margins.parquet")
    assert set(table["epochs"].to_pylist()) == {2}
    row = pellucid.suspicious_rows(run, 1)[0]
    assert row.label == ("yes" if "good" in texts[row.index] else "no")
