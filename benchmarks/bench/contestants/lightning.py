"""PyTorch Lightning: a `LightningModule` and its `Trainer` without logger, checkpoints and progress bar."""

from __future__ import annotations

import lightning as L
import torch

from contestants import plain


class Module(L.LightningModule):
    def __init__(self, model: torch.nn.Module, lr: float):
        super().__init__()
        self.model, self.lr = model, lr

    def training_step(self, batch, _):
        inputs, targets = batch
        return plain.cross_entropy(self.model(inputs), targets)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class Side(plain.Side):
    def prepare(self, seed: int) -> None:
        super().prepare(seed)
        self.trainer = L.Trainer(
            accelerator="cpu",
            max_steps=self.workload.steps,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    def train(self) -> None:
        module = Module(self.model, self.workload.lr)
        self.trainer.fit(module, self.loader(self.rows, shuffle=True))
