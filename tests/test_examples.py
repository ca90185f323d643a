"""The scripts and notebooks of examples/ do what they say."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from helpers import ROOT, run

EXAMPLES = ROOT / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
# What a script prints or writes; the others are run by tests/test_table_python.py.
SCRIPTS = {
    "images": ("wrote samples.png", ("curves.png", "reconstructions.png", "samples.png", "traversals.png", "interpolation.png")),
    "sklearn_pipeline": ("unusual penguins:", ()),
    "likelihoods": ("gaussian by pixel", ()),
    "report_and_explorer": ("written: explorer.html", ("report.html", "explorer.html")),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs(name: str) -> None:
    (
        pytest.importorskip("sklearn"),
        pytest.importorskip("pandas"),
        pytest.importorskip("matplotlib"),
        pytest.importorskip("jinja2", reason="a report needs jinja2: pip install '.[report]'"),
    )
    done = run([sys.executable, str(EXAMPLES / f"{name}.py")], env={**os.environ, "MPLBACKEND": "Agg"})
    assert done.returncode == 0, done.stderr
    said, files = SCRIPTS[name]
    assert said in done.stdout and all(Path(file).stat().st_size > 1000 for file in files)


def test_every_script_is_run_by_some_test() -> None:
    others = (ROOT / "tests" / "test_table_python.py").read_text()
    for path in EXAMPLES.glob("*.py"):
        assert path.stem in SCRIPTS or f'"{path.stem}"' in others, path.name
        assert path.read_text().startswith('"""') and len(path.read_text().splitlines()) <= 32, path.name


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_in_a_kernel_of_its_own(path: Path) -> None:
    for name in ("nbclient", "nbformat", "ipykernel", "matplotlib", "pandas"):
        pytest.importorskip(name, reason=f"notebooks are run with {name}: pip install '.[notebooks]'")
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": "."}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 3
    assert not [output for output in outputs if output.get("name") == "stderr" and "Warning" in output.get("text", "")]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    for cell in json.loads(path.read_text())["cells"]:
        assert cell["cell_type"] == "markdown" or (not cell["outputs"] and cell["execution_count"] is None)
