"""Pictures: that they show what they say, not only that a file appears."""

from __future__ import annotations

import io
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import MODULE, ROOT, run

import darknet_vae as dv
from darknet_vae import plots

pytest.importorskip("matplotlib")
CFG, CSV = str(ROOT / "cfg" / "vae_digits.cfg"), str(ROOT / "data" / "digits.csv")
PENGUINS, WINE = str(ROOT / "data" / "penguins.csv"), str(ROOT / "data" / "wine.csv")
FLAT = (
    "[net]\ninputs={0}\n[connected]\noutput={1}\nactivation=linear\n[sampling]\n[connected]\noutput={0}\n"
    "activation=linear\n[cost]\n"
)


@pytest.fixture
def trained(digits: tuple[np.ndarray, np.ndarray]) -> dv.Network:
    net = dv.Network(CFG)
    net.train(digits[0], epochs=3, preview="look.txt", log="log.csv", holdout=0.2)
    net.save("vae.weights")
    return net


@pytest.fixture(scope="module")
def penguins() -> dv.Network:
    net = dv.Network.for_table(PENGUINS)
    net.train(PENGUINS, epochs=100)
    return net


@pytest.fixture
def strict() -> Iterator[None]:
    """No warning while drawing."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def flat(inputs: int = 6, latent: int = 3) -> dv.Network:
    return dv.Network(cfg_text=FLAT.format(inputs, 2 * latent))


def title(figure: Any) -> str:
    return str(figure._suptitle.get_text())


def words(figure: Any) -> list[str]:
    """All texts of a figure but its title."""
    return [text for axis in figure.axes for t in axis.texts if (text := t.get_text())]


def shown(axis: Any) -> np.ndarray:
    return np.asarray(axis.images[0].get_array())


def rendered(figure: Any, dpi: int = 60) -> np.ndarray:
    """Its pixels, (height, width, 3)."""
    from matplotlib.image import imread

    return np.asarray(imread(io.BytesIO(plots.png(figure, dpi))))[..., :3]


def ticks(axis: Any, which: str) -> list[str]:
    return [t.get_text() for t in getattr(axis, f"get_{which}ticklabels")()]


def points(axis: Any) -> int:
    return sum(len(c.get_offsets()) for c in axis.collections)


# ---- the command line ----


def test_the_command_line_draws_every_picture(trained: dv.Network, penguins: dv.Network) -> None:
    penguins.save("p.safetensors")
    dv.tables.Frame(PENGUINS)
    rows = Path(PENGUINS).read_text().splitlines(keepends=True)
    Path("new.csv").write_text("".join(rows[:1] + rows[100:200]))
    model = [CFG, CSV, "-weights", "vae.weights"]
    table = ["p.safetensors", PENGUINS]
    for arguments in (
        ["curves", "log.csv"],
        ["training", CFG, "look.txt"],
        ["latent", *model],
        ["manifold", CFG, "-weights", "vae.weights", "-n", "5"],
        ["samples", CFG, "-weights", "vae.weights", "-n", "10", "-o", "some.svg"],
        ["reconstructions", *model, "-n", "4"],
        ["traversals", *model, "-row", "2", "-steps", "3"],
        ["interpolation", *model, "-between", "0,5"],
        ["kl", *model],
        ["scores", *model, "-top", "3"],
        ["latent", *table, "-by", "body_mass_g", "-o", "mass.pdf", "-title", "By mass"],
        ["reconstructions", *table, "-N", "3", "-o", "table.png"],
        ["marginals", PENGUINS, "new.csv", "-columns", "sex,year"],
        ["correlations", PENGUINS, "new.csv"],
    ):
        done = run([*MODULE, "plot", *arguments])
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
        assert "warning" not in done.stderr.lower(), done.stderr
    kinds = (
        "curves",
        "training",
        "latent",
        "manifold",
        "reconstructions",
        "traversals",
        "interpolation",
        "kl",
        "scores",
        "table",
    )
    for name in (*kinds, "marginals", "correlations"):
        assert Path(f"{name}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert "<svg" in Path("some.svg").read_text()[:2000]
    assert Path("mass.pdf").read_bytes()[:5] == b"%PDF-"


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (["curves", "nothere.csv"], 4, "nothere.csv: no such file"),
        (["curves", CSV], 3, "no log of a training"),
        (["samples", "flat.cfg", "-random", "-shape", "2x3"], 2, "2x3"),
        (["manifold", CFG, "-random", "-dims", "0,7"], 2, "dims=7"),
        (["manifold", CFG, "-random", "-dims", "zero,one"], 2, "-dims zero,one"),
        (["interpolation", CFG, CSV, "-random", "-between", "0,9999"], 2, "rows 0 to 1796"),
        (["traversals", CFG, CSV, "-random", "-row", "-1"], 2, "row=-1: there are rows 0 to 1796"),
        (["latent", CFG, CSV, "-random", "-output", CSV], 2, "would overwrite"),
        (["marginals", PENGUINS, CSV], 2, "no column 'species'"),
        (["latnt"], 2, "latnt"),
    ],
)
def test_an_error_is_one_line(arguments: list[str], code: int, said: str) -> None:
    Path("flat.cfg").write_text(FLAT.format(6, 6))
    done = run([*MODULE, "plot", *arguments])
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    assert said in done.stderr


def test_every_picture_has_a_help_text() -> None:
    done = run([*MODULE, "plot", "--help"])
    for name in ("curves", "traversals", "marginals"):
        assert name in done.stdout
        assert "-title T" in run([*MODULE, "plot", name, "--help"]).stdout


# ---- files ----


def test_files_are_the_same_each_time_and_have_no_empty_margin() -> None:
    def figure() -> Any:
        return plots.latent(np.random.default_rng(0).normal(size=(300, 2)))

    assert plots.svg(figure()) == plots.svg(figure())
    assert plots.svg(figure()).startswith("<svg")
    pixels = rendered(figure())
    dark = np.flatnonzero((pixels < 0.9).any(axis=(1, 2)))
    assert dark[0] < 0.06 * len(pixels) and dark[-1] > 0.94 * len(pixels)


def test_a_title_and_names_may_hold_anything(strict: None) -> None:
    names = ["price $ in 10^3$_x$", "<script>alert('x')</script>", "größe µ", "a" * 300, "two\nlines\t\x07", "$"]
    x = np.random.default_rng(0).normal(size=(40, 6))
    real, drawn = (dict(zip(names, part.T, strict=True)) for part in (x, x + 0.1))
    figure = plots.marginals(real, drawn)
    plots.set_title(figure, "$\\frac{ " * 30)
    assert title(figure).count("\n") >= 1, "a long title has several lines"
    text = plots.svg(figure)
    assert "<script" not in text
    plots.png(plots.correlations(real, drawn))
    plots.png(plots.latent(x[:, :2], [names[i % 6] for i in range(40)], label_name=names[0], names=names[:2]))
    assert plots.cells(real)[names[3]].values.shape == (40,)


def test_points_of_many_rows_are_an_image_in_vector_formats() -> None:
    many = plots.svg(plots.latent(np.random.default_rng(0).normal(size=(20_000, 2))))
    few = plots.svg(plots.latent(np.random.default_rng(0).normal(size=(200, 2))))
    assert "<image" in many and "<image" not in few
    assert len(many) < 3_000_000


def test_the_users_own_style_does_not_change_pictures(trained: dv.Network) -> None:
    import matplotlib

    before = plots.png(plots.curves("log.csv"), 50)
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 30, "savefig.dpi": 20}):
        after = plots.png(plots.curves("log.csv"), 50)
        assert matplotlib.rcParams["font.size"] == 30
    assert before == after


def test_a_notebook_shows_a_figure() -> None:
    assert plots.latent(np.zeros((3, 2)))._repr_png_()[:4] == b"\x89PNG"  # type: ignore[attr-defined]


# Full deuteranopia and protanopia, as matrices on linear RGB, of Machado et al., doi:10.1109/TVCG.2009.113
_DEUTERANOPIA = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
_PROTANOPIA = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]


@pytest.mark.parametrize("seen", [np.eye(3), _DEUTERANOPIA, _PROTANOPIA], ids=["all cones", "deuteranopia", "protanopia"])
def test_colours_of_kinds_are_apart_for_everyone(seen: Any) -> None:
    from matplotlib.colors import to_rgb

    from darknet_vae.plots import _style

    colours = np.array([to_rgb(c) for c in _style.COLOURS])
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = np.clip(linear @ np.transpose(seen), 0, 1) @ to_xyz.T / [0.95047, 1, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1)[~np.eye(len(lab), dtype=bool)]
    assert apart.min() > 15  # differences of CIELAB; 2.3 can just be seen


# ---- training ----


def test_the_training_picture_shows_the_inputs_once_and_the_outputs_by_epoch(
    trained: dv.Network, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    axis = plots.training(trained, "look.txt").axes[0]
    assert ticks(axis, "y") == ["input", "0", "1", "2", "3"]
    assert axis.get_ylabel() == "output after epoch"
    picture = shown(axis)
    assert picture.shape == (5 * 8 + 1, 10 * 8), "images touch; a gap below the inputs"
    first = np.loadtxt("look_input_3.txt", delimiter=",")
    np.testing.assert_allclose(picture[:8, :8], first[0].reshape(8, 8), atol=1e-6)
    last = np.loadtxt("look_output_3.txt", delimiter=",")
    np.testing.assert_allclose(picture[-8:, 8:16], last[1].reshape(8, 8), atol=1e-6)
    assert np.isnan(picture[8]).all()


def test_many_epochs_stand_beside_one_another_and_the_last_is_among_them(digits: tuple[np.ndarray, np.ndarray]) -> None:
    net = dv.Network(CFG)
    net.train(digits[0], epochs=30, preview="look.txt")
    figure = plots.training(net, "look.txt", columns=5)
    assert ticks(figure.axes[0], "y") == ["input", "0", "8", "15", "22", "30"], "fewer epochs than rows"
    figure = plots.training(net, "look.txt", columns=12)
    assert ticks(figure.axes[0], "x")[:2] == ["input", "0"] and ticks(figure.axes[0], "x")[-1] == "30"
    assert shown(figure.axes[0]).shape == (10 * 8, 13 * 8 + 1)
    pixels = rendered(figure)
    assert (pixels.min(axis=2) > 0.98).all(axis=1).mean() < 0.2, "no wide empty bands"


def test_a_training_without_previews_is_said(trained: dv.Network) -> None:
    with pytest.raises(dv.errors.MissingFileError, match="train with -output"):
        plots.training(trained, "nothere.txt")


# ---- the latent space ----


def test_the_latent_picture_has_all_rows_and_a_legend_of_the_labels(
    trained: dv.Network, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    figure = plots.latent(trained.encode(digits[0])[0], digits[1], label_name="digit")
    axis = figure.axes[0]
    legend = axis.get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()] == [str(k) for k in range(10)]
    assert legend.get_title().get_text() == "digit"
    assert points(axis) == 1797
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("latent 1", "latent 2")
    assert title(figure) == "The latent space: 1,797 rows by digit"


def test_more_than_two_latents_are_drawn_along_principal_axes_that_say_their_part() -> None:
    z = np.random.default_rng(0).normal(size=(500, 5)) * [3, 1, 0.1, 0.1, 0.1]
    figure = plots.latent(z)
    part = np.linalg.svd(z - z.mean(0), compute_uv=False) ** 2
    assert figure.axes[0].get_xlabel() == f"first principal axis ({part[0] / part.sum():.0%} of the variance)"
    assert figure.axes[0].get_ylabel() == f"second principal axis ({part[1] / part.sum():.0%} of the variance)"
    xy = figure.axes[0].collections[0].get_offsets()
    assert np.var(xy[:, 0], ddof=0) == pytest.approx(part[0] / 500, rel=1e-6)


def test_principal_axes_point_the_same_way_in_pictures_and_in_the_explorer() -> None:
    from darknet_vae.explorer import _principal_axes
    from darknet_vae.plots._latents import _principal

    for seed in range(8):
        random = np.random.default_rng(seed)
        z = random.normal(size=(50, 4)) @ random.normal(size=(4, 4))
        centre, axes, _ = _principal_axes(z.astype(np.float32))
        np.testing.assert_allclose(_principal(z)[0], (z - centre) @ axes.T, atol=1e-4)


@pytest.mark.parametrize("latents", [1, 2, 3, 16, 64])
@pytest.mark.parametrize("method", ["auto", "pca", "pairs"])
def test_any_number_of_latents_is_drawn(latents: int, method: str, strict: None) -> None:
    z = np.random.default_rng(0).normal(size=(50, latents))
    figure = plots.latent(z, np.arange(50) % 3, method=method)
    assert plots.png(figure, 40)
    if method == "pairs" and latents > 1:
        n = min(latents, 5)
        assert len(figure.axes) == n * n and points(figure.axes[n]) == 50
        assert ("5 of" in title(figure)) == (latents > 5)


def test_few_labels_have_colours_many_numbers_a_scale_and_rare_words_are_others() -> None:
    z = np.random.default_rng(0).normal(size=(600, 2))
    many = plots.latent(z, np.linspace(0, 5, 600), label_name="mass")
    assert many.axes[1].get_ylabel() == "mass", "a colour bar"
    assert many.axes[0].collections[0].get_array().max() == 5
    tags = [f"kind {i % 30:02}" for i in range(600 - 30)] + ["kind 00"] * 30
    others = plots.latent(z, tags)
    legend = [t.get_text() for t in others.axes[0].get_legend().get_texts()]
    assert len(legend) == 20 and legend[0] == "kind 00" and legend[-1] == "11 others"
    assert points(others.axes[0]) == 600
    markers = {c.get_paths()[0].vertices.shape for c in others.axes[0].collections}
    assert len(markers) == 2, "after ten colours another marker"


def test_missing_and_constant_labels_are_drawn(strict: None) -> None:
    z = np.random.default_rng(0).normal(size=(30, 2))
    gaps = plots.latent(z, ["a", None, ""] * 10)
    assert [t.get_text() for t in gaps.axes[0].get_legend().get_texts()] == ["a", "missing (20)"]
    assert points(gaps.axes[0]) == 30
    numbers = np.where(np.arange(30) % 10 == 0, np.nan, np.arange(30.0))
    scale = plots.latent(z, numbers)
    assert [t.get_text() for t in scale.axes[0].get_legend().get_texts()] == ["missing (3)"]
    same = plots.latent(z, ["one"] * 30)
    assert [t.get_text() for t in same.axes[0].get_legend().get_texts()] == ["one"]
    whole = plots.latent(z, np.array([1.0, 2.0, np.nan] * 10))
    assert [t.get_text() for t in whole.axes[0].get_legend().get_texts()] == ["1", "2", "missing (10)"]


def test_dates_are_labels_on_a_scale() -> None:
    z = np.random.default_rng(0).normal(size=(30, 2))
    when = np.datetime64("2021-03-01") + np.arange(30)
    when[4] = np.datetime64("NaT")
    figure = plots.latent(z, when, label_name="when")
    figure.draw_without_rendering()
    bar = figure.axes[1]
    assert bar.get_ylabel() == "when" and any("Mar" in t for t in [*ticks(bar, "y"), bar.yaxis.get_offset_text().get_text()])
    assert [t.get_text() for t in figure.axes[0].get_legend().get_texts()] == ["missing (1)"]
    plots.png(plots.latent(z[:, :1], when), 40)


def test_rows_without_a_latent_are_left_out() -> None:
    z = np.random.default_rng(0).normal(size=(30, 2))
    z[3] = np.nan
    figure = plots.latent(z, ["a", "b"] * 15)
    assert points(figure.axes[0]) == 29 and "29 rows" in title(figure)


def test_one_latent_is_drawn_by_label(strict: None) -> None:
    z = np.random.default_rng(0).normal(size=(60, 1))
    axis = plots.latent(z, ["x", "y", "z"] * 20, label_name="kind").axes[0]
    assert points(axis) == 60 and ticks(axis, "y") == ["x", "y", "z"] and axis.get_ylabel() == "kind"
    np.testing.assert_allclose(np.sort(np.concatenate([c.get_offsets()[:, 0] for c in axis.collections])), np.sort(z[:, 0]))
    assert sum(bar.get_height() for bar in plots.latent(z).axes[0].patches) == 60, "a histogram"


def test_a_single_row_and_equal_rows_are_drawn(strict: None) -> None:
    for z in (np.ones((1, 1)), np.ones((1, 2)), np.ones((1, 7)), np.ones((4, 3))):
        plots.png(plots.latent(z, ["a"] * len(z)), 40)


def test_umap_draws_what_the_package_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    z = np.random.default_rng(0).normal(size=(20, 4))
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(dv.errors.MissingPackageError, match="umap-learn"):
        plots.latent(z, method="umap")

    class UMAP:
        def __init__(self, **options: object) -> None:
            assert options["n_components"] == 2 and options["random_state"] == 0

        def fit_transform(self, x: np.ndarray) -> np.ndarray:
            return x[:, :2] * 2

    module = types.ModuleType("umap")
    module.UMAP = UMAP  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "umap", module)
    axis = plots.latent(z, method="umap").axes[0]
    np.testing.assert_allclose(axis.collections[0].get_offsets(), z[:, :2] * 2)
    assert axis.get_xlabel() == "UMAP 1"


def test_what_is_no_latent_space_is_said() -> None:
    with pytest.raises(dv.errors.UsageError, match="20 rows, but 3 labels"):
        plots.latent(np.zeros((20, 2)), [1, 2, 3])
    with pytest.raises(dv.errors.UsageError, match=r"not \(rows, latent\)"):
        plots.latent(np.zeros(20))
    with pytest.raises(dv.errors.UsageError, match="method='tsne'"):
        plots.latent(np.zeros((20, 2)), method="tsne")
    with pytest.raises(dv.errors.UsageError, match="no rows"):
        plots.latent(np.zeros((0, 2)))


# ---- decoded images ----


def test_images_of_the_manifold_touch_and_lie_as_its_axes_say(trained: dv.Network) -> None:
    figure = plots.manifold(trained, n=5)
    axis = figure.axes[0]
    picture = shown(axis)
    assert picture.shape == (40, 40)
    for corner, (y, x) in {(-3, 3): (0, 0), (3, -3): (32, 32), (3, 3): (0, 32)}.items():
        np.testing.assert_allclose(picture[y : y + 8, x : x + 8], trained.sample([corner]).reshape(8, 8), rtol=1e-5, atol=1e-6)
    left, right, bottom, top = axis.images[0].get_extent()
    assert (left, right, bottom, top) == (-3.75, 3.75, -3.75, 3.75), "the middle of the first image is at -3"
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("latent 1", "latent 2")


@pytest.mark.parametrize("shape", [(1, 4, 16), (1, 16, 4), (1, 8, 8), (1, 2, 32)])
def test_pixels_are_square_whatever_the_images_shape(shape: tuple[int, int, int]) -> None:
    net = flat(64, 2)
    for figure in (plots.manifold(net, 4, shape=shape), plots.samples(net, 6, shape=shape)):
        figure.draw_without_rendering()
        axis = figure.axes[0]
        box = axis.get_window_extent()
        height, width = shown(axis).shape
        assert box.width / width == pytest.approx(box.height / height, rel=0.02)


def test_the_manifold_of_more_latents_has_the_others_at_0() -> None:
    net = flat(4, 5)
    figure = plots.manifold(net, 3, limit=2, shape=(1, 2, 2), dims=(4, 1))
    z = np.zeros((1, 5), np.float32)
    z[0, 4], z[0, 1] = -2, 2
    np.testing.assert_allclose(shown(figure.axes[0])[:2, :2], net.sample(z).reshape(2, 2), rtol=1e-5, atol=1e-6)
    assert figure.axes[0].get_xlabel() == "latent 5" and "the other 3 latents at 0" in title(figure)


def test_the_manifold_of_columns_is_a_map_of_each(penguins: dv.Network, strict: None) -> None:
    net = flat(3, 2)
    figure = plots.manifold(net, 4)
    maps = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title(loc="left") for axis in maps] == ["x0", "x1", "x2"]
    value = net.sample([[-3, 3]])[0]
    np.testing.assert_allclose([shown(axis)[0, 0] for axis in maps], value, rtol=1e-5, atol=1e-6)
    figure = plots.manifold(penguins, 3)
    assert {axis.get_title(loc="left") for axis in figure.axes if axis.images} == set(penguins.schema.coded)
    assert "the other 6 latents at 0" in title(figure)


def test_samples_are_those_of_the_seed(trained: dv.Network) -> None:
    figure = plots.samples(trained, n=10, seed=3)
    picture = shown(figure.axes[0])
    assert picture.shape == (16, 40), "ten images leave no place empty"
    np.testing.assert_allclose(picture[:8, :8], trained.sample(n=10, seed=3)[0].reshape(8, 8), rtol=1e-5, atol=1e-6)
    assert title(figure) == "10 images drawn from the prior"


def test_outputs_between_0_and_1_have_these_as_black_and_white_also_where_none_is_bright() -> None:
    dim = "[net]\ninputs=4\nwidth=2\nheight=2\nchannels=1\n[connected]\noutput=4\nactivation=linear\n[sampling]\n" \
          "[connected]\noutput=4\nactivation={}\n[cost]\n{}"  # fmt: skip
    x = np.full((3, 4), 0.3, np.float32)
    for activation, loss, bounded in (("logistic", "", True), ("linear", "type=bce\n", True), ("linear", "", False)):
        net = dv.Network(cfg_text=dim.format(activation, loss))
        net.layers[-2].set("biases", np.full(4, 0.2 if activation == "linear" and not loss else -1.5))
        net.layers[-2].set("weights", net.layers[-2].params["weights"] * 0.01)
        for figure in (
            plots.manifold(net, 3), plots.samples(net, 4), plots.traversals(net, steps=3), plots.traversals(net, x, steps=3),
            plots.interpolation(net, x, (0, 1), steps=3), plots.reconstructions(net, x),
        ):  # fmt: skip
            assert (figure.axes[0].images[0].get_clim() == (0, 1)) == bounded, (activation, loss, title(figure))


def test_colour_images_keep_their_colours() -> None:
    net = flat(12, 2)
    picture = shown(plots.samples(net, 4, shape=(3, 2, 2)).axes[0])
    assert picture.shape == (4, 4, 3)
    np.testing.assert_allclose(picture[:2, :2], np.clip(np.moveaxis(net.sample(n=4)[0].reshape(3, 2, 2), 0, -1), 0, 1), atol=1e-6)


def test_inputs_are_above_their_outputs(trained: dv.Network, digits: tuple[np.ndarray, np.ndarray]) -> None:
    figure = plots.reconstructions(trained, digits[0], n=4)
    picture = shown(figure.axes[0])
    assert picture.shape == (16, 32) and ticks(figure.axes[0], "y") == ["input", "output"]
    np.testing.assert_array_equal(picture[:8, 8:16], digits[0][1].reshape(8, 8))
    np.testing.assert_allclose(picture[8:, 8:16], trained.reconstruct(digits[0][1:2]).reshape(8, 8), rtol=1e-5, atol=1e-6)
    many = plots.reconstructions(trained, digits[0], n=30)
    assert ticks(many.axes[0], "y") == ["input", "output"] * 3
    assert plots.reconstructions(trained, digits[0][:2], n=10).axes, "fewer rows than asked for"


def test_traversals_go_through_each_latent(trained: dv.Network, digits: tuple[np.ndarray, np.ndarray]) -> None:
    figure = plots.traversals(trained, digits[0], row=7, dims=[1, 0], steps=5, span=2)
    axis = figure.axes[0]
    kl = trained.evaluate(digits[0], latent=True)["latent_kl"]
    assert ticks(axis, "y") == [f"latent 2\nKL {kl[1]:.2f} nats", f"latent 1\nKL {kl[0]:.2f} nats"]
    assert ticks(axis, "x") == ["-2", "-1", "0", "+1", "+2"]
    z = trained.encode(digits[0][7:8])[0]
    z[0, 1] -= 2
    np.testing.assert_allclose(shown(axis)[:8, :8], trained.sample(z).reshape(8, 8), rtol=1e-5, atol=1e-5)
    assert "around row 7" in title(figure)


def test_the_kl_by_latent_is_said_to_be_to_the_normal_distribution_also_where_the_prior_is_learned(penguins: dv.Network) -> None:
    found = penguins.evaluate(PENGUINS, latent=True)
    assert found["latent_kl"].sum() > 1.5 * found["latent_loss"], "the prior is a mixture"
    figure = plots.kl(penguins, PENGUINS)
    assert title(figure).startswith("KL to N(0, 1): ") and figure.axes[0].get_ylabel() == "KL to N(0, 1) (nats)"
    sides = [side for side in ticks(plots.traversals(penguins, PENGUINS, steps=3).axes[0], "y") if side.startswith("latent")]
    assert sides and all(", KL to N(0, 1): " in side for side in sides)


def test_traversals_of_many_latents_show_those_that_matter() -> None:
    net = flat(4, 64)
    figure = plots.traversals(net, shape=(1, 2, 2), steps=3)
    assert shown(figure.axes[0]).shape == (20, 6) and "10 of 64 latents: those that change most" in title(figure).replace(
        "\n", " "
    )
    ends = np.zeros((128, 64), np.float32)
    ends[np.arange(64), np.arange(64)], ends[64 + np.arange(64), np.arange(64)] = -3, 3
    made = net.sample(ends)
    change = np.abs(made[:64] - made[64:]).mean(axis=1)
    assert ticks(figure.axes[0], "y")[0] == f"latent {int(change.argmax()) + 1}"


def test_interpolation_has_the_two_inputs_at_its_ends(trained: dv.Network, digits: tuple[np.ndarray, np.ndarray]) -> None:
    figure = plots.interpolation(trained, digits[0], (3, 8), steps=3)
    picture = shown(figure.axes[0])
    assert picture.shape == (8, 5 * 8 + 2) and ticks(figure.axes[0], "x") == ["row 3", "0%", "50%", "100%", "row 8"]
    np.testing.assert_array_equal(picture[:, :8], digits[0][3].reshape(8, 8))
    np.testing.assert_array_equal(picture[:, -8:], digits[0][8].reshape(8, 8))
    middle = trained.interpolate(digits[0][3], digits[0][8], steps=3)[1]
    np.testing.assert_allclose(picture[:, 17:25], middle.reshape(8, 8), rtol=1e-4, atol=1e-5)


def test_what_cannot_be_drawn_is_said(trained: dv.Network, penguins: dv.Network, digits: tuple[np.ndarray, np.ndarray]) -> None:
    Path("flat.cfg").write_text(FLAT.format(6, 6))
    net = dv.Network("flat.cfg")
    with pytest.raises(dv.errors.UsageError, match=r"height=, width=, channels="):
        plots.samples(net)
    assert plots.samples(net, 4, shape=(1, 2, 3)).axes
    with pytest.raises(dv.errors.UsageError, match=r"not images of 1 x 5 x 5"):
        plots.samples(net, 4, shape=(1, 5, 5))
    with pytest.raises(dv.errors.UsageError, match="rows of a table"):
        plots.samples(penguins)
    with pytest.raises(dv.errors.UsageError, match="the network has 1; traversals"):
        plots.manifold(flat(4, 1))
    with pytest.raises(dv.errors.UsageError, match="two different latents"):
        plots.manifold(net, dims=(1, 1))
    with pytest.raises(dv.errors.UsageError, match=r"limit=-1"):
        plots.manifold(net, limit=-1)
    with pytest.raises(dv.errors.UsageError, match=r"n=0"):
        plots.samples(trained, 0)
    with pytest.raises(dv.errors.UsageError, match=r"x\.wat"):
        plots.save(plots.latent(np.zeros((3, 2))), "x.wat")
    for row in (1797, -1):
        with pytest.raises(dv.errors.UsageError, match=rf"row={row}: there are rows 0 to 1796"):
            plots.traversals(trained, digits[0], row=row)
        with pytest.raises(dv.errors.UsageError, match=rf"rows={row}: there are rows 0 to 1796"):
            plots.interpolation(trained, digits[0], (0, row))
    with pytest.raises(dv.errors.UsageError, match="no rows to draw"):
        plots.reconstructions(trained, digits[0][:0])
    with pytest.raises(dv.errors.UsageError, match="takes rows"):
        plots.kl(trained)
    classifier = dv.Network(str(ROOT / "cfg" / "digits_classifier.cfg"))
    with pytest.raises(dv.errors.UsageError, match="no latent space"):
        plots.traversals(classifier)


# ---- rows of tables, and of plain numbers ----


def test_reconstructed_rows_of_a_table_stand_below_the_original_cells(penguins: dv.Network) -> None:
    figure = plots.reconstructions(penguins, PENGUINS, n=4)
    axis = figure.axes[0]
    columns = [text.replace("\n", "") for text in ticks(axis, "x")]
    assert columns == penguins.schema.coded
    assert ticks(axis, "y") == [
        "row 0",
        "reconstructed",
        "row 1",
        "reconstructed",
        "row 2",
        "reconstructed",
        "row 3",
        "reconstructed",
    ]
    texts = np.array(words(figure)).reshape(8, len(columns))
    at = columns.index("bill_length_mm")
    assert texts[0, at] == "39.1" and texts[6, at] == "\u2013", "row 3 has no measurements"
    made = penguins.reconstruct(PENGUINS)
    made = {name: np.asarray(made[name]) for name in columns}
    assert texts[1, at] == f"{float(made['bill_length_mm'][0]):.1f}"
    assert texts[1, columns.index("species")] == str(made["species"][0])
    from matplotlib.colors import to_hex

    backs = {to_hex(patch.get_facecolor()).upper() for patch in axis.patches}
    original, again = texts[::2], texts[1::2]
    assert ((original != again) & (original != "\u2013")).any() and backs & {"#FBE3D0", "#F2A978"}, "some differ, and are marked"


def test_of_many_columns_those_that_differ_most_are_shown_and_the_title_says_so() -> None:
    random = np.random.default_rng(0)
    table = {f"a_rather_long_name_of_column_{i}": random.normal(size=100).round(3) for i in range(40)}
    net = dv.Network.for_table(table)
    figure = plots.reconstructions(net, table, n=3)
    shown_names = ticks(figure.axes[0], "x")
    assert 3 < len(shown_names) < 40 and f"{len(shown_names)} of 40 columns: those that differ most" in title(figure).replace(
        "\n", " "
    )
    assert figure.get_figwidth() < 12
    assert max(len(line) for name in shown_names for line in name.split("\n")) < 20, "names are shortened"


def test_traversals_of_a_table_show_the_columns_that_move(penguins: dv.Network) -> None:
    figure = plots.traversals(penguins, PENGUINS, row=1, dims=[2], steps=3)
    axis = figure.axes[0]
    assert ticks(axis, "x") == ["-3", "0", "+3"]
    names = [text.split()[-1] for text in ticks(axis, "y")]
    texts = np.array(words(figure)).reshape(len(names), 3)
    made = penguins.traverse(2, 3.0, 3, {name: [c.values[1]] for name, c in plots.cells(PENGUINS).items()})
    for name, line in zip(names, texts, strict=True):
        if name == "bill_length_mm":
            np.testing.assert_allclose(line.astype(float), np.asarray(made[name], float), atol=0.051)
        elif name in ("species", "island", "sex"):
            assert line.tolist() == np.asarray(made[name]).astype(str).tolist()
    assert "around row 1" in title(figure)


def test_interpolated_rows_of_a_table_begin_and_end_with_the_rows(penguins: dv.Network) -> None:
    figure = plots.interpolation(penguins, PENGUINS, (0, 200), steps=3)
    axis = figure.axes[0]
    names = ticks(axis, "y")
    texts = np.array(words(figure)).reshape(len(names), 5)
    given = plots.cells(PENGUINS)
    for name, line in zip(names, texts, strict=True):
        assert line[0] == given[name].texts()[0] and line[-1] == given[name].texts()[200]


def test_rows_of_plain_numbers_are_drawn_over_their_columns(strict: None) -> None:
    wine = dv.load_table(WINE, label_column="class")
    net = dv.Network(str(ROOT / "cfg" / "recipes" / "wine_2.cfg"))
    figure = plots.reconstructions(net, wine.X, n=3, names=wine.names)
    lines = figure.axes[1].lines
    np.testing.assert_allclose(lines[0].get_ydata(), wine.X[1])
    np.testing.assert_allclose(lines[1].get_ydata(), net.reconstruct(wine.X[1:2])[0])
    assert ticks(figure.axes[0], "x")[0] == "alcohol"
    lines = plots.traversals(net, steps=3).axes[0].lines
    assert len(lines) == 3 and len(lines[0].get_ydata()) == 13
    figure = plots.interpolation(net, wine.X, (0, 100), steps=4)
    assert len(figure.axes[0].lines) == 6
    np.testing.assert_allclose(figure.axes[0].lines[-1].get_ydata(), wine.X[100])
    with pytest.raises(dv.errors.UsageError, match="13 columns, but 2 names"):
        plots.reconstructions(net, wine.X, names=["a", "b"])


# ---- KL and scores ----


def test_kl_is_sorted_and_inactive_latents_are_marked(trained: dv.Network, digits: tuple[np.ndarray, np.ndarray]) -> None:
    found = {"latent_kl": [0.1, 2.0, 0.001], "latent_mean_variance": [0.02, 0.9, 0.0001]}
    figure = plots.kl(found)
    bars = figure.axes[0].patches
    assert [bar.get_height() for bar in bars] == [2.0, 0.1, 0.001]
    assert ticks(figure.axes[1], "x") == ["2", "1", "3"]
    assert bars[0].get_facecolor() == bars[1].get_facecolor() != bars[2].get_facecolor()
    assert "2 of 3 active" in title(figure) and "nats" in figure.axes[0].get_ylabel()
    assert any(0.01 in np.asarray(line.get_ydata()) for line in figure.axes[1].lines), "the threshold"
    own = plots.kl(trained, digits[0])
    evaluation = trained.evaluate(digits[0], latent=True)
    np.testing.assert_allclose([bar.get_height() for bar in own.axes[0].patches], sorted(evaluation["latent_kl"])[::-1])
    assert f"{evaluation['active_units']} of 2 active" in title(own) if "active_units" in evaluation else True
    with pytest.raises(dv.errors.UsageError, match="latent=True"):
        plots.kl(trained.evaluate(digits[0]))


def test_the_legend_of_kl_is_beside_the_bars_and_a_single_row_says_nothing_of_use(
    trained: dv.Network, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    figure = plots.kl({"latent_kl": [0.1, 0.1, 0.1], "latent_mean_variance": [0.02, 0.9, 0.0001]})
    figure.canvas.draw()
    legend = figure.axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["active", "inactive: no use to the decoder"]
    box = legend.get_window_extent()
    assert not any(box.overlaps(bar.get_window_extent()) for bar in figure.axes[0].patches)
    assert box.x1 <= figure.bbox.x1
    alone = plots.kl(trained, digits[0][:1])
    assert "active" not in title(alone) and len(alone.axes) == 1 and alone.axes[0].get_legend() is None


def test_the_legend_of_scores_is_level_with_its_marks_and_the_axis_has_its_unit() -> None:
    axis = plots.scores(np.arange(200.0), unit="nats").axes[0]
    axis.figure.canvas.draw()
    legend = axis.get_legend()
    for mark, word in zip(legend.legend_handles, legend.get_texts(), strict=True):
        assert word.get_text().startswith(("the 10 highest", "99 % of rows"))
        assert mark.get_marker() != 2, "a mark that stands above its place"
    assert axis.get_xlabel() == "score (nats), higher for unusual rows"
    assert plots.scores(np.arange(5.0)).axes[0].get_xlabel() == "score, higher for unusual rows"


def test_a_histogram_of_scores_has_all_rows_and_the_worst_beside_it(
    trained: dv.Network, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    scores = trained.score_rows(digits[0])
    figure = plots.scores(scores, net=trained, X=digits[0], top=3)
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == 1797
    worst = np.argsort(-scores)[:3]
    panels = [axis for axis in figure.axes[1:] if axis.get_visible()]
    assert [axis.get_title() for axis in panels] == [f"row {i}\n{scores[i]:.4g}" for i in worst]
    np.testing.assert_array_equal(shown(panels[0])[:8], digits[0][worst[0]].reshape(8, 8))


def test_scores_of_a_table_name_the_columns_that_contribute_most(penguins: dv.Network) -> None:
    scores, parts = penguins.score_rows(PENGUINS, contributions=True)
    figure = plots.scores(scores, net=penguins, X=PENGUINS, top=2)
    worst = int(scores.argmax())
    name = penguins.columns[int(parts[worst].argmax())]
    texts = words(figure)
    assert texts[0] == f"{scores[worst]:.4g}" and texts[1].startswith(name)
    assert plots.cells(PENGUINS)[name].texts()[worst] in texts[1]
    assert "nats" in figure.axes[0].get_xlabel()


def test_scores_alone_are_drawn_with_the_names_of_rows(strict: None) -> None:
    values = np.random.default_rng(0).normal(size=200)
    values[5], values[7] = np.nan, 9.0
    figure = plots.scores(values, rows=[f"id {i}" for i in range(200)], top=4)
    assert ticks(figure.axes[1], "y")[0] == "id 7" and words(figure)[0] == "9"
    assert "1 row has none" in figure.axes[0].get_xlabel() and "199 rows" in title(figure)
    heavy = plots.scores(np.exp(np.random.default_rng(0).normal(size=1000) * 3))
    assert heavy.axes[0].get_xscale() == "log"
    assert plots.scores([1.0]).axes and plots.scores([-1.0, -1.0]).axes
    with pytest.raises(dv.errors.UsageError, match="no scores"):
        plots.scores([np.nan])
    with pytest.raises(dv.errors.UsageError, match="belong together"):
        plots.scores([1.0], X=[[1.0]])


# ---- curves ----


def panels(figure: Any) -> dict[str, Any]:
    return {line.get_label(): axis for axis in figure.axes for line in axis.lines}


def test_curves_show_every_term_of_a_log_and_beta_on_its_own_axis(trained: dv.Network) -> None:
    figure = plots.curves("log.csv")
    found = panels(figure)
    log = np.genfromtxt("log.csv", delimiter=",", names=True)
    for name in ("total_loss", "valid_loss", "image_loss", "valid_image_loss", "latent_loss", "kl_cost", "beta"):
        line = next(line for line in found[name].lines if line.get_label() == name)
        np.testing.assert_allclose(line.get_ydata(), log[name], rtol=1e-6)
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
    assert found["total_loss"] is found["valid_loss"] and found["latent_loss"] is found["kl_cost"]
    assert [line.get_label() for line in found["beta"].lines] == ["beta"]
    assert found["latent_loss"].get_ylabel() == "nats per row"
    assert {axis.get_xlabel() for axis in figure.axes} <= {"", "epoch"} and "3 epochs" in title(figure)
    assert any("lowest" in str(label) for label in found)


def test_a_log_a_history_and_lists_give_the_same_curves(digits: tuple[np.ndarray, np.ndarray]) -> None:
    net = dv.Network(CFG)
    history = net.train(digits[0], epochs=3, log="log.jsonl", holdout=0.1)
    lists = {name: [record[name] for record in history.records] for name in history.records[0]}
    for log in ("log.jsonl", history, history.records, lists):
        line = panels(plots.curves(log))["valid_loss"].lines
        values = next(one for one in line if one.get_label() == "valid_loss").get_ydata()
        np.testing.assert_allclose(values, history.valid_loss, rtol=1e-6)


def _log(**columns: Any) -> dict[str, Any]:
    n = len(next(iter(columns.values())))
    return {"epoch": list(range(1, n + 1)), **columns}


def test_negative_losses_have_no_logarithmic_axis_and_steep_ones_do() -> None:
    steep = plots.curves(_log(total_loss=np.geomspace(1000, 1, 50)))
    assert steep.axes[0].get_yscale() == "log"
    below = plots.curves(_log(total_loss=np.geomspace(1000, 1, 50) - 5))
    assert below.axes[0].get_yscale() == "linear"
    assert below.axes[0].get_ylim()[0] < -4
    spike = _log(total_loss=np.concatenate([[1e6], np.linspace(-1, -5, 99)]))
    axis = plots.curves(spike).axes[0]
    assert axis.get_ylim()[1] < 10 and any("1e+06" in t.get_text() or "1,000,000" in t.get_text() for t in axis.texts)


@pytest.mark.parametrize("epochs", [1, 2, 10_000])
def test_any_number_of_epochs_is_drawn(epochs: int, strict: None) -> None:
    figure = plots.curves(_log(total_loss=np.linspace(3, 1, epochs), beta=np.linspace(0, 1, epochs)))
    assert len(figure.axes[0].lines[0].get_xdata()) == epochs
    pixels = rendered(figure)
    assert (pixels < 0.7).any()
    assert f"{epochs:,} epoch" in title(figure)


def test_missing_cells_are_gaps(strict: None) -> None:
    Path("gaps.csv").write_text("epoch,total_loss,valid_loss\n1,3,\n2,nan,2\n3,,1.5\n4,2,inf\n5,1,\n")
    figure = plots.curves("gaps.csv")
    line = next(one for one in figure.axes[0].lines if one.get_label() == "total_loss")
    np.testing.assert_array_equal(line.get_ydata(), [3, np.nan, np.nan, 2, 1])
    assert plots.png(figure, 40)


def test_a_resumed_log_goes_on_where_it_was_resumed() -> None:
    Path("log.csv").write_text("epoch,total_loss\n1,5\n2,4\n3,9\n4,9\n3,3\n4,2\n5,1\n")
    line = plots.curves("log.csv").axes[0].lines[0]
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(line.get_ydata(), [5, 4, 3, 2, 1])
    Path("twice.csv").write_text("epoch,total_loss\n1,5\n2,4\nepoch,total_loss\n1,3\n2,2\n")
    line = plots.curves("twice.csv").axes[0].lines[0]
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4])
    np.testing.assert_array_equal(line.get_ydata(), [5, 4, 3, 2])


def test_lines_between_epochs_stand_between_them(digits: tuple[np.ndarray, np.ndarray]) -> None:
    net = dv.Network(CFG)
    net.train(digits[0], epochs=2, log="log.csv", log_every=10, holdout=0.2)
    figure = plots.curves("log.csv")
    lines = {line.get_label(): line for axis in figure.axes for line in axis.lines}
    x = lines["total_loss"].get_xdata()
    assert len(x) > 4 and (np.diff(x) > 0).all() and x[-1] == 2 and 0 < x[0] < 1
    np.testing.assert_array_equal(lines["valid_loss"].get_xdata(), [1, 2])


def test_a_supervised_log_has_its_scores_and_the_beginning_can_be_left_out() -> None:
    n = np.arange(1, 21)
    log = {"epoch": n, "loss": 1 / n, "valid_loss": 1.1 / n, "valid_accuracy": 1 - 1 / n, "learning_rate": 1e-3 / n}
    figure = plots.curves(log, start=5)
    found = panels(figure)
    assert found["loss"] is found["valid_loss"] and found["valid_accuracy"].get_title(loc="left") == "Accuracy"
    assert found["learning_rate"].get_ylabel() == "learning rate"
    assert figure.axes[0].lines[0].get_xdata()[0] == 5
    with pytest.raises(dv.errors.UsageError, match="the last epoch is 20"):
        plots.curves(log, start=21)


def test_what_is_no_log_is_said() -> None:
    with pytest.raises(dv.errors.MissingFileError):
        plots.curves("nothere.csv")
    Path("empty.csv").write_text("")
    Path("begun.csv").write_text("epoch,total_loss\n")
    Path("words.csv").write_text("epoch,total_loss\n1,two\n2,3\n")
    Path("one.jsonl").write_text(json.dumps({"epoch": 1, "seconds": 2}) + "\n")
    for name in ("empty.csv", "begun.csv", "words.csv", "one.jsonl"):
        with pytest.raises(dv.errors.FormatError, match=name):
            plots.curves(name)
    with pytest.raises(dv.errors.UsageError):
        plots.curves(3)


# ---- real and synthetic rows ----


def test_marginals_show_each_column_as_fractions() -> None:
    random = np.random.default_rng(0)
    when = np.datetime64("2020-01-01") + random.integers(0, 700, 400).astype("m8[D]")
    real = {"number": random.normal(size=400), "word": np.array(["a", "b", "b", "b"] * 100), "when": when}
    drawn = {"number": random.normal(size=100) + 5, "word": np.array(["a", "b"] * 50), "when": when[:100]}
    figure = plots.marginals(real, drawn)
    number, word, date = figure.axes
    heights = [bar.get_height() for bar in word.patches]
    np.testing.assert_allclose(heights, [0.75, 0.25, 0.5, 0.5])
    assert ticks(word, "x") == ["b", "a"]
    assert word.get_title(loc="left") == "word: 0.75" and float(number.get_title(loc="left").split()[-1]) < 0.2
    figure.draw_without_rendering()
    assert any("2020" in text or "2021" in text for text in [*ticks(date, "x"), date.xaxis.get_offset_text().get_text()])
    assert [t.get_text() for t in figure.legends[0].get_texts()][:2] == ["real", "synthetic"]
    assert title(figure) == "400 real rows and 100 synthetic ones"
    assert len(plots.marginals(real, drawn, columns="word").axes) == 1
    weighted = plots.marginals({**real, "w": np.where(real["word"] == "a", 3, 1)}, drawn, row_weight="w")
    np.testing.assert_allclose([bar.get_height() for bar in weighted.axes[1].patches], 0.5)
    assert title(weighted) == "400 real rows, weighted by w, and 100 synthetic ones" and len(weighted.axes) == 3


def test_marginals_of_many_columns_and_words_are_the_least_alike_and_the_rest_is_one(strict: None) -> None:
    random = np.random.default_rng(0)
    real = {f"c{i}": random.normal(size=80) for i in range(25)} | {"word": np.array([f"w{i % 12}" for i in range(80)])}
    drawn = {name: values.copy() for name, values in real.items()}
    drawn["c3"] = drawn["c3"] + 9
    drawn["word"] = np.array(["w1", "other"] * 40)
    figure = plots.marginals(real, drawn)
    names = [axis.get_title(loc="left").split(":")[0] for axis in figure.axes if axis.get_visible()]
    assert len(names) == 20 and "c3" in names and "word" in names and "20 of 26 columns" in title(figure)
    word = figure.axes[names.index("word")]
    assert ticks(word, "x")[-1].endswith("others") and len(ticks(word, "x")) == 8


def test_gaps_constants_and_empty_columns_are_drawn(strict: None) -> None:
    real = {"a": [1.0, np.nan, 3.0] * 10, "b": [2.0] * 29 + [3.0], "w": ["x", None, "y"] * 10}
    drawn = {"a": [np.nan] * 5, "b": [2.0] * 5, "w": [None] * 5}
    tables = [{k: np.array(v, object if k == "w" else float) for k, v in t.items()} for t in (real, drawn)]
    figure = plots.marginals(*tables)
    assert "missing: real 33.3%, synthetic 100.0%" in {axis.get_xlabel() for axis in figure.axes}
    plots.png(figure, 40)
    plots.png(plots.correlations(*tables), 40)


def test_correlations_stand_side_by_side_with_their_difference() -> None:
    random = np.random.default_rng(0)
    a = random.normal(size=300)
    kind = np.where(a > 0, "up", "down")
    real = {"a": a, "b": a + random.normal(size=300), "kind": kind, "other": np.array(["p", "q", "r"] * 100)}
    drawn = {**real, "b": random.normal(size=300)}
    figure = plots.correlations(real, drawn)
    left, middle, right = (shown(axis) for axis in figure.axes[:3])
    assert left[0, 1] == pytest.approx(np.corrcoef(real["a"], real["b"])[0, 1])
    assert abs(middle[0, 1]) < 0.2 and right[0, 1] == pytest.approx(middle[0, 1] - left[0, 1])
    eta = np.sqrt(np.var([a[kind == k].mean() for k in kind]) / np.var(a))
    assert left[0, 2] == pytest.approx(eta)
    from_table = np.array([[np.sum((kind == k) & (real["other"] == o)) for o in "pqr"] for k in ("up", "down")], float)
    expected = from_table.sum(1, keepdims=True) * from_table.sum(0) / 300
    assert left[2, 3] == pytest.approx(np.sqrt(((from_table - expected) ** 2 / expected).sum() / 300))
    assert [axis.get_title(loc="center") for axis in figure.axes[:3]] == ["real", "synthetic", "synthetic \u2212 real"]
    assert ticks(figure.axes[0], "y") == ["a", "b", "kind", "other"]
    with pytest.raises(dv.errors.FormatError, match="two columns"):
        plots.correlations({"a": a}, {"a": a})
