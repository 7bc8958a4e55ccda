"""Healthy programs: what faults are injected into. Each exists for development and, with other data and
another size, for the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.ledger import data
from benchmarks.ledger.program import Program

Base = Callable[[int, str], Program]


def adam(lr: float = 1e-3, **options: Any) -> Callable[[nn.Module], Any]:
    """Return a maker of Adam."""
    return lambda model: torch.optim.Adam(
        [p for p in model.parameters() if p.requires_grad], lr=lr, **options
    )


def sgd(lr: float = 0.05, momentum: float = 0.9, **options: Any) -> Callable[[nn.Module], Any]:
    """Return a maker of SGD."""
    return lambda model: torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum, **options)


def accuracy(model: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    """The share of right classes."""
    return (model(inputs).argmax(-1) == targets).float().mean().item()


def explained(model: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    """R2 of a regression."""
    outputs = model(inputs)
    outputs = outputs[:, 0] if outputs.ndim > targets.ndim else outputs
    return 1 - ((outputs - targets) ** 2).mean().item() / targets.var(correction=0).item()


def mlp_images(seed: int, part: str) -> Program:
    """An MLP on digits, or on clothes."""
    inputs, targets = (
        data.digits() if part == "dev" else data.pictures("zalando-datasets/fashion_mnist", 2500, 14)
    )
    inputs = (inputs - inputs.mean()) / inputs.std()
    train, held = data.split(inputs.flatten(1), targets, seed)
    width, size = (64, 64) if part == "dev" else (196, 96)
    model = nn.Sequential(
        nn.Linear(width, size),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(size, size),
        nn.ReLU(),
        nn.Linear(size, 10),
    )
    return Program(model, nn.CrossEntropyLoss(), train, held, accuracy, adam(), epochs=8)


def mlp_table(seed: int, part: str) -> Program:
    """An MLP on a table with classes."""
    inputs, targets = data.table("breast_cancer" if part == "dev" else "wine")
    train, held = data.split(inputs, targets, seed)
    count = int(targets.max()) + 1
    model = nn.Sequential(
        nn.Linear(inputs.shape[1], 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, count)
    )
    return Program(model, nn.CrossEntropyLoss(), train, held, accuracy, sgd(0.02), batch=16, epochs=20)


def mlp_regression(seed: int, part: str) -> Program:
    """An MLP that predicts a number."""
    inputs, targets = data.table("diabetes") if part == "dev" else _ink()
    targets = (targets - targets.mean()) / targets.std()
    train, held = data.split(inputs, targets, seed)
    model = nn.Sequential(
        nn.Linear(inputs.shape[1], 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1)
    )

    def squared(outputs: Tensor, wanted: Tensor) -> Tensor:
        return F.mse_loss(outputs.squeeze(-1), wanted)

    return Program(model, squared, train, held, explained, adam(3e-3), batch=16, epochs=15)


def _ink() -> tuple[Tensor, Tensor]:
    """The left half of a digit predicts how dark its right half is."""
    pictures, _ = data.pictures("ylecun/mnist", 1500, 12)
    return data.standard(pictures[:, 0, :, :6].flatten(1)), pictures[:, 0, :, 6:].flatten(1).mean(1)


def cnn(seed: int, part: str) -> Program:
    """A small CNN."""
    name = "ylecun/mnist" if part == "dev" else "zalando-datasets/fashion_mnist"
    inputs, targets = data.pictures(name, 1500, 14)
    train, held = data.split((inputs - inputs.mean()) / inputs.std(), targets, seed)
    size = 8 if part == "dev" else 12
    model = nn.Sequential(
        nn.Conv2d(1, size, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(size, 2 * size, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(18 * size, 10),
    )  # fmt: skip
    return Program(model, nn.CrossEntropyLoss(), train, held, accuracy, adam(2e-3), epochs=6)


def cnn_norm(seed: int, part: str) -> Program:
    """A CNN with batch norm and SGD."""
    name = "zalando-datasets/fashion_mnist" if part == "dev" else "ylecun/mnist"
    inputs, targets = data.pictures(name, 1200, 14)
    train, held = data.split((inputs - inputs.mean()) / inputs.std(), targets, seed)
    size = 8 if part == "dev" else 10
    model = nn.Sequential(
        nn.Conv2d(1, size, 3, padding=1, bias=False), nn.BatchNorm2d(size), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(size, 2 * size, 3, padding=1, bias=False), nn.BatchNorm2d(2 * size), nn.ReLU(),
        nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(18 * size, 10),
    )  # fmt: skip
    return Program(model, nn.CrossEntropyLoss(), train, held, accuracy, sgd(0.05), epochs=6)


class Recurrent(nn.Module):
    """A recurrent network over the rows of a picture, (B, T, C) -> (B, classes)."""

    def __init__(self, width: int, hidden: int, kind: type[nn.GRU | nn.LSTM | nn.RNN] = nn.GRU) -> None:
        super().__init__()
        self.rnn = kind(width, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        """Read all rows and classify by the last state."""
        return self.head(self.rnn(inputs)[0][:, -1])


def rnn_rows(seed: int, part: str) -> Program:
    """A GRU or LSTM that reads pictures row by row."""
    name = "ylecun/mnist" if part == "dev" else "zalando-datasets/fashion_mnist"
    inputs, targets = data.pictures(name, 1500, 14)
    train, held = data.split(((inputs - inputs.mean()) / inputs.std())[:, 0], targets, seed)
    model = Recurrent(14, 48 if part == "dev" else 64, nn.GRU if part == "dev" else nn.LSTM)
    return Program(model, nn.CrossEntropyLoss(), train, held, accuracy, adam(4e-3), epochs=7)


class TextRecurrent(nn.Module):
    """Word embeddings, an LSTM, and the state at the last word of each text."""

    def __init__(self, words: int, size: int, classes: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, size, padding_idx=0)
        self.rnn = nn.LSTM(size, size, batch_first=True)
        self.head = nn.Linear(size, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Classify (B, T) tokens."""
        last = (tokens != 0).sum(1).clamp_min(1) - 1
        states = self.rnn(self.embed(tokens))[0]
        return self.head(states[torch.arange(len(tokens)), last])


def rnn_text(seed: int, part: str) -> Program:
    """An LSTM on messages, or on the letters of names and words."""
    inputs, targets, words = (
        data.texts("uci/sms_spam", 1200, 24) if part == "dev" else data.names_and_words(2400)
    )
    train, held = data.split(inputs, targets, seed)
    return Program(
        TextRecurrent(words, 32, 2), nn.CrossEntropyLoss(), train, held, accuracy, adam(3e-3), epochs=6
    )


class Attending(nn.Module):
    """One layer of self-attention and an MLP, with residual connections; everything in sight."""

    def __init__(self, size: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.norm1, self.norm2 = nn.LayerNorm(size), nn.LayerNorm(size)
        self.q_proj, self.k_proj = nn.Linear(size, size), nn.Linear(size, size)
        self.v_proj, self.out_proj = nn.Linear(size, size), nn.Linear(size, size)
        self.mlp = nn.Sequential(nn.Linear(size, 2 * size), nn.GELU(), nn.Linear(2 * size, size))
        self.scale: float = (size // heads) ** -0.5

    def allowed(self, length: int, padded: Tensor | None) -> Tensor | None:
        """Which position may read which: True where it may."""
        mask = torch.ones(length, length, dtype=torch.bool).tril() if self.causal else None
        if padded is not None:
            seen = ~padded[:, None, None, :]
            mask = seen if mask is None else mask & seen
        return mask

    def forward(self, inputs: Tensor, padded: Tensor | None = None) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        normed = self.norm1(inputs)
        q, k, v = (self._split(layer(normed)) for layer in (self.q_proj, self.k_proj, self.v_proj))
        scores = q @ k.transpose(-2, -1) * self.scale
        mask = self.allowed(inputs.shape[1], padded)
        if mask is not None:
            scores = scores.masked_fill(~mask, -1e9)
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        inputs = inputs + self.out_proj(mixed)
        return inputs + self.mlp(self.norm2(inputs))

    def _split(self, values: Tensor) -> Tensor:
        return values.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Transformer(nn.Module):
    """Token and position embeddings, layers of attention, and a head for each token or for the text."""

    def __init__(
        self, words: int, size: int, length: int, outputs: int, causal: bool, layers: int = 2
    ) -> None:
        super().__init__()
        self.causal = causal
        self.embed = nn.Embedding(words, size)
        self.positions = nn.Parameter(torch.randn(length, size) * 0.02)
        self.layers = nn.ModuleList(Attending(size, 4, causal) for _ in range(layers))
        self.norm = nn.LayerNorm(size)
        self.head = nn.Linear(size, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T) tokens -> (B, T, words) where causal, else (B, classes)."""
        padded = None if self.causal else tokens == 0
        states = self.embed(tokens) + self.positions[: tokens.shape[1]]
        for layer in self.layers:
            states = layer(states, padded)
        states = self.norm(states)
        if self.causal:
            return self.head(states)
        seen = (tokens != 0).unsqueeze(-1)
        return self.head((states * seen).sum(1) / seen.sum(1).clamp_min(1))


def transformer_text(seed: int, part: str) -> Program:
    """A Transformer encoder that classifies texts."""
    inputs, targets, words = (
        data.texts("uci/sms_spam", 1200, 24) if part == "dev" else data.names_and_words(2400)
    )
    length = inputs.shape[1]
    train, held = data.split(inputs, targets, seed)
    model = Transformer(words, 32 if part == "dev" else 48, length, 2, causal=False)
    return Program(model, nn.CrossEntropyLoss(), train, held, accuracy, adam(1e-3), epochs=6)


def token_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of every token."""
    return F.cross_entropy(outputs.flatten(0, 1), targets.flatten())


def minus_token_loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    """The same on held-out text, higher is better; every token is predicted from those before it only."""
    losses = [token_loss(model(inputs[:, :t]), targets[:, :t]).item() for t in (inputs.shape[1],)]
    last = [F.cross_entropy(model(inputs[:, :t])[:, -1], targets[:, t - 1]).item() for t in (3, 6, 9)]
    return -(sum(last) / len(last) + 0 * losses[0])


def gpt(seed: int, part: str) -> Program:
    """A small GPT on characters."""
    name = "karpathy/makemore_names" if part == "dev" else "karpathy/tiny_shakespeare"
    pieces, words = data.characters(name, 1200, 24)
    train, held = data.split(pieces[:, :-1], pieces[:, 1:], seed)
    model = Transformer(words, 32 if part == "dev" else 48, 24, words, causal=True)
    return Program(model, token_loss, train, held, minus_token_loss, adam(3e-3), epochs=6)


class Coder(nn.Module):
    """An autoencoder."""

    def __init__(self, width: int, latent: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, latent))
        self.decoder = nn.Sequential(nn.Linear(latent, 64), nn.ReLU(), nn.Linear(64, width))

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, width) -> (B, width)."""
        return self.decoder(self.encoder(inputs))


def rebuilt(model: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    """R2 of a reconstruction."""
    outputs = model(inputs)
    outputs = outputs[0] if isinstance(outputs, tuple) else outputs
    return 1 - ((outputs - targets) ** 2).mean().item() / targets.var(0).mean().item()


def autoencoder(seed: int, part: str) -> Program:
    """An autoencoder on pictures."""
    inputs, _ = data.digits() if part == "dev" else data.pictures("zalando-datasets/fashion_mnist", 1500, 12)
    inputs = (inputs.flatten(1) - inputs.mean()) / inputs.std()
    train, held = data.split(inputs, inputs, seed)
    model = Coder(inputs.shape[1], 16)
    return Program(model, nn.MSELoss(), train, held, rebuilt, adam(3e-3), epochs=10)


class Variational(nn.Module):
    """A VAE: the reconstruction, mean and log-variance."""

    def __init__(self, width: int, latent: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(width, 64), nn.ReLU())
        self.mu, self.logvar = nn.Linear(64, latent), nn.Linear(64, latent)
        self.decoder = nn.Sequential(nn.Linear(latent, 64), nn.ReLU(), nn.Linear(64, width))

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, width) -> reconstruction, mu, logvar."""
        hidden = self.encoder(inputs)
        mu, logvar = self.mu(hidden), self.logvar(hidden)
        z = mu + torch.randn_like(mu) * (0.5 * logvar).exp() if self.training else mu
        return self.decoder(z), mu, logvar


def elbo(beta: float) -> Callable[[Any, Tensor], Tensor]:
    """The negative ELBO with a Gaussian of variance 1, a row."""

    def loss(outputs: Any, targets: Tensor) -> Tensor:
        made, mu, logvar = outputs
        kl = -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(1).mean()
        return F.mse_loss(made, targets, reduction="sum") / len(targets) + beta * kl

    return loss


def vae(seed: int, part: str) -> Program:
    """A VAE on pictures."""
    program = autoencoder(seed, part)
    model = Variational(program.train[0].shape[1], 8)
    return Program(model, elbo(0.5), program.train, program.held, rebuilt, adam(3e-3), epochs=10)


class Pair(nn.Module):
    """A generator and a discriminator."""

    def __init__(self, width: int, noise: int = 8) -> None:
        super().__init__()
        self.noise = noise
        self.generator = nn.Sequential(nn.Linear(noise, 64), nn.ReLU(), nn.Linear(64, width), nn.Tanh())
        self.discriminator = nn.Sequential(nn.Linear(width, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))

    def generate(self, count: int) -> Tensor:
        """Return `count` pictures."""
        return self.generator(torch.randn(count, self.noise))


def gan_step(program: Program, real: Tensor, _: Tensor, optimizers: Any) -> Tensor:
    """One step of both networks; the loss of the generator."""
    pair, (of_g, of_d) = program.model, optimizers
    assert isinstance(pair, Pair)
    ones, zeros = torch.ones(len(real), 1), torch.zeros(len(real), 1)
    of_d.zero_grad()
    fake = pair.generate(len(real))
    told = F.binary_cross_entropy_with_logits
    loss_d = told(pair.discriminator(real), ones) + told(pair.discriminator(fake.detach()), zeros)
    loss_d.backward()
    of_d.step()
    of_g.zero_grad()
    loss = told(pair.discriminator(fake), ones)
    loss.backward()
    of_g.step()
    return loss


def coverage(model: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    """How near generated pictures are to real ones, and real ones to generated: minus the distances."""
    assert isinstance(model, Pair)
    made = model.generate(300)
    apart = torch.cdist(made, inputs[:300])
    return -(apart.min(0).values.mean() + apart.min(1).values.mean()).item()


def gan(seed: int, part: str) -> Program:
    """A GAN on small pictures."""
    inputs, targets = data.digits() if part == "dev" else data.pictures("ylecun/mnist", 1500, 10)
    inputs = inputs.flatten(1) * 2 - 1
    train, held = data.split(inputs, targets, seed)

    def both(model: Any) -> Any:
        return [
            torch.optim.Adam(model.generator.parameters(), lr=2e-3, betas=(0.5, 0.999)),
            torch.optim.Adam(model.discriminator.parameters(), lr=1e-3, betas=(0.5, 0.999)),
        ]

    return Program(
        Pair(inputs.shape[1]), lambda o, t: o, train, held, coverage, both, epochs=12, own_step=gan_step
    )


BASES: dict[str, Base] = {
    "mlp-images": mlp_images,
    "mlp-table": mlp_table,
    "mlp-regression": mlp_regression,
    "cnn": cnn,
    "cnn-norm": cnn_norm,
    "rnn-rows": rnn_rows,
    "rnn-text": rnn_text,
    "transformer-text": transformer_text,
    "gpt": gpt,
    "autoencoder": autoencoder,
    "vae": vae,
    "gan": gan,
}
"""Makers of healthy programs by name: (seed, "dev" or "test") -> program."""
