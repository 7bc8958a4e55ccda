"""N-grams: which are listed, their naive Bayes ratios, and that padding is ignored."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from pellucid.models.text_cnn import text_cnn
from pellucid.nn.ngrams import BayesNgrams, ngrams

BUCKETS = 2**16


def listed(tokens: list[int]) -> list[int]:
    codes, first = ngrams(torch.tensor([tokens]), BUCKETS)
    return codes[first].tolist()


def test_every_ngram_of_up_to_three_tokens_is_listed_once() -> None:
    assert len(listed([5, 6, 7, 8])) == 4 + 3 + 2
    assert len(listed([5, 6, 5, 6])) == 2 + 2 + 2  # 5, 6; 56, 65; 565, 656
    assert len(listed([5])) == 1
    assert listed([0, 0]) == []
    assert set(listed([5, 6])) < set(listed([5, 6, 7]))
    assert listed([5, 6, 0, 0]) == listed([5, 6])
    assert set(listed([6, 5])) & set(listed([5, 6])) == set(listed([5])) | set(listed([6]))


def test_different_ngrams_rarely_share_a_bucket() -> None:
    codes, first = ngrams(torch.randperm(2000)[None] + 5)
    assert first.sum() > 0.99 * codes.numel()


def test_ratios_equal_naive_bayes() -> None:
    layer = BayesNgrams(2, buckets=BUCKETS, dropout=0.0)
    tokens = torch.tensor([[5, 6, 0], [5, 7, 0], [5, 7, 7]])
    layer.count([(tokens[:1], torch.tensor([0])), (tokens[1:], torch.tensor([1, 1]))])
    (seven,) = listed([7])
    sizes = 3 + BUCKETS, 3 + 5 + BUCKETS  # 5, 6, 56; and 5, 7, 57 with 5, 7, 57, 77, 577
    wanted = math.log((3 / sizes[1]) / (1 / sizes[0]))
    assert layer.ratio[seven].tolist() == pytest.approx([-wanted, wanted], rel=1e-4)
    torch.nn.init.ones_(layer.weight)
    texts = torch.tensor([[7, 0], [6, 0]])
    assert layer(texts).argmax(1).tolist() == [1, 0]
    assert torch.equal(layer(F.pad(texts, (0, 3))), layer(texts))
    layer(texts)[:, 1].sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.count_nonzero() == 2


def test_each_class_is_compared_with_the_mean_of_the_others() -> None:
    layer = BayesNgrams(3, buckets=BUCKETS, dropout=0.0)
    layer.count([(torch.tensor([[5], [6], [7]]), torch.arange(3))])
    torch.nn.init.ones_(layer.weight)
    assert layer(torch.tensor([[7], [5], [6]])).argmax(1).tolist() == [2, 0, 1]


@pytest.mark.parametrize("targets", [torch.zeros(1, 2), torch.zeros(1)], ids=["labels", "amounts"])
def test_targets_that_are_not_classes_are_refused(targets: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected classes \(B,\) as integers.*ngrams=False"):
        BayesNgrams(2, buckets=BUCKETS).count([(torch.tensor([[5]]), targets)])


def test_one_part_classifies_a_text_in_training_and_both_in_evaluation() -> None:
    model = text_cnn((9,), 2, size="tiny", vocab_size=30, ngrams=True)
    tokens = torch.randint(5, 30, (200, 9), generator=torch.Generator().manual_seed(0))
    classes = torch.arange(200) % 2
    model.count_batches([(tokens, classes)])
    assert model.ngrams is not None
    torch.nn.init.ones_(model.ngrams.weight)
    torch.nn.init.zeros_(model.output.weight)
    torch.nn.init.constant_(model.output.bias, 1000.0)
    by_convolutions = (model.train()(tokens)[:, 0] == 1000).float().mean().item()
    assert by_convolutions == pytest.approx(0.5, abs=0.15)
    both = model.eval()(tokens)
    assert torch.equal(both, 1000 + model.ngrams(tokens))
    assert (both.argmax(1) == classes).float().mean() > 0.9
