"""Mixtures of Gaussians, as priors to draw latents from."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from . import errors
from ._lib import Array, check, ffi, lib, matrix, pointer, real, whole

Doubles = npt.NDArray[np.float64]

__all__ = ["GaussianMixture"]


def _doubles(array: Doubles) -> Any:
    return ffi.cast("double *", array.ctypes.data)


class GaussianMixture:
    """A mixture of k Gaussians with full covariances over vectors of d values.

    weights (k), means (k, d) and covariances (k, d, d) are float64; log_likelihood is the mean log density, in nats, of the rows
    that it was fitted to (NaN if it was made from numbers), after `iterations` of expectation-maximisation."""

    def __init__(self, weights: npt.ArrayLike, means: npt.ArrayLike, covariances: npt.ArrayLike) -> None:
        self.weights: Doubles = np.ascontiguousarray(weights, np.float64)
        self.means: Doubles = np.ascontiguousarray(means, np.float64)
        self.covariances: Doubles = np.ascontiguousarray(covariances, np.float64)
        self.log_likelihood = float("nan")
        self.iterations = 0
        shapes = [array.shape for array in (self.weights, self.means, self.covariances)]
        k, d = self.means.shape if self.means.ndim == 2 else (0, 0)
        if not k or not d or shapes != [(k,), (k, d), (k, d, d)]:
            raise errors.UsageError(f"weights, means and covariances are {shapes}; wanted are (k,), (k, d) and (k, d, d)")
        if not all(np.isfinite(array).all() for array in (self.weights, self.means, self.covariances)) or self.weights.min() < 0:
            raise errors.UsageError("weights, means and covariances must be finite, and weights not negative")
        if not self.weights.sum() > 0:
            raise errors.UsageError("all weights are 0")
        self.weights = self.weights / self.weights.sum()

    @classmethod
    def fit(cls, z: npt.ArrayLike, components: int = 10, seed: int = 0) -> GaussianMixture:
        """Fit one to rows z (n, d) by expectation-maximisation, started from k-means++: a function of z and the seed. Variances
        are at least 1e-4 of those of all rows, so that no component shrinks to a point. For latents: `Network.fit_mixture`."""
        if np.ndim(z) != 2:
            raise errors.UsageError(f"z has shape {np.shape(z)}; wanted is (rows, columns)")
        rows = matrix(z, np.shape(z)[1], "z")
        fitted = ffi.new("dn_mixture *")
        k, s = whole("components", components, 1, 2**20), whole("seed", seed, 0, 2**64 - 1)
        check(lib.dn_mixture_fit(fitted, pointer(rows), len(rows), rows.shape[1], k, s))
        return cls._taken(fitted)

    @classmethod
    def _taken(cls, fitted: Any) -> GaussianMixture:
        """From the core's struct, which is freed."""
        try:
            k, d = fitted.components, fitted.columns
            shapes = {"weights": (k,), "means": (k, d), "covariances": (k, d, d)}
            parts = [
                np.frombuffer(ffi.buffer(getattr(fitted, name), 8 * int(np.prod(shape))), np.float64).reshape(shape).copy()
                for name, shape in shapes.items()
            ]
            mixture = cls(*parts)
            mixture.log_likelihood, mixture.iterations = float(fitted.log_likelihood), int(fitted.iterations)
        finally:
            lib.dn_mixture_free(fitted)
        return mixture

    def _core(self) -> Any:
        """The core's struct over these arrays, which must outlive it."""
        return ffi.new(
            "dn_mixture *",
            {
                "components": len(self.weights), "columns": self.columns, "weights": _doubles(self.weights),
                "means": _doubles(self.means), "covariances": _doubles(self.covariances),
            },
        )  # fmt: skip

    @property
    def columns(self) -> int:
        """d, the values of a vector."""
        return int(self.means.shape[1])

    def sample(self, n: int, seed: int = 0, temperature: float = 1.0) -> Array:
        """n vectors (n, d), float32. temperature: the standard deviations within each component are multiplied by it."""
        z = np.empty((whole("n", n, 0, 2**40), self.columns), np.float32)
        s, t = whole("seed", seed, 0, 2**64 - 1), real("temperature", temperature)
        check(lib.dn_mixture_draw(self._core(), s, len(z), t, pointer(z)))
        return z

    def log_density(self, z: npt.ArrayLike) -> Doubles:
        """The log density of every row of z (n, d), in nats, (n) float64."""
        rows = matrix(z, self.columns, "z")
        out = np.empty(len(rows), np.float64)
        check(lib.dn_mixture_log_density(self._core(), pointer(rows), len(rows), _doubles(out)))
        return out

    def __repr__(self) -> str:
        return f"GaussianMixture({len(self.weights)} components, {self.columns} columns)"
