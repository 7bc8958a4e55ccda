"""Convolutions over words: a text classifier, and a language model of short contexts.

    TextCNN:  tokens -> vectors (B, T, C) -> regions (B, T, F) -> largest and mean (B, 2F) -> logits (B, K)
    PhraseLM: tokens -> vectors (B, T, C) -> phrases (B, T, H) -> logits (B, T, V)

A region is a word with one neighbor on each side; a phrase is the five words that end at a position. The
phrase features that a `PhraseLM` has learned from unlabeled texts can be a second input of a `TextCNN`, as in
Rie Johnson and Tong Zhang, "Semi-supervised Convolutional Neural Networks for Text Categorization via Region
Embedding", NIPS 2015: in both models their weights are named `phrases.`.

Shapes: B batch, T tokens, C embed_dim, F channels, H features of a phrase, V vocab_size, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.nn import (
    BayesNgrams,
    TokenEmbedding,
    embed_inputs,
    init_embedding,
    init_output,
    max_pool,
    mean_pool,
)
from pellucid.nn.names import lookup

REGION = 3  # words
PHRASE = 5  # words
CONVOLUTION_SHARE = 0.5
"""With n-grams: share of the training texts classified by the convolutions; the n-grams classify the rest."""


@dataclass(frozen=True)
class TextCNNPlan:
    """The dimensions of a size.

    Attributes:
        embed_dim: C.
        channels: F, features of a region.
        phrases: H, features of a phrase.
    """

    embed_dim: int
    channels: int
    phrases: int


SIZES = {
    "tiny": TextCNNPlan(32, 32, 32),
    "small": TextCNNPlan(128, 400, 256),
    "base": TextCNNPlan(256, 1000, 512),
}
"""Dimensions by size."""


class Phrases(nn.Module):
    """Features of the phrase that ends at each position: ReLU of a causal convolution.

    Args:
        vocab_size: V.
        embed_dim: C.
        features: H.
    """

    def __init__(self, vocab_size: int, embed_dim: int, features: int):
        super().__init__()
        self.embedding = TokenEmbedding(vocab_size, embed_dim)
        self.conv = nn.Conv1d(embed_dim, features, PHRASE)
        init_embedding(self.embedding)

    def forward(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T H"]:
        x = F.pad(self.embedding(tokens).transpose(1, 2), (PHRASE - 1, 0))  # (B, C, T + 4)
        return F.relu(self.conv(x)).transpose(1, 2)


class PhraseLM(nn.Module):
    """A language model with a context of five words (Bengio et al. 2003); returns logits of the next token.

    Args:
        vocab_size: V.
        plan: see `TextCNNPlan`.
        dropout: probability of zeroing a feature of a phrase in training, 0..1.

    Attributes:
        max_seq_len: None, because texts may have any length.
    """

    max_seq_len: int | None = None

    def __init__(self, vocab_size: int, *, plan: TextCNNPlan = SIZES["small"], dropout: float = 0.1):
        super().__init__()
        self.phrases = Phrases(vocab_size, plan.embed_dim, plan.phrases)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(plan.phrases, vocab_size)
        init_output(self.output)

    @property
    def embedding(self) -> TokenEmbedding:
        """The input embedding."""
        return self.phrases.embedding

    def forward(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        return self.output(self.hidden(tokens))

    def hidden(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T H"]:
        """Return the inputs of the output layer."""
        return self.dropout(self.phrases(tokens))

    def output_weights(self) -> tuple[Float[Tensor, "V H"], Float[Tensor, "V"]]:
        """Return the weights and biases of the output layer."""
        return self.output.weight, self.output.bias


class TextCNN(nn.Module):
    """A convolutional text classifier (Kim 2014; Johnson and Zhang 2015); ignores padding.

    Args:
        num_classes: K.
        vocab_size: V.
        plan: see `TextCNNPlan`.
        phrases: whether phrase features are a second input of the regions.
        learn_phrases: whether the phrase features are trained; otherwise their weights are frozen.
        ngrams: whether to add the logits of a linear classifier of n-grams (Mesnil et al. 2015, who combine
            it with a recurrent language model). So that both parts learn, only one of them, chosen at random,
            classifies each text in training, as in Neverova et al. 2016, ModDrop. The n-grams of the training
            texts are counted before training; see `count_batches`.
        dropout: in training, the probability of zeroing a feature before the logits and of dropping an
            n-gram, 0..1; a word is dropped, everywhere in the batch, with 0.6 times this probability. With 0,
            the n-grams and the convolutions both classify every text.
    """

    def __init__(
        self,
        num_classes: int,
        vocab_size: int,
        *,
        plan: TextCNNPlan = SIZES["small"],
        phrases: bool = False,
        learn_phrases: bool = True,
        ngrams: bool = False,
        dropout: float = 0.5,
    ):
        super().__init__()
        self.embedding = TokenEmbedding(vocab_size, plan.embed_dim)
        self.conv = nn.Conv1d(plan.embed_dim, plan.channels, REGION, padding=REGION // 2)
        self.phrases = Phrases(vocab_size, plan.embed_dim, plan.phrases) if phrases else None
        self.from_phrases = nn.Linear(plan.phrases, plan.channels, bias=False) if phrases else None
        if self.phrases is not None and not learn_phrases:
            self.phrases.requires_grad_(False)
        self.ngrams = BayesNgrams(num_classes, dropout=dropout) if ngrams else None
        self.word_dropout, self.dropout = nn.Dropout(0.6 * dropout), nn.Dropout(dropout)
        self.output = nn.Linear(2 * plan.channels, num_classes)
        init_embedding(self.embedding)
        init_output(self.output)

    def forward(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B K"]:
        content = self.embedding.content(tokens)
        regions = self.regions(tokens)  # (B, T, F)
        pooled = torch.cat([max_pool(regions, content), mean_pool(regions, content)], 1)
        logits = self.output(self.dropout(pooled))  # (B, K)
        if self.ngrams is None:
            return logits
        linear = self.ngrams(tokens)
        if not self.training or not self.dropout.p:
            return logits + linear
        convolved = torch.rand(len(tokens), 1, device=tokens.device) < CONVOLUTION_SHARE
        return torch.where(convolved, logits.to(linear.dtype), linear)

    def regions(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T F"]:
        """Return the features of the region around each word."""
        x = embed_inputs(self.embedding, tokens, self.word_dropout)  # (B, T, C)
        found = self.conv(x.transpose(1, 2)).transpose(1, 2)  # (B, T, F)
        if self.phrases is not None and self.from_phrases is not None:
            whole = self.phrases(F.pad(tokens, (0, PHRASE // 2)))[:, PHRASE // 2 :]  # centered, (B, T, H)
            found = found + self.from_phrases(F.rms_norm(whole, whole.shape[2:], eps=1e-3))
        return F.relu(found)

    def count_batches(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Count the n-grams of the training texts, if the model uses them; see `BayesNgrams.count`."""
        if self.ngrams is not None:
            self.ngrams.count(batches)


def text_cnn_plan(
    size: str | None, embed_dim: int | None, channels: int | None, phrases: int | None
) -> TextCNNPlan:
    """Return the plan of a size, small by default, with the given dimensions replaced."""
    given = {"embed_dim": embed_dim, "channels": channels, "phrases": phrases}
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(lookup("text_cnn size", size or "small", SIZES), **changes)


def text_cnn(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    size: str | None = None,
    vocab_size: int | None = None,
    embed_dim: int | None = None,
    channels: int | None = None,
    phrases: bool = False,
    learn_phrases: bool = True,
    ngrams: bool = False,
    dropout: float = 0.5,
) -> TextCNN:
    """Build a convolutional classifier of texts.

    Args:
        input_shape: (T,); texts of other lengths work as well.
        num_outputs: K.
        size: tiny, small (the default) or base; see `SIZES`.
        vocab_size: V.
        embed_dim: C, instead of that of the size.
        channels: F, instead of that of the size.
        phrases: see `TextCNN`.
        learn_phrases: see `TextCNN`.
        ngrams: see `TextCNN`.
        dropout: see `TextCNN`.

    Raises:
        ValueError: the inputs are not tokens, or n-grams with fewer than two classes.
    """
    if vocab_size is None or len(input_shape) != 1:
        raise ValueError(
            f"text_cnn expects tokens of shape (T,) with a vocab_size, received inputs of shape "
            f"{tuple(input_shape)} and vocab_size={vocab_size}."
        )
    if ngrams and num_outputs < 2:
        raise ValueError(f"ngrams=True compares classes, and expects 2 or more; received {num_outputs}.")
    return TextCNN(
        num_outputs,
        vocab_size,
        plan=text_cnn_plan(size, embed_dim, channels, None),
        phrases=phrases,
        learn_phrases=learn_phrases,
        ngrams=ngrams,
        dropout=dropout,
    )


def phrase_lm(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    size: str | None = None,
    embed_dim: int | None = None,
    phrases: int | None = None,
    dropout: float = 0.1,
) -> PhraseLM:
    """Build a language model with a context of five words.

    Args:
        input_shape: (T,); texts of other lengths work as well.
        num_outputs: V.
        size: tiny, small (the default) or base; see `SIZES`.
        embed_dim: C, instead of that of the size.
        phrases: H, instead of that of the size.
        dropout: see `PhraseLM`.

    Raises:
        ValueError: the inputs are not tokens.
    """
    if len(input_shape) != 1:
        raise ValueError(
            f"phrase_lm expects tokens of shape (T,), received inputs of shape {tuple(input_shape)}."
        )
    return PhraseLM(num_outputs, plan=text_cnn_plan(size, embed_dim, None, phrases), dropout=dropout)


BUILDERS = {"text_cnn": text_cnn, "phrase_lm": phrase_lm}
"""Builders of this file by the name that configs use."""
