"""Plain facts on disk: the run folder, which is the contract between training and every view of it.

In: numbers, texts and files that training hands over. Out: the same, to whoever opens the folder.
Imports nothing of ours but `errors`, and never torch: a run can be read where torch is not installed.
"""

from pellucid.record.finding import Finding
from pellucid.record.run import Run
from pellucid.record.span import Trace

__all__ = ["Finding", "Run", "Trace"]
