"""`look` at a model or at a run, or `view` one of its families."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pellucid import inference, record
from pellucid.batch import to_tensors
from pellucid.data.dataset import Dataset
from pellucid.errors import DataError, RunError, UnknownNameError, UsageError
from pellucid.evaluation import Trained
from pellucid.lens.capture import original
from pellucid.lens.look import look as look_inside
from pellucid.lens.look import look_at
from pellucid.lens.trace import Trace
from pellucid.lens.views import catalogue
from pellucid.lens.views.seen import Seen
from pellucid.lens.views.subject import Subject
from pellucid.lens.work import Work, work_of
from pellucid.record.checkpoints import step_of
from pellucid.record.run import find_run
from pellucid.runner.load import load_trained
from pellucid.runner.supplied import Supplied
from pellucid.train.objective import Phase

ROWS = 64
"""Most rows of a run's own data that are looked at."""


def look(
    model_or_run: Any,
    batch: Any = None,
    *,
    step: int | None = None,
    loss: Any = None,
    optimizer: Any = None,
    phase: str | None = None,
    gradients: bool = True,
    flops: bool = True,
    runs: str | Path = "runs",
) -> Trace:
    """Compute one batch and return what happens in every module: shapes, statistics, gradients and costs.

    Nothing of the model is changed. If the computation fails, the trace ends there: `trace.crash` says which
    module failed, what it received and expects, and the usual fix.

    Args:
        model_or_run: any module, in the mode it is in (a compiled one is computed as its original); or a
            run, its id or its folder, whose model is looked at in evaluation mode.
        batch: inputs, (inputs, targets) or a dict; see `pellucid.batch.as_batch`. None for a run: the first
            64 rows of its validation data.
        step: of a run, the update after which to look; None: the weights that predict.
        loss: (outputs, targets) -> scalar, a module, or a name in the loss catalogue; None: that of the run,
            or the usual one for these outputs and targets.
        optimizer: of a module of yours, for the size of an update relative to the weights.
        phase: of a run with several, e.g. "discriminator"; None: the first.
        gradients: compute the backward pass, too.
        flops: count floating-point operations, in a second forward pass.
        runs: the folder of runs, to find a run by its id.

    Returns:
        The trace. `print(trace)` shows it, `trace.to_dict()` is JSON, and `trace["layer.0"].values()`
        computes the tensors of a module again.

    Raises:
        UsageError: there is neither a module nor a run, or a module without a batch.
        RunError: there is no such run, or no checkpoint of this step.

    Example:
        >>> import torch
        >>> look(torch.nn.Linear(3, 2), torch.zeros(5, 3)).flops
        60
    """
    if isinstance(model_or_run, (str, Path)):
        model_or_run = find_run(runs, str(model_or_run))
    if not isinstance(model_or_run, record.Run):
        return look_inside(
            model_or_run, batch, loss=loss, optimizer=optimizer, gradients=gradients, flops=flops
        )
    trace = look_at(
        run_work(model_or_run, batch, step=step, phase=phase, loss=loss), gradients=gradients, flops=flops
    )
    trace.step = _step(model_or_run) if step is None else step
    return trace


def view(
    model_or_run: Any,
    name: str,
    batch: Any = None,
    *,
    step: int | None = None,
    loss: Any = None,
    phase: str | None = None,
    runs: str | Path = "runs",
    **options: Any,
) -> Seen:
    """Compute a view of a model as plain data: kernels, gates, attention, a latent plane and others.

    The model is computed in evaluation mode, and nothing of it is changed.

    Args:
        model_or_run: any module; or a run, its id or its folder.
        name: of the view; `views(model, batch)` lists them and says which suit the model.
        batch: see `look`; views of weights need none.
        step: of a run, the update after which to look, a kept checkpoint; None: the weights that predict.
        loss, phase: see `look`; for the view "loss-surface".
        runs: the folder of runs, to find a run by its id.
        options: those of the view, such as layer= and row=.

    Returns:
        A frozen dataclass of arrays. `print(seen)` shows it, `seen.to_dict()` is JSON, `seen.panels()` are
        its maps and tables.

    Raises:
        UnknownNameError: there is no such view, layer or option.
        UsageError: the view does not suit the model; says which do.
        RunError: there is no such run, or no checkpoint of this step.

    Example:
        >>> import torch
        >>> view(torch.nn.Conv2d(1, 2, 3), "kernels").weights.shape
        (2, 1, 3, 3)
    """
    catalogue.find_view(name)
    return catalogue.see(_subject(model_or_run, batch, step, loss, phase, runs), name, **options)


def views(
    model_or_run: Any,
    batch: Any = None,
    *,
    step: int | None = None,
    loss: Any = None,
    phase: str | None = None,
    runs: str | Path = "runs",
) -> dict[str, str]:
    """Return all views by name, with why each does not suit a model; "" for those that do.

    See `view` for the arguments.
    """
    return catalogue.fitting(_subject(model_or_run, batch, step, loss, phase, runs))


def _subject(
    model_or_run: Any, batch: Any, step: int | None, loss: Any, phase: str | None, runs: str | Path
) -> Subject:
    if isinstance(model_or_run, (str, Path)):
        model_or_run = find_run(runs, str(model_or_run))
    if isinstance(model_or_run, record.Run):
        return _subject_of_run(model_or_run, batch, step, loss, phase)
    if step is not None or phase is not None:
        raise UsageError("step= and phase= are those of a run, and this is a module.")
    if batch is None and isinstance(model_or_run, nn.Module):
        return Subject(Work(original(model_or_run), None, None, ""))
    return Subject(work_of(model_or_run, batch, loss))


def _subject_of_run(run: record.Run, batch: Any, step: int | None, loss: Any, phase: str | None) -> Subject:
    try:
        trained, batch = _opened(run, batch, step)
    except (DataError, RunError):
        if batch is not None:
            raise
        trained = load_trained(run, getattr(run, "model", None), step)
        return Subject(Work(trained.model.eval(), None, None, ""))
    encoded = getattr(trained.preprocess, "encoded", None)
    words = getattr(encoded, "pieces", None) if getattr(encoded, "vocab_size", None) else None
    return Subject(_work(run, trained, batch, step, phase, loss), words)


def run_work(
    run: record.Run,
    batch: Any = None,
    *,
    step: int | None = None,
    phase: str | None = None,
    loss: Any = None,
) -> Work:
    """Return what a run computes in a step: its model, a batch and the loss of a phase; see `look`."""
    return _work(run, *_opened(run, batch, step), step, phase, loss)


def _work(
    run: record.Run, trained: Trained, batch: Any, step: int | None, phase: str | None, loss: Any
) -> Work:
    own, phases = trained.model.eval(), trained.objective.phases
    rates = [lr for at, lr in run.store.series("step/lr") if step is None or at <= step]
    lr = rates[-1] if rates else run.settings["optimizer"]["lr"]
    if loss is not None or not phases:  # the loss that a run learned by is not known when it was a function
        work = work_of(own, batch, loss)
        return replace(work, lr=dict.fromkeys(map(id, work.parameters), lr))
    chosen = _phase(phases, phase)
    parameters = [p for p in chosen.parameters(own) if p.requires_grad]
    return Work(
        own,
        to_tensors(batch),
        None,
        f"the {chosen.name} loss of the run" if phase or len(phases) > 1 else "its loss",
        whole=chosen.loss,
        parameters=parameters,
        lr=dict.fromkeys(map(id, parameters), lr),
    )


def _opened(run: record.Run, batch: Any, step: int | None) -> tuple[Trained, Any]:
    """Return the model of a run, and the batch, or rows of its own validation data where there is none."""
    model: nn.Module | None = getattr(run, "model", None)
    dataset: Dataset | None = getattr(run, "dataset", None)
    supplied: Supplied | None = getattr(run, "supplied", None)
    loader = run.facts.get("dataset", {}).get("source", {}).get("kind") == "loader"
    if batch is None and loader and (supplied is None or supplied.data is None):
        raise RunError(
            f"Run {run.id} learned from batches, which are not stored with it.",
            remedy="pass one: pellucid.Run(path, model).look((inputs, targets))",
        )
    try:
        trained, prepared = inference.reopen(run, model, dataset, supplied, step=step)
        if batch is None:
            batch = _first_rows(next(iter(prepared.batches(prepared.validation or "train"))))
    except (DataError, RunError):
        if batch is None:
            raise
        trained = load_trained(run, model, step)  # its data is gone, and not needed
    return trained, batch


def _first_rows(batch: Any) -> Any:
    if type(batch) is tuple and all(isinstance(part, Tensor) for part in batch):
        return tuple(part[:ROWS] for part in batch)
    return batch


def _phase(phases: tuple[Phase, ...], name: str | None) -> Phase:
    if name is None:
        return phases[0]
    found = next((phase for phase in phases if phase.name == name), None)
    if found is None:
        raise UnknownNameError("phase", name, [phase.name for phase in phases])
    return found


def _step(run: record.Run) -> int | None:
    """The update after which the weights are those that predict."""
    which = "best" if run.settings.get("train", {}).get("restore_best", True) else "last"
    folder = run.checkpoints.pointed(which) or run.checkpoints.latest()[0]
    return None if folder is None else step_of(folder)
