"""The global generators of random, NumPy and torch belong to the user: nothing may change them."""

import contextlib
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import pellucid
from pellucid import Classifier, Regressor

X = np.random.default_rng(0).normal(size=(60, 3)).astype("float32")
Y = np.arange(60) % 2


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def seeded() -> None:
    random.seed(7)
    np.random.seed(7)
    torch.manual_seed(7)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return pellucid.fit("mlp", pellucid.arrays(X, Y), epochs=1, progress=False, runs=folder)


@pytest.mark.parametrize(
    "use",
    [
        lambda run: pellucid.fit(
            "mlp", pellucid.arrays(X, Y), epochs=1, progress=False, runs=run.path.parent
        ),
        lambda run: Classifier(epochs=1, random_state=0).fit(X, Y),
        lambda run: Regressor(epochs=1, random_state=0).fit(X, Y),
        lambda run: run.predict(X),
        lambda run: run.evaluate("test"),
        lambda run: pellucid.fit("no such model", pellucid.arrays(X, Y), runs=run.path.parent),
    ],
    ids=["fit", "Classifier", "Regressor", "predict", "evaluate", "an error"],
)
def test_the_generators_are_left_as_they_were(use, run):
    seeded()
    expected = draws()
    seeded()
    with contextlib.suppress(pellucid.PellucidError):
        use(run)
    assert draws() == expected


def test_threads_with_one_seed_give_the_result_of_one_thread():
    def score(_: int) -> float:
        model = Classifier(epochs=3, random_state=0, options={"dropout": 0.3}).fit(X, Y)
        return float(model.predict_proba(X)[0, 0])

    alone = score(0)
    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(score, range(4))) == {alone}


def test_a_thread_may_predict_while_another_trains(run):
    found = []
    thread = threading.Thread(target=lambda: found.append(run.predict(X).labels))

    class Start(pellucid.Callback):
        def on_epoch_start(self, trainer):
            if not thread.is_alive() and not found:
                thread.start()

    pellucid.fit(
        "mlp", pellucid.arrays(X, Y), epochs=1, progress=False, runs=run.path.parent, callbacks=[Start()]
    )
    thread.join(timeout=60)
    assert len(found[0]) == len(X)
