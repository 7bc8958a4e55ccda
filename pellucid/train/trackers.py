"""Callbacks that log a run's metrics to TensorBoard, MLflow or Weights & Biases; each is an extra."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pellucid.errors import MissingExtraError, UnknownNameError
from pellucid.record import Run
from pellucid.train.callbacks import Callback

if TYPE_CHECKING:
    from pellucid.train.trainer import Trainer


class TensorBoard(Callback):
    """Write event files to the run folder; view them with `tensorboard --logdir runs`."""

    def __init__(self, run: Run):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingExtraError("tensorboard", "tensorboard") from None
        self.writer = SummaryWriter(str(run.path / "tensorboard"))

    def on_epoch_end(self, trainer: Trainer) -> None:
        for key, value in trainer.measures.items():
            self.writer.add_scalar(key, value, trainer.step)

    def on_train_end(self, trainer: Trainer) -> None:
        self.writer.close()


class MLflow(Callback):
    """Log to the MLflow server in `MLFLOW_TRACKING_URI`."""

    def __init__(self, run: Run):
        try:
            import mlflow  # type: ignore[import-not-found]
        except ImportError:
            raise MissingExtraError("mlflow", "mlflow") from None
        self.mlflow, self.run = mlflow, run

    def on_train_start(self, trainer: Trainer) -> None:
        self.mlflow.start_run(run_name=self.run.id)

    def on_epoch_end(self, trainer: Trainer) -> None:
        self.mlflow.log_metrics(
            {k.replace("/", "."): v for k, v in trainer.measures.items()}, step=trainer.step
        )

    def on_train_end(self, trainer: Trainer) -> None:
        self.mlflow.end_run()


class WandB(Callback):
    """Log to Weights & Biases; with `WANDB_MODE=offline` only on this machine."""

    def __init__(self, run: Run):
        try:
            import wandb  # type: ignore[import-not-found]
        except ImportError:
            raise MissingExtraError("wandb", "wandb") from None
        self.wandb, self.run = wandb, run
        self.session: Any = None

    def on_train_start(self, trainer: Trainer) -> None:
        self.session = self.wandb.init(project="pellucid", name=self.run.id, dir=str(self.run.path))

    def on_epoch_end(self, trainer: Trainer) -> None:
        self.session.log(trainer.measures, step=trainer.step)

    def on_train_end(self, trainer: Trainer) -> None:
        self.session.finish()


TRACKERS: dict[str, type[TensorBoard] | type[MLflow] | type[WandB]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WandB,
}


def tracker(name: str, run: Run) -> Callback:
    """Return the tracker of a name.

    Raises:
        UnknownNameError: there is no such tracker.
        MissingExtraError: its library is not installed; the message has the command that installs it.
    """
    if name not in TRACKERS:
        raise UnknownNameError("tracker", name, TRACKERS)
    return TRACKERS[name](run)
