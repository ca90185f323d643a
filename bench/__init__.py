"""Benchmarks against PyTorch, JAX, pandas and polars: `python -m bench` in the repository's root."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# `python -m bench` puts the root first, where the sources of darknet_vae hide the installed package; last, they do not.
_others = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
sys.path[:] = [*_others, str(ROOT)]
