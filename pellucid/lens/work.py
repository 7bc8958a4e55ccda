"""What is looked at: a model, a batch and a loss, computed without a trace left behind."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from pellucid.batch import (
    TARGET_NAMES,
    Batch,
    as_batch,
    call_model,
    describe,
    parameters_of,
    to_tensors,
)
from pellucid.errors import ConfigError, UsageError
from pellucid.lens.capture import original
from pellucid.train.losses import loss as named_loss
from pellucid.train.objective import read_logits
from pellucid.train.seed import borrowed_generators, rng_state, set_rng_state

LossFunction = Callable[[Any, Any], Tensor]
"""(outputs, targets) -> scalar."""
UNDONE = 50_000_000
"""Most numbers in the parameters of a model that are copied, to undo what its forward changes."""


@dataclass
class Work:
    """A forward pass, and a loss to differentiate.

    Attributes:
        model: what is computed; of a compiled model the original.
        batch: with tensors in it.
        loss: (outputs, batch) -> scalar; None: the usual one for the outputs and targets.
        loss_name: which loss, and why, in words; "" before the usual one was chosen.
        whole: (model, batch) -> scalar, such as a phase of an objective, instead of `loss`.
        parameters: those that learn.
        lr: the learning rate of each, by its id; {} where none is known.
        state: of the generators when it was made, so that it is computed the same way again.
    """

    model: nn.Module
    batch: Any
    loss: Callable[[Any, Any], Tensor] | None
    loss_name: str
    whole: Callable[[nn.Module, Any], Tensor] | None = None
    parameters: list[nn.Parameter] = field(default_factory=list)
    lr: dict[int, float] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=rng_state)

    def forward(self) -> tuple[Any, Tensor]:
        """Return outputs (None where `whole` calls the model) and the loss.

        Raises:
            ConfigError: no usual loss is known for these outputs and targets.
        """
        if self.whole is not None:
            return None, self.whole(self.model, self.batch)
        outputs = call_model(self.model, as_batch(self.batch).inputs)
        if self.loss is not None:
            return outputs, self.loss(outputs, self.batch)
        loss, self.loss_name = usual_loss(outputs, as_batch(self.batch).targets)
        return outputs, loss

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[list[str]]:
        """Compute with the same random numbers every time, and leave model and generators as they were.

        Yields:
            A list that holds, after the block, the names of parameters that the computation itself changed.
        """
        with borrowed_generators():
            set_rng_state(self.state)
            with unchanged(self.model) as changed:
                yield changed


def work_of(model: nn.Module, batch: Any, loss: Any = None, optimizer: Any = None) -> Work:
    """Return what `look` computes.

    Args:
        model: any module.
        batch: inputs, (inputs, targets) or a dict; see `pellucid.batch.as_batch`.
        loss: (outputs, targets) -> scalar, a module, or a name in the loss catalogue; None: one that fits.
        optimizer: an optimizer of PyTorch, for its learning rates.

    Raises:
        UsageError: `model` is no module, or the loss is neither a function nor a name.
        UnknownNameError: there is no loss of that name.
    """
    if not isinstance(model, nn.Module):
        raise UsageError(
            f"Expected a torch.nn.Module or a run, received {type(model).__name__}.",
            remedy="pellucid.look(model, batch), or pellucid.look(run)",
        )
    if batch is None:
        raise UsageError("A module needs a batch to be looked at.", remedy="pellucid.look(model, batch)")
    if isinstance(batch, DataLoader):
        raise UsageError(
            f"Expected one batch, received a {type(batch).__name__}.",
            remedy="next(iter(loader)) as the batch",
        )
    model, batch = original(model), to_tensors(batch)
    if loss is None:
        batch = _with_labels(model, batch)
    if any(isinstance(parameter, LAZY) for parameter in model.parameters()):
        model = _with_shapes(model, batch)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    parameters = [parameter for parameter in learning if not isinstance(parameter, LAZY)]
    return Work(model, batch, _compare(loss), _name(loss), parameters=parameters, lr=rates(optimizer))


LAZY = nn.parameter.UninitializedParameter


def _with_labels(model: nn.Module, batch: Any) -> Any:
    """Return a dict batch whose targets are an input, too, where `forward` takes them to compute its loss."""
    if not isinstance(batch, Mapping):
        return batch
    named = [name for name in TARGET_NAMES if name in batch and name in parameters_of(model).names]
    if not named:
        return batch
    read = as_batch(batch)
    inputs = {name: part for name, part in batch.items() if name not in read.extra}
    return Batch(inputs, read.targets, read.extra)


def _with_shapes(model: nn.Module, batch: Any) -> nn.Module:
    """Return a copy of a model whose lazy layers have the shapes that a batch gives them."""
    model = copy.deepcopy(model)
    with borrowed_generators(), torch.no_grad(), contextlib.suppress(Exception):  # it fails again when seen
        call_model(model, as_batch(batch).inputs)
    return model


def rates(optimizer: Any) -> dict[int, float]:
    """Return the learning rate of every parameter of an optimizer, by the id of the parameter."""
    if optimizer is None:
        return {}
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise UsageError(f"optimizer= expects an optimizer of PyTorch, received {optimizer!r:.80}.")
    return {id(p): float(group["lr"]) for group in optimizer.param_groups for p in group["params"]}


# ---- the loss ---------------------------------------------------------------------------------------------


def _compare(loss: Any) -> Callable[[Any, Any], Tensor] | None:
    """Return (outputs, batch) -> scalar."""
    if loss is None:
        return None
    function: Any = named_loss(loss) if isinstance(loss, str) else loss
    if isinstance(function, type) and issubclass(function, nn.Module):
        function = function()
    if not callable(function):
        raise UsageError(
            f"loss= expects a function (outputs, targets) -> scalar or a name, received {loss!r:.80}."
        )
    reads_logits = isinstance(loss, str) or isinstance(function, nn.modules.loss._Loss)
    read = read_logits if reads_logits else lambda outputs: outputs
    return lambda outputs, batch: cast(Tensor, function(read(outputs), as_batch(batch).targets))


def _name(loss: Any) -> str:
    if loss is None:
        return ""
    return loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)


def usual_loss(outputs: Any, targets: Any) -> tuple[Tensor, str]:
    """Return the usual loss of outputs, and which it is and why, in words.

    Raises:
        ConfigError: there is none; says what was expected.
    """
    own = outputs.get("loss") if isinstance(outputs, Mapping) else getattr(outputs, "loss", None)
    if isinstance(own, Tensor) and own.numel() == 1:
        return own, "the loss that the model returned"
    logits = read_logits(outputs)
    if targets is None:
        return logits.float().square().mean(), "mean square of the outputs, since there are no targets"
    if not isinstance(targets, Tensor):
        raise _no_loss(outputs, targets)
    if not targets.is_floating_point() and logits.ndim == targets.ndim + 1 and logits.shape[-1] > 1:
        last = logits.ndim == 3 and logits.shape[:-1] == targets.shape  # (B, T, K), not (B, K, T)
        classes = logits.movedim(-1, 1) if last else logits
        return F.cross_entropy(classes, targets.long()), "cross entropy, since the targets are class numbers"
    if logits.numel() != targets.numel():
        raise _no_loss(outputs, targets)
    targets = targets.reshape(logits.shape).to(logits.dtype)
    if bool(((targets == 0) | (targets == 1)).all()):
        name = "binary cross entropy with logits, since the targets are 0 and 1"
        return F.binary_cross_entropy_with_logits(logits, targets), name
    return F.mse_loss(logits, targets), "mean squared error, since the targets are numbers"


def _no_loss(outputs: Any, targets: Any) -> ConfigError:
    return ConfigError(
        f"No loss is known for outputs {describe(outputs)} and targets {describe(targets)}.",
        remedy="loss=, a function (outputs, targets) -> scalar",
    )


# ---- leaving nothing behind -------------------------------------------------------------------------------


@contextlib.contextmanager
def unchanged(model: nn.Module) -> Iterator[list[str]]:
    """Undo what a forward pass changes: running statistics, and weights where it changes those.

    Yields:
        A list that holds, after the block, the names of parameters that were changed inside of it.
    """
    changed: list[str] = []
    parameters, buffers = dict(model.named_parameters()), dict(model.named_buffers())
    versions = {name: version_of(tensor) for name, tensor in parameters.items()}
    size = sum(p.numel() for p in parameters.values() if not isinstance(p, LAZY))
    saved = _copies(buffers | (parameters if size <= UNDONE else {}))
    try:
        yield changed
    finally:
        with torch.no_grad():
            for name, tensor in parameters.items():
                if version_of(tensor) != versions[name]:
                    changed.append(name)
                    tensor.copy_(saved.get(name, tensor))
            for name, tensor in buffers.items():  # batch norm changes them without a new version
                if name in saved and not torch.equal(tensor, saved[name]):
                    tensor.copy_(saved[name])
        _put_back(model, buffers)


def version_of(tensor: Tensor) -> int:
    """Return a number that grows with every change in place."""
    return 0 if tensor.is_inference() else tensor._version


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    plain = {name: tensor for name, tensor in tensors.items() if not isinstance(tensor, LAZY)}
    return {name: tensor.detach().clone() for name, tensor in plain.items()}


def _put_back(model: nn.Module, buffers: Mapping[str, Tensor]) -> None:
    """Bring back buffers that were replaced by other tensors."""
    for name, tensor in buffers.items():
        owner, _, last = name.rpartition(".")
        module = model.get_submodule(owner)
        if module._buffers.get(last) is not tensor:
            module._buffers[last] = tensor
