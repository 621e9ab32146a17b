"""Makes the recordings of this folder, or of another one: `python make.py [FOLDER]`. README.md says what they are."""

from __future__ import annotations

import csv
import sys
from datetime import datetime
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import signal

from bridgeflow import Recording

ECG = Path(__file__).parents[1] / "mitdb208_mlii.parquet"


def noise(rng: np.random.Generator, shape: tuple[int, ...], exponent: float = 0.5) -> np.ndarray:
    """Noise whose amplitude falls with frequency, of variance 1."""
    spectrum = np.fft.rfft(rng.normal(size=shape))
    spectrum /= np.maximum(np.arange(spectrum.shape[-1]), 1) ** exponent
    x = np.fft.irfft(spectrum, shape[-1])
    return x / x.std(axis=-1, keepdims=True)


def eeg(folder: Path) -> None:
    """Imagined movements: the rhythm at 10 Hz is weaker over the hemisphere opposite to the hand."""
    rng, fs, seconds = np.random.default_rng(1), 64, 80
    for subject in range(1, 3):
        onsets = np.arange(1.0, seconds - 2, 2)
        hands = rng.permutation(["left", "right"] * (len(onsets) // 2 + 1))[: len(onsets)]
        time = np.arange(fs * seconds) / fs
        x = 12 * noise(rng, (4, len(time)))
        for channel, hand in ((0, "right"), (1, "left")):  # C3, C4
            strength = np.full(len(time), 9.0)
            for onset in onsets[hands == hand]:
                strength[(time >= onset) & (time < onset + 1.5)] = 2.5
            x[channel] += strength * np.sin(2 * np.pi * 10 * time + np.cumsum(rng.normal(0, 0.08, len(time))))
        Recording.from_arrays(
            np.rint(x / 0.1).astype(np.int16),
            fs=fs,
            channels=["C3", "C4", "Fz", "Pz"],
            unit="uV",
            scale=0.1,
            start=datetime(2026, 1, subject, 9, 30),
            events=[(float(onset), 1.5, str(hand)) for onset, hand in zip(onsets, hands, strict=True)],
        ).write(folder / f"S{subject}.edf", overwrite=True)


def ecg(folder: Path) -> None:
    """Two minutes of a real electrocardiogram, its beats marked by comparison with the usual one; two seconds lost."""
    fs = 360
    counts = pq.read_table(ECG)["ecg"].to_numpy()[180 * fs :].astype(np.float64)
    band = signal.sosfiltfilt(signal.butter(2, (5, 15), "bandpass", fs=fs, output="sos"), counts)
    energy = np.convolve(band**2, np.ones(54) / 54, "same")
    peaks, _ = signal.find_peaks(energy, height=0.15 * np.quantile(energy, 0.99), distance=int(0.3 * fs))
    peaks = np.array([p - 40 + np.abs(band[p - 40 : p + 40]).argmax() for p in peaks if 150 < p < len(band) - 150])
    beats = np.stack([band[p - 60 : p + 90] for p in peaks])
    usual = np.median(beats, axis=0)
    likeness = [np.corrcoef(usual, beat)[0, 1] for beat in beats]
    notes = [(p / fs, None, "N" if like > 0.75 else "V") for p, like in zip(peaks.tolist(), likeness, strict=True)]
    counts[80 * fs : 82 * fs] = np.nan
    for number in range(2):
        first, last = 60 * number, 60 * (number + 1)
        Recording.from_arrays(
            counts[first * fs : last * fs],
            fs=fs,
            channels=["MLII"],
            unit="mV",
            scale=1 / 200,
            offset=-1024 / 200,
            events=[(round(o * fs - first * fs) / fs, d, t) for o, d, t in notes if first <= o < last],
            metadata={"comments": ["MIT-BIH record 208, beats marked by program, 2 s taken out: see README.md"]},
        ).write(folder / f"rec208_{number + 1}.hea", overwrite=True)


def audio(folder: Path) -> None:
    """Calls of two kinds of animals: rising whistles, and low pulses."""
    rng, fs, rows = np.random.default_rng(3), 4000, []
    for number in range(16):
        species = ("whistler", "pulser")[number % 2]
        time = np.arange(int(fs * rng.uniform(0.3, 0.5))) / fs
        if species == "whistler":
            x = signal.chirp(time, rng.uniform(700, 900), time[-1], rng.uniform(1300, 1600))
        else:
            x = np.sin(2 * np.pi * rng.uniform(250, 400) * time) * (signal.square(2 * np.pi * 12 * time) > 0)
        x = 0.3 * x * np.hanning(len(time)) + 0.02 * rng.normal(size=len(time))
        name = f"clip{number:02}.flac"
        counts = (np.rint(x * 2048) * 16).astype(np.int16)
        Recording.from_arrays(counts, fs=fs, scale=2.0**-15).write(folder / name, overwrite=True)
        rows.append({"file": name, "species": species, "label": number % 2, "site": f"pond{number // 4}"})
    with open(folder / "labels.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def vibration(folder: Path) -> None:
    """Two accelerometers on a bearing: worn, it is hit once a turn of its balls, and rings."""
    rng, fs = np.random.default_rng(4), 8000
    for state in ("healthy", "worn"):
        for run in (1, 2):
            time = np.arange(8192) / fs
            x = 0.3 * np.sin(2 * np.pi * 29 * time) + 0.1 * rng.normal(size=(2, len(time)))
            if state == "worn":
                hits = np.zeros(len(time))
                hits[np.cumsum(rng.normal(fs / 107, 1, 100)).astype(int)[:90] % len(time)] = 1
                ring = np.exp(-900 * time[:200]) * np.sin(2 * np.pi * 2300 * time[:200])
                x += np.array([[0.6], [0.35]]) * np.convolve(hits, ring)[: len(time)]
            with h5py.File(folder / f"{state}_{run}.h5", "w") as file:
                counts = np.rint(x / 0.005).astype(np.int16)
                array = file.create_dataset("run/acceleration", data=counts, compression="gzip", shuffle=True)
                array.attrs["sampling_rate"] = fs
                array.attrs["channels"] = ["radial", "axial"]
                array.attrs["note"] = "counts of 0.005 g"


def imu(folder: Path) -> None:
    """A wrist sensor at about 50 Hz whose clock jitters and which twice loses its link: standing, walking, running."""
    rng = np.random.default_rng(5)
    for subject in range(1, 3):
        steps = rng.normal(0.02, 0.002, 5000).clip(0.012, 0.03)
        steps[[1700, 3400]] = (4.0, 9.0)
        time = np.cumsum(steps)
        activity = (np.arange(5000) // 500 % 3).astype(np.int8)
        stride = np.array([0.0, 1.8, 2.8])[activity] + 0.1 * subject * (activity > 0)
        strength = np.array([0.0, 0.25, 0.9])[activity]
        phase = 2 * np.pi * np.cumsum(stride * steps.clip(0, 0.03))
        swing = [np.sin(phase / 2), np.abs(np.sin(phase)), np.cos(phase / 2) / 2]
        x = strength * np.stack(swing) + 0.04 * rng.normal(size=(3, 5000)) + np.array([[0.1], [0.0], [1.0]])
        microseconds = (1_767_600_000 + 86_400 * subject) * 10**6 + np.rint(time * 1e6).astype(np.int64)
        columns = {"time": pa.array(microseconds, pa.timestamp("us", "UTC"))}
        columns |= {f"acc_{axis}": np.rint(row * 1000).astype(np.int16) for axis, row in zip("xyz", x, strict=True)}
        table = pa.table({**columns, "activity": activity})
        pq.write_table(table, folder / f"S{subject}.parquet", compression="zstd", use_dictionary=False)


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for make in (eeg, ecg, audio, vibration, imu):
        folder = target / make.__name__
        folder.mkdir(parents=True, exist_ok=True)
        make(folder)


if __name__ == "__main__":
    main()
