"""A job with an odd number in one field is done, or refused as input: no crash, no hang, no memory without end."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest

from bridgeflow.ranges import Range
from bridgeflow.signal.scipy_list import FUNCTIONS
from bridgeflow.transforms import fields, registry
from tests.fuzz.odd_values import outcomes
from tests.fuzz.stages import CALLS, STAGES, stages
from tests.transforms.augmentations import AUGMENTATIONS, MIXES
from tests.transforms.window_stages import WINDOW_STAGES


def sweep(every: int, first: int = 0) -> Counter[tuple[int | str, int | str]]:
    counts: Counter[tuple[int | str, int | str]] = Counter()
    wrong = []
    for ended in outcomes(list(stages())[first::every]):
        counts[ended.check, ended.run] += 1
        if not ended.is_well:
            wrong.append(ended)
    assert not wrong, f"{len(wrong)} of {counts.total()}: {wrong[:10]}"
    return counts


def test_some_odd_numbers_are_refused_or_done():
    assert sweep(every=151).total() > 20


@pytest.mark.slow
def test_every_number_of_every_field_is_refused_or_done(capsys):
    counts = sweep(every=1)
    with capsys.disabled():
        print(
            f"\njobs with an odd number in a field: {counts.total()}, by what check and run ended with: {dict(counts)}"
        )


def without_range(hint: Any) -> bool:
    """Whether a type has a number that says no range."""
    if get_origin(hint) is Annotated:
        inner, *more = get_args(hint)
        return not any(isinstance(one, Range) for one in more) and without_range(inner)
    if get_origin(hint) is Literal:
        return False
    return hint in (int, float) or any(map(without_range, get_args(hint)))


@pytest.mark.parametrize("name", registry.names())
def test_every_number_of_a_transform_has_a_range(name):
    hints = fields._hints(registry.lookup(name))
    assert [field for field, hint in hints.items() if field != "options" and without_range(hint)] == []


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_number_of_a_call_has_a_range(name):
    assert [option for option, one in FUNCTIONS[name].options.items() if without_range(one.hint)] == []


def test_every_transform_and_every_call_is_swept():
    assert set(STAGES) == {*registry.names(), "Compose"} - set(AUGMENTATIONS) - set(MIXES) - set(WINDOW_STAGES)
    numbers = {name for name, entry in FUNCTIONS.items() if any("Range" in str(o.hint) for o in entry.options.values())}
    assert numbers <= set(CALLS)
