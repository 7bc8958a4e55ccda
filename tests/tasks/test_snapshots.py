"""Snapshots during training: each callback keeps its own blocks, also after resuming."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import nn

from pellucid.models import autoencoder
from pellucid.record import Run
from pellucid.tasks.reconstruction.task import Reconstruction
from pellucid.tasks.shared.image_grid import grid
from pellucid.tasks.shared.snapshots import Snapshots, save_blocks
from pellucid.tasks.shared.text_generation import TextSamples
from pellucid.train.callbacks import Callback


class Watched(Reconstruction):
    """Shows pictures twice, and a text."""

    def callbacks(self, run: Run, prepared: Any) -> list[Callback]:
        def draw(model: nn.Module) -> bytes:
            return grid(torch.zeros(1, 1, 8, 8), 1)

        return [
            Snapshots(run, draw, title="First", caption=""),
            Snapshots(run, draw, title="Second", caption="", name="second"),
            TextSamples(run, lambda model: "words", title="Text", caption=""),
        ]


def test_every_callback_keeps_its_own_blocks_and_files(learn: Any) -> None:
    learned = learn(Watched(), autoencoder((1, 8, 8), 0, size="tiny"), epochs=1)
    blocks = json.loads((learned.run.path / "evaluation" / "training.json").read_text())["blocks"]
    assert [block["title"] for block in blocks] == ["First", "Second", "Text"]
    files = [frame["file"] for block in blocks[:2] for frame in block["frames"]]
    assert len(set(files)) == 4
    assert all((learned.run.path / file).exists() for file in files)


def test_blocks_of_a_callback_replace_those_it_saved_before(tmp_path: Any) -> None:
    run = Run.create(tmp_path, "a", "")
    for blocks in ([{"title": "old"}], [{"title": "new"}]):
        save_blocks(run, "one", blocks)
        save_blocks(run, "other", [{"title": "stays"}])
    facts = json.loads((run.path / "evaluation" / "training.json").read_text())
    assert [block["title"] for block in facts["blocks"]] == ["new", "stays"]


def test_the_state_of_an_earlier_version_is_loaded(learn: Any) -> None:
    learned = learn(Watched(), autoencoder((1, 8, 8), 0, size="tiny"), epochs=1)
    state = learned.trainer.state_dict()
    old = {"Snapshots(epoch)": "Film", "TextSamples(epoch)": "Texts"}
    state["callbacks"] = [
        [old[name], {**values, "rows": [{"label": "old", "text": "", "epoch": 0}], "history": [{"epoch": 9}]}]
        for name, values in state["callbacks"]
        if name in old
    ]
    learned.trainer.load_state_dict(state)
    pictures, _, texts = learned.trainer.callbacks
    assert pictures.history == [{"epoch": 9}]
    assert texts.rows[0]["label"] == "old"
