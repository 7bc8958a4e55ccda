"""An update of a run is computed again to the bit, proved by its recorded loss, and the run is only read."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import pellucid
from pellucid.cli.main import app
from pellucid.errors import PellucidError, RunError, UsageError
from pellucid.record.checkpoints import Checkpoints, step_of

OLD = Path(__file__).parent / "fixtures" / "v0_1"
draw = np.random.default_rng(0)
PICTURES = (draw.random((60, 8, 8, 1), dtype=np.float32), draw.integers(0, 3, 60))
TABLE = (draw.normal(size=(90, 4)).astype(np.float32), draw.integers(0, 3, 90))
SMALL = {"train.execution": "eager", "train.batch_size": 8}
FAMILIES = {
    "mlp": (TABLE, {"model.options": {"hidden": [8], "dropout": 0.3}, "train.clip_grad_norm": 0.5}),
    "cnn": (PICTURES, {"data.augment": {"shift": 0.2}, "train.ema": 0.9}),
    "dcgan": (PICTURES, {"objective.name": "adversarial", "data.normalize": False}),
}


def trained(name: str, runs: Path, epochs: int = 3, **settings: object) -> pellucid.Run:
    data, more = FAMILIES[name]
    chosen = {**SMALL, **more, "train.epochs": epochs, **settings}
    return pellucid.fit(name, data, runs=runs, progress=False, settings=chosen)


def content(folder: Path) -> dict[str, str]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


@pytest.mark.parametrize("name", FAMILIES)
def test_updates_are_computed_again_to_the_bit_and_the_run_is_only_read(name: str, runs: Path) -> None:
    run = trained(name, runs)
    last = max(run.store.step_losses(1, 10**6)[next(iter(run.store.step_losses(1, 1)))])
    before = content(run.path)
    for step in (1, last // 2, last):
        made = run.replay(step)
        assert made.exact is True
        assert made.before_exact == made.before
        for phase in made.phases:
            assert phase.recomputed == phase.recorded != []
            assert phase.trace.loss == phase.recomputed[-1]  # what is shown is what was computed
            assert phase.gradient_norm
            assert phase.update_norm
            assert phase.trace.training
            assert any(call.gradient is not None for call in phase.trace)
        assert made.notes == []
        json.dumps(made.to_dict())
    assert content(run.path) == before


def test_the_steps_of_a_compiled_run_are_equal_and_the_difference_of_the_values_is_said(runs: Path) -> None:
    run = trained("mlp", runs, **{"train.execution": "compiled"})
    made = run.replay(9)
    assert made.exact is True
    assert made.execution == "compiled"
    (phase,) = made.phases
    assert phase.trace.loss == pytest.approx(phase.recomputed[0], rel=1e-5)
    assert 0 < phase.gradient_norm <= 0.5 + 1e-6  # as it was clipped


def test_another_dropout_mask_is_noticed(runs: Path) -> None:
    run = trained("mlp", runs, **{"train.snapshots": 0})
    config = run.path / "config.yaml"
    config.write_text(config.read_text().replace("dropout: 0.3", "dropout: 0.31"))
    made = pellucid.Run(run.path, dataset=run.dataset).replay(12)
    assert made.exact is False
    assert "DIFFERS" in str(made)


def test_the_rows_of_the_batch_are_named(runs: Path) -> None:
    made = trained("mlp", runs).replay(2)
    assert len(made.rows) == 8
    assert len({row.number for row in made.rows}) == 8
    assert all(row.target in ("0", "1", "2") for row in made.rows)


def test_every_update_has_one_recorded_loss_after_a_resume(runs: Path) -> None:
    class Stop(pellucid.Callback):
        def on_step_end(self, trainer: pellucid.Trainer) -> None:
            if trainer.step == 13:
                trainer.interrupt("test")

    data, more = FAMILIES["mlp"]
    settings = {**SMALL, **more, "train.epochs": 3}
    run = pellucid.fit("mlp", data, runs=runs, progress=False, settings=settings, callbacks=[Stop()])
    run = pellucid.fit("mlp", data, runs=runs, progress=False, settings=settings, resume=run.id)
    (losses,) = run.store.step_losses(1, 10**6).values()
    assert sorted(losses) == list(range(1, max(losses) + 1))
    assert {len(found) for found in losses.values()} == {1}
    assert max(losses) > 13


def test_snapshots_are_spread_within_their_budget(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "checkpoints")
    for step in range(0, 300, 3):
        kept.save(step, {"w": lambda path: path.write_bytes(b"0" * 10_000)}, {})
        kept.prune(2, snapshots=0.12)
    steps = [step_of(folder) for folder in kept.all()]
    assert steps[0] == 0
    assert steps[-1] == 297
    assert 8 <= len(steps) <= 13  # 11 of 10 kB, and the newest two
    assert np.diff(steps[:-2]).max() <= 4 * np.diff(steps[:-2]).min()
    kept.prune(2)
    assert [step_of(folder) for folder in kept.all()] == steps[-2:]


@pytest.mark.parametrize(("step", "words"), [(0, "updates 1 to"), (10_000, "received 10,000")])
def test_a_step_that_is_not_there_is_refused(step: int, words: str, runs: Path) -> None:
    with pytest.raises(UsageError, match=words):
        trained("mlp", runs, 1).replay(step)


def test_what_cannot_be_built_again_is_refused(runs: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
    own = pellucid.fit(module, TABLE, runs=runs, progress=False, epochs=2)
    assert own.replay(3).exact  # the module is still here, and the checkpoint of step 0 holds its weights
    with pytest.raises(RunError, match=r"module of your own, Sequential.*\n.*model=YourModule"):
        pellucid.Run(own.path, dataset=own.dataset).replay(3)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.from_numpy(TABLE[0]), torch.from_numpy(TABLE[1])), 8
    )
    batches = pellucid.fit(module, loader, runs=runs, progress=False, epochs=1)
    with pytest.raises(RunError, match="batches of your own"):
        batches.replay(1)
    passed = trained_with(lambda parameters: torch.optim.SGD(parameters, 0.1), runs)
    with pytest.raises(RunError, match=r"optimizer= was .*lambda"):
        passed.replay(1)


def trained_with(optimizer: object, runs: Path) -> pellucid.Run:
    return pellucid.fit("mlp", TABLE, runs=runs, progress=False, epochs=1, optimizer=optimizer)


def test_a_run_of_version_0_1_says_what_it_has_not(tmp_path: Path) -> None:
    shutil.copytree(OLD / "folders", tmp_path / "runs")
    kept = np.load(OLD / "digits300.npz")
    run = pellucid.Run(tmp_path / "runs" / "digits-finished", dataset=pellucid.arrays(kept["X"], kept["y"]))
    made = run.replay(10)
    assert made.exact is not None
    assert any("every tenth update" in note for note in made.notes)
    assert run.replay(9).exact is None


def test_the_command_prints_and_writes_json(runs: Path, tmp_path: Path) -> None:
    rows = "\n".join(f"{a:.3f},{b:.3f},{'yes' if a > 0 else 'no'}" for a, b in draw.normal(size=(60, 2)))
    (tmp_path / "table.csv").write_text(f"a,b,label\n{rows}\n")
    pellucid.fit("mlp", str(tmp_path / "table.csv"), runs=runs, progress=False, settings=SMALL, epochs=1)
    ran = CliRunner().invoke(app, ["replay", "--runs", str(runs), "--step", "3", "--json"])
    assert ran.exit_code == 0, ran.output
    made = json.loads(ran.stdout)
    assert made["exact"] is True
    assert made["step"] == 3
    assert made["rows"][0]["target"] in ("yes", "no")
    shown = CliRunner().invoke(app, ["replay", "--runs", str(runs)])
    assert "equal to the recorded loss to the bit" in shown.output


def test_refused_steps_are_named_in_words_that_hold_in_python_too(runs: Path) -> None:
    run = trained("mlp", runs, epochs=1)
    for refused in (lambda: run.replay(999), lambda: run.look(step=999)):
        with pytest.raises(PellucidError) as error:
            refused()
        assert "step" in error.value.remedy
        assert "--" not in error.value.remedy
