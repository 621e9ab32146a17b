"""What the transforms over the bridge have in common: their fields are the options of one bridge function."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

from bridgeflow.bridge import route
from bridgeflow.bridge.rules import Target, parse_options
from bridgeflow.policy import parse_copy
from bridgeflow.spec import ArraySpec, Exchange
from bridgeflow.transforms.base import LeafTransform

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["CrossingTransform"]

_Array = TypeVar("_Array")
"""What arrays become."""

_LISTS = ("list", "large_list", "list_view", "large_list_view", "jagged", "nested")


@dataclass(frozen=True, kw_only=True)
class CrossingTransform(LeafTransform, Generic[_Array]):
    """A bridge function as a transform; the fields of a subclass, `keys` aside, are the options of the function."""

    if TYPE_CHECKING:

        @overload
        def __call__(self, data: np.ndarray[Any, Any] | torch.Tensor, /) -> _Array: ...
        @overload
        def __call__(self, data: dict[str, Any], /) -> dict[str, Any]: ...
        @overload
        def __call__(self, data: Any, /, *more: Any) -> Any: ...
        def __call__(self, data: Any, /, *more: Any) -> Any: ...

    pointwise: ClassVar[bool] = True
    reads_only: ClassVar[bool] = True
    target: ClassVar[Target]
    convert: ClassVar[Callable[..., Any]]

    def __post_init__(self) -> None:
        if hasattr(self, "copy"):
            object.__setattr__(self, "copy", parse_copy(self.copy))
        parse_options(**{name: value for name, value in self._options.items() if name != "device"})

    @property
    def _options(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "keys"}

    @cached_property
    def _call(self) -> Callable[[Any], Any]:
        """The bridge function with those options alone that are not its defaults: it knows its defaults best."""
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        changed = {name: value for name, value in self._options.items() if value != defaults[name]}
        return partial(type(self).convert, **changed) if changed else type(self).convert

    def apply(self, x: Any) -> Any:
        """The crossing of one array."""
        return self._call(x)

    def leaf_function(self) -> Callable[[Any], Any]:
        """The bridge function itself."""
        return self._call

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """What the table of routes promises."""
        return route(spec, self.target, **self._options).target

    def exchanges(self, spec: ArraySpec) -> tuple[Exchange, ...]:
        """What the table of routes says will happen."""
        return (route(spec, self.target, **self._options).exchange(),)

    def beside_specs(self, spec: ArraySpec) -> Mapping[str, ArraySpec]:
        """A mask and lengths, where asked for."""
        result = self.out_spec(spec)
        beside = {}
        if getattr(self, "ragged", None) == "pad" and spec.layout in _LISTS:
            beside["length"] = result.fresh(dtype="int64", shape=result.shape[:1])
        if getattr(self, "nulls", None) == "mask" and (spec.kind == "arrow" or "masked" in spec.flags):
            beside["mask"] = result.fresh(dtype="bool")
        return beside

    @property
    def stream_obstacle(self) -> str:
        """Padding needs to see all rows."""
        if getattr(self, "ragged", None) == "pad":
            return f'{type(self).__name__}(ragged="pad") pads to the longest row, which a chunk does not know'
        return ""
