"""The log of a training as arrays: what `train -log F` wrote, or a History."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from . import errors

__all__ = ["read_log"]

Columns = dict[str, npt.NDArray[np.float64]]


def read_log(log: Any) -> Columns:
    """A log by column, each an array with one value per line; NaN where a line has none.

    `log`: the path of a file that training wrote (.csv, or JSON lines), a History, a list of records such as `history.records`,
    or a mapping of names to values. A file that is no log is a `FormatError` that names the line."""
    if isinstance(log, str | os.PathLike):
        return _file(os.fspath(log))
    records = getattr(log, "records", None)
    if records and any(records):
        return _of_records(records)
    if isinstance(log, Mapping):
        return _of_columns(log)
    if isinstance(log, Iterable):
        return _of_records(list(log))
    raise errors.UsageError(f"a {type(log).__name__} is no log: give a file that -log wrote, a History, or a dict of lists")


def _of_columns(columns: Mapping[str, Any]) -> Columns:
    try:
        found = {str(name): np.asarray(values, np.float64).ravel() for name, values in columns.items()}
    except (TypeError, ValueError) as reason:
        raise errors.UsageError(f"log: {reason}") from None
    found = {name: values for name, values in found.items() if len(values)}
    lines = max(map(len, found.values()), default=0)
    # scores that began later belong to the last lines
    return {name: np.concatenate([np.full(lines - len(values), np.nan), values]) for name, values in found.items()}


def _of_records(records: list[Any]) -> Columns:
    if not all(isinstance(record, Mapping) for record in records):
        raise errors.UsageError("a log in memory is a list of dicts, one for every line")
    names = list(dict.fromkeys(name for record in records for name in record))
    return {name: np.array([_number(record.get(name)) for record in records], np.float64) for name in names}


def _number(value: Any) -> float:
    return math.nan if value is None or value == "" else float(value)


def _file(path: str) -> Columns:
    try:
        with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
            text = file.read()
    except FileNotFoundError:
        raise errors.MissingFileError(f"{path}: no such file") from None
    except OSError as reason:
        raise errors.FileError(f"{path}: {reason.strerror}") from None
    found = _json_lines(path, text) if text.lstrip()[:1] == "{" else _csv(path, text)
    if not found:
        raise errors.FormatError(f"{path}: no log of a training: it is empty")
    return found


def _json_lines(path: str, text: str) -> Columns:
    records = []
    lines = [(at, line) for at, line in enumerate(text.splitlines(), 1) if line.strip()]
    for at, line in lines:
        try:
            record = json.loads(line)
            records.append({str(name): _number(value) for name, value in record.items()})
        except (ValueError, TypeError, AttributeError):
            if (at, line) == lines[-1] and records:  # a training that was killed
                break
            raise errors.FormatError(f"{path}:{at}: no line of a log: '{line[:40]}'") from None
    return _of_records(records)


def _csv(path: str, text: str) -> Columns:
    rows = [
        (at, next(csv.reader([line]), [])) for at, line in enumerate(text.splitlines(), 1) if line.strip() and "\0" not in line
    ]
    if not rows:
        return {}
    names = [name.strip() for name in rows[0][1]]
    if "epoch" not in names:
        raise errors.FormatError(
            f"{path}:1: no log of a training, which has a column epoch, but '{','.join(names)[:60]}': give what train -log wrote"
        )
    found: list[list[float]] = []
    for at, row in rows[1:]:
        if row == rows[0][1]:  # of logs that were put together
            continue
        try:
            values = [_number(cell.strip()) for cell in row]
        except ValueError:
            values = []
        if len(values) != len(names):
            if at == rows[-1][0]:  # a training that was killed
                break
            raise errors.FormatError(f"{path}:{at}: no line of a log: '{','.join(row)[:40]}'")
        found.append(values)
    table = np.array(found, np.float64).reshape(-1, len(names))
    return {name: table[:, column] for column, name in enumerate(names)}
