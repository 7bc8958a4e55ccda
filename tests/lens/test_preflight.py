"""What is wrong is found before the first step, and healthy models have no warning."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import pellucid
from pellucid.diagnosis import Facts, examine
from pellucid.diagnosis.loss_graph import LossGraph
from pellucid.diagnosis.watched import Look, ParameterLook, Spread, Watched
from pellucid.errors import UsageError
from pellucid.lens.preflight import check
from pellucid.models import BUILDERS, MLP

torch.manual_seed(0)
CLASSES = torch.randn(8, 4), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
NUMBERS = torch.randn(8, 4), torch.randn(8)
COLUMN = torch.randn(8, 4), torch.randn(8, 1)


class Model(nn.Module):
    """Three layers, and what a forward makes of them."""

    def __init__(self, run: Any = None, outputs: int = 3, **more: Any) -> None:
        super().__init__()
        self.first, self.second, self.output = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, outputs)
        self.run = run
        for name, value in more.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x) if self.run else self.plain(x)

    def plain(self, x: Tensor) -> Tensor:
        return self.output(F.relu(self.second(F.relu(self.first(x)))))


def plain(**more: Any) -> Model:
    return Model(lambda m, x: m.plain(x), **more)


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters())


def rules(*args: Any, levels: tuple[str, ...] = ("error", "warning")) -> list[str]:
    return [finding.rule for finding in check(*args) if finding.level in levels]


FAULTS = {
    "activation-before-loss": (Model(lambda m, x: m.plain(x).softmax(1)), CLASSES, F.cross_entropy),
    "nll-without-log-softmax": (Model(), CLASSES, F.nll_loss),
    "unused-parameters": (Model(lambda m, x: m.output(m.first(x))), CLASSES),
    "layers-in-plain-list": (plain(rest=[nn.Linear(2, 2)]), CLASSES),
    "graph-broken": (Model(lambda m, x: m.plain(x).argmax(1).float()[:, None]), NUMBERS, F.l1_loss),
    "all-frozen": (Model().requires_grad_(False), CLASSES),
    "loss-broadcasts": (Model(outputs=1), NUMBERS, lambda o, t: ((o - t) ** 2).mean()),
    "labels-out-of-range": (Model(), (CLASSES[0], CLASSES[1] + 1), F.cross_entropy),
    "computation-fails": (Model(lambda m, x: m.output(m.first(x)[:, :3])), CLASSES),
    "non-finite-inputs": (Model(), (CLASSES[0].log(), CLASSES[1])),
    "non-finite-targets": (Model(outputs=1), (NUMBERS[0], NUMBERS[1].log())),
    "targets-not-probabilities": (Model(outputs=1), (NUMBERS[0], NUMBERS[1][:, None] * 3), "bce"),
    "zero-gradients": (Model(lambda m, x: m.plain(x).softmax(1), outputs=1), COLUMN, F.l1_loss),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("rule", FAULTS)
def test_a_fault_is_found_first(rule):
    torch.manual_seed(1)
    found = check(*FAULTS[rule])
    assert found[0].rule == rule, [finding.seen for finding in found]
    assert found[0].level in ("error", "warning")
    assert found[0].remedy
    assert found[0].where


@pytest.mark.parametrize(
    ("model", "batch", "loss"),
    [
        (Model(), CLASSES, None),
        (Model(), CLASSES, nn.CrossEntropyLoss()),
        (Model(lambda m, x: m.plain(x).log_softmax(1)), CLASSES, F.nll_loss),
        (Model(outputs=1), NUMBERS, lambda outputs, targets: F.mse_loss(outputs.squeeze(1), targets)),
        (Model(lambda m, x: {"logits": m.plain(x), "hidden": m.first(x)}), CLASSES, None),
        (MLP([4, 8, 3]), CLASSES, None),
        (BUILDERS["cnn"]((1, 12, 12), 3, size="tiny"), (torch.randn(4, 1, 12, 12), CLASSES[1][:4]), None),
    ],
)
def test_healthy_models_have_no_warning(model, batch, loss):
    assert rules(model, batch, loss, adam(model)) == []


def test_the_optimizer_has_the_parameters_of_the_model():
    model = Model()
    part = torch.optim.SGD(model.first.parameters(), lr=0.1)
    assert rules(model, CLASSES, None, part) == ["not-in-optimizer"]
    assert rules(model, CLASSES, None, adam(Model())) == ["not-in-optimizer", "optimizer-of-other-parameters"]
    both = [torch.optim.SGD(part.parameters(), lr=0.1) for part in (model.first, model.second, model.output)]
    assert rules(model, CLASSES, None, both) == []


def test_notes_are_no_faults():
    model = Model().eval()
    model.first.requires_grad_(False)
    model.second.double()
    model.run = lambda m, x: m.output(m.second(m.first(x).double()).float())
    found = check(model, (CLASSES[0] * 1000, CLASSES[1]))
    assert {finding.level for finding in found} == {"note"}
    assert [finding.rule for finding in found] == [
        "frozen-parameters",
        "mixed-dtypes",
        "evaluation-mode",
        "inputs-unscaled",
    ]


def test_a_crash_says_where_and_what_to_do():
    found = pellucid.check(nn.Sequential(nn.Linear(4, 5), nn.Linear(6, 3)), CLASSES)[0]
    assert found.where == "1"
    assert "received float32 (8, 5), and expects (..., 6)" in found.seen
    assert "nn.Linear(5, 3)" in found.remedy


def test_targets_of_another_form_are_not_out_of_range():
    one_hot = F.one_hot(CLASSES[1])
    found = check(Model(), (CLASSES[0], one_hot), F.cross_entropy)[0]
    assert (found.rule, found.where) == ("computation-fails", "loss")
    assert "argmax" in found.remedy


def test_sequences_and_nested_lists():
    model = BUILDERS["lstm"]((7,), 2, size="tiny", vocab_size=20)
    batch = torch.randint(1, 20, (6, 7)), torch.randint(2, (6,))
    assert rules(model, batch) == []
    model.extra = {"a": [nn.Linear(2, 2)]}
    assert rules(model, batch) == ["layers-in-plain-list"]


COLUMN_OF_ROWS = Look(1, 1.0, outputs=Spread((8, 1), "float32"), targets=Spread((8,), "float32", high=3.0))
WATCHED = {
    "activation-before-loss": Watched(graph=LossGraph(("nll_loss", "log_softmax", "softmax"))),
    "nll-without-log-softmax": Watched(graph=LossGraph(("nll_loss",))),
    "layers-in-plain-list": Watched(lost=("rest",)),
    "graph-broken": Watched(steps=1, graph=LossGraph(())),
    "all-frozen": Watched(looks=(Look(1, 1.0, parameters=(ParameterLook("w", (2,), False, False, 1.0),)),)),
    "loss-broadcasts": Watched(looks=(COLUMN_OF_ROWS,), graph=LossGraph(("pow",), compared=(8, 8))),
    "non-finite-inputs": Watched(looks=(Look(1, 1.0, inputs=Spread((8, 4), "float32", non_finite=1)),)),
    "targets-not-probabilities": Watched(looks=(COLUMN_OF_ROWS,), graph=LossGraph(("binary_cross_entropy",))),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("rule", WATCHED)
def test_a_watched_loop_says_the_same_of_a_fault(rule):
    torch.manual_seed(1)
    before = next(finding for finding in check(*FAULTS[rule]) if finding.rule == rule)
    watched = next(one for one in examine(Facts(watched=WATCHED[rule])).findings if one.rule == rule)
    assert (before.means, before.remedy) == (watched.means, watched.remedy)


def test_a_loader_is_no_batch():
    loader = DataLoader(TensorDataset(*CLASSES), 4)
    with pytest.raises(UsageError, match="next\\(iter\\(loader\\)\\)"):
        check(nn.Linear(4, 3), loader)


def test_sentences_end_once():
    found = check(nn.Linear(5, 3), CLASSES)[0]
    assert found.rule == "computation-fails"
    assert not found.remedy.endswith(".")
    assert ".." not in str(found).replace("(...", "")
