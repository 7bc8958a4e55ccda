"""PyTorch as its tutorials write it: a `DataLoader` and a loop."""

from __future__ import annotations

import numpy as np
import torch
from networks import BiLSTM, CharGPT, ViT, cnn, mlp
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, TensorDataset
from workloads import GPT, Workload

MAKE = {"mlp": mlp, "mlp512": mlp, "cnn": cnn, "lstm": BiLSTM, "gpt": CharGPT, "vit": ViT}


class Side:
    """The loop; `losses` and `batches` are what differs between workloads."""

    def __init__(self, workload: Workload, arrays: dict[str, np.ndarray]):
        self.workload = workload
        self.rows = examples(workload, arrays)
        self.held_out = examples(workload, {k[5:]: v for k, v in arrays.items() if k.startswith("test_")})

    def prepare(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.model = MAKE[self.workload.name]()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=self.workload.lr)

    def train(self) -> None:
        done = 0
        while True:
            for inputs, targets in self.loader(self.rows, shuffle=True):
                if done == self.workload.steps:
                    return
                self.optimizer.zero_grad()
                loss = cross_entropy(self.model(inputs), targets)
                loss.backward()
                self.optimizer.step()
                done += 1

    def loader(self, rows, *, shuffle: bool) -> DataLoader:
        collate = padded if self.workload.name == "lstm" else None
        return DataLoader(rows, self.workload.batch, shuffle=shuffle, collate_fn=collate)

    @torch.no_grad()
    def evaluate(self) -> float:
        self.model.eval()
        losses = [
            cross_entropy(self.model(x), y).item() for x, y in self.loader(self.held_out, shuffle=False)
        ]
        return float(np.mean(losses))


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten())


def examples(workload: Workload, arrays: dict[str, np.ndarray]):
    """What a `DataLoader` draws from."""
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
