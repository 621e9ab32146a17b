"""`frames` and `labels_of_frames`: every window where it belongs, as a view, with its label; whole and live."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import scipy.signal
import torch
from hypothesis import given
from hypothesis import strategies as st

import bridgeflow.signal
from bridgeflow.bridge import describe, kind_of, to_numpy
from bridgeflow.errors import ConfigError, DataError, NoRoute
from bridgeflow.policy import words
from bridgeflow.signal.framing import Framing, LabelRule, Leftover, LiveFrames, LiveLabels, frames, labels_of_frames

LENGTH = 40
cuts = st.lists(st.integers(0, LENGTH), max_size=12).map(lambda places: [0, *sorted(places), LENGTH])
lengths = st.integers(1, 15)
pads = st.sampled_from(words(Leftover))


def by_hand(x, length, hop, pad):
    """The windows of one row, one after the other, by the words of the documentation."""
    result, seen, start = [], 0, 0
    while start + length <= len(x):
        result.append(x[start : start + length])
        start, seen = start + hop, start + length
    if pad != "drop" and len(x) > max(seen, start):
        rest = x[start:]
        modes = {"zeros": "constant", "edge": "edge", "reflect": "reflect" if len(rest) > 1 else "edge"}
        result.append(np.pad(rest, (0, length - len(rest)), mode=modes[pad]))
    return np.reshape(result, (len(result), length)).astype(x.dtype)


@given(samples=st.integers(0, LENGTH), length=lengths, hop=lengths, pad=pads)
def test_windows_are_where_they_belong(samples, length, hop, pad):
    x = np.random.default_rng(0).integers(-100, 100, (2, samples), dtype="int16")
    seen = frames(x, length, hop, pad=pad)
    np.testing.assert_array_equal(seen, np.stack([by_hand(row, length, hop, pad) for row in x]))
    assert seen.dtype == "int16"
    np.testing.assert_array_equal(frames(x, length, hop, pad=pad, first=True), np.moveaxis(seen, -2, 0))
    np.testing.assert_array_equal(frames(torch.from_numpy(x), length, hop, pad=pad).numpy(), seen)


@given(samples=st.integers(1, LENGTH), length=lengths, hop=lengths, pad=pads, rule=st.sampled_from(words(LabelRule)))
def test_labels_are_those_of_the_windows(samples, length, hop, pad, rule):
    labels = np.random.default_rng(samples).integers(0, 3, samples)
    places = by_hand(np.arange(samples) + 1, length, hop, "drop" if pad == "drop" else "zeros")
    expected = []
    for window in places:
        real = [int(labels[place - 1]) for place in window if place]
        most = max(Counter(real).values())
        expected.append(
            {
                "majority": min(label for label, count in Counter(real).items() if count == most),
                "any": any(real),
                "center": real[min(length // 2, len(real) - 1)],
                "last": real[-1],
            }[rule]
        )
    seen = labels_of_frames(labels, length, hop, pad=pad, rule=rule)
    assert seen.tolist() == expected
    assert seen.dtype == (bool if rule == "any" else labels.dtype)


@given(
    cuts=st.one_of(cuts, st.just(list(range(LENGTH + 1)))),
    length=lengths,
    hop=lengths,
    pad=pads,
    first=st.booleans(),
    rule=st.sampled_from(words(LabelRule)),
    rows=st.sampled_from([(), (2, 3), (0,)]),
    dtype=st.sampled_from(["float32", "int16", "complex64", "bool"]),
)
def test_any_chunking_gives_the_whole(cuts, length, hop, pad, first, rule, rows, dtype):
    x = np.random.default_rng(0).integers(0, 3, (*rows, LENGTH)).astype(dtype)
    for run, axis in [
        (LiveFrames(Framing(length, hop, pad), first), 0 if first else -2),
        (LiveLabels(Framing(length, hop, pad), rule), -1),
    ]:
        whole = run(x)
        assert run.out_spec(describe(x)).admits(describe(whole))
        state, pieces = run.init_state(describe(x)), []
        for begin, end in pairwise(cuts):
            y, state = run.step(x[..., begin:end], state)
            pieces.append(y)
            assert state["tail"].shape[-1] < length
        last = run.flush(state)
        pieces += [] if last is None else [last]
        np.testing.assert_array_equal(np.concatenate(pieces, axis=axis), whole)


def test_windows_are_views_that_cannot_be_written_to():
    x = np.zeros((2, 100), "float32")
    seen = frames(x, 10, 5)
    x[1, 12] = 7
    assert seen[1, 1, 7] == seen[1, 2, 2] == 7
    assert not seen.flags.writeable
    assert np.shares_memory(frames(x, 7, 10, pad="edge"), x)  # 100 samples: nothing left that would need completing
    tensor = torch.zeros(2, 100)
    assert frames(tensor, 10, 5).untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr()


def test_what_is_promised_of_a_view_is_what_it_is():
    for x in (np.zeros((2, 30)), np.zeros((2, 60))[:, ::2], np.zeros((30, 2), "int16").T):
        for hop in (3, 5, 9):
            for first in (False, True):
                run = LiveFrames(Framing(5, hop), first)
                promise, deed = run.out_spec(describe(x)), describe(run(x))
                assert promise == deed


def test_kinds():
    x = np.random.default_rng(0).standard_normal((3, 20)).astype("float32")
    rows = frames(pa.FixedShapeTensorArray.from_numpy_ndarray(x), 5, 2)
    assert kind_of(rows) == "arrow"
    np.testing.assert_array_equal(to_numpy(rows), frames(x, 5, 2))
    half = frames(torch.from_numpy(x).bfloat16(), 5, 2, pad="reflect")
    assert half.dtype is torch.bfloat16
    text = np.array(["N", "N", "V", "V", "V", "N"])
    assert labels_of_frames(text, 3).tolist() == ["N", "V"]
    assert labels_of_frames(torch.tensor([0, 1, 1]), 3).tolist() == [1]
    assert labels_of_frames([0, 1, 1, 1], 2).tolist() == [0, 1]
    column = labels_of_frames(pa.array([0, 1, 1]), 3)
    assert kind_of(column) == "arrow"


def test_gradients():
    x = torch.randn(2, 12, dtype=torch.float64, requires_grad=True)
    for pad in words(Leftover):
        assert torch.autograd.gradcheck(lambda x, pad=pad: frames(x, 5, 3, pad=pad), (x,), fast_mode=True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: frames(x, 0), "length must be an integer of at least 1, got 0"),
        (lambda x: frames(x, 5, 0), "hop must be an integer of at least 1, got 0"),
        (lambda x: frames(x, 5, pad="wrap"), "pad must be one of 'drop'"),
        (lambda x: labels_of_frames(x, 5, rule="mode"), "rule must be one of 'majority'"),
        (lambda x: labels_of_frames(np.array(["a", "b"]), 2, rule="any"), "asks which labels are not zero"),
        (lambda x: labels_of_frames(np.arange(5000.0), 2), "there are 5000 different labels"),
        (lambda x: labels_of_frames(3, 2), "must have an axis"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((ConfigError, DataError, ValueError), match=message):
        call(np.zeros(20))


NESTED = torch.nested.nested_tensor([torch.ones(8), torch.ones(9)], layout=torch.jagged)


@pytest.mark.parametrize("x", [NESTED, torch.eye(9).to_sparse()], ids=["nested", "sparse"])
@pytest.mark.parametrize(
    "name", ["frames", "sosfilt", "sosfiltfilt", "decimate", "detrend", "hilbert", "medfilt", "welch"]
)
def test_tensors_that_are_no_block_of_memory_are_refused_by_name(name, x):
    sos = scipy.signal.butter(2, 0.2, output="sos")
    arguments = {"frames": (x, 4), "sosfilt": (sos, x), "sosfiltfilt": (sos, x), "decimate": (x, 2), "medfilt": (x, 3)}
    with pytest.raises(NoRoute, match=r"\[ragged\]|\[layout\]"):
        getattr(bridgeflow.signal, name)(*arguments.get(name, (x,)))


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("axis", [0, 1, -1, -3])
@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy])
def test_time_on_any_axis(make, axis, first):
    x = np.random.default_rng(0).integers(0, 3, (20, 21, 22))
    place = range(3)[axis]
    expected = frames(np.moveaxis(x, place, -1), 5, 3, pad="edge")
    result = np.asarray(frames(make(x), 5, 3, pad="edge", first=first, axis=axis))
    ends = (0, place + 1) if first else (place, place + 1)
    np.testing.assert_array_equal(np.moveaxis(result, ends, (-2, -1)), expected)
    if not first:
        labels = np.asarray(labels_of_frames(make(x), 5, 3, axis=axis))
        np.testing.assert_array_equal(np.moveaxis(labels, place, -1), labels_of_frames(np.moveaxis(x, place, -1), 5, 3))
        rates = bridgeflow.signal.peak_rate(make(x.astype(float)), 10.0, axis=axis)
        np.testing.assert_array_equal(rates, bridgeflow.signal.peak_rate(np.moveaxis(x, place, -1), 10.0))
    with pytest.raises(DataError, match="axis 3 does not exist"):
        frames(make(x), 5, axis=3)
