"""A recording streamed to SciPy: heart rate from the ECG, ten seconds at a time.

    python examples/heart_rate.py

BridgeFlow carries the filter's state from chunk to chunk and hands SciPy ndarrays; `find_peaks` finds the beats.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from scipy.signal import find_peaks

from bridgeflow import Compose, SignalFilter, ToNumpy, describe, trace

RECORDING = Path(__file__).parent / "data" / "mitdb208_mlii.parquet"
FS = 360  # Hz
CHUNK = 10 * FS


def chunks() -> Iterator[object]:
    """The Parquet file in Arrow arrays of ten seconds; the whole is never in memory."""
    for batch in pq.ParquetFile(RECORDING).iter_batches(batch_size=CHUNK, columns=["ecg"]):
        yield batch.column("ecg")


def main() -> None:
    # The QRS complex, the sharp wave of each beat, lives between 5 and 15 Hz. Counts become millivolt on the way.
    qrs = Compose(
        [
            SignalFilter(
                design="butter", btype="bandpass", cutoff=(5.0, 15.0), order=2, fs=FS, scale=1 / 200, offset=-1024 / 200
            ),
            ToNumpy(),
        ]
    )
    state, beats, seen = None, [], 0
    tail = np.zeros(0)
    with trace() as crossings:
        for chunk in chunks():
            state = qrs.init_state(describe(chunk)) if state is None else state
            millivolt, state = qrs.step(chunk, state)
            # 150 ms of energy; the last second is looked at again with the next chunk, so no beat is lost at a border
            signal = np.concatenate([tail, millivolt])
            energy = np.convolve(signal**2, np.full(54, 1 / 54), mode="same")
            peaks, _ = find_peaks(energy, height=0.15 * np.quantile(energy, 0.99), distance=FS * 3 // 10)
            first, last = len(tail) // 2, len(energy) - FS // 2
            beats.append(seen - len(tail) + peaks[(peaks >= first) & (peaks < last)])
            seen += len(millivolt)
            tail = signal[-FS:]

    times = np.concatenate(beats) / FS
    rate = 60 / np.median(np.diff(times))
    print(f"{len(times)} beats in {seen / FS:.0f} s; median heart rate {rate:.0f} a minute")
    print(f"{len(crossings)} crossings to and from SciPy, {crossings.total_bytes:,} bytes copied for them")

    assert seen == 108_000
    assert 60 < rate < 140, "an adult at rest, with extrasystoles"
    assert np.all(np.diff(times) > 0.25), "no beat is counted twice"
    assert abs(len(times) / (seen / FS / 60) - rate) < 0.25 * rate, "the count agrees with the median interval"


if __name__ == "__main__":
    main()
