"""Faults: each turns a healthy program into one with a known mistake.

A fault names the findings that count as its right cause: one mistake can be told in more than one true way.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.ledger.bases import Attending, Recurrent, TextRecurrent, adam, elbo
from benchmarks.ledger.program import Program

SUPERVISED = ("mlp-images", "mlp-table", "cnn", "cnn-norm", "rnn-rows", "rnn-text", "transformer-text")
IMAGES = ("mlp-images", "cnn", "cnn-norm", "rnn-rows")
DENSE = ("mlp-images", "mlp-table", "cnn", "autoencoder")


@dataclass(frozen=True)
class Fault:
    """A mistake and the findings that name it.

    Attributes:
        name: of the fault.
        category: loop, loss, optimizer, model, data or sequence.
        bases: names of the programs that it is injected into.
        causes: ids of findings that name it.
        inject: changes a program; the second argument is the strength, 1 in development, 2 in the test.
        contract: it breaks a contract, so it counts whatever the score is.
    """

    name: str
    category: str
    bases: tuple[str, ...]
    causes: tuple[str, ...]
    inject: Callable[[Program, int], Program]
    contract: bool = False


FAULTS: dict[str, Fault] = {}


def fault(
    category: str, bases: tuple[str, ...], *causes: str, contract: bool = False
) -> Callable[[Callable[[Program, int], Program]], Callable[[Program, int], Program]]:
    """Register a fault under the name of its function."""

    def register(inject: Callable[[Program, int], Program]) -> Callable[[Program, int], Program]:
        name = inject.__name__.replace("_", "-")
        FAULTS[name] = Fault(name, category, bases, causes, inject, contract)
        return inject

    return register


def habit(program: Program, **habits: Any) -> Program:
    """Return the program with other habits."""
    return replace(program, habits={**program.habits, **habits})


def layers(model: nn.Module, *kinds: type[nn.Module]) -> list[tuple[nn.Module, str, nn.Module]]:
    """Return (parent, name, layer) of all layers of some kinds."""
    return [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, kinds)
    ]


def rescaled(program: Program, factor: float) -> Program:
    """Return the program with another learning rate."""

    def make(model: nn.Module) -> Any:
        optimizer = program.optimizer(model)
        for group in optimizer.param_groups:
            group["lr"] *= factor
        return optimizer

    return replace(program, optimizer=make)


def inputs(program: Program, change: Callable[[Tensor], Tensor]) -> Program:
    """Return the program with changed inputs, held-out ones too."""
    (x, y), (u, v) = program.train, program.held
    return replace(program, train=(change(x), y), held=(change(u), v))


def headed(program: Program, last: nn.Module) -> Program:
    """Return the program with a module after its model."""
    return replace(program, model=nn.Sequential(program.model, last))


def targets(program: Program, change: Callable[[Tensor], Tensor]) -> Program:
    """Return the program with changed targets in training only."""
    x, y = program.train
    return replace(program, train=(x, change(y)))


# ---- optimizer ---------------------------------------------------------------------------------------


@fault(
    "optimizer",
    (*SUPERVISED, "mlp-regression", "gpt", "autoencoder"),
    "learning-rate-too-high",
    "dead-units",
    "non-finite-loss",
)
def lr_x100(program: Program, strength: int) -> Program:
    return rescaled(program, 100 if strength == 1 else 200)


@fault("optimizer", (*SUPERVISED, "mlp-regression", "gpt", "autoencoder"), "learning-rate-too-low")
def lr_div_1000(program: Program, strength: int) -> Program:
    return rescaled(program, 1 / (1000 if strength == 1 else 3000))


@fault("optimizer", DENSE, "weight-decay-too-strong")
def weight_decay_1(program: Program, strength: int) -> Program:
    return replace(program, optimizer=adam(1e-3, weight_decay=1.0 * strength))


@fault("optimizer", ("mlp-table", "cnn-norm"), "clipped-to-nothing")
def clip_1e_4(program: Program, strength: int) -> Program:
    return habit(program, clip=1e-4 / strength)


@fault("optimizer", ("mlp-images", "cnn", "cnn-norm"), "learning-rate-vanished")
def schedule_to_zero(program: Program, strength: int) -> Program:
    gamma = 0.5 if strength == 1 else 0.3
    return habit(
        replace(program, schedule=lambda o, steps, epochs: torch.optim.lr_scheduler.ExponentialLR(o, gamma)),
        schedule_each="batch",
    )


@fault("optimizer", ("mlp-images", "cnn", "mlp-regression"), "optimizer-of-other-parameters", contract=True)
def optimizer_of_a_copy(program: Program, strength: int) -> Program:
    other = copy.deepcopy(program.model)
    return replace(program, optimizer=lambda model: program.optimizer(other))


@fault("optimizer", ("mlp-images", "cnn", "rnn-rows"), "not-in-optimizer")
def layer_in_no_optimizer(program: Program, strength: int) -> Program:
    first = {
        id(p) for p in next(iter(layers(program.model, nn.Linear, nn.Conv2d, nn.RNNBase)))[2].parameters()
    }
    return replace(
        program,
        optimizer=lambda model: torch.optim.Adam([p for p in model.parameters() if id(p) not in first], 1e-3),
    )


@fault("optimizer", ("mlp-images", "cnn", "mlp-regression"), "frozen-random")
def frozen_by_mistake(program: Program, strength: int) -> Program:
    for _, _, layer in layers(program.model, nn.Linear, nn.Conv2d)[: 2 if strength == 1 else 1]:
        layer.requires_grad_(False)
    return program


# ---- the loop ----------------------------------------------------------------------------------------


@fault("loop", ("mlp-images", "mlp-table", "cnn", "rnn-rows", "gpt"), "missing-zero-grad", contract=True)
def missing_zero_grad(program: Program, strength: int) -> Program:
    return habit(program, zero_grad=False)


@fault("loop", ("mlp-images", "cnn"), "no-backward", contract=True)
def no_backward(program: Program, strength: int) -> Program:
    return habit(program, backward=False)


@fault("loop", ("mlp-images", "rnn-rows"), "no-step", contract=True)
def no_step(program: Program, strength: int) -> Program:
    return habit(program, step=False)


@fault("loop", ("mlp-images", "cnn", "gpt"), "step-before-backward", contract=True)
def step_before_backward(program: Program, strength: int) -> Program:
    return habit(program, step_first=True)


@fault("loop", ("mlp-images", "mlp-regression", "autoencoder"), "graph-broken", contract=True)
def detached(program: Program, strength: int) -> Program:
    return habit(program, detach=True)


@fault("loop", ("cnn-norm",), "trains-in-eval-mode", contract=True)
def trains_in_eval(program: Program, strength: int) -> Program:
    return habit(program, train_mode=False)


@fault("loop", ("cnn-norm", "mlp-images"), "measured-in-train-mode", contract=True)
def measured_in_train(program: Program, strength: int) -> Program:
    return habit(program, eval_mode=False)


@fault("loop", ("cnn", "mlp-images"), "same-batch")
def one_batch_only(program: Program, strength: int) -> Program:
    return habit(program, first_batch_only=True)


# ---- the loss ----------------------------------------------------------------------------------------


@fault("loss", SUPERVISED, "activation-before-loss", contract=True)
def softmax_before_cross_entropy(program: Program, strength: int) -> Program:
    return headed(program, nn.Softmax(-1))


@fault("loss", ("mlp-images", "cnn", "rnn-text"), "activation-before-loss", contract=True)
def sigmoid_before_bce_logits(program: Program, strength: int) -> Program:
    def loss(outputs: Tensor, wanted: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(outputs, F.one_hot(wanted, outputs.shape[1]).float())

    return replace(headed(program, nn.Sigmoid()), loss=loss)


@fault("loss", ("mlp-images", "cnn", "mlp-table"), "nll-without-log-softmax", contract=True)
def nll_of_logits(program: Program, strength: int) -> Program:
    return replace(program, loss=F.nll_loss)


@fault("loss", ("mlp-images", "mlp-table", "cnn", "mlp-regression"), "loss-sign", contract=True)
def flipped_sign(program: Program, strength: int) -> Program:
    loss = program.loss
    return replace(program, loss=lambda outputs, wanted: -loss(outputs, wanted))


@fault("loss", ("mlp-images", "cnn"), "classes-as-numbers")
def mse_on_class_numbers(program: Program, strength: int) -> Program:
    model = nn.Sequential(program.model, nn.Linear(10, 1))

    def nearest(model: nn.Module, x: Tensor, y: Tensor) -> float:
        return (model(x)[:, 0].round() == y).float().mean().item()

    return replace(program, model=model, loss=lambda o, y: F.mse_loss(o[:, 0], y.float()), metric=nearest)


@fault("loss", ("mlp-regression",), "loss-broadcasts", contract=True)
def broadcasting(program: Program, strength: int) -> Program:
    loss = nn.MSELoss() if strength == 1 else (lambda o, y: ((o - y) ** 2).mean())
    return replace(program, loss=loss)


@fault("loss", ("mlp-regression", "autoencoder", "mlp-images"), "rectified-output")
def relu_on_outputs(program: Program, strength: int) -> Program:
    return headed(program, nn.ReLU())


@fault("loss", ("mlp-regression", "autoencoder"), "output-range")
def sigmoid_on_outputs(program: Program, strength: int) -> Program:
    return headed(program, nn.Sigmoid())


@fault("loss", ("vae",), "kl-too-strong", "posterior-collapse")
def kl_x100(program: Program, strength: int) -> Program:
    return replace(program, loss=elbo(50.0 * strength))


@fault("loss", ("mlp-images", "cnn"), "non-finite-loss", "non-finite-gradients", contract=True)
def log_of_zero(program: Program, strength: int) -> Program:
    def loss(outputs: Tensor, wanted: Tensor) -> Tensor:
        probabilities = (outputs * 1000).softmax(1)
        return -(F.one_hot(wanted, outputs.shape[1]) * probabilities.log()).sum(1).mean()

    return replace(program, loss=loss)


# ---- the model ---------------------------------------------------------------------------------------


@fault(
    "model",
    ("mlp-images", "mlp-table", "cnn", "mlp-regression"),
    "symmetric-units",
    "constant-initial-weights",
)
def constant_init(program: Program, strength: int) -> Program:
    for _, _, layer in layers(program.model, nn.Linear, nn.Conv2d):
        nn.init.constant_(layer.weight, 0.0 if strength == 1 else 0.01)  # type: ignore[arg-type]
    return program


@fault("model", ("mlp-images", "mlp-table"), "initial-weights-too-large", "saturated-activations")
def init_std_1(program: Program, strength: int) -> Program:
    for _, _, layer in layers(program.model, nn.Linear, nn.Conv2d):
        nn.init.normal_(layer.weight, std=1.0 * strength)  # type: ignore[arg-type]
    return program


@fault("model", ("mlp-images", "mlp-table", "cnn"), "initial-weights-too-small", "vanishing-gradients")
def init_std_1e_4(program: Program, strength: int) -> Program:
    for _, _, layer in layers(program.model, nn.Linear, nn.Conv2d):
        nn.init.normal_(layer.weight, std=1e-4)  # type: ignore[arg-type]
    return program


@fault("model", ("mlp-images",), "vanishing-gradients")
def twelve_sigmoid_layers(program: Program, strength: int) -> Program:
    width = program.train[0].shape[1]
    hidden = [part for _ in range(12 * strength) for part in (nn.Linear(48, 48), nn.Sigmoid())]
    return replace(
        program, model=nn.Sequential(nn.Linear(width, 48), nn.Sigmoid(), *hidden, nn.Linear(48, 10))
    )


@fault("model", ("mlp-images", "cnn", "mlp-regression"), "dead-units")
def dead_relu_by_bias(program: Program, strength: int) -> Program:
    found = layers(program.model, nn.Linear, nn.Conv2d)
    nn.init.constant_(found[0][2].bias, -20.0 * strength)  # type: ignore[arg-type]
    return program


@fault("model", ("mlp-table",), "saturated-activations", "inputs-unscaled", "initial-weights-too-large")
def saturated_tanh(program: Program, strength: int) -> Program:
    nn.init.normal_(layers(program.model, nn.Linear)[0][2].weight, std=10.0)  # type: ignore[arg-type]
    nn.init.normal_(layers(program.model, nn.Linear)[1][2].weight, std=10.0)  # type: ignore[arg-type]
    return program


@fault("model", ("mlp-images", "autoencoder", "mlp-regression"), "no-activation")
def no_activation(program: Program, strength: int) -> Program:
    for parent, name, _ in layers(program.model, nn.ReLU, nn.Tanh):
        setattr(parent, name, nn.Identity())
    return program


@fault("model", ("mlp-images", "cnn"), "dropout-too-strong")
def dropout_09(program: Program, strength: int) -> Program:
    p = 0.9 if strength == 1 else 0.95
    for parent, name, layer in layers(program.model, nn.ReLU):
        setattr(parent, name, nn.Sequential(layer, nn.Dropout(p)))
    return program


class Listed(nn.Module):
    """A model whose hidden layers stand in a plain list."""

    def __init__(self, width: int, size: int, classes: int) -> None:
        super().__init__()
        self.hidden = [nn.Linear(width, size), nn.Linear(size, size)]
        self.head = nn.Linear(size, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width) -> (B, classes)."""
        for layer in self.hidden:
            x = layer(x).relu()
        return self.head(x)


@fault("model", ("mlp-images", "mlp-table"), "layers-in-plain-list", contract=True)
def plain_list(program: Program, strength: int) -> Program:
    x, y = program.train
    return replace(program, model=Listed(x.shape[1], 32 * strength, int(y.max()) + 1))


@fault("model", ("mlp-images", "cnn"), "dropout-on-outputs")
def dropout_on_outputs(program: Program, strength: int) -> Program:
    return headed(program, nn.Dropout(0.5))


@fault("model", ("autoencoder",), "bottleneck-too-narrow")
def bottleneck_1(program: Program, strength: int) -> Program:
    from benchmarks.ledger.bases import Coder

    return replace(program, model=Coder(program.train[0].shape[1], 1))


# ---- the data ----------------------------------------------------------------------------------------


@fault("data", ("mlp-images", "mlp-table", "cnn", "rnn-rows"), "inputs-unscaled")
def unscaled_inputs(program: Program, strength: int) -> Program:
    return inputs(program, lambda x: (x + 1) * 255 * strength)


@fault("data", ("mlp-images", "cnn", "rnn-rows"), "inputs-unscaled")
def scaled_twice(program: Program, strength: int) -> Program:
    return inputs(program, lambda x: x / (255 * 100 * strength))


@fault("data", SUPERVISED, "labels-unrelated")
def permuted_labels(program: Program, strength: int) -> Program:
    order = torch.randperm(len(program.train[1]), generator=torch.Generator().manual_seed(strength))
    return targets(program, lambda y: y[order])


@fault("data", ("mlp-images", "cnn", "cnn-norm"), "label-noise")
def label_noise_30(program: Program, strength: int) -> Program:
    generator = torch.Generator().manual_seed(7)

    def change(y: Tensor) -> Tensor:
        wrong = torch.rand(len(y), generator=generator) < (0.3 if strength == 1 else 0.4)
        return torch.where(wrong, torch.randint(0, int(y.max()) + 1, y.shape, generator=generator), y)

    return targets(program, change)


@fault("data", ("mlp-images", "cnn", "cnn-norm", "rnn-rows"), "unshuffled-batches")
def sorted_batches(program: Program, strength: int) -> Program:
    x, y = program.train
    order = y.argsort(stable=True)
    return habit(replace(program, train=(x[order], y[order])), shuffle=False)


@fault("data", ("mlp-images", "cnn"), "imbalanced-classes")
def imbalance_99(program: Program, strength: int) -> Program:
    x, y = program.train
    (u, v) = program.held
    rare = torch.nonzero(y == 1).flatten()[: 8 // strength]
    keep = torch.cat([torch.nonzero(y == 0).flatten().repeat(6), rare])

    def balanced(model: nn.Module, inputs: Tensor, wanted: Tensor) -> float:
        found = model(inputs).argmax(1)
        return sum((found[wanted == k] == k).float().mean().item() for k in (0, 1)) / 2

    held = v < 2
    return replace(program, train=(x[keep], y[keep]), held=(u[held], v[held]), metric=balanced)


@fault("data", ("mlp-images", "cnn", "rnn-text"), "overfitting-gap", "overfitting-turn")
def five_percent(program: Program, strength: int) -> Program:
    x, y = program.train
    few = len(x) // (20 * strength)
    return replace(program, train=(x[:few], y[:few]), epochs=program.epochs * 20)


@fault("data", ("mlp-images", "mlp-regression"), "non-finite-inputs", contract=True)
def nan_rows(program: Program, strength: int) -> Program:
    x, y = program.train
    x = x.clone()
    x[:: 40 // strength, 0] = float("nan")
    return replace(program, train=(x, y))


@fault("data", ("mlp-regression",), "targets-unscaled")
def unscaled_targets(program: Program, strength: int) -> Program:
    (x, y), (u, v) = program.train, program.held
    return replace(program, train=(x, y * 80 * strength + 500), held=(u, v * 80 * strength + 500))


@fault("data", ("cnn-norm",), "batch-norm-of-few-rows")
def batches_of_two(program: Program, strength: int) -> Program:
    return replace(program, batch=2, epochs=1)


@fault("data", ("mlp-images", "cnn"), "too-few-steps", "still-improving", "batch-too-large")
def one_batch_of_everything(program: Program, strength: int) -> Program:
    return replace(program, batch=len(program.train[0]))


@fault("data", ("cnn", "gpt", "rnn-rows"), "too-few-steps", "still-improving")
def too_few_epochs(program: Program, strength: int) -> Program:
    few = len(program.train[0]) // 3
    return replace(program, train=(program.train[0][:few], program.train[1][:few]), epochs=1)


# ---- sequences ---------------------------------------------------------------------------------------


@fault("sequence", ("rnn-rows",), "rows-mixed", contract=True)
def wrong_batch_axis(program: Program, strength: int) -> Program:
    program.model.rnn.batch_first = False  # type: ignore[union-attr]
    return program


class LastPadded(TextRecurrent):
    """Classifies by the state at the last place, padding or not."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Classify (B, T) tokens."""
        return self.head(self.rnn(self.embed(tokens))[0][:, -1])


@fault("sequence", ("rnn-text",), "padding-read")
def padded_last_state(program: Program, strength: int) -> Program:
    program.model.__class__ = LastPadded
    return program


@fault("sequence", ("gpt",), "future-visible", contract=True)
def no_causal_mask(program: Program, strength: int) -> Program:
    for _, _, layer in layers(program.model, Attending):
        layer.causal = False  # type: ignore[assignment]
    return program


@fault("sequence", ("gpt",), "future-visible", "mask-inverted", contract=True)
def inverted_mask(program: Program, strength: int) -> Program:
    class Inverted(Attending):
        def allowed(self, length: int, padded: Tensor | None) -> Tensor | None:
            mask = super().allowed(length, padded)
            return None if mask is None else ~mask

    for _, _, layer in layers(program.model, Attending):
        layer.__class__ = Inverted
    return program


@fault("sequence", ("transformer-text",), "padding-read")
def padding_attended(program: Program, strength: int) -> Program:
    class Blind(Attending):
        def allowed(self, length: int, padded: Tensor | None) -> Tensor | None:
            return None

    for _, _, layer in layers(program.model, Attending):
        layer.__class__ = Blind
    return program


@fault("sequence", ("gpt", "transformer-text"), "no-positions")
def no_positions(program: Program, strength: int) -> Program:
    program.model.positions = nn.Parameter(torch.zeros_like(program.model.positions), requires_grad=False)  # type: ignore[arg-type]
    return program


@fault("sequence", ("gpt", "transformer-text"), "attention-unscaled")
def unscaled_scores(program: Program, strength: int) -> Program:
    class Unscaled(Attending):
        def forward(self, inputs: Tensor, padded: Tensor | None = None) -> Tensor:
            normed = self.norm1(inputs)
            q, k, v = (self._split(layer(normed)) for layer in (self.q_proj, self.k_proj, self.v_proj))
            scores = q @ k.transpose(-2, -1)
            mask = self.allowed(inputs.shape[1], padded)
            if mask is not None:
                scores = scores.masked_fill(~mask, -1e9)
            inputs = inputs + self.out_proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
            return inputs + self.mlp(self.norm2(inputs))

    for _, _, layer in layers(program.model, Attending):
        layer.__class__ = Unscaled
    return program


@fault("sequence", ("gpt", "transformer-text"), "shared-projections")
def shared_projections(program: Program, strength: int) -> Program:
    for _, _, layer in layers(program.model, Attending):
        layer.k_proj = layer.q_proj
        if strength == 2:
            layer.v_proj = layer.q_proj
    return program


@fault("sequence", ("gpt",), "learning-rate-too-high", "warm-up-missing")
def lr_x10_no_warm_up(program: Program, strength: int) -> Program:
    return rescaled(program, 20 * strength)


@fault("sequence", ("gpt",), "targets-are-inputs", contract=True)
def targets_not_shifted(program: Program, strength: int) -> Program:
    return replace(program, train=(program.train[0], program.train[0]))


@fault(
    "sequence", ("rnn-rows",), "exploding-gradients", "learning-rate-too-high", "initial-weights-too-large"
)
def exploding_rnn(program: Program, strength: int) -> Program:
    model = Recurrent(14, 48, nn.RNN)
    for name, one in model.rnn.named_parameters():
        if "weight" in name:
            nn.init.normal_(one, std=1.0 * strength)
    return replace(program, model=model)


# ---- generative models -------------------------------------------------------------------------------


def _with_step(program: Program, step: Callable[..., Tensor]) -> Program:
    return replace(program, own_step=step)


@fault("gan", ("gan",), "missing-detach", contract=True)
def missing_detach(program: Program, strength: int) -> Program:
    def step(program: Program, real: Tensor, _: Tensor, optimizers: Any) -> Tensor:
        pair, (of_g, of_d) = program.model, optimizers
        ones, zeros = torch.ones(len(real), 1), torch.zeros(len(real), 1)
        told = F.binary_cross_entropy_with_logits
        of_d.zero_grad()
        of_g.zero_grad()
        fake = pair.generate(len(real))  # type: ignore[operator]
        loss_d = told(pair.discriminator(real), ones) + told(pair.discriminator(fake), zeros)  # type: ignore[operator]
        loss_d.backward(retain_graph=True)
        loss = told(pair.discriminator(fake), ones)  # type: ignore[operator]
        loss.backward()
        of_d.step()
        of_g.step()
        return loss

    return _with_step(program, step)


@fault("gan", ("gan",), "discriminator-too-strong")
def discriminator_x10(program: Program, strength: int) -> Program:
    def both(model: Any) -> Any:
        return [
            torch.optim.Adam(model.generator.parameters(), lr=2e-5 / strength, betas=(0.5, 0.999)),
            torch.optim.Adam(model.discriminator.parameters(), lr=1e-2, betas=(0.5, 0.999)),
        ]

    return replace(program, optimizer=both)


@fault("gan", ("gan",), "optimizers-overlap")
def shared_optimizer(program: Program, strength: int) -> Program:
    def both(model: Any) -> Any:
        return [
            torch.optim.Adam(model.parameters(), lr=2e-3, betas=(0.5, 0.999)),
            torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.5, 0.999)),
        ]

    return replace(program, optimizer=both)
