"""Random transforms on random arrays, whole and in random chunks: the same numbers, or the same refusal by name."""

from __future__ import annotations

import json
import random
from itertools import pairwise

import numpy as np
import pytest
import torch

from bridgeflow.bridge import to_arrow, to_numpy
from bridgeflow.errors import BridgeflowError
from bridgeflow.pipeline.streams import Chunk, Streams
from bridgeflow.transforms import (
    Decimate,
    MedianFilter,
    Resample,
    SavgolFilter,
    SignalFilter,
    Spectrogram,
    Stft,
    Transform,
    Welch,
    Window,
    WindowLabels,
)

BUTTER = {"design": "butter", "cutoff": 20.0, "fs": 100.0, "order": 2}


def random_transform(rng: random.Random) -> Transform:
    where = {"axis": rng.choice([-1, -1, 0, -2, 1])}
    gaps = rng.choice(
        [
            {},
            {"nonfinite": "propagate"},
            {"nonfinite": "interpolate", "max_gap": rng.choice([1, 3, 8])},
            {"nonfinite": "interpolate", "max_gap": rng.choice([1, 3, 8]), "keep_gaps": True},
        ]
    )
    cut = {"length": rng.choice([1, 5, 20]), "hop": rng.choice([None, 3, 25])}
    makers = [
        lambda: SignalFilter(**BUTTER, initial=rng.choice(["zero", "steady"]), **where, **gaps),
        lambda: Resample(
            from_hz=rng.choice([2, 3, 5]),
            to_hz=rng.choice([2, 3, 4]),
            padtype=rng.choice(["constant", "edge"]),
            **where,
            **gaps,
        ),
        lambda: Decimate(q=rng.choice([2, 3]), ftype=rng.choice(["fir", "iir"]), zero_phase=False, **where, **gaps),
        lambda: SavgolFilter(
            window_length=rng.choice([1, 3, 9]),
            polyorder=0,
            mode=rng.choice(["interp", "mirror", "nearest", "constant"]),
            **where,
            **gaps,
        ),
        lambda: MedianFilter(kernel_size=rng.choice([1, 3, 9]), **where, **gaps),
        lambda: Stft(
            fs=100.0,
            nperseg=rng.choice([8, 15]),
            hop=rng.choice([2, 8]),
            padding=rng.choice(["zeros", "edge"]),
            **where,
            **gaps,
        ),
        lambda: Spectrogram(fs=100.0, nperseg=16, hop=5, detr=rng.choice([None, "constant"]), **where, **gaps),
        lambda: Welch(fs=100.0, nperseg=8, **where, **{name: gaps[name] for name in gaps if name != "keep_gaps"}),
        lambda: Window(**cut, pad=rng.choice(["drop", "zeros", "edge", "reflect"]), **where),
        lambda: WindowLabels(**cut, pad=rng.choice(["drop", "edge"]), rule=rng.choice(["last", "any"]), **where),
    ]
    return rng.choice(makers)()


def random_array(rng: random.Random, axis: int) -> np.ndarray:
    shape = rng.choice([(2, 60), (60, 3), (2, 50, 3), (40,)])
    x = np.random.default_rng(rng.randrange(1 << 30)).standard_normal(shape) * 10
    dtype = rng.choice(["f4", "f8", "f8", "i2", "c16", "f2"])
    x = (x + 1j * x).astype(dtype) if dtype == "c16" else x.astype(dtype)
    for _ in range(rng.randrange(4) if x.dtype.kind in "fc" and -x.ndim <= axis < x.ndim else 0):
        place: list = [rng.randrange(n) for n in shape]
        place[axis] = slice(place[axis], place[axis] + rng.randrange(1, 5))
        x[tuple(place)] = np.nan
    return x


def in_random_chunks(rng: random.Random, transform: Transform, x: np.ndarray, make) -> np.ndarray:
    """Through streams that are written down and read again now and then."""
    axis = range(x.ndim)[transform.time_axis]
    cuts = sorted(rng.randrange(x.shape[axis] + 1) for _ in range(rng.randrange(6)))
    bounds = list(pairwise([0, *cuts, x.shape[axis]]))
    streams, pieces = Streams(transform), []
    for number, (begin, end) in enumerate(bounds, 1):
        part = make(np.ascontiguousarray(np.take(x, range(begin, end), axis=axis)))
        chunk = Chunk(data=part, start=begin, last=number == len(bounds))
        pieces.append(to_numpy(streams.push(chunk)))
        if rng.random() < 0.3:
            again = Streams(transform)
            again.load_state_dict(json.loads(json.dumps(streams.state_dict())))
            streams = again
    return np.concatenate(pieces, axis=transform.stream_axis)


def result_of(call):
    try:
        return call()
    except BridgeflowError as error:
        return type(error)


def try_out(seed: int, count: int) -> int:
    """How many were tried; the first that differs fails, with its number."""
    for number in range(count):
        rng = random.Random(seed * 1_000_003 + number)
        transform = random_transform(rng)
        x = random_array(rng, transform.axis)
        makers = [np.asarray, torch.from_numpy]
        if x.ndim > 1 and x.dtype != np.complex128 and transform.axis not in (0, -x.ndim):
            makers.append(to_arrow)
        make = rng.choice(makers)
        whole = result_of(lambda: to_numpy(transform(make(x))))  # noqa: B023  called at once
        if not -x.ndim <= transform.axis < x.ndim:
            assert isinstance(whole, type), (seed, number, transform)
            continue
        chunked = result_of(lambda: in_random_chunks(rng, transform, x, make))  # noqa: B023
        what = f"seed {seed}, number {number}: {transform} of {x.dtype}{x.shape}"
        assert isinstance(chunked, type) == isinstance(whole, type), (what, chunked, whole)
        if not isinstance(whole, type):
            assert chunked.dtype == whole.dtype, what
            np.testing.assert_array_equal(chunked, whole, err_msg=what)
    return count


def test_some_random_streams():
    assert try_out(seed=0, count=150) == 150


@pytest.mark.slow
def test_many_random_streams():
    tried = sum(try_out(seed=seed, count=1000) for seed in range(1, 5))
    print(f"{tried:,} transforms on random arrays, whole and in chunks: no difference")
