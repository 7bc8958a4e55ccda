"""The diagnosis of a run: what was found, what could not be checked."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from pellucid.diagnosis.examination import Skipped, examine_run, findings, ranked
from pellucid.diagnosis.explained import check_muted, where_found
from pellucid.diagnosis.rule import OLD_IDS
from pellucid.diagnosis.verified import Verified, read
from pellucid.record import Finding, Run


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with a run.

    Attributes:
        run: its folder.
        name: of the run.
        findings: the likeliest and most serious first.
        skipped: the checks that could not run, with the reason.
        verified: what came of trying the remedies; None if they were not tried.
    """

    run: str
    name: str
    findings: tuple[Finding, ...]
    skipped: tuple[Skipped, ...]
    verified: Verified | None = None

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __getitem__(self, index: int) -> Finding:
        return self.findings[index]

    def __str__(self) -> str:
        from pellucid.report.diagnosis_text import as_text

        return as_text(self)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "run": self.run,
            "name": self.name,
            "findings": [{"id": one.id, "severity": one.severity, **asdict(one)} for one in self.findings],
            "skipped": [asdict(one) for one in self.skipped],
            "verified": None if self.verified is None else self.verified.to_dict(),
        }


def diagnosis_of(run: Run, mute: Collection[str] = ()) -> Diagnosis:
    """Return what the rules find in the records of a run.

    Of its stored findings, a loss that was caught, and those of rules that this process does not know, stay.

    Args:
        run: any run, finished or not.
        mute: ids of findings to leave out, in addition to those that the run mutes.

    Raises:
        UnknownNameError: no finding has such an id.
    """
    check_muted(mute)
    muted = {OLD_IDS.get(id, id) for id in mute}
    examined = examine_run(run, mute)
    fresh, known = {one.rule for one in examined.findings}, where_found().keys() - {"non-finite-loss"}
    stored = [one for one in findings(run) if one.rule not in muted | fresh | known]
    found = ranked([*examined.findings, *stored])
    found = tuple(one.worded() for one in found)
    return Diagnosis(str(run.path), run.name, found, tuple(examined.skipped), read(run))
