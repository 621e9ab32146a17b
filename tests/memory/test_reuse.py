"""Memory that is used again: by one holder at a time, and no more of it than is said."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow.memory import reuse, trim
from bridgeflow.memory.reuse import KEPT_NBYTES, fresh
from bridgeflow.signal import Butter, sosfilt

SIZE = 1 << 20


@pytest.fixture(autouse=True)
def _nothing_kept():
    gc.collect()  # what other tests have left in cycles would come back in the midst of these
    trim()
    yield
    trim()


def address(array):
    return array.__array_interface__["data"][0]


def kept():
    return reuse._kept._nbytes


@pytest.mark.parametrize("nbytes", [1, 4096, 1 << 18, (1 << 18) + 1, KEPT_NBYTES, KEPT_NBYTES + 1])
def test_what_it_is(nbytes):
    result = fresh(nbytes)
    assert (result.shape, result.dtype, result.flags.writeable) == ((nbytes,), np.uint8, True)
    assert address(result) % 64 == 0
    result[:] = 7
    del result
    assert kept() == (nbytes if 1 << 18 <= nbytes <= KEPT_NBYTES else 0)


def test_nobody_is_given_what_somebody_holds():
    views = []
    first = fresh(SIZE)
    place = address(first)
    views += [first[5:9], first.view("float32").reshape(2, -1)[1:, ::7]]
    views += [torch.from_numpy(first.view("int16"))[10:20], pa.py_buffer(first), memoryview(first)]
    del first
    while views:
        assert address(fresh(SIZE)) != place
        views.pop()
    assert address(fresh(SIZE)) == place


def test_other_sizes_have_memory_of_their_own():
    first = fresh(SIZE)
    place = address(first)
    del first
    other = fresh(SIZE + 64)
    assert not place <= address(other) < place + SIZE
    assert address(fresh(SIZE)) == place


@given(st.lists(st.tuples(st.sampled_from([1 << 18, SIZE, 5 * SIZE, 30 * SIZE]), st.booleans()), max_size=30))
def test_no_more_is_kept_than_is_said_and_all_is_given_back(steps):
    trim()
    held = []
    for size, drops in steps:
        array = fresh(size)
        array[::4096] = len(held)
        held.append(array)
        if drops:
            held.pop(len(held) // 2)
        assert 0 <= kept() <= KEPT_NBYTES
        places = sorted((address(array), len(array)) for array in held)
        assert all(start + length <= after for (start, length), (after, _) in pairwise(places))
    held.clear()
    assert trim() <= KEPT_NBYTES
    assert kept() == trim() == 0


def test_sizes_that_do_not_come_back_go_first():
    fresh(SIZE)
    assert kept() == SIZE
    many = [fresh(8 * SIZE) for _ in range(8)]
    many.clear()
    assert kept() == KEPT_NBYTES
    assert list(reuse._kept._blocks) == [8 * SIZE]


def test_threads_never_share_a_block():
    """Each writes its name all over, waits, and finds nothing else."""
    wrong = []

    def work(name):
        for _ in range(300):
            array = fresh(SIZE)
            array[::512] = name
            other = fresh(SIZE // 2)
            other[::512] = name
            if not ((array[::512] == name).all() and (other[::512] == name).all()):
                wrong.append(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_garbage_collected_while_a_block_is_taken():
    """A cycle that holds a block comes apart in the midst of anything."""

    class Cycle:
        def __init__(self):
            self.me, self.array = self, fresh(SIZE)

    gc.collect()
    for _ in range(50):
        Cycle()
    with reuse._kept._lock:
        gc.collect()  # the blocks are freed, since no caller waits for the lock
        assert len(fresh(SIZE)) == SIZE
    assert kept() <= KEPT_NBYTES


def test_a_forked_child_begins_with_nothing():
    held, free = fresh(SIZE), fresh(SIZE)
    held[:] = 1
    del free
    with reuse._kept._lock:  # as if another thread had it
        child = os.fork()
        if not child:
            mine = fresh(SIZE)
            mine[:] = 2
            good = kept() == 0 and held[0] == 1
            del mine
            os._exit(0 if good and kept() == SIZE else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert kept() == SIZE


def test_nothing_is_said_when_python_ends():
    """Arrays that live in modules and cycles are released when the library's own globals are cleared already."""
    code = """
import sys, types
from bridgeflow.memory.reuse import fresh
late = types.ModuleType("late")
sys.modules["late"] = late
late.array, late.me = fresh(1 << 20), late
held = [fresh(1 << 20) for _ in range(80)]
held.append(held)
sys.late = fresh(1 << 20)
"""
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_results_lie_where_the_last_ones_lay(kind):
    x = kind(np.random.default_rng(0).standard_normal((64, 4096)))
    lowpass = Butter(order=2, cutoff=10.0, fs=100.0)
    expected = np.asarray(sosfilt(lowpass, x)).copy()
    result = sosfilt(lowpass, x)
    place = address(np.asarray(result))
    again = sosfilt(lowpass, x)
    assert address(np.asarray(again)) != place
    del result
    last = sosfilt(lowpass, x)
    assert address(np.asarray(last)) == place
    np.testing.assert_array_equal(np.asarray(last), expected)
    np.testing.assert_array_equal(np.asarray(again), expected)
