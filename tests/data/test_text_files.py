"""Texts as people have them: usual encodings, usual kinds of files, folders with other files among them."""

import gzip
import json
import os

import pytest

from pellucid.config import DataConfig
from pellucid.data.inspect import inspect_data
from pellucid.data.sources.open_source import open_data
from pellucid.data.text.decoding import decode
from pellucid.errors import BadDataError, ConfigError, UnknownNameError

WESTERN = "“It’s déjà vu” – he said… €5. " * 20
CHINESE = "今天天气很好，我们去公园散步。\n" * 30
STORY = "The cat sat on the mat and nobody said anything about it. " * 20


def opened(path, **settings):
    config = DataConfig.model_validate({"source": str(path), **settings})
    return open_data(config, labelled=False, form="texts")


def whole(dataset):
    return "".join(
        text
        for split in ("train", "validation", "test")
        for text in dataset.splits[split]["text"].to_pylist()
    )


# ---- encodings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "encoding", "note"),
    [
        (WESTERN, "utf-8", None),
        (WESTERN, "utf-8-sig", None),
        (WESTERN, "cp1252", "read as Windows-1252"),
        ("Grüße aus Köln, très bien. " * 9, "latin-1", "read as Windows-1252"),
        (WESTERN, "utf-16", None),
        (WESTERN, "utf-32", None),
        (STORY, "utf-16-le", "no byte order mark"),
        (STORY, "utf-16-be", "no byte order mark"),
    ],
)
def test_encodings_that_the_bytes_tell_are_found(text, encoding, note):
    found, notes = decode(text.encode(encoding), "a.txt")
    assert found == text
    assert bool(notes) == bool(note)
    assert note is None or note in notes[0]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (CHINESE, "gb18030"),
        ("今日はいい天気ですね。\n" * 30, "shift_jis"),
        ("Сегодня хорошая погода.\n" * 30, "cp1251"),
        ("Zażółć gęślą jaźń dzisiaj.\n" * 30, "cp1250"),
        ("Les élèves à l'école, où ça?\n" * 30, "cp850"),
    ],
)
def test_other_encodings_are_asked_for_and_then_read(text, encoding):
    raw = text.encode(encoding)
    with pytest.raises(BadDataError, match="unknown encoding") as error:
        decode(raw, "a.txt")
    assert f"{encoding} ({text[:10]}" in str(error.value)  # so that a reader of the language can choose
    assert "iconv" in str(error.value)
    assert decode(raw, "a.txt", encoding) == (text, [])


def test_a_few_wrong_bytes_do_not_make_utf_8_another_encoding():
    text, notes = decode("Ünïcödé ".encode() * 40 + b"\xff end", "a.txt")
    assert text == "Ünïcödé " * 40 + "\ufffd end"
    assert "1 bytes are not, the first at 480" in notes[0]


def test_an_encoding_that_does_not_exist_or_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="gb18030"):
        decode(b"a", "a.txt", "gb1803")
    with pytest.raises(ConfigError):
        decode(b"a", "a.txt", "base64")
    with pytest.raises(BadDataError, match="byte 0 is 0xe9"):
        decode(b"\xe9", "a.txt", "utf-8")


def test_the_setting_is_used(tmp_path):
    (tmp_path / "a.txt").write_bytes(CHINESE.encode("gbk"))
    assert whole(opened(tmp_path / "a.txt", encoding="gbk")) == CHINESE


# ---- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.py", "a.rs", "a.poem", "README", "a.txt.gz"])
def test_a_file_of_text_is_a_document(tmp_path, name):
    raw = STORY.encode()
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    assert whole(opened(tmp_path / name)) == STORY


def test_every_record_of_json_lines_is_a_text(tmp_path):
    records = [{"id": n, "title": f"T{n}", "body": f"Story {n}. {STORY}"} for n in range(20)]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, records)))
    dataset = opened(path)
    assert sorted(t for split in dataset.splits.values() for t in split["text"].to_pylist()) == sorted(
        record["body"] for record in records
    )
    assert any("field 'body'" in note for note in dataset.notes)
    assert "T0" in opened(path, inputs=["title"]).splits["train"]["text"].to_pylist()
    (tmp_path / "a.json").write_text(json.dumps(records))
    assert len(opened(tmp_path / "a.json").splits["train"]) == 16
    with pytest.raises(UnknownNameError, match="bodi"):
        opened(path, inputs=["bodi"])
    path.write_text('{"text": "a"}\n{"text": \n')
    with pytest.raises(BadDataError, match="line 2"):
        opened(path)


def test_json_lines_are_rows_of_a_table_where_there_is_a_target(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({"a": n, "b": n % 7, "label": "xy"[n % 2]}) for n in range(60)))
    dataset = open_data(DataConfig(source=str(path)))
    assert (dataset.target, dataset.classes) == ("label", ("x", "y"))


@pytest.mark.parametrize("suffix", [".md", ".py", ".txt"])
def test_a_folder_of_texts_may_hold_other_files(tmp_path, suffix):
    for number in range(12):
        (tmp_path / f"{number}{suffix}").write_text(f"{number} {STORY}")
    (tmp_path / "paper.pdf").write_bytes(b"%PDF \x00")
    (tmp_path / "empty.md").write_text("")
    dataset = opened(tmp_path)
    assert sum(map(len, dataset.splits.values())) == 12
    assert any("1 other files were ignored (1 .pdf)" in note for note in dataset.notes)


def test_few_documents_are_each_cut_by_position(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.md").write_text(f"{name} {STORY}")
    dataset = opened(tmp_path)
    assert {split: len(table) for split, table in dataset.splits.items()} == {
        "train": 2,
        "validation": 2,
        "test": 2,
    }


def test_what_is_no_text_is_named_with_what_to_do(tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4 \x00")
    with pytest.raises(BadDataError, match=r"is a PDF, and no plain text(.|\n)*pdftotext"):
        opened(tmp_path / "a.pdf")
    with pytest.raises(BadDataError, match=r"holds no text: received 1 \.pdf(.|\n)*\.md.*\.jsonl"):
        opened(tmp_path)


def test_names_that_are_not_utf_8_are_read_and_shown(tmp_path):
    folder = os.fsencode(tmp_path)
    for name in (b"caf\xe9.txt", b"b.txt", b"c.txt"):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(STORY.encode())
    with open(os.path.join(folder, b"x\xe9.pd\xe9"), "wb") as file:
        file.write(b"")
    dataset = opened(tmp_path)
    assert len(dataset.splits["train"]) == 3
    " ".join(dataset.notes).encode()  # can be printed
    with open(os.path.join(folder, b"\xe9.txt"), "wb") as file:
        file.write(b" ")
    with pytest.raises(BadDataError, match=r"é\.txt is empty"):
        opened(tmp_path)


@pytest.mark.parametrize("name", ["a.txt", "a.md", "src"])
def test_inspect_suggests_a_language_model_for_text(tmp_path, name):
    path = tmp_path / name
    if name == "src":
        path.mkdir()
        (path / "data.bin").write_bytes(b"\x00")
        path = path / "main.py"
    path.write_text("It was, as they say, late.\n\nHe came, saw, and left, again, today.\n" * 40)
    found = inspect_data(DataConfig(source=str(tmp_path / name)))
    assert (found.target, found.task) == (None, None)
    assert "name: language_model" in found.config


def test_text_with_columns_stays_a_table(tmp_path):
    (tmp_path / "a.txt").write_text("a,b,label\n" + "".join(f"{n},{n % 7},{n % 2}\n" for n in range(60)))
    assert open_data(DataConfig(source=str(tmp_path / "a.txt"))).target == "label"
