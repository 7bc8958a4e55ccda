"""Metric learning: batches with several rows per class, neighbors, and people not seen in training."""

import io
import json
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn import metrics as sklearn_metrics
from torch.nn import functional as F

from pellucid.config import Config
from pellucid.data.sources.open_source import load
from pellucid.data.split import split
from pellucid.errors import BadDataError, ConfigError, UnknownNameError
from pellucid.evaluation import Trained
from pellucid.models.siamese import siamese
from pellucid.tasks.metric_learning import retrieval
from pellucid.tasks.metric_learning.task import ClassRows, MetricLearning
from pellucid.train.optimizers import optimizer
from pellucid.train.trainer import Trainer

TASK = MetricLearning()


def config(**values):
    plain = {"objective.name": "metric_learning", "train.batch_size": 64, "train.device": "cpu"}
    return Config().patch({**plain, **values})


@pytest.fixture(scope="module")
def faces(mirror):
    return load("faces")


@pytest.fixture(scope="module")
def prepared(faces):
    settings = {
        "objective.options": {"held_out": "classes", "loss": "supcon"},
        "data.image_size": 24,
        "data.validation": 0.1,
        "data.test": 0.2,
    }
    return TASK.prepare(faces, config(**settings), False)


@pytest.fixture(scope="module")
def trained(prepared):
    torch.manual_seed(0)
    model = siamese(prepared.preprocess.input_shape, 40, size="tiny")
    objective = TASK.objective(prepared.config, prepared)
    TASK.check(model, objective, prepared)
    settings = prepared.config.train.model_copy(update={"execution": "eager", "epochs": 15})
    mine = Trainer(model, objective, partial(optimizer, "adam", lr=3e-3), settings)
    mine.fit(prepared.training_batches(), {"val": prepared.batches("validation")}, prepared.train_sample())
    assert mine.measures["val/precision"] > 0.8
    return Trained(model, objective, prepared.preprocess, torch.device("cpu"), task="metric_learning")


# ---- batches -------------------------------------------------------------------------------------


def test_training_batches_hold_several_rows_per_class_and_every_row_once():
    classes = torch.tensor([0] * 40 + [1] * 10 + [2] * 30)
    rows = ClassRows(torch.arange(80.0), classes)
    planned = rows.plan(16, torch.Generator().manual_seed(1))
    assert torch.cat(planned).sort().values.tolist() == list(range(80))
    for batch in planned[:-1]:
        counts = torch.bincount(classes[batch])
        assert all(count >= 2 for count in counts[counts > 0])
    other = rows.plan(16, torch.Generator().manual_seed(2))
    assert not torch.equal(torch.cat(planned), torch.cat(other))


def test_evaluation_batches_are_deterministic():
    classes = torch.arange(10).repeat_interleave(20)
    rows = ClassRows(torch.arange(200.0), classes)
    first, again = rows.plan(50, None), rows.plan(50, None)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(len(classes[batch].unique()) > 5 for batch in first)
    assert sum(map(len, rows.plan(50, torch.Generator().manual_seed(0), limit=60))) == 60


# ---- splits --------------------------------------------------------------------------------------


def test_splits_share_no_class(prepared):
    present = {name: set(rows.targets.tolist()) for name, rows in prepared.rows.items()}
    assert {name: len(found) for name, found in present.items()} == {"train": 28, "validation": 4, "test": 8}
    assert set.union(*present.values()) == set(range(40))
    assert (
        "split by class, seed 0, so that no class is in two: train 28 (280 rows)"
        in prepared.dataset.notes[-1]
    )


def test_a_split_with_one_row_per_class_is_refused_with_a_remedy(faces):
    made = split(faces, validation=0.1, test=0.1, seed=0)
    with pytest.raises(BadDataError, match=r"no class has two rows in validation \(40 rows\)") as caught:
        TASK.prepare(made, config(**{"data.image_size": 24}), False)
    assert "'held_out': 'classes'" in str(caught.value)
    wider = split(faces, validation=0.2, test=0.2, seed=0)
    assert len(TASK.prepare(wider, config(**{"data.image_size": 24}), False).rows["test"]) == 80


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"objective.options": {"held_out": "people"}}, ConfigError, "rows or classes, received 'people'"),
        ({"objective.options": {"margn": 1}}, UnknownNameError, "margn"),
        ({"data.augment.mixup": 0.2}, ConfigError, "mixup"),
    ],
)
def test_invalid_options_are_refused(faces, values, error, words):
    settings = config(**{"data.image_size": 24, "data.validation": 0.2, "data.test": 0.2, **values})
    build = (
        TASK.objective if "objective.options" in values else partial(TASK.prepare, faces, reads_tokens=False)
    )
    with pytest.raises(error, match=words):
        build(config=settings)


# ---- measures ------------------------------------------------------------------------------------


def test_unseen_people_are_recognized(prepared, trained):
    outcome = TASK.evaluate(trained, prepared, "test")
    found = outcome.metrics
    chance = TASK.baselines(prepared)
    assert chance["prior"]["test/recall_at_1"] == pytest.approx(9 / 79)
    assert found["recall_at_1"] > 0.85
    assert found["recall_at_1"] <= found["recall_at_5"]
    assert found["auroc"] > 0.85
    assert outcome.predictions.num_rows == 80
    right = np.mean(
        np.asarray(outcome.predictions["target"]) == np.asarray(outcome.predictions["prediction"])
    )
    assert right == pytest.approx(found["recall_at_1"])


def test_report_has_neighbors_curve_and_projection(prepared, trained):
    outcome = TASK.evaluate(trained, prepared, "test")
    picture, curve, plane = json.loads(json.dumps(outcome.blocks, allow_nan=False))
    assert (picture["kind"], curve["kind"], plane["kind"]) == ("picture", "lines", "scatter")
    image = Image.open(io.BytesIO(outcome.pictures[picture["file"].removeprefix("samples/")]))
    assert image.size == (6 * 26 - 2, 8 * 26 - 2)  # a row and its 5 nearest, 8 rows
    y = curve["series"][0]["y"]
    assert np.mean(y) == pytest.approx(outcome.metrics["auroc"], abs=0.02)
    assert y == sorted(y)
    assert len(plane["groups"]) == 8
    assert sum(len(group["points"]) for group in plane["groups"]) == 80


def test_rows_become_embeddings(prepared, trained):
    pixels = prepared.preprocess.pixels(prepared.dataset.splits["test"])[:3].numpy()
    rows = TASK.predict(trained, pixels[:, 0]).rows()
    assert len(rows) == 3
    with torch.no_grad():
        expected = trained.model.eval()(prepared.rows["test"].inputs[:3])
    assert rows[1]["prediction"] == pytest.approx(expected[1].tolist(), abs=1e-4)
    assert np.linalg.norm(rows[0]["prediction"]) == pytest.approx(1, rel=1e-5)


def test_neighbors_equal_those_of_a_full_comparison():
    torch.manual_seed(0)
    classes = torch.arange(3).repeat_interleave(5)
    embeddings = F.normalize(F.one_hot(classes, 4).float() + 0.6 * torch.randn(15, 4), dim=1)
    classes[-1] = 7  # one without another of its class
    found = retrieval.find(embeddings, classes)
    scores = retrieval.scores(found)
    precisions, first, five = [], [], []
    for row in range(14):
        others = [other for other in range(15) if other != row]
        cosines = (embeddings[others] @ embeddings[row]).numpy()
        same = (classes[others] == classes[row]).numpy()
        precisions.append(sklearn_metrics.average_precision_score(same, cosines))
        order = np.argsort(-cosines)
        first.append(same[order[0]])
        five.append(same[order[:5]].any())
    assert scores["map"] == pytest.approx(np.mean(precisions), rel=1e-5)
    assert scores["recall_at_1"] == pytest.approx(np.mean(first))
    assert scores["recall_at_5"] == pytest.approx(np.mean(five))
    assert found.similarity[0] == pytest.approx(np.sort((embeddings @ embeddings[0]).numpy())[-2], rel=1e-5)


def test_neighbors_of_another_class_have_a_frame():
    embeddings = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    found = retrieval.find(F.normalize(embeddings, dim=1), torch.tensor([0, 1, 0, 0]))
    block, png = retrieval.picture(found, torch.full((4, 1, 10, 10), 0.5), "test-nearest.png")
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    assert pixels.shape == (3 * 12 - 2, 4 * 12 - 2, 3)  # the second has no other of its class
    red = (pixels[..., 0] > 200) & (pixels[..., 1] < 60)
    framed = [[bool(red[12 * line, 12 * place]) for place in range(4)] for line in range(3)]
    assert sum(map(sum, framed)) == 3  # the second, once for each of the others
    assert "1 of the 3 lines" in block["caption"]


@pytest.mark.parametrize("loss", ["triplet", "contrastive", "supcon"])
def test_embeddings_separate_digits_better_than_pixels(digits, loss):
    settings = config(**{"objective.options": {"loss": loss}})
    prepared = TASK.prepare(digits.dataset, settings, False)
    torch.manual_seed(0)
    model = siamese(prepared.preprocess.input_shape, 10, backbone="mlp", size="tiny", embed_dim=16)
    objective = TASK.objective(settings, prepared)
    plan = settings.train.model_copy(update={"execution": "eager", "epochs": 8})
    Trainer(model, objective, partial(optimizer, "adam", lr=3e-3), plan).fit(prepared.training_batches())
    trained = Trained(model, objective, prepared.preprocess, torch.device("cpu"), task="metric_learning")
    found = TASK.evaluate(trained, prepared, "test").metrics
    pixels = TASK.baselines(prepared)["inputs"]
    assert found["map"] > pixels["test/map"] + 0.1
    assert found["auroc"] > pixels["test/auroc"]
    assert found["recall_at_1"] > 0.88
