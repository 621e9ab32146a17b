"""Arrow arrays, chunked arrays, scalars and tensors: every type, null, slice, chunking and nesting."""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Callable
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tests.bridge import answers
from tests.bridge.cells.cell import Cell, Outcome, cell, copy, refuse, view

NUMBERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64")
INTEGERS = NUMBERS[:8]
READ = {
    "numpy": (view(), copy("read-only", writable=True)),
    "torch": (copy("read-only"), view(writable=False)),
    "arrow": view(),
}
"""Numbers without nulls: shared, and read-only wherever that can be said."""
NO_NUMBERS = {"numpy": refuse("dtype"), "torch": refuse("dtype"), "arrow": view(values=lambda x: None)}


def column(name: str, *values: Any) -> pa.Array:
    return pa.array(values or (1, 2, 3, 4, 5), getattr(pa, name)())


def written(reason: str, **about: Any) -> dict[str, Outcome]:
    """Values that have to be copied for both kinds of array."""
    return {"numpy": copy(reason, **about), "torch": copy(reason, **about), "arrow": view()}


# --- numbers ----------------------------------------------------------------------------------------------------------


def rows_of(x: Any) -> Any:
    """What the array holds, null where it is null at any depth, from pyarrow."""
    if isinstance(x, pa.FixedShapeTensorArray):
        return [_cut(row or [None] * math.prod(x.type.shape), tuple(x.type.shape)) for row in x.storage.to_pylist()]
    if isinstance(x, pa.FixedSizeListArray):
        return [_whole(row, x.type) for row in x.to_pylist()]
    return answers.values(x)


def _cut(flat: list[Any], lengths: tuple[int, ...]) -> Any:
    if not lengths:
        return flat[0]
    step = len(flat) // lengths[0]
    return [_cut(flat[i * step : (i + 1) * step], lengths[1:]) for i in range(lengths[0])]


def _whole(row: Any, kind: pa.DataType) -> Any:
    """A null list as a list of nulls."""
    if not pa.types.is_fixed_size_list(kind):
        return row
    return [_whole(inner, kind.value_type) for inner in (row if row is not None else [None] * kind.list_size)]


def filled(fill: Any, rows: Callable[[Any], Any] = rows_of) -> Callable[[Any], Any]:
    """The rows, nulls replaced in plain Python at any depth."""

    def fill_in(x: Any) -> Any:
        return [fill_in(row) for row in x] if isinstance(x, list) else fill if x is None else x

    return lambda x: fill_in(rows(x))


def with_mask(zero: Any = 0, rows: Callable[[Any], Any] = rows_of) -> Callable[[Any], Any]:
    """The values with zeros in place of nulls, and where those are."""

    def mask_of(x: Any) -> Any:
        return [mask_of(row) for row in x] if isinstance(x, list) else x is None

    return lambda x: [filled(zero, rows)(x), mask_of(rows(x))]


def numbers() -> list[Cell]:
    cells = []
    for name in NUMBERS:
        make = partial(column, name)
        cells.append(cell(f"arrow-{name}", make, **READ))
        cells.append(cell(f"arrow-{name}-slice", lambda make=make: make().slice(1, 3), **READ))
        with_nulls = partial(column, name, 1, None, 3)
        lost = refuse("nulls")
        policies: tuple[Outcome, ...] = (
            lost,
            copy("nulls", nulls=7, values=filled(7)),
            copy("nulls", nulls="mask", values=with_mask()),
        )
        if name in INTEGERS:
            unfit = ("nan", 0.5, 2**70, math.nan, *((-1, 2**63 * 2) if name[0] == "u" else (2**63,)))
            policies += tuple(refuse("nulls", nulls=fill) for fill in unfit)
        else:
            policies += tuple(copy("nulls", nulls=fill, values=filled(math.nan)) for fill in ("nan", math.nan))
            policies += (copy("nulls", nulls=math.inf, values=filled(math.inf)), refuse("nulls", nulls=10**310))
        if name in ("float16", "float32"):
            policies += (refuse("nulls", nulls=1e300),)
        if name in ("int8", "uint8"):
            policies += (refuse("nulls", nulls=300),)
        cells.append(cell(f"arrow-{name}-nulls", with_nulls, numpy=policies, torch=policies, arrow=view()))
    cells += [
        cell("arrow-bitmap-without-nulls", lambda: column("float32", None, 1, 2, 3).slice(1), **READ),
        cell(
            "arrow-null-slice",
            lambda: column("float32", 0, None, 2).slice(1),
            numpy=refuse("nulls"),
            torch=refuse("nulls"),
            arrow=view(),
        ),
        cell(
            "arrow-empty",
            lambda: pa.array([], pa.float32()),
            numpy=view(),
            torch=(copy("read-only"), view(writable=False)),
            arrow=view(),
        ),
        cell(
            "arrow-all-null",
            lambda: pa.nulls(3, pa.float32()),
            numpy=(refuse("nulls"), copy("nulls", nulls="nan", values=filled(math.nan))),
        ),
        cell("arrow-over-numpy", lambda: pa.array(np.arange(4.0)), **READ),
        cell("arrow-over-read-only-map", lambda: column("float32"), **READ),
        cell("arrow-unaligned", unaligned, **READ),
        cell(
            "arrow-beyond-2**53",
            lambda: column("int64", 2**53 + 1, None),
            numpy=copy("nulls", nulls=0, values=lambda x: [2**53 + 1, 0]),
        ),
    ]
    return cells


def unaligned() -> pa.Array:
    return pa.Array.from_buffers(
        pa.float64(), 3, [None, pa.py_buffer(np.arange(33, dtype="u1").tobytes()).slice(1, 24)]
    )


# --- booleans, datetimes, decimals, text ------------------------------------------------------------------------------


def bool8(*values: Any) -> pa.Array:
    return pa.ExtensionArray.from_storage(pa.bool8(), pa.array(values, pa.int8()))


def booleans() -> list[Cell]:
    policies = (
        refuse("nulls"),
        refuse("nulls", nulls="nan"),
        refuse("nulls", nulls=2),
        refuse("nulls", nulls=math.nan),
        copy("nulls", nulls=1, values=filled(True)),
        copy("nulls", nulls="mask", values=with_mask(False)),
    )
    many = [i % 3 == 0 for i in range(30)]
    return [
        cell("arrow-bool", lambda: pa.array(many), **written("bit-packed")),
        cell("arrow-bool-slice", lambda: pa.array(many).slice(11, 13), **written("bit-packed")),
        cell("arrow-bool-empty", lambda: pa.array([], pa.bool_()), **written("bit-packed")),
        cell("arrow-bool-nulls", lambda: pa.array([True, None, False]), numpy=policies, torch=policies, arrow=view()),
        cell("arrow-bool8", lambda: bool8(1, 0, 1), **READ),
        cell("arrow-bool8-slice", lambda: bool8(1, 0, 1).slice(1), **READ),
        cell("arrow-bool8-twos", lambda: bool8(2, 0, -1), **READ, values=lambda x: [True, False, True]),
        cell("arrow-bool8-nulls", lambda: bool8(1, None, 0), numpy=policies, torch=policies, arrow=view()),
    ]


def datetimes() -> list[Cell]:
    cells = []
    nat = answers.NAT
    for unit in ("s", "ms", "us", "ns"):
        for kind, name in ((pa.timestamp(unit), "datetime64"), (pa.duration(unit), "timedelta64")):
            cells.append(timed(f"arrow-{name}-{unit}", partial(pa.array, [1, 2, 3], kind), f"{name}[{unit}]"))
        zoned = partial(pa.array, [1, 2, 3], pa.timestamp(unit, "Europe/Paris"))
        cells.append(timed(f"arrow-zoned-{unit}", zoned, f"datetime64[{unit}]"))
    cells.append(
        timed("arrow-date64", lambda: pa.array([86_400_000, 0], pa.int64()).view(pa.date64()), "datetime64[ms]")
    )
    cells.append(timed("arrow-time64-us", lambda: pa.array([1, 2], pa.time64("us")), "timedelta64[us]"))
    cells.append(timed("arrow-time64-ns", lambda: pa.array([1, 2], pa.time64("ns")), "timedelta64[ns]"))
    for kind, name in (
        (pa.date32(), "datetime64[D]"),
        (pa.time32("s"), "timedelta64[s]"),
        (pa.time32("ms"), "timedelta64[ms]"),
    ):
        make = partial(pa.array, [1, -2 if "date" in str(kind) else 2, 3], pa.int32())
        narrow = {
            "numpy": (copy("dtype", dtype=name), copy("dtype", dtype=name, writable=False)),
            "torch": copy("dtype", dtype="int64"),
            "arrow": view(dtype=answers._arrow_dtype(kind)),
        }
        cells.append(cell(f"arrow-{kind}", lambda make=make, kind=kind: make().view(kind), **narrow))
        sliced = lambda make=make, kind=kind: make().view(kind).slice(1)  # noqa: E731
        cells.append(cell(f"arrow-{kind}-slice", sliced, **narrow))
    for kind, name in ((pa.timestamp("us"), "datetime64[us]"), (pa.date32(), "datetime64[D]")):
        policies = (
            refuse("nulls"),
            refuse("nulls", nulls=0),
            copy("nulls", dtype=name, nulls="nan", values=filled(nat)),
            copy("nulls", dtype=name, nulls="mask", values=with_mask()),
        )
        make = partial(
            lambda kind: (
                pa.array([1, None, 3], pa.int32()).cast(pa.int64() if kind.bit_width == 64 else pa.int32()).view(kind)
            ),
            kind,
        )
        cells.append(
            cell(
                f"arrow-{kind}-nulls",
                make,
                numpy=policies,
                torch=copy("nulls", dtype="int64", nulls="nan", values=filled(nat)),
                arrow=view(dtype=answers._arrow_dtype(kind)),
            )
        )
    return cells


def timed(name: str, make: Callable[[], pa.Array], dtype: str) -> Cell:
    return cell(
        name,
        make,
        numpy=view(dtype=dtype),
        torch=(copy("read-only", dtype="int64"), view(dtype="int64", writable=False)),
        arrow=view(),
    )


def without_numbers() -> list[Cell]:
    words = ["a", "a long enough text", None]
    types = partial(pa.array, [0, 1], pa.int8())
    counts = partial(pa.array, [0, 1], pa.int32())
    text = partial(pa.array, ["a", "b"])
    keyed = pa.map_(pa.string(), pa.int8())
    makers: dict[str, Callable[[], pa.Array]] = {
        "null": lambda: pa.nulls(3),
        "string": lambda: pa.array(words),
        "large_string": lambda: pa.array(words, pa.large_string()),
        "string_view": lambda: pa.array(words, pa.string_view()),
        "binary": lambda: pa.array([b"a", None], pa.binary()),
        "large_binary": lambda: pa.array([b"a"], pa.large_binary()),
        "binary_view": lambda: pa.array([b"a"], pa.binary_view()),
        "fixed_size_binary": lambda: pa.array([b"abcd"], pa.binary(4)),
        "month_day_nano_interval": lambda: pa.array([pa.MonthDayNano([1, 2, 3])]),
        **{
            f"decimal{bits}": partial(pa.array, [decimal.Decimal("1.5")], getattr(pa, f"decimal{bits}")(4, 1))
            for bits in (32, 64, 128, 256)
        },
        "map": lambda: pa.array([[("a", 1)]], keyed),
        "struct": lambda: pa.array([{"a": 1}, None]),
        "struct-of-one": lambda: pa.array([{"a": 1.0}]),
        "sparse_union": lambda: pa.UnionArray.from_sparse(types(), [counts(), text()]),
        "dense_union": lambda: pa.UnionArray.from_dense(types(), counts(), [counts(), text()]),
        "dictionary-string": lambda: pa.array(["a", "b", "a"]).dictionary_encode(),
        "dictionary-of-dictionary": lambda: pa.DictionaryArray.from_arrays(
            pa.array([0, 1, 0]), pa.array([1.0, 2.0]).dictionary_encode()
        ),
        "dictionary-of-runs": lambda: pa.DictionaryArray.from_arrays(
            pa.array([0, 1, 0]), pc.run_end_encode(pa.array([1.0, 1.0]))
        ),
        "runs-string": lambda: pc.run_end_encode(pa.array(["a", "a"])),
        "runs-of-dictionary": lambda: pa.RunEndEncodedArray.from_arrays(
            pa.array([2, 4], pa.int32()), pa.array([1.0, 2.0]).dictionary_encode()
        ),
        "uuid": lambda: pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0123456789abcdef"], pa.binary(16))),
        "json": lambda: pa.ExtensionArray.from_storage(pa.json_(), pa.array(["{}"])),
        "opaque-of-others": lambda: opaque(column("int32"), "point", "someone"),
        "opaque-like-ours": lambda: opaque(column("uint16"), "bfloat16", "someone"),
        "fixed-list-of-text": lambda: pa.array([["a", "b"]], pa.list_(pa.string(), 2)),
        "fixed-list-of-lists": lambda: pa.array([[[1], [2, 3]]], pa.list_(pa.list_(pa.int8()), 2)),
        "fixed-list-of-dictionary": lambda: pa.FixedSizeListArray.from_arrays(
            pa.array([1.0, 2.0]).dictionary_encode(), 2
        ),
        "list-of-text": lambda: pa.array([["a"], ["b"]]),
        "list-of-lists": lambda: pa.array([[[1], [2, 3]], []]),
        "list-of-structs": lambda: pa.array([[{"a": 1}]]),
        "list-of-dictionary": lambda: pa.ListArray.from_arrays([0, 2], pa.array([1.0, 2.0]).dictionary_encode()),
        "tensor-of-text": lambda: tensor_of(pa.array(["a", "b"])),
        "tensor-of-dictionary": lambda: tensor_of(pa.array([1.0, 2.0]).dictionary_encode()),
        "tensor-of-lists": lambda: tensor_of(pa.array([[1], [2, 3]])),
        "tensor-of-runs": lambda: tensor_of(pc.run_end_encode(pa.array([1.0, 1.0]))),
        **{f"forged-{name}-over-{kind}": partial(forged, name, kind) for name, kind in FORGED},
    }
    return [cell(f"arrow-{name}", make, **NO_NUMBERS) for name, make in makers.items()]


def opaque(storage: pa.Array, name: str, vendor: str = "bridgeflow") -> pa.Array:
    return pa.ExtensionArray.from_storage(pa.opaque(storage.type, name, vendor), storage)


FORGED = (
    *(
        ("complex64", "double"),
        ("complex128", "int8"),
        ("object", "int8"),
        ("bfloat16", "double"),
        ("bfloat16", "int8"),
    ),
    *(("float64", "int8"), ("complex64", "string"), ("bool", "list"), ("complex64", "pair-of-double")),
    *(
        ("complex64", "three-floats"),
        ("complex64", "pair-of-int32"),
        ("float8_e5m2", "int8"),
        ("datetime64[s]", "int64"),
    ),
    *(("complex64", "float"), ("bool", "bool")),
)
"""Columns that call themselves ours and hold something else: a file from a stranger."""
_STORAGES: dict[str, Callable[[], pa.Array]] = {
    "double": lambda: column("float64"),
    "float": lambda: column("float32"),
    "int8": lambda: column("int8"),
    "int64": lambda: column("int64"),
    "bool": lambda: pa.array([True, False]),
    "string": lambda: pa.array(["text"]),
    "list": lambda: pa.array([[1, 2]], pa.list_(pa.int8())),
    "pair-of-double": lambda: pa.array([[1, 2]], pa.list_(pa.float64(), 2)),
    "pair-of-int32": lambda: pa.array([[1, 2]], pa.list_(pa.int32(), 2)),
    "three-floats": lambda: pa.array([[1, 2, 3]], pa.list_(pa.float32(), 3)),
}


def forged(name: str, kind: str) -> pa.Array:
    return opaque(_STORAGES[kind](), name)


# --- dictionaries and runs --------------------------------------------------------------------------------------------


def dictionary(indices: list[int | None], values: pa.Array) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int8()), values)


def runs(ends: list[int], values: pa.Array) -> pa.Array:
    return pa.RunEndEncodedArray.from_arrays(pa.array(ends, pa.int32()), values)


def spelled_out(x: pa.Array) -> Any:
    return rows_of(x.dictionary_decode()) if isinstance(x, pa.DictionaryArray) else x.to_pylist()


def encoded() -> list[Cell]:
    decoded = copy("decode", values=spelled_out)
    kept = view(values=lambda x: None)
    both = {"numpy": decoded, "torch": decoded, "arrow": kept}
    lost = (
        refuse("nulls"),
        copy("decode", nulls=0.0, values=filled(0.0, spelled_out)),
        copy("decode", nulls="mask", values=with_mask(0.0, spelled_out)),
    )
    holed = {"numpy": lost, "torch": lost, "arrow": kept}
    floats = pa.array([1.5, 2.5, 3.5])
    makers: dict[str, Callable[[], pa.Array]] = {
        "dictionary": lambda: dictionary([0, 2, 1, 0], floats),
        "dictionary-slice": lambda: dictionary([0, 2, 1, 0], floats).slice(1, 2),
        "dictionary-bool": lambda: dictionary([0, 1, 1], pa.array([True, False])),
        "dictionary-int64": lambda: dictionary([0, 1, 1], pa.array([2**60 + 1, 3])),
        "dictionary-empty": lambda: dictionary([], floats),
        "dictionary-pairs": lambda: dictionary([0, 1, 0], pa.array([[1, 2], [3, 4]], pa.list_(pa.float32(), 2))),
        "runs": lambda: runs([2, 3, 7], floats),
        "runs-slice": lambda: runs([2, 3, 7], floats).slice(1, 3),
        "runs-bool": lambda: runs([2, 3], pa.array([True, False])),
        "runs-empty": lambda: runs([], pa.array([], pa.float32())),
    }
    holes: dict[str, Callable[[], pa.Array]] = {
        "dictionary-null-index": lambda: dictionary([0, None, 1], floats),
        "dictionary-null-value": lambda: dictionary([0, 1, 1], pa.array([1.5, None])),
        "dictionary-null-both": lambda: dictionary([0, 1, None], pa.array([1.5, None])),
        "dictionary-null-inside": lambda: dictionary(
            [0, 1, 0], pa.array([[1, None], [3, 4]], pa.list_(pa.float64(), 2))
        ),
        "runs-null": lambda: runs([2, 4, 5], pa.array([1.0, None, 3.0])),
        "runs-null-slice": lambda: runs([2, 4, 5], pa.array([1.0, None, 3.0])).slice(1, 3),
    }
    days = cell(
        "arrow-dictionary-date32",
        lambda: dictionary([1, 0], pa.array([1, 2], pa.int32()).view(pa.date32())),
        numpy=copy("decode", dtype="datetime64[D]", values=lambda x: [2, 1]),
        torch=copy("decode", dtype="int64", values=lambda x: [2, 1]),
    )
    unneeded = cell("arrow-runs-null-sliced-off", lambda: runs([2, 3], pa.array([1.0, None])).slice(0, 2), **both)
    return [
        days,
        unneeded,
        *(cell(f"arrow-{name}", make, **both) for name, make in makers.items()),
        *(cell(f"arrow-{name}", make, **holed) for name, make in holes.items()),
    ]


# --- tensors ----------------------------------------------------------------------------------------------------------


def fixed(values: pa.Array, *sizes: int) -> pa.Array:
    for size in reversed(sizes):
        values = pa.FixedSizeListArray.from_arrays(values, size)
    return values


def tensor(values: pa.Array, shape: tuple[int, ...], permutation: tuple[int, ...] | None = None) -> pa.Array:
    kind = pa.fixed_shape_tensor(values.type, shape, permutation=permutation)
    return pa.ExtensionArray.from_storage(kind, fixed(values, math.prod(shape)))


def tensor_of(values: pa.Array) -> pa.Array:
    return tensor(values, (len(values),))


def counted(n: int, kind: pa.DataType | None = None) -> pa.Array:
    return pa.array(np.arange(1, n + 1), kind or pa.float32())


def involutive(order: tuple[int, ...]) -> bool:
    return all(order[order[axis]] == axis for axis in range(len(order)))


def null_rows(make: Callable[[], pa.Array]) -> pa.Array:
    """The tensors of `make`, the second row null."""
    x = make()
    storage = pa.array([None if i == 1 else row for i, row in enumerate(x.storage.to_pylist())], x.storage.type)
    return pa.ExtensionArray.from_storage(x.type, storage)


def tensors() -> list[Cell]:
    lost = (
        refuse("nulls"),
        copy("nulls", nulls=-1.0, values=filled(-1.0)),
        copy("nulls", nulls="mask", values=with_mask(0.0)),
    )
    holed = {"numpy": lost, "torch": lost, "arrow": view(values=lambda x: None)}
    bits = written("bit-packed")
    batch = partial(tensor, counted(24), (3, 4))
    cells = [
        cell("arrow-tensor", batch, **READ),
        cell("arrow-tensor-slice", lambda: tensor(counted(48), (3, 4)).slice(1, 2), **READ),
        cell("arrow-tensor-int16", lambda: tensor(counted(12, pa.int16()), (3,)), **READ),
        cell("arrow-tensor-identity", lambda: tensor(counted(24), (3, 4), (0, 1)), **READ),
        cell("arrow-tensor-empty", lambda: tensor(counted(0), (3, 4)), **READ),
        cell("arrow-tensor-no-columns", lambda: tensor_without_columns(), **READ),
        cell("arrow-tensor-dates", lambda: tensor(pa.array([1, 2], pa.timestamp("s")), (2,)), numpy=view()),
        cell("arrow-tensor-bool", lambda: tensor(pa.array([i % 3 == 0 for i in range(24)]), (3, 4)), **bits),
        cell(
            "arrow-tensor-bool-slice",
            lambda: tensor(pa.array([i % 3 == 0 for i in range(36)]), (3,)).slice(5, 4),
            **bits,
        ),
        cell("arrow-tensor-bool8", lambda: tensor(bool8(1, 0, 0, 1), (2,)), **READ),
        cell("arrow-tensor-null-row", partial(null_rows, batch), **holed),
        cell("arrow-tensor-null-row-slice", lambda: null_rows(batch).slice(1), **holed),
        cell("arrow-tensor-child-null", lambda: tensor(pa.array([1.0, None, 3.0, 4.0]), (2,)), **holed),
        cell(
            "arrow-tensor-child-null-elsewhere", lambda: tensor(pa.array([1.0, None, 3.0, 4.0]), (2,)).slice(1), **READ
        ),
        cell(
            "arrow-tensor-child-null-permuted",
            lambda: tensor(pa.array([1.0, None, *[3.0] * 4]), (2, 3), (1, 0)),
            **holed_permuted(),
        ),
        cell("arrow-tensor-of-pairs", lambda: tensor(fixed(counted(8), 2), (2,)), **READ, values=pairs),
        cell("arrow-tensor-of-tensors", lambda: tensor(tensor(counted(8), (2,)), (2,)), **READ, values=pairs),
        cell("arrow-fixed-list", lambda: fixed(counted(12), 3), **READ),
        cell("arrow-fixed-list-slice", lambda: fixed(counted(12), 3).slice(1, 2), **READ),
        cell("arrow-fixed-list-nested", lambda: fixed(counted(24), 3, 2), **READ),
        cell("arrow-fixed-list-nested-slice", lambda: fixed(counted(24), 3, 2).slice(1), **READ),
        cell("arrow-fixed-list-of-bool", lambda: fixed(pa.array([True, False, False, True]), 2), **bits),
        cell(
            "arrow-fixed-list-of-dates",
            lambda: fixed(pa.array([1, 2], pa.int32()).view(pa.date32()), 2),
            numpy=copy("dtype", dtype="datetime64[D]", values=lambda x: [[1, 2]]),
        ),
        cell("arrow-fixed-list-null-row", lambda: pa.array([[1, 2], None], pa.list_(pa.float32(), 2)), **holed),
        cell("arrow-fixed-list-null-item", lambda: pa.array([[1, None], [3, 4]], pa.list_(pa.float32(), 2)), **holed),
        cell(
            "arrow-fixed-list-null-inside",
            lambda: pa.array([[[1, 2], None]], pa.list_(pa.list_(pa.float32(), 2), 2)),
            **holed,
        ),
        cell("arrow-fixed-list-of-none", lambda: pa.array([[], []], pa.list_(pa.float32(), 0)), **READ),
        cell(
            "arrow-fixed-list-of-none-null",
            lambda: pa.array([[], None], pa.list_(pa.float32(), 0)),
            numpy=(refuse("nulls"), copy("nulls", nulls=0, values=lambda x: [[], []])),
        ),
        cell("arrow-opaque-complex", lambda: opaque(fixed(counted(8), 2), "complex64"), **READ),
        cell(
            "arrow-opaque-bfloat16",
            lambda: opaque(pa.array([0x3F80, 0x4000], pa.uint16()), "bfloat16"),
            numpy=(copy("dtype", dtype="float32"), view(bfloat16="ml_dtypes")),
            torch=(copy("read-only"), view(writable=False)),
            arrow=view(),
        ),
        cell(
            "arrow-opaque-bfloat16-nulls",
            lambda: opaque(pa.array([0x3F80, None], pa.uint16()), "bfloat16"),
            numpy=(refuse("nulls"), refuse("nulls", nulls="nan"), refuse("nulls", nulls=1)),
            torch=refuse("nulls"),
        ),
        cell("arrow-opaque-bool", lambda: opaque(fixed(pa.array([1, 0], pa.int8()), 2), "bool"), **READ),
        cell("arrow-user-extension", user_extension, **NO_NUMBERS),
    ]
    for size in (2, 3):
        for order in permutations(range(size)):
            shape = (2, 3, 4)[:size]
            make = partial(tensor, counted(2 * math.prod(shape)), shape, order)
            name = f"arrow-tensor-permuted-{''.join(map(str, order))}"
            if involutive(order):
                cells.append(cell(name, make, **READ))
                cells.append(cell(f"{name}-slice", lambda make=make: make().slice(1), **READ))
            else:
                ambiguous = refuse("permutation")
                cells.append(cell(name, make, numpy=ambiguous, torch=ambiguous, arrow=view(values=lambda x: None)))
    return cells


def tensor_without_columns() -> pa.Array:
    kind = pa.fixed_shape_tensor(pa.float32(), (0,))
    return pa.ExtensionArray.from_storage(kind, pa.array([[], []], pa.list_(pa.float32(), 0)))


def pairs(x: pa.Array) -> Any:
    """A tensor of pairs, row by row."""
    return x.storage.to_pylist()


def holed_permuted() -> dict[str, Any]:
    values = [[[1.0, -1.0, 3.0], [3.0, 3.0, 3.0]]]
    transposed = [[list(column) for column in zip(*row, strict=True)] for row in values]
    return {"numpy": (refuse("nulls"), copy("nulls", nulls=-1.0, values=lambda x: transposed))}


class Point(pa.ExtensionType):
    """A user's own type."""

    def __init__(self) -> None:
        super().__init__(pa.float32(), "tests.point")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> Point:
        return cls()


def user_extension() -> pa.Array:
    return pa.ExtensionArray.from_storage(Point(), counted(3))


# --- lists ------------------------------------------------------------------------------------------------------------


def lists() -> list[Cell]:
    ragged = [[1, 2, 3], [], [4, 5]]
    even = [[1, 2], [3, 4], [5, 6]]
    f32 = pa.float32()
    kinds = {"list": pa.list_(f32), "large_list": pa.large_list(f32)}
    views = {"list_view": pa.list_view(f32), "large_list_view": pa.large_list_view(f32)}
    cells = []
    for name, kind in {**kinds, **views}.items():
        how = view
        torch_shares = (
            copy("read-only", ragged="jagged", values=by_row),
            how(ragged="jagged", writable=False, values=by_row),
        )
        whole = {
            "numpy": how(),
            "torch": (copy("read-only"), how(writable=False)),
            "arrow": view(values=lambda x: None) if name in views else view(),
        }
        cells.append(cell(f"arrow-{name}-even", partial(pa.array, even, kind), **whole))
        cells.append(
            cell(
                f"arrow-{name}",
                partial(pa.array, ragged, kind),
                numpy=(
                    refuse("ragged"),
                    refuse("ragged", ragged="jagged"),
                    copy("ragged", ragged="pad", values=padded(0.0)),
                    copy("ragged", ragged="pad", pad_value=-1, values=padded(-1.0)),
                    how(ragged="list", values=by_row),
                ),
                torch=(
                    refuse("ragged"),
                    *torch_shares,
                    copy("ragged", ragged="pad", values=padded(0.0)),
                ),
                arrow=view(values=lambda x: None),
            )
        )
        sliced = partial(lambda kind: pa.array([[9], *ragged, [8, 8]], kind).slice(1, 3), kind)
        cells.append(cell(f"arrow-{name}-slice", sliced, numpy=how(ragged="list", values=by_row), torch=torch_shares))
    both = lambda *outcomes: {"numpy": outcomes, "torch": outcomes}  # noqa: E731
    no_rows = refuse("nulls", ragged="pad")
    cells += [
        cell("arrow-list-even-slice", lambda: pa.array([[0, 0], *even]).slice(1, 2), numpy=view(), arrow=view()),
        cell(
            "arrow-list-int64-pads",
            lambda: pa.array(ragged, pa.list_(pa.int64())),
            **both(
                copy("ragged", ragged="pad", values=padded(0)),
                *(refuse("dtype", ragged="pad", pad_value=fill) for fill in (math.nan, 0.5, 2**70)),
            ),
        ),
        cell(
            "arrow-list-uint8-pads",
            lambda: pa.array(ragged, pa.list_(pa.uint8())),
            **both(
                copy("ragged", ragged="pad", pad_value=255, values=padded(255)),
                refuse("dtype", ragged="pad", pad_value=300),
            ),
        ),
        *(
            cell(
                f"arrow-list-{name}-pads-torch",
                partial(pa.array, ragged, pa.list_(getattr(pa, name)())),
                torch=copy("ragged", ragged="pad", pad_value=7, values=padded(7)),
            )
            for name in ("uint16", "uint32", "uint64")
        ),
        cell(
            "arrow-list-empty-rows",
            lambda: pa.array([[], []], kinds["list"]),
            numpy=(view(), view(ragged="list", values=by_row)),
            torch=copy("read-only", ragged="jagged", values=by_row),
            arrow=view(),
        ),
        cell(
            "arrow-list-no-rows",
            lambda: pa.array([], kinds["list"]),
            numpy=(view(), view(ragged="list", values=by_row), copy("ragged", ragged="pad", values=lambda x: [[], []])),
            torch=copy("read-only", ragged="jagged", values=by_row),
        ),
        cell(
            "arrow-list-null-row",
            lambda: pa.array([[1, 2], None, [3]]),
            **both(refuse("ragged"), no_rows, refuse("nulls", ragged="list")),
        ),
        cell(
            "arrow-list-null-row-hidden-items",
            hidden_items,
            **both(
                refuse("nulls"),
                refuse("nulls", ragged="list"),
                copy("nulls", nulls=-1.0, values=lambda x: [[1.0, 2.0], [-1.0, -1.0], [5.0, 6.0]]),
            ),
            arrow=view(),
        ),
        cell(
            "arrow-list-null-item",
            lambda: pa.array([[1, None], [3]], kinds["list"]),
            numpy=(
                refuse("nulls", ragged="list"),
                copy("nulls", ragged="list", nulls=-1, values=lambda x: [[1.0, -1.0], [3.0]]),
            ),
            torch=(
                refuse("nulls", ragged="jagged"),
                copy("nulls", ragged="jagged", nulls=0, values=lambda x: [[1.0, 0.0], [3.0]]),
            ),
        ),
        cell(
            "arrow-list-even-null-item",
            lambda: pa.array([[1, None], [3, 4]], kinds["list"]),
            **both(
                refuse("nulls"),
                copy("nulls", nulls=-1, values=filled(-1.0)),
                copy("nulls", nulls="mask", values=with_mask(0.0)),
            ),
        ),
        cell("arrow-list-mask-ragged", lambda: pa.array(ragged), **both(refuse("nulls", ragged="pad", nulls="mask"))),
        cell(
            "arrow-list-of-bool",
            lambda: pa.array([[True], [False, True]]),
            numpy=(
                copy("bit-packed", ragged="list", values=by_row),
                copy("bit-packed", ragged="pad", values=padded(False)),
            ),
            torch=copy("bit-packed", ragged="jagged", values=by_row),
        ),
        cell(
            "arrow-list-of-days",
            lambda: pa.array([[datetime.date(1970, 1, 2)], []]),
            numpy=copy("dtype", ragged="list", dtype="datetime64[D]", values=lambda x: [[1], []]),
            torch=copy("dtype", ragged="jagged", dtype="int64", values=lambda x: [[1], []]),
        ),
        cell(
            "arrow-list-of-days-even",
            lambda: pa.array([[datetime.date(1970, 1, 2)], [datetime.date(1970, 1, 1)]]),
            numpy=(
                copy("dtype", dtype="datetime64[D]", values=lambda x: [[1], [0]]),
                copy("dtype", ragged="list", dtype="datetime64[D]", values=lambda x: [[1], [0]]),
            ),
        ),
        cell(
            "arrow-list-of-datetimes",
            lambda: pa.array([[1], [2, 3]], pa.list_(pa.timestamp("ns"))),
            numpy=view(ragged="list", dtype="datetime64[ns]", values=lambda x: [[1], [2, 3]]),
            torch=view(ragged="jagged", writable=False, dtype="int64", values=lambda x: [[1], [2, 3]]),
        ),
        cell(
            "arrow-list-of-pairs",
            lambda: pa.array([[[1, 2]], [[3, 4], [5, 6]]], pa.list_(pa.list_(f32, 2))),
            numpy=view(ragged="list", values=by_row),
            torch=view(ragged="jagged", writable=False, values=by_row),
        ),
        cell(
            "arrow-list-of-tensors",
            lambda: pa.ListArray.from_arrays([0, 2, 3], tensor(counted(12), (2, 2))),
            numpy=view(ragged="list", values=lambda x: [list_of_tensors(x, 0, 2), list_of_tensors(x, 2, 3)]),
            torch=view(
                ragged="jagged", writable=False, values=lambda x: [list_of_tensors(x, 0, 2), list_of_tensors(x, 2, 3)]
            ),
        ),
        cell(
            "arrow-list-of-bfloat16",
            lambda: pa.ListArray.from_arrays([0, 1, 2], opaque(pa.array([0x3F80, 0x4000], pa.uint16()), "bfloat16")),
            numpy=(
                copy("dtype", ragged="list", dtype="float32", values=lambda x: [[1.0], [2.0]]),
                view(ragged="list", bfloat16="uint16", dtype="uint16", values=lambda x: [[0x3F80], [0x4000]]),
            ),
            torch=view(ragged="jagged", writable=False, values=lambda x: [[1.0], [2.0]]),
        ),
        cell(
            "arrow-list-of-permuted",
            lambda: pa.ListArray.from_arrays([0, 1, 2], tensor(counted(12), (2, 3), (1, 0))),
            numpy=refuse("dtype"),
            torch=refuse("dtype", ragged="jagged"),
        ),
        cell(
            "arrow-list-chunked",
            lambda: pa.chunked_array([pa.array([[1, 2]], kinds["list"]), pa.array([[3]], kinds["list"])]),
            numpy=(
                refuse("ragged"),
                copy("chunked", ragged="list", values=by_row),
                copy("chunked", ragged="pad", values=padded(0.0)),
            ),
            torch=copy("chunked", ragged="jagged", values=by_row),
            arrow=copy("chunked"),
        ),
        cell(
            "arrow-list-sole-chunk",
            lambda: pa.chunked_array([pa.array([], kinds["list"]), pa.array(ragged, kinds["list"])]),
            numpy=view(ragged="list", values=by_row),
            torch=view(ragged="jagged", writable=False, values=by_row),
            arrow=view(),
        ),
        cell(
            "arrow-list-view-holes",
            lambda: list_view([4, 0], [2, 1]),
            numpy=copy("layout", ragged="list", values=by_row),
            torch=copy("layout", ragged="jagged", values=by_row),
        ),
        cell(
            "arrow-list-view-overlapping",
            lambda: list_view([0, 1], [3, 3]),
            numpy=(copy("layout"), copy("layout", ragged="list", values=by_row)),
        ),
        cell(
            "arrow-list-view-null-row",
            lambda: pa.array([[1, 2], None], views["list_view"]),
            numpy=refuse("nulls", ragged="list"),
        ),
        *(
            cell(
                f"arrow-list-offsets-{name}",
                partial(damaged, offsets),
                **both(refuse("offsets"), refuse("offsets", ragged="list")),
            )
            for name, offsets in {
                "decreasing": [0, 3, 1, 4],
                "beyond": [0, 2, 3, 900],
                "negative": [-2, 0, 1, 4],
            }.items()
        ),
    ]
    return cells


def by_row(x: Any) -> Any:
    return x.to_pylist()


def padded(fill: Any) -> Callable[[Any], Any]:
    def pad(x: Any) -> Any:
        rows = x.to_pylist()
        width = max(map(len, rows))
        return [[row + [fill] * (width - len(row)) for row in rows], [len(row) for row in rows]]

    return pad


def list_of_tensors(x: pa.Array, start: int, stop: int) -> Any:
    return answers.values(x.values.slice(start, stop - start))


def list_view(offsets: list[int], sizes: list[int]) -> pa.Array:
    integers = pa.int32()
    return pa.ListViewArray.from_arrays(pa.array(offsets, integers), pa.array(sizes, integers), counted(8))


def hidden_items() -> pa.Array:
    """A null row whose offsets still span two items."""
    offsets = pa.py_buffer(np.array([0, 2, 4, 6], "i4"))
    return pa.Array.from_buffers(pa.list_(pa.float32()), 3, [pa.py_buffer(b"\x05"), offsets], children=[counted(6)])


def damaged(offsets: list[int]) -> pa.Array:
    """A list array whose offsets were changed after pyarrow had checked them, which it does once."""
    held = np.array([0, 1, 2, 4], "i4")
    x = pa.Array.from_buffers(pa.list_(pa.float32()), 3, [None, pa.py_buffer(held)], children=[counted(4)])
    held[:] = offsets
    return x


# --- chunks, scalars, pyarrow.Tensor ----------------------------------------------------------------------------------


def chunked() -> list[Cell]:
    kind = pa.float32()
    parts = [pa.array([1, 2], kind), pa.array([], kind), pa.array([3], kind)]
    many = {"numpy": copy("chunked"), "torch": copy("chunked"), "arrow": copy("chunked")}
    return [
        cell("arrow-chunks", lambda: pa.chunked_array(parts), **many),
        cell("arrow-chunks-bool", lambda: pa.chunked_array([[True], [False, True]]), **many),
        cell(
            "arrow-chunks-tensors",
            lambda: pa.chunked_array([tensor(counted(4), (2,)), tensor(counted(2), (2,))]),
            **many,
        ),
        cell("arrow-chunks-slice", lambda: pa.chunked_array(parts).slice(1), **many),
        cell("arrow-chunks-cut-to-one", lambda: pa.chunked_array(parts).slice(0, 2), **READ),
        cell("arrow-chunk-and-empty", lambda: pa.chunked_array(parts[1:]), **READ),
        cell("arrow-chunk", lambda: pa.chunked_array(parts[:1]), **READ),
        cell("arrow-no-chunks", lambda: pa.chunked_array([], kind), numpy=view(), arrow=view()),
        cell("arrow-no-chunks-bool", lambda: pa.chunked_array([], pa.bool_()), numpy=copy("bit-packed"), arrow=view()),
        cell(
            "arrow-no-chunks-tensors",
            lambda: pa.chunked_array([], pa.fixed_shape_tensor(kind, (2,))),
            numpy=view(),
            arrow=view(values=lambda x: []),
        ),
        cell(
            "arrow-no-chunks-union",
            lambda: pa.chunked_array([], pa.dense_union([pa.field("a", kind)])),
            numpy=refuse("dtype"),
            torch=refuse("dtype"),
        ),
        cell(
            "arrow-chunks-nulls",
            lambda: pa.chunked_array([[1.0, None], [3.0]]),
            numpy=(
                refuse("nulls"),
                copy("chunked", nulls="nan", values=filled(math.nan)),
                copy("chunked", nulls="mask", values=with_mask(0.0)),
            ),
            arrow=copy("chunked"),
        ),
        cell(
            "arrow-chunks-dictionary",
            lambda: pa.chunked_array([dictionary([0], pa.array([1.5])), dictionary([0], pa.array([2.5]))]),
            numpy=copy("chunked", values=lambda x: [1.5, 2.5]),
            torch=copy("chunked", values=lambda x: [1.5, 2.5]),
        ),
        cell(
            "arrow-chunks-runs-mask",
            lambda: pa.chunked_array([runs([2], pa.array([1.5])), runs([1], pa.array([None], pa.float64()))]),
            numpy=copy("chunked", nulls="mask", values=lambda x: [[1.5, 1.5, 0.0], [False, False, True]]),
        ),
    ]


def scalars() -> list[Cell]:
    value = {"numpy": copy("zero-dim"), "torch": copy("zero-dim"), "arrow": view()}
    kept = {"numpy": copy("zero-dim"), "torch": copy("zero-dim"), "arrow": view(values=lambda x: None)}
    nothing = (
        refuse("nulls"),
        copy("zero-dim", nulls=7, values=lambda x: 7.0),
        copy("zero-dim", nulls="mask", values=lambda x: [0.0, True]),
    )
    return [
        cell("arrow-scalar", lambda: pa.scalar(1.5), **value),
        cell("arrow-scalar-int64", lambda: pa.scalar(2**60 + 1), **value),
        cell("arrow-scalar-bool", lambda: pa.scalar(True), **value),
        cell("arrow-scalar-null", lambda: pa.scalar(None, pa.float32()), numpy=nothing, torch=nothing, arrow=view()),
        cell(
            "arrow-scalar-date",
            lambda: pa.scalar(datetime.date(1970, 1, 3)),
            numpy=copy("zero-dim", dtype="datetime64[D]", values=lambda x: 2),
        ),
        cell("arrow-scalar-text", lambda: pa.scalar("label"), **NO_NUMBERS),
        cell("arrow-scalar-tensor", lambda: tensor(counted(6), (3,))[1], **kept, values=lambda x: [4.0, 5.0, 6.0]),
        cell("arrow-scalar-fixed-list", lambda: fixed(counted(6), 3)[1], **kept, values=lambda x: [4.0, 5.0, 6.0]),
        cell("arrow-scalar-list", lambda: pa.scalar([1.0, 2.0]), **kept, values=lambda x: [1.0, 2.0]),
        cell(
            "arrow-scalar-tensor-null",
            lambda: pa.scalar(None, pa.fixed_shape_tensor(pa.float32(), (2,))),
            numpy=(refuse("nulls"), copy("zero-dim", nulls=7, values=lambda x: [7.0, 7.0])),
        ),
        cell("arrow-scalar-dictionary", lambda: dictionary([1], pa.array([1.5, 2.5]))[0], **kept, values=lambda x: 2.5),
        cell(
            "arrow-scalar-complex",
            lambda: opaque(fixed(counted(4), 2), "complex64")[1],
            **kept,
            values=lambda x: 3 + 4j,
        ),
        cell("arrow-scalar-bool8", lambda: bool8(0, 1)[1], **kept, values=lambda x: True),
        cell(
            "arrow-scalar-list-rows",
            lambda: pa.scalar([1.0, 2.0]),
            numpy=(
                copy("zero-dim", ragged="pad", values=lambda x: [1.0, 2.0]),
                copy("zero-dim", ragged="list", values=lambda x: [1.0, 2.0]),
            ),
        ),
    ]


def pyarrow_tensors() -> list[Cell]:
    def tensor_of(x: np.ndarray) -> Callable[[], pa.Tensor]:
        return lambda: pa.Tensor.from_numpy(x)

    counts = np.arange(12, dtype="f4").reshape(3, 4)
    frozen = counts.copy()
    frozen.flags.writeable = False
    strided = {"numpy": view(), "torch": view(), "arrow": copy("non-contiguous")}
    shared = {"numpy": view(), "torch": view(), "arrow": view()}
    overlap = np.lib.stride_tricks.as_strided(np.ones(6, "f4"), (3, 3), (4, 4))
    windows = {"numpy": view(), "torch": (copy("overlap"), view(writable=False)), "arrow": copy("non-contiguous")}
    return [
        cell("arrow-Tensor", tensor_of(counts), **shared),
        cell("arrow-Tensor-float16", tensor_of(counts.astype("f2")), **shared),
        cell("arrow-Tensor-fortran", tensor_of(np.asfortranarray(counts)), **strided),
        cell("arrow-Tensor-strided", tensor_of(counts[:, ::2]), **strided),
        cell("arrow-Tensor-overlapping", tensor_of(overlap), **windows),
        cell("arrow-Tensor-0d", tensor_of(np.array(3.5)), numpy=view(), torch=view(), arrow=copy("zero-dim")),
        cell("arrow-Tensor-empty", tensor_of(np.ones((0, 3), "f4")), **shared),
        cell(
            "arrow-Tensor-read-only",
            tensor_of(frozen),
            numpy=(view(), copy("read-only", writable=True)),
            torch=(copy("read-only"), view(writable=False)),
            arrow=view(),
        ),
        cell(
            "arrow-Tensor-mask",
            tensor_of(counts),
            numpy=view(nulls="mask", values=lambda x: [answers.values(x), [[False] * 4] * 3]),
        ),
    ]


CELLS = (
    *numbers(),
    *booleans(),
    *datetimes(),
    *without_numbers(),
    *encoded(),
    *tensors(),
    *lists(),
    *chunked(),
    *scalars(),
    *pyarrow_tensors(),
)
