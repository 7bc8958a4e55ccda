"""What a finished run of texts is used for on the command line: neighbors, measuring, the last one."""

import json
import shutil

import pytest

import pellucid as package

FAST = {"train.device": "cpu", "train.execution": "eager", "train.max_steps": 5}


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    """A folder with a run on texts of two classes, whose labels are written with decimals."""
    folder = tmp_path_factory.mktemp("reviews")
    rows = [
        (f"the film {i} was {'dull and slow' if i % 2 else 'great fun to see'}", f"{i % 2}.0")
        for i in range(40)
    ]
    (folder / "r.csv").write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    package.fit("mlp", folder / "r.csv", runs=folder / "runs", progress=False, settings=FAST)
    return folder


@pytest.fixture
def command(reviews, capsys, monkeypatch):
    from pellucid.cli.main import main

    monkeypatch.chdir(reviews)

    def call(*words):
        monkeypatch.setattr("sys.argv", ["pellucid", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert not ended.value.code, said.err
        return said

    return call


def test_several_queries_show_the_texts_of_their_neighbors(command):
    shown = command("neighbors", "last", "a great film", "it was dull", "--k", "2").out.splitlines()
    assert sum("among the train rows" in line for line in shown) == 2
    assert all(
        "the film" in line and line.rstrip().endswith((" 0", " 1", "0.0", "1.0")) for line in shown[1:3]
    )


def test_classes_are_shown_as_the_file_has_them(command):
    (found,) = json.loads(command("predict", "last", "it was dull", "--json").out)["predictions"]
    assert set(found["probs"]) == {"0.0", "1.0"}
    assert str(found["prediction"]) in found["probs"]
    assert command("predict", "last", "it was dull").out.split()[1] == str(found["prediction"])


def test_evaluate_writes_every_row_with_its_target(command, reviews):
    command("evaluate", "last", "--data", "r.csv", "--out", "rows.jsonl")
    rows = [json.loads(line) for line in (reviews / "rows.jsonl").read_text().splitlines()]
    assert [row["row"] for row in rows] == list(range(1, 41))
    assert [row["target"] for row in rows[:4]] == ["0.0", "1.0", "0.0", "1.0"]


def test_new_data_can_be_written_in_another_way(command, reviews):
    (reviews / "semicolons.csv").write_text((reviews / "r.csv").read_text().replace(",", ";"), "utf-16")
    asked = ("--set", "data.csv.delimiter=;", "--set", "data.encoding=utf-16", "--json")
    measured = json.loads(command("evaluate", "last", "--data", "semicolons.csv", *asked).out)["metrics"]
    assert measured == json.loads(command("evaluate", "last", "--data", "r.csv", "--json").out)["metrics"]


def test_last_is_the_last_run_that_was_trained(command, reviews):
    run = next((reviews / "runs").iterdir())
    failed = shutil.copytree(run, run.with_name("29991231-000000-r"))
    try:
        shutil.rmtree(failed / "checkpoints")
        facts = json.loads((failed / "run.json").read_text())
        started = {"id": failed.name, "status": "failed", "started": "2999-12-31T00:00:00.000+00:00"}
        (failed / "run.json").write_text(json.dumps({**facts, **started}))
        said = command("predict", "last", "it was dull")
        assert (
            f"the last run with weights is {run.name}; {failed.name} (failed) has none"
            in said.err.replace("\n", " ")
        )
    finally:
        shutil.rmtree(failed)


def test_the_total_of_a_resumed_run_holds_its_first_part(tmp_path):
    data = tmp_path / "r.csv"
    data.write_text(
        "text,label\n" + "".join(f"film number {i} is {'ab'[i % 2]},{'xy'[i % 2]}\n" for i in range(40))
    )
    run = package.fit(
        "mlp", data, epochs=1, runs=tmp_path / "runs", progress=False, settings={"train.device": "cpu"}
    )
    path = run.path / "run.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, "seconds": {**facts["seconds"], "training": 90.0, "total": 100.0}}))
    more = package.fit(
        "mlp",
        data,
        epochs=2,
        runs=tmp_path / "runs",
        progress=False,
        resume=run.id,
        settings={"train.device": "cpu"},
    )
    seconds = json.loads((more.path / "run.json").read_text())["seconds"]
    assert seconds["total"] > 100
    assert seconds["total"] > seconds["training"] > 90
