"""What becomes of every transform before the windows of recordings: lazy, computed whole where asked, or refused."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from bridgeflow import BridgeflowError, Compose, Recording, SignalDataset, Window
from bridgeflow.errors import CannotStream
from bridgeflow.pipeline.window_places import Cut
from bridgeflow.transforms import registry
from tests.transforms.augmentations import AUGMENTATIONS, MIXES
from tests.transforms.test_contracts import EXAMPLES, IMAGES, LABELLED
from tests.transforms.window_stages import WINDOW_STAGES

WAYS = {
    "lazy": """
        Cast Clone Compose Decimate Detach FilterBank LogAmplitude Magnitude MedianFilter
        MelSpectrogram Mfcc MixChannels Normalize NormalizeBy PickChannels Reference Resample
        RunningStandardize SavgolFilter Scale SignalFilter Spectrogram Standardize Stft ToNumpy
        ToTensor
    """,
    "whole": "Detrend Envelope Hilbert Scipy",
    "refused": "BandPower Istft PeakRate SharedView ToArrow ToDevice Welch Window WindowLabels",
}
"""The way of the first example of each transform that draws no random numbers."""

WAY_OF = {name: way for way, names in WAYS.items() for name in names.split()}

OTHERS = {
    ("Mfcc", 0): "whole",  # a floor below the largest of all values
    ("Resample", 1): "whole",  # a line through the whole recording
    ("Stft", 1): "whole",  # mirrors samples that have not come yet
    ("Scipy", 1): "refused",  # one number for each channel
    ("Scipy", 2): "refused",  # frequencies
    ("ToTensor", 2): "refused",  # without data
    ("ToDevice", 1): "refused",
}
"""Further examples whose way is another."""


def way(stage, x):
    """Which of the ways, by what happens; bits of the whole wherever windows come out."""
    fs = float(getattr(stage, "from_hz", None) or getattr(stage, "fs", None) or 100.0)
    name = next(iter(getattr(stage, "keys", None) or ()), "signal")
    recording = Recording.from_arrays({name: x}, fs=fs, labels={"id": "a"})

    def window(**options):
        dataset = SignalDataset([recording], Compose([stage, Window(length=20)]), kind="numpy", **options)
        row = min(2, len(dataset) - 1)
        expected = np.asarray(stage({name: x, "id": "a"})[name])[..., 20 * row : 20 * row + 20]
        assert np.array_equal(dataset[row][name], expected, equal_nan=True)

    error = raised_by(window)
    if error is None:
        return "lazy"
    assert type(stage).__name__ in str(error) or isinstance(stage, Cut)
    again = raised_by(partial(window, whole="cache"))
    if again is None:
        assert isinstance(error, CannotStream)
        assert "whole='cache'" in str(error)
        return "whole"
    assert type(again) is type(error)
    return "refused"


def raised_by(function):
    """The error of ours that a function raises."""
    try:
        function()
    except BridgeflowError as error:
        return error
    return None


def test_the_table_names_every_transform():
    assert set(WAY_OF) == {*EXAMPLES, *LABELLED}
    assert set(WAY_OF) | {*AUGMENTATIONS, *MIXES, *WINDOW_STAGES, *IMAGES} == set(registry.names())


@pytest.mark.parametrize("name", sorted(WAY_OF))
def test_every_transform_goes_its_way(name):
    channels = 4 if name in {"Istft"} else 2
    x = np.random.default_rng(0).standard_normal((channels, 3000))
    for number, stage in enumerate(EXAMPLES.get(name) or LABELLED[name]):
        assert way(stage, x) == OTHERS.get((name, number), WAY_OF[name]), f"example {number}: {stage!r}"


@pytest.mark.parametrize("name", sorted({*AUGMENTATIONS, *MIXES}))
def test_what_draws_random_numbers_is_refused(name):
    x = np.random.default_rng(0).standard_normal((2, 3000))
    for stage in AUGMENTATIONS.get(name) or MIXES[name]:
        if stage.random:
            assert way(stage, x) == "refused"
