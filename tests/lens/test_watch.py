"""`pellucid.watch` on plain loops: what is found, and that the loop is left alone."""

from __future__ import annotations

import copy
import gc
import importlib.util
import io
import math
import re
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

import pellucid
from pellucid.record import Finding

PIXELS, LABELS = load_digits(return_X_y=True)
X = torch.tensor((PIXELS - PIXELS.mean()) / PIXELS.std(), dtype=torch.float32)
Y = torch.tensor(LABELS)
Loss = Callable[[Any, Tensor], Tensor]


def mlp(*last: nn.Module, hidden: int = 32, outputs: int = 10) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, outputs), *last)


def adam(model: nn.Module, lr: float = 3e-3) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=lr)


def train(
    model: nn.Module,
    optimizer: Any = None,
    loss: Loss = F.cross_entropy,
    x: Tensor = X,
    y: Tensor = Y,
    steps: int = 80,
    shuffle: bool = True,
    zero: bool = True,
    before: Callable[[Any], None] = lambda optimizer: None,
    watch: bool = True,
    **options: Any,
) -> Any:
    """A plain loop; returns its watch, or the model where it is not watched."""
    optimizer = optimizer or adam(model)
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(0, len(x), (steps, 32), generator=generator) if shuffle else None
    w = pellucid.watch(model, optimizer, **options) if watch else None
    for step in range(steps):
        chosen = rows[step] if rows is not None else torch.arange(32 * step, 32 * step + 32) % len(x)
        if zero:
            optimizer.zero_grad()
        value = loss(model(x[chosen]), y[chosen])
        value.backward()
        before(optimizer)
        optimizer.step()
        if w is not None:
            w.step(value, inputs=x[chosen], targets=y[chosen])
    if w is not None:
        w.close()
    return w or model


def found(w: Any) -> list[str]:
    return [one.id for one in w.findings if one.severity != "info"]


def test_a_watch_that_is_never_closed_is_freed_with_its_model() -> None:
    def begun() -> Any:
        model = mlp()
        optimizer = adam(model)
        w = pellucid.watch(model, optimizer)
        for _ in range(3):
            value = F.cross_entropy(model(X[:32]), Y[:32])
            value.backward()
            optimizer.step()
            optimizer.zero_grad()
            w.step(value)
        return weakref.ref(model)

    model = begun()
    gc.collect()
    assert model() is None


def test_gradients_of_zero_are_no_removed_gradients() -> None:
    model = nn.Sequential(mlp(), nn.ReLU())
    with torch.no_grad():
        model[0][-1].bias.fill_(-50.0)  # nothing passes the last rectifier
    assert "zero-grad-before-step" not in found(train(model))


# ---- healthy loops -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (mlp(), {}),
        (mlp(), {"optimizer": torch.optim.SGD}),
        (nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.Tanh(), nn.Linear(64, 10)), {}),
        (mlp(nn.LogSoftmax(1)), {"loss": F.nll_loss}),
    ],
    ids=["adam", "sgd", "batch-norm", "log-softmax"],
)
def test_a_healthy_loop_has_no_warnings(model: nn.Module, options: dict[str, Any]) -> None:
    if "optimizer" in options:
        options = {"optimizer": torch.optim.SGD(model.parameters(), lr=0.1)}
    assert found(train(model, steps=120, **options)) == []


def test_watching_changes_no_bit() -> None:
    def weights(watch: bool) -> list[Tensor]:
        torch.manual_seed(1)
        model = nn.Sequential(
            nn.Linear(64, 32), nn.Dropout(0.5), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10)
        )
        train(model, steps=30, watch=watch)
        return [*model.parameters(), *model.buffers(), torch.rand(3)]

    assert all(torch.equal(one, other) for one, other in zip(weights(True), weights(False), strict=True))


def test_a_watched_model_can_be_copied() -> None:
    model = mlp()
    with pellucid.watch(model, adam(model)) as w:
        loss = F.cross_entropy(model(X[:8]), Y[:8])
        loss.backward()
        w.step(loss, inputs=X[:8], targets=Y[:8])
        twin = copy.deepcopy(model)
    assert torch.equal(twin(X[:2]), model(X[:2]))


def test_a_watched_model_can_be_saved_copied_and_scripted() -> None:
    model = mlp()
    with pellucid.watch(model, adam(model)) as w:
        for _ in range(3):
            loss = F.cross_entropy(model(X[:8]), Y[:8])
            loss.backward()
            file = io.BytesIO()
            torch.save(copy.deepcopy(model), file)
            scripted = torch.jit.script(model)
            w.step(loss, inputs=X[:8], targets=Y[:8])
    assert b"pellucid" not in file.getvalue()
    assert torch.allclose(scripted(X[:2]), model(X[:2]))


def test_all_hooks_are_removed() -> None:
    gc.collect()  # watches of other tests that were never closed
    model = mlp()
    optimizer = adam(model)
    train(model, optimizer, steps=3)
    assert nn.Module.__call__.__module__.startswith("torch")
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
    assert not any(one._backward_hooks for one in model.parameters())


# ---- the loop ----------------------------------------------------------------------------------------


def test_missing_zero_grad() -> None:
    assert found(train(mlp(), zero=False))[0] == "missing-zero-grad"


def test_gradient_accumulation_is_not_a_missing_zero_grad() -> None:
    model = mlp()
    optimizer = adam(model)
    with pellucid.watch(model, optimizer) as w:
        for step in range(120):
            value = F.cross_entropy(model(X[step * 8 : step * 8 + 32]), Y[step * 8 : step * 8 + 32])
            (value / 2).backward()
            if step % 2:
                optimizer.step()
                optimizer.zero_grad()
            w.step(value, inputs=X[:32], targets=Y[:32])
    assert "missing-zero-grad" not in found(w)


def test_an_optimizer_of_another_model() -> None:
    model = mlp()
    [first, *_] = train(model, adam(copy.deepcopy(model))).findings
    assert (first.id, first.where, first.severity) == ("optimizer-of-other-parameters", "optimizer", "error")


def test_a_loss_that_is_cut_off() -> None:
    w = train(mlp(), loss=lambda outputs, y: F.cross_entropy(outputs.detach().requires_grad_(), y))
    assert found(w)[0] == "graph-broken"


def test_frozen_random_and_pretrained_layers() -> None:
    model = mlp()
    model[0].requires_grad_(False)  # type: ignore[index]
    [first, *_] = train(model).findings
    assert (first.id, first.where) == ("frozen-random", "0")
    pretrained = train(mlp(), steps=300, watch=False)
    pretrained[0].requires_grad_(False)
    assert found(train(pretrained)) == []


def test_a_layer_that_came_after_the_optimizer() -> None:
    model = mlp()
    optimizer = adam(model)
    model[2] = nn.Linear(32, 10)  # type: ignore[index]
    [first, *_] = train(model, optimizer).findings
    assert (first.id, first.where, first.severity) == ("not-in-optimizer", "2", "warn")


def test_zero_grad_between_backward_and_step() -> None:
    w = train(mlp(), before=lambda optimizer: optimizer.zero_grad())
    assert found(w)[0] == "zero-grad-before-step"


def test_gradients_that_are_removed_before_a_step() -> None:
    model = mlp()
    optimizer = adam(model)
    with pellucid.watch(model, optimizer) as w:
        for step in range(60):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(X[step * 8 : step * 8 + 8]), Y[step * 8 : step * 8 + 8])
            loss.backward()
            if step % 4 == 3:
                optimizer.step()
            w.step(loss, inputs=X[:8], targets=Y[:8])
    assert found(w)[0] == "gradients-removed"


def test_steps_that_use_several_gradients_on_purpose() -> None:
    """Sharpness-aware minimization moves the weights by hand; a second derivative is not accumulated."""
    model = mlp()
    optimizer = adam(model)
    with pellucid.watch(model, optimizer) as w:
        for step in range(40):
            rows = slice(step * 16, step * 16 + 16)
            F.cross_entropy(model(X[rows]), Y[rows]).backward()
            moved = [(one, 0.01 * one.grad) for one in model.parameters()]  # type: ignore[operator]
            with torch.no_grad():
                for one, by in moved:
                    one.add_(by)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(X[rows]), Y[rows])
            loss.backward()
            with torch.no_grad():
                for one, by in moved:
                    one.sub_(by)
            optimizer.step()
            optimizer.zero_grad()
            w.step(loss, inputs=X[rows], targets=Y[rows])
    assert "gradients-removed" not in found(w)


def test_an_optimizer_that_is_made_in_each_epoch() -> None:
    model = mlp()
    optimizer = adam(model)
    with pellucid.watch(model, optimizer) as w:
        for step in range(90):
            if step % 20 == 0:
                used = optimizer if step == 0 else adam(model)
            used.zero_grad()
            loss = F.cross_entropy(model(X[step * 16 : step * 16 + 16]), Y[step * 16 : step * 16 + 16])
            loss.backward()
            used.step()
            w.step(loss, inputs=X[:16], targets=Y[:16])
    assert "optimizer-replaced" in found(w)


def test_two_optimizers_of_which_one_is_never_zeroed() -> None:
    model = nn.ModuleDict({"body": nn.Linear(64, 32), "head": nn.Linear(32, 10)})
    both = [adam(model["body"]), adam(model["head"])]
    with pellucid.watch(model, both) as w:
        for step in range(20):
            both[0].zero_grad()
            loss = F.cross_entropy(
                model["head"](model["body"](X[step : step + 16]).relu()), Y[step : step + 16]
            )
            loss.backward()
            for one in both:
                one.step()
            w.step(loss, inputs=X[:16], targets=Y[:16])
    assert found(w)[0] == "missing-zero-grad"


def test_a_language_model_with_time_on_the_first_axis() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.rnn, self.head = nn.Embedding(17, 16), nn.GRU(16, 16), nn.Linear(16, 17)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(self.embed(x))[0])

    tokens = torch.tensor(PIXELS[:64]).long().T.contiguous()  # (T, B)
    model = Model()
    optimizer = adam(model)
    with pellucid.watch(model, optimizer) as w:
        for _ in range(20):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(tokens[:-1]).flatten(0, 1), tokens[1:].flatten())
            loss.backward()
            optimizer.step()
            w.step(loss, inputs=tokens[:-1], targets=tokens[1:])
    assert "rows-mixed" not in found(w)


def test_one_step_of_the_watch_for_many_of_the_optimizer() -> None:
    model = mlp()
    optimizer = adam(model, 1e-2)
    with pellucid.watch(model, optimizer) as w:
        for _ in range(12):
            for rows in torch.arange(1400).split(32):
                optimizer.zero_grad()
                loss = F.cross_entropy(model(X[rows]), Y[rows])
                loss.backward()
                optimizer.step()
            w.step(loss, inputs=X[rows], targets=Y[rows])
    assert "learning-rate-too-high" not in found(w)


def test_the_scale_of_inputs_is_said_with_its_numbers() -> None:
    [one] = [one for one in train(mlp(), x=X * 500).findings if one.id == "inputs-unscaled"]
    assert re.search(r"from -?[\d,.]+ to [\d,.]+, root mean square [\d,.]+", one.message)


def test_a_softmax_over_the_rows() -> None:
    w = train(mlp(), loss=lambda o, y: F.nll_loss(F.log_softmax(o, 0), y))
    assert "softmax-over-rows" in found(w)


def test_a_sum_of_losses_that_grows() -> None:
    model = mlp()
    optimizer = adam(model)
    total = torch.zeros(())
    with pellucid.watch(model, optimizer) as w:
        for step in range(6):
            optimizer.zero_grad()
            total = total + F.cross_entropy(model(X[step : step + 8]), Y[step : step + 8])
            total.backward(retain_graph=True)
            w.step(total, inputs=X[:8], targets=Y[:8])
    assert "graph-grows" in found(w)


def test_dropout_that_is_always_on() -> None:
    class Always(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(F.dropout(x, 0.3))

    assert found(train(Always())) == ["random-in-evaluation"]


def test_new_rows_on_another_scale() -> None:
    model = mlp()
    optimizer = adam(model)
    with pellucid.watch(model, optimizer) as w:
        for step in range(80):
            rows = slice(step * 16, step * 16 + 16)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(X[rows]), Y[rows])
            loss.backward()
            optimizer.step()
            w.step(loss, inputs=X[rows], targets=Y[rows])
            if step % 20 == 19:
                with torch.no_grad():
                    model(torch.tensor(PIXELS[1400:], dtype=torch.float32))
    [first, *_] = w.findings
    assert (first.id, first.where) == ("measured-on-other-scale", "data:inputs")


def test_classes_and_places_that_are_mixed_by_a_view() -> None:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.GRU(8, 16, batch_first=True), nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(x)[0])

    x = X.view(-1, 8, 8)
    y = (x.mean(2) > 0).long() + (x.mean(2) > 0.5).long()
    wrong = train(Tagger(), x=x, y=y, loss=lambda o, t: F.cross_entropy(o.view(len(o), 3, -1), t), steps=20)
    assert found(wrong)[0] == "axes-scrambled"
    right = train(Tagger(), x=x, y=y, loss=lambda o, t: F.cross_entropy(o.transpose(1, 2), t), steps=100)
    assert found(right) == []


def test_training_in_eval_mode() -> None:
    model = nn.Sequential(nn.Linear(64, 32), nn.Dropout(0.2), nn.ReLU(), nn.Linear(32, 10)).eval()
    assert "trains-in-eval-mode" in found(train(model))


def test_layers_in_a_plain_list() -> None:
    class Listed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = [nn.Linear(64, 32)]
            self.head = nn.Linear(32, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.hidden[0](x).relu())

    assert "layers-in-plain-list" in found(train(Listed()))


# ---- outputs, loss and targets -----------------------------------------------------------------------


def _squared(outputs: Tensor, y: Tensor) -> Tensor:
    return F.mse_loss(outputs, (y.float() - 4.5) / 3)


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize(
    ("model", "options", "expected"),
    [
        (mlp(nn.Softmax(1)), {}, "activation-before-loss"),
        (mlp(nn.ReLU()), {}, "rectified-output"),
        (mlp(), {"loss": F.nll_loss}, "nll-without-log-softmax"),
        (mlp(), {"loss": lambda o, y: -F.cross_entropy(o, y)}, "loss-sign"),
        (mlp(nn.Dropout(0.5)), {}, "dropout-on-outputs"),
        (mlp(outputs=1), {"loss": F.mse_loss, "y": (Y.float() - 4.5) / 3}, "loss-broadcasts"),
        (mlp(outputs=1), {"loss": lambda o, y: ((o - y) ** 2).mean(), "y": Y.float() / 9}, "loss-broadcasts"),
        (
            mlp(nn.Sigmoid(), outputs=1),
            {"loss": lambda o, y: F.mse_loss(o[:, 0], y), "y": Y.float()},
            "output-range",
        ),
        (mlp(outputs=1), {"loss": lambda o, y: F.mse_loss(o[:, 0], y.float())}, "classes-as-numbers"),
        (
            mlp(nn.Softmax(1), outputs=3),
            {"loss": F.binary_cross_entropy, "y": torch.stack([Y % 2 == 0, Y > 4, Y == 0], 1).float()},
            "softmax-for-labels",
        ),
        (
            mlp(nn.Softmax(1)),
            {"loss": lambda o, y: F.kl_div(o, F.one_hot(y, 10).float(), reduction="batchmean")},
            "loss-without-limit",
        ),
    ],
)
def test_the_pairing_of_outputs_and_loss(model: nn.Module, options: dict[str, Any], expected: str) -> None:
    assert found(train(model, **options))[0] == expected


# ---- weights, steps and batches ----------------------------------------------------------------------


def _filled(value: float) -> nn.Module:
    model = mlp()
    for layer in (model[0], model[2]):  # type: ignore[index]
        nn.init.constant_(layer.weight, value)
    return model


@pytest.mark.parametrize(
    ("model", "options", "expected"),
    [
        (mlp(), {"lr": 3.0}, "learning-rate-too-high"),
        (mlp(), {"lr": 1e-7}, "learning-rate-too-low"),
        (mlp(), {"x": X * 500}, "inputs-unscaled"),
        (_filled(0.0), {}, "constant-initial-weights"),
        (nn.Sequential(nn.Linear(64, 32), nn.Linear(32, 10)), {}, "no-activation"),
        (mlp(), {"shuffle": False, "x": X[Y.argsort()], "y": Y[Y.argsort()]}, "unshuffled-batches"),
        (mlp(), {"x": torch.where(torch.rand(X.shape) < 0.01, math.nan, X)}, "non-finite-inputs"),
        (mlp(), {"y": Y[torch.randperm(len(Y))], "steps": 150}, "labels-unrelated"),
        (mlp(), {"x": torch.zeros_like(X)}, "constant-inputs"),
        (mlp(), {"x": torch.cat([X[:, 1:], (Y[:, None] - 4.5) / 3], 1)}, "target-in-inputs"),
    ],
)
def test_causes_of_unhealthy_loops(model: nn.Module, options: dict[str, Any], expected: str) -> None:
    lr = options.pop("lr", 3e-3)
    assert found(train(model, adam(model, lr), **options))[0] == expected


def test_rows_that_know_each_other() -> None:
    class Wrong(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.GRU(8, 16), nn.Linear(16, 10)  # batch_first is missing

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(x)[0][:, -1])

    [first, *_] = train(Wrong(), x=X.view(-1, 8, 8), steps=20).findings
    assert (first.id, first.where) == ("rows-mixed", "rnn")


def test_a_language_model_that_sees_the_future() -> None:
    class Model(nn.Module):
        def __init__(self, causal: bool) -> None:
            super().__init__()
            self.causal = causal
            self.embed, self.head = nn.Embedding(17, 16), nn.Linear(16, 17)
            self.layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1]) if self.causal else None
            return self.head(self.layer(self.embed(x), src_mask=mask))

    tokens = torch.tensor(PIXELS).long()

    def loss(outputs: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(outputs.flatten(0, 1), y.flatten())

    x, y = tokens[:, :-1], tokens[:, 1:]
    assert found(train(Model(False), x=x, y=y, loss=loss, steps=20))[0] == "future-visible"
    assert "future-visible" not in found(train(Model(True), x=x, y=y, loss=loss, steps=20))


# ---- whatever comes, the loop goes on ----------------------------------------------------------------


def test_a_loop_that_never_calls_step() -> None:
    model = mlp()
    with pellucid.watch(model, adam(model)) as w:
        model(X[:4])
    assert found(w) == ["watch-unused"]


def test_two_watches_on_one_model() -> None:
    model = mlp()
    with pellucid.watch(model), pellucid.watch(model) as second:
        assert "watched-twice" in [one.id for one in second.findings]


def test_a_model_that_changes_its_own_weights() -> None:
    class Changing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                self.layer.bias.mul_(0.9)
            return self.layer(x)

    [one] = [one for one in train(Changing()).findings if one.id == "weights-change-in-forward"]
    assert one.where == "layer"


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_other_precisions(kind: torch.dtype) -> None:
    w = train(mlp().to(kind), x=X.to(kind), steps=20)
    assert w.steps == 20
    assert not w.problems


def test_a_model_on_meta() -> None:
    with torch.device("meta"):
        model = mlp()
    with pellucid.watch(model, adam(model)) as w:
        w.step(None)
    assert found(w)[0] == "meta-device"


def test_odd_arguments_never_raise() -> None:
    model = mlp()
    with pellucid.watch(model, [], loss=None) as w:
        for loss in (1.0, None, "x", [torch.tensor(1.0)], {"a": torch.tensor(2.0)}, torch.ones(3)):
            w.step(loss, inputs="text", targets={"a": None})
        w.validate("high")  # type: ignore[arg-type]
        w.validate({"loss": 1.0, "accuracy": 0.5})
    assert isinstance(w.findings, list)


def test_an_error_of_the_loop_comes_through() -> None:
    model = mlp()
    with pytest.raises(RuntimeError, match="mat1"), pellucid.watch(model, adam(model)):
        model(torch.ones(2, 3))


def test_findings_are_streamed_once_and_can_be_muted() -> None:
    seen: list[Finding] = []
    train(mlp(), zero=False, on_finding=seen.append)
    assert [one.id for one in seen].count("missing-zero-grad") == 1
    assert "missing-zero-grad" not in found(train(mlp(), zero=False, mute=["missing-zero-grad"]))


def test_a_generator_and_a_discriminator() -> None:
    torch.manual_seed(0)
    pair = {
        "g": nn.Sequential(nn.Linear(4, 64), nn.Tanh()),
        "d": nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 1)),
    }
    of_g, of_d = adam(pair["g"]), adam(pair["d"])
    told = F.binary_cross_entropy_with_logits

    def go(detach: bool) -> list[str]:
        with pellucid.watch(pair, [of_g, of_d]) as w:
            for step in range(30):
                fake = pair["g"](torch.randn(16, 4))
                of_d.zero_grad()
                judged = pair["d"](fake.detach() if detach else fake)
                (
                    told(pair["d"](X[step : step + 16]), torch.ones(16, 1)) + told(judged, torch.zeros(16, 1))
                ).backward(retain_graph=True)
                of_d.step()
                of_g.zero_grad()
                value = told(pair["d"](pair["g"](torch.randn(16, 4))), torch.ones(16, 1))
                value.backward()
                of_g.step()
                w.step(value, inputs=X[:16])
        return found(w)

    assert go(detach=True) == []
    assert "missing-detach" in go(detach=False)


def test_a_trainer_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(vocab_size=17, n_positions=64, n_embd=16, n_layer=1, n_head=2)
    model = transformers.GPT2LMHeadModel(config)
    optimizer = adam(model)
    callback = pellucid.watch_trainer()
    assert callback.findings == []
    callback.on_train_begin(None, None, None, model=model, optimizer=optimizer)
    tokens = torch.tensor(PIXELS[:200]).long()
    for rows in tokens.split(20):
        optimizer.zero_grad()
        model(input_ids=rows[:, :-1], labels=rows[:, 1:]).loss.backward()
        optimizer.step()
        callback.on_step_end(None, None, None)
    callback.on_evaluate(None, None, None, metrics={"eval_loss": 2.0, "eval_runtime": 1.0})
    callback.on_train_end(None, None, None)
    assert callback.findings[0].id == "labels-shifted-twice"
    assert callback.watching.evidence.validations == {"eval_loss": ((10, 2.0),)}


def test_a_trainer_of_lightning_says_how_to_install_it() -> None:
    if importlib.util.find_spec("lightning") or importlib.util.find_spec("pytorch_lightning"):
        pytest.skip("it is installed")
    with pytest.raises(pellucid.PellucidError, match="not installed"):
        pellucid.watch_lightning()
