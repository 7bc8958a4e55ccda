"""Reports, commands, pages and docstrings say things as an engineer would."""

import pytest

from tests.docs import phrases


def test_no_phrase_of_the_list_comes_back():
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
    ],
)
def test_a_phrase_that_was_there_is_found(text):
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
    ],
)
def test_plain_words_are_not(text):
    assert not list(phrases.matches(phrases.ROOT / "README.md", 1, text))
