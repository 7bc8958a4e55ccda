"""Hand-written JAX: an epoch as one compiled `lax.scan`, close to the upper bound for small networks."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
from workloads import MLP, Workload


class Side:
    def __init__(self, workload: Workload, arrays: dict[str, np.ndarray]):
        self.workload = workload
        self.x, self.y = jnp.asarray(arrays["inputs"].reshape(-1, MLP[0])), jnp.asarray(arrays["targets"])
        self.tx, self.ty = (
            jnp.asarray(arrays["test_inputs"].reshape(-1, MLP[0])),
            jnp.asarray(arrays["test_targets"]),
        )
        self.adam = optax.adam(workload.lr)
        self.epoch = jax.jit(self._epoch, donate_argnums=(0,))

    def prepare(self, seed: int) -> None:
        keys = jax.random.split(jax.random.key(seed), len(MLP))
        layers = [
            (
                jax.random.uniform(key, (a, b), minval=-1, maxval=1) / np.sqrt(a),
                jax.random.uniform(key, (b,), minval=-1, maxval=1) / np.sqrt(a),
            )
            for key, a, b in zip(keys, MLP, MLP[1:], strict=False)
        ]
        self.state = (layers, self.adam.init(layers))
        chosen = jax.random.permutation(keys[-1], len(self.x))[: self.workload.batch * self.workload.steps]
        self.order = chosen.reshape(-1, self.workload.batch)
        jax.block_until_ready((self.state, self.order))

    def _epoch(self, state, order):
        def step(state, rows):
            layers, moments = state
            gradient = jax.grad(loss)(layers, self.x[rows], self.y[rows])
            updates, moments = self.adam.update(gradient, moments)
            return (optax.apply_updates(layers, updates), moments), 0

        return jax.lax.scan(step, state, order)[0]

    def train(self) -> None:
        self.state = jax.block_until_ready(self.epoch(self.state, self.order))

    def evaluate(self) -> float:
        return float(loss(self.state[0], self.tx, self.ty))


def loss(layers, x, y):
    for number, (weights, bias) in enumerate(layers):
        x = x @ weights + bias
        if number < len(layers) - 1:
            x = jax.nn.relu(x)
    return optax.softmax_cross_entropy_with_integer_labels(x, y).mean()
