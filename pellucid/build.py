"""The composition root: config -> dataset, model, objective, trainer -> run.

The one place where data, models and training meet. Everything that trains goes through `train`: Python's
`fit`, the command line, recipes, and the scikit-learn estimators. The steps are in `train`, in order.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from pellucid import evaluation
from pellucid.config import Config
from pellucid.data.augment import Augmenter
from pellucid.data.batches import Batches, MemoryRows, Rows, rows
from pellucid.data.dataset import Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.data.sources import open_data, ready
from pellucid.diagnosis import curves_of, generalization, setting_of
from pellucid.errors import ConfigError, ModelError, PellucidError, ResumeError, UnknownNameError
from pellucid.evaluation import Trained
from pellucid.models import BUILDERS as MODELS
from pellucid.record import Run, files
from pellucid.record.run import find_run, now
from pellucid.train import checkpoint, objectives, optimizers, schedules
from pellucid.train.baseline import baselines
from pellucid.train.callbacks import (
    Callback,
    EarlyStopping,
    Interrupt,
    Memory,
    Monitor,
    NonFiniteGuard,
    Recorder,
    ReduceOnPlateau,
)
from pellucid.train.checkpoint import Checkpointer
from pellucid.train.device import choose_device, choose_path
from pellucid.train.objectives import Objective
from pellucid.train.progress import ProgressBar
from pellucid.train.seed import seed_everything
from pellucid.train.trackers import tracker
from pellucid.train.trainer import Trainer

OWN_MODEL = "custom"
PROBE_ROWS = 2000
EVAL_BATCH = 512
EVALUATED = {"validation": "val", "test": "test"}


@dataclass(frozen=True)
class Prepared:
    """Data, ready to be trained on.

    Attributes:
        dataset: its splits, as they are.
        preprocess: fitted on the training split.
        rows: encoded, by split.
        where: why they are in memory or streamed.
    """

    dataset: Dataset
    preprocess: Preprocess
    rows: Mapping[str, Rows]
    where: str

    def batches(self, split: str, config: Config) -> Batches:
        """The batches to measure on: in order, unchanged."""
        return Batches(self.rows[split], max(EVAL_BATCH, config.train.batch_size))

    def training_batches(self, config: Config) -> Batches:
        """The batches to learn from: shuffled and augmented."""
        augment = config.data.augment
        active = any(augment.model_dump().values())
        return Batches(
            self.rows["train"],
            config.train.batch_size,
            seed=config.train.seed,
            shuffle=True,
            augment=Augmenter(augment, self.preprocess.num_outputs) if active else None,
        )

    def probe(self, config: Config) -> Batches:
        """A fixed sample of the training rows, to measure as validation is: no augmentation, no dropout."""
        generator = torch.Generator().manual_seed(config.data.split_seed)
        chosen = torch.randperm(len(self.rows["train"]), generator=generator)[:PROBE_ROWS]
        inputs, targets = next(self.rows["train"].batches([chosen.sort().values]))
        return Batches(MemoryRows(inputs, targets), EVAL_BATCH)


# ---- the parts -----------------------------------------------------------------------------------


def prepare(config: Config, dataset: Dataset | None = None) -> Prepared:
    """Load, split and encode the data of a config; with `dataset`, use that instead of `data.source`."""
    dataset = open_data(config.data) if dataset is None else ready(dataset, config.data)
    preprocess = Preprocess.fit(dataset, image_size=config.data.image_size, normalize=config.data.normalize)
    encoded = {name: rows(table, preprocess, config.data.memory) for name, table in dataset.splits.items()}
    where = "; ".join(f"{name} {reason}" for name, (_, reason) in encoded.items())
    return Prepared(dataset, preprocess, {name: pair[0] for name, pair in encoded.items()}, where)


def make_model(config: Config, preprocess: Preprocess) -> nn.Module:
    """Build the model a config names, for the shape of its data.

    Raises:
        UnknownNameError: no such model.
        ConfigError: an option the model does not have.
    """
    if config.model.name not in MODELS:
        raise UnknownNameError("model", config.model.name, MODELS)
    builder = MODELS[config.model.name]
    options = {**({"size": config.model.size} if config.model.size else {}), **config.model.options}
    known = [p for p in inspect.signature(builder).parameters if p not in ("input_shape", "num_outputs")]
    for option in options:
        if option not in known:
            raise UnknownNameError(f"option of the model {config.model.name!r}", option, known)
    try:
        return builder(preprocess.input_shape, preprocess.num_outputs, **options)
    except (TypeError, ValueError, KeyError) as error:
        raise ConfigError(f"model: {error}") from None


def make_objective(config: Config, prepared: Prepared) -> Objective:
    """Build the objective, and refuse one that does not fit the task."""
    name, task = config.objective.name, prepared.dataset.task
    if task is not None and name != task:
        raise ConfigError(
            f"objective.name is {name!r}, but the target {prepared.dataset.target!r} makes this {task}.",
            remedy=f"--set objective.name={task}, or another --set data.target=COLUMN",
        )
    options: dict[str, Any] = config.objective.model_dump(include={"loss", "l1", "l2"})
    if name == "classification":
        options["label_smoothing"] = config.objective.label_smoothing
        if config.objective.class_weights:
            options["class_weights"] = _class_weights(prepared)
    return objectives.BUILDERS[name](**options)


def _class_weights(prepared: Prepared) -> torch.Tensor:
    counts = torch.zeros(prepared.preprocess.num_outputs)
    for _, targets in Batches(prepared.rows["train"], 4096):
        counts += torch.bincount(targets, minlength=len(counts))
    return counts.sum() / (len(counts) * counts.clamp(min=1))


def make_trainer(
    config: Config, model: nn.Module, objective: Objective, steps: int, callbacks: list[Callback]
) -> Trainer:
    """Build the trainer: optimizer, schedule and callbacks."""
    optimizer = partial(
        optimizers.optimizer,
        config.optimizer.name,
        lr=config.optimizer.lr,
        weight_decay=config.optimizer.weight_decay,
        **config.optimizer.options,
    )
    plateau = config.schedule.name == "plateau"
    schedule = schedules.schedule(
        "constant" if plateau else config.schedule.name,
        total_steps=steps,
        warmup_steps=config.schedule.warmup_steps,
        **({} if plateau else config.schedule.options),
    )
    if plateau:
        rule = schedules.ReduceOnPlateau(**config.schedule.options)
        callbacks = [ReduceOnPlateau("val/loss", rule), *callbacks]
    return Trainer(model, objective, optimizer, config.train, schedule=schedule, callbacks=callbacks)


def make_callbacks(config: Config, objective: Objective, run: Run, console: Console, per_epoch: int) -> list[Callback]:
    """The callbacks of a run; the checkpointer is last, so that it saves what the others have decided."""
    metric, mode = monitored(config, objective)
    monitor = Monitor(metric, mode)
    callbacks: list[Callback] = [NonFiniteGuard(run), Memory(), monitor]
    stopping = config.train.early_stopping
    if stopping is not None:
        callbacks.append(
            EarlyStopping(stopping.monitor, direction(stopping.monitor), stopping.patience, stopping.min_delta)
        )
    callbacks += [Recorder(run), ProgressBar(console, per_epoch), Interrupt()]
    callbacks += [tracker(name, run) for name in config.train.trackers]
    return [*callbacks, Checkpointer(run, monitor, seconds=config.train.checkpoint_seconds, keep=config.train.keep)]


def monitored(config: Config, objective: Objective) -> tuple[str, Any]:
    """Return (metric, mode) of what is called best."""
    if config.train.monitor is None:
        return objective.monitor, objective.mode
    return config.train.monitor, direction(config.train.monitor)


def direction(metric: str) -> Any:
    """Return "min" for losses and errors, "max" for scores."""
    return "min" if metric.rsplit("/", 1)[-1] in ("loss", "loss_clean", "mae", "rmse") else "max"


# ---- training ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Resume:
    """A run to go on with.

    Attributes:
        reference: a folder, an id, the start of one, or "last".
        allow_changes: go on although config or data differ from what was started.
    """

    reference: str
    allow_changes: bool = False


def train(
    config: Config,
    *,
    runs: str | Path = "runs",
    resume: Resume | None = None,
    dataset: Dataset | None = None,
    model: nn.Module | None = None,
    console: Console | None = None,
) -> Run:
    """Train what a config says and return the finished run.

    Args:
        config: everything there is to know.
        runs: the folder that holds run folders.
        resume: an earlier run to go on with.
        dataset: data already loaded, instead of `data.source`.
        model: a module of the caller's own, instead of `model.name`.
        console: where progress is shown; None shows nothing.

    Raises:
        PellucidError: nothing has been written if the input was at fault.
    """
    began = time.perf_counter()
    console = console or Console(quiet=True)
    run = find_run(runs, resume.reference, config.name) if resume else None
    prepared = prepare(config, dataset)
    objective = make_objective(config, prepared)
    seed_everything(config.train.seed)
    model = model if model is not None else make_model(config, prepared.preprocess)
    _check_fit(model, prepared)
    if run is None:
        run = Run.create(runs, config.name, config.to_yaml(), **_facts(config, prepared, model))
    else:
        check_resume(run, config, prepared, allow_changes=resume is not None and resume.allow_changes)
    with run.writing(), _outcome(run):
        if run.facts["status"] == "finished":
            console.print(f"Run {run.id} is already finished; nothing is left to train.")
            return run
        run.update(status="running")
        _announce(run, config, prepared, console)
        _measure_baselines(run, prepared)
        trainer = _train(run, config, prepared, objective, model, console, resumed=resume is not None)
        if trainer.interrupted:
            run.update(status="interrupted", stop_reason=trainer.stop_reason, ended=now())
            return run
        _finish(run, config, prepared, objective, trainer, began)
    return run


def _train(
    run: Run, config: Config, prepared: Prepared, objective: Objective, model: nn.Module, console: Console, resumed: bool
) -> Trainer:
    files.write_json(run.path / "preprocess.json", prepared.preprocess.state())
    config = config.patch({"train.path": _path(run, config, prepared, objective, model)})
    batches = prepared.training_batches(config)
    per_epoch = math.ceil(len(batches) / config.train.gradient_accumulation_steps)
    steps = min(per_epoch * config.train.epochs, config.train.max_steps or math.inf)
    seed_everything(config.train.seed)
    callbacks = make_callbacks(config, objective, run, console, per_epoch)
    trainer = make_trainer(config, model, objective, int(steps), callbacks)
    if resumed and checkpoint.restore(run, trainer):
        run.store.event(trainer.step, "resume", f"resumed at epoch {trainer.epoch}, batch {trainer.position}")
        console.print(f"Resumed {run.id} at epoch {trainer.epoch}, step {trainer.step}.", highlight=False)
    evaluations = {"train": prepared.probe(config), "val": prepared.batches(_validation(prepared), config)}
    start = time.perf_counter()
    try:
        with run.timed("training"):
            trainer.fit(batches, evaluations)
    finally:
        seconds = run.facts["seconds"]
        run.update(seconds={**seconds, "training": seconds.get("training", 0) + time.perf_counter() - start})
    return trainer


def _path(run: Run, config: Config, prepared: Prepared, objective: Objective, model: nn.Module) -> str:
    """Choose device and path, once per run: a resumed run keeps both."""
    kept = {choice["what"]: choice["value"] for choice in run.facts["choices"]}
    device, reason = choose_device(config.train.device)
    run.choose("device", device.type, reason)
    if "path" not in kept:
        batch = next(iter(prepared.training_batches(config)))
        with run.timed("choosing the path"):
            choice = choose_path(config.train.path, model, batch, objective.phases[0].loss, device)
        run.choose("path", choice.value, choice.reason)
        return choice.value
    return kept["path"]


def _finish(
    run: Run, config: Config, prepared: Prepared, objective: Objective, trainer: Trainer, began: float
) -> None:
    """Take the best weights, measure them on every held-out split, and write the report."""
    from pellucid import report

    best = run.checkpoints.pointed("best") if config.train.restore_best else run.checkpoints.pointed("last")
    if best is not None:
        checkpoint.load_weights(trainer.model, checkpoint.weights_file(best))
    metrics = {key: value for key, value in trainer.measures.items() if key.startswith("train/")}
    trained = Trained(trainer.model, objective, prepared.preprocess, trainer.device, trainer.path.name)
    with run.timed("evaluation", trainer.step):
        for split, prefix in EVALUATED.items():
            if split in prepared.rows:
                table = prepared.dataset.splits[split]
                outcome = evaluation.evaluate(trained, prepared.batches(split, config), table)
                outcome.write(run.path / "evaluation", split)
                metrics |= {f"{prefix}/{key}": value for key, value in outcome.metrics.items()}
    metric, mode = monitored(config, objective)
    monitor = next(c for c in trainer.callbacks if type(c) is Monitor)
    run.update(
        status="finished",
        ended=now(),
        stop_reason=trainer.stop_reason,
        metrics=metrics,
        best={**(monitor.best or {}), "metric": metric, "mode": mode},
        target_met=target_met(config, prepared.dataset, metrics),
        seconds={**run.facts["seconds"], "total": time.perf_counter() - began},
    )
    run.find(generalization(curves_of(run), run.facts["baselines"], setting_of(run)))
    run.store.flush()
    report.write(run.path)


def target_met(config: Config, dataset: Dataset, metrics: Mapping[str, float]) -> bool | None:
    """Whether the score was reached; None if none is stated, or it is stated for other data."""
    target = config.target
    if target is None or target.metric not in metrics:
        return None
    if target.on is not None and target.on != dataset.source.name:
        return None
    value = metrics[target.metric]
    return value <= target.value if direction(target.metric) == "min" else value >= target.value


def _validation(prepared: Prepared) -> str:
    return "validation" if "validation" in prepared.rows else "test"


def _check_fit(model: nn.Module, prepared: Prepared) -> None:
    """Run two rows through the model, so that a model of the wrong shape is refused before anything is written."""
    inputs, _ = next(prepared.rows["train"].batches([torch.arange(min(2, len(prepared.rows["train"])))]))
    training = model.training
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    try:
        with torch.no_grad():
            outputs = model.eval()(inputs.to(device))
    except PellucidError:
        raise
    except Exception as error:
        raise ModelError(f"The model cannot take inputs of shape {tuple(inputs.shape)}: {error}") from error
    finally:
        model.train(training)
    expected = (len(inputs), prepared.preprocess.num_outputs)
    if tuple(outputs.shape) != expected and tuple(outputs.shape) != expected[: outputs.ndim]:
        raise ModelError(
            f"The model's outputs have shape {tuple(outputs.shape)}, expected {expected}: "
            f"one logit for each of the {expected[1]} outputs of {prepared.dataset.name}.",
            remedy=f"a last layer of {expected[1]}",
        )


def _measure_baselines(run: Run, prepared: Prepared) -> None:
    """Measure what needs no network: guessing, and a linear model."""
    if "baselines" in run.facts:
        return
    evals = {}
    for split, prefix in EVALUATED.items():
        if split in prepared.rows:
            evals[prefix] = _sample(prepared.rows[split], 20_000)
    inputs, targets = _sample(prepared.rows["train"], 60_000)
    with run.timed("baselines"):
        run.update(baselines=baselines(inputs, targets, evals, prepared.dataset.task or "classification"))


def _sample(source: Rows, limit: int) -> tuple[torch.Tensor, torch.Tensor]:
    if isinstance(source, MemoryRows) and len(source) <= limit:
        return source.inputs, source.targets
    chosen = torch.randperm(len(source), generator=torch.Generator().manual_seed(0))[:limit].sort().values
    parts = list(source.batches(list(chosen.split(4096))))
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


# ---- facts ---------------------------------------------------------------------------------------


def _facts(config: Config, prepared: Prepared, model: nn.Module) -> dict[str, Any]:
    own = config.model.name == OWN_MODEL
    return {
        "summary": config.summary,
        "seed": config.train.seed,
        "dataset": dataset_facts(prepared),
        "model": {
            "name": type(model).__name__ if own else config.model.name,
            "size": config.model.size,
            "options": config.model.options,
            **model_facts(model),
        },
        "target": config.target.model_dump() if config.target else None,
        "published": config.published.model_dump() if config.published else None,
    }


def dataset_facts(prepared: Prepared) -> dict[str, Any]:
    """What `run.json` says of the data."""
    dataset, source = prepared.dataset, prepared.dataset.source
    return {
        "name": dataset.name,
        "task": dataset.task,
        "target": dataset.target,
        "classes": list(prepared.preprocess.classes),
        "input_shape": list(prepared.preprocess.input_shape),
        "inputs": [{"name": column.name, "kind": column.kind} for column in dataset.inputs],
        "splits": {
            name: {"rows": len(table), "fingerprint": dataset.fingerprint[name]}
            for name, table in dataset.splits.items()
        },
        "source": {
            "name": source.name,
            "kind": source.kind,
            "licence": source.licence,
            "note": source.note,
            "looked": list(source.looked),
        },
        "skipped": list(dataset.skipped),
        "notes": [*dataset.notes, *prepared.preprocess.notes],
    }


def model_facts(model: nn.Module) -> dict[str, Any]:
    """Parameter count, and the layers that own parameters."""
    layers = []
    for name, module in model.named_modules():
        own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
        if own:
            layers.append({"name": name, "type": type(module).__name__, "parameters": own})
    return {"parameters": sum(parameter.numel() for parameter in model.parameters()), "layers": layers}


def _announce(run: Run, config: Config, prepared: Prepared, console: Console) -> None:
    dataset, facts = prepared.dataset, run.facts
    run.choose("data", prepared.where, f"at most {100 * config.data.memory:.0f} % of memory is given to data")
    sizes = ", ".join(f"{name} {len(table):,}" for name, table in dataset.splits.items())
    console.print(f"[bold]{run.name}[/]  {run.path}", highlight=False)
    console.print(f"data    {dataset.source.name} ({dataset.source.kind}): {sizes}", highlight=False)
    for note in filter(None, [dataset.source.note, *facts["dataset"]["notes"]]):
        console.print(f"        {note}", highlight=False, style="dim", markup=False)
    model = facts["model"]
    console.print(f"model   {model['name']}, {model['parameters']:,} parameters", highlight=False)


# ---- resuming ------------------------------------------------------------------------------------


def check_resume(run: Run, config: Config, prepared: Prepared, *, allow_changes: bool) -> None:
    """Refuse to go on with a run whose config or data are no longer what they were.

    Raises:
        ResumeError: says what differs.
    """
    before = Config.read(run.path / "config.yaml")
    differences = [f"{key} was {old!r}, is {new!r}" for key, old, new in before.differences(config)]
    kept = run.facts["dataset"]["splits"]
    for split, facts in dataset_facts(prepared)["splits"].items():
        if kept.get(split) != facts:
            differences.append(f"the {split} split was {kept.get(split)}, is {facts}")
    if not differences:
        return
    if not allow_changes:
        raise ResumeError(
            f"Run {run.id} cannot go on as it was: {'; '.join(differences)}.",
            remedy="the original settings, or `--allow-changes` to go on with the new ones",
        )
    run.note(f"Resumed with changes: {'; '.join(differences)}.")
    files.write(run.path / "config.yaml", config.to_yaml())


@contextmanager
def _outcome(run: Run) -> Iterator[None]:
    """Record how a run ended if it did not end well."""
    try:
        yield
    except KeyboardInterrupt:
        run.update(status="interrupted", stop_reason="interrupted", ended=now())
        raise
    except Exception as error:
        reason = error.message if isinstance(error, PellucidError) else f"{type(error).__name__}: {error}"
        run.update(status="failed", stop_reason=reason, ended=now())
        raise


def find_lr(config: Config) -> LrSuggestion:
    """Measure which learning rate suits the model and data of a config; nothing is written."""
    prepared = prepare(config)
    objective = make_objective(config, prepared)
    seed_everything(config.train.seed)
    model = make_model(config, prepared.preprocess)
    _check_fit(model, prepared)
    from pellucid.train.lr_find import lr_find
    make = partial(optimizers.optimizer, config.optimizer.name, weight_decay=config.optimizer.weight_decay)
    return lr_find(model, prepared.training_batches(config), objective.phases[0].loss, optimizer=make)
