"""The optimizer catalogue: the update, source and default learning rate of every optimizer, as data.

`optimizer("adamw", model, lr=1e-3, weight_decay=0.01)` makes one. Weight decay is decoupled for all of
them (w <- w - lr * decay * w, separate from the gradient; Loshchilov and Hutter 2019) and only applies to
weights: parameters with two or more axes, not biases or norms. Coupled decay is an L2 term in the loss.

In formulas g is the gradient, w the weight and eta the learning rate. If torch has a fused kernel for the
device, it is used, so build the optimizer after moving the model to its device.
"""

# pyright: reportPrivateImportUsage=false
# (torch._foreach_* update a list of tensors in one call; torch's own optimizers are built on them.)
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pellucid.errors import ConfigError
from pellucid.train.adamw import FusedAdamW
from pellucid.train.catalogue import HasOptions, check_options, find_entry, options_of, types_of
from pellucid.train.layer_groups import stages

Groups = list[dict[str, Any]]
FUSED_DEVICES = frozenset({"cpu", "cuda", "mps"})


@dataclass(frozen=True)
class OptimizerSpec(HasOptions):
    """An entry of the optimizer catalogue.

    Attributes:
        name: the name here and in configs.
        formula: the update of a weight, in LaTeX.
        source: the paper that proposed it.
        lr: default learning rate.
        build: (parameter groups, learning rate, **options) -> optimizer.
        note: when to use it, or what to know about it.
    """

    name: str
    formula: str
    source: str
    lr: float
    build: Callable[..., Optimizer]
    note: str

    @property
    def options(self) -> dict[str, Any]:
        """The options and their defaults."""
        return options_of(self.build)

    @property
    def types(self) -> dict[str, Any]:
        """The types of the options, and of `layer_decay`, which all optimizers have."""
        return types_of(self.build) | types_of(optimizer, ["layer_decay"])


# ---- Lion --------------------------------------------------------------------------------------


class Lion(Optimizer):
    """Move every weight by the learning rate, in the direction of the sign of an averaged gradient.

    Args:
        params: parameters or parameter groups.
        lr: learning rate; about a third to a tenth of Adam's.
        betas: decay of the average in the update, and of the stored average, 0..1.
        weight_decay: decoupled weight decay.

    Source: Chen et al. 2023, Symbolic Discovery of Optimization Algorithms, algorithm 2.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """Take one step; `closure`, if given, recomputes the loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            gradients = [weight.grad for weight in weights]
            means = [self._mean(weight) for weight in weights]
            lr, (beta_update, beta_mean) = group["lr"], group["betas"]
            updates = torch._foreach_lerp(means, gradients, 1 - beta_update)
            torch._foreach_sign_(updates)
            torch._foreach_mul_(weights, 1 - lr * group["weight_decay"])
            torch._foreach_add_(weights, updates, alpha=-lr)
            torch._foreach_lerp_(means, gradients, 1 - beta_mean)
        return loss

    def _mean(self, weight: Tensor) -> Tensor:
        state = self.state[weight]
        if "mean" not in state:
            state["mean"] = torch.zeros_like(weight)
        return state["mean"]


# ---- builders ----------------------------------------------------------------------------------


def _sgd(groups: Groups, lr: float, *, momentum: float = 0.9, nesterov: bool = False) -> Optimizer:
    return _decoupled(torch.optim.SGD, groups, lr, momentum=momentum, nesterov=nesterov, fused=_fused(groups))


def _adagrad(groups: Groups, lr: float, *, eps: float = 1e-10) -> Optimizer:
    return _decoupled(torch.optim.Adagrad, groups, lr, eps=eps, fused=_fused(groups, {"cpu"}))


def _rmsprop(
    groups: Groups, lr: float, *, alpha: float = 0.99, eps: float = 1e-8, momentum: float = 0.0
) -> Optimizer:
    return _decoupled(torch.optim.RMSprop, groups, lr, alpha=alpha, eps=eps, momentum=momentum)


def _adam(
    groups: Groups, lr: float, *, betas: Sequence[float] = (0.9, 0.999), eps: float = 1e-8
) -> Optimizer:
    return _adamw(groups, lr, betas=betas, eps=eps)


def _adamw(
    groups: Groups, lr: float, *, betas: Sequence[float] = (0.9, 0.999), eps: float = 1e-8
) -> Optimizer:
    fused = _fused(groups)
    kind = FusedAdamW if fused else torch.optim.AdamW
    return kind(groups, lr, betas=_pair(betas), eps=eps, fused=fused)


def _nadam(
    groups: Groups,
    lr: float,
    *,
    betas: Sequence[float] = (0.9, 0.999),
    eps: float = 1e-8,
    momentum_decay: float = 0.004,
) -> Optimizer:
    return torch.optim.NAdam(
        groups, lr, betas=_pair(betas), eps=eps, momentum_decay=momentum_decay, decoupled_weight_decay=True
    )


def _lion(groups: Groups, lr: float, *, betas: Sequence[float] = (0.9, 0.99)) -> Optimizer:
    return Lion(groups, lr, betas=_pair(betas))


def _pair(betas: Sequence[float]) -> tuple[float, float]:
    if len(betas) != 2:
        raise ConfigError(f"betas expects two numbers, received {list(betas)}.", remedy="betas: [0.9, 0.999]")
    return float(betas[0]), float(betas[1])


def _fused(groups: Groups, devices: Iterable[str] = FUSED_DEVICES) -> bool | None:
    """Return True if torch can update all parameters in one kernel, else None, so that torch decides."""
    parameters = [parameter for group in groups for parameter in group["params"]]
    there = set(devices)
    return all(p.device.type in there and p.is_floating_point() for p in parameters) or None


def _decoupled(kind: Callable[..., Optimizer], groups: Groups, lr: float, **options: Any) -> Optimizer:
    """Make an optimizer whose own weight decay is coupled, and apply decoupled decay before each step."""
    own = {"weight_decay": "decay"}
    groups = [{own.get(key, key): value for key, value in group.items()} for group in groups]
    made = kind(groups, lr, **options)
    if any(group["decay"] for group in groups):
        made.register_step_pre_hook(_shrink)
    return made


@torch.no_grad()
def _shrink(made: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    for group in made.param_groups:
        weights = [weight for weight in group["params"] if weight.grad is not None]
        if group["decay"] and weights:
            torch._foreach_mul_(weights, 1 - group["lr"] * group["decay"])


# ---- the catalogue -----------------------------------------------------------------------------

_ENTRIES = [
    OptimizerSpec(
        name="sgd",
        formula=r"v \leftarrow \mu v + g,\quad w \leftarrow w - \eta v",
        source="Robbins and Monro 1951; momentum: Polyak 1964; Nesterov 1983, Sutskever et al. 2013",
        lr=0.1,
        build=_sgd,
        note="Needs a tuned learning rate and schedule; often the best final result on images.",
    ),
    OptimizerSpec(
        name="adagrad",
        formula=r"s \leftarrow s + g^2,\quad w \leftarrow w - \eta \frac{g}{\sqrt{s} + \epsilon}",
        source="Duchi, Hazan and Singer 2011",
        lr=0.01,
        build=_adagrad,
        note="Each weight has its own rate, which only decreases. Good for sparse features.",
    ),
    OptimizerSpec(
        name="rmsprop",
        formula=r"s \leftarrow \alpha s + (1 - \alpha) g^2,"
        r"\quad w \leftarrow w - \eta \frac{g}{\sqrt{s} + \epsilon}",
        source="Tieleman and Hinton 2012, lecture 6.5",
        lr=1e-3,
        build=_rmsprop,
        note="Adagrad with a moving average instead of a sum, so that learning does not stop.",
    ),
    OptimizerSpec(
        name="adam",
        formula=r"m \leftarrow \beta_1 m + (1 - \beta_1) g,\ s \leftarrow \beta_2 s + (1 - \beta_2) g^2,"
        r"\quad w \leftarrow w - \eta \frac{\hat m}{\sqrt{\hat s} + \epsilon}",
        source="Kingma and Ba 2015",
        lr=1e-3,
        build=_adam,
        note="RMSprop with momentum. Its weight decay is decoupled here, so it equals adamw.",
    ),
    OptimizerSpec(
        name="adamw",
        formula=r"w \leftarrow w - \eta \left(\frac{\hat m}{\sqrt{\hat s} + \epsilon} + \lambda w\right)",
        source="Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization",
        lr=1e-3,
        build=_adamw,
        note="The default.",
    ),
    OptimizerSpec(
        name="nadam",
        formula=r"w \leftarrow w - \eta"
        r" \frac{\beta_1 \hat m + (1 - \beta_1)\,\hat g}{\sqrt{\hat s} + \epsilon}",
        source="Dozat 2016",
        lr=1e-3,
        build=_nadam,
        note="Adam with Nesterov momentum.",
    ),
    OptimizerSpec(
        name="lion",
        formula=r"w \leftarrow w - \eta \operatorname{sign}(\beta_1 m + (1 - \beta_1) g),"
        r"\quad m \leftarrow \beta_2 m + (1 - \beta_2) g",
        source="Chen et al. 2023, Symbolic Discovery of Optimization Algorithms",
        lr=1e-4,
        build=_lion,
        note="Stores one number per weight instead of two. Use a tenth of Adam's learning rate.",
    ),
]

OPTIMIZERS: dict[str, OptimizerSpec] = {entry.name: entry for entry in _ENTRIES}
"""Every optimizer, by name."""


def optimizer(
    name: str,
    parameters: nn.Module | Iterable[nn.Parameter],
    lr: float | None = None,
    weight_decay: float = 0.0,
    *,
    layer_decay: float | None = None,
    model: nn.Module | None = None,
    **options: Any,
) -> Optimizer:
    """Make an optimizer.

    Args:
        name: one of `OPTIMIZERS`.
        parameters: a model, or its parameters.
        lr: learning rate; None for the default of the catalogue.
        weight_decay: decoupled weight decay of parameters with two or more axes.
        layer_decay: factor between the learning rates of consecutive stages, see `layered`; None for one
            rate.
        model: the model of the parameters, if `parameters` is not a module; only needed for `layer_decay`.
        options: see `OPTIMIZERS[name].options`.

    Raises:
        UnknownNameError: there is no optimizer of that name, or it has no such option.
        ConfigError: the value of an option is not of its type, or there is nothing to optimize.

    Example:
        >>> made = optimizer("sgd", nn.Linear(3, 2), lr=0.1, weight_decay=1e-4, momentum=0.9)
        >>> [len(group["params"]) for group in made.param_groups]
        [1, 1]
    """
    spec = find_entry("optimizer", name, OPTIMIZERS)
    options = check_options(f"the optimizer {name}", options, spec.types)
    lr = spec.lr if lr is None else lr
    groups = parameter_groups(parameters, weight_decay)
    if layer_decay is not None:
        whole = parameters if isinstance(parameters, nn.Module) else model
        groups = layered(groups, whole, lr, layer_decay)
    try:
        return spec.build(groups, lr, **options)
    except ValueError as error:  # torch's message for a value out of range
        raise ConfigError(f"the optimizer {name}: {error}.") from None


def parameter_groups(parameters: nn.Module | Iterable[nn.Parameter], weight_decay: float) -> Groups:
    """Split parameters into weights, with weight decay, and all others, without; leave out empty groups.

    Raises:
        ConfigError: no parameter is trainable.
    """
    every = parameters.parameters() if isinstance(parameters, nn.Module) else parameters
    trained = [parameter for parameter in every if parameter.requires_grad]
    if not trained:
        raise ConfigError("There is nothing to optimize: no parameter has requires_grad set.")
    if not weight_decay:
        return [{"params": trained, "weight_decay": 0.0}]  # one group is one call of a fused kernel
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def layered(groups: Groups, model: nn.Module | None, lr: float, decay: float) -> Groups:
    """Split groups by stage, each with its own learning rate: lr * decay ** (number of later stages).

    Layers close to the input are general and should change little; layers close to the output are specific to
    the task and should change most: discriminative learning rates (Howard and Ruder 2018, section 3.2, with a
    decay of 1 / 2.6; Clark et al. 2020, ELECTRA, with 0.8 or 0.9).

    Args:
        groups: parameter groups.
        model: the model to split into stages (see `pellucid.train.layer_groups`).
        lr: learning rate of the last stage, whose group comes first.
        decay: above 0, at most 1.

    Raises:
        ConfigError: the decay is out of range, or the model is None.
    """
    if not 0 < decay <= 1:
        raise ConfigError(f"layer_decay expects a factor above 0 and up to 1, received {decay:g}.")
    if model is None:
        raise ConfigError("layer_decay expects a model to split into stages, received only its parameters.")
    made = []
    for above, stage in enumerate(reversed(stages(model))):
        inside = {id(parameter) for parameter in stage.parameters.values()}
        for group in groups:
            chosen = [parameter for parameter in group["params"] if id(parameter) in inside]
            if chosen:
                made.append({**group, "params": chosen, "lr": lr * decay**above})
    return made
