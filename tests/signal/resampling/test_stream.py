"""`Resampler`: the whole equals the sum of its chunks, bit for bit, with a state that any format can hold."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow.bridge import describe, kind_of, to_numpy
from bridgeflow.errors import CannotStream, DataError
from bridgeflow.signal.resampling import Resampler, resample_poly
from bridgeflow.spec import ArraySpec
from tests.signal.chunks import in_chunks, recording

LENGTH = 211

cuts = st.lists(st.integers(0, LENGTH), max_size=12).map(lambda places: [0, *sorted(places), LENGTH])
single = st.just(list(range(LENGTH + 1)))
factors = st.one_of(
    st.tuples(st.integers(1, 13), st.integers(1, 13)),
    st.sampled_from([(160, 147), (147, 160), (1, 50), (50, 1), (441, 100), (1, 300), (300, 299)]),
)
windows = st.sampled_from([("kaiser", 5.0), "hamming", (1.0,), (0.5, 0.5), (1.0, 2.0, 3.0, 4.0), tuple(range(1, 60))])


@given(
    cuts=st.one_of(cuts, single),
    factors=factors,
    window=windows,
    padtype=st.sampled_from(["constant", "edge"]),
    dtype=st.sampled_from(["float32", "float64", "complex64", "int16", "float16"]),
    rows=st.sampled_from([(), (1,), (2, 3), (0,)]),
    zero_phase=st.booleans(),
)
def test_any_chunking_gives_the_bits_of_the_whole(cuts, factors, window, padtype, dtype, rows, zero_phase):
    x = recording((*rows, LENGTH), dtype)
    x = x / np.float16(1000) if dtype == "float16" else x  # it ends at 65,504, and taps may multiply by 17,700
    cval = 25.0 if padtype == "constant" and not zero_phase else None
    run = Resampler(up=factors[0], down=factors[1], window=window, padtype=padtype, cval=cval, zero_phase=zero_phase)
    whole = run(x)
    chunked = in_chunks(run, x, cuts)
    np.testing.assert_array_equal(chunked.values, whole)
    kept = max((state["tail"].shape[-1] for state in chunked.states), default=0)
    assert kept <= (0 if run.plan is None else max(run.plan.reach, 1))
    assert whole.dtype == ("float64" if dtype == "int16" else dtype)
    assert run.out_spec(describe(x)).admits(describe(whole))


@pytest.mark.parametrize("padtype", ["constant", "edge", "reflect", "mean"])
def test_a_whole_is_what_resample_poly_gives(padtype):
    x = recording((3, LENGTH), "float64")
    for up, down in [(3, 2), (2, 3), (160, 147), (1, 1)]:
        whole = Resampler(up=up, down=down, padtype=padtype)(x)
        np.testing.assert_array_equal(whole, resample_poly(x, up, down, axis=-1, padtype=padtype))


def test_years_of_recording_keep_the_state_small():
    run = Resampler(up=160, down=147)
    state = run.init_state(ArraySpec(kind="numpy", dtype="float32", shape=(None,)))
    x = np.ones(100_003, "float32")
    for _ in range(20):
        _, state = run.step(x, state)
        assert 0 <= int(state["ahead"]) < 160 * 30
        assert state["tail"].nbytes < 1000


@pytest.mark.parametrize(
    "to_kind",
    [
        torch.from_numpy,
        lambda x: torch.from_numpy(x).bfloat16(),
        lambda x: torch.from_numpy(x).requires_grad_(),
        pa.FixedShapeTensorArray.from_numpy_ndarray,
    ],
    ids=["torch", "bfloat16", "grad", "arrow"],
)
def test_kinds_in_a_stream(to_kind):
    x = np.ascontiguousarray(recording((2, LENGTH), "float32"))
    run = Resampler(up=3, down=2)
    whole = run(to_kind(x))
    state, pieces = run.init_state(describe(to_kind(x))), []
    for begin, end in pairwise([0, 7, 60, 61, LENGTH]):
        y, state = run.step(to_kind(np.ascontiguousarray(x[:, begin:end])), state)
        pieces.append(y)
    pieces.append(run.flush(state))
    assert {kind_of(piece) for piece in pieces} == {kind_of(whole)}
    assert len({str(piece.dtype) for piece in pieces if kind_of(piece) == "torch"}) <= 1
    together = np.concatenate([to_numpy(piece) for piece in pieces], axis=-1)
    np.testing.assert_array_equal(together, to_numpy(whole))


def test_gradients_flow_from_chunk_to_chunk():
    x = torch.from_numpy(recording((2, LENGTH), "float64"))
    run = Resampler(up=3, down=4)
    pieces = [piece.clone().requires_grad_() for piece in (x[:, :100], x[:, 100:])]
    state = run.init_state(describe(x))
    total = 0
    for piece in pieces:
        y, state = run.step(piece, state)
        total = total + (y * torch.arange(y.shape[-1])).sum()
    total.backward()
    assert (pieces[0].grad[:, -5:] != 0).all()


def test_nothing_comes_of_nothing():
    run = Resampler(up=3, down=2)
    state = run.init_state(ArraySpec(kind="numpy", dtype="float32", shape=(2, None)))
    y, state = run.step(np.zeros((2, 0), "float32"), state)
    assert y.shape == (2, 0)
    assert run.flush(state) is None
    assert run(np.zeros((2, 0), "float32")).shape == (2, 0)


def test_what_cannot_stream_says_why():
    run = Resampler(up=3, down=2, padtype="reflect")
    assert "have not come yet" in run.stream_obstacle
    with pytest.raises(CannotStream, match="'constant' or 'edge' do not"):
        run.init_state(ArraySpec(kind="numpy", dtype="float32", shape=(2, None)))


def test_wrong_rows_are_refused():
    run = Resampler(up=3, down=2)
    with pytest.raises(DataError, match="rows of a stream must be known"):
        run.init_state(ArraySpec(kind="numpy", dtype="float32", shape=(None, None)))
    state = run.init_state(ArraySpec(kind="numpy", dtype="float32", shape=(2, None)))
    with pytest.raises(DataError, match=r"a chunk of shape \(3, 10\) in a stream whose rows have shape \(2,\)"):
        run.step(np.zeros((3, 10), "float32"), state)
