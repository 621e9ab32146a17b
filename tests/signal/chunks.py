"""Recordings, and their way through something that streams in chunks, with a state that any format can hold."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from bridgeflow.bridge import describe, to_numpy


class Chunked(NamedTuple):
    """What came of a recording: the pieces put together, one for each chunk and maybe what was flushed; the states."""

    values: Any
    pieces: list[Any]
    states: list[Any]


def recording(shape, dtype="float64", seed=0):
    x = np.random.default_rng(seed).standard_normal(shape) * 100 + 50
    return (x + 1j * x[..., ::-1] if np.dtype(dtype).kind == "c" else x).astype(dtype)


def stored(state):
    """A state written as raw bytes with dtype and shape, and read back."""
    written = {name: (part.tobytes(), part.dtype.str, part.shape) for name, part in state.items()}
    return {name: np.frombuffer(raw, dtype).reshape(shape) for name, (raw, dtype, shape) in written.items()}


def in_chunks(run, x, cuts):
    state = run.init_state(describe(x))
    pieces, states = [], []
    for begin, end in pairwise(cuts):
        y, state = run.step(x[..., begin:end], stored(state))
        pieces.append(to_numpy(y))
        states.append(state)
    last = run.flush(stored(state))
    pieces += [] if last is None else [to_numpy(last)]
    return Chunked(np.concatenate(pieces, axis=-1), pieces, states)
