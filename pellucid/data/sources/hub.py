"""A dataset by name, from the first place that has it: the local cache, a mirror, the hub.

All places share one loader, `datasets.load_dataset`. The cache is read without the network. The hub is
first asked for an answer within `PATIENCE` seconds, so that being offline is noticed at once and not after
minutes of retries.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pellucid.data.dataset import UNLABELED
from pellucid.data.sources.network import MIRROR, PATIENCE, first_line, within
from pellucid.data.sources.tables import SPLIT_NAMES
from pellucid.errors import UnknownNameError


@dataclass(frozen=True)
class HubTables:
    """What a place held.

    Attributes:
        splits: tables, mapped from disk, by the name the source gives them.
        classes: the class names of columns that declare them.
        licence: as the card states it; "" if it does not.
        place: cache, mirror or hub.
        documents: whether each split is the text of plain files.
    """

    splits: Mapping[str, pa.Table]
    classes: Mapping[str, tuple[str, ...]]
    licence: str
    place: str
    documents: bool = False


def find(name: str, subset: str | None) -> tuple[HubTables | None, list[str]]:
    """Look for a dataset.

    Args:
        name: its hub id, `owner/name`.
        subset: the configuration, where it has several.

    Returns:
        What was found, or None; and the places that were searched with their result, in order.

    Raises:
        UnknownNameError: there are several subsets, and `subset` is none of them.
    """
    looked: list[str] = []
    for place, look in (("cache", _from_cache), ("mirror", _from_mirror), ("hub", _from_hub)):
        found, said = look(name, subset)
        looked.append(f"{place}: {said}")
        if found is not None:
            return found, looked
    return None, looked


# ---- places --------------------------------------------------------------------------------------


def _from_cache(name: str, subset: str | None) -> tuple[HubTables | None, str]:
    with _quiet(), _offline():
        return _try(name, name, subset, "cache", "not there")


def _from_mirror(name: str, subset: str | None) -> tuple[HubTables | None, str]:
    root = os.environ.get(MIRROR)
    if not root:
        return None, f"{MIRROR} is not set"
    if not Path(root).is_dir():
        return None, f"no such folder ({MIRROR}={root})"
    folder = Path(root) / name
    if not folder.is_dir():
        return None, f"not there ({folder})"
    with _quiet():
        found, said = _try(name, str(folder.resolve()), subset, "mirror", "not readable")
    return found, f"{said} ({folder})"


def _from_hub(name: str, subset: str | None) -> tuple[HubTables | None, str]:
    problem = probe(name)
    if problem:
        return None, problem
    with _quiet():
        return _try(name, name, subset, "hub", "not readable")


def probe(name: str) -> str | None:
    """Ask the hub for a dataset; return why it is not there, or None. Takes at most `PATIENCE` seconds."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import RepositoryNotFoundError

    if constants.is_offline_mode():
        return "not asked (offline mode is on)"

    def ask() -> None:
        HfApi().dataset_info(
            name, timeout=PATIENCE + 1
        )  # our own limit ends first, and includes the name look-up

    error = within(PATIENCE, ask)
    if error is None:
        return None
    if isinstance(error, TimeoutError):
        return f"no answer within {PATIENCE:g} s ({constants.ENDPOINT})"
    if isinstance(error, RepositoryNotFoundError):
        return f"no such dataset, or it is private ({constants.ENDPOINT})"
    return f"not reachable ({constants.ENDPOINT}: {first_line(error)})"


# ---- loading -------------------------------------------------------------------------------------


def _try(
    name: str, path: str, subset: str | None, place: str, otherwise: str
) -> tuple[HubTables | None, str]:
    """Load from one place; a missing dataset is distinguished from an unknown subset."""
    import datasets

    try:
        loaded = datasets.load_dataset(path, subset)
    except ValueError as error:
        known = _known_subsets(str(error))
        if known:
            raise UnknownNameError(f"subset of {name}", subset or "", known) from None
        return None, f"{otherwise}: {first_line(error)}"
    except Exception as error:  # the loader raises many types of errors
        said = f"{otherwise}: {first_line(error)}"
        return None, otherwise if place == "cache" else said
    if not isinstance(loaded, datasets.DatasetDict):
        return None, f"{otherwise}: it holds no splits"
    first = next(iter(loaded.values()))
    splits = {str(split): rows.data.table.replace_schema_metadata(None) for split, rows in loaded.items()}
    documents = first.info.builder_name == "text"
    if documents:
        splits = {split: _one_document(table) for split, table in splits.items()}
    licence = first.info.license or _card_licence(path)
    return HubTables(splits, classes_of(first.features), licence, place, documents), "found"


def _one_document(lines: pa.Table) -> pa.Table:
    """Join the lines that the loader splits plain text files into."""
    text = "\n".join(line or "" for line in lines["text"].to_pylist()) + "\n"
    return pa.table({"text": pa.array([text], pa.large_string())})


def split_names(
    splits: Mapping[str, pa.Table], *, unlabeled: bool = False
) -> tuple[dict[str, pa.Table], list[str]]:
    """Rename splits to the names used here; a single split is the training split, unknown ones are left out.

    Args:
        splits: tables by the name the source gives them.
        unlabeled: also keep a split of rows without targets.
    """
    named = {
        SPLIT_NAMES[split.lower()]: table for split, table in splits.items() if split.lower() in SPLIT_NAMES
    }
    if "train" not in named and len(splits) == 1:
        (only,) = splits
        return {"train": splits[only]}, [f"the only split, {only!r}, is used to train, validate and test"]
    unused = [split for split in splits if split.lower() not in SPLIT_NAMES]
    if unlabeled and UNLABELED in unused:
        named[UNLABELED] = splits[UNLABELED]
        unused.remove(UNLABELED)
    return named, [f"the split {split!r} is not used ({len(splits[split]):,} rows)" for split in unused]


def classes_of(features: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the class names of columns and lists that declare them."""
    from datasets import ClassLabel

    found = {}
    for name, feature in features.items():
        inner = getattr(feature, "feature", feature)
        if isinstance(inner, ClassLabel):
            found[name] = tuple(inner.names)
    return found


def _known_subsets(message: str) -> list[str]:
    """Return the configurations that the loader lists when one is missing or unknown."""
    if "onfig" not in message:
        return []
    listed = re.search(r"\[([^\]]*)\]", message)
    return re.findall(r"'([^']*)'", listed.group(1)) if listed else []


def _card_licence(path: str) -> str:
    """Return the licence that the card in a folder states, in its header or on a separate line."""
    try:
        card = (Path(path) / "README.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    stated = re.search(r"^[-* ]*licen[cs]e\b[^:\n]*:[ \t]*(\S.*)$", card, re.IGNORECASE | re.MULTILINE)
    return stated.group(1).strip() if stated else ""


# ---- the library's own noise ---------------------------------------------------------------------


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the progress bars and log lines of the loader; restore its settings afterwards."""
    import datasets
    import huggingface_hub.utils as hub

    bars = [library for library in (datasets.utils, hub) if not library.are_progress_bars_disabled()]
    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    for library in bars:
        library.disable_progress_bars()
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for library in bars:
            library.enable_progress_bars()
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Keep the loader from using the network."""
    from datasets import config
    from huggingface_hub import constants

    before = config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before
