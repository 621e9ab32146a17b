"""ToDevice: tensors to another device."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from bridgeflow._optional import require
from bridgeflow.bridge import Route, describe, kind_of, route
from bridgeflow.bridge.devices import available_device
from bridgeflow.bridge.tracing import ACTIVE, record
from bridgeflow.errors import ConfigError, NoRoute
from bridgeflow.spec import ArraySpec, Exchange
from bridgeflow.transforms.base import SameKindTransform
from bridgeflow.transforms.registry import register

__all__ = ["ToDevice"]


@register
@dataclass(frozen=True, kw_only=True)
class ToDevice(SameKindTransform):
    """Tensors on another device; those that are there already stay the objects they are.

    The graph of a tensor that requires grad is kept. Arrays of other kinds have no device: put `ToTensor` before.

    Args:
        keys: paths of the tensors to move; `None` for all arrays.
        device: torch's name: `"cpu"`, `"cuda"`, `"cuda:1"`, `"meta"` (shape and dtype alone).
        non_blocking: let the host go on while a copy between pinned memory and a GPU is under way. Work queued on the
            same stream waits for it by itself; on the way to the CPU, call `torch.cuda.synchronize()` before reading.

    Raises:
        NoRoute: not a tensor; a meta tensor, which has no data to move; a device that this machine lacks.

    >>> import torch
    >>> ToDevice(device="meta")({"ecg": torch.zeros(2, 100)})["ecg"].device
    device(type='meta')
    """

    pointwise: ClassVar[bool] = True
    reads_only: ClassVar[bool] = True

    device: str
    non_blocking: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z]+(:\d+)?", str(self.device)):  # a number too may have come
            raise ConfigError(
                f"ToDevice: device must be a name such as 'cpu', 'cuda:0' or 'meta', got {self.device!r}",
                field="device",
            )

    def apply(self, x: Any) -> Any:
        """The tensor on the device."""
        if kind_of(x) != "torch":
            raise _no_device(kind_of(x))
        torch = require("torch", needed_for="ToDevice")
        target = _checked(torch, self.device)
        if x.is_meta and target.type != "meta":
            raise _no_data()
        moved = x.to(target, non_blocking=self.non_blocking)
        if ACTIVE and moved is not x:
            record(self.exchanges(describe(x))[0])
        return moved

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """The same on the device."""
        return self._route(spec).target

    def exchanges(self, spec: ArraySpec) -> tuple[Exchange, ...]:
        """A move, or a view where the tensor is there already."""
        return (self._route(spec).exchange(),)

    def _route(self, spec: ArraySpec) -> Route:
        if spec.kind != "torch":
            raise _no_device(spec.kind)
        target = _checked(require("torch", needed_for="ToDevice"), self.device)
        if spec.device == "meta" and target.type != "meta":
            raise _no_data()
        return route(spec, "torch", device=str(target))


def _checked(torch: Any, name: str) -> Any:
    """The device with its number, if this machine has it."""
    try:
        device = torch.device(name)
    except (RuntimeError, UserWarning) as error:
        unknown = NoRoute("device", f"torch knows no device {name!r} ({error})", "name one that it knows")
        unknown.field = "device"
        raise unknown from None
    return available_device(torch, device, name)


def _no_device(kind: str | None) -> NoRoute:
    return NoRoute("device", f"values of kind {kind} have no device to move to", "put ToTensor before ToDevice")


def _no_data() -> NoRoute:
    return NoRoute("no-data", "a meta tensor has no data to move", "make the tensor on the device itself")
