"""What a report computes of a network and rows, once."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from .. import errors
from .._lib import Array
from ..training_log import Columns, read_log
from .model import Model
from .rows import Rows

if TYPE_CHECKING:
    from ..evaluation import Evaluation
    from ..network import Network
    from ..synthetic_report import SyntheticReport

DRAWN = 2000  # rows that are drawn to compare them with real ones, and as many real ones
NEIGHBOURS = 2000  # rows between which nearest neighbours are searched
CELLS = 200_000_000  # differences of cells that are computed for distances


@dataclass
class Study:
    """`epochs`: of the log, the lines of whole epochs. What could not be computed is None, and `left_out` says why."""

    net: Network
    model: Model
    rows: Rows | None
    log: Columns | None
    seed: int
    k: int | None
    kept_epoch: int = 0
    epochs: Columns = field(default_factory=dict)
    evaluation: Evaluation | None = None
    mean: Array | None = None
    scores: npt.NDArray[np.float64] | None = None
    contributions: Array | None = None
    outputs: Array | None = None
    classes: list[str] = field(default_factory=list)
    drawn: dict[str, Any] | None = None
    real: dict[str, Any] | None = None
    counts: dict[str, Any] = field(default_factory=dict)  # a column with how much each of these rows counts, if that differs
    synthetic: SyntheticReport | None = None
    left_out: list[str] = field(default_factory=list)

    def attempt(self, what: str, compute: Any) -> Any:
        """What `compute` returns; None where it cannot be computed, which the page says."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return compute()
        except MemoryError:
            raise
        except errors.MissingPackageError:
            raise
        except Exception as reason:
            said = str(reason) if isinstance(reason, errors.DarknetError) else f"{type(reason).__name__}: {reason}"
            self.left_out.append(f"{what}: {said}")
            return None


def study(net: Network, model: Model, rows: Rows | None, log: Any, seed: int, k: int | None) -> Study:
    columns = None if log is None else read_log(log)
    found = Study(net, model, rows, columns, seed, k, kept_epoch=int(getattr(log, "kept_epoch", 0) or 0))
    if columns is not None:
        found.epochs = _whole_epochs(columns)
    if rows is not None and len(rows):
        if model.kind in ("classifier", "regression"):
            _supervised(found, rows)
        elif model.kind in ("vae", "autoencoder"):
            _rebuilt(found, rows)
    if model.kind == "vae" and model.shape is None:
        _new_rows(found, rows)
    return found


def _whole_epochs(log: Columns) -> Columns:
    done = log.get("epoch_done")
    return log if done is None else {name: values[done == 1] for name, values in log.items() if len(values) == len(done)}


# ---- networks that reconstruct their rows ----


def _rebuilt(s: Study, rows: Rows) -> None:
    net = s.net
    s.evaluation = s.attempt("the losses", lambda: net.evaluate(rows.x, k=s.k, latent=True, seed=s.seed, row_weight=rows.weights))
    if s.evaluation is not None and len(rows) < 2:  # a single row does not vary, whatever the latents are good for
        for name in ("active_units", "latent_mean_variance"):
            cast("dict[str, Any]", s.evaluation).pop(name, None)
    if net.latent_size:
        s.mean = s.attempt("the latent space", lambda: net.encode(rows.x)[0])
    found = s.attempt("scores", lambda: net.score_rows(rows.x, contributions=True, seed=s.seed))
    if found is not None:
        s.scores, s.contributions = found


# ---- networks with a truth of their own ----


def _supervised(s: Study, rows: Rows) -> None:
    net = s.net
    s.outputs = s.attempt("predictions", lambda: net.predict(rows.x))
    if rows.truth is None and rows.labels is not None and s.model.kind == "classifier":
        rows.truth = s.attempt("the truth", lambda: _one_hot(s, rows))
    elif s.model.kind == "classifier":
        s.classes = list(net.notes.classes)
    if rows.truth is None:
        where = "no column of labels" if s.model.kind == "classifier" else "no target columns"
        if not any(line.startswith("the truth") for line in s.left_out):
            s.left_out.append(f"how well predictions match: the rows have {where}")
        return
    truth = rows.truth
    s.evaluation = s.attempt("the losses", lambda: net.evaluate(rows.x, truth, row_weight=rows.weights))
    losses = s.attempt("the losses of rows", lambda: net.row_losses(rows.x, truth))
    s.scores = None if losses is None else losses["total_loss"].astype(np.float64)


def _one_hot(s: Study, rows: Rows) -> Array:
    from ..data import one_hot

    assert rows.labels is not None
    known = list(s.net.notes.classes) or None
    truth, s.classes = one_hot(rows.labels, known)
    if s.net.truths == 1 and truth.shape[1] == 2:  # one output says which of two
        truth = np.ascontiguousarray(truth[:, 1:])
    if truth.shape[1] != s.net.truths:
        raise errors.UsageError(f"{truth.shape[1]} different labels, but the network has {s.net.truths} classes")
    return truth


def neighbours(s: Study, k: int = 5) -> float | None:
    """The fraction of rows whose label is that of most of its five nearest neighbours in the latent space."""
    rows = s.rows
    if s.mean is None or rows is None or rows.labels is None:
        return None
    index = rows.index(NEIGHBOURS, s.seed)
    tags, z = rows.labels[index], s.mean[index].astype(np.float64)
    kinds, codes = np.unique(tags, return_inverse=True)
    if not 2 <= len(kinds) <= 50 or len(index) < 10 * k or len(kinds) > len(index) / 5:
        return None
    squares = (z**2).sum(1)
    far = squares[:, None] + squares[None, :] - 2 * z @ z.T
    np.fill_diagonal(far, np.inf)
    near = codes[np.argpartition(far, k, axis=1)[:, :k]]
    votes = np.zeros((len(index), len(kinds)))
    for column in range(k):
        np.add.at(votes, (np.arange(len(index)), near[:, column]), 1)
    return float((votes.argmax(1) == codes).mean())


# ---- new rows beside real ones ----


def _modelled(s: Study, rows: Rows) -> list[str]:
    schema = s.net.schema
    if schema is None:
        return list(rows.names)
    return [c.name for c in schema.columns if c.coded is not None and rows.cells is not None and c.name in rows.cells]


def _new_rows(s: Study, rows: Rows | None) -> None:
    """Draw rows of a table, or of numbers, and compare them with real ones."""
    net = s.net
    columns = net.inputs
    n = int(max(200, min(DRAWN, (CELLS / max(columns, 1)) ** 0.5)))
    if rows is not None:
        n = min(n, max(len(rows), 50))
    drawn = s.attempt("new rows", lambda: _draw(s, n, rows))
    if drawn is None:
        return
    s.drawn = drawn
    if rows is None or not len(rows):
        return
    names = [name for name in _modelled(s, rows) if name in drawn]
    index = rows.index(n, s.seed)
    s.real = rows.columns(names, index)
    if rows.weights is not None and rows.weights[index].any():
        s.counts = {"weight of the row": rows.weights[index]}
    s.drawn = {name: drawn[name] for name in names}
    if len(rows) < 10:
        s.left_out.append(f"the comparison of drawn and real rows: {len(rows)} row{'s are' if len(rows) != 1 else ' is'} too few")
        return

    def compare() -> Any:
        from ..synthetic_report import report_synthetic

        real = {**(s.real or {}), **s.counts}
        return report_synthetic(real, s.drawn, seed=s.seed, sdmetrics=False, row_weight=next(iter(s.counts), None))

    s.synthetic = s.attempt("the comparison of drawn and real rows", compare)


def _draw(s: Study, n: int, rows: Rows | None) -> dict[str, Any]:
    net = s.net
    if net.schema is not None:
        drawn = net.sample(n=n, seed=s.seed)
        return {str(name): np.asarray(drawn[name]) for name in drawn}
    own = s.model.nats and not (set(s.model.losses) & {"softmax", "logistic"})
    values = net.sample(n=n, seed=s.seed, draw=own or None)
    names = rows.names if rows is not None else [str(i) for i in range(values.shape[1])]
    scale = rows.scale if rows is not None else 1.0
    return {name: values[:, at].astype(np.float64) * scale for at, name in enumerate(names)}
