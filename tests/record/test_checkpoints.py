"""Checkpoints are complete or absent, and damage is detected when they are read."""

import os
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pellucid.errors import RunError, StorageError
from pellucid.record.checkpoints import Checkpoints, read_state


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "checkpoints")


def save(checkpoints, step, content=b"weights"):
    return checkpoints.save(step, {"model": lambda path: path.write_bytes(content)}, {"epoch": step // 10})


def test_a_saved_checkpoint_is_read_back(checkpoints):
    folder = save(checkpoints, 10)
    assert read_state(folder) == {"epoch": 1}
    assert (folder / "model").read_bytes() == b"weights"
    assert checkpoints.latest() == (folder, [])


def test_the_same_step_can_be_saved_again(checkpoints):
    save(checkpoints, 10)
    folder = save(checkpoints, 10, b"newer")
    assert (folder / "model").read_bytes() == b"newer"
    assert checkpoints.all() == [folder]


@pytest.mark.parametrize("damage", ["truncate", "alter", "remove", "state"])
def test_damage_is_detected_and_the_previous_checkpoint_is_used(checkpoints, damage):
    good, bad = save(checkpoints, 10), save(checkpoints, 20)
    if damage == "truncate":
        (bad / "model").write_bytes(b"weigh")
    elif damage == "alter":
        (bad / "model").write_bytes(b"weighty")
    elif damage == "remove":
        (bad / "model").unlink()
    else:
        state = bad / "state.json"
        state.write_text(state.read_text().replace('\\"epoch\\": 2', '\\"epoch\\": 9'))
    found, complaints = checkpoints.latest()
    assert found == good
    assert len(complaints) == 1
    assert "step-00000020" in complaints[0]


def test_the_newest_sound_checkpoint_before_a_step_is_found_and_nothing_is_written(checkpoints):
    folders = {step: save(checkpoints, step) for step in (10, 20, 30)}
    (folders[20] / "model").write_bytes(b"weighty")
    before = sorted((path, path.stat().st_mtime_ns) for path in checkpoints.folder.rglob("*"))
    expected = {9: None, 10: 10, 19: 10, 20: 10, 29: 10, 30: 30, 1000: 30}
    assert {step: checkpoints.before(step) for step in expected} == {
        step: folders.get(found) for step, found in expected.items()
    }
    assert read_state(checkpoints.before(29)) == {"epoch": 1}
    assert sorted((path, path.stat().st_mtime_ns) for path in checkpoints.folder.rglob("*")) == before


def test_checkpoints_are_ordered_by_step_beyond_eight_digits(checkpoints):
    folders = [save(checkpoints, step) for step in (99_999_999, 100_000_000)]
    (checkpoints.folder / "step-notes").mkdir()
    assert checkpoints.all() == folders
    assert checkpoints.latest() == (folders[1], [])


def test_a_failed_write_leaves_no_files(checkpoints):
    def fail(path):
        path.write_bytes(b"half")
        raise OSError(28, "no space")

    with pytest.raises(StorageError, match="full"):
        checkpoints.save(10, {"model": fail}, {})
    assert list(checkpoints.folder.iterdir()) == []


def test_leftovers_of_a_crash_are_ignored_and_cleared(checkpoints):
    leftover = checkpoints.folder / ".partial-00000005"
    leftover.mkdir(parents=True)
    assert checkpoints.latest() == (None, [])
    save(checkpoints, 10)
    assert not leftover.exists()


def test_pointers_to_deleted_checkpoints_are_ignored(checkpoints):
    folder = save(checkpoints, 10)
    checkpoints.point("best", 10)
    assert checkpoints.pointed("best") == folder
    shutil.rmtree(folder)
    assert checkpoints.pointed("best") is None


def test_prune_keeps_the_newest_and_the_named(checkpoints):
    folders = [save(checkpoints, step) for step in (10, 20, 30, 40)]
    checkpoints.point("best", 10)
    checkpoints.prune(2)
    assert checkpoints.all() == [folders[0], folders[2], folders[3]]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=300))
def test_arbitrary_bytes_as_state_raise_a_run_error(tmp_path, data):
    folder = tmp_path / "step-00000001"
    folder.mkdir(exist_ok=True)
    (folder / "state.json").write_bytes(data)
    with pytest.raises(RunError, match="truncated or altered"):
        read_state(folder)


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="root may write anywhere")
def test_the_error_names_a_folder_that_is_not_writable(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="Cannot write"):
        save(Checkpoints(tmp_path / "checkpoints"), 1)
