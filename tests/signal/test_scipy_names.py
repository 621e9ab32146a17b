"""The functions of `scipy.signal` under their names: SciPy's numbers on every kind of array; which names there are."""

from __future__ import annotations

import inspect
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import scipy.signal
import torch

from bridgeflow import signal
from bridgeflow.bridge import kind_of, to_numpy
from bridgeflow.errors import BridgeflowError, DataError, NoRoute
from bridgeflow.signal.scipy_names import NOT_HERE, SCIPYS_FUNCTIONS, SCIPYS_OBJECTS

PASSED = sorted(name for names in SCIPYS_FUNCTIONS.values() for name in names)
X = np.random.default_rng(0).standard_normal(300)
Y = np.random.default_rng(1).standard_normal(300)
ROWS = np.random.default_rng(2).standard_normal((3, 400))
TAPS = scipy.signal.firwin(21, 0.3)
ZXX = scipy.signal.stft(X, nperseg=32)[2]


def differentiable(name, *args, **options):
    words = [value.__name__ if callable(value) else str(value) for value in options.values()]
    return pytest.param(name, args, options, id="-".join([name, *words]))


def bell(f):
    return np.exp(-(f**2))


DIFFERENTIABLE = [
    *(
        differentiable(name, X, TAPS, mode=mode)
        for name in ("convolve", "correlate", "fftconvolve", "oaconvolve")
        for mode in ("full", "same", "valid")
    ),
    differentiable("convolve", ROWS, ROWS[:2, :7], mode="valid"),
    differentiable("convolve", X, TAPS + 1j, method="fft"),
    differentiable("correlate", TAPS, X, mode="valid"),
    differentiable("correlate", X + 1j * Y, TAPS * 1j),
    differentiable("fftconvolve", ROWS, TAPS[None], axes=1),
    differentiable("oaconvolve", ROWS, ROWS[:1, :9], axes=-1, mode="same"),
    differentiable("upfirdn", TAPS, ROWS, up=3, down=2),
    differentiable("upfirdn", TAPS, ROWS, up=2, down=5, axis=0),
    differentiable("upfirdn", TAPS * 1j, X, up=2),
    *(
        differentiable("upfirdn", TAPS, ROWS, up=3, down=4, mode=mode)
        for mode in ("wrap", "edge", "smooth", "symmetric", "reflect", "antisymmetric", "antireflect", "line")
    ),
    *(differentiable("resample", x, n) for x in (X, X[:-1]) for n in (100, 101, 300, 400, 401)),
    *(differentiable("resample", x + 1j, n) for x in (X, X[:-1]) for n in (100, 101, 300, 400, 401)),
    differentiable("resample", X, 120, window="hamming"),
    differentiable("resample", X, 120, window=np.hanning(300)),
    differentiable("resample", X + 1j * Y, 120, window=bell),
    differentiable("resample", np.fft.fft(X), 120, domain="freq"),
    differentiable("resample", ROWS, 200, axis=-1),
    differentiable("csd", X, Y, 10.0, nperseg=64),
    differentiable("csd", X, Y, nperseg=64, average="median", scaling="spectrum"),
    differentiable("csd", ROWS, ROWS[:1], nperseg=50, nfft=64, detrend="linear", return_onesided=False),
    differentiable("csd", ROWS.T, ROWS[:1].T, nperseg=50, axis=0),
    differentiable("csd", X, Y[:280], nperseg=50),
    differentiable("csd", X + 1j * Y, Y + 1j * X, nperseg=64, average="median"),
    differentiable("coherence", X, Y, 10.0, nperseg=64),
    differentiable("coherence", ROWS, ROWS[::-1].copy(), window="hamming", nperseg=51, noverlap=11),
    differentiable("periodogram", X, 10.0),
    differentiable("periodogram", ROWS, nfft=512, window="hann", scaling="spectrum"),
    differentiable("periodogram", ROWS.T, nfft=100, axis=0, detrend="linear"),
    differentiable("periodogram", X + 1j, window=np.hanning(300)),
    *(
        differentiable("spectrogram", ROWS, 10.0, nperseg=32, mode=mode)
        for mode in ("psd", "complex", "magnitude", "angle", "phase")
    ),
    differentiable("spectrogram", ROWS.T, nperseg=33, noverlap=7, nfft=40, axis=0, scaling="spectrum"),
    differentiable("spectrogram", X, window=np.hanning(50), detrend=False, return_onesided=False),
    *(
        differentiable("stft", X, 10.0, nperseg=length, boundary=boundary, padded=padded)
        for length in (32, 33)
        for boundary in ("zeros", "even", "odd", "constant", None)
        for padded in (True, False)
    ),
    differentiable("stft", ROWS.T, nperseg=32, noverlap=20, nfft=50, axis=0, scaling="psd", detrend="constant"),
    differentiable("stft", X + 1j * Y, nperseg=32, return_onesided=False),
    differentiable("istft", ZXX, 10.0),
    differentiable("istft", ZXX[:, :-1], nperseg=33, noverlap=20, nfft=33, scaling="psd"),
    differentiable("istft", np.moveaxis(np.stack([ZXX, ZXX]), 0, 1), time_axis=2, freq_axis=0),
    differentiable("istft", scipy.signal.stft(X + 1j * Y, nperseg=32, return_onesided=False)[2], input_onesided=False),
    differentiable("istft", ZXX, boundary=False, window="hamming"),
    differentiable("lfilter_zi", *scipy.signal.butter(3, 0.2)),
]


def arrays(value):
    return isinstance(value, np.ndarray)


def mapped(call, args, options):
    args = [call(arg) if arrays(arg) else arg for arg in args]
    return args, {key: call(value) if arrays(value) else value for key, value in options.items()}


def flat(result):
    return list(result) if isinstance(result, tuple) else [result]


def compare(name, ours, theirs, *, tolerance):
    pairs = list(zip(flat(ours), flat(theirs), strict=True))
    if name == "istft" and len(pairs) > 1 and pairs[1][1].ndim > 1:
        del pairs[0]  # SciPy counts times along the first axis, whichever is time
    for one, other in pairs:
        one = one.detach().resolve_conj().numpy() if isinstance(one, torch.Tensor) else to_numpy(one)
        assert one.shape == other.shape, name
        if name == "spectrogram" and np.abs(other).max() > 3:  # phases, of which the ends meet
            np.testing.assert_allclose(np.exp(1j * one), np.exp(1j * other), atol=tolerance * 100)
        else:
            np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * (1 + np.abs(other).max()))


@pytest.mark.filterwarnings("ignore:NOLA", "ignore:Input data is complex")
@pytest.mark.parametrize(("name", "args", "options"), DIFFERENTIABLE)
def test_scipys_numbers_on_arrays_and_tensors(name, args, options):
    theirs = getattr(scipy.signal, name)(*args, **options)
    ours = getattr(signal, name)
    compare(name, ours(*args, **options), theirs, tolerance=1e-10)
    tensors = mapped(lambda x: torch.from_numpy(x.copy()), args, options)
    actual = ours(*tensors[0], **tensors[1])
    assert all(isinstance(one, torch.Tensor) for one in flat(actual))
    compare(name, actual, theirs, tolerance=1e-10)
    with_grad = mapped(lambda x: torch.from_numpy(x.copy()).requires_grad_(), args, {})[0]
    actual = ours(*with_grad, **tensors[1])
    compare(name, actual, theirs, tolerance=1e-9)
    assert flat(actual)[-1].requires_grad


@pytest.mark.filterwarnings("ignore:NOLA", "ignore:Input data is complex")
@pytest.mark.parametrize(("name", "args", "options"), DIFFERENTIABLE)
def test_single_precision_stays(name, args, options):
    def single(x):
        return x.astype(np.complex64 if x.dtype.kind == "c" else np.float32)

    theirs = getattr(scipy.signal, name)(*args, **options)
    if name == "spectrogram":
        options = options | {"detrend": False}
        theirs = getattr(scipy.signal, name)(*args, **options)
    read, more = mapped(single, args, options)
    actual = flat(getattr(signal, name)(*read, **more))[-1]
    assert actual.dtype in (np.float32, np.complex64)
    if options.get("mode") not in ("angle", "phase"):
        compare(name, actual, flat(theirs)[-1], tolerance=2e-5)


SMALL = np.random.default_rng(3).standard_normal((2, 24))
GRADIENTS = {
    "convolve": lambda x: signal.convolve(x, x[:, :3], "same"),
    "correlate": lambda x: signal.correlate(x[0], x[1, :5]),
    "fftconvolve": lambda x: signal.fftconvolve(x, x[:1, :5], axes=-1),
    "oaconvolve": lambda x: signal.oaconvolve(x, x[:1, :5], axes=-1),
    "upfirdn": lambda x: signal.upfirdn(x[1, :5], x, 3, 2, mode="reflect"),
    "resample": lambda x: signal.resample(x, 17, axis=-1),
    "resample complex": lambda x: torch.view_as_real(signal.resample(torch.complex(x[0], x[1]), 40)),
    "csd": lambda x: torch.view_as_real(signal.csd(x[0], x[1], nperseg=8)[1]),
    "csd median": lambda x: torch.view_as_real(signal.csd(x[0], x[1], nperseg=8, average="median")[1]),
    "coherence": lambda x: signal.coherence(x[0], x[1], nperseg=8)[1],
    "periodogram": lambda x: signal.periodogram(x)[1],
    "spectrogram": lambda x: signal.spectrogram(x, nperseg=8)[2],
    "spectrogram phase": lambda x: signal.spectrogram(x, nperseg=8, mode="phase", detrend=False)[2][..., 1:4, :],
    "stft": lambda x: torch.view_as_real(signal.stft(x, nperseg=8)[2]),
    "istft": lambda x: signal.istft(torch.complex(x[:, None, :].expand(-1, 5, -1), x[:, None, :].expand(-1, 5, -1)))[1],
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name):
    assert torch.autograd.gradcheck(GRADIENTS[name], (torch.tensor(SMALL, requires_grad=True),))


# --- the names ---


def test_every_name_of_scipy_is_here_or_declared():
    here = {name for name in scipy.signal.__all__ if name in signal.__all__}
    tables = [here, set(PASSED), set(SCIPYS_OBJECTS), set(NOT_HERE)]
    assert set().union(*tables) - {"freqz_sos", "gammatone", "closest_STFT_dual_window", "firwin_2d"} <= set(
        scipy.signal.__all__
    )
    assert set(scipy.signal.__all__) <= set().union(*tables)
    assert sum(map(len, tables)) == len(set().union(*tables))


@pytest.mark.parametrize("name", sorted({*PASSED, *SCIPYS_OBJECTS} & set(scipy.signal.__all__)))
def test_names_are_found_listed_and_pickled(name):
    actual = getattr(signal, name)
    assert actual is getattr(signal, name)
    assert name in dir(signal)
    if name in PASSED:
        assert inspect.signature(actual) == inspect.signature(getattr(scipy.signal, name))
        assert pickle.loads(pickle.dumps(actual)) is actual
    else:
        assert actual is getattr(scipy.signal, name)


@pytest.mark.parametrize("name", sorted(set(scipy.signal.__all__) & set(signal.__all__) - {"ShortTimeFFT"}))
def test_names_order_and_defaults_of_parameters_are_scipys(name):
    ours = list(inspect.signature(getattr(signal, name)).parameters.values())
    theirs = list(inspect.signature(getattr(scipy.signal, name)).parameters.values())
    assert [p.name for p in ours[: len(theirs)]] == [p.name for p in theirs]
    for one, other in zip(ours, theirs, strict=False):
        window = str(other.default).replace("_periodic", "")  # the words of SciPy 1.17
        assert one.default == other.default or str(one.default) == window, one.name
    assert all(p.kind is p.KEYWORD_ONLY for p in ours[len(theirs) :])


@pytest.mark.parametrize("name", sorted(NOT_HERE))
def test_a_name_that_stays_scipys_is_an_error_that_says_why(name):
    with pytest.raises(AttributeError, match=rf"{NOT_HERE[name]}; use scipy\.signal\.{name}"):
        getattr(signal, name)


def test_an_unknown_name_is_an_error_with_the_nearest():
    with pytest.raises(AttributeError, match=r"'find_peek': did you mean 'find_peaks'"):
        signal.find_peek  # noqa: B018
    with pytest.raises(ImportError, match="sos_filt"):
        exec("from bridgeflow.signal import sos_filt")
    assert not hasattr(signal, "__wrapped__")


def test_scipy_is_imported_when_a_name_is_used():
    code = (
        "import sys, bridgeflow; from bridgeflow import signal; assert 'scipy' not in sys.modules; "
        "signal.firwin; assert 'scipy.signal' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- functions that are SciPy's ---


@pytest.mark.parametrize("kind", ["torch", "arrow", "list"])
def test_peaks_and_their_properties_are_of_the_kind_of_the_data(kind):
    x = {"torch": torch.from_numpy, "arrow": pa.array, "list": list}[kind](X)
    peaks, properties = signal.find_peaks(x, height=0.5, width=1, distance=3)
    expected, theirs = scipy.signal.find_peaks(X, height=0.5, width=1, distance=3)
    kinds = {kind_of(peaks), *map(kind_of, properties.values())}
    assert kinds == {"numpy" if kind == "list" else kind}
    np.testing.assert_array_equal(to_numpy(peaks), expected)
    for key, value in theirs.items():
        np.testing.assert_array_equal(to_numpy(properties[key]), value)
    if kind == "torch":
        assert peaks.dtype is torch.int64
        assert isinstance(signal.peak_prominences(x, peaks)[0], torch.Tensor)
        assert isinstance(signal.argrelextrema(x, np.greater)[0], torch.Tensor)
        height = torch.full((300,), 0.5), None
        np.testing.assert_array_equal(signal.find_peaks(X, height=height)[0], scipy.signal.find_peaks(X, height=0.5)[0])


def test_designs_are_scipys_and_forms_keep_their_kind():
    for ours, theirs in zip(
        signal.butter(4, [0.1, 0.3], "bandpass"), scipy.signal.butter(4, [0.1, 0.3], "bandpass"), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    b, a = map(torch.from_numpy, scipy.signal.butter(4, 0.2))
    for form in (signal.tf2sos(b, a), *signal.tf2zpk(b, a)[:2], *signal.freqz(b, a)):
        assert isinstance(form, torch.Tensor)
    np.testing.assert_allclose(signal.tf2sos(b, a), scipy.signal.tf2sos(b.numpy(), a.numpy()))
    assert isinstance(signal.group_delay((b, a))[1], torch.Tensor)
    assert isinstance(signal.chirp(torch.arange(9.0), 1.0, 2.0, 3.0), torch.Tensor)
    assert kind_of(signal.square(pa.array([0.0, 1.0]))) == "arrow"
    assert signal.medfilt2d(torch.rand(5, 5, dtype=torch.float64)).shape == (5, 5)


def test_what_scipy_refuses_is_our_error_in_its_words():
    with pytest.raises(DataError, match=r"butter: .*critical frequencies must be 0 < Wn < 1"):
        signal.butter(4, 2.0)
    with pytest.raises(DataError, match="pass one column"):
        signal.find_peaks(pa.table({"x": X}))
    with pytest.raises(NoRoute, match="requires grad"):
        signal.find_peaks(torch.ones(9, requires_grad=True))


@pytest.mark.parametrize(
    "call",
    [
        lambda: signal.butter("four", 0.2),
        lambda: signal.firwin(11, {"low": 1}),
        lambda: signal.argrelmax(None),
        lambda: signal.bilinear([1.0], [1.0], fs=0.0),
        lambda: signal.find_peaks(["a", "b", "a"]),
        lambda: signal.deconvolve(["a"], ["b"]),
    ],
)
def test_what_scipy_stumbles_over_is_our_error_too(call):
    with pytest.raises(BridgeflowError) as caught:
        call()
    assert isinstance(caught.value, (ValueError, TypeError))
    with pytest.raises(TypeError, match="missing"):
        signal.butter()


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(SCIPYS_FUNCTIONS))
def test_no_arguments_end_the_process_or_hang_it(family):
    script = Path(__file__).with_name("any_arguments.py")
    done = subprocess.run([sys.executable, script, family, "100"], capture_output=True, text=True, timeout=500)
    print(done.stdout)
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]


@pytest.mark.parametrize(
    "call",
    [
        lambda x: signal.convolve(x, np.ones((2, 2))),
        lambda x: signal.convolve(x, x, "all"),
        lambda x: signal.convolve(x, x, method="fast"),
        lambda x: signal.fftconvolve(x, x, axes=[]),
        lambda x: signal.fftconvolve(x, x, axes=[0, 0]),
        lambda x: signal.fftconvolve(x, x, axes=3),
        lambda x: signal.upfirdn(x, x, 0),
        lambda x: signal.upfirdn(x[None], x),
        lambda x: signal.upfirdn(x, x, mode="mean"),
        lambda x: signal.upfirdn(x, x, axis=2),
        lambda x: signal.resample(x, 0),
        lambda x: signal.resample(x, 2.5),
        lambda x: signal.resample(x, 4, window=np.ones(3)),
        lambda x: signal.resample(x, 4, window="no such"),
        lambda x: signal.resample(x, 4, domain="space"),
        lambda x: signal.resample(x[:0], 4),
        lambda x: signal.csd(x, x[:3], nperseg=0),
        lambda x: signal.csd(x, x, noverlap=8, nperseg=8),
        lambda x: signal.csd(x, x, nperseg=8, average="mode"),
        lambda x: signal.csd(x[None].repeat(2, 0) if isinstance(x, np.ndarray) else x.repeat(2, 1), np.ones((3, 10))),
        lambda x: signal.coherence(x, x[:5]),
        lambda x: signal.periodogram(x, window=np.ones(3)),
        lambda x: signal.periodogram(x, nfft=-1),
        lambda x: signal.stft(x, boundary="none"),
        lambda x: signal.stft(x, nperseg=8, nfft=4),
        lambda x: signal.stft(x, scaling="density"),
        lambda x: signal.spectrogram(x, window=np.ones(99)),
        lambda x: signal.spectrogram(x, mode="power"),
        lambda x: signal.istft(x),
        lambda x: signal.istft(x[None], time_axis=0, freq_axis=-2),
        lambda x: signal.istft(x[None], freq_axis=7),
        lambda x: signal.istft(x[None], nperseg=0),
    ],
)
@pytest.mark.parametrize("make", [np.ones, lambda n: torch.ones(n, requires_grad=True)], ids=["numpy", "autograd"])
@pytest.mark.filterwarnings("ignore:nperseg")
def test_bad_arguments_are_our_errors(call, make):
    with pytest.raises((BridgeflowError, ValueError)) as caught:
        call(make(10))
    assert isinstance(caught.value, ValueError)


def test_the_docs_list_every_name_in_its_section():
    text = (Path(__file__).parents[2] / "docs" / "scipy.md").read_text(encoding="utf-8")
    sections = dict(part.split("\n", 1) for part in text.split("\n## ")[1:])

    def names(section):
        return {name for row in re.findall(r"^\| .* \| (`.*) \|$|^(`.*) are SciPy's", sections[section], re.M)
                for name in re.findall(r"`(\w+)`", "".join(row))}  # fmt: skip

    assert names("Names with an engine of ours") == set(scipy.signal.__all__) & set(signal.__all__)
    assert names("Names that are SciPy's functions") == {*PASSED, *SCIPYS_OBJECTS}
    assert names("Names that stay in scipy.signal") == set(NOT_HERE)
