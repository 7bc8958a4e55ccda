"""Save and restore a training run so that it continues bit for bit as if it had never stopped.

Tensors are saved as safetensors (`model`, `optimizer`, and `ema` for averaged weights); everything else that
the next step depends on is in `state.json`. `record.checkpoints` writes the files.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from pellucid.errors import ModelError, RunError
from pellucid.nn.old_names import rename
from pellucid.record import Run, files
from pellucid.record.checkpoints import STATE, read_state, step_of
from pellucid.train.callbacks import Callback, Monitor
from pellucid.train.extra_state import extra_states, has_extra_state, model_tensors, set_extra_states
from pellucid.train.plain_state import without_tensors
from pellucid.train.trainer import Trainer

MODEL = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
AVERAGE = "ema.safetensors"


class Checkpointer(Callback):
    """Save at the start, at most `seconds` apart, whenever the monitored metric improves, and at the end.

    After an exception within a step or at the end of an epoch, the checkpoint before it stays the newest.

    Args:
        run: the run to save in.
        monitor: determines the best epoch; must come before this callback.
        seconds: maximum time between two checkpoints.
        keep: number of checkpoints to keep in addition to the best.
        snapshots: MB of earlier checkpoints that stay, spread over the training.
    """

    def __init__(
        self, run: Run, monitor: Monitor, *, seconds: float = 30, keep: int = 2, snapshots: float = 0
    ):
        self.run, self.monitor, self.seconds = run, monitor, seconds
        self.keep, self.snapshots = keep, snapshots
        self._saved_at, self._saved_state = time.monotonic(), (-1, -1)

    def on_train_start(self, trainer: Trainer) -> None:
        if trainer.step == 0:
            self._save(trainer)
        elif self.monitor.best is not None:
            self._point_at_best(self.monitor.best["step"])

    def _point_at_best(self, step: int) -> None:
        """Restore the pointer after a restart: it may be outdated, or its checkpoint deleted."""
        if self.run.checkpoints.at(step) is not None:
            self.run.checkpoints.point("best", step)
        else:
            self.run.note(f"The best checkpoint so far, of step {step}, is gone; the best is sought anew.")
            self.monitor.best = None

    def on_step_end(self, trainer: Trainer) -> None:
        if time.monotonic() - self._saved_at > self.seconds:
            self._save(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        if self.monitor.improved:
            self._save(trainer)
            self.run.checkpoints.point("best", trainer.step)
        elif time.monotonic() - self._saved_at > self.seconds:
            self._save(trainer)

    def on_train_end(self, trainer: Trainer) -> None:
        complete = trainer.between_steps and not trainer.failed
        if complete and self._saved_state != (trainer.step, trainer.epoch):
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        with self.run.timed("checkpoint", trainer.step):
            save(self.run, trainer)
            self.run.checkpoints.prune(self.keep, self.snapshots)
        self._saved_at, self._saved_state = time.monotonic(), (trainer.step, trainer.epoch)


def save(run: Run, trainer: Trainer) -> Path:
    """Write a checkpoint of everything the next step depends on, and point `last` to it.

    Raises:
        ModelError: a module has an extra state that is neither a tensor nor plain values.
        UsageError: the state of a callback is not plain values.
    """
    moments, groups = {}, {}
    for name, optimizer in trainer.optimizers.items():
        tensors, groups[name] = _split_optimizer(optimizer)
        moments |= {f"{name}/{key}": tensor for key, tensor in tensors.items()}
    extra_tensors, extra = extra_states(trainer.model)
    weights = model_tensors(trainer.model) | extra_tensors
    writers = {MODEL: partial(_write, weights), OPTIMIZER: partial(_write, moments)}
    if trainer.average is not None:
        writers[AVERAGE] = partial(_write, trainer.average.tensors)
    state = {"trainer": trainer.state_dict(), "optimizers": groups, "extra": extra}
    run.store.flush()  # a checkpoint must not be newer than the recorded metrics
    folder = run.checkpoints.save(trainer.step, writers, state)
    run.checkpoints.point("last", trainer.step)
    return folder


def restore(run: Run, trainer: Trainer) -> bool:
    """Restore a trainer from the run's newest valid checkpoint; return False if there is none.

    If a checkpoint is truncated or altered, the previous one is used, and the run has a note about it.
    """
    folder, complaints = run.checkpoints.latest()
    for complaint in complaints:
        run.note(f"{complaint} The checkpoint before it was used.")
    if folder is None:
        return False
    for note in _load(trainer, folder):
        run.note(note)
    run.store.rewind(trainer.step)
    return True


def look_back(run: Run, trainer: Trainer, step: int) -> int | None:
    """Bring a trainer to the newest valid checkpoint at or before a step, without changing the run.

    Returns:
        The step of the checkpoint; None if there is none so early.
    """
    folder = run.checkpoints.before(step)
    if folder is None:
        return None
    _load(trainer, folder)
    return trainer.step


def _load(trainer: Trainer, folder: Path) -> list[str]:
    """Load a checkpoint into a trainer; return what was not restored, a sentence each."""
    state = read_state(folder)
    load_weights(trainer.model, folder / MODEL)
    if trainer.average is not None:
        _copy_into(trainer.average.tensors, _read(folder / AVERAGE), folder)
    moments = _read(folder / OPTIMIZER)
    for name, optimizer in trainer.optimizers.items():
        mine = {key.removeprefix(f"{name}/"): t for key, t in moments.items() if key.startswith(f"{name}/")}
        _join_optimizer(optimizer, mine, state["optimizers"][name])
    return trainer.load_state_dict(state["trainer"])


def find_weights(run: Run, which: str = "best") -> Path:
    """Return the file with the weights for prediction: of the best or last checkpoint, averaged if available.

    If a checkpoint is damaged, the newest valid one is used, and the run has a note about it.

    Raises:
        RunError: there is no valid checkpoint.
    """
    folder = run.checkpoints.pointed(which)
    try:
        if folder is not None:
            read_state(folder)
    except RunError as error:
        run.note(f"{error.message} The newest sound checkpoint was used in its place.")
        folder = None
    folder = folder or run.checkpoints.latest()[0]
    if folder is None:
        raise RunError(f"Run {run.id} has no sound checkpoint.", remedy="`--resume` it, or train it again")
    average = folder / AVERAGE
    return average if average.is_file() else folder / MODEL


def weights_at(run: Run, step: int) -> Path:
    """Return the file with the weights after a step, averaged if available.

    Raises:
        RunError: there is no checkpoint of this step, or it is damaged.
    """
    folder = run.checkpoints.at(step)
    if folder is None:
        known = ", ".join(f"{step_of(found):,}" for found in run.checkpoints.all())
        raise RunError(
            f"Run {run.id} has no checkpoint of step {step:,}.",
            remedy=f"one of the steps {known}" if known else "`--resume` it, or train it again",
        )
    read_state(folder)
    return next(path for path in (folder / AVERAGE, folder / MODEL) if path.is_file())


def load_weights(model: nn.Module, path: Path) -> None:
    """Load weights into a model, and the extra states of its modules from the same checkpoint.

    Raises:
        ModelError: the weights belong to another model; names the tensors that differ.
        RunError: the file cannot be read.
    """
    theirs, extra = _read(path), {}
    as_saved(model, theirs)
    if has_extra_state(model):
        extra = _extra_states_near(path) | theirs
        own = extra_states(model)
        theirs = {name: tensor for name, tensor in theirs.items() if name not in own[0] | own[1]}
    _copy_into(model_tensors(model), theirs, path)
    set_extra_states(model, extra)


def as_saved(model: nn.Module, saved: Mapping[str, Tensor]) -> None:
    """Give a module the precision in which it was saved, and its lazy layers the shapes, by name."""
    kinds = {part.dtype for part in saved.values() if part.is_floating_point()}
    mine = {part.dtype for part in model.parameters() if part.is_floating_point()}
    if len(kinds) == len(mine) == 1 and kinds != mine:
        model.to(next(iter(kinds)))
    for name, part in model.state_dict().items():
        if isinstance(part, (UninitializedBuffer, UninitializedParameter)) and name in saved:
            part.materialize(saved[name].shape)


def _extra_states_near(path: Path) -> dict[str, Any]:
    """Return the plain values of the checkpoint that a file is in, and the tensors of its model."""
    folder = path.parent
    values = read_state(folder).get("extra", {}) if (folder / STATE).is_file() else {}
    return values | (_read(folder / MODEL) if path.name == AVERAGE else {})


def begin_from(model: nn.Module, path: Path, known: int | None = None) -> str:
    """Start a model from the weights of another: copy every tensor that both have.

    The last layer keeps its initial weights if it has another shape, because the classes differ.

    Args:
        model: the model to change.
        path: the weights.
        known: how many of the first outputs mean the same in both, whose rows of the last layer are copied;
            None: all, where their number is the same.

    Returns:
        The copied and the new tensors, in words.

    Raises:
        ModelError: other tensors of the same name differ in shape, or no name is shared; says which.
        RunError: the file cannot be read.
    """
    mine = model_tensors(model)
    theirs = rename(_read(path), mine)
    shared = [name for name in mine if name in theirs]
    other = [name for name in shared if theirs[name].shape != mine[name].shape]
    last = [name for name, module in model.named_modules() if list(module.parameters(recurse=False))][-1]
    wrong = [name for name in other if name.rpartition(".")[0] != last]
    if wrong or not shared:
        shapes = [
            f"{name} is {tuple(theirs[name].shape)}, expected {tuple(mine[name].shape)}" for name in wrong
        ]
        raise ModelError(
            f"A {type(model).__name__} cannot start from {path}: "
            f"{_some(shapes) or f'it holds none of its {len(mine)} tensors, but {_some(list(theirs))}'}.",
            remedy="the same model.size and options, data of the same shape, and for texts the same tokens",
        )
    head = [name for name in shared if known is not None and name.rpartition(".")[0] == last]
    taken = [name for name in shared if name not in (*other, *head)]
    with torch.no_grad():
        for name in taken:
            mine[name].copy_(theirs[name])
        for name in head if known else ():
            if mine[name].shape[1:] == theirs[name].shape[1:]:
                mine[name][:known].copy_(theirs[name][:known])
    anew = [name for name in mine if name not in (*taken, *(head if known else ()))]
    rows = f"; of {_some(head)} the first {known} rows" if known and head else ""
    return f"Started from {path}: {len(taken)} of {len(mine)} tensors{rows}" + (
        f"; anew: {_some(anew)}" if anew else ""
    )


def _some(words: list[str]) -> str:
    more = f"; and {len(words) - 5} more" if len(words) > 5 else ""
    return "; ".join(words[:5]) + more


def _copy_into(mine: dict[str, Tensor], theirs: dict[str, Tensor], path: Path) -> None:
    theirs = rename(theirs, mine)
    problems = [f"{name} is missing" for name in mine if name not in theirs]
    problems += [f"{name} is not in this model" for name in theirs if name not in mine]
    problems += [
        f"{name} is {tuple(theirs[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in mine.items()
        if name in theirs and theirs[name].shape != tensor.shape
    ]
    if problems:
        raise ModelError(
            f"{path} holds the weights of another model: {_some(problems)}.",
            remedy="the config.yaml of the run the checkpoint came from",
        )
    with torch.no_grad():
        for name, tensor in mine.items():
            tensor.copy_(theirs[name])


def _write(tensors: Mapping[str, Tensor], path: Path) -> None:
    plain = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    safetensors.torch.save_file(plain, path)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        files.ordinary(path)
        return safetensors.torch.load_file(path)
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"{path} cannot be read: {error}.", remedy="an earlier checkpoint, or train again"
        ) from None


def _split_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split an optimizer's state into tensors by "index/name", and everything else as plain values."""
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    values: dict[str, dict[str, Any]] = {}
    for index, entries in state["state"].items():
        for name, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{index}/{name}"] = value
            else:
                values.setdefault(str(index), {})[name] = value
    return tensors, {"groups": without_tensors(state["param_groups"]), "values": values}


def _join_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], rest: dict[str, Any]
) -> None:
    """Undo `_split_optimizer`. Moments get the memory layout of their parameter, as fused kernels require.

    Raises:
        RunError: the groups of parameters differ from those of the checkpoint.
    """
    mine, saved = ([len(g["params"]) for g in groups] for groups in (optimizer.param_groups, rest["groups"]))
    if mine != saved:
        raise RunError(
            f"The checkpoint cannot be restored: its optimizer has parameter groups of {saved} tensors, "
            f"expected {mine}, those of this {type(optimizer).__name__}.",
            remedy="add parameter groups where the optimizer is made, not in a callback; or start a new run "
            "from the weights of this one",
        )
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in rest["values"].items()}
    for key, tensor in tensors.items():
        index, name = key.split("/", 1)
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": rest["groups"]})
    for parameter in parameters:
        for name, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                optimizer.state[parameter][name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
