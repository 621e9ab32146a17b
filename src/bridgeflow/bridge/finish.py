"""The last rules of every route: memory to write to, a copy or a move, where the caller asks for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bridgeflow.bridge.numpy_torch import EMPTY_STORAGE, QUANTISED, UNALIGNED
from bridgeflow.bridge.rules import Options, copies, refuse, views
from bridgeflow.errors import NoRoute, printable
from bridgeflow.spec import ArraySpec

if TYPE_CHECKING:
    import torch

__all__ = ["FINISH_NUMPY", "FINISH_TORCH"]


FINISH_NUMPY = (
    copies(
        "writable",
        "the memory is read-only, and writable=True asks for memory to write to",
        "leave writable=None to share it as it is",
        when=lambda s, o: o.writable is True and not s.writable,
        reason="read-only",
    ),
    copies("asked", 'copy="always"', when=lambda s, o: o.copy == "always"),
    views(
        "mark-read-only",
        "writable=False: the view is marked read-only",
        when=lambda s, o: o.writable is False and s.writable,
        then=lambda s, o: replace(s, writable=False),
        apply=lambda x, s, o: _readonly_view(x),
    ),
)


def _readonly_view(x: Any) -> Any:
    view = x.view()
    view.flags.writeable = False
    return view


def _moves(spec: ArraySpec, options: Options) -> bool:
    return options.device is not None and spec.device != options.device


def _reads(spec: ArraySpec, options: Options) -> bool:
    """Whether torch has to read the values, for a copy or a move."""
    return options.device != "meta" and (options.copy == "always" or _moves(spec, options))


def _to_meta(spec: ArraySpec, options: Options) -> bool:
    return options.device == "meta" and _moves(spec, options)


def _by_torch(function: Callable[[torch.Tensor], torch.Tensor], t: torch.Tensor, spec: ArraySpec) -> torch.Tensor:
    """A copy or a move, refused where torch does not support its element type or layout."""
    try:
        return function(t)
    except RuntimeError as error:
        if not isinstance(error, NotImplementedError) and not t.is_quantized:
            raise
        what = f"torch cannot copy a {spec.layout} tensor of {spec.dtype} ({printable(str(error), 120)})"
        raise NoRoute("layout", what, "convert it to a strided tensor of a common dtype first") from error


FINISH_TORCH = (
    refuse(
        "no-data",
        "the tensor has no data (meta, or uninitialised) that could be copied",
        "materialise it first: create it on a real device, torch.empty_like(t, device='cpu')",
        when=lambda s, o: (
            _reads(s, o) and ((s.shape == (None,) and "no-data" in s.flags) or (s.device == "meta" and _moves(s, o)))
        ),
    ),
    replace(EMPTY_STORAGE, when=lambda s, o: "empty-storage" in s.flags and _reads(s, o)),
    replace(UNALIGNED, when=lambda s, o: s.kind == "torch" and "unaligned" in s.flags and _reads(s, o)),
    refuse(
        "to-meta",
        "torch has no {spec.layout} tensors of {spec.dtype} on the meta device",
        "convert it to a strided tensor first: to_dense(), dequantize(), or to_padded_tensor()",
        when=lambda s, o: _to_meta(s, o) and (s.layout in {"mkldnn", "nested"} or s.dtype.startswith(QUANTISED)),
        reason="layout",
    ),
    copies(
        "move",
        "from {spec.device} to the device asked for",
        "convert on {spec.device}, or allow the move",
        when=_moves,
        reason="device",
        then=lambda s, o: replace(s, device=o.device or s.device, flags=s.flags - {"overlap"}),
        apply=lambda t, s, o: _by_torch(lambda x: x.to(o.device), t, s),
        action="move",
    ),
    copies(
        "asked",
        'copy="always"',
        when=lambda s, o: o.copy == "always",
        then=lambda s, o: replace(s, flags=s.flags - {"overlap"}),
        apply=lambda t, s, o: _by_torch(lambda x: x.clone(), t, s),
    ),
)
