"""Records of runs: curves, a GAN, a profile."""

from __future__ import annotations

from dataclasses import replace

from pellucid.diagnosis import Facts, GANCurves, NonFinite, Setting, Speed
from tests.diagnosis.examples.making import by_epoch, curves

PRIOR = {"prior": {"val/accuracy": 0.1, "val/loss": 2.3}, "linear": {"val/accuracy": 0.92}}
SETTING = Setting(lr=1e-3, rows=1000)
FELL = [2.0, 1.0, 0.6, 0.45, 0.4, 0.4, 0.4, 0.4, 0.4]
SAME = [0.4] * 6

TURNED = [0.30, 0.12, 0.07, 0.052, 0.045, 0.041, 0.043, 0.047, 0.050, 0.053, 0.056, 0.058]
MEMORIZED = [0.50, 0.20, 0.10, 0.06, 0.04, 0.030, 0.022, 0.016, 0.011, 0.008, 0.005, 0.004]
LOST = [0.90, 0.95, 0.97, 0.975, 0.98, 0.985, 0.98, 0.975, 0.97, 0.96, 0.955, 0.95]
UP = [1.0, 0.6, 0.5, 0.4, 0.5, 0.9, 1.5, 2.0, 2.1, 2.2]


def run(**named: list[float]) -> Facts:
    return Facts(curves(**named), PRIOR, SETTING)


def gan(real: float = 0.7, fake: float = 0.3, **more: object) -> Facts:
    losses = {"discriminator": by_epoch([0.9] * 6), "generator": by_epoch([1.1] * 6)}
    outputs = (by_epoch([real] * 6), by_epoch([fake] * 6))
    return Facts(gan=replace(GANCurves(losses, *outputs), **more))


WELL = Speed(
    parts={"data": 0.02, "forward": 0.4, "backward": 0.5, "optimizer": 0.05, "saving": 0.01},
    by_callback={"Recorder": 0.02},
    measuring=0.05,
    share_of_peak=0.3,
    rows=64,
    double=1.05,
    in_memory=True,
    augmented=False,
    path="bf16",
    faster=("bf16", 1.0),
    checkpoint_seconds=30,
)


def slow(parts: dict[str, float] | None = None, **more: object) -> Facts:
    return Facts(speed=replace(WELL, parts={**WELL.parts, **(parts or {})}, **more))


EXAMPLES = {
    "activation-before-loss": Facts(activation="softmax"),
    "non-finite-loss": Facts(
        caught=NonFinite(float("nan"), 411, "layers.0", "the weights of layers.0 are not finite"),
        setting=SETTING,
    ),
    "too-short": run(val_loss=[1.2, 0.8]),
    "no-validation": Facts({"train/loss": by_epoch([1.0, 0.5, 0.3])}),
    "underfitting": run(val_loss=[2.31, 2.30, 2.30, 2.30], val_accuracy=[0.10, 0.11, 0.10, 0.11]),
    "overfitting": run(val_loss=TURNED, train_loss=MEMORIZED, val_accuracy=LOST),
    "overconfident": run(val_loss=TURNED, train_loss=MEMORIZED, val_accuracy=[0.99] * 12),
    "diverging": run(val_loss=UP, train_loss=UP, val_accuracy=[0.95] * 10),
    "still-improving": run(val_loss=[2.0, 1.7, 1.4, 1.1, 0.9, 0.7], val_accuracy=[0.95] * 6),
    "memorizing": run(val_loss=[*FELL, 0.4], train_loss=[*FELL[:4], *[0.05] * 6], val_accuracy=[0.95] * 10),
    "healthy": run(val_loss=FELL, train_loss=[value - 0.02 for value in FELL], val_accuracy=[0.95] * 9),
    "discriminator-winning": gan(0.99, 0.01),
    "collapsed": gan(coverage=0.1),
    "no-discriminator-outputs": gan(probabilities=False),
    "undecided": gan(0.48, 0.52),
    "balanced": gan(coverage=1.0),
    "slow-execution": slow(path="eager", faster=("bf16", 2.0)),
    "waiting-for-data": slow({"data": 0.4}, in_memory=False),
    "frequent-checkpoints": slow({"saving": 0.2}),
    "slow-callback": slow(by_callback={"Pictures": 0.3}),
    "slow-validation": slow(measuring=0.4),
    "small-batches": slow(double=1.6),
    "slow-optimizer": slow({"optimizer": 0.5}),
    "fast": slow(),
}
