"""The blocks of code in Markdown pages: found, run in order as a reader would, and compared with the output that is shown.

A block is fenced or indented. Shell and Python are run; an indented block has the language that the site gives it. What stands
directly after a block that was run, in a block of text, is its output: a line `...` stands for any lines, `...` in a line for
anything, and numbers are compared to the precision that is shown, except times.

`DARKNET_ISA=avx2 python tests/snippets.py PAGE.md ...` runs pages and writes their outputs anew; with -check it compares them.

    <!-- not run: the reason -->       before a block that cannot run here
    <!-- needs: torch -->              before a block that is run where that package is installed
    <!-- output -->                    before a text that is the output of the last block, with words in between
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers import BINARY, ROOT

import darknet_vae as dv

_spec = importlib.util.spec_from_file_location("docs_site_pages", ROOT / "docs" / "site_pages.py")
assert _spec and _spec.loader
_site = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_site)

MARK = re.compile(r"<!-- (not run|output|needs)(?:: (.*?))? -->")
NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.]*\d)", re.I)
# After a number that counts time, or rows in it, or threads: not the same on another machine, or twice.
TIME = re.compile(r" ?(?:m?s|seconds|minutes|rows/s|rows per second|threads)\b|/s\b")


@dataclass
class Block:
    page: Path
    line: int
    language: str
    code: str
    marks: dict[str, str]
    after_block: bool
    """Nothing but blank lines stands between it and the block before it."""

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def runs(self) -> bool:
        return self.language in ("shell", "python") and "not run" not in self.marks and not self.missing

    @property
    def missing(self) -> str:
        """A package that it needs and that is not installed."""
        names = [name for name in self.marks.get("needs", "").split(", ") if name]
        return next((name for name in names if importlib.util.find_spec(name) is None), "")


def blocks(page: Path) -> list[Block]:
    found: list[Block] = []
    lines = page.read_text().split("\n")
    marks: dict[str, str] = {}
    at, prose = 0, True  # is there something between the last block and here?
    while at < len(lines):
        line, begin = lines[at], at
        mark = MARK.fullmatch(line.strip())
        fence = re.match(r"(```+)(.*)", line)
        if mark:
            marks[mark[1]] = mark[2] or ""
        elif fence:
            at = next((i for i in range(at + 1, len(lines)) if lines[i].strip() == fence[1]), len(lines))
            found.append(Block(page, begin + 1, fence[2].strip() or "text", "\n".join(lines[begin + 1 : at]), marks, not prose))
            marks, prose = {}, False
        elif line.startswith("    ") and (at == 0 or not lines[at - 1].strip() or MARK.search(lines[at - 1])):
            while at + 1 < len(lines) and (lines[at + 1].startswith("    ") or not lines[at + 1].strip()):
                at += 1
            code = "\n".join(text[4:] for text in lines[begin : at + 1]).rstrip()
            found.append(Block(page, begin + 1, _site.language_of(code), code, marks, not prose))
            marks, prose = {}, False
        elif line.strip():
            marks, prose = {}, True
        at += 1
    return found


# ---- output ----


def _step(number: str) -> float:
    """One unit in the last place that is shown."""
    mantissa, _, exponent = number.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    return 10.0 ** (int(exponent or 0) - decimals)


def _same_line(shown: str, said: str) -> bool:
    """Does a line that is shown stand for one that was printed?"""
    pattern, numbers, at = "", [], 0
    for found in re.finditer(rf"{NUMBER.pattern}|\.\.\.", shown):
        pattern += re.escape(shown[at : found.start()])
        timed = TIME.match(shown, found.end()) or re.search(r"seconds[ :=]+$", shown[: found.start()])
        if found[0] == "...":
            pattern += ".*?"
        elif timed:
            pattern += f"(?:{NUMBER.pattern})"
        else:
            pattern += f"({NUMBER.pattern})"
            numbers.append(found[0])
        at = found.end()
    pattern += re.escape(shown[at:])
    # Columns may be wider or narrower by what numbers take.
    match = re.fullmatch(re.sub(r"(\\ )+", r"\\s+", pattern), said.rstrip(), re.I)
    if not match:
        return False
    for want, have in zip(numbers, match.groups(), strict=True):
        a, b = float(want.replace(",", "")), float(have.replace(",", ""))
        if abs(a - b) > (0.5001 * _step(want) if _step(have) < _step(want) else 0.0):
            return False
    return True


def differs(shown: str, said: str) -> str:
    """What of the text that is shown was not printed; "": nothing."""
    want = [line.rstrip() for line in shown.strip("\n").split("\n") if line.strip()]
    have = [line.rstrip() for line in said.replace("\r", "\n").split("\n") if line.strip()]
    # Where a bundled file lies is another place on every machine.
    have = [line for line in have if not re.match("darknet(-vae)?: using ", line)]
    at, gap = 0, False
    for line in want:
        if line.strip() == "...":
            gap = True
            continue
        place = next((i for i in range(at, len(have) if gap else min(at + 1, len(have))) if _same_line(line, have[i])), None)
        if place is None:
            return f"shown:   {line}\nprinted: " + "\n         ".join(have[at : at + 12] or ["(nothing more)"])
        at, gap = place + 1, False
    return "" if gap or at == len(have) else "not shown: " + "\n           ".join(have[at : at + 12])


# ---- running ----


def shell(code: str, folder: Path) -> str:
    """Run lines in a folder; what they print. pip installs nothing: the package is there already."""
    code = re.sub(r"^pip install [^&\n#]*(&& *|(?=#|$))", "", code, flags=re.M)
    code = re.sub(r"^make && ", "", code, flags=re.M)
    scripts = os.path.dirname(sys.executable)
    environment = {
        **os.environ,
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "MPLBACKEND": "Agg",
        "PYTHONUNBUFFERED": "1",
    }
    done = subprocess.run(
        ["bash", "-e", "-c", code], cwd=folder, env=environment, text=True, timeout=300,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}"
    return done.stdout


def python(code: str, scope: dict[str, Any], name: str) -> str:
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            exec(compile(code, name, "exec"), scope)
    except Exception:
        raise AssertionError(traceback.format_exc()) from None
    return out.getvalue()


def anew(shown: str, said: str) -> str:
    """What was printed, with the same lines left out: those around a line `...` are counted from both ends, single ones found by
    their first word."""
    have = [line.rstrip() for line in said.replace("\r", "\n").split("\n") if line.strip()]
    have = [line for line in have if not re.match("darknet(-vae)?: using ", line)]
    want = [line for line in shown.split("\n") if line.strip()]
    if "..." not in want:
        return shown if any("..." in line for line in want) else "\n".join(have)
    at, last = want.index("..."), len(want) - 1 - want[::-1].index("...")
    middle = [next(line for line in have if line.split()[0] == one.split()[0]) for one in want[at + 1 : last]]
    tail = have[len(have) - (len(want) - 1 - last) :] if last < len(want) - 1 else []
    return "\n".join([*have[:at], "...", *middle, *(["..."] if middle or last > at else []), *tail])


def run_page(page: Path, folder: Path, write: bool = False) -> int:
    """Run all blocks of a page in an empty folder with the repository's files to be read; how many there were. write: the outputs
    that are no longer printed are written anew into the page."""
    for name in ("cfg", "data", "examples", "csrc"):
        (folder / name).symlink_to(ROOT / name)
    assert BINARY, "the darknet binary was not installed"
    (folder / "darknet").symlink_to(BINARY)
    # Outputs are those of AVX2; other instruction sets round otherwise, and a training makes that larger.
    compares = " cpu kernels avx2" in dv.build_info()
    scope: dict[str, Any] = {"__name__": "__main__"}
    count, said, left_out = 0, "", False
    text = page.read_text()
    for block in blocks(page):
        try:
            if block.language in ("shell", "python"):
                left_out = not block.runs
            if block.runs:
                said = shell(block.code, folder) if block.language == "shell" else python(block.code, scope, block.place)
                count += 1
            elif "output" in block.marks or (block.language == "text" and block.after_block and count and not left_out):
                problem = differs(block.code, said)
                if problem and write:
                    assert text.count(f"\n{block.code}\n") == 1, "this output is in the page twice"
                    text, problem = text.replace(f"\n{block.code}\n", f"\n{anew(block.code, said)}\n"), ""
                assert not (problem and compares), problem
        except AssertionError as failure:
            raise AssertionError(f"{block.place}\n{block.code}\n\n{failure}") from None
    if write:
        page.write_text(text)
    return count


if __name__ == "__main__":
    import tempfile

    names = [name for name in sys.argv[1:] if name != "-check"]
    for name in map(os.path.abspath, names):
        with tempfile.TemporaryDirectory() as there, contextlib.chdir(there):
            print(name, run_page(Path(name), Path(there), write=len(names) == len(sys.argv) - 1))
