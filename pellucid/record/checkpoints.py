"""Checkpoints on disk: `checkpoints/step-00000420/`, written completely or not at all, verified when read.

A checkpoint is a folder of files and a `state.json` that holds their sha256. It is filled under a
temporary name, flushed and renamed, so a crash leaves either the complete folder or one that is ignored.
`last` and `best` are small files that name a folder. The trainer decides what the files contain. Only `save`,
`point` and `prune` write.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from pellucid.errors import RunError
from pellucid.record import files

STATE = "state.json"
MOST = 40
"""Snapshots at most, however small they are."""
STEP = r"step-[0-9]{8,20}"
"""Name of the folder of a checkpoint."""


class Checkpoints:
    """The checkpoints of one run, in `folder`."""

    def __init__(self, folder: Path):
        self.folder = folder

    def save(
        self, step: int, writers: Mapping[str, Callable[[Path], None]], state: Mapping[str, Any]
    ) -> Path:
        """Write one checkpoint.

        Args:
            step: the number of optimizer updates before it.
            writers: for each file name, a function that writes the file to the path it is given.
            state: everything else, as plain values.

        Returns:
            its folder.
        """
        final = self.folder / f"step-{step:08d}"
        partial, replaced = self.folder / f".partial-{step:08d}", self.folder / f".replaced-{step:08d}"
        with files.storage(self.folder):
            for leftover in self.folder.glob(".*-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            partial.mkdir(parents=True)
            try:
                for name, write in writers.items():
                    write(partial / name)
                    files.sync_file(partial / name)
                digests = {name: files.sha256(partial / name) for name in writers}
                body = json.dumps({"step": step, "state": state})
                digest = files.hashlib.sha256(body.encode()).hexdigest()
                files.write_json(partial / STATE, {"body": body, "sha256": {**digests, STATE: digest}})
                if (
                    final.exists()
                ):  # the same step, saved again: move the old one away until the new one is in place
                    files.patiently(final.rename, replaced)
                partial.rename(final)
                shutil.rmtree(replaced, ignore_errors=True)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
            files.sync_folder(self.folder)
        return final

    def point(self, name: str, step: int) -> None:
        """Make `last` or `best` name the checkpoint of `step`."""
        files.write(self.folder / name, f"step-{step:08d}\n")

    def pointed(self, name: str) -> Path | None:
        """Return the folder that `last` or `best` names, or None if it does not exist."""
        pointer = self.folder / name
        if not pointer.is_file():
            return None
        name = files.read_text(pointer).strip()
        folder = self.folder / name
        return folder if re.fullmatch(STEP, name) and folder.is_dir() else None

    def at(self, step: int) -> Path | None:
        """Return the checkpoint of a step, or None if there is none."""
        folder = self.folder / f"step-{step:08d}"
        return folder if folder.is_dir() else None

    def all(self) -> list[Path]:
        """Return every checkpoint, oldest first, damaged ones too."""
        found = (path for path in self.folder.glob("step-*") if re.fullmatch(STEP, path.name))
        return sorted(found, key=step_of)

    def latest(self) -> tuple[Path | None, list[str]]:
        """Return the newest sound checkpoint and, for each newer one, what is wrong with it."""
        return _newest_sound(self.all())

    def before(self, step: int) -> Path | None:
        """Return the newest sound checkpoint at or before `step`, or None if there is none.

        Use it with `read_state` to look at an earlier step: neither writes anything, and the history stays.
        """
        return _newest_sound([folder for folder in self.all() if step_of(folder) <= step])[0]

    def prune(self, keep: int, snapshots: float = 0.0) -> None:
        """Remove all but the newest `keep` checkpoints, those that `last` and `best` name, and snapshots.

        Args:
            keep: number of checkpoints to keep in any case.
            snapshots: MB that earlier ones may take. Where they take more, those go that stand closest
                together, so that the ones that stay are spread over the training.
        """
        folders = self.all()
        kept = {self.pointed("last"), self.pointed("best"), *folders[-keep:]}
        sizes = {folder: _size(folder) for folder in folders if folder not in kept}
        while sizes and (sum(sizes.values()) > snapshots * 1e6 or len(sizes) > MOST):
            gone = _closest(folders, sizes)
            shutil.rmtree(gone, ignore_errors=True)
            folders.remove(gone)
            del sizes[gone]


def _size(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


def _closest(folders: list[Path], among: Collection[Path]) -> Path:
    """Return the one whose neighbours are closest to each other; the first only where no other is left."""
    steps = [step_of(folder) for folder in folders]
    gaps = {
        folder: steps[place + 1] - steps[place - 1] if place else math.inf
        for place, folder in enumerate(folders[:-1])
        if folder in among
    }
    return min(gaps, key=lambda folder: gaps[folder])


def step_of(folder: Path) -> int:
    """Return the step of a checkpoint from the name of its folder, such as step-00000420."""
    return int(folder.name.removeprefix("step-"))


def _newest_sound(folders: list[Path]) -> tuple[Path | None, list[str]]:
    complaints = []
    for folder in reversed(folders):
        try:
            read_state(folder)
        except RunError as error:
            complaints.append(error.message)
        else:
            return folder, complaints
    return None, complaints


def read_state(folder: Path) -> dict[str, Any]:
    """Return the state of a checkpoint, after checking the sha256 of each of its files.

    Raises:
        RunError: a file is missing, truncated or altered; names it.
    """
    try:
        sealed = files.read_json(folder / STATE)
        body, digests = sealed["body"], dict(sealed["sha256"])
        if files.hashlib.sha256(body.encode()).hexdigest() != digests.pop(STATE):
            raise ValueError("altered")
        state = dict(json.loads(body)["state"])
    except (OSError, RunError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise RunError(f"{folder / STATE} is missing, truncated or altered.") from None
    for name, digest in digests.items():
        path = folder / name
        try:
            found = files.sha256(path)
        except FileNotFoundError:
            raise RunError(f"{path} is missing.") from None
        if found != digest:
            raise RunError(f"{path} is truncated or altered: its sha256 is not the one it was written with.")
    return state
