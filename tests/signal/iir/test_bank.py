"""Banks of filters: each result has the bits of its filter alone, whatever the engine, kind, axis and policy."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import scipy.signal
import torch

from bridgeflow.bridge import kind_of, to_numpy
from bridgeflow.errors import ConfigError, DataError, NonFinite
from bridgeflow.policy import words
from bridgeflow.signal import Butter, Firwin, sosfilt, sosfilt_bank, sosfiltfilt, sosfiltfilt_bank
from bridgeflow.signal.iir import native
from bridgeflow.signal.iir.engine import EngineName, Pass, why_unavailable

ENGINES = [
    pytest.param(name, marks=[pytest.mark.skip(reason=f"{name}: {reason}")] if reason else [])
    for name in words(EngineName)
    for reason in [why_unavailable(name)]
]
BANDS = [(1, 4), (4, 8), (8, 13), (13, 30), (30, 45)]


def bank(filters: int, order: int = 2) -> np.ndarray:
    edges = [(low, high) for low, high in (BANDS * 3)[:filters]]
    return np.stack([scipy.signal.butter(order, edge, btype="bandpass", fs=100, output="sos") for edge in edges])


def data(*shape: int, dtype: str = "float64") -> np.ndarray:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape) * 100
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


class TestAgainstOneFilterAfterTheOther:
    @pytest.mark.parametrize("engine", [None, *ENGINES])
    @pytest.mark.parametrize("shape", [(300,), (3, 300), (2, 3, 100), (3, 0)], ids=str)
    def test_bits_and_states(self, engine, shape):
        sos, x = bank(3), data(*shape)
        zi = data(2, *shape[:-1], 3, 2)
        y, zf = sosfilt_bank(sos, x, zi=zi, engine=engine)
        assert y.shape == (*shape[:-1], 3, shape[-1])
        assert np.array_equal(sosfilt_bank(sos, x, zi=zi * 0, engine=engine)[0], sosfilt_bank(sos, x, engine=engine))
        for f in range(3):
            alone, after = sosfilt(sos[f], x, zi=zi[..., f, :], engine=engine)
            np.testing.assert_array_equal(y[..., f, :], alone)
            np.testing.assert_array_equal(zf[..., f, :], after)

    @pytest.mark.parametrize("dtype", ["float32", "float16", "int16", "uint8", "int64", "bool", "complex64", ">f8"])
    @pytest.mark.parametrize("precision", ["float64", "float32"])
    def test_element_types(self, dtype, precision):
        sos, x = bank(4), np.abs(data(3, 200)).astype(dtype)
        y = sosfilt_bank(sos, x, precision=precision, scale=0.5, offset=1.0)
        for f in range(4):
            alone = sosfilt(sos[f], x, precision=precision, scale=0.5, offset=1.0)
            assert y.dtype == alone.dtype
            np.testing.assert_array_equal(y[:, f], alone)

    def test_scipys_numbers(self):
        sos, x = bank(5, order=4), data(7, 400)
        for f, y in enumerate(np.moveaxis(sosfilt_bank(sos, x), 1, 0)):
            np.testing.assert_array_equal(y, scipy.signal.sosfilt(sos[f], x))
        for f, y in enumerate(np.moveaxis(sosfiltfilt_bank(sos, x), 1, 0)):
            np.testing.assert_allclose(y, scipy.signal.sosfiltfilt(sos[f], x), rtol=0, atol=1e-9)

    @pytest.mark.parametrize("padding", [{}, {"padtype": None}, {"padtype": "even", "padlen": 7}], ids=str)
    def test_zero_phase(self, padding):
        sos, x = bank(3), data(2, 300, dtype="float32")
        y = sosfiltfilt_bank(sos, x, **padding)
        for f in range(3):
            np.testing.assert_array_equal(y[:, f], sosfiltfilt(sos[f], x, **padding))

    @pytest.mark.parametrize("axis", [0, 1, 2, -2])
    def test_filters_stand_before_time(self, axis):
        sos, x = bank(3), data(40, 50, 60)
        zi = data(2, *(2 if a == range(3)[axis] else n for a, n in enumerate(x.shape)))
        zi = np.stack([zi, 2 * zi, 3 * zi], axis=1 + range(3)[axis])
        y, zf = sosfilt_bank(sos, x, axis, zi)
        for f in range(3):
            alone, after = sosfilt(sos[f], x, axis, zi.take(f, 1 + range(3)[axis]))
            np.testing.assert_array_equal(y.take(f, range(3)[axis]), alone)
            np.testing.assert_array_equal(zf.take(f, 1 + range(3)[axis]), after)
            both = sosfiltfilt_bank(sos, x, axis).take(f, range(3)[axis])
            np.testing.assert_array_equal(both, sosfiltfilt(sos[f], x, axis))

    def test_filters_of_several_axes_and_of_none(self):
        sos, x = bank(6), data(2, 100)
        nested = sosfilt_bank(sos.reshape(2, 3, 2, 6), x)
        np.testing.assert_array_equal(nested, sosfilt_bank(sos, x).reshape(2, 2, 3, 100))
        np.testing.assert_array_equal(sosfilt_bank(sos[0], x), sosfilt(sos[0], x))
        zi = np.zeros((2, 2, 2, 3, 2))
        assert sosfilt_bank(sos.reshape(2, 3, 2, 6), x, zi=zi)[1].shape == zi.shape

    def test_designs_of_different_lengths(self):
        designs = [Butter(order=n, cutoff=10.0, fs=100.0) for n in (1, 4, 7)]
        x = data(3, 200)
        y, z = sosfilt_bank(designs, x), sosfiltfilt_bank(designs, x)
        for f, design in enumerate(designs):
            np.testing.assert_array_equal(y[:, f], sosfilt(design, x))
            np.testing.assert_array_equal(z[:, f], sosfiltfilt(design, x))


class TestKinds:
    def test_kind_in_is_kind_out(self):
        sos, x = bank(3), data(4, 100, dtype="float32")
        expected = sosfilt_bank(sos, x)
        kinds = [x.tolist(), torch.from_numpy(x), pa.FixedShapeTensorArray.from_numpy_ndarray(x), x[:, ::-1][:, ::-1]]
        for values in kinds:
            for axis in (-1, 1):
                y = sosfilt_bank(sos, values, axis)
                assert kind_of(y) == (kind_of(values) or "numpy")
                np.testing.assert_allclose(to_numpy(y), expected, rtol=0, atol=1e-4)
        half = torch.from_numpy(x).bfloat16()
        assert torch.equal(sosfilt_bank(sos, half)[:, 1], sosfilt(sos[1], half))
        y, zf = sosfilt_bank(sos, torch.from_numpy(x), zi=torch.zeros(2, 4, 3, 2))
        assert type(y) is type(zf) is torch.Tensor

    def test_derivatives(self):
        sos = torch.from_numpy(bank(2)).requires_grad_()
        x = torch.from_numpy(data(2, 30) / 100).requires_grad_()
        zi = torch.from_numpy(data(2, 2, 2, 2) / 100).requires_grad_()
        assert torch.autograd.gradcheck(lambda *args: sosfilt_bank(args[0], args[1], zi=args[2]), (sos, x, zi))
        assert torch.autograd.gradcheck(lambda *args: sosfiltfilt_bank(*args, padlen=5), (sos, x))

    def test_compiled(self):
        sos, x = torch.from_numpy(bank(3)), torch.from_numpy(data(50, 4))
        zi = torch.from_numpy(data(2, 3, 2, 4))
        for function in (
            lambda x: sosfilt_bank(sos, x, 0, zi),
            lambda x: (sosfiltfilt_bank(sos, x, 0, padlen=5), sosfilt_bank(sos.reshape(1, 3, 2, 6), x.T)),
        ):
            compiled = torch.compile(function, fullgraph=True, backend="eager")
            for ours, whole in zip(compiled(x), function(x), strict=True):
                torch.testing.assert_close(ours, whole, rtol=0, atol=1e-9)

    def test_meta(self):
        y = sosfilt_bank(bank(3), torch.empty(4, 10, device="meta"))
        assert y.is_meta
        assert y.shape == (4, 3, 10)


class TestGaps:
    @pytest.mark.parametrize("engine", ENGINES)
    def test_policies(self, engine):
        sos, x = bank(3), data(4, 60)
        x[2, 20] = np.nan
        x[3, 5:8] = np.inf
        with pytest.raises(NonFinite, match=r"row 2 is nan at sample 20; clean the data"):
            sosfilt_bank(sos, x, nonfinite="raise", engine=engine)
        for policy in ("propagate", "reset"):
            for many, one in ((sosfilt_bank, sosfilt), (sosfiltfilt_bank, sosfiltfilt)):
                y = many(sos, x, nonfinite=policy, engine=engine)
                for f in range(3):
                    np.testing.assert_array_equal(y[:, f], one(sos[f], x, nonfinite=policy, engine=engine))

    def test_a_state_that_is_not_finite(self):
        zi = np.zeros((2, 4, 3, 2))
        zi[1, 3, 2, 0] = np.nan
        with pytest.raises(NonFinite, match="the initial state of row 3 is not finite"):
            sosfilt_bank(bank(3), data(4, 20), zi=zi, nonfinite="raise")


@pytest.mark.skipif(not native.is_built(), reason="the native engine is not built")
class TestNative:
    @pytest.mark.parametrize("isa", native.instruction_sets() if native.is_built() else [])
    @pytest.mark.parametrize("rows", [1, 2, 3, 17])
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_every_instruction_set(self, isa, rows, order):
        from bridgeflow.signal.iir import _native

        for precision, sections, filters in (("float64", 1, 9), ("float32", 3, 5), ("float64", 6, 2)):
            sos, x = bank(filters, sections), np.asarray(data(rows, 150, dtype="float32"), order=order)
            y, zf = native.sosfilt_bank(sos, x, None, Pass(precision))
            again, state = np.empty_like(y), np.empty_like(zf)
            _native.run(sos, x, again, None, state, precision == "float32", 1.0, 0.0, 2, isa, 0, 0, None)
            np.testing.assert_array_equal(again, y)
            np.testing.assert_array_equal(state, zf)
            for f in range(filters):
                np.testing.assert_array_equal(y[:, f], native.sosfilt(sos[f], x, None, Pass(precision))[0])

    def test_arrays_that_do_not_fit(self):
        from bridgeflow.signal.iir import _native

        sos, x, y, zf = bank(3), data(4, 10), np.empty((4, 3, 10)), np.empty((2, 4, 3, 2))
        for bad in (
            (sos[:0], x, y, zf),
            (sos, x, y[:, :2], zf),
            (sos, x, y[:, 0], zf),
            (sos, x, y, zf[:, :, :2]),
            (sos, x, y, zf[:, :, 0]),
            (sos[None], x, y, zf),
        ):
            with pytest.raises(ValueError, match="does not fit the data"):
                _native.run(bad[0], bad[1], bad[2], None, bad[3], False, 1.0, 0.0, 1, "", 0, 0, None)
        with pytest.raises(ValueError, match="does not fit the data"):
            _native.run(sos, x, y, None, None, False, 1.0, 0.0, 1, "", 1, 3, np.zeros((2, 2)))


class TestErrors:
    def test_filters(self):
        x = data(2, 50)
        for sos in (np.zeros((3, 0, 6)), np.zeros((3, 2, 5)), np.zeros(6)):
            with pytest.raises(DataError, match=r"sos must be filters of shape \[\.\.\., sections, 6\]"):
                sosfilt_bank(sos, x)
        with pytest.raises(DataError, match="should be all ones"):
            sosfilt_bank(np.zeros((3, 2, 6)), x)
        with pytest.raises(ConfigError, match="a bank holds IIR designs"):
            sosfilt_bank([Butter(order=1, cutoff=1.0, fs=9.0), Firwin(numtaps=5, cutoff=1.0, fs=9.0)], x)

    def test_states_lengths_and_words(self):
        sos, x = bank(3), data(2, 50)
        with pytest.raises(DataError, match=r"zi must have shape \(2, 2, 3, 2\), got \(2, 2, 2\)"):
            sosfilt_bank(sos, x, zi=np.zeros((2, 2, 2)))
        with pytest.raises(DataError, match="must be greater than padlen"):
            sosfiltfilt_bank(sos, x[:, :5])
        with pytest.raises(ValueError, match="nonfinite"):
            sosfilt_bank(sos, x, nonfinite="ignore")
        with pytest.raises(DataError, match="axis 2 does not exist"):
            sosfilt_bank(sos, x, 2)
