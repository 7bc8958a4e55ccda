"""Check training on a GPU, in under five minutes: `make gpu-check`.

    .venv/bin/python benchmarks/gpu_check.py
    .venv/bin/python benchmarks/gpu_check.py --device cpu      the same checks, to try the script

1. Every family takes a step and evaluates a batch in every execution mode, and trains a whole run.
2. A run that was interrupted and resumed ends with the same weights, bit for bit, as one that was not.
3. The memory of the GPU is recorded.
4. Speed beside a plain loop: MLP, CNN and GPT with the mode that the autotuner chooses, compiled included.
5. What the plain update of the MLP would gain as a CUDA graph.

Prints a line per check, and a JSON object. Exit code 1 if one of the first three fails.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid import runner
from pellucid.models import BUILDERS
from pellucid.record import Run
from pellucid.runner import components
from pellucid.runner.families import FAMILIES, small_problem, try_family
from pellucid.train.autotune import autotune
from pellucid.train.callbacks import SignalHandler
from pellucid.train.compiled import make_update
from pellucid.train.execution import execution_mode
from pellucid.train.objective import Phase
from pellucid.train.optimizers import optimizer
from pellucid.train.trainer import Trainer
from pellucid.train.trial import take_turns

RESUMED = ("mlp", "cnn", "gpt")
STOP, STEPS = 3, 6


class StopsEarly(SignalHandler):
    """Interrupts training as Ctrl-C does."""

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.step == STOP:
            trainer.interrupt("asked to")


def families(folder: Path, device: str) -> Iterator[tuple[str, bool, str]]:
    """Check 1 and 3."""
    memory = 0.0
    for name in FAMILIES:
        modes = try_family(name, folder)
        left_out = {mode: why for mode, why in modes.items() if why}
        yield f"{name}, a step in {len(modes)} modes", not left_out, str(left_out or "")
        config, dataset = small_problem(name, folder)
        run = runner.train(config, runs=folder / "runs", dataset=dataset)
        chosen = {choice["what"]: choice["value"] for choice in run.facts["choices"]}
        fits = run.status == "finished" and chosen["device"].startswith(device)
        yield f"{name}, a run", fits, f"{chosen['device']}, {chosen['execution']}"
        memory = max([memory, *(value for _, value in run.store.series("memory/cuda_allocated_mb"))])
    if device == "cuda":
        yield "memory of the GPU", memory > 0, f"{memory:.0f} MiB"


def resumed(folder: Path) -> Iterator[tuple[str, bool, str]]:
    """Check 2."""
    for name in RESUMED:
        config, dataset = small_problem(name, folder)
        config = config.patch({"train.max_steps": STEPS, "train.epochs": STEPS})
        whole = runner.train(config, runs=folder / "whole", dataset=dataset)
        components.SignalHandler = StopsEarly
        stopped = runner.train(config, runs=folder / "parts", dataset=dataset)
        components.SignalHandler = SignalHandler
        again = runner.train(config, runs=folder / "parts", dataset=dataset, resume=runner.Resume(stopped.id))
        same = stopped.status == "interrupted" and weights(again) == weights(whole)
        yield f"{name}, resumed", same, f"{stopped.status}, then {again.status}"


def weights(run: Run) -> bytes:
    folder = run.path / "checkpoints"
    return (folder / (folder / "last").read_text().strip() / "model.safetensors").read_bytes()


def problems(device: torch.device) -> Iterator[tuple[str, nn.Module, tuple[Tensor, Tensor]]]:
    torch.manual_seed(0)
    images = torch.rand(128, 1, 28, 28), torch.randint(10, (128,))
    letters = torch.randint(1, 70, (32, 129))
    yield "mlp", BUILDERS["mlp"]((1, 28, 28), 10), images
    yield "cnn", BUILDERS["cnn"]((1, 28, 28), 10, size="base"), images
    yield "gpt", BUILDERS["gpt"]((128,), 70, size="small"), (letters[:, :-1], letters[:, 1:])


def cross_entropy(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return F.cross_entropy(model(batch[0]).flatten(0, -2), batch[1].flatten())


def speed(device: torch.device) -> Iterator[dict[str, Any]]:
    """Check 4: seconds of 20 updates, ours and those of a plain loop with Adam."""
    for name, model, batch in problems(device):
        make_optimizer = partial(optimizer, "adamw", lr=1e-3)
        tuned = autotune(
            "auto", model, batch, cross_entropy, device, steps=10**6, make_optimizer=make_optimizer
        )
        mode = execution_mode(tuned.execution.value)
        ours = mode.place_model(model, device)
        phase = Phase("train", cross_entropy)
        update = make_update(ours, phase, make_optimizer(list(ours.parameters())), mode, device)
        own = mode.place_batch(batch, device)
        plain, adam, there = plain_loop(name, device)

        def theirs(plain: Any = plain, adam: Any = adam, there: Any = there) -> Tensor:
            adam.zero_grad()
            loss = cross_entropy(plain, there)
            loss.backward()
            adam.step()
            return loss

        steps = [timed(lambda update=update, own=own: update([own])), timed(theirs)]
        for step in steps:
            step()
        first, second = take_turns(steps, 3.0)
        yield {"what": name, "ratio": round(second / first, 2), "chosen": tuned.execution.value}


def plain_loop(name: str, device: torch.device) -> tuple[nn.Module, torch.optim.Optimizer, Any]:
    model, batch = next((model, batch) for other, model, batch in problems(device) if other == name)
    model.to(device)
    there = tuple(part.to(device) for part in batch)
    return model, torch.optim.Adam(model.parameters(), lr=1e-3), there


def timed(update: Callable[[], Tensor], times: int = 20) -> Callable[[], float]:
    def measure() -> float:
        began = time.perf_counter()
        for _ in range(times - 1):
            update()
        update().item()
        return time.perf_counter() - began

    return measure


def graph(device: torch.device) -> dict[str, Any]:
    """Check 5: the update of the MLP, with its kernels started one by one and all at once."""
    model, _, batch = plain_loop("mlp", device)
    adam = torch.optim.Adam(model.parameters(), lr=1e-3, capturable=True)

    def update() -> Tensor:
        adam.zero_grad(set_to_none=True)
        loss = cross_entropy(model, batch)
        loss.backward()
        adam.step()
        return loss

    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            update()
    torch.cuda.current_stream().wait_stream(side)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        loss = update()

    def replay() -> Tensor:
        captured.replay()
        return loss

    first, second = take_turns([timed(replay), timed(update)], 3.0)
    return {"what": "mlp as a CUDA graph", "ratio": round(second / first, 2), "chosen": "not a mode yet"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    wanted = parser.parse_args().device
    if wanted == "cuda" and not torch.cuda.is_available():
        sys.exit(f"torch {torch.__version__} finds no GPU here, so nothing was checked.")
    began, results = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as folder:
        for checks in (families(Path(folder), wanted), resumed(Path(folder))):
            for name, good, words in checks:
                results.append({"check": name, "good": good, "found": words})
                print(f"{'ok' if good else 'FAILED':<7} {name}: {words}"[:200], flush=True)
    rows = list(speed(torch.device(wanted)))
    if wanted == "cuda":
        rows.append(graph(torch.device(wanted)))
    named = torch.cuda.get_device_name() if wanted == "cuda" else "CPU"
    report = {"device": named, "torch": torch.__version__, "speed, plain loop / ours": rows}
    seconds = round(time.perf_counter() - began)
    print(json.dumps({**report, "seconds": seconds, "checks": len(results)}, indent=1))
    sys.exit(0 if all(one["good"] for one in results) else 1)


if __name__ == "__main__":
    main()
