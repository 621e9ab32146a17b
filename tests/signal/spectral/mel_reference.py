"""Writes `mel_reference.npz`: mel spectra and cepstra of librosa and torchaudio, which the tests compare with.

Run it in an environment that has these two, once for each that is at hand; what is there of the other one stays:

    python tests/signal/spectral/mel_reference.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_name("mel_reference.npz")
FS, N_FFT, HOP, N_MELS = 8000, 256, 100, 20


def signal() -> np.ndarray:
    """A chirp in noise, [3000] float64."""
    t = np.arange(3000) / FS
    return np.sin(2 * np.pi * (200 + 2000 * t) * t) + 0.01 * np.random.default_rng(0).standard_normal(len(t))


def by_librosa() -> dict[str, Any]:
    """librosa's answers."""
    import librosa

    x, same = signal(), {"sr": FS, "n_fft": N_FFT, "hop_length": HOP, "n_mels": N_MELS}
    mel = librosa.feature.melspectrogram
    power = mel(y=x, **same)
    return {
        "librosa default": power,
        "librosa htk": mel(y=x, **same, htk=True, norm=None, fmin=100.0, fmax=3000.0),
        "librosa amplitude": mel(y=x, **same, power=1.0),
        "librosa reflect": mel(y=x, **same, pad_mode="reflect"),
        "librosa uncentered": mel(y=x, **same, center=False),
        "librosa short window": mel(y=x, **same, win_length=200, window="hamming"),
        "librosa db": librosa.power_to_db(power, top_db=None),
        "librosa db 60": librosa.power_to_db(power, top_db=60.0, ref=2.0),
        "librosa amplitude db": librosa.amplitude_to_db(np.sqrt(power), top_db=None),
        "librosa mfcc": librosa.feature.mfcc(y=x, **same, n_mfcc=13),
        "librosa mfcc lifter": librosa.feature.mfcc(y=x, **same, n_mfcc=13, lifter=22),
    }


def by_torchaudio() -> dict[str, Any]:
    """torchaudio's answers."""
    import torch
    import torchaudio.transforms as t

    x, same = torch.from_numpy(signal()), {"n_fft": N_FFT, "hop_length": HOP, "n_mels": N_MELS}

    def run(transform: Any) -> Any:
        return transform.double()(x).numpy()

    return {
        "torchaudio default": run(t.MelSpectrogram(FS, **same)),
        "torchaudio slaney": run(t.MelSpectrogram(FS, **same, mel_scale="slaney", norm="slaney", f_min=50.0)),
        "torchaudio amplitude": run(t.MelSpectrogram(FS, **same, power=1.0, win_length=200)),
        "torchaudio mfcc": run(t.MFCC(FS, n_mfcc=13, melkwargs=same)),
        "torchaudio mfcc ln": run(t.MFCC(FS, n_mfcc=13, log_mels=True, melkwargs=same)),
    }


def main() -> None:
    """Write what can be had here."""
    answers = dict(np.load(FILE)) if FILE.exists() else {}
    for ask in (by_librosa, by_torchaudio):
        try:
            answers |= ask()
        except ImportError as error:
            print(f"left as it was: {error}")
    np.savez_compressed(FILE, **answers)


if __name__ == "__main__":
    main()
