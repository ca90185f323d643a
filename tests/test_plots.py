"""Pictures: that they show what they say, not only that a file appears."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import MODULE, ROOT, run

import darknet_vae as dv
from darknet_vae import plots

pytest.importorskip("matplotlib")
CFG, CSV = str(ROOT / "cfg" / "vae_digits.cfg"), str(ROOT / "data" / "digits.csv")


@pytest.fixture
def trained(digits: tuple[np.ndarray, np.ndarray]) -> dv.Network:
    net = dv.Network(CFG)
    net.train(digits[0], epochs=3, preview="look.txt")
    net.save("vae.weights")
    return net


def test_the_command_line_draws_all_four(trained: dv.Network) -> None:
    for words in (
        ["training", CFG, "look.txt"],
        ["latent", CFG, CSV, "-weights", "vae.weights"],
        ["manifold", CFG, "-weights", "vae.weights"],
        ["samples", CFG, "-weights", "vae.weights", "-n", "10", "-o", "some.svg"],
    ):
        done = run([*MODULE, "plot", *words])
        assert done.returncode == 0, done.stderr
    for name in ("training.png", "latent.png", "manifold.png"):
        assert Path(name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert "<svg" in Path("some.svg").read_text()[:2000]


def test_the_training_picture_has_a_column_per_epoch_with_inputs_above_outputs(
    trained: dv.Network, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    figure = plots.training(trained, "look.txt")
    assert [axis.get_title() for axis in figure.axes] == ["0", "1", "2", "3"]
    picture = np.asarray(figure.axes[3].images[0].get_array())
    np.testing.assert_array_equal(picture[1:9, 1:9], digits[0][0].reshape(8, 8))
    np.testing.assert_allclose(picture[10:18, 1:9], trained.reconstruct(digits[0][:1]).reshape(8, 8), rtol=1e-5, atol=1e-6)


def test_the_latent_picture_has_a_legend_of_the_labels(trained: dv.Network, digits: tuple[np.ndarray, np.ndarray]) -> None:
    figure = plots.latent(trained.encode(digits[0])[0], digits[1])
    legend = figure.axes[0].get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()] == [str(k) for k in range(10)]
    assert plots.latent(np.random.default_rng(0).normal(size=(20, 5))).axes[0].get_xlabel().startswith("first principal")
    with pytest.raises(dv.errors.UsageError, match="20 rows, but 3 labels"):
        plots.latent(np.zeros((20, 2)), [1, 2, 3])


def test_the_manifold_picture_lies_as_its_axes_say(trained: dv.Network) -> None:
    axis = plots.manifold(trained, n=5).axes[0]
    picture = np.asarray(axis.images[0].get_array())
    corner = trained.sample([[-3, 3]]).reshape(8, 8)  # top left
    np.testing.assert_allclose(picture[1:9, 1:9], corner, rtol=1e-5, atol=1e-6)
    corner = trained.sample([[3, -3]]).reshape(8, 8)  # bottom right
    np.testing.assert_allclose(picture[-9:-1, -9:-1], corner, rtol=1e-5, atol=1e-6)


def test_what_cannot_be_drawn_is_said(trained: dv.Network) -> None:
    Path("flat.cfg").write_text("[net]\ninputs=6\n[connected]\noutput=6\n[sampling]\n[connected]\noutput=6\n[cost]\n")
    flat = dv.Network("flat.cfg")
    with pytest.raises(dv.errors.UsageError, match="two latents, the network has 3"):
        plots.manifold(flat)
    with pytest.raises(dv.errors.UsageError, match=r"height=, width=, channels="):
        plots.samples(flat)
    assert plots.samples(flat, 4, shape=(1, 2, 3)).axes
    with pytest.raises(dv.errors.MissingFileError, match="train with -output"):
        plots.training(trained, "nothere.txt")
    with pytest.raises(dv.errors.UsageError, match=r"x\.wat"):
        plots.save(plots.latent(np.zeros((3, 2))), "x.wat")
    done = run([*MODULE, "plot", "samples", "flat.cfg", "-random", "-shape", "2x3"])
    assert done.returncode == 2 and "2x3" in done.stderr
