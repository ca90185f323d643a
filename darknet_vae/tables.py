"""Tables of mixed columns: what their columns are, as numbers for a network, and back.

    schema = Schema.learn(frame)        # a DataFrame, a dict of arrays, anything that speaks Arrow, or the path of a CSV file
    x = schema.code(frame)              # (rows, coded) float32, NaN where a cell is missing
    again = schema.decode(x)            # a DataFrame with the frame's types

docs/tables.md has the rules, which are the core's.
"""

from __future__ import annotations

import datetime
import numbers
import os
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import _arrow, errors
from ._lib import Array, Path, check, ffi, lib, listen, matrix, pointer, text, to_bytes
from .data import _cell, _no_zero

__all__ = ["Column", "Frame", "Schema", "cfg_for"]

KINDS = ("number", "time", "yes_no", "category", "constant", "identifier", "dropped", "label", "row_weight")
TYPES = ("number", "time", "text")
_NUMBER, _TIME, _TEXT = range(3)
_DATE, _LETTER, _BLANK, _SECONDS, _FRACTIONS = 0, 1, 2, 4, 8
_WRITTEN_TIME = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?)?", re.ASCII)
_MOST_DECIMALS = 6  # that are looked for in floating-point numbers
_INT64_END = 2.0**63

Values = npt.NDArray[Any]


# ---- one column, as the core takes it ----


class _Texts(NamedTuple):
    codes: npt.NDArray[np.int32]
    words: list[str]


class _Data(NamedTuple):
    """`values` are float64 for numbers and times."""

    type: int
    values: Values
    words: list[str]
    decimals: int = 0
    form: int = 0
    truth: bool = False  # False and True, not these words
    written: bool = False  # times that are texts in the table


def _texts(name: str, codes: Values, words: Sequence[str]) -> _Data:
    """An empty text is a missing cell, as in a CSV file."""
    codes = np.ascontiguousarray(codes, np.int32)
    for index, word in enumerate(words):
        if "\0" in word:
            raise errors.UsageError(f"column {name!r} has a text with a zero character: {word!r}")
        if not word:
            codes = np.where(codes == index, np.int32(-1), codes)
    return _Data(_TEXT, codes, list(words))


def _decimals(values: Values) -> int:
    """The fewest decimals that all of them have, at most six; -1: more."""
    finite = values[np.isfinite(values)]
    for part in (finite[:1000], finite):  # most columns show it soon
        found = next((d for d in range(_MOST_DECIMALS + 1) if (np.round(part, d) == part).all()), -1)
        if found < 0:
            return -1
    return found


def _numbers(values: Values, decimals: int | None = None) -> _Data:
    """Numbers of any numpy type. Those of less precision than float64 are what their decimals say: 0.1 is not
    0.10000000149."""
    if values.dtype.kind in "iu":
        return _Data(_NUMBER, values.astype(np.float64), [], 0)
    exact = values.astype(np.float64)
    if decimals is not None:
        return _Data(_NUMBER, exact, [], decimals)
    if values.dtype.itemsize >= 8:
        return _Data(_NUMBER, exact, [], _decimals(exact))
    for d in range(_MOST_DECIMALS + 1):
        rounded = np.round(exact, d)
        if np.array_equal(rounded.astype(values.dtype), values, equal_nan=True):
            return _Data(_NUMBER, rounded, [], d)
    return _Data(_NUMBER, exact, [], -1)


def _times(values: Values) -> _Data:
    """datetime64, as seconds; dates if all are at midnight."""
    missing = np.isnat(values)
    micros = np.where(missing, 0, values.astype("M8[us]").astype(np.int64))
    seconds = np.where(missing, np.nan, micros / 1e6)
    form = _DATE if not (micros % 86_400_000_000).any() else _BLANK
    if (micros % 60_000_000).any():
        form |= _SECONDS
    if (micros % 1_000_000).any():
        form |= _FRACTIONS
    return _Data(_TIME, seconds, [], 6 if form & _FRACTIONS else 0, form)


def _booleans(values: Values, missing: Values | None) -> _Data:
    codes = values.astype(np.int32)
    return _Data(_TEXT, codes if missing is None else np.where(missing, np.int32(-1), codes), ["False", "True"], truth=True)


def _is_missing(value: Any) -> bool:
    """None, NaN, NaT or NA, which equals nothing and says neither yes nor no."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):
        return type(value).__name__ in ("NAType", "NaTType")


def _written_as(word: str) -> tuple[str, bool] | None:
    """How a date or time is written: what stands before the hours, "" for a date, and whether there are seconds."""
    match = _WRITTEN_TIME.fullmatch(word)
    return match and (match[1][:1] if match[1] else "", bool(match[2]))


def _written_times(found: _Data) -> _Data:
    """Texts that are all dates, or all times, written alike, as pandas has them after reading a CSV file: times, which they are
    for the core in that file."""
    words = [word for word in found.words if word]
    way = _written_as(words[0]) if words else None
    if way is None or not all(_written_as(word) == way for word in words):
        return found
    try:
        instants = np.array([word or "NaT" for word in found.words] + ["NaT"], "M8[s]")
    except ValueError:  # the 30th of February
        return found
    form = {"": _DATE, "T": _LETTER, " ": _BLANK}[way[0]] | (_SECONDS if way[1] else 0)
    return _times(instants[found.values])._replace(form=form, written=True)


def _factorize(values: Sequence[str | None]) -> _Texts:
    codes: dict[str, int] = {}
    found = [-1 if value is None else codes.setdefault(value, len(codes)) for value in values]
    return _Texts(np.array(found, np.int32), list(codes))


def _instant(value: Any) -> Any:
    return value.replace(tzinfo=None) if getattr(value, "tzinfo", None) is not None else value


def _objects(name: str, values: Sequence[Any]) -> _Data:
    """Python objects of one kind: truth values, numbers, dates; otherwise texts."""
    cells = [None if _is_missing(value) else value for value in values]
    kinds = {type(cell) for cell in cells if cell is not None}
    if all(issubclass(kind, str) for kind in kinds):
        return _written_times(_texts(name, *_factorize([None if cell is None else str(cell) for cell in cells])))
    if all(issubclass(kind, bool | np.bool_) for kind in kinds):
        return _booleans(np.array([bool(cell) for cell in cells]), np.array([cell is None for cell in cells]))
    if all(issubclass(kind, numbers.Number) and not issubclass(kind, complex) for kind in kinds):
        return _numbers(np.array([np.nan if cell is None else float(cell) for cell in cells]))
    if all(issubclass(kind, datetime.date | np.datetime64) for kind in kinds):
        return _times(np.array([None if cell is None else _instant(cell) for cell in cells], "M8[us]"))
    for kind in kinds:
        if issubclass(kind, list | tuple | dict | set | np.ndarray):
            raise errors.UsageError(f"column {name!r} has a {kind.__name__} in a cell: a cell is a number, a text or a date")
    words = [None if c is None else c.decode(errors="replace") if isinstance(c, bytes) else str(c) for c in cells]
    return _texts(name, *_factorize(words))


def _array(name: str, values: Values) -> _Data:
    """A column from a numpy array, with masked cells missing."""
    missing = None
    if "numpy.ma" in sys.modules and np.ma.isMaskedArray(values):
        missing, values = np.ma.getmaskarray(values), np.ma.getdata(values)
    kind = values.dtype.kind
    if kind == "b":
        return _booleans(values, missing)
    if kind in "iuf":
        if missing is not None and missing.any():
            whole = kind in "iu"
            values = np.where(missing, np.nan, values.astype(np.float64))
            return _numbers(values, 0 if whole else None)
        return _numbers(values)
    if kind == "M":
        return _times(values if missing is None else np.where(missing, np.datetime64("NaT"), values))
    if kind == "m":
        seconds = np.where(np.isnat(values), np.nan, values.astype("m8[us]").astype(np.int64) / 1e6)
        return _numbers(seconds if missing is None else np.where(missing, np.nan, seconds))
    if kind in "OUST":
        cells = values.tolist()
        return _objects(name, cells if missing is None else [None if m else c for c, m in zip(cells, missing, strict=True)])
    raise errors.UsageError(f"column {name!r} is of type {values.dtype}: make it numbers, texts, booleans or dates")


def _pandas(name: str, series: Any, pd: Any) -> _Data:
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _texts(name, series.cat.codes.to_numpy(), [str(category) for category in dtype.categories])
    kind = getattr(dtype, "kind", "O")
    if isinstance(dtype, pd.PeriodDtype):
        return _times(series.dt.to_timestamp().to_numpy(dtype="M8[us]"))
    if isinstance(dtype, np.dtype | pd.SparseDtype):
        return _array(name, series.to_numpy())
    if kind == "b":
        missing = series.isna().to_numpy()
        return _booleans(series.fillna(False).to_numpy(dtype=bool), missing)
    if kind in "iuf":
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        return _numbers(values, 0 if kind in "iu" else None)
    if kind == "M":
        zone = getattr(dtype, "tz", None)
        return _times((series if zone is None else series.dt.tz_localize(None)).to_numpy(dtype="M8[us]"))
    if kind == "m":
        return _array(name, series.to_numpy(dtype="m8[us]"))
    return _objects(name, series.to_numpy(dtype=object).tolist())


def _arrow_column(column: _arrow.ArrowColumn) -> _Data:
    missing = column.missing if column.missing is not None and column.missing.any() else None
    if column.words is not None:
        codes = column.values if missing is None else np.where(missing, np.int32(-1), column.values)
        return _written_times(_texts(column.name, codes, column.words))
    if column.decimals is not None:
        return _numbers(column.values if missing is None else np.where(missing, np.nan, column.values), column.decimals)
    return _array(column.name, column.values if missing is None else np.ma.MaskedArray(column.values, missing))


# ---- tables ----


class _Types(NamedTuple):
    """What a decoded column is turned into: the original's name and type; `truth`: its objects are False and True; `written`:
    its times are texts."""

    name: Any
    dtype: Any
    truth: bool = False
    written: bool = False


class Frame:
    """A table as the core takes it, `handle`, with the memory that it refers to.

    `data`: a pandas DataFrame; a mapping of names to arrays; anything with `__arrow_c_stream__` or `__arrow_c_array__` (polars,
    pyarrow, ...); an array (rows, columns); or the path of a file: CSV text, also compressed, or Parquet, Feather and Arrow
    through pyarrow or polars. `header`, of CSV text: the first row names the columns (True), is data (False), or is looked at
    (None). `rows`: only the first so many.
    """

    def __init__(self, data: Any, header: bool | None = None, rows: int | None = None) -> None:
        if rows is not None and rows < 1:
            raise errors.UsageError(f"rows={rows} must be 1 or more")
        self.is_pandas = False
        self.types: dict[str, _Types] = {}
        self._kept: list[Any] = []
        table = self._file(data, header, rows) if isinstance(data, str | os.PathLike) else data
        if table is not None or data is None:
            self._build(self._columns(table))
        if rows is not None:
            self.handle.rows = min(rows, self.rows)

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return int(self.handle.rows)

    @property
    def names(self) -> list[str]:
        """The names of the columns, in their order."""
        return [text(self.handle.columns[i].name) for i in range(self.handle.n)]

    def _file(self, path: Path, header: bool | None, rows: int | None) -> Any:
        """What is in the file as a table of another library; None: the core has read it."""
        ending = os.path.splitext(os.fspath(path))[1].lower()
        if ending in (".parquet", ".feather", ".arrow", ".ipc"):
            return _columnar(path, ending)
        handle = ffi.new("dn_frame *")
        listen()
        options = {"header": 0 if header is None else 1 if header else -1, "max_rows": rows or 0}
        check(lib.dn_frame_load(handle, to_bytes(path), ffi.new("dn_frame_options *", options)), None if path == "-" else path)
        self.handle = ffi.gc(handle, lib.dn_frame_free)
        for sentence in text(handle.warnings).splitlines() if handle.warnings else []:
            warnings.warn(sentence, stacklevel=4)
        return None

    def _columns(self, data: Any) -> list[tuple[str, _Data]]:
        found = self._read(data)
        names = [name for name, _ in found] if not isinstance(data, Mapping) else [str(name) for name in data]
        if twice := next((name for name, n in Counter(names).items() if n > 1), None):
            raise errors.UsageError(f"the table has {names.count(twice)} columns with the name {twice!r}: rename or drop some")
        return found

    def _read(self, data: Any) -> list[tuple[str, _Data]]:
        pd: Any = sys.modules.get("pandas")
        if pd is not None and isinstance(data, pd.DataFrame):
            self.is_pandas = True
            columns = [(str(name), _pandas(str(name), data.iloc[:, i], pd)) for i, name in enumerate(data.columns)]
            for (key, column), name, dtype in zip(columns, data.columns, data.dtypes, strict=True):
                self.types[key] = _Types(name, dtype, column.truth, column.written)
            return columns
        if isinstance(data, Mapping):
            arrays = {str(name): (name, _vector(str(name), values)) for name, values in data.items()}
            columns = [(key, _array(key, values)) for key, (_, values) in arrays.items()]
            for key, column in columns:
                self.types[key] = _Types(arrays[key][0], arrays[key][1].dtype, column.truth, column.written)
            return columns
        if hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__"):
            arrows = _arrow.columns(data)
            columns = [(column.name, _arrow_column(column)) for column in arrows]
            for arrow, (key, column) in zip(arrows, columns, strict=True):
                duration = arrow.values.dtype if arrow.values.dtype.kind == "m" else None
                self.types[key] = _Types(key, duration, column.truth, column.written)
            return columns
        if isinstance(data, np.ndarray) and data.ndim == 2:
            return [(f"x{i}", _array(f"x{i}", data[:, i])) for i in range(data.shape[1])]
        if type(data).__name__ == "LazyFrame":
            raise errors.UsageError("a LazyFrame has no rows yet: give frame.collect()")
        raise errors.UsageError(
            f"a {type(data).__name__} is no table: give a DataFrame, a dict of arrays, an Arrow table, or the path of a CSV file"
        )

    def _build(self, columns: list[tuple[str, _Data]]) -> None:
        lengths = {name: len(data.values) for name, data in columns}
        if len(set(lengths.values())) > 1:
            raise errors.UsageError(
                f"columns of different lengths: {', '.join(f'{k} {v}' for k, v in list(lengths.items())[:5])}"
            )
        self.handle = ffi.new("dn_frame *")
        cells = ffi.new("dn_frame_column[]", max(len(columns), 1))
        self._kept.append(cells)
        for cell, (name, data) in zip(cells, columns, strict=False):
            cell.name = self._text(_no_zero(name, "a column's name").encode(errors="replace"))
            cell.type, cell.decimals, cell.form = data.type, data.decimals, data.form
            self._kept.append(values := np.ascontiguousarray(data.values))
            if data.type == _TEXT:
                cell.codes = ffi.cast("int32_t *", values.ctypes.data)
                cell.n_words = len(data.words)
                cell.words = self._text(b"\0".join(word.encode(errors="replace") for word in data.words))
            else:
                cell.numbers = ffi.cast("double *", values.ctypes.data)
        self.handle.rows = next(iter(lengths.values()), 0)
        self.handle.n, self.handle.columns, self.handle.separator = len(columns), cells, b","

    def _text(self, data: bytes) -> Any:
        self._kept.append(memory := ffi.new("char[]", data))
        return memory


def _vector(name: str, values: Any) -> Values:
    array = values if isinstance(values, np.ndarray) else np.asarray(values, dtype=None)
    if array.ndim != 1:
        raise errors.UsageError(f"column {name!r} has shape {array.shape}; wanted is (rows,)")
    return array


def _columnar(path: Path, ending: str) -> Any:
    """Files that pyarrow and polars read."""
    if not os.path.exists(path):
        raise errors.MissingFileError(f"{os.fspath(path)}: no such file")
    try:
        if ending == ".parquet":
            import pyarrow.parquet  # type: ignore[import-untyped,import-not-found,unused-ignore]

            return pyarrow.parquet.read_table(path)
        import pyarrow.feather  # type: ignore[import-untyped,import-not-found,unused-ignore]

        return pyarrow.feather.read_table(path)
    except ImportError:
        pass
    except Exception as reason:
        raise errors.FormatError(f"{os.fspath(path)}: {reason}") from None
    try:
        import polars  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        raise errors.UsageError(f"{os.fspath(path)}: reading it takes pyarrow or polars: pip install pyarrow") from None
    try:
        return polars.read_parquet(path) if ending == ".parquet" else polars.read_ipc(path)
    except Exception as reason:
        raise errors.FormatError(f"{os.fspath(path)}: {reason}") from None


# ---- decoded columns ----


class _Decoded(NamedTuple):
    """A column of a decoded frame: float64 numbers or seconds, or codes and words."""

    name: str
    type: int
    values: Values
    words: list[str]
    decimals: int
    form: int

    @property
    def missing(self) -> Values:
        return self.values < 0 if self.type == _TEXT else np.isnan(self.values)

    def objects(self) -> Values:
        """Texts, None where one is missing."""
        found = np.empty(len(self.values), object)
        found[:] = [self.words[code] if code >= 0 else None for code in self.values.tolist()]
        return found

    def times(self) -> Values:
        whole = np.where(self.missing, 0, self.values)
        micros = np.round(whole * 1e6).astype(np.int64).astype("M8[us]")
        return np.where(self.missing, np.datetime64("NaT", "us"), micros)

    def as_written(self, kind: _Types) -> _Decoded:
        """Times as the texts that they were."""
        if self.type != _TIME or not kind.written:
            return self
        unit = "s" if self.form & _SECONDS else "m" if self.form & 3 else "D"
        instants, codes = np.unique(self.times().astype(f"M8[{unit}]"), return_inverse=True)  # NaT is the last one
        words = [word.replace("T", " " if self.form & _BLANK else "T") for word in np.datetime_as_string(instants).tolist()]
        return self._replace(type=_TEXT, values=np.where(self.missing, -1, codes).astype(np.int32), words=words)


def _take(frame: Any) -> list[_Decoded]:
    """Copies of the columns of a core's frame."""
    found = []
    for i in range(frame.n):
        c = frame.columns[i]
        words: list[str] = []
        if c.type == _TEXT:
            at = c.words
            for _ in range(c.n_words):
                word = ffi.string(at)
                words.append(word.decode(errors="replace"))
                at += len(word) + 1
            values: Values = np.frombuffer(ffi.buffer(c.codes, 4 * frame.rows), np.int32) if frame.rows else np.zeros(0, np.int32)
        else:
            values = np.frombuffer(ffi.buffer(c.numbers, 8 * frame.rows)) if frame.rows else np.zeros(0)
        found.append(_Decoded(text(c.name), c.type, values.copy(), words, c.decimals, c.form))
    return found


def decoded_columns(table: Any) -> dict[str, _Decoded]:
    """Copies of the columns of whatever `Frame` takes, by name."""
    frame = table if isinstance(table, Frame) else Frame(table)
    return {column.name: column for column in _take(frame.handle)}


def _whole(column: _Decoded, dtype: Any) -> Values:
    info = np.iinfo(dtype)
    values = np.rint(column.values)
    return np.clip(values, float(info.min), np.nextafter(float(info.max), 0) if info.bits > 53 else info.max).astype(dtype)


def _as_numpy(column: _Decoded, dtype: np.dtype[Any] | None, truth: bool = False) -> Values:
    """The column as the type that it had; without one as integers, floats, datetime64 or objects."""
    some = bool(column.missing.any())
    if column.type == _TEXT:
        if truth:
            truths = np.array([word and word == "True" for word in column.objects()], object)
            return truths if some or (dtype is not None and dtype.kind != "b") else truths.astype(bool)
        return column.objects().astype(str) if dtype is not None and dtype.kind == "U" and not some else column.objects()
    if dtype is not None and dtype.kind == "O":
        values = _as_numpy(column, None)
        values = (values.astype("M8[D]") if column.type == _TIME and not column.form & 3 else values).astype(object)
        values[column.missing] = None
        return values
    if column.type == _TIME:
        times = column.times()
        return times.astype(dtype if dtype is not None and dtype.kind == "M" else "M8[us]" if column.form & 8 else "M8[s]")
    if dtype is not None and dtype.kind == "m":
        missing = column.missing
        micros = np.round(np.where(missing, 0, column.values) * 1e6).astype(np.int64).astype("m8[us]")
        return np.where(missing, np.timedelta64("NaT", "us"), micros).astype(dtype)
    if dtype is not None and dtype.kind in "iu":
        return column.values if some else _whole(column, dtype)
    if dtype is not None and dtype.kind == "f":
        return column.values.astype(dtype)
    whole = column.decimals == 0 and not some and bool((np.abs(column.values) < _INT64_END).all())
    return _whole(column, np.dtype(np.int64)) if whole else column.values


def _as_categorical(column: _Decoded, dtype: Any, pd: Any) -> Any:
    place = {str(category): index for index, category in enumerate(dtype.categories)}
    own = np.array([place.get(word, -1) for word in column.words] or [-1])
    return pd.Categorical.from_codes(np.where(column.values >= 0, own[column.values], -1), dtype=dtype)


def _as_pandas(column: _Decoded, dtype: Any, truth: bool, pd: Any) -> Any:
    """The column with a pandas type."""
    kind = getattr(dtype, "kind", "O")
    if isinstance(dtype, pd.CategoricalDtype) and column.type == _TEXT:
        if not column.words or set(column.words) <= {str(category) for category in dtype.categories}:
            return _as_categorical(column, dtype, pd)
        return pd.Series(column.objects())  # of an identifier: new ones
    if isinstance(dtype, np.dtype):
        return pd.Series(_as_numpy(column, dtype, truth), dtype=object if dtype.kind == "O" else None)
    if column.type == _TEXT:
        if kind == "b":
            truths = [None if word is None else word == "True" for word in column.objects()]
            return pd.Series(truths, dtype=dtype)
        return pd.Series(column.objects(), dtype=dtype if kind == "O" else None)
    if column.type == _TIME:
        times = pd.Series(column.times())
        if isinstance(dtype, pd.PeriodDtype):
            return times.dt.to_period(dtype.freq)
        zone = getattr(dtype, "tz", None)
        if zone is not None:
            sure = np.ones(len(times), bool)  # of the hour that a clock shows twice, the first
            times = times.dt.tz_localize(zone, ambiguous=sure, nonexistent="shift_forward")
        return times.astype(dtype) if kind == "M" else times
    if isinstance(dtype, pd.SparseDtype):
        return pd.Series(_as_numpy(column, dtype.subtype)).astype(dtype)
    if kind in "iuf":
        values = np.rint(column.values) if kind in "iu" else column.values
        return pd.Series(pd.arrays.FloatingArray(np.where(column.missing, 0, values), column.missing)).astype(dtype)
    return pd.Series(_as_numpy(column, None))


def _with_types(decoded: list[_Decoded], types: dict[str, _Types]) -> list[tuple[_Decoded, _Types]]:
    kinds = [types.get(column.name, _Types(column.name, None)) for column in decoded]
    return [(column.as_written(kind), kind) for column, kind in zip(decoded, kinds, strict=True)]


# ---- the schema ----


class Column(NamedTuple):
    """A column of the learned table. `coded`: its place in the coded matrix, or None. `words`: of its codes 0, 1, ...; the last
    one is "other" where there are rare words. Statistics are NaN for texts."""

    name: str
    kind: str
    type: str
    coded: int | None
    classes: int
    other: int | None
    missing: int
    condition: bool
    decimals: int
    low: float
    high: float
    mean: float
    deviation: float
    median: float
    spread: float
    distinct: int
    words: list[str]
    counts: list[int]


def _names(value: str | Sequence[str] | None) -> str:
    """A list as the core takes it; a single text is one, as on the command line."""
    return "" if value is None else value if isinstance(value, str) else ",".join(map(_cell, value))


class Schema:
    """What the columns of a table are. Learned with `Schema.learn`, read with `Schema.from_json` or `Schema.load`."""

    def __init__(self, handle: Any, frame: Frame | None = None) -> None:
        self._handle = handle
        self._types = frame.types if frame is not None else {}
        self._is_pandas = frame is not None and frame.is_pandas

    @classmethod
    def learn(
        cls,
        data: Any,
        label_column: str | int | None = None,
        drop: str | Sequence[str] | None = None,
        as_number: str | Sequence[str] | None = None,
        as_category: str | Sequence[str] | None = None,
        condition: str | Sequence[str] | None = None,
        coding: str = "quantiles",
        max_categories: int = 100,
        row_weight: str | int | None = None,
    ) -> Schema:
        """Learn a table's columns. `data`: as for `Frame`. `label_column` (a name or an index) and the columns of `drop` are not
        coded. Lists are names, or one text "a,b". `as_number="*"`: all numbers stay numbers. `coding` of numbers: "quantiles",
        "robust" or "standard". Of more than `max_categories` different words the rarest are together "other". `row_weight`: the
        column that says how much each row counts; it is not coded either, and rows to which it gives 0 are not learned from."""
        frame = data if isinstance(data, Frame) else Frame(data)
        label = "" if label_column is None else str(label_column)
        lists = {"drop": drop, "as_number": as_number, "as_category": as_category, "condition": condition}
        weight = "" if row_weight is None else str(row_weight)
        texts = {
            "label_column": label,
            "row_weight": weight,
            "coding": coding,
            **{key: _names(value) for key, value in lists.items()},
        }
        kept = {key: ffi.new("char[]", _no_zero(value, key).encode()) for key, value in texts.items()}
        out = ffi.new("dn_schema **")
        listen()
        check(lib.dn_schema_learn(out, frame.handle, ffi.new("dn_schema_options *", {**kept, "max_categories": max_categories})))
        schema = cls(ffi.gc(out[0], lib.dn_schema_free), frame)
        for sentence in schema.warnings:
            warnings.warn(sentence, stacklevel=2)
        return schema

    @classmethod
    def from_json(cls, json: str) -> Schema:
        """From `Schema.json`, whoever wrote it; a text that is no schema is a `FormatError`."""
        data, out = json.encode(errors="surrogatepass"), ffi.new("dn_schema **")
        check(lib.dn_schema_parse(out, data, len(data), ffi.NULL))
        return cls(ffi.gc(out[0], lib.dn_schema_free))

    @classmethod
    def load(cls, path: Path) -> Schema | None:
        """The schema in a model file, or None."""
        out = ffi.new("dn_schema **")
        check(lib.dn_schema_load(out, to_bytes(path)), path)
        return cls(ffi.gc(out[0], lib.dn_schema_free)) if out[0] else None

    @classmethod
    def of(cls, net: Any) -> Schema | None:
        """A copy of a network's schema, or None."""
        handle = lib.dn_net_schema(net._handle)
        return cls.from_json(_text(lib.dn_schema_json, handle)) if handle else None

    def give(self, net: Any) -> None:
        """Make it the schema of a network, which keeps a copy and saves it in model files."""
        check(lib.dn_net_set_schema(net._handle, self._handle))

    @property
    def json(self) -> str:
        """The schema as JSON text (docs/tables.md has its members)."""
        return _text(lib.dn_schema_json, self._handle)

    @property
    def warnings(self) -> list[str]:
        """What learning had to say, such as which columns are left out."""
        return text(lib.dn_schema_warnings(self._handle)).splitlines()

    @property
    def rows(self) -> int:
        """Rows of the learned table."""
        return int(lib.dn_schema_rows(self._handle))

    @property
    def coding(self) -> str:
        """How numbers are coded: "quantiles", "robust" or "standard"."""
        return text(lib.dn_schema_coding(self._handle))

    @property
    def coded(self) -> list[str]:
        """Names of the coded matrix's columns, in their order."""
        places = sorted((column.coded, column.name) for column in self.columns if column.coded is not None)
        return [name for _, name in places]

    @property
    def columns(self) -> list[Column]:
        """The learned table's columns, in its order."""
        return [self._column(index) for index in range(lib.dn_schema_columns(self._handle))]

    def _column(self, index: int) -> Column:
        c = ffi.new("dn_column_info *")
        lib.dn_schema_column(self._handle, index, c)
        words: list[str] = []
        while word := lib.dn_schema_word(self._handle, index, len(words)):
            words.append(text(word))
        counts = [int(lib.dn_schema_count(self._handle, index, code)) for code in range(len(words))]
        place, other = (None if number < 0 else int(number) for number in (c.coded, c.other))
        return Column(
            text(c.name), KINDS[c.kind], TYPES[c.type], place, c.classes, other, int(c.missing_rows), bool(c.condition),
            c.decimals, c.low, c.high, c.mean, c.deviation, c.median, c.spread, int(c.distincts), words, counts,
        )  # fmt: skip

    def code(self, data: Any) -> Array:
        """Rows of a table, with the learned columns in any order, as (rows, coded) float32; NaN is a missing cell. What is not as
        in the learned table, and could be taken in some way, gives a warning."""
        frame = data if isinstance(data, Frame) else Frame(data)
        x = np.empty((frame.rows, lib.dn_schema_coded(self._handle)), np.float32)
        said = ffi.new("char **")
        listen()
        check(lib.dn_schema_code(self._handle, frame.handle, pointer(x), said))
        if said[0]:
            sentences = text(said[0]).splitlines()
            lib.dn_bytes_free(said[0])
            for sentence in sentences:
                warnings.warn(sentence, stacklevel=2)
        return x

    def cell(self, column: str, value: Any) -> float:
        """The code of one value of a column; NaN for a missing one."""
        return float(self.cells(column, [value])[0])

    def cells(self, column: str, values: Iterable[Any]) -> Array:
        """The codes (n,) of n values of a column; NaN for missing ones."""
        index = next((i for i, c in enumerate(self.columns) if c.name == column), None)
        if index is None:
            raise errors.UsageError(f"there is no column {column!r}")
        code, codes = ffi.new("float *"), dict[str, float]()
        words = ["" if _is_missing(value) else str(value) for value in values]
        for word in set(words):
            check(lib.dn_schema_cell(self._handle, index, _no_zero(word, "value").encode(), code))
            codes[word] = float(code[0])
        return np.array([codes[word] for word in words], np.float32)

    def _wide(self) -> dict[str, _Types]:
        """Types of the columns of whole numbers that int64 has no room for; by columns, so that all drawn rows have the same."""
        found, c = {}, ffi.new("dn_column_info *")
        for index in range(lib.dn_schema_columns(self._handle)):
            lib.dn_schema_column(self._handle, index, c)
            if max(abs(c.low), abs(c.high)) >= _INT64_END:  # not where they are NaN, of texts
                found[text(c.name)] = _Types(text(c.name), np.dtype(np.float64))
        return found

    def decode(self, x: npt.ArrayLike, like: Any = None) -> Any:
        """Coded rows (rows, coded), reconstructed or drawn, as a table with the original columns: a pandas DataFrame with its
        types if the schema was learned from one, or `like` is one; else a dict of numpy arrays."""
        values = matrix(x, lib.dn_schema_coded(self._handle))
        handle = ffi.new("dn_frame *")
        check(lib.dn_schema_decode(self._handle, pointer(values), len(values), handle))
        try:
            decoded = _take(handle)
        finally:
            lib.dn_frame_free(handle)
        types, is_pandas = self._types, self._is_pandas
        if like is not None:
            frame = Frame(like)
            types, is_pandas = frame.types, frame.is_pandas
        types = self._wide() | types
        if not is_pandas:
            return {kind.name: _as_numpy(c, kind.dtype, kind.truth) for c, kind in _with_types(decoded, types)}
        import pandas as pd

        pairs = _with_types(decoded, types)
        columns = [_as_pandas(c, kind.dtype, kind.truth, pd) for c, kind in pairs]
        table = pd.DataFrame(dict(enumerate(columns)), index=range(len(values)))
        table.columns = pd.Index([kind.name for _, kind in pairs])
        return table

    def __str__(self) -> str:
        return _text(lib.dn_schema_text, self._handle)

    def _repr_html_(self) -> str:
        """In notebooks: the columns as a table."""
        from . import _html

        return _html.schema(self)

    def __repr__(self) -> str:
        return f"<Schema of {lib.dn_schema_columns(self._handle)} columns, {lib.dn_schema_coded(self._handle)} coded>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schema) and self.json == other.json

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.json, self._types, self._is_pandas)


def cfg_for(schema: Schema, rows: int, latent: int | None = None, table: str = "data.csv") -> str:
    """The cfg of a network for a table with so many rows, with every key explained, as `darknet init` prints it. latent: its
    latent dimensions; None: by the columns. table: what the comments call it."""
    name = ffi.new("char[]", _no_zero(table, "table").encode())
    options = ffi.new("dn_init_options *", {"latent": latent or 0, "table": name})
    return _text(lambda handle, to, size: lib.dn_schema_cfg(handle, rows, options, to, size), schema._handle)


def _restored(json: str, types: dict[str, _Types], is_pandas: bool) -> Schema:
    schema = Schema.from_json(json)
    schema._types, schema._is_pandas = types, is_pandas
    return schema


def _text(function: Any, handle: Any) -> str:
    size = function(handle, ffi.NULL, 0) + 1
    memory = ffi.new("char[]", size)
    function(handle, memory, size)
    return text(memory)
