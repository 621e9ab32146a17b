"""Files of audio that are in memory, or named by a row of a table, decoded by soundfile."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bridgeflow._optional import require
from bridgeflow.errors import DataError
from bridgeflow.io.files import data_error, open_regular

__all__ = ["as_objects", "read_audio"]


def read_audio(
    content: Any, path: Path, name: str, row: int, *, require_small: Callable[[int], None] | None = None
) -> tuple[Any, int]:
    """Samples as float32 `[channels, time]`, full scale 1, and their rate in Hz.

    Args:
        content: the bytes of a file, or its path.
        path, name, row: where it comes from, for messages.
        require_small: refuses a number of bytes that the samples become.

    Raises:
        DataError: it cannot be read.
        MissingDependency: soundfile is not installed.
    """
    soundfile = require("soundfile", needed_for=f"decoding the audio of {name}")
    try:
        is_path = isinstance(content, (str, os.PathLike))
        file: Any = os.fdopen(open_regular(content), "rb") if is_path else io.BytesIO(content)
        with file, soundfile.SoundFile(file) as opened:
            if require_small is not None:
                require_small(4 * opened.frames * opened.channels)
            samples, rate = opened.read(dtype="float32", always_2d=True), int(opened.samplerate)
    except (soundfile.SoundFileError, OSError, RuntimeError, DataError) as error:
        problem = getattr(error, "error_string", None) or error
        raise data_error(path, f"the audio of row {row} cannot be read ({problem})", column=name) from error
    return np.ascontiguousarray(samples.T), rate


def as_objects(rows: Any) -> Any:
    """Arrays of their own shapes as an ndarray of objects `[rows]`."""
    array = np.empty(len(rows), object)
    for number, row in enumerate(rows):
        array[number] = row
    return array
