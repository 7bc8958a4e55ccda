"""The API pages: one for `pellucid`, and one for each module that has something public.

Modules are read from their files, so nothing is imported and a module that moves takes its page along.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

PACKAGES = (
    "models",
    "nn",
    "data",
    "train",
    "tasks",
    "record",
    "diagnosis",
    "report",
    "runner",
    "lens",
)
MODULES = ("batch", "config", "errors", "evaluation", "inference", "pretrained", "study")
"""Single modules with names that a user meets."""


def pages(root: Path) -> dict[str, str]:
    """Return the text of each page by its path, e.g. "api/train/losses.md"."""
    modules = list(_modules(root / "pellucid"))
    found = {_uri(module): _page(module) for module in modules if module != "pellucid"}
    return {"api/index.md": _index(modules, root), "api/pellucid.md": _top(root), **found}


def tree(uris: Iterable[str]) -> list[Any]:
    """Return the pages as a navigation, one group for each package."""
    groups: dict[str, list[str]] = {}
    for uri in sorted(set(uris) - {"api/index.md", "api/pellucid.md"}):
        parts = Path(uri).parts
        groups.setdefault(parts[1] if len(parts) > 2 else "", []).append(uri)
    single = [{f"pellucid.{Path(uri).stem}": uri} for uri in groups.pop("", [])]
    order = [name for name in PACKAGES if name in groups]
    named = [{f"pellucid.{name}": [_entry(uri) for uri in groups[name]]} for name in order]
    return [{"pellucid": "api/pellucid.md"}, *named, *single]


def _entry(uri: str) -> Any:
    return uri if uri.endswith("index.md") else {".".join(Path(uri).with_suffix("").parts[2:]): uri}


def _modules(package: Path) -> Iterator[str]:
    """Every module of `PACKAGES` and `MODULES` that has a public name with a docstring."""
    for name in MODULES:
        if (package / f"{name}.py").is_file():
            yield f"pellucid.{name}"
    for name in PACKAGES:
        for path in sorted((package / name).rglob("*.py")):
            parts = path.relative_to(package.parent).with_suffix("").parts
            module = ".".join(part for part in parts if part != "__init__")
            is_package = path == package / name / "__init__.py"
            if is_package or (path.stem[0] != "_" and public_names(path)):
                yield module


def public_names(path: Path) -> list[str]:
    """Return the public classes and functions of a file that have a docstring."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [n.name for n in body if isinstance(n, kinds) and n.name[0] != "_" and ast.get_docstring(n)]


def _uri(module: str) -> str:
    parts = module.split(".")[1:]
    is_package = len(parts) == 1 and parts[0] in PACKAGES
    return f"api/{'/'.join(parts)}{'/index' if is_package else ''}.md"


def _page(module: str) -> str:
    options = "members: false" if _uri(module).endswith("index.md") else "show_submodules: false"
    return f"# {module}\n\n::: {module}\n    options:\n      show_root_heading: false\n      {options}\n"


def _top(root: Path) -> str:
    """The page of the names that `import pellucid` gives."""
    init = root / "pellucid" / "__init__.py"
    tree = ast.parse(init.read_text(encoding="utf-8"))
    names = next(ast.literal_eval(n.value) for n in tree.body if isinstance(n, ast.Assign) and _is_all(n))
    targets = dict(_imports(tree))
    objects = [
        f"::: {targets[name]}\n    options:\n      skip_local_inventory: true\n"
        for name in names
        if not _is_module(root, targets[name])
    ]
    head = (
        "The names that `import pellucid` gives, and two modules: [`pellucid.models`](models/index.md) with "
    )
    toy = "[`pellucid.toy`](data/sources/toy.md) with small made-up datasets.\n"
    return "\n".join(["# pellucid\n", f"{head}the networks and\n{toy}", *objects])


def _is_module(root: Path, name: str) -> bool:
    path = root.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def _is_all(node: ast.Assign) -> bool:
    return isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__"


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for block in tree.body:
        for node in block.body if isinstance(block, ast.If) else ():
            if isinstance(node, ast.ImportFrom):
                for name in node.names:
                    yield name.name, f"{node.module}.{name.name}"


def _index(modules: list[str], root: Path) -> str:
    lines = [
        "# API",
        "",
        "Everything public, from the docstrings of the code. [`pellucid`](pellucid.md) has the names that",
        "most programs need; the packages below hold the parts.",
        "",
        "| package | what it holds |",
        "|---|---|",
    ]
    for name in (name for name in (*PACKAGES, *MODULES) if f"pellucid.{name}" in modules):
        path = root / "pellucid" / name / "__init__.py"
        path = path if path.is_file() else root / "pellucid" / f"{name}.py"
        lines.append(f"| [`pellucid.{name}`]({_uri(f'pellucid.{name}')[4:]}) | {_summary(path)} |")
    return "\n".join(lines) + "\n"


def _summary(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")
