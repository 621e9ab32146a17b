"""`CausalFilter`: the whole equals the sum of its chunks, bit for bit, with a state that any format can hold."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import scipy.signal
import torch
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow.bridge import describe, to_numpy
from bridgeflow.errors import ConfigError, DataError, NonFinite
from bridgeflow.signal import Butter, CausalFilter, Firwin, Notch, ZeroPhaseFilter, fir_zero_phase
from bridgeflow.spec import ArraySpec
from tests.signal.chunks import in_chunks, recording

DESIGNS = [
    Butter(order=4, cutoff=(0.5, 40.0), btype="bandpass", fs=360.0),
    Notch(w0=60.0, Q=30.0, fs=360.0),
    Firwin(numtaps=21, cutoff=40.0, fs=360.0),
]
LENGTH = 160

cuts = st.lists(st.integers(0, LENGTH), max_size=10).map(lambda places: [0, *sorted(places), LENGTH])
fields = {
    "design": st.sampled_from(DESIGNS),
    "initial": st.sampled_from(["zero", "steady"]),
    "dtype": st.sampled_from(["float32", "float64", "complex64", "int16"]),
    "rows": st.sampled_from([(), (1,), (2, 3), (0,)]),
}


@given(cuts=cuts, **fields)
def test_any_chunking_gives_the_bits_of_the_whole(cuts, design, initial, dtype, rows):
    x = recording((*rows, LENGTH), dtype)
    run = CausalFilter(design=design, initial=initial, scale=0.01, offset=-0.25)
    whole = run(x)
    chunked = in_chunks(run, x, cuts)
    np.testing.assert_array_equal(chunked.values, whole)
    assert len(chunked.pieces) == len(cuts) - 1
    assert int(chunked.states[-1]["position"]) == LENGTH
    assert whole.dtype == ("float64" if dtype == "int16" else dtype)


@given(cuts=cuts, bad=st.lists(st.tuples(st.integers(0, 1), st.integers(0, LENGTH - 1)), max_size=12), **fields)
def test_gaps_do_not_depend_on_the_chunking_either(cuts, bad, design, initial, dtype, rows):
    x = recording((2, LENGTH), "float64" if dtype == "int16" else dtype)
    for row, sample in bad:
        x[row, sample] = np.nan if sample % 2 else np.inf
    for nonfinite in ("propagate", "reset"):
        run = CausalFilter(design=design, initial=initial, nonfinite=nonfinite)
        whole = run(x)
        chunked = in_chunks(run, x, cuts)
        np.testing.assert_array_equal(chunked.values, whole)
        if nonfinite == "reset":
            np.testing.assert_array_equal(np.isnan(whole), ~np.isfinite(x))
            finite = np.concatenate([np.ones((2, 1), bool), np.isfinite(x)], -1)
            gaps = chunked.states[-1]["gaps"]
            np.testing.assert_array_equal(gaps, np.count_nonzero(finite[:, :-1] & ~finite[:, 1:], axis=-1))


@pytest.mark.parametrize("edge", [0, 1, 49, 50, 51, LENGTH - 1])
@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_raise_names_the_sample_in_the_recording_at_every_chunk_edge(design, edge):
    x = recording((3, LENGTH), "float64")
    x[2, edge] = np.nan
    run = CausalFilter(design=design)
    state = run.init_state(describe(x))
    for begin in range(0, edge - 49, 50):
        _, state = run.step(x[:, begin : begin + 50], state)
    begin = int(state["position"])
    with pytest.raises(NonFinite, match=f"{design.name}: row 2 is nan at sample {edge};"):
        run.step(x[:, begin : begin + 50], state)


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_steady_starts_without_a_jump(design):
    y = CausalFilter(design=design, initial="steady")(np.full((2, 100), 7.0))
    gain = np.real(design.response(0.0))
    np.testing.assert_allclose(y, 7.0 * gain, atol=1e-9)


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_reset_and_steady_start_each_run_steadily(design):
    x = np.full(100, 7.0)
    x[[0, 40]] = np.nan
    y = CausalFilter(design=design, initial="steady", nonfinite="reset")(x)
    np.testing.assert_allclose(np.delete(y, [0, 40]), 7.0 * np.real(design.response(0.0)), atol=1e-9)


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_kinds_in_a_stream(design):
    x = recording((2, LENGTH), "float32")
    run = CausalFilter(design=design, initial="steady")
    whole = run(x)
    for kind in (torch.from_numpy, pa.FixedShapeTensorArray.from_numpy_ndarray):
        state, pieces = run.init_state(describe(kind(x.copy()))), []
        for begin in range(0, LENGTH, 33):
            chunk = kind(np.ascontiguousarray(x[:, begin : begin + 33]))
            promise = run.out_spec(describe(chunk))
            y, state = run.step(chunk, state)
            assert type(y) is type(chunk)
            assert promise.admits(describe(y))
            pieces.append(to_numpy(y))
        np.testing.assert_array_equal(np.concatenate(pieces, -1), whole)


def test_the_input_state_is_left_alone():
    run = CausalFilter(design=DESIGNS[0], initial="steady", nonfinite="reset")
    x = recording((2, LENGTH), "float64")
    first = run.init_state(describe(x))
    for part in first.values():
        part.setflags(write=False)
    _, second = run.step(x, first)
    for part in second.values():
        part.setflags(write=False)
    once, _ = run.step(x, second)
    again, _ = run.step(x, second)
    np.testing.assert_array_equal(once, again)


def test_the_spec_of_the_result():
    run = CausalFilter(design=DESIGNS[0])
    spec = ArraySpec(kind="torch", dtype="int16", shape=(2, None), device="cuda:0", fs=360.0)
    assert str(run.out_spec(spec)) == "torch float64[2, ?] (cuda:0)"
    assert run.out_spec(ArraySpec(kind="arrow", dtype="float32", shape=(9,))).writable is False
    with pytest.raises(ConfigError, match="designed for fs=360 Hz, but the data have 250 Hz"):
        run.out_spec(ArraySpec(kind="numpy", dtype="float32", shape=(9,), fs=250.0))
    with pytest.raises(DataError, match="elements of type string"):
        run.out_spec(ArraySpec(kind="arrow", dtype="string", shape=(9,)))
    with pytest.raises(DataError, match="at least one axis"):
        run.out_spec(ArraySpec(kind="numpy", dtype="float32", shape=()))
    with pytest.raises(DataError, match="rows of a stream must be known"):
        run.init_state(ArraySpec(kind="numpy", dtype="float32", shape=(None, 9)))


def test_choices_that_do_not_exist():
    for choice in (
        {"initial": "warm"},
        {"nonfinite": "drop"},
        {"precision": "half"},
        {"engine": "gpu"},
        {"scale": np.nan},
    ):
        for family in (CausalFilter, ZeroPhaseFilter):
            if family is ZeroPhaseFilter and "initial" in choice:
                continue
            with pytest.raises(ValueError, match="must be"):
                family(design=DESIGNS[0], **choice)
    with pytest.raises(ConfigError, match="is an FIR filter"):
        CausalFilter(design=DESIGNS[2], engine="scipy")
    with pytest.raises(ConfigError, match="is an FIR filter"):
        ZeroPhaseFilter(design=DESIGNS[2], precision="float32")


def test_another_number_of_rows_is_refused():
    run = CausalFilter(design=DESIGNS[0])
    state = run.init_state(ArraySpec(kind="numpy", dtype="float64", shape=(2, 9)))
    with pytest.raises(DataError, match=r"chunk of shape \(3, 9\) in a stream whose rows have shape \(2,\)"):
        run.step(np.zeros((3, 9)), state)


def test_zero_phase_over_a_whole_recording():
    x = recording((2, LENGTH), "float64")
    ours = ZeroPhaseFilter(design=DESIGNS[0], scale=0.5)(x)
    np.testing.assert_allclose(ours, scipy.signal.sosfiltfilt(DESIGNS[0].sos, x * 0.5), atol=1e-9)
    np.testing.assert_array_equal(ZeroPhaseFilter(design=DESIGNS[2])(x), fir_zero_phase(DESIGNS[2], x))
