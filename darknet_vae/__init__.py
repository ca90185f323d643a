"""Autoencoders and variational autoencoders on a Darknet core.

    import darknet_vae as dv
    X = dv.load_csv("data/digits.csv", label_column="label", scale=16)
    net = dv.Network("cfg/vae_digits.cfg", seed=0)
    history = net.train(X, epochs=100)
    images = net.sample(z)              # (n, latent) -> (n, outputs)

Arrays are float32, C-contiguous, (rows, features); image features are channel, row, column.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any


def _is_built(folder: str) -> bool:
    return os.path.isdir(folder) and any(name.startswith("_darknet.") for name in os.listdir(folder))


def _find_the_built_package() -> None:
    """In the source folder, Python finds this package before the installed one, which has the compiled core. All modules are
    then taken from the installed one."""
    here = os.path.dirname(os.path.abspath(__file__))
    if _is_built(here):
        return
    for folder in (os.path.join(entry or os.curdir, "darknet_vae") for entry in sys.path):
        if _is_built(folder):
            __path__[:] = [folder]
            return
    raise ImportError(
        f"{here} holds the sources of darknet_vae without its compiled core: run pip install {os.path.dirname(here)}"
    )


_find_the_built_package()
from ._version import __version__  # noqa: E402

if TYPE_CHECKING:
    from . import datasets, errors, export, plots, tables
    from .checking import Check, Comparison
    from .data import bundled, load_csv, load_table, one_hot, save_csv
    from .detection import Detections
    from .errors import DarknetError
    from .estimators import VAE as VAE
    from .estimators import Autoencoder as Autoencoder
    from .estimators import VAEDetector as VAEDetector
    from .evaluation import Evaluation, Losses
    from .explorer import explore
    from .importing import import_weights
    from .layer import Layer
    from .mixture import GaussianMixture
    from .model_report import Report, report
    from .network import Network, build_info, layer_types, sample_prior
    from .notes import Notes
    from .synthetic_report import SyntheticReport, report_synthetic
    from .tensorboard import TensorBoard
    from .training import History, Progress

# Loaded on first use, so that `import darknet_vae` and `darknet-vae --version` stay fast.
_HOMES = {
    "Network": "network", "Layer": "layer", "History": "training", "Progress": "training", "Losses": "evaluation",
    "Notes": "notes", "sample_prior": "network", "build_info": "network", "layer_types": "network",
    "load_csv": "data", "load_table": "data", "save_csv": "data", "bundled": "data",
    "one_hot": "data",
    "GaussianMixture": "mixture", "import_weights": "importing",
    "DarknetError": "errors", "Detections": "detection", "Evaluation": "evaluation", "TensorBoard": "tensorboard",
    "explore": "explorer",
    "Check": "checking", "Comparison": "checking",
    "Report": "model_report", "report": "model_report",
    "SyntheticReport": "synthetic_report", "report_synthetic": "synthetic_report",
    "VAE": "estimators", "Autoencoder": "estimators", "VAEDetector": "estimators",
}  # fmt: skip
_ESTIMATORS = ("Autoencoder", "VAE", "VAEDetector")  # not in __all__: they need scikit-learn, which `import *` should not
_MODULES = ("errors", "plots", "datasets", "export", "tables")

__all__ = [
    "Check", "Comparison", "DarknetError", "Detections", "Evaluation", "GaussianMixture", "History", "Layer", "Losses",
    "Network", "Notes", "Progress", "Report", "SyntheticReport", "TensorBoard", "__version__", "build_info", "bundled",
    "datasets", "errors", "explore", "export", "get_include", "get_library_dir", "import_weights", "layer_types", "load_csv",
    "load_table", "one_hot", "plots", "report", "report_synthetic", "sample_prior", "save_csv", "tables",
]  # fmt: skip


def get_include() -> str:
    """The folder of darknet.h, for C programs that use the library of this package."""
    return os.path.join(__path__[0], "include")


def get_library_dir() -> str:
    """The folder of libdarknet."""
    return os.path.join(__path__[0], "lib")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module 'darknet_vae' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_ESTIMATORS])
