"""Augmentations chosen at random: `RandomApply`, `OneOf`, `SomeOf`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow.bridge import describe
from bridgeflow.errors import BridgeflowError, ConfigError, at_place
from bridgeflow.randomness import current, generators
from bridgeflow.ranges import Positive
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms import fields
from bridgeflow.transforms.arithmetic import affine_dtype, elementwise, elementwise_spec
from bridgeflow.transforms.augment.base import Array, Probability, as_batch, duplicated, parse_p
from bridgeflow.transforms.augment.values import WholeSpan, parse_span, whole
from bridgeflow.transforms.base import LeafTransform, Transform
from bridgeflow.transforms.registry import register

__all__ = ["OneOf", "RandomApply", "SomeOf"]

_Self = TypeVar("_Self", bound="_Choice")


@dataclass(frozen=True, kw_only=True)
class _Choice(LeafTransform):
    """Some of several transforms of arrays, drawn for each sample; in a batch each transform runs once over its rows.

    The transforms keep the shape, work along axes counted from the end, and say no `keys`: those are the choice's.
    """

    reads_numbers: ClassVar[bool] = True

    transforms: tuple[Any, ...]
    p: Probability = 1.0

    def check_shared_fields(self) -> None:
        """`keys`, `p`, and the transforms."""
        super().check_shared_fields()
        name = type(self).__name__
        parse_p(self.p, what=name)
        transforms: Any = self.transforms
        if not isinstance(transforms, tuple) or not transforms:
            raise ConfigError(f"{name}: transforms must be one or more transforms of arrays", field="transforms")
        for one in self.transforms:
            if not isinstance(one, LeafTransform):
                raise ConfigError(f"{name}: transforms must be transforms of arrays, got {one!r}", field="transforms")
            if one.keys is not None:
                inner = type(one).__name__
                raise ConfigError(
                    f"{name}: transforms say no keys, but {inner} does; say keys={one.keys!r} here", field="transforms"
                )
            if one.core_ndim is None:
                inner = type(one).__name__
                raise ConfigError(
                    f"{name}: transforms must take batches; count the axis of {inner} from the end", field="transforms"
                )

    def choose(self, rng: np.random.Generator) -> Array:
        """Which transforms a sample goes through, of those that it has."""
        raise NotImplementedError

    @property
    def random(self) -> bool:
        """Whether any is ever applied."""
        return self.p > 0

    @property
    def core_ndim(self) -> int | None:
        """The axes that any of them looks at."""
        return max(int(one.core_ndim) for one in self.transforms)

    @property
    def along_time(self) -> bool:
        """Whether any of them works along an axis."""
        return any(one.along_time for one in self.transforms)

    @property
    def stream_obstacle(self) -> str:
        """Draws belong to whole samples."""
        return f"{type(self).__name__} draws random numbers for whole samples; pipeline.eval() leaves it out"

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """The same shape; integers as floats where one of the transforms makes them so."""
        return elementwise_spec(spec, self._dtype)

    def apply(self, x: Any) -> Any:
        """The sample or batch after the transforms that are drawn."""
        return elementwise(self._of_values, x)

    def _dtype(self, spec: ArraySpec) -> str:
        """The one element type of all results.

        Raises:
            ConfigError: a transform changes the shape, or results differ in type whatever the data's is.
        """
        for dtype in dict.fromkeys((spec.dtype, affine_dtype(spec.dtype, None))):
            described = spec.fresh(dtype=dtype)
            results = [one.out_spec(described) for one in self.transforms]
            for one, result in zip(self.transforms, results, strict=True):
                if result.shape != spec.shape:
                    name, inner = type(self).__name__, type(one).__name__
                    raise ConfigError(f"{name}: {inner} changes the shape; put it outside", field="transforms")
            if all(result.dtype == dtype for result in results):
                return dtype
        name, shown = type(self).__name__, sorted({result.dtype for result in results})
        raise ConfigError(f"{name}: results of {spec.dtype} data differ in dtype: {shown}", field="transforms")

    def _of_values(self, x: Any) -> Any:
        dtype = self._dtype(describe(x))
        if isinstance(x, np.ndarray):
            values = np.array(x, dtype=dtype)
        else:
            target = getattr(loaded("torch"), dtype)
            values = x.to(target) if x.dtype != target else duplicated(x)
        if not self.random:
            return values
        drawing = generators()
        rows = as_batch(values, drawing, self.core_ndim, what=type(self).__name__)
        nothing = np.zeros(len(self.transforms), bool)
        chosen = np.array([self.choose(rng) if rng.random() < self.p else nothing for rng in drawing])
        for number, transform in enumerate(self.transforms):
            places = np.flatnonzero(chosen[:, number]).tolist()
            if places:
                with current(drawing.some(places)):
                    part = transform.apply(rows[places])
                if len(places) == len(rows):
                    rows = part
                else:
                    rows = duplicated(rows)
                    rows[places] = part
        return rows if drawing.batched else rows[0]

    # --- configuration ---

    def to_config(self) -> dict[str, Any]:
        """As of any transform; the transforms inside as configurations."""
        ((name, values),) = super().to_config().items()
        return {name: {**values, "transforms": [one.to_config() for one in self.transforms]}}

    @classmethod
    def from_fields(cls: type[_Self], raw: Mapping[str, Any]) -> _Self:
        """The choice of the configurations under `transforms`."""
        parsed = fields.parse_fields(cls, dict(raw))
        transforms = []
        for index, config in enumerate(parsed["transforms"]):
            try:
                transforms.append(Transform.from_config(config))
            except BridgeflowError as error:
                raise at_place(error, f"$.transforms[{index}]") from error.__cause__
        return cls(**{**parsed, "transforms": tuple(transforms)})

    @classmethod
    def field_schema(cls) -> dict[str, Any]:
        """The JSON Schema of the fields; those inside are any transforms."""
        schema = super().field_schema()
        schema["properties"]["transforms"] = {
            "description": schema["properties"]["transforms"].get("description", ""),
            "type": "array",
            "minItems": 1,
            "items": {"$ref": "#/$defs/transform"},
        }
        return schema


@register
@dataclass(frozen=True, kw_only=True)
class RandomApply(_Choice):
    """Apply all of several transforms, or none of them.

    Args:
        transforms: one or more, which keep the shape; applied in their order.
        p: how often they are applied.
        keys: which arrays; `None` for the only one. The transforms say none.

    Arrays of any kind. Integers become floats first where one of the transforms makes them so.

    Raises:
        ConfigError: transforms that cannot be applied to a part of a batch, or that change the shape.

    >>> from bridgeflow import Gain, Polarity, seeded
    >>> both = RandomApply(transforms=(Gain(db=20), Polarity(p=1)), p=1)
    >>> with seeded(0, rows=7):
    ...     both(np.array([1.0, -2.0]))
    array([-10.,  20.])
    """

    p: Probability = 0.5

    def choose(self, rng: np.random.Generator) -> Array:
        """All."""
        return np.ones(len(self.transforms), bool)


@register
@dataclass(frozen=True, kw_only=True)
class OneOf(_Choice):
    """Apply one of several transforms, drawn for each sample.

    Args:
        transforms: one or more, which keep the shape.
        weights: how likely each is, relative to the others; `None` for all alike.
        p: how often one is applied.
        keys: which arrays; `None` for the only one. The transforms say none.

    Arrays of any kind. Integers become floats first where one of the transforms makes them so.

    Raises:
        ConfigError: weights for another number of transforms; transforms that cannot be applied to a part of a batch,
            or that change the shape.

    >>> from bridgeflow import Gain, seeded
    >>> quieter_or_louder = OneOf(transforms=(Gain(db=-20), Gain(db=20)))
    >>> with seeded(0, rows=range(100)):
    ...     gains = quieter_or_louder(np.ones((100, 1)))
    >>> sorted(set(gains.ravel().tolist()))
    [0.1, 10.0]
    """

    weights: tuple[Positive, ...] | None = None

    def __post_init__(self) -> None:
        weights: Any = self.weights
        if weights is not None and not (isinstance(weights, tuple) and len(weights) == len(self.transforms)):
            expected = f"one number for each of the {len(self.transforms)} transforms"
            raise ConfigError(f"OneOf: weights must be {expected}, got {self.weights!r}", field="weights")

    def choose(self, rng: np.random.Generator) -> Array:
        """One."""
        limits = np.cumsum(self.weights or (1.0,) * len(self.transforms))
        number = np.searchsorted(limits, rng.random() * limits[-1], side="right")
        chosen = np.zeros(len(limits), bool)
        chosen[min(number, len(limits) - 1)] = True
        return chosen


@register
@dataclass(frozen=True, kw_only=True)
class SomeOf(_Choice):
    """Apply some of several transforms, drawn for each sample; those drawn are applied in their order.

    Args:
        transforms: one or more, which keep the shape.
        n: how many: a whole number, or a range `(low, high)` of which each sample gets one.
        p: how often any are applied.
        keys: which arrays; `None` for the only one. The transforms say none.

    Arrays of any kind. Integers become floats first where one of the transforms makes them so.

    Raises:
        ConfigError: a number above that of the transforms; transforms that cannot be applied to a part of a batch, or
            that change the shape.

    >>> from bridgeflow import Gain, seeded
    >>> two = SomeOf(transforms=(Gain(db=20), Gain(db=40), Gain(db=60)), n=2)
    >>> with seeded(0, rows=range(100)):
    ...     gains = two(np.ones((100, 1)))
    >>> sorted(set(gains.ravel().round().tolist()))
    [1000.0, 10000.0, 100000.0]
    """

    n: WholeSpan = 1

    def __post_init__(self) -> None:
        parse_span(self.n, what="SomeOf", field="n", integer=True)
        highest = self.n[1] if isinstance(self.n, tuple) else self.n
        if highest > len(self.transforms):
            raise ConfigError(f"SomeOf: n must be at most {len(self.transforms)}, got {self.n!r}", field="n")

    def choose(self, rng: np.random.Generator) -> Array:
        """As many, each subset alike."""
        chosen = np.zeros(len(self.transforms), bool)
        chosen[rng.permutation(len(self.transforms))[: whole(rng, self.n)]] = True
        return chosen
