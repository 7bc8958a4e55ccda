"""Train with an objective or a loss of the user's own, on a dataset or on batches of any kind."""
