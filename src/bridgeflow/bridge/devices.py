"""Devices by torch's names: parsed in one place, and refused by name where this machine lacks them."""

from __future__ import annotations

from typing import Any

from bridgeflow._optional import require
from bridgeflow.errors import ConfigError, NoRoute

__all__ = ["available_device", "parse_device"]


def parse_device(device: Any) -> str:
    """torch's spelling of a device of this machine, with its number where that kind of device has one.

    Raises:
        ConfigError: torch knows no such device; a ValueError.
        NoRoute: this machine lacks it.

    >>> parse_device("cpu")
    'cpu'
    """
    torch = require("torch", needed_for="a device")
    try:
        parsed = torch.device(device)
    except (RuntimeError, TypeError, ValueError, OverflowError, UserWarning) as error:
        problem = f'device must be one that torch knows ("cpu", "cuda:0"), got {device!r}'
        raise ConfigError(problem, field="device") from error
    return str(available_device(torch, parsed, str(device)))


def available_device(torch: Any, device: Any, name: str) -> Any:
    """The device with its number, if this machine has it.

    Args:
        torch: the module.
        device: a `torch.device`.
        name: as the caller wrote it.

    Raises:
        NoRoute: this machine lacks it.
    """
    if device.type == "cuda":
        count = torch.cuda.device_count()
        index = device.index if device.index is not None else torch.cuda.current_device() if count else 0
        if not 0 <= index < count:
            raise _absent(f"there is no {name}: torch sees {count} CUDA devices")
        return torch.device("cuda", index)
    if device.index is not None and not name.endswith(f":{device.index}"):
        raise _absent(f"there is no {name}: torch does not count so far")  # cpu:99999 would become cpu:-97
    if device.type not in {"cpu", "meta"}:
        try:
            torch.empty(0, device=device)
        except Exception as error:  # RuntimeError, AssertionError, NotImplementedError, ImportError: by device
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise _absent(f"there is no {name} for this torch ({reason[:80]})") from None
    return device


def _absent(problem: str) -> NoRoute:
    error = NoRoute("device", problem, "name a device that this machine has, such as 'cpu'")
    error.field = "device"
    return error
