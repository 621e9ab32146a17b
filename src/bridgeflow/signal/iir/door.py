"""Between the public functions and the engines: which engine, the data as it wants them, and the way back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow.bridge import kind_of, like, to_numpy, to_tensor
from bridgeflow.errors import DataError
from bridgeflow.signal._arrays import Opened, as_ndarray, differentiates, open_array
from bridgeflow.signal.iir.engine import EngineName, Pass, choose, result_dtype

__all__ = ["Door"]


class Door(NamedTuple):
    """One call's data, as its engine wants them.

    Args:
        engine: which.
        values: an ndarray, or a tensor for `"blocks"`; only to be read.
        source: what the caller gave.
    """

    engine: EngineName
    values: Any
    source: Any

    @classmethod
    def open(cls, x: Any, asked: str | None, *, what: str, also: Any = None) -> Door:
        """Choose the engine and hand it the data.

        Args:
            x: the data, any array.
            asked: the engine that the caller wants, or `None`.
            what: the function on whose behalf, for errors.
            also: a state; if it is complex, real data become complex.
        """
        if kind_of(x) == "torch":
            dtype = str(x.dtype).removeprefix("torch.")
            engine = choose(asked, dtype, device=x.device.type, grad=differentiates(x) or differentiates(also))
            values = x if engine == "blocks" else open_array(x, what=what).values
        else:
            values = open_array(x, what=what).values
            engine = choose(asked, values.dtype.name)
            if engine == "blocks":
                values = to_tensor(values, writable=False)
        if also is not None and _is_complex(also) and not _is_complex(values):
            values = values + 0j
        return cls(engine, values, x)

    def state(self, zi: Any, settings: Pass) -> Any:
        """A state from the caller, in the dtype of the recursion, where the engine wants it."""
        if self.engine == "blocks":
            torch = loaded("torch")
            assert torch is not None
            dtype = torch.promote_types(
                torch.complex64 if self.values.is_complex() else torch.float32, getattr(torch, settings.precision)
            )
            return to_tensor(zi, device=self.values.device, writable=False).to(dtype)
        return as_ndarray(zi).astype(settings.work_dtype(self.values.dtype), copy=False)

    def target(self, out: Any) -> Any:
        """The caller's `out` as the engine writes into it."""
        target = out if self.engine == "blocks" or kind_of(out) == "numpy" else to_numpy(out, copy="never")
        if kind_of(target) not in {"numpy", "torch"} or (kind_of(target) == "torch") != (self.engine == "blocks"):
            wanted_kind = "tensor" if self.engine == "blocks" else "ndarray or CPU tensor"
            raise DataError(f"out must be a {wanted_kind}, got {type(out).__name__}")
        if tuple(target.shape) != tuple(self.values.shape):
            raise DataError(f"out must have the shape of x, {tuple(self.values.shape)}, got {tuple(target.shape)}")
        if self.engine != "blocks":
            wanted = result_dtype(self.values.dtype)
            if target.dtype != wanted or not target.flags.writeable:
                raise DataError(
                    f"out must be writable and {wanted}, got {target.dtype}, writeable={target.flags.writeable}"
                )
        return target

    def close(self, y: Any) -> Any:
        """A result as the kind that came in."""
        if self.engine != "blocks":
            return Opened(self.values, self.source).close(y)
        return y if kind_of(self.source) == "torch" else Opened(self.values, self.source).close(to_numpy(y))

    def close_state(self, zf: Any) -> Any:
        """A state: a tensor beside a tensor, else an ndarray."""
        if kind_of(self.source) == "torch":
            return like(zf, self.source) if self.engine != "blocks" else zf
        return zf if self.engine != "blocks" else to_numpy(zf)


def _is_complex(x: Any) -> bool:
    return bool(x.is_complex() if kind_of(x) == "torch" else np.iscomplexobj(x))
