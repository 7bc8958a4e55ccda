"""`fit` and `predict` take inputs and labels in the containers that people have them in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image
from torch import nn

import pellucid
from pellucid.errors import BadDataError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)).astype("float32")
Y = (X[:, 0] > 0).astype(int)


def data(X: Any, y: Any = Y) -> Any:
    return pellucid.arrays(X, y)


def values(dataset: Any) -> np.ndarray:
    table = dataset.splits["train"].select([column.name for column in dataset.inputs])
    return np.stack([column.to_numpy() for column in table.columns], 1)


# ---- X ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "held",
    [
        torch.tensor(X).to_sparse(),
        X.astype(object),
        pd.Series(list(X)),
        pd.DataFrame(X, columns=["a", "b", "c"]).to_records(index=False),
        np.ma.masked_array(X, mask=np.zeros_like(X, bool)),
    ],
    ids=["sparse tensor", "objects", "series of rows", "records", "nothing masked"],
)
def test_numbers_are_read_from_any_container(held: Any) -> None:
    assert np.allclose(values(data(held)), X)


def test_masked_values_are_missing_and_not_numbers() -> None:
    with pytest.raises(BadDataError, match="the first nan in row 1"):
        data(np.ma.masked_array(X, mask=np.eye(60, 3, dtype=bool)))


def _pictures(folder: Path) -> list[Path]:
    paths = [folder / f"{row}.png" for row in range(len(Y))]
    for row, path in enumerate(paths):
        Image.fromarray(np.full((8 + row % 2, 8), 40 + 150 * Y[row], np.uint8)).save(path)
    return paths


def test_paths_and_pictures_of_several_sizes_are_images(tmp_path: Path, monkeypatch: Any) -> None:
    paths = _pictures(tmp_path)
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"file": [path.name for path in paths], "kind": Y})
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2))
    for held in (
        (paths, Y),
        ([path.name for path in paths], Y),
        ([Image.open(path) for path in paths], Y),
        (frame[["file"]], Y),
    ):
        assert [column.kind for column in data(*held).inputs] == ["image"]
    run = pellucid.fit(model, frame, target="kind", epochs=1, execution="eager", progress=False)
    assert len(run.predict(paths[:3]).labels) == 3
    assert len(run.predict(frame[["file"]].head(2)).labels) == 2
    paths[5].write_bytes(b"broken")
    with pytest.raises(BadDataError, match=r"5\.png in row 6"):
        data(paths)


# ---- y ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rows",
    [
        [["a", "b"] if value else ["b"] for value in Y],
        [["a", "b"] if value else ["b", "c"] for value in Y],
        [{"a", "b"} if value else set() for value in Y],
        [("b",) if value else () for value in Y],
        [[1, 7] if value else [7] for value in Y],
    ],
)
def test_labels_of_a_row_are_a_list_a_tuple_or_a_set(rows: Any) -> None:
    made = data(X, rows)
    assert made.task == "multilabel"
    assert set(made.columns[-1].categories) == {str(label) for row in rows for label in row}


# ---- columns in order --------------------------------------------------------------------------------


def test_columns_without_names_are_read_in_their_order(tmp_path: Path) -> None:
    options = {"epochs": 1, "execution": "eager", "progress": False, "runs": tmp_path}
    run = pellucid.fit(nn.Linear(3, 2), (X, Y), **options)
    wanted = run.predict(X).probs
    for held in (pd.DataFrame(X), pl.DataFrame(X), pd.DataFrame(X, columns=["a", "b", "c"])):
        found = run.predict(held)
        assert np.allclose(found.probs, wanted)
    assert "the columns a, b, c are read in this order" in found.notes
    named = pellucid.fit(nn.Linear(3, 2), (pd.DataFrame(X, columns=["a", "b", "c"]), Y), **options)
    assert np.allclose(named.predict(pd.DataFrame(X)).probs, named.predict(X).probs)
    with pytest.raises(pellucid.PellucidError, match="no column"):
        named.predict(pd.DataFrame(X, columns=["a", "q", "c"]))


# ---- the task that is asked for ----------------------------------------------------------------------


def test_whole_numbers_are_amounts_and_one_hot_rows_labels_where_that_is_asked_for(tmp_path: Path) -> None:
    options = {"epochs": 1, "execution": "eager", "progress": False, "runs": tmp_path}
    stars = RNG.integers(1, 6, 60)
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(stars=stars)
    for held in ({"data": (X, stars)}, {"data": frame, "target": "stars"}):
        for asked in ({"objective": "regression"}, {"settings": {"objective.name": "regression"}}):
            run = pellucid.fit(nn.Linear(3, 1), **held, **asked, **options)
            assert run.task == "regression"
            assert np.array(run.predict(X).labels).dtype.kind == "f"
    rows = np.eye(3)[X.argmax(1)]
    run = pellucid.fit(nn.Linear(3, 3), (X, rows), objective="multilabel", **options)
    assert isinstance(run.predict(X).labels[0], tuple)
    with pytest.raises(pellucid.PellucidError, match=r"pellucid.arrays\(X, y, task='regression'\)"):
        pellucid.fit(nn.Linear(3, 1), data(X, stars), objective="regression", **options)
