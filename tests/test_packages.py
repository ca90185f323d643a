"""What `python -m build`, pip, conda, cibuildwheel and docker make of a checkout."""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
from helpers import BINARY, BUILD, ROOT, building

import darknet_vae as dv

RECIPE = ROOT / "packaging" / "conda" / "recipe" / "recipe.yaml"


SHARED = {**os.environ, "CUDA": "0", "DARKNET_BUILD": BUILD}


def checked(words: list[str], **options: object) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=900, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return str(done.stdout)


def tracked() -> list[str]:
    return [name for name in checked(["git", "ls-files"], cwd=ROOT).splitlines() if (ROOT / name).is_file()]


def python_with(folder: Path, *packages: str) -> str:
    """A fresh environment."""
    checked([sys.executable, "-m", "venv", str(folder)])
    python = str(folder / "bin" / "python")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    if subprocess.run([*pip, *packages], timeout=600).returncode:
        pytest.skip("there is no package index")
    return python


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist of what git knows, and the wheel that is built from it, as `python -m build` makes them."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    folder = tmp_path_factory.mktemp("packages")
    python = python_with(folder / "tools", "build", "setuptools>=77", "cffi>=1.17")
    for name in tracked():
        (folder / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / "checkout" / name)
    words = [python, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist")]
    with building():  # what is older than its object there is not compiled again; what lacks is missed all the same
        checked(words, cwd=folder / "checkout", env=SHARED)
    return next((folder / "dist").glob("*.tar.gz")), next((folder / "dist").glob("*.whl"))


@pytest.mark.slow
def test_the_source_package_has_every_file(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as tar:
        packed = {name.partition("/")[2] for name in tar.getnames()}
    assert not {name for name in set(tracked()) - packed if not name.startswith(".")}


@pytest.mark.slow
def test_the_wheel_is_small_and_has_what_programs_need(built: tuple[Path, Path]) -> None:
    wheel = built[1]
    assert wheel.stat().st_size < 1.5e6, f"{wheel.stat().st_size} bytes"
    assert "-cp310-abi3-" in wheel.name or sys.version_info < (3, 10)
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    wanted = {name for name in tracked() if name.startswith("darknet_vae/")}  # modules, py.typed, pages of the browser
    wanted |= {"darknet_vae/include/darknet.h", "darknet_vae/share/vae_digits.cfg", "darknet_vae/share/digits.csv"}
    assert not wanted - names and {"darknet_vae/py.typed", "darknet_vae/web/base.css"} <= names
    assert any(re.fullmatch(r"darknet_vae/lib/libdarknet\.\w+", name) for name in names)
    assert {"darknet_vae/lib/darknet", "_darknet_program.py"} <= names
    assert not [name for name in names if "cuda" in name or name.startswith(("tests", "csrc", "bench"))]


@pytest.mark.slow
def test_the_wheel_works_in_an_environment_of_numpy_and_cffi(built: tuple[Path, Path], tmp_path: Path) -> None:
    python = python_with(tmp_path / "there", str(built[1]))
    listed = checked([python, "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check"])
    names = {line.partition("=")[0].lower() for line in listed.splitlines()}
    assert names <= {"pip", "setuptools", "wheel", "darknet-vae", "numpy", "cffi", "pycparser"}
    program = str(tmp_path / "there" / "bin" / "darknet-vae")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("DARKNET", "PYTHON"))}
    assert checked([program, "--version"], env=clean, cwd=tmp_path) == f"darknet-vae {dv.__version__}\n"
    checked([program, "train", "vae_digits.cfg", "digits.csv", "-epochs", "1", "-quiet"], env=clean, cwd=tmp_path)
    script = (
        "import darknet_vae as dv; dv.Network.load(dv.bundled('vae_digits.cfg'), 'vae.weights').sample(n=2); print(dv.__file__)"
    )
    assert str(tmp_path / "there") in checked([python, "-c", script], env=clean, cwd=tmp_path)


# ---- the command `darknet`

COMMAND = Path(sys.executable).parent / "darknet"
installed = pytest.mark.skipif(not COMMAND.exists() or "DARKNET_BINARY" in os.environ, reason="this is no environment with it")


@installed
@pytest.mark.parametrize("words", [["--version"], ["inspect", "vae_digits.cfg"], ["nothing"], ["train", "nothere.cfg", "x.csv"]])
def test_the_command_says_what_the_program_says(words: list[str]) -> None:
    found = [subprocess.run([str(path), *words], capture_output=True) for path in (COMMAND, BINARY)]
    assert found[0].returncode == found[1].returncode
    assert (found[0].stdout, found[0].stderr) == (found[1].stdout, found[1].stderr)


@installed
def test_the_command_becomes_the_program_and_ends_as_it_does() -> None:
    """With its process, pipes and signals: no Python is left between them."""
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    words = [str(COMMAND), "train", "vae_digits.cfg", "digits.csv", "-epochs", "100000", "-log", "log.csv"]
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=heed)
    try:
        for _ in range(1000):
            if Path("log.csv").exists():
                break
            time.sleep(0.02)
        assert BINARY and (sys.platform != "linux" or os.path.samefile(f"/proc/{child.pid}/exe", BINARY))
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=30) == 130
    finally:
        child.kill()
        child.wait()


def test_the_command_starts_without_the_package() -> None:
    script = "import sys, _darknet_program; print(*{'numpy', 'darknet_vae', 'signal', 'subprocess'} & set(sys.modules))"
    assert checked([sys.executable, "-c", script]).strip() == ""


# ---- containers and other package managers


def stages() -> list[list[str]]:
    """The instructions of every stage of the Dockerfile, with continued lines joined."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found: list[list[str]] = []
    for line in lines:
        if line.startswith("FROM "):
            found.append([])
        if found:
            found[-1].append(line)
    return found


def test_the_container_is_small_and_runs_without_privileges() -> None:
    build, last = stages()
    assert "USER user" in last and last.index("USER user") > max(i for i, line in enumerate(last) if line.startswith("RUN"))
    assert not [line for line in last if "apt-get" in line or line.startswith("COPY")]  # no compiler, no sources
    assert [line for line in build if "rm -rf /var/lib/apt/lists" in line]
    assert last[-2] == 'ENTRYPOINT ["darknet-vae"]'
    ignored = (ROOT / ".dockerignore").read_text().split()
    needed = {"setup.py", "pyproject.toml", "Makefile", "README.md", "LICENSE", "csrc", "cfg", "data", "darknet_vae"}
    assert not needed & set(ignored) and {".git", "build"} <= set(ignored)


@pytest.mark.slow
def test_the_commands_of_the_container_build_and_install(tmp_path: Path) -> None:
    """Those of its RUN lines that need no root, with its folders elsewhere."""
    python = python_with(tmp_path / "there", "setuptools>=77")
    ignored = (ROOT / ".dockerignore").read_text().split()
    (tmp_path / "src").mkdir()
    for path in ROOT.iterdir():
        if path.name not in ignored:
            (shutil.copytree if path.is_dir() else shutil.copy2)(path, tmp_path / "src" / path.name)
    build, last = stages()
    commands = [line for stage in (build, last) for line in stage if line.startswith("RUN") and " pip " in line]
    assert len(commands) == 2
    for line in commands:
        command = re.sub(r"^RUN (--mount=\S+ )*", "", line).partition(" && useradd")[0]
        command = command.replace("/wheels", str(tmp_path / "wheels")).replace("python -m", f"{shlex.quote(python)} -m")
        with building():
            checked(["bash", "-ec", command], cwd=tmp_path / "src", env={**SHARED, "EXTRAS": ""})
    assert checked([str(tmp_path / "there" / "bin" / "darknet-vae"), "--version"]).startswith("darknet-vae ")


def test_the_conda_recipe_says_what_pyproject_says() -> None:
    recipe, project = RECIPE.read_text(), (ROOT / "pyproject.toml").read_text()
    assert f'version: "{dv.__version__}"' in recipe
    wants = re.search(r"^dependencies = \[(.*)\]", project, flags=re.M)
    builds = re.search(r"^requires = \[(.*)\]", project, flags=re.M)
    assert wants and builds
    for name, least in re.findall(r'"([\w-]+)>=([\d.]+)"', wants[1]):
        assert f"    - {name} >={least}\n" in recipe.partition("  run:\n")[2]
    for name, least in re.findall(r'"([\w-]+)>=([\d.]+)"', builds[1]):
        assert f"    - {name} >={least}\n" in recipe.partition("  host:\n")[2].partition("  run:\n")[0]


def test_the_conda_recipe_is_rendered_by_rattler_build() -> None:
    rattler_build = pytest.importorskip("rattler_build", reason="py-rattler-build is not installed: the recipe is not rendered")
    recipe = rattler_build.Stage0Recipe.from_file(str(RECIPE))
    variants = {"c_compiler": ["gcc"], "c_stdlib": ["sysroot"], "c_stdlib_version": ["2.17"], "python": ["3.12"]}
    rendered = recipe.render(rattler_build.VariantConfig(variants))
    assert len(rendered) == 1 and not rendered[0].recipe.to_dict()["build"].get("skip")


def test_the_settings_of_cibuildwheel_are_known_to_it() -> None:
    pytest.importorskip("cibuildwheel", reason="cibuildwheel is not installed: its settings are not read")
    for platform, wanted in (("linux", {"cp310-manylinux_x86_64", "cp310-manylinux_aarch64"}), ("macos", {"cp310-macosx"})):
        words = [sys.executable, "-m", "cibuildwheel", "--print-build-identifiers", "--platform", platform, str(ROOT)]
        found = checked(words).split()
        assert all(any(name.startswith(start) for name in found) for start in wanted), found
        assert all(name.startswith("cp310-") and "musllinux" not in name for name in found)
