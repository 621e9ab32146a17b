"""A recording as it would come from a device: small chunks, filtered as they arrive, with the delay of each printed.

    python examples/live_stream.py

Two filters side by side: a causal band-pass, whose output is there at once but late in phase, and the same band-pass in
zero phase, which waits for its look-ahead. Half way, both are saved as JSON and restored, as after a crash.
"""

from __future__ import annotations

import json
from pathlib import Path
from time import perf_counter

import numpy as np
import pyarrow.parquet as pq

from bridgeflow import signal

RECORDING = Path(__file__).parent / "data" / "mitdb208_mlii.parquet"
FS = 360  # Hz
CHUNK = 36  # samples: a tenth of a second
SECONDS = 60


def main() -> None:
    counts = pq.read_table(RECORDING, columns=["ecg"])["ecg"].to_numpy()[: SECONDS * FS]
    band = signal.Butter(order=2, cutoff=(1.0, 40.0), btype="bandpass", fs=FS)
    units = {"scale": 1 / 200, "offset": -1024 / 200}  # counts to millivolt

    def streams() -> dict[str, signal.Stream]:
        return {
            "causal": signal.stream(band, initial="steady", **units),
            "zero phase": signal.stream(band, mode="zero_phase", tolerance=1e-4, **units),
        }

    live = streams()
    outputs: dict[str, list[np.ndarray]] = {name: [] for name in live}
    seconds: dict[str, list[float]] = {name: [] for name in live}
    for begin in range(0, len(counts), CHUNK):
        if begin == len(counts) // 2 // CHUNK * CHUNK:
            saved = json.dumps({name: stream.state_dict() for name, stream in live.items()})
            live = streams()
            for name, state in json.loads(saved).items():
                live[name].load_state_dict(state)
            print(f"at {begin / FS:.0f} s: saved and restored, {len(saved):,} bytes of JSON")
        for name, stream in live.items():
            start = perf_counter()
            outputs[name].append(stream.push(counts[begin : begin + CHUNK]))
            seconds[name].append(perf_counter() - start)

    for name, stream in live.items():
        rest = stream.flush()
        print(
            f"{name:10} waits for {stream.latency / FS:.2f} s of signal ({stream.latency} samples); a chunk of {CHUNK} "
            f"takes {np.median(seconds[name]) * 1e6:.0f} us to compute, the slowest {max(seconds[name]) * 1e3:.1f} ms"
        )
        if rest is not None:
            outputs[name].append(rest)

    millivolt = counts / 200 - 1024 / 200
    causal, zero_phase = (np.concatenate(outputs[name]) for name in ("causal", "zero phase"))
    steady = signal.sosfilt_zi(band) * millivolt[0]
    whole, _ = signal.sosfilt(band, counts, zi=steady, **units)
    assert np.array_equal(causal, whole), "chunk by chunk gives the bits of the whole"
    error = np.abs(zero_phase - signal.sosfiltfilt(band, counts, **units)).max()
    print(f"causal equals the whole bit for bit; zero phase differs from it by {error:.1e} mV at most")
    assert error <= 1e-4 * np.abs(millivolt).max()


if __name__ == "__main__":
    main()
