"""Every prefix of a file, and files with single bits flipped: the data that the bytes say, or a typed error."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bridgeflow import BridgeflowError, Recording


def everything(path: Path, **options: Any) -> list[np.ndarray]:
    """All that a file says, read as a user would."""
    recording = Recording.open(path, **options)
    recording.events.to_pylist()
    return [
        column.read(start, stop, units="physical")
        for column in recording.columns.values()
        for start, stop in column.segments
    ]


def prefixes(data: bytes, most: int = 1500) -> Iterator[bytes]:
    """Prefixes of a file: all of a small one, else those near both ends and some between."""
    lengths = set(range(len(data)))
    if len(data) > most:
        lengths = {*range(most // 3), *range(len(data) - most // 3, len(data))}
        lengths |= set(random.Random(1).sample(range(len(data)), most // 3))
    return (data[:length] for length in sorted(lengths))


def flips(data: bytes, count: int = 500) -> Iterator[bytes]:
    """The file with one bit flipped, at places drawn once for all."""
    draw = random.Random(2)
    for _ in range(count):
        place = draw.randrange(len(data))
        yield data[:place] + bytes([data[place] ^ (1 << draw.randrange(8))]) + data[place + 1 :]


def require_refused_or_read(
    path: Path,
    damaged: Iterator[bytes],
    reference: Callable[[Path], list[np.ndarray]] | None = None,
    **options: Any,
) -> int:
    """How many of the damaged files were read; each as the reference library reads it, where there is one."""
    read = 0
    for number, data in enumerate(damaged):
        one = path.with_stem(f"{path.stem}_{number}") if reference is None else path
        one.write_bytes(data)
        try:
            arrays = everything(one, **options)
        except BridgeflowError:
            pass
        else:
            read += 1
            if reference is not None:
                expected = reference(one)
                assert all(np.allclose(x, y, rtol=1e-9, equal_nan=True) for x, y in zip(arrays, expected, strict=True))
        if reference is None:
            one.unlink()
    return read
