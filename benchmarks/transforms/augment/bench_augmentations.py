"""Five augmentations on a batch of 64 examples, each with draws of its own."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.harness import Race, benchmark, faster, need

FS, SNR_DB, GAIN_DB, SHIFT, MASKED = 500, (15.0, 25.0), (-6.0, 6.0), 50, 102


def batch() -> np.ndarray[Any, Any]:
    """Noise of power 1."""
    return np.random.default_rng(0).standard_normal((64, 8, 1024)).astype("float32")


def ours(x: Any, *, last: Any) -> Any:
    """Five, drawn for each row, as a loader has them drawn."""
    from bridgeflow import AddNoise, Compose, Gain, Polarity, TimeShift, seeded

    five = Compose([AddNoise(snr_db=SNR_DB), Gain(db=GAIN_DB), TimeShift(max_shift=SHIFT), Polarity(), last])

    def run() -> Any:
        with seeded(0, rows=range(len(x))):
            return five(x)

    return run


def alike(one: Any, other: Any) -> None:
    """Results of other draws: of one shape, type and size."""
    first, second = np.asarray(one), np.asarray(other)
    assert first.shape == second.shape == (64, 8, 1024)
    assert first.dtype == second.dtype == np.float32
    assert 0.5 < np.mean(first**2) / np.mean(second**2) < 2


@benchmark("noise, gain, shift, polarity and mask on float32 [64, 8, 1024], ndarrays")
def of_ndarrays() -> Race:
    from bridgeflow import TimeMask

    their = need("audiomentations")
    five = their.Compose(
        [
            their.AddGaussianSNR(min_snr_db=SNR_DB[0], max_snr_db=SNR_DB[1], p=1.0),
            their.Gain(min_gain_db=GAIN_DB[0], max_gain_db=GAIN_DB[1], p=1.0),
            their.Shift(
                min_shift=-SHIFT, max_shift=SHIFT, shift_unit="samples", rollover=True, fade_duration=0.0, p=1.0
            ),
            their.PolarityInversion(p=0.5),
            their.TimeMask(min_band_part=0.0, max_band_part=MASKED / 1024, fade_duration=0.0, p=1.0),
        ]
    )
    x = batch()
    peer = "audiomentations, each example by itself"
    return Race(
        ours=ours(x, last=TimeMask(length=(0, MASKED))),
        peers={peer: lambda: np.stack([five(samples=one, sample_rate=FS) for one in x])},
        targets={peer: faster(5)},
        work=(x.size, "sample"),
        agree=alike,
    )


@benchmark("noise, gain, shift, polarity and reversal on float32 [64, 8, 1024], tensors")
def of_tensors() -> Race:
    from bridgeflow import TimeReverse

    their = need("torch_audiomentations")
    options = {"output_type": "tensor", "mode": "per_example"}
    five = their.Compose(
        [
            their.AddColoredNoise(
                min_snr_in_db=SNR_DB[0], max_snr_in_db=SNR_DB[1], min_f_decay=0.0, max_f_decay=0.0, p=1.0, **options
            ),
            their.Gain(min_gain_in_db=GAIN_DB[0], max_gain_in_db=GAIN_DB[1], p=1.0, **options),
            their.Shift(min_shift=-SHIFT, max_shift=SHIFT, shift_unit="samples", rollover=True, p=1.0, **options),
            their.PolarityInversion(p=0.5, **options),
            their.TimeInversion(p=0.5, **options),
        ],
        output_type="tensor",
    )
    x = torch.from_numpy(batch())
    peer = "torch-audiomentations"
    return Race(
        ours=ours(x, last=TimeReverse()),
        peers={peer: partial(five, x, sample_rate=FS)},
        targets={peer: faster(2)},
        work=(x.numel(), "sample"),
        agree=alike,
    )
