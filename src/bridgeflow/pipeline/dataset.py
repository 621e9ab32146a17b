"""`SignalDataset`: rows of a source as samples, and, at the cost of few samples, as batches of the same numbers.

A batch is fetched as one slice or one gather of columns, converted as columns, and run through each transform as one
array where the transform says with `core_ndim` that this gives every sample what it gets alone. All others (plain
callables, rows of unequal length, axes that a sample lacks) run sample by sample and are stacked. Nothing is guessed.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from functools import cached_property, partial
from itertools import groupby
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from bridgeflow._optional import loaded
from bridgeflow.bridge import Masked, describe, kind_of, shape_of, to_numpy, to_tensor
from bridgeflow.bridge.tracing import ACTIVE
from bridgeflow.errors import BridgeflowError, DataError, NoRoute
from bridgeflow.io import Source, open_source
from bridgeflow.io.base import Arrays
from bridgeflow.pipeline.batches import Parts, RaggedRows, Samples, Values, finish, is_flat, known_to_torch, stack
from bridgeflow.pipeline.compose import AnyStage, Compose, as_function
from bridgeflow.pipeline.epoch import SharedEpoch
from bridgeflow.pipeline.foreign import BatchKey, is_foreign, seeded_globally
from bridgeflow.pipeline.randomness import Generators, current, parse_seed
from bridgeflow.policy import Nulls, parse_word, words
from bridgeflow.transforms.base import is_leafwise
from bridgeflow.transforms.plan import describe_leaves, is_spec
from bridgeflow.transforms.runner import Runner, Stage, is_array
from bridgeflow.tree import compile_recipe, leaves_of, place

__all__ = ["ArrayKind", "SignalDataset"]

ArrayKind: TypeAlias = Literal["torch", "numpy"]
"""What a dataset's columns are before any transform."""

_SIGNATURES_KEPT: Final = 64


class SignalDataset:
    """Examples in a file or in memory, one per row: a map-style dataset for `Loader` and for PyTorch's `DataLoader`.

    A sample is a dict of the row's columns after the transform. A column of numbers gives tensors: `[N, 8, 1024]` in
    the file is `[8, 1024]` in a sample; one number per row is a tensor without axes, so name the signals with `keys` in
    a transform that works along an axis. Lists are rows of their own length. Text, structures and whatever else has no
    place in an array are plain Python values, and lists of them in a batch. Memory is yours to write to, and is shared
    with neither the file nor another batch; where nothing has to be converted, it is a view of the mapped file.

    Batch and samples have equal numbers, bit for bit on a CPU.

    Args:
        source: a path, anything else that `bridgeflow.io.open_source` takes, or an open `Source`.
        transform: a transform or any callable; takes a sample and returns one, of any structure.
        columns: names of the columns to read; `None` for all.
        format: of a file, by name; `None` for what its suffix says.
        kind: columns are `"torch"` tensors or `"numpy"` arrays when they reach the transform.
        nulls: what Arrow nulls in columns of numbers become: `"error"`, `"nan"`, a number to fill in, or `"mask"`,
            which adds `<column>_mask`.
        ragged: rows of unequal length in a batch: `"error"`; `"list"`; `"pad"` completes them with zeros, and adds to
            sample and batch `<column>_length`, the length of the last axis after the transform.
        normalize, max_nbytes: of wav files, and of files that are decoded; see `bridgeflow.io.open_source`.
        seed: of `generators()` within the transform, where the dataset is not read by a `Loader`, which has its own.

    Raises:
        DataError: the source cannot be read; a row cannot be part of a batch.
        ValueError: a word that is none.

    >>> dataset = SignalDataset({"ecg": np.arange(6.0).reshape(3, 2), "label": np.array([0, 1, 0])})
    >>> dataset[1]
    {'ecg': tensor([2., 3.], dtype=torch.float64), 'label': tensor(1)}
    >>> dataset.batch([2, 0])["ecg"]
    tensor([[4., 5.],
            [0., 1.]], dtype=torch.float64)
    """

    def __init__(
        self,
        source: Any,
        transform: AnyStage | None = None,
        *,
        columns: Sequence[str] | None = None,
        format: str | None = None,
        kind: ArrayKind = "torch",
        nulls: Nulls | float = "error",
        ragged: RaggedRows = "error",
        normalize: bool = False,
        max_nbytes: int | None = None,
        seed: int = 0,
    ) -> None:
        if transform is not None and (isinstance(transform, type) or not callable(transform)):
            raise TypeError(f"transform must be a transform or another callable of a sample, got {transform!r}")
        parse_word(kind, ArrayKind, field="kind")
        parse_word(ragged, RaggedRows, field="ragged")
        if isinstance(nulls, str) and nulls not in words(Nulls):
            parse_word(nulls, Nulls, field="nulls")
        if isinstance(source, Source):
            if (columns, format, normalize, max_nbytes) != (None, None, False, None):
                options = "columns, format, normalize and max_nbytes"
                raise ValueError(f"{options} are chosen where a source is opened; pass the path instead")
            self.source = source
        else:
            keep: Literal["error", "keep"] = "error" if nulls == "error" else "keep"
            self.source = open_source(
                source, columns=columns, format=format, nulls=keep, normalize=normalize, max_nbytes=max_nbytes
            )
        self.transform = transform
        self.kind = kind
        self.nulls = nulls
        self.ragged = ragged
        self.seed = parse_seed(seed)
        self._epoch = SharedEpoch()

    @property
    def epoch(self) -> int:
        """The epoch of `generators()` within the transform; a `Loader` has its own."""
        return self._epoch.number

    def set_epoch(self, epoch: int) -> None:
        """Let `generators()` within the transform be those of another epoch; a `Loader` has its own.

        Worker processes that have this dataset see it too, also those that live through several epochs
        (`persistent_workers=True`).
        """
        self._epoch.number = parse_seed(epoch, field="epoch")

    def __len__(self) -> int:
        return self.source.rows

    def __getitem__(self, index: int) -> Any:
        """The sample of one row; negative numbers count from the end.

        Raises:
            IndexError: there is no such row.
            TypeError: no whole number; `batch` takes slices.
        """
        number = self._number(index)
        known_to_torch()
        begun = self._begin(np.array([number]), apart=True)
        sample = self._samples(self._finish(begun))[0]
        if begun.generators.asked and _in_torchs_worker():
            self._note_drawn(begun)
        return sample

    def __getitems__(self, indices: Sequence[int]) -> Samples:
        """`samples`, for PyTorch's `DataLoader`, whose own collation takes them for what they are.

        Warns once when rows are drawn a second time in an epoch, which gives them the same random numbers again.
        """
        known_to_torch()
        begun = self._begin(self._rows(indices), apart=True)
        samples = self._samples(self._finish(begun))
        if begun.generators.asked:
            self._note_drawn(begun)
        return samples

    def _note_drawn(self, begun: Begun) -> None:
        row = self._epoch.drawn_again(begun.generators.rows)
        if row is not None:
            warnings.warn(
                f"SignalDataset: row {row} of {self.source.name} is drawn a second time in epoch {self.epoch}, with "
                "the same random numbers; call dataset.set_epoch(epoch) before each epoch",
                stacklevel=3,
            )

    def samples(self, indices: Iterable[int], *, seed: int | None = None, epoch: int | None = None) -> Samples:
        """The samples of several rows as a list, made as one batch, which `collate` hands on without a copy.

        Args and errors as for `batch`.
        """
        return self._samples(self._made(self._rows(indices), seed=seed, epoch=epoch, apart=True))

    def _samples(self, made: _Made) -> Samples:
        return Samples(made.count, lambda: made.samples, lambda: made.batch(self.ragged))

    def batch(self, indices: Iterable[int] | slice, *, seed: int | None = None, epoch: int | None = None) -> Any:
        """The samples of several rows as one batch: a dict as `Batch`, with arrays `[batch, ...]`.

        Args:
            indices: row numbers, in any order, or a slice.
            seed, epoch: of the random numbers within the transform; `None` for the dataset's own.

        Raises:
            IndexError: there is no such row.
            ValueError: there is none at all.
            DataError: the samples cannot be stacked; names the place.
        """
        rows = self._rows(range(*indices.indices(len(self))) if isinstance(indices, slice) else indices)
        return self._made(rows, seed=seed, epoch=epoch).batch(self.ragged)

    def digest(self) -> str:
        """What tells this dataset's rows from another's: name, number of rows, columns; not the transform."""
        columns = {name: [spec.dtype, list(spec.shape[1:])] for name, spec in self.source.specs.items()}
        told = {"name": os.path.basename(self.source.name), "rows": len(self), "columns": columns}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]

    def __repr__(self) -> str:
        return f"SignalDataset({self.source!r}, transform={self.transform!r})"

    def __getstate__(self) -> dict[str, Any]:
        derived = ("_segments", "_converters", "_remade")
        return {name: value for name, value in self.__dict__.items() if name not in derived}

    # --- rows ---

    def _number(self, index: Any) -> int:
        if isinstance(index, slice):
            raise TypeError("a dataset gives one sample at a time; dataset.batch(slice) gives several as one")
        try:
            number = int(index.__index__())
        except (AttributeError, TypeError):
            raise TypeError(f"a row is named by a whole number, got {index!r}") from None
        if not -len(self) <= number < len(self):
            raise IndexError(f"{self.source.name} has {len(self)} rows, there is no row {number}")
        return number % len(self)

    def _rows(self, indices: Iterable[int]) -> Any:
        rows = np.asarray(indices if isinstance(indices, np.ndarray) else list(indices))
        if rows.ndim != 1 or not len(rows):
            raise ValueError(f"a batch needs the numbers of one or more rows, got {rows.tolist()}")
        if rows.dtype.kind not in "iu":
            raise TypeError(f"rows are named by whole numbers, got {rows.dtype}")
        lowest, highest = int(rows.min()), int(rows.max())
        if lowest < -len(self) or highest >= len(self):
            wrong = highest if highest >= len(self) else lowest
            raise IndexError(f"{self.source.name} has {len(self)} rows, there is no row {wrong}")
        rows = rows.astype(np.int64, copy=False)
        return rows if lowest >= 0 else rows % len(self)

    def _made(self, rows: Any, *, seed: int | None = None, epoch: int | None = None, apart: bool = False) -> _Made:
        """The rows through the transform.

        Args:
            apart: whether the samples are wanted, so that they must not be made into what cannot be taken apart.
        """
        return self._finish(self._begin(rows, seed=seed, epoch=epoch, apart=apart))

    def _begin(self, rows: Any, *, seed: int | None = None, epoch: int | None = None, apart: bool = False) -> Begun:
        """Fetch the rows and take them through our own stages, as far as the first callable of others.

        For loaders, which may do so in any thread; args as for `_made`.
        """
        key = self.seed if seed is None else seed, self.epoch if epoch is None else epoch
        begun = Begun(self._fetch(rows), Generators(*key, rows, batched=True), apart)
        own = next((n for n, segment in enumerate(self._segments) if segment.foreign), len(self._segments))
        return self._through(begun, range(own), None)

    def _finish(self, begun: Begun, batch: BatchKey | None = None) -> _Made:
        """Take them through the rest.

        Args:
            batch: what to seed the global generators with, for callables of others; `None` to leave them alone.
        """
        made = self._through(begun, range(begun.stage, len(self._segments)), batch).made
        lists = [name for name, how in self._converters.items() if how == "lists"] if self.ragged == "pad" else []
        return made.with_lengths(lists) if lists else made

    @property
    def _foreign(self) -> bool:
        """Whether the transform has callables of others in it, which may draw from the global generators."""
        return any(segment.foreign for segment in self._segments)

    # --- from columns to arrays ---

    def _fetch(self, rows: Any) -> _Made:
        """The rows' columns, before any transform."""
        start, stop = int(rows[0]), int(rows[-1]) + 1
        in_a_row = stop - start == len(rows) and bool((rows[1:] > rows[:-1]).all())
        shared: frozenset[str] = self._remade if in_a_row else frozenset()
        alike = len(shared) in (0, len(self._converters))
        if self.source.only_numbers and alike and self.nulls != "mask" and not ACTIVE:
            source, writable = self.source, not shared
            arrays = source.slice_arrays(start, stop, writable=writable) if in_a_row else source.take_arrays(rows)
            if arrays is not None:  # numbers and nothing else: the everyday case, worth a short way
                return _Made(self._faced(arrays, writable=writable), len(rows))
        columns = self.source.slice(start, stop, writable=not shared) if in_a_row else self.source.take(rows)
        data: dict[str, Any] = {}
        for name, column in columns.items():
            data[name] = made = self._converted(name, column, rows, writable=name not in shared)
            if type(made) is Masked:
                data[name], data[f"{name}_mask"] = made
        ragged = any(self._converters[name] == "lists" and type(data[name]) is Values for name in columns)
        return _Made(None, len(rows), Parts(data, len(rows))) if ragged else _Made(data, len(rows))

    def _faced(self, arrays: Arrays, *, writable: bool) -> dict[str, Any]:
        """Numbers without nulls, as `_converted` would give them."""
        if self.kind == "numpy":
            return arrays
        return {name: to_tensor(array, writable=writable) for name, array in arrays.items()}

    def _converted(self, name: str, column: Any, rows: Any, *, writable: bool) -> Any:
        how = self._converters[name]
        if how == "values":
            return Values(column.tolist() if isinstance(column, np.ndarray) else column.to_pylist())
        try:
            return self._lists(column, rows, writable) if how == "lists" else self._arrays(column, "error", writable)
        except NoRoute as error:
            error.place = f"$.{name}"
            raise

    def _lists(self, column: Any, rows: Any, writable: bool) -> Any:
        """A column of lists: an array where they have one length here, else `Values`."""
        if column.null_count:
            first = rows[column.is_null().to_pylist().index(True)]
            what = f"row {first} is null, and a list that is missing would look like an empty one"
            raise NoRoute("nulls", what, "leave such rows out, or fill the column first")
        try:
            return self._arrays(column, "error", writable)
        except NoRoute as error:
            if error.reason != "ragged":
                raise
        if self.nulls == "mask":  # rows of unequal length have no mask together, but each by itself
            each = [self._arrays(column[n : n + 1], "error", writable) for n in range(len(column))]
            return Masked(Values([row.values[0] for row in each]), Values([row.mask[0] for row in each]))
        return Values(self._arrays(column, "list", writable))

    def _arrays(self, column: Any, ragged: Literal["error", "list"], writable: bool) -> Any:
        if self.kind == "torch":
            return to_tensor(column, nulls=self.nulls, ragged=ragged, writable=writable)
        if isinstance(column, np.ndarray) and column.dtype.isbuiltin == 2:  # of ml_dtypes: stays as it was given
            return column
        return to_numpy(column, nulls=self.nulls, ragged=ragged, writable=True if writable else None)

    @cached_property
    def _converters(self) -> dict[str, Literal["arrays", "lists", "values"]]:
        """How each column is converted, by its type alone."""
        return {name: self._converter(column) for name, column in self.source.slice(0, 0).items()}

    def _converter(self, column: Any) -> Literal["arrays", "lists", "values"]:
        try:
            self._arrays(column, "error", True)
        except NoRoute:
            return "values"
        if isinstance(column, np.ndarray):
            return "arrays"
        tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_list_view, pa.types.is_large_list_view)
        return "lists" if any(test(column.type) for test in tests) else "arrays"

    @cached_property
    def _remade(self) -> frozenset[str]:
        """The columns that the transform is sure to make anew, without writing to what it is given.

        They may be handed to it in memory that must not be written to, which costs nothing. Our own transforms only
        read, and their plan tells copies from views; of others nothing is known.
        """
        if not self._segments or not all(segment.reads_only for segment in self._segments):
            return frozenset()
        anew: set[str] = set()
        try:
            data: Any = {name: self._described(name) for name in self._converters}
            for segment in self._segments:
                for _, stage in segment.stages:
                    plan = stage.plan(data)
                    anew |= {exchange.place for exchange in plan.exchanges if exchange.action != "view"}
                    data = plan.result
        except (BridgeflowError, ValueError, TypeError):
            return frozenset()  # the transform will say what is wrong, when it is run
        return frozenset(name for name in self._converters if place([name]) in anew)

    def _described(self, name: str) -> Any:
        """What `_fetch` gives of a column, for a batch of two."""
        how, spec = self._converters[name], self.source.specs[name]
        if how == "values":
            return Values(())
        if how == "lists" or self.nulls == "mask":
            raise DataError("what reaches the transform is not known from the schema alone")
        empty = describe(self._arrays(self.source.slice(0, 0)[name], "error", True))
        return empty.fresh(shape=(2, *spec.shape[1:]))

    # --- through the transform ---

    @cached_property
    def _segments(self) -> tuple[_Segment, ...]:
        """The transform's stages; those that take a batch as one array together, as far as they follow each other."""
        if self.transform is None:
            return ()
        row = self.transform.row if type(self.transform) is Compose else (("", self.transform),)
        runs = groupby(row, key=lambda labelled: (_takes_batches(labelled[1]), is_foreign(labelled[1])))
        return tuple(_Segment(tuple(run), as_one, foreign) for (as_one, foreign), run in runs)

    def _through(self, begun: Begun, stages: range, batch: BatchKey | None) -> Begun:
        for number in stages:
            segment = self._segments[number]
            alone = segment.foreign and batch is not None
            with seeded_globally(batch, number) if alone else nullcontext():  # type: ignore[arg-type]
                begun.made = self._segment(begun, number)
            begun.stage = number + 1
        return begun

    def _segment(self, begun: Begun, number: int) -> _Made:
        """The samples after one segment more."""
        segment, made, generators = self._segments[number], begun.made, begun.generators
        whole = begun.apart or number < len(self._segments) - 1
        if not (segment.takes_batches and made.stack() and segment.fits(made.data, whole=whole)):
            return self._apart(segment, made, generators)
        try:
            with current(generators):
                return _Made(segment.function(made.data), made.count)
        except Exception:
            rows, again = begun.fetched, generators.afresh()
            for one in self._segments[: number + 1]:  # tells which row it is, where one alone is to blame
                rows = self._apart(one, rows, again)
            raise

    def _apart(self, segment: _Segment, made: _Made, generators: Generators) -> _Made:
        """Sample by sample through some stages."""
        samples = []
        for number, sample in enumerate(made.samples):
            try:
                with current(generators.one(number)) as alone:
                    samples.append(segment.function(sample))
                generators.asked |= alone.asked
            except Exception as error:
                note = f"in row {generators.rows[number]} of {self.source.name}"
                error.__notes__ = [*getattr(error, "__notes__", ()), note]  # type: ignore[attr-defined, unused-ignore]
                raise
        return _Made(None, made.count, samples)


class Begun:
    """Samples on their way through the transform.

    Attributes:
        fetched: as they came from the source.
        made: as they are now.
        stage: number of the segment that comes next.
        generators: theirs.
        apart: whether they are wanted one by one.
    """

    def __init__(self, fetched: _Made, generators: Generators, apart: bool) -> None:
        self.fetched = self.made = fetched
        self.stage = 0
        self.generators = generators
        self.apart = apart


class _Made:
    """Samples as one structure of arrays, or one by one, whichever there is; the other is made where it is needed."""

    def __init__(self, data: Any, count: int, samples: Sequence[Any] | None = None) -> None:
        self.data = data
        self.count = count
        self._list = samples

    @property
    def samples(self) -> Sequence[Any]:
        """One by one."""
        if self._list is None:
            self._list = Parts(self.data, self.count)
        return self._list

    def stack(self) -> bool:
        """Have `data`, if the samples are of one shape."""
        if self.data is None and self._list is not None:
            try:
                self.data = stack(self._list)
            except (DataError, NoRoute):
                return False
        return True

    def batch(self, ragged: RaggedRows) -> Any:
        """As one batch, for users."""
        if self.data is None and self._list is not None:
            self.data = stack(self._list, ragged=ragged)
        return finish(self.data)

    def with_lengths(self, names: Sequence[str]) -> _Made:
        """With `<name>_length` beside each of these that is an array in the samples."""
        samples = []
        for sample in self.samples:
            lengths = {}
            for name in names:
                array = sample.get(name) if type(sample) is dict else None
                if array is not None and kind_of(array) is not None and (shape := shape_of(array)):
                    lengths[f"{name}_length"] = shape[-1]
            samples.append({**sample, **lengths} if lengths else sample)
        return _Made(None, self.count, samples)


class _Segment:
    """Stages that follow each other, all of which take a batch as one array, or none of which does.

    Attributes:
        stages: with their labels.
        function: all of them, as one function of a sample or batch.
        takes_batches: whether the function may be given a batch, if it `fits`.
        foreign: whether the stages are callables of others, which may draw from the global generators.
        reads_only: whether the stages are ours, whose contract is never to write to what they are given.
    """

    def __init__(self, stages: tuple[tuple[str, Any], ...], takes_batches: bool, foreign: bool) -> None:
        self.stages = stages
        self.takes_batches = takes_batches
        self.foreign = foreign
        self.reads_only = takes_batches and all(type(one).__module__.startswith("bridgeflow.") for _, one in stages)
        self.function: Callable[[Any], Any] = (
            Runner([Stage(label, one) for label, one in stages])
            if takes_batches
            else partial(_one_after_other, tuple(as_function(label, one) for label, one in stages))
        )
        self._verdicts: dict[Any, tuple[bool, bool]] = {}

    def fits(self, data: Any, *, whole: bool) -> bool:
        """Whether every array that a stage would be given has axes for it behind the batch's.

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


def _in_torchs_worker() -> bool:
    worker = loaded("torch.utils.data._utils.worker")
    return worker is not None and worker.get_worker_info() is not None


def _is_leaf(leaf: object) -> bool:
    """Whether a leaf is an array, or stands for what is none."""
    return isinstance(leaf, Values) or is_array(leaf)
