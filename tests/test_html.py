"""What notebooks show of networks and results."""

import math
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

import darknet_vae as dv
from darknet_vae import _html

EVIL = "<script>alert(1)</script> & \"x\" 'y'"
CFG = """
[net]
inputs=6
batch=20
adam=1
[connected]
name=first
output=4
activation=linear
[sampling]
beta=1
[connected]
output=6
activation=linear
[cost]
type=gaussian
"""


class Balanced(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.open, self.cells = [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        assert tag != "script"
        styles = dict(attributes).get("style", "")
        assert not re.search(r"color|background", styles)  # the notebook's own, light or dark
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.cells.append(data)


def shown(thing):
    html = thing._repr_html_()
    assert isinstance(html, str)
    return " ".join(Balanced(html).cells)


@pytest.fixture(scope="module")
def trained():
    net = dv.Network(cfg_text=CFG)
    x = np.random.default_rng(0).normal(size=(100, 6)).astype(np.float32)
    return net, x, net.train(x, epochs=5, holdout=0.2)


def test_a_network_shows_its_layers(trained):
    text = shown(trained[0])
    for word in ("first", "sampling", "cost (gaussian)", f"{trained[0].n_params:,} parameters", "400 rows seen"):
        assert word in text
    bundled = dv.Network(dv.bundled("vae_digits.cfg"))._repr_html_()
    assert "Network vae_digits.cfg: 64 to 64" in bundled and "share" not in bundled  # no folders of this machine
    closed = dv.Network(cfg_text=CFG)
    closed.close()
    assert "closed" in shown(closed)


def test_a_history_shows_first_lowest_and_last_values_and_their_course(trained):
    history = trained[2]
    text = shown(history)
    assert "History of 5 epochs" in text
    for name in ("image_loss", "valid_loss"):
        assert name in text and f"{history[name][-1]:.6g}" in text and f"{min(history[name]):.6g}" in text
    assert history._repr_html_().count("<polyline") == len(history)
    assert "History of 0 epochs" in shown(dv.History())


def test_an_evaluation_shows_what_is_defined_with_units(trained):
    net, x, _ = trained
    found = net.evaluate(x, latent=True, k=5)
    text = shown(found)
    for name in ("elbo", "log_likelihood", "pca_mse"):
        assert name in text
    assert f"{found['elbo']:.6g}" in text and "nats per row" in text and "array of 2" in text
    assert dict(found)["elbo"] == found["elbo"]  # it still is a dict


def test_a_check_shows_failures_first_and_how_many_rows_are_left_out(trained):
    text = shown(trained[0].check())
    assert "compared with" in text and "ok" in text
    one = dv.Comparison(1, "connected", EVIL, "differences", 10, 0.5, 1e-3, 1.0, 2.0, False)
    good = dv.Comparison(0, "connected", "weights", "formula", 10, 1e-9, 1e-3, 1.0, 1.0, True)
    many = dv.Check([good] * 100 + [one], "1 of 101 failed")
    html = many._repr_html_()
    assert "<script" not in html and html.index("<b>failed</b>") < html.index(">ok<") and "41 more rows" in html


def test_tables_are_escaped(trained):
    table = {EVIL: np.arange(40.0) % 7, "word": ["<b>", "&", EVIL, "x"] * 10}
    net = dv.Network.for_table(table)
    assert EVIL in shown(net.schema)
    report = dv.report_synthetic(table, table, sdmetrics=False)
    assert EVIL in shown(report) and "100.0%" in shown(report)
    found = dv.Detections(np.ones((2, 4)), np.array([0, 3]), np.array([0.9, 0.5]), np.ones(2))
    assert "2 objects" in shown(found)


def test_a_course_is_a_line_within_its_box_whatever_the_values():
    assert _html.course([1.0]) == "" and _html.course([math.nan] * 5) == ""
    for values in ([3, 1, 2], [1, 1, 1], [1, math.nan, 2, math.inf], list(np.random.default_rng(0).normal(size=5000))):
        points = re.search(r'points="([^"]*)"', _html.course(values))[1].split()
        at = np.array([[float(v) for v in point.split(",")] for point in points])
        assert 2 <= len(at) <= 120
        assert (at[:, 0] >= 0).all() and (at[:, 0] <= 120).all() and (at[:, 1] >= 0).all() and (at[:, 1] <= 24).all()


def test_no_extra_is_needed(tmp_path):
    code = (
        "import sys\nfor name in ('matplotlib', 'jinja2', 'pandas', 'IPython'): sys.modules[name] = None\n"
        "import darknet_vae as dv\nnet = dv.Network(dv.bundled('vae_digits.cfg'))\nprint(len(net._repr_html_()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert int(done.stdout) > 1000, done.stderr
