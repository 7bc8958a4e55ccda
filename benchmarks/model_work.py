"""What training a model takes per pixel, token or row, in multiply-adds of a large matrix product.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/model_work.py

Times forward, backward and an update of every size of the models that are suggested, next to a matrix
product, and prints the thousands of multiply-adds that take as long: the table `WORK` of
`pellucid/data/model_size.py`.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from pellucid import models
from pellucid.data.model_size import matmul_speed

SIDE, BATCH, TOKENS, VOCABULARY = 64, 16, 64, 1000
PIXELS = (torch.rand(BATCH, 1, SIDE, SIDE), SIDE * SIDE * BATCH)
WORDS = (torch.randint(0, VOCABULARY, (BATCH, TOKENS)), TOKENS * BATCH)
NUMBERS = (torch.rand(256, 10), 256)


def _image(name: str, **options: Any) -> Callable[[str], tuple[nn.Module, Callable[[nn.Module], Any], int]]:
    def made(size: str) -> tuple[nn.Module, Callable[[nn.Module], Any], int]:
        model = models.find(name)((1, SIDE, SIDE), SIDE * SIDE, size=size, **options)
        return model, lambda module: module(PIXELS[0]), PIXELS[1]

    return made


def _gan(size: str) -> tuple[nn.Module, Callable[[nn.Module], Any], int]:
    model: Any = models.find("dcgan")((1, SIDE, SIDE), 1, size=size)

    def both(module: Any) -> torch.Tensor:
        drawn = module.generator(torch.randn(BATCH, 64))
        return module.discriminator(drawn).sum() + module.discriminator(PIXELS[0]).sum()

    return model, both, PIXELS[1]


def _text(name: str, outputs: int, **options: Any) -> Any:
    def made(size: str) -> tuple[nn.Module, Callable[[nn.Module], Any], int]:
        build = models.find(name)
        if "vocab_size" in inspect.signature(build).parameters:
            options["vocab_size"] = VOCABULARY
        model = build((TOKENS,), outputs, size=size, **options)
        return model, lambda module: module(WORDS[0]), WORDS[1]

    return made


def _pairs(size: str) -> tuple[nn.Module, Callable[[nn.Module], Any], int]:
    model = models.find("seq2seq")(
        (TOKENS,), VOCABULARY, size=size, vocab_size=VOCABULARY, max_target_len=TOKENS
    )
    return model, lambda module: module(WORDS[0], WORDS[0]), 2 * WORDS[1]


def _table(size: str) -> tuple[nn.Module, Callable[[nn.Module], Any], int]:
    return models.find("tabm")((10,), 3, size=size), lambda module: module(NUMBERS[0]), NUMBERS[1]


MODELS: dict[str, Any] = {
    "cnn": _image("cnn"),
    "autoencoder": _image("autoencoder"),
    "vae": _image("vae"),
    "unet": _image("unet"),
    "padim": _image("padim"),
    "siamese": _image("siamese"),
    "dcgan": _gan,
    "gpt": _text("gpt", VOCABULARY),
    "bert": _text("bert", VOCABULARY),
    "lstm": _text("lstm", 10, pooling="none"),
    "phrase_lm": _text("phrase_lm", VOCABULARY),
    "seq2seq": _pairs,
    "tabm": _table,
}


def update_seconds(model: nn.Module, forward: Callable[[nn.Module], Any], repeats: int = 3) -> float:
    """Return the mean seconds of forward, backward and update, after the first."""
    optimizer, began = torch.optim.AdamW(model.parameters()), 0.0
    for number in range(repeats + 1):
        if number == 1:
            began = time.perf_counter()
        loss = torch.stack([part.float().mean() for part in tensors(forward(model))]).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return (time.perf_counter() - began) / repeats


def tensors(outputs: Any) -> list[torch.Tensor]:
    """Return all tensors of floating point of an output that can be differentiated."""
    found = torch.utils._pytree.tree_leaves(outputs)
    return [leaf for leaf in found if isinstance(leaf, torch.Tensor) and leaf.requires_grad]


def main() -> None:
    for name, make in MODELS.items():
        work = {}
        for size in ("tiny", "small", "base"):
            model, forward, units = make(size)
            before = matmul_speed()
            seconds = update_seconds(model, forward)
            speed = (before + matmul_speed()) / 2
            work[size] = float(f"{seconds / units * speed / 1000:.2g}")
        print(f'    "{name}": {tuple(work.values())},', flush=True)


if __name__ == "__main__":
    main()
