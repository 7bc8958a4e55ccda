"""The estimators follow scikit-learn's conventions."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import check_estimator

from pellucid import Classifier, Regressor
from pellucid.errors import ModelError, UnknownNameError


@pytest.mark.parametrize(
    "estimator", [Classifier(epochs=10), Regressor(epochs=10)], ids=lambda e: type(e).__name__
)
def test_scikit_learn_checks_pass(estimator):
    results = check_estimator(estimator, on_skip=None)
    assert len(results) > 40
    assert {result["status"] for result in results} <= {"passed", "skipped"}


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
