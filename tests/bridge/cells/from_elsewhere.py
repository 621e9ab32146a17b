"""Arrays of other libraries: DLPack producers and capsules, Arrow capsule producers, polars, PIL images, `Shared`."""

from __future__ import annotations

import datetime
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import torch
from PIL import Image

from bridgeflow.bridge import share
from tests.bridge import answers
from tests.bridge.cells.cell import Cell, cell, copy, refuse, view
from tests.bridge.cells.from_torch import filled
from tests.bridge.producers import ArrayProducer, OldProducer, Producer, Refusing, StreamProducer

SHARED = {"numpy": view(), "torch": view(), "arrow": view()}
READ = {"numpy": view(), "torch": (copy("read-only"), view(writable=False)), "arrow": view()}


def contents(x: Producer) -> Any:
    """What the array of a producer holds."""
    return answers.values(x.array)


def produced(name: str, array: Callable[[], Any], *, by: type = Producer, **outcomes: Any) -> Cell:
    dtype = answers.dtype(array())
    return cell(f"dlpack-{name}", lambda: by(array()), dtype=dtype, values=contents, **outcomes)


def dlpack() -> list[Cell]:
    counts = lambda: np.arange(12, dtype="f4").reshape(3, 4)  # noqa: E731
    unknown = refuse("unknown")
    refused = {"numpy": unknown, "torch": unknown, "arrow": unknown}
    carried = {"numpy": copy("dtype", dtype="float32"), "torch": view(), "arrow": view()}
    widened = copy("dtype", dtype="complex64")
    backwards = {"numpy": view(), "torch": copy("negative-stride"), "arrow": copy("non-contiguous")}

    def frozen() -> np.ndarray:
        x = counts()
        x.flags.writeable = False
        return x

    def used() -> Any:
        capsule = counts().__dlpack__()
        torch.utils.dlpack.from_dlpack(capsule)
        return capsule

    return [
        produced("numpy", counts, **SHARED),
        produced("torch", partial(filled, "int16", 2, 3), **SHARED),
        produced("bool", partial(filled, "bool", 5), **SHARED),
        produced("complex", partial(filled, "complex64", 5), **SHARED),
        produced(
            "fortran", lambda: np.asfortranarray(counts()), numpy=view(), torch=view(), arrow=copy("non-contiguous")
        ),
        produced("backwards", lambda: counts()[::-1], **backwards),
        produced("backwards-columns", lambda: counts()[:, ::-1], **backwards),
        produced("read-only", frozen, **READ),
        produced("arrow", lambda: pa.array([1.0, 2.0]), **READ),
        produced("0d", lambda: np.array(1.5), numpy=view(), torch=view(), arrow=copy("zero-dim")),
        produced("empty", lambda: np.empty((0, 3)), **SHARED),
        produced("bfloat16", partial(filled, "bfloat16", 2, 3), **carried),
        produced("float8", partial(filled, "float8_e5m2", 4), **carried),
        cell(
            "dlpack-complex32",
            lambda: Producer(filled("complex32", 4)),
            dtype="complex32",
            values=contents,
            numpy=widened,
            torch=view(),
            arrow=widened,
        ),
        produced("old", counts, by=OldProducer, **READ),
        produced("old-backwards", lambda: counts()[::-1], by=OldProducer, numpy=view(), torch=copy("negative-stride")),
        produced("old-bfloat16", partial(filled, "bfloat16", 3), by=OldProducer, **carried),
        cell(
            "dlpack-capsule",
            lambda: counts().__dlpack__(),
            **READ,
            once=True,
            dtype="float32",
            values=lambda x: counts().tolist(),
        ),
        cell(
            "dlpack-capsule-versioned",
            lambda: counts().__dlpack__(max_version=(1, 0)),
            **SHARED,
            once=True,
            dtype="float32",
            values=lambda x: counts().tolist(),
        ),
        cell(
            "dlpack-capsule-bfloat16",
            lambda: filled("bfloat16", 2).__dlpack__(),
            **carried,
            once=True,
            dtype="bfloat16",
            values=lambda x: [1.0, 2.0],
        ),
        cell("dlpack-capsule-used", used, **refused),
        cell("dlpack-capsule-arrow", lambda: pa.array([1]).__arrow_c_array__()[1], **refused),
        cell("dlpack-capsule-foreign", lambda: datetime.datetime_CAPI, **refused),
        *(
            cell(f"dlpack-refuses-{name}", lambda array=array: Producer(array()), **refused)
            for name, array in {
                "grad": lambda: filled("float32", 3).requires_grad_(),
                "conj": lambda: filled("complex64", 3).conj(),
                "meta": lambda: torch.empty(3, device="meta"),
                "sparse": lambda: torch.eye(2).to_sparse(),
                "bits8": lambda: torch.empty(3, dtype=torch.bits8),
                "byte-order": lambda: np.zeros(3, ">f4"),
                "text": lambda: np.array(["a"]),
                "longdouble": lambda: np.zeros(3, np.longdouble),
            }.items()
        ),
        *(
            cell(f"dlpack-raises-{error.__name__}", partial(Refusing, error), **refused)
            for error in (TypeError, ValueError, RuntimeError, NotImplementedError)
        ),
    ]


def capsules() -> list[Cell]:
    floats = pa.array([1.0, 2.0, 3.0], pa.float32())
    text = {"numpy": refuse("dtype"), "torch": refuse("dtype")}
    kept = {"dtype": "float32", "values": contents}
    many = {"numpy": copy("chunked"), "torch": copy("chunked"), "arrow": copy("chunked")}
    return [
        cell("capsule-array", lambda: ArrayProducer(floats), **READ, **kept),
        cell("capsule-array-slice", lambda: ArrayProducer(floats.slice(1)), **READ, **kept),
        cell("capsule-stream", lambda: StreamProducer(pa.chunked_array([floats])), **READ, **kept),
        cell("capsule-stream-chunks", lambda: StreamProducer(pa.chunked_array([floats, floats])), **many, **kept),
        cell("capsule-stream-empty", lambda: StreamProducer(pa.chunked_array([], pa.float32())), numpy=view(), **kept),
        cell("capsule-array-of-text", lambda: ArrayProducer(pa.array(["a"])), **text),
        cell("capsule-array-of-rows", lambda: ArrayProducer(pa.record_batch({"a": [1]})), **text),
        cell("capsule-table", lambda: StreamProducer(pa.table({"a": [1]})), **text),
    ]


def polars() -> list[Cell]:
    def series(values: list[Any], dtype: Any = None) -> Callable[[], pl.Series]:
        return lambda: pl.Series(values, dtype=dtype)

    held: dict[str, Any] = {"values": pl.Series.to_list}
    numbers = {
        "Int8": "int8",
        "Int16": "int16",
        "Int32": "int32",
        "Int64": "int64",
        "UInt8": "uint8",
        "UInt16": "uint16",
        "UInt32": "uint32",
        "UInt64": "uint64",
        "Float32": "float32",
        "Float64": "float64",
    }
    lost = (refuse("nulls"), copy("nulls", nulls=0, values=lambda s: s.fill_null(0).to_list()))
    packed = {"numpy": copy("bit-packed"), "torch": copy("bit-packed")}
    text = {"numpy": refuse("dtype"), "torch": refuse("dtype")}
    return [
        *(
            cell(f"polars-{name}", series([1, 2, 3], getattr(pl, name)), **READ, **held, dtype=dtype)
            for name, dtype in numbers.items()
        ),
        cell("polars-slice", lambda: pl.Series([1.0, 2.0, 3.0])[1:], **READ, **held, dtype="float64"),
        cell("polars-nulls", series([1.0, None]), numpy=lost, torch=lost, **held, dtype="float64"),
        cell(
            "polars-chunks",
            lambda: pl.Series([1, 2]).append(pl.Series([3])),
            numpy=copy("chunked"),
            torch=copy("chunked"),
            arrow=copy("chunked"),
            **held,
            dtype="int64",
        ),
        cell("polars-bool", series([True, False, True]), **packed, **held, dtype="bool"),
        cell("polars-empty", series([], pl.Float32), numpy=view(), **held, dtype="float32"),
        cell(
            "polars-Array",
            series([[1, 2], [3, 4]], pl.Array(pl.Int32, 2)),
            **READ,
            values=lambda s: [[1, 2], [3, 4]],
            dtype="int32",
        ),
        cell(
            "polars-List",
            series([[1.0, 2.0], [3.0]]),
            numpy=(refuse("ragged"), view(ragged="list")),
            torch=view(ragged="jagged", writable=False),
            values=lambda s: [[1.0, 2.0], [3.0]],
            dtype="float64",
        ),
        cell(
            "polars-Datetime",
            lambda: pl.Series([1, 2]).cast(pl.Datetime("us", "UTC")),
            numpy=view(),
            torch=view(dtype="int64", writable=False),
            values=lambda s: [1, 2],
            dtype="datetime64[us]",
        ),
        cell(
            "polars-Date",
            lambda: pl.Series([1, 2]).cast(pl.Int32).cast(pl.Date),
            numpy=copy("dtype"),
            values=lambda s: [1, 2],
            dtype="datetime64[D]",
        ),
        cell("polars-String", series(["a", "b"]), **text),
        cell("polars-Categorical", series(["a", "b"], pl.Categorical), **text),
        cell("polars-Decimal", lambda: pl.Series([1]).cast(pl.Decimal(10, 2)), **text),
        cell("polars-Struct", series([{"a": 1}]), **text),
        cell("polars-Object", series([object()], pl.Object), numpy=refuse("dtype")),
        cell("polars-DataFrame", lambda: pl.DataFrame({"a": [1]}), **text),
    ]


def pixels(layout: str) -> Callable[[Image.Image], Any]:
    """The image's bytes, band by band, as PIL writes them."""

    def values(image: Image.Image) -> Any:
        (width, height), bands = image.size, len(image.getbands())
        flat = list(image.tobytes()) if bands > 1 else list(image.get_flattened_data())
        if image.mode == "1":
            flat = [value > 0 for value in flat]
        lines = [flat[start : start + width * bands] for start in range(0, height * width * bands, width * bands)]
        if layout == "CHW":
            return [[line[band::bands] for line in lines] for band in range(bands)]
        return [[line[start : start + bands] for start in range(0, width * bands, bands)] for line in lines]

    return values


def images() -> list[Cell]:
    modes = {
        "1": "bool",
        "L": "uint8",
        "I;16": "uint16",
        "I": "int32",
        "F": "float32",
        "LA": "uint8",
        "RGB": "uint8",
        "YCbCr": "uint8",
        "LAB": "uint8",
        "HSV": "uint8",
        "RGBA": "uint8",
        "CMYK": "uint8",
    }
    cells = []
    for mode, dtype in modes.items():
        outcomes = (
            refuse("layout"),
            *(copy("decode", layout=layout, values=pixels(layout)) for layout in ("HWC", "CHW")),
        )
        make = partial(_image, mode)
        cells.append(cell(f"pil-{mode}", make, numpy=outcomes, torch=outcomes, arrow=outcomes, dtype=dtype))
    for mode in ("P", "PA"):
        cells.append(
            cell(
                f"pil-{mode}",
                partial(Image.new, mode, (3, 2)),
                numpy=refuse("dtype", layout="HWC"),
                torch=refuse("dtype", layout="CHW"),
            )
        )
    return cells


def _image(mode: str) -> Image.Image:
    image = Image.new(mode, (3, 2))
    bands = len(image.getbands())
    for y in range(2):
        for x in range(3):
            value = 10 * y + x
            image.putpixel(
                (x, y),
                value % 2 * 255
                if mode == "1"
                else value
                if bands == 1
                else tuple(value + 50 * b for b in range(bands)),
            )
    return image


def shared_buffers() -> list[Cell]:
    return [
        cell("shared", lambda: share(np.arange(4.0)), **SHARED, dtype="float64", values=lambda s: s.numpy.tolist()),
        cell(
            "shared-read-only",
            lambda: share(pa.array([1.0, 2.0])),
            **READ,
            dtype="float64",
            values=lambda s: s.numpy.tolist(),
        ),
    ]


@dataclass
class Stored:
    """An array that is kept elsewhere: NumPy is handed a copy, or one that must not be written to."""

    array: np.ndarray
    read_only: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        values = np.array(self.array, dtype)
        values.flags.writeable = not self.read_only
        return values


def buffers() -> list[Cell]:
    def of(code: str) -> Callable[[], Any]:
        return lambda: array(code, [1, 2, 3])

    held: dict[str, Any] = {"values": lambda x: x.tolist()}
    codes = {"b": "int8", "B": "uint8", "h": "int16", "H": "uint16", "i": "int32", "I": "uint32", "q": "int64"}
    codes |= {"Q": "uint64", "f": "float32", "d": "float64"}
    released = memoryview(bytearray(8))
    released.release()
    refused = refuse("unknown")
    return [
        *(cell(f"buffer-array-{code}", of(code), **SHARED, **held, dtype=name) for code, name in codes.items()),
        cell("buffer-array-empty", lambda: array("d"), **SHARED, **held, dtype="float64"),
        cell("buffer-memoryview", lambda: memoryview(np.arange(3.0)), **SHARED, **held, dtype="float64"),
        cell("buffer-memoryview-read-only", lambda: memoryview(bytes(range(4))), **READ, **held, dtype="uint8"),
        cell(
            "buffer-memoryview-2d",
            lambda: memoryview(bytearray(range(12))).cast("B", (3, 4)),
            **SHARED,
            **held,
            dtype="uint8",
        ),
        cell(
            "buffer-memoryview-backwards",
            lambda: memoryview(np.arange(4.0))[::-1],
            numpy=view(),
            torch=copy("negative-stride"),
            arrow=copy("non-contiguous"),
            **held,
            dtype="float64",
        ),
        cell("buffer-memoryview-released", lambda: released, numpy=refused, torch=refused, arrow=refused),
    ]


def array_likes() -> list[Cell]:
    read = {"numpy": copy("decode"), "torch": copy("decode"), "arrow": copy("decode")}
    text = {"numpy": copy("decode", values=lambda x: None), "torch": refuse("dtype"), "arrow": refuse("dtype")}
    lists: dict[str, tuple[Any, str]] = {
        "ints": ([1, 2, 3], "int64"),
        "floats": ([1.5, 2, True], "float64"),
        "bools": ((True, False), "bool"),
        "complex": ([1j, 2.0], "complex128"),
        "rows": ([[1, 2], [3, 4]], "int64"),
        "rows-of-tuples": (((1.0,), (2.0,)), "float64"),
        "deep": ([[[1], [2]], [[3], [4]]], "int64"),
        "scalars": ([np.float32(1.5), np.float32(2)], "float32"),
    }
    wrong: dict[str, tuple[Any, str]] = {
        "ragged": ([[1, 2], [3]], "ragged"),
        "uneven-depth": ([[1, 2], [3, [4]]], "unknown"),
        "with-None": ([1.0, None], "nulls"),
        "with-None-inside": ([[1.0], [None]], "nulls"),
        "too-large": ([2**70], "dtype"),
        "of-text": (["a"], "unknown"),
        "mixed": ([1, "a"], "unknown"),
        "empty": ([], "unknown"),
        "of-arrays": ([np.ones(2), np.ones(2)], "unknown"),
    }
    stored = lambda: Stored(np.arange(6.0).reshape(2, 3))  # noqa: E731
    kept: dict[str, Any] = {"dtype": "float64", "values": lambda x: x.array.tolist()}
    return [
        *(
            cell(f"list-{name}", lambda x=x: x, **read, dtype=dtype, values=lambda x: np.asarray(x).tolist())
            for name, (x, dtype) in lists.items()
        ),
        *(
            cell(f"list-{name}", lambda x=x: x, numpy=refuse(why), torch=refuse(why), arrow=refuse(why))
            for name, (x, why) in wrong.items()
        ),
        cell("stored", stored, **read, **kept),
        cell("stored-read-only", lambda: Stored(np.arange(3.0), read_only=True), **read, **kept),
        cell("stored-big-endian", lambda: Stored(np.arange(3, dtype=">f8")), **read, **kept),
        cell("stored-text", lambda: Stored(np.array(["a"])), **text, dtype="str32"),
        cell("stored-empty", lambda: Stored(np.empty((0, 3))), **read, **kept),
    ]


CELLS = (*dlpack(), *capsules(), *polars(), *images(), *shared_buffers(), *buffers(), *array_likes())
