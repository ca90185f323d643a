"""The peer JAX: a network from the parts of a cfg, a whole epoch compiled."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .peers import Trainer
from .recipe import Array, Data, Losses, Part, Recipe


class Jax(Trainer):
    """A whole epoch is one compiled scan whose parameters and moments are donated; compiling is not timed. Slower were: rows
    gathered step by step, weights stored transposed, the scan unrolled, leaky as a choice instead of a maximum; with 50 draws
    jax.nn.softplus, and the likelihood's gradient written out as a whole. own_gradient: that of softplus is given as the
    logistic function."""

    name = "JAX, jitted epoch"

    def __init__(self, jax: Any, recipe: Recipe, data: Data, *, own_gradient: bool = False) -> None:
        self.jax, self.recipe, self.data = jax, recipe, data
        self.softplus = softplus(jax, own_gradient)
        if own_gradient:
            self.name += ", own gradient of softplus"
        self.shape = recipe.input_shape()
        if data.sequences(recipe) % recipe.batch:
            raise ValueError(f"{data.sequences(recipe)} rows are not whole batches of {recipe.batch}")
        self.X = jax.numpy.asarray(self._rows(data.X))
        self.truth = None if data.truth is None else jax.numpy.asarray(self._rows(data.truth))
        self.parts = recipe.parts(0)
        start = self._start(0)
        self._epoch = jax.jit(self._epoch_of, donate_argnums=0).lower(start, self.X, self.truth, jax.random.key(0)).compile()
        self._one_step = jax.jit(self._step_of)

    def _rows(self, rows: Array) -> Array:
        """Sequences (n, steps, values) where there are steps."""
        steps = self.recipe.time_steps
        return rows.reshape(-1, steps, rows.shape[1]) if steps > 1 else rows

    def _start(self, seed: int) -> Any:
        np_ = self.jax.numpy
        parameters = [{name: np_.asarray(values) for name, values in named(part).items()} for part in self.recipe.parts(seed)]
        zeros = self.jax.tree.map(np_.zeros_like, parameters)
        moments = (zeros, self.jax.tree.map(np_.zeros_like, parameters)) if self.recipe.adam else (zeros,)
        return parameters, moments, np_.zeros((), np_.float32)

    def start(self, seed: int) -> None:
        self.key = self.jax.random.key(seed)
        self.state = self.jax.block_until_ready(self._start(seed))

    # ---- the network

    def _forward(self, parameters: Any, x: Any, noise: Any) -> tuple[Any, Any, Any, Any]:
        """Output, and of a latent layer mean, log-variance and z, else None. noise: 0, or for one draw or more of each row; then
        z and the output have a row for each of them."""
        lax = self.jax.lax
        outputs: list[Any] = []
        mean = log_variance = z = None
        now = x.reshape(-1, *self.shape).transpose(0, 2, 3, 1) if self.recipe.convolutional else x
        for index, (part, p) in enumerate(zip(self.parts, parameters, strict=True)):
            if part.type == "route":
                sources = [int(source) for source in part.keys["layers"].split(",")]
                picked = [outputs[index + source if source < 0 else source] for source in sources]
                now = picked[0] if len(picked) == 1 else picked
            elif part.type == "sampling":
                log_variance, mean = now
                now = z = self._draw(mean, log_variance, noise)
            elif part.type == "lstm":
                now = self._lstm(p, now)
            elif part.type == "connected":
                now = now.transpose(0, 3, 1, 2).reshape(len(now), -1) if now.ndim == 4 else now
                now = activate(self.jax, part.activation, now @ p["weights"].T + p["biases"])
            elif part.type == "convolutional":
                stride, pad = part.number("stride", 1), part.padding
                now = lax.conv_general_dilated(
                    now, p["weights"], (stride, stride), [(pad, pad)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
                )
                now = activate(self.jax, part.activation, now + p["biases"])
            elif part.type == "maxpool":
                now = self._maxpool(part, now)
            outputs.append(now)
        return now, mean, log_variance, z

    def _draw(self, mean: Any, log_variance: Any, noise: Any) -> Any:
        deviation = self.jax.numpy.exp(0.5 * log_variance)
        if np.ndim(noise) and len(noise) != len(mean):
            draws = noise.reshape(len(mean), -1, mean.shape[1])
            return (mean[:, None] + deviation[:, None] * draws).reshape(noise.shape)
        return mean + deviation * noise

    def _pass(self, parameters: Any, x: Any, truth: Any, noise: Any) -> tuple[Any, Any]:
        """Image and latent loss, summed over the rows."""
        y, mean, log_variance, _ = self._forward(parameters, x, noise)
        latent = 0.0 if mean is None else 0.5 * (self.jax.numpy.exp(log_variance) + mean**2 - 1 - log_variance).sum()
        return self._errors(y, x if truth is None else truth).sum(), latent

    def _bound(self, parameters: Any, x: Any, truth: Any, noise: Any) -> Any:
        """Minus the importance-weighted bound on ln p(x), summed over the rows (Burda et al., arXiv:1509.00519, eq. 8)."""
        y, _, log_variance, z = self._forward(parameters, x, noise)
        n, k = len(x), self.recipe.samples
        image = self._errors(y.reshape(n, k, -1), (x if truth is None else truth)[:, None]).sum(-1)
        latent = 0.5 * ((z**2 - noise**2).sum(-1).reshape(n, k) - log_variance.sum(-1)[:, None])
        return -(self.jax.nn.logsumexp(-image - latent, axis=1) - math.log(k)).sum()

    def _maxpool(self, part: Part, x: Any) -> Any:
        """Windows side by side, a maximum over axes; lax.reduce_window took ten times as long, for the sake of its gradient."""
        size = part.number("size", 1)
        rows, height, width, channels = x.shape
        if part.number("stride", 1) != size or height % size or width % size:
            raise ValueError(f"[maxpool] of {size} with another stride, or on {height} x {width}")
        return x.reshape(rows, height // size, size, width // size, size, channels).max((2, 4))

    def _lstm(self, p: Any, x: Any) -> Any:
        """The input's share of the gates for all steps at once, then a scan over the steps."""
        np_, nn = self.jax.numpy, self.jax.nn
        shares = (x @ p["input"].T + p["input_bias"] + p["state_bias"]).swapaxes(0, 1)

        def step(carry: Any, share: Any) -> Any:
            h, c = carry
            i, f, g, o = np_.split(share + h @ p["state"].T, 4, axis=1)
            c = nn.sigmoid(f) * c + nn.sigmoid(i) * np_.tanh(g)
            h = nn.sigmoid(o) * np_.tanh(c)
            return (h, c), h

        zeros = np_.zeros((len(x), p["state"].shape[1]), np_.float32)
        return self.jax.lax.scan(step, (zeros, zeros), shares)[1].swapaxes(0, 1)

    def _errors(self, y: Any, truth: Any) -> Any:
        """Of each value."""
        nn = self.jax.nn
        if self.recipe.loss == "softmax":
            return -(nn.log_softmax(y) * truth)
        if self.recipe.loss in ("bce", "bernoulli"):
            return self.softplus(y) - y * truth
        return (y - truth) ** 2

    # ---- the training

    def _step_of(self, state: Any, x: Any, truth: Any, noise: Any) -> Any:
        recipe, tree = self.recipe, self.jax.tree

        def objective(parameters: Any) -> Any:
            if recipe.samples > 1:
                return recipe.weight(len(x)) * self._bound(parameters, x, truth, noise)
            image, latent = self._pass(parameters, x, truth, noise)
            return recipe.weight(len(x)) * (image + recipe.beta * latent)

        parameters, moments, step = state
        gradients = self.jax.grad(objective)(parameters)
        if recipe.decay:
            gradients = [
                {name: g + recipe.decay * p[name] if "bias" not in name else g for name, g in gradient.items()}
                for p, gradient in zip(parameters, gradients, strict=True)
            ]
        rate, step = recipe.learning_rate, step + 1
        if not recipe.adam:
            moment = tree.map(lambda v, g: recipe.momentum * v + g, moments[0], gradients)
            return tree.map(lambda p, v: p - rate * v, parameters, moment), (moment,), step
        b1, b2 = recipe.b1, recipe.b2
        m = tree.map(lambda m, g: b1 * m + (1 - b1) * g, moments[0], gradients)
        v = tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, moments[1], gradients)
        np_ = self.jax.numpy
        scale, root = rate / (1 - b1**step), 1 / np_.sqrt(1 - b2**step)
        update = tree.map(lambda p, m, v: p - scale * m / (np_.sqrt(v) * root + recipe.eps), parameters, m, v)
        return update, (m, v), step

    def _epoch_of(self, state: Any, X: Any, truth: Any, key: Any) -> Any:
        random = self.jax.random
        for_order, for_noise = random.split(key)
        batch = self.recipe.batch
        steps = len(X) // batch
        order = random.permutation(for_order, len(X))

        def batches(rows: Any) -> Any:
            return None if rows is None else rows[order].reshape(steps, batch, *rows.shape[1:])

        latents = [part.outputs for part in self.parts if part.type == "sampling"]
        noise = random.normal(for_noise, (steps, batch * self.recipe.samples, latents[0])) if latents else None
        return self.jax.lax.scan(lambda s, now: (self._step_of(s, *now), None), state, (batches(X), batches(truth), noise))[0]

    def train(self, epochs: int) -> None:
        for _ in range(epochs):
            self.key, now = self.jax.random.split(self.key)
            self.state = self._epoch(self.state, self.X, self.truth, now)
        self.jax.block_until_ready(self.state)

    def step(self, x: Array, truth: Array | None, noise: Array | None) -> None:
        rows = None if truth is None else self._rows(truth)
        self.state = self._one_step(self.state, self._rows(x), rows, noise)

    def losses(self) -> Losses:
        one = self.jax.jit(self._pass)
        image = latent = 0.0
        size = max(1, 1000 // self.recipe.time_steps)
        for at in range(0, len(self.X), size):
            truth = None if self.truth is None else self.truth[at : at + size]
            a, b = one(self.state[0], self.X[at : at + size], truth, 0.0)
            image, latent = image + float(a), latent + float(b)
        rows = len(self.data.X)
        return Losses(image / rows, latent / rows, self.recipe.beta)

    def bound(self) -> Losses:
        one, batch = self.jax.jit(self._bound), self.recipe.batch
        latents = next(part.outputs for part in self.parts if part.type == "sampling")
        total = 0.0
        for at in range(0, len(self.X), batch):
            noise = self.jax.random.normal(self.jax.random.fold_in(self.key, at), (batch * self.recipe.samples, latents))
            truth = None if self.truth is None else self.truth[at : at + batch]
            total += float(one(self.state[0], self.X[at : at + batch], truth, noise))
        return Losses(total / len(self.X), 0, 0)


def named(part: Part) -> dict[str, Array]:
    """Our parameters as the pass takes them."""
    if part.type == "convolutional":
        return {"weights": part.params["weights"].transpose(2, 3, 1, 0), "biases": part.params["biases"]}
    if part.type != "lstm":
        return part.params

    def four(ours: str) -> Array:
        return np.concatenate([part.params[ours.format(gate)] for gate in "ifgo"])

    return {
        "input": four("u{}.weights"), "state": four("w{}.weights"),
        "input_bias": four("u{}.biases"), "state_bias": four("w{}.biases"),
    }  # fmt: skip


def activate(jax: Any, name: str, x: Any) -> Any:
    if name == "leaky":
        return jax.numpy.maximum(x, 0.1 * x)
    return {"relu": jax.nn.relu, "tanh": jax.numpy.tanh, "logistic": jax.nn.sigmoid, "linear": lambda x: x}[name](x)


def softplus(jax: Any, own_gradient: bool) -> Any:
    np_ = jax.numpy

    def value(y: Any) -> Any:
        return np_.maximum(y, 0) + np_.log1p(np_.exp(-np_.abs(y)))

    if not own_gradient:
        return value
    function = jax.custom_jvp(value)
    function.defjvp(lambda at, tangent: (function(at[0]), tangent[0] * jax.nn.sigmoid(at[0])))
    return function
