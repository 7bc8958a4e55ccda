"""The run folder: it appears complete, has one writer, and can be found again."""

import json

import pytest

from pellucid.errors import RunError, StorageError, UnknownNameError
from pellucid.record import Run
from pellucid.record.run import SCHEMA, find_run, list_runs, restore, trash


def test_a_new_run_is_complete(runs):
    run = Run.create(runs, "digits", "name: digits\n", seed=3)
    assert run.config == "name: digits\n"
    assert json.loads((run.path / "run.json").read_text())["seed"] == 3
    assert [path.name for path in runs.iterdir()] == [run.id]


def test_two_runs_of_the_same_second_have_two_folders(runs):
    assert Run.create(runs, "digits", "").path != Run.create(runs, "digits", "").path


def test_facts_survive_reopening(runs):
    run = Run.create(runs, "digits", "")
    run.update(metrics={"test/accuracy": 0.5})
    run.choose("path", "eager", "measured")
    run.choose("path", "bf16", "measured again")
    run.note("said once")
    run.note("said once")
    again = Run(run.path)
    assert again.metrics == {"test/accuracy": 0.5}
    assert again.facts["choices"] == [{"what": "path", "value": "bf16", "reason": "measured again"}]
    assert again.facts["notes"] == ["said once"]


def test_only_one_process_may_write(runs):
    run = Run.create(runs, "digits", "")
    with run.writing():
        assert Run(run.path).alive
        assert Run(run.path).status == "running"
        with pytest.raises(RunError, match="another process"), Run(run.path).writing():
            pass
    assert not run.alive
    assert run.status == "killed"  # it says running, and nobody runs it


def test_runs_are_found_by_folder_id_prefix_or_last(runs):
    first, second = Run.create(runs, "digits", ""), Run.create(runs, "fashion", "")
    assert find_run(runs, "last").path == second.path
    assert find_run(runs, "last", name="digits").path == first.path
    assert find_run(runs, first.id).path == first.path
    assert find_run(runs, str(first.path)).path == first.path
    with pytest.raises(RunError, match="could be any of"):
        find_run(runs, "20")
    with pytest.raises(UnknownNameError, match="Did you mean"):
        find_run(runs, first.id + "x")


def test_a_run_says_its_schema_and_kind(runs):
    assert Run.create(runs, "digits", "").facts["schema"] == SCHEMA
    assert Run.create(runs, "digits", "").kind == "run"
    assert Run.create(runs, "digits", "", parts={}).kind == "study"


def test_facts_of_version_0_1_are_read_and_the_next_update_numbers_them(runs):
    run = Run.create(runs, "study", "", parts={})
    old = {key: value for key, value in run.facts.items() if key not in ("schema", "kind")}
    (run.path / "run.json").write_text(json.dumps(old))
    again = Run(run.path)
    assert again.kind == "study"
    again.update(status="finished")
    assert (Run(run.path).facts["schema"], Run(run.path).facts["kind"]) == (SCHEMA, "study")


def test_a_run_of_a_newer_version_is_refused(runs):
    run = Run.create(runs, "digits", "")
    run.facts["schema"] = 99
    (run.path / "run.json").write_text(json.dumps(run.facts))
    with pytest.raises(RunError, match="schema 99; this Pellucid reads schemas up to 2"):
        Run(run.path)


def test_artifacts_are_kept_by_step(runs):
    run = Run.create(runs, "digits", "")
    for step in (1, 2, 3):
        run.artifact(step, "latent histogram", "json", {"counts": [step, 2]})
        path = run.artifact(step, "samples", "image", b"old")
    assert run.artifact(3, "samples", "image", b"new") == path
    assert path.read_bytes() == b"new"
    found = Run(run.path).store.artifacts("samples")  # not yet flushed
    assert found == []
    run.store.close()
    found = Run(run.path).store.artifacts("latent histogram")
    assert [artifact.step for artifact in found] == [1, 2, 3]
    assert json.loads((run.path / found[2].path).read_text()) == {"counts": [3, 2]}
    assert [a.path for a in run.store.artifacts("samples")] == [
        f"artifacts/samples/{n:08d}.png" for n in (1, 2, 3)
    ]
    run.store.rewind(1)
    assert {artifact.step for artifact in run.store.artifacts()} == {1}
    assert sorted(path.name for path in (run.path / "artifacts" / "samples").iterdir()) == ["00000001.png"]
    with pytest.raises(UnknownNameError, match="Did you mean 'image'"):
        run.artifact(1, "samples", "imag", b"")


def test_a_folder_that_is_not_a_run_is_skipped(runs):
    run = Run.create(runs, "digits", "")
    (runs / "notes").mkdir()
    (runs / "broken").mkdir()
    (runs / "broken" / "run.json").write_text("{half")
    assert [found.id for found in list_runs(runs)] == [run.id]
    with pytest.raises(RunError, match="not valid JSON"):
        Run(runs / "broken")


def test_a_removed_run_can_be_restored(runs):
    run = Run.create(runs, "digits", "")
    trash(run)
    assert list_runs(runs) == []
    assert restore(runs, run.id).id == run.id
    with pytest.raises(UnknownNameError, match="trash"):
        restore(runs, "nothing")


def test_a_folder_of_runs_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(StorageError, match="Cannot write"):
        Run.create(tmp_path / "runs", "digits", "")
