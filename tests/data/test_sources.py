"""Datasets by name: where they are searched, in which order, and quickly when offline."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import datasets
import huggingface_hub
import numpy as np
import pytest

from pellucid.config import DataConfig
from pellucid.data import images
from pellucid.data.preprocess import Preprocess
from pellucid.data.sources import hub
from pellucid.data.sources.open_source import load, open_data
from pellucid.errors import BadDataError, DataNotFoundError, UnknownNameError, UsageError

NAMES = ("up", "down")


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No dataset is cached, and the hub is a closed port."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv(hub.MIRROR, raising=False)
    return tmp_path / "datasets"


@pytest.fixture
def small_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mirror with one small dataset of images in two subsets."""
    folder = tmp_path / "mirror" / "owner" / "tiny"
    header = "---\nlicense: mit\nconfigs:\n"
    for subset in ("one", "two"):
        header += f"- config_name: {subset}\n  data_files:\n"
        for split in ("train", "dev", "extra"):
            header += f"  - split: {split}\n    path: {subset}/{split}.parquet\n"
            pixels = np.random.default_rng(len(subset)).integers(0, 255, (12, 4, 4), np.uint8)
            rows = datasets.Dataset.from_dict(
                {"image": images.from_pixels(pixels).to_pylist(), "label": [0, 1] * 6},
                features=datasets.Features(
                    {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(NAMES))}
                ),
            )
            (folder / subset).mkdir(parents=True, exist_ok=True)
            rows.to_parquet(folder / subset / f"{split}.parquet")
    (folder / "README.md").write_text(header + "---\n")
    monkeypatch.setenv(hub.MIRROR, str(tmp_path / "mirror"))
    return folder


@pytest.fixture
def silent_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(
            huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}"
        )
        yield


def test_loads_from_the_mirror(small_mirror):
    dataset = load("owner/tiny", subset="two")
    assert dataset.source.kind == "mirror"
    assert dataset.source.licence == "mit"
    assert dataset.source.looked == ("cache: not there", f"mirror: found ({small_mirror})")
    assert {name: len(table) for name, table in dataset.splits.items()} == {"train": 12, "validation": 12}
    assert dataset.classes == NAMES
    assert [column.kind for column in dataset.columns] == ["image", "category"]
    assert any("'extra' is not used" in note for note in dataset.notes)


def test_the_cache_is_tried_first(small_mirror, empty_cache):
    load("owner/tiny", subset="one")
    (made,) = empty_cache.glob("tiny/one/*/*/dataset_info.json")
    shutil.copytree(made.parent, empty_cache / "owner___tiny" / "one" / "0.0.0" / made.parent.name)
    dataset = load("owner/tiny", subset="one")
    assert dataset.source.kind == "cache"
    assert dataset.source.looked == ("cache: found",)
    assert dataset.classes == NAMES


def test_subsets_must_be_known(small_mirror):
    with pytest.raises(UnknownNameError, match="Try: one of: one, two"):
        load("owner/tiny")
    with pytest.raises(UnknownNameError, match="Did you mean 'two'"):
        load("owner/tiny", subset="twoo")


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'mnist'"):
        load("mnits")
    with pytest.raises(UsageError, match="owner/name"):
        load("a/b/c")


def test_not_found_lists_the_places(small_mirror):
    with pytest.raises(DataNotFoundError) as raised:
        load("owner/other")
    said = str(raised.value)
    assert "cache: not there" in said
    assert f"mirror: not there ({small_mirror.parent / 'other'})" in said
    assert "hub: not reachable (http://127.0.0.1:9" in said
    assert "hf download owner/other" in said


def test_a_missing_mirror_is_reported(monkeypatch):
    monkeypatch.setenv(hub.MIRROR, "/no/such/folder")
    with pytest.raises(
        DataNotFoundError, match=r"mirror: no such folder \(PELLUCID_MIRROR=/no/such/folder\)"
    ):
        load("owner/tiny")


def test_offline_is_noticed_within_five_seconds(silent_hub):
    start = time.perf_counter()
    dataset = load("digits")
    assert time.perf_counter() - start < 5
    assert dataset.source.kind == "bundled"
    assert "no answer within 3 s" in dataset.source.looked[2]
    assert "stand-in" in dataset.source.note
    assert len(dataset.splits["train"]) == 1797
    assert Preprocess.fit(dataset).input_shape == (1, 8, 8)


def test_only_digits_has_a_stand_in():
    with pytest.raises(DataNotFoundError, match="mnist was not found"):
        load("mnist")


def test_offline_mode_is_honored(silent_hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert hub.probe("owner/tiny") == "not asked (offline mode is on)"


def test_a_dataset_missing_from_the_hub_is_reported(monkeypatch):
    class Refuse(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        assert "no such dataset" in (hub.probe("owner/tiny") or "")
        server.shutdown()


def test_paths_take_precedence_and_missing_ones_are_named(titanic, small_mirror, monkeypatch):
    monkeypatch.chdir(titanic.parent)
    assert open_data(DataConfig(source="titanic.csv")).source.kind == "csv"
    for missing in ("./nowhere", "a/b.csv", "/tmp/none/at/all", "x.parquet"):
        with pytest.raises(DataNotFoundError, match="There is no file or folder"):
            open_data(DataConfig(source=missing))
    assert open_data(DataConfig(source="owner/tiny", subset="one")).source.kind == "mirror"


def test_unknown_file_types_are_refused(tmp_path):
    (tmp_path / "x.docx").write_bytes(b"hello")
    with pytest.raises(BadDataError, match="of no known kind"):
        open_data(DataConfig(source=str(tmp_path / "x.docx")))


def test_fraction_takes_a_share_of_every_split(small_mirror):
    dataset = open_data(DataConfig(source="owner/tiny", subset="one", fraction=0.5))
    assert sum(map(len, dataset.splits.values())) < 24
    assert any("only 50 %" in note for note in dataset.notes)


def test_real_mnist(mirror, monkeypatch):
    monkeypatch.setenv(hub.MIRROR, str(mirror))
    dataset = load("mnist")
    assert {name: len(table) for name, table in dataset.splits.items()} == {"train": 60_000, "test": 10_000}
    assert dataset.classes == tuple("0123456789")
    assert np.bincount(dataset.splits["train"]["label"].to_numpy())[:3].tolist() == [5923, 6742, 5958]
    fitted = Preprocess.fit(dataset)
    assert fitted.encoded.mean == pytest.approx((0.1307,), abs=5e-5)
    assert fitted.encoded.std == pytest.approx((0.3081,), abs=5e-5)
    assert fitted.targets(dataset.splits["test"])[:5].tolist() == [7, 2, 1, 0, 4]
    test = fitted.inputs(dataset.splits["test"])
    assert tuple(test.shape) == (10_000, 1, 28, 28)
    assert float(test.mean()) == pytest.approx(0.006, abs=0.01)


def test_real_text_with_an_unused_split(mirror, monkeypatch):
    monkeypatch.setenv(hub.MIRROR, str(mirror))
    dataset = load("imdb")
    assert dataset.classes == ("neg", "pos")
    assert set(dataset.splits) == {"train", "test"}
    assert [column.kind for column in dataset.inputs] == ["text"]
