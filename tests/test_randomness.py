"""Random numbers belong to a row, an epoch and a seed, and to nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from bridgeflow.errors import OutOfContext
from bridgeflow.randomness import generators, parse_seed, philox, seeded


def drawn(seed: int, epoch: int, row: int) -> list[float]:
    with seeded(seed, epoch=epoch, rows=row):
        return generators()[0].random(4).tolist()


def test_a_row_has_its_numbers_in_any_batch():
    for rows in ([5], [4, 5], [5, 900, 2**62], np.array([1, 5])):
        with seeded(1, epoch=2, rows=rows):
            number = list(rows).index(5)
            assert generators()[number].random(4).tolist() == drawn(1, 2, 5)


def test_seed_epoch_and_row_each_matter():
    assert len({tuple(drawn(*key)) for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]}) == 4


def test_numbers_are_philoxs_by_the_documented_key():
    bits = np.random.Philox(key=np.array([7, 3], "uint64"), counter=np.array([0, 0, 0, 11], "uint64"))
    assert drawn(7, 3, 11) == np.random.Generator(bits).random(4).tolist()


def test_streams_do_not_meet():
    assert philox(0, 0).random_raw() != philox(0, 0, row=0).random_raw()
    assert philox(0, 0, branch=1).random_raw() != philox(0, 0).random_raw()
    correlated = np.corrcoef(*(np.random.Generator(philox(0, 0, row=row)).normal(size=10_000) for row in (1, 2)))
    assert abs(correlated[0, 1]) < 0.04


def test_generators_go_on_from_call_to_call():
    with seeded(0, rows=[3]):
        first = generators()[0].random()
        assert generators()[0].random() != first


@pytest.mark.parametrize("x", [np.zeros((2, 3, 4), "float32"), torch.zeros(2, 3, 4)], ids=["numpy", "torch"])
def test_draw_gives_a_batch_what_its_samples_get(x: np.ndarray | torch.Tensor):
    with seeded(0, rows=[8, 2]) as batch:
        assert batch.batched
        together = batch.draw(x, lambda rng, shape: rng.standard_normal(shape, dtype=np.float32))
    assert type(together) is type(x)
    assert tuple(together.shape) == (2, 3, 4)
    for number, row in enumerate([8, 2]):
        with seeded(0, rows=row) as alone:
            sample = alone.draw(x[number], lambda rng, shape: rng.standard_normal(shape, dtype=np.float32))
        assert (sample == together[number]).all()


def test_one_number_for_a_sample_spreads_over_it():
    with seeded(0, rows=[8, 2]) as batch:
        gains = batch.draw(np.ones((2, 3, 4)), lambda rng, shape: rng.uniform(0.5, 2, (1,) * len(shape)))
    assert gains.shape == (2, 1, 1)


def test_outside_there_are_none():
    with pytest.raises(OutOfContext, match=r"no sample is being loaded here.*seeded"):
        generators()
    with seeded(0):
        pass
    with pytest.raises(LookupError):
        generators()


def test_threads_have_their_own():
    def in_a_thread(row: int) -> float:
        with seeded(0, rows=row):
            return generators()[0].random()

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(in_a_thread, range(50)))
    assert together == [drawn(0, 0, row)[0] for row in range(50)]


def test_slices_and_lengths():
    with seeded(0, rows=[1, 2, 3]) as result:
        assert len(result) == 3
        assert result[1:] == [result[1], result[2]]
        assert result[-1] is result[2]


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, "1", None, True])
def test_a_seed_is_a_word(seed: object):
    with pytest.raises(ValueError, match="seed must be a whole number from 0 to"):
        parse_seed(seed)
    assert parse_seed(np.uint64(2**64 - 1)) == 2**64 - 1


def test_the_bits_are_philoxs_of_that_key_and_counter():
    theirs = np.random.Philox(key=np.array([7, 3], np.uint64), counter=np.array([0, 0, 2, 5], np.uint64))
    np.testing.assert_array_equal(philox(7, 3, row=5, branch=2).random_raw(100), theirs.random_raw(100))


def test_branches_have_numbers_of_their_own():
    with seeded(1, rows=[3, 4]) as own:
        first, second = own.branch(), own.branch()
        numbers = [one[0].random() for one in (own, first, second)]
        assert len(set(numbers)) == 3
    with seeded(1, rows=[9, 3]) as others:
        others[1].random()  # what has been drawn changes nothing
        assert others.branch()[1].random() == numbers[1]
        assert others.branch()[1].random() == numbers[2]
