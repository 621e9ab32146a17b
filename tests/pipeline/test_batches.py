"""Samples become batches of the same numbers in the same containers; what cannot is an error that names the place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.utils.data import default_collate

from bridgeflow.bridge import to_numpy
from bridgeflow.errors import DataError
from bridgeflow.pipeline.batches import Batch, Parts, Samples, Values, collate, finish, stack


class Pair(NamedTuple):
    x: Any
    y: Any


@dataclass(frozen=True)
class Record:
    x: Any
    name: str


def test_numbers_and_tensors_are_batched_as_torch_does_it():
    samples = [{"x": torch.full((2,), i), "n": i, "f": i / 2, "b": i > 1, "s": str(i)} for i in range(3)]
    ours, theirs = collate(samples), default_collate(samples)
    assert type(ours) is Batch
    assert list(ours) == list(theirs)
    for name in ("x", "n", "f", "b"):
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=0)
    assert ours["s"] == theirs["s"]


def test_ndarrays_stay_ndarrays_and_arrow_stays_arrow():
    result = collate([(np.ones(2, "float32"), pa.array([1, 2]))] * 3)
    assert type(result) is tuple
    assert result[0].dtype == np.float32
    assert result[0].shape == (3, 2)
    assert result[1].to_numpy_ndarray().tolist() == [[1, 2]] * 3


@pytest.mark.parametrize(
    ("sample", "kind"),
    [(Pair(torch.zeros(2), 1), Pair), (Record(torch.zeros(2), "a"), Record), ([torch.zeros(2)], list)],
)
def test_containers_keep_their_type(sample: Any, kind: type):
    result = collate([sample, sample])
    assert type(result) is kind
    assert (result[0] if kind is list else result.x).shape == (2, 2)


def test_what_is_no_number_is_listed():
    result = collate([{"a": None, "b": b"x", "c": 1}, {"a": None, "b": b"y", "c": "z"}])
    assert result == {"a": [None, None], "b": [b"x", b"y"], "c": [1, "z"]}


def test_integers_among_floats_are_floats():
    assert collate([1, 2.5]).tolist() == [1.0, 2.5]


class TestRagged:
    samples = [{"x": torch.ones(2, 3)}, {"x": torch.ones(2, 1)}]  # noqa: RUF012

    def test_is_an_error_with_its_place(self):
        with pytest.raises(DataError, match=r"^\$\.x: shapes \(2, 1\), \(2, 3\) make no batch; .*ragged=\"pad\""):
            collate(self.samples)

    def test_pad(self):
        result = collate(self.samples, ragged="pad")["x"]
        assert result[:, 0].tolist() == [[1, 1, 1], [1, 0, 0]]
        result = collate([np.ones(1, "int16"), np.ones(2, "int16")], ragged="pad")
        assert (result.dtype, result.tolist()) == (np.int16, [[1, 0], [1, 1]])

    def test_list(self):
        result = collate(self.samples, ragged="list")["x"]
        assert [tuple(one.shape) for one in result] == [(2, 3), (2, 1)]

    def test_other_axes_cannot_be_padded(self):
        with pytest.raises(DataError, match="make no batch"):
            collate([torch.ones(2, 3), torch.ones(1, 3)], ragged="pad")

    def test_is_one_of_its_words(self):
        with pytest.raises(ValueError, match="ragged must be one of 'error', 'pad', 'list', got 'jagged'"):
            collate(self.samples, ragged="jagged")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([{"a": 1}, {"b": 1}], r"sample 1 .* has another structure than the first, at \$\.a, \$\.b"),
        ([{"a": [1, 2]}, {"a": [1]}], r"another structure than the first, at \$\.a\[1\]"),
        ([{"a": torch.zeros(1)}, {"a": np.zeros(1)}], r"\$\.a: arrays of several kinds.*numpy, torch"),
        ([{"a": torch.zeros(1)}, {"a": None}], r"\$\.a: arrays of several kinds, or beside other values"),
    ],
)
def test_samples_that_make_no_batch(samples: list[Any], message: str):
    with pytest.raises(DataError, match=message):
        collate(samples)


MAKE = {"numpy": np.asarray, "torch": torch.tensor, "arrow": pa.array}


@pytest.mark.parametrize("kind", MAKE)
def test_rows_of_unequal_length_of_every_kind_follow_ragged(kind: str):
    samples = [{"x": MAKE[kind]([1.0, 2.0])}, {"x": MAKE[kind]([3.0])}]
    assert collate(samples, ragged="list")["x"] == [sample["x"] for sample in samples]
    padded = to_numpy(collate(samples, ragged="pad")["x"])
    assert padded.tolist() == [[1.0, 2.0], [3.0, 0.0]]
    with pytest.raises(DataError, match=r'pass ragged="list" or ragged="pad"$'):
        collate(samples)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize("ragged", ["error", "pad", "list"])
@pytest.mark.parametrize("second", [[[3.0]], 3.0], ids=["axes", "number"])
def test_an_error_about_shapes_advises_only_what_would_help(kind: str, ragged: Any, second: Any):
    samples = [{"x": MAKE[kind]([1.0, 2.0])}, {"x": MAKE[kind](second)}]
    if ragged == "list":
        assert len(collate(samples, ragged=ragged)["x"]) == 2
        return
    with pytest.raises(DataError, match=r'to one shape, or pass ragged="list"$'):
        collate(samples, ragged=ragged)


def test_no_samples():
    with pytest.raises(ValueError, match="at least one sample"):
        collate([])


def test_a_batch_is_taken_apart_into_views():
    data = {"x": torch.arange(6.0).reshape(3, 2), "y": np.arange(3), "z": Values(["a", "b", "c"])}
    parts = Parts(data, 3)
    assert len(parts) == 3
    assert (parts[1]["x"].tolist(), parts[-1]["y"].tolist(), parts[2]["z"]) == ([2.0, 3.0], 2, "c")
    assert (parts[1]["y"].shape, type(parts[1]["y"])) == ((), np.ndarray)
    parts[0]["x"][0] = 9
    assert data["x"][0, 0] == 9  # type: ignore[index, call-overload]
    assert [one["z"] for one in parts[1:]] == ["b", "c"]
    with pytest.raises(IndexError, match="there are 3 samples, got number 3"):
        parts[3]


def test_put_together_again_it_is_what_it_was():
    data = {"x": torch.arange(6.0).reshape(3, 2), "z": Values([1, 2, 3])}
    batch = finish(stack(list(Parts(data, 3))))
    assert torch.equal(batch["x"], data["x"])  # type: ignore[arg-type]
    assert batch["z"].tolist() == [1, 2, 3]


def test_samples_hand_their_batch_to_collate():
    batch = Batch(x=torch.zeros(2))
    assert collate(Samples(2, lambda: [1, 2], lambda: batch)) is batch


class TestBatch:
    def test_moves_what_is_a_tensor(self):
        batch = Batch(x=torch.zeros(2), more=[torch.zeros(1), "a"], y=np.zeros(2))
        moved = batch.to("meta")
        assert type(moved) is Batch
        assert (moved["x"].device.type, moved["more"][0].device.type) == ("meta", "meta")
        assert moved["y"] is batch["y"]
        assert batch["x"].device.type == "cpu"

    @pytest.mark.cuda
    def test_is_pinned(self):
        assert Batch(x=torch.zeros(2)).pin_memory()["x"].is_pinned()
