"""The estimators follow scikit-learn's conventions."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import check_estimator
from torch import nn

from pellucid import Classifier, Regressor
from pellucid.errors import ModelError, UnknownNameError


@pytest.mark.parametrize(
    "estimator", [Classifier(epochs=10), Regressor(epochs=10)], ids=lambda e: type(e).__name__
)
def test_scikit_learn_checks_pass(estimator):
    batches = {
        f"check_sample_weight_equivalence_on_{kind}_data": "a row of weight 2 is not two rows in batches"
        for kind in ("dense", "sparse")
    }
    results = check_estimator(estimator, on_skip=None, expected_failed_checks=batches)
    assert len(results) > 40
    assert {result["status"] for result in results} <= {"passed", "skipped", "xfail"}


def test_a_grid_search_over_a_pipeline_works():
    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(MinMaxScaler(), Classifier(epochs=40, random_state=0))
    grid = GridSearchCV(pipeline, {"classifier__lr": [1e-5, 1e-2]}, cv=3).fit(X, y)
    assert grid.best_params_ == {"classifier__lr": 1e-2}
    assert grid.best_score_ > 0.9


def test_a_cnn_reads_rows_as_images():
    X, y = load_digits(return_X_y=True)
    cnn = Classifier("cnn", options={"size": "tiny"}, input_shape=(1, 8, 8), epochs=4, random_state=0)
    assert cnn.fit(X[:1200], y[:1200]).score(X[1200:], y[1200:]) > 0.85


def test_an_ensemble_learns_its_quantiles_and_averages_probabilities():
    X, y = load_iris(return_X_y=True)
    few = Classifier("tabm", options={"members": 3, "hidden": 8}, epochs=2, random_state=0).fit(X, y)
    inputs = few._inputs(X[:5])
    expected = few.network_.member_outputs(inputs).softmax(-1).mean(1).detach()
    np.testing.assert_allclose(few.predict_proba(X[:5]), expected, atol=1e-6)
    assert few.network_.scale.rows == len(X)


def test_regression_beats_the_mean():
    X, y = load_diabetes(return_X_y=True)
    assert np.mean(cross_val_score(Regressor(epochs=20, lr=3e-3, random_state=0), X, y, cv=3)) > 0.3


def test_invalid_inputs_are_refused_with_the_reason():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ModelError, match="expects 9 features, but X has 4"):
        Classifier("cnn", input_shape=(1, 3, 3)).fit(X, y)
    with pytest.raises(UnknownNameError, match="Did you mean 'mlp'"):
        Classifier("mpl").fit(X, y)


# ---- what scikit-learn's users pass ------------------------------------------------------------------

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(80, 4))
CLASSES = (ROWS[:, 0] > 0).astype(int)
QUICK = {"epochs": 8, "random_state": 0}


def network(features, outputs, hidden=8):
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


@pytest.mark.parametrize("model", [network(4, 2), network, network(4, 2).double()])
def test_own_modules_and_factories_learn_and_are_cloned(model):
    estimator = Classifier(model, lr=0.05, **QUICK)
    fitted = clone(estimator).fit(ROWS, CLASSES)
    assert fitted.score(ROWS, CLASSES) > 0.85
    assert fitted.network_ is not model
    assert (clone(estimator).fit(ROWS, CLASSES).predict(ROWS) == fitted.predict(ROWS)).all()


def test_options_are_parameters_of_their_own():
    estimator = Classifier(network, **QUICK)
    grid = GridSearchCV(estimator, {"options__hidden": [2, 16]}, cv=2).fit(ROWS, CLASSES)
    assert grid.best_estimator_.network_[0].out_features == grid.best_params_["options__hidden"]
    assert clone(grid.best_estimator_).get_params()["options__hidden"] in (2, 16)
    assert estimator.options is None


def test_weights_of_rows_and_classes_count():
    sure = np.where(CLASSES == 1, 1.0, 0.0)
    assert (Classifier(**QUICK).fit(ROWS, CLASSES, sample_weight=sure).predict(ROWS) == 1).mean() > 0.9
    heavy = Classifier(class_weight={0: 1.0, 1: 1e4}, **QUICK).fit(ROWS, CLASSES)
    assert (heavy.predict(ROWS) == 1).mean() > 0.9


def test_several_numbers_are_predicted_in_their_units():
    Y = np.stack([ROWS[:, 0] * 100 + 500, ROWS[:, 1]], 1)
    predictions = Regressor(epochs=40, random_state=0).fit(ROWS, Y).predict(ROWS)
    assert predictions.shape == (80, 2)
    assert predictions.mean(0) == pytest.approx(Y.mean(0), abs=15)


def test_frames_with_texts_and_missing_values_and_sparse_matrices_are_read():
    frame = pd.DataFrame(ROWS, columns=list("abcd")).assign(s=np.where(CLASSES, "u", "v"))
    frame.loc[3, "a"] = np.nan
    estimator = Classifier(**QUICK).fit(frame, CLASSES)
    assert estimator.score(frame, CLASSES) > 0.95
    assert set(estimator.predict(frame.assign(s="new"))) <= {0, 1}
    few = sparse.csr_matrix(ROWS)
    assert Classifier(**QUICK).fit(few, CLASSES).score(few, CLASSES) > 0.8


# ---- several targets, one output, arrays of more axes -------------------------------------------------


def _few() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(150, 4))


def test_several_labels_a_row_are_learned_and_predicted():
    X = _few()
    Y = (X[:, :3] > 0).astype(int)
    found = Classifier(nn.Linear(4, 3), epochs=40, lr=0.05, random_state=0).fit(X, Y)
    assert found.predict(X).shape == found.predict_proba(X).shape == (150, 3)
    assert (found.predict(X) == Y).mean() > 0.95
    assert found.score(X, Y) == (found.predict(X) == Y).all(1).mean() > 0.85
    assert np.mean(cross_val_score(found, X, Y, cv=2)) > 0.6


@pytest.mark.parametrize("model", ["mlp", "tabm"])
def test_several_classes_a_row_are_learned_and_predicted(model):
    X = _few()
    Y = np.stack([np.where(X[:, 0] > 0, "up", "down"), X[:, 1:].argmax(1).astype(str)], 1)
    found = Classifier(model, epochs=20, random_state=0).fit(X, Y)
    assert [list(classes) for classes in found.classes_] == [["down", "up"], ["0", "1", "2"]]
    assert [part.shape for part in found.predict_proba(X)] == [(150, 2), (150, 3)]
    assert np.allclose(found.predict_proba(X)[1].sum(1), 1)
    assert found.score(X, Y) > 0.8


@pytest.mark.parametrize("ends", [(), (nn.Sigmoid(),), (nn.Flatten(0),)])
def test_a_module_with_one_output_learns_two_classes(ends):
    X = _few()
    y = np.where(X[:, 0] > 0, "yes", "no")
    found = Classifier(nn.Sequential(nn.Linear(4, 1), *ends), epochs=40, lr=0.05, random_state=0).fit(X, y)
    assert found.score(X, y) > 0.95
    assert np.allclose(found.predict_proba(X).sum(1), 1)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cells, self.head = nn.GRU(2, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.cells(x)[1][0])


def test_a_module_of_ones_own_gets_series_in_their_shape():
    X = np.random.default_rng(0).normal(size=(120, 5, 2))
    y = (X[:, -1, 0] > 0).astype(int)
    found = Classifier(Recurrent(), epochs=20, lr=0.02, random_state=0).fit(X, y)
    assert found.score(X, y) > 0.9
    assert np.mean(cross_val_score(found, X, y, cv=2)) > 0.8
    with pytest.raises(ValueError, match="expected"):
        found.predict(X[:, :, :1])
    with pytest.raises(ValueError, match="dim 3"):
        Classifier().fit(X, y)


def test_an_option_that_the_model_lacks_is_named():
    with pytest.raises(UnknownNameError, match=r"'hiden'\. Did you mean 'hidden'"):
        Classifier(options={"hiden": [8]}).fit(_few(), np.arange(150) % 2)
