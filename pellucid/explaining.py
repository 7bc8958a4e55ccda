"""`explain`: which parts of an input speak for what a model says, for a run or any module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from pellucid import record
from pellucid.batch import call_model, to_tensors
from pellucid.errors import PellucidError, UsageError
from pellucid.explaining_runs import EMPTY_TEXT, RunSubject, run_subject
from pellucid.lens.explain.attribute import (
    Form,
    attribute,
    choose_method,
    guess_form,
    lists,
)
from pellucid.lens.explain.explanation import Explained, Explanation, Part
from pellucid.lens.explain.labels import labelled
from pellucid.lens.explain.question import Question
from pellucid.record.run import find_run
from pellucid.train.explain import told
from pellucid.train.objective import read_logits
from pellucid.train.seed import borrowed_generators

MOST_ROWS = 100
"""Rows that are explained at once."""
ZEROS = "inputs of zeros"


@borrowed_generators()
def explain(
    run_or_model: Any,
    inputs: Any,
    method: str | None = None,
    target: Any = None,
    *,
    baseline: Any = None,
    model: nn.Module | None = None,
    skip_bad: bool = False,
    runs: str | Path = "runs",
) -> Explanation:
    """Say which pixels, tokens, columns or steps speak for what a model predicts, and which against it.

    Args:
        run_or_model: a run, its id or its folder; or any module with outputs (B, K) or (B,).
        inputs: for a run, what its `predict` takes: files, texts, rows of a table, arrays. For a module, what
            it takes: tensors (B, ...), one, several in a tuple or by name. Pictures are (B, C, H, W), series
            (B, T, C), columns (B, F), tokens (B, T) whole numbers.
        method: "saliency", "smoothgrad", "integrated_gradients", "grad_cam" or "occlusion"; None: Grad-CAM
            for classes of pictures by a network with convolutions, integrated gradients for all else.
        target: the class, label or number to explain, by its name or index; None: what is predicted. Of a
            language model the token that is to follow, which must be named.
        baseline: what integrated gradients and occlusion compare with, in the form of one input of the model;
            None: the means of the training rows for columns, the mean color for pictures, no text for texts,
            and zeros for a module.
        model: the module of a run that trained one of your own.
        skip_bad: leave out files and rows that cannot be read.
        runs: the folder of runs, to find a run by its id.

    Returns:
        The explanation: `print(it)` shows it, `it.to_dict()` is JSON, `it[0].parts[0].values` are the numbers
        of the first row.

    Raises:
        UsageError: this kind of model cannot be explained, there is no such target, or the method does not
            fit.
        ModelError: the model cannot be computed for these inputs.

    Example:
        >>> layer = torch.nn.Linear(2, 1, bias=False)
        >>> _ = layer.weight.data.copy_(torch.tensor([[2.0, -1.0]]))
        >>> explain(layer, torch.tensor([[3.0, 4.0]]))[0].parts[0].values
        [6.0, -4.0]
    """
    if isinstance(run_or_model, (str, Path)):
        run_or_model = find_run(runs, str(run_or_model))
    if isinstance(run_or_model, record.Run):
        own = model or getattr(run_or_model, "model", None)
        subject = _of_run(run_subject(run_or_model, inputs, target, own, skip_bad))
    elif isinstance(run_or_model, nn.Module):
        subject = _of_module(run_or_model, inputs, target)
    else:
        raise UsageError(
            f"Expected a run or a module, received {type(run_or_model).__name__}.",
            remedy="pellucid.explain(run, inputs), or pellucid.explain(model, tensor)",
        )
    return _explain(subject, method, baseline)


@dataclass
class Subject:
    """What is explained: rows of inputs, and how to speak of them.

    Attributes:
        model: the module.
        title: what it is called.
        rows: the inputs of each row, (1, ...).
        names: what each row is called.
        leaves: names of the inputs of the model.
        target: which output of a row; None: the largest.
        say_target: (question) -> the name of its target.
        say_prediction: (question, row) -> what is predicted, in words.
        form: (point, is it tokens) -> how its numbers are arranged.
        dress: (part, row) -> the part with labels, cells and picture.
        baseline: (question, forms) -> the baselines and what they are called.
        classes: whether outputs are logits of classes.
        unit: what the output is in.
        call, read, scale: see `Question`.
        offset: (target) -> what is added to the output when it is shown.
        notes: what else should be known.
    """

    model: nn.Module
    title: str
    rows: list[Any]
    names: list[dict[str, Any]]
    leaves: list[str]
    target: Callable[[int], int | None]
    say_target: Callable[[Question], str]
    say_prediction: Callable[[Question, int], str]
    form: Callable[[Tensor, bool], Form]
    dress: Callable[[Part, Form, Tensor, int], Part]
    baseline: Callable[[Question, Sequence[Form]], tuple[tuple[Tensor, ...], str]]
    classes: bool
    unit: str
    call: Callable[[nn.Module, Any], Any] = call_model
    read: Callable[[Any], Tensor] = read_logits
    scale: Callable[[int], float] = lambda target: 1.0
    offset: Callable[[int], float] = lambda target: 0.0
    notes: list[str] = field(default_factory=list)


def _explain(subject: Subject, method: str | None, baseline: Any) -> Explanation:
    chosen, reason, said, explained = method, "", "", []
    if len(subject.rows) > MOST_ROWS:
        subject.notes.append(f"the first {MOST_ROWS} of {len(subject.rows):,} rows are explained")
    for row, inputs in enumerate(subject.rows[:MOST_ROWS]):
        question = _question(subject, inputs, subject.target(row))
        forms = [subject.form(point, place in question.tokens) for place, point in enumerate(question.points)]
        name, why = choose_method(chosen, question, forms, subject.classes)
        chosen, reason = name, reason or why
        baselines, said = (
            subject.baseline(question, forms)
            if baseline is None
            else (_own_baseline(question, baseline), "yours")
        )
        try:
            found = attribute(question, chosen, forms, baselines)
        except RuntimeError as error:
            raise UsageError(f"The explanation cannot be computed: {told(error)}") from error
        parts = _parts(subject, question, forms, [lists(values) for values in found.values], row)
        output = float(question(question.points)[0]) + subject.offset(question.target)
        explained.append(
            Explained(
                subject.names[row],
                subject.say_target(question),
                float(f"{output:.7g}"),
                subject.say_prediction(question, row),
                parts,
                found.completeness,
            )
        )
    uses = chosen in ("integrated_gradients", "occlusion")
    if not explained:
        raise UsageError("There is no row to explain.")
    return Explanation(
        subject.title, chosen or "", reason, said if uses else "", subject.unit, explained, subject.notes
    )


def _question(subject: Subject, inputs: Any, target: int | None) -> Question:
    try:
        return Question(
            subject.model,
            inputs,
            subject.leaves,
            target=target,
            call=subject.call,
            read=subject.read,
            scale=subject.scale,
        )
    except PellucidError:
        raise
    except Exception as error:
        raise UsageError(
            f"The model cannot be computed for this input: {told(error)}",
            remedy="pellucid.look(model, batch), which names the module that fails and the usual fix",
        ) from error


def _parts(
    subject: Subject, question: Question, forms: Sequence[Form], values: list[list[Any]], row: int
) -> list[Part]:
    """Make the parts; tables that look up the same tokens are one."""
    made: dict[int, Part] = {}
    several = len(set(question.leaves)) > 1
    for place, (form, numbers, leaf) in enumerate(zip(forms, values, question.leaves, strict=True)):
        if leaf in made:
            numbers = (np.asarray(made[leaf].values) + np.asarray(numbers)).tolist()
        name = question.names[leaf] if several else ""
        shown = question.tokens[place] if place in question.tokens else question.points[place]
        made[leaf] = subject.dress(Part(name, form.kind, numbers), form, shown, row)
    return list(made.values())


def _own_baseline(question: Question, baseline: Any) -> tuple[Tensor, ...]:
    given = [
        part for part in pytree.tree_leaves(to_tensors(baseline)) if isinstance(part, (Tensor, int, float))
    ]
    if len(given) == 1:
        given = given * len(question.points)
    if len(given) != len(question.points):
        raise UsageError(
            f"baseline has {len(given)} parts: expected one for each of {len(question.points)} inputs."
        )
    try:
        return tuple(
            torch.as_tensor(part).to(point).expand(point.shape)
            for part, point in zip(given, question.points, strict=True)
        )
    except RuntimeError:
        shapes = ", ".join(str(tuple(point.shape)) for point in question.points)
        raise UsageError(f"baseline does not have the shape of the input, {shapes}.") from None


# ---- modules --------------------------------------------------------------------------------------------


def _of_module(model: nn.Module, inputs: Any, target: Any) -> Subject:
    if (target is not None and not isinstance(target, (int, np.integer))) or isinstance(target, bool):
        raise UsageError(f"target={target!r}: expected the index of an output of the module.")
    device = next((part.device for part in model.parameters()), torch.device("cpu"))
    kinds = {part.dtype for part in model.parameters() if part.is_floating_point()}
    kind = next(iter(kinds)) if len(kinds) == 1 else None

    def placed(leaf: Any) -> Any:
        return (
            leaf.to(device, kind if leaf.is_floating_point() else None) if isinstance(leaf, Tensor) else leaf
        )

    if isinstance(inputs, list):
        inputs = torch.as_tensor(np.asarray(inputs)) if _is_numbers(inputs) else tuple(inputs)
    placed_inputs = pytree.tree_map(placed, to_tensors(_as_dict(inputs)))
    leaves, spec = pytree.tree_flatten(placed_inputs)
    counts = {len(leaf) for leaf in leaves if isinstance(leaf, Tensor) and leaf.ndim > 1}
    if not counts:
        raise UsageError(
            f"Expected tensors of rows, (B, ...), received {type(inputs).__name__}.",
            remedy="x[None] for one row",
        )
    if len(counts) > 1:
        raise UsageError(
            f"The inputs have {' and '.join(map(str, sorted(counts)))} rows: expected as many of each."
        )
    count = counts.pop()
    rows = [pytree.tree_unflatten([_row(leaf, row, count) for leaf in leaves], spec) for row in range(count)]
    return Subject(
        model,
        type(model).__name__,
        rows,
        [{"row": row + 1} for row in range(count)],
        _leaf_names(placed_inputs),
        target=lambda row: None if target is None else int(target),
        say_target=lambda question: (
            f"output {question.target}" if len(question.outputs) > 1 else "the output"
        ),
        say_prediction=_largest,
        form=lambda point, is_tokens: guess_form(point, is_tokens, model),
        dress=lambda part, form, shown, row: labelled(part, form, shown),
        baseline=_zeros,
        classes=True,
        unit="value",
        read=_reader(target),
    )


def _as_dict(inputs: Any) -> Any:
    """Return what tokenizers of transformers return as a plain dict."""
    return dict(inputs) if hasattr(inputs, "keys") and not isinstance(inputs, dict) else inputs


def _is_numbers(value: Any) -> bool:
    while isinstance(value, list) and value:
        value = value[0]
    return isinstance(value, (int, float))


def _row(leaf: Any, row: int, count: int) -> Any:
    return leaf[row : row + 1] if isinstance(leaf, Tensor) and leaf.ndim and len(leaf) == count else leaf


def _leaf_names(inputs: Any) -> list[str]:
    if isinstance(inputs, dict):
        return [name for name, part in inputs.items() for _ in pytree.tree_leaves(part)]
    return [f"input {place + 1}" for place in range(len(pytree.tree_leaves(inputs)))]


def _reader(target: Any) -> Callable[[Any], Tensor]:
    """Read outputs (n, K); of next tokens (n, T, V) those after the last token."""

    def read(returned: Any) -> Tensor:
        outputs = read_logits(returned)
        if outputs.ndim != 3:
            return outputs
        if target is None:
            raise UsageError(
                f"The model returns outputs of shape {tuple(outputs.shape)}, one row for each token.",
                remedy="target= the id of the token that is to follow the last one",
            )
        return outputs[:, -1]

    return read


def _largest(question: Question, row: int) -> str:
    outputs = question.outputs
    if len(outputs) == 1:
        return f"the model returns {outputs[0].item():.5g}"
    best = int(outputs.argmax())
    return f"the largest of {len(outputs)} outputs is {best}, {outputs[best].item():.5g}"


def _zeros(question: Question, forms: Sequence[Form]) -> tuple[tuple[Tensor, ...], str]:
    only_texts = all(form.kind == "text" for form in forms)
    return tuple(map(torch.zeros_like, question.points)), EMPTY_TEXT if only_texts else ZEROS


# ---- runs -----------------------------------------------------------------------------------------------


def _of_run(found: RunSubject) -> Subject:
    if found.own is not None:  # learned from batches: a module with inputs of its own
        subject = _of_module(found.model, found.own, found.target)
        subject.title, subject.say_target = found.title, found.say_target
        return subject
    return Subject(
        found.model,
        found.title,
        [found.inputs[row : row + 1] for row in range(len(found.inputs))],
        found.names,
        [found.input_name],
        target=found.target_of,
        say_target=found.say_target,
        say_prediction=lambda question, row: found.predictions[row],
        form=found.form,
        dress=found.dress,
        baseline=lambda question, forms: found.baselines(question.points),
        classes=found.classes,
        unit=found.unit,
        call=found.call,
        read=found.read,
        scale=found.scale,
        offset=found.offset,
        notes=found.notes,
    )
