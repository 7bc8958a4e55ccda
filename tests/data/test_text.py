"""Texts to tokens and back in any script, with a vocabulary learned from the training split."""

import json

import numpy as np
import pyarrow as pa
import pytest

from pellucid.config import DataConfig, TextConfig
from pellucid.data import cache
from pellucid.data.batches import Batches, rows
from pellucid.data.dataset import Column
from pellucid.data.preprocess import Preprocess
from pellucid.data.sources.open_source import open_data
from pellucid.data.text.text_inputs import MASK, PAD, SPECIAL, UNK, TextInputs, notes
from pellucid.data.text.token_rows import RaggedRows
from pellucid.errors import BadDataError, DataNotFoundError, ModelError

KINDS = ("words", "characters", "bpe", "wordpiece")
TEXTS = [
    "It wasn't good, it was great, the film!",
    "A great film: 9/10.<br /><br />The cast was good.",
    "Not good. The cast wasn't great, the film was bad...",
    "The cast was bad and the film was long",
]
STRANGE = "naïve 😀 👍🏽 今日は สวัสดี עברית हिन्दी \u202eright [PAD] \x00 \t\r\n e\u0301"


def table(texts, name="text"):
    return pa.table({name: pa.array(texts, pa.string())})


def fitted(kind="words", texts=TEXTS, **options):
    return TextInputs.fit(Column("text", "text"), table(texts), TextConfig(tokenizer=kind, **options))


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_come_first_and_tokens_stay_below_the_vocabulary(kind):
    inputs = fitted(kind)
    learned = json.loads(inputs.tokenizer)["model"]["vocab"]
    assert [learned[token] for token in SPECIAL] == [0, 1, 2, 3, 4]
    ids = inputs.encode([*TEXTS, STRANGE]).ids
    assert ids.min() > PAD
    assert ids.max() < inputs.vocab_size
    assert inputs.shape == (256,)


@pytest.mark.parametrize("kind", KINDS)
def test_data_without_text_is_refused(kind):
    inputs = fitted(kind)
    made = inputs.encode([STRANGE, "", None, " \n ", "x" * 20_000, "\n".join(["so it is."] * 2000)])
    assert made.rows == 6
    assert made.lengths[1] == made.lengths[2] == 0
    assert not np.isin(made.ids, (PAD, MASK)).any()  # "[PAD]" in a text is text
    assert isinstance(inputs.decode(made.ids), str)


def test_words_separate_contractions_numbers_and_punctuation():
    inputs = fitted()
    assert inputs.tokens("It wasn't GOOD,<br/>10 great.") == [
        *("it", "wasn't", "good", ",", "[UNK]", "great", ".")  # seen once, or never, is unknown
    ]
    assert inputs.decode(inputs.encode(["The film wasn't good, it was great."]).ids) == (
        "the film wasn't good, it was great."
    )


def test_scripts_without_spaces_have_a_word_per_character():
    inputs = fitted(texts=["今日は いい天気", "今日は 雨"], lowercase=False)
    assert inputs.tokens("今日雨") == ["今", "日", "[UNK]"]


@pytest.mark.parametrize("kind", ["characters", "bpe"])
def test_tokenization_is_reversible(kind):
    text = "Two  spaces,\n\n\ttabs and\nlines; naïve 😀 今日"
    inputs = fitted(kind, texts=[text], lowercase=False)
    assert inputs.lossless
    assert inputs.decode(inputs.encode([text]).ids) == text


def test_byte_level_bpe_covers_every_character():
    inputs = fitted("bpe", lowercase=False)
    ids = inputs.encode(["한국어 🏴"]).ids
    assert not (ids == UNK).any()
    assert inputs.decode(ids) == "한국어 🏴"


@pytest.mark.parametrize("kind", KINDS)
def test_long_documents_are_tokenized_in_pieces_as_in_one(kind):
    document = "\n\n".join(f"{text}\n  {text}" for text in TEXTS) * 60
    inputs = fitted(kind, texts=[document])
    assert len(document) > 10_000
    assert inputs.encode([document]).ids.tolist() == inputs._plain.encode(document).ids


def test_vocabulary_is_learned_only_from_the_training_split():
    data = {"train": table(TEXTS), "validation": table(["unheard unheard of"])}
    inputs = TextInputs.fit(Column("text", "text"), data["train"], TextConfig())
    assert "unheard" not in json.loads(inputs.tokenizer)["model"]["vocab"]
    assert any("validation: 100.00% of the tokens are unknown" in line for line in notes(inputs, data))


@pytest.mark.parametrize("kind", KINDS)
def test_learning_a_vocabulary_is_deterministic_and_respects_its_size(kind):
    texts = [f"{text} {number * 7919}" for number in range(300) for text in TEXTS]
    inputs = fitted(kind, texts, vocab_size=300)
    assert inputs.tokenizer == fitted(kind, texts, vocab_size=300).tokenizer
    assert inputs.vocab_size <= 300


def test_texts_are_truncated_at_either_end_with_a_note():
    end, start = fitted(max_seq_len=3), fitted(max_seq_len=3, truncation="start")
    text = "the film was good and the cast was bad"
    assert end.tokens(text) == ["the", "film", "was"]
    assert start.tokens(text) == ["cast", "was", "bad"]
    assert np.array_equal(end.apply(table([text])), end.encode(["the film was"]).padded())
    assert any(
        "4 of 4 texts (100.0%) are longer than 3 tokens" in line
        for line in notes(end, {"train": table(TEXTS)})
    )


def test_empty_texts_become_one_unknown_token_and_are_counted():
    texts = ["", "good film good film", None]
    inputs = fitted(texts=texts)
    assert inputs.apply(table(texts)).tolist()[0] == [UNK, 0, 0, 0]
    assert any("2 texts are empty (row 1, 3)" in line for line in notes(inputs, {"train": table(texts)}))
    with pytest.raises(BadDataError, match="All 3 texts"):
        fitted(texts=["", None, "  "])


def test_mask_tokens_are_read_on_request():
    inputs = fitted()
    assert (inputs.encode(["the [MASK] was good"], masks=True).ids == MASK).tolist() == [
        False,
        True,
        False,
        False,
    ]
    assert not (inputs.encode(["the [MASK] was good"]).ids == MASK).any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_is_json_and_restores_the_tokenizer(kind):
    inputs = fitted(kind, max_seq_len=7, truncation="start")
    state = json.loads(json.dumps(inputs.state()))
    again = TextInputs.from_state(state)
    assert state["kind"] == "text"
    assert np.array_equal(again.apply(table(TEXTS)), inputs.apply(table(TEXTS)))
    assert again.decode(again.encode(TEXTS).ids) == inputs.decode(inputs.encode(TEXTS).ids)


def test_many_texts_are_tokenized_once(monkeypatch):
    many = table([f"{text} {number}" for number in range(300) for text in TEXTS])
    inputs = TextInputs.fit(Column("text", "text"), many, TextConfig())
    first = inputs.column(many)
    monkeypatch.setattr(TextInputs, "encode", lambda *args: pytest.fail("tokenized again"))
    again = inputs.column(many)
    assert np.array_equal(first.ids, again.ids)
    assert np.array_equal(first.offsets, again.offsets)


def test_a_restored_tokenizer_caches_long_documents_too(monkeypatch):
    document = table(["\n".join(TEXTS * 1000)])
    inputs = TextInputs.fit(Column("text", "text"), document, TextConfig())
    first = inputs.column(document)
    monkeypatch.setattr(TextInputs, "encode", lambda *args: pytest.fail("tokenized again"))
    again = TextInputs.from_state(json.loads(json.dumps(inputs.state())))
    assert np.array_equal(first.ids, again.column(document).ids)


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PELLUCID_CACHE", str(tmp_path))
    return tmp_path / "arrays"


def test_a_damaged_cache_file_is_rebuilt(empty_cache):
    assert cache.arrays("key", lambda: [np.arange(5)])[0].tolist() == [0, 1, 2, 3, 4]
    assert cache.arrays("key", lambda: [np.arange(3)])[0].tolist() == [0, 1, 2, 3, 4]
    (path,) = empty_cache.iterdir()
    path.write_bytes(path.read_bytes()[:40])
    assert cache.arrays("key", lambda: [np.arange(3)])[0].tolist() == [0, 1, 2]


def test_a_full_disk_leaves_no_partial_files(empty_cache, monkeypatch):
    def full(file, *arrays):
        file.write(b"a part")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert cache.arrays("key", lambda: [np.arange(5)])[0].tolist() == [0, 1, 2, 3, 4]
    assert list(empty_cache.iterdir()) == []


# ---- in the place of other inputs ------------------------------------------------------------------


@pytest.fixture(scope="module")
def imdb(mirror):
    return open_data(DataConfig(source="imdb", fraction=0.01))


def test_reviews_become_rows_of_tokens(imdb):
    preprocess = Preprocess.fit(imdb, text=TextConfig(vocab_size=2000, max_seq_len=64))
    assert (preprocess.input_shape, preprocess.num_outputs, preprocess.vocab_size) == ((64,), 2, 2000)
    inputs = preprocess.inputs(imdb.splits["test"])
    assert (str(inputs.dtype), inputs.shape[1]) == ("torch.int64", 64)
    held, where = rows(imdb.splits["train"], preprocess, 0.25)
    assert isinstance(held, RaggedRows)
    assert "tokens" in where
    tokens, targets = next(iter(Batches(held, 16, shuffle=True)))
    assert tokens.shape[0] == len(targets) == 16
    again = Preprocess.from_state(json.loads(json.dumps(preprocess.state())))
    assert (again.inputs(imdb.splits["test"]) == inputs).all()


def test_texts_without_a_tokenizer_become_word_counts(imdb):
    preprocess = Preprocess.fit(imdb)
    assert preprocess.vocab_size is None
    assert len(preprocess.feature_names) == preprocess.input_shape[0]


def test_token_models_need_a_text_column():
    from pellucid.data.sources.toy import moons

    with pytest.raises(ModelError, match="expected a column of text, received"):
        Preprocess.fit(moons(n=50), text=TextConfig())


@pytest.mark.parametrize(
    "source",
    [
        "A great film.",
        ["A great film."],
        ("A great film.",),
        np.array(["A great film."]),
        {"text": "A great film."},
    ],
)
def test_a_plain_text_can_be_predicted(imdb, source):
    preprocess = Preprocess.fit(imdb, text=TextConfig(vocab_size=2000))
    asked = preprocess.table_from(source)
    assert asked["text"].to_pylist() == ["A great film."]
    assert preprocess.inputs(asked).shape == (1, 4)


def test_prediction_texts_can_be_files(imdb, write):
    preprocess = Preprocess.fit(imdb, text=TextConfig(vocab_size=2000))
    assert preprocess.table_from(write("text\nGood.\nBad.\n", "new.csv"))["text"].to_pylist() == [
        "Good.",
        "Bad.",
    ]
    assert preprocess.table_from(str(write("Good.\nBad.", "new.txt")))["text"].to_pylist() == ["Good.\nBad."]
    assert preprocess.table_from("half \ud83d a pair")["text"].to_pylist() == ["half ? a pair"]
    for long in (60, 1000):  # longer than the name of a file may be, and than a path may be
        assert preprocess.table_from("long " * long)["text"].to_pylist() == ["long " * long]
    with pytest.raises(DataNotFoundError, match=r"missing\.csv"):
        preprocess.table_from("missing.csv")
