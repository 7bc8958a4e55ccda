"""`pellucid.watch` on plain loops: how optimizers step, and what pictures, tokens, masks and targets hold."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_sample_image
from torch import Tensor, nn

import pellucid
from tests.lens.test_watch import X, Y, adam, found, mlp, train

WORDS = 60


def found_first(ids: list[str]) -> str:
    return ids[0] if ids else ""


def sgd(model: nn.Module, lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=lr)


# ---- how optimizers step -----------------------------------------------------------------------------


def two_optimizers(step_both: bool) -> list[str]:
    torch.manual_seed(0)
    model = nn.ModuleDict({"body": nn.Linear(64, 32), "head": nn.Linear(32, 10)})
    both = [adam(model["body"], 1e-2), adam(model["head"], 1e-2)]
    with pellucid.watch(model, both) as w:
        for step in range(60):
            for one in both:
                one.zero_grad()
            rows = slice(24 * step, 24 * step + 24)
            loss = F.cross_entropy(model["head"](model["body"](X[rows]).relu()), Y[rows])
            loss.backward()
            for one in both if step_both else both[:1]:
                one.step()
            w.step(loss, inputs=X[rows], targets=Y[rows])
    return found(w)


def test_one_of_two_optimizers_never_steps() -> None:
    assert found_first(two_optimizers(step_both=False)) == "optimizer-never-steps"
    assert two_optimizers(step_both=True) == []


def test_a_critic_that_steps_more_often_than_its_generator() -> None:
    torch.manual_seed(0)
    pair = nn.ModuleDict({"g": nn.Linear(4, 64), "d": mlp(outputs=1)})
    of_g, of_d = adam(pair["g"]), adam(pair["d"])
    with pellucid.watch(pair, [of_g, of_d]) as w:
        for step in range(30):
            of_d.zero_grad()
            fake = pair["g"](torch.randn(16, 4))
            value = F.softplus(pair["d"](fake.detach())).mean() + F.softplus(-pair["d"](X[:16])).mean()
            value.backward()
            of_d.step()
            if step % 5 == 4:
                of_g.zero_grad()
                F.softplus(-pair["d"](pair["g"](torch.randn(16, 4)))).mean().backward()
                of_g.step()
            w.step(value, inputs=X[:16])
    assert "optimizer-never-steps" not in found(w)
    assert "steps-rare" not in found(w)


def accumulated(
    count: int, part: float, lr: float, steps: int = 160, made: Callable[..., Any] = sgd
) -> list[str]:
    """Step once for `count` batches, of each of whose losses a part is taken; `w.step` gets the whole."""
    model = mlp()
    optimizer = made(model, lr)
    with pellucid.watch(model, optimizer) as w:
        for step in range(steps):
            rows = torch.arange(16 * step, 16 * step + 16) % len(X)
            loss = F.cross_entropy(model(X[rows]), Y[rows])
            (loss * part).backward()
            if step % count == count - 1:
                optimizer.step()
                optimizer.zero_grad()
            w.step(loss, inputs=X[rows], targets=Y[rows])
    return found(w)


@pytest.mark.parametrize("count", [4, 8])
def test_accumulated_gradients_that_are_not_divided(count: int) -> None:
    assert found_first(accumulated(count, 1.0, lr=0.5)) == "accumulation-not-divided"
    assert accumulated(count, 1 / count, lr=0.5) == []
    assert accumulated(count, 1.0, lr=0.5 / count) == []  # a rate that fits the sum


def test_accumulated_gradients_do_not_make_the_steps_of_adam_longer() -> None:
    ids = accumulated(4, 1.0, lr=1.0, made=adam)
    assert ids
    assert "accumulation-not-divided" not in ids


def test_a_loss_that_is_a_sum_over_rows() -> None:
    def summed(outputs: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(outputs, y, reduction="sum")

    model = mlp()
    assert found_first(found(train(model, sgd(model, 0.1), loss=summed))) == "loss-summed"
    model = mlp()
    assert found(train(model, sgd(model, 0.1))) == []
    model = mlp()
    assert found(train(model, sgd(model, 0.1 / 32), loss=summed)) == []


def scaled(unscale: bool, lr: float = 1e-2, clip: float = 1.0) -> list[str]:
    model = mlp()
    optimizer = sgd(model, lr)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    with pellucid.watch(model, optimizer) as w:
        for step in range(80):
            rows = torch.arange(16 * step, 16 * step + 16) % len(X)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(X[rows]), Y[rows])
            scaler.scale(loss).backward()
            if unscale:
                scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), clip)
            scaler.step(optimizer)
            scaler.update()
            w.step(loss, inputs=X[rows], targets=Y[rows])
    return found(w)


def test_clipping_of_gradients_that_a_scaler_has_multiplied() -> None:
    assert found_first(scaled(unscale=False)) == "clipped-while-scaled"
    assert scaled(unscale=True, lr=0.1) == []


@pytest.mark.parametrize("count", [20, 40, 57])
def test_one_step_of_the_optimizer_for_each_epoch(count: int) -> None:
    assert found_first(accumulated(count, 1 / count, lr=0.1)) == "steps-rare"


def test_steps_that_were_not_looked_at_are_not_said_to_be_missing() -> None:
    model = mlp()
    optimizer = sgd(model, 0.1)
    w = pellucid.watch(model, optimizer)
    for step in range(160):
        loss = F.cross_entropy(model(X[:16]), Y[:16]) / 110
        loss.backward()
        if step % 110 == 109:
            optimizer.step()
            optimizer.zero_grad()
        w.step(loss, inputs=X[:16], targets=Y[:16])
    w.close()
    [rare] = [one for one in w.findings if one.id == "steps-rare"]
    assert f"In {w.attended} of 160 turns of the loop" in rare.message
    assert f"{w.evidence.loop.steps or 'no'} step of the optimizer" in rare.message


def test_steps_that_are_not_rare() -> None:
    assert "steps-rare" not in accumulated(8, 1 / 8, lr=0.1)
    by_hand = mlp()

    w = pellucid.watch(by_hand, sgd(by_hand, 1e-3))
    for _ in range(60):
        by_hand.zero_grad()
        loss = F.cross_entropy(by_hand(X[:32]), Y[:32])
        loss.backward()
        with torch.no_grad():
            for one in by_hand.parameters():
                one -= 1e-3 * one.grad  # type: ignore[operator]
        w.step(loss, inputs=X[:32], targets=Y[:32])
    w.close()
    assert "steps-rare" not in found(w)


@pytest.mark.parametrize(
    ("factor", "wrong"),
    [
        (lambda step: 3e-3 * 0.99**step, True),
        (lambda step: 0.99**step, False),
        (lambda step: min(1.0, (step + 1) / 20), False),
    ],
)
def test_a_schedule_that_returns_a_rate(factor: Callable[[int], float], wrong: bool) -> None:
    ids = scheduled(factor, adam(model := mlp()), model)
    assert ids == (["schedule-returns-rate"] if wrong else [])


def scheduled(
    factor: Callable[[int], float], optimizer: torch.optim.Optimizer, model: nn.Module
) -> list[str]:
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    with pellucid.watch(model, optimizer) as w:
        for step in range(80):
            rows = torch.arange(16 * step, 16 * step + 16) % len(X)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(X[rows]), Y[rows])
            loss.backward()
            optimizer.step()
            schedule.step()
            w.step(loss, inputs=X[rows], targets=Y[rows])
    return found(w)


def test_a_rate_that_is_still_small_because_it_is_warmed_up() -> None:
    ids = scheduled(lambda step: min(1.0, (step + 1) / 1000), sgd(model := mlp(), 0.1), model)
    assert "schedule-returns-rate" not in ids


# ---- pictures ----------------------------------------------------------------------------------------


def pictures(rows: int = 256) -> tuple[Tensor, Tensor]:
    """Return (B, 32, 32, 3) pieces of two photographs, normalized, and which one each is of."""
    generator = torch.Generator().manual_seed(0)
    cut, labels = [], torch.arange(rows) % 2
    photos = [torch.tensor(load_sample_image(name)) for name in ("china.jpg", "flower.jpg")]
    for label in labels.tolist():
        top, left = torch.randint(0, 390, (2,), generator=generator).tolist()
        cut.append(photos[label][top : top + 32, left : left + 32])
    values = torch.stack(cut).float() / 255
    return (values - values.mean((0, 1, 2))) / values.std((0, 1, 2)), labels


def small_cnn() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 2))
    )


def test_pictures_that_were_reshaped_instead_of_permuted() -> None:
    values, labels = pictures()
    wrong = train(small_cnn(), x=values.reshape(-1, 3, 32, 32), y=labels, steps=40)
    assert found_first(found(wrong)) == "channels-interleaved"
    right = train(small_cnn(), x=values.permute(0, 3, 1, 2), y=labels, steps=100)
    assert found(right) == []
    large = values[:16].repeat_interleave(7, 1).repeat_interleave(7, 2) + 0.05 * torch.randn(16, 224, 224, 3)
    wrong = train(small_cnn(), x=large.reshape(-1, 3, 224, 224), y=labels[:16], steps=2)
    assert "channels-interleaved" in found(wrong)
    gray = values.mean(3, keepdim=True).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
    assert "channels-interleaved" not in found(train(small_cnn(), x=gray, y=labels, steps=40))


def test_pictures_of_noise_are_not_interleaved() -> None:
    x = torch.randn(128, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert "channels-interleaved" not in found(train(small_cnn(), x=x, y=torch.arange(128) % 2, steps=20))


@pytest.mark.parametrize("shape", [(128, 3, 32, 1), (128, 1, 1, 1)])
def test_pictures_whose_rows_are_constant_are_not_interleaved(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).expand(-1, 3, 32, 32)
    assert "channels-interleaved" not in found(train(small_cnn(), x=x, y=torch.arange(128) % 2, steps=20))


@pytest.mark.parametrize("axes", [(0.0, 1.0), (1.0, 0.0), (1.0, 1.0)])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_stripes_of_three_pixels_are_not_interleaved(axes: tuple[float, float], noise: float) -> None:
    generator = torch.Generator().manual_seed(0)
    places = torch.arange(32.0) * 2 * torch.pi / 3
    starts = 6 * torch.rand(128, 3, 1, 1, generator=generator)
    x = torch.sin(axes[0] * places[:, None] + axes[1] * places + starts)
    x = x + noise * torch.randn(x.shape, generator=generator)
    assert "channels-interleaved" not in found(train(small_cnn(), x=x, y=torch.arange(128) % 2, steps=20))


# ---- tokens and masks --------------------------------------------------------------------------------


def texts(rows: int = 256, length: int = 20, side: str = "right") -> tuple[Tensor, Tensor]:
    """Return (B, T) tokens, filled up with 0, and whether words of the upper half are commoner."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(rows) % 2
    words = torch.randint(2, WORDS // 2 + 6, (rows, length), generator=generator)
    words = words + labels[:, None] * (WORDS // 2 - 6)
    lengths = torch.randint(4, length + 1, (rows, 1), generator=generator)
    places = torch.arange(length).expand(rows, -1)
    places = places if side == "right" else places.flip(1)
    return torch.where(places < lengths, words, 0), labels


class Bag(nn.Module):
    """The mean of embeddings of the tokens that are not padding."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.head = nn.Embedding(WORDS, 16), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        words = (x != 0)[..., None]
        return self.head((self.embed(x) * words).sum(1) / words.sum(1))


@pytest.mark.parametrize("side", ["left", "right"])
def test_tokens_that_are_nearly_all_unknown(side: str) -> None:
    x, y = texts(side=side)
    unknown = torch.where((x > 0) & (x % 15 != 0), 1, x)
    assert "tokens-unknown" in found(train(Bag(), x=unknown, y=y, steps=60))


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_on_either_side_is_not_an_unknown_token(side: str) -> None:
    x, y = texts(side=side)
    for tokens in (x, F.pad(x, (0, 150) if side == "right" else (150, 0))):
        bag = Bag()
        assert found(train(bag, adam(bag, 1e-2), x=tokens, y=y, steps=100)) == []


class Encoder(nn.Module):
    """A layer of attention with a mask, and the mean over words."""

    def __init__(self, inverted: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inverted = inverted
        self.embed, self.head = nn.Embedding(WORDS, 16), nn.Linear(16, 2)
        self.where = nn.Parameter(0.1 * torch.randn(1, 20, 16))
        self.layer = nn.MultiheadAttention(16, 2, batch_first=True)
        self.first = nn.Parameter(torch.randn(1, 1, 16))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.embed(x) + self.where[:, : x.shape[1]]
        hidden = (x != 0) if self.inverted else (x == 0)
        asked = self.first.expand(len(x), -1, -1)
        return self.head(self.layer(asked, inner, inner, key_padding_mask=hidden)[0][:, 0])


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_mask_that_is_inverted(side: str) -> None:
    x, y = texts(side=side)
    x[:, -1 if side == "right" else 0] = 0  # without padding an inverted mask leaves nothing to read
    wrong, right = Encoder(inverted=True), Encoder(inverted=False)
    assert found_first(found(train(wrong, x=x, y=y, steps=60))) == "mask-inverted"
    assert found(train(right, adam(right, 1e-2), x=x, y=y, steps=100)) == []


def test_a_mask_of_tokens_padded_on_the_left() -> None:
    x, y = texts(side="left")
    model = Encoder(inverted=False)
    assert "mask-inverted" not in found(train(model, adam(model, 1e-2), x=x, y=y, steps=60))


class Mean(Bag):
    """The mean of the embeddings of all tokens, also of the padding."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x).mean(1))


class Last(Bag):
    """The last state of a recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(16, 16, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(self.embed(x))[1][0])


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_on_either_side_that_is_read(side: str) -> None:
    x, y = texts(side=side)
    assert "padding-read" in found(train(Mean(), x=x, y=y, steps=8))
    recurrent = found(train(Last(), x=x, y=y, steps=8))
    assert ("padding-read" in recurrent) is (side == "right")  # on the left it is what one wants


# ---- targets -----------------------------------------------------------------------------------------


class Decoder(nn.Module):
    """Reads a source and, step by step, what it wrote before."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.head = nn.Embedding(WORDS, 16), nn.Linear(16, WORDS)
        self.reader, self.writer = nn.GRU(16, 16, batch_first=True), nn.GRU(16, 16, batch_first=True)

    def forward(self, source: Tensor, given: Tensor) -> Tensor:
        state = self.reader(self.embed(source))[1]
        return self.head(self.writer(self.embed(given), state)[0])


def watched_tokens(
    model: nn.Module, called: Callable[[Tensor, Tensor], Any], x: Tensor, y: Tensor, steps: int = 40
) -> list[str]:
    """Train on tokens; `called` returns (outputs, loss or None)."""
    optimizer = adam(model, 1e-2)
    with pellucid.watch(model, optimizer) as w:
        for step in range(steps):
            rows = torch.arange(32 * step, 32 * step + 32) % len(x)
            optimizer.zero_grad()
            made = called(x[rows], y[rows])
            logits, loss = made if isinstance(made, tuple) else (made, None)
            loss = F.cross_entropy(logits.flatten(0, 1), y[rows].flatten()) if loss is None else loss
            loss.backward()
            optimizer.step()
            w.step(loss, inputs=x[rows], targets=y[rows])
    return found(w)


def test_a_decoder_that_is_given_its_targets() -> None:
    x = torch.randint(2, 12, (256, 8), generator=torch.Generator().manual_seed(0))
    y = x.flip(1) + 20
    wrong, right = Decoder(), Decoder()
    assert found_first(watched_tokens(wrong, wrong, x, y)) == "target-visible"
    shifted = watched_tokens(right, lambda a, b: right(a, F.pad(b[:, :-1], (1, 0), value=1)), x, y)
    assert "target-visible" not in shifted
    named = Decoder()
    assert "target-visible" in watched_tokens(named, lambda a, b: named(a, given=b), x, y, steps=12)


def test_a_decoder_that_shifts_what_it_is_given_itself() -> None:
    class Shifting(Decoder):
        def forward(self, source: Tensor, given: Tensor) -> Tensor:
            return super().forward(source, F.pad(given[:, :-1], (1, 0), value=1))

    x = torch.randint(2, 12, (256, 8), generator=torch.Generator().manual_seed(0))
    model = Shifting()
    assert "target-visible" not in watched_tokens(model, model, x, x.flip(1) + 20, steps=12)


def test_a_model_that_computes_its_loss_of_the_targets() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embed, self.head = nn.Embedding(WORDS, 16), nn.Linear(16, WORDS)
            self.rnn = nn.GRU(16, 16, batch_first=True)

        def forward(self, x: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
            logits = self.head(self.rnn(self.embed(x))[0])
            if targets is None:
                return logits[:, [-1]], None
            return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    start = torch.randint(0, WORDS, (256, 1), generator=torch.Generator().manual_seed(0))
    tokens = (start + 3 * torch.arange(17)) % WORDS
    model = Model()
    assert watched_tokens(model, model, tokens[:, :-1], tokens[:, 1:], steps=60) == []


@pytest.mark.parametrize("seed", range(4))
def test_a_decoder_with_teacher_forcing_now_and_then(seed: int) -> None:
    class Forced(Decoder):
        """Draws whether the next token is the right one or what it wrote itself."""

        def forward(self, source: Tensor, given: Tensor) -> Tensor:
            state, token, made = self.reader(self.embed(source))[1], torch.ones_like(given[:, 0]), []
            for place in range(given.shape[1]):
                out, state = self.writer(self.embed(token)[:, None], state)
                made.append(self.head(out[:, 0]))
                token = given[:, place] if random.random() < 0.5 else made[-1].argmax(1)
            return torch.stack(made, 1)

    x = torch.randint(2, 12, (256, 8), generator=torch.Generator().manual_seed(0))
    random.seed(seed)
    model = Forced()
    assert not {"target-visible", "random-in-evaluation"} & {
        *watched_tokens(model, model, x, x.flip(1) + 20, steps=6)
    }
    drawn = random.random()
    random.seed(seed)
    [random.random() for _ in range(6 * 8)]
    assert drawn == random.random()


def validated(turned: bool, name: str) -> list[str]:
    y = (Y > 4).long()
    model = mlp(outputs=2)
    optimizer = adam(model)
    with pellucid.watch(model, optimizer) as w:
        for step in range(80):
            rows = torch.arange(16 * step, 16 * step + 16)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(X[rows]), y[rows])
            loss.backward()
            optimizer.step()
            w.step(loss, inputs=X[rows], targets=y[rows])
            if step % 20 == 19:
                with torch.no_grad():
                    right = float((model(X[1400:]).argmax(1) == y[1400:]).float().mean())
                w.validate({name: 1 - right if turned else right})
    return found(w)


@pytest.mark.parametrize("name", ["accuracy", "auc"])
def test_new_rows_that_are_predicted_worse_than_by_guessing(name: str) -> None:
    assert "worse-than-guessing" in validated(True, name)
    assert validated(False, name) == []
    assert "worse-than-guessing" not in validated(True, "error_rate")
