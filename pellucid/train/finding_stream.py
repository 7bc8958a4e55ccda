"""Findings during training: each is said once, at the end of the epoch at which its rule first reports it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar

from rich.console import Console

from pellucid.diagnosis import examine_run
from pellucid.diagnosis.rules import all_rules
from pellucid.record import Finding, Run
from pellucid.train.callbacks import Callback

if TYPE_CHECKING:
    from pellucid.train.trainer import Trainer

OnFinding = Callable[[Finding], object]
SHARE = 0.02
"""The largest share of the time of training that the rules may take."""


class FindingStream(Callback):
    """Ask the rules after every epoch, print what is new in one line, and pass it to a function.

    Notes are left to the end of training, and so is what can only be said of a finished run (`Rule.at_end`).

    Args:
        run: whose records are read; they must have been written before.
        console: where to print.
        on_finding: called with each finding, once.
    """

    needs: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, run: Run, console: Console, on_finding: OnFinding | None = None):
        self.run, self.console, self.on_finding = run, console, on_finding
        self._known: set[tuple[str, str]] = set()
        self._began, self._spent = time.perf_counter(), 0.0

    def on_train_start(self, trainer: Trainer) -> None:
        self._began, self._spent = time.perf_counter(), 0.0

    def on_epoch_end(self, trainer: Trainer) -> None:
        began = time.perf_counter()
        if self._spent > SHARE * (began - self._began):
            return
        rules = [rule for rule in all_rules() if not rule.at_end]
        found = examine_run(self.run, rules=rules).findings
        self._spent += time.perf_counter() - began
        for finding in self.tell(one for one in found if one.level != "note"):
            self.console.print(
                f"{finding.level}: {finding.seen} [{finding.id}]", markup=False, highlight=False
            )

    def tell(self, findings: Iterable[Finding]) -> list[Finding]:
        """Pass those findings on that are new, and return them."""
        new = []
        for finding in findings:
            if (finding.rule, finding.where) not in self._known:
                self._known.add((finding.rule, finding.where))
                new.append(finding.worded())
        for finding in new if self.on_finding is not None else ():
            self.on_finding(finding)  # type: ignore[misc]
        return new
