"""What a job found, and the Markdown that says it."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from pathlib import Path

from .limits import Limits
from .measure import Spread, count, digits

MARK = "<!-- Below this line everything is written by `make bench`; what stands above is kept. -->"


@dataclass(frozen=True)
class Goal:
    """What a ratio should be at least, or at most."""

    value: float
    at_most: bool = False

    def met(self, ratio: Spread) -> bool:
        return ratio.median <= self.value if self.at_most else ratio.median >= self.value

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.value:g}"


@dataclass
class Line:
    """One contender of a job. Without seconds: `result` says why. `of`: what the ratio is, where not what the job says."""

    who: str
    seconds: Spread | None
    ratio: Spread | None = None
    goal: Goal | None = None
    result: str = ""
    of: str | None = None

    def verdict(self) -> str:
        if self.goal is None or self.ratio is None:
            return ""
        return "met" if self.goal.met(self.ratio) else "**missed**"


@dataclass
class Result:
    """`what` says what is measured; `ratio` what the ratios are of; `results` what the last column is."""

    title: str
    what: str
    ratio: str = "peer / ours"
    results: str = "losses"
    lines: list[Line] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def add(
        self, who: str, seconds: Spread | None, ratio: Spread | None = None, goal: Goal | None = None, result: str = ""
    ) -> None:
        self.lines.append(Line(who, seconds, ratio, goal, result))


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def section(name: str, result: Result) -> list[str]:
    rows = [
        [line.who, *(str(x) if x is not None else "" for x in (line.seconds, line.ratio, line.goal)), line.verdict(), line.result]
        for line in result.lines
    ]
    parts = [f"## {result.title}", f"`python -m bench {name}`. {result.what}"]
    if rows:
        parts.append(table(["", "seconds", result.ratio, "goal", "", result.results], rows))
    parts += result.notes
    parts += [f"**Error: {error}**" for error in result.errors]
    return parts


def summary(results: dict[str, Result]) -> str:
    rows = [
        [f"`{name}`", line.who, line.of or result.ratio, str(line.ratio), str(line.goal), line.verdict()]
        for name, result in results.items()
        for line in result.lines
        if line.ratio is not None and line.goal is not None
    ]
    return table(["job", "", "ratio", "median (low..high)", "goal", ""], rows)


def machine_limits(limits: Limits) -> str:
    columns = list(limits.figures.values())
    rows = []
    for name in columns[0]:
        label, unit = (f"sgemm of {name}", "GFLOP/s") if name in ("numpy", "ours") else (name, "GB/s")
        rows.append([label, *(digits(column[name]) for column in columns), unit])
    return table(["", *(count(threads, "thread") for threads in limits.figures), ""], rows)


def markdown(about: list[str], limits: Limits, results: dict[str, Result]) -> str:
    parts = [
        "\n".join(f"- {line}" for line in about),
        "Times are wall-clock seconds: the median of the rounds, and in brackets the lowest and highest. In a round every "
        "contender runs once, one after the other. Ratios are formed round by round; their median counts, and of several ways "
        "of a peer the one with the lowest median. What stands beside a recorded time is our median.",
        "## Summary",
        summary(results),
        "## The machine's limits",
        "The best of all tries in this run: a large square product (ours as a network of one linear layer, copies of its rows in "
        "and out included, numpy's with the kernels that its BLAS chooses), reading an array and multiplying it in place (bytes "
        "read and bytes written both count).",
        machine_limits(limits),
        *(part for name, result in results.items() for part in section(name, result)),
    ]
    return "\n\n".join(map(wrapped, parts)) + "\n"


def wrapped(part: str) -> str:
    """Prose in lines; tables, lists and titles as they are."""
    if part.startswith(("#", "| ", "- ")):
        return part
    return textwrap.fill(" ".join(part.split()), 120, break_long_words=False, break_on_hyphens=False)


def write(path: Path, text: str) -> None:
    """Replace what stands below the mark."""
    head = "# Performance\n\n"
    if path.exists():
        head = path.read_text().split(MARK)[0]
    path.write_text(f"{head}{MARK}\n\n{text}")
