"""A finished run as the start of another."""

from __future__ import annotations

import json
import random
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file
from torch import nn
from typer.testing import CliRunner

from pellucid import inference, recipes, runner
from pellucid.cli.main import app
from pellucid.config import Config
from pellucid.data.sources import toy
from pellucid.errors import ConfigError, ModelError, UnknownNameError
from pellucid.record import Run
from pellucid.record.run import list_runs
from pellucid.runner import components
from pellucid.runner.needs import needed_recipes
from pellucid.study import Study
from pellucid.train.callbacks import SignalHandler
from pellucid.train.checkpoint import begin_from
from pellucid.train.trainer import Trainer


def network(hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def test_shared_tensors_are_loaded_and_a_new_head_is_initialized(tmp_path: Path) -> None:
    first, second = network(8, 3), network(8, 5)
    save_file(first.state_dict(), tmp_path / "first.safetensors")
    head = second[2].weight.clone()
    said = begin_from(second, tmp_path / "first.safetensors")
    assert "2 of 4 tensors; anew: 2.weight; 2.bias" in said
    assert torch.equal(second[0].weight, first[0].weight)
    assert torch.equal(second[2].weight, head)


def test_weights_of_another_shape_are_refused_by_name(tmp_path: Path) -> None:
    save_file(network(8, 3).state_dict(), tmp_path / "first.safetensors")
    model = network(9, 3)
    before = model[0].weight.clone()
    with pytest.raises(ModelError, match=r"0\.weight is \(8, 4\), expected \(9, 4\)"):
        begin_from(model, tmp_path / "first.safetensors")
    assert torch.equal(model[0].weight, before)


def test_unrelated_weights_are_refused(tmp_path: Path) -> None:
    save_file({"other": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="none of its 4 tensors, but other"):
        begin_from(network(8, 3), tmp_path / "other.safetensors")


def test_a_run_starts_from_another(runs: Path) -> None:
    config = Config.parse(
        {
            "name": "moons",
            "model": {"name": "mlp", "size": "tiny"},
            "train": {"epochs": 3, "execution": "eager"},
        }
    )
    data = toy.moons(n=300, seed=0)
    first = runner.train(config, runs=runs, dataset=data)
    last = first.checkpoints.pointed("best")
    assert last is not None
    again = config.patch({"model.weights": first.id, "train.epochs": 1, "optimizer.lr": 1e-12})
    second = runner.train(again, runs=runs, dataset=data)
    assert any(note.startswith("Started from ") for note in second.facts["notes"])
    ended = second.checkpoints.pointed("last")
    assert ended is not None
    learned, kept = (load_file(folder / "model.safetensors") for folder in (last, ended))
    for name, tensor in learned.items():
        torch.testing.assert_close(kept[name], tensor, atol=1e-6, rtol=0)
    with pytest.raises(UnknownNameError, match="nowhere"):
        runner.train(config.patch({"model.weights": "nowhere"}), runs=runs, dataset=data)
    assert len(list(runs.iterdir())) == 2


# ---- a language model as the start of a classifier -------------------------------------------------

WORDS = {
    "good": ["fine", "bright", "lovely", "warm", "great"],
    "bad": ["dull", "weak", "poor", "cold", "awful"],
}


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of short reviews, for or against."""
    draw = random.Random(0)
    rows = []
    for number in range(160):
        label = ("good", "bad")[number % 2]
        said = ", ".join(draw.choice(WORDS[label]) for _ in range(draw.randint(2, 6)))
        rows.append(f'"Film {number} was {said} and long",{label}')
    path = tmp_path_factory.mktemp("texts") / "reviews.csv"
    path.write_text("\n".join(["review,label", *rows]))
    return path


def config(source: Path, name: str, model: dict[str, Any], **sections: Any) -> Config:
    train = {"epochs": 2, "batch_size": 16, "execution": "eager", "device": "cpu"}
    return Config.parse(
        {
            "name": name,
            "data": {"source": str(source), "text": {"max_seq_len": 12}},
            "model": {"size": "tiny", **model},
            "train": train,
            **sections,
        }
    )


def language_model(reviews: Path) -> Config:
    made = config(reviews, "pages", {"name": "lstm_lm"}, objective={"name": "language_model"})
    return made.patch({"data.text.vocab_size": 25})


def classifier(reviews: Path, **changes: Any) -> Config:
    model = {"name": "lstm", "options": {"bidirectional": False, "pooling": "concat"}, "weights": "pages"}
    return config(reviews, "verdicts", model).patch(changes)


@pytest.fixture(scope="module")
def written(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A language model trained on the reviews, the only run of its folder."""
    return runner.train(language_model(reviews), runs=tmp_path_factory.mktemp("pretrained"))


@pytest.fixture
def folder(written: Run, runs: Path) -> Path:
    """A folder of runs with a copy of the language model in it."""
    shutil.copytree(written.path, runs / written.id)
    return runs


def state(run: Run) -> dict[str, Any]:
    return json.loads((run.path / "preprocess.json").read_text())["inputs"]


def embedding(run: Run) -> torch.Tensor:
    folder = run.checkpoints.pointed("last")
    assert folder is not None
    return load_file(folder / "model.safetensors")["embedding.weight"]


def test_a_classifier_uses_the_tokenizer_of_its_language_model(
    reviews: Path, written: Run, folder: Path, tmp_path: Path
) -> None:
    others = tmp_path / "others.csv"  # of which another vocabulary would be learned
    others.write_text(reviews.read_text().replace("Film", "The second film"))
    frozen = classifier(others, **{"optimizer.lr": 1e-12, "data.text.max_seq_len": 8})
    run = runner.train(frozen, runs=folder)
    assert state(run)["tokenizer"] == state(written)["tokenizer"]
    assert (state(run)["max_seq_len"], state(written)["max_seq_len"]) == (8, 12)
    torch.testing.assert_close(embedding(run), embedding(written), atol=1e-6, rtol=0)
    choice = next(choice for choice in run.facts["choices"] if choice["what"] == "tokenizer")
    assert choice["value"] == str(folder / written.id)
    assert any(note.endswith(f"those of {folder / written.id}") for note in run.facts["dataset"]["notes"])
    assert any("anew: output.weight; output.bias" in note for note in run.facts["notes"])
    assert runner.find_lr(frozen, folder).lr > 0


class StopsAtStep3(SignalHandler):
    """Asks to stop in the middle, as Ctrl-C does."""

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.step == 3:
            trainer.interrupt("interrupted by the test")


def test_a_run_does_not_need_the_run_it_started_from(
    reviews: Path, written: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = classifier(reviews, **{"optimizer.lr": 1e-2, "train.epochs": 4})
    whole = runner.train(begun, runs=folder)
    monkeypatch.setattr(components, "SignalHandler", StopsAtStep3)
    stopped = runner.train(begun, runs=folder)
    monkeypatch.undo()
    shutil.rmtree(folder / written.id)
    resumed = runner.train(begun, runs=folder, resume=runner.Resume(stopped.id))
    assert resumed.status == "finished"
    assert torch.equal(embedding(resumed), embedding(whole))
    assert resumed.metrics == whole.metrics
    assert state(resumed) == state(whole)
    rows = inference.predict(resumed, ["It was great, lovely and warm", "It was dull and awful"]).rows()
    assert [row["prediction"] for row in rows] == ["good", "bad"]
    assert inference.evaluate(resumed).metrics["accuracy"] == resumed.metrics["test/accuracy"]
    with pytest.raises(UnknownNameError, match="named 'pages'"):
        runner.train(begun, runs=folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data.text.tokenizer": "characters"}, r"tokenizer is 'characters', but .* are words"),
        ({"data.text.vocab_size": 12}, r"vocab_size is 12, but .* are 20\."),
        ({"data.text.lowercase": False}, r"lowercase is False, but .* are lowercase"),
    ],
)
def test_another_vocabulary_is_refused(
    changes: dict[str, Any], said: str, reviews: Path, written: Run, folder: Path
) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        runner.train(classifier(reviews, **changes), runs=folder)
    assert f"settings={{'{next(iter(changes))}': " in str(refused.value)
    assert [path.name for path in folder.iterdir()] == [written.id]


def test_a_matching_vocabulary_can_be_requested(reviews: Path, folder: Path) -> None:
    agreeing = {"data.text.tokenizer": "words", "data.text.vocab_size": 20, "train.max_steps": 1}
    assert runner.train(classifier(reviews, **agreeing), runs=folder).status == "finished"


def test_a_name_means_its_newest_finished_run(reviews: Path, written: Run, folder: Path) -> None:
    newest = runner.train(language_model(reviews).patch({"train.seed": 1}), runs=folder)
    unfinished = shutil.copytree(written.path, folder / "29991231-000000-pages")
    facts = json.loads((unfinished / "run.json").read_text())
    (unfinished / "run.json").write_text(
        json.dumps({**facts, "id": unfinished.name, "status": "interrupted", "started": "2999"})
    )
    run = runner.train(classifier(reviews, **{"train.max_steps": 1, "optimizer.lr": 1e-12}), runs=folder)
    torch.testing.assert_close(embedding(run), embedding(newest), atol=1e-6, rtol=0)


@pytest.fixture
def pages(reviews: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe "pages", from which the classifier starts."""
    monkeypatch.setattr(recipes, "names", lambda: ["pages", "verdicts"])
    monkeypatch.setattr(recipes, "find", lambda name: language_model(reviews))


def test_training_trains_first_the_recipe_that_a_config_starts_from(
    reviews: Path, runs: Path, pages: None
) -> None:
    console = Console(record=True, quiet=False, width=200)
    config = classifier(reviews, **{"train.max_steps": 1})
    assert runner.train(config, runs=runs, console=console).name == "verdicts"
    assert "pages is what verdicts starts from, so it is trained first." in console.export_text()
    runner.train(config, runs=runs)
    assert sorted(run.name for run in list_runs(runs)) == [
        "pages",
        "verdicts",
        "verdicts",
    ]


def test_a_resumed_run_needs_no_weights_but_its_own(reviews: Path, runs: Path, pages: None) -> None:
    assert [recipe.name for recipe, _ in needed_recipes(classifier(reviews), runs, starts=True)] == ["pages"]
    assert list(needed_recipes(classifier(reviews), runs, starts=False)) == []


def test_an_interrupted_recipe_stops_the_run_that_needs_it(
    reviews: Path, runs: Path, pages: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(components, "SignalHandler", StopsAtOnce)
    stopped = runner.train(classifier(reviews), runs=runs)
    assert (stopped.name, stopped.status) == ("pages", "interrupted")
    study = Study(name="both", base=classifier(reviews), parts={"one": {}}, metric="test/accuracy")
    assert runner.train_study(study, runs=runs).name == "pages"
    assert {run.name for run in list_runs(runs)} == {"pages"}


def test_the_printed_commands_resume_the_recipe_and_repeat_what_needs_it(
    reviews: Path, runs: Path, pages: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "verdicts.yaml"
    config.write_text(classifier(reviews, **{"train.max_steps": 1}).to_yaml())
    monkeypatch.setattr(sys, "argv", ["pellucid", "train", str(config), "--runs", str(runs)])
    monkeypatch.setattr(components, "SignalHandler", StopsAtOnce)
    stopped = CliRunner().invoke(app, [*sys.argv[1:], "--json"])
    monkeypatch.setattr(components, "SignalHandler", SignalHandler)
    assert stopped.exit_code == 130
    found = json.loads(stopped.stdout)
    (run,) = list_runs(runs)
    assert found["run"] == str(run.path)
    for command in found["resume"]:
        done = CliRunner().invoke(app, shlex.split(command)[1:])
        assert done.exit_code == 0, done.output
    assert [run.name for run in list_runs(runs)] == ["pages", "verdicts"]


@pytest.mark.parametrize("command", ["lr-find", "profile"])
def test_a_command_that_only_tries_trains_first_what_the_model_starts_from(
    reviews: Path, runs: Path, pages: None, tmp_path: Path, command: str
) -> None:
    config = tmp_path / "verdicts.yaml"
    config.write_text(classifier(reviews, **{"train.execution": "eager"}).to_yaml())
    done = CliRunner().invoke(app, [command, str(config), "--runs", str(runs), "--json"])
    assert done.exit_code == 0, (done.output, done.exception)
    assert json.loads(done.stdout)
    assert [(run.name, run.status) for run in list_runs(runs)] == [("pages", "finished")]


class StopsAtOnce(SignalHandler):
    """Stops after the first update, as Ctrl-C does."""

    def on_step_end(self, trainer: Trainer) -> None:
        trainer.interrupt("interrupted by the test")
