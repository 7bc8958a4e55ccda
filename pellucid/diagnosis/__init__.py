"""Diagnosis of a run: rules that read its records and return findings in words.

In: plain series of numbers from `run.sqlite` and facts from `run.json`, or the figures of a profile. Out:
`Finding`s, ranked. Of ours it imports only `record`, and never torch: a run can be diagnosed on another
machine than the one that trained it.

    examination  diagnose runs all rules on a run and ranks what they find; findings reads the stored ones
    rule         what a rule is; rules/: the rules themselves, one file a topic
    preflight    rules on a model and a batch before the first step, and their input
    watched      what `pellucid.watch` records of a loop, and `train.watch` of a run (watch_file), the input
                 of its rules; loss_graph: how a loss is computed; health: is it learning?
    contracts    what is said about faults that both of these find
    facts        the input of rules, read from a run; curves, baselines: questions asked of it;
                 data_facts, label_noise: of its data
    explained    the page of each rule, in pages/
    remedies     what to try against findings, as settings; trials: which is better beyond noise; verified:
                 what was proven
"""

from pellucid.diagnosis.examination import (
    Examination,
    Skipped,
    advice,
    diagnose,
    examine,
    examine_run,
    findings,
    not_applicable,
)
from pellucid.diagnosis.facts import (
    Facts,
    GANCurves,
    NonFinite,
    Setting,
    Speed,
    facts_of,
    is_phase_loss,
    phase,
    setting_of,
)
from pellucid.diagnosis.rule import Rule, first_of
from pellucid.diagnosis.rules import RULES, register

__all__ = [
    "RULES",
    "Examination",
    "Facts",
    "GANCurves",
    "NonFinite",
    "Rule",
    "Setting",
    "Skipped",
    "Speed",
    "advice",
    "diagnose",
    "examine",
    "examine_run",
    "facts_of",
    "findings",
    "first_of",
    "is_phase_loss",
    "not_applicable",
    "phase",
    "register",
    "setting_of",
]
