"""Rules on learning curves, on synthetic runs whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid.config import Config
from pellucid.diagnosis import Facts, Setting, diagnose, examine, setting_of
from pellucid.record import Finding, Run
from pellucid.record.spec import find_spec

PRIOR = {"prior": {"val/accuracy": 0.1, "val/loss": 2.3}, "linear": {"val/accuracy": 0.92}}
STEPS_PER_EPOCH = 100


def series(values) -> list[tuple[int, float]]:
    return [(STEPS_PER_EPOCH * (i + 1), float(value)) for i, value in enumerate(values)]


def run_of(val, train=None, val_accuracy=None, train_accuracy=None) -> dict:
    named = {
        "val/loss": val,
        "train/loss": train,
        "val/accuracy": val_accuracy,
        "train/accuracy": train_accuracy,
    }
    curves = {key: series(values) for key, values in named.items() if values is not None}
    return curves | {"epoch": series(range(1, len(val) + 1))}


def first(curves, baselines=None, setting=None) -> Finding:
    """The finding that is ranked first."""
    return examine(Facts(curves, baselines or {}, setting or Setting())).findings[0]


def settled(epochs: int, end: float, noise: float, seed: int) -> np.ndarray:
    """A curve that falls fast and levels off, with noise on it."""
    fall = 2 * np.exp(-np.arange(epochs) / 1.5)
    return end + fall + np.random.default_rng(seed).normal(0, noise, epochs)


OVERFIT_VAL = [0.30, 0.12, 0.07, 0.052, 0.045, 0.041, 0.043, 0.047, 0.050, 0.053, 0.056, 0.058]
OVERFIT_TRAIN = [0.50, 0.20, 0.10, 0.06, 0.04, 0.030, 0.022, 0.016, 0.011, 0.008, 0.005, 0.004]


def test_overfitting_names_the_turn_with_its_numbers():
    falling = np.linspace(0.99, 0.90, 12)
    finding = first(run_of(OVERFIT_VAL, OVERFIT_TRAIN, falling), PRIOR)
    assert (finding.rule, finding.level) == ("overfitting", "warning")
    assert finding.seen == (
        "Validation loss was lowest at epoch 6 (0.0410) and rose to 0.0560 by epoch 12 "
        "while training loss fell from 0.0300 to 0.00500: it overfits from there."
    )
    assert finding.step == 6 * STEPS_PER_EPOCH


def test_a_loss_that_rises_while_accuracy_holds_is_overconfidence_and_only_a_note():
    finding = first(run_of(OVERFIT_VAL, OVERFIT_TRAIN, [0.99] * 12), PRIOR)
    assert (finding.rule, finding.level) == ("overconfident", "note")
    assert "held at 99.0 %" in finding.seen


def test_a_rise_of_both_losses_is_divergence_not_overfitting():
    up = [1.0, 0.6, 0.5, 0.4, 0.5, 0.9, 1.5, 2.0, 2.1, 2.2]
    finding = first(run_of(up, up), PRIOR, Setting(lr=0.1))
    assert finding.rule == "diverging"
    assert finding.patch == {"optimizer.lr": pytest.approx(0.01)}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("epochs", [8, 12, 30])
@pytest.mark.parametrize("noise", [0.002, 0.02])
def test_healthy_runs_raise_no_warning(seed, epochs, noise):
    val = settled(epochs, 0.30, noise, seed)
    train = settled(epochs, 0.25, noise / 3, seed + 100)
    accuracy = 0.93 - 0.1 * np.exp(-np.arange(epochs))
    assert first(run_of(val, train, accuracy), PRIOR).level == "note"


@pytest.mark.parametrize("where", [3, 8, 11])
def test_one_bad_epoch_raises_no_warning(where):
    val = settled(12, 0.30, 0.002, seed=1)
    val[where] += 0.2
    assert first(run_of(val, settled(12, 0.25, 0.001, seed=2)), PRIOR).level == "note"


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_findings_do_not_depend_on_the_unit_of_the_loss(scale):
    curves = run_of(np.array(OVERFIT_VAL) * scale, np.array(OVERFIT_TRAIN) * scale)
    assert first(curves).rule == "overfitting"
    healthy = run_of(settled(12, 0.3, 0.01, 3) * scale, settled(12, 0.28, 0.01, 4) * scale)
    assert first(healthy).rule == "healthy"


def test_training_loss_above_validation_loss_is_explained_under_augmentation():
    curves = run_of(settled(20, 0.04, 0.001, 5), settled(20, 0.12, 0.001, 6), [0.99] * 20, [0.95] * 20)
    finding = first(curves, PRIOR, Setting(augmented=True, dropout=True))
    assert finding.rule == "healthy"
    assert "normal here: augmentation and dropout act only in training" in finding.means


def test_no_better_than_guessing_underfits():
    finding = first(run_of([2.30] * 8, [2.31] * 8, [0.11] * 8), PRIOR)
    assert (finding.rule, finding.level) == ("underfitting", "warning")
    assert "accuracy 11.0 %, guessing 10.0 %" in finding.seen


def test_hard_tasks_need_only_a_small_gain():
    guess = {"unigram": {"val/loss": 8.684}}
    curves = run_of([8.65, 8.62, 8.612, 8.612], [8.6] * 4)
    assert first(curves, guess, Setting(spec=find_spec("language_model"))).rule == "underfitting"
    assert first(curves, guess, Setting(spec=find_spec("next_words"))).level == "note"
    worse = run_of([8.75, 8.70, 8.69, 8.69], [8.7] * 4)
    assert first(worse, guess, Setting(spec=find_spec("next_words"))).rule == "underfitting"


def test_accuracy_near_the_prior_is_healthy_where_the_loss_is_far_below_it():
    """With 99 rows of a hundred in one class, accuracy has no room; the loss does."""
    prior = {"prior": {"val/accuracy": 0.99, "val/loss": 0.056}}
    finding = first(run_of(settled(12, 0.02, 0.0005, 7), val_accuracy=[0.9901] * 12), prior)
    assert finding.level == "note"


def test_worse_than_the_linear_model_underfits_only_if_training_rows_are_not_learned_either():
    val = settled(10, 0.6, 0.005, 8)
    poor = run_of(val, val, [0.80] * 10, [0.79] * 10)
    assert first(poor, PRIOR, Setting(rows=2000)).rule == "underfitting"
    memorized = run_of(val, val * 0.01, [0.80] * 10, [0.999] * 10)
    assert first(memorized, PRIOR, Setting(rows=2000)).rule != "underfitting"


def test_differences_within_the_sampling_error_raise_no_warning():
    val = settled(10, 0.3, 0.002, 9)
    curves = run_of(val, val, [0.905] * 10, [0.90] * 10)
    assert first(curves, PRIOR, Setting(rows=200)).level == "note"
    assert first(curves, PRIOR, Setting(rows=100_000)).rule == "underfitting"


def test_regression_is_compared_with_the_baselines_by_loss():
    baselines = {"prior": {"val/loss": 1.0}, "linear": {"val/loss": 0.5}}
    assert first(run_of([0.8, 0.79, 0.8, 0.8], [0.8] * 4), baselines).rule == "underfitting"
    assert first(run_of([0.45, 0.44, 0.45, 0.45], [0.44] * 4), baselines).level == "note"


def test_any_simpler_model_with_a_lower_loss_is_named():
    counted = {"unigram": {"val/loss": 6.0}, "bigram": {"val/loss": 3.0}, "6-gram": {"val/loss": 2.0}}
    finding = first(run_of([2.5, 2.4, 2.4, 2.4], [2.4] * 4), counted)
    assert finding.rule == "underfitting"
    assert "loss of 2.40 is above the 2.00 of “6-gram”" in finding.seen
    assert first(run_of([1.8, 1.7, 1.7, 1.7], [1.7] * 4), counted).level == "note"
    memorized = run_of([2.5, 2.4, 2.4, 2.4], [0.5] * 4)
    assert first(memorized, counted).rule != "underfitting"


def test_no_better_than_token_frequencies_underfits():
    finding = first(run_of([5.95] * 8, [5.95] * 8), {"unigram": {"val/loss": 6.0}})
    assert finding.rule == "underfitting"
    assert "loss 5.95, unigram 6.00" in finding.seen


def test_label_smoothing_is_proposed_only_to_classifiers():
    curves = run_of(OVERFIT_VAL, OVERFIT_TRAIN, [0.99] * 12)
    assert first(curves, PRIOR, Setting(spec=find_spec("classification"))).patch
    assert first(curves, PRIOR, Setting(spec=find_spec("masked_language_model"))).patch == {}


def test_still_improving_proposes_twice_the_epochs():
    val = 0.3 + 2 * np.exp(-np.arange(12) / 8)
    finding = first(run_of(val, val), PRIOR)
    assert (finding.rule, finding.patch) == ("still-improving", {"train.epochs": 24})
    assert "from 1.13 at epoch 8 to 0.806 at epoch 12" in finding.seen
    assert "longer schedule" in first(run_of(val, val), PRIOR, Setting(annealed=True)).means


def test_more_minutes_are_advised_where_minutes_were_asked_for_with_what_they_gain():
    val = np.linspace(1.0, 0.5, 11)
    setting = Setting(minutes=2.0, training=90.0)
    found = first(run_of(val), setting=setting)
    assert found.patch == {"train.minutes": 3.5}  # 90 of the 120 seconds were training
    assert "its second half by 0.250, and twice as long may gain as much" in found.remedy
    assert first(run_of(val[:2]), setting=setting).patch == {"train.minutes": 5.0}


def test_a_wide_gap_at_a_plateau_is_only_a_note():
    finding = first(run_of(settled(12, 0.9, 0.004, 10), settled(12, 0.05, 0.001, 11)), PRIOR)
    assert (finding.rule, finding.level) == ("memorizing", "note")
    assert finding.means.endswith("at epoch 1: the validation rows may be harder.")


def test_a_gap_that_opens_during_training_is_not_blamed_on_the_rows():
    train = settled(12, 0.05, 0.001, 11)
    finding = first(run_of(np.maximum(settled(12, 0.05, 0.004, 10), 0.9), train), PRIOR)
    assert finding.rule == "memorizing"
    assert "already" not in finding.means


def test_runs_that_cannot_be_diagnosed_say_so():
    assert first({}).rule == "no-validation"
    assert first(run_of([0.5, 0.4])).rule == "too-short"
    assert first(run_of([0.5, float("nan"), 0.4])).level == "error"


@pytest.mark.parametrize(
    "curves",
    [
        {},
        run_of([0.5]),
        run_of([float("inf")] * 3),
        run_of(OVERFIT_VAL, OVERFIT_TRAIN),
        run_of([2.3] * 8),
        run_of(0.3 + 2 * np.exp(-np.arange(12) / 8)),
    ],
)
def test_every_patch_is_valid_and_changes_the_config(curves):
    patch = first(curves, PRIOR, Setting(lr=0.1)).patch
    asked = Config().patch({"data.validation": 0.2})
    assert patch
    assert asked.patch(patch) != asked


def test_a_run_folder_gives_its_curves_and_setting(tmp_path):
    config = Config().patch({"data.augment.shift": 0.1, "optimizer.lr": 0.02})
    run = Run.create(tmp_path, "tiny", config.to_yaml())
    run.update(
        model={"layers": [{"name": "drop", "type": "Dropout", "parameters": 0}]},
        dataset={"splits": {"validation": {"rows": 500, "fingerprint": ""}}},
    )
    with run.writing():
        for epoch, (val, train) in enumerate(zip(OVERFIT_VAL, OVERFIT_TRAIN, strict=True), start=1):
            values = {"epoch": epoch, "val/loss": val, "train/loss": train, "step/lr": 0.02 / epoch**2}
            run.store.metrics(epoch * STEPS_PER_EPOCH, values)
    assert setting_of(run) == Setting(augmented=True, dropout=True, rows=500, lr=0.02, annealed=True)
    assert diagnose(run)[0].rule == "overfitting"
