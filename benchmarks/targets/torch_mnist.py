"""PyTorch's own example for MNIST (pytorch/examples, mnist/main.py): its network, Adadelta with learning rate
1.0, batches of 64, 14 epochs, each with 0.7 times the previous rate. Images are in memory; the example
decodes them in every epoch.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from said import Clock
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

EPOCHS = 14


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
        self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)
        self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        x = self.dropout1(F.max_pool2d(x, 2)).flatten(1)
        return self.fc2(self.dropout2(F.relu(self.fc1(x)))).log_softmax(1)


def main(path: str) -> None:
    arrays = np.load(path)
    images, labels, tests, answers = (
        torch.from_numpy(arrays[name]) for name in ("images", "labels", "test_images", "test_labels")
    )
    images, tests = (((part[:, None] / 255) - 0.1307) / 0.3081 for part in (images, tests))
    torch.manual_seed(1)
    model = Net()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.7)
    loader = DataLoader(TensorDataset(images, labels), 64, shuffle=True)

    @torch.no_grad()
    def accuracy() -> float:
        model.eval()
        found = torch.cat([model(part).argmax(1) for part in tests.split(1000)])
        model.train()
        return (found == answers).double().mean().item()

    clock = Clock()
    for _ in range(EPOCHS):
        for inputs, targets in loader:
            optimizer.zero_grad()
            F.nll_loss(model(inputs), targets).backward()
            optimizer.step()
        schedule.step()
        clock.measured(accuracy)


if __name__ == "__main__":
    main(sys.argv[3])
