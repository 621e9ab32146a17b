"""ndarrays: every dtype, stride, byte order, subclass and owner of memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from tests.bridge.cells.cell import Cell, cell, copy, refuse, view

PLAIN = ("?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16")
SHARED = {"numpy": view(), "torch": view(), "arrow": view()}
KEPT = {"numpy": view(values=lambda x: None), "torch": refuse("dtype"), "arrow": refuse("dtype")}
CARRIED = ("bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu")
FOREIGN = ("int2", "int4", "uint2", "uint4", "float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn", "float8_e3m4")
TICKS = ("s", "ms", "us", "ns")


def filled(code: Any, *shape: int) -> np.ndarray:
    """Small numbers that every element type can hold, in that type."""
    counts = np.arange(1, 1 + int(np.prod(shape))).reshape(shape)
    if np.dtype(code).kind == "c":
        return (counts - 1j * counts).astype(code)
    return (counts % 2 == 1 if np.dtype(code).kind == "b" else counts).astype(code)


def dtypes() -> list[Cell]:
    cells = []
    for code in PLAIN:
        name = np.dtype(code).name
        cells.append(cell(f"numpy-{name}", partial(filled, code, 5), **SHARED))
        cells.append(cell(f"numpy-{name}-2d", partial(filled, code, 2, 3), **SHARED))
        if np.dtype(code).itemsize > 1:
            swapped = {"numpy": view(), "torch": copy("byte-order"), "arrow": copy("byte-order")}
            cells.append(cell(f"numpy-{name}-big-endian", partial(filled, ">" + code, 5), **swapped))
            backwards = partial(lambda code: filled(">" + code, 5)[::-1], code)
            cells.append(cell(f"numpy-{name}-big-endian-backwards", backwards, **swapped))
            turned = partial(lambda code: filled(">" + code, 2, 3).T, code)
            cells.append(cell(f"numpy-{name}-big-endian-transposed", turned, **swapped))
    for name in ("longlong", "ulonglong", "intc", "uintc"):
        cells.append(cell(f"numpy-{name}", partial(filled, getattr(np, name), 4), **SHARED))
    for name in ("longdouble", "clongdouble"):
        cells.append(cell(f"numpy-{name}", partial(filled, getattr(np, name), 4), **KEPT))
    return [*cells, *datetimes(), *carried(), *without_numbers()]


def ticks(x: np.ndarray) -> Any:
    return x.astype(x.dtype.newbyteorder("=")).view("i8").tolist()


def days_as_nulls(x: np.ndarray) -> Any:
    return [None if np.isnat(day) else int(day.view("i8")) for day in x]


def datetimes() -> list[Cell]:
    as_ticks = view(dtype="int64", values=ticks)
    cells = []
    for base in ("datetime64", "timedelta64"):
        for unit in TICKS:
            make = partial(lambda name: filled("i8", 4).view(name), f"{base}[{unit}]")
            cells.append(cell(f"numpy-{base}-{unit}", make, numpy=view(), torch=as_ticks, arrow=view()))
        for unit in ("D", "Y", "ps", "2s", "generic"):
            name = base if unit == "generic" else f"{base}[{unit}]"
            make = partial(lambda name: filled("i8", 4).view(name), name)
            days = name == "datetime64[D]"
            to_arrow = copy("dtype", values=days_as_nulls) if days else refuse("dtype")
            cells.append(cell(f"numpy-{base}-{unit}", make, numpy=view(), torch=as_ticks, arrow=to_arrow))
    with_nat = partial(lambda: np.array(["NaT", "1970-01-02", "1969-12-31"], "M8[s]"))
    nulls = view(values=lambda x: [None, 86400, -86400])
    cells.append(cell("numpy-datetime64-nat", with_nat, numpy=view(), torch=as_ticks, arrow=nulls))
    cells.append(
        cell(
            "numpy-datetime64-days-nat",
            lambda: np.array(["NaT", "1970-01-02", "1969-12-31"], "M8[D]")[::-1],
            numpy=view(),
            torch=copy("negative-stride", dtype="int64", values=ticks),
            arrow=copy("dtype", values=days_as_nulls),
        )
    )
    cells.append(
        cell(
            "numpy-datetime64-days-too-far",
            lambda: np.array([2**40, 1], "M8[D]"),
            numpy=view(),
            torch=as_ticks,
            arrow=refuse("dtype", late=True),
        )
    )
    cells.append(
        cell(
            "numpy-datetime64-days-2d",
            lambda: filled("i8", 2, 3).view("M8[D]"),
            numpy=view(),
            torch=as_ticks,
            arrow=refuse("dtype"),
        )
    )
    cells.append(
        cell(
            "numpy-datetime64-2d", lambda: filled("i8", 2, 3).view("M8[ms]"), numpy=view(), torch=as_ticks, arrow=view()
        )
    )
    swapped = copy("byte-order", dtype="int64", values=ticks)
    cells.append(
        cell(
            "numpy-datetime64-big-endian",
            lambda: filled("i8", 4).view("M8[s]").astype(">M8[s]"),
            numpy=view(),
            torch=swapped,
            arrow=copy("byte-order"),
        )
    )
    return cells


def carried() -> list[Cell]:
    cells = []
    for name in CARRIED:
        kind = getattr(ml_dtypes, name)
        bits = "uint16" if name == "bfloat16" else "uint8"
        to_numpy = (
            copy("dtype", dtype="float32"),
            view(bfloat16="ml_dtypes"),
            view(bfloat16="uint16", dtype=bits, values=partial(lambda bits, x: x.view(bits).tolist(), bits)),
            refuse("dtype", bfloat16="error"),
        )
        for shape in ((4,), (2, 2)):
            make = partial(lambda kind, shape: (2.0 ** np.arange(4)).astype(kind).reshape(shape), kind, shape)
            cells.append(cell(f"numpy-ml-{name}-{len(shape)}d", make, numpy=to_numpy, torch=view(), arrow=view()))
    cells.append(
        cell(
            "numpy-ml-bfloat16-backwards",
            lambda: np.arange(4).astype(ml_dtypes.bfloat16)[::-1],
            numpy=(copy("dtype", dtype="float32"), view(bfloat16="ml_dtypes")),
            torch=copy("negative-stride"),
            arrow=copy("non-contiguous"),
        )
    )
    for name in FOREIGN:
        make = partial(lambda name: np.ones(4).astype(getattr(ml_dtypes, name)), name)
        cells.append(cell(f"numpy-ml-{name}", make, **KEPT))
    return cells


def without_numbers() -> list[Cell]:
    record = np.dtype([("a", "f4"), ("b", "i4")])
    makers = {
        "object": lambda: np.array([None, {}, "x"], object),
        "bytes": lambda: np.array([b"a", b"bc"]),
        "str": lambda: np.array(["a", "bc"]),
        "string-dtype": lambda: np.array(["a", "bc"], np.dtypes.StringDType()),
        "void": lambda: np.zeros(3, "V5"),
        "structured": lambda: np.zeros(3, record),
        "recarray": lambda: np.zeros(3, record).view(np.recarray),
        "subarray": lambda: np.zeros(3, [("xyz", "f4", 3)]),
        "structured-masked": lambda: np.ma.zeros(3, record),
    }
    return [cell(f"numpy-{name}", make, **KEPT) for name, make in makers.items()]


# --- memory -----------------------------------------------------------------------------------------------------------


def strided(name: str, make: Callable[[], np.ndarray]) -> Cell:
    return cell(f"numpy-{name}", make, numpy=view(), torch=view(), arrow=copy("non-contiguous"))


def backwards(name: str, make: Callable[[], np.ndarray]) -> Cell:
    return cell(f"numpy-{name}", make, numpy=view(), torch=copy("negative-stride"), arrow=copy("non-contiguous"))


def read_only(name: str, make: Callable[[], np.ndarray], **other: Any) -> Cell:
    outcomes = {
        "numpy": (view(), view(writable=False), copy("read-only", writable=True)),
        "torch": (copy("read-only"), view(writable=False)),
        "arrow": view(),
    }
    return cell(f"numpy-{name}", make, **{**outcomes, **other})


def frozen(x: np.ndarray) -> np.ndarray:
    x.flags.writeable = False
    return x


def field() -> np.ndarray:
    """Every third byte starts an element of two."""
    records = np.zeros(4, [("a", "u1"), ("b", "i2")])
    records["b"] = [1, 2, 3, 4]
    return records["b"]


def unaligned() -> np.ndarray:
    x = np.zeros(4 * 8 + 1, np.uint8)[1:].view(np.float64)
    x[:] = [1, 2, 3, 4]
    return x


def off_by(offset: int, code: str, *shape: int) -> np.ndarray:
    """Complex numbers at an address that is a multiple of 64, and so much."""
    item, count = np.dtype(code).itemsize, int(np.prod(shape))
    memory = np.zeros(count * item + 128, np.uint8)
    start = -memory.ctypes.data % 64 + offset
    x = memory[start : start + count * item].view(code).reshape(shape)
    x[...] = np.arange(1, count + 1).reshape(shape) * (1 - 2j)
    return x


def mapped(mode: str, code: str = "f4", shape: tuple[int, ...] = (3, 4)) -> np.ndarray:
    """A map over a file that has lost its name."""
    handle, path = tempfile.mkstemp()
    with os.fdopen(handle, "wb") as file:
        file.write(filled(code, *shape).tobytes())
    try:
        return np.memmap(path, code, mode, shape=shape)
    finally:
        os.unlink(path)


def layouts() -> list[Cell]:
    far = 2**61
    off = (copy("unaligned"), copy("unaligned", writable=False))
    windows = {
        "numpy": view(),
        "torch": (copy("read-only"), view(writable=False)),
        "arrow": copy("non-contiguous"),
    }
    shared_elements = {
        "numpy": view(),
        "torch": (copy("overlap"), view(writable=False)),
        "arrow": copy("non-contiguous"),
    }
    beyond = {"numpy": view(values=lambda x: None), "torch": refuse("layout"), "arrow": refuse("layout")}
    return [
        strided("every-other", lambda: filled("f4", 3, 8)[:, ::2]),
        strided("fortran", lambda: np.asfortranarray(filled("f4", 3, 4))),
        strided("transposed", lambda: filled("f4", 3, 4).T),
        strided("permuted", lambda: filled("i2", 2, 3, 4).transpose(2, 0, 1)),
        cell("numpy-rows-of-more", lambda: filled("f4", 9, 3)[4:6], **SHARED),
        backwards("backwards", lambda: filled("f4", 5)[::-1]),
        backwards("backwards-rows", lambda: filled("f4", 3, 4)[::-1]),
        backwards("backwards-columns", lambda: filled("f4", 3, 4)[:, ::-1]),
        backwards("backwards-both", lambda: filled("f4", 3, 4)[::-1, ::-2]),
        cell("numpy-backwards-length-1", lambda: filled("f4", 5)[3:2:-1], **SHARED),
        cell("numpy-backwards-empty", lambda: filled("f4", 5)[0:0][::-1], **SHARED),
        cell("numpy-length-1-far", lambda: as_strided(filled("f8", 4), (1, 3), (far, 8)), **SHARED),
        cell("numpy-length-1-far-back", lambda: as_strided(filled("f8", 4), (1, 3), (-far, 8)), **SHARED),
        cell("numpy-empty-far", lambda: as_strided(filled("f8", 4), (0, 3), (far, 8)), **SHARED),
        cell("numpy-beyond-all-memory", lambda: as_strided(filled("f8", 4), (2, 2), (2**62, 2**62)), **beyond),
        cell("numpy-beyond-all-memory-1d", lambda: as_strided(filled("f8", 4), (2,), (2**61,)), **beyond),
        cell(
            "numpy-odd-stride",
            field,
            numpy=view(),
            torch=(copy("odd-stride"), copy("odd-stride", writable=False)),
            arrow=copy("non-contiguous"),
        ),
        cell(
            "numpy-odd-stride-of-even-field",
            lambda: np.zeros(4, [("a", "f4"), ("b", "f4")])["b"],
            numpy=view(),
            torch=view(),
            arrow=copy("non-contiguous"),
        ),
        cell("numpy-unaligned", unaligned, **SHARED),
        *(
            cell(f"numpy-unaligned-{name}", make, numpy=view(), torch=off, arrow=arrow)
            for name, make, arrow in (
                ("complex128", partial(off_by, 8, "c16", 4), view()),
                ("complex128-rows", partial(off_by, 8, "c16", 2, 3), view()),
                ("complex128-columns", lambda: off_by(8, "c16", 3, 4)[:, ::2], copy("non-contiguous")),
                ("complex128-odd-address", partial(off_by, 3, "c16", 4), view()),
                ("complex128-0d", lambda: off_by(8, "c16", 4)[1, ...], copy("zero-dim")),
                ("complex64", partial(off_by, 4, "c8", 4), view()),
                ("complex64-odd-address", partial(off_by, 1, "c8", 2, 3), view()),
            )
        ),
        cell(
            "numpy-unaligned-complex128-read-only",
            lambda: frozen(off_by(8, "c16", 4)),
            numpy=view(),
            torch=off,
            arrow=view(),
        ),
        cell("numpy-aligned-complex64", partial(off_by, 8, "c8", 4), **SHARED),
        cell("numpy-0d", lambda: np.array(3.5), numpy=view(), torch=view(), arrow=copy("zero-dim")),
        cell(
            "numpy-0d-read-only",
            lambda: frozen(np.array(7)),
            numpy=view(),
            torch=(copy("read-only"), view(writable=False)),
            arrow=copy("zero-dim"),
        ),
        *(
            cell(
                f"numpy-scalar-{np.dtype(kind).name}",
                partial(lambda kind: kind(1), kind),
                numpy=copy("zero-dim"),
                torch=copy("zero-dim"),
                arrow=copy("zero-dim"),
            )
            for kind in (np.float32, np.int64, np.bool_, np.complex128, np.uint64)
        ),
        cell("numpy-scalar-ulonglong", lambda: np.ulonglong(1), torch=copy("zero-dim"), arrow=copy("zero-dim")),
        cell(
            "numpy-scalar-datetime",
            lambda: np.datetime64(5, "s"),
            numpy=copy("zero-dim"),
            torch=copy("zero-dim", dtype="int64", values=lambda x: 5),
            arrow=copy("zero-dim"),
        ),
        cell(
            "numpy-scalar-bfloat16",
            lambda: ml_dtypes.bfloat16(1.5),
            numpy=copy("zero-dim", dtype="float32"),
            torch=copy("zero-dim"),
            arrow=copy("zero-dim"),
            dtype="bfloat16",
        ),
        cell("numpy-scalar-str", lambda: np.str_("label"), torch=refuse("dtype"), arrow=refuse("dtype")),
        cell("numpy-empty", lambda: np.empty(0, "f4"), **SHARED),
        cell("numpy-empty-rows", lambda: np.empty((0, 3), "i2"), **SHARED),
        cell("numpy-empty-inside", lambda: np.empty((3, 0, 2), "c8"), **SHARED),
        read_only("read-only", lambda: frozen(filled("f4", 5))),
        read_only("read-only-strided", lambda: frozen(filled("f4", 3, 8))[:, ::2], arrow=copy("non-contiguous")),
        read_only("over-bytes", lambda: np.frombuffer(b"12345678", "f4")),
        read_only("memmap-r", partial(mapped, "r")),
        cell("numpy-memmap-r+", partial(mapped, "r+"), **SHARED),
        cell("numpy-memmap-c", partial(mapped, "c"), **SHARED),
        cell("numpy-read-only-backwards", lambda: frozen(filled("f4", 5))[::-1], torch=copy("negative-stride")),
        cell("numpy-broadcast", lambda: np.broadcast_to(filled("f4", 3), (2, 3)), **windows),
        cell("numpy-sliding-window", lambda: sliding_window_view(filled("f4", 6), 3), **windows),
        cell("numpy-writable-windows", lambda: as_strided(filled("f4", 6), (3, 3), (4, 4)), **shared_elements),
        cell("numpy-stride-0", lambda: as_strided(filled("f4", 1), (4,), (0,)), **shared_elements),
        cell("numpy-matrix", lambda: np.asmatrix(filled("f4", 2, 3)), **SHARED),
        cell("numpy-subclass", lambda: filled("f4", 2, 3).view(type("Sub", (np.ndarray,), {})), **SHARED),
        cell("numpy-recarray-of-numbers", lambda: filled("f4", 4).view(np.recarray), **SHARED),
    ]


def half_masked(code: str = "f4", shape: tuple[int, ...] = (4,)) -> np.ma.MaskedArray:
    x = filled(code, *shape)
    return np.ma.array(x, mask=np.arange(x.size).reshape(shape) % 3 == 1)


def filling(fill: Any) -> Callable[[np.ma.MaskedArray], Any]:
    return lambda x: x.filled(fill).tolist()


def with_mask(x: np.ma.MaskedArray) -> Any:
    return [x.filled(0).tolist(), np.ma.getmaskarray(x).tolist()]


def masked() -> list[Cell]:
    lost = refuse("masked")
    policies = (
        lost,
        copy("masked", nulls="nan", values=filling(np.nan)),
        copy("masked", nulls=-1, values=filling(-1)),
        copy("masked", nulls=float("nan"), values=filling(np.nan)),
        copy("masked", nulls="mask", values=with_mask),
    )
    whole = (lost, lost_to("nan"), lost_to(0.5), lost_to(300), lost_to(float("nan")))
    whole = (*whole, copy("masked", nulls=7, values=filling(7)), copy("masked", nulls="mask", values=with_mask))
    backwards = lambda: half_masked()[::-1]  # noqa: E731
    both = lambda outcome: {"numpy": outcome, "torch": outcome}  # noqa: E731
    nat = -(2**63)
    return [
        cell("numpy-masked", half_masked, **both(policies), arrow=view()),
        cell("numpy-masked-uint8", partial(half_masked, "u1"), **both(whole), arrow=view()),
        cell(
            "numpy-masked-float16",
            partial(half_masked, "f2"),
            **both((lost_to(1e10), copy("masked", nulls=0.1, values=lambda x: x.filled(np.float16(0.1)).tolist()))),
            arrow=view(),
        ),
        cell("numpy-masked-bool", partial(half_masked, "?"), **both(lost), arrow=view(values=np.ma.MaskedArray.tolist)),
        cell("numpy-masked-complex", partial(half_masked, "c8"), **both(lost), arrow=lost),
        cell("numpy-masked-2d", partial(half_masked, "f4", (2, 3)), **both(policies), arrow=lost),
        cell(
            "numpy-masked-datetimes",
            lambda: np.ma.array(filled("i8", 3).view("M8[s]"), mask=[0, 1, 0]),
            numpy=(lost, copy("masked", nulls="nan", values=lambda x: [1, nat, 3]), lost_to(0)),
            torch=(lost, copy("masked", nulls="nan", dtype="int64", values=lambda x: [1, nat, 3])),
            arrow=view(values=lambda x: [1, None, 3]),
        ),
        cell(
            "numpy-masked-big-endian",
            partial(half_masked, ">f4"),
            numpy=copy("masked", nulls=0, values=filling(0)),
            torch=copy("masked", nulls=0, values=filling(0)),
            arrow=copy("byte-order"),
        ),
        cell(
            "numpy-masked-backwards",
            backwards,
            numpy=copy("masked", nulls=0, values=filling(0)),
            torch=copy("masked", nulls=0, values=filling(0)),
            arrow=copy("non-contiguous"),
        ),
        cell("numpy-masked-strided", lambda: half_masked("f4", (8,))[::2], numpy=lost, arrow=copy("non-contiguous")),
        cell(
            "numpy-masked-all",
            lambda: np.ma.masked_all(3, "f4"),
            **both((lost, copy("masked", nulls=0, values=filling(0)))),
        ),
        cell("numpy-masked-clean", lambda: np.ma.array(filled("f4", 4)), **SHARED),
        cell("numpy-masked-clean-2d", lambda: np.ma.array(filled("f4", 2, 3), mask=False), **SHARED),
        cell("numpy-masked-0d", lambda: np.ma.array(3.0, mask=True), **both(lost), arrow=lost),
        cell("numpy-masked-structured", lambda: structured_mask(), **both(lost), arrow=lost),
    ]


def lost_to(fill: Any) -> Any:
    return refuse("masked", nulls=fill)


def structured_mask() -> np.ma.MaskedArray:
    return np.ma.array([(1, 2), (3, 4)], dtype=[("a", "i4"), ("b", "i4")], mask=[(0, 1), (0, 0)])


CELLS = (*dtypes(), *layouts(), *masked())
