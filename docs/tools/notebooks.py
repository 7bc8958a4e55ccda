"""Run notebooks and turn them into pages: `python docs/tools/notebooks.py` runs all and stores the outputs.

A notebook is run as a script would be: its cells in one namespace, one after the other, in a folder of its
own. What a cell prints, and the value of its last line, become its output. No notebook server is needed.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1]


def paths(docs: Path) -> list[Path]:
    """Return the notebooks, in their order."""
    return sorted((docs / "tutorials").glob("*.ipynb"))


def read(path: Path) -> dict[str, Any]:
    """Read a notebook."""
    return json.loads(path.read_text(encoding="utf-8"))


def write(path: Path, notebook: dict[str, Any]) -> None:
    """Write a notebook in a form whose differences can be read."""
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


# ---- run ---------------------------------------------------------------------------------------


def run(notebook: dict[str, Any]) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Run the code cells in the current folder.

    Yields:
        Each cell, and its outputs in the form of a notebook.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            yield cell, _run_cell("".join(cell["source"]), namespace)


def _run_cell(source: str, namespace: dict[str, Any]) -> list[dict[str, Any]]:
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "<cell>", "exec"), namespace)
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), namespace) if last else None
    return [*_stream(printed.getvalue()), *_result(value)]


def _stream(text: str) -> list[dict[str, Any]]:
    return (
        [{"name": "stdout", "output_type": "stream", "text": text.splitlines(keepends=True)}] if text else []
    )


def _result(value: Any) -> list[dict[str, Any]]:
    if value is None:
        return []
    data: dict[str, Any] = {"text/plain": repr(value).splitlines(keepends=True)}
    if png := getattr(value, "_repr_png_", None):
        data["image/png"] = base64.b64encode(png()).decode()
    return [{"data": data, "metadata": {}, "output_type": "execute_result", "execution_count": None}]


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Work in an empty folder that is removed afterwards."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as path:
        os.chdir(path)
        try:
            yield Path(path)
        finally:
            os.chdir(before)


# ---- show --------------------------------------------------------------------------------------


def page(path: Path) -> str:
    """Return a notebook as a page in Markdown, with the outputs that are stored in it."""
    parts = [part for cell in read(path)["cells"] for part in _cell(cell)]
    name = f"`docs/tutorials/{path.name}`"
    return "\n\n".join([*parts, f"*This page is the notebook {name} of the repository.*"]) + "\n"


def _cell(cell: dict[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
        return
    yield f"```python\n{source}\n```"
    for output in cell["outputs"]:
        yield from _output(output)


def _output(output: dict[str, Any]) -> Iterator[str]:
    data = output.get("data", {"text/plain": output.get("text", [])})
    if png := data.get("image/png"):
        yield f'<img class="output" alt="The output of the cell above" src="data:image/png;base64,{png}">'
    elif text := "".join(data["text/plain"]).rstrip():
        yield f"```text {{.output}}\n{text}\n```"


def main() -> None:
    """Run every notebook and store its outputs."""
    for path in paths(DOCS):
        notebook = read(path)
        with folder():
            for cell, outputs in run(notebook):
                cell["outputs"] = outputs
        write(path, notebook)
        print(path.name)


if __name__ == "__main__":
    main()
