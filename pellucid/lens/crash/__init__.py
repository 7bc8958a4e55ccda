"""Why a computation failed: the module, what it received and expects, and the usual fix in a sentence.

    explain      which module failed and what it received
    failure      what the rules read; arguments, layers, operations, learning: the rules, by topic

A rule returns what was expected and the usual fix, or None where it does not apply; the first that applies
is used.
"""

from pellucid.lens.crash.explain import explain_crash

__all__ = ["explain_crash"]
