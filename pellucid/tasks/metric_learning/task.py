"""Metric learning: an embedding in which rows of one class are close, measured by nearest neighbors.

The classes themselves are never predicted, so they need not be known in advance: with `held_out: classes`,
validation and test hold classes that training never saw, such as faces of new people.

Shapes: N rows, D numbers in an embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from pellucid.config import Config
from pellucid.data import split as splits
from pellucid.data.augment import Augmenter
from pellucid.data.batches import Batches, MemoryRows
from pellucid.data.dataset import SPLITS, Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.errors import BadDataError, ConfigError
from pellucid.evaluation import Outcome, Trained, forward
from pellucid.tasks.metric_learning import retrieval
from pellucid.tasks.metric_learning.objective import LossName, Options, metric_learning, supcon
from pellucid.tasks.metric_learning.spec import SPEC
from pellucid.tasks.options import LOSS_OPTIONS, read_loss_options, read_options
from pellucid.tasks.prepared import EVALUATED, Prepared, encode_rows, sample
from pellucid.tasks.task import Baselines, Task
from pellucid.train.catalogue import check_options, types_of
from pellucid.train.objective import Objective

EVAL_BATCH = 256
"""Rows that are compared with each other when the loss is measured."""
TOGETHER = 4
"""Rows of a class that come in one batch (K in Hermans et al. 2017)."""
BASELINE_ROWS = 5000


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of rows: (N, D), each of unit length."""

    outputs: np.ndarray

    def rows(self) -> list[dict[str, Any]]:
        """One dict a row."""
        return [{"prediction": row} for row in self.outputs.tolist()]


class ClassRows(MemoryRows):
    """Rows whose training batches hold several of each class: groups of `TOGETHER`, in a random order.

    Every row comes once an epoch. A batch that is measured is a mix of all classes, always the same one.
    """

    def plan(
        self, batch_size: int, generator: torch.Generator | None, limit: int | None = None
    ) -> list[Tensor]:
        """Return the row numbers of every batch; see `pellucid.data.batches.Planned`."""
        if generator is None or limit is not None:
            fixed = generator or torch.Generator().manual_seed(0)
            return list(torch.randperm(len(self), generator=fixed)[:limit].split(batch_size))
        mixed = torch.randperm(len(self), generator=generator)
        by_class = mixed[self.targets[mixed].argsort(stable=True)]
        groups = [
            group
            for rows in by_class.split(torch.unique(self.targets, return_counts=True)[1].tolist())
            for group in rows.split(TOGETHER)
        ]
        order = torch.randperm(len(groups), generator=generator).tolist()
        return list(torch.cat([groups[number] for number in order]).split(batch_size))


class MetricLearning(Task):
    """Learn distances from classes."""

    spec = SPEC
    not_explained = "returns vectors and no class or number to explain"
    outputs = "vectors"

    def prepare(
        self, dataset: Dataset, config: Config, reads_tokens: bool, fitted: Preprocess | None = None
    ) -> Prepared:
        if dataset.task != "classification":
            raise ConfigError(
                f"metric_learning learns from classes; {dataset.target!r} makes this {dataset.task}.",
                remedy="--set data.target=COLUMN, or --set 'data.columns={NAME: category}'",
            )
        data = config.data
        if data.augment.mixup or data.augment.cutmix:
            raise ConfigError("data.augment: mixup and cutmix mix classes, which have to stay whole here.")
        if read_options(Options, config).held_out == "classes":
            dataset = apart(dataset, data.validation, data.test, data.split_seed)
        _check_pairs(dataset)
        preprocess, encoded, held = encode_rows(dataset, config, reads_tokens, fitted)
        augment = Augmenter(data.augment)
        return Prepared(
            config,
            dataset,
            preprocess,
            {
                name: ClassRows(found.inputs, found.targets) if type(found) is MemoryRows else found
                for name, found in encoded.items()
            },
            held,
            augment or None,
            eval_batch=EVAL_BATCH,
        )

    def objective(self, config: Config, prepared: Prepared | None = None) -> Objective:
        options = read_options(Options, config)
        loss = cast(LossName, config.objective.loss) or options.loss
        if loss == "supcon":
            types = types_of(supcon)
            given = check_options("the loss supcon", config.objective.loss_options, types, LOSS_OPTIONS)
        else:
            given = read_loss_options(config, loss)
        return metric_learning(
            loss, **{"margin": options.margin, "temperature": options.temperature, **given}
        )

    def baselines(self, prepared: Prepared) -> Baselines:
        """By chance ("prior"), and the nearest by the inputs themselves ("inputs")."""
        found: Baselines = {"prior": {}, "inputs": {}}
        for split, prefix in EVALUATED.items():
            inputs, classes = sample(prepared.rows[split], BASELINE_ROWS)
            counts = torch.bincount(classes).double()
            chance = (counts * (counts - 1)).sum() / ((len(classes) - 1) * counts[counts > 1].sum())
            found["prior"] |= {f"{prefix}/recall_at_1": chance.item()}
            if inputs.is_floating_point():
                flat = nn.functional.normalize(inputs.flatten(1), dim=1)
                scores = retrieval.scores(retrieval.find(flat, classes))
                scores["auroc"] = retrieval.verification(flat, classes)[1]
                found["inputs"] |= {f"{prefix}/{key}": value for key, value in scores.items()}
        return {name: values for name, values in found.items() if values}

    def evaluate(self, trained: Trained, prepared: Prepared, split: str) -> Outcome:
        batches = prepared.batches(split)
        embeddings, classes = forward(trained, batches)
        found = retrieval.find(embeddings, classes)
        metrics = {"loss": _loss(trained, embeddings, classes), **retrieval.scores(found)}
        curve, metrics["auroc"] = retrieval.verification(embeddings, classes)
        names = prepared.preprocess.classes
        blocks = [curve, retrieval.plane(embeddings, [names[index] for index in classes.tolist()])]
        pictures: dict[str, bytes] = {}
        images = retrieval.images_of(prepared, split)
        if images is not None:
            file = f"{split}-nearest.png"
            shown, pictures[file] = retrieval.picture(found, images, file)
            blocks = [shown, *blocks]
        columns = {
            "row": np.arange(len(classes)),
            "target": classes.numpy(),
            "prediction": classes[found.nearest[:, 0]].numpy(),
            "nearest": found.nearest[:, 0].numpy(),
            "similarity": found.similarity.numpy(),
        }
        summary = {"rows": len(classes), "task": self.name, "classes": list(names)}
        return Outcome(metrics, summary, pa.table(columns), blocks=blocks, pictures=pictures)

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> Embeddings:
        return Embeddings(self.embed(trained, trained.preprocess.table_from(inputs)))

    def embed(self, trained: Trained, table: pa.Table) -> np.ndarray:
        encoded = trained.preprocess.inputs(table)
        outputs, _ = forward(trained, Batches(MemoryRows(encoded, torch.zeros(len(encoded))), EVAL_BATCH))
        return outputs.numpy()


# ---- splits ----------------------------------------------------------------------------------------


def apart(dataset: Dataset, validation: float, test: float, seed: int) -> Dataset:
    """Split by class: no class is in two splits.

    Args:
        dataset: its splits are joined first.
        validation: share of the classes, at least 2.
        test: likewise.
        seed: the same seed gives the same split.

    Raises:
        BadDataError: there are fewer than 6 classes.
    """
    table = pa.concat_tables([dataset.splits[name] for name in SPLITS if name in dataset.splits])
    assert dataset.target is not None
    codes = splits.class_codes(dataset.column(dataset.target), table[dataset.target])
    present = np.unique(codes)
    if len(present) < 6:
        raise BadDataError(
            f"{dataset.name} has {len(present)} classes, expected at least 6 to hold some of them out.",
            remedy="--set 'objective.options={held_out: rows}'",
        )
    order = np.random.default_rng([seed, len(present)]).permutation(present)
    counts = {
        "test": max(2, round(len(present) * test)),
        "validation": max(2, round(len(present) * validation)),
    }
    ends = counts["test"], sum(counts.values())
    parts = {"train": order[ends[1] :], "validation": order[ends[0] : ends[1]], "test": order[: ends[0]]}
    made = {name: table.filter(pa.array(np.isin(codes, part))) for name, part in parts.items()}
    words = ", ".join(f"{name} {len(parts[name])} ({len(made[name]):,} rows)" for name in parts)
    return dataset.with_splits(made, f"split by class, seed {seed}, so that no class is in two: {words}")


def _check_pairs(dataset: Dataset) -> None:
    """Refuse splits in which no row has another of its class."""
    assert dataset.target is not None
    column = dataset.column(dataset.target)
    for name, table in dataset.splits.items():
        if np.bincount(splits.class_codes(column, table[column.name])).max() < 2:
            raise BadDataError(
                f"{dataset.name}: no class has two rows in {name} ({len(table):,} rows), so nothing is near.",
                remedy=f"--set 'objective.options={{held_out: classes}}', or a larger data.{name}",
            )


# ---- measures --------------------------------------------------------------------------------------


def _loss(trained: Trained, embeddings: Tensor, classes: Tensor) -> float:
    total, count = 0.0, 0
    for batch in Batches(ClassRows(embeddings, classes), EVAL_BATCH):
        assert trained.objective.score is not None
        loss, rows = trained.objective.score(batch[0], batch)["loss"]
        total, count = total + loss.item(), count + rows
    return total / count


TASK = MetricLearning()
