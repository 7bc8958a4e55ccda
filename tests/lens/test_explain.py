"""Explanations equal captum's, add up, and find what matters; what they cannot explain is refused."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from torch import Tensor, nn

import pellucid
from pellucid.errors import UnknownNameError, UsageError
from pellucid.lens.explain import methods
from pellucid.lens.explain.attribute import Form, attribute
from pellucid.lens.explain.question import Question

NEAR = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module")
def captum() -> Any:
    """`captum.attr`; what it plots with is not needed."""
    pytest.importorskip("tqdm")
    if importlib.util.find_spec("captum") is None:
        pytest.skip("captum is not installed")
    if importlib.util.find_spec("matplotlib") is None:
        parts = ("axes", "collections", "colors", "figure", "image", "pyplot", "cm")
        names = ["matplotlib", *(f"matplotlib.{part}" for part in parts)]
        names += ["mpl_toolkits", "mpl_toolkits.axes_grid1"]
        for name in names:
            stub: Any = ModuleType(name)
            stub.__getattr__ = lambda attribute: MagicMock()
            stub.__path__ = []
            sys.modules[name] = stub
        try:
            return importlib.import_module("captum.attr")
        finally:
            for name in names:
                del sys.modules[name]
    return importlib.import_module("captum.attr")


class TextModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 6)
        self.lstm = nn.LSTM(6, 5, batch_first=True)
        self.output = nn.Linear(5, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.rest(self.table(tokens))

    def rest(self, vectors: Tensor) -> Tensor:
        return self.output(self.lstm(vectors)[0].mean(1))


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.picture = nn.Conv2d(2, 3, 3)
        self.row = nn.Linear(4, 3)
        self.output = nn.Linear(3, 2)

    def forward(self, picture: Tensor, row: Tensor) -> dict[str, Tensor]:
        hidden = self.picture(picture).tanh().mean((2, 3)) * self.row(row).tanh()
        return {"logits": self.output(hidden)}


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 3)).eval()


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, 3),
    ).eval()


def cases() -> dict[str, tuple[nn.Module, Any, Any, tuple[Tensor, ...]]]:
    """Model, inputs, the function captum explains, and its inputs."""
    torch.manual_seed(0)
    text, two = TextModel().eval(), TwoInputs().eval()
    tokens = torch.randint(1, 20, (1, 7))
    both = (torch.randn(1, 2, 6, 6), torch.randn(1, 4))
    row, picture = torch.randn(1, 5), torch.randn(1, 1, 12, 12)
    plain, maps = mlp(), cnn()
    return {
        "mlp": (plain, row, plain, (row,)),
        "cnn": (maps, picture, maps, (picture,)),
        "text": (text, tokens, text.rest, (text.table(tokens).detach(),)),
        "two": (two, both, lambda *parts: two(*parts)["logits"], both),
    }


@pytest.fixture(scope="module", params=["mlp", "cnn", "text", "two"])
def case(request: Any) -> Any:
    model, inputs, function, points = cases()[request.param]
    names = ["first", "second"][: len(points)]
    return Question(model, inputs, names, target=1), function, points


def same(ours: Any, theirs: Any) -> None:
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.detach(), other.detach().to(one.dtype), **NEAR)


def test_gradients_are_captums(captum, case):
    question, function, points = case
    same(
        methods.saliency(question),
        captum.Saliency(function).attribute(points, target=1, abs=False),
    )


def test_smooth_grad_is_captums_with_the_same_noise(captum, case):
    question, function, points = case
    torch.manual_seed(3)
    theirs = captum.NoiseTunnel(captum.Saliency(function)).attribute(
        points, nt_samples=20, stdevs=tuple(map(methods.deviation, points)), target=1, abs=False
    )
    same(methods.smooth_grad(question, samples=20, seed=3), theirs)


def test_integrated_gradients_are_captums(captum, case):
    question, function, points = case
    baselines = tuple(torch.full_like(point, 0.1) for point in points)
    theirs = captum.IntegratedGradients(function).attribute(points, baselines, target=1, n_steps=50)
    same(methods.integrated_gradients(question, baselines, steps=50), theirs)


def test_occlusion_is_captums(captum, case):
    question, function, points = case
    baselines = tuple(torch.full_like(point, 0.1) for point in points)
    sizes = [tuple(min(2, side) for side in point.shape[1:]) for point in points]
    strides = [tuple(max(1, side // 2) for side in size) for size in sizes]
    sizes = [(3, *size[1:]) if points[place].shape[1] > 3 else size for place, size in enumerate(sizes)]
    strides = [tuple(min(2, side) for side in size) for size in sizes]
    covers = [
        (place, index)
        for place, point in enumerate(points)
        for index in methods.windows(point.shape[1:], sizes[place], strides[place])
    ]
    theirs = captum.Occlusion(function).attribute(
        points, tuple(sizes), tuple(strides), baselines=baselines, target=1
    )
    same(methods.occlusion(question, baselines, covers), theirs)


def test_columns_of_several_numbers_are_captums_feature_ablation(captum):
    model, row = mlp(), torch.randn(1, 5)
    question = Question(model, row, ["x"], target=2)
    form = Form("table", (("a", range(2)), ("b", range(2, 5))))
    found = attribute(question, "occlusion", [form], (torch.zeros(1, 5),)).values[0]
    mask = torch.tensor([[0, 0, 1, 1, 1]])
    theirs = captum.FeatureAblation(model).attribute(row, feature_mask=mask, target=2)
    torch.testing.assert_close(found, theirs[0, [0, 2]], **NEAR)


@pytest.mark.parametrize("size", [12, 9])
def test_grad_cam_is_captums_at_the_last_convolution(captum, size):
    torch.manual_seed(1)
    model, picture = cnn(), torch.randn(1, 1, size, size)
    question = Question(model, picture, ["x"], target=1)
    assert methods.last_convolution(question) is model[4]
    plain = cnn()
    plain.load_state_dict(model.state_dict())
    plain[5] = nn.ReLU()
    theirs = captum.LayerGradCam(plain, plain[4]).attribute(picture, target=1, relu_attributions=True)
    ours = methods.grad_cam(question)
    torch.testing.assert_close(ours, theirs.detach(), **NEAR)
    large = captum.LayerAttribution.interpolate(theirs, (size, size), "bilinear")
    torch.testing.assert_close(methods.enlarged(ours, (size, size)), large.detach(), **NEAR)


@pytest.mark.parametrize("name", ["mlp", "cnn", "text", "two"])
def test_integrated_gradients_add_up_to_the_output(name):
    model, inputs, _, _ = cases()[name]
    made = pellucid.explain(model, inputs, "integrated_gradients")
    found = made[0].completeness
    assert found.error <= 0.01 * abs(found.difference) + 1e-6
    shown = sum(torch.tensor(part.values).double().sum().item() for part in made[0].parts)
    assert shown == pytest.approx(found.difference, abs=0.011 * abs(found.difference) + 1e-5)


def test_what_a_bare_modules_input_is_follows_from_its_shape():
    convolution = nn.Sequential(nn.Conv1d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    part = pellucid.explain(convolution, torch.randn(1, 3, 20), "grad_cam")[0].parts[0]
    assert (part.kind, part.labels, len(part.values[0])) == ("series", ["all channels"], 20)
    part = pellucid.explain(convolution, torch.randn(1, 3, 20), "occlusion")[0].parts[0]
    assert (len(part.labels), len(part.values[0])) == (3, 20)
    assert pellucid.explain(TextModel(), torch.tensor([[3, 4]]))[0].parts[0].labels == ["3", "4"]
    both = pellucid.explain(TwoInputs(), (torch.randn(1, 2, 6, 6), torch.randn(1, 4)))[0].parts
    assert [(part.name, part.kind) for part in both] == [("input 1", "picture"), ("input 2", "table")]


def test_projections_of_patches_are_no_convolutions_of_grad_cam():
    patches = nn.Sequential(nn.Conv2d(3, 4, 4, stride=4), nn.Flatten(), nn.Linear(16, 2))
    assert pellucid.explain(patches, torch.randn(1, 3, 8, 8)).method == "integrated_gradients"
    with pytest.raises(UsageError, match="has none") as error:
        pellucid.explain(patches, torch.randn(1, 3, 8, 8), "grad_cam")
    assert "method='integrated_gradients'" in str(error.value)


def test_models_of_transformers_are_explained_by_their_tokens():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=50,
        num_labels=3,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    model = transformers.BertForSequenceClassification(config).eval()
    ids, mask = torch.tensor([[4, 0, 1, 2, 0]]), torch.tensor([[1, 1, 1, 1, 0]])
    why = pellucid.explain(model, {"input_ids": ids, "attention_mask": mask}, target=2)
    assert why[0].parts[0].labels == ["4", "0", "1", "2", "0"]
    assert why[0].output == pytest.approx(model(ids, mask).logits[0, 2].item(), abs=1e-5)
    assert why[0].completeness.error < 1e-3


def test_a_result_is_plain_data_and_text():
    why = pellucid.explain(mlp(), torch.randn(2, 5))
    facts = json.loads(json.dumps(why.to_dict()))
    assert facts["about"]["paper"] == "Sundararajan, Taly & Yan 2017"
    assert [row["name"] for row in facts["rows"]] == [{"row": 1}, {"row": 2}]
    assert "The numbers add up to" in str(why)
    with pytest.raises(UnknownNameError, match="integrated"):
        pellucid.explain(mlp(), torch.randn(1, 5), "integrated")
    with pytest.raises(UsageError, match="0 to 2"):
        pellucid.explain(mlp(), torch.randn(1, 5), target=3)
    with pytest.raises(UsageError, match="shape of the input"):
        pellucid.explain(mlp(), torch.randn(1, 5), baseline=torch.zeros(1, 4))
