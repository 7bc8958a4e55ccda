"""The networks of the comparisons in plain PyTorch, as a tutorial writes them.

Every PyTorch contestant trains these. Where Pellucid has the same network as a model, it trains that model,
and the number of parameters must be equal.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from workloads import GAN, GPT, LSTM, MLP, VIT


def mlp() -> nn.Module:
    a, b, c, d = MLP
    return nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Linear(b, c), nn.ReLU(), nn.Linear(c, d))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 7 * 7, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


class BiLSTM(nn.Module):
    """Max-pooling over both directions of an LSTM, on sequences padded to the longest of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(LSTM["vocabulary"], LSTM["width"], padding_idx=0)
        self.lstm = nn.LSTM(LSTM["width"], LSTM["hidden"], batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * LSTM["hidden"], 2)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden, _ = self.lstm(self.embedding(tokens))
        return self.output(hidden.max(dim=1).values)


class Block(nn.Module):
    """A pre-norm Transformer block."""

    def __init__(self, width: int, heads: int, *, causal: bool):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        batch, steps, width = x.shape
        q, k, v = (
            part.view(batch, steps, self.heads, -1).transpose(1, 2)
            for part in self.qkv(self.norm1(x)).split(width, dim=2)
        )
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.out(seen.transpose(1, 2).reshape(batch, steps, width))
        return x + self.mlp(self.norm2(x))


class CharGPT(nn.Module):
    """nanoGPT in short: learned positions, tied weights (Karpathy 2022)."""

    def __init__(self) -> None:
        super().__init__()
        vocabulary, width = GPT["vocabulary"], GPT["width"]
        self.embedding = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(GPT["context"], width)
        self.blocks = nn.Sequential(*(Block(width, GPT["heads"], causal=True) for _ in range(GPT["layers"])))
        self.norm = nn.LayerNorm(width)
        for weight in (self.embedding.weight, self.positions.weight):
            nn.init.normal_(weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens) + self.positions.weight[: tokens.shape[1]]
        return self.norm(self.blocks(x)) @ self.embedding.weight.T


class DCGAN(nn.Module):
    """The DCGAN of PyTorch's tutorial (Radford et al. 2016), for images of 28 x 28 pixels in 0..1."""

    latent_dim, conditional = GAN["latent"], False

    def __init__(self) -> None:
        super().__init__()
        width = GAN["width"]
        self.generator = nn.Sequential(
            nn.Linear(self.latent_dim, 2 * width * 49, bias=False),
            nn.Unflatten(1, (2 * width, 7, 7)),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.ConvTranspose2d(width, 1, 4, 2, 1, bias=False),
            nn.Sigmoid(),
        )
        self.discriminator = nn.Sequential(
            nn.Conv2d(1, width, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(2 * width * 49, 1),
            nn.Flatten(0),
        )
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                nn.init.normal_(layer.weight, std=0.02)


class ViT(nn.Module):
    """A ViT with a linear patch embedding, learned positions and mean pooling."""

    def __init__(self) -> None:
        super().__init__()
        width, patch = VIT["width"], VIT["patch"]
        self.stem = nn.Conv2d(1, width, patch, patch)
        self.positions = nn.Parameter(torch.randn(1, (28 // patch) ** 2, width) * 0.02)
        self.blocks = nn.Sequential(*(Block(width, VIT["heads"], causal=False) for _ in range(VIT["layers"])))
        self.norm, self.output = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images).flatten(2).transpose(1, 2) + self.positions
        return self.output(self.norm(self.blocks(x)).mean(dim=1))
