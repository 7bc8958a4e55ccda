"""Find the module that failed, what it received, and the line of the user's code."""

from __future__ import annotations

import linecache
import re
import traceback
import warnings
from typing import Any

import torch

from pellucid.batch import as_batch, describe
from pellucid.lens.capture import Call, Taken, map_tensors
from pellucid.lens.crash import arguments, layers, learning, operations
from pellucid.lens.crash.failure import Failure, Words
from pellucid.lens.tensors import record, records_in
from pellucid.lens.trace import Crash
from pellucid.lens.work import Work
from pellucid.train.explain import in_library


def explain_crash(stage: str, error: Exception, work: Work, taken: Taken) -> Crash:
    """Return where and why a computation failed.

    Args:
        stage: "forward", "loss" or "backward".
        error: what was raised.
        work: what was computed.
        taken: the calls until then, with their tensors as records.
    """
    root = taken.of("")
    if stage == "forward" and taken.failed is None and root and root[-1].finished:
        stage = "loss"
    call = taken.failed if stage == "forward" else None
    line = _user_line(error)
    failure = Failure(
        stage,
        str(error).strip(),
        type(error).__name__,
        call.module if call else None,
        tuple(found for found in records_in((call.args, call.kwargs)) if found) if call else (),
        _before(taken),
        line.partition(": ")[2],
        work.model,
        root[-1].output if stage == "loss" and root else None,
        map_tensors(record, as_batch(work.batch).targets) if stage == "loss" else None,
    )
    expected, fix = usual_fix(failure)
    crash = Crash(
        stage, "", type(error).__name__, f"{failure.kind}: {failure.error}", "", expected, fix, line
    )
    if stage == "loss":
        crash.where = crash.type = "loss"
        crash.received = (
            f"outputs {_said(failure.outputs)} and targets {describe(as_batch(work.batch).targets)}"
        )
    elif stage == "backward":
        last = _reached(taken)
        crash.where, crash.type = (last.name, type(last.module).__name__) if last else ("", crash.type)
        crash.line = _line_in_forward(work) or line
    else:
        crash.where = call.name if call else ""
        crash.type = type(call.module if call else work.model).__name__
        crash.received = ", ".join(map(str, failure.received)) or describe(as_batch(work.batch).inputs)
    return crash


RULES = (*arguments.RULES, *learning.RULES, *layers.RULES, *operations.RULES)


def usual_fix(failure: Failure) -> Words:
    """Return what was expected and the usual fix; "" for what is not known."""
    return next((found for rule in RULES if (found := rule(failure)) is not None), ("", ""))


def _said(value: Any) -> str:
    return ", ".join(str(found) for found in records_in(value) if found) or "nothing"


def _reached(taken: Taken) -> Call | None:
    """The innermost call to whose output the backward pass came last."""
    if not taken.backward:
        return None
    last, *before = reversed(taken.backward)
    for call in before:  # a module may return the tensor of one inside of it
        if not call.inside(last):
            break
        last = call
    return last


def _before(taken: Taken) -> Call | None:
    finished = [call for call in taken.calls if call.ended is not None]
    return max(finished, key=lambda call: call.ended or 0, default=None)


def _user_line(error: BaseException) -> str:
    """Return "FILE:NUMBER: TEXT" of the last line of the user's code; "" if there is none."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not in_library(frame.filename)]
    return f"{own[-1].filename}:{own[-1].lineno}: {own[-1].line or ''}" if own else ""


FRAME = re.compile(r'File "([^"]+)", line (\d+)')


def _line_in_forward(work: Work) -> str:
    """Return the line of the user's forward whose backward fails, found by PyTorch's anomaly mode."""
    with (
        work.undisturbed(),
        warnings.catch_warnings(record=True) as caught,
        torch.autograd.set_detect_anomaly(True, check_nan=False),
    ):
        warnings.simplefilter("always")
        try:
            _, loss = work.forward()
            torch.autograd.grad(loss, work.parameters, allow_unused=True)
        except Exception as error:
            said = "\n".join([*(str(warning.message) for warning in caught), *map(str, error.args)])
        else:
            return ""
    own = [(file, int(number)) for file, number in FRAME.findall(said) if not in_library(file)]
    if not own:
        return ""
    file, number = own[-1]
    return f"{file}:{number}: {linecache.getline(file, number).strip()}"
