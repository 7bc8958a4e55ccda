"""Stages of a model, what is frozen, and how fast each of them learns."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from pellucid.config import TrainConfig
from pellucid.errors import ConfigError, UnknownNameError
from pellucid.models import cnn, gru, mlp, transformer, vit
from pellucid.tasks.classification.objective import classification
from pellucid.train.freezing import GradualUnfreezing, freeze, unfreeze
from pellucid.train.layer_groups import stages
from pellucid.train.optimizers import OPTIMIZERS, optimizer
from pellucid.train.trainer import Trainer
from tests.train.conftest import network, trainer

BLOCKS = [f"encoder.blocks.{number}" for number in range(2)]


def encoder() -> nn.Module:
    return transformer((9,), 3, size="tiny", vocab_size=20, pooling="cls")


def learning(model: nn.Module) -> list[str]:
    """The stages that are trainable as a whole; checks that no other has a trainable parameter."""
    whole = []
    for stage in stages(model):
        states = {parameter.requires_grad for parameter in stage.parameters.values()}
        assert len(states) == 1
        whole += [stage.name] if states == {True} else []
    return whole


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (encoder(), ["input", *BLOCKS, "output"]),
        (
            vit((1, 16, 16), 3, size="tiny", pooling="cls"),
            ["input", *(f"blocks.{i}" for i in range(4)), "output"],
        ),
        (cnn((1, 16, 16), 3, size="tiny"), ["stages.0", "stages.1", "output"]),
        (gru((9,), 3, size="tiny", vocab_size=20), ["input", "layers.0", "output"]),
        (mlp((5,), 3, hidden=[4, 4]), ["hidden.0", "hidden.3", "output"]),
        (network(), ["0", "1", "4"]),
    ],
)
def test_stages_are_ordered_from_input_to_output(model: nn.Module, expected: list[str]) -> None:
    found = stages(model)
    assert [stage.name for stage in found][: len(expected) - 1] == expected[:-1]
    assert found[-1].name == expected[-1]
    names = [name for stage in found for name in stage.parameters]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())


def test_freezing_up_to_a_module() -> None:
    model = encoder()
    freeze(model, "encoder.blocks.1")
    assert learning(model) == ["encoder.blocks.1", "output"]
    freeze(model, 1)
    assert learning(model) == [*BLOCKS, "output"]
    freeze(model, "output")
    assert [name for name, p in model.named_parameters() if p.requires_grad] == [
        "output.weight",
        "output.bias",
    ]
    unfreeze(model)
    assert learning(model) == ["input", *BLOCKS, "output"]


def test_freezing_an_unknown_module_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"encoder\.blocks\.1"):
        freeze(encoder(), "encoder.block.1")
    with pytest.raises(ConfigError, match="has 4 stages"):
        freeze(encoder(), 4)


def test_gradual_unfreezing_adds_a_stage_each_epoch(batches) -> None:
    model = network(dropout=0.0)
    seen = []

    class Watch(GradualUnfreezing):
        def on_epoch_end(self, trainer) -> None:
            seen.append(learning(trainer.model))

    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    trainer(model, epochs=1, callbacks=[GradualUnfreezing()]).fit(batches)
    changed = [
        name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])
    ]
    assert changed == ["4.weight", "4.bias"]
    trainer(model, epochs=4, callbacks=[Watch()]).fit(batches)
    assert seen == [["4"], ["1", "4"], ["0", "1", "4"], ["0", "1", "4"]]
    assert all(not torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())


def test_gradual_unfreezing_refuses_frozen_models(batches) -> None:
    model = network()
    freeze(model, 1)
    with pytest.raises(ConfigError, match=r"0\.weight"):
        trainer(model, callbacks=[GradualUnfreezing()]).fit(batches)


# ---- learning rates by stage ---------------------------------------------------------------------


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_earlier_stages_have_lower_learning_rates(weight_decay: float) -> None:
    model = encoder()
    made = optimizer("adamw", model, lr=1e-3, weight_decay=weight_decay, layer_decay=0.5)
    rates = {id(p): group["lr"] for group in made.param_groups for p in group["params"]}
    assert len(rates) == len(list(model.parameters()))
    expected = dict(zip(["output", *reversed(BLOCKS), "input"], [1e-3, 5e-4, 2.5e-4, 1.25e-4], strict=True))
    for stage in stages(model):
        assert {rates[id(p)] for p in stage.parameters.values()} == {expected[stage.name]}
    assert made.param_groups[0]["lr"] == 1e-3
    decays = {id(p): group["weight_decay"] for group in made.param_groups for p in group["params"]}
    assert all(decays[id(p)] == (weight_decay if p.ndim > 1 else 0.0) for p in model.parameters())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_keeps_the_rates_of_the_stages(name: str) -> None:
    """A step with a decay of d moves each stage as a step with lr * d ** depth moves the whole model."""
    moved = {}
    for depth, lr in enumerate([0.01, 0.005, 0.0025]):
        for layer_decay in (0.5, None):
            model = network(dropout=0.0)
            before = [parameter.detach().clone() for parameter in model.parameters()]
            rate = 0.01 if layer_decay else lr
            made = optimizer(name, model, lr=rate, weight_decay=0.1, layer_decay=layer_decay)
            model(torch.ones(8, 64).cumsum(0)).square().sum().backward()
            made.step()
            changes = [after - old for after, old in zip(model.parameters(), before, strict=True)]
            stage = stages(model)[-1 - depth].parameters
            chosen = [c for (n, _), c in zip(model.named_parameters(), changes, strict=True) if n in stage]
            moved[depth, layer_decay] = torch.cat([change.flatten() for change in chosen]).detach()
    for depth in range(3):
        torch.testing.assert_close(moved[depth, 0.5], moved[depth, None])
        assert moved[depth, 0.5].abs().max() > 0


def test_parameters_without_a_model_have_no_stages() -> None:
    model = network()
    parameters = list(model.parameters())
    with pytest.raises(ConfigError, match="only its parameters"):
        optimizer("adamw", parameters, layer_decay=0.5)
    made = optimizer("adamw", parameters, layer_decay=0.5, model=model)
    assert [group["lr"] for group in made.param_groups] == [1e-3, 5e-4, 2.5e-4]
    with pytest.raises(ConfigError, match="up to 1, received 2"):
        optimizer("adamw", model, layer_decay=2)


def test_a_schedule_scales_all_rates_by_the_same_factor(batches) -> None:
    model = network()
    made = partial(optimizer, "adamw", lr=0.01, layer_decay=0.1, model=model)
    settings = TrainConfig(epochs=1, device="cpu", execution="eager")
    mine = Trainer(model, classification(), made, settings, schedule=lambda step: 0.5)
    mine.fit(batches)
    assert [group["lr"] for group in mine.optimizers["train"].param_groups] == pytest.approx(
        [5e-3, 5e-4, 5e-5]
    )
