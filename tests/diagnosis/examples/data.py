"""Records of the data of runs."""

from __future__ import annotations

from pellucid.diagnosis import Facts
from pellucid.diagnosis.data_facts import ClassRecall, Copies, DataFacts, LabelFacts, Shift

PAIRS = ((3, 118, 1.0), (9, 40, 1.0), (17, 5, 1.0))

EXAMPLES = {
    "suspicious-labels": Facts(
        labels=LabelFacts(
            10_000,
            1_013,
            1_020,
            0.958,
            2.71,
            (("4", "9", 88), ("7", "1", 81), ("3", "8", 74), ("5", "6", 60)),
        )
    ),
    "leaked-rows": Facts(
        data=DataFacts((Copies("train", 8_000), Copies("test", 1_000, 40, 6, 1_000, PAIRS, 0.952, 0.918)))
    ),
    "repeated-rows": Facts(data=DataFacts((Copies("train", 8_000, 640, pairs=PAIRS),))),
    "split-shift": Facts(data=DataFacts(shift=(Shift("test", 0.91, 0.02, (("year", 2.4), ("price", 0.8))),))),
    "column-predicts-target": Facts(data=DataFacts(revealing=(("refund", 0.998),))),
    "minority-missed": Facts(classes=(ClassRecall("fine", 940, 0.99), ClassRecall("ill", 60, 0.05))),
    "inputs-off-scale": Facts(data=DataFacts(normalized=False, mean=33.3, spread=78.6)),
}
