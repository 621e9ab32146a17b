"""Every row comes once, in an order that (seed, epoch) decide, and that can be entered anywhere."""

from __future__ import annotations

from collections import Counter
from itertools import islice, permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DistributedSampler

from bridgeflow.pipeline.sampling import Order, Permutation
from bridgeflow.randomness import philox

HUGE = 10**12


def flat(order: Order, epoch: int = 0, first: int = 0) -> list[int]:
    return [row for batch in order.batches(epoch, first) for row in batch.tolist()]


def orders(**fixed: Any) -> st.SearchStrategy[Order]:
    drawn = {
        "rows": st.integers(0, 300),
        "batch_size": st.integers(1, 40),
        "shuffle": st.sampled_from(["none", "exact", "windowed"]),
        "seed": st.integers(0, 2**64 - 1),
        "drop_last": st.booleans(),
        "block": st.integers(1, 40),
        "window": st.integers(1, 120),
    }
    return st.builds(Order, **{name: fixed.get(name, strategy) for name, strategy in drawn.items()})


class TestPermutation:
    @pytest.mark.parametrize("n", [0, 1, 2, 3, 255, 65_536, 65_537, 100_000, 131_072, 131_073])
    def test_is_one(self, n: int):
        np.testing.assert_array_equal(np.sort(Permutation(n, philox(0, 0))(np.arange(n))), np.arange(n))

    @pytest.mark.parametrize("n", [7, 65_536, 65_537, HUGE])
    def test_and_back(self, n: int):
        permutation = Permutation(n, philox(5, 1))
        positions = np.random.default_rng(0).integers(0, n, 50)
        numbers = permutation(positions)
        assert [permutation.position_of(number) for number in numbers.tolist()] == positions.tolist()

    def test_every_small_one_is_equally_likely(self):
        counts = Counter(tuple(Permutation(3, philox(seed, 0))(np.arange(3)).tolist()) for seed in range(3000))
        assert set(counts) == set(permutations(range(3)))
        chi_square = sum((count - 500) ** 2 / 500 for count in counts.values())
        assert chi_square < 20.5  # 0.999 of the distribution with 5 degrees of freedom

    @pytest.mark.parametrize("n", [60_000, 70_000])
    def test_large_ones_look_random(self, n: int):
        numbers = Permutation(n, philox(0, 0))(np.arange(n)).astype(float)
        place = np.arange(n)
        for shifted in (place, place[::-1], np.roll(numbers, 1), np.roll(numbers, 2), np.roll(numbers, 256)):
            assert abs(np.corrcoef(numbers, shifted)[0, 1]) < 4 / np.sqrt(n)
        halves = np.add.reduceat(numbers < n / 2, np.arange(0, n, 1000))
        assert abs(halves - 500).max() < 5 * np.sqrt(250)
        rising = np.count_nonzero(np.diff(numbers) > 0)
        assert abs(rising - n / 2) < 4 * np.sqrt(n / 12)  # the variance of ascents is (n + 1) / 12

    def test_does_not_grow_with_its_length(self):
        permutation = Permutation(HUGE, philox(0, 0))
        assert len(set(permutation(np.arange(1000)).tolist())) == 1000


class TestOrder:
    @given(order=orders(drop_last=st.just(False)), epoch=st.integers(0, 2**64 - 1))
    def test_every_row_comes_once(self, order: Order, epoch: int):
        assert sorted(flat(order, epoch)) == list(range(order.rows))

    @given(order=orders(), epoch=st.integers(0, 3))
    def test_batches_are_as_many_and_as_long_as_said(self, order: Order, epoch: int):
        sizes = [len(batch) for batch in order.batches(epoch)]
        assert len(sizes) == len(order)
        assert all(size == order.batch_size for size in sizes[:-1])
        assert not sizes or 1 <= sizes[-1] <= order.batch_size
        assert not order.drop_last or sum(sizes) == order.rows // order.batch_size * order.batch_size

    @given(order=orders(), epoch=st.integers(0, 3), data=st.data())
    def test_can_be_entered_at_any_batch(self, order: Order, epoch: int, data: st.DataObject):
        first = data.draw(st.integers(0, len(order)))
        whole = [batch.tolist() for batch in order.batches(epoch)]
        assert [batch.tolist() for batch in order.batches(epoch, first)] == whole[first:]

    @given(order=orders(), world=st.integers(1, 7), uneven=st.sampled_from(["pad", "drop"]))
    def test_ranks_share_the_rows(self, order: Order, world: int, uneven: Any):
        settings = order.settings() | {"world_size": world, "uneven": uneven, "drop_last": False}
        shares = [flat(Order(**settings | {"rank": rank})) for rank in range(world)]
        per_rank = order.rows // world if uneven == "drop" else -(-order.rows // world)
        assert [len(share) for share in shares] == [per_rank] * world
        counts = Counter(row for share in shares for row in share)
        extra = per_rank * world - order.rows
        if uneven == "drop":
            assert set(counts.values()) <= {1}
            assert len(counts) == order.rows + extra
        else:
            assert set(counts) == set(range(order.rows))
            assert sum(counts.values()) - order.rows == extra

    @given(rows=st.integers(1, 50), world=st.integers(1, 5), drop=st.booleans())
    def test_unshuffled_shares_are_those_of_torch(self, rows: int, world: int, drop: bool):
        for rank in range(world):
            theirs = DistributedSampler(range(rows), world, rank, shuffle=False, drop_last=drop)  # type: ignore[arg-type]
            ours = Order(rows=rows, batch_size=3, rank=rank, world_size=world, uneven="drop" if drop else "pad")
            if not drop or rows >= world:  # torch repeats rows to give every rank one, even when told to drop
                assert flat(ours) == list(theirs)

    @pytest.mark.parametrize("shuffle", ["exact", "windowed"])
    def test_seed_and_epoch_decide(self, shuffle: Any):
        settings: dict[str, Any] = {"rows": 100, "batch_size": 7, "shuffle": shuffle, "block": 5, "window": 20}
        order = Order(**settings, seed=1)
        assert flat(order, 3) == flat(Order(**settings, seed=1), 3)
        assert flat(order, 3) != flat(order, 4)
        assert flat(order, 3) != flat(Order(**settings, seed=2), 3)

    @given(order=orders(shuffle=st.just("windowed"), rows=st.integers(1, 300), drop_last=st.just(False)))
    def test_a_window_holds_whole_blocks(self, order: Order):
        """Cut where windows end, the order falls apart into blocks that no other window has rows of."""
        width = -(-order.window // order.block)
        rows, start, seen = flat(order), 0, set()
        while start < len(rows):
            blocks: list[int] = []
            stop = start
            while stop < len(rows) and (rows[stop] // order.block in blocks or len(blocks) < width):
                blocks += [] if rows[stop] // order.block in blocks else [rows[stop] // order.block]
                stop += 1
            held = {
                row
                for block in blocks
                for row in range(block * order.block, min((block + 1) * order.block, order.rows))
            }
            assert set(rows[start:stop]) == held
            assert not seen & held
            seen |= held
            start = stop

    def test_no_shuffling_is_no_shuffling(self):
        assert flat(Order(rows=11, batch_size=4)) == list(range(11))

    @pytest.mark.parametrize("shuffle", ["none", "exact", "windowed"])
    def test_of_a_huge_source_begins_at_once(self, shuffle: Any):
        order = Order(rows=HUGE, batch_size=64, shuffle=shuffle, block=1000, window=10_000, rank=1, world_size=3)
        first = [batch.tolist() for batch in islice(order.batches(0, 10**9), 200)]
        assert len({row for batch in first for row in batch}) == 200 * 64

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
            ({"rows": -1}, "rows must be a whole number of at least 0, got -1"),
            ({"shuffle": True}, "shuffle must be one of 'none', 'exact', 'windowed', got True"),
            ({"uneven": "cut"}, "uneven must be one of 'pad', 'drop'"),
            ({"seed": -1}, "seed must be a whole number from 0 to 2\\*\\*64 - 1, got -1"),
            ({"seed": 1.5}, "seed must be a whole number"),
            ({"seed": True}, "seed must be a whole number"),
            ({"window": 2.0}, "window must be a whole number"),
            ({"rank": 2, "world_size": 2}, "rank must be below world_size \\(2\\), got 2"),
        ],
    )
    def test_refuses_what_makes_no_sense(self, wrong: dict[str, Any], message: str):
        with pytest.raises(ValueError, match=message):
            Order(**{"rows": 10, "batch_size": 2, **wrong})

    def test_is_what_it_was(self):
        """A run that is resumed next year finds its order: the sorted words that Philox is defined to give."""
        words = np.random.Philox(key=np.array([3, 2], "uint64"), counter=np.array([0, 0, 0, 2**64 - 1], "uint64"))
        expected = np.argsort(words.random_raw(20), kind="stable").tolist()
        assert flat(Order(rows=20, batch_size=6, shuffle="exact", seed=3), 2) == expected
