"""What the tests share: the installed package and binary, small networks, the bundled data."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import ON_A_GPU, ROOT, emulated_plugin

import darknet_vae as dv


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """The whole suite runs on all cores, where pytest-xdist is (-n 0: on one). Its workers come here too, and start none."""
    if hasattr(config, "workerinput") or "PYTEST_XDIST_WORKER" in os.environ or not config.pluginmanager.hasplugin("xdist"):
        return
    options = config.option
    if config.args == config.getini("testpaths") and options.numprocesses is None and not options.markexpr:
        options.numprocesses = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Side by side with other tests there is no measuring of time."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    for item in items:
        if item.get_closest_marker("timing"):
            item.add_marker(pytest.mark.skip(reason="measures time or memory, so it runs alone: pytest -m timing"))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs in an empty folder of its own, away from the sources."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    table = dv.load_table(ROOT / "data" / "digits.csv", label_column="label", scale=16)
    assert table.labels is not None
    return table.X, table.labels.astype(int)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window. Of a module only: while it runs there is an event loop, in which others cannot start theirs."""
    driver = pytest.importorskip("playwright.sync_api", reason="pages are opened with playwright, which is not installed")
    programs = filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    program = next(programs, None)
    if program is None:
        pytest.skip("there is no Chromium to open pages with")
    with driver.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def network(tmp_path: Path) -> Callable[..., dv.Network]:
    """network(text, **options): a network from the text of its cfg."""

    def build(text: str, **options: object) -> dv.Network:
        path = tmp_path / "net.cfg"
        path.write_text(text)
        return dv.Network(path, **options)  # type: ignore[arg-type]

    return build


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> str:
    """The device name of a GPU: the emulated one, or with DARKNET_TEST_GPU=1 the machine's."""
    if not ON_A_GPU:
        monkeypatch.setenv("DARKNET_CUDA_PLUGIN", emulated_plugin())
    return "cuda"


@pytest.fixture(params=["cpu", "fence", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    """Each device in turn."""
    return str(request.getfixturevalue("cuda")) if request.param == "cuda" else request.param
