"""Contrastive learning: two views of each picture, and honest measures of what was learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import pellucid
from pellucid.errors import ConfigError
from pellucid.tasks.contrastive.objective import contrastive
from pellucid.tasks.contrastive.views import TwoViews
from pellucid.tasks.metric_learning.objective import supcon


def test_two_views_are_of_the_same_picture_and_differ():
    images, ids = torch.rand(5, 3, 12, 12), torch.arange(5)
    views, targets = TwoViews()(images, ids, torch.Generator().manual_seed(0))
    again, _ = TwoViews()(images, ids, torch.Generator().manual_seed(0))
    assert views.shape == (10, 3, 12, 12)
    assert targets.tolist() == [0, 1, 2, 3, 4] * 2
    assert torch.equal(views, again)
    assert not torch.allclose(views[:5], views[5:], atol=0.05)
    assert views.min() >= 0
    assert views.max() <= 1


def test_the_loss_is_nt_xent():
    torch.manual_seed(0)
    z, temperature = F.normalize(torch.randn(8, 6), dim=1), 0.2
    terms = []
    for i in range(8):
        j = (i + 4) % 8
        others = [k for k in range(8) if k != i]
        logits = torch.stack([z[i] @ z[k] / temperature for k in others])
        terms.append(logits.logsumexp(0) - z[i] @ z[j] / temperature)
    ids = torch.arange(4).repeat(2)
    assert supcon(z, ids, temperature=temperature).item() == pytest.approx(torch.stack(terms).mean().item())
    with pytest.raises(ConfigError, match="temperature"):
        contrastive(0)


def test_pictures_without_classes_are_embedded(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    shapes = random.random((4, 1, 4, 4)).repeat(3, axis=2).repeat(3, axis=3)
    labels = random.integers(0, 4, 120)
    X = (shapes[labels] * 0.7 + random.random((120, 1, 12, 12)) * 0.3).astype("f4")
    options = {"epochs": 2, "batch_size": 32, "runs": tmp_path, "progress": False}
    run = pellucid.fit(None, pellucid.arrays(X), task="embed", **options)
    assert run.task == "contrastive"
    assert 0 < run.metrics["test/recall_at_1"] <= 1
    assert run.facts["baselines"]["prior"]["test/recall_at_1"] == pytest.approx(1 / 23)
    assert "test/recall_at_1" in run.facts["baselines"]["inputs"]
    assert "test/class_recall_at_1" not in run.metrics
    assert np.linalg.norm(run.predict(X[:3]).outputs, axis=1) == pytest.approx(np.ones(3), abs=1e-4)
    settings = {"data.normalize": False, "objective.name": "contrastive"}
    known = pellucid.fit("siamese", pellucid.arrays(X, labels), settings=settings, **options)
    assert "test/class_recall_at_1" in known.metrics
    assert "test/class_recall_at_1" in known.facts["baselines"]["inputs"]
