"""Write the results of the comparisons: numbers in `results.json`, and the table in `RESULTS.md`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from workloads import WORKLOADS

BEGIN, END = "<!-- comparisons: written by benchmarks/bench -->", "<!-- end of comparisons -->"
HEAD = [
    "| workload | against | ratio | range | must | | ours | theirs | loss, ours and theirs | share of peak |",
    "|---|---|---|---|---|---|---|---|---|---|",
]


def keep(folder: Path, one: dict[str, Any], machine: dict[str, Any]) -> None:
    """Replace an earlier comparison of the same two, and rewrite both files."""
    path = folder / "results.json"
    kept = json.loads(path.read_text(encoding="utf-8"))["comparisons"] if path.exists() else []
    others = [other for other in kept if (other["workload"], other["peer"]) != (one["workload"], one["peer"])]
    found = sorted([*others, one], key=_place)
    path.write_text(json.dumps({**machine, "comparisons": found}, indent=1) + "\n", encoding="utf-8")
    _rewrite(folder / "RESULTS.md", found, machine)


def _place(one: dict[str, Any]) -> tuple[int, int]:
    names = list(WORKLOADS)
    return names.index(one["workload"]), list(WORKLOADS[one["workload"]].against).index(one["peer"])


def _rewrite(page: Path, found: list[dict[str, Any]], machine: dict[str, Any]) -> None:
    """Put the table between its two marks, and leave the rest unchanged."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    words = (
        f"{machine['cores']} cores, {machine['machine']}, torch {machine['torch']}. The share is of what\n"
        "matrix products in bfloat16 reached on all threads at the beginning of the same run."
    )
    table = "\n".join([*HEAD, *map(_row, found)])
    names = dict.fromkeys(one["workload"] for one in found)
    paths = {name: next(one["path"] for one in found if one["workload"] == name) for name in names}
    said = "\n".join(f"- `{name}`, {WORKLOADS[name].what}: {path}" for name, path in paths.items())
    between = [words, table, "How ours computed a step, and why:", said]
    page.write_text("\n\n".join([f"{before}{BEGIN}", *between, f"{END}{after}"]), encoding="utf-8")


def _row(one: dict[str, Any]) -> str:
    unit, peak = WORKLOADS[one["workload"]].unit, max(one["peaks"].values())
    verdict = "losses differ" if not one["alike"] else "met" if one["ratio"] >= one["must"] else "missed"
    cells = [
        f"`{one['workload']}`",
        one["peer"],
        f"{one['ratio']:.2f}",
        f"{min(one['ratios']):.2f} to {max(one['ratios']):.2f}",
        f"{one['must']:g}" if one["must"] else "",
        verdict if one["must"] or not one["alike"] else "",
        f"{one['ours']:,.0f} {unit}/s",
        f"{one['theirs']:,.0f}",
        f"{one['our_loss']:.3f}, {one['their_loss']:.3f}",
        f"{one['gflops'] / peak:.0%}" if one["gflops"] else "",
    ]
    return f"| {' | '.join(cells)} |"
