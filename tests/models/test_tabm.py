"""TabM: its parts held to plain computations, and training runs on tables."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import pellucid
from pellucid import runner
from pellucid.batch import Batch
from pellucid.data.inspect import suggest_config
from pellucid.data.split import split
from pellucid.models.tabm import MemberLinear, PiecewiseLinear, RobustScale, TabM, average, tabm
from pellucid.runner import components
from pellucid.tasks.classification.objective import classification
from pellucid.tasks.multilabel.objective import multilabel
from pellucid.tasks.regression.objective import regression
from pellucid.train.callbacks import SignalHandler
from pellucid.train.trainer import Trainer

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(120, 4)).astype("float32")
CLASSES = np.where(X[:, 0] * X[:, 1] > 0, "same", "other")
FEW = {"model.options.members": 3, "model.options.hidden": 8, "train.execution": "eager"}


def network(outputs: int, task: str | None = None) -> TabM:
    torch.manual_seed(0)
    return tabm((4,), outputs, members=3, hidden=8, dropout=0.0, task=task)


def rows(count: int = 6) -> Tensor:
    return torch.from_numpy(X[:count])


# ---- parts -------------------------------------------------------------------------------------


def test_a_member_is_a_linear_layer_of_its_own() -> None:
    layer, x = MemberLinear(3, 4, 5, first=True), torch.randn(7, 3, 4)
    for part in (layer.output_scale, layer.bias):
        nn.init.normal_(part)
    for m in range(3):
        weight = layer.output_scale[m][:, None] * layer.weight * layer.input_scale[m]
        torch.testing.assert_close(layer(x)[:, m], F.linear(x[:, m], weight, layer.bias[m]))


def test_members_begin_different() -> None:
    outputs = network(2).member_outputs(rows())
    assert outputs.shape == (6, 3, 2)
    assert (outputs[:, 0] - outputs[:, 1]).abs().max() > 1e-3


def test_classes_average_probabilities() -> None:
    outputs = 5 * torch.randn(6, 3, 4)
    torch.testing.assert_close(average(outputs, "classification").softmax(-1), outputs.softmax(-1).mean(1))
    torch.testing.assert_close(average(outputs, "multilabel").sigmoid(), outputs.sigmoid().mean(1))
    torch.testing.assert_close(average(outputs, "regression"), outputs.mean(1))


def test_sure_members_have_finite_averages() -> None:
    outputs = torch.tensor([[[300.0, -300.0], [299.0, -300.0]]])
    assert average(outputs, "multilabel").isfinite().all()
    assert average(outputs, "classification").isfinite().all()


def test_outliers_do_not_move_the_scale() -> None:
    column = torch.randn(2001, 1, generator=torch.Generator().manual_seed(0)) * 4 + 7
    column[:20] = 1e7
    scale = RobustScale(1)
    scale.fit(column)
    scaled = scale(column)
    assert scale.center.item() == pytest.approx(7, abs=0.3)
    assert scale.spread.item() == pytest.approx(4, abs=0.3)
    assert scaled.max() <= 3


def test_columns_of_two_values_and_constant_columns_are_scaled() -> None:
    rare = torch.zeros(100, 1)
    rare[:5] = 1
    scale = RobustScale(2)
    scale.fit(torch.cat([rare, torch.full((100, 1), 3.0)], 1))
    assert scale.spread.tolist() == [0.5, 1.0]
    assert scale.center.tolist() == [0.0, 3.0]


def test_a_piecewise_linear_embedding_bends_at_the_quantiles_only() -> None:
    x = torch.randn(4000, 1, generator=torch.Generator().manual_seed(0))
    made = PiecewiseLinear(1, 2, bins=4)
    made.fit(x)
    nn.init.normal_(made.weight)
    edges = torch.quantile(x[:, 0], torch.linspace(0, 1, 5))
    torch.testing.assert_close(made.low[0], edges[:-1], atol=2e-3, rtol=0)
    low, high = made.low[0, 1], made.low[0, 2]
    ends = made(torch.stack([low, (low + high) / 2, high])[:, None])[:, 0]
    torch.testing.assert_close(ends[1], (ends[0] + ends[2]) / 2)
    outside = made(torch.tensor([[10.0], [11.0], [12.0]]))[:, 0]
    torch.testing.assert_close(outside[1] - outside[0], made.linear[0])


def test_an_embedding_of_zeros_and_ones_is_finite() -> None:
    made = PiecewiseLinear(1, 2)
    made.fit(torch.tensor([[0.0], [0.0], [0.0], [1.0]]))
    made(torch.tensor([[0.0], [1.0]])).sum().backward()
    assert all(part.grad is not None and part.grad.isfinite().all() for part in made.parameters())


def test_statistics_are_of_the_first_training_and_stay() -> None:
    model, x = network(2), torch.from_numpy(X) * 3 + 5
    model.count_batches([(x[:60], torch.zeros(60)), (x[60:], torch.zeros(60))])
    first = model.scale.center.clone()
    torch.testing.assert_close(first, x.median(0).values, atol=0.1, rtol=0)
    model.count_batches([(x * 9, torch.zeros(120))])
    assert torch.equal(model.scale.center, first)


@pytest.mark.parametrize("options", [{"size": "huge"}, {"members": 0}, {"embed_dim": -1}])
def test_wrong_dimensions_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match=r"tabm"):
        tabm((4,), 2, **options)


# ---- the loss ----------------------------------------------------------------------------------


def test_the_training_loss_is_the_mean_over_members() -> None:
    model, targets = network(3, "classification"), torch.tensor([0, 1, 2, 0, 1, 1])
    weight = torch.tensor([1.0, 2.0, 5.0])
    found = classification(class_weights=weight).phases[0].loss(model, (rows(), targets))
    each = [F.cross_entropy(model.member_outputs(rows())[:, m], targets, weight=weight) for m in range(3)]
    torch.testing.assert_close(found, torch.stack(each).mean())
    averaged = F.cross_entropy(model(rows()), targets, weight=weight)
    assert averaged < found  # of probabilities: Jensen's inequality


def test_row_weights_count_for_every_member() -> None:
    model, targets, weights = network(1), torch.randn(6), torch.tensor([0.0, 1, 2, 0, 1, 2])
    batch = Batch(rows(), targets, {"weights": weights})
    found = regression().phases[0].loss(model, batch)
    errors = (model.member_outputs(rows())[..., 0] - targets[:, None]).square() * weights[:, None]
    torch.testing.assert_close(found, errors.mean())


def test_several_labels_and_numbers_are_compared_by_member() -> None:
    model, labels = network(2), torch.randint(0, 2, (6, 2)).float()
    outputs, wanted = model.member_outputs(rows()), labels[:, None].expand(6, 3, 2)
    bce = F.binary_cross_entropy_with_logits(outputs, wanted)
    torch.testing.assert_close(multilabel().phases[0].loss(model, (rows(), labels)), bce)
    mse = F.mse_loss(outputs, wanted)
    torch.testing.assert_close(regression().phases[0].loss(model, (rows(), labels)), mse)


# ---- training runs -----------------------------------------------------------------------------


def fit(y: np.ndarray, runs: Path, **more: Any) -> pellucid.Run:
    data = pellucid.arrays(X, y)
    return pellucid.fit("tabm", data, runs=runs, progress=False, **{"settings": FEW, "epochs": 2, **more})


def test_predictions_are_the_mean_of_the_members_probabilities(runs: Path) -> None:
    run = fit(CLASSES, runs)
    trained = runner.load_trained(run)
    model, table = trained.model.eval(), trained.preprocess.table_from(X[:5])
    expected = model.member_outputs(trained.preprocess.inputs(table)).softmax(-1).mean(1)
    np.testing.assert_allclose(run.predict(X[:5]).outputs, expected.detach(), atol=1e-6)
    assert model.scale.rows == 96


@pytest.mark.parametrize(
    ("y", "task"), [(X[:, 0] + X[:, 1], "regression"), (X[:, :2] * 3 + 1, "regression"), (X[:, :3] > 0, None)]
)
def test_numbers_and_labels_train_and_predict(y: np.ndarray, task: str | None, runs: Path) -> None:
    run = fit(y.astype("float32") if task else y.astype(int), runs)
    assert run.task == (task or "multilabel")
    assert len(run.predict(X[:3]).outputs) == 3


class StopsAtStep3(SignalHandler):
    """Asks to stop in the middle of an epoch, as Ctrl-C does."""

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.step == 3:
            trainer.interrupt("interrupted by the test")


def test_an_interrupted_run_ends_with_the_same_weights(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit(CLASSES, runs)
    monkeypatch.setattr(components, "SignalHandler", StopsAtStep3)
    stopped = fit(CLASSES, runs)
    monkeypatch.undo()
    resumed = fit(CLASSES, runs, resume=stopped.id)
    first, second = (runner.load_trained(run).model.state_dict() for run in (whole, resumed))
    assert stopped.status == "interrupted"
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_suggestion_for_a_table_is_an_ensemble_trained_to_the_end() -> None:
    config = suggest_config(split(pellucid.arrays(X, CLASSES)))
    assert (config.model.name, config.train.restore_best) == ("tabm", False)
    assert config.train.early_stopping is None
    wide = suggest_config(split(pellucid.arrays(RANDOM.normal(size=(120, 400)), CLASSES)))
    assert wide.model.name == "mlp"


def test_the_suggestion_learns_what_a_linear_model_cannot(runs: Path) -> None:
    x = np.random.default_rng(1).normal(size=(400, 4))
    y = np.where(x[:, 0] * x[:, 1] > 0, "same", "other")
    dataset = split(pellucid.arrays(x, y))
    config = suggest_config(dataset).patch({"train.epochs": 20, "train.execution": "eager"})
    run = pellucid.Run(runner.train(config, runs=runs, dataset=dataset).path, dataset=dataset)
    assert run.evaluate("test").metrics["accuracy"] > 0.85
    assert math.isfinite(run.evaluate("test").metrics["loss"])
