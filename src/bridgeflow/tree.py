"""Nested data: which leaves it has, where they are, and how to put new ones in their place.

Containers are dicts and other mappings, lists, tuples, namedtuples, dataclass instances, TensorDicts, and Arrow tables
(whose columns are the children). Everything else is a leaf: instances of attrs classes and of pydantic models too, and
what the caller's `is_array` claims, be it a list or a dataclass. This module never looks at a leaf: `is_array` says
which leaves count, so nothing here knows of NumPy or torch.

A container is copied with other leaves in it, never constructed again: attributes stay, and neither `__init__` nor
`__post_init__` runs.

A structure is studied once: `compile_recipe` gives a `Recipe`, which then recognises data of that structure, takes the
selected leaves out and puts new ones in at the cost of a few dictionary look-ups.

Places are written `$.ecg.lead[0]`. A key selects by the same language without the `$.`: `"ecg"` (everything below),
`"lead.*"`, `"lead?"`, `"lead[0]"`, `"lead[*]"`, `"**.waveform"` (at any depth), and `'["odd.name"]'` for a name with
dots or brackets in it. `"*"` alone selects every array at any depth, as `"**"` and `"$"` do.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from abc import ABC, abstractmethod
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache, partial
from types import MemberDescriptorType
from typing import Any, NamedTuple

from bridgeflow._optional import loaded
from bridgeflow.errors import DataError, KeyNotFound, NoRoute, at_place, nearest

__all__ = [
    "ABSENT",
    "Beside",
    "Keys",
    "Only",
    "Recipe",
    "compile_recipe",
    "is_container",
    "leaves_of",
    "map_leaves",
    "open_tables",
    "parse_keys",
]

IsArray = Callable[[object], bool]
Keys = str | Sequence[str] | None
Beside = Mapping[int, Mapping[str, object]]
"""For the leaf of some index: values that belong next to it, by suffix (`{0: {"mask": mask}}` adds `<key>_mask`)."""


# --- places and keys --------------------------------------------------------------------------------------------------


_SIMPLE = re.compile(r"[^\W\d][\w-]*")
_TOKEN = re.compile(
    r"""\.?(?P<name>[^.\[\]]+) | \[(?P<index>\d+|\*)\] | \[(?P<json>"(?:[^"\\]|\\.)*")\] | \['(?P<quoted>[^']*)'\]""",
    re.VERBOSE | re.DOTALL,
)


class Segment(NamedTuple):
    """One step of a key, of kind `name` (may hold wildcards), `exact` (quoted), `index` (or `*`), or `deep` (`**`)."""

    kind: str
    text: str

    @property
    def literal(self) -> bool:
        """Whether it can match one child alone."""
        return self.kind == "exact" or (self.kind != "deep" and not set(self.text) & {"*", "?"})

    def matches(self, step: object) -> bool:
        """Whether a child reached by `step` (a name, a number, or another dictionary key) is meant."""
        if self.kind == "index":
            return isinstance(step, int) and (self.text == "*" or step == int(self.text))
        if self.kind == "name" and self.text == "*":
            return True
        if not isinstance(step, str):
            return False
        return step == self.text if self.kind == "exact" else fnmatchcase(step, self.text)


def place(path: Sequence[object]) -> str:
    """A path in words.

    >>> place(["ecg", "lead", 0]), place(["odd.name"])
    ('$.ecg.lead[0]', '$["odd.name"]')
    """
    return "$" + "".join(map(_spell, path))


def _spell(step: object) -> str:
    if isinstance(step, str):
        return f".{step}" if _SIMPLE.fullmatch(step) else f"[{json.dumps(step, ensure_ascii=False)}]"
    return f"[{step!r}]"


def as_key(path: Sequence[object]) -> str:
    """The key that selects exactly this path.

    >>> as_key(["ecg", "lead", 0])
    'ecg.lead[0]'
    """
    return place(path)[1:].removeprefix(".") or "$"


@lru_cache(maxsize=1024)
def parse_key(key: str) -> tuple[Segment, ...]:
    """The segments of one key.

    >>> [segment.text for segment in parse_key("lead.*[0]")]
    ['lead', '*', '0']
    """
    text = key[1:] if key.startswith("$") else "**" if key == "*" else key
    segments, end = [], 0
    while end < len(text):
        found = _TOKEN.match(text, end)
        if found is None:
            raise ValueError(
                f"keys: {key!r} is not a path (character {end + 1}); "
                "paths look like 'ecg', 'lead.*', 'lead[0]' or '[\"odd.name\"]'"
            )
        name, index, quoted = found["name"], found["index"], found["json"]
        if name is not None:
            segments.append(Segment("deep" if name == "**" else "name", name))
        elif index is not None:
            segments.append(Segment("index", index))
        else:
            segments.append(Segment("exact", found["quoted"] if quoted is None else json.loads(quoted, strict=False)))
        end = found.end()
    if not segments and key != "$":
        raise ValueError(f"keys: {key!r} is not a path; '$' means everything, as does keys=None")
    return tuple(segments)


def parse_keys(keys: object) -> tuple[str, ...] | None:
    """`keys` as a tuple of well-formed paths, or `None`; a lone string counts as a tuple of one.

    >>> parse_keys("ecg"), parse_keys(["ecg", "lead.*"])
    (('ecg',), ('ecg', 'lead.*'))
    """
    if keys is None:
        return None
    parsed = (keys,) if isinstance(keys, str) else tuple(keys) if isinstance(keys, (list, tuple)) else None
    if not parsed or not all(isinstance(key, str) for key in parsed):
        raise ValueError(f"keys must be None or paths such as ('ecg', 'lead.*'), got {keys!r}")
    for key in parsed:
        parse_key(key)
    return parsed


# --- containers -------------------------------------------------------------------------------------------------------


class _Absent:
    """The class of what is missing; no leaf has it, so every guard fails on it."""


ABSENT = _Absent()
"""What is taken where data has another structure."""


class Only(NamedTuple):
    """The cheapest recipe, for data of which one leaf alone matters: `take` it (or get `ABSENT`), and `put` another."""

    take: Callable[[Any], Any]
    put: Callable[[Any, Any], Any]


class _Leaf(NamedTuple):
    """A child that is a leaf: its step, its class, and its slot among the selected leaves (-1: not one of them)."""

    step: Any
    cls: type
    slot: int


class _Child(NamedTuple):
    """A child that is a container of interest."""

    step: Any
    node: _Node


class _Node(ABC):
    """One container of a structure.

    `size` is its number of children where another child would change the selection, else `None`. `leaves` and `nodes`
    hold the children that matter: selected, holding something selected, or able to become so.
    """

    __slots__ = ("changed", "cls", "leaves", "nodes", "path", "size", "written")

    size: int | None
    leaves: tuple[tuple[Any, type, int], ...]  # plain, because they are taken apart at every call
    nodes: tuple[_Child, ...]
    written: tuple[tuple[Any, int], ...]  # the selected leaves: step and slot
    changed: tuple[_Child, ...]  # the containers with a selected leaf below

    def __init__(self, data: object, path: tuple[object, ...]) -> None:
        self.cls: Any = type(data)
        self.path = path

    def settle(self, leaves: list[_Leaf], children: list[_Child], size: int | None) -> None:
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


class _Dict(_Node):
    """`dict`, `OrderedDict`, `defaultdict`: copied by their own method, which keeps order and default factory."""

    __slots__ = ()

    def children(self, data: Any) -> Iterator[tuple[Any, object]]:
        yield from data.items()

    def take(self, data: Any, out: list[Any]) -> bool:
        if type(data) is not self.cls or (self.size is not None and len(data) != self.size):
            return False
        get = data.get
        for step, cls, index in self.leaves:
            value = get(step, ABSENT)
            if type(value) is not cls:
                return False
            if index >= 0:
                out[index] = value
        return all(child.take(get(step, ABSENT), out) for step, child in self.nodes) if self.nodes else True

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
        if self.nodes or self.size is not None or len(self.leaves) != 1 or type(self) is not _Dict:
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


class _CopiedMapping(_Dict):
    """A dict subclass, or a mapping that says how it is copied (`UserDict`, `BatchEncoding`): attributes stay."""

    __slots__ = ()

    def _copied(self, data: Any) -> Any:
        return self._rebuild(lambda: copy.copy(data))


class _OtherMapping(_Dict):
    """Any other mapping (`MappingProxyType`, a frozen dict), built from a dict: a plain copy might share its inside."""

    __slots__ = ()

    def put(self, data: Any, values: Sequence[Any], beside: Beside) -> Any:
        new = {**data, **dict(self._new(data, values, beside)), **dict(self._added(data, beside))}
        return self._rebuild(lambda: self.cls(new))


class _TensorDict(_Dict):
    """A TensorDict, or an instance of a tensorclass: its length is that of its batch, and it holds tensors alone."""

    __slots__ = ()

    def children(self, data: Any) -> Iterator[tuple[Any, object]]:
        for key in list(data.keys()):
            yield key, data.get(key)

    def take(self, data: Any, out: list[Any]) -> bool:
        if type(data) is not self.cls or (self.size is not None and len(list(data.keys())) != self.size):
            return False
        for step, cls, index in self.leaves:
            value = data.get(step, ABSENT)
            if type(value) is not cls:
                return False
            if index >= 0:
                out[index] = value
        return all(child.take(data.get(step, ABSENT), out) for step, child in self.nodes)

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


class _List(_Node):
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


class _Tuple(_List):
    """`tuple`; a namedtuple by its `_make`; another subclass (torch's `return_types`) by its constructor."""

    __slots__ = ()

    def _sealed(self, data: Any, new: list[Any]) -> Any:
        if self.cls is tuple:
            return tuple(new)
        made = self._rebuild(lambda: getattr(self.cls, "_make", self.cls)(new))
        if getattr(data, "__dict__", None):
            self._rebuild(lambda: vars(made).update(vars(data)))
        return made


class _NamedTuple(_Tuple):
    """A namedtuple: its children have names, in keys and in places."""

    __slots__ = ()

    def children(self, data: Any) -> Iterator[tuple[Any, object]]:
        yield from zip(data._fields, data, strict=True)

    def take(self, data: Any, out: list[Any]) -> bool:
        if type(data) is not self.cls:
            return False
        for step, cls, index in self.leaves:
            value = getattr(data, step)
            if type(value) is not cls:
                return False
            if index >= 0:
                out[index] = value
        return all(child.take(getattr(data, step), out) for step, child in self.nodes)

    def put(self, data: Any, values: Sequence[Any], beside: Beside) -> Any:
        if beside:
            self._refuse_added(beside)
        new = dict(zip(data._fields, data, strict=True))
        new.update(self._new(data, values, beside))
        return self._sealed(data, list(new.values()))

    def _child(self, data: Any, step: Any) -> Any:
        return getattr(data, step)


class _Dataclass(_NamedTuple):
    """A dataclass instance, frozen or not. Every field that is set is a child, also one with `init=False`."""

    __slots__ = ()

    def children(self, data: Any) -> Iterator[tuple[Any, object]]:
        for field in dataclasses.fields(data):
            value = getattr(data, field.name, ABSENT)
            if value is not ABSENT:
                yield field.name, value

    def take(self, data: Any, out: list[Any]) -> bool:
        if type(data) is not self.cls:
            return False
        for step, cls, index in self.leaves:
            value = getattr(data, step, ABSENT)
            if type(value) is not cls:
                return False
            if index >= 0:
                out[index] = value
        return all(child.take(getattr(data, step, ABSENT), out) for step, child in self.nodes)

    def put(self, data: Any, values: Sequence[Any], beside: Beside) -> Any:
        if beside:
            self._refuse_added(beside)
        new = self._rebuild(lambda: _copied_object(data))
        for step, value in self._new(data, values, beside):
            self._rebuild(partial(object.__setattr__, new, step, value))
        return new


def _copied_object(data: Any) -> Any:
    """Another object of the class with the same attributes, made without running any method of the class.

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


class _Table(_Node):
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
        for step, cls, index in self.leaves:
            if names.count(step) != 1:
                return False
            value = data.column(step)
            if type(value) is not cls:
                return False
            if index >= 0:
                out[index] = value
        return True

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
        made = pa.Table if chunked else self.cls
        return made.from_arrays(list(columns.values()), schema=schema)


class _Root(_Node):
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


def _container(data: object, path: tuple[object, ...], is_array: IsArray) -> _Node | None:
    """The node for a container, `None` for a leaf."""
    cls = type(data)
    if cls is dict or cls is OrderedDict or cls is defaultdict:
        return _Dict(data, path)
    if cls is list or cls is tuple:
        return None if is_array(data) else _List(data, path) if cls is list else _Tuple(data, path)
    if _is_table(data):
        return _Table(data, path)
    if data is None or isinstance(data, (str, bytes, int, float, type)) or is_array(data):
        return None
    if _is_tensordict(data):
        return _TensorDict(data, path)
    if isinstance(data, Mapping):
        copyable = isinstance(data, dict) or (isinstance(data, MutableMapping) and hasattr(data, "__copy__"))
        return (_CopiedMapping if copyable else _OtherMapping)(data, path)
    if isinstance(data, tuple):
        return (_NamedTuple if hasattr(cls, "_fields") else _Tuple)(data, path)
    if isinstance(data, list):
        return _List(data, path)
    return _Dataclass(data, path) if dataclasses.is_dataclass(data) and not _is_foreign(cls) else None


def _is_tensordict(data: Any) -> bool:
    """Whether it is a TensorDict or of a tensorclass, which answers `isinstance(data, Mapping)` as it likes."""
    tensordict = loaded("tensordict")
    return tensordict is not None and (
        isinstance(data, tensordict.TensorDictBase) or bool(tensordict.is_tensorclass(data))
    )


_FOREIGN = ("zarr", "h5py", "tensordict")
"""Packages whose objects may be dataclasses by an accident of how they are written: a zarr group is no sample."""


def _is_foreign(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in _FOREIGN


def is_container(data: object, is_array: IsArray) -> bool:
    """Whether data has children rather than being a leaf."""
    return _container(data, (), is_array) is not None


def _is_table(data: object) -> bool:
    arrow = loaded("pyarrow")
    return arrow is not None and isinstance(data, (arrow.RecordBatch, arrow.Table))


# --- recipes ----------------------------------------------------------------------------------------------------------


class Recipe:
    """How to take the selected leaves out of data of one structure, and how to put others in.

    Args:
        root: the structure.
        places: names of the selected leaves, in the order in which `take` yields and `put` expects them.
    """

    __slots__ = ("_root", "places", "put", "take")

    take: Callable[[Any], list[Any] | None]
    """The selected leaves, or `None` where the data has another structure than the recipe was made for."""

    put: Callable[[Any, Sequence[Any]], Any]
    """Data like the given one with other selected leaves. The given data is not touched."""

    def __init__(self, root: _Node, places: tuple[str, ...]) -> None:
        self._root = root
        self.places = places
        self.take, self.put = self._take, self._put
        if isinstance(root, _Dict) and not isinstance(root, _TensorDict) and not root.nodes:
            self.take = root.flat_take()
            self.put = root.flat_put() if type(root) is _Dict else self._put

    def _take(self, data: Any) -> list[Any] | None:
        out: list[Any] = [None] * len(self.places)
        return out if self._root.take(data, out) else None

    def _put(self, data: Any, values: Sequence[Any]) -> Any:
        return self._root.put(data, values, {})

    def put_beside(self, data: Any, values: Sequence[Any], beside: Beside) -> Any:
        """As `put`, with further values next to the leaves."""
        return self._root.put(data, values, beside)

    def only(self) -> Only | None:
        """The same as `take` and `put` for a single leaf, where the structure allows."""
        return self._root.only_leaf()

    @property
    def is_leaf(self) -> bool:
        """Whether the data is one leaf, so that nothing can stand beside it."""
        return isinstance(self._root, _Root)


_Active = tuple[int, tuple[Segment, ...]]
"""A key on its way: its number, and the segments still to match. None left: it selects what it has reached."""


class _Compiler:
    """One walk over the data, carrying the keys that are on the way to a match."""

    def __init__(self, is_array: IsArray, keys: Keys) -> None:
        self.is_array = is_array
        self.keys = (keys,) if isinstance(keys, str) else tuple(keys or ())
        self.everything = keys is None
        self.found: dict[int, tuple[object, ...]] = {}  # where a key matched first
        self.arrays: set[int] = set()  # keys that have selected an array
        self.paths: list[tuple[object, ...]] = []  # of the selected leaves

    def root(self, data: object) -> _Node:
        active = list(_closure([(number, parse_key(key)) for number, key in enumerate(self.keys)]))
        owners = self.matched(active, (), frozenset())
        node = _container(data, (), self.is_array)
        if node is None:
            node = _Root(data, ())
            node.settle([self.leaf(data, None, (), owners, frozenset())], [], None)
        else:
            self.container(node, data, active, owners)
        return node

    def matched(self, active: list[_Active], path: tuple[object, ...], owners: frozenset[int]) -> frozenset[int]:
        """The keys that select this place: those that end here, and those of the containers around it."""
        ended = frozenset(number for number, rest in active if not rest)
        for number in ended:
            self.found.setdefault(number, path)
        return owners | ended

    def container(self, node: _Node, data: object, active: list[_Active], owners: frozenset[int]) -> None:
        whole = self.everything or bool(owners)
        open_ended = whole or any(rest and not rest[0].literal for _, rest in active)
        leaves: list[_Leaf] = []
        nodes: list[_Child] = []
        size = 0
        for step, child in node.children(data):
            size += 1
            going = list(_closure(_advance(active, step)))
            if not (going or open_ended):
                continue
            here = (*node.path, step)
            owned = self.matched(going, here, owners)
            inner = _container(child, here, self.is_array)
            if inner is None:
                leaves.append(self.leaf(child, step, here, owned, owners))
            else:
                self.container(inner, child, going, owned)
                nodes.append(_Child(step, inner))
        node.settle(leaves, nodes, size if open_ended else None)

    def leaf(
        self, value: object, step: object, path: tuple[object, ...], owned: frozenset[int], inherited: frozenset[int]
    ) -> _Leaf:
        """A selected array, or a leaf that is passed on: an error if a key names it rather than what is around it."""
        if self.is_array(value) and (self.everything or owned):
            self.arrays |= owned
            self.paths.append(path)
            return _Leaf(step, type(value), len(self.paths) - 1)
        for number in owned - inherited:
            what = f"keys={self.keys[number]!r} selects a {type(value).__name__}, which is no array"
            raise NoRoute("unknown", what, "leave it out of keys", place=place(path))
        return _Leaf(step, type(value), -1)

    def check(self, data: object) -> None:
        """Every key has matched, and has selected an array."""
        for number, key in enumerate(self.keys):
            if number not in self.found:
                known = [as_key(path) for path in _paths(data, (), self.is_array)]
                raise KeyNotFound(f"keys: {key!r} matches nothing in the data; {nearest(key, known)}")
            if number not in self.arrays:
                what = f"keys={key!r} selects a container without any array in it"
                raise NoRoute("unknown", what, "leave it out of keys", place=place(self.found[number]))


def _closure(active: Sequence[_Active]) -> Iterator[_Active]:
    """`**` may stand for no step at all."""
    for number, rest in active:
        yield number, rest
        while rest and rest[0].kind == "deep":
            rest = rest[1:]
            yield number, rest


def _advance(active: Sequence[_Active], step: object) -> list[_Active]:
    """The keys that are still on their way after one step."""
    going = []
    for number, rest in active:
        if rest and rest[0].kind == "deep":
            going.append((number, rest))
        elif rest and rest[0].matches(step):
            going.append((number, rest[1:]))
    return going


def _paths(data: object, path: tuple[object, ...], is_array: IsArray) -> Iterator[tuple[object, ...]]:
    node = _container(data, path, is_array)
    for step, child in node.children(data) if node else ():
        yield (*path, step)
        yield from _paths(child, (*path, step), is_array)


def compile_recipe(data: object, is_array: IsArray, keys: Keys = None) -> tuple[Recipe, list[Any]]:
    """Study the structure of `data`: the recipe for it, and its selected leaves.

    Args:
        data: any nesting of containers.
        is_array: tells which leaves are arrays; the others are never selected.
        keys: paths of what to select; `None` selects every array.

    Raises:
        KeyNotFound: a key matches no place.
        NoRoute: a key matches something that is no array and holds none.
        DataError: the nesting is deeper than Python can follow, as when a container holds itself.

    >>> recipe, leaves = compile_recipe({"ecg": 1.5, "id": "a"}, lambda leaf: isinstance(leaf, float))
    >>> recipe.places, leaves, recipe.put({"ecg": 1.5, "id": "a"}, [2.5])
    (('$.ecg',), [1.5], {'ecg': 2.5, 'id': 'a'})
    """
    compiler = _Compiler(is_array, keys)
    try:
        root = compiler.root(data)
        compiler.check(data)
    except RecursionError:
        raise DataError("the data is nested deeper than Python can follow; does a container hold itself?") from None
    recipe = Recipe(root, tuple(map(place, compiler.paths)))
    leaves = recipe.take(data)
    if leaves is None:
        raise DataError(
            "the data changed while it was being read, or a container answers differently each time it is asked"
        )
    return recipe, leaves


def leaves_of(data: object, is_array: IsArray, keys: Keys = None) -> dict[str, Any]:
    """The selected leaves by place.

    >>> leaves_of({"a": [1.5, "x"], "b": 2.5}, lambda leaf: isinstance(leaf, float))
    {'$.a[0]': 1.5, '$.b': 2.5}
    """
    recipe, leaves = compile_recipe(data, is_array, keys)
    return dict(zip(recipe.places, leaves, strict=True))


def map_leaves(function: Callable[[Any], Any], data: object, is_array: IsArray, keys: Keys = None) -> Any:
    """Data of the same structure with `function` applied to every selected leaf.

    >>> map_leaves(lambda leaf: leaf * 2, (1.5, {"a": 2.5, "b": "x"}), lambda leaf: isinstance(leaf, float))
    (3.0, {'a': 5.0, 'b': 'x'})
    """
    recipe, leaves = compile_recipe(data, is_array, keys)
    return recipe.put(data, [function(leaf) for leaf in leaves])


def open_tables(data: object) -> Any:
    """The same data with foreign tables (polars, pandas, DuckDB relations, record batch readers) as `pa.Table`.

    Data without any comes back as it is. A stream that can be read once (a `RecordBatchReader`) is read here.
    """
    recipe, tables = compile_recipe(data, _is_foreign_table)
    if not tables:
        return data
    import pyarrow as pa

    return recipe.put(data, [pa.table(table) for table in tables])


def _is_foreign_table(data: object) -> bool:
    """Whether it streams Arrow and has columns: a Series or a chunked array has none."""
    if not hasattr(data, "__arrow_c_stream__") or _is_table(data) or isinstance(data, type):
        return False
    return any(hasattr(data, name) for name in ("columns", "column_names", "schema"))
