"""The run folder: plain facts on disk, the contract between training and every view of it.

In: numbers, texts and files from training. Out: the same, for every reader of the folder.
Imports only `errors` of ours, and never torch: a run can be read where torch is not installed.
"""

from pellucid.record.finding import Finding
from pellucid.record.run import Run
from pellucid.record.span import Span

__all__ = ["Finding", "Run", "Span"]
