"""A transform cut into segments, and batches on their way through them.

A segment's stages all take a batch as one array, which they say with `core_ndim`, or all run sample by sample, as plain
callables do, and rows of unequal length, and axes that a sample lacks. Nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property, partial
from itertools import groupby
from typing import Any, Final

from bridgeflow.errors import BridgeflowError, StageId
from bridgeflow.pipeline.batches import SampleSet, Values, is_flat
from bridgeflow.pipeline.foreign import BatchKey, is_foreign, seeded_globally
from bridgeflow.pipeline.partners import Mix, mixed
from bridgeflow.pipeline.stage_functions import Labelled, as_function
from bridgeflow.randomness import Generators, current
from bridgeflow.transforms.augment.mixing import Mixing
from bridgeflow.transforms.base import is_leafwise
from bridgeflow.transforms.plan import describe_leaves, is_spec
from bridgeflow.transforms.runner import Runner, Stage, is_array, locate
from bridgeflow.tree import compile_recipe, leaves_of, place

__all__ = ["PartialBatch", "SegmentedTransform"]

_SIGNATURES_KEPT: Final = 64


class PartialBatch:
    """Samples on their way through a transform.

    Attributes:
        fetched: as they came from the source.
        current: as they are now.
        segment: number of the segment that comes next.
        generators: theirs.
        as_samples: whether they will be taken apart one by one.
        mixes: what the stages to come that mix samples do; partners are among the samples until then.
        begun: number of the segment that `fetched` is given to.
    """

    def __init__(self, fetched: SampleSet, generators: Generators, as_samples: bool, mixes: Sequence[Mix] = ()) -> None:
        self.fetched = self.current = fetched
        self.segment = self.begun = 0
        self.generators = generators
        self.as_samples = as_samples
        self.mixes = list(mixes)


class SegmentedTransform:
    """The stages of a transform, those that take a batch as one array together as far as they follow each other.

    Args:
        stages: transforms and other callables, with their labels.
        source: the name of the source, for errors.
    """

    def __init__(self, stages: Sequence[Labelled], source: str) -> None:
        self._source = source
        kinds = [(number if isinstance(stage, Mixing) else -1, _takes_batches(stage), is_foreign(stage))
                 for number, (_, stage) in enumerate(stages)]  # fmt: skip
        runs = groupby(zip(kinds, stages, strict=True), key=lambda pair: pair[0])
        self.segments = tuple(
            Segment(tuple(labelled for _, labelled in run), as_one, foreign) for (_, as_one, foreign), run in runs
        )

    @cached_property
    def mixing(self) -> tuple[Mixing, ...]:
        """The stages that mix samples with those of other rows, which are fetched with them."""
        return tuple(segment.mixing for segment in self.segments if segment.mixing is not None)

    @cached_property
    def foreign(self) -> bool:
        """Whether callables of others take part, which may draw from the global generators."""
        return any(segment.foreign for segment in self.segments)

    def run_own(self, batch: PartialBatch) -> PartialBatch:
        """Take a batch through our own stages, as far as the first callable of others; in any thread."""
        while batch.segment < len(self.segments) and not self.segments[batch.segment].foreign:
            self._run_next(batch)
        return batch

    def run_rest(self, batch: PartialBatch, key: BatchKey | None) -> SampleSet:
        """Take a batch through all other stages.

        Args:
            key: what to seed the global generators with, for callables of others; `None` to leave them alone.
        """
        while batch.segment < len(self.segments):
            number = batch.segment
            is_seeded = key is not None and self.segments[number].foreign
            with seeded_globally(key, number) if is_seeded else nullcontext():  # type: ignore[arg-type]
                self._run_next(batch)
        return batch.current

    def replaced(self, columns: Mapping[str, Any]) -> frozenset[str]:
        """The columns that the transform is sure to replace by new arrays, without writing to what it is given.

        They may be handed to it in memory that must not be written to, which costs nothing: its stages only read, and
        their plan tells copies from views.

        Args:
            columns: what is given, described.
        """
        if not self.segments or not all(segment.reads_only for segment in self.segments):
            return frozenset()
        copied: set[str] = set()
        data: Any = dict(columns)
        try:
            for segment in self.segments:
                for _, stage in segment.stages:
                    plan = stage.plan(data)
                    copied |= {exchange.place for exchange in plan.exchanges if exchange.action != "view"}
                    data = plan.result
        except (BridgeflowError, ValueError, TypeError):
            return frozenset()  # the transform will say what is wrong, when it is run
        return frozenset(name for name in columns if place([name]) in copied)

    def _run_next(self, batch: PartialBatch) -> None:
        batch.current = self._after(batch)
        batch.segment += 1

    def _after(self, batch: PartialBatch) -> SampleSet:
        """The samples after one segment more."""
        number, samples, generators = batch.segment, batch.current, batch.generators
        segment = self.segments[number]
        if segment.mixing is not None:
            return self._mixed(batch, segment.mixing, segment.stages[0][0])
        whole = batch.as_samples or number < len(self.segments) - 1
        if not (segment.takes_batches and samples.stack() and segment.fits(samples.data, whole=whole)):
            return self._one_by_one(segment, samples, generators)
        try:
            with current(generators):
                return SampleSet(segment.function(samples.data), samples.count)
        except Exception:
            rows, again = batch.fetched, generators.afresh()
            for one in self.segments[batch.begun : number + 1]:  # tells which row it is, where one alone is to blame
                rows = self._one_by_one(one, rows, again)
            raise

    def _mixed(self, batch: PartialBatch, stage: Mixing, label: StageId | None) -> SampleSet:
        """The samples mixed with their partners, which are left out."""
        mix = batch.mixes.pop(0)
        try:
            samples = mixed(stage, batch.current, mix)
        except Exception as error:
            locate(error, "$", label)
            raise
        batch.generators = batch.generators.some(range(mix.kept))
        batch.generators.used = True
        batch.fetched, batch.begun = samples, batch.segment + 1
        return samples

    def _one_by_one(self, segment: Segment, samples: SampleSet, generators: Generators) -> SampleSet:
        """Sample by sample through a segment."""
        results = []
        for number, sample in enumerate(samples.samples):
            try:
                with current(generators.one(number)) as alone:
                    results.append(segment.function(sample))
                generators.used |= alone.used
            except Exception as error:
                note = f"in row {generators.rows[number]} of {self._source}"
                error.__notes__ = [*getattr(error, "__notes__", ()), note]  # type: ignore[attr-defined, unused-ignore]
                raise
        return SampleSet(None, samples.count, results)


class Segment:
    """Stages that follow each other, all of which take a batch as one array, or none of which does.

    Attributes:
        stages: with their labels.
        function: all of them, as one function of a sample or batch.
        takes_batches: whether the function may be given a batch, if it `fits`.
        foreign: whether the stages are callables of others, which may draw from the global generators.
        reads_only: whether no stage writes to what it is given.
        mixing: the one stage, where it mixes samples with those of other rows.
    """

    def __init__(self, stages: tuple[tuple[StageId | None, Any], ...], takes_batches: bool, foreign: bool) -> None:
        self.stages = stages
        self.takes_batches = takes_batches
        self.foreign = foreign
        only = stages[0][1]
        self.mixing = only if isinstance(only, Mixing) else None
        self.reads_only = self.mixing is not None or (takes_batches and all(stage.reads_only for _, stage in stages))
        self.function: Callable[[Any], Any] = (
            Runner([Stage(label, one) for label, one in stages])
            if takes_batches
            else partial(_one_after_other, tuple(as_function(label, one) for label, one in stages))
        )
        self._verdicts: dict[Any, tuple[bool, bool]] = {}

    def fits(self, data: Any, *, whole: bool) -> bool:
        """Whether every array that a stage would be given has axes for it after the batch's.

        Args:
            whole: whether the result will be taken apart into samples.
        """
        leaves = data if is_flat(data) else leaves_of(data, _is_leaf)
        signature = tuple((place, type(leaf), leaf.ndim) for place, leaf in leaves.items())
        verdict = self._verdicts.get(signature)
        if verdict is None:
            verdict = self._judge(data)
            if len(self._verdicts) < _SIGNATURES_KEPT:
                self._verdicts[signature] = verdict
        return all(verdict) if whole else verdict[0]

    def _judge(self, data: Any) -> tuple[bool, bool]:
        """Whether the batch may be transformed as one, and the result taken apart afterwards."""
        described = describe_leaves(data)
        try:
            for _, stage in self.stages:
                _, specs = compile_recipe(described, is_spec, stage.keys)
                if any(spec.ndim <= stage.core_ndim for spec in specs):
                    return False, False
                described = stage.plan(described).result
        except (BridgeflowError, ValueError, TypeError):
            return False, False  # the samples will say what is wrong
        kinds = {spec.kind for spec in leaves_of(described, is_spec).values()}
        return True, "dlpack" not in kinds


def _takes_batches(stage: Any) -> bool:
    return is_leafwise(stage) and stage.core_ndim is not None


def _one_after_other(functions: tuple[Callable[[Any], Any], ...], sample: Any) -> Any:
    for function in functions:
        sample = function(sample)
    return sample


def _is_leaf(leaf: object) -> bool:
    """Whether a leaf is an array, or stands for values that are not arrays."""
    return isinstance(leaf, Values) or is_array(leaf)
