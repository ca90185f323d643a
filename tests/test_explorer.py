"""The latent explorer: its page in a real browser, from a file and from its server; what it decodes against the core."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import MODULE, ROOT, program, run, slowness

import darknet_vae as dv
from darknet_vae import explorer

READY = "document.documentElement.dataset.ready"
# ruff: noqa: E501 - a cfg is a line
HEAD = "[net]\nbatch=4\ninputs=20\n"
IMAGE = "[net]\nbatch=4\nheight=8\nwidth=8\nchannels=2\n"
LATENT = "[connected]\noutput=6\nactivation=linear\n[sampling]\n"
OUT = "[connected]\noutput=20\nactivation=linear\n[cost]\n"
ACTIVATIONS = ["logistic", "loggy", "relu", "elu", "selu", "relie", "ramp", "leaky", "tanh", "plse", "stair", "hardtan", "lhtan"]
NETWORKS = {
    **{f"dense, {name}": f"{HEAD}[connected]\noutput=9\nactivation={name}\n{LATENT}[connected]\noutput=7\nactivation={name}\n[dropout]\n{OUT}" for name in ACTIVATIONS},
    "logits": HEAD + LATENT + "[connected]\noutput=20\nactivation=linear\n[cost]\ntype=bernoulli\n",
    "counts": HEAD + LATENT + "[connected]\noutput=20\nactivation=linear\n[cost]\ntype=poisson\n",
    "normalised": HEAD + LATENT + f"[connected]\noutput=8\nbatch_normalize=1\nactivation=relu\n[batchnorm]\n{OUT}",
    "code": HEAD + f"[connected]\noutput=3\nactivation=selu\n{OUT}",
    "routes": HEAD + LATENT + f"[connected]\noutput=6\nactivation=linear\n[connected]\noutput=6\nactivation=tanh\n[shortcut]\nfrom=-2\n[route]\nlayers=-1,-2\n{OUT}",
    "table": "[net]\nbatch=4\n[columns]\nkinds=number,number,yes_no,category:3,category:4\nmissing=1\n[connected]\noutput=9\nactivation=relu\n" + LATENT
    + "[connected]\noutput=10\nactivation=linear\n[cost]\ntype=columns\n",
    "convolutions": IMAGE + "[connected]\noutput=6\nactivation=linear\n[sampling]\n[connected]\noutput=24\nactivation=relu\n"
    "[reshape]\nheight=2\nwidth=2\nchannels=6\n[deconvolutional]\nfilters=4\nsize=4\nstride=2\npadding=1\nbatch_normalize=1\nactivation=leaky\n"
    "[upsample]\nstride=2\n[convolutional]\nfilters=6\nsize=3\npad=1\ngroups=2\nactivation=relu\n[deconvolutional]\nfilters=4\nsize=3\nstride=2\npad=1\nactivation=linear\n"
    "[maxpool]\nsize=3\nstride=2\n[convolutional]\nfilters=3\nsize=3\nstride=1\npad=1\nactivation=tanh\n[avgpool]\n[connected]\noutput=128\nactivation=linear\n[cost]\n",
    "filters at the end": IMAGE + "[connected]\noutput=6\nactivation=linear\n[sampling]\n[connected]\noutput=48\nactivation=relu\n"
    "[reshape]\nheight=4\nwidth=4\nchannels=3\n[deconvolutional]\nfilters=3\nsize=4\nstride=2\npadding=1\nactivation=leaky\n"
    "[convolutional]\nfilters=2\nsize=3\npad=1\nactivation=linear\n[cost]\ntype=bce\n",
}  # fmt: skip


# ---- the browser ----


class Window:
    """A page, with what must not happen: messages on the console, requests to anything but the page."""

    def __init__(self, page: Any) -> None:
        self.page, self.problems = page, list[str]()
        self.requests = list[str]()
        page.on("console", lambda message: self.problems.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def go(self, address: str) -> Any:
        self.page.goto(address)
        self.until(READY)
        return self.page

    def until(self, condition: str, seconds: float = 30) -> None:
        """Asked from here: the page forbids eval, with which the browser's driver would wait in it."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, condition
            self.page.wait_for_timeout(20)

    def settle(self) -> None:
        """Until what was asked for is shown."""
        self.page.evaluate("explorer.busy")

    def picture(self, selector: str = "#decoded canvas") -> Any:
        self.settle()
        code = f"""(() => {{
          const copy = document.createElement("canvas").getContext("2d"); // reading the page's own again and again is a warning
          copy.drawImage(document.querySelector("{selector}"), 0, 0);
          return Array.from(copy.getImageData(0, 0, 8, 8).data);
        }})()"""
        return self.page.evaluate(code)

    def row(self) -> dict[str, str]:
        """The decoded row as it is shown, without probabilities."""
        self.settle()
        lines = self.page.evaluate(
            "Array.from(document.querySelectorAll('#decoded tbody tr'), tr => [tr.children[0].textContent, tr.querySelector('td span').textContent])"
        )
        return dict(lines)


@pytest.fixture
def window(browser: Any) -> Iterator[Callable[..., Window]]:
    """window(width=..., color_scheme=...): a Window, of which nothing is asked for elsewhere."""
    contexts, windows = [], list[Window]()

    def opened(width: int = 1400, height: int = 900, **options: Any) -> Window:
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **options))
        windows.append(Window(contexts[-1].new_page()))
        return windows[-1]

    yield opened
    for found in windows:
        assert not found.problems, found.problems
        home = found.requests[:1]
        assert all(url in home or url.startswith(("data:", "blob:")) for url in found.requests), found.requests
    for context in contexts:
        context.close()


def saved(net: dv.Network, *args: Any, **options: Any) -> str:
    """The address of the page as a file."""
    path = dv.explore(net, *args, output="page.html", **options)
    return Path(path).absolute().as_uri()


@pytest.fixture(scope="module")
def trained(digits: tuple[np.ndarray, np.ndarray]) -> dv.Network:
    net = dv.Network(ROOT / "cfg" / "vae_digits.cfg", seed=1)
    net.train(digits[0], epochs=8)
    return net


@pytest.fixture(scope="module")
def penguins() -> dv.Network:
    net = dv.Network.for_table(str(ROOT / "data" / "penguins.csv"), seed=1)
    net.train(str(ROOT / "data" / "penguins.csv"), epochs=80)
    return net


def shaken(net: dv.Network) -> dv.Network:
    """With parameters of about 0.3 and running statistics, so that every part counts."""
    random = np.random.default_rng(0)
    for layer in net.layers:
        for name, values in layer.params.items():
            noise = random.normal(size=values.shape)
            layer.set(name, 0.5 + noise**2 if name in ("scales", "rolling_variance") else 0.3 * noise)
    return net


# ---- what it computes ----


@pytest.mark.parametrize("name", NETWORKS)
def test_the_page_decodes_as_the_core_does(name: str, window: Callable[..., Window]) -> None:
    net = shaken(dv.Network(cfg_text=NETWORKS[name]))
    page = window().go(saved(net))
    z = np.random.default_rng(2).normal(size=(5, net.latent_size)).astype(np.float32)
    core = net.sample(z).reshape(5, -1)
    code = "async (rows) => { const out = []; for (const z of rows) out.push(Array.from((await explorer.decoder.decode(Float32Array.from(z), explorer.condition))[0])); return out }"
    found = np.array(page.evaluate(code, z.tolist()))
    np.testing.assert_allclose(found, core, rtol=1e-5, atol=1e-5 * np.abs(core).max())


def test_a_worker_decodes_the_same(window: Callable[..., Window]) -> None:
    """It takes over where a decode would stop the page."""
    net = shaken(dv.Network(cfg_text=NETWORKS["filters at the end"]))
    page = window().go(saved(net))
    code = "async () => { const z = Float32Array.from([0.3, -1, 2]); const [a] = await explorer.decoder.decode(z, null); explorer.decoder.move(); const [b] = await explorer.decoder.decode(z, null); return [Array.from(a), Array.from(b)] }"
    here, there = page.evaluate(code)
    assert here == there and len(set(here)) > 50


def test_numbers_words_and_dates_come_back_as_the_core_decodes_them(window: Callable[..., Window]) -> None:
    """Every kind of column, all codings: ranks, rare words, decimals, times of day."""
    random = np.random.default_rng(3)
    n = 400
    table = {
        "price": np.round(np.exp(random.normal(size=n)) * 50, 2), "count": random.poisson(30, n), "tiny": random.normal(size=n) * 1e-6,
        "when": np.datetime64("2020-02-01T00:00", "s") + random.integers(0, 10**8, n), "day": np.datetime64("1969-12-20", "D") + random.integers(0, 900, n),
        "yes": np.where(random.random(n) < 0.3, "ja", "nein"), "word": random.choice([f"w{i:03d}" for i in range(150)], n, p=np.arange(1, 151) / 11325), "class": random.integers(0, 4, n),
    }  # fmt: skip
    for coding in ("quantiles", "robust", "standard"):
        net = dv.Network.for_table(table, seed=1, coding=coding, as_category="word")
        net.train(table, epochs=10)
        page = window().go(saved(net))
        z = random.normal(size=(40, net.latent_size)).astype(np.float32)
        core = net.sample(z, draw=False)
        code = "async (rows) => { const out = []; for (const z of rows) out.push(explorer.rowOf(await explorer.decoder.decode(Float32Array.from(z), null)).map((cell) => cell.text)); return out }"
        names = page.evaluate("explorer.order.map((i) => explorer.schema.columns[i].name)")
        columns = dict(zip(names, zip(*page.evaluate(code, z.tolist()), strict=True), strict=True))
        assert set(columns) == set(table)
        for name in ("price", "count", "tiny"):
            np.testing.assert_allclose(np.array(columns[name], float), core[name].astype(float), rtol=1e-5, atol=1e-9)
        np.testing.assert_array_equal(columns["yes"], core["yes"])
        np.testing.assert_array_equal(np.array(columns["class"], int), core["class"].astype(int))
        words = zip(columns["word"], core["word"], strict=True)
        assert all(ours == word or ours.startswith("other (") for ours, word in words)
        for name, unit in (("when", "s"), ("day", "D")):
            ours = np.array([text.replace(" ", "T") for text in columns[name]], f"M8[{unit}]")
            far = np.abs((ours - core[name].astype(f"M8[{unit}]")).astype(np.int64))
            assert far.max() <= 100 if unit == "s" else far.max() <= 1, (name, far.max())  # float32 within a day of 10^8 s


def test_the_scores_are_those_of_the_verb_score(trained: dv.Network, penguins: dv.Network) -> None:
    for net, csv in ((trained, "digits.csv"), (penguins, "penguins.csv")):
        net.save("m.safetensors")
        done = run([*program("binary"), "score", "m.safetensors", str(ROOT / "data" / csv)])
        assert done.returncode == 0, done.stderr
        lines = [line.split(",") for line in done.stdout.splitlines()]
        wanted = [float(line[lines[0].index("score")]) for line in lines[1:]]
        assert run([*MODULE, "explore", "m.safetensors", "-data", str(ROOT / "data" / csv), "-output", "m.html"]).returncode == 0
        np.testing.assert_allclose(arrays("m.html")("score"), wanted, rtol=1e-5)


def arrays(path: str) -> Callable[[str], np.ndarray]:
    """The arrays of a page's rows by name."""
    import base64
    import zlib

    text = Path(path).read_text()
    about = json.loads(re.search(r'id="about">(.*?)</script>', text, re.S)[1])  # type: ignore[index]
    block = zlib.decompress(base64.b64decode(re.search(r'id="block">(.*?)</script>', text, re.S)[1]))  # type: ignore[index]

    def named(name: str) -> np.ndarray:
        found = about["points"][name]
        return np.frombuffer(block, {"f4": "<f4", "f8": "<f8", "i4": "<i4", "u1": "u1"}[found["type"]], found["n"], found["at"])

    return named


# ---- using it ----


def drag(page: Any, begin: tuple[float, float], end: tuple[float, float]) -> None:
    box = page.locator("#plane").bounding_box()
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (begin, end)]
    page.mouse.move(*at[0])
    page.mouse.down()
    page.mouse.move(*at[1], steps=6)
    page.mouse.up()


def test_dragging_in_the_plane_changes_the_image(trained: dv.Network, digits: Any, window: Callable[..., Window]) -> None:
    seen = window()
    page = seen.go(saved(trained, digits[0], digits[1]))
    first = seen.picture()
    drag(page, (0.5, 0.5), (0.2, 0.3))
    second = seen.picture()
    assert first != second
    z = page.evaluate("Array.from(explorer.z)")
    core = np.clip(np.rint(trained.sample([z]).reshape(64) * 255), 0, 255)
    np.testing.assert_allclose(np.array(second).reshape(64, 4)[:, 0], core, atol=1)
    assert page.evaluate("getComputedStyle(document.querySelector('#decoded canvas')).imageRendering") == "pixelated"


def test_a_click_on_a_point_shows_its_row_its_reconstruction_and_its_score(
    trained: dv.Network, digits: Any, window: Callable[..., Window]
) -> None:
    seen = window()
    page = seen.go(saved(trained, digits[0], digits[1]))
    for row in (7, 1000):
        box = page.locator("#plane").bounding_box()
        # where nothing else is nearer than the point itself
        x, y = page.evaluate(f"explorer.plane.pixel(explorer.plane.x[{row}], explorer.plane.y[{row}])")
        page.mouse.click(box["x"] + 1 + x, box["y"] + 1 + y)
        seen.settle()
        chosen = page.evaluate("explorer.point")
        np.testing.assert_allclose(
            trained.encode(digits[0][[chosen, row]])[0][0], page.evaluate("Array.from(explorer.z)"), rtol=1e-5
        )
        facts = page.inner_text("#row-facts")
        score = trained.score_rows(digits[0])[chosen]
        assert f"row {chosen}" in facts and f"label {digits[1][chosen]}" in facts
        assert float(re.search(r"score ([\d.]+)", facts)[1]) == pytest.approx(score, rel=1e-5)  # type: ignore[index]
        own = np.array(seen.picture("#row-view figure:nth-child(1) canvas")).reshape(64, 4)[:, 0]
        np.testing.assert_allclose(own, digits[0][chosen] * 255, atol=1)
        made = np.array(seen.picture("#row-view figure:nth-child(2) canvas")).reshape(64, 4)[:, 0]
        np.testing.assert_allclose(made, np.clip(trained.reconstruct(digits[0][[chosen]])[0] * 255, 0, 255), atol=1)


def test_two_points_are_interpolated_as_a_strip_and_as_an_animation(
    trained: dv.Network, digits: Any, window: Callable[..., Window]
) -> None:
    seen = window()
    page = seen.go(saved(trained, digits[0], digits[1]))
    assert page.is_disabled("#play")
    page.evaluate("explorer.choose(0)")
    page.click("#row-a")
    page.evaluate("explorer.choose(1)")
    page.click("#row-b")
    page.wait_for_selector("#strip canvas:nth-child(9)")
    ways = trained.interpolate(digits[0][0], digits[0][1], steps=9)
    for k in (0, 4, 8):
        shown = np.array(seen.picture(f"#strip canvas:nth-child({k + 1})")).reshape(64, 4)[:, 0]
        np.testing.assert_allclose(shown, np.clip(ways[k] * 255, 0, 255), atol=1)
    page.click("#play")
    seen.until("Number(document.getElementById('path').value) > 0.2")
    assert page.inner_text("#play") == "Stop"
    page.click("#play")
    page.locator("#path").evaluate("(path) => { path.value = 1; path.dispatchEvent(new Event('input')) }")
    seen.settle()
    np.testing.assert_allclose(page.evaluate("Array.from(explorer.z)"), trained.encode(digits[0][1:2])[0][0], rtol=1e-5)


def test_keys_move_in_the_plane(trained: dv.Network, digits: Any, window: Callable[..., Window]) -> None:
    seen = window()
    page = seen.go(saved(trained, digits[0], digits[1]))
    page.focus("#plane")
    before, begin = seen.picture(), page.evaluate("Array.from(explorer.z)")
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    after, end = seen.picture(), page.evaluate("Array.from(explorer.z)")
    assert before != after and end[0] > begin[0] and end[1] > begin[1]
    page.keyboard.press("a")
    page.keyboard.press("Enter")
    page.keyboard.press("b")
    assert page.evaluate("explorer.point") >= 0 and page.is_enabled("#play")
    page.keyboard.press("Home")
    seen.settle()
    assert page.evaluate("Array.from(explorer.z)") == [0, 0]


def test_touch_moves_in_the_plane(trained: dv.Network, digits: Any, window: Callable[..., Window]) -> None:
    seen = window(360, 780, has_touch=True, is_mobile=True)
    page = seen.go(saved(trained, digits[0], digits[1]))
    box = page.locator("#plane").bounding_box()
    before = seen.picture()
    page.touchscreen.tap(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    assert seen.picture() != before
    assert page.is_visible("#lens") and seen.picture("#lens") == seen.picture()


def test_sliders_move_a_table_row_and_show_which_columns_move(penguins: dv.Network, window: Callable[..., Window]) -> None:
    seen = window()
    page = seen.go(saved(penguins, str(ROOT / "data" / "penguins.csv")))
    first = page.evaluate("explorer.sorted()[0]")
    mean, log_variance = (values.astype(float) for values in penguins.encode(str(ROOT / "data" / "penguins.csv")))
    assert first == (np.exp(log_variance) + mean**2 - 1 - log_variance).mean(axis=0).argmax(), "the largest KL comes first"
    assert page.inner_text("#sliders-help").startswith("Sorted by KL to N(0, 1), in nats")
    label = page.get_attribute("#sliders input[type=range] >> nth=0", "aria-label")
    assert label == f"latent dimension z{first + 1}"
    ends = []
    for value in (-2.5, 2.5):
        page.locator("#sliders input[type=range]").first.evaluate(
            f"(s) => {{ s.value = {value}; s.dispatchEvent(new Event('input')) }}"
        )
        ends.append(seen.row())
        z = np.zeros((1, penguins.latent_size), np.float32)
        z[0, first] = value
        core = penguins.sample(z, draw=False)
        assert ends[-1]["species"] == core["species"][0]
        assert float(ends[-1]["body_mass_g"]) == pytest.approx(float(core["body_mass_g"][0]))
    assert ends[0] != ends[1] and list(ends[0]) == list(penguins.sample(n=1))
    moving = page.evaluate("Array.from(document.querySelectorAll('#decoded tr.moving th'), th => th.textContent)")
    assert moving and {name for name in ends[0] if ends[0][name] != ends[1][name] and name == "species"} <= set(moving)


def test_a_row_of_a_table_is_beside_its_reconstruction_in_the_tables_words(
    penguins: dv.Network, window: Callable[..., Window]
) -> None:
    seen = window()
    page = seen.go(saved(penguins, str(ROOT / "data" / "penguins.csv")))
    page.evaluate("explorer.choose(3)")  # whose measurements are missing
    page.wait_for_selector("#row-view tbody tr")
    cells = page.evaluate(
        "Array.from(document.querySelectorAll('#row-view tbody tr'), tr => Array.from(tr.children, c => c.textContent))"
    )
    assert cells[0][:2] == ["species", "Adelie"] and cells[2][:2] == ["bill_length_mm", "\N{EN DASH}"]
    made = penguins.reconstruct(str(ROOT / "data" / "penguins.csv"))
    assert float(cells[2][2]) == pytest.approx(float(made["bill_length_mm"][3]))


def test_vector_and_row_can_be_copied_and_a_picture_saved(
    trained: dv.Network, penguins: dv.Network, digits: Any, window: Callable[..., Window]
) -> None:
    seen = window(permissions=["clipboard-read", "clipboard-write"])
    page = seen.go(saved(trained, digits[0], digits[1]))
    page.evaluate("explorer.choose(5)")
    page.click("#copy")
    seen.until("document.getElementById('done').textContent === 'copied'")
    copied = [float(word) for word in page.evaluate("navigator.clipboard.readText()").split(",")]
    np.testing.assert_allclose(copied, trained.encode(digits[0][5:6])[0][0], rtol=1e-6)
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as("decoded.png")
    assert Path("decoded.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(Path("decoded.png").read_bytes()[16:20], "big") == 512
    page = seen.go(saved(penguins, title="penguins"))
    seen.requests[:] = seen.requests[-1:]
    page.click("#copy-row")
    seen.until("document.getElementById('done').textContent === 'copied'")
    Path("copied.csv").write_text(page.evaluate("navigator.clipboard.readText()"))
    assert penguins.encode("copied.csv")[0].shape == (1, penguins.latent_size)


def test_a_condition_can_be_chosen(window: Callable[..., Window]) -> None:
    csv = str(ROOT / "data" / "penguins.csv")
    net = dv.Network.for_table(csv, seed=1, condition="species")
    net.train(csv, epochs=80)
    seen = window()
    page = seen.go(saved(net, csv))
    z = np.zeros((1, net.latent_size), np.float32)
    for species in ("Gentoo", "Adelie"):
        page.select_option("#conditions select", label=species)
        given = np.full((1, net.inputs), np.nan, np.float32)
        place = net.schema.coded.index("species")  # type: ignore[union-attr]
        given[0, place] = net.schema.cell("species", species)  # type: ignore[union-attr]
        core, shown = net.sample(z, draw=False, condition=given), seen.row()
        assert shown["species"] == species and float(shown["body_mass_g"]) == pytest.approx(float(core["body_mass_g"][0]))
    page.evaluate("explorer.choose(300)")
    assert seen.row()["species"] == "Chinstrap", "the row's own condition"


def test_a_row_of_ones_own_is_encoded_as_the_core_does(penguins: dv.Network, window: Callable[..., Window]) -> None:
    csv = ROOT / "data" / "penguins.csv"
    head, *lines = csv.read_text().splitlines()
    mean = penguins.encode(str(csv))[0]
    seen = window()
    page = seen.go(saved(penguins))
    page.click("#own summary")
    for row in (0, 3, 200):  # row 3 has gaps
        page.fill("#own-text", f"{head}\n{lines[row]}\n")
        page.click("#own-encode")
        seen.settle()
        np.testing.assert_allclose(page.evaluate("Array.from(explorer.z)"), mean[row], rtol=1e-4, atol=1e-5)
        assert page.inner_text("#row-facts") == "your row"
    page.fill("#own-text", "sex;body_mass_g;extra\nmale;9000;x")  # some columns, beyond their range
    page.click("#own-encode")
    seen.settle()
    Path("own.csv").write_text(
        "species,island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,sex,year\n,,,,,9000,male,\n"
    )
    np.testing.assert_allclose(page.evaluate("Array.from(explorer.z)"), penguins.encode("own.csv")[0][0], rtol=1e-4, atol=1e-5)
    for text, problem in (
        ("sex,year\nmale,soon", "year: 'soon' is none of its values"),
        ("a,b\n1,2", "no name of a column"),
        ("sex", "two lines"),
    ):
        page.fill("#own-text", text)
        page.click("#own-encode")
        assert problem in page.inner_text("#own-problem")


def test_an_image_of_ones_own_is_encoded(trained: dv.Network, digits: Any, window: Callable[..., Window]) -> None:
    seen = window()
    page = seen.go(saved(trained, digits[0], digits[1]))
    page.click("#own summary")
    page.fill("#own-text", ",".join(str(value) for value in digits[0][42] * 16))
    page.click("#own-encode")
    seen.settle()
    np.testing.assert_allclose(
        page.evaluate("Array.from(explorer.z)"), trained.encode(digits[0][42:43])[0][0], rtol=1e-4, atol=1e-5
    )
    page.evaluate("explorer.choose(42)")
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as("decoded.png")
    made = trained.reconstruct(digits[0][42:43])
    page.evaluate("explorer.choose(0)")
    page.set_input_files("#own-file", "decoded.png")
    seen.until("document.getElementById('row-facts').textContent === 'your row'")
    seen.settle()
    np.testing.assert_allclose(page.evaluate("Array.from(explorer.z)"), trained.encode(made)[0][0], atol=0.05)
    page.fill("#own-text", "1,2,3")
    page.click("#own-encode")
    assert "wanted are 64 numbers, there are 3" in page.inner_text("#own-problem")


def test_the_plane_zooms_about_the_pointer(trained: dv.Network, digits: Any, window: Callable[..., Window]) -> None:
    seen = window()
    page = seen.go(saved(trained, digits[0], digits[1]))
    whole = page.evaluate("explorer.plane.limits")
    drag(page, (0.3, 0.3), (0.3, 0.3))
    before = page.evaluate("explorer.plane.place(100, 150)")
    page.evaluate("explorer.plane.zoom(2, 100, 150)")
    np.testing.assert_allclose(page.evaluate("explorer.plane.place(100, 150)"), before, rtol=1e-9)
    near = page.evaluate("explorer.plane.limits")
    assert near[1] - near[0] == pytest.approx((whole[1] - whole[0]) / 2)
    page.mouse.wheel(0, -200)
    page.wait_for_timeout(100)
    nearer = page.evaluate("explorer.plane.limits")
    assert nearer[1] - nearer[0] < near[1] - near[0]
    page.keyboard.press("0")
    assert page.evaluate("explorer.plane.limits") == whole


@pytest.mark.parametrize("latent", [1, 2, 16])
def test_any_number_of_latents_has_a_plane(latent: int, digits: Any, window: Callable[..., Window]) -> None:
    text = f"[net]\nbatch=32\nheight=8\nwidth=8\nchannels=1\nlearning_rate=0.01\n[connected]\noutput={2 * latent}\nactivation=linear\n[sampling]\n[connected]\noutput=64\nactivation=logistic\n[cost]\n"
    net = dv.Network(cfg_text=text, seed=1)
    net.train(digits[0], epochs=2)
    seen = window()
    page = seen.go(saved(net, digits[0], digits[1]))
    first = seen.picture()
    drag(page, (0.5, 0.5), (0.15, 0.4))
    assert seen.picture() != first
    if latent > 2:
        mean = net.encode(digits[0])[0]
        centred = mean - mean.mean(axis=0)
        variance = np.linalg.svd(centred.astype(float), compute_uv=False)[:2] ** 2
        spread = page.evaluate("[explorer.plane.x, explorer.plane.y].map((values) => values.reduce((sum, x) => sum + x * x, 0))")
        np.testing.assert_allclose(spread, variance, rtol=1e-3)
        page.select_option("#axes", index=1)
        drag(page, (0.5, 0.5), (0.8, 0.8))
        seen.settle()
    else:
        page.check("#tiles")
        seen.until("explorer.plane.tiles && explorer.plane.tiles.pictures.length >= explorer.plane.tiles.across")


def test_without_rows_the_plane_shows_decoded_images(trained: dv.Network, window: Callable[..., Window]) -> None:
    seen = window()
    page = seen.go(saved(trained))
    seen.until(
        "explorer.plane.tiles && explorer.plane.tiles.pictures.length === explorer.plane.tiles.across * explorer.plane.tiles.down"
    )
    assert "Without rows" in page.inner_text("#row-facts")
    first = seen.picture()
    drag(page, (0.5, 0.5), (0.9, 0.1))
    assert seen.picture() != first


def test_colours_are_by_any_column_and_the_legend_shows_one_alone(penguins: dv.Network, window: Callable[..., Window]) -> None:
    seen = window()
    page = seen.go(saved(penguins, str(ROOT / "data" / "penguins.csv")))
    names = page.locator("#colour option").all_inner_texts()
    assert names[:8] == list(penguins.sample(n=1)) and "anomaly score" in names
    page.select_option("#colour", label="species")
    assert page.locator("#legend button").all_inner_texts() == ["Adelie", "Chinstrap", "Gentoo"]
    page.locator("#legend button").first.click()
    assert page.locator("#legend button").first.get_attribute("aria-pressed") == "true"
    page.select_option("#colour", label="year")
    assert page.locator("#legend button").all_inner_texts() == ["2007", "2008", "2009"]
    page.select_option("#colour", label="body_mass_g")
    assert page.locator("#legend .gradient").is_visible()


HOSTILE = ['<script>alert("1")</script>', "</script><b>", 'Größe "x"', "a'b, c", "<!--", "&amp;", "ümläut_{{block}}"]


def test_names_and_words_of_all_kinds_are_text(window: Callable[..., Window]) -> None:
    random = np.random.default_rng(5)
    table = {name: random.choice(HOSTILE, 120) if k % 2 else random.normal(size=120) for k, name in enumerate(HOSTILE)}
    net = dv.Network.for_table(table, seed=1)
    net.train(table, epochs=150)
    seen = window()
    title = "</title><script>alert(2)</script> ü"
    page = seen.go(saved(net, table, random.choice(HOSTILE, 120), title=title))
    assert page.evaluate("document.querySelectorAll('script').length") == 2 + len(explorer.SCRIPTS)
    assert page.inner_text("h1") == title and page.locator("main b").count() == 0
    assert set(seen.row()) == set(HOSTILE)
    page.evaluate("explorer.choose(1)")
    page.wait_for_selector("#row-view tbody tr")
    page.evaluate("explorer.way.setHere('a'), explorer.choose(2), explorer.way.setHere('b')")
    page.wait_for_selector("#strip tbody tr")


def test_a_large_table_of_rows_is_sampled_and_the_page_says_so(
    trained: dv.Network, digits: Any, window: Callable[..., Window]
) -> None:
    page = window().go(saved(trained, digits[0], digits[1], points=100))
    assert "100 of 1,797 rows, drawn at random" in page.inner_text("#sentences")
    rows = arrays("page.html")("row")
    assert len(rows) == 100 and len(set(rows)) == 100 and (np.diff(rows) > 0).all()
    np.testing.assert_allclose(arrays("page.html")("z").reshape(100, 2), trained.encode(digits[0][rows])[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("width", [360, 800, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_every_width_in_light_and_dark(
    width: int, scheme: str, penguins: dv.Network, window: Callable[..., Window]
) -> None:
    seen = window(width, 800, color_scheme=scheme)
    page = seen.go(saved(penguins, str(ROOT / "data" / "penguins.csv")))
    page.evaluate("explorer.choose(0), explorer.way.setHere('a'), explorer.choose(200), explorer.way.setHere('b')")
    page.wait_for_selector("#strip tbody tr")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", paper)[:3])) > 380) == (scheme == "light")
    # every control has a name that is read out
    nameless = "Array.from(document.querySelectorAll('button, input, select'), (e) => e.offsetParent && !e.textContent && !e.ariaLabel && !e.labels?.length && !e.getAttribute('aria-label') && e.outerHTML).filter(Boolean)"
    assert page.evaluate(nameless) == []


@pytest.mark.timing
def test_the_digits_are_decoded_at_sixty_frames_a_second(trained: dv.Network, digits: Any, window: Callable[..., Window]) -> None:
    page = window().go(saved(trained, digits[0], digits[1]))
    code = """async () => {
      const times = [];
      for (let i = 0; i < 300; i++) {
        const begin = performance.now();
        await explorer.decoder.decode(Float32Array.of(Math.sin(i), Math.cos(i)), null);
        times.push(performance.now() - begin);
      }
      return times.sort((a, b) => a - b)[150];
    }"""
    assert page.evaluate(code) < 4 * slowness(), "milliseconds of a decode, of which a frame has 16"


# ---- the server ----


@contextmanager
def serving(*words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [*MODULE, "explore", *words, "-no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        address = process.stdout.readline().strip()
        assert address, process.stderr.read() if process.stderr else ""
        yield process, address
    finally:
        process.kill()
        process.wait()


def asked(address: str, path: str, **headers: str) -> int:
    host, port = re.search(r"//([\d.]+):(\d+)/", address).groups()  # type: ignore[union-attr]
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.putrequest(headers.pop("method", "GET"), path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    return connection.getresponse().status


def test_the_server_answers_only_its_own_address(trained: dv.Network, window: Callable[..., Window]) -> None:
    trained.save("m.safetensors")
    with serving("m.safetensors", "--data", str(ROOT / "data" / "digits.csv"), "-N", "200") as (process, address):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{20,}/", address)
        seen = window()
        page = seen.go(address)
        first = seen.picture()
        drag(page, (0.5, 0.5), (0.1, 0.2))
        assert seen.picture() != first and page.evaluate("explorer.points.n") == 200
        path = re.sub(r"http://[^/]*", "", address)
        port = re.search(r":(\d+)/", address)[1]  # type: ignore[index]
        assert asked(address, path) == 200 and asked(address, path, Host=f"localhost:{port}") == 200
        for other in ("/", "/x/", path[:-1], path + "x", path.upper(), "/../../etc/passwd", "/favicon.ico"):
            assert asked(address, other) == 404, other
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", ""):
            assert asked(address, path, Host=host) == 403, host
        assert asked(address, path, method="POST") == 501
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr and process.stderr.read() == "darknet-vae: Ctrl-C ends it\n"


def test_a_port_that_is_taken_is_one_line(trained: dv.Network) -> None:
    trained.save("m.safetensors")
    with serving("m.safetensors") as (_, address):
        port = re.search(r":(\d+)/", address)[1]  # type: ignore[index]
        done = run([*MODULE, "explore", "m.safetensors", "-no-browser", "-port", port])
        assert done.returncode == 2 and re.fullmatch(rf"darknet-vae: cannot listen on 127.0.0.1:{port}: .*\n", done.stderr), (
            done.stderr
        )


# ---- the command ----


def test_the_command_saves_a_page_from_a_cfg_with_weights(trained: dv.Network) -> None:
    trained.save("w.weights")
    cfg, csv = str(ROOT / "cfg" / "vae_digits.cfg"), str(ROOT / "data" / "digits.csv")
    done = run([*MODULE, "explore", cfg, "--weights", "w.weights", "-data", csv, "-output", "page.html"])
    assert done.returncode == 0 and re.fullmatch(r"saved page.html: 0\.\d MB\n", done.stderr), done.stderr
    assert len(arrays("page.html")("row")) == 1797
    done = run([*MODULE, "explore", cfg, "-w", "w.weights", "-o", "-"])
    assert done.returncode == 0 and done.stdout.startswith("<!doctype html>") and done.stdout.rstrip().endswith("</html>")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cfg"], "wanted are the trained parameters"),
        (["cfg", "-random", "-output", "cfg"], "would overwrite"),
        (["cfg", "-random", "-port", "70000"], "must be a port"),
        (["cfg", "-random", "-points", "0"], "must be a whole number"),
        (["cfg", "-random", "-shape", "1x9x9", "-output", "p.html"], "no image of 1x9x9"),
        (["rnn", "-random", "-output", "p.html"], r"layer 0 \[rnn\]"),
        (["classes", "-random", "-output", "p.html"], "no latent space"),
    ],
)
def test_what_cannot_be_shown_is_one_line(words: list[str], message: str) -> None:
    Path("rnn").write_text(HEAD + "[rnn]\noutput=6\n[connected]\noutput=6\n[sampling]\n[rnn]\noutput=20\n[cost]\n")
    Path("classes").write_text((ROOT / "cfg" / "digits_classifier.cfg").read_text())
    shutil.copy(ROOT / "cfg" / "vae_digits.cfg", "cfg")
    done = run([*MODULE, "explore", *words])
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and re.search(message, done.stderr), done.stderr
    assert not os.path.exists("p.html")
