"""What users add from projects of their own: it is checked, found again later, and breaks nothing."""

from __future__ import annotations

import importlib
import json
import re
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pellucid import extensions, report
from pellucid.config import Config, DataConfig
from pellucid.data import kinds, targets
from pellucid.data.preprocess import Preprocess
from pellucid.data.sources.open_source import open_data
from pellucid.data.split import split
from pellucid.diagnosis import Facts, Rule, examine, rules
from pellucid.diagnosis import register as register_rule
from pellucid.errors import ConfigError, ModelError, UnknownNameError, UsageError
from pellucid.evaluation import Outcome
from pellucid.record import Finding, Run
from pellucid.record import spec as specs
from pellucid.report import views
from pellucid.report.block import Section, View
from pellucid.tasks import get_task
from pellucid.tasks import register as register_task
from pellucid.tasks.task import Task, check_baselines

GUIDES = Path(__file__).parents[1] / "docs" / "guides"
FILE = re.compile(r"^```python title=\"([\w/]+\.py)\"\n(.*?)^```", re.DOTALL | re.MULTILINE)

Write = Callable[..., None]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path; what is imported from it and registered is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(kinds.REGISTRY, "_added", {})
    monkeypatch.setattr(targets.REGISTRY, "_added", {})
    monkeypatch.setattr(specs, "_registered", [])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    specs.specs.cache_clear()


def from_guide(folder: Path, guide: str) -> None:
    for name, code in FILE.findall((GUIDES / guide).read_text(encoding="utf-8")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(code, encoding="utf-8")
    importlib.invalidate_caches()


def package(folder: Path, name: str, **files: str) -> str:
    (folder / name).mkdir()
    for file, code in {"__init__": "", **files}.items():
        (folder / name / f"{file}.py").write_text(code, encoding="utf-8")
    importlib.invalidate_caches()
    return name


def installed(monkeypatch: pytest.MonkeyPatch, group: str, **points: str) -> None:
    """Act as if distributions with these entry points were installed."""
    made = [EntryPoint(name, value, group) for name, value in points.items()]
    monkeypatch.setattr(extensions, "_installed", lambda path: EntryPoints(made))


def prices(folder: Path) -> Path:
    x = np.random.default_rng(0).uniform(0, 5, 60)
    path = folder / "prices.csv"
    path.write_text("x,price\n" + "".join(f"{a:.4f},{10**a:.4f}\n" for a in x))
    return path


# ---- kinds and targets -------------------------------------------------------------------------------


def test_a_taken_name_of_a_kind_or_target_is_refused(project):
    number = kinds.find("number")
    assert kinds.register(number) is number
    with pytest.raises(UsageError, match="already a kind of column named 'number'"):
        kinds.register(replace(number, order=1))
    assert kinds.find("number") is number

    numbers = targets.find("numbers")
    assert targets.register(numbers) is numbers
    with pytest.raises(UsageError, match="already a target named 'numbers'"):
        targets.register(type("Other", (numbers,), {}))
    assert targets.find("numbers") is numbers


@pytest.mark.parametrize("wrong", [types.ModuleType("color"), "color", 3])
def test_objects_that_are_not_kinds_or_targets_are_refused(project, wrong):
    with pytest.raises(UsageError, match="must be a Kind"):
        kinds.register(wrong)
    with pytest.raises(UsageError, match="must be a subclass of Target"):
        targets.register(wrong)


def test_a_kind_of_another_project_is_named_by_its_import_path(project):
    from_guide(project, "add-a-column-kind.md")
    data = project / "paint.csv"
    data.write_text("paint,warm\n" + "".join(f"#{n:02x}0000,{n > 20}\n" for n in range(40)))
    config = Config().patch({"data.source": str(data), "data.columns": {"paint": "color:KIND"}})
    assert open_data(config.data).column("paint").kind == "color"


def fitted_target(project: Path) -> dict:
    from_guide(project, "add-a-target.md")
    config = DataConfig(source=str(prices(project)), target="price", columns={"price": "log_numbers:TARGET"})
    fitted = Preprocess.fit(split(open_data(config)))
    assert fitted.target is not None
    assert fitted.target.name == "log_numbers"
    return json.loads(json.dumps(fitted.state()))


def test_a_target_is_found_again_by_the_module_that_defined_it(project):
    state = fitted_target(project)
    assert state["modules"]["targets"] == {"log_numbers": "log_numbers"}
    targets.unregister("log_numbers")
    restored = Preprocess.from_state(state)
    assert restored.target is not None
    assert restored.target.name == "log_numbers"


def test_a_target_that_cannot_be_imported_is_named(project):
    state = fitted_target(project)
    targets.unregister("log_numbers")
    del sys.modules["log_numbers"]
    (project / "log_numbers.py").unlink()
    importlib.invalidate_caches()
    with pytest.raises(ModelError, match="the target 'log_numbers', which is not registered") as raised:
        Preprocess.from_state(state)
    assert "damaged" not in str(raised.value)
    assert "import the module that registers it" in str(raised.value)


def test_a_path_that_leads_nowhere_is_refused(project):
    package(project, "broken", bad="x = (\n")
    with pytest.raises(UsageError, match=r"no_such cannot be imported: ModuleNotFoundError"):
        kinds.find("no_such:KIND")
    with pytest.raises(UsageError, match=r"SyntaxError: .*bad\.py, line 1"):
        kinds.find("broken.bad:KIND")
    with pytest.raises(UnknownNameError, match="no object in math named 'KIND'"):
        kinds.find("math:KIND")
    with pytest.raises(UsageError, match="must be a Kind"):
        kinds.find("math:pi")


# ---- entry points ------------------------------------------------------------------------------------


def test_a_kind_of_an_installed_distribution_is_found(project, monkeypatch):
    from_guide(project, "add-a-column-kind.md")
    installed(monkeypatch, "pellucid.kinds", color="color:KIND")
    monkeypatch.setattr(kinds.REGISTRY, "_found", None)
    assert kinds.find("color").order == 35


def test_a_broken_entry_point_is_left_out_with_a_warning(project, monkeypatch):
    installed(monkeypatch, "pellucid.kinds", gone="no_such_module:KIND", taken="number_twin:KIND")
    (project / "number_twin.py").write_text(
        "from dataclasses import replace\nfrom pellucid.data.kinds.number import KIND as OURS\n"
        "KIND = replace(OURS, order=1)\n"
    )
    importlib.invalidate_caches()
    monkeypatch.setattr(kinds.REGISTRY, "_found", None)
    with pytest.warns(UserWarning, match="is left out") as told:
        assert kinds.find("number").order == 10
    messages = [str(one.message) for one in told]
    assert any("'gone' (pellucid.kinds)" in text and "no_such_module" in text for text in messages)
    assert any("'taken' (pellucid.kinds)" in text and "already" in text for text in messages)


def test_a_broken_task_of_a_distribution_is_left_out_with_a_warning(project, monkeypatch):
    package(project, "raises", spec="1 / 0\n")
    package(
        project,
        "taken_twin",
        spec="from pellucid.record.spec import TaskSpec\nSPEC = TaskSpec('regression')\n",
    )
    installed(monkeypatch, "pellucid.tasks", raises="raises", twin="taken_twin", gone="no_such_package")
    specs.specs.cache_clear()
    with pytest.warns(UserWarning, match="is left out") as told:
        assert specs.find_spec("regression").name == "regression"
    text = "\n".join(str(one.message) for one in told)
    assert re.search(r"'raises'.*ZeroDivisionError.*spec\.py, line 1", text)
    assert re.search(r"'twin'.*exists already", text)
    assert re.search(r"'gone'.*no_such_package", text)


# ---- tasks -------------------------------------------------------------------------------------------

SPEC = "from pellucid.record.spec import TaskSpec\nSPEC = TaskSpec({})\n"
TASK = (
    "from pellucid.tasks.task import Task\nfrom {package}.spec import SPEC\n"
    "class Mine(Task):\n    spec = SPEC\nTASK = {task}\n"
)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("''", "expected a name"),
        ("'mine', headline='loss'", r"headline to be a tuple of names.*found 'loss'"),
        ("'mine', headline=()", "at least one measure"),
        ("'mine', sentences={'loss': '{valeu}'}", r"\{valeu\}; known are .*\{value\}"),
        ("'mine', sentences={'loss': '{value'}", "cannot be read"),
        ("'mine', aliases=('classification',)", "'classification' of .* exists already"),
        ("'mine', measures={'x': 3}", r"measures\['x'\] to be a Measure"),
    ],
)
def test_a_wrong_spec_is_refused_at_registration(project, arguments, message):
    name = package(project, "wrong_spec", spec=SPEC.format(arguments), task="")
    with pytest.raises(UsageError, match=message) as raised:
        register_task(name)
    assert "wrong_spec" in str(raised.value)
    assert "mine" not in specs.task_names()


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (None, r"has no task\.py"),
        (TASK.format(package="wrong_task", task="Mine"), "found the class Mine, without"),
        ("x = 3\n", "expected TASK"),
        ("import torch\nx = (\n", r"SyntaxError: .*task\.py, line 2"),
        ("import no_such_module\n", r"no_such_module.*task\.py, line 1"),
    ],
)
def test_a_wrong_task_is_refused_at_registration(project, task, message):
    files = {} if task is None else {"task": task}
    name = package(project, "wrong_task", spec=SPEC.format("'mine'"), **files)
    with pytest.raises(UsageError, match=message):
        register_task(name)
    assert "mine" not in specs.task_names()


def test_a_config_names_a_registered_task_by_its_package(project):
    name = package(
        project, "good", spec=SPEC.format("'mine'"), task=TASK.format(package="good", task="Mine()")
    )
    register_task(name)
    register_task(importlib.import_module(name))
    assert Config().patch({"objective.name": "mine"}).objective.name == "good"
    assert get_task("mine") is get_task("good")


def test_an_unknown_task_says_that_its_code_has_to_be_imported():
    with pytest.raises(ConfigError, match="registers it was imported") as raised:
        Config().patch({"objective.name": "quantiles"})
    assert "Value error" not in str(raised.value)


# ---- results of a task -------------------------------------------------------------------------------


def test_metrics_of_an_outcome_become_plain_numbers():
    found = Outcome({"a": np.float32(0.5), "b": torch.tensor(2.0), "c": np.array([3.0]), "d": 4}).metrics
    assert found == {"a": 0.5, "b": 2.0, "c": 3.0, "d": 4}
    assert {type(value) for value in found.values()} == {float, int}


@pytest.mark.parametrize("wrong", [np.zeros(3), torch.zeros(0), "0.5", None, [1.0]])
def test_a_metric_that_is_not_one_number_is_named(wrong):
    with pytest.raises(UsageError, match="metric 'mae' of the task mine must be one number"):
        Outcome({"mae": wrong}, {"task": "mine"})


@pytest.mark.parametrize("wrong", [{"kind": "table"}, ["table"], None])
def test_blocks_that_are_not_a_list_of_dicts_are_refused(wrong):
    with pytest.raises(UsageError, match="must be a list of dicts"):
        Outcome({}, blocks=wrong)


@pytest.mark.parametrize("wrong", [[], {"prior": 0.5}, {"prior": {"loss": 0.5}}])
def test_baselines_without_split_and_name_are_refused(wrong):
    with pytest.raises(UsageError, match="baselines of the task 'mine' must be"):
        check_baselines("mine", wrong)
    assert check_baselines("mine", {"prior": {"test/loss": torch.tensor(0.5)}}) == {
        "prior": {"test/loss": 0.5}
    }


@pytest.mark.parametrize("method", ["prepare", "objective", "evaluate"])
def test_a_task_without_a_method_says_which_it_lacks(method):
    class Mine(Task):
        spec = specs.TaskSpec("mine")

    arguments = {"prepare": 3, "objective": 1, "evaluate": 3}[method]
    with pytest.raises(UsageError, match=f"'mine' .Mine. does not define {method}, which must return"):
        getattr(Mine(), method)(*[None] * arguments)


# ---- rules -------------------------------------------------------------------------------------------


def rule(id: str = "mine", needs: Any = (), level: Any = "note", **options: Any) -> Rule:
    return Rule(id, needs, lambda facts: Finding(options.get("of", id), level, "", ""))


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (rule(needs=("curve",)), "needs 'curve'; known are .*curves"),
        (rule(needs="curves"), "needs is a tuple"),
        (rule(level="fatal"), "note, its finding has 'fatal'"),
        (rule(of="other"), "one of 'other'"),
        (Rule("mine", (), lambda facts: "bad"), "a Finding or None, it returned 'bad'"),  # type: ignore[arg-type, return-value]
    ],
)
def test_a_wrong_rule_is_listed_and_the_others_are_run(wrong, reason):
    found = examine(Facts(), [wrong, rule("good")])
    assert [finding.rule for finding in found.findings] == ["good"]
    ((name, why),) = [(one.rule, one.reason) for one in found.skipped]
    assert name == "mine"
    assert re.search(reason, why)


def test_a_registered_rule_is_run_and_a_taken_id_is_refused():
    mine = rule("always-there")
    register_rule(mine)
    register_rule(mine)
    try:
        assert "always-there" in [finding.rule for finding in examine(Facts()).findings]
        with pytest.raises(UsageError, match="already a rule 'always-there'"):
            register_rule(rule("always-there"))
        with pytest.raises(UsageError, match="needs 'curve'"):
            register_rule(rule("other", needs=("curve",)))
    finally:
        rules.unregister("always-there")


def test_a_file_without_rules_is_listed(tmp_path, monkeypatch):
    (tmp_path / "empty_rules.py").write_text("x = 3\n")
    monkeypatch.setattr(rules, "__path__", [*rules.__path__, str(tmp_path)])
    monkeypatch.setattr(rules, "LEFT_OUT", {})
    assert len(rules.load()) == len(rules.RULES)
    assert "no attribute 'RULES'" in rules.LEFT_OUT["empty_rules"]


# ---- views -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("gauge", "must be a View"),
        (View("table", dict, "x"), "already a view for blocks of kind 'table'"),
        (View("gauge", dict, "{{ x"), "template of the view 'gauge', line 1"),
        (View("gauge", dict), "needs a function prepare and a template"),
        (View("gauge", dict, "x", section="Mine"), r"must be a Section\(id, title\)"),  # type: ignore[arg-type]
        (View("gauge", dict, "x", section=Section("a", "A", "On {part}")), "only {split}"),
    ],
)
def test_a_wrong_view_is_refused(wrong, message):
    with pytest.raises(UsageError, match=message):
        views.register(wrong)
    assert "gauge" not in views.VIEWS


@pytest.mark.parametrize("body", [{"values": np.zeros(3)}, {1, 2}])
def test_a_body_that_json_cannot_hold_leaves_out_the_block(body):
    views.register(View("gauge", lambda facts, shelf: body, "{{ body }}"))
    try:
        with pytest.raises(ValueError, match="expected numbers, text, lists and dicts"):
            views.VIEWS["gauge"].prepare({}, None)  # type: ignore[arg-type]
    finally:
        views.unregister("gauge")


def test_a_registered_view_is_drawn(tmp_path):
    run = Run.create(tmp_path, "tiny", Config().to_yaml(), task="regression", metrics={"test/loss": 1.0})
    Outcome({"loss": 1.0}, blocks=[{"kind": "gauge", "title": "G", "caption": "", "n": 7}]).write(
        run.path, "test"
    )
    report.render(run)
    views.register(View("gauge", lambda facts, shelf: {"n": facts["n"]}, "<b>n is {{ body.n }}</b>"))
    try:
        assert "<b>n is 7</b>" in report.render(run)
    finally:
        views.unregister("gauge")
    assert "could not be drawn" in report.render(run)


# ---- two of one name, and what is no extension -------------------------------------------------------


def test_a_target_whose_name_another_module_took_is_refused(project):
    state = fitted_target(project)
    log_numbers = targets.find("log_numbers")
    targets.unregister("log_numbers")
    targets.register(type("Other", (log_numbers,), {"__module__": "other"}))
    with pytest.raises(UsageError, match="'log_numbers' of log_numbers is needed, but other took its name"):
        Preprocess.from_state(state)


def test_a_target_whose_module_is_gone_may_come_from_another_one_with_a_warning(project):
    state = fitted_target(project)
    state["modules"]["targets"]["log_numbers"] = "where_it_once_was"
    with pytest.warns(
        UserWarning, match="taken from log_numbers; where_it_once_was, which defined it, is gone"
    ):
        restored = Preprocess.from_state(state)
    assert restored.target is not None


TWO_SPEC = "from pellucid.record.spec import TaskSpec\nSPEC = TaskSpec(name='twice')\n"


def test_a_config_names_the_package_of_an_installed_task_so_that_another_of_its_name_is_refused(
    project, monkeypatch
):
    first, second = (f"{package(project, name)}.twice" for name in ("one", "other"))
    for name in ("one", "other"):
        package(project / name, "twice", spec=TWO_SPEC)
    installed(monkeypatch, "pellucid.tasks", twice=first)
    specs.specs.cache_clear()
    stored = Config.model_validate({"objective": {"name": "twice"}}).objective.name
    assert stored == first

    installed(monkeypatch, "pellucid.tasks", twice=second)
    specs.specs.cache_clear()
    with pytest.raises(ValueError, match=r"'twice' of one\.twice exists already, in other\.twice"):
        Config.model_validate({"objective": {"name": stored}})


def test_an_entry_point_that_ends_the_process_is_left_out(project, monkeypatch):
    package(project, "a_script", main="import sys\nsys.exit(3)\n", spec="import sys\nsys.exit(3)\n")
    installed(monkeypatch, "pellucid.views", script="a_script.main:VIEW")
    with pytest.warns(UserWarning, match="'script' .* is left out: SystemExit: 3"):
        extensions.load_installed("pellucid.views", lambda point: point.load())
    with pytest.raises(UsageError, match="SystemExit: 3"):
        specs.register("a_script")
