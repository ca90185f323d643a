"""What a job found, and the Markdown that says it: a section per processor and instruction set, in it one per job."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
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


def section(name: str, result: Result, when: str) -> list[str]:
    rows = [
        [line.who, *(str(x) if x is not None else "" for x in (line.seconds, line.ratio, line.goal)), line.verdict(), line.result]
        for line in result.lines
    ]
    parts = [f"### {result.title}", f"`python -m bench {name}`, {when}. {result.what}"]
    if rows:
        parts.append(table(["", "seconds", result.ratio, "goal", "", result.results], rows))
    parts += result.notes
    parts += [f"**Error: {error}**" for error in result.errors]
    return parts


def verdicts(name: str, result: Result) -> list[list[str]]:
    return [
        [f"`{name}`", line.who, line.of or result.ratio, str(line.ratio), str(line.goal), line.verdict()]
        for line in result.lines
        if line.ratio is not None and line.goal is not None
    ]


def machine_limits(limits: Limits) -> str:
    columns = list(limits.figures.values())
    rows = []
    for name in columns[0]:
        label, unit = (f"sgemm of {name}", "GFLOP/s") if name in ("numpy", "ours") else (name, "GB/s")
        rows.append([label, *(digits(column[name]) for column in columns), unit])
    return table(["", *(count(threads, "thread") for threads in limits.figures), ""], rows)


@dataclass
class Report:
    """What was measured where. `heading`: processor and instruction set; `about`: with which versions; `when` and under what
    load; `order`: of all jobs."""

    heading: str
    about: list[str]
    when: str
    limits: Limits
    results: dict[str, Result]
    order: Iterable[str]

    def markdown(self, before: str = "") -> str:
        """`before`: this section as it was; jobs that were not run again stay."""
        rows, jobs = old_rows(before), old_jobs(before)
        for name, result in self.results.items():
            rows[name] = [f"| {' | '.join(row)} |" for row in verdicts(name, result)]
            jobs[name] = "\n\n".join(map(wrapped, section(name, result, self.when)))
        header = table(["job", "", "ratio", "median (low..high)", "goal", ""], [])
        names = [name for name in self.order if name in jobs]
        parts = [
            f"## {self.heading}",
            "\n".join(f"- {line}" for line in self.about),
            "\n".join([header, *(row for name in names for row in rows.get(name, []))]),
            "### The machine's limits",
            "The best of all tries in the last run: a large square product (ours as a network of one linear layer, copies of its "
            "rows in and out included, numpy's with the kernels that its BLAS chooses), reading an array and multiplying it in "
            "place (bytes read and bytes written both count).",
            machine_limits(self.limits),
        ]
        return "\n\n".join([*map(wrapped, parts), *(jobs[name] for name in names)]) + "\n"


def old_rows(text: str) -> dict[str, list[str]]:
    """The rows of a section's first table, by job."""
    rows: dict[str, list[str]] = {}
    for line in text.split("\n### ")[0].splitlines():
        found = re.match(r"\| `(\w+)` \|", line)
        if found:
            rows.setdefault(found[1], []).append(line)
    return rows


def old_jobs(text: str) -> dict[str, str]:
    found = {}
    for part in re.split(r"(?m)^(?=### )", text)[1:]:
        job = re.search(r"`python -m bench (\w+)`", part)
        if job:
            found[job[1]] = part.strip()
    return found


def wrapped(part: str) -> str:
    """Prose in lines; tables, lists and titles as they are."""
    if part.startswith(("#", "| ", "- ")):
        return part
    return textwrap.fill(" ".join(part.split()), 120, break_long_words=False, break_on_hyphens=False)


HOW = """Times are wall-clock seconds: the median of the rounds, and in brackets the lowest and highest. In a round every
    contender runs once, one after the other. Ratios are formed round by round; their median counts, and of several ways of a
    peer the one with the lowest median. What stands beside a recorded time is our median."""


def write(path: Path, report: Report) -> None:
    """Replace this report's jobs in its section below the mark. Everything else stays."""
    head, _, measured = (path.read_text() if path.exists() else "# Performance\n\n").partition(MARK)
    sections = {part.splitlines()[0][3:]: part for part in re.split(r"(?m)^(?=## )", measured)[1:]}
    sections[report.heading] = report.markdown(sections.get(report.heading, ""))
    path.write_text("\n\n".join([f"{head}{MARK}", wrapped(HOW), *(part.strip() for part in sections.values())]) + "\n")


def write_sections(path: Path, title: str, mark: str, sections: dict[str, str], order: Iterable[str]) -> None:
    """Replace the sections "### name" of a file, which has those of `order`; the text above the mark is kept."""
    before = path.read_text() if path.exists() else f"# {title}\n\n{mark}\n"
    above, _, below = before.partition(mark)
    old = {part.split("\n", 1)[0]: f"### {part.strip()}" for part in re.split(r"^### ", below, flags=re.M)[1:]}
    both = {**old, **sections}
    path.write_text(above + mark + "\n\n" + "\n\n".join(both[name] for name in order if name in both) + "\n")
