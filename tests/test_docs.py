"""The documents hold what the code does."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from helpers import MODULE, ROOT, run

import darknet_vae as dv
from darknet_vae._lib import lib, text


def generator() -> ModuleType:
    """docs/generate.py."""
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cfg.md", "cli.md"])
def test_documents_are_what_the_tables_say(name: str) -> None:
    old = (ROOT / "docs" / name).read_text()
    assert generator().DOCUMENTS[name](old) == old, f"python docs/generate.py writes docs/{name} anew"


def test_every_section_has_its_heading() -> None:
    titles = re.findall(r"^## (.*)", (ROOT / "docs" / "cfg.md").read_text(), flags=re.M)
    sections = [section for title in titles if (section := generator().section_of(title))]
    assert sorted(sections) == sorted(["net", "*", *dv.layer_types()])


def test_a_key_that_is_missing_in_the_document_gets_there() -> None:
    old = (ROOT / "docs" / "cfg.md").read_text()
    assert generator().cfg_document(old.replace("| `beta` | float | 0.5 | weight of the latent loss |\n", "")) == old
    assert generator().cfg_document(old.replace("| `ids` | int | 32 |", "| `ids` | int | 33 |")) == old


def test_all_words_that_a_key_takes_are_in_the_document() -> None:
    document = (ROOT / "docs" / "cfg.md").read_text()
    sections = {section: generator().keys_of(section) for section in ["net", "*", *dv.layer_types()]}
    seen = 0
    for section, keys in sections.items():
        for key in keys:
            if key.name == "activation":
                activations = re.search(r"^`activation`, where a type has it, is one of ([\w,\s]*)\.", document, flags=re.M)
                assert activations and " ".join(activations[1].split()) == key.values
                seen += 1
            elif key.type == "name":
                for word in key.values.split(", "):
                    assert re.search(rf"\b{word}\b", f"{key.help} {key.fallback}"), f"[{section}] {key.name}={word}"
                    seen += 1
    assert seen > 20


def test_variables_of_the_environment_are_in_the_document() -> None:
    document = (ROOT / "docs" / "cli.md").read_text()
    sources = [*(ROOT / "csrc").rglob("*.c"), *(ROOT / "darknet_vae").glob("*.py")]
    read = {name for path in sources for name in re.findall(r'(?:getenv\(|environ\S*)"(DARKNET_\w+)"', path.read_text())}
    assert len(read) >= 6
    assert read == set(re.findall(r"^\| `(DARKNET_\w+)`", document, flags=re.M))


def test_the_readme_has_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert "\n    pip install . && darknet-vae train cfg/vae_digits.cfg data/digits.csv\n" in text
    assert "\n    pip install '.[test]' && pytest\n" in text
    assert "\n    make && ./darknet vae train cfg/vae_digits.cfg data/digits.csv\n" in text


def test_the_python_of_the_readme_runs() -> None:
    section = (ROOT / "README.md").read_text().split("## From Python")[1].split("##")[0]
    code = "\n".join(line[4:] for line in section.splitlines() if line.startswith("    "))
    for name in ("data/digits.csv", "cfg/vae_digits.cfg"):
        code = code.replace(f'"{name}"', repr(str(ROOT / name)))
    scope: dict[str, object] = {}
    exec(code, scope)
    assert scope["images"].shape == (16, 64)  # type: ignore[attr-defined]


def blocks_of(page: str) -> tuple[list[str], str]:
    """The commands of a page's indented blocks, and its Python, which is the other blocks one after the other."""
    commands, code = [], []
    for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", page, flags=re.M):
        lines = [line[4:] for line in block.strip("\n").splitlines()]
        if any(line.startswith("darknet-vae ") for line in lines):
            commands += [line for line in lines if line]
        else:
            code += lines
    return commands, "\n".join(code)


def test_the_commands_of_the_training_page_run() -> None:
    commands, _ = blocks_of((ROOT / "docs" / "training.md").read_text())
    assert len(commands) >= 6
    said = {}
    for command in commands:
        done = run([*MODULE, *command.split()[1:], "-nogpu"])
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        said[command] = done.stderr + done.stdout
    assert re.search(r"^stopped in epoch \d+, after 2 seconds \(max_seconds\)$", said[commands[1]], flags=re.M)
    losses = re.findall(r"^epoch \d+/20 .* valid_loss (\S+)", said[commands[2]], flags=re.M)
    evaluated = re.search(r"^.* total_loss (\S+)", said[commands[3]], flags=re.M)
    assert len(losses) == 20 and evaluated
    assert float(evaluated[1]) == pytest.approx(float(losses[-1]), rel=1e-4)  # the same rows
    assert re.search(r"^stopped after epoch .* not improved in 5 epochs; kept epoch", said[commands[4]], flags=re.M)
    assert Path("log.csv").read_text().count("\n") > 60


@pytest.mark.parametrize("page", ["checkpoints.md", "model-file.md", "optimizers.md"])
def test_the_commands_of_other_pages_run_without_a_warning(page: str) -> None:
    commands, _ = blocks_of((ROOT / "docs" / page).read_text())
    commands = [command for command in commands if " CFG " not in command]
    assert commands
    for command in commands:
        done = run([*MODULE, *command.split(" #")[0].split()[1:]])
        assert done.returncode == 0 and "warning" not in done.stderr, f"{command}\n{done.stderr}"


def test_the_python_of_the_training_page_runs() -> None:
    _, code = blocks_of((ROOT / "docs" / "training.md").read_text())
    scope: dict[str, object] = {}
    exec(code, scope)
    assert scope["rates"] and scope["history"].stopped == "callback"  # type: ignore[attr-defined]


def test_the_python_of_the_scikit_learn_page_runs() -> None:
    pytest.importorskip("sklearn"), pytest.importorskip("pandas")
    _, code = blocks_of((ROOT / "docs" / "sklearn.md").read_text())
    scope: dict[str, Any] = {}
    exec(code.replace("pip install 'darknet-vae[sklearn]'", ""), scope)
    assert scope["rows"].shape == scope["X"].shape and scope["model"].score(scope["X"], scope["y"]) > 0.9
    assert (scope["detector"].predict(scope["X"]) == -1).sum() == 9
    table, only = scope["table"], scope["only"]
    assert scope["new"].dtypes.equals(table.dtypes) and not scope["filled"].isna().to_numpy().any()
    assert set(only["plan"]) == {"pro"} and only["churn"].all() and len(only) == 50


def test_the_training_page_names_every_column_and_every_way_to_end() -> None:
    page = (ROOT / "docs" / "training.md").read_text()
    net = dv.Network(ROOT / "cfg" / "vae_digits.cfg", device="cpu")
    X = dv.load_csv(ROOT / "data" / "digits.csv", label_column="label", scale=16)[:200]
    for name in net.train(X, 1, holdout=0.5).records[0]:
        assert re.search(rf"^\|.*`{name}`", page, flags=re.M) or re.match("valid_|latent_", name), name
    for k in range(5):
        assert k == 0 or f'"{text(lib.dn_stop_name(k))}"' in page


def test_links_of_the_documents_lead_somewhere() -> None:
    for path in [ROOT / "README.md", ROOT / "cfg" / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


@pytest.mark.parametrize("path", sorted((ROOT / "cfg").glob("*.cfg")), ids=lambda path: path.name)
def test_every_cfg_is_described_and_reads_without_a_warning(path: Path, recwarn: pytest.WarningsRecorder) -> None:
    assert path.name in (ROOT / "cfg" / "README.md").read_text()
    dv.Network(path)
    assert not recwarn.list


def test_the_notebook_runs() -> None:
    pytest.importorskip("matplotlib")
    notebook = json.loads((ROOT / "examples" / "training_analysis.ipynb").read_text())
    code = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    scope: dict[str, object] = {"display": lambda *_: None}
    exec(code, scope)
