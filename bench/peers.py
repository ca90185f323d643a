"""The same trainings in ours, PyTorch and JAX. Peers start with our start weights and do the same arithmetic per step
(jobs.py checks that), set up as fast as each of them goes; only the order of rows and the noise are each one's own."""

from __future__ import annotations

import importlib
import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import darknet_vae as dv

from .measure import count

Array = npt.NDArray[np.float32]


def find(module: str, without: frozenset[str]) -> Any:
    """A peer's module, or None when it is not installed or not wanted."""
    if module in without:
        return None
    try:
        found = importlib.import_module(module)
    except ImportError:
        return None
    if module == "jax":
        found.config.update("jax_platforms", "cpu")
    return found


class Losses(NamedTuple):
    """Per row, with z = mean, over all rows after training."""

    image: float
    latent: float
    beta: float

    @property
    def total(self) -> float:
        return self.image + self.beta * self.latent

    def __str__(self) -> str:
        return f"{self.image:.2f} + {self.beta:g} x {self.latent:.2f}"


class Recipe:
    """A cfg, its batch size, and the settings in it that peers need."""

    def __init__(self, cfg: Path, batch: int) -> None:
        self.cfg, self.batch = cfg, batch
        text = cfg.read_text()

        def setting(key: str, default: float) -> float:
            found = re.search(rf"^{key}=(.*)$", text, flags=re.M)
            return float(found[1]) if found else default

        self.adam = bool(setting("adam", 0))
        self.learning_rate, self.momentum, self.decay = (setting(k, 0) for k in ("learning_rate", "momentum", "decay"))
        self.b1, self.b2, self.eps = setting("B1", 0.9), setting("B2", 0.999), setting("eps", 1e-7)
        self.beta = setting("beta", 1)
        self.bernoulli = "type=bce" in text
        self.convolutional = "[convolutional]" in text

    def weight(self, rows: int) -> float:
        """Of a row's total loss in what is descended: s, and Darknet's Adam sums over the rows where its SGD averages."""
        return (1 if self.bernoulli else 0.5) / (1 if self.adam else rows)

    def start(self, seed: int) -> list[tuple[Array, Array]]:
        """Our start weights and biases, layer by layer: encoder, mean, log-variance, decoder."""
        layers = dv.Network(self.cfg, seed=seed, device="cpu").layers
        return [(layer.params["weights"], layer.params["biases"]) for layer in layers if "weights" in layer.params]


class Trainer(ABC):
    """start, then train (what is timed), then losses; or start and single steps with given noise, to compare."""

    name: str
    recipe: Recipe

    @abstractmethod
    def start(self, seed: int) -> None: ...

    @abstractmethod
    def train(self, epochs: int) -> None: ...

    @abstractmethod
    def step(self, x: Array, noise: Array) -> None: ...

    @abstractmethod
    def losses(self) -> Losses: ...


class Ours(Trainer):
    name = "darknet-vae"

    def __init__(self, recipe: Recipe, X: Array, threads: int) -> None:
        self.recipe, self.X, self.threads = recipe, X, threads

    def start(self, seed: int) -> None:
        self.net = dv.Network(self.recipe.cfg, seed=seed, device="cpu", batch=self.recipe.batch, threads=self.threads)

    def train(self, epochs: int) -> None:
        self.net.train(self.X, epochs=epochs)

    def step(self, x: Array, noise: Array) -> None:
        self.net.set_noise(next(layer.index for layer in self.net.layers if layer.type == "sampling"), noise)
        self.net.forward(x, truth=x, train=True)
        self.net.backward()
        self.net.update()

    def losses(self) -> Losses:
        found = self.net.evaluate(self.X)
        return Losses(found["image_loss"], found["latent_loss"], self.recipe.beta)


class Torch(Trainer):
    """Eager. Rows are shuffled once per epoch, so that batches are views; activations work in place; the log is not kept."""

    def __init__(
        self, torch: Any, recipe: Recipe, X: Array, threads: int, *, fused: bool = True, channels_last: bool = False
    ) -> None:
        self.torch, self.recipe, self.X = torch, recipe, torch.from_numpy(X)
        self.threads, self.fused, self.channels_last = threads, fused, channels_last
        optimizer = ("fused " if fused else "") + ("Adam" if recipe.adam else "SGD")
        layout = (", channels-last" if channels_last else ", NCHW") if recipe.convolutional else ""
        self.name = f"PyTorch, {optimizer}{layout}, {count(threads, 'thread')}"

    def start(self, seed: int) -> None:
        torch, recipe = self.torch, self.recipe
        torch.set_num_threads(self.threads)
        torch.manual_seed(seed)
        nn = torch.nn
        if recipe.convolutional:
            conv = {"kernel_size": 4, "stride": 2, "padding": 1}
            relu = nn.ReLU(inplace=True)
            self.encoder = nn.Sequential(
                nn.Unflatten(1, (1, 28, 28)), nn.Conv2d(1, 32, **conv), relu, nn.Conv2d(32, 64, **conv), relu, nn.Flatten()
            )
            self.mean, self.log_variance = nn.Linear(3136, 10), nn.Linear(3136, 10)
            self.decoder = nn.Sequential(
                nn.Linear(10, 3136), relu, nn.Unflatten(1, (64, 7, 7)), nn.ConvTranspose2d(64, 32, **conv), relu,
                nn.ConvTranspose2d(32, 1, **conv), nn.Flatten(),
            )  # fmt: skip
        else:
            leaky = nn.LeakyReLU(0.1, inplace=True)
            self.encoder = nn.Sequential(nn.Linear(784, 512), leaky)
            self.mean, self.log_variance = nn.Linear(512, 2), nn.Linear(512, 2)
            self.decoder = nn.Sequential(nn.Linear(2, 512), leaky, nn.Linear(512, 784), leaky)
        model = nn.ModuleList([self.encoder, self.mean, self.log_variance, self.decoder])
        layers = [module for module in model.modules() if hasattr(module, "weight")]
        with torch.no_grad():
            for layer, (weights, biases) in zip(layers, recipe.start(seed), strict=True):
                layer.weight.copy_(torch.from_numpy(weights))
                layer.bias.copy_(torch.from_numpy(biases))
        if self.channels_last:
            model.to(memory_format=torch.channels_last)
        groups = [
            {"params": [layer.weight for layer in layers], "weight_decay": recipe.decay},
            {"params": [layer.bias for layer in layers], "weight_decay": 0.0},
        ]
        options: dict[str, Any] = {"lr": recipe.learning_rate, **({"fused": True} if self.fused else {})}
        if recipe.adam:
            self.optimizer = torch.optim.Adam(groups, betas=(recipe.b1, recipe.b2), eps=recipe.eps, **options)
        else:
            self.optimizer = torch.optim.SGD(groups, momentum=recipe.momentum, **options)

    def _divergence(self, mean: Any, log_variance: Any) -> Any:
        return 0.5 * (log_variance.exp() + mean * mean - 1 - log_variance).sum()

    def _error(self, y: Any, x: Any) -> Any:
        loss = self.torch.nn.functional
        if self.recipe.bernoulli:
            return loss.binary_cross_entropy_with_logits(y, x, reduction="sum")
        return loss.mse_loss(y, x, reduction="sum")

    def _step(self, x: Any, noise: Any = None) -> None:
        hidden = self.encoder(x)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        z = mean + (0.5 * log_variance).exp() * (self.torch.randn_like(mean) if noise is None else noise)
        loss = self._error(self.decoder(z), x) + self.recipe.beta * self._divergence(mean, log_variance)
        self.optimizer.zero_grad(set_to_none=True)
        (self.recipe.weight(len(x)) * loss).backward()
        self.optimizer.step()

    def train(self, epochs: int) -> None:
        for _ in range(epochs):
            for x in self.X[self.torch.randperm(len(self.X))].split(self.recipe.batch):
                self._step(x)

    def step(self, x: Array, noise: Array) -> None:
        self._step(self.torch.from_numpy(x), self.torch.from_numpy(noise))

    def losses(self) -> Losses:
        image = latent = 0.0
        with self.torch.inference_mode():
            for x in self.X.split(1000):
                hidden = self.encoder(x)
                mean, log_variance = self.mean(hidden), self.log_variance(hidden)
                image += self._error(self.decoder(mean), x).item()
                latent += self._divergence(mean, log_variance).item()
        return Losses(image / len(self.X), latent / len(self.X), self.recipe.beta)


class Jax(Trainer):
    """A whole epoch is one compiled scan whose parameters and momenta are donated; compiling is not timed. Slower were: rows
    gathered step by step, weights stored transposed, the scan unrolled, leaky as a choice instead of a maximum."""

    name = "JAX, jitted epoch"

    def __init__(self, jax: Any, recipe: Recipe, X: Array) -> None:
        self.jax, self.recipe, self.X = jax, recipe, jax.numpy.asarray(X)
        if len(X) % recipe.batch:
            raise ValueError(f"{len(X)} rows are not whole batches of {recipe.batch}")
        start = self._start(0)
        self._epoch = jax.jit(self._epoch_of, donate_argnums=0).lower(start, self.X, jax.random.key(0)).compile()
        self._one_step = jax.jit(self._step_of)

    def _start(self, seed: int) -> Any:
        np_ = self.jax.numpy
        parameters = [(np_.asarray(weights), np_.asarray(biases)) for weights, biases in self.recipe.start(seed)]
        return parameters, self.jax.tree.map(np_.zeros_like, parameters)

    def start(self, seed: int) -> None:
        self.key = self.jax.random.key(seed)
        self.state = self.jax.block_until_ready(self._start(seed))

    def _pass(self, parameters: Any, x: Any, noise: Any) -> tuple[Any, Any]:
        """Image and latent loss, summed over the rows."""
        np_ = self.jax.numpy
        encode, to_mean, to_log_variance, decode, out = parameters

        def dense(x: Any, layer: Any) -> Any:
            return x @ layer[0].T + layer[1]

        def leaky(x: Any) -> Any:
            return np_.maximum(x, 0.1 * x)

        hidden = leaky(dense(x, encode))
        mean, log_variance = dense(hidden, to_mean), dense(hidden, to_log_variance)
        z = mean + np_.exp(0.5 * log_variance) * noise
        y = leaky(dense(leaky(dense(z, decode)), out))
        return ((y - x) ** 2).sum(), 0.5 * (np_.exp(log_variance) + mean**2 - 1 - log_variance).sum()

    def _step_of(self, state: Any, x: Any, noise: Any) -> Any:
        recipe = self.recipe

        def objective(parameters: Any) -> Any:
            image, latent = self._pass(parameters, x, noise)
            return recipe.weight(len(x)) * (image + recipe.beta * latent)

        parameters, momenta = state
        gradients = self.jax.grad(objective)(parameters)
        momenta = [
            (recipe.momentum * vw + gw + recipe.decay * w, recipe.momentum * vb + gb)
            for (w, _), (vw, vb), (gw, gb) in zip(parameters, momenta, gradients, strict=True)
        ]
        rate = recipe.learning_rate
        parameters = [(w - rate * vw, b - rate * vb) for (w, b), (vw, vb) in zip(parameters, momenta, strict=True)]
        return parameters, momenta

    def _epoch_of(self, state: Any, X: Any, key: Any) -> Any:
        random = self.jax.random
        for_order, for_noise = random.split(key)
        steps, batch = len(X) // self.recipe.batch, self.recipe.batch
        rows = X[random.permutation(for_order, len(X))].reshape(steps, batch, -1)
        noise = random.normal(for_noise, (steps, batch, state[0][1][1].shape[0]))
        return self.jax.lax.scan(lambda state, now: (self._step_of(state, *now), None), state, (rows, noise))[0]

    def train(self, epochs: int) -> None:
        for _ in range(epochs):
            self.key, now = self.jax.random.split(self.key)
            self.state = self._epoch(self.state, self.X, now)
        self.jax.block_until_ready(self.state)

    def step(self, x: Array, noise: Array) -> None:
        self.state = self._one_step(self.state, x, noise)

    def losses(self) -> Losses:
        image, latent = self.jax.jit(self._pass)(self.state[0], self.X, 0.0)
        return Losses(float(image) / len(self.X), float(latent) / len(self.X), self.recipe.beta)
