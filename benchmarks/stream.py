"""Train an epoch on a table that is larger than memory, and measure speed and memory.

    .venv/bin/python benchmarks/stream.py --gigabytes 20 --folder /tmp

Writes rows of 4,096 random numbers and a class as an Arrow file, maps it, and trains an MLP on all of it.
Before and after that it trains on the first rows held in memory, as many as fit into `--slice` gigabytes; all
in rows per second. Memory is the resident memory of this process and its workers (including their pages of
the file), measured every second; it is flat if the second half of the epoch needs at most 10 % more than the
first.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import torch

from pellucid.config import TrainConfig
from pellucid.data.batches import Batches, MemoryRows, Rows, rows
from pellucid.data.dataset import Column, Dataset, Source
from pellucid.data.preprocess import Preprocess
from pellucid.models import mlp
from pellucid.tasks.classification.objective import classification
from pellucid.train.optimizers import optimizer
from pellucid.train.trainer import Trainer

FEATURES, CLASSES, CHUNK, BATCH = 4096, 10, 4096, 256
"""Numbers per row; rows per record batch; rows per training batch."""


def written(path: Path, gigabytes: float) -> pa.Table:
    """Write the file if it does not exist, and map it."""
    chunks = max(1, round(gigabytes * 1e9 / (CHUNK * FEATURES * 4)))
    random = np.random.default_rng(0)
    directions = random.standard_normal((FEATURES, CLASSES), np.float32)
    kind = pa.fixed_shape_tensor(pa.float32(), [FEATURES])
    fields = pa.schema([("x", kind), ("y", pa.int64())])
    if not path.exists():
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, fields) as writer:
            for _ in range(chunks):
                x = random.standard_normal((CHUNK, FEATURES), np.float32)
                y = (x @ directions).argmax(1)
                rows = pa.FixedShapeTensorArray.from_numpy_ndarray(x)
                writer.write_batch(pa.record_batch([rows, pa.array(y)], schema=fields))
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


class Watch(threading.Thread):
    """Measure the resident memory of a process and its children in MiB, once per second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: list[float] = []
        self.ended = threading.Event()

    def run(self) -> None:
        me = psutil.Process()
        while not self.ended.wait(1.0):
            total = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.seen.append(total / 2**20)


def trained(source: Rows) -> float:
    """Return the rows per second of an epoch."""
    torch.manual_seed(0)
    model = mlp((FEATURES,), CLASSES, hidden=(512, 256))
    config = TrainConfig(epochs=1, device="cpu", execution="bf16")
    trainer = Trainer(model, classification(), partial(optimizer, "adamw", lr=1e-3), config)
    batches = Batches(source, BATCH, shuffle=True)
    began = time.perf_counter()
    trainer.fit(batches)
    return len(source) / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=20.0)
    parser.add_argument("--slice", type=float, default=1.0)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    given = parser.parse_args()
    table = written(given.folder / f"stream-{given.gigabytes:g}.arrow", given.gigabytes)
    columns = (Column("x", "tensor"), Column("y", "category", tuple(map(str, range(CLASSES)))))
    dataset = Dataset("stream", {"train": table}, columns, "y", "classification", Source("stream", "arrays"))
    began = time.perf_counter()
    preprocess = Preprocess.fit(dataset)
    fitting = time.perf_counter() - began
    some = table.slice(0, int(given.slice * 1e9 / (FEATURES * 4)))
    in_memory = MemoryRows(preprocess.inputs(some), preprocess.targets(some))
    before = trained(in_memory)
    size = len(in_memory)
    del in_memory
    watch = Watch()
    watch.start()
    streaming, _ = rows(table, preprocess, share=0.0)
    streamed = trained(streaming)
    watch.ended.set()
    half = len(watch.seen) // 2
    found = {
        "gigabytes": table.nbytes / 1e9,
        "rows": len(table),
        "fitting_seconds": fitting,
        "streamed_rows_a_second": streamed,
        "in_memory_rows_a_second": [
            before,
            trained(MemoryRows(preprocess.inputs(some), preprocess.targets(some))),
        ],
        "rows_in_memory": size,
        "mib_first_half": max(watch.seen[:half]),
        "mib_second_half": max(watch.seen[half:]),
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
