"""The loss of a softmax over a large vocabulary, from a sample of it.

Shapes: N positions, H features, V tokens in the vocabulary, S of them in a sample.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

POWER = 0.75
"""Tokens are sampled by this power of their counts (Mikolov et al. 2013, section 2.2), rare ones more often
than they occur, so that none of them gets too much weight."""


def sampled_cross_entropy(
    hidden: Tensor, targets: Tensor, weight: Tensor, bias: Tensor | None, pi: Tensor
) -> Tensor:
    r"""Estimate -ln p(y) from the scores of y and of some tokens, each sampled independently.

    With scores s, and a sample in which token v is with probability $\pi_v$, the sum over all tokens
    $\sum_v e^{s_v}$ is estimated by

    $$e^{s_y} + \sum_{v \in \text{sample},\, v \ne y} e^{s_v} / \pi_v,$$

    which is right on average (Horvitz and Thompson 1952). So the model learns the softmax over all tokens
    (Bengio and Senécal 2008; Jean et al. 2015), and can be measured as such.

    Args:
        hidden: (N, H), what scores are made of.
        targets: y, (N,) int64.
        weight: (V, H) of the linear layer that makes scores.
        bias: (V,) of that layer, or None.
        pi: (V,), in (0, 1]. One sample serves all N; see `draw`.

    Returns:
        (N,) float32, in nats.
    """
    sample = draw(pi)  # (S,)
    own = (hidden * F.embedding(targets, weight)).sum(1).float()  # (N,)
    scores = F.linear(hidden, F.embedding(sample, weight)).float()  # (N, S)
    if bias is not None:
        own, scores = own + bias[targets], scores + bias[sample]
    counted = (scores - pi[sample].log()).masked_fill(
        sample == targets[:, None], torch.finfo(scores.dtype).min
    )
    return F.softplus(counted.logsumexp(1) - own)


def draw(pi: Tensor) -> Tensor:
    """Sample tokens independently, each with its probability pi (V,), by torch's generator: (S,)."""
    return (torch.rand_like(pi) < pi).nonzero().squeeze(1)


def chances_of(known: Tensor | None, size: int, weight: Tensor) -> Tensor:
    """Return the probabilities of being drawn, (V,), where the weights (V, H) of all tokens are.

    Args:
        known: from `chances`; None: the same for all tokens.
        size: of a sample, on average.
        weight: the output weights, for the number of tokens and the device.
    """
    if known is not None:
        return known.to(weight.device)
    return torch.full((len(weight),), min(1.0, size / len(weight)), device=weight.device)


def chances(counts: Tensor, size: int) -> Tensor:
    """Return the probabilities min(1, c n^0.75) of being drawn, (V,), which sum to `size`.

    The most frequent tokens are certain to be drawn, and so count exactly.

    Args:
        counts: n, how often each token is there, (V,); one that never occurs counts as one.
        size: of a sample, on average.
    """
    if size >= len(counts):
        return torch.ones(len(counts))
    shares = counts.double().clamp(min=1) ** POWER
    ordered = shares.sort(descending=True).values
    rest = ordered.flip(0).cumsum(0).flip(0)  # of each and all that come after it
    factors = (size - torch.arange(len(counts))) / rest  # c, if all that come before are certain
    certain = int((factors * ordered > 1).sum())
    return (factors[certain] * shares).clamp(max=1).float()
