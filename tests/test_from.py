"""A finished run as the start of another."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from pellucid import build
from pellucid.config import Config
from pellucid.data import toy
from pellucid.errors import ModelError, UnknownNameError
from pellucid.train.checkpoint import begin_from


def network(hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def test_every_shared_tensor_is_taken_and_another_head_starts_anew(tmp_path: Path) -> None:
    first, second = network(8, 3), network(8, 5)
    save_file(first.state_dict(), tmp_path / "first.safetensors")
    head = second[2].weight.clone()
    said = begin_from(second, tmp_path / "first.safetensors")
    assert "2 of 4 tensors; anew: 2.weight; 2.bias" in said
    assert torch.equal(second[0].weight, first[0].weight)
    assert torch.equal(second[2].weight, head)


def test_weights_of_another_shape_are_refused_by_name(tmp_path: Path) -> None:
    save_file(network(8, 3).state_dict(), tmp_path / "first.safetensors")
    model = network(9, 3)
    before = model[0].weight.clone()
    with pytest.raises(ModelError, match=r"0\.weight is \(8, 4\), expected \(9, 4\)"):
        begin_from(model, tmp_path / "first.safetensors")
    assert torch.equal(model[0].weight, before)


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    save_file({"other": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="none of its 4 tensors, but other"):
        begin_from(network(8, 3), tmp_path / "other.safetensors")


def test_a_run_goes_on_from_another(runs: Path) -> None:
    config = Config.parse(
        {"name": "moons", "model": {"name": "mlp", "size": "tiny"}, "train": {"epochs": 3, "path": "eager"}}
    )
    data = toy.moons(n=300, seed=0)
    first = build.train(config, runs=runs, dataset=data)
    last = first.checkpoints.pointed("best")
    assert last is not None
    again = config.patch({"model.weights": first.id, "train.epochs": 1, "optimizer.lr": 1e-12})
    second = build.train(again, runs=runs, dataset=data)
    assert any(note.startswith("Started from ") for note in second.facts["notes"])
    ended = second.checkpoints.pointed("last")
    assert ended is not None
    learned, kept = (load_file(folder / "model.safetensors") for folder in (last, ended))
    for name, tensor in learned.items():
        torch.testing.assert_close(kept[name], tensor, atol=1e-6, rtol=0)
    with pytest.raises(UnknownNameError, match="nowhere"):
        build.train(config.patch({"model.weights": "nowhere"}), runs=runs, dataset=data)
    assert len(list(runs.iterdir())) == 2
