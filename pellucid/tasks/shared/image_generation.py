"""New images from latent vectors: drawn, given, or on a walk between two of them.

Works for whatever turns vectors into images: the generator of a GAN, the decoder of an autoencoder.

Shapes: N images (N, C, H, W) with pixels in 0..1, z latent vectors (N, D).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pellucid.errors import BadDataError, DataNotFoundError, UnknownNameError, UsageError
from pellucid.evaluation import Trained
from pellucid.nn.modes import evaluating
from pellucid.record import files
from pellucid.tasks.shared.image_grid import grid as draw_grid
from pellucid.tasks.shared.image_grid import picture_bytes

BATCH = 256
WIDEST = 10
"""Columns of a grid at most, unless it has one for each class or step."""

Decode = Callable[[Tensor, Tensor], Tensor]
"""Latent vectors (N, D) and classes (N,) -> images (N, C, H, W)."""


@dataclass(frozen=True)
class Decoder:
    """What makes images of latent vectors.

    Attributes:
        decode: the network.
        latent_dim: D.
        gaussian: whether latent vectors are draws from N(0, 1), so that they can be drawn and walks follow
            the arc; otherwise only encoded images have vectors.
        classes: names of the classes that can be requested; () for none.
        encode: images -> their vectors; None: there is no encoder.
    """

    decode: Decode
    latent_dim: int
    gaussian: bool = True
    classes: tuple[str, ...] = ()
    encode: Callable[[Tensor], Tensor | None] | None = None


@dataclass(frozen=True)
class NewImages:
    """Images made of latent vectors.

    Attributes:
        images: (N, C, H, W) with pixels in 0..1.
        latent: the vector of each, (N, D).
        labels: where each comes from, e.g. {"seed": 0, "number": 1, "class": "cat"}.
        paths: where each was saved; () if nowhere.
        grid: where all of them were saved as one picture; None if nowhere.
    """

    images: np.ndarray
    latent: np.ndarray
    labels: tuple[dict[str, Any], ...]
    paths: tuple[Path, ...] = ()
    grid: Path | None = None

    def rows(self) -> list[dict[str, Any]]:
        """One dict an image: where it was saved, and where it comes from."""
        height, width = self.images.shape[-2:]
        where = [str(path) for path in self.paths] or [f"an image of {width} x {height} pixels"] * len(self)
        return [{"prediction": place, **label} for place, label in zip(where, self.labels, strict=True)]

    def records(self) -> list[dict[str, Any]]:
        """The rows of a file: also the latent vector of each image, from which it can be made again."""
        return [
            {**row, "latent": vector} for row, vector in zip(self.rows(), self.latent.tolist(), strict=True)
        ]

    def pictures(self) -> list[Image.Image]:
        """The images as PIL pictures, gray or in color."""
        pixels = np.rint(self.images * 255).astype(np.uint8)
        return [
            Image.fromarray(image.transpose(1, 2, 0) if len(image) == 3 else image[0]) for image in pixels
        ]

    def __len__(self) -> int:
        return len(self.images)


def new_images(
    trained: Trained,
    inputs: Any,
    decoder: Decoder,
    *,
    seed: int = 0,
    class_: Any = None,
    walk: int | None = None,
    from_: Any = None,
    to: Any = None,
    latents: Any = None,
    grid: Any = None,
    folder: str | None = None,
) -> NewImages:
    """Make images.

    Args:
        trained: the model, for encoding images.
        inputs: number of images, or of walks, as int or str.
        decoder: makes the images.
        seed: of the latent vectors.
        class_: the class of all images, of a conditional model; None: all classes in turn.
        walk: images on each walk, from one latent vector to another, >= 2.
        from_: where a walk starts: a picture, or a seed; None: vectors drawn by `seed`.
        to: where it ends.
        latents: the vectors themselves, (N, D), or the path of a .npy file, or of a .parquet file with a
            column "latent" or "vector"; the first `inputs` are used.
        grid: the .png file to save all images in as one; True: grid.png in the folder.
        folder: where to save each image, as a PNG file named after its seed, number and class.

    Raises:
        UsageError: an option does not fit the model or another option.
        UnknownNameError: there is no such class.
        BadDataError: the latent vectors have another form.
    """
    count = _count(inputs)
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise UsageError(f"seed: expected a whole number of at least 0, received {seed!r}.")
    ends = from_ is not None or to is not None
    if latents is not None and (walk is not None or ends):
        raise UsageError("latents= are the vectors of the images: they do not go with walk=, from= or to=.")
    if latents is not None:
        z = _given(latents, decoder.latent_dim)[:count]
        labels = [{"latent_row": row + 1} for row in range(len(z))]
    elif walk is not None or ends:
        z, labels = _walks(trained, decoder, count, 10 if walk is None else walk, seed, from_, to)
    else:
        z = _drawn(decoder, count, seed)
        labels = [{"seed": seed, "number": number + 1} for number in range(count)]
    classes = _classes(decoder, class_, len(z), walk or (10 if ends else 1))
    if decoder.classes:
        for label, index in zip(labels, classes.tolist(), strict=True):
            label["class"] = decoder.classes[index]
    with evaluating(trained.model):
        parts = [decoder.decode(*part) for part in zip(z.split(BATCH), classes.split(BATCH), strict=True)]
    images = torch.cat(parts).float().cpu().clamp(0, 1)
    columns = walk or (10 if ends else _columns(len(images), decoder.classes if class_ is None else ()))
    return NewImages(
        images.numpy(),
        z.cpu().numpy(),
        tuple(labels),
        _save_each(images, labels, folder),
        _save_grid(images, columns, grid, folder),
    )


def is_count(inputs: Any) -> bool:
    """Return whether an input is a number of images to make, and not the images themselves."""
    if isinstance(inputs, (int, np.integer)) and not isinstance(inputs, bool):
        return True
    return isinstance(inputs, str) and inputs.isdecimal() and not Path(inputs).exists()


# ---- vectors ---------------------------------------------------------------------------------------


def _count(inputs: Any) -> int:
    if not is_count(inputs) or int(inputs) < 1:
        raise UsageError(
            f"A generative model expects the number of images to generate, received {inputs!r:.80}.",
            remedy="pellucid predict RUN 16",
        )
    return int(inputs)


def _drawn(decoder: Decoder, count: int, seed: int) -> Tensor:
    if not decoder.gaussian:
        raise UsageError(
            "This model encodes images, but does not learn how their codes are distributed, so new ones "
            "cannot be drawn.",
            remedy="a VAE (the task elbo) or a GAN (adversarial); or from= and to= for a walk between two "
            "pictures, latents= for given codes",
        )
    return torch.randn(count, decoder.latent_dim, generator=torch.Generator().manual_seed(seed))


def _walks(
    trained: Trained, decoder: Decoder, count: int, steps: int, seed: int, start: Any, end: Any
) -> tuple[Tensor, list[dict[str, Any]]]:
    """Return the vectors of `count` walks (count steps, D); of one between two pictures or seeds."""
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 2:
        raise UsageError(f"walk: expected the number of images on it, at least 2; received {steps!r}.")
    if (start is None) != (end is None):
        raise UsageError(
            "A walk has two ends: expected from= and to=, received only one of them.",
            remedy="--set from=a.png --set to=b.png",
        )
    if start is None:
        z = _drawn(decoder, 2 * count, seed).view(count, 2, -1)
        first, last = z[:, 0], z[:, 1]
        labels = [
            {"seed": seed, "walk": row + 1, "step": step + 1} for row in range(count) for step in range(steps)
        ]
    else:
        first, last = _end(trained, decoder, start, "from"), _end(trained, decoder, end, "to")
        labels = [{"from": str(start), "to": str(end), "step": step + 1} for step in range(steps)]
    share = torch.linspace(0, 1, steps).view(1, -1, 1)
    return between(first[:, None], last[:, None], share, arc=decoder.gaussian).flatten(0, 1), labels


def between(first: Tensor, last: Tensor, share: Tensor, *, arc: bool) -> Tensor:
    """Return vectors on the way from one to another.

    Along the arc the length of vectors stays that of draws from N(0, 1), which a straight line shortens
    (White 2016, Sampling Generative Networks).

    Args:
        first, last: (..., D).
        share: of the way, 0..1.
        arc: whether to follow the arc, else the straight line.
    """
    straight = (1 - share) * first + share * last
    if not arc:
        return straight
    units = [z / z.norm(dim=-1, keepdim=True).clamp(min=1e-12) for z in (first, last)]
    angle = (units[0] * units[1]).sum(-1, keepdim=True).clamp(-1, 1).arccos()
    along = (torch.sin((1 - share) * angle) * first + torch.sin(share * angle) * last) / torch.sin(angle)
    return torch.where(torch.sin(angle) > 1e-4, along, straight)


def _end(trained: Trained, decoder: Decoder, given: Any, name: str) -> Tensor:
    """Return the vector of an end of a walk, (1, D): of a seed, or of a picture."""
    if isinstance(given, int) and not isinstance(given, bool):
        return _drawn(decoder, 1, given)
    if decoder.encode is None:
        raise UsageError(
            f"{name}: this model has no encoder, so a walk cannot start at a picture; expected a seed, "
            f"received {given!r:.80}.",
            remedy="--set from=0 --set to=1; or a VAE or an autoencoder",
        )
    images = trained.preprocess.inputs(trained.preprocess.table_from(given))
    with evaluating(trained.model):
        codes = decoder.encode(images[:1])
    if codes is None or len(images) != 1:
        raise UsageError(f"{name}: expected one picture, received {len(images):,} in {given!r:.80}.")
    return codes.float().cpu()


def _given(latents: Any, latent_dim: int) -> Tensor:
    """Return given latent vectors, (N, D) float32."""
    name = str(latents) if isinstance(latents, (str, Path)) else "latents"
    try:
        values = np.asarray(_read(Path(name)) if name != "latents" else latents, np.float32)
    except (ValueError, TypeError) as error:
        raise BadDataError(f"{name}: expected numbers, one row for each image: {error}.") from None
    values = values[None] if values.ndim == 1 else values
    if values.ndim != 2 or values.shape[1] != latent_dim or not len(values) or not np.isfinite(values).all():
        raise BadDataError(
            f"{name}: expected finite latent vectors of shape (N, {latent_dim}), received {values.shape}."
        )
    return torch.from_numpy(values)


def _read(path: Path) -> Any:
    """Read the latent vectors of a .npy or .parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.exists():
        raise DataNotFoundError(f"There is no file {path} with latent vectors.")
    try:
        if path.suffix.lower() == ".npy":
            return np.load(path, allow_pickle=False)
        if path.suffix.lower() == ".parquet":
            names = pq.read_schema(path).names
            column = next((name for name in ("latent", "vector") if name in names), None)
            if column is None:
                raise BadDataError(
                    f"{path} has no column of latent vectors: expected latent or vector, received "
                    f"{', '.join(names)}.",
                    remedy="a file that `pellucid predict --out` or `pellucid embed --out` has written",
                )
            return pq.read_table(path, columns=[column])[column].to_pylist()
    except (OSError, ValueError, EOFError, pa.ArrowException) as error:
        raise BadDataError(f"{path} holds no latent vectors that can be read: {error}.") from None
    raise UsageError(
        f"latents: expected a .npy file, or a .parquet file with a column latent or vector; received {path}."
    )


# ---- classes ---------------------------------------------------------------------------------------


def _classes(decoder: Decoder, asked: Any, count: int, steps: int) -> Tensor:
    """Return the class of each image, (N,): the one that was asked for, or all in turn, one for each walk."""
    if asked is None:
        return torch.arange(count) // steps % max(len(decoder.classes), 1)
    if not decoder.classes:
        raise UsageError(
            "class: this model was not trained to draw classes.",
            remedy="a GAN with --set model.options.conditional=true, on images with classes",
        )
    if str(asked) not in decoder.classes:
        raise UnknownNameError("class", str(asked), decoder.classes)
    return torch.full((count,), decoder.classes.index(str(asked)))


# ---- files -----------------------------------------------------------------------------------------


def _columns(count: int, classes: Sequence[str]) -> int:
    """Return the columns of a grid: one for each class, else as many as rows."""
    return len(classes) if 1 < len(classes) <= 2 * WIDEST else min(WIDEST, math.ceil(math.sqrt(count)))


def _save_each(images: Tensor, labels: Sequence[dict[str, Any]], folder: str | None) -> tuple[Path, ...]:
    if folder is None:
        return ()
    paths = tuple(Path(folder) / f"{file_stem(label)}.png" for label in labels)
    for path, image in zip(paths, images, strict=True):
        files.write(path, picture_bytes(image), "folder= with a folder you may write")
    return paths


def file_stem(label: dict[str, Any]) -> str:
    """Return the name of a file that says where an image comes from, e.g. "seed0-0001-cat"."""
    parts = []
    if "seed" in label:
        parts.append(f"seed{label['seed']}")
    if "from" in label:
        parts.append(f"{Path(label['from']).stem}-to-{Path(label['to']).stem}")
    if "walk" in label:
        parts.append(f"walk{label['walk']}")
    number = label.get("number") or label.get("step") or label.get("latent_row", 1)
    parts.append(f"latent{number:04d}" if "latent_row" in label else f"{number:04d}")
    if "class" in label:
        parts.append("".join(letter if letter.isalnum() else "_" for letter in label["class"]))
    return "-".join(parts)


def _save_grid(images: Tensor, columns: int, grid: Any, folder: str | None) -> Path | None:
    if grid is None or grid is False:
        return None
    path = Path(folder or ".") / "grid.png" if grid is True else Path(str(grid))
    if path.suffix.lower() != ".png":
        raise UsageError(f"grid: expected the name of a .png file, received {str(grid)!r}.")
    files.write(path, draw_grid(images, columns), "a file in a folder you may write")
    return path
