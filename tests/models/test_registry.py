"""Models are found by name, after registration and by import path; a new model is one new file."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_iris
from torch import nn

import pellucid
from pellucid import models
from pellucid.errors import UnknownNameError, UsageError

NEW_MODEL = """
from torch import nn

def averages(input_shape, num_outputs, *, size=None):
    return nn.Linear(input_shape[0], num_outputs)

BUILDERS = {"averages": averages}
"""


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """Restore the registered models."""
    before = dict(models.BUILDERS)
    yield
    models.BUILDERS.clear()
    models.BUILDERS.update(before)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current directory; modules imported from it are removed afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def one_layer(input_shape: Sequence[int], num_outputs: int) -> nn.Module:
    return nn.Linear(input_shape[0], num_outputs)


@pytest.mark.parametrize("name", ["linear", "mlp", "lstm", "gpt", "seq2seq", "vqvae", "dcgan", "patch_lstm"])
def test_a_model_is_found_by_name(name: str) -> None:
    assert models.find(name) is getattr(models, name)


def test_a_new_model_is_one_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "averages.py").write_text(NEW_MODEL)
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(folder)])
    models.discover()
    assert models.find("averages")((4,), 2)(torch.ones(1, 4)).shape == (1, 2)


def test_a_registered_model_is_used_by_the_estimators() -> None:
    models.register("one_layer", one_layer)
    X, y = load_iris(return_X_y=True)
    estimator = pellucid.Classifier("one_layer", lr=0.1, random_state=0).fit(X, y)
    assert isinstance(estimator.network_, nn.Linear)
    assert estimator.score(X, y) > 0.9


def test_a_model_is_found_by_import_path_in_the_current_directory(folder: Path) -> None:
    (folder / "own_models.py").write_text(NEW_MODEL)
    assert isinstance(models.find("own_models:averages")((4,), 2), nn.Linear)
    assert models.find("torch.nn:Linear") is nn.Linear


def test_registering_a_model_twice_is_accepted_and_a_second_of_the_same_name_is_refused() -> None:
    models.register("one_layer", one_layer)
    models.register("one_layer", one_layer)
    with pytest.raises(ValueError, match="already a model named 'mlp'"):
        models.register("mlp", one_layer)
    with pytest.raises(ValueError, match="without a colon, received 'own:layer'"):
        models.register("own:layer", one_layer)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("transfomer", "Did you mean 'transformer'"),
        ("no_such_module:build", "no module named 'no_such_module'"),
        ("torch.no_such_module:build", "no module named 'torch.no_such_module'"),
        ("torch.nn:Linaer", "torch.nn has no 'Linaer'. Did you mean 'Linear'"),
        ("math:pi", "'math:pi' is a float"),
        ("torch.nn:", "expects an import path, package.module:attribute"),
    ],
)
def test_an_unknown_model_is_refused_with_the_reason(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        models.find(name)


def test_an_import_that_fails_inside_a_model_file_is_not_hidden(folder: Path) -> None:
    (folder / "broken_models.py").write_text("import no_such_library")
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        models.find("broken_models:build")


def test_estimators_refuse_an_unknown_model() -> None:
    X, y = load_iris(return_X_y=True)
    with pytest.raises(UnknownNameError, match="Did you mean 'mlp'"):
        pellucid.Classifier("mpl").fit(X, y)
    with pytest.raises(UsageError, match=r"torch\.nn has no 'Linaer'"):
        pellucid.Classifier("torch.nn:Linaer").fit(X, y)
