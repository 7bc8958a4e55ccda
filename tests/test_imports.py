"""Start-up time: `import pellucid` and `--help`."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import pellucid

HEAVY = ("torch", "torch._dynamo", "sklearn", "scipy", "datasets", "pandas", "pyarrow", "numpy")


def loaded_by(code):
    script = f"import sys, json\n{code}\nprint(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "code",
    [
        "import pellucid",
        "import pellucid.cli.main",
        "import pellucid.cli.main as m\ntry:\n    m.app(['--help'])\nexcept SystemExit:\n    pass",
        "import pellucid.cli.main as m\ntry:\n    m.app(['train', '--help'])\nexcept SystemExit:\n    pass",
    ],
)
def test_no_heavy_library_is_loaded(code):
    assert loaded_by(code) == []


@pytest.mark.parametrize("module", ["record", "config", "errors", "diagnosis", "recipes", "report"])
def test_facts_are_read_without_torch(module):
    assert "torch" not in loaded_by(f"import pellucid.{module}")


def test_predicting_loads_only_what_it_uses(tmp_path):
    X = np.random.default_rng(0).normal(size=(30, 2)).astype("float32")
    data = pellucid.arrays(X, (X[:, 0] > 0).astype(int))
    run = pellucid.fit("mlp", data, epochs=1, runs=tmp_path, progress=False)
    table = tmp_path / "one.csv"
    table.write_text("x0,x1\n0.5,1\n")
    arguments = ["predict", str(run.path), str(table)]
    code = f"import pellucid.cli.main as m\nm.app({arguments}, standalone_mode=False)"
    assert set(loaded_by(code)) == {"torch", "pyarrow", "numpy"}


def test_nothing_else_is_loaded_before_the_first_step_on_a_table(tmp_path):
    rows = "".join(f"{row % 7},{row % 5},{'yn'[row % 3 > 0]}\n" for row in range(100))
    (tmp_path / "table.csv").write_text("a,b,label\n" + rows)
    command = ["train", str(tmp_path / "table.csv"), "--runs", str(tmp_path / "runs")]
    code = f"""
import os
os.environ["PELLUCID_CACHE"] = {str(tmp_path / "cache")!r}
import pellucid.cli.main, pellucid.train.trainer
def first(trainer, group):
    raise KeyboardInterrupt
pellucid.train.trainer.Trainer._train_step = first
try:
    pellucid.cli.main.app({command}, standalone_mode=False)
except BaseException:
    pass
"""
    assert not {"sklearn", "scipy", "datasets", "torch._dynamo"} & set(loaded_by(code))


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "PASSIVE"}, None)],
)
def test_waiting_threads_spin_shortly_unless_the_user_says_how_they_wait(given, expected):
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    code = "import os, pellucid; print(os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run([sys.executable, "-c", code], env=plain | given, capture_output=True, text=True)
    assert done.stdout.strip() == str(expected)


def test_every_public_name_is_there():
    for name in pellucid.__all__:
        assert getattr(pellucid, name) is not None
    assert set(pellucid.__all__) <= set(dir(pellucid))
    with pytest.raises(AttributeError, match="nothing"):
        _ = pellucid.nothing


def test_the_error_tree_has_one_code_for_each_kind():
    from pellucid import errors

    kinds = errors.PellucidError.__subclasses__()
    assert len({kind.exit_code for kind in kinds}) == len(kinds)
    assert all(kind.__name__ in errors.__doc__ and str(kind.exit_code) in errors.__doc__ for kind in kinds)
