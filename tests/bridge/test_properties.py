"""Random arrays, slices, nestings and null patterns: what holds for every one of them."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgeflow.bridge import describe, route, to_arrow, to_numpy, to_tensor
from bridgeflow.errors import CopyRefused, NoRoute
from tests.bridge import answers

CODES = ("?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16")
NUMBERS = {code: np.dtype(code).name for code in CODES if code not in ("?", "c8", "c16")}
SMALL = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)


@st.composite
def plain_arrays(draw: st.DrawFn) -> np.ndarray:
    """C-ordered arrays of every element type that all three have."""
    return draw(hnp.arrays(draw(st.sampled_from(CODES)), draw(SMALL)))


@st.composite
def views(draw: st.DrawFn) -> np.ndarray:
    """Arrays seen through slices, steps, transpositions, broadcasts, and the other byte order."""
    x = draw(plain_arrays())
    if draw(st.booleans()):
        x = x.astype(x.dtype.newbyteorder(">"))
    if draw(st.booleans()):
        x = x.transpose(draw(st.permutations(range(x.ndim))))
    x = x[draw(hnp.basic_indices(x.shape, allow_newaxis=True, max_dims=6))]
    x = np.asarray(x)
    if x.ndim and draw(st.booleans()):
        x = np.broadcast_to(x, (2, *x.shape))
    if draw(st.booleans()):
        x = x.view()
        x.flags.writeable = False
    return x


@given(views(), st.sampled_from(["numpy", "torch", "arrow"]), st.sampled_from([None, False, True]))
def test_any_view_crosses_with_its_values_and_as_promised(x: np.ndarray, target: Any, writable: bool | None):
    convert = {"numpy": to_numpy, "torch": to_tensor, "arrow": to_arrow}[target]
    options: dict[str, Any] = {}
    if target != "arrow":
        options["writable"] = writable is not False if target == "torch" else writable
    plan = route(describe(x), target, **options)
    result = convert(x, **options)
    assert plan.target.admits(describe(result))
    assert answers.dtype(result) == x.dtype.name
    assert answers.same(answers.values(result), x.tolist())
    assert answers.inside(result, x) if plan.action == "view" else answers.apart(result, x)
    if plan.action == "view":
        convert(x, copy="never", **options)
    else:
        with pytest.raises(CopyRefused):
            convert(x, copy="never", **options)
    if target == "torch" and options["writable"] and plan.action == "view" and x.size:
        assert x.flags.writeable


@given(plain_arrays())
def test_round_trip_through_all_three_keeps_values_dtype_and_memory(x: np.ndarray):
    tensor = to_tensor(x, copy="never")
    column = to_arrow(tensor, copy="never")
    back = to_numpy(column, copy="never")
    assert (back.dtype, back.shape) == (x.dtype, x.shape)
    np.testing.assert_array_equal(back, x)
    assert answers.inside(back, x)
    assert answers.same(answers.values(column), x.tolist())


@given(plain_arrays(), st.data())
def test_slices_of_columns_are_slices_of_arrays(x: np.ndarray, data: st.DataObject):
    start = data.draw(st.integers(0, len(x)))
    length = data.draw(st.integers(0, len(x) - start))
    piece = to_arrow(x).slice(start, length)
    np.testing.assert_array_equal(to_numpy(piece), x[start : start + length])
    np.testing.assert_array_equal(to_tensor(piece).numpy(), x[start : start + length])  # NaN equals NaN here


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    """Strided, expanded, conjugated and negated tensors, with and without a graph."""
    t = torch.from_numpy(draw(plain_arrays()))
    t = t.permute(draw(st.permutations(range(t.ndim))))
    if t.shape[0] and draw(st.booleans()):
        t = t[draw(st.integers(0, t.shape[0] - 1)) :: draw(st.integers(1, 2))]
    if draw(st.booleans()):
        t = t.unsqueeze(0).expand(2, *t.shape)
    if t.is_complex() and draw(st.booleans()):
        t = t.conj()
        t = t.imag if draw(st.booleans()) else t
    if t.is_floating_point() and draw(st.booleans()):
        t = t.detach().requires_grad_() if draw(st.booleans()) else torch._neg_view(t)
    return t


@given(tensors(), st.sampled_from(["numpy", "arrow"]))
def test_any_tensor_crosses_with_its_values_and_as_promised(t: torch.Tensor, target: Any):
    convert = {"numpy": to_numpy, "arrow": to_arrow}[target]
    plan = route(describe(t), target)
    result = convert(t)
    assert plan.target.admits(describe(result))
    assert answers.same(answers.values(result), t.tolist())
    assert answers.inside(result, t) if plan.action == "view" else answers.apart(result, t)
    if target == "numpy":
        again = to_tensor(result)
        assert answers.same(again.tolist(), t.tolist())
        assert again.dtype == t.dtype


# --- nulls ------------------------------------------------------------------------------------------------------------


def fitting(code: str) -> st.SearchStrategy[Any]:
    return hnp.from_dtype(np.dtype(code)).map(lambda value: value.item())


@st.composite
def columns(draw: st.DrawFn, codes: tuple[str, ...] = (*NUMBERS, "?")) -> pa.Array:
    """Numbers and booleans with nulls, sliced."""
    code = draw(st.sampled_from(codes))
    kind = pa.bool_() if code == "?" else getattr(pa, NUMBERS[code])()
    rows = draw(st.lists(st.none() | fitting(code), max_size=20))
    start = draw(st.integers(0, len(rows)))
    return pa.array(rows, kind).slice(start, draw(st.integers(0, len(rows) - start)))


@given(columns(), st.sampled_from([to_numpy, to_tensor]))
def test_null_policies_agree_with_to_pylist(column: pa.Array, convert: Any):
    rows = column.to_pylist()
    if None not in rows:
        assert answers.same(answers.values(convert(column)), rows)
    else:
        with pytest.raises(NoRoute, match=r"\[nulls\]"):
            convert(column)
    zero = {"bool": False}.get(str(column.type), 0)
    filled = [zero if row is None else row for row in rows]
    assert answers.same(answers.values(convert(column, nulls=0)), floats(filled, column.type))
    values, mask = convert(column, nulls="mask")
    assert mask.tolist() == [row is None for row in rows]
    assert answers.same(answers.values(values), floats(filled, column.type))
    if pa.types.is_floating(column.type):
        nans = [float("nan") if row is None else row for row in rows]
        assert answers.same(answers.values(convert(column, nulls="nan")), nans)


def floats(rows: list[Any], kind: pa.DataType) -> list[Any]:
    return [float(row) for row in rows] if pa.types.is_floating(kind) else rows


@given(st.sampled_from(["?", "i8", "f4"]).flatmap(lambda code: st.lists(columns((code,)), min_size=1, max_size=4)))
def test_chunks_are_their_concatenation(chunks: list[pa.Array]):
    column = pa.chunked_array(chunks)
    whole = pa.concat_arrays(chunks)
    for convert in (to_numpy, to_tensor):
        assert answers.same(answers.values(convert(column, nulls=0)), answers.values(convert(whole, nulls=0)))
        one, other = convert(column, nulls="mask").mask, convert(whole, nulls="mask").mask
        assert one.tolist() == other.tolist()


# --- rows of unequal length -------------------------------------------------------------------------------------------


@st.composite
def lists(draw: st.DrawFn) -> pa.Array:
    """Lists, large lists and list views of numbers, flat or of pairs, with slices and empty rows."""
    code = draw(st.sampled_from([*NUMBERS, "?"]))
    value = pa.bool_() if code == "?" else getattr(pa, NUMBERS[code])()
    element = fitting(code)
    if draw(st.booleans()):
        value, element = pa.list_(value, 2), st.lists(element, min_size=2, max_size=2)
    kind = draw(st.sampled_from([pa.list_, pa.large_list, pa.list_view, pa.large_list_view]))(value)
    rows = draw(st.lists(st.lists(element, max_size=4), max_size=6))
    start = draw(st.integers(0, len(rows)))
    return pa.array(rows, kind).slice(start, draw(st.integers(0, len(rows) - start)))


@given(lists())
def test_rows_come_out_of_lists_as_they_went_in(column: pa.Array):
    rows = column.to_pylist()
    for convert in (to_numpy, to_tensor):
        assert answers.same(answers.values(convert(column, ragged="list")), rows)
        padded, lengths = convert(column, ragged="pad")
        assert lengths.tolist() == [len(row) for row in rows]
        assert answers.same([answers.values(one[:n]) for one, n in zip(padded, lengths.tolist(), strict=True)], rows)
        blank = [one[n:] for one, n in zip(padded, lengths.tolist(), strict=True)]
        assert not any(bool((rest != 0).any()) for rest in blank)
    if len({len(row) for row in rows}) <= 1 and rows:
        assert answers.same(answers.values(to_numpy(column)), rows)


@settings(max_examples=40)  # torch takes its time with nested tensors
@given(lists())
def test_lists_become_jagged_tensors_and_lists_again(column: pa.Array):
    rows = column.to_pylist()
    nested = to_tensor(column, ragged="jagged")
    assert nested.layout == torch.jagged
    assert answers.same(answers.values(nested), rows)
    lengths = [len(row) for row in rows]
    assert nested._get_max_seqlen() == max(lengths, default=0)
    assert nested._get_min_seqlen() == min(lengths, default=0)
    back = to_arrow(nested)
    assert answers.same(answers.values(back), rows)
    assert answers.inside(back, nested)
    back.validate(full=True)


def test_columns_of_equal_lengths_can_be_added():
    """torch adds jagged tensors only if they hold the very same offsets."""
    one, other = (to_tensor(pa.array([[1.0, 2.0], [3.0]]), ragged="jagged") for _ in range(2))
    assert answers.values(one + other) == [[2.0, 4.0], [6.0]]


def test_offsets_made_in_inference_mode_are_not_handed_to_autograd():
    column = pa.array([[1.0, 2.0], [3.0]])
    with torch.inference_mode():
        kept = to_tensor(column, ragged="jagged")
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)
    (to_tensor(column, ragged="jagged") * weight).values().sum().backward()
    assert weight.grad == 6
    assert kept.is_inference()
