"""Predictions that are images: arrays, also saved as files if a folder is given."""

from __future__ import annotations

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
from pellucid.tasks.shared.image_grid import grid
from pellucid.tasks.shared.model_interfaces import gan_model

BATCH = 256


@dataclass(frozen=True)
class GeneratedImages:
    """Images from a model.

    Attributes:
        images: (N, C, H, W) with pixels in 0..1.
        latent: (N, D), the latent vectors, where the model has them.
        paths: where each was saved; () if nowhere.
    """

    images: np.ndarray
    latent: np.ndarray | None = None
    paths: tuple[Path, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """One dict an image: where it was saved, or its latent vector."""
        return [{"prediction": self._said(number)} for number in range(len(self.images))]

    def _said(self, number: int) -> Any:
        if self.paths:
            return str(self.paths[number])
        if self.latent is not None:
            return self.latent[number].tolist()
        height, width = self.images.shape[-2:]
        return f"an image of {width} x {height} pixels; --set folder=DIR saves it"


def is_count(inputs: Any) -> bool:
    """Whether an input is a number of images to make, and not the images themselves."""
    if isinstance(inputs, (int, np.integer)) and not isinstance(inputs, bool):
        return True
    return isinstance(inputs, str) and inputs.isdecimal()


def restored(trained: Trained, inputs: Any, folder: str | None = None) -> GeneratedImages:
    """Reconstruct images.

    Args:
        trained: the model.
        inputs: what `Preprocess.read` takes.
        folder: where to save the results, as PNG files named after their sources.
    """
    rows = trained.preprocess.read(inputs)
    paths = () if folder is None else picture_paths(Path(folder), rows)
    images = trained.preprocess.inputs(rows.table)
    encode = getattr(trained.model, "encode", None)
    made, latent = [], []
    with evaluating(trained.model):
        for batch in images.split(BATCH):
            output = trained.model(batch)
            made.append(trained.objective.probs(getattr(output, "recon", output)))
            if encode is not None:
                code = encode(batch)
                latent.append((code[0] if isinstance(code, tuple) else code).flatten(1))
    return saved(torch.cat(made), torch.cat(latent) if latent else None, paths)


def generate_images(
    trained: Trained, inputs: Any, seed: int = 0, folder: str | None = None
) -> GeneratedImages:
    """Generate images.

    Args:
        trained: a model with a `generator`.
        inputs: number of images, as int or str; a conditional model generates all classes in turn.
        seed: of the noise.
        folder: where to save them, as PNG files.

    Raises:
        UsageError: `inputs` is not a number of images.
    """
    model, classes = trained.model, len(trained.preprocess.classes)
    if not str(inputs).isdecimal() or int(inputs) < 1:
        raise UsageError(
            f"A generative model expects the number of images to generate, received {inputs!r}.",
            remedy="pellucid predict RUN 16 --set folder=images",
        )
    count = int(inputs)
    players = gan_model(model)
    noise = torch.randn(count, players.latent_dim, generator=torch.Generator().manual_seed(seed))
    labels = (torch.arange(count) % classes,) if players.conditional else ()
    with evaluating(model):
        made = players.generator(noise, *labels)
    return saved(made, noise, () if folder is None else numbered_paths(Path(folder), count))


# ---- files ---------------------------------------------------------------------------------------


def numbered_paths(folder: Path, count: int) -> tuple[Path, ...]:
    """Return where to save pictures that come from no file: 0001.png, 0002.png ..."""
    return tuple(folder / f"{number:04d}.png" for number in range(1, count + 1))


def picture_paths(folder: Path, rows: InputRows) -> tuple[Path, ...]:
    """Return where to save a picture for each of N inputs: named after its file, else after its row.

    Folders of the source are kept, "good/p7.jpg" becomes "good/p7.png"; of files that differ only in the
    ending each keeps its own in front, "p7.jpg.png".

    Raises:
        UsageError: the folder is that of the sources, which would be overwritten.
    """
    names = [_file_name(name) for name in rows.names]
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


def _file_name(name: Any) -> str:
    """Return a relative name without steps upwards: of the file, and of the row if it is one of several."""
    parts = [part for part in PurePath(str(name.get("file", ""))).parts if part not in ("/", "\\", "..", ".")]
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


def saved(images: Tensor, latent: Tensor | None, paths: Sequence[Path] = ()) -> GeneratedImages:
    """Move images to the CPU, and save each at its path if there are any."""
    images = images.float().cpu().clamp(0, 1)
    for path, image in zip(paths, images, strict=bool(paths)):
        files.write(path, grid(image[None], 1), "folder= with a folder you may write")
    return GeneratedImages(images.numpy(), None if latent is None else latent.cpu().numpy(), tuple(paths))
