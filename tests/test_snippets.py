"""What the documents tell to type does what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT, has_isa
from snippets import blocks, differs

# docs/cli.md has the usage of every verb, which is no command.
PAGES = sorted({ROOT / "README.md", ROOT / "cfg" / "README.md", *(ROOT / "docs").rglob("*.md")} - {ROOT / "docs" / "cli.md"})
WITH_CODE = [page for page in PAGES if any(block.runs for block in blocks(page))]
NEEDS = {(page, block.marks["needs"]) for page in PAGES for block in blocks(page) if "needs" in block.marks}
SKIPPED = [block for page in PAGES for block in blocks(page) if "not run" in block.marks]


def checked(page: Path) -> int:
    """How many blocks of a page were run, and printed what it shows: by a process of its own, as every processor that has AVX2
    then computes with it."""
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    if has_isa("avx2"):
        environment["DARKNET_ISA"] = "avx2"
    words = [sys.executable, str(ROOT / "tests" / "snippets.py"), "-check", str(page)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return int(done.stdout.split()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_does_what_it_says(page: Path) -> None:
    for module in ("matplotlib", "pandas", "sklearn"):
        pytest.importorskip(module, reason=f"pages use {module}: pip install '.[test]'")
    assert checked(page) == sum(block.runs for block in blocks(page))


@pytest.mark.slow
@pytest.mark.parametrize(("page", "packages"), sorted(NEEDS), ids=lambda value: str(value).rpartition("/")[2])
def test_a_page_does_what_it_says_of_another_program(page: Path, packages: str) -> None:
    for package in packages.split(", "):
        pytest.importorskip(package, reason=f"{page.name} shows what {package} does beside ours")
    assert checked(page)


@pytest.mark.parametrize("block", SKIPPED, ids=lambda block: block.place)
def test_what_is_not_run_has_a_reason(block: object) -> None:
    assert len(block.marks["not run"]) > 8  # type: ignore[attr-defined]


def test_the_guides_have_code_that_runs() -> None:
    names = {str(page.relative_to(ROOT)) for page in WITH_CODE}
    assert {"README.md", "docs/start.md", "docs/tables.md", "docs/training.md", "docs/sklearn.md"} <= names
    for page in [*(ROOT / "docs" / "guides").glob("*.md"), *(ROOT / "docs" / "coming-from").glob("*.md")]:
        assert str(page.relative_to(ROOT)) in names, f"{page.name} has nothing to type"


@pytest.mark.parametrize(
    ("shown", "said", "same"),
    [
        ("loss 1.83", "loss 1.8312", True),
        ("loss 1.83", "loss 1.8361", False),
        ("loss 1.83", "loss 1.84", False),
        ("12 rows", "12 rows", True),
        ("12 rows", "13 rows", False),
        ("done in 0.9 s, 5 epochs", "done in 12.5 s, 5 epochs", True),
        ("done in 0.9 s, 5 epochs", "done in 12.5 s, 6 epochs", False),
        ("epochs 3  seconds 0.4", "epochs 3  seconds 12", True),
        ("epochs 3  seconds 0.4", "epochs 4  seconds 0.4", False),
        ("a ... c", "a b b c", True),
        ("a\n...\nd", "a\nb\nc\nd", True),
        ("a\n...", "a\nb", True),
        ("a", "a\nb", False),
        ("a\nb", "a", False),
        ("z1  z2\n0.50  -1", "z1      z2\n0.5     -1", True),
        ("1e-05", "1.04e-05", True),
        ("Gentoo", "Adelie", False),
    ],
)
def test_output_is_compared_to_the_precision_that_is_shown(shown: str, said: str, same: bool) -> None:
    assert (differs(shown, said) == "") is same


def test_blocks_are_found_with_their_language_marks_and_output(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Text.\n\n    darknet train x.csv   # comment\n    darknet score\n\n```text\nout\n```\n\nWords.\n"
        "\n<!-- output -->\n```\nmore\n```\n\n<!-- not run: no GPU here -->\n```python\nimport x\n\ny = 1\n```\n"
        "\n- a list\n  goes on\n\n    z = x.y(1)\n"
    )
    found = blocks(page)
    assert [(block.language, block.after_block, block.runs) for block in found] == [
        ("shell", False, True), ("text", True, False), ("text", False, False), ("python", True, False), ("python", False, True),
    ]  # fmt: skip
    assert found[0].code == "darknet train x.csv   # comment\ndarknet score" and found[3].code == "import x\n\ny = 1"
    assert "output" in found[2].marks and found[3].marks == {"not run": "no GPU here"}
