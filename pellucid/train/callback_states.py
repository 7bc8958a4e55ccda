"""The states of callbacks in a checkpoint, each under the `state_key` of its callback.

Without a key of its own a callback is known by the name of its class. Order does not matter: a state goes to
the callback with the same key, and to no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pellucid.errors import PellucidError, ResumeError, UsageError
from pellucid.train.callbacks import Callback
from pellucid.train.plain_state import in_words, not_plain


def check_keys(callbacks: Iterable[Callback]) -> None:
    """Check that no two callbacks would save their state under the same key.

    Raises:
        UsageError: two have one key, so that a resumed run could not distinguish them.
    """
    seen: dict[str, Callback] = {}
    for callback in _with_state(callbacks):
        key = key_of(callback)
        if key in seen:
            name = type(callback).__name__
            raise UsageError(
                f"Two callbacks save their state as {key!r}, a {type(seen[key]).__name__} and a {name}: a "
                "resumed run could not distinguish them.",
                remedy=f'a key for each: {name}(...).state_key = "first", or a property state_key',
            )
        seen[key] = callback


def key_of(callback: Callback) -> str:
    """Return the key of a callback: its `state_key`, or the name of its class."""
    return callback.state_key or type(callback).__name__


def saved_states(callbacks: Iterable[Callback]) -> list[list[Any]]:
    """Return (key, state) of every callback that has one.

    Raises:
        UsageError: a state is not plain values.
    """
    check_keys(callbacks)  # a key may depend on what was set since the last check
    return [[key_of(callback), _plain_state(callback)] for callback in _with_state(callbacks)]


def load_states(callbacks: Sequence[Callback], saved: Iterable[Sequence[Any]]) -> list[str]:
    """Give callbacks the states that were saved under their keys.

    Returns:
        A sentence for every callback without a saved state, and for every state without a callback.

    Raises:
        ResumeError: a callback cannot load its state.
    """
    states: dict[str, Any] = dict(saved)  # type: ignore[arg-type]
    notes: list[str] = []
    keys = {key_of(callback) for callback in callbacks}
    for callback in _with_state(callbacks):
        key = next((name for name in _names(callback, keys) if name in states), None)
        if key is not None:
            _load(callback, key, states.pop(key))
        else:
            notes.append(f"The checkpoint has no state of the callback {key_of(callback)}; it starts anew.")
    notes += [
        f"The checkpoint has the state of a callback {key}, and this training run has no such callback; the "
        "state is ignored."
        for key, state in states.items()
        if state
    ]
    return notes


def _with_state(callbacks: Iterable[Callback]) -> Iterator[Callback]:
    return (c for c in callbacks if type(c).state_dict is not Callback.state_dict)


def _names(callback: Callback, keys: set[str]) -> Iterator[str]:
    """The names that a callback's state may have: its key, or what earlier versions called it."""
    yield key_of(callback)
    for name in (type(callback).__name__, type(callback).old_name):
        if name and name not in keys:
            yield name


def _load(callback: Callback, key: str, state: dict[str, Any]) -> None:
    try:
        callback.load_state_dict(state)
    except PellucidError:
        raise
    except Exception as error:
        raise ResumeError(
            f"The callback {key} cannot load its state {state!r:.80}: {type(error).__name__}: {error}.",
            remedy="the callback as it was when the run was saved, or another state_key to start it anew",
        ) from error


def _plain_state(callback: Callback) -> dict[str, Any]:
    state, name = callback.state_dict(), type(callback).__name__
    for key, value in not_plain(state):
        raise UsageError(
            f"The state of the callback {name} cannot be saved: expected plain JSON values, received "
            f"{in_words(value)} for {key!r}.",
            remedy=f"in {name}.state_dict, return value.tolist() and make a tensor of it in load_state_dict",
        )
    return state
