"""What nobody foresaw is one sentence with the file of its traceback, never a traceback on the screen."""

import json
import subprocess
import sys

import pytest

from pellucid.cli import main as command

TABLE = "x,y,label\n" + "".join(f"{i % 7},{i % 5},{'ab'[i % 2]}\n" for i in range(60))


def pellucid(*arguments, cwd):
    call = [sys.executable, "-m", "pellucid", *arguments]
    return subprocess.run(call, cwd=cwd, capture_output=True, text=True, check=False)


def test_an_error_in_the_users_code_names_its_file_and_line(tmp_path):
    (tmp_path / "t.csv").write_text(TABLE)
    (tmp_path / "mine.py").write_text(
        "import pellucid\n\n\nclass Broken(pellucid.Callback):\n"
        "    def on_epoch_end(self, trainer):\n        raise KeyError('lost')\n"
    )
    done = pellucid("train", "t.csv", "--epochs", "1", "--set", "train.callbacks=[mine:Broken]", cwd=tmp_path)
    assert done.returncode == 1
    assert "Your code raised KeyError: 'lost'" in done.stderr
    assert "mine.py, line 6" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    facts = json.loads(next(tmp_path.glob("runs/*/run.json")).read_text())
    assert facts["status"] == "failed"
    assert facts["stop_reason"] == "KeyError: 'lost'"


def test_a_fault_of_ours_says_where_its_traceback_is(monkeypatch, capsys):
    def broken():
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(command, "app", broken)
    monkeypatch.setattr(command, "_own_code", lambda error: "")
    with pytest.raises(SystemExit) as left:
        command.main()
    assert left.value.code == 1
    words = capsys.readouterr().err
    assert words.startswith("This is a fault of Pellucid: ZeroDivisionError: division by zero\n")
    with open(words.split()[-1]) as file:
        assert "Traceback" in file.read()


def test_a_reader_that_ends_early_ends_the_command_quietly(tmp_path):
    script = f"{sys.executable} -m pellucid recipes --json | head -1"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == ""
