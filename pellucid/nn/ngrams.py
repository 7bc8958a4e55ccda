"""N-grams of texts, and a linear classifier that weights each by its naive Bayes log ratio.

Shapes: B texts, T tokens, N entries in the lists of n-grams, M buckets, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.nn.embedding import PAD

LONGEST = 3
"""Tokens in the longest n-gram."""
BUCKETS = 2**21
"""Hash buckets: a corpus of reviews with 6 million words has 4 million distinct n-grams, most seen once."""
SCALE = 0.3
"""Scale of the logits, and so of their rate of change: Adam moves every weight by the same amount, and a text
has hundreds of n-grams. Without it, a learning rate that suits the other layers overfits the n-grams."""
_STEP, _MIX, _KEPT = 1_000_003, 0x9E3779B97F4A7C1, 20


def ngrams(
    tokens: Int[Tensor, "B T"], buckets: int = BUCKETS, longest: int = LONGEST
) -> tuple[Int[Tensor, "B N"], Bool[Tensor, "B N"]]:
    """Return the hash buckets of the n-grams in each text (hashing trick, Weinberger et al. 2009).

    Args:
        tokens: padded with 0 at the end.
        buckets: M, a power of two.
        longest: tokens in the longest n-gram; all shorter ones are listed too.

    Returns:
        The bucket of each n-gram, sorted within each text, and a mask that is True for the first entry of
        each bucket: a bucket counts once per text, and padding never.
    """
    codes = torch.cat(_codes(tokens, buckets, longest), 1).sort(1).values  # (B, N)
    first = codes >= 0
    first[:, 1:] &= codes[:, 1:] != codes[:, :-1]
    return codes.clamp(min=0), first


def _codes(tokens: Tensor, buckets: int, longest: int) -> list[Tensor]:
    """Return the bucket of the n-gram that starts at each token, (B, T - n + 1) per n; -1 for padding."""
    found = []
    for length in range(1, min(longest, tokens.shape[1]) + 1):
        code = torch.zeros_like(tokens[:, length - 1 :])
        for start in range(length):
            code = code * _STEP + tokens[:, start : tokens.shape[1] - length + 1 + start] + length
            code = code ^ (code >> 29)
        code = ((code * _MIX) >> _KEPT) & (buckets - 1)
        found.append(code.masked_fill(tokens[:, length - 1 :] == PAD, -1))
    return found


class BayesNgrams(nn.Module):
    r"""A linear classifier of the n-grams in a text, each scaled by its naive Bayes log ratio.

    Sida Wang and Christopher Manning, "Baselines and Bigrams", ACL 2012: with $p_{fk}$ the share of n-gram f
    among those of the training texts of class k, the logit of k is $c \sum_f w_f r_{fk}$ over the n-grams of
    a text, where $r_{fk} = \ln p_{fk} / p_{f \bar k}$ compares k with the mean of all other classes and stays
    fixed, $w_f$ is learned and c is `SCALE`. If all w are equal this is naive Bayes.

    Args:
        num_classes: K, 2 or more.
        buckets: M; see `ngrams`.
        dropout: probability of dropping an n-gram in training, 0..1.
    """

    ratio: Tensor

    def __init__(self, num_classes: int, *, buckets: int = BUCKETS, dropout: float = 0.5):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.weight = nn.Parameter(torch.zeros(buckets))  # w, (M,)
        self.register_buffer("ratio", torch.zeros(buckets, num_classes))  # r, (M, K)

    def forward(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B K"]:
        codes, first = ngrams(tokens, len(self.weight))
        strength = self.dropout(first.to(self.weight.dtype)) * self.weight[codes]  # (B, N)
        return SCALE * F.embedding_bag(codes, self.ratio, mode="sum", per_sample_weights=strength)

    @torch.no_grad()
    def token_contributions(self, tokens: Int[Tensor, "B T"], output: int) -> Float[Tensor, "B T"]:
        """Return the contribution of each token to the logit of a class.

        The contribution of an n-gram is divided equally among its tokens.

        Args:
            tokens: padded with 0 at the end.
            output: index of the class, 0..K - 1.
        """
        parts = _codes(tokens, len(self.weight), LONGEST)
        codes = torch.cat(parts, 1)  # (B, N)
        times = (codes[:, :, None] == codes[:, None, :]).sum(2)  # a bucket counts once per text
        known = codes.clamp(min=0)
        each = SCALE * self.weight[known] * self.ratio[known, output] / times * (codes >= 0)
        added = each.new_zeros(tokens.shape)
        for worth in each.split([part.shape[1] for part in parts], dim=1):
            places = worth.shape[1]
            length = tokens.shape[1] - places + 1
            for offset in range(length):
                added[:, offset : offset + places] += worth / length
        return added

    @torch.no_grad()
    def count(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Set the log ratios r from the training texts.

        Args:
            batches: pairs of tokens (B, T) and classes (B,).

        Raises:
            ValueError: the targets are not one class each.
        """
        counts = torch.ones_like(self.ratio)  # Laplace smoothing: no count is 0
        for tokens, classes in batches:
            if classes.ndim != 1 or classes.is_floating_point():
                raise ValueError(
                    f"N-grams are counted by class: expected classes (B,) as integers, received targets of "
                    f"shape {tuple(classes.shape)}. Try ngrams=False."
                )
            codes, first = ngrams(tokens.to(counts.device), len(counts))
            owners = classes.to(counts.device)[:, None].expand_as(codes)
            counts.index_put_((codes[first], owners[first]), counts.new_ones(()), accumulate=True)
        shares = counts / counts.sum(0)  # (M, K)
        others = (shares.sum(1, keepdim=True) - shares) / (shares.shape[1] - 1)
        self.ratio.copy_((shares / others).log())
