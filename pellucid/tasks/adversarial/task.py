"""Generative adversarial networks: whether training stays balanced, and how good the images are.

The losses of a GAN do not say how good its images are, so a classifier of the same data, the evaluator,
counts and compares them (`generation_metrics`). Without one, only pixels are compared.

Shapes: N images (N, C, H, W) with pixels in 0..1, z noise (N, latent_dim).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from pellucid.config import Config
from pellucid.evaluation import Outcome, Trained, measure
from pellucid.nn.modes import evaluating
from pellucid.record import Run
from pellucid.tasks.adversarial.gan_samples import (
    BETWEEN,
    Labelled,
    between,
    discriminator_outputs,
    generate,
    nearest,
    untrained,
)
from pellucid.tasks.adversarial.generation_metrics import (
    Evaluator,
    Gaussian,
    Predictions,
    coverage,
    frechet,
    kl_to_uniform,
)
from pellucid.tasks.adversarial.objective import Options, adversarial
from pellucid.tasks.adversarial.spec import SPEC
from pellucid.tasks.options import read_options
from pellucid.tasks.prepared import Prepared, sample
from pellucid.tasks.shared.image_grid import grid, picture, stacked
from pellucid.tasks.shared.image_output import GeneratedImages, generate_images
from pellucid.tasks.shared.image_task import ImageTask, few
from pellucid.tasks.shared.snapshots import MeasureChart, Snapshots
from pellucid.tasks.task import answer
from pellucid.train.callbacks import Callback
from pellucid.train.objective import Objective

EVALUATOR = "evaluator"
SAMPLES_BY_EPOCH = 2000
"""Images evaluated after an epoch."""
SAMPLES_AT_END = 10_000
"""Images evaluated at the end."""
SAMPLES_STACKED = 26_000
"""Images evaluated at the end where each channel is evaluated separately."""
NEAREST = 20
"""Generated images to show with their nearest training image."""
COMPARED = 60_000
"""Training images to search for these."""
CAPTIONS = (
    ("Images", "Images generated from 100 noise vectors; a conditional network has one class per column."),
    ("Interpolations", "Each row interpolates from one noise vector, on the left, to another."),
    (
        "Nearest training images",
        "Generated images, and below each the training image with the closest pixels: copies would be equal.",
    ),
)

QUALITY = MeasureChart(
    "Quality by epoch",
    f"Fréchet distance between {SAMPLES_BY_EPOCH:,} generated images and at most as many held-out ones, in "
    "the features of the evaluator; lower is better.",
    "Fréchet distance",
    {"frechet": "generated images"},
)
SHARES = MeasureChart(
    "Evaluator by epoch",
    "Mean confidence of the evaluator in the class of a generated image, and the share of classes generated "
    "often enough.",
    "share",
    {"confidence": "confidence", "coverage": "classes covered"},
)
MODES = MeasureChart(
    "Modes by epoch",
    f"Number of different combinations of classes, one per channel, in {SAMPLES_BY_EPOCH:,} images.",
    "modes",
    {"modes": "generated images"},
)
BALANCE = MeasureChart(
    "Balance by epoch",
    "Accuracy of the discriminator: at 100 % the generator cannot learn, at 50 % it is guessing.",
    "accuracy",
    {"d_real_accuracy": "on real images", "d_fake_accuracy": "on generated images"},
)
LOSSES = MeasureChart(
    "Losses by epoch",
    "Mean loss of each network over the epoch; neither says how good the images are.",
    "loss",
    {"generator_loss": "generator", "discriminator_loss": "discriminator"},
)


class Adversarial(ImageTask):
    """Train a generator against a discriminator."""

    spec = SPEC

    def objective(self, config: Config, prepared: Prepared | None = None) -> Objective:
        options = vars(read_options(Options, config))
        return adversarial(**{name: value for name, value in options.items() if name != EVALUATOR})

    def needs(self, config: Config) -> dict[str, str]:
        evaluator = read_options(Options, config).evaluator
        return {EVALUATOR: evaluator} if evaluator else {}

    def callbacks(self, run: Run, prepared: Prepared) -> list[Callback]:
        classes = len(prepared.preprocess.classes)
        quality = _quality(prepared, prepared.validation, SAMPLES_BY_EPOCH)
        real = sample(prepared.rows[prepared.validation], SAMPLES_BY_EPOCH)
        has_threshold = read_options(Options, prepared.config).loss != "wgan-gp"

        def watched(model: nn.Module) -> dict[str, float]:
            made = generate(model, SAMPLES_BY_EPOCH, classes)
            return {**quality(*made), **(_balance(model, real, made) if has_threshold else {})}

        return [
            Snapshots(
                run,
                lambda model: _samples(model, classes),
                title="Images by epoch",
                caption="Images generated from the same hundred noise vectors after every epoch.",
                measure=watched,
                charts=[QUALITY, SHARES, MODES, BALANCE, LOSSES],
            )
        ]

    def evaluate(self, trained: Trained, prepared: Prepared, split: str) -> Outcome:
        model, classes = trained.model, len(prepared.preprocess.classes)
        metrics = measure(trained, prepared.batches(split))
        evaluator, count = _evaluator(prepared), SAMPLES_BY_EPOCH
        if split == "test":
            stacked_images = evaluator is not None and evaluator.per_channel
            count = SAMPLES_STACKED if stacked_images else SAMPLES_AT_END
        with evaluating(model):
            made = generate(model, count, classes)
            shown = made[0][:NEAREST]
            pictures = {
                f"{split}-samples.png": _samples(model, classes),
                f"{split}-interpolations.png": grid(between(model, classes), BETWEEN),
                f"{split}-nearest.png": stacked([shown, nearest(shown, few(prepared, "train", COMPARED))]),
            }
        metrics |= _quality(prepared, split, count)(*made)
        blocks = [
            picture(title, caption, file) for file, (title, caption) in zip(pictures, CAPTIONS, strict=True)
        ]
        if evaluator is not None:
            blocks[1:1] = _tables(model, made, prepared, evaluator, split)
        summary = {"rows": len(prepared.rows[split]), "task": self.name, "samples": count}
        return Outcome(metrics, summary, blocks=blocks, pictures=pictures)

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> GeneratedImages:
        """Generate `inputs` images; options are `seed` and `folder`."""
        return answer(generate_images, trained, inputs, options)


# ---- quality ---------------------------------------------------------------------------------------


def _quality(prepared: Prepared, split: str, count: int) -> Callable[[Tensor, Tensor], dict[str, float]]:
    """Return a function that measures generated images (N, C, H, W) for requested classes (N,).

    Without an evaluator it compares only pixels.

    Args:
        prepared: holds the real images.
        split: whose images they are compared with.
        count: the number of those.
    """
    real = few(prepared, split, count)
    evaluator = _evaluator(prepared)
    if evaluator is None:
        return lambda made, asked: {"diversity": _spread(made) / _spread(real)}
    if evaluator.per_channel:
        return lambda made, asked: _modes(evaluator, made)
    reference = Gaussian.fit(evaluator(real).features)
    conditional = prepared.config.model.options.get("conditional", False)

    def measured(made: Tensor, asked: Tensor) -> dict[str, float]:
        predicted = evaluator(made)
        found = {
            "frechet": frechet(Gaussian.fit(predicted.features), reference),
            "confidence": predicted.confidence.mean().item(),
            "coverage": coverage(evaluator.counts(predicted)),
        }
        if conditional:
            found["accuracy"] = (predicted.classes == asked).float().mean().item()
        return found

    return measured


def _evaluator(prepared: Prepared) -> Evaluator | None:
    """The classifier that evaluates the images, if the config names one."""
    trained = prepared.needed.get(EVALUATOR)
    return Evaluator(trained, prepared.preprocess.input_shape) if trained else None


def _modes(evaluator: Evaluator, made: Tensor) -> dict[str, float]:
    """Metz et al. 2017, Unrolled GANs, section 3.3: how many combinations of classes there are."""
    predicted = evaluator(made)
    counts = evaluator.modes(predicted, made.shape[1])
    return {
        "modes": float((counts > 0).sum()),
        "kl": kl_to_uniform(counts),
        "confidence": predicted.confidence.mean().item(),
    }


def _spread(images: Tensor) -> float:
    """Mean squared difference of two images, of pairs that are neighbors in the given order."""
    return (images[1:] - images[:-1]).square().mean().item()


def _balance(model: nn.Module, real: Labelled, made: Labelled) -> dict[str, float]:
    """How often the discriminator is right: about real images, and about generated ones."""
    return {
        "d_real_accuracy": (discriminator_outputs(model, *real) > 0).float().mean().item(),
        "d_fake_accuracy": (discriminator_outputs(model, *made) < 0).float().mean().item(),
    }


# ---- tables ------------------------------------------------------------------------------------------


def _tables(
    model: nn.Module, made: Labelled, prepared: Prepared, evaluator: Evaluator, split: str
) -> list[dict[str, Any]]:
    """How often each class is generated, and how far generated images are from real ones."""
    count = len(made[0])
    seen = {"generated": evaluator(made[0]), f"{split} images": evaluator(few(prepared, split, count))}
    about_classes = {
        "kind": "table",
        "title": "Classes",
        "caption": "How often the evaluator predicts each class, and its confidence in generated images.",
        "columns": ["class", *(f"% of {name}" for name in seen), "confidence"],
        "rows": _class_rows(evaluator, seen["generated"], seen[f"{split} images"]),
    }
    if evaluator.per_channel:
        return [about_classes]
    beginner = untrained(model)
    with evaluating(beginner):
        noise = generate(beginner, count, len(prepared.preprocess.classes))[0]
    far = {"training images": evaluator(few(prepared, "train", count)), "untrained network": evaluator(noise)}
    return [about_classes, _distances({**seen, **far}, split)]


def _class_rows(evaluator: Evaluator, made: Predictions, real: Predictions) -> list[list[str | float]]:
    shares = [100 * evaluator.counts(predicted) / len(predicted.classes) for predicted in (made, real)]
    return [
        [
            name,
            *(round(share[index].item(), 2) for share in shares),
            round(made.confidence[made.classes == index].mean().nan_to_num().item(), 4),
        ]
        for index, name in enumerate(evaluator.names)
    ]


def _distances(seen: dict[str, Predictions], split: str) -> dict[str, Any]:
    """Fréchet distances to held-out images: of training images it is what equally many real ones have."""
    reference = Gaussian.fit(seen[f"{split} images"].features)
    rows = [
        [
            name,
            len(predicted.classes),
            round(frechet(Gaussian.fit(predicted.features), reference), 3),
            round(predicted.confidence.mean().item(), 4),
        ]
        for name, predicted in seen.items()
        if name != f"{split} images"
    ]
    return {
        "kind": "table",
        "title": f"Distance from the {split} images",
        "caption": "Fréchet distance by the features of the evaluator: training images show how close real "
        "ones are, an untrained network how far noise is.",
        "columns": ["images", "count", "Fréchet distance", "confidence"],
        "rows": rows,
    }


def _samples(model: nn.Module, classes: int) -> bytes:
    return grid(generate(model, 100, classes, columns=20)[0], 20)


TASK = Adversarial()
