"""Runs of leaf transforms over nested data, learnt once for each structure.

The first sample of a structure goes through stage by stage, while a `Program` is written down: which leaves each stage
takes, and of which class its results are. Data of the same structure then needs one guard, the calls themselves, and
one rebuilding of containers, however many stages there are. Every result is checked to be of the class that was seen
when learning; where it is not, the program stops after that stage and the data goes on as any other would. So a
program never changes a result, an order of calls, or an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bridgeflow._optional import loaded
from bridgeflow.bridge import Masked, kind_of
from bridgeflow.bridge.tracing import ACTIVE, at
from bridgeflow.errors import BridgeflowError, at_place
from bridgeflow.tree import ABSENT, Keys, Recipe, compile_recipe, is_container, open_tables

if TYPE_CHECKING:
    from bridgeflow.transforms.base import LeafTransform

__all__ = ["Runner", "Stage", "is_array", "locate", "parts_of", "put_back", "select"]

_PROGRAMS_KEPT: Final = 8
"""Structures remembered for each stage, the latest first: data that never looks the same must not fill the memory."""


class Stage(NamedTuple):
    """A leaf transform and what it is called in errors and traces (empty outside a composition)."""

    label: str
    transform: LeafTransform


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
                if value.__class__ is not cls:
                    break
            else:
                return put(data, value)
        except Exception as error:
            locate(error, recipe.places[0], self._stages[number].label)
            raise
        return self._run_from(number + 1, put_back(recipe, data, [value]))

    def _run_from(self, number: int, data: Any) -> Any:
        """The data after the last stage, from the given stage on."""
        while number < self._count:
            for program in self._programs[number]:
                leaves = program[0].take(data)
                if leaves is not None:
                    break
            else:
                opened = open_tables(data)
                if opened is not data:
                    data = opened  # look again, now that there are columns to see
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
                    if value.__class__ is not cls:
                        last = number  # finish this stage, then let the data go on without the program
            except Exception as error:
                locate(error, recipe.places[slot], self._stages[number].label)
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
            recipe, data, values = self._one_stage(number, data)
            taken.append((number, recipe.places, values))
            keeps_structure = not any(is_container(value, is_array) for value in values)
            number += 1
        self._remember(first, start, taken, number, spreads=not keeps_structure)
        return data, number

    def _one_stage(self, number: int, data: Any) -> tuple[Recipe, Any, list[Any]]:
        label, transform = self._stages[number]
        function = self._functions[number]
        recipe, leaves = select(data, transform.keys, label)
        values: list[Any] = []
        try:
            values.extend(map(function, leaves))
        except Exception as error:
            locate(error, recipe.places[len(values)], label)
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
        data = open_tables(data)
        for (label, transform), function in zip(self._stages, self._functions, strict=True):
            recipe, leaves = select(data, transform.keys, label)
            values = []
            for place, leaf in zip(recipe.places, leaves, strict=True):
                with at(place, label):
                    try:
                        values.append(function(leaf))
                    except Exception as error:
                        locate(error, place, label)
                        raise
            data = put_back(recipe, data, values)
        return data


def is_array(leaf: object) -> bool:
    """Whether the bridge can carry a leaf."""
    return kind_of(leaf) is not None


def select(data: Any, keys: Keys, label: str = "") -> tuple[Recipe, list[Any]]:
    """The recipe and the selected leaves, errors telling the stage."""
    try:
        return compile_recipe(data, is_array, keys)
    except BridgeflowError as error:
        error.stage = error.stage or label
        raise


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
    rows = loaded("bridgeflow.bridge.arrow_torch")
    beside = {}
    while True:
        if type(value) is Masked:
            beside["mask"] = value.mask
        elif rows is not None and type(value) is rows.Padded:
            beside["length"] = value.lengths
        else:
            return value, beside
        value = value.values


def locate(error: Exception, place: str, label: str) -> None:
    """Tell an error where in the data and in which stage it happened: in its message if it is ours, else in a note."""
    if isinstance(error, BridgeflowError):
        at_place(error, place)
        error.stage = error.stage or label
        return
    note = f"in {label}, at {place}" if label else f"at {place}"
    notes = [*getattr(error, "__notes__", ()), note]  # what add_note() does, which Python 3.10 lacks
    error.__notes__ = notes  # type: ignore[attr-defined, unused-ignore]


def _union(keys: Sequence[Keys]) -> Keys:
    """Keys that select whatever any of the given ones selects."""
    if None in keys:
        return None
    return tuple(dict.fromkeys(key for some in keys for key in some or ()))
