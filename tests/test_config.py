"""The schema: its errors, and that a rendered config is read back unchanged."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.config import Config, known_keys
from pellucid.config_text import parse_override
from pellucid.errors import ConfigError, PellucidError


def test_a_rendered_config_reads_back_the_same(tmp_path):
    config = Config().patch(
        {"train.epochs": 3, "data.augment.flip": True, "train.early_stopping.patience": 2}
    )
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    assert Config.read(path) == config
    assert "normalize: true" in path.read_text()  # defaults are said too


def outcome(path):
    """Read a file: a config, or a readable error; anything else is raised."""
    try:
        return Config.read(path)
    except PellucidError as error:
        return str(error)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"train": {"epoch": 3}}, "Did you mean 'train.epochs'"),
        ({"trian": {}}, "no key 'trian'"),
        ({"train": {"epochs": "many"}}, "received 'many'"),
        ({"train": {"epochs": 0}}, "train.epochs"),
        ({"optimizer": {"lr": -1}}, "optimizer.lr"),
        ({"train": {"ema": 0.9, "swa_start": 0.5}}, "set one"),
    ],
)
def test_errors_name_the_key(values, words):
    with pytest.raises(ConfigError) as caught:
        Config.parse(values)
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["- a\n- b\n", "just text", "a: [1", "", "1: 2"])
def test_a_file_that_is_not_a_config_is_refused_with_a_readable_error(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        Config.read(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        Config.read(tmp_path / "nowhere.yaml")


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_config_or_a_readable_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_bytes(data)
    assert outcome(path)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["data", "model", "train", "name", "other"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        ),
    )
)
def test_any_yaml_is_a_config_or_a_readable_error(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    assert outcome(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train.epochs=3", ("train.epochs", 3)),
        ("optimizer.lr=1e-3", ("optimizer.lr", 1e-3)),
        ("model.options={hidden: [8, 4]}", ("model.options", {"hidden": [8, 4]})),
        ("data.augment.flip=true", ("data.augment.flip", True)),
        ("objective.loss=focal", ("objective.loss", "focal")),
        ("train.clip_grad_norm=null", ("train.clip_grad_norm", None)),
    ],
)
def test_overrides_are_typed(text, expected):
    assert parse_override(text) == expected


@pytest.mark.parametrize("text", ["train.epochs", "=3", "a=[1"])
def test_invalid_overrides_are_refused(text):
    with pytest.raises(ConfigError):
        parse_override(text)


def test_a_patch_of_an_unknown_key_suggests(tmp_path):
    with pytest.raises(ConfigError, match=r"Did you mean 'optimizer\.lr'"):
        Config().patch({"optimizer.rl": 1})
    with pytest.raises(ConfigError, match="no key"):
        Config().patch({"nothing.at.all": 1})


def test_a_phase_without_settings_is_given_some():
    changed = Config().patch({"optimizer.phases.discriminator.lr": 1e-4})
    assert changed.optimizer.phases["discriminator"].lr == 1e-4


def test_differences_are_listed_by_key():
    assert Config().differences(Config().patch({"train.seed": 4})) == [("train.seed", 0, 4)]


def test_every_known_key_can_be_patched_with_its_own_value():
    assert "train.early_stopping.patience" in known_keys()
    assert Config().patch({"train.epochs": Config().train.epochs}) == Config()


def test_keys_of_earlier_versions_are_renamed():
    old = Config.parse({"data": {"text": {"cut": "middle", "hidden": 0.3}}})
    assert (old.data.text.truncation, old.data.text.mask_prob) == ("middle", 0.3)
    patched = Config().patch({"data.text.cut": "start", "data.text.mask_prob": 0.2})
    assert (patched.data.text.truncation, patched.data.text.mask_prob) == ("start", 0.2)
    assert "cut:" not in patched.to_yaml()
