"""The metrics of an evaluator, compared with their definitions."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from pellucid.errors import UsageError
from pellucid.evaluation import Trained
from pellucid.tasks.adversarial.generation_metrics import (
    Evaluator,
    Gaussian,
    coverage,
    frechet,
    kl_to_uniform,
)
from tests.tasks.conftest import Digits


def test_frechet_distance_of_normal_distributions_on_a_line() -> None:
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(200_000, 1, generator=generator)
    second = 3 + 2 * torch.randn(200_000, 1, generator=generator)
    # (m1 - m2)^2 + (s1 - s2)^2
    assert frechet(Gaussian.fit(first), Gaussian.fit(second)) == pytest.approx(9 + 1, rel=0.01)
    assert frechet(Gaussian.fit(first), Gaussian.fit(first)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("rows", [5, 500], ids=["fewer rows than features", "more"])
def test_frechet_distance_agrees_with_the_square_root_of_a_matrix(rows: int) -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(size=(rows, 8)), random.normal(size=(rows, 8)) @ random.normal(size=(8, 8))
    found = frechet(Gaussian.fit(torch.tensor(first)), Gaussian.fit(torch.tensor(second)))
    covariances = [np.cov(values, rowvar=False) for values in (first, second)]
    root = np.asarray(scipy.linalg.sqrtm(covariances[0] @ covariances[1])).real
    between = np.square(first.mean(0) - second.mean(0)).sum()
    assert found == pytest.approx(between + np.trace(covariances[0] + covariances[1] - 2 * root), rel=1e-4)


def test_coverage_and_distance_from_equal_frequency() -> None:
    assert coverage(torch.tensor([25, 25, 25, 25])) == 1
    assert coverage(torch.tensor([88, 12, 0, 0])) == 0.25
    assert coverage(torch.tensor([87, 13, 0, 0])) == 0.5
    assert kl_to_uniform(torch.tensor([7, 7, 7, 7])) == pytest.approx(0)
    assert kl_to_uniform(torch.tensor([9, 0, 0, 0])) == pytest.approx(math.log(4))
    assert kl_to_uniform(torch.tensor([1, 1, 0, 0])) == pytest.approx(math.log(2))


def test_evaluator_recognizes_real_images(evaluator: Trained, digits: Digits) -> None:
    ask = Evaluator(evaluator, (1, 8, 8))
    verdict = ask(digits.images)
    assert (verdict.classes == digits.labels).float().mean() > 0.9
    assert verdict.confidence.min() >= 0.1
    assert verdict.features.shape == (len(digits.images), 32)
    assert ask.counts(verdict).sum() == len(digits.images)
    assert coverage(ask.counts(verdict)) == 1


def test_evaluator_uses_the_pixel_scaling_of_its_training(evaluator: Trained, digits: Digits) -> None:
    rows = digits.dataset.splits["test"]
    inputs = evaluator.preprocess.inputs(rows)
    pixels = inputs * torch.tensor(evaluator.preprocess.encoded.std).view(-1, 1, 1) + torch.tensor(
        evaluator.preprocess.encoded.mean
    ).view(-1, 1, 1)
    with torch.no_grad():
        probs = evaluator.model.eval()(inputs).softmax(1)
    verdict = Evaluator(evaluator, (1, 8, 8))(pixels)
    torch.testing.assert_close(verdict.confidence, probs.max(1).values)
    assert torch.equal(verdict.classes, probs.argmax(1))


def test_real_images_are_closer_to_each_other_than_to_noise(evaluator: Trained, digits: Digits) -> None:
    ask = Evaluator(evaluator, (1, 8, 8))
    noise = torch.rand(500, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    real, more, made = (
        Gaussian.fit(ask(x).features) for x in (digits.images[:500], digits.images[500:1000], noise)
    )
    assert frechet(more, real) < 0.1 * frechet(made, real)


def test_channels_are_evaluated_separately_and_combinations_counted(
    evaluator: Trained, digits: Digits
) -> None:
    ask = Evaluator(evaluator, (3, 8, 8))
    assert ask.per_channel
    rows = [int((digits.labels == label).nonzero()[4]) for label in range(10)]
    by_class = digits.images[rows, 0]  # (10, 8, 8)
    sure = ask(by_class[:, None].expand(10, 3, 8, 8))
    right = [label for label in range(10) if sure.classes[3 * label] == label]
    assert len(right) >= 8
    one, two, three = right[:3]
    images = torch.stack(
        [by_class[[one, two, three]], by_class[[one, two, three]], by_class[[three, two, one]]]
    )
    counts = ask.modes(ask(images), 3)
    assert counts.sum() == 3
    assert counts[100 * one + 10 * two + three] == 2
    assert counts[100 * three + 10 * two + one] == 1


@pytest.mark.parametrize("shape", [(1, 28, 28), (8, 8), (3, 9, 8)], ids=str)
def test_evaluator_of_other_images_is_refused(evaluator: Trained, shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="Expected an evaluator of images of shape"):
        Evaluator(evaluator, shape)


def test_evaluator_without_a_last_layer_is_refused(evaluator: Trained) -> None:
    other = dataclasses.replace(evaluator, model=torch.nn.Flatten())
    with pytest.raises(UsageError, match="Expected an evaluator"):
        Evaluator(other, (1, 8, 8))


def test_evaluating_does_not_change_the_evaluator(evaluator: Trained, digits: Digits) -> None:
    evaluator.model.train()
    before = {name: tensor.clone() for name, tensor in evaluator.model.state_dict().items()}
    state = torch.get_rng_state()
    Evaluator(evaluator, (1, 8, 8))(digits.images[:50])
    assert torch.equal(torch.get_rng_state(), state)
    assert evaluator.model.training
    after: dict[str, Tensor] = evaluator.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
