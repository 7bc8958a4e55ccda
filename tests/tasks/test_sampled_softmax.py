"""A softmax over a sample of the vocabulary estimates the one over all of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.errors import ConfigError, ModelError
from pellucid.models import lstm_lm
from pellucid.tasks.language_model.objective import language_model
from pellucid.tasks.shared.sampled_softmax import chances, sampled_cross_entropy

V, H, N = 40, 6, 5


@pytest.fixture
def parts() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """hidden (N, H), targets (N,), weight (V, H) and bias (V,)."""
    torch.manual_seed(0)
    hidden, weight = torch.randn(N, H, requires_grad=True), torch.randn(V, H, requires_grad=True)
    return hidden, torch.tensor([0, 3, 3, 20, V - 1]), weight, torch.randn(V, requires_grad=True)


def counts() -> Tensor:
    return (1000 / torch.arange(1, V + 1)).long() - 25  # the last are never there


def test_inclusion_probabilities_sum_to_the_sample_size() -> None:
    for size in (1, 8, 39):
        pi = chances(counts(), size)
        assert pi.sum().item() == pytest.approx(size, rel=1e-5)
        assert ((pi > 0) & (pi <= 1)).all()
        assert (pi.diff() <= 0).all()
    assert chances(counts(), 8)[0] == 1
    assert chances(counts(), V).eq(1).all()


def test_a_sample_of_all_tokens_is_the_softmax(parts: tuple[Tensor, ...]) -> None:
    hidden, targets, weight, bias = parts
    expected = F.cross_entropy(F.linear(hidden, weight, bias), targets, reduction="none")
    received = sampled_cross_entropy(hidden, targets, weight, bias, torch.ones(V))
    torch.testing.assert_close(received, expected)
    for mine, theirs in zip(
        torch.autograd.grad(received.sum(), (hidden, weight, bias)),
        torch.autograd.grad(expected.sum(), (hidden, weight, bias)),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-4)


def test_the_estimate_is_right_on_average(parts: tuple[Tensor, ...]) -> None:
    hidden, targets, weight, bias = (part.detach() for part in parts)
    pi = chances(counts(), 15)
    estimates = [sampled_cross_entropy(hidden, targets, weight, bias, pi).exp() for _ in range(4000)]
    expected = F.cross_entropy(F.linear(hidden, weight, bias), targets, reduction="none").exp()  # 1 / p
    torch.testing.assert_close(torch.stack(estimates).mean(0), expected, rtol=0.05, atol=0)


def test_an_empty_sample_costs_nothing(parts: tuple[Tensor, ...]) -> None:
    hidden, targets, weight, bias = parts
    loss = sampled_cross_entropy(hidden, targets, weight, bias, torch.full((V,), 1e-12))
    assert loss.tolist() == [0] * N
    (gradient,) = torch.autograd.grad(loss.sum(), weight)
    assert not gradient.any()


@pytest.mark.parametrize("tied", [True, False])
def test_a_language_model_learns_from_a_sample(tied: bool) -> None:
    torch.manual_seed(0)
    model = lstm_lm((12,), V, size="tiny", tied=tied, dropout=0.0)
    tokens = torch.randint(5, V, (4, 13))
    batch = (tokens[:, :-1], tokens[:, 1:].masked_fill(tokens[:, 1:] == 5, -100))
    objective = language_model(num_sampled=V)
    loss = objective.phases[0].loss(model, batch)
    torch.testing.assert_close(loss, language_model().phases[0].loss(model, batch))
    assert loss.item() == pytest.approx(
        objective.measure(model.eval(), batch)["loss"][0].item() / count(batch)
    )
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    nothing = torch.full_like(batch[1], -100)
    assert objective.phases[0].loss(model, (batch[0], nothing)).item() == 0


def count(batch: tuple[Tensor, Tensor]) -> int:
    return int((batch[1] != -100).sum())


def test_invalid_sampling_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected 1 or more tokens, received 0"):
        language_model(num_sampled=0)
    with pytest.raises(ConfigError, match=r"label_smoothing is 0\.1, and it is over all tokens"):
        language_model(0.1, num_sampled=5)
    tokens = torch.ones(1, 3, dtype=torch.long)
    with pytest.raises(ModelError, match="received a Embedding without hidden and output_weights"):
        language_model(num_sampled=5).phases[0].loss(nn.Embedding(9, 9), (tokens, tokens))
