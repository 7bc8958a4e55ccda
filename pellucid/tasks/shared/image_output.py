"""Predictions that are images: arrays, also saved as files if a folder is given."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid.data.input_rows import InputRows
from pellucid.errors import UsageError
from pellucid.evaluation import Trained
from pellucid.nn.modes import evaluating
from pellucid.record import files
from pellucid.tasks.shared import latents
from pellucid.tasks.shared.image_grid import picture_bytes
from pellucid.tasks.shared.own_size import OwnSize, own_pictures

BATCH = 256


@dataclass(frozen=True)
class GeneratedImages:
    """Images from a model.

    Attributes:
        images: (N, C, H, W) with pixels in 0..1; a list of N arrays (C, H, W) where they differ in size.
        latent: (N, D), the latent vectors, where the model has them.
        paths: where each was saved; () if nowhere.
        notes: how they were made, one line each.
    """

    images: np.ndarray | list[np.ndarray]
    latent: np.ndarray | None = None
    paths: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """One dict an image: where it was saved."""
        return [{"prediction": self._said(number)} for number in range(len(self.images))]

    def records(self) -> list[dict[str, Any]]:
        """The rows of a file: also the latent vector of each image, where there is one."""
        if self.latent is None:
            return self.rows()
        return [{**row, "latent": z} for row, z in zip(self.rows(), self.latent.tolist(), strict=True)]

    def _said(self, number: int) -> Any:
        if self.paths:
            return str(self.paths[number])
        height, width = self.images[number].shape[-2:]
        return f"an image of {width} x {height} pixels; --set folder=DIR saves it"


def restored(
    trained: Trained, inputs: Any, folder: str | None = None, tiles: bool | None = None
) -> GeneratedImages:
    """Reconstruct images; pictures at their own size and in their own colors, see `own_size`.

    Args:
        trained: the model.
        inputs: what `Preprocess.read` takes.
        folder: where to save the results, as PNG files named after their sources.
        tiles: reconstruct pictures in tiles of the training size; None: see `own_size`.
    """
    rows = trained.preprocess.read(inputs)
    paths = () if folder is None else picture_paths(Path(folder), rows)
    images = trained.preprocess.inputs(rows.table)
    with evaluating(trained.model):
        codes = [latents.codes(trained.model, batch) for batch in images.split(BATCH)]
        pictures = own_pictures(trained.preprocess.encoded, rows.table)
        if pictures is None:
            batches = images.split(BATCH)
            made = [one for batch in batches for one in _restored(trained, batch)]
            notes: tuple[str, ...] = ()
        else:
            restore = OwnSize(trained, tiles)
            made = [restore(picture) for picture in pictures]
            notes = (f"each picture is reconstructed {restore.way}",)
    for path, image in zip(paths, made, strict=bool(paths)):
        files.write(path, picture_bytes(image), "folder= with a folder you may write")
    arrays = [image.numpy() for image in made]
    same = len({array.shape for array in arrays}) == 1
    latent = None if codes[0] is None else torch.cat([code.flatten(1) for code in codes if code is not None])
    return GeneratedImages(
        np.stack(arrays) if same else arrays, None if latent is None else latent.cpu().numpy(), paths, notes
    )


def _restored(trained: Trained, batch: Tensor) -> Tensor:
    return latents.restore(trained.model, batch, trained.objective.probs).clamp(0, 1)


# ---- files ---------------------------------------------------------------------------------------


def picture_paths(folder: Path, rows: InputRows) -> tuple[Path, ...]:
    """Return where to save a picture for each of N inputs: named after its file, else after its row.

    Folders of the source are kept, "good/p7.jpg" becomes "good/p7.png"; of files that differ only in the
    ending each keeps its own in front, "p7.jpg.png".

    Raises:
        UsageError: the folder is that of the sources, which would be overwritten.
    """
    shared = _shared_folder([str(name["file"]) for name in rows.names if "file" in name])
    names = [_file_name(name, shared) for name in rows.names]
    stems = [PurePath(name).with_suffix("").as_posix().casefold() for name in names]
    count, taken, made = Counter(stems), set[Path](), list[Path]()
    for number, (name, stem) in enumerate(zip(names, stems, strict=True), 1):
        path = folder / (f"{name}.png" if count[stem] > 1 else PurePath(name).with_suffix(".png"))
        if path in taken:  # the same file twice
            path = path.with_name(f"{path.stem}-{number}.png")
        taken.add(path)
        made.append(path)
    _keep_sources(folder, made, rows)
    return tuple(made)


def _shared_folder(files: Sequence[str]) -> PurePath | None:
    """Return the folder that holds all files, where they are named by absolute paths; else None."""
    paths = [PurePath(file) for file in files]
    if not paths or not all(path.is_absolute() for path in paths):
        return None
    return PurePath(os.path.commonpath([path.parent for path in paths]))


def _file_name(name: Any, shared: PurePath | None) -> str:
    """Return a relative name without steps upwards: of the file, and of the row if it is one of several."""
    path = PurePath(str(name.get("file", "")))
    path = path if shared is None or "file" not in name else path.relative_to(shared)
    parts = [part for part in path.parts if part not in ("/", "\\", "..", ".")]
    parts = [part for part in parts if not part.endswith((":", ":\\"))]
    row = f"{name['row']:04d}" if "row" in name else ""
    return "/".join([*parts, f"{row}.png"] if row else parts)


def _keep_sources(folder: Path, made: Sequence[Path], rows: InputRows) -> None:
    column = next(iter(rows.table.columns), None)
    sources = column.to_pylist() if column is not None and "path" in str(column.type) else []
    taken = {Path(cell["path"]).resolve() for cell in sources if cell and cell.get("path")}
    for path in made:
        if path.resolve() in taken:
            raise UsageError(
                f"{path} is one of the pictures to predict, and would be overwritten.",
                remedy=f"--set folder={folder}-out, in Python folder='{folder}-out'",
            )
