"""States of streams as JSON can hold them, and back: what a transform carries from chunk to chunk. No pickle.

Arrays and tensors become base64 of their little-endian bytes, with dtype, shape and SHA-256; floats are written in
hexadecimal, so that NaN, infinities and the last bit survive. Named tuples and dataclasses are written with the name of
their class, which is looked up in modules that the reader vouches for, and never imported.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from fractions import Fraction
from typing import Any, Final

import numpy as np

from bridgeflow._optional import loaded, require
from bridgeflow.errors import DataError

__all__ = ["StreamState", "load_streams", "modules_of", "pack_state", "save_streams", "unpack_state"]

_VERSION: Final = 2

_GENERATORS: Final = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")


def pack_state(value: Any, *, modules: Collection[str] = ()) -> Any:
    """A state as plain values that JSON can hold.

    Args:
        value: ndarrays, tensors, Arrow arrays, numbers, text, bytes, fractions, `None`, NumPy's random generators; in
            dictionaries (with text as keys), lists, tuples, sets of plain values, named tuples and dataclasses.
        modules: modules that define the named tuples and dataclasses in it.

    Raises:
        DataError: something else, with its place.

    >>> pack_state({"phase": (1, 3)})
    {'dict': {'phase': {'tuple': [1, 3]}}}
    >>> unpack_state(pack_state((1.5, None, {"a": "b"})))
    (1.5, None, {'a': 'b'})
    """
    return _Packer(modules).pack(value, "$")


def unpack_state(packed: Any, *, modules: Collection[str] = ()) -> Any:
    """The state that `pack_state` wrote; arrays are new memory, tensors are where they were.

    Raises:
        DataError: the text is damaged, or was not written by `pack_state`.
    """
    return _Unpacker(modules).unpack(packed, "$")


def modules_of(transform: Any) -> tuple[str, ...]:
    """The modules whose classes a transform's state may hold: its own, those of its stages, that of `ArraySpec`."""
    stages: Iterable[Any] = getattr(transform, "stages", ())
    inner = (name for stage in stages for name in modules_of(stage))
    return tuple(dict.fromkeys(["bridgeflow.spec", type(transform).__module__, *inner]))


@dataclasses.dataclass(slots=True)
class StreamState:
    """How far one stream has got.

    Args:
        position: samples so far: where the next chunk begins.
        state: what its transform carries to the next chunk; `None` before the first one.
        ended: whether its last chunk has come.
    """

    position: int = 0
    state: Any = None
    ended: bool = False


def save_streams(transform: Any, axis: int, streams: Mapping[str, StreamState]) -> dict[str, Any]:
    """Streams by name, as plain values that JSON can hold.

    Args:
        transform: what they go through; a saved state belongs to transforms that print alike.
        axis: on which chunks follow each other.
    """
    modules = modules_of(transform)
    each = {
        name: {"position": one.position, "ended": one.ended, "state": pack_state(one.state, modules=modules)}
        for name, one in streams.items()
    }
    return {"version": _VERSION, "transform": repr(transform), "axis": axis, "streams": each}


def load_streams(saved: Any, transform: Any, axis: int) -> dict[str, StreamState]:
    """The streams that `save_streams` wrote.

    Raises:
        DataError: they were saved by another transform or by another version of the format, or they are damaged.
    """
    lacking = {"version", "transform", "axis", "streams"} - set(saved if isinstance(saved, Mapping) else ())
    if lacking:
        raise DataError(f"load_state_dict: expected what state_dict() gave; it lacks {', '.join(sorted(lacking))}")
    if saved["version"] != _VERSION:
        raise DataError(f"load_state_dict: the state is of version {saved['version']!r}; this library reads {_VERSION}")
    if (saved["transform"], saved["axis"]) != (repr(transform), axis):
        raise DataError(
            f"load_state_dict: the state was saved by {saved['transform']} along axis {saved['axis']}, and this is "
            f"{transform!r} along axis {axis}; load it into an equal transform"
        )
    modules, streams = modules_of(transform), {}
    for name, one in saved["streams"].items():
        try:
            position, ended, state = one["position"], one["ended"], unpack_state(one["state"], modules=modules)
        except (KeyError, TypeError) as error:
            raise DataError(f"stream {name!r}: the saved state is damaged: {error!r}") from error
        if type(position) is not int or position < 0 or type(ended) is not bool:
            raise DataError(f"stream {name!r}: the saved state is damaged: position {position!r}, ended {ended!r}")
        streams[name] = StreamState(position, state, ended)
    return streams


class _Packer:
    def __init__(self, modules: Collection[str]) -> None:
        self._modules = modules

    def pack(self, value: Any, place: str) -> Any:
        """One value; `place` is where it stands in the state."""
        if value is None or type(value) in (bool, int, str):
            return value
        if isinstance(value, np.ndarray):
            return _packed_array(value, place)
        torch = loaded("torch")
        if torch is not None and isinstance(value, torch.Tensor):
            return _packed_tensor(torch, value, place)
        if _is_arrow(value):
            return {"arrow": _packed_arrow(value)}
        plain = _PLAIN.get(type(value))
        if plain is not None:
            return plain(value)
        if isinstance(value, np.generic):
            return {"scalar": _packed_array(np.asarray(value), place)["array"]}
        if isinstance(value, np.random.Generator):
            return {"random": self.pack(dict(value.bit_generator.state), place)}
        return self._container(value, place)

    def _container(self, value: Any, place: str) -> Any:
        if type(value) is dict:
            if not all(type(key) is str for key in value):
                raise _unknown(place, "a dictionary with keys other than text")
            return {"dict": {key: self.pack(part, f"{place}.{key}") for key, part in value.items()}}
        if type(value) in (list, tuple):
            return {type(value).__name__: [self.pack(part, f"{place}[{i}]") for i, part in enumerate(value)]}
        if type(value) in (set, frozenset):
            return {type(value).__name__: sorted((self.pack(part, place) for part in value), key=repr)}
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            parts = dict(zip(value._fields, value, strict=True))
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            parts = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
        else:
            raise _unknown(place, f"a {type(value).__module__}.{type(value).__qualname__}")
        cls = type(value)
        if _find(cls.__module__, cls.__qualname__, self._modules) is not cls:
            raise _unknown(place, f"a {cls.__module__}.{cls.__qualname__}, a class of no module of the transforms")
        fields = {key: self.pack(part, f"{place}.{key}") for key, part in parts.items()}
        return {"class": [cls.__module__, cls.__qualname__], "fields": fields}


class _Unpacker:
    def __init__(self, modules: Collection[str]) -> None:
        self._modules = modules

    def unpack(self, packed: Any, place: str) -> Any:
        """One value."""
        if packed is None or type(packed) in (bool, int, str):
            return packed
        try:
            if not isinstance(packed, dict):
                raise ValueError(f"a {type(packed).__name__} stands where a value was written")
            (word, body), *rest = packed.items()
            return self._object(packed, place) if word == "class" or rest else self._value(word, body, place)
        except DataError:
            raise
        except Exception as error:  # whatever forged or damaged text makes the readers of its parts raise
            raise DataError(f"{place}: the saved state is damaged: {error}") from error

    def _value(self, word: str, body: Any, place: str) -> Any:
        if word == "dict":
            return {key: self.unpack(part, f"{place}.{key}") for key, part in body.items()}
        if word in {"list", "tuple", "set", "frozenset"}:
            parts = [self.unpack(part, f"{place}[{i}]") for i, part in enumerate(body)]
            return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[word](parts)
        if word == "array":
            return _array(body)
        if word == "scalar":
            return _array(body)[()]
        if word == "tensor":
            return _tensor(body)
        if word == "arrow":
            return _arrow(body)
        if word == "random":
            return _generator(self.unpack(body, place))
        return _READ[word](body)

    def _object(self, packed: Mapping[str, Any], place: str) -> Any:
        module, name = packed["class"]
        cls = _find(module, name, self._modules)
        if cls is None:
            raise ValueError(f"{module}.{name} is not a class of the transforms' states")
        return cls(**{key: self.unpack(part, f"{place}.{key}") for key, part in packed["fields"].items()})


def _unknown(place: str, what: str) -> DataError:
    remedy = "a state is arrays, numbers and text, in dictionaries, lists, tuples, named tuples and dataclasses"
    return DataError(f"{place}: {what} cannot be written down as part of a state; {remedy}")


def _find(module: str, name: str, modules: Collection[str]) -> Any:
    """The named tuple or dataclass of this name, if its module is one of those vouched for; `None` otherwise."""
    cls: Any = loaded(module) if module in modules else None
    for part in name.split("."):
        cls = getattr(cls, part, None)
    is_record = isinstance(cls, type) and (
        (issubclass(cls, tuple) and hasattr(cls, "_fields")) or dataclasses.is_dataclass(cls)
    )
    return cls if is_record and cls.__module__ == module else None


# --- arrays ---


def _packed_array(array: np.ndarray[Any, Any], place: str) -> dict[str, Any]:
    if array.dtype.kind not in "biufcUSmM":
        raise _unknown(place, f"an array of {array.dtype}")
    little = array.dtype.newbyteorder("<")
    return {"array": _bytes(np.asarray(array, little, order="C").tobytes(), little.str, array.shape)}


def _bytes(raw: bytes, dtype: str, shape: Iterable[int]) -> dict[str, Any]:
    return {
        "dtype": dtype,
        "shape": list(shape),
        "data": base64.b64encode(raw).decode("ascii"),
        "sha256": hashlib.sha256(raw).hexdigest(),
    }


def _raw(body: Mapping[str, Any]) -> bytes:
    raw = base64.b64decode(body["data"], validate=True)
    if hashlib.sha256(raw).hexdigest() != body["sha256"]:
        raise ValueError("the SHA-256 of an array is another")
    return raw


def _array(body: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    dtype = np.dtype(body["dtype"])
    if dtype.kind not in "biufcUSmM":
        raise ValueError(f"{dtype} is not a type of plain values")
    array = np.frombuffer(_raw(body), dtype) if dtype.itemsize else np.zeros(body["shape"], dtype)
    return array.reshape(body["shape"]).astype(dtype.newbyteorder("="))


def _packed_tensor(torch: Any, tensor: Any, place: str) -> dict[str, Any]:
    if tensor.requires_grad or tensor.layout != torch.strided or tensor.is_quantized:
        what = "a tensor with a gradient" if tensor.requires_grad else f"a tensor of layout {tensor.layout}"
        raise _unknown(place, what)
    plain = tensor.detach().resolve_conj().resolve_neg().to("cpu").contiguous().reshape(-1)
    values = plain.view(torch.uint8).numpy() if plain.numel() else np.empty(0, np.uint8)
    if sys.byteorder == "big":
        values = values.reshape(-1, plain.element_size())[:, ::-1]
    name = str(tensor.dtype).removeprefix("torch.")
    return {"tensor": {**_bytes(values.tobytes(), name, tensor.shape), "device": str(tensor.device)}}


def _tensor(body: Mapping[str, Any]) -> Any:
    torch = require("torch", needed_for="a state that holds tensors")
    dtype = getattr(torch, body["dtype"])
    raw = np.frombuffer(_raw(body), np.uint8).copy()
    if not isinstance(dtype, torch.dtype) or raw.size != dtype.itemsize * int(np.prod(body["shape"])):
        raise ValueError("the bytes of a tensor do not fit its shape")
    if sys.byteorder == "big":
        raw = raw.reshape(-1, dtype.itemsize)[:, ::-1].copy()
    flat = torch.from_numpy(raw.reshape(-1)).view(dtype) if raw.size else torch.empty(0, dtype=dtype)
    return flat.reshape(body["shape"]).to(body["device"])


def _is_arrow(value: Any) -> bool:
    pa = loaded("pyarrow")
    return pa is not None and isinstance(value, pa.Array)


def _packed_arrow(column: Any) -> dict[str, Any]:
    """An Arrow array as a stream of one record batch."""
    pa = require("pyarrow", needed_for="a state that holds Arrow arrays")
    sink = pa.BufferOutputStream()
    batch = pa.record_batch([column], names=["values"])
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return _bytes(sink.getvalue().to_pybytes(), str(column.type), [len(column)])


def _arrow(body: Mapping[str, Any]) -> Any:
    pa = require("pyarrow", needed_for="a state that holds Arrow arrays")
    with pa.ipc.open_stream(_raw(body)) as reader:
        batch = reader.read_next_batch()
    batch.validate(full=True)
    return batch.column(0)


def _generator(state: Mapping[str, Any]) -> np.random.Generator:
    if state["bit_generator"] not in _GENERATORS:
        raise ValueError(f"no random generator is called {state['bit_generator']!r}")
    bits = getattr(np.random, state["bit_generator"])()
    bits.state = state
    return np.random.Generator(bits)


_PLAIN: Final[Mapping[type, Callable[[Any], Any]]] = {
    float: lambda value: {"float": value.hex()},
    complex: lambda value: {"complex": [value.real.hex(), value.imag.hex()]},
    bytes: lambda value: {"bytes": base64.b64encode(value).decode("ascii")},
    Fraction: lambda value: {"ratio": [value.numerator, value.denominator]},
}
_READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    "float": float.fromhex,
    "complex": lambda parts: complex(*map(float.fromhex, parts)),
    "bytes": lambda text: base64.b64decode(text, validate=True),
    "ratio": lambda parts: Fraction(*parts),
}
