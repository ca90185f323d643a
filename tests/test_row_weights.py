"""Rows with weights: what is descended, what is reported, and that a weight of 0 means that the row is not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import program, real_table, run

import darknet_vae as dv
from darknet_vae.tables import Schema

pd = pytest.importorskip("pandas")

Build = Callable[..., dv.Network]
ROWS = 12


def vae(cost: str, sampling: str = "beta=0.3", out: int = 6, normal: str = "", net: str = "") -> str:
    return (
        f"[net]\nbatch={ROWS}\ninputs=6\nlearning_rate=0.01\n{net}\n[connected]\noutput=8\nactivation=tanh\n{normal}\n"
        f"[connected]\noutput=6\nactivation=linear\n[sampling]\n{sampling}\n[connected]\noutput=7\nactivation=tanh\n"
        f"[connected]\noutput={out}\nactivation=linear\n{cost}"
    )


def cost(*keys: str) -> str:
    return "[cost]\n" + "\n".join(keys) + "\n"


NETS = {
    "sse": vae(cost("type=sse")),
    "L1": vae(cost("type=L1")),
    "smooth": vae(cost("type=smooth")),
    "bce": vae(cost("type=bce")),
    "gaussian": vae(cost("type=gaussian")),
    "learned sigma": vae(cost("type=gaussian", "sigma=learned")),
    "a sigma per column": vae(cost("type=laplace", "sigma=column")),
    "a sigma per value": vae(cost("type=gaussian", "sigma=value"), out=12),
    "optimal sigma": vae(cost("type=gaussian", "sigma=optimal")),
    "scaled": vae(cost("type=student_t", "sigma=column", "scale=0.5")),
    "two heads": vae(cost("type=gaussian", "columns=0-2") + cost("type=bernoulli", "columns=3-5")),
    "free bits": vae(cost("type=gaussian"), "free_bits=0.1"),
    "free bits of rows": vae(cost("type=gaussian"), "free_bits_total=0.3"),
    "capacity": vae(cost("type=gaussian"), "capacity=1"),
    "mixture": vae(cost("type=gaussian"), "prior=mixture\ncomponents=3"),
    "limit": vae(cost("type=gaussian"), "log_variance_limit=2"),
    "draws": vae(cost("type=gaussian"), "samples=3"),
    "dreg": vae(cost("type=gaussian", "sigma=column"), "samples=3\ngradient=dreg"),
    "draws, mixture": vae(cost("type=bernoulli"), "samples=3\nprior=mixture\ncomponents=2"),
    "batch normalisation": vae(cost("type=sse"), normal="batch_normalize=1"),
}
NOT_LINEAR = {"optimal sigma", "free bits"}
"""In these, rows do not add up: something is computed of the whole batch."""
PLAIN = (
    "[net]\nbatch=400\ninputs=4\nlearning_rate=0.05\nmomentum=0\n[connected]\noutput=3\nactivation=tanh\n[connected]\noutput=4\n"
)
PLAIN += "activation=linear\n[cost]\ntype=sse\n"


def rows(n: int = ROWS, columns: int = 6, seed: int = 0) -> Any:
    random = np.random.default_rng(seed)
    weights = (3 * random.random(n)).astype(np.float32)
    weights[3] = 0
    return random.random((n, columns)).astype(np.float32), weights


def values(net: dv.Network) -> Any:
    return np.concatenate([value.ravel() for layer in net.layers for value in layer.params.values()])


def gradients(text: str, X: Any, weights: Any, device: str = "cpu") -> Any:
    net = dv.Network(cfg_text=text, seed=1, device=device)
    if "[sampling]" in text:
        count = len(X) * (3 if "samples=3" in text else 1)
        net.set_noise(2, np.random.default_rng(5).normal(size=(count, 3)))
    net.forward(X, X, train=True, row_weight=weights)
    net.backward()
    return np.concatenate([gradient.ravel() for layer in net.layers for gradient in layer.grads.values()])


# ---- what is descended


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("memory", ["cpu", "fence"])
def test_the_gradient_of_weighted_rows_is_that_of_differences(name: str, memory: str) -> None:
    X, weights = rows()
    found = dv.Network(cfg_text=NETS[name], seed=1, device=memory).check(X, row_weight=weights)
    assert found, found.summary


@pytest.mark.parametrize("name", NETS)
def test_a_gpu_has_the_gradient_of_weighted_rows_of_the_cpu(name: str, cuda: str) -> None:
    X, weights = rows()
    wanted = gradients(NETS[name], X, weights)
    np.testing.assert_allclose(gradients(NETS[name], X, weights, cuda), wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("name", [name for name in NETS if name not in NOT_LINEAR | {"batch normalisation"}])
def test_gradients_are_sums_of_those_of_rows_times_their_weights(name: str, device: str) -> None:
    X, weights = rows()
    found = gradients(NETS[name], X, weights, device)
    wanted = sum(w * gradients(NETS[name], X, one, device) for w, one in zip(weights, np.eye(ROWS, dtype="f4"), strict=True))
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("name", NETS)
def test_weights_of_1_change_no_gradient(name: str) -> None:
    X, _ = rows()
    plain = gradients(NETS[name], X, None)
    np.testing.assert_allclose(gradients(NETS[name], X, np.ones(ROWS)), plain, atol=1e-6 * np.abs(plain).max())


def test_a_second_backward_pass_adds_the_same_gradient() -> None:
    X, weights = rows()
    for name in ("sse", "gaussian", "two heads"):
        net = dv.Network(cfg_text=NETS[name], seed=1)
        net.forward(X, X, train=True, row_weight=weights)
        net.backward()
        once = net.layers[4].grads["weights"].copy()
        net.backward()
        np.testing.assert_allclose(net.layers[4].grads["weights"], 2 * once, rtol=1e-5, atol=1e-6)


def test_whole_weights_are_rows_that_are_repeated(device: str) -> None:
    """At full batch and without noise: the same loss and the same step."""
    X, _ = rows(60, 4)
    weights = np.random.default_rng(1).integers(0, 5, 60)
    nets = [dv.Network(cfg_text=PLAIN, seed=2, device=device) for _ in range(2)]
    histories = [
        nets[0].train(X, epochs=3, row_weight=weights, shuffle=False),
        nets[1].train(X.repeat(weights, axis=0), epochs=3, shuffle=False),
    ]
    np.testing.assert_allclose(histories[0].total_loss, histories[1].total_loss, rtol=1e-5)
    np.testing.assert_allclose(values(nets[0]), values(nets[1]), rtol=1e-5, atol=1e-6)
    evaluations = [nets[0].evaluate(X, row_weight=weights), nets[0].evaluate(X.repeat(weights, axis=0))]
    assert evaluations[0]["total_loss"] == pytest.approx(evaluations[1]["total_loss"], rel=1e-6)


def test_the_scale_of_weights_does_not_matter() -> None:
    X, weights = rows(200, 4)
    nets = [dv.Network(cfg_text=PLAIN.replace("400", "32"), seed=2) for _ in range(2)]
    losses = [net.train(X, epochs=3, row_weight=weights * scale).total_loss for net, scale in zip(nets, (1, 4), strict=True)]
    assert losses[0] == losses[1]
    np.testing.assert_array_equal(values(nets[0]), values(nets[1]))


@pytest.mark.parametrize("name", ["gaussian", "batch normalisation", "optimal sigma", "free bits", "draws", "mixture"])
def test_a_weight_of_0_is_a_row_that_is_not_there(name: str, device: str) -> None:
    X, weights = rows(90)
    weights[::7] = 0
    kept = weights > 0
    nets = [dv.Network(cfg_text=NETS[name], seed=2, device=device) for _ in range(2)]
    losses = [
        nets[0].train(X, epochs=3, row_weight=weights, holdout=0.2).total_loss,
        nets[1].train(X[kept], epochs=3, row_weight=weights[kept], holdout=0.2).total_loss,
    ]
    assert losses[0] == losses[1]
    np.testing.assert_array_equal(values(nets[0]), values(nets[1]))


def test_the_result_does_not_depend_on_threads_or_on_recorded_steps(cuda: str) -> None:
    X, weights = rows(90)
    found = []
    for options in ({"threads": 1}, {"threads": 3}, {"device": "fence"}, {"device": cuda}):
        net = dv.Network(cfg_text=NETS["two heads"], seed=2, **options)  # type: ignore[arg-type]
        net.train(X, epochs=4, row_weight=weights)
        found.append(values(net))
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])
    np.testing.assert_allclose(found[3], found[0], rtol=2e-3, atol=2e-4)


def test_subdivisions_make_no_difference_but_rounding() -> None:
    X, weights = rows(96)
    nets = [dv.Network(cfg_text=NETS["sse"].replace("batch=12", f"batch=48\nsubdivisions={s}"), seed=2) for s in (1, 4)]
    for net in nets:
        net.train(X, epochs=2, row_weight=weights, learning_rate=1e-9)
    losses = [net.evaluate(X, row_weight=weights)["total_loss"] for net in nets]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


# ---- what is reported


@pytest.mark.parametrize("name", ["sse", "two heads", "free bits", "capacity", "mixture", "draws", "optimal sigma"])
def test_reports_are_weighted_means_whose_parts_add_up(name: str) -> None:
    X, weights = rows(100)
    net = dv.Network(cfg_text=NETS[name], seed=2)
    history = net.train(X, epochs=2, row_weight=weights, holdout=0.3, log="l.csv", log_every=1)
    log = np.genfromtxt("l.csv", delimiter=",", names=True)
    assert history.total_loss
    np.testing.assert_allclose(log["image_loss"] + log["kl_cost"], log["total_loss"], rtol=1e-6)
    found = net.evaluate(X, row_weight=weights)
    assert found["image_loss"] + found["kl_cost"] == pytest.approx(found["total_loss"], rel=1e-6)
    by_row = net.row_losses(X)
    for part in ("image_loss", "latent_loss"):
        assert found[part] == pytest.approx(np.average(by_row[part], weights=weights), rel=1e-5)
    held = net.held_out(int((weights > 0).sum()), 0.3)
    kept = np.flatnonzero(weights > 0)[held]
    if name != "draws":
        last = log["valid_loss"][~np.isnan(log["valid_loss"])][-1]
        assert last == pytest.approx(net.evaluate(X[kept], row_weight=weights[kept])["total_loss"], rel=1e-5)


def test_measures_of_the_latent_space_and_baselines_are_those_of_repeated_rows() -> None:
    X, _ = rows(80)
    weights = np.random.default_rng(3).integers(0, 4, 80)
    net = dv.Network(cfg_text=NETS["gaussian"], seed=2)
    net.train(X, epochs=5)
    found, wanted = net.evaluate(X, latent=True, row_weight=weights), net.evaluate(X.repeat(weights, axis=0), latent=True)
    for part in ("latent_kl", "latent_mean", "latent_variance", "latent_mean_variance"):
        np.testing.assert_allclose(found[part], wanted[part], rtol=1e-5, atol=1e-7)
    for name, value in wanted["baselines"].items():
        assert found["baselines"][name] == (value if value is None else pytest.approx(value, rel=1e-5)), name
    assert found["active_units"] == wanted["active_units"]


def test_accuracy_and_losses_of_classes_are_weighted(device: str) -> None:
    X, weights = rows(100)
    truth = np.eye(2)[(X[:, 0] > 0.5).astype(int)]
    text = f"[net]\nbatch={ROWS}\ninputs=6\nlearning_rate=0.1\n[connected]\noutput=2\nactivation=linear\n[softmax]\n"
    net = dv.Network(cfg_text=text, seed=2, device=device)
    assert net.check(X, truth, row_weight=weights)
    net.train(X, truth=truth, epochs=3, row_weight=weights)
    right = net.predict(X).argmax(axis=1) == truth.argmax(axis=1)
    found = net.evaluate(X, truth, row_weight=weights)
    assert found["accuracy"] == pytest.approx(np.average(right, weights=weights), rel=1e-6)
    logistic = dv.Network(cfg_text=text.replace("[softmax]", "[logistic]"), seed=2, device=device)
    assert logistic.check(X, truth, row_weight=weights)


# ---- what is refused


def test_weights_that_are_none_are_refused_with_the_row() -> None:
    X, weights = rows()
    net = dv.Network(cfg_text=NETS["sse"])
    for bad, said in ((-1, "row_weight is -1 at row 5"), (np.nan, "is nan at row 5"), (np.inf, "is inf at row 5")):
        wrong = weights.astype(float)
        wrong[5] = bad
        with pytest.raises(dv.errors.UsageError, match=said):
            net.train(X, epochs=1, row_weight=wrong)
    with pytest.raises(dv.errors.UsageError, match="the weights of all 12 rows are 0"):
        net.train(X, epochs=1, row_weight=np.zeros(ROWS))
    with pytest.raises(dv.errors.UsageError, match=r"shape \(3,\); wanted is \(12,\)"):
        net.evaluate(X, row_weight=[1, 2, 3])
    with pytest.raises(dv.errors.UsageError, match="there is no column 'w'"):
        net.train(X, epochs=1, row_weight="w")


def test_detector_heads_are_refused_by_name() -> None:
    text = "[net]\nbatch=2\nheight=32\nwidth=32\nchannels=3\nlearning_rate=0.01\n[convolutional]\nfilters=18\nsize=1\n"
    text += "activation=linear\n[yolo]\nmask=0,1,2\nanchors=10,10,20,20,30,30\nclasses=1\nnum=3\n"
    net = dv.Network(cfg_text=text)
    with pytest.raises(dv.errors.UsageError, match=r"rows cannot have weights here: the loss of a \[yolo\]"):
        net.train(np.zeros((4, 3072)), truth=np.zeros((4, net._info().truths)), epochs=1, row_weight=np.ones(4))


# ---- checkpoints and tables


def test_a_checkpoint_knows_the_weights() -> None:
    X, weights = rows(60)
    whole, first, second = (dv.Network(cfg_text=NETS["gaussian"], seed=2) for _ in range(3))
    whole.train(X, epochs=4, row_weight=weights)
    first.train(X, epochs=2, row_weight=weights, checkpoint="c.safetensors")
    second.train(X, epochs=4, row_weight=weights, resume="c.safetensors")
    np.testing.assert_array_equal(values(second), values(whole))
    with pytest.raises(dv.errors.UsageError, match="needs what it began with"):
        dv.Network(cfg_text=NETS["gaussian"], seed=2).train(X, epochs=4, row_weight=weights[::-1], resume="c.safetensors")


def weighted_penguins(path: str) -> Any:
    table = pd.read_csv(real_table("penguins"))
    table["weight"] = np.where(table.species == "Chinstrap", 8.0, 1.0)
    table.to_csv(path, index=False)
    return table


@pytest.mark.parametrize("kind", ["binary", "python"])
def test_a_column_of_weights_is_no_data_and_new_rows_go_to_the_heavy_ones(kind: str, tmp_path: Path) -> None:
    table = weighted_penguins("p.csv")
    table.drop(columns="weight").to_csv("new.csv", index=False)
    if kind == "binary":
        ran = run([*program("binary"), "train", "p.csv", "-row-weight", "weight", "-save", "m.safetensors"])
        assert ran.returncode == 0 and "row weight 'weight'" in ran.stderr, ran.stderr
        net = dv.Network.load("m.safetensors")
    else:
        net = dv.Network.for_table(table, row_weight="weight", seed=0)
        net.train(table)
        net.save("m.safetensors")
    assert net.row_weight == "weight" and net.schema is not None
    assert {column.name: column.kind for column in net.schema.columns}["weight"] == "row_weight"
    new = net.sample(n=3000)
    names = list(new.columns) if hasattr(new, "columns") else list(new)
    assert "weight" not in names
    share = np.mean(np.asarray(new["species"]) == "Chinstrap")
    heavy = 8 * (table.species == "Chinstrap").sum()
    wanted = heavy / (heavy + (table.species != "Chinstrap").sum())
    assert abs(share - wanted) < 0.1 and share > 0.5 > (table.species == "Chinstrap").mean()
    ran = run([*program("binary"), "score", "m.safetensors", "new.csv"])
    assert ran.returncode == 0, ran.stderr
    plain, weighted = (run([*program("binary"), "evaluate", "m.safetensors", file, "-json"]) for file in ("new.csv", "p.csv"))
    assert plain.returncode == weighted.returncode == 0 and plain.stdout != weighted.stdout
    assert "weighted by column 'weight'" in weighted.stderr


def test_rows_with_a_weight_of_0_are_no_part_of_the_schema() -> None:
    table = weighted_penguins("p.csv")
    table.loc[table.species == "Gentoo", "weight"] = 0
    schema = Schema.learn(table, row_weight="weight")
    words = next(column for column in schema.columns if column.name == "species").words
    assert set(words) == {"Adelie", "Chinstrap"} and schema.rows == (table.weight > 0).sum()


@pytest.mark.parametrize("word", ["-1", "nan", "inf", "x"])
def test_the_binary_names_row_and_file_of_a_bad_weight(word: str) -> None:
    X, weights = rows(20, 4)
    lines = [",".join(f"{v:.4f}" for v in [*x, w]) for x, w in zip(X, weights, strict=True)]
    lines[7] = lines[7].rsplit(",", 1)[0] + "," + word
    Path("t.csv").write_text("a,b,c,d,w\n" + "\n".join(lines) + "\n")
    Path("n.cfg").write_text(PLAIN)
    ran = run([*program("binary"), "train", "n.cfg", "t.csv", "-row-weight", "w", "-epochs", "1"])
    assert ran.returncode != 0 and len(ran.stderr.splitlines()) == 1, ran.stderr
    assert "t.csv" in ran.stderr and ("row 8 " in ran.stderr or ":9:" in ran.stderr)


def test_a_matrix_with_a_header_leaves_the_column_out_later() -> None:
    X, weights = rows(60, 4)
    np.savetxt("t.csv", np.column_stack([X, weights]), delimiter=",", header="a,b,c,d,w", comments="")
    np.savetxt("new.csv", X, delimiter=",", header="a,b,c,d", comments="")
    Path("n.cfg").write_text(PLAIN)
    for words in (["-row-weight", "w"], ["-row-weight", "4"], ["-set", "net.row_weight=w"]):
        ran = run(
            [*program("binary"), "train", "n.cfg", "t.csv", *words, "-epochs", "2", "-save", "m.safetensors", "-no-latents"]
        )
        assert ran.returncode == 0 and "row weight" in ran.stderr, ran.stderr
        found = [run([*program("binary"), "encode", "m.safetensors", file, "-output", "-"]) for file in ("t.csv", "new.csv")]
        assert [ran.returncode for ran in found] == [0, 0], found
        assert found[0].stdout == found[1].stdout
    net = dv.Network("n.cfg", seed=0)
    net.train(pd.read_csv("t.csv"), epochs=2, row_weight="w")
    assert net.encode(pd.read_csv("t.csv"))[0].shape == net.encode(X)[0].shape


@pytest.fixture
def weighted_wine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dv.Network:
    monkeypatch.chdir(tmp_path)
    wine = pd.read_csv(dv.bundled("wine.csv"))
    wine["w"] = np.arange(len(wine)) % 4
    wine.to_csv("w.csv", index=False)
    ran = run([*program("binary"), "train", dv.bundled("wine_2.cfg"), "w.csv", "-row-weight", "w", "-epochs", "3", "-save",
               "w.safetensors"])  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return dv.Network.load("w.safetensors")


@pytest.mark.parametrize(
    "words",
    [["explore", "w.safetensors", "-data", "w.csv", "-output", "w.html"], ["plot", "latent", "w.safetensors", "w.csv"],
     ["plot", "scores", "w.safetensors", "w.csv"], ["report", "w.safetensors", "-data", "w.csv"]],
    ids=lambda words: " ".join(words[:2]),
)  # fmt: skip
def test_pages_and_pictures_read_the_table_with_weights_that_a_network_of_numbers_was_trained_on(
    weighted_wine: dv.Network, words: list[str]
) -> None:
    for module in ("matplotlib", "jinja2"):
        pytest.importorskip(module, reason="pages and pictures need it")
    ran = run([*program("python"), *words])
    assert ran.returncode == 0 and "columns besides" not in ran.stderr, ran.stderr


def test_a_table_of_numbers_has_its_weights_beside_it(weighted_wine: dv.Network) -> None:
    table = dv.load_table("w.csv", "class", row_weight="w")
    assert table.weights is not None and table.X.shape == (178, 13) and table.names is not None and "w" not in table.names
    np.testing.assert_array_equal(table.weights, np.arange(178) % 4)
    plain = dv.load_table(dv.bundled("wine.csv"), "class", row_weight="w", weight_optional=True)
    assert plain.weights is None and np.array_equal(plain.X, table.X)
    with pytest.raises(dv.errors.UsageError, match="'w'"):
        dv.load_table(dv.bundled("wine.csv"), "class", row_weight="w")


@pytest.mark.parametrize("kind", ["numbers", "table"])
@pytest.mark.filterwarnings("ignore:the warm-up", "ignore:the last batch")
def test_a_report_has_the_weighted_means_that_evaluate_has(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    for module in ("matplotlib", "jinja2"):
        pytest.importorskip(module, reason="reports need it")
    if kind == "numbers":
        net, path = request.getfixturevalue("weighted_wine"), "w.csv"
        table = dv.load_table(path, "class", row_weight="w")
        X, weights = table.X, table.weights
    else:
        path = str(tmp_path / "p.csv")
        table = pd.read_csv(dv.bundled("penguins.csv"))
        table["weight"] = np.where(table.species == "Chinstrap", 8.0, 1.0)
        table.to_csv(path, index=False)
        net = dv.Network.for_table(table, row_weight="weight", seed=0)
        net.train(table, epochs=3)
        X, weights = table.drop(columns="weight"), table.weight.to_numpy()
    numbers = {name: value for name, value, *_ in dv.report(net, path).numbers}
    said = float(numbers["Total loss"])
    assert said == pytest.approx(net.evaluate(X, row_weight=weights)["total_loss"], rel=1e-4)
    assert said != pytest.approx(net.evaluate(X)["total_loss"], rel=1e-3)
    page = dv.report(net, path)._repr_html_()
    assert "weighted by column" in page and f"-row-weight {net.row_weight}" in page
