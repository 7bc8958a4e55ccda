"""`pellucid explain RUN INPUT`: which parts of an input speak for what a run predicts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli import common, predict
from pellucid.errors import UsageError

ENDINGS = (".html", ".json")


def explain(
    run: Annotated[str, typer.Argument(help=common.RUN_HELP, metavar="RUN")],
    sources: Annotated[
        list[str],
        typer.Argument(
            help="What `predict` takes: images, tables, texts ...; several of one kind.", metavar="INPUT"
        ),
    ],
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            help="saliency, smoothgrad, integrated_gradients, grad_cam or occlusion; else the one that "
            "suits the input.",
            metavar="M",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target", help="The class or number to explain; else what is predicted.", metavar="NAME"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write to: .html or .json.", metavar="FILE")
    ] = None,
    skip_bad: common.SkipBad = False,
    text: Annotated[
        bool, typer.Option("--text", help="The inputs are texts, also where files have such names.")
    ] = False,
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """Show which pixels, words or columns speak for what a run predicts, and which against it."""
    if out is not None and out.suffix.lower() not in ENDINGS:
        raise UsageError(
            f"--out {out}: expected a file that ends in .html or .json.", remedy=f"--out {out.stem}.html"
        )
    predict.load_arrow()
    from pellucid import explaining
    from pellucid.lens.explain.show import show
    from pellucid.record import files
    from pellucid.report import explanation_page

    found = common.trained_run(runs, run)
    inputs = list(sources) if text else predict.read_inputs(sources, found)
    made = explaining.explain(found, inputs, method, target, skip_bad=skip_bad)
    facts = made.to_dict() | {"run": str(found.path)}
    if out is not None and out.suffix.lower() == ".json":
        files.write_json(out, facts)
    elif out is not None:
        explanation_page.write(facts, out)
    if as_json:
        common.print_json(facts)
        return
    console = common.console()
    show(made, console)
    if out is not None:
        console.print(f"\nWrote {out}")
