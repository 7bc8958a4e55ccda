"""What is suggested for how much text, classes by folder, and what is written and scored."""

from __future__ import annotations

import random
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

import pellucid
from pellucid.config import Config, DataConfig
from pellucid.data import offers
from pellucid.data.contents import look
from pellucid.data.dataset import Column
from pellucid.data.input_rows import row_names
from pellucid.data.sources.open_source import open_data
from pellucid.errors import ConfigError
from pellucid.evaluation import Trained
from pellucid.models import gpt
from pellucid.models.generation import BOS, EOS, beam_search
from pellucid.models.vqvae import VQVAE
from pellucid.runner.model_builder import make_model
from pellucid.tasks import get_task
from pellucid.tasks.language_model import task
from pellucid.tasks.seq2seq import translation
from pellucid.tasks.shared.text_offers import plan_texts
from pellucid.tasks.shared.vectors import vectors

LM, PAIRS = get_task("language_model"), get_task("seq2seq")
WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "looked", "at", "dogs", "who", "ran", "over", "hills"]


def suggested(path, task, minutes=None):
    return offers.choose(look(DataConfig(source=str(path))), task).suggest(minutes)


def sentences(count, words=WORDS):
    draw = random.Random(0)
    return [" ".join(draw.choices(words, k=8)) for _ in range(count)]


# ---- how much text -------------------------------------------------------------------------------


def test_a_little_text_gets_a_tiny_model_with_dropout_and_more_epochs():
    little, much = plan_texts(20_000, 150, None), plan_texts(5_000_000, 40_000, None)
    assert (little.size, little.batch_size, little.epochs) == ("tiny", 16, 40)
    assert (much.size, much.dropout, much.epochs) == ("small", 0.0, 5)
    assert little.dropout > 0
    assert little.sections["train"]["early_stopping"]
    assert plan_texts(5_000_000, 40_000, 0.5).size == "tiny"
    assert "20,000 characters" in little.reason


def test_the_suggestion_says_why(tmp_path):
    (tmp_path / "own.txt").write_text("\n".join(sentences(40)))
    found = suggested(tmp_path / "own.txt", "language-model")
    assert (found.config.model.size, found.config.train.batch_size) == ("tiny", 16)
    assert any("characters" in reason and "dropout" in reason for reason in found.reasons)


def test_pairs_of_short_texts_are_read_as_characters(tmp_path):
    rows = [f"{i % 28 + 1} March {1900 + i},{1900 + i}-03-{i % 28 + 1:02}" for i in range(80)]
    (tmp_path / "dates.csv").write_text("\n".join(["human,iso", *rows]))
    config = DataConfig(source=str(tmp_path / "dates.csv"), target="iso")
    found = offers.choose(look(config), "seq2seq").suggest(None).config
    assert (found.data.text.tokenizer, found.model.size) == ("characters", "tiny")
    (tmp_path / "long.csv").write_text(
        "\n".join(["a,b", *map(",".join, zip(sentences(60), sentences(60), strict=True))])
    )
    assert suggested(tmp_path / "long.csv", "seq2seq").config.data.text.tokenizer == "bpe"


# ---- folders of classes --------------------------------------------------------------------------


@pytest.fixture
def reviews(tmp_path):
    for index, text in enumerate(sentences(24)):
        place = tmp_path / ("test" if index > 15 else "train") / ("pos", "neg")[index % 2]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{index}.txt").write_text(text)
    (tmp_path / "train" / "unsup").mkdir()
    (tmp_path / "train" / "unsup" / "1.txt").write_text("no class")
    (tmp_path / "README").write_text("about")
    return tmp_path


@pytest.mark.parametrize("place", [".", "train"])
def test_texts_in_folders_of_classes_are_offered_as_classes(reviews, place):
    contents = look(DataConfig(source=str(reviews / place)))
    names = [found.name for found in offers.proposals(contents)]
    assert names[0] == "classify"
    assert "language-model" in names
    data = open_data(DataConfig(source=str(reviews / place)))
    assert data.classes == ("neg", "pos")
    if place == ".":
        assert len(data.splits["test"]) == 8
        assert any("without a class" in note for note in data.notes)


def test_a_language_model_still_reads_whole_texts(reviews):
    data = open_data(DataConfig(source=str(reviews)), labelled=False, form="texts")
    assert [column.name for column in data.columns] == ["text"]
    assert suggested(reviews, "language-model").config.objective.name == "language_model"


def test_folders_of_topics_are_no_classes(tmp_path):
    for name in ("guides/a.md", "guides/b.md", "api/deep/c.md", "api/d.md", "index.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("some words about it " * 9)
    assert "classify" not in [
        found.name for found in offers.proposals(look(DataConfig(source=str(tmp_path))))
    ]


# ---- what is written, and its scores -------------------------------------------------------------


class KeepsNothing:
    def reorder(self, rows: Tensor) -> None:
        pass


class Smoothed(nn.Module):
    """Writes 4, 5, 6, 7, 8, and gives a little to the end at every place, as label smoothing does."""

    max_target_len = 12

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        return source[:, :, None].float(), source != 0

    def decode(self, target_in: Tensor, memory: Tensor, source_mask: Tensor, cache: object) -> Tensor:
        table = torch.full((10, 10), 0.001)
        table[:, EOS] = 0.01
        for token, after in {BOS: 4, 4: 5, 5: 6, 6: 7, 7: 8, 8: EOS}.items():
            table[token, after] = 0.98
        return table.log()[target_in]

    def new_cache(self) -> KeepsNothing:
        return KeepsNothing()


@pytest.mark.parametrize("beams", [1, 2, 4])
def test_beam_search_does_not_stop_at_ended_beginnings(beams):
    found = beam_search(Smoothed(), torch.tensor([[5]]), beams=beams)
    assert found.tokens[0, 0].tolist()[:6] == [4, 5, 6, 7, 8, EOS]


def test_bleu_is_left_out_where_references_are_shorter_than_it_counts():
    assert set(translation.scores(["one two"] * 4, ["one two"] * 4, False)[0]) == {"chrf", "exact_match"}
    assert translation.scores(["a b c d e"], ["a b c d e"], False)[0]["bleu"] == pytest.approx(100)
    assert PAIRS.spec.headline[:2] == ("bleu", "exact_match")


def test_a_room_too_small_for_the_targets_is_refused_before_training(tmp_path):
    rows = [f"{text},{text} and so on" for text in sentences(20)]
    (tmp_path / "p.csv").write_text("\n".join(["a,b", *rows]))
    values = {
        "data": {
            "source": str(tmp_path / "p.csv"),
            "target": "b",
            "columns": {"a": "text", "b": "text"},
            "text": {"tokenizer": "words", "max_seq_len": 8},
        },
        "model": {"name": "seq2seq", "size": "tiny", "options": {"max_target_len": 6}},
        "objective": {"name": "seq2seq"},
    }
    config = Config.parse(values)
    prepared = PAIRS.prepare(open_data(config.data), config, True)
    with pytest.raises(ConfigError, match="max_target_len is 6: expected 12 or more"):
        make_model(config, prepared.preprocess)


def test_a_model_of_one_document_never_ends_it(tmp_path, monkeypatch):
    (tmp_path / "own.txt").write_text("abcdefgh " * 80)
    config = Config.parse(
        {
            "data": {
                "source": str(tmp_path / "own.txt"),
                "text": {"tokenizer": "characters", "max_seq_len": 8},
            },
            "objective": {"name": "language_model"},
        }
    )
    prepared = LM.prepare(open_data(config.data, labelled=False, form="texts"), config, True)
    model = gpt((8,), prepared.preprocess.vocab_size or 0, size="tiny")
    with torch.no_grad():
        model.norm.weight.zero_()
        model.norm.bias.copy_(model.embedding.weight[EOS])
    trained = Trained(model, LM.objective(config), prepared.preprocess, torch.device("cpu"), task=LM.name)
    assert LM.predict(trained, "abc", temperature=0, max_new_tokens=9).rows()[0]["prediction"] == ""
    facts = {"dataset": prepared.facts()}
    monkeypatch.setattr(task, "Run", lambda folder: SimpleNamespace(facts=facts))
    one = replace(trained, folder=tmp_path)
    assert len(LM.predict(one, "abc", temperature=0, max_new_tokens=9).rows()[0]["prediction"]) == 9


def test_a_vqvae_has_vectors():
    assert vectors(VQVAE((1, 8, 8), latent_dim=4), torch.zeros(2, 1, 8, 8)).shape == (2, 2 * 2 * 4)


# ---- names ---------------------------------------------------------------------------------------


def test_a_named_id_may_be_long_and_labels_stay_as_they_are_written():
    links = [f"https://example.org/{'a' * 80}/{row}" for row in range(3)]
    table = pa.table({"doc_id": links, "text": ["a", "b", "c"]})
    assert [name["doc_id"] for name in row_names(table, [Column("text", "text")])] == links
    labels = np.array(["1.0", "2.0"] * 20)
    assert pellucid.arrays(np.random.default_rng(0).random((40, 3)), labels).classes == ("1.0", "2.0")
