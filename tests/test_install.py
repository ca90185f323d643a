"""What a C program or a person without Python gets from `make install`, and what the packages hold."""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from helpers import BINARY, BUILD, MODULE, ROOT, building, made

import darknet_vae as dv

PREFIX = "/opt/darknet"
CFG, CSV = str(ROOT / "cfg" / "vae_digits.cfg"), str(ROOT / "data" / "digits.csv")
CC = os.environ.get("CC", "cc").split()


def checked(words: list[str], **options: object) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
    return str(done.stdout)


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DESTDIR of a `make install`."""
    if not shutil.which("make") or not shutil.which(CC[0]):
        pytest.skip("make or a C compiler is missing")
    if os.environ.get("DARKNET_BINARY"):
        pytest.skip("a build with sanitizers is under test")
    made("bin", "darknet")
    folder = tmp_path_factory.mktemp("destdir")
    make_install("install", folder)
    return folder


def make_install(goal: str, folder: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    with building():  # it makes what is installed and not there yet
        checked(["make", f"B={BUILD}", "CUDA=0", f"PREFIX={PREFIX}", f"DESTDIR={folder}", goal], cwd=ROOT, env=clean)


def names(nm: list[str], path: Path) -> list[str]:
    lines = checked(["nm", *nm, "--defined-only", str(path)]).splitlines()
    return [words[2] for line in lines if len(words := line.split()) == 3]


def test_everything_has_its_place(place: Path) -> None:
    version = dv.__version__
    short = ".".join(version.split(".")[:2])
    found = files_below(place / PREFIX[1:])
    assert found >= {
        "bin/darknet", "include/darknet.h", "lib/libdarknet.a", "lib/libdarknet.so", f"lib/libdarknet.so.{short}",
        f"lib/libdarknet.so.{version}", "lib/pkgconfig/darknet-vae.pc", "share/darknet-vae/vae_digits.cfg",
        "share/darknet-vae/digits.csv", "share/man/man1/darknet.1", "share/bash-completion/completions/darknet",
        "share/zsh/site-functions/_darknet", "share/fish/vendor_completions.d/darknet.fish",
    }  # fmt: skip
    dynamic = checked(["readelf", "-d", str(place / PREFIX[1:] / "lib" / "libdarknet.so")])
    assert f"soname: [libdarknet.so.{short}]" in dynamic


def test_the_installed_program_finds_what_came_with_it(place: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if name != "DARKNET_SHARE"}
    checked([str(place / PREFIX[1:] / "bin" / "darknet"), "train", "vae_digits.cfg", "digits.csv", "-epochs", "1"], env=clean)
    assert Path("vae.weights").exists()


def test_libraries_show_the_names_of_the_interface_alone(place: Path) -> None:
    lib = place / PREFIX[1:] / "lib"
    header = set(re.findall(r"DN_API[^;]*?\b(dn_\w+)\(", (ROOT / "csrc" / "darknet.h").read_text()))
    for found in (names(["-D"], lib / "libdarknet.so"), names(["-g"], lib / "libdarknet.a")):
        assert header <= set(found) and {name for name in found if not name.startswith("dn_")} == set()
        assert set(found) - header == {"dn_sys_fail_at"}  # for tests


def built(place: Path, name: str, static: bool) -> dict[str, str]:
    """Compile an example as its first lines say; returns the environment to run it in."""
    if not shutil.which("pkg-config"):
        pytest.skip("pkg-config is missing")
    lib = place / PREFIX[1:] / "lib"
    environment = {**os.environ, "PKG_CONFIG_PATH": str(lib / "pkgconfig"), "PKG_CONFIG_SYSROOT_DIR": str(place)}
    options = checked(["pkg-config", *["--static"] * static, "--cflags", "--libs", "darknet-vae"], env=environment).split()
    if static:
        options = [str(lib / "libdarknet.a") if option == "-ldarknet" else option for option in options]
    source = str(ROOT / "examples" / "c" / f"{name}.c")
    checked([*CC, "-Wall", "-Wextra", "-Werror", source, "-o", name, *options])
    return {**os.environ, "LD_LIBRARY_PATH": "" if static else str(lib)}


@pytest.mark.parametrize("static", [False, True])
def test_the_example_is_built_with_pkg_config_and_runs(place: Path, static: bool) -> None:
    environment = built(place, "train", static)
    told = checked(["./train", CFG, CSV], env=environment)
    losses = [float(line.split(": ")[1]) for line in told.splitlines()]
    assert len(losses) == 20 and losses[-1] < 0.8 * losses[0]
    assert Path("vae.weights").exists()


@pytest.mark.parametrize("name", ["train", "resume"])
def test_the_commands_that_an_example_names_work_after_an_installation(name: str, place: Path) -> None:
    if not shutil.which("pkg-config"):
        pytest.skip("pkg-config is missing")
    source = (ROOT / "examples" / "c" / f"{name}.c").read_text()
    commands = re.findall(r"^ \*     (.*?)(?: \*/)?$", source, re.M)
    assert len(commands) == 3
    lib = place / PREFIX[1:] / "lib"
    about = (lib / "pkgconfig" / "darknet-vae.pc").read_text()
    Path("darknet-vae.pc").write_text(about.replace(PREFIX, f"{place}{PREFIX}"))
    Path(f"{name}.c").write_text(source.replace(".epochs = 200", ".epochs = 1").replace(".epochs = 20", ".epochs = 1"))
    environment = {**os.environ, "PKG_CONFIG_PATH": os.getcwd(), "LD_LIBRARY_PATH": str(lib)}
    assert "epoch 1" in checked(["sh", "-ec", "\n".join(commands)], env=environment)


def test_the_example_with_checkpoints_continues_where_it_was_stopped(place: Path) -> None:
    environment = built(place, "resume", static=False)
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    words = ["stdbuf", "-oL", "./resume", CFG, CSV]  # lines as they come
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment, preexec_fn=heed) as child:
        assert child.stdout
        before = [child.stdout.readline() for _ in range(5)]
        child.send_signal(signal.SIGINT)
        before += child.stdout.readlines()
    assert child.returncode == 0 and before[-2].startswith("stopped; kept epoch ")
    after = checked(["./resume", CFG, CSV], env=environment).splitlines()
    epochs = [int(line.split(":")[0].split()[1]) for line in [*before, *after] if line.startswith("epoch ")]
    assert epochs == list(range(1, len(epochs) + 1))
    assert after[-2].startswith(("patience; kept epoch ", "epochs; kept epoch "))
    logged = Path("log.csv").read_text().splitlines()
    assert [int(line.split(",")[0]) for line in logged[1:]] == epochs
    loss = dv.Network.load("model.safetensors").evaluate(dv.load_csv(CSV, label_column="label", scale=16))["total_loss"]
    assert after[-1] == f"model.safetensors: total_loss {loss:.4f}"


def test_uninstall_leaves_nothing(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place, tmp_path / "copy", symlinks=True)
    make_install("uninstall", tmp_path / "copy")
    assert files_below(tmp_path / "copy") == set()


# ---- manual page and completions


def options_of(verb: str) -> list[str]:
    """As the verb's help page has them."""
    assert BINARY
    lines = checked([BINARY, verb, "--help"]).splitlines()
    return [name for line in lines if line.startswith("  -") for name in re.findall(r"-[\w-]+(?=,| |$)", line[2:22])]


VERBS = ["train", "sample", "encode", "reconstruct", "predict", "evaluate", "score", "inspect", "info", "convert"]


def test_the_manual_page_has_every_verb_option_variable_and_exit_code() -> None:
    assert BINARY
    page = checked([BINARY, "--man"]).replace("\\-", "-")
    for verb in VERBS:
        assert f"\n.B {verb}\\fR " in page
        assert all(f"\\fB{option}\\fR" in page for option in options_of(verb))
    for words in ([BINARY], MODULE):
        described = re.findall(r"^\.B \w+\\fR .*\n(.*)", checked([*words, "--man"]), flags=re.M)
        assert len(described) >= len(VERBS) and all(line[0].isupper() and line[-1] == "." for line in described)
    documented = re.findall(r"`(DARKNET_\w+)`", (ROOT / "README.md").read_text())
    assert len(documented) >= 6 and all(f"\n.B {name}\n" in page for name in documented)
    assert all(f"{code} " in page.split(".SH EXIT STATUS")[1] for code in range(7))


def test_the_manual_page_is_set_without_a_warning() -> None:
    if not shutil.which("groff"):
        pytest.skip("groff is missing")
    assert BINARY
    page = checked([BINARY, "--man"])
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z"], input=page, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr


def test_a_shell_that_is_not_known_is_named() -> None:
    assert BINARY
    done = subprocess.run([BINARY, "--completion", "tcsh"], capture_output=True, text=True)
    assert done.returncode == 2 and "bash, zsh or fish" in done.stderr and not done.stdout


def completed_by_bash(*words: str) -> list[str]:
    assert BINARY
    Path("completion").write_text(checked([BINARY, "--completion", "bash"]))
    script = '. ./completion; COMP_WORDS=(darknet "$@"); COMP_CWORD=$#; _darknet; printf \'%s\\n\' "${COMPREPLY[@]}"'
    return checked(["bash", "--norc", "-c", script, "bash", *words]).split("\n")[:-1]


def completed_by_fish(*words: str) -> list[str]:
    assert BINARY
    Path("completion").write_text(checked([BINARY, "--completion", "fish"]))
    script = f"source completion; complete -C 'darknet {' '.join(words)}'"
    return [line.split("\t")[0] for line in checked(["fish", "--no-config", "-c", script]).splitlines()]


@pytest.mark.parametrize(("shell", "completed"), [("bash", completed_by_bash), ("fish", completed_by_fish)])
def test_shells_complete_verbs_options_and_words(shell: str, completed) -> None:  # type: ignore[no-untyped-def]
    if not shutil.which(shell):
        pytest.skip(f"{shell} is missing")
    assert set(completed("")) >= set(VERBS)
    assert completed("eval") == ["evaluate"] and {"vae", "autoencoder"} <= set(completed(""))
    for word in ("vae", "autoencoder"):
        assert completed(word, "eval") == ["evaluate"] and set(completed(word, "")) >= set(VERBS)
        assert completed(word, "train", "-epo") == ["-epochs"]
    assert completed("train", "-epo") == ["-epochs"] and completed("train", "--epo") == ["--epochs"]
    assert completed("train", "-precision", "bf") == ["bf16"]
    for verb in VERBS:
        long = [option for option in options_of(verb) if len(option) > 2]
        assert long and all(option in completed(verb, option) for option in long), verb


def test_bash_completes_files_by_what_they_are() -> None:
    if not shutil.which("bash"):
        pytest.skip("bash is missing")
    for name in ("a.cfg", "b.csv", "c d.csv", "e.weights", "f.safetensors"):
        Path(name).touch()
    assert completed_by_bash("train", "") == ["a.cfg", "f.safetensors"]
    assert completed_by_bash("train", "f.safetensors", "") == ["b.csv", "c d.csv"]
    assert completed_by_bash("vae", "train", "a.cfg", "") == ["b.csv", "c d.csv"]
    assert completed_by_bash("encode", "a.cfg", "-weights", "") == ["e.weights"]


def test_zsh_reads_its_completion() -> None:
    if not shutil.which("zsh"):
        pytest.skip("zsh is missing")
    assert BINARY
    Path("_darknet").write_text(checked([BINARY, "--completion", "zsh"]))
    checked(["zsh", "-f", "-n", "_darknet"])


# ---- packages


def test_the_package_has_the_header_of_its_library() -> None:
    assert (Path(dv.get_include()) / "darknet.h").read_bytes() == (ROOT / "csrc" / "darknet.h").read_bytes()
    assert list(Path(dv.get_library_dir()).glob("libdarknet.*"))


@pytest.mark.parametrize("folder", ["PREFIX", "DESTDIR", "B"])
def test_a_folder_with_a_blank_is_refused_before_anything_is_touched(folder: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    for goal in ("install", "uninstall"):
        words = ["make", "CUDA=0", f"DESTDIR={tmp_path / 'd'}", f"{folder}={tmp_path / 'a b'}", goal]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and f"{folder} contains a blank" in done.stderr, done.stderr
    assert files_below(tmp_path) == {"a"} and (tmp_path / "a").read_text() == "mine"


def test_flags_that_take_away_nan_are_refused_by_the_compiler(tmp_path: Path) -> None:
    words = [*CC, "-std=gnu11", "-Icsrc", "-ffast-math", "-fsyntax-only", "csrc/base/status.c"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "-ffast-math and -Ofast take away" in done.stderr
