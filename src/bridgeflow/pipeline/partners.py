"""The rows that `Mixup` and `CutMix` mix samples with: drawn before a batch is fetched, and fetched with it.

A row's partner is drawn among all rows of the dataset, from a branch of the row's generator. So the partners of a batch
are known before any stage runs: their rows join the batch, pass through the same stages with generators of their own,
and leave it where they have been mixed in. A partner is thus the very sample that its row is in this epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bridgeflow.bridge import kind_of, like, to_numpy
from bridgeflow.pipeline.batches import SampleSet, Values
from bridgeflow.randomness import Generators
from bridgeflow.transforms.augment.mixing import Mixing, Partners
from bridgeflow.transforms.runner import is_array
from bridgeflow.tree import compile_recipe, leaves_of

__all__ = ["Mix", "mixed", "with_partners"]


class Mix(NamedTuple):
    """What a stage does to a batch whose last samples are partners.

    Args:
        kept: how many samples come out, the first ones.
        positions: of their partners in the batch.
        draws: what is drawn for them.
    """

    kept: int
    positions: Any
    draws: Partners


def with_partners(
    stages: Sequence[Mixing], rows: Any, key: tuple[int, int], count: int, *, first: int = 0
) -> tuple[Any, list[Mix]]:
    """The rows to fetch so that these rows can go through all stages that mix, and what each of the stages does.

    Args:
        stages: those that mix, in order.
        rows: that are to come out, int64.
        key: seed and epoch.
        count: of the rows of the dataset.
        first: the number that row 0 has among the rows that random numbers belong to.
    """
    mixes: list[Mix] = []
    for branch in range(len(stages), 0, -1):
        rngs = list(Generators(*key, rows + first, batched=True, branch=branch))
        draws = stages[branch - 1].draw(rngs, rows, count)
        places = {int(row): position for position, row in reversed(list(enumerate(rows)))}
        needed = list(rows)
        for row in draws.rows.tolist():
            if row not in places:
                places[row] = len(needed)
                needed.append(row)
        mixes.insert(0, Mix(len(rows), np.array([places[row] for row in draws.rows.tolist()]), draws))
        rows = np.array(needed, np.int64)
    return rows, mixes


def mixed(stage: Mixing, samples: SampleSet, mix: Mix) -> SampleSet:
    """The samples that come out of a stage, as one where that can be."""
    if samples.stack():
        places = leaves_of(samples.data, lambda leaf: isinstance(leaf, Values) or is_array(leaf))
        recipe, _ = compile_recipe(samples.data, lambda leaf: isinstance(leaf, Values) or is_array(leaf), stage.labels)
        if not stage.labels or all(is_array(places[place]) for place in recipe.places):
            own = _some(samples.data, slice(mix.kept))
            return SampleSet(stage.mixed(own, _some(samples.data, mix.positions), mix.draws, batched=True), mix.kept)
    results = []
    for number, position in enumerate(mix.positions):
        draws = Partners(*(one[number : number + 1] for one in mix.draws))
        results.append(stage.mixed(samples.samples[number], samples.samples[int(position)], draws, batched=False))
    return SampleSet(None, mix.kept, results)


def _some(data: Any, which: Any) -> Any:
    """Some of the samples of a structure of arrays and `Values`."""
    recipe, leaves = compile_recipe(data, lambda leaf: isinstance(leaf, Values) or is_array(leaf))
    return recipe.put(data, [_some_of(leaf, which) for leaf in leaves])


def _some_of(leaf: Any, which: Any) -> Any:
    if isinstance(leaf, Values):
        return Values(leaf.rows[which] if isinstance(which, slice) else [leaf.rows[number] for number in which])
    return leaf[which] if kind_of(leaf) in ("torch", "numpy") else like(to_numpy(leaf)[which], leaf)
