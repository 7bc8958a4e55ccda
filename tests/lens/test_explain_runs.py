"""Explanations of runs: inputs as `predict` takes them, names as the data has them, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import pellucid
from pellucid.cli.main import app
from pellucid.errors import UnknownNameError, UsageError
from pellucid.lens.explain import methods
from pellucid.lens.explain.question import Question
from pellucid.record.spec import PACKAGE, package_of, task_names
from pellucid.tasks import get_task
from pellucid.tasks.task import Task

FAST = {"train.device": "cpu", "train.execution": "eager", "train.batch_size": 16}


def fitted(folder, model, data, *, steps=3, settings=None, **options):
    chosen = {**FAST, "train.max_steps": steps, **(settings or {})}
    return pellucid.fit(model, data, runs=folder / "runs", progress=False, settings=chosen, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("explain")


@pytest.fixture(scope="module")
def houses(folder):
    """A linear regression on a table, whose prices follow from its columns."""
    random = np.random.default_rng(0)
    area, city = random.uniform(30, 200, 300), random.choice(["Lima", "Oslo"], 300)
    prices = 3 * area + 100 * (city == "Oslo")
    lines = [f"{a},{c},{p}" for a, c, p in zip(area, city, prices, strict=True)]
    (folder / "houses.csv").write_text("\n".join(["area,city,price", *lines]))
    (folder / "new.csv").write_text("area,city\n150,Oslo\n40,Lima\n")
    return fitted(folder, "linear", str(folder / "houses.csv"), target="price", steps=400, lr=0.05)


@pytest.fixture(scope="module")
def reviews(folder):
    random = np.random.default_rng(0)
    words = ["the", "film", "was", "a", "story", "of", "people", "in", "town", "and", "it", "had", "music"]
    lines = []
    for row in range(300):
        chosen = list(random.permutation(words)[:6])
        chosen.insert(int(random.integers(7)), ["great", "awful"][row % 2])
        lines.append(f"{' '.join(chosen)},{['good', 'bad'][row % 2]}")
    (folder / "reviews.csv").write_text("\n".join(["text,label", *lines]))
    settings = {"model.size": "tiny"}
    return fitted(
        folder, "lstm", str(folder / "reviews.csv"), target="label", steps=60, lr=0.02, settings=settings
    )


@pytest.fixture(scope="module")
def pictures(folder):
    digits = load_digits()
    images = (digits.images[:200] / 16).astype(np.float32)
    return fitted(folder, "cnn", (images, digits.target[:200])), images


def test_columns_of_a_linear_model_get_their_share_of_the_price(houses, folder):
    why = pellucid.explain(houses, folder / "new.csv")
    assert (why.method, why.baseline) == ("integrated_gradients", "the means of the training rows")
    row, part = why[0], why[0].parts[0]
    assert (row.target, part.labels, part.cells) == ("price", ["area", "city"], [150.0, "Oslo"])
    assert part.values[0] > 50  # 3 * (150 - 115) = 105 where it has learned all
    assert part.values[1] > 20  # 100 * (1 - 0.5)
    predicted = houses.predict(folder / "new.csv").outputs
    assert [each.output for each in why] == pytest.approx(predicted.tolist(), rel=1e-4)
    assert row.completeness.error < 0.1
    covered = pellucid.explain(houses, folder / "new.csv", "occlusion")
    assert covered[0].parts[0].values == pytest.approx(part.values, rel=1e-3)


def test_columns_are_compared_with_zeros_where_the_training_data_is_gone(houses, folder):
    data = folder / "houses.csv"
    content = data.read_text()
    try:
        data.unlink()
        opened = pellucid.Run(houses.path)
        why = pellucid.explain(opened, {"area": [150.0], "city": ["Oslo"]})
    finally:
        data.write_text(content)
    assert "no category" in why.baseline
    assert any("not found" in note for note in why.notes)


@pytest.mark.parametrize("method", ["integrated_gradients", "saliency", "smoothgrad", "occlusion"])
def test_the_word_that_decides_is_found(reviews, method):
    text = "the film was great and it had music"
    why = pellucid.explain(reviews, text, method)
    part = why[0].parts[0]
    assert part.labels == text.split()
    if why.how.signed:  # a gradient says nothing where the output is sure
        assert part.ranked()[0][0] == "great"
        assert dict(part.ranked())["great"] > 0
        against = pellucid.explain(reviews, text, method, target="bad")
        assert dict(against[0].parts[0].ranked())["great"] < 0


def test_several_texts_are_explained_one_by_one(reviews):
    texts = ["an awful film", "a great story of people"]
    both = pellucid.explain(reviews, texts)
    assert [row.target for row in both] == ["bad", "good"]
    assert both[1].parts[0].values == pellucid.explain(reviews, texts[1])[0].parts[0].values


def test_pictures_are_explained_by_grad_cam(pictures):
    run, images = pictures
    why = run.explain(images[:2])
    assert why.method == "grad_cam"
    assert "convolutions" in why.reason
    assert np.shape(why[1].parts[0].values) == (8, 8)
    assert why[0].parts[0].image.startswith("data:image/png;base64,")


def test_grad_cam_finds_digits_pasted_into_a_corner():
    torch.manual_seed(0)
    digits = load_digits()
    small = torch.tensor(digits.images / 16, dtype=torch.float32)
    targets = torch.tensor(digits.target)
    corners = torch.randint(2, (len(small), 2))

    def pasted(rows):
        canvas = torch.zeros(len(rows), 1, 24, 24)
        for place, row in enumerate(rows.tolist()):
            y, x = (corners[row] * 16).tolist()
            canvas[place, 0, y : y + 8, x : x + 8] = small[row]
        return canvas

    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(16, 32, 3, padding=1, stride=2),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(200):
        rows = torch.randint(1500, (64,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(pasted(rows)), targets[rows]).backward()
        optimizer.step()
    shares, hits = [], []
    for row in range(1500, 1520):
        maps = methods.enlarged(
            methods.grad_cam(Question(model, pasted(torch.tensor([row])), ["x"])), (24, 24)
        )
        y, x = (corners[row] * 12).tolist()
        peak = divmod(int(maps.argmax()), 24)
        hits.append(y <= peak[0] < y + 12 and x <= peak[1] < x + 12)
        shares.append((maps[0, 0, y : y + 12, x : x + 12].sum() / maps.sum().clamp(min=1e-9)).item())
    assert np.mean(shares) > 0.8, shares
    assert np.mean(hits) > 0.9, hits


# ---- refused ------------------------------------------------------------------------------------------


def test_every_task_is_explained_or_says_why_not():
    explained = {"classification", "multilabel", "regression", "custom", "language_model"}
    ours = {name for name in task_names() if package_of(name).startswith(PACKAGE)}
    reasons = {name: get_task(name).not_explained for name in ours}
    assert {name for name, reason in reasons.items() if not reason} == explained
    assert Task.not_explained not in reasons.values()


def test_a_gan_has_nothing_to_explain(folder):
    images = np.random.default_rng(0).random((40, 1, 8, 8)).astype(np.float32)
    data = pellucid.arrays(images, np.arange(40) % 2, task="classification")
    run = fitted(folder, "dcgan", data, settings={"objective.name": "adversarial", "model.size": "tiny"})
    with pytest.raises(UsageError, match="random numbers"):
        run.explain(images)


def test_a_language_model_needs_the_token_that_is_to_follow(folder):
    path = folder / "lines.txt"
    path.write_text("The red fox runs.\nThe old dog sleeps.\nA cat runs home, and the dog sleeps.\n" * 30)
    settings = {
        "objective.name": "language_model",
        "data.text.tokenizer": "words",
        "data.text.max_seq_len": 8,
        "model.size": "tiny",
    }
    run = fitted(folder, "gpt", str(path), settings=settings)
    with pytest.raises(UsageError, match="which one"):
        run.explain("the red fox")
    why = run.explain("the red fox", target="runs")
    assert why[0].parts[0].labels == ["the", "red", "fox"]
    assert why[0].target == "'runs' as the next token"
    with pytest.raises(UsageError, match="2 tokens"):
        run.explain("the red fox", target="runs home")


def test_wrong_names_are_refused(houses, pictures):
    run, images = pictures
    with pytest.raises(UnknownNameError, match="method"):
        run.explain(images[:1], "shap")
    with pytest.raises(UnknownNameError, match="class"):
        run.explain(images[:1], target="cat")
    with pytest.raises(UsageError, match="columns"):
        houses.explain({"area": [1.0], "city": ["Oslo"]}, "grad_cam")
    with pytest.raises(UsageError, match="run or a module"):
        pellucid.explain(3, images)


def test_a_module_without_gradients_is_explained_by_occlusion():
    class Rounding(nn.Linear):
        def forward(self, x):
            return super().forward(x).round()

    class Detached(nn.Linear):
        def forward(self, x):
            return super().forward(x.detach()).detach()

    x = torch.ones(1, 3)
    assert pellucid.explain(Rounding(3, 2), x, "saliency")[0].parts[0].values == [0.0, 0.0, 0.0]
    with pytest.raises(UsageError, match="occlusion"):
        pellucid.explain(Detached(3, 2), x)
    assert len(pellucid.explain(Detached(3, 2), x, "occlusion")[0].parts[0].values) == 3


def test_nothing_of_the_model_is_changed():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(), nn.Flatten(), nn.LazyLinear(2))
    model(torch.zeros(2, 1, 6, 6))
    model[1].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    for method in (None, *("saliency", "smoothgrad", "integrated_gradients", "occlusion")):
        pellucid.explain(model, torch.randn(1, 1, 6, 6, generator=torch.Generator().manual_seed(0)), method)
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model] == [True, False, True, True, True]
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


# ---- what is written ----------------------------------------------------------------------------------


def command(capsys, *arguments):
    app([str(part) for part in arguments], standalone_mode=False)
    return capsys.readouterr().out


def test_the_command_prints_and_writes_a_page_and_json(houses, reviews, pictures, folder, capsys):
    run, images = pictures
    np.save(folder / "images.npy", images[:2])
    cases = [
        (houses, folder / "new.csv", "area", "Oslo"),
        (reviews, "a great film", "strongest: great", "great"),
        (run, folder / "images.npy", "Grad-CAM", "data:image/png"),
    ]
    for found, source, printed, drawn in cases:
        page = folder / "why.html"
        out = command(capsys, "explain", found.path, source, "--out", page)
        assert printed in out
        text = page.read_text()
        assert drawn in text
        assert "http://" not in text.replace("http://www.w3.org", "")
        facts = json.loads(command(capsys, "explain", found.path, source, "--json"))
        assert facts["rows"][0]["parts"][0]["values"]
        command(capsys, "explain", found.path, source, "--out", folder / "why.json")
        assert json.loads((folder / "why.json").read_text()) == facts


def test_another_ending_is_refused_first(capsys):
    with pytest.raises(UsageError, match=r"\.html or \.json"):
        command(capsys, "explain", "last", "x", "--out", "why.pdf")
