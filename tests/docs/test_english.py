"""Reports, commands, pages and docstrings say things as an engineer would."""

import pytest

from tests.docs import phrases


def test_no_listed_phrase_is_used():
    assert not list(phrases.found()), "run: python tests/docs/phrases.py FOLDER"


@pytest.mark.parametrize(
    "text",
    [
        "Whatever a person wants a prediction for, as a table",
        "each token is to be told from those before it",
        "for which torch has slow ways alone",
        "The rows of all splits on end",
        "Go on with: --resume ID",
        "Models others have trained come through load_model",
        "Numbers stand beside others",
        "Words it takes for alike",
        "What it gives back",
        "Memory that a training keeps while it lasts",
        "with three passes it learns by heart which rare words stand together",
        "a two-way LSTM, its rates from the output down",
        "what is wrong is named by a phase that is handed over",
    ],
)
def test_earlier_phrases_are_found(text):
    assert list(phrases.matches(phrases.ROOT / "README.md", 1, text))


@pytest.mark.parametrize(
    "text",
    [
        "Keep freed memory in the process during training.",
        "Number of classes to condition on, or None.",
        "Each token is predicted from the previous ones.",
        "All splits, concatenated.",
        "Resume with: --resume ID",
        "Nearest words, reconstructions and pretrained models.",
        "a training run, a training step and a training split",
        "on the one hand in memory, memorized and passed to a bidirectional LSTM",
    ],
)
def test_plain_sentences_are_accepted(text):
    assert not list(phrases.matches(phrases.ROOT / "README.md", 1, text))
