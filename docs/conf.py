"""Sphinx reads this: python -m sphinx -W docs build/docs, or `make docs`. What it does to the pages is in site_pages.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import site_pages

import darknet_vae

project = "darknet-vae"
author = copyright = "the darknet-vae project"
version = release = darknet_vae.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
try:
    import sphinx_copybutton  # noqa: F401

    extensions.append("sphinx_copybutton")
except ImportError:
    pass
exclude_patterns = ["build"]

# Markdown: headings have the anchors that code hosts give them.
myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]
highlight_language = "text"
# The grammar of cfg files is one of ini files with values that are lists; a value that it does not know is no error.
suppress_warnings = ["misc.highlighting_failure", "myst.header"]  # pages that are measured begin their sections at ###

# Every reference to a name of ours must lead somewhere; those of numpy and of Python are only text here.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!darknet_vae).*")]
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_type_aliases = {"npt.ArrayLike": "ArrayLike", "Path": "Path", "Array": "Array"}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
default_role = "code"
smartquotes = False  # quotes in text are often those of code

html_theme = "furo"
html_title = f"darknet-vae {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False


def setup(app):
    site_pages.setup(app)
