"""With published weights, our models compute the same outputs as the original ones."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pellucid.models.architecture import Architecture, TextEncoder, build_classifier, build_model
from pellucid.models.conversion import copy_weights, resize_positions
from pellucid.models.families import FAMILIES, read_architecture
from pellucid.models.generation import BOS, EOS
from pellucid.nn import explicit_attention

SIZES = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40}
TOKENS = torch.tensor([[7, 9, 30, 12, 5, 8], [11, 6, 49, 0, 0, 0], [0, 0, 0, 0, 0, 0]])


@pytest.fixture(scope="module")
def transformers() -> Any:
    return pytest.importorskip("transformers")


def published(model: Any, folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config and weights of a model of transformers, as they would be downloaded, with large weights."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    model.eval().save_pretrained(folder)
    return json.loads((folder / "config.json").read_text()), load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def bert(transformers: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict, dict[str, Tensor]]:
    config = transformers.BertConfig(vocab_size=50, max_position_embeddings=20, **SIZES)
    theirs = transformers.BertModel(config)
    return theirs, *published(theirs, tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def gpt2(transformers: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict, dict[str, Tensor]]:
    config = transformers.GPT2Config(
        vocab_size=50,
        n_embd=24,
        n_layer=3,
        n_head=4,
        n_inner=40,
        n_positions=20,
        bos_token_id=0,
        eos_token_id=0,
    )
    theirs = transformers.GPT2LMHeadModel(config)
    return theirs, *published(theirs, tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="module")
def vit(transformers: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict, dict[str, Tensor]]:
    config = transformers.ViTConfig(image_size=32, patch_size=8, num_labels=7, **SIZES)
    theirs = transformers.ViTForImageClassification(config)
    return theirs, *published(theirs, tmp_path_factory.mktemp("vit"))


def filled(config: dict, tensors: dict[str, Tensor], **changes: Any) -> Any:
    architecture = replace(read_architecture(config, tensors), **changes)
    model = build_model(architecture).eval()
    copy_weights(model, architecture.family, tensors)
    return model


# ---- texts ---------------------------------------------------------------------------------------


def framed(texts: Tensor) -> Tensor:
    """[CLS] text [SEP] [PAD] ..., as token ids."""
    made = torch.zeros(len(texts), texts.shape[1] + 2, dtype=torch.long)
    for row, text in enumerate(texts):
        content = [BOS, *text[text != 0].tolist(), EOS]
        made[row, : len(content)] = torch.tensor(content)
    return made


@torch.no_grad()
def test_bert_equals_transformers(bert: tuple[Any, dict, dict[str, Tensor]]) -> None:
    theirs, config, tensors = bert
    seen = framed(TOKENS)
    content = (seen != 0).long()
    expected = theirs(seen, attention_mask=content).last_hidden_state
    mean = (expected * content[:, :, None]).sum(1) / content.sum(1, keepdim=True)
    torch.testing.assert_close(filled(config, tensors)(TOKENS), mean, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        filled(config, tensors, pooling="cls")(TOKENS), expected[:, 0], atol=1e-5, rtol=0
    )
    unit = filled(config, tensors, unit_length=True)(TOKENS)
    torch.testing.assert_close(unit, mean / mean.norm(dim=1, keepdim=True), atol=1e-5, rtol=0)
    vectors = filled(config, tensors).encode(TOKENS)
    torch.testing.assert_close(vectors[0], expected[0, 1:-1], atol=1e-5, rtol=0)
    assert vectors.shape == (3, 6, 24)


@torch.no_grad()
def test_explicit_attention_does_not_change_outputs(bert: tuple[Any, dict, dict[str, Tensor]]) -> None:
    model = filled(*bert[1:])
    fused = model(TOKENS)
    with explicit_attention(model) as maps:
        torch.testing.assert_close(model(TOKENS), fused)
        assert [tuple(weights.shape) for weights in maps().values()] == [(3, 4, 8, 8)] * 3


@torch.no_grad()
def test_old_names_of_layer_norms_are_read(bert: tuple[Any, dict, dict[str, Tensor]]) -> None:
    _, config, tensors = bert
    old = {f"bert.{name}".replace("LayerNorm.weight", "LayerNorm.gamma"): t for name, t in tensors.items()}
    old = {name.replace("LayerNorm.bias", "LayerNorm.beta"): tensor for name, tensor in old.items()}
    old["cls.predictions.bias"] = torch.zeros(50)
    assert torch.equal(filled(config, old)(TOKENS), filled(config, tensors)(TOKENS))


@torch.no_grad()
def test_gpt2_equals_transformers(gpt2: tuple[Any, dict, dict[str, Tensor]]) -> None:
    theirs, config, tensors = gpt2
    model = filled(config, tensors)
    expected = theirs(TOKENS).logits
    torch.testing.assert_close(model(TOKENS), expected, atol=1e-4, rtol=0)
    cache = model.new_cache()
    parts = [model(TOKENS[:, :4], cache=cache), model(TOKENS[:, 4:], cache=cache)]
    torch.testing.assert_close(torch.cat(parts, dim=1), expected, atol=1e-4, rtol=0)


@torch.no_grad()
def test_added_tokens_do_not_change_probabilities(gpt2: tuple[Any, dict, dict[str, Tensor]]) -> None:
    theirs, config, tensors = gpt2
    order = [-1, -1, -1, 49, -1, *range(49)]
    architecture = replace(read_architecture(config, tensors), vocab_size=len(order))
    model = build_model(architecture).eval()
    copy_weights(model, "gpt2", tensors, order)
    ours = torch.tensor([[5, 8, 3, 30]])
    expected = theirs(torch.tensor(order)[ours]).logits.softmax(-1)
    got = model(ours).softmax(-1)
    known = torch.tensor(order) >= 0
    torch.testing.assert_close(
        got[..., known], expected[..., torch.tensor(order)[known]], atol=1e-6, rtol=1e-4
    )
    assert got[..., ~known].max() == 0


def test_a_tokenizer_larger_than_the_embedding_is_refused(gpt2: tuple[Any, dict, dict[str, Tensor]]) -> None:
    _, config, tensors = gpt2
    model = build_model(replace(read_architecture(config, tensors), vocab_size=51))
    with pytest.raises(ValueError, match="tokenizer has 51 tokens, but the embedding has 50 rows"):
        copy_weights(model, "gpt2", tensors, range(51))


# ---- images --------------------------------------------------------------------------------------

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_vit_equals_transformers(vit: tuple[Any, dict, dict[str, Tensor]]) -> None:
    theirs, config, tensors = vit
    torch.testing.assert_close(filled(config, tensors)(IMAGES), theirs(IMAGES).logits, atol=1e-5, rtol=0)
    vectors = theirs.vit(IMAGES).last_hidden_state[:, 0]
    torch.testing.assert_close(filled(config, tensors, num_classes=0)(IMAGES), vectors, atol=1e-5, rtol=0)


@torch.no_grad()
def test_images_of_another_size_equal_transformers_with_interpolated_positions(
    vit: tuple[Any, dict, dict[str, Tensor]],
) -> None:
    theirs, config, tensors = vit
    images = torch.randn(2, 3, 48, 40, generator=torch.Generator().manual_seed(2))
    expected = theirs(images, interpolate_pos_encoding=True).logits
    got = filled(config, tensors, image_shape=(3, 48, 40))(images)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)


@torch.no_grad()
def test_gray_images_equal_three_equal_channels(vit: tuple[Any, dict, dict[str, Tensor]]) -> None:
    _, config, tensors = vit
    grey = IMAGES[:, :1]
    expected = filled(config, tensors)(grey.expand(-1, 3, -1, -1))
    got = filled(config, tensors, image_shape=(1, 32, 32))(grey)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)


def timm_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a ViT of transformers under timm's names."""
    fixed = {
        "vit.embeddings.cls_token": "cls_token",
        "vit.embeddings.position_embeddings": "pos_embed",
        "classifier.weight": "head.weight",
        "classifier.bias": "head.bias",
    }
    parts = {
        "embeddings.patch_embeddings.projection": "patch_embed.proj",
        "vit.layernorm.": "vit.norm.",
        "layernorm_before": "norm1",
        "layernorm_after": "norm2",
        "attention.output.dense": "attn.proj",
        "intermediate.dense": "mlp.fc1",
        "output.dense": "mlp.fc2",
        "encoder.layer": "blocks",
    }
    made, thirds = {}, {}
    for name, tensor in tensors.items():
        if joint := re.fullmatch(r"vit\.encoder\.layer\.(\d+)\.attention\.attention\.(\w+)\.(\w+)", name):
            block, which, kind = joint.groups()
            thirds.setdefault((block, kind), {})[which] = tensor
            continue
        for old, new in parts.items():
            name = name.replace(old, new)
        made[fixed.get(name, name.removeprefix("vit."))] = tensor
    for (block, kind), of in thirds.items():
        made[f"blocks.{block}.attn.qkv.{kind}"] = torch.cat([of["query"], of["key"], of["value"]])
    return made


@torch.no_grad()
def test_timm_weights_give_the_same_model(vit: tuple[Any, dict, dict[str, Tensor]]) -> None:
    _, config, tensors = vit
    theirs = {"architecture": "vit_tiny_patch8_32", "global_pool": "token"}
    theirs["pretrained_cfg"] = {"input_size": [3, 32, 32]}
    renamed = timm_names(tensors)
    assert read_architecture(theirs, renamed).num_layers == 3
    changes = {"num_heads": 4, "eps": 1e-12}  # this one is too narrow for heads of 64
    got = filled(theirs, renamed, **changes)(IMAGES)
    assert torch.equal(got, filled(config, tensors)(IMAGES))


@pytest.mark.parametrize(
    ("width", "heads"), [(192, 3), (384, 6), (768, 12), (1024, 16), (1280, 16), (1408, 16)]
)
def test_timm_models_have_the_published_number_of_heads(width: int, heads: int) -> None:
    """Tiny, small, base, large, huge and giant, as timm's `vision_transformer.py` makes them."""
    config = {"architecture": "vit_any_patch16_224", "pretrained_cfg": {"input_size": [3, 224, 224]}}
    tensors = {
        "patch_embed.proj.weight": torch.zeros(width, 3, 16, 16),
        "blocks.0.mlp.fc1.weight": torch.zeros(4 * width, 1),
    }
    assert read_architecture(config, tensors).num_heads == heads


def test_resized_positions_keep_their_order() -> None:
    positions = torch.arange(10.0)[:, None].expand(10, 2)
    assert resize_positions(positions, (3, 3)) is positions
    larger = resize_positions(positions, (6, 6))
    assert larger.shape == (37, 2)
    assert torch.equal(larger[0], positions[0])
    assert larger[1:, 0].diff().sum() > 0  # the first patch still comes before the last


# ---- fine-tuning ---------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["bert", "vit"])
def test_gradients_reach_the_encoder_of_a_classifier(family: str, request: pytest.FixtureRequest) -> None:
    _, config, tensors = request.getfixturevalue(family)
    architecture = read_architecture(config, tensors)
    model = build_classifier(architecture, 5, dropout=0.0)
    copy_weights(model.encoder, family, tensors)
    logits = model(TOKENS if family == "bert" else IMAGES)
    assert logits.shape == (len(logits), 5)
    logits.square().sum().backward()
    silent = [n for n, p in model.named_parameters() if p.ndim > 1 and not p.grad.abs().sum() > 0]
    assert silent == []


def test_a_gpt2_classifier_is_refused(gpt2: tuple[Any, dict, dict[str, Tensor]]) -> None:
    with pytest.raises(ValueError, match="expects an encoder, received a GPT-2"):
        build_classifier(read_architecture(*gpt2[1:]), 2)


def test_an_architecture_is_restored_from_json(vit: tuple[Any, dict, dict[str, Tensor]]) -> None:
    architecture = read_architecture(*vit[1:])
    assert Architecture.restore(json.loads(json.dumps(architecture.state()))) == architecture


# ---- errors --------------------------------------------------------------------------------------


def test_weights_of_another_model_are_refused_by_name(bert: tuple[Any, dict, dict[str, Tensor]]) -> None:
    _, config, tensors = bert
    wrong = {name: t for name, t in tensors.items() if name != "encoder.layer.1.output.dense.bias"}
    wrong["encoder.layer.0.intermediate.dense.weight"] = torch.zeros(41, 24)
    wrong["encoder.layer.9.adapter.weight"] = torch.zeros(2)
    with pytest.raises(ValueError, match="do not match config") as caught:
        filled(config, wrong)
    message = str(caught.value)
    assert "encoder.layer.1.output.dense.bias is missing" in message
    assert "encoder.layer.0.intermediate.dense.weight is (41, 24), expected (40, 24)" in message
    assert "encoder.layer.9.adapter.weight is not part" in message


@pytest.mark.parametrize("config", [{"model_type": "llama"}, {"architecture": "resnet50"}, {}])
def test_an_unsupported_type_is_refused_with_the_supported_ones(config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="supported are bert, gpt2, vit, and timm's"):
        read_architecture(config, {})


def test_unsupported_settings_are_refused(bert: tuple[Any, dict, dict[str, Tensor]]) -> None:
    _, config, tensors = bert
    with pytest.raises(ValueError, match="position_embedding_type is 'relative_key'"):
        read_architecture({**config, "position_embedding_type": "relative_key"}, tensors)
    with pytest.raises(ValueError, match="swish"):
        build_model(read_architecture({**config, "hidden_act": "swish"}, tensors))
    with pytest.raises(ValueError, match="expected a key 'hidden_size'"):
        read_architecture({"model_type": "bert"}, {})
    assert set(FAMILIES) == {"bert", "gpt2", "vit", "timm"}


def test_long_texts_are_refused(bert: tuple[Any, dict, dict[str, Tensor]]) -> None:
    model = filled(*bert[1:])
    assert isinstance(model, TextEncoder)
    assert model(torch.full((1, 18), 7)).shape == (1, 24)
    with pytest.raises(ValueError, match="at most 18 tokens"):
        model(torch.full((1, 19), 7))
