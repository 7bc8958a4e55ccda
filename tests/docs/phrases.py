"""Words and phrases that must not come back, and where they occur: `python tests/docs/phrases.py [FOLDER]`.

What a reader sees is searched: the report's templates, the text of every command, the pages of the
documentation, the strings and docstrings of the package, and the names of tests.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

PHRASES = {
    r"\b(a|the|each|whichever) person('s)?\b|\bpersons\b": "user",
    r"\bon end\b": "concatenated",
    r"\bto be told\b|\b(is|are|was|were) told\b|\btold (of|from|apart)\b": "predicted, given, distinguished",
    r"\b(to|could|can|cannot|not) be had\b": "unavailable",
    r"\b(so|that) many (of|tokens|rows|words|steps|epochs|times|numbers|samples|updates)\b": "n",
    r"\balone\b": "only",
    r"\bgo(es|ing)? on with\b": "resume with, continue with",
    r"\bbeside\b": "compared with, next to",
    r"\bothers have trained\b": "pretrained",
    r"\b(takes?|taken) for\b": "predicted as, confused with",
    r"\bgives back\b": "reconstructs, returns",
    r"\balike\b": "similar",
    r"\bstandings\b|\brivals?\b": "comparison, baseline",
    r"\bfilm of\b|\ba film\b": "snapshots",
    r"\bjudge[sd]?\b|\bjudging\b": "evaluator, evaluates",
    r"\bspoil(s|t|ed|ing)?\b": "add noise, corrupt",
    r"\bwishes\b": "options",
    r"\btrainings\b": "training runs",
    r"\ba training\b(?! (row|run|split|step|loss|image|batch|set|loop|example|text|time))": "a training run",
    r"\bhow it (writes|goes)\b": "samples, progress",
    r"\bwords (ahead|it takes)\b": "next words",
    r"\bwhat (there is|is there) to (see|show|say|know)\b": "name the thing",
    r"\bany ?more than\b|\bnot any (more|longer)\b": "no longer",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\bhand(s|ed) (over|on)\b|\bhand over\b": "pass",
    r"\bas (it stands|they stand)\b": "unchanged",
    r"\bfound by itself\b": "found automatically",
    r"\bread along\b|\bpassed over\b": "used for training, skipped",
    r"\btwo-way\b": "bidirectional",
    r"\b(learn(s|ed)?|knows?) by heart\b|\bby heart\b": "memorizes",
    r"\bsurer\b|\bmost sure\b": "more confident",
    r"\bno difference can\b": "the difference is within the noise",
    r"\bwords? that come soon\b": "the next words",
    r"\bfrom the output down\b|\balong a cosine\b": "from the output to the input, with a cosine schedule",
}
"""A pattern, and what to write instead."""

EVERYWHERE = [(re.compile(pattern, re.IGNORECASE), instead) for pattern, instead in PHRASES.items()]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "ARCHITECTURE.md",
    "LOG.md",
    "RESULTS.md",
    "docs/**/*.md",
    "pellucid/diagnosis/pages/*.md",
    "docs/**/*.ipynb",
)


def found(folder: Path = ROOT) -> Iterator[tuple[str, int, str, str]]:
    """Yield (file, line, phrase, what to write instead) for every occurrence below a folder."""
    for path in _files():
        if path.is_relative_to(folder) or path == folder:
            for line, text in _texts(path):
                yield from matches(path, line, text)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if path.is_relative_to(folder) or path == folder:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                    yield from matches(path, node.lineno, node.name.replace("_", " "))


def _files() -> Iterator[Path]:
    for pattern in PAGES:
        yield from sorted(ROOT.glob(pattern))
    for pattern in ("*.py", "*.html"):
        yield from sorted((ROOT / "pellucid").rglob(pattern))


def matches(path: Path, line: int, text: str) -> Iterator[tuple[str, int, str, str]]:
    """Yield the phrases in a text of a file."""
    joined = " ".join(text.split())
    for pattern, instead in EVERYWHERE:
        for match in pattern.finditer(joined):
            around = joined[max(0, match.start() - 30) : match.end() + 30]
            yield path.relative_to(ROOT).as_posix(), line, around, instead


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    """The sentences of a file, with the line each begins on."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        yield from ((0, "".join(cell["source"])) for cell in cells if cell["cell_type"] == "markdown")
    elif path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
                yield node.lineno, node.value
    else:
        yield from ((number, part) for number, part in _paragraphs(text))


def _paragraphs(text: str) -> Iterator[tuple[int, str]]:
    line = 1
    for part in re.split(r"(\n\s*\n)", text):
        if part.strip():
            yield line, part
        line += part.count("\n")


if __name__ == "__main__":
    below = (Path.cwd() / sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT
    occurrences = list(found(below))
    for file, line, around, instead in occurrences:
        print(f"{file}:{line}: ...{around}... -> {instead}")
    print(f"{len(occurrences)} occurrences")
