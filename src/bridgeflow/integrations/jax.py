"""JAX: arrays of any kind as JAX's, by DLPack. The other way `to_numpy`, `to_tensor` and transforms take JAX's as they
are: read-only memory, which is shared wherever the result may be read-only too. bfloat16 and float8, which NumPy lacks,
are copied on the CPU.
"""

from __future__ import annotations

from typing import Any

from bridgeflow._optional import require
from bridgeflow.bridge import describe, to_tensor
from bridgeflow.bridge.tracing import record
from bridgeflow.errors import CopyRefused, NoRoute, Reason
from bridgeflow.policy import Copy, parse_copy
from bridgeflow.spec import Exchange

__all__ = ["to_jax"]

_ALIGNMENT = 64
"""Bytes at multiples of which memory begins that JAX shares."""

_SHARED = f"JAX shares memory in C order that begins at a multiple of {_ALIGNMENT} bytes"

_WIDE = {"float64": "float32", "int64": "int32", "uint64": "uint32", "complex128": "complex64"}
"""Element types that JAX keeps only where `jax_enable_x64` is set, and what it would make of them."""


def to_jax(x: Any, *, copy: Copy | bool | None = "auto") -> Any:
    """The value as an array of JAX over the same memory wherever that can be, its dtype kept.

    JAX takes its arrays to be immutable: writing to the source afterwards is seen through it, so pass `copy="always"`
    where the source will be written to.

    Args:
        x: an ndarray, tensor or Arrow array, or whatever else `to_tensor` takes; read-only memory too.
        copy: `"auto"` shares memory in C order that begins at a multiple of 64 bytes, and copies all other; `"never"`
            shares or raises; `"always"` gives memory of its own.

    Raises:
        NoRoute: 64-bit numbers while `jax_enable_x64` is not set, which JAX would round to 32 bits without a word;
            nulls, text and what else torch lacks.
        CopyRefused: `copy="never"`, and memory cannot be shared.
        MissingDependency: JAX is not installed.
    """
    jax = require("jax", needed_for="bridgeflow.integrations.jax")
    policy = parse_copy(copy)
    if isinstance(x, jax.Array):
        return jax.numpy.array(x, copy=True) if policy == "always" else x
    tensor = to_tensor(x, copy="never" if policy == "never" else "auto", writable=False).detach().resolve_conj()
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype in _WIDE and not jax.config.jax_enable_x64:
        raise NoRoute(
            "dtype",
            f"JAX makes {_WIDE[dtype]} of {dtype} unless told otherwise",
            f"jax.config.update('jax_enable_x64', True), or Cast(dtype='{_WIDE[dtype]}') first",
        )
    is_shared = tensor.is_contiguous() and tensor.data_ptr() % _ALIGNMENT == 0
    if policy == "never" and not is_shared:
        reason: Reason = "unaligned" if tensor.is_contiguous() else "non-contiguous"
        raise CopyRefused(reason, f'copy="never", but {_SHARED}', 'pass copy="auto"')
    copies = policy == "always" or not is_shared
    if copies:  # into memory of JAX's own, whatever the strides
        result = jax.numpy.array(jax.dlpack.from_dlpack(tensor.contiguous()), copy=True)
    else:
        result = jax.dlpack.from_dlpack(tensor)
    why: Reason = "asked" if policy == "always" else "unaligned" if tensor.is_contiguous() else "non-contiguous"
    detail = "memory of its own was asked for" if policy == "always" else _SHARED
    record(
        Exchange(
            source=describe(tensor),
            target=describe(result),
            action="copy" if copies else "view",
            nbytes=int(result.nbytes) if copies else 0,
            reason=why if copies else None,
            detail=detail if copies else "",
        )
    )
    return result
