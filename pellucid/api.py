"""The verbs of Python: `fit` trains, and the `Run` it returns predicts, evaluates and reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from pellucid import diagnosing, diagnosis, explaining, inference, looking, record, report, runner, vectors
from pellucid.data.dataset import Dataset
from pellucid.evaluation import Outcome
from pellucid.fitting import Call, make_plan
from pellucid.lens.explain.explanation import Explanation
from pellucid.lens.trace import Trace
from pellucid.lens.views.seen import Seen
from pellucid.report.diagnosed import Diagnosis
from pellucid.runner.replayed import Replay
from pellucid.runner.supplied import Supplied
from pellucid.tasks.predictions import Predictions
from pellucid.terminal import TextConsole
from pellucid.train.budget import now
from pellucid.train.objective import Objective


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
            split: "test", "validation" (or "val") or "train"; or new data: a file, a dataset, (X, y), a
                data frame that also has the target, or batches.
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
        return [finding.worded() for finding in diagnosis.findings(self)]

    def diagnose(self, **options: Any) -> Diagnosis:
        """Say what is wrong with the run; `verify=True` tries what may help. See `pellucid.diagnose`."""
        return diagnosing.diagnose(self, **options)

    def look(self, batch: Any = None, *, step: int | None = None, **options: Any) -> Trace:
        """Compute a batch of the validation data and return what happens in every module.

        See `pellucid.look`.
        """
        return looking.look(self, batch, step=step, **options)

    def view(self, name: str, batch: Any = None, *, step: int | None = None, **options: Any) -> Seen:
        """Compute a view of the model, such as "kernels" or "attention", on rows of the validation data.

        See `pellucid.view`; `pellucid.views(run)` lists those that suit the model.
        """
        return looking.view(self, name, batch, step=step, **options)

    def explain(
        self, inputs: Any, method: str | None = None, target: Any = None, **options: Any
    ) -> Explanation:
        """Say which pixels, tokens, columns or steps speak for what the model predicts.

        See `pellucid.explain`.
        """
        return explaining.explain(self, inputs, method, target, **options)

    def replay(self, step: int, *, model: nn.Module | None = None) -> Replay:
        """Compute an update again, and compare its loss with the recorded one; nothing is written.

        See `pellucid.runner.replay.replay`.

        Args:
            step: the update, from 1.
            model: a module like the one that was trained, if that was the caller's own.
        """
        from pellucid.runner.replay import replay  # here, since few need it

        return replay(self, step, model=model or self.model, dataset=self.dataset, supplied=self.supplied)

    def report(self) -> Path:
        """Write report.html anew and return its path."""
        return report.write(self.path)


def fit(
    model: nn.Module | str | None,
    data: Any,
    y: Any = None,
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
    allow_changes: bool = False,
    progress: bool = True,
    on_finding: Callable[[record.Finding], object] | None = None,
    settings: Mapping[str, Any] | None = None,
    **short: Any,
) -> Run:
    """Train a model on data.

    Calling it again with the same module goes on from the weights that it has.

    Args:
        model: any module, or a model's name. For a dataset with a target it returns one logit for each class
            (or one number), a tuple that begins with them, or a dict with "logits"; for two classes also one
            logit, or a probability after a sigmoid. None: the model that is suggested for the data, and for
            `task` if that is passed.
        data: a dataset; what `pellucid.load` takes; (X, y); a data frame, a dict of arrays or a dataset of
            Hugging Face, with `target`; a dict of splits ("train", "validation", "test") of these; or
            batches: a `DataLoader`, a `torch.utils.data.Dataset`, an iterable of batches, a function epoch ->
            iterable. A batch is a pair (inputs, targets) or a dict; see `pellucid.batch.as_batch`. Of a
            longer tuple the last entry is the target, unless `inputs=` says how many of the first are inputs:
            with `inputs=1`, a batch (x, y1, y2) has the targets (y1, y2), which the loss receives as a tuple.
        y: the targets, where `data` is X: fit(model, X, y) is fit(model, (X, y)).
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
        allow_changes: resume although settings or data have changed, and note the differences in the run.
        progress: show a bar and one row an epoch.
        on_finding: called with each finding, once: a warning or an error after the epoch at which it is first
            seen, everything else at the end.
        settings: any setting by its dotted key, e.g. {"data.augment.shift": 0.1}.
        short: the usual settings by their short names: epochs, batch_size, lr, seed, ... (see
            `pellucid.fitting.SHORT`). `minutes=` is the time of the whole call, from reading to the report,
            instead of epochs.

    Returns:
        The finished run.

    Raises:
        PellucidError: a setting, the data or the model does not fit; says what to change.

    Example:
        >>> run = fit("mlp", "digits", epochs=3, lr=0.01)  # doctest: +SKIP
    """
    began = now()
    plan = make_plan(
        Call(
            model,
            data if y is None else (data, y),
            task=task,
            target=target,
            validation=validation,
            test=test,
            objective=objective,
            loss=loss,
            metrics=metrics,
            callbacks=callbacks,
            optimizer=optimizer,
            schedule=schedule,
            sample_weight=sample_weight,
            class_weight=class_weight,
            settings=settings or {},
            short=short,
        )
    )
    finished = runner.train(
        plan.config,
        runs=runs,
        resume=runner.Resume(resume, allow_changes=allow_changes) if resume else None,
        dataset=plan.dataset,
        model=plan.module,
        console=TextConsole() if progress else None,
        supplied=plan.supplied,
        begun=None if resume else plan.record,
        used=now() - began,
        on_finding=on_finding,
    )
    return Run(finished.path, plan.module, plan.passed, plan.supplied)
