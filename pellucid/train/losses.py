"""The loss catalogue: the formula, source and tasks of every loss, as data.

A loss takes the outputs of a model and the targets, and returns a scalar to minimize, the mean over the
batch. Models return logits, so softmax and sigmoid are part of the loss.

Shapes: B batch, K classes, D dimensions; `*` any further axes. Half-precision logits are converted to
float32. Shapes that torch would broadcast, such as (B, 1) and (B), are refused: the mean over the
resulting (B, B) would be wrong without an error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.errors import ModelError
from pellucid.train.catalogue import HasOptions, NonNegative, Positive, Share, check_options, find_entry


@dataclass(frozen=True)
class Loss(HasOptions):
    """An entry of the loss catalogue.

    Attributes:
        name: the name here and in configs.
        formula: the loss of one example, in LaTeX: z logits, p predicted probabilities, y targets, K classes.
        source: the paper that proposed it.
        tasks: suitable tasks: classification, multilabel, regression, distribution, embedding, segmentation.
        function: (logits, targets, **options) -> scalar.
        note: when to use it, or what to know about it.
    """

    name: str
    formula: str
    source: str
    tasks: tuple[str, ...]
    function: Callable[..., Tensor]
    note: str


# ---- checks of inputs --------------------------------------------------------------------------


def _precise(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def _near(weight: Tensor | None, logits: Tensor) -> Tensor | None:
    """Return weights on the device of the logits."""
    return None if weight is None else weight.to(logits.device)


def _alike(name: str, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Check that outputs and targets have the same shape; return both as floats."""
    if logits.shape != targets.shape:
        raise ModelError(
            f"{name} expects outputs and targets of the same shape, "
            f"received outputs {tuple(logits.shape)} and targets {tuple(targets.shape)}.",
            remedy="squeeze the outputs or unsqueeze the targets, so that none is broadcast",
        )
    logits = _precise(logits)
    return logits, targets.to(logits.dtype)


def _by_class(name: str, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Check that targets (B, *) are classes of logits (B, *, K); return them as (N, K) and (N)."""
    if logits.ndim < 2 or logits.shape[:-1] != targets.shape or targets.is_floating_point():
        raise ModelError(
            f"{name} expects logits (B, K) and integer classes (B), received logits {tuple(logits.shape)} "
            f"and {str(targets.dtype).removeprefix('torch.')} targets {tuple(targets.shape)}.",
            remedy="give class indices as int64, one for each row of logits",
        )
    return _precise(logits).flatten(0, -2), targets.flatten().long()


def _probabilities(name: str, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Accept classes (B, *) or probabilities (B, *, K); return logits and probabilities as (N, K)."""
    if targets.is_floating_point() and logits.shape == targets.shape and logits.ndim >= 2:
        logits = _precise(logits).flatten(0, -2)
        return logits, targets.to(logits.dtype).flatten(0, -2)
    logits, classes = _by_class(name, logits, targets)
    return logits, F.one_hot(classes, logits.shape[1]).to(logits.dtype)


# ---- classes -----------------------------------------------------------------------------------


def cross_entropy(
    logits: Tensor, targets: Tensor, *, label_smoothing: Share = 0.0, weight: Tensor | None = None
) -> Tensor:
    """Return the cross-entropy of softmax probabilities, in nats; random guessing among K classes gives ln K.

    Args:
        logits: (B, *, K).
        targets: classes (B, *), integer, or probabilities (B, *, K), e.g. from mixup.
        label_smoothing: share of the target to spread over all classes, 0..1 (Szegedy et al. 2016).
        weight: (K,), weight of each class; the mean is then a weighted mean.

    Raises:
        ModelError: targets are neither classes nor probabilities for the logits.
    """
    if targets.is_floating_point():
        logits, targets = _probabilities("cross_entropy", logits, targets)
    elif logits.ndim != 2 or targets.shape != logits.shape[:1] or targets.dtype != torch.long:
        logits, targets = _by_class("cross_entropy", logits, targets)
    weight = _near(weight, logits)
    return F.cross_entropy(_precise(logits), targets, weight=weight, label_smoothing=label_smoothing)


def focal(
    logits: Tensor, targets: Tensor, *, gamma: NonNegative = 2.0, weight: Tensor | None = None
) -> Tensor:
    """Return the focal loss: cross-entropy with less weight on examples that are already classified well.

    Args:
        logits: (B, *, K).
        targets: classes (B, *), integer, or probabilities (B, *, K).
        gamma: focusing parameter, >= 0; 0 is cross-entropy.
        weight: (K,), weight of each class, the alpha of the paper.

    Raises:
        ModelError: targets are neither classes nor probabilities for the logits.
    """
    logits, targets = _probabilities("focal", logits, targets)
    log_probs = logits.log_softmax(dim=1)
    terms = -targets * (1 - log_probs.exp()) ** gamma * log_probs  # (N, K)
    if (weight := _near(weight, logits)) is not None:
        terms = terms * weight
    return terms.sum(dim=1).mean()


def hinge(logits: Tensor, targets: Tensor, *, margin: Positive = 1.0) -> Tensor:
    """Return the multi-class hinge loss: every wrong class must score lower than the correct one by a margin.

    Args:
        logits: (B, *, K).
        targets: classes (B, *), integer.
        margin: required difference in units of the logits, > 0.

    Raises:
        ModelError: targets are not classes of the logits.
    """
    return F.multi_margin_loss(*_by_class("hinge", logits, targets), margin=margin)


def bce(logits: Tensor, targets: Tensor, *, pos_weight: Tensor | None = None) -> Tensor:
    """Return the binary cross-entropy of sigmoid probabilities, in nats, for K independent labels.

    Args:
        logits: (B, *).
        targets: (B, *), 0..1.
        pos_weight: (K,), weight of positive targets relative to negative ones.

    Raises:
        ModelError: the shapes differ.
    """
    logits, targets = _alike("bce", logits, targets)
    return F.binary_cross_entropy_with_logits(logits, targets, pos_weight=_near(pos_weight, logits))


def dice(logits: Tensor, targets: Tensor, *, smooth: NonNegative = 1.0) -> Tensor:
    """Return 1 - the Dice coefficient of the predicted and the true mask, averaged over the batch.

    Args:
        logits: (B, *), one per pixel or label; a sigmoid turns them into probabilities.
        targets: (B, *), 0..1.
        smooth: added to numerator and denominator, so that two empty masks agree; >= 0.

    Raises:
        ModelError: the shapes differ.
    """
    logits, targets = _alike("dice", logits, targets)
    probs, targets = logits.sigmoid().flatten(1), targets.flatten(1)
    overlap = (probs * targets).sum(dim=1)
    total = probs.sum(dim=1) + targets.sum(dim=1)
    return (1 - (2 * overlap + smooth) / (total + smooth)).mean()


def kl(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of a target distribution from softmax probabilities, in nats.

    Args:
        logits: (B, *, K).
        targets: probabilities (B, *, K) that sum to 1 over K; 0 is allowed.

    Raises:
        ModelError: the shapes differ.
    """
    logits, targets = _alike("kl", logits, targets)
    log_probs = logits.log_softmax(dim=-1).flatten(0, -2)
    return F.kl_div(log_probs, targets.flatten(0, -2), reduction="batchmean")


# ---- numbers -----------------------------------------------------------------------------------


def mse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error. Outputs and targets (B, *); ModelError if the shapes differ."""
    return F.mse_loss(*_alike("mse", outputs, targets))


def mae(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean absolute error. Outputs and targets (B, *); ModelError if the shapes differ."""
    return F.l1_loss(*_alike("mae", outputs, targets))


def huber(outputs: Tensor, targets: Tensor, *, delta: Positive = 1.0) -> Tensor:
    """Return the Huber loss: squared for errors up to `delta`, linear beyond, so outliers have less
    influence.

    Args:
        outputs: (B, *).
        targets: (B, *).
        delta: error at which it becomes linear, in units of the target, > 0.

    Raises:
        ModelError: the shapes differ.
    """
    return F.huber_loss(*_alike("huber", outputs, targets), delta=delta)


def poisson(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the negative log-likelihood of counts under a Poisson distribution, up to a constant.

    Args:
        outputs: (B, *), the logarithm of the predicted rate.
        targets: (B, *), counts >= 0.

    Raises:
        ModelError: the shapes differ.
    """
    return F.poisson_nll_loss(*_alike("poisson", outputs, targets), log_input=True)


def cosine(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return 1 - the cosine similarity of output and target vectors.

    Args:
        outputs: (B, *, D).
        targets: (B, *, D).

    Raises:
        ModelError: the shapes differ.
    """
    return 1 - F.cosine_similarity(*_alike("cosine", outputs, targets), dim=-1).mean()


# ---- embeddings --------------------------------------------------------------------------------


def _pairs(name: str, embeddings: Tensor, classes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return three (B, B) tensors: distances between all examples, same class, and different examples."""
    embeddings, classes = _by_class(name, embeddings, classes)
    squared = (embeddings[:, None] - embeddings[None, :]).square().sum(dim=-1)  # (B, B)
    distances = squared.clamp(min=1e-12).sqrt()  # the derivative of a square root at 0 is infinite
    same = classes[:, None] == classes[None, :]  # (B, B)
    distinct = ~torch.eye(len(classes), dtype=torch.bool, device=classes.device)
    return distances, same, distinct


def triplet(embeddings: Tensor, classes: Tensor, *, margin: NonNegative = 1.0) -> Tensor:
    """Return the batch-hard triplet loss.

    For each example, the farthest example of its class must be closer than the nearest of another class by a
    margin. Examples without another one of their class, or without another class in the batch, are left out;
    if none remain, the loss is 0.

    Args:
        embeddings: (B, D).
        classes: (B,), integer.
        margin: required difference of the Euclidean distances, >= 0.

    Raises:
        ModelError: the classes do not fit the embeddings.
    """
    distances, same, distinct = _pairs("triplet", embeddings, classes)
    positive, negative = same & distinct, ~same
    farthest = distances.masked_fill(~positive, 0).amax(dim=1)  # (B,)
    nearest = distances.masked_fill(~negative, torch.inf).amin(dim=1)  # (B,)
    usable = positive.any(dim=1) & negative.any(dim=1)
    violations = F.relu(farthest - nearest + margin).masked_fill(~usable, 0)
    return violations.sum() / usable.sum().clamp(min=1)


def contrastive(embeddings: Tensor, classes: Tensor, *, margin: Positive = 1.0) -> Tensor:
    """Return the contrastive loss: pull pairs of one class together, push other pairs apart up to a margin.

    Args:
        embeddings: (B, D).
        classes: (B,), integer.
        margin: distance beyond which pairs of different classes no longer contribute, > 0.

    Raises:
        ModelError: the classes do not fit the embeddings.
    """
    distances, same, distinct = _pairs("contrastive", embeddings, classes)
    terms = torch.where(same, distances.square(), F.relu(margin - distances).square())  # (B, B)
    return terms.masked_fill(~distinct, 0).sum() / distinct.sum().clamp(min=1)


# ---- the catalogue -----------------------------------------------------------------------------

_ENTRIES = [
    Loss(
        name="cross_entropy",
        formula=r"-\sum_{k=1}^{K} y_k \ln p_k \quad p = \operatorname{softmax}(z)",
        source="Good 1952; Bridle 1990; label smoothing: Szegedy et al. 2016",
        tasks=("classification",),
        function=cross_entropy,
        note="The default for one class out of K. It expects logits, not probabilities.",
    ),
    Loss(
        name="focal",
        formula=r"-\sum_{k=1}^{K} y_k (1 - p_k)^\gamma \ln p_k",
        source="Lin et al. 2017, Focal Loss for Dense Object Detection",
        tasks=("classification",),
        function=focal,
        note="For imbalanced classes: easy examples contribute little.",
    ),
    Loss(
        name="hinge",
        formula=r"\frac{1}{K} \sum_{k \ne y} \max(0, m - z_y + z_k)",
        source="Crammer and Singer 2001; Weston and Watkins 1999",
        tasks=("classification",),
        function=hinge,
        note="The loss of support vector machines. Outputs are not probabilities and cannot be calibrated.",
    ),
    Loss(
        name="bce",
        formula=r"-y \ln \sigma(z) - (1 - y) \ln(1 - \sigma(z))",
        source="Cox 1958",
        tasks=("multilabel", "segmentation"),
        function=bce,
        note="The default if any number of labels may apply at once.",
    ),
    Loss(
        name="dice",
        formula=r"1 - \frac{2 \sum_i p_i y_i + s}{\sum_i p_i + \sum_i y_i + s} \quad p = \sigma(z)",
        source="Dice 1945; Milletari, Navab and Ahmadi 2016, V-Net",
        tasks=("segmentation", "multilabel"),
        function=dice,
        note="Measures overlap, so a small object counts as much as the background.",
    ),
    Loss(
        name="kl",
        formula=r"\sum_{k=1}^{K} y_k \ln \frac{y_k}{p_k} \quad p = \operatorname{softmax}(z)",
        source="Kullback and Leibler 1951; Hinton, Vinyals and Dean 2015 for distillation",
        tasks=("distribution",),
        function=kl,
        note="Cross-entropy minus the entropy of the target: 0 if the two distributions are equal.",
    ),
    Loss(
        name="mse",
        formula=r"(z - y)^2",
        source="Legendre 1805; Gauss 1809",
        tasks=("regression",),
        function=mse,
        note="The default for numbers; the best constant prediction is the mean. Sensitive to outliers.",
    ),
    Loss(
        name="mae",
        formula=r"|z - y|",
        source="Boscovich 1757; Laplace 1774",
        tasks=("regression",),
        function=mae,
        note="The best constant prediction is the median. Robust; the gradient stays constant near it.",
    ),
    Loss(
        name="huber",
        formula=r"\begin{cases}\frac{1}{2}(z - y)^2 & |z - y| \le \delta\\"
        r" \delta\,(|z - y| - \frac{\delta}{2}) & |z - y| > \delta\end{cases}",
        source="Huber 1964",
        tasks=("regression",),
        function=huber,
        note="Squared near the target, linear far from it.",
    ),
    Loss(
        name="poisson",
        formula=r"e^z - y z",
        source="Nelder and Wedderburn 1972",
        tasks=("regression",),
        function=poisson,
        note="For counts. The model predicts the logarithm of the rate.",
    ),
    Loss(
        name="cosine",
        formula=r"1 - \frac{z \cdot y}{\lVert z \rVert\,\lVert y \rVert}",
        source="Salton, Wong and Yang 1975",
        tasks=("embedding", "regression"),
        function=cosine,
        note="For vectors of which only the direction matters.",
    ),
    Loss(
        name="triplet",
        formula=r"\max(0,\ \max_{p:\,y_p = y_a} \lVert z_a - z_p \rVert"
        r" - \min_{n:\,y_n \ne y_a} \lVert z_a - z_n \rVert + m)",
        source="Schroff, Kalenichenko and Philbin 2015, FaceNet; batch-hard: Hermans, Beyer and Leibe 2017",
        tasks=("embedding",),
        function=triplet,
        note="Targets are classes. Batches need at least two examples of some classes.",
    ),
    Loss(
        name="contrastive",
        formula=r"\begin{cases}\lVert z_i - z_j \rVert^2 & y_i = y_j\\"
        r" \max(0, m - \lVert z_i - z_j \rVert)^2 & y_i \ne y_j\end{cases}",
        source="Hadsell, Chopra and LeCun 2006",
        tasks=("embedding",),
        function=contrastive,
        note="Targets are classes; the mean is over all pairs of a batch.",
    ),
]

LOSSES: dict[str, Loss] = {entry.name: entry for entry in _ENTRIES}
"""Every loss, by name."""


def loss(name: str, **options: Any) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a loss with its options set.

    Args:
        name: one of `LOSSES`.
        options: see `LOSSES[name].options`; a tensor may also be given as a list of numbers.

    Returns:
        (logits, targets) -> scalar.

    Raises:
        UnknownNameError: there is no loss of that name, or it has no such option.
        ConfigError: the value of an option is not of its type.

    Example:
        >>> import torch
        >>> loss("cross_entropy", label_smoothing=0.1)(torch.zeros(2, 10), torch.tensor([3, 7])).item()
        2.3025851249694824
    """
    entry = find_entry("loss", name, LOSSES)
    return partial(entry.function, **check_options(f"the loss {name}", options, entry.types))
