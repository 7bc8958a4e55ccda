"""Supported families of published models: their configs and the names of their tensors.

`read_architecture` converts a config.json to an `Architecture`; `FAMILIES` holds the names of the tensors.

Sources: the checkpoints of Hugging Face transformers (bert, gpt2, vit) and of timm (vit_*).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pellucid.models.architecture import Architecture

Tensors = Mapping[str, Tensor]


def read_architecture(config: Mapping[str, Any], tensors: Tensors) -> Architecture:
    """Return the architecture of a published model.

    Args:
        config: the content of its config.json.
        tensors: its weights; some dimensions are taken from their shapes.

    Raises:
        ValueError: the model type or one of its settings is not supported, or a key is missing.
    """
    try:
        return FAMILIES[family_of(config)].read(config, tensors)
    except KeyError as error:
        raise ValueError(f"config.json: expected a key {error.args[0]!r}, but it is missing.") from None


def family_of(config: Mapping[str, Any]) -> str:
    """Return the family of a published model: a key of `FAMILIES`.

    Raises:
        ValueError: the model type is not supported.
    """
    kind = str(config.get("model_type") or config.get("architecture") or "")
    if kind in FAMILIES and kind != "timm":
        return kind
    if re.fullmatch(r"vit_\w*patch\d+\w*", kind):
        return "timm"
    raise ValueError(
        f"config.json: the model type is {kind or 'not stated'!r}; supported are bert, gpt2, vit, and timm's "
        "vit_*_patch*."
    )


def _read_bert(config: Mapping[str, Any], tensors: Tensors) -> Architecture:
    _expect(config, position_embedding_type="absolute", is_decoder=False, add_cross_attention=False)
    return Architecture(
        family="bert",
        embed_dim=config["hidden_size"],
        num_layers=config["num_hidden_layers"],
        num_heads=config["num_attention_heads"],
        mlp_dim=config["intermediate_size"],
        eps=config.get("layer_norm_eps", 1e-12),
        activation=config.get("hidden_act", "gelu"),
        vocab_size=config["vocab_size"],
        max_seq_len=config["max_position_embeddings"],
    )


def _read_gpt2(config: Mapping[str, Any], tensors: Tensors) -> Architecture:
    _expect(config, scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False, tie_word_embeddings=True)
    return Architecture(
        family="gpt2",
        embed_dim=config["n_embd"],
        num_layers=config["n_layer"],
        num_heads=config["n_head"],
        mlp_dim=config.get("n_inner") or 4 * config["n_embd"],
        eps=config.get("layer_norm_epsilon", 1e-5),
        activation=config.get("activation_function", "gelu_new"),
        vocab_size=config["vocab_size"],
        max_seq_len=config["n_positions"],
    )


def _read_vit(config: Mapping[str, Any], tensors: Tensors) -> Architecture:
    _expect(config, qkv_bias=True)
    head = tensors.get("classifier.weight")
    return Architecture(
        family="vit",
        embed_dim=config["hidden_size"],
        num_layers=config["num_hidden_layers"],
        num_heads=config["num_attention_heads"],
        mlp_dim=config["intermediate_size"],
        eps=config.get("layer_norm_eps", 1e-12),
        activation=config.get("hidden_act", "gelu"),
        image_shape=(config.get("num_channels", 3), *_sides(config["image_size"])),
        patch_size=_sides(config["patch_size"])[0],
        num_classes=0 if head is None else len(head),
    )


def _read_timm(config: Mapping[str, Any], tensors: Tensors) -> Architecture:
    """Read a config of timm, which only states the image size; the dimensions come from the tensors.

    A head has 64 features, except that there are at most 16 heads: the huge and giant models have wider ones.
    """
    if config.get("global_pool", "token") != "token":
        raise ValueError(f"config.json: global_pool is {config['global_pool']!r}; supported is 'token'.")
    patches = tensors.get("patch_embed.proj.weight")
    hidden = tensors.get("blocks.0.mlp.fc1.weight")
    if patches is None or hidden is None:
        raise ValueError("Expected a timm ViT, but the weights lack patch_embed.proj or blocks.0.mlp.fc1.")
    embed_dim, head = len(patches), tensors.get("head.weight")
    blocks = {name.split(".")[1] for name in tensors if name.startswith("blocks.")}
    return Architecture(
        family="timm",
        embed_dim=embed_dim,
        num_layers=len(blocks),
        num_heads=min(embed_dim // 64, 16),
        mlp_dim=len(hidden),
        eps=1e-6,
        activation="gelu",
        image_shape=tuple(config["pretrained_cfg"]["input_size"]),
        patch_size=patches.shape[-1],
        num_classes=0 if head is None else len(head),
    )


def _expect(config: Mapping[str, Any], **known: Any) -> None:
    """Refuse unsupported settings; a setting that is missing has its default."""
    for key, value in known.items():
        if config.get(key, value) != value:
            raise ValueError(f"config.json: {key} is {config[key]!r}; only {value!r} is supported.")


def _sides(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


# ---- names of tensors ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Family:
    """A family of published models.

    Attributes:
        read: (config, tensors) -> architecture.
        names: our names -> published names; * is the index of a block, #n the third n = 0..2 of a joint
            projection.
        prefix: optional prefix of the published names.
        unused: regular expression for tensors that are not needed.
        transposed: regular expression for weights that are published as (in, out).
    """

    read: Callable[[Mapping[str, Any], Tensors], Architecture]
    names: Mapping[str, str]
    prefix: str
    unused: str
    transposed: str = r"(?!)"


_HEADS = r"(classifier|head|pooler|pre_logits)\..*"
FAMILIES: dict[str, Family] = {
    "bert": Family(
        _read_bert,
        {
            "embedding": "embeddings.word_embeddings",
            "positions": "embeddings.position_embeddings",
            "embedding_norm": "embeddings.LayerNorm",
            "blocks.*.attention.q_proj": "encoder.layer.*.attention.self.query",
            "blocks.*.attention.k_proj": "encoder.layer.*.attention.self.key",
            "blocks.*.attention.v_proj": "encoder.layer.*.attention.self.value",
            "blocks.*.attention.out_proj": "encoder.layer.*.attention.output.dense",
            "blocks.*.attention_norm": "encoder.layer.*.attention.output.LayerNorm",
            "blocks.*.mlp.0": "encoder.layer.*.intermediate.dense",
            "blocks.*.mlp.2": "encoder.layer.*.output.dense",
            "blocks.*.mlp_norm": "encoder.layer.*.output.LayerNorm",
        },
        prefix="bert.",
        unused=r"embeddings\.(position_ids|token_type_ids)|cls\..*|" + _HEADS,
    ),
    "gpt2": Family(
        _read_gpt2,
        {
            "embedding": "wte",
            "positions": "wpe",
            "norm": "ln_f",
            "blocks.*.attention_norm": "h.*.ln_1",
            "blocks.*.attention.q_proj": "h.*.attn.c_attn#0",
            "blocks.*.attention.k_proj": "h.*.attn.c_attn#1",
            "blocks.*.attention.v_proj": "h.*.attn.c_attn#2",
            "blocks.*.attention.out_proj": "h.*.attn.c_proj",
            "blocks.*.mlp_norm": "h.*.ln_2",
            "blocks.*.mlp.0": "h.*.mlp.c_fc",
            "blocks.*.mlp.2": "h.*.mlp.c_proj",
        },
        prefix="transformer.",
        unused=r"lm_head\.weight|h\.\d+\.attn\.(masked_)?bias",
        transposed=r"h\.\d+\.(attn|mlp)\..*\.weight",
    ),
    "vit": Family(
        _read_vit,
        {
            "class_token": "embeddings.cls_token",
            "positions.weight": "embeddings.position_embeddings",
            "stem": "embeddings.patch_embeddings.projection",
            "norm": "layernorm",
            "output": "classifier",
            "blocks.*.attention_norm": "encoder.layer.*.layernorm_before",
            "blocks.*.attention.q_proj": "encoder.layer.*.attention.attention.query",
            "blocks.*.attention.k_proj": "encoder.layer.*.attention.attention.key",
            "blocks.*.attention.v_proj": "encoder.layer.*.attention.attention.value",
            "blocks.*.attention.out_proj": "encoder.layer.*.attention.output.dense",
            "blocks.*.mlp_norm": "encoder.layer.*.layernorm_after",
            "blocks.*.mlp.0": "encoder.layer.*.intermediate.dense",
            "blocks.*.mlp.2": "encoder.layer.*.output.dense",
        },
        prefix="vit.",
        unused=r"embeddings\.mask_token|" + _HEADS,
    ),
    "timm": Family(
        _read_timm,
        {
            "class_token": "cls_token",
            "positions.weight": "pos_embed",
            "stem": "patch_embed.proj",
            "norm": "norm",
            "output": "head",
            "blocks.*.attention_norm": "blocks.*.norm1",
            "blocks.*.attention.q_proj": "blocks.*.attn.qkv#0",
            "blocks.*.attention.k_proj": "blocks.*.attn.qkv#1",
            "blocks.*.attention.v_proj": "blocks.*.attn.qkv#2",
            "blocks.*.attention.out_proj": "blocks.*.attn.proj",
            "blocks.*.mlp_norm": "blocks.*.norm2",
            "blocks.*.mlp.0": "blocks.*.mlp.fc1",
            "blocks.*.mlp.2": "blocks.*.mlp.fc2",
        },
        prefix="",
        unused=_HEADS,
    ),
}
"""Supported families by the `model_type` in their config.json."""
