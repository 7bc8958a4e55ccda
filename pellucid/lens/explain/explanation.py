"""An explanation as plain data. No torch."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

VERSION = 1

Kind = Literal["picture", "text", "table", "series"]


@dataclass(frozen=True)
class Method:
    """One method.

    Attributes:
        name: as `method=` takes it.
        title: its name in a sentence.
        paper: where it is from.
        meaning: what its numbers say.
        signed: whether numbers may be negative: against the output.
    """

    name: str
    title: str
    paper: str
    meaning: str
    signed: bool


METHODS = {
    method.name: method
    for method in (
        Method(
            "saliency",
            "saliency",
            "Simonyan, Vedaldi & Zisserman 2014",
            "How steeply the output changes with each part: the size of its gradient, without a direction.",
            False,
        ),
        Method(
            "smoothgrad",
            "SmoothGrad",
            "Smilkov et al. 2017",
            "The size of the gradient, averaged over 50 noisy copies of the input, without a direction.",
            False,
        ),
        Method(
            "integrated_gradients",
            "integrated gradients",
            "Sundararajan, Taly & Yan 2017",
            "How much each part adds to the output on the way from the baseline to the input.",
            True,
        ),
        Method(
            "grad_cam",
            "Grad-CAM",
            "Selvaraju et al. 2017",
            "Where the maps of the last convolution speak for the output; nothing shows what is against it.",
            False,
        ),
        Method(
            "occlusion",
            "occlusion",
            "Zeiler & Fergus 2014",
            "How much the output falls when each part is covered by the baseline.",
            True,
        ),
    )
}


@dataclass(frozen=True)
class Part:
    """What was found for one input of the model.

    Attributes:
        name: of the input; "" where there is only one.
        kind: how its numbers are arranged: "picture" (H, W), "text" (T,), "table" (columns,),
            "series" (channels, T).
        values: the numbers, as lists.
        labels: the tokens, the columns or the channels; [] for pictures.
        cells: the values of the columns; [] for others.
        image: the picture itself, a PNG as a data URI; None for others.
    """

    name: str
    kind: Kind
    values: list[Any]
    labels: list[str] = field(default_factory=list)
    cells: list[Any] = field(default_factory=list)
    image: str | None = None

    def ranked(self) -> list[tuple[str, float]]:
        """Return tokens, columns or channels with their numbers, the largest (without sign) first."""
        sums = [sum(value) if isinstance(value, list) else value for value in self.values]
        return (
            sorted(zip(self.labels, sums, strict=True), key=lambda pair: -abs(pair[1])) if self.labels else []
        )


@dataclass(frozen=True)
class Completeness:
    """How well the numbers of integrated gradients add up.

    Attributes:
        sum: of all numbers.
        difference: the output minus the output for the baseline, which the sum should be.
        error: the absolute difference of the two.
        steps: points on the line.
    """

    sum: float
    difference: float
    error: float
    steps: int


@dataclass(frozen=True)
class Explained:
    """One row.

    Attributes:
        name: what it is called: "file", or "row" counted from 1, and its id.
        target: the class or number that is explained.
        output: its logit, or the number in the units of the data.
        prediction: what the model predicts for the row, in words.
        parts: an entry for each input.
        completeness: of integrated gradients; None for other methods.
    """

    name: dict[str, Any]
    target: str
    output: float
    prediction: str
    parts: list[Part]
    completeness: Completeness | None = None


@dataclass(frozen=True)
class Explanation:
    """Why a model says what it says, for one row or several.

    Attributes:
        model: the class of the model, and the run if there is one.
        method: one of `METHODS`.
        reason: why this method, where it was chosen automatically.
        baseline: what stands for "nothing", for the methods that compare with it; else "".
        unit: what `output` is in.
        rows: the rows.
        notes: what else should be known, one line each.
    """

    model: str
    method: str
    reason: str
    baseline: str
    unit: str
    rows: list[Explained]
    notes: list[str] = field(default_factory=list)

    @property
    def how(self) -> Method:
        """The method: its title, paper and meaning."""
        return METHODS[self.method]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Explained]:
        return iter(self.rows)

    def __getitem__(self, row: int) -> Explained:
        return self.rows[row]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        how = self.how
        about = {"title": how.title, "paper": how.paper, "meaning": how.meaning, "signed": how.signed}
        return {"version": VERSION, **asdict(self), "about": about}

    def __str__(self) -> str:
        from pellucid.lens.explain.show import show
        from pellucid.terminal import printed

        return printed(lambda console: show(self, console), 100)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"
