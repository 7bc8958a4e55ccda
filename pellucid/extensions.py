"""Find what others add: objects named by an import path, by an entry point of a distribution, or registered.

Importing this module does not import torch.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar, cast

from pellucid.errors import UnknownNameError, UsageError

Entry = TypeVar("Entry")


def import_module(name: str) -> ModuleType:
    """Import a module; the current directory is searched as well, as `python -m` does.

    Raises:
        UsageError: it cannot be imported; names the file and the line of a mistake in it.
    """
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise UsageError(f"{name} cannot be imported: {explain(error)}.", remedy=_remedy(error)) from error


def import_object(path: str) -> Any:
    """Import the object that `package.module:NAME` refers to.

    Raises:
        UsageError: the path has another form, or there is no such module or name.
    """
    module, _, name = path.partition(":")
    if not module or not name.isidentifier():
        raise UsageError(f"Expected an import path, package.module:NAME, received {path!r}.")
    found = import_module(module)
    if not hasattr(found, name):
        raise UnknownNameError(f"object in {module}", name, [n for n in vars(found) if n[0] != "_"])
    return getattr(found, name)


def explain(error: BaseException) -> str:
    """Return the type and message of an error, with the file and line where it was raised."""
    if isinstance(error, UsageError):
        return error.message.rstrip(".")
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"
    place, trace = "", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file != __file__ and not file.startswith("<") and "importlib" not in Path(file).parts:
            place = f" ({file}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {error}{place}"


def _remedy(error: BaseException) -> str | None:
    missing = isinstance(error, ModuleNotFoundError)
    return "install its package, or put its folder on PYTHONPATH" if missing else None


# ---- entry points ----------------------------------------------------------------------------------


def load_installed(group: str, use: Callable[[EntryPoint], object]) -> None:
    """Call a function with every entry point of a group; one that fails is left out with a warning."""
    for point in _installed(tuple(sys.path)).select(group=group):
        try:
            use(point)
        except (Exception, SystemExit) as error:  # a script that was named by mistake ends the process
            owner = point.dist.name if point.dist else "an unknown distribution"
            warnings.warn(
                f"The entry point {point.name!r} ({group}) of {owner} is left out: {explain(error)}.",
                stacklevel=2,
            )


@lru_cache(1)
def _installed(path: tuple[str, ...]) -> EntryPoints:
    """Read the entry points of all distributions on a path once, since that takes 20 ms."""
    return cast(EntryPoints, entry_points())


# ---- finding registered entries again ---------------------------------------------------------------


def caller() -> str:
    """Return the name of the module outside of this package that is registering something."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "pellucid":
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", ""))


def origin(entry: Any, part: Any, registered_by: str) -> str:
    """Return where another process finds a registered entry.

    Args:
        entry: what was registered.
        part: the entry, or a function of it, whose module may define the entry.
        registered_by: the module that registered it.

    Returns:
        `module:NAME`, or the module that registers it; "" if that is the main program or a notebook.
    """
    module = getattr(part, "__module__", None) or ""
    if _outside(module) and module in sys.modules:
        for name, value in vars(sys.modules[module]).items():
            if value is entry:
                return f"{module}:{name}"
    return registered_by if _outside(registered_by) else ""


def recall(where: str | None, register: Callable[[Any], object]) -> str:
    """Register an entry again that another process registered.

    Args:
        where: what `origin` returned.
        register: registers the entry.

    Returns:
        Why it is not possible; "" if it was done.
    """
    if not where:
        return "it was registered in the main program or a notebook"
    try:
        if ":" in where:
            register(import_object(where))
        else:
            import_module(where)
    except (UsageError, ValueError) as error:
        return str(getattr(error, "message", error)).rstrip(".")
    return ""


# ---- registries ------------------------------------------------------------------------------------


class Registry(Generic[Entry]):
    """Entries by name: the built-in ones, then those of entry points, then the registered ones.

    Args:
        word: what an entry is, for messages; e.g. "kind of column".
        group: the entry point group.
        expected: what an entry has to be, for messages; e.g. "a Kind".
        fits: whether an object is an entry.
        built_in: imports the built-in entries.
        home: returns the module that defines an entry; "" if it is not known.
        name: returns the name of an entry.
    """

    def __init__(
        self,
        word: str,
        group: str,
        *,
        expected: str,
        fits: Callable[[Any], bool],
        built_in: Callable[[], Mapping[str, Entry]],
        home: Callable[[Entry], str] = lambda entry: "",
        name: Callable[[Any], Any] = lambda entry: getattr(entry, "name", None),
    ):
        self.word, self._group, self._expected = word, group, expected
        self._fits, self._built_in, self._home, self._name = fits, built_in, home, name
        self._found: dict[str, Entry] | None = None
        self._added: dict[str, Entry] = {}

    def entries(self) -> dict[str, Entry]:
        """Return all entries by name."""
        if self._found is None:
            self._found = dict(self._built_in())
            load_installed(self._group, lambda point: self._add(point.load()))
        return self._found | self._added

    def find(self, name: str) -> Entry:
        """Return an entry by its name or import path; what a path refers to is registered.

        Raises:
            UnknownNameError: there is no such entry.
            UsageError: the path does not refer to an entry.
        """
        if ":" in name:
            return self._add(import_object(name))
        known = self.entries()
        if name in known:
            return known[name]
        raise UnknownNameError(self.word, name, known)

    def register(self, entry: Entry) -> Entry:
        """Add an entry; the same one again changes nothing.

        Raises:
            UsageError: it is something else than an entry, or its name is taken.
        """
        return self._add(entry)

    def unregister(self, name: str) -> None:
        """Remove a registered entry."""
        self._added.pop(name, None)

    def modules(self, names: Iterable[str]) -> dict[str, str]:
        """Return the modules that define those of these entries that are not ours, where they are known."""
        known = self.entries()
        homes = {name: self._home(known[name]) for name in names if name in known}
        return {name: home for name, home in homes.items() if _outside(home)}

    def recall(self, name: str, module: str | None) -> str:
        """Find an entry that was defined in a module, and register it again.

        Returns:
            Why there is no such entry; "" if there is one.

        Raises:
            UsageError: another module took the name, so the entry is not the one that is meant.
        """
        if name in self.entries():
            self._refuse_namesake(name, module)
            return ""
        if module is None:
            return "it was defined in the main program or a notebook"
        try:
            found = import_module(module)
        except UsageError as error:
            return error.message.rstrip(".")
        for value in self._defined_in(found, name):
            self._add(value)
        return "" if name in self.entries() else f"{module} no longer defines it"

    def _refuse_namesake(self, name: str, module: str | None) -> None:
        """Refuse an entry that has the name of one in another module; only warn where that one is gone.

        Raises:
            UsageError: the module defines another entry of this name.
        """
        entry = self.entries()[name]
        home = self._home(entry) or "Pellucid"
        if module is None or home == module:
            return
        try:
            meant = self._defined_in(import_module(module), name)
        except UsageError:
            meant = []
        if any(value is entry for value in meant):
            return
        if meant:
            raise UsageError(
                f"The {self.word} {name!r} of {module} is needed, but {home} took its name.",
                remedy="uninstall one of the two, or give them different names",
            )
        warnings.warn(
            f"The {self.word} {name!r} is taken from {home}; {module}, which defined it, is gone.",
            stacklevel=2,
        )

    def _defined_in(self, module: ModuleType, name: str) -> list[Entry]:
        return [
            value for value in list(vars(module).values()) if self._fits(value) and self._name(value) == name
        ]

    def _add(self, entry: Any) -> Entry:
        name = self._checked(entry)
        known = self.entries()
        if known.get(name, entry) is not entry:
            raise UsageError(
                f"There is already a {self.word} named {name!r}.",
                remedy=f"another name, or unregister({name!r}) first"
                if name in self._added
                else "another name",
            )
        if name not in known:
            self._added[name] = entry
        return entry

    def _checked(self, entry: Any) -> str:
        """Return the name of an entry.

        Raises:
            UsageError: it is not an entry, or its name is not text.
        """
        if not self._fits(entry):
            raise UsageError(f"A {self.word} must be {self._expected}; received {_described(entry)}.")
        name = self._name(entry)
        if not isinstance(name, str) or not name.strip() or ":" in name:
            raise UsageError(f"A {self.word} needs a name without a colon; received {name!r}.")
        return name


def _outside(module: str) -> bool:
    return (
        bool(module) and module not in ("__main__", "__mp_main__") and module.partition(".")[0] != "pellucid"
    )


def _described(value: Any) -> str:
    if isinstance(value, ModuleType):
        return f"the module {value.__name__}"
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
