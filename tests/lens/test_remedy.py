"""Remedies are run, and a fix is claimed where it was measured."""

import copy
import json

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import pellucid
from pellucid.errors import UsageError
from pellucid.lens.remedy import REMEDIES, Case, Parts, Unfit, remedies_for
from pellucid.lens.remedy.parts import Loop
from pellucid.lens.remedy.verification import Plan, Tried
from pellucid.lens.remedy.verify import _Search
from pellucid.record import Finding

NONE = Finding("none", "warning", "", "")


def _rows(count, seed=0):
    """Two classes that a plane divides."""
    dice = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 6, generator=dice)
    return x, (x[:, 0] + x[:, 1] - x[:, 2] > 0).long()


HELD = _rows(400, 1)


def _model(*last):
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2), *last)


def _make(lr=0.05, last=(), loss=nn.CrossEntropyLoss, rows=160):
    def make():
        model = _model(*last)
        batches = DataLoader(TensorDataset(*_rows(rows)), 16, shuffle=True)
        return model, torch.optim.SGD(model.parameters(), lr, momentum=0.9), loss(), batches

    return make


def _train(model, optimizer, loss, batches, zero=True, step=True):
    for _ in range(3):
        model.train()
        for x, y in batches:
            if zero:
                optimizer.zero_grad()
            value = loss(model(x), y)
            value.backward()
            if step:
                optimizer.step()
    model.eval()
    with torch.no_grad():
        return (model(HELD[0]).argmax(1) == HELD[1]).float().mean().item()


def _applied(name, made, train=_train):
    """Parts with a remedy, and the score of the loop with them."""
    loop = Loop(train, lambda: made)
    torch.manual_seed(0)
    parts = REMEDIES[name].apply(Parts(*made), Case(NONE, loop))
    return parts, loop.run(parts, 0)


def test_a_learning_rate_is_proven():
    result = pellucid.verify(_train, _make(lr=3e-5), limit=6)
    assert result.fixed
    assert result.plan.steps[0][0].id == "learning-rate-too-low"
    assert result.winner.score > 0.9 > 0.8 > sum(result.trial.control.values()) / 3
    text = str(result)
    assert text.startswith("Fixed: the learning rate is ")
    assert "The watch no longer reports learning-rate-too-low." in text
    plain = json.loads(json.dumps(result.plain(), allow_nan=False))
    assert plain["fixed"]
    assert plain["trial"]["winner"] == result.plan.name


def test_a_missing_zero_grad_is_fixed_without_a_change_of_the_loop():
    def train(model, optimizer, loss, batches):
        return _train(model, optimizer, loss, batches, zero=False)

    result = pellucid.verify(train, _make(lr=0.5, rows=480), limit=2, seeds=2, most=2)
    assert result.findings[0].id == "missing-zero-grad"
    assert any(one.plan.name == "zero-grad-each-step" and not one.problem for one in result.tried)


def test_noise_is_no_fix():
    def train(model, optimizer, loss, batches):
        return torch.rand(()) + 0 * _train(model, optimizer, loss, list(batches)[:1])

    result = pellucid.verify(train, _make())
    assert not result.fixed
    assert "No fix" in str(result)
    assert result.edits == []


def test_nothing_that_the_user_holds_is_changed():
    made = _make(lr=3e-5)()
    before = copy.deepcopy(made[0].state_dict())
    pellucid.verify(_train, lambda: made, limit=1, seeds=2, most=2)
    assert all(torch.equal(before[name], value) for name, value in made[0].state_dict().items())
    assert made[1].param_groups[0]["lr"] == 3e-5
    assert not made[0]._forward_pre_hooks


def test_a_loop_that_breaks_off_is_reported():
    def train(model, optimizer, loss, batches):
        raise ValueError("rows went missing")

    result = pellucid.verify(train, _make(), limit=2)
    assert not result.fixed
    assert "ValueError: rows went missing" in str(result)


def test_a_fix_that_cannot_be_watched_is_not_said_to_leave_nothing():
    def train(model, optimizer, loss, batches):
        raise ValueError("rows went missing")

    search = _Search(Loop(train, _make()), False, 4, lambda _: None)
    search.findings = [NONE]
    search.tried = [Tried(Plan(((NONE, REMEDIES["warm-up"]),)), score=1.0)]
    search.first = 0.5
    assert not search._cured()
    assert search.left == {"warm-up": None}


def test_what_make_and_train_return_is_checked():
    with pytest.raises(UsageError, match=r"must return \(model, optimizer, loss, batches\)"):
        pellucid.verify(_train, lambda: _model())
    with pytest.raises(UsageError, match="must return its score"):
        pellucid.verify(lambda *parts: None, _make())
    with pytest.raises(UsageError, match="at least 2"):
        pellucid.verify(_train, _make(), seeds=1)


def test_a_loop_takes_epochs_and_a_watch_by_name():
    seen = {}

    def train(model, optimizer, loss, batches, epochs, watch=None):
        seen["epochs"] = epochs
        seen["watched"] = seen.get("watched", False) or watch is not None
        return _train(model, optimizer, loss, batches)

    def make():
        return Parts(*_make()(), epochs=3)

    loop = Loop(train, make)
    loop.run(REMEDIES["epochs-times-10"].apply(loop.make(0), Case(NONE, loop)), 0)
    assert seen["epochs"] == 30
    assert loop.takes_watch


@pytest.mark.parametrize(
    ("name", "last"),
    [("logits-to-the-loss", (nn.Softmax(-1),)), ("activation-undone", (nn.Softmax(-1),))],
)
def test_a_softmax_before_the_loss_is_left_out(name, last):
    made = _make(last=last)()
    parts, score = _applied(name, made)
    assert score > 0.9
    probabilities = parts.model.eval()
    with torch.no_grad():
        sums = probabilities(HELD[0]).sum(1)
    assert torch.allclose(sums, torch.ones(len(sums)), atol=1e-5)  # evaluation gets what it got before


def test_steps_are_taken_after_backward():
    def train(model, optimizer, loss, batches):
        return _train(model, optimizer, loss, batches, step=False)

    torch.manual_seed(0)
    made = _make()()
    assert _applied("step-after-backward", made, train)[1] > 0.9


def test_a_backward_pass_is_made_before_a_step():
    def train(model, optimizer, loss, batches):
        for x, y in list(batches) * 3:
            optimizer.zero_grad()
            loss(model(x), y)
            optimizer.step()
        return _train(model, optimizer, loss, [])

    assert _applied("backward-before-step", _make()(), train)[1] > 0.9


def test_detached_outputs_get_their_graph_back():
    def train(model, optimizer, loss, batches):
        for x, y in list(batches) * 3:
            optimizer.zero_grad()
            loss(model(x).detach().requires_grad_(), y).backward()
            optimizer.step()
        return _train(model, optimizer, loss, [])

    assert _applied("graph-kept", _make()(), train)[1] > 0.9


def test_an_optimizer_of_other_parameters_gets_the_models():
    model, _, loss, batches = _make()()
    made = (model, torch.optim.Adam(_model().parameters(), lr=0.01), loss, batches)
    parts, score = _applied("all-parameters", made)
    assert score > 0.9
    assert parts.optimizer.param_groups[0]["lr"] == 0.01


def test_layers_of_a_plain_list_are_registered():
    class Listed(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = [nn.Linear(6, 8), nn.Linear(8, 8)]
            self.head = nn.Linear(8, 2)

        def forward(self, x):
            for layer in self.hidden:
                x = layer(x).relu()
            return self.head(x)

    model = Listed()
    made = (model, torch.optim.Adam(model.parameters(), lr=0.01), nn.CrossEntropyLoss(), _make()()[3])
    parts, _ = _applied("layers-registered", made)
    assert len(list(parts.model.parameters())) == 6
    assert len(parts.optimizer.param_groups[0]["params"]) == 6


def test_a_mask_is_put_into_attention_from_outside():
    class Attention(nn.Module):
        def forward(self, x):
            scores = x @ x.transpose(-2, -1)
            return scores.softmax(-1) @ x

    model = nn.Sequential(nn.Linear(4, 4), Attention())
    made = (model, torch.optim.Adam(model.parameters()), nn.MSELoss(), [])
    parts = REMEDIES["causal-mask"].apply(Parts(*made), Case(NONE, Loop(_train, lambda: made)))
    x = torch.randn(1, 5, 4)
    changed = torch.cat([x[:, :4], torch.randn(1, 1, 4)], 1)
    assert torch.allclose(parts.model(x)[:, :4], parts.model(changed)[:, :4])


def test_gradients_that_are_clipped_away_are_restored():
    def train(model, optimizer, loss, batches):
        for x, y in list(batches) * 3:
            optimizer.zero_grad()
            loss(model(x), y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1e-6)
            optimizer.step()
        return _train(model, optimizer, loss, [])

    assert _applied("clipped-at-1", _make()(), train)[1] > 0.9


def test_inputs_are_scaled_in_evaluation_too():
    model, optimizer, loss, _ = _make()()
    x, y = _rows(160)
    parts, _ = _applied("inputs-standard", (model, optimizer, loss, [(1000 * x + 5000, y)]))
    seen = []
    parts.model[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    parts.model(1000 * HELD[0] + 5000)
    assert abs(seen[0].mean()) < 0.2
    assert 0.8 < seen[0].std() < 1.2


def test_a_remedy_that_does_not_fit_says_why():
    made = _make()()
    case = Case(NONE, Loop(_train, lambda: made))
    with pytest.raises(Unfit, match="the last layer is no"):
        REMEDIES["logits-to-the-loss"].apply(Parts(*made), case)
    with pytest.raises(Unfit, match="weight decay is 0 already"):
        REMEDIES["decay-0"].apply(Parts(*made), case)


def test_every_remedy_says_what_it_does_and_the_smallest_comes_first():
    for one in REMEDIES.values():
        assert one.words
        assert one.ids
    sizes = [one.size for one in remedies_for("vanishing-gradients")]
    assert sizes == sorted(sizes)
    assert len(sizes) >= 4
