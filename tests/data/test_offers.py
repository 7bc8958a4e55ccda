"""What can be learned from data: every task offers itself, and says what it would learn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pellucid.config import Config, DataConfig
from pellucid.data import offers
from pellucid.data.contents import look
from pellucid.errors import BadDataError, UnknownNameError

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "looked", "at", "dogs", "who", "ran", "over", "hills"]


@pytest.fixture
def sentence():
    random = np.random.default_rng(0)
    return lambda: " ".join(random.choice(WORDS, 8))


def offered(path: Path, **settings) -> list[str]:
    return [found.name for found in offers.proposals(look(DataConfig(source=str(path), **settings)))]


def suggested(path: Path, task: str | None = None, **settings) -> Config:
    return offers.choose(look(DataConfig(source=str(path), **settings)), task).suggest(None).config


@pytest.fixture
def pictures(tmp_path, picture):
    for index in range(12):
        picture(tmp_path / "flat" / f"{index}.png")
        picture(tmp_path / "one" / "good" / f"{index}.png")
        picture(tmp_path / "parts" / "train" / "good" / f"{index}.png")
        picture(tmp_path / "parts" / "test" / ("good" if index % 2 else "scratch") / f"{index}.png")
        picture(tmp_path / "parts" / "ground_truth" / "scratch" / f"{index}_mask.png")
        picture(tmp_path / "classes" / "ab"[index % 2] / f"{index}.png")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "first", "others"),
    [
        ("flat", "compress", {"generate", "denoise", "vae", "anomaly"}),
        ("one", "anomaly", {"generate", "denoise", "compress", "vae"}),
        ("parts", "anomaly", {"generate", "denoise", "compress", "vae"}),
        ("classes", "classify", {"embed", "generate", "compress", "denoise", "anomaly"}),
    ],
)
def test_folders_of_pictures(pictures, name, first, others):
    found = offered(pictures / name)
    assert found[0] == first
    assert others <= set(found)
    assert ("classify" in found) == (name == "classes")


def test_the_normal_class_is_the_one_to_learn(pictures):
    config = suggested(pictures / "parts", "anomaly")
    assert config.objective.options["normal"] == "good"
    assert suggested(pictures / "flat", "anomaly").objective.options.get("normal") is None


def test_texts(tmp_path, sentence):
    (tmp_path / "own.txt").write_text("\n".join(sentence() for _ in range(60)))
    records = [{"text": sentence(), "label": "ab"[row % 2]} for row in range(60)]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, records)))
    assert offered(tmp_path / "own.txt")[:2] == ["language-model", "masked"]
    found = offered(tmp_path / "labels.jsonl")
    assert found[0] == "classify"
    assert {"language-model", "masked", "next-words"} <= set(found)
    assert suggested(tmp_path / "labels.jsonl", "masked").data.inputs == ["text"]


def test_pairs_of_texts_need_no_target(tmp_path, sentence):
    rows = "".join(f"{sentence()},{sentence()}\n" for _ in range(40))
    (tmp_path / "pairs.csv").write_text("answer,question\n" + rows)
    config = suggested(tmp_path / "pairs.csv")
    assert (config.objective.name, config.data.inputs, config.data.target) == (
        "seq2seq",
        ["question"],
        "answer",
    )
    assert suggested(tmp_path / "pairs.csv", target="question").data.target == "question"


def test_pairs_of_dates_are_texts_if_asked_for(tmp_path):
    rows = "".join(
        f"{row % 28 + 1} March {1900 + row},{1900 + row}-03-{row % 28 + 1:02}\n" for row in range(99)
    )
    (tmp_path / "dates.csv").write_text("human,iso\n" + rows)
    config = suggested(tmp_path / "dates.csv", "seq2seq", target="iso")
    assert config.data.columns == {"human": "text", "iso": "text"}


def test_whole_numbers_are_amounts_or_classes_as_asked(tmp_path):
    (tmp_path / "a.csv").write_text("x,stars\n" + "".join(f"{row / 7},{row % 5}\n" for row in range(60)))
    assert suggested(tmp_path / "a.csv").objective.name == "classification"
    config = suggested(tmp_path / "a.csv", "regression")
    assert (config.objective.name, config.data.columns) == ("regression", {"stars": "number"})


@pytest.mark.parametrize("name", ["language-model", "language_model", "Language Model", "write"])
def test_a_task_has_several_names(tmp_path, sentence, name):
    (tmp_path / "own.txt").write_text("\n".join(sentence() for _ in range(60)))
    assert suggested(tmp_path / "own.txt", name).objective.name == "language_model"


def test_one_name_gives_one_task_its_options(pictures):
    compress, denoise = suggested(pictures / "flat", "compress"), suggested(pictures / "flat", "denoise")
    assert compress.objective.name == denoise.objective.name == "reconstruction"
    assert compress.objective.options == {}
    assert denoise.objective.options["noise"] > 0
    assert suggested(pictures / "classes", "generate").model.options == {"conditional": True}


def test_a_refusal_names_what_would_work(pictures):
    with pytest.raises(
        BadDataError, match=r"(?s)expected two columns of texts.*task='compress' \| 'denoise'"
    ):
        suggested(pictures / "flat", "translate")
    with pytest.raises(BadDataError, match=r"(?s)not in a class folder.*task='compress' \| 'denoise'"):
        suggested(pictures / "flat", "classify")
    with pytest.raises(UnknownNameError, match="denoise"):
        suggested(pictures / "flat", "denoyse")


def test_a_target_that_was_named_is_not_left_out(tmp_path, sentence):
    rows = "".join(f"{sentence()},{'ab'[row % 2] if row else ''}\n" for row in range(40))
    (tmp_path / "a.csv").write_text("text,label\n" + rows)
    with pytest.raises(BadDataError, match=r"(?s)received nothing.*data.skip_bad.*task='language-model'"):
        suggested(tmp_path / "a.csv")
    assert suggested(tmp_path / "a.csv", "language-model").data.inputs == ["text"]


def test_every_suggestion_has_reasons(pictures):
    contents = look(DataConfig(source=str(pictures / "flat")))
    assert all(found.suggest(None).reasons for found in offers.proposals(contents))
