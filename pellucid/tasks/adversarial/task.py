"""Generative adversarial networks: whether training stays in balance, and what a judge says of the images.

The losses of a GAN do not say how good its images are, so a classifier of the same data, the judge, counts
and compares them (`judging`). Without one, only what pixels tell is reported.

Shapes: N images (N, C, H, W) with pixels in 0..1, z noise (N, latent_dim).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from pellucid.evaluation import Outcome, Trained, measure
from pellucid.nn.modes import evaluating
from pellucid.record import Run
from pellucid.tasks.adversarial.gan_samples import (
    BETWEEN,
    Labelled,
    between,
    generate,
    nearest,
    untrained,
    verdicts,
)
from pellucid.tasks.adversarial.generation_metrics import (
    Gaussian,
    Judge,
    Verdict,
    coverage,
    frechet,
    kl_to_uniform,
)
from pellucid.tasks.prepared import Prepared, sample
from pellucid.tasks.shared.image_grid import grid, picture, stacked
from pellucid.tasks.shared.image_output import Drawn, generated
from pellucid.tasks.shared.image_task import ImageTask, few
from pellucid.tasks.shared.snapshots import Chart, Film
from pellucid.tasks.task import answer
from pellucid.train.callbacks import Callback

SAMPLES_BY_EPOCH, SAMPLES_AT_END, SAMPLES_STACKED = 2000, 10_000, 26_000
"""Images that are judged: after an epoch, at the end, and at the end where channels are judged apart."""
NEAREST, COMPARED = 20, 60_000
"""Generated images whose nearest training image is shown, and training images that are looked through."""
CAPTIONS = (
    ("Images", "A hundred draws of noise, turned into images; a conditional network shows a class a column."),
    ("From one image to another", "Each row goes from one draw of noise, on the left, to another."),
    (
        "The nearest training images",
        "On top generated images, below each the training image that differs least from it: copies would be "
        "the same.",
    ),
)

QUALITY = Chart(
    "Quality by epoch",
    f"Fréchet distance between {SAMPLES_BY_EPOCH:,} generated and as many held-out images, in the eyes of "
    "the judge; lower is better.",
    "Fréchet distance",
    {"frechet": "generated images"},
)
SHARES = Chart(
    "What the judge sees by epoch",
    "How sure the judge is of the class of a generated image, and the share of classes that are drawn often "
    "enough.",
    "share",
    {"confidence": "confidence", "coverage": "classes covered"},
)
MODES = Chart(
    "Modes by epoch",
    f"How many combinations of classes, one a channel, are among {SAMPLES_BY_EPOCH:,} generated images.",
    "modes",
    {"modes": "generated images"},
)
BALANCE = Chart(
    "Balance by epoch",
    "How often the discriminator is right: at 100 % on both the generator gets no help, at 50 % it has won.",
    "share right",
    {"d_real_accuracy": "on real images", "d_fake_accuracy": "on generated images"},
)
LOSSES = Chart(
    "Losses by epoch",
    "Mean loss of each network over the epoch; neither says how good the images are.",
    "loss",
    {"generator_loss": "generator", "discriminator_loss": "discriminator"},
)


class Adversarial(ImageTask):
    """A generator that learns from a discriminator."""

    name: ClassVar[Any] = "adversarial"

    def callbacks(self, run: Run, prepared: Prepared, judge: Trained | None) -> list[Callback]:
        classes = len(prepared.preprocess.classes)
        quality = _quality(prepared, judge, prepared.validation, SAMPLES_BY_EPOCH)
        real = sample(prepared.rows[prepared.validation], SAMPLES_BY_EPOCH)
        has_threshold = prepared.config.objective.options.get("loss", "bce") != "wgan-gp"

        def watched(model: nn.Module) -> dict[str, float]:
            made = generate(model, SAMPLES_BY_EPOCH, classes)
            return {**quality(*made), **(_balance(model, real, made) if has_threshold else {})}

        return [
            Film(
                run,
                lambda model: _samples(model, classes),
                title="Images while it learns",
                caption="The same hundred draws of noise, turned into images after every epoch.",
                measure=watched,
                charts=[QUALITY, SHARES, MODES, BALANCE, LOSSES],
            )
        ]

    def evaluate(self, trained: Trained, prepared: Prepared, split: str, judge: Trained | None) -> Outcome:
        model, classes = trained.model, len(prepared.preprocess.classes)
        metrics = measure(trained, prepared.batches(split))
        count = SAMPLES_BY_EPOCH
        if split == "test":
            apart = judge is not None and Judge(judge, prepared.preprocess.input_shape).per_channel
            count = SAMPLES_STACKED if apart else SAMPLES_AT_END
        with evaluating(model):
            made = generate(model, count, classes)
            shown = made[0][:NEAREST]
            pictures = {
                f"{split}-samples.png": _samples(model, classes),
                f"{split}-interpolations.png": grid(between(model, classes), BETWEEN),
                f"{split}-nearest.png": stacked([shown, nearest(shown, few(prepared, "train", COMPARED))]),
            }
        metrics |= _quality(prepared, judge, split, count)(*made)
        blocks = [
            picture(title, caption, file) for file, (title, caption) in zip(pictures, CAPTIONS, strict=True)
        ]
        if judge is not None:
            blocks[1:1] = _tables(model, made, prepared, judge, split)
        summary = {"rows": len(prepared.rows[split]), "task": self.name, "samples": count}
        return Outcome(metrics, summary, blocks=blocks, pictures=pictures)

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> Drawn:
        """Make as many images as `inputs` says; options are `seed` and `folder`."""
        return answer(generated, trained, inputs, options)


# ---- what they are worth -----------------------------------------------------------------------------


def _quality(
    prepared: Prepared, judge: Trained | None, split: str, count: int
) -> Callable[[Tensor, Tensor], dict[str, float]]:
    """Return what measures generated images (N, C, H, W), asked to be of some classes (N,).

    Args:
        prepared: holds the real images.
        judge: None measures pixels alone.
        split: whose images they are compared with.
        count: how many of those.
    """
    real = few(prepared, split, count)
    if judge is None:
        return lambda made, asked: {"diversity": _spread(made) / _spread(real)}
    ask = Judge(judge, prepared.preprocess.input_shape)
    if ask.per_channel:
        return lambda made, asked: _modes(ask, made)
    reference = Gaussian.fit(ask(real).features)
    conditional = prepared.config.model.options.get("conditional", False)

    def measured(made: Tensor, asked: Tensor) -> dict[str, float]:
        verdict = ask(made)
        found = {
            "frechet": frechet(Gaussian.fit(verdict.features), reference),
            "confidence": verdict.confidence.mean().item(),
            "coverage": coverage(ask.counts(verdict)),
        }
        if conditional:
            found["accuracy"] = (verdict.classes == asked).float().mean().item()
        return found

    return measured


def _modes(ask: Judge, made: Tensor) -> dict[str, float]:
    """Metz et al. 2017, Unrolled GANs, section 3.3: how many combinations of classes there are."""
    verdict = ask(made)
    counts = ask.modes(verdict, made.shape[1])
    return {
        "modes": float((counts > 0).sum()),
        "kl": kl_to_uniform(counts),
        "confidence": verdict.confidence.mean().item(),
    }


def _spread(images: Tensor) -> float:
    """Mean squared difference of two images, of pairs that are neighbors in the given order."""
    return (images[1:] - images[:-1]).square().mean().item()


def _balance(model: nn.Module, real: Labelled, made: Labelled) -> dict[str, float]:
    """How often the discriminator is right: about real images, and about generated ones."""
    return {
        "d_real_accuracy": (verdicts(model, *real) > 0).float().mean().item(),
        "d_fake_accuracy": (verdicts(model, *made) < 0).float().mean().item(),
    }


# ---- tables ------------------------------------------------------------------------------------------


def _tables(
    model: nn.Module, made: Labelled, prepared: Prepared, judge: Trained, split: str
) -> list[dict[str, Any]]:
    """How often each class is drawn, and how generated images compare with what should be near and far."""
    ask, count = Judge(judge, prepared.preprocess.input_shape), len(made[0])
    seen = {"generated": ask(made[0]), f"{split} images": ask(few(prepared, split, count))}
    about_classes = {
        "kind": "table",
        "title": "Classes",
        "caption": "How often the judge sees each class, and how sure it is of it in generated images.",
        "columns": ["class", *(f"% of {name}" for name in seen), "confidence"],
        "rows": _class_rows(ask, seen["generated"], seen[f"{split} images"]),
    }
    if ask.per_channel:
        return [about_classes]
    beginner = untrained(model)
    with evaluating(beginner):
        noise = generate(beginner, count, len(prepared.preprocess.classes))[0]
    far = {"training images": ask(few(prepared, "train", count)), "untrained network": ask(noise)}
    return [about_classes, _distances({**seen, **far}, split)]


def _class_rows(ask: Judge, made: Verdict, real: Verdict) -> list[list[str | float]]:
    shares = [100 * ask.counts(verdict) / len(verdict.classes) for verdict in (made, real)]
    return [
        [
            name,
            *(round(share[index].item(), 2) for share in shares),
            round(made.confidence[made.classes == index].mean().nan_to_num().item(), 4),
        ]
        for index, name in enumerate(ask.names)
    ]


def _distances(seen: dict[str, Verdict], split: str) -> dict[str, Any]:
    """Fréchet distances to held-out images: of training images it is what equally many real ones have."""
    reference = Gaussian.fit(seen[f"{split} images"].features)
    rows = [
        [
            name,
            len(verdict.classes),
            round(frechet(Gaussian.fit(verdict.features), reference), 3),
            round(verdict.confidence.mean().item(), 4),
        ]
        for name, verdict in seen.items()
        if name != f"{split} images"
    ]
    return {
        "kind": "table",
        "title": f"How far from the {split} images",
        "caption": "Fréchet distance in the eyes of the judge: training images show how near real ones come, "
        "an untrained network how far noise is.",
        "columns": ["images", "count", "Fréchet distance", "confidence"],
        "rows": rows,
    }


def _samples(model: nn.Module, classes: int) -> bytes:
    return grid(generate(model, 100, classes, columns=20)[0], 20)


TASK = Adversarial()
