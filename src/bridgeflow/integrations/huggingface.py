"""Our transforms in Hugging Face's datasets, batch by batch on Arrow memory; `SignalDataset` reads such datasets."""

from __future__ import annotations

from typing import Any

from bridgeflow._optional import require
from bridgeflow.errors import ConfigError
from bridgeflow.pipeline.batches import SampleSet
from bridgeflow.pipeline.columns import ArrayKind
from bridgeflow.pipeline.compose import AnyStage
from bridgeflow.pipeline.segments import PartialBatch, SegmentedTransform
from bridgeflow.pipeline.streamed import TableFetcher
from bridgeflow.pipeline.window_stages import stages_of
from bridgeflow.policy import Nulls, parse_word
from bridgeflow.randomness import Generators
from bridgeflow.transforms.base import Transform

__all__ = ["with_transform"]

_FORMAT = "bridgeflow"
"""What the way of handing out rows is called among the formats of a dataset."""


def with_transform(
    dataset: Any, transform: AnyStage, *, kind: ArrayKind = "torch", nulls: Nulls | float = "error"
) -> Any:
    """The `datasets.Dataset` whose rows and batches are handed out as `transform` makes them.

    As `dataset.with_transform(transform)`, but the transform is given arrays over the dataset's Arrow memory, with
    their element types, where `datasets` itself hands over lists of Python's floats, which takes much longer and makes
    float64 of float32. Rows and batches are those of `SignalDataset(dataset, transform)`, and dicts as ever.

    Args:
        dataset: with its order and choice of rows, and of columns (`with_format(columns=...)`).
        transform: of a sample; stages of ours run on whole batches.
        kind, nulls: as for `SignalDataset`.

    Returns:
        A dataset of the same class over the same rows; columns of `Array2D` are nested lists in its features.

    Raises:
        TypeError: not a `datasets.Dataset`.
        ConfigError: augmentations, which draw by row number, and a dataset does not hand these to its transform.
        MissingDependency: `datasets` is not installed.

    Example:
        >>> import datasets, numpy as np
        >>> from bridgeflow import Scale
        >>> rows = datasets.Dataset.from_dict({"ecg": np.ones((3, 2, 4), "float32"), "label": [0, 1, 0]})
        >>> scaled = with_transform(rows, Scale(scale=2.0, keys="ecg"))
        >>> scaled[[2, 0]]["ecg"].shape, scaled[1]["ecg"].dtype
        (torch.Size([2, 2, 4]), torch.float32)
    """
    datasets = require("datasets", needed_for="with_transform")
    if not isinstance(dataset, datasets.Dataset):
        raise TypeError(f"with_transform: expected a datasets.Dataset, got a {type(dataset).__name__}")
    if isinstance(transform, Transform) and transform.random:
        raise ConfigError(
            "with_transform: the transform has augmentations, which draw by row number, and a dataset does not hand "
            "these on; pass SignalDataset(dataset, transform), or transform.eval()"
        )
    chosen = dataset.format
    columns = None if chosen["output_all_columns"] else chosen["columns"]
    listed = _arrays_as_lists(dataset, datasets)
    return listed.with_format(_FORMAT, columns=columns, transform=BatchTransform(transform, kind, nulls))


def _arrays_as_lists(dataset: Any, datasets: Any) -> Any:
    """The dataset with its columns of `Array2D` to `Array5D` as the nested lists that they are stored as.

    Over the same memory: gathering rows of the types themselves takes `datasets` longer than all the rest.
    """
    features = datasets.Features(dataset.features)
    for name, feature in dataset.features.items():
        if isinstance(feature, datasets.features.features._ArrayXD):
            lists = datasets.Value(feature.dtype)
            for _ in feature.shape:
                lists = datasets.List(lists)
            features[name] = lists
    if features == dataset.features:
        return dataset
    info = dataset.info.copy()
    info.features = features
    table = dataset._data.cast(features.arrow_schema)
    name = f"{dataset._fingerprint}-lists"
    return type(dataset)(table, info=info, split=dataset.split, indices_table=dataset._indices, fingerprint=name)


class BatchTransform:
    """A transform of the tables that a dataset's rows are taken out in; pickles, and is known to other processes.

    Args:
        transform, kind, nulls: as for `with_transform`.
    """

    def __init__(self, transform: AnyStage, kind: ArrayKind, nulls: Nulls | float) -> None:
        parse_word(kind, ArrayKind, field="kind")
        self.transform = transform
        self.kind = kind
        self.nulls = nulls
        self._segmented = SegmentedTransform(stages_of(transform), "<Dataset>")
        self._fetcher: TableFetcher | None = None
        _register()

    def samples(self, table: Any, features: Any) -> SampleSet:
        """The rows of a table after the transform."""
        if self._fetcher is None:
            self._fetcher = TableFetcher(features or {}, "<Dataset>", None, self.kind, self.nulls, self._segmented)
        samples, _ = self._fetcher.fetch(table)
        numbers = range(samples.count)
        batch = PartialBatch(samples, Generators(0, 0, numbers, batched=True), as_samples=False)
        return self._segmented.run_rest(batch, None)

    def __reduce__(self) -> tuple[Any, ...]:
        return BatchTransform, (self.transform, self.kind, self.nulls)


def _register() -> None:
    """Make the format known to `datasets` in this process, once."""
    formatting = require("datasets.formatting", needed_for="with_transform")
    if formatting._FORMAT_TYPES.get(_FORMAT) is None:
        formatting._register_formatter(_formatter(formatting), _FORMAT)


def _formatter(formatting: Any) -> type:
    """The class that `datasets` makes for each access to rows."""

    class ArraysFormatter(formatting.formatting.Formatter):  # type: ignore[misc]
        """Takes the table of the rows that are asked for through a `BatchTransform`."""

        def __init__(
            self, transform: BatchTransform, features: Any = None, token_per_repo_id: Any = None, **options: Any
        ) -> None:
            super().__init__(features=features, token_per_repo_id=token_per_repo_id)
            self.transform = transform

        def format_row(self, pa_table: Any) -> Any:
            """One sample."""
            return self.transform.samples(pa_table, self.features).samples[0]

        def format_column(self, pa_table: Any) -> Any:
            """One column of a batch."""
            return self.format_batch(pa_table)[pa_table.column_names[0]]

        def format_batch(self, pa_table: Any) -> Any:
            """A batch."""
            return self.transform.samples(pa_table, self.features).batch("list")

    return ArraysFormatter
