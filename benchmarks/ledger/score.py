"""Score the findings of a ledger run."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from benchmarks.ledger.faults import FAULTS

Record = dict[str, Any]


def warnings_of(record: Record) -> list[str]:
    """Return the ids of the findings that ask for a change, in their order."""
    return [id for id, severity, *_ in record["findings"] if severity != "info"]


def admitted(fault: str, scores: Sequence[float], healthy: Sequence[float]) -> bool:
    """Whether an injected program counts as faulty.

    It breaks a contract, or its score over the seeds differs from the healthy one: p < .05 in Welch's t-test
    and an effect size of at least half a standard deviation.
    """
    if FAULTS[fault].contract:
        return True
    if len(scores) < 2 or len(healthy) < 2:
        return True
    from scipy.stats import ttest_ind

    pooled = math.sqrt((statistics.variance(scores) + statistics.variance(healthy)) / 2)
    effect = (statistics.fmean(healthy) - statistics.fmean(scores)) / max(pooled, 1e-12)
    compared: Any = ttest_ind(scores, healthy, equal_var=False)
    return bool(compared.pvalue < 0.05) and abs(effect) >= 0.5


def table(records: Sequence[Record]) -> str:
    """Return the result as Markdown: totals, a row for each fault, confusions and false alarms."""
    healthy = [one for one in records if not one["fault"]]
    by_program = defaultdict(list)
    for one in healthy:
        by_program[one["program"]].append(one["score"])
    groups = defaultdict(list)
    for one in records:
        if one["fault"]:
            groups[one["fault"], one["program"]].append(one)
    counted, left_out = [], []
    for (fault, program), runs in sorted(groups.items()):
        fits = admitted(fault, [one["score"] for one in runs], by_program.get(program, []))
        (counted if fits else left_out).append((fault, program, runs))
    faulty = [one for _, _, runs in counted for one in runs]
    alarms = [one for one in healthy if warnings_of(one)]
    found, first, three = _share(faulty, _any), _share(faulty, _first), _share(faulty, _three)
    lines = [
        f"{len(faulty)} faulty runs ({len({one['fault'] for one in faulty})} faults), {len(healthy)} "
        "healthy runs "
        f"of {len(by_program)} programs.",
        "",
        "| measure | value | target |",
        "|---|---|---|",
        f"| something is said | {found:.1%} | |",
        f"| the right cause first | {first:.1%} | 80 % |",
        f"| the right cause among the first three | {three:.1%} | 92 % |",
        f"| healthy runs with a warning | {len(alarms)}/{len(healthy)} "
        f"({len(alarms) / max(1, len(healthy)):.1%}) | 2 % |",
        "",
        "| fault | program | runs | score | healthy | found | first | of three | said first |",
        "|---|---|---|---|---|---|---|---|---|",
        *(_row(fault, program, runs, by_program.get(program, [])) for fault, program, runs in counted),
        "",
        "Not counted, because the score is not measurably worse: "
        + (", ".join(f"{fault} on {program}" for fault, program, _ in left_out) or "none")
        + ".",
        "",
        "False alarms: "
        + (
            "; ".join(f"{one['program']} seed {one['seed']}: {', '.join(warnings_of(one))}" for one in alarms)
            or "none"
        )
        + ".",
        "",
        "Wrong first causes: " + (_confusions(faulty) or "none") + ".",
    ]
    return "\n".join(lines)


def _share(records: Sequence[Record], test: Any) -> float:
    return sum(test(one) for one in records) / max(1, len(records))


def _any(record: Record) -> bool:
    return bool(warnings_of(record))


def _first(record: Record) -> bool:
    said = warnings_of(record)
    return bool(said) and said[0] in FAULTS[record["fault"]].causes


def _three(record: Record) -> bool:
    return bool(set(warnings_of(record)[:3]) & set(FAULTS[record["fault"]].causes))


def _row(fault: str, program: str, runs: Sequence[Record], healthy: Sequence[float]) -> str:
    said = Counter((warnings_of(one) or ["nothing"])[0] for one in runs).most_common(1)[0][0]
    score = statistics.fmean(one["score"] for one in runs)
    usual = f"{statistics.fmean(healthy):.3f}" if healthy else ""
    shares = " | ".join(f"{_share(runs, test):.0%}" for test in (_any, _first, _three))
    return f"| {fault} | {program} | {len(runs)} | {max(score, -999):.3f} | {usual} | {shares} | {said} |"


def _confusions(faulty: Sequence[Record]) -> str:
    wrong = Counter((one["fault"], (warnings_of(one) or ["nothing"])[0]) for one in faulty if not _first(one))
    return "; ".join(f"{fault} as {said} ({count})" for (fault, said), count in wrong.most_common(40))
