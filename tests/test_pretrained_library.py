"""Pretrained models of any architecture of transformers train, resume and predict from their run alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tokenizers
import torch
from PIL import Image
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers
from torch import nn

import pellucid
from pellucid import runner
from pellucid.config import Config
from pellucid.data.text.text_inputs import PAD
from pellucid.data.text.vocabulary import read_adopted
from pellucid.errors import MissingExtraError, ModelError, PellucidError
from pellucid.pretrained import load_model, pretrained
from pellucid.pretrained.library import quiet
from pellucid.record import Run
from pellucid.runner.supplied import Supplied
from pellucid.tasks.shared.attribution import integrated_gradients
from pellucid.train.freezing import freeze

transformers = pytest.importorskip("transformers")

TEXTS = ["good fun and a good story", "bad and boring, a bad film", "fun story", "boring film"]
WIDTHS = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
IMAGES = {
    "resnet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
    "convnext": {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
    "dinov2": {**WIDTHS, "image_size": 28, "patch_size": 14},
    "mobilenet_v2": {"depth_multiplier": 0.1, "min_depth": 4, "depth_divisible_by": 4, "expand_ratio": 1},
    "swin": {
        "image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2],
        "window_size": 4,
    },
    "regnet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "groups_width": 4},
    "efficientnet": {
        "width_coefficient": 0.1, "depth_coefficient": 0.1, "hidden_dim": 128, "depth_divisor": 4,
        "in_channels": [8, 8], "out_channels": [8, 8], "kernel_sizes": [3, 3], "strides": [1, 2],
        "num_block_repeats": [1, 1], "expand_ratios": [1, 2], "depthwise_padding": [],
    },
    "segformer": {
        "num_encoder_blocks": 2, "depths": [1, 1], "hidden_sizes": [8, 16], "num_attention_heads": [1, 2],
        "sr_ratios": [2, 1], "patch_sizes": [3, 3], "strides": [2, 2], "mlp_ratios": [2, 2],
    },
    "vit": {**WIDTHS, "image_size": 32, "patch_size": 8, "hidden_act": "silu"},
}  # fmt: skip
"""Small models of images by type, and what their configs need."""
SIDE = {"height": 32, "width": 32}
PATCHES = {"height": 28, "width": 28}
PROCESSORS = {
    "resnet": ("ConvNextImageProcessor", {"size": {"shortest_edge": 32}, "crop_pct": 0.875}),
    "convnext": ("ConvNextImageProcessor", {"size": {"shortest_edge": 32}, "crop_pct": 0.875}),
    "dinov2": ("BitImageProcessor", {"size": {"shortest_edge": 32}, "crop_size": PATCHES}),
    "mobilenet_v2": ("MobileNetV2ImageProcessor", {"size": {"shortest_edge": 36}, "crop_size": SIDE}),
    "efficientnet": (
        "EfficientNetImageProcessor", {"size": SIDE, "rescale_offset": True, "rescale_factor": 1 / 127.5},
    ),
}  # fmt: skip
TEXT_MODELS = {
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 24},
    "roberta": {**WIDTHS, "max_position_embeddings": 24, "pad_token_id": 1},
    "deberta-v2": {
        **WIDTHS, "max_position_embeddings": 24, "relative_attention": True, "pos_att_type": ["p2c", "c2p"],
    },
    "albert": {**WIDTHS, "embedding_size": 8, "max_position_embeddings": 24},
    "electra": {**WIDTHS, "embedding_size": 8, "max_position_embeddings": 24},
    "mpnet": {**WIDTHS, "max_position_embeddings": 24, "pad_token_id": 1},
    "t5": {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2, "n_positions": 24},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 24},
    "bert": {**WIDTHS, "max_position_embeddings": 24, "hidden_act": "silu"},
}  # fmt: skip
"""Small models of texts by type, and what their configs need."""


def tokenizer_of(kind: str) -> tokenizers.Tokenizer:
    """A tokenizer as it is published with a model of a type, with its own frame and its own ids."""
    if kind in ("roberta", "gpt2"):
        made = tokenizers.Tokenizer(models.BPE(unk_token=None))
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] if kind == "roberta" else ["<|endoftext|>"]
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        trainer = trainers.BpeTrainer(
            vocab_size=290, special_tokens=special, initial_alphabet=letters, show_progress=False
        )
        frame = ("<s>", "</s>") if kind == "roberta" else ("", "")
    elif kind in ("albert", "deberta-v2", "t5"):
        made = tokenizers.Tokenizer(models.Unigram())
        made.normalizer = normalizers.NFKC()
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        cls, sep, unk = ("", "</s>", "<unk>") if kind == "t5" else ("[CLS]", "[SEP]", "[UNK]")
        special = [
            token
            for token in (
                "<pad>" if kind != "deberta-v2" else "[PAD]",
                cls,
                sep,
                unk,
                "" if kind == "t5" else "[MASK]",
            )
            if token
        ]
        trainer = trainers.UnigramTrainer(
            vocab_size=60, special_tokens=special, unk_token=unk, show_progress=False
        )
        frame = (cls, sep)
    else:
        names = (
            ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]
            if kind == "mpnet"
            else ["[PAD]", "[unused]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        )
        made = tokenizers.Tokenizer(models.WordPiece(vocab={}, unk_token="[UNK]"))
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=60, special_tokens=names, show_progress=False)
        frame = ("<s>", "</s>") if kind == "mpnet" else ("[CLS]", "[SEP]")
    made.train_from_iterator(TEXTS * 3, trainer)
    shape = " ".join(part for part in (frame[0], "$A", frame[1]) if part)
    ends = [(token, made.token_to_id(token)) for token in frame if token]
    made.post_processor = processors.TemplateProcessing(single=shape, special_tokens=ends)
    return made  # fmt: skip


def publish(kind: str, folder: Path, head: str = "AutoModel", **changes: Any) -> Path:
    """A small model with random weights as transformers saves it, with its tokenizer or image processor."""
    torch.manual_seed(0)
    folder.mkdir(exist_ok=True)
    values = {**(IMAGES.get(kind) or TEXT_MODELS[kind]), **changes}
    if kind in TEXT_MODELS:
        tokenizer = tokenizer_of(kind)
        tokenizer.save(str(folder / "tokenizer.json"))
        values["vocab_size"] = tokenizer.get_vocab_size()
        if kind == "gpt2":
            values["bos_token_id"] = values["eos_token_id"] = tokenizer.token_to_id("<|endoftext|>")
    with quiet():
        model = getattr(transformers, head).from_config(transformers.AutoConfig.for_model(kind, **values))
        for parameter in model.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.2)
        model.eval().save_pretrained(folder)
        if kind in PROCESSORS:
            name, options = PROCESSORS[kind]
            getattr(transformers, name + "Pil")(**options).save_pretrained(folder)
        elif kind in IMAGES:
            size = {"height": 32, "width": 32}
            transformers.ViTImageProcessorPil(size=size).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the folder of a small model of a type."""
    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = publish(kind, tmp_path_factory.mktemp(kind))
        return made[kind]

    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of pictures that are not square: dark and light."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for name, low in (("dark", 0), ("light", 150)):
        (folder / name).mkdir()
        for number in range(20):
            pixels = rng.integers(low, low + 100, (30, 44, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short texts, good or bad."""
    rows = [(f"{text} {number}", "bad" if "bo" in text else "good") for number in range(10) for text in TEXTS]
    path = tmp_path_factory.mktemp("reviews") / "reviews.csv"
    pd.DataFrame(rows, columns=["text", "label"]).to_csv(path, index=False)
    return path


def config_of(kind: str, folder: Path, source: Path, **changes: Any) -> Config:
    values = {
        "name": kind,
        "data": {"source": str(source), "validation": 0.2, "test": 0.2},
        "model": {"name": "pretrained", "weights": str(folder)},
        "train": {"epochs": 2, "batch_size": 8, "execution": "eager"},
    }
    if kind in TEXT_MODELS:
        values["data"] |= {"target": "label", "columns": {"text": "text"}, "text": {"max_seq_len": 12}}
    return Config.parse(values).patch(changes)


def order_of(folder: Path) -> list[int]:
    """The published id of each token."""
    return read_adopted(folder).order


def weights_of(run: Run) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    from pellucid.train import checkpoint

    return load_file(checkpoint.find_weights(run, "last"))


# ---- training, resuming, predicting ----------------------------------------------------------------

SEVEN = ["resnet", "convnext", "dinov2", "mobilenet_v2", "distilbert", "roberta", "deberta-v2"]


@pytest.mark.parametrize("kind", SEVEN)
def test_a_model_trains_resumes_and_predicts_without_its_files(
    kind: str, folders: Any, pictures: Path, reviews: Path, tmp_path: Path
) -> None:
    source = reviews if kind in TEXT_MODELS else pictures
    folder = Path(shutil.copytree(folders(kind), tmp_path / "published"))
    config = config_of(kind, folder, source)
    whole = runner.train(config, runs=tmp_path / "whole")
    assert whole.facts["model"]["architecture"]["config"]["model_type"] == kind

    stopped = Supplied(callbacks=(StopAfter(4),))
    part = runner.train(config, runs=tmp_path / "parts", supplied=stopped)
    assert part.status == "interrupted"
    shutil.rmtree(folder)
    again = runner.train(config, runs=tmp_path / "parts", resume=runner.Resume("last"))
    assert again.status == "finished"
    first, second = weights_of(whole), weights_of(again)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []

    inputs = TEXTS if kind in TEXT_MODELS else str(pictures / "dark")
    together = pellucid.Run(whole.path).predict(inputs).outputs
    alone = pellucid.Run(whole.path).predict(
        inputs[:1] if kind in TEXT_MODELS else str(pictures / "dark/0.png")
    )
    np.testing.assert_allclose(together[:1], alone.outputs, atol=1e-5)
    if kind == "distilbert":
        np.testing.assert_allclose(in_new_process(whole, TEXTS), together, atol=1e-6)


def in_new_process(run: Run, texts: list[str]) -> list[list[float]]:
    """Predictions of a run in a process that knows nothing but its folder."""
    code = f"import pellucid; print(pellucid.Run({str(run.path)!r}).predict({texts!r}).outputs.tolist())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(said.stdout.splitlines()[-1])


class StopAfter(pellucid.Callback):
    """Stops training after some updates, as Ctrl-C does."""

    def __init__(self, steps: int):
        self.steps = steps

    def on_step_end(self, trainer: Any) -> None:
        if trainer.step >= self.steps:
            trainer.interrupted = True


# ---- equal to transformers -------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("kind", TEXT_MODELS)
def test_text_vectors_equal_transformers(kind: str, folders: Any) -> None:
    folder = folders(kind)
    with quiet():
        theirs = transformers.AutoModel.from_pretrained(folder).eval()
    theirs = theirs.get_encoder() if kind == "t5" else theirs
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    loaded = load_model(str(folder), implementation="transformers")
    expected = []
    for text in TEXTS:
        ids = torch.tensor([tokenizer.encode(text).ids])
        hidden = theirs(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        expected.append(hidden[0, -1] if kind == "gpt2" else hidden[0].mean(0))
    assert loaded.architecture.pooling == ("last" if kind == "gpt2" else "mean")
    np.testing.assert_allclose(loaded.embed(TEXTS), torch.stack(expected), atol=1e-5)
    np.testing.assert_allclose(loaded.embed(TEXTS[2:3])[0], expected[2], atol=1e-5)  # without padding


@torch.no_grad()
@pytest.mark.parametrize("kind", IMAGES)
def test_image_vectors_equal_transformers(kind: str, folders: Any, pictures: Path) -> None:
    folder = folders(kind)
    paths = [pictures / "dark" / "0.png", pictures / "light" / "1.png"]
    with quiet():
        theirs = transformers.AutoModel.from_pretrained(folder).eval()
        name, _ = PROCESSORS.get(kind, ("ViTImageProcessor", {}))
        processor = getattr(transformers, name + "Pil").from_pretrained(folder)
    pixels = processor([Image.open(path) for path in paths], return_tensors="pt")["pixel_values"]
    found = theirs(pixel_values=pixels)
    loaded = load_model(str(folder), implementation="transformers")
    assert loaded.architecture.pooling == ("mean" if kind == "segformer" else "pooler")
    hidden = found.last_hidden_state
    expected = hidden.mean((2, 3)) if kind == "segformer" else found.pooler_output.flatten(1)
    np.testing.assert_allclose(loaded.embed([str(path) for path in paths]), expected, atol=1e-4)


# ---- freezing, pooling, heads ----------------------------------------------------------------------


def test_a_frozen_backbone_keeps_its_batch_norm_and_has_no_gradient(folders: Any) -> None:
    model = pretrained((3, 32, 32), 2, weights=str(folders("resnet")), freeze="output").train()
    before = {name: value.clone() for name, value in model.encoder.state_dict().items()}  # type: ignore[union-attr]
    model(torch.randn(4, 3, 32, 32)).sum().backward()
    after = model.encoder.state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert [name for name, p in model.named_parameters() if p.grad is not None] == [
        "output.weight",
        "output.bias",
    ]
    freeze(model, 0)
    model.train()(torch.randn(4, 3, 32, 32))
    assert any(not torch.equal(before[name], value) for name, value in model.encoder.state_dict().items())  # type: ignore[union-attr]


def test_layers_are_unfrozen_by_stage(folders: Any) -> None:
    size = len(order_of(folders("roberta")))
    model = pretrained(
        (12,), 2, weights=str(folders("roberta")), vocab_size=size, freeze="encoder.module.encoder.layer.1"
    )
    trained = {name.partition(".module.")[2][:15] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"", "encoder.layer.1"}
    assert any("are trained" in note for note in model.notes)  # type: ignore[union-attr]


def test_the_pooling_can_be_chosen_and_is_recorded(folders: Any) -> None:
    size = len(order_of(folders("roberta")))
    made = [
        pretrained((12,), 2, weights=str(folders("roberta")), vocab_size=size, pooling=pooling)
        for pooling in ("cls", "mean", "max", "last", "pooler", None)
    ]
    assert [m.architecture["pooling"] for m in made] == ["cls", "mean", "max", "last", "pooler", "mean"]  # type: ignore[index]
    assert "the vector of a row is: cls" in made[0].notes[0]  # type: ignore[index]
    with pytest.raises(ValueError, match="pooling"):
        pretrained((12,), 2, weights=str(folders("roberta")), vocab_size=size, pooling="middle")
    with pytest.raises(ValueError, match="this model has none"):
        pretrained(
            (12,), 2, weights=str(folders("distilbert")), vocab_size=len(order_of(folders("distilbert"))),
            pooling="pooler",
        )  # fmt: skip


@torch.no_grad()
def test_a_part_of_a_model_of_images_and_texts_is_used(tmp_path: Path) -> None:
    tokenizer = tokenizer_of("bert")
    text = {
        **WIDTHS,
        "vocab_size": tokenizer.get_vocab_size(),
        "max_position_embeddings": 24,
        "eos_token_id": 2,
    }
    vision = {**WIDTHS, "image_size": 32, "patch_size": 8}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    theirs = transformers.CLIPModel(config).eval()
    theirs.save_pretrained(tmp_path)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    images = torch.randn(2, 3, 32, 32)
    ours = load_model(str(tmp_path))
    torch.testing.assert_close(ours.model(images), theirs.vision_model(images).pooler_output)
    ids = torch.tensor([tokenizer.encode(TEXTS[0]).ids])
    expected = theirs.text_model(ids).last_hidden_state[0, -1]
    words = load_model(str(tmp_path), part="text")
    np.testing.assert_allclose(words.embed(TEXTS)[0], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "head", "task"),
    [
        ("roberta", "AutoModelForMaskedLM", "masked_language_model"),
        ("gpt2", "AutoModelForCausalLM", "language_model"),
    ],
)
def test_language_models_keep_their_own_head(kind: str, head: str, task: str, tmp_path: Path) -> None:
    folder = publish(kind, tmp_path / "model", head)
    text = tmp_path / "text.txt"
    text.write_text("\n".join(TEXTS * 12))
    values = {
        "name": "words",
        "data": {"source": str(text), "text": {"max_seq_len": 12}},
        "model": {"name": "pretrained", "weights": str(folder), "options": {"implementation": "auto"}},
        "objective": {"name": task},
        "train": {"epochs": 1, "max_steps": 3, "execution": "eager"},
    }
    if kind == "gpt2":
        values["model"]["options"]["implementation"] = "transformers"
    run = runner.train(Config.parse(values), runs=tmp_path / "runs")
    shutil.rmtree(folder)
    prompt = "good fun" if kind == "gpt2" else "good [MASK] story"
    options = {"max_new_tokens": 3} if kind == "gpt2" else {}
    assert pellucid.Run(run.path).predict([prompt], **options).rows()[0]["prediction"]


@torch.no_grad()
def test_logits_of_a_masked_language_model_equal_transformers(tmp_path: Path) -> None:
    folder = publish("roberta", tmp_path / "model", "AutoModelForMaskedLM")
    order = order_of(folder)
    model = pretrained((12,), len(order), weights=str(folder), vocab_size=len(order), outputs="masked_tokens")
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = torch.tensor([tokenizer.encode(TEXTS[0]).ids])
    tokens = torch.tensor([[order.index(each) for each in ids[0, 1:-1].tolist()]])
    padded = torch.cat([tokens, torch.full((1, 2), PAD)], dim=1)
    got = model.eval()(padded)[:, : tokens.shape[1]]
    torch.testing.assert_close(got, theirs(ids).logits[:, 1:-1][:, :, order], atol=1e-5, rtol=1e-4)


def test_an_encoder_without_a_head_cannot_predict_masked_tokens(folders: Any) -> None:
    order = order_of(folders("roberta"))
    with pytest.raises(
        ModelError, match=r"the weights lack lm_head.* which the model needs to predict masked"
    ):
        pretrained(
            (12,), len(order), weights=str(folders("roberta")), vocab_size=len(order), outputs="masked_tokens"
        )


def test_embeddings_are_learned_from_classes(folders: Any, pictures: Path, tmp_path: Path) -> None:
    config = config_of(
        "resnet", folders("resnet"), pictures, **{"objective.name": "metric_learning", "train.max_steps": 2}
    )
    run = runner.train(config, runs=tmp_path)
    vectors = pellucid.Run(run.path).predict(str(pictures / "dark")).outputs
    assert vectors.shape == (20, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_what_words_contribute_adds_up_to_the_logit(folders: Any) -> None:
    order = order_of(folders("roberta"))
    model = pretrained((12,), 2, weights=str(folders("roberta")), vocab_size=len(order)).eval()
    tokens = torch.tensor([[20, 30, 40, 50]])
    added = integrated_gradients(model, tokens, 1, steps=64)
    table = model.encoder.word_embedding  # type: ignore[union-attr]

    def no_words(module: nn.Module, given: Any, made: torch.Tensor) -> torch.Tensor:
        return torch.cat([made[:, :1], 0 * made[:, 1:5], made[:, 5:]], dim=1)

    with torch.no_grad():
        whole = model(tokens)[0, 1]
        table.register_forward_hook(no_words)
        empty = model(tokens)[0, 1]
    torch.testing.assert_close(added.sum(), whole - empty, atol=0.02, rtol=0.05)


# ---- refused ---------------------------------------------------------------------------------------


def test_a_missing_library_is_named_with_its_install_line(
    folders: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError) as caught:
        load_model(str(folders("resnet")))
    assert caught.value.remedy == 'pip install "pellucid[transformers]"'


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "unheard", "auto_map": {"AutoModel": "x.py"}}, "code that comes with the model"),
        ({"model_type": "wav2vec2"}, "reads input_values"),
        ({"model_type": "resnet", "quantization_config": {}}, "quantized"),
        (
            {"model_type": "fnet", "hidden_size": 16, "num_hidden_layers": 1, "vocab_size": 60},
            "no attention_mask",
        ),
    ],
)
def test_models_that_cannot_be_used_are_refused_in_a_sentence(
    config: dict[str, Any], message: str, tmp_path: Path
) -> None:
    if config["model_type"] == "fnet":
        transformers.FNetModel(transformers.FNetConfig(**config)).save_pretrained(tmp_path)
        tokenizer_of("bert").save(str(tmp_path / "tokenizer.json"))
    else:
        (tmp_path / "config.json").write_text(json.dumps(config))
        (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(PellucidError, match=message):
        load_model(str(tmp_path))


def test_weights_that_lack_tensors_are_refused_by_name(folders: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(folders("distilbert"), tmp_path / "model"))
    tensors = load_file(folder / "model.safetensors")
    del tensors["transformer.layer.1.ffn.lin1.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"the weights lack transformer\.layer\.1\.ffn\.lin1\.weight"):
        load_model(str(folder))
