"""Samples mixed with others: partners, proportions and labels; the same in a batch, alone, and in a dataset."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy import stats

from bridgeflow import Compose, CutMix, Gain, Loader, Mixup, Scale, SignalDataset, ToArrow, Transform, seeded
from bridgeflow.errors import ConfigError, DataError, KeyNotFound, OutOfContext
from bridgeflow.testing import check_transform
from tests.transforms.augmentations import MIXES

ALL = [one for name in sorted(MIXES) for one in MIXES[name]]
KINDS = pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
BOTH = pytest.mark.parametrize("cls", [Mixup, CutMix])


def run(transform: Any, data: Any, rows: int) -> Any:
    with seeded(0, rows=range(rows)):
        return transform(data)


def data(rows: int, kind: Any = np.asarray) -> dict[str, Any]:
    """Samples that are their row number everywhere."""
    x = np.tile(np.arange(float(rows))[:, None, None], (1, 2, 50))
    return {"x": kind(x), "label": kind(np.arange(rows) % 3), "row": kind(np.arange(rows))}


@pytest.mark.parametrize("transform", ALL, ids=repr)
class TestContract:
    def test_keeps_the_contract(self, transform: Transform):
        check_transform(transform, skip={"batches"})  # partners are those of the batch
        check_transform(transform, torch.from_numpy(np.ones((2, 30))).requires_grad_(), skip={"batches"})
        check_transform(transform, np.arange(60, dtype="uint16").reshape(2, 30), skip={"batches"})
        x = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ones((3, 5)))
        check_transform(transform, x, skip={"batches"})
        nested = replace(transform, keys="x", labels="y", classes=3)  # type: ignore[call-arg]
        check_transform(nested, {"x": np.ones((2, 30)), "y": np.array(2), "id": "a"}, skip={"batches"})

    def test_configuration_and_evaluation(self, transform: Transform):
        assert Transform.from_config(json.loads(json.dumps(transform.to_config()))) == transform
        assert transform.random
        assert Compose([Gain(db=3), transform, Scale(scale=2.0)]).eval() == Compose([Scale(scale=2.0)])
        assert "mixes samples of a dataset" in transform.stream_obstacle
        with pytest.raises(OutOfContext):
            transform(np.ones((2, 30)))

    def test_gradients(self, transform: Transform):
        x = torch.randn(3, 2, 6, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda x: run(transform, x, 3), (x,))


class TestResults:
    @KINDS
    def test_mixup_is_the_weighted_sum(self, kind: Any):
        mixed = run(Mixup(keys="x", labels="label", classes=3), data(500, kind), 500)
        x, label = np.asarray(mixed["x"]), np.asarray(mixed["label"])
        assert (x == x[:, :1, :1]).all()
        assert mixed["label"].shape == (500, 3)
        assert str(label.dtype) == "float32"
        np.testing.assert_allclose(label.sum(1), 1, rtol=1e-6)
        np.testing.assert_array_equal(mixed["row"], np.arange(500))

    def test_weights_are_of_the_beta_distribution(self):
        ones = {"x": np.ones((1000, 1)), "y": np.eye(1000)}
        mixed = run(Mixup(keys="x", labels="y", alpha=0.4), ones, 1000)
        np.testing.assert_allclose(mixed["x"], 1)
        own = mixed["y"][np.arange(1000), np.arange(1000)]
        assert stats.kstest(own, stats.beta(0.4, 0.4).cdf).pvalue > 0.01

    def test_partners_are_uniform_among_the_others(self):
        mixed = run(Mixup(keys="x", labels="y", alpha=5.0), {"x": np.ones((2000, 1)), "y": np.eye(2000)}, 2000)["y"]
        assert ((mixed > 0).sum(1) == 2).all()
        np.fill_diagonal(mixed, 0)
        distance = (mixed.argmax(1) - np.arange(2000)) % 2000
        assert distance.min() > 0
        assert stats.kstest(distance / 2000, stats.uniform.cdf).pvalue > 0.01

    @KINDS
    def test_cutmix_replaces_one_stretch(self, kind: Any):
        values = data(1500, kind) | {"label": kind(np.eye(1500, dtype="float32"))}
        mixed = run(CutMix(keys="x", labels="label"), values, 1500)
        x, label = np.asarray(mixed["x"]), np.asarray(mixed["label"])
        foreign = x != np.arange(1500)[:, None, None]
        assert (foreign[:, 0] == foreign[:, 1]).all()
        assert (abs(np.diff(foreign[:, 0].astype(int), axis=1)).sum(1) <= 2).all()
        own = label[np.arange(1500), np.arange(1500)]
        np.testing.assert_allclose(own, 1 - foreign[:, 0].mean(1), atol=1e-6)
        lengths = foreign[:, 0].sum(1)
        expected = np.full(51, 1500 / 50)
        expected[[0, -1]] /= 2  # half as much is rounded to the ends
        assert stats.chisquare(np.bincount(lengths, minlength=51), expected).pvalue > 0.01
        ends = np.array([row.argmax() / (50 - row.sum()) for row in foreign[:, 0] if 5 < row.sum() < 25])
        assert abs(ends.mean() - 0.5) < 0.03

    @BOTH
    def test_as_often_as_asked(self, cls: Any):
        mixed = run(cls(keys="x", labels="label", classes=3, alpha=50.0, p=0.3), data(2000), 2000)
        changed = (mixed["x"] != data(2000)["x"]).any((1, 2))
        assert stats.binomtest(int(changed.sum()), 2000, 0.3).pvalue > 0.01
        one_hot = np.eye(3, dtype="float32")[np.arange(2000) % 3]
        np.testing.assert_array_equal(mixed["label"][~changed], one_hot[~changed])

    @BOTH
    def test_infinities_stay_where_nothing_is_mixed(self, cls: Any):
        x = np.full((50, 4), np.inf)
        assert np.isinf(run(cls(labels=(), p=0.5), x, 50)).all()

    @pytest.mark.parametrize(
        ("dtype", "mixed"), [("int16", "float32"), ("int32", "float64"), ("float16", "float16"), ("bool", "float32")]
    )
    def test_element_types(self, dtype: str, mixed: str):
        x = np.ones((4, 3), dtype)
        assert run(Mixup(labels=()), x, 4).dtype == mixed
        assert run(CutMix(labels=()), x, 4).dtype == dtype
        assert run(Mixup(labels=()), torch.ones(4, 3, dtype=torch.bfloat16), 4).dtype == torch.bfloat16

    def test_several_labels(self):
        values = {"x": np.ones((6, 4)), "y": np.arange(6) % 2, "age": np.arange(6.0), "id": list("abcdef")}
        mixed = run(Mixup(keys="x", labels=("y", "age"), classes=2), values, 6)
        assert mixed["y"].shape == (6, 2)
        assert mixed["age"].shape == (6,)
        assert mixed["id"] == list("abcdef")


class TestErrors:
    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"labels": None}, "labels"),
            ({"labels": "y", "alpha": 0}, "alpha"),
            ({"labels": "y", "alpha": "much"}, "alpha"),
            ({"labels": "y", "classes": 1}, "classes"),
            ({"labels": "y", "classes": 2.5}, "classes"),
            ({"labels": "y", "p": 2}, "p"),
        ],
        ids=lambda one: one if isinstance(one, str) else "-".join(one),
    )
    @BOTH
    def test_a_bad_field_is_named(self, cls: Any, fields: dict[str, Any], field: str):
        with pytest.raises(ConfigError, match=rf"\b{field}\b"):
            cls(**fields)
        with pytest.raises(ConfigError, match="counted from the end"):
            CutMix(labels=(), axis=0)

    @BOTH
    def test_labels(self, cls: Any):
        for call in (lambda one: run(one, data(6), 6), lambda one: one.explain(data(6))):
            with pytest.raises(ConfigError, match="labels of type int64 are class numbers; say classes="):
                call(cls(keys="x", labels="label"))
            with pytest.raises(KeyNotFound, match="lable"):
                call(cls(keys="x", labels="lable"))
            with pytest.raises(ConfigError, match="keys must name the arrays to mix"):
                call(cls(labels="label", classes=3))
        with pytest.raises(DataError, match="class numbers must be from 0 to 1, got 2"):
            run(cls(keys="x", labels="label", classes=2), data(6), 6)

    @BOTH
    def test_shapes(self, cls: Any):
        with pytest.raises(DataError, match="expected a batch of 3 samples"):
            run(cls(labels=()), np.ones((2, 5)), 3)
        rows = pa.array([[1.0, 2.0], [1.0, 2.0, 3.0]])
        dataset = SignalDataset({"x": rows}, transform=cls(labels=()), ragged="list")
        with pytest.raises(DataError, match="samples to mix must have one shape"):
            dataset.batch([0, 1])


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@BOTH
class TestInADataset:
    def dataset(self, cls: Any, kind: Any, *stages: Any, rows: int = 40) -> SignalDataset:
        mix = cls(keys="x", labels="label", classes=3, alpha=0.8, p=0.8)
        return SignalDataset(data(rows), transform=Compose([*stages, mix]), kind=kind, seed=5)

    def test_partners_come_from_all_rows(self, cls: Any, kind: Any):
        batch = self.dataset(cls, kind).batch(range(40))
        with seeded(5, rows=range(40)):
            expected = cls(keys="x", labels="label", classes=3, alpha=0.8, p=0.8)(data(40))
        for name in ("x", "label", "row"):
            np.testing.assert_allclose(np.asarray(batch[name]), expected[name], rtol=1e-6)

    def test_a_row_is_the_same_in_any_batch(self, cls: Any, kind: Any):
        dataset = self.dataset(cls, kind, Gain(keys="x", db=(-20, 20)))
        whole = dataset.batch(range(40))
        for rows in ([3], [7, 3, 3, 20], range(39, -1, -1)):
            batch = dataset.batch(rows)
            for name in ("x", "label", "row"):
                np.testing.assert_array_equal(np.asarray(batch[name]), np.asarray(whole[name])[list(rows)])
        np.testing.assert_array_equal(np.asarray(dataset[11]["x"]), np.asarray(whole["x"])[11])

    def test_a_partner_is_what_its_row_is_before(self, cls: Any, kind: Any):
        gains = np.asarray(self.dataset(cls, kind).batch(range(40))["row"])
        assert gains.tolist() == list(range(40))
        plain = SignalDataset(data(40), transform=Gain(keys="x", db=(-20, 20)), kind=kind, seed=5)
        before = {round(float(value), 9) for value in np.asarray(plain.batch(range(40))["x"])[:, 0, 0]}
        mixed = np.asarray(self.dataset(CutMix, kind, Gain(keys="x", db=(-20, 20))).batch(range(40))["x"])
        assert {round(float(value), 9) for value in mixed.ravel()} <= before

    def test_stages_after_go_on_with_their_own_numbers(self, cls: Any, kind: Any):
        mix = cls(keys="x", labels="label", classes=3)
        stages = Compose([mix, Gain(keys="x", db=(-20, 20)), replace(mix, labels=()), Gain(keys="x", db=(-20, 20))])
        dataset = SignalDataset(data(40), transform=stages, kind=kind)
        whole = dataset.batch(range(40))
        for row in (0, 17):
            np.testing.assert_array_equal(np.asarray(dataset[row]["x"]), np.asarray(whole["x"])[row])

    def test_plain_callables_and_other_kinds(self, cls: Any, kind: Any):
        def halved(sample: dict[str, Any]) -> dict[str, Any]:
            return {**sample, "x": sample["x"] / 2, "label": int(sample["label"])}

        dataset = self.dataset(cls, kind, halved)
        batch, alone = dataset.batch([3, 8]), dataset[8]
        np.testing.assert_array_equal(np.asarray(batch["x"])[1], np.asarray(alone["x"]))
        np.testing.assert_array_equal(np.asarray(batch["label"])[1], np.asarray(alone["label"]))
        straight = self.dataset(cls, kind, Scale(scale=0.5, keys="x")).batch([3, 8])
        np.testing.assert_allclose(np.asarray(batch["x"]), np.asarray(straight["x"]))
        arrow = self.dataset(cls, kind, ToArrow(keys="x")).batch([3, 8])["x"]
        assert isinstance(arrow, (pa.Array, pa.ExtensionArray))

    def test_an_error_after_it_names_the_row(self, cls: Any, kind: Any):
        def fails(sample: dict[str, Any]) -> dict[str, Any]:
            if int(sample["row"]) == 8:
                raise ZeroDivisionError
            return sample

        mix = cls(keys="x", labels="label", classes=3)
        dataset = SignalDataset(data(20), transform=Compose([mix, fails]), kind=kind)
        with pytest.raises(ZeroDivisionError) as caught:
            dataset.batch([3, 8])
        assert "in row 8" in str(getattr(caught.value, "__notes__", ""))
        wrong = SignalDataset(data(20), transform=Compose([Gain(keys="x", db=1), replace(mix, classes=2)]), kind=kind)
        with pytest.raises(DataError, match=rf"stage 2 \({cls.__name__}\).*class numbers"):
            wrong.batch([3, 8])

    def test_shares_of_ranks_are_those_of_one(self, cls: Any, kind: Any):
        dataset = self.dataset(cls, kind, Gain(keys="x", db=(-20, 20)))
        whole = {int(row): x for b in Loader(dataset, 8, seed=2) for row, x in zip(b["row"], b["x"], strict=True)}
        for rank in range(2):
            for batch in Loader(dataset, 4, seed=2, shuffle=True, rank=rank, world_size=2, threads=rank):
                for row, x in zip(batch["row"], batch["x"], strict=True):
                    np.testing.assert_array_equal(np.asarray(x), np.asarray(whole[int(row)]))
