"""Standard output and standard error: text from files cannot steer a terminal, and a full disk or a closed pipe ends a
command by its exit code and not in a traceback.
"""

from __future__ import annotations

import errno
import json
import math
import os
import sys
from contextlib import suppress
from typing import Any, TextIO

from bridgeflow.errors import printable

__all__ = ["echo", "echo_json", "echo_progress", "flush_streams", "open_missing_streams", "release_stream", "was_lost"]

_LOST: list[OSError] = []
"""What went wrong when progress was shown: it does not stop the work, and is the exit code at its end."""

_LONGEST_LINE = 2_000


def echo(text: str, *, err: bool = False) -> None:
    """Print lines of text, each printable and of a length that can be read."""
    stream = sys.stderr if err else sys.stdout
    stream.write("\n".join(printable(line, _LONGEST_LINE) for line in text.split("\n")) + "\n")
    stream.flush()


def echo_json(value: Any) -> None:
    """Print a value as JSON. Control sequences and invisible characters are escaped in JSON's way, so values stay."""
    text = json.dumps(_plain(value), indent=2, ensure_ascii=False)
    if not text.replace("\n", "").isprintable():
        text = "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    """JSON knows no NaN and no infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def echo_progress(text: str) -> None:
    """Print a line of progress; that it cannot be printed does not stop the work."""
    try:
        if not _LOST:
            echo(text, err=True)
    except OSError as error:
        _LOST.append(error)
        release_stream(sys.stderr)


def was_lost() -> OSError | None:
    """Why progress could not be shown, asked once."""
    return _LOST.pop() if _LOST else None


def flush_streams() -> OSError | None:
    """Write what is left; where that fails, let it go, and say why: Python would do it at its end, with a traceback."""
    lost = None
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            lost = lost or error
            release_stream(stream)
    return lost


def release_stream(stream: TextIO) -> None:
    """Lead a stream that cannot be written to nowhere, with what it still holds."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        stream.flush()


def open_missing_streams() -> None:
    """Lead standard streams that the caller has closed to nowhere, so that no file of a job gets their numbers; and
    escape what the encoding of the others does not have.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            with suppress(OSError):  # its descriptor has become a pipe since Python asked whether it can seek
                stream.reconfigure(errors="backslashreplace")
