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

    Attributes:
        coming: the next step that is attended to.
        look: it is measured closely.
        glance: its outputs are compared with the targets.
    """

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.spent = 0.0
        self.coming, self.look, self.glance = 1, True, True
        self._looked = self._glanced = 0

    def plan(self, done: int) -> None:
        """Plan after `done` steps; costs no more than a few comparisons."""
        budget = START + SHARE * (time.perf_counter() - self.began)
        within = self.spent < budget
        if self._looked < 2:
            next_look = done + 1
        else:
            growth = GROWTH if self.spent < budget / 2 else SPARING
            next_look = max(done + 1, math.ceil(self._looked * growth))
            if not within:
                next_look = max(next_look, done + 20, math.ceil(done * 1.2))
        pace = GLANCES if self.spent < 1.5 * budget else SPARING
        next_glance = max(done + 1, math.ceil(self._glanced * pace) + APART)
        self.coming = done + 1 if done < FIRST else min(next_look, next_glance)
        self.look, self.glance = self.coming >= next_look, self.coming >= next_glance
        if self.look:
            self._looked = self.coming
        if self.look or self.glance:
            self._glanced = self.coming
