"""Passages: rows of a file through transforms, time where transforms want it, rows first again."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgeflow.bridge import describe, to_arrow
from bridgeflow.errors import DataError
from bridgeflow.pipeline.compose import Compose
from bridgeflow.pipeline.passage import Layout, Passage, lengths_of
from bridgeflow.transforms import MedianFilter, Resample, Scale, SignalFilter, ToTensor, Window, WindowLabels

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
    passage = Passage(transform, layout, specs_of(columns), name="r")
    parts, ends = [], [*sorted(cuts), rows]
    for start, end in zip([0, *ends], ends, strict=False):
        if restored:
            written = json.dumps(passage.state_dict())
            passage = Passage(transform, layout, specs_of(columns), name="r")
            passage.load_state_dict(json.loads(written))
        piece = {name: column[start:end] for name, column in columns.items()}
        parts.append(passage.push(piece, last=end == rows and start < end))
        assert passage.position == end
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
        Compose([Resample(from_hz=2, to_hz=2, keys=("x",)), Resample(from_hz=2, to_hz=1), Scale(keys=("x",))]),
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
