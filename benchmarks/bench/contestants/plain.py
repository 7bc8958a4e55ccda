"""PyTorch as in its tutorials: a `DataLoader` and a loop."""

from __future__ import annotations

import numpy as np
import torch
from networks import DCGAN, BiLSTM, CharGPT, ViT, cnn, mlp
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, TensorDataset
from workloads import GPT, Workload

MAKE = {"mlp": mlp, "mlp512": mlp, "cnn": cnn, "lstm": BiLSTM, "gpt": CharGPT, "dcgan": DCGAN, "vit": ViT}
BETAS = {"dcgan": (0.5, 0.999)}
"""Options of Adam that differ from the defaults."""


class Side:
    """The training loop; workloads differ in `losses` and `batches`."""

    def __init__(self, workload: Workload, arrays: dict[str, np.ndarray]):
        self.workload = workload
        self.rows = examples(workload, arrays)
        self.held_out = examples(workload, {k[5:]: v for k, v in arrays.items() if k.startswith("test_")})

    def prepare(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.model = MAKE[self.workload.name]()
        parts = [self.model.discriminator, self.model.generator] if self.adversarial else [self.model]
        options = {"lr": self.workload.lr, "betas": BETAS.get(self.workload.name, (0.9, 0.999))}
        self.optimizers = [torch.optim.Adam(part.parameters(), **options) for part in parts]

    def train(self) -> None:
        done = 0
        while True:
            for inputs, targets in self.loader(self.rows, shuffle=True):
                if done == self.workload.steps:
                    return
                if self.adversarial:
                    self.play(inputs)
                else:
                    (optimizer,) = self.optimizers
                    optimizer.zero_grad()
                    loss = cross_entropy(self.model(inputs), targets)
                    loss.backward()
                    optimizer.step()
                done += 1

    @property
    def adversarial(self) -> bool:
        return self.workload.name == "dcgan"

    def play(self, images: Tensor) -> None:
        """Update the discriminator, then the generator."""
        judge, generator = self.model.discriminator, self.model.generator
        judges, generates = self.optimizers
        made = generator(torch.randn(len(images), self.model.latent_dim))
        judges.zero_grad()
        verdict(judge(images), 1.0).backward()
        verdict(judge(made.detach()), 0.0).backward()
        judges.step()
        generates.zero_grad()
        verdict(judge(made), 1.0).backward()
        generates.step()

    def loader(self, rows, *, shuffle: bool) -> DataLoader:
        collate = padded if self.workload.name == "lstm" else None
        return DataLoader(rows, self.workload.batch, shuffle=shuffle, collate_fn=collate)

    @torch.no_grad()
    def evaluate(self) -> float:
        if self.adversarial:
            return self.evaluated()
        self.model.eval()
        losses = [
            cross_entropy(self.model(x), y).item() for x, y in self.loader(self.held_out, shuffle=False)
        ]
        return float(np.mean(losses))

    def evaluated(self) -> float:
        """Return the discriminator's loss with fixed noise."""
        images = self.held_out.tensors[0][:1000]
        noise = torch.randn(1000, self.model.latent_dim, generator=torch.Generator().manual_seed(0))
        judge, made = self.model.discriminator, self.model.generator(noise)
        return (verdict(judge(images), 1.0) + verdict(judge(made), 0.0)).item()


def verdict(logits: Tensor, wanted: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, wanted))


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten())


def examples(workload: Workload, arrays: dict[str, np.ndarray]):
    """The data set of the `DataLoader`."""
    if workload.data == "imdb":
        ends = np.cumsum(arrays["lengths"])
        words = [torch.from_numpy(part.astype(np.int64)) for part in np.split(arrays["tokens"], ends[:-1])]
        return list(zip(words, torch.from_numpy(arrays["labels"]), strict=True))
    if workload.data == "shakespeare":
        context = GPT["context"]
        tokens = torch.from_numpy(arrays["tokens"].astype(np.int64))
        windows = tokens[: (len(tokens) - 1) // context * context + 1]
        return TensorDataset(windows[:-1].view(-1, context), windows[1:].view(-1, context))
    inputs, targets = torch.from_numpy(arrays["inputs"]), torch.from_numpy(arrays["targets"])
    return TensorDataset(inputs.flatten(1) if workload.name.startswith("mlp") else inputs, targets)


def padded(rows: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    words, labels = zip(*rows, strict=True)
    return pad_sequence(list(words), batch_first=True), torch.stack(labels)
