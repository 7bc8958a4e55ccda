"""The commands, as a user types them: what they print, write and return."""

import json
from pathlib import Path

import pytest


def test_training_prints_one_json_object_and_nothing_else(trained, flowers):
    assert {"run", "metrics", "seconds", "target", "target_met"} <= set(trained)
    assert trained["metrics"]["test/accuracy"] > 0.7  # 15 rows
    assert {"test/loss", "val/accuracy", "val/loss"} <= set(trained["metrics"])
    assert 0 < trained["seconds"]["training"] <= trained["seconds"]["total"]
    folder = flowers / trained["run"]
    for name in (
        "run.json",
        "config.yaml",
        "run.sqlite",
        "report.html",
        "preprocess.json",
        "evaluation/test.json",
    ):
        assert (folder / name).is_file(), name


def test_without_json_the_result_is_text(pellucid):
    done = pellucid("train", "iris.csv", "--epochs", "3")
    assert done.code == 0
    for words in ("train/loss", "linear model", "guessing", "Report: ", "Next: "):
        assert words in done.out
    assert "Traceback" not in done.err


def test_a_written_config_repeats_the_training_run(pellucid, trained, flowers):
    again = pellucid("train", f"{trained['run']}/config.yaml", "--json").json
    assert again["metrics"] == trained["metrics"]
    assert again["run"] != trained["run"]


def test_another_seed_gives_another_result(pellucid, trained):
    other = pellucid("train", f"{trained['run']}/config.yaml", "--seed", "5", "--json").json
    assert other["metrics"]["test/loss"] != trained["metrics"]["test/loss"]


def test_inspect_writes_a_config_that_trains_unchanged(pellucid, flowers):
    seen = pellucid("inspect", "iris.csv", "--out", "suggested.yaml")
    assert seen.code == 0
    for words in ("train 120", "species", "setosa", "suggested.yaml"):
        assert words in seen.out
    assert pellucid("train", "suggested.yaml", "--epochs", "2", "--json").json["status"] == "finished"


def test_evaluate_measures_the_same_as_training(pellucid, trained):
    found = pellucid("evaluate", trained["run"], "--json").json
    assert found["metrics"]["test/accuracy"] == pytest.approx(trained["metrics"]["test/accuracy"])
    assert found["metrics"]["test/loss"] == pytest.approx(trained["metrics"]["test/loss"], rel=1e-4)


def test_predict_names_classes_with_confidence(pellucid, trained, flowers):
    lines = (flowers / "iris.csv").read_text().splitlines()
    (flowers / "new.csv").write_text("\n".join([lines[0], lines[1], lines[-1]]) + "\n")
    rows = pellucid("predict", trained["run"], "new.csv", "--json").json["predictions"]
    assert [row["prediction"] for row in rows] == ["setosa", "virginica"]
    assert all(0 < row["confidence"] <= 1 and sum(row["probs"].values()) == pytest.approx(1) for row in rows)


def test_predict_works_without_the_target_column(pellucid, trained, flowers):
    (flowers / "bare.csv").write_text(
        "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)\n5.1,3.5,1.4,0.2\n"
    )
    done = pellucid("predict", trained["run"], "bare.csv")
    assert "setosa" in done.out, done.err


def test_runs_are_listed_shown_compared_and_queried(pellucid, trained):
    name = Path(trained["run"]).name
    assert name in pellucid("runs", "ls").out
    assert any(run["run"].endswith(name) for run in pellucid("runs", "ls", "--json").json)
    assert "parameters" in pellucid("runs", "show", name).out
    assert pellucid("runs", "show", name, "--json").json["id"] == name
    other = Path(pellucid("train", f"{trained['run']}/config.yaml", "--seed", "9", "--json").json["run"]).name
    compared = pellucid("runs", "compare", name, other, "--json").json
    assert compared["settings"]["train.seed"] == [0, 9]
    rows = pellucid(
        "runs", "query", name, "SELECT COUNT(*) AS n FROM metrics WHERE key = 'val/loss'", "--json"
    ).json
    assert rows == [{"n": 15}]


def test_a_removed_run_is_restored(pellucid, trained):
    name = Path(pellucid("train", "iris.csv", "--epochs", "1", "--json").json["run"]).name
    assert pellucid("runs", "rm", name).code == 0
    assert name not in pellucid("runs", "ls").out
    assert pellucid("runs", "restore", name).code == 0
    assert name in pellucid("runs", "ls").out
    assert pellucid("runs", "rm", name, "--json").json["run"] == name
    assert pellucid("runs", "restore", name, "--json").json["run"].endswith(name)


def test_names_from_users_are_printed_as_they_are(pellucid, flowers):
    lines = ["x,[bold]class[/bold]"] + [f"{row / 10},{'[red]' if row % 2 else '[/red]'}" for row in range(40)]
    (flowers / "[red].csv").write_text("\n".join(lines) + "\n")
    done = pellucid(
        "train", "[red].csv", "--target", "[bold]class[/bold]", "--epochs", "1", "--runs", "marked"
    )
    assert done.code == 0, done.err
    assert "data    [red].csv" in done.out
    assert "[red]" in pellucid("runs", "show", "last", "--runs", "marked").out
    rows = pellucid("predict", next((flowers / "marked").iterdir()), "[red].csv").out
    assert "[red]" in rows or "[/red]" in rows


@pytest.mark.parametrize(
    "words",
    [
        ("runs", "ls"),
        ("runs", "show"),
        ("recipes",),
        ("report",),
        ("evaluate",),
        ("predict",),
        ("doctor",),
        ("inspect",),
        ("lr-find",),
        ("profile",),
        ("runs", "compare"),
        ("runs", "query"),
        ("run",),
        ("train",),
    ],
)
def test_every_command_has_json(pellucid, words):
    help_text = pellucid(*words, "--help").out
    assert "--json" in help_text
    assert "..." not in help_text.replace("INPUT}...", "").replace("INPUT...", "")  # several inputs


def test_a_report_can_be_written_again(pellucid, trained, flowers):
    page = flowers / trained["run"] / "report.html"
    page.unlink()
    assert pellucid("report", trained["run"]).code == 0
    assert page.is_file()
    view = pellucid("report", trained["run"], "--json").json
    assert trained["run"].endswith(view["run"]["id"])
    assert "learning" in [section["id"] for section in view["sections"]]
    assert "elsewhere.html" in pellucid("report", trained["run"], "--out", "elsewhere.html").out
    assert (flowers / "elsewhere.html").read_text() == page.read_text()


def test_reading_does_not_change_the_run_folder(pellucid, trained, flowers):
    folder = flowers / trained["run"]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    for words in (
        ("runs", "ls"),
        ("runs", "show", trained["run"]),
        ("runs", "query", trained["run"], "SELECT * FROM findings"),
        ("runs", "compare", trained["run"], trained["run"]),
        ("report", trained["run"], "--out", "copy.html"),
        ("evaluate", trained["run"]),
        ("predict", trained["run"], "iris.csv"),
    ):
        done = pellucid(*words)
        assert done.code == 0, done.err
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_recipes_are_listed_with_their_targets(pellucid, flowers):
    listed = {recipe["name"]: recipe for recipe in pellucid("recipes", "--json").json}
    assert listed["digits"]["target"]["value"] == 0.995
    assert listed["digits-mlp"]["target"]["value"] == 0.982
    assert listed["digits"]["published"]["value"] == 0.992
    assert listed["denoise"]["published"] is None
    assert "PSNR" in listed["denoise"]["published_note"]
    assert pellucid("recipes", "copy", "digits").code == 0
    assert "source: digits" in (flowers / "digits.yaml").read_text()
    assert pellucid("recipes", "copy", "digits").code == 2  # nothing is overwritten


def test_resuming_a_finished_run_trains_nothing(pellucid, trained):
    again = pellucid("train", f"{trained['run']}/config.yaml", "--resume", trained["run"], "--json").json
    assert again["run"] == trained["run"]
    assert again["metrics"] == trained["metrics"]


def test_resuming_with_other_settings_says_what_differs(pellucid, trained):
    done = pellucid(
        "train", f"{trained['run']}/config.yaml", "--resume", trained["run"], "--set", "optimizer.lr=0.5"
    )
    assert done.code == 5
    assert "optimizer.lr was" in done.err
    assert "--allow-changes" in done.err


def test_resuming_with_other_data_says_what_differs(pellucid, trained, flowers, tmp_path):
    changed = tmp_path / "iris.csv"
    changed.write_text((flowers / "iris.csv").read_text().replace("5.1,3.5,1.4", "5.1,3.5,1.5"))
    config = (flowers / trained["run"] / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(config.replace(str(flowers.resolve() / "iris.csv"), str(changed)))
    done = pellucid("train", tmp_path / "config.yaml", "--resume", trained["run"])
    assert done.code == 5
    assert "split was" in done.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("run", "digts"), 2, "Did you mean 'digits'"),
        (("train", "nowhere.csv"), 3, "nowhere.csv"),
        (("train", "iris.csv", "--target", "specis"), 2, "Did you mean 'species'"),
        (("train", "iris.csv", "--set", "train.epoch=3"), 2, "Did you mean 'train.epochs'"),
        (("train", "iris.csv", "--set", "model.name=mpl"), 2, "Did you mean 'mlp'"),
        (("train", "iris.csv", "--set", "model.options={hiden: [3]}"), 2, "hidden"),
        (("train", "iris.csv", "--set", "optimizer.name=adan"), 2, "adam"),
        (("train", "iris.csv", "--set", "objective.loss=croos_entropy"), 2, "cross_entropy"),
        (("train", "iris.csv", "--set", "model={name: cnn}"), 2, "image"),
        (("train", "iris.csv", "--set", "objective.name=regression"), 3, "classify"),
        (("runs", "show", "nothing"), 2, "no run"),
        (("trian", "iris.csv"), 2, "Did you mean 'train'"),
        (("recipes", "cpoy"), 2, "Did you mean 'copy'"),
        (("recipes", "copy", "digts"), 2, "Did you mean 'digits'"),
        (("train", "iris.csv", "--epcohs", "3"), 2, "--epochs"),
        (("predict", "nothing", "iris.csv"), 2, "no run"),
        (("train", "iris.csv", "--resume", "last", "--runs", "empty"), 5, "no run"),
    ],
)
def test_errors_have_their_message_and_exit_code(pellucid, words, code, said):
    done = pellucid(*words)
    assert said in done.err
    assert done.code == code
    assert done.out == "" or "Traceback" not in done.out
    assert "Traceback" not in done.err


def test_flag_values_are_taken_literally(pellucid, flowers):
    rows = [f"{row / 10},{'ab'[row % 2]}\n" for row in range(20)]
    (flowers / "numbered.csv").write_text("0,1\n" + "".join(rows))
    seen = pellucid("inspect", "numbered.csv", "--target", "1", "--out", "numbered.yaml")
    assert seen.code == 0, seen.err
    assert "predicts '1' (classification)" in seen.out


def test_a_wrong_call_leaves_nothing_behind(pellucid, tmp_path):
    pellucid("train", "iris.csv", "--set", "model.name=mpl", "--runs", tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_predicting_something_of_another_shape_is_refused(pellucid, trained, flowers):
    (flowers / "other.csv").write_text("a,b\n1,2\n")
    done = pellucid("predict", trained["run"], "other.csv")
    assert done.code in (3, 4)
    assert "sepal length" in done.err


def test_a_damaged_best_checkpoint_is_skipped_and_noted(pellucid, flowers):
    run = flowers / pellucid("train", "iris.csv", "--epochs", "6", "--json").json["run"]
    best = run / "checkpoints" / (run / "checkpoints" / "best").read_text().strip()
    with (best / "model.safetensors").open("r+b") as file:
        file.truncate(40)
    found = pellucid("evaluate", run, "--json")
    if len(list((run / "checkpoints").glob("step-*"))) > 1:
        assert found.code == 0
        assert "truncated or altered" in " ".join(json.loads((run / "run.json").read_text())["notes"])
    else:
        assert found.code == 5


def test_doctor_finds_no_problems(pellucid):
    done = pellucid("doctor", "--json")
    assert done.code == 0, done.err
    names = [row["check"] for row in done.json]
    assert names == ["python", "torch", "device", "data", "disk", "training", "families", "compiling"]


def test_lr_find_suggests_a_rate_and_says_why(pellucid):
    found = pellucid("lr-find", "iris.csv", "--json").json
    assert 1e-4 < found["lr"] < 0.2
    assert "the loss fell" in found["reason"]
    assert f"optimizer.lr={found['lr']:.2g}" in pellucid("lr-find", "iris.csv").out


def test_profile_says_where_the_time_goes(pellucid, trained):
    said = pellucid("profile", Path(trained["run"]).name).out
    assert "ms per update of 32 rows" in said
    assert "preparing batches" in said
    assert "Try: " in said
    assert (
        "Try: --set train.execution=" in pellucid("profile", "iris.csv", "--set", "train.execution=bf16").out
    )
    found = pellucid("profile", "iris.csv", "--json").json
    assert found["seconds"] == pytest.approx(sum(found["profile"]["parts"].values()))
    assert pellucid("profile", "nowhere.csv").code == 3
