"""The loop and what it is made of: objectives, losses, optimizers, schedules, callbacks, checkpoints.

In: any `nn.Module` and any iterable of batches. Out: trained weights, and facts in a run folder.
Never imports models, data, lens or web code: it knows no architecture and no dataset.
"""
