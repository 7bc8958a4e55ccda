"""Written texts: options, where they end, what is never written, and pairs with an empty side."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from torch.nn import functional as F

from pellucid.config import Config, TextConfig
from pellucid.data.dataset import Column
from pellucid.data.sources.open_source import open_data
from pellucid.data.text.text_inputs import TextInputs, notes
from pellucid.diagnosis.baselines import against_guessing
from pellucid.diagnosis.curves import Curves
from pellucid.errors import BadDataError, ModelError, UnknownNameError, UsageError
from pellucid.evaluation import Trained
from pellucid.models import gpt, lstm_lm
from pellucid.models import seq2seq as build_seq2seq
from pellucid.tasks import get_task
from pellucid.tasks.options import predict_options
from pellucid.tasks.seq2seq import translation
from pellucid.tasks.shared.text_generation import TextAnswers
from pellucid.tasks.shared.writing import Sampling, Search, pieces

LM, PAIRS, FILL = get_task("language_model"), get_task("seq2seq"), get_task("span_denoising")


def settings(source, task, tokenizer="words", **data):
    text = {"tokenizer": tokenizer, "max_seq_len": 12, **data.pop("text", {})}
    return Config.parse(
        {
            "data": {"source": str(source), "text": text, **data},
            "objective": {"name": task.name},
            "train": {"batch_size": 8, "device": "cpu", "execution": "eager"},
        }
    )


def prepared_for(task, config):
    return task.prepare(open_data(config.data, labelled=task.labelled), config, True)


def bold(model):
    """An untrained model with confident predictions, that rarely ends a text."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=0.3, generator=generator)
        if not hasattr(model, "encode"):
            model.embedding.weight[3] = 0.0
    return model.eval()


def trained(task, prepared, model):
    objective = task.objective(prepared.config, prepared)
    return Trained(model, objective, prepared.preprocess, torch.device("cpu"), task=task.name)


def texts_of(answer):
    assert isinstance(answer, TextAnswers)
    return [row["prediction"] for row in answer.rows()]


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    """Lines with words that come once, so that they are unknown, and indentation."""
    rnd = random.Random(0)
    lines = [
        f"{'  ' * (n % 3)}Dear {''.join(rnd.choices('abcdef', k=9))} you owe {n % 7} euro." for n in range(90)
    ]
    path = tmp_path_factory.mktemp("texts") / "letters.txt"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Numbers and their digits as words, up to 12 times as long, some with an empty side."""
    rows = [f"#{n},{' '.join('abcdefghij'[int(c)] * 3 for c in str(n * n * 7919))}" for n in range(100)]
    rows += ["#1,", "#2,   ", ",aaa bbb", "  ,ccc"]
    path = tmp_path_factory.mktemp("pairs") / "pairs.csv"
    path.write_text("n,w\n" + "\n".join(rows) + "\n")
    return path


def pair_settings(pairs, **more):
    return settings(pairs, PAIRS, "characters", target="w", columns={"n": "text", "w": "text"}, **more)


# ---- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"temperature": "hot"}, "temperature: expected a number of 0 or more, received 'hot'"),
        ({"temperature": float("nan")}, "temperature: expected a number of 0 or more, received nan"),
        ({"top_k": 2.5}, "top_k: expected a whole number of 1 or more, received 2.5"),
        ({"top_p": 0.0}, "top_p: expected a number above 0 and at most 1, received 0.0"),
        ({"seed": "x"}, "seed: expected a whole number, received 'x'"),
        ({"repetition_penalty": 0}, "repetition_penalty: expected a number above 0, received 0"),
        ({"max_new_tokens": True}, "max_new_tokens: expected a whole number of 1 or more, received True"),
        ({"stop": {"a": 1}}, "stop: expected a text, or a list of texts"),
        ({"allow_unknown": "no"}, "allow_unknown: expected true or false"),
    ],
)
@pytest.mark.parametrize("task", [LM, PAIRS, FILL])
def test_wrong_options_are_refused_before_anything_is_loaded(task, options, expected):
    with pytest.raises(UsageError) as caught:
        task.check_options(options)
    assert expected in str(caught.value)


def test_unknown_options_are_refused_by_every_task_of_texts():
    for name in ("language_model", "seq2seq", "span_denoising", "masked_language_model", "next_words"):
        with pytest.raises((UnknownNameError, UsageError), match="topk"):
            get_task(name).check_options({"topk": 1})


def test_numbers_of_numpy_are_options():
    how = predict_options(Sampling, {"top_k": np.int64(3), "top_p": np.float32(0.5), "stop": 7}, "sampling")
    assert (how.top_k, how.top_p, how.stops) == (3, 0.5, ("7",))


# ---- language models -----------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["gpt", "lstm", "gru"])
def writer(request, letters):
    prepared = prepared_for(LM, settings(letters, LM, text={"lowercase": False}))
    preprocess, torch_seed = prepared.preprocess, torch.manual_seed(0)
    assert torch_seed is not None
    shape, vocab = preprocess.input_shape, preprocess.vocab_size
    if request.param == "gpt":
        return trained(LM, prepared, bold(gpt(shape, vocab, size="tiny")))
    return trained(LM, prepared, bold(lstm_lm(shape, vocab, size="tiny", cell=request.param)))


@pytest.mark.parametrize("temperature", [0, 1.5])
def test_a_text_does_not_depend_on_the_rest_of_the_batch_beyond_the_context(writer, temperature):
    prompts = ["Dear", "Dear you owe 3 euro. Dear you owe 4 euro. Dear you owe 5 euro.", "euro", ""]
    how = {"temperature": temperature, "max_new_tokens": 30, "seed": 3}
    together = texts_of(LM.predict(writer, prompts, **how))
    assert together == [texts_of(LM.predict(writer, [prompt], **how))[0] for prompt in prompts]
    assert len(set(together)) > 1


def test_special_tokens_and_unknown_words_are_never_written(writer):
    how = {"temperature": 3.0, "max_new_tokens": 400, "samples": 3}
    for text in texts_of(LM.predict(writer, "Dear", **how)):
        assert not any(token in text for token in ("[UNK]", "[MASK]", "[PAD]", "[BOS]"))
    allowed = texts_of(LM.predict(writer, "Dear", **how, allow_unknown=True))
    assert any("[UNK]" in text for text in allowed)
    assert not any("[MASK]" in text for text in allowed)


def test_texts_end_before_a_stop_text_and_streams_are_the_same(writer):
    how = {"temperature": 1.0, "max_new_tokens": 60, "seed": 2}
    whole = texts_of(LM.predict(writer, "Dear", **how))[0]
    for stop in (".", "\n", ["zzz", "you"], whole[10:14]):
        (text,) = texts_of(LM.predict(writer, "Dear", **how, stop=stop))
        found = [place for place in map(whole.find, [stop] if isinstance(stop, str) else stop) if place >= 0]
        assert text == whole[: min(found)] if found else text == whole
        assert "".join(LM.stream(writer, "Dear", **how, stop=stop)) == text
    assert len(list(LM.stream(writer, "Dear", **how))) > 10


def test_streams_hold_back_what_may_change():
    grown = ["a", "a\ufffd", "aé", "aé E", "aé EN", "aé ENX", "aé ENX END", "aé ENX END x"]
    assert list(pieces(iter(grown), ["END"])) == ["a", "é", " ", "ENX", " "]
    assert "".join(pieces(iter(["x", "xE"]), ["END"])) == "xE"


def test_the_repetition_penalty_makes_texts_repeat_less(writer):
    def different(penalty):
        how = {"temperature": 0, "max_new_tokens": 40, "repetition_penalty": penalty}
        return len(set(texts_of(LM.predict(writer, "Dear", **how))[0].split()))

    assert different(10.0) > different(1.0)


def test_prompts_are_read_from_lines_and_columns(writer, tmp_path):
    lines, table = tmp_path / "prompts.txt", tmp_path / "prompts.csv"
    lines.write_text("Dear\n\n  you owe\n")
    table.write_text("id,ask\n7,Dear\n8,you owe\n")
    how = {"max_new_tokens": 5, "temperature": 0}
    expected = texts_of(LM.predict(writer, ["Dear", "you owe"], **how))
    found = LM.predict(writer, str(lines), **how).rows()
    assert [row["row"] for row in found] == [1, 3]
    assert found[0]["prediction"] == expected[0]
    found = LM.predict(writer, table, **how, column="ask").rows()
    assert [(row["row"], row["prediction"]) for row in found] == [(1, expected[0]), (2, expected[1])]
    assert texts_of(LM.predict(writer, pd.read_csv(table), **how, column="ask")) == expected
    (whole,) = LM.predict(writer, lines, **how, lines=False).rows()
    assert whole["prompt"] == lines.read_text()
    with pytest.raises(ModelError, match="column='NAME' says which to read"):
        LM.predict(writer, table, **how)
    with pytest.raises(ModelError, match="no column 'asks'"):
        LM.predict(writer, table, **how, column="asks")
    with pytest.raises(UsageError, match="which has no columns"):
        LM.predict(writer, lines, **how, column="ask")


# ---- words ---------------------------------------------------------------------------------------

CODE = "def f(x):\n    if x:\n\treturn 1\n\n" * 3


def learned(text, layout, **options):
    table = pa.table({"text": [text]})
    config = TextConfig(tokenizer="words", **options)
    return TextInputs.fit(Column("text", "text", (), ""), table, config, layout=layout), table


def test_line_breaks_and_indentation_are_words_of_language_models(letters):
    made, table = learned(CODE, True)
    spaced = CODE.replace("(x)", " ( x )").replace(":", " :")
    assert made.decode(made.encode([CODE.replace("\n", "\r\n")]).ids) == spaced
    again = TextInputs.from_state(made.state())
    assert again.decode(again.encode([CODE]).ids) == made.decode(made.encode([CODE]).ids)
    assert not any("lost" in line for line in notes(made, {"train": table}, written=True))
    prepared = prepared_for(LM, settings(letters, LM))
    text = letters.read_text()[:200]
    decoded = prepared.preprocess.encoded.decode(prepared.preprocess.encoded.encode([text]).ids)
    indents = [len(line) - len(line.lstrip()) for line in text.split("\n")]
    assert [len(line) - len(line.lstrip()) for line in decoded.split("\n")] == indents


def test_what_words_cannot_hold_is_said():
    made, table = learned(CODE + "X", False)
    assert "\n" not in made.decode(made.encode([CODE]).ids)
    said = " ".join(notes(made, {"train": table}, written=True))
    assert "line breaks and indentation are lost" in said
    assert "capital letters are lost" in said
    assert "lost" not in " ".join(notes(made, {"train": table}))  # of texts that are only read


# ---- sequence to sequence ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair_data(pairs):
    return prepared_for(PAIRS, pair_settings(pairs))


@pytest.fixture(scope="module")
def translator(pair_data):
    preprocess = pair_data.preprocess
    torch.manual_seed(0)
    model = build_seq2seq(
        preprocess.input_shape,
        PAIRS.num_outputs(preprocess),
        size="tiny",
        vocab_size=preprocess.vocab_size,
        max_target_len=preprocess.target.max_len,
    )
    return trained(PAIRS, pair_data, bold(model))


def test_pairs_with_an_empty_side_are_left_out_and_counted_by_row(pair_data):
    assert sum(len(table) for table in pair_data.dataset.splits.values()) == 100
    assert list(pair_data.dataset.skipped) == [
        "2 pairs have no text in column 'n': pairs.csv line 104, pairs.csv line 105",
        "2 pairs have no text in column 'w': pairs.csv line 102, pairs.csv line 103",
    ]


def test_targets_are_as_long_as_they_need_to_be(pairs, pair_data):
    target = pair_data.preprocess.target
    longest = max(len(text) for text in pair_data.dataset.splits["train"]["w"].to_pylist())
    assert longest > 12 == pair_data.preprocess.input_shape[0]
    assert (target.longest, target.max_len) == (longest + 1, longest + 1)
    assert type(target).from_state(target.state()).state() == target.state()
    less = prepared_for(PAIRS, pair_settings(pairs, text={"max_target_len": 5})).preprocess.target
    assert (less.longest, less.max_len) == (6, 6)


@pytest.mark.parametrize("options", [{}, {"beams": 1}, {"temperature": 0}, {"temperature": 1.0}])
def test_an_answer_does_not_depend_on_its_neighbors(translator, options):
    texts = ["#1", "#22", "#333333333", "#4444", ""]
    together = PAIRS.predict(translator, texts, **options).rows()
    alone = [PAIRS.predict(translator, [text], **options).rows()[0] for text in texts]
    assert [row["prediction"] for row in together] == [row["prediction"] for row in alone]
    if options == {"temperature": 0}:
        greedy = texts_of(PAIRS.predict(translator, texts, beams=1))
        assert [row["prediction"] for row in together] == greedy


def test_answers_that_are_cut_are_marked_and_noted(translator):
    answer = PAIRS.predict(translator, ["#1", "#22"], max_new_tokens=2, beams=1)
    assert [row["cut"] for row in answer.rows()] == [True, True]
    assert answer.notes[0].startswith("2 of 2 texts were cut after 2 tokens; --set max_new_tokens=N, up to ")


def test_scores_and_loss_equal_an_independent_computation(translator, pair_data):
    import sacrebleu

    outcome = PAIRS.evaluate(translator, pair_data, "train")
    said, wanted = (outcome.predictions[name].to_pylist() for name in ("prediction", "reference"))
    assert outcome.metrics["bleu"] == pytest.approx(sacrebleu.corpus_bleu(said, [wanted]).score, abs=1e-4)
    assert outcome.metrics["chrf"] == pytest.approx(sacrebleu.corpus_chrf(said, [wanted]).score, abs=1e-4)
    same = sum(a == b for a, b in zip(said, wanted, strict=True)) / len(said)
    assert outcome.metrics["exact_match"] == pytest.approx(same)
    total = count = 0.0
    for source, target in zip(outcome.predictions["source"].to_pylist(), wanted, strict=True):
        ids = pair_data.preprocess.encoded.read([source]).ids.astype(np.int64)
        answer = [2, *pair_data.preprocess.target.tokens.encode([target]).ids.tolist(), 3]
        with torch.no_grad():
            logits = translator.model(torch.from_numpy(ids)[None], torch.tensor([answer[:-1]]))[0]
        total += F.cross_entropy(logits, torch.tensor(answer[1:]), reduction="sum").item()
        count += len(answer) - 1
    assert outcome.metrics["loss"] == pytest.approx(total / count, abs=1e-4)
    assert outcome.summary["cut"] <= len(said)


def test_exact_match_counts_texts_and_not_tokens():
    scores, _ = translation.scores(["a b", "c  d", "E"], ["a b", "c d", "e"], lowercase=True)
    assert scores["exact_match"] == 1
    scores, _ = translation.scores(["a b", "c d", "E"], ["a b", "c x", "e"], lowercase=False)
    assert scores["exact_match"] == pytest.approx(1 / 3)


def test_a_sampled_search_takes_the_settings_of_sampling():
    assert Search().sampling() is None
    assert Search(temperature=0.5, top_k=3, seed=4).sampling() == Sampling(temperature=0.5, top_k=3, seed=4)


# ---- little to learn -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a" * 3000, ["'a' again and again"]), ("ab" * 200, ["320 tokens"]), ("ab" * 3000, [])],
)
def test_texts_of_which_little_can_be_learned_are_warned_of(tmp_path, text, expected):
    path = tmp_path / "own.txt"
    path.write_text(text)
    found = LM.warnings(prepared_for(LM, settings(path, LM, "characters")))
    assert len(found) == len(expected)
    assert all(words in line for words, line in zip(expected, found, strict=True))


@pytest.mark.parametrize(
    ("text", "tokenizer", "expected"),
    [
        ("abcdefghijkl", "characters", "expected at least 2 tokens of text in validation, received 1"),
        ("one two three four five six seven eight nine ten " * 2 + "one", "words", None),
        (" ".join(f"w{chr(97 + n)}" for n in range(26)), "words", "a word is learned if it comes twice"),
    ],
)
def test_texts_of_which_nothing_can_be_learned_are_refused(tmp_path, text, tokenizer, expected):
    path = tmp_path / "own.txt"
    path.write_text(text)
    config = settings(path, LM, tokenizer)
    if expected is None:
        assert prepared_for(LM, config).rows
    else:
        with pytest.raises(BadDataError, match=expected):
            prepared_for(LM, config)


def test_a_text_that_guessing_predicts_is_no_failure_of_the_model():
    steps = np.array([1.0, 2.0])
    curves = Curves(epoch=steps, step=steps, val=np.array([0.02, 0.01]), val_accuracy=np.array([1.0, 1.0]))
    unigram = {"unigram": {"val/accuracy": 1.0, "val/loss": 0.001}}
    assert against_guessing(curves, unigram) is None
    assert against_guessing(curves, {"unigram": {"val/accuracy": 0.9, "val/loss": 0.01}}) is None
    assert against_guessing(curves, {"unigram": {"val/accuracy": 0.9991, "val/loss": 0.001}}) is None
