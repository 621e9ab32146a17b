"""Between the public functions and the engines: which engine, the data as it wants them, and the way back.

Data on the CPU that nobody watches go to an engine as ndarrays. Tensors on a device, tensors that autograd,
`torch.compile` or a functorch transform watches, and whatever asks for `engine="blocks"`, go to the torch operator as
tensors.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow.bridge import kind_of, like, to_numpy, to_tensor
from bridgeflow.errors import DataError
from bridgeflow.signal._input import Opened, as_ndarray, open_array, require_strided
from bridgeflow.signal._memory import overlaps_itself
from bridgeflow.signal.iir.engine import EngineName, Pass, choose, result_dtype

__all__ = ["Door", "is_watched"]


class Door(NamedTuple):
    """One call's data, as its engine wants them.

    Args:
        engine: which; `None` leaves it to the torch operator.
        values: an ndarray, or a tensor for the torch operator; only to be read.
        source: what the caller gave.
    """

    engine: EngineName | None
    values: Any
    source: Any

    @classmethod
    def open(cls, x: Any, asked: str | None, *, what: str, zi: Any = None, sos: Any = None) -> Door:
        """Choose the engine and hand it the data.

        Args:
            x: the data, any array.
            asked: the engine that the caller wants, or `None`.
            what: the function on whose behalf, for errors.
            zi: a state; if it is complex, real data become complex. May be watched.
            sos: sections; may be watched.
        """
        require_strided(x, what=what)
        if is_watched(x, zi, sos) or (kind_of(x) == "torch" and asked is None and x.device.type != "cpu"):
            engine = None if asked is None else choose(asked, np.dtype(np.float64))
            values = x if kind_of(x) == "torch" else to_tensor(open_array(x, what=what).values, writable=False)
        else:
            values = open_array(x, what=what).values
            engine = choose(asked, values.dtype)
            if engine == "blocks":
                values = x if kind_of(x) == "torch" else to_tensor(values, writable=False)
        if zi is not None and not _is_complex(values) and _is_complex(zi):
            values = values + 0j
        return cls(engine, values, x)

    @property
    def by_torch(self) -> bool:
        """Whether the torch operator does it."""
        return not isinstance(self.values, np.ndarray)

    def state(self, zi: Any, settings: Pass) -> Any:
        """A state from the caller, in the dtype of the recursion, where the engine wants it."""
        if self.by_torch:
            return to_tensor(zi, device=self.values.device, writable=False)
        state, work = as_ndarray(zi), settings.work_dtype(self.values.dtype)
        return state if state.dtype == work else state.astype(work)

    def target(self, out: Any) -> Any:
        """The caller's `out` as the engine writes into it."""
        in_place = self.by_torch or kind_of(out) in {"numpy", None}
        target = out if in_place else to_numpy(out, copy="never")
        if kind_of(target) not in {"numpy", "torch"} or (kind_of(target) == "torch") != self.by_torch:
            wanted_kind = "tensor" if self.by_torch else "ndarray or CPU tensor"
            raise DataError(f"out must be a {wanted_kind}, got {type(out).__name__}")
        if tuple(target.shape) != tuple(self.values.shape):
            raise DataError(f"out must have the shape of x, {tuple(self.values.shape)}, got {tuple(target.shape)}")
        if overlaps_itself(target):
            raise DataError("out must have a place of its own for each element, got memory that overlaps itself")
        if not self.by_torch:
            wanted = result_dtype(self.values.dtype)
            if target.dtype != wanted or not target.flags.writeable:
                raise DataError(
                    f"out must be writable and {wanted}, got {target.dtype}, writeable={target.flags.writeable}"
                )
        return target

    def close(self, y: Any) -> Any:
        """A result as the kind that came in."""
        if not self.by_torch:
            return Opened(self.values, self.source).close(y)
        return y if kind_of(self.source) == "torch" else Opened(self.values, self.source).close(to_numpy(y))

    def close_state(self, zf: Any) -> Any:
        """A state: a tensor beside a tensor, else an ndarray."""
        if kind_of(self.source) == "torch":
            return zf if self.by_torch else to_tensor(zf) if self.source.device.type == "cpu" else like(zf, self.source)
        return to_numpy(zf) if self.by_torch else zf


def is_watched(*values: Any) -> bool:
    """Whether a tensor among the values is watched, or holds no data."""
    torch = loaded("torch")
    if torch is None:
        return False
    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    if not tensors:
        return False
    from bridgeflow.signal.iir.torch_ops import needs_operator

    return any(needs_operator(tensor) for tensor in tensors)


def _is_complex(x: Any) -> bool:
    if isinstance(x, np.ndarray):
        return bool(x.dtype.kind == "c")
    return bool(x.is_complex() if kind_of(x) == "torch" else np.iscomplexobj(x))
