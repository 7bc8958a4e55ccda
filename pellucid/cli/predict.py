"""`pellucid predict RUN INPUT`: what a finished run says about something new."""

from __future__ import annotations

from typing import Annotated

import typer

from pellucid.cli import common


def predict(
    run: Annotated[str, typer.Argument(help="A run: its id, the start of it, its folder, or 'last'.")],
    source: Annotated[
        str,
        typer.Argument(help="An image, a folder of images, a CSV, Parquet or .npy file.", metavar="INPUT"),
    ],
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """Predict for new inputs."""
    import time

    from pellucid import inference
    from pellucid.record.run import find_run

    start = time.perf_counter()
    found = find_run(runs, run)
    prediction = inference.predict(found, inference.input_path(source))
    rows = prediction.rows()
    if as_json:
        seconds = {"total": time.perf_counter() - start}
        common.print_json({"run": str(found.path), "input": source, "predictions": rows, "seconds": seconds})
        return
    console = common.console()
    for number, row in enumerate(rows, 1):
        confidence = f"  {100 * row['confidence']:.1f} %" if "confidence" in row else ""
        console.print(f"{number:>5}  {row['prediction']}{confidence}", markup=False)
