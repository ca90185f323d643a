"""What the site does to the documents, which are also read as plain Markdown on a code host.

- Links to README.md, CONTRIBUTING.md, ... lead to pages of the site that show those files.
- Indented blocks get the language that they are in, and with it colours.
- Docstrings are read as Markdown too: `name` is code, and what is indented after a blank line is a block.
"""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Files outside docs/ that are pages of the site: page -> file.
SHOWN = {
    "networks": "cfg/README.md",
    "benchmarks": "bench/README.md",
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
}
_PAGES = {file: f"docs/{page}.md" for page, file in SHOWN.items()} | {"README.md": "docs/index.md"}

LINK = re.compile(r"(\]\()(?!https?:|mailto:|#)([^)#\s]+)")


def relink(text: str, file: str, page: str) -> str:
    """The text of `file` with the targets of its links as seen from `page`; both relative to the repository."""

    def target(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(file), found[2]))
        return found[1] + posixpath.relpath(_PAGES.get(path, path), posixpath.dirname(page))

    return LINK.sub(target, text)


_SHELL = re.compile(
    r"(darknet(-vae)?|pip|python3?|make|cc|gcc|cd|\./\S+|sudo|docker|conda|git|zcat|cat|export|tensorboard|jupyter) "
)


def language_of(code: str) -> str:
    """Of an indented block: a command by its first word, Python if it can be read as such and does something."""
    first = code.lstrip("\n").split("\n", 1)[0]
    if _SHELL.match(first):
        return "shell"
    try:
        parsed = ast.parse(code)
    except SyntaxError:
        return "text"
    does = any(isinstance(node, ast.Call | ast.Import | ast.ImportFrom | ast.Assert) for node in ast.walk(parsed))
    return "python" if does else "text"


BLOCK = re.compile(r"(?<=\n\n)(?:(?: {4}.*)\n|\n(?= {4}))+")


def fence(text: str) -> str:
    """Indented blocks as fenced ones with their language."""

    def fenced(found: re.Match[str]) -> str:
        code = re.sub(r"^ {4}", "", found[0], flags=re.M)
        return f"```{language_of(code)}\n{code.rstrip()}\n```\n"

    # Not within blocks that are fenced already.
    parts = re.split(r"(^```.*?^```$)", text, flags=re.M | re.S)
    return "".join(part if i % 2 else BLOCK.sub(fenced, part) for i, part in enumerate(parts))


def read(app: Any, docname: str, source: list[str]) -> None:
    file = SHOWN.get(docname, f"docs/{docname}.md")
    source[0] = fence(relink((ROOT / file).read_text(), file, f"docs/{docname}.md"))


def _inline(line: str) -> str:
    """One line of a paragraph: code in backticks, and nothing else that reStructuredText would take for markup."""
    parts = re.split(r"`+([^`]+)`+", line)
    return "".join(f"``{part}``" if i % 2 else re.sub(r"([*|_])", r"\\\1", part) for i, part in enumerate(parts))


def docstring(lines: list[str]) -> list[str]:
    """A docstring as reStructuredText."""
    out: list[str] = []
    blank, block, section = True, False, False
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if re.fullmatch("-{3,}", after) or re.fullmatch("-{3,}", line):
            # A section of scikit-learn's documents, with a list of definitions: `name : type`, and indented what it is.
            section = True
            out += [f".. rubric:: {line}", ""] if not line.startswith("---") else []
            continue
        if section and line.strip():
            indent = " " * (len(line) - len(line.lstrip()))
            name, colon, kind = line.partition(" : ")
            out.append(f"``{name}`` : {_inline(kind)}" if colon and not indent else indent + _inline(line.lstrip()))
            continue
        if not line.strip():
            out.append("")
            blank = True
            continue
        indented = line.startswith("    ")
        if indented and (blank or block):
            if not block:
                out += [f".. code-block:: {language_of(line.strip() + chr(10))}", ""]
            block = True
            out.append(line)
        else:
            if block and not blank:
                out.append("")
            block = False
            out.append(_inline(line.lstrip() if indented else line))
        blank = False
    return out


def process_docstring(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    lines[:] = docstring(lines)


def process_signature(app: Any, what: str, name: str, thing: Any, options: Any, signature: str, result: str) -> tuple[str, str]:
    """Sphinx shows the aliases of conf.py in unions as a class of its own."""
    plain = [re.sub(r"TypeAliasForwardRef\('(\w+)'\)", r"\1", text) if text else text for text in (signature, result)]
    return plain[0], plain[1]


def setup(app: Any) -> None:
    app.connect("autodoc-process-signature", process_signature)
    app.connect("source-read", read)
    app.connect("autodoc-process-docstring", process_docstring)
