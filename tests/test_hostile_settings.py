"""Settings that no machine can satisfy are refused in words, before a run folder appears."""

import datetime
import os
import signal
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

import pellucid
from pellucid import runner
from pellucid.config import Config
from pellucid.config_text import parse_override, read_yaml
from pellucid.data.sources.open_source import open_source
from pellucid.errors import BadDataError, ConfigError, PellucidError, StorageError
from pellucid.record import files
from pellucid.record.run import Run
from pellucid.runner import model_size

HOSTILE = [
    2**64,
    -1,
    0,
    1e308,
    float("nan"),
    float("inf"),
    datetime.date(2020, 1, 1),
    "",
    "x" * 5000,
    True,
    None,
]
HOSTILE += [[], {}, [[[]]], {1: 2}, "\ud800", "a\0b", "[red]x[/red]", "[/x]", "../../x", "*", 3, 0.5, "auto"]


def leaves(values, prefix=""):
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def toy():
    x = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
    return pellucid.arrays(x, np.arange(40) % 2)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("train.seed", 2**64, "expected a number of at most 9007199254740992"),
        ("train.seed", 2**40, "4294967295"),
        ("data.split_seed", -1, "0"),
        ("train.epochs", True, "expected no true or false, received true"),
        ("optimizer.lr", float("inf"), "finite"),
        ("train.batch_size", datetime.date(2020, 1, 1), "integer"),
        ("name", "\ud800", "expected text"),
        ("data.image_size", 10**9, "16384"),
    ],
)
def test_a_number_out_of_its_range_is_refused(key, value, words):
    with pytest.raises(ConfigError, match=words):
        Config.parse({}).patch({key: value})


def test_a_model_larger_than_the_memory_is_refused_before_it_is_allocated(tmp_path):
    with pytest.raises(ConfigError, match=r"parameters and their gradients take [\d,.]+ GiB: expected less"):
        pellucid.fit("mlp", toy(), runs=tmp_path, settings={"model.options": {"hidden": [10**6, 10**6]}})
    assert list(tmp_path.iterdir()) == []


def test_batches_larger_than_the_memory_are_refused_before_they_are_allocated(tmp_path, monkeypatch):
    monkeypatch.setattr(model_size.psutil, "virtual_memory", lambda: SimpleNamespace(total=300))
    data = toy()
    with pytest.raises(ConfigError, match=r"batch_size: 32 inputs of 3 numbers take .* less than the memory"):
        pellucid.fit("mlp", data, runs=tmp_path, batch_size=10**9)
    assert list(tmp_path.iterdir()) == []


def test_an_array_whose_header_names_more_than_the_memory_is_refused(tmp_path):
    with open(tmp_path / "a.npy", "wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**7, 10**6)}
        np.lib.format.write_array_header_2_0(file, header)
    config = Config.parse({"data": {"source": str(tmp_path / "a.npy")}})
    with pytest.raises(BadDataError, match="Unable to allocate"):
        open_source(config.data)


def test_aliases_that_unfold_to_billions_are_refused(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    with pytest.raises(ConfigError, match="aliases unfold to"):
        read_yaml(tmp_path / "bomb.yaml")
    (tmp_path / "loop.yaml").write_text("a: &a [*a]\n")
    with pytest.raises(ConfigError, match="aliases unfold to"):
        read_yaml(tmp_path / "loop.yaml")
    (tmp_path / "few.yaml").write_text("data: &d {source: a.csv}\nobjective: {options: *d}\n")
    assert read_yaml(tmp_path / "few.yaml")["objective"] == {"options": {"source": "a.csv"}}


@pytest.mark.parametrize(
    "text",
    ["a: !!timestamp x", "a: !!int x", "a: !!bool x", "a: !!float {}", "[" * 9000, "a: [" + "x," * 200_000],
)
def test_values_that_do_not_fit_their_tag_or_have_no_end_are_refused(text, tmp_path):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match="is not valid YAML"):
        read_yaml(tmp_path / "a.yaml")
    with pytest.raises(ConfigError, match="is not a YAML value"):
        parse_override(f"a={text.removeprefix('a: ')}")


@pytest.mark.skipif(os.name != "posix", reason="named pipes and devices")
def test_a_config_that_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    for name in ("pipe.yaml", "zero.yaml"):
        with pytest.raises(ConfigError, match="is not an ordinary file"):
            read_yaml(tmp_path / name)


@pytest.mark.parametrize("encoding", ["rot13", "hex", "idna", "undefined", "[/x]"])
def test_a_codec_that_no_text_is_written_in_is_refused(encoding, tmp_path):
    (tmp_path / "t.csv").write_text("x,y\n1,2\n" * 30)
    with pytest.raises(ConfigError, match=r"data\.csv\.encoding is .* no encoding that Python knows"):
        pellucid.csv(tmp_path / "t.csv", encoding=encoding)


def test_a_long_name_makes_a_folder(tmp_path):
    for name in ("x" * 5000, "é" * 300, "[/x]"):
        assert Run.create(tmp_path, name, "").path.is_dir()


def test_a_full_disk_is_a_storage_error_whoever_writes(tmp_path):
    resource = pytest.importorskip("resource")
    from safetensors.numpy import save_file

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(StorageError, match="File too large"), files.storage(tmp_path):
            save_file({"a": np.zeros(10_000)}, tmp_path / "a.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("part", range(4))
def test_random_settings_end_in_a_run_or_a_documented_error(part, tmp_path):
    rng = np.random.default_rng(part)
    keys = [
        key for key in leaves(Config.parse({}).model_dump()) if key not in ("train.epochs", "train.max_steps")
    ]
    data = toy()
    for _ in range(50):
        chosen = {
            keys[i]: HOSTILE[rng.integers(len(HOSTILE))]
            for i in rng.integers(len(keys), size=rng.integers(1, 3))
        }
        settings = {"model.name": "mlp", "train.epochs": 1, "train.execution": "eager", **chosen}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                config = Config.parse({}).patch(settings)
                assert Config.parse(yaml.safe_load(config.to_yaml())) == config
                runner.train(config, runs=tmp_path, dataset=data)
        except PellucidError:
            continue
        except Exception as error:
            pytest.fail(f"{chosen}: {type(error).__name__}: {error}")
