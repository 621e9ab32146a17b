"""The contract of a transform: configuration in, `__call__(data)`; and the traversal that leaf transforms share.

A transform remembers arguments; the mathematics is a function elsewhere. It is immutable, so one object serves many
threads, and its equality, hash, repr, pickle, configuration and JSON Schema all follow from its fields.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from inspect import get_annotations
from typing import TYPE_CHECKING, Any, ClassVar, TypeGuard, TypeVar, overload

from bridgeflow._plain import plain_parameter
from bridgeflow.bridge import route
from bridgeflow.errors import BridgeflowError, CannotStream, ConfigError, DataError, StageId
from bridgeflow.signal._typing import SameKind
from bridgeflow.spec import ArraySpec, Exchange
from bridgeflow.transforms import fields, registry
from bridgeflow.transforms.facts import RecordingFacts
from bridgeflow.transforms.plan import Plan, assumed, describe_leaves, opened_specs, select_specs
from bridgeflow.transforms.reach import Reach
from bridgeflow.transforms.runner import Runner, Stage, locate
from bridgeflow.tree import parse_keys

if TYPE_CHECKING:
    from bridgeflow.signal.zero_phase import ZeroPhaseFilter

__all__ = ["LeafTransform", "SameKindTransform", "Transform", "is_leafwise"]

_Self = TypeVar("_Self", bound="Transform")


@contextmanager
def _named() -> Iterator[None]:
    """A field's value that some check refuses with a bare `ValueError` is a `ConfigError`, which is one too."""
    try:
        yield
    except BridgeflowError:
        raise
    except ValueError as error:
        raise ConfigError(str(error), field=getattr(error, "field", None)) from error


@dataclass(frozen=True, kw_only=True)
class Transform(ABC):
    """Something that turns data into data, fixed when it is made.

    Subclasses are frozen, keyword-only dataclasses under `@register`, whose fields are scalars, words, and tuples of
    them. What is derived from the fields (arrays, filters) is a `cached_property`: computed once, left out of pickles.
    """

    has_statistics: ClassVar[bool] = False
    """Whether its numbers may come out of a file of `save_statistics`, which a job's configuration names."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse fields that hide a method of the contract, which `dataclass` would take for the field's default."""
        super().__init_subclass__(**kwargs)
        for name, annotation in get_annotations(cls).items():
            hidden = None if "ClassVar" in str(annotation) else getattr(Transform, name, None)
            if callable(hidden) or isinstance(hidden, property):
                raise TypeError(f"{cls.__name__}: every transform has a method {name!r}; call the field something else")
        own = cls.__dict__.get("__post_init__")
        if own is not None:

            def parse_then_own(self: Transform) -> None:
                with _named():
                    self.check_shared_fields()
                    own(self)

            cls.__post_init__ = parse_then_own  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        with _named():
            self.check_shared_fields()

    def check_shared_fields(self) -> None:
        """Bring all fields into plain form and parse those that a base class has.

        Called before a subclass's own `__post_init__`, which thus need not call `super()`.
        """
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            plain = plain_parameter(value)
            if plain is not value:
                object.__setattr__(self, field.name, plain)

    @abstractmethod
    def __call__(self, data: Any, /, *more: Any) -> Any:
        """Transform one sample or batch: a leaf, or any nesting of containers. The input is not modified.

        Several arguments count as one tuple, which is how torchvision's v2.Compose hands over `(image, target)`.
        """

    # --- configuration ---

    def to_config(self) -> dict[str, Any]:
        """This transform as plain values, with every field: `{"Scale": {"scale": 0.005, ...}}`.

        Raises:
            ConfigError: the class is not registered, so that nothing could read the configuration.
        """
        if registry.lookup(type(self).__name__) is not type(self):
            raise ConfigError(f"{type(self).__qualname__} is not registered: put @register above its @dataclass")
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.init}
        return {type(self).__name__: {name: fields.plain(value) for name, value in values.items()}}

    @classmethod
    def from_config(cls: type[_Self], config: object) -> _Self:
        """The transform that a configuration describes. `Transform.from_config` builds any registered one.

        Args:
            config: `{"Scale": {"scale": 0.005}}`, or the bare name where no field is needed.

        Raises:
            ConfigError: an unknown name or field, a missing field, a value of the wrong type or outside its range.

        >>> from bridgeflow.transforms import Scale
        >>> Scale.from_config({"Scale": {"scale": 0.005, "keys": ["ecg"]}}).keys
        ('ecg',)
        """
        name, raw = registry.split_config(config)
        registered: type[Transform] = registry.lookup(name)
        if not issubclass(registered, cls):
            raise ConfigError(f"{name}: expected a {cls.__name__}, got another transform")
        return registered.from_fields(raw)

    @classmethod
    def field_names(cls, raw: Mapping[str, Any]) -> tuple[str, ...]:
        """The names under which a configuration gives values to this class; `raw` holds those that it gives."""
        return fields.field_names(cls)

    @classmethod
    def from_fields(cls: type[_Self], raw: Mapping[str, Any]) -> _Self:
        """The transform with these configuration values as fields."""
        parsed = fields.parse_fields(cls, dict(raw))
        try:
            return cls(**parsed)
        except ConfigError:
            raise
        except (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError) as error:
            raise ConfigError(str(error), field=getattr(error, "field", None)) from error

    @classmethod
    def field_schema(cls) -> dict[str, Any]:
        """The JSON Schema of the fields."""
        return fields.field_schema(cls)

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    # --- batches ---

    @property
    def core_ndim(self) -> int | None:
        """How many of the last axes of an array a result depends on; all axes before are rows, each treated alone.

        0 for a transform of single numbers, 1 for one along time. Arrays with that many axes may be stacked: the
        result for the stack is the stack of the results. `None` says nothing of the kind, and a loader then transforms
        each sample by itself. A subclass may say it as a class attribute: `core_ndim = 1`.
        """
        return None

    # --- augmentation ---

    @property
    def random(self) -> bool:
        """Whether results depend on random numbers, from `bridgeflow.generators()`, as those of an augmentation do.

        A subclass may say it as a class attribute: `random = True`.
        """
        return False

    def eval(self) -> Transform | None:
        """What is left of it in evaluation: itself, or `None` (no transform, to a `SignalDataset`) if it is random."""
        return None if self.random else self

    # --- streaming ---

    @property
    def streams_exactly(self) -> bool:
        """Whether chunks give the very bits of the whole, rather than the whole within a tolerance."""
        return self.streams

    @property
    def stream_obstacle(self) -> str:
        """Why this transform cannot run chunk by chunk; empty where it can."""
        return f"{type(self).__name__} does not say how to carry on from one chunk to the next"

    @property
    def streams(self) -> bool:
        """Whether the result of any chunking, put together, is the result of the whole."""
        return not self.stream_obstacle

    @property
    def time_axis(self) -> int:
        """The axis of the data along which chunks follow each other in time."""
        return -1

    @property
    def stream_axis(self) -> int:
        """The axis along which the results of chunks, put together, are the result of the whole."""
        return -1

    def init_state(self, spec: Any) -> Any:
        """The state before the first chunk.

        Args:
            spec: the `ArraySpec` of a chunk; its length in time does not matter.

        Raises:
            CannotStream: the transform needs the whole; says why.
        """
        if self.stream_obstacle:
            raise CannotStream(self.stream_obstacle)
        return None

    def step(self, x: Any, state: Any) -> tuple[Any, Any]:
        """One chunk: the result, and the state for the next chunk. The given state is not modified."""
        if self.stream_obstacle:
            raise CannotStream(self.stream_obstacle)
        return self(x), state

    def flush(self, state: Any) -> Any | None:
        """What is still to come after the last chunk; `None` where nothing is."""
        return None

    # --- plans ---

    @abstractmethod
    def plan(self, data: Any, stage: StageId | None = None) -> Plan:
        """What it will do to data whose arrays are given as `ArraySpec`s; `stage`: which one it is."""

    def explain(self, sample: Any) -> Plan:
        """What it will do to data like `sample`: views, copies, moves, bytes and reasons, before anything runs.

        The plan prints as a table, and renders as HTML in a notebook.

        >>> import numpy as np
        >>> from bridgeflow.transforms import ToTensor
        >>> print(ToTensor().explain({"ecg": np.zeros((2, 100), ">f4"), "label": 3}).steps[0].action)
        copy
        """
        return self.plan(describe_leaves(sample))


@dataclass(frozen=True, kw_only=True)
class LeafTransform(Transform):
    """A transform of arrays, one at a time, wherever they stand in the data.

    A subclass says what to do with one array (`apply`) and what comes of it (`out_spec`); containers are none of its
    business.

    Args:
        keys: paths of the arrays to transform (`"ecg"`, `"lead.*"`, see `bridgeflow.tree`); `"*"` for every array at
            any depth. `None` means all, too, but where the transform works `along_time` and the data holds several
            arrays, it has to be said. Labels, strings, numbers and `None` are passed on untouched. What a key names
            must be, or hold, an array.

    Lists and tuples of numbers, nested or not, are arrays where `keys` select them; without `keys`, where the data
    holds no other array. Data without any array is refused. Containers are copied, not constructed again.
    """

    keys: str | Sequence[str] | None = None

    pointwise: ClassVar[bool] = False
    """Whether each sample of the result depends on the same sample of the input alone, so that chunks need no state."""

    reads_numbers: ClassVar[bool] = False
    """Whether `apply` reads Arrow arrays as `to_numpy` does, so that a plan refuses what that would: nulls, rows of
    unequal length, elements that are not numbers.
    """

    reads_text: ClassVar[bool] = False
    """Whether lists of text are arrays to this transform, as lists of numbers are to all."""

    def check_shared_fields(self) -> None:
        """The fields in plain form, and `keys` as a tuple of paths."""
        super().check_shared_fields()
        try:
            object.__setattr__(self, "keys", parse_keys(self.keys))
        except ValueError as error:
            raise ConfigError(str(error), field="keys") from None
        fields.refuse_outside(self)

    @property
    def reads_only(self) -> bool:
        """Whether `apply` is sure never to write to the array that it is given, so that this may be memory that must
        not be written to, such as the map of a file. A subclass may say it as a class attribute: `reads_only = True`.
        """
        return False

    @property
    def core_ndim(self) -> int | None:
        """0 for pointwise transforms; one that looks along an axis has to say so itself."""
        return 0 if self.pointwise else None

    def core_axes(self, ndim: int) -> frozenset[int] | None:
        """The axes of an array of `ndim` axes on which a result depends; `None` where that is not known."""
        core = self.core_ndim
        return None if core is None else frozenset(range(max(ndim - core, 0), ndim))

    def axis_after(self, axis: int, ndim: int, result_ndim: int) -> int:
        """Where an axis that results do not depend on stands in a result of `result_ndim` axes, of data of `ndim`."""
        return min(axis, max(result_ndim - 1, 0))

    @property
    def along_time(self) -> bool:
        """Whether the values along an axis are taken together, which makes nonsense of an array other than a signal.

        Such a transform wants `keys` where the data holds several arrays. It follows from `core_ndim`, or from a field
        `axis`; a transform that has neither may say it as a class attribute: `along_time = True`.
        """
        return bool(self.core_ndim) or getattr(self, "axis", None) is not None

    @abstractmethod
    def apply(self, x: Any) -> Any:
        """The transform of one array, which is only read. What cannot be handled is an error, never passed on."""

    @abstractmethod
    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """What `apply` makes of an array described by `spec`; a promise that the contract suite holds it to."""

    def leaf_function(self) -> Callable[[Any], Any]:
        """What is called for each array: `apply`, or something equal that is cheaper to call."""
        return self.apply

    def beside_specs(self, spec: ArraySpec) -> Mapping[str, ArraySpec]:
        """What `apply` adds beside the array (`{"mask": ...}` for `<key>_mask`), by suffix."""
        return {}

    def exchanges(self, spec: ArraySpec) -> tuple[Exchange, ...]:
        """The crossings that `apply` makes on an array described by `spec`: by default one copy, the result."""
        result = self.out_spec(spec)
        return (Exchange(source=spec, target=result, action="copy", nbytes=result.nbytes, detail="new values"),)

    # --- stretches of a recording ---

    @property
    def reach(self) -> Reach | None:
        """How far into the data around it a sample of the result looks; `None` where that has no bound.

        A transform that says it gives any stretch of a recording from a little more than that stretch, with the bits of
        the whole; `needs` and `stretch` follow from it.
        """
        return Reach(0, 0) if self.pointwise else None

    summarizes: ClassVar[bool] = False
    """Whether a sample of the result depends on that sample and on statistics of the whole recording: `settled`."""

    def settled(self, pieces: Callable[[], Iterable[Any]]) -> Callable[[Any], Any]:
        """What it does to any stretch of a recording, by the statistics of the whole; for one that `summarizes`.

        Args:
            pieces: gives the recording as arrays [..., time] one after the other, each time that it is called.

        Raises:
            CannotStream: the transform has no such statistics.
        """
        raise CannotStream(f"{type(self).__name__} has no statistics of the whole recording")

    def at_rate(self, fs: float | None) -> LeafTransform:
        """The transform for recordings of this rate: itself, unless a rate was left to them."""
        return self

    def in_recording(self, facts: RecordingFacts) -> LeafTransform:
        """The transform for one recording: itself, unless names of channels or labels were left to it."""
        return self

    def channels_after(self, names: tuple[str, ...]) -> tuple[str, ...] | None:
        """The names of the channels of the result; `None` where it has none, or others than can be named.

        Args:
            names: of the channels of the data.
        """
        return names

    @property
    def two_passes(self) -> tuple[ZeroPhaseFilter, int] | None:
        """An IIR filter that runs forwards and backwards, and the distance of the samples that are kept of it.

        `None` where the result is not that.
        """
        return None

    @property
    def bank_passes(self) -> tuple[ZeroPhaseFilter, ...]:
        """Recursive filters that run forwards and backwards over the same data, the results of which stand on an axis
        before time; empty where the result is not that.
        """
        return ()

    @property
    def rate_factor(self) -> Fraction:
        """How many samples (windows, slices) come out of a stream for one that goes in."""
        return Fraction(1)

    def needs(self, start: int, stop: int, length: int) -> tuple[int, int]:
        """The samples `[begin, end)` of a recording that the stretch `[start, stop)` of its result needs.

        Args:
            start, stop: in samples of the result, start < stop.
            length: samples of the recording.

        Raises:
            CannotStream: the transform does not say how far it looks (`reach`).
        """
        if self.reach is None:
            raise CannotStream(f"{type(self).__name__} does not say how far it looks along time (reach)")
        return self.reach.needs(start, stop, length, self.rate_factor)

    def stretch(self, x: Any, begin: int, start: int, stop: int) -> Any:
        """The stretch `[start, stop)` of the result, from the samples that `needs` asks for.

        Args:
            x: those samples, [..., time].
            begin: where they begin in the recording.
            start, stop: in samples of the result.
        """
        first = int(begin * self.rate_factor)
        return self.apply(x)[..., start - first : stop - first]

    @property
    def stream_obstacle(self) -> str:
        """Empty for pointwise transforms; one that keeps a state overrides it with `init_state`, `step`, `flush`."""
        return "" if self.pointwise else super().stream_obstacle

    def step(self, x: Any, state: Any) -> tuple[Any, Any]:
        """One chunk, one array, through the transform."""
        if self.stream_obstacle:
            raise CannotStream(self.stream_obstacle)
        return self.apply(x), state

    def plan(self, data: Any, stage: StageId | None = None) -> Plan:
        """One row for each crossing of each selected array."""
        label = stage or StageId.of(self)
        data, reads = opened_specs(data, self, stage)
        recipe, specs = select_specs(data, self, stage)
        steps: list[Exchange] = [dataclasses.replace(read, stage=label) for read in reads]
        results: list[ArraySpec] = []
        beside: dict[int, Mapping[str, object]] = {}
        for slot, (place, spec) in enumerate(zip(recipe.places, specs, strict=True)):
            try:
                if self.reads_numbers:
                    self._require_numbers(spec)
                results.append(self.out_spec(spec))
                beside[slot] = self.beside_specs(spec)
                exchanges = self.exchanges(spec)
            except Exception as error:
                locate(error, place, stage, self)
                raise
            steps += [dataclasses.replace(exchange, place=place, stage=label) for exchange in exchanges]
        obstacles = (self.stream_obstacle,) if self.stream_obstacle else ()
        return Plan(tuple(steps), recipe.put_beside(data, results, {} if recipe.is_leaf else beside), obstacles)

    def _require_numbers(self, spec: ArraySpec) -> None:
        dtype = spec.dtype
        if spec.kind in ("arrow", "capsule"):
            dtype = route(assumed(spec), "numpy").target.dtype
        if dtype.startswith(("datetime64", "timedelta64")):
            raise DataError(f"{type(self).__name__}: {dtype} is time, not numbers; leave it out of keys")

    @cached_property
    def _runner(self) -> Runner:
        return Runner((Stage(None, self),))

    def __call__(self, data: Any, /, *more: Any) -> Any:
        """Transform the selected arrays of a sample or batch; containers keep their type, the input stays as it is."""
        return self._runner((data, *more) if more else data)


@dataclass(frozen=True, kw_only=True)
class SameKindTransform(LeafTransform):
    """A transform of arrays that stay what they are: an ndarray of an ndarray, a tensor of a tensor."""

    if TYPE_CHECKING:

        @overload
        def __call__(self, data: SameKind, /) -> SameKind: ...
        @overload
        def __call__(self, data: dict[str, Any], /) -> dict[str, Any]: ...
        @overload
        def __call__(self, data: Any, /, *more: Any) -> Any: ...
        def __call__(self, data: Any, /, *more: Any) -> Any: ...


def is_leafwise(stage: object) -> TypeGuard[LeafTransform]:
    """Whether a stage does `apply` to each array and nothing besides, so that several in a row may run fused."""
    return isinstance(stage, LeafTransform) and type(stage).__call__ is LeafTransform.__call__
