"""The contract of a transform, as a suite that any transform can be held to.

Each clause is a function that raises `AssertionError` with what was promised and what was seen. `check_transform` runs
them all; the tests of this library do so over the whole registry.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib
import json
import pickle
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, Final

import numpy as np

from bridgeflow._optional import loaded, require
from bridgeflow.bridge import describe, kind_of, like, to_numpy
from bridgeflow.errors import CannotStream, ConfigError, NoRoute
from bridgeflow.randomness import seeded
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms.base import LeafTransform, Transform
from bridgeflow.transforms.plan import UNKNOWN, describe_leaves, is_spec
from bridgeflow.transforms.runner import is_array
from bridgeflow.tree import leaves_of, map_leaves

__all__ = ["CLAUSES", "check_transform"]

_THREADS: Final = 16


def check_transform(
    transform: Transform, sample: Any = None, *, skip: Collection[str] = (), tolerance: float = 0.0
) -> None:
    """Hold a transform to its contract.

    Args:
        transform: any transform. A class to be pickled must stand in a module, not in a function.
        sample: what to transform: an array `[channels, time]`, or data with such arrays in it. `None` takes float32
            noise `[2, 96]`, as ndarray and as tensor, each unless the transform refuses the kind.
        skip: names of clauses (see `CLAUSES`) that do not hold for this transform and need not.
        tolerance: largest relative difference, by which a batch may differ from its samples, and chunks from the whole;
            0 asks for equal numbers.

    Raises:
        AssertionError: a clause is broken; names it.

    >>> from bridgeflow.transforms import Scale
    >>> check_transform(Scale(scale=0.005, offset=-5.12))
    """
    unknown = set(skip) - set(CLAUSES)
    if unknown:
        raise ValueError(f"skip: no clause is called {sorted(unknown)}; the clauses are {list(CLAUSES)}")
    samples = _default_samples(transform) if sample is None else [sample]
    for name, clause in CLAUSES.items():
        if name in skip:
            continue
        for one in samples:
            try:
                clause(transform, one, tolerance)
            except Exception as error:
                seen = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
                raise AssertionError(
                    f"{type(transform).__name__} breaks its contract, clause {name!r}: {seen}"
                ) from error


def _default_samples(transform: Transform) -> list[Any]:
    noise = np.random.default_rng(0).standard_normal((2, 96)).astype("float32")
    torch = require("torch", needed_for="check_transform")
    bare = _for_one_array(transform)
    samples: list[Any] = []
    refusals: list[str] = []
    for sample in (noise, torch.from_numpy(noise.copy())):
        try:
            _run(bare, copy.copy(sample) if isinstance(sample, np.ndarray) else sample.clone())
        except NoRoute as error:
            refusals.append(str(error))
        else:
            samples.append(sample)
    assert samples, f"{type(transform).__name__} takes neither ndarrays nor tensors: {'; '.join(refusals)}"
    return samples


def _run(transform: Transform, data: Any, rows: int | range = 0) -> Any:
    """The result for a sample, or for a batch of rows, whose random numbers are those of its rows."""
    with seeded(0, rows=rows):
        return transform(data)


def _for_one_array(transform: Transform) -> Transform:
    """The transform for data that is one array, where keys would find nothing."""
    return _with_keys(transform, None) if isinstance(transform, LeafTransform) else transform


def _with_keys(transform: LeafTransform, keys: tuple[str, ...] | None) -> LeafTransform:
    return dataclasses.replace(transform, keys=keys)


# --- comparing --------------------------------------------------------------------------------------------------------


def _values(x: Any) -> Any:
    """An array's numbers; for one without data (meta), what it is."""
    spec = describe(x)
    if spec.device == "meta":
        return spec
    values = to_numpy(x, bfloat16="uint16", nulls=0 if spec.null_count else "error")
    return np.array(values, dtype=values.dtype.newbyteorder("="))


def _arrays(data: Any) -> dict[str, Any]:
    return leaves_of(data, is_array)


def _assert_same(seen: Any, expected: Any, tolerance: float = 0.0, what: str = "result") -> None:
    """Equal structure, kinds, dtypes, numbers."""
    mine, theirs = _arrays(seen), _arrays(expected)
    assert list(mine) == list(theirs), f"{what}: arrays at {list(mine)} instead of {list(theirs)}"
    for place, array in mine.items():
        other = theirs[place]
        assert kind_of(array) == kind_of(other), f"{what} at {place}: {kind_of(array)} instead of {kind_of(other)}"
        _assert_equal(_values(array), _values(other), tolerance, f"{what} at {place}")


def _assert_equal(seen: Any, expected: Any, tolerance: float, what: str) -> None:
    if isinstance(seen, ArraySpec) or isinstance(expected, ArraySpec):
        assert seen == expected, f"{what}: {seen} instead of {expected}"
        return
    assert seen.dtype == expected.dtype, f"{what}: {seen.dtype} instead of {expected.dtype}"
    assert seen.shape == expected.shape, f"{what}: shape {seen.shape} instead of {expected.shape}"
    if tolerance and seen.dtype.kind in "fc":
        np.testing.assert_allclose(
            seen, expected, rtol=tolerance, atol=tolerance * float(np.abs(expected).max(initial=0))
        )
    else:
        np.testing.assert_array_equal(seen, expected, err_msg=what)


def _fingerprint(data: Any) -> dict[str, Any]:
    return {
        place: value if isinstance(value, ArraySpec) else (value.dtype.str, value.shape, value.tobytes())
        for place, value in ((place, _values(array)) for place, array in _arrays(data).items())
    }


# --- clauses ----------------------------------------------------------------------------------------------------------


def immutable(transform: Transform, sample: Any, tolerance: float) -> None:
    """A frozen dataclass, equal to its copy and hashable, whose repr tells its fields."""
    assert dataclasses.is_dataclass(transform), "it is not a dataclass"
    copied = pickle.loads(pickle.dumps(transform))
    assert copied == transform, "a copy is not equal to it"
    assert hash(copied) == hash(transform), "a copy has another hash"
    assert type(transform).__name__ in repr(transform), f"its repr {transform!r} does not name it"
    for field in dataclasses.fields(transform):
        try:
            setattr(transform, field.name, getattr(transform, field.name))
        except dataclasses.FrozenInstanceError:
            continue
        raise AssertionError(f"its field {field.name!r} can be set; use @dataclass(frozen=True, kw_only=True)")


def picklable(transform: Transform, sample: Any, tolerance: float) -> None:
    """It pickles to a fresh process: its class can be imported, and what it has derived or cached is not pickled."""
    cls = type(transform)
    module = importlib.import_module(cls.__module__)
    imported: Any = module
    for name in cls.__qualname__.split("."):
        imported = getattr(imported, name, None)
    assert imported is cls, f"{cls.__module__}.{cls.__qualname__} cannot be imported, as a spawned worker will try to"
    fresh = pickle.loads(pickle.dumps(transform))
    before = pickle.dumps(fresh)
    expected = _run(transform, sample)
    assert pickle.dumps(transform) == before, "a call has changed what is pickled"
    _assert_same(_run(pickle.loads(before), sample), expected, what="the unpickled transform's result")


def configurable(transform: Transform, sample: Any, tolerance: float) -> None:
    """Through its configuration, as JSON, and back; its schema is JSON too."""
    written = json.dumps(transform.to_config())
    again = Transform.from_config(json.loads(written))
    assert again == transform, f"{written} gives {again!r} instead of {transform!r}"
    assert again.to_config() == transform.to_config(), "the configuration of its configuration differs"
    schema = json.loads(json.dumps(type(transform).field_schema()))
    ((_, fields),) = transform.to_config().items()
    named, open_ended = set(schema["properties"]), schema.get("additionalProperties", True)
    same = named <= set(fields) if open_ended else named == set(fields)
    assert same, "schema and configuration name different fields"


def keeps_promise(transform: Transform, sample: Any, tolerance: float) -> None:
    """What `out_spec` promises is what comes out, in the structure that `explain` says."""
    promised = transform.explain(sample).result
    if promised is UNKNOWN:
        return
    actual = describe_leaves(_run(transform, sample))
    promises, results = leaves_of(promised, is_spec), leaves_of(actual, is_spec)
    assert list(promises) == list(results), f"arrays at {list(results)} instead of the promised {list(promises)}"
    for place, spec in results.items():
        assert promises[place].admits(spec), f"at {place}: {spec} instead of the promised {promises[place]}"


def reads_only(transform: Transform, sample: Any, tolerance: float) -> None:
    """The input is as it was, even after every result over read-only memory has been written to."""
    before = _fingerprint(sample)
    _run(transform, sample)
    assert _fingerprint(sample) == before, "the input was modified"
    if {kind_of(array) for array in _arrays(sample).values()} != {"numpy"}:
        return
    if getattr(transform, "writable", None) is False:
        return  # the caller has promised not to write
    locked = map_leaves(_locked, sample, is_array)
    before = _fingerprint(locked)
    for result in _arrays(_run(transform, locked)).values():
        _overwrite(result)
    assert _fingerprint(locked) == before, "a result shares read-only memory, and lets it be written to"


def _locked(x: Any) -> Any:
    x = x.copy()
    x.flags.writeable = False
    return x


def _overwrite(result: Any) -> None:
    torch = loaded("torch")
    if isinstance(result, np.ndarray) and result.flags.writeable:
        result[...] = 1
    elif torch is not None and isinstance(result, torch.Tensor) and not result.is_meta:
        result.detach().fill_(1)


def repeatable(transform: Transform, sample: Any, tolerance: float) -> None:
    """The same call gives the same result; the first one, which learns the structure, too."""
    fresh = pickle.loads(pickle.dumps(transform))
    first = _run(fresh, sample)
    _assert_same(_run(fresh, sample), first, what="the second result")


def nests(transform: Transform, sample: Any, tolerance: float) -> None:
    """In nested data each array becomes what it becomes alone; labels, strings and `None` pass untouched.

    A transform along time refuses several arrays that `keys` do not name.
    """
    if not isinstance(transform, LeafTransform) or not is_array(sample):
        return
    bare = _with_keys(transform, None)
    alone = _run(bare, sample)
    if not is_array(alone):
        return
    data = {"one": sample, "more": [sample, (sample, "label")], "id": 3, "nothing": None}
    nested = _run(_with_keys(transform, ("*",)) if bare.along_time else bare, data)
    if bare.along_time:
        try:
            _run(bare, data)
        except ConfigError:
            pass
        else:
            raise AssertionError("it works along time, and takes several arrays that keys do not name")
    if transform.random:  # each array has draws of its own
        _assert_same(nested["one"], alone, what="nested result")
    else:
        _assert_same(nested, {"one": alone, "more": [alone, (alone, "label")]}, what="nested result")
    assert (type(nested), type(nested["more"]), type(nested["more"][1])) == (dict, list, tuple), (
        "containers changed their type"
    )
    assert (nested["id"], nested["nothing"], nested["more"][1][1]) == (3, None, "label"), "labels were touched"
    keyed = _run(_with_keys(transform, ("one",)), data)
    _assert_same(keyed["one"], alone, what="selected result")
    assert keyed["more"] is data["more"], "keys=('one',) touched another array"


def thread_safe(transform: Transform, sample: Any, tolerance: float) -> None:
    """One object in many threads at once gives each the result that it gives alone."""
    fresh = pickle.loads(pickle.dumps(transform))
    with ThreadPoolExecutor(_THREADS) as pool:
        results = list(pool.map(lambda _: _run(fresh, sample), range(_THREADS)))
    expected = _run(transform, sample)
    for result in results:
        _assert_same(result, expected, what=f"the result in one of {_THREADS} threads")


def batches(transform: Transform, sample: Any, tolerance: float) -> None:
    """A batch of samples becomes the batch of what the samples become."""
    if kind_of(sample) not in ("numpy", "torch") or not sample.shape:
        return
    if getattr(transform, "axis", -1) >= 0:
        return  # counted from the front, where a batch has one axis more: such a transform takes the samples one by one
    bare = _for_one_array(transform)
    samples = [sample, sample[..., ::-1].copy() if isinstance(sample, np.ndarray) else sample.flip(-1), sample * 2]
    torch = loaded("torch")
    stack: Callable[[Any], Any] = np.stack if isinstance(sample, np.ndarray) or torch is None else torch.stack
    together = _values(_run(bare, stack(samples), range(len(samples))))
    apart = [_values(_run(bare, one, row)) for row, one in enumerate(samples)]
    if isinstance(together, ArraySpec):
        return
    _assert_equal(together, np.stack(apart), tolerance, "the batch")


def streams(transform: Transform, sample: Any, tolerance: float) -> None:
    """Chunk by chunk gives the whole, however it is cut; a transform that cannot says so before it starts."""
    if not is_array(sample) or not describe(sample).shape:
        return
    bare = _for_one_array(transform)
    spec = describe(sample)
    if not bare.streams:
        assert bare.stream_obstacle, "it does not stream, and does not say why"
        try:
            bare.init_state(spec)
        except CannotStream:
            return
        raise AssertionError("it does not stream, and init_state() does not raise CannotStream")
    whole = _run(bare, sample)
    if isinstance(_values(whole), ArraySpec):
        return
    axis = range(spec.ndim)[bare.time_axis]
    for cuts in _cuts(spec.shape[axis] or 0):
        state, parts = bare.init_state(spec), []
        for start, stop in cuts:
            chunk = _part(sample, axis, start, stop)
            part, after = bare.step(chunk, state)
            again, _ = bare.step(chunk, state)
            _assert_same(again, part, what="step() from the same state (which it must not modify)")
            parts.append(part)
            state = after
        tail = bare.flush(state)
        pieces = [_values(part) for part in (*parts, *([] if tail is None else [tail]))]
        together = np.concatenate(pieces, axis=bare.stream_axis)
        _assert_equal(together, _values(whole), tolerance, f"chunks {cuts}")


def _part(sample: Any, axis: int, start: int, stop: int) -> Any:
    cut = (*[slice(None)] * axis, slice(start, stop))
    if kind_of(sample) in ("numpy", "torch"):
        return sample[cut]
    return like(to_numpy(sample)[cut], sample)


def _cuts(length: int) -> Iterator[list[tuple[int, int]]]:
    """The whole; uneven pieces with empty ones among them; one sample at a time."""
    rng = np.random.default_rng(length)
    for inner in ((), (0, *np.sort(rng.integers(0, length + 1, 7)).tolist(), length), range(1, min(length, 20))):
        bounds = [0, *inner, length]
        yield list(pairwise(bounds))


CLAUSES: Final[dict[str, Callable[[Transform, Any, float], None]]] = {
    "immutable": immutable,
    "configurable": configurable,
    "reads_only": reads_only,  # the first that calls the transform, or the sample would be spoilt already
    "picklable": picklable,
    "keeps_promise": keeps_promise,
    "repeatable": repeatable,
    "nests": nests,
    "thread_safe": thread_safe,
    "batches": batches,
    "streams": streams,
}
"""The clauses by name, each a function of the transform, a sample, and the tolerance."""
