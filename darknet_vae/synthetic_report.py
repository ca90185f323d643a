"""How good and how private synthetic rows are, beside the real rows that they were learned from.

    report = report_synthetic(real, synthetic, holdout=holdout, target="churn")
    print(report)                       # fits a terminal; report.to_dict() has all numbers

- shapes: each column alone. Numbers and times: 1 - the Kolmogorov-Smirnov distance of the two samples; texts: 1 - the total
  variation distance of the frequencies. Missing cells are left out; their fractions stand beside.
- trends: each pair of columns. Two numbers: 1 - abs(r_real - r_synthetic) / 2 with Pearson's r; otherwise 1 - the total
  variation distance of the two contingency tables, numbers in ten bins of equal width over the real range.
- privacy: the distance of each synthetic row to the closest real row, after Gower 1971 (doi:10.2307/2528823): the mean over the
  columns of abs(a - b) / range, or of 0 and 1 for equal and different texts. Rows that were not learned from (`holdout`) say what
  distance is usual: synthetic rows that are closer to the real rows than those are copies.
- usefulness: a classifier, or a regression for numbers, that is trained on synthetic rows and tested on real ones, beside one
  that is trained on real rows (Esteban, Hyland and Raetsch, arXiv:1706.02633). Needs scikit-learn.

With `sdmetrics` installed, shapes and trends are its quality report's; the report says whose numbers they are.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import errors
from .row_weights import as_often, counted_columns
from .tables import Frame, Schema, _Decoded, decoded_columns

__all__ = ["SyntheticReport", "report_synthetic"]

Floats = npt.NDArray[np.float64]
BINS = 10
MOST_ROWS = 3000  # of each table whose distances are computed: every row to every row
MOST_PAIRS = 1225  # pairs of columns, of 50 columns


@dataclass(frozen=True)
class _Column:
    """`values`: numbers (seconds for times) with NaN for missing, or texts with None."""

    name: str
    is_text: bool
    values: npt.NDArray[Any]

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        if self.is_text:
            return np.array([value is not None for value in self.values], bool)
        gone: npt.NDArray[np.bool_] = np.isnan(self.values)
        return ~gone


Table = dict[str, _Column]


# ---- reading ----


def _columns(decoded: Mapping[str, _Decoded]) -> Table:
    found: Table = {}
    for column in decoded.values():
        is_text = column.type == 2
        found[column.name] = _Column(column.name, is_text, column.objects() if is_text else column.values)
    return found


def _rows(table: Table) -> int:
    return len(next(iter(table.values())).values) if table else 0


def _picked(table: Table, rows: npt.NDArray[Any]) -> Table:
    """Some rows of a table, by their numbers or a mask."""
    return {name: _Column(name, c.is_text, c.values[rows]) for name, c in table.items()}


def _as_text(column: _Column) -> _Column:
    """Numbers as the texts that a column of words with numbers among them has."""
    words = [None if np.isnan(v) else str(int(v)) if v == int(v) else repr(float(v)) for v in column.values]
    values = np.empty(len(words), object)
    values[:] = words
    return _Column(column.name, True, values)


def _matching(real: Table, other: Table, what: str, names: list[str]) -> Table:
    """The columns `names` of another table, of the same types."""
    found: Table = {}
    for name in names:
        if name not in other:
            raise errors.FormatError(
                f"the {what} rows have no column '{name}', which the real rows have; leave out there what was not learned, and "
                "name a column with how much each row counts by -row-weight (row_weight=)"
            )
        column, mine = other[name], real[name]
        if column.is_text and not mine.is_text:
            known = [value for value in column.values if value is not None]
            if known:
                raise errors.FormatError(
                    f"column '{name}' has numbers or dates in the real rows, and texts in the {what} rows, such as '{known[0]}'"
                )
            column = _Column(name, False, np.full(len(column.values), np.nan))
        found[name] = _as_text(column) if mine.is_text and not column.is_text else column
    if not _rows(found):
        raise errors.FormatError(f"there are no {what} rows")
    return found


# ---- one column, two columns ----


def _frequencies(words: list[Any]) -> dict[Any, float]:
    counts: dict[Any, float] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1 / len(words)
    return counts


def _variation(a: dict[Any, float], b: dict[Any, float]) -> float:
    """The total variation distance of two distributions."""
    return 0.5 * sum(abs(a.get(key, 0) - b.get(key, 0)) for key in a.keys() | b.keys())


def ks_complement(a: Floats, b: Floats) -> float:
    """1 - the largest difference of the two empirical distribution functions."""
    a, b = np.sort(a), np.sort(b)
    at = np.concatenate([a, b])
    return 1 - float(np.abs(np.searchsorted(a, at, "right") / len(a) - np.searchsorted(b, at, "right") / len(b)).max())


def tv_complement(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """1 - the total variation distance of the two tables of frequencies."""
    return 1 - _variation(_frequencies(a.tolist()), _frequencies(b.tolist()))


def _shape(a: _Column, b: _Column) -> float:
    x, y = a.values[a.known], b.values[b.known]
    if not len(x) or not len(y):
        return float(len(x) == len(y))  # all of both are missing, or all of one
    return tv_complement(x, y) if a.is_text else ks_complement(x, y)


def _correlation(x: Floats, y: Floats) -> float:
    if len(x) < 2 or not np.ptp(x) or not np.ptp(y):
        return np.nan
    return float(np.corrcoef(x, y)[0, 1])


def _binned(column: _Column, low: float, high: float) -> list[Any]:
    """Texts as they are, numbers as the number of their bin; those beyond the range are in the outermost bins."""
    if column.is_text:
        return list(column.values)
    edges = np.linspace(low, high, BINS + 1)[1:-1]
    return [-1 if np.isnan(v) else int(np.searchsorted(edges, v, "right")) for v in column.values]


def _contingency(a: _Column, b: _Column, bins: dict[str, list[Any]]) -> dict[Any, float]:
    known = a.known & b.known
    return _frequencies([pair for pair, ok in zip(zip(bins[a.name], bins[b.name], strict=True), known, strict=True) if ok])


def _trend(real: tuple[_Column, _Column], other: tuple[_Column, _Column], bins: tuple[dict[str, Any], dict[str, Any]]) -> float:
    """NaN: a constant has no correlation."""
    if not real[0].is_text and not real[1].is_text:
        r = []
        for x, y in (real, other):
            known = x.known & y.known
            r.append(_correlation(x.values[known], y.values[known]))
        return 1 - abs(r[0] - r[1]) / 2
    return 1 - _variation(_contingency(*real, bins[0]), _contingency(*other, bins[1]))


def _own_quality(real: Table, other: Table, names: list[str]) -> tuple[dict[str, float], dict[tuple[str, str], float]]:
    shapes = {name: _shape(real[name], other[name]) for name in names}
    bins: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for name in names:
        known = real[name].values[real[name].known]
        low, high = (0.0, 1.0) if real[name].is_text or not len(known) else (float(known.min()), float(known.max()))
        for table, found in zip((real, other), bins, strict=True):
            found[name] = _binned(table[name], low, high)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]][:MOST_PAIRS]
    trends = {(a, b): _trend((real[a], real[b]), (other[a], other[b]), bins) for a, b in pairs}
    return shapes, {pair: value for pair, value in trends.items() if not np.isnan(value)}


def _sdmetrics_quality(
    real: Table, other: Table, names: list[str]
) -> tuple[dict[str, float], dict[tuple[str, str], float], tuple[float, float]]:
    """Shapes and trends by sdmetrics, and its means, which are not the means of what it could not compute."""
    import pandas as pd

    frames = [pd.DataFrame({name: table[name].values for name in names}) for table in (real, other)]
    columns = {name: {"sdtype": "categorical" if real[name].is_text else "numerical"} for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sdmetrics.reports.single_table import QualityReport

        report = QualityReport()
        report.generate(*frames, {"columns": columns}, verbose=False)
    shapes, trends = report.get_details("Column Shapes"), report.get_details("Column Pair Trends")
    means = report.get_properties().set_index("Property")["Score"]
    pairs = zip(trends["Column 1"], trends["Column 2"], trends["Score"], strict=True)
    return (
        {str(name): float(score) for name, score in zip(shapes["Column"], shapes["Score"], strict=True)},
        {(str(a), str(b)): float(score) for a, b, score in pairs if not np.isnan(score)},
        (float(means["Column Shapes"]), float(means["Column Pair Trends"])),
    )


# ---- distances ----


def _some(table: Table, rows: int, seed: int) -> Table:
    """At most so many of the rows, drawn without repetition, in their order."""
    n = _rows(table)
    if n <= rows:
        return table
    return _picked(table, np.sort(np.random.default_rng(seed).permutation(n)[:rows]))


def _ranges(real: Table, names: list[str]) -> dict[str, float]:
    found = {}
    for name in names:
        known = real[name].values[real[name].known]
        found[name] = 1.0 if real[name].is_text or not len(known) else float(np.ptp(known)) or 1.0
    return found


def _codes(a: _Column, b: _Column) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    places: dict[Any, int] = {}
    x, y = (np.array([places.setdefault(value, len(places)) for value in column.values], np.int64) for column in (a, b))
    return x, y


def _distances(a: Table, b: Table, ranges: dict[str, float]) -> npt.NDArray[np.float32]:
    """Gower's, (rows of a, rows of b). A missing cell equals a missing cell, and is at distance 1 from others."""
    total = np.zeros((_rows(a), _rows(b)), np.float32)
    for name, width in ranges.items():
        if a[name].is_text:
            x, y = _codes(a[name], b[name])
            total += x[:, None] != y[None, :]
        else:
            u, v = (table[name].values / width for table in (a, b))
            part = np.minimum(np.abs(u[:, None] - v[None, :]), 1).astype(np.float32)
            gone, none = np.isnan(u), np.isnan(v)
            if gone.any() or none.any():
                part[gone[:, None] != none[None, :]] = 1
                part[gone[:, None] & none[None, :]] = 0
            total += part
    return total / np.float32(max(len(ranges), 1))


@dataclass(frozen=True)
class Closest:
    """Distances to the closest real row: 5 % and half of the rows are closer than these; `copies`: the fraction at distance 0."""

    low: float
    median: float
    copies: float

    @classmethod
    def of(cls, distances: npt.NDArray[Any]) -> Closest:
        return cls(float(np.quantile(distances, 0.05)), float(np.median(distances)), float((distances == 0).mean()))


@dataclass(frozen=True)
class Privacy:
    """`reference`: of `whose` rows, to judge by. `nearer`: the fraction of the synthetic rows that are closer to one of the real
    rows than to any of as many held-out rows, ties counting half; rows that were not copied have 0.5."""

    synthetic: Closest
    reference: Closest
    whose: str
    nearer: float | None
    rows: int


def _privacy(real: Table, other: Table, holdout: Table | None, names: list[str], seed: int) -> Privacy:
    ranges = _ranges(real, names)
    a, s = _some(real, MOST_ROWS, seed), _some(other, MOST_ROWS, seed)
    size = _rows(a)
    to_real = _distances(s, a, ranges)
    synthetic = Closest.of(to_real.min(axis=1))
    if holdout is None:
        own = _distances(a, a, ranges)
        np.fill_diagonal(own, np.inf)
        usual = own.min(axis=1) if len(own) > 1 else np.zeros(1)
        return Privacy(synthetic, Closest.of(usual), "other real", None, size)
    h = _some(holdout, size, seed)
    to_holdout = _distances(s, h, ranges).min(axis=1)
    as_many = np.random.default_rng(seed).permutation(size)[: _rows(h)]  # of more rows, one is nearer by chance
    near = to_real[:, as_many].min(axis=1)
    nearer = float(np.mean(np.where(near < to_holdout, 1.0, np.where(near == to_holdout, 0.5, 0.0))))
    return Privacy(synthetic, Closest.of(_distances(h, a, ranges).min(axis=1)), "held-out", nearer, size)


# ---- usefulness ----


@dataclass(frozen=True)
class Usefulness:
    """`synthetic` and `real`: the measure of a model that was trained on these rows; tested on `rows` real rows."""

    target: str
    measure: str
    synthetic: float
    real: float
    rows: int
    held_out: bool


def _encoded(tables: list[Table], names: list[str]) -> list[Floats]:
    """Numbers as they are, texts as places in the sorted list of all, NaN where one is missing."""
    found = [np.empty((_rows(table), len(names))) for table in tables]
    for j, name in enumerate(names):
        if tables[0][name].is_text:
            words = sorted({word for table in tables for word in table[name].values if word is not None})
            place: dict[Any, float] = {word: float(i) for i, word in enumerate(words)}
            for x, table in zip(found, tables, strict=True):
                x[:, j] = [place.get(word, np.nan) for word in table[name].values]
        else:
            for x, table in zip(found, tables, strict=True):
                x[:, j] = table[name].values
    return found


class _Weighed(NamedTuple):
    """A table, and how much each of its rows counts; None: the same."""

    table: Table
    weights: Floats | None

    def picked(self, rows: npt.NDArray[Any]) -> _Weighed:
        return _Weighed(_picked(self.table, rows), None if self.weights is None else self.weights[rows])

    def known(self, target: str) -> _Weighed:
        return self.picked(self.table[target].known)


def _score(
    train: Floats, y: npt.NDArray[Any], counts: Floats | None, test: Floats, truth: npt.NDArray[Any], w: Floats | None,
    measure: str,
) -> float:  # fmt: skip
    """Of a model that is trained on rows that count `counts`, on test rows that count `w`."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.metrics import accuracy_score, r2_score, roc_auc_score

    if measure == "R squared":
        return float(
            r2_score(truth, HistGradientBoostingRegressor(random_state=0).fit(train, y, counts).predict(test), sample_weight=w)
        )
    classes = np.unique(y)
    if len(classes) == 1:  # nothing to learn: every row is predicted the same
        return 0.5 if measure == "ROC AUC" else float(np.average(truth == classes[0], weights=w))
    model = HistGradientBoostingClassifier(random_state=0).fit(train, y, counts)
    if measure == "accuracy":
        return float(accuracy_score(truth, model.predict(test), sample_weight=w))
    last = np.unique(truth)[-1]
    column = list(model.classes_).index(last) if last in model.classes_ else None
    if column is None:
        return 0.5
    return float(roc_auc_score(truth == last, model.predict_proba(test)[:, column], sample_weight=w))


def _usefulness(
    real: _Weighed, synthetic: Table, holdout: _Weighed | None, target: str, names: list[str], seed: int
) -> Usefulness:  # fmt: skip
    real, other = real.known(target), _Weighed(synthetic, None).known(target).table
    if holdout is None:  # the model may have learned from the test's rows, which the report says
        order = np.random.default_rng(seed).permutation(_rows(real.table))
        cut = int(0.7 * len(order))
        (train, counts), (test, w) = real.picked(order[:cut]), real.picked(order[cut:])
    else:
        (train, counts), (test, w) = real, holdout.known(target)
    number = not real.table[target].is_text
    if number:
        values = np.unique(real.table[target].values)
        number = len(values) > 20 or bool((values != np.rint(values)).any())
    truth = test[target].values
    measure = "R squared" if number else "ROC AUC" if len(np.unique(truth)) == 2 else "accuracy"
    if not len(truth) or len(np.unique(truth)) < 2 or not _rows(other):
        raise errors.UsageError(f"target '{target}': there are not two different values in the rows to test with")
    inputs = [name for name in names if name != target]
    a, s, b = _encoded([train, other, test], inputs)
    learned = ((s, other[target].values, None), (a, train[target].values, counts))
    scores = [_score(x, y, weights, b, truth, w, measure) for x, y, weights in learned]
    return Usefulness(target, measure, scores[0], scores[1], len(b), holdout is not None)


# ---- the report ----


@dataclass(frozen=True)
class SyntheticReport:
    """`shapes` by column and `trends` by pair of columns, 0 to 1, 1: equal; their means `column_shapes` and `pair_trends`.
    `missing`: fractions of missing cells by column, real and synthetic. `by`: who computed them."""

    rows: tuple[int, int, int | None]
    shapes: dict[str, float]
    trends: dict[tuple[str, str], float]
    column_shapes: float
    pair_trends: float
    missing: dict[str, tuple[float, float]]
    kinds: dict[str, str]
    privacy: Privacy
    usefulness: Usefulness | None
    by: str
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """All numbers, for JSON: no NaN among them."""

        def number(value: float) -> float | None:
            return None if np.isnan(value) else value

        found: dict[str, Any] = {
            "rows": {"real": self.rows[0], "synthetic": self.rows[1], "holdout": self.rows[2]},
            "computed_by": self.by,
            "column_shapes": number(self.column_shapes),
            "pair_trends": number(self.pair_trends),
            "columns": {
                name: {
                    "kind": self.kinds[name], "shape": number(value),
                    "missing_real": self.missing[name][0], "missing_synthetic": self.missing[name][1],
                }
                for name, value in self.shapes.items()
            },
            "pairs": [{"columns": list(pair), "trend": value} for pair, value in self.trends.items()],
            "privacy": {
                "rows_compared": self.privacy.rows,
                "synthetic": vars(self.privacy.synthetic),
                "reference": {"rows": self.privacy.whose, **vars(self.privacy.reference)},
                "nearer_to_real_than_to_holdout": self.privacy.nearer,
            },
            "usefulness": None if self.usefulness is None else vars(self.usefulness),
            "notes": self.notes,
        }  # fmt: skip
        return found

    def _repr_html_(self) -> str:
        """In notebooks: means, closeness, columns."""
        from . import _html

        return _html.synthetic(self)

    def __str__(self) -> str:
        return "\n".join(
            [*self._heading(), *self._by_column(), *self._by_pair(), *self._closeness(), *self._use(), *self._said()]
        )

    def _heading(self) -> list[str]:
        real, synthetic, held = self.rows
        more = "" if held is None else f", {held:,} held out"
        return [
            f"{synthetic:,} synthetic rows beside {real:,} real ones{more}",
            f"(shapes and trends computed by {self.by}; 1: equal, 0: nothing in common)",
            "",
            f"column shapes   {self.column_shapes:.3f}",
            f"pair trends     {self.pair_trends:.3f}",
        ]

    def _by_column(self) -> list[str]:
        lines = ["", f"{'column':34} {'kind':10} {'shape':>6}   missing: real  synthetic"]
        for name, value in sorted(self.shapes.items(), key=lambda item: item[1]):
            real, synthetic = self.missing[name]
            lines.append(f"{_cut(name, 34):34} {self.kinds[name]:10} {value:6.3f} {real:15.1%} {synthetic:10.1%}")
        return lines

    def _by_pair(self) -> list[str]:
        worst = sorted(self.trends.items(), key=lambda item: item[1])[:5]
        if not worst:
            return []
        lines = ["", "pairs that are least alike"]
        return lines + [f"  {_cut(a, 32):32} {_cut(b, 32):32} {value:6.3f}" for (a, b), value in worst]

    def _closeness(self) -> list[str]:
        p = self.privacy
        lines = ["", f"{f'distance to the closest of {p.rows:,} real rows':43} {'5 % below':>10} {'median':>9} {'equal':>8}"]
        for who, c in ((f"synthetic rows ({min(self.rows[1], MOST_ROWS):,})", p.synthetic), (f"{p.whose} rows", p.reference)):
            lines.append(f"  {who:41} {c.low:10.4f} {c.median:9.4f} {c.copies:8.1%}")
        if p.nearer is not None:
            lines.append(f"  {p.nearer:.1%} of the synthetic rows are nearer to a real row than to a held-out")
            lines.append("  one; about 50 % is no sign of copying")
        else:
            lines.append("  Held-out rows (-holdout) would say what distance new real rows have.")
        return lines

    def _use(self) -> list[str]:
        u = self.usefulness
        if u is None:
            return []
        where = f"{u.rows:,} held-out rows" if u.held_out else f"{u.rows:,} real rows"
        lines = ["", f"predicting {_cut(u.target, 30)}, tested on {where}: {u.measure}"]
        lines += [f"  trained on synthetic rows   {u.synthetic:.3f}", f"  trained on real rows        {u.real:.3f}"]
        return lines if u.held_out else [*lines, "  The synthetic rows may have been learned from the test's rows: use -holdout."]

    def _said(self) -> list[str]:
        return ["", *_wrapped(self.notes)] if self.notes else []


def _cut(name: str, width: int) -> str:
    """Longer names end in dots; line ends do not break the table."""
    name = " ".join(name.split())
    return name if len(name) <= width else name[: width - 3] + "..."


def _wrapped(notes: list[str]) -> list[str]:
    import textwrap

    return [line for note in notes for line in textwrap.wrap(note, 78, subsequent_indent="  ")]


@contextmanager
def _quiet(notes: list[str], what: str) -> Iterator[None]:
    """Warnings of reading a table as notes."""
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always")
        yield
    notes += [f"{what}: {warning.message}" for warning in met]


def _has(module: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(module) is not None


def _modelled(schema: Schema, notes: list[str]) -> list[str]:
    """Columns that say something about a row: without identifiers and constants."""
    names = [c.name for c in schema.columns if c.kind not in ("identifier", "constant", "dropped", "row_weight")]
    out = [f"{c.name} ({c.kind})" for c in schema.columns if c.name not in names and c.kind != "row_weight"]
    notes += [f"real rows count as column '{c.name}' says" for c in schema.columns if c.kind == "row_weight"]
    if out:
        notes.append(f"left out: {', '.join(out)}")
    return names


def report_synthetic(
    real: Any, synthetic: Any, holdout: Any = None, target: str | None = None, *, seed: int = 0, sdmetrics: bool | None = None,
    row_weight: str | None = None,
) -> SyntheticReport:  # fmt: skip
    """Compare synthetic rows with the real rows that they were learned from. Tables are whatever `darknet_vae.tables.Frame`
    takes: DataFrames, dicts of arrays, Arrow tables, or paths of CSV files.

    - holdout: real rows that were not learned from: what distances to the closest real row mean, and the rows that usefulness is
      tested on.
    - target: a column to predict from the others, once by a model that was trained on the synthetic rows and once by one trained
      on the real ones: ROC AUC (two classes), accuracy (more), or R squared (numbers). Needs scikit-learn.
    - seed: of the rows that are drawn from large tables for distances (3,000 of each).
    - row_weight: the column of the real rows, and of the held-out ones if they have it, that says how much each row counts, as
      the training was told. It is not compared; shapes, trends and missing cells are those of the real rows as often as they
      count, models are trained and tested with it, and rows with 0 are left out.
    - sdmetrics: None: shapes and trends from sdmetrics if it and pandas are installed; False: own numbers.

    Errors: `FormatError` for a column that the synthetic or held-out rows lack or have with another type; `UsageError` for an
    unknown target, `MissingPackageError` for any without scikit-learn."""
    notes: list[str] = []
    if target is not None and not _has("sklearn"):
        raise errors.MissingPackageError("target: training on the rows needs scikit-learn: pip install scikit-learn")
    if sdmetrics and not (_has("sdmetrics") and _has("pandas")):
        raise errors.MissingPackageError("sdmetrics=True: sdmetrics is not installed: pip install sdmetrics")
    with _quiet(notes, "real rows"):
        frame = Frame(real)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = _modelled(Schema.learn(frame, row_weight=row_weight), notes)
    real_columns, weights = counted_columns(frame, row_weight)
    a = _columns(real_columns)
    if target is not None and target not in a:
        raise errors.UsageError(f"target '{target}' is no column of the real rows: {', '.join(list(a)[:8])}")
    if target is not None and target not in names:
        raise errors.UsageError(f"target '{target}' is an identifier, or the same in all real rows")
    if not names or not _rows(a):
        raise errors.FormatError("the real rows have no column to compare: all are identifiers or constants")
    with _quiet(notes, "synthetic rows"):
        s = _matching(a, _columns(decoded_columns(synthetic)), "synthetic", names)
    h: Table | None = None
    held_weights = None
    if holdout is not None:
        with _quiet(notes, "held-out rows"):
            held = Frame(holdout)
            held_columns, held_weights = counted_columns(held, row_weight if row_weight in held.names else None)
            h = _matching(a, _columns(held_columns), "held-out", names)
    a = {name: a[name] for name in names}
    counted = a if weights is None else _picked(a, as_often(weights))
    if sdmetrics is None:
        sdmetrics = _has("sdmetrics") and _has("pandas")
    if sdmetrics:
        import sdmetrics as package

        shapes, trends, means = _sdmetrics_quality(counted, s, names)
        by = f"sdmetrics {package.__version__}"
    else:
        shapes, trends = _own_quality(counted, s, names)
        means = (_mean(shapes.values), _mean(trends.values))
        by = "darknet_vae"
    return SyntheticReport(
        rows=(_rows(a), _rows(s), None if h is None else _rows(h)),
        shapes=shapes,
        trends=trends,
        column_shapes=means[0],
        pair_trends=means[1],
        missing={name: (float(1 - counted[name].known.mean()), float(1 - s[name].known.mean())) for name in names},
        kinds={name: "text" if a[name].is_text else "number" for name in names},
        privacy=_privacy(a, s, h, names, seed),
        usefulness=None
        if target is None
        else _usefulness(_Weighed(a, weights), s, None if h is None else _Weighed(h, held_weights), target, names, seed),
        by=by,
        notes=notes,
    )


def _mean(values: Callable[[], Any]) -> float:
    found = list(values())
    return float(np.mean(found)) if found else float("nan")
