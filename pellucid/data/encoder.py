"""What columns are encoded by: an `Encoder` for one column of a table, `Inputs` for all that a model reads.

Both are fitted on the training rows, and come back from their state, which is plain JSON.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pyarrow as pa

from pellucid.config import ImageFit, TextConfig
from pellucid.data.dataset import Column
from pellucid.errors import ModelError

if TYPE_CHECKING:
    from pellucid.data.text.ragged import Ragged


@dataclass(frozen=True)
class FitOptions:
    """How inputs and targets are fitted.

    Attributes:
        image_size: longer side in pixels that images are resized to; None: the most common size.
        normalize: bring inputs to mean 0 and standard deviation 1.
        text: how texts become tokens, for a model that reads tokens; None: texts become word counts.
        whole_texts: texts are concatenated rather than truncated.
        layout: line breaks and indentation are words, since texts are written with these tokens.
        shared: a second column of text that uses the vocabulary of the input.
        image_fit: how images get the size of the model; see `pellucid.data.image_fit`.
        pixels: bring arrays of images to pixels in 0..1, whatever range they have.
        images_of: the pretrained model whose size, mean and deviation of images are used; None: measured.
    """

    image_size: int | None = None
    normalize: bool = True
    text: TextConfig | None = None
    whole_texts: bool = False
    layout: bool = False
    shared: Column | None = None
    image_fit: ImageFit = "stretch"
    pixels: bool = False
    images_of: str | None = None


class Encoder(ABC):
    """Turns one column of a table into numbers. Subclasses are dataclasses whose fields are their state.

    Attributes:
        names: of the numbers it makes.
    """

    names: tuple[str, ...]

    @classmethod
    @abstractmethod
    def fit(cls, column: Column, values: pa.ChunkedArray, normalize: bool) -> Self:
        """Fit on the training values of a column."""

    @abstractmethod
    def apply(self, column: pa.ChunkedArray) -> np.ndarray:
        """Encode N values as (N, len(names)) float32."""

    def notes(self, name: str, missing: int, rows: int) -> list[str]:
        """Return what the user should know about the encoding of a column, one line each."""
        return [f"{name}: {missing:,} of {rows:,} training values are missing"] if missing else []

    def new_notes(self, name: str, values: pa.ChunkedArray) -> list[str]:
        """Return what the user should know of new values of a column, one line each."""
        if len(values) and values.null_count == len(values):
            return [f"{name!r} has no value in any of the {len(values):,} rows, and counts as missing"]
        return []

    def state(self) -> dict[str, Any]:
        """Return all fields as plain JSON values."""
        return asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Restore an encoder from its state."""
        return cls(**with_tuples(state))


class Inputs(ABC):
    """Turns the columns of a table into the input of a model.

    Attributes:
        stored_as: its name in `preprocess.json`.
        light: encoding a batch costs less than copying it from another process.
    """

    stored_as: ClassVar[str]
    light: ClassVar[bool] = False

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""

    @abstractmethod
    def apply(self, table: pa.Table) -> np.ndarray:
        """Encode N rows as (N, *shape) float32, or tokens as int64."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return everything as plain JSON values, "kind" included."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The name of every number of a table's input; () for anything else."""
        return ()

    @property
    def vocab_size(self) -> int | None:
        """Number of different tokens; None where the input is not tokens."""
        return None

    @property
    def target_channels(self) -> int | None:
        """Number of the channels of a series that are to be forecast; None: all."""
        return None

    def rows(self, table: pa.Table) -> Ragged | None:
        """Encode rows that differ in length; None where all examples have one shape."""
        return None

    def pixels(self, table: pa.Table) -> np.ndarray:
        """Decode images without scaling them: (N, C, H, W) uint8.

        Raises:
            ModelError: the input is not an image.
        """
        raise ModelError("This model does not read images.")

    def plain_source(self, source: Any) -> Any:
        """Bring objects given to `predict` to a form that arrays and images of the training data have."""
        return source

    def from_bytes(self, pixels: np.ndarray) -> np.ndarray:
        """Bring pixels of image files, bytes (N, C, H, W), to the scale of the training arrays.

        Raises:
            ModelError: the scale of these is not one of pixels.
        """
        raise ModelError("This model does not read images.")

    def check_new(self, table: pa.Table) -> None:
        """Refuse new rows whose values are on another scale than the training rows.

        Raises:
            ModelError: says both ranges.
        """
        return

    def new_notes(self, table: pa.Table) -> list[str]:
        """Return what the user should know of new rows, one line each."""
        return []

    def notes(self, splits: Mapping[str, pa.Table], options: FitOptions) -> list[str]:
        """Return what the model will not see of the splits, one line each."""
        return []


def with_tuples(state: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the lists of a JSON state back into tuples, leaving out its "kind"."""
    return {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in state.items()
        if key != "kind"
    }
