"""Estimators in scikit-learn's conventions: `VAE`, `Autoencoder`, `VAEDetector`. docs/sklearn.md shows them at work."""

from __future__ import annotations

import math
import numbers
import os
import secrets
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from . import errors

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, OutlierMixin, TransformerMixin
    from sklearn.utils._param_validation import Interval, StrOptions
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
except ImportError as reason:
    raise errors.MissingPackageError(
        f"the estimators need scikit-learn 1.6 or later ({reason}): pip install 'darknet-vae[sklearn]'"
    ) from None

from ._lib import Array, Path, matrix
from .codings import Columns, Matrix, Scaling, are_numbers, count_rows, first_gap, is_rows, library_of, quantiles, take_rows
from .network import Network
from .row_weights import as_often, copies
from .tables import Frame, Schema
from .training import History

__all__ = ["VAE", "Autoencoder", "VAEDetector"]

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
    "columns": "type=columns\nsigma=column",
    "columns_laplace": f"type=columns\nnumbers=laplace\nsigma=column\n{_FAST}",
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


class _Counted(NamedTuple):
    """Rows to be trained on. weights: how much each counts, None: all the same. once: the rows before any was repeated."""

    X: Any
    weights: npt.NDArray[np.float64] | None
    once: Any


def _connected(output: int, activation: str) -> str:
    return f"[connected]\noutput={output}\nactivation={activation}\n"


@dataclass(frozen=True)
class _Usual:
    """What an estimator does where its parameters leave it open."""

    hidden: tuple[int, ...] = (128, 64)
    activation: str = "relu"
    latents: float = 0.5  # of the columns
    most_latents: int = 16
    beta: float = 1.0
    likelihood: str = "gaussian"
    scaling: str = "standard"
    prior: str = "normal"
    learning_rate: float = 2e-3
    cosine: bool = True
    warmup: float = 0.3  # of the updates, in which beta rises from 0
    batch: tuple[int, int] = (32, 128)  # of tables below and from 2,000 rows on, which have updates enough
    epochs: int = 200
    updates: tuple[int, int, int] = (1, 1, 3000)  # at least, below and from 500 rows on; at most
    draws: int = 16  # of z, for the ELBO of a row

    def latent(self, d: int) -> int:
        return min(self.most_latents, max(1, int(self.latents * d)))


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What the three have in common: parameters, coding, training."""

    _variational = True
    _of_matrices = _Usual()
    _of_tables = _Usual(
        hidden=(128, 128), latents=1.0, likelihood="columns", scaling="quantiles", prior="mixture", batch=(128, 128), epochs=30,
        updates=(1500, 5000, 20000),
    )  # fmt: skip
    _numbers_are_a_matrix = False  # also those in a data frame

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 - scikit-learn's name and form
        "latent": [Interval(numbers.Integral, 1, None, closed="left"), None],
        "hidden": ["array-like", Interval(numbers.Integral, 1, None, closed="left"), None],
        "activation": [str, None],
        "prior": [StrOptions({"normal", "mixture"}), None],
        "beta": [Interval(numbers.Real, 0, None, closed="left"), None],
        "likelihood": [StrOptions({*_CONTINUOUS, "bernoulli", "sse"}), None],
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
        beta: float | None = None, prior: str | None = None, likelihood: str | None = None, scaling: str | None = "auto",
        batch_size: int | None = None, learning_rate: float | None = None, max_epochs: int | None = None,
        early_stopping: bool = False, validation_fraction: float = 0.1, n_iter_no_change: int = 10, tol: float = 1e-4,
        warm_start: bool = False, missing: str | bool = "auto", cfg: Path | None = None, device: str = "auto",
        threads: int | None = None, verbose: bool = False, random_state: RandomState = None,
    ) -> None:  # fmt: skip
        self.latent = latent
        self.hidden = hidden
        self.activation = activation
        self.beta = beta
        self.prior = prior
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

    def _is_table(self, X: Any) -> bool:
        """Are the columns of X to be learned by a schema, rather than being those of a matrix?"""
        if library_of(X) is None:
            return False
        if self._conditions() is not None and (self.likelihood is not None or self.scaling != "auto"):
            raise ValueError("condition= is for tables whose columns are learned: leave likelihood and scaling out")
        simple = self._numbers_are_a_matrix or self.likelihood is not None or self.scaling != "auto" or self.cfg is not None
        if not simple or not are_numbers(X):
            for name, usual in (("likelihood", None), ("scaling", "auto")):
                if getattr(self, name) != usual:
                    raise ValueError(f"{name}={getattr(self, name)!r} is for numbers; the columns of this table have their own")
            return True
        return False

    def _read(self, X: Any, gaps: bool | None = None) -> Any:
        """X as the fitted estimator takes it. gaps: missing cells are accepted; None: as `missing` says."""
        check_is_fitted(self)
        return self._table(X, gaps=gaps) if isinstance(self._coding, Columns) else self._matrix(X, gaps=gaps)

    def _table(self, X: Any, reset: bool = False, gaps: bool | None = None) -> Any:
        """A table, as it is; the columns of a matrix get the names of those of `fit`."""
        if library_of(X) is None:
            X = self._matrix(X, reset, gaps)
            return dict(zip((column.name for column in cast(Columns, self._coding).schema.columns), X.T, strict=True))
        names = [str(name) for name in (X.column_names if hasattr(X, "column_names") else X.columns)]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"X has two columns with the name {twice!r}")
        validate_data(self, X, reset=reset, skip_check_array=True)
        if reset and library_of(X) != "pandas":  # earlier versions of scikit-learn do not see the names of others
            self.feature_names_in_ = np.array(names, object)
        if not len(X):
            raise ValueError(f"Found a table with 0 rows, and {type(self).__name__} needs one at least")
        if self.missing is False and not gaps and (column := first_gap(X)) is not None:
            raise ValueError(f"Input X contains NaN, in column {column!r}; {type(self).__name__}(missing=True) accepts it.")
        return X

    def _matrix(self, X: Any, reset: bool = False, gaps: bool | None = None) -> Matrix:
        """X as numbers (rows, columns) of float32 or float64."""
        table = library_of(X) is not None
        try:
            X = validate_data(self, X, reset=reset, dtype=[np.float64, np.float32], ensure_all_finite=False)
        except ValueError as reason:
            if "could not convert string" in str(reason):
                raise ValueError(f"{reason}: an array is a matrix of numbers; a data frame may have words in it") from None
            raise
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

    # ---- the network

    @property
    def _usual(self) -> _Usual:
        return self._of_tables if isinstance(self._coding, Columns) else self._of_matrices

    def _hidden(self) -> list[int]:
        return _sizes(self._usual.hidden if self.hidden is None else self.hidden)

    def _default_latent(self, d: int) -> int:
        return self._usual.latent(d)

    def _layers(self, likelihood: str, updates: int) -> str:
        usual = self._usual
        activation, latent = self.activation or usual.activation, self.latent or self._default_latent(self._coding.modelled)
        there = [_connected(size, activation) for size in self._hidden()]
        back = [_connected(size, activation) for size in reversed(self._hidden())]
        middle = _connected(latent, "linear")
        if self._variational:  # [log-variance | mean]
            beta = usual.beta if self.beta is None else float(self.beta)
            warmup, prior = int(usual.warmup * updates), self.prior or usual.prior
            middle = _connected(2 * latent, "linear") + f"\n[sampling]\nbeta={beta!r}\n"
            middle += f"beta_warmup={warmup}\n" * (warmup > 0) + "prior=mixture\ncomponents=10\n" * (prior == "mixture")
            middle += self._coding.told
        cost = f"[cost]\n{_COSTS[likelihood]}\n"
        return "\n".join([self._coding.first, *there, middle, *back, _connected(self._coding.outputs, "linear"), cost])

    def _text(self, rows: int, likelihood: str) -> str:
        """The cfg that the keywords describe, of which `rows` rows are trained on."""
        usual = self._usual
        batch = self.batch_size or min(usual.batch[rows >= 2000], rows)
        updates = self._updates(rows, batch)
        net = {
            "inputs": self._coding.inputs, "batch": batch, "optimizer": "adam",
            "learning_rate": repr(float(self.learning_rate or usual.learning_rate)),
            "policy": "cosine" if usual.cosine else "constant", "decay": 0, "max_batches": updates,
        }  # fmt: skip
        lines = "".join(f"{key}={value}\n" for key, value in net.items())
        return f"[net]\n{lines}\n{self._layers(likelihood, updates)}"

    def _likelihood(self) -> str:
        return self.likelihood or self._usual.likelihood

    def _built(self, rows: int, gaps: bool) -> Network:
        """The network that the keywords describe."""
        likelihood = self._likelihood()
        if likelihood == "sse" and (gaps or self.missing is True):
            likelihood = "known_sse"
        network = Network._for(f"this {type(self).__name__}", self._text(rows, likelihood), **self._options())
        if isinstance(self._coding, Columns):
            self._coding.schema.give(network)
        return network

    def _options(self) -> dict[str, Any]:
        return {"seed": _seed(self.random_state), "device": self.device, "threads": self.threads}

    def _given(self) -> Network:
        """The network of the cfg."""
        for name in ("latent", "hidden", "activation", "likelihood", "prior", "condition"):
            if getattr(self, name, None) is not None:
                raise ValueError(f"{name}={getattr(self, name)!r} beside cfg=: the cfg says that; leave {name} out")
        given = {"net.learning_rate": self.learning_rate, "sampling.beta": getattr(self, "beta", None)}
        options = {**self._options(), "batch": self.batch_size}
        options["set"] = {key: value for key, value in given.items() if value is not None}
        source = os.fspath(cast(Path, self.cfg))
        if "\n" in source or source.lstrip().startswith("["):
            return Network(cfg_text=source, **options)
        return Network(cast(Any, source), **options)

    def _updates(self, rows: int, batch: int) -> int:
        """How many updates `rows` rows in batches of `batch` are trained for."""
        passes = (self.max_epochs or self._usual.epochs) * math.ceil(rows / batch)
        small, least, most = self._usual.updates
        return passes if self.max_epochs else max(small if rows < 500 else least, min(passes, most))

    def _again(self, rows: int) -> Network:
        """The network that is there, to be trained on: its parameters in a new one, whose schedules begin anew."""
        old = self.network_
        options: dict[str, Any] = {"seed": old.seed, "batch": old.batch, "device": self.device, "threads": self.threads}
        if self.cfg is None:
            options["set"] = {"net.max_batches": self._updates(rows, old.batch)}
            if self._variational:
                options["set"]["sampling.beta_warmup"] = 0
        return Network._from_model(old._bytes(training=False), options)

    def _count(self, X: Any, sample_weight: Any, network: Network | None, held: float) -> _Counted:
        """The rows of X that count, and how much: rows without weight are left out. Whole weights are copies of rows, so a
        fit with them is one of repeated rows. Rows that fit in one batch are sorted: their order decides nothing."""
        rows = count_rows(X)
        recurrent = network is not None and network._info().recurrent  # whose rows are steps, in their order
        weights, once = None, X
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, np.empty((rows, 1)), dtype=np.float64)
            if (weights < 0).any():
                row = int(np.argmax(weights < 0))
                raise ValueError(f"Negative values in sample_weight: {weights[row]:g} at row {row}; a row counts 0 or more")
            if not weights.any():
                raise ValueError(f"sample_weight: the weights of all {rows} rows are 0")
            index = np.arange(rows) if recurrent else np.flatnonzero(weights)
            if len(index) < rows:
                X = once = take_rows(X, index)
            weights = weights[index]
            often = None if recurrent or held else copies(weights)  # of rows held out, copies would be trained on
            if often is not None and len(often) > len(index):
                X = take_rows(X, often)
            if often is not None or (weights == weights[0]).all():
                weights = None
        batch = (self.batch_size or self._of_matrices.batch[0]) if network is None else network.batch
        if isinstance(X, np.ndarray) and len(X) <= batch and not recurrent:
            order = np.lexsort(X.T[::-1])
            X, weights = X[order], None if weights is None else weights[order]
        return _Counted(X, weights, once)

    def _start(self, X: Any, sample_weight: Any, held: float) -> tuple[_Counted, int]:
        """Learn how X is coded, and build the network: X as it is read, and how many rows are held out of the training."""
        network = None if self.cfg is None else self._given()
        table = self._is_table(X) if network is None else network.layers[0].type == "columns"
        if not table and self._conditions() is not None:
            raise ValueError(f"condition={self._conditions()!r} names columns of a data frame, and X is a matrix")
        X = self._table(X, reset=True) if table else self._matrix(X, reset=True)
        counted = self._count(X, sample_weight, network, held)
        X, weights, once = counted
        rows = count_rows(X)
        held_rows = math.floor(rows * held)
        if held and not held_rows:
            raise ValueError(f"early_stopping: validation_fraction={held} of {rows} rows is less than one row")
        if table:
            frame = Frame(X)
            self._coding: Scaling | Columns = self._columns(X, frame, network, None if once is X else Frame(once))
            X = frame
        else:
            scaling, divisor = self.scaling, 1.0
            if scaling == "auto" and network is not None:
                scaling, divisor = None, network.data_scale
            elif scaling == "auto":
                scaling = None if self.likelihood == "bernoulli" else self._of_matrices.scaling
            self._coding = Scaling(scaling, X, divisor, weights)
        if network is None:
            network = self._built(rows - held_rows, not table and bool(np.isnan(X).any()))
        if network.inputs != self._coding.inputs:
            name, inputs = type(self).__name__, network.inputs
            raise ValueError(
                f"X has {self.n_features_in_} features, but the cfg of {name} is expecting {inputs} features as input"
            )
        self.network_, self.history_ = network, History()
        return _Counted(X, weights, once), held_rows

    def _columns(self, X: Any, frame: Frame, network: Network | None, once: Frame | None) -> Columns:
        """once: the rows without their copies, which alone show that a column is different in every row."""
        if network is not None:
            from .typed import learn

            learn(network, frame)
            return Columns(cast(Schema, network.schema), X)
        options: dict[str, Any] = {"coding": self._of_tables.scaling, "condition": self._conditions()}
        options["as_number"] = "*" if self._numbers_are_a_matrix else None
        if once is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = Schema.learn(once, **options)
            if any(column.kind == "identifier" for column in found.columns):
                frame = once
        return Columns(Schema.learn(frame, **options), X)

    def _conditions(self) -> list[str] | None:
        """The columns that `condition` names."""
        names = getattr(self, "condition", None)
        return names if names is None else [names] if isinstance(names, str) else [str(name) for name in names] or None

    def _fit(self, X: Any, X_valid: Any, sample_weight: Any = None) -> tuple[Any, npt.NDArray[np.float64] | None]:
        """Train, and return X as it is read, of the rows that count, and how much each does (None: the same)."""
        self._validate_params()
        held = self.validation_fraction if self.early_stopping and X_valid is None else 0.0
        if self.warm_start and hasattr(self, "network_"):
            X, weights, _ = self._count(self._read(X), sample_weight, self.network_, held)
            x, truth = self._coding.rows(X)
            held_rows = math.floor(len(x) * held)
            self.network_ = self._again(len(x) - held_rows)
        else:
            (X, weights, _), held_rows = self._start(X, sample_weight, held)
            x, truth = self._coding.rows(X)
        options: dict[str, Any] = {} if weights is None else {"row_weight": weights}
        if X_valid is not None:
            valid, valid_truth = self._coding.rows(self._read(X_valid))
            if truth is not None or valid_truth is not None:
                truth = x if truth is None else truth
                options["valid"] = (valid, valid if valid_truth is None else valid_truth)
            else:
                options["valid"] = valid
        elif held_rows:
            options["holdout"] = held_rows / len(x)
        if self.early_stopping:
            options |= {"patience": self.n_iter_no_change, "min_delta": self.tol, "keep": "best"}
        try:
            self.network_.train(x, self.max_epochs, truth, progress=bool(self.verbose), history=self.history_, **options)
        finally:  # after Ctrl-C too: what was learned stays
            self.n_iter_ = len(self.history_.total_loss)
            self.loss_curve_ = list(self.history_.total_loss)
        return X, weights

    # ---- scores

    def _losses(self, X: Any) -> npt.NDArray[np.float64]:
        """How unusual every row is (rows,): minus its ELBO in nats, from the same draws of z for all rows; for sse, the total
        loss at the mean of z."""
        x, truth = self._coding.rows(X)
        if self.cfg is None and self._likelihood() == "sse":
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

    def fit(self, X: Any, y: Any = None, X_valid: Any = None, sample_weight: Any = None) -> Any:
        """Train on the rows of X; y is ignored. X_valid: rows for early_stopping, instead of validation_fraction of X.
        sample_weight (rows,): how much each row counts, 0 or more; a whole number is so many copies of the row."""
        self._fit(X, X_valid, sample_weight)
        return self

    def transform(self, X: Any) -> Matrix:
        """(rows, columns) -> (rows, latent): the mean of the latents of every row; float64 if X is a matrix of float64, else
        float32."""
        X = self._read(X)
        x, _ = self._coding.rows(X)
        dtype = np.float32 if isinstance(self._coding, Columns) else X.dtype
        return np.asarray(_in_parts(self.network_, lambda part: self.network_.encode(part)[0], x), dtype)

    def inverse_transform(self, X: Any, condition: Any = None) -> Any:
        """Latent vectors (rows, latent) -> the rows that the decoder expects from them, in the units of the training rows: an
        array (rows, columns), or a table like that of `fit`. condition: what a VAE(condition=...) is told, {"plan": "pro"} for
        all rows, or a table with those columns and a row for each."""
        check_is_fitted(self)
        z = np.asarray(X)
        dtype = np.float32 if z.dtype == np.float32 else np.float64
        z = matrix(z, self._n_features_out)
        return self._coding.decode(self._decode(z, self._coding.given(condition, len(z))), dtype)

    def _decode(self, z: Array, given: Array | None) -> Array:
        def decode(part: Array, condition: Array | None) -> Array:
            to = np.empty((len(part), self._coding.inputs), np.float32)
            return cast(Array, self.network_.sample(part, to, draw=False, condition=condition))

        return _in_parts(self.network_, decode, z, given)

    def _reconstruct(self, x: Array) -> Array:
        return _in_parts(self.network_, self.network_.reconstruct, x)

    def reconstruct(self, X: Any) -> Any:
        """`inverse_transform(transform(X))`: an array (rows, columns), or a table. The columns of `condition` are those of X."""
        if not self._told():
            return self.inverse_transform(self.transform(X))
        x, _ = self._coding.rows(self._read(X))
        z = _in_parts(self.network_, lambda part: self.network_.encode(part)[0], x)
        return self._coding.decode(self._decode(z, x))

    def _told(self) -> tuple[str, ...]:
        """The columns that the decoder is told."""
        check_is_fitted(self)
        return self._coding.conditions

    def sample(
        self, n_samples: int = 1, random_state: RandomState = None, condition: Any = None, gaps: bool = False
    ) -> Any:  # fmt: skip
        """New rows, drawn from the latents' distribution and the likelihood: an array (n_samples, columns), or a table like that
        of `fit`. condition: only rows of a table that are so, {"churn": "Yes"} or "churn=Yes,age>=40"; to a VAE(condition=...)
        also a table of the columns that it is told, and a row is drawn for each of its rows. gaps: with missing cells, as the
        table of `fit` had them."""
        check_is_fitted(self)
        seed, mixture = _seed(random_state), getattr(self, "mixture_", None)
        if isinstance(self._coding, Columns) and condition is not None and is_rows(condition):
            if gaps:
                raise ValueError("gaps=True beside a table as condition: its rows are drawn without missing cells")
            rows = count_rows(condition)
            if n_samples not in (1, rows) and rows != 1:
                raise ValueError(f"condition has {rows} rows, and n_samples={n_samples}: a row is drawn for each; leave it out")
            n = n_samples if rows == 1 else rows
            given = self._coding.given(condition, n)
            return self._coding.decode(
                self.network_.sample(n=n, seed=seed, prior=mixture, condition=cast(Any, given), codes=True)
            )
        if isinstance(self._coding, Columns):
            x = self.network_.sample(n=n_samples, seed=seed, prior=mixture, condition=condition, codes=True, gaps=gaps)
            return self._coding.decode(x)
        if condition is not None:
            raise ValueError(f"condition={condition!r} is about the columns of a table, and this was fitted on a matrix")
        if gaps:
            raise ValueError("gaps=True is about the columns of a table, and this was fitted on a matrix")
        z = self.network_.sample_latents(n_samples, seed, mixture)
        try:
            return self._coding.decode(self.network_.sample(z, seed=seed, draw=True))
        except errors.UsageError:  # the loss is no likelihood, to draw from
            return self._coding.decode(self.network_.sample(z))

    def score_samples(self, X: Any) -> npt.NDArray[np.float64]:
        """The ELBO of every row in nats (rows,), a lower bound of ln p(x), from the same draws of the latents for every row; for
        a matrix in its own units, for a table in those of the coded columns. For an Autoencoder ln p(x|z), and for sse minus the
        loss, which is no likelihood."""
        X = self._read(X)
        value = -self._losses(X)
        if self.cfg is None and self._likelihood() in _CONTINUOUS:
            value -= self._coding.nats(X)
        return value

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of `score_samples`; y is ignored."""
        return float(np.mean(self.score_samples(X)))

    def impute(self, X: Any) -> Any:
        """X with its missing cells filled with what the network expects there, other cells as they are."""
        return self._coding.impute(self.network_, self._read(X, gaps=True), self._reconstruct)


class VAE(_Transformer):
    """A variational autoencoder: latent vectors of rows, new rows, log-likelihoods, missing cells.

        vae = VAE(latent=2, random_state=0).fit(X)
        vae.transform(X), vae.sample(100, random_state=0), vae.score(X)

    Parameters
    ----------
    latent : int, default=None
        Size of the latent space. None: half the columns of a matrix, all of a table, at most 16.
    hidden : sequence of int, default=None
        Sizes of the encoder's hidden layers; the decoder has them in reverse. None: (128, 64), for tables (128, 128).
    activation : str, default=None
        Of the hidden layers, any that docs/cfg.md names. None: "relu".
    condition : list of str, default=None
        Columns of a table that encoder and decoder are told and that no loss models: the network then is one of the others given
        these, and `sample(n, condition={"churn": "Yes"})` needs no rejected rows.
    beta : float, default=None
        Weight of the KL. None: 1.
    prior : {"normal", "mixture"}, default=None
        Of the latents: N(0, 1), or a mixture of ten Gaussians that is trained with the network. None: "normal"; for tables
        "mixture".
    likelihood : {"gaussian", "laplace", "student_t", "bernoulli", "sse"}, default=None
        How the decoder models a column of a matrix (docs/objectives.md); the spread of the first three is learned for each
        column. None: "gaussian".
    scaling : {"auto", "standard", "robust"} or None, default="auto"
        What the network sees of a column of a matrix: (x - mean) / deviation, or (x - median) / interquartile range x 1.349,
        cut at 10. "auto":
        "standard"; for "bernoulli", whose values are 0 to 1, none; with a cfg, its data_scale. None: columns as they are.
    batch_size, learning_rate : default=None
        Rows of an update, and Adam's rate. None: 32 rows, from 2,000 rows on and in tables 128; 0.002 falling to 0 (a cosine).
    max_epochs : int, default=None
        Passes over the rows. None: 200, but not more than 3,000 updates; for tables 30, but 5,000 (below 500 rows: 1,500) to
        20,000 updates.
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

    References: Kingma and Welling, arXiv:1312.6114; Rezende, Mohamed and Wierstra, arXiv:1401.4082; with `condition`, Sohn, Lee
    and Yan, Learning structured output representation using deep conditional generative models, NIPS 2015.
    """

    _parameter_constraints = {**_Estimator._parameter_constraints, "condition": ["array-like", str, None]}  # noqa: RUF012

    def __init__(
        self, latent: int | None = None, *, condition: str | Sequence[str] | None = None,
        hidden: int | Sequence[int] | None = None, activation: str | None = None, beta: float | None = None,
        prior: str | None = None, likelihood: str | None = None, scaling: str | None = "auto", batch_size: int | None = None,
        learning_rate: float | None = None, max_epochs: int | None = None, early_stopping: bool = False,
        validation_fraction: float = 0.1, n_iter_no_change: int = 10, tol: float = 1e-4, warm_start: bool = False,
        missing: str | bool = "auto", cfg: Path | None = None, device: str = "auto", threads: int | None = None,
        verbose: bool = False, random_state: RandomState = None,
    ) -> None:  # fmt: skip
        super().__init__(
            latent, hidden=hidden, activation=activation, beta=beta, prior=prior, likelihood=likelihood, scaling=scaling,
            batch_size=batch_size, learning_rate=learning_rate, max_epochs=max_epochs, early_stopping=early_stopping,
            validation_fraction=validation_fraction, n_iter_no_change=n_iter_no_change, tol=tol, warm_start=warm_start,
            missing=missing, cfg=cfg, device=device, threads=threads, verbose=verbose, random_state=random_state,
        )  # fmt: skip
        self.condition = condition


class Autoencoder(_Transformer):
    """An autoencoder: a `VAE` without noise and prior. `sample` draws latents from a mixture of Gaussians, `mixture_`, that is
    fitted to those of the training rows; `score` is the mean of ln p(x|z), with z the code of x.

        Autoencoder(latent=2, random_state=0).fit(X).transform(X)

    Parameters
    ----------
    latent : int, default=None
        Size of the latent space. None: half the columns of a matrix, all of a table, at most 16.
    hidden : sequence of int, default=None
        Sizes of the encoder's hidden layers; the decoder has them in reverse. None: (128, 64), for tables (128, 128).
    activation : str, default=None
        Of the hidden layers, any that docs/cfg.md names. None: "relu".
    likelihood : {"gaussian", "laplace", "student_t", "bernoulli", "sse"}, default=None
        How the decoder models a column of a matrix (docs/objectives.md); the spread of the first three is learned for each
        column. None: "gaussian".
    scaling : {"auto", "standard", "robust"} or None, default="auto"
        What the network sees of a column of a matrix: (x - mean) / deviation, or (x - median) / interquartile range x 1.349,
        cut at 10. "auto":
        "standard"; for "bernoulli", whose values are 0 to 1, none; with a cfg, its data_scale. None: columns as they are.
    batch_size, learning_rate : default=None
        Rows of an update, and Adam's rate. None: 32 rows, from 2,000 rows on and in tables 128; 0.002 falling to 0 (a cosine).
    max_epochs : int, default=None
        Passes over the rows. None: 200, but not more than 3,000 updates; for tables 30, but 5,000 (below 500 rows: 1,500) to
        20,000 updates.
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
        return min(super()._default_latent(d), d - 1, *self._hidden())

    def _text(self, rows: int, likelihood: str) -> str:
        d = self._coding.inputs
        if d < 2:
            raise ValueError(f"an Autoencoder finds fewer numbers than there are features, and here n_features = {d}: it takes 2")
        if self.latent is not None and (self.latent >= d or self.latent > min(self._hidden(), default=d)):
            raise ValueError(f"latent={self.latent}: it must be below the {d} features, and not above the hidden sizes")
        return super()._text(rows, likelihood)

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
        del self.beta, self.prior

    def _fit(self, X: Any, X_valid: Any, sample_weight: Any = None) -> tuple[Any, npt.NDArray[np.float64] | None]:
        X, weights = super()._fit(X, X_valid, sample_weight)
        x, _ = self._coding.rows(X)
        if weights is not None:
            x = x[as_often(weights)]
        self.mixture_ = self.network_.fit_mixture(x, min(10, len(x)), seed=self.network_.seed)  # a prior to draw from
        return X, weights


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
    prior : {"normal", "mixture"}, default=None
        Of the latents: N(0, 1), or a mixture of ten Gaussians that is trained with the network. None: "normal".
    likelihood : {"gaussian", "laplace", "student_t", "bernoulli", "sse"}, default=None
        How the decoder models a column of a matrix (docs/objectives.md); the spread of the first three is learned for each
        column. None: "laplace".
    scaling : {"auto", "standard", "robust"} or None, default="auto"
        What the network sees of a column of a matrix: (x - mean) / deviation, or (x - median) / interquartile range x 1.349,
        cut at 10. "auto":
        "robust"; for "bernoulli", whose values are 0 to 1, none; with a cfg, its data_scale. None: columns as they are.
    batch_size, learning_rate : default=None
        Rows of an update, and Adam's rate. None: 64 rows, and 0.001.
    max_epochs : int, default=None
        Passes over the rows. None: 20, but 300 to 6,000 updates.
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

    _of_matrices = _Usual(
        hidden=(64, 32), activation="tanh", latents=1.0, most_latents=32, beta=0.5, likelihood="laplace", scaling="robust",
        learning_rate=1e-3, cosine=False, warmup=0.0, batch=(64, 64), epochs=20, updates=(300, 300, 6000), draws=4,
    )  # fmt: skip
    _of_tables = replace(_of_matrices, likelihood="columns_laplace")
    _numbers_are_a_matrix = True
    _parameter_constraints = {  # noqa: RUF012
        **_Estimator._parameter_constraints,
        "contamination": [StrOptions({"auto"}), Interval(numbers.Real, 0, 0.5, closed="right")],
    }

    def __init__(
        self, latent: int | None = None, *, contamination: float | str = 0.1, hidden: int | Sequence[int] | None = None,
        activation: str | None = None, beta: float | None = None, prior: str | None = None, likelihood: str | None = None,
        scaling: str | None = "auto", batch_size: int | None = None, learning_rate: float | None = None,
        max_epochs: int | None = None, early_stopping: bool = False, validation_fraction: float = 0.1,
        n_iter_no_change: int = 10, tol: float = 1e-4, warm_start: bool = False, missing: str | bool = "auto",
        cfg: Path | None = None, device: str = "auto", threads: int | None = None, verbose: bool = False,
        random_state: RandomState = None,
    ) -> None:  # fmt: skip
        super().__init__(
            latent, hidden=hidden, activation=activation, beta=beta, prior=prior, likelihood=likelihood, scaling=scaling,
            batch_size=batch_size, learning_rate=learning_rate, max_epochs=max_epochs, early_stopping=early_stopping,
            validation_fraction=validation_fraction, n_iter_no_change=n_iter_no_change, tol=tol, warm_start=warm_start,
            missing=missing, cfg=cfg, device=device, threads=threads, verbose=verbose, random_state=random_state,
        )  # fmt: skip
        self.contamination = contamination

    def fit(self, X: Any, y: Any = None, X_valid: Any = None, sample_weight: Any = None) -> VAEDetector:
        """Train on the rows of X; y is ignored. X_valid: rows for early_stopping, instead of validation_fraction of X.
        sample_weight (rows,): how much each row counts, 0 or more, in `offset_` too; a whole number is so many copies of the
        row."""
        X, weights = self._fit(X, X_valid, sample_weight)
        scores = -self._losses(X)
        if self.contamination == "auto":
            low, high = quantiles(scores, [25, 75], weights)
            self.offset_ = float(low - 1.5 * (high - low))
        else:
            self.offset_ = float(quantiles(scores, 100 * float(self.contamination), weights))
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
        """(rows, columns): what each column adds to the loss of a row; higher is more unusual. Of a table, its coded columns:
        `network_.schema.coded` has their names."""
        x, truth = self._coding.rows(self._read(X))

        def parts(x: Array, truth: Array | None) -> Matrix:
            return self.network_.score_rows(x, truth, samples=self._usual.draws, contributions=True, same_draws=True)[1]

        return _in_parts(self.network_, parts, x, truth)
