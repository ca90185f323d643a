"""bench/ works from end to end on tiny data, and an unfair race is an error. Nothing here looks at times."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT

sys.path.append(str(ROOT))

from bench.__main__ import PEERS, main
from bench.jobs import JOBS
from bench.limits import Limits
from bench.measure import Spread
from bench.peers import Ours
from bench.recipe import Data, Losses, Recipe
from bench.report import MARK, Goal, Report, Result, write
from bench.setting import PUBLISHED, Bench, By, beat
from bench.training import NEAR, disagreement, race, same_arithmetic, training_flops
from bench.work import CFG
from darknet_vae import Network

pytestmark = pytest.mark.timing  # not for runs under sanitizers: threads, processes and memory are measured


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "bench", *words], cwd=ROOT, capture_output=True, text=True, timeout=300)


def cells(report: str, job: str) -> dict[str, list[str]]:
    """The rows of a job's table by their first cell."""
    section = report.split(f"`python -m bench {job}`, ")[1].split("\n### ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in rows[2:]}


def test_every_job_runs_without_peers_and_says_that_they_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    done = bench("--quick", "--output", str(path), *(word for peer in PEERS for word in ("--without", peer)))
    assert done.returncode == 0, done.stderr
    report = path.read_text()
    assert "**Error" not in report
    for job in JOBS:
        rows = cells(report, job)
        if job == "gemm":  # the peer is a library, and optional
            continue
        ours = [row for who, row in rows.items() if who.startswith(("darknet-vae", "batch", "vae_"))]
        assert ours and float(ours[0][0].split()[0]) > 0, f"{job}: {rows}"
        torch_only = job.startswith(("conv", "decode"))
        tables = {"csv": {"pandas", "polars"}, "frame": {"polars"}}
        peers = tables.get(job, {"PyTorch"} if torch_only else {"PyTorch", "JAX"})
        if job not in ("process", "threads", "scaling"):
            assert {who for who, row in rows.items() if row[-1] == "left out (--without)"} == peers, job


@pytest.mark.parametrize(("peer", "job", "row"), [
    ("torch", "epoch50", "PyTorch, fused SGD, 1 thread"), ("torch", "conv128", "PyTorch, fused Adam, channels-last"),
    ("torch", "decode", "PyTorch in batches"), ("jax", "epoch50", "JAX, jitted epoch"),
    ("torch", "narrow", "PyTorch, compiled, fused Adam"), ("torch", "classifier", "PyTorch, fused Adam, channels-last"),
    ("torch", "lstm", "PyTorch, fused Adam"), ("jax", "bernoulli", "JAX, jitted epoch"), ("jax", "wide8", "JAX, jitted epoch"),
    ("torch", "iwae", "PyTorch, fused Adam"), ("jax", "iwae", "JAX, jitted epoch"),
    ("jax", "classifier", "JAX, jitted epoch"), ("jax", "lstm", "JAX, jitted epoch"), ("jax", "encode", "JAX in batches"),
    ("pandas", "csv", "pandas, 1 thread"), ("polars", "csv", "polars, 1 thread"),
])  # fmt: skip
def test_a_peer_that_is_there_agrees_with_ours(peer: str, job: str, row: str) -> None:
    if importlib.util.find_spec(peer) is None:
        pytest.skip(f"{peer} is not installed (pip install '.[bench]')")
    others = [word for other in PEERS if other != peer for word in ("--without", other)]
    done = bench(job, "--quick", *others)
    assert done.returncode == 0, done.stderr
    ratios = [line[1] for who, line in cells(done.stdout, job).items() if who.startswith(row)]
    assert ratios and float(ratios[0].split()[0]) > 0


def test_products_are_held_to_an_instruction_set_and_compared_shape_by_shape() -> None:
    done = bench("gemm", "--quick", "--isa", "base")
    assert done.returncode == 0, done.stderr
    rows = cells(done.stdout, "gemm")
    if "OpenBLAS" in rows:
        pytest.skip(rows["OpenBLAS"][-1])
    assert "DARKNET_ISA=base" in done.stdout and "Kernels: ours base, OpenBLAS " in done.stdout
    ratios = [float(row[1].split()[0]) for row in rows.values()]
    assert len(ratios) == 8 and min(ratios) == ratios[-1] <= ratios[-2] <= max(ratios)


def test_a_peer_that_computes_something_else_is_an_error(tmp_path: Path) -> None:
    setting = Bench(tmp_path, repeats=1, quick=True, without=frozenset(), limits=Limits())
    other = tmp_path / "other.cfg"
    other.write_text(PUBLISHED.read_text().replace("beta=0.5", "beta=1"))
    wrong = Ours(Recipe(other, 50), Data(setting.X), 1)
    wrong.name = "a peer"
    result = Result("a race", "")
    race(setting, result, Ours(Recipe(PUBLISHED, 50), Data(setting.X), 1), [wrong], epochs=1)
    assert len(result.errors) == 1 and "8 equal steps" in result.errors[0]


def test_equal_steps_tell_estimators_of_the_same_bound_apart(tmp_path: Path) -> None:
    """Both gradients of the importance-weighted bound have one expectation; peers must have the one of ours, with its noise."""
    setting = Bench(tmp_path, repeats=1, quick=True, without=frozenset(), limits=Limits())
    other = tmp_path / "other.cfg"
    other.write_text((CFG / "iwae.cfg").read_text().replace("samples=50", "samples=50\ngradient=dreg"))
    ours, same, dreg = (Ours(Recipe(cfg, 20), Data(setting.X[:40]), 1) for cfg in (CFG / "iwae.cfg", CFG / "iwae.cfg", other))
    assert same_arithmetic(ours, same) is None
    assert "8 equal steps" in str(same_arithmetic(ours, dreg))


def test_layers_after_a_sampling_layer_count_once_per_draw() -> None:
    table = Recipe(CFG / "iwae.cfg", 20), Network(CFG / "iwae.cfg", device="cpu").describe()
    encoder, decoder = 2 * (784 * 200 + 200 * 200 + 2 * 200 * 50), 2 * (50 * 200 + 200 * 200 + 200 * 784)
    flops = 3 * (encoder + 50 * decoder) - 2 * 784 * 200
    assert training_flops(table[1], table[0].samples) == pytest.approx(flops, rel=0.02)


def test_losses_that_differ_by_more_than_noise_are_an_error() -> None:
    ours = Losses(40, 3.5, 0.5)
    assert disagreement(ours, Losses(41, 3.4, 0.5), "a peer", NEAR) is None
    assert "total loss" in str(disagreement(ours, Losses(44, 3.5, 0.5), "a peer", NEAR))
    assert "latent loss" in str(disagreement(ours, Losses(40, 2.5, 0.5), "a peer", NEAR))
    assert disagreement(ours, Losses(np.nan, 3.5, 0.5), "a peer", NEAR)


def test_an_error_is_in_the_report_and_in_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(JOBS, "csv", lambda _: Result("Reading", "", errors=["read 3 rows, not 4"]))
    monkeypatch.setattr(sys, "argv", ["bench", "--quick", "csv"])
    assert main() == 1
    out, err = capsys.readouterr()
    assert "**Error: read 3 rows, not 4**" in out and "csv: read 3 rows, not 4" in err


def test_the_report_keeps_what_stands_above_its_mark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(JOBS, "csv", lambda _: Result("Reading", ""))
    path = tmp_path / "performance.md"
    for head in ("# Performance\n\n", "# Fast\n\nBecause.\n\n"):
        path.write_text(f"{head}{MARK}\n\nold figures\n")
        monkeypatch.setattr(sys, "argv", ["bench", "--quick", "csv", "--output", str(path)])
        assert main() == 0
        text = path.read_text()
        assert text.startswith(head + MARK) and "## Reading" in text and "old figures" not in text


def test_processors_and_jobs_that_were_not_measured_again_stay_in_the_report(tmp_path: Path) -> None:
    path, limits = tmp_path / "performance.md", Limits({1: {"numpy": 100.0}})

    def measured(heading: str, when: str, **ratios: float) -> None:
        results = {}
        for name, ratio in ratios.items():
            results[name] = Result(name.title(), "")
            results[name].add("a peer", Spread((ratio,)), Spread((ratio,)), Goal(2))
        write(path, Report(heading, ["versions"], when, limits, results, ["csv", "gemm"]))

    measured("Zen 4, AVX2", "on Monday", gemm=3, csv=1)
    measured("Zen 4, AVX-512", "on Tuesday", gemm=5)
    measured("Zen 4, AVX2", "on Friday", gemm=4)
    _, avx2, avx512 = path.read_text().split("\n## ")
    assert avx2.startswith("Zen 4, AVX2\n") and avx512.startswith("Zen 4, AVX-512\n") and avx2.count("### The machine") == 1
    summary, _, csv, gemm = avx2.split("\n### ")
    rows = [line for line in summary.splitlines() if line.startswith("| `")]
    assert [row.split("|")[1].strip() for row in rows] == ["`csv`", "`gemm`"]
    assert "**missed**" in rows[0] and "4 (4..4)" in rows[1]
    assert "on Monday" in csv and "on Friday" in gemm and "on Tuesday" in avx512 and "5 (5..5)" in avx512


def test_goals_depend_on_the_instruction_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for isa, goal in (("avx512", 5), ("avx2", 2.5), ("base", 2.5)):
        monkeypatch.setattr("bench.setting.dv.build_info", lambda isa=isa: f"darknet-vae 1.0, cpu kernels {isa}")
        assert By(avx2=2.5, avx512=5).here() == goal


def test_ratios_are_formed_round_by_round() -> None:
    ours, peer = Spread((1, 2, 4)), Spread((3, 4, 4))
    assert peer.per(ours).values == (3, 2, 1)
    assert str(peer.per(ours)) == "2 (1..3)"
    assert Goal(2).met(peer.per(ours)) and not Goal(2.1).met(peer.per(ours)) and Goal(2, at_most=True).met(peer.per(ours))


def test_the_goal_is_about_the_peer_with_the_lowest_median() -> None:
    result = Result("", "")
    result.add("ours", Spread((1, 1, 1)))
    result.add("lucky once", Spread((2, 9, 9)))
    result.add("steady", Spread((3, 4, 5)))
    result.add("missing", None)
    beat(result, ["lucky once", "steady", "missing"], 2)
    assert [line.who for line in result.lines if line.goal] == ["steady"]


def test_a_job_that_is_not_there_is_refused_with_the_names_of_the_others() -> None:
    done = bench("epoch5")
    assert done.returncode == 2
    assert "no job 'epoch5'" in done.stderr and "epoch50" in done.stderr
