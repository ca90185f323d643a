"""The documents hold what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from helpers import ROOT

import darknet_vae as dv


def keys_read_by(*files: str) -> set[str]:
    """The keys that C files ask the parser for."""
    text = "".join((ROOT / "csrc" / file).read_text() for file in files)
    found = set(re.findall(r'dn_cfg_(?:int|i64|float|string|ints|floats|has)\(s, "(\w+)"', text))
    for listed in re.findall(r"dn_schedule_keys names = \{(.*?)\}", text, flags=re.S):
        found |= set(re.findall(r'"(\w+)"', listed))
    found |= set(re.findall(r'\{"(\w+)", DN_KEY_', text))
    macros = {"DN_ACTIVATION_KEY": "activation", "DN_NORMALIZE_KEY": "batch_normalize", "DN_WINDOW_KEYS": "filters size stride"}
    for macro, keys in macros.items():
        found |= set(keys.split()) if macro in text else set()
    return found


def documented() -> dict[str, set[str]]:
    """Section title -> keys of its table in docs/cfg.md."""
    sections = re.split(r"^## ", (ROOT / "docs" / "cfg.md").read_text(), flags=re.M)[1:]
    return {
        section.splitlines()[0]: {
            key for row in re.findall(r"^\| (`.*?) \|", section, flags=re.M) for key in re.findall(r"`(\w+)`", row)
        }
        for section in sections
    }


def test_every_key_of_the_parser_is_documented_and_none_besides() -> None:
    tables = documented()
    common = next(keys for title, keys in tables.items() if title == "Every layer")
    network = next(keys for title, keys in tables.items() if title.startswith("[net]"))
    assert network | common - {"activation"} == keys_read_by("net/build.c")
    for kind in dv.layer_types():
        titles = [title for title in tables if title.startswith(f"[{kind}]")]
        assert titles, f"[{kind}] is not in docs/cfg.md"
        assert tables[titles[0]] == keys_read_by(f"layers/{kind}_layer.c"), kind


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
