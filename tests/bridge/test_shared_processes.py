"""`share(x, across="process")`: one buffer for several processes, in any way that one gets to another."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from multiprocessing.connection import Connection
from typing import Any

import ml_dtypes
import numpy as np
import pyarrow as pa
import pytest
import torch

from bridgeflow.bridge import Shared, share, to_tensor, trace
from bridgeflow.errors import CopyRefused, NoRoute
from bridgeflow.memory import Segment, handles
from tests.bridge import answers
from tests.memory.census import census, eventually
from tests.memory.company import threads_that_compute


@pytest.fixture(autouse=True)
def _the_thread_that_answers_runs():
    """The first handle that a process sends starts it; then counts stay equal."""
    pickle.dumps(Segment(1))
    handles._server.expire(0)


KINDS: dict[str, Any] = {
    "numpy": lambda: np.arange(6.0).reshape(2, 3),
    "read-only": lambda: np.broadcast_to(np.float32(2), (3,)),
    "strided": lambda: np.arange(24).reshape(4, 6)[:, ::-2],
    "big-endian": lambda: np.arange(3).astype(">i4"),
    "bfloat16": lambda: np.arange(3).astype(ml_dtypes.bfloat16),
    "bool": lambda: np.array([True, False]),
    "complex": lambda: np.array([1 + 2j, 3]),
    "datetimes": lambda: np.arange(3).astype("M8[ns]"),
    "empty": lambda: np.empty((0, 3), "f4"),
    "torch": lambda: torch.arange(6.0).reshape(2, 3),
    "torch-grad": lambda: torch.ones(3, requires_grad=True),
    "torch-bfloat16": lambda: torch.arange(3.0).bfloat16(),
    "torch-conj": lambda: torch.tensor([1 + 2j]).conj(),
    "arrow": lambda: pa.array([1.0, 2.0]),
    "arrow-tensors": lambda: pa.FixedShapeTensorArray.from_numpy_ndarray(np.ones((2, 3), "f4")),
    "shared": lambda: share(np.arange(4)),
}


def one_memory(buffer: Shared) -> None:
    spans = [answers.payload(view) for view in (buffer.numpy, buffer.tensor, buffer.arrow)]
    assert spans[0] == spans[1] == spans[2]


@pytest.mark.parametrize("writable", [None, True, False])
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_copied_once_and_arrives(name: str, writable: bool | None):
    x = KINDS[name]()
    expected = share(x).numpy
    before = census()
    with trace() as record:
        buffer = share(x, across="process", writable=writable)
    assert sum(exchange.action == "copy" for exchange in record) <= 1 + (name in ("torch-bfloat16", "torch-conj"))
    received = pickle.loads(pickle.dumps(buffer))
    for one in (buffer, received):
        one_memory(one)
        assert one.numpy.tolist() == expected.tolist()
        assert one.numpy.dtype == expected.dtype.newbyteorder("=")
        assert one.writable == one.numpy.flags.writeable == (writable is not False)
        assert one.across == "process"
    del buffer, received, one, record
    assert census() == before


def test_what_a_writable_one_is_written_reaches_everybody():
    buffer = share(np.zeros((2, 3)), across="process")
    received = pickle.loads(pickle.dumps(buffer))
    received.tensor[0, 1] = 5
    buffer.numpy[1, 2] = 6
    assert buffer.tensor[0, 1] == 5
    assert received.arrow.storage.flatten().to_pylist() == [0, 5, 0, 0, 0, 6]


def test_a_stray_write_to_a_read_only_one_reaches_nobody():
    """Neither the sender nor the receiver sees the other's writes, and neither crashes."""
    buffer = share(np.zeros(3), across="process", writable=False)
    received = pickle.loads(pickle.dumps(buffer))
    again = pickle.loads(pickle.dumps(received))
    received.tensor[0] = 5
    buffer.tensor[1] = 6
    assert [each.numpy.tolist() for each in (buffer, received, again)] == [[0, 6, 0], [5, 0, 0], [0, 0, 0]]
    with pytest.raises(ValueError, match="read-only"):
        received.numpy[0] = 1


class TestWhatIsInSharedMemoryAlready:
    def test_is_not_copied(self):
        x = share(np.zeros((4, 5)), across="process").numpy
        for part in (x, x[1:3], x[2]):
            with trace() as record:
                buffer = share(part, across="process", copy="never")
            assert not record.total_bytes
            pickle.loads(pickle.dumps(buffer)).numpy[0] = 7
            assert (part[0] == 7).all()
        x[:] = 0
        own = share(x, across="process", copy="always")
        own.numpy[:] = 1
        assert not x.any()

    def test_may_be_lent_for_reading(self):
        x = share(np.zeros(3), across="process").numpy
        closed = share(x, across="process", copy="never", writable=False)
        x[0] = 4
        assert closed.numpy[0] == 4
        closed.tensor[1] = 9
        assert x[1] == 0

    def test_other_memory_is_refused_by_copy_never(self):
        for other in (np.zeros(3), torch.zeros(3), pa.array([1.0])):
            with pytest.raises(CopyRefused, match=r"\[process-owned\]"):
                share(other, across="process", copy="never")

    def test_private_pages_that_were_written_to_are_copied(self):
        """A handle would lead the others to what is there without these writes."""
        x = Segment(100).private().array((3,), "f8")
        x[:] = 5
        assert pickle.loads(pickle.dumps(share(x, across="process"))).numpy.tolist() == [5, 5, 5]

    def test_read_only_views_are_opened_for_writing_by_a_copy(self):
        closed = share(np.ones(3), across="process", writable=False)
        opened = share(closed, across="process", writable=True)
        opened.tensor[0] = 9
        assert closed.numpy.tolist() == [1, 1, 1]
        assert pickle.loads(pickle.dumps(opened)).numpy[0] == 9

    def test_strided_views_are_copied(self):
        x = share(np.arange(12.0).reshape(3, 4), across="process").numpy
        with pytest.raises(CopyRefused):
            share(x[:, 1], across="process", copy="never")
        assert pickle.loads(pickle.dumps(share(x[:, 1], across="process"))).numpy.tolist() == [1, 5, 9]


@pytest.mark.parametrize(
    "x",
    [np.array(1.0), np.array(["a"]), np.array([None]), pa.array([1, None])],
    ids=["0-d", "text", "objects", "nulls"],
)
def test_what_has_no_face_is_refused_and_leaves_nothing(x: Any):
    before = census()
    with pytest.raises(NoRoute):
        share(x, across="process")
    assert census() == before


def test_a_deep_copy_is_memory_of_its_own():
    buffer = share(np.zeros(3), across="process")
    copied = copy.deepcopy(buffer)
    copied.numpy[:] = 1
    assert not buffer.numpy.any()
    assert copied.across == "process"


def echo(line: Connection, buffer: Shared) -> None:
    """Write to the argument and to what comes, and send some back."""
    buffer.numpy[0] += 1
    line.send(None)
    received = line.recv()
    received.tensor[-1] = 50
    line.send((received, share(np.full(5, 3.0), across="process")))
    line.recv()


@pytest.mark.parametrize("method", ["fork", "spawn", pytest.param("forkserver", marks=pytest.mark.slow)])
def test_processes_of_every_kind_while_threads_of_torch_and_arrow_run(method: str):
    context = multiprocessing.get_context(method)
    mine, theirs = context.Pipe()
    buffer = share(np.zeros(1000), across="process")
    worker = context.Process(target=echo, args=(theirs, buffer), daemon=True)
    with threads_that_compute(), mine:
        try:
            worker.start()
            theirs.close()
            assert mine.recv() is None
            assert buffer.numpy[0] == 1
            mine.send(buffer)
            mine_again, theirs_new = mine.recv()
            assert buffer.numpy[-1] == mine_again.numpy[-1] == 50
            assert theirs_new.numpy.tolist() == [3.0] * 5
            mine.send(None)
            worker.join(30)
            assert worker.exitcode == 0
        finally:
            worker.kill()


class Recordings(torch.utils.data.Dataset[Any]):
    """A dataset whose memory all workers share, and whose samples they hand over."""

    def __init__(self) -> None:
        self.all = share(np.arange(600.0).reshape(20, 30), across="process", writable=False)

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.all.tensor[index]


def together(samples: list[torch.Tensor]) -> Shared:
    return share(torch.stack(samples), across="process")


@pytest.mark.parametrize("method", ["fork", "spawn", pytest.param("forkserver", marks=pytest.mark.slow)])
def test_in_torchs_data_loader(method: str):
    data = Recordings()
    loader = torch.utils.data.DataLoader(
        data, batch_size=5, num_workers=2, collate_fn=together, multiprocessing_context=method
    )
    before = census().memfds
    batches = list(loader)
    assert torch.equal(torch.cat([each.tensor for each in batches]), to_tensor(data.all))
    assert census().memfds == before + 4
    del batches, loader
    assert census().memfds == before
    assert eventually(lambda: handles.waiting() == 0)
