"""Real tables: python -m bench anomaly | synthetic | imputation, ours beside its peers, with goals."""

from __future__ import annotations

import argparse
import datetime
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from .measure import available_cores, count, digits, processor, say, versions
from .report import table, wrapped, write_sections

MARK = "<!-- Below this line everything is written by `python -m bench anomaly`, `synthetic` and `imputation`. -->"
PACKAGES = ["numpy", "scikit-learn", "pandas", "pyod", "torch", "ctgan", "sdmetrics"]
NAMES = ("anomaly", "synthetic", "imputation")


@dataclass(frozen=True)
class Goal:
    """What a number should be at least (`above`: more than)."""

    what: str
    value: float
    wanted: float
    above: bool = False

    @property
    def met(self) -> bool:
        return self.value > self.wanted if self.above else self.value >= self.wanted

    def cells(self) -> list[str]:
        sign = ">" if self.above else ">="
        return [self.what, f"{self.value:.3g}", f"{sign} {self.wanted:.3g}", "met" if self.met else "**missed**"]


@dataclass
class Found:
    """`values[contender][table]`: measures by name, of which `seconds` is one."""

    values: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def add(self, who: str, table: str, measures: list[dict[str, float]]) -> None:
        """The means over the seeds."""
        if measures:
            mean = {key: float(np.mean([m[key] for m in measures])) for key in measures[0]}
            self.values.setdefault(who, {})[table] = mean
            say(f"{table}: {who} " + ", ".join(f"{key} {value:.3f}" for key, value in mean.items()))

    def of(self, who: str, key: str, tables: list[str] | None = None) -> list[float]:
        found = self.values.get(who, {})
        return [found[name][key] for name in (found if tables is None else tables) if name in found]

    def mean(self, who: str, key: str, tables: list[str] | None = None) -> float:
        values = self.of(who, key, tables)
        return float(np.mean(values)) if values else float("nan")

    def common(self, a: str, b: str) -> list[str]:
        return [name for name in self.values.get(a, {}) if name in self.values.get(b, {})]

    def ratio(self, slow: str, fast: str) -> tuple[float, int]:
        """Of the sums of seconds, over the tables that both have."""
        names = self.common(slow, fast)
        return sum(self.of(slow, "seconds", names)) / max(sum(self.of(fast, "seconds", names)), 1e-9), len(names)


@dataclass(frozen=True)
class Options:
    folder: Path
    tables: list[str]
    seeds: int
    without: frozenset[str]
    slow: frozenset[str]
    quick: bool


Contender = Callable[..., Any]


def unusable(package: str) -> str:
    """Why a package cannot be imported; empty: it can."""
    try:
        with quietly():
            import_module(package)
    except ImportError as reason:
        return f"{package} cannot be imported ({reason})"
    return ""


def allowed(options: Options, found: Found, contenders: dict[str, tuple[str, Contender]]) -> dict[str, Contender]:
    """Contenders by name, each with the package it needs; those that are left out get a line."""
    kept = {}
    for who, (package, contender) in contenders.items():
        if who in options.without:
            found.left_out.append(f"{who} was left out (--without).")
        elif reason := unusable(package):
            found.left_out.append(f"{who} is left out: {reason}.")
        else:
            kept[who] = contender
    return kept


def fits(options: Options, who: str, name: str, slow: set[str]) -> bool:
    """Slow contenders run on the tables of --slow alone, if that is given."""
    return who not in slow or not options.slow or name in options.slow


@contextmanager
def quietly() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    with quietly():
        result = call()
    return result, time.perf_counter() - start


def by_table(found: Found, keys: list[str]) -> str:
    """A row per table, the means last; of several measures a/b/c in a cell."""

    def cell(measures: dict[str, float] | None) -> str:
        return "" if measures is None else " / ".join(f"{measures[key]:.3f}" for key in keys)

    names = list(dict.fromkeys(name for tables in found.values.values() for name in tables))
    rows = [[name, *(cell(found.values[who].get(name)) for who in found.values)] for name in names]
    means = ["**mean**", *(cell({key: found.mean(who, key) for key in keys}) for who in found.values)]
    sums = ["seconds", *(digits(sum(found.of(who, "seconds"))) for who in found.values)]
    return table(["", *found.values], [*rows, means, sums])


def section(name: str, what: str, found: Found, goals: list[Goal], keys: list[str], when: str) -> str:
    parts = [f"### {name}", wrapped(f"`python -m bench {name}`, {when}. {what}")]
    parts.append(table(["goal", "", "wanted", ""], [goal.cells() for goal in goals]))
    parts.append(by_table(found, keys))
    parts += [wrapped(line) for line in found.left_out]
    return "\n\n".join(parts)


def write(path: Path, sections: dict[str, str]) -> None:
    write_sections(path, "Real tables", MARK, sections, NAMES)


def main(arguments: list[str]) -> int:
    from .tables_anomaly import anomaly
    from .tables_imputation import imputation
    from .tables_synthetic import synthetic

    jobs: dict[str, Callable[[Options, str], str]] = dict(zip(NAMES, (anomaly, synthetic, imputation), strict=True))
    parser = argparse.ArgumentParser(prog="python -m bench", description="Real tables, ours beside peers.")
    parser.add_argument("jobs", nargs="+", choices=NAMES, metavar="JOB", help=f"some of: {', '.join(NAMES)}")
    parser.add_argument("--output", type=Path, metavar="FILE", help="replace these sections in this file; else print")
    parser.add_argument("--tables", default="", metavar="A,B", help="only these tables")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="splits of each table (3)")
    parser.add_argument("--without", default="", metavar="A,B", help="leave these contenders out, by their names in the report")
    parser.add_argument(
        "--slow", default="", metavar="A,B", help="peers of minutes (PyOD's VAE and AutoEncoder, TVAE): on these tables only"
    )
    parser.add_argument("--quick", action="store_true", help="one small table, one seed: does it all work?")
    options = parser.parse_args(arguments)
    folder = os.environ.get("DARKNET_VAE_TABLES", "")
    if not Path(folder, "tables").is_dir() or not Path(folder, "anomaly").is_dir():
        parser.error("DARKNET_VAE_TABLES must name a folder with the folders anomaly (*.npz, X and y) and tables (*.csv)")
    if options.seeds < 1:
        parser.error(f"--seeds {options.seeds} is not a positive number")
    words = {key: frozenset(filter(None, getattr(options, key).split(","))) for key in ("without", "slow")}
    seeds = 1 if options.quick else options.seeds
    chosen = Options(
        Path(folder), [t for t in options.tables.split(",") if t], seeds, words["without"], words["slow"], options.quick
    )
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    when = f"{processor()}, {count(available_cores(), 'core')}, {datetime.date.today()}{load}; {versions(PACKAGES)}"
    for name in options.jobs:
        text = jobs[name](chosen, when)
        if options.output:
            write(options.output, {name: text})
        else:
            print(text, flush=True)
    return 0
