"""Records of a model and a batch before the first step."""

from __future__ import annotations

from pellucid.diagnosis.preflight import Preflight

CRASHED = "fc2 (Linear) raised: it expects 64 features, received 128."

EXAMPLES = {
    "computation-fails": Preflight(crash=CRASHED, crash_where="fc2", crash_fix="nn.Linear(128, ...)"),
    "labels-out-of-range": Preflight(
        crash="cross_entropy raised: the targets hold class 10, and the outputs have 10 classes.",
        crash_expected="class numbers from 0 to 9",
        crash_fix="class numbers from 0",
    ),
    "no-usual-loss": Preflight(
        parameters=4,
        without_loss="No usual loss fits outputs of shape (8, 3, 5) and targets of shape (8, 2)."
    ),
    "zero-gradients": Preflight(
        parameters=2, zero_gradient=("fc.weight", "fc.bias"), differentiated=True
    ),
    "frozen-parameters": Preflight(
        parameters=2, frozen=("body.weight", "body.bias"), differentiated=True
    ),
    "mixed-devices": Preflight(parameters=4, differentiated=True, devices={"cuda:0": 2, "cpu": 2}),
    "mixed-dtypes": Preflight(parameters=4, differentiated=True, dtypes={"float32": 2, "float16": 2}),
    "evaluation-mode": Preflight(parameters=4, differentiated=True, training=False),
}  # fmt: skip
