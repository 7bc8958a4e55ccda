"""Errors raised in Python name arguments, not options of the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pellucid
from pellucid.errors import PellucidError
from pellucid.python_words import in_python


@pytest.mark.parametrize(
    ("command", "python"),
    [
        ("--set train.epochs=3", "settings={'train.epochs': 3}"),
        ("a smaller --set data.image_size=N or more", "a smaller settings={'data.image_size': N} or more"),
        (
            "--set data.validation=0.1 --set data.test=0.1",
            "settings={'data.validation': 0.1, 'data.test': 0.1}",
        ),
        ("--set 'data.columns={age: category}'", "settings={'data.columns': {'age': 'category'}}"),
        ("--set data.split=null, or more rows", "settings={'data.split': None}, or more rows"),
        ("--set 'data.class_from=^([a-z]+)'", "settings={'data.class_from': '^([a-z]+)'}"),
        ("--set from=a.png --set to=b.png", "from_='a.png', to='b.png'"),
        ("--target price", "target='price'"),
        ("--target names another column", "target= names another column"),
        ("if they are classes, or another --target", "if they are classes, or another target="),
        ("--set: there is no key 'x'", "settings: there is no key 'x'"),
        (
            "`pellucid train a.csv --task forecast --target y`",
            "`pellucid.fit(None, 'a.csv', task='forecast', target='y')`",
        ),
        ("Try: --minutes changes it", "Try: minutes= changes it"),
        ("`gcc --target x`", "`gcc --target x`"),
        ("`pellucid evaluate RUN --split test`", "`pellucid evaluate RUN --split test`"),
    ],
)
def test_options_become_arguments(command: str, python: str) -> None:
    assert in_python(command) == python


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"settings": {"train.epoch": 1}}, "settings: there is no key 'train.epoch'"),
        ({"settings": {"data.columns": {"name": "number"}}}, "'name'"),
        ({"settings": {"data.training_rows": 10_000}}, "settings={'data.training_rows': "),
        ({"task": "seq2seq"}, "pellucid.fit(model, data, task='classify'"),
    ],
)
def test_errors_of_fit_name_arguments(tmp_path: Path, options: dict, words: str) -> None:
    frame = pd.DataFrame({"x": np.arange(40.0), "name": ["a", "b"] * 20})
    with pytest.raises(PellucidError) as raised:
        pellucid.fit("mlp", frame, **{"target": "name", "runs": tmp_path, "progress": False, **options})
    assert words in str(raised.value)
    assert "--" not in str(raised.value)


def test_notes_and_findings_of_a_run_name_arguments_too(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(90, 2))
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "label": np.where(x[:, 0] > 1, "yes", "no")})
    options = {"epochs": 1, "execution": "eager", "progress": False, "runs": tmp_path}
    run = pellucid.fit("linear", frame, **options)
    said = [*run.facts["notes"], *run.facts["dataset"]["notes"], *(one.remedy for one in run.findings)]
    assert any("settings={'data.inputs': ['...']}" in note for note in said)
    assert any("class_weight='balanced'" in note for note in said)
    assert any("target= names another" in note for note in said)
    assert not [note for note in said if "--" in note]
    weighted = pellucid.fit("linear", frame, class_weight="balanced", **options)
    assert not [note for note in weighted.facts["notes"] if "class_weight" in note]


def test_a_run_with_other_data_is_resumed_where_changes_are_allowed(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    options = {"execution": "eager", "progress": False, "runs": tmp_path}
    run = pellucid.fit("linear", (x, x[:, 0] > 0), epochs=1, **options)
    with pytest.raises(PellucidError, match="allow_changes=True to resume with the new ones"):
        pellucid.fit("linear", (x + 1, x[:, 0] > 0), epochs=2, resume=run.path.name, **options)
    longer = pellucid.fit(
        "linear", (x + 1, x[:, 0] > 0), epochs=2, resume=run.path.name, allow_changes=True, **options
    )
    assert longer.path == run.path


def test_a_wrong_value_names_where_all_settings_are(tmp_path: Path) -> None:
    with pytest.raises(PellucidError, match=r"print\(pellucid.Config\(\).to_yaml\(\)\)"):
        pellucid.fit("linear", ([[1.0], [2.0]], [0, 1]), epochs=0, runs=tmp_path)
