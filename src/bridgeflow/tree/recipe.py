"""Recipes: a structure is studied once, and data of that structure is then read and rebuilt at the cost of a few
dictionary look-ups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bridgeflow._frames import as_table, is_foreign_table
from bridgeflow.errors import DataError, KeyNotFound, NoRoute, nearest
from bridgeflow.tree.containers import TensorDictNode, node_of
from bridgeflow.tree.keys import Keys, Segment, as_key, parse_key, place
from bridgeflow.tree.nodes import Beside, Child, DictNode, IsArray, Leaf, Node, Only, RootNode

__all__ = ["Recipe", "compile_recipe", "leaves_of", "map_leaves", "open_tables"]


class Recipe:
    """How to take the selected leaves out of data of one structure, and how to put others in.

    Args:
        root: the structure.
        places: names of the selected leaves, in the order in which `take` yields and `put` expects them.
    """

    __slots__ = ("_root", "places", "put", "take")

    take: Callable[[Any], list[Any] | None]
    """The selected leaves, or `None` where the data has another structure than that of the recipe."""

    put: Callable[[Any, Sequence[Any]], Any]
    """The same data with other selected leaves. The input is not changed."""

    def __init__(self, root: Node, places: tuple[str, ...]) -> None:
        self._root = root
        self.places = places
        self.take, self.put = self._take, self._put
        if isinstance(root, DictNode) and not isinstance(root, TensorDictNode) and not root.nodes:
            self.take = root.flat_take()
            self.put = root.flat_put() if type(root) is DictNode else self._put

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
        return isinstance(self._root, RootNode)


_Active = tuple[int, tuple[Segment, ...]]
"""A key on its way: its number, and the segments still to match. None left: it selects what it has reached."""


class _Compiler:
    """One walk over the data, carrying the keys that are on the way to a match."""

    def __init__(self, is_array: IsArray, keys: Keys) -> None:
        self.is_array = is_array
        self.keys = (keys,) if isinstance(keys, str) else tuple(keys or ())
        self.everything = keys is None
        self.first_match: dict[int, tuple[object, ...]] = {}  # where a key matched first
        self.arrays: set[int] = set()  # keys that have selected an array
        self.paths: list[tuple[object, ...]] = []  # of the selected leaves

    def root(self, data: object) -> Node:
        active = list(_closure([(number, parse_key(key)) for number, key in enumerate(self.keys)]))
        owners = self.matched(active, (), frozenset())
        node = node_of(data, (), self.is_array)
        if node is None:
            node = RootNode(data, ())
            node.settle([self.leaf(data, None, (), owners, frozenset())], [], None)
        else:
            self.container(node, data, active, owners)
        return node

    def matched(self, active: list[_Active], path: tuple[object, ...], owners: frozenset[int]) -> frozenset[int]:
        """The keys that select this place: those that end here, and those of the containers around it."""
        ended = frozenset(number for number, rest in active if not rest)
        for number in ended:
            self.first_match.setdefault(number, path)
        return owners | ended

    def container(self, node: Node, data: object, active: list[_Active], owners: frozenset[int]) -> None:
        whole = self.everything or bool(owners)
        open_ended = whole or any(rest and not rest[0].literal for _, rest in active)
        leaves: list[Leaf] = []
        nodes: list[Child] = []
        size = 0
        for step, child in node.children(data):
            size += 1
            going = list(_closure(_advance(active, step)))
            if not (going or open_ended):
                continue
            here = (*node.path, step)
            owned = self.matched(going, here, owners)
            inner = node_of(child, here, self.is_array)
            if inner is None:
                leaves.append(self.leaf(child, step, here, owned, owners))
            else:
                self.container(inner, child, going, owned)
                nodes.append(Child(step, inner))
        node.settle(leaves, nodes, size if open_ended else None)

    def leaf(
        self, value: object, step: object, path: tuple[object, ...], owned: frozenset[int], inherited: frozenset[int]
    ) -> Leaf:
        """A selected array, or a leaf that is passed on: an error if a key names it rather than what is around it."""
        if self.is_array(value) and (self.everything or owned):
            self.arrays |= owned
            self.paths.append(path)
            return Leaf(step, type(value), len(self.paths) - 1)
        for number in owned - inherited:
            what = f"keys={self.keys[number]!r} selects a {type(value).__name__}, which is not an array"
            raise NoRoute("unknown", what, "leave it out of keys", place=place(path))
        return Leaf(step, type(value), -1)

    def check(self, data: object) -> None:
        """Every key has matched, and has selected an array."""
        for number, key in enumerate(self.keys):
            if number not in self.first_match:
                keys = [as_key(path) for path in _paths(data, (), self.is_array)]
                raise KeyNotFound(f"keys: {key!r} matches nothing in the data; {nearest(key, keys)}")
            if number not in self.arrays:
                what = f"keys={key!r} selects a container without any array in it"
                raise NoRoute("unknown", what, "leave it out of keys", place=place(self.first_match[number]))


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
    node = node_of(data, path, is_array)
    for step, child in node.children(data) if node else ():
        yield (*path, step)
        yield from _paths(child, (*path, step), is_array)


def compile_recipe(data: object, is_array: IsArray, keys: Keys = None) -> tuple[Recipe, list[Any]]:
    """Study the structure of `data`: the recipe for it, and its selected leaves.

    Args:
        data: any nesting of containers.
        is_array: says which leaves are arrays; the others are never selected.
        keys: paths of what to select; `None` selects every array.

    Raises:
        KeyNotFound: a key matches no place.
        NoRoute: a key matches something that neither is an array nor holds one.
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
    recipe, tables = compile_recipe(data, is_foreign_table)
    return recipe.put(data, [as_table(table) for table in tables]) if tables else data
