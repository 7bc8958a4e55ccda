"""Views hold what plain PyTorch computes."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from torch import nn
from torch.nn import functional as F

import pellucid
from pellucid.errors import UnknownNameError, UsageError
from pellucid.lens.views import catalogue
from pellucid.lens.views.interpolation import between_codes
from pellucid.models import BUILDERS

DIGITS = load_digits()
IMAGES = torch.tensor(DIGITS.images[:6, None] / 16, dtype=torch.float32)
LABELS = torch.tensor(DIGITS.target[:6])
ROWS = IMAGES[:, 0]  # (6, 8, 8): eight steps of eight pixels


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3),
        nn.Flatten(),
        nn.Linear(20, 10),
    )


def untouched(model, act):
    """Do something with a model in training mode, and check that nothing of it was changed."""
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    made = act()
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    json.dumps(made.to_dict(), allow_nan=False)
    assert str(made).startswith(made.headline[:20])
    return made


# ---- convolutions -----------------------------------------------------------------------------------


def test_kernels_and_feature_maps_are_the_layers_own():
    model = cnn()
    kernels = untouched(model, lambda: pellucid.view(model, "kernels", layer="4"))
    assert np.array_equal(kernels.weights, model[4].weight.detach().numpy())
    assert kernels.layers == ["0", "4"]
    maps = untouched(model, lambda: pellucid.view(model, "feature-maps", IMAGES, layer="2", row=3))
    assert np.array_equal(maps.maps, model.eval()[:3](IMAGES)[3].detach().numpy())
    assert np.array_equal(maps.input, IMAGES[3].numpy())


@pytest.mark.parametrize(("layer", "size"), [("0", 3), ("3", 4), ("4", 8)])
def test_a_receptive_field_is_what_kernels_and_strides_give(layer, size):
    """3 of a kernel; 1 more of a pool of 2; 2 x 2 more of a kernel after it (Araujo et al. 2019)."""
    model = cnn()
    seen = untouched(
        model, lambda: pellucid.view(model, "receptive-field", IMAGES, layer=layer, position=[1, 1])
    )
    sizes = [stop - start for start, stop in seen.field]
    assert all(found == size or stop == 8 for found, (_, stop) in zip(sizes, seen.field, strict=True))
    outside = seen.sensitivity.copy()
    outside[:, seen.field[0][0] : seen.field[0][1], seen.field[1][0] : seen.field[1][1]] = 0
    assert not outside.any()


def test_one_multiplication_of_a_unit_is_the_real_one():
    model = cnn().eval()
    seen = pellucid.view(model, "receptive-field", IMAGES, layer="4", unit=2, position=[0, 1], row=1)
    before, after = model[:4](IMAGES), model[:5](IMAGES)
    patch = before[1, :, 0:3, 1:4].double() * model[4].weight[2].double()
    assert seen.neuron.products == pytest.approx(patch.flatten().tolist(), abs=1e-6)
    assert seen.neuron.sum == pytest.approx(after[1, 2, 0, 1].item(), abs=1e-6)
    assert seen.value == pytest.approx(after[1, 2, 0, 1].item(), abs=1e-6)
    largest = pellucid.view(model, "receptive-field", IMAGES, row=1)
    assert largest.value == pytest.approx(after[1].max().item(), abs=1e-6)
    x = IMAGES[1:2].clone().requires_grad_(True)
    model[:5](x)[0, 2, 0, 1].backward()
    assert np.allclose(seen.sensitivity, x.grad[0].numpy(), atol=1e-6)


# ---- recurrent layers -------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}, {"batch_first": False}])
@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU, nn.RNN])
def test_gates_are_those_of_the_layer(cell, options):
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = cell(8, 5, **{"batch_first": True, **options})

        def forward(self, x):
            return self.rnn(x)[0]

    model = Reader()
    seen = untouched(model, lambda: pellucid.view(model, "gates", ROWS, row=2))
    assert seen.error < 1e-6
    returned = model(ROWS).detach()
    returned = returned[2] if model.rnn.batch_first else returned[:, 2]
    last = seen.directions[-2:] if model.rnn.bidirectional else seen.directions[-1:]
    assert len(seen.directions) == len(last) * model.rnn.num_layers
    hidden = np.concatenate([one.values["hidden"] for one in last], 1)
    assert np.allclose(hidden, returned.numpy(), atol=1e-6)
    if cell is nn.LSTM:
        gates = seen.directions[0].values
        cells = gates["forget"][1:] * gates["cell"][:-1] + (gates["input"] * gates["candidate"])[1:]
        assert np.allclose(gates["cell"][1:], cells, atol=1e-6)


def test_gates_of_other_forms():
    packed = nn.utils.rnn.pack_padded_sequence(ROWS, torch.tensor([8, 6, 5, 5, 3, 1]), batch_first=True)
    for model, batch in (
        (nn.LSTM(8, 5, proj_size=3, batch_first=True), ROWS),
        (nn.RNN(8, 5, nonlinearity="relu", batch_first=True), ROWS),
        (nn.GRU(8, 5, bidirectional=True, bias=False), ROWS[0]),
        (nn.GRU(8, 5, bidirectional=True, batch_first=True), packed),
    ):
        assert pellucid.view(model, "gates", batch).error < 1e-6

    class Cells(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.LSTMCell(8, 5)

        def forward(self, x):
            state = None
            for now in x.unbind(1):
                state = self.cell(now, state)
            return state[0]

    model = Cells()
    seen = pellucid.view(model, "gates", ROWS, row=1)
    assert seen.error < 1e-6
    assert np.allclose(seen.directions[0].values["hidden"][-1], model(ROWS)[1].detach(), atol=1e-6)


def test_gates_of_our_models_read_padding_as_they_do():
    model = BUILDERS["lstm"]((9,), 2, vocab_size=20, size="tiny", num_layers=2).eval()
    tokens = torch.randint(1, 20, (3, 9))
    tokens[1, 6:] = 0
    seen = pellucid.view(model, "gates", tokens, row=1)
    assert seen.error < 1e-6
    encoded = model.encode(tokens)[1, :6].detach().numpy()
    hidden = np.concatenate([one.values["hidden"][:6] for one in seen.directions[-2:]], 1)
    assert np.allclose(hidden, encoded, atol=1e-6)


# ---- latent spaces ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["autoencoder", "vae"])
def test_latent_views_decode_as_the_model(name):
    model = BUILDERS[name]((1, 8, 8), 10, size="tiny", latent_dim=4)
    model(IMAGES)
    codes = model.eval().encode(IMAGES)
    codes = (codes[0] if isinstance(codes, tuple) else codes).detach()
    seen = untouched(model, lambda: pellucid.view(model, "interpolation", IMAGES, ends=[1, 4], points=5))
    model.eval()
    assert np.allclose(seen.codes[[0, -1]], codes[[1, 4]], atol=1e-6)
    assert np.allclose(seen.decoded[0], model.decode(codes[1:2])[0].detach(), atol=1e-6)
    plane = untouched(model, lambda: pellucid.view(model, "latent-plane", IMAGES, points=3))
    model.eval()
    code = plane.origin + plane.x[2] * plane.axes[0] + plane.y[0] * plane.axes[1]
    assert np.allclose(
        plane.decoded[0, 2], model.decode(torch.tensor(code).float()[None])[0].detach(), atol=1e-6
    )
    walk = untouched(model, lambda: pellucid.view(model, "traversal", IMAGES, dims=[2], row=3, points=3))
    model.eval()
    middle = codes[3:4].clone()
    if name == "vae":
        middle[0, 2] = 0.0
    assert walk.values.shape == (1, 3)
    assert np.allclose(walk.decoded[0, 1], model.decode(middle)[0].detach(), atol=1e-6)


def test_a_spherical_way_keeps_the_length():
    first, last = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    way = between_codes(first, last, np.linspace(0, 1, 5), spherical=True)
    assert np.allclose(np.linalg.norm(way, axis=1), 1)
    assert np.allclose(way[2], math.sqrt(0.5))
    assert np.allclose(between_codes(first, last, np.array([0.5]), spherical=False), 0.5)


@pytest.mark.parametrize("conditional", [False, True])
def test_gan_views_are_what_generator_and_discriminator_return(conditional):
    model = BUILDERS["dcgan"]((1, 8, 8), 3, size="tiny", latent_dim=4, conditional=conditional)
    seen = untouched(model, lambda: pellucid.view(model, "samples", count=5, seed=7, label=2))
    assert np.array_equal(seen.noise, pellucid.view(model, "samples", count=5, seed=7).noise)
    model.eval()
    labels = (torch.full((5,), 2),) if conditional else ()
    images = model.generator(torch.tensor(seen.noise), *labels)
    assert np.allclose(seen.samples, images.detach(), atol=1e-6)
    assert np.allclose(seen.logits, model.discriminator(images, *labels).detach(), atol=1e-6)
    batch = (IMAGES, LABELS % 3)
    parts = untouched(model, lambda: pellucid.view(model, "discriminator", batch, count=4))
    assert parts.real.tolist() == [True] * 4 + [False] * 4
    assert np.allclose(parts.maps.sum((1, 2)) + parts.rest, parts.logits, atol=1e-6)
    bias = model.discriminator.output.bias.item()
    assert np.allclose(parts.rest, bias, atol=1e-6)


# ---- embeddings, loss surface, decision regions -----------------------------------------------------


def test_embeddings_are_sklearns_components_and_cosines():
    table = nn.Sequential(nn.Embedding(30, 6), nn.Linear(6, 2))
    seen = untouched(table, lambda: pellucid.view(table, "embeddings", dims=3, neighbours=2))
    vectors = table[0].weight.detach().numpy()
    fitted = PCA(3).fit(vectors.astype(np.float64))
    assert np.allclose(seen.explained, fitted.explained_variance_ratio_, atol=1e-6)
    assert np.allclose(np.abs(seen.places), np.abs(fitted.transform(vectors)), atol=1e-6)
    alike = F.cosine_similarity(table[0].weight[:, None], table[0].weight[None], dim=2).fill_diagonal_(-2)
    values, order = alike.topk(2)
    assert np.array_equal(seen.neighbours, order.numpy())
    assert np.allclose(seen.cosines, values.detach(), atol=1e-6)
    model = cnn().eval()
    rows = pellucid.view(model, "embeddings", (IMAGES, LABELS))
    assert np.allclose(rows.vectors, model[:6](IMAGES).detach(), atol=1e-6)
    assert rows.names[1] == "row 1 (1)"


def test_the_loss_surface_is_the_loss_of_moved_weights_and_moves_none():
    model = cnn()
    model(IMAGES)
    seen = untouched(
        model, lambda: pellucid.view(model, "loss-surface", (IMAGES, LABELS), dims=2, points=3, span=0.5)
    )
    model.eval()
    assert seen.center == pytest.approx(F.cross_entropy(model(IMAGES), LABELS).item(), abs=1e-6)
    generator = torch.Generator().manual_seed(0)
    moved = cnn().eval()
    moved.load_state_dict(model.state_dict())
    directions = []
    for _ in range(2):
        direction = []
        for weight in model.parameters():
            drawn = (
                torch.randn(weight.shape, generator=generator)
                if weight.ndim > 1
                else torch.zeros_like(weight)
            )
            if weight.ndim > 1:  # each filter as long as that of the weights
                drawn = torch.stack([d * w.norm() / d.norm() for d, w in zip(drawn, weight, strict=True)])
            direction.append(drawn)
        directions.append(direction)
    with torch.no_grad():
        for weight, one, two in zip(moved.parameters(), *directions, strict=True):
            weight += 0.5 * one - 0.5 * two
    assert seen.loss[0, 2] == pytest.approx(F.cross_entropy(moved(IMAGES), LABELS).item(), abs=1e-5)
    line = pellucid.view(model, "loss-surface", (IMAGES, LABELS), points=5)
    assert line.loss.shape == (5,)
    assert line.loss[2] == seen.center


def test_decision_regions_are_outputs_on_a_grid():
    model = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 3))
    rows = torch.tensor(DIGITS.data[:40, 20:22] / 16, dtype=torch.float32)
    batch = rows, torch.tensor(DIGITS.target[:40] % 3)
    seen = untouched(model, lambda: pellucid.view(model, "decision-regions", batch, layer="1", points=5))
    point = torch.tensor([[seen.x[3], seen.y[1]]])
    assert np.allclose(seen.outputs[1, 3], model(point)[0].detach(), atol=1e-6)
    assert seen.classes[1, 3] == model(point).argmax()
    assert np.allclose(seen.units[4, 1, 3], model[:2](point)[0, 4].detach(), atol=1e-6)
    assert (seen.points == rows.numpy()).all()


# ---- the door ---------------------------------------------------------------------------------------


def test_views_that_do_not_suit_say_which_do():
    with pytest.raises(UsageError, match="does not suit Sequential: it computes no attention") as error:
        pellucid.view(cnn(), "attention", IMAGES)
    assert "feature-maps" in error.value.remedy
    with pytest.raises(UnknownNameError, match="Did you mean 'kernels'"):
        pellucid.view(cnn(), "kernel")
    with pytest.raises(UnknownNameError, match="no layer for this view named '9'"):
        pellucid.view(cnn(), "kernels", layer="9")
    with pytest.raises(UnknownNameError, match="no option of the view gates named 'unit'"):
        pellucid.view(nn.LSTM(8, 2), "gates", ROWS, unit=3)
    with pytest.raises(UsageError, match="row=6 expects a row of the batch, 0 to 5"):
        pellucid.view(cnn(), "feature-maps", IMAGES, row=6)
    with pytest.raises(UsageError, match="row='two' of the view feature-maps"):
        pellucid.view(cnn(), "feature-maps", IMAGES, row="two")
    with pytest.raises(UsageError, match="on the device meta"):
        pellucid.view(nn.Conv2d(1, 2, 3, device="meta"), "kernels")
    with pytest.raises(UsageError, match="not finite"):
        pellucid.view(nn.Linear(2, 2), "decision-regions", torch.full((3, 2), math.nan))
    idle = nn.Sequential(nn.Linear(8, 2))
    idle.forward = lambda x: idle[0](x)
    idle.lstm = nn.LSTM(8, 2)
    with pytest.raises(UsageError, match="lstm: not called"):
        pellucid.view(idle, "gates", ROWS)
    found = pellucid.views(cnn(), torch.zeros(2, 3))
    assert found["kernels"] == ""
    assert found["feature-maps"].startswith("cannot be computed on this batch")


def test_every_view_is_a_frozen_dataclass_of_plain_data():
    assert len(catalogue.views()) == 15
    model = cnn()
    for name, why in pellucid.views(model, (IMAGES, LABELS)).items():
        if not why:
            seen = pellucid.view(model, name, (IMAGES, LABELS))
            assert seen.to_dict()["view"] == name
            with pytest.raises(dataclasses.FrozenInstanceError):
                seen.view_of = 1
