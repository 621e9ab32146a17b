"""Parts of a pipeline file as plain values: the split, the windows that are left out, how batches are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from bridgeflow.io.options import option
from bridgeflow.pipeline.batches import RaggedRows
from bridgeflow.pipeline.columns import ArrayKind
from bridgeflow.pipeline.worker_process import StartMethod
from bridgeflow.policy import Nulls

__all__ = [
    "BalancedOptions",
    "BucketedOptions",
    "DatasetOptions",
    "LoaderOptions",
    "PerGroupOptions",
    "RejectOptions",
    "ShuffleChoice",
    "SplitOptions",
    "WeightedOptions",
]

ShuffleChoice: TypeAlias = Literal["exact", "windowed"]
"""Any row at any place; or blocks of rows shuffled, and rows within a window of them."""


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """Parts of recordings by `fractions`, by `folds`, or by a label that names them (`column`)."""

    fractions: Mapping[str, float] | None = option(
        None, "The share of each part by its name, together 1, as in `{train: 0.7, val: 0.15, test: 0.15}`."
    )
    folds: int | None = option(None, "Number of folds; the parts are `train` and `test`.", ge=2, le=1000)
    fold: int = option(0, "Which of the folds is `test`, from 0.", ge=0, le=999)
    column: str | None = option(None, "The label whose values are the names of the parts.")
    by: str | None = option(
        None,
        "A label whose values stay together, such as `subject`; `time` for stretches of each recording, one after the "
        "other. Where left out, recordings stay together.",
    )
    stratify: str | None = option(None, "A label of which each part gets its share.")
    seed: int = option(0, "Another one gives other parts.", ge=0, le=2**63 - 1)


@dataclass(frozen=True, kw_only=True)
class RejectOptions:
    """Rules on windows, as `SignalDataset.reject` has them."""

    amplitude: float | None = option(None, "The largest magnitude allowed, in the unit of the windows.", ge=0)
    flat: float | None = option(
        None, "A channel whose largest and smallest sample differ by no more than this is flat.", ge=0
    )
    clipped: float | None = option(
        None, "The largest part of a channel's samples allowed at its largest or smallest value.", ge=0, le=1
    )
    events: str | tuple[str, ...] | None = option(None, "Texts of events, or patterns, that a window must not overlap.")


@dataclass(frozen=True, kw_only=True)
class DatasetOptions:
    """What samples and batches are, as `SignalDataset` has it."""

    kind: ArrayKind = option("torch", "Samples hold `torch` tensors or `numpy` arrays.")
    nulls: Nulls = option("error", "What nulls in rows of files become; recordings say it in their source.")
    ragged: RaggedRows = option(
        "error", "Arrays of unequal length in a batch: an `error`, completed with zeros (`pad`), or a `list`."
    )


_BY = "The column of labels or groups: a stored one; of recordings `recording`, a label, `event`, or EventLabels' name."
_AGAIN = "Whether rows may come more than once in an epoch."
_COUNT = "Rows in an epoch; where left out, as many as the dataset has, or as there can be."
_ROWS = {"ge": 1, "le": 2**40}


@dataclass(frozen=True, kw_only=True)
class BalancedOptions:
    """As many rows of each class."""

    by: str = option("label", _BY)
    replacement: bool = option(True, _AGAIN)
    num_samples: int | None = option(None, _COUNT, **_ROWS)


@dataclass(frozen=True, kw_only=True)
class WeightedOptions:
    """Rows drawn with a probability in proportion to their weights."""

    weights: str = option("weight", "The column of weights, finite and not negative.")
    replacement: bool = option(True, _AGAIN)
    num_samples: int | None = option(None, _COUNT, **_ROWS)


@dataclass(frozen=True, kw_only=True)
class PerGroupOptions:
    """In each epoch k rows of each group, others in each epoch."""

    k: int = option(1, "Rows of each group.", ge=1, le=2**31 - 1)
    by: str = option("recording", _BY)
    replacement: bool = option(False, "Whether rows of a group with fewer than k come again.")
    together: bool = option(False, "Whether the k rows of a group stand next to each other.")


@dataclass(frozen=True, kw_only=True)
class BucketedOptions:
    """Batches of rows of like length, for `ragged: pad`."""

    by: str | None = option(
        None, "The column of lists, or of lengths; where left out, the only column of lists, or windows."
    )
    max_padding: float = option(0.2, "The largest share of a batch that may be padding.", ge=0, lt=1)
    max_samples: int | None = option(None, "The most samples in a padded batch.", **_ROWS)
    shuffle: bool = option(True, "Whether rows move within their bucket, and batches among each other.")


@dataclass(frozen=True, kw_only=True)
class LoaderOptions:
    """How batches are made, as `Loader` has it. `shuffle` and `drop_last` are those of the training part alone."""

    batch_size: int = option(32, "Samples in a batch.", ge=1, le=2**31 - 1)
    shuffle: bool | ShuffleChoice = option(
        True,
        "Of the training part: `exact` (any sample at any place), `windowed`, `true` for what suits the source, or "
        "`false`.",
    )
    seed: int = option(0, "Decides, with the epoch, the order of samples and all random numbers.", ge=0, le=2**63 - 1)
    drop_last: bool = option(False, "Of the training part: leave out a last batch that would be smaller.")
    window: int | None = option(None, "Of windowed shuffling: among how many samples each moves.", ge=1, le=2**31 - 1)
    num_workers: int = option(0, "Processes that make batches; 0 for threads.", ge=0, le=256)
    threads: int | None = option(
        None,
        "Threads that make batches where there are no workers; where left out, as many as suit, at most 4.",
        ge=0,
        le=256,
    )
    prefetch_factor: int = option(2, "Batches that each thread or worker has ready ahead.", ge=1, le=1024)
    multiprocessing_context: StartMethod = option("fork", "How workers are started.")
    device: str | None = option(None, "Where tensors are wanted, as in `cuda`; where left out, they stay in memory.")
