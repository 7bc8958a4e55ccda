"""Vectors and neighbors of words, texts, pictures and rows, from a finished run; streamed texts."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import pellucid
from pellucid import vectors as package
from pellucid.errors import DataNotFoundError, PellucidError, UsageError
from pellucid.runner.load import load_trained

FAST = {"train.device": "cpu", "train.execution": "eager", "train.max_steps": 3, "train.batch_size": 8}


def fitted(tmp_path_factory, model, data, **settings):
    runs = tmp_path_factory.mktemp("runs")
    return pellucid.fit(model, data, runs=runs, progress=False, settings={**FAST, **settings})


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    """A GPT of words."""
    path = tmp_path_factory.mktemp("texts") / "lines.txt"
    path.write_text("The red fox runs.\nThe old dog sleeps.\nA cat runs home, and the dog sleeps.\n" * 30)
    return fitted(
        tmp_path_factory,
        "gpt",
        str(path),
        **{
            "objective.name": "language_model",
            "data.text.tokenizer": "words",
            "data.text.max_seq_len": 8,
            "model.size": "tiny",
        },
    )


@pytest.fixture(scope="module")
def flowers(tmp_path_factory):
    """An MLP of rows with two classes, and its inputs."""
    random = np.random.default_rng(0)
    X = random.normal(size=(80, 3)).astype(np.float32)
    return fitted(tmp_path_factory, "mlp", (X, np.where(X[:, 0] > 0, "up", "down"))), X


@pytest.fixture(scope="module")
def coder(tmp_path_factory):
    """An autoencoder of pictures, and these."""
    images = np.random.default_rng(0).random((40, 1, 8, 8)).astype(np.float32)
    data = pellucid.arrays(images, np.arange(40) % 2, task="classification")
    settings = {"objective.name": "reconstruction", "data.normalize": False, "model.options.latent_dim": 3}
    return fitted(tmp_path_factory, "autoencoder", data, **settings), images


def test_vectors_of_texts_are_the_mean_hidden_state(writer):
    made = writer.embed(["the red fox", "the dog sleeps . the dog", "cat"])
    model, encoded = (load := load_trained(writer)).model, load.preprocess.encoded
    for text, vector in zip(["the red fox", "the dog sleeps . the dog", "cat"], made.vectors, strict=True):
        ids = torch.from_numpy(encoded.read([text]).ids.astype(np.int64))[None]
        with torch.no_grad():
            mean = model.eval().hidden(ids)[0].mean(0).numpy()
        assert vector == pytest.approx(mean, abs=1e-5)
    assert [row["text"] for row in made.rows()] == ["the red fox", "the dog sleeps . the dog", "cat"]


def test_vectors_of_rows_are_what_goes_into_the_last_layer(flowers):
    run, X = flowers
    made = run.embed(X[:5])
    last = [m for m in load_trained(run).model.modules() if isinstance(m, torch.nn.Linear)][-1]
    logits = made.vectors @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    probs = torch.from_numpy(logits).softmax(1).numpy()
    assert probs == pytest.approx(run.predict(X[:5]).outputs, abs=1e-4)


def test_vectors_of_an_autoencoder_are_its_latents(coder):
    run, images = coder
    made = run.embed(images[:4]).vectors
    trained = load_trained(run)
    inputs = trained.preprocess.inputs(trained.preprocess.table_from(images[:4]))
    with torch.no_grad():
        codes = trained.model.eval().encode(inputs)
    assert made == pytest.approx(codes.numpy(), abs=1e-5)
    assert made.shape == (4, 3)


def test_vectors_are_written_with_names(flowers, tmp_path):
    run, X = flowers
    made = run.embed(X[:3])
    table = pq.read_table(made.save(tmp_path / "vectors.parquet"))
    assert table["row"].to_pylist() == [1, 2, 3]
    assert np.array(table["vector"].to_pylist()) == pytest.approx(made.vectors)
    with pytest.raises(UsageError, match=r"\.parquet"):
        made.save(tmp_path / "vectors.txt")


def test_the_nearest_row_is_the_row_itself(flowers):
    run, X = flowers
    (row,) = run.neighbors(X[7:8], among=X, k=3).rows()
    assert row["neighbors"][0]["row"] == 8
    similar = [each["similarity"] for each in row["neighbors"]]
    assert similar[0] == pytest.approx(1, abs=1e-5)
    assert similar == sorted(similar, reverse=True)
    (row,) = run.neighbors(X[:1]).rows()  # among the training rows
    assert len(row["neighbors"]) == 5
    named = [set(each.values()) & {"up", "down"} for each in row["neighbors"]]
    assert all(len(classes) == 1 for classes in named)


def test_a_word_has_words_as_neighbors_and_a_text_has_texts(writer):
    (row,) = writer.neighbors("dog", k=4).rows()
    assert row["word"] == "dog"
    words = [each["word"] for each in row["neighbors"]]
    assert len(words) == 4
    assert not {"dog", "[UNK]", "[PAD]", "[EOS]", "[MASK]"} & set(words)
    (row,) = writer.neighbors("the dog sleeps", among=["a cat runs", "the dog sleeps"], k=1).rows()
    assert row["neighbors"][0]["text"] == "the dog sleeps"


@pytest.mark.parametrize("k", [0, True, 2.5, "a"])
def test_neighbors_refuse_wrong_numbers(flowers, k):
    with pytest.raises(UsageError, match="k: expected a whole number of 1 or more"):
        flowers[0].neighbors(flowers[1][:1], k=k)


def test_neighbors_say_what_is_missing(writer, flowers):
    with pytest.raises(UsageError, match="is not one word of the vocabulary"):
        writer.neighbors("zebra", among=package.WORDS)
    with pytest.raises(UsageError, match="reads no texts"):
        flowers[0].neighbors(flowers[1][:1], among="words")
    with pytest.raises((DataNotFoundError, PellucidError)):
        flowers[0].embed("missing.csv")


def test_a_run_streams_what_it_predicts(writer, flowers):
    how = {"max_new_tokens": 20, "seed": 4}
    streamed = list(writer.stream("The", **how))
    assert len(streamed) > 5
    assert "".join(streamed) == writer.predict("The", **how).rows()[0]["prediction"]
    with pytest.raises(UsageError, match="does not write a text token by token"):
        list(flowers[0].stream("The"))
    with pytest.raises(UsageError, match="top_k: expected"):
        writer.stream("The", top_k=0)
