"""Arrays reach a model in the shape that they have, and ids as whole numbers."""

import numpy as np
import pytest
import torch
from torch import nn

import pellucid
from pellucid.data.inspect import suggest_config
from pellucid.data.layout import looks_like_series
from pellucid.errors import BadDataError, ModelError, UsageError

rng = np.random.default_rng(0)
SERIES = (100 * rng.normal(size=(40, 12, 3)) + np.array([0, 50, 500])).astype("float32")
LABELS = np.arange(40) % 2


class Seen(nn.Module):
    """Refuses all inputs but those of one shape and type, and remembers the last."""

    def __init__(self, shape, dtype=torch.float32):
        super().__init__()
        self.shape, self.dtype, self.last = shape, dtype, None
        self.embedding = nn.Embedding(50, 4)
        self.output = nn.Linear(1, 2)

    def forward(self, x):
        if tuple(x.shape[1:]) != self.shape or x.dtype != self.dtype:
            raise ValueError("another shape")
        self.last = x.detach()
        return self.output(x.float().flatten(1).mean(1, keepdim=True))


def trained(model, X, folder, **more):
    data = pellucid.arrays(X, LABELS, **more)
    return pellucid.fit(model, data, epochs=1, runs=folder, progress=False, execution="eager")


@pytest.mark.parametrize(
    ("X", "shape"),
    [
        (SERIES, (12, 3)),
        (SERIES.transpose(0, 2, 1), (3, 12)),
        (rng.random((40, 8, 8)), (8, 8)),
        (rng.random((40, 8, 8)), (1, 8, 8)),
        (rng.random((40, 8, 8, 3)), (8, 8, 3)),
        (rng.random((40, 8, 8, 3)), (3, 8, 8)),
        (rng.random((40, 70)), (70,)),
    ],
)
def test_a_module_gets_arrays_as_they_are_or_as_images(tmp_path, X, shape):
    model = Seen(shape)
    run = trained(model, X, tmp_path)
    again = pellucid.Run(run.path).predict(X[:4], model=model)
    assert list(again.labels) == list(run.predict(X[:4]).labels)
    assert model.last.shape == (4, *shape)
    assert run.evaluate((X, LABELS)).metrics["loss"] > 0


def test_each_channel_of_a_series_has_its_own_scale(tmp_path):
    model = Seen((12, 3))
    trained(model, SERIES, tmp_path).predict(SERIES)
    assert model.last.mean((0, 1)).abs().max() < 0.3
    assert (model.last.std((0, 1)) - 1).abs().max() < 0.2


@pytest.mark.parametrize("length", [6, 70])
def test_ids_reach_an_embedding_as_whole_numbers(tmp_path, length):
    ids = rng.integers(0, 30, size=(40, length))
    model = Seen((length,), torch.int64)
    run = trained(model, ids, tmp_path)
    run.predict(ids[:3])
    assert model.last.tolist() == ids[:3].tolist()
    run.predict(np.full((1, length), 49))  # an id that the embedding knows, although no row had it
    with pytest.raises(ModelError, match="0 to 49"):
        run.predict(np.full((1, length), 50))


@pytest.mark.parametrize("name", ["gru", "transformer"])
@pytest.mark.parametrize("target", [LABELS, SERIES[:, -1, 0]], ids=["classes", "amounts"])
def test_our_sequence_models_take_series(tmp_path, name, target):
    data = pellucid.arrays(SERIES, target)
    call = {"runs": tmp_path, "progress": False, "execution": "eager", "settings": {"model.size": "tiny"}}
    run = pellucid.fit(name, data, epochs=1, **call)
    assert pellucid.Run(run.path).predict(SERIES[:5]).outputs.shape[0] == 5


def test_our_sequence_models_take_ids_and_series_of_one_channel(tmp_path):
    run = trained("lstm", rng.integers(1, 9, size=(40, 5)), tmp_path)
    assert run.settings["model"]["name"] == "lstm"
    assert run.facts["model"]["layers"][0]["type"] == "TokenEmbedding"
    values = rng.normal(size=(40, 15))
    run = trained("lstm", values, tmp_path, kind="series")
    assert len(run.predict(values[:2]).labels) == 2


def test_what_kind_says_is_checked():
    assert pellucid.arrays(SERIES, LABELS, kind="table").inputs[0].form == {"layout": "table"}
    for kind, X, error in (
        ("image", SERIES[:, :, 0], UsageError),
        ("series", SERIES[..., None], UsageError),
        ("spectrum", SERIES, UsageError),
        ("ids", SERIES[:, :, 0], BadDataError),
    ):
        with pytest.raises(error):
            pellucid.arrays(X, LABELS[: len(X)], kind=kind)


def test_a_sequence_model_is_suggested_for_series():
    series = pellucid.arrays(SERIES, LABELS)
    images = pellucid.arrays(rng.random((40, 16, 16)), LABELS)
    assert looks_like_series(series)
    assert not looks_like_series(images)
    assert suggest_config(series).model.name == "lstm"
    assert suggest_config(images).model.name == "cnn"
