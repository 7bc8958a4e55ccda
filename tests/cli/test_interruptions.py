"""Training that is interrupted at any moment ends, after resuming, as if it had not been."""

import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pellucid import runner
from pellucid.cli.main import app
from pellucid.cli.stopping import resume_command
from pellucid.record import Run
from pellucid.record.run import list_runs

SETTINGS = ["--epochs", "250", "--set", "train.checkpoint_seconds=0.02", "--set", "train.early_stopping=null"]


def start(flowers, runs, *more):
    command = [sys.executable, "-m", "pellucid", "train", "iris.csv", "--runs", str(runs), *SETTINGS, *more]
    return subprocess.Popen(command, cwd=flowers, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def ends(process, code):
    """Wait for a process to exit with a code; what it said is shown where it exits with another."""
    said = process.communicate()[1]
    assert process.returncode == code, said.decode()


def first_checkpoint(process, runs):
    while process.poll() is None:
        for pointer in runs.glob("*/checkpoints/last"):
            return pointer.parent.parent
        time.sleep(0.005)
    raise AssertionError(f"it ended before it began: {process.stderr.read()}")


def outcome(run):
    """Everything that must not depend on an interruption."""
    folder = run / "checkpoints"
    last, best = (folder / (folder / name).read_text().strip() for name in ("last", "best"))
    files = [last / "model.safetensors", last / "optimizer.safetensors", best / "model.safetensors"]
    query = "SELECT key, step, value FROM metrics WHERE key NOT LIKE '%seconds' AND key NOT LIKE 'memory%'"
    rows = sqlite3.connect(run / "run.sqlite").execute(f"{query} ORDER BY key, step").fetchall()
    return [path.read_bytes() for path in files], rows, json.loads((run / "run.json").read_text())["metrics"]


@pytest.fixture(scope="module")
def control(flowers, tmp_path_factory):
    """A training that nobody interrupts, and the seconds it took."""
    runs = tmp_path_factory.mktemp("control")
    ends(start(flowers, runs), 0)
    run = next(runs.glob("*/run.json")).parent
    return outcome(run), json.loads((run / "run.json").read_text())["seconds"]["training"]


@pytest.mark.parametrize("seed", range(3))
def test_kill_9_at_a_random_moment_changes_nothing(flowers, control, tmp_path, seed):
    expected, seconds = control
    process = start(flowers, tmp_path)
    run = first_checkpoint(process, tmp_path)
    time.sleep(random.Random(seed).uniform(0, 0.8 * seconds))
    process.kill()
    assert process.wait() == -signal.SIGKILL
    ends(start(flowers, tmp_path, "--resume", "last"), 0)
    assert outcome(run) == expected


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_says_so_and_can_be_resumed(flowers, control, tmp_path, number, code):
    expected, _ = control
    process = start(flowers, tmp_path)
    run = first_checkpoint(process, tmp_path)
    process.send_signal(number)
    ends(process, code)
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"
    ends(start(flowers, tmp_path, "--resume", run.name), 0)
    assert outcome(run) == expected


def test_an_interrupted_run_says_how_to_resume(tmp_path, monkeypatch):
    def interrupted(config, runs, **_):
        run = Run.create(runs, "digits", config.to_yaml())
        run.update(status="interrupted", stop_reason="SIGTERM")
        return run

    monkeypatch.setattr(runner, "train", interrupted)
    done = CliRunner().invoke(app, ["run", "image-generation", "--runs", str(tmp_path)])
    assert done.exit_code == 143
    (run,) = list_runs(tmp_path)
    assert f"Resume with: {resume_command(run)}" in done.output
    assert f"pellucid run digits --resume {run.id}" in done.output
    assert "Then repeat: " in done.output  # digits is the evaluator of image-generation


def test_a_run_that_is_being_written_is_not_resumed(flowers, tmp_path):
    process = start(flowers, tmp_path)
    run = first_checkpoint(process, tmp_path)
    process.send_signal(signal.SIGSTOP)  # alive, and holding the run
    second = start(flowers, tmp_path, "--resume", Path(run).name)
    assert second.wait() == 5
    assert b"another process" in second.stderr.read()
    process.kill()
    process.wait()
