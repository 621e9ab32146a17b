"""The one entrance of `bridgeflow.signal`: what is an array, and what is not."""

from __future__ import annotations

import warnings

import numpy as np
import pyarrow as pa
import pytest
import torch

from bridgeflow import signal
from bridgeflow.errors import BridgeflowError, DataError

SOS = signal.Butter(order=2, cutoff=10.0, fs=100.0).sos
ECG = np.sin(np.arange(300.0))


class PandasLike:
    """What pandas' DataFrame shows of itself."""

    columns = ("ecg",)
    iloc = None

    def __array__(self, dtype=None, copy=None):
        return ECG[:, None]


TABLES = {
    "Table": lambda: pa.table({"ecg": ECG}),
    "two columns": lambda: pa.table({"ecg": ECG, "label": np.zeros(300)}),
    "RecordBatch": lambda: pa.record_batch({"ecg": ECG}),
    "reader": lambda: pa.table({"ecg": ECG}).to_reader(),
    "struct array": lambda: pa.record_batch({"ecg": ECG}).to_struct_array(),
    "records": lambda: np.array([(1.0,)], dtype=[("ecg", "f8")]),
    "dict": lambda: {"ecg": ECG},
    "pandas": PandasLike,
    "polars": lambda: pytest.importorskip("polars").DataFrame({"ecg": ECG}),
}

FUNCTIONS = {
    "sosfilt": lambda x: signal.sosfilt(SOS, x),
    "sosfiltfilt": lambda x: signal.sosfiltfilt(SOS, x),
    "fir_filter": lambda x: signal.fir_filter([0.5, 0.5], x),
    "fir_filtfilt": lambda x: signal.fir_filtfilt([0.5, 0.5], x),
    "resample_poly": lambda x: signal.resample_poly(x, 2, 3),
    "decimate": lambda x: signal.decimate(x, 2),
    "detrend": signal.detrend,
    "hilbert": signal.hilbert,
    "envelope": signal.envelope,
    "welch": signal.welch,
    "medfilt": signal.medfilt,
    "savgol_filter": lambda x: signal.savgol_filter(x, 5, 2),
    "frames": lambda x: signal.frames(x, 5),
    "peak_rate": lambda x: signal.peak_rate(x, 100.0),
    "butter_lowpass_filter": lambda x: signal.butter_lowpass_filter(x, cutoff=10.0, fs=100.0),
    "causal": signal.CausalFilter(design=signal.Butter(order=2, cutoff=10.0, fs=100.0)),
}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_table_is_refused_and_the_message_names_a_column_to_pass(function, table):
    with pytest.raises(DataError, match=r"expected one array, got a \w+ with the columns 'ecg'.*\n?.*x\['ecg'\]"):
        FUNCTIONS[function](TABLES[table]())


@pytest.mark.parametrize("table", TABLES)
def test_coefficients_in_a_table_are_refused(table):
    with pytest.raises(DataError, match="pass one column"):
        signal.fir_filter(TABLES[table](), ECG)


ALONG_TIME = {
    "convolve": lambda x: signal.convolve(x, x),
    "correlate": lambda x: signal.correlate(x, x),
    "decimate": lambda x: signal.decimate(x, 2),
    "detrend": signal.detrend,
    "fftconvolve": lambda x: signal.fftconvolve(x, x),
    "filtfilt": lambda x: signal.filtfilt([1.0, 1.0], [1.0, -0.5], x),
    "hilbert": signal.hilbert,
    "lfilter": lambda x: signal.lfilter([1.0, 1.0], [1.0, -0.5], x),
    "medfilt": signal.medfilt,
    "oaconvolve": lambda x: signal.oaconvolve(x, x),
    "resample": lambda x: signal.resample(x, 30),
    "resample_poly": lambda x: signal.resample_poly(x, 3, 4),
    "savgol_filter": lambda x: signal.savgol_filter(x, 5, 2),
    "sosfilt": lambda x: signal.sosfilt([[1.0, 0.0, 0.0, 1.0, -0.5, 0.0]], x),
    "stft": signal.stft,
    "upfirdn": lambda x: signal.upfirdn([1.0, 1.0], x),
    "welch": signal.welch,
}


@pytest.mark.parametrize("name", ALONG_TIME)
def test_rows_of_unequal_length_are_refused_by_name(name):
    """As lists, and as nested tensors of either layout."""
    rows = [np.arange(50.0).tolist(), np.arange(70.0).tolist()]
    tensors = [torch.tensor(row) for row in rows]
    with pytest.raises(DataError, match="one array"):
        ALONG_TIME[name](rows)
    for layout in (torch.jagged, torch.strided):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, about nested tensors being a prototype
            nested = torch.nested.nested_tensor(tensors, layout=layout)
        with pytest.raises(BridgeflowError, match="ragged"):
            ALONG_TIME[name](nested)
