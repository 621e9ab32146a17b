"""Streams: each with its own state, held to its positions, written down and taken up anywhere."""

import json
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from bridgeflow.bridge import describe, to_numpy
from bridgeflow.bridge.shared import Shared
from bridgeflow.errors import CannotStream, DataError
from bridgeflow.pipeline.compose import Compose
from bridgeflow.pipeline.streams import Chunk, Streams
from bridgeflow.signal import stream as signal_stream
from bridgeflow.transforms import (
    Cast,
    Decimate,
    Detrend,
    LeafTransform,
    MedianFilter,
    Resample,
    SavgolFilter,
    Scale,
    SignalFilter,
    Spectrogram,
    ToNumpy,
    ToTensor,
    Welch,
    Window,
    WindowLabels,
)
from tests.transforms.test_contracts import EXAMPLES

FS = 360.0
NOTCH = {"design": "notch", "w0": 60.0, "Q": 30.0, "fs": FS}
CUT = {"length": 50, "hop": 20, "pad": "edge"}
ROWS = {
    "filters": Compose([Scale(scale=0.005), SignalFilter(**NOTCH, initial="steady"), SignalFilter(**NOTCH)]),
    "fir": SignalFilter(design="firwin", numtaps=31, cutoff=40.0, fs=FS, mode="zero_phase"),
    "smoothing": Compose([MedianFilter(kernel_size=5), SavgolFilter(window_length=9, polyorder=2)]),
    "rates": Compose([Resample(from_hz=FS, to_hz=250.0), Decimate(q=2, ftype="fir")]),
    "windows": Compose(
        [Resample(from_hz=FS, to_hz=250.0), Window(**CUT), MedianFilter(), SignalFilter(**{**NOTCH, "fs": 250.0})]
    ),
    "spectra": Spectrogram(fs=FS, hop=16, nperseg=64),
    "average": Welch(fs=FS, nperseg=64),
    "tensors": Compose([ToTensor(), Cast(dtype="float64"), SignalFilter(**NOTCH), Window(**CUT)]),
}
AXIS = {"windows": -2, "tensors": -2}
X = np.random.default_rng(0).normal(size=600).astype("float32")


def chunks(x, cuts, stream=""):
    ends = [0, *sorted(cuts), x.shape[-1]]
    for start, stop in pairwise(ends):
        yield Chunk(stream=stream, start=start, data=x[..., start:stop])
    yield Chunk(stream=stream, start=x.shape[-1], data=x[..., :0], last=True)


def together(parts, axis):
    parts = [np.asarray(part) for part in parts if part is not None]
    full = [part for part in parts if part.shape[axis % part.ndim]]
    return np.concatenate(full or parts[:1], axis=axis)


@pytest.mark.parametrize("name", ROWS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_chunking_gives_the_whole_through_json_at_every_step_two_generations_deep(name, data):
    row, axis = ROWS[name], AXIS.get(name, -1)
    cuts = data.draw(st.lists(st.integers(0, len(X)), max_size=6))
    parts, streams = [], Streams(row)
    for chunk in chunks(X, cuts):
        for _ in range(2):
            written = json.dumps(streams.state_dict())
            streams = Streams(row)
            streams.load_state_dict(json.loads(written))
            assert json.dumps(streams.state_dict()) == written
        parts.append(streams.push(chunk))
    if name == "average":
        parts = parts[-1:]  # comes out with the last chunk
    whole = np.asarray(row(X))
    found = together(parts, axis)
    if name == "average":
        np.testing.assert_allclose(found, whole, rtol=1e-6)
    else:
        assert np.array_equal(found, whole)


def test_a_fresh_process_goes_on_where_this_one_was(tmp_path):
    row = ROWS["windows"]
    streams = Streams(row)
    first = streams.push(Chunk(start=0, data=X[:333]))
    (tmp_path / "state.json").write_text(json.dumps(streams.state_dict()))
    (tmp_path / "row.json").write_text(json.dumps(row.to_config()))
    np.save(tmp_path / "rest.npy", X[333:])
    code = """
import json, sys, numpy as np, pathlib
from bridgeflow.transforms import Transform
from bridgeflow.pipeline.streams import Chunk, Streams
folder = pathlib.Path(sys.argv[1])
streams = Streams(Transform.from_config(json.loads((folder / "row.json").read_text())))
streams.load_state_dict(json.loads((folder / "state.json").read_text()))
np.save(folder / "out.npy", streams.push(Chunk(start=333, data=np.load(folder / "rest.npy"), last=True)))
"""
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True)
    assert np.array_equal(np.concatenate([first, np.load(tmp_path / "out.npy")]), row(X))


def test_streams_do_not_leak_into_each_other():
    streams = Streams(ROWS["filters"])
    records = {name: np.random.default_rng(seed).normal(size=100) for seed, name in enumerate("abc")}
    pieces = {name: [] for name in records}
    for start in range(0, 100, 20):
        for name, x in records.items():
            chunk = Chunk(stream=name, start=start, data=x[start : start + 20], last=start == 80)
            pieces[name].append(streams.push(chunk))
    for name, x in records.items():
        b, a = signal.iirnotch(60, 30, fs=FS)
        sos = signal.tf2sos(b, a)
        once, _ = signal.sosfilt(sos, 0.005 * x, zi=signal.sosfilt_zi(sos) * 0.005 * x[0])
        np.testing.assert_allclose(np.concatenate(pieces[name]), signal.sosfilt(sos, once), rtol=1e-9, atol=1e-15)


def test_columns_of_a_recording_and_what_stands_beside_them():
    row = Compose([Window(**CUT, keys=("ecg",)), WindowLabels(**CUT, keys=("beat",))])
    data = {"ecg": X, "beat": (X > 1).astype(int), "name": "208"}
    streams, parts = Streams(row), []
    for start, stop in pairwise([0, 7, 300, 600]):
        piece = {"ecg": X[start:stop], "beat": data["beat"][start:stop], "name": "208"}
        parts.append(streams.push(Chunk(start=start, data=piece, last=stop == 600)))
    whole = row(data)
    for name in ("ecg", "beat"):
        assert np.array_equal(np.concatenate([part[name] for part in parts]), whole[name])
    assert parts[0]["name"] == "208"


def test_rows_of_examples_are_whole_in_time():
    """Where chunks are rows, a stage carries nothing, and one that needs whole recordings has them."""
    batch = np.random.default_rng(0).normal(size=(10, 400))
    row = Compose([SignalFilter(**NOTCH, mode="zero_phase"), MedianFilter(), ToTensor()])
    assert not row.streams
    streams = Streams(row, axis=0)
    parts = [streams.push(Chunk(start=0, data=batch[:3])), streams.push(Chunk(start=3, data=batch[3:3]))]
    parts.append(streams.push(Chunk(start=3, data=batch[3:], last=True)))
    assert torch.equal(torch.cat(parts), row(batch))


@pytest.mark.parametrize(
    ("chunk", "problem"),
    [
        (Chunk(stream="a", start=150, data=X[:5]), "'a': 50 samples are missing .* begins at 150, and position 100"),
        (Chunk(stream="a", start=90, data=X[:20]), "'a': this chunk begins at 90, and .* up to position 100"),
        (Chunk(stream="a", start=0, data=X[:20]), "out of order"),
        (Chunk(stream="new", start=3, data=X[:5]), "'new': 3 samples are missing"),
        (Chunk(stream="done", start=10, data=X[:5]), "'done': it ended at position 10"),
        (Chunk(stream="a", start=100, data={"x": X[:5], "y": X[:4]}), r"one length, got \$\.x 5, \$\.y 4"),
        (Chunk(stream="a", start=100, data={"x": "text"}), "no array"),
    ],
)
def test_gaps_overlaps_and_disorder_are_errors_that_leave_the_stream_as_it_was(chunk, problem):
    streams = Streams(ROWS["filters"])
    streams.push(Chunk(stream="a", start=0, data=X[:100]))
    streams.push(Chunk(stream="done", start=0, data=X[:10], last=True))
    before = streams.state_dict()
    with pytest.raises(DataError, match=problem):
        streams.push(chunk)
    assert streams.state_dict() == before
    streams.push(Chunk(stream="a", start=100, data=X[100:200]))
    assert (streams.position("a"), streams.position("done"), streams.position("new")) == (200, 10, 0)
    streams.forget("done")
    assert np.array_equal(streams.push(Chunk(stream="done", start=0, data=X)), ROWS["filters"](X))


@pytest.mark.parametrize("stage", [Detrend(), SignalFilter(**NOTCH, mode="zero_phase"), abs])
def test_what_needs_the_whole_is_refused(stage):
    with pytest.raises(CannotStream):
        Streams(Compose([Scale(), stage])).push(Chunk(start=0, data=X))


def test_windows_of_examples_do_not_let_a_stage_along_them_through():
    """After `Window` on one array, another one is still a stream."""
    row = Compose([Window(**CUT, keys=("a",)), Detrend(keys=("b",))])
    with pytest.raises(CannotStream, match="trend of the whole"):
        Streams(row).push(Chunk(start=0, data={"a": X, "b": X}))
    assert not row.streams
    assert Compose([Window(**CUT, keys=("a",)), Detrend(keys=("a",))]).streams


@dataclass(frozen=True, kw_only=True)
class Quiet(LeafTransform):
    """Says nothing of the axes it looks at."""

    def apply(self, x):
        return x - x.mean()

    def out_spec(self, spec):
        return spec.fresh()


@dataclass(frozen=True, kw_only=True)
class Across(Quiet):
    """Looks at the last two axes."""

    core_ndim = 2


@pytest.mark.parametrize(
    ("stage", "why"),
    [
        (Quiet(), r"stage 2 \(Quiet\) does not say \(core_ndim\)"),
        (Across(), r"stage 2 \(Across\) looks across the pieces"),
    ],
)
def test_behind_windows_a_stage_must_treat_each_alone(stage, why):
    row = Compose([Window(**CUT), stage])
    with pytest.raises(CannotStream, match=why):
        Streams(row).push(Chunk(start=0, data=X))
    assert why[:7] in str(row.plan(describe(X)).obstacles)
    with pytest.raises(CannotStream, match=why.replace("stage 2", "stage 1")):
        Streams(stage, axis=0).push(Chunk(start=0, data=X.reshape(20, 30)))


def test_states_go_to_equal_transforms_only():
    streams = Streams(ROWS["rates"])
    streams.push(Chunk(start=0, data=X))
    saved = json.loads(json.dumps(streams.state_dict()))
    with pytest.raises(DataError, match="load it into an equal transform"):
        Streams(ROWS["fir"]).load_state_dict(saved)
    with pytest.raises(DataError, match=r"along axis -1, and this is .* along axis 0"):
        Streams(ROWS["rates"], axis=0).load_state_dict(saved)
    for damage in ({}, {**saved, "version": 3}, {**saved, "streams": {"": {}}}, []):
        with pytest.raises(DataError):
            Streams(ROWS["rates"]).load_state_dict(damage)
    for name, value in {"position": -1, "ended": 3, "state": {"list": []}}.items():
        with pytest.raises(DataError, match="damaged"):
            Streams(ROWS["rates"]).load_state_dict({**saved, "streams": {"": {**saved["streams"][""], name: value}}})


STREAMABLE = {
    f"{name}-{number}": transform
    for name, transforms in EXAMPLES.items()
    for number, transform in enumerate(transforms)
    if transform.streams and getattr(transform, "device", None) != "meta"
}


def pieces_of(run, x, cuts, *, through_json):
    """What a stream gives for each chunk and at its end; written down and read again after each, where asked for."""
    live, pieces = signal_stream(run), []
    for start, stop in pairwise([0, *cuts, x.shape[-1]]):
        pieces.append(live.push(x[..., start:stop]))
        if through_json:
            written = json.dumps(live.state_dict())
            live = signal_stream(run)
            live.load_state_dict(json.loads(written))
            assert json.dumps(live.state_dict()) == written
            assert live.position == stop
    return [*pieces, live.flush()]


def bits_of(piece):
    """Element type, shape and bytes of what a stream gives."""
    array = np.asarray(piece.numpy if isinstance(piece, Shared) else to_numpy(piece))
    return array.dtype, array.shape, array.tobytes()


@pytest.mark.parametrize("cuts", [(1, 2, 90), (0, 33, 33, 150)], ids=len)
@pytest.mark.parametrize("is_composed", [False, True], ids=["alone", "composed"])
@pytest.mark.parametrize("name", STREAMABLE)
def test_every_transform_that_streams_goes_on_from_json_with_the_same_bits(name, is_composed, cuts):
    run = Compose([ToTensor(), STREAMABLE[name]]) if is_composed else STREAMABLE[name]
    x = np.random.default_rng(1).normal(size=(2, 200))
    x = torch.from_numpy(x) if name.startswith("ToDevice") else x
    restored, uninterrupted = (pieces_of(run, x, cuts, through_json=saved) for saved in (True, False))
    for piece, expected in zip(restored, uninterrupted, strict=True):
        assert type(piece) is type(expected)
        if piece is not None:
            assert bits_of(piece) == bits_of(expected)


@pytest.mark.parametrize("name", ROWS)
def test_a_stream_of_a_composition_and_streams_by_name_have_one_state(name):
    row = ROWS[name] if isinstance(ROWS[name], Compose) else Compose([ROWS[name]])
    live, streams = signal_stream(row), Streams(row)
    first = live.push(X[:333])
    assert np.array_equal(streams.push(Chunk(start=0, data=X[:333])), first)
    assert live.state_dict() == streams.state_dict()
    streams.load_state_dict(json.loads(json.dumps(live.state_dict())))
    last = streams.push(Chunk(start=333, data=X[333:], last=True))
    rest = [live.push(X[333:]), live.flush()]
    assert np.array_equal(together([last], AXIS.get(name, -1)), together(rest, AXIS.get(name, -1)))


def test_a_stream_of_a_composition_takes_columns():
    row = Compose([SignalFilter(**NOTCH, keys="ecg"), Resample(from_hz=FS, to_hz=250.0, keys="ecg")])
    live, pieces = signal_stream(row), []
    for start, stop in pairwise([0, 7, 300, 600]):
        pieces.append(live.push({"ecg": X[start:stop], "name": "208"}))
        saved, live = json.loads(json.dumps(live.state_dict())), signal_stream(row)
        live.load_state_dict(saved)
        assert live.position == stop
    pieces.append(live.flush())
    assert np.array_equal(np.concatenate([piece["ecg"] for piece in pieces]), row({"ecg": X})["ecg"])
    assert pieces[0]["name"] == "208"


def test_kinds_stay():
    for convert, kind in ((ToTensor(), torch.Tensor), (ToNumpy(), np.ndarray)):
        streams = Streams(Compose([convert, Resample(from_hz=2, to_hz=3), Window(length=30)]))
        first = streams.push(Chunk(start=0, data=X[:10]))
        streams.load_state_dict(json.loads(json.dumps(streams.state_dict())))
        last = streams.push(Chunk(start=10, data=X[10:], last=True))
        assert isinstance(first, kind)
        assert isinstance(last, kind)
        assert (tuple(first.shape), tuple(last.shape)) == ((0, 30), (30, 30))
