"""The watch as a callback of Lightning and of the Trainer of transformers.

trainer = lightning.Trainer(callbacks=[watching := pellucid.watch_lightning()])
trainer = transformers.Trainer(..., callbacks=[watching := pellucid.watch_trainer()])
watching.findings
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from pellucid.batch import as_batch
from pellucid.errors import UsageError
from pellucid.lens.watch.watcher import Watch, watch
from pellucid.record import Finding


class _Watching:
    """What both callbacks share: a watch that opens when training starts."""

    watching: Watch | None = None

    @property
    def findings(self) -> list[Finding]:
        """What is wrong, the likeliest first; [] before training."""
        return [] if self.watching is None else self.watching.findings


def watch_lightning(**options: Any) -> Any:
    """Return a callback for `lightning.Trainer(callbacks=[...])`.

    Args:
        options: as those of `pellucid.watch`: mute, on_finding.

    Returns:
        A callback with `findings`.

    Raises:
        UsageError: Lightning is not installed.
    """
    try:
        from lightning.pytorch import Callback  # type: ignore[import-not-found]
    except ImportError:
        try:
            from pytorch_lightning import Callback  # type: ignore[import-not-found]
        except ImportError:
            raise UsageError("Lightning is not installed.", remedy="pip install lightning") from None

    class LightningWatch(_Watching, Callback):
        loss: Any = None

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            self.watching = watch(pl_module, trainer.optimizers, **options)

        def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:
            self.loss = loss

        def on_train_batch_end(
            self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
        ) -> None:
            if self.watching is not None:
                inputs, targets = _pair(batch)
                self.watching.step(self.loss, inputs=inputs, targets=targets)
            self.loss = None

        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            if self.watching is not None and not trainer.sanity_checking:
                self.watching.validate(_numbers(trainer.callback_metrics, ("val", "test")))

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            if self.watching is not None:
                self.watching.close()

    return LightningWatch()


def watch_trainer(**options: Any) -> Any:
    """Return a callback for `transformers.Trainer(callbacks=[...])`.

    Args:
        options: as those of `pellucid.watch`: mute, on_finding.

    Returns:
        A callback with `findings`.

    Raises:
        UsageError: transformers is not installed.
    """
    try:
        from transformers import TrainerCallback
    except ImportError:
        raise UsageError("transformers is not installed.", remedy="pip install transformers") from None

    class TrainerWatch(_Watching, TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            self.watching = watch(given["model"], given.get("optimizer"), **options)

        def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            if self.watching is not None:
                self.watching.step()

        def on_evaluate(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            if self.watching is not None:
                self.watching.validate(_numbers(given.get("metrics") or {}, ("eval_",)))

        def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            if self.watching is not None:
                self.watching.close()

    return TrainerWatch()


def _pair(batch: Any) -> tuple[Any, Any]:
    """The inputs and targets of a batch; where they cannot be told, the batch and None."""
    try:
        return tuple(as_batch(batch))  # type: ignore[return-value]
    except Exception:
        return batch, None


def _numbers(metrics: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, float]:
    """The measures of new rows: single numbers whose names start so."""
    found = {}
    for name, value in metrics.items():
        number = isinstance(value, int | float) or (isinstance(value, torch.Tensor) and value.numel() == 1)
        if number and name.startswith(names) and "runtime" not in name and "per_second" not in name:
            found[name] = float(value)
    return found
