"""cfg/recipes: networks whose numbers are known. Long trainings are in docs/results.md; here is what takes seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT

import darknet_vae as dv

sys.path.append(str(ROOT))

from bench.recipes import MARK, RECIPES, write

CFGS = sorted((ROOT / "cfg" / "recipes").glob("*.cfg"))


@pytest.mark.parametrize("path", CFGS, ids=lambda path: path.stem)
def test_every_recipe_is_described_has_a_reference_and_reads_without_a_warning(
    path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    assert f"`{path.name}`" in (ROOT / "cfg" / "README.md").read_text()
    assert path.stem in RECIPES
    dv.Network(path, device="cpu")
    assert not recwarn.list


def test_every_recipe_that_the_bench_knows_has_a_cfg() -> None:
    assert {path.stem for path in CFGS} == set(RECIPES)


@pytest.mark.parametrize(("name", "exact"), [("wine_2", -16.1553), ("wine_5", -15.2126)])
def test_a_linear_vae_with_a_learned_sigma_reaches_the_likelihood_of_probabilistic_pca(name: str, exact: float) -> None:
    X = dv.load_table(ROOT / "data" / "wine.csv", label_column="class").X
    centred = X.astype(np.float64) - X.mean(axis=0)
    variances = np.linalg.eigvalsh(centred.T @ centred / len(X))[::-1]
    k, d = int(name[-1]), X.shape[1]
    noise = variances[k:].mean()  # Tipping and Bishop 1999, equations 7 and 8
    closed = -0.5 * (d * np.log(2 * np.pi) + np.log(variances[:k]).sum() + (d - k) * np.log(noise) + d)
    assert closed == pytest.approx(exact, abs=2e-4)
    net = dv.Network(ROOT / "cfg" / "recipes" / f"{name}.cfg", seed=0, device="cpu")
    net.train(X, epochs=4000)
    bounds = net.bounds(X, draws=1000)
    elbo = -float(np.mean(bounds["reconstruction"] + bounds["kl"]))
    assert closed - 0.05 <= np.mean(bounds["log_likelihood"]) <= closed + 0.002
    assert elbo <= closed + 0.01


def test_the_bench_trains_recipes_and_keeps_those_that_it_did_not_run(tmp_path: Path) -> None:
    path = tmp_path / "results.md"
    path.write_text(f"# Results\n\nkept above\n\n{MARK}\n\n### wine_5\n\nolder\n\n### gone\n\ndropped\n")
    words = [sys.executable, "-m", "bench", "recipes", "wine_2", "iwae_vae1", "--quick", "--output", str(path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    report = path.read_text()
    assert report.startswith("# Results\n\nkept above\n")
    assert report.index("### wine_2") < report.index("### wine_5\n\nolder") < report.index("### iwae_vae1")
    assert "dropped" not in report
    write(path, {})
    assert path.read_text() == report
