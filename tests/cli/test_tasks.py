"""`--task`: what to learn from data, and recipes on other data than their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pellucid.cli.main import app
from pellucid.cli.other_data import for_other_data
from pellucid.config import Config
from pellucid.recipes import find

TEXT = "\n".join(f"Line {number}: the cat sat on mat {number % 7}, and looked." for number in range(80))


@pytest.fixture
def text(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.txt").write_text(TEXT)
    return tmp_path / "own.txt"


def said(*words: object) -> str:
    done = CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_a_text_trains_without_a_config(text):
    quick = ("--set", "train.max_steps=2", "--set", "model.size=tiny")
    done = said("train", text, "--task", "masked", *quick)
    assert "to fill in hidden words" in done
    assert "Also possible: --task language-model" in done


def test_inspect_lists_tasks_and_writes_the_config_of_one(text):
    assert "--task language-model  to write on" in said("inspect", text)
    for arguments in (["--task", "masked"], ["--set", "objective.name=masked_language_model"]):
        said("inspect", text, *arguments)
        assert Config.read("config.yaml").objective.name == "masked_language_model"
    found = json.loads(said("inspect", text, "--json"))
    assert [offer["name"] for offer in found["offers"]][:2] == ["language-model", "masked"]


def test_a_recipe_on_other_data_leaves_out_what_belonged_to_its_own(text):
    recipe = find("image-generation")
    changed = recipe.patch({"data.source": str(text)})
    config, note = for_other_data(recipe, changed, ["data.source=x"])
    assert (config.target, config.published_note) == (None, "")
    assert config.objective.options["evaluator"] is None
    assert "digits" not in config.summary
    assert "objective.options.evaluator" in (note or "")
    config, _ = for_other_data(recipe, changed, ["objective.options.evaluator=mine"])
    assert config.objective.options["evaluator"] == "digits"
    assert for_other_data(recipe, recipe, None) == (recipe, None)


def test_the_columns_of_a_recipe_are_left_out(text):
    recipe = find("translate")
    config, note = for_other_data(recipe, recipe.patch({"data.source": str(text)}), None)
    assert (config.data.columns, config.data.target) == ({}, None)
    assert "data.columns" in (note or "")


def test_a_study_of_its_own_classes_is_one_run_on_other_data():
    recipe = find("anomaly")
    config, note = for_other_data(recipe, recipe.patch({"data.source": "parts"}), ["data.source=parts"])
    assert isinstance(config, Config)
    assert (config.name, config.data.source, config.target) == ("anomaly", "parts", None)
    assert "normal" not in config.objective.options
    assert "This is one run" in note
    asked = ["data.source=parts", "objective.options.normal=ok"]
    config, _ = for_other_data(
        recipe, recipe.patch({"data.source": "parts", "objective.options.normal": "ok"}), asked
    )
    assert config.objective.options["normal"] == "ok"
