"""Foreign arrays for the tests: objects that implement DLPack or Arrow's capsule protocol and nothing else."""

from __future__ import annotations

from typing import Any

import pyarrow as pa


class Producer:
    """An array that only says `__dlpack__`, in today's version of the protocol."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __dlpack__(self, **how: Any) -> Any:
        return self.array.__dlpack__(**how)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()


class OldProducer(Producer):
    """The first version of the protocol: no version, no read-only mark, no device or copy to ask for."""

    def __dlpack__(self, *, stream: Any = None) -> Any:
        return self.array.__dlpack__()


class ArrayProducer:
    """A column that only says `__arrow_c_array__`."""

    def __init__(self, array: pa.Array) -> None:
        self.array = array

    def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
        return self.array.__arrow_c_array__(requested_schema)


class StreamProducer:
    """A column that only says `__arrow_c_stream__`."""

    def __init__(self, array: pa.ChunkedArray) -> None:
        self.array = array

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.array.__arrow_c_stream__(requested_schema)


class Refusing:
    """A producer that cannot produce."""

    def __init__(self, error: type[Exception]) -> None:
        self.error = error

    def __dlpack__(self, **how: Any) -> Any:
        raise self.error("not today")

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)
