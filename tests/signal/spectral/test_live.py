"""Spectra live: the whole equals the sum of its chunks, bit for bit, with a state that any format can hold."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from bridgeflow.bridge import describe, kind_of, to_numpy
from bridgeflow.errors import CannotStream, DataError
from bridgeflow.signal.spectral import LiveIstft, LiveStft, ShortTimeFFT, WelchAverage
from bridgeflow.spec import ArraySpec
from tests.signal.chunks import in_chunks, recording

LENGTH = 131

cuts = st.one_of(
    st.lists(st.integers(0, LENGTH), max_size=12).map(lambda places: [0, *sorted(places), LENGTH]),
    st.just(list(range(LENGTH + 1))),
)
settings = {
    "m": st.integers(1, 20),
    "hop": st.integers(1, 25),
    "mode": st.sampled_from(["onesided", "onesided2X", "twosided", "centered"]),
    "phase_shift": st.sampled_from([0, None]),
    "dtype": st.sampled_from(["float32", "float64", "int16", "complex64"]),
    "rows": st.sampled_from([(), (2, 3), (0,)]),
}


def transform(m, hop, mode, phase_shift, zeros=0):
    win = np.concatenate([np.zeros(zeros), np.hanning(m + 2)[1:-1]])
    scale = "psd" if mode == "onesided2X" else None
    return ShortTimeFFT(win, hop, 1.0, fft_mode=mode, phase_shift=phase_shift, scale_to=scale)


@given(
    cuts=cuts,
    power=st.booleans(),
    padding=st.sampled_from(["zeros", "edge"]),
    detr=st.sampled_from([None, "linear", "constant"]),
    zeros=st.integers(0, 3),
    **settings,
)
def test_spectra_of_any_chunking(cuts, power, padding, detr, zeros, m, hop, mode, phase_shift, dtype, rows):
    assume(not mode.startswith("onesided") or dtype != "complex64")
    x = recording((*rows, LENGTH), dtype)
    run = LiveStft(sft=transform(m, hop, mode, phase_shift, zeros), power=power, padding=padding, detr=detr)
    whole = run(x)
    np.testing.assert_array_equal(in_chunks(run, x, cuts).values, whole)
    assert run.out_spec(describe(x)).admits(describe(whole))


@given(cuts=cuts, cropped=st.booleans(), **settings)
def test_recordings_back_from_any_chunking(cuts, cropped, m, hop, mode, phase_shift, dtype, rows):
    assume(not mode.startswith("onesided") or dtype != "complex64")
    sft = transform(m, hop, mode, phase_shift)
    assume(sft.invertible)
    S = sft.stft(recording((*rows, LENGTH), dtype))
    run = LiveIstft(sft=sft, k1=LENGTH if cropped else None)
    whole = run(S)
    assert run.out_spec(describe(S)).admits(describe(whole))
    cuts = sorted({min(cut, S.shape[-1]) for cut in cuts} | {S.shape[-1]})
    np.testing.assert_array_equal(in_chunks(run, S, cuts).values, whole)
    if cropped:
        scale = np.abs(whole).max(initial=1.0)
        np.testing.assert_allclose(
            whole, recording((*rows, LENGTH), dtype), atol=scale * (1e-4 if S.dtype == "c8" else 1e-10)
        )


@given(cuts=cuts, detr=st.sampled_from([None, "linear", "constant"]), **settings)
def test_averages_of_any_chunking(cuts, detr, m, hop, mode, phase_shift, dtype, rows):
    assume(mode in {"onesided", "twosided"})
    assume(mode != "onesided" or dtype != "complex64")
    assume(m > 1)
    x = recording((*rows, LENGTH), dtype)
    run = WelchAverage(sft=transform(m, hop, mode, None), detr=detr)
    whole = run(x)
    np.testing.assert_array_equal(in_chunks(run, x, cuts).values, whole)
    assert run.out_spec(describe(x)).admits(describe(whole))


@pytest.mark.parametrize(
    ("to_kind", "tolerance"),
    [
        (torch.from_numpy, 0),
        (lambda x: torch.from_numpy(x).bfloat16(), 0),
        (lambda x: torch.from_numpy(x).requires_grad_(), 1e-6),
        (pa.FixedShapeTensorArray.from_numpy_ndarray, 0),
    ],
    ids=["torch", "bfloat16", "grad", "arrow"],
)
def test_kinds_in_a_stream(to_kind, tolerance):
    x = np.ascontiguousarray(recording((2, LENGTH), "float32"))
    sft = transform(16, 4, "onesided", 0)
    for run in (LiveStft(sft=sft), LiveStft(sft=sft, power=True), WelchAverage(sft=sft)):
        whole = run(to_kind(x))
        state, pieces = run.init_state(describe(to_kind(x))), []
        for begin, end in pairwise([0, 7, 60, 61, LENGTH]):
            y, state = run.step(to_kind(np.ascontiguousarray(x[:, begin:end])), state)
            pieces.append(y)
        pieces.append(run.flush(state))
        assert {kind_of(piece) for piece in pieces} == {kind_of(whole)}
        together = np.concatenate([to_numpy(piece) for piece in pieces], axis=-1)
        assert together.dtype == to_numpy(whole).dtype
        np.testing.assert_allclose(together, to_numpy(whole), atol=tolerance * np.abs(together).max())


def test_there_and_back_live():
    x = recording((2, LENGTH), "float64")
    sft = transform(16, 4, "onesided", 0)
    there, back = LiveStft(sft=sft), LiveIstft(sft=sft, k1=LENGTH)
    spectra, recordings = there.init_state(describe(x)), back.init_state(there.out_spec(describe(x)))
    pieces = []
    for begin in range(0, LENGTH, 10):
        S, spectra = there.step(x[:, begin : begin + 10], spectra)
        y, recordings = back.step(S, recordings)
        pieces.append(y)
    y, recordings = back.step(there.flush(spectra), recordings)
    pieces += [y, back.flush(recordings)]
    np.testing.assert_allclose(np.concatenate(pieces, axis=-1), x, atol=1e-10)


def test_years_of_recording_keep_the_state_small():
    run = WelchAverage(sft=transform(64, 32, "onesided", None))
    state = run.init_state(ArraySpec(kind="numpy", dtype="float32", shape=(None,)))
    for _ in range(50):
        y, state = run.step(np.ones(10_007, "float32"), state)
        assert y.shape == (0,)
        assert sum(part.nbytes for part in state.values()) < 2000
    assert run.flush(state).shape == (33,)


def test_too_short_is_refused_at_the_end_as_it_is_at_once():
    x = np.ones(5)
    for run, message in [
        (LiveStft(sft=transform(16, 4, "onesided", 0)), r"ceil\(m_num/2\)"),
        (WelchAverage(sft=transform(16, 4, "onesided", None)), "a segment has 16 samples, and the recording 5"),
    ]:
        state = run.init_state(describe(x))
        assert run.flush(state) is None
        _, state = run.step(x, state)
        for call in (lambda run=run, state=state: run.flush(state), lambda run=run: run(x)):
            with pytest.raises(DataError, match=message):
                call()
    back = LiveIstft(sft=transform(16, 4, "onesided", 0))
    state = back.init_state(ArraySpec(kind="numpy", dtype="complex128", shape=(9, None)))
    assert back.flush(state) is None
    _, state = back.step(np.ones((9, 1)), state)
    with pytest.raises(DataError, match="it takes at least 5 slices"):
        back.flush(state)


def test_what_cannot_stream_says_why():
    sft = transform(16, 4, "onesided", None)
    spec = describe(np.ones(50))
    for run, message in [
        (LiveStft(sft=sft, padding="even"), "'zeros' and 'edge' do not"),
        (WelchAverage(sft=sft, average="median"), "the median needs all segments"),
    ]:
        assert run.stream_obstacle
        with pytest.raises(CannotStream, match=message):
            run.init_state(spec)
