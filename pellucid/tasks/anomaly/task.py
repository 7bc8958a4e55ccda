"""Anomaly detection by one-class learning: images that a model of one class cannot reconstruct.

Training and validation rows are only of the normal class, so that early stopping and the choice of the
best weights need no anomalies; the test split holds everything. An image is scored by how much of it the
model does not explain (`reconstruction_score`), and scores are measured by AUROC: how often an anomaly has a
higher score than a normal image. A model trained with noise gets clean images here.

Shapes: N images (N, C, H, W) with pixels in 0..1, scores (N,).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from pellucid.config import Config
from pellucid.data.dataset import Dataset
from pellucid.data.one_class import of_class, with_both_kinds_in_test
from pellucid.data.preprocess import Preprocess
from pellucid.data.targets.classes import class_codes
from pellucid.errors import BadDataError, ConfigError
from pellucid.evaluation import Outcome, Trained, measure
from pellucid.nn.modes import evaluating
from pellucid.record import Run
from pellucid.tasks.anomaly import anomaly_blocks
from pellucid.tasks.anomaly.heat_map import color_scale, save_heat_maps
from pellucid.tasks.anomaly.limit import check_rate, choose_limit, kept_limit, limit_for, map_scale
from pellucid.tasks.anomaly.new_classes import adopt, is_new
from pellucid.tasks.anomaly.normal_name import named_normal
from pellucid.tasks.anomaly.objective import DEFECTS, Options, anomaly, by_patches, loss_of
from pellucid.tasks.anomaly.reconstruction_score import reconstruction_score
from pellucid.tasks.anomaly.scoring import FitNormal, PatchModel, drawn_below, mean_features, scores_and_maps
from pellucid.tasks.anomaly.spec import SPEC
from pellucid.tasks.options import read_options
from pellucid.tasks.prepared import Prepared, sample
from pellucid.tasks.shared import pca
from pellucid.tasks.shared.image_grid import picture, stacked
from pellucid.tasks.shared.image_output import picture_paths
from pellucid.tasks.shared.image_task import ImageTask, few
from pellucid.tasks.shared.reconstruction_blocks import FITTED, ROWS, SHOWN
from pellucid.tasks.shared.snapshots import Snapshots
from pellucid.tasks.task import Baselines, answer
from pellucid.train.callbacks import Callback
from pellucid.train.objective import Objective

CODE = 16
"""Components of the PCA that a model without a code is compared with."""
MAPS = "Images, and below them how unlike normal ones each place is, brighter for more."
NO_ANOMALIES = (
    "there are no images of anomalies, so it is not known how many would be found; some in test/DEFECT next "
    "to test/good are measured, and `pellucid predict RUN FOLDER` scores them"
)
NO_NORMAL = "there are no normal images to distinguish the anomalies from"
SCALED_ON = 200
"""Held-out images that the colors of heat maps are scaled on."""
CAPTIONS = {
    "strangest": ("False alarms", "The normal images with the highest scores."),
    "missed": ("Missed anomalies", "The images of other classes with the lowest scores."),
}

Score = Callable[[Tensor], Tensor]
"""Images (N, C, H, W) -> how strange each is, (N,)."""


@dataclass(frozen=True)
class Scores:
    """How strange images are.

    Attributes:
        values: (N,).
        limit: the score above which an image counts as an anomaly; None if the run kept none.
        maps: where each is strange, (N, H, W): see `error_map`; None if not computed.
        paths: where the picture of each heat map was saved; () if nowhere.
        notes: where the limit comes from.
    """

    values: np.ndarray
    limit: float | None
    maps: np.ndarray | None = None
    paths: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """One dict an image: its score, where there is a limit the verdict, and the file of its heat map."""
        found = [{"prediction": self._said(value)} for value in self.values.tolist()]
        if not self.paths:
            return found
        return [{**row, "heat_map": str(path)} for row, path in zip(found, self.paths, strict=True)]

    def _said(self, value: float) -> dict[str, Any]:
        if self.limit is None:
            return {"score": value}
        return {"verdict": "anomaly" if value > self.limit else "normal", "score": value, "limit": self.limit}


class Anomaly(ImageTask):
    """Detect images that do not belong to one class."""

    spec = SPEC
    not_explained = "shows by itself where a picture is unusual: predict saves its heat maps"
    saves_pictures = True

    def prepare(
        self, dataset: Dataset, config: Config, reads_tokens: bool, fitted: Preprocess | None = None
    ) -> Prepared:
        """Keep the normal rows of training and validation, and decode images without scaling them.

        Raises:
            ConfigError: no class of the data is named as normal, or pixels would be scaled.
            BadDataError: there are no classes, no images, or not both kinds in the test split.
        """
        if fitted is not None and is_new(dataset):
            dataset, fitted = adopt(dataset, fitted)
            return super().prepare(dataset, config, reads_tokens, fitted)
        normal = _normal(dataset, config)
        if normal is None:
            return super().prepare(dataset, config, reads_tokens, fitted)
        learned = [split for split in ("train", "validation") if split in dataset.splits]
        dataset = with_both_kinds_in_test(dataset, normal)
        _check_test(dataset, normal)
        return super().prepare(of_class(dataset, normal, learned), config, reads_tokens, fitted)

    def objective(self, config: Config, prepared: Prepared | None = None) -> Objective:
        options = read_options(Options, config)
        check_rate(options.false_alarm_rate)
        return anomaly(loss_of(config), noise=options.noise, noise_kind=options.noise_kind)

    def check(self, model: nn.Module, objective: Objective, prepared: Prepared) -> None:
        """Refuse a loss that does not go with the model.

        Raises:
            ConfigError: the loss finds defects, and the model has no patches; or the other way around.
        """
        if by_patches(prepared.config) != isinstance(model, PatchModel):
            raise ConfigError(
                f"objective.options.loss: {DEFECTS} goes with the model padim, and padim with no other loss; "
                f"received {loss_of(prepared.config)} and {prepared.config.model.name}.",
                remedy=f"--set model.name=padim --set objective.options.loss={DEFECTS}, or the loss mse with "
                "the model autoencoder",
            )
        super().check(model, objective, prepared)

    def baselines(self, prepared: Prepared) -> Baselines:
        """Distance from the mean image; PCA by its squared error ("pca_pixels") and by the score ("pca")."""
        if "test" not in prepared.rows:
            return {}
        train = few(prepared, "train", FITTED)
        mean = train.mean(0)
        methods: dict[str, Score] = {"mean_image": lambda images: _squared(images, mean)}
        latent_dim = CODE if by_patches(prepared.config) else pca.latent_dim(prepared.config)
        if latent_dim is not None:
            restore = pca.fit(train, latent_dim)
            methods["pca_pixels"] = lambda images: _squared(images, restore(images))
            methods["pca"] = lambda images: reconstruction_score(images, restore(images))
        found: Baselines = {}
        for name, method in methods.items():
            scores, classes = _scored(method, prepared.batches("test"))
            if (classes == _index(prepared)).all():
                return {}
            ranks = _ranks(scores, classes == _index(prepared))
            found[name] = {f"test/{key}": value for key, value in ranks.items()}
        return found

    def callbacks(self, run: Run, prepared: Prepared) -> list[Callback]:
        images = few(prepared, prepared.validation, SHOWN)
        probs, patches = self.objective(prepared.config).probs, by_patches(prepared.config)

        def draw(model: nn.Module) -> bytes:
            return stacked([images, drawn_below(model, images, probs)])

        title = "Heat maps by epoch" if patches else "Reconstructions by epoch"
        shown = Snapshots(run, draw, title=title, caption=MAPS if patches else ROWS)
        return [*([FitNormal(prepared)] if patches else []), shown]

    def evaluate(self, trained: Trained, prepared: Prepared, split: str) -> Outcome:
        """Score every image of a split; there is AUROC where it holds more than the normal class."""
        score, index = _score(trained), _index(prepared)
        with evaluating(trained.model):
            scores, classes = _scored(score, prepared.batches(split))
            held_out, theirs = _scored(score, prepared.batches(prepared.validation))
        options = read_options(Options, prepared.config)
        chosen = None if "validation" in prepared.rows else kept_limit(trained)
        chosen = chosen or choose_limit(  # of new data, the images are not held out from anything
            held_out[theirs == index],
            limit=options.limit,
            false_alarm_rate=options.false_alarm_rate,
            examples=options.examples,
            score=lambda source: _maps(trained, _read_images(trained, source))[0],
        )
        limit = chosen.value
        assert limit is not None
        normal, names = classes == index, prepared.preprocess.classes or ("normal",)
        metrics = {"score_normal": scores[normal].mean().item()} if normal.any() else {}
        shown = {"strangest": _order(scores, normal, largest=True)} if normal.any() else {}
        blocks: list[dict[str, Any]] = []
        left_out: dict[str, str] = {}
        if normal.all():
            metrics = {**measure(trained, prepared.batches(split)), **metrics}
            metrics |= {"false_alarms": (scores > limit).double().mean().item()} if split == "test" else {}
            left_out = {"auroc": NO_ANOMALIES} if split == "test" else {}
        else:
            ranks = _ranks(scores, normal) if normal.any() else {}
            left_out = {} if normal.any() else {"auroc": NO_NORMAL}
            metrics = {**ranks, **metrics, **_verdicts(scores, normal, limit)}
            shown["missed"] = _order(scores, ~normal, largest=False)
            values, codes = scores.numpy(), classes.numpy()
            blocks = [
                anomaly_blocks.histogram(values, codes == index, limit),
                anomaly_blocks.by_class(values, codes, index, limit, names),
            ]
        drawn, pictures = _pictures(trained, prepared, split, shown)
        columns = {"row": np.arange(len(scores)), "target": classes.numpy(), "score": scores.numpy()}
        summary = {"rows": len(scores), "task": self.name, "normal": names[index], "limit": limit}
        summary |= {"limit_reason": chosen.reason, "map_scale": _map_scale(trained, prepared)}
        return Outcome(metrics, summary, pa.table(columns), None, [*blocks, *drawn], pictures, left_out)

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> Scores:
        """Score images, and say which are anomalies by the limit that the run kept.

        Raises:
            ModelError, BadDataError: the inputs are not images of the size the model learned from.
        """
        return answer(_predict, trained, inputs, options)

    def embed(self, trained: Trained, table: pa.Table) -> np.ndarray:
        if not isinstance(trained.model, PatchModel):
            return super().embed(trained, table)
        return mean_features(trained.model, trained.preprocess.inputs(table)).numpy()


# ---- what is normal ----------------------------------------------------------------------------------


def _normal(dataset: Dataset, config: Config) -> str | None:
    """Return the name of the normal class; None where there are no classes, so that all images are normal."""
    asked = read_options(Options, config).normal
    if dataset.target is None and asked is None:
        return None
    if dataset.task != "classification":
        raise BadDataError(
            f"anomaly learns one class and needs the classes of the images; {dataset.name} has "
            f"{f'the target {dataset.target!r} ({dataset.task})' if dataset.target else 'no target'}.",
            remedy="--target names a column of classes, or a folder with a subfolder for each class; or "
            "--set objective.options.normal=null, if all images are normal",
        )
    if (name := _normal_name(dataset.classes, asked)) is None:
        received = "none" if asked is None else repr(asked)
        raise ConfigError(
            f"objective.options.normal: expected the class to learn, one of {', '.join(dataset.classes)}; "
            f"received {received}.",
            remedy=f"--set objective.options.normal={dataset.classes[0]}",
        )
    return name


def _normal_name(classes: Sequence[str], asked: Any) -> str | None:
    """Return the class that was asked for, else the only one or the one with a usual name."""
    if asked is not None:
        return str(asked) if str(asked) in classes else None
    return classes[0] if len(classes) == 1 else named_normal(classes)


def _check_test(dataset: Dataset, normal: str) -> None:
    """Refuse a test split without normal images, or with nothing else although there are other classes."""
    if (table := dataset.splits.get("test")) is None or len(dataset.classes) == 1:
        return
    assert dataset.target is not None
    here = class_codes(dataset.column(dataset.target), table[dataset.target]) == dataset.classes.index(normal)
    if here.all() or not here.any():
        raise BadDataError(
            f"{dataset.name}: {here.sum():,} of the {len(here):,} rows of the test split are of the class "
            f"{normal!r}: expected some of it and some of others.",
            remedy="more test rows, or a larger data.fraction",
        )


def _index(prepared: Prepared) -> int:
    """Return the code of the normal class; 0 where there are no classes."""
    classes = prepared.preprocess.classes
    name = _normal_name(classes, read_options(Options, prepared.config).normal) if classes else None
    return classes.index(name) if name is not None else 0


def _read_images(trained: Trained, source: Any) -> Tensor:
    return trained.preprocess.inputs(trained.preprocess.table_from(source))


# ---- scores ------------------------------------------------------------------------------------------


def _score(trained: Trained) -> Score:
    """Return what scores images by a trained model."""
    return lambda images: scores_and_maps(trained.model, images, trained.objective.probs)[0]


def _scored(score: Score, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return the score and the class of every row, (N,) each."""
    found = [(score(images), classes) for images, classes in batches]
    scores, classes = zip(*found, strict=True)
    return torch.cat(scores), torch.cat(classes)


def _squared(images: Tensor, restored: Tensor) -> Tensor:
    return (images - restored).square().flatten(1).mean(1)


def _ranks(scores: Tensor, normal: Tensor) -> dict[str, float]:
    """How well scores put anomalies above normal images."""
    from sklearn.metrics import (  # here, since predicting does not need it
        average_precision_score,
        roc_auc_score,
    )

    strange, values = (~normal).numpy(), scores.numpy()
    return {
        "auroc": float(roc_auc_score(strange, values)),
        "average_precision": float(average_precision_score(strange, values)),
    }


def _verdicts(scores: Tensor, normal: Tensor, limit: float) -> dict[str, float]:
    """What comes of calling images above the limit anomalies."""
    above = (scores > limit).double()
    found = {"score_others": scores[~normal].mean().item(), "detected": above[~normal].mean().item()}
    return found | ({"false_alarms": above[normal].mean().item()} if normal.any() else {})


def _predict(
    trained: Trained,
    inputs: Any,
    limit: float | None = None,
    false_alarm_rate: float | None = None,
    examples: str | None = None,
    folder: str | None = None,
) -> Scores:
    """Score images.

    Args:
        trained: a model of normal images.
        inputs: what `Preprocess.read` takes.
        limit: the score above which an image counts as an anomaly.
        false_alarm_rate: the share of normal images that may count as anomalies, which sets the limit.
        examples: a folder with normal images in good/ and anomalies in others, which sets the limit.
        folder: where to save each picture with its heat map.
    """

    def score(source: Any) -> Tensor:
        return _maps(trained, _read_images(trained, source))[0]

    found = limit_for(trained, score, limit, false_alarm_rate, examples)
    rows = trained.preprocess.read(inputs)
    paths = () if folder is None else picture_paths(Path(folder), rows)
    images = trained.preprocess.inputs(rows.table)
    scores, maps = _maps(trained, images)
    if paths:
        scale = map_scale(trained) or color_scale(maps)
        save_heat_maps(trained, rows.table, images, maps, paths, scale)
    return Scores(scores.numpy(), found.value, maps.numpy(), paths, (found.reason,) if found.reason else ())


def _map_scale(trained: Trained, prepared: Prepared) -> tuple[float, float]:
    """Return the scale of heat maps, by the normal images that are held out."""
    if "validation" not in prepared.rows and (kept := map_scale(trained)) is not None:
        return kept
    images, classes = sample(prepared.rows[prepared.validation], SCALED_ON)
    return color_scale(_maps(trained, images[classes == _index(prepared)])[1])


def _maps(trained: Trained, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the score of each image (N,), and its error map (N, H, W)."""
    return scores_and_maps(trained.model, images, trained.objective.probs)


# ---- pictures ----------------------------------------------------------------------------------------


def _order(scores: Tensor, chosen: Tensor, *, largest: bool) -> Tensor:
    """Return the numbers of the chosen rows with the most extreme scores, the most extreme first."""
    rows = chosen.nonzero().flatten()
    return rows[scores[rows].topk(min(SHOWN, len(rows)), largest=largest).indices]


def _pictures(
    trained: Trained, prepared: Prepared, split: str, shown: dict[str, Tensor]
) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Draw rows of a split, each above what the model makes of it: the blocks, and their files."""
    blocks, pictures = [], {}
    for what, rows in shown.items():
        images, _ = next(iter(prepared.rows[split].batches([rows])))
        below = drawn_below(trained.model, images, trained.objective.probs)
        rows_shown = MAPS if by_patches(prepared.config) else ROWS
        file, (title, caption) = f"{split}-{what}.png", CAPTIONS[what]
        pictures[file] = stacked([images, below])
        blocks.append(picture(title, f"{caption} {rows_shown}", file))
    return blocks, pictures


TASK = Anomaly()
