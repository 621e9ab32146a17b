"""`FilterBank`: each band is what `SignalFilter` gives, whole and live; how its fields are read."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from bridgeflow import Compose, FilterBank, SignalFilter, Transform, signal
from bridgeflow.bridge import describe
from bridgeflow.errors import CannotStream, ConfigError, DataError, NonFinite, UnstableFilter

BANDS = ((None, 4.0), (4.0, 8.0), (8.0, 13.0), (30.0, None))
FIELDS = {"fs": 250.0, "order": 3}


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


def alone(band: tuple[float | None, float | None], **options: object) -> SignalFilter:
    low, high = band
    kind = "lowpass" if low is None else "highpass" if high is None else "bandpass"
    cutoff = band if kind == "bandpass" else high or low
    return SignalFilter(design="butter", btype=kind, cutoff=cutoff, **FIELDS, **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "zero_phase"},
        {"initial": "steady"},
        {"precision": "float32", "scale": 0.5, "offset": 2.0},
        {"engine": "scipy"},
        {"nonfinite": "reset"},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_each_band_is_a_filter_of_its_own(options, dtype):
    x = (noise(2, 3, 400) * 100).astype(dtype)
    y = FilterBank(bands=BANDS, **FIELDS, **options)(x)
    assert y.shape == (2, 3, 4, 400)
    for f, band in enumerate(BANDS):
        np.testing.assert_array_equal(y[..., f, :], alone(band, **options)(x))


@pytest.mark.parametrize(
    "options", [{}, {"initial": "steady", "nonfinite": "reset"}, {"nonfinite": "propagate"}], ids=str
)
@pytest.mark.parametrize("axis", [-1, 0, -2])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_chunks_are_the_whole(options, axis, kind):
    x = noise(300, 3)
    x = x if axis != -1 else np.ascontiguousarray(x.T)
    if options:
        x[tuple(slice(50, 53) if n == 300 else 1 for n in x.shape)] = np.nan
    bank = FilterBank(bands=BANDS, **FIELDS, axis=axis, **options)
    live, pieces, begin = signal.stream(bank), [], 0
    for stop in (1, 1, 40, 51, 200, 300):
        piece = x[..., begin:stop] if axis == -1 else x[begin:stop]
        pieces.append(live.push(kind(np.ascontiguousarray(piece))))
        live.load_state_dict(json.loads(json.dumps(live.state_dict())))
        begin = stop
    assert live.flush() is None
    time = -1 if axis == -1 else -2
    together = np.concatenate([np.asarray(piece) for piece in pieces], axis=time)
    np.testing.assert_array_equal(together, np.asarray(bank(kind(x))))


def test_zero_phase_in_chunks_stays_within_its_tolerance():
    bank = FilterBank(bands=((None, 20.0), (20.0, 40.0), (5.0, None)), **FIELDS, mode="zero_phase", tolerance=1e-6)
    x = noise(2, 3000).astype("float32")
    whole, results = bank(x), []
    for length in (100, 1000):
        live = signal.stream(bank)
        pieces = [live.push(x[:, begin : begin + length]) for begin in range(0, 3000, length)]
        results.append(np.concatenate([*pieces, live.flush()], axis=-1))
    np.testing.assert_array_equal(*results)
    assert results[0].dtype == np.float32
    np.testing.assert_allclose(results[0], whole, rtol=0, atol=2e-6 * np.abs(whole).max())
    tensors = signal.stream(bank)
    assert isinstance(tensors.push(torch.from_numpy(x)), torch.Tensor)
    assert isinstance(tensors.flush(), torch.Tensor)
    with pytest.raises(CannotStream, match="give tolerance=1e-6"):
        FilterBank(bands=BANDS, **FIELDS, mode="zero_phase").init_state(describe(x))


def test_given_sections_and_learned_data():
    sos = np.stack([signal.Butter(order=4, cutoff=c, fs=250.0).sos for c in (5.0, 20.0)])
    bank = FilterBank(sos=sos)
    x = torch.from_numpy(noise(2, 60)).requires_grad_()
    y = bank(x)
    torch.testing.assert_close(y[:, 1], signal.sosfilt(sos[1], x))
    assert torch.autograd.gradcheck(bank, x)
    again = Transform.from_config(json.loads(json.dumps(bank.to_config())))
    assert again == bank
    assert FilterBank(bands=BANDS, **FIELDS) == FilterBank(bands=[list(band) for band in BANDS], **FIELDS)


def test_gaps():
    x = noise(2, 300)
    x[1, 100:103] = np.nan
    bank = FilterBank(bands=BANDS, **FIELDS)
    with pytest.raises(NonFinite, match="row 1 is nan at sample 100"):
        bank(x)
    live = signal.stream(bank)
    live.push(x[:, :60])
    with pytest.raises(NonFinite, match="row 1 is nan at sample 100"):
        live.push(x[:, 60:])
    kept = FilterBank(bands=BANDS, **FIELDS, nonfinite="interpolate", max_gap=5, keep_gaps=True)(x)
    assert np.argwhere(np.isnan(kept)).tolist() == [[1, f, t] for f in range(4) for t in (100, 101, 102)]


def test_after_it_stages_see_its_bands_as_rows():
    x = noise(3, 500)
    squared = Compose([FilterBank(bands=BANDS, **FIELDS), lambda y: np.square(y).mean(-1)])(x)
    assert squared.shape == (3, 4)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "give bands= "),
        ({"bands": BANDS, "sos": ()}, "and not both"),
        ({"bands": ()}, "at least one pair"),
        ({"bands": ((1.0, 2.0, 3.0),)}, r"bands\[0\] must be a pair"),
        ({"bands": ((None, None),)}, r"bands\[0\] must be a pair"),
        ({"bands": ((1.0, 4.0), (8.0, 4.0))}, r"bands\[1\]: .*cutoff must ascend"),
        ({"bands": ((1.0, 200.0),)}, r"bands\[0\]: .*must lie below fs/2"),
        ({"bands": BANDS, "design": "cheby1"}, "needs rp"),
        ({"bands": BANDS, "initial": "steady", "mode": "zero_phase"}, "initial='steady' is for mode='causal'"),
        ({"bands": BANDS, "tolerance": 1e-6}, "tolerance is for mode='zero_phase'"),
        ({"sos": ()}, "at least one filter"),
        ({"sos": (((1, 0, 0, 1, 0, 0),), ((1, 0, 0, 1, 0),))}, r"sos\[1\]: .*six numbers"),
        ({"sos": (((1, 0, 0, 1, 0, 0),), ((1, 0, 0, 1, 0, 0),) * 2)}, "as many sections"),
        ({"sos": (((1, 0, 0, 1, 0, 0),),), "rp": 1.0}, "are for bands="),
        ({"bands": BANDS, "design": "notch"}, "design"),
    ],
)
def test_fields_that_do_not_fit(fields, words):
    with pytest.raises((ConfigError, ValueError), match=words):
        FilterBank(**{**FIELDS, **fields})


def test_what_else_is_refused():
    with pytest.raises(UnstableFilter):
        FilterBank(sos=(((1, 0, 0, 1, 0, 1.5),),))
    with pytest.raises(ConfigError, match="fs is missing"):
        FilterBank(bands=BANDS)
    with pytest.raises(ConfigError, match="FilterBank: designed for fs=250 Hz, but the data have 360 Hz"):
        FilterBank(bands=BANDS, **FIELDS).out_spec(describe(noise(5)).fresh(fs=360.0))
    bank = FilterBank(bands=BANDS, **FIELDS)
    state = bank.init_state(describe(noise(2, 10)))
    with pytest.raises(DataError, match="a chunk of shape"):
        bank.step(noise(3, 10), state)
