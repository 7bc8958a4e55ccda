"""What a run shows, in words: rules that read records and return findings.

In: plain series of numbers from `run.sqlite` and facts from `run.json`, or the figures of a profile. Out:
`Finding`s.
Of ours it imports `record` alone, and never torch: a run is diagnosed where it was not trained.
"""

from pellucid.diagnosis.balance import Match, balance
from pellucid.diagnosis.diagnose import is_phase_loss, match_of, phase, reading
from pellucid.diagnosis.rules import Setting, curves_of, generalization, setting_of
from pellucid.diagnosis.speed import Speed, advice

__all__ = [
    "Match",
    "Setting",
    "Speed",
    "advice",
    "balance",
    "curves_of",
    "generalization",
    "is_phase_loss",
    "match_of",
    "phase",
    "reading",
    "setting_of",
]
