"""Splits: shares, stratification, determinism, duplicates, and refused data."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid.data.sources.arrays import arrays
from pellucid.data.split import limit_rows, split, subset
from pellucid.errors import BadDataError


def labelled(counts: dict[str, int], seed: int = 0):
    """A dataset with the given number of rows per class, all different."""
    y = np.concatenate([np.full(count, name) for name, count in counts.items()])
    X = np.random.default_rng(seed).normal(size=(len(y), 3))
    return arrays(X, y)


def shares(dataset, name: str) -> dict[str, int]:
    values, counts = np.unique(dataset.splits[name]["y"].to_numpy(zero_copy_only=False), return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def test_splits_are_stratified_and_complete():
    dataset = labelled({"a": 500, "b": 300, "c": 50})
    made = split(dataset, validation=0.2, test=0.1)
    assert {name: len(table) for name, table in made.splits.items()} == {
        "train": 595,
        "validation": 170,
        "test": 85,
    }
    assert shares(made, "test") == pytest.approx({"a": 50, "b": 30, "c": 5}, abs=1)
    assert shares(made, "validation") == pytest.approx({"a": 100, "b": 60, "c": 10}, abs=1)
    rows = np.concatenate([table["x0"].to_numpy() for table in made.splits.values()])
    np.testing.assert_array_equal(np.sort(rows), np.sort(dataset.splits["train"]["x0"].to_numpy()))


def test_splits_follow_the_seed():
    dataset = labelled({"a": 100, "b": 100})
    assert split(dataset).fingerprint == split(dataset).fingerprint
    assert split(dataset).fingerprint != split(dataset, seed=1).fingerprint


def test_given_test_split_is_kept():
    X, y = np.random.default_rng(0).normal(size=(100, 2)), np.arange(100) % 2
    dataset = arrays(X, y, test=(X[:10] + 9, y[:10]))
    made = split(dataset)
    assert made.fingerprint["test"] == dataset.fingerprint["test"]
    assert len(made.splits["validation"]) == 10


def test_test_split_can_be_left_out():
    X, y = np.random.default_rng(0).normal(size=(100, 2)), np.arange(100) % 2
    made = split(arrays(X, y, test=(X[:10] + 9, y[:10])), test=0)
    assert set(made.splits) == {"train", "validation"}
    assert "test: not used, since data.test is 0" in made.notes


def test_duplicates_stay_in_one_split():
    X = np.repeat(np.random.default_rng(0).normal(size=(60, 2)), 3, axis=0)
    made = split(arrays(X, np.arange(180) // 90), validation=0.2, test=0.2)
    sides = [set(table["x0"].to_pylist()) for table in made.splits.values()]
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]
    assert any("120 rows are copies" in note for note in made.notes)


def test_regression_targets_are_balanced_across_splits():
    y = np.exp(np.random.default_rng(0).normal(size=1000))
    made = split(arrays(np.arange(1000.0)[:, None], y), test=0.2)
    test, train = (made.splits[name]["y"].to_numpy() for name in ("test", "train"))
    assert np.median(test) == pytest.approx(np.median(train), rel=0.1)


def test_small_classes_stay_in_training_and_are_named():
    made = split(labelled({"a": 50, "b": 50, "rare": 1, "pair": 2}))
    assert {"rare", "pair"} <= shares(made, "train").keys()
    assert any("2 classes have fewer than 3 rows" in note and "'rare'" in note for note in made.notes)


@pytest.mark.parametrize(
    ("counts", "said"), [({"a": 10}, "single class, 'a'"), ({"a": 1, "b": 1}, "2 rows: expected at least 3")]
)
def test_too_few_rows_are_refused(counts, said):
    with pytest.raises(BadDataError, match=said):
        split(labelled(counts))


def test_a_class_for_every_row_cannot_be_split():
    with pytest.raises(BadDataError, match="no row can be held out"):
        split(arrays(np.arange(6.0)[:, None], np.arange(6)))


def test_classes_missing_from_training_are_refused():
    dataset = labelled({"a": 20, "b": 20})
    other = labelled({"a": 5, "c": 5})
    X = [
        table.splits["train"].select(["x0", "x1", "x2"]).to_pandas().to_numpy() for table in (dataset, other)
    ]
    y = [table.splits["train"]["y"].to_pylist() for table in (dataset, other)]
    with pytest.raises(BadDataError, match="1 of 3 classes are in test and not in train: 'c'"):
        split(arrays(X[0], y[0], test=(X[1], y[1])))


def test_shares_must_leave_rows_in_every_split():
    with pytest.raises(BadDataError, match="120%"):
        split(labelled({"a": 20, "b": 20}), validation=0.6, test=0.6)


def test_subset_keeps_every_class():
    made = subset(split(labelled({"a": 900, "b": 90, "c": 10})), 0.05)
    assert set(shares(made, "train")) == {"a", "b", "c"}
    assert len(made.splits["train"]) == pytest.approx(0.05 * 800, abs=3)
    assert any("only 5 % of each split" in note for note in made.notes)


def test_smaller_training_subsets_are_stratified_and_nested():
    dataset = split(labelled({"a": 400, "b": 400, "c": 40}))
    some, more = limit_rows(dataset, 50), limit_rows(dataset, 200)
    assert (len(some.splits["train"]), len(more.splits["train"])) == (50, 200)
    assert shares(more, "train") == pytest.approx({"a": 95, "b": 95, "c": 10}, abs=1)
    kept = [set(made.splits["train"]["x0"].to_pylist()) for made in (some, more, dataset)]
    assert kept[0] < kept[1] < kept[2]
    assert all(some.fingerprint[name] == dataset.fingerprint[name] for name in ("validation", "test"))
    assert limit_rows(dataset, 50).fingerprint == some.fingerprint
    assert limit_rows(dataset, 50, seed=1).fingerprint != some.fingerprint
    assert "only 50 of 672 training rows" in some.notes[-1]


def test_training_subsets_keep_every_class_and_are_limited_by_the_data():
    dataset = split(labelled({"a": 400, "b": 400, "c": 10}))
    assert set(shares(limit_rows(dataset, 1), "train")) == {"a", "b", "c"}
    with pytest.raises(BadDataError, match=r"asks for 9,000: .* has 648 training rows"):
        limit_rows(dataset, 9_000)
