"""Watch a training loop of the user's own: see `watcher.watch`.

    watcher      the public part: step, validate, findings; schedule: which steps are attended to
    callbacks    the same for Lightning and the Trainer of transformers
    events       counts forward passes, backward passes and steps
    close_look   measures every module and parameter in one step
    loss_graph   reads from autograd how the loss is computed
    probing      asks a copy of the model what its outputs depend on
    batch_facts, structure, spread   what batches, models and tensors are like

What is recorded are the plain values of `pellucid.diagnosis.watched`; rules in `pellucid.diagnosis.rules`
read them.
"""

from pellucid.lens.watch.callbacks import watch_lightning, watch_trainer
from pellucid.lens.watch.watcher import Watch, watch

__all__ = ["Watch", "watch", "watch_lightning", "watch_trainer"]
