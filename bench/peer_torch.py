"""The peer PyTorch: a network from the parts of a cfg, eager or compiled."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .measure import count
from .peers import Trainer
from .recipe import Array, Data, Losses, Part, Recipe

GATES = ["i", "f", "g", "o"]  # PyTorch's order


class Torch(Trainer):
    """Rows are shuffled once per epoch, so that batches are views; activations work in place where they may; the log is not
    kept. fused: the optimiser's fused kernel. compiled: torch.compile of the forward pass, the losses and their backward pass."""

    def __init__(
        self,
        torch: Any,
        recipe: Recipe,
        data: Data,
        threads: int,
        *,
        fused: bool = True,
        compiled: bool = False,
        channels_last: bool = False,
    ) -> None:
        self.torch, self.recipe, self.data, self.threads = torch, recipe, data, threads
        self.fused, self.compiled, self.channels_last = fused, compiled, channels_last
        optimizer = ("fused " if fused else "") + ("Adam" if recipe.adam else "SGD")
        layout = (", channels-last" if channels_last else ", NCHW") if recipe.convolutional else ""
        how = "compiled, " if compiled else ""
        self.name = f"PyTorch, {how}{optimizer}{layout}, {count(threads, 'thread')}"
        self.shape = recipe.input_shape()
        self.X = torch.from_numpy(data.X.reshape(-1, *self.shape))
        self.truth = None if data.truth is None else self._truth(data.truth)
        self._model()
        self._loss: Any = self._objective
        if compiled:
            torch.set_num_threads(threads)  # compiled code is for a number of threads
            self._loss = torch.compile(self._objective, dynamic=False)

    def _truth(self, truth: Array) -> Any:
        """Classes by number, which is what cross_entropy is fastest with."""
        torch = self.torch
        if self.recipe.loss == "softmax":
            return torch.from_numpy(truth.argmax(1))
        return torch.from_numpy(truth.reshape(-1, *self.shape[:-1], truth.shape[1]))

    # ---- the network

    def _layer(self, part: Part) -> Any:
        nn = self.torch.nn
        weights = part.params.get("weights")
        if part.type == "connected":
            return nn.Linear(part.inputs, part.outputs)
        if part.type == "lstm":
            return nn.LSTM(part.inputs, part.outputs, batch_first=True)
        if part.type in ("convolutional", "deconvolutional"):
            assert weights is not None
            kind = nn.Conv2d if part.type == "convolutional" else nn.ConvTranspose2d
            filters, channels = weights.shape[:2] if part.type == "convolutional" else weights.shape[1::-1]
            size = {"kernel_size": part.number("size", 1), "stride": part.number("stride", 1), "padding": part.padding}
            return kind(channels, filters, **size)
        if part.type == "maxpool":
            return nn.MaxPool2d(part.number("size", 1), part.number("stride", 1))
        return nn.Identity()

    def _model(self) -> None:
        self.parts = self.recipe.parts(0)
        self.model = self.torch.nn.ModuleList([self._layer(part) for part in self.parts])
        if self.channels_last:
            self.model.to(memory_format=self.torch.channels_last)

    def _load(self, seed: int) -> None:
        with self.torch.no_grad():
            for part, layer in zip(self.recipe.parts(seed), self.model, strict=True):
                for name, values in named(part).items():
                    getattr(layer, name).copy_(self.torch.from_numpy(values))

    def _forward(self, x: Any, noise: Any) -> tuple[Any, Any, Any, Any]:
        """Output, mean, log-variance and z. Without noise, z is the mean; with that of several draws of each row, z and the
        output have a row for each of them."""
        functional = self.torch.nn.functional
        outputs: list[Any] = []
        mean = log_variance = z = None
        now = x
        for index, (part, layer) in enumerate(zip(self.parts, self.model, strict=True)):
            if part.type == "route":  # of two layers: kept apart, since only [sampling] reads it
                sources = [int(source) for source in part.keys["layers"].split(",")]
                picked = [outputs[index + source if source < 0 else source] for source in sources]
                now = picked[0] if len(picked) == 1 else picked
            elif part.type == "sampling":
                log_variance, mean = now
                now = z = mean if noise is None else self._draw(mean, log_variance, noise)
            elif part.type == "reshape":
                now = now.unflatten(1, tuple(part.number(key, 1) for key in ("channels", "height", "width")))
            elif part.type == "lstm":
                now = layer(now)[0]
            elif part.type not in ("cost", "softmax"):
                if part.type == "connected" and now.dim() == 4:
                    now = now.flatten(1)
                now = layer(now)
                if "activation" in part.keys:
                    now = activate(functional, part.activation, now)
            outputs.append(now)
        return now.flatten(1) if now.dim() == 4 else now, mean, log_variance, z

    def _draw(self, mean: Any, log_variance: Any, noise: Any) -> Any:
        deviation = (0.5 * log_variance).exp()
        if len(noise) == len(mean):
            return mean + deviation * noise
        draws = noise.unflatten(0, (len(mean), -1))
        return (mean[:, None] + deviation[:, None] * draws).flatten(0, 1)

    def _divergence(self, mean: Any, log_variance: Any) -> Any:
        return 0.5 * (log_variance.exp() + mean * mean - 1 - log_variance).sum()

    def _error(self, y: Any, truth: Any, reduction: str = "sum") -> Any:
        loss = self.torch.nn.functional
        if self.recipe.loss == "softmax":
            return loss.cross_entropy(y, truth, reduction=reduction)
        if self.recipe.loss in ("bce", "bernoulli"):
            return loss.binary_cross_entropy_with_logits(y, truth, reduction=reduction)
        return loss.mse_loss(y, truth, reduction=reduction)

    def _bound(self, x: Any, truth: Any, noise: Any) -> Any:
        """Minus the importance-weighted bound on ln p(x), summed over the rows (Burda et al., arXiv:1509.00519, eq. 8)."""
        y, _, log_variance, z = self._forward(x, noise)
        shape = len(x), self.recipe.samples
        given = (x if truth is None else truth)[:, None].expand(-1, shape[1], -1)
        image = self._error(y.unflatten(0, shape), given, "none").sum(-1)
        latent = 0.5 * ((z * z - noise * noise).sum(-1).unflatten(0, shape) - log_variance.sum(-1)[:, None])
        return -(self.torch.logsumexp(-image - latent, 1) - math.log(shape[1])).sum()

    def _objective(self, x: Any, truth: Any, noise: Any) -> Any:
        if self.recipe.samples > 1:
            return self.recipe.weight(len(x)) * self._bound(x, truth, noise)
        y, mean, log_variance, _ = self._forward(x, noise)
        loss = self._error(y, x.flatten(1) if truth is None and x.dim() == 4 else x if truth is None else truth)
        if mean is not None:
            loss = loss + self.recipe.beta * self._divergence(mean, log_variance)
        return self.recipe.weight(len(x)) * loss

    # ---- the training

    def start(self, seed: int) -> None:
        torch, recipe = self.torch, self.recipe
        torch.set_num_threads(self.threads)
        torch.manual_seed(seed)
        self._load(seed)
        weights = [p for name, p in self.model.named_parameters() if "bias" not in name]
        biases = [p for name, p in self.model.named_parameters() if "bias" in name]
        groups = [{"params": weights, "weight_decay": recipe.decay}, {"params": biases, "weight_decay": 0.0}]
        options: dict[str, Any] = {"lr": recipe.learning_rate, **({"fused": True} if self.fused else {})}
        if recipe.adam:
            self.optimizer = torch.optim.Adam(groups, betas=(recipe.b1, recipe.b2), eps=recipe.eps, **options)
        else:
            self.optimizer = torch.optim.SGD(groups, momentum=recipe.momentum, **options)

    def _step(self, x: Any, truth: Any, noise: Any) -> None:
        loss = self._loss(x, truth, noise)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def train(self, epochs: int) -> None:
        latents = next((part.outputs for part in self.parts if part.type == "sampling"), 0)
        for _ in range(epochs):
            order = self.torch.randperm(len(self.X))
            xs = self.X[order].split(self.recipe.batch)
            truths = [None] * len(xs) if self.truth is None else self.truth[order].split(self.recipe.batch)
            for x, truth in zip(xs, truths, strict=True):
                self._step(x, truth, self.torch.randn(len(x) * self.recipe.samples, latents) if latents else None)

    def step(self, x: Array, truth: Array | None, noise: Array | None) -> None:
        from_numpy = self.torch.from_numpy
        given = None if noise is None else from_numpy(noise)
        self._step(from_numpy(x.reshape(-1, *self.shape)), None if truth is None else self._truth(truth), given)

    def losses(self) -> Losses:
        image = latent = 0.0
        size = max(1, 1000 // self.recipe.time_steps)
        with self.torch.inference_mode():
            truths = [None] * len(self.X) if self.truth is None else self.truth.split(size)
            for x, truth in zip(self.X.split(size), truths, strict=False):
                y, mean, log_variance, _ = self._forward(x, None)
                image += self._error(y, x.flatten(1) if truth is None and x.dim() == 4 else x if truth is None else truth).item()
                if mean is not None:
                    latent += self._divergence(mean, log_variance).item()
        rows = len(self.data.X)
        return Losses(image / rows, latent / rows, self.recipe.beta)

    def bound(self) -> Losses:
        total = 0.0
        latents = next(part.outputs for part in self.parts if part.type == "sampling")
        with self.torch.inference_mode():
            xs = self.X.split(self.recipe.batch)
            truths = [None] * len(xs) if self.truth is None else self.truth.split(self.recipe.batch)
            for x, truth in zip(xs, truths, strict=True):
                total += self._bound(x, truth, self.torch.randn(len(x) * self.recipe.samples, latents)).item()
        return Losses(total / len(self.X), 0, 0)


def named(part: Part) -> dict[str, Array]:
    """Our parameters under PyTorch's names."""
    if part.type != "lstm":
        return {{"weights": "weight", "biases": "bias"}[name]: values for name, values in part.params.items()}
    found = {}
    for ours, theirs in (("u", "ih"), ("w", "hh")):
        for kind, name in (("weights", "weight"), ("biases", "bias")):
            found[f"{name}_{theirs}_l0"] = np.concatenate([part.params[f"{ours}{gate}.{kind}"] for gate in GATES])
    return found


def activate(functional: Any, name: str, x: Any) -> Any:
    if name == "leaky":
        return functional.leaky_relu_(x, 0.1)
    if name == "relu":
        return functional.relu_(x)
    return {"tanh": x.tanh, "logistic": x.sigmoid, "linear": lambda: x}[name]()
