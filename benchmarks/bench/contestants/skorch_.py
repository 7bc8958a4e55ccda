"""skorch: a `NeuralNetClassifier` and `fit`."""

from __future__ import annotations

import skorch
import torch

from contestants import plain


class Side(plain.Side):
    def prepare(self, seed: int) -> None:
        super().prepare(seed)
        rows = self.workload.batch * self.workload.steps
        self.x, self.y = (tensor[:rows] for tensor in self.rows.tensors)
        self.net = skorch.NeuralNetClassifier(
            self.model,
            criterion=torch.nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            lr=self.workload.lr,
            batch_size=self.workload.batch,
            max_epochs=1,
            train_split=None,
            iterator_train__shuffle=True,
            verbose=0,
        ).initialize()

    def train(self) -> None:
        self.net.partial_fit(self.x, self.y)
        self.model = self.net.module_
