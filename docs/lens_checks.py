"""Writes docs/lens-checks.md: hooked equals plain, and gradients equal finite differences.

python docs/lens_checks.py            every family and six architectures of transformers, some minutes
"""

from __future__ import annotations

import copy
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.batch import to_tensors
from pellucid.lens.capture import capture
from pellucid.lens.differences import differences
from pellucid.lens.work import Work
from pellucid.runner.families import FAMILIES, small_problem
from pellucid.runner.setup import set_up
from pellucid.train.autotune import usable
from pellucid.train.execution import execution_mode
from pellucid.train.seed import borrowed_generators

PAGE = Path(__file__).with_name("lens-checks.md")
CPU = torch.device("cpu")
Loss = Callable[[nn.Module, Any], Tensor]
HEAD = """# Checks of the lens

Written by `python docs/lens_checks.py` with torch {version} on a CPU.

*Hooked equals plain*: loss and gradients of all parameters are the same to the bit with and without
`pellucid.lens.capture.capture(model, inputs=True, backward=True)`, in every execution mode that the
autotuner would try here and that is not compiled; a compiled model is computed as its original. *Calls*
counts the calls of modules that were seen in a step. *Finite differences*: the largest relative error of
autograd's gradient, in float64, against central differences at one entry of every parameter, the one with the
largest gradient. Entries at a kink, where both sides differ, are compared with the range between them.
Weights are random.

Of `vqvae`, the parameters of `up`, its decoder, are compared: those before it learn by a
straight-through estimate (van den Oord, Vinyals and Kavukcuoglu 2017), which is not the derivative of the
loss. `padim` has no gradients.
"""


def same(model: nn.Module, loss: Loss, batch: Any) -> tuple[bool, int]:
    """Whether loss and gradients are the same to the bit when captured, and how many calls were seen."""
    plain, seen = copy.deepcopy(model), copy.deepcopy(model)
    with borrowed_generators():
        torch.manual_seed(0)
        first = _computed(plain, loss, batch)
    with borrowed_generators(), capture(seen, inputs=True, backward=True) as taken:
        torch.manual_seed(0)
        second = _computed(seen, loss, batch)
    buffers = zip(plain.buffers(), seen.buffers(), strict=True)
    equal = all(_equal(a, b) for a, b in zip(first, second, strict=True))
    return equal and all(torch.equal(a, b) for a, b in buffers), len(taken.calls)


def _computed(model: nn.Module, loss: Loss, batch: Any) -> list[Tensor | None]:
    value = loss(model, batch)
    value.backward()
    return [value.detach(), *(parameter.grad for parameter in model.parameters())]


def _equal(a: Tensor | None, b: Tensor | None) -> bool:
    return a is b or (a is not None and b is not None and torch.equal(a, b))


def error(model: nn.Module, loss: Loss, batch: Any, parameters: list[nn.Parameter]) -> tuple[float, int, int]:
    """Return the largest error, the number of parameters that were compared, and of entries at kinks."""
    with borrowed_generators():
        torch.manual_seed(0)
        work = Work(model, to_tensors(batch), None, "", whole=loss, parameters=parameters)
        found = [one for several in differences(work, entries=1).values() for one in several]
    return max(one.error for one in found), len(found), sum(one.kink for one in found)


# ---- ours -------------------------------------------------------------------------------------------------


ALIKE = {
    "linear": "mlp",
    "rnn": "lstm",
    "text_cnn": "lstm",
    "phrase_lm": "gpt",
    "lstm_lm": "gpt",
    "lstm_mlm": "bert",
    "unet": "autoencoder",
    "vqvae": "autoencoder",
    "dlinear": "forecast",
    "nlinear": "forecast",
    "patch_transformer": "forecast",
}
"""Models that are no family of their own, by the family whose data they learn from."""


def families(names: list[str]) -> Iterator[list[str]]:
    """One row for each family and phase of its objective."""
    for name in names:
        torch.manual_seed(0)
        with tempfile.TemporaryDirectory() as folder:
            config, dataset = small_problem(ALIKE.get(name, name), Path(folder))
            config = config.patch({"model.name": name} if name in ALIKE else {})
            setup = set_up(config, Path(folder) / "runs", dataset=dataset)
            batch = next(iter(setup.prepared.training_batches()))
        for phase in setup.objective.phases:
            modes = [mode for mode, why in usable(setup.model, batch, phase.loss, CPU).items() if not why]
            open_modes = [mode for mode in modes if not execution_mode(mode).compiled]
            results = {mode: _in_mode(mode, setup.model, phase.loss, batch) for mode in open_modes}
            label = name if len(setup.objective.phases) == 1 else f"{name}, {phase.name}"
            chosen = setup.model.up if name == "vqvae" else None
            learning = phase.parameters(setup.model) if chosen is None else chosen.parameters()
            parameters = [p for p in learning if p.requires_grad]
            yield _row(label, results, error(setup.model, phase.loss, batch, parameters))


def _in_mode(name: str, model: nn.Module, loss: Loss, batch: Any) -> tuple[bool, int]:
    mode = execution_mode(name)
    placed = mode.place_model(copy.deepcopy(model), CPU)
    return same(placed, mode.forward(loss, CPU), mode.place_batch(batch, CPU))


def _row(name: str, results: dict[str, tuple[bool, int]], found: tuple[float, int, int]) -> list[str]:
    worst, count, kinks = found
    unequal = [mode for mode, (equal, _) in results.items() if not equal]
    calls = max(count for _, count in results.values())
    said = f"no: {', '.join(unequal)}" if unequal else "yes"
    return [name, ", ".join(results), said, str(calls), f"{worst:.1e}", str(count), str(kinks)]


# ---- transformers' ----------------------------------------------------------------------------------------


def architectures() -> dict[str, tuple[nn.Module, dict[str, Tensor]]]:
    """Six architectures of transformers with random weights, and inputs by name."""
    import transformers as tf

    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    tokens = {"input_ids": torch.randint(1, 30, (2, 7)), "attention_mask": torch.ones(2, 7).long()}
    tokens["attention_mask"][1, 5:] = 0
    pixels = {"pixel_values": torch.randn(2, 3, 16, 16)}
    vocab = {"vocab_size": 30}
    llama = tf.LlamaConfig(**small, **vocab, num_key_value_heads=1)
    t5 = tf.T5Config(
        d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, **vocab, decoder_start_token_id=0
    )
    return {
        "BERT": (tf.BertModel(tf.BertConfig(**small, **vocab)), tokens),
        "GPT-2": (tf.GPT2LMHeadModel(tf.GPT2Config(n_embd=16, n_layer=2, n_head=2, **vocab)), tokens),
        "DistilBERT": (
            tf.DistilBertModel(tf.DistilBertConfig(dim=16, n_layers=2, n_heads=2, hidden_dim=32, **vocab)),
            tokens,
        ),
        "T5": (tf.T5Model(t5), tokens | {"decoder_input_ids": tokens["input_ids"]}),
        "Llama": (tf.LlamaForCausalLM(llama), tokens),
        "ViT": (tf.ViTModel(tf.ViTConfig(**small, image_size=16, patch_size=4)), pixels),
    }


def loss_of_outputs(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """A loss that depends on all outputs that are read: the mean of their sigmoids, weighted by place."""
    made = model(**batch)
    first = next(value for value in made.values() if isinstance(value, Tensor))
    weights = torch.linspace(-1, 1, first.shape[-1], dtype=first.dtype)
    return (F.softplus(first) * weights).mean()


def others() -> Iterator[list[str]]:
    """One row for each architecture."""
    torch.manual_seed(0)
    for name, (model, batch) in architectures().items():
        model.train()
        result = {"eager": same(model, loss_of_outputs, batch)}
        parameters = [p for p in model.parameters() if p.requires_grad]
        yield _row(f"transformers: {name}", result, error(model, loss_of_outputs, batch, parameters))


COLUMNS = (
    "model",
    "execution modes",
    "hooked equals plain",
    "calls",
    "finite differences",
    "parameters compared",
    "kinks",
)


def main(names: list[str]) -> None:
    """Compute the table and write the page; of some families only, print their rows."""
    rows = []
    for row in itertools.chain(families(names or [*FAMILIES, *ALIKE]), () if names else others()):
        print("  ".join(row), flush=True)
        rows.append(row)
    lines = [COLUMNS, ["---"] * len(COLUMNS), *rows]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    if not names:
        PAGE.write_text(f"{HEAD.format(version=torch.__version__)}\n{table}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
