"""Execution modes compute the same step, and the fastest is chosen by measurement."""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import pellucid
from pellucid.config import TrainConfig
from pellucid.errors import ModelError, UnknownNameError
from pellucid.models import BUILDERS
from pellucid.record import files
from pellucid.tasks.classification.objective import classification
from pellucid.train import autotune as tuning
from pellucid.train import trial
from pellucid.train.autotune import autotune, check_mode
from pellucid.train.compiled import CompiledUpdate, Programs, make_update
from pellucid.train.execution import EXECUTION_MODES, ExecutionMode, StepLoss
from pellucid.train.objective import Phase
from pellucid.train.trainer import Trainer
from tests.train.conftest import compiles

CPU = torch.device("cpu")
INPUTS = {"cnn": torch.rand(8, 1, 12, 12), "vit": torch.rand(8, 1, 12, 12), "mlp": torch.rand(8, 6)}
LABELS = torch.arange(8) % 3


def network(name: str, **options: object) -> nn.Module:
    torch.manual_seed(0)
    return BUILDERS[name](INPUTS[name].shape[1:], 3, size="tiny", **options)


def cross_entropy(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def backward_of(
    mode: ExecutionMode, model: nn.Module, loss: StepLoss = cross_entropy
) -> Callable[..., torch.Tensor]:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    return make_update(model, Phase("train", loss), optimizer, mode, CPU).backward


def gradients(path: ExecutionMode, model: nn.Module, name: str, times: int = 1) -> dict[str, torch.Tensor]:
    model = path.place_model(copy.deepcopy(model), CPU)
    backward = backward_of(path, model)
    for _ in range(times):
        backward((*path.place_batch((INPUTS[name], LABELS), CPU),), times)
    return {key: value.grad for key, value in model.named_parameters() if value.grad is not None}


@pytest.mark.parametrize("name", ["cnn", "vit"])
@pytest.mark.parametrize(
    "path", [path for path in EXECUTION_MODES.values() if not path.compiled], ids=lambda p: p.name
)
def test_gradients_of_every_mode_equal_those_of_float32(path: ExecutionMode, name: str) -> None:
    model = network(name, dropout=0.0)
    wanted, found = gradients(ExecutionMode(), model, name), gradients(path, model, name)
    near = {"rtol": 0.2, "atol": 0.02} if path.bf16 else {"rtol": 1e-3, "atol": 1e-5}
    assert found.keys() == wanted.keys()
    for key in wanted:
        torch.testing.assert_close(found[key], wanted[key], **near)


@compiles
def test_gradients_of_compiled_modes_equal_eager_ones() -> None:
    model = network("mlp", dropout=0.0)
    model.add_module("unused", nn.Linear(2, 2))
    compiled = ExecutionMode(compiled=True)
    for times in (1, 2):
        wanted, found = (
            gradients(ExecutionMode(), model, "mlp", times),
            gradients(compiled, model, "mlp", times),
        )
        assert found.keys() == wanted.keys()
        for key in wanted:
            torch.testing.assert_close(found[key], wanted[key], rtol=1e-4, atol=1e-6)


@compiles
def test_compiled_mode_leaves_frozen_weights_unchanged() -> None:
    model = network("mlp")
    first = next(model.parameters())
    first.requires_grad_(False)
    found = gradients(ExecutionMode(compiled=True), model, "mlp")
    assert len(found) == len(list(model.parameters())) - 1


@compiles
def test_weights_with_equal_gradients_do_not_share_one() -> None:
    """Clipping changes gradients in place, and would do it twice."""

    class TwoBiases(nn.Linear):
        def __init__(self) -> None:
            super().__init__(6, 3)
            self.other = nn.Parameter(torch.zeros(3))

        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input) + self.other

    model = TwoBiases()
    backward_of(ExecutionMode(compiled=True), model)((INPUTS["mlp"], LABELS), 1)
    first, second = model.bias.grad, model.other.grad
    assert first is not None
    assert second is not None
    assert torch.equal(first, second)
    assert first.data_ptr() != second.data_ptr()


@compiles
def test_compile_errors_say_what_to_try() -> None:
    def loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        value = cross_entropy(model, batch)
        return value if value.item() > 0 else -value

    model = network("mlp")
    programs = Programs(model, loss, list(model.parameters()))
    with pytest.raises(ModelError, match=r"'train\.execution': 'auto'"):
        programs.backward((INPUTS["mlp"], LABELS), 1)


@compiles
def test_uncompilable_models_run_eagerly_with_the_reason() -> None:
    def loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        value = cross_entropy(model, batch)
        return value if value.item() > 0 else -value

    found = {}
    for mode in (ExecutionMode(), ExecutionMode(compiled=True)):
        model = network("mlp", dropout=0.0)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        update = make_update(model, Phase("train", loss), optimizer, mode, CPU)
        update([(INPUTS["mlp"], LABELS)])
        found[mode.name] = (update, [parameter.grad for parameter in model.parameters()])
    (_, plain), (compiled, other) = found["eager"], found["compiled"]
    assert isinstance(compiled, CompiledUpdate)
    assert "cannot be compiled here" in compiled.refused
    for one, two in zip(plain, other, strict=True):
        torch.testing.assert_close(one, two)


def test_mode_names_describe_what_they_do() -> None:
    assert EXECUTION_MODES["eager"] == ExecutionMode()
    assert EXECUTION_MODES["bf16_channels_last"] == ExecutionMode(bf16=True, channels_last=True)
    assert EXECUTION_MODES["bf16_math_compiled"] == ExecutionMode(bf16=True, math=True, compiled=True)
    assert all(name == path.name for name, path in EXECUTION_MODES.items())


def test_gradients_have_the_memory_layout_of_the_images() -> None:
    """From the layer that makes images to the one that reads rows, no kernel meets two layouts."""
    path, grads = ExecutionMode(channels_last=True), []
    convolve = nn.Conv2d(4, 4, 3, padding=1)
    model = nn.Sequential(
        nn.Linear(6, 4 * 25),
        nn.Unflatten(1, (4, 5, 5)),
        nn.ReLU(),
        convolve,
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(100, 3),
    )
    for layer in (model[2], model[3]):
        layer.register_full_backward_hook(lambda _, given, made: grads.extend([*given, *made]))
    gradients_of = backward_of(path, path.place_model(model, CPU))
    gradients_of((INPUTS["mlp"], LABELS), 1)
    assert len(grads) == 4
    assert all(grad.is_contiguous(memory_format=torch.channels_last) for grad in grads)


def test_math_attention_avoids_the_fused_kernel() -> None:
    query = torch.randn(1, 2, 4, 8, requires_grad=True)
    kinds = []
    for path in (ExecutionMode(), ExecutionMode(math=True)):
        with path.computing(CPU):
            kinds.append(str(F.scaled_dot_product_attention(query, query, query).grad_fn))
    assert "Flash" in kinds[0]
    assert "Flash" not in kinds[1]


# ---- choosing ----------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PELLUCID_CACHE", str(tmp_path))
    monkeypatch.setattr(tuning, "BUDGET", 0.05)
    monkeypatch.setattr(tuning, "bf16_refused", lambda device: "")


def tuned(name: str, wanted: str = "auto", **options: int) -> tuning.Tuned:
    return autotune(wanted, network(name), (INPUTS[name], LABELS), cross_entropy, CPU, **options)


@pytest.mark.usefixtures("quick")
def test_only_modes_that_can_help_are_measured() -> None:
    assert "channels_last" in tuned("cnn").execution.reason
    assert "math" not in tuned("cnn").execution.reason
    assert "math" in tuned("vit").execution.reason
    assert "channels_last" not in tuned("mlp").execution.reason
    assert "compil" not in tuned("mlp").execution.reason


@pytest.mark.usefixtures("quick")
def test_choosing_leaves_model_threads_and_random_state_unchanged() -> None:
    model = network("mlp")
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    autotune("auto", model, (INPUTS["mlp"], LABELS), cross_entropy, CPU)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.usefixtures("quick")
def test_a_choice_is_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    first = tuned("mlp")
    monkeypatch.setattr(tuning, "_measure", None)
    assert tuned("mlp") == first
    assert tuned("mlp", "bf16").execution == tuning.Choice("bf16", "asked for")
    with pytest.raises(UnknownNameError, match="bf16_channels_last"):
        tuned("mlp", "bf16_chanels_last")


@pytest.mark.parametrize("threads", [10**6, 0, "2", None])
@pytest.mark.usefixtures("quick")
def test_a_junk_choice_is_made_anew(threads: object) -> None:
    first = tuned("mlp")
    (file,) = (files.cache_folder() / "execution").iterdir()
    kept = json.loads(file.read_text())
    file.write_text(json.dumps(kept | {"threads": {"value": threads, "reason": "junk"}}))
    again = tuned("mlp")
    assert again.threads.value in range(1, torch.get_num_threads() + 1)
    assert "junk" not in again.threads.reason
    assert first.execution.value


@compiles
@pytest.mark.usefixtures("quick")
def test_compiling_is_tried_for_long_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "COMPILING", (0.0, 0.0))
    assert "compiling the update was tried" in tuned("mlp", steps=1000).execution.reason


@pytest.mark.usefixtures("quick")
def test_compiling_is_not_tried_if_it_would_take_longer_than_it_saves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tuning, "COMPILING", (1e-3, 0.0))  # long enough to be considered
    tuning._remember(tuning._compiling_key(), {"pace": 1e9})  # bounded, since a file may hold anything
    reason = tuned("mlp", steps=20).execution.reason
    assert "to take 0 s, so it was not tried" in reason


@compiles
@pytest.mark.usefixtures("quick")
def test_the_time_of_compiling_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "COMPILING", (1e-3, 0.0))
    monkeypatch.setattr(tuning, "WORTH", 0.0)
    before = tuning._seconds_of_compiling(network("mlp"))
    assert "was tried" in tuned("mlp", steps=10**6).execution.reason
    assert tuning._seconds_of_compiling(network("mlp")) == pytest.approx(10 * before)  # seconds, not 1 ms


@compiles
@pytest.mark.usefixtures("quick")
def test_programs_are_kept_by_processor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Inductor's cache takes a program for AVX-512 to be one for AVX2, where it computes garbage."""
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    backward_of(ExecutionMode(compiled=True), network("mlp"))((INPUTS["mlp"], LABELS), 1)
    (folder,) = (tmp_path / "programs").iterdir()
    assert torch.backends.cpu.get_cpu_capability().split()[0] in folder.name
    assert os.environ.get("TORCHINDUCTOR_CACHE_DIR") != str(folder)


@compiles
@pytest.mark.usefixtures("quick")
def test_a_program_that_moves_the_weights_elsewhere_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its loss is right, but what it does to the weights is not."""

    class Wrong(CompiledUpdate):
        def __call__(self, batches: Any) -> torch.Tensor:
            loss = super().__call__(batches)
            with torch.no_grad():
                for parameter in self.parameters:
                    parameter.mul_(100)
            return loss

    monkeypatch.setattr(tuning, "COMPILING", (0.0, 0.0))
    monkeypatch.setattr("pellucid.train.compiled.CompiledUpdate", Wrong)
    options = {"steps": 1000, "make_optimizer": lambda weights: torch.optim.SGD(weights, 0.1)}
    choice = autotune(
        "auto", network("mlp"), (INPUTS["mlp"], LABELS), cross_entropy, CPU, **options
    ).execution
    assert choice.value == "eager"
    assert "compiled left out: another loss" in choice.reason


def test_an_imitated_type_is_left_out_after_one_product(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PELLUCID_CACHE", str(tmp_path))
    monkeypatch.setattr(tuning, "BUDGET", 0.05)
    monkeypatch.setattr(
        trial, "_product", lambda kind, device: lambda: 5e-3 if kind == torch.bfloat16 else 1e-3
    )
    trial.bf16_refused.cache_clear()
    reason = tuned("cnn").execution.reason
    trial.bf16_refused.cache_clear()
    assert "bf16, bf16_channels_last left out: a small product takes 5.00 ms, in float32 1.00" in reason


def test_a_burst_of_other_work_does_not_decide() -> None:
    """Whole rounds are disturbed at first, and single steps later."""
    quick, slow = (1e-3 * factor for factor in (1, 1.3))
    disturbed = iter([(20, 1), (20, 30), (9, 1), (1, 9), (7, 7), (1, 5), (6, 1), (1, 1), (1, 1)])
    rounds: list[tuple[int, int]] = []

    def first() -> float:
        rounds.append(next(disturbed))
        time.sleep(2e-3)
        return quick * rounds[-1][0]

    found = trial.take_turns([first, lambda: slow * rounds[-1][1]], budget=8e-3)
    assert found == pytest.approx([quick, slow])
    assert 4 < len(rounds) < 9


@compiles
@pytest.mark.usefixtures("quick")
def test_failed_compilation_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "COMPILING", (0.0, 0.0))

    def loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        value = cross_entropy(model, batch)
        return value if value.item() > 0 else -value

    choice = autotune("auto", network("mlp"), (INPUTS["mlp"], LABELS), loss, CPU, steps=1000).execution
    assert "compiling failed" in choice.reason
    assert "compiled" not in choice.value


@pytest.mark.usefixtures("quick")
def test_a_mode_that_changes_the_loss_is_rejected() -> None:
    class Coarse(nn.Linear):
        """Computes something else in lower precision."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            made = super().forward(x)
            return made if made.dtype == torch.float32 else made * 100

    torch.manual_seed(0)
    choice = autotune("auto", Coarse(6, 3), (INPUTS["mlp"], LABELS), cross_entropy, CPU).execution
    assert "bf16 left out: another loss" in choice.reason


@compiles
def test_compiled_training_run_equals_the_eager_one() -> None:
    batches = [(INPUTS["mlp"], LABELS)] * 20
    losses = []
    for path in ("eager", "compiled"):
        config = TrainConfig(epochs=1, device="cpu", execution=path)
        model = network("mlp", dropout=0.0)
        trainer = Trainer(model, classification(), lambda p: torch.optim.SGD(p, 0.1), config)
        trainer.fit(batches)
        losses.append(trainer.measures["train/loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


class NoBf16(nn.Module):
    """Stands for a layer whose bfloat16 kernel this machine lacks, as an LSTM's on a CPU with AVX2 only."""

    def __init__(self, in_training: bool) -> None:
        super().__init__()
        self.out, self.in_training = nn.Linear(6, 3), in_training

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.is_autocast_enabled("cpu") and self.training == self.in_training:
            raise RuntimeError("could not create a primitive descriptor for an LSTM")
        return self.out(x)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("in_training", [True, False])
def test_modes_that_cannot_run_here_are_left_out_with_the_reason(in_training: bool) -> None:
    choice = autotune("auto", NoBf16(in_training), (INPUTS["mlp"], LABELS), cross_entropy, CPU).execution
    assert choice.value == "eager"
    assert (
        "bf16 left out: it cannot run here (could not create a primitive descriptor for an LSTM)"
        in choice.reason
    )


@pytest.mark.parametrize("name", ["bf16", "bf16_compiled"])
@pytest.mark.parametrize("in_training", [True, False])
def test_a_requested_mode_that_cannot_run_is_refused(in_training: bool, name: str) -> None:
    with pytest.raises(ModelError, match=rf"train.execution={name} does not compute this model.*LSTM"):
        check_mode(name, NoBf16(in_training), (INPUTS["mlp"], LABELS), cross_entropy, CPU)


@pytest.mark.parametrize("name", ["channels_last", "channels_last_compiled"])
def test_a_refused_mode_leaves_no_run_behind(tmp_path: Path, name: str) -> None:
    videos = nn.Sequential(nn.Conv3d(1, 2, 3), nn.Flatten(), nn.Linear(16, 3))
    batches = [(torch.rand(4, 1, 4, 4, 4), torch.tensor([0, 1, 2, 0]))]
    with pytest.raises(ModelError, match=f"train.execution={name} does not compute this model"):
        pellucid.fit(videos, batches, loss=F.cross_entropy, runs=tmp_path, execution=name, progress=False)
    assert list(tmp_path.iterdir()) == []


class Counted(nn.Linear):
    """A model that changes a number in every step, and so cannot be compiled."""

    seen = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += 1
        return super().forward(x)


def test_an_update_that_is_not_compiled_is_recorded_even_if_the_run_is_interrupted(tmp_path: Path) -> None:
    class Interrupt(pellucid.Callback):
        needs = frozenset()

        def on_step_end(self, trainer: Any) -> None:
            trainer.interrupt("by the test")

    run = pellucid.fit(
        Counted(6, 3),
        [(torch.rand(4, 6), torch.tensor([0, 1, 2, 0]))] * 2,
        loss=F.cross_entropy,
        runs=tmp_path,
        execution="compiled",
        callbacks=[Interrupt()],
        progress=False,
    )
    assert run.status == "interrupted"
    assert "a step changes model.seen" in " ".join(run.facts["notes"])
