"""All rules run the same way: what they need, what explains them, how they rank, what is stored."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from pellucid.config import Config
from pellucid.diagnosis import RULES, Facts, NonFinite, Rule, diagnose, examine, examine_run, findings, rules
from pellucid.record import Finding, Run

ROOT = Path(__file__).parents[2]


def rule(id: str, level: Any = "note", needs=(), unless=(), **options) -> Rule:
    return Rule(id, needs, lambda facts: Finding(id, level, "", "", **options), unless)


def run_with_losses(tmp_path: Path, losses: list[float]) -> Run:
    run = Run.create(tmp_path, "tiny", Config().to_yaml())
    with run.writing():
        for epoch, loss in enumerate(losses, start=1):
            run.store.metrics(epoch * 10, {"epoch": epoch, "val/loss": loss})
    return run


def test_ids_are_unique_and_written_with_hyphens():
    ids = [rule.id for rule in RULES]
    assert max(Counter(ids).values()) == 1
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", id) for id in ids)
    assert {other for rule in RULES for other in rule.unless} <= set(ids)
    assert all(hasattr(Facts(), need) for rule in RULES for need in rule.needs)


def test_the_second_of_two_rules_of_one_id_is_left_out(tmp_path, monkeypatch):
    body = "from pellucid.diagnosis.rules.too_short import RULES\n"
    (tmp_path / "duplicate_rule.py").write_text(body)
    monkeypatch.setattr(rules, "__path__", [*rules.__path__, str(tmp_path)])
    monkeypatch.setattr(rules, "LEFT_OUT", {})
    assert Counter(one.id for one in rules.load())["too-short"] == 1
    assert rules.LEFT_OUT == {"too-short": "There is already a rule 'too-short'"}


def test_findings_are_ranked_by_level_then_confidence():
    asked = [
        rule("a", "note"),
        rule("b", "warning", confidence=0.5),
        rule("c", "warning", confidence=0.9),
        rule("d", "error", confidence=0.1),
    ]
    assert [finding.rule for finding in examine(Facts(), asked).findings] == ["d", "c", "b", "a"]


def test_a_finding_that_explains_another_replaces_it():
    asked = [rule("effect", unless=("cause",)), rule("cause")]
    assert [finding.rule for finding in examine(Facts(), asked).findings] == ["cause"]


def test_a_rule_that_cannot_run_is_listed_with_the_reason():
    def broken(facts: Facts) -> None:
        raise ZeroDivisionError("division by zero")

    found = examine(Facts(), [rule("slow", needs=("speed",)), Rule("broken", (), broken)])
    assert found.findings == []
    assert [(one.rule, one.reason) for one in found.skipped] == [
        ("slow", "the run was not profiled; `pellucid profile RUN` does that"),
        ("broken", "it failed: ZeroDivisionError: division by zero"),
    ]


def test_a_run_lists_the_rules_that_do_not_apply_to_it(tmp_path):
    found = examine_run(run_with_losses(tmp_path, [1.0, 0.5, 0.4, 0.39, 0.39]))
    reasons = {one.rule: one.reason for one in found.skipped}
    assert "generator" in reasons["collapsed"]
    assert "profile" in reasons["slow-optimizer"]
    assert "overfitting" not in reasons


def test_a_muted_rule_says_nothing(tmp_path):
    run = run_with_losses(tmp_path, [1.0, 0.9])
    assert [finding.rule for finding in diagnose(run)] == ["too-short"]
    assert diagnose(run, muted=["too-short"])[0].rule == "healthy"
    run.update(muted=["too-short"])
    assert "too-short" not in [finding.rule for finding in diagnose(run)]
    run.find(Finding("too-short", "note", "", ""))
    run.find(Finding("other", "note", "", ""))
    assert [finding.rule for finding in findings(run)] == ["other"]


def test_a_caught_loss_is_the_same_finding_as_a_recorded_one(tmp_path):
    caught = NonFinite(float("nan"), 7, "layers.0", "the weights of layers.0 are not finite")
    (finding,) = examine(Facts(caught=caught)).findings
    assert (finding.rule, finding.where, finding.step) == ("non-finite-loss", "layers.0", 7)
    (recorded,) = diagnose(run_with_losses(tmp_path, [1.0, float("inf"), 1.0]))
    assert (recorded.rule, recorded.level, recorded.step) == ("non-finite-loss", "error", 20)


def test_a_finding_is_stored_once_by_rule_place_and_step(tmp_path):
    run = run_with_losses(tmp_path, [1.0])
    for seen in ("first", "second"):
        run.find(Finding("mine", "note", seen, "", step=5))
    run.store.flush()
    run.find(Finding("mine", "note", "third", "", step=5))
    run.find(Finding("mine", "note", "elsewhere", "", where="layers.0", step=5))
    assert [(one.seen, one.where) for one in run.store.findings()] == [
        ("third", ""),
        ("elsewhere", "layers.0"),
    ]


def test_stored_findings_take_precedence(tmp_path):
    run = run_with_losses(tmp_path, [1.0])
    assert findings(run) == diagnose(run)
    assert run.store.findings() == []
    run.find(Finding("non-finite-loss", "error", "The loss became nan.", ""))
    assert [finding.rule for finding in findings(run)] == ["non-finite-loss"]


def test_a_study_has_no_curves_to_diagnose(tmp_path):
    run = Run.create(tmp_path, "study", Config().to_yaml(), parts={"a": {}})
    assert findings(run) == []


def test_the_guide_adds_a_rule_as_one_new_file(tmp_path, monkeypatch):
    guide = (ROOT / "docs" / "guides" / "add-a-rule.md").read_text(encoding="utf-8")
    module, check = re.findall(r"```python\n(.*?)```", guide, flags=re.S)
    (tmp_path / "loss_constant.py").write_text(module)
    monkeypatch.setattr(rules, "__path__", [*rules.__path__, str(tmp_path)])
    exec(compile(check, "add-a-rule.md", "exec"), {"RULES": rules.load()})
    run = run_with_losses(tmp_path, [2.3] * 5)
    (found,) = [one for one in examine_run(run, rules=rules.load()).findings if one.rule == "loss-constant"]
    assert "2.3" in found.seen
