"""Pipelines as scikit-learn's transformers: its own checks, cross-validation, grid search; SciPy's filters compared."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import scipy.signal

from bridgeflow import (
    BandPower,
    Cast,
    Compose,
    Detrend,
    FitStandardize,
    Gain,
    Resample,
    Scale,
    SignalFilter,
    Standardize,
)
from bridgeflow.errors import ConfigError, KeyNotFound

sklearn = pytest.importorskip("sklearn")
from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import NotFittedError  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

from bridgeflow.integrations.sklearn import PipelineTransformer, as_transformer  # noqa: E402

BUTTER = SignalFilter(design="butter", order=4, cutoff=20.0, fs=100.0)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((12, 2, 50))


def butter(x: Any, order: int = 4) -> Any:
    return scipy.signal.sosfilt(scipy.signal.butter(order, 20, fs=100, output="sos"), x)


CHECKED = [Scale(scale=2.0), Compose([BUTTER]), [Scale(scale=0.5), FitStandardize(per="all")]]


@parametrize_with_checks([as_transformer(pipeline) for pipeline in CHECKED])
def test_scikit_learns_own_checks(estimator: Any, check: Any):
    check(estimator)


class TestTransform:
    def test_is_the_filter_of_each_row(self):
        np.testing.assert_allclose(as_transformer(BUTTER).fit_transform(X), butter(X).reshape(12, 100))
        np.testing.assert_allclose(as_transformer(BUTTER, flatten=False).fit_transform(X), butter(X))
        np.testing.assert_allclose(as_transformer(BUTTER).fit_transform(X[:, 0]), butter(X[:, 0]))

    @pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
    def test_keeps_the_element_type_as_the_stages_do(self, dtype: str):
        rows = (X * 100).astype(dtype)
        assert as_transformer(BUTTER).fit_transform(rows).dtype == BUTTER(rows).dtype

    def test_every_row_is_a_sample_of_its_own(self):
        """`Standardize` over a whole sample: of each row, and not of all rows together."""
        one = Standardize(per="all")
        together = as_transformer(one, flatten=False).fit_transform(X)
        np.testing.assert_array_equal(together, np.stack([one(row) for row in X]))

    def test_a_plain_callable_sees_one_row(self):
        pipeline = [BUTTER, lambda row: row.max(axis=-1)]
        np.testing.assert_allclose(as_transformer(pipeline).fit_transform(X), butter(X).max(axis=-1))

    def test_augmentations_do_not_run(self):
        one = as_transformer(Compose([Scale(scale=2.0), Gain(db=(-6.0, 6.0))]), flatten=False)
        np.testing.assert_array_equal(one.fit(X).transform(X), 2 * X)

    def test_stages_with_keys_find_none_in_plain_arrays(self):
        with pytest.raises(KeyNotFound):
            as_transformer(Scale(scale=2.0, keys="ecg")).fit(X)

    def test_before_it_is_fitted(self):
        with pytest.raises(NotFittedError):
            as_transformer(BUTTER).transform(X)

    @pytest.mark.parametrize("wrong", [SignalFilter, 3, [Scale(scale=1.0), None], "SignalFilter"], ids=repr)
    def test_what_is_not_a_pipeline(self, wrong: Any):
        with pytest.raises(TypeError, match="expected transforms, a Compose or a list of them"):
            as_transformer(wrong)
        with pytest.raises(TypeError, match="expected transforms, a Compose or a list of them"):
            PipelineTransformer(wrong).fit(X)


class TestFitting:
    def test_statistics_are_of_the_rows_that_were_fitted(self):
        train, test = 3 * X[:8] + 1, X[8:]
        one = as_transformer([Scale(scale=2.0), FitStandardize()], flatten=False).fit(train)
        center = (2 * train).mean(axis=(0, 2), keepdims=True)
        scale = (2 * train).std(axis=(0, 2), keepdims=True)
        np.testing.assert_allclose(one.transform(test), (2 * test - center) / scale)

    def test_the_original_stays_unfitted(self):
        pipeline = [FitStandardize(), BUTTER, FitStandardize(per="all")]
        one = as_transformer(pipeline)
        one.fit(X)
        assert one.pipeline is pipeline
        assert isinstance(pipeline[0], FitStandardize)
        assert not any(isinstance(stage, FitStandardize) for stage in one.pipeline_.stages)
        assert not hasattr(clone(one), "pipeline_")

    def test_each_fold_is_fitted_by_itself(self):
        y = np.arange(12) % 2
        scores = cross_val_score(make_pipeline(as_transformer([FitStandardize()]), LogisticRegression()), X, y, cv=3)
        assert scores.shape == (3,)


class TestParameters:
    def test_are_fields_by_the_name_of_their_stage(self):
        one = as_transformer(Compose([Detrend(), BUTTER, BUTTER]))
        params = one.get_params()
        assert params["signalfilter-1__order"] == 4
        assert params["signalfilter-2"] is BUTTER
        assert set(one.get_params(deep=False)) == {"pipeline", "flatten"}
        one.set_params(**{"signalfilter-2__order": 2, "signalfilter-2__cutoff": 10.0, "flatten": False})
        assert [stage.order for stage in one.pipeline.stages[1:]] == [4, 2]
        assert one.pipeline.stages[2].cutoff == 10.0
        assert one.flatten is False
        assert BUTTER.order == 4

    def test_a_stage_may_be_replaced_and_changed_at_once(self):
        one = as_transformer(BUTTER).set_params(signalfilter=BUTTER, signalfilter__order=3)
        assert one.pipeline == SignalFilter(design="butter", order=3, cutoff=20.0, fs=100.0)
        np.testing.assert_allclose(one.fit_transform(X[:, 0]), butter(X[:, 0], 3))
        assert one.set_params(pipeline=Scale(scale=2.0)).get_params()["scale__scale"] == 2.0

    def test_unknown_ones_are_named_with_the_nearest(self):
        with pytest.raises(ConfigError, match="no parameter 'signalfilter__ordr'; did you mean 'signalfilter__order'"):
            as_transformer(BUTTER).set_params(signalfilter__ordr=2)

    def test_values_that_a_stage_refuses(self):
        with pytest.raises(ValueError, match="order"):
            as_transformer(BUTTER).set_params(signalfilter__order=0).fit(X)

    def test_clones_and_pickles(self):
        one = as_transformer(Compose([BUTTER, Cast(dtype="float32")])).fit(X)
        again = pickle.loads(pickle.dumps(one))
        assert type(again) is PipelineTransformer
        np.testing.assert_array_equal(again.transform(X), one.transform(X))
        assert clone(one).get_params()["pipeline"] == one.pipeline
        assert "signalfilter" in repr(one).lower()

    def test_grid_search_over_the_order_finds_the_filter_that_tells_apart(self):
        time = np.arange(200) / 100
        y = np.arange(60) % 2
        rows = RNG.standard_normal((60, 200)) + 6 * np.sin(2 * np.pi * 30 * time + RNG.uniform(0, 6, (60, 1)))
        rows += 1.2 * y[:, None] * np.sin(2 * np.pi * 5 * time)
        model = make_pipeline(as_transformer(BUTTER), LogisticRegression(max_iter=200))
        grid = {"pipelinetransformer__signalfilter__order": [1, 6]}
        search = GridSearchCV(model, grid, cv=3).fit(rows, y)
        scores = dict(zip((1, 6), search.cv_results_["mean_test_score"], strict=True))
        for order, score in scores.items():
            plain = cross_val_score(LogisticRegression(max_iter=200), butter(rows, order), y, cv=3).mean()
            assert score == pytest.approx(plain, abs=0.02)


class TestOutput:
    def test_names_of_features(self):
        names = as_transformer(Resample(from_hz=100, to_hz=50)).fit(X[:, 0]).get_feature_names_out()
        assert names.tolist() == [f"pipelinetransformer{number}" for number in range(25)]

    def test_as_a_table_of_pandas(self):
        pandas = pytest.importorskip("pandas")
        table = pandas.DataFrame(X[:, 0], columns=[f"t{n}" for n in range(50)])
        one = as_transformer(BUTTER).set_output(transform="pandas")
        result = one.fit_transform(table)
        assert isinstance(result, pandas.DataFrame)
        np.testing.assert_allclose(result.to_numpy(), butter(X[:, 0]))
        assert one.feature_names_in_.tolist() == table.columns.tolist()
        with pytest.raises(ValueError, match="feature names should match"):
            one.transform(table.rename(columns={"t0": "other"}))

    def test_features_of_bands(self):
        bands = BandPower(bands=((1.0, 10.0), (10.0, 30.0)), fs=100.0, nperseg=50)
        assert as_transformer(bands).fit_transform(X).shape == (12, 4)
