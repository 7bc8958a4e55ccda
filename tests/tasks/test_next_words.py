"""The next words of a text: loss, sampling, and the nearest words afterwards."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from pellucid.config import Config
from pellucid.errors import ConfigError, ModelError, UsageError
from pellucid.models import bert, lstm, phrase_lm
from pellucid.record import Run
from pellucid.tasks import get_task
from pellucid.tasks.next_words.objective import MEASURED, STRIDE, importance, next_words
from tests.tasks.test_language import built, prepared_for, trained_on

AHEAD = get_task("next_words")
V, T, H = 12, 16, 3
WINTER = ["snow", "ice", "frost", "cold", "wind", "storm", "hail", "coat"]
SUMMER = ["sun", "beach", "heat", "sand", "wave", "sail", "palm", "swim"]


class Fixed(nn.Module):
    """Fixed random scores."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.states = torch.randn(2, T, H, generator=generator)
        self.output = nn.Linear(H, V)

    def hidden(self, tokens):
        return self.states

    def output_weights(self):
        return self.output.weight, self.output.bias


def batch():
    generator = torch.Generator().manual_seed(1)
    targets = torch.randint(5, V, (2, T), generator=generator)
    targets[0, 3], targets[1, -4:] = 3, -100  # an end of text, and beyond the end of the stream
    return torch.zeros(2, T, dtype=torch.long), targets


def by_hand(model, targets, counts, reach, stride):
    omega = importance(counts, 1e-4) if counts is not None else torch.ones(V)
    prior = (counts * omega).clamp(min=1e-3).log() if counts is not None else torch.zeros(V)
    total, weights = 0.0, 0.0
    for row in range(2):
        for t in range(0, T, stride):
            logs = (model.output(model.states[row, t]) + prior).log_softmax(0)
            for y in targets[row, t : t + reach].tolist():
                if y >= 5:
                    total -= omega[y].item() * logs[y].item()
                    weights += omega[y].item()
    return total / weights


@pytest.mark.parametrize("counts", [None, torch.arange(V) * 3.0 + 1], ids=["alike", "counted"])
def test_the_loss_is_the_mean_over_the_next_words(counts):
    model, (tokens, targets) = Fixed(), batch()
    objective = next_words(window=4, counts=counts)
    loss = objective.phases[0].loss(model, (tokens, targets))
    assert loss.item() == pytest.approx(by_hand(model, targets, counts, 4, STRIDE), rel=1e-4)
    total, count = objective.measure(model, (tokens, targets))["loss"]
    assert total.item() / count == pytest.approx(by_hand(model, targets, counts, 4, MEASURED), rel=1e-4)


def test_sampled_loss_is_right_on_average():
    model, given = Fixed(), batch()
    counts = torch.arange(V) * 3.0 + 1
    exact = next_words(window=4, counts=counts).phases[0].loss(model, given).item()
    sampled = next_words(window=4, counts=counts, num_sampled=8).phases[0].loss
    torch.manual_seed(0)
    found = torch.stack([sampled(model, given).detach() for _ in range(400)])
    assert found.std() > 0
    assert found.mean().item() == pytest.approx(exact, abs=0.1)


def test_frequent_words_are_subsampled():
    weights = importance(torch.tensor([9.0, 9, 9, 9, 9, 9999, 1]), 1e-4)
    assert weights[:5].tolist() == [0] * 5
    assert weights[5].item() == pytest.approx(math.sqrt(1e-4 / (9999 / 10045)), rel=1e-3)
    assert weights[6].item() == 1


@pytest.mark.parametrize(
    "option", [{"window": 0}, {"num_sampled": 0}, {"subsample": -1.0}, {"subsample": 0.0}]
)
def test_options_out_of_range_are_refused(option):
    with pytest.raises(ConfigError, match=f"{next(iter(option))}: expected"):
        next_words(**option)


def config(source, **changes):
    values = {
        "data": {"source": str(source), "text": {"tokenizer": "words", "max_seq_len": 32}},
        "objective": {"name": "next_words", "options": {"window": 8, "subsample": 1e-2}},
        "train": {"epochs": 8, "batch_size": 8, "device": "cpu", "execution": "eager"},
    }
    return Config.parse(values).patch(changes)


@pytest.fixture(scope="module")
def seasons(tmp_path_factory):
    """A text of two topics, whose words keep to themselves."""
    generator = torch.Generator().manual_seed(0)
    topics = [WINTER, SUMMER]
    passages = []
    for number in range(800):
        topic = topics[number % 2]
        chosen = torch.randint(len(topic), (40,), generator=generator).tolist()
        passages.append(" ".join(topic[word] for word in chosen))
    path = tmp_path_factory.mktemp("seasons") / "seasons.txt"
    path.write_text("\n".join(passages))
    return path


@pytest.fixture(scope="module")
def prepared(seasons):
    return prepared_for(AHEAD, config(seasons))


def test_training_finds_related_words(prepared, tmp_path):
    run = Run.create(tmp_path, "words", prepared.config.to_yaml())
    trained = trained_on(AHEAD, prepared, built(phrase_lm, prepared, AHEAD), run)
    outcome = AHEAD.evaluate(trained, prepared, "test")
    unigram = AHEAD.baselines(prepared)["unigram"]["test/loss"]
    assert unigram == pytest.approx(math.log(16), abs=0.05)
    assert outcome.metrics["loss"] < unigram - 0.2  # 0.69 nats would be to know the season everywhere
    (block,) = json.loads(json.dumps(outcome.blocks, allow_nan=False))
    winter = set(WINTER)
    for word, near in block["rows"]:
        same = [(other in winter) == (word in winter) for other in near.split(", ")[:3]]
        assert sum(same) >= 2, (word, near)
    (row,) = AHEAD.predict(trained, "snow ice frost cold wind").rows()
    assert set(row["prediction"].split(", ")[:5]) <= winter
    shown = sorted((run.path / "samples").glob("epoch-*.txt"))
    assert len(shown) == 9
    assert "snow: " in shown[-1].read_text()
    with pytest.raises(UsageError, match="no options"):
        AHEAD.predict(trained, "snow", beams=2)


def test_evaluation_does_not_depend_on_how_the_run_was_loaded(prepared):
    trained = trained_on(AHEAD, prepared, built(phrase_lm, prepared, AHEAD))
    loaded = replace(trained, objective=AHEAD.objective(prepared.config))  # without the counts of its data
    one, two = (AHEAD.evaluate(which, prepared, "test").metrics for which in (trained, loaded))
    assert one == two


def test_other_kinds_of_models_are_refused(prepared):
    objective = AHEAD.objective(prepared.config, prepared)
    vocab = AHEAD.num_outputs(prepared.preprocess)
    with pytest.raises(ModelError, match="not causal"):
        AHEAD.check(bert((32,), vocab, size="tiny"), objective, prepared)
    with pytest.raises(ModelError, match="phrase_lm"):
        AHEAD.check(lstm((32,), vocab, vocab_size=vocab), objective, prepared)
