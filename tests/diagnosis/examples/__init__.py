"""For every rule a small record on which it reports something; the pages of the rules show that message.

`python -m tests.diagnosis.examples` writes the messages into `pellucid/diagnosis/pages` anew.
"""

from __future__ import annotations

from pellucid.diagnosis import Facts, examine
from pellucid.diagnosis.preflight import Preflight, assess
from pellucid.diagnosis.watched import Watched
from pellucid.record import Finding
from tests.diagnosis.examples import before, data, loops, runs, signals, steps

RECORDS: dict[str, Facts | Watched | Preflight] = {
    **runs.EXAMPLES,
    **loops.EXAMPLES,
    **signals.EXAMPLES,
    **steps.EXAMPLES,
    **before.EXAMPLES,
    **data.EXAMPLES,
}


def found(id: str) -> Finding:
    """Return what the rule of this id finds in its record."""
    record = RECORDS[id]
    if isinstance(record, Preflight):
        findings = assess(record)
    else:
        findings = examine(record if isinstance(record, Facts) else Facts(watched=record)).findings
    return next(finding for finding in findings if finding.rule == id)
