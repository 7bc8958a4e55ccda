"""Text to text: translations compared with references, and missing spans filled in."""

from __future__ import annotations

import json
import math
from functools import partial

import numpy as np
import pytest
import torch

from pellucid.config import Config
from pellucid.data.sources.open_source import open_data
from pellucid.data.text import ragged
from pellucid.data.text.masking import MaskSpans
from pellucid.errors import ConfigError, ModelError, UnknownNameError, UsageError
from pellucid.evaluation import Trained
from pellucid.models import seq2seq
from pellucid.record import Run
from pellucid.tasks import get_task
from pellucid.tasks.seq2seq import translation
from pellucid.tasks.shared import ngram_counts
from pellucid.tasks.span_denoising import spans
from pellucid.train.optimizers import optimizer
from pellucid.train.trainer import Trainer

PAIRS, FILL = get_task("seq2seq"), get_task("span_denoising")
NUMBERS = ("null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun")
ENGLISH = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def config(source, name="seq2seq", steps=1, options=None, **data):
    text = {"tokenizer": "words", "max_seq_len": 16, "vocab_size": 500}
    return Config.parse(
        {
            "data": {"source": str(source), **data, "text": {**text, **data.get("text", {})}},
            "objective": {"name": name, "options": options or {}},
            "train": {
                "epochs": 40,
                "batch_size": 32,
                "device": "cpu",
                "execution": "eager",
                "max_steps": steps,
            },
        }
    )


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """German numbers read out digit by digit, and the same in English."""
    random = np.random.default_rng(0)
    lines = ["german,english"]
    for _ in range(3000):
        digits = random.integers(0, 10, random.integers(2, 5))
        lines.append(f"{' '.join(NUMBERS[d] for d in digits)},{' '.join(ENGLISH[d] for d in digits)}")
    path = tmp_path_factory.mktemp("pairs") / "numbers.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def settings(numbers, **options):
    kinds = {"german": "text", "english": "text"}
    return config(numbers, target="english", columns=kinds, **options)


def prepared_for(task, made):
    return task.prepare(open_data(made.data, labelled=task.labelled), made, True)


def built(task, prepared, **options):
    torch.manual_seed(0)
    preprocess = prepared.preprocess
    return seq2seq(
        preprocess.input_shape,
        task.num_outputs(preprocess),
        size="tiny",
        vocab_size=preprocess.vocab_size,
        num_layers=1,
        dropout=0.0,
        **options,
    )


def learned(task, prepared, model, run=None):
    objective = task.objective(prepared.config, prepared)
    task.check(model, objective, prepared)
    shown = task.callbacks(run, prepared) if run else []
    make = partial(optimizer, "adamw", lr=3e-3)
    trainer = Trainer(model, objective, make, prepared.config.train, callbacks=shown)
    trainer.fit(prepared.training_batches(), {"val": prepared.batches("validation")})
    return Trained(model, objective, prepared.preprocess, torch.device("cpu"), task=task.name)


# ---- translation ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prepared(numbers):
    return prepared_for(PAIRS, settings(numbers, steps=300))


@pytest.fixture(scope="module")
def translator(prepared):
    return learned(PAIRS, prepared, built(PAIRS, prepared))


def test_batches_are_pairs_of_sequences(prepared):
    sources, targets = next(iter(prepared.training_batches()))
    assert (sources.dtype, targets.dtype) == (torch.int64, torch.int64)
    assert (targets[:, 0] == 2).all()
    assert torch.equal((sources != 0).sum(1) + 2, (targets != 0).sum(1))  # a word for a word, BOS and EOS
    assert PAIRS.num_outputs(prepared.preprocess) == prepared.preprocess.target.tokens.vocab_size == 15


def test_alignment_counts_find_translations(prepared):
    found = PAIRS.baselines(prepared)
    assert found["word_by_word"]["test/bleu"] == pytest.approx(100)
    assert found["copy"]["test/bleu"] < 5


def test_training_learns_to_translate_and_shows_attention(prepared, translator):
    outcome = PAIRS.evaluate(translator, prepared, "test")
    assert outcome.metrics["accuracy"] > 0.9
    assert outcome.metrics["bleu"] > 80
    assert outcome.metrics["perplexity"] == pytest.approx(math.exp(outcome.metrics["loss"]))
    assert outcome.summary["translated"] == len(prepared.dataset.splits["test"])
    assert "tok:13a" in outcome.summary["bleu"]
    texts, heatmap = json.loads(json.dumps(outcome.blocks, allow_nan=False))
    assert texts["rows"][0]["note"].startswith("reference: ")
    assert len(heatmap["values"]) == len(heatmap["rows"])
    assert {len(row) for row in heatmap["values"]} == {len(heatmap["columns"])}
    assert [sum(row) for row in heatmap["values"]] == pytest.approx([1] * len(heatmap["rows"]), abs=0.01)
    assert outcome.predictions["prediction"].to_pylist()[:3] == [
        PAIRS.predict(translator, [text]).rows()[0]["prediction"]
        for text in outcome.predictions["source"].to_pylist()[:3]
    ]


def test_translations_without_an_end_token_are_truncated(prepared):
    model, outputs = built(PAIRS, prepared), prepared.preprocess.target.tokens
    endless = [5] * (model.max_target_len + 3)
    shown = translation.alignment(model, [5, 6, 7], endless, outputs, outputs)
    assert (len(shown["values"]), len(shown["columns"])) == (model.max_target_len, 3)


def test_texts_are_translated(translator):
    one, empty = PAIRS.predict(translator, ["eins zwei drei vier", ""]).rows()
    assert (one["prompt"], one["prediction"]) == ("eins zwei drei vier", "one two three four")
    assert isinstance(empty["prediction"], str)
    assert PAIRS.predict(translator, "eins zwei", beams=1).rows()[0]["prediction"] == "one two"
    with pytest.raises(UnknownNameError, match="beams"):
        PAIRS.predict(translator, "eins", beam=2)
    with pytest.raises(UsageError, match="beams: expected a whole number of 1 to 1000, received 0"):
        PAIRS.predict(translator, "eins", beams=0)


def test_translations_keep_the_order_of_the_inputs(prepared, translator):
    texts = ["neun acht sieben sechs", "eins zwei", "drei vier fünf"] * 30
    said = [row["prediction"] for row in PAIRS.predict(translator, texts).rows()]
    assert said == ["nine eight seven six", "one two", "three four five"] * 30


def test_both_languages_can_share_a_vocabulary(numbers):
    made = settings(numbers, options={"shared_vocabulary": True})
    prepared = prepared_for(PAIRS, made)
    assert prepared.preprocess.vocab_size == PAIRS.num_outputs(prepared.preprocess) == 25
    PAIRS.check(built(PAIRS, prepared, share_embeddings=True), PAIRS.objective(made, prepared), prepared)


def test_mismatched_models_and_data_are_refused(numbers, titanic_like):
    with pytest.raises(ConfigError, match="expected a target of texts"):
        prepared_for(PAIRS, config(titanic_like))
    with pytest.raises(UnknownNameError, match="option of the objective"):
        PAIRS.objective(settings(numbers, options={"shared": True}))
    prepared = prepared_for(PAIRS, settings(numbers))
    with pytest.raises(ModelError, match="cannot learn from inputs of shape"):
        PAIRS.check(torch.nn.Linear(3, 3), PAIRS.objective(prepared.config), prepared)


@pytest.fixture
def titanic_like(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("age,label\n" + "\n".join(f"{n},{n % 2}" for n in range(30)))
    return path


def test_translations_are_saved_during_training(numbers, tmp_path):
    prepared = prepared_for(PAIRS, settings(numbers, steps=2))
    run = Run.create(tmp_path, "pairs", prepared.config.to_yaml())
    learned(PAIRS, prepared, built(PAIRS, prepared), run)
    text = (run.path / "samples/epoch-001.txt").read_text()
    assert text.count("\n-> ") == 4
    (block,) = json.loads((run.path / "evaluation/training.json").read_text())["blocks"]
    assert [row["label"] for row in block["rows"]] == ["untrained", "epoch 1"]


def test_scores_ignore_case_only_for_lowercased_texts():
    said, wanted = ["the cat sat on the mat"], ["The cat sat on the mat"]
    scores, signature = translation.scores(said, wanted, True)
    assert scores == pytest.approx({"bleu": 100, "chrf": 100, "exact_match": 1})
    assert "case:lc" in signature
    scores, _ = translation.scores(said, wanted, False)
    assert scores["bleu"] < 100 > scores["chrf"]
    assert scores["exact_match"] == 0


def test_the_dictionary_is_learned_only_from_pairs():
    random = np.random.default_rng(0)
    rows = [random.permutation(8)[:4] + 5 for _ in range(200)]
    sources = ragged.join(rows, 100)
    targets = ragged.join([random.permutation(row) + 20 for row in rows], 100)  # in any order
    best = translation.dictionary(sources, targets, 50)
    assert best[5:13].tolist() == list(range(25, 33))
    assert best[40] == -1
    said = translation.word_by_word(ragged.join([[5, 40, 6]], 100), best)
    assert said.row(0).tolist() == [25, 26]


# ---- spans ---------------------------------------------------------------------------------------


def test_source_and_spans_make_up_the_whole_text():
    inputs = torch.randint(5, 90, (50, 64), generator=torch.Generator().manual_seed(0))
    inputs[3, 20:] = 0
    cut = MaskSpans(100, 3)
    sources, targets = cut(inputs, inputs, torch.Generator().manual_seed(1))
    again, _ = cut(inputs, inputs, torch.Generator().manual_seed(1))
    other, _ = cut(inputs, inputs, torch.Generator().manual_seed(2))
    assert torch.equal(sources, again)
    assert not torch.equal(sources, other)
    for row in range(50):
        source = [token for token in sources[row].tolist() if token]
        target = [token for token in targets[row].tolist() if token]
        whole = [token for token in inputs[row].tolist() if token]
        assert (target[0], target[-1]) == (2, 3)
        assert [token for token in source if token >= 100] == [token for token in target if token >= 100]
        assert spans.filled(source, spans.parse(target, 100), 100) == whole
        gaps = sum(token >= 100 for token in target)
        assert gaps == (3 if row != 3 else 1)
        assert len(target) - 2 - gaps == round(0.15 * len(whole))


@pytest.mark.parametrize("length", [1, 2, 3])
def test_short_texts_are_masked_as_far_as_possible(length):
    inputs = torch.arange(5, 5 + length)[None]
    sources, targets = MaskSpans(100, 3)(inputs, inputs, torch.Generator().manual_seed(0))
    source, target = ([token for token in part[0].tolist() if token] for part in (sources, targets))
    assert spans.filled(source, spans.parse(target, 100), 100) == inputs[0].tolist()
    assert source[0] < 100


def test_spans_are_parsed_from_the_output():
    assert spans.parse([101, 7, 8, 100, 9, 3, 5], 100) == {1: [7, 8], 0: [9]}
    assert spans.parse([7, 100], 100) == {0: []}
    assert spans.filled([5, 100, 6, 101], {0: [9, 9]}, 100) == [5, 9, 9, 6]


def test_ngram_baseline_sees_the_previous_tokens():
    sources, targets = torch.tensor([[5, 100, 6, 101]]), torch.tensor([[2, 100, 7, 8, 101, 9, 3, 0]])
    words, (one, two, three) = spans.counted([(sources, targets)], 100, 10)
    assert words.tolist() == [100, 7, 8, 100, 9, 3]
    last = [np.array([2, 5, 7, 8, 6, 9]), np.array([-1, -1, 5, 7, 100, 6]), np.array([-1, -1, -1, 5, 5, 100])]
    assert one.tolist() == ngram_counts.code(last[:1]).tolist()
    assert two.tolist() == ngram_counts.code([last[1], last[0]]).tolist()
    assert three.tolist() == ngram_counts.code([last[2], last[1], last[0]]).tolist()


def test_ngram_baseline_fills_a_gap_with_one_word():
    words, contexts = np.array([100, 7, 100, 7, 8, 3]), [ngram_counts.code([np.array([2, 5, 7, 6, 7, 8])])]
    said = spans.filled_by_counting(words, contexts, [[5, 100, 9, 9, 7, 101], [4]], 100)
    assert said == [[100, 7, 101, 8], []]
    assert spans.exact_fill(said, [[2, 100, 7, 101, 8, 8, 3], [2, 3]], 100) == (0.5, 2)


@pytest.fixture(scope="module")
def counting(tmp_path_factory):
    """A text whose missing parts follow from the rest: numbers, counting up."""
    path = tmp_path_factory.mktemp("texts") / "counting.txt"
    path.write_text("\n".join(" ".join(ENGLISH[:5]) for _ in range(1500)))
    return path


def test_spans_are_filled(counting):
    text = {"max_seq_len": 12}
    prepared = prepared_for(FILL, config(counting, "span_denoising", steps=300, text=text))
    assert prepared.preprocess.vocab_size == 10 + 1  # one gap of two tokens
    found = FILL.baselines(prepared)
    assert found["bigram"]["test/loss"] < found["unigram"]["test/loss"]
    trained = learned(FILL, prepared, built(FILL, prepared))
    outcome = FILL.evaluate(trained, prepared, "test")
    assert outcome.metrics["loss"] < found["bigram"]["test/loss"]
    assert list(found) == ["unigram", "bigram", "trigram", "4-gram"]
    assert outcome.metrics["exact_fill"] > 0.8 > max(said["test/exact_fill"] for said in found.values())
    assert outcome.metrics == FILL.evaluate(trained, prepared, "test").metrics
    (block,) = json.loads(json.dumps(outcome.blocks, allow_nan=False))
    assert all("[GAP 1]" in row["label"] for row in block["rows"])
    (row,) = FILL.predict(trained, "zero one two three [MASK] one two three four zero one").rows()
    assert row["prediction"] == "zero one two three four zero one two three four zero one"
    with pytest.raises(UsageError, match=r"with 1 to 1 gaps, each written \[MASK\]"):
        FILL.predict(trained, "one two three")
