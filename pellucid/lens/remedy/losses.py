"""Remedies of the loss and of what it is given."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.lens.remedy.hooks import called, output_of, put, with_all_parameters, wrap
from pellucid.lens.remedy.parts import Parts, Unfit
from pellucid.lens.remedy.registry import Apply, Case, remedy
from pellucid.lens.remedy.rows import all_rows, first_rows

PROBABILITIES = (nn.Softmax, nn.Sigmoid, nn.LogSoftmax)
MOST_CLASSES = 1000


class InEvaluation(nn.Module):
    """A layer that is applied in evaluation only: training is given what goes into it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the inputs while gradients are recorded."""
        return inputs if torch.is_grad_enabled() else self.layer(inputs)


def last_layer(parts: Parts, *kinds: type[nn.Module]) -> str:
    """Return the name of the layer that makes the outputs.

    Raises:
        Unfit: it is none of these kinds.
    """
    last = [one for one in called(parts) if one.last and isinstance(one.layer, kinds)]
    if not last:
        raise Unfit(f"the last layer is no {' or '.join(one.__name__ for one in kinds)}")
    return last[-1].name


@remedy(
    "logits-to-the-loss",
    "activation-before-loss",
    "double-softmax",
    "normalized-outputs",
    words="the loss gets logits; probabilities are computed in evaluation only",
    size=3,
    edit="leave the softmax or sigmoid at the end of the model out",
)
def logits_to_the_loss(parts: Parts, case: Case) -> Parts:
    name = last_layer(parts, *PROBABILITIES)
    put(parts.module, name, InEvaluation(parts.module.get_submodule(name)))
    return parts


@remedy(
    "activation-undone",
    "activation-before-loss",
    "double-softmax",
    "normalized-outputs",
    words="the loss gets the logarithm of the probabilities, which are logits again",
    size=3.5,
    edit="leave the softmax or sigmoid before the loss out",
)
def activation_undone(parts: Parts, case: Case) -> Parts:
    outputs = output_of(parts)
    if not isinstance(outputs, Tensor) or outputs.min() < 0 or outputs.max() > 1:
        raise Unfit("the outputs are no probabilities")
    sums = outputs.sum(-1)
    rows = outputs.shape[-1] > 1 and torch.allclose(sums, torch.ones_like(sums), atol=1e-3)

    def change(loss: Any, given: Tensor, targets: Any) -> Any:
        p = given.clamp(1e-7, 1 - 1e-7)
        return loss(p.log() if rows else torch.logit(p), targets)

    return wrap(parts, change)


@remedy(
    "log-softmax-first",
    "nll-without-log-softmax",
    words="the loss gets log-probabilities",
    size=2,
    edit="F.cross_entropy(logits, targets) instead of F.nll_loss",
)
def log_softmax_first(parts: Parts, case: Case) -> Parts:
    return wrap(
        parts,
        lambda loss, outputs, targets: loss(outputs.log_softmax(1 if outputs.ndim > 1 else -1), targets),
    )


@remedy(
    "loss-turned",
    "loss-sign",
    "loss-without-limit",
    words="the sign of the loss is turned",
    size=2,
    edit="leave the minus before the loss out",
)
def loss_turned(parts: Parts, case: Case) -> Parts:
    return wrap(parts, lambda loss, outputs, targets: -loss(outputs, targets))


@remedy(
    "same-shapes",
    "loss-broadcasts",
    words="outputs get the shape of the targets before the loss",
    size=2,
    edit="outputs.squeeze(-1), or targets.unsqueeze(-1)",
)
def same_shapes(parts: Parts, case: Case) -> Parts:
    def change(loss: Any, outputs: Any, targets: Any) -> Any:
        both = isinstance(outputs, Tensor) and isinstance(targets, Tensor)
        if both and outputs.shape != targets.shape and outputs.numel() == targets.numel():
            outputs = outputs.reshape(targets.shape)
        return loss(outputs, targets)

    return wrap(parts, change)


def class_count(parts: Parts) -> int:
    """Return the number of classes.

    Raises:
        Unfit: targets are no class numbers.
    """
    targets = all_rows(parts)[1]
    whole = not targets.is_floating_point() or bool((targets == targets.round()).all())
    if targets.ndim != 1 or not whole or targets.min() < 0 or targets.max() >= MOST_CLASSES:
        raise Unfit("the targets are no class numbers")
    return int(targets.max()) + 1


@remedy(
    "cross-entropy",
    "non-finite-loss",
    "non-finite-gradients",
    "classes-as-numbers",
    "softmax-for-labels",
    "output-range",
    "loss-without-limit",
    "targets-not-probabilities",
    words="the loss is F.cross_entropy of the outputs",
    size=2.5,
    edit="F.cross_entropy(logits, targets) instead of a logarithm of probabilities",
)
def cross_entropy(parts: Parts, case: Case) -> Parts:
    outputs, count = output_of(parts), class_count(parts)
    if not isinstance(outputs, Tensor) or outputs.ndim != 2 or outputs.shape[1] < max(2, count):
        raise Unfit("the model has not one output for each class")
    return wrap(parts, lambda loss, given, targets: F.cross_entropy(given, targets.long()))


class Chosen(nn.Module):
    """A linear layer with an output for each class in training, and the number of the class in evaluation."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, inputs) -> (B, classes) while gradients are recorded, else (B, 1)."""
        outputs = self.layer(inputs)
        return outputs if torch.is_grad_enabled() else outputs.argmax(-1, keepdim=True).to(outputs.dtype)


@remedy(
    "an-output-for-each-class",
    "classes-as-numbers",
    words="the model has an output for each class, and the loss is cross-entropy",
    size=3,
    edit="nn.Linear(size, classes) at the end, F.cross_entropy, and argmax for the class",
)
def an_output_for_each_class(parts: Parts, case: Case) -> Parts:
    count = class_count(parts)
    name = last_layer(parts, nn.Linear)
    old: Any = parts.module.get_submodule(name)
    if old.out_features != 1:
        raise Unfit("the model has several outputs already")
    put(parts.module, name, Chosen(old.in_features, count))
    with_all_parameters(parts)
    return wrap(parts, lambda loss, outputs, targets: F.cross_entropy(outputs, targets.long()))


@remedy(
    "free-outputs",
    "rectified-output",
    "output-range",
    words="the outputs have no activation",
    size=3,
    edit="leave the activation after the last layer out",
)
def free_outputs(parts: Parts, case: Case) -> Parts:
    kinds = (nn.ReLU, nn.Sigmoid, nn.Tanh, nn.LeakyReLU, nn.Softplus, nn.ReLU6, nn.GELU, nn.Hardtanh)
    put(parts.module, last_layer(parts, *kinds), nn.Identity())
    return parts


def _kl(factor: float) -> Apply:
    def apply(parts: Parts, case: Case) -> Parts:
        outputs = output_of(parts)
        if not isinstance(outputs, tuple) or len(outputs) != 3 or outputs[1].shape != outputs[2].shape:
            raise Unfit("the model does not return a reconstruction, a mean and a log-variance")

        def change(loss: Any, given: tuple[Tensor, ...], targets: Any) -> Any:
            made, mean, logvar = given
            without = loss((made, torch.zeros_like(mean), torch.zeros_like(logvar)), targets)
            return without + factor * (loss(given, targets) - without)

        return wrap(parts, change)

    return apply


for _divisor in (10, 100, 1000):
    remedy(
        f"kl-divided-by-{_divisor}",
        "posterior-collapse",
        "kl-too-strong",
        words=f"the weight of the KL divergence is divided by {_divisor}",
        edit="a smaller weight of the KL term",
    )(_kl(1 / _divisor))


def _bounded(loss: Any, outputs: Tensor, targets: Tensor) -> Tensor:
    """The generalized cross-entropy with q = .7 (Zhang and Sabuncu, 2018), which wrong labels pull less."""
    right = outputs.softmax(1).gather(1, targets[:, None])[:, 0].clamp_min(1e-6)
    return ((1 - right**0.7) / 0.7).mean()


@remedy(
    "bounded-loss",
    "label-noise",
    words="the loss is the generalized cross-entropy, which wrong labels pull less",
    size=2.5,
    edit="(1 - p ** 0.7) / 0.7 of the probability p of the label",
)
def bounded_loss(parts: Parts, case: Case) -> Parts:
    _need_classes(parts)
    return wrap(parts, _bounded)


def _need_classes(parts: Parts) -> None:
    outputs = output_of(parts)
    targets = first_rows(parts)[1]
    if (
        not isinstance(outputs, Tensor)
        or outputs.ndim != 2
        or targets.ndim != 1
        or targets.is_floating_point()
    ):
        raise Unfit("the loss is not one of classes")


@remedy(
    "balanced-loss",
    "imbalanced-classes",
    "class-weights-inverted",
    words="each class has the same weight in the loss",
    size=2,
    edit="CrossEntropyLoss(weight=len(targets) / (classes * counts))",
)
def balanced_loss(parts: Parts, case: Case) -> Parts:
    _need_classes(parts)
    count = output_of(parts).shape[1]
    counts = torch.bincount(all_rows(parts)[1], minlength=count).float()
    weight = counts.sum() / (counts.clamp_min(1) * (counts > 0).sum())
    return wrap(parts, lambda loss, o, t: F.cross_entropy(o, t, weight=weight.to(o.device)))
