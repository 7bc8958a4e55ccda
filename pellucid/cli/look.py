"""`pellucid look RUN`: what happens in every module of a run's model, or one view of it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pellucid.cli import common, predict
from pellucid.config_text import parse_override
from pellucid.errors import UsageError
from pellucid.record import Run


def look(
    run: Annotated[str, typer.Argument(help=common.RUN_HELP, metavar="RUN")] = "last",
    step: Annotated[
        int | None,
        typer.Option("--step", help="Look at the weights after this update; a checkpoint.", metavar="N"),
    ] = None,
    phase: Annotated[
        str | None,
        typer.Option("--phase", help="The loss of a run with several, e.g. discriminator.", metavar="NAME"),
    ] = None,
    view: Annotated[
        str | None,
        typer.Option(
            "--view",
            help="Show one view instead, such as kernels, gates or attention; --views lists them.",
            metavar="NAME",
        ),
    ] = None,
    views: Annotated[bool, typer.Option("--views", help="List the views that suit the model.")] = False,
    layer: Annotated[
        str | None, typer.Option("--layer", help="The layer of the view; else it chooses.", metavar="NAME")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Set an option of the view, e.g. row=3; may be repeated.", metavar="KEY=VALUE"
        ),
    ] = None,
    runs: common.Runs = common.RUNS,
    as_json: common.Json = False,
) -> None:
    """Show shapes, statistics, gradients and costs of every module, on rows of the validation data."""
    from pellucid import looking
    from pellucid.lens.show import show
    from pellucid.record.run import find_run

    found = find_run(runs, run)
    if views:
        _list(looking.views(found, step=step, phase=phase), as_json)
        return
    if view is not None:
        _view(found, view, step, phase, _options(layer, settings), as_json)
        return
    if layer or settings:
        raise UsageError("--layer and --set are of a view.", remedy="--view NAME; --views lists them")
    trace = looking.look(found, step=step, phase=phase)
    if as_json:
        common.print_json(trace.to_dict())
    else:
        show(trace, common.console())


def _options(layer: str | None, settings: list[str] | None) -> dict[str, Any]:
    options = predict.by_name(map(parse_override, settings or []))
    return options if layer is None else options | {"layer": layer}


def _view(
    run: Run, name: str, step: int | None, phase: str | None, options: dict[str, Any], as_json: bool
) -> None:
    from pellucid import looking
    from pellucid.lens.views.show import show

    seen = looking.view(run, name, step=step, phase=phase, **options)
    if as_json:
        common.print_json(seen.to_dict())
    else:
        show(seen, common.console())


def _list(found: dict[str, str], as_json: bool) -> None:
    """Print the views that suit a model, and why the others do not."""
    from pellucid.lens.views.catalogue import find_view

    if as_json:
        common.print_json(found)
        return
    console = common.console()
    for name, why in found.items():
        if not why:
            options = ", ".join(find_view(name).options)
            console.print(f"{name:<17} {find_view(name).shows} (--set {options})")
    console.print()
    for name, why in found.items():
        if why:
            console.print(f"not {name}: it {why}", style="dim")
