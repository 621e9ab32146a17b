"""`Window` and `WindowLabels`: the contract, views that plans foretell, examples with labels."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pytest
import torch

from bridgeflow.bridge import describe, kind_of
from bridgeflow.errors import DataError, NoRoute
from bridgeflow.pipeline import Compose, SignalDataset
from bridgeflow.pipeline.streams import Chunk, Streams
from bridgeflow.signal import stream
from bridgeflow.testing import check_transform
from bridgeflow.transforms import Resample, Scale, ToTensor
from bridgeflow.transforms.window import Window, WindowLabels
from tests.transforms.kinds import check_kinds

ALL = [
    Window(length=10),
    Window(length=10, hop=3, pad="reflect"),
    Window(length=10, hop=13, pad="zeros"),
    Window(length=200, pad="edge"),
    WindowLabels(length=10, hop=4, rule="center"),
    WindowLabels(length=10, hop=4, rule="any", pad="zeros"),
    WindowLabels(length=7, rule="last", pad="edge"),
]


@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_contract(transform):
    check_kinds(transform)


def test_contract_with_windows_first():
    """A batch is then one recording with one axis more, and not several recordings."""
    for pad in ("drop", "edge"):
        check_transform(Window(length=10, hop=4, pad=pad, first=True), skip={"batches"})


def test_contract_of_the_most_frequent():
    labels = np.random.default_rng(0).integers(0, 4, (2, 96))
    for rule in ("majority", "center"):
        check_transform(WindowLabels(length=10, hop=3, rule=rule), labels)
        check_transform(WindowLabels(length=10, hop=3, rule=rule, pad="zeros"), torch.from_numpy(labels))


def test_plans_tell_views_from_copies():
    x = np.zeros((2, 100))
    assert [step.action for step in Window(length=10).explain(x)] == ["view"]
    assert Window(length=10).explain(x).total_bytes == 0
    assert [step.action for step in Window(length=30, pad="zeros").explain(x)] == ["copy"]
    assert [step.action for step in Window(length=25, pad="zeros").explain(x)] == ["view"]
    assert [step.action for step in Window(length=10).explain(pa.array(x[0]))] == ["copy"]
    examples = Compose([Window(length=10, hop=5), ToTensor()])
    promise, deed = examples.explain(x).result, examples(x)
    assert promise.admits(describe(deed))


def test_examples_with_labels():
    ecg = np.arange(40.0).reshape(2, 20)
    beat = np.repeat([0, 1, 2], [9, 8, 3])
    cut = {"length": 6, "hop": 4, "pad": "edge"}
    pipeline = Compose([Window(**cut, first=True, keys=("ecg",)), WindowLabels(**cut, keys=("beat",))])
    actual = pipeline({"ecg": ecg, "beat": beat, "id": "a"})
    assert actual["ecg"].shape == (5, 2, 6)
    assert actual["beat"].tolist() == [0, 0, 1, 1, 2]
    assert actual["id"] == "a"
    np.testing.assert_array_equal(actual["ecg"][1], ecg[:, 4:10])


def test_a_pipeline_live():
    """What a stage holds back at the end goes through the stages after it, along the right axes."""
    x = np.random.default_rng(0).standard_normal((2, 300))
    pipeline = Compose([Resample(from_hz=2, to_hz=3), Window(length=32, hop=20, pad="reflect"), Scale(scale=2.0)])
    state, pieces = pipeline.init_state(describe(x)), []
    for begin in range(0, 300, 37):
        y, state = pipeline.step(x[:, begin : begin + 37], state)
        pieces.append(y)
    pieces.append(pipeline.flush(state))
    np.testing.assert_array_equal(np.concatenate(pieces, axis=-2), pipeline(x))


def test_refusals():
    for make, message in [
        (lambda: Window(length=0), "length must be from 1 to 2147483647, got 0"),
        (lambda: Window(length=5, hop=-1), "hop must be from 1 to 2147483647, got -1"),
        (lambda: Window(length=5, pad="wrap"), "pad must be one of"),
        (lambda: WindowLabels(length=5, rule="mode"), "rule must be one of"),
    ]:
        with pytest.raises(ValueError, match=message):
            make()


ODD = [
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bfloat16",
    "float16",
    "float8_e4m3fn",
    "float8_e5m2",
]


def plain(x):
    """Values of a tensor in a type that NumPy has."""
    wide = torch.complex64 if x.is_complex() else torch.float64
    return x.to(wide).numpy()


@pytest.mark.parametrize("dtype", ODD)
@pytest.mark.parametrize("pad", ["drop", "zeros", "edge", "reflect"])
@pytest.mark.parametrize("shape", [(9,), (2, 9), (0, 9), (0,), (2, 0), (3,)])
def test_tensors_of_every_dtype_are_cut_as_arrays_are(dtype, pad, shape):
    x = (torch.arange(float(np.prod(shape))) % 3).reshape(shape).to(getattr(torch, dtype))
    transform = Window(length=4, hop=3, pad=pad)
    reference = transform(plain(x))
    actual = transform(x)
    assert actual.dtype is x.dtype
    np.testing.assert_array_equal(plain(actual), reference)
    live = stream(transform)
    pieces = [live.push(x[..., begin : begin + 2]) for begin in range(0, shape[-1], 2)]
    pieces += [] if (last := live.flush()) is None else [last]
    assert {piece.dtype for piece in pieces} <= {x.dtype}
    if pieces:
        np.testing.assert_array_equal(np.concatenate([plain(piece) for piece in pieces], axis=-2), reference)


@pytest.mark.parametrize(
    "transform", [Window(length=2), Window(length=2, pad="zeros", first=True), WindowLabels(length=2)]
)
@pytest.mark.parametrize("label", [torch.tensor(3), torch.tensor(True), np.array(3), np.array(2.5)], ids=repr)
def test_a_label_without_axes_is_refused_by_name(transform, label):
    with pytest.raises(DataError, match=r"at least one axis|an axis of time"):
        transform(label)


TEXT = ["N", "N", "V", "V", "A", "V", "N"]
ARROW_TEXT = [
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.int32(), pa.large_string()),
    pa.run_end_encoded(pa.int32(), pa.string()),
]


def arrow_text(values, kind):
    if pa.types.is_run_end_encoded(kind):
        return pyarrow.compute.run_end_encode(pa.array(values, kind.value_type), kind.run_end_type)
    return pa.array(values, kind)


def texts(labels):
    listed = labels.to_pylist() if kind_of(labels) == "arrow" else np.asarray(labels).tolist()
    return [one.decode() if isinstance(one, bytes) else one for one in listed]


@pytest.mark.parametrize("rule", ["majority", "center", "last"])
@pytest.mark.parametrize("pad", ["drop", "edge"])
@pytest.mark.parametrize(
    "labels",
    [pytest.param(arrow_text(TEXT, kind), id=str(kind)) for kind in ARROW_TEXT]
    + [pytest.param(np.array(TEXT, dtype), id=str(dtype)) for dtype in ("U3", "S2", object, np.dtypes.StringDType())],
)
def test_labels_of_text(labels, rule, pad):
    """Of every form of text, whole and live, the labels that the same numbers give."""
    transform = WindowLabels(length=3, hop=2, pad=pad, rule=rule)
    order = sorted(set(TEXT))
    codes = transform(np.array([order.index(one) for one in TEXT]))
    reference = [order[code] for code in codes]
    actual = transform(labels)
    assert texts(actual) == reference
    assert describe(actual).dtype.rstrip("0123456789") == describe(labels).dtype.rstrip("0123456789")
    assert transform.out_spec(describe(labels)).admits(describe(actual))
    live = stream(transform)
    pieces = [live.push(labels[begin : begin + 2]) for begin in range(0, len(TEXT), 2)]
    pieces += [] if (last := live.flush()) is None else [last]
    assert [one for piece in pieces for one in texts(piece)] == reference
    assert {kind_of(piece) for piece in pieces} == {kind_of(labels)}
    assert len({describe(piece).dtype for piece in pieces if len(piece)} if kind_of(labels) == "arrow" else {1}) == 1


@pytest.mark.parametrize("dtype", ["String", "Categorical"])
def test_labels_of_a_series_of_text(dtype):
    """A series of polars gives the labels of an ndarray with the same text, whole and live."""
    pl = pytest.importorskip("polars")
    series = pl.Series(TEXT, dtype=getattr(pl, dtype))
    transform = WindowLabels(length=3, hop=2, pad="edge")
    reference = transform(np.array(TEXT)).tolist()
    assert texts(transform(series)) == texts(transform({"beat": series, "id": 1})["beat"]) == reference
    live = stream(transform)
    pieces = [live.push(series[:4]), live.push(series[4:]), live.flush()]
    assert [one for piece in pieces if piece is not None for one in texts(piece)] == reference


def test_streams_of_text_are_written_down():
    labels, transform = pa.array(TEXT), WindowLabels(length=3, hop=2, pad="edge")
    streams = Streams(transform)
    first = streams.push(Chunk(data=labels[:4], start=0))
    again = Streams(transform)
    again.load_state_dict(streams.state_dict())
    rest = again.push(Chunk(data=labels[4:], start=4, last=True))
    assert first.to_pylist() + rest.to_pylist() == transform(labels).to_pylist()


def test_labels_that_cannot_be_told_are_refused():
    cut = {"length": 2}
    with pytest.raises(DataError, match="1 of 3 labels are null"):
        WindowLabels(**cut)(pa.array(["N", None, "V"]))
    with pytest.raises(DataError, match="1 of them are null"):
        WindowLabels(**cut).out_spec(describe(pa.array(["N", None, "V"])))
    with pytest.raises(DataError, match="not zero, and these are string"):
        WindowLabels(**cut, rule="any").out_spec(describe(pa.array(["N", "V"])))
    with pytest.raises(DataError, match="cannot be compared"):
        WindowLabels(**cut)(np.array(["N", 3], object))


BEATS = ["N"] * 6 + ["V"] * 5 + ["N"] * 9
HELD_BY = {
    "list": BEATS,
    "tuple": tuple(BEATS),
    "rows": [BEATS, BEATS[::-1]],
    "numpy": np.array(BEATS),
    "objects": np.array(BEATS, object),
    "arrow": pa.array(BEATS),
}


@pytest.mark.parametrize("rule", ["majority", "center", "last"])
@pytest.mark.parametrize("name", HELD_BY)
def test_text_is_labels_whatever_holds_it(name, rule):
    """As a list in a sample, under a key, alone, and in a composition: what the array gives."""
    transform = WindowLabels(length=4, hop=3, rule=rule)
    expected = transform(np.array(HELD_BY[name].to_pylist() if name == "arrow" else HELD_BY[name])).tolist()
    alone = transform(HELD_BY[name])
    assert (alone.to_pylist() if name == "arrow" else alone.tolist()) == expected
    sample = {"ecg": np.arange(20.0), "beat": HELD_BY[name], "leads": ["I", "II"]}
    keyed = Compose([Window(length=4, hop=3, keys="ecg"), WindowLabels(length=4, hop=3, rule=rule, keys="beat")])
    for _ in range(2):  # the second time by the program that the first one left
        result = keyed(sample)
        assert (result["beat"].to_pylist() if name == "arrow" else result["beat"].tolist()) == expected
        assert (result["ecg"].shape, result["leads"]) == ((6, 4), ["I", "II"])
    assert keyed.explain(sample).result["beat"].admits(describe(result["beat"]))


def test_lists_of_text_live_and_in_a_dataset():
    keyed = Compose([Window(length=4, hop=3, keys="ecg"), WindowLabels(length=4, hop=3, keys="beat")])
    streams, pieces = Streams(keyed), []
    for start, stop in ((0, 7), (7, 8), (8, 20)):
        data = {"ecg": np.arange(20.0)[start:stop], "beat": BEATS[start:stop]}
        pieces.append(streams.push(Chunk(start=start, data=data, last=stop == 20))["beat"])
    expected = WindowLabels(length=4, hop=3)(np.array(BEATS))
    assert np.concatenate(pieces).tolist() == expected.tolist()
    dataset = SignalDataset({"beat": pa.array([BEATS, BEATS[::-1]])}, WindowLabels(length=4, hop=3, keys="beat"))
    assert np.asarray(dataset.batch([0, 1])["beat"])[0].tolist() == expected.tolist()


def test_lists_of_text_are_left_alone_where_no_key_names_them():
    sample = {"beat": np.repeat([0, 1], 8), "leads": ["I", "II"]}
    assert WindowLabels(length=4)(sample)["leads"] == ["I", "II"]
    with pytest.raises(NoRoute, match="selects a container without any array"):
        Scale(keys="leads")(sample)


@pytest.mark.parametrize(
    ("labels", "problem"), [(["N", None], "holds None"), ([["N"], ["N", "V"]], "differ in length")]
)
def test_lists_of_text_that_are_not_an_array_are_refused(labels, problem):
    with pytest.raises(NoRoute, match=problem):
        WindowLabels(length=1)(labels)


@pytest.mark.parametrize(
    "labels",
    [[[["n"]]], [[{"a": 1.0}]], [["n", "v"]], [[None]]],
    ids=["lists of lists", "lists of structures", "lists of text", "lists of nothing"],
)
def test_lists_that_are_no_labels_are_refused_beforehand(labels):
    column = pa.array(labels * 3)
    stage = WindowLabels(length=1)
    for refused in (lambda: stage.out_spec(describe(column)), lambda: stage(column)):
        with pytest.raises(NoRoute, match=r"not supported|no counterpart"):
            refused()


_DAYS = [date(2020, 1, day + 1) for day in (0, 0, 1, 1, 1, 2, 2, 2)]

COLUMNS_OF_TIME = {
    "date32": pa.array(_DAYS),
    "lists of date32": pa.array([_DAYS, _DAYS[::-1]]),
    "lists of date32 of a fixed length": pa.array([_DAYS, _DAYS[::-1]], pa.list_(pa.date32(), 8)),
    "dictionary of date32": pa.array(_DAYS).dictionary_encode(),
    "lists of timestamps": pa.array([[0, 0, 1, 1]], pa.list_(pa.timestamp("s"))),
    "durations": pa.array([0, 0, 1, 1], pa.duration("s")),
}


@pytest.mark.parametrize("pad", ["drop", "edge"])
@pytest.mark.parametrize("name", COLUMNS_OF_TIME)
def test_labels_of_time_are_what_is_promised(name, pad):
    column = COLUMNS_OF_TIME[name]
    stage = WindowLabels(length=3, pad=pad)
    labels, promise = stage(column), stage.out_spec(describe(column))
    spec = describe(labels)
    assert (promise.kind, promise.dtype, promise.shape) == (spec.kind, spec.dtype, spec.shape)
    values = column.to_pylist()
    is_nested = isinstance(values[0], list)
    expected = [
        [max(sorted(set(window)), key=window.count) for window in windows_of(row, 3, pad)]
        for row in (values if is_nested else [values])
    ]
    assert labels.to_pylist() == (expected if is_nested else expected[0])


def windows_of(row, length, pad):
    whole = [row[i : i + length] for i in range(0, len(row) - length + 1, length)]
    rest = row[len(whole) * length :]
    return [*whole, rest] if rest and pad != "drop" else whole


def test_a_stream_of_lists_of_days_ends_as_it_is_promised():
    column = COLUMNS_OF_TIME["lists of date32"]
    stage = WindowLabels(length=3, pad="edge")
    first = pa.array([row[:4] for row in column.to_pylist()])
    rest = pa.array([row[4:] for row in column.to_pylist()])
    state = stage.init_state(describe(first))
    parts = []
    for chunk in (first, rest):
        part, state = stage.step(chunk, state)
        parts.append(part)
    parts.append(stage.flush(state))
    rows = [
        [label for piece in pieces for label in piece] for pieces in zip(*map(pa.Array.to_pylist, parts), strict=True)
    ]
    assert rows == stage(column).to_pylist()


NEITHER_NUMBERS_NOR_TEXT = {
    "structures": pa.array([{"a": 1}] * 3),
    "decimals": pa.array([1] * 3, pa.decimal128(5, 2)),
    "maps": pa.array([[(1, 2)]] * 3, pa.map_(pa.int64(), pa.int64())),
    "bytes of a fixed size": pa.array([b"ab"] * 3, pa.binary(2)),
    "intervals": pa.array([(1, 2, 3)] * 3, pa.month_day_nano_interval()),
    "unions": pa.UnionArray.from_sparse(pa.array([0] * 3, pa.int8()), [pa.array([1] * 3)]),
    "uuids": pa.array([b"0123456789abcdef"] * 3, pa.uuid()),
}


@pytest.mark.parametrize("name", NEITHER_NUMBERS_NOR_TEXT)
def test_columns_that_are_neither_numbers_nor_text_are_refused_beforehand(name):
    column, stage = NEITHER_NUMBERS_NOR_TEXT[name], WindowLabels(length=1)
    for refused in (lambda: stage.out_spec(describe(column)), lambda: stage(column)):
        with pytest.raises(NoRoute, match="no counterpart"):
            refused()
