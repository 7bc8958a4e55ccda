"""The attributions of words sum to the difference of the logits."""

from __future__ import annotations

import pytest
import torch

from pellucid.models import BUILDERS
from pellucid.tasks.shared.attribution import integrated_gradients


@pytest.mark.parametrize("name", ["lstm", "text_cnn"])
def test_attributions_sum_to_the_logit_difference_from_the_empty_text(name: str) -> None:
    torch.manual_seed(0)
    options = {"phrases": True, "ngrams": True} if name == "text_cnn" else {}
    model = BUILDERS[name]((12,), 3, vocab_size=30, size="tiny", **options).double().eval()
    tokens = torch.tensor([[7, 3, 9, 21, 0, 0], [4, 5, 6, 7, 5, 6]])
    if name == "text_cnn":
        model.count_batches([(tokens, torch.tensor([0, 1]))])
        torch.nn.init.normal_(model.ngrams.weight)
    weights = integrated_gradients(model, tokens, output=1, steps=400)
    with torch.no_grad():
        whole = model(tokens)[:, 1]
        for table in model.modules():
            if isinstance(table, torch.nn.Embedding):
                table.register_forward_hook(lambda module, given, made: torch.zeros_like(made))
        if name == "text_cnn":
            model.ngrams = None
        empty = model(tokens)[:, 1]
    torch.testing.assert_close(weights.sum(1), whole - empty, atol=1e-3, rtol=0)
    assert not weights[0, 4:].any()


def test_attribution_does_not_change_the_model() -> None:
    model = BUILDERS["transformer"]((12,), 2, vocab_size=30, size="tiny").train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    integrated_gradients(model, torch.tensor([[5, 6, 7]]), output=0)
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
