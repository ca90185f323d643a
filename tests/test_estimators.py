"""The estimators in scikit-learn's conventions."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import ROOT

import darknet_vae as dv

pytest.importorskip("sklearn")
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

QUICK: dict[str, Any] = {"random_state": 0, "max_epochs": 20, "hidden": (16,)}
ESTIMATORS = [dv.VAE(), dv.Autoencoder(), dv.VAEDetector()]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learns_own_checks_pass(estimator: BaseEstimator, check: Callable[[BaseEstimator], None]) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def X() -> np.ndarray:
    """400 rows of 6 columns of very different scales, which depend on two numbers."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(400, 2))
    X = np.concatenate([z, z @ rng.normal(size=(2, 4))], axis=1) + 0.1 * rng.normal(size=(400, 6))
    return X * [1, 1000, 1e-3, 1, 5, 1] + [0, 1e6, 0, 0, 0, 3]


# ---- latents and back


@pytest.mark.parametrize("kind", [dv.VAE, dv.Autoencoder])
def test_two_numbers_explain_columns_that_depend_on_two(kind: Any, X: np.ndarray) -> None:
    model = kind(latent=2, random_state=0).fit(X[:300])
    test = X[300:]
    z = model.transform(test)
    assert z.shape == (100, 2)
    error = (model.inverse_transform(z) - test) / X.std(axis=0)
    assert np.mean(error**2) < 0.15
    assert list(model.get_feature_names_out()) == [f"{kind.__name__.lower()}{i}" for i in range(2)]
    assert len(model.loss_curve_) == model.n_iter_ == 200 and model.loss_curve_[-1] < model.loss_curve_[0]
    assert model.history_["total_loss"] == model.loss_curve_


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_type_of_the_numbers_stays(dtype: Any, X: np.ndarray) -> None:
    given = X.astype(dtype)
    for kind in (dv.VAE, dv.Autoencoder):
        model = kind(**QUICK)
        z = model.fit_transform(given)
        back = model.inverse_transform(z)
        for array in (z, back, model.sample(5), model.impute(given)):
            assert array.dtype == dtype and array.flags.c_contiguous


def test_the_same_seed_gives_the_same_bytes_and_none_another_training(X: np.ndarray) -> None:
    for seed in (3, np.int64(3)):
        a, b = (dv.VAE(**{**QUICK, "random_state": seed}).fit(X) for _ in range(2))
        assert a.transform(X).tobytes() == b.transform(X).tobytes()
        assert a.sample(10, random_state=1).tobytes() == b.sample(10, random_state=1).tobytes()
    for make in (np.random.default_rng, np.random.RandomState):
        a, b = (dv.VAE(**{**QUICK, "random_state": make(3)}).fit(X) for _ in range(2))
        assert a.transform(X).tobytes() == b.transform(X).tobytes()
    a, b = (dv.VAE(**{**QUICK, "random_state": None}).fit(X) for _ in range(2))
    assert not np.array_equal(a.transform(X), b.transform(X)) and not np.array_equal(a.sample(5), a.sample(5))
    with pytest.raises(ValueError, match="random_state=-1"):
        dv.VAE(random_state=-1).fit(X)


def test_numpys_global_random_state_is_neither_read_nor_changed(X: np.ndarray) -> None:
    np.random.seed(0)
    before = pickle.dumps(np.random.get_state())
    model = dv.VAE(max_epochs=1).fit(X)
    model.sample(3)
    assert pickle.dumps(np.random.get_state()) == before
    np.random.seed(0)
    assert not np.array_equal(model.transform(X), dv.VAE(max_epochs=1).fit(X).transform(X))


def test_threads_do_not_change_a_bit(X: np.ndarray) -> None:
    one, two = (dv.VAE(**QUICK, threads=threads).fit(X) for threads in (1, 2))
    assert np.array_equal(one.transform(X), two.transform(X))


@pytest.mark.parametrize("kind", [dv.VAE, dv.Autoencoder, dv.VAEDetector])
def test_a_row_has_its_values_whatever_rows_come_with_it(kind: Any) -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(700, 100))
    model = kind(random_state=0, max_epochs=1).fit(X)
    for call in [model.score_samples, *([model.transform] if hasattr(model, "transform") else [])]:
        whole = call(X)
        for rows in (slice(0, 1), slice(3, 20), slice(5, 62), slice(100, 500), slice(699, None, -1)):
            assert np.array_equal(call(X[rows]), whole[rows])


# ---- scores


def test_the_score_is_the_mean_elbo_in_the_units_of_the_columns(X: np.ndarray) -> None:
    model = dv.VAE(latent=2, random_state=0, max_epochs=100).fit(X)
    scores = model.score_samples(X)
    assert model.score(X) == pytest.approx(scores.mean())
    # a Gaussian's ln p, which this almost is: six columns of two numbers and noise
    covariance = np.cov(X.T)
    away = X - X.mean(axis=0)
    gaussian = -0.5 * (
        np.einsum("ij,jk,ik->i", away, np.linalg.inv(covariance), away) + np.linalg.slogdet(2 * np.pi * covariance)[1]
    )
    assert gaussian.mean() - 2 < model.score(X) < gaussian.mean() + 0.5
    assert np.corrcoef(scores, gaussian)[0, 1] > 0.9
    # a column in another unit: its density changes by that factor, and nothing else does
    other = dv.VAE(latent=2, random_state=0, max_epochs=100).fit(X * [1, 1, 1, 1024, 1, 1])
    assert other.score(X * [1, 1, 1, 1024, 1, 1]) == pytest.approx(model.score(X) - np.log(1024), abs=1e-3)


def test_sampled_rows_look_like_the_training_rows(X: np.ndarray) -> None:
    for kind in (dv.VAE, dv.Autoencoder):
        drawn = kind(latent=2, random_state=0).fit(X).sample(2000, random_state=0)
        assert drawn.shape == (2000, 6)
        assert np.allclose(drawn.mean(axis=0), X.mean(axis=0), atol=0.2 * X.std(axis=0))
        assert np.allclose(drawn.std(axis=0) / X.std(axis=0), 1, atol=0.25)
        assert np.allclose(np.corrcoef(drawn.T), np.corrcoef(X.T), atol=0.2)


def test_likelihoods_and_scalings(X: np.ndarray) -> None:
    for likelihood in ("gaussian", "laplace", "student_t", "sse"):
        model = dv.VAE(likelihood=likelihood, scaling="robust", **QUICK).fit(X)
        assert np.isfinite(model.score(X)) and model.sample(3).shape == (3, 6)
    bits = (X - X.mean(axis=0) > 0).astype(float)
    model = dv.VAE(likelihood="bernoulli", **QUICK).fit(bits)
    assert set(np.unique(model.sample(50, random_state=0))) <= {0.0, 1.0}
    assert -6 * np.log(2) < model.score(bits) < 0
    with pytest.raises(ValueError, match="wants 0 to 1"):
        dv.VAE(likelihood="bernoulli").fit(X)


# ---- unusual rows


def test_a_detector_finds_rows_that_lie_elsewhere(X: np.ndarray) -> None:
    odd = X[:20].copy()
    odd[:, 3] += 8 * X[:, 3].std() * np.sign(odd[:, 3])
    both = np.concatenate([X[20:], odd])
    detector = dv.VAEDetector(contamination=0.05, random_state=0).fit(both)
    found = detector.predict(both)
    assert found.dtype.kind == "i" and set(found) == {-1, 1}
    assert (found == -1).sum() == 20 and (found[-20:] == -1).sum() >= 17
    assert np.array_equal(found == -1, detector.decision_function(both) < 0)
    assert np.allclose(detector.score_samples(both) - detector.offset_, detector.decision_function(both))
    assert np.array_equal(dv.VAEDetector(contamination=0.05, random_state=0).fit_predict(both), found)
    assert (detector.contributions(odd).argmax(axis=1) == 3).mean() > 0.8
    auto = dv.VAEDetector(contamination="auto", random_state=0).fit(both)
    assert 10 <= (auto.predict(both) == -1).sum() <= 60


def test_a_wrong_contamination_is_named(X: np.ndarray) -> None:
    for wrong in (0, 0.6, "many"):
        with pytest.raises(ValueError, match="contamination"):
            dv.VAEDetector(contamination=wrong).fit(X)


# ---- missing cells


def test_missing_cells_are_accepted_where_they_are_enabled(X: np.ndarray) -> None:
    gaps = X.copy()
    gaps[5, 3] = np.nan
    for kind in (dv.VAE, dv.Autoencoder, dv.VAEDetector):
        with pytest.raises(ValueError, match=r"Input X contains NaN, in column 3, row 5; \w+\(missing=True\) accepts"):
            kind(**QUICK).fit(gaps)
        model = kind(missing=True, **QUICK).fit(gaps)
        assert np.isfinite(model.score_samples(gaps)).all()
        with pytest.raises(ValueError, match="infinity"):
            model.fit(np.where(np.isnan(gaps), np.inf, gaps))
        model = kind(missing=True, **QUICK).fit(X)  # only later ones
        assert np.isfinite(model.score_samples(gaps)).all()


def test_imputed_cells_are_closer_than_the_mean_and_others_untouched(X: np.ndarray) -> None:
    gaps = X.copy()
    gone = np.random.default_rng(0).random(X.shape) < 0.1
    gaps[gone] = np.nan
    for train in (X, gaps):
        model = dv.VAE(latent=2, random_state=0, missing=True).fit(train)
        filled = model.impute(gaps)
        assert np.array_equal(filled[~gone], X[~gone])
        scale = X.std(axis=0)
        error, plain = (((at - X) / scale)[gone] for at in (filled, np.broadcast_to(X.mean(axis=0), X.shape)))
        assert np.sqrt(np.mean(error**2)) < 0.6 * np.sqrt(np.mean(plain**2))
    assert np.array_equal(dv.VAE(**QUICK).fit(X).impute(X), X)


# ---- training


def test_early_stopping_keeps_the_best_epoch(X: np.ndarray) -> None:
    model = dv.VAE(random_state=0, early_stopping=True, n_iter_no_change=3, tol=0.05).fit(X)
    assert model.history_.stopped == "patience" and model.n_iter_ < 200
    assert model.history_.kept_epoch == int(np.argmin(model.history_.valid_loss)) + 1 or model.history_.kept_epoch > 0
    given = dv.VAE(random_state=0, early_stopping=True, n_iter_no_change=3, tol=0.05).fit(X[:300], X_valid=X[300:])
    assert given.history_.stopped == "patience"
    with pytest.raises(ValueError, match="less than one row"):
        dv.VAE(early_stopping=True).fit(X[:5])


def test_warm_start_goes_on(X: np.ndarray) -> None:
    twice = dv.VAE(**{**QUICK, "max_epochs": 5}, warm_start=True).fit(X).fit(X)
    assert twice.n_iter_ == len(twice.loss_curve_) == 10
    assert twice.loss_curve_[9] < twice.loss_curve_[0]
    fresh = dv.VAE(**{**QUICK, "max_epochs": 5}).fit(X).fit(X)
    assert fresh.n_iter_ == 5


def test_a_cfg_is_a_path_or_a_text() -> None:
    table = dv.load_table(ROOT / "data" / "digits.csv", label_column="label")
    X = table.X[:200]
    path = ROOT / "cfg" / "vae_digits.cfg"
    models = [dv.VAE(cfg=cfg, max_epochs=2, random_state=0).fit(X) for cfg in (path, str(path), path.read_text())]
    net = dv.Network(path, seed=0)
    net.train(X / np.float32(16), 2)
    for model in models:
        assert np.allclose(model.transform(X), net.encode(X / np.float32(16))[0], atol=1e-6)
        assert model.reconstruct(X).min() >= 0 and 8 < model.reconstruct(X).max() <= 16
    with pytest.raises(ValueError, match="X has 30 features, but the cfg of VAE is expecting 64 features"):
        dv.VAE(cfg=path).fit(X[:, :30])
    with pytest.raises(ValueError, match="latent=3 beside cfg="):
        dv.VAE(latent=3, cfg=path).fit(X)


# ---- rows that count more


@pytest.mark.parametrize("kind", [dv.VAE, dv.Autoencoder, dv.VAEDetector])
def test_whole_weights_are_copies_of_rows_in_arrays_and_tables(kind: Any, X: np.ndarray) -> None:
    weights = np.random.default_rng(0).integers(0, 4, 100)
    frame = table(100).drop(columns="when")
    quick = {**QUICK, "max_epochs": 1}
    for rows, copies in ((X[:100], X[:100].repeat(weights, axis=0)), (frame, frame.loc[frame.index.repeat(weights)])):
        one, other = kind(**quick).fit(rows, sample_weight=weights), kind(**quick).fit(copies)
        assert np.array_equal(one.score_samples(rows), other.score_samples(rows))
        assert getattr(one, "offset_", 0) == getattr(other, "offset_", 0)
    # in one batch, whatever the order
    few, order = slice(12), np.random.default_rng(1).permutation(12)
    one = kind(**quick).fit(X[few][order], sample_weight=weights[few][order])
    assert np.array_equal(one.score_samples(X), kind(**quick).fit(X[few].repeat(weights[few], axis=0)).score_samples(X))


def test_other_weights_count_in_scaling_training_mixture_and_offset() -> None:
    rng = np.random.default_rng(0)
    groups = np.concatenate([rng.normal(size=(300, 3)), rng.normal(size=(300, 3)) + 6])
    weights = np.repeat([0.1, 0.9], 300)
    for kind in (dv.VAE, dv.Autoencoder):
        model = kind(latent=1, random_state=0, max_epochs=60).fit(groups, sample_weight=weights)
        assert (model.sample(2000, random_state=0)[:, 0] > 3).mean() == pytest.approx(0.9, abs=0.03)
    detector = dv.VAEDetector(random_state=0).fit(groups, sample_weight=weights)
    found = detector.predict(groups) == -1
    assert np.average(found, weights=weights) == pytest.approx(0.1, abs=0.01) and found[:300].mean() > 0.5
    # equal weights are none, and a column of copies has the quantiles of weights up to what lies between two values
    scores = [kind(**QUICK).fit(groups, sample_weight=w).score_samples(groups) for w in (None, np.full(600, 0.3))]
    assert np.array_equal(*scores)
    from darknet_vae.codings import quantiles

    x, w = rng.normal(size=50), rng.integers(1, 5, 50)
    assert np.allclose(quantiles(x, [0, 10, 50, 100], np.full(50, 3.0)), np.percentile(x, [0, 10, 50, 100]))
    places = [abs((x.repeat(w) <= q).mean() - p / 100) for p, q in zip((25, 50), quantiles(x, [25, 50], w), strict=True)]
    assert max(places) <= 4 / w.sum()


def test_an_identifier_stays_one_when_rows_count_twice() -> None:
    frame = table(60).assign(key=[f"r{i}" for i in range(60)])
    with pytest.warns(UserWarning, match="'key' is left out as an identifier"):
        model = dv.VAE(**{**QUICK, "max_epochs": 1}).fit(frame, sample_weight=np.full(60, 2))
    assert "key" not in model.network_.schema.coded


def test_weights_go_through_pipelines_and_wrong_ones_are_named(X: np.ndarray) -> None:
    pipe = make_pipeline(StandardScaler(), dv.VAE(**QUICK)).fit(X, vae__sample_weight=np.ones(400))
    assert np.array_equal(pipe.transform(X), make_pipeline(StandardScaler(), dv.VAE(**QUICK)).fit(X).transform(X))
    for wrong, message in (
        (np.full(400, -1.0), "Negative values in sample_weight: -1 at row 0"), (np.zeros(400), "non-zero|are 0"),
        (np.ones(5), "sample_weight"), (np.full(400, np.nan), "NaN"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            dv.VAE(**QUICK).fit(X, sample_weight=wrong)


def test_wrong_arguments_are_named(X: np.ndarray) -> None:
    for wrong in ({"latent": 0}, {"beta": -1}, {"likelihood": "normal"}, {"max_epochs": 2.5}, {"tol": "x"}):
        name = next(iter(wrong))
        with pytest.raises(ValueError, match=name):
            dv.VAE(**wrong).fit(X)
    with pytest.raises(ValueError, match="latent=6: it must be below"):
        dv.Autoencoder(latent=6).fit(X)
    with pytest.raises(NotFittedError, match="fit"):
        dv.VAE().transform(X)
    with pytest.raises(ValueError, match="X has 4 features, but VAE is expecting 6"):
        dv.VAE(**QUICK).fit(X).transform(X[:, :4])


# ---- with the rest of scikit-learn


def test_pipelines_searches_and_clones(X: np.ndarray) -> None:
    pipe = make_pipeline(StandardScaler(), dv.VAE(latent=2, **QUICK))
    assert pipe.fit_transform(X).shape == (400, 2) and list(pipe.get_feature_names_out()) == ["vae0", "vae1"]
    assert cross_val_score(dv.VAE(**QUICK), X, cv=3).shape == (3,)
    search = GridSearchCV(dv.VAE(**QUICK), {"latent": [1, 3]}, cv=2, n_jobs=2).fit(X)
    assert search.best_params_["latent"] in (1, 3) and np.isfinite(search.cv_results_["mean_test_score"]).all()
    model = dv.VAE(beta=0.5, hidden=(8, 4), random_state=1)
    assert clone(model.fit(X)).get_params() == model.get_params() and not hasattr(clone(model), "network_")
    columns = ColumnTransformer(
        [("a", dv.VAE(latent=1, **QUICK), [0, 1, 2]), ("b", dv.Autoencoder(latent=1, **QUICK), [3, 4, 5])]
    )
    assert columns.fit_transform(X).shape == (400, 2)
    assert list(columns.get_feature_names_out()) == ["a__vae0", "b__autoencoder0"]


def test_a_pickle_is_exact_and_goes_on_training(X: np.ndarray) -> None:
    for kind in (dv.VAE, dv.Autoencoder, dv.VAEDetector):
        model = kind(warm_start=True, **QUICK).fit(X)
        copy = pickle.loads(pickle.dumps(model))
        assert np.array_equal(copy.score_samples(X), model.score_samples(X))
        if kind is dv.VAE:
            assert np.array_equal(copy.fit(X).transform(X), model.fit(X).transform(X))


# ---- tables


def table(rows: int = 600, seed: int = 0) -> Any:
    """Columns of every kind, of which some depend on others, with missing cells."""
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(seed)
    kind = rng.choice(["low", "middle", "high"], rows, p=[0.5, 0.3, 0.2])
    level = np.select([kind == "low", kind == "middle"], [0.0, 4.0], 10.0)
    frame = pd.DataFrame({
        "kind": pd.Categorical(kind),
        "amount": np.round(np.exp(level / 4 + rng.normal(scale=0.3, size=rows)), 2),
        "count": rng.poisson(level * 10 + 5),
        "paid": rng.random(rows) < 0.1 + 0.08 * level,
        "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, rows), unit="D"),
        "word": np.where(level > 5, "yes", "no"),
        "ratio": (level + rng.normal(size=rows)).astype(np.float32),
    })  # fmt: skip
    gone = rng.random(frame.shape) < 0.03
    for j, name in enumerate(["amount", "word"]):
        frame.loc[gone[:, j], name] = None
    return frame


@pytest.fixture(scope="module")
def fitted() -> Any:
    return dv.VAE(random_state=0, max_epochs=100).fit(table())


def test_new_rows_have_the_columns_and_types_of_the_table(fitted: Any) -> None:
    frame = table()
    drawn = fitted.sample(500, random_state=0)
    assert drawn.columns.equals(frame.columns) and len(drawn) == 500
    assert drawn.dtypes.equals(frame.dtypes)
    assert fitted.sample(500, random_state=0).equals(drawn) and not fitted.sample(500, random_state=1).equals(drawn)
    for name in ("amount", "count", "when", "ratio"):
        assert frame[name].min() <= drawn[name].min() and drawn[name].max() <= frame[name].max()
    assert set(drawn["kind"]) == {"low", "middle", "high"} and set(drawn["word"]) == {"yes", "no"}
    assert abs((drawn["kind"] == "low").mean() - 0.5) < 0.1
    assert drawn.groupby("kind", observed=True)["count"].mean()["high"] > 3 * drawn["count"][drawn["kind"] == "low"].mean()
    assert (drawn["amount"] == drawn["amount"].round(2)).all()


@pytest.mark.parametrize("name", ["#n", "a;b", 'a, "b" # c', " a ", "a\tb", "caf\u00e9\u00a0au lait", "="])
def test_a_column_may_have_any_name(name: str) -> None:
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.normal(size=80), "other": rng.choice(["x", "y", "z"], 80)})
    vae = dv.VAE(random_state=0, max_epochs=1).fit(frame)
    assert list(vae.sample(3, random_state=0).columns) == [name, "other"]
    assert list(dv.VAE(random_state=0, max_epochs=1).fit(frame[[name]]).sample(3, random_state=0).columns) == [name]


def test_latents_of_a_table_and_back(fitted: Any) -> None:
    frame = table()
    frame.index = np.arange(len(frame)) + 100
    z = fitted.transform(frame)
    assert z.shape == (600, 7) and z.dtype == np.float32 and fitted.n_features_in_ == 7
    assert list(fitted.feature_names_in_) == list(frame.columns)
    back = fitted.inverse_transform(z)
    assert back.columns.equals(frame.columns) and (back["kind"].to_numpy() == frame["kind"].to_numpy()).mean() > 0.95
    assert np.array_equal(fitted.transform(frame[7:8]), z[7:8]) and np.array_equal(
        fitted.score_samples(frame)[::-1], fitted.score_samples(frame[::-1])
    )
    named = clone(fitted).set_params(max_epochs=1).set_output(transform="pandas").fit_transform(frame)
    assert list(named.columns) == [f"vae{i}" for i in range(7)] and named.index.equals(frame.index)


def test_a_vae_is_told_columns_and_rows_are_decoded_for_others() -> None:
    frame = table()
    model = dv.VAE(condition=["kind", "when", "word"], random_state=0, max_epochs=15).fit(frame)
    z = model.transform(frame)
    assert z.shape == (600, 4)
    drawn = model.sample(100, random_state=0, condition={"kind": "high", "word": "yes"})
    assert set(drawn["kind"]) == {"high"} and set(drawn["word"]) == {"yes"} and drawn["count"].mean() > 80
    given = frame[["word", "when", "kind"]].fillna({"word": "no"})
    many = model.sample(condition=given, random_state=0)
    assert many[list(given)].equals(given) and many.dtypes.equals(frame.dtypes)
    assert np.corrcoef(many["count"], frame["count"])[0, 1] > 0.6
    for other in (given.to_dict("list"), pytest.importorskip("polars").from_pandas(given.astype({"kind": str}))):
        assert model.sample(condition=other, random_state=0).equals(many)
    back = model.reconstruct(frame.fillna({"word": "no"}))
    assert back[list(given)].equals(given)
    low = model.inverse_transform(z, condition={"kind": "low", "word": "no", "when": "2024-02-03"})
    assert low["count"].mean() < 15 < back["count"].mean()
    assert np.array_equal(pickle.loads(pickle.dumps(model)).score_samples(frame), model.score_samples(frame))
    for call, message in (
        (lambda: model.inverse_transform(z), r"condition=\['kind', 'when', 'word'\]: condition= is missing"),
        (lambda: model.inverse_transform(z, condition={"kind": "low"}), "column 'when' is missing"),
        (lambda: model.inverse_transform(z, condition=given[:5]), "5 rows; wanted is 600"),
        (lambda: model.sample(5, condition={"kind": "hgh"}), "did you mean 'high'"),
        (lambda: model.sample(5, condition={"kind": ["hgh"]}), "column 'when' is missing"),
        (lambda: model.sample(condition=frame), "not told column 'amount'"),
        (lambda: dv.VAE(condition=["knd"]).fit(frame), "condition 'knd': there is no such column.*did you mean 'kind'"),
        (lambda: dv.VAE(condition="kind").fit(np.eye(4)), "X is a matrix"),
        (lambda: dv.VAE(condition=list(frame)).fit(frame), "none is left to model"),
        (lambda: dv.VAE(condition="kind", cfg=dv.bundled("vae_digits.cfg")).fit(frame), "leave condition out"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_gaps_of_a_table_are_filled_and_other_cells_stay(fitted: Any) -> None:
    frame = table(seed=1).dropna().reset_index(drop=True)
    gaps = frame.copy()
    gaps.loc[::3, "word"] = None
    gaps.loc[1::3, "amount"] = np.nan
    filled = fitted.impute(gaps)
    assert not filled.isna().to_numpy().any() and list(filled.columns) == list(frame.columns)
    for name in frame:
        kept = ~gaps[name].isna()
        assert (filled[name][kept] == frame[name][kept]).all()
    assert (filled["word"] == frame["word"])[::3].mean() > 0.9
    error = np.abs(np.log(filled["amount"] / frame["amount"]))[1::3]
    assert error.mean() < 0.7 * np.abs(np.log(frame["amount"] / frame["amount"].median())).mean()


def test_columns_that_are_missing_or_new_words(fitted: Any) -> None:
    frame = table()
    with pytest.raises(ValueError, match=r"unseen at fit time:\n- sum"):
        fitted.transform(frame.rename(columns={"amount": "sum"}))
    with pytest.raises(ValueError, match=r"yet now missing:\n- amount"):
        fitted.transform(frame.drop(columns="amount"))
    frame["word"] = "perhaps"
    with pytest.warns(UserWarning, match="perhaps"):
        assert np.isfinite(fitted.transform(frame)).all()
    with pytest.raises(ValueError, match="NaN, in column 'amount'"):
        dv.VAE(missing=False).fit(table())
    with pytest.raises(ValueError, match="likelihood='gaussian' is for numbers"):
        dv.VAE(likelihood="gaussian").fit(table())


@pytest.mark.filterwarnings("ignore:no column has different values")
def test_tables_that_cannot_be_learned_are_refused(fitted: Any) -> None:
    pd = pytest.importorskip("pandas")
    frame = table(60)
    for wrong, message in (
        (pd.concat([frame, frame[["count"]]], axis=1), "two columns with the name 'count'"),
        (frame[:0], "0 rows"),
        (pd.DataFrame({"a": [1, 1, 1], "b": ["x"] * 3}), "no column of this table says anything"),
    ):
        with pytest.raises(ValueError, match=message):
            dv.VAE(**QUICK).fit(wrong)
    with pytest.raises(ValueError, match="0 rows"):
        fitted.transform(frame[:0])
    with pytest.raises(ValueError, match="a data frame may have words in it"):
        dv.VAE(**QUICK).fit(np.array([["a", "b"], ["c", "d"]]))
    with pytest.raises(TypeError, match="Sparse"):
        dv.VAE(**QUICK).fit(pytest.importorskip("scipy.sparse").csr_matrix(np.eye(5)))


def test_numbers_of_any_size_are_scaled() -> None:
    X = np.random.default_rng(0).normal(size=(200, 4)) * [1e300, 1e-300, 1, 0] + [0, 0, 1e9, 7]
    for kind in (dv.VAE, dv.Autoencoder, dv.VAEDetector):
        assert np.isfinite(kind(**QUICK).fit(X).score_samples(X)).all()


def test_a_table_is_a_table_in_every_library(fitted: Any) -> None:
    frame = table()
    pl, pa = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    z = fitted.transform(frame)
    plain = frame.astype({"kind": str, "word": str}).where(frame.notna())  # whose categories have no order of their own
    for other, kind in ((pl.from_pandas(plain), pl.DataFrame), (pa.Table.from_pandas(plain), pa.Table)):
        assert np.array_equal(fitted.transform(other), z)
        model = dv.VAE(random_state=0, max_epochs=2).fit(other)
        for made in (model.sample(20, random_state=0), model.inverse_transform(model.transform(other))):
            assert isinstance(made, kind) and list(frame.columns) == list(model.feature_names_in_)
        filled = model.impute(other)
        assert isinstance(filled, kind) and filled.shape == frame.shape
        types = [str(kind) for kind in (other.dtypes if kind is pl.DataFrame else other.schema.types)]
        for made in (filled, model.sample(3)):
            assert [str(kind) for kind in (made.dtypes if kind is pl.DataFrame else made.schema.types)] == types


def test_a_detector_reads_tables_and_numbers_in_them_as_a_matrix(X: np.ndarray) -> None:
    pd = pytest.importorskip("pandas")
    frame = table()
    odd = frame.head(5).copy()
    odd["kind"], odd["count"], odd["ratio"] = "low", 300, 40.0
    detector = dv.VAEDetector(contamination=0.02, random_state=0).fit(frame)
    assert (detector.predict(odd) == -1).all() and (detector.predict(frame) == -1).mean() == pytest.approx(0.02, abs=0.01)
    assert detector.contributions(odd).shape == (5, 7)
    numbers = pd.DataFrame(X, columns=list("abcdef"))
    assert np.array_equal(
        dv.VAEDetector(**QUICK).fit(numbers).score_samples(numbers), dv.VAEDetector(**QUICK).fit(X).score_samples(X)
    )
    numbers.iloc[3, 2] = np.nan
    assert np.isfinite(dv.VAEDetector(**QUICK).fit(numbers).score_samples(numbers)).all()


@pytest.mark.filterwarnings("ignore:.*(warm-up|beta of)")
def test_tables_with_the_rest(fitted: Any, tmp_path: Path) -> None:
    frame = table()
    copy = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(copy.score_samples(frame), fitted.score_samples(frame)) and copy.sample(5, random_state=0).equals(
        fitted.sample(5, random_state=0)
    )
    search = GridSearchCV(dv.VAE(random_state=0, max_epochs=2), {"latent": [1, 3]}, cv=2).fit(frame)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    warm = dv.VAE(random_state=0, max_epochs=2, warm_start=True, early_stopping=True).fit(frame).fit(frame)
    assert 2 <= warm.n_iter_ <= 4 and warm.history_.valid_loss
    assert dv.VAE(random_state=0, max_epochs=2, early_stopping=True).fit(frame[:400], X_valid=frame[400:]).history_.valid_loss
    autoencoder = dv.Autoencoder(latent=3, random_state=0, max_epochs=20).fit(frame)
    assert autoencoder.transform(frame).shape == (600, 3) and autoencoder.sample(9).dtypes.equals(frame.dtypes)
    fitted.network_.save(tmp_path / "m.safetensors")  # the schema is in it
    loaded = dv.Network.load(tmp_path / "m.safetensors")
    assert np.allclose(loaded.encode(frame)[0], fitted.transform(frame), atol=1e-5)
    given = dv.VAE(cfg=fitted.network_.cfg_text, max_epochs=2, random_state=0).fit(frame)
    assert given.sample(4).dtypes.equals(frame.dtypes)


OF_FRAMES = [
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_dataframe_column_names_consistency",
]


@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names")  # which these checks provoke
@pytest.mark.parametrize("name", OF_FRAMES)
@pytest.mark.parametrize("kind", [dv.VAE, dv.Autoencoder, dv.VAEDetector])
def test_scikit_learns_checks_of_data_frames_pass(kind: Any, name: str) -> None:
    if kind is dv.VAEDetector and "consistency" not in name:
        return
    import sklearn.utils.estimator_checks as checks

    pytest.importorskip("polars" if "polars" in name else "pandas")
    getattr(checks, name)(kind.__name__, kind(max_epochs=2, random_state=0))


# ---- without scikit-learn


def test_the_package_loads_neither_scikit_learn_nor_pandas() -> None:
    code = "import sys, darknet_vae as dv; dv.Network; print({'sklearn', 'pandas', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()", done.stderr


def test_without_scikit_learn_the_error_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "sklearn.py").write_text("raise ImportError('No module named sklearn')")
    code = "import darknet_vae as dv\nfrom darknet_vae import *\ntry: dv.VAE\nexcept ImportError as e: print(type(e).__name__, e)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.stdout.startswith("MissingPackageError") and "pip install 'darknet-vae[sklearn]'" in done.stdout, done.stderr
