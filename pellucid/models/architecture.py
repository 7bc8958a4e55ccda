"""Architectures of published pretrained models, built from the blocks of `pellucid.nn`.

    bert         tokens (B, T) -> blocks -> pool -> vectors (B, C)             TextEncoder
    gpt2         tokens (B, T) -> causal blocks -> logits (B, T, V)            PretrainedGPT
    vit, timm    images (B, 3, H, W) -> blocks -> class token -> vectors (B, C), or logits with a head

`build_model` builds a model with new weights. `pellucid.models.conversion` copies the published weights into
it; its outputs are then equal to those of the original.

Shapes: B batch, T tokens, S = T + 2 tokens with [CLS] and [SEP], C embed_dim, V vocab_size, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from pellucid.models.generation import BOS, EOS
from pellucid.models.transformer import GPT, POOLINGS, TransformerPlan, check_length
from pellucid.models.vit import ViT, ViTPlan
from pellucid.nn import PAD, LearnedPositions, TokenEmbedding, TransformerBlock
from pellucid.nn.init import init_output
from pellucid.nn.modes import FrozenInEvaluation
from pellucid.nn.names import lookup

FRAME = 2
"""Number of tokens that `TextEncoder` adds to a text: [CLS] and [SEP]."""

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "gelu_new": lambda: nn.GELU(approximate="tanh"),
    "gelu_pytorch_tanh": lambda: nn.GELU(approximate="tanh"),
    "relu": nn.ReLU,
}


@dataclass(frozen=True)
class Architecture:
    """The architecture of a pretrained model as plain values, which are saved with its weights.

    Attributes:
        family: bert, gpt2, vit or timm.
        embed_dim: C.
        num_layers: number of blocks.
        num_heads: attention heads per block.
        mlp_dim: hidden units of the MLPs.
        eps: epsilon of the layer norms.
        activation: one of `ACTIVATIONS`.
        vocab_size: V; 0 for images.
        max_seq_len: number of positions; 0 for images.
        image_shape: (3, H, W); () for texts.
        patch_size: side of a patch in pixels; 0 for texts.
        pooling: pooling of a text encoder; see `TextEncoder`.
        unit_length: whether the pooled vector is divided by its length.
        num_classes: K of the published head; 0 without a head.
    """

    family: str
    embed_dim: int
    num_layers: int
    num_heads: int
    mlp_dim: int
    eps: float
    activation: str
    vocab_size: int = 0
    max_seq_len: int = 0
    image_shape: tuple[int, ...] = ()
    patch_size: int = 0
    pooling: str = "mean"
    unit_length: bool = False
    num_classes: int = 0

    def state(self) -> dict[str, Any]:
        """Return all attributes as plain JSON values."""
        return {**asdict(self), "image_shape": list(self.image_shape)}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Architecture:
        """Return the architecture that `state()` describes."""
        return cls(**{**state, "image_shape": tuple(state["image_shape"])})

    def blocks(self, dropout: float, *, norm_first: bool = True, causal: bool = False) -> nn.ModuleList:
        """Make the transformer blocks with new weights.

        Raises:
            ValueError: the activation is not one of `ACTIVATIONS`.
        """
        options = {"mlp_dim": self.mlp_dim, "dropout": dropout, "norm_first": norm_first, "causal": causal}
        activation = lookup("activation of a pretrained model", self.activation, ACTIVATIONS)
        made = [TransformerBlock(self.embed_dim, self.num_heads, **options) for _ in range(self.num_layers)]
        for block in made:
            block.mlp[1] = activation()
        return nn.ModuleList(made)

    def set_eps(self, model: nn.Module) -> None:
        """Set the epsilon of all layer norms of a model."""
        for layer in model.modules():
            if isinstance(layer, nn.LayerNorm):
                layer.eps = self.eps


# ---- models --------------------------------------------------------------------------------------


class TextEncoder(nn.Module):
    """BERT without its head (Devlin et al. 2019), or a sentence encoder (Reimers and Gurevych 2019).

    Inputs are the tokens of a text without special tokens; the model adds [CLS] and [SEP] itself (tokens 2
    and 3, BOS and EOS). All tokens have the first of BERT's two token types.

    Args:
        architecture: an architecture of the family bert.
        dropout: probability of zeroing a feature in training, 0..1.

    Attributes:
        max_seq_len: the maximum T.
        pooling: mean or max over the content including [CLS] and [SEP], or cls, the vector of [CLS].
    """

    def __init__(self, architecture: Architecture, dropout: float = 0.1):
        super().__init__()
        self.embed_dim, self.max_seq_len = architecture.embed_dim, architecture.max_seq_len - FRAME
        self.pooling, self.unit_length = architecture.pooling, architecture.unit_length
        self.pool = lookup("pooling", architecture.pooling, POOLINGS)
        self.embedding = TokenEmbedding(architecture.vocab_size, self.embed_dim)
        self.positions = LearnedPositions(architecture.max_seq_len, self.embed_dim)
        self.embedding_norm = nn.LayerNorm(self.embed_dim)
        self.dropout = nn.Dropout(dropout)
        self.blocks = architecture.blocks(dropout, norm_first=False)

    def forward(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B C"]:
        pooled = self.pool(*self._hidden(tokens))
        return F.normalize(pooled, dim=1) if self.unit_length else pooled

    def encode(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T C"]:
        """Return the vector of every token, without [CLS] and [SEP]."""
        return self._hidden(tokens)[0][:, 1:-1]

    def _hidden(self, tokens: Tensor) -> tuple[Float[Tensor, "B S C"], Bool[Tensor, "B S"]]:
        check_length("A pretrained text encoder", tokens.shape[1], self.max_seq_len)
        lengths = (tokens != PAD).sum(1, keepdim=True)  # (B, 1)
        vectors = self.embedding(tokens)  # (B, T, C)
        x = self.dropout(self.embedding_norm(self.positions(self._framed(vectors, lengths))))  # (B, S, C)
        content = torch.arange(x.shape[1], device=x.device) < lengths + FRAME  # (B, S)
        for block in self.blocks:
            x = block(x, mask=content)
        return x, content

    def _framed(self, vectors: Tensor, lengths: Int[Tensor, "B 1"]) -> Float[Tensor, "B S C"]:
        """Put the vector of BOS before each text, and the vector of EOS after its last token."""
        first, last = self.embedding.weight[BOS], self.embedding.weight[EOS]  # (C,)
        edge = vectors.new_zeros(len(vectors), 1, self.embed_dim)
        x = torch.cat([edge + first, vectors, edge], dim=1)  # (B, S, C)
        ends = torch.arange(x.shape[1], device=x.device) == lengths + 1  # (B, S)
        return torch.where(ends[:, :, None], last, x)


class OpenVocabulary(TokenEmbedding):
    """An embedding with tokens that the model was not trained on and never predicts.

    Attributes:
        never: (V,), added to the logits; large and negative for these tokens, else 0.
    """

    never: Tensor

    def __init__(self, vocab_size: int, embed_dim: int):
        super().__init__(vocab_size, embed_dim)
        self.register_buffer("never", torch.zeros(vocab_size))

    def logits(self, hidden: Float[Tensor, "B T C"]) -> Float[Tensor, "B T V"]:
        return F.linear(hidden, self.weight, self.never.to(hidden.dtype))


class PretrainedGPT(GPT):
    """A GPT-2 (Radford et al. 2019) that may have tokens it was not trained on.

    Args:
        architecture: an architecture of the family gpt2.
        dropout: probability of zeroing a feature in training, 0..1.

    Attributes:
        architecture: the architecture as plain values, from which the model can be rebuilt.
    """

    def __init__(self, architecture: Architecture, dropout: float = 0.1):
        plan = TransformerPlan(architecture.embed_dim, 0, architecture.num_heads)
        super().__init__(
            architecture.vocab_size, architecture.max_seq_len, plan=plan, dropout=dropout, position="learned"
        )
        self.architecture = architecture.state()
        self.embedding = OpenVocabulary(architecture.vocab_size, architecture.embed_dim)
        self.blocks = architecture.blocks(dropout, causal=True)


class Described(Protocol):
    """An architecture as plain values, of a model that makes vectors of `embed_dim` numbers."""

    @property
    def embed_dim(self) -> int: ...

    def state(self) -> dict[str, Any]: ...


class PretrainedClassifier(FrozenInEvaluation):
    """A new linear layer on top of a pretrained encoder; returns logits.

    Args:
        encoder: a model that maps a batch to vectors (B, C).
        architecture: architecture of the encoder.
        num_classes: K.
        dropout: probability of zeroing a feature before the logits in training, 0..1.

    Attributes:
        architecture: the architecture as plain values, from which the model can be rebuilt.
    """

    def __init__(self, encoder: nn.Module, architecture: Described, num_classes: int, dropout: float = 0.1):
        super().__init__()
        self.encoder = encoder
        self.architecture = architecture.state()
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(architecture.embed_dim, num_classes)
        init_output(self.output)

    def forward(self, inputs: Tensor) -> Float[Tensor, "B K"]:
        return self.output(self.dropout(self.encoder(inputs)))

    def encode(self, inputs: Tensor) -> Float[Tensor, "B T C"]:
        """Return the vector of every token or patch; see `TextEncoder.encode` and `ViT.encode`."""
        return self.encoder.encode(inputs)  # type: ignore[operator]


VECTOR_HEAD = {"head": "vectors"}
"""What the architecture of a `PretrainedEmbedding` says in addition to that of its encoder."""


class PretrainedEmbedding(FrozenInEvaluation):
    """A pretrained encoder whose vectors are brought to unit length, for metric learning.

    Args:
        encoder: a model that maps a batch to vectors (B, C).
        architecture: architecture of the encoder.
        embed_dim: D, the length of the vectors after a new linear layer; None: those of the encoder, D = C.
        dropout: probability of zeroing a feature before that layer in training, 0..1.

    Attributes:
        architecture: the architecture as plain values, from which the model can be rebuilt.
    """

    def __init__(
        self,
        encoder: nn.Module,
        architecture: Described,
        embed_dim: int | None = None,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.encoder = encoder
        self.architecture = {**architecture.state(), **VECTOR_HEAD, "projection": embed_dim}
        self.output = nn.Identity()
        if embed_dim is not None:
            layer = nn.Linear(architecture.embed_dim, embed_dim)
            init_output(layer)
            self.output = nn.Sequential(nn.Dropout(dropout), layer)

    def forward(self, inputs: Tensor) -> Float[Tensor, "B D"]:
        return F.normalize(self.output(self.encoder(inputs)), dim=1)

    def encode(self, inputs: Tensor) -> Float[Tensor, "B T C"]:
        """Return the vector of every token or patch; see `TextEncoder.encode` and `ViT.encode`."""
        return self.encoder.encode(inputs)  # type: ignore[operator]


def build_model(architecture: Architecture, dropout: float = 0.1) -> TextEncoder | PretrainedGPT | ViT:
    """Build a model with new weights; `pellucid.models.conversion.copy_weights` loads the published ones."""
    model = _BUILDERS[architecture.family](architecture, dropout)
    architecture.set_eps(model)
    return model


def build_classifier(
    architecture: Architecture, num_classes: int, dropout: float = 0.1
) -> PretrainedClassifier:
    """Build a classifier with a new model as its `encoder`; see `build_model`.

    Raises:
        ValueError: the model is not an encoder.
    """
    return PretrainedClassifier(build_encoder(architecture, dropout), architecture, num_classes, dropout)


def build_encoder(architecture: Architecture, dropout: float = 0.1) -> TextEncoder | ViT:
    """Build an encoder with new weights, without the head and the scaling of the published model.

    Raises:
        ValueError: the model is not an encoder.
    """
    encoder = build_model(replace(architecture, num_classes=0, unit_length=False), dropout)
    if isinstance(encoder, PretrainedGPT):
        raise ValueError(
            "A classifier expects an encoder, received a GPT-2, which generates texts. "
            "Try a model of the type bert."
        )
    return encoder


def _vit(architecture: Architecture, dropout: float) -> ViT:
    plan = ViTPlan(architecture.embed_dim, 0, architecture.num_heads)
    shape, side = architecture.image_shape, architecture.patch_size
    model = ViT(
        architecture.num_classes,
        shape,
        side,
        plan=plan,
        dropout=dropout,
        pooling="cls",
        position="learned",
    )
    model.blocks = architecture.blocks(dropout)
    return model


_BUILDERS: dict[str, Callable[[Architecture, float], TextEncoder | PretrainedGPT | ViT]] = {
    "bert": TextEncoder,
    "gpt2": PretrainedGPT,
    "vit": _vit,
    "timm": _vit,
}
