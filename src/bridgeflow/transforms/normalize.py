"""Normalize: signals at a level and a scale that are known before, for all or for each group by itself."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow.bridge import kind_of, to_numpy
from bridgeflow.errors import ConfigError, DataError, KeyNotFound, nearest, quoted
from bridgeflow.io.files import open_regular
from bridgeflow.policy import parse_word
from bridgeflow.ranges import Finite, Range
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms.along_time import TimeTransform
from bridgeflow.transforms.arithmetic import affine_dtype, elementwise, elementwise_spec
from bridgeflow.transforms.base import LeafTransform, Transform
from bridgeflow.transforms.facts import RecordingFacts
from bridgeflow.transforms.reach import Reach
from bridgeflow.transforms.registry import register
from bridgeflow.transforms.runner import opened, put_back, select

__all__ = [
    "Level",
    "Normalize",
    "NormalizeBy",
    "Unseen",
    "group_label",
    "group_labels",
    "load_statistics",
    "plain_label",
    "save_statistics",
]

Level: TypeAlias = Finite | tuple[Finite, ...] | tuple[tuple[Finite, ...], ...]
"""One number for all, or one for each channel: nested as the axes of a sample but for time."""

Label: TypeAlias = Annotated[int, Range(-(1 << 62), 1 << 62)]
"""The label of a group, where it is a number."""

Unseen: TypeAlias = Literal["error", "overall"]
"""What happens to a group without statistics of its own: an error, or those of all groups together."""

_VERSION = 1

_LARGEST = 64 << 20
"""Bytes of a file of statistics."""


@dataclass(frozen=True, kw_only=True)
class _Normalizing(TimeTransform):
    """What `Normalize` and `NormalizeBy` have in common."""

    has_statistics = True

    center: Level = 0.0
    scale: Level = 1.0
    part: str | None = field(default=None, compare=False, repr=False)

    def check_shared_fields(self) -> None:
        """`keys`, `axis`, and levels that fit each other."""
        super().check_shared_fields()
        if not isinstance(self.part, (str, type(None))):
            raise ConfigError(f"{type(self).__name__}: part must be text, got {self.part!r}", field="part")
        for name in ("center", "scale"):
            object.__setattr__(self, name, _parse_level(getattr(self, name), f"{type(self).__name__}: {name}", name))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a sample but for time, as far as levels differ."""
        return max(np.shape(self.center), np.shape(self.scale), key=len)

    @property
    def core_ndim(self) -> int | None:
        """From the first axis along which levels differ, or that of time, to the last."""
        return None if self.axis >= 0 else -self.axis + max(len(self.shape) - (-self.axis - 1), 0)

    def core_axes(self, ndim: int) -> frozenset[int] | None:
        """The axes along which levels differ."""
        if not -ndim <= self.axis < ndim:
            return None
        rows = [number for number in range(ndim) if number != range(ndim)[self.axis]]
        return frozenset(rows[len(rows) - len(self.shape) :] if self.shape else ())

    @property
    def reach(self) -> Reach | None:
        """Every sample alone."""
        return Reach(0, 0)

    @property
    def stream_obstacle(self) -> str:
        """None."""
        return ""

    def rows_spec(self, spec: ArraySpec) -> ArraySpec:
        """The same shape in new memory; integers and booleans as floats."""
        self._check(spec.shape[:-1])
        return elementwise_spec(spec, lambda inside: affine_dtype(inside.dtype, None))

    def step_rows(self, x: Any, state: Any) -> tuple[Any, Any]:
        """One chunk."""
        return self.transform_rows(x), state

    def _check(self, rows: Sequence[int | None]) -> None:
        channels = tuple(rows[len(rows) - len(self.shape) :]) if self.shape else ()
        if len(channels) != len(self.shape) or any(
            n not in (None, m) for n, m in zip(channels, self.shape, strict=True)
        ):
            raise DataError(
                f"{type(self).__name__}: the statistics are of channels {list(self.shape)}, and the data have "
                f"{list(rows)} beside time"
            )


@register
@dataclass(frozen=True, kw_only=True)
class Normalize(_Normalizing):
    """`(x - center) / scale`, by numbers that are known before: those of a training set, from `FitStandardize`.

    Args:
        center: the level that is taken off: one number, or one for each channel.
        scale: what divides; 0 stands for a constant, and divides by 1.
        part: which part of a split the numbers come from, as `FitStandardize` found it; a note, which changes nothing.
        keys: which arrays; `None` for the only one.
        axis: of time.

    Arrays [..., channels, time] of any kind; kind, device, shape and dtype stay (integers and booleans become float32,
    wide ones float64). The arithmetic is that of the data's type, half precision in single. NaN and infinity stay.
    Gradients flow. It streams, and stands before or after `Window`.

    Raises:
        ConfigError: numbers that are not finite, a negative scale, levels of different shapes.
        DataError: the data have other channels.

    >>> Normalize(center=(1.0, 10.0), scale=(2.0, 5.0))(np.array([[1.0, 3.0], [0.0, 20.0]]))
    array([[ 0.,  1.],
           [-2.,  2.]])
    """

    def transform_rows(self, x: Any) -> Any:
        """The signals at their level and scale."""
        return elementwise(self._of_values, x)

    def _of_values(self, x: Any) -> Any:
        self._check(x.shape[:-1])
        is_array = isinstance(x, np.ndarray)
        result = affine_dtype(str(x.dtype.name) if is_array else str(x.dtype).removeprefix("torch."), None)
        work = "float32" if result in ("float16", "bfloat16") else result
        center, divisor = self._constants
        if is_array:
            real = np.zeros((), work).real.dtype
            y: Any = np.subtract(x, center.astype(real), dtype=work)
            y /= divisor.astype(real)
            return y.astype(result, copy=False)
        torch: Any = loaded("torch")
        x = x.to(getattr(torch, work))
        center, divisor = (torch.from_numpy(one).to(device=x.device, dtype=x.real.dtype) for one in (center, divisor))
        return ((x - center) / divisor).to(getattr(torch, result))

    @cached_property
    def _constants(self) -> tuple[Any, Any]:
        """Level and divisor, float64 [channels, 1]."""
        center, scale = (np.array(one, np.float64)[..., None] for one in (self.center, self.scale))
        return center, np.where(scale == 0, 1.0, scale)


@register
@dataclass(frozen=True, kw_only=True)
class NormalizeBy(_Normalizing):
    """`(x - center) / scale`, by numbers for each group, such as those of each subject, from `FitStandardize(by=...)`.

    Args:
        by: the key of the group's label in a sample: text or a whole number. In a batch it holds one for each sample.
            In a dataset of recordings it is the label of the recording.
        groups: the labels of the groups.
        centers: for each group, what `center` is to `Normalize`.
        scales: for each group, what `scale` is to `Normalize`.
        unseen: what happens to other groups: `"error"`, or `"overall"`: `center` and `scale` are taken.
        center, scale: those of all groups together.
        part: as for `Normalize`.
        keys: which arrays; `None` for the only one.
        axis: of time.

    Everything else is as for `Normalize`. Where no sample has the label, as in a live stream, `of_group` gives the
    `Normalize` of one group.

    Raises:
        ConfigError: as for `Normalize`; not one level for each group.
        DataError: a group without statistics, and `unseen="error"`.
        KeyNotFound: a sample without the label.

    >>> by = NormalizeBy(by="subject", groups=("S1", "S2"), centers=(0.0, 10.0), scales=(1.0, 2.0), keys="x")
    >>> by({"x": np.array([10.0, 12.0]), "subject": "S2"})["x"]
    array([0., 1.])
    """

    by: str
    groups: tuple[str | Label, ...]
    centers: tuple[Level, ...]
    scales: tuple[Level, ...]
    unseen: Unseen = "error"

    def __post_init__(self) -> None:
        parse_word(self.unseen, Unseen, field="NormalizeBy: unseen")
        groups: Any = self.groups
        object.__setattr__(self, "groups", tuple(groups))
        if not self.groups or len({*self.groups}) < len(self.groups):
            raise ConfigError("NormalizeBy: groups must be the labels of one or more groups, each once", field="groups")
        for name in ("centers", "scales"):
            levels = tuple(_parse_level(one, f"NormalizeBy: {name}", name) for one in getattr(self, name))
            if len(levels) != len(self.groups) or any(np.shape(one) not in ((), self.shape) for one in levels):
                problem = f"one level of the shape of center for each of the {len(self.groups)} groups"
                raise ConfigError(f"NormalizeBy: {name} must be {problem}", field=name)
            object.__setattr__(self, name, levels)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a sample but for time, as far as levels differ."""
        levels = [self.center, self.scale, *self.centers, *self.scales]
        return max((np.shape(one) for one in levels), key=len)

    @property
    def core_ndim(self) -> int | None:
        """Nothing is said: the label beside the array is looked at too."""
        return None

    def core_axes(self, ndim: int) -> frozenset[int] | None:
        """Likewise."""
        return None

    @property
    def stream_obstacle(self) -> str:
        """Which group a chunk belongs to."""
        return (
            f"NormalizeBy looks at {self.by!r} of each sample; of_group gives the transform of one group, which streams"
        )

    def of_group(self, label: Any) -> Normalize:
        """The transform for one group.

        Raises:
            DataError: there are no statistics of this group, and `unseen="error"`.
        """
        label = plain_label(label, self.by)
        number = next((n for n, group in enumerate(self.groups) if group == label and type(group) is type(label)), None)
        if number is None and self.unseen == "error":
            shown = nearest(str(label), [str(group) for group in self.groups])
            raise DataError(
                f"NormalizeBy: no statistics of {self.by} {quoted(str(label))} ({shown}); fit with that group, or take "
                "unseen='overall'"
            )
        center, scale = (self.center, self.scale) if number is None else (self.centers[number], self.scales[number])
        return Normalize(center=center, scale=scale, part=self.part, keys=self.keys, axis=self.axis)

    def in_recording(self, facts: RecordingFacts) -> LeafTransform:
        """The transform for the group of a recording."""
        return self.of_group(facts.labels[self.by]) if self.by in facts.labels else self

    def __call__(self, data: Any, /, *more: Any) -> Any:
        """Transform the arrays of a sample, or of a batch whose label holds one for each sample."""
        if more:
            raise DataError(f"NormalizeBy: expected one sample with the key {self.by!r}, got {1 + len(more)} arguments")
        labels = group_labels(data, self.by)
        if labels is None:
            return self.of_group(group_label(data, self.by))(data)
        data = opened(data, self)
        recipe, leaves = select(data, self)
        ones = [self.of_group(label) for label in labels]
        return put_back(recipe, data, [self._of_batch(leaf, ones) for leaf in leaves])

    def _of_batch(self, x: Any, ones: Sequence[Normalize]) -> Any:
        """A batch whose samples are of these groups."""

        def each(x: Any) -> Any:
            if len(x) != len(ones):
                raise DataError(f"NormalizeBy: {len(ones)} labels of {self.by!r} for a batch of {len(x)} samples")
            parts = [one.apply(row) for one, row in zip(ones, x, strict=True)]
            return np.stack(parts) if isinstance(x, np.ndarray) else loaded("torch").stack(parts)  # type: ignore[union-attr]

        return elementwise(each, x)

    def transform_rows(self, x: Any) -> Any:
        """A single array, of whose group nothing is known."""
        raise KeyNotFound(
            f"NormalizeBy: an array alone has no {self.by!r}; give a sample with it, or take of_group(...) of one group"
        )


def group_labels(data: Any, by: str) -> list[Any] | None:
    """The labels of a batch; `None` for a sample, which has one.

    Raises:
        KeyNotFound: the data have none.
    """
    label = group_label(data, by)
    if isinstance(label, (list, tuple)):
        return list(label)
    if kind_of(label) is None or isinstance(label, str):
        return None
    if kind_of(label) == "arrow" and hasattr(label, "to_pylist"):
        return list(label.to_pylist())
    values = to_numpy(label)
    return None if values.ndim == 0 else list(values.tolist())


def group_label(data: Any, by: str) -> Any:
    """The label of a sample, or the labels of a batch.

    Raises:
        KeyNotFound: the data have none.
    """
    try:
        return data[by]
    except (KeyError, IndexError, TypeError, ValueError):
        names = [str(name) for name in data] if isinstance(data, dict) else []
        raise KeyNotFound(f"no {quoted(by)} in the sample, which says its group; {nearest(by, names)}") from None


def plain_label(label: Any, by: str) -> Any:
    """A label as plain text or number."""
    plain = to_numpy(label).tolist() if kind_of(label) is not None and not isinstance(label, str) else label
    plain = plain.as_py() if hasattr(plain, "as_py") else plain
    plain = plain.item() if isinstance(plain, np.generic) else plain
    if isinstance(plain, float) and plain.is_integer():
        plain = int(plain)
    if not isinstance(plain, (str, int)) or isinstance(plain, bool):
        raise DataError(f"the label {by!r} of a group must be text or a whole number, got {label!r}")
    return plain


def _parse_level(value: Any, what: str, field: str) -> Any:
    """A number, or tuples of them, as deep as they are given."""
    try:
        numbers = np.array(value, np.float64)
    except (TypeError, ValueError):
        numbers = np.array(np.nan)
    if numbers.ndim > 2 or not np.isfinite(numbers).all() or (field.startswith("scale") and (numbers < 0).any()):
        least = "finite numbers of at least 0" if field.startswith("scale") else "finite numbers"
        raise ConfigError(f"{what} must be {least}, one or one for each channel, got {value!r}", field=field)
    plain = numbers.tolist()
    return tuple(tuple(row) if isinstance(row, list) else row for row in plain) if isinstance(plain, list) else plain


# --- in a file ---


def save_statistics(transform: Transform, path: str | os.PathLike[str]) -> None:
    """Write a fitted transform to a JSON file, which replaces another of that name when it is whole.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_statistics(Normalize(center=1.0, scale=2.0), f"{folder}/ecg.json")
    ...     load_statistics(f"{folder}/ecg.json") == Normalize(center=1.0, scale=2.0)
    True
    """
    target = Path(path)
    text = json.dumps({"version": _VERSION, "transform": transform.to_config()}, indent=1, allow_nan=False)
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with open(partial, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def load_statistics(
    path: str | os.PathLike[str], *, roots: Sequence[str | os.PathLike[str]] | None = None
) -> Transform:
    """The transform that `save_statistics` wrote.

    Args:
        path: of the file.
        roots: folders beneath one of which it must lie, all links followed; `None` for anywhere.

    Raises:
        DataError: the file is missing or damaged, outside of the roots, or of another version.
    """
    shown = os.fspath(path)
    with os.fdopen(open_regular(path, roots=None if roots is None else tuple(map(Path, roots))), "rb") as file:
        text = file.read(_LARGEST + 1)
    if len(text) > _LARGEST:
        raise DataError(f"{shown}: a file of statistics has at most {_LARGEST:,} bytes")
    try:
        saved = json.loads(text)
        version, config = saved["version"], saved["transform"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{shown}: expected a file of save_statistics, got {type(error).__name__}: {error}") from error
    if version != _VERSION:
        raise DataError(f"{shown}: the statistics are of version {version!r}; this library reads {_VERSION}")
    return Transform.from_config(config)
