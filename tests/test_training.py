"""Training over time: schedules at their edges, continuing where one stopped, failures on the way and how they are reported."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_kernels import c_test

import darknet_vae as dv
from darknet_vae import errors
from darknet_vae._lib import _heard, check, dn_rows, ffi, lib
from darknet_vae.training import _shown

Build = Callable[..., dv.Network]
AUTOENCODER = """[net]
inputs=6
batch=10
learning_rate=0.01
{net}
[connected]
output=4
activation=tanh
[connected]
output=6
activation=linear
[cost]
"""
NOISY = """[net]
inputs=6
batch=8
{net}
[connected]
output=4
activation=linear
[sampling]
[connected]
output=6
activation=linear
[cost]
"""
EVERYTHING = "optimizer=adamw\nclip_norm=0.5\nema=0.9\npolicy=plateau\npatience=0\nthreshold=0.3\nfactor=0.5"
KINDS = {
    "a VAE with noise": NOISY,
    "dropout and batch norm": """[net]
inputs=6
batch=8
{net}
[connected]
output=16
batch_normalize=1
activation=leaky
[dropout]
[connected]
output=6
activation=linear
[cost]
""",
    "a recurrent network": """[net]
inputs=6
batch=4
time_steps=2
{net}
[rnn]
output=5
[dropout]
[connected]
output=6
activation=linear
[cost]
""",
    "subdivisions": NOISY.replace("batch=8", "batch=8\nsubdivisions=4"),
}


def rows_of(n: int, columns: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, columns)).astype(np.float32)


def ae(network: Build, net: str = "", **options: object) -> dv.Network:
    return network(AUTOENCODER.format(net=net), **options)


def weights(net: dv.Network) -> bytes:
    net.save("w.weights")
    return Path("w.weights").read_bytes()


def values(net: dv.Network) -> bytes:
    return b"".join(layer.params[name].tobytes() for layer in net.layers for name in layer.params)


def moved(net: dv.Network, X: np.ndarray, epochs: int = 1) -> bool:
    before = values(net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.train(X, epochs)
    return values(net) != before


# ---- schedules


def test_a_schedule_is_a_function_of_the_batch_number_for_any_number() -> None:
    done = subprocess.run([str(c_test("test_schedule"))], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("power", ["4", "2", "1", "3", "0.5", "1e38"])
def test_the_rate_of_poly_is_0_at_its_end_and_stays_there(power: str, network: Build) -> None:
    net = ae(network, f"policy=poly\nmax_batches=20\npower={power}")
    X = rows_of(100)
    net.train(X, epochs=2)
    assert net.learning_rate == 0
    for _ in range(3):
        assert not moved(net, X, 20)
        assert net.learning_rate == 0


def test_epochs_beyond_the_end_of_poly_are_told_once(network: Build) -> None:
    X = rows_of(200)
    told = r"policy=poly ends at max_batches=100, which is epoch 5: epochs 6 to 60 do not change the weights; .*max_batches"
    with pytest.warns(UserWarning, match=told) as caught:
        ae(network, "policy=poly\nmax_batches=100").train(X, epochs=60)
    assert len(caught) == 1 and caught[0].filename == __file__  # where train was called
    with pytest.warns(UserWarning, match="which is epoch 5: epoch 6 does not change the weights; give a larger"):
        ae(network, "policy=poly\nmax_batches=100").train(X, epochs=6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ae(network, "policy=poly\nmax_batches=100").train(X, epochs=5)
        ae(network, "policy=poly\nmax_batches=100").train(X)
    net = ae(network, "policy=poly\nmax_batches=100")
    net.train(X)
    with pytest.warns(UserWarning, match=r"policy=poly ended at max_batches=100.*does not change the weights"):
        net.train(X, epochs=1)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("learning_rate=1e999", "learning_rate=1e999"),
        ("learning_rate=inf", "learning_rate=inf"),
        ("learning_rate=nan", "learning_rate=nan"),
        ("learning_rate=1e300", "learning_rate=1e300 is beyond"),
        ("policy=exp\ngamma=-0.5", "gamma=-0.5 is below 0"),
        ("policy=step\nscale=-0.1", "scale=-0.1 is below 0"),
        ("policy=steps\nsteps=10,20\nscales=0.1,-0.1", "scales=.*-0.1 is below 0"),
        ("policy=steps\nsteps=10,20\nscales=0.1,1e39", "scales=.*1e39"),
        ("policy=steps\nsteps=20,10\nscales=0.1,0.1", "steps=20,10.*ascend"),
        ("policy=poly\nmax_batches=10\npower=-1", "power=-1 is below 0"),
        ("policy=random\npower=-1", "power=-1 is below 0"),
        ("burn_in=10\npower=-1", "power=-1 is below 0"),
        ("decay=-1", "decay=-1 is below 0"),
    ],
)
def test_a_schedule_that_would_leave_all_bounds_is_an_error_of_the_cfg(keys: str, message: str, network: Build) -> None:
    text = AUTOENCODER.format(net=keys)
    if keys.startswith("learning_rate"):
        text = text.replace("learning_rate=0.01\n", "")
    with pytest.raises(errors.FormatError, match=rf"net\.cfg:\d+: \[net\] {message}"):
        network(text)


@pytest.mark.parametrize(
    "keys",
    [
        "policy=steps\nsteps=-1,100,200\nscales=.1,10,.1",
        "policy=steps\nsteps=5,5\nscales=.1,10",
        "policy=sigmoid\ngamma=-0.1\nstep=10",
        "policy=sigmoid\ngamma=1e38\nstep=10",
        "policy=sigmoid\ngamma=-1e38\nstep=10",
        "policy=exp\ngamma=0",
        "policy=random\npower=0",
        "policy=random\npower=1e38",
        "burn_in=1000\npower=0",
        "burn_in=1000\npower=1e38",
        "policy=poly\nmax_batches=3\npower=0",
        "policy=poly\nmax_batches=3\nburn_in=1000",
        "policy=constant\npower=-1\ngamma=-1",
    ],
)
def test_rates_are_finite_and_never_below_0(keys: str, network: Build) -> None:
    net = ae(network, keys)
    X = rows_of(30)
    for _ in range(15):
        assert np.isfinite(net.learning_rate) and 0 <= net.learning_rate <= 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net.train(X, 1)
    assert np.isfinite(np.frombuffer(values(net), np.float32)).all()


@pytest.mark.parametrize("keys", ["policy=exp\ngamma=1e30", "policy=step\nstep=1\nscale=1e30"])
def test_a_rate_that_grows_beyond_float32_ends_the_training_with_a_sentence(keys: str, network: Build) -> None:
    net = ae(network, keys)
    net.train(rows_of(10) * 0, epochs=1)  # nothing to learn: weights stay finite
    with pytest.raises(errors.NumericError, match=r"the learning rate of batch [23] is beyond float32"):
        for _ in range(3):
            net.train(rows_of(10) * 0, epochs=1)
    assert np.isfinite(np.frombuffer(values(net), np.float32)).all() and np.isfinite(net.learning_rate)


@pytest.mark.parametrize("factor", ["-1", "1e39"])
def test_a_layers_rate_below_0_or_beyond_float32_is_an_error(factor: str, network: Build) -> None:
    with pytest.raises(errors.FormatError, match=r"net\.cfg:\d+: \[connected\] learning_rate="):
        network(AUTOENCODER.format(net="").replace("output=4", f"output=4\nlearning_rate={factor}"))


@pytest.mark.parametrize("rate", [float("inf"), float("nan"), -1.0, 1e300])
def test_a_learning_rate_given_to_train_is_a_positive_float32(rate: float, network: Build) -> None:
    with pytest.raises(errors.UsageError, match="learning_rate="):
        ae(network).train(rows_of(10), epochs=1, learning_rate=rate)


def test_a_learning_rate_given_to_train_does_not_stay(network: Build) -> None:
    net = ae(network)
    seen = []
    net.train(rows_of(10), epochs=1, learning_rate=0.5, callback=lambda p: seen.append(p.learning_rate))
    assert seen == [0.5] and net.learning_rate == 0.01
    with pytest.raises(RuntimeError):
        net.train(rows_of(10), epochs=3, learning_rate=0.5, callback=raising(RuntimeError("stop")))
    assert net.learning_rate == 0.01


def raising(error: Exception) -> Callable[[dv.Progress], bool]:
    def callback(progress: dv.Progress) -> bool:
        raise error

    return callback


# ---- going on


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("net_keys", ["momentum=0.9", "adam=1", EVERYTHING])
@pytest.mark.parametrize("holdout", [0.0, 0.25])
def test_training_four_epochs_is_training_two_twice(
    kind: str, net_keys: str, holdout: float, device: str, network: Build
) -> None:
    X = rows_of(40)
    once, twice, looped = (network(KINDS[kind].format(net=net_keys), seed=5, device=device, threads=k) for k in (2, 1, 2))
    once.train(X, 4, holdout=holdout)
    twice.train(X, 2, holdout=holdout)
    twice.train(X, 2, holdout=holdout)
    for _ in range(4):
        looped.train(X, 1, holdout=holdout)
    assert weights(once) == weights(twice) == weights(looped)
    assert once.seen == twice.seen == 4 * len(X) * (1 - holdout)
    for net in (once, twice, looped):  # the same moments: a further epoch goes the same way
        net.train(X, 1, holdout=holdout)
    assert weights(once) == weights(twice) == weights(looped)
    assert values(once) == values(twice) == values(looped)  # with averages these are others
    assert once.learning_rate == twice.learning_rate == looped.learning_rate


def test_the_order_goes_on_after_weights_were_loaded(network: Build) -> None:
    X = rows_of(40)
    keys = "momentum=0"
    once, first, second = (ae(network, keys, seed=3) for _ in range(3))
    once.train(X, 3)
    first.train(X, 2)
    first.save("two.weights")
    second.load_weights("two.weights")
    assert second.seen == 80
    second.train(X, 1)
    assert weights(second) == weights(once)


def test_a_second_training_until_max_batches_trains_again(network: Build) -> None:
    net = ae(network, "policy=poly\nmax_batches=20\npower=1")
    X = rows_of(100)
    for k in (1, 2, 3):
        history = net.train(X)
        assert len(history.total_loss) == 2 and net.seen == 200 * k
        if k == 1:
            assert net.learning_rate == 0
    uneven = ae(network, "max_batches=12")
    for k in (1, 2):  # 15 rows are two batches: batches are counted, not rows
        uneven.train(rows_of(15))
        assert uneven.seen == 90 * k


def test_schedules_count_from_the_rows_found_in_a_weights_file(network: Build) -> None:
    X = rows_of(100)
    net = ae(network, "policy=steps\nsteps=15\nscales=0.1\nmax_batches=20")
    net.train(X)
    net.save("done.weights")
    assert net.learning_rate == pytest.approx(0.001)
    net.load_weights("done.weights")
    assert net.seen == 200 and net.learning_rate == pytest.approx(0.001)  # of steps by hand, as Darknet counts
    rates: list[float] = []
    net.train(X, callback=lambda progress: rates.append(progress.learning_rate))
    assert rates == pytest.approx([0.01, 0.001]) and net.seen == 400
    net.load_weights("done.weights", clear=True)
    assert net.seen == 0 and net.learning_rate == pytest.approx(0.01)


def test_continues_goes_on_with_darknets_schedule_and_says_when_nothing_is_left(network: Build) -> None:
    X = rows_of(100)
    net = ae(network, "policy=steps\nsteps=15\nscales=0.1\nmax_batches=20")
    net.train(X, epochs=1)
    net.save("half.weights")
    net.load_weights("half.weights")
    assert len(net.train(X, continues=True).total_loss) == 1
    assert net.seen == 200 and net.learning_rate == pytest.approx(0.001)
    before = values(net)
    with pytest.raises(errors.UsageError, match=r"nothing is left.*max_batches=20"):
        net.train(X, continues=True)
    assert values(net) == before and net.seen == 200
    net.train(X, 1, continues=True)
    assert net.seen == 300


# ---- what fails on the way


def test_a_preview_that_cannot_be_written_is_a_warning_and_training_goes_on(network: Build) -> None:
    Path("p_input_0.txt").mkdir()
    Path("p_output_2.txt").mkdir()
    X = rows_of(20)
    net, plain = ae(network), ae(network)
    plain.train(X, 4)
    with pytest.warns(UserWarning, match="preview") as caught:
        net.train(X, 4, preview="p.txt")
    texts = [str(w.message) for w in caught]  # the input's and the output's are two problems
    assert len(texts) == 2 and "p_input_0.txt" in texts[0] and "p_output_2.txt" in texts[1]
    assert Path("p_input_4.txt").is_file() and Path("p_output_4.txt").is_file() and Path("p_output_0.txt").is_file()
    assert weights(net) == weights(plain)
    with pytest.warns(UserWarning, match="nofolder") as caught:  # reported once, not once per epoch
        ae(network).train(X, 4, preview="nofolder/p.txt")
    assert len(caught) == 1 and "; " not in str(caught[0].message)


def test_no_memory_for_a_preview_is_a_warning(network: Build) -> None:
    def fail_next(progress: dv.Progress) -> None:  # the next epoch allocates nothing, so it is its preview's memory
        lib.dn_sys_fail_at(int(progress.epoch == 1))

    net = ae(network)
    with pytest.warns(UserWarning, match=r"preview of epoch 2 is not written: out of memory") as caught:
        net.train(rows_of(20), 3, preview="p.txt", callback=fail_next)
    assert net.seen == 60 and len(caught) == 1
    assert not Path("p_output_2.txt").exists() and Path("p_output_3.txt").exists()


def run_by_hand(net: dv.Network, X: np.ndarray, **options: object) -> tuple[Any, Any]:
    """A trainer of the C interface, and its progress."""
    given = ffi.new("dn_train_options *", {"shuffle": 1, **options})
    out = ffi.new("dn_trainer **")
    assert lib.dn_trainer_create(out, net._handle, dn_rows(X), given) == 0
    return ffi.gc(out[0], lib.dn_trainer_destroy), ffi.new("dn_progress *")


def test_a_failing_run_tells_the_finished_epochs(network: Build) -> None:
    X = rows_of(40)
    net = ae(network, "policy=exp\ngamma=30")
    trainer, p = run_by_hand(net, X, epochs=1000)
    status = 0
    while status == 0:
        p.epoch = 777
        good, seen = values(net), net.seen
        status = lib.dn_trainer_run(trainer, 100000, p)
    assert status == lib.DN_E_NUMERIC and 0 < p.epoch < 777
    assert values(net) == good and net.seen == seen == p.epoch * len(X)


def test_after_a_nan_weights_moments_and_seen_are_those_of_the_last_good_epoch(device: str, network: Build) -> None:
    X = rows_of(40)
    bad = X.copy()
    bad[-1] = 1e38
    for keys in ("momentum=0.9", "adam=1", EVERYTHING):
        net, good = (ae(network, keys, seed=2, device=device) for _ in range(2))
        for one in (net, good):
            one.train(X, 2)
        with pytest.raises(errors.NumericError):
            net.train(bad, 1, shuffle=False)
        assert net.seen == good.seen == 80 and net.learning_rate == good.learning_rate
        assert values(net) == values(good) and weights(net) == weights(good)
        for one in (net, good):
            one.train(X, 2)
        assert values(net) == values(good)


def test_the_time_left_is_that_of_the_epochs_left(network: Build) -> None:
    net = ae(network)
    told: list[tuple[int, float, float]] = []
    net.train(rows_of(500), 4, callback=lambda p: told.append((p.epoch, p.eta_seconds, p.rows_per_second)))
    for epoch, eta, rate in told:
        assert eta == pytest.approx((4 - epoch) * 500 / rate), epoch
    told.clear()
    ae(network, "max_batches=200").train(
        rows_of(500), callback=lambda p: told.append((p.epoch, p.eta_seconds, p.rows_per_second))
    )
    assert [epoch for epoch, _, _ in told] == [1, 2, 3, 4]
    for epoch, eta, rate in told:
        assert eta == pytest.approx((4 - epoch) * 500 / rate), epoch


# ---- a watch


@pytest.fixture
def watch() -> Iterator[Callable[[int], None]]:
    """watch(n): the n-th question of the core is answered by stop; 0: nobody watches."""
    count = [0, 0]

    @ffi.callback("int(void *)")
    def ask(context: object) -> int:
        count[0] += 1
        return int(count[0] >= count[1])

    def begin(n: int) -> None:
        count[:] = [0, n]
        lib.dn_watch(ask if n else ffi.cast("dn_watch_fn", 0), ffi.NULL)

    yield begin
    lib.dn_watch(ffi.cast("dn_watch_fn", 0), ffi.NULL)


DEEP = "[net]\ninputs={n}\nbatch={batch}\nsubdivisions={sub}\nadam=1\n"
DEEP += "[connected]\noutput={n}\nbatch_normalize={norm}\nactivation=tanh\n" * 6
DEEP += "[connected]\noutput={n}\nactivation=linear\n[sampling]\n[dropout]\nprobability=0.1\n"
DEEP += "[connected]\noutput={n}\nactivation=linear\n[cost]\n"


@pytest.mark.parametrize(("sub", "holdout", "norm"), [(1, 0.0, 0), (2, 0.0, 0), (1, 0.5, 0), (1, 0.0, 1), (2, 0.0, 1)])
def test_a_watched_training_stops_between_layers_and_goes_on_as_if_nothing_was(
    sub: int, holdout: float, norm: int, device: str, watch: Callable[[int], None], network: Build
) -> None:
    n, batch = (600, 256) if device == "cpu" else (120, 64)
    text = DEEP.format(n=n, batch=batch, sub=sub, norm=norm)
    X = rows_of(2 * batch + 10, n)
    whole, cut = (network(text, threads=1, seed=1, device=device) for _ in range(2))
    losses: list[dict[str, float]] = []
    whole.train(X, 2, holdout=holdout, callback=lambda p: losses.append(p.values))
    trainer, p = run_by_hand(cut, X, epochs=2, holdout=holdout)
    stops, found, ask = 0, [], 1
    while not p.finished:
        watch(ask if stops < 40 else 0)
        seen = cut.seen
        status = lib.dn_trainer_run(trainer, 600_000, p)
        watch(0)
        assert status in (0, lib.DN_E_INTERRUPTED)
        stops += status != 0
        ask = ask + 1 if status == 0 or cut.seen > seen else ask % 7 + 1  # what was undone may take longer than an answer
        if p.epoch_done:
            found.append(_shown(p.report))
    assert stops >= 1
    assert values(cut) == values(whole) and found == losses and cut.seen == whole.seen


def test_building_and_saving_are_watched(watch: Callable[[int], None], network: Build) -> None:
    text = "[net]\ninputs=4000\n[connected]\noutput=4000\n[connected]\noutput=4000\n"
    Path("large.cfg").write_text(text)
    out = ffi.new("dn_net **")
    watch(2)
    assert lib.dn_net_create(out, b"large.cfg", ffi.NULL) == lib.DN_E_INTERRUPTED and out[0] == ffi.NULL
    watch(0)
    net = dv.Network("large.cfg")
    net.save("large.weights")
    before = Path("large.weights").read_bytes()
    watch(1)
    assert lib.dn_net_save(net._handle, b"large.weights") == lib.DN_E_INTERRUPTED
    watch(1)
    assert lib.dn_net_load(net._handle, b"large.weights", 0) == lib.DN_E_INTERRUPTED
    watch(1)
    assert lib.dn_net_resize(net._handle, 0, 0, 7) == lib.DN_E_INTERRUPTED
    watch(0)
    assert net.batch == 1 and Path("large.weights").read_bytes() == before
    assert weights(net) == before


# ---- threads


class Held:
    """A call on `net` in another thread, which stays at work until the end of the `with`."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.began, self.end = threading.Event(), threading.Event()

        @ffi.callback("int(void *)")
        def ask(context: object) -> int:
            self.began.set()
            self.end.wait(30)
            return 0

        def run() -> None:
            lib.dn_watch(ask, ffi.NULL)
            call()
            lib.dn_watch(ffi.cast("dn_watch_fn", 0), ffi.NULL)

        self.thread = threading.Thread(target=run)

    def __enter__(self) -> None:
        self.thread.start()
        assert self.began.wait(30)

    def __exit__(self, *_: object) -> None:
        self.end.set()
        self.thread.join(30)


USES: dict[str, Callable[[dv.Network], object]] = {
    "predict": lambda net: net.predict(rows_of(700)),
    "reconstruct": lambda net: net.reconstruct(rows_of(3)),
    "encode": lambda net: net.encode(rows_of(3)),
    "sample": lambda net: net.sample(rows_of(3, 2)),
    "evaluate": lambda net: net.evaluate(rows_of(3)),
    "row_losses": lambda net: net.row_losses(rows_of(3)),
    "train": lambda net: net.train(rows_of(30), 1),
    "forward": lambda net: net.forward(rows_of(3)),
    "backward": lambda net: net.backward(),
    "update": lambda net: net.update(),
    "resize": lambda net: net.resize(batch=5),
    "save": lambda net: net.save("x.weights"),
    "load": lambda net: net.load_weights("good.weights"),
    "a parameter": lambda net: net.layers[0].params["weights"],
    "a gradient": lambda net: net.layers[0].grads["weights"],
    "an output": lambda net: net.layers[0].output,
    "a delta": lambda net: net.layers[0].delta,
    "set": lambda net: net.layers[0].set("biases", np.zeros(4)),
    "noise": lambda net: net.set_noise(1, np.zeros((3, 2))),
    "reset_state": lambda net: net.reset_state(),
}


def test_a_call_that_meets_another_threads_is_an_error_at_once(network: Build) -> None:
    net = network(KINDS["a VAE with noise"].format(net=""), seed=1)
    net.save("good.weights")
    net.forward(rows_of(3), rows_of(3), train=True)
    before, expected, table = values(net), net.predict(rows_of(700)), net.table()
    net.forward(rows_of(3), rows_of(3), train=True)
    for held in (lambda: net.predict(rows_of(700)), lambda: net.save("y.weights"), lambda: net.evaluate(rows_of(30))):
        net.forward(rows_of(3), rows_of(3), train=True)
        rows = net._rows
        with Held(held):
            for name, use in USES.items():
                net._rows = rows
                with pytest.raises(errors.UsageError, match="in use by another thread"):
                    use(net)
                    pytest.fail(name)
            began = time.perf_counter()
            assert net.table() == table and net.seen > 0
            assert net.learning_rate > 0 and "connected" in net.json() and net.device == "cpu"
            assert time.perf_counter() - began < 5
    assert values(net) == before
    np.testing.assert_array_equal(net.predict(rows_of(700)), expected)


def test_a_network_may_be_used_again_from_its_own_callbacks(network: Build) -> None:
    net = ae(network)
    X = rows_of(700)

    def use(progress: dv.Progress) -> None:
        net.predict(X)
        net.evaluate(X)
        net.save("w.weights")
        assert net.seen == 700 * progress.epoch

    net.train(X, 3, callback=use)


@pytest.mark.parametrize("resizing", [False, True])
def test_threads_on_one_network_end_in_errors_and_not_in_crashes(resizing: bool, network: Build) -> None:
    text = "[net]\nbatch=4\nheight=8\nwidth=8\nchannels=1\n[convolutional]\nfilters=2\nsize=3\nname=first\n"
    net = network(text + "[convolutional]\nfilters=1\nsize=3\npad=1\n[cost]\n", threads=2)
    x = rows_of(200, 64)
    expected, found = net.predict(x), [0, 0]
    wrong: list[object] = []

    def use(k: int) -> None:
        for i in range(60):
            try:
                if resizing and k == 0:
                    net.resize(height=8 + i % 2, width=8 + i % 2, batch=4 + i % 5)
                elif resizing and k == 1:
                    assert net.layers[0].name == "first" and "convolutional" in net.table() and net.seen >= 0
                    net.describe()
                elif not np.array_equal(net.predict(x), expected):
                    wrong.append("numbers")
                found[0] += 1
            except errors.UsageError as error:
                found[1] += 1
                if not re.search(r"another thread|wanted is \(rows", str(error)):
                    wrong.append(error)
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=use, args=(k,)) for k in range(4)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong and found[0] and sum(found) == 240 and time.perf_counter() - began < 30
    net.resize(height=8, width=8, batch=4)
    np.testing.assert_allclose(net.predict(x), expected, rtol=1e-5, atol=1e-6)


def test_a_child_of_fork_uses_what_another_thread_had_in_the_parent(network: Build) -> None:
    net = ae(network, threads=1)
    X = rows_of(700)
    net.predict(X)
    with Held(lambda: net.predict(X)):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if np.isfinite(net.predict(X[:5])).all() and net.seen == 0 else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# ---- small things


def test_a_network_is_built_from_the_text_of_a_cfg() -> None:
    text = AUTOENCODER.format(net="max_batches=4")
    net = dv.Network(cfg_text=text, seed=4)
    Path("file.cfg").write_text(text)
    other = dv.Network("file.cfg", seed=4)
    X = rows_of(600)
    for one in (net, other):
        one.train(X)
        one.resize(batch=3)
    np.testing.assert_array_equal(net.predict(X), other.predict(X))  # the wide plan reads it again
    assert weights(net) == weights(other)
    with pytest.raises(errors.FormatError, match=r"cfg_text:3: \[net\] batch=x is not a whole number"):
        dv.Network(cfg_text="[net]\ninputs=3\nbatch=x\n[connected]\n")
    with pytest.warns(UserWarning, match=r"cfg_text:2: \[net\] unknown key 'inputz'"):
        dv.Network(cfg_text="[net]\ninputz=3\ninputs=3\n[connected]\n")
    with pytest.raises(errors.FormatError, match="cfg_text: no sections"):
        dv.Network(cfg_text="")
    for bad in ({}, {"cfg": "file.cfg", "cfg_text": text}, {"cfg_text": "[net]\0"}):
        with pytest.raises(errors.UsageError, match="cfg"):
            dv.Network(**bad)


def test_prior_numbers_are_the_same_and_impossible_sizes_do_nothing() -> None:
    z = dv.sample_prior(3, 2, seed=1)
    np.testing.assert_array_equal(dv.sample_prior(2, 2, seed=1), z[:2])
    untouched = np.full(4, 7, np.float32)
    pointer = ffi.cast("float *", untouched.ctypes.data)
    lib.dn_prior_sample(1, 2**63, 2, pointer)
    lib.dn_prior_sample(1, 5, -1, pointer)
    lib.dn_prior_sample(1, 2**62 + 1, 4, pointer)
    assert (untouched == 7).all()


def test_a_notebook_shows_one_line_of_progress(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, network: Build
) -> None:
    import sys
    import types

    X = rows_of(20)
    ae(network).train(X, 2)
    assert capsys.readouterr().out == ""
    ae(network).train(X, 2, progress=True)
    shown = capsys.readouterr().out
    assert shown.count("\r") >= 2 and "epoch 2/2" in shown and shown.endswith("\n")

    class ZMQInteractiveShell:
        pass

    notebook = types.ModuleType("IPython")
    notebook.get_ipython = ZMQInteractiveShell  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    ae(network).train(X, 2)
    assert re.search(r"epoch 2/2", capsys.readouterr().out)
    ae(network).train(X, 2, progress=False)
    assert capsys.readouterr().out == ""


def test_a_training_that_does_not_begin_leaves_the_schedule(network: Build) -> None:
    net = network(KINDS["dropout and batch norm"].format(net="learning_rate=0.5\npolicy=steps\nsteps=4\nscales=0.1"))
    x = np.random.default_rng(0).uniform(size=(8, 6)).astype(np.float32)
    net.train(x, epochs=10)
    net.save("w.weights")
    net.load_weights("w.weights")  # steps by hand go on, a training begins anew
    assert net.learning_rate == pytest.approx(0.05)
    with pytest.raises(errors.UsageError, match="normalises"):
        net.train(x[:1], epochs=1)
    assert net.learning_rate == pytest.approx(0.05)


def test_gradients_that_were_made_by_hand_do_not_enter_a_training(network: Build) -> None:
    x = np.random.default_rng(0).uniform(size=(8, 6)).astype(np.float32)
    found = []
    for by_hand in (False, True):
        net = ae(network)
        if by_hand:
            net.forward(x[:2], train=True)
            net.backward()
        net.train(x, epochs=1, shuffle=False)
        found.append(net.layers[0].params["weights"])
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("status", [lib.DN_OK, lib.DN_E_NUMERIC, lib.DN_E_INTERRUPTED])
def test_ctrl_c_is_raised_whatever_else_came_of_the_call(status: int) -> None:
    """A handler that raised while the core was at work is not heard again."""
    _heard.append(KeyboardInterrupt("once"))
    found: list[BaseException] = []

    def other() -> None:
        try:
            check(lib.DN_E_USAGE)
        except BaseException as reason:
            found.append(reason)

    thread = threading.Thread(target=other)  # whose calls are not the main thread's
    thread.start()
    thread.join()
    assert [type(reason) for reason in found] == [errors.UsageError]
    with pytest.raises(KeyboardInterrupt, match="once"):
        check(status)
    assert not _heard


@pytest.mark.parametrize(
    "seconds, text",
    [(0, "0.0s"), (89.96, "90.0s"), (90, "1m30s"), (119.4, "1m59s"), (119.7, "2m00s"), (3599.9, "60m00s"), (5400, "1h30m"),
     (7169, "1h59m"), (7199.9, "2h00m"), (36_000, "10h00m")],
)  # fmt: skip
def test_times_of_the_progress_line_have_less_than_sixty_of_each(seconds: float, text: str) -> None:
    line = ffi.new("char[256]")
    lib.dn_progress_line(ffi.new("dn_progress *", {"eta_seconds": seconds}), line, 256)
    assert ffi.string(line).decode().endswith(f"eta {text}")
