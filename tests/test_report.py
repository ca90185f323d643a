"""The HTML report about a model: what it says, warns of, and that it is one page by itself."""

import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from helpers import program, run

import darknet_vae as dv

pytest.importorskip("matplotlib", reason="reports need matplotlib")
pytest.importorskip("jinja2", reason="reports need jinja2")

from darknet_vae.reporting import study as studies
from darknet_vae.reporting.findings import findings
from darknet_vae.reporting.model import describe
from darknet_vae.reporting.rows import read_rows, shown


def cli(*words, cwd):
    return run([*program("python"), *words], cwd=cwd)


VOID = {"meta", "img", "br", "hr", "input", "link"}
EVIL = ['<script>alert("1")</script>', "</style><script>x</script>", "\"quotes\" & 'apostrophes'", "{{ 7*7 }}", "Größe $x_1$"]


class Page(HTMLParser):
    """Tags must be balanced; collects addresses, ids and texts."""

    def __init__(self, html):
        super().__init__()
        self.open, self.addresses, self.ids, self.images, self.words = [], [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        assert len(given) == len(attributes), f"an attribute twice in <{tag}>"
        assert tag != "script"
        assert not any(name.startswith("on") for name in given)
        self.addresses += [
            (tag, name, given[name]) for name in ("src", "href", "srcset", "action", "data", "poster") if name in given
        ]
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "img":
            self.images.append(given)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> in {self.open}"
        self.open.pop()

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def checked(report):
    """The page, after what holds for every one."""
    page = Page(report.html)
    assert report.html.startswith("\n" * 0 + "<!DOCTYPE html>") and '<html lang="en">' in report.html
    assert len(page.ids) == len(set(page.ids))
    for tag, name, address in page.addresses:
        assert address.startswith("data:image/") if tag == "img" else address.startswith("#"), (tag, name, address[:60])
        if address.startswith("#"):
            assert address[1:] in page.ids
    assert not re.search(r"url\(|@import|<link|<iframe|<object|<embed", report.html)
    assert all(image.get("alt") for image in page.images)
    assert report.left_out == [] or all("Error" not in line for line in report.left_out), report.left_out
    return page


def vae(inputs=6, latent=2, cost="type=sse", beta=0.5, last="linear", net=""):
    return dv.Network(
        cfg_text=f"""
[net]
inputs={inputs}
batch=20
adam=1
learning_rate=0.01
{net}
[connected]
output={2 * latent}
activation=linear
[sampling]
beta={beta}
[connected]
output={inputs}
activation={last}
[cost]
{cost}
"""
    )


def rows(n=200, columns=6, seed=0):
    """Rows of two directions and noise."""
    random = np.random.default_rng(seed)
    return (random.normal(size=(n, 2)) @ random.normal(size=(2, columns)) + 0.1 * random.normal(size=(n, columns))).astype(
        np.float32
    )


def warned(net, X=None, log=None, **given):
    """The findings alone, without a page."""
    s = studies.study(net, describe(net), None if X is None else read_rows(net, X, **given), log, 0, None)
    assert not [line for line in s.left_out if "Error" in line]
    return findings(s)


def said(found, level=None):
    return [str(one) for one in found if level in (None, one.level)]


# ---- whole pages ----


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A model file of the digits with its log, in a folder."""
    folder = tmp_path_factory.mktemp("digits")
    net = dv.Network(dv.bundled("vae_digits.cfg"), seed=3)
    table = dv.load_table(dv.bundled("digits.csv"), label_column="label", scale=16)
    net.note(columns=table.names)
    net.train(table.X, epochs=12, log=folder / "log.csv", holdout=0.1)
    net.save(folder / "digits.safetensors")
    return folder


def test_the_verb_writes_one_page_with_numbers_pictures_cfg_and_how_to_repeat_it(digits):
    command = ["report", "digits.safetensors", "--data", "digits.csv", "--log", "log.csv"]
    done = cli(*command, cwd=digits)
    assert done.returncode == 0, done.stderr
    assert "saved digits.html" in done.stderr
    html = (digits / "digits.html").read_text(encoding="utf-8")
    page = checked(dv.Report(html, []))
    net = dv.Network.load(digits / "digits.safetensors")
    x = dv.load_csv(dv.bundled("digits.csv"), label_column="label", scale=16)
    found = net.evaluate(x, latent=True)
    for value in (found["image_loss"], found["latent_loss"], found["baselines"]["pca_mse"]):
        assert shown(value) in page.text
    for word in ("1,797", "33,604", "A variational autoencoder", "squared error", "2 of 2", "12 epochs in the log"):
        assert word in page.text
    assert f"darknet-vae {shlex.join(command)}" in page.text
    assert "-seed 3 -epochs 12 -holdout 0.1" in page.text
    assert "beta=0.05" in page.text  # the cfg
    alts = " ".join(image["alt"] for image in page.images)
    for picture in (
        "Curves",
        "Scatter",
        "Grid of decoded images",
        "reconstructions",
        "KL",
        "Images decoded from draws",
        "Histogram",
    ):
        assert picture in alts
    assert {"numbers", "training", "latent", "reconstructions", "drawn", "unusual", "network", "repeat"} <= set(page.ids)
    assert str(digits) not in html and "site-packages" not in html


def test_the_same_call_gives_the_same_page(digits):
    net = dv.Network.load(digits / "digits.safetensors")
    x = dv.load_csv(dv.bundled("digits.csv"), label_column="label", scale=16)[:100]
    assert dv.report(net, x).html == dv.report(net, x).html


def test_names_and_cells_of_users_stay_text():
    random = np.random.default_rng(0)
    n = 120
    table = {
        EVIL[0]: random.normal(size=n),
        EVIL[2]: random.choice(EVIL, n),
        EVIL[4]: random.normal(size=n),
        "when": np.datetime64("2020-01-01") + random.integers(0, 900, n).astype("m8[D]"),
        "gap": np.where(random.random(n) < 0.3, np.nan, random.normal(size=n)),
        "</title>": random.choice(["<i>a</i>", "b&c"], n),
    }
    net = dv.Network.for_table(table, label_column="</title>")
    net.train(table, epochs=5)
    report = dv.report(net, table, title=EVIL[1], source="<b>.csv")
    page = checked(report)
    for word in [*EVIL, "<i>a</i>", "<b>.csv"]:
        assert word in page.text.replace(" ", " "), word
    assert "49" not in re.findall(r"<td[^>]*>([^<]*)", report.html)
    assert {"Distributions of the columns, real and drawn rows", "Correlations of the columns, real and drawn rows"} <= {
        image["alt"] for image in page.images
    }
    assert {"columns", "drawn", "unusual", "reconstructions"} <= set(page.ids)
    assert "<script" not in report.html
    assert "</iframe>" in report._repr_html_() and "<script" not in report._repr_html_()


def test_an_autoencoder_has_codes_and_no_draws():
    net = dv.Network(dv.bundled("autoencoder.cfg"))
    x = dv.load_csv(dv.bundled("digits.csv"), label_column="label", scale=16)[:300]
    net.train(x, epochs=2)
    page = checked(dv.report(net, x, labels=["same"] * 300))
    assert "An autoencoder for grey images of 8 x 8 pixels, with 16 code values" in page.text
    assert "drawn" not in page.ids and "ELBO" not in page.text and "KL" not in page.text.replace("KL_", "")


def test_a_classifier_has_its_table_of_classes(digits):
    net = dv.Network(dv.bundled("digits_classifier.cfg"))
    table = dv.load_table(dv.bundled("digits.csv"), label_column="label", scale=16)
    truth, _ = dv.one_hot(table.labels)
    net.train(table.X, truth=truth, epochs=3)
    report = dv.report(net, table.X, labels=table.labels)
    page = checked(report)
    accuracy = net.evaluate(table.X, truth)["accuracy"]
    assert f"{accuracy:.2%}" in page.text and "Predictions" in page.text
    picked = net.pick(net.predict(table.X))
    assert f"{int(((picked == 3) & (truth.argmax(1) == 3)).sum()):,}" in page.text
    without = dv.report(net, table.X)
    checked(without)
    assert any("labels" in line for line in without.left_out)


def test_networks_of_other_jobs_and_without_rows_or_log():
    regression = dv.Network(
        cfg_text="[net]\ninputs=6\nbatch=10\nadam=1\n[connected]\noutput=2\nactivation=linear\n[cost]\ntype=sse\n"
    )
    x = rows()
    regression.train(x, truth=x[:, :2] * 2, epochs=5)
    assert "R squared" in checked(dv.report(regression, x, truth=x[:, :2] * 2)).text
    bare = dv.Network(cfg_text="[net]\ninputs=6\nbatch=4\n[connected]\noutput=3\nactivation=leaky\n")
    assert "A network for rows of 6 numbers" in checked(dv.report(bare)).text
    assert "No row is counted in the network's training" in checked(dv.report(bare, x)).text
    recurrent = dv.Network(
        cfg_text="[net]\ninputs=6\nbatch=4\ntime_steps=5\n[rnn]\nhidden=6\noutput=6\nactivation=tanh\n[cost]\ntype=sse\n"
    )
    checked(dv.report(recurrent, x))


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_rows(n):
    net = vae()
    net.train(rows(), epochs=2)
    report = dv.report(net, rows(n))
    page = checked(report)
    assert ("Active latents" in [name for name, _, _, _ in report.numbers]) == (n > 1)
    assert ("no use to the decoder" in page.text or "active latents" in page.text) == (n > 1)
    table = {"a": np.arange(5.0), "b": list("xyxyy")}
    net = dv.Network.for_table(table)
    net.train(table, epochs=2)
    checked(dv.report(net, {name: values[:2] for name, values in table.items()}))


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "latent"), [(1000, 4), (80, 64)])
def test_many_columns_and_many_latents(columns, latent):
    net = vae(columns, latent)
    x = rows(300, columns)
    history = net.train(x, epochs=3)
    report = dv.report(net, x, log=history, labels=np.arange(300) % 3)
    checked(report)
    assert len(report.html) < 4_000_000


def test_rows_that_pictures_leave_out_are_said(monkeypatch):
    from darknet_vae.reporting import contents

    monkeypatch.setattr(contents, "POINTS", 50)
    net = vae()
    net.train(rows(), epochs=2)
    assert "50 of 200 rows, drawn at random" in checked(dv.report(net, rows())).text


def test_long_names_do_not_stretch_the_page():
    table = {"x" * 500: np.arange(40.0) % 7, "word": ["w" * 300 + str(i % 3) for i in range(40)]}
    net = dv.Network.for_table(table)
    net.train(table, epochs=2)
    assert "x" * 100 not in re.sub(
        r"<code>.*?</code>", "", checked(dv.report(net, table)).text.split("How to repeat it")[0][:3000]
    )


# ---- numbers ----


def test_numbers_are_those_of_evaluate_with_unit_and_meaning():
    net = vae(cost="type=gaussian\nsigma=learned", beta=1)
    x = rows()
    net.train(x, epochs=20)
    report = dv.report(net, x, k=50, labels=np.arange(200) % 2)
    found = net.evaluate(x, k=50, latent=True)
    by_name = {name: (value, unit, meaning) for name, value, unit, meaning in report.numbers}
    assert by_name["ELBO"][:2] == (shown(found["elbo"]), "nats per row")
    assert by_name["Log-likelihood (k = 50)"][0].startswith(shown(found["log_likelihood"]))
    assert by_name["… of a PCA"][0] == shown(found["baselines"]["pca_mse"])
    assert all(meaning for _, _, meaning in by_name.values())
    assert 0 <= float(by_name["Labels of neighbours"][0].rstrip("%")) <= 100


@pytest.mark.parametrize("prior, name", [("normal", "KL"), ("mixture", "KL, z drawn")])
def test_the_numbers_above_the_elbo_add_up_to_it(prior, name):
    net = vae(cost="type=gaussian\nsigma=learned", beta=f"1\nprior={prior}")
    net.train(rows(), epochs=10)
    report = dv.report(net, rows())
    found = net.evaluate(rows())
    assert (found["kl"] == pytest.approx(found["latent_loss"], rel=1e-4)) == (prior == "normal")
    names = [number for number, _, _, _ in report.numbers]
    at = names.index("ELBO")
    assert names[at - 2 : at] == ["Reconstruction, z drawn", name]
    values = [float(value) for _, value, _, _ in report.numbers[at - 2 : at + 1]]
    assert values[2] == pytest.approx(-values[0] - values[1], abs=2e-3)


def test_the_picture_of_scores_has_their_unit(monkeypatch):
    drawn, scores = [], dv.plots.scores
    monkeypatch.setattr(dv.plots, "scores", lambda *given, **options: drawn.append(scores(*given, **options)) or drawn[-1])
    for cost, unit in (("type=gaussian\nsigma=learned", " (nats)"), ("type=sse", "")):
        dv.report(vae(cost=cost, beta=1), rows())
        assert drawn[-1].axes[0].get_xlabel().startswith(f"score{unit},")


def test_neighbours_see_whether_the_latent_space_sorts_the_labels():
    net = vae()
    x = rows()
    net.train(x, epochs=40)
    z = net.encode(x)[0]
    sides = read_rows(net, x, labels=(z[:, 0] > 0).astype(int))
    s = studies.study(net, describe(net), sides, None, 0, None)
    assert studies.neighbours(s) > 0.9
    s.rows.labels = np.random.default_rng(0).permutation(s.rows.labels)
    assert studies.neighbours(s) < 0.7


def test_numbers_are_shown_as_people_write_them():
    assert [shown(v) for v in (0, 5, -12345678, 0.05, 1.25, 1234.5678, 1e-7, 123456.7)] == [
        "0", "5", "-12,345,678", "0.05", "1.25", "1,234.6", "1e-07", "123,457",
    ]  # fmt: skip


# ---- warnings ----


def test_a_collapsed_posterior_and_inactive_latents_are_warnings_with_a_remedy():
    x = rows()
    net = vae(latent=3, beta=100)
    net.train(x, epochs=60)
    found = warned(net, x)
    assert any(
        re.match(r"The posterior has collapsed: all 3 latents are inactive.*beta.*free_bits", line) for line in said(found, "bad")
    )
    net = vae(latent=6, beta=0.5)
    net.train(x, epochs=200)
    active = net.evaluate(x)["active_units"]
    assert 0 < active < 6
    assert any(
        line.startswith(f"{6 - active} of 6 latents are inactive") and "free_bits" in line
        for line in said(warned(net, x), "warn")
    )
    net = vae(latent=2, beta=0.05)
    net.train(x, epochs=200)
    assert not [line for line in said(warned(net, x)) if "inactive" in line]


def log_of(total, valid=None, **more):
    n = len(total)
    log = {"epoch": np.arange(1, n + 1), "total_loss": np.array(total, float), **more}
    return log if valid is None else {**log, "valid_loss": np.array(valid, float)}


FALLING = 10 * np.exp(-np.arange(60) / 8) + 1


def test_the_course_of_a_training():
    net = vae()
    epochs = np.arange(60)
    flat = warned(net, log=log_of(FALLING, FALLING + 0.5))
    assert [line for line in said(flat) if "epoch" in line] == []
    over = said(warned(net, log=log_of(FALLING, FALLING + 0.5 + 0.05 * np.maximum(epochs - 30, 0))))
    assert any(
        line.startswith("Overfitting: the loss of held-out rows was lowest after epoch") and "-keep best" in line for line in over
    )
    still = said(warned(net, log=log_of(10 * np.exp(-epochs / 60))))
    assert any("still falling" in line and "-epochs 120" in line for line in still)
    up = said(warned(net, log=log_of(np.where(epochs < 30, FALLING, FALLING + (epochs - 30) * 0.5))))
    assert any(line.startswith("The training diverges") and "learning rate" in line for line in up)
    broken = said(warned(net, log=log_of(np.where(epochs < 30, FALLING, np.nan))), "bad")
    assert any("no finite number in epoch 31" in line for line in broken)


def test_a_rate_that_goes_to_zero_is_not_a_training_that_ended_too_early():
    net = vae()
    loss = 10 - 6 * np.arange(100) / 100 - 0.0002 * np.arange(100) ** 1.5
    loss = np.concatenate([FALLING, FALLING[-1] - 0.01 * np.arange(10)])
    constant = said(warned(net, log=log_of(loss, learning_rate=np.full(70, 0.001))))
    anneals = said(warned(net, log=log_of(loss, learning_rate=np.linspace(0.001, 0, 70))))
    assert any("still falling" in line for line in constant)
    assert not any("still falling" in line for line in anneals)


def test_a_rising_beta_is_no_divergence_and_an_unfinished_warm_up_is_a_warning():
    net = vae(beta="1\nbeta_warmup=60")
    beta = np.minimum(np.arange(1, 61) / 60, 1)
    latent = np.full(60, 8.0)
    log = {"epoch": np.arange(1, 61), "image_loss": FALLING, "latent_loss": latent, "beta": beta, "kl_cost": beta * latent,
           "total_loss": FALLING + beta * latent}  # fmt: skip
    assert not [line for line in said(warned(net, log=log)) if "diverges" in line or "warm-up" in line]
    short = {name: values[:40] for name, values in log.items()}
    assert any(
        "warm-up of beta outlived the training: beta ended at 0.66667, the cfg wants 1" in line
        for line in said(warned(net, log=short))
    )


def test_the_weights_of_the_best_epoch_make_overfitting_harmless():
    hidden = "[connected]\noutput=64\nactivation=relu\n"
    net = dv.Network(cfg_text=f"[net]\ninputs=12\nbatch=10\nadam=1\nlearning_rate=0.05\n{hidden}{hidden}"
                     "[connected]\noutput=12\nactivation=linear\n[cost]\ntype=sse\n")  # fmt: skip
    x = np.random.default_rng(0).normal(size=(24, 12))
    history = net.train(x, epochs=200, keep="best", holdout=0.5)
    found = warned(net, x, history)
    assert history.kept_epoch < 100
    assert any(
        line.startswith("Overfitting") and f"epoch {history.kept_epoch}, so it does no harm" in line
        for line in said(found, "note")
    )


def test_a_log_of_another_training_is_told():
    net = vae()
    x = rows()
    history = net.train(x, epochs=10)
    assert not [line for line in said(warned(net, x, history)) if "another training" in line]
    other = {**history, "epoch": np.arange(1, 11), "total_loss": np.array(history.total_loss) + 3}
    assert any("Is it the log of another training?" in line for line in said(warned(net, x, other)))


def test_data_that_does_not_suit_the_network():
    x = rows()
    net = vae()
    net.train(x, epochs=60)
    assert any("the network has not learned such rows" in line for line in said(warned(net, x * 16)))
    assert not [line for line in said(warned(net, x)) if "has not learned" in line]
    uneven = x.copy()
    uneven[:, 4] *= 1000
    found = said(warned(net, dv.data.Table(uneven, None, ["a", "b", "c", "d", "price", "f"])))
    assert any(line.startswith("Column “price” has 100.0% of the rows' variance") for line in found)
    bounded = vae(last="logistic")
    bounded.train(x, epochs=2)
    assert any("activation=logistic" in line and "activation=linear" in line for line in said(warned(bounded, x), "warn"))
    bits = (x > 0).astype(np.float32)
    net.train(bits, epochs=2)
    assert any("All values are 0 or 1" in line and "bernoulli" in line for line in said(warned(net, bits)))
    gaussian = vae(cost="type=gaussian\nsigma=10", beta=1)
    gaussian.train(x, epochs=2)
    assert any("sigma=10" in line for line in said(warned(gaussian, x)))
    gone = x.copy()
    gone[3, 2] = np.nan
    assert any("1 of 200 rows have values that are not finite numbers" in line for line in said(warned(net, gone)))


def test_worse_than_a_pca_and_dead_codes():
    x = rows()
    net = vae(beta=0.01)
    net.train(x, epochs=1)
    assert any("PCA with 2 components" in line or "no better than every column's mean" in line for line in said(warned(net, x)))
    code = dv.Network(cfg_text="[net]\ninputs=6\nbatch=20\nadam=1\nlearning_rate=0.01\n[connected]\noutput=3\nactivation=relu\n"
                      "[connected]\noutput=6\nactivation=linear\n[cost]\ntype=sse\n")  # fmt: skip
    code.train(x, epochs=5)
    weights = code.layers[0].params["weights"]
    weights[1], biases = 0, code.layers[0].params["biases"]
    biases[1] = -1
    code.layers[0].set("weights", weights)
    code.layers[0].set("biases", biases)
    assert any(line.startswith("1 of 3 values of the code are the same for every row") for line in said(warned(code, x)))


def test_a_classifier_that_tells_nothing():
    x = rows()
    net = dv.Network(cfg_text="[net]\ninputs=6\nbatch=10\n[connected]\noutput=2\nactivation=linear\n[softmax]\n")
    truth = np.tile(np.float32([0, 1]), (200, 1))
    truth[:80] = [1, 0]
    net.layers[0].set("weights", np.zeros((2, 6)))
    net.layers[0].set("biases", [0, 1])
    assert any("always saying the commonest one reaches 60.0%" in line for line in said(warned(net, x, truth=truth)))


def test_drawn_rows_that_copy_are_told(monkeypatch):
    random = np.random.default_rng(0)
    table = {"a": random.normal(size=300), "b": random.normal(size=300), "c": random.normal(size=300)}
    net = dv.Network.for_table(table)
    net.train(table, epochs=3)
    assert not [line for line in said(warned(net, table)) if "copies" in line or "equal a real row" in line]
    monkeypatch.setattr(studies, "_draw", lambda s, n, rows: {name: values[:n] for name, values in table.items()})
    assert any("of the drawn rows equal a real row" in line and "by heart" in line for line in said(warned(net, table)))


# ---- the command line ----


def test_errors_of_the_verb(digits, tmp_path):
    def fails(*words):
        done = cli("report", *words, cwd=digits)
        assert done.returncode != 0 and "Traceback" not in done.stderr
        return done.stderr

    assert "no such file" in fails("none.safetensors").lower() or "cannot open" in fails("none.safetensors")
    assert "would overwrite" in fails("digits.safetensors", "-data", "digits.csv", "-output", "digits.safetensors")
    assert "-data" in fails("digits.safetensors", "-k", "5")
    assert "no log" in fails("digits.safetensors", "-log", "digits.safetensors")
    assert "trained parameters" in fails("vae_digits.cfg")


def test_what_is_no_network_is_refused_by_name():
    with pytest.raises(dv.errors.UsageError, match="about a Network, not a str"):
        dv.report("digits.safetensors")


def test_a_cfg_with_weights_and_one_dash(digits):
    net = dv.Network.load(digits / "digits.safetensors")
    net.save(digits / "w.weights")
    done = cli("report", "vae_digits.cfg", "-weights", "w.weights", "-output", "other.html", "-quiet", cwd=digits)
    assert done.returncode == 0 and done.stderr == ""
    checked(dv.Report((digits / "other.html").read_text(encoding="utf-8"), []))


def test_a_table_is_read_as_the_model_knows_it(tmp_path):
    net = dv.Network.for_table(dv.bundled("penguins.csv"), label_column="species")
    net.train(dv.bundled("penguins.csv"), epochs=5)
    net.save(tmp_path / "p.safetensors")
    done = cli("report", "p.safetensors", "-data", "penguins.csv", "-N", "100", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = checked(dv.Report((tmp_path / "p.html").read_text(encoding="utf-8"), []))
    assert "coloured by species" in page.text and "Biscoe" in page.text and "100 rows of 7 values" in page.text
    for verb in (["report"], ["explore"], ["plot", "kl"]):
        data = ["penguins.csv"] if verb[0] == "plot" else ["-data", "penguins.csv"]
        assert "-scale is about rows of plain numbers" in cli(*verb, "p.safetensors", *data, "-scale", "2", cwd=tmp_path).stderr


def test_without_the_extra_the_error_says_what_to_install(tmp_path):
    code = (
        "import sys; sys.modules['jinja2'] = None\n"
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'jinja2' else find(name, *a)\n"
        "import darknet_vae as dv\n"
        "try: dv.report(dv.Network(dv.bundled('vae_digits.cfg')))\n"
        "except dv.errors.MissingPackageError as e: print(e)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert "pip install 'darknet-vae[report]'" in done.stdout, done.stderr


def test_importing_the_package_loads_neither_jinja_nor_matplotlib(tmp_path):
    code = "import sys, darknet_vae as dv; dv.Network; print([m for m in ('jinja2', 'matplotlib', 'html') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]", done.stderr


# ---- in a browser ----


def test_a_browser_shows_it_on_phones_and_screens_in_light_and_dark_and_on_paper(digits, browser, tmp_path):
    net = dv.Network.load(digits / "digits.safetensors")
    table = dv.load_table(dv.bundled("digits.csv"), label_column="label", scale=16)
    path = dv.report(net, table, log=digits / "log.csv").save(tmp_path / "page.html")
    grounds = {}
    for width in (360, 800, 1400):
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            asked, complaints = [], []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.on("console", lambda message, complaints=complaints: complaints.append(message.text))
            page.goto(f"file://{path}")
            assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
            assert complaints == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width  # nothing slides the whole page
            assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
            grounds[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
            if (width, scheme) == (800, "dark"):
                assert page.pdf(format="A4").startswith(b"%PDF")
                page.emulate_media(media="print", color_scheme="dark")
                assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
            page.close()
    assert grounds["light"] != grounds["dark"]


def test_sentences_in_tables_are_broken_into_lines_on_every_width(browser, tmp_path):
    table = {"length": np.arange(60.0), "kind": np.array(list("xyz") * 20), "place": np.array(["north", "south"] * 30)}
    net = dv.Network.for_table(table)
    net.train(table, epochs=3)
    path = dv.report(net, table).save(tmp_path / "page.html")
    for width in (1200, 500, 360):
        page = browser.new_page(viewport={"width": width, "height": 800})
        page.goto(f"file://{path}")
        for words in ("nothing in common", "what is unusual about it"):
            hidden = page.locator(".scroll", has_text=words).evaluate("box => box.scrollWidth - box.clientWidth")
            assert hidden == 0, (width, words)
        page.close()
