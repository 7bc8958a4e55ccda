"""Compare the speed of Pellucid with its peers: pairs of training runs in separate processes, as a ratio.

    make bench                                 every workload; rewrites benchmarks/RESULTS.md and results.json
    make bench WORKLOAD=mlp                    one workload; the rows of the others do not change
    .venv/bin/python benchmarks/bench --workload mlp --peer plain --pairs 7
    .venv/bin/python benchmarks/bench --workload mlp --before ../earlier     this version against another
    checkout
    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 make bench     as if the
    processor had no AVX-512; results of both kinds are kept

Pellucid and one peer train the same network on the same rows for the same number of updates, A B A B, after
one warm-up run each; while one trains, the other sleeps. Each pair has its own seed. Both then measure their
loss on held-out rows: if the losses differ by more than the noise of seeds, the speed does not count. Peers
that are not PyTorch loops have their own environment, `.venv-peers`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import torch
from data import write
from page import keep
from peak import peaks
from workloads import WORKLOADS, Workload

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
OURS = "ours"
PEERS = {
    "plain": ("plain", ".venv", {}),
    "lightning": ("lightning", ".venv-peers", {}),
    "skorch": ("skorch_", ".venv-peers", {}),
    "keras_jax": ("keras_", ".venv-peers", {"KERAS_BACKEND": "jax"}),
    "keras_torch": ("keras_", ".venv-peers", {"KERAS_BACKEND": "torch"}),
    "scan": ("scan", ".venv-peers", {}),
}
"""By name: the module in `contestants`, its environment, and the environment variables it needs."""
LIMITS = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS")
"""Environment variables by which a processor plays one with fewer instructions."""
NOISE = 3.0
"""Largest difference of the mean losses, in standard deviations between seeds."""


@dataclass(frozen=True)
class Comparison:
    """The result of one peer on one workload.

    Attributes:
        ratios: speed of Pellucid divided by that of the peer, for each pair.
        ours, theirs: median units per second.
        our_loss, their_loss: mean loss on held-out rows.
        alike: whether the losses are equal within the noise of seeds.
        must: the required ratio; 0 for none.
        path: the execution mode of Pellucid.
    """

    workload: str
    peer: str
    ratios: list[float]
    ours: float
    theirs: float
    our_loss: float
    their_loss: float
    alike: bool
    must: float
    gflops: float
    path: str

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)


class Ended(Exception):
    """A contestant ended early; the message is the end of its output."""


class Process:
    """A contestant on a workload in its own process, which ends with the `with` block.

    Raises:
        Ended: it could not start.
    """

    def __init__(self, contestant: str, workload: Workload, arrays: Path, root: Path = ROOT):
        module, environment, variables = PEERS.get(contestant, (contestant, ".venv", {}))
        python = ROOT / environment / "bin" / "python"
        with contextlib.ExitStack() as stack:
            self.log = stack.enter_context(tempfile.TemporaryFile("w+"))
            self.process = stack.enter_context(
                subprocess.Popen(
                    [str(python), str(root / "benchmarks/bench/side.py"), module, workload.name, str(arrays)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self.log,
                    text=True,
                    env=os.environ | variables | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(root)},
                )
            )
            self._answer()
            self.end = stack.pop_all().close

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def train(self, seed: int) -> dict[str, Any]:
        assert self.process.stdin is not None
        print(seed, file=self.process.stdin, flush=True)
        return self._answer()

    def said(self) -> str:
        """Return the output of the process so far."""
        self.log.seek(0)
        return self.log.read()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise Ended(self.said()[-2000:])
        return json.loads(line)


def compare(
    workload: Workload, peer: str, arrays: Path, pairs: int, before: Path | None = None
) -> Comparison:
    """Train alternately, after a warm-up pair. With `before`, the peer is that checkout of Pellucid."""
    other = (peer, ROOT) if before is None else (OURS, before)
    with (
        Process(OURS, workload, arrays) as ours_at_work,
        Process(other[0], workload, arrays, other[1]) as theirs_at_work,
    ):
        sides = [ours_at_work, theirs_at_work]
        results: dict[Process, list[dict[str, Any]]] = {side: [] for side in sides}
        for pair in range(pairs + 1):
            for side in sides if pair % 2 else sides[::-1]:
                results[side].append(side.train(seed=pair))
        path = [line for line in ours_at_work.said().splitlines() if line.startswith("path ")]
    ours, theirs = (found[1:] for found in results.values())
    units = workload.steps * (1 if workload.unit == "steps" else workload.batch * workload.per_row)
    losses = [[run["loss"] for run in side] for side in (ours, theirs)]
    seconds = [statistics.median(run["seconds"] for run in side) for side in (ours, theirs)]
    return Comparison(
        workload.name,
        peer,
        [b["seconds"] / a["seconds"] for a, b in zip(ours, theirs, strict=True)],
        units / seconds[0],
        units / seconds[1],
        statistics.mean(losses[0]),
        statistics.mean(losses[1]),
        alike(*losses),
        workload.must(peer, torch.backends.cpu.get_cpu_capability()),
        workload.flops * workload.batch * workload.steps / seconds[0] / 1e9,
        path[0].removeprefix("path ") if path else "",
    )


def alike(ours: list[float], theirs: list[float]) -> bool:
    """Return whether two samples of losses could come from the same training with different seeds."""
    spread = max(statistics.stdev(ours), statistics.stdev(theirs), 0.01 * statistics.mean(theirs))
    return abs(statistics.mean(ours) - statistics.mean(theirs)) <= NOISE * spread


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workload", choices=list(WORKLOADS))
    parser.add_argument("--peer")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--before", type=Path, help="a checkout of an earlier version, instead of peers")
    given = parser.parse_args()
    if given.pairs < 2:
        parser.error(f"--pairs: expected 2 or more, so that losses have a spread; received {given.pairs}")
    with tempfile.TemporaryDirectory() as folder:
        machine = {
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "torch": torch.__version__,
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "limited": " ".join(f"{name}={os.environ[name]}" for name in LIMITS if name in os.environ),
        }
        peak = peaks()
        for workload in WORKLOADS.values():
            if given.workload not in (None, workload.name):
                continue
            arrays = write(workload.data, Path(folder))
            if given.before is not None:
                one = compare(workload, "before", arrays, given.pairs, given.before.resolve())
                print(summary(one), flush=True)
                continue
            for peer in workload.against:
                if given.peer not in (None, peer):
                    continue
                try:
                    one = compare(workload, peer, arrays, given.pairs)
                    print(summary(one), flush=True)
                    keep(ROOT / "benchmarks", asdict(one) | {"ratio": one.ratio, "peaks": peak}, machine)
                except Ended as error:
                    print(f"{workload.name:<8} {peer:<12} could not be compared: {error}", flush=True)


def summary(one: Comparison) -> str:
    unit = WORKLOADS[one.workload].unit
    return (
        f"{one.workload:<8} {one.peer:<12} {one.ratio:6.2f}x "
        f"({min(one.ratios):.2f} to {max(one.ratios):.2f})  "
        f"ours {one.ours:,.0f} {unit}/s, theirs {one.theirs:,.0f}; "
        f"loss {one.our_loss:.4f} and {one.their_loss:.4f}{'' if one.alike else ', DIFFERENT'}"
    )


if __name__ == "__main__":
    main()
