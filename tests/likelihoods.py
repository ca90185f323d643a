"""The likelihoods of [cost], written again in double precision from their definitions, with `math.lgamma`; and what tests
need for each: keys, how many values a column takes, truths that it accepts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

A = np.ndarray


def bounded(x: A, plain: float = 10.0) -> A:
    """How a log-variance (plain=10) or a log mean of counts (plain=30) counts."""
    size = np.abs(x)
    with np.errstate(all="ignore"):
        soft = np.sign(x) * (plain + np.log1p(2 * (size - plain)) / 2)
    return np.where(size <= plain, x, soft)


lgamma = np.vectorize(math.lgamma, otypes=[float])


def log_softmax(x: A) -> A:
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class Head:
    """A [cost] layer with a likelihood."""

    kind: str
    keys: str = ""
    columns: int = 3
    spread: str = "1"  # sigma= or dispersion=
    nu: float = 4.0
    classes: int = 0
    groups: int = 1
    limit: float = 10.0  # log_variance_limit=

    @property
    def text(self) -> str:
        return f"[cost]\ntype={self.kind}\n{self.keys}"

    @property
    def per_column(self) -> int:
        return self.classes or (2 if self.spread == "value" else 1)

    @property
    def values(self) -> int:
        """That it reads of a row."""
        return self.columns * self.per_column

    @property
    def learned(self) -> dict[str, int]:
        """Its trained tensor and how many values that has."""
        count = {"learned": 1, "column": self.columns}.get(self.spread)
        return {"log_dispersion" if self.kind == "negative_binomial" else "log_variance": count} if count else {}

    def truth(self, random: np.random.Generator, rows: int) -> A:
        shape = (rows, self.columns)
        if self.kind == "bernoulli":
            return random.uniform(size=shape)
        if self.kind in ("poisson", "negative_binomial"):
            return random.poisson(3, size=shape).astype(float)
        if self.classes:
            return random.integers(self.classes, size=shape).astype(float)
        if self.kind == "categorical":
            size = self.columns // self.groups
            return np.eye(size)[random.integers(size, size=(rows, self.groups))].reshape(shape)
        return random.normal(size=shape) * 2

    def surprise(self, x: A, truth: A, learned: A | None = None) -> A:
        """-log p of every column (of a group: in its first column), (rows, columns), from x (rows, values)."""
        with np.errstate(all="ignore"):
            found = self._surprise(x.astype(float), truth.astype(float), learned)
        return np.where(np.isnan(truth), 0, found)

    def _surprise(self, x: A, t: A, learned: A | None) -> A:
        n = self.columns
        if self.kind == "categorical":
            return self._categorical(x, t)
        log_spread = np.asarray(0.0)
        if self.spread == "value":
            log_spread = bounded(x[:, n:], self.limit)
        elif learned is not None:
            log_spread = bounded(np.asarray(learned, float), self.limit)
        sigma, r = np.exp(log_spread / 2), np.exp(log_spread)
        if learned is None and self.spread not in ("value", "optimal"):
            sigma = r = np.asarray(float(self.spread))
        x = x[:, :n]
        z = (t - x) / sigma
        if self.kind == "bernoulli":
            return np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x)))
        if self.kind == "gaussian":
            return z**2 / 2 + np.log(sigma) + math.log(2 * math.pi) / 2
        if self.kind == "laplace":
            return np.abs(z) + np.log(2 * sigma)
        if self.kind == "student_t":
            norm = math.lgamma(self.nu / 2) - math.lgamma((self.nu + 1) / 2) + math.log(self.nu * math.pi) / 2
            return norm + np.log(sigma) + (self.nu + 1) / 2 * np.log1p(z**2 / self.nu)
        log_mean = bounded(x, 30)
        mean, known = np.exp(log_mean), np.nan_to_num(t)
        if self.kind == "poisson":
            return mean - t * log_mean + lgamma(known + 1)
        return (
            lgamma(r + 0 * known)
            + lgamma(known + 1)
            - lgamma(known + r)
            + r * np.log1p(mean / r)
            + t * (np.log(r + mean) - log_mean)
        )

    def _categorical(self, x: A, t: A) -> A:
        rows = len(x)
        if self.classes:
            log_p = log_softmax(x.reshape(rows, self.columns, self.classes))
            codes = np.nan_to_num(t).astype(int)
            return -np.take_along_axis(log_p, codes[:, :, None], axis=2)[:, :, 0]
        log_p = log_softmax(x.reshape(rows, self.groups, -1))
        grouped = t.reshape(log_p.shape)
        missing = np.isnan(grouped).any(axis=2, keepdims=True)
        return np.where(missing, 0, -np.nan_to_num(grouped) * log_p).reshape(rows, -1)

    def mean(self, x: A) -> A:
        x, n, rows = x.astype(float), self.columns, len(x)
        if self.kind == "bernoulli":
            return 1 / (1 + np.exp(-x))
        if self.kind in ("poisson", "negative_binomial"):
            return np.exp(bounded(x[:, :n], 30))
        if self.classes:
            return x.reshape(rows, n, self.classes).argmax(axis=2).astype(float)
        if self.kind == "categorical":
            return np.exp(log_softmax(x.reshape(rows, self.groups, -1))).reshape(rows, n)
        return x[:, :n]


def spread_keys(name: str, value: str) -> dict[str, str]:
    return {"keys": f"{name}={value}\n", "spread": value}


HEADS: dict[str, Head] = {
    "bernoulli": Head("bernoulli"),
    **{
        f"{kind}, sigma={value}": Head(kind, **spread_keys("sigma", value))  # type: ignore[arg-type]
        for kind in ("gaussian", "laplace", "student_t")
        for value in ("0.7", "learned", "column", "value")
    },
    "gaussian": Head("gaussian"),
    "gaussian, sigma=optimal": Head("gaussian", **spread_keys("sigma", "optimal")),  # type: ignore[arg-type]
    "student_t, nu=1.5": Head("student_t", keys="nu=1.5\n", nu=1.5),
    "poisson": Head("poisson"),
    "negative_binomial": Head("negative_binomial", spread="column"),
    **{
        f"negative_binomial, dispersion={value}": Head("negative_binomial", **spread_keys("dispersion", value))  # type: ignore[arg-type]
        for value in ("2.5", "learned", "value")
    },
    **{  # far below what the tests' numbers reach
        f"{kind}, {name}={value}, limit": Head(kind, keys=f"{name}={value}\nlog_variance_limit=0.25\n", spread=value, limit=0.25)
        for kind, name, value in (
            ("gaussian", "sigma", "value"),
            ("student_t", "sigma", "column"),
            ("laplace", "sigma", "learned"),
            ("negative_binomial", "dispersion", "value"),
            ("negative_binomial", "dispersion", "learned"),
        )
    },
    "categorical": Head("categorical", columns=4),
    "categorical, groups=2": Head("categorical", keys="groups=2\n", columns=6, groups=2),
    "categorical, classes=5": Head("categorical", keys="classes=5\n", columns=2, classes=5),
}
"""One of each type and source of its spread."""


def coded(kinds: str, rows: int, random: np.random.Generator, missing: float = 0.1) -> A:
    """Rows of [columns] with these kinds, some of whose values are missing."""
    columns = []
    for kind in kinds.split(","):
        if kind == "number":
            columns.append(random.normal(size=rows))
        else:
            columns.append(random.integers(2 if kind == "yes_no" else int(kind.split(":")[1]), size=rows).astype(float))
    x = np.stack(columns, axis=1)
    x[random.random(x.shape) < missing] = np.nan
    return x.astype(np.float32)


def several(heads: list[Head]) -> str:
    """[cost] layers that share an output, with their columns of the truth one after another."""
    text, at = "", 0
    for head in heads:
        text += head.text + f"columns={at}-{at + head.columns - 1}\n"
        at += head.columns
    return text


def head_of(keys: dict[str, str], columns: int) -> Head:
    """From the keys of a [cost] section."""
    kind = keys["type"]
    spread = keys.get("dispersion", "column") if kind == "negative_binomial" else keys.get("sigma", "1")
    return Head(
        kind,
        columns=columns,
        spread=spread,
        nu=float(keys.get("nu", 4)),
        classes=int(keys.get("classes", 0)),
        groups=int(keys.get("groups", 1)),
        limit=float(keys.get("log_variance_limit", 10)),
    )


KINDS = {head.kind for head in HEADS.values()}
