"""The shape of csrc/: what may include what, and how long a file may be."""

from __future__ import annotations

import re
from pathlib import Path

from helpers import ROOT

CSRC = ROOT / "csrc"
LONGEST = 420
# Kernels are one story each, however long, and the public interface is one file.
KERNELS = ("cpu/isa_", "cpu/cpu_conv.c", "cuda/", "darknet.h")

# The folders that the files of a folder may include from, besides their own.
MAY_INCLUDE = {
    "base": {"darknet.h"},
    "io": {"base"},
    "backend": {"base", "io", "cpu"},
    "cpu": {"base", "io", "backend"},
    "cuda": {"base", "backend"},
    "fence": {"base", "backend"},
    "net": {"base", "io", "backend"},
    "layers": {"base", "io", "net"},
    "jobs": {"darknet.h", "base", "io", "net", "layers"},
    "cli": {"darknet.h"},
}
BESIDES = {
    ("cli", "base/nearest.h"),  # "did you mean"
    ("cli", "base/number.h"),  # numbers in JSON
    ("cli", "base/status.h"),  # dn_printable
    ("cpu", "net/convolution.h"),  # the composed passes, for strides that the kernels do not cover
    ("cpu", "net/latent.h"),  # formulas alone
    ("cuda", "net/latent.h"),
    ("cpu", "net/likelihood.h"),
    ("cuda", "net/likelihood.h"),
    ("io", "net/network.h"),  # weights.c: whose parameters
}


def sources() -> dict[str, str]:
    """Path from csrc -> text."""
    suffixes = {".c", ".h", ".cu", ".cuh"}
    return {path.relative_to(CSRC).as_posix(): path.read_text() for path in CSRC.rglob("*") if path.suffix in suffixes}


def includes(text: str) -> list[str]:
    return re.findall(r'^\s*#\s*include "(.*)"', text, flags=re.M)


def folder(path: str) -> str:
    return path.split("/")[0]


def circle(graph: dict[str, list[str]]) -> list[str]:
    """The files of a circle of includes; empty: there is none."""
    done: set[str] = set()

    def walk(path: str, way: list[str]) -> list[str]:
        if path in way:
            return [*way[way.index(path) :], path]
        if path in done:
            return []
        for other in graph[path]:
            if found := walk(other, [*way, path]):
                return found
        done.add(path)
        return []

    for path in graph:
        if found := walk(path, []):
            return found
    return []


def test_includes_are_paths_from_csrc() -> None:
    files = sources()
    assert len(files) > 100
    wrong = [(path, name) for path, text in files.items() for name in includes(text) if name not in files]
    assert not wrong


def test_a_circle_of_includes_would_be_found() -> None:
    assert circle({"a": ["b", "c"], "b": ["c"], "c": []}) == []
    assert circle({"a": ["b"], "b": ["c"], "c": ["b"]}) == ["b", "c", "b"]


def test_no_circle_of_includes() -> None:
    assert circle({path: includes(text) for path, text in sources().items()}) == []


def test_folders_include_only_from_those_they_stand_on() -> None:
    files = sources()
    assert {folder(path) for path in files} - {"darknet.h"} == set(MAY_INCLUDE)
    seen = {(folder(path), name) for path, text in files.items() for name in includes(text)}
    wrong = {
        (place, name)
        for place, name in seen
        if place != "darknet.h" and folder(name) != place and folder(name) not in MAY_INCLUDE[place]
    }
    assert wrong == BESIDES


def test_files_are_short_enough_to_be_one_story() -> None:
    long = {
        path: lines for path, text in sources().items() if (lines := text.count("\n")) > LONGEST and not path.startswith(KERNELS)
    }
    assert not long


def test_the_documented_map_names_every_folder_and_every_file_of_those_it_lists() -> None:
    table = (ROOT / "docs" / "architecture.md").read_text().split("```")[1]
    paths = sources()
    described = dict(re.findall(r"^csrc/(\w+)/ .*\n((?:  .*\n)*)", table, flags=re.M))
    assert set(described) == set(MAY_INCLUDE)
    for place, lines in described.items():
        names = [name for row in re.findall(r"^  (\S.*?)(?:  |$)", lines, flags=re.M) for name in row.split()]
        stems = {Path(path).stem for path in paths if folder(path) == place}
        if names:
            assert sorted(names) == sorted(stems), place
