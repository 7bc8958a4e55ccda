"""What is wrong with data: rules on recorded facts, and the checks that record them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from sklearn.datasets import load_digits

import pellucid
from pellucid.data.batches import MemoryRows
from pellucid.data.near_copies import Features, domain_auc, near_copies
from pellucid.diagnosis import Facts, Setting, examine
from pellucid.diagnosis.data_facts import ClassRecall, Copies, DataFacts, Shift
from pellucid.diagnosis.rules.data import RULES
from pellucid.record import Finding


def found(data: DataFacts | None = None, **more: object) -> dict[str, Finding]:
    facts = Facts(data=data or DataFacts(), **more)  # type: ignore[arg-type]
    return {one.rule: one for one in examine(facts, RULES).findings}


# ---- rules -------------------------------------------------------------------------------------


def test_copies_across_splits_are_a_warning_with_the_accuracy_without_them() -> None:
    pairs = ((3, 17, 1.0),)
    leak = Copies("validation", 400, 40, 2, 400, pairs, accuracy=0.95, without=0.91)
    finding = found(DataFacts((leak,)))["leaked-rows"]
    assert finding.level == "warning"
    assert "40 rows of validation (10.0 %) are also in train" in finding.seen
    assert "validation 3 = train 17" in finding.seen
    assert "95.0 %, and 91.0 % without them" in finding.seen
    for few in (Copies("test", 10_000, 3), Copies("test", 600, 0, 12, 600)):
        assert found(DataFacts((few,)))["leaked-rows"].level == "note"
    assert not found(DataFacts((Copies("train", 100, 1), Copies("test", 100))))


def test_rows_of_a_table_that_repeat_everywhere_are_no_leak() -> None:
    everywhere = (Copies("train", 1_000, 300), Copies("test", 100, 28))
    findings = found(DataFacts(everywhere))
    assert findings["leaked-rows"].level == "note"
    assert findings["repeated-rows"].level == "note"


def test_splits_that_a_classifier_tells_apart() -> None:
    far = found(DataFacts(shift=(Shift("test", 0.9, 0.02, (("age", 1.3),)),)))["split-shift"]
    assert far.level == "warning"
    assert "age (+1.30 standard deviations)" in far.seen
    assert found(DataFacts(shift=(Shift("test", 0.7, 0.02),)))["split-shift"].level == "note"
    assert not found(DataFacts(shift=(Shift("test", 0.62, 0.03),)))


def test_a_rare_class_that_is_never_found() -> None:
    classes = (ClassRecall("fine", 950, 0.99), ClassRecall("ill", 50, 0.02))
    finding = found(classes=classes)["minority-missed"]
    assert "'ill' (2.0 % of 50 rows)" in finding.seen
    assert finding.patch == {"objective.class_weights": True}
    assert not found(classes=classes, setting=Setting(own_loss="mine"))["minority-missed"].patch
    for healthy in (
        (ClassRecall("fine", 950, 0.99), ClassRecall("ill", 50, 0.6)),
        (ClassRecall("fine", 997, 1.0), ClassRecall("ill", 3, 0.0)),
        (ClassRecall("a", 100, 0.9), ClassRecall("b", 100, 0.05)),
    ):
        assert not found(classes=healthy)


def test_a_column_that_predicts_the_target_and_inputs_that_are_not_scaled() -> None:
    findings = found(DataFacts(revealing=(("refund", 0.999),), normalized=False, mean=130.0, spread=70.0))
    assert findings["column-predicts-target"].where == "refund"
    assert findings["inputs-off-scale"].patch == {"data.normalize": True}
    assert not found(DataFacts(mean=130.0, spread=70.0))
    assert not found(DataFacts(normalized=False, mean=0.5, spread=0.3))


# ---- what is recorded --------------------------------------------------------------------------


def features(inputs: torch.Tensor, *, tokens: bool = False) -> Features:
    return Features(MemoryRows(inputs, torch.zeros(len(inputs))), 1_000, tokens=tokens)


def test_nearly_equal_pictures_are_found_and_similar_ones_are_not() -> None:
    digits = torch.from_numpy(load_digits().images).float()[:, None]
    noise = 0.2 * torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    queries = torch.cat([1.5 * digits[:20] + noise, digits[900:1_100]])
    pairs = near_copies(features(queries), features(digits[:900]))
    assert [(pair.row, pair.other) for pair in pairs if pair.row < 20] == [(i, i) for i in range(20)]
    assert len(pairs) <= 21


def test_texts_with_a_few_other_words_are_found() -> None:
    generator = torch.Generator().manual_seed(0)
    texts = torch.randint(1, 500, (300, 40), generator=generator)
    changed = texts[:10].clone()
    changed[:, 3] = 499
    pairs = near_copies(
        features(torch.cat([changed, texts[200:]]), tokens=True), features(texts[:200], tokens=True)
    )
    assert [(pair.row, pair.other) for pair in pairs] == [(i, i) for i in range(10)]


def test_auc_of_equal_splits_is_a_half_within_its_error() -> None:
    generator = torch.Generator().manual_seed(0)
    one, same = torch.randn(2, 600, 12, generator=generator)
    made = domain_auc(features(one), features(same))
    assert made is not None
    assert abs(made[0] - 0.5) < 3 * made[1]
    other = same.clone()
    other[:, 4] += 1.5
    moved = domain_auc(features(one), features(other))
    assert moved is not None
    assert moved[0] - 3 * moved[1] > 0.75
    assert domain_auc(features(one[:10]), features(same)) is None


def test_a_run_records_leaks_and_accuracy_without_them(tmp_path: Path) -> None:
    digits = load_digits()
    images, labels = digits.images.astype(np.float32), digits.target
    held_out = np.concatenate([images[1_400:], images[:100]])
    run = pellucid.fit(
        "mlp",
        (images[:1_400], labels[:1_400]),
        validation=(held_out, np.concatenate([labels[1_400:], labels[:100]])),
        test=(images[1_400:1_500], labels[1_400:1_500]),
        runs=tmp_path,
        epochs=2,
        progress=False,
    )
    copies = run.facts["data_checks"]["copies"]["validation"]
    assert copies["exact"] == 100
    assert copies["accuracy"] != copies["without"]
    finding = next(one for one in run.findings if one.rule == "leaked-rows")
    assert "without them" in finding.seen


def test_a_shifted_table_names_its_column(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(900, 3)).astype(np.float32)
    y = np.where(x[:, 0] + random.normal(size=900) > 0, "yes", "no")
    x[600:, 1] += 3
    splits = {
        name: pa.table({**{f"c{i}": x[part, i] for i in range(3)}, "y": y[part]})
        for name, part in (
            ("train", slice(0, 600)),
            ("validation", slice(600, 750)),
            ("test", slice(750, 900)),
        )
    }
    run = pellucid.fit("mlp", splits, target="y", runs=tmp_path, epochs=1, progress=False)
    finding = next(one for one in run.findings if one.rule == "split-shift")
    assert finding.level == "warning"
    assert "c1" in finding.seen
