"""The workloads of the comparisons: sizes, hyperparameters and the required ratio for each peer.

Only plain numbers, so that the environment of the peers, which has no Pellucid, can read them too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise


@dataclass(frozen=True)
class Workload:
    """A training workload.

    Attributes:
        name: name on the command line.
        what: description in a sentence.
        unit: unit of the speed, per second.
        data: the arrays it reads; see `data.py`.
        batch: rows per batch.
        steps: number of timed updates.
        lr: learning rate of Adam.
        against: peer -> required ratio of speeds, ours / theirs.
        flops: operations of the forward and backward pass of a row.
        per_row: units per row, e.g. tokens in a window.
    """

    name: str
    what: str
    unit: str
    data: str
    batch: int
    steps: int
    lr: float
    against: dict[str, float] = field(default_factory=dict)
    flops: float = 0.0
    per_row: int = 1

    def must(self, peer: str, instructions: str) -> float:
        """Return the required ratio of speeds against a peer on a kind of processor, 0 for none."""
        return AVX2.get((self.name, peer), 0.0) if instructions == "AVX2" else self.against.get(peer, 0.0)


AVX2 = {
    ("mlp", "plain"): 1.6,
    ("mlp", "keras_jax"): 1.0,
    ("mlp512", "plain"): 2.0,
    ("mlp512", "keras_jax"): 1.0,
    ("mlp512", "scan"): 1.0,
    ("cnn", "plain"): 2.0,
    ("cnn", "keras_jax"): 1.0,
    ("lstm", "plain"): 1.5,
    ("lstm", "keras_jax"): 1.0,
    ("gpt", "plain"): 1.5,
    ("dcgan", "plain"): 1.3,
    ("vit", "plain"): 1.3,
}
"""Required ratios on processors without AVX-512, where matrix products are a larger share of every step."""


def dense(*widths: int) -> float:
    """Return the operations of a row through linear layers: two per weight forward, four backward."""
    return 6.0 * sum(a * b for a, b in pairwise(widths))


def convolution(side: int, inputs: int, outputs: int, kernel: int = 3) -> float:
    """Return the operations of an image through a convolution with side x side outputs."""
    return 6.0 * side * side * inputs * outputs * kernel * kernel


MLP = (784, 128, 64, 10)
CNN = convolution(28, 1, 32) + convolution(14, 32, 64) + dense(7 * 7 * 64, 128, 10)
GPT = {"layers": 4, "heads": 4, "width": 128, "context": 64, "vocabulary": 70}
VIT = {"layers": 6, "heads": 4, "width": 128, "patch": 4}
GAN = {"width": 64, "latent": 100}
LSTM = {"vocabulary": 20_000, "width": 64, "hidden": 64, "longest": 400}

_WORKLOADS = [
    Workload(
        "mlp",
        "MLP 784-128-64-10 on MNIST, Adam, batch 32",
        "steps",
        "mnist",
        batch=32,
        steps=1687,
        lr=1e-3,
        against={
            "keras_jax": 1.0,
            "lightning": 5.0,
            "plain": 1.6,
            "skorch": 0.0,
            "keras_torch": 0.0,
            "scan": 0.0,
        },
        flops=dense(*MLP),
    ),
    Workload(
        "mlp512",
        "the same, batch 512",
        "steps",
        "mnist",
        batch=512,
        steps=105,
        lr=1e-3,
        against={"plain": 2.0, "keras_jax": 0.0, "scan": 0.0},
        flops=dense(*MLP),
    ),
    Workload(
        "cnn",
        "CNN 32-64-fc128 on MNIST, batch 128",
        "images",
        "mnist",
        batch=128,
        steps=60,
        lr=1e-3,
        against={"plain": 2.0, "keras_jax": 3.0},
        flops=CNN,
    ),
    Workload(
        "lstm",
        "bidirectional LSTM on reviews of IMDB as long as they are, up to 400 words, batch 64",
        "reviews",
        "imdb",
        batch=64,
        steps=100,
        lr=1e-3,
        against={"plain": 1.5, "keras_jax": 2.0},
    ),
    Workload(
        "gpt",
        "GPT of characters: 4 layers, 4 heads, 128 wide, context 64, batch 12",
        "tokens",
        "shakespeare",
        batch=12,
        steps=200,
        lr=1e-3,
        against={"plain": 1.5},
        flops=6.0 * 64 * (4 * 12 * 128 * 128 + 4 * 2 * 64 * 128 + 70 * 128),
        per_row=64,
    ),
    Workload(
        "dcgan",
        "DCGAN on MNIST, 64 and 128 feature maps, batch 128",
        "images",
        "mnist",
        batch=128,
        steps=30,
        lr=2e-4,
        against={"plain": 1.5},
    ),
    Workload(
        "vit",
        "Vision Transformer on Fashion-MNIST, 6 layers, 128 wide, patches of 4, batch 128",
        "images",
        "fashion",
        batch=128,
        steps=20,
        lr=1e-3,
        against={"plain": 1.5},
        flops=6.0 * 50 * (6 * 12 * 128 * 128 + 6 * 2 * 50 * 128 + 16 * 128),
    ),
]
WORKLOADS = {workload.name: workload for workload in _WORKLOADS}
