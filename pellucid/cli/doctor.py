"""`pellucid doctor`: check the installation by using it, in under half a minute."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pellucid.cli import common


def doctor(as_json: common.Json = False) -> None:
    """Check that this installation works.

    Uses the libraries, the device, the disk and the data, trains a small network that must learn, and takes a
    step of every family of networks in every way that training would compute it on this machine.
    """
    console = common.console(as_json)
    rows = []
    for name, check in checks():
        start = time.perf_counter()
        try:
            good, words = True, check()
        except Exception as error:  # report whatever is broken
            good, words = False, f"{type(error).__name__}: {error}"
        rows.append({"check": name, "good": good, "found": words, "seconds": time.perf_counter() - start})
        console.print(f"{'ok' if good else 'FAILED':<7} {name:<10} {words}")
    if as_json:
        common.print_json(rows)
    if not all(row["good"] for row in rows):
        sys.exit(1)


def checks() -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield each check by name: a function that returns what it found, or raises an error."""
    yield "python", lambda: sys.version.split()[0]
    yield "torch", _torch
    yield "device", _device
    yield "data", _data
    yield "disk", _disk
    yield "training", _training
    yield "families", _families
    yield "compiling", _compiling


def _torch() -> str:
    import torch

    product = torch.ones(64, 64) @ torch.ones(64, 64)
    if product.sum().item() != 64**3:
        raise ArithmeticError("a matrix product is wrong")
    threads = common.threads(torch.get_num_threads())
    return f"{torch.__version__}, {threads}, {torch.backends.cpu.get_cpu_capability()}"


def _device() -> str:
    from pellucid.train.device import choose_device

    device, reason = choose_device()
    return f"{device}: {reason}"


def _data() -> str:
    from pellucid.data.sources.open_source import load

    source = load("digits").source
    return f"{source.name} ({source.kind}). {source.note}".strip()


def _disk() -> str:
    import shutil

    from pellucid.record import files

    files.write(Path(".pellucid-doctor"), "written")
    Path(".pellucid-doctor").unlink()
    return f"this folder is writable, {shutil.disk_usage('.').free / 2**30:.0f} GiB free"


def _training() -> str:
    from pellucid import runner
    from pellucid.config import Config
    from pellucid.data.sources.toy import moons

    config = Config.parse(
        {"name": "doctor", "train": {"epochs": 20, "execution": "eager"}, "optimizer": {"lr": 0.01}}
    )
    with tempfile.TemporaryDirectory() as folder:
        run = runner.train(config, runs=folder, dataset=moons(n=500, seed=0))
        accuracy = run.metrics["test/accuracy"]
    if accuracy < 0.9:
        raise ArithmeticError(
            f"a small network classifies {100 * accuracy:.0f} % of two moons correctly, expected 90 % or more"
        )
    return f"a small network classifies {100 * accuracy:.0f} % of two moons correctly"


def _families() -> str:
    from pellucid.runner.families import FAMILIES, try_family

    left_out: dict[str, set[str]] = {}
    used: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        for name in FAMILIES:
            for mode, reason in try_family(name, Path(folder)).items():
                if reason:
                    left_out.setdefault(reason, set()).add(mode)
                else:
                    used.add(mode)
    words = f"{len(FAMILIES)} families took a step: {', '.join(sorted(used))}"
    return words + "".join(f"; {', '.join(sorted(modes))} left out: {why}" for why, modes in left_out.items())


def _compiling() -> str:
    import torch

    from pellucid.errors import ModelError
    from pellucid.train.compiled import compiled

    try:
        double = compiled(lambda x: (2 * x + 1,), [torch.ones(64)])
    except ModelError as error:
        return f"long runs are not compiled, which makes them slower: {error.message}"
    if not torch.equal(double(torch.ones(64))[0], torch.full((64,), 3.0)):
        raise ArithmeticError("a compiled program computes something else")
    return "long runs may be compiled"
