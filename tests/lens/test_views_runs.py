"""Views of runs: at any kept step, on their own data, with their words, from the command line."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

import pellucid
from pellucid.cli.main import app
from pellucid.errors import PellucidError, RunError
from pellucid.record.checkpoints import step_of


def command(*arguments):
    return CliRunner().invoke(app, ["look", *map(str, arguments)])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def cnn(runs):
    settings = {"train.execution": "eager", "model.size": "tiny", "data.fraction": 0.1}
    return pellucid.fit("cnn", "digits", epochs=2, runs=runs, settings=settings, progress=False)


def test_a_kept_step_is_viewed_with_its_weights(cnn):
    checkpoints = cnn.checkpoints.all()
    assert len(checkpoints) > 1
    seen = {}
    for folder in checkpoints:
        found = cnn.view("kernels", step=step_of(folder))
        stored = load_file(next(folder.glob("model.safetensors")))
        assert np.array_equal(found.weights, stored[f"{found.layer}.weight"])
        seen[step_of(folder)] = found.weights.tobytes()
    assert len(set(seen.values())) == len(seen)
    with pytest.raises(RunError, match="no checkpoint of step 999"):
        cnn.view("kernels", step=999)


def test_views_of_a_run_are_on_its_validation_data(cnn):
    found = pellucid.views(cnn)
    assert [name for name, why in found.items() if not why] == [
        "embeddings",
        "feature-maps",
        "kernels",
        "loss-surface",
        "receptive-field",
    ]
    surface = cnn.view("loss-surface", points=3)
    assert surface.center == pytest.approx(cnn.look().loss, abs=1e-6)


def test_the_command_prints_views_and_json(cnn, runs):
    shown = command("last", "--runs", runs, "--view", "kernels", "--set", "layer=stages.1.0.conv")
    assert shown.output.startswith("stages.1.0.conv (Conv2d): ")
    made = json.loads(
        command("last", "--runs", runs, "--view", "feature-maps", "--set", "row=2", "--json").output
    )
    assert (made["view"], made["row"]) == ("feature-maps", 2)
    listed = command("last", "--runs", runs, "--views").output
    assert "kernels" in listed
    assert "not gates: it has no recurrent layer" in listed
    for arguments, said in (
        (["--view", "gates"], "does not suit"),
        (["--view", "kernel"], "Did you mean 'kernels'"),
        (["--layer", "stem"], "are of a view"),
    ):
        refused = command("last", "--runs", runs, *arguments)
        assert isinstance(refused.exception, PellucidError)
        assert said in str(refused.exception)


def test_a_text_has_its_words(tmp_path):
    rows = [
        f"{word} {other} film,{label}"
        for word, label in (("good", "yes"), ("bad", "no"))
        for other in "abcdefghij"
    ]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows]))
    settings = {"model.size": "tiny", "train.execution": "eager"}
    run = pellucid.fit(
        "transformer", str(tmp_path / "t.csv"), epochs=1, runs=tmp_path, settings=settings, progress=False
    )
    seen = run.view("attention")
    assert seen.error < 1e-6
    assert "film" in " ".join(seen.layers[0].keys)
    assert "film" in " ".join(run.view("embeddings").names)
    assert "film" in str(run.view("rollout"))


@pytest.mark.parametrize(
    ("model", "task", "fits"), [("dcgan", "generate", "samples"), ("vae", "compress", "traversal")]
)
def test_images_that_are_made(tmp_path, model, task, fits):
    settings = {"model.size": "tiny", "train.execution": "eager", "data.fraction": 0.05}
    run = pellucid.fit(model, "digits", task=task, epochs=1, runs=tmp_path, settings=settings, progress=False)
    found = [name for name, why in pellucid.views(run).items() if not why]
    assert {fits, "latent-plane", "interpolation", "loss-surface"} <= set(found)
    assert ("discriminator" in found, "receptive-field" in found) == (model == "dcgan", False)
    for name in found:
        json.dumps(run.view(name).to_dict(), allow_nan=False)
