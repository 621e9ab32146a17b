"""`SignalDataset`: rows of a source as samples, and, at the cost of few samples, as batches of the same numbers.

A batch is fetched as one slice or one gather of columns, converted as columns, and run through each transform as one
array where the transform says with `core_ndim` that this gives every sample what it gets alone. All others (plain
callables, rows of unequal length, axes that a sample lacks) run sample by sample and are stacked. Nothing is guessed.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np

from bridgeflow.errors import DataError
from bridgeflow.io import Source
from bridgeflow.io.disk_cache import DiskCache
from bridgeflow.pipeline.batches import RaggedRows, Samples, SampleSet, register_with_torch
from bridgeflow.pipeline.chains import WholeRecordings
from bridgeflow.pipeline.columns import ArrayKind, ColumnFetcher
from bridgeflow.pipeline.compose import AnyStage
from bridgeflow.pipeline.epoch import SharedEpoch, in_torchs_worker
from bridgeflow.pipeline.foreign import BatchKey
from bridgeflow.pipeline.hub_rows import HubStream
from bridgeflow.pipeline.lazy import RecordingWindows
from bridgeflow.pipeline.notebook import dataset_html
from bridgeflow.pipeline.partners import Mix, with_partners
from bridgeflow.pipeline.ray_rows import is_ray_rows
from bridgeflow.pipeline.recording_protocols import is_recordings
from bridgeflow.pipeline.row_sources import no_row, open_rows, rows_digest
from bridgeflow.pipeline.segments import PartialBatch, SegmentedTransform
from bridgeflow.pipeline.streamed import StreamedRows, TableFetcher
from bridgeflow.pipeline.window_parts import fold_windows, leave_out_windows, reject_windows, split_windows
from bridgeflow.pipeline.window_stages import stages_of, window_stages
from bridgeflow.policy import Nulls, parse_word, words
from bridgeflow.randomness import Generators, parse_seed
from bridgeflow.recordings.foreign import as_recordings, is_foreign_recording
from bridgeflow.recordings.split_part import SplitPart
from bridgeflow.recordings.splits import call_text, fold_names, part_names

__all__ = ["ArrayKind", "SignalDataset"]


class Parts(Protocol):
    """Datasets by the names of parts, as `TrainingPipeline` has them."""

    @property
    def datasets(self) -> Mapping[str, SignalDataset]:
        """The dataset of each part."""

    def loader_options(self, part: str) -> dict[str, Any]:
        """The arguments of the `Loader` of a part."""


class SignalDataset:
    """Examples in a file or in memory, one per row: a map-style dataset for `Loader` and for PyTorch's `DataLoader`.

    A sample is a dict of the row's columns after the transform. A column of numbers gives tensors: `[N, 8, 1024]` in
    the file is `[8, 1024]` in a sample; one number per row is a tensor without axes, so name the signals with `keys` in
    a transform that works along an axis. Lists are rows of their own length. Text, structures and whatever else has no
    place in an array are plain Python values, and lists of them in a batch. Memory is yours to write to, and is shared
    with neither the file nor another batch; where nothing has to be converted, it is a view of the mapped file. Element
    types stay as they are, in this machine's byte order; complex32, which neither NumPy nor Arrow has, is refused.

    Batch and samples have equal numbers, bit for bit on a CPU.

    Args:
        source: a path, anything else that `bridgeflow.io.open_source` takes, or an open `Source`; `Recordings`, a `Raw`
            of MNE or a `Stream` of ObsPy; a `Dataset` or `IterableDataset` of Hugging Face's datasets, or of Ray's.
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
        whole: of recordings, what happens to a stage before the windows that needs the whole recording: `"refuse"`, an
            error that names it; or `"cache"`: computed once for each recording, and kept while there is room.
        state_nbytes: of recordings, bytes of filter states that each may keep.
        cache_nbytes: of recordings, bytes of what was computed lately and is kept, of all together.
        cache: of recordings, a folder where filter states are kept for the next program, or a `DiskCache`; `None` for
            none. Bits do not depend on it.

    Of recordings (`bridgeflow.Recordings`) a row is a window: the stages before `Window` are continuous, and a window
    has the bits of the same window out of the whole recording; those after it see one window. A sample adds
    `recording`, `start` (the first sample) and the columns of the recordings' table. Nothing is computed before a
    window is asked for.

    Attributes:
        rejected: how many windows of recordings each rule of `reject` left out.

    Raises:
        DataError: the source cannot be read; a row cannot be part of a batch.
        ConfigError: an unknown option.

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
        whole: WholeRecordings = "refuse",
        state_nbytes: int = 16 << 20,
        cache_nbytes: int = 64 << 20,
        cache: str | os.PathLike[str] | DiskCache | None = None,
    ) -> None:
        if transform is not None and (isinstance(transform, type) or not callable(transform)):
            raise TypeError(f"transform must be a transform or another callable of a sample, got {transform!r}")
        parse_word(kind, ArrayKind, field="kind")
        parse_word(ragged, RaggedRows, field="ragged")
        if isinstance(nulls, str) and nulls not in words(Nulls):
            parse_word(nulls, Nulls, field="nulls")
        self.source: Source | RecordingWindows | HubStream
        source = as_recordings([source]) if is_foreign_recording(source) else source
        if is_recordings(source):
            if (columns, format, nulls, normalize, max_nbytes) != (None, None, "error", False, None):
                raise ValueError(
                    "columns, format, nulls, normalize and max_nbytes are chosen where recordings are opened"
                )
            self.source = RecordingWindows(
                source,
                transform,
                kind=kind,
                whole=whole,
                state_nbytes=state_nbytes,
                cache_nbytes=cache_nbytes,
                cache=DiskCache.of(cache),
            )
        elif cache is not None:
            raise ValueError("cache keeps filter states of recordings, and this dataset is of rows; leave it out")
        else:
            keep: Literal["error", "keep"] = "error" if nulls == "error" else "keep"
            self.source = open_rows(
                source, columns=columns, format=format, nulls=keep, normalize=normalize, max_nbytes=max_nbytes
            )
        self.transform = transform
        self.kind = kind
        self.nulls = nulls
        self.ragged = ragged
        self.seed = parse_seed(seed)
        self.rejected: dict[str, int] = {}
        self._epoch = SharedEpoch()

    @classmethod
    def from_pipeline(cls, pipeline: Parts, part: str = "train") -> SignalDataset:
        """The dataset of a part of what `bridgeflow.load_pipeline` read.

        Raises:
            KeyNotFound: there is no such part.
        """
        return pipeline.datasets[part]

    @classmethod
    def from_ray(
        cls, dataset: Any, transform: AnyStage | None = None, *, columns: Sequence[str] | None = None, **options: Any
    ) -> SignalDataset:
        """The rows of a `ray.data.Dataset`, or of what `ray.train.get_dataset_shard` gives, for a `Loader`: they come a
        batch after the other, in an order that the dataset keeps from now on. Args as for `SignalDataset`.
        """
        if not is_ray_rows(dataset):
            raise TypeError(f"from_ray: expected a ray.data.Dataset or DataIterator, got a {type(dataset).__name__}")
        return cls(dataset, transform, columns=columns, **options)

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
        register_with_torch()
        batch = self._begin(np.array([number]), as_samples=True)
        sample = self._samples(self._finish(batch))[0]
        if batch.generators.used and in_torchs_worker():
            self._note_drawn(batch)
        return sample

    def __getitems__(self, indices: Sequence[int]) -> Samples:
        """`samples`, for PyTorch's `DataLoader`, whose own collation takes them for what they are.

        Warns once when rows are drawn a second time in an epoch, which gives them the same random numbers again.
        """
        register_with_torch()
        batch = self._begin(self._rows(indices), as_samples=True)
        samples = self._samples(self._finish(batch))
        if batch.generators.used:
            self._note_drawn(batch)
        return samples

    def _note_drawn(self, batch: PartialBatch) -> None:
        row = self._epoch.drawn_again(batch.generators.rows)
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
        return self._samples(self._finish(self._begin(self._rows(indices), seed=seed, epoch=epoch, as_samples=True)))

    def _samples(self, samples: SampleSet) -> Samples:
        return Samples(samples.count, lambda: samples.samples, lambda: samples.batch(self.ragged))

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
        return self._finish(self._begin(rows, seed=seed, epoch=epoch)).batch(self.ragged)

    # --- parts of recordings' windows ---

    def split(
        self, fractions: Sequence[float], *, by: str | None = None, stratify: str | None = None, seed: int = 0
    ) -> tuple[SignalDataset, ...]:
        """Parts of the windows of recordings that share no recording, no group, or no sample.

        Args:
            fractions: the share of each part, together 1.
            by: a label whose values stay together, such as `"subject"`; `None` for recordings; `"time"` for the first,
                second, ... part of each recording, where windows that reach into another part are left out.
            stratify: a label of which each part gets its share; not by time.
            seed: of the assignment; not by time.

        Raises:
            DataError: fewer groups than parts, recordings without the label.
            ValueError: fractions that do not sum to 1; rows that are not windows of recordings.
        """
        windows = self._windows("split")
        members = split_windows(windows, fractions, by=by, stratify=stratify, seed=seed)
        split = call_text("split", tuple(fractions), by=by, stratify=stratify, seed=seed)
        names, parent = part_names(len(members)), self.digest()
        return tuple(
            self._choose(rows, SplitPart(name, split, parent)) for name, rows in zip(names, members, strict=True)
        )

    def folds(
        self,
        k: Any,
        *,
        by: str | None = None,
        stratify: str | None = None,
        seed: int = 0,
        purge: bool = False,
    ) -> list[tuple[SignalDataset, SignalDataset]]:
        """Pairs of training and test windows of recordings.

        Args:
            k: how many folds, of recordings or of groups of them; a table with columns `id` (of recordings) and `fold`,
                or the path of one (CSV, TSV, Parquet, Arrow); or a splitter of scikit-learn, which is given the numbers
                of the windows, what `stratify` names of each, and what `by` names.
            by: a label whose values stay together; `None` for recordings; `"time"` for `k` stretches of each recording
                as test parts, where training windows that share samples with the test part are left out.
            stratify: a label of which each part gets its share; for a splitter also the name of an `EventLabels`.
            seed: of the assignment.
            purge: leave out the training windows that share samples with test windows, where a splitter has put windows
                of one recording on both sides; otherwise that is an error.

        Raises:
            DataError: a group, a file or a sample would be on both sides; fewer groups than folds; recordings without
                the label.
            ValueError: rows that are not windows of recordings, or are drawn at random.

        >>> from bridgeflow import Recordings, Window
        >>> many = Recordings.from_arrays([np.zeros((1, 90))] * 4, fs=1, labels={"subject": list("aabb")})
        >>> train, test = SignalDataset(many, Window(length=30)).folds(2, by="subject")[0]
        >>> len(train), len(test), test.part.name
        (6, 6, 'test part of fold 1 of 2')
        """
        members = fold_windows(self._windows("folds"), k, by=by, stratify=stratify, seed=seed, purge=purge)
        return self._pairs(members, call_text("folds", k, by=by, stratify=stratify, seed=seed, purge=purge or None))

    def leave_one_group_out(self, by: str) -> list[tuple[SignalDataset, SignalDataset]]:
        """Pairs of training and test windows: each value of a label of recordings is the test part once, in order.

        Errors as for `folds`.
        """
        members = leave_out_windows(self._windows("leave_one_group_out"), by)
        return self._pairs(members, call_text("leave_one_group_out", by))

    def _pairs(self, members: Sequence[tuple[Any, Any]], split: str) -> list[tuple[SignalDataset, SignalDataset]]:
        parent = self.digest()
        return [
            (self._choose(train, SplitPart(one, split, parent)), self._choose(test, SplitPart(other, split, parent)))
            for (one, other), (train, test) in zip(fold_names(len(members)), members, strict=True)
        ]

    @property
    def part(self) -> SplitPart | None:
        """Which part of a split the windows of recordings are; `None` for none."""
        return self.source.part if isinstance(self.source, RecordingWindows) else None

    def reject(
        self,
        *,
        amplitude: float | None = None,
        flat: float | None = None,
        clipped: float | None = None,
        events: str | Sequence[str] = (),
    ) -> SignalDataset:
        """The windows of recordings that no rule rejects; `rejected` of the result counts those of each rule.

        All windows are computed once, one after the other, as the stages after `Window` are given them. A window is
        counted under the first rule that rejects it, in the order events, flat, clipped, amplitude.

        Args:
            amplitude: the largest magnitude allowed.
            flat: a channel whose largest and smallest sample differ by no more than this is flat.
            clipped: the largest part of a channel's samples allowed at its largest or at its smallest value, 0 to 1.
            events: texts of events, or patterns, that a window must not overlap.

        Raises:
            ValueError: no rule; rows that are not windows of recordings, or are drawn at random.
        """
        rows, counts = reject_windows(
            self._windows("reject"), amplitude=amplitude, flat=flat, clipped=clipped, events=events
        )
        kept = self._choose(rows)
        kept.rejected = {**self.rejected, **counts}
        return kept

    def _windows(self, what: str) -> RecordingWindows:
        if isinstance(self.source, RecordingWindows):
            return self.source
        raise ValueError(f"{what} is for windows of recordings, and this dataset is of rows of {self.source.name}")

    def _choose(self, rows: Any, part: SplitPart | None = None) -> SignalDataset:
        chosen = copy(self)
        chosen.source = self._windows("choose").choose(rows, part)
        return chosen

    def digest(self) -> str:
        """What tells this dataset's rows from another's: name, number of rows, columns; not the transform."""
        if not isinstance(self.source, Source):
            return self.source.digest()
        return rows_digest(self.source, len(self))

    def __repr__(self) -> str:
        rejected = f", rejected={self.rejected}" if self.rejected else ""
        part = f", part={str(self.part)!r}" if self.part else ""
        return f"SignalDataset({self.source!r}{part}{rejected}, transform={self.transform!r})"

    def _repr_html_(self) -> str:
        return dataset_html(self)

    def __getstate__(self) -> dict[str, Any]:
        derived = ("_fetcher", "_tables", "_segmented", "_replaced")
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
            raise no_row(self, number)
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
            raise no_row(self, wrong)
        rows = rows.astype(np.int64, copy=False)
        return rows if lowest >= 0 else rows % len(self)

    # --- from rows to samples ---

    @cached_property
    def _fetcher(self) -> ColumnFetcher | RecordingWindows:
        source: Any = self.source
        return source if isinstance(source, RecordingWindows) else ColumnFetcher(source, self.kind, self.nulls)

    @cached_property
    def _tables(self) -> TableFetcher:  # of a stream
        source: Any = self.source
        return TableFetcher(source.features, source.name, source.columns, self.kind, self.nulls, self._segmented)

    @cached_property
    def _segmented(self) -> SegmentedTransform:
        source = self.source
        if isinstance(source, RecordingWindows):
            return SegmentedTransform(window_stages(self.transform, source), source.name)
        return SegmentedTransform(stages_of(self.transform), source.name)

    @cached_property
    def _replaced(self) -> frozenset[str]:
        try:  # the columns that the transform is sure to replace by new arrays
            columns = {name: self._fetcher.describe(name) for name in self._fetcher.conversions}
        except DataError:
            return frozenset()
        return self._segmented.replaced(columns)

    @property
    def _foreign(self) -> bool:
        """Whether the transform has callables of others in it, which may draw from the global generators."""
        return self._segmented.foreign

    def _fetch(self, rows: Any, key: tuple[int, int] = (0, 0)) -> SampleSet:
        """The rows' columns, or windows, before any transform that sees a row; `key` is seed and epoch."""
        if isinstance(self._fetcher, RecordingWindows):
            return self._fetcher.fetch(rows, key)
        return self._fetcher.fetch(rows, self._replaced)

    def _begin(
        self, rows: Any, *, seed: int | None = None, epoch: int | None = None, as_samples: bool = False, first: int = 0
    ) -> PartialBatch:
        """Fetch the rows and take them through our own stages, as far as the first callable of others.

        For loaders, which may do so in any thread.

        Args:
            as_samples: whether the samples are wanted, so that they must not be made into what cannot be taken apart.
            first: the number that row 0 has among the rows that random numbers belong to.
        """
        key = self.seed if seed is None else seed, self.epoch if epoch is None else epoch
        if isinstance(rows, StreamedRows):
            return self._tables.begin(rows, key, as_samples)
        mixes: list[Mix] = []
        if self._segmented.mixing:
            rows, mixes = with_partners(self._segmented.mixing, rows, key, len(self), first=first)
        generators = Generators(*key, rows + first if first else rows, batched=True)
        return self._segmented.run_own(PartialBatch(self._fetch(rows, key), generators, as_samples, mixes))

    def _finish(self, batch: PartialBatch, key: BatchKey | None = None) -> SampleSet:
        """Take them through the rest.

        Args:
            key: what to seed the global generators with, for callables of others; `None` to leave them alone.
        """
        if isinstance(self.source, HubStream):
            return self._tables.finish(batch, key, padded=self.ragged == "pad")
        samples = self._segmented.run_rest(batch, key)
        conversions = self._fetcher.conversions if self.ragged == "pad" else {}
        lists = [name for name, conversion in conversions.items() if conversion == "lists"]
        return samples.with_lengths(lists) if lists else samples
