"""The samplers that PyTorch and its companions are given: real ones, whose passes are epochs."""

from __future__ import annotations

import pickle
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch.utils.data
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow import Loader, SignalDataset, collate
from bridgeflow.errors import DataError
from bridgeflow.pipeline.samplers import BatchSampler, RowSampler
from bridgeflow.pipeline.sampling import Order

ORDER = Order(rows=23, batch_size=5, shuffle="exact", seed=3)
BOTH = [BatchSampler, RowSampler]


def epochs(sampler: type[Any], order: Order = ORDER) -> list[list[Any]]:
    """What the first epochs are, worked out from the order."""
    result = []
    for epoch in range(4):
        batches = [batch.tolist() for batch in order.batches(epoch)]
        result.append(batches if sampler is BatchSampler else [row for batch in batches for row in batch])
    return result


@pytest.fixture
def loader() -> Loader:
    return Loader(SignalDataset({"x": np.arange(23)}), 5, shuffle=True, seed=3)


@pytest.mark.parametrize("sampler", BOTH)
class TestBoth:
    def test_are_samplers_of_torch(self, sampler: type[Any]):
        assert isinstance(sampler(ORDER), torch.utils.data.Sampler)
        assert len(sampler(ORDER)) == len(epochs(sampler)[0])

    def test_each_pass_is_the_next_epoch_however_far_it_went(self, sampler: type[Any]):
        one, expected = sampler(ORDER), epochs(sampler)
        assert list(one) == expected[0]
        assert list(islice(one, 2)) == expected[1][:2]
        assert list(islice(one, len(one))) == expected[2]
        assert list(one) == expected[3]

    def test_an_iterator_that_gives_nothing_is_no_pass(self, sampler: type[Any]):
        one = sampler(ORDER)
        iter(one)
        assert list(one) == epochs(sampler)[0]

    def test_a_set_epoch_is_the_next_passs_and_the_following_go_on_from_it(self, sampler: type[Any]):
        one, expected = sampler(ORDER), epochs(sampler)
        list(islice(one, 1))
        one.set_epoch(2)
        assert [list(one), list(one)] == expected[2:]
        with pytest.raises(ValueError, match="epoch must be a whole number"):
            one.set_epoch(-1)

    @given(steps=st.lists(st.integers(0, 30), max_size=6), drop=st.booleans())
    def test_restored_anywhere_any_number_of_times_they_go_on(self, sampler: type[Any], steps: list[int], drop: bool):
        order = Order(rows=23, batch_size=5, shuffle="exact", drop_last=drop)
        expected = [item for epoch in epochs(sampler, order) for item in epoch]
        one, seen = sampler(order), []
        for step in steps:
            while step and len(seen) < len(expected):
                taken = list(islice(one, step))
                step -= len(taken)
                seen += taken
                state, one = one.state_dict(), sampler(order)
                one.load_state_dict(state)
        assert seen == expected[: len(seen)]

    def test_states_of_each_other_are_refused(self, sampler: type[Any]):
        (other,) = set(BOTH) - {sampler}
        with pytest.raises(DataError, match="not a state of a loader"):
            sampler(ORDER).load_state_dict(other(ORDER).state_dict())

    def test_pickle_with_their_position(self, sampler: type[Any]):
        one = sampler(ORDER)
        list(one)
        assert list(pickle.loads(pickle.dumps(one))) == epochs(sampler)[1]


class TestOfALoader:
    def test_are_found_where_training_loops_look(self, loader: Loader):
        found = (loader, loader.sampler, loader.batch_sampler, loader.batch_sampler.sampler)
        assert all(callable(one.set_epoch) for one in found)
        assert (loader.batch_sampler.batch_size, loader.batch_sampler.drop_last) == (5, False)

    @pytest.mark.parametrize("where", ["sampler", "batch_sampler", "batch_sampler.sampler"])
    def test_an_epoch_set_at_one_is_the_loaders(self, loader: Loader, where: str):
        found: Any = loader
        for name in where.split("."):
            found = getattr(found, name)
        found.set_epoch(2)
        assert [batch["x"].tolist() for batch in loader] == epochs(BatchSampler)[2]

    def test_an_epoch_of_the_loader_is_theirs(self, loader: Loader):
        batches, single = loader.batch_sampler, loader.sampler
        loader.set_epoch(3)
        assert list(batches) == epochs(BatchSampler)[3]
        assert list(single) == epochs(RowSampler)[3]

    def test_they_begin_where_the_loader_is_and_go_their_own_way(self, loader: Loader):
        list(loader)
        sampler = loader.batch_sampler
        list(loader)
        assert list(sampler) == epochs(BatchSampler)[1]

    @pytest.mark.parametrize("workers", [0, 1])
    @pytest.mark.parametrize("single", [False, True])
    def test_in_torchs_loader_each_pass_is_the_next_epoch(self, loader: Loader, workers: int, single: bool):
        """PyTorch makes two iterators for a pass with workers, and takes items from one."""
        chosen: dict[str, Any] = (
            {"batch_size": 5, "sampler": loader.sampler} if single else {"batch_sampler": loader.batch_sampler}
        )
        theirs = torch.utils.data.DataLoader(loader.dataset, collate_fn=collate, num_workers=workers, **chosen)
        for epoch in range(3):
            assert [batch["x"].tolist() for _, batch in zip(range(len(theirs)), theirs, strict=False)] == epochs(
                BatchSampler
            )[epoch]
