"""Model families, one file each, read from top to bottom. In: batches of inputs. Out: logits.

`BUILDERS` holds what makes each family for data of a shape: `builder(input_shape, num_outputs, *, size=None,
...)`. Imports torch and `pellucid.nn` only, so a model file copied out with `nn/` runs on torch alone.
"""

from collections.abc import Callable

from torch import nn

from pellucid.models.cnn import CNN, cnn
from pellucid.models.mlp import MLP, linear, mlp

BUILDERS: dict[str, Callable[..., nn.Module]] = {"linear": linear, "mlp": mlp, "cnn": cnn}
"""Builders by the name configs use."""

__all__ = ["BUILDERS", "CNN", "MLP", "cnn", "linear", "mlp"]
