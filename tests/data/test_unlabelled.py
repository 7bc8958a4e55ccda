"""Data without a target: documents, loose images, rows without labels; and targets that are texts."""

from __future__ import annotations

import json

import datasets
import pyarrow as pa
import pytest
import yaml

from pellucid.config import Config, DataConfig, TextConfig
from pellucid.data.batches import Batches, rows
from pellucid.data.build_dataset import DataOptions, RawTables, build_dataset
from pellucid.data.dataset import Source
from pellucid.data.inspect import describe, inspect_data
from pellucid.data.preprocess import Preprocess
from pellucid.data.sources import hub
from pellucid.data.sources.open_source import load, open_data
from pellucid.data.targets.tokens import Tokens
from pellucid.errors import BadDataError, DataNotFoundError, ModelError, UsageError

PLAY = "".join(f"SPEAKER {number}:\nLine {number} of the play.\n\n" for number in range(200))


def texts(dataset, split, column="text"):
    return dataset.splits[split][column].to_pylist()


@pytest.fixture
def mirror_of(tmp_path, monkeypatch):
    """A maker of mirrors: `mirror_of({"train.txt": "..."}) -> name of the dataset`."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setenv(hub.MIRROR, str(tmp_path / "mirror"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def make(files):
        folder = tmp_path / "mirror" / "owner" / "texts"
        folder.mkdir(parents=True)
        for name, content in files.items():
            (folder / name).write_text(content, encoding="utf-8")
        return "owner/texts"

    return make


# ---- documents -----------------------------------------------------------------------------------


def test_a_text_file_is_one_document_split_by_position(write):
    dataset = open_data(DataConfig(source=str(write(PLAY, "play.txt"))), labelled=False)
    assert (dataset.target, dataset.task) == (None, None)
    assert {name: len(table) for name, table in dataset.splits.items()} == {
        "train": 1,
        "validation": 1,
        "test": 1,
    }
    assert "".join(texts(dataset, name)[0] for name in ("train", "validation", "test")) == PLAY
    assert len(texts(dataset, "test")[0]) == pytest.approx(0.1 * len(PLAY), abs=1)
    assert any("taken from the end of the document" in note for note in dataset.notes)


def test_a_fraction_of_a_document_is_its_beginning(write):
    config = DataConfig(source=str(write(PLAY, "play.txt")), fraction=0.5)
    dataset = open_data(config, labelled=False)
    assert "".join(texts(dataset, name)[0] for name in dataset.splits) == PLAY[: len(PLAY) // 2]


def test_each_file_of_a_folder_is_one_document(write):
    for number in range(20):
        path = write(f"Story {number}.\r\nThe end.", f"stories/part {number}.txt")
    dataset = open_data(DataConfig(source=str(path.parent)), labelled=False)
    assert {name: len(table) for name, table in dataset.splits.items()} == {
        "train": 16,
        "validation": 2,
        "test": 2,
    }
    together = sorted(text for name in dataset.splits for text in texts(dataset, name))
    assert together == sorted(f"Story {number}.\nThe end." for number in range(20))


def test_file_names_can_name_the_split(write):
    for split in ("train", "valid", "test"):
        path = write(f"{split} text", f"corpus/{split}.txt")
    dataset = open_data(DataConfig(source=str(path.parent)), labelled=False)
    assert [texts(dataset, name) for name in ("train", "validation", "test")] == [
        ["train text"],
        ["valid text"],
        ["test text"],
    ]


def test_unreadable_text_files_are_named(write):
    with pytest.raises(BadDataError, match=r"empty\.txt is empty"):
        open_data(DataConfig(source=str(write(" \n", "empty.txt"))), labelled=False)
    with pytest.raises(BadDataError, match="byte 1 is 0"):
        open_data(DataConfig(source=str(write("a\x00b", "binary.txt"))), labelled=False)
    with pytest.raises(BadDataError, match="too short to be split"):
        open_data(DataConfig(source=str(write("ab", "short.txt"))), labelled=False)
    with pytest.raises(DataNotFoundError):
        open_data(DataConfig(source="nowhere/book.txt"), labelled=False)
    with pytest.raises(BadDataError, match="holds no images"):  # nothing in it is a text
        open_data(DataConfig(source=str(write("about", "nothing/README.pdf").parent)), labelled=False)
    old = write(PLAY + "caf\xe9", "old.txt", encoding="latin-1")
    dataset = open_data(DataConfig(source=str(old)), labelled=False)
    assert texts(dataset, "test")[0].endswith("café")
    assert any("Windows-1252" in note for note in dataset.notes)


def test_plain_text_from_the_hub_is_one_document(mirror_of):
    name = mirror_of({"input.txt": PLAY, "README.md": "License: public domain\n"})
    dataset = load(name)
    assert texts(dataset, "train") == [PLAY]
    assert dataset.column("text").kind == "text"
    assert dataset.source.licence == "public domain"
    with pytest.raises(UsageError, match="nothing to predict"):
        open_data(DataConfig(source=name))
    found = inspect_data(DataConfig(source=name))
    assert "nothing to predict" in describe(found)
    assert Config.model_validate(yaml.safe_load(found.config)).objective.name == "language_model"


# ---- rows without a target -----------------------------------------------------------------------


def test_unlabeled_rows_are_kept_for_tasks_without_labels(mirror):
    config = DataConfig(source="imdb", fraction=0.002)
    plain, more = open_data(config), open_data(config, labelled=False)
    assert "unsupervised" not in plain.splits
    assert len(more.splits["unsupervised"]) > len(more.splits["train"])
    assert more.splits["unsupervised"]["label"].null_count == len(more.splits["unsupervised"])
    assert texts(plain, "test") == texts(more, "test")
    assert more.classes == ("neg", "pos")


def test_unlabeled_copies_of_held_out_rows_are_not_trained_on(mirror):
    dataset = open_data(DataConfig(source="imdb", test=0), labelled=False)
    held_out = {*texts(dataset, "validation"), *texts(load("imdb"), "test")}
    assert "test" not in dataset.splits
    assert not held_out & set(texts(dataset, "unsupervised"))
    assert len(dataset.splits["unsupervised"]) > 49_000
    assert any("copies of held-out ones are left out" in note for note in dataset.notes)


def test_a_target_is_not_guessed_for_tasks_without_labels(write):
    path = write("\n".join(["first,second", *(f"{n},{n * n}" for n in range(30))]))
    assert open_data(DataConfig(source=str(path))).target == "second"
    dataset = open_data(DataConfig(source=str(path)), labelled=False)
    assert dataset.target is None
    assert [column.name for column in dataset.inputs] == ["first", "second"]


def test_an_incomplete_target_is_ignored_by_tasks_without_labels(write):
    lines = [f"{n},{'' if n == 3 else n % 2}" for n in range(30)]
    path = write("\n".join(["size,label", *lines]))
    with pytest.raises(BadDataError, match="column 'label'"):
        open_data(DataConfig(source=str(path)))
    dataset = open_data(DataConfig(source=str(path)), labelled=False)
    assert dataset.target is None
    assert [column.name for column in dataset.inputs] == ["size", "label"]


def test_images_need_no_class_folders_for_tasks_without_labels(tmp_path, picture):
    for number in range(12):
        picture(tmp_path / "shots" / f"{number}.png")
    with pytest.raises(BadDataError, match="not in a class folder"):
        open_data(DataConfig(source=str(tmp_path / "shots")))
    dataset = open_data(DataConfig(source=str(tmp_path / "shots")), labelled=False)
    assert (dataset.target, sum(map(len, dataset.splits.values()))) == (None, 12)
    assert Preprocess.fit(dataset).inputs(dataset.splits["test"]).shape[1:] == (1, 6, 8)


def test_one_class_is_enough_for_tasks_without_labels(tmp_path, picture):
    for number in range(12):
        picture(tmp_path / "pets" / "cat" / f"{number}.png")
    with pytest.raises(BadDataError, match="single class"):
        open_data(DataConfig(source=str(tmp_path / "pets")))
    assert open_data(DataConfig(source=str(tmp_path / "pets")), labelled=False).classes == ("cat",)


def test_texts_of_one_class_are_refused(write):
    lines = [f'"A film number {n}, and a good one at that.",good' for n in range(30)]
    with pytest.raises(BadDataError, match="single class, 'good'"):
        open_data(DataConfig(source=str(write("\n".join(["review,label", *lines])))))


# ---- a target that is text -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def pairs(mirror):
    return open_data(DataConfig(source="multi30k", target="en", columns={"en": "text"}, fraction=0.01))


def test_text_to_text_data_is_loaded(pairs):
    assert (pairs.task, pairs.target) == ("translation", "en")
    assert [column.name for column in pairs.inputs] == ["de"]
    preprocess = Preprocess.fit(pairs, text=TextConfig(tokenizer="bpe", vocab_size=500))
    assert isinstance(preprocess.target, Tokens)
    table = pairs.splits["test"]
    targets = preprocess.targets(table)
    assert (targets[:, 0] == 2).all()  # BOS
    assert ((targets == 3).sum(1) == 1).all()  # EOS
    held, _ = rows(table, preprocess, 0.25)
    _, wanted = next(iter(Batches(held, 4)))
    order = Batches(held, 4).row_order()[:4]
    said = [preprocess.target.tokens.decode(row) for row in wanted.numpy()]
    assert said == [texts(pairs, "test", "en")[row].lower() for row in order]
    again = Preprocess.from_state(json.loads(json.dumps(preprocess.state())))
    assert (again.targets(table) == targets).all()


def test_two_languages_can_share_a_vocabulary(pairs):
    config = TextConfig(tokenizer="bpe", vocab_size=500)
    shared = Preprocess.fit(pairs, text=config, shared_tokens=True)
    apart = Preprocess.fit(pairs, text=config)
    assert shared.encoded.tokenizer == shared.target.tokens.tokenizer
    assert apart.encoded.tokenizer != apart.target.tokens.tokenizer
    assert (shared.encoded.name, shared.target.tokens.name) == ("de", "en")


def test_text_targets_need_a_sequence_model(pairs):
    with pytest.raises(ModelError, match="expected a model such as seq2seq"):
        Preprocess.fit(pairs)


def test_a_missing_translation_is_left_out_and_named():
    table = pa.table({"de": ["Ein Hund bellt laut im Garten"] * 3, "en": ["A dog barks", None, "A dog"]})
    raw = RawTables("pairs", {"train": table}, Source("pairs", "arrays"))
    found = build_dataset(raw, DataOptions(target="en", columns={"en": "text", "de": "text"}))
    assert (found.target, texts(found, "train", "en")) == ("en", ["A dog barks", "A dog"])
    assert found.skipped == ("1 pair has no text in column 'en': train row 2",)
