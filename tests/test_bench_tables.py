"""python -m bench anomaly, synthetic, imputation: they run from end to end on small tables, and say what was left out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT

sys.path.append(str(ROOT))

from bench.tables import MARK, Found, Goal, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 4)), np.arange(200) % 20 == 0
    X[y] += 8
    for name in ("anomaly", "tables"):
        (tmp_path / name).mkdir()
    np.savez(tmp_path / "anomaly" / "shifted.npz", X=X, y=y)
    shutil.copy(ROOT / "data" / "penguins.csv", tmp_path / "tables")
    return tmp_path


def bench(folder: Path | None, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DARKNET_VAE_TABLES": "" if folder is None else str(folder)}
    return subprocess.run(
        [sys.executable, "-m", "bench", *words], cwd=ROOT, capture_output=True, text=True, timeout=300, env=environment
    )


def test_anomalies_that_are_plain_are_found_and_absent_peers_are_named(folder: Path) -> None:
    pytest.importorskip("sklearn")
    done = bench(folder, "anomaly", "--quick", "--without", "PyOD VAE,PyOD AutoEncoder,PyOD KNN,PyOD ECOD,PyOD PCA")
    assert done.returncode == 0, done.stderr
    assert "| mean ROC AUC | 1 | >= 0.765 | met |" in done.stdout
    assert "PyOD VAE was left out (--without)." in done.stdout


def test_gaps_of_penguins_are_filled_better_than_by_means(folder: Path) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("sklearn")
    output = folder / "results.md"
    done = bench(folder, "imputation", "--quick", "--output", str(output))
    assert done.returncode == 0, done.stderr
    lines = [line for line in output.read_text().splitlines() if line.startswith("| penguins: ")]
    assert len(lines) == 2 and all(line.endswith("| met |") for line in lines), lines


def test_without_the_tables_one_line_says_what_to_set() -> None:
    done = bench(None, "anomaly")
    assert done.returncode == 2 and "DARKNET_VAE_TABLES must name a folder" in done.stderr


def test_a_section_replaces_the_one_of_its_job_and_the_text_above_the_mark_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "results.md"
    path.write_text(f"# Mine\n\n{MARK}\n\n### synthetic\n\nold\n")
    write(path, {"imputation": "### imputation\n\nnew"})
    write(path, {"synthetic": "### synthetic\n\nnewer"})
    assert path.read_text() == f"# Mine\n\n{MARK}\n\n### synthetic\n\nnewer\n\n### imputation\n\nnew\n"


def test_goals_and_ratios_are_of_the_tables_that_both_have() -> None:
    found = Found()
    for who, table, seconds in (("a", "x", 1.0), ("a", "y", 9.0), ("b", "x", 30.0)):
        found.add(who, table, [{"auc": 0.5, "seconds": seconds}, {"auc": 0.7, "seconds": seconds}])
    assert found.ratio("b", "a") == (30, 1)
    assert found.mean("a", "auc") == pytest.approx(0.6)
    assert Goal("", 0.5, 0.5).met and not Goal("", 0.5, 0.5, above=True).met
