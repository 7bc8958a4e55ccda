"""Score the fixes of a ledger run: how much of the gap they recover on rows that no choice saw."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

Record = dict[str, Any]
ENOUGH = 0.9
"""The share of the gap that a fix must recover to count."""

INTRO = """## Fixes

Each fault was given to `pellucid.verify`. Remedies are chosen on one half of the held-out rows and scored on
the other half, mean of 3 seeds that no choice used. Recovered: (fixed - faulty) / (healthy - faulty). A score
below that of the untrained program counts as that. Random search had as many training runs, the same space of
changes and the same half to choose on.
"""


def _mean(record: Record, which: str) -> float:
    """The mean score; a score below that of the untrained program counts as that."""
    pairs = zip(record[which], record["untrained"], strict=True)
    return statistics.fmean(max(score, floor) for score, floor in pairs)


def has_gap(record: Record) -> bool:
    """Whether the fault costs something on these rows: more than twice the standard error over the seeds."""
    floored = [
        [max(score, floor) for score, floor in zip(record[which], record["untrained"], strict=True)]
        for which in ("healthy", "faulty")
    ]
    gaps = [healthy - faulty for healthy, faulty in zip(*floored, strict=True)]
    return statistics.fmean(gaps) > 2 * statistics.stdev(gaps) / math.sqrt(len(gaps))


def recovered(record: Record, which: str = "fixed") -> float:
    """Return the share of the gap that is recovered; 0 where nothing is claimed."""
    if not record[which]:
        return 0.0
    faulty = _mean(record, "faulty")
    return (_mean(record, which) - faulty) / (_mean(record, "healthy") - faulty)


def verified(record: Record, which: str = "fixed") -> bool:
    """Whether at least 90 % of the gap is recovered."""
    return recovered(record, which) >= ENOUGH


def not_real(record: Record) -> bool:
    """Whether a fix is claimed whose gain on the unseen rows is not above 0."""
    return bool(record["claimed"]) and _mean(record, "fixed") <= _mean(record, "faulty")


def fixes_table(records: Sequence[Record], of: int = 0) -> str:
    """Return the result as Markdown: totals, then a row for each fault and program.

    Args:
        records: of the programs that were run.
        of: how many programs there are.
    """
    order = sorted(records, key=lambda one: (one["fault"], one["program"]))
    counted = [one for one in order if has_gap(one)]
    left_out = [one for one in order if not has_gap(one)]
    total = max(1, len(counted))
    fixed, drawn = (sum(verified(one, which) for one in counted) for which in ("fixed", "random"))
    claimed = sum(bool(one["claimed"]) for one in order)
    false = [one for one in order if not_real(one)]
    names = "; ".join(f"{one['fault']} on {one['program']} ({one['words']})" for one in false) or "none"
    return "\n".join(
        [
            INTRO,
            f"{len(counted)} programs with a fault that costs something, {len(left_out)} others"
            + (f"; a random sample of the {of} programs with a fault." if of > len(order) else "."),
            "",
            "| measure | value | target |",
            "|---|---|---|",
            f"| fix verified: at least 90 % of the gap recovered | {fixed}/{len(counted)} "
            f"({fixed / total:.1%}) | 75 % |",
            f"| random search with as many training runs | {drawn}/{len(counted)} "
            f"({drawn / total:.1%}) | less |",
            f"| fixes claimed | {claimed}/{len(order)} | |",
            f"| claimed but not real | {len(false)} | 0 |",
            f"| training runs, seconds a program | {_average(order, 'trainings'):.0f}, "
            f"{_average(order, 'seconds'):.0f} | |",
            "",
            "| fault | program | faulty | healthy | fixed | recovered | random search | runs | seconds "
            "| the fix |",
            "|---|---|---|---|---|---|---|---|---|---|",
            *(_row(one) for one in counted),
            "",
            "No gap to recover: "
            + (", ".join(f"{one['fault']} on {one['program']}" for one in left_out) or "none")
            + ".",
            "",
            f"Claimed but not real: {names}.",
        ]
    )


def _average(records: Sequence[Record], key: str) -> float:
    return statistics.fmean(one[key] for one in records) if records else 0.0


def _row(record: Record) -> str:
    fixed = f"{_mean(record, 'fixed'):.3f}" if record["fixed"] else ""
    gap = f"{recovered(record):.0%}" if record["fixed"] else "nothing claimed"
    return (
        f"| {record['fault']} | {record['program']} | {_mean(record, 'faulty'):.3f} "
        f"| {_mean(record, 'healthy'):.3f} | {fixed} | {gap} | {recovered(record, 'random'):.0%} "
        f"| {record['trainings']} | {record['seconds']:.0f} | {record['words'] or 'none proven'} |"
    )
