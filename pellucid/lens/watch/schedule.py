"""Which steps of a loop are attended to, so that watching costs next to nothing.

The first steps are attended to one by one. Later ones are far apart: a *glance* compares outputs with
targets, a *look* measures every module and parameter. Between them no hook is set; only the loss is kept.
"""

from __future__ import annotations

import math
import time

FIRST = 24
"""Steps that are attended to one by one."""
START = 0.12
"""Seconds of processor time that looks may take in all, whatever the loop takes."""
SHARE = 0.008
"""The share of the loop's time that they may take beyond that."""
GROWTH, SPARING = 1.5, 2.5
"""Each look is at this multiple of the step of the one before; the second once half of the time is used."""
GLANCES, APART = 1.08, 4
"""Each glance is at this multiple of the step of the one before, at least `APART` steps later."""


class Schedule:
    """Plans the next step to attend to.

    Args:
        first: steps that are attended to one by one.
        start, share: seconds that looks may take, and the share of the loop's time beyond that.
        glances: how many times later each glance is than the one before.
        strict: no step is attended to before there is time for it.

    Attributes:
        coming: the next step that is attended to.
        look: it is measured closely.
        glance: its outputs are compared with the targets.
        spent: seconds that looks have taken.
    """

    def __init__(
        self,
        first: int = FIRST,
        start: float = START,
        share: float = SHARE,
        glances: float = GLANCES,
        strict: bool = False,
    ) -> None:
        self.first, self.start, self.share, self.glances = first, start, share, glances
        self.strict = strict
        self.began = time.perf_counter()
        self.spent = 0.0
        self.coming, self.look, self.glance = 1, True, True
        self._looked = self._glanced = self._looks = 0

    def plan(self, done: int) -> None:
        """Plan after `done` steps; costs no more than a few comparisons."""
        elapsed = time.perf_counter() - self.began
        budget = self.start + self.share * elapsed
        self._looks += self.look
        if self._looked < 2:
            next_look = done + 1
        else:
            growth = GROWTH if self.spent < budget / 2 else SPARING
            next_look = max(done + 1, math.ceil(self._looked * growth), self._affordable(done, elapsed))
        pace = self.glances if self.spent < 1.5 * budget else SPARING
        next_glance = max(done + 1, math.ceil(self._glanced * pace) + APART)
        self.coming = done + 1 if done < self.first else min(next_look, next_glance)
        if self.strict:
            self.coming = max(self.coming, self._affordable(done, elapsed))
        self.look, self.glance = self.coming >= next_look, self.coming >= next_glance
        if self.look:
            self._looked = self.coming
        if self.look or self.glance:
            self._glanced = self.coming

    def _affordable(self, done: int, elapsed: float) -> int:
        """The first step at which the time for another look will be there, at the present pace."""
        wanted = self.spent * (1 + 1 / max(1, self._looks)) - self.start
        late = wanted / self.share - elapsed if self.share else 0.0
        return done + max(0, math.ceil(late * done / max(elapsed, 1e-9)))
