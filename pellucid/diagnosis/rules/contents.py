"""What batches hold and what a model is given of them: pictures, tokens, masks and targets."""

from __future__ import annotations

from pellucid.diagnosis.asking import by_health, watched_rules
from pellucid.diagnosis.health import Health
from pellucid.diagnosis.watched import Watched
from pellucid.diagnosis.wording import percent
from pellucid.record import Finding

SCRAMBLED = 0.7
"""How much less pixels differ from the third next than from the next where channels were interleaved."""
EVERYWHERE = 0.8
"""The share of one token from which it is called everywhere."""
VOCABULARY = 50
"""The least tokens of an embedding for which one token everywhere is odd."""


def _interleaved(watched: Watched) -> Finding | None:
    look = watched.first
    given = [look.inputs, *(one.inputs for one in look.modules if one.kind == "Conv2d")] if look else []
    ratio = min((one.interleaved for one in given if one and one.interleaved is not None), default=1.0)
    if ratio > SCRAMBLED:
        return None
    return Finding(
        "channels-interleaved",
        "error",
        "In the pictures, each value differs less from the third next one than from the next: "
        f"{ratio:.2f} times as much.",
        "Red, green and blue follow each other along the rows: (H, W, 3) was reshaped to (3, H, W), "
        "which reads values in their order in memory and moves no axis.",
        "pictures.permute(2, 0, 1), or (0, 3, 1, 2) of a batch, in place of reshape or view",
        where="data:inputs",
        confidence=0.95,
    )


def _one_token(watched: Watched) -> Finding | None:
    token, words = watched.batches.token, watched.module("Embedding", "EmbeddingBag")
    if token is None or words is None or words.options.get("num_embeddings", 0) < VOCABULARY:
        return None
    if token[1] < EVERYWHERE or token[0] in (watched.batches.padding, words.options.get("padding_idx")):
        return None
    return Finding(
        "tokens-unknown",
        "warning",
        f"{percent(token[1])} of the tokens are {token[0]}, and the embedding has "
        f"{words.options['num_embeddings']:,.0f}.",
        "Nearly all words are replaced by one token, as by <unk>: the vocabulary does not fit the texts "
        "(case, another tokenizer, built of other texts).",
        "look at a few encoded texts; build the vocabulary of the training texts, tokenized in the same way",
        where="data:inputs",
        confidence=0.88,
    )


def _mask_inverted(watched: Watched) -> Finding | None:
    if not watched.probes.content_unread or watched.probes.inputs_ignored:
        return None
    if watched.module("RNN", "GRU", "LSTM"):
        return None  # a last state forgets the words while it reads much padding
    return Finding(
        "mask-inverted",
        "error",
        "The outputs of padded rows do not depend on any of their words, only on their padding "
        f"(token {watched.batches.padding}).",
        "The mask is inverted, and the model attends to padding only. In PyTorch a key_padding_mask is "
        "True where a token is left out; a boolean attn_mask of scaled_dot_product_attention is True where "
        "it is read.",
        "~mask",
        where="model",
        confidence=0.93,
    )


def _target_visible(watched: Watched) -> Finding | None:
    if not watched.probes.target_seen:
        return None
    return Finding(
        "target-visible",
        "error",
        "The model is given the targets themselves, and its output at a position changes with the target "
        "there.",
        "The decoder copies the token that it should predict: the loss becomes tiny and generation is "
        "useless.",
        "shift its input by one: a start token, then targets[:, :-1]",
        where="data:inputs",
        confidence=0.93,
    )


def _worse_than_guessing(watched: Watched, state: Health) -> Finding | None:
    """A measure on new rows that is far below that of guessing, in a loop whose loss falls."""
    found = _below(watched)
    if found is None or state.state in ("diverging", "non-finite", "early"):
        return None
    name, value = found
    return Finding(
        "worse-than-guessing",
        "warning",
        f"{name} on new rows is {value:.3f}, and guessing gives 0.5.",
        "What is learned is the opposite of what is measured: labels or the sign of the loss are "
        "swapped, or the measure reads the outputs the other way round.",
        "check which class is 1 in the loss and in the measure, and the sign of the loss",
        where="data:targets",
        confidence=0.86,
    )


def _below(watched: Watched) -> tuple[str, float] | None:
    """A measure of two even classes, or an area under a curve, that is below guessing at the end."""
    even = len(watched.batches.classes) == 2 and watched.batches.majority < 0.6
    for name, series in watched.validations.items():
        low = name.lower()
        ranks = "auc" in low or "auroc" in low
        fits = ranks or (even and ("acc" in low or name == "metric"))
        late = [value for _, value in series][-3:]
        if fits and name not in watched.lower and late and min(late) >= 0 and max(late) < 0.4:
            return ("The measure" if name == "metric" else name), late[-1]
    return None


RULES = watched_rules(
    ("channels-interleaved", _interleaved, ()),
    ("tokens-unknown", _one_token, ()),
    ("mask-inverted", _mask_inverted, ()),
    ("target-visible", _target_visible, ()),
    ("worse-than-guessing", by_health(_worse_than_guessing), ()),
)
