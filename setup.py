"""What pyproject.toml cannot say: the C parts are built by the Makefile, the only place of compile flags."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
LIBRARY = "libdarknet.dylib" if sys.platform == "darwin" else "libdarknet.so"
PLUGIN = "libdarknet_cuda.so"  # where nvcc is
FOLDERS = ("lib", "include", "share")
# also installed, for darknet_vae.bundled()
SHARE = ["cfg/*.cfg", "cfg/recipes/*.cfg", "data/digits.csv", "data/penguins.csv", "data/wine.csv"]


def make(build: Path, *goals: str) -> None:
    program = os.environ.get("MAKE", "make")
    for tool in (program, os.environ.get("CC", "cc")):
        if shutil.which(tool.split()[0]) is None:
            raise SystemExit(f"darknet-vae is compiled from C: '{tool}' is missing; install make and a C compiler")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2
    jobs = [] if "MAKEFLAGS" in os.environ else [f"-j{cores}"]
    # for the GPUs of this machine; a wheel for others is built with ARCHS=all
    environment = {"ARCHS": "native", **os.environ}
    if build.is_relative_to(ROOT):  # make cannot have blanks in paths, and the folder of the sources may have some
        build = build.relative_to(ROOT)
    subprocess.check_call([program, *jobs, f"B={build}", *goals], cwd=ROOT, env=environment)


class BuildExt(build_ext):
    """make, then the cffi module linked to the library."""

    def finalize_options(self) -> None:
        super().finalize_options()
        # DARKNET_BUILD names a folder of objects to share with other builds
        self.make_folder = Path(os.environ.get("DARKNET_BUILD") or Path(self.build_temp) / "make").resolve()
        self.library_dirs.append(str(self.make_folder))
        self.force = True  # a module left in the build folder may be for another darknet.h

    def target_folder(self) -> Path:
        if self.editable_mode or self.inplace:
            return ROOT / "darknet_vae"
        return Path(self.build_lib) / "darknet_vae"

    def run(self) -> None:
        make(self.make_folder, "program", "lib", "cuda")  # side by side
        self.put(self.make_folder / LIBRARY, "lib")
        self.put(self.make_folder / "package" / "darknet", "lib")
        if os.environ.get("CUDA") != "0" and (self.make_folder / PLUGIN).exists():
            self.put(self.make_folder / PLUGIN, "lib")
        self.put(ROOT / "csrc" / "darknet.h", "include")
        for pattern in SHARE:
            for path in ROOT.glob(pattern):
                self.put(path, "share")
        super().run()

    def put(self, path: Path, folder: str) -> None:
        (self.target_folder() / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, self.target_folder() / folder / path.name)

    def get_outputs(self) -> list[str]:
        return super().get_outputs() + [str(p) for f in FOLDERS for p in (self.target_folder() / f).glob("*")]


# cffi has no limited API on free-threaded builds of Python
options = {} if sysconfig.get_config_var("Py_GIL_DISABLED") else {"bdist_wheel": {"py_limited_api": "cp310"}}
setup(
    cffi_modules=["darknet_vae/_build.py:ffi"],
    cmdclass={"build_ext": BuildExt},
    options=options,
)
