"""Every loss, compared with torch's own or with its formula computed by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.errors import ModelError, UnknownNameError
from pellucid.train.losses import LOSSES, loss

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 1.0, 3.0], [-2.0, 0.0, 1.0], [0.3, 0.2, 0.1]])
CLASSES = torch.tensor([0, 2, 1, 1])
NUMBERS = torch.tensor([[1.5, -0.5, 0.0], [0.0, 4.0, 3.5], [-2.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
LABELS = torch.tensor([[1.0, 0, 1], [0, 0, 1], [0, 1, 1], [0, 0, 0]])
PROBS = torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.0, 1.0], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])
WEIGHT = torch.tensor([1.0, 2.0, 0.5])

PARITY = [
    ("cross_entropy", {}, CLASSES, F.cross_entropy(LOGITS, CLASSES)),
    ("cross_entropy", {}, PROBS, -(PROBS * LOGITS.log_softmax(1)).sum(1).mean()),
    (
        "cross_entropy",
        {"label_smoothing": 0.1, "weight": WEIGHT},
        CLASSES,
        F.cross_entropy(LOGITS, CLASSES, weight=WEIGHT, label_smoothing=0.1),
    ),
    ("focal", {"gamma": 0.0}, CLASSES, F.cross_entropy(LOGITS, CLASSES)),
    ("hinge", {"margin": 0.5}, CLASSES, F.multi_margin_loss(LOGITS, CLASSES, margin=0.5)),
    ("bce", {}, LABELS, F.binary_cross_entropy(LOGITS.sigmoid(), LABELS)),
    (
        "bce",
        {"pos_weight": WEIGHT},
        LABELS,
        F.binary_cross_entropy_with_logits(LOGITS, LABELS, pos_weight=WEIGHT),
    ),
    ("mse", {}, NUMBERS, ((LOGITS - NUMBERS) ** 2).mean()),
    ("mae", {}, NUMBERS, (LOGITS - NUMBERS).abs().mean()),
    ("huber", {"delta": 0.7}, NUMBERS, F.huber_loss(LOGITS, NUMBERS, delta=0.7)),
    ("poisson", {}, LABELS, (LOGITS.exp() - LABELS * LOGITS).mean()),
    (
        "kl",
        {},
        PROBS,
        torch.special.xlogy(PROBS, PROBS).sum(1).mean() - (PROBS * LOGITS.log_softmax(1)).sum(1).mean(),
    ),
]


@pytest.mark.parametrize(("name", "options", "targets", "expected"), PARITY)
def test_value_equals_its_formula(name: str, options: dict, targets: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(loss(name, **options)(LOGITS, targets), expected)


def test_focal_equals_a_hand_computed_value() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)]])  # p = 1/4, 3/4
    assert loss("focal", gamma=2.0)(logits, torch.tensor([0])).item() == pytest.approx(
        (3 / 4) ** 2 * math.log(4)
    )


def test_dice_equals_a_hand_computed_value() -> None:
    logits = torch.tensor(
        [[50.0, 50.0, -50.0, -50.0], [50.0, -50.0, -50.0, -50.0]]
    )  # p = 1 1 0 0 and 1 0 0 0
    targets = torch.tensor([[1.0, 0, 0, 0], [1.0, 0, 0, 0]])
    expected = ((1 - (2 * 1 + 1) / (3 + 1)) + 0) / 2
    assert loss("dice")(logits, targets).item() == pytest.approx(expected)


def test_cosine_depends_only_on_direction() -> None:
    outputs, targets = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[5.0, 0.0], [0.0, -1.0]])
    assert loss("cosine")(outputs, targets).item() == pytest.approx((0 + 2) / 2)


def test_triplet_uses_the_hardest_examples_of_the_batch() -> None:
    points = torch.tensor([[0.0], [1.0], [1.5], [9.0]])
    classes = torch.tensor([0, 0, 1, 2])
    # Anchors 0 and 1 have a partner at distance 1; their nearest strangers are 1.5 and 0.5 away.
    assert loss("triplet", margin=1.0)(points, classes).item() == pytest.approx((0.5 + 1.5) / 2)


def test_triplet_without_pairs_is_zero_and_differentiable() -> None:
    points = torch.randn(3, 2, requires_grad=True)
    value = loss("triplet")(points, torch.tensor([0, 1, 2]))
    value.backward()
    assert value.item() == 0
    assert points.grad is not None
    assert torch.equal(points.grad, torch.zeros(3, 2))


def test_contrastive_equals_a_hand_computed_value() -> None:
    points = torch.tensor([[0.0], [0.5], [2.5]])
    value = loss("contrastive", margin=3.0)(points, torch.tensor([0, 0, 1]))
    assert value.item() == pytest.approx((0.5**2 + (3 - 2.5) ** 2 + (3 - 2.0) ** 2) / 3, rel=1e-5)


@pytest.mark.parametrize("name", ["triplet", "contrastive"])
def test_equal_embeddings_have_finite_gradients(name: str) -> None:
    points = torch.zeros(4, 3, requires_grad=True)
    loss(name)(points, torch.tensor([0, 0, 1, 1])).backward()
    assert points.grad is not None
    assert points.grad.isfinite().all()


@pytest.mark.parametrize("name", ["cross_entropy", "hinge"])
def test_losses_take_sequences_of_classes(name: str) -> None:
    logits, classes = torch.randn(2, 5, 7), torch.randint(0, 7, (2, 5))
    expected = loss(name)(logits.view(10, 7), classes.view(10))
    torch.testing.assert_close(loss(name)(logits, classes), expected)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_bfloat16_logits_are_float32_with_gradients(name: str) -> None:
    entry = LOSSES[name]
    targets = CLASSES if {"classification", "embedding"} & set(entry.tasks) else LABELS
    targets = NUMBERS if name == "cosine" else PROBS if name == "kl" else targets
    logits = LOGITS.bfloat16().requires_grad_()
    value = entry.function(logits, targets)
    value.backward()
    assert value.dtype == torch.float32
    assert value.ndim == 0
    assert logits.grad is not None
    assert logits.grad.any()


@pytest.mark.parametrize("name", ["mse", "mae", "huber", "poisson", "bce", "cosine"])
def test_shapes_that_would_broadcast_are_refused(name: str) -> None:
    with pytest.raises(ModelError, match=r"\(8, 1\) and targets \(8,\)"):
        loss(name)(torch.zeros(8, 1), torch.zeros(8))


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "hinge", "triplet", "contrastive"])
@pytest.mark.parametrize("targets", [torch.zeros(8), torch.zeros(7).long(), torch.zeros(8, 1).long()])
def test_targets_that_are_not_classes_are_refused(name: str, targets: Tensor) -> None:
    with pytest.raises(ModelError, match=r"received logits \(8, 3\)"):
        loss(name)(torch.zeros(8, 3), targets)


def test_unknown_names_and_options_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'huber'"):
        loss("hubber")
    with pytest.raises(UnknownNameError, match="option of the loss cross_entropy named 'smoothing'"):
        loss("cross_entropy", smoothing=0.1)


def test_catalogue_is_complete() -> None:
    assert len(LOSSES) == 13
    for name, entry in LOSSES.items():
        assert entry.name == name
        assert entry.formula
        assert entry.source
        assert entry.tasks
    assert LOSSES["huber"].options == {"delta": 1.0}
