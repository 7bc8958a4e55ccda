"""What a task says about itself, as plain facts: how its results are named, worded, drawn and read.

Every task folder has a `spec.py` with `SPEC = TaskSpec(...)` that imports only this module, so specs are read
where torch is not installed. A run copies the spec of its task into `run.json`; report, diagnosis and command
line read it from there (`Run.spec`) and know no task by name.

Specs are found in the folders of `pellucid.tasks`, in packages registered with `register`, and in those that
installed distributions name under the entry point group `pellucid.tasks`.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import EntryPoint
from string import Formatter
from typing import Any, Literal

from pellucid.errors import UnknownNameError, UsageError
from pellucid.extensions import explain, load_installed

PACKAGE = "pellucid.tasks"  # holds our own tasks
ENTRY_POINTS = "pellucid.tasks"  # the group of those that others install

PLACEHOLDERS = ("name", "value", "size", "of", "target", "perplexity", "measure", "article")
"""What a sentence may contain in braces."""

OWN = (
    "The name of a task of your own is known after the module that registers it was imported; its package, "
    "such as my_project.counting, is known wherever it is on PYTHONPATH."
)


@dataclass(frozen=True)
class Measure:
    """One kind of number.

    Attributes:
        name: what a sentence calls it.
        lower: whether smaller is better.
        share: whether it is a share of 1, written as a percentage.
        unit: its unit; "" for none.
        decimals: decimals to write it with; None: as many as it has significant digits.
    """

    name: str
    lower: bool = False
    share: bool = False
    unit: str = ""
    decimals: int | None = None


@dataclass(frozen=True)
class BaselineSpec:
    """How a baseline is called.

    Attributes:
        label: in a table.
        subject: in a sentence, e.g. "the linear model".
        note: what it is, in a few words; "" where the name says it.
    """

    label: str
    subject: str = ""
    note: str = ""

    @property
    def called(self) -> str:
        """The subject of a sentence."""
        return self.subject or self.label


@dataclass(frozen=True)
class TaskSpec:
    """Everything that is known of a task without its code.

    Attributes:
        name: what configs write at `objective.name`.
        summary: one line, e.g. "Predict the class of a row".
        section: title of the task's section in the report.
        headline: names of its measures, the one that stands for a run first.
        measures: measures of its own, by name; those that many tasks share are in `record.measures`.
        loss_unit: the unit of its loss, e.g. "nats per token".
        sentences: the result in a sentence, by measure. Placeholders: {name} of the run, {value}, {size} (the
            value without its sign), {of} (what it was measured on), {target}, {perplexity}.
        verbs: by measure, what a baseline does in such a sentence, e.g. {"mae": "is off by"}; else "gets".
        compare_with: the baseline that a sentence names first; "": the best one.
        absolute: whether sentences write negative values without their sign.
        baselines: its baselines in words, by the name they are recorded under.
        predict_input: what `pellucid predict RUN` takes, as in a command line.
        targets: kinds of target (`Dataset.task`) from which this task follows.
        labelled: whether every row needs a target.
        form: what the task makes of a source: "rows", whole "texts", "series" in the order of time, or rows
            of tokens that are "tagged".
        reads_target: whether the target column is what the model reads or predicts.
        accuracy_of: what its accuracy counts: rows, tokens, steps or something else (""). A sampling error
            follows from the number of rows only where it is rows.
        little_to_learn: whether the best possible answer is only slightly better than guessing.
        players: whether several networks are trained against each other, so that their losses do not say how
            good the result is.
        has_mistakes: whether single rows are right or wrong by more or less, and the report lists the worst.
        aliases: earlier names, still understood in configs and runs.
        renamed_options: by the earlier name of an option, the present one.
    """

    name: str
    summary: str = ""
    section: str = "Results"
    headline: tuple[str, ...] = ("loss",)
    measures: Mapping[str, Measure] = field(default_factory=dict)
    loss_unit: str = ""
    sentences: Mapping[str, str] = field(default_factory=dict)
    verbs: Mapping[str, str] = field(default_factory=dict)
    compare_with: str = ""
    absolute: bool = False
    baselines: Mapping[str, BaselineSpec] = field(default_factory=dict)
    predict_input: str = "INPUT"
    targets: tuple[str, ...] = ()
    labelled: bool = True
    form: Literal["rows", "texts", "series", "tagged"] = "rows"
    reads_target: bool = False
    accuracy_of: Literal["rows", "tokens", "steps", ""] = ""
    little_to_learn: bool = False
    players: bool = False
    has_mistakes: bool = False
    aliases: tuple[str, ...] = ()
    renamed_options: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TaskSpec:
        """Read what `to_dict` wrote; entries that a later version added are ignored."""
        known = _known(cls, values)
        known["measures"] = {
            name: Measure(**_known(Measure, entry)) for name, entry in known.get("measures", {}).items()
        }
        known["baselines"] = {
            name: BaselineSpec(**_known(BaselineSpec, entry))
            for name, entry in known.get("baselines", {}).items()
        }
        for name in ("headline", "targets", "aliases"):
            known[name] = tuple(known.get(name, getattr(cls, name, ())))
        return cls(**known)


UNKNOWN = TaskSpec(name="")
"""The spec of a run whose task is not known."""


def _known(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    names = {entry.name for entry in fields(cls)}
    return {name: value for name, value in values.items() if name in names}


# ---- finding them ----------------------------------------------------------------------------------

_registered: list[str] = []
"""Packages registered from outside, in order."""


def register(package: str) -> TaskSpec:
    """Make a package with a `spec.py` and a `task.py` a task.

    Args:
        package: its importable name, e.g. "my_project.counting".

    Raises:
        UsageError: there is no such package, its `SPEC` is missing or wrong, or its name is taken.
    """
    spec = _read(package)
    _check_names(package, spec, specs())
    if package not in specs():
        _registered.append(package)
        specs.cache_clear()
    return spec


@functools.cache
def specs() -> Mapping[str, TaskSpec]:
    """Return all specs, by the package that holds them."""
    found = {package: _read(package) for package in (*_packages(), *_registered)}

    def add(point: EntryPoint) -> None:
        spec = _read(point.value)
        _check_names(point.value, spec, found)
        found.setdefault(point.value, spec)

    load_installed(ENTRY_POINTS, add)
    return found


def _packages() -> Iterator[str]:
    for module in pkgutil.iter_modules(importlib.import_module(PACKAGE).__path__):
        if module.ispkg and importlib.util.find_spec(f"{PACKAGE}.{module.name}.spec"):
            yield f"{PACKAGE}.{module.name}"


def _check_names(package: str, spec: TaskSpec, known: Mapping[str, TaskSpec]) -> None:
    taken = {name: owner for owner, other in known.items() for name in (other.name, *other.aliases)}
    for name in (spec.name, *spec.aliases):
        if (owner := taken.get(name, package)) != package:
            raise UsageError(
                f"The task {name!r} of {package} exists already, in {owner}: rename or uninstall one of them."
            )


def _read(package: str) -> TaskSpec:
    try:
        module = importlib.import_module(f"{package}.spec")
    except ModuleNotFoundError as error:
        if error.name is None or not f"{package}.spec.".startswith(f"{error.name}."):
            raise UsageError(f"{package}.spec cannot be imported: {explain(error)}.") from error
        raise UsageError(
            f"There is no task in {package!r}: expected a package with spec.py and task.py, in a folder "
            "on PYTHONPATH or installed.",
            remedy="check the name, and that its parent folder is on PYTHONPATH",
        ) from None
    except (Exception, SystemExit) as error:
        raise UsageError(f"{package}.spec cannot be imported: {explain(error)}.") from error
    spec = getattr(module, "SPEC", None)
    if not isinstance(spec, TaskSpec):
        raise UsageError(f"{package}.spec: expected SPEC = TaskSpec(...), found {type(spec).__name__}.")
    for problem in _problems(spec):
        raise UsageError(f"{package}.spec ({module.__file__}): {problem}.")
    return spec


def _problems(spec: TaskSpec) -> Iterator[str]:
    """Say what is wrong with a spec."""
    if not isinstance(spec.name, str) or not spec.name.isidentifier():
        yield f"expected a name of letters, digits and underscores, found name={spec.name!r}"
    for field_name in ("headline", "targets", "aliases"):
        value = getattr(spec, field_name)
        if not isinstance(value, tuple | list) or not all(isinstance(entry, str) for entry in value):
            yield f"expected {field_name} to be a tuple of names, such as ('loss',), found {value!r}"
    if not spec.headline:
        yield "expected headline to name at least one measure, found none"
    for field_name, kind in (("measures", Measure), ("baselines", BaselineSpec)):
        for name, value in getattr(spec, field_name).items():
            if not isinstance(value, kind):
                yield f"expected {field_name}[{name!r}] to be a {kind.__name__}, found {value!r}"
    for measure, sentence in spec.sentences.items():
        yield from _unknown_placeholders(measure, sentence)


def _unknown_placeholders(measure: str, sentence: str) -> Iterator[str]:
    try:
        names = [name for _, name, _, _ in Formatter().parse(sentence) if name is not None]
    except (TypeError, ValueError) as error:
        yield f"the sentence for {measure!r} cannot be read: {error}"
        return
    for name in names:
        if name not in PLACEHOLDERS:
            known = ", ".join(f"{{{known}}}" for known in PLACEHOLDERS)
            yield f"the sentence for {measure!r} has the placeholder {{{name}}}; known are {known}"


def package_of(name: str) -> str:
    """Return the package of a task: by its name, by an alias, or by the package's own name.

    Raises:
        UnknownNameError: there is no such task; suggests the nearest.
        UsageError: a package was named that holds no task.
    """
    for package, spec in specs().items():
        if name in (spec.name, package, *spec.aliases):
            return package
    if "." in name:
        register(name)
        return name
    unknown = UnknownNameError("task", name, task_names())
    unknown.message += f" {OWN}"
    raise unknown


def find_spec(name: str) -> TaskSpec:
    """Return the spec of a task; see `package_of`."""
    package = package_of(name)  # may register one
    return specs()[package]


def lasting_name(name: str) -> str:
    """Return the name by which another process finds a task: the present name of one of ours, or the
    package of any other, since two distributions may use one name.

    Raises:
        UsageError: there is no such task.
    """
    package = package_of(name)
    return specs()[package].name if package.startswith(f"{PACKAGE}.") else package


def task_names() -> list[str]:
    """Return the names of all tasks."""
    return [spec.name for spec in specs().values()]


def task_for(target: str | None) -> TaskSpec | None:
    """Return the task that follows from a kind of target, e.g. "classification"; None if none does."""
    return next((spec for spec in specs().values() if target in spec.targets), None)
