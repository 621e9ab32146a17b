"""Tensor subclasses of the sorts that users meet: functions overridden, dispatch overridden, and wrappers."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._pytree import tree_map


class Counting(torch.Tensor):
    """Overrides `__torch_function__`, as tv_tensors do; its memory is a tensor's."""

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return super().__torch_function__(function, types, args, kwargs or {})


class Dispatching(torch.Tensor):
    """Overrides `__torch_dispatch__` over memory of its own."""

    @staticmethod
    def __new__(cls, t: torch.Tensor) -> Dispatching:
        return torch.Tensor._make_subclass(cls, t)

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return function(*args, **(kwargs or {}))


class Wrapper(torch.Tensor):
    """A shape around an inner tensor, as DTensor and torchao's quantised tensors are; it has no memory."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Wrapper:
        wrapper = torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, device=inner.device)
        wrapper.inner = inner
        return wrapper

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        plain = tree_map(lambda x: x.inner if isinstance(x, Wrapper) else x, (args, kwargs or {}))
        return function(*plain[0], **plain[1])
