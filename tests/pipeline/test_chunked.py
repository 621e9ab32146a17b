"""Passages: rows of a file through transforms, time where transforms want it, rows first again."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgeflow.bridge import describe, to_arrow, to_numpy
from bridgeflow.errors import DataError, NoRoute
from bridgeflow.pipeline.chunked import ChunkedRun, Layout, lengths_of
from bridgeflow.pipeline.compose import Compose
from bridgeflow.transforms import (
    Decimate,
    Detrend,
    MedianFilter,
    PeakRate,
    Resample,
    Scale,
    SharedView,
    SignalFilter,
    Spectrogram,
    Stft,
    ToTensor,
    Welch,
    Window,
    WindowLabels,
)
from tests.column_kinds import ONE_NUMBER_A_ROW, ROWS_OF_SEVERAL, in_two_chunks

STEREO = np.random.default_rng(0).normal(size=(300, 2))
CUT = {"length": 40, "hop": 10}
ZERO_PHASE = SignalFilter(design="notch", w0=60.0, Q=30.0, fs=360.0, mode="zero_phase")


def specs_of(columns):
    return {name: describe(column) for name, column in columns.items()}


def whole(transform, layout, columns):
    axes = transform.out_axes(layout.specs(specs_of(columns)), axis=layout.axis)
    return layout.closed(transform(layout.opened(columns)), axes)


def in_pieces(transform, layout, columns, cuts, *, restored=False):
    rows = len(next(iter(columns.values())))
    chunked = ChunkedRun(transform, layout, specs_of(columns), name="r")
    parts, ends = [], [*sorted(cuts), rows]
    for start, end in zip([0, *ends], ends, strict=False):
        if restored:
            written = json.dumps(chunked.state_dict())
            chunked = ChunkedRun(transform, layout, specs_of(columns), name="r")
            chunked.load_state_dict(json.loads(written))
        piece = {name: column[start:end] for name, column in columns.items()}
        parts.append(chunked.push(piece, last=end == rows and start < end))
        assert chunked.position == end
        assert len({len(column) for column in parts[-1].values()}) == 1
    return parts


@pytest.mark.parametrize("convert", [lambda x: x, to_arrow])
def test_several_channels_are_filtered_in_time_and_rows_come_first_again(convert):
    layout, transform = Layout("instants"), Compose([Resample(from_hz=3, to_hz=2), Window(**CUT), MedianFilter()])
    out = whole(transform, layout, {"audio": convert(STEREO)})["audio"]
    expected = np.stack([transform(channel) for channel in STEREO.T], axis=1)
    assert out.shape == (17, 2, 40)
    np.testing.assert_array_equal(out, expected)


def test_time_that_goes_last_is_a_view():
    opened = Layout("instants").opened({"audio": STEREO, "label": STEREO[:, 0]})
    assert opened["audio"].shape == (2, 300)
    assert np.shares_memory(opened["audio"], STEREO)
    assert Layout("examples").opened({"audio": STEREO})["audio"] is STEREO


ROWS = {
    "stereo": (Layout("instants"), Compose([Resample(from_hz=3, to_hz=2), Window(**CUT)]), {"audio": STEREO}),
    "tensors": (
        Layout("instants"),
        Compose([ToTensor(), Window(**CUT, first=True), MedianFilter()]),
        {"audio": STEREO},
    ),
    "resampled": (Layout("instants"), Compose([Resample(from_hz=5, to_hz=3)]), {"x": STEREO[:, 0]}),
    "labels": (
        Layout("instants"),
        Compose([Window(**CUT, keys=("x",)), WindowLabels(**CUT, keys=("y",))]),
        {"x": STEREO[:, 0].astype("float32"), "y": (STEREO[:, 1] > 1).astype("int8")},
    ),
    "one late": (
        Layout("instants"),
        Compose(
            [Resample(from_hz=2, to_hz=2, keys=("x",)), Resample(from_hz=2, to_hz=1, keys="*"), Scale(keys=("x",))]
        ),
        {"x": STEREO[:, 0], "y": pa.array(STEREO[:, 1])},
    ),
    "examples": (Layout("examples"), Compose([ZERO_PHASE, Scale(scale=2.0)]), {"x": STEREO.T.copy().repeat(3, 0)}),
}


@pytest.mark.parametrize("restored", [False, True])
@pytest.mark.parametrize("name", ROWS)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_any_cuts_give_the_rows_of_the_whole(name, restored, data):
    layout, transform, columns = ROWS[name]
    rows = len(next(iter(columns.values())))
    cuts = data.draw(st.lists(st.integers(0, rows - 1), max_size=5))
    parts = in_pieces(transform, layout, columns, cuts, restored=restored)
    for column, expected in whole(transform, layout, columns).items():
        found = np.concatenate([np.asarray(part[column]) for part in parts])
        np.testing.assert_array_equal(found, np.asarray(expected))


def test_what_comes_of_one_column_first_waits_for_the_others():
    """A resampler looks ahead; the column beside it does not, and yet both come out in step, through a restore too."""
    late = Compose(
        [Resample(from_hz=2, to_hz=1, keys=("x",)), Resample(from_hz=2, to_hz=1, keys=("y",), window="boxcar")]
    )
    columns = {"x": STEREO[:, 0], "y": STEREO[:, 1]}
    parts = in_pieces(late, Layout("instants"), columns, [33, 34, 150], restored=True)
    expected = late(columns)
    for name in columns:
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), expected[name])


def test_text_beside_a_late_column_is_held_and_written_down():
    late = Compose([Resample(from_hz=2, to_hz=2, keys=("x",)), Window(length=1, keys=("x",))])
    text = pa.array([f"row {number}" for number in range(300)])
    parts = in_pieces(late, Layout("instants"), {"x": STEREO[:, 0], "text": text}, [7, 200], restored=True)
    assert pa.concat_arrays([part["text"] for part in parts]).equals(text)


def test_columns_of_different_lengths_are_refused():
    transform = Compose([Resample(from_hz=2, to_hz=1, keys=("x",))])
    columns = {"x": STEREO[:, 0], "y": STEREO[:, 1]}
    with pytest.raises(DataError, match=r"different lengths \(x 150, y 300\), and a file has one"):
        in_pieces(transform, Layout("instants"), columns, [])
    specs = specs_of(columns)
    plan = transform.plan(specs)
    assert lengths_of(plan.result, transform.out_axes(specs)) == {"x": 150, "y": 300}


@pytest.mark.parametrize(
    ("result", "problem"), [([1], "takes columns by name, and the transforms make list"), ({"x": 3}, "'x' that is int")]
)
def test_what_is_no_columns_is_refused(result, problem):
    with pytest.raises(DataError, match=problem):
        Layout("instants").closed(result, {})


def test_behind_a_plain_callable_time_is_taken_to_be_last():
    transform = Compose([lambda columns: {"y": torch.from_numpy(columns["audio"] * 2)}])
    out = whole(transform, Layout("instants"), {"audio": STEREO})["y"]
    assert np.array_equal(out.numpy(), STEREO * 2)


# --- every kind of column ---

LOWPASS = SignalFilter(design="butter", cutoff=20.0, order=2, fs=100.0)
ALONG_TIME = {
    "filter": LOWPASS,
    "stft": Stft(fs=100.0, nperseg=16, hop=4),
    "spectrogram": Spectrogram(fs=100.0, nperseg=16, hop=4),
    "window": Window(**CUT),
    "windows first": Window(**CUT, first=True),
    "welch": Welch(fs=100.0, nperseg=32),
    "shared": SharedView(),
}
AXIS_OF_ROWS = {"window": -2, "windows first": 0}


@pytest.mark.parametrize("stage", ALONG_TIME)
@pytest.mark.parametrize("kind", ROWS_OF_SEVERAL)
def test_time_steps_of_several_channels_of_every_kind(kind, stage):
    """Rows of the result follow time: the transform's own result, its axis of time first."""
    layout, transform = Layout("instants"), Compose([ALONG_TIME[stage]])
    columns = {"v": ROWS_OF_SEVERAL[kind](STEREO)}
    right = np.asarray(SharedView()(ALONG_TIME[stage](STEREO.T)).numpy if stage != "shared" else STEREO.T)
    right = np.moveaxis(right, AXIS_OF_ROWS.get(stage, -1), 0)
    np.testing.assert_array_equal(np.asarray(whole(transform, layout, columns)["v"]), right)
    parts = in_pieces(transform, layout, columns, [1, 50, 51, 290], restored=True)
    np.testing.assert_allclose(np.concatenate([np.asarray(part["v"]) for part in parts]), right, rtol=1e-12)


@pytest.mark.parametrize("stage", ALONG_TIME)
@pytest.mark.parametrize("kind", ONE_NUMBER_A_ROW)
def test_time_steps_of_one_channel_of_every_kind(kind, stage):
    layout, transform = Layout("instants"), Compose([ALONG_TIME[stage]])
    columns = {"v": ONE_NUMBER_A_ROW[kind](STEREO[:, 0])}
    right = STEREO[:, 0] if stage == "shared" else ALONG_TIME[stage](STEREO[:, 0])
    right = np.moveaxis(right, AXIS_OF_ROWS.get(stage, -1), 0)
    np.testing.assert_array_equal(to_numpy(whole(transform, layout, columns)["v"]), right)
    parts = in_pieces(transform, layout, columns, [0, 1, 50, 50, 290])
    actual = np.concatenate([to_numpy(part["v"]) for part in parts if len(part["v"])])
    np.testing.assert_allclose(actual, right, rtol=1e-12)


EACH_ALONE = {
    "filter": LOWPASS,
    "zero phase": ZERO_PHASE,
    "decimate": Decimate(q=2),
    "detrend": Detrend(),
    "peaks": PeakRate(fs=100.0),
    "stft": Stft(fs=100.0, nperseg=16, hop=4),
    "scale": Scale(scale=2.0),
    "shared": SharedView(),
}


@pytest.mark.parametrize("stage", EACH_ALONE)
@pytest.mark.parametrize("kind", ROWS_OF_SEVERAL)
def test_examples_of_every_kind(kind, stage):
    """Each row is a piece of signal by itself, whatever column holds the rows."""
    layout, transform = Layout("examples"), Compose([EACH_ALONE[stage]])
    x = np.random.default_rng(1).standard_normal((12, 80))
    columns = {"v": ROWS_OF_SEVERAL[kind](x)}
    right = x if stage == "shared" else EACH_ALONE[stage](x)
    np.testing.assert_allclose(to_numpy(whole(transform, layout, columns)["v"]), right, rtol=1e-12)
    parts = in_pieces(transform, layout, columns, [0, 1, 5, 5], restored=True)
    actual = np.concatenate([to_numpy(part["v"]) for part in parts if len(part["v"])])
    np.testing.assert_allclose(actual, right, rtol=1e-12)


@pytest.mark.parametrize("kind", [kind for kind in ROWS_OF_SEVERAL if kind not in {"ndarray", "tensor"}])
def test_columns_in_chunks_are_one_column(kind):
    columns = {"v": in_two_chunks(ROWS_OF_SEVERAL[kind])(STEREO)}
    right = LOWPASS(STEREO.T).T
    np.testing.assert_array_equal(whole(Compose([LOWPASS]), Layout("instants"), columns)["v"], right)


@pytest.mark.parametrize("kind", ONE_NUMBER_A_ROW)
def test_a_number_of_the_whole_recording_is_one_row(kind):
    transform, layout = Compose([PeakRate(fs=100.0)]), Layout("instants")
    columns = {"v": ONE_NUMBER_A_ROW[kind](STEREO[:, 0])}
    actual = whole(transform, layout, columns)["v"]
    np.testing.assert_array_equal(to_numpy(actual), [transform(STEREO[:, 0])])
    specs = layout.specs(specs_of(columns))
    assert lengths_of(transform.plan(specs).result, transform.out_axes(specs, axis=-1)) == {"v": 1}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.complex64, torch.float16])
def test_element_types_stay_as_time_is_moved(dtype):
    x = torch.ones(30, 2).to(dtype)
    layout = Layout("instants")
    actual = layout.closed(layout.opened({"v": to_arrow(x)}), {"$.v": 1})["v"]
    assert describe(to_arrow(actual)).dtype == str(dtype).removeprefix("torch.")
    assert len(actual) == 30


def test_lists_of_unequal_length_are_no_time_steps():
    columns = {"v": pa.array([[1.0], [1.0, 2.0]])}
    with pytest.raises(NoRoute, match=r"\$\.v: the rows have unequal lengths"):
        Layout("instants").opened(columns)


@pytest.mark.parametrize("column", [pa.array([["a"], ["b"]]), pa.array([{"x": 1.0}] * 2), pa.array(["a", "b"])])
def test_what_is_no_signal_stays_as_it_is(column):
    layout = Layout("instants")
    opened = layout.opened({"v": column})
    assert opened["v"] is column
    assert layout.closed(opened, {"$.v": 0})["v"].equals(column)
