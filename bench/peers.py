"""One training in ours and in peers. Peers start with our start weights and do the same arithmetic per step (training.py checks
that), set up as fast as each of them goes; only the order of rows and the noise are each one's own."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

import darknet_vae as dv

from .recipe import Array, Data, Losses, Recipe


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


class Trainer(ABC):
    """start, then train (what is timed), then losses; or start and single steps with given noise, to compare."""

    name: str
    recipe: Recipe

    @abstractmethod
    def start(self, seed: int) -> None: ...

    @abstractmethod
    def train(self, epochs: int) -> None: ...

    @abstractmethod
    def step(self, x: Array, truth: Array | None, noise: Array | None) -> None:
        """x: rows as in the table, sequence after sequence; truth as in `Data`; noise: (rows * draws, latents), a row's draws
        one after another."""

    @abstractmethod
    def losses(self) -> Losses: ...

    @abstractmethod
    def bound(self) -> Losses:
        """Minus the bound of ln p(x) from as many draws as in training: of new noise, so not for more than a few digits."""


class Ours(Trainer):
    name = "darknet-vae"

    def __init__(self, recipe: Recipe, data: Data, threads: int) -> None:
        self.recipe, self.data, self.threads = recipe, data, threads

    def start(self, seed: int) -> None:
        batch = self.recipe.batch * self.recipe.time_steps  # rows
        self.net = dv.Network(self.recipe.cfg, seed=seed, device="cpu", batch=batch, threads=self.threads)

    def train(self, epochs: int) -> None:
        X, truth, some = self.data.X, self.data.truth, slice(self.recipe.batch * self.recipe.time_steps)
        # with a truth, all rows are evaluated after every epoch, unless other rows are given; peers do not evaluate
        self.net.train(X, epochs=epochs, truth=truth, valid=None if truth is None else (X[some], truth[some]))

    def step(self, x: Array, truth: Array | None, noise: Array | None) -> None:
        if noise is not None:
            self.net.set_noise(next(layer.index for layer in self.net.layers if layer.type == "sampling"), noise)
        x, truth = self._by_time(x), self._by_time(x if truth is None else truth)
        self.net.forward(x, truth=truth, train=True)
        self.net.backward()
        self.net.update()
        if self.recipe.time_steps > 1:
            self.net.reset_state()

    def _by_time(self, rows: Array) -> Array:
        """A pass by hand takes a recurrent network's rows step by step, not sequence by sequence."""
        steps = self.recipe.time_steps
        return np.ascontiguousarray(rows.reshape(-1, steps, rows.shape[1]).swapaxes(0, 1)).reshape(rows.shape)

    def losses(self) -> Losses:
        found = self.net.evaluate(self.data.X, self.data.truth)
        return Losses(found["image_loss"], found["latent_loss"], self.recipe.beta)

    def bound(self) -> Losses:
        found = self.net.bounds(self.data.X, self.recipe.samples, truth=self.data.truth)
        return Losses(-float(found["log_likelihood"].mean()), 0, 0)
