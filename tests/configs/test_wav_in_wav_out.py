"""Audio in, audio out: tones in the band stay, tones beyond it go; and real speech, where the machine has it."""

from pathlib import Path

import numpy as np
import pytest
from scipy import signal
from scipy.io import wavfile

from bridgeflow.engines.local import run_job
from tests.configs.workplace import placed

SPEECH = Path("/usr/share/sounds/alsa/Front_Center.wav")
FS = 16_000


def run(folder, rate, samples):
    wavfile.write(folder / "in.wav", rate, samples)
    result = run_job(placed("wav_in_wav_out.yaml", folder))
    written_rate, out = wavfile.read(folder / "out.wav")
    assert written_rate == rate
    assert out.dtype == np.int16
    assert out.shape == samples.shape
    return result, out


def tone(frequency, seconds=2):
    return 8000 * np.sin(2 * np.pi * frequency * np.arange(seconds * FS) / FS)


def loudness(x, frequency):
    """Amplitude of a tone in the second half, where the filter has settled."""
    half = x[len(x) // 2 :].astype(float)
    return 2 * abs(np.mean(half * np.exp(-2j * np.pi * frequency * np.arange(len(half)) / FS)))


@pytest.mark.parametrize(("frequency", "kept"), [(50, False), (100, False), (1000, True), (2500, True), (7000, False)])
def test_the_band_stays_and_the_rest_goes(tmp_path, frequency, kept):
    _, out = run(tmp_path, FS, tone(frequency).astype(np.int16))
    assert loudness(out, frequency) == pytest.approx(8000, rel=0.02) if kept else loudness(out, frequency) < 80


@pytest.mark.parametrize(
    ("dtype", "silence", "full_scale"),
    [("uint8", 128, 2**7), ("int16", 0, 2**15), ("int32", 0, 2**31), ("float32", 0, 1)],
)
def test_channels_are_kept_apart_and_full_scale_stays(tmp_path, dtype, silence, full_scale):
    noise = (silence + full_scale * np.random.default_rng(0).uniform(-0.3, 0.3, (FS, 2))).astype(dtype)
    result, out = run(tmp_path, FS, noise)
    band = signal.butter(4, [300, 3400], "bandpass", fs=FS, output="sos")
    loud = (noise.astype(float) - silence) / full_scale
    expected = np.rint(2**15 * signal.sosfilt(band, loud, axis=0))
    assert np.abs(out - expected).max() <= 1
    assert (result.saturated, result.fs, result.seconds) == (0, FS, 1)


def test_what_is_too_loud_is_counted(tmp_path):
    square = (32767 * np.sign(tone(1000))).astype(np.int16)
    result, out = run(tmp_path, FS, square)
    assert result.saturated > 1000
    assert out.max() == 32767


def test_long_sound_goes_through_in_chunks_with_the_same_bytes(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(-3000, 3000, (FS, 2)).astype(np.int16)
    for name in ("whole", "chunks"):
        (tmp_path / name).mkdir()
    run(tmp_path / "whole", FS, noise)
    monkeypatch.setattr("bridgeflow.pipeline.job.CHUNK_NBYTES", 9999)
    result, _ = run(tmp_path / "chunks", FS, noise)
    assert result.chunks > 5
    assert (tmp_path / "chunks" / "out.wav").read_bytes() == (tmp_path / "whole" / "out.wav").read_bytes()


@pytest.mark.skipif(not SPEECH.exists(), reason="Debian's package alsa-utils is not installed")
def test_real_speech(tmp_path):
    rate, speech = wavfile.read(SPEECH)
    _, out = run(tmp_path, rate, speech)
    frequency, before = signal.welch(speech.astype(float), rate, nperseg=4096)
    _, after = signal.welch(out.astype(float), rate, nperseg=4096)
    voice = (frequency > 500) & (frequency < 3000)
    assert after[voice].sum() == pytest.approx(before[voice].sum(), rel=0.1)
    assert after[frequency > 8000].sum() < before[frequency > 8000].sum() / 100
