"""Batches of the user's own: every form of them trains, is evaluated and is predicted for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset, default_collate

import pellucid
from pellucid.batch import Batch, as_batch, call_model, num_rows
from pellucid.errors import DataError, ModelError, RunError, UnknownNameError, UsageError

generator = torch.Generator().manual_seed(0)
X = torch.randn(96, 4, generator=generator)
Y = (X[:, 0] > 0).long()
TENSORS = TensorDataset(X, Y)


def network(outputs: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, outputs))


@pytest.fixture
def fit(tmp_path: Path) -> Callable[..., pellucid.Run]:
    def fitted(model: nn.Module, data: Any, **options: Any) -> pellucid.Run:
        options = {"epochs": 2, "lr": 0.01, "execution": "eager", "progress": False, **options}
        return pellucid.fit(model, data, runs=tmp_path / "runs", **options)

    return fitted


# ---- sources -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "validation"])
def test_an_empty_loader_is_refused_with_its_sizes(fit: Any, split: str, tmp_path: Path) -> None:
    empty, full = DataLoader(TENSORS, 128, drop_last=True), DataLoader(TENSORS, 32)
    with pytest.raises(DataError, match=rf"for {split}.*96 samples, batch_size=128 and drop_last=True"):
        fit(network(), *((empty,) if split == "train" else (full,)), validation=empty)
    assert not (tmp_path / "runs").exists()


def test_an_empty_dataset_is_refused(fit: Any) -> None:
    with pytest.raises(DataError, match="no samples"):
        fit(network(), TensorDataset(X[:0], Y[:0]))


@pytest.mark.parametrize("convert", [lambda t: t, lambda t: t.numpy()], ids=["tensors", "arrays"])
def test_a_pair_validates_a_loader(fit: Any, convert: Any) -> None:
    loader = DataLoader(TENSORS, 32)
    paired = fit(network(), loader, validation=(convert(X), convert(Y)), seed=1)
    assert paired.store.series("val/loss") == fit(network(), loader, validation=loader, seed=1).store.series(
        "val/loss"
    )


@pytest.mark.parametrize("several", [dict, lambda loaders: list(loaders.values())], ids=["dict", "list"])
def test_several_validation_sets_are_refused(fit: Any, several: Any) -> None:
    loader = DataLoader(TENSORS, 32)
    with pytest.raises(UsageError, match="several validation sets are not supported yet"):
        fit(network(), loader, validation=several({"a": loader, "b": loader}))


def test_bfloat16_batches_train(fit: Any) -> None:
    data = TensorDataset(X.bfloat16(), Y)
    assert fit(network().bfloat16(), DataLoader(data, 32), validation=DataLoader(data, 32)).metrics


@dataclass
class Sample:
    image: Any
    label: Any


def test_arrays_and_dataclasses_are_batches(fit: Any) -> None:
    numpy = [(x.numpy(), y.numpy()) for x, y in DataLoader(TENSORS, 32)]
    named = [Sample(x, y.numpy()) for x, y in DataLoader(TENSORS, 32)]
    losses = [fit(network(), source, validation=source).store.series("val/loss") for source in (numpy, named)]
    assert losses[0] == losses[1]
    assert losses[0][-1][1] < np.log(2)


# ---- arguments of a model ----------------------------------------------------------------------------


class One(nn.Module):
    def forward(self, images: Any) -> Any:
        return images


class Detector(nn.Module):
    def forward(self, images: Any, targets: Any = None) -> Any:
        return images, targets


class Two(nn.Module):
    def forward(self, left: Any, right: Any) -> Any:
        return left, right


class Any_(nn.Module):
    def forward(self, *parts: Any) -> Any:
        return parts


class Named(nn.Module):
    def forward(self, **parts: Any) -> Any:
        return parts


def test_several_inputs_are_arguments_where_forward_has_as_many() -> None:
    a, b = X[:, :2], X[:, 2:]
    for pair in ((a, b), [a, b]):
        assert call_model(One(), pair) is pair
        assert call_model(Detector(), pair) == (pair, None)
        assert call_model(Two(), pair) == (a, b)
        assert call_model(Any_(), pair) == (a, b)
    images = (a, b, a)
    assert call_model(Two().train(), as_batch((a, b, Y)).inputs) == (a, b)
    assert call_model(Detector(), as_batch((a, b, Y)).inputs) == (a, b)  # a longer tuple, as before
    assert call_model(One(), images) is images


def test_inputs_by_name_are_those_that_forward_takes() -> None:
    batch = as_batch({"left": X, "right": X, "row": Y, "name": ["a", "b"], "label": Y})
    assert batch.extra == {"name": ["a", "b"]}
    assert call_model(Two(), batch.inputs) == (X, X)
    assert set(call_model(Named(), batch.inputs)) == {"left", "right", "row"}
    with pytest.raises(ModelError, match=r"inputs left, row, and Two\.forward takes left, right"):
        call_model(Two(), {"left": X, "row": Y})
    one = as_batch({"image": X, "file": ["a.png"], "label": Y})
    assert one.inputs is X


def test_rows_are_counted_in_every_form() -> None:
    images = tuple(torch.rand(3, 5, 6) for _ in range(4))
    targets = tuple({"boxes": torch.rand(1, 4)} for _ in range(4))
    assert num_rows((images, targets)) == 4
    assert num_rows((list(images), list(targets))) == 4
    assert num_rows(default_collate([((x[:2], x[2:]), y) for x, y in TENSORS])) == 96
    assert num_rows((X[:, :2], X[:, 2:], Y)) == 96
    assert num_rows([X, Y]) == num_rows(Batch(X)) == 96


class Boxes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def forward(self, images: Any, targets: Any = None) -> Tensor:
        return torch.stack([self.layer(image.mean((1, 2))) for image in images])


def box_loss(outputs: Tensor, targets: Any) -> Tensor:
    return torch.stack(
        [(o - t["boxes"][0]).square().sum() for o, t in zip(outputs, targets, strict=True)]
    ).mean()


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, left: Tensor, right: Tensor) -> Any:
        return {"reg": self.right(right), "logits": self.left(left) + self.right(right)}


@pytest.mark.parametrize("size", [2, 4])
def test_detection_batches_train(fit: Any, size: int) -> None:
    samples = [(torch.rand(3, 4 + i % 3, 5), {"boxes": torch.ones(1, 4)}) for i in range(8)]
    loader = DataLoader(samples, size, collate_fn=lambda batch: tuple(zip(*batch, strict=True)))  # type: ignore[arg-type]
    run = fit(Boxes(), loader, validation=loader, loss=box_loss, epochs=4, lr=0.05)
    losses = [loss for _, loss in run.store.series("val/loss")]
    assert losses[-1] < losses[0]


def test_a_nested_pair_of_the_default_collate_trains(fit: Any) -> None:
    loader = DataLoader([((x[:2], x[2:]), y) for x, y in TENSORS], 32)  # type: ignore[arg-type]
    run = fit(Pair(), loader, validation=loader, epochs=4, lr=0.1)
    assert run.evaluate("val").metrics["accuracy"] > 0.8
    assert run.predict((X[:, :2], X[:, 2:])).outputs.shape == (96, 2)
    wanted = run.predict((X[:, :2], X[:, 2:]), output="reg").outputs
    assert not np.allclose(wanted, run.predict((X[:, :2], X[:, 2:])).outputs)
    assert np.array_equal(run.predict(loader, output="reg").outputs, wanted)
    with pytest.raises(UnknownNameError, match="'cls'"):
        run.predict(loader, output="cls")


# ---- check -------------------------------------------------------------------------------------------


def wrong_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    raise KeyError("no such weight")


class Wrong(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("too narrow")


def test_an_error_says_whether_the_model_or_the_loss_failed_and_where(fit: Any) -> None:
    lines = [line.strip() for line in Path(__file__).read_text(encoding="utf-8").splitlines()]
    in_loss = lines.index('raise KeyError("no such weight")') + 1
    in_model = lines.index('raise ValueError("too narrow")') + 1
    with pytest.raises(
        ModelError, match=rf"The loss fails .*no such weight.*{Path(__file__).name}:{in_loss}\)"
    ):
        fit(network(), DataLoader(TENSORS, 32), loss=wrong_loss)
    with pytest.raises(
        ModelError, match=rf"The model cannot .*too narrow.*{Path(__file__).name}:{in_model}\)"
    ):
        fit(Wrong(), DataLoader(TENSORS, 32))


def test_float64_inputs_are_named_as_the_cause(fit: Any) -> None:
    with pytest.raises(ModelError, match=r"The model cannot(.|\n)*inputs are float64.*\.float\(\)"):
        fit(network(), DataLoader(TensorDataset(X.double(), Y), 32))


# ---- evaluate ----------------------------------------------------------------------------------------


def test_a_run_on_batches_is_evaluated_on_its_own_and_on_new_ones(fit: Any) -> None:
    test = DataLoader(TensorDataset(X[:40], Y[:40]), 16)
    run = fit(
        network(),
        DataLoader(TENSORS, 32),
        validation=DataLoader(TENSORS, 64),
        test=test,
        loss=F.cross_entropy,
    )
    assert run.evaluate().metrics == run.evaluate("test").metrics
    for name, value in run.evaluate("test").metrics.items():
        assert run.metrics[f"test/{name}"] == pytest.approx(value, abs=1e-6)
    assert run.evaluate("val").metrics == run.evaluate("validation").metrics
    for new in (
        test,
        (X[:40], Y[:40]),
        (X[:40].numpy(), Y[:40].numpy()),
        TensorDataset(X[:40], Y[:40]),
        list(test),
    ):
        assert run.evaluate(new).metrics["accuracy"] == run.evaluate("test").metrics["accuracy"]
    with pytest.raises(UnknownNameError, match="no split named 'tset'"):
        run.evaluate("tset")

    again = pellucid.Run(run.path)
    with pytest.raises(RunError, match=r"batches, which are not stored(.|\n)*run\.evaluate\(loader\)"):
        again.evaluate("test")
    assert again.evaluate(test, model=network()).metrics == run.evaluate("test").metrics


def test_a_run_on_rows_is_evaluated_on_new_ones(fit: Any) -> None:
    run = fit(network(), (X.numpy(), Y.numpy()), epochs=5)
    right = (np.array(run.predict(X.numpy()).labels) == Y.numpy()).mean()
    ones = Y == 1
    for new in ((X, Y), pellucid.arrays(X, Y), DataLoader(TENSORS, 32), TENSORS):
        assert run.evaluate(new).metrics["accuracy"] == pytest.approx(right)
    share = (np.array(run.predict(X[ones].numpy()).labels) == 1).mean()
    assert run.evaluate((X[ones], Y[ones])).metrics["accuracy"] == pytest.approx(share)
    assert run.evaluate("val").metrics == run.evaluate("validation").metrics
    with pytest.raises(UsageError, match="received Tensor"):
        run.evaluate(X)


# ---- predict -----------------------------------------------------------------------------------------


def test_predictions_for_batches_are_joined(fit: Any) -> None:
    model = network()
    run = fit(model, DataLoader(TENSORS, 32))
    with torch.no_grad():
        wanted = model.eval()(X).numpy()
    batches = list(DataLoader(TENSORS, 20))
    for inputs in (
        X,
        X.double().numpy(),
        DataLoader(TENSORS, 20),
        TENSORS,
        TensorDataset(X),
        batches,
        [x for x, _ in batches],
        list(X),
        X.tolist(),
    ):
        found = run.predict(inputs)
        assert np.allclose(found.outputs, wanted, atol=1e-5)
        assert found.labels == wanted.argmax(1).tolist()
    assert found.rows()[0]["label"] == found.labels[0]


def test_predictions_of_numbers_have_no_classes(fit: Any) -> None:
    run = fit(network(1), DataLoader(TensorDataset(X, X[:, :1]), 32))
    assert run.predict(X[:3]).labels == run.predict(X[:3]).outputs.tolist()


def test_a_run_on_rows_predicts_for_a_loader(fit: Any) -> None:
    run = fit(network(), (X.numpy(), Y.numpy()))
    assert run.predict(DataLoader(TENSORS, 32)).labels == run.predict(X.numpy()).labels


# ---- several targets ---------------------------------------------------------------------------------

TWICE = TensorDataset(X, Y, X[:, :1])


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.classes, self.numbers = nn.Linear(4, 2), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.classes(x), self.numbers(x)


def both(outputs: tuple[Tensor, Tensor], targets: tuple[Tensor, Tensor]) -> Tensor:
    return F.cross_entropy(outputs[0], targets[0]) + F.mse_loss(outputs[1], targets[1])


@pytest.mark.parametrize("execution", ["eager", "compiled"])
def test_one_input_may_have_several_targets(fit: Any, execution: str) -> None:
    data, model = DataLoader(TWICE, 32), Heads()
    run = fit(model, data, validation=data, loss=both, inputs=1, execution=execution, epochs=20, lr=0.05)
    model.eval()
    assert run.metrics["val/loss"] == pytest.approx(both(model(X), (Y, X[:, :1])).item(), rel=1e-3)
    assert run.metrics["val/loss"] < 0.6
    again = pellucid.Run(run.path)
    wanted = model(X)[1].detach().numpy()
    assert np.allclose(again.predict(data, model=Heads(), output=1).outputs, wanted, atol=1e-5)
    assert np.allclose(again.predict(X, model=Heads(), output=1).outputs, wanted, atol=1e-5)
    assert again.evaluate(data, model=Heads()).metrics["loss"] > 0


def test_two_inputs_may_have_two_targets(fit: Any) -> None:
    data = DataLoader(TensorDataset(X[:, :2], X[:, 2:], Y, Y), 32)
    loss = lambda o, t: F.cross_entropy(o["logits"], t[0]) + F.cross_entropy(o["reg"], t[1])  # noqa: E731
    assert fit(Pair(), data, loss=loss, inputs=2).metrics["train/loss"] > 0


def test_a_batch_of_three_that_does_not_fit_names_the_argument(fit: Any) -> None:
    with pytest.raises(ModelError, match=r"called with 2 inputs(.|\n)*fit\(\.\.\., inputs=1\)"):
        fit(Heads(), DataLoader(TWICE, 32), loss=both)
    with pytest.raises(UsageError, match="inputs=4 expects batches that are tuples of at least 4 entries"):
        fit(Heads(), DataLoader(TWICE, 32), loss=both, inputs=4)
    with pytest.raises(UsageError, match="a dataset was passed"):
        fit(network(), pellucid.arrays(X, Y), inputs=1)
