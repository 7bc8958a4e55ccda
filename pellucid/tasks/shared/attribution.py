"""Which words of a text speak for the predicted class, and which against it.

Integrated gradients (Sundararajan, Taly & Yan, "Axiomatic Attribution for Deep Networks", ICML 2017): the
gradient of the logit along the straight line from an embedding of zeros to that of the word, summed. The
contributions of all words add up to the logit minus that of the empty text, up to the error of the sum. What
n-grams add, which are looked at without vectors, is known exactly.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.data.text.text_inputs import TextInputs
from pellucid.evaluation import Trained
from pellucid.lens.capture import replaced_outputs
from pellucid.nn import BayesNgrams

SHOWN_TEXTS = 6  # correct ones, and as many mistakes
GRADIENT_STEPS = 32  # of integrated gradients, between no text and the text
MAX_TOKENS = 200  # shown of a text


def blocks(trained: Trained, table: pa.Table, columns: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Show texts with the contribution of every word; [] where the model reads no tokens.

    Args:
        trained: a classifier.
        table: the rows that were predicted.
        columns: their "target", "prediction" and "confidence".
    """
    encoded = trained.preprocess.encoded
    classes = trained.preprocess.classes
    if not isinstance(encoded, TextInputs) or not classes or not _tables(trained.model):
        return []
    made = []
    texts = table[encoded.name]
    for wrong, title in ((False, "Why it predicted this class"), (True, "Why it was wrong")):
        rows = []
        for row in _clearest(columns, wrong, texts):
            prediction = int(columns["prediction"][row])
            tokens = trained.preprocess.inputs(table.slice(row, 1)).to(trained.device)
            weights = integrated_gradients(trained.model, tokens, prediction)[0, :MAX_TOKENS].tolist()
            words = encoded.tokens(texts[row].as_py())[: len(weights)]
            actual = classes[int(columns["target"][row])]
            rows.append(
                {
                    "tokens": words,
                    "weights": [round(weight, 6) for weight in weights[: len(words)]],
                    "label": f"predicted {classes[prediction]}" + (f", true {actual}" if wrong else ""),
                    "note": f"{100 * columns['confidence'][row]:.1f} % confident, row {row + 1:,}",
                }
            )
        if rows:
            caption = "How much each word changes the logit of the predicted class: for it, or against it."
            made.append({"kind": "tokens", "title": title, "caption": caption, "rows": rows})
    return made


def integrated_gradients(
    model: nn.Module, tokens: Tensor, output: int, steps: int = GRADIENT_STEPS
) -> Tensor:
    """Return what each token adds to one output.

    Args:
        model: tokens (B, T) -> logits (B, K), with an `nn.Embedding` or several for its tokens.
        tokens: (B, T) int64, padded with 0.
        output: which of the K.
        steps: S, points on the line from zero to the embedding; the midpoint rule.

    Returns:
        (B, T) float32; 0 at padding.
    """
    whole: dict[nn.Module, Tensor] = {}
    lines: dict[nn.Module, Tensor] = {}
    points = (torch.arange(steps, device=tokens.device) + 0.5) / steps  # (S,)
    shares = points.repeat(len(tokens))[:, None, None]  # (B S, 1, 1)

    before, count = _before(model), tokens.shape[1]

    def on_the_line(module: nn.Module, given: Any, made: Tensor) -> Tensor:
        whole[module] = made[:, before : before + count].detach()
        lines[module] = (whole[module] * shares.to(made)).requires_grad_(True)
        if before:
            return torch.cat([made[:, :before], lines[module], made[:, before + count :]], dim=1)
        return F.pad(lines[module], (0, 0, 0, made.shape[1] - tokens.shape[1]))  # as the model itself padded

    training = model.training
    model.eval()
    try:
        with torch.enable_grad(), replaced_outputs(_tables(model), on_the_line):
            logits = model(tokens.repeat_interleave(steps, dim=0))  # (B S, K)
            gradients = torch.autograd.grad(logits[:, output].sum(), list(lines.values()))
    finally:
        model.train(training)
    each = [(gradient * whole[table]).sum(-1) for gradient, table in zip(gradients, lines, strict=True)]
    added = torch.stack(each).sum(0).unflatten(0, (len(tokens), steps)).mean(1)  # (B, T)
    for module in model.modules():
        if isinstance(module, BayesNgrams):
            added = added + module.token_contributions(tokens, output)
    return added * (tokens != 0)


def _tables(model: nn.Module) -> list[nn.Embedding]:
    """The tables that turn tokens into vectors: those that know of padding."""
    named = [
        cast(nn.Embedding, part.word_embedding) for part in model.modules() if hasattr(part, "word_embedding")
    ]
    if named:
        return named
    tables = (module for module in model.modules() if isinstance(module, nn.Embedding))
    return [table for table in tables if table.padding_idx is not None]


def _before(model: nn.Module) -> int:
    """Return the number of tokens that a model puts before a text when it looks up its vectors."""
    return next((int(cast(int, part.before)) for part in model.modules() if hasattr(part, "before")), 0)


def _clearest(columns: dict[str, np.ndarray], wrong: bool, texts: pa.ChunkedArray) -> list[int]:
    """The surest hits, an equal share of each class, or the surest mistakes; no text twice."""
    target, prediction, confidence = (columns[key] for key in ("target", "prediction", "confidence"))
    among = np.flatnonzero((target != prediction) == wrong)
    surest = among[np.argsort(-confidence[among], kind="stable")]
    each = max(1, SHOWN_TEXTS // max(len(np.unique(prediction[surest])), 1))
    seen: dict[str, int] = {}
    for row in surest.tolist():
        text, answer = texts[row].as_py(), int(prediction[row])
        if text not in seen and sum(prediction[other] == answer for other in seen.values()) < each:
            seen[text] = row
        if len(seen) == SHOWN_TEXTS:
            break
    return sorted(seen.values(), key=lambda row: (prediction[row], -confidence[row]))
