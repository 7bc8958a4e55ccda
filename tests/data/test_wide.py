"""Tables of many columns, such as genes: the work grows with the columns, not with their square."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import pellucid
from pellucid.config import Config
from pellucid.data.inspect import warnings_of
from pellucid.data.preprocess import Preprocess
from pellucid.data.sources.open_source import open_data


def calls(work) -> int:
    """Count the calls of functions, those written in C too."""
    count = 0

    def counted(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.fixture
def table(tmp_path):
    def make(width: int):
        numbers = np.random.default_rng(0).normal(size=(40, width)).round(3)
        lines = [",".join([*map(str, row), "uv"[i % 2]]) for i, row in enumerate(numbers)]
        path = tmp_path / f"{width}.csv"
        path.write_text("\n".join([",".join([*(f"gene_{i}" for i in range(width)), "y"]), *lines]) + "\n")
        return path

    return make


def test_twice_the_columns_are_twice_the_work(table):
    def work(width):
        path = table(width)

        def run():
            dataset = open_data(Config().patch({"data.source": str(path)}).data)
            fitted = Preprocess.fit(dataset)
            for split in dataset.splits.values():
                fitted.inputs(split)
                fitted.targets(split)
            Preprocess.from_state(fitted.state())
            warnings_of(dataset)

        return run

    calls(work(50))
    few, many = calls(work(150)), calls(work(600))
    assert many < 4.4 * few


def test_a_wide_table_is_trained_on(table, tmp_path):
    run = pellucid.fit("mlp", str(table(1200)), epochs=1, runs=tmp_path / "runs", progress=False)
    assert run.status == "finished"
