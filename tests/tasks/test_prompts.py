"""Prompts as people write them: in a column of another name, empty, with letters that training had not."""

import pytest

import pellucid
from pellucid.cli.other_data import for_other_data
from pellucid.cli.predict import is_text
from pellucid.errors import DataNotFoundError, ModelError
from pellucid.recipes import find

FAST = {"train.device": "cpu", "train.execution": "eager", "train.max_steps": 2, "train.batch_size": 4}
LETTERS = {"data.text.tokenizer": "characters", "data.text.max_seq_len": 16, "model.size": "tiny"}


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("writer")
    (folder / "a.txt").write_text("the red fox runs home.\n" * 60)
    return pellucid.fit(
        "gpt",
        folder / "a.txt",
        objective="language_model",
        runs=folder / "runs",
        progress=False,
        settings={**FAST, **LETTERS},
    )


def test_a_usual_or_the_only_column_holds_the_prompts(writer, tmp_path):
    (tmp_path / "p.jsonl").write_text('{"id": 4, "prompt": "the red"}\n{"id": 9, "prompt": "fox"}\n')
    (tmp_path / "q.csv").write_text("beginning\nthe red\nfox\n")
    for name, column in (("p.jsonl", "prompt"), ("q.csv", "beginning")):
        found = writer.predict(tmp_path / name, max_new_tokens=3, temperature=0)
        assert found.notes == (f"read from the column {column!r}, since there is none called 'text'",)
        assert [row["prompt"] for row in found.rows()] == ["the red", "fox"]


def test_letters_that_training_had_not_are_said(writer):
    assert writer.predict(["the fox", "日本", "the ñ"], max_new_tokens=2).notes == (
        "2 of 3 texts have characters that training had not, read as [UNK]; of 1 it had none at all",
    )
    assert writer.predict("the fox", max_new_tokens=2).notes == ()


def test_an_empty_prompt_is_a_text(writer):
    assert is_text("")
    assert len(writer.predict("", max_new_tokens=4).rows()) == 1


def test_a_run_is_not_continued_in_another_alphabet(writer, tmp_path):
    (tmp_path / "b.txt").write_text("μηνιν αειδε θεα πηληιαδεω\n" * 40)
    settings = {**FAST, **LETTERS, "model.weights": str(writer.path)}
    with pytest.raises(ModelError, match="of the tokens of the new texts are unknown to run"):
        pellucid.fit("gpt", tmp_path / "b.txt", objective="language_model", progress=False, settings=settings)


def test_one_text_is_not_enough_for_two_columns(tmp_path):
    rows = [f"A title about {i},{i} words that are in the body,{'ab'[i % 2]}" for i in range(40)]
    (tmp_path / "t.csv").write_text("title,body,label\n" + "\n".join(rows))
    run = pellucid.fit("mlp", tmp_path / "t.csv", runs=tmp_path / "runs", progress=False, settings=FAST)
    with pytest.raises(DataNotFoundError, match=r"expected the columns 'title' \(text\), 'body' \(text\)"):
        run.predict("A great film")


def test_the_recipe_for_translation_takes_other_pairs(tmp_path):
    pairs = [f"Der Mann {i} rennt nach Hause,The man {i} runs back home" for i in range(40)]
    (tmp_path / "p.csv").write_text("de,en\n" + "\n".join(pairs))
    recipe = find("translate")
    made, _ = for_other_data(recipe, recipe.patch({"data.source": str(tmp_path / "p.csv")}), None)
    assert (made.data.inputs, made.data.target) == (["de"], "en")
    assert made.data.columns == {"de": "text", "en": "text"}
