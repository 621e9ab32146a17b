"""The transfer to a GPU, held to its rules by a stand-in whose copies happen as late as may be, and by a real one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow import Batch, Loader, Scale, SignalDataset
from bridgeflow.errors import NoRoute
from bridgeflow.pipeline.device import PinnedTransfer, Transfer, transfer_to


class LateCopy(torch.Tensor):
    """A pinned tensor whose `.to(device)` is queued on the stream of the moment, as a GPU's copy engine has it."""

    gpu: Gpu

    def to(self, device: Any, non_blocking: bool = False) -> torch.Tensor:  # type: ignore[override]
        assert device == "gpu"
        assert non_blocking
        target = OnGpu(torch.full(self.shape, -1.0).to(self.dtype))
        plain = self.as_subclass(torch.Tensor)
        self.gpu.active.append(lambda: target.copy_(plain))
        target.streams = []
        return target


class OnGpu(torch.Tensor):
    streams: list[Any]

    def record_stream(self, stream: Any) -> None:
        self.streams.append(stream)


class Stream(list[Any]):
    """Work that has been queued and not been done; one after the other, whichever thread waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self._turn = threading.Lock()

    def run(self, until: object = None) -> None:
        with self._turn:
            while self and not (until is not None and getattr(until, "done", False)):
                self.pop(0)()

    def wait_event(self, event: Event) -> None:
        event.synchronize()  # what the GPU does before any work that is queued from now on


class Event:
    def __init__(self) -> None:
        self.done = True
        self._stream: Stream | None = None

    def record(self, stream: Stream) -> None:
        self.done, self._stream = False, stream
        stream.append(self._reached)

    def _reached(self) -> None:
        self.done = True

    def synchronize(self) -> None:
        if self._stream is not None:
            self._stream.run(until=self)


class Gpu:
    """Copies read the pinned memory when the stream gets there: from a buffer reused too early, wrong numbers."""

    def __init__(self) -> None:
        self.main = Stream()
        self.buffers: list[int] = []
        self._of_thread = threading.local()

    @property
    def active(self) -> Stream:
        """Each thread's own, as with torch.cuda."""
        return getattr(self._of_thread, "stream", self.main)

    def pinned(self, nbytes: int) -> Any:
        self.buffers.append(nbytes)
        result = torch.zeros(nbytes, dtype=torch.uint8).as_subclass(LateCopy)
        LateCopy.gpu = self
        return result

    def stream(self) -> Stream:
        return Stream()

    def event(self) -> Event:
        return Event()

    @contextmanager
    def on(self, stream: Stream) -> Iterator[None]:
        before, self._of_thread.stream = self.active, stream
        yield
        self._of_thread.stream = before

    def current(self) -> Stream:
        return self.main


def plain(tensor: torch.Tensor) -> list[Any]:
    return tensor.as_subclass(torch.Tensor).tolist()


class TestTransfer:
    def test_batches_arrive_when_they_are_received(self):
        gpu = Gpu()
        transfer = PinnedTransfer("gpu", 2, gpu)
        batch = Batch(x=torch.arange(6.0).reshape(2, 3).t(), n=torch.tensor([3, 4], dtype=torch.int16), id=["a", "b"])
        sent = transfer.send(batch)
        assert plain(sent.batch["x"]) == [[-1.0] * 2] * 3
        arrived = transfer.receive(sent)
        assert type(arrived) is Batch
        assert plain(arrived["x"]) == batch["x"].tolist()
        assert (plain(arrived["n"]), arrived["n"].dtype, arrived["id"]) == ([3, 4], torch.int16, ["a", "b"])
        assert arrived["x"].streams == [gpu.main]

    @given(slots=st.integers(1, 4), steps=st.lists(st.booleans(), max_size=30))
    def test_a_buffer_is_not_written_to_while_it_is_read(self, slots: int, steps: list[bool]):
        """In any interleaving of sending and receiving, batches keep their numbers."""
        transfer, under_way, sent, received = PinnedTransfer("gpu", slots, Gpu()), [], 0, 0
        for send in steps:
            if send:
                under_way.append(transfer.send([torch.full((5,), float(sent))]))
                sent += 1
            elif under_way:
                (arrived,) = transfer.receive(under_way.pop(0))
                assert plain(arrived) == [float(received)] * 5
                received += 1
        for one in under_way:
            assert plain(transfer.receive(one)[0]) == [float(received)] * 5
            received += 1

    def test_buffers_are_used_again_and_grow(self):
        gpu = Gpu()
        transfer = PinnedTransfer("gpu", 2, gpu)
        for size in (100, 100, 100, 110, 50):
            transfer.receive(transfer.send([torch.zeros(size)]))
        assert len(gpu.buffers) == 2
        transfer.receive(transfer.send([torch.zeros(1000)]))
        assert len(gpu.buffers) == 3

    def test_what_is_no_tensor_stays(self):
        array = np.zeros(3)
        transfer = PinnedTransfer("gpu", 1, Gpu())
        arrived = transfer.receive(transfer.send({"x": array, "meta": torch.zeros(2, device="meta")}))
        assert arrived["x"] is array
        assert arrived["meta"].device.type == "meta"
        assert transfer.receive(transfer.send([])) == []

    def test_sparse_tensors_are_refused(self):
        with pytest.raises(NoRoute, match=r"torch.sparse_coo tensor cannot be staged"):
            PinnedTransfer("gpu", 1, Gpu()).send([torch.zeros(2).to_sparse()])

    def test_many_threads_may_send(self):
        transfer = PinnedTransfer("gpu", 3, Gpu())
        with ThreadPoolExecutor(1) as pool:
            sent = list(pool.map(lambda number: transfer.send([torch.full((4,), float(number))]), range(20)))
        assert [plain(transfer.receive(one)[0])[0] for one in sent] == [float(number) for number in range(20)]


@pytest.mark.parametrize("way", [{"threads": 0}, {"threads": 2}, {"num_workers": 1}], ids=str)
def test_a_loader_sends_its_batches(way: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "bridgeflow.pipeline.loader.transfer_to", lambda device, slots: PinnedTransfer("gpu", slots, Gpu())
    )
    dataset = SignalDataset({"x": np.arange(40.0).reshape(20, 2)}, Scale(scale=2.0))
    loader = Loader(dataset, 3, device="gpu", **way)
    seen = [plain(batch["x"]) for batch in loader]
    assert [row for batch in seen for row in batch] == (np.arange(40.0).reshape(20, 2) * 2).tolist()
    loader.close()


def test_there_is_no_way_to_go_on_the_cpu():
    batch = Batch(x=torch.zeros(2))
    for device in (None, "cpu", torch.device("cpu")):
        transfer = transfer_to(device, 3)
        assert type(transfer) is Transfer
        assert transfer.receive(transfer.send(batch)) is batch


@pytest.mark.cuda
class TestCuda:
    @pytest.mark.parametrize(
        "way", [{"threads": 0}, {"threads": 2}, {"num_workers": 1, "multiprocessing_context": "spawn"}], ids=str
    )
    def test_batches_are_those_of_the_cpu(self, way: dict[str, Any]):
        values = np.random.default_rng(0).standard_normal((500, 8, 1024), dtype=np.float32)
        dataset = SignalDataset({"x": values, "row": np.arange(500)})
        loader = Loader(dataset, 16, shuffle=True, device="cuda", **way)
        for there, here in zip(loader, Loader(dataset, 16, shuffle=True), strict=True):
            assert there["x"].is_cuda
            total = (there["x"] * 2).sum(dim=(1, 2))  # work that waits for the copy
            torch.testing.assert_close(there["x"].cpu(), here["x"], rtol=0, atol=0)
            torch.testing.assert_close(total.cpu(), (here["x"] * 2).sum(dim=(1, 2)), rtol=1e-4, atol=1e-2)
        loader.close()
