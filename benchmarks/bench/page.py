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
    """Replace an earlier comparison of the same two on this kind of processor, and rewrite both files."""
    path, kind = folder / "results.json", machine["instructions"]
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    earlier = kept.get(kind, {}).get("comparisons", [])
    others = [
        other for other in earlier if (other["workload"], other["peer"]) != (one["workload"], one["peer"])
    ]
    kept[kind] = {**machine, "comparisons": sorted([*others, one], key=_place)}
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    _rewrite(folder / "RESULTS.md", kept)


def _place(one: dict[str, Any]) -> tuple[int, int]:
    names = list(WORKLOADS)
    return names.index(one["workload"]), list(WORKLOADS[one["workload"]].against).index(one["peer"])


def _rewrite(page: Path, kept: dict[str, Any]) -> None:
    """Put a table for each kind of processor between the two marks, and leave the rest unchanged."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    tables = [_table(kind, machine, machine["comparisons"]) for kind, machine in sorted(kept.items())]
    page.write_text("\n\n".join([f"{before}{BEGIN}", *tables, f"{END}{after}"]), encoding="utf-8")


def _table(kind: str, machine: dict[str, Any], found: list[dict[str, Any]]) -> str:
    words = (
        f"{machine['cores']} cores, {machine['machine']}, torch {machine['torch']}. The share is of what\n"
        "matrix products in the fastest type reached on all threads at the beginning of the same run."
    )
    if machine.get("limited"):
        words += (
            f"\nMeasured on a processor with AVX-512 that was limited by `{machine['limited']}`; real ones\n"
            "with AVX2 only are slower, and their peers with them."
        )
    names = dict.fromkeys(one["workload"] for one in found)
    paths = {name: next(one["path"] for one in found if one["workload"] == name) for name in names}
    said = "\n".join(f"- `{name}`, {WORKLOADS[name].what}: {path}" for name, path in paths.items())
    rows = "\n".join([*HEAD, *map(_row, found)])
    return "\n\n".join([f"### {kind}", words, rows, "How ours computed a step, and why:", said])


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
