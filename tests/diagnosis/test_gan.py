"""Rules on a generator and a discriminator, on records whose truth is known."""

from __future__ import annotations

import inspect

import pytest

from pellucid.config import Config
from pellucid.diagnosis import Facts, GANCurves, diagnose, examine
from pellucid.models import BUILDERS
from pellucid.record import Finding, Run
from pellucid.tasks.adversarial.objective import adversarial as objective


def series(values) -> list[tuple[int, float]]:
    return [(100 * (i + 1), float(value)) for i, value in enumerate(values)]


def gan(real=(0.7,) * 6, fake=(0.3,) * 6, losses=(1.0,) * 6, **options) -> GANCurves:
    both = {"discriminator": series(losses), "generator": series(losses)}
    return GANCurves(both, series(real), series(fake), **options)


def first(curves: GANCurves) -> Finding:
    """The finding that is ranked first."""
    return examine(Facts(gan=curves)).findings[0]


WON, COLLAPSED = gan(real=[0.99] * 6, fake=[0.01] * 6), gan(coverage=0.1)


def test_uncertain_outputs_are_balanced_and_the_finding_has_the_numbers():
    finding = first(gan(coverage=1.0))
    assert (finding.rule, finding.level, finding.step) == ("balanced", "note", 600)
    assert "a mean probability of 0.700 of being real, and generated images 0.300" in finding.seen
    assert "100.0 % of the classes" in finding.means


def test_a_discriminator_that_is_certain_in_each_of_the_last_epochs_wins():
    finding = first(gan(real=[0.6, 0.9, 0.97, 0.98, 0.99, 0.99], fake=[0.4, 0.2, 0.04, 0.03, 0.02, 0.01]))
    assert (finding.rule, finding.level) == ("discriminator-winning", "warning")
    assert "0.987" in finding.seen
    assert "0.0200" in finding.seen


@pytest.mark.parametrize(
    ("real", "fake"),
    [
        ([0.99] * 5 + [0.8], [0.01] * 6),  # it recovered
        ([0.99] * 6, [0.01] * 5 + [0.2]),
        ([0.99] * 6, [0.4] * 6),  # it says real of everything
        ([0.88] * 6, [0.12] * 6),  # the usual course of a sound training
    ],
)
def test_one_sided_or_temporary_certainty_raises_no_warning(real, fake):
    assert first(gan(real, fake)).rule == "balanced"


def test_missing_classes_are_a_collapse_unless_the_discriminator_wins():
    assert first(gan(real=[0.99] * 6, fake=[0.01] * 6, coverage=0.2)).rule == "discriminator-winning"
    finding = first(gan(coverage=0.2))
    assert (finding.rule, finding.level) == ("collapsed", "warning")
    assert finding.seen.startswith("Only 20.0 % of the classes")


def test_images_that_hardly_differ_are_a_collapse_even_without_a_classifier(tmp_path):
    finding = first(gan(diversity=0.1))
    assert (finding.rule, finding.level) == ("collapsed", "warning")
    assert finding.seen.startswith("The generated images are only 10.0 % as diverse as real ones")
    assert first(gan(diversity=0.6)).rule == "balanced"
    assert first(gan(diversity=1.2, feature_diversity=0.1)).rule == "collapsed"
    even = {"val/d_real": 0.6, "val/d_fake": 0.4}
    run = adversarial(tmp_path, {}, {"test/diversity": 0.0003}, **even)
    assert diagnose(run)[0].rule == "collapsed"


@pytest.mark.parametrize(("real", "fake"), [(0.5, 0.5), (0.3, 0.6), (1.0, 1.0)])
def test_a_discriminator_that_cannot_distinguish_images_is_not_called_balanced(real, fake):
    finding = first(gan(real=[real] * 6, fake=[fake] * 6))
    assert (finding.rule, finding.level) == ("undecided", "note")
    assert finding.seen.endswith("it cannot tell them apart.")


def test_outputs_of_a_critic_are_not_read_as_probabilities():
    finding = first(gan(real=[50.0] * 6, fake=[-50.0] * 6, probabilities=False))
    assert (finding.rule, finding.level) == ("no-discriminator-outputs", "note")
    assert "discriminator 1.00, generator 1.00" in finding.seen


def test_runs_that_cannot_be_diagnosed_say_so():
    assert first(gan(losses=[1.0, 1.0])).rule == "too-short"
    assert first(GANCurves({})).rule == "too-short"
    finding = first(gan(losses=[1.0, float("nan"), 1.0, 1.0]))
    assert (finding.rule, finding.level, finding.step) == ("non-finite-loss", "error", 200)


@pytest.mark.parametrize("found", [gan(), WON, COLLAPSED, gan(losses=[1.0]), gan(losses=[float("inf")] * 6)])
def test_every_patch_is_valid_and_changes_the_config(found):
    patch = first(found).patch
    assert (Config().patch(patch) != Config()) is bool(patch)


def test_the_options_in_patches_are_those_of_networks_and_objective():
    patched = {key for found in (WON, COLLAPSED) for key in first(found).patch}
    options = {
        "model.options": inspect.signature(BUILDERS["dcgan"]).parameters,
        "objective.options": inspect.signature(objective).parameters,
    }
    for key in patched:
        section, _, option = key.rpartition(".")
        assert option in options[section]
    assert len(patched) == 2


def adversarial(tmp_path, options: dict, metrics: dict, **values) -> Run:
    config = Config().patch({"objective.name": "adversarial", "objective.options": options})
    run = Run.create(tmp_path, "gan", config.to_yaml())
    run.update(task="adversarial", metrics=metrics)
    losses = {
        "train/loss": 0.1,
        "train/discriminator_loss": 0.1,
        "train/generator_loss": 4.0,
        "val/loss": 2.0,
    }
    with run.writing():
        for epoch in range(1, 7):
            run.store.metrics(epoch * 100, {"epoch": epoch, **losses, "val/loss": epoch, **values})
    return run


def test_a_gan_never_overfits(tmp_path):
    """Its validation loss rises six-fold while its training loss stays, which means nothing here."""
    run = adversarial(tmp_path, {}, {}, **{"val/d_real": 0.7, "val/d_fake": 0.3})
    assert diagnose(run)[0].rule == "balanced"


def test_a_run_folder_gives_outputs_coverage_and_kind_of_loss(tmp_path):
    certain = {"val/d_real": 0.99, "val/d_fake": 0.01}
    assert diagnose(adversarial(tmp_path / "a", {}, {}, **certain))[0].rule == "discriminator-winning"
    assert (
        diagnose(adversarial(tmp_path / "b", {"loss": "wgan-gp"}, {}, **certain))[0].rule
        == "no-discriminator-outputs"
    )
    fooled = {"val/d_real": 0.7, "val/d_fake": 0.3}
    assert diagnose(adversarial(tmp_path / "c", {}, {"test/coverage": 0.3}, **fooled))[0].rule == "collapsed"
    assert (
        diagnose(adversarial(tmp_path / "d", {}, {}, **fooled, **{"val/coverage": 0.1}))[0].rule
        == "collapsed"
    )


def test_a_run_with_one_loss_is_diagnosed_by_its_curves(tmp_path):
    run = Run.create(tmp_path, "plain", Config().to_yaml())
    run.update(task="language_model")
    with run.writing():
        for epoch in range(1, 13):
            values = {"epoch": epoch, "train/loss": 3 / epoch, "val/loss": 1 + abs(epoch - 5) / 5}
            run.store.metrics(epoch * 100, values)
    assert diagnose(run)[0].rule == "overfitting"
