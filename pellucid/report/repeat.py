"""How to repeat a run: by its config, or, where the user passed objects in Python, by passing them again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from pellucid.record import Run
from pellucid.record.run import CONFIG

OWN_MODEL = "custom"
"""The `model.name` of a module that the user passed."""
IN_MEMORY, TOY = "arrays", "toy"
"""The name and the kind of the source of a dataset that was made of arrays in memory."""
NAMED = {"loss": ("objective", "loss"), "optimizer": ("optimizer", "name")}
"""Where the config names a passed object that can be imported, as `package.module:attribute`."""


@dataclass(frozen=True)
class Repeat:
    """How to repeat a run.

    Attributes:
        shell: the command lines; "" where objects must be passed in Python.
        python: the same in Python.
        typed: the command that was typed.
        passed: what the user passed in Python, as "loss: my_module.my_loss"; it has to be passed again.
    """

    shell: str
    python: str
    typed: str
    passed: tuple[str, ...] = ()


def repeat(run: Run) -> Repeat:
    """Return how to repeat a run."""
    typed = shlex.join(str(part) for part in (run.facts.get("environment") or {}).get("command") or [])
    passed = passed_in_python(run)
    if passed:
        listed = tuple(f"{name}: {words}" for name, words in passed.items())
        return Repeat("", _python_with(run, passed), typed, listed)
    return Repeat(_shell(run), _python(run), typed)


def passed_in_python(run: Run) -> dict[str, str]:
    """Return what the user passed in Python and the config cannot name: words by the argument of `fit`."""
    config = run.settings
    source = (run.facts.get("dataset") or {}).get("source") or {}
    found: dict[str, str] = {}
    if (config.get("model") or {}).get("name") == OWN_MODEL:
        found["model"] = str((run.facts.get("model") or {}).get("name") or "a module")
    if source.get("kind") == "loader":
        found["data"] = f"batches, {source.get('name') or 'from a function'}"
    elif source.get("kind") == source.get("name") == IN_MEMORY:
        found["data"] = "arrays in memory"
    elif source.get("kind") == TOY:
        found["data"] = f"pellucid.toy.{source.get('name')}"
    supplied = run.facts.get("supplied") or {}
    for name, part in supplied.items() if isinstance(supplied, Mapping) else ():
        section, key = NAMED.get(name, ("", ""))
        if ":" not in str((config.get(section) or {}).get(key) or ""):
            found[name] = ", ".join(map(str, part)) if isinstance(part, list) else str(part)
    return found


def _folder(run: Run) -> str:
    return f"{run.path.absolute().parent.name}/{run.id}"


def _resumable(run: Run) -> bool:
    return run.status in ("interrupted", "killed", "failed")


def _shell(run: Run) -> str:
    seed = run.facts.get("seed")
    train = f"pellucid train {shlex.quote(f'{_folder(run)}/{CONFIG}')}"
    train += f" --seed {seed}" if seed is not None else ""
    return f"{train}\n{train} --resume {shlex.quote(_folder(run))}" if _resumable(run) else train


def _python(run: Run) -> str:
    config = f"{_folder(run)}/{CONFIG}"
    imports, again = "from pellucid.runner import train\n\n", f"train(pellucid.Config.read({config!r}))"
    if "parts" in run.facts:
        imports = "from pellucid.runner import train_study\nfrom pellucid.study import Study\n\n"
        again = f"train_study(Study.read({config!r}))"
    return f"import pellucid\n{imports}again = {again}\n{_compare(run)}"


def _python_with(run: Run, passed: Mapping[str, str]) -> str:
    """The call of `fit`, with a name for everything that has to be passed again."""
    config, facts = run.settings, run.facts
    model = "your_model" if "model" in passed else repr((config.get("model") or {}).get("name"))
    data = "your_data" if "data" in passed else repr((config.get("data") or {}).get("source"))
    splits = (facts.get("dataset") or {}).get("splits") or {}
    batches = passed.get("data", "").startswith("batches")
    more = [name for name in ("validation", "test") if batches and name in splits]
    more += [name for name in passed if name not in ("model", "data")]
    arguments = [model, data, *(f"{name}=your_{name}" for name in more), "settings=settings"]
    call = f"pellucid.fit({', '.join(arguments)})"
    resumed = f"# to resume it, add resume={_folder(run)!r}\n" if _resumable(run) else ""
    settings = f"settings = pellucid.Config.read({f'{_folder(run)}/{CONFIG}'!r}).model_dump()"
    return f"import pellucid\n\n{settings}\n{resumed}again = {call}\n{_compare(run)}"


def _compare(run: Run) -> str:
    return f"before = pellucid.Run({_folder(run)!r})\nprint(before.metrics, again.metrics)"
