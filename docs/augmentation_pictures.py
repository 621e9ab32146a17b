"""Draw every augmentation on an ECG into docs/images/augmentations.png: `python docs/augmentation_pictures.py`.

`make docs` runs it too. The numbers are drawn from fixed rows, so that the picture stays the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np

import bridgeflow as bf
from bridgeflow.plots._picture import AFTER, BEFORE, TEXT

PICTURE = Path(__file__).parent / "images" / "augmentations.png"
RECORD = Path(__file__).parents[1] / "examples" / "data" / "mitdb208_mlii.parquet"
FS, SAMPLES = 360, 1080


class Panel(NamedTuple):
    """One augmentation: its title, the transform, and what it is shown on.

    Args:
        on: `"lead"`, `"channels"`, `"spectrogram"`, or `"two"` for a lead that is mixed with another one.
        row: whose numbers are drawn.
    """

    title: str
    transform: Any
    on: str = "lead"
    row: int = 0


def stretches(count: int) -> np.ndarray[Any, Any]:
    """Stretches of the record in millivolts, [count, SAMPLES]."""
    with bf.io.open_source(RECORD) as source:
        counts = np.asarray(source.read()["ecg"], "float64")
    level = bf.SignalFilter(design="butter", btype="highpass", cutoff=0.7, fs=FS, order=2, mode="zero_phase")
    millivolts = level((counts - 1024) / 200)
    return np.stack([millivolts[first : first + SAMPLES] for first in 2400 + 1700 * np.arange(count)])


def panels() -> list[Panel]:
    """All augmentations, in the order of the page."""
    rng = np.random.default_rng(0)
    muscle = bf.signal.butter_highpass_filter(rng.standard_normal(4000), cutoff=60, fs=FS, order=2)
    muscle *= np.convolve(rng.random(4000) < 0.002, np.hanning(300), "same")
    echo = np.zeros(60)
    echo[[0, 20, 45]] = 1, 0.5, 0.3
    gain, shift = bf.Gain(db=5), bf.TimeShift(max_shift=150)
    return [
        Panel("AddNoise(snr_db=12)", bf.AddNoise(snr_db=12)),
        Panel('AddNoise(snr_db=12, color="pink")', bf.AddNoise(snr_db=12, color="pink")),
        Panel('AddNoise(snr_db=12, color="brown")', bf.AddNoise(snr_db=12, color="brown")),
        Panel("AddRecording(recordings=[muscle], snr_db=8)", bf.AddRecording(recordings=[muscle], snr_db=8)),
        Panel("BaselineWander(fs=360, amplitude=1)", bf.BaselineWander(fs=FS, amplitude=1.0)),
        Panel("MainsInterference(fs=360, amplitude=0.2)", bf.MainsInterference(fs=FS, amplitude=0.2, harmonics=3)),
        Panel("Reverberate(responses=[echo])", bf.Reverberate(responses=[echo])),
        Panel("BandStop(fs=360, center=15, width=20)", bf.BandStop(fs=FS, center=15, width=20)),
        Panel("Gain(db=6)", bf.Gain(db=6)),
        Panel("Polarity(p=1)", bf.Polarity(p=1)),
        Panel("Clip(at=0.4)", bf.Clip(at=0.4)),
        Panel("Quantize(bits=3)", bf.Quantize(bits=3)),
        Panel("TimeReverse(p=1)", bf.TimeReverse(p=1)),
        Panel("TimeShift(max_shift=150)", shift, row=1),
        Panel('TimeShift(max_shift=150, mode="zero")', bf.TimeShift(max_shift=150, mode="zero"), row=1),
        Panel('TimeShift(max_shift=150, mode="reflect")', bf.TimeShift(max_shift=150, mode="reflect"), row=1),
        Panel("Speed(factors=(1.3,))", bf.Speed(factors=(1.3,))),
        Panel("TimeWarp(max_speed=2, knots=5)", bf.TimeWarp(max_speed=2, knots=5)),
        Panel("RandomCrop(length=500)", bf.RandomCrop(length=500)),
        Panel("TimeMask(length=150, count=2)", bf.TimeMask(length=150, count=2)),
        Panel("DropSamples(rate=0.2, packet=30)", bf.DropSamples(rate=0.2, packet=30)),
        Panel('DropSamples(..., fill="hold")', bf.DropSamples(rate=0.2, packet=30, fill="hold")),
        Panel("ChannelDropout(rate=0.5)", bf.ChannelDropout(rate=0.5), on="channels", row=3),
        Panel("ChannelShuffle()", bf.ChannelShuffle(), on="channels", row=2),
        Panel("ChannelSymmetry(pairs=((0, 2),), p=1)", bf.ChannelSymmetry(pairs=((0, 2),), p=1), on="channels"),
        Panel("FrequencyMask(width=6)", bf.FrequencyMask(width=6), on="spectrogram", row=2),
        Panel("Mixup(labels=..., alpha=2)", bf.Mixup(keys="x", labels=(), alpha=2), on="two", row=2),
        Panel("CutMix(labels=..., alpha=2)", bf.CutMix(keys="x", labels=(), alpha=2), on="two", row=2),
        Panel("RandomApply((Gain, TimeShift))", bf.RandomApply(transforms=(gain, shift), p=1), row=1),
        Panel("OneOf((Gain, TimeShift))", bf.OneOf(transforms=(gain, shift)), row=1),
        Panel("SomeOf((Gain, TimeShift, Clip), n=2)", bf.SomeOf(transforms=(gain, shift, bf.Clip(at=0.5)), n=2), row=4),
    ]


def draw(axes: Any, panel: Panel, leads: np.ndarray[Any, Any]) -> None:
    """One panel: before in grey, after in blue."""
    time = np.arange(SAMPLES) / FS
    axes.set_title(panel.title, fontsize=8, loc="left", color=TEXT, pad=3)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    if panel.on == "spectrogram":
        spectrogram = bf.Spectrogram(fs=FS, nperseg=128, hop=16, win="hann")(leads[0])[:40]
        with bf.seeded(0, rows=panel.row):
            masked = panel.transform(10 * np.log10(spectrogram + 1e-6) + 60)
        axes.imshow(masked, origin="lower", aspect="auto", cmap="Blues")
        return
    if panel.on == "two":
        with bf.seeded(0, rows=[panel.row, panel.row + 1]):
            after = panel.transform({"x": leads[:2]})["x"][0]
        axes.plot(time, leads[1] - 3, color=BEFORE, lw=0.6)
    elif panel.on == "channels":
        with bf.seeded(0, rows=panel.row):
            after = (panel.transform(leads) + 3 * np.arange(3)[:, None]).T
        axes.plot(time, (leads + 3 * np.arange(3)[:, None]).T, color=BEFORE, lw=0.6)
        axes.plot(time, after, color=AFTER, lw=0.8)
        return
    else:
        with bf.seeded(0, rows=panel.row):
            after = panel.transform(leads[0])
    axes.plot(time, leads[0], color=BEFORE, lw=0.7)
    axes.plot(time[: len(after)], after, color=AFTER, lw=0.8)
    axes.set_ylim(-4 if panel.on == "two" else -1.6, 2.6)


def main(path: Path = PICTURE) -> None:
    """Draw the picture."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    every, leads, columns = panels(), stretches(3), 4
    figure, grid = plt.subplots(-(-len(every) // columns), columns, figsize=(13, 14), layout="constrained")
    for axes in grid.flat[len(every) :]:
        axes.remove()
    for axes, panel in zip(grid.flat, every, strict=False):
        draw(axes, panel, leads)
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
