"""`capture` sees every call of a module, and changes nothing."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pellucid.lens.capture import capture, live, replaced_outputs
from pellucid.nn.attention import TransformerBlock


def computed(model: nn.Module, batch: Any, **how: Any) -> tuple[list[Tensor], Any]:
    """Output and gradients of all parameters, captured or not."""
    model.zero_grad()
    torch.manual_seed(0)
    if not how:
        output = model(batch)
        output.square().mean().backward()
        return [output.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)], None
    with capture(model, **how) as taken:
        output = model(batch)
        output.square().mean().backward()
    return [output.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)], taken


class Twice(nn.Module):
    """A module that is used twice, and one under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = self.first
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.second(self.act(self.first(x))))


def test_outputs_and_gradients_are_the_same_to_the_bit_and_no_hook_remains():
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.Dropout(0.5))
    images = torch.randn(2, 1, 6, 6)
    plain, _ = computed(model, images)
    seen, taken = computed(model, images, inputs=True, backward=True)
    assert all(torch.equal(a, b) for a, b in zip(plain, seen, strict=True))
    assert nn.Module.__call__.__name__ == "_wrapped_call_impl"
    assert not any(module._forward_hooks for module in model.modules())
    count = len(taken.calls)
    model(images)
    assert len(taken.calls) == count == 5


def test_what_is_recorded_is_not_changed_by_a_later_change_in_place():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(inplace=True))
    x = torch.randn(4, 3)
    with capture(model, inputs=True, backward=True) as taken:
        model(x).sum().backward()
    before = model[0](x)
    assert torch.equal(taken.last("0").output, before)
    assert torch.equal(taken.last("1").args[0], before)
    assert torch.equal(taken.last("0").gradient, (before > 0).float())


def test_a_module_used_twice_has_two_calls_under_its_first_name():
    model = Twice()
    with capture(model, backward=True, inputs=True) as taken:
        model(torch.randn(2, 4)).sum().backward()
    assert [call.name for call in taken.calls] == ["", "first", "act", "first", "act"]
    assert [call.number for call in taken.of("first")] == [0, 1]
    assert torch.equal(taken.of("act")[0].output, taken.of("first")[1].args[0])
    assert [call.depth for call in taken.calls] == [0, 1, 1, 1, 1]
    assert taken.backward[-1] is taken.of("first")[0]


def test_structures_are_kept_and_dataclasses_become_dicts():
    @dataclasses.dataclass
    class Result:
        logits: Tensor
        rest: tuple[Tensor, int]

    class Model(nn.Module):
        def forward(self, given: dict[str, Tensor], *, scale: Tensor) -> Result:
            return Result(given["x"] * scale, (given["x"] + 0.0, 3))

    x, scale = torch.ones(2, 3, requires_grad=True), torch.tensor(2.0)
    with capture(Model(), inputs=True, backward=True) as taken:
        made = Model.__call__(taken.model, {"x": x}, scale=scale)
        made.logits.sum().backward()
    call = taken.last("")
    assert torch.equal(call.args[0]["x"], x)
    assert torch.equal(call.kwargs["scale"], scale)
    assert torch.equal(call.output["logits"], x * 2)
    assert call.output["rest"][1] == 3
    assert torch.equal(call.gradient["logits"], torch.ones(2, 3))
    assert call.gradient["rest"] == (None, 3)


def test_only_the_named_modules_are_recorded_and_unknown_names_are_refused():
    model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.ReLU()))
    with capture(model, ["1.0"], values=lambda tensor: tuple(tensor.shape)) as taken:
        model(torch.zeros(2, 3))
    assert [(call.name, call.output, call.args) for call in taken.calls] == [("1.0", (2, 3), ())]
    with pytest.raises(ValueError, match=r"no module '1\.1'.*Did you mean '1\.0'"), capture(model, ["1.1"]):
        pass


def test_the_innermost_module_that_raises_is_named_and_one_that_was_caught_is_not():
    class Careful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(3, 3), nn.Linear(4, 3))

        def forward(self, x: Tensor, tries: bool) -> Tensor:
            if not tries:
                return self.body(x)
            try:
                return self.body(x)
            except RuntimeError:
                return x

    model = Careful()
    with pytest.raises(RuntimeError), capture(model, inputs=True) as taken:
        model(torch.zeros(2, 3), False)
    assert taken.failed is not None
    assert taken.failed.name == "body.1"
    assert taken.failed.args[0].shape == (2, 3)
    assert [call.name for call in taken.calls if call.finished] == ["body.0"]
    with capture(model) as taken:
        model(torch.zeros(2, 3), True)
    assert taken.failed is None


def test_a_compiled_model_is_run_as_its_original_and_is_compiled_again_afterwards():
    ran: list[str] = []

    def backend(graph: Any, _: Any) -> Any:
        def program(*args: Any) -> Any:
            ran.append("program")
            return graph.forward(*args)

        return program

    plain = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    model = torch.compile(plain, backend=backend)
    x = torch.randn(2, 3)
    with capture(model) as taken:
        model(x)
    assert [call.name for call in taken.calls] == ["", "0", "1"]
    assert taken.model is plain
    assert not ran
    model(x)
    assert ran == ["program"]


def test_a_scripted_model_says_that_its_inside_is_not_seen():
    model = torch.jit.script(nn.Sequential(nn.Linear(3, 2)))
    with capture(model) as taken:
        model(torch.zeros(1, 3))
    assert [call.name for call in taken.calls] == [""]
    assert "scripted" in taken.hidden[""]
    assert taken.not_called == ["0"]


def test_the_fused_kernel_of_a_transformer_layer_is_still_chosen():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    x = torch.randn(2, 5, 8)
    with torch.no_grad(), capture(layer) as taken:
        seen = layer(x)
    with torch.no_grad():
        assert torch.equal(layer(x), seen)
    assert "linear1" in taken.not_called


def test_a_module_that_is_run_again_in_the_backward_pass_is_recorded_once():
    layer = nn.Linear(3, 3)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            return checkpoint(self.layer, x, use_reentrant=False)

    with capture(model := Model(), backward=True) as taken:
        model(torch.ones(1, 3)).sum().backward()
    assert len(taken.of("layer")) == 1
    assert torch.equal(taken.last("layer").gradient, torch.ones(1, 3))


def test_two_captures_at_a_time_end_in_any_order():
    model = nn.Linear(2, 2)
    first, second = capture(model), capture(model, values=live)
    one, two = first.__enter__(), second.__enter__()
    output = model(torch.zeros(1, 2))
    first.__exit__(None, None, None)
    model(torch.zeros(1, 2))
    second.__exit__(None, None, None)
    assert (len(one.calls), len(two.calls)) == (1, 2)
    assert two.calls[0].output is output
    assert nn.Module.__call__.__name__ == "_wrapped_call_impl"


def test_explicit_attention_gives_the_scores_and_the_same_output():
    torch.manual_seed(0)
    block = TransformerBlock(8, 2, causal=True)
    x = torch.randn(2, 5, 8)
    with capture(block, attention=True) as taken:
        explicit = block(x)
    call = taken.last("attention")
    assert call.attention["weights"].shape == (2, 2, 5, 5)
    assert torch.allclose(call.attention["weights"].sum(-1), torch.ones(2, 2, 5))
    assert torch.isneginf(call.attention["scores"][0, 0, 0, 1])
    torch.testing.assert_close(explicit, block(x))
    assert block.attention.attn_weights is None


def test_replaced_outputs_change_the_model_only_inside_the_block():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    x = torch.randn(2, 3)
    with replaced_outputs([model[0]], lambda module, args, output: torch.ones_like(output)):
        assert torch.equal(model(x), torch.ones(2, 3))
    assert not torch.equal(model(x), torch.ones(2, 3))
