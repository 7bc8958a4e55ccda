"""Language models: baselines, causality and generated text."""

from __future__ import annotations

import json
import math
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from pellucid.config import Config
from pellucid.data.build_dataset import DataOptions, RawTables, build_dataset
from pellucid.data.dataset import UNLABELED, Source
from pellucid.data.sources.open_source import open_data
from pellucid.data.text.masking import MaskTokens
from pellucid.errors import ModelError, UnknownNameError, UsageError
from pellucid.evaluation import Trained
from pellucid.models import bert, gpt, lstm, lstm_mlm
from pellucid.record import Run
from pellucid.tasks import get_task
from pellucid.tasks.masked_language_model import fill_mask
from pellucid.tasks.shared import ngram_counts
from pellucid.tasks.shared.text_task import with_unlabeled
from pellucid.train.optimizers import optimizer
from pellucid.train.trainer import Trainer

CAUSAL, GAPS = get_task("language_model"), get_task("masked_language_model")
WINDOW = 32


def config(source, name="language_model", tokenizer="characters", **data):
    return Config.parse(
        {
            "data": {"source": str(source), "text": {"tokenizer": tokenizer, "max_seq_len": WINDOW}, **data},
            "objective": {"name": name},
            "train": {"epochs": 2, "batch_size": 16, "device": "cpu", "execution": "eager", "max_steps": 30},
        }
    )


def prepared_for(task, settings):
    return task.prepare(open_data(settings.data, labelled=False), settings, True)


@pytest.fixture(scope="module")
def play(mirror, tmp_path_factory) -> Path:
    """The first part of Shakespeare's plays."""
    path = tmp_path_factory.mktemp("texts") / "play.txt"
    path.write_text((mirror / "karpathy/tiny_shakespeare/input.txt").read_text()[:30_000])
    return path


@pytest.fixture(scope="module")
def prepared(play):
    return prepared_for(CAUSAL, config(play))


@pytest.fixture(scope="module")
def masked(play):
    return prepared_for(GAPS, config(play, "masked_language_model"))


def built(builder, prepared, task):
    torch.manual_seed(0)
    vocab = task.num_outputs(prepared.preprocess)
    return builder(prepared.preprocess.input_shape, vocab, size="tiny")


def trained_on(task, prepared, model, run=None):
    objective = task.objective(prepared.config, prepared)
    task.check(model, objective, prepared)
    shown = task.callbacks(run, prepared) if run else []
    make = partial(optimizer, "adamw", lr=3e-3)
    trainer = Trainer(model, objective, make, prepared.config.train, callbacks=shown)
    trainer.fit(prepared.training_batches(), {"val": prepared.batches("validation")}, prepared.train_sample())
    return Trained(model, objective, prepared.preprocess, torch.device("cpu"), task=task.name)


class Indifferent(nn.Module):
    """Predicts every token with equal probability."""

    def __init__(self, vocab_size):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, tokens):
        return self.logits.expand(*tokens.shape, -1)


# ---- counting ------------------------------------------------------------------------------------


@pytest.mark.parametrize("orders", [(), (2,), (2, 3), (2, 3, 4)])
def test_ngram_probabilities_sum_to_one(orders):
    tokens = np.random.default_rng(0).integers(0, 5, 300) ** 2 % 5
    model = ngram_counts.NGrams(*ngram_counts.following(tokens, orders), 5)
    _, contexts = ngram_counts.following(np.random.default_rng(1).integers(0, 5, 40), orders)
    total = sum(np.exp(model.score(np.full(39, word), contexts)[0]) for word in range(5))
    assert total == pytest.approx(np.ones(39))


def test_ngram_counts_equal_hand_computed_values():
    tokens = np.array([0, 1, 0, 1, 0, 2])  # 0 is followed by 1, 1, 2
    model = ngram_counts.NGrams(*ngram_counts.following(tokens, (2,)), 4)
    unigram = {0: (2 + 1) / 9, 1: (2 + 1) / 9, 2: (1 + 1) / 9, 3: 1 / 9}
    after_0 = {
        word: (max(count - 0.75, 0) + 0.75 * 2 * unigram[word]) / 3
        for word, count in ((1, 2), (2, 1), (3, 0))
    }
    contexts = [ngram_counts.code([np.array([0, 0, 0, 3])])]
    logs, right = model.score(np.array([1, 2, 3, 3]), contexts)
    assert np.exp(logs) == pytest.approx([after_0[1], after_0[2], after_0[3], unigram[3]])
    assert right.tolist() == [True, False, False, False]


def test_longer_ngrams_predict_real_text_better(prepared):
    found = CAUSAL.baselines(prepared)
    assert list(found) == ["unigram", "bigram", "trigram", "6-gram"]
    losses = [found[name]["test/loss"] for name in ("unigram", "bigram", "trigram")]
    assert all(longer < shorter - 0.1 for shorter, longer in pairwise(losses))
    assert found["trigram"]["test/accuracy"] > found["unigram"]["test/accuracy"] + 0.1
    assert set(found["bigram"]) == {"val/loss", "val/accuracy", "test/loss", "test/accuracy"}


# ---- reading -------------------------------------------------------------------------------------


def test_every_token_but_the_first_is_predicted(prepared):
    text = prepared.dataset.splits["test"]["text"][0].as_py()
    vocab = CAUSAL.num_outputs(prepared.preprocess)
    model = Indifferent(vocab)
    trained = Trained(
        model,
        CAUSAL.objective(prepared.config),
        prepared.preprocess,
        torch.device("cpu"),
        task="language_model",
    )
    outcome = CAUSAL.evaluate(trained, prepared, "test")
    assert outcome.summary["tokens"] == len(text) - 1
    assert outcome.metrics["loss"] == pytest.approx(math.log(vocab), rel=1e-5)
    assert outcome.metrics["perplexity"] == pytest.approx(vocab, rel=1e-4)
    assert outcome.metrics["bits_per_character"] == pytest.approx(
        math.log2(vocab) * (len(text) - 1) / len(text), rel=1e-5
    )
    assert [block["kind"] for block in outcome.blocks] == ["tokens", "lines"]  # it cannot write


def test_objective_and_evaluation_measure_the_same(prepared):
    model = built(gpt, prepared, CAUSAL).eval()
    objective = CAUSAL.objective(prepared.config)
    trained = Trained(model, objective, prepared.preprocess, torch.device("cpu"), task="language_model")
    outcome = CAUSAL.evaluate(trained, prepared, "validation")
    with torch.no_grad():
        sums = [objective.measure(model, batch) for batch in prepared.batches("validation")]
    for key in ("loss", "accuracy"):
        mean = sum(part[key][0].item() for part in sums) / sum(part[key][1] for part in sums)
        assert outcome.metrics[key] == pytest.approx(mean, rel=1e-5)


def test_a_model_that_sees_the_answer_is_refused(prepared):
    objective = CAUSAL.objective(prepared.config)
    CAUSAL.check(built(gpt, prepared, CAUSAL), objective, prepared)
    with pytest.raises(ModelError, match="not causal"):
        CAUSAL.check(built(bert, prepared, CAUSAL), objective, prepared)
    with pytest.raises(ModelError, match="one for every token"):
        CAUSAL.check(lstm((WINDOW,), 3, vocab_size=200), objective, prepared)
    with pytest.raises(ModelError, match="cannot read tokens"):
        CAUSAL.check(nn.Linear(WINDOW, 2), objective, prepared)


def test_options_are_checked(play):
    with pytest.raises(UnknownNameError, match="depth"):
        CAUSAL.objective(config(play).patch({"objective.options": {"depth": 3}}))


def test_unlabeled_texts_are_used_for_training():
    settings = config("reviews", tokenizer="words")
    sizes = {"train": 12, "validation": 3, "test": 3, UNLABELED: 20}
    tables = {
        name: pa.table(
            {
                "text": [f"Film {number} of {name} was as good as the others." for number in range(size)],
                "label": pa.array([None if name == UNLABELED else number % 2 for number in range(size)]),
            }
        )
        for name, size in sizes.items()
    }
    raw = RawTables("reviews", tables, Source("reviews", "arrays"), classes={"label": ["bad", "good"]})
    dataset = build_dataset(raw, DataOptions(labelled=False))
    joined = with_unlabeled(dataset)
    assert UNLABELED not in joined.splits
    assert len(joined.splits["train"]) == len(dataset.splits["train"]) + len(dataset.splits[UNLABELED])
    assert any("without labels are added" in note for note in joined.notes)
    prepared = CAUSAL.prepare(dataset, settings, True)
    ends = int((prepared.rows["test"].tokens == 3).sum())
    assert ends == len(dataset.splits["test"])  # each text ends once


# ---- writing -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def writer(prepared, tmp_path_factory):
    run = Run.create(tmp_path_factory.mktemp("runs"), "writer", prepared.config.to_yaml())
    return run, trained_on(CAUSAL, prepared, built(gpt, prepared, CAUSAL), run)


def test_training_reduces_the_loss_and_records_samples(prepared, writer):
    run, trained = writer
    outcome = CAUSAL.evaluate(trained, prepared, "test")
    vocab = CAUSAL.num_outputs(prepared.preprocess)
    assert outcome.metrics["loss"] < 0.85 * math.log(vocab)
    blocks = json.loads(json.dumps(outcome.blocks, allow_nan=False))
    assert [block["kind"] for block in blocks] == ["texts", "tokens", "lines"]
    assert all(len(row["text"]) > 50 for row in blocks[0]["rows"])
    surprises = blocks[1]["rows"][0]
    assert len(surprises["tokens"]) == len(surprises["weights"]) > 0
    assert min(surprises["weights"]) >= 0
    assert len(blocks[2]["series"][0]["y"]) == WINDOW
    epochs = sorted(path.name for path in (run.path / "samples").iterdir())
    assert epochs == ["epoch-000.txt", "epoch-001.txt"]  # 30 steps end in the first epoch
    (block,) = json.loads((run.path / "evaluation/training.json").read_text())["blocks"]
    assert [row["label"] for row in block["rows"]] == ["untrained", "epoch 1"]
    assert block["rows"][1]["text"] == (run.path / "samples/epoch-001.txt").read_text()


def test_sampling_does_not_change_training(prepared, writer, tmp_path):
    plain = trained_on(CAUSAL, prepared, built(gpt, prepared, CAUSAL))
    shown = writer[1].model.state_dict()
    assert all(torch.equal(value, shown[name]) for name, value in plain.model.state_dict().items())


def test_texts_are_continued(writer):
    trained = writer[1]
    one = CAUSAL.predict(trained, ["First Citizen:", ""], max_new_tokens=20).rows()
    assert [row["prompt"] for row in one] == ["First Citizen:", ""]
    assert 0 < len(one[0]["prediction"]) <= 20 * len("[UNK]")
    assert one == CAUSAL.predict(trained, ["First Citizen:", ""], max_new_tokens=20).rows()
    assert one != CAUSAL.predict(trained, ["First Citizen:", ""], max_new_tokens=20, seed=1).rows()
    assert len(CAUSAL.predict(trained, "KING", samples=3, max_new_tokens=5).rows()) == 3
    with pytest.raises(UnknownNameError, match="temperature"):
        CAUSAL.predict(trained, "KING", temprature=1)
    with pytest.raises(UsageError, match="samples: expected a whole number of 1 or more, received 0"):
        CAUSAL.predict(trained, "KING", samples=0)
    with pytest.raises(UsageError, match="temperature: expected a number of 0 or more"):
        CAUSAL.predict(trained, "KING", temperature=-1)


# ---- gaps ----------------------------------------------------------------------------------------


def test_masking_follows_bert_and_its_generator():
    inputs = torch.randint(1, 100, (200, 64), generator=torch.Generator().manual_seed(1))
    inputs[:, 60:] = 0
    corrupt = MaskTokens(100)
    given, wanted = corrupt(inputs, inputs, torch.Generator().manual_seed(0))
    again, _ = corrupt(inputs, inputs, torch.Generator().manual_seed(0))
    other, _ = corrupt(inputs, inputs, torch.Generator().manual_seed(1))
    assert torch.equal(given, again)
    assert not torch.equal(given, other)
    chosen = wanted != -100
    assert torch.equal(wanted[chosen], inputs[chosen])
    assert torch.equal(given[~chosen], inputs[~chosen])
    assert (inputs[chosen] > 4).all()  # nothing special
    assert chosen.sum() / (inputs > 4).sum() == pytest.approx(0.15, abs=0.01)
    masked = (given == 4) & chosen
    kept = (given == inputs) & chosen
    assert masked.sum() / chosen.sum() == pytest.approx(0.8, abs=0.03)
    assert kept.sum() / chosen.sum() == pytest.approx(0.1, abs=0.03)
    assert (given[chosen & ~masked] > 4).all()


def test_every_text_has_at_least_one_masked_token():
    inputs = torch.tensor([[7, 0, 0], [1, 3, 0]])
    given, wanted = MaskTokens(10)(inputs, inputs, torch.Generator().manual_seed(3))
    assert (wanted != -100).sum(1).tolist() == [1, 0]
    assert torch.equal(given[1], inputs[1])


def test_mask_probability_and_sampled_softmax_can_be_set(play):
    prepared = prepared_for(GAPS, config(play, "masked_language_model"))
    more = prepared.config.patch({"data.text.mask_prob": 0.5, "objective.options.num_sampled": 20})
    prepared = prepared_for(GAPS, more)
    _, targets = next(iter(prepared.training_batches()))
    assert (targets != -100).float().mean() == pytest.approx(0.5, abs=0.1)
    trained = trained_on(GAPS, prepared, built(lstm_mlm, prepared, GAPS))
    loss = GAPS.evaluate(trained, prepared, "test").metrics["loss"]
    assert loss < 0.95 * math.log(GAPS.num_outputs(prepared.preprocess))


def test_neighbor_baselines_beat_the_most_frequent_word(masked):
    found = GAPS.baselines(masked)
    losses = [found[name]["test/loss"] for name in ("unigram", "left_neighbor", "both_neighbors")]
    assert losses[0] > losses[1] > losses[2]
    assert found["both_neighbors"]["test/accuracy"] > found["unigram"]["test/accuracy"]


def test_masked_evaluation_is_deterministic_and_fills_masks(masked):
    trained = trained_on(GAPS, masked, built(bert, masked, GAPS))
    one, two = (GAPS.evaluate(trained, masked, "test") for _ in range(2))
    assert one.metrics == two.metrics
    assert one.metrics["loss"] < 0.9 * math.log(GAPS.num_outputs(masked.preprocess))
    (block,) = json.loads(json.dumps(one.blocks, allow_nan=False))
    assert all("[MASK]" in row[0] and "%" in row[2] for row in block["rows"])
    (row,) = GAPS.predict(trained, "the k[MASK]ng").rows()
    assert len(row["gaps"]) == 1
    assert len(row["prediction"]) == len("the king")
    assert max(row["gaps"][0].values()) == next(iter(row["gaps"][0].values()))
    with pytest.raises(UsageError, match="no mask"):
        GAPS.predict(trained, "the king")
    with pytest.raises(UsageError, match="at most 32"):
        GAPS.predict(trained, "k" * 40 + "[MASK]")
    with pytest.raises(UsageError, match="option of filling masks named"):
        GAPS.predict(trained, "the k[MASK]ng", beams=3)


def test_neighbor_baseline_sees_what_the_model_sees():
    inputs = torch.tensor([[9, 4, 8]])
    words, (left, both) = fill_mask.asked_for([(inputs, torch.tensor([[-100, 7, 6]]))])
    assert words.tolist() == [7, 6]
    assert left.tolist() == ngram_counts.code([np.array([9, 4])]).tolist()
    assert both.tolist() == ngram_counts.code([np.array([9, 4]), np.array([8, -1])]).tolist()
