"""The run folder: what was trained on what data, how it went and how to repeat it.

    runs/<id>/  run.json  config.yaml  run.sqlite  checkpoints/  evaluation/  artifacts/  report.html

`run.json` holds the facts (`Run.facts`), `run.sqlite` what happened over time (`Run.store`). One process may
write a run at a time. Any number may read it, also where nothing can be written: reading takes no lock and
creates no file. docs/run-folder.md describes every file.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shlex
import shutil
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pellucid.errors import RunError, StorageError, UnknownNameError, UsageError, worded
from pellucid.record import files, measures, writer
from pellucid.record.checkpoints import Checkpoints
from pellucid.record.finding import Finding
from pellucid.record.folder_schema import SCHEMA, mismatch
from pellucid.record.span import Span
from pellucid.record.spec import UNKNOWN, TaskSpec, find_spec, task_for
from pellucid.record.store import Artifact, Store

ARTIFACTS = {"image": "png", "json": "json", "table": "parquet", "tensors": "safetensors", "text": "txt"}
"""Kinds of artifacts, and the ending of their files."""

FACTS = "run.json"
CONFIG = "config.yaml"
DATABASE = "run.sqlite"
REPORT = "report.html"


class Run:
    """One run folder, opened.

    Attributes:
        path: the folder.
        facts: what `run.json` holds; change it with `update`.
        store: metrics, findings, events, spans and artifacts.
        checkpoints: the saved states.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path).absolute()  # so that it is found from any current folder
        self.facts: dict[str, Any] = _read_facts(self.path)
        self.store = Store(self.path / DATABASE)
        self.checkpoints = Checkpoints(self.path / "checkpoints")

    @classmethod
    def create(cls, root: str | Path, name: str, config: str, **facts: Any) -> Run:
        """Create a run folder in `root`, atomically: it appears complete under its final name, or not at all.

        Args:
            root: the folder of runs; created if missing.
            name: what is trained; the id is the time and this name.
            config: the rendered `config.yaml`.
            facts: further entries of `run.json`.
        """
        root = Path(root)
        with files.storage(root):
            root.mkdir(parents=True, exist_ok=True)
            stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
            partial = root / f".partial-{stamp}-{os.getpid()}"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
        try:
            base = {
                "schema": SCHEMA,
                "kind": "study" if "parts" in facts else "run",
                "name": name,
                "status": "running",
                "started": now(),
                "seconds": {},
                "choices": [],
                "notes": [],
            }
            files.write(partial / CONFIG, config)
            path = _free(root, f"{stamp}-{_plain(name)}")
            files.write_json(
                partial / FACTS, {"id": path.name, **base, "environment": environment(), **facts}
            )
            writer.sign(partial)
            with files.storage(root):
                partial.rename(path)
                files.sync_folder(root)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return cls(path)

    # ---- identity ------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The name of the folder."""
        return self.path.name

    @property
    def name(self) -> str:
        """The name from the config; the id if there is none."""
        return self.facts.get("name", self.id)

    @property
    def status(self) -> str:
        """running, finished, interrupted or failed; "killed" if it was running and its process is gone."""
        if self.facts.get("status") == "running" and not self.alive:
            self.facts = _read_facts(self.path)  # the writer may have ended since they were read
            return "killed" if self.facts.get("status") == "running" else self.status
        return self.facts.get("status", "unknown")

    @property
    def alive(self) -> bool:
        """True while a process writes the run. Reading it takes no lock and writes nothing."""
        return writer.alive(self.path)

    @property
    def kind(self) -> str:
        """ "run", or "study" for a folder that holds the result of several runs and no model."""
        return self.facts.get("kind") or ("study" if "parts" in self.facts else "run")

    @property
    def config(self) -> str:
        """The text of `config.yaml`.

        Raises:
            RunError: it is missing or cannot be read.
        """
        try:
            return files.read_text(self.path / CONFIG)
        except FileNotFoundError:
            raise RunError(f"{self.path / CONFIG} is missing.") from None

    @property
    def settings(self) -> dict[str, Any]:
        """The plain values of `config.yaml`; {} where it is missing or damaged."""
        from pellucid.record.yaml_text import load_yaml  # here, since most readers do not need it

        try:
            values = load_yaml(self.config)
        except (RunError, ValueError):
            return {}
        return values if isinstance(values, dict) else {}

    @property
    def metrics(self) -> dict[str, float]:
        """The final numbers, e.g. {"test/accuracy": 0.995}."""
        return self.facts.get("metrics") or {}

    @property
    def task(self) -> str:
        """The name of the task; "" if it is not known."""
        return self.spec.name or self.facts.get("task") or ""

    @property
    def spec(self) -> TaskSpec:
        """The description of the task.

        It is stored with the run. A run of an earlier version holds only a name, which may be one that has
        changed since; if no task has it, the spec is empty.
        """
        if stored := self.facts.get("spec"):
            return TaskSpec.from_dict(stored)
        if name := self.facts.get("task"):
            try:
                return find_spec(name)
            except UsageError:
                return UNKNOWN
        return task_for((self.facts.get("dataset") or {}).get("task")) or UNKNOWN

    @property
    def headline(self) -> list[str]:
        """The most important keys of `metrics`, the headline measure first."""
        return measures.headline(self.spec, self.metrics, (self.facts.get("target") or {}).get("metric"))

    @property
    def verdict(self) -> str:
        """Whether the target was reached, in words; "" if there is no target."""
        target, met = self.facts.get("target"), self.facts.get("target_met")
        if not target:
            return ""
        if met is not None:
            return "met" if met else "missed"
        return "does not apply to this data" if target["metric"] in self.metrics else "not measured"

    # ---- writing -------------------------------------------------------------------------------

    def update(self, **facts: Any) -> None:
        """Replace entries of `run.json`, atomically."""
        self.facts.update(schema=SCHEMA, kind=self.kind, **facts)
        files.write_json(self.path / FACTS, self.facts)

    def choose(self, what: str, value: Any, reason: str) -> None:
        """Record an automatic choice and its reason, which says how to change it."""
        others = [choice for choice in self.facts["choices"] if choice["what"] != what]
        self.update(choices=[*others, {"what": what, "value": value, "reason": reason}])

    def note(self, message: str) -> None:
        """Record something that a reader of the run must know; a repeated note is kept once.

        A process that only reads warns instead: another one writes the run, or its folder is read-only.
        """
        message = worded(message)
        if message in self.facts["notes"]:
            return
        try:
            if not writer.is_elsewhere(self.path):
                self.update(notes=[*self.facts["notes"], message])
                return
        except StorageError:
            self.facts["notes"].remove(message)
        warnings.warn(f"Run {self.id}: {message}", stacklevel=2)

    def find(self, finding: Finding) -> None:
        """Store a finding."""
        self.store.finding(finding.worded())

    def artifact(self, step: int, name: str, kind: str, data: Any) -> Path:
        """Write a file that belongs to a step, such as generated images, and list it in the store.

        Args:
            step: the number of optimizer updates before it.
            name: what it shows; the same name and step again replace it.
            kind: a key of `ARTIFACTS`, which says how to read the file.
            data: its content as bytes or text; for "json", any plain value.

        Returns:
            the path, artifacts/NAME/STEP.ENDING in the run folder.

        Raises:
            UnknownNameError: there is no such kind.
        """
        if kind not in ARTIFACTS:
            raise UnknownNameError("kind of artifact", kind, ARTIFACTS)
        path = Path("artifacts", _plain(name), f"{step:08d}.{ARTIFACTS[kind]}")
        files.write(self.path / path, files.json_text(data) if kind == "json" else data)
        self.store.artifact(Artifact(step, name, kind, path.as_posix()))
        return self.path / path

    @contextlib.contextmanager
    def timed(self, name: str, step: int = 0) -> Iterator[None]:
        """Record how long the block took, as a span."""
        start, clock = time.time(), time.perf_counter()
        try:
            yield
        finally:
            self.store.span(Span(name, start, time.perf_counter() - clock, step))

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the run for writing.

        Raises:
            RunError: another process is writing it.
        """
        with writer.hold(self.path), contextlib.closing(self.store):
            yield


def _read_facts(folder: Path) -> dict[str, Any]:
    path = folder / FACTS
    try:
        facts = files.read_json(path)
    except FileNotFoundError:
        raise RunError(
            f"{folder} is not a run folder: it has no {FACTS}.",
            remedy="`pellucid runs ls --runs DIR` lists the runs of a folder",
        ) from None
    if not isinstance(facts, dict):
        raise RunError(f"{path} is damaged: expected an object, received {type(facts).__name__}.")
    version = facts.get("schema", 1)
    if isinstance(version, int) and version > SCHEMA:
        raise RunError(
            f"{path} has schema {version}; this Pellucid reads schemas up to {SCHEMA}.",
            remedy="pip install --upgrade pellucid",
        )
    current = {"kind": "study" if "parts" in facts else "run", **facts}
    if problem := mismatch(current | ({"schema": SCHEMA} if version == 1 else {})):
        raise RunError(f"{path} is damaged: {problem}.")
    return facts


# ---- the folder of runs --------------------------------------------------------------------------


def list_runs(root: str | Path, damaged: list[str] | None = None) -> list[Run]:
    """Return every run in `root`, oldest first; skip folders that are not runs.

    Args:
        root: the folder of runs.
        damaged: receives, for each run that cannot be read, which file and why.
    """
    found = []
    for facts in sorted(Path(root).glob(f"*/{FACTS}")):
        if not facts.parent.name.startswith("."):
            try:
                found.append(Run(facts.parent))
            except RunError as error:
                if damaged is not None:
                    damaged.append(error.message)
    return found


def find_run(root: str | Path, reference: str, name: str | None = None) -> Run:
    """Return the run that `reference` names: a folder, an id, the start of an id, or "last".

    Args:
        root: the folder of runs.
        reference: what the user typed.
        name: for "last", only runs of this name.
    """
    if not reference.strip():
        raise UsageError(
            "The name of the run is empty.", remedy="an id, the start of one, a folder, or 'last'"
        )
    if _is_run(Path(reference)):
        return Run(reference)
    runs = list_runs(root)
    if reference == "last":
        mine = [run for run in runs if name is None or run.name == name]
        if not mine:
            raise RunError(
                f"There is no run{f' of {name!r}' if name else ''} in {root} yet.",
                remedy=f"`pellucid runs ls --runs {shlex.quote(str(root))}`, or another `--runs DIR`",
            )
        return max(mine, key=lambda run: (run.facts.get("started", ""), run.id))
    exact = [run for run in runs if run.id == reference]
    matches = exact or [run for run in runs if run.id.startswith(reference)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise RunError(f"{reference!r} could be any of: {', '.join(run.id for run in matches)}.")
    if _is_run(Path(root, reference)):
        return Run(Path(root, reference))  # raises what is wrong with it
    raise UnknownNameError(f"run in {root}", reference, [*(run.id for run in runs), "last"] if runs else [])


def _is_run(folder: Path) -> bool:
    try:
        return (folder / FACTS).exists()
    except OSError:  # too long a name
        return False


def now() -> str:
    """Return the current time to the millisecond with its zone, e.g. 2026-11-22T16:07:22.123+00:00."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def environment() -> dict[str, Any]:
    """Describe the machine, the versions of packages and the command line."""
    from importlib.metadata import PackageNotFoundError, version

    packages: Mapping[str, str] = {}
    for package in ("pellucid", "torch", "numpy", "datasets", "scikit-learn", "safetensors"):
        with contextlib.suppress(PackageNotFoundError):
            packages = {**packages, package: version(package)}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "command": [_program(sys.argv[0]), *sys.argv[1:]],
        "packages": packages,
    }


def _program(path: str) -> str:
    """Return what a user types: "pellucid" for its script and for `python -m pellucid`, else the path."""
    file = Path(path)
    ours = file.stem == "pellucid" or file.parts[-2:] == ("pellucid", "__main__.py")
    return "pellucid" if ours else path


NAME_BYTES = 100
"""Length of a name in a path; file systems allow 255 bytes, of which the time and a number take some."""


def _plain(name: str) -> str:
    """Return a name that can be part of a path: ylecun/mnist becomes ylecun-mnist."""
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.").encode(errors="ignore")
    return plain[:NAME_BYTES].decode(errors="ignore") or "run"


def _free(root: Path, name: str) -> Path:
    path, number = root / name, 2
    while path.exists():
        path, number = root / f"{name}-{number}", number + 1
    return path


# ---- the trash -----------------------------------------------------------------------------------

TRASH = ".trash"


def trash(run: Run) -> Path:
    """Move a run to the trash in its folder of runs, from where `restore` brings it back."""
    with run.writing():
        pass  # refuse while it is being written
    bin_ = run.path.parent / TRASH
    with files.storage(bin_):
        bin_.mkdir(exist_ok=True)
        return run.path.rename(_free(bin_, run.id))


def restore(root: str | Path, name: str) -> Run:
    """Restore a run from the trash.

    Raises:
        UnknownNameError: there is no such run in the trash.
    """
    there = sorted(path.name for path in (Path(root) / TRASH).glob("*") if (path / FACTS).is_file())
    if name not in there:
        raise UnknownNameError("run in the trash", name, there)
    with files.storage(Path(root)):
        return Run((Path(root) / TRASH / name).rename(_free(Path(root), name)))
