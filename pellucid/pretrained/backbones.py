"""Modules of the library transformers as models of ours: tokens or images in, vectors or logits out.

Shapes: B batch, T tokens of a text, S = T + the tokens that the model's own tokenizer adds, C width,
V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from pellucid.models.conversion import NEVER
from pellucid.nn import PAD
from pellucid.nn.modes import FrozenInEvaluation
from pellucid.nn.names import lookup
from pellucid.pretrained.library import takes

FAMILY = "transformers"
"""The family of these architectures, next to those of `pellucid.models.families`."""


@dataclass(frozen=True)
class LibraryArchitecture:
    """A model of the library as plain values, from which it is built again without its files.

    Attributes:
        config: the content of its config.json.
        output: vectors, next_tokens or masked_tokens.
        embed_dim: C.
        pooling: how a vector for the whole row is made; see `TEXT_POOLINGS` and `IMAGE_POOLINGS`.
        unit_length: whether vectors are divided by their length.
        without: names of parts that are not used, such as a pooler.
        vocab_size: V, in our numbering; 0 for images.
        max_seq_len: most tokens of a text; 0 for images.
        prefix: the model's ids of the tokens before a text.
        suffix: likewise after it.
        pad_id: the model's id of padding.
        image_shape: (C, H, W) of the data; () for texts.
        flipped: whether the model reads blue, green, red.
        family: always "transformers".
    """

    config: Mapping[str, Any]
    output: str
    embed_dim: int = 0
    pooling: str = "mean"
    unit_length: bool = False
    without: tuple[str, ...] = ()
    vocab_size: int = 0
    max_seq_len: int = 0
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    pad_id: int = 0
    image_shape: tuple[int, ...] = ()
    flipped: bool = False
    family: str = FAMILY

    @property
    def reads(self) -> str:
        """What the model reads: "text" or "image"."""
        return "image" if self.image_shape else "text"

    def state(self) -> dict[str, Any]:
        """Return all attributes as plain JSON values."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> LibraryArchitecture:
        """Return the architecture that `state()` describes."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in state.items()
        }
        return cls(**values)


def without_parts(module: nn.Module, names: tuple[str, ...]) -> None:
    """Replace parts that are not used by None."""
    for name in names:
        setattr(module, name, None)


# ---- texts ---------------------------------------------------------------------------------------


class Framing(nn.Module):
    """Translates our tokens to those of a pretrained model, with the tokens that its tokenizer adds.

    Args:
        architecture: with the frame and the padding of the model.

    Attributes:
        order: (V,), the model's id of each of our tokens.
        never: (V,), added to logits; large and negative for tokens that the model does not have.
    """

    order: Tensor
    never: Tensor

    def __init__(self, architecture: LibraryArchitecture):
        super().__init__()
        self.prefix, self.suffix, self.pad_id = architecture.prefix, architecture.suffix, architecture.pad_id
        self.register_buffer("order", torch.zeros(architecture.vocab_size, dtype=torch.long))
        self.register_buffer("never", torch.zeros(architecture.vocab_size))

    def fill(self, order: list[int], unk_id: int) -> None:
        """Set which of the model's tokens each of ours is; -1 where it has none."""
        ids = torch.tensor(order)
        self.order.copy_(ids.where(ids >= 0, unk_id))
        self.order[PAD] = self.pad_id
        self.never.zero_().masked_fill_(ids < 0, NEVER)

    def forward(self, tokens: Int[Tensor, "B T"]) -> tuple[Int[Tensor, "B S"], Bool[Tensor, "B S"]]:
        """Return the model's tokens, and which of them are no padding."""
        before, after = len(self.prefix), len(self.suffix)
        lengths = (tokens != PAD).sum(1, keepdim=True)  # (B, 1)
        ids = F.pad(self.order[tokens], (before, after), value=self.pad_id)  # (B, S)
        places = torch.arange(ids.shape[1], device=ids.device)
        for place, token in enumerate(self.prefix):
            ids[:, place] = token
        for place, token in enumerate(self.suffix):
            ids = ids.masked_fill(places == lengths + before + place, token)
        return ids, places < lengths + before + after


class LibraryText(nn.Module):
    """A text model of the library: tokens to a vector for each text.

    Args:
        module: the model of the library.
        architecture: describes it.
    """

    def __init__(self, module: nn.Module, architecture: LibraryArchitecture):
        super().__init__()
        self.module, self.framing = module, Framing(architecture)
        self.max_seq_len, self.embed_dim = architecture.max_seq_len, architecture.embed_dim
        self.pooling, self.unit_length = architecture.pooling, architecture.unit_length
        self._pool = lookup("pooling of texts", architecture.pooling, TEXT_POOLINGS)
        self._options = {"use_cache": False} if takes(module, "use_cache") else {}

    @property
    def word_embedding(self) -> nn.Module:
        """The module that turns tokens into vectors."""
        return self.module.get_input_embeddings()  # type: ignore[operator]

    @property
    def before(self) -> int:
        """Number of tokens that are put before a text."""
        return len(self.framing.prefix)

    def forward(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B C"]:
        found, content = self.compute(tokens)
        pooled = self._pool(found, content)
        return F.normalize(pooled, dim=1) if self.unit_length else pooled

    def encode(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T C"]:
        """Return the vector of every token, without those that the tokenizer adds."""
        before = len(self.framing.prefix)
        return self.compute(tokens)[0].last_hidden_state[:, before : before + tokens.shape[1]]

    def compute(self, tokens: Int[Tensor, "B T"]) -> tuple[Any, Bool[Tensor, "B S"]]:
        """Return the output of the library's model, and which of its tokens are no padding."""
        _check_length(tokens, self.max_seq_len)
        ids, content = self.framing(tokens)
        return self.module(input_ids=ids, attention_mask=content.long(), **self._options), content


def _check_length(tokens: Tensor, longest: int) -> None:
    if tokens.shape[1] > longest:
        raise ValueError(
            f"This pretrained model reads texts of at most {longest} tokens, received {tokens.shape[1]}."
        )


def _mean(found: Any, content: Tensor) -> Tensor:
    shares = content / content.sum(1, keepdim=True)
    hidden = found.last_hidden_state
    return (hidden * shares[:, :, None].to(hidden.dtype)).sum(1)


def _max(found: Any, content: Tensor) -> Tensor:
    return found.last_hidden_state.masked_fill(~content[:, :, None], -torch.inf).amax(1)


def _last(found: Any, content: Tensor) -> Tensor:
    hidden = found.last_hidden_state
    return hidden[torch.arange(len(hidden), device=hidden.device), content.sum(1) - 1]


def _pooler(found: Any, content: Tensor | None = None) -> Tensor:
    pooled = getattr(found, "pooler_output", None)
    if pooled is None:
        raise ValueError("pooling is 'pooler', and this model has none. Try mean or cls.")
    return pooled.flatten(1)


TEXT_POOLINGS = {
    "mean": _mean,
    "max": _max,
    "cls": lambda found, content: found.last_hidden_state[:, 0],
    "last": _last,
    "pooler": _pooler,
}
"""The mean or the largest value over the tokens that are no padding, the first token, the last, or the
model's own pooler."""


class LibraryTokens(FrozenInEvaluation):
    """A language model of the library with its own head: tokens to logits of the next or the masked tokens.

    Args:
        module: the model of the library.
        architecture: describes it; without a frame for next tokens, whose windows start anywhere in a text.
    """

    def __init__(self, module: nn.Module, architecture: LibraryArchitecture):
        super().__init__()
        self.architecture: Mapping[str, Any] = architecture.state()
        self.module, self.framing = module, Framing(architecture)
        self.max_seq_len = architecture.max_seq_len
        self._causal = architecture.output == "next_tokens"

    def forward(self, tokens: Int[Tensor, "B T"], cache: Past | None = None) -> Float[Tensor, "B T V"]:
        count = tokens.shape[1]
        if cache is not None:
            tokens = cache.add(tokens)
        _check_length(tokens, self.max_seq_len)
        ids, content = self.framing(tokens)
        # The first tokens of causal models never see padding, which comes at the end.
        mask = None if self._causal else content.long()
        logits = self.module(input_ids=ids, attention_mask=mask).logits
        before = len(self.framing.prefix)
        logits = logits[:, before : before + tokens.shape[1]][:, -count:]
        return logits[:, :, self.framing.order] + self.framing.never.to(logits.dtype)

    def new_cache(self) -> Past:
        """Return an empty cache for generation."""
        return Past()


class Past:
    """The tokens so far, which are computed again at every step: slower than keys and values, but right for
    every model of the library."""

    def __init__(self) -> None:
        self.tokens: Tensor | None = None

    def add(self, tokens: Tensor) -> Tensor:
        """Add tokens (B, T); return all of them."""
        self.tokens = tokens if self.tokens is None else torch.cat([self.tokens, tokens], dim=1)
        return self.tokens


# ---- images --------------------------------------------------------------------------------------


class LibraryImages(nn.Module):
    """An image model of the library: images to a vector for each.

    Gray images become three equal channels.

    Args:
        module: the model of the library.
        architecture: describes it.
    """

    def __init__(self, module: nn.Module, architecture: LibraryArchitecture):
        super().__init__()
        self.module, self.embed_dim = module, architecture.embed_dim
        self.pooling, self.unit_length = architecture.pooling, architecture.unit_length
        self._flipped = architecture.flipped
        self._pool = lookup("pooling of images", architecture.pooling, IMAGE_POOLINGS)
        part = architecture.config.get("vision_config") or architecture.config
        trained = part.get("image_size")
        sides = tuple(trained) if isinstance(trained, (list, tuple)) else (trained, trained)
        other = trained is not None and sides != architecture.image_shape[1:]
        resizes = other and takes(module, "interpolate_pos_encoding")
        self._options = {"interpolate_pos_encoding": True} if resizes else {}

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C"]:
        pooled = self._pool(self.compute(images))
        return F.normalize(pooled, dim=1) if self.unit_length else pooled

    def encode(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B T C"]:
        """Return the vector of every patch or place."""
        hidden = self.compute(images).last_hidden_state
        return hidden.flatten(2).transpose(1, 2) if hidden.ndim == 4 else hidden

    def compute(self, images: Float[Tensor, "B C H W"]) -> Any:
        """Return the output of the library's model."""
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        return self.module(pixel_values=images.flip(1) if self._flipped else images, **self._options)


def _image_mean(found: Any) -> Tensor:
    hidden = found.last_hidden_state  # (B, C, H, W), or (B, N, C)
    return hidden.mean((2, 3)) if hidden.ndim == 4 else hidden.mean(1)


def _class_token(found: Any) -> Tensor:
    hidden = found.last_hidden_state
    if hidden.ndim != 3:
        raise ValueError("pooling is 'cls', and this model has no class token. Try mean or pooler.")
    return hidden[:, 0]


IMAGE_POOLINGS = {"pooler": _pooler, "mean": _image_mean, "cls": _class_token}
"""The model's own pooler, the mean over all places, or the first token."""
