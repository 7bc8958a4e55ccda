"""Load the trained model of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from pellucid.config import Config
from pellucid.data.preprocess import Preprocess
from pellucid.errors import ModelError, RunError, UnknownNameError
from pellucid.evaluation import Trained
from pellucid.record import Run, files
from pellucid.record.run import list_runs
from pellucid.record.trained_run import find_trained_run
from pellucid.runner.decision import threshold_of
from pellucid.runner.model_builder import OWN_MODEL, PRETRAINED, make_model, recall_model
from pellucid.runner.own_module import check_module
from pellucid.runner.supplied import without_own_loss
from pellucid.tasks import get_task
from pellucid.train import checkpoint

WEIGHTS = ".safetensors"


def load_trained(run: Run, model: nn.Module | None = None, step: int | None = None) -> Trained:
    """Load the trained model of a run.

    Args:
        run: a run with a checkpoint.
        model: a module with the same architecture; required if the run trained the caller's own module.
        step: the update after which it is wanted; None: with the weights that predict.

    Raises:
        RunError: there is no valid checkpoint, none of this step, or the run is a study.
        ModelError: the weights belong to another model, or `model` is required.
    """
    refuse_study(run)
    check_module(model)
    config = Config.read(run.path / "config.yaml")
    own_batches = run.facts.get("dataset", {}).get("source", {}).get("kind") == "loader"
    preprocess: Any = None if own_batches else load_preprocess(run)
    if model is None:
        if config.model.name == OWN_MODEL:
            raise ModelError(
                f"Run {run.id} trained a module of your own, {run.facts['model']['name']}.",
                remedy="pass it in Python, where predict, evaluate and explain take model=: "
                "pellucid.Run(path).predict(inputs, model=YourModule())",
            )
        recall_model(run)
        model = make_model(config, preprocess, run.facts["model"].get("architecture"))
    which = "best" if config.train.restore_best else "last"
    weights = checkpoint.find_weights(run, which) if step is None else checkpoint.weights_at(run, step)
    checkpoint.load_weights(model, weights)
    task = get_task(config.objective.name)
    return Trained(
        model,
        task.objective(without_own_loss(config)),
        preprocess,
        torch.device("cpu"),
        task=task.name,
        folder=run.path,
        threshold=threshold_of(run),
    )


def refuse_study(run: Run) -> None:
    """Refuse a study where a model is needed.

    Raises:
        RunError: it is a study.
    """
    if "parts" in run.facts:
        raise RunError(
            f"Run {run.id} is a study of {len(run.facts['parts'])} runs and has no model of its own.",
            remedy="choose one of its runs: `pellucid runs show` lists them",
        )


def load_preprocess(run: Run) -> Preprocess:
    """Load the preprocessing that a run fitted on its training split."""
    path = run.path / "preprocess.json"
    try:
        return Preprocess.from_state(files.read_json(path))
    except FileNotFoundError:
        raise RunError(f"{path} is missing.", remedy="train again") from None


def load_needed(config: Config, runs: str | Path) -> dict[str, Trained]:
    """Load the models of other runs that a task uses, by role; see `Task.needs`.

    Raises:
        RunError: there is no finished run with one of the names.
    """
    needs = get_task(config.objective.name).needs(config)
    return {role: load_trained(needed_run(role, name, runs)) for role, name in needs.items()}


def starting_run(config: Config, runs: str | Path) -> Run | None:
    """Return the run that a config's model starts from; None if it does not start from a run.

    Raises:
        UnknownNameError, RunError: there is no such run.
    """
    weights = config.model.weights
    if weights is None or config.model.name == PRETRAINED or Path(weights).suffix == WEIGHTS:
        return None
    return named_run(weights, runs)


LIKE_THE_START = (
    "model.name",
    "model.size",
    "model.options",
    "data.image_size",
    "data.normalize",
    "data.text",
    "data.series",
)
"""Settings that a suggested config takes from the run it starts from."""


def like_start(suggested: Config, weights: str, runs: str | Path) -> Config:
    """Give a suggested config the model of the run that it is to start from, if both learn the same task.

    Args:
        suggested: for the new data.
        weights: what to start from, as `model.weights`.
        runs: the folder of runs.

    Raises:
        UnknownNameError, RunError: there is no such run.
    """
    run = starting_run(suggested.patch({"model.weights": weights}), runs)
    if run is None or "parts" in run.facts:
        return suggested
    before = Config.read(run.path / "config.yaml")
    if before.objective.name != suggested.objective.name or before.model.name == OWN_MODEL:
        return suggested
    values = before.model_dump()
    return suggested.patch({key: values[key.split(".")[0]][key.split(".")[1]] for key in LIKE_THE_START})


def needed_run(role: str, name: str, runs: str | Path) -> Run:
    """Return the finished run that a task uses in a role; see `named_run`.

    Raises:
        RunError: there is no such run.
    """
    try:
        return named_run(name, runs)
    except (RunError, UnknownNameError):
        raise RunError(
            f"There is no finished run {name!r} in {runs}, which the task needs as {role}.",
            remedy=f"`pellucid run {name}` first, or --set objective.options.{role}=null",
        ) from None


def named_run(name: str, runs: str | Path) -> Run:
    """Return the newest finished run with a name, such as a recipe's, or else the run with this id or folder.

    Raises:
        UnknownNameError, RunError: there is no such run.
    """
    finished = finished_runs(name, runs)
    return finished[-1] if finished else find_trained_run(runs, name)[0]


def finished_runs(name: str, runs: str | Path) -> list[Run]:
    """Return the finished runs with a name, newest last."""
    found = [run for run in list_runs(runs) if run.name == name and run.status == "finished"]
    return sorted(found, key=lambda run: run.facts.get("started", ""))
