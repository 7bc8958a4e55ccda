"""From the weights that others publish to ours: what a configuration means, and where each tensor belongs.

`read` says what a config.json means in the words used here; `fill` copies the tensors into the model that
`pellucid.models.pretrained` makes of it. A tensor that is missing, left over or of another shape is an
error: a model with some of its weights would look like one and know nothing.

Sources: the checkpoints of Hugging Face transformers (bert, gpt2, vit) and of timm (vit_*).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.models.pretrained import Architecture
from pellucid.models.vit import ViT

Tensors = Mapping[str, Tensor]
NEVER = -1e4
"""Added to the logit of a token that cannot come next: its probability is 0 in every precision."""
LISTED = 5
_BLOCK = re.compile(r"blocks\.(\d+)\.")


# ---- what their configurations mean --------------------------------------------------------------


def read(config: Mapping[str, Any], tensors: Tensors) -> Architecture:
    """Say in the words used here what a model of theirs is made of.

    Args:
        config: its config.json.
        tensors: its weights, which know some sizes best.

    Raises:
        ValueError: the type of model is not known here, or has something that is not.
    """
    try:
        return FAMILIES[family_of(config)].read(config, tensors)
    except KeyError as error:
        raise ValueError(f"config.json: expected a key {error.args[0]!r}, and there is none.") from None


def family_of(config: Mapping[str, Any]) -> str:
    """Return the name of a model's family.

    Raises:
        ValueError: it is none of `FAMILIES`.
    """
    kind = str(config.get("model_type") or config.get("architecture") or "")
    if kind in FAMILIES and kind != "timm":
        return kind
    if re.fullmatch(r"vit_\w*patch\d+\w*", kind):
        return "timm"
    raise ValueError(
        f"config.json: the model type is {kind or 'not stated'!r}; known are bert, gpt2, vit, and timm's "
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
    """timm states the picture alone; the sizes are those of the tensors, and heads are 64 wide."""
    if config.get("global_pool", "token") != "token":
        raise ValueError(f"config.json: global_pool is {config['global_pool']!r}; known is 'token'.")
    patches = tensors.get("patch_embed.proj.weight")
    hidden = tensors.get("blocks.0.mlp.fc1.weight")
    if patches is None or hidden is None:
        raise ValueError("The weights are no ViT of timm: patch_embed.proj or blocks.0.mlp.fc1 is missing.")
    embed_dim, head = len(patches), tensors.get("head.weight")
    blocks = {name.split(".")[1] for name in tensors if name.startswith("blocks.")}
    return Architecture(
        family="timm",
        embed_dim=embed_dim,
        num_layers=len(blocks),
        num_heads=embed_dim // 64,
        mlp_dim=len(hidden),
        eps=1e-6,
        activation="gelu",
        image_shape=tuple(config["pretrained_cfg"]["input_size"]),
        patch_size=patches.shape[-1],
        num_classes=0 if head is None else len(head),
    )


def _expect(config: Mapping[str, Any], **known: Any) -> None:
    """Refuse a setting that would need something not built here; one that is not stated is the usual one."""
    for key, value in known.items():
        if config.get(key, value) != value:
            raise ValueError(f"config.json: {key} is {config[key]!r}; known is {value!r} alone.")


def _sides(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


# ---- where their tensors belong ------------------------------------------------------------------


@dataclass(frozen=True)
class Family:
    """Models of one type.

    Attributes:
        read: (their config, their tensors) -> architecture.
        names: our names -> theirs; * is the number of a block, #n the n-th third of a joint projection.
        prefix: what their names may begin with.
        unused: a pattern of tensors that are not needed.
        transposed: a pattern of weights that they keep as (in, out).
    """

    read: Callable[[Mapping[str, Any], Tensors], Architecture]
    names: Mapping[str, str]
    prefix: str
    unused: str
    transposed: str = r"(?!)"


_HEADS = r"|(classifier|head|pooler|pre_logits)\..*"
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
        unused=r"embeddings\.(position_ids|token_type_ids)|cls\..*" + _HEADS,
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
            "patches": "embeddings.patch_embeddings.projection",
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
        unused=r"embeddings\.mask_token" + _HEADS,
    ),
    "timm": Family(
        _read_timm,
        {
            "class_token": "cls_token",
            "positions.weight": "pos_embed",
            "patches": "patch_embed.proj",
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
        unused=_HEADS.removeprefix("|"),
    ),
}
"""Types of models that are known, by the `model_type` of their configuration."""


def fill(model: nn.Module, family: str, tensors: Tensors, order: Sequence[int] | None = None) -> None:
    """Copy their tensors into a model.

    Images may have another size or be grey: positions are then resized, and the weights of the colors added
    up, which is what they make of a grey picture in three equal colors.

    Args:
        model: made from their architecture; changed in place.
        family: one of `FAMILIES`.
        tensors: by their names.
        order: for texts, their number of each of our tokens; -1 for a token they do not have. None: all
            tokens are numbered as theirs.

    Raises:
        ValueError: names the tensors that are missing, left over, or of another shape.
    """
    spec = FAMILIES[family]
    theirs = _plain(tensors, spec)
    used, problems = set(), []
    for name, mine in model.state_dict().items():
        if name == "embedding.never":
            _forbid(mine, order)
            continue
        source, _, third = _source(name, spec.names).partition("#")
        if source not in theirs:
            problems.append(f"{source} is missing")
            continue
        used.add(source)
        found = _fitted(model, name, _part(theirs[source], third), order)
        if found.shape == mine.shape:
            mine.copy_(found)
        else:
            problems.append(f"{source} is {tuple(found.shape)}, expected {tuple(mine.shape)}")
    left = [name for name in theirs if name not in used and not re.fullmatch(spec.unused, name)]
    problems += [f"{name} has no place in a model of the type {family}" for name in left]
    if problems:
        more = f"; and {len(problems) - LISTED} more" if len(problems) > LISTED else ""
        raise ValueError(
            f"The weights are not those of their config.json: {'; '.join(problems[:LISTED])}{more}."
        )


def _plain(tensors: Tensors, family: Family) -> dict[str, Tensor]:
    """Their tensors under one spelling of their names, as (out, in), and BERT's first token type put into
    the positions: both are added to every token."""
    plain = {}
    for name, tensor in tensors.items():
        name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name.removeprefix(family.prefix))
        name = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)
        plain[name] = tensor.T if re.fullmatch(family.transposed, name) else tensor
    types = plain.pop("embeddings.token_type_embeddings.weight", None)
    positions = "embeddings.position_embeddings.weight"
    if types is not None and positions in plain:
        plain[positions] = plain[positions] + types[0]
    return plain


def _source(name: str, names: Mapping[str, str]) -> str:
    """Their name for one of our tensors, with the third of it that is meant."""
    block = _BLOCK.match(name)
    name = _BLOCK.sub("blocks.*.", name, count=1)
    module, _, kind = name.rpartition(".")
    template = names.get(name)
    if template is None:
        source, mark, third = names[module].partition("#")
        template = f"{source}.{kind}{mark}{third}"
    return template.replace("*", block.group(1)) if block else template


def _part(tensor: Tensor, third: str) -> Tensor:
    return tensor.chunk(3)[int(third)] if third else tensor


def _fitted(model: nn.Module, name: str, tensor: Tensor, order: Sequence[int] | None) -> Tensor:
    """Bring a tensor to the vocabulary, or to the images, of a model."""
    if name == "embedding.weight" and order is not None:
        return rearranged(tensor, order)
    if not isinstance(model, ViT):
        return tensor
    if name in ("class_token", "positions.weight"):
        tensor = tensor.flatten(0, -2)
    if name == "class_token":
        return tensor[0]
    if name == "positions.weight":
        return resized(tensor, model.grid)
    if name == "patches.weight" and model.image_shape[0] == 1:
        return tensor.sum(1, keepdim=True)
    return tensor


def _forbid(never: Tensor, order: Sequence[int] | None) -> None:
    new = torch.tensor([number < 0 for number in order or ()], dtype=torch.bool)
    if len(new):
        never.masked_fill_(new, NEVER)


def rearranged(embedding: Tensor, order: Sequence[int]) -> Tensor:
    """Put the rows of an embedding (V, C) in our order; a token of ours alone gets zeros.

    Raises:
        ValueError: there are tokens without a row.
    """
    if max(order) >= len(embedding):
        raise ValueError(f"The tokenizer has {max(order) + 1:,} tokens, and the weights {len(embedding):,}.")
    rows = torch.tensor(order)
    found = embedding[rows.clamp(min=0)]
    return found.masked_fill(rows[:, None] < 0, 0.0)


def resized(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Resize the positions (1 + N, C) of a class token and a square of N patches to another grid.

    Bicubic, as Dosovitskiy et al. (2021, section 3.2) do for pictures of another size.
    """
    side = round((len(positions) - 1) ** 0.5)
    if (side, side) == grid:
        return positions
    square = positions[1:].T.unflatten(1, (side, side))[None]  # (1, C, side, side)
    made = F.interpolate(square, size=grid, mode="bicubic", align_corners=False)
    return torch.cat([positions[:1], made[0].flatten(1).T])
