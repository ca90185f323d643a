"""Estimators in scikit-learn's conventions: `VAE`, `Autoencoder`, `VAEDetector`. docs/sklearn.md shows them at work."""

from __future__ import annotations

import math
import numbers
import os
import secrets
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from . import errors

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, OutlierMixin, TransformerMixin
    from sklearn.utils._param_validation import Interval, StrOptions
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as reason:
    raise errors.MissingPackageError(
        f"the estimators need scikit-learn 1.6 or later ({reason}): pip install 'darknet-vae[sklearn]'"
    ) from None

from ._lib import Array, Path
from .network import History, Network

__all__ = ["VAE", "Autoencoder", "VAEDetector"]

Matrix = npt.NDArray[Any]
RandomState = int | np.random.RandomState | np.random.Generator | None

PART = 256
"""Rows that are computed at a time."""
_CONTINUOUS = ("gaussian", "laplace", "student_t")
"""Likelihoods that are densities, whose value depends on the unit of a column."""
# Adam moves the logarithm of a spread by no more than the rate in an update: at the network's own, that of a well-explained
# column would take thousands of them to come down from 1.
_FAST = "learning_rate=10"
_COSTS = {
    "gaussian": f"type=gaussian\nsigma=column\n{_FAST}",
    "laplace": f"type=laplace\nsigma=column\n{_FAST}",
    "student_t": f"type=student_t\nsigma=column\n{_FAST}",
    "bernoulli": "type=bernoulli",
    "sse": "type=sse",
    "known_sse": f"type=gaussian\nsigma={math.sqrt(0.5):.9g}",  # the same up to a constant, and takes missing values
}


def _seed(random_state: RandomState) -> int:
    """A seed of the core. numpy's global random state is neither read nor changed."""
    if random_state is None:
        return secrets.randbits(32)
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**32))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**32, dtype=np.uint64))
    if isinstance(random_state, numbers.Integral) and 0 <= int(random_state) < 2**64:
        return int(random_state)
    raise ValueError(
        f"random_state={random_state!r} is none of: a whole number from 0 on, a numpy.random.Generator or RandomState, None"
    )


class _Scaling:
    """How the numbers of a matrix become the network's and back: (x - centre) / scale, cut at `cut` on both sides. In double
    precision, so that columns of large numbers keep their digits."""

    def __init__(self, kind: str | None, X: Matrix, divisor: float = 1.0) -> None:
        d = X.shape[1]
        self.centre = np.zeros(d)
        self.scale = np.full(d, divisor)
        # What lies further out says nothing more, and would overflow in float32.
        self.cut = 10.0 if kind == "robust" else 1e6
        if kind is None:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of columns without a value
            gaps = bool(np.isnan(X).any())
            spread = (np.nanstd if gaps else np.std)(X, axis=0, dtype=np.float64)
            if kind == "robust":
                low, middle, high = (np.nanpercentile if gaps else np.percentile)(X, [25, 50, 75], axis=0)
                self.centre = np.asarray(middle, np.float64)
                inner = (np.asarray(high, np.float64) - low) / 1.349  # a normal column's deviation
                spread = np.where(inner > 0, inner, spread)
            else:
                self.centre = (np.nanmean if gaps else np.mean)(X, axis=0, dtype=np.float64)
        self.centre = np.nan_to_num(self.centre)
        # A constant column's deviation is what rounding left of it.
        self.scale = np.where(spread > 1e-12 * np.abs(self.centre), spread, 1.0)

    def code(self, X: Matrix) -> Array:
        """(rows, columns) float32; missing cells stay NaN."""
        x = (X - self.centre) / self.scale
        return np.ascontiguousarray(np.clip(x, -self.cut, self.cut, out=x), np.float32)

    def decode(self, x: Array, dtype: Any) -> Matrix:
        return np.ascontiguousarray(x * self.scale + self.centre, dtype)

    def nats(self, X: Matrix) -> npt.NDArray[np.float64]:
        """(rows,): what the log density of a row loses when it is one of X instead of one of the coded row."""
        return np.asarray(~np.isnan(X) @ np.log(self.scale), np.float64)


def _in_parts(network: Network, call: Callable[..., Matrix], *arrays: Matrix | None) -> Matrix:
    """call(*arrays) for parts of PART rows, the last one filled up with copies of its last row. Matrix products of different
    sizes add in different orders, so this makes what is computed of a row the same bits whatever other rows come with it."""
    if network._info().recurrent:  # whole sequences only, in which rows depend on those before
        return call(*arrays)
    rows = len(cast(Matrix, arrays[0]))
    found = []
    for at in range(0, rows, PART):
        parts = [None if array is None else array[at : at + PART] for array in arrays]
        short = PART - min(PART, rows - at)
        if short:
            parts = [None if part is None else np.concatenate([part, np.repeat(part[-1:], short, axis=0)]) for part in parts]
        found.append(call(*parts)[: PART - short])
    return found[0] if len(found) == 1 else np.concatenate(found)


def _sizes(hidden: int | Sequence[int]) -> list[int]:
    return [int(hidden)] if isinstance(hidden, numbers.Integral) else [int(size) for size in cast(Sequence[int], hidden)]


def _connected(output: int, activation: str) -> str:
    return f"[connected]\noutput={output}\nactivation={activation}\n"


@dataclass(frozen=True)
class _Usual:
    """What an estimator does where its parameters leave it open."""

    hidden: tuple[int, ...] = (128, 64)
    activation: str = "relu"
    most_latents: int = 16
    latents: float = 0.5  # of the columns
    beta: float = 1.0
    likelihood: str = "gaussian"
    scaling: str = "standard"
    learning_rate: float = 2e-3
    cosine: bool = True
    warmup: float = 0.3  # of the updates, in which beta rises from 0
    batch: tuple[int, int] = (32, 128)  # of tables below and from 2,000 rows on, which have updates enough
    epochs: int = 200
    updates: tuple[int, int] = (1, 3000)  # at least, at most
    draws: int = 16  # of z, for the ELBO of a row

    def latent(self, d: int) -> int:
        return min(self.most_latents, max(1, int(self.latents * d)))


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What the three have in common: parameters, coding, training."""

    _variational = True
    _usual = _Usual()

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 - scikit-learn's name and form
        "latent": [Interval(numbers.Integral, 1, None, closed="left"), None],
        "hidden": ["array-like", Interval(numbers.Integral, 1, None, closed="left"), None],
        "activation": [str, None],
        "beta": [Interval(numbers.Real, 0, None, closed="left"), None],
        "likelihood": [StrOptions(set(_COSTS) - {"known_sse"}), None],
        "scaling": [StrOptions({"auto", "standard", "robust"}), None],
        "batch_size": [Interval(numbers.Integral, 1, None, closed="left"), None],
        "learning_rate": [Interval(numbers.Real, 0, None, closed="neither"), None],
        "max_epochs": [Interval(numbers.Integral, 1, None, closed="left"), None],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(numbers.Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(numbers.Integral, 1, None, closed="left")],
        "tol": [Interval(numbers.Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "missing": [StrOptions({"auto"}), "boolean"],
        "cfg": [str, os.PathLike, None],
        "device": [str],
        "threads": [Interval(numbers.Integral, 1, None, closed="left"), None],
        "verbose": ["verbose"],
    }

    network_: Network
    history_: History
    n_features_in_: int

    def __init__(
        self, latent: int | None = None, *, hidden: int | Sequence[int] | None = None, activation: str | None = None,
        beta: float | None = None, likelihood: str | None = None, scaling: str | None = "auto", batch_size: int | None = None,
        learning_rate: float | None = None, max_epochs: int | None = None, early_stopping: bool = False,
        validation_fraction: float = 0.1, n_iter_no_change: int = 10, tol: float = 1e-4, warm_start: bool = False,
        missing: str | bool = "auto", cfg: Path | None = None, device: str = "auto", threads: int | None = None,
        verbose: bool = False, random_state: RandomState = None,
    ) -> None:  # fmt: skip
        self.latent = latent
        self.hidden = hidden
        self.activation = activation
        self.beta = beta
        self.likelihood = likelihood
        self.scaling = scaling
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.missing = missing
        self.cfg = cfg
        self.device = device
        self.threads = threads
        self.verbose = verbose
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing is True
        return tags

    # ---- rows in

    def _read(self, X: Any, reset: bool = False, gaps: bool | None = None) -> Matrix:
        """X as numbers (rows, columns) of float32 or float64. gaps: missing cells are accepted; None: as `missing` says."""
        if not reset:
            check_is_fitted(self)
        table = hasattr(X, "columns")
        X = validate_data(self, X, reset=reset, dtype=[np.float64, np.float32], ensure_all_finite=False)
        accepted = (table if self.missing == "auto" else bool(self.missing)) if gaps is None else gaps
        wrong = np.isinf(X) if accepted else ~np.isfinite(X)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            names = getattr(self, "feature_names_in_", None)
            where = f"column {column}" + ("" if names is None else f" ({names[column]!r})")
            value = "infinity" if np.isinf(X[row, column]) else "NaN"
            remedy = "" if value == "infinity" else f"; {type(self).__name__}(missing=True) accepts missing cells"
            raise ValueError(f"Input X contains {value}, in {where}, row {row}{remedy}.")
        return cast(Matrix, X)

    def _code(self, X: Matrix) -> tuple[Array, Array | None]:
        """The network's rows, missing cells at the centre, and the truth if that is another: with NaN where cells are missing."""
        x = self._coding.code(X)
        gone = np.isnan(x)
        if not gone.any():
            return x, None
        return np.where(gone, np.float32(0), x), x

    # ---- the network

    def _hidden(self) -> list[int]:
        return _sizes(self._usual.hidden if self.hidden is None else self.hidden)

    def _default_latent(self, d: int) -> int:
        return self._usual.latent(d)

    def _layers(self, d: int, likelihood: str, updates: int) -> str:
        activation = self.activation or self._usual.activation
        latent = self.latent or self._default_latent(d)
        there = [_connected(size, activation) for size in self._hidden()]
        back = [_connected(size, activation) for size in reversed(self._hidden())]
        middle = [_connected(latent, "linear")]
        if self._variational:  # [log-variance | mean]
            beta = self._usual.beta if self.beta is None else float(self.beta)
            warmup = int(self._usual.warmup * updates)
            middle = [_connected(2 * latent, "linear"), f"[sampling]\nbeta={beta!r}\n" + f"beta_warmup={warmup}\n" * (warmup > 0)]
        return "\n".join([*there, *middle, *back, _connected(d, "linear"), f"[cost]\n{_COSTS[likelihood]}\n"])

    def _text(self, d: int, rows: int, likelihood: str) -> str:
        """The cfg that the keywords describe, for d columns of which `rows` rows are trained on."""
        usual = self._usual
        batch = self.batch_size or min(usual.batch[rows >= 2000], rows)
        updates = self._updates(rows, batch)
        net = {
            "inputs": d, "batch": batch, "optimizer": "adam",
            "learning_rate": repr(float(self.learning_rate or usual.learning_rate)),
            "policy": "cosine" if usual.cosine else "constant", "decay": 0, "max_batches": updates,
        }  # fmt: skip
        lines = "".join(f"{key}={value}\n" for key, value in net.items())
        return f"[net]\n{lines}\n{self._layers(d, likelihood, updates)}"

    def _built(self, d: int, rows: int, gaps: bool) -> Network:
        options: dict[str, Any] = {"seed": _seed(self.random_state), "device": self.device, "threads": self.threads}
        if self.cfg is None:
            likelihood = self.likelihood or self._usual.likelihood
            if likelihood == "sse" and (gaps or self.missing is True):
                likelihood = "known_sse"
            return Network(cfg_text=self._text(d, rows, likelihood), **options)
        for name in ("latent", "hidden", "activation", "likelihood"):
            if getattr(self, name) is not None:
                raise ValueError(f"{name}={getattr(self, name)!r} beside cfg=: the cfg says that; leave {name} out")
        given = {"net.learning_rate": self.learning_rate, "sampling.beta": getattr(self, "beta", None)}
        options["set"] = {key: value for key, value in given.items() if value is not None}
        options["batch"] = self.batch_size
        source = os.fspath(self.cfg)
        if "\n" in source or source.lstrip().startswith("["):
            return Network(cfg_text=source, **options)
        return Network(source, **options)

    def _updates(self, rows: int, batch: int) -> int:
        """How many updates `rows` rows in batches of `batch` are trained for."""
        passes = (self.max_epochs or self._usual.epochs) * math.ceil(rows / batch)
        least, most = self._usual.updates
        return passes if self.max_epochs else max(least, min(passes, most))

    def _again(self, rows: int) -> Network:
        """The network that is there, to be trained on: its parameters in a new one, whose schedules begin anew."""
        old = self.network_
        options = {"seed": old.seed, "batch": old.batch, "device": self.device, "threads": self.threads}
        if self.cfg is None:
            options["set"] = {"net.max_batches": self._updates(rows, old.batch)}
        return Network._from_model(old._bytes(training=False), options)

    def _fit(self, X: Any, X_valid: Any) -> Matrix:
        """Train, and return X as numbers."""
        self._validate_params()
        again = bool(self.warm_start) and hasattr(self, "network_")
        numbers_ = self._read(X, reset=not again)
        rows, d = numbers_.shape
        held = math.floor(rows * self.validation_fraction) if self.early_stopping and X_valid is None else 0
        if self.early_stopping and X_valid is None and held < 1:
            raise ValueError(
                f"early_stopping: validation_fraction={self.validation_fraction} of {rows} rows is less than one row"
            )
        if not again:
            network = self._built(d, rows - held, bool(np.isnan(numbers_).any()))
            if network.inputs != d:
                name, inputs = type(self).__name__, network.inputs
                raise ValueError(f"X has {d} features, but the cfg of {name} is expecting {inputs} features as input")
            scaling: str | None = self.scaling
            if scaling == "auto":
                scaling = None if self.cfg is not None or self.likelihood == "bernoulli" else self._usual.scaling
            divisor = network.data_scale if self.cfg is not None and self.scaling == "auto" else 1.0
            self._coding = _Scaling(scaling, numbers_, divisor)
            self.network_, self.history_, self._dtype = network, History(), numbers_.dtype
        else:
            self.network_ = self._again(rows - held)
        options: dict[str, Any] = {}
        if X_valid is not None:
            x, truth = self._code(self._read(X_valid))
            options["valid"] = x if truth is None else (x, truth)
        elif held:
            options["holdout"] = held / rows
        if self.early_stopping:
            options |= {"patience": self.n_iter_no_change, "min_delta": self.tol, "keep": "best"}
        x, truth = self._code(numbers_)
        if isinstance(options.get("valid"), tuple) and truth is None:
            truth = x
        elif truth is not None and X_valid is not None and not isinstance(options["valid"], tuple):
            options["valid"] = (options["valid"], options["valid"])
        try:
            self.network_.train(
                x, self.max_epochs, truth, progress=bool(self.verbose), history=self.history_, **options
            )  # fmt: skip
        finally:  # after Ctrl-C too: what was learned stays
            self.n_iter_ = len(self.history_.total_loss)
            self.loss_curve_ = list(self.history_.total_loss)
        return numbers_

    # ---- scores

    def _losses(self, X: Matrix) -> npt.NDArray[np.float64]:
        """How unusual every row is (rows,): minus its ELBO in nats, from the same draws of z for all rows; for sse, the total
        loss at the mean of z."""
        x, truth = self._code(X)
        if self.cfg is None and (self.likelihood or self._usual.likelihood) == "sse":
            return _in_parts(self.network_, self._totals, x, truth)
        return _in_parts(self.network_, partial(self.network_.score_rows, samples=self._usual.draws, same_draws=True), x, truth)

    def _totals(self, x: Array, truth: Array | None) -> npt.NDArray[np.float64]:
        return self.network_.row_losses(x, truth)["total_loss"].astype(np.float64)


class _Transformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, _Estimator):  # type: ignore[misc]
    """Latent vectors out, rows back."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.network_.latent_size

    def fit(self, X: Any, y: Any = None, X_valid: Any = None) -> Any:
        """Train on the rows of X; y is ignored. X_valid: rows for early_stopping, instead of validation_fraction of X."""
        self._fit(X, X_valid)
        return self

    def transform(self, X: Any) -> Matrix:
        """(rows, columns) -> (rows, latent): the mean of the latents of every row. float32 if X is, else float64."""
        X = self._read(X)
        x, _ = self._code(X)
        return np.asarray(_in_parts(self.network_, lambda part: self.network_.encode(part)[0], x), X.dtype)

    def inverse_transform(self, X: Any) -> Matrix:
        """Latent vectors (rows, latent) -> the rows (rows, columns) that the decoder expects from them, in the units of the
        training rows."""
        check_is_fitted(self)
        z = np.asarray(X)
        dtype = np.float32 if z.dtype == np.float32 else np.float64
        return self._coding.decode(_in_parts(self.network_, self.network_.sample, z), dtype)

    def reconstruct(self, X: Any) -> Matrix:
        """`inverse_transform(transform(X))`."""
        return self.inverse_transform(self.transform(X))

    def sample(self, n_samples: int = 1, random_state: RandomState = None) -> Matrix:
        """New rows (n_samples, columns), drawn from the latents' distribution and the likelihood."""
        check_is_fitted(self)
        options: dict[str, Any] = {"n": n_samples, "seed": _seed(random_state), "prior": getattr(self, "mixture_", None)}
        try:
            x = self.network_.sample(**options, draw=True)
        except errors.UsageError:  # the loss is no likelihood, to draw from
            x = self.network_.sample(**options)
        return self._coding.decode(x, self._dtype)

    def score_samples(self, X: Any) -> npt.NDArray[np.float64]:
        """The ELBO of every row in nats (rows,), a lower bound of ln p(x) in the units of X, from the same draws of the latents
        for every row. For an Autoencoder ln p(x|z), and for sse minus the loss, which is no likelihood."""
        X = self._read(X)
        value = -self._losses(X)
        if self.cfg is None and (self.likelihood or self._usual.likelihood) in _CONTINUOUS:
            value -= self._coding.nats(X)
        return value

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of `score_samples`; y is ignored."""
        return float(np.mean(self.score_samples(X)))

    def impute(self, X: Any) -> Matrix:
        """X with its missing cells filled with what the network expects there, other cells as they are."""
        X = self._read(X, gaps=True)
        x, known = self._code(X)
        if known is None:
            return np.array(X)
        gone = np.isnan(known)
        for _ in range(10):
            x[gone] = _in_parts(self.network_, self.network_.reconstruct, x)[gone]
        filled: Matrix = np.where(np.isnan(X), self._coding.decode(x, X.dtype), X)
        return filled


class VAE(_Transformer):
    """A variational autoencoder: latent vectors of rows, new rows, log-likelihoods, missing cells.

        vae = VAE(latent=2, random_state=0).fit(X)
        vae.transform(X), vae.sample(100, random_state=0), vae.score(X)

    Parameters
    ----------
    latent : int, default=None
        Size of the latent space. None: half the columns, at most 16.
    hidden : sequence of int, default=None
        Sizes of the encoder's hidden layers; the decoder has them in reverse. None: (128, 64).
    activation : str, default=None
        Of the hidden layers, any that docs/cfg.md names. None: "relu".
    beta : float, default=None
        Weight of the KL. None: 1.
    likelihood : {"gaussian", "laplace", "student_t", "bernoulli", "sse"}, default=None
        How the decoder models a column (docs/objectives.md); the spread of the first three is learned for each column. None:
        "gaussian".
    scaling : {"auto", "standard", "robust"} or None, default="auto"
        What the network sees of a column: (x - mean) / deviation, or (x - median) / interquartile range, cut at 10. "auto":
        "standard"; for "bernoulli", whose values are 0 to 1, none; with a cfg, its data_scale. None: columns as they are.
    batch_size, learning_rate : default=None
        Rows of an update, and Adam's rate. None: 32 rows, from 2,000 rows on 128, and 0.002 falling to 0 (a cosine).
    max_epochs : int, default=None
        Passes over the rows. None: 200, but not more than 3,000 updates.
    early_stopping : bool, default=False
        Hold out `validation_fraction` (0.1) of the rows, or take X_valid of `fit`; stop when their loss has not fallen by more
        than `tol` (1e-4) in `n_iter_no_change` (10) epochs, and keep the best epoch.
    warm_start : bool, default=False
        `fit` goes on with the network of the last `fit`, and with its scaling.
    missing : bool or "auto", default="auto"
        Are missing cells (NaN) accepted? They add nothing to the loss. "auto": in data frames.
    cfg : path or str, default=None
        A cfg file, or its text, instead of the keywords that describe a network; `beta`, `batch_size`, `learning_rate` and
        `max_epochs` replace what it says.
    device, threads : default="auto", None
        As for `Network`. The results do not depend on the number of threads.
    verbose : bool, default=False
        Show progress.
    random_state : int, numpy.random.Generator, numpy.random.RandomState or None, default=None
        Decides the first weights, noise and order of rows: the same int gives the same bits. None: another one every time.

    Attributes
    ----------
    network_ : Network
        The trained network; `network_.save("m.safetensors")` writes it. It works on the scaled columns.
    history_ : History
        Losses of every epoch by name; why the training ended.
    loss_curve_ : list of float
        The total loss of every epoch.
    n_iter_ : int
        Epochs.
    n_features_in_, feature_names_in_
        Number of columns, and their names if `fit` saw a data frame.

    References: Kingma and Welling, arXiv:1312.6114; Rezende, Mohamed and Wierstra, arXiv:1401.4082.
    """


class Autoencoder(_Transformer):
    """An autoencoder: a `VAE` without noise and prior. `sample` draws latents from a mixture of Gaussians, `mixture_`, that is
    fitted to those of the training rows; `score` is the mean of ln p(x|z), with z the code of x.

        Autoencoder(latent=2, random_state=0).fit(X).transform(X)

    Parameters
    ----------
    latent : int, default=None
        Size of the latent space. None: half the columns, at most 16.
    hidden : sequence of int, default=None
        Sizes of the encoder's hidden layers; the decoder has them in reverse. None: (128, 64).
    activation : str, default=None
        Of the hidden layers, any that docs/cfg.md names. None: "relu".
    likelihood : {"gaussian", "laplace", "student_t", "bernoulli", "sse"}, default=None
        How the decoder models a column (docs/objectives.md); the spread of the first three is learned for each column. None:
        "gaussian".
    scaling : {"auto", "standard", "robust"} or None, default="auto"
        What the network sees of a column: (x - mean) / deviation, or (x - median) / interquartile range, cut at 10. "auto":
        "standard"; for "bernoulli", whose values are 0 to 1, none; with a cfg, its data_scale. None: columns as they are.
    batch_size, learning_rate : default=None
        Rows of an update, and Adam's rate. None: 32 rows, from 2,000 rows on 128, and 0.002 falling to 0 (a cosine).
    max_epochs : int, default=None
        Passes over the rows. None: 200, but not more than 3,000 updates.
    early_stopping : bool, default=False
        Hold out `validation_fraction` (0.1) of the rows, or take X_valid of `fit`; stop when their loss has not fallen by more
        than `tol` (1e-4) in `n_iter_no_change` (10) epochs, and keep the best epoch.
    warm_start : bool, default=False
        `fit` goes on with the network of the last `fit`, and with its scaling.
    missing : bool or "auto", default="auto"
        Are missing cells (NaN) accepted? They add nothing to the loss. "auto": in data frames.
    cfg : path or str, default=None
        A cfg file, or its text, instead of the keywords that describe a network; `beta`, `batch_size`, `learning_rate` and
        `max_epochs` replace what it says.
    device, threads : default="auto", None
        As for `Network`. The results do not depend on the number of threads.
    verbose : bool, default=False
        Show progress.
    random_state : int, numpy.random.Generator, numpy.random.RandomState or None, default=None
        Decides the first weights, noise and order of rows: the same int gives the same bits. None: another one every time.

    Attributes
    ----------
    network_ : Network
        The trained network; `network_.save("m.safetensors")` writes it. It works on the scaled columns.
    history_ : History
        Losses of every epoch by name; why the training ended.
    loss_curve_ : list of float
        The total loss of every epoch.
    n_iter_ : int
        Epochs.
    n_features_in_, feature_names_in_
        Number of columns, and their names if `fit` saw a data frame.
    mixture_ : GaussianMixture
        Of the latents of the training rows.
    """

    _variational = False

    def _default_latent(self, d: int) -> int:
        return min(super()._default_latent(d), *self._hidden())

    def _text(self, d: int, rows: int, likelihood: str) -> str:
        if d < 2:
            raise ValueError(f"an Autoencoder finds fewer numbers than there are features, and here n_features = {d}: it takes 2")
        if self.latent is not None and (self.latent >= d or self.latent > min(self._hidden(), default=d)):
            raise ValueError(f"latent={self.latent}: it must be below the {d} features, and not above the hidden sizes")
        return super()._text(d, rows, likelihood)

    def __init__(
        self, latent: int | None = None, *, hidden: int | Sequence[int] | None = None, activation: str | None = None,
        likelihood: str | None = None, scaling: str | None = "auto", batch_size: int | None = None,
        learning_rate: float | None = None, max_epochs: int | None = None, early_stopping: bool = False,
        validation_fraction: float = 0.1, n_iter_no_change: int = 10, tol: float = 1e-4, warm_start: bool = False,
        missing: str | bool = "auto", cfg: Path | None = None, device: str = "auto", threads: int | None = None,
        verbose: bool = False, random_state: RandomState = None,
    ) -> None:  # fmt: skip
        super().__init__(
            latent, hidden=hidden, activation=activation, likelihood=likelihood, scaling=scaling, batch_size=batch_size,
            learning_rate=learning_rate, max_epochs=max_epochs, early_stopping=early_stopping,
            validation_fraction=validation_fraction, n_iter_no_change=n_iter_no_change, tol=tol, warm_start=warm_start,
            missing=missing, cfg=cfg, device=device, threads=threads, verbose=verbose, random_state=random_state,
        )  # fmt: skip
        del self.beta

    def _fit(self, X: Any, X_valid: Any) -> Matrix:
        numbers_ = super()._fit(X, X_valid)
        components = min(10, len(numbers_))  # a prior to draw from
        self.mixture_ = self.network_.fit_mixture(self._code(numbers_)[0], components, seed=self.network_.seed)
        return numbers_


class VAEDetector(OutlierMixin, _Estimator):  # type: ignore[misc]
    """Finds rows unlike the others, in scikit-learn's signs: higher scores are more normal.

        detector = VAEDetector(contamination=0.05, random_state=0).fit(X)
        detector.predict(X), detector.decision_function(X)

    Parameters
    ----------
    latent : int, default=None
        Size of the latent space. None: one for each column, at most 32.
    hidden : sequence of int, default=None
        Sizes of the encoder's hidden layers; the decoder has them in reverse. None: (64, 32).
    activation : str, default=None
        Of the hidden layers, any that docs/cfg.md names. None: "tanh".
    contamination : float in (0, 0.5] or "auto", default=0.1
        Fraction of the training rows that `predict` calls unusual. "auto": those whose score lies further below the lower
        quartile than 1.5 times the distance of the quartiles.
    beta : float, default=None
        Weight of the KL. None: 0.5.
    likelihood : {"gaussian", "laplace", "student_t", "bernoulli", "sse"}, default=None
        How the decoder models a column (docs/objectives.md); the spread of the first three is learned for each column. None:
        "student_t".
    scaling : {"auto", "standard", "robust"} or None, default="auto"
        What the network sees of a column: (x - mean) / deviation, or (x - median) / interquartile range, cut at 10. "auto":
        "robust"; for "bernoulli", whose values are 0 to 1, none; with a cfg, its data_scale. None: columns as they are.
    batch_size, learning_rate : default=None
        Rows of an update, and Adam's rate. None: 64 rows, and 0.001.
    max_epochs : int, default=None
        Passes over the rows. None: 50, but 150 to 6,000 updates.
    early_stopping : bool, default=False
        Hold out `validation_fraction` (0.1) of the rows, or take X_valid of `fit`; stop when their loss has not fallen by more
        than `tol` (1e-4) in `n_iter_no_change` (10) epochs, and keep the best epoch.
    warm_start : bool, default=False
        `fit` goes on with the network of the last `fit`, and with its scaling.
    missing : bool or "auto", default="auto"
        Are missing cells (NaN) accepted? They add nothing to the loss. "auto": in data frames.
    cfg : path or str, default=None
        A cfg file, or its text, instead of the keywords that describe a network; `beta`, `batch_size`, `learning_rate` and
        `max_epochs` replace what it says.
    device, threads : default="auto", None
        As for `Network`. The results do not depend on the number of threads.
    verbose : bool, default=False
        Show progress.
    random_state : int, numpy.random.Generator, numpy.random.RandomState or None, default=None
        Decides the first weights, noise and order of rows: the same int gives the same bits. None: another one every time.

    Attributes
    ----------
    network_ : Network
        The trained network; `network_.save("m.safetensors")` writes it. It works on the scaled columns.
    history_ : History
        Losses of every epoch by name; why the training ended.
    loss_curve_ : list of float
        The total loss of every epoch.
    n_iter_ : int
        Epochs.
    n_features_in_, feature_names_in_
        Number of columns, and their names if `fit` saw a data frame.
    offset_ : float
        The score below which a row is unusual: `decision_function` is `score_samples - offset_`.
    """

    _usual = _Usual(
        hidden=(64, 32), activation="tanh", most_latents=32, latents=1.0, beta=0.5, likelihood="student_t", scaling="robust",
        learning_rate=1e-3, cosine=False, warmup=0.0, batch=(64, 64), epochs=50, updates=(150, 6000), draws=4,
    )  # fmt: skip
    _parameter_constraints = {  # noqa: RUF012
        **_Estimator._parameter_constraints,
        "contamination": [StrOptions({"auto"}), Interval(numbers.Real, 0, 0.5, closed="right")],
    }

    def __init__(
        self, latent: int | None = None, *, contamination: float | str = 0.1, hidden: int | Sequence[int] | None = None,
        activation: str | None = None, beta: float | None = None, likelihood: str | None = None,
        scaling: str | None = "auto", batch_size: int | None = None, learning_rate: float | None = None,
        max_epochs: int | None = None, early_stopping: bool = False, validation_fraction: float = 0.1,
        n_iter_no_change: int = 10, tol: float = 1e-4, warm_start: bool = False, missing: str | bool = "auto",
        cfg: Path | None = None, device: str = "auto", threads: int | None = None, verbose: bool = False,
        random_state: RandomState = None,
    ) -> None:  # fmt: skip
        super().__init__(
            latent, hidden=hidden, activation=activation, beta=beta, likelihood=likelihood, scaling=scaling,
            batch_size=batch_size, learning_rate=learning_rate, max_epochs=max_epochs, early_stopping=early_stopping,
            validation_fraction=validation_fraction, n_iter_no_change=n_iter_no_change, tol=tol, warm_start=warm_start,
            missing=missing, cfg=cfg, device=device, threads=threads, verbose=verbose, random_state=random_state,
        )  # fmt: skip
        self.contamination = contamination

    def fit(self, X: Any, y: Any = None, X_valid: Any = None) -> VAEDetector:
        """Train on the rows of X; y is ignored. X_valid: rows for early_stopping, instead of validation_fraction of X."""
        numbers_ = self._fit(X, X_valid)
        scores = -self._losses(numbers_)
        if self.contamination == "auto":
            low, high = np.percentile(scores, [25, 75])
            self.offset_ = float(low - 1.5 * (high - low))
        else:
            self.offset_ = float(np.percentile(scores, 100 * float(self.contamination)))
        return self

    def score_samples(self, X: Any) -> npt.NDArray[np.float64]:
        """Minus the loss of every row (rows,): higher is more normal."""
        return -self._losses(self._read(X))

    def decision_function(self, X: Any) -> npt.NDArray[np.float64]:
        """score_samples(X) - offset_: negative for unusual rows."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """-1 for unusual rows, 1 for others."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def contributions(self, X: Any) -> Matrix:
        """(rows, columns): what each column adds to the loss of a row; higher is more unusual."""
        x, truth = self._code(self._read(X))

        def parts(x: Array, truth: Array | None) -> Matrix:
            return self.network_.score_rows(x, truth, samples=self._usual.draws, contributions=True, same_draws=True)[1]

        return _in_parts(self.network_, parts, x, truth)
