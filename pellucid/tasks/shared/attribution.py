"""Which words of a text speak for the predicted class, and which against it.

Integrated gradients (Sundararajan, Taly & Yan, "Axiomatic Attribution for Deep Networks", ICML 2017): the
gradient of the logit along the straight line from an embedding of zeros to that of the word, summed. The
contributions of all words add up to the logit minus that of the empty text, up to the error of the sum. What
n-grams add, which are looked at without vectors, is known exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from pellucid.data.text.text_inputs import TextInputs
from pellucid.errors import PellucidError
from pellucid.evaluation import Trained
from pellucid.lens.explain import methods
from pellucid.lens.explain.attribute import counted
from pellucid.lens.explain.question import Question

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
    if not isinstance(encoded, TextInputs) or not classes or not _has_table(trained.model):
        return []
    made = []
    texts = table[encoded.name]
    for wrong, title in ((False, "Why it predicted this class"), (True, "Why it was wrong")):
        rows = []
        for row in _clearest(columns, wrong, texts):
            prediction = int(columns["prediction"][row])
            tokens = trained.preprocess.inputs(table.slice(row, 1)).to(trained.device)
            try:
                weights = integrated_gradients(trained.model, tokens, prediction)[0, :MAX_TOKENS].tolist()
            except PellucidError:  # a module of the user's that returns something else, or has no gradient
                return []
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
        steps: points on the line from zero to the embedding.

    Returns:
        (B, T) float32; 0 at padding.
    """
    rows = []
    for row in range(len(tokens)):
        question = Question(model, tokens[row : row + 1], ["tokens"], target=output)
        baselines = tuple(map(torch.zeros_like, question.points))
        found = methods.integrated_gradients(question, baselines, steps=steps)
        rows.append(torch.stack([part[0].sum(-1) for part in found]).sum(0) + counted(question))
    return torch.stack(rows) * (tokens != 0)


def _has_table(model: nn.Module) -> bool:
    """Whether a model looks tokens up in a table."""
    return any(isinstance(part, nn.Embedding) or hasattr(part, "word_embedding") for part in model.modules())


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
