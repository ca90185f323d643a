"""The documentation as a site: it builds without a warning, nothing public is missing in it, and its links lead somewhere."""

from __future__ import annotations

import importlib.util
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from helpers import ROOT

import darknet_vae as dv

DOCS = ROOT / "docs"
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *ROOT.glob("*/README.md"), *DOCS.rglob("*.md")]
)


def module(name: str) -> ModuleType:
    """docs/NAME.py."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec and spec.loader
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name in ("sphinx", "furo", "myst_parser", "matplotlib", "sklearn"):
        pytest.importorskip(name, reason=f"the site needs {name}: pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", str(DOCS), str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(site: Path) -> None:
    pages = {str(path.relative_to(DOCS).with_suffix(".html")) for path in DOCS.rglob("*.md")}
    assert pages <= {str(path.relative_to(site)) for path in site.rglob("*.html")}
    for page in pages:
        assert '<html class="no-js" lang="en"' in (site / page).read_text(), page


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_code_in_a_table_ends_in_its_cell(path: Path) -> None:
    for line in path.read_text().splitlines():
        if line.startswith("|"):
            for cell in re.split(r"(?<!\\)\|", line):
                assert cell.count("`") % 2 == 0, f"write \\| for | within a cell: {line}"


@pytest.mark.slow
def test_every_page_is_in_the_table_of_contents(site: Path) -> None:
    index = (site / "index.html").read_text()
    for path in DOCS.rglob("*.md"):
        page = str(path.relative_to(DOCS).with_suffix(".html"))
        assert page == "index.html" or f'href="{page}"' in index or page.startswith("python/"), page


@pytest.mark.slow
def test_every_function_of_the_header_is_on_the_site(site: Path) -> None:
    page = (site / "c-api.html").read_text()
    names = [one.name for one in module("generate").declarations()]
    assert len(names) > 150
    for name in names:
        assert f'id="{name.lower().replace("_", "-")}"' in page or f'id="{name.lower()}"' in page, name


def test_every_declaration_of_the_header_has_a_comment() -> None:
    header = (ROOT / "csrc" / "darknet.h").read_text()
    found = module("generate").declarations()
    assert {one.name for one in found if one.is_function} == set(re.findall(r"^DN_API [^;]*?(\w+)\(", header, flags=re.M))
    for one in found:
        assert len(one.comment) > 10, f"{one.name} has no comment in csrc/darknet.h"


def test_a_declaration_without_a_comment_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate = module("generate")
    (tmp_path / "csrc").mkdir()
    (tmp_path / "csrc" / "darknet.h").write_text(
        "/* cffi:begin */\n/* Has one. */\nDN_API int dn_one(int (*f)(void *), int n);\nDN_API void dn_two(void);\n"
        "/* ---- more ---- */\n\ntypedef struct dn_three {\n    int a; /* of a */\n} dn_three; /* after it */\n/* cffi:end */\n"
    )
    monkeypatch.setattr(generate, "DOCS", tmp_path / "docs")
    assert [(one.section, one.name, one.comment) for one in generate.declarations()] == [
        ("general", "dn_one", "Has one."), ("general", "dn_two", ""), ("more", "dn_three", "after it"),
    ]  # fmt: skip


# ---- Python ----


def public() -> Iterator[tuple[str, Any]]:
    """Every public name of the package and of its public modules, with what it is."""
    for name in dir(dv):
        thing = getattr(dv, name)
        if inspect.ismodule(thing):
            names = getattr(thing, "__all__", vars(thing))
            for inner, what in ((inner, getattr(thing, inner)) for inner in names):
                ours = str(getattr(what, "__module__", "")).startswith(thing.__name__)
                if ours and not inner.startswith("_") and callable(what):
                    yield f"{name}.{inner}", what
        elif not name.startswith("_"):
            yield name, thing


@pytest.mark.slow
def test_every_public_name_of_python_is_on_the_site(site: Path) -> None:
    shown = set(re.findall(r'id="(darknet_vae\.[\w.]+)"', "".join(page.read_text() for page in (site / "python").glob("*.html"))))
    for name, thing in public():
        assert shown & {f"darknet_vae.{name}", f"{getattr(thing, '__module__', '')}.{name}"}, name
    for method in ("train", "sample", "encode", "evaluate", "score_rows", "impute", "save", "load"):
        assert f"darknet_vae.Network.{method}" in shown
    assert {"darknet_vae.VAE.fit", "darknet_vae.VAEDetector.predict", "darknet_vae.errors.FormatError"} <= shown


def test_everything_public_in_python_has_a_docstring() -> None:
    pytest.importorskip("sklearn")
    bare = []
    for name, thing in public():
        if not inspect.getdoc(thing):
            bare.append(name)
        if inspect.isclass(thing):
            for inner, what in vars(thing).items():
                if not inner.startswith("_") and (callable(what) or isinstance(what, property)) and not inspect.getdoc(what):
                    bare.append(f"{name}.{inner}")
    assert not bare, bare


# ---- links ----


def anchors(text: str) -> set[str]:
    """Of the headings of a page, as code hosts make them, and of its <a id=...>."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    found: set[str] = set(re.findall(r'<a id="([^"]+)"', text))
    for title in re.findall(r"^#+ (.*)", text, flags=re.M):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-")
        number = 0
        while (one := slug if not number else f"{slug}-{number}") in found:
            number += 1
        found.add(one)
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_exist(path: Path) -> None:
    text = re.sub(r"^```(?!\{).*?^```$|(?<!`)`[^`\n]+`(?!`)", "", path.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", text):
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f"{path.name}: {target}"
        assert there.is_relative_to(ROOT), f"{path.name}: {target} is outside of the repository"
        if anchor:
            assert anchor in anchors(there.read_text()), f"{path.name}: no heading #{anchor} in {there.name}"


def test_links_to_the_web_are_whole() -> None:
    for path in PAGES:
        for target in re.findall(r"\]\((https?:[^)\s]*)\)", path.read_text()):
            assert re.fullmatch(r"https://[\w.-]+\.\w+(/[\w./~#?=&%+:-]*)?", target), f"{path.name}: {target}"


# ---- CITATION.cff ----


def test_the_citation_has_what_its_format_asks_for() -> None:
    """Keys and values of https://github.com/citation-file-format/citation-file-format, schema 1.2.0, of what the file uses."""
    yaml = pytest.importorskip("yaml", reason="CITATION.cff is read with PyYAML")
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert found["cff-version"] == "1.2.0" and found["type"] == "software" and found["license"] == "MIT"
    assert {"message", "title", "authors"} <= set(found) and str(found["version"]) == dv.__version__
    known = {"abstract", "authors", "cff-version", "keywords", "license", "message", "references", "title", "type", "version"}
    assert set(found) <= known
    assert all(isinstance(word, str) for word in found["keywords"]) and len(set(found["keywords"])) == len(found["keywords"])
    for one in [found, *found["references"]]:
        assert one["title"] and one["authors"] and one["type"] in ("software", "article")
        for author in one["authors"]:
            assert set(author) in ({"name"}, {"family-names", "given-names"}, {"alias"})
    for one in found["references"]:
        assert set(one) <= {"type", "title", "authors", "year", "identifiers", "url", "repository-code"}
        assert one["url"].startswith("https://") and isinstance(one.get("year", 1), int)
        assert all(mark["type"] in ("doi", "url", "swh", "other") and mark["value"] for mark in one.get("identifiers", []))
