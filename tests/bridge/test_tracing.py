"""`trace()`: what is recorded, by whom, and how it looks."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from bridgeflow.bridge import to_arrow, to_numpy, to_tensor, trace
from bridgeflow.bridge.tracing import ACTIVE, at
from bridgeflow.errors import NoRoute, StageId


def test_views_and_copies_are_told_apart():
    with trace() as record:
        to_tensor(np.zeros(4))
        to_tensor(np.zeros(4)[::-1])
        to_arrow(torch.zeros(4).bfloat16())
    assert [(e.action, e.nbytes, e.reason) for e in record] == [
        ("view", 0, None),
        ("copy", 32, "negative-stride"),
        ("view", 0, None),
    ]
    assert record.total_bytes == 32
    assert len(record) == 3


def test_what_stays_as_it_is_is_no_crossing():
    x, t = np.zeros(3), torch.zeros(3)
    with trace() as record:
        assert to_numpy(x) is x
        assert to_tensor(t) is t
    assert len(record) == 0


def test_traces_nest_and_each_sees_all_that_happens_in_it():
    with trace() as outer:
        to_tensor(np.zeros(1))
        with trace() as inner:
            to_tensor(np.zeros(2))
        to_tensor(np.zeros(3))
    assert [e.target.shape for e in inner] == [(2,)]
    assert [e.target.shape for e in outer] == [(1,), (2,), (3,)]
    to_tensor(np.zeros(4))
    assert len(outer) == 3
    assert not ACTIVE


def test_a_trace_closes_when_its_block_fails():
    text = np.array(["text"])
    with trace() as outer, pytest.raises(NoRoute), trace():
        to_tensor(text)
    assert len(outer) == 0
    assert not ACTIVE


def test_equal_traces_do_not_close_each_other():
    first, second = trace(), trace()
    one = first.__enter__()
    two = second.__enter__()
    first.__exit__(None, None, None)
    to_tensor(np.zeros(1))
    second.__exit__(None, None, None)
    assert (len(one), len(two)) == (0, 1)


def test_crossings_of_all_threads_are_recorded():
    started = threading.Barrier(4)

    def convert(n: int) -> None:
        started.wait()
        for _ in range(50):
            to_tensor(np.zeros(n)[::-1])

    with trace() as record, ThreadPoolExecutor(4) as pool:
        list(pool.map(convert, range(2, 6)))
    assert len(record) == 200
    assert record.total_bytes == 50 * 8 * (2 + 3 + 4 + 5)


def test_place_and_stage_of_whoever_traverses():
    with trace() as record, at("$.ecg", StageId((2,), "ToTensor")), at("$.ecg.lead"):
        to_tensor(np.zeros(1))
    (exchange,) = record
    assert (exchange.place, exchange.stage) == ("$.ecg.lead", StageId((2,), "ToTensor"))


def test_places_of_other_threads_are_their_own():
    def convert(place: str) -> None:
        with at(place):
            for _ in range(20):
                to_tensor(np.zeros(1))

    with trace() as record, ThreadPoolExecutor(2) as pool:
        list(pool.map(convert, ["$.a", "$.b"]))
    places = [exchange.place for exchange in record]
    assert (places.count("$.a"), places.count("$.b")) == (20, 20)


def test_it_prints_as_a_table():
    with trace() as record:
        to_tensor(np.zeros((2, 3), ">f4"))
        to_numpy(torch.zeros(2))
    lines = str(record).splitlines()
    assert lines[0].split() == ["place", "from", "to", "action", "bytes", "why"]
    assert lines[1].startswith("$      numpy float32[2, 3] (byte-order)  torch float32[2, 3]")
    assert lines[1].endswith(
        "copy    24     byte-order: the array is stored in the other byte order than this machine's"
    )
    assert lines[2].endswith("view    0")
    assert lines[3] == "2 crossings, 24 bytes copied"
    assert repr(record) == str(record)
    columns = [line.index(word) for line, word in zip(lines[:3], ("action", "copy", "view"), strict=True)]
    assert len(set(columns)) == 1


def test_an_empty_trace_prints_too():
    with trace() as record:
        pass
    assert str(record).splitlines()[-1] == "0 crossings, 0 bytes copied"


def test_a_notebook_shows_it_as_html_with_every_cell_escaped():
    with trace() as record, at("$.<script>"):
        to_tensor(np.zeros(2)[::-1])
    html = record._repr_html_()
    assert '<th scope="col">place</th>' in html
    assert "<td>$.&lt;script&gt;</td>" in html
    assert "<script>" not in html
    assert "<p>1 crossings, 16 bytes copied</p>" in html
