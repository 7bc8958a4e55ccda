"""Models of the library transformers: which class a config.json means, with its weights or new ones.

The library is an extra. Only its own classes are used: code that comes with a model is never run, and weights
are read from safetensors only.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pellucid.errors import MissingExtraError, ModelError, UsageError

VECTORS, NEXT_TOKENS, MASKED_TOKENS = "vectors", "next_tokens", "masked_tokens"
"""What a model is built to output: a vector for each row, or logits of the next or of the masked tokens."""
HEADS = {
    VECTORS: "AutoModel",
    NEXT_TOKENS: "AutoModelForCausalLM",
    MASKED_TOKENS: "AutoModelForMaskedLM",
}
"""The class of the library for each."""
IMAGE_PART, TEXT_PART = "vision_model", "text_model"
"""The two parts of a model of images and texts, such as CLIP."""
LISTED = 5


def transformers() -> Any:
    """Import the library.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import transformers
    except ImportError:
        raise MissingExtraError("the library transformers", "transformers") from None
    return transformers


def library_config(config: Mapping[str, Any]) -> Any:
    """Return a config.json as an object of the library.

    Raises:
        MissingExtraError: the library is not installed.
        ModelError: the library has no model of this type, or the config is not valid.
    """
    library, kind = transformers(), config.get("model_type")
    known = library.models.auto.configuration_auto.CONFIG_MAPPING
    if kind not in known:
        own = "auto_map" in config
        why = "it needs code that comes with the model, which is never run" if own else "it has none"
        raise ModelError(
            f"config.json: the model type is {kind or 'not stated'!r}: expected one that transformers "
            f"{library.__version__} has, and {why}.",
            remedy="a model of a type that transformers has, such as bert, roberta, vit, dinov2 or resnet",
        )
    plain = {key: value for key, value in config.items() if key not in ("auto_map", "quantization_config")}
    if "quantization_config" in config:
        raise ModelError(
            "config.json: the weights are quantized, which cannot be trained here.",
            remedy="the same model with weights in float32, float16 or bfloat16",
        )
    try:
        with quiet():
            return known[kind].from_dict(plain)
    except Exception as error:  # whatever the library raises
        raise ModelError(f"config.json: {_first_line(error)}.", remedy="download it again") from None


def input_type_of(config: Mapping[str, Any], part: str | None = None) -> str:
    """Return what a model of the library reads: "text" or "image".

    Args:
        config: the content of its config.json.
        part: "text" or "image", for a model of both.

    Raises:
        MissingExtraError, ModelError: see `library_config`; or it reads something else.
    """
    names = _arguments(_class_of(library_config(config), VECTORS))
    text, image = "input_ids" in names, "pixel_values" in names
    if text and image:
        return part or "image"
    if text or image:
        return "text" if text else "image"
    reads = ", ".join(name for name in list(names)[:3]) or "nothing"
    raise ModelError(
        f"A model of the type {config.get('model_type')} reads {reads}; expected texts (input_ids) or images "
        "(pixel_values).",
        remedy="a model of texts or of images",
    )


def _class_of(config: Any, output: str) -> Any:
    """Return the class of the library for a config.

    Raises:
        ModelError: there is none with that output.
    """
    automatic = getattr(transformers(), HEADS[output])
    mapping = automatic._model_mapping
    if type(config) not in mapping:
        words = {VECTORS: "vectors", NEXT_TOKENS: "the next token", MASKED_TOKENS: "masked tokens"}[output]
        tries = {NEXT_TOKENS: "a model such as gpt2", MASKED_TOKENS: "a model such as bert or roberta"}
        raise ModelError(
            f"transformers has no model of the type {config.model_type} that predicts {words}.",
            remedy=tries.get(output, "another model"),
        )
    found = mapping[type(config)]
    return found[0] if isinstance(found, (list, tuple)) else found


def load_module(
    folder: Path, config: Mapping[str, Any], output: str, reads: str
) -> tuple[nn.Module, list[str]]:
    """Load a model with its weights, in float32.

    Args:
        folder: with its files.
        config: the content of its config.json.
        output: a key of `HEADS`.
        reads: "text" or "image", which selects the encoder or the part of a model of both.

    Returns:
        The part that is used, and the names of its tensors that the files lack.

    Raises:
        ModelError: the weights cannot be read or have other shapes than config.json states.
    """
    made = library_config(config)
    try:
        with quiet():
            model, info = _class_of(made, output).from_pretrained(
                str(folder),
                config=made,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except (ModelError, MissingExtraError):
        raise
    except Exception as error:  # whatever the library raises
        raise ModelError(
            f"{folder}: transformers cannot load this {config.get('model_type')}: {_first_line(error)}",
            remedy="a folder with the whole model as transformers saves it",
        ) from None
    path = _part(model, output, reads)
    prefix = f"{path}." if path else ""
    missing = [name.removeprefix(prefix) for name in sorted(info["missing_keys"]) if name.startswith(prefix)]
    return model.get_submodule(path), missing


def build_module(config: Mapping[str, Any], output: str, reads: str) -> nn.Module:
    """Build the part of a model that `load_module` returns, with new weights.

    Raises:
        MissingExtraError, ModelError: see `library_config`.
    """
    made = library_config(config)
    with quiet():
        model = _class_of(made, output)._from_config(made, dtype=torch.float32)
    return model.get_submodule(_part(model, output, reads))


def plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config.json with all defaults of the library, as plain JSON values."""
    return json.loads(library_config(config).to_json_string(use_diff=False))


def refuse_missing(folder: Path, missing: list[str], output: str) -> None:
    """Refuse weights that lack tensors of the model.

    Raises:
        ModelError: names them.
    """
    if not missing:
        return
    more = f" and {len(missing) - LISTED} more" if len(missing) > LISTED else ""
    head = "" if output == VECTORS else f" to predict {output.replace('_', ' ')}"
    raise ModelError(
        f"{folder}: the weights lack {', '.join(missing[:LISTED])}{more}, which the model needs{head}.",
        remedy="the whole model"
        if output == VECTORS
        else "a checkpoint with that head, or a task such as classification, which needs only the encoder",
    )


def _part(model: nn.Module, output: str, reads: str) -> str:
    """Return the name of the part of a model that is used; "" for all of it."""
    if output != VECTORS:
        return ""
    names = _arguments(type(model))
    if "input_ids" in names and "pixel_values" in names:
        wanted = IMAGE_PART if reads == "image" else TEXT_PART
        if hasattr(model, wanted):
            return wanted
        raise ModelError(
            f"{type(model).__name__} reads images and texts together, and has no part {wanted!r} of its own.",
            remedy="a model of one of them, or one such as clip or siglip",
        )
    if getattr(model, "config", None) is not None and getattr(model.config, "is_encoder_decoder", False):
        encoder = model.get_encoder()  # type: ignore[operator]
        return next(name for name, module in model.named_modules() if module is encoder)
    return ""


def _arguments(cls: Any) -> Mapping[str, inspect.Parameter]:
    found = dict(inspect.signature(cls.forward).parameters)
    found.pop("self", None)
    return found


def takes(module: nn.Module, name: str) -> bool:
    """Return whether the `forward` of a module has an argument of that name."""
    return name in _arguments(type(module))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the library from writing warnings and progress bars."""
    logging = transformers().utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def check_part(part: str | None) -> None:
    """Refuse an unknown part.

    Raises:
        UsageError: it is neither text nor image.
    """
    if part not in (None, "text", "image"):
        raise UsageError(f"part is {part!r}: expected text or image, for a model of both such as clip.")
