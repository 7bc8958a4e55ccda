"""What nobody foresaw is one sentence with the file of its traceback, never a traceback on the screen."""

import json
import os
import subprocess
import sys

import pytest

from pellucid.cli import common
from pellucid.cli import main as command
from pellucid.config import Config
from pellucid.data.sources.open_source import open_source
from pellucid.errors import DataError
from pellucid.terminal import TextConsole

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


def test_names_with_escapes_are_shown_and_do_not_act(capsys):
    name = "\x1b]0;title\x07\x1b[2J[/x]\x9b\x00é\n"
    for console in (common.console(), common.console(as_json=True), TextConsole()):
        table = common.table(name)
        table.add_row(name)
        console.print(name)
        console.print(table)
    shown = "".join(capsys.readouterr())
    assert "␛[2J[/x]" in shown
    assert not set(shown) & {"\x1b", "\x07", "\x9b", "\x00"}


def test_an_error_with_escapes_is_shown_and_does_not_act(monkeypatch, capsys):
    def broken():
        raise DataError("There is no \x1b[2J.\nSecond line.")

    monkeypatch.setattr(command, "app", broken)
    with pytest.raises(SystemExit):
        command.main()
    assert capsys.readouterr().err == "DataError: There is no ␛[2J.\nSecond line.\n"


def test_an_output_that_is_not_utf8_gets_escapes(tmp_path):
    script = "from pellucid.cli import common; common.print_json({'a': 'é'}); common.console().print('é')"
    call = [sys.executable, "-c", f"from pellucid.cli import main as m; m._write_any_text(); {script}"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == '{\n  "a": "\\u00e9"\n}\n\\xe9\n'


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full")
@pytest.mark.parametrize("words", ["recipes", "recipes --json", "--help"])
def test_an_output_on_a_full_disk_is_a_storage_error(words, tmp_path):
    script = f"{sys.executable} -m pellucid {words} > /dev/full"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        7,
        "StorageError: The output cannot be written: No space left on device.\n",
    )


@pytest.mark.skipif(os.name != "posix", reason="closes an output in the shell")
def test_training_goes_on_where_the_output_is_closed(tmp_path):
    (tmp_path / "t.csv").write_text(TABLE)
    train = f"{sys.executable} -m pellucid train t.csv --epochs 1 --set train.execution=eager"
    for script in (f"{train} | true", f"{train} --json >&-"):
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {script}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    status = [json.loads(path.read_text())["status"] for path in tmp_path.glob("runs/*/run.json")]
    assert status == ["finished", "finished"]


def test_a_file_whose_name_begins_with_a_tilde_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~nobody-of-that-name.csv").write_text(TABLE)
    config = Config.parse({"data": {"source": "~nobody-of-that-name.csv"}})
    assert open_source(config.data).target == "label"
