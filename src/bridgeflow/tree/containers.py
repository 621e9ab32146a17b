"""Which node serves which container, and the nodes of dataclasses, TensorDicts and Arrow tables."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from functools import cached_property, partial
from types import MemberDescriptorType
from typing import Any

from bridgeflow._optional import loaded
from bridgeflow.errors import DataError, at_place
from bridgeflow.tree.keys import place
from bridgeflow.tree.nodes import (
    ABSENT,
    Beside,
    CopiedMapping,
    DictNode,
    IsArray,
    ListNode,
    NamedTupleNode,
    Node,
    OtherMapping,
    TupleNode,
)

__all__ = [
    "TensorDictNode",
    "is_container",
    "is_table",
    "node_of",
]


class TensorDictNode(DictNode):
    """A TensorDict, or an instance of a tensorclass: its length is that of its batch, and it holds tensors alone."""

    __slots__ = ()

    def children(self, data: Any) -> Iterator[tuple[Any, object]]:
        for key in list(data.keys()):
            yield key, data.get(key)

    def take(self, data: Any, out: list[Any]) -> bool:
        if type(data) is not self.cls or (self.size is not None and len(list(data.keys())) != self.size):
            return False
        return self._take(data.get, out)

    def put(self, data: Any, values: Sequence[Any], beside: Beside) -> Any:
        new = self._rebuild(lambda: data.clone(recurse=False))
        for key, value in (*self._new(data, values, beside), *self._added(data, beside)):
            if not hasattr(value, "batch_size") and not isinstance(value, loaded("torch").Tensor):  # type: ignore[union-attr]
                what = f"a {self.cls.__name__} holds tensors alone, not a {type(value).__name__}; call .to_dict() first"
                raise self._no_room(key, what)
            self._rebuild(partial(new.set, key, value))
        return new

    def _child(self, data: Any, step: Any) -> Any:
        return data.get(step)

    def _has(self, data: Any, key: str) -> bool:
        return key in list(data.keys())


class _Dataclass(NamedTupleNode):
    """A dataclass instance, frozen or not. Every field that is set is a child, also one with `init=False`."""

    __slots__ = ()

    def children(self, data: Any) -> Iterator[tuple[Any, object]]:
        for field in dataclasses.fields(data):
            value = getattr(data, field.name, ABSENT)
            if value is not ABSENT:
                yield field.name, value

    def put(self, data: Any, values: Sequence[Any], beside: Beside) -> Any:
        if beside:
            self._refuse_added(beside)
        new = self._rebuild(lambda: _copied_object(data))
        for step, value in self._new(data, values, beside):
            self._rebuild(partial(object.__setattr__, new, step, value))
        return new


def _copied_object(data: Any) -> Any:
    """Another object of the class with the same attributes, without running any method of the class.

    What a `cached_property` has worked out is left out: it may follow from an array that is about to be replaced.
    """
    cls = type(data)
    new = object.__new__(cls)
    cached = {name for base in cls.__mro__ for name, value in vars(base).items() if isinstance(value, cached_property)}
    if hasattr(data, "__dict__"):
        vars(new).update((name, value) for name, value in vars(data).items() if name not in cached)
    for base in cls.__mro__:
        for slot in vars(base).values():
            if isinstance(slot, MemberDescriptorType) and (value := _slot(slot, data)) is not ABSENT:
                slot.__set__(new, value)
    return new


def _slot(slot: MemberDescriptorType, data: Any) -> Any:
    try:
        return slot.__get__(data, type(data))
    except AttributeError:
        return ABSENT


class _Table(Node):
    """An Arrow `RecordBatch` or `Table`.

    As long as all columns are Arrow arrays of one length, the result is a table again (a `RecordBatch` stays one unless
    a column came back chunked), with the schema's metadata; otherwise it is a dict of columns.
    """

    __slots__ = ()

    def children(self, data: Any) -> Iterator[tuple[Any, object]]:
        names = data.schema.names
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            message = f"the table has several columns named {', '.join(map(repr, twice))}; rename them"
            raise at_place(DataError(message), place(self.path))
        yield from zip(names, data.columns, strict=True)

    def take(self, data: Any, out: list[Any]) -> bool:
        if type(data) is not self.cls:
            return False
        names = data.schema.names
        if self.size is not None and len(names) != self.size:
            return False
        return self._take(lambda step, absent: data.column(step) if names.count(step) == 1 else absent, out)

    def put(self, data: Any, values: Sequence[Any], beside: Beside) -> Any:
        columns = dict(zip(data.schema.names, data.columns, strict=True))
        columns.update(self._new(data, values, beside))
        columns.update(self._added(data, beside))
        return self._sealed(data, columns)

    def _has(self, data: Any, key: str) -> bool:
        return key in data.schema.names

    def _sealed(self, data: Any, columns: dict[str, Any]) -> Any:
        import pyarrow as pa

        if not all(isinstance(column, (pa.Array, pa.ChunkedArray)) for column in columns.values()):
            return columns
        if len({len(column) for column in columns.values()}) > 1:
            return columns
        fields = []
        for name, column in columns.items():
            index = data.schema.get_field_index(name)
            field = data.schema.field(index) if index >= 0 else pa.field(name, column.type)
            fields.append(field.with_type(column.type).with_nullable(field.nullable or column.null_count > 0))
        schema = pa.schema(fields, metadata=data.schema.metadata)
        chunked = any(isinstance(column, pa.ChunkedArray) for column in columns.values())
        cls = pa.Table if chunked else self.cls
        return cls.from_arrays(list(columns.values()), schema=schema)


def node_of(data: object, path: tuple[object, ...], is_array: IsArray) -> Node | None:
    """The node for a container, `None` for a leaf."""
    cls = type(data)
    if cls is dict or cls is OrderedDict or cls is defaultdict:
        return None if is_array(data) else DictNode(data, path)
    if cls is list or cls is tuple:
        return None if is_array(data) else ListNode(data, path) if cls is list else TupleNode(data, path)
    if is_table(data):
        return _Table(data, path)
    if data is None or isinstance(data, (str, bytes, int, float, type)) or is_array(data):
        return None
    if _is_tensordict(data):
        return TensorDictNode(data, path)
    if isinstance(data, Mapping):
        copyable = isinstance(data, dict) or (isinstance(data, MutableMapping) and hasattr(data, "__copy__"))
        return (CopiedMapping if copyable else OtherMapping)(data, path)
    if isinstance(data, tuple):
        return (NamedTupleNode if hasattr(cls, "_fields") else TupleNode)(data, path)
    if isinstance(data, list):
        return ListNode(data, path)
    return _Dataclass(data, path) if dataclasses.is_dataclass(data) and not _is_foreign(cls) else None


def _is_tensordict(data: Any) -> bool:
    """Whether it is a TensorDict or of a tensorclass, which answers `isinstance(data, Mapping)` as it likes."""
    tensordict = loaded("tensordict")
    return tensordict is not None and (
        isinstance(data, tensordict.TensorDictBase) or bool(tensordict.is_tensorclass(data))
    )


_FOREIGN = ("zarr", "h5py", "tensordict")
"""Packages whose objects may be dataclasses by an accident of how they are written: a zarr group is not a sample."""

_DESCRIPTIONS = "bridgeflow.spec"
"""The module whose dataclasses stand for arrays and hold none: a plan looks at each of a thousand columns often."""


def _is_foreign(cls: type) -> bool:
    return cls.__module__ == _DESCRIPTIONS or cls.__module__.partition(".")[0] in _FOREIGN


def is_container(data: object, is_array: IsArray) -> bool:
    """Whether data has children rather than being a leaf."""
    return node_of(data, (), is_array) is not None


def is_table(data: object) -> bool:
    """Whether data is an Arrow `RecordBatch` or `Table`."""
    arrow = loaded("pyarrow")
    return arrow is not None and isinstance(data, (arrow.RecordBatch, arrow.Table))
