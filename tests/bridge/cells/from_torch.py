"""Tensors: every dtype, layout, flag and subclass."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision import tv_tensors

from tests.bridge.cells.cell import Cell, cell, copy, refuse, view
from tests.bridge.subclasses import Counting, Dispatching, Wrapper

PLAIN = (
    *("bool", "uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
)
FLOAT8 = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu")
SUB_BYTE = (*(f"{sign}int{n}" for sign in ("", "u") for n in range(1, 8)), "bit")
BITS = ("bits8", "bits16", "bits1x8", "bits2x4", "bits4x2")
SHARED = {"numpy": view(), "torch": view(), "arrow": view()}


def filled(name: str, *shape: int) -> torch.Tensor:
    """Small numbers that every element type can hold, in that type."""
    counts = torch.arange(1, 1 + torch.Size(shape).numel(), dtype=torch.float32).reshape(shape)
    kind = getattr(torch, name)
    if name == "bool":
        return counts % 2 == 1
    if kind.is_complex:
        return torch.complex(counts, -counts).to(kind)
    return (2.0 ** (counts % 4)).to(kind) if name.startswith("float8") else counts.to(kind)


def bits(t: torch.Tensor) -> Any:
    """The codes of a tensor's elements, from torch."""
    return t.view(torch.uint16 if t.element_size() == 2 else torch.uint8).tolist()


def dtypes() -> list[Cell]:
    cells = []
    for name in PLAIN:
        cells.append(cell(f"torch-{name}", partial(filled, name, 5), **SHARED))
        cells.append(cell(f"torch-{name}-2d", partial(filled, name, 2, 3), **SHARED))
    for name in ("bfloat16", *FLOAT8):
        to_numpy = (
            copy("dtype", dtype="float32"),
            view(bfloat16="ml_dtypes"),
            view(bfloat16="uint16", dtype="uint16" if name == "bfloat16" else "uint8", values=bits),
            refuse("dtype", bfloat16="error"),
        )
        for shape in ((5,), (2, 3)):
            make = partial(filled, name, *shape)
            cells.append(cell(f"torch-{name}-{len(shape)}d", make, numpy=to_numpy, torch=view(), arrow=view()))
    widened = copy("dtype", dtype="complex64")
    unwidened = tuple(refuse("dtype", bfloat16=word) for word in ("ml_dtypes", "uint16", "error"))
    make = partial(filled, "complex32", 4)
    cells.append(cell("torch-complex32", make, numpy=(widened, *unwidened), torch=view(), arrow=widened))
    turned = lambda: filled("complex32", 2, 3).t()  # noqa: E731
    cells.append(cell("torch-complex32-transposed", turned, numpy=widened, torch=view(), arrow=widened))
    for name in (*SUB_BYTE, *BITS, "float4_e2m1fn_x2"):
        make = partial(torch.empty, 4, dtype=getattr(torch, name))
        cells.append(cell(f"torch-{name}", make, numpy=refuse("dtype"), arrow=refuse("dtype")))
    for name in ("qint8", "quint8", "qint32"):
        make = partial(torch.quantize_per_tensor, torch.arange(4.0), 0.5, 0, getattr(torch, name))
        cells.append(cell(f"torch-{name}", make, numpy=refuse("dtype"), arrow=refuse("dtype")))
    for name in ("quint4x2", "quint2x4"):
        make = partial(
            torch.quantize_per_channel,
            torch.ones(2, 4),
            torch.ones(2),
            torch.zeros(2),
            0,
            getattr(torch, name),
        )
        cells.append(cell(f"torch-{name}", make, numpy=refuse("dtype"), arrow=refuse("dtype")))
    return cells


def strided(name: str, make: Callable[[], torch.Tensor]) -> Cell:
    """NumPy has torch's strides; Arrow has none."""
    return cell(f"torch-{name}", make, numpy=view(), torch=view(), arrow=copy("non-contiguous"))


def overlapping(name: str, make: Callable[[], torch.Tensor]) -> Cell:
    return cell(
        f"torch-{name}",
        make,
        numpy=(view(), view(writable=False), copy("overlap", writable=True)),
        torch=view(),
        arrow=copy("non-contiguous"),
    )


def layouts() -> list[Cell]:
    sparse = refuse("layout")
    dense = torch.eye(4)
    return [
        strided("every-other", lambda: filled("float32", 3, 8)[:, ::2]),
        strided("transposed", lambda: filled("float32", 3, 4).t()),
        strided("permuted", lambda: filled("int16", 2, 3, 4).permute(2, 0, 1)),
        strided("channels-last", lambda: filled("float32", 2, 3, 4, 5).contiguous(memory_format=torch.channels_last)),
        strided("as-strided", lambda: filled("float32", 24).as_strided((3, 4), (8, 2), 1)),
        strided("bfloat16-bits-strided", lambda: filled("int16", 3, 8)[:, ::2]),
        cell("torch-offset", lambda: filled("float32", 9)[4:], **SHARED),
        cell("torch-rows-of-more", lambda: filled("float32", 9, 3)[4:6], **SHARED),
        cell("torch-length-1-strides", lambda: filled("float32", 6).as_strided((1, 3), (2**62, 1)), **SHARED),
        overlapping("expanded", lambda: filled("float32", 3, 1).expand(3, 4)),
        overlapping("expanded-scalar", lambda: torch.tensor(3.0).expand(2, 2)),
        overlapping("unfolded", lambda: filled("float32", 9).unfold(0, 4, 2)),
        overlapping("windows", lambda: filled("float32", 9).as_strided((3, 4), (2, 1))),
        cell("torch-expanded-far", lambda: torch.zeros(1).expand(2**60), numpy=view(values=lambda t: None)),
        cell("torch-0d", lambda: torch.tensor(3.5), numpy=view(), torch=view(), arrow=copy("zero-dim")),
        cell("torch-0d-of-more", lambda: filled("int64", 5)[3], numpy=view(), torch=view(), arrow=copy("zero-dim")),
        cell("torch-empty", lambda: torch.empty(0), **SHARED),
        cell("torch-empty-rows", lambda: torch.empty(0, 3, dtype=torch.int16), **SHARED),
        cell("torch-empty-inside", lambda: torch.empty(3, 0, 2), **SHARED),
        cell("torch-empty-strided", lambda: torch.empty_strided((0, 3), (2**62, 2**62)), **SHARED),
        cell("torch-64-axes", lambda: filled("float32", *[1] * 63, 2), numpy=view(), torch=view(), arrow=view()),
        cell(
            "torch-65-axes",
            lambda: filled("float32", *[1] * 64, 2),
            numpy=refuse("layout"),
            torch=view(),
            arrow=refuse("layout"),
        ),
        *(
            cell(f"torch-sparse-{name}", make, numpy=sparse, torch=view(values=lambda t: None), arrow=sparse)
            for name, make in {
                "coo": dense.to_sparse,
                "csr": dense.to_sparse_csr,
                "csc": dense.to_sparse_csc,
                "bsr": lambda: dense.to_sparse_bsr((2, 2)),
                "bsc": lambda: dense.to_sparse_bsc((2, 2)),
            }.items()
        ),
        cell(
            "torch-mkldnn",
            lambda: filled("float32", 2, 3).to_mkldnn(),
            numpy=copy("layout"),
            arrow=copy("layout"),
            values=lambda t: t.to_dense().tolist(),
        ),
    ]


def rows(*lengths: int, of: tuple[int, ...] = (), name: str = "float32") -> list[torch.Tensor]:
    return [filled(name, n, *of) for n in lengths]


def jagged(*lengths: int, of: tuple[int, ...] = (), name: str = "float32") -> torch.Tensor:
    return torch.nested.nested_tensor(rows(*lengths, of=of, name=name), layout=torch.jagged)


def padded(fill: float = 0) -> Callable[[torch.Tensor], Any]:
    """Rows of one axis filled up, and their lengths, in plain Python."""

    def pad(t: torch.Tensor) -> Any:
        lists = [row.tolist() for row in t.unbind()]
        width = max(map(len, lists), default=0)
        return [[row + [fill] * (width - len(row)) for row in lists], [len(row) for row in lists]]

    return pad


def with_holes() -> torch.Tensor:
    values, offsets, lengths = filled("float32", 7), torch.tensor([0, 3, 5, 7]), torch.tensor([2, 1, 2])
    return torch.nested.nested_tensor_from_jagged(values, offsets, lengths)


def out_of_step() -> torch.Tensor:
    """Says that its longest row has two elements, and it has three."""
    values, offsets = filled("float32", 5), torch.tensor([0, 3, 5])
    return torch.nested.nested_tensor_from_jagged(values, offsets, max_seqlen=2, min_seqlen=2)


def offsets_of(*offsets: int) -> Callable[[], torch.Tensor]:
    return lambda: torch.nested.nested_tensor_from_jagged(filled("float32", 5), torch.tensor(offsets))


def ragged() -> list[Cell]:
    no_rows = refuse("ragged")
    pads = (
        copy("ragged", ragged="pad", values=padded(0.0)),
        copy("ragged", ragged="pad", pad_value=-1, values=padded(-1.0)),
    )
    damaged = refuse("offsets", ragged="pad", late=True)
    return [
        cell(
            "torch-jagged",
            lambda: jagged(3, 1, 0, 2),
            numpy=(no_rows, *pads, view(ragged="list"), refuse("ragged", ragged="jagged")),
            torch=view(),
            arrow=view(),
        ),
        cell(
            "torch-jagged-int64",
            lambda: jagged(3, 1, name="int64"),
            numpy=(no_rows, copy("ragged", ragged="pad", pad_value=-1, values=padded(-1))),
            torch=view(),
            arrow=view(),
        ),
        *(
            cell(f"torch-jagged-{name}", partial(jagged, 2, 1, name=name), numpy=no_rows, torch=view(), arrow=view())
            for name in ("bool", "complex64", "bfloat16", "float8_e5m2", "float16", "uint8")
        ),
        cell("torch-jagged-inner", lambda: jagged(2, 1, of=(3, 2)), numpy=no_rows, torch=view(), arrow=view()),
        cell(
            "torch-jagged-complex32",
            lambda: jagged(2, 1, name="complex32"),
            numpy=no_rows,
            arrow=copy("dtype", dtype="complex64"),
        ),
        cell("torch-jagged-sub-byte", lambda: wrapped_rows("int4"), numpy=refuse("dtype"), arrow=refuse("dtype")),
        cell(
            "torch-jagged-grad",
            lambda: jagged(2, 1).requires_grad_(),
            numpy=(no_rows, refuse("grad", grad="error")),
            torch=view(),
            arrow=(view(), refuse("grad", grad="error")),
        ),
        cell(
            "torch-jagged-conj",
            lambda: torch.nested.nested_tensor_from_jagged(filled("complex64", 3).conj(), torch.tensor([0, 2, 3])),
            numpy=no_rows,
            arrow=copy("conj-bit"),
        ),
        cell("torch-jagged-strided", strided_rows, numpy=no_rows, torch=view(), arrow=copy("non-contiguous")),
        cell(
            "torch-jagged-holes",
            with_holes,
            numpy=(no_rows, copy("layout", ragged="pad", values=padded(0.0)), copy("layout", ragged="list")),
            torch=view(),
            arrow=copy("layout"),
        ),
        cell(
            "torch-jagged-transposed",
            lambda: jagged(3, 2, of=(4,)).transpose(1, 2),
            numpy=(no_rows, refuse("layout", ragged="pad")),
            torch=view(),
            arrow=refuse("layout"),
        ),
        cell(
            "torch-jagged-wrong-maximum",
            out_of_step,
            numpy=(no_rows, copy("ragged", ragged="pad", values=padded(0.0))),
            torch=view(),
            arrow=view(),
        ),
        *(
            cell(f"torch-jagged-offsets-{name}", make, numpy=damaged, arrow=refuse("offsets", late=True))
            for name, make in {
                "decreasing": offsets_of(0, 4, 2, 5),
                "beyond": offsets_of(0, 3, 900),
                "negative": offsets_of(-3, 2, 5),
                "late": offsets_of(1, 3, 5),
                "short": offsets_of(0, 3),
            }.items()
        ),
        cell(
            "torch-jagged-offsets-float",
            lambda: torch.nested.nested_tensor_from_jagged(filled("float32", 5), torch.tensor([0.0, 3.0, 5.0])),
            numpy=damaged,
            arrow=refuse("offsets", late=True),
        ),
        cell(
            "torch-nested-strided",
            lambda: torch.nested.nested_tensor(rows(3, 1)),
            numpy=(no_rows, *pads),
            torch=view(),
            arrow=refuse("ragged"),
        ),
    ]


def wrapped_rows(name: str) -> torch.Tensor:
    return torch.nested.nested_tensor_from_jagged(torch.empty(3, dtype=getattr(torch, name)), torch.tensor([0, 2, 3]))


def strided_rows() -> torch.Tensor:
    return torch.nested.nested_tensor_from_jagged(filled("float32", 6)[::2], torch.tensor([0, 2, 3]))


def graph_leaf() -> torch.Tensor:
    return filled("float32", 4).requires_grad_()


def shrunk(nbytes: int) -> torch.Tensor:
    t = filled("float32", 8)
    t.untyped_storage().resize_(nbytes)
    return t


def flags() -> list[Cell]:
    grad = {
        "numpy": (view(), refuse("grad", grad="error")),
        "torch": view(),
        "arrow": (view(), refuse("grad", grad="error")),
    }
    conj = {"numpy": copy("conj-bit"), "torch": view(), "arrow": copy("conj-bit")}
    neg = {"numpy": copy("neg-bit"), "torch": view(), "arrow": copy("neg-bit")}
    nothing = {"numpy": refuse("no-data"), "torch": view(values=lambda t: None), "arrow": refuse("no-data")}
    short = {"numpy": refuse("empty-storage"), "arrow": refuse("empty-storage")}
    return [
        cell("torch-grad-leaf", graph_leaf, **grad),
        cell("torch-grad-inside", lambda: graph_leaf() * 2, **grad),
        cell("torch-parameter", lambda: torch.nn.Parameter(filled("float32", 2, 3)), **grad),
        cell("torch-grad-0d", lambda: graph_leaf().sum(), numpy=view(), arrow=copy("zero-dim")),
        cell(
            "torch-grad-bfloat16", lambda: filled("bfloat16", 3).requires_grad_(), numpy=copy("dtype", dtype="float32")
        ),
        cell("torch-conj", lambda: filled("complex64", 4).conj(), **conj),
        cell("torch-conj-transposed", lambda: filled("complex64", 2, 3).conj().t(), **conj),
        cell("torch-neg-transposed", lambda: torch._neg_view(filled("float32", 2, 3)).t(), **neg),
        cell("torch-conj-grad", lambda: filled("complex64", 4).requires_grad_().conj(), **conj),
        cell("torch-conj-complex32", lambda: filled("complex32", 4).conj(), numpy=copy("conj-bit", dtype="complex64")),
        cell("torch-neg", lambda: torch._neg_view(filled("float32", 4)), **neg),
        cell("torch-neg-strided", lambda: filled("complex64", 4).conj().imag, **neg),
        cell("torch-conj-and-neg", lambda: torch._neg_view(filled("complex64", 4).conj()), **conj),
        cell("torch-conj-0d", lambda: torch.tensor(1 + 2j).conj(), numpy=copy("conj-bit"), arrow=copy("conj-bit")),
        strided("conj-real", lambda: filled("complex64", 4).conj().real),
        cell("torch-view-as-real", lambda: torch.view_as_real(filled("complex64", 4)), **SHARED),
        cell("torch-resolved", lambda: filled("complex64", 4).conj().resolve_conj(), **SHARED),
        cell("torch-inference", inference_tensor, **SHARED),
        cell("torch-shared-memory", lambda: filled("float32", 4).share_memory_(), **SHARED),
        cell("torch-copy-on-write", lambda: torch._lazy_clone(filled("float32", 4)), **SHARED),
        cell(
            "torch-zero-tensor",
            lambda: torch._efficientzerotensor(4),
            numpy=copy("no-data"),
            torch=view(values=lambda t: None),
            arrow=copy("no-data"),
            values=lambda t: [0.0] * 4,
        ),
        cell("torch-storage-emptied", lambda: shrunk(0), **short),
        cell("torch-storage-shrunk", lambda: shrunk(16), **short),
        cell("torch-meta", lambda: torch.empty(3, device="meta"), **nothing),
        cell("torch-meta-sparse", lambda: torch.eye(3).to_sparse().to("meta"), **nothing),
        cell("torch-fake", lambda: fake("cpu"), **nothing),
        cell("torch-fake-on-a-gpu", lambda: fake("cuda"), **nothing),
        cell("torch-wrapper", lambda: Wrapper(filled("float32", 4)), **nothing),
        cell("torch-uninitialised-parameter", torch.nn.UninitializedParameter, **nothing),
        cell("torch-uninitialised-buffer", torch.nn.UninitializedBuffer, **nothing),
    ]


def inference_tensor() -> torch.Tensor:
    with torch.inference_mode():
        return filled("float32", 4)


def fake(device: str) -> torch.Tensor:
    with FakeTensorMode():
        return torch.empty(3, device=device)


def subclasses() -> list[Cell]:
    makers = {
        "parameter-without-grad": lambda: torch.nn.Parameter(filled("float32", 4), requires_grad=False),
        "buffer": lambda: torch.nn.Buffer(filled("float32", 4)),
        "tv-image": lambda: tv_tensors.Image(filled("uint8", 3, 2, 2)),
        "tv-mask": lambda: tv_tensors.Mask(filled("bool", 2, 2)),
        "tv-boxes": lambda: tv_tensors.BoundingBoxes(filled("float32", 2, 4), format="XYXY", canvas_size=(9, 9)),
        "plain-subclass": lambda: filled("float32", 4).as_subclass(type("Plain", (torch.Tensor,), {})),
        "torch-function": lambda: filled("float32", 4).as_subclass(Counting),
    }
    cells = [cell(f"torch-{name}", make, **SHARED) for name, make in makers.items()]
    cells.append(
        cell(
            "torch-torch-function-bfloat16",
            lambda: filled("bfloat16", 4).as_subclass(Counting),
            numpy=(copy("dtype", dtype="float32"), view(bfloat16="ml_dtypes")),
            arrow=view(),
        )
    )
    dispatching = {"numpy": refuse("subclass"), "torch": view(values=lambda t: None), "arrow": refuse("subclass")}
    cells.append(cell("torch-torch-dispatch", lambda: Dispatching(filled("float32", 4)), **dispatching))
    return cells


CELLS = (*dtypes(), *layouts(), *ragged(), *flags(), *subclasses())
