"""The genuine MNIST files, when DARKNET_VAE_MNIST names their folder."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from helpers import MODULE, ROOT, run

import darknet_vae as dv

FOLDER = os.environ.get("DARKNET_VAE_MNIST")
pytestmark = pytest.mark.skipif(not FOLDER, reason="DARKNET_VAE_MNIST does not name a folder with the MNIST IDX files")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return dv.datasets.load("mnist", folder=FOLDER).pixels


def test_the_idx_files_become_csv() -> None:
    done = run([*MODULE, "dataset", "mnist", "-o", "m.csv", "--rows", "50", "--from", str(FOLDER)])
    assert done.returncode == 0, done.stderr
    table = dv.load_table("m.csv", label_column="label")
    source = dv.datasets.load("mnist", folder=FOLDER)
    np.testing.assert_array_equal(table.X, source.pixels[:50].reshape(50, -1))
    assert table.labels is not None
    assert table.labels.astype(int).tolist() == source.labels[:50].tolist() and table.labels[:5].tolist() == list("50419")
    assert len(source.pixels) == 60_000 and len(dv.datasets.load("mnist", "test", FOLDER).pixels) == 10_000


def test_one_epoch_of_the_published_network(images: np.ndarray) -> None:
    """The full run is in bench/published.py; after one of its ten epochs the losses are on their way."""
    X = images[:4000].reshape(4000, -1) / np.float32(255)
    history = dv.Network(ROOT / "cfg" / "vae_connected.cfg", seed=0).train(X, epochs=1)
    assert 2 < history.latent_loss[0] < 5
    assert history.image_loss[0] + history.latent_loss[0] < 56  # the mean image alone costs 52.2 without any latent


def test_early_stopping_keeps_the_epoch_with_the_lowest_printed_loss(images: np.ndarray) -> None:
    """With few rows and a high rate the losses of other rows soon rise again."""
    X = images[:1200].reshape(1200, -1) / np.float32(255)
    dv.save_csv("m.csv", X)
    cfg, names = str(ROOT / "cfg" / "vae_connected.cfg"), ["-scale", "1", "-nogpu", "-seed", "3"]
    done = run([*MODULE, "train", cfg, "m.csv", *names, "-holdout", "0.5", "-epochs", "60", "-patience", "4", "-json"])
    assert done.returncode == 0, done.stderr
    losses = [float(found) for found in re.findall(r"^epoch \d+.* valid_loss (\S+)", done.stderr, flags=re.M)]
    result, kept = json.loads(done.stdout), 1 + int(np.argmin(losses))
    assert result["stopped"] == "patience" and len(losses) < 60
    assert (result["kept_epoch"], result["epochs"]) == (kept, kept + 4)
    words = ["evaluate", cfg, "m.csv", *names, "-holdout", "0.5", "-weights", "vae.weights", "-json"]
    evaluated = json.loads(run([*MODULE, *words]).stdout)
    assert evaluated["total_loss"] == pytest.approx(result["valid_loss"], rel=1e-6)
    assert result["valid_loss"] == pytest.approx(min(losses), rel=1e-4)


def test_the_convolutional_vae_learns_digits(images: np.ndarray) -> None:
    X = images[:1000].reshape(1000, -1) / np.float32(255)
    net = dv.Network(ROOT / "cfg" / "vae_conv.cfg", seed=0)
    history = net.train(X, epochs=3)
    assert history.total_loss[-1] < 210  # 544 at the start, 206 for independent pixels of the mean image
    net.save("w.weights")
    assert Path("w.weights").stat().st_size == 20 + 4 * net.n_params
