"""`stream()`: push and flush, and a state that survives JSON and another process, at every step, twice."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgeflow.bridge import to_numpy
from bridgeflow.errors import CannotStream, ConfigError, DataError
from bridgeflow.signal import Butter, CausalFilter, Firwin, ZeroPhaseFilter, fir_zero_phase, sosfilt, stream
from bridgeflow.transforms import Scale, SignalFilter

LOWPASS = Butter(order=4, cutoff=20.0, fs=100.0)
WAYS = [
    {"filter": LOWPASS},
    {"filter": LOWPASS, "initial": "steady", "nonfinite": "reset"},
    {"filter": Firwin(numtaps=9, cutoff=20.0, fs=100.0)},
    {"filter": LOWPASS, "mode": "zero_phase", "tolerance": 1e-3},
    {"filter": Firwin(numtaps=9, cutoff=20.0, fs=100.0), "mode": "zero_phase"},
    {"filter": SignalFilter(design="notch", w0=20.0, Q=5.0, fs=100.0, initial="steady")},
]
LENGTH = 300


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def whole(way):
    live = stream(**way)
    return np.concatenate([part for part in (live.push(noise(2, LENGTH)), live.flush()) if part is not None], -1)


@pytest.mark.parametrize("way", WAYS, ids=range(len(WAYS)))
@given(
    sizes=st.lists(st.sampled_from([0, 1, 2, 7, 31, 97]), max_size=12),
    kind=st.sampled_from(["numpy", "torch", "arrow"]),
)
@settings(max_examples=15)
def test_saved_and_restored_after_every_chunk_two_generations_deep(way, sizes, kind):
    make = {"numpy": np.asarray, "torch": torch.from_numpy, "arrow": pa.FixedShapeTensorArray.from_numpy_ndarray}[kind]
    x, live, parts, begin = noise(2, LENGTH), stream(**way), [], 0
    for size in [*sizes, LENGTH]:
        if kind == "arrow" and size == 0:
            continue
        parts.append(live.push(make(x[:, begin : begin + size].copy())) if begin < LENGTH or kind != "arrow" else None)
        begin += size
        for _ in range(2):
            saved = json.loads(json.dumps(live.state_dict()))
            live = stream(**way)
            live.load_state_dict(saved)
    parts.append(live.flush())
    joined = np.concatenate([to_numpy(part) for part in parts if part is not None], -1)
    np.testing.assert_array_equal(joined, whole(way))


def test_a_fresh_process_goes_on():
    x, live = noise(2, LENGTH), stream(LOWPASS)
    live.push(x[:, :100])
    program = f"""
import json, sys
import numpy as np
from bridgeflow.signal import Butter, stream
live = stream({LOWPASS!r})
live.load_state_dict(json.load(sys.stdin))
x = np.random.default_rng(0).standard_normal((2, {LENGTH}))
sys.stdout.write(live.push(x[:, 100:]).tobytes().hex())
"""
    saved = json.dumps(live.state_dict())
    done = subprocess.run([sys.executable, "-c", program], input=saved, capture_output=True, text=True, check=True)
    elsewhere = np.frombuffer(bytes.fromhex(done.stdout)).reshape(2, -1)
    np.testing.assert_array_equal(elsewhere, sosfilt(LOWPASS, x)[:, 100:])


def test_every_way_to_say_which_filter():
    x = noise(100)
    for filter in (LOWPASS, LOWPASS.sos, torch.from_numpy(LOWPASS.sos), CausalFilter(design=LOWPASS)):
        np.testing.assert_array_equal(stream(filter).push(x), sosfilt(LOWPASS, x))
    assert type(stream(LOWPASS).push(x.tolist())) is np.ndarray
    live = stream(LOWPASS)
    assert (live.latency, live.position) == (0, 0)
    live.push(x[:30])
    assert live.position == 30
    exact = stream(Firwin(numtaps=9, cutoff=20.0, fs=100.0), mode="zero_phase")
    assert exact.latency == 4
    np.testing.assert_array_equal(
        np.concatenate([exact.push(x), exact.flush()]), fir_zero_phase(Firwin(numtaps=9, cutoff=20.0, fs=100.0), x)
    )


def test_the_end_of_a_recording_and_the_beginning_of_another():
    x, live = noise(100), stream(LOWPASS)
    assert live.flush() is None
    with pytest.raises(DataError, match="recording is over"):
        live.push(x)
    with pytest.raises(DataError, match="flushed already"):
        live.flush()
    other = stream(LOWPASS)
    other.load_state_dict(live.state_dict())
    with pytest.raises(DataError, match="recording is over"):
        other.push(x)
    live.reset()
    np.testing.assert_array_equal(live.push(x), sosfilt(LOWPASS, x))
    live.reset()
    assert live.push(noise(3, 50)).shape == (3, 50)


def test_what_cannot_be_streamed():
    with pytest.raises(CannotStream, match="give tolerance=1e-6"):
        stream(LOWPASS, mode="zero_phase")
    with pytest.raises(CannotStream, match="give tolerance=1e-6"):
        stream(SignalFilter(design="notch", w0=20.0, Q=5.0, fs=100.0, mode="zero_phase"))
    with pytest.raises(ConfigError, match="has made its choices already"):
        stream(Scale(scale=2.0), initial="steady")
    with pytest.raises(ConfigError, match="cannot stream a function"):
        stream(lambda x: x)
    with pytest.raises(ValueError, match="mode must be one of"):
        stream(LOWPASS, mode="both")


def test_a_state_that_is_damaged_or_of_another_filter_is_refused():
    live = stream(LOWPASS)
    live.push(noise(50))
    saved = live.state_dict()
    with pytest.raises(DataError, match=r"saved by .*cutoff=20\.0.* along axis -1, and this is .*cutoff=21\.0"):
        stream(Butter(order=4, cutoff=21.0, fs=100.0)).load_state_dict(saved)
    with pytest.raises(DataError, match=r"along axis -1, and this is .* along axis 0"):
        stream(LOWPASS, axis=0).load_state_dict(saved)
    with pytest.raises(DataError, match="version 3"):
        live.load_state_dict({**saved, "version": 3})
    with pytest.raises(DataError, match="lacks axis, streams"):
        live.load_state_dict({"version": 2, "transform": ""})
    with pytest.raises(DataError, match="of 2 streams with names"):
        live.load_state_dict({**saved, "streams": {"a": saved["streams"][""], "b": saved["streams"][""]}})
    one = saved["streams"][""]
    zi = one["state"]["dict"]["zi"]["array"]
    for change in ({"data": "AAAA"}, {"dtype": "|O"}, {"shape": [3]}, {"data": "?"}, {"sha256": "0"}):
        state = {"dict": {**one["state"]["dict"], "zi": {"array": {**zi, **change}}}}
        with pytest.raises(DataError, match="damaged"):
            live.load_state_dict({**saved, "streams": {"": {**one, "state": state}}})


def test_zero_phase_choices_reach_the_filter():
    live = stream(LOWPASS, mode="zero_phase", tolerance=1e-3)
    assert live.latency == ZeroPhaseFilter(design=LOWPASS, tolerance=1e-3).latency
