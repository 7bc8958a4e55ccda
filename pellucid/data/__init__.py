"""From a name, a file, a folder or arrays to batches of tensors.

`source -> Dataset (typed columns, splits) -> Preprocess (fitted on train) -> Batches`. In: paths, names,
arrays. Out: `Dataset`, and iterables of `(inputs, targets)`. It never imports models, nn or train.
"""
