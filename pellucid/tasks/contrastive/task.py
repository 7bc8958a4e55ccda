"""Embeddings of pictures without classes: SimCLR, measured on held-out pictures.

Two views of every picture are made at random (`views.py`). Measured is how often the nearest of all other
held-out views is the other view of the same picture; and, where there are classes, how often the nearest
picture is of the same class, which nobody has told the network. Raw pixels are measured on the same views.

Shapes: N pictures (N, C, H, W) with pixels in 0..1, D numbers in an embedding.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from pellucid.config import Config
from pellucid.data.batches import Batches, MemoryRows
from pellucid.data.dataset import Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.errors import BadDataError
from pellucid.evaluation import Outcome, Trained, forward, measure
from pellucid.tasks.contrastive.objective import Options, contrastive
from pellucid.tasks.contrastive.spec import SPEC
from pellucid.tasks.contrastive.views import TwoViews
from pellucid.tasks.metric_learning import retrieval
from pellucid.tasks.metric_learning.task import Embeddings
from pellucid.tasks.options import read_options
from pellucid.tasks.prepared import EVALUATED, Prepared
from pellucid.tasks.shared.image_grid import grid, picture
from pellucid.tasks.shared.image_task import ImageTask
from pellucid.tasks.task import Baselines
from pellucid.train.objective import Objective

EVAL_BATCH = 256
"""Pictures whose views are compared with each other when the loss is measured."""
MOST = 2000
"""Pictures of a split that are compared at the end."""
SHOWN = 8


class Contrastive(ImageTask):
    """Learn which pictures are similar from nothing but the pictures."""

    spec = SPEC
    not_explained = "returns vectors and no class or number to explain"

    def prepare(
        self, dataset: Dataset, config: Config, reads_tokens: bool, fitted: Preprocess | None = None
    ) -> Prepared:
        """Decode images without scaling them; the target of each is its number.

        Raises:
            ConfigError: pixels would be scaled.
            BadDataError: the rows are not images, or there are too few or too many of them.
        """
        prepared = super().prepare(dataset, config, reads_tokens, fitted)
        rows = {}
        for name, found in prepared.rows.items():
            if not isinstance(found, MemoryRows):
                raise BadDataError(
                    f"{dataset.name}: the pictures of {name} do not fit in the memory for data, and views "
                    "are made of pictures in memory.",
                    remedy="--set data.image_size=32, --data-fraction 0.1, or a larger data.memory",
                )
            if len(found) < 2:
                raise BadDataError(
                    f"{dataset.name}: {name} has {len(found)} pictures, expected at least 2 to compare.",
                    remedy="more pictures, or a larger data.validation and data.test",
                )
            rows[name] = MemoryRows(found.inputs, torch.arange(len(found)))
        views = TwoViews(read_options(Options, config).strength)
        return replace(prepared, rows=rows, augment=None, corrupt=views, eval_batch=EVAL_BATCH)

    def num_outputs(self, preprocess: Preprocess) -> int:
        return 0

    def objective(self, config: Config, prepared: Prepared | None = None) -> Objective:
        return contrastive(read_options(Options, config).temperature)

    def baselines(self, prepared: Prepared) -> Baselines:
        """By chance ("prior"), and the nearest by the pixels of the same views ("inputs")."""
        found: Baselines = {"prior": {}, "inputs": {}}
        for split, prefix in EVALUATED.items():
            if split not in prepared.rows:
                continue
            parts = list(_views(prepared, split))
            flat = nn.functional.normalize(torch.cat([views.flatten(1) for views, _ in parts]), dim=1)
            ids = torch.cat([numbers for _, numbers in parts])
            scores = retrieval.scores(retrieval.find(flat, ids))
            plain, classes = _plain(prepared, split)
            if classes is not None:
                same = nn.functional.normalize(plain.flatten(1), dim=1)
                scores["class_recall_at_1"] = retrieval.scores(retrieval.find(same, classes))["recall_at_1"]
            found["prior"][f"{prefix}/recall_at_1"] = 1 / (len(ids) - 1)
            found["inputs"] |= {f"{prefix}/{key}": value for key, value in scores.items()}
        return found

    def evaluate(self, trained: Trained, prepared: Prepared, split: str) -> Outcome:
        """Compare the views of held-out pictures, and the pictures themselves where they have classes."""
        embeddings, ids = forward(trained, _views(prepared, split))
        metrics = {
            **measure(trained, prepared.batches(split)),
            **retrieval.scores(retrieval.find(embeddings, ids)),
        }
        plain, classes = _plain(prepared, split)
        whole = _embedded(trained, plain)
        near = retrieval.find(
            whole, torch.zeros(len(whole), dtype=torch.long) if classes is None else classes
        )
        names = [""] * len(whole)
        if classes is not None:
            metrics["class_recall_at_1"] = retrieval.scores(near)["recall_at_1"]
            names = [prepared.preprocess.classes[index] for index in classes.tolist()]
        file = f"{split}-nearest.png"
        shown = torch.cat(
            [plain[[row, *near.nearest[row].tolist()]] for row in range(min(SHOWN, len(plain)))]
        )
        caption = "Each line is a held-out picture and those that are nearest to it."
        blocks = [picture("Nearest neighbors", caption, file), retrieval.plane(whole, names)]
        columns = {
            "row": np.arange(len(whole)),
            "nearest": near.nearest[:, 0].numpy(),
            "similarity": near.similarity.numpy(),
        }
        pictures = {file: grid(shown, near.nearest.shape[1] + 1)}
        summary = {"rows": len(whole), "task": self.name}
        return Outcome(metrics, summary, pa.table(columns), blocks=blocks, pictures=pictures)

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> Embeddings:
        encoded = trained.preprocess.inputs(trained.preprocess.table_from(inputs))
        return Embeddings(_embedded(trained, encoded).numpy())


def _views(prepared: Prepared, split: str) -> Batches:
    """Return two views of at most `MOST` pictures of a split, always the same."""
    rows = prepared.rows[split]
    return Batches(rows, EVAL_BATCH, augment=prepared.corrupt, limit=MOST)


def _plain(prepared: Prepared, split: str) -> tuple[Tensor, Tensor | None]:
    """Return at most `MOST` pictures of a split, and their classes (N,); None without any."""
    rows, preprocess = prepared.rows[split], prepared.preprocess
    assert isinstance(rows, MemoryRows)
    if preprocess.target is None or not preprocess.classes:
        return rows.inputs[:MOST], None
    classes = preprocess.targets(prepared.dataset.splits[split].slice(0, MOST))
    repeated = bool((torch.bincount(classes) > 1).any())
    return rows.inputs[:MOST], classes if repeated else None


def _embedded(trained: Trained, images: Tensor) -> Tensor:
    """Return the embeddings of pictures (N, C, H, W) as they are: (N, D) of unit length."""
    return forward(trained, Batches(MemoryRows(images, torch.zeros(len(images))), EVAL_BATCH))[0]


TASK = Contrastive()
