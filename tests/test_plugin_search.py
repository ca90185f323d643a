"""Where the CUDA plugin is looked for: beside the program and the library, and only where nobody else may write. A plugin that
leaves a mark when it is opened shows whether it was."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import BINARY, ROOT, made

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the plugin is for Linux")
NAME = "libdarknet_cuda.so"
WORDS = ["train", str(ROOT / "cfg" / "vae_conv.cfg"), str(ROOT / "data" / "digits.csv"), "-N", "1", "-epochs", "1", "-quiet"]


@pytest.fixture(scope="module")
def marker_plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("a C compiler is missing")
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "p.c").write_text(
        "#include <stdio.h>\n#include <stdlib.h>\n__attribute__((constructor)) static void opened(void) {\n"
        '    FILE *f = fopen(getenv("MARK"), "w");\n    if (f) fclose(f);\n}\n'
    )
    subprocess.run([compiler, "-shared", "-fPIC", str(folder / "p.c"), "-o", str(folder / NAME)], check=True)
    return folder / NAME


class Place:
    """The stand-alone program in a folder of its own."""

    def __init__(self, folder: Path, plugin: Path) -> None:
        self.bin, self.plugin, self.mark = folder / "own" / "bin", plugin, folder / "mark"
        self.bin.mkdir(parents=True)
        shutil.copy(os.environ.get("DARKNET_BINARY") or made("bin", "darknet"), self.bin / "darknet")

    def put(self, path: Path, mode: int = 0o644, folder_mode: int = 0o755) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.plugin, path)
        path.chmod(mode)
        path.parent.chmod(folder_mode)
        return path

    def run(self, *device: str, name: str | None = None, cwd: Path | None = None, **environment: str) -> tuple[bool, str]:
        """Was a plugin opened, and what was said."""
        self.mark.unlink(missing_ok=True)
        kept = {k: v for k, v in os.environ.items() if k != "DARKNET_CUDA_PLUGIN"}
        done = subprocess.run(
            [name or str(self.bin / "darknet"), *WORDS, *device], executable=str(self.bin / "darknet"), cwd=cwd,
            env={**kept, "MARK": str(self.mark), **environment}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return self.mark.exists(), done.stderr


@pytest.fixture
def place(tmp_path: Path, marker_plugin: Path) -> Place:
    return Place(tmp_path, marker_plugin)


@pytest.mark.parametrize("where", [NAME, f"../lib/{NAME}", f"../lib/python3.11/site-packages/darknet_vae/lib/{NAME}"])
def test_a_plugin_of_ones_own_is_found_beside_the_program(where: str, place: Place) -> None:
    place.put(place.bin / where)
    opened, said = place.run("-i", "0")
    assert opened and "is no plugin of darknet-vae" in said


@pytest.mark.skipif("DARKNET_BINARY" in os.environ, reason="a build with sanitizers is under test")
def test_a_plugin_in_the_package_is_found_beside_its_library(place: Place) -> None:
    assert BINARY
    for name in ("darknet", "libdarknet.so"):
        shutil.copy(Path(BINARY).parent / name, place.bin / name)
    place.put(place.bin / NAME)
    assert place.run("-i", "0")[0]


@pytest.mark.parametrize(
    ("mode", "folder_mode"), [(0o666, 0o755), (0o664, 0o755), (0o644, 0o777), (0o644, 0o775), (0o644, 0o1777)]
)
def test_what_others_may_write_is_skipped_and_the_error_says_so(mode: int, folder_mode: int, place: Place) -> None:
    place.put(place.bin / ".." / "lib" / NAME, mode, folder_mode)
    opened, said = place.run("-i", "0")
    assert not opened and f"lib/{NAME} is skipped, as others than its owner may write it or its folder" in said
    assert said.count("\n") == 1
    assert place.run()[0] is False  # of the default device too


def test_a_link_counts_as_what_it_leads_to(place: Place, tmp_path: Path) -> None:
    target = place.put(tmp_path / "shared" / NAME, folder_mode=0o777)
    (place.bin / NAME).symlink_to(target)
    opened, said = place.run("-i", "0")
    assert not opened and f"shared/{NAME} is skipped" in said
    target.parent.chmod(0o755)
    assert place.run("-i", "0")[0]


def test_the_current_folder_is_no_place_to_look(place: Place, tmp_path: Path) -> None:
    elsewhere = place.put(tmp_path / "downloads" / NAME).parent
    for name in ("./darknet", "darknet", "bin/darknet"):
        for extra in ({}, {"LD_LIBRARY_PATH": ""}, {"LD_LIBRARY_PATH": ":/nowhere"}, {"LD_LIBRARY_PATH": "."}):
            for device in ((), ("-i", "0")):
                assert place.run(*device, name=name, cwd=elsewhere, **extra)[0] is False
    assert "no libdarknet_cuda.so was found" in place.run("-i", "0", cwd=elsewhere)[1]


def test_a_plugin_that_is_named_is_opened_wherever_it_is(place: Place, tmp_path: Path) -> None:
    named = place.put(tmp_path / "any" / NAME, 0o666, 0o777)
    assert place.run("-i", "0", DARKNET_CUDA_PLUGIN=str(named))[0]
