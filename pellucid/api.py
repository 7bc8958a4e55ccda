"""The verbs of Python: `fit` trains, and the `Run` it returns predicts, evaluates and reports."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from pellucid import diagnosis, inference, record, report, runner, vectors
from pellucid.config import Config, TrainConfig
from pellucid.data.contents import Contents, look
from pellucid.data.dataset import Dataset
from pellucid.data.given import take
from pellucid.data.offers import Choice, choose, proposals
from pellucid.errors import UnknownNameError, UsageError
from pellucid.evaluation import Outcome
from pellucid.record.spec import task_for
from pellucid.runner.supplied import Supplied, lr_of
from pellucid.tasks.predictions import Predictions
from pellucid.terminal import TextConsole
from pellucid.train.objective import Objective

SHORT = {
    "epochs": "train.epochs",
    "minutes": "train.minutes",
    "batch_size": "train.batch_size",
    "seed": "train.seed",
    "device": "train.device",
    "execution": "train.execution",
    "path": "train.execution",
    "lr": "optimizer.lr",
    "weight_decay": "optimizer.weight_decay",
    "optimizer": "optimizer.name",
    "schedule": "schedule.name",
    "objective": "objective.name",
    "loss": "objective.loss",
    "loss_options": "objective.loss_options",
    "augment": "data.augment",
    "inputs": "data.num_inputs",
}
"""The settings `fit` takes by a short name; all others go through `settings`."""


class Run(record.Run):
    """A run folder, with the verbs that need its model.

    Args:
        path: the folder.
        model: the module it trained, where that was the caller's own.
        dataset: the data it learned from, where that was passed.
        supplied: what else was passed to `fit`: batches, the loss, the objective and the metrics.
    """

    def __init__(
        self,
        path: str | Path,
        model: nn.Module | None = None,
        dataset: Dataset | None = None,
        supplied: Supplied | None = None,
    ):
        super().__init__(path)
        self.model, self.dataset, self.supplied = model, dataset, supplied

    def __repr__(self) -> str:
        of = next(
            (split for split in ("test/", "val/") if any(k.startswith(split) for k in self.metrics)), ""
        )
        shown = {key: value for key, value in self.metrics.items() if of and key.startswith(of)}
        numbers = ", ".join(f"{key} {value:.4g}" for key, value in shown.items())
        return f"Run({str(self.path)!r}, {self.status}{': ' + numbers if numbers else ''})"

    def generate(self, count: int = 16, **options: Any) -> Any:
        """Generate images with a GAN or a variational autoencoder.

        Args:
            count: number of images, or of walks.
            options: `seed`, `class_`, `walk`, `from_`, `to`, `latents`, `grid` and `folder`; see
                `pellucid.tasks.shared.image_generation.new_images`.

        Returns:
            `images` (N, C, H, W) with pixels in 0..1, `latent` (N, D), `pictures()` for PIL, and `rows()`.
        """
        return self.predict(count, **options)

    def predict(self, inputs: Any, **options: Any) -> Predictions:
        """Predict for new inputs, and return predictions with `labels`, `probs`, `rows()` and `save(path)`.

        Every row carries its name: the file, or the number of the row and its id.

        Where the model returns a tuple or a dict, its logits are used: the first entry, or the one named
        "logits", "output" or the like (see `pellucid.train.objective.read_logits`).

        Args:
            inputs: an array, a tensor, a sparse matrix, a table of any library, a series, a mapping or a list
                of them, images, texts, paths of files or folders, or a list of these; or a `DataLoader` or
                dataset of PyTorch, whose batches are predicted in their order and joined (a loader that
                shuffles gives them shuffled). A run that learned from batches also takes a list of batches.
            options: `out=` is a file to write the predictions to, .csv, .jsonl or .parquet. `skip_bad=True`
                leaves out rows and files that cannot be read. `model=` is a module of the form that was
                trained, where that was the caller's own. A run that learned from batches also takes `output=`
                as the key or index of another output of the model.
                Tasks have options of their own.
        """
        model = options.pop("model", None) or self.model
        return inference.predict(self, inputs, model, **options)

    def stream(self, prompt: str, **options: Any) -> Iterator[str]:
        """Continue a text, and yield it piece by piece while it is generated.

        Args:
            prompt: the text to continue.
            options: those of `predict`, such as max_new_tokens, temperature, top_p, stop and seed.

        Raises:
            UsageError: the run does not write texts token by token, or an option is wrong.
        """
        return inference.stream(self, prompt, options.pop("model", None) or self.model, **options)

    def embed(self, inputs: Any, *, model: nn.Module | None = None) -> vectors.Vectors:
        """Return the vectors that the model makes of inputs, (N, D), before its last layer.

        See `pellucid.vectors.embed`.
        """
        return vectors.embed(self, inputs, model or self.model)

    def neighbors(
        self, query: Any, among: Any = None, k: int = 5, *, model: nn.Module | None = None
    ) -> vectors.Neighbors:
        """Find what is most similar to an input, by the cosine of the vectors of `embed`.

        See `pellucid.vectors.neighbors`.
        """
        return vectors.neighbors(self, query, among, k, model or self.model, self.dataset)

    def evaluate(
        self, split: Any = "test", *, model: nn.Module | None = None, allow_changed_data: bool = False
    ) -> Outcome:
        """Measure the model on a split of the run's own data, or on new data.

        Args:
            split: "test", "validation" (or "val") or "train"; or new data: a file, a dataset, (X, y), or
                batches.
                A run that learned from batches knows its own until the end of the Python process.
            model: a module like the one that was trained, if that was the caller's own.
            allow_changed_data: split data anew that has changed since training, instead of raising.

        Raises:
            UnknownNameError: there is no such split.
            RunError: the data has changed since training; or the batches of a run that was opened again are
                needed.
            UsageError: new data is not of the kind that the run learned from.
        """
        return inference.evaluate(
            self,
            split,
            model or self.model,
            self.dataset,
            self.supplied,
            allow_changed_data=allow_changed_data,
        )

    @property
    def findings(self) -> list[record.Finding]:
        """What the rules found in this run: errors first, then warnings, then notes."""
        return diagnosis.findings(self)

    def diagnose(self) -> list[record.Finding]:
        """Run the rules again on what was recorded and return what they find; nothing is written."""
        return diagnosis.diagnose(self)

    def report(self) -> Path:
        """Write report.html anew and return its path."""
        return report.write(self.path)


def fit(
    model: nn.Module | str | None,
    data: Any,
    *,
    task: str | None = None,
    target: str | int | Sequence[str | int] | None = None,
    validation: Any = None,
    test: Any = None,
    objective: Objective | str | None = None,
    loss: Callable[..., Any] | str | None = None,
    metrics: Any = None,
    callbacks: Sequence[Any] = (),
    optimizer: Any = None,
    schedule: Any = None,
    sample_weight: Any = None,
    class_weight: Any = None,
    runs: str | Path = "runs",
    resume: str | None = None,
    progress: bool = True,
    settings: Mapping[str, Any] | None = None,
    **short: Any,
) -> Run:
    """Train a model on data.

    Calling it again with the same module goes on from the weights that it has.

    Args:
        model: any module, or a model's name. For a dataset with a target it returns one logit for each class
            (or one number), a tuple that begins with them, or a dict with "logits". None: the model that is
            suggested for the data, with `task`.
        data: a dataset; what `pellucid.load` takes; (X, y); a data frame, a dict of arrays or a dataset of
            Hugging Face, with `target`; a dict of splits ("train", "validation", "test") of these; or
            batches: a `DataLoader`, a `torch.utils.data.Dataset`, an iterable of batches, a function epoch ->
            iterable. A batch is a
            pair (inputs, targets) or a dict; see `pellucid.batch.as_batch`. Of a longer tuple the last entry
            is the target, unless `inputs=` says how many of the first are inputs: with `inputs=1`, a batch
            (x, y1, y2) has the targets (y1, y2), which the loss receives as a tuple.
        task: what to learn from a dataset, a file or a folder: "generate", "denoise", "forecast" ..., as
            `pellucid inspect` lists them. Model, size, learning rate and the rest are then those suggested
            for this data, unless they are passed. None: what its target suggests.
        target: the column to predict; several as a list, or with commas between them.
        validation: what to measure on after every epoch, in the form of `data`; or a share of the rows, 0..1.
        test: likewise, for the final result.
        objective: an `Objective`, or the name of a task.
        loss: (outputs, targets) -> scalar, or a name in the loss catalogue; None: the usual one.
        metrics: functions (outputs, targets) -> number, metrics of torchmetrics, objects with `reset`,
            `update` and `compute`, functions of `sklearn.metrics` or their names ("precision",
            "f1_weighted"): one, several, or several by name.
        callbacks: `Callback`s, or functions that are called with the trainer after every epoch.
        optimizer: a name, an optimizer class, a function (parameters) -> optimizer, or an optimizer over
            `model.parameters()`; or one of these for each phase of the objective, by its name.
        schedule: a name, a function step -> factor of the learning rate, or a scheduler of PyTorch (a class,
            a function (optimizer) -> scheduler, an instance); it is stepped after every epoch, `OneCycleLR`
            and `CyclicLR` after every update.
        sample_weight: one weight for each training row, or the name of a column that holds them.
        class_weight: "balanced", or a weight for each class, by name or in their order.
        runs: the folder that holds run folders.
        resume: an earlier run to resume: its id, its folder, or "last".
        progress: show a bar and one row an epoch.
        settings: any setting by its dotted key, e.g. {"data.augment.shift": 0.1}.
        short: the usual settings by their short names: epochs, batch_size, lr, seed, ... (see `SHORT`).
            `minutes=` is the time of the whole call, from reading to the report, instead of epochs.

    Returns:
        The finished run.

    Raises:
        PellucidError: a setting, the data or the model does not fit; says what to change.

    Example:
        >>> run = fit("mlp", "digits", epochs=3, lr=0.01)  # doctest: +SKIP
    """
    began = time.perf_counter()
    for name in short:
        if name not in SHORT:
            raise UnknownNameError("setting", name, sorted({*SHORT, *ARGUMENTS}))
    if not isinstance(objective, (Objective, str, type(None))):
        raise UsageError(
            f"objective= expects an Objective or the name of a task, received {objective!r:.80}.",
            remedy="objective=pellucid.Objective(...), or the name of a registered task",
        )
    target = (settings or {}).get("data.target") if target is None else target
    target = ", ".join(map(str, target)) if isinstance(target, (list, tuple)) else target
    target = None if target is None else str(target)
    labelled = task is None and not isinstance(objective, str)
    given = take(data, validation, test, target=target, labelled=labelled, settings=settings)
    data = given.data
    own_batches = not isinstance(data, (Dataset, str))
    _check_task(task, model, objective, own_batches)
    if own_batches and isinstance(objective, str):
        raise UsageError(
            f"objective={objective!r} is a task of datasets, and batches of your own were passed.",
            remedy="loss=..., or nothing: classes and numbers are recognized by the targets",
        )
    if not own_batches and "inputs" in short:
        raise UsageError(
            "inputs= counts the inputs in a batch of your own, and a dataset was passed.",
            remedy="settings={'data.inputs': ['column', ...]} to choose the input columns of a dataset",
        )
    supplied = Supplied(
        loss=None if isinstance(loss, str) else loss,
        objective=objective if isinstance(objective, Objective) else None,
        metrics=metrics,
        callbacks=callbacks,
        optimizer=None if isinstance(optimizer, str) else optimizer,
        schedule=None if isinstance(schedule, str) else schedule,
        sample_weight=sample_weight,
        **({"data": data, "validation": given.validation, "test": given.test} if own_batches else {}),
    )
    named = {"loss": loss, "objective": objective, "optimizer": optimizer, "schedule": schedule}
    values = {SHORT[name]: value for name, value in named.items() if isinstance(value, str)}
    lr = short.get("lr", (settings or {}).get("optimizer.lr"))
    values |= _described(model, data, supplied, lr) | values | _class_weights(class_weight)
    values |= given.settings
    values |= {SHORT[name]: value for name, value in short.items()} | dict(settings or {})
    own = model if isinstance(model, nn.Module) else None
    choices: tuple[Choice, ...] = ()
    dataset = data if isinstance(data, Dataset) else None
    if task is not None:
        config, choices = _suggested(model, data, task, values)
    else:
        config = Config(name=_name(data)).patch(values)
        if isinstance(data, str) and "objective.name" not in values:
            config, dataset = _by_content(config, values)
    finished = runner.train(
        config,
        runs=runs,
        resume=runner.Resume(resume) if resume else None,
        dataset=dataset,
        model=own,
        console=TextConsole() if progress else None,
        supplied=supplied,
        begun=None if resume else partial(_record, choices),
        used=time.perf_counter() - began,
    )
    return Run(finished.path, own, data if isinstance(data, Dataset) else None, supplied)


def _record(choices: Sequence[Choice], run: record.Run) -> None:
    for choice in choices:
        run.choose(*choice)


UNLIKELY = 0.1
"""What is less likely than this is not what a model was meant for."""

ARGUMENTS = (
    "task",
    "target",
    "loss",
    "objective",
    "metrics",
    "callbacks",
    "optimizer",
    "schedule",
    "sample_weight",
    "class_weight",
)


def _described(model: nn.Module | str | None, data: Any, supplied: Supplied, lr: Any) -> dict[str, Any]:
    """What the config says about objects that were passed; `lr` is the common learning rate, if any."""
    values: dict[str, Any] = {"model.name": model if isinstance(model, str) else runner.OWN_MODEL}
    if isinstance(data, Dataset):
        values |= {"data.source": data.source.name, **_task_of(data)}
    else:
        values["data.source"] = data if isinstance(data, str) else _name(data)
    if supplied.data is not None or supplied.objective is not None:
        values["objective.name"] = "custom"
    for key, part in (("objective.loss", supplied.loss), ("optimizer.name", supplied.optimizer)):
        if part is not None and (name := runner.reference(part)):
            values[key] = name
    if isinstance(supplied.optimizer, Mapping):
        return values | _optimizers(supplied.optimizer, lr)
    if (own := lr_of(supplied.optimizer)) is not None:
        values["optimizer.lr"] = own
    if isinstance(supplied.sample_weight, str):
        values["data.sample_weight"] = supplied.sample_weight
    return values


def _optimizers(given: Mapping[str, Any], lr: Any) -> dict[str, Any]:
    """What the config says of an optimizer for each phase."""
    phases: dict[str, dict[str, Any]] = {}
    for phase, part in given.items():
        named = part if isinstance(part, str) else runner.reference(part)
        own = None if isinstance(part, str) else lr_of(part)
        phases[phase] = {"name": named} if named else {}
        if own is not None and (lr is None or isinstance(part, Optimizer)):
            phases[phase]["lr"] = own
    return {"optimizer.phases": phases}


def _check_task(task: str | None, model: Any, objective: Any, own_batches: bool) -> None:
    """Refuse a task together with what also says what to learn, and no model without a task.

    Raises:
        UsageError: saying which of the two to leave out.
    """
    if task is None:
        if model is None:
            raise UsageError(
                "model=None is the model that is suggested for a task, and task= is missing.",
                remedy="pellucid.fit(None, data, task='classify')",
            )
        return
    if objective is not None:
        raise UsageError(f"task={task!r} and objective= both say what to learn.", remedy="one of the two")
    if own_batches:
        raise UsageError(
            f"task={task!r} is learned from a dataset, a file or a folder, and batches were passed.",
            remedy="loss=..., or nothing: classes and numbers are recognized by the targets",
        )


def _suggested(
    model: nn.Module | str | None, data: Dataset | str, task: str, values: dict[str, Any]
) -> tuple[Config, tuple[Choice, ...]]:
    """Return the config that is suggested for a task, with what was passed to `fit`, and what was chosen."""
    if isinstance(data, Dataset):
        values = {key: value for key, value in values.items() if key != "objective.name"}
    about = Config().patch({key: value for key, value in values.items() if key.startswith("data.")}).data
    contents = Contents(about, data, fixed=True) if isinstance(data, Dataset) else look(about)
    asked = {key.removeprefix("train."): values[key] for key in ("train.minutes",) if key in values}
    minutes = TrainConfig.model_validate(asked).minutes
    free = model is None and not any(key.startswith("model.") for key in values if key != "model.name")
    suggested = choose(contents, task).suggest(minutes if free else None)
    config = suggested.config.patch({"name": _name(data)})
    if model is None:
        changes = {key: value for key, value in values.items() if key != "model.name"}
        return config.patch(changes), suggested.choices
    if values["model.name"] != config.model.name:
        config = config.patch({"model": {"name": values["model.name"]}})
    return config.patch(values), ()


def _by_content(config: Config, values: dict[str, Any]) -> tuple[Config, Dataset | None]:
    """Return a config with the task that its data suggests, and the data where it was opened."""
    contents = look(config.data)
    if contents.predicts is not None:
        return config.patch(values | _task_of(contents.dataset)), contents.dataset
    possible = [found.suggest(None).config for found in proposals(contents) if found.likelihood > UNLIKELY]
    fitting = [found for found in possible if found.model.name == config.model.name]
    suggested = fitting[0] if fitting else choose(contents).suggest(None).config
    chosen = {"objective": suggested.objective.model_dump(), "data": suggested.data.model_dump()}
    return config.patch(chosen).patch(values), None


def _task_of(dataset: Dataset) -> dict[str, Any]:
    """The task that follows from the target of a dataset."""
    spec = task_for(dataset.task)
    return {"objective.name": spec.name} if spec else {}


def _class_weights(given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {"objective.class_weights": {str(name): float(value) for name, value in given.items()}}
    return {"objective.class_weights": True if isinstance(given, (str, bool)) else [float(w) for w in given]}


def _name(data: Any) -> str:
    if isinstance(data, Dataset):
        return data.name.rsplit("/", 1)[-1]
    return data if isinstance(data, str) else type(getattr(data, "dataset", data)).__name__
