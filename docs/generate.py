"""Writes what docs/ says of keys and options from the tables that the core reads them by.

    python docs/generate.py           writes docs/cfg.md, docs/cli.md and docs/c-api.md anew
    python docs/generate.py --check   says what is out of date, and exits with 1

docs/cfg.md: under each heading of a section its table of keys. The text around the tables is written by hand.
docs/cli.md: what stands between a comment `<!-- NAME -->` and the next `<!-- end -->`, from the help pages of the binary.
docs/c-api.md: after the same kind of comment, every declaration of csrc/darknet.h with its comment.

It needs the installed package (pip install .)."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from darknet_vae import cli
from darknet_vae._lib import ffi, lib, text

DOCS = Path(__file__).resolve().parent


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("|" + "".join(f" {cell} |" if cell != "---" else "---|" for cell in line) + "\n" for line in lines)


# ---- docs/cfg.md ----


class Key(NamedTuple):
    name: str
    type: str
    fallback: str
    values: str
    help: str | None  # None: that of the key before it


def keys_of(section: str) -> list[Key]:
    """Of a layer type, of `net`, of `*`: every layer."""
    info = ffi.new("dn_key_info *")
    keys = []
    while lib.dn_key_describe(section.encode(), len(keys), info):
        shared = None if info.help == ffi.NULL else text(info.help)
        fallback = re.sub(r"e-0+", "e-", text(info.fallback))
        keys.append(Key(text(info.name), text(info.type), fallback, text(info.values), shared))
    return keys


def key_table(keys: list[Key]) -> str:
    """A row per key, or for neighbours that share their help."""
    groups: list[list[Key]] = []
    for key in keys:
        if key.help is None:
            groups[-1].append(key)
        else:
            groups.append([key])
    rows = []
    for group in groups:
        cells = [" ".join(f"`{key.name}`" for key in group)]
        for column in ("type", "fallback"):
            found = [getattr(key, column) for key in group]
            cells.append(found[0] if len(set(found)) == 1 else " ".join(found))
        rows.append([*cells, group[0].help or ""])
    return re.sub(r"\|  \|", "| |", table(["key", "type", "default", "meaning"], rows))


def section_of(title: str) -> str | None:
    """The section whose keys stand under a heading; None: it is about something else."""
    if title == "Every layer":
        return "*"
    found = re.match(r"\[(\w+)\]", title)
    return found[1] if found else None


def cfg_document(old: str) -> str:
    intro, *parts = re.split(r"^(?=## )", old, flags=re.M)
    for i, part in enumerate(parts):
        section = section_of(part.splitlines()[0][3:])
        if section is None:
            continue
        keys = keys_of(section)
        found = re.search(r"^\| key \|.*\n(?:\|.*\n)+", part, flags=re.M)
        if found:
            parts[i] = part[: found.start()] + (key_table(keys) if keys else "") + part[found.end() :]
        elif keys:
            parts[i] = part.rstrip("\n") + "\n\n" + key_table(keys) + "\n"
    return intro + "".join(parts)


# ---- docs/cli.md ----


class Option(NamedTuple):
    names: str
    value: str
    help: str


class Page(NamedTuple):
    usage: str
    text: str
    options: list[Option]


def help_of(*words: str) -> str:
    program = cli.binary()
    assert program, "the darknet binary was not installed"
    return subprocess.run([program, *words, "--help"], capture_output=True, text=True, check=True).stdout


def page(verb: str) -> Page:
    first, rest = help_of(verb).split("\n\n", 1)
    words, options = rest.split("\noptions, with one dash or two, anywhere:\n")
    found = re.findall(r"^  (-[\w-]+(?:, -[\w-]+)*)(?: (\S+))? +(.*)$", options, flags=re.M)
    return Page(first.removeprefix("usage: darknet "), words.strip(), [Option(*cells) for cells in found])


def verbs() -> dict[str, str]:
    """Those of the binary -> what they do."""
    return dict(re.findall(r"^  (\w+) {2,}(.*)$", help_of().split("VERB --help explains")[0], flags=re.M))


def option_table(options: list[Option]) -> str:
    rows = []
    for option in options:
        names = ", ".join(f"`{name}`" for name in option.names.split(", "))
        value = option.value.replace("|", "\\|")  # or it would end the cell
        rows.append([names, f"`{value}`" if value else "", option.help])
    return re.sub(r"\|  \|", "| |", table(["option", "value", "meaning"], rows))


def write_verbs() -> str:
    usages = {verb: page(verb).usage.removesuffix(" [options]").replace("|", r"\|") for verb in verbs()}  # | would end the cell
    rows = [[f"[`{verb}`](#{verb})", f"`{usages[verb]}`", what] for verb, what in verbs().items()]
    return table(["verb", "command", "what it does"], rows)


def write_each_verb() -> str:
    """Every verb with the options that not all verbs have."""
    pages = {verb: page(verb) for verb in verbs()}
    common = [option for option in pages["train"].options if all(option in other.options for other in pages.values())]
    out = ""
    for verb, found in pages.items():
        own = [option for option in found.options if option not in common]
        out += f"## {verb}\n\n    darknet-vae {found.usage}\n\n{found.text}\n\n"
        out += option_table(own) + "\n" if own else ""
    return out + "## Options of every verb\n\n" + option_table(common)


def write_exit_codes() -> str:
    codes = " ".join(help_of().split("exit codes: ")[1].split())
    rows = [code.split(": " if ":" in code else " ", 1) for code in codes.split(", ")]
    return table(["exit code", "meaning"], rows)


BLOCKS: dict[str, Callable[[], str]] = {"verbs": write_verbs, "each verb": write_each_verb, "exit codes": write_exit_codes}


def cli_document(old: str) -> str:
    for name, write in BLOCKS.items():
        start, end = f"<!-- {name} -->\n", "<!-- end -->\n"
        before, found, rest = old.partition(start)
        assert found and end in rest, f"docs/cli.md has no {start.strip()} ... {end.strip()}"
        old = before + start + write() + end + rest.partition(end)[2]
    return old


# ---- docs/c-api.md ----


class Declaration(NamedTuple):
    section: str
    name: str
    code: str
    comment: str  # before it, and after it on its line; "" where there is none
    is_function: bool


_TOKEN = re.compile(
    r"(?P<comment>/\*.*?\*/)|(?P<space>\s+)|(?P<code>(?:typedef\s+(?:struct|enum)\s+\w+\s*\{[^{}]*\}[^;]*;|typedef[^;]*;|DN_API[^;]*;))"
    r"(?P<after>[ \t]*/\*.*?\*/)?",
    re.S,
)


def said(comment: str) -> str:
    """The text of a C comment; lines keep how far they are indented."""
    first, *rest = comment[2:-2].split("\n")
    lines = [first.removeprefix(" "), *(re.sub(r"^ *\*(?: |$)", "", line) for line in rest)]
    return "\n".join(line.rstrip() for line in lines).strip("\n ")


def declarations() -> list[Declaration]:
    """Of csrc/darknet.h, in its order."""
    header = (DOCS.parent / "csrc" / "darknet.h").read_text()
    region = header.split("/* cffi:begin", 1)[1].split("*/", 1)[1].split("/* cffi:end", 1)[0]
    found: list[Declaration] = []
    section, comment, at = "general", "", 0
    while at < len(region):
        token = _TOKEN.match(region, at)
        assert token, f"csrc/darknet.h: what is {region[at : at + 60]!r}?"
        at = token.end()
        if token["comment"]:
            title = re.fullmatch(r"/\* -+ (.*?) -+ \*/", token["comment"])
            section, comment = (title[1], "") if title else (section, said(token["comment"]))
        elif token["code"]:
            code = token["code"]
            name = re.search(r"\(\*(\w+)\)", code) if "(*" in code.split("{")[0] and code.startswith("typedef") else None
            name = name or re.search(r"(\w+);$" if code.startswith("typedef") else r"(\w+)\(", code)
            assert name, code
            texts = [text for text in (comment, said(token["after"].strip()) if token["after"] else "") if text]
            found.append(Declaration(section, name[1], code, "\n\n".join(texts), not code.startswith("typedef")))
            comment = ""
    return found


def prose(comment: str, names: set[str], own: str) -> str:
    """A comment as Markdown: what is indented stays as it is, names are code and lead to where they are explained."""

    def mark(word: re.Match[str]) -> str:
        name = word[0]
        return f"[`{name}`](#{name.lower()})" if name in names and name != own else f"`{name}`"

    out, block = [], False
    for paragraph in re.split(r"\n{2,}", comment):
        block = paragraph.startswith("  ") and not paragraph.lstrip().startswith("- ")
        if block:
            out.append("```text\n" + "\n".join(line.removeprefix("  ") for line in paragraph.split("\n")) + "\n```")
        else:
            plain = re.sub(r"(?m)^ +(?=- )", "", paragraph)
            parts = re.split(r"(`[^`]+`)", plain)
            parts[::2] = [re.sub(r"\b(dn|DN)_\w+", mark, re.sub(r"([*<])", r"\\\1", part)) for part in parts[::2]]
            out.append("".join(parts))
    return "\n\n".join(out)


def write_c_api() -> str:
    found = declarations()
    names = {one.name for one in found}
    out, section = "", ""
    for one in found:
        if one.section != section:
            section = one.section
            out += f"## {section[0].upper()}{section[1:]}\n\n"
        code = one.code.replace("DN_API ", "")
        code = re.sub(r"\n {4,}(?=\S.*\)?;?$)", "\n    ", code) if one.is_function else code
        out += f"### {one.name}\n\n```c\n{code}\n```\n\n"
        out += prose(one.comment, names, one.name) + "\n\n" if one.comment else ""
    return out


def c_api_document(old: str) -> str:
    start = "<!-- declarations -->\n"
    before, found, _ = old.partition(start)
    assert found, f"docs/c-api.md has no {start.strip()}"
    return before + start + "\n" + write_c_api().rstrip("\n") + "\n"


DOCUMENTS: dict[str, Callable[[str], str]] = {"cfg.md": cfg_document, "cli.md": cli_document, "c-api.md": c_api_document}


def main() -> int:
    stale = []
    for name, write in DOCUMENTS.items():
        old = (DOCS / name).read_text()
        new = write(old)
        if new != old:
            stale.append(name)
            if "--check" not in sys.argv:
                (DOCS / name).write_text(new)
    if stale:
        print(("out of date: " if "--check" in sys.argv else "written: ") + ", ".join(stale))
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    raise SystemExit(main())
