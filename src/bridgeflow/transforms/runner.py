"""Runs of leaf transforms over nested data, learnt once for each structure.

The first sample of a structure goes through stage by stage, while a `Program` is written down: which leaves each stage
takes, and of which class its results are. Data of the same structure then needs one guard, the calls themselves, and
one rebuilding of containers, however many stages there are. Every result is checked to be of the class that was seen
when learning; where it is not, the program stops after that stage and the data goes on as any other would. So a
program never changes a result, an order of calls, or an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Final, NamedTuple, Protocol, TypeVar

from bridgeflow._optional import loaded
from bridgeflow.bridge import Masked, kind_of, to_numpy
from bridgeflow.bridge.array_like import is_number_list, is_scalar_list, is_text_list, read_list
from bridgeflow.bridge.tracing import ACTIVE, at
from bridgeflow.errors import BridgeflowError, ConfigError, CopyRefused, KeyNotFound, NoRoute, StageId, at_place
from bridgeflow.policy import Copy
from bridgeflow.tree import ABSENT, Keys, Recipe, compile_recipe, is_container, leaves_of, open_tables

__all__ = [
    "READ_FIRST",
    "ArrayTransform",
    "Runner",
    "Stage",
    "is_array",
    "locate",
    "opened",
    "parts_of",
    "put_back",
    "reading_copies",
    "select",
]

_Error = TypeVar("_Error", bound=BridgeflowError)

_OPTION: Final = re.compile(r"\b(copy|grad|bfloat16|nulls|ragged|pad_value|layout|writable|device)=")
"""An option of the bridge's functions, in advice."""
READ_FIRST: Final = ("buffer", "array_like")
"""Kinds that are made ndarrays before a transform sees them."""
_PROGRAMS_KEPT: Final = 8
"""Structures remembered for each stage, the latest first: data that never looks the same must not fill the memory."""


class ArrayTransform(Protocol):
    """What a run needs of a `LeafTransform`, whose methods mean the same."""

    reads_text: ClassVar[bool]

    @property
    def keys(self) -> Keys: ...
    @property
    def along_time(self) -> bool: ...
    def leaf_function(self) -> Callable[[Any], Any]: ...


class Stage(NamedTuple):
    """A leaf transform and what it is in errors and traces (`None` outside of compositions)."""

    label: StageId | None
    transform: ArrayTransform


# Plain tuples rather than named ones: Python takes them apart several times faster, and this happens at every call.
_Call = tuple[int, Callable[[Any], Any], int, type]
"""One call of a program: stage, function, slot of the leaf, and the class that the result had when learning."""

_Program = tuple[Recipe, tuple[_Call, ...], int, bool]
"""Stages that run over one structure without rebuilding it in between: the recipe, the calls, the number of the stage
that follows, and whether results of the last stage have parts of their own."""

_Single = tuple[Callable[[Any], Any], Callable[[Any, Any], Any], tuple[_Call, ...], Recipe]
"""A program of all stages over one leaf: how it is taken, how it is put, the calls, the recipe."""


class Runner:
    """A sequence of leaf transforms, as one function of the data. Any number of threads may call it."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages = tuple(stages)
        self._count = len(self._stages)
        self._functions = tuple(stage.transform.leaf_function() for stage in stages)
        self._programs: list[tuple[_Program, ...]] = [()] * len(stages)  # by the stage they begin with
        self._single: _Single | None = None

    def __call__(self, data: Any) -> Any:
        """The data after the last stage."""
        if ACTIVE:
            return self._traced(data)
        if self._single is None:
            return self._run_from(0, data)
        take, put, calls, recipe = self._single
        value = take(data)
        if value is ABSENT:
            return self._run_from(0, data)
        number = 0
        try:
            for number, function, _, cls in calls:  # noqa: B007  read where an error is located
                value = function(value)
                if type(value) is not cls:
                    break
            else:
                return put(data, value)
        except Exception as error:
            locate(error, recipe.places[0], *self._stages[number])
            raise
        return self._run_from(number + 1, put_back(recipe, data, [value]))

    def _run_from(self, number: int, data: Any) -> Any:
        """The data after the last stage, from the given stage on.

        Programs are written for data whose arrays are arrays. What must be read first (tables of other libraries, lists
        of numbers, stored arrays) matches none, is opened, and is looked at again.
        """
        while number < self._count:
            for program in self._programs[number]:
                leaves = program[0].take(data)
                if leaves is not None:
                    break
            else:
                opened = self._opened(number, data)
                if opened is not data:
                    data = opened
                else:
                    data, number = self._learn(number, data)
                continue
            recipe, calls, end, spreads = program
            last, slot = end, 0
            try:
                for number, function, slot, cls in calls:
                    if number > last:
                        break
                    leaves[slot] = value = function(leaves[slot])
                    if type(value) is not cls:
                        last = number  # finish this stage, then let the data go on without the program
            except Exception as error:
                locate(error, recipe.places[slot], *self._stages[number])
                raise
            if last == end and not spreads:
                data = recipe.put(data, leaves)
                number = end
            else:
                data = put_back(recipe, data, leaves)
                number = min(last + 1, end)
        return data

    def _learn(self, first: int, data: Any) -> tuple[Any, int]:
        """Run stage by stage from `first` on, as far as the structure stays; remember it as a program."""
        start = data
        taken: list[tuple[int, tuple[str, ...], list[Any]]] = []
        number = first
        keeps_structure = True
        while number < len(self._stages) and keeps_structure:
            if number > first and self._opened(number, data) is not data:
                break  # the next program begins with what this stage opens
            recipe, data, values = self._one_stage(number, data)
            taken.append((number, recipe.places, values))
            keeps_structure = not any(is_container(value, is_array) for value in values)
            number += 1
        self._remember(first, start, taken, number, spreads=not keeps_structure)
        return data, number

    def _opened(self, number: int, data: Any) -> Any:
        label, transform = self._stages[number]
        return opened(data, transform, label)

    def _one_stage(self, number: int, data: Any) -> tuple[Recipe, Any, list[Any]]:
        label, transform = self._stages[number]
        function = self._functions[number]
        recipe, leaves = select(data, transform, label)
        values: list[Any] = []
        try:
            values.extend(map(function, leaves))
        except Exception as error:
            locate(error, recipe.places[len(values)], label, transform)
            raise
        return recipe, put_back(recipe, data, list(values)), values

    def _remember(
        self, first: int, data: Any, taken: list[tuple[int, tuple[str, ...], list[Any]]], end: int, *, spreads: bool
    ) -> None:
        recipe, _ = compile_recipe(
            data, is_array, _union([self._stages[number].transform.keys for number, _, _ in taken])
        )
        slots = {place: slot for slot, place in enumerate(recipe.places)}
        calls = tuple(
            (number, self._functions[number], slots[place], type(value))
            for number, places, values in taken
            for place, value in zip(places, values, strict=True)
        )
        self._programs[first] = ((recipe, calls, end, spreads), *self._programs[first][: _PROGRAMS_KEPT - 1])
        only = recipe.only()
        if only is not None and end - first == self._count and not spreads:
            self._single = (only.take, only.put, calls, recipe)

    def _traced(self, data: Any) -> Any:
        """Stage by stage, telling open traces where each crossing happens."""
        for (label, transform), function in zip(self._stages, self._functions, strict=True):
            data = opened(data, transform, label)
            recipe, leaves = select(data, transform, label)
            values = []
            for place, leaf in zip(recipe.places, leaves, strict=True):
                with at(place, label):
                    try:
                        values.append(function(leaf))
                    except Exception as error:
                        locate(error, place, label, transform)
                        raise
            data = put_back(recipe, data, values)
        return data


def is_array(leaf: object) -> bool:
    """Whether the bridge can carry a leaf."""
    return kind_of(leaf) is not None


def select(
    data: Any, transform: ArrayTransform, label: StageId | None = None, *, counts: Callable[[object], bool] = is_array
) -> tuple[Recipe, list[Any]]:
    """The recipe and the arrays that a transform works on, errors telling the stage.

    Args:
        data: as `opened` leaves it.
        transform: what is going to work on them.
        label: what it is called in errors.
        counts: what counts as an array: arrays, or in a plan their specs.

    Raises:
        NoRoute: there is no array in the data.
        ConfigError: a transform along time without `keys`, and several arrays: a label among them would be filtered.
    """
    try:
        recipe, leaves = compile_recipe(data, counts, transform.keys)
        if not leaves:
            raise _nothing_to_do(data, transform)
        if len(leaves) > 1 and transform.keys is None and transform.along_time:
            raise _several(recipe.places, transform)
    except BridgeflowError as error:
        error.stage = error.stage or label
        raise
    return recipe, leaves


def opened(
    data: Any,
    transform: ArrayTransform,
    label: StageId | None = None,
    *,
    counts: Callable[[object], bool] = is_array,
    read: Callable[[Any], Any] | None = None,
) -> Any:
    """The same data with what the transform is going to read as an array made one; the object itself where all are.

    Lists and tuples of numbers count as arrays where `keys` select them; without `keys`, where the data holds no other
    array. So do lists of text for a transform that `reads_text`. Foreign tables become Arrow tables.

    Args:
        data, transform, label, counts: as for `select`.
        read: makes an array of what has to be read, or its spec; by default an ndarray.

    Raises:
        NoRoute: a list of numbers that is not rectangular, or holds None.
        CopyRefused: the transform says `copy="never"`, and reading is a copy.
    """
    data = open_tables(data)
    keys = transform.keys
    try:
        recipe, leaves = _compiled(data, counts, keys, with_text=transform.reads_text and keys is not None)
        if transform.reads_text and not leaves:
            recipe, leaves = _compiled(data, counts, keys, with_text=True)
    except BridgeflowError as error:
        error.stage = error.stage or label
        raise
    stored = {slot for slot, leaf in enumerate(leaves) if kind_of(leaf) in READ_FIRST or is_scalar_list(leaf)}
    lists = {slot for slot, leaf in enumerate(leaves) if slot not in stored and not counts(leaf)}
    if keys is None and lists:
        if len(lists) < len(leaves):
            if transform.along_time:
                raise _at_stage(_several(recipe.places, transform), label)
            lists = set()
        else:
            lists = {slot for slot in lists if _is_readable(leaves[slot])} or lists
    if not lists | stored:
        return data
    read = read or partial(to_numpy, copy=reading_copies(transform))
    values = list(leaves)
    for slot in sorted(lists | stored):
        try:
            with at(recipe.places[slot], label):
                leaf = leaves[slot]
                values[slot] = read(read_list(leaf) if is_text_list(leaf) else leaf)
        except Exception as error:
            locate(error, recipe.places[slot], label, transform)
            raise
    return recipe.put(data, values)


def _compiled(data: Any, counts: Callable[[object], bool], keys: Keys, *, with_text: bool) -> tuple[Recipe, list[Any]]:
    """The recipe in which lists of numbers count as arrays, but for those that a key leads into (`"rows[0]"`).

    Args:
        with_text: whether lists of text do, too.
    """

    def is_list(leaf: object) -> bool:
        return is_number_list(leaf) or (with_text and is_text_list(leaf))

    try:
        return compile_recipe(data, lambda leaf: counts(leaf) or is_list(leaf), keys)
    except KeyNotFound:
        pass
    try:
        return compile_recipe(data, lambda leaf: counts(leaf) or (is_list(leaf) and not _has_rows(leaf)), keys)
    except KeyNotFound:
        return compile_recipe(data, counts, keys)


def _has_rows(numbers: Any) -> bool:
    return any(type(row) in (list, tuple) for row in numbers)


def reading_copies(transform: ArrayTransform) -> Copy:
    """Under which policy a transform's arrays are read: one that may not copy may not have them read either."""
    return "never" if getattr(transform, "copy", None) == "never" else "auto"


def _is_readable(numbers: Any) -> bool:
    try:
        read_list(numbers)
    except NoRoute:
        return False
    return True


def _at_stage(error: _Error, label: StageId | None) -> _Error:
    error.stage = error.stage or label
    return error


def _several(places: Sequence[str], transform: ArrayTransform) -> ConfigError:
    name = type(transform).__name__
    shown = ", ".join(places[:6]) + (f" and {len(places) - 6} more" if len(places) > 6 else "")
    first = places[0].removeprefix("$").removeprefix(".")
    example = f"({first!r},)"
    return ConfigError(
        f"{name} works along time, and the data holds several arrays: {shown}; "
        f'say which are signals, keys={example}, or keys="*" for all',
        field="keys",
    )


def _nothing_to_do(data: Any, transform: ArrayTransform) -> NoRoute:
    name = type(transform).__name__
    if data is None or isinstance(data, (str, bytes, bytearray, int, float, complex)):
        what = f"{name} was given a {type(data).__name__}, which is not an array"
    else:
        what = f"{name} found no array in the {type(data).__name__}" + _contents(data)
    return NoRoute("unknown", what, "pass arrays, lists of numbers, or containers (dict, list, dataclass) of them")


def _contents(data: Any) -> str:
    """What stands in the data in place of arrays, in words."""
    if not is_container(data, is_array):
        return ", whose attributes are not looked at"
    contents = {
        place: type(leaf).__name__
        for place, leaf in leaves_of(data, lambda leaf: not is_container(leaf, is_array)).items()
    }
    if not contents:
        return ": it is empty"
    shown = [f"{place} is a {name}" for place, name in list(contents.items())[:4]]
    return f": {', '.join(shown)}" + (f", and {len(contents) - 4} more" if len(contents) > 4 else "")


def put_back(recipe: Recipe, data: Any, values: list[Any]) -> Any:
    """`recipe.put` for results that may have parts of their own (`Masked`, `Padded`), which go beside the leaf.

    Where the data is one leaf there is no beside, and the result stays whole.
    """
    if recipe.is_leaf:
        return recipe.put(data, values)
    beside = {}
    for slot, value in enumerate(values):
        values[slot], added = parts_of(value)
        if added:
            beside[slot] = added
    return recipe.put_beside(data, values, beside)


def parts_of(value: Any) -> tuple[Any, dict[str, Any]]:
    """A result without its parts, and those that stand beside it: the mask of `Masked`, the length of `Padded`."""
    rows = loaded("bridgeflow.bridge.ragged")
    beside = {}
    while True:
        if type(value) is Masked:
            beside["mask"] = value.mask
        elif rows is not None and type(value) is rows.Padded:
            beside["length"] = value.lengths
        else:
            return value, beside
        value = value.values


def locate(error: Exception, place: str, label: StageId | None, transform: object = None) -> None:
    """Tell an error where in the data and in which stage it happened: in its message if it is ours, else in a note.

    A crossing inside a transform advises options of the bridge's functions. Where the transform that was called has no
    such option, the advice becomes the transform that has it, to be put before.
    """
    if isinstance(error, BridgeflowError):
        at_place(error, place)
        if transform is not None and isinstance(error, (NoRoute, CopyRefused)):
            lacking = [option for option in _OPTION.findall(error.remedy) if not hasattr(transform, option)]
            if lacking:
                name = type(transform).__name__
                error.remedy = f"put ToNumpy before {name}; its option {lacking[0]} says what becomes of them"
        error.stage = error.stage or label
        return
    note = f"in {label}, at {place}" if label else f"at {place}"
    notes = [*getattr(error, "__notes__", ()), note]  # what add_note() does, which Python 3.10 lacks
    error.__notes__ = notes  # type: ignore[attr-defined, unused-ignore]


def _union(keys: Sequence[Keys]) -> Keys:
    """Keys that select whatever any of the given ones selects."""
    if None in keys:
        return None
    return tuple(dict.fromkeys(key for some in keys for key in ((some,) if isinstance(some, str) else some or ())))
