"""[columns], [cost] type=columns and [condition]: coded tables, with missing cells, in one network."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from likelihoods import coded
from test_gradients import Problem, check

import darknet_vae as dv
from darknet_vae._lib import check as checked
from darknet_vae._lib import ffi, lib, pointer

Build = Callable[..., dv.Network]
A = np.ndarray
KINDS = "number,number,yes_no,yes_no,category:5,category:3,category:40"
DENSE = "[connected]\noutput=9\nactivation=tanh\n"
SAMPLING = "[connected]\noutput=6\nactivation=linear\n[sampling]\nbeta=1\n"
HEADS = (
    "[cost]\ntype=gaussian\nsigma=column\ncolumns=0-1\n[cost]\ntype=bernoulli\ncolumns=2-3\n"
    "[cost]\ntype=categorical\nclasses=5\ncolumns=4\n[cost]\ntype=categorical\nclasses=3\ncolumns=5\n"
    "[cost]\ntype=categorical\nclasses=40\ncolumns=6\n"
)


def linear(output: int) -> str:
    return f"[connected]\noutput={output}\nactivation=linear\n"


def table_net(
    kinds: str = KINDS, output: int = 52, columns: str = "missing=1\n", cost: str = "", condition: str = "", net: str = ""
) -> str:
    header = f"[net]\nbatch=16\noptimizer=adam\nlearning_rate=0.01\n{net}[columns]\nkinds={kinds}\n{columns}"
    return header + DENSE + SAMPLING + condition + DENSE + linear(output) + f"[cost]\ntype=columns\n{cost}"


def rows_of(rows: int, kinds: str = KINDS, seed: int = 0, missing: float = 0.1) -> A:
    return coded(kinds, rows, np.random.default_rng(seed), missing)


def expanded(x: A, kinds: str = KINDS, missing: bool = True) -> A:
    """What [columns] gives, from the description in docs/cfg.md."""
    names = kinds.split(",")
    known = ~np.isnan(x)
    parts = [np.where(known, x, 0)[:, [i for i, kind in enumerate(names) if kind == "number"]]]
    if missing:
        parts.append(~known[:, [i for i, kind in enumerate(names) if kind == "number"]])
    parts += [np.where(known[:, i], 2 * x[:, i] - 1, 0)[:, None] for i, kind in enumerate(names) if kind == "yes_no"]
    parts += [x[:, i, None] == np.arange(int(kind.split(":")[1])) for i, kind in enumerate(names) if kind.startswith("category")]
    return np.concatenate([np.asarray(part, np.float32) for part in parts], axis=1)


@pytest.mark.parametrize("kinds", [KINDS, "category:3,number,yes_no,category:2,number", "yes_no", "number", "category:4"])
@pytest.mark.parametrize("missing", [0, 1])
def test_rows_are_expanded_as_documented(kinds: str, missing: int, device: str, network: Build) -> None:
    net = network(f"[net]\nbatch=30\n[columns]\nkinds={kinds}\nmissing={missing}\n" + linear(2), device=device)
    x = rows_of(30, kinds, missing=0.3)
    net.forward(x)
    np.testing.assert_array_equal(net.layers[0].output, expanded(x, kinds, bool(missing)))


@pytest.mark.parametrize(
    "cost",
    ["", "sigma=0.5\n", "sigma=learned\n", "sigma=value\n", "scale=0.3\n", "numbers=student_t\nnu=3\n", "numbers=laplace\n"],
)
@pytest.mark.parametrize("kinds", [KINDS, "category:3,number,yes_no,category:2,number"])
def test_gradients_are_those_of_the_loss(cost: str, kinds: str, device: str, network: Build) -> None:
    numbers = kinds.split(",").count("number") if "value" in cost else 0
    output = sum(int(kind.split(":")[1]) if ":" in kind else 1 for kind in kinds.split(",")) + numbers
    problem = Problem(network(table_net(kinds, output, cost=cost), device=device), 16)
    problem.x = problem.truth = rows_of(16, kinds, missing=0.2)
    check(problem, problem.gradients(), together=device != "cpu")


def pair(network: Build, **options: object) -> tuple[dv.Network, dv.Network]:
    """With [columns], and the same with expanded rows and a [cost] for each kind and number of classes."""
    text = table_net().replace(SAMPLING, linear(3))  # noise depends on a layer's number
    ours = network(text, **options)
    plain = text.replace(f"[columns]\nkinds={KINDS}\nmissing=1\n", "").replace("[cost]\ntype=columns\n", HEADS)
    theirs = network(plain.replace("[net]\n", "[net]\ninputs=54\n"), **options)
    for to, layer in zip(theirs.layers, ours.layers[1:], strict=False):
        for name in layer.grads if layer.type == "connected" else []:
            to.set(name, layer.params[name])
    return ours, theirs


def test_is_the_same_as_separate_costs_on_expanded_rows(device: str, network: Build) -> None:
    ours, theirs = pair(network, seed=3, device=device)
    x = rows_of(40 if device == "cuda" else 200, missing=0.2)
    for _ in range(1 if device == "cuda" else 3):
        a = ours.train(x, epochs=4, shuffle=False)
        b = theirs.train(expanded(x), truth=x, epochs=4, shuffle=False)
        np.testing.assert_allclose(a.image_loss, b.image_loss, rtol=2e-4)
    losses, wanted = ours.row_losses(x), theirs.row_losses(expanded(x), truth=x)
    np.testing.assert_allclose(losses["image_loss"], wanted["image_loss"], rtol=2e-2, atol=2e-2)
    np.testing.assert_allclose(ours.layers[-1].params["log_variance"], theirs.layers[4].params["log_variance"], atol=2e-3)


@pytest.mark.parametrize("kinds", [KINDS, "category:3,number,yes_no,category:2,number,number"])
def test_the_loss_of_a_row_adds_up_with_all_constants(kinds: str, device: str, network: Build) -> None:
    """Against the formulas in double precision, from the network's parameters."""
    names = kinds.split(",")
    widths = [int(name.split(":")[1]) if ":" in name else 1 for name in names]
    net = network(table_net(kinds, sum(widths)), device=device)
    log_variances = np.array([0.7, -1.3, 0.4])[: names.count("number")]
    net.layers[-1].set("log_variance", log_variances)
    x = rows_of(40, kinds, missing=0.25)
    p = net.predict(x).astype(float)
    total, numbers = np.zeros(40), iter(log_variances)
    for i, (name, width) in enumerate(zip(names, widths, strict=True)):
        q, p, t = p[:, :width], p[:, width:], np.nan_to_num(x[:, i].astype(float))
        if name == "number":
            log_variance = next(numbers)
            loss = (t - q[:, 0]) ** 2 / np.exp(log_variance) / 2 + (log_variance + math.log(2 * math.pi)) / 2
        elif name == "yes_no":
            loss = np.log1p(np.exp(q[:, 0])) - q[:, 0] * t
        else:
            loss = np.log(np.exp(q).sum(axis=1)) - q[np.arange(40), t.astype(int)]
        total += np.where(np.isnan(x[:, i]), 0, loss)
    np.testing.assert_allclose(net.row_losses(x)["image_loss"], total, rtol=1e-4, atol=1e-4)


def test_missing_cells_add_nothing_to_loss_and_gradient(device: str, network: Build) -> None:
    net = network(table_net(), device=device)
    nothing = np.full((4, 7), np.nan, np.float32)
    net.forward(nothing, nothing, train=True)
    assert net.cost == 0
    net.backward()
    assert not net.layers[-2].delta.any() and not net.layers[-1].grads["log_variance"].any()
    x = rows_of(4, missing=0)
    some = x.copy()
    some[:, [1, 3, 5]] = np.nan
    net.forward(x, some, train=True)
    net.backward()
    delta = net.layers[-2].delta
    assert not delta[:, [1, 3, *range(9, 12)]].any()
    assert delta[:, [0, 2, *range(4, 9), *range(12, 52)]].all()


def test_every_device_gives_the_bits_of_the_cpu_or_close(network: Build, cuda: str) -> None:
    x = rows_of(150)
    nets = {device: network(table_net(), seed=2, device=device) for device in ("cpu", "fence", cuda)}
    for net in nets.values():
        net.train(x, epochs=3)
    cpu = nets["cpu"]
    np.testing.assert_array_equal(nets["fence"].predict(x), cpu.predict(x))
    np.testing.assert_allclose(nets[cuda].predict(x), cpu.predict(x), rtol=1e-3, atol=1e-3)


def test_training_is_the_same_bits_with_any_number_of_threads(network: Build) -> None:
    x = rows_of(2000)
    weights = []
    for threads in (1, 2, 4):
        net = network(table_net().replace("batch=16", "batch=500"), seed=1, threads=threads)
        net.train(x, epochs=2)
        weights.append([layer.params[name] for layer in net.layers for name in layer.params])
    for other in weights[1:]:
        for a, b in zip(weights[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("form", ["weights", "safetensors"])
def test_is_saved_and_loaded(form: str, network: Build, tmp_path: object) -> None:
    text = table_net(columns='missing=1\nnames=a,"b, or # b","say ""hi""",d,e,f,g\n')
    net = network(text, seed=1)
    x = rows_of(64)
    net.train(x, epochs=3)
    net.save(f"m.{form}")
    with open("m.cfg", "w") as file:
        file.write(text)
    again = dv.Network.load("m.safetensors") if form == "safetensors" else dv.Network.load("m.cfg", "m.weights")
    np.testing.assert_array_equal(again.reconstruct(x), net.reconstruct(x))


def test_a_training_on_missing_cells_learns_what_belongs_together(network: Build) -> None:
    random = np.random.default_rng(0)
    codes = random.integers(3, size=600)
    x = np.stack([codes * 2 + 0.1 * random.normal(size=600), codes == 2, (codes + 1) % 3], axis=1)
    x[random.random(x.shape) < 0.15] = np.nan
    net = network(table_net("number,yes_no,category:3", 5), seed=1)
    net.train(x.astype(np.float32), epochs=80)
    full = np.stack([codes * 2.0, codes == 2, (codes + 1) % 3], axis=1).astype(np.float32)
    for hidden in range(3):
        asked = full.copy()
        asked[:, hidden] = np.nan
        found = net.reconstruct(asked)[:, hidden]
        assert (np.abs(found - full[:, hidden]) < 0.5).mean() > 0.95


def test_means_and_draws_are_columns(device: str, network: Build) -> None:
    net = network(table_net(), seed=1, device=device)
    x = rows_of(200)
    net.train(x, epochs=2)
    p, mean = net.predict(x).astype(float), net.reconstruct(x)
    np.testing.assert_allclose(mean[:, :2], p[:, :2], rtol=1e-6)
    np.testing.assert_allclose(mean[:, 2:4], 1 / (1 + np.exp(-p[:, 2:4])), rtol=1e-5)
    for column, first, classes in ((4, 4, 5), (5, 9, 3), (6, 12, 40)):
        np.testing.assert_array_equal(mean[:, column], p[:, first : first + classes].argmax(axis=1))
    z = np.zeros((4000, 3), np.float32)
    drawn = net.sample(z, draw=True, seed=1)
    p = net.sample(z[:1])
    assert set(np.unique(drawn[:, 2])) == {0, 1}
    assert drawn[:, 2].mean() == pytest.approx(float(p[0, 2]), abs=0.04)
    assert drawn[:, 0].mean() == pytest.approx(float(p[0, 0]), abs=0.1)
    for column, classes in ((4, 5), (5, 3), (6, 40)):
        assert np.isin(drawn[:, column], np.arange(classes)).all() and len(np.unique(drawn[:, column])) > 1


def test_scores_have_a_part_for_every_column(network: Build) -> None:
    net = network(table_net(), seed=1)
    x = rows_of(60)
    net.train(x, epochs=3)
    bounds = net.evaluate(x, k=4)
    assert math.isfinite(bounds["log_likelihood"]) and math.isfinite(bounds["elbo"])
    assert np.isfinite(net.score_rows(x, k=4)).all()
    scores, columns = net.score_rows(x, samples=3, contributions=True)
    assert columns.shape == x.shape and not columns[np.isnan(x)].any()
    drawn = net.bounds(x, draws=3)
    np.testing.assert_allclose(columns.sum(axis=1), drawn["reconstruction"], rtol=1e-4, atol=1e-4)
    assert (scores > 0).any()


@pytest.mark.parametrize("keys", ["samples=3\n", "samples=3\ngradient=dreg\n"])
def test_several_draws_of_a_row_have_their_gradient(keys: str, device: str, network: Build) -> None:
    net = network(table_net().replace("beta=1\n", "beta=1\n" + keys), device=device)
    x = rows_of(48)
    losses = net.train(x, epochs=8).total_loss
    assert losses[-1] < losses[0]


# ---- [condition]

CLUSTERS = "number,number,category:3,yes_no"


def clusters(rows: int, seed: int = 0) -> A:
    """Three clusters, whose number is a column; the yes_no is noise."""
    random = np.random.default_rng(seed)
    codes = random.integers(3, size=rows)
    centres = np.array([[-3, 0], [0, 3], [3, 0]])[codes] + 0.2 * random.normal(size=(rows, 2))
    return np.column_stack([centres, codes, random.integers(2, size=rows)]).astype(np.float32)


def decode(net: dv.Network, z: A, condition: A | None, seed: int | None = None) -> A:
    z, out = np.ascontiguousarray(z, np.float32), np.empty((len(z), net.inputs), np.float32)
    given = ffi.NULL if condition is None else pointer(condition)
    rows = ffi.new("dn_rows *", {"n": len(z), "x": pointer(z), "condition": given})
    if seed is None:
        checked(lib.dn_net_decode(net._handle, rows, pointer(out)))
    else:
        checked(lib.dn_net_decode_draw(net._handle, rows, seed, pointer(out)))
    return out


@pytest.fixture
def conditional(network: Build) -> Callable[..., dv.Network]:
    def build(device: str) -> dv.Network:
        text = table_net(CLUSTERS, 3, "names=x,y,cluster,noise\n", condition="[condition]\ncolumns=cluster\n")
        net = network(text, seed=1)
        net.train(clusters(600), epochs=40)
        if device == "cpu":
            return net
        net.save("trained.safetensors")
        return dv.Network.load("trained.safetensors", device=device)

    return build


def test_the_condition_says_which_cluster_is_decoded(device: str, conditional: Callable[..., dv.Network]) -> None:
    net = conditional(device)
    assert net.evaluate(clusters(200, seed=2))["latent_loss"] < 2.5, "z need not tell the clusters apart"
    given = np.full((3, 4), np.nan, np.float32)
    given[:, 2] = [0, 1, 2]
    z = np.zeros((3, 3), np.float32)
    mean = decode(net, z, given)
    np.testing.assert_allclose(mean[:, :2], [[-3, 0], [0, 3], [3, 0]], atol=0.5)
    np.testing.assert_array_equal(mean[:, 2], [0, 1, 2])
    many = np.repeat(given, 700, axis=0)
    drawn = decode(net, np.zeros((2100, 3)), many, seed=3)
    np.testing.assert_array_equal(drawn[:, 2], many[:, 2])
    np.testing.assert_allclose(drawn.reshape(3, 700, 4)[:, :, :2].mean(axis=1), mean[:, :2], atol=0.1)


def test_rows_carry_their_condition(device: str, conditional: Callable[..., dv.Network]) -> None:
    net = conditional(device)
    x = clusters(50, seed=5)
    moved = x.copy()
    moved[:, 2] = (moved[:, 2] + 1) % 3
    np.testing.assert_array_equal(net.reconstruct(x)[:, 2], x[:, 2])
    z, _ = net.encode(x)
    np.testing.assert_allclose(decode(net, z, x), net.reconstruct(x), rtol=1e-5, atol=1e-5)
    assert np.abs(decode(net, z, moved)[:, :2] - net.reconstruct(x)[:, :2]).max() > 1
    walk = net.interpolate(x[0], x[1], steps=5)
    assert list(walk[:, 2]) == [x[0, 2]] * 3 + [x[1, 2]] * 2
    assert set(net.traverse(1, around=x[0], steps=3)[:, 2]) == {x[0, 2]}


def test_the_layer_appends_the_expanded_values(device: str, network: Build) -> None:
    condition = "[condition]\ncolumns=cluster,y\n"
    net = network(table_net(CLUSTERS, 2, "names=x,y,cluster,noise\nmissing=1\n", condition=condition), device=device)
    x = clusters(16)
    x[::3, 2] = x[1::4, 1] = np.nan
    net.forward(x, x)
    expected = expanded(x, CLUSTERS)  # x y, flags of x y, noise, cluster
    np.testing.assert_array_equal(net.layers[4].output[:, 3:], expected[:, [5, 6, 7, 1, 3]])
    np.testing.assert_array_equal(net.layers[4].output[:, :3], net.layers[3].output)


def test_what_is_given_is_not_modelled(network: Build, conditional: Callable[..., dv.Network]) -> None:
    net = conditional("cpu")
    x = clusters(40)
    other = x.copy()
    other[:, 2] = np.nan
    net.forward(x[:16], x[:16])
    cost = net.cost
    net.forward(x[:16], other[:16])
    assert net.cost == cost
    assert math.isfinite(net.evaluate(x, k=3)["log_likelihood"])


def test_several_draws_repeat_the_condition(device: str, network: Build) -> None:
    """The gradient of their bound, by a decoder that reads the expanded rows."""
    text = table_net(CLUSTERS, 3, condition="[condition]\ncolumns=2\n").replace("beta=1\n", "beta=1\nsamples=3\n")
    net = network(text, device=device)
    losses = net.train(clusters(300), epochs=3 if device == "cuda" else 30).total_loss
    assert losses[-1] < (0.9 if device == "cuda" else 0.5) * losses[0]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (None, "latents alone cannot be decoded: the network has a \\[condition\\]"),
        (3.0, "condition is 3 at row 2, column 3, 'cluster'"),
    ],
)
def test_decoding_without_a_condition_is_one_clear_error(
    condition: float | None, message: str, device: str, conditional: Callable[..., dv.Network]
) -> None:
    net = conditional(device)
    rows = np.full((2, 4), np.inf, np.float32)
    rows[:, 2] = [0, condition or 0]
    with pytest.raises(ValueError, match=message):
        decode(net, np.zeros((2, 3)), None if condition is None else rows)


# ---- errors

ERRORS = {
    "output": (table_net(output=51), "the columns take 52 values per row, but layer 5 [connected] gives 51: output=52"),
    "value": (table_net(cost="sigma=value\n"), "take 54 values per row (sigma=value: two for a number)"),
    "kind": (table_net("number,catgory:3", 4), "kind 2, 'catgory:3', is not number, yes_no or category:N"),
    "classes": (table_net("number,category:1", 2), "kind 2, 'category:1': the number of classes is not in 2 to"),
    "many classes": (table_net("category:99999999999", 2), "the number of classes is not in 2 to"),
    "names": (table_net(columns="names=a,b\n"), "names= has 2 names, but kinds= 7 kinds"),
    "twice": (table_net("number,number", 2, "names=a,a\n"), "columns 1 and 2 have the same name, 'a'"),
    "quote": (table_net("number,number", 2, 'names=a,"b\n'), "name 2 begins with a quote that is not closed"),
    "inputs": (table_net(net="inputs=9\n"), "kinds= has 7 columns, but inputs=9"),
    "noise": (table_net(net="noise=0.1\n"), "noise= is for rows of plain numbers, not for the codes of [columns]"),
    "binarize": (table_net(net="binarize=static\n"), "binarize= is for rows of plain numbers"),
    "data_scale": (table_net(net="data_scale=255\n"), "data_scale= is for rows of plain numbers"),
    "missing": (table_net().replace(f"kinds={KINDS}\n", ""), "[columns] kinds= is missing"),
    "second": ("[net]\ninputs=7\n" + linear(7) + f"[columns]\nkinds={KINDS}\n", "is the first layer or none"),
    "cost": ("[net]\ninputs=7\n" + linear(7) + "[cost]\ntype=columns\n", "which is not the first layer"),
    "two costs": (table_net() + "[cost]\ntype=gaussian\n", "models all columns"),
    "another before": (table_net().replace("[cost]", "[cost]\ntype=gaussian\ncolumns=0-1\n[cost]"), "and stands alone"),
    "columns": (table_net(cost="columns=0-3\n"), "columns= has no place here"),
    "optimal": (table_net(cost="sigma=optimal\n"), "sigma=optimal is for type=gaussian"),
    "unknown": (table_net(columns="names=a,b,c,d,e,f,g\n", condition="[condition]\ncolumns=ee\n"), "'ee' is no column"),
    "number": (table_net(condition="[condition]\ncolumns=7\n"), "'7' is no column"),
    "given twice": (table_net(condition="[condition]\ncolumns=3,3\n"), "'3' is given twice"),
    "all": (table_net("number,yes_no", 1, condition="[condition]\ncolumns=0,1\n"), "[condition] gives all columns"),
    "no condition": (table_net(condition="[condition]\n"), "columns= is missing"),
    "alone": ("[net]\ninputs=7\n[condition]\ncolumns=1\n" + linear(7), "needs [columns] as the first layer"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_a_wrong_section_is_one_clear_error(case: str, network: Build) -> None:
    text, message = ERRORS[case]
    with pytest.raises(ValueError) as error:
        network(text)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (2, 2, "0 for no and 1 for yes"),
        (4, 5, "codes in this column"),
        (4, 0.5, "codes"),
        (6, -1, "codes"),
        (0, np.inf, "finite"),
    ],
)
def test_a_value_that_its_column_cannot_have_is_one_clear_error(
    column: int, value: float, message: str, device: str, network: Build
) -> None:
    net = network(table_net(columns="names=a,b,c,d,e,f,g\n"), device=device)
    x = rows_of(20)
    x[13, column] = value
    for job in (net.reconstruct, net.encode, net.evaluate, net.train):
        with pytest.raises(ValueError, match=message) as error:
            job(x)
        assert f"row 14, column {column + 1}, '{'abcdefg'[column]}' (counted from 1)" in str(error.value)


def test_the_baselines_of_evaluate_are_for_numbers_alone(network: Build) -> None:
    mixed = network(table_net()).evaluate(rows_of(40), latent=True)
    numbers = network(table_net("number,number,number", 3)).evaluate(rows_of(40, "number,number,number", missing=0), latent=True)
    assert mixed["baselines"]["pca_mse"] is None and mixed["baselines"]["network_mse"] is None
    assert numbers["baselines"]["mean_mse"] > 0 and numbers["baselines"]["network_mse"] > 0


@pytest.mark.parametrize("device", ["cpu", "fence"])
@pytest.mark.parametrize("rows", [None, 8])
def test_check_accepts_tables(rows: int | None, device: str, network: Build) -> None:
    for condition, output in (("", 52), ("[condition]\ncolumns=1,4\n", 46)):
        net = network(table_net(output=output, condition=condition), device=device)
        found = net.check(None if rows is None else rows_of(rows))
        assert not [line for line in found if line.ok is False], str(found)
        assert any(line.type == "columns" and line.what == "values" for line in found)


def test_other_networks_still_refuse_missing_values(network: Build) -> None:
    net = network("[net]\ninputs=2\n" + linear(2) + "[cost]\ntype=gaussian\n")
    with pytest.raises(ValueError, match="X is nan at row 0, column 1"):
        net.evaluate(np.array([[0, np.nan]], np.float32))
