"""Where latents come from: priors, mixtures fitted to encoded rows, walks between rows and along a dimension."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import BINARY, ROOT, defined, program, run
from test_gradients import Problem, check

import darknet_vae as dv
from darknet_vae import errors

Build = Callable[..., dv.Network]
VAE = """[net]
batch=8
inputs=6
learning_rate=0.01
optimizer=adam
[connected]
output=16
activation=tanh
[connected]
output={inner}
activation=linear
[sampling]
{keys}
[connected]
output=6
activation=linear
[cost]
type=sse
"""


def vae(latent: int = 3, keys: str = "") -> str:
    return VAE.format(inner=2 * latent, keys=keys)


PLAIN = "[net]\nbatch=8\ninputs=6\n[connected]\noutput=2\nactivation=linear\n[connected]\noutput=6\nactivation=linear\n[cost]\n"
CLASSIFIER = "[net]\nbatch=2\ninputs=5\n[connected]\noutput=3\nactivation=linear\n[softmax]\n"


def rows(n: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 6)).astype(np.float32)


def three_blobs(n: int = 600, seed: int = 0) -> np.ndarray:
    """Correlated blobs in 2 dimensions, far apart; half of the rows are in the first."""
    draw = np.random.default_rng(seed)
    kind = draw.choice(3, size=n, p=[0.5, 0.3, 0.2])
    shapes = np.array([[[1, 0.8], [0.8, 1]], [[0.2, 0], [0, 2]], [[0.5, -0.3], [-0.3, 0.4]]])
    centres = np.array([[0, 0], [10, 0], [0, 10]])
    noise = np.einsum("nij,nj->ni", np.linalg.cholesky(shapes)[kind], draw.normal(size=(n, 2)))
    return (centres[kind] + noise).astype(np.float32)


def log_density(mixture: dv.GaussianMixture, z: np.ndarray) -> np.ndarray:
    """The formula, by numpy."""
    parts = []
    for w, m, s in zip(mixture.weights, mixture.means, mixture.covariances, strict=True):
        gap = z - m
        distance = np.einsum("ni,ij,nj->n", gap, np.linalg.inv(s), gap)
        parts.append(np.log(w) - 0.5 * (z.shape[1] * np.log(2 * np.pi) + np.linalg.slogdet(s)[1] + distance))
    return np.logaddexp.reduce(np.array(parts), axis=0)


# ---- mixtures ----


def test_a_mixture_finds_the_blobs_that_rows_were_drawn_from() -> None:
    z = three_blobs(3000)
    found = dv.GaussianMixture.fit(z, components=3, seed=1)
    order = np.argsort(-found.weights)
    assert np.allclose(found.weights[order], [0.5, 0.3, 0.2], atol=0.03)
    assert np.allclose(found.means[order], [[0, 0], [10, 0], [0, 10]], atol=0.15)
    assert np.allclose(found.covariances[order][0], [[1, 0.8], [0.8, 1]], atol=0.12)
    assert np.allclose(found.covariances[order][1], [[0.2, 0], [0, 2]], atol=0.2)


def test_the_fit_is_a_fixed_point_of_expectation_maximisation() -> None:
    z = three_blobs(500, seed=3).astype(np.float64)
    found = dv.GaussianMixture.fit(z, components=4, seed=2)
    parts = np.stack(
        [log_density(dv.GaussianMixture([1], [m], [s]), z) for m, s in zip(found.means, found.covariances, strict=True)]
    )
    joint = parts + np.log(found.weights)[:, None]
    shares = np.exp(joint - np.logaddexp.reduce(joint, axis=0))
    weights = shares.mean(axis=1)
    means = shares @ z / shares.sum(axis=1)[:, None]
    assert np.allclose(weights, found.weights, atol=2e-3)
    assert np.allclose(means, found.means, atol=2e-2)
    for k in range(4):
        gap = z - means[k]
        covariance = (shares[k, :, None] * gap).T @ gap / shares[k].sum() + np.diag(1e-4 * z.var(axis=0))
        assert np.allclose(covariance, found.covariances[k], atol=2e-2)


def test_one_component_has_the_mean_and_covariance_of_the_rows() -> None:
    z = three_blobs(200).astype(np.float64)
    found = dv.GaussianMixture.fit(z, components=1)
    assert np.allclose(found.means[0], z.mean(axis=0), atol=1e-6)
    assert np.allclose(found.covariances[0], np.cov(z.T, bias=True) + np.diag(1e-4 * z.var(axis=0)), atol=1e-6)
    assert found.weights.tolist() == [1.0]


def test_the_log_density_is_that_of_the_formula() -> None:
    z = three_blobs(100)
    found = dv.GaussianMixture.fit(z, components=5, seed=4)
    far = np.concatenate([z, [[1e4, -1e4]]]).astype(np.float32)
    assert np.allclose(found.log_density(far), log_density(found, far.astype(np.float64)), rtol=1e-9)
    assert found.log_likelihood == pytest.approx(found.log_density(z).mean(), abs=1e-9)


def test_draws_of_a_mixture_have_its_moments_and_temperature_shrinks_them_about_each_mean() -> None:
    mixture = dv.GaussianMixture([0.25, 0.75], [[-10, 0], [10, 1]], [[[1, 0.6], [0.6, 2]], [[0.3, -0.1], [-0.1, 0.2]]])
    for temperature in (1.0, 0.5):
        z = mixture.sample(20000, seed=5, temperature=temperature).astype(np.float64)
        second = z[:, 0] > 0
        assert second.mean() == pytest.approx(0.75, abs=0.01)
        assert np.allclose(z[second].mean(axis=0), [10, 1], atol=0.02)
        assert np.allclose(np.cov(z[~second].T), temperature**2 * np.array([[1, 0.6], [0.6, 2]]), atol=0.08 * temperature**2)
    assert np.allclose(np.unique(mixture.sample(50, temperature=0), axis=0), [[-10, 0], [10, 1]])


def test_a_fit_and_its_draws_are_functions_of_the_seed() -> None:
    z = three_blobs(120)
    one, same, other = (dv.GaussianMixture.fit(z, components=6, seed=seed) for seed in (7, 7, 8))
    assert np.array_equal(one.covariances, same.covariances)
    assert not np.array_equal(one.means, other.means)
    assert np.array_equal(one.sample(9, seed=1), same.sample(9, seed=1))
    assert not np.array_equal(one.sample(9, seed=1), one.sample(9, seed=2))


@pytest.mark.parametrize("z", [np.zeros((5, 2)), np.repeat([[1.0, 2.0], [3.0, 4.0]], 8, axis=0), np.arange(6.0).reshape(3, 2)])
def test_rows_that_repeat_lie_on_a_line_or_are_as_few_as_components_can_be_fitted(z: np.ndarray) -> None:
    found = dv.GaussianMixture.fit(z, components=3)
    assert np.isfinite(found.log_density(z)).all()
    assert found.weights.sum() == pytest.approx(1)
    assert np.isfinite(found.sample(10)).all()


def test_what_no_mixture_can_be_made_of_is_one_clear_error() -> None:
    with pytest.raises(errors.UsageError, match="4 components are more than the 3 rows"):
        dv.GaussianMixture.fit(np.zeros((3, 2)), components=4)
    with pytest.raises(errors.UsageError, match="components=0"):
        dv.GaussianMixture.fit(np.zeros((3, 2)), components=0)
    with pytest.raises(errors.UsageError, match=r"row 2, column 1 .* nan"):
        dv.GaussianMixture.fit([[0, 0], [np.nan, 1]], components=1)
    with pytest.raises(errors.UsageError, match="shape"):
        dv.GaussianMixture.fit([1.0, 2.0])
    with pytest.raises(errors.UsageError, match="wanted are"):
        dv.GaussianMixture([1], [[0, 0]], [[1, 1]])
    with pytest.raises(errors.NumericError, match="positive definite"):
        dv.GaussianMixture([1], [[0, 0]], [[[1, 2], [2, 1]]]).sample(3)


# ---- sample ----


def test_sample_with_n_decodes_draws_of_the_standard_normal_prior(network: Build) -> None:
    net = network(vae())
    z = dv.sample_prior(7, 3, seed=4)
    assert np.array_equal(net.sample(n=7, seed=4), net.sample(z))
    assert np.array_equal(net.sample(n=7, seed=4, prior="normal", temperature=0.5), net.sample(0.5 * z))
    assert np.array_equal(net.sample(n=3, temperature=0), np.repeat(net.sample(np.zeros((1, 3))), 3, axis=0))


def test_a_mixture_is_fitted_to_draws_from_the_posteriors_of_rows(network: Build) -> None:
    net = network(vae(2))
    net.train(rows(200), epochs=2)
    mixture = net.fit_mixture(rows(5000, seed=1), components=1)
    mean, log_variance = (values.astype(np.float64) for values in net.encode(rows(5000, seed=1)))
    assert np.allclose(mixture.means[0], mean.mean(axis=0), atol=0.05)
    assert np.allclose(mixture.covariances[0], np.cov(mean.T) + np.diag(np.exp(log_variance).mean(axis=0)), atol=0.08)
    assert np.array_equal(net.sample(n=4, seed=2, prior=mixture), net.sample(mixture.sample(4, seed=2)))


def test_a_mixture_of_many_rows_has_the_same_bits_with_any_number_of_threads(network: Build) -> None:
    x = rows(3000, seed=2)  # several jobs, the last one not whole
    one, two = (network(vae(3), threads=n).fit_mixture(x, components=3) for n in (1, 2))
    assert np.array_equal(one.means, two.means) and np.array_equal(one.covariances, two.covariances)
    assert np.array_equal(one.weights, two.weights) and one.log_likelihood == two.log_likelihood


def test_an_autoencoder_without_a_prior_gets_one_from_its_codes(network: Build) -> None:
    net = network(PLAIN)
    with pytest.raises(errors.UsageError, match="no prior"):
        net.sample(n=3)
    x = rows(60)
    mixture = net.fit_mixture(x, components=1)
    assert np.allclose(mixture.means[0], net.encode(x)[0].mean(axis=0), atol=1e-5)
    assert net.sample(n=3, prior=mixture).shape == (3, 6)


def test_what_cannot_be_drawn_is_one_clear_error(network: Build) -> None:
    net = network(vae())
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(errors.UsageError, match="temperature"):
            net.sample(n=2, temperature=bad)
    with pytest.raises(errors.UsageError, match="n=5 draws so many"):
        net.sample(5)
    with pytest.raises(errors.UsageError, match=r"range=array\(.*\.\.\..*is not a number") as error:
        net.traverse(0, np.zeros(999))  # type: ignore[arg-type]
    assert len(str(error.value)) < 100
    with pytest.raises(errors.UsageError, match="z, latent vectors, or n"):
        net.sample()
    with pytest.raises(errors.UsageError, match="z, latent vectors, or n"):
        net.sample(np.zeros((1, 3)), n=2)
    with pytest.raises(errors.UsageError, match="temperature are about latents that are drawn"):
        net.sample(np.zeros((1, 3)), temperature=0.5)
    with pytest.raises(errors.UsageError, match="fit_mixture"):
        net.sample(n=2, prior="gmm")
    with pytest.raises(errors.UsageError, match="2 columns, the network 3"):
        net.sample(n=2, prior=dv.GaussianMixture([1], [[0, 0]], [np.eye(2)]))
    with pytest.raises(errors.UsageError, match="no latent space"):
        network(CLASSIFIER).fit_mixture(np.zeros((4, 5)))


def test_draws_from_a_bernoulli_likelihood_are_zeros_and_ones_with_its_mean(network: Build) -> None:
    net = network(vae().replace("type=sse", "type=bce"))
    z = np.repeat(dv.sample_prior(3, 3), 4000, axis=0)
    drawn, mean = net.sample(z, draw=True, seed=5), net.sample(z)
    assert set(np.unique(drawn)) == {0.0, 1.0}
    assert np.allclose(drawn.reshape(3, 4000, 6).mean(axis=1), mean[::4000], atol=0.04)


def test_a_drawn_row_is_a_function_of_its_latents_the_seed_and_its_number(network: Build) -> None:
    wide = vae(2).replace("output=6", "output=700").replace("inputs=6", "inputs=700")
    net = network(wide.replace("type=sse", "type=bce"))
    z = dv.sample_prior(2500, 2)
    drawn = net.sample(z, draw=True, seed=5)
    assert np.array_equal(net.sample(z[:100], draw=True, seed=5), drawn[:100])
    assert np.array_equal(net.sample(n=2500, draw=True, seed=0), net.sample(z, draw=True))
    assert not np.array_equal(net.sample(z, draw=True, seed=6), drawn)
    assert not np.array_equal(net.sample(z[1:], draw=True, seed=5), drawn[1:])


def test_nothing_is_drawn_from_a_loss_that_is_no_likelihood(network: Build) -> None:
    with pytest.raises(errors.UsageError, match=r"net.cfg:17: nothing can be drawn from the loss of layer 4, \[cost\]"):
        network(vae()).sample(n=2, draw=True)
    without = vae().split("[cost]")[0]
    with pytest.raises(errors.UsageError, match=r"without a \[cost\]"):
        network(without).sample(n=2, draw=True)


# ---- a learned mixture as the prior ----

MIXTURE = "prior=mixture\ncomponents={}"
TWO = """[net]
batch=5
inputs=7
[connected]
output=5
activation=tanh
[connected]
output=6
activation=linear
[sampling]
beta=0.7
prior=mixture
components=4
[connected]
output=4
activation=linear
[sampling]
beta=0.3
prior=mixture
components=1
[connected]
output=5
activation=tanh
[cost]
type=sse
"""


def prior_of(net: dv.Network, index: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log weights, means, log-variances of the mixture, in double precision."""
    logits, means, log_variances = (
        net.layers[index].params[name].astype(np.float64) for name in ("prior.logits", "prior.means", "prior.log_variances")
    )
    return logits - np.logaddexp.reduce(logits), means, log_variances


def scatter_prior(net: dv.Network, seed: int = 0) -> None:
    draw = np.random.default_rng(seed)
    for layer in net.layers:
        for name, values in layer.params.items():
            if name.startswith("prior"):
                layer.set(name, draw.normal(size=values.shape))


def drawn_kl(net: dv.Network, mean: np.ndarray, log_variance: np.ndarray, eps: np.ndarray) -> np.ndarray:
    """log q(z|x) - log p(z) of every row, by numpy."""
    log_weights, means, log_variances = prior_of(net)
    z = mean + np.exp(log_variance / 2) * eps
    log_q = -0.5 * (log_variance + eps**2).sum(axis=1)
    distance = ((z[:, None] - means) ** 2 * np.exp(-log_variances) + log_variances).sum(axis=2)
    return np.asarray(log_q - np.logaddexp.reduce(log_weights - 0.5 * distance, axis=1))


@pytest.mark.parametrize("row_count", [5, 1])
def test_the_gradient_of_a_mixture_prior_is_that_of_the_loss(row_count: int, device: str, network: Build) -> None:
    problem = Problem(network(TWO, device=device), row_count)
    assert sum(name.startswith("prior.") for _, name in problem.tensors) == 6
    check(problem, problem.gradients(), together=device != "cpu")


def test_with_noise_the_kl_is_that_of_the_drawn_latents(network: Build) -> None:
    net = network(vae(keys=MIXTURE.format(4)))
    scatter_prior(net)
    x, eps = rows(8), np.random.default_rng(1).normal(size=(8, 3)).astype(np.float32)
    net.set_noise(2, eps)
    net.forward(x, x, train=True)
    image = ((net.layers[3].output.astype(np.float64) - x) ** 2).sum()
    mean, log_variance = net.encode(x)
    kl = 4 * net.objective - 2 * image  # the objective is half of image + KL / 2
    assert kl == pytest.approx(drawn_kl(net, mean, log_variance, eps).sum(), rel=1e-5)


def test_without_noise_the_kl_is_close_to_its_mean_over_draws(network: Build) -> None:
    x = np.concatenate([three_blobs(300) / 4, np.zeros((300, 4), np.float32)], axis=1)
    net = network(vae(3, MIXTURE.format(4)), seed=1)
    draws = np.random.default_rng(2)
    for epochs, room in ((1, 0.12), (60, 0.03)):  # posteriors as wide as components at the beginning, narrow later
        net.train(x, epochs=epochs)
        mean, log_variance = net.encode(x)
        many = np.mean([drawn_kl(net, mean, log_variance, draws.normal(size=mean.shape)) for _ in range(200)], axis=0)
        found = net.row_losses(x)["latent_loss"]
        assert found.mean() == pytest.approx(many.mean(), abs=room)
        assert np.abs(found - many).max() < 8 * room
        assert net.evaluate(x)["latent_loss"] == pytest.approx(found.mean(), rel=1e-6)
        drawn = net.row_losses(x)["latent_loss"]
        np.testing.assert_allclose(net.row_losses(x[:7])["latent_loss"], drawn[:7], rtol=1e-6)


def as_normal(net: dv.Network) -> None:
    for name, values in net.layers[2].params.items():
        net.layers[2].set(name, np.zeros(values.shape))


def test_a_mixture_of_one_standard_normal_is_the_usual_prior(network: Build) -> None:
    """In evaluation to rounding, because the estimate is exact for one component; in training, its gradients too, when they
    are averaged over the noise."""
    usual, mixture = network(vae(), seed=3), network(vae(keys=MIXTURE.format(1)), seed=3)
    as_normal(mixture)
    x = rows(30)
    assert defined(mixture.evaluate(x)) == pytest.approx(defined(usual.evaluate(x)), rel=1e-5)
    z = mixture.sample_latents(4000)
    assert np.abs(z.mean(axis=0)).max() < 0.06 and np.abs(z.std(axis=0) - 1).max() < 0.05


@pytest.mark.parametrize("gradient", ["iwae", "dreg"])
def test_with_several_draws_too(gradient: str, device: str, network: Build) -> None:
    keys = f"samples=4\ngradient={gradient}\n"
    both = [network(vae(keys=keys + prior).replace("sse", "bce"), seed=3, device=device) for prior in ("", MIXTURE.format(1))]
    as_normal(both[1])
    x, eps = np.abs(rows(8)) / 4, np.random.default_rng(4).normal(size=(32, 3)).astype(np.float32)
    for net in both:
        net.set_noise(2, eps)
        net.forward(x, x, train=True)
        net.backward()
    assert both[0].objective == pytest.approx(both[1].objective, rel=1e-5)
    for index in (0, 1, 3):
        for name, gradients in both[0].layers[index].grads.items():
            assert np.allclose(gradients, both[1].layers[index].grads[name], rtol=1e-3, atol=1e-5), (index, name)
    a, b = (net.bounds(x, 10, seed=1) for net in both)
    for name in ("reconstruction", "drawn_kl", "log_likelihood"):
        assert np.allclose(a[name], b[name], rtol=1e-5)


def test_the_gradient_of_the_bound_with_a_mixture_prior_is_exact(network: Build) -> None:
    cfg = (
        TWO.replace("beta=0.7", "samples=3")
        .replace("beta=0.3", "samples=3")
        .replace("activation=tanh\n[cost]\ntype=sse", "activation=linear\n[cost]\ntype=bce")
    )
    problem = Problem(network(cfg), 5)
    for index, values in problem.noise.items():
        problem.noise[index] = np.random.default_rng(index).normal(size=(3 * len(values), values.shape[1]))
    check(problem, problem.gradients())


def test_a_mixture_prior_learns_what_one_normal_cannot_be(network: Build) -> None:
    x = np.concatenate([three_blobs(900) / 4, np.zeros((900, 4), np.float32)], axis=1)
    totals = {}
    for name, keys in (("normal", ""), ("mixture", MIXTURE.format(3))):
        net = network(vae(2, keys), seed=1)
        totals[name] = net.train(x, epochs=60).total_loss[-1]
    assert totals["mixture"] < totals["normal"] - 0.05
    assert net.evaluate(x)["total_loss"] < totals["normal"]


def test_latents_are_drawn_from_the_learned_prior(network: Build) -> None:
    net = network(vae(2, MIXTURE.format(3)))
    scatter_prior(net, seed=5)
    log_weights, means, log_variances = prior_of(net)
    for temperature in (1.0, 0.3):
        z = net.sample_latents(40000, seed=1, temperature=temperature).astype(np.float64)
        mean = np.exp(log_weights) @ means
        second = np.exp(log_weights) @ (means**2 + temperature**2 * np.exp(log_variances))
        assert np.allclose(z.mean(axis=0), mean, atol=0.04)
        assert np.allclose(z.var(axis=0), second - mean**2, rtol=0.04)
    assert np.array_equal(net.sample(n=5, seed=2), net.sample(net.sample_latents(5, seed=2)))
    assert np.array_equal(net.sample_latents(5, seed=2, prior="normal"), dv.sample_prior(5, 2, seed=2))


def test_a_learned_prior_is_in_files_and_trains_on_from_them(network: Build) -> None:
    net = network(vae(keys=MIXTURE.format(5)), seed=2)
    x = rows(64)
    net.train(x, epochs=2)
    net.save("m.safetensors")
    net.save("m.weights")
    for other in (dv.Network.load("m.safetensors"), dv.Network.load(net.cfg, "m.weights")):
        assert other.evaluate(x) == net.evaluate(x)
        assert np.array_equal(other.sample(n=3), net.sample(n=3))
    whole = network(vae(keys=MIXTURE.format(5)), seed=2)
    whole.train(x, epochs=4)
    part = network(vae(keys=MIXTURE.format(5)), seed=2)
    part.train(x, epochs=2, checkpoint="c.safetensors")
    resumed = network(vae(keys=MIXTURE.format(5)), seed=2)
    resumed.train(x, epochs=4, resume="c.safetensors")
    for name, values in whole.layers[2].params.items():
        assert np.array_equal(values, resumed.layers[2].params[name])


def test_a_training_with_a_mixture_has_the_same_bits_with_any_number_of_threads(network: Build) -> None:
    wide = vae(40, MIXTURE.format(30)).replace("batch=8", "batch=256")
    found = [network(wide, threads=threads) for threads in (1, 2, 3)]
    for net in found:
        net.train(rows(700), epochs=2)
    for layer in found[0].layers:
        for name, values in layer.params.items():
            for other in found[1:]:
                assert np.array_equal(values, other.layers[layer.index].params[name]), (layer.index, name)
    assert found[0].evaluate(rows(700)) == found[2].evaluate(rows(700))


def test_components_without_a_mixture_and_unknown_priors_are_errors(network: Build) -> None:
    with pytest.raises(errors.FormatError, match=r"net.cfg:13: \[sampling\] components=5 is about prior=mixture"):
        network(vae(keys="components=5"))
    with pytest.raises(errors.FormatError, match="prior"):
        network(vae(keys="prior=gmm"))
    with pytest.raises(errors.FormatError, match="components=0"):
        network(vae(keys=MIXTURE.format(0)))
    for limit in ("free_bits=0.1", "free_bits_total=1", "capacity=2"):
        with pytest.raises(errors.FormatError, match="leave one out"):
            network(vae(keys=MIXTURE.format(2) + "\n" + limit))
    net = network(vae(keys=MIXTURE.format(2)))
    net.forward(rows(3), rows(3))
    with pytest.raises(errors.UsageError, match="training pass"):
        net.backward()


# ---- walks ----


def slerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    angle = np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    return (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)


def test_interpolate_decodes_what_lies_between_two_encoded_rows(network: Build) -> None:
    net = network(vae())
    x = rows(2)
    (a, b), _ = net.encode(x)
    line = np.array([a + t * (b - a) for t in np.linspace(0, 1, 5)])
    arc = np.array([slerp(a.astype(np.float64), b.astype(np.float64), t) for t in np.linspace(0, 1, 5)])
    assert np.allclose(net.interpolate(x[0], x[1], steps=5), net.sample(line), atol=1e-5)
    assert np.allclose(net.interpolate(x[0], x[1], steps=5, spherical=True), net.sample(arc), atol=1e-5)
    assert not np.allclose(line, arc, atol=1e-3)
    for spherical in (False, True):
        ends = net.interpolate(x[:1], x[1:], steps=2, spherical=spherical)
        assert np.array_equal(ends, net.reconstruct(x))
        still = net.interpolate(x[0], x[0], steps=3, spherical=spherical)
        assert np.allclose(still, net.reconstruct(x[[0, 0, 0]]), atol=1e-6)


def test_traverse_moves_one_latent_about_zero_or_about_a_row(network: Build) -> None:
    net = network(vae())
    x = rows(1)
    walk = np.zeros((7, 3))
    walk[:, 1] = np.linspace(-2, 2, 7)
    assert np.allclose(net.traverse(1, range=2, steps=7), net.sample(walk), atol=1e-5)
    assert np.allclose(net.traverse(1, range=2, steps=7, around=x[0]), net.sample(net.encode(x)[0] + walk), atol=1e-5)
    assert np.array_equal(net.traverse(0, around=x, steps=3)[1], net.reconstruct(x)[0])


def test_walks_that_lead_nowhere_are_one_clear_error(network: Build) -> None:
    net, x = network(vae()), rows(2)
    with pytest.raises(errors.UsageError, match="steps=1"):
        net.interpolate(x[0], x[1], steps=1)
    with pytest.raises(errors.UsageError, match="dim=3"):
        net.traverse(3)
    for reach in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(errors.UsageError, match="range"):
            net.traverse(0, range=reach)
    with pytest.raises(errors.UsageError, match="finite"):
        net.interpolate(x[0], np.full(6, np.nan))
    with pytest.raises(errors.UsageError, match="no latent space"):
        network(CLASSIFIER).traverse(0)


# ---- the command line ----


@pytest.fixture
def trained(network: Build) -> dv.Network:
    net = network(vae())
    net.train(rows(), epochs=3)
    net.save("vae.weights")
    dv.save_csv("rows.csv", rows())
    return net


def said(*words: str) -> np.ndarray:
    done = run([*program("binary"), *words, "-weights", "vae.weights"])
    assert done.returncode == 0, done.stderr
    return np.loadtxt(io.StringIO(done.stdout), delimiter=",", ndmin=2, dtype=np.float32)


@pytest.mark.skipif(not BINARY, reason="no binary")
def test_the_verbs_print_what_the_methods_give(trained: dv.Network) -> None:
    x = rows()
    assert np.array_equal(
        said("sample", "net.cfg", "-n", "4", "-temperature", "0.7", "-seed", "3"), trained.sample(n=4, seed=3, temperature=0.7)
    )
    mixture = trained.fit_mixture(x, components=2, seed=3)
    for table in (["-data", "rows.csv"], ["rows.csv"]):
        drawn = said("sample", "net.cfg", *table, "-n", "4", "-prior", "gmm", "-components", "2", "-seed", "3")
        assert np.array_equal(drawn, trained.sample(n=4, seed=3, prior=mixture))
    trained.save("vae.safetensors")
    bernoulli = dv.Network.load("vae.safetensors", set={"cost.type": "bce"})
    drawn = said("sample", "net.cfg", "-n", "4", "-draw", "-seed", "3", "-set", "cost.type=bce")
    assert np.array_equal(drawn, bernoulli.sample(n=4, seed=3, draw=True))
    walk = said("interpolate", "net.cfg", "rows.csv", "-rows", "3,39", "-steps", "4", "-spherical")
    assert np.array_equal(walk, trained.interpolate(x[3], x[39], steps=4, spherical=True))
    assert np.array_equal(said("interpolate", "net.cfg", "rows.csv"), trained.interpolate(x[0], x[1], steps=11))
    assert np.array_equal(said("traverse", "net.cfg", "-dim", "2", "-steps", "5"), trained.traverse(2, steps=5))
    around = said("traverse", "net.cfg", "rows.csv", "-row", "7", "-dim", "0", "-range", "1.5")
    assert np.array_equal(around, trained.traverse(0, range=1.5, around=x[7]))
    run([*program("binary"), "traverse", "net.cfg", "-dim", "1", "-weights", "vae.weights", "-output", "walk.csv"])
    assert np.array_equal(dv.load_csv("walk.csv"), trained.traverse(1))


@pytest.mark.skipif(not BINARY, reason="no binary")
@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("sample net.cfg -n 0", "-n '0' must be a whole number above 0"),
        ("sample net.cfg -n 3 -temperature -1", "-temperature '-1' must be"),
        ("sample net.cfg -n 3 -temperature nan", "-temperature 'nan' must be"),
        ("sample net.cfg -n 3 -prior gmm", "-data"),
        ("sample net.cfg -prior gmm -data rows.csv", "-n COUNT"),
        ("sample net.cfg -n 3 -prior cauchy", "normal|gmm"),
        ("sample net.cfg -n 3 -components 3", "-prior gmm"),
        ("sample net.cfg -n 3 -prior gmm -data rows.csv -components 41", "41 is more than the 40 rows"),
        ("sample net.cfg rows.csv -temperature 2", "drawn"),
        ("interpolate net.cfg rows.csv -rows 0,40", "has 40 rows, from 0 to 39"),
        ("interpolate net.cfg rows.csv -rows 0", "two row numbers"),
        ("interpolate net.cfg rows.csv -rows -1,2", "two row numbers"),
        ("interpolate net.cfg rows.csv -rows 1,2,3", "two row numbers"),
        ("interpolate net.cfg rows.csv -steps 1", "at least 2"),
        ("interpolate net.cfg rows.csv -steps 0", "-steps '0'"),
        ("traverse net.cfg", "-dim 0"),
        ("traverse net.cfg -dim 3", "3 latent dimensions, from 0 to 2"),
        ("traverse net.cfg -dim 0 -row 2", "ROWS.csv"),
        ("traverse net.cfg rows.csv -dim 0 -row 40", "has 40 rows"),
        ("traverse net.cfg -dim 0 -range 0", "-range '0'"),
        ("traverse plain.cfg -dim 0", "no latent space"),
        ("interpolate plain.cfg rows.csv", "no latent space"),
        ("sample plain.cfg -n 3", "no latent space"),
    ],
)
def test_options_without_sense_are_one_line_and_exit_code_2(trained: dv.Network, words: str, part: str) -> None:
    Path("plain.cfg").write_text(CLASSIFIER)
    done = run([*program("binary"), *words.split(), "-random", *([] if "plain" in words else ["-weights", "vae.weights"])])
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and part in done.stderr
    assert not done.stdout


def test_digits_drawn_from_a_fitted_mixture_are_likelier_than_those_of_the_standard_normal(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    X, _ = digits
    net = dv.Network(ROOT / "cfg" / "vae_digits.cfg", seed=0)
    net.train(X, epochs=10)
    mixture = net.fit_mixture(X)
    z = net.encode(X)[0]
    assert mixture.log_density(z).mean() > (-0.5 * (z**2).sum(axis=1) - np.log(2 * np.pi)).mean() + 0.05
