"""The nodes of a structure: how the leaves of a container are taken out, and how others are put in.

A container is copied with other leaves in it, never constructed again: attributes stay, and neither `__init__` nor
`__post_init__` runs.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from bridgeflow.errors import DataError, at_place
from bridgeflow.tree.keys import place

__all__ = [
    "ABSENT",
    "Beside",
    "Child",
    "CopiedMapping",
    "DictNode",
    "IsArray",
    "Leaf",
    "ListNode",
    "NamedTupleNode",
    "Node",
    "Only",
    "OtherMapping",
    "RootNode",
    "TupleNode",
]

IsArray = Callable[[object], bool]

Beside = Mapping[int, Mapping[str, object]]
"""For the leaf of some index: values that belong next to it, by suffix (`{0: {"mask": mask}}` adds `<key>_mask`)."""


class _Absent:
    """The class of what is missing; no leaf has it, so every guard fails on it."""


ABSENT = _Absent()
"""What is taken where data has another structure."""


class Only(NamedTuple):
    """The cheapest recipe, for data of which one leaf alone matters: `take` it (or get `ABSENT`), and `put` another."""

    take: Callable[[Any], Any]
    put: Callable[[Any, Any], Any]


class Leaf(NamedTuple):
    """A child that is a leaf: its step, its class, and its slot among the selected leaves (-1: not one of them)."""

    step: Any
    cls: type
    slot: int


class Child(NamedTuple):
    """A child that is a container of interest."""

    step: Any
    node: Node


class Node(ABC):
    """One container of a structure.

    `size` is its number of children where another child would change the selection, else `None`. `leaves` and `nodes`
    hold the children that matter: selected, holding something selected, or able to become so.
    """

    __slots__ = ("changed", "cls", "leaves", "nodes", "path", "size", "written")

    size: int | None
    leaves: tuple[tuple[Any, type, int], ...]  # plain, because they are taken apart at every call
    nodes: tuple[Child, ...]
    written: tuple[tuple[Any, int], ...]  # the selected leaves: step and slot
    changed: tuple[Child, ...]  # the containers with a selected leaf below

    def __init__(self, data: object, path: tuple[object, ...]) -> None:
        self.cls: Any = type(data)
        self.path = path

    def settle(self, leaves: list[Leaf], children: list[Child], size: int | None) -> None:
        """Set what was learnt of the children."""
        self.size = size
        self.leaves = tuple((leaf.step, leaf.cls, leaf.slot) for leaf in leaves)
        self.nodes = tuple(children)
        self.written = tuple((leaf.step, leaf.slot) for leaf in leaves if leaf.slot >= 0)
        self.changed = tuple(child for child in children if child.node.touched)

    @property
    def touched(self) -> bool:
        """Whether a selected leaf is below."""
        return bool(self.written or self.changed)

    @abstractmethod
    def children(self, data: Any) -> Iterator[tuple[Any, object]]:
        """The children by step, in order."""

    @abstractmethod
    def take(self, data: Any, out: list[Any]) -> bool:
        """Write the selected leaves below into `out`; False as soon as the data has another structure."""

    @abstractmethod
    def put(self, data: Any, values: Sequence[Any], beside: Beside) -> Any:
        """The same container with the selected leaves replaced; containers without one are passed on as they are."""

    def only_leaf(self) -> Only | None:
        """How the one child that matters is taken and put, if there is one alone, and it is a leaf."""
        return None

    def _take(self, get: Callable[[Any, Any], Any], out: list[Any]) -> bool:
        """`take` of the children that `get(step, default)` gives."""
        for step, cls, index in self.leaves:
            value = get(step, ABSENT)
            if type(value) is not cls:
                return False
            if index >= 0:
                out[index] = value
        return not self.nodes or all(child.take(get(step, ABSENT), out) for step, child in self.nodes)

    def _new(self, data: Any, values: Sequence[Any], beside: Beside) -> Iterator[tuple[Any, Any]]:
        for step, index in self.written:
            yield step, values[index]
        for child in self.changed:
            yield child.step, child.node.put(self._child(data, child.step), values, beside)

    def _child(self, data: Any, step: Any) -> Any:
        return data[step]

    def _added(self, data: Any, beside: Beside) -> Iterator[tuple[str, object]]:
        for step, slot in self.written:
            for suffix, value in beside.get(slot, {}).items():
                key = f"{step}_{suffix}"
                if not isinstance(step, str):
                    raise self._no_room(step, f"cannot add {key!r} beside it: its key is not a string")
                if self._has(data, key):
                    raise self._no_room(step, f"cannot add {key!r} beside it: the key is there already")
                yield key, value

    def _has(self, data: Any, key: str) -> bool:
        return key in data

    def _refuse_added(self, beside: Beside) -> None:
        for step, slot in self.written:
            for suffix in beside.get(slot, ()):
                around = self.cls.__name__
                raise self._no_room(step, f"'<key>_{suffix}' needs a dict to be added to, and this is in a {around}")

    def _no_room(self, step: object, message: str) -> DataError:
        return at_place(DataError(message), place((*self.path, step)))

    def _rebuild(self, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            message = f"cannot build another {self.cls.__name__} with new contents ({reason})"
            raise at_place(DataError(message), place(self.path)) from error


class DictNode(Node):
    """`dict`, `OrderedDict`, `defaultdict`: copied by their own method, which keeps order and default factory."""

    __slots__ = ()

    def children(self, data: Any) -> Iterator[tuple[Any, object]]:
        yield from data.items()

    def take(self, data: Any, out: list[Any]) -> bool:
        if type(data) is not self.cls or (self.size is not None and len(data) != self.size):
            return False
        return self._take(data.get, out)

    def put(self, data: Any, values: Sequence[Any], beside: Beside) -> Any:
        new = self._copied(data)
        for step, index in self.written:
            new[step] = values[index]
        for step, child in self.changed:
            new[step] = child.put(data[step], values, beside)
        if beside:
            for key, value in self._added(data, beside):
                new[key] = value
        return new

    def _copied(self, data: Any) -> Any:
        return data.copy()

    def flat_take(self) -> Callable[[Any], list[Any] | None]:
        """`take` as one function, for a dict without containers in it: the sample that most datasets yield."""
        cls, size, leaves = self.cls, self.size, self.leaves

        def take(data: Any) -> list[Any] | None:
            if type(data) is not cls or (size is not None and len(data) != size):
                return None
            get = data.get
            out = []
            for step, kind, slot in leaves:
                value = get(step, ABSENT)
                if type(value) is not kind:
                    return None
                if slot >= 0:
                    out.append(value)
            return out

        return take

    def flat_put(self) -> Callable[[Any, Sequence[Any]], Any]:
        """`put` as one function, for the same dicts."""
        written = self.written

        def put(data: Any, values: Sequence[Any]) -> Any:
            new = data.copy()
            for step, slot in written:
                new[step] = values[slot]
            return new

        return put

    def only_leaf(self) -> Only | None:
        """How the one child that matters is taken and put, if there is one alone, and it is a leaf."""
        if self.nodes or self.size is not None or len(self.leaves) != 1 or type(self) is not DictNode:
            return None
        cls, ((step, kind, _),) = self.cls, self.leaves

        def take(data: Any) -> Any:
            if type(data) is cls:
                value = data.get(step)
                if type(value) is kind:
                    return value
            return ABSENT

        def put(data: Any, value: Any) -> Any:
            new = data.copy()
            new[step] = value
            return new

        return Only(take, put)


class CopiedMapping(DictNode):
    """A dict subclass, or a mapping that says how it is copied (`UserDict`, `BatchEncoding`): attributes stay."""

    __slots__ = ()

    def _copied(self, data: Any) -> Any:
        return self._rebuild(lambda: copy.copy(data))


class OtherMapping(DictNode):
    """Any other mapping (`MappingProxyType`, a frozen dict), built from a dict: a plain copy might share its inside."""

    __slots__ = ()

    def put(self, data: Any, values: Sequence[Any], beside: Beside) -> Any:
        new = {**data, **dict(self._new(data, values, beside)), **dict(self._added(data, beside))}
        return self._rebuild(lambda: self.cls(new))


class ListNode(Node):
    """`list`, and its subclasses copied shallowly."""

    __slots__ = ()

    def children(self, data: Any) -> Iterator[tuple[Any, object]]:
        yield from enumerate(data)

    def take(self, data: Any, out: list[Any]) -> bool:
        if type(data) is not self.cls:
            return False
        length = len(data)
        if self.size is not None and length != self.size:
            return False
        for step, cls, index in self.leaves:
            if step >= length or type(data[step]) is not cls:
                return False
            if index >= 0:
                out[index] = data[step]
        return all(step < length and child.take(data[step], out) for step, child in self.nodes)

    def put(self, data: Any, values: Sequence[Any], beside: Beside) -> Any:
        if beside:
            self._refuse_added(beside)
        new = list(data)
        for step, value in self._new(data, values, beside):
            new[step] = value
        return self._sealed(data, new)

    def _sealed(self, data: Any, new: list[Any]) -> Any:
        if self.cls is list:
            return new
        return self._rebuild(lambda: _filled(copy.copy(data), new))


def _filled(target: list[Any], values: list[Any]) -> list[Any]:
    target[:] = values
    return target


class TupleNode(ListNode):
    """`tuple`; a namedtuple by its `_make`; another subclass (torch's `return_types`) by its constructor."""

    __slots__ = ()

    def _sealed(self, data: Any, new: list[Any]) -> Any:
        if self.cls is tuple:
            return tuple(new)
        rebuilt = self._rebuild(lambda: getattr(self.cls, "_make", self.cls)(new))
        if getattr(data, "__dict__", None):
            self._rebuild(lambda: vars(rebuilt).update(vars(data)))
        return rebuilt


class NamedTupleNode(TupleNode):
    """A namedtuple: its children have names, in keys and in places."""

    __slots__ = ()

    def children(self, data: Any) -> Iterator[tuple[Any, object]]:
        yield from zip(data._fields, data, strict=True)

    def take(self, data: Any, out: list[Any]) -> bool:
        if type(data) is not self.cls:
            return False
        return self._take(partial(getattr, data), out)

    def put(self, data: Any, values: Sequence[Any], beside: Beside) -> Any:
        if beside:
            self._refuse_added(beside)
        new = dict(zip(data._fields, data, strict=True))
        new.update(self._new(data, values, beside))
        return self._sealed(data, list(new.values()))

    def _child(self, data: Any, step: Any) -> Any:
        return getattr(data, step)


class RootNode(Node):
    """Data that is one leaf."""

    __slots__ = ()

    def children(self, data: Any) -> Iterator[tuple[Any, object]]:
        return iter(())

    def take(self, data: Any, out: list[Any]) -> bool:
        if type(data) is not self.cls:
            return False
        if self.written:
            out[0] = data
        return True

    def only_leaf(self) -> Only | None:
        """The data itself."""
        if not self.written:
            return None
        cls = self.cls
        return Only(lambda data: data if type(data) is cls else ABSENT, lambda data, value: value)

    def put(self, data: Any, values: Sequence[Any], beside: Beside) -> Any:
        if not self.written:
            return data
        if beside:
            self._refuse_added(beside)
        return values[0]
