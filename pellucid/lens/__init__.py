"""Look inside any model: what its modules compute, what their gradients are, and where it fails.

In: any `nn.Module` and a batch. Out: plain records. Nothing that is looked at is edited: models, optimizers
and generators are as before, and outputs and gradients are the same to the bit.

    capture      the one place for hooks; on a floor of its own, above `nn`, so that `train` can use it
    look         one forward and backward pass as a `Trace`; tensors, work, passes, trace, show: its parts
    preflight    what is wrong before the first step; rules in `diagnosis/preflight.py`
    neuron       one unit: inputs x weights + bias -> activation -> output
    step         one training step with its numbers; step_record, show_step, and the checks it makes:
                 derivatives (textbook formulas), differences (finite differences), updates (optimizers)
    crash        why a computation failed, and the usual fix
    explain/     which parts of an input speak for an output; the verb is `pellucid.explaining`
    views/       views by family as plain data, such as gates and attention; the verb is `pellucid.view`
    heat         maps of numbers in a terminal
    watch/       `pellucid.watch`: record a loop of the user's own; read by rules of `pellucid.diagnosis`

This file imports nothing, because whoever imports `lens.capture` runs it.
"""
