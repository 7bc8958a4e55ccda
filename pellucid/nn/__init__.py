"""Building blocks: the parts that several model families are made of, and the activation catalogue.

In: tensors. Out: tensors of a shape the signature states. Every block is a plain `torch.nn.Module`, so
hooks can look at it. Imports torch and nothing of ours, so a model file copied out with this folder runs.
"""

from pellucid.nn.activations import ACTIVATIONS, Activation, activation
from pellucid.nn.convolution import ConvBlock, ResidualBlock
from pellucid.nn.init import gain, init_weights
from pellucid.nn.norm import NORMS, norm

__all__ = [
    "ACTIVATIONS",
    "NORMS",
    "Activation",
    "ConvBlock",
    "ResidualBlock",
    "activation",
    "gain",
    "init_weights",
    "norm",
]
