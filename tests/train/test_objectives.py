"""Every objective equals its equation, is measured deterministically and resumes bit for bit."""

import math
from functools import partial
from importlib import import_module
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.config import TrainConfig
from pellucid.errors import ConfigError, TrainingError
from pellucid.models import bert
from pellucid.record import Run
from pellucid.tasks import task_names
from pellucid.tasks.metric_learning.objective import supcon
from pellucid.tasks.reconstruction.objective import add_noise
from pellucid.train.callbacks import Callback, Monitor, NonFiniteGuard, Recorder
from pellucid.train.checkpoint import Checkpointer, restore
from pellucid.train.optimizers import optimizer
from pellucid.train.trainer import Trainer

VOCAB = 11


class Fixed(nn.Module):
    """A model with fixed outputs."""

    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, *inputs):
        return self.output


class VAEOutput(NamedTuple):
    recon: Tensor
    mu: Tensor
    logvar: Tensor


class SmallVAE(nn.Module):
    latent_dim = 2

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.decoder = nn.Linear(64, 4), nn.Linear(2, 64)

    def encode(self, images):
        return self.encoder(images).chunk(2, dim=1)

    def decode(self, z):
        return self.decoder(z)

    def forward(self, images):
        mu, logvar = self.encode(images)
        z = mu + torch.randn_like(mu) * (0.5 * logvar).exp() if self.training else mu
        return VAEOutput(self.decode(z), mu, logvar)


class SmallGAN(nn.Module):
    latent_dim = 3

    def __init__(self, conditional=False):
        super().__init__()
        torch.manual_seed(0)
        self.conditional = conditional
        self.body = nn.Sequential(nn.Linear(3, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 64))
        self.critic = nn.Linear(64, 1)
        self.seen = []
        self.generator = _Called(self.body, lambda z, *labels: self.body(z).sigmoid())
        self.discriminator = _Called(self.critic, self._verdict)

    def _verdict(self, images, *labels):
        self.seen.append((images, labels))
        return self.critic(images)[:, 0]


class _Called(nn.Module):
    def __init__(self, body, function):
        super().__init__()
        self.body, self.function = body, function

    def forward(self, *args):
        return self.function(*args)


MODULES = {
    name: import_module(f"pellucid.tasks.{name}.objective") for name in task_names() if name != "custom"
}
BUILDERS = {name: getattr(module, name) for name, module in MODULES.items()}


def means(measures):
    return {key: total.item() / count for key, (total, count) in measures.items()}


def train_loss(name, model, batch, **options):
    return BUILDERS[name](**options).phases[0].loss(model, batch).item()


def measured(name, model, batch, **options):
    return means(BUILDERS[name](**options).measure(model, batch))


def test_every_objective_a_config_may_name_has_a_builder():
    assert {name: build().name for name, build in BUILDERS.items()} == {name: name for name in BUILDERS}


# ---- tokens --------------------------------------------------------------------------------------


@pytest.fixture
def tokens():
    torch.manual_seed(0)
    logits = torch.randn(3, 5, VOCAB, requires_grad=True)
    targets = torch.randint(0, VOCAB, (3, 5))
    targets[:, 3:] = -100
    return logits, targets


def test_scoring_only_masked_tokens_gives_the_same_loss():
    torch.manual_seed(0)
    model = bert((12,), 50, size="tiny")
    tokens = torch.randint(5, 50, (3, 12))
    targets = torch.where(torch.rand(3, 12) < 0.3, tokens, -100)
    alone = measured("masked_language_model", model.eval(), (tokens, targets))
    assert alone == pytest.approx(measured("language_model", model, (tokens, targets)), rel=1e-5)


@pytest.mark.parametrize("name", ["language_model", "masked_language_model"])
def test_token_loss_is_the_negative_log_probability_at_scored_positions(tokens, name):
    logits, targets = tokens
    terms = [-logits[b, t].log_softmax(0)[targets[b, t]].item() for b in range(3) for t in range(3)]
    right = [logits[b, t].argmax().item() == targets[b, t].item() for b in range(3) for t in range(3)]
    expected = {"loss": sum(terms) / 9, "accuracy": sum(right) / 9}
    batch = (torch.zeros(3, 5, dtype=torch.long), targets)
    assert measured(name, Fixed(logits), batch) == pytest.approx(expected, rel=1e-5)
    assert train_loss(name, Fixed(logits), batch) == pytest.approx(expected["loss"], rel=1e-5)


def test_skipping_ignored_positions_does_not_change_gradients(tokens):
    logits, targets = tokens
    gradients = []
    for name in ("language_model", "masked_language_model"):
        loss = BUILDERS[name](label_smoothing=0.1).phases[0].loss(Fixed(logits), (targets, targets))
        gradients.append(torch.autograd.grad(loss, logits)[0])
    assert torch.allclose(*gradients, atol=1e-7)
    assert not gradients[0][:, 3:].any()
    assert gradients[0][:, :3].all()


def test_a_batch_without_scored_positions_has_zero_loss(tokens):
    logits, targets = tokens
    nothing = torch.full_like(targets, -100)
    assert train_loss("masked_language_model", Fixed(logits), (nothing, nothing)) == 0


def test_each_token_is_predicted_from_the_previous_ones():
    torch.manual_seed(0)
    target = torch.tensor([[2, 5, 6, 3, 0], [2, 7, 3, 0, 0]])
    logits, given = torch.randn(2, 4, VOCAB), []

    class Spy(nn.Module):
        def forward(self, source, before):
            given.append(before)
            return logits

    batch = (torch.ones(2, 3, dtype=torch.long), target)
    asked = [(0, 0, 5), (0, 1, 6), (0, 2, 3), (1, 0, 7), (1, 1, 3)]
    expected = sum(-logits[b, t].log_softmax(0)[token].item() for b, t, token in asked) / 5
    assert measured("seq2seq", Spy(), batch)["loss"] == pytest.approx(expected, rel=1e-5)
    assert torch.equal(given[0], target[:, :-1])
    smoothed = train_loss("seq2seq", Spy(), batch)
    uniform = sum(-logits[b, t].log_softmax(0).mean().item() for b, t, _ in asked) / 5
    assert smoothed == pytest.approx(0.9 * expected + 0.1 * uniform, rel=1e-5)


# ---- reconstruction ------------------------------------------------------------------------------


def test_a_reconstruction_is_compared_with_the_clean_input(digits):
    images = digits[0][:20]
    seen = []

    class Copy(nn.Module):
        def forward(self, inputs):
            seen.append(inputs)
            return inputs

    found = measured("reconstruction", Copy(), (images, None), noise=0.3)
    assert found["loss"] == found["mse"] == pytest.approx((seen[0] - images).square().mean().item(), rel=1e-5)
    assert found["loss"] == pytest.approx(0.09, rel=0.15)
    again = measured("reconstruction", Copy(), (images, None), noise=0.3)
    assert again == found
    train_loss("reconstruction", Copy(), (images, None), noise=0.3)
    assert not torch.equal(seen[2], seen[0])


def test_masking_noise_blanks_a_share_of_the_pixels(digits):
    images = digits[0] + 1  # nothing is 0
    spoiled = add_noise(images, 0.25, "masking")
    gone = spoiled == 0
    assert gone.float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert torch.equal(spoiled[~gone], images[~gone])


def test_codebook_loss_is_added_and_bce_reads_logits(digits):
    class Output(NamedTuple):
        recon: Tensor
        codebook_loss: Tensor

    images = digits[0][:8]
    logits = torch.randn_like(images)
    plain = measured("reconstruction", Fixed(logits), (images, None), loss="bce")
    assert plain["loss"] == pytest.approx(F.binary_cross_entropy(logits.sigmoid(), images).item(), rel=1e-5)
    assert plain["mse"] == pytest.approx((logits.sigmoid() - images).square().mean().item(), rel=1e-5)
    coded = Fixed(Output(logits, torch.tensor(0.5)))
    found = train_loss("reconstruction", coded, (images, None), loss="bce")
    assert found == pytest.approx(plain["loss"] + 0.5, rel=1e-5)


def test_elbo_is_reconstruction_plus_divergence(digits):
    images, model = (digits[0][:200] > 0.5).float(), SmallVAE()  # nothing to binarize
    found = measured("elbo", model.eval(), (images, None))
    mu, logvar = model.encode(images)
    posterior = torch.distributions.Normal(mu, (0.5 * logvar).exp())
    kl = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    assert found["kl"] == pytest.approx(kl.item(), rel=1e-5)
    assert found["loss"] == pytest.approx(found["recon"] + found["kl"], rel=1e-6)
    torch.manual_seed(1)
    drawn = [
        -torch.distributions.Bernoulli(logits=model.decode(posterior.sample())).log_prob(images).sum(1).mean()
        for _ in range(20)
    ]
    assert found["recon"] == pytest.approx(torch.stack(drawn).mean().item(), rel=0.01)
    assert found == measured("elbo", model, (images, None))
    assert train_loss("elbo", model.train(), (images, None)) != train_loss("elbo", model, (images, None))
    trained = []
    for beta in (1.0, 4.0):
        torch.manual_seed(2)
        trained.append(train_loss("elbo", model, (images, None), beta=beta))
    assert trained[1] - trained[0] == pytest.approx(3 * found["kl"], rel=1e-4)


def test_pixels_are_sampled_in_training_and_fixed_in_evaluation(digits):
    seen = []

    class Spy(SmallVAE):
        def encode(self, images):
            seen.append(images)
            return super().encode(images)

    model, batch = Spy(), (digits[0], None)
    objective = BUILDERS["elbo"]()
    for step in (objective.phases[0].loss, objective.phases[0].loss, objective.measure, objective.measure):
        step(model, batch)
    assert all(set(images.unique().tolist()) == {0.0, 1.0} for images in seen)
    assert all(images.mean().item() == pytest.approx(digits[0].mean().item(), rel=0.02) for images in seen)
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[2], seen[3])


def test_divergence_below_the_free_bits_costs_nothing(digits):
    model = SmallVAE().eval()
    batch = (digits[0][:50], None)
    floor = train_loss("elbo", model, batch, binarize=False, free_bits=100.0)
    assert measured("elbo", model, batch, binarize=False)["kl"] < 200  # two latent numbers, 100 each
    assert floor == pytest.approx(train_loss("elbo", model, batch, binarize=False, beta=0) + 200, rel=1e-5)
    assert train_loss("elbo", model, batch, binarize=False, free_bits=1e-9) == pytest.approx(
        train_loss("elbo", model, batch, binarize=False), rel=1e-5
    )


def test_a_gaussian_likelihood_is_normalized(digits):
    images, model = digits[0][:10], SmallVAE().eval()
    loss = train_loss("elbo", model, (images, None), likelihood="gaussian", beta=0)
    density = torch.distributions.Normal(model(images).recon, 1.0).log_prob(images)
    assert loss == pytest.approx(-density.sum(1).mean().item(), rel=1e-5)


# ---- two players ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "real", "made", "generator"),
    [
        (
            "bce",
            lambda d: -d.sigmoid().log(),
            lambda d: -(1 - d.sigmoid()).log(),
            lambda d: -d.sigmoid().log(),
        ),
        ("hinge", lambda d: (1 - d).clamp(min=0), lambda d: (1 + d).clamp(min=0), lambda d: -d),
        ("wgan-gp", lambda d: -d, lambda d: d, lambda d: -d),
    ],
)
def test_generator_and_discriminator_minimize_their_own_losses(digits, loss, real, made, generator):
    model, batch = SmallGAN(), (digits[0][:16], digits[1][:16])
    objective = BUILDERS["adversarial"](loss=loss)
    found = [phase.loss(model, batch).item() for phase in objective.phases]
    discriminator_outputs = [model.critic(images)[:, 0] for images, _ in model.seen]
    expected = real(discriminator_outputs[0]).mean() + made(discriminator_outputs[1]).mean()
    if loss == "wgan-gp":  # the slope of a linear critic is the length of its weights
        expected = expected + 10 * (model.critic.weight.norm() - 1).square()
    assert found[0] == pytest.approx(expected.item(), rel=1e-4)
    assert found[1] == pytest.approx(generator(discriminator_outputs[-1]).mean().item(), rel=1e-4)


def test_generator_and_discriminator_learn_from_the_same_samples(runs, batches):
    model, made = SmallGAN(), []
    model.body.register_forward_hook(lambda module, given, images: made.append(images.sigmoid()))
    mine = two_players(model)
    mine.fit([next(iter(batches))] * 2)
    seen = [shown for shown, _ in model.seen]
    assert len(made) == mine.step == 2
    for step, images in enumerate(made):
        assert torch.equal(seen[3 * step + 1], images)
        assert torch.equal(seen[3 * step + 2], images)


def test_a_gan_step_equals_a_hand_written_loop(digits):
    """One noise for both, as PyTorch's tutorial has it."""
    images, theirs, model = digits[0][:16], SmallGAN(), SmallGAN()
    learn = [torch.optim.SGD(part.parameters(), lr=0.1) for part in (theirs.discriminator, theirs.generator)]
    torch.manual_seed(5)
    made = theirs.generator(torch.randn(16, theirs.latent_dim))
    F.softplus(-theirs.discriminator(images)).mean().backward()
    F.softplus(theirs.discriminator(made.detach())).mean().backward()
    learn[0].step()
    F.softplus(-theirs.discriminator(made)).mean().backward()
    learn[1].step()
    torch.manual_seed(5)
    two_players(model).fit([(images, digits[1][:16])])
    for key, value in theirs.state_dict().items():
        torch.testing.assert_close(model.state_dict()[key], value)


def two_players(model, *callbacks):
    return Trainer(
        model,
        BUILDERS["adversarial"](),
        lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        TrainConfig(epochs=1, device="cpu", execution="eager"),
        callbacks=callbacks,
    )


def test_discriminator_penalties_and_label_smoothing(digits):
    model, batch = SmallGAN(), (digits[0][:16], digits[1][:16])

    def loss(**options):
        torch.manual_seed(3)
        return train_loss("adversarial", model, batch, **options)

    slope = model.critic.weight.square().sum().item()
    assert loss(r1=0.4) - loss() == pytest.approx(0.2 * slope, rel=1e-3)
    verdict = model.critic(batch[0])[:, 0]
    assert loss(label_smoothing=0.1) - loss() == pytest.approx(0.1 * verdict.mean().item(), rel=1e-3)
    model.seen.clear()
    loss(instance_noise=0.5)
    assert (model.seen[0][0] - batch[0]).std().item() == pytest.approx(0.5, rel=0.1)


def test_conditional_gan_receives_the_labels(digits):
    model, batch = SmallGAN(conditional=True), (digits[0][:16], digits[1][:16])
    objective = BUILDERS["adversarial"]()
    for phase in objective.phases:
        phase.loss(model, batch)
    objective.measure(model, batch)
    assert all(torch.equal(labels[0], batch[1]) for _, labels in model.seen)
    assert len(model.seen) == 5


def test_measuring_a_gan_twice_gives_the_same(digits):
    model, batch = SmallGAN().eval(), (digits[0][:16], digits[1][:16])
    found = measured("adversarial", model, batch)
    assert found == measured("adversarial", model, batch)
    assert set(found) == {"loss", "d_real", "d_fake"}
    assert 0 < found["d_real"] < 1
    assert 0 < found["d_fake"] < 1


@pytest.mark.parametrize("rows", [16, 15])
def test_packed_samples_share_one_output_and_one_gradient_penalty(digits, rows):
    class Packed(SmallGAN):
        def _verdict(self, images, *labels):
            odd = len(images) % 2
            images = torch.cat([images, images[:odd]])
            return self.critic(images)[:, 0].reshape(-1, 2).sum(1)

    model, batch = Packed(), (digits[0][:rows], digits[1][:rows])
    with torch.no_grad():
        model.critic.weight.div_(model.critic.weight.norm())
    options = {"loss": "wgan-gp", "gp_weight": 1.0}
    found = BUILDERS["adversarial"](**options).measure(model, batch)["d_real"]
    assert found[1] == 8
    torch.manual_seed(0)
    with_penalty = train_loss("adversarial", model, batch, **options)
    torch.manual_seed(0)
    penalty = with_penalty - train_loss("adversarial", model, batch, **{**options, "gp_weight": 0.0})
    if rows == 16:
        assert penalty == pytest.approx((2**0.5 - 1) ** 2, rel=1e-3)  # two images of slope 1
    assert penalty > 0


def test_critic_takes_its_number_of_steps(digits):
    critic, generator = BUILDERS["adversarial"](loss="wgan-gp", critic_steps=5).phases
    assert (critic.repeat, generator.repeat) == (5, 1)
    with pytest.raises(ConfigError, match="critic_steps"):
        BUILDERS["adversarial"](critic_steps=0)


# ---- embeddings and series -----------------------------------------------------------------------


def test_supcon_equals_its_published_equation():
    torch.manual_seed(0)
    embeddings, classes = F.normalize(torch.randn(6, 3), dim=1), torch.tensor([0, 0, 0, 1, 1, 2])
    terms = []
    for i in range(5):  # the last has nobody of its class
        others = [a for a in range(6) if a != i]
        total = sum(math.exp((embeddings[i] @ embeddings[a]).item() / 0.2) for a in others)
        mine = [p for p in others if classes[p] == classes[i]]
        terms.append(
            sum(-math.log(math.exp((embeddings[i] @ embeddings[p]).item() / 0.2) / total) for p in mine)
            / len(mine)
        )
    assert supcon(embeddings, classes, temperature=0.2).item() == pytest.approx(sum(terms) / 5, rel=1e-5)


def test_precision_counts_only_rows_with_a_possible_match():
    embeddings = torch.tensor([[0.0, 1.0], [0.1, 1.0], [1.0, 0.0], [1.0, 0.1], [1.0, 0.2]])
    classes = torch.tensor([0, 0, 1, 2, 1])  # the fourth is alone; the third and fifth have it between them
    found = BUILDERS["metric_learning"]().measure(Fixed(embeddings), (None, classes))["precision"]
    assert (found[0].item(), found[1]) == (2, 4)


class Units(nn.Module):
    def forward(self, embeddings):
        return F.normalize(embeddings, dim=1)


@pytest.mark.parametrize("loss", ["triplet", "contrastive", "supcon"])
def test_every_metric_loss_separates_classes(digits, loss):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8), Units())
    objective = BUILDERS["metric_learning"](loss=loss)
    fitted = torch.optim.Adam(model.parameters(), lr=3e-3)
    batch, held_out = (digits[0][:200], digits[1][:200]), (digits[0][1000:1300], digits[1][1000:1300])
    before = means(objective.measure(model, held_out))
    for _ in range(60):
        fitted.zero_grad()
        objective.phases[0].loss(model, batch).backward()
        fitted.step()
    after = means(objective.measure(model, held_out))
    assert after["loss"] < before["loss"]
    assert after["precision"] > 0.85


def test_forecasts_can_be_flattened():
    torch.manual_seed(0)
    outputs, targets = torch.randn(4, 5, 3), torch.randn(4, 5, 3)
    expected = {
        "loss": (outputs - targets).square().mean().item(),
        "mae": (outputs - targets).abs().mean().item(),
    }
    for given in (outputs, outputs.flatten(1)):
        batch = (torch.zeros(4, 8, 3), targets)
        assert measured("forecasting", Fixed(given), batch) == pytest.approx(expected, rel=1e-5)
        assert train_loss("forecasting", Fixed(given), batch, loss="mae") == pytest.approx(expected["mae"])


@pytest.mark.parametrize("name", ["reconstruction", "adversarial", "metric_learning", "forecasting"])
def test_an_unknown_loss_is_refused_with_the_known_ones(name):
    with pytest.raises(ConfigError, match=r"loss: expected .* or .*'nonsense'"):
        BUILDERS[name](loss="nonsense")


# ---- in the loop ---------------------------------------------------------------------------------


class InterruptAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, trainer):
        if trainer.step == self.step:
            trainer.interrupt("by the test")


def build(runs, name, model, *, at=None, run=None, **options):
    run = run or Run.create(runs, "test", "")
    monitor = Monitor("val/loss")
    callbacks = [monitor, Recorder(run, 1), *([InterruptAt(at)] if at else [])]
    make = partial(optimizer, "adam", lr=0.01)
    optimizers = {phase.name: make for phase in BUILDERS[name]().phases}
    return run, Trainer(
        model(),
        BUILDERS[name](**options),
        optimizers,
        TrainConfig(epochs=3, device="cpu", execution="eager", ema=0.9),
        callbacks=[*callbacks, Checkpointer(run, monitor, seconds=1e9)],
    )


def everything(run, mine):
    keys = [key for key in run.store.keys() if key != "epoch_seconds"]  # noqa: SIM118 (not a dict)
    return mine.model.state_dict(), {key: run.store.series(key) for key in keys}, mine.measures


@pytest.mark.parametrize(
    ("name", "model", "options"),
    [
        ("elbo", SmallVAE, {}),
        ("adversarial", SmallGAN, {"instance_noise": 0.1}),
        ("adversarial", SmallGAN, {"loss": "wgan-gp", "critic_steps": 2}),
        ("reconstruction", lambda: nn.Linear(64, 64), {"noise": 0.3}),
    ],
)
def test_objectives_with_noise_resume_bit_for_bit(runs, batches, held_out, name, model, options):
    torch.manual_seed(7)
    run, control = build(runs, name, model, **options)
    torch.manual_seed(7)
    control.fit(batches, {"val": held_out})
    expected = everything(run, control)
    stop = len(batches) + 3
    torch.manual_seed(7)
    run, first = build(runs, name, model, at=stop, **options)
    initial = {key: value.clone() for key, value in first.model.state_dict().items()}
    torch.manual_seed(7)
    first.fit(batches, {"val": held_out})
    assert first.step == stop
    _, second = build(runs, name, model, run=run, **options)
    second.model.load_state_dict(initial)
    torch.manual_seed(99)
    assert restore(run, second)
    second.fit(batches, {"val": held_out})
    found = everything(run, second)
    assert all(torch.equal(found[0][key], value) for key, value in expected[0].items())
    assert found[1:] == expected[1:]


def test_every_phase_is_recorded_under_its_own_name(runs, batches, held_out):
    run, mine = build(runs, "adversarial", SmallGAN, critic_steps=2)
    mine.fit(batches, {"val": held_out})
    means = mine.measures
    assert means["train/loss"] == means["train/discriminator_loss"] != means["train/generator_loss"]
    steps = 3 * len(batches)
    recorded = {name: run.store.series(f"step/{name}_loss") for name in ("discriminator", "generator")}
    assert all([step for step, _ in rows] == list(range(1, steps + 1)) for rows in recorded.values())
    last = [value for _, value in recorded["generator"][-len(batches) :]]
    assert means["train/generator_loss"] == pytest.approx(sum(last) / len(last))
    assert run.store.series("step/loss") == recorded["discriminator"]


def test_a_single_phase_is_recorded_under_one_name(runs, batches, held_out):
    run, mine = build(runs, "elbo", SmallVAE)
    mine.fit(batches, {"val": held_out})
    assert set(mine.measures) == {"train/loss", "val/loss", "val/recon", "val/kl"}
    assert [key for key in run.store.keys() if key.startswith("step/")] == ["step/loss", "step/lr"]  # noqa: SIM118


def test_a_nan_loss_is_located_in_the_generator(digits):
    class Explode(nn.Module):
        def forward(self, x):
            return x * float("nan")

    model = SmallGAN()
    model.body.append(Explode())
    mine = two_players(model, NonFiniteGuard())
    with pytest.raises(TrainingError, match=r"body\.4 \(Explode\) is the first module"):
        mine.fit([(digits[0][:16], digits[1][:16])])
