"""Generative adversarial networks: whether training stays balanced, and how good the images are.

The losses of a GAN do not say how good its images are, so a classifier of the same data, the evaluator,
counts and compares them (`generation_metrics`). Without one, they are only compared with each other
(`diversity`).

Shapes: N images (N, C, H, W) with pixels in 0..1, z noise (N, latent_dim).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn

from pellucid.config import Config
from pellucid.data.dataset import Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.errors import ConfigError, ModelError
from pellucid.evaluation import Outcome, Trained, measure
from pellucid.nn.device import device_of
from pellucid.nn.modes import evaluating
from pellucid.record import Run
from pellucid.tasks.adversarial.gan_samples import (
    BETWEEN,
    Labelled,
    between,
    generate,
    nearest,
    untrained,
)
from pellucid.tasks.adversarial.generation_metrics import (
    Evaluator,
    Gaussian,
    Predictions,
    frechet,
)
from pellucid.tasks.adversarial.objective import Options, adversarial
from pellucid.tasks.adversarial.quality import (
    EVALUATOR,
    SAMPLES_BY_EPOCH,
    balance,
    compared_with,
    evaluator_of,
    quality_of,
    sample_count,
)
from pellucid.tasks.adversarial.spec import SPEC
from pellucid.tasks.options import read_options
from pellucid.tasks.prepared import EVALUATED, Prepared, sample
from pellucid.tasks.shared.image_generation import Decoder, NewImages, new_images
from pellucid.tasks.shared.image_grid import grid, picture, stacked
from pellucid.tasks.shared.image_task import ImageTask, few
from pellucid.tasks.shared.model_interfaces import gan_model
from pellucid.tasks.shared.snapshots import MeasureChart, Snapshots
from pellucid.tasks.task import answer
from pellucid.train.callbacks import Callback
from pellucid.train.objective import Objective

FEW_IMAGES = 500
"""Of fewer training images, a GAN usually memorizes some."""
SHORT_COUNT = 64
"""Most images to generate for a measurement where time is short."""
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

DIVERSITY = MeasureChart(
    "Diversity by epoch",
    "Mean squared difference of two generated images, as a share of that of two real ones: near 0 the "
    "generator has collapsed to a few images.",
    "share of real images",
    {"diversity": "in pixels", "feature_diversity": "in random features"},
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
    not_explained = "makes pictures from random numbers, so there is no input to explain"
    saves_pictures = True
    image_fit = "crop"  # a padded border would be generated too

    def objective(self, config: Config, prepared: Prepared | None = None) -> Objective:
        options = vars(read_options(Options, config))
        return adversarial(**{name: value for name, value in options.items() if name != EVALUATOR})

    def prepare(
        self, dataset: Dataset, config: Config, reads_tokens: bool, fitted: Preprocess | None = None
    ) -> Prepared:
        """Decode images without scaling them.

        Raises:
            ConfigError: a conditional model, and images without classes.
        """
        if config.model.options.get("conditional") and dataset.task != "classification":
            raise ConfigError(
                f"model.options.conditional: a conditional GAN learns to draw classes, and "
                f"{dataset.name} has none.",
                remedy="--set model.options.conditional=false; or --target with a column of classes, or a "
                "folder with a subfolder for each class",
            )
        return super().prepare(dataset, config, reads_tokens, fitted)

    def warnings(self, prepared: Prepared) -> list[str]:
        count = len(prepared.rows["train"])
        found = []
        if count < FEW_IMAGES:
            found.append(
                f"There are {count:,} training images: a GAN memorizes so few, or collapses to one of "
                "them; it needs some thousands. Try: more images, and data.augment"
            )
        if prepared.needed.get(EVALUATOR) is None:
            found += [
                f"Generated images are compared with {said}."
                for split in EVALUATED
                if prepared.has(split)
                for name, said in [compared_with(prepared, split)]
                if name != split
            ]
        return found

    def needs(self, config: Config) -> dict[str, str]:
        evaluator = read_options(Options, config).evaluator
        return {EVALUATOR: evaluator} if evaluator else {}

    def callbacks(self, run: Run, prepared: Prepared) -> list[Callback]:
        classes = len(prepared.preprocess.classes)
        count = sample_count(prepared, "epoch")
        count = min(count, SHORT_COUNT) if prepared.short else count
        quality = quality_of(prepared, prepared.validation, count)
        real = sample(prepared.rows[prepared.validation], count)
        has_threshold = read_options(Options, prepared.config).loss != "wgan-gp"

        def watched(model: nn.Module) -> dict[str, float]:
            made = generate(model, count, classes)
            return {**quality(*made), **(balance(model, real, made) if has_threshold else {})}

        return [
            Snapshots(
                run,
                lambda model: _samples(model, classes),
                title="Images by epoch",
                caption="Images generated from the same hundred noise vectors after every epoch.",
                measure=watched,
                charts=[QUALITY, SHARES, MODES, DIVERSITY, BALANCE, LOSSES],
            )
        ]

    def evaluate(self, trained: Trained, prepared: Prepared, split: str) -> Outcome:
        model, classes = trained.model, len(prepared.preprocess.classes)
        metrics = measure(trained, prepared.batches(split))
        evaluator, count = evaluator_of(prepared), sample_count(prepared, split)
        count = min(count, prepared.measured_rows or count, SHORT_COUNT if prepared.short else count)
        with evaluating(model):
            made = generate(model, count, classes)
            shown = made[0][:NEAREST]
            pictures = {
                f"{split}-samples.png": _samples(model, classes),
                f"{split}-interpolations.png": grid(between(model, classes), BETWEEN),
                f"{split}-nearest.png": stacked([shown, nearest(shown, few(prepared, "train", COMPARED))]),
            }
        metrics |= quality_of(prepared, split, count)(*made)
        blocks = [
            picture(title, caption, file) for file, (title, caption) in zip(pictures, CAPTIONS, strict=True)
        ]
        if evaluator is not None:
            blocks[1:1] = _tables(model, made, prepared, evaluator, split)
        summary = {"rows": len(prepared.rows[split]), "task": self.name, "samples": count}
        if evaluator is None:
            summary["compared_with"] = compared_with(prepared, split)[1]
        return Outcome(metrics, summary, blocks=blocks, pictures=pictures)

    def read(self, trained: Trained, inputs: Any, *, skip_bad: bool = False) -> Any:
        return inputs

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> NewImages:
        """Generate `inputs` images; for the options see `new_images`."""
        return answer(partial(new_images, decoder=_decoder(trained)), trained, inputs, options)

    def embed(self, trained: Trained, table: Any) -> Any:
        raise ModelError(
            "A GAN makes images of vectors, and no vectors of images.",
            remedy="--task embed, compress or vae, which train a model that does",
        )


def _decoder(trained: Trained) -> Decoder:
    """Return the generator, with the classes that it can be asked for."""
    players, device = gan_model(trained.model), device_of(trained.model)
    classes = tuple(trained.preprocess.classes) if players.conditional else ()

    def decode(z: Tensor, labels: Tensor) -> Tensor:
        asked = (labels.to(device),) if players.conditional else ()
        return players.generator(z.to(device), *asked)

    return Decoder(decode, players.latent_dim, classes=classes)


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
