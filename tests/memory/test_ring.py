"""Rings: slots that are free again when the last view of their lease dies, and batches written in them."""

from __future__ import annotations

import collections
import gc
import pickle
import threading
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow import memory
from bridgeflow.errors import BatchTooLarge, NoRoute
from bridgeflow.memory import Ring, pack, unpack, writing_batch
from tests.memory.census import census

Pair = collections.namedtuple("Pair", ["left", "right"])


def handed_over(batch: Any, ring: Ring) -> Any:
    """The batch after a trip through a slot."""
    number = ring.take()
    assert number is not None
    packed = pack(batch, ring.slot(number))
    return unpack(packed, ring.lease(number).bytes())


class TestLeases:
    def test_slots_are_whole_pages_and_do_not_overlap(self):
        ring = Ring(3, 5000)
        assert ring.slot_nbytes == 8192
        slots = [ring.slot(number).bytes() for number in range(3)]
        for value, slot in enumerate(slots):
            slot[:] = value
        assert [(slot == value).all() for value, slot in enumerate(slots)] == [True] * 3

    @pytest.mark.parametrize(
        "view",
        [
            lambda x: x,
            lambda x: x[3:5],
            lambda x: x.view("float32").reshape(2, -1).T,
            lambda x: torch.from_numpy(x),
            lambda x: torch.from_numpy(x)[1:].view(torch.uint8),
            lambda x: pa.py_buffer(x),
            lambda x: memoryview(x),
        ],
    )
    def test_a_slot_is_free_when_its_last_view_dies(self, view: Callable[[Any], Any]):
        ring = Ring(2, 4096)
        number = ring.take()
        assert number is not None
        kept = view(ring.lease(number).bytes())
        assert (ring.free, ring.leased) == (1, 1)
        del kept
        assert (ring.free, ring.leased) == (2, 0)

    def test_the_memory_outlives_the_ring(self):
        before = census()
        ring = Ring(2, 4096)
        x = ring.lease(ring.take() or 0).bytes()
        x[:] = 3
        del ring
        gc.collect()
        assert x.sum() == 3 * 4096
        del x
        assert census() == before

    def test_taken_and_given(self):
        ring = Ring(2, 4096)
        numbers = [ring.take(), ring.take()]
        assert sorted(number for number in numbers if number is not None) == [0, 1]
        assert ring.take() is None
        ring.give(1)
        assert ring.take() == 1

    def test_leases_die_in_any_thread(self):
        ring = Ring(8, 4096)
        for _ in range(50):
            kept = []
            while (number := ring.take()) is not None:
                kept.append(ring.lease(number).bytes())
            threads = [threading.Thread(target=kept.pop) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert (ring.free, ring.leased) == (8, 0)

    @pytest.mark.parametrize(("slots", "size"), [(0, 1), (1, 0), (-1, 5)])
    def test_there_is_something_to_lease(self, slots: int, size: int):
        with pytest.raises(ValueError, match="at least one slot"):
            Ring(slots, size)

    def test_in_another_process_it_is_the_same_memory(self):
        ring = Ring(2, 4096)
        there = pickle.loads(pickle.dumps(ring))
        there.slot(1).bytes()[:] = 7
        assert (ring.slot(1).bytes() == 7).all()

    def test_a_private_consumer_writes_for_itself_and_sees_the_next_batch(self):
        ring = Ring(2, 8192)
        consumer = ring.private()
        for value in range(1, 4):
            number = consumer.take()
            assert number is not None
            ring.slot(number).bytes()[:] = value
            batch = consumer.lease(number).bytes()
            assert (batch == value).all()
            batch[:] = 99
            assert (ring.slot(number).bytes() == value).all()
            del batch

    def test_what_somebody_keeps_of_a_slot_is_his_own(self):
        ring = Ring(2, 8192)
        slot = ring.slot(1)
        kept = slot.empty((8192,), "u1")
        assert kept is not None
        kept[:] = 1
        ring.detach(1, slot.used)
        assert (ring.slot(1).bytes() == 1).all()  # the batch as it was written
        ring.slot(1).bytes()[:] = 2
        assert (kept == 1).all()
        kept[0] = 3
        assert ring.slot(1).bytes()[0] == 2
        assert not ring.slot(0).bytes().any()
        before = census()
        del kept, slot
        assert census().mappings < before.mappings


class TestAllocation:
    def test_empty_is_numpys_outside_of_a_worker(self):
        x = memory.empty((2, 3), "int16")
        assert (x.shape, x.dtype, x.base) == ((2, 3), np.dtype("int16"), None)
        assert memory.empty(4).dtype == np.float64

    def test_arrays_are_cut_from_the_slot_on_cache_lines(self):
        ring = Ring(2, 4096)
        slot = ring.slot(1)
        with writing_batch(slot):
            arrays = [memory.empty(n, "u1") for n in (1, 64, 65, 0, 7)]
        addresses = [x.__array_interface__["data"][0] - slot.address for x in arrays]
        assert addresses == [0, 64, 128, 256, 256]
        assert memory.empty(3).base is None

    def test_what_does_not_fit_is_elsewhere(self):
        slot = Ring(1, 4096).slot(0)
        with writing_batch(slot):
            inside, outside = memory.empty(4000, "u1"), memory.empty(4000, "u1")
            objects = memory.empty(2, object)
        assert inside.base is not None
        assert outside.base is None
        assert objects.tolist() == [None, None]

    def test_other_threads_do_not_write_to_the_slot(self):
        slot = Ring(1, 4096).slot(0)
        arrays: list[Any] = []
        with writing_batch(slot):
            thread = threading.Thread(target=lambda: arrays.append(memory.empty(3)))
            thread.start()
            thread.join()
        assert arrays[0].base is None


BATCHES: dict[str, Callable[[], Any]] = {
    "array": lambda: np.arange(12.0).reshape(3, 4),
    "fortran": lambda: np.asfortranarray(np.arange(12).reshape(3, 4)),
    "transposed": lambda: np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1),
    "strided": lambda: np.arange(24)[::2],
    "backwards": lambda: np.arange(24)[::-1],
    "broadcast": lambda: np.broadcast_to(np.float32(3), (4, 5)),
    "scalar": lambda: np.array(5.0),
    "empty": lambda: np.empty((0, 3), "int16"),
    "big-endian": lambda: np.arange(4).astype(">i4"),
    "datetimes": lambda: np.arange(4).astype("M8[ns]"),
    "records": lambda: np.zeros(3, [("a", "i4"), ("b", "f8")]),
    "objects": lambda: np.array([None, "a"], object),
    "masked": lambda: np.ma.array([1, 2], mask=[False, True]),
    "bfloat16": lambda: np.arange(4).astype(ml_dtypes.bfloat16),
    "tensor": lambda: torch.arange(12).reshape(3, 4),
    "tensor-channels-last": lambda: torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
    "tensor-bfloat16": lambda: torch.arange(5.0).bfloat16(),
    "tensor-float8": lambda: torch.arange(5.0).to(torch.float8_e4m3fn),
    "tensor-conj": lambda: torch.tensor([1 + 2j]).conj(),
    "tensor-expanded": lambda: torch.arange(3).expand(4, 3),
    "tensor-scalar": lambda: torch.tensor(3),
    "tensor-sparse": lambda: torch.eye(3).to_sparse(),
    "tensor-leaf": lambda: torch.ones(2, requires_grad=True),
    "parameter": lambda: torch.nn.Parameter(torch.ones(2)),
    "arrow": lambda: pa.array([1.0, None, 3.0]),
    "arrow-text": lambda: pa.array(["a", "bc", None]),
    "table": lambda: pa.table({"x": [1, 2], "y": ["a", "b"]}),
    "plain": lambda: {"id": "a", "n": 3, "none": None, "f": 2.5},
}


def same(seen: Any, expected: Any) -> bool:
    if isinstance(expected, torch.Tensor):
        equal = torch.equal(seen.to_dense().resolve_conj().float(), expected.to_dense().resolve_conj().float())
        return equal and (type(seen), seen.dtype, seen.requires_grad) == (
            type(expected),
            expected.dtype,
            expected.requires_grad,
        )
    if isinstance(expected, np.ndarray):
        return type(seen) is type(expected) and seen.dtype == expected.dtype and seen.tolist() == expected.tolist()
    return bool(seen.equals(expected)) if hasattr(expected, "equals") else bool(seen == expected)


@pytest.mark.filterwarnings("ignore:Casting complex values")
class TestHandingOver:
    @pytest.mark.parametrize("name", BATCHES)
    def test_every_kind_of_leaf_arrives_as_it_was(self, name: str):
        ring = Ring(1, 1 << 16)
        expected = BATCHES[name]()
        seen = handed_over(expected, ring)
        assert same(seen, expected)
        nested = BATCHES["plain"]() | {"list": [expected, (expected, "x")], "pair": Pair(expected, 1)}
        del seen
        seen = handed_over(nested, ring)
        assert isinstance(seen["pair"], Pair)
        assert same(seen["pair"].left, expected)
        assert same(seen["list"][1][0], expected)
        assert (seen["id"], seen["pair"].right) == ("a", 1)
        del seen
        assert ring.free == 1  # nothing remains that holds the slot

    def test_arrays_may_be_written_to_and_are_not_copied(self):
        ring = Ring(1, 4096)
        batch = handed_over({"x": np.zeros(4), "t": torch.zeros(4)}, ring)
        batch["x"][:] = 1
        batch["t"][:] = 2
        inside = ring.slot(0).bytes()
        assert np.may_share_memory(batch["x"], inside)
        assert np.may_share_memory(batch["t"].numpy(), inside)

    def test_the_order_of_axes_in_memory_is_kept(self):
        ring = Ring(1, 1 << 16)
        expected = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
        assert handed_over(expected, ring).is_contiguous(memory_format=torch.channels_last)
        assert handed_over(np.asfortranarray(np.ones((3, 4))), Ring(1, 4096)).flags.f_contiguous

    def test_what_was_made_in_the_slot_stays_where_it_is(self):
        ring = Ring(1, 1 << 16)
        slot = ring.slot(ring.take() or 0)
        with writing_batch(slot):
            x = memory.empty((4, 6), "float32")
            x[:] = np.arange(24).reshape(4, 6)
            between = memory.empty(1000, "u1")
            batch = {"x": x, "turned": x.T, "every": torch.from_numpy(x)[:, ::2], "other": np.ones(3)}
        packed = pack(batch, slot)
        starts = {piece.start for piece in packed.pieces}
        assert starts == {0, 128}  # what lay between is not part of the batch: its place is used
        seen = unpack(packed, ring.lease(0).bytes())
        for name, array in batch.items():
            assert seen[name].tolist() == array.tolist()
        seen["x"][0, 0] = 50
        assert seen["turned"][0, 0] == seen["every"][0, 0] == 50
        assert between.size == 1000

    def test_gaps_too_small_for_the_rest_are_closed(self):
        ring = Ring(1, 4096)
        slot = ring.slot(ring.take() or 0)
        with writing_batch(slot):
            first, middle, last = (memory.empty(1024, "u1") for _ in range(3))
        first[:], middle[:], last[:] = 1, 2, 3
        seen = unpack(pack([last, np.full(2048, 4, "u1"), middle], slot), ring.lease(0).bytes())
        assert [set(x.tolist()) for x in seen] == [{3}, {4}, {2}]

    def test_a_batch_too_large_is_refused_with_both_sizes(self):
        with pytest.raises(
            BatchTooLarge, match=r"8,232 bytes does not fit into a slot of 4,096 bytes.*slot_nbytes=8232"
        ):
            handed_over({"x": np.ones(1024), "y": np.ones(5)}, Ring(1, 4096))
        assert handed_over({"x": np.ones(1024), "y": np.ones(5)}, Ring(1, 8232))["y"].sum() == 5

    def test_a_graph_cannot_follow(self):
        with pytest.raises(NoRoute, match="belongs to a graph"):
            handed_over({"x": torch.ones(2, requires_grad=True) * 2}, Ring(1, 4096))

    @given(
        shapes=st.lists(
            st.tuples(st.integers(0, 300), st.sampled_from(["u1", "f4", "f8"]), st.booleans(), st.booleans()),
            max_size=12,
        )
    )
    def test_any_mixture_arrives_or_is_too_large(self, shapes: list[tuple[int, str, bool, bool]]):
        ring = Ring(1, 4096)
        slot = ring.slot(ring.take() or 0)
        rng = np.random.default_rng(len(shapes))
        batch: list[Any] = []
        with writing_batch(slot):
            for length, dtype, here, kept in shapes:
                x = memory.empty(length, dtype) if here else np.empty(length, dtype)
                x[:] = rng.integers(0, 200, length)
                if kept:
                    batch.append(x)
        expected = [x.copy() for x in batch]
        needed = sum(-(-x.nbytes // 64) * 64 for x in expected)
        if needed > 4096 + 64:
            with pytest.raises(BatchTooLarge):
                pack(batch, slot)
        elif needed <= 4096:
            seen = unpack(pack(batch, slot), ring.lease(0).bytes())
            assert all(np.array_equal(x, y) for x, y in zip(seen, expected, strict=True))
