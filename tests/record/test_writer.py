"""Whether a run is being written: found without a lock, and right whatever happens to its process."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from pellucid.errors import RunError, StorageError
from pellucid.record import Run, files, writer

HOLD = """
import sys, time
from pellucid.record import Run
with Run(sys.argv[1]).writing():
    print("writing", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def run(runs):
    return Run.create(runs, "digits", "")


@pytest.fixture
def other(run):
    """Another process that writes the run."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, run.path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_run_is_alive_from_the_moment_it_appears(runs):
    run = Run.create(runs, "digits", "")
    assert (run.alive, run.status) == (True, "running")
    with run.writing():
        assert run.alive
    assert not run.alive


def test_a_stopped_process_is_alive_and_a_killed_one_is_not(run, other):
    assert run.alive
    other.send_signal(signal.SIGSTOP)
    assert run.status == "running"
    with pytest.raises(RunError, match="another process"), run.writing():
        pass
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # it has ended; nobody has waited for it yet
    assert run.status == "killed"
    other.wait()
    assert run.status == "killed"
    with run.writing():
        assert run.status == "running"


@pytest.mark.parametrize("change", [{"started": "12345"}, {"pid": 2**22 + 1}])
def test_a_reused_process_id_is_not_the_writer(run, change):
    signed = json.loads((run.path / writer.WRITER).read_text())
    files.write_json(run.path / writer.WRITER, signed | change)
    assert run.status == "killed"


def test_liveness_does_not_depend_on_the_clock(run, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert run.alive
    os.utime(run.path / writer.WRITER, (0, 0))
    assert run.alive


@pytest.mark.skipif(os.name != "posix", reason="locks can be tested without writing on POSIX")
def test_a_writer_on_another_machine_is_alive_while_it_holds_the_lock(run, other):
    signed = json.loads((run.path / writer.WRITER).read_text())
    files.write_json(run.path / writer.WRITER, signed | {"machine": "elsewhere"})
    assert run.alive
    other.kill()
    other.wait()
    assert not run.alive


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', "null"])
def test_a_damaged_writer_file_counts_as_no_writer(run, content):
    (run.path / writer.WRITER).write_text(content)
    assert run.status == "killed"


def test_a_run_that_ends_while_being_read_is_not_reported_as_killed(run):
    reader = Run(run.path)
    with run.writing():
        run.update(status="finished")
    assert reader.status == "finished"


def test_a_reader_warns_instead_of_writing_a_note(run, other, monkeypatch):
    before = (run.path / "run.json").read_bytes()
    with pytest.warns(UserWarning, match="the best checkpoint is damaged"):
        run.note("the best checkpoint is damaged")
    assert (run.path / "run.json").read_bytes() == before
    other.kill()
    other.wait()

    def read_only(path, data):
        raise StorageError("Cannot write")

    monkeypatch.setattr(files, "write", read_only)
    with pytest.warns(UserWarning, match="damaged"):
        run.note("the best checkpoint is damaged")
    monkeypatch.undo()
    assert run.facts["notes"] == []
    run.note("the best checkpoint is damaged")
    assert Run(run.path).facts["notes"] == ["the best checkpoint is damaged"]


def test_writers_are_never_refused_because_of_readers(run):
    stop = threading.Event()
    readers = [
        threading.Thread(target=lambda: [run.alive for _ in iter(stop.is_set, True)]) for _ in range(4)
    ]
    for reader in readers:
        reader.start()
    try:
        for _ in range(300):
            with Run(run.path).writing():
                pass
    finally:
        stop.set()
        for reader in readers:
            reader.join()


def test_a_change_blocked_by_a_reader_is_retried(monkeypatch):
    monkeypatch.setattr(files, "ATTEMPTS", 3)
    calls = []

    def refused(times):
        calls.append(times)
        if len(calls) < times:
            raise PermissionError

    files.patiently(refused, 3)
    assert calls == [3, 3, 3]
    calls.clear()
    with pytest.raises(PermissionError):
        files.patiently(refused, 4)
