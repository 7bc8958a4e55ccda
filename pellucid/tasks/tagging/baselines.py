"""Tags without a network: the most frequent one, that of each token, and a linear model of a window.

The linear model is the perceptron of Qian & Sejnowski (1988) without hidden units, on the tokens in a window.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pellucid.data.text.ragged import Ragged

AROUND = 6
"""Tokens on either side; 13 in all, as in Qian & Sejnowski."""
FEW = 100
"""From this many different tokens on, the window is 2 on either side."""
MOST = 100_000
"""Tokens that the linear model learns from."""

Rows = tuple[Ragged, np.ndarray]
"""Tokens, row by row, and the class of each."""


def measure_baselines(
    train: Rows, evals: Mapping[str, Rows], vocab_size: int, classes: int
) -> dict[str, dict[str, float]]:
    """Measure all baselines.

    Args:
        train: the training tokens and their classes.
        evals: tokens and classes by prefix, e.g. "val" and "test".
        vocab_size: number of different tokens.
        classes: K.

    Returns:
        "<prefix>/accuracy" and "<prefix>/loss", in nats per token, by name of the baseline.
    """
    prior = np.bincount(train[1], minlength=classes) + 1.0
    counts = np.zeros((vocab_size, classes))
    np.add.at(counts, (train[0].ids, train[1]), 1.0)
    counts += prior / prior.sum()
    found: dict[str, dict[str, float]] = {"prior": {}, "by_token": {}, "window": {}}
    linear = _Linear(train, vocab_size, classes)
    for prefix, (tokens, wanted) in evals.items():
        guesses = {
            "prior": np.broadcast_to(prior, (len(wanted), classes)),
            "by_token": counts[tokens.ids],
            "window": linear.probs(tokens),
        }
        for name, weights in guesses.items():
            probs = weights / weights.sum(1, keepdims=True)
            right = probs[np.arange(len(wanted)), wanted]
            found[name][f"{prefix}/accuracy"] = float((probs.argmax(1) == wanted).mean())
            found[name][f"{prefix}/loss"] = float(-np.log(right.clip(1e-12)).mean())
    return found


class _Linear:
    """Softmax regression on which tokens stand where around a token."""

    def __init__(self, train: Rows, vocab_size: int, classes: int):
        from sklearn.linear_model import SGDClassifier  # here, since predicting does not need it

        self.vocab_size, self.classes = vocab_size, classes
        self.around = AROUND if vocab_size <= FEW else 2
        tokens = train[0].head(max(1, int(np.searchsorted(train[0].offsets, MOST, "right")) - 1))
        self.model = SGDClassifier(loss="log_loss", alpha=1e-4, average=True, max_iter=15, random_state=0)
        self.model.set_params(tol=None)  # all epochs, without a warning that they were few
        self.known = np.unique(train[1][: len(tokens.ids)])
        if len(self.known) > 1:
            self.model.fit(self._features(tokens), train[1][: len(tokens.ids)])

    def probs(self, tokens: Ragged) -> np.ndarray:
        """Return (N, K) probabilities."""
        made = np.full((len(tokens.ids), self.classes), 1e-6)
        made[:, self.known] += (
            self.model.predict_proba(self._features(tokens)) if len(self.known) > 1 else 1.0
        )
        return made

    def _features(self, tokens: Ragged):
        """Return (N, window * V) sparse: 1 where a token stands at a place of the window."""
        from scipy import sparse

        places = np.arange(-self.around, self.around + 1)
        starts = np.repeat(tokens.offsets[:-1], tokens.lengths)[:, None]
        ends = np.repeat(tokens.offsets[1:], tokens.lengths)[:, None]
        at = np.arange(len(tokens.ids))[:, None] + places
        inside = (at >= starts) & (at < ends)
        columns = tokens.ids[at.clip(0, len(tokens.ids) - 1)].astype(np.int64) + self.vocab_size * (
            places + self.around
        )
        rows = np.repeat(np.arange(len(tokens.ids)), inside.sum(1))
        size = (len(tokens.ids), self.vocab_size * len(places))
        return sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns[inside])), size)
