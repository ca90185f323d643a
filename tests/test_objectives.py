"""What the latent loss weighs: warm-ups and cycles of beta, what reports say about them, and what is descended."""

from __future__ import annotations

import csv
import json
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path

import likelihoods
import numpy as np
import pytest
from helpers import ROOT, program
from test_gradients import Problem, check

import darknet_vae as dv
from darknet_vae import errors

Build = Callable[..., dv.Network]
CFG, CSV = str(ROOT / "cfg" / "vae_digits.cfg"), str(ROOT / "data" / "digits.csv")
VAE = """[net]
inputs=6
batch=8
learning_rate=0.01
momentum=0
decay=0
{net}
[connected]
output=4
activation=linear
[sampling]
{sampling}
[connected]
output=6
activation=linear
[cost]
"""
BETA = 0.8


def vae(sampling: str, net: str = "") -> str:
    return VAE.format(net=net, sampling=f"beta={BETA}\n" * ("beta=" not in sampling) + sampling)


def rows_of(n: int, columns: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, columns)).astype(np.float32)


def table(path: str) -> list[dict[str, float]]:
    with open(path, newline="") as file:
        return [{k: float(v or "nan") for k, v in row.items()} for row in csv.DictReader(file)]


def params(net: dv.Network) -> list[np.ndarray]:
    return [layer.params[name] for layer in net.layers for name in layer.params]


def assert_same(a: dv.Network, b: dv.Network) -> None:
    for ours, wanted in zip(params(a), params(b), strict=True):
        np.testing.assert_array_equal(ours, wanted)


def cycled(n: int, batches: int, cycles: int, ratio: float) -> float:
    """Fu et al., arXiv:1903.10145, equations 6 and 7; n counts from 1."""
    tau = (n - 1) % int(np.ceil(batches / cycles)) / (batches / cycles)
    return min(1.0, tau / ratio)


# ---- schedules of beta


@pytest.mark.parametrize(("warmup", "last"), [("4e", 20), ("20", 20), ("2e1", 20), ("3.5e", 17.5)])
def test_beta_rises_from_0_linearly_and_stays(warmup: str, last: float, device: str, network: Build) -> None:
    net, X = network(vae(f"beta_warmup={warmup}"), device=device), rows_of(37)  # 5 batches an epoch, the last one of 5 rows
    history = net.train(X, 6, log="log.csv", log_every=1)
    assert history.beta == pytest.approx([BETA * min(1, 5 * e / last) for e in range(1, 7)], rel=1e-12)
    assert history["beta"] == history.beta
    for row in table("log.csv"):
        beta = BETA * min(1, row["batch"] / last)
        assert row["beta"] == pytest.approx(beta, rel=1e-6)
        if not row["epoch_done"]:  # of one batch
            assert row["kl_cost"] == pytest.approx(beta * row["latent_loss"], rel=1e-5)
        assert row["image_loss"] + row["kl_cost"] == pytest.approx(row["total_loss"], rel=1e-6)


@pytest.mark.parametrize(("cycles", "ratio"), [(2, None), (3, 0.25), (1, 0.9), (7, 0.5)])
@pytest.mark.filterwarnings("ignore:the last batch had a beta")
def test_cycles_of_beta_divide_the_training(cycles: int, ratio: float | None, network: Build) -> None:
    keys = f"beta_cycles={cycles}\n" + (f"beta_cycle_ratio={ratio}\n" if ratio else "")
    X = rows_of(40)
    for net, epochs, all_batches in ((network(vae(keys)), 4, 20), (network(vae(keys, "max_batches=13")), None, 13)):
        net.train(X, epochs, log="log.csv", log_every=1)
        rows = [row for row in table("log.csv") if not row["epoch_done"]]
        wanted = [BETA * cycled(int(row["batch"]), all_batches, cycles, ratio or 0.5) for row in rows]
        assert [row["beta"] for row in rows] == pytest.approx(wanted, rel=1e-6)
        assert len(rows) == all_batches and wanted[0] == 0 and max(wanted) == BETA


def test_a_batch_descends_with_its_own_beta(network: Build) -> None:
    """Training with a warm-up is training with another constant beta in every batch."""
    X = rows_of(8)
    net = network(vae("beta_warmup=4"), seed=3)
    net.save("w.weights")
    net.train(X, 6, shuffle=False)
    for n in range(1, 7):
        Path("net.cfg").write_text(vae(f"beta={BETA * min(1, n / 4)!r}"))
        step = dv.Network.load("net.cfg", "w.weights", seed=3)
        step.train(X, 1, shuffle=False)
        step.save("w.weights")
    assert_same(net, step)


def test_every_sampling_layer_has_its_own_schedule(network: Build) -> None:
    second = "[connected]\noutput=4\nactivation=linear\n[sampling]\nbeta=0.3\nbeta_warmup=10\n[connected]\noutput=6\n"
    text = vae("beta_warmup=2e").replace("[connected]\noutput=6\n", second)
    history = network(text).train(rows_of(40), 3, log="log.csv")
    assert history.beta == pytest.approx([BETA / 2, BETA, BETA]) and history["beta_2"] == pytest.approx([0.15, 0.3, 0.3])
    for row in table("log.csv"):
        assert row["image_loss"] + row["kl_cost"] == pytest.approx(row["total_loss"], rel=1e-6)


def test_two_trainings_warm_up_as_one(network: Build) -> None:
    X = rows_of(40)
    whole, parts = network(vae("beta_warmup=4e"), seed=1), network(vae("beta_warmup=4e"), seed=1)
    history = whole.train(X, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = parts.train(X, 2)
    assert first.beta + parts.train(X, 2).beta == history.beta
    assert_same(whole, parts)


@pytest.mark.parametrize("keys", ["beta_warmup=4e", "beta_warmup=17", "beta_cycles=3"])
@pytest.mark.parametrize("net", ["", "subdivisions=2\noptimizer=adam"])
def test_a_resumed_training_has_the_betas_of_one_that_was_not_stopped(keys: str, net: str, network: Build) -> None:
    X, text = rows_of(43), vae(keys, net)
    whole = network(text, seed=1)
    history = whole.train(X, 6, holdout=0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        begun = network(text, seed=1).train(X, 6, holdout=0.2, checkpoint="c.safetensors", callback=lambda p: p.epoch == 2)
    resumed = network(text, seed=1)
    rest = resumed.train(X, 6, holdout=0.2, resume="c.safetensors")
    assert begun.beta + rest.beta == history.beta and begun.kl_cost + rest.kl_cost == history.kl_cost
    assert begun["valid_loss"] + rest["valid_loss"] == history["valid_loss"]
    assert_same(whole, resumed)


def test_a_resumed_training_with_more_epochs_keeps_its_cycles(network: Build) -> None:
    X, text = rows_of(40), vae("beta_cycles=2")
    before = network(text).train(X, 4, checkpoint="c.safetensors").beta
    after = network(text).train(X, 6, resume="c.safetensors").beta
    assert before[1] == pytest.approx(BETA * min(1, 9 % 10 / 10 / 0.5)) and after == [BETA, BETA]


def test_a_schedule_can_be_continued_after_weights(network: Build) -> None:
    X = rows_of(40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network(vae("beta_warmup=4e")).train(X, 2)
        net = network(vae("beta_warmup=4e"))
        net.train(X, 2)
        net.save("w.weights")
        anew = dv.Network.load("net.cfg", "w.weights").train(X, 2)
        goes_on = dv.Network.load("net.cfg", "w.weights").train(X, 2, continues=True)
    assert anew.beta == pytest.approx([BETA / 4, BETA / 2]) and goes_on.beta == pytest.approx([BETA * 3 / 4, BETA])


# ---- what is said about them


@pytest.mark.parametrize(
    ("keys", "epochs", "begins"),
    [
        ("beta=1\nbeta_warmup=10e", 5, "10 epochs is longer than the 5 epochs of this training: beta ends at 0.5 of 1"),
        ("beta=1\nbeta_warmup=50", 5, "50 batches is longer than the 25 batches of this training: beta ends at 0.5 of 1"),
        ("beta=4\nbeta_warmup=2e", 1, "2 epochs is longer than the 1 epoch of this training: beta ends at 2 of 4"),
    ],
)  # fmt: skip
def test_a_warm_up_that_outlives_the_training_is_a_warning(keys: str, epochs: int, begins: str, network: Build) -> None:
    with pytest.warns() as heard:
        network(vae(keys)).train(rows_of(40), epochs)
    first, last = "; ".join(str(w.message) for w in heard).split("; ")
    assert first == f"the warm-up of {begins}" and last.startswith("the last batch had a beta of") and "below its target" in last


def test_a_warm_up_that_ends_with_the_training_is_no_warning(network: Build) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for keys in ("beta_warmup=5e", "beta_warmup=25", "beta_warmup=0", "beta=0\nbeta_warmup=99e", "beta_cycles=5"):
            network(vae(keys)).train(rows_of(40), 5)


def test_a_training_that_stops_in_its_warm_up_says_so_at_the_end(network: Build) -> None:
    with pytest.warns(UserWarning, match=r"^the last batch had a beta of 0\.0\d+, below its target of 0\.8"):
        network(vae("beta_warmup=1000000e")).train(rows_of(40), max_seconds=0.05)


def test_the_line_shows_beta_while_it_moves(network: Build) -> None:
    seen: list[str] = []
    network(vae("beta_warmup=2e")).train(rows_of(40), 2, callback=lambda p: seen.append(p.line))
    assert [line.split("  beta ")[1].split()[0] for line in seen] == ["0.4", "0.8"]
    network(vae("")).train(rows_of(40), 1, callback=lambda p: seen.append(p.line))
    assert "beta" not in seen[2] and "  kl_cost " in seen[2]


@pytest.mark.parametrize("kind", ["binary", "python"])
def test_reports_of_both_programs_have_the_cost_of_the_kl(kind: str) -> None:
    words = [CFG, CSV, "-epochs", "2", "-set", "sampling.beta_warmup=2e", "-save", "w.weights", "-no-latents", "-quiet", "-json"]
    trained = json.loads(subprocess.run([*program(kind), "train", *words], check=True, capture_output=True, text=True).stdout)
    assert trained["image_loss"] + trained["kl_cost"] == pytest.approx(trained["total_loss"], rel=1e-6)
    assert 0 < trained["kl_cost"] < 0.05 * trained["latent_loss"] and trained["beta"] == 0.05
    words = [CFG, CSV, "-weights", "w.weights", "-json"]
    found = json.loads(subprocess.run([*program(kind), "evaluate", *words], check=True, capture_output=True, text=True).stdout)
    assert found["kl_cost"] == pytest.approx(0.05 * found["latent_loss"], rel=1e-6)
    assert found["image_loss"] + found["kl_cost"] == pytest.approx(found["total_loss"], rel=1e-6)


def lines_of(path: str) -> list[dict[str, float]]:
    return table(path) if path.endswith(".csv") else [json.loads(line) for line in Path(path).read_text().splitlines()]


@pytest.mark.parametrize(("kind", "log"), [("binary", "log.csv"), ("python", "log.jsonl")])
def test_parts_of_large_losses_add_up_in_all_that_programs_read(kind: str, log: str) -> None:
    """784 columns, as those of MNIST: losses of hundreds, of which a float's nine digits are not enough."""

    def done(verb: str, *words: str) -> str:
        done = subprocess.run([*program(kind), verb, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    columns = 784
    Path("net.cfg").write_text(vae("beta_warmup=3e").replace("=6", f"={columns}") + "type=gaussian\n")
    X = rows_of(50, columns).round(3)
    np.savetxt("x.csv", X, fmt="%.3f", delimiter=",")
    words = ["net.cfg", "x.csv", "-epochs", "4", "-lr", "1e-4", "-holdout", "0.2", "-log", log, "-log-every", "1"]
    trained = json.loads(done("train", *words, "-save", "w.weights", "-no-latents", "-quiet", "-json"))
    logged = lines_of(log)
    assert len(logged) == 24 and len({row["beta"] for row in logged}) > 10
    words = ["net.cfg", "x.csv", "-weights", "w.weights", "-json"]
    found = json.loads(done("evaluate", *words, "-k", "3"))
    for report in [trained, *logged, found]:
        assert report["total_loss"] > 100 and report["kl_cost"] > 0
        assert report["image_loss"] + report["kl_cost"] == pytest.approx(report["total_loss"], rel=0, abs=1e-6)
    for report in (row for row in logged if row["epoch_done"]):
        parts = report["valid_image_loss"] + report["valid_kl_cost"]
        assert parts == pytest.approx(report["valid_loss"], rel=0, abs=1e-6)
    assert found["reconstruction"] + found["kl"] == pytest.approx(-found["elbo"], rel=0, abs=1e-6)
    for row in map(json.loads, done("score", *words).splitlines()):
        assert row["reconstruction"] + row["kl"] == pytest.approx(row["score"], rel=0, abs=1e-6)
    exact = dv.Network.load("net.cfg", "w.weights").evaluate(X, k=3)
    assert {name: found[name] for name in exact} == exact  # the same numbers, not about the same


def test_without_a_latent_loss_there_is_no_kl_cost(network: Build) -> None:
    net = network("[net]\ninputs=6\nbatch=8\n[connected]\noutput=6\nactivation=linear\n[cost]\n")
    history = net.train(rows_of(16), 1, log="log.csv", holdout=0.25)
    assert history.kl_cost == [] and history.beta == [] and "kl_cost" not in net.evaluate(rows_of(16))
    assert not any("kl" in name for name in table("log.csv")[0])


def test_columns_of_earlier_logs_stay_where_they_were(network: Build) -> None:
    """Counted from the front, and the times from the back."""
    network(vae("")).train(rows_of(40), 1, holdout=0.2, log="log.csv")
    assert list(table("log.csv")[0]) == [
        "epoch", "batch", "rows", "epoch_done", "image_loss", "latent_loss", "total_loss", "valid_image_loss",
        "valid_latent_loss", "valid_loss", "learning_rate", "beta", "kl_cost", "valid_kl_cost", "seconds", "rows_per_second",
    ]  # fmt: skip


def test_held_out_rows_are_weighted_with_the_target(network: Build) -> None:
    net, X = network(vae("beta_warmup=1000e")), rows_of(50)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        history = net.train(X, 2, holdout=0.2, log="log.csv")
    found = net.evaluate(X[net.held_out(50, 0.2)])
    assert found["kl_cost"] == pytest.approx(BETA * found["latent_loss"], rel=1e-6)
    assert history.valid_loss[-1] == pytest.approx(found["total_loss"], rel=1e-6)
    row = table("log.csv")[-1]
    assert row["valid_kl_cost"] == pytest.approx(found["kl_cost"], rel=1e-6)
    assert row["kl_cost"] < 0.01 * row["latent_loss"]
    assert net.row_losses(X)["total_loss"].mean() == pytest.approx(net.evaluate(X)["total_loss"], rel=1e-5)


@pytest.mark.parametrize(("keys", "stops"), [("beta_warmup=6e", 7), ("", 3), ("beta_warmup=27", 7), ("beta_warmup=31", 8)])
def test_patience_counts_once_beta_has_reached_its_target(keys: str, stops: int, network: Build) -> None:
    net, X = network(vae(keys).replace("learning_rate=0.01", "learning_rate=0")), rows_of(50)
    history = net.train(X, 20, holdout=0.2, patience=2)  # nothing improves: the first epoch remains the best
    assert len(history.total_loss) == stops and history.stopped == "patience"


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("beta_warmup=2.5", "beta_warmup=2.5: give a number of batches, such as 5000, or of epochs, such as 10e"),
        ("beta_warmup=e", "beta_warmup=e: give a number"),
        ("beta_warmup=-1e", "beta_warmup=-1e: give a number"),
        ("beta_warmup=5 epochs", "beta_warmup=5 epochs: give a number"),
        ("beta_warmup=nan", "beta_warmup=nan: give a number"),
        ("beta_warmup=3e\nbeta_cycles=2", "beta_warmup= and beta_cycles= contradict each other"),
        ("beta_cycles=-1", "beta_cycles=-1"),
        ("beta_cycles=2\nbeta_cycle_ratio=0", "beta_cycle_ratio=0 is not above 0"),
        ("beta_cycles=2\nbeta_cycle_ratio=1.5", "beta_cycle_ratio=1.5 is above 1"),
        ("beta_cycle_ratio=0.3", "give beta_cycles= too"),
    ],
)
def test_keys_that_cannot_be_are_errors_with_their_line(keys: str, says: str, network: Build) -> None:
    with pytest.raises(errors.FormatError, match=r"net\.cfg:\d+: ") as raised:
        network(vae(keys))
    assert says in str(raised.value)


def test_cycles_need_a_training_that_ends(network: Build) -> None:
    net = network(vae("beta_cycles=2"))
    with pytest.raises(
        errors.UsageError, match=r"net\.cfg:11: beta_cycles=2 divides a training of unknown length: give epochs, or"
    ):
        net.train(rows_of(40), max_seconds=1)
    assert net.seen == 0 and Path("net.cfg").exists()


# ---- free bits and capacity


def kl_of(net: dv.Network, X: np.ndarray) -> np.ndarray:
    """The KL of every row and latent value."""
    mean, lv = (a.astype(np.float64) for a in net.encode(X))
    return np.asarray(0.5 * (np.exp(lv) + mean**2 - 1 - lv))


COSTS: dict[str, Callable[[np.ndarray], float]] = {
    "free_bits=5": lambda kl: float(np.maximum(5, kl.mean(0)).sum()),
    "free_bits_total=9": lambda kl: float(np.maximum(9, kl.sum(1)).mean()),
    "capacity=11": lambda kl: float(np.abs(kl.sum(1) - 11).mean()),
    "capacity=0": lambda kl: float(kl.sum(1).mean()),
    "free_bits=0": lambda kl: float(kl.sum(1).mean()),
}


@pytest.mark.parametrize("keys", COSTS)
def test_the_cost_of_a_latent_loss_with_a_limit(keys: str, device: str, network: Build) -> None:
    """Of all rows together, however they are cut into passes; and in training of every batch."""
    net, X = network(vae(keys), device=device, seed=2), 2 * rows_of(37)
    kl = kl_of(net, X)
    assert kl.mean(0).min() < 5 < kl.mean(0).max() and kl.sum(1).min() < 9 < 11 < kl.sum(1).max()
    found = net.evaluate(X)
    assert found["latent_loss"] == pytest.approx(kl.sum(1).mean(), rel=1e-5)
    assert found["kl_cost"] == pytest.approx(BETA * COSTS[keys](kl), rel=1e-5)
    assert found["image_loss"] + found["kl_cost"] == pytest.approx(found["total_loss"], rel=1e-6)
    assert net.evaluate(X[:5])["kl_cost"] == pytest.approx(BETA * COSTS[keys](kl[:5]), rel=1e-5)
    rows = net.row_losses(X)
    assert rows["total_loss"].mean() == pytest.approx(found["total_loss"], rel=1e-5)
    if not keys.startswith("free_bits=5"):
        one = [BETA * COSTS[keys](kl[r : r + 1]) for r in range(37)]
        np.testing.assert_allclose(rows["total_loss"] - rows["image_loss"], one, rtol=1e-3, atol=1e-4)
    history = net.train(X, 1, shuffle=False, learning_rate=1e-30, holdout=0, log="log.csv")
    batches = [kl[at : at + 8] for at in range(0, 37, 8)]
    wanted = np.average([BETA * COSTS[keys](part) for part in batches], weights=[len(part) for part in batches])
    assert history.kl_cost[0] == pytest.approx(wanted, rel=1e-5)
    assert history.image_loss[0] + history.kl_cost[0] == pytest.approx(history.total_loss[0], rel=1e-6)


@pytest.mark.parametrize("keys", ["free_bits=0.4", "free_bits_total=0.9", "capacity=1.1"])
def test_held_out_rows_cost_what_evaluate_says_also_in_slices(keys: str, network: Build) -> None:
    net, X = network(vae(keys)), rows_of(2100)
    history = net.train(X, 2, holdout=0.6, log="log.csv")
    found = net.evaluate(X[net.held_out(2100, 0.6)])
    assert history.valid_loss[-1] == pytest.approx(found["total_loss"], rel=1e-6)
    assert table("log.csv")[-1]["valid_kl_cost"] == pytest.approx(found["kl_cost"], rel=1e-6)


def test_values_with_free_bits_are_not_pulled_towards_the_prior(network: Build) -> None:
    X = rows_of(400)
    text = vae("beta=8", "optimizer=adam")
    pulled, free = network(text), network(text.replace("beta=8", "beta=8\nfree_bits=0.5"))
    pulled.train(X, 30)
    free.train(X, 30)
    assert kl_of(pulled, X).mean(0).max() < 0.1 < 0.3 < kl_of(free, X).mean(0).min()


def test_a_capacity_is_reached(network: Build) -> None:
    net, X = network(vae("beta=10\ncapacity=2.5\ncapacity_batches=20e", "optimizer=adam")), rows_of(400)
    net.train(X, 60)
    assert kl_of(net, X).sum(1).mean() == pytest.approx(2.5, abs=0.3)


def test_a_capacity_rises_linearly(network: Build) -> None:
    net, X = network(vae("capacity=50\ncapacity_batches=4e")), rows_of(40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.train(X, 5, log="log.csv", log_every=1)
    for row in table("log.csv"):
        if not row["epoch_done"]:  # every KL is far below or above the capacity
            gap = 50 * min(1, row["batch"] / 20) - row["latent_loss"]
            assert row["batch"] < 5 or gap > 0
            assert row["batch"] < 5 or row["kl_cost"] == pytest.approx(BETA * gap, rel=1e-5)
    with pytest.warns(
        UserWarning, match="the rise of 9 epochs is longer than the 3 epochs of this training: capacity ends at 1 of 3"
    ):
        network(vae("capacity=3\ncapacity_batches=9e")).train(X, 3)


@pytest.mark.parametrize("keys", ["free_bits=0.4", "capacity=1.1\ncapacity_batches=3e", "free_bits_total=0.9"])
def test_limits_have_the_same_bits_for_any_number_of_threads_and_after_a_resume(keys: str, network: Build) -> None:
    X, text = rows_of(300), vae(keys).replace("batch=8", "batch=64")
    nets = [network(text, seed=1, threads=threads) for threads in (1, 2)]
    for net in nets:
        net.train(X, 4)
    assert_same(*nets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network(text, seed=1).train(X, 4, checkpoint="c.safetensors", callback=lambda p: p.epoch == 2)
    resumed = network(text, seed=1)
    resumed.train(X, 4, resume="c.safetensors")
    assert_same(nets[0], resumed)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("free_bits=0.5\nfree_bits_total=1", "free_bits= and free_bits_total= contradict each other"),
        ("free_bits=0.5\ncapacity=1", "free_bits= and capacity= contradict each other"),
        ("free_bits_total=0.5\ncapacity=0", "free_bits_total= and capacity= contradict each other"),
        ("capacity_batches=5", "capacity_batches= says how long capacity= rises: give that too"),
        ("capacity=1\ncapacity_batches=x", "capacity_batches=x: give a number of batches"),
        ("free_bits=-1", "free_bits=-1 is below 0"),
    ],
)
def test_limits_that_cannot_be_are_errors(keys: str, says: str, network: Build) -> None:
    with pytest.raises(errors.FormatError, match=r"net\.cfg:\d+: ") as raised:
        network(vae(keys))
    assert says in str(raised.value)


@pytest.mark.parametrize("keys", ["free_bits=1", "free_bits_total=1", "capacity=1"])
def test_a_bound_with_several_draws_has_no_limits(keys: str, network: Build) -> None:
    with pytest.raises(errors.FormatError, match=r"samples=3 with free bits or a capacity: a bound on ln p\(x\) has neither"):
        network(vae(f"beta=1\nsamples=3\n{keys}") + "type=bce\n")


# ---- the bound of log-variances


def limited(limit: float, sampling: str = "") -> str:
    """A latent space of 3 whose log-variances reach far beyond `limit`."""
    return vae(f"log_variance_limit={limit}\n{sampling}").replace("output=4", "output=6")


def latents(net: dv.Network, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the sampling layer reads: raw log-variances, and means."""
    net.forward(X, X)
    read = net.layers[0].output[: len(X)].astype(float)
    return read[:, :3], read[:, 3:]


@pytest.mark.parametrize("limit", [0.5, 4, 14])
@pytest.mark.parametrize("prior", ["", "prior=mixture\ncomponents=4\n"])
def test_log_variances_are_bounded_from_their_limit_on(limit: float, prior: str, device: str, network: Build) -> None:
    net, X = network(limited(limit, prior), device=device), rows_of(8)
    net.layers[0].set("weights", np.random.default_rng(1).normal(size=(6, 6)) * 0.8 * (limit + 1))
    raw, means = latents(net, X)
    lv = likelihoods.bounded(raw, limit)
    assert (np.abs(raw) > limit).mean() > 0.3 and (np.abs(raw) < limit).any()
    found_means, found = net.encode(X)
    np.testing.assert_allclose(found, lv, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found_means, means, rtol=1e-5, atol=1e-5)
    eps = np.random.default_rng(2).normal(size=(8, 3)).astype(np.float32)
    net.set_noise(1, eps)
    net.forward(X, X, train=True)
    np.testing.assert_allclose(net.layers[1].output[:8], means + np.exp(lv / 2) * eps, rtol=2e-5, atol=1e-4)
    if not prior:
        kl = 0.5 * (np.exp(lv) + means**2 - 1 - lv).sum(1)
        np.testing.assert_allclose(net.row_losses(X)["latent_loss"], kl, rtol=2e-5)


@pytest.mark.parametrize("limit", [0.5, 12])
@pytest.mark.parametrize("keys", ["", "free_bits=2.5\n", "capacity=9\n", "free_bits_total=2\n", "prior=mixture\n"])
def test_gradients_of_bounded_log_variances(limit: float, keys: str, device: str, network: Build) -> None:
    problem = Problem(network(limited(limit, keys), device=device), 5)
    layer, name = problem.tensors[0]
    layer.set(name, layer.params[name] * limit)
    check(problem, problem.gradients(), together=device != "cpu")


@pytest.mark.parametrize("keys", ["", "gradient=dreg\n", "prior=mixture\n"])
def test_bounded_log_variances_of_several_draws(keys: str, device: str, network: Build) -> None:
    """Limits that no number reaches train alike, and `check` differentiates one that all reach."""
    X, text = rows_of(5), limited(10, f"samples=3\n{keys}").replace(f"beta={BETA}", "beta=1")
    text = text.replace("[cost]", "[cost]\ntype=gaussian")
    nets = [network(text.replace("limit=10", f"limit={limit}"), device=device) for limit in (10, 20, 0.02)]
    for net in nets:
        net.train(X, 2)
    plain, high, low = map(params, nets)
    for a, b in zip(plain, high, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-7)
    assert not all(np.allclose(b, a, rtol=1e-4) for a, b in zip(plain, low, strict=True))
    if device == "cuda":
        on_cpu = network(text.replace("limit=10", "limit=0.02"), device="cpu")
        on_cpu.train(X, 2)
        for a, b in zip(low, params(on_cpu), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    elif "dreg" not in keys:  # whose gradient is no derivative of one pass
        found = nets[2].check(X)
        assert found, found.failed


def test_the_limit_of_log_variances_is_checked(network: Build) -> None:
    for limit in ("0", "-1", "31", "nan"):
        with pytest.raises(errors.FormatError, match=r"net.cfg:\d+: .*log_variance_limit"):
            network(limited(10).replace("limit=10", f"limit={limit}"))
    with pytest.warns(UserWarning, match="log_variance_limit= has no effect without sigma=learned, column or value"):
        network(vae("").replace("[cost]\n", "[cost]\ntype=gaussian\nsigma=2\nlog_variance_limit=3\n"))


@pytest.mark.parametrize("limit", [0.5, 3, 12])
def test_check_knows_the_limit(limit: float, network: Build) -> None:
    head = "[cost]\ntype=gaussian\nsigma=value\nlog_variance_limit=0.5"
    net = network(limited(limit).replace("output=6\nactivation=linear\n[cost]", f"output=12\nactivation=linear\n{head}"))
    found = net.check()
    assert found, found.failed
