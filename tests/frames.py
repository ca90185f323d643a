"""Typed tables through the C interface."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from darknet_vae._lib import check, ffi, lib


@dataclass
class Column:
    name: str
    type: str  # "number", "time", "text"
    values: Any  # numbers, or texts and None
    decimals: int
    form: int


@dataclass
class Frame:
    columns: list[Column]
    rows: int
    separator: str
    warnings: list[str]

    def __getitem__(self, name: str) -> Any:
        return next(c.values for c in self.columns if c.name == name)

    @property
    def names(self) -> list[str]:
        return [c.name for c in self.columns]

    @property
    def types(self) -> list[str]:
        return [c.type for c in self.columns]


def words_of(column: Any) -> list[str]:
    words, at = [], column.words
    for _ in range(column.n_words):
        word = ffi.string(at)
        words.append(word.decode())
        at += len(word) + 1
    return words


def column_of(column: Any, rows: int) -> Column:
    kind = ("number", "time", "text")[column.type]
    if kind == "text":
        words = words_of(column)
        assert len(set(words)) == len(words)
        codes = np.frombuffer(ffi.buffer(column.codes, 4 * rows), np.int32)
        seen = codes[codes >= 0]
        _, first = np.unique(seen, return_index=True)
        assert (seen[np.sort(first)] == np.arange(len(words))).all()  # words are in order of first appearance
        values: Any = [words[code] if code >= 0 else None for code in codes]
    else:
        values = np.frombuffer(ffi.buffer(column.numbers, 8 * rows), np.float64).copy()
    return Column(ffi.string(column.name).decode(), kind, values, column.decimals, column.form)


def load(path: Path | str, header: int = 0, max_rows: int = 0, threads: int = 0, save: Path | str | None = None) -> Frame:
    """Read a table; `save`: also write it."""
    frame = ffi.new("dn_frame *")
    options = ffi.new("dn_frame_options *", {"header": header, "max_rows": max_rows, "threads": threads})
    check(lib.dn_frame_load(frame, str(path).encode(), options))
    try:
        if save is not None:
            check(lib.dn_frame_save(str(save).encode(), frame))
        columns = [column_of(frame.columns[i], frame.rows) for i in range(frame.n)]
        warnings = ffi.string(frame.warnings).decode().split("\n") if frame.warnings else []
        return Frame(columns, frame.rows, frame.separator.decode(), warnings)
    finally:
        lib.dn_frame_free(frame)
