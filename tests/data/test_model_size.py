"""The size of a suggested model follows from the data and the time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pellucid.config import DataConfig
from pellucid.data import model_size
from pellucid.data.contents import Contents, look
from pellucid.data.model_size import CHOSEN, fitting
from pellucid.data.offers import Suggestion, choose


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 20 billion multiply-adds a second."""
    monkeypatch.setattr(model_size, "matmul_speed", lambda: 2e10)


def table(path: Path, rows: int) -> Contents:
    draw = np.random.default_rng(0).normal(size=(rows, 3)).round(3)
    lines = ["a,b,y", *(f"{a},{b},{y}" for a, b, y in draw)]
    path.write_text("\n".join(lines))
    return look(DataConfig(source=str(path), target="y"))


def suggested(contents: Contents, minutes: float | None, task: str | None = None) -> Suggestion:
    return choose(contents, task).suggest(minutes)


def test_the_largest_size_that_fits_is_chosen_else_the_smallest() -> None:
    needed = {"tiny": 10.0, "small": 50.0, "base": 900.0}
    assert [fitting(needed, seconds) for seconds in (5, 10, 49, 60, 1000)] == [
        "tiny",
        "tiny",
        "tiny",
        "small",
        "base",
    ]


@pytest.mark.usefixtures("slow")
def test_more_time_gives_a_larger_model_up_to_what_the_rows_warrant(tmp_path: Path) -> None:
    contents = table(tmp_path / "a.csv", 3000)
    sizes = [suggested(contents, minutes).config.model.size for minutes in (0.1, 5.0, 1000.0)]
    assert sizes == ["tiny", "small", "small"]


@pytest.mark.usefixtures("slow")
def test_few_rows_get_a_tiny_model_whatever_the_time(tmp_path: Path) -> None:
    found = suggested(table(tmp_path / "a.csv", 150), 60.0)
    assert found.config.model.size == "tiny"
    assert "would need more data" in found.reasons[-1]


@pytest.mark.usefixtures("slow")
def test_without_a_time_the_suggestion_stays(tmp_path: Path) -> None:
    found = suggested(table(tmp_path / "a.csv", 150), None)
    assert found.config.model.size == "small"
    assert not found.choices


@pytest.mark.usefixtures("slow")
def test_a_short_time_makes_windows_and_batches_of_texts_smaller(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the cat sat on the mat. " * 20_000)
    contents = look(DataConfig(source=str(tmp_path / "a.txt")))
    short, long = (suggested(contents, minutes, "language-model") for minutes in (0.02, 600.0))
    assert short.config.train.batch_size < long.config.train.batch_size
    assert short.config.data.text.max_seq_len == model_size.SHORTEST_WINDOW
    assert long.config.data.text.max_seq_len > model_size.SHORTEST_WINDOW


@pytest.mark.usefixtures("slow")
def test_a_smaller_size_gets_its_own_learning_rate_and_no_dropout(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One line of a text, and another word.\n" * 20_000)
    contents = look(DataConfig(source=str(tmp_path / "a.txt")))
    small, tiny = (suggested(contents, minutes, "language-model") for minutes in (1000.0, 4.0))
    assert (small.config.model.size, small.config.optimizer.lr) == ("small", 1e-3)
    assert small.config.model.options["dropout"] == 0.1
    assert (tiny.config.model.size, tiny.config.optimizer.lr) == ("tiny", 3e-3)
    assert tiny.config.model.options["dropout"] == 0.0
    assert ("learning rate", 3e-3, "learning rate 0.003, as for tiny") in tiny.choices


@pytest.mark.usefixtures("slow")
def test_every_choice_has_a_reason_and_is_that_of_the_config(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the cat sat on the mat. " * 20_000)
    found = suggested(look(DataConfig(source=str(tmp_path / "a.txt"))), 0.02, "language-model")
    assert {what for what, *_ in found.choices} >= {"model size", "window"}
    for what, value, reason in found.choices:
        section: Any = found.config.model_dump()
        for key in CHOSEN[what].split("."):
            section = section[key]
        assert section == value
        assert reason in found.reasons
