"""Segments: memory without a name, whole when created, freed with the last process that maps it."""

from __future__ import annotations

import copy
import errno
import fcntl
import os
import pickle
import resource
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from bridgeflow.errors import BridgeflowError, DataError, NoRoute, OutOfSharedMemory
from bridgeflow.memory import Segment, segment_of
from tests.memory.census import census
from tests.workplace import ROOT


def in_a_fresh_process(code: str) -> str:
    """What a script prints, run where its limits and crashes are its own."""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


class TestArrays:
    def test_are_zero_at_first_and_share_the_memory(self):
        segment = Segment(4096)
        x = segment.array((4, 8), "float32")
        assert not x.any()
        x[1] = 7
        assert segment.array((8,), np.float32, offset=32).tolist() == [7.0] * 8
        assert x.flags.c_contiguous
        assert x.flags.writeable

    def test_keep_the_memory_and_let_it_go_with_the_last(self):
        before = census()
        segment = Segment(1 << 20)
        tensor = torch.from_numpy(segment.array((1000,), "float64"))[10:20]
        del segment
        tensor.fill_(3)
        assert tensor.sum() == 30
        assert census().mappings == before.mappings + 1
        del tensor
        assert census() == before

    def test_one_descriptor_for_each_segment_and_none_for_its_arrays(self):
        before = census()
        segments = [Segment(100) for _ in range(10)]
        arrays = [segment.array((5,), "u1") for segment in segments for _ in range(10)]
        assert census().descriptors == before.descriptors + 10
        assert len(arrays) == 100

    @pytest.mark.parametrize("dtype", ["?", "u2", "c16", "M8[ns]", "S7", [("a", "i4"), ("b", "f8")], ">i4"])
    def test_of_any_plain_dtype(self, dtype: Any):
        x = Segment(1000).array((3,), dtype)
        assert x.dtype == np.dtype(dtype)
        assert x.shape == (3,)

    def test_objects_are_refused(self):
        with pytest.raises(NoRoute, match="Python objects"):
            Segment(100).array((1,), object)

    @pytest.mark.parametrize(("shape", "offset"), [((26,), 0), ((25,), 4), ((1,), 100), ((1,), -4)])
    def test_beyond_the_end_is_refused_with_the_numbers(self, shape: tuple[int, ...], offset: int):
        with pytest.raises(DataError, match="the segment has 100"):
            Segment(100).array(shape, "float32", offset=offset)

    def test_nothing_is_a_size_too(self):
        segment = pickle.loads(pickle.dumps(Segment(0)))
        assert segment.array((0, 3), "float32").size == 0
        with pytest.raises(ValueError, match="0 bytes or more"):
            Segment(-1)

    def test_the_segment_of_an_array(self):
        segment = Segment(4096)
        x = segment.array((10, 4), "int64", offset=64)[2:]
        place = segment_of(x)
        assert place is not None
        again, offset = place
        assert offset == 64 + 2 * 32
        again.array((1,), "int64", offset)[0] = 5
        assert x[0, 0] == 5
        assert segment_of(np.zeros(3)) is None


class TestPrivate:
    def test_writes_stay_here(self):
        segment = Segment(8192)
        x, own = segment.array((2048,), "float32"), segment.private().array((2048,), "float32")
        x[:] = 1
        assert own[0] == 1  # a page that was not written to here shows what others write
        own[0] = 9
        assert (x[0], own[0]) == (1, 9)

    def test_pages_forgotten_show_what_others_wrote(self):
        segment = Segment(8192)
        private = segment.private()
        x, own = segment.array((2048,), "float32"), private.array((2048,), "float32")
        own[:] = 9
        x[:] = 2
        assert own[0] == own[-1] == 9
        private.mapping.forget(4096, 4096)
        assert (own[0], own[-1]) == (9, 2)


class TestSealed:
    def test_its_size_cannot_change_so_no_access_can_fail(self):
        segment = Segment(10_000)
        fd = segment.mapping.descriptor.fd
        for size in (0, 4096, 20_000):
            with pytest.raises(PermissionError):
                os.ftruncate(fd, size)
        with pytest.raises(PermissionError):
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)

    def test_it_is_allocated_when_made(self):
        segment = Segment(3 << 20)
        assert os.fstat(segment.mapping.descriptor.fd).st_blocks * 512 >= 3 << 20

    def test_descriptors_are_not_inherited_by_programs(self):
        assert not os.get_inheritable(Segment(10).mapping.descriptor.fd)
        assert not os.get_inheritable(pickle.loads(pickle.dumps(Segment(10))).mapping.descriptor.fd)


class TestRefusals:
    def test_more_than_there_is(self):
        with pytest.raises(
            OutOfSharedMemory, match=r"1,125,899,906,842,624 bytes .* are left: .*; ask for less"
        ) as refusal:
            Segment(1 << 50)
        assert refusal.value.available is not None
        assert 0 < refusal.value.available < 1 << 50
        assert isinstance(refusal.value, (BridgeflowError, MemoryError))

    def test_more_than_a_file_can_be(self):
        with pytest.raises(OutOfSharedMemory):
            Segment(1 << 63)

    def test_crosses_processes(self):
        refusal = OutOfSharedMemory(needed=10, number=errno.ENOSPC, available=5)
        again = pickle.loads(pickle.dumps(refusal))
        assert (str(again), again.needed, again.errno) == (str(refusal), 10, errno.ENOSPC)

    @pytest.mark.parametrize(
        ("which", "value", "size", "words"),
        [
            ("RLIMIT_NOFILE", "40", 10, "no file descriptor is left"),
            ("RLIMIT_FSIZE", "1 << 20", 2 << 20, "ulimit -f"),
            ("RLIMIT_AS", "in_use + (64 << 20)", 20 << 20, "Cannot allocate memory"),
        ],
    )
    def test_limits_of_the_process(self, which: str, value: str, size: int, words: str):
        """Run where the limit is of the child alone."""
        output = in_a_fresh_process(f"""
import resource
from bridgeflow.errors import OutOfSharedMemory
from bridgeflow.memory import Segment
in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.{which}, ({value}, {value}))
kept = []
try:
    for _ in range(50):
        kept.append(Segment({size}))
except OutOfSharedMemory as refusal:
    print(refusal)
kept.clear()
Segment(10)
""")
        assert words in output

    def test_nothing_is_left_open_after_a_refusal(self):
        before = census()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            for _ in range(5):
                with pytest.raises(OutOfSharedMemory, match="8,192 bytes"):
                    Segment(8192)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert census() == before


def test_a_deep_copy_is_memory_of_its_own():
    segment = Segment(100)
    segment.array((100,), "u1")[:] = 4
    copied = copy.deepcopy(segment)
    copied.array((100,), "u1")[0] = 9
    assert segment.array((2,), "u1").tolist() == [4, 4]
    assert copied.array((2,), "u1").tolist() == [9, 4]
