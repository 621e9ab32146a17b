"""Measurements as physics: a line of known height is found at that height."""

import numpy as np
import pytest

from bridgeflow.errors import DataError
from bridgeflow.pipeline.measure import interference_db, spectrum

FS = 500
T = np.arange(120 * FS) / FS
NOISE = np.random.default_rng(3).normal(size=T.size)


def test_the_spectrum_holds_the_power_of_the_signal():
    frequency, power = spectrum(NOISE, FS)
    assert np.sum(power) * frequency[1] == pytest.approx(NOISE.var(), rel=0.02)
    assert frequency[1] <= 0.2
    rows = np.stack([NOISE, 3 * NOISE])
    assert np.sum(spectrum(rows, FS)[1]) == pytest.approx(5 * np.sum(power))


@pytest.mark.parametrize("frequency", [50, 50.03, 60, 16.7])
@pytest.mark.parametrize("amplitude", [0.1, 1.0, 10.0])
def test_a_line_is_as_high_as_it_was_made(frequency, amplitude):
    """Its power, A^2/2, stands in 1.5 bins (Hann); the noise, 1, is spread over fs/2."""
    got = interference_db(NOISE + amplitude * np.sin(2 * np.pi * frequency * T), FS, frequency)
    bin_width = spectrum(NOISE, FS)[0][1]
    expected = 10 * np.log10(1 + amplitude**2 / 2 / (1.5 * bin_width) / (2 / FS))
    assert got == pytest.approx(expected, abs=2)


def test_noise_alone_has_no_line_and_units_do_not_matter():
    assert abs(interference_db(NOISE, FS, 50)) < 2.5
    disturbed = NOISE + np.sin(2 * np.pi * 50 * T)
    assert interference_db(200 * disturbed + 1024, FS, 50) == pytest.approx(interference_db(disturbed, FS, 50), abs=0.1)
    assert np.isfinite(interference_db(np.zeros(FS * 10), FS, 50))


@pytest.mark.parametrize("frequency", [0, 2, 3, 247, 250, 1000])
def test_frequencies_too_close_to_an_end(frequency):
    with pytest.raises(DataError, match="between 3 and 247 Hz"):
        interference_db(NOISE, FS, frequency)


def test_recordings_too_short():
    with pytest.raises(DataError, match=r"at least 2 s, got 1\.998 s"):
        interference_db(NOISE[: 2 * FS - 1], FS, 50)
    assert np.isfinite(interference_db(NOISE[: 2 * FS], FS, 50))
