"""Samples mixed with others of the same dataset, and their labels with them: `Mixup`, `CutMix`.

Which sample a row is mixed with, and how, follows from seed, epoch and row alone: the partner is drawn among all rows
of the dataset and not among those that happen to be in the batch. A `SignalDataset` reads the partners' rows and takes
them through the same stages (`pipeline.partners`). Called on a batch, a transform takes partners out of that batch.

The draws come from a branch of the row's generator, so that they are known before any stage runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple, TypeAlias

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow.bridge import kind_of, like, shape_of, to_numpy
from bridgeflow.errors import ConfigError, DataError, StageId, naming
from bridgeflow.randomness import generators
from bridgeflow.ranges import Axis, Range
from bridgeflow.signal._axes import parse_axis
from bridgeflow.spec import ArraySpec, Exchange
from bridgeflow.transforms import fields
from bridgeflow.transforms.arithmetic import affine_dtype, elementwise_spec
from bridgeflow.transforms.augment.base import Array, Probability, duplicated, parse_p
from bridgeflow.transforms.augment.noise import check_count
from bridgeflow.transforms.augment.values import like_values, spread
from bridgeflow.transforms.base import Transform
from bridgeflow.transforms.plan import UNKNOWN, Plan, is_spec
from bridgeflow.transforms.registry import register
from bridgeflow.transforms.runner import is_array
from bridgeflow.tree import compile_recipe, parse_keys

__all__ = ["Classes", "CutMix", "Mixing", "Mixup", "Partners"]

Classes: TypeAlias = Annotated[int, Range(2, 1 << 20)]
"""How many classes there are."""

Concentration: TypeAlias = Annotated[float, Range(0, 1e6, open=True)]
"""Both parameters of a Beta distribution."""


class Partners(NamedTuple):
    """What is drawn for the samples of a batch.

    Args:
        rows: the row that each is mixed with, among all that there are; its own where it is not mixed.
        weights: the part of each that stays, from 0 to 1.
        places: where the part of the partner lies, from 0 to 1.
    """

    rows: Array
    weights: Array
    places: Array


@dataclass(frozen=True, kw_only=True)
class Mixing(Transform):
    """Samples mixed with those of other rows.

    Args:
        keys: which arrays are mixed; `None` for the only one beside the labels.
        labels: which are mixed as labels: class numbers become one-hot vectors of `classes`, floats stay what they are
            (one-hot and soft labels, several labels, targets of a regression); `()` for none.
        classes: how many classes there are; needed where labels are class numbers.
        alpha: of the distribution Beta(alpha, alpha) that the part of a sample comes from.
        p: how often a sample is mixed.
    """

    keys: str | Sequence[str] | None = None
    labels: str | Sequence[str]
    classes: Classes | None = None
    alpha: Concentration = 1.0
    p: Probability = 1.0

    def check_shared_fields(self) -> None:
        """`keys`, `labels` and numbers."""
        super().check_shared_fields()
        name = type(self).__name__
        for field in ("keys", "labels"):
            value = getattr(self, field)
            try:
                object.__setattr__(self, field, () if field == "labels" and value == () else parse_keys(value))
            except ValueError:
                expected = f"{name}: {field} must be paths such as ('ecg', 'lead.*')"
                raise ConfigError(f"{expected}, got {value!r}", field=field) from None
        if self.labels is None:
            raise ConfigError(f"{name}: labels must name the labels that are mixed; () for none", field="labels")
        if isinstance(self.alpha, bool) or not isinstance(self.alpha, (int, float)):
            raise ConfigError(f"{name}: alpha must be a number above 0, got {self.alpha!r}", field="alpha")
        if self.classes is not None:
            check_count(self.classes, what=name, field="classes")
        parse_p(self.p, what=name)
        fields.refuse_outside(self)

    # --- what a subclass says ---

    def mixed_arrays(self, x: Any, partners: Any, draws: Partners) -> tuple[Any, Array]:
        """Rows `[rows, ...]` mixed with their partners, and the part of each that stayed."""
        raise NotImplementedError

    def mixed_spec(self, spec: ArraySpec) -> ArraySpec:
        """What comes of an array."""
        raise NotImplementedError

    # --- the contract ---

    @property
    def random(self) -> bool:
        """Whether it is ever applied."""
        return self.p > 0

    @property
    def stream_obstacle(self) -> str:
        """Partners are rows of a dataset."""
        return f"{type(self).__name__} mixes samples of a dataset; pipeline.eval() leaves it out"

    def draw(self, rngs: Sequence[np.random.Generator], rows: Sequence[int], count: int) -> Partners:
        """The partners of rows.

        Args:
            rngs: the generator of each row's branch.
            rows: their numbers.
            count: of all rows that there are; a partner is another row, all alike, where there are several.
        """
        drawn = [self._draw_one(rng, int(row), count) for rng, row in zip(rngs, rows, strict=True)]
        partners, weights, places = zip(*drawn, strict=True)
        return Partners(np.array(partners, np.int64), np.array(weights), np.array(places))

    def _draw_one(self, rng: np.random.Generator, row: int, count: int) -> tuple[int, float, float]:
        if self.p < 1 and rng.random() >= self.p:
            return row, 1.0, 0.0
        other = (row + 1 + int(rng.integers(count - 1))) % count if count > 1 else row
        return other, float(rng.beta(self.alpha, self.alpha)), float(rng.random())

    def __call__(self, data: Any, /, *more: Any) -> Any:
        """A batch whose samples are mixed with each other; a single sample is mixed with itself.

        Raises:
            OutOfContext: no rows are known; see `bridgeflow.seeded`.
            DataError: arrays of other lengths than there are rows.
        """
        data = (data, *more) if more else data
        drawing = generators()
        positions = range(len(drawing))
        draws = self.draw(list(drawing.branch()), positions, len(drawing))
        if not drawing.batched:
            return self.mixed(data, data, draws, batched=False)
        return self.mixed(data, _taken(data, draws.rows, len(drawing), type(self).__name__), draws, batched=True)

    def mixed(self, own: Any, partners: Any, draws: Partners, *, batched: bool) -> Any:
        """Data mixed with data of the same structure.

        Args:
            batched: whether arrays are `[rows, ...]`, or of one sample.

        Raises:
            ConfigError: class numbers without `classes`, several arrays without `keys`.
            DataError: arrays of other shapes than their partners'; a class number beyond `classes`.
        """
        name = type(self).__name__
        recipe, arrays = compile_recipe(own, is_array, self._keys(own, is_array))
        others = recipe.take(partners)
        if others is None:
            raise DataError(f"{name}: samples differ in their structure and cannot be mixed")
        results, weights = [], draws.weights
        for number, (x, y) in enumerate(zip(arrays, others, strict=True)):
            if shape_of(x) != shape_of(y):
                problem = f"got {list(shape_of(x))} and {list(shape_of(y))}"
                raise DataError(f"{name}: samples to mix must have one shape, {problem}; crop them first (RandomCrop)")
            result, kept = _paired(lambda a, b: self.mixed_arrays(a, b, draws), x, y, batched=batched)
            results.append(result)
            weights = weights if number else kept
        mixed = recipe.put(own, results)
        if not self.labels:
            return mixed
        recipe, labels = compile_recipe(own, _is_label, self.labels)
        others = recipe.take(partners) or compile_recipe(partners, _is_label, self.labels)[1]
        kind = kind_of(arrays[0])
        soft = [
            _paired(lambda a, b: (_mixture(a, b, weights), weights), *(self._soft(each, kind) for each in both),
                    batched=batched)[0]
            for both in zip(labels, others, strict=True)
        ]  # fmt: skip
        return recipe.put(mixed, soft)

    def _keys(self, data: Any, counts: Any) -> Any:
        """The places of the arrays to mix: those that `keys` name, or the only one beside the labels."""
        if self.keys is not None:
            return self.keys
        recipe, _ = compile_recipe(data, counts)
        if recipe.is_leaf:
            return None
        labels = compile_recipe(data, counts, self.labels)[0].places if self.labels else ()
        arrays = [place for place in recipe.places if place not in labels]
        if len(arrays) != 1:
            names = ", ".join(arrays)
            raise ConfigError(f"{type(self).__name__}: keys must name the arrays to mix, of {names}", field="keys")
        return (arrays[0].removeprefix("$").removeprefix("."),)

    def _soft(self, label: Any, kind: str | None) -> Any:
        """A label as floats: class numbers as one-hot vectors."""
        if not is_array(label):
            torch: Any = loaded("torch")
            label = torch.as_tensor(label) if kind == "torch" else np.asarray(label)
        elif kind_of(label) not in ("torch", "numpy"):
            label = to_numpy(label)
        name = str(label.dtype).removeprefix("torch.")
        if not self._is_class(name):
            return label
        if 0 not in label.shape and not getattr(label, "is_meta", False):
            low, high = int(label.min()), int(label.max())
            if low < 0 or high >= int(self.classes or 0):
                wrong = low if low < 0 else high
                raise DataError(
                    f"{type(self).__name__}: class numbers must be from 0 to {int(self.classes or 0) - 1}, got {wrong}"
                )
        if isinstance(label, np.ndarray):
            return np.eye(int(self.classes or 0), dtype=np.float32)[label.astype(np.int64)]
        torch = loaded("torch")
        return torch.nn.functional.one_hot(label.long(), int(self.classes or 0)).float()

    def _is_class(self, dtype: str) -> bool:
        """Whether labels of this type are class numbers.

        Raises:
            ConfigError: they are, and `classes` is not said.
        """
        if dtype.startswith(("float", "bfloat", "complex")):
            return False
        if self.classes is None:
            name = type(self).__name__
            raise ConfigError(f"{name}: labels of type {dtype} are class numbers; say classes=", field="classes")
        return True

    # --- plans ---

    def plan(self, data: Any, stage: StageId | None = None) -> Plan:
        """New arrays, and labels as floats."""
        label = stage or StageId.of(self)
        if data is UNKNOWN:
            return Plan((), UNKNOWN, (self.stream_obstacle,))
        recipe, specs = compile_recipe(data, is_spec, self._keys(data, is_spec))
        steps = [
            _copy(spec, self.mixed_spec(spec), place, label) for spec, place in zip(specs, recipe.places, strict=True)
        ]
        result = recipe.put(data, [step.target for step in steps])
        if self.labels:
            recipe, specs = compile_recipe(data, _is_spec_or_number, self.labels)
            labels = [(spec, place) for spec, place in zip(specs, recipe.places, strict=True) if is_spec(spec)]
            steps += [_copy(spec, self._label_spec(spec), place, label) for spec, place in labels]
            result = recipe.put(result, [self._label_spec(spec) if is_spec(spec) else spec for spec in specs])
        return Plan(tuple(steps), result, (self.stream_obstacle,))

    def _label_spec(self, spec: ArraySpec) -> ArraySpec:
        if not self._is_class(spec.dtype):
            return spec.fresh()
        kind = spec.kind if spec.kind == "torch" else "numpy"
        return spec.fresh(kind=kind, dtype="float32", shape=(*spec.shape, self.classes))


@register
@dataclass(frozen=True, kw_only=True)
class Mixup(Mixing):
    """Mix each sample with another one of the dataset, and their labels in the same proportion.

    The result is `w * x + (1 - w) * x2`, of labels `w * y + (1 - w) * y2`, where w is drawn from Beta(alpha, alpha) and
    x2, y2 are those of another row, all equally likely. A `SignalDataset` reads that row too and takes it through the
    stages before, so that a row is mixed alike in any batch, worker and rank. Called on a batch within
    `bridgeflow.seeded`, it takes partners out of the batch.

    Args:
        keys: which arrays are mixed; `None` for the only one beside the labels.
        labels: which are mixed as labels: class numbers become one-hot vectors of `classes`, floats stay what they are
            (one-hot and soft labels, several labels, targets of a regression); `()` for none.
        classes: how many classes there are; needed where labels are class numbers.
        alpha: of the distribution of w, above 0; small ones leave most samples almost as they are.
        p: how often a sample is mixed; labels of others become one-hot vectors too.

    Arrays of any kind; kind, device and shape stay, integers and booleans become float32, wide ones float64. Labels
    that are class numbers become float32 [..., classes]. Gradients flow.
    Source: H. Zhang et al., "mixup: Beyond empirical risk minimization", ICLR 2018.

    Raises:
        ConfigError: class numbers without `classes`, several arrays without `keys`, an alpha that is not above 0.
        DataError: samples of other shapes; a class number beyond `classes`.

    >>> from bridgeflow import seeded
    >>> batch = {"ecg": np.array([[0.0, 0.0], [1.0, 1.0]]), "label": np.array([0, 2])}
    >>> with seeded(0, rows=range(2)):
    ...     mixed = Mixup(keys="ecg", labels="label", classes=3)(batch)
    >>> bool(np.allclose(mixed["label"][:, 2], mixed["ecg"][:, 0])), mixed["label"].sum(1)
    (True, array([1., 1.], dtype=float32))
    """

    def mixed_arrays(self, x: Any, partners: Any, draws: Partners) -> tuple[Any, Array]:
        """The weighted sums."""
        return _mixture(x, partners, draws.weights), draws.weights

    def mixed_spec(self, spec: ArraySpec) -> ArraySpec:
        """The same shape in new memory; integers and booleans as floats."""
        return elementwise_spec(spec, lambda inside: affine_dtype(inside.dtype, None))


@register
@dataclass(frozen=True, kw_only=True)
class CutMix(Mixing):
    """Replace a stretch of each sample by that of another one of the dataset, and mix their labels in proportion.

    The stretch is `round((1 - w) * time)` samples long, with w drawn from Beta(alpha, alpha), and lies at a random
    place, the same in all channels. Labels become `w * y + (1 - w) * y2`, where w is the part of the time steps that
    stays. Partners are drawn and read as `Mixup` does it.

    Args:
        keys: which arrays are mixed; `None` for the only one beside the labels. The first decides for the labels.
        labels: which are mixed as labels: class numbers become one-hot vectors of `classes`, floats stay what they are
            (one-hot and soft labels, several labels, targets of a regression); `()` for none.
        classes: how many classes there are; needed where labels are class numbers.
        alpha: of the distribution of w, above 0; 1 for every part alike.
        axis: of time, counted from the end.
        p: how often a sample is mixed; labels of others become one-hot vectors too.

    Arrays [..., time] of any kind; kind, device, shape and dtype stay. Labels that are class numbers become float32
    [..., classes]. Gradients flow.
    Source: S. Yun et al., "CutMix: Regularization strategy to train strong classifiers with localizable features",
    ICCV 2019.

    Raises:
        ConfigError: class numbers without `classes`, several arrays without `keys`, an alpha that is not above 0.
        DataError: samples of other shapes; a class number beyond `classes`.

    >>> from bridgeflow import seeded
    >>> batch = {"ecg": np.array([[0] * 8, [1] * 8]), "label": np.array([0, 2])}
    >>> with seeded(0, rows=range(2)):
    ...     mixed = CutMix(keys="ecg", labels="label", classes=3)(batch)
    >>> bool(np.allclose(mixed["label"][:, 2], mixed["ecg"].mean(1)))
    True
    """

    axis: Axis = -1

    def __post_init__(self) -> None:
        with naming("CutMix"):
            object.__setattr__(self, "axis", parse_axis(self.axis))
        if self.axis >= 0:
            raise ConfigError(f"CutMix: axis must be counted from the end, got {self.axis}", field="axis")

    def mixed_arrays(self, x: Any, partners: Any, draws: Partners) -> tuple[Any, Array]:
        """The samples with their new stretches."""
        if x.ndim <= -self.axis:
            raise DataError(f"CutMix: a sample of {x.ndim - 1} axes has no axis {self.axis}")
        samples = x.shape[self.axis]
        lengths = np.rint((1 - draws.weights) * samples)
        first = np.floor(draws.places * (samples - lengths + 1))
        steps = np.arange(samples)
        inside = (steps >= first[:, None]) & (steps < (first + lengths)[:, None])
        mask: Any = spread(inside, x.swapaxes(self.axis, -1) if self.axis != -1 else x)
        mask = mask.swapaxes(self.axis, -1) if self.axis != -1 else mask
        if isinstance(x, np.ndarray):
            mixed = np.where(mask, partners, x)
        else:
            torch: Any = loaded("torch")
            mixed = torch.where(torch.from_numpy(mask).to(x.device), partners, x)
        return mixed, 1 - lengths / max(samples, 1)

    def mixed_spec(self, spec: ArraySpec) -> ArraySpec:
        """The same in new memory."""
        return elementwise_spec(spec, lambda inside: inside.dtype)


def _mixture(x: Any, y: Any, weights: Array) -> Any:
    """`w * x + (1 - w) * y` for each row with a weight below 1; 16-bit floats in float32, rounded once."""
    if isinstance(x, np.ndarray):
        result = affine_dtype(x.dtype.name, None)
        work: Any = "float32" if result == "float16" else result
        x, y = x.astype(work, copy=False), y.astype(work, copy=False)
    else:
        torch: Any = loaded("torch")
        result = getattr(torch, affine_dtype(str(x.dtype).removeprefix("torch."), None))
        work = torch.float32 if result in (torch.float16, torch.bfloat16) else result
        x, y = x.to(work), y.to(work)
    rows = np.flatnonzero(weights < 1).tolist()
    if len(rows) == len(weights):
        mixed = x * like_values(weights, x) + y * like_values(1 - weights, x)
    else:
        mixed = duplicated(x)
        if rows:
            part = weights[rows]
            mixed[rows] = x[rows] * like_values(part, x[rows]) + y[rows] * like_values(1 - part, x[rows])
    return mixed.astype(result, copy=False) if isinstance(mixed, np.ndarray) else mixed.to(result)


def _paired(function: Any, x: Any, y: Any, *, batched: bool) -> tuple[Any, Array]:
    """A function of two arrays of rows, on arrays of any kind, or of one sample each."""
    kinds = kind_of(x)
    if kinds not in ("torch", "numpy"):
        mixed, kept = _paired(function, to_numpy(x), to_numpy(y), batched=batched)
        return like(mixed, x), kept
    mixed, kept = function(x, y) if batched else function(x[None], y[None])
    return (mixed if batched else mixed[0]), kept


def _taken(data: Any, rows: Array, count: int, what: str) -> Any:
    """The rows of a batch at these positions."""
    recipe, leaves = compile_recipe(data, is_array)
    taken = []
    for leaf in leaves:
        shape = shape_of(leaf)
        if not shape or shape[0] != count:
            raise DataError(f"{what}: expected a batch of {count} samples, got an array of shape {list(shape)}")
        taken.append(leaf[rows] if kind_of(leaf) in ("torch", "numpy") else like(to_numpy(leaf)[rows], leaf))
    return recipe.put(data, taken)


def _is_label(leaf: object) -> bool:
    return is_array(leaf) or isinstance(leaf, (int, float, np.number))


def _is_spec_or_number(leaf: object) -> bool:
    return is_spec(leaf) or isinstance(leaf, (int, float, np.number))


def _copy(source: ArraySpec, target: ArraySpec, place: str, stage: StageId) -> Exchange:
    exchange = Exchange(
        source=source, target=target, action="copy", nbytes=target.nbytes, detail="mixed with another row"
    )
    return replace(exchange, place=place, stage=stage)
