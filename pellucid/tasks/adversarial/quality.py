"""How good generated images are: by a classifier of the same data, or compared with each other.

Shapes: N images (N, C, H, W) with pixels in 0..1.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn

from pellucid.tasks.adversarial.diversity import FEWEST, Spread, spread
from pellucid.tasks.adversarial.gan_samples import Labelled, discriminator_outputs
from pellucid.tasks.adversarial.generation_metrics import (
    Evaluator,
    Gaussian,
    coverage,
    frechet,
    kl_to_uniform,
)
from pellucid.tasks.prepared import Prepared, sample
from pellucid.tasks.shared.image_task import few

EVALUATOR = "evaluator"
SAMPLES_BY_EPOCH = 2000
"""Images evaluated after an epoch, by an evaluator."""
SAMPLES_AT_END = 10_000
"""Images evaluated at the end, by an evaluator."""
SAMPLES_STACKED = 26_000
"""Images evaluated at the end where each channel is evaluated separately."""
SAMPLES_COMPARED = (100, 2000)
"""Images that are compared with each other without an evaluator: as many as training images, within these
bounds."""


def sample_count(prepared: Prepared, split: str) -> int:
    """Return how many images to generate for a split, or after an "epoch"."""
    evaluator = evaluator_of(prepared)
    if evaluator is None:
        fewest, most = SAMPLES_COMPARED
        return min(most, max(fewest, len(prepared.rows["train"])))
    if split != "test":
        return SAMPLES_BY_EPOCH
    return SAMPLES_STACKED if evaluator.per_channel else SAMPLES_AT_END


def quality_of(prepared: Prepared, split: str, count: int) -> Callable[[Tensor, Tensor], dict[str, float]]:
    """Return a function that measures generated images (N, C, H, W) for requested classes (N,).

    Without an evaluator it compares them with each other, in pixels and in random features.

    Args:
        prepared: holds the real images.
        split: whose images they are compared with.
        count: the number of those.
    """
    evaluator = evaluator_of(prepared)
    if evaluator is None:
        return _diversity(prepared, split, count)
    real = few(prepared, split, count)
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


def evaluator_of(prepared: Prepared) -> Evaluator | None:
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


def _diversity(prepared: Prepared, split: str, count: int) -> Callable[[Tensor, Tensor], dict[str, float]]:
    """Return a function that compares how much generated images differ with how much real ones do."""
    conditional = prepared.config.model.options.get("conditional", False)
    images, classes = sample(prepared.rows[compared_with(prepared, split)[0]], count)
    real = spread(images, classes if conditional else None) if len(images) > 1 else Spread(0, 0)

    def measured(made: Tensor, asked: Tensor) -> dict[str, float]:
        found = spread(made, asked if conditional else None)
        return {
            "diversity": found.pixels / real.pixels if real.pixels else math.nan,
            "feature_diversity": found.features / real.features if real.features else math.nan,
        }

    return measured


def compared_with(prepared: Prepared, split: str) -> tuple[str, str]:
    """Return the split whose images generated ones are compared with, and the same in words."""
    held_out = len(prepared.rows[split])
    if held_out >= FEWEST:
        return split, f"{held_out:,} images of the {split} split"
    return "train", (
        f"the {len(prepared.rows['train']):,} training images, since only {held_out:,} are in the "
        f"{split} split"
    )


def balance(model: nn.Module, real: Labelled, made: Labelled) -> dict[str, float]:
    """How often the discriminator is right: about real images, and about generated ones."""
    return {
        "d_real_accuracy": (discriminator_outputs(model, *real) > 0).float().mean().item(),
        "d_fake_accuracy": (discriminator_outputs(model, *made) < 0).float().mean().item(),
    }
